#include "serve/worker.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "serve/accelerate.h"
#include "serve/acceptor.h"
#include "serve/pool.h"
#include "serve/seal.h"
#include "serve/tls.h"

enum {
    /* Many, so that a client who is ready is not overlooked behind a flood of others. How
     * much is done in a round is the pool's to limit. */
    EVENTS_AT_ONCE = 512,
    /* Beside connections: what a library may open for a moment. */
    DESCRIPTORS_SPARE = 8,
};

struct worker {
    const struct worker_options *options; /* borrowed */
    struct tls_context *tls;              /* owned */
    struct pool *pool;                    /* owned */
    struct acceptor acceptor;
    int epoll;              /* owned; -1 before it is made */
    int64_t drain_deadline; /* INT64_MAX until told to drain */
    bool orphaned;          /* the supervisor is gone */
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
static size_t connection_capacity(const struct worker *worker)
{
    int highest =
        worker->epoll > worker->options->control ? worker->epoll : worker->options->control;
    struct rlimit limit;

    for (size_t i = 0; i < worker->options->entrance_count; i++)
        if (worker->options->entrances[i].fd > highest)
            highest = worker->options->entrances[i].fd;
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

static bool is_watched(const struct worker_options *options)
{
    for (size_t i = 0; i < options->entrance_count; i++)
        if (options->entrances[i].endpoint->service == ENDPOINT_METRICS)
            return true;
    return false;
}

/* Everything that needs memory, descriptors or the kernel's goodwill. */
static bool prepare(struct worker *worker)
{
    const struct worker_options *options = worker->options;
    struct epoll_event event = {
        .events = EPOLLIN,
        .data.ptr = (void *)(uintptr_t)&options->control,
    };

    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (worker->epoll < 0 || epoll_ctl(worker->epoll, EPOLL_CTL_ADD, options->control, &event) != 0)
        return fail("make an epoll instance", errno);
    size_t capacity = connection_capacity(worker);
    if (capacity == 0)
        return false;
    if (!accelerate_begin()) {
        log_line(LOG_LEVEL_ERROR, "worker: a known answer of its cryptography came out wrong: "
                                  "this machine or its libraries cannot be trusted");
        return false;
    }
    if (!board_sit(options->board, options->slot))
        return fail("give up the counters of others", errno);
    if (options->challenges != NULL && !challenges_protect(options->challenges))
        return fail("give up to write challenges", errno);
    worker->tls = tls_context_new(options->site, options->challenges);
    if (worker->tls == NULL)
        return fail("prepare TLS", ENOMEM);
    const struct pool_shared shared = {
        .site = options->site,
        .challenges = options->challenges,
        .tls = worker->tls,
        .board = options->board,
        .notes_visits = is_watched(options),
    };
    worker->pool = pool_new(worker->epoll, &shared, capacity);
    if (worker->pool == NULL)
        return fail("prepare connections", ENOMEM);
    worker->acceptor =
        acceptor_of(worker->epoll, options->entrances, options->entrance_count, worker->pool);
    return true;
}

/* No privilege is left behind this, and no client was heard before it. */
static bool seal(const struct worker *worker)
{
    const struct seal seal = {
        .keep_identity = worker->options->keep_identity,
        .uid = worker->options->uid,
        .gid = worker->options->gid,
        .supervisor = worker->options->supervisor,
        .void_fd = worker->options->void_fd,
        .required = worker->options->seal_required,
    };
    struct seal_report report; /* of which the supervisor knows by its rehearsal */
    const char *failed = seal_process(&seal, &report);

    return failed == NULL || fail(failed, errno);
}

static bool open_doors(struct worker *worker)
{
    const char ready = WORKER_READY;

    if (!acceptor_watch(&worker->acceptor))
        return fail("watch the listeners", errno);
    return send(worker->options->control, &ready, 1, MSG_NOSIGNAL) == 1 ||
           fail("tell the supervisor that this worker is ready", errno);
}

static void drain(struct worker *worker, int64_t now)
{
    if (worker->drain_deadline != INT64_MAX)
        return;
    worker->drain_deadline = now + LIMIT_DRAIN_MS;
    acceptor_stop(&worker->acceptor, now);
    pool_drain(worker->pool, now);
}

static void listen_to_supervisor(struct worker *worker, int64_t now)
{
    char messages[16];
    ssize_t len = recv(worker->options->control, messages, sizeof(messages), 0);

    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    worker->orphaned = len <= 0;
    for (ssize_t i = 0; i < len; i++)
        if (messages[i] == WORKER_DRAIN)
            drain(worker, now);
}

/* Connections come first: what follows may end some, and an event must not
 * point at one that is gone. */
static void dispatch(struct worker *worker, struct epoll_event *events, int count)
{
    const void *control = &worker->options->control;
    int64_t now = clock_monotonic_ms();
    bool told = false;
    int others = 0;

    pool_begin_round(worker->pool);
    for (int i = 0; i < count; i++) {
        void *source = events[i].data.ptr;
        if (source == control)
            told = true;
        else if (acceptor_has(&worker->acceptor, source))
            events[others++].data.ptr = source;
        else
            pool_advance(worker->pool, source, now);
    }
    for (int i = 0; i < others; i++) {
        acceptor_accept(&worker->acceptor, events[i].data.ptr, now);
    }
    if (told)
        listen_to_supervisor(worker, now);
    pool_expire(worker->pool, now);
    acceptor_resume(&worker->acceptor, now);
}

/* Milliseconds for epoll_wait until something has to be done without an event. */
static int time_to_wait(const struct worker *worker)
{
    int64_t next = pool_next_deadline(worker->pool);

    if (worker->acceptor.resume < next)
        next = worker->acceptor.resume;
    if (worker->drain_deadline < next)
        next = worker->drain_deadline;
    if (next == INT64_MAX)
        return -1;
    int64_t left = next - clock_monotonic_ms();
    if (left < 0)
        return 0;
    return left < INT_MAX ? (int)left : INT_MAX;
}

static bool is_drained(const struct worker *worker)
{
    return worker->drain_deadline != INT64_MAX &&
           (pool_count(worker->pool) == 0 || clock_monotonic_ms() >= worker->drain_deadline);
}

static int serve(struct worker *worker)
{
    struct epoll_event events[EVENTS_AT_ONCE];

    while (!worker->orphaned && !is_drained(worker)) {
        int count = epoll_wait(worker->epoll, events, EVENTS_AT_ONCE, time_to_wait(worker));
        if (count < 0 && errno != EINTR) {
            (void)fail("wait for events", errno); /* The status says it again. */
            return 1;
        }
        dispatch(worker, events, count);
    }
    return worker->orphaned ? 1 : 0;
}

int worker_run(const struct worker_options *options)
{
    struct worker worker = {.options = options, .epoll = -1, .drain_deadline = INT64_MAX};
    int status = 1;

    log_begin();
    log_set_style(options->log);
    if (settle_signals() && prepare(&worker) && seal(&worker) && open_doors(&worker))
        status = serve(&worker);
    pool_free(worker.pool);
    tls_context_free(worker.tls);
    if (worker.epoll >= 0)
        (void)close(worker.epoll); /* Nothing was written through it. */
    return status;
}
