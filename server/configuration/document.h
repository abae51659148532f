/*
 * A YAML file as a tree with positions. It knows YAML and its dangers (several
 * documents, NUL bytes, deep nesting, bombs of aliases, duplicate keys) but
 * nothing of what the keys mean. The only file that talks to libyaml. Runs in
 * the loader and in commands, on the operator's files only.
 */
#ifndef CONFIGURATION_DOCUMENT_H
#define CONFIGURATION_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/progress.h"
#include "base/span.h"

enum node_kind {
    NODE_SCALAR,
    NODE_SEQUENCE,
    NODE_MAPPING,
};

struct node;

struct node_pair {
    const struct node *key; /* always a scalar */
    const struct node *value;
    const struct node *first; /* the earlier key of the same text, or NULL */
};

/* Everything is borrowed from the arena. A node that is the target of an alias
 * is shared, so the tree may be a graph, but never a circle. */
struct node {
    enum node_kind kind;
    bool null; /* a scalar that is empty, "~" or "null", and not quoted */
    uint32_t
        weight; /* how many nodes it has, itself and those of aliases included; at most UINT32_MAX */
    struct position at;
    struct span text; /* of a scalar; data is never NULL, a NUL byte follows and none is inside */
    union {
        const struct node **items; /* of a sequence */
        struct node_pair *pairs;   /* of a mapping */
    };
    size_t count; /* of items or pairs */
};

/* What the reading of a file may cost; beyond it the file is refused, so that it delays no other. */
struct document_budget {
    size_t nodes; /* an alias counts as many as what it stands for has */
    size_t aliases;
    int64_t cpu_ms; /* of this process */
};

/* Of an included file; the main file has only other limits. */
extern const struct document_budget document_included;

/* Reads a document. file is what positions name; interned in diag. Returns the
 * root, borrowed from the arena; an empty document is a null scalar. NULL after
 * an error, which was added to diag at the given level. The budget is borrowed for the call, as is progress;
 * either may be NULL. */
const struct node *document_parse(struct arena *arena, struct span bytes, const char *file,
                                  enum diag_level level, struct diag *diag,
                                  const struct document_budget *budget,
                                  const struct progress_callback *progress);

/* The value of the first pair with this key; NULL when there is none, or the node is no mapping. */
const struct node *document_member(const struct node *node, const char *key);

/* Of libyaml: "0.2.5"; static. */
const char *document_library_version(void);

#endif
