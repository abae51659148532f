/*
 * One fetch of a policy from one address, as a sender does it: connect, shake
 * hands, ask, read the answer, all before one deadline. It tells what came and
 * how long each step took, and judges nothing. Runs in a child of the probe,
 * and in the health check.
 */
#ifndef PROBE_FETCH_H
#define PROBE_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/limits.h"
#include "base/span.h"
#include "probe/answer.h"
#include "probe/client.h"

/* The step in which it ended. */
enum fetch_step {
    FETCH_CONNECT,
    FETCH_BEGIN, /* the request's begin has failed */
    FETCH_HANDSHAKE,
    FETCH_ANSWER,
    FETCH_DONE, /* there is a response, whatever it says */
};

/* Everything is borrowed for the call. */
struct fetch_request {
    const struct address *address;
    const char *host;   /* for SNI and the Host header */
    const char *target; /* what to ask for; NULL: the policy */
    int64_t timeout_ms;
    struct span preamble; /* sent before TLS begins, for a listener that expects a proxy */
    enum client_versions versions;
    bool handshake_only;
    /* What comes before TLS in another protocol; or NULL. False: it has failed. */
    bool (*begin)(struct stream *stream, void *context);
    void *context;
};

/* What came. End with fetch_free. */
struct fetch {
    enum fetch_step step;
    int error;                 /* of FETCH_CONNECT: from errno */
    enum client_result result; /* of the step in which it ended */
    int alert;                 /* with CLIENT_ALERT; -1 when not known */
    int64_t connect_us, handshake_us, answer_us;
    const char *tls_version; /* from FETCH_ANSWER on; static */
    struct span *chain;      /* the same: certificates in DER; owned with their bytes */
    size_t chain_len;
    bool is_late;          /* the deadline ended it */
    struct answer *answer; /* what was read of the response; owned; NULL before FETCH_ANSWER */
};

/* Where to reach one that listens at the address: where that is everywhere, this machine itself; with
 * fall_back by IPv4, for a machine without IPv6. */
struct address fetch_address_of(const struct address *listener, bool fall_back);

/* False when memory is short; ret_fetch can be freed even then. */
bool fetch_run(const struct fetch_request *request, struct fetch *ret_fetch);
void fetch_free(struct fetch *fetch);

#endif
