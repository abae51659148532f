/*
 * One client from accept to the last byte: the header of a proxy, handshake, requests and responses,
 * close_notify, and a lingering end so that neither a response nor an alert is
 * lost to a reset. It owns its socket, its TLS session and one buffer for a
 * request; it never waits: whoever drives it asks what it wants to wait for.
 * There are few kinds of deadlines and each is a constant time away, so a queue for each kind is always
 * in the order of the deadlines: nothing is sorted. The clock is a parameter. Runs in the worker.
 */
#ifndef SERVE_CONNECTION_H
#define SERVE_CONNECTION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "serve/answer.h"
#include "serve/networks.h"
#include "serve/queue.h"
#include "serve/tls.h"
#include "shared/challenges.h"
#include "shared/stats.h"
#include "site/endpoint.h"
#include "site/site.h"

/* Why a connection is waited for. The first two are a lesser loss than the others. */
enum timer_kind {
    TIMER_LINGERING,    /* everything was sent; LIMIT_LINGER_MS */
    TIMER_IDLE,         /* between two requests; LIMIT_IDLE_MS */
    TIMER_INTRODUCTION, /* a proxy has not said for whom it connects; LIMIT_INTRODUCTION_MS */
    TIMER_UNFINISHED,   /* handshake, request or response are not through; LIMIT_UNFINISHED_MS */
};
#define TIMER_KINDS 4

/* A part of a connection. Begin with {0}. */
struct timer {
    struct queue_link link;
    enum timer_kind kind;
    bool running;
    int64_t deadline; /* milliseconds of the monotonic clock */
};

/* Those that run. Begin with {0}. */
struct timers {
    struct queue queues[TIMER_KINDS];
};

/* Starts the timer, or starts it again with another kind. now is in milliseconds
 * of the monotonic clock and never smaller than in an earlier call. */
void timers_start(struct timers *timers, struct timer *timer, enum timer_kind kind, int64_t now);

/* Stops the timer; legal when it does not run. */
void timers_stop(struct timers *timers, struct timer *timer);

/* When a timer that runs was started. Milliseconds. */
int64_t timers_begun(const struct timer *timer);

/* The connection with the next deadline; NULL when no timer runs. Borrowed. */
struct connection *timers_next(const struct timers *timers);

/* A shortage of descriptors or memory may last for hours and concern every client, so it is logged at
 * most once in LIMIT_COMPLAINT_MS. Begin with {0}. */
struct shortage {
    int64_t quiet_until; /* when the next complaint may be logged */
    uint64_t count;      /* of what could not be done so far */
};

/* Logs what cannot be done and why (an errno code). now is in milliseconds of
 * the monotonic clock. */
void shortage_tell(struct shortage *shortage, const char *what, int reason, int64_t now);

/* What the connections of a worker share; every pointer is borrowed. */
struct connection_setting {
    struct tls_context *tls;
    const struct site *site;
    const struct challenges *challenges; /* or NULL */
    struct stats *stats;                 /* where it counts; or NULL */
    bool records_fetches;                /* there, because somebody may ask for them */
    /* The rest begins with zeros and is the loop's. */
    struct timers timers;
    struct shortage shortage;
    struct answer_rate rate; /* of failed handshakes in the log */
    /* LIMIT_REQUEST_HEAD bytes for what is read from a client, while its connection goes on. */
    char *request;
    bool draining; /* what is not begun is not waited for; what ends is closed */
};

enum connection_wish {
    CONNECTION_READ,   /* advance when the socket can be read */
    CONNECTION_WRITE,  /* advance when it can be written */
    CONNECTION_MEMORY, /* end another one, then advance this one at once; or end it */
    CONNECTION_OVER,   /* end it */
    CONNECTION_GO_ON,  /* another state goes on at once; only while it is advanced */
};

enum connection_state {
    STATE_INTRODUCTION, /* a proxy says for whom it connects */
    STATE_HANDSHAKE,
    STATE_REQUEST,
    STATE_RESPONSE,
    STATE_CLOSING,   /* close_notify is on its way */
    STATE_LINGERING, /* all is sent; what still comes is thrown away */
};

/* Values that no other memory holds by chance. */
enum connection_tag {
    TAG_OPEN = 0x6e65706f,
    TAG_ENDED = 0x646e652e,
    TAG_FREED = 0x65657266,
};

struct connection {
    /* For whoever drives it, to read. */
    enum connection_wish wish; /* what it waits for; at first for reading */
    int fd;                    /* owned */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } client; /* whom it serves: who connected, or for whom a proxy that is believed did */
    struct timer timer; /* when it expires */
    /* Whoever drives it keeps account of networks here, and ends that before connection_free; of what
     * it watches; and of a list of its own. */
    struct network_member member;
    enum connection_wish watched;
    struct connection *next; /* borrowed */
    /* The rest is the connection's own. */
    enum connection_tag tag;
    enum connection_state state;
    struct connection_setting *setting; /* borrowed */
    const struct endpoint *endpoint;    /* borrowed */
    struct tls_session *session;        /* owned; NULL before the first byte and at the end */
    unsigned requests;                  /* answered so far */
    struct answer answer;               /* in STATE_RESPONSE */
    size_t sent;                        /* bytes of it */
    size_t received;                    /* bytes of requests that are not answered yet */
    int64_t begun_us; /* the time for the answer: since accept, or since the last one */
    char *held;       /* owned; these bytes while others go on; NULL when there are none */
};

/* A connection on a non-blocking socket that was accepted at the endpoint from
 * the client, whose address is copied. The socket is taken, unless the answer is
 * NULL: memory is short. Its time begins now (milliseconds of the monotonic
 * clock). Owned. Setting and endpoint are borrowed until connection_free. */
struct connection *connection_new(struct connection_setting *setting, int fd,
                                  const struct endpoint *endpoint, const struct sockaddr *client,
                                  int64_t now);

/* Closes the socket as it is and releases everything but the connection itself, which whoever still
 * holds a pointer to it may ask whether it has ended, and nothing else. */
void connection_end(struct connection *connection);

bool connection_has_ended(const struct connection *connection);

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

/* How far it is since the last of these calls. */
enum network_stage connection_stage(const struct connection *connection);

#endif
