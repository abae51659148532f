#include "serve/senders.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"

struct senders {
    struct visit *items; /* owned; LIMIT_SENDERS */
    size_t count;
};

static bool is_same(const struct visit *one, const struct visit *other)
{
    return strcmp(one->agent, other->agent) == 0 && strcmp(one->network, other->network) == 0;
}

/* Each worker that one and the same sender came to has an entry of its own. */
static void merge(struct visit *into, const struct visit *visit)
{
    uint64_t count = into->count + visit->count;
    if (visit->last > into->last)
        *into = *visit;
    into->count = count;
}

static void add(struct senders *senders, const struct visit *visit)
{
    size_t oldest = 0;
    for (size_t i = 0; i < senders->count; i++) {
        if (is_same(&senders->items[i], visit)) {
            merge(&senders->items[i], visit);
            return;
        }
        if (senders->items[i].last < senders->items[oldest].last)
            oldest = i;
    }
    if (senders->count < LIMIT_SENDERS)
        senders->items[senders->count++] = *visit;
    else if (senders->items[oldest].last < visit->last)
        senders->items[oldest] = *visit;
}

/* The C library's would ask the kernel how much memory there is, which a sealed worker may not. */
static void sort_by_last(struct senders *senders)
{
    for (size_t i = 1; i < senders->count; i++) {
        struct visit visit = senders->items[i];
        size_t place = i;
        for (; place > 0 && senders->items[place - 1].last < visit.last; place--)
            senders->items[place] = senders->items[place - 1];
        senders->items[place] = visit;
    }
}

/* What is on the board is escaped as if a client had written it there. */
static void print(const struct visit *visit, struct text *out)
{
    char last[CALENDAR_ISO_SIZE];
    calendar_iso_time(visit->last / 1000000, last);
    text_printf(out, "%s\t%" PRIu64 "\t", last, visit->count);
    text_escape(out, span_of(visit->id), LIMIT_ID);
    text_append(out, span_of("\t"));
    text_escape(out, span_of(visit->network), ORIGIN_SIZE);
    text_append(out, span_of("\t"));
    text_escape(out, span_of(visit->agent), LIMIT_VISIT_AGENT);
    text_append(out, span_of("\n"));
}

void senders_print(const struct board *board, struct span domain, struct text *out)
{
    struct senders senders = {.items = calloc(LIMIT_SENDERS, sizeof(*senders.items))};
    const struct visits *visits;
    if (senders.items == NULL) {
        out->failed = true;
        return;
    }
    for (size_t slot = 0; (visits = board_visits(board, slot)) != NULL; slot++) {
        struct visit visit;
        for (size_t index = 0; visits_next(visits, domain, &index, &visit);)
            add(&senders, &visit);
    }
    sort_by_last(&senders);
    for (size_t i = 0; i < senders.count; i++)
        print(&senders.items[i], out);
    free(senders.items);
}
