#include "supervise/challenger.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "load/challenge_files.h"

/* A file that is complete, came or went; a folder that was made, and one that is another now. */
static const uint32_t NEWS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE |
                             IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
/* After these the watch is of a folder that the path does not lead to any more. */
static const uint32_t LOST = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT;

void challenger_end(struct challenger *challenger)
{
    if (challenger->inotify >= 0)
        (void)close(challenger->inotify); /* it was only read */
    challenger->inotify = -1;
}

struct challenger challenger_begin(struct challenges *challenges, const struct acme *acme,
                                   uint64_t told, int64_t now)
{
    return (struct challenger){
        .challenges = challenges,
        .acme = acme,
        .inotify = -1,
        .next = challenges == NULL ? INT64_MAX : now,
        .told = told,
    };
}

static void watch(const struct challenger *challenger, const char *folder)
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
        watch(challenger, acme->alpn);
    if (acme->webroot == NULL)
        return;
    char folder[PATH_MAX];
    int len = snprintf(folder, sizeof(folder), "%s/.well-known", acme->webroot);
    watch(challenger, acme->webroot);
    if (len > 0 && (size_t)len < sizeof(folder))
        watch(challenger, folder);
    watch(challenger, below_webroot);
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
        challenger_end(challenger); /* and begin anew: the path may lead elsewhere now */
    return any;
}

/* What is left out is told once, and again when it is something else. */
static void tell(struct challenger *challenger, const struct challenge_files *files)
{
    struct span trouble = {files->trouble.data, files->trouble.len};
    uint64_t hash = trouble.len == 0 ? 0 : span_hash(trouble);
    if (hash != 0 && hash != challenger->told)
        log_line(LOG_LEVEL_WARNING, "challenges: %s%s", files->trouble.data,
                 files->left_out > 1 ? "; it is not the only one" : "");
    challenger->told = hash;
}

/* Once, until it is over. */
static void tell_shortage(struct challenger *challenger, bool shortage)
{
    if (shortage && !challenger->is_short)
        log_line(LOG_LEVEL_ERROR,
                 "challenges cannot be read: out of memory or descriptors; what is "
                 "shown to authorities stays as it is");
    challenger->is_short = shortage;
}

/* By this challenger or one before it. */
static bool is_any_shown(const struct challenges *challenges)
{
    return challenges_pending(challenges, CHALLENGE_ALPN) ||
           challenges_pending(challenges, CHALLENGE_HTTP);
}

/* In a shortage what is shown stays as it is, until the next look. */
static void publish(struct challenger *challenger, const char *below_webroot)
{
    struct challenge_files *files = calloc(1, sizeof(*files));
    struct arena *arena = arena_new();
    if (files == NULL || arena == NULL)
        goto done;
    files->arena = arena;
    if (challenger->acme->alpn != NULL)
        challenge_files_read(files, CHALLENGE_ALPN, challenger->acme->alpn);
    if (challenger->acme->webroot != NULL)
        challenge_files_read(files, CHALLENGE_HTTP, below_webroot);
    if (files->shortage)
        goto done;
    if (files->count > 0 || is_any_shown(challenger->challenges))
        (void)challenges_publish(challenger->challenges, files->items, files->count);
    tell(challenger, files);
done:
    tell_shortage(challenger, files == NULL || arena == NULL || files->shortage);
    if (files != NULL)
        text_free(&files->trouble);
    arena_free(arena);
    free(files);
}

void challenger_look(struct challenger *challenger, int64_t now)
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
