/*
 * One client from accept to the last byte: the word of a proxy, handshake, requests and responses,
 * close_notify, and a lingering end so that neither a response nor an alert is
 * lost to a reset. It owns its socket, its TLS session and one buffer for a
 * request; it never waits: whoever drives it asks what it wants to wait for.
 */
#ifndef SERVE_CONNECTION_H
#define SERVE_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "serve/access.h"
#include "serve/networks.h"
#include "serve/shortage.h"
#include "serve/timers.h"
#include "serve/tls.h"
#include "shared/challenges.h"
#include "shared/stats.h"
#include "site/endpoint.h"
#include "site/site.h"

/* What the connections of a worker share; everything is borrowed. */
struct connection_setting {
    struct tls_context *tls;
    const struct site *site;
    const struct challenges *challenges; /* or NULL */
    struct stats *stats;                 /* where it counts; or NULL */
    bool records_fetches;                /* there, because somebody may ask for them */
    /* The rest is the pool's. */
    struct timers *timers;
    struct shortage *shortage; /* where it says that memory is short */
    struct access_rate *rate;  /* of failed handshakes in the log */
    /* LIMIT_REQUEST_HEAD bytes for what is read from a client, while its connection goes on. */
    char *request;
    bool draining; /* what is not begun is not waited for; what ends is closed */
};

enum connection_wish {
    CONNECTION_READ,   /* advance when the socket can be read */
    CONNECTION_WRITE,  /* advance when it can be written */
    CONNECTION_MEMORY, /* end another one, then advance this one at once; or end it */
    CONNECTION_OVER,   /* end it */
};

struct connection;

/* A connection on a non-blocking socket that was accepted at the endpoint from
 * the client, whose address is copied. The socket is taken, unless the answer is
 * NULL: memory is short. Its time begins now (milliseconds of the monotonic
 * clock). Owned. Setting and endpoint are borrowed until connection_free. */
struct connection *connection_new(const struct connection_setting *setting, int fd,
                                  const struct endpoint *endpoint, const struct sockaddr *client,
                                  int64_t now);

/* Closes the socket as it is and releases everything but the connection itself, which whoever still
 * holds a pointer to it may ask whether it has ended, and nothing else. */
void connection_end(struct connection *connection);

bool connection_has_ended(const struct connection *connection);

/* A place for the pointers of a list that its owner keeps. */
struct connection **connection_next(struct connection *connection);

/* Ends it first, if it has not ended. */
void connection_free(struct connection *connection);

/* Goes on as far as the socket lets it. Legal at any time; without news it does
 * nothing. When draining, a connection between two requests sends close_notify. */
void connection_advance(struct connection *connection, int64_t now);

/* Its socket was reset or is closed on both sides: it is over. Of what came before that only
 * an alert is looked at, because no answer can reach the client. */
void connection_break(struct connection *connection, int64_t now);

/* Its deadline has come. One between two requests sends close_notify, any other is over. */
void connection_expire(struct connection *connection, int64_t now);

/* It was to be advanced for CONNECTION_MEMORY and no other one could be ended: it is over, which is told. */
void connection_give_up(struct connection *connection, int64_t now);

/* What it waits for since the last of these calls; at first for reading. */
enum connection_wish connection_wish(const struct connection *connection);

int connection_fd(const struct connection *connection); /* borrowed */

/* Whom it serves: the address that connected, or the one for which a proxy that
 * is believed connected. Borrowed. */
const struct sockaddr *connection_client(const struct connection *connection);

/* When it expires, in milliseconds of the monotonic clock. */
int64_t connection_deadline(const struct connection *connection);

/* How far it is since the last of these calls. */
enum network_stage connection_stage(const struct connection *connection);

/* Its membership in a network, for whoever keeps account of them, who also ends
 * it before connection_free. Borrowed. */
struct network_member *connection_member(struct connection *connection);

#endif
