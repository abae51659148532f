/*
 * Clients of the worker's code in the same process: what they are accepted at, from which address
 * they connect, what they have been sent. Every address of 127.0.0.0/8 is one of this machine.
 */
#ifndef CLIENTS_H
#define CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "site/site.h"

/* A site with one domain that has a policy, example.com, and no certificate; owned. */
struct site *clients_site(void);

/* A listening, non-blocking socket at 127.0.0.1, and its port. */
int clients_listen(uint16_t *ret_port);

/* Connects from the address; a descriptor that does not block. */
int clients_connect(const char *source, uint16_t port);

/* Sends all of it. */
void clients_send(int fd, struct span bytes);

/* Whether the server has closed or reset the connection; what it has sent is read and dropped. */
bool clients_ended(int fd);

/* Reads what the server has sent into the buffer, without waiting: the number of bytes. */
size_t clients_read(int fd, char *buf, size_t size);

/* The end of the connection is a reset. */
void clients_reset(int fd);

#endif
