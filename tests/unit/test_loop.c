/*
 * The parts of a turn, with events and times that the test chooses: what ends is not freed before
 * loop_free_ended, so events may go on naming it, and whoever expires or has to go may be any of them.
 */
#include "serve/worker.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/preload_fault.h"
#include "base/limits.h"
#include "clients.h"
#include "unit.h"

enum { CAPACITY = 8, START = 1000 };

#define GET "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.example.com\r\n\r\n"

static const struct endpoint with_tls, plain = {.plain = true};

struct stage {
    struct site *site;
    struct tls_context *tls;
    int control[2];
    struct loop *loop;
    int clients[4 * CAPACITY];
    size_t count;
};

static int begin(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    assert_non_null(stage);
    stage->site = clients_site();
    stage->tls = tls_context_new(stage->site, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, stage->control), 0);
    const struct worker_options options = {.site = stage->site, .control = stage->control[0]};
    stage->loop = loop_new(&options, stage->tls, CAPACITY);
    assert_non_null(stage->loop);
    *state = stage;
    return 0;
}

static int end(void **state)
{
    struct stage *stage = *state;
    for (size_t i = 0; i < stage->count; i++)
        (void)close(stage->clients[i]);
    loop_free(stage->loop);
    (void)close(stage->control[0]);
    (void)close(stage->control[1]);
    tls_context_free(stage->tls);
    site_free(stage->site);
    free(stage);
    return 0;
}

/* A client of the network with this number has come, and sent the bytes. */
static void come(struct stage *stage, const struct endpoint *endpoint, uint32_t network,
                 const char *bytes, int64_t now)
{
    const struct sockaddr_in client = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(network)};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    stage->clients[stage->count++] = pair[1];
    clients_send(pair[1], span_of(bytes));
    loop_admit(stage->loop, pair[0], endpoint, (const struct sockaddr *)&client, now);
}

/* The events that there are now. */
static size_t batch(const struct stage *stage, struct epoll_event events[static CAPACITY])
{
    int count = epoll_wait(stage->loop->epoll, events, CAPACITY, 0);
    assert_true(count >= 0);
    return (size_t)count;
}

static void advance_all(struct stage *stage, int64_t now)
{
    struct epoll_event events[CAPACITY];
    loop_advance(stage->loop, events, batch(stage, events), now);
    loop_free_ended(stage->loop);
}

static void those_that_expire_have_events(void **state)
{
    struct stage *stage = *state;
    struct epoll_event events[CAPACITY];
    for (uint32_t i = 0; i < 3; i++)
        come(stage, i == 0 ? &plain : &with_tls, i, i == 0 ? "GET" : "\x16\x03", START);
    size_t count = batch(stage, events);
    assert_int_equal(count, 3);
    loop_expire(stage->loop, START + LIMIT_UNFINISHED_MS);
    assert_int_equal(stage->loop->count, 0);
    loop_advance(stage->loop, events, count, START + LIMIT_UNFINISHED_MS);
    for (size_t i = 0; i < stage->count; i++)
        assert_true(clients_ended(stage->clients[i]));
    loop_free_ended(stage->loop);
    assert_null(timers_next(&stage->loop->setting.timers));
}

static void idle_ones_expire_in_two_steps(void **state)
{
    struct stage *stage = *state;
    struct epoll_event events[CAPACITY];
    int64_t now = START;
    come(stage, &plain, 1, GET, now);
    advance_all(stage, now);
    come(stage, &plain, 2, GET, now);
    advance_all(stage, now);
    clients_send(stage->clients[0], span_of("GET"));
    size_t count = batch(stage, events);
    assert_int_equal(count, 1);
    now += LIMIT_IDLE_MS;
    loop_expire(stage->loop, now);
    loop_advance(stage->loop, events, count, now);
    assert_int_equal(stage->loop->count, 2);
    now += LIMIT_LINGER_MS;
    loop_expire(stage->loop, now);
    assert_int_equal(stage->loop->count, 0);
    loop_advance(stage->loop, events, count, now);
}

static void those_that_are_evicted_have_events(void **state)
{
    struct stage *stage = *state;
    struct epoll_event events[CAPACITY];
    for (uint32_t i = 0; i < CAPACITY; i++)
        come(stage, &with_tls, i, "\x16\x03", START);
    size_t count = batch(stage, events);
    for (uint32_t i = 0; i < CAPACITY; i++)
        come(stage, &with_tls, 100 + i, "\x16\x03", START);
    while (loop_evict(stage->loop))
        ;
    assert_int_equal(stage->loop->count, 0);
    loop_advance(stage->loop, events, count, START);
}

static void those_that_are_drained_have_events(void **state)
{
    struct stage *stage = *state;
    struct epoll_event events[CAPACITY];
    for (uint32_t i = 0; i < 3; i++) {
        come(stage, &plain, i, GET, START);
        advance_all(stage, START);
    }
    for (size_t i = 0; i < stage->count; i++)
        clients_send(stage->clients[i], span_of(GET));
    size_t count = batch(stage, events);
    assert_int_equal(count, 3);
    loop_drain(stage->loop, START);
    loop_advance(stage->loop, events, count, START);
    for (size_t i = 0; i < stage->count; i++)
        assert_int_equal(shutdown(stage->clients[i], SHUT_WR), 0);
    loop_advance(stage->loop, events, count, START);
    assert_int_equal(stage->loop->count, 0);
}

/* A request is there, but nobody who could read the answer. */
static void a_reset_ends_at_once(void **state)
{
    struct stage *stage = *state;
    struct epoll_event events[CAPACITY];
    come(stage, &plain, 1, GET, START);
    come(stage, &plain, 2, GET, START);
    (void)close(stage->clients[0]);
    stage->clients[0] = dup(stage->clients[1]);
    size_t count = batch(stage, events);
    assert_int_equal(count, 2);
    loop_advance(stage->loop, events, count, START);
    assert_int_equal(stage->loop->count, 1);
}

/* The one that finds no memory is the oldest of all, and others are more: it is not its own loss. */
static void the_oldest_finds_no_memory(void **state)
{
    for (int64_t nth = 1;; nth++) {
        struct stage *stage = *state;
        struct epoll_event events[CAPACITY];
        come(stage, &with_tls, 1, "", START);
        come(stage, &with_tls, 2, "", START + 1);
        come(stage, &with_tls, 2, "", START + 1);
        clients_send(stage->clients[0], span_of("\x16\x03\x01"));
        size_t count = batch(stage, events);
        assert_int_equal(count, 1);
        struct fault_page *page = fault_page();
        page->fired = 0;
        page->countdown = nth;
        page->kind = FAULT_ALLOCATION;
        page->pid = getpid();
        loop_advance(stage->loop, events, count, START + 2);
        page->kind = FAULT_NOTHING;
        loop_free_ended(stage->loop);
        bool fired = page->fired > 0;
        assert_int_equal(stage->loop->count, fired ? 2 : 3);
        assert_int_equal(clients_ended(stage->clients[0]), fired);
        if (!fired) {
            assert_true(nth > 1);
            return;
        }
        (void)end(state);
        (void)begin(state);
    }
}

/* The loop is full with clients of as many networks. The next ones come from a proxy, and do not give
 * way to each other before their headers were read. */
static void newcomers_behind_a_proxy_are_heard(void **state)
{
    const struct prefix proxies = {.length = 0};
    const struct endpoint endpoint = {.proxies = &proxies, .proxy_count = 1};
    struct stage *stage = *state;
    for (uint32_t i = 0; i < CAPACITY; i++)
        come(stage, &with_tls, 10 + i, "\x16\x03", START);
    advance_all(stage, START);
    come(stage, &endpoint, 1, "", START + 1);
    come(stage, &endpoint, 1, "", START + 1);
    assert_int_equal(stage->loop->count, CAPACITY);
    for (size_t i = 0; i < stage->count; i++)
        assert_int_equal(clients_ended(stage->clients[i]), i < 2);
}

#define on_stage(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_stage(those_that_expire_have_events),
        on_stage(idle_ones_expire_in_two_steps),
        on_stage(those_that_are_evicted_have_events),
        on_stage(those_that_are_drained_have_events),
        on_stage(a_reset_ends_at_once),
        on_stage(the_oldest_finds_no_memory),
        on_stage(newcomers_behind_a_proxy_are_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
