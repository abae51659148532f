/*
 * The settings image: what a load has come to for the supervisor and the watcher, as one block of
 * bytes in a memory file: settings, what is watched, who the workers are, and what is to be
 * said of the domains. It has no key and no policy. Whoever opens it trusts none of its bytes. Made
 * by the loader; opened by the supervisor.
 */
#ifndef SUPERVISE_SETTINGS_IMAGE_H
#define SUPERVISE_SETTINGS_IMAGE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/memory_file.h"
#include "configuration/settings.h"
#include "files/watch.h"
#include "shared/stats.h"
#include "site/site.h"

struct settings_image {
    struct settings settings; /* without user, watch_..., dns_... and tls_rpt */
    struct watch watch;
    uid_t uid; /* of the workers, if the supervisor is root; never 0 */
    gid_t gid;
    int64_t gauges[STATS_LOADED]; /* by enum stats_gauge */
    struct span told;             /* what was said of the load (supervise/loader.h): its numbers */
    /* Lines, which children that are forked do not have: each domain with its state and the id of its
     * policy, as the status file has it; and what has changed since the generation before, in lines and in
     * one clause without a line end. */
    struct span domain_lines, change_lines, change_clause;
    /* Only what was opened has these: */
    void *room;            /* owned; what the rest is borrowed from */
    struct memory_map map; /* owned; what the lines are borrowed from */
};

/* Appends the image; what it has no room for makes the text fail. */
void settings_image_print(const struct settings_image *image, struct text *out);

/* Reads an image; the lines are borrowed from the bytes. Owned; NULL with errno: EINVAL when it is not one,
 * or ENOMEM. */
struct settings_image *settings_image_parse(struct span bytes);

/* Maps and reads the image in the memory file; the descriptor stays the caller's. Owned; NULL with errno:
 * ENOMEM, or another when it is not one. */
struct settings_image *settings_image_open(int fd);

/* NULL is legal. */
void settings_image_free(struct settings_image *image);

int64_t settings_image_domains(const struct settings_image *image); /* in all states */

#endif
