#include "supervise/saver.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/memory_file.h"
#include "load/history.h"
#include "load/state.h"
#include "load/state_file.h"
#include "supervise/child.h"

static const char *const tasks[SAVER_PARTS] = {
    [SAVER_PROMISES] = "record what is served",
    [SAVER_POLICIES] = "save the last valid policies",
    [SAVER_PROMISES_AFTER] = "record what is served",
};

static void report_failure(enum saver_part part, const char *folder)
{
    log_line(LOG_LEVEL_ERROR, "cannot %s in %s: %s", tasks[part], folder, strerror(errno));
}

static _Noreturn void save(const char *folder, enum saver_part part, int bytes)
{
    struct memory_map map = {0};
    bool good = memory_file_map(bytes, LIMIT_STATE_FILE, &map);
    if (good) {
        const struct text text = {.data = (char *)(uintptr_t)map.data, .len = map.size};
        good = part == SAVER_POLICIES ? state_save(folder, &text)
                                      : state_file_write(folder, HISTORY_PROMISES, &text);
    }
    if (!good)
        report_failure(part, folder);
    _exit(good ? 0 : 1);
}

/* Something newer takes its place, or it is saved. */
static void close_bytes(int *bytes)
{
    if (*bytes >= 0)
        (void)close(*bytes); /* it was only read */
    *bytes = -1;
}

/* Forks a child for what is to be saved. False, logged, when that cannot be done. */
static bool start_child(struct saver *saver, const char *folder)
{
    int none;
    pid_t pid = child_begin(CHILD_SAVER, &saver->bytes, 1, &none);
    if (pid == 0)
        save(folder, saver->part, saver->bytes);
    if (pid < 0)
        report_failure(saver->part, folder);
    saver->pid = pid < 0 ? 0 : pid;
    return pid > 0;
}

static void start_waiting(struct saver *saver, const struct settings *settings, int64_t now)
{
    for (size_t i = 0; i < SAVER_PARTS && saver->pid == 0; i++) {
        if (saver->waiting[i] < 0)
            continue;
        saver->part = (enum saver_part)i;
        saver->bytes = saver->waiting[i];
        saver->waiting[i] = -1;
        saver->deaths = 0;
        /* Without a folder there is no place for them any more. */
        if (settings == NULL || settings->state == NULL || !start_child(saver, settings->state))
            close_bytes(&saver->bytes);
        else
            saver->deadline = saver->is_late          ? INT64_MAX
                              : settings->state_hangs ? now
                                                      : now + LIMIT_SAVE_MS;
    }
}

void saver_begin(struct saver *saver, const struct settings *settings, enum saver_part part,
                 int bytes, int64_t now)
{
    close_bytes(&saver->waiting[part]);
    if (part == SAVER_PROMISES)
        close_bytes(&saver->waiting[SAVER_PROMISES_AFTER]); /* which is of a load before */
    saver->waiting[part] = bytes;
    start_waiting(saver, settings, now);
}

bool saver_is_waited_for(const struct saver *saver)
{
    return saver->pid != 0 && saver->deadline != INT64_MAX;
}

void saver_expire(struct saver *saver, int64_t now)
{
    if (!saver_is_waited_for(saver) || now < saver->deadline)
        return;
    saver->deadline = INT64_MAX;
    saver->is_late = true;
    log_line(LOG_LEVEL_WARNING,
             "the last valid policies are not saved yet: the disk of the state folder does not "
             "answer; the server goes on without them");
}

void saver_close(struct saver *saver)
{
    close_bytes(&saver->bytes);
    for (size_t i = 0; i < SAVER_PARTS; i++)
        close_bytes(&saver->waiting[i]);
    child_kill(saver->pid);
    child_wait(saver->pid);
    saver->pid = 0;
}

/* What a child did not save that was killed is as important as before. True when another one does it. */
static bool start_again(struct saver *saver, int status, const struct settings *settings)
{
    if (!WIFSIGNALED(status))
        return false;
    bool again = saver->deaths++ < LIMIT_SAVER_DEATHS && saver->waiting[saver->part] < 0 &&
                 settings != NULL && settings->state != NULL;
    log_line(LOG_LEVEL_ERROR, "cannot %s: the process died: %s%s", tasks[saver->part],
             strsignal(WTERMSIG(status)), again ? "; trying again" : "");
    return again && start_child(saver, settings->state);
}

bool saver_end(struct saver *saver, pid_t pid, int status, const struct settings *settings,
               int64_t now)
{
    if (saver->pid != pid || pid == 0)
        return false;
    saver->pid = 0;
    if (start_again(saver, status, settings))
        return true;
    saver->deadline = INT64_MAX;
    close_bytes(&saver->bytes);
    start_waiting(saver, settings, now);
    if (saver->is_late && saver->pid == 0) {
        saver->is_late = false;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            log_line(LOG_LEVEL_NOTICE, "the last valid policies are saved after all");
    }
    return true;
}
