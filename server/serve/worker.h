/*
 * A worker: one thread, one epoll loop, many connections. It is forked by the
 * supervisor with a sealed site and open listeners, gives up every privilege
 * (sandbox/seal.h) before it accepts the first client, and opens no file.
 */
#ifndef SERVE_WORKER_H
#define SERVE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/log.h"
#include "sandbox/seal.h"
#include "serve/loop.h"
#include "shared/challenges.h"
#include "site/endpoint.h"
#include "site/site.h"

/* What the control socket carries first (serve/loop.h). */
struct worker_sealed {
    char type; /* WORKER_SEALED */
    struct seal_report report;
};

struct worker_options {
    const struct site *site;          /* borrowed; sealed */
    struct stats *stats;              /* borrowed */
    const struct log_style *log;      /* borrowed */
    size_t slot;                      /* of the stats, for this worker */
    size_t memory;                    /* bytes that it may take; SIZE_MAX: nothing limits it */
    struct challenges *challenges;    /* borrowed; only read; or NULL */
    const struct entrance *entrances; /* borrowed; their descriptors are closed by a drain */
    size_t entrance_count;
    int control;      /* borrowed; non-blocking */
    pid_t supervisor; /* to notice when it died before we looked */
    /* Identity after the seal; keep_identity when the supervisor is not root. */
    bool keep_identity;
    uid_t uid;
    gid_t gid;
    int empty_root_fd;  /* taken; or -1 (sandbox/filesystem.h) */
    bool seal_required; /* end, once it was reported, when the kernel lacks a part of the seal */
};

/* Serves until told to drain. Changes the whole process: signals that a terminal
 * or a service manager sends to the group are ignored from now on (only the
 * supervisor decides) and none is blocked; the limit of descriptors is raised;
 * privileges are gone for good. The caller has closed every descriptor that
 * is not for this worker, the control sockets of other workers above all. Returns the
 * exit status of the process: 0 after a drain, 1 after an error (which it has
 * logged) and when the supervisor is gone. */
int worker_run(const struct worker_options *options);

#endif
