/*
 * All connections of a worker: it admits them up to a capacity, drives them
 * when epoll tells that their sockets are ready, and ends them when their time
 * is over or a newcomer needs the place. It owns the connections, borrows the
 * epoll instance, and never sees a listener.
 */
#ifndef SERVE_POOL_H
#define SERVE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "serve/connection.h"

struct pool;

/* Times are milliseconds of the monotonic clock in every function here. */

/* An empty pool. epoll is a descriptor, borrowed until pool_free, as are site
 * and tls. capacity is at least 1. Owned; NULL when memory is short. */
struct pool *pool_new(int epoll, const struct site *site, struct tls_context *tls, size_t capacity);

/* Closes every connection as it is. */
void pool_free(struct pool *pool);

/* Takes an accepted, non-blocking socket and makes a connection of it; when the
 * pool is full, the least loss gives way (pool_evict). False when memory is
 * short; the socket is then closed. */
bool pool_admit(struct pool *pool, int fd, int64_t now);

/* Closes the connection whose loss is the least: the one that has lingered
 * longest, else the one longest idle, else the oldest unfinished one. False
 * when there is none. */
bool pool_evict(struct pool *pool);

/* epoll says that the socket of the connection is ready. The connection may be
 * gone afterwards; no other one is. */
void pool_advance(struct pool *pool, struct connection *connection, int64_t now);

/* Ends what has reached its deadline. */
void pool_expire(struct pool *pool, int64_t now);

/* From now on every response is the last of its connection, and connections
 * between two requests are told goodbye. */
void pool_drain(struct pool *pool, int64_t now);

size_t pool_count(const struct pool *pool);

/* When pool_expire has something to do; INT64_MAX when nothing waits. */
int64_t pool_next_deadline(const struct pool *pool);

#endif
