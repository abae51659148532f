/*
 * The listening sockets: a reload keeps those that it still wants and leaves all as they were when it
 * fails; and which endpoint a socket that was passed on belongs to.
 */
#include "supervise/supervisor_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

/* SD_LISTEN_FDS_START. */
enum { FIRST = 3 };

static struct endpoint endpoint(const char *address, enum endpoint_service service)
{
    struct endpoint made = {.service = service, .plain = service != ENDPOINT_POLICIES};
    assert_true(address_parse(span_of(address), &made.address));
    return made;
}

/* A listening socket at the address with this descriptor; the address as the kernel has it. */
static struct address pass(int fd, const char *text)
{
    struct address address;
    assert_true(address_parse(span_of(text), &address));
    int made = socket(address.any.sa_family, SOCK_STREAM, 0);
    assert_true(made >= 0);
    assert_int_equal(bind(made, &address.any, address.len), 0);
    assert_int_equal(listen(made, 1), 0);
    assert_int_equal(getsockname(made, &address.any, &address.len), 0);
    address_print(&address);
    assert_true(made == fd || (dup2(made, fd) == fd && close(made) == 0));
    return address;
}

/* As a service manager says it. */
static void inherit(struct listeners *listeners, const char *count, const char *names)
{
    char pid[16];
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid()); /* it fits */
    assert_int_equal(setenv("LISTEN_PID", pid, 1) + setenv("LISTEN_FDS", count, 1), 0);
    if (names != NULL)
        assert_int_equal(setenv("LISTEN_FDNAMES", names, 1), 0);
    assert_true(listeners_inherit(listeners));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
}

static bool is_closed(int fd)
{
    return fcntl(fd, F_GETFD) < 0 && errno == EBADF;
}

static int fd_of(const struct listeners *listeners, const struct endpoint *endpoints, size_t count,
                 size_t index)
{
    struct entrance entrances[LIMIT_LISTENERS];
    size_t found = listeners_entrances(listeners, endpoints, count, entrances);
    for (size_t i = 0; i < found; i++)
        if (entrances[i].endpoint == &endpoints[index])
            return entrances[i].fd;
    return -1;
}

static void reload_keeps_what_it_wants(void **state)
{
    struct listeners listeners = {0};
    struct endpoint first[] = {endpoint("127.0.0.1:0", ENDPOINT_POLICIES),
                               endpoint("127.0.0.2:0", ENDPOINT_METRICS)};
    struct endpoint second[] = {endpoint("127.0.0.3:0", ENDPOINT_POLICIES),
                                endpoint("127.0.0.1:0", ENDPOINT_POLICIES)};
    struct text out = {0};
    (void)state;
    assert_true(listeners_open(&listeners, first, 2));
    int kept = fd_of(&listeners, first, 2, 0), gone = fd_of(&listeners, first, 2, 1);
    assert_true(kept >= 0 && gone >= 0);
    assert_true((fcntl(kept, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(kept, F_GETFL) & O_NONBLOCK) != 0);
    assert_true(listeners_open(&listeners, second, 2));
    assert_int_equal(listeners.count, 3);
    assert_false(is_closed(gone)); /* the generation before may stay */
    listeners_retain(&listeners, second, 2);
    assert_int_equal(listeners.count, 2);
    assert_int_equal(fd_of(&listeners, second, 2, 1), kept);
    assert_true(is_closed(gone));
    listeners_print(&listeners, second, 2, ENDPOINT_METRICS, "; metrics on ", &out);
    assert_int_equal(out.len, 0);
    listeners_print(&listeners, second, 2, ENDPOINT_POLICIES, "on ", &out);
    assert_non_null(strstr(out.data, "on 127.0.0.3:"));
    assert_non_null(strstr(out.data, ", 127.0.0.1:"));
    assert_null(strstr(out.data, ":0")); /* it is the port that the kernel chose */
    text_free(&out);
    listeners_close(&listeners);
    assert_true(is_closed(kept));
}

static void failure_leaves_all_as_it_was(void **state)
{
    struct listeners listeners = {0};
    struct endpoint good = endpoint("127.0.0.1:0", ENDPOINT_POLICIES);
    (void)state;
    assert_true(listeners_open(&listeners, &good, 1));
    int kept = listeners.items[0].fd;
    struct endpoint bad[] = {endpoint("127.0.0.2:0", ENDPOINT_POLICIES),
                             endpoint(listeners.items[0].bound.text, ENDPOINT_METRICS),
                             endpoint("192.0.2.1:0", ENDPOINT_CHALLENGES)};
    bad[1].address.text[0] = 'x'; /* so that it is another endpoint's at the same place */
    assert_false(listeners_open(&listeners, bad, 3));
    assert_int_equal(listeners.count, 1);
    assert_int_equal(listeners.items[0].fd, kept);
    assert_int_equal(fd_of(&listeners, &good, 1, 0), kept);
    listeners_close(&listeners);
}

/* The second is given away by its name, the first by its address, and the third is the rest. */
static void passed_sockets_have_an_owner_each(void **state)
{
    struct listeners listeners = {0};
    struct address one = pass(FIRST, "127.0.0.1:0");
    (void)pass(FIRST + 1, "127.0.0.1:0");
    (void)pass(FIRST + 2, "127.0.0.1:0");
    (void)state;
    inherit(&listeners, "3", "a:b:c");
    assert_int_equal(listeners.count, 3);
    struct endpoint endpoints[] = {endpoint("systemd", ENDPOINT_POLICIES),
                                   endpoint("systemd:b", ENDPOINT_METRICS),
                                   endpoint(one.text, ENDPOINT_CHALLENGES)};
    assert_true(listeners_open(&listeners, endpoints, 3));
    assert_int_equal(listeners.count, 3);
    assert_int_equal(fd_of(&listeners, endpoints, 3, 0), FIRST + 2);
    assert_int_equal(fd_of(&listeners, endpoints, 3, 1), FIRST + 1);
    assert_int_equal(fd_of(&listeners, endpoints, 3, 2), FIRST);
    /* Clients of one that is not served would wait for ever. */
    assert_false(listeners_open(&listeners, endpoints + 1, 2));
    assert_int_equal(listeners.count, 3);
    listeners_retain(&listeners, endpoints, 1);
    assert_int_equal(listeners.count, 3); /* a later reload may want them */
    listeners_close(&listeners);
    for (int fd = FIRST; fd < FIRST + 3; fd++)
        assert_true(is_closed(fd));
}

static void only_listening_sockets_are_taken(void **state)
{
    struct listeners listeners = {0};
    int file = open("/dev/null", O_RDONLY), pair[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    assert_true(dup2(file, FIRST) == FIRST && dup2(pair[0], FIRST + 1) == FIRST + 1 &&
                dup2(udp, FIRST + 2) == FIRST + 2);
    (void)pass(FIRST + 3, "127.0.0.1:0");
    inherit(&listeners, "4", NULL);
    assert_int_equal(listeners.count, 1);
    assert_int_equal(listeners.items[0].fd, FIRST + 3);
    assert_string_equal(listeners.items[0].name, "");
    struct endpoint named = endpoint("systemd:x", ENDPOINT_POLICIES);
    assert_false(listeners_open(&listeners, &named, 1));
    listeners_close(&listeners);

    /* What was meant for another process is none of ours. */
    assert_int_equal(setenv("LISTEN_PID", "1", 1) + setenv("LISTEN_FDS", "1", 1), 0);
    assert_true(listeners_inherit(&listeners));
    assert_int_equal(listeners.count, 0);
    listeners_close(&listeners);
    for (int fd = FIRST; fd < 32; fd++)
        (void)close(fd); /* what is left of these */
}

static void both_families_are_one_endpoint(void **state)
{
    struct listeners listeners = {0};
    struct endpoint both = endpoint("[::]:0", ENDPOINT_POLICIES);
    char v4[32];
    (void)state;
    assert_true(listeners_open(&listeners, &both, 1));
    if (listeners.items[0].bound.any.sa_family == AF_INET6) {
        (void)snprintf(v4, sizeof(v4), "0.0.0.0:%u", address_port(&listeners.items[0].bound));
        struct endpoint covered = endpoint(v4, ENDPOINT_POLICIES),
                        other = endpoint(v4, ENDPOINT_METRICS);
        struct endpoint fit[] = {both, covered}, unfit[] = {both, other};
        assert_true(listeners_open(&listeners, fit, 2));
        assert_int_equal(listeners.count, 1);
        assert_false(listeners_open(&listeners, unfit, 2));
    }
    listeners_close(&listeners);
}

static void socket_of_a_dead_server_is_replaced(void **state)
{
    char folder[] = "/tmp/test_listeners.XXXXXX", path[64], text[70];
    struct listeners listeners = {0};
    struct stat status;
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/s", folder); /* these fit */
    (void)snprintf(text, sizeof(text), "unix:%s", path);
    struct endpoint local = endpoint(text, ENDPOINT_POLICIES);
    (void)pass(FIRST, text); /* lives */
    assert_false(listeners_open(&listeners, &local, 1));
    assert_int_equal(close(FIRST), 0); /* and is dead now */
    assert_true(listeners_open(&listeners, &local, 1));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0666);
    listeners_close(&listeners);
    assert_int_equal(stat(path, &status), -1);
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
    assert_false(listeners_open(&listeners, &local, 1)); /* a file is not ours to remove */
    assert_int_equal(unlink(path) + rmdir(folder), 0);
    listeners_close(&listeners);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reload_keeps_what_it_wants),
        cmocka_unit_test(failure_leaves_all_as_it_was),
        cmocka_unit_test(passed_sockets_have_an_owner_each),
        cmocka_unit_test(only_listening_sockets_are_taken),
        cmocka_unit_test(both_families_are_one_endpoint),
        cmocka_unit_test(socket_of_a_dead_server_is_replaced),
    };
    return cmocka_run_group_tests_name("listeners", tests, NULL, NULL);
}
