#include "supervise/watcher.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "load/challenge_files.h"
#include "sandbox/seal.h"

/* What the child sends: news, or none to show that it lives, and what the next child is to know. */
struct message {
    uint64_t news; /* enum lookout_news */
    struct watch_look handled;
    int64_t since[WATCH_PARTS];
    uint64_t told;
};

/* The folders in which ACME clients leave challenges, which are shown to all workers at once, without a reload.
 * The kernel tells of news (inotify); where it cannot, a look every two seconds finds them. Times are
 * milliseconds of the monotonic clock. */
struct challenger {
    struct challenges *challenges; /* borrowed; NULL: no configuration has wanted them yet */
    const struct acme *acme;       /* borrowed */
    int inotify;                   /* owned; or -1 */
    int64_t next;                  /* the next look; INT64_MAX: none */
    int64_t rested;                /* not before this, whatever the kernel tells */
    uint64_t told;                 /* what was said last of files that are left out */
    bool lacks;                    /* the last look could not see all, which was told */
};

/* The child. */
struct child {
    const struct watch *watch;
    int control;
    int64_t beat; /* when it must have sent something */
    struct lookout lookout;
    struct challenger challenger;
};

/* A file that is complete, came or went; a folder that was made, and one that is another now. */
static const uint32_t NEWS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE |
                             IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
/* After these the watch is of a folder that the path does not lead to any more. */
static const uint32_t LOST = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT;

static void watch_folder(const struct challenger *challenger, const char *folder)
{
    if (challenger->inotify >= 0)
        /* A second time is no harm, and where it fails the next look comes by itself. */
        (void)inotify_add_watch(challenger->inotify, folder, NEWS);
}

/* Watches every folder that is there, those above the last one too: it may be made only when it is
 * needed. To be called before they are read, so that nothing comes in between. */
static void watch_all(struct challenger *challenger, const char *below_webroot)
{
    const struct acme *acme = challenger->acme;
    if (challenger->inotify < 0)
        challenger->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (acme->alpn != NULL)
        watch_folder(challenger, acme->alpn);
    if (acme->webroot == NULL)
        return;
    char folder[PATH_MAX];
    int len = snprintf(folder, sizeof(folder), "%s/.well-known", acme->webroot);
    watch_folder(challenger, acme->webroot);
    if (len > 0 && (size_t)len < sizeof(folder))
        watch_folder(challenger, folder);
    watch_folder(challenger, below_webroot);
}

/* The events themselves do not matter: who looks sees all. Returns whether there were any. */
static bool drain(struct challenger *challenger)
{
    union {
        struct inotify_event event;
        char bytes[4096];
    } news;
    bool any = false, lost = false;
    ssize_t len = 0;
    while (challenger->inotify >= 0 &&
           (len = read(challenger->inotify, news.bytes, sizeof(news.bytes))) > 0) {
        any = true;
        for (ssize_t at = 0; at < len;) {
            struct inotify_event event;
            memcpy(&event, news.bytes + at, sizeof(event));
            lost = lost || (event.mask & LOST) != 0;
            at += (ssize_t)(sizeof(event) + event.len);
        }
    }
    if (lost)
        descriptor_close(
            &challenger->inotify); /* and begin anew: the path may lead elsewhere now */
    return any;
}

/* What is left out is told once, and again when it is something else. */
static void report_left_out(struct challenger *challenger, const struct challenge_files *files)
{
    struct span trouble = {files->trouble.data, files->trouble.len};
    uint64_t hash = trouble.len == 0 ? 0 : span_hash(trouble);
    if (hash != 0 && hash != challenger->told)
        log_line(LOG_LEVEL_WARNING, "challenges: %s%s", files->trouble.data,
                 files->left_out > 1 ? "; it is not the only one" : "");
    challenger->told = hash;
}

/* Once, until it is over. */
static void tell_lack(struct challenger *challenger, int lack)
{
    if (lack != 0 && !challenger->lacks)
        log_line(LOG_LEVEL_ERROR,
                 "challenges cannot be read: %s; what is shown to authorities stays as it is",
                 strerror(lack));
    challenger->lacks = lack != 0;
}

/* When something lacks, what is shown stays as it is until the next look. */
static void publish(struct challenger *challenger, const char *below_webroot)
{
    struct challenge_files *files = heap_take(1, sizeof(*files));
    files->arena = arena_new();
    if (challenger->acme->alpn != NULL)
        challenge_files_read(files, CHALLENGE_ALPN, challenger->acme->alpn);
    if (challenger->acme->webroot != NULL)
        challenge_files_read(files, CHALLENGE_HTTP, below_webroot);
    /* Some are shown by this challenger or one before it. */
    bool are_shown = challenges_pending(challenger->challenges, CHALLENGE_ALPN) ||
                     challenges_pending(challenger->challenges, CHALLENGE_HTTP);
    if (files->lack == 0 && (files->count > 0 || are_shown))
        (void)challenges_publish(challenger->challenges, files->items, files->count);
    if (files->lack == 0)
        report_left_out(challenger, files);
    tell_lack(challenger, files->lack);
    text_free(&files->trouble);
    arena_free(files->arena);
    free(files);
}

/* Looks if it is time or if the kernel has told of news. */
static void look_for_challenges(struct challenger *challenger, int64_t now)
{
    if (challenger->challenges == NULL)
        return;
    /* Soon, unless such looks already take too much of our time. */
    if (drain(challenger) && challenger->rested < challenger->next)
        challenger->next = challenger->rested;
    if (now < challenger->next)
        return;
    const struct acme *acme = challenger->acme;
    int64_t begin = clock_monotonic_ms();
    char folder[PATH_MAX];
    int len = snprintf(folder, sizeof(folder), "%s/" CHALLENGE_FOLDER,
                       acme->webroot == NULL ? "" : acme->webroot);
    if (len < 0 || (size_t)len >= sizeof(folder))
        folder[0] = '\0'; /* too long for a path: nothing is there */
    watch_all(challenger, folder);
    publish(challenger, folder);
    int64_t rest = (clock_monotonic_ms() - begin) * LIMIT_CHALLENGE_SHARE;
    challenger->rested = now + rest;
    challenger->next = now + (rest > LIMIT_CHALLENGE_LOOK_MS ? rest : LIMIT_CHALLENGE_LOOK_MS);
    if (acme->alpn == NULL && acme->webroot == NULL)
        challenger->next = INT64_MAX; /* what was shown before is taken back; that is all */
}

static bool tell(struct child *child, enum lookout_news news, int64_t now)
{
    struct message message = {
        .news = news, .handled = child->lookout.handled, .told = child->challenger.told};
    memcpy(message.since, child->lookout.since, sizeof(message.since));
    child->beat = now + LIMIT_WATCHER_BEAT_MS;
    return send(child->control, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT) ==
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
static void look(struct child *child, int64_t now)
{
    const struct lookout before = child->lookout;
    look_for_challenges(&child->challenger, now);
    enum lookout_news news = lookout_look(&child->lookout, child->watch, now);
    if (news != LOOKOUT_NOTHING && child->lookout.is_restless)
        report_restless(child->watch, (enum watch_part)(news - 1));
    if (news == LOOKOUT_NOTHING && now < child->beat)
        return;
    if (!tell(child, news, now) && news != LOOKOUT_NOTHING) {
        int64_t next = child->lookout.next;
        child->lookout = before;
        child->lookout.next = next;
    }
}

static int time_left(const struct child *child)
{
    int64_t next = child->beat;
    if (child->lookout.next < next)
        next = child->lookout.next;
    if (child->challenger.next < next)
        next = child->challenger.next;
    int64_t left = next - clock_monotonic_ms();
    return left < 1 ? 1 : left > LIMIT_WATCHER_BEAT_MS ? LIMIT_WATCHER_BEAT_MS : (int)left;
}

/* Until the supervisor closes its end or dies. It holds nothing of the supervisor's but the log; the
 * configuration and the challenges are memory. */
static _Noreturn void run(const struct watcher *watcher, int control, pid_t supervisor)
{
    const int64_t now = clock_monotonic_ms();
    struct child child = {
        .watch = watcher->watch,
        .control = control,
        .beat = now + LIMIT_WATCHER_BEAT_MS,
        .lookout = watcher->lookout,
        .challenger = {.challenges = watcher->challenges,
                       .acme = watcher->acme,
                       .inotify = -1,
                       .next = watcher->challenges == NULL ? INT64_MAX : now,
                       .told = watcher->told},
    };
    stats_free(watcher->stats);
    if (!seal_reader(SYSCALLS_WATCHER, supervisor))
        _exit(1);
    memory_give_back();
    for (;;) {
        struct pollfd polled[] = {
            {.fd = control, .events = POLLIN},
            {.fd = child.challenger.inotify, .events = POLLIN},
        };
        (void)poll(polled, 2, time_left(&child)); /* if it fails, the next look is only sooner */
        if (polled[0].revents != 0)
            _exit(0); /* nothing is ever sent to this end */
        look(&child, clock_monotonic_ms());
    }
}

static void start(struct watcher *watcher, int64_t now)
{
    int control;
    pid_t supervisor = getpid(), pid = child_begin(CHILD_WATCHER, NULL, 0, &control);
    watcher->start_at = INT64_MAX;
    if (pid == 0)
        run(watcher, control, supervisor);
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
        watcher->challenges != NULL)
        watcher->start_at = watcher->ending == 0 ? now : now + LIMIT_KILLED_MS;
    watcher_expire(watcher, now);
}

bool watcher_prepare(struct watcher *watcher, const struct acme *acme)
{
    if (watcher->challenges != NULL || (acme->alpn == NULL && acme->webroot == NULL))
        return true;
    watcher->challenges = challenges_new();
    if (watcher->challenges == NULL)
        log_line(LOG_LEVEL_ERROR, "cannot share challenges with workers: %s", strerror(errno));
    return watcher->challenges != NULL;
}

void watcher_begin(struct watcher *watcher, const struct watch *watch, const struct acme *acme,
                   int64_t load_ms, int64_t now)
{
    watcher->watch = watch;
    watcher->acme = acme;
    lookout_renew(&watcher->lookout, watch, now, load_ms);
    replace(watcher, now);
}

void watcher_retry(struct watcher *watcher, int64_t now, int64_t pause)
{
    lookout_retry(&watcher->lookout, watcher->watch, now, pause);
    replace(watcher, now);
}

/* A watcher that was taken over says of the files what it likes, but the supervisor does not count with
 * times that cannot be. */
static void remember(struct watcher *watcher, const struct message *message)
{
    watcher->lookout.handled = message->handled;
    watcher->lookout.seen = message->handled;
    for (size_t part = 0; part < WATCH_PARTS; part++)
        watcher->lookout.since[part] = message->since[part] < 0 ? 0 : message->since[part];
    watcher->told = message->told;
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

enum lookout_news watcher_take_news(struct watcher *watcher)
{
    enum lookout_news news = watcher->news;
    watcher->news = LOOKOUT_NOTHING;
    return news;
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

int64_t watcher_next_deadline(const struct watcher *watcher)
{
    return watcher->start_at < watcher->silent_by ? watcher->start_at : watcher->silent_by;
}

void watcher_close(struct watcher *watcher)
{
    watcher_stop(watcher);
    challenges_free(watcher->challenges);
    *watcher = WATCHER_NONE;
}
