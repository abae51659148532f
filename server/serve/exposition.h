/*
 * What the board says, as text for a monitor: OpenMetrics 1.0.0, which Prometheus
 * and its relatives read. The names are a promise to whoever has alerts. Pure.
 * Runs in the worker.
 */
#ifndef SERVE_EXPOSITION_H
#define SERVE_EXPOSITION_H

#include "base/text.h"
#include "serve/board.h"

extern const char exposition_type[]; /* of the content */

/* Appends all of it but the last line, which exposition_end appends. */
void exposition_print(const struct board *board, struct text *out);
void exposition_end(struct text *out);

#endif
