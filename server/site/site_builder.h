/*
 * Builds a site: takes what is to be served domain by domain, writes it into a memory file, equal parts
 * once, and seals that. The loader and the commands use it. A failure is remembered and makes
 * every later call do nothing, so that a caller asks once, at the end.
 */
#ifndef SITE_SITE_BUILDER_H
#define SITE_SITE_BUILDER_H

#include "site/site.h"

struct site_builder;

/* Without domains; owned. fd is an empty memory file for the site, which is taken; -1: it makes one. */
struct site_builder *site_builder_new(int fd);
void site_builder_free(struct site_builder *builder); /* NULL is legal */

/* Adds a domain, whose name must not be there yet: site_builder_finish asserts it. All is copied, but
 * the bytes of certificates and keys must stay where they are until the end, because the place of each
 * is remembered. */
void site_builder_add(struct site_builder *builder, const struct site_fields *domain);

/* Where these bytes are in the image, in bytes from its begin: copied to it, unless they were before.
 * They must stay where they are until the end. 0 after a failure. */
uint32_t site_builder_place(struct site_builder *builder, struct span bytes);

/* What only the next load needs (site_archive); borrowed until the end. */
void site_builder_set_archive(struct site_builder *builder, struct span archive);

/* Seals what was built and frees the builder. Owned; NULL with errno: EFBIG when it would be above
 * LIMIT_IMAGE. */
struct site *site_builder_finish(struct site_builder *builder);

#endif
