/*
 * All connections of a worker: it admits them up to a capacity, drives them
 * when epoll tells that their sockets are ready, and ends them when their time
 * is over or a newcomer needs the place. Places and time are shared out between
 * the networks of the clients. It owns the connections, borrows the epoll
 * instance, and never sees a listener.
 */
#ifndef SERVE_POOL_H
#define SERVE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "serve/connection.h"

struct pool;

/* Times are milliseconds of the monotonic clock in every function here. */

/* An empty pool. epoll is a descriptor, borrowed until pool_free, as is what the setting names: the
 * site, the challenges, TLS and the stats. capacity is 1 to LIMIT_CONNECTIONS. Owned; NULL when memory or
 * randomness is short. */
struct pool *pool_new(int epoll, const struct connection_setting *setting, size_t capacity);

/* Every function that ends a connection closes its socket at once and frees its memory here: to be
 * called when no event and no list of the caller names a connection any more. */
void pool_free_ended(struct pool *pool);

/* Closes every connection as it is. */
void pool_free(struct pool *pool);

/* Takes a non-blocking socket that was accepted at the endpoint and makes a connection of it. When the
 * client's network holds as many as it may, one of its own gives way; when the
 * pool is full, the least loss does (pool_evict). When memory is short, which
 * is told, the socket is closed. */
void pool_admit(struct pool *pool, int fd, const struct endpoint *endpoint,
                const struct sockaddr *client, int64_t now);

/* Closes the connection whose loss is the least: the one that has lingered
 * longest, else the one longest idle, else the oldest unfinished one. It is one
 * of the network that holds most, unless even that holds few. False when there
 * is none. */
bool pool_evict(struct pool *pool);

/* A round: epoll says that the sockets of these connections are ready; event.data.ptr points at each.
 * Those that were reset go first, at no cost. Of the others those go on first whose networks have
 * used the least time. Whoever has no turn because the share of its network or that of all is used
 * up is left as it is, and epoll will say so again. The events are borrowed. */
void pool_advance(struct pool *pool, const struct epoll_event *events, size_t count, int64_t now);

/* Ends what has reached its deadline. */
void pool_expire(struct pool *pool, int64_t now);

/* From now on every response is the last of its connection, and connections
 * between two requests are sent close_notify. */
void pool_drain(struct pool *pool, int64_t now);

size_t pool_count(const struct pool *pool);

/* When pool_expire has something to do; INT64_MAX when nothing waits. */
int64_t pool_next_deadline(const struct pool *pool);

#endif
