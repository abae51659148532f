/* TXT records: what the DNS says of a policy, and the messages that say it. */
#include "policy/record.h"

#include <arpa/nameser.h>

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

/* A question for _s.a, which is an alias of b, and two records of b: the first has two strings. */
#define QUESTION                       \
    "\x12\x34\x81\x80\0\1\0\3\0\0\0\0" \
    "\2_s\1a\0"                        \
    "\0\x10\0\1"
#define BODY(type) "\0" type "\0\1\0\0\0\x3c"

static const char message[] =
    QUESTION "\xc0\x0c" BODY("\5") "\0\3\1b\0"
                                   "\1B\0" BODY("\x10") "\0\6\2ab\2cd"
                                                        "\1b\0" BODY("\x10") "\0\0";

static enum dns_result read_txt(const char *data, size_t len, const char *name,
                                struct dns_lookup *ret_txt)
{
    *ret_txt = (struct dns_lookup){.name = name, .type = ns_t_txt};
    struct span bytes = guard_copy((struct span){data, len});
    enum dns_result result = dns_read(bytes, ret_txt);
    guard_free(bytes);
    return result;
}

static void strings_are_joined(void **state)
{
    (void)state;
    struct dns_lookup txt;
    assert_int_equal(read_txt(message, sizeof(message) - 1, "_S.A", &txt), DNS_DONE);
    assert_int_equal(txt.count, 2);
    assert_string_equal(txt.values[0].data, "abcd");
    assert_string_equal(txt.values[1].data, "");
    assert_string_equal(txt.alias, "b");
    assert_int_equal(txt.ttl, 60);
    dns_lookup_free(&txt);
}

/* What belongs to another name, class or type is no answer, wherever it stands. */
static const struct {
    const char *data;
    size_t len;
    enum dns_result result;
} answers[] = {
#define ANSWER(count, records)                                        \
    "\0\0\x81\x80\0\1\0" count "\0\0\0\0\2_s\1a\0\0\x10\0\1" records, \
        sizeof("\0\0\x81\x80\0\1\0" count "\0\0\0\0\2_s\1a\0\0\x10\0\1" records) - 1
    {ANSWER("\1", "\xc0\x0c" BODY("\x10") "\0\2\1x"), DNS_DONE},
    {ANSWER("\1", "\1c\0" BODY("\x10") "\0\2\1x"), DNS_NONE},
    {ANSWER("\1", "\xc0\x0c" BODY("\1") "\0\4\x7f\0\0\1"), DNS_NONE},
    {ANSWER("\1", "\xc0\x0c\0\x10\0\3\0\0\0\x3c\0\2\1x"), DNS_NONE},
    {ANSWER("\0", ""), DNS_NONE},
    /* An alias behind what it leads to, two of them, one that leads nowhere, and a circle. */
    {ANSWER("\2", "\1b\0" BODY("\x10") "\0\2\1x\xc0\x0c" BODY("\5") "\0\3\1b\0"), DNS_DONE},
    {ANSWER("\3", "\1b\0" BODY("\5") "\0\3\1c\0\xc0\x0c" BODY("\5") "\0\3\1b\0\1c\0" BODY(
                      "\x10") "\0\2\1x"),
     DNS_DONE},
    {ANSWER("\2", "\xc0\x0c" BODY("\5") "\0\3\1b\0\xc0\x0c" BODY("\x10") "\0\2\1x"), DNS_NONE},
    {ANSWER("\2", "\xc0\x0c" BODY("\5") "\0\3\1b\0\1b\0" BODY("\5") "\0\2\xc0\x0c"), DNS_NONE},
    /* A pointer to itself, and a record that is announced and missing. */
    {ANSWER("\1", "\xc0\x15" BODY("\x10") "\0\2\1x"), DNS_MALFORMED},
    {ANSWER("\2", "\xc0\x0c" BODY("\x10") "\0\2\1x"), DNS_MALFORMED},
    /* A string that ends beyond its record, where another begins. */
    {ANSWER("\1", "\xc0\x0c" BODY("\x10") "\0\3\3ab"), DNS_MALFORMED},
    {ANSWER("\2", "\xc0\x0c" BODY("\x10") "\0\2\1x\xc0\x0c" BODY("\x10") "\0\3\3ab"),
     DNS_MALFORMED},
};

static void only_records_of_the_name_count(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        struct dns_lookup txt;
        assert_int_equal(read_txt(answers[i].data, answers[i].len, "_s.a", &txt),
                         answers[i].result);
        assert_int_equal(txt.count, answers[i].result == DNS_DONE ? 1 : 0);
        dns_lookup_free(&txt);
    }
}

static void all_records_are_read_up_to_the_limit(void **state)
{
    (void)state;
    static const char record[] = "\xc0\x0c" BODY("\x10") "\0\2\1x";
    static const size_t counts[] = {21, LIMIT_DNS_RECORDS, LIMIT_DNS_RECORDS + 5};
    for (size_t i = 0; i < COUNT(counts); i++) {
        struct text text = {0};
        struct dns_lookup txt;
        char head[] = "\0\0\x81\x80\0\1\0\0\0\0\0\0\2_s\1a\0\0\x10\0\1";
        head[6] = (char)(counts[i] >> 8);
        head[7] = (char)(counts[i] & 0xff);
        text_append(&text, (struct span){head, sizeof(head) - 1});
        for (size_t k = 0; k < counts[i]; k++)
            text_append(&text, (struct span){record, sizeof(record) - 1});
        assert_int_equal(read_txt(text.data, text.len, "_s.a", &txt), DNS_DONE);
        assert_int_equal(txt.count, i == 0 ? 21 : LIMIT_DNS_RECORDS);
        assert_int_equal(txt.is_more, counts[i] > LIMIT_DNS_RECORDS);
        dns_lookup_free(&txt);
        text_free(&text);
    }
}

/* The owner of the last record is found by way of pointers to pointers, in the data of another. */
static void pointers_are_followed_for_a_while(void **state)
{
    (void)state;
    static const struct {
        size_t pointers;
        enum dns_result result;
    } cases[] = {{1, DNS_DONE}, {200, DNS_DONE}, {300, DNS_MALFORMED}, {8000, DNS_MALFORMED}};
    static const char head[] = "\0\0\x81\x80\0\1\0\2\0\0\0\0\2_s\1a\0\0\x10\0\1";
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct text text = {0};
        struct dns_lookup txt;
        size_t to = 12, size = 2 * cases[i].pointers;
        char len[] = {(char)(size >> 8), (char)(size & 0xff)};
        text_append(&text, (struct span){BYTES(head)});
        text_append(&text, (struct span){BYTES("\xc0\x0c" BODY("\x63"))});
        text_append(&text, (struct span){len, sizeof(len)});
        for (size_t k = 0; k <= cases[i].pointers; k++) { /* the last is the owner */
            char pointer[] = {(char)(0xc0 | to >> 8), (char)(to & 0xff)};
            to = text.len;
            text_append(&text, (struct span){pointer, sizeof(pointer)});
        }
        text_append(&text, (struct span){BYTES(BODY("\x10") "\0\2\1x")});
        assert_int_equal(read_txt(text.data, text.len, "_s.a", &txt), cases[i].result);
        dns_lookup_free(&txt);
        text_free(&text);
    }
}

static void addresses_are_read(void **state)
{
    (void)state;
    static const char bytes[] = "\0\0\x81\x80\0\1\0\2\0\0\0\0\1a\0\0\1\0\1"
                                "\xc0\x0c" BODY("\1") "\0\4\xc0\0\2\1"
                                                      "\xc0\x0c" BODY("\1") "\0\4\xc0\0\2\2";
    struct span span = {bytes, sizeof(bytes) - 1};
    static const struct {
        const char *name;
        int type;
        enum dns_result result;
        size_t count;
    } questions[] = {
        {"a", ns_t_a, DNS_DONE, 2}, {"b", ns_t_a, DNS_NONE, 0}, {"a", ns_t_aaaa, DNS_NONE, 0}};
    for (size_t i = 0; i < COUNT(questions); i++) {
        struct dns_lookup lookup = {.name = questions[i].name, .type = questions[i].type};
        assert_int_equal(dns_read(span, &lookup), questions[i].result);
        assert_int_equal(lookup.count, questions[i].count);
        if (lookup.count > 0)
            assert_memory_equal(lookup.values[1].data, "\xc0\0\2\2", 4);
        dns_lookup_free(&lookup);
    }
}

/* One names a host, one none; and what has no place for a preference, or a name cut, is refused. */
static void hosts_of_mail_are_read(void **state)
{
    (void)state;
    static const char head[] = "\0\0\x81\x80\0\1\0\2\0\0\0\0\1a\0\0\x0f\0\1"
                               "\xc0\x0c" BODY("\x0f") "\0\3\0\1\0"
                                                       "\xc0\x0c" BODY("\x0f");
    static const struct {
        const char *data;
        size_t len;
        enum dns_result result;
    } seconds[] = {{BYTES("\0\5\0\1\1b\0"), DNS_DONE},
                   {BYTES("\0\1\0"), DNS_MALFORMED},
                   {BYTES("\0\3\0\1\1"), DNS_MALFORMED}};
    for (size_t i = 0; i < COUNT(seconds); i++) {
        struct text text = {0};
        struct dns_lookup mx = {.name = "a", .type = ns_t_mx};
        text_append(&text, (struct span){BYTES(head)});
        text_append(&text, (struct span){seconds[i].data, seconds[i].len});
        struct span bytes = guard_copy((struct span){text.data, text.len});
        assert_int_equal(dns_read(bytes, &mx), seconds[i].result);
        assert_int_equal(mx.count, seconds[i].result == DNS_DONE ? 2 : 0);
        if (mx.count > 0) {
            assert_string_equal(mx.values[0].data, "");
            assert_string_equal(mx.values[1].data, "b");
        }
        dns_lookup_free(&mx);
        guard_free(bytes);
        text_free(&text);
    }
}

static void cut_messages_are_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(message) - 1; len++) {
        struct dns_lookup txt;
        assert_int_equal(read_txt(message, len, "_s.a", &txt), DNS_MALFORMED);
        dns_lookup_free(&txt);
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
            static const int types[] = {ns_t_txt, ns_t_a, ns_t_mx};
            writable[i] = (char)value;
            for (size_t t = 0; t < COUNT(types); t++) {
                struct dns_lookup lookup = {.name = "_s.a", .type = types[t]};
                (void)dns_read(bytes, &lookup);
                assert_true(lookup.count <= 3);
                dns_lookup_free(&lookup);
            }
        }
        writable[i] = before;
    }
    guard_free(bytes);
}

static void labels_are_made_of_names(void **state)
{
    (void)state;
    static const char sixty[] = "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff";
    static const struct {
        const char *name, *file, *label;
    } labels[] = {
        {"default", NULL, "default"},
        {"a-1", NULL, "a-1"},
        {"A-1", NULL, "a-1_bc4e7be982ab79ec4fb6388a"},
        {"a--1", NULL, "a-1_abcafb1689529fd058e87a21"},
        {"-a", NULL, "a_c274891790345c56cef3b53c"},
        {"a-", NULL, "a_9baf4407202e5b0e02fc11cb"},
        {"a.b", NULL, "a-b_2e7336dc8eba87ef472df568"},
        {"a_b", NULL, "a-b_648fa9b31bc7ff7eb914e7a7"},
        {"\xc3\xbc", NULL, "_607474ca475a9724d7360aba"},
        {sixty, NULL, "aaaaaaaaaabbbbbbbbbbccccccccccdd_4230f6797db2aa255b155ca6"},
        {"default", "d/a.yaml", "default.d-a-yaml_6cefb8c2f8c9b5de3b4990e9"},
        {"default", "d/b.yaml", "default.d-b-yaml_4252907377483ed6b851ebf6"},
        {"default", "plain", "default.plain_a116c9ed46d6207734a43317"},
    };
    for (size_t i = 0; i < COUNT(labels); i++) {
        char label[RECORD_LABEL_SIZE];
        record_label(guard_copy(span_of(labels[i].name)), labels[i].file, label);
        assert_string_equal(label, labels[i].label);
    }
    char label[RECORD_LABEL_SIZE], name[RECORD_NAME_SIZE];
    record_label(span_of(sixty), sixty, label);
    assert_int_equal(strlen(label),
                     57 + 1 + 57); /* with a zone of LIMIT_DELEGATE it is no long name */
    record_shared_name(label, "sts.example", name);
    assert_true(strlen(name) - strlen(".sts.example") + 1 + LIMIT_DELEGATE <= LIMIT_NAME);
}

/* A customer chooses the names of his files. These two have the same words and the same FNV-1a, which
 * took a minute to find. */
static void no_name_is_made_for_another_label(void **state)
{
    (void)state;
    char one[RECORD_LABEL_SIZE], other[RECORD_LABEL_SIZE];
    const char *file = "domains.d/customer-with-a-rather-long-name-of-TKJ7CdIFD7f.yaml";
    const char *forged = "domains.d/customer-with-a-rather-long-name-of-rGaKJhfxcWp.yaml";
    assert_int_equal(span_hash(span_of(file)), span_hash(span_of(forged)));
    record_label(span_of("default"), file, one);
    record_label(span_of("default"), forged, other);
    assert_string_not_equal(one, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_judged),
        cmocka_unit_test(labels_are_made_of_names),
        cmocka_unit_test(no_name_is_made_for_another_label),
        cmocka_unit_test(strings_are_joined),
        cmocka_unit_test(only_records_of_the_name_count),
        cmocka_unit_test(all_records_are_read_up_to_the_limit),
        cmocka_unit_test(pointers_are_followed_for_a_while),
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(hosts_of_mail_are_read),
        cmocka_unit_test(cut_messages_are_refused),
        cmocka_unit_test(no_byte_leads_astray),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
