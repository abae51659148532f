/* Spans, text, tables, dates, durations, suggestions, the arena. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/calendar.h"
#include "base/columns.h"
#include "base/heap.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sanitizer.h"
#include "base/suggest.h"
#include "base/table.h"
#include "base/text.h"
#include "unit.h"

static void span_compares(void **state)
{
    (void)state;
    assert_true(span_equal_fold(span_of("MTA-STS.Example"), span_of("mta-sts.eXAMPLE")));
    assert_false(span_equal_fold(span_of("a"), span_of("ab")));
    assert_false(span_equal(span_of("a"), span_of("A")));
    assert_true(span_equal((struct span){NULL, 0}, span_of("")));
    assert_true(span_begins_fold(span_of("MTA-STS.x"), span_of("mta-sts.")));
    assert_false(span_begins_fold(span_of("mta"), span_of("mta-sts.")));
    assert_true(span_begins(span_of("mta-sts."), span_of("mta-")));
    assert_false(span_begins(span_of("Mta-sts."), span_of("mta-")));
    assert_false(span_begins(span_of("mta"), span_of("mta-")));
    assert_true(span_begins((struct span){NULL, 0}, span_of("")));
    /* "@" and "[" stand beside the letters, and 0xe9 minus 0xc9 is 32 as well. */
    assert_false(span_equal_fold(span_of("@["), span_of("`{")));
    assert_false(span_equal_fold(span_of("\xc9"), span_of("\xe9")));
}

static void numbers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t most, number;
        bool good;
    } rows[] = {
        {"0", 0, 0, true},
        {"1", 0, 0, false},
        {"65535", 65535, 65535, true},
        {"65536", 65535, 0, false},
        {"0065535", 65535, 65535, true},
        {"18446744073709551615", UINT64_MAX, UINT64_MAX, true},
        {"18446744073709551616", UINT64_MAX, 0, false},
        {"99999999999999999999999", UINT64_MAX, 0, false},
        {"", 9, 0, false},
        {"-1", 9, 0, false},
        {"+1", 9, 0, false},
        {" 1", 9, 0, false},
        {"1 ", 9, 0, false},
        {"1a", 9, 0, false},
        {"1\xb1", 9, 0, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t number = 0;
        struct span text = guard_copy(span_of(rows[i].text));
        assert_int_equal(span_number(text, rows[i].most, &number), rows[i].good);
        if (rows[i].good)
            assert_true(number == rows[i].number);
        guard_free(text);
    }
}

static void text_escapes_everything_unsafe(void **state)
{
    (void)state;
    char all[256];
    struct text text = {0};
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    struct span guarded = guard_copy((struct span){all, sizeof(all)});
    text_escape(&text, guarded, 1000);
    for (size_t i = 0; i < text.len; i++)
        assert_in_range(text.data[i], ' ', '~');
    assert_null(strchr(text.data, '"'));
    text_free(&text);
    text_escape(&text, guarded, 2);
    assert_string_equal(text.data, "\\x00\\x01...");
    text_free(&text);
    guard_free(guarded);
}

static void text_writes_json(void **state)
{
    (void)state;
    static const struct {
        const char *input, *output;
    } rows[] = {
        {"plain", "\"plain\""},
        {"a\"b\\c\n\t\x7f", "\"a\\\"b\\\\c\\n\\u0009\\u007f\""},
        {"b\xc3\xbc"
         "cher",
         "\"b\xc3\xbc"
         "cher\""},
        {"\xe2\x82\xac \xf0\x9f\x93\xa8", "\"\xe2\x82\xac \xf0\x9f\x93\xa8\""},
        {"\xc2\x9b"
         "1m",
         "\"\\u009b1m\""}, /* what a terminal obeys */
        /* NOLINTNEXTLINE(misc-misleading-bidirectional): that is what is tested */
        {"\xe2\x80\xae"
         "x",
         "\"\\u202ex\""},
        {"\xd8\x9c\xe2\x80\x8b\xef\xbb\xbf\xc2\xad",
         "\"\\u061c\\u200b\\ufeff\\u00ad\""},                         /* not seen */
        {"\xf3\xa0\x81\xa1", "\"\\udb40\\udc61\""},                   /* a tag */
        {"\xc3", "\"\xef\xbf\xbd\""},                                 /* cut short */
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* a surrogate */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct text text = {0};
        struct span input = guard_copy(span_of(rows[i].input));
        text_json(&text, input);
        assert_string_equal(text.data, rows[i].output);
        text_free(&text);
        guard_free(input);
    }
}

static void json_separates_values(void **state)
{
    (void)state;
    struct text text = {0};
    json_open(&text, NULL, '{');
    json_open(&text, "rows", '[');
    json_new_line(&text);
    json_open(&text, NULL, '{');
    json_text(&text, "a", "[{,");
    json_text(&text, "b", NULL);
    json_text(&text, "c", "");
    json_span(&text, "d", span_of(""));
    json_close(&text, '}');
    json_new_line(&text);
    json_open(&text, NULL, '[');
    json_close(&text, ']');
    json_number(&text, NULL, INT64_MIN);
    json_close(&text, ']');
    json_open(&text, "none", '{');
    json_close(&text, '}');
    json_flag(&text, "yes", true);
    json_ordinal(&text, "line", 0);
    json_ordinal(&text, "column", 7);
    json_printf(&text, "seconds", "%d.%d", 1, 5);
    json_close(&text, '}');
    assert_string_equal(text.data,
                        "{\"rows\":[\n{\"a\":\"[{,\",\"b\":null,\"c\":null,\"d\":\"\"},\n[],"
                        "-9223372036854775808],\"none\":{},\"yes\":true,\"line\":null,\"column\":7,"
                        "\"seconds\":1.5}");
    text_free(&text);
}

static void columns_align(void **state)
{
    (void)state;
    struct columns columns = {.count = 3};
    struct text out = {0};
    size_t widths[COLUMNS_MOST] = {0, 6};
    columns_add(&columns, "A");
    columns_add(&columns, "B");
    columns_add(&columns, "C");
    columns_add(&columns, "%s", "longer");
    text_append(&columns.text, span_of("in "));
    text_append(&columns.text, span_of("two\tparts"));
    columns_end_cell(&columns, "\033[1m");
    columns_add(&columns, "%s", "");
    columns_print(&columns, widths, false, &out);
    assert_string_equal(out.data, "A       B             C\nlonger  in two\tparts  \n");
    assert_int_equal(widths[0], 6);
    assert_int_equal(widths[1], 12);
    out.len = 0;
    columns_print(&columns, widths, true, &out);
    assert_string_equal(out.data,
                        "A       B             C\nlonger  \033[1min two\tparts\033[0m  \n");
    text_free(&out);
    columns_free(&columns);
}

static void text_grows(void **state)
{
    (void)state;
    struct text text = {0};
    for (int i = 0; i < 1000; i++)
        text_printf(&text, "%03d,", i);
    assert_int_equal(text.len, 4000);
    assert_memory_equal(text.data + 3996, "999,", 5);
    text_free(&text);
}

static void text_write_tells_failure(void **state)
{
    (void)state;
    struct text text = {0};
    text_append(&text, span_of("x"));
    assert_false(text_write(&text, -1));
    text.failed = true;
    assert_false(text_write(&text, STDOUT_FILENO));
    text_free(&text);
}

static struct span number_key(const void *items, size_t index)
{
    const char *numbers = items;
    return span_of(numbers + 8 * index);
}

enum { CHOSEN = 2000 };

static struct span chosen_key(const void *items, size_t index)
{
    const char *keys = items;
    return span_of(keys + 16 * index);
}

/* Keys that one bucket would hold if the hash were span_hash are spread all the same. */
static void table_spreads_chosen_keys(void **state)
{
    (void)state;
    static char keys[CHOSEN][16];
    struct table table = {0};
    size_t count = 0, run = 0, longest = 0;
    for (unsigned i = 0; count < CHOSEN; i++) {
        (void)snprintf(keys[count], sizeof(keys[count]), "%u", i);
        uint64_t hash = span_hash(span_of(keys[count]));
        if (((hash ^ hash >> 32) & 0xfff) != 0)
            continue;
        table_add(&table, span_of(keys[count]), count);
        count++;
    }
    assert_int_equal(table.bucket_count, 4096);
    for (size_t i = 0; i < table.bucket_count; i++) {
        run = table.buckets[i].place == 0 ? 0 : run + 1;
        longest = run > longest ? run : longest;
    }
    assert_true(longest < 200);
    for (size_t i = 0; i < CHOSEN; i++)
        assert_int_equal(table_find(&table, span_of(keys[i]), chosen_key, keys), i);
    table_free(&table);
}

static void table_moves_an_item(void **state)
{
    (void)state;
    static const char numbers[][8] = {"one", "two", "one"};
    struct table table = {0};
    table_add(&table, span_of("one"), 0);
    table_add(&table, span_of("two"), 1);
    table_move(&table, span_of("one"), 0, 2);
    assert_int_equal(table_find(&table, span_of("one"), number_key, numbers), 2);
    assert_int_equal(table_find(&table, span_of("two"), number_key, numbers), 1);
    table_free(&table);
}

static void table_finds_what_was_added(void **state)
{
    (void)state;
    enum { NUMBERS = 5000 };
    char(*numbers)[8] = calloc(NUMBERS, sizeof(*numbers));
    struct table table = {0};
    assert_non_null(numbers);
    assert_int_equal(table_find(&table, span_of("0"), number_key, numbers), TABLE_NONE);
    for (unsigned i = 0; i < NUMBERS; i++) {
        (void)snprintf(numbers[i], sizeof(numbers[i]), "%u", i);
        table_add(&table, span_of(numbers[i]), i);
    }
    for (unsigned i = 0; i < NUMBERS; i++)
        assert_int_equal(table_find(&table, span_of(numbers[i]), number_key, numbers), i);
    assert_int_equal(table_find(&table, span_of("5000"), number_key, numbers), TABLE_NONE);
    table_free(&table);
    free(numbers);
}

static void dates(void **state)
{
    (void)state;
    static const struct {
        int64_t instant;
        const char *http, *day;
    } rows[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01"},
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06"}, /* RFC 9110 section 5.6.7 */
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT", "2000-02-29"},
        {4107542399, "Sun, 28 Feb 2100 23:59:59 GMT", "2100-02-28"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT", "2100-03-01"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT", "9999-12-31"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char http[CALENDAR_HTTP_SIZE];
        calendar_http_date(rows[i].instant, http);
        assert_string_equal(http, rows[i].http);
        assert_string_equal(calendar_day(rows[i].instant).text, rows[i].day);
    }
    assert_int_equal(calendar_instant(1994, 11, 6, 8, 49, 37), 784111777);
    assert_int_equal(calendar_instant(1969, 12, 31, 23, 59, 59), -1);
    for (int64_t day = 0; day < 2900000; day += 997) {
        int64_t instant = 0;
        struct calendar_text text = calendar_day(day * 86400);
        assert_int_equal(calendar_days(day * 86400), day);
        assert_int_equal(calendar_days(day * 86400 + 86399), day);
        assert_int_equal(calendar_days(-day * 86400 - 1), -day - 1);
        assert_true(calendar_parse(span_of(text.text), &instant));
        assert_int_equal(instant, day * 86400);
    }
}

static void days_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t instant;
    } rows[] = {
        {"1970-01-01", true, 0},
        {"1994-11-06T08:49:37Z", true, 784111777},
        {"2000-02-29", true, 951782400},
        {"2100-02-29", false, 0},
        {"2026-13-01", false, 0},
        {"2026-00-01", false, 0},
        {"2026-04-31", false, 0},
        {"1969-12-31", false, 0},
        {"2026-1-1", false, 0},
        {"2026-01-01T24:00:00Z", false, 0},
        {"2026-01-01T00:00:00", false, 0},
        {"2026-01-01x", false, 0},
        {"", false, 0},
        {"tomorrow", false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t instant = 0;
        struct span text = guard_copy(span_of(rows[i].text));
        assert_int_equal(calendar_parse(text, &instant), rows[i].good);
        assert_int_equal(instant, rows[i].instant);
        guard_free(text);
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint32_t seconds;
    } rows[] = {
        {"0", true, 0},
        {"604800", true, 604800},
        {"86400s", true, 86400},
        {"10m", true, 600},
        {"24h", true, 86400},
        {"7d", true, 604800},
        {"2w", true, 1209600},
        {"4294967295", true, UINT32_MAX},
        {"4294967296", false, 0},
        {"7102w", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"w", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {"1.5d", false, 0},
        {"1 d", false, 0},
        {"1dd", false, 0},
        {"1D", false, 0},
        {"0x10", false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint32_t seconds = 0;
        struct span text = guard_copy(span_of(rows[i].text));
        assert_int_equal(calendar_duration(text, &seconds), rows[i].good);
        assert_int_equal(seconds, rows[i].seconds);
        guard_free(text);
    }
}

static void suggestions(void **state)
{
    (void)state;
    static const char *const keys[] = {"listen", "certificates", "policies", "mx"};
    static const struct {
        const char *word;
        size_t index;
    } rows[] = {
        {"listen", 0}, {"listne", 0}, {"LISTEN", 0}, {"certificate", 1},
        {"policy", 2}, {"m", 3},      {"zebra", 4},  {"", 4},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(suggest_nearest(span_of(rows[i].word), keys, COUNT(keys)), rows[i].index);
    char longest[1000];
    memset(longest, 'a', sizeof(longest));
    assert_int_equal(suggest_nearest((struct span){longest, sizeof(longest)}, keys, COUNT(keys)),
                     4);
}

static void take_too_much(void)
{
    (void)heap_take(1, PTRDIFF_MAX);
}

static void take_too_many(void)
{
    (void)heap_take(SIZE_MAX / 2, 4);
}

static void grow_too_much(void)
{
    (void)heap_grow(NULL, SIZE_MAX / 2, 4);
}

static void take_a_text_without_a_part(void)
{
    const struct text text = {.failed = true};
    (void)heap_text(&text);
}

/* With one line and a status that its parent knows. */
static void heap_ends_a_process_that_finds_no_memory(void **state)
{
    void (*const jobs[])(void) = {take_a_text_without_a_part, take_too_much, take_too_many,
                                  grow_too_much};
    (void)state;
    /* The address sanitizer ends the process by itself when too much is asked for. */
    for (size_t i = 0; i < (SANITIZED ? 1 : COUNT(jobs)); i++) {
        char said[100] = "";
        int ends[2], status = 0;
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            (void)dup2(ends[1], STDERR_FILENO);
            jobs[i]();
            _exit(0);
        }
        assert_int_equal(close(ends[1]), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == HEAP_END_STATUS);
        assert_true(read(ends[0], said, sizeof(said) - 1) > 0);
        assert_string_equal(said, "mta-sts-httpd: error: out of memory\n");
        assert_int_equal(close(ends[0]), 0);
    }
    char *copy = heap_copy(span_of("copy"));
    assert_string_equal(copy, "copy");
    free(copy);
    free(heap_take(0, 1));
}

extern const char __executable_start[]; /* of the linker */

/* Whether the process has the page now: bit 63 of its word (pagemap of proc(5)). */
static bool has_page(int pages, const char *address)
{
    uint64_t word = 0;
    off_t place = (off_t)((uintptr_t)address / (size_t)sysconf(_SC_PAGESIZE) * sizeof(word));
    assert_int_equal(pread(pages, &word, sizeof(word), place), sizeof(word));
    return word >> 63 != 0;
}

/* The part with the headers and relocations of the program is needed at its start alone. */
static void what_only_a_start_needs_is_given_back(void **state)
{
    (void)state;
    int pages = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    assert_true(pages >= 0);
    volatile char first = *(const volatile char *)__executable_start;
    assert_true(first == 0x7f && has_page(pages, __executable_start));
    memory_give_back();
    assert_false(has_page(pages, __executable_start));
    assert_true(*(const volatile char *)__executable_start == first);
    (void)close(pages);
}

static void arena_gives_zeroed_aligned_memory(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    assert_non_null(arena);
    for (size_t size = 1; size < 100000; size = size * 3 + 1) {
        unsigned char *piece = arena_take(arena, size);
        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(piece[i], 0);
        memset(piece, 0xff, size);
    }
    assert_string_equal(arena_copy(arena, span_of("copy")), "copy");
    assert_string_equal(arena_copy(arena, (struct span){NULL, 0}), "");
    arena_free(arena);
    arena_free(NULL);
}

/* Limits of the process; those of control groups are in tests/serve/test_floods.py. */
static void memory_left_obeys_limits(void **state)
{
    (void)state;
    static const int kinds[] = {RLIMIT_AS, RLIMIT_DATA};
    size_t before = memory_left(1);
    assert_true(memory_left(4) <= before);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct rlimit old, low;
        assert_int_equal(getrlimit((unsigned)kinds[i], &old), 0);
        low = (struct rlimit){(rlim_t)1 << 40, old.rlim_max};
        assert_int_equal(setrlimit((unsigned)kinds[i], &low), 0);
        size_t left = memory_left(1);
        low.rlim_cur = 1 << 20;
        assert_int_equal(setrlimit((unsigned)kinds[i], &low), 0);
        size_t little = memory_left(1);
        assert_int_equal(setrlimit((unsigned)kinds[i], &old), 0);
        assert_true(left <= (size_t)1 << 40);
        assert_true(little < 1 << 20);
    }
    assert_true(memory_left(1) > 1 << 20);
}

/* A note below a warning is a part of it, whatever it is called. In a child, since the log is one for the
 * whole process. */
static void lines_of_a_diagnostic_have_one_priority(void **state)
{
    (void)state;
    char said[256] = "", stream[64];
    struct stat status;
    int ends[2], result;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fstat(ends[1], &status), 0);
    (void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev,
                   (uintmax_t)status.st_ino); /* they fit */
    pid_t pid = fork();
    if (pid == 0) {
        bool ready = dup2(ends[1], STDERR_FILENO) >= 0 && setenv("JOURNAL_STREAM", stream, 1) == 0;
        log_open();
        log_diagnostic(LOG_LEVEL_WARNING,
                       span_of("a:1:1: warning: w\n    fix: f\nb:2:1: note: n\n"),
                       (struct span){0});
        log_diagnostic(LOG_LEVEL_ERROR, span_of("a:3:1: error: e: warning: x\n"), (struct span){0});
        _exit(ready ? 0 : 1);
    }
    assert_int_equal(close(ends[1]), 0);
    size_t len = 0;
    for (ssize_t count; (count = read(ends[0], said + len, sizeof(said) - 1 - len)) > 0;)
        len += (size_t)count;
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(waitpid(pid, &result, 0), pid);
    assert_int_equal(result, 0);
    assert_string_equal(said, "<4>a:1:1: warning: w\n<4>    fix: f\n<4>b:2:1: note: n\n"
                              "<3>a:3:1: error: e: warning: x\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_a_diagnostic_have_one_priority),
        cmocka_unit_test(memory_left_obeys_limits),
        cmocka_unit_test(span_compares),
        cmocka_unit_test(numbers_are_read),
        cmocka_unit_test(text_escapes_everything_unsafe),
        cmocka_unit_test(text_writes_json),
        cmocka_unit_test(json_separates_values),
        cmocka_unit_test(columns_align),
        cmocka_unit_test(text_grows),
        cmocka_unit_test(text_write_tells_failure),
        cmocka_unit_test(table_finds_what_was_added),
        cmocka_unit_test(table_spreads_chosen_keys),
        cmocka_unit_test(table_moves_an_item),
        cmocka_unit_test(dates),
        cmocka_unit_test(days_are_read),
        cmocka_unit_test(durations),
        cmocka_unit_test(suggestions),
        cmocka_unit_test(heap_ends_a_process_that_finds_no_memory),
        cmocka_unit_test(what_only_a_start_needs_is_given_back),
        cmocka_unit_test(arena_gives_zeroed_aligned_memory),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
