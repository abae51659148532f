/*
 * The gauges of the metrics that the supervisor sets: of the configuration that is served,
 * and of the memory that its processes take, which it reads from /proc because a
 * sealed worker cannot. Runs in the supervisor.
 */
#ifndef SUPERVISE_GAUGES_H
#define SUPERVISE_GAUGES_H

#include "shared/stats.h"
#include "supervise/generation.h"

/* What was loaded serves from now on (seconds since 1970 UTC). */
void gauges_set_settings(struct stats *stats, const struct settings_image *image, int64_t now);

/* The generations run; either may be NULL. */
void gauges_set_memory(struct stats *stats, const struct generation *current,
                       const struct generation *retiring);

/* Whether the configuration has a listener for metrics. */
bool gauges_are_wanted(const struct settings *settings);

#endif
