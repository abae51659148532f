#include "sandbox/seal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/heap.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "command/command.h"
#include "command/reading.h"
#include "files/file.h"
#include "sandbox/filesystem.h"
#include "sandbox/identity.h"

/* What the child reports: one message, so it comes as a whole. */
struct result {
    const char *failed; /* the sentence; a static text, the same in both processes */
    int reason;
    struct seal_report report;
};

/* The child lives until the parent closes the other end, so that /proc can be read. */
static _Noreturn void be_sealed(const struct seal *seal, int out)
{
    struct result result = {0};
    struct pollfd end = {.fd = out};
    const int kept[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, out, seal->empty_root_fd};
    descriptors_keep_only(kept, sizeof(kept) / sizeof(kept[0]));
    log_begin();
    result.failed = seal_process(seal, &result.report);
    result.reason = errno;
    if (write(out, &result, sizeof(result)) == (ssize_t)sizeof(result))
        (void)poll(&end, 1, -1); /* whatever ends it sooner is as good */
    _exit(0);
}

/* False with errno: 0 when the child has ended without a word, ETIMEDOUT when it hangs. */
static bool read_result(int in, struct result *ret_result)
{
    const int64_t deadline = clock_monotonic_ms() + LIMIT_READY_MS;
    struct pollfd polled = {.fd = in, .events = POLLIN};
    for (;;) {
        int64_t left = deadline - clock_monotonic_ms();
        int ready = poll(&polled, 1, left < 0 ? 0 : (int)left);
        ssize_t count = ready == 1 ? read(in, ret_result, sizeof(*ret_result)) : -1;
        if (ready == 0)
            errno = ETIMEDOUT;
        if (count < 0 && errno == EINTR)
            continue;
        if (count >= 0)
            errno = 0;
        return count == (ssize_t)sizeof(*ret_result);
    }
}

/* The child, or -1 with errno. ret_in is then where it will tell. */
static pid_t start_child(const struct seal *seal, int *ret_in)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        be_sealed(seal, ends[1]);
    descriptor_close(&ends[1]); /* the child's; here only a copy */
    *ret_in = ends[0];
    if (pid < 0)
        descriptor_close(&ends[0]); /* nobody will write */
    return pid;
}

/* A child takes the steps of a worker of that identity, and is ended. Appends to ret_status what /proc says
 * of it, unless that cannot be read. False, logged, when a step failed that every kernel has, or no child can
 * be made. */
static bool try_seal(const struct identity *identity, struct seal_report *ret_report,
                     struct text *ret_status)
{
    struct result result = {0};
    char path[64];
    int in = -1, status = 0;
    const struct seal seal = {
        .keep_identity = identity->keep,
        .uid = identity->uid,
        .gid = identity->gid,
        .supervisor = getpid(),
        .empty_root_fd = filesystem_open_empty_root(),
    };
    pid_t pid = start_child(&seal, &in);
    if (pid < 0) {
        log_line(LOG_LEVEL_ERROR, "cannot try the seal: %s", strerror(errno));
        return false;
    }
    bool told = read_result(in, &result);
    int reason = errno;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid); /* it fits */
    if (told)
        (void)file_read_named(path, LIMIT_YAML_FILE, ret_status, NULL); /* it is there yet */
    (void)close(in);                                                    /* it was only read */
    if (told || reason == ETIMEDOUT)
        (void)kill(pid, SIGKILL); /* whatever it does now; it is not yet reaped, so it exists */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!told && reason == ETIMEDOUT)
        log_line(LOG_LEVEL_ERROR, "cannot try the seal: the process that tested it does not end");
    else if (!told)
        log_line(LOG_LEVEL_ERROR, "cannot try the seal: the process that tried it died: %s",
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it ended");
    else if (result.failed != NULL)
        log_line(LOG_LEVEL_ERROR, "cannot %s: %s", result.failed, strerror(result.reason));
    *ret_report = result.report;
    return told && result.failed == NULL;
}

/* The value of the key in the lines of /proc/PID/status; empty when it is not there. */
static struct span value_of(struct span status, const char *key)
{
    size_t len = strlen(key);
    while (status.len > 0) {
        struct span line = span_take_line(&status);
        if (span_begins_fold(line, span_of(key)) && line.len > len && line.data[len] == ':')
            return span_trim(span_skip(line, len + 1));
    }
    return (struct span){0};
}

/* What the kernel says of the step: its line in the status, or why it is missing. */
static void describe(const struct seal_report *report, size_t step, struct span status,
                     struct text *out)
{
    const char *proof = seal_step_proof(step);
    if (report->outcomes[step].reason != 0)
        text_append(out, span_of(strerror(report->outcomes[step].reason)));
    else if (report->outcomes[step].state == SEAL_KEPT)
        text_append(out, span_of("not started as root"));
    if (proof == NULL || status.len == 0)
        return;
    struct span value = value_of(status, proof);
    text_printf(out, "%s%s ", out->len > 0 ? "; " : "", proof);
    for (size_t i = 0; i < value.len; i++)
        text_append(out, value.data[i] == '\t' ? span_of(" ") : (struct span){value.data + i, 1});
    if (value.len == 0)
        text_append(out, span_of("none"));
}

static void print_step(const struct seal_report *report, size_t step, struct span status, bool json,
                       struct text *out)
{
    static const char *const states[] = {
        [SEAL_IN_FORCE] = "in force", [SEAL_KEPT] = "kept", [SEAL_MISSING] = "missing"};
    const char *state = states[report->outcomes[step].state];
    struct text text = {0};
    describe(report, step, status, &text);
    const struct span kernel = heap_text(&text);
    if (json) {
        json_new_line(out);
        json_open(out, NULL, '{');
        json_text(out, "step", seal_step_name(step));
        json_text(out, "state", state);
        json_span(out, "kernel", kernel);
        json_close(out, '}');
    } else {
        text_printf(out, kernel.len == 0 ? "%-24s%s" : "%-24s%-10s", seal_step_name(step), state);
        text_append(out, kernel);
        text_append(out, span_of("\n"));
    }
    text_free(&text);
}

int command_seal(const struct command_line *line, struct text *out)
{
    struct text status = {0};
    struct seal_report report;
    struct identity identity;
    struct reading reading = reading_new(line, true);
    (void)reading_print(reading.diag, DIAG_FATAL);
    /* The same steps in the same order as the supervisor's. */
    bool good = reading.configuration != NULL && seal_supervisor() &&
                identity_resolve(reading.configuration->settings.user, geteuid() == 0, &identity) &&
                try_seal(&identity, &report, &status);
    if (good)
        text_append(out, line->json ? span_of("[")
                                    : span_of("STEP                    STATE     KERNEL\n"));
    for (size_t i = 0; good && i < SEAL_STEPS; i++)
        print_step(&report, i, heap_text(&status), line->json, out);
    if (good && line->json)
        text_append(out, span_of("]\n"));
    text_free(&status);
    reading_free(&reading);
    return good && seal_is_whole(&report) ? STATUS_GOOD : STATUS_WRONG;
}
