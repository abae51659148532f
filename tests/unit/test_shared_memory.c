/* Memory that processes share: who has given up to write cannot get it back, and sees what others
 * write. */
#include "base/memory_file.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

/* Not a constant: a page is what the machine says. */
static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Does the process that was forked for it end well? */
static bool in_child(int (*act)(struct shared_memory *), struct shared_memory *memory)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* cmocka would report it as a failure */
        _exit(act(memory));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int write_last_page(struct shared_memory *memory)
{
    memcpy((char *)memory->writable + 2 * page(), "own", 4);
    return 0;
}

static int write_after_giving_up(struct shared_memory *memory)
{
    volatile char *last = (char *)memory->writable + memory->size - 1;
    if (shared_memory_give_up(memory))
        *last = 1;
    return 0;
}

/* Every way to make it writable is refused. */
static int try_to_write_again(struct shared_memory *memory)
{
    char *readable = (char *)(uintptr_t)memory->readable;
    int wrong = shared_memory_give_up(memory) ? 0 : 1;
    errno = 0;
    wrong +=
        mprotect(readable, memory->size, PROT_READ | PROT_WRITE) != 0 && errno == EACCES ? 0 : 1;
    char *copy = mremap(readable, 0, memory->size, MREMAP_MAYMOVE);
    wrong += copy == MAP_FAILED || mprotect(copy, page(), PROT_WRITE) != 0 ? 0 : 1;
    return wrong + (memory->writable == NULL ? 0 : 1);
}

static void what_is_given_up_stays_so(void **state)
{
    struct shared_memory memory;
    (void)state;
    assert_true(shared_memory_new(2 * page() + 1, &memory));
    assert_int_equal(memory.size, 3 * page());
    for (size_t i = 0; i < memory.size; i++)
        assert_int_equal(((const char *)memory.readable)[i], 0);
    assert_true(in_child(write_last_page, &memory));
    assert_string_equal((const char *)memory.readable + 2 * page(), "own");
    assert_false(in_child(write_after_giving_up, &memory));
    assert_true(in_child(try_to_write_again, &memory));
    memcpy(memory.writable, "maker", 6); /* who still can */
    assert_string_equal(memory.readable, "maker");
    shared_memory_free(&memory);
    assert_null(memory.readable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_given_up_stays_so),
    };
    return cmocka_run_group_tests_name("shared_memory", tests, NULL, NULL);
}
