/*
 * "dns --served": a record that tells senders of a policy is withheld unless every address of the policy
 * host serves that policy, as the probe finds it. Runs in the command dns.
 */
#ifndef COMMAND_SERVED_H
#define COMMAND_SERVED_H

#include "command/command.h"
#include "command/reading.h"
#include "command/records.h"

/* Withholds what is not served yet, of the records that are not withheld already. With is_news only of
 * those whose news are not DNS_SAME. STATUS_GOOD, or an exit status after saying on standard error why
 * nothing is known. */
int served_withhold(const struct command_line *line, const struct reading *reading,
                    struct records *records, bool is_news);

#endif
