/*
 * How `probe` shows its reports: a table and the findings for people, JSON for
 * programs. The reports come in any order; what is shown at one time is in that
 * of the domains. For the command alone.
 */
#ifndef COMMAND_PROBE_OUTPUT_H
#define COMMAND_PROBE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/columns.h"
#include "probe/report.h"

/* What is kept of a report. */
struct probe_outcome {
    struct columns rows; /* of the table */
    struct text json;    /* instead of the others */
    struct text findings;
    enum diag_level level;
    bool is_mx, is_there, is_shown;
};

enum { PROBE_COLUMNS = 9 };

struct probe_output {
    bool json;
    bool colour;
    bool notes;                     /* show also what nobody needs to mend */
    int64_t now;                    /* seconds since 1970 UTC; for days left */
    size_t count;                   /* of the domains, and of the MX behind them */
    struct probe_outcome *outcomes; /* owned */
    bool is_begun;                  /* the headings are shown */
    size_t widths[COLUMNS_MOST];
};

/* Begin with {.json, .colour, .notes, .now}. Makes room for so many reports more. False when memory is short. */
bool probe_output_extend(struct probe_output *output, size_t count);
void probe_output_free(struct probe_output *output);

/* Takes the report of the domain with the index. */
void probe_output_take(struct probe_output *output, size_t index, const struct report *report);

/* Appends the part of the table that is there and not shown yet, with its findings. */
void probe_output_show(struct probe_output *output, struct text *out);

/* Appends the rest, when every report was taken; of JSON that is all. */
void probe_output_end(struct probe_output *output, struct text *out);

/* True when nothing is wrong: there is no error. */
bool probe_output_is_good(const struct probe_output *output);

#endif
