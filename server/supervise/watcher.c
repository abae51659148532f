#include "supervise/watcher.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "sandbox/seal.h"

/* What the child sends: news, or none to show that it lives, and what the next child is to know. */
struct message {
    uint64_t news; /* enum lookout_news */
    struct watch_look handled;
    int64_t since[WATCH_PARTS];
    uint64_t told;
};

static bool tell(struct watcher *watcher, enum lookout_news news, int64_t now)
{
    struct message message = {
        .news = news, .handled = watcher->lookout.handled, .told = watcher->challenger.told};
    memcpy(message.since, watcher->lookout.since, sizeof(message.since));
    watcher->beat = now + LIMIT_WATCHER_BEAT_MS;
    return send(watcher->control, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT) ==
           (ssize_t)sizeof(message);
}

/* That files were waited for in vain to come to rest, and which was changed last. */
static void report_restless(const struct watch *watch, enum watch_part part)
{
    struct text path = {0}, shown = {0};
    watch_find_latest(watch, part, &path);
    text_escape(&shown, (struct span){path.data, path.len}, LIMIT_LOG_REQUEST);
    log_line(LOG_LEVEL_WARNING,
             "%s is changed again and again: its changes are not waited for any longer",
             shown.failed || shown.data == NULL ? "a file" : shown.data);
    text_free(&path);
    text_free(&shown);
}

/* A supervisor that has no room for news at the moment gets them after the next look. */
static void look(struct watcher *watcher, int64_t now)
{
    const struct lookout before = watcher->lookout;
    challenger_look(&watcher->challenger, now);
    enum lookout_news news = lookout_look(&watcher->lookout, watcher->watch, now);
    if (news != LOOKOUT_NOTHING && watcher->lookout.is_restless)
        report_restless(watcher->watch, (enum watch_part)(news - 1));
    if (news == LOOKOUT_NOTHING && now < watcher->beat)
        return;
    if (!tell(watcher, news, now) && news != LOOKOUT_NOTHING) {
        int64_t next = watcher->lookout.next;
        watcher->lookout = before;
        watcher->lookout.next = next;
    }
}

static int time_left(const struct watcher *watcher)
{
    int64_t next = watcher->beat;
    if (watcher->lookout.next < next)
        next = watcher->lookout.next;
    if (watcher->challenger.next < next)
        next = watcher->challenger.next;
    int64_t left = next - clock_monotonic_ms();
    return left < 1 ? 1 : left > LIMIT_WATCHER_BEAT_MS ? LIMIT_WATCHER_BEAT_MS : (int)left;
}

/* Until the supervisor closes its end or dies. It holds nothing of the supervisor's but the log; the
 * configuration and the challenges are memory. */
static _Noreturn void run(struct watcher *watcher, int control)
{
    const int64_t now = clock_monotonic_ms();
    watcher->control = control;
    watcher->beat = now + LIMIT_WATCHER_BEAT_MS;
    watcher->challenger.next = watcher->challenger.challenges == NULL ? INT64_MAX : now;
    stats_free(watcher->stats);
    if (!seal_reader(SYSCALLS_WATCHER, getppid()))
        _exit(1);
    memory_give_back();
    for (;;) {
        struct pollfd polled[] = {
            {.fd = control, .events = POLLIN},
            {.fd = watcher->challenger.inotify, .events = POLLIN},
        };
        (void)poll(polled, 2, time_left(watcher)); /* if it fails, the next look is only sooner */
        if (polled[0].revents != 0)
            _exit(0); /* nothing is ever sent to this end */
        look(watcher, clock_monotonic_ms());
    }
}

static void start(struct watcher *watcher, int64_t now)
{
    int control;
    pid_t pid = child_begin(CHILD_WATCHER, NULL, 0, &control);
    watcher->start_at = INT64_MAX;
    if (pid == 0)
        run(watcher, control);
    if (pid < 0) {
        int64_t pause = backoff_pause(&watcher->backoff, true, now);
        log_line(LOG_LEVEL_ERROR, "cannot start the watcher: %s", strerror(errno));
        watcher->start_at = now + (pause > LIMIT_KILLED_MS ? pause : LIMIT_KILLED_MS);
        return;
    }
    watcher->pid = pid;
    watcher->control = control;
    watcher->silent_by = now + LIMIT_WATCHER_SILENCE_MS;
}

/* What it has sent counts no more. */
static void close_control(struct watcher *watcher)
{
    descriptor_close(&watcher->control);
    watcher->silent_by = INT64_MAX;
}

static void kill_child(struct watcher *watcher)
{
    child_kill(watcher->pid);
    close_control(watcher);
}

void watcher_stop(struct watcher *watcher)
{
    watcher->news = LOOKOUT_NOTHING;
    watcher->start_at = INT64_MAX;
    if (watcher->pid == 0)
        return;
    kill_child(watcher);
    watcher->ending = watcher->pid;
    watcher->pid = 0;
}

/* Two must not write to the challenges at the same time, so the one before ends first. */
static void replace(struct watcher *watcher, int64_t now)
{
    watcher_stop(watcher);
    if (watcher->watch->is_wanted[WATCH_CERTIFICATES] || watcher->watch->is_wanted[WATCH_FILES] ||
        watcher->challenger.challenges != NULL)
        watcher->start_at = watcher->ending == 0 ? now : now + LIMIT_KILLED_MS;
    watcher_expire(watcher, now);
}

bool watcher_prepare(struct watcher *watcher, const struct acme *acme)
{
    if (watcher->challenger.challenges != NULL || (acme->alpn == NULL && acme->webroot == NULL))
        return true;
    watcher->challenger.challenges = challenges_new();
    if (watcher->challenger.challenges == NULL)
        log_line(LOG_LEVEL_ERROR, "cannot share challenges with workers: %s", strerror(errno));
    return watcher->challenger.challenges != NULL;
}

void watcher_begin(struct watcher *watcher, const struct watch *watch, const struct acme *acme,
                   int64_t load_ms, int64_t now)
{
    watcher->watch = watch;
    watcher->challenger.acme = acme;
    lookout_renew(&watcher->lookout, watch, now, load_ms);
    replace(watcher, now);
}

void watcher_retry(struct watcher *watcher, int64_t now, int64_t pause)
{
    lookout_retry(&watcher->lookout, watcher->watch, now, pause);
    replace(watcher, now);
}

/* A watcher that was taken over may send anything about the files; times that cannot be are replaced. */
static void remember(struct watcher *watcher, const struct message *message)
{
    watcher->lookout.handled = message->handled;
    watcher->lookout.seen = message->handled;
    for (size_t part = 0; part < WATCH_PARTS; part++)
        watcher->lookout.since[part] = message->since[part] < 0 ? 0 : message->since[part];
    watcher->challenger.told = message->told;
    if (message->news > watcher->news)
        watcher->news = (enum lookout_news)message->news;
}

/* Why the message is none that a watcher sends; NULL when it is one. */
static const char *judge(struct watcher *watcher, const struct message *message, size_t len,
                         int64_t now)
{
    if (now - watcher->counted_since >= LIMIT_WATCHER_BEAT_MS) {
        watcher->counted_since = now;
        watcher->messages = 0;
    }
    if (len != sizeof(*message) || message->news > LOOKOUT_FILES)
        return "has sent what is no message";
    return ++watcher->messages > LIMIT_WATCHER_MESSAGES ? "sends too many messages" : NULL;
}

void watcher_hear(struct watcher *watcher, int64_t now)
{
    while (watcher->control >= 0) {
        struct message message;
        ssize_t len = recv(watcher->control, &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);
        if (len < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (len <= 0) {
            kill_child(watcher); /* it is about to end, or it must */
            return;
        }
        const char *why = judge(watcher, &message, (size_t)len, now);
        if (why != NULL) {
            log_line(LOG_LEVEL_ERROR, "watcher %d %s: it is killed", (int)watcher->pid, why);
            kill_child(watcher);
            return;
        }
        watcher->silent_by = now + LIMIT_WATCHER_SILENCE_MS;
        remember(watcher, &message);
    }
}

bool watcher_end(struct watcher *watcher, pid_t pid, int status, int64_t now)
{
    if (pid == watcher->ending) {
        watcher->ending = 0;
        if (watcher->start_at != INT64_MAX)
            watcher->start_at = now;
        return true;
    }
    if (pid != watcher->pid)
        return false;
    close_control(watcher);
    watcher->pid = 0;
    child_report_death(CHILD_WATCHER, pid, status);
    watcher->start_at = now + child_replace(CHILD_WATCHER, pid, &watcher->backoff, true, now);
    return true;
}

void watcher_expire(struct watcher *watcher, int64_t now)
{
    if (now >= watcher->start_at)
        start(watcher, now);
    if (now < watcher->silent_by)
        return;
    log_line(LOG_LEVEL_ERROR, "watcher %d has sent nothing for %d s: it is killed",
             (int)watcher->pid, LIMIT_WATCHER_SILENCE_MS / 1000);
    kill_child(watcher);
}

void watcher_close(struct watcher *watcher)
{
    watcher_stop(watcher);
    challenges_free(watcher->challenger.challenges);
    *watcher = WATCHER_NONE;
}
