#include "supervise/loader.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/log.h"
#include "supervise/child.h"

/* What the last message begins with; the faults follow. */
struct head {
    char outcome; /* of loader_outcome; no progress is so small */
    uint64_t errors, warnings;
};

struct message {
    struct head head;
    char faults[LIMIT_STATUS_FAULTS];
};

void loaded_free(struct loaded *loaded)
{
    settings_image_free(loaded->image);
    for (size_t i = 0; i < LOADER_FILES; i++)
        descriptor_close(&loaded->files[i]);
    loaded->image = NULL;
}

bool loader_begin(struct loader *loader, loader_job *job, void *context, int kept, int64_t now)
{
    int inherited[LOADER_FILES + 1] = {[LOADER_FILES] = kept};
    bool good = true;
    loader_stop(loader);
    for (size_t i = 0; i < LOADER_FILES && good; i++) {
        inherited[i] = loader->loaded.files[i] = memory_file_open();
        good = inherited[i] >= 0;
    }
    pid_t pid = good ? child_begin(CHILD_LOADER, inherited, LOADER_FILES + 1, &loader->socket) : -1;
    if (pid == 0) {
        job(context, loader);
        _exit(LOADER_FAILED);
    }
    if (pid < 0) {
        log_line(LOG_LEVEL_ERROR, "cannot start the loader: %s", strerror(errno));
        loader_stop(loader);
        return false;
    }
    loader->pid = pid;
    loader->deadline = now + LIMIT_LOAD_SILENCE_MS;
    loader->end_by = now + LIMIT_LOAD_MS;
    return true;
}

/* The process is reaped like any other child; a disk that hangs may keep it. */
static void end_process(struct loader *loader)
{
    child_kill(loader->pid);
    descriptor_close(&loader->socket);
    loader->pid = 0;
    loader->deadline = INT64_MAX;
}

void loader_stop(struct loader *loader)
{
    end_process(loader);
    loaded_free(&loader->loaded);
    text_free(&loader->faults);
    *loader = LOADER_NONE;
}

/* The end of a reason that does not fit is of no weight. */
static enum loader_outcome __attribute__((format(printf, 2, 3)))
die(struct loader *loader, const char *format, ...)
{
    va_list arguments;
    loader_stop(loader);
    va_start(arguments, format);
    (void)vsnprintf(loader->why, sizeof(loader->why), format, arguments);
    va_end(arguments);
    return LOADER_DIED;
}

static const char NO_RESULT[] = "the loader handed over something that is no result";

/* They come into files that are shown on terminals. */
static bool is_printable(struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char byte = (unsigned char)bytes.data[i];
        if ((byte < ' ' && byte != '\n' && byte != '\t') || byte == 0x7f)
            return false;
    }
    return true;
}

/* Looks at what the loader has filled; what is in the settings is read, and what is in the rest is checked by
 * whoever reads it. Why it cannot be used, or NULL. */
static const char *open_files(struct loaded *loaded)
{
    for (size_t i = LOADER_SITE; i < LOADER_FILES; i++) {
        size_t most = i == LOADER_SITE ? LIMIT_IMAGE : LIMIT_STATE_FILE;
        if (memory_file_size(loaded->files[i], most) != 0)
            continue;
        if (errno == EFBIG)
            return "the loader handed over something that is larger than allowed";
        descriptor_close(&loaded->files[i]); /* it is empty, or not sealed */
    }
    loaded->image = settings_image_open(loaded->files[LOADER_SETTINGS]);
    if (loaded->image == NULL && errno == ENOMEM)
        return "the supervisor has no memory left for what was loaded";
    descriptor_close(&loaded->files[LOADER_SETTINGS]); /* the mapping stays */
    return loaded->image == NULL || loaded->files[LOADER_SITE] < 0 ? NO_RESULT : NULL;
}

static enum loader_outcome take_result(struct loader *loader, const struct message *message,
                                       size_t len)
{
    const struct head *head = &message->head;
    const struct span faults = {message->faults, len < sizeof(*head) ? 0 : len - sizeof(*head)};
    const enum loader_outcome outcome = (enum loader_outcome)head->outcome;
    bool good =
        len >= sizeof(*head) && len <= sizeof(*message) && is_printable(faults) &&
        (outcome == LOADER_DONE || outcome == LOADER_REFUSED || outcome == LOADER_UNCHANGED);
    const char *fault = !good                    ? NO_RESULT
                        : outcome == LOADER_DONE ? open_files(&loader->loaded)
                                                 : NULL;
    if (fault != NULL)
        return die(loader, "%s", fault);
    end_process(loader); /* it has nothing left to do */
    if (outcome != LOADER_DONE)
        loaded_free(&loader->loaded);
    loader->errors = head->errors;
    loader->warnings = head->warnings;
    text_append(&loader->faults, faults);
    return outcome;
}

/* False when it is none, or one too many. */
static bool take_word(struct loader *loader, char word, int64_t now)
{
    if (word == PROGRESS_WAITS_FOR_STATE)
        loader->reads_state = true;
    else if (word == PROGRESS_HAS_STATE)
        loader->reads_state = false;
    else if (word != PROGRESS_GOES_ON)
        return false;
    int64_t deadline = now + (loader->reads_state ? LIMIT_SAVE_MS : LIMIT_LOAD_SILENCE_MS);
    loader->deadline = deadline < loader->end_by ? deadline : loader->end_by;
    return ++loader->words <= LIMIT_LOAD_WORDS;
}

/* Reads at most so many words. */
static enum loader_outcome hear(struct loader *loader, unsigned most, int64_t now)
{
    struct message message;
    for (unsigned i = 0; i < most && loader->socket >= 0; i++) {
        message.head = (struct head){0};
        ssize_t len = recv(loader->socket, &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);
        if (len < 0)
            return LOADER_RUNS; /* nothing more is there */
        if (len == 0) {
            /* It has ended, which SIGCHLD tells, or it must. */
            child_kill(loader->pid);
            descriptor_close(&loader->socket);
        } else if (len > 1) {
            return take_result(loader, &message, (size_t)len);
        } else if (!take_word(loader, message.head.outcome, now)) {
            return die(loader, "%s", NO_RESULT);
        }
    }
    return LOADER_RUNS;
}

enum loader_outcome loader_hear(struct loader *loader, int64_t now)
{
    return hear(loader, LIMIT_LOAD_WORDS_AT_ONCE, now);
}

enum loader_outcome loader_expire(struct loader *loader, int64_t now)
{
    if (loader->pid == 0 || now < loader->deadline)
        return LOADER_RUNS;
    if (now >= loader->end_by)
        return die(loader, "the loader did not come to an end in %d s", LIMIT_LOAD_MS / 1000);
    if (!loader->reads_state)
        return die(loader, "the loader made no progress for %d s", LIMIT_LOAD_SILENCE_MS / 1000);
    loader_stop(loader);
    return LOADER_STATE_HANGS;
}

enum loader_outcome loader_end(struct loader *loader, pid_t pid, int status, int64_t now)
{
    if (loader->pid != pid || pid == 0)
        return LOADER_RUNS;
    loader->pid = 0; /* it was reaped */
    /* What it has said before; nothing is added any more. */
    enum loader_outcome outcome = hear(loader, UINT_MAX, now);
    if (outcome != LOADER_RUNS)
        return outcome;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return die(loader, "the loader died: it made a system call that none needs");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return die(loader, "the loader was killed, likely because memory is short");
    if (WIFSIGNALED(status))
        return die(loader, "the loader died: %s", strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == HEAP_END_STATUS)
        return die(loader, "the loader ran out of memory");
    return die(loader, "the loader ended with status %d", WEXITSTATUS(status));
}

void loader_say(const struct loader *loader, enum progress progress)
{
    const char byte = (char)progress;
    /* The others are more important than progress, for which there may be no room. */
    (void)send(loader->socket, &byte, 1,
               progress == PROGRESS_GOES_ON ? MSG_DONTWAIT | MSG_NOSIGNAL : MSG_NOSIGNAL);
}

bool loader_fill(struct loader *loader, size_t file, struct span bytes)
{
    if (file >= LOADER_STATE && bytes.len > LIMIT_STATE_FILE) {
        log_line(LOG_LEVEL_ERROR,
                 "what is to be saved in the state folder is larger than %d MiB, and is not saved",
                 LIMIT_STATE_FILE / (1024 * 1024));
        return true;
    }
    return memory_file_fill(loader->loaded.files[file], bytes);
}

bool loader_tell(const struct loader *loader, enum loader_outcome outcome)
{
    struct message message = {
        .head = {.outcome = (char)outcome, .errors = loader->errors, .warnings = loader->warnings}};
    size_t len =
        loader->faults.len < LIMIT_STATUS_FAULTS ? loader->faults.len : LIMIT_STATUS_FAULTS;
    if (len > 0)
        memcpy(message.faults, loader->faults.data, len);
    return send(loader->socket, &message, sizeof(message.head) + len, MSG_NOSIGNAL) >= 0;
}
