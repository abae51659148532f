/*
 * How a command reads the configuration: the same loader as the server's, then
 * the diagnostics on standard error.
 */
#ifndef COMMAND_READING_H
#define COMMAND_READING_H

#include "base/diag.h"
#include "command/command.h"
#include "load/configuration.h"
#include "load/history.h"

struct reading {
    struct diag *diag;                   /* owned */
    struct configuration *configuration; /* owned; NULL after a fault of the file */
    bool is_earlier_refused; /* the fault is in the file of --since; no other was read */
};

/* Reads the configuration of the command line. Where domains are its operands, what does not concern
 * them is hidden. End with reading_free. */
struct reading reading_new(const struct command_line *line, bool without_certificates);
void reading_free(struct reading *reading);

/* The same, judged also by what senders hold of what was served before: by the state folder, or where the
 * command line names an earlier configuration, as if that were served until now. extra is a file more
 * (load/configuration.h), whose domains are meant then; or NULL. */
struct reading reading_new_by_life(const struct command_line *line, const struct text *extra);

/* Prints the diagnostics of the level and graver on standard error. False when
 * some are not there. */
bool reading_print(struct diag *diag, enum diag_level least);

/* Prints the errors where they are few, those that refuse the whole, and those of domains that are
 * asked about; of others how many there are. */
bool reading_tell(const struct command_line *line, const struct reading *reading);

/* How many errors there are that concern whoever asks. */
size_t reading_errors(const struct reading *reading);

/* What the folders of the command line, or else the state folder of the configuration, say of what was
 * served and seen; owned. ret_now is the time to count with. What is wrong is said on standard error. Where
 * the clock is behind, a warning says so. */
struct history *reading_history(const struct command_line *line, const struct reading *reading,
                                int64_t *ret_now);

/* The domain, or NULL after saying on standard error that it is not configured. */
const struct site_domain *reading_find(const struct reading *reading, const char *name);

/* Whether the domain is one of the operands, or there are none. */
bool reading_is_asked(const struct command_line *line, const char *name);

/* Whether the operand, a name or a pattern, means any domain; if not, after saying so. */
bool reading_check(const struct reading *reading, const char *operand);

/* The same for each operand. */
bool reading_check_all(const struct command_line *line, const struct reading *reading);

#endif
