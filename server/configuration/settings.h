/*
 * The settings: everything at the top of the configuration that is neither a
 * policy nor a domain. A fault here is a fault of the whole file. Runs in the
 * loader and in commands.
 */
#ifndef CONFIGURATION_SETTINGS_H
#define CONFIGURATION_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/log.h"
#include "configuration/document.h"
#include "configuration/schema.h"
#include "site/endpoint.h"

/* Where challenges for certificate authorities are found. */
struct acme {
    const char *alpn;    /* folder with certificates for tls-alpn-01, or NULL */
    const char *webroot; /* folder above the files for http-01, or NULL */
};

struct settings {
    struct endpoint *listeners; /* at least one for policies */
    size_t listener_count;
    struct log_style log;
    const char *user;  /* or NULL: not given */
    unsigned workers;  /* 0: one a CPU */
    const char *state; /* folder for what survives a restart, or NULL */
    bool state_hangs;  /* its disk did not answer when it was read */
    bool strict;
    bool seal_required;          /* a part of the seal that the machine lacks is a fault */
    int64_t certificate_warning; /* seconds before the end of a certificate, or the default of
                                     site/site.h */
    struct acme acme;            /* its folders as the process opens them */
    const char *dns_target;      /* host name for a CNAME, or NULL */
    const char **dns_addresses;  /* canonical text of IPv4 and IPv6 addresses */
    size_t dns_address_count;
    const char *dns_delegate; /* the zone with the TXT records of all domains; or NULL: its own */
    uint32_t dns_ttl;         /* seconds, 1 to INT32_MAX; 0: not given */
    const char *tls_rpt;      /* the value of rua, encoded; or NULL */
};

/* Judges the nodes and fills the settings, which borrow from the arena.
 * Problems are added as DIAG_FATAL; false when there was one. */
bool settings_read(const struct root_nodes *nodes, struct arena *arena, struct diag *diag,
                   struct settings *ret_settings);

/* The value of rua= for _smtp._tls (RFC 8460 section 3): mailto: and https:
 * addresses, joined by commas, with "," "!" and ";" encoded inside of each.
 * Borrowed from the arena; NULL after a problem, added at the level. */
const char *settings_tls_rpt(const struct node *node, struct arena *arena, enum diag_level level,
                             struct diag *diag);

#endif
