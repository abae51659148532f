/*
 * Where a client comes from, as text: its address, or the network that tells
 * no single person (IPv4 /24, IPv6 /48). An IPv4 address that is written as an
 * IPv6 one is IPv4. Pure. Runs in the worker.
 */
#ifndef SHARED_CLIENT_ADDRESS_H
#define SHARED_CLIENT_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

/* The address and the length of a network. */
enum { CLIENT_ADDRESS_SIZE = INET6_ADDRSTRLEN + 4 };

/* "192.0.2.1"; shortened "192.0.2.0". "unix" for a client without an IP address. */
void client_address_print(const struct sockaddr *client, bool shortened,
                          char out[static CLIENT_ADDRESS_SIZE]);

/* "192.0.2.0/24", "2001:db8:1::/48"; "unix" likewise. */
void client_address_print_network(const struct sockaddr *client,
                                  char out[static CLIENT_ADDRESS_SIZE]);

#endif
