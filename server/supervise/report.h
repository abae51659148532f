/*
 * What is told to the log and the service manager of loads, generations and
 * deaths. It decides nothing. Runs in the supervisor and, what is told of the
 * files, in the loader.
 */
#ifndef SUPERVISE_REPORT_H
#define SUPERVISE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/diag.h"
#include "sandbox/seal.h"
#include "supervise/generation.h"
#include "supervise/listeners.h"
#include "supervise/notify.h"
#include "supervise/status.h"

/* The errors and warnings of a load, as "check" prints them, that were not there at the load before; all
 * of them if it is refused. A few of each kind and of each included file, and how many more there are, so
 * that no file hides what is said of another. known is what ret_told was after the load before; what this
 * load has not read, when it has only certificates, stays known. */
void report_diagnostics(struct diag *diag, bool is_refused, struct span known, bool has_files,
                        struct text *ret_told);

/* What the load has come to, as lines for the status. */
void report_summary(const struct generation *current, struct status_load *ret_load);

/* What has changed, and that the generation serves, what, and where. */
void report_ready(const struct generation *current, const struct listeners *listeners,
                  const struct notifier *notifier);

/* That a reload came to nothing, why ("" or a clause that ends in "; "), and who serves on. */
void report_refusal(const struct generation *current, const struct notifier *notifier,
                    const char *why, struct status_load *ret_load);

/* That files were waited for in vain to come to rest, and which was changed last. */
void report_restless(const struct watch *watch, bool certificates);

/* What the seal lacks on this machine: an error if that refuses a start, else a warning. */
void report_missing_seal(const struct seal_report *report, bool required);

#endif
