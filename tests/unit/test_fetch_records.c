/* Fetch records: who came again is counted, the oldest makes room, and nobody can foresee where an entry is. */
#include "shared/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

static struct fetch_record record_of(const char *domain, const char *agent, int64_t last)
{
    struct fetch_record record = {.last = last};
    fetch_record_set(record.domain, sizeof(record.domain), span_of(domain));
    fetch_record_set(record.agent, sizeof(record.agent), span_of(agent));
    fetch_record_set(record.network, sizeof(record.network), span_of("192.0.2.0/24"));
    return record;
}

static struct fetch_records *new_records(void)
{
    struct fetch_records *records = calloc(1, sizeof(*records));
    assert_non_null(records);
    return records;
}

static size_t count(const struct fetch_records *records, const char *domain,
                    struct fetch_record *ret_last)
{
    size_t found = 0;
    for (size_t index = 0; fetch_records_next(records, span_of(domain), &index, ret_last);)
        found++;
    return found;
}

static void counts_who_comes_again(void **state)
{
    (void)state;
    struct fetch_records *records = new_records();
    struct fetch_record record, found;
    for (int i = 0; i < 3; i++) {
        record = record_of("a.example", "one", i);
        fetch_records_add(records, &record);
    }
    assert_int_equal(count(records, "a.example", &found), 1);
    assert_int_equal(found.count, 3);
    assert_int_equal(found.last, 2);
    /* Where a part ends makes a difference. */
    record = record_of("a.exampleo", "ne", 3);
    fetch_records_add(records, &record);
    assert_int_equal(count(records, "a.exampleo", &found), 1);
    assert_int_equal(found.count, 1);
    free(records);
}

static void oldest_makes_room(void **state)
{
    (void)state;
    struct fetch_records *records = new_records();
    struct fetch_record record, found;
    char domain[32];
    for (int i = 0; i <= LIMIT_FETCH_RECORDS; i++) {
        (void)snprintf(domain, sizeof(domain), "d%d.example", i);
        record = record_of(domain, "one", i + 1);
        fetch_records_add(records, &record);
    }
    assert_int_equal(count(records, "d0.example", &found), 0);
    assert_int_equal(count(records, "d1.example", &found), 1);
    assert_int_equal(count(records, domain, &found), 1);
    free(records);
}

/* The key of the one entry, by a start of this program. */
static unsigned long long key_of_a_start(void)
{
    char path[4096] = {0}, command[5000], line[64] = {0};
    assert_true(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
    (void)snprintf(command, sizeof(command), "'%s' key", path);
    FILE *output = popen(command, "r"); /* NOLINT(cert-env33-c): the command is our own */
    assert_non_null(output);
    assert_non_null(fgets(line, sizeof(line), output));
    assert_int_equal(pclose(output), 0);
    return strtoull(line, NULL, 16);
}

static void keys_differ_between_starts(void **state)
{
    (void)state;
    assert_true(key_of_a_start() != key_of_a_start());
}

static int print_key(void)
{
    struct fetch_records *records = calloc(1, sizeof(*records));
    if (records == NULL)
        return 1;
    const struct fetch_record record = record_of("a.example", "one", 1);
    fetch_records_add(records, &record);
    (void)printf("%llx\n", (unsigned long long)(records->keys[0] ^ records->domains[0]));
    free(records);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_who_comes_again),
        cmocka_unit_test(oldest_makes_room),
        cmocka_unit_test(keys_differ_between_starts),
    };
    if (argc == 2 && strcmp(argv[1], "key") == 0)
        return print_key();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
