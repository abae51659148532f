/* Diagnostics: order, form, counts, and what an attacker might write into one. */
#include "base/diag.h"
#include "unit.h"

static struct position at(struct diag *diag, const char *file, uint32_t line, uint32_t column)
{
    return (struct position){diag_intern(diag, span_of(file)), line, column};
}

static void prints_in_order_of_places(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text text = {0};
    (void)diag_intern(diag, span_of("main.yaml"));
    diag_add(diag, DIAG_ERROR, at(diag, "drop-in.yaml", 1, 1), "third");
    diag_add(diag, DIAG_WARNING, at(diag, "main.yaml", 9, 2), "second");
    diag_reason(diag, "because of %d", 1);
    diag_hint(diag, "write %s", "this");
    diag_add(diag, DIAG_FATAL, at(diag, "main.yaml", 2, 7), "first");
    diag_related(diag, at(diag, "main.yaml", 1, 7), "look here");
    diag_add(diag, DIAG_NOTE, at(diag, "main.yaml", 10, 1), "not shown");
    diag_add(diag, DIAG_ERROR, (struct position){0}, "nowhere");
    diag_print(diag, DIAG_WARNING, &text);
    assert_string_equal(text.data, "main.yaml:2:7: error: first\n"
                                   "main.yaml:1:7: note: look here\n"
                                   "main.yaml:9:2: warning: second\n"
                                   "    why: because of 1\n"
                                   "    fix: write this\n"
                                   "drop-in.yaml:1:1: error: third\n"
                                   "error: nowhere\n");
    assert_int_equal(diag_count(diag, DIAG_FATAL), 1);
    assert_int_equal(diag_count(diag, DIAG_ERROR), 2);
    assert_int_equal(diag_count(diag, DIAG_WARNING), 1);
    assert_int_equal(diag_count(diag, DIAG_NOTE), 1);
    text_free(&text);
    diag_free(diag);
}

static void says_the_same_once(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text text = {0};
    for (int i = 0; i < 100; i++) {
        diag_add(diag, DIAG_ERROR, at(diag, "a", 1, 1), "same");
        diag_reason(diag, "reason");
    }
    diag_add(diag, DIAG_ERROR, at(diag, "a", 1, 2), "same");
    assert_int_equal(diag_count(diag, DIAG_ERROR), 2);
    diag_print(diag, DIAG_NOTE, &text);
    assert_string_equal(text.data, "a:1:1: error: same\n    why: reason\na:1:2: error: same\n");
    text_free(&text);
    diag_free(diag);
}

static void no_line_can_be_forged(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text text = {0};
    diag_add(diag, DIAG_ERROR, at(diag, "a\nb", 1, 1), "bad \"%s\"",
             "x\n/etc/passwd:1:1: error\x1b[2J");
    diag_add(diag, DIAG_ERROR, at(diag, "b\xc2\x85", 1, 1),
             /* NOLINTNEXTLINE(misc-misleading-bidirectional): that is what is tested */
             "b\xc3\xbc\xc2\x9b"
             "2J\xe2\x80\xae\xe2\x82\xac \x9b");
    diag_print(diag, DIAG_NOTE, &text);
    assert_string_equal(text.data, "a?b:1:1: error: bad \"x?/etc/passwd:1:1: error?[2J\"\n"
                                   "b?:1:1: error: b\xc3\xbc?2J?\xe2\x82\xac ?\n");
    text_free(&text);
    diag_free(diag);
}

static void prints_json(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text text = {0};
    diag_add(diag, DIAG_ERROR, at(diag, "a", 3, 4), "quote \" here");
    diag_hint(diag, "write it");
    diag_related(diag, at(diag, "a", 1, 2), "first");
    diag_add(diag, DIAG_FATAL, (struct position){0}, "out of memory");
    diag_print_json(diag, DIAG_NOTE, &text);
    assert_string_equal(
        text.data,
        "[\n{\"file\":\"a\",\"line\":3,\"column\":4,\"level\":\"error\",\"scope\":\"domain\","
        "\"message\":\"quote \\\" here\",\"reason\":null,\"hint\":\"write it\","
        "\"related\":[{\"file\":\"a\",\"line\":1,\"column\":2,\"message\":\"first\"}]},"
        "\n{\"file\":null,\"line\":null,\"column\":null,\"level\":\"error\",\"scope\":\"file\","
        "\"message\":\"out of memory\",\"reason\":null,\"hint\":null,\"related\":[]}]");
    text_free(&text);
    diag_free(diag);
}

static void interns_many_names(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text name = {0};
    const char *first = diag_intern(diag, span_of("file 0"));
    for (int i = 0; i < 3000; i++) {
        name.len = 0;
        text_printf(&name, "file %d", i);
        const char *interned = diag_intern(diag, (struct span){name.data, name.len});
        assert_string_equal(interned, name.data);
    }
    assert_ptr_equal(diag_intern(diag, span_of("file 0")), first);
    text_free(&name);
    diag_free(diag);
    diag_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_in_order_of_places), cmocka_unit_test(says_the_same_once),
        cmocka_unit_test(no_line_can_be_forged),     cmocka_unit_test(prints_json),
        cmocka_unit_test(interns_many_names),
    };
    return cmocka_run_group_tests_name("diag", tests, NULL, NULL);
}
