#include "serve/worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "crypto/accelerate.h"
#include "sandbox/seal.h"
#include "serve/tls.h"

/* Beside connections: the epoll instance, and what a library may open for a moment. */
enum { DESCRIPTORS_SPARE = 9 };

struct worker {
    const struct worker_options *options; /* borrowed */
    struct tls_context *tls;              /* owned */
    struct loop *loop;                    /* owned */
};

static const int ignored_signals[] = {
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM,
};

static bool fail(const char *what, int reason)
{
    log_line(LOG_LEVEL_ERROR, "worker: cannot %s: %s", what, strerror(reason));
    return false;
}

/* Ctrl-C and a service manager's signals reach the whole process group, and the
 * supervisor may have blocked some when it forked. Ignoring discards what is
 * pending, so unblocking comes second. */
static bool settle_signals(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t none;

    for (size_t i = 0; i < sizeof(ignored_signals) / sizeof(ignored_signals[0]); i++)
        if (sigaction(ignored_signals[i], &ignore, NULL) != 0)
            return fail("ignore a signal", errno);
    (void)sigemptyset(&none); /* It cannot fail for a valid pointer. */
    return sigprocmask(SIG_SETMASK, &none, NULL) == 0 || fail("unblock signals", errno);
}

/* Raises the limit of descriptors as far as needed and allowed. Returns how many
 * connections it leaves room for; 0, logged, when there is none. */
static size_t connection_capacity(const struct worker_options *options)
{
    int highest = options->control;
    struct rlimit limit;

    for (size_t i = 0; i < options->entrance_count; i++)
        if (options->entrances[i].fd > highest)
            highest = options->entrances[i].fd;
    rlim_t reserve = (rlim_t)highest + 1 + DESCRIPTORS_SPARE;
    rlim_t wanted = reserve + LIMIT_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return fail("learn the limit of descriptors", errno);
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            return fail("raise the limit of descriptors", errno);
    }
    if (limit.rlim_cur <= reserve)
        return fail("hold a connection", EMFILE);
    rlim_t room = limit.rlim_cur - reserve;
    return room < LIMIT_CONNECTIONS ? (size_t)room : LIMIT_CONNECTIONS;
}

/* How many connections the memory has room for. */
static size_t memory_capacity(const struct worker_options *options)
{
    size_t room = options->memory / 2 / LIMIT_CONNECTION_MEMORY;
    return room > LIMIT_CONNECTIONS_LEAST ? room : LIMIT_CONNECTIONS_LEAST;
}

/* Everything that needs memory, descriptors or the kernel's goodwill. */
static bool prepare(struct worker *worker)
{
    const struct worker_options *options = worker->options;
    size_t capacity = connection_capacity(options);

    if (capacity == 0)
        return false;
    if (capacity > memory_capacity(options))
        capacity = memory_capacity(options);
    errno = 0;
    if (!accelerate_begin()) {
        if (errno == ENOMEM) /* an allocation has failed, and that proves nothing */
            return fail("check its cryptography", errno);
        log_line(LOG_LEVEL_ERROR, "worker: a known answer of its cryptography came out wrong: "
                                  "this machine or its libraries cannot be trusted");
        return false;
    }
    if (!stats_attach(options->stats, options->slot))
        return fail("make the counters of other workers read-only", errno);
    if (options->challenges != NULL && !challenges_protect(options->challenges))
        return fail("make the challenges read-only", errno);
    worker->tls = tls_context_new(options->site, options->challenges);
    if (worker->tls == NULL)
        return fail(errno == EIO ? "get random bytes for TLS" : "prepare TLS", errno);
    worker->loop = loop_new(options, worker->tls, capacity);
    return worker->loop != NULL || fail("prepare connections", errno);
}

/* No privilege is left behind this, and no client was heard before it. The supervisor says what is
 * missing. */
static bool seal(const struct worker *worker)
{
    struct worker_sealed message = {.type = WORKER_SEALED};
    const struct seal seal = {
        .keep_identity = worker->options->keep_identity,
        .uid = worker->options->uid,
        .gid = worker->options->gid,
        .supervisor = worker->options->supervisor,
        .empty_root_fd = worker->options->empty_root_fd,
    };
    const char *failed = seal_process(&seal, &message.report);

    if (failed != NULL)
        return fail(failed, errno);
    if (send(worker->options->control, &message, sizeof(message), MSG_NOSIGNAL) < 0)
        return fail("report the seal", errno);
    return seal_is_whole(&message.report) || !worker->options->seal_required;
}

static int serve(struct worker *worker)
{
    enum loop_state state;

    if (!loop_open(worker->loop)) {
        /* The status says it again. */
        (void)fail("watch the listeners and notify the supervisor", errno);
        return 1;
    }
    do
        state = loop_turn(worker->loop);
    while (state == LOOP_RUNS);
    if (state == LOOP_FAILED)
        (void)fail("wait for events", errno); /* The status says it again. */
    return state == LOOP_DRAINED ? 0 : 1;
}

int worker_run(const struct worker_options *options)
{
    struct worker worker = {.options = options};
    int status = 1;

    log_begin();
    log_set_style(options->log);
    if (settle_signals() && prepare(&worker) && seal(&worker)) {
        memory_give_back(); /* most of what a start needs, a connection does not */
        status = serve(&worker);
    }
    loop_free(worker.loop);
    tls_context_free(worker.tls);
    accelerate_end();
    return status;
}
