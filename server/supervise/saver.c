#include "supervise/loader.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory_file.h"
#include "load/state.h"
#include "supervise/child.h"

/* When no process can be made, the next try. Milliseconds. */
enum { START_AGAIN_MS = 1000 };

static const char *const tasks[SAVER_PARTS] = {
    [SAVER_PROMISES] = "record what is served",
    [SAVER_POLICIES] = "save the last valid policies",
    [SAVER_PROMISES_AFTER] = "record what is served",
};

static _Noreturn void save(const char *folder, enum saver_part part, int bytes)
{
    struct memory_map map = {0};
    bool good = memory_file_map(bytes, LIMIT_STATE_FILE, &map);
    if (good) {
        const struct text text = {.data = (char *)(uintptr_t)map.data, .len = map.size};
        good = state_file_write(
            folder, state_forms[part == SAVER_POLICIES ? STATE_POLICIES : STATE_PROMISES].name,
            &text);
    }
    if (!good)
        log_line(LOG_LEVEL_ERROR, "cannot %s in %s: %s", tasks[part], folder, strerror(errno));
    _exit(good ? 0 : 1);
}

/* Forks a child for what is to be saved. False, logged unless that is a try again, when that cannot be done: then
 * it waits. */
static bool start_child(struct saver *saver, const char *folder, bool is_again, int64_t now)
{
    int none;
    pid_t pid = child_begin(CHILD_SAVER, &saver->bytes, 1, &none);
    if (pid == 0)
        save(folder, saver->part, saver->bytes);
    if (pid > 0) {
        saver->pid = pid;
        return true;
    }
    if (!is_again)
        log_line(LOG_LEVEL_ERROR, "cannot %s in %s: %s; trying again", tasks[saver->part], folder,
                 strerror(errno));
    saver->waiting[saver->part] = saver->bytes;
    saver->bytes = -1;
    saver->start_at = now + START_AGAIN_MS;
    return false;
}

static void start_waiting(struct saver *saver, const struct settings *settings, int64_t now)
{
    const char *folder = settings == NULL ? NULL : settings->state;
    const bool is_again = saver->start_at != INT64_MAX;
    bool good = true;
    saver->start_at = INT64_MAX;
    for (size_t i = 0; i < SAVER_PARTS && saver->pid == 0 && good; i++) {
        if (folder == NULL) /* there is no place for them any more */
            descriptor_close(&saver->waiting[i]);
        if (folder == NULL || saver->waiting[i] < 0)
            continue;
        if (!saver->is_late && !is_again)
            saver->deadline = now + (settings->state_hangs ? 0 : LIMIT_SAVE_MS);
        saver->part = (enum saver_part)i;
        saver->bytes = saver->waiting[i];
        saver->waiting[i] = -1;
        saver->deaths = 0;
        good = start_child(saver, folder, is_again, now);
    }
    if (saver->pid == 0 && good)
        saver->deadline = INT64_MAX;
}

void saver_begin(struct saver *saver, const struct settings *settings, enum saver_part part,
                 int bytes, int64_t now)
{
    descriptor_close(&saver->waiting[part]);
    if (part == SAVER_PROMISES)
        descriptor_close(&saver->waiting[SAVER_PROMISES_AFTER]); /* which is of a load before */
    saver->waiting[part] = bytes;
    start_waiting(saver, settings, now);
}

void saver_expire(struct saver *saver, const struct settings *settings, int64_t now)
{
    if (now >= saver->start_at)
        start_waiting(saver, settings, now);
    if (now < saver->deadline)
        return;
    saver->deadline = INT64_MAX;
    saver->is_late = true;
    log_line(LOG_LEVEL_WARNING,
             "the last valid policies are not saved yet: %s; the server goes on without them",
             saver->pid == 0 ? "no process can be made"
                             : "the disk of the state folder does not answer");
}

void saver_close(struct saver *saver)
{
    descriptor_close(&saver->bytes);
    for (size_t i = 0; i < SAVER_PARTS; i++)
        descriptor_close(&saver->waiting[i]);
    child_kill(saver->pid);
    saver->pid = 0;
}

/* What a child did not save that was killed is as important as before. True when another one does it. */
static bool start_again(struct saver *saver, int status, const struct settings *settings,
                        int64_t now)
{
    if (!WIFSIGNALED(status))
        return false;
    bool again = saver->deaths++ < LIMIT_SAVER_DEATHS && saver->waiting[saver->part] < 0 &&
                 settings != NULL && settings->state != NULL;
    log_line(LOG_LEVEL_ERROR, "cannot %s: the process died: %s%s", tasks[saver->part],
             strsignal(WTERMSIG(status)), again ? "; trying again" : "");
    return again && start_child(saver, settings->state, false, now);
}

bool saver_end(struct saver *saver, pid_t pid, int status, const struct settings *settings,
               int64_t now)
{
    if (saver->pid != pid || pid == 0)
        return false;
    saver->pid = 0;
    if (start_again(saver, status, settings, now))
        return true;
    descriptor_close(&saver->bytes);
    if (saver->start_at == INT64_MAX) {
        saver->deadline = INT64_MAX;
        start_waiting(saver, settings, now);
    }
    if (saver->is_late && saver->pid == 0 && saver->start_at == INT64_MAX) {
        saver->is_late = false;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            log_line(LOG_LEVEL_NOTICE, "the last valid policies are saved after all");
    }
    return true;
}
