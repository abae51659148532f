/*
 * The senders of a domain as text, for "list --senders": what all workers have
 * noted (serve/visits.h), put together. Runs in the worker.
 */
#ifndef SERVE_SENDERS_H
#define SERVE_SENDERS_H

#include "base/text.h"
#include "serve/board.h"

/* Appends a line for each program and network, the latest first, at most LIMIT_SENDERS: when it came
 * last, how often, the id that it got, the network and the program, with a tab between. */
void senders_print(const struct board *board, struct span domain, struct text *out);

#endif
