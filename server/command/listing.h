/*
 * A list of domains for people and for programs: what of a domain is told, and
 * in which words. It chooses and sorts nothing. Runs in the command list.
 */
#ifndef COMMAND_LISTING_H
#define COMMAND_LISTING_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "site/site.h"

/* Appends the domains in the order given. now is seconds since 1970 UTC. */
void listing_print(const struct site_domain *const *domains, size_t count, int64_t now,
                   struct text *out);
void listing_print_json(const struct site_domain *const *domains, size_t count, int64_t now,
                        struct text *out);

#endif
