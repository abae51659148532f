/*
 * The policy that a host serves today: fetches it as a sender does, from the
 * first address that answers. Whether the server is one that senders accept is
 * the probe's to judge; here only its certificate is looked at, because what
 * comes from anybody is not to be trusted unread. Runs in the command import.
 */
#ifndef COMMAND_IMPORT_URL_H
#define COMMAND_IMPORT_URL_H

#include <stdint.h>

#include "command/import_hosts.h"

struct trust; /* probe/trust.h */

/* Adds the host of the domain, which is written with or without "mta-sts.". now is seconds since 1970
 * UTC. trust may be NULL: no authority is known. */
void import_url(struct import_hosts *hosts, const char *domain, const struct trust *trust,
                int64_t now);

#endif
