/* What a service manager hears of a load that takes long. */
#include "supervise/supervisor_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "unit.h"

static const int64_t SECOND = 1000;

/* A manager, at an abstract name that the kernel has chosen. */
static int manager(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(address);
    char name[64] = "@";
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    memcpy(name + 1, address.sun_path + 1, len - sizeof(sa_family_t) - 1);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static bool hears(int fd, const char *expected)
{
    char message[256] = "";
    ssize_t len = recv(fd, message, sizeof(message) - 1, 0);
    return expected == NULL ? len < 0 : len > 0 && strcmp(message, expected) == 0;
}

static void more_time_is_asked_for_now_and_then(void **state)
{
    char expected[64];
    (void)state;
    int fd = manager();
    struct notifier notifier = notifier_open(0);
    (void)snprintf(expected, sizeof(expected), "EXTEND_TIMEOUT_USEC=%d\n",
                   (LIMIT_LOAD_SILENCE_MS + 5000) * 1000);
    notifier.extended = 100 * SECOND;
    notifier_extend(&notifier, 104 * SECOND);
    assert_true(hears(fd, NULL));
    notifier_extend(&notifier, 105 * SECOND);
    assert_true(hears(fd, expected));
    notifier_extend(&notifier, 109 * SECOND);
    assert_true(hears(fd, NULL));
    notifier_extend(&notifier, 111 * SECOND);
    assert_true(hears(fd, expected));
    notifier.extended = 200 * SECOND; /* the next load */
    notifier_extend(&notifier, 204 * SECOND);
    assert_true(hears(fd, NULL));
    assert_int_equal(close(notifier.fd), 0);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(more_time_is_asked_for_now_and_then)};
    return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
