/*
 * The words of a directive while it is read: they grow, and are copied into the
 * tree when the directive ends. Runs in the command import.
 */
#ifndef COMMAND_IMPORT_WORDS_H
#define COMMAND_IMPORT_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "command/import_tree.h"

/* Begin with {0}; end with import_words_free. */
struct import_words {
    struct text bytes;  /* of all words */
    struct word *items; /* owned; while reading only the lengths count */
    size_t count, capacity;
    bool failed; /* memory was short, or there are more than LIMIT_IMPORT_WORDS */
};

void import_words_free(struct import_words *words);
void import_words_clear(struct import_words *words);

/* A new, empty word, to which import_words_put appends. */
void import_words_begin(struct import_words *words, struct position at);
void import_words_put(struct import_words *words, char byte);

/* The words, pointing into bytes until the next call of the others. */
struct word *import_words_get(struct import_words *words);

#endif
