/*
 * What the board says, as text for a monitor: OpenMetrics 1.0.0, which Prometheus
 * and its relatives read. The names are a promise to whoever has alerts. Pure.
 * Runs in the worker.
 */
#ifndef SERVE_EXPOSITION_H
#define SERVE_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "serve/board.h"

extern const char exposition_type[]; /* of the content */

/* Appends all of it but the last line, which exposition_end appends. */
void exposition_print(const struct board *board, struct text *out);
/* Appends when the first certificate of a domain ends, in seconds since 1970. */
void exposition_domain(const char *name, int64_t not_after, bool is_first, struct text *out);
void exposition_end(struct text *out);

#endif
