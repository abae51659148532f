/*
 * The endpoints of a configuration: the value of listen, which is an address, a
 * mapping that says more about it, or a list of both; that of metrics, an address; and the address
 * at which challenges for certificate authorities are served. A fault is one of the whole file.
 * Runs in the loader and in commands.
 */
#ifndef CONFIGURATION_ENDPOINTS_H
#define CONFIGURATION_ENDPOINTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/diag.h"
#include "configuration/document.h"
#include "site/endpoint.h"

/* Where endpoints are configured; each may be NULL. */
struct endpoint_nodes {
    const struct node *listen; /* NULL stands for the default */
    const struct node *metrics;
    const struct node *challenges; /* for HTTP-01 */
    bool redirect;                 /* of what is no challenge */
};

/* Judges the nodes. *ret_items, at least one, and what they borrow belong to the
 * arena. False after a problem, added to diag. */
bool endpoints_read(const struct endpoint_nodes *nodes, struct arena *arena, struct diag *diag,
                    struct endpoint **ret_items, size_t *ret_count);

#endif
