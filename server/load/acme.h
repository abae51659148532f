/*
 * The key acme of a configuration: where challenges for certificate authorities
 * are found and how they are served. A fault is one of the whole file. Runs in
 * the supervisor and in commands.
 */
#ifndef LOAD_ACME_H
#define LOAD_ACME_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/diag.h"
#include "load/document.h"

struct acme {
    const char *alpn;    /* folder with certificates for tls-alpn-01, or NULL */
    const char *webroot; /* folder above the files for http-01, or NULL */
};

/* Judges the node, which may be NULL. The folders are as they are written, borrowed from the arena.
 * ret_http is the address for http-01, or NULL, and ret_redirect whether other paths are redirected.
 * False after a problem, added to diag. */
bool acme_read(const struct node *node, struct arena *arena, struct diag *diag,
               struct acme *ret_acme, const struct node **ret_http, bool *ret_redirect);

#endif
