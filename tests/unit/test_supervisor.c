/*
 * The supervisor, with real children: it starts, keeps what it serves when a load is refused, replaces what
 * dies, saves what senders may hold before it serves it, and leaves nothing behind.
 */
#include "supervise/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervise/status.h"
#include "unit.h"

/* Many times what each step takes. */
enum { TRIES = 6000, PAUSE_MS = 10 };

struct server {
    char folder[64], config[96], status[96], state[96], socket[96];
    pid_t pid;
    unsigned load; /* the last one whose outcome was seen */
};

static void write_config(const struct server *server, const char *domains)
{
    FILE *file = fopen(server->config, "we");
    assert_non_null(file);
    (void)fprintf(file,
                  "listen: {address: \"unix:%s\", tls: false}\nworkers: 1\nwatch: false\n"
                  "state: %s\ndomains: {%s}\n",
                  server->socket, server->state, domains);
    assert_int_equal(fclose(file), 0);
}

#define DOMAIN "{mode: enforce, max_age: 604800, mx: [mail.example.com]}"

static struct server start(const char *domains)
{
    struct server server = {.folder = "/tmp/test_supervisor.XXXXXX"};
    assert_non_null(mkdtemp(server.folder));
    (void)snprintf(server.config, sizeof(server.config), "%s/c", server.folder); /* these fit */
    (void)snprintf(server.status, sizeof(server.status), "%s/status", server.folder);
    (void)snprintf(server.state, sizeof(server.state), "%s/state", server.folder);
    (void)snprintf(server.socket, sizeof(server.socket), "%s/socket", server.folder);
    assert_int_equal(mkdir(server.state, 0700), 0);
    write_config(&server, domains);
    const struct supervisor_options options = {.path = server.config, .status = server.status};
    server.pid = fork();
    assert_true(server.pid >= 0);
    if (server.pid == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0)
        _exit(supervisor_run(&options));
    return server;
}

/* Waits for the outcome of a load of the files that is later than the one before. */
static bool is_served(struct server *server)
{
    for (int i = 0; i < TRIES; i++) {
        struct status_reading reading;
        if (status_reading_open(server->status, &reading)) {
            bool there = status_reading_read(&reading) && reading.number > server->load;
            bool refused = reading.is_refused;
            server->load = there ? reading.number : server->load;
            status_reading_free(&reading);
            if (there)
                return !refused;
        }
        (void)poll(NULL, 0, PAUSE_MS); /* a pause that is too short is no harm */
    }
    fail_msg("no load after %u has an outcome", server->load);
    return false;
}

/* The children of the process with the name, at most two. */
static size_t find_children(pid_t parent, const char *name, pid_t ret_pids[static 2])
{
    char path[64], line[256] = "";
    size_t count = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    (void)!fgets(line, sizeof(line), file); /* an empty one when there are none */
    (void)fclose(file);
    for (char *rest = line; *rest != '\0' && *rest != '\n' && count < 2;) {
        char comm[32] = "";
        long pid = strtol(rest, &rest, 10);
        rest += strspn(rest, " ");
        (void)snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
        file = fopen(path, "re");
        if (file == NULL)
            continue;
        (void)!fgets(comm, sizeof(comm), file);
        (void)fclose(file);
        comm[strcspn(comm, "\n")] = '\0';
        if (strcmp(comm, name) == 0)
            ret_pids[count++] = (pid_t)pid;
    }
    return count;
}

/* Waits until there is one child with the name, and not that one. */
static pid_t wait_for_child(const struct server *server, const char *name, pid_t but)
{
    pid_t pids[2];
    for (int i = 0; i < TRIES; i++) {
        if (find_children(server->pid, name, pids) == 1 && pids[0] != but)
            return pids[0];
        (void)poll(NULL, 0, PAUSE_MS); /* a pause that is too short is no harm */
    }
    fail_msg("no new %s", name);
    return 0;
}

static pid_t wait_for_worker(const struct server *server, pid_t but)
{
    return wait_for_child(server, "mta-sts-worker", but);
}

/* What is answered for the domain: its status line, or "". */
static const char *fetch(const struct server *server, const char *domain)
{
    static char answer[4096];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char request[256];
    size_t len = 0;
    (void)strncpy(address.sun_path, server->socket, sizeof(address.sun_path) - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    (void)snprintf(request, sizeof(request),
                   "GET /.well-known/mta-sts.txt HTTP/1.0\r\nHost: mta-sts.%s\r\n\r\n", domain);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    for (ssize_t got; len < sizeof(answer) - 1 &&
                      (got = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0;)
        len += (size_t)got;
    answer[len] = '\0';
    answer[strcspn(answer, "\r")] = '\0';
    assert_int_equal(close(fd), 0);
    return answer;
}

static void end(struct server *server, int expected)
{
    static const char *const names[] = {"state/last-valid-policies.yaml",
                                        "state/served-policies.txt", "state", "c"};
    int status = 0;
    char path[128];
    if (expected == 0)
        assert_int_equal(kill(server->pid, SIGTERM), 0);
    assert_int_equal(waitpid(server->pid, &status, 0), server->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == expected);
    assert_int_equal(waitpid(-1, NULL, WNOHANG),
                     -1); /* a child that it left would be this process' */
    assert_int_equal(errno, ECHILD);
    for (size_t i = 0; i < COUNT(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", server->folder, names[i]); /* it fits */
        (void)remove(path); /* a file of the state is not there when nothing was served */
    }
    assert_int_equal(rmdir(server->folder), 0); /* nothing else is left */
}

static void refused_load_leaves_what_is_served(void **state)
{
    struct server server = start("a.example: " DOMAIN);
    (void)state;
    assert_true(is_served(&server));
    pid_t worker = wait_for_worker(&server, 0);
    assert_string_equal(fetch(&server, "a.example"), "HTTP/1.1 200 OK");
    write_config(&server, "b.example: " DOMAIN "}, [");
    assert_int_equal(kill(server.pid, SIGHUP), 0);
    assert_false(is_served(&server));
    assert_int_equal(wait_for_worker(&server, 0), worker);
    assert_string_equal(fetch(&server, "a.example"), "HTTP/1.1 200 OK");
    write_config(&server, "b.example: " DOMAIN);
    assert_int_equal(kill(server.pid, SIGHUP), 0);
    assert_true(is_served(&server));
    (void)wait_for_worker(&server, worker);
    assert_string_equal(fetch(&server, "b.example"), "HTTP/1.1 200 OK");
    assert_string_not_equal(fetch(&server, "a.example"), "HTTP/1.1 200 OK");
    end(&server, 0);
}

static void worker_that_died_is_replaced(void **state)
{
    struct server server = start("a.example: " DOMAIN);
    (void)state;
    assert_true(is_served(&server));
    pid_t worker = wait_for_worker(&server, 0);
    assert_int_equal(kill(worker, SIGKILL), 0);
    (void)wait_for_worker(&server, worker);
    assert_string_equal(fetch(&server, "a.example"), "HTTP/1.1 200 OK");
    end(&server, 0);
}

/* When the first client can be served, it is on the disk. */
static void promises_are_saved_first(void **state)
{
    struct server server = start("a.example: " DOMAIN);
    char path[128], bytes[512] = "";
    (void)state;
    (void)wait_for_worker(&server, 0);
    (void)snprintf(path, sizeof(path), "%s/served-policies.txt", server.state); /* it fits */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, bytes, sizeof(bytes) - 1) > 0);
    assert_non_null(strstr(bytes, "\nserved a.example "));
    assert_int_equal(close(fd), 0);
    assert_true(is_served(&server));
    end(&server, 0);
}

static void faulty_start_is_an_end(void **state)
{
    struct server server = start("a.example: " DOMAIN "}, [");
    (void)state;
    end(&server, 1);
}

static void stop_during_a_load_leaves_no_loader(void **state)
{
    struct server server = start("a.example: " DOMAIN);
    pid_t loaders[2];
    size_t count = 0;
    (void)state;
    assert_true(is_served(&server));
    for (int i = 0; i < TRIES && count == 0; i++) { /* a loader may end before it is seen */
        assert_int_equal(kill(server.pid, SIGHUP), 0);
        for (int looks = 0; looks < 1000 && count == 0; looks++)
            count = find_children(server.pid, "mta-sts-loader", loaders);
    }
    assert_int_equal(count, 1);
    (void)kill(loaders[0], SIGSTOP); /* it may be gone by now */
    end(&server, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_load_leaves_what_is_served),
        cmocka_unit_test(worker_that_died_is_replaced),
        cmocka_unit_test(promises_are_saved_first),
        cmocka_unit_test(faulty_start_is_an_end),
        cmocka_unit_test(stop_during_a_load_leaves_no_loader),
    };
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        return 1;
    return cmocka_run_group_tests_name("supervisor", tests, NULL, NULL);
}
