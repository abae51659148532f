/*
 * What a monitor is told at the endpoint for metrics: the metrics of all workers,
 * the health of this one, and who has fetched a policy. It answers whoever can connect, so it
 * tells nothing that is secret. Runs in the worker.
 */
#ifndef SERVE_MONITOR_H
#define SERVE_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "http/http.h"
#include "shared/stats.h"
#include "site/site.h"

/* Everything is borrowed. */
struct monitor {
    const struct stats *stats;
    const struct site *site;
    int64_t now;   /* seconds since 1970 UTC */
    bool draining; /* the worker is about to end */
};

/* Judges a well-formed request. With an answer of its own it appends that to ret_body, sets its type
 * (static) and returns its status; otherwise ret_body stays empty and the status has its usual body.
 * Memory may be short: the text tells. */
enum http_status monitor_answer(const struct monitor *monitor, const struct http_request *request,
                                struct text *ret_body, const char **ret_type);

#endif
