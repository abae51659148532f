#include "supervise/loader.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
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

enum { DESCRIPTORS = 2 + SAVER_PARTS };

/* What the last message begins with; the faults follow. */
struct head {
    char outcome;                  /* of loader_outcome; no loader_word is so small */
    unsigned char has_descriptors; /* 0 or 1; but from a loader that may be anything */
    unsigned char has_state;       /* the same; a bit for each part */
    uint64_t errors, warnings;
};

struct message {
    struct head head;
    char faults[LIMIT_STATUS_FAULTS];
};

void loader_result_free(struct loader_result *result)
{
    text_free(&result->faults);
    settings_image_free(result->image);
    descriptor_close(&result->site_fd);
    for (size_t i = 0; i < SAVER_PARTS; i++)
        descriptor_close(&result->state_fds[i]);
    *result = LOADER_RESULT_NONE;
}

bool loader_begin(struct loader *loader, loader_job *job, void *context, int kept, int64_t now)
{
    int socket;
    pid_t pid = child_begin(CHILD_LOADER, &kept, 1, &socket);
    if (pid == 0) {
        job(context, socket);
        _exit(LOADER_FAILED);
    }
    if (pid < 0) {
        log_line(LOG_LEVEL_ERROR, "cannot start the loader: %s", strerror(errno));
        return false;
    }
    *loader = (struct loader){.pid = pid,
                              .socket = socket,
                              .deadline = now + LIMIT_LOAD_SILENCE_MS,
                              .end_by = now + LIMIT_LOAD_MS};
    return true;
}

/* The process is reaped like any other child; a disk that hangs may keep it. */
void loader_stop(struct loader *loader)
{
    child_kill(loader->pid);
    descriptor_close(&loader->socket);
    *loader = LOADER_NONE;
}

static enum loader_outcome die(struct loader *loader, const char *why, struct loader_result *result)
{
    loader_stop(loader);
    *result = LOADER_RESULT_NONE;
    result->outcome = LOADER_DIED;
    (void)snprintf(result->why, sizeof(result->why), "%s", why); /* the end is of no weight */
    return LOADER_DIED;
}

static const char NO_RESULT[] = "the loader handed over something that is no result";
static const char TOO_LARGE[] = "the loader handed over something that is larger than allowed";
static const char NO_DESCRIPTORS[] = "the supervisor has no descriptors left for what was loaded";
static const char NO_MEMORY[] = "the supervisor has no memory left for what was loaded";

/* Those that the message has. Why they cannot be taken, and then none is left, or NULL: they are too many, or
 * this process may open no more, which the kernel tells in the same way. It makes room for one more than was
 * asked for. */
static const char *take_descriptors(struct msghdr *header, int ret_fds[static DESCRIPTORS],
                                    size_t *ret_count)
{
    size_t count = 0;
    bool are_too_many = false;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL;
         part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
            are_too_many = are_too_many || count == DESCRIPTORS;
            if (count < DESCRIPTORS)
                ret_fds[count++] = fd;
            else
                (void)close(fd); /* it is not wanted */
        }
    }
    bool is_cut = (header->msg_flags & MSG_CTRUNC) != 0;
    const char *why = are_too_many || (is_cut && count == DESCRIPTORS) ? NO_RESULT
                      : is_cut                                         ? NO_DESCRIPTORS
                                                                       : NULL;
    for (size_t i = 0; why != NULL && i < count; i++)
        (void)close(ret_fds[i]); /* it was not read */
    *ret_count = count;
    return why;
}

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

/* Why the descriptors behind that of the settings, the site and the state, are no sealed files of a size that
 * is allowed; else NULL. What they hold is checked by whoever reads it. */
static const char *check_files(const int *fds, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (memory_file_size(fds[i], i == 1 ? LIMIT_IMAGE : LIMIT_STATE_FILE) == 0)
            return errno == EFBIG ? TOO_LARGE : NO_RESULT;
    return NULL;
}

/* The result that the message tells, whose descriptors are the settings, the site and the state. */
static enum loader_outcome take_result(struct loader *loader, const struct message *message,
                                       size_t len, const int *fds, size_t count,
                                       struct loader_result *ret_result)
{
    struct loader_result result = LOADER_RESULT_NONE;
    const struct head *head = &message->head;
    size_t expected = head->has_descriptors != 0 ? 2u : 0u, next = 2;
    for (size_t i = 0; i < SAVER_PARTS; i++)
        expected += (head->has_state & 1u << i) != 0 ? 1u : 0u;
    bool is_done = head->outcome == LOADER_DONE;
    result.outcome = (enum loader_outcome)head->outcome;
    result.errors = head->errors;
    result.warnings = head->warnings;
    const struct span faults = {message->faults, len < sizeof(*head) ? 0 : len - sizeof(*head)};
    bool good = len >= sizeof(*head) && count == expected && is_printable(faults) &&
                is_done == (head->has_descriptors != 0) && (is_done || head->has_state == 0) &&
                (is_done || head->outcome == LOADER_REFUSED || head->outcome == LOADER_UNCHANGED);
    const char *fault = good ? check_files(fds, count) : NO_RESULT;
    if (fault == NULL && is_done) {
        result.image = settings_image_open(fds[0]);
        fault = result.image != NULL ? NULL : errno == ENOMEM ? NO_MEMORY : NO_RESULT;
    }
    if (count > 0)
        (void)close(fds[0]); /* the mapping stays */
    if (fault != NULL) {
        for (size_t i = 1; i < count; i++)
            (void)close(fds[i]); /* it was not read */
        return die(loader, fault, ret_result);
    }
    if (is_done) {
        result.site_fd = fds[1];
        for (size_t i = 0; i < SAVER_PARTS; i++)
            if ((head->has_state & 1u << i) != 0)
                result.state_fds[i] = fds[next++];
    }
    text_append(&result.faults, faults);
    loader_stop(loader); /* it has nothing left to do */
    *ret_result = result;
    return result.outcome;
}

/* False when it is none, or one too many. */
static bool take_word(struct loader *loader, char word, int64_t now)
{
    if (word == LOADER_READS_STATE)
        loader->reads_state = true;
    else if (word == LOADER_HAS_STATE)
        loader->reads_state = false;
    else if (word != LOADER_PROGRESS)
        return false;
    int64_t deadline = now + (loader->reads_state ? LIMIT_SAVE_MS : LIMIT_LOAD_SILENCE_MS);
    loader->deadline = deadline < loader->end_by ? deadline : loader->end_by;
    return ++loader->words <= LIMIT_LOAD_WORDS;
}

/* Reads at most so many words. */
static enum loader_outcome hear(struct loader *loader, unsigned most, int64_t now,
                                struct loader_result *ret_result)
{
    union {
        char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
        struct cmsghdr first;
    } rights;
    struct message message;
    for (unsigned i = 0; i < most && loader->socket >= 0; i++) {
        struct iovec part = {&message, sizeof(message)};
        struct msghdr header = {.msg_iov = &part,
                                .msg_iovlen = 1,
                                .msg_control = rights.bytes,
                                .msg_controllen = sizeof(rights.bytes)};
        int fds[DESCRIPTORS];
        message.head = (struct head){0};
        ssize_t len = recvmsg(loader->socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (len < 0)
            return LOADER_RUNS; /* nothing more is there */
        size_t count = 0;
        const char *why = take_descriptors(&header, fds, &count);
        if (why != NULL)
            return die(loader, why, ret_result);
        if (len == 0 && count == 0) {
            /* It has ended, which SIGCHLD tells, or it must. */
            child_kill(loader->pid);
            descriptor_close(&loader->socket);
        } else if (len > 1 || count > 0) {
            size_t size = (header.msg_flags & MSG_TRUNC) != 0 ? 0 : (size_t)len;
            return take_result(loader, &message, size, fds, count, ret_result);
        } else if (!take_word(loader, message.head.outcome, now)) {
            return die(loader, NO_RESULT, ret_result);
        }
    }
    return LOADER_RUNS;
}

enum loader_outcome loader_hear(struct loader *loader, int64_t now,
                                struct loader_result *ret_result)
{
    return hear(loader, LIMIT_LOAD_WORDS_AT_ONCE, now, ret_result);
}

enum loader_outcome loader_expire(struct loader *loader, int64_t now,
                                  struct loader_result *ret_result)
{
    char why[64];
    if (loader->pid == 0 || now < loader->deadline)
        return LOADER_RUNS;
    if (now >= loader->end_by) {
        (void)snprintf(why, sizeof(why), "the loader did not come to an end in %d s",
                       LIMIT_LOAD_MS / 1000); /* it fits */
        return die(loader, why, ret_result);
    }
    if (loader->reads_state) {
        loader_stop(loader);
        return LOADER_STATE_HANGS;
    }
    (void)snprintf(why, sizeof(why), "the loader made no progress for %d s",
                   LIMIT_LOAD_SILENCE_MS / 1000); /* it fits */
    return die(loader, why, ret_result);
}

enum loader_outcome loader_end(struct loader *loader, pid_t pid, int status, int64_t now,
                               struct loader_result *ret_result)
{
    char why[sizeof(ret_result->why)];
    if (loader->pid != pid || pid == 0)
        return LOADER_RUNS;
    loader->pid = 0; /* it was reaped */
    /* What it has said before; nothing is added any more. */
    enum loader_outcome outcome = hear(loader, UINT_MAX, now, ret_result);
    if (outcome != LOADER_RUNS)
        return outcome;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        (void)snprintf(why, sizeof(why), "the loader died: it made a system call that none needs");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        (void)snprintf(why, sizeof(why), "the loader was killed, likely because memory is short");
    else if (WIFSIGNALED(status))
        (void)snprintf(why, sizeof(why), "the loader died: %s", strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == HEAP_END_STATUS)
        (void)snprintf(why, sizeof(why), "the loader ran out of memory");
    else
        (void)snprintf(why, sizeof(why), "the loader ended with status %d", WEXITSTATUS(status));
    return die(loader, why, ret_result);
}

void loader_say(int socket, enum loader_word word)
{
    const char byte = (char)word;
    /* The others are more important than progress, for which there may be no room. */
    (void)send(socket, &byte, 1,
               word == LOADER_PROGRESS ? MSG_DONTWAIT | MSG_NOSIGNAL : MSG_NOSIGNAL);
}

bool loader_tell(int socket, const struct loader_result *result, int settings_fd)
{
    union {
        char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
        struct cmsghdr first;
    } rights = {{0}};
    int fds[DESCRIPTORS] = {settings_fd, result->site_fd};
    size_t count = settings_fd < 0 ? 0 : 2;
    struct head head = {
        .outcome = (char)result->outcome,
        .has_descriptors = count > 0 ? 1 : 0,
        .errors = result->errors,
        .warnings = result->warnings,
    };
    for (size_t i = 0; count > 0 && i < SAVER_PARTS; i++) {
        if (result->state_fds[i] < 0)
            continue;
        if (memory_file_size(result->state_fds[i], LIMIT_STATE_FILE) == 0) {
            log_line(LOG_LEVEL_ERROR,
                     "what is to be saved in the state folder is larger than %d MiB, "
                     "and is not saved",
                     LIMIT_STATE_FILE / (1024 * 1024));
            continue;
        }
        head.has_state |= (unsigned char)(1u << i);
        fds[count++] = result->state_fds[i];
    }
    size_t len =
        result->faults.len < LIMIT_STATUS_FAULTS ? result->faults.len : LIMIT_STATUS_FAULTS;
    struct iovec parts[] = {{&head, sizeof(head)}, {result->faults.data, len}};
    struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2};
    if (count > 0) {
        header.msg_control = rights.bytes;
        header.msg_controllen = CMSG_SPACE(count * sizeof(int));
        rights.first.cmsg_level = SOL_SOCKET;
        rights.first.cmsg_type = SCM_RIGHTS;
        rights.first.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&rights.first), fds, count * sizeof(int));
    }
    return sendmsg(socket, &header, MSG_NOSIGNAL) >= 0;
}
