/* One connection by itself: what it wishes, how far it is, and that its end comes before it is freed; and
 * the queues of timers, with a clock made of numbers. */
#include "serve/connection.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "clients.h"
#include "unit.h"

enum { START = 1000 };

#define GET "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.example.com\r\n\r\n"

struct stage {
    struct site *site;
    struct tls_context *tls;
    char request[LIMIT_REQUEST_HEAD];
    struct connection_setting setting;
    struct prefix proxies;
    struct endpoint endpoint;
    int client;
    struct connection *connection;
};

static int begin(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    assert_non_null(stage);
    stage->site = clients_site();
    stage->tls = tls_context_new(stage->site, NULL);
    stage->setting = (struct connection_setting){
        .tls = stage->tls, .site = stage->site, .request = stage->request};
    assert_int_equal(prefix_parse(span_of("192.0.2.0/24"), &stage->proxies), PREFIX_OK);
    *state = stage;
    return 0;
}

static int end(void **state)
{
    struct stage *stage = *state;
    (void)close(stage->client);
    connection_free(stage->connection);
    tls_context_free(stage->tls);
    site_free(stage->site);
    free(stage);
    return 0;
}

static void open_one(struct stage *stage, bool is_plain, bool by_proxy, const char *bytes)
{
    const struct sockaddr_in client = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000201)};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    stage->client = pair[1];
    stage->endpoint =
        (struct endpoint){.plain = is_plain, .proxies = &stage->proxies, .proxy_count = by_proxy};
    clients_send(stage->client, span_of(bytes));
    stage->connection = connection_new(&stage->setting, pair[0], &stage->endpoint,
                                       (const struct sockaddr *)&client, START);
    assert_non_null(stage->connection);
    assert_int_equal(stage->connection->wish, CONNECTION_READ);
}

static void answers_and_is_idle(void **state)
{
    struct stage *stage = *state;
    char answer[4096] = "";
    open_one(stage, true, false, GET);
    connection_advance(stage->connection, START);
    assert_int_equal(connection_stage(stage->connection), NETWORK_IDLE);
    assert_int_equal(stage->connection->timer.deadline, START + LIMIT_IDLE_MS);
    assert_true(clients_read(stage->client, answer, sizeof(answer) - 1) > 0);
    assert_int_equal(strncmp(answer, "HTTP/1.1 200 ", 13), 0);
    connection_expire(stage->connection, START + LIMIT_IDLE_MS);
    assert_int_equal(connection_stage(stage->connection), NETWORK_LINGERING);
    assert_int_equal(stage->connection->wish, CONNECTION_READ);
    connection_expire(stage->connection, START + LIMIT_IDLE_MS + LIMIT_LINGER_MS);
    assert_int_equal(stage->connection->wish, CONNECTION_OVER);
}

/* What a client sends after our end is thrown away, until its own end. */
static void close_notify_ends_lingering(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum connection_wish wish;
    } cases[] = {
        {"\x17\x03\x03\x00\x14 1234567890123456789", 25, CONNECTION_READ},
        {"\x17\x03\x03\x00\x13 12345678901234567", 23, CONNECTION_READ},
        {"\x15\x03\x03\x00\x1a 12345", 11, CONNECTION_READ},
        {"\x15\x03\x03", 3, CONNECTION_READ},
        {GET, sizeof(GET) - 1, CONNECTION_READ},
        {"\x17\x03\x03\x00\x13 123456789012345678", 24, CONNECTION_OVER},
        {"\x15\x03\x03\x00\x12 12345678901234567", 23, CONNECTION_OVER},
        {"\x15\x03\x03\x00\x02\x01\x00", 7, CONNECTION_OVER},
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (i > 0) {
            (void)close(stage->client);
            connection_free(stage->connection);
        }
        open_one(stage, true, false, GET);
        connection_advance(stage->connection, START);
        connection_expire(stage->connection, START + LIMIT_IDLE_MS);
        assert_int_equal(connection_stage(stage->connection), NETWORK_LINGERING);
        clients_send(stage->client, (struct span){cases[i].bytes, cases[i].len});
        connection_advance(stage->connection, START);
        assert_int_equal(stage->connection->wish, cases[i].wish);
    }
}

static void a_proxy_names_the_client(void **state)
{
    struct stage *stage = *state;
    struct sockaddr_in client;
    open_one(stage, false, true, "PROXY TCP4 198.51.100.7 192.0.2.2 1 2\r\n\x16\x03");
    assert_int_equal(stage->connection->timer.deadline, START + LIMIT_INTRODUCTION_MS);
    connection_advance(stage->connection, START);
    memcpy(&client, &stage->connection->client.any, sizeof(client));
    assert_int_equal(client.sin_addr.s_addr, htonl(0xc6336407));
    assert_int_equal(connection_stage(stage->connection), NETWORK_HANDSHAKE);
    assert_int_equal(stage->connection->timer.deadline, START + LIMIT_UNFINISHED_MS);
}

static void a_proxy_that_says_something_else_is_cut_off(void **state)
{
    struct stage *stage = *state;
    open_one(stage, true, true, GET);
    connection_advance(stage->connection, START);
    assert_int_equal(stage->connection->wish, CONNECTION_OVER);
}

/* Whatever state it is in, its memory stays until it is freed, and its socket does not. */
static void ends_before_it_is_freed(void **state)
{
    struct stage *stage = *state;
    static const struct {
        bool is_plain, by_proxy;
        const char *bytes;
    } rows[] = {
        {true, false, "G"}, {true, true, "PROXY "},         {true, false, GET},
        {true, false, ""},  {false, false, "\x16\x03\x01"}, {false, true, "PROXY UNKNOWN\r\n\x16"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        open_one(stage, rows[i].is_plain, rows[i].by_proxy, rows[i].bytes);
        connection_advance(stage->connection, START);
        assert_false(connection_has_ended(stage->connection));
        assert_false(clients_ended(stage->client));
        connection_end(stage->connection);
        assert_true(connection_has_ended(stage->connection));
        assert_true(clients_ended(stage->client));
        assert_null(timers_next(&stage->setting.timers));
        connection_free(stage->connection);
        (void)close(stage->client);
    }
    stage->client = -1;
    stage->connection = NULL;
}

static void a_broken_one_is_over(void **state)
{
    struct stage *stage = *state;
    open_one(stage, true, false, GET);
    connection_break(stage->connection, START);
    assert_int_equal(stage->connection->wish, CONNECTION_OVER);
    assert_false(clients_ended(stage->client)); /* nothing was answered */
}

#define on_stage(test) cmocka_unit_test_setup_teardown(test, begin, end)

enum { COUNT_OF = 3 };

/* Connections that are nothing but a timer. */
static void make(struct connection connections[static COUNT_OF])
{
    for (size_t i = 0; i < COUNT_OF; i++)
        connections[i] = (struct connection){.timer.link.owner = &connections[i]};
}

static void tells_the_oldest(void **state)
{
    (void)state;
    struct timers timers = {0};
    const struct queue *unfinished = &timers.queues[TIMER_UNFINISHED];
    struct connection all[COUNT_OF];

    make(all);
    assert_null(queue_oldest(unfinished));
    timers_start(&timers, &all[0].timer, TIMER_UNFINISHED, 0);
    timers_start(&timers, &all[1].timer, TIMER_UNFINISHED, 0);
    timers_start(&timers, &all[2].timer, TIMER_UNFINISHED, 5);
    assert_ptr_equal(queue_oldest(unfinished), &all[0]);
    timers_stop(&timers, &all[1].timer);
    timers_start(&timers, &all[0].timer, TIMER_UNFINISHED, 7);
    assert_ptr_equal(queue_oldest(unfinished), &all[2]);
    assert_true(timers_begun(&all[2].timer) == 5);
    timers_start(&timers, &all[2].timer, TIMER_IDLE, 7);
    assert_true(timers_begun(&all[2].timer) == 7);
    assert_ptr_equal(queue_oldest(unfinished), &all[0]);
    assert_ptr_equal(queue_oldest(&timers.queues[TIMER_IDLE]), &all[2]);
    timers_stop(&timers, &all[0].timer);
    timers_stop(&timers, &all[0].timer);
    assert_null(queue_oldest(unfinished));
}

static void tells_when_each_kind_expires(void **state)
{
    (void)state;
    static const struct {
        enum timer_kind kind;
        int64_t duration;
    } rows[] = {
        {TIMER_LINGERING, LIMIT_LINGER_MS},
        {TIMER_IDLE, LIMIT_IDLE_MS},
        {TIMER_INTRODUCTION, LIMIT_INTRODUCTION_MS},
        {TIMER_UNFINISHED, LIMIT_UNFINISHED_MS},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct timers timers = {0};
        struct connection all[COUNT_OF];
        int64_t start = 1000000 + (int64_t)i;
        make(all);
        assert_null(timers_next(&timers));
        timers_start(&timers, &all[0].timer, rows[i].kind, start);
        assert_ptr_equal(timers_next(&timers), &all[0]);
        assert_true(all[0].timer.deadline == start + rows[i].duration);
        timers_stop(&timers, &all[0].timer);
        assert_null(timers_next(&timers));
    }
}

static void waits_for_the_next_of_all_kinds(void **state)
{
    (void)state;
    struct timers timers = {0};
    struct connection all[COUNT_OF];

    make(all);
    timers_start(&timers, &all[0].timer, TIMER_UNFINISHED, 0);
    timers_start(&timers, &all[1].timer, TIMER_IDLE, 0);
    timers_start(&timers, &all[2].timer, TIMER_LINGERING, 0);
    assert_ptr_equal(timers_next(&timers), &all[2]);
    timers_stop(&timers, &all[2].timer);
    assert_ptr_equal(timers_next(&timers), &all[1]);
    timers_stop(&timers, &all[1].timer);
    assert_ptr_equal(timers_next(&timers), &all[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_stage(answers_and_is_idle),
        on_stage(close_notify_ends_lingering),
        on_stage(a_proxy_names_the_client),
        on_stage(a_proxy_that_says_something_else_is_cut_off),
        on_stage(ends_before_it_is_freed),
        on_stage(a_broken_one_is_over),
        cmocka_unit_test(tells_the_oldest),
        cmocka_unit_test(tells_when_each_kind_expires),
        cmocka_unit_test(waits_for_the_next_of_all_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
