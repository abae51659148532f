/* TXT records: what the DNS says of a policy, and the messages that say it. */
#include "policy/record.h"

#include "base/text.h"
#include "probe/resolve.h"
#include "unit.h"

#define BYTES(literal) literal, sizeof(literal) - 1

static const struct {
    const char *value;
    enum record_form form;
    const char *id; /* or NULL */
    bool is_number;
} records[] = {
    {"v=STSv1; id=123;", RECORD_SOUND, "123", true},
    {"v=STSv1;id=123", RECORD_SOUND, "123", true},
    {"v=STSv1; id=123456789012345678;", RECORD_SOUND, "123456789012345678", true},
    {"v=STSv1; id=1234567890123456789;", RECORD_SOUND, "1234567890123456789", false},
    {"v=STSv1; id=20230117071500Z;", RECORD_SOUND, "20230117071500Z", false},
    {"v=STSv1; id=ZPDZJDC6FILKF4PS1D2G71C37Z1JRQ36", RECORD_SOUND,
     "ZPDZJDC6FILKF4PS1D2G71C37Z1JRQ36", false},
    {"v=STSv1; x=y; id=1; z=;", RECORD_SOUND, "1", true},
    {"v=STSv1 ; id=1;", RECORD_SPACE_BEFORE, "1", true},
    {"v=STSv1; id=1 ;", RECORD_SPACE_BEFORE, "1", true},
    {"v=STSv1; id=1; ", RECORD_SPACE_BEHIND, "1", true},
    {"v=STSv1; id=1 ", RECORD_SPACE_BEHIND, "1", true},
    {"", RECORD_OTHER, NULL, false},
    {"v=spf1 -all", RECORD_OTHER, NULL, false},
    {"google-site-verification=x", RECORD_OTHER, NULL, false},
    {"v=STSv1", RECORD_VERSION, NULL, false},
    {"v=stsv1; id=1;", RECORD_VERSION, "1", true},
    {"v=STSv2; id=1;", RECORD_VERSION, "1", true},
    {" v=STSv1; id=1;", RECORD_VERSION, "1", true},
    {"v=STSv1, id=1;", RECORD_VERSION, NULL, false},
    {"v=STSv1;", RECORD_NO_ID, NULL, false},
    {"v=STSv1; ID=1;", RECORD_NO_ID, NULL, false},
    {"v=STSv1; ; id=1;", RECORD_FIELD, "1", true},
    {"v=STSv1; id=1;;", RECORD_FIELD, "1", true},
    {"v=STSv1; id;", RECORD_FIELD, NULL, false},
    {"v=STSv1; =1; id=1;", RECORD_FIELD, "1", true},
    {"v=STSv1; id=1; id=2;", RECORD_ID_TWICE, "1", true},
    {"v=STSv1; id=;", RECORD_ID_FORM, NULL, false},
    {"v=STSv1; id=2024-01-01;", RECORD_ID_FORM, NULL, false},
    {"v=STSv1; id=123456789012345678901234567890123;", RECORD_ID_FORM, NULL, false},
};

static void records_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(records); i++) {
        struct record record;
        struct span value = guard_copy(span_of(records[i].value));
        record_read(value, &record);
        assert_int_equal(record.form, records[i].form);
        assert_int_equal(record.id.data != NULL, records[i].id != NULL);
        if (records[i].id != NULL) {
            assert_true(span_equal(record.id, span_of(records[i].id)));
            assert_int_equal(record.is_number, records[i].is_number);
        }
        assert_true(strlen(record_form_text(record.form)) > 5);
        guard_free(value);
    }
}

/* A question for _s.a, a canonical name, and two records: the first has two strings. */
#define QUESTION                       \
    "\x12\x34\x81\x80\0\1\0\3\0\0\0\0" \
    "\2_s\1a\0"                        \
    "\0\x10\0\1"
#define RECORD(type) "\xc0\x0c\0" type "\0\1\0\0\0\x3c"

static const char message[] =
    QUESTION RECORD("\5") "\0\4\1b\xc0\x0f" RECORD("\x10") "\0\6\2ab\2cd"
                                                           "\1b\0\0\x10\0\1\0\0\0\x3c"
                                                           "\0\1\0";

static void free_all(struct text *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        text_free(&values[i]);
}

static void strings_are_joined(void **state)
{
    (void)state;
    struct text values[4] = {0};
    size_t count;
    struct span bytes = guard_copy((struct span){message, sizeof(message) - 1});
    assert_true(resolve_read_txt(bytes, values, COUNT(values), &count));
    assert_int_equal(count, 2);
    assert_string_equal(values[0].data, "abcd");
    assert_string_equal(values[1].data, "");
    free_all(values, COUNT(values));
    guard_free(bytes);
}

static void no_more_are_written_than_fit(void **state)
{
    (void)state;
    struct text value = {0};
    size_t count;
    assert_true(resolve_read_txt((struct span){message, sizeof(message) - 1}, &value, 1, &count));
    assert_int_equal(count, 1);
    text_free(&value);
}

static void cut_messages_are_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(message) - 1; len++) {
        struct text values[4] = {0};
        size_t count;
        struct span bytes = guard_copy((struct span){message, len});
        assert_false(resolve_read_txt(bytes, values, COUNT(values), &count));
        free_all(values, COUNT(values));
        guard_free(bytes);
    }
}

/* Each byte takes every value: lengths and pointers lead nowhere but to a refusal. */
static void no_byte_leads_astray(void **state)
{
    (void)state;
    struct span bytes = guard_copy((struct span){message, sizeof(message) - 1});
    char *writable = (char *)(uintptr_t)bytes.data;
    for (size_t i = 0; i < bytes.len; i++) {
        char before = writable[i];
        for (int value = 0; value < 256; value++) {
            struct text values[4] = {0};
            size_t count;
            writable[i] = (char)value;
            (void)resolve_read_txt(bytes, values, COUNT(values), &count);
            assert_true(count <= COUNT(values));
            free_all(values, COUNT(values));
        }
        writable[i] = before;
    }
    guard_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_judged),           cmocka_unit_test(strings_are_joined),
        cmocka_unit_test(no_more_are_written_than_fit), cmocka_unit_test(cut_messages_are_refused),
        cmocka_unit_test(no_byte_leads_astray),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
