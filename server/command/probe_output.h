/*
 * How `probe` shows its reports: a table and the findings for people, JSON for
 * programs. The reports come in any order; they are shown in that of the
 * domains. For the command alone.
 */
#ifndef COMMAND_PROBE_OUTPUT_H
#define COMMAND_PROBE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "probe/report.h"

/* What is kept of a report. */
struct probe_outcome {
    struct text
        rows; /* of the table: cells behind a letter for their level, ended by tabs; or JSON */
    struct text findings;
    enum diag_level level;
};

struct probe_output {
    bool json;
    bool colour;
    bool notes;                     /* show also what nobody needs to mend */
    int64_t now;                    /* seconds since 1970 UTC; for days left */
    size_t count;                   /* of the domains */
    struct probe_outcome *outcomes; /* owned */
};

/* Begin with {.json, .colour, .notes, .now}. False when memory is short. */
bool probe_output_begin(struct probe_output *output, size_t count);
void probe_output_free(struct probe_output *output);

/* Takes the report of the domain with the index. */
void probe_output_take(struct probe_output *output, size_t index, const struct report *report);

/* Appends everything. */
void probe_output_print(const struct probe_output *output, struct text *out);

/* True when nothing is wrong: there is no error. */
bool probe_output_is_good(const struct probe_output *output);

#endif
