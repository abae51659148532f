/*
 * The inside of the history, for history.c, which knows what was recorded, and history_file.c, which reads and
 * prints the files. Nobody else includes this. Runs where load/history.h does.
 */
#ifndef LOAD_HISTORY_INSIDE_H
#define LOAD_HISTORY_INSIDE_H

#include "base/arena.h"
#include "load/history.h"

struct history {
    struct arena *arena; /* owned; names and policies that come from no file */
    char **files;        /* owned, and what they point to; the rest of the texts */
    size_t file_count, file_capacity;
    struct promise *promises; /* owned; each with its domain */
    size_t promise_count, promise_capacity;
    struct sighting *sightings; /* the same */
    size_t sighting_count, sighting_capacity;
    int64_t since;
    bool is_unread;
    int64_t clock; /* as it was settled by */
    struct promise
        *settled; /* owned; a copy, as facts show them: those of a domain follow each other */
    struct sighting *settled_sightings; /* the same */
    struct history_domain *domains;     /* owned */
    size_t domain_count;
};

void history_add_promise(struct history *history, const struct promise *promise);
void history_add_sighting(struct history *history, const struct sighting *sighting);

#endif
