/*
 * What comes before TLS on the port of an MX (RFC 5321, RFC 3207): the greeting,
 * EHLO and STARTTLS. A reply is bounded in bytes and, by the stream, in time,
 * and nothing of it is shown but escaped. Runs in a child of the probe.
 */
#ifndef PROBE_SMTP_H
#define PROBE_SMTP_H

#include <stdbool.h>

#include "probe/client.h"
#include "probe/report.h"

/* Talks until TLS begins. False when it does not; then the report has the reason, and the visit, which is
 * the report's, the stage. */
bool smtp_start_tls(struct stream *stream, struct report *report, struct report_visit *visit);

#endif
