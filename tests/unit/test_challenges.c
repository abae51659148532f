/* Challenges that processes share: what is published is found, whole or not at all, whatever the
 * writer does at that moment; and nobody but the writer can write. */
#include "shared/challenges.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static int set_up(void **state)
{
    *state = challenges_new();
    assert_non_null(*state);
    return 0;
}

static int tear_down(void **state)
{
    challenges_free(*state);
    return 0;
}

static struct challenge alpn(const char *name, const char *answer, const char *key)
{
    return (struct challenge){CHALLENGE_ALPN, span_of(name), span_of(answer), span_of(key)};
}

static struct challenge http(const char *name, const char *answer)
{
    return (struct challenge){CHALLENGE_HTTP, span_of(name), span_of(answer), {NULL, 0}};
}

static void assert_found(const struct challenges *challenges, enum challenge_kind kind,
                         const char *name, const char *answer, const char *key)
{
    struct challenge_answer found;
    assert_true(challenges_find(challenges, kind, span_of(name), &found));
    assert_int_equal(found.answer_len, strlen(answer));
    assert_int_equal(found.key_len, strlen(key));
    assert_memory_equal(found.bytes, answer, strlen(answer));
    assert_memory_equal(found.bytes + found.answer_len, key, strlen(key));
}

static bool is_there(const struct challenges *challenges, enum challenge_kind kind,
                     const char *name)
{
    struct challenge_answer found;
    return challenges_find(challenges, kind, span_of(name), &found);
}

static void test_none(void **state)
{
    for (int kind = 0; kind < CHALLENGE_KINDS; kind++) {
        assert_false(challenges_pending(*state, (enum challenge_kind)kind));
        assert_false(challenges_pending(NULL, (enum challenge_kind)kind));
        assert_false(is_there(*state, (enum challenge_kind)kind, ""));
        assert_false(is_there(NULL, (enum challenge_kind)kind, "a.example"));
    }
}

static void test_found_by_kind_and_name(void **state)
{
    const struct challenge items[] = {
        alpn("a.example", "certificate a", "key a"),
        http("Token", "Token.thumb"),
        alpn("b.example", "certificate b", "key b"),
    };
    assert_int_equal(challenges_publish(*state, items, COUNT(items)), COUNT(items));
    assert_true(challenges_pending(*state, CHALLENGE_ALPN));
    assert_true(challenges_pending(*state, CHALLENGE_HTTP));
    assert_found(*state, CHALLENGE_ALPN, "a.example", "certificate a", "key a");
    assert_found(*state, CHALLENGE_ALPN, "B.Example", "certificate b", "key b");
    assert_found(*state, CHALLENGE_HTTP, "Token", "Token.thumb", "");
    static const char *const others[] = {"token", "a.example", "Toke", "Tokens", "", "Token.thumb"};
    for (size_t i = 0; i < COUNT(others); i++)
        assert_false(is_there(*state, CHALLENGE_HTTP, others[i]));
    assert_false(is_there(*state, CHALLENGE_ALPN, "Token"));
}

static void test_replaced_by_the_next_set(void **state)
{
    const struct challenge first = alpn("a.example", "one", "k"), second = http("t", "t.u");
    assert_int_equal(challenges_publish(*state, &first, 1), 1);
    assert_int_equal(challenges_publish(*state, &second, 1), 1);
    assert_false(challenges_pending(*state, CHALLENGE_ALPN));
    assert_false(is_there(*state, CHALLENGE_ALPN, "a.example"));
    assert_found(*state, CHALLENGE_HTTP, "t", "t.u", "");
    assert_int_equal(challenges_publish(*state, NULL, 0), 0);
    assert_false(challenges_pending(*state, CHALLENGE_HTTP));
    assert_false(is_there(*state, CHALLENGE_HTTP, "t"));
}

static void test_limits(void **state)
{
    static char large[LIMIT_CHALLENGE + 1];
    static char names[LIMIT_CHALLENGES + 1][8];
    static struct challenge items[LIMIT_CHALLENGES + 1];
    memset(large, 'x', sizeof(large));

    struct challenge one = http("t", "");
    one.answer = (struct span){large, LIMIT_CHALLENGE - 1};
    assert_int_equal(challenges_publish(*state, &one, 1), 1);
    struct challenge_answer found;
    assert_true(challenges_find(*state, CHALLENGE_HTTP, span_of("t"), &found));
    assert_int_equal(found.answer_len, LIMIT_CHALLENGE - 1);
    one.answer.len++;
    assert_int_equal(challenges_publish(*state, &one, 1), 0);

    for (size_t i = 0; i < COUNT(items); i++) {
        snprintf(names[i], sizeof(names[i]), "%zu", i);
        items[i] = http(names[i], names[i]);
    }
    assert_int_equal(challenges_publish(*state, items, COUNT(items)), LIMIT_CHALLENGES);
    assert_found(*state, CHALLENGE_HTTP, names[LIMIT_CHALLENGES - 1], names[LIMIT_CHALLENGES - 1],
                 "");
    assert_false(is_there(*state, CHALLENGE_HTTP, names[LIMIT_CHALLENGES]));

    for (size_t i = 0; i < COUNT(items); i++)
        items[i].answer = (struct span){large, LIMIT_CHALLENGE - strlen(names[i])};
    assert_int_equal(challenges_publish(*state, items, COUNT(items)),
                     LIMIT_CHALLENGES_BYTES / LIMIT_CHALLENGE);
}

/* The writer's process: sets of another size and content each time, for as long as it lives. */
static _Noreturn void write_forever(struct challenges *challenges)
{
    char bytes[3000];
    for (unsigned round = 0;; round++) {
        struct challenge items[3];
        size_t len = 1 + (size_t)round * 7 % (sizeof(bytes) / 3);
        memset(bytes, (int)('a' + round % 26), sizeof(bytes));
        for (size_t i = 0; i < COUNT(items); i++) {
            items[i] = alpn("a.example", "", "");
            items[i].answer = items[i].key = (struct span){bytes, len};
        }
        items[0].name = items[1].name = span_of("z.example");
        (void)challenges_publish(challenges, items, 1 + round % 3); /* found in every third set */
    }
}

static void test_never_torn(void **state)
{
    struct challenges *challenges = *state;
    int found = 0, absent = 0;
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (writer == 0)
        write_forever(challenges);
    while (found < 2000 || absent < 2000) {
        struct challenge_answer answer;
        if (!challenges_find(challenges, CHALLENGE_ALPN, span_of("a.example"), &answer)) {
            absent++;
            continue;
        }
        found++;
        assert_int_equal(answer.answer_len, answer.key_len);
        for (size_t i = 1; i < answer.answer_len + answer.key_len; i++)
            assert_int_equal(answer.bytes[i], answer.bytes[0]);
    }
    assert_int_equal(kill(writer, SIGKILL), 0);
    assert_int_equal(waitpid(writer, NULL, 0), writer);
}

static void test_protected(void **state)
{
    struct challenges *challenges = *state;
    const struct challenge one = http("t", "t.u");
    int status = 0;
    assert_int_equal(challenges_publish(challenges, &one, 1), 1);
    pid_t reader = fork();
    assert_true(reader >= 0);
    if (reader == 0) {
        signal(SIGSEGV, SIG_DFL);
        if (!challenges_protect(challenges) || !is_there(challenges, CHALLENGE_HTTP, "t"))
            _exit(1);
        (void)challenges_publish(challenges, &one, 1); /* it ends here */
        _exit(2);
    }
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) <= 2);
    assert_int_equal(challenges_publish(challenges, &one, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_found_by_kind_and_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replaced_by_the_next_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_never_torn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_protected, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
