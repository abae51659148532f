/* The watcher: that it tells of changes, that it is started again, and what its supervisor refuses. */
#include "supervise/watcher.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "load/configuration.h"
#include "unit.h"

enum { PATIENCE_MS = 60000 };

struct place {
    char folder[64], path[96], challenge[160];
    struct diag *diag;
    struct configuration *configuration;
    struct stats *stats;
    struct watcher watcher;
    pid_t before; /* the watcher that is to end */
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        fail();
        return;
    }
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_folder(const struct place *place, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", place->folder, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    assert_non_null(place);
    (void)snprintf(place->folder, sizeof(place->folder), "/tmp/test_watcher.XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    (void)snprintf(place->path, sizeof(place->path), "%s/c.yaml", place->folder);
    (void)snprintf(place->challenge, sizeof(place->challenge),
                   "%s/www/.well-known/acme-challenge/token", place->folder);
    make_folder(place, "www");
    make_folder(place, "www/.well-known");
    make_folder(place, "www/.well-known/acme-challenge");
    write_file(place->path, "watch: true\n"
                            "listen: {address: \"127.0.0.1:0\", tls: false}\n"
                            "acme: {http: \"127.0.0.2:0\", webroot: www}\n"
                            "domains:\n"
                            "  a.example: {mode: testing, max_age: 1w, mx: mail.a.example}\n");
    place->diag = diag_new();
    place->stats = stats_new();
    const struct load_request request = {.path = place->path};
    place->configuration = configuration_load(&request, place->diag);
    assert_non_null(place->configuration);
    place->watcher = WATCHER_NONE;
    place->watcher.stats = place->stats;
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"www/.well-known/acme-challenge/token",
                                        "www/.well-known/acme-challenge",
                                        "www/.well-known",
                                        "www",
                                        "c.yaml",
                                        ""};
    struct place *place = *state;
    char path[128];
    watcher_close(&place->watcher);
    stats_free(place->stats);
    configuration_free(place->configuration);
    diag_free(place->diag);
    for (size_t i = 0; i < COUNT(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", place->folder, names[i]);
        (void)remove(path); /* a temporary folder */
    }
    free(place);
    return 0;
}

static void begin(struct place *place)
{
    const struct acme *acme = &place->configuration->settings.acme;
    assert_true(watcher_prepare(&place->watcher, acme));
    watcher_begin(&place->watcher, &place->configuration->watch, acme, 0, clock_monotonic_ms());
}

/* What a supervisor does in each round. Waits until the condition holds. */
static void run_until(struct place *place, bool (*condition)(const struct place *place))
{
    struct watcher *watcher = &place->watcher;
    int64_t end = clock_monotonic_ms() + PATIENCE_MS;
    int status = 0;
    while (!condition(place)) {
        struct pollfd polled = {.fd = watcher->control, .events = POLLIN};
        assert_true(clock_monotonic_ms() < end);
        (void)poll(&polled, 1, 10);
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
            (void)watcher_end(watcher, pid, status, clock_monotonic_ms());
        watcher_hear(watcher, clock_monotonic_ms());
        watcher_expire(watcher, clock_monotonic_ms());
    }
}

static enum lookout_news take_news(struct place *place)
{
    enum lookout_news news = place->watcher.news;
    place->watcher.news = LOOKOUT_NOTHING;
    return news;
}

static bool has_news(const struct place *place)
{
    return place->watcher.news == LOOKOUT_FILES;
}

static bool is_another(const struct place *place)
{
    return place->watcher.pid != place->before && place->watcher.control >= 0;
}

static bool waits(const struct place *place)
{
    return place->watcher.pid == 0 && place->watcher.start_at != INT64_MAX;
}

static bool shows_challenge(const struct place *place)
{
    static struct challenge_answer answer;
    return challenges_find(place->watcher.challenger.challenges, CHALLENGE_HTTP, span_of("token"),
                           &answer);
}

static bool shows_none(const struct place *place)
{
    return !challenges_pending(place->watcher.challenger.challenges, CHALLENGE_HTTP);
}

static void a_change_is_told_once(void **state)
{
    struct place *place = *state;
    begin(place);
    write_file(place->path, "watch: true # changed\n");
    run_until(place, has_news);
    assert_int_equal(take_news(place), LOOKOUT_FILES);
    assert_int_equal(take_news(place), LOOKOUT_NOTHING);
    const struct watch_look now = watch_now(&place->configuration->watch);
    assert_memory_equal(&place->watcher.lookout.handled, &now, sizeof(now));
}

/* The one that is started in place of another knows what that one has told, and finds what is new. */
static void one_that_is_killed_is_started_again(void **state)
{
    struct place *place = *state;
    begin(place);
    write_file(place->challenge, "token.thumb");
    write_file(place->path, "watch: true # changed\n");
    run_until(place, has_news);
    (void)take_news(place);
    run_until(place, shows_challenge);
    const struct watch_look told = place->watcher.lookout.handled;
    place->before = place->watcher.pid;
    assert_int_equal(kill(place->before, SIGKILL), 0);
    run_until(place, is_another);
    assert_true(shows_challenge(place));
    assert_memory_equal(&place->watcher.lookout.handled, &told, sizeof(told));
    assert_int_equal(unlink(place->challenge), 0);
    run_until(place, shows_none);
    assert_int_equal(place->watcher.news, LOOKOUT_NOTHING);
    write_file(place->path, "watch: true # changed again\n");
    run_until(place, has_news);
}

/* A stopped one has told nothing, and costs nothing: the next generation has its own. */
static void one_that_is_stopped_is_replaced(void **state)
{
    struct place *place = *state;
    begin(place);
    place->before = place->watcher.pid;
    assert_int_equal(kill(place->before, SIGSTOP), 0);
    begin(place);
    run_until(place, is_another);
    write_file(place->path, "watch: true # changed\n");
    run_until(place, has_news);
}

static void one_that_dies_often_is_started_after_a_pause(void **state)
{
    struct place *place = *state;
    begin(place);
    for (int i = 0; i <= LIMIT_CRASHES_FEW; i++) {
        place->before = place->watcher.pid;
        assert_int_equal(kill(place->before, SIGKILL), 0);
        run_until(place, i < LIMIT_CRASHES_FEW ? is_another : waits);
    }
    int64_t pause = place->watcher.start_at - clock_monotonic_ms();
    assert_in_range(pause, 1, LIMIT_PAUSE_MS);
}

static void one_that_is_silent_is_killed(void **state)
{
    struct place *place = *state;
    begin(place);
    place->before = place->watcher.pid;
    assert_int_equal(kill(place->before, SIGSTOP), 0);
    int64_t due = place->watcher.silent_by;
    assert_in_range(due, clock_monotonic_ms() + LIMIT_WATCHER_BEAT_MS,
                    clock_monotonic_ms() + LIMIT_WATCHER_SILENCE_MS);
    watcher_expire(&place->watcher, due - 1);
    assert_true(place->watcher.control >= 0);
    watcher_expire(&place->watcher, due);
    assert_int_equal(place->watcher.control, -1);
    run_until(place, is_another);
}

static void nothing_to_watch_needs_no_process(void **state)
{
    struct place *place = *state;
    const struct acme none = {0};
    struct watch nothing = place->configuration->watch;
    memset(nothing.is_wanted, 0, sizeof(nothing.is_wanted));
    watcher_begin(&place->watcher, &nothing, &none, 0, clock_monotonic_ms());
    assert_int_equal(place->watcher.pid, 0);
    assert_true(place->watcher.start_at == INT64_MAX && place->watcher.silent_by == INT64_MAX);
}

/* A watcher that somebody has taken over, in place of the true one: a process that waits, and the other
 * end of its socket. */
static int pretend(struct place *place)
{
    int pair[2];
    place->watcher.watch = &place->configuration->watch;
    place->watcher.challenger.acme = &place->configuration->settings.acme;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(pair[1]);
        (void)sleep(2 * PATIENCE_MS / 1000);
        _exit(0);
    }
    place->watcher.pid = place->before = pid;
    place->watcher.control = pair[0];
    place->watcher.silent_by = INT64_MAX - 1;
    return pair[1];
}

struct bytes {
    uint64_t numbers[64];
};
enum { MESSAGE = 6 * sizeof(uint64_t) };

static void what_is_no_message_ends_it(void **state)
{
    struct place *place = *state;
    const struct {
        const char *why;
        uint64_t news;
        size_t len;
    } rows[] = {
        {"too short", LOOKOUT_FILES, MESSAGE - 1},
        {"too long", LOOKOUT_FILES, MESSAGE + 1},
        {"one byte", LOOKOUT_FILES, 1},
        {"much too long", LOOKOUT_FILES, 512},
        {"unknown news", LOOKOUT_FILES + 1, MESSAGE},
        {"any news", UINT64_MAX, MESSAGE},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct bytes bytes = {{rows[i].news}};
        int attacker = pretend(place);
        assert_int_equal(send(attacker, &bytes, rows[i].len, 0), rows[i].len);
        watcher_hear(&place->watcher, 0);
        if (place->watcher.control >= 0 || place->watcher.news != LOOKOUT_NOTHING)
            fail_msg("%s", rows[i].why);
        run_until(place, is_another);
        (void)close(attacker);
        watcher_stop(&place->watcher);
        place->watcher.backoff = (struct backoff){0};
    }
}

static void a_closed_socket_ends_it(void **state)
{
    struct place *place = *state;
    int attacker = pretend(place);
    (void)close(attacker);
    run_until(place, is_another);
}

static void too_many_messages_end_it(void **state)
{
    struct place *place = *state;
    const struct bytes bytes = {{LOOKOUT_CERTIFICATES}};
    int attacker = pretend(place);
    for (int i = 0; i <= LIMIT_WATCHER_MESSAGES; i++) {
        assert_true(place->watcher.control >= 0);
        assert_int_equal(send(attacker, &bytes, MESSAGE, 0), MESSAGE);
        watcher_hear(&place->watcher, 1);
    }
    assert_int_equal(place->watcher.control, -1);
    run_until(place, is_another);
    (void)close(attacker);
}

/* Over a longer time there may be many. Times that cannot be are not counted with. */
static void messages_are_counted_for_a_while(void **state)
{
    struct place *place = *state;
    const struct bytes bytes = {{LOOKOUT_CERTIFICATES, 1, 2, 1ULL << 63, UINT64_MAX, 5}};
    int attacker = pretend(place);
    for (int i = 0; i <= 3 * LIMIT_WATCHER_MESSAGES; i++) {
        assert_int_equal(send(attacker, &bytes, MESSAGE, 0), MESSAGE);
        watcher_hear(&place->watcher, (int64_t)i * LIMIT_WATCHER_BEAT_MS / 100);
    }
    assert_true(place->watcher.control >= 0);
    assert_int_equal(place->watcher.lookout.handled.parts[WATCH_CERTIFICATES], 1);
    assert_int_equal(place->watcher.lookout.handled.parts[WATCH_FILES], 2);
    assert_int_equal(place->watcher.lookout.since[WATCH_CERTIFICATES], 0);
    assert_int_equal(place->watcher.lookout.since[WATCH_FILES], 0);
    assert_int_equal(take_news(place), LOOKOUT_CERTIFICATES);
    (void)close(attacker);
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACE(a_change_is_told_once),
        WITH_PLACE(one_that_is_killed_is_started_again),
        WITH_PLACE(one_that_is_stopped_is_replaced),
        WITH_PLACE(one_that_dies_often_is_started_after_a_pause),
        WITH_PLACE(one_that_is_silent_is_killed),
        WITH_PLACE(nothing_to_watch_needs_no_process),
        WITH_PLACE(what_is_no_message_ends_it),
        WITH_PLACE(a_closed_socket_ends_it),
        WITH_PLACE(too_many_messages_end_it),
        WITH_PLACE(messages_are_counted_for_a_while),
    };
    return cmocka_run_group_tests_name("watcher", tests, NULL, NULL);
}
