/*
 * The real loop of a worker, with batches of events in which the first one ends the connection of the
 * second: for every reason that a connection may have to end while it has an event. The address
 * sanitizer, and the tags that asserts look at, tell of a connection that was freed too early.
 */
#include "serve/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/preload_fault.h"
#include "clients.h"
#include "unit.h"

enum { CAPACITY = 8, SHARE = CAPACITY / 2, MOST = 64 };

/* Proxies that are believed, and what they say for whom they connect. The first one has used no time
 * yet, so its event goes before those of the victims; the other one has, much of it. */
#define UNUSED_PROXY "127.8.0.1"
#define PROXY        "127.9.0.1"
#define FOR_VICTIMS  "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
#define GET          "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.example.com\r\n\r\n"
/* The beginning of a ClientHello. */
static const struct span hello = {"\x16\x03\x01\x02\x00\x01", 6};

struct stage {
    struct site *site;
    struct tls_context *tls;
    struct prefix proxies;
    struct endpoint endpoints[2]; /* with TLS, and without */
    struct entrance entrances[2];
    uint16_t ports[2];
    int control[2];
    struct loop *loop;
    int clients[MOST];
    size_t count;
};

enum { WITH_TLS, PLAIN };

static int begin(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    char ready;
    assert_non_null(stage);
    stage->site = clients_site();
    stage->tls = tls_context_new(stage->site, NULL);
    assert_int_equal(prefix_parse(span_of("127.8.0.0/15"), &stage->proxies), PREFIX_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, stage->control), 0);
    for (size_t i = 0; i < 2; i++) {
        stage->endpoints[i] =
            (struct endpoint){.plain = i == PLAIN, .proxies = &stage->proxies, .proxy_count = 1};
        stage->entrances[i] =
            (struct entrance){clients_listen(&stage->ports[i]), &stage->endpoints[i]};
    }
    const struct worker_options options = {.site = stage->site,
                                           .entrances = stage->entrances,
                                           .entrance_count = 2,
                                           .control = stage->control[0]};
    stage->loop = loop_new(&options, stage->tls, CAPACITY);
    assert_non_null(stage->loop);
    assert_true(loop_open(stage->loop));
    assert_int_equal(recv(stage->control[1], &ready, 1, 0), 1);
    assert_int_equal(ready, WORKER_READY);
    *state = stage;
    return 0;
}

static int end(void **state)
{
    struct stage *stage = *state;
    for (size_t i = 0; i < stage->count; i++)
        (void)close(stage->clients[i]);
    loop_free(stage->loop);
    for (size_t i = 0; i < 2; i++) {
        (void)close(stage->entrances[i].fd); /* A drain may have closed it. */
        (void)close(stage->control[i]);
    }
    tls_context_free(stage->tls);
    site_free(stage->site);
    free(stage);
    return 0;
}

/* The index of a new client, which has sent the bytes. */
static size_t come(struct stage *stage, int where, const char *source, struct span bytes)
{
    assert_true(stage->count < MOST);
    stage->clients[stage->count] = clients_connect(source, stage->ports[where]);
    if (bytes.len > 0)
        clients_send(stage->clients[stage->count], bytes);
    return stage->count++;
}

static void say(struct stage *stage, size_t client, struct span bytes)
{
    clients_send(stage->clients[client], bytes);
}

/* One turn that does not wait, for the supervisor has written something that means nothing. */
static void turn(struct stage *stage)
{
    assert_int_equal(send(stage->control[1], "-", 1, 0), 1);
    assert_int_equal(loop_turn(stage->loop), LOOP_RUNS);
}

static bool ended(struct stage *stage, size_t client)
{
    return clients_ended(stage->clients[client]);
}

static void is_served(struct stage *stage)
{
    char answer[4096] = "";
    size_t client = come(stage, PLAIN, "127.1.1.1", span_of(GET));
    for (int i = 0; i < 3; i++)
        turn(stage);
    assert_true(clients_read(stage->clients[client], answer, sizeof(answer) - 1) > 0);
    assert_int_equal(strncmp(answer, "HTTP/1.1 200 ", 13), 0);
}

/* As many connections of the victims' network as it may have; each has used some time. Returns the
 * first one. */
static size_t fill(struct stage *stage, int where, struct span bytes)
{
    size_t first = stage->count;
    for (size_t i = 0; i < SHARE; i++)
        (void)come(stage, where, PROXY, span_of(FOR_VICTIMS));
    turn(stage);
    turn(stage);
    for (size_t i = first; i < stage->count; i++)
        say(stage, i, bytes);
    turn(stage);
    for (size_t i = first; i < stage->count; i++)
        assert_false(ended(stage, i));
    return first;
}

/* Connections whose headers move them into the full network, while all there have an event too. */
static void move_into(struct stage *stage, int where, struct span before, struct span now,
                      const char *proxy, size_t count)
{
    size_t victim = fill(stage, where, before), mover = stage->count;
    for (size_t i = 0; i < count; i++)
        (void)come(stage, where, proxy, (struct span){"", 0});
    turn(stage);
    for (size_t i = 0; i < count; i++)
        say(stage, mover + i, span_of(FOR_VICTIMS));
    for (size_t i = 0; i < SHARE; i++)
        say(stage, victim + i, now);
    turn(stage);
    for (size_t i = 0; i < SHARE; i++)
        assert_int_equal(ended(stage, victim + i), i < count);
    for (size_t i = 0; i < count; i++)
        assert_false(ended(stage, mover + i));
    is_served(stage);
}

static void a_proxy_header_moves_into_a_network_full_of_handshakes(void **state)
{
    move_into(*state, WITH_TLS, hello, span_of("\x02"), UNUSED_PROXY, 1);
}

static void after_the_victims_had_their_turn(void **state)
{
    move_into(*state, WITH_TLS, hello, span_of("\x02"), PROXY, 1);
}

static void several_headers_in_one_batch(void **state)
{
    move_into(*state, WITH_TLS, hello, span_of("\x02"), UNUSED_PROXY, 3);
}

/* Idle ones go before handshakes. */
static void a_proxy_header_moves_into_a_network_with_idle_connections(void **state)
{
    move_into(*state, PLAIN, span_of(GET), span_of(GET), UNUSED_PROXY, 1);
}

/* One that is between two bytes of a request. */
static void a_proxy_header_moves_into_a_network_full_of_requests(void **state)
{
    move_into(*state, PLAIN, span_of("GET"), span_of(" "), UNUSED_PROXY, 2);
}

/* Accepting comes after the connections of the batch, and before the end of it. */
static void a_newcomer_takes_the_place_of_one_with_an_event(void **state)
{
    struct stage *stage = *state;
    size_t first = stage->count;
    for (size_t i = 0; i < SHARE; i++)
        (void)come(stage, WITH_TLS, "127.2.0.1", hello);
    turn(stage);
    for (size_t i = 0; i < SHARE; i++) {
        say(stage, first + i, span_of("\x02"));
        (void)come(stage, WITH_TLS, "127.2.0.1", hello);
    }
    turn(stage);
    for (size_t i = 0; i < SHARE; i++)
        assert_true(ended(stage, first + i));
    is_served(stage);
}

static void a_full_worker_evicts_one_with_an_event(void **state)
{
    struct stage *stage = *state;
    char source[32];
    for (size_t i = 0; i < CAPACITY; i++) {
        (void)snprintf(source, sizeof(source), "127.3.0.%zu", i + 1);
        (void)come(stage, WITH_TLS, source, hello);
    }
    turn(stage);
    for (size_t i = 0; i < CAPACITY; i++) {
        (void)snprintf(source, sizeof(source), "127.3.1.%zu", i + 1);
        say(stage, i, span_of("\x02"));
        (void)come(stage, WITH_TLS, source, hello);
    }
    turn(stage);
    for (size_t i = 0; i < CAPACITY; i++)
        assert_true(ended(stage, i));
    is_served(stage);
}

/* After a turn with one newcomer no more is tried than one; whoever waits behind it is not forgotten, and
 * soon as many are tried as come. */
static void many_come_after_one(void **state)
{
    struct stage *stage = *state;
    char source[32], answer[4096];
    is_served(stage);
    for (size_t i = 1; i < CAPACITY; i++) {
        (void)snprintf(source, sizeof(source), "127.3.0.%zu", i);
        (void)come(stage, PLAIN, source, span_of(GET));
    }
    for (int i = 0; i < 4; i++) /* 1 is accepted, then 4, then the rest, which is answered last */
        assert_int_equal(loop_turn(stage->loop), LOOP_RUNS);
    for (size_t i = 1; i < CAPACITY; i++)
        assert_true(clients_read(stage->clients[i], answer, sizeof(answer)) > 0);
}

/* The places of the descriptors that were closed are taken again within the batch. */
static void without_descriptors_one_with_an_event_goes(void **state)
{
    struct stage *stage = *state;
    struct rlimit limit, few;
    (void)come(stage, WITH_TLS, "127.2.0.1", hello);
    turn(stage);
    say(stage, 0, span_of("\x02"));
    (void)come(stage, WITH_TLS, "127.4.0.1", hello);
    int next = dup(0);
    (void)close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = (struct rlimit){(rlim_t)next, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    turn(stage);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(ended(stage, 0));
    is_served(stage);
}

static void a_reset_comes_before_work(void **state)
{
    struct stage *stage = *state;
    size_t client = come(stage, PLAIN, "127.2.0.1", (struct span){"", 0});
    turn(stage);
    say(stage, client, span_of(GET));
    clients_reset(stage->clients[client]);
    stage->clients[client] = dup(0);
    turn(stage);
    is_served(stage);
}

static void a_drain_ends_those_with_events(void **state)
{
    struct stage *stage = *state;
    const char drain = WORKER_DRAIN;
    for (size_t i = 0; i < SHARE; i++)
        (void)come(stage, PLAIN, "127.2.0.1", span_of(GET));
    for (int i = 0; i < 3; i++)
        turn(stage);
    for (size_t i = 0; i < stage->count; i++)
        if (i % 2 == 0)
            say(stage, i, span_of(GET));
    (void)come(stage, PLAIN, "127.3.0.1", span_of(GET));
    assert_int_equal(send(stage->control[1], &drain, 1, 0), 1);
    enum loop_state is = loop_turn(stage->loop);
    for (size_t i = 0; i < stage->count; i++)
        assert_int_equal(shutdown(stage->clients[i], SHUT_WR), 0);
    for (int i = 0; i < 20 && is == LOOP_RUNS; i++)
        is = loop_turn(stage->loop);
    assert_int_equal(is, LOOP_DRAINED);
}

/* Each allocation of the batch fails, one after the other: whoever ends for it may have an event. */
static void memory_is_short_in_a_batch(void **state)
{
    struct stage *stage = *state;
    bool fired = true;
    for (int64_t n = 1; fired && n < 500; n++) {
        size_t old = come(stage, WITH_TLS, "127.2.0.1", hello);
        size_t mover = come(stage, WITH_TLS, PROXY, (struct span){"", 0});
        turn(stage);
        turn(stage); /* one more than came to a turn before is accepted in the next one */
        say(stage, mover, span_of("PROXY TCP4 127.2.0.1 192.0.2.2 1 2\r\n\x16\x03\x01"));
        say(stage, old, span_of("\x02"));
        (void)come(stage, PLAIN, "127.3.0.1", span_of(GET GET));
        *fault_page() =
            (struct fault_page){.pid = getpid(), .kind = FAULT_ALLOCATION, .countdown = n};
        for (int i = 0; i < 3; i++)
            turn(stage);
        fault_page()->pid = 0;
        fired = fault_page()->fired > 0;
        for (; stage->count > old; stage->count--)
            (void)close(stage->clients[stage->count - 1]);
        turn(stage);
    }
    assert_false(fired);
    is_served(stage);
}

static void an_orphan_ends(void **state)
{
    struct stage *stage = *state;
    (void)come(stage, WITH_TLS, "127.2.0.1", hello);
    turn(stage);
    say(stage, 0, span_of("\x02"));
    assert_int_equal(shutdown(stage->control[1], SHUT_WR), 0);
    assert_int_equal(loop_turn(stage->loop), LOOP_ORPHANED);
}

/* The first system call of cryptography asks for random bytes. */
static void without_random_bytes_there_is_no_tls(void **state)
{
    struct stage *stage = *state;
    *fault_page() = (struct fault_page){.pid = getpid(), .kind = FAULT_CALL, .countdown = 1};
    tls_context_free(stage->tls);
    stage->tls = tls_context_new(stage->site, NULL);
    int reason = errno;
    *fault_page() = (struct fault_page){0};
    assert_null(stage->tls);
    assert_int_equal(reason, EIO);
}

#define on_stage(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_stage(a_proxy_header_moves_into_a_network_full_of_handshakes),
        on_stage(after_the_victims_had_their_turn),
        on_stage(several_headers_in_one_batch),
        on_stage(a_proxy_header_moves_into_a_network_full_of_requests),
        on_stage(a_proxy_header_moves_into_a_network_with_idle_connections),
        on_stage(a_newcomer_takes_the_place_of_one_with_an_event),
        on_stage(a_full_worker_evicts_one_with_an_event),
        on_stage(many_come_after_one),
        on_stage(without_descriptors_one_with_an_event_goes),
        on_stage(a_reset_comes_before_work),
        on_stage(a_drain_ends_those_with_events),
        on_stage(memory_is_short_in_a_batch),
        on_stage(an_orphan_ends),
        on_stage(without_random_bytes_there_is_no_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
