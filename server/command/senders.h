/*
 * "list --senders DOMAIN": asks the server that runs who has fetched the policy of
 * the domain, and compares what each got with what is configured. Runs in the
 * command list.
 */
#ifndef COMMAND_SENDERS_H
#define COMMAND_SENDERS_H

#include "command/command.h"
#include "command/reading.h"

/* Prints the table, or JSON. False after saying on standard error what is wrong. */
bool senders_list(const struct command_line *line, const struct reading *reading);

#endif
