/*
 * What a server of nginx answers a request for a policy with, by the blocks that
 * it is in and the locations that it has. It follows location, root, alias,
 * try_files and return, and says so when something else decides. Runs in the
 * command import.
 */
#ifndef COMMAND_IMPORT_NGINX_ANSWER_H
#define COMMAND_IMPORT_NGINX_ANSWER_H

#include "base/limits.h"
#include "command/import_hosts.h"

/* The blocks around a place, outermost first: what is not said in one holds from the one before. */
struct nginx_scope {
    const struct directive *blocks[LIMIT_IMPORT_DEPTH + 2];
    size_t depth;
};

/* What is looked for: what one server answers one host with. */
struct nginx_question {
    struct import_files *files;
    const char *host; /* mta-sts.example.com */
    struct nginx_scope scope;
};

void nginx_enter(struct nginx_scope *scope, const struct directive *block);

/* The text with the values of its variables; data NULL when one is not known, or on a shortage, which
 * is noted. */
struct span import_nginx_expand(struct nginx_question *question, struct span text);

/* What the server, the innermost block of the question's scope, answers the host with. */
struct import_answer import_nginx_answer(struct nginx_question *question);

#endif
