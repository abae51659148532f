/*
 * Many domains at once: a few children, each of which probes one domain after
 * the other and leaves its report in memory that it shares with the parent. A
 * child reads what foreign servers say; when one dies of it, that domain is
 * reported as not asked, and the others are not disturbed.
 */
#ifndef PROBE_CROWD_H
#define PROBE_CROWD_H

#include <stdbool.h>
#include <stddef.h>

#include "probe/probe.h"

/* The report of the domain with the index; borrowed for the call. They come as they are done. */
typedef void crowd_report(void *context, size_t index, const struct report *report);

/* Probes all domains and calls back for each, once. False when that is not possible at all, with
 * the reason in errno. */
bool crowd_run(const struct probe *probe, const struct probe_domain *domains, size_t count,
               crowd_report *report, void *context);

#endif
