/*
 * Asks one endpoint of the server that runs on this machine whether it is well,
 * as a client would: no authority is trusted and no name is resolved, so that
 * it works where there is neither. Runs in the health command.
 */
#ifndef PROBE_HEALTH_H
#define PROBE_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "site/endpoint.h"
#include "site/site.h"

enum health_state {
    HEALTH_SERVES, /* a policy */
    HEALTH_IDLE,   /* it is alive, and for no domain that was asked for it has a certificate */
    HEALTH_DEAD,   /* it does not answer, or not as it should */
};

struct health {
    enum health_state state;
    const char *domain; /* whose policy was served; borrowed from the site; or NULL */
    bool differs;       /* it is not the policy of the site */
    int64_t took_us;    /* of the fetch that decided */
    char reason[512];   /* why it is dead, as a sentence without a full stop */
};

/* Everything is borrowed for the call. */
struct health_question {
    const struct endpoint *endpoint;
    const struct site *site;        /* or NULL */
    const struct site_domain *only; /* of the site; or NULL */
    int64_t now;                    /* seconds since 1970 UTC */
    int64_t deadline_us;            /* of all that is asked */
};

/* Asks for the domains of the site until one is served. With only, for that one alone and strictly:
 * its certificate is to be valid now, and the policy to be the configured one; else the state is
 * HEALTH_DEAD. */
void health_ask(const struct health_question *question, struct health *ret_health);

#endif
