#include "sandbox/syscall_filter.h"

#include <assert.h>
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>

/* The processors whose system calls the tables know. 0 stands for every other. */
#if defined(__x86_64__) && !defined(__ILP32__)
enum { ARCHITECTURE_HAS_X32 = 1 };
static const uint32_t ARCHITECTURE = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { ARCHITECTURE_HAS_X32 = 0 };
static const uint32_t ARCHITECTURE = AUDIT_ARCH_AARCH64;
#else
enum { ARCHITECTURE_HAS_X32 = 0 };
static const uint32_t ARCHITECTURE = 0;
#endif

/* The bit that makes a number of x86-64 one of x32: the same call by another door. */
static const uint32_t X32_BIT = 0x40000000U;
/* What a tracer such as strace makes of a call that it swallows. It does nothing. */
static const uint32_t NO_CALL = UINT32_MAX;

struct program {
    struct sock_filter *code; /* borrowed; FILTER_PROGRAM_MOST of them */
    size_t len;
    bool is_call_loaded; /* the accumulator holds the number of the call */
};

static void emit(struct program *program, uint16_t code, uint32_t value, uint8_t yes, uint8_t no)
{
    assert(program->len < FILTER_PROGRAM_MOST);
    program->code[program->len++] = (struct sock_filter){code, yes, no, value};
}

static void emit_load(struct program *program, size_t offset)
{
    emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void emit_verdict(struct program *program, uint32_t verdict)
{
    emit(program, BPF_RET | BPF_K, verdict, 0, 0);
}

/* How many instructions a check takes. */
static uint8_t check_length(const struct filter_check *check)
{
    switch (check->test) {
    case FILTER_NOTHING:
        return 0;
    case FILTER_IS:
    case FILTER_SELF:
        return 2;
    case FILTER_HAS:
    case FILTER_LACKS:
        return 3;
    case FILTER_NULL:
        break;
    }
    return 4;
}

/* rest is how many instructions of the rule follow the check: those that are skipped when it does
 * not hold. */
static void emit_check(struct program *program, const struct filter_check *check, uint8_t rest)
{
    size_t low = offsetof(struct seccomp_data, args) + check->argument * sizeof(uint64_t);
    size_t high = low + sizeof(uint32_t);
    switch (check->test) {
    case FILTER_NOTHING:
        return;
    case FILTER_IS:
    case FILTER_SELF:
        emit_load(program, low);
        emit(program, BPF_JMP | BPF_JEQ | BPF_K,
             check->test == FILTER_IS ? check->value : (uint32_t)getpid(), 0, rest);
        return;
    case FILTER_HAS:
    case FILTER_LACKS:
        emit_load(program, low);
        emit(program, BPF_ALU | BPF_AND | BPF_K, check->value, 0, 0);
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, check->test == FILTER_HAS ? check->value : 0, 0,
             rest);
        return;
    case FILTER_NULL:
        emit_load(program, high);
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint8_t)(rest + 2));
        emit_load(program, low);
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, rest);
        return;
    }
}

static void emit_rule(struct program *program, const struct filter_rule *rule, uint32_t verdict)
{
    uint8_t rest = 1; /* the verdict */
    for (size_t i = 0; i < FILTER_CHECKS; i++)
        rest = (uint8_t)(rest + check_length(&rule->checks[i]));
    if (!program->is_call_loaded)
        emit_load(program, offsetof(struct seccomp_data, nr));
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->call, 0, rest);
    program->is_call_loaded = rest == 1; /* a check loads its argument instead */
    for (size_t i = 0; i < FILTER_CHECKS; i++) {
        rest = (uint8_t)(rest - check_length(&rule->checks[i]));
        emit_check(program, &rule->checks[i], rest);
    }
    emit_verdict(program, rule->error == 0 ? verdict : SECCOMP_RET_ERRNO | rule->error);
}

size_t filter_compile(const struct filter *filter,
                      struct sock_filter ret_program[static FILTER_PROGRAM_MOST])
{
    struct program program = {.code = ret_program};
    const struct filter_rule no_call = {.call = NO_CALL};
    if (ARCHITECTURE == 0)
        return 0;
    emit_load(&program, offsetof(struct seccomp_data, arch));
    emit(&program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    emit_verdict(&program, SECCOMP_RET_KILL_PROCESS);
    emit_rule(&program, &no_call, SECCOMP_RET_ALLOW);
    if (ARCHITECTURE_HAS_X32 != 0) {
        emit(&program, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
        emit_verdict(&program, SECCOMP_RET_KILL_PROCESS);
    }
    for (size_t i = 0; i < filter->count; i++)
        for (size_t j = 0; j < filter->tables[i].count; j++)
            emit_rule(&program, &filter->tables[i].rules[j], filter->tables[i].verdict);
    emit_verdict(&program, filter->otherwise);
    return program.len;
}

bool filter_install(const struct filter *filter)
{
    struct sock_filter code[FILTER_PROGRAM_MOST];
    const struct sock_fprog program = {
        .len = (unsigned short)filter_compile(filter, code),
        .filter = code,
    };
    errno = ENOSYS;
    return program.len > 0 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}
