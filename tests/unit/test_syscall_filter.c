/* The compiler of system call filters: its programs are run here, by a machine of our own, with
 * calls that no kernel would let us make. */
#include "sandbox/syscall_filter.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/audit.h>

#include "unit.h"

#if defined(__x86_64__)
enum { HERE_IS_X86_64 = 1 };
static const uint32_t HERE = AUDIT_ARCH_X86_64;
static const uint32_t ELSEWHERE[] = {AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0};
#else
enum { HERE_IS_X86_64 = 0 };
static const uint32_t HERE = AUDIT_ARCH_AARCH64;
static const uint32_t ELSEWHERE[] = {AUDIT_ARCH_ARM, AUDIT_ARCH_X86_64, 0};
#endif

/* A machine for the instructions of classic BPF that a filter has (seccomp(2)). */
static uint32_t run(const struct sock_filter *code, size_t len, const struct seccomp_data *data)
{
    uint32_t accumulator = 0;
    for (size_t at = 0; at < len; at++) {
        const struct sock_filter *one = &code[at];
        switch (one->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(one->k % 4 == 0 && one->k + 4 <= sizeof(*data));
            memcpy(&accumulator, (const char *)data + one->k, sizeof(accumulator));
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            accumulator &= one->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            at += accumulator == one->k ? one->jt : one->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            at += accumulator >= one->k ? one->jt : one->jf;
            break;
        case BPF_RET | BPF_K:
            return one->k;
        default:
            fail_msg("instruction %zu is unknown", at);
        }
    }
    fail_msg("the program has no end");
    return 0;
}

enum {
    OPEN = 40,
    CLOSED = 41,
    NUMBERED = 42,
    FLAGGED = 43,
    POINTED = 44,
    OWN = 45,
    TOLD = 46,
    TRAPPED = 47
};
static const uint32_t YES = SECCOMP_RET_ALLOW, NO = SECCOMP_RET_KILL_PROCESS;

static const struct filter_rule rules[] = {
    {.call = OPEN},
    {.call = NUMBERED, .checks = {{FILTER_IS, 0, 7}, {FILTER_IS, 5, 9}}},
    {.call = NUMBERED, .checks = {{FILTER_IS, 0, 8}}},
    {.call = FLAGGED, .checks = {{FILTER_LACKS, 2, 0x4}, {FILTER_HAS, 3, 0x30}}},
    {.call = POINTED, .checks = {{FILTER_NULL, 4, 0}}},
    {.call = OWN, .checks = {{FILTER_SELF, 0, 0}}},
    {.call = TOLD, .error = EACCES},
    {.call = TRAPPED, .checks = {{FILTER_IS, 0, 1}}},
};
static const struct filter_rule traps[] = {
    {.call = TRAPPED},
    {.call = OPEN},
};
static const struct filter_table tables[] = {
    FILTER_TABLE(rules, SECCOMP_RET_ALLOW),
    FILTER_TABLE(traps, SECCOMP_RET_TRAP),
};
static const struct filter filter = {tables, COUNT(tables), SECCOMP_RET_KILL_PROCESS};

#define HIGH(value) ((uint64_t)(value) << 32)

static void each_check_says_what_it_means(void **state)
{
    (void)state;
    const struct {
        const char *why;
        int call;
        uint64_t args[6];
        uint32_t verdict;
    } rows[] = {
        {"a row without checks", OPEN, {1, 2, 3, 4, 5, 6}, YES},
        {"no row", CLOSED, {0}, NO},
        {"no row, below all", 0, {0}, NO},
        {"both numbers", NUMBERED, {7, 0, 0, 0, 0, 9}, YES},
        {"the kernel ignores the upper half of an int",
         NUMBERED,
         {HIGH(1) | 7, 0, 0, 0, 0, 9},
         YES},
        {"the first number alone", NUMBERED, {7, 0, 0, 0, 0, 8}, NO},
        {"the second number alone", NUMBERED, {6, 0, 0, 0, 0, 9}, NO},
        {"the number is in the upper half", NUMBERED, {HIGH(8)}, NO},
        {"another row of the same call", NUMBERED, {8}, YES},
        {"a call's number as its argument", NUMBERED, {OPEN}, NO},
        {"flags", FLAGGED, {0, 0, 0x3, 0x30}, YES},
        {"more flags", FLAGGED, {0, 0, 0xfb, 0xff}, YES},
        {"a forbidden flag", FLAGGED, {0, 0, 0x7, 0x30}, NO},
        {"half of the wanted flags", FLAGGED, {0, 0, 0x3, 0x20}, NO},
        {"none of the wanted flags", FLAGGED, {0, 0, 0x3, 0}, NO},
        {"no address", POINTED, {1, 1, 1, 1, 0, 1}, YES},
        {"an address", POINTED, {0, 0, 0, 0, 1, 0}, NO},
        {"an address far up", POINTED, {0, 0, 0, 0, HIGH(1), 0}, NO},
        {"this process", OWN, {(uint64_t)getpid()}, YES},
        {"its parent", OWN, {(uint64_t)getppid()}, NO},
        {"every process", OWN, {UINT64_MAX}, NO},
        {"an error", TOLD, {0}, SECCOMP_RET_ERRNO | EACCES},
        {"a row of the first of two tables", TRAPPED, {1}, YES},
        {"a row of the second table alone", TRAPPED, {2}, SECCOMP_RET_TRAP},
        {"what a tracer swallows", -1, {0}, YES},
    };
    struct sock_filter code[FILTER_PROGRAM_MOST];
    size_t len = filter_compile(&filter, code);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct seccomp_data data = {.nr = rows[i].call, .arch = HERE};
        memcpy(data.args, rows[i].args, sizeof(data.args));
        if (run(code, len, &data) != rows[i].verdict)
            fail_msg("%s", rows[i].why);
    }
}

static void other_doors_are_shut_whatever_the_table_says(void **state)
{
    (void)state;
    const struct filter open = {.otherwise = SECCOMP_RET_ALLOW};
    struct sock_filter code[FILTER_PROGRAM_MOST];
    size_t len = filter_compile(&open, code);
    struct seccomp_data data = {.nr = OPEN, .arch = HERE};
    assert_int_equal(run(code, len, &data), YES);
    for (size_t i = 0; i < COUNT(ELSEWHERE); i++) {
        data.arch = ELSEWHERE[i];
        assert_int_equal(run(code, len, &data), NO);
    }
    data = (struct seccomp_data){.nr = OPEN | 0x40000000, .arch = HERE};
    assert_int_equal(run(code, len, &data), HERE_IS_X86_64 ? NO : YES);
}

static void rows_of_a_denial_kill(void **state)
{
    (void)state;
    const struct filter_rule never[] = {{.call = CLOSED}, {.call = OPEN}};
    const struct filter_table kill[] = {FILTER_TABLE(never, SECCOMP_RET_KILL_PROCESS)};
    const struct filter denial = {kill, COUNT(kill), SECCOMP_RET_ALLOW};
    struct sock_filter code[FILTER_PROGRAM_MOST];
    size_t len = filter_compile(&denial, code);
    for (int call = CLOSED - 5; call < CLOSED + 5; call++) {
        struct seccomp_data data = {.nr = call, .arch = HERE};
        assert_int_equal(run(code, len, &data), call == CLOSED || call == OPEN ? NO : YES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_check_says_what_it_means),
        cmocka_unit_test(other_doors_are_shut_whatever_the_table_says),
        cmocka_unit_test(rows_of_a_denial_kill),
    };
    return cmocka_run_group_tests_name("syscall_filter", tests, NULL, NULL);
}
