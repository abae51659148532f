/*
 * A filter of system calls: compiles a table of rules to the program that
 * seccomp(2) takes, and hands it to the kernel. It knows the two processors
 * and no policy; what is allowed stands in the tables of those who call it
 * (sandbox/process_syscalls.c). Runs in every process.
 */
#ifndef SANDBOX_SYSCALL_FILTER_H
#define SANDBOX_SYSCALL_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

enum filter_test {
    FILTER_NOTHING, /* no check; none follows */
    FILTER_IS,      /* the lower half is the value: for an int, of which the kernel takes no more */
    FILTER_SELF,    /* the lower half is the number of the process that compiles the filter */
    FILTER_NULL,    /* the whole argument is zero: for a pointer */
    FILTER_HAS,     /* every bit of the value is there; it is below the upper half */
    FILTER_LACKS,   /* no bit of the value is there */
};

struct filter_check {
    enum filter_test test;
    unsigned argument; /* counted from 0 */
    uint32_t value;
};

enum { FILTER_CHECKS = 2 };

/* A rule holds for its call when every check holds; of several rules for a call
 * the first that holds counts. */
struct filter_rule {
    long call; /* SYS_... */
    struct filter_check checks[FILTER_CHECKS];
    uint16_t error; /* not the verdict of the table, but this errno; 0: the verdict */
};

struct filter_table {
    const struct filter_rule *rules; /* borrowed */
    size_t count;
    uint32_t verdict; /* SECCOMP_RET_..., for a call for which a rule holds */
};

/* The initializer of a table that has these rules, an array. */
#define FILTER_TABLE(table_rules, table_verdict)                                         \
    {                                                                                    \
        .rules = (table_rules), .count = sizeof(table_rules) / sizeof((table_rules)[0]), \
        .verdict = (table_verdict)                                                       \
    }

/* The tables are searched in their order. */
struct filter {
    const struct filter_table *tables; /* borrowed */
    size_t count;
    uint32_t otherwise; /* the verdict for every call for which no rule holds */
};

/* Enough for the tables of this program; a longer one is a mistake. */
enum { FILTER_PROGRAM_MOST = 512 };

/* Compiles the filter, which kills the process for a call of another processor's kind whatever the
 * table says. Returns the number of instructions; 0 on a processor that this module does not know. */
size_t filter_compile(const struct filter *filter,
                      struct sock_filter ret_program[static FILTER_PROGRAM_MOST]);

/* Puts it over this process and all that it will fork, for good. New privileges must be forbidden
 * by then. False with errno, ENOSYS when the kernel or this module cannot do it here. */
bool filter_install(const struct filter *filter);

#endif
