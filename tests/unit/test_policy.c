/* The constructor of a policy: what it lets through, byte for byte, and what it does not. */
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "unit.h"

static struct field field(const char *text)
{
    return text == NULL ? (struct field){0} : (struct field){span_of(text), {"f", 1, 1}};
}

/* A policy with the mx separated by spaces. */
static struct policy *make(struct diag *diag, const char *mode, const char *max_age, const char *mx,
                           const char *id)
{
    struct field list[16];
    size_t count = 0;
    char *words = strdup(mx), *rest = NULL;
    for (char *word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        list[count++] = field(word);
    const struct policy_fields fields = {
        .at = {"f", 1, 1},
        .mode = field(mode),
        .max_age = field(max_age),
        .id = field(id),
        .mx = list,
        .mx_count = count,
        .mx_key = field(mx),
    };
    struct policy *policy = policy_new(&fields, diag);
    free(words);
    return policy;
}

static void renders_exact_bytes(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct policy *policy =
        make(diag, "enforce", "1w", "mx1.tachtler.net *.Tachtler.net mx1.nausch.org", NULL);
    static const char body[] = "version: STSv1\r\nmode: enforce\r\nmx: mx1.tachtler.net\r\n"
                               "mx: *.tachtler.net\r\nmx: mx1.nausch.org\r\nmax_age: 604800\r\n";
    assert_non_null(policy);
    assert_true(span_equal(policy_body(policy), span_of(body)));
    assert_int_equal(policy_mode(policy), POLICY_ENFORCE);
    assert_int_equal(policy_max_age(policy), 604800);
    assert_int_equal(policy_mx_count(policy), 3);
    assert_true(span_equal(policy_mx(policy, 1), span_of("*.tachtler.net")));
    assert_int_equal(diag_count(diag, DIAG_ERROR) + diag_count(diag, DIAG_WARNING), 0);
    policy_free(policy);
    diag_free(diag);
}

/* These ids are published in zones: they may never change in any release. */
static void ids_never_change(void **state)
{
    (void)state;
    static const struct {
        const char *mode, *max_age, *mx, *id;
    } rows[] = {
        {"enforce", "2w", "mail.example.com", "805500347910362876"},
        {"enforce", "1209600", "MAIL.example.com", "805500347910362876"},
        {"testing", "1d", "mail.example.com", "887259698564256178"},
        {"testing", "1w", "mail.example.com", "681012261454814072"},
        {"enforce", "31557600", "mail.example.com", "989075704355902347"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct diag *diag = diag_new();
        struct policy *policy = make(diag, rows[i].mode, rows[i].max_age, rows[i].mx, NULL);
        assert_non_null(policy);
        assert_string_equal(policy_id(policy), rows[i].id);
        policy_free(policy);
        diag_free(diag);
    }
}

static void derived_ids_have_18_digits(void **state)
{
    (void)state;
    for (int seconds = 86400; seconds < 88400; seconds++) {
        char max_age[16];
        struct diag *diag = diag_new();
        (void)snprintf(max_age, sizeof(max_age), "%d", seconds);
        struct policy *policy = make(diag, "testing", max_age, "a.example", NULL);
        assert_int_equal(strlen(policy_id(policy)), 18);
        assert_int_equal(strspn(policy_id(policy), "0123456789"), 18);
        assert_int_not_equal(policy_id(policy)[0], '0');
        policy_free(policy);
        diag_free(diag);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *mode, *max_age, *mx, *id;
        size_t errors;
    } rows[] = {
        {NULL, "1w", "a.example", NULL, 1},
        {"enforce", NULL, "a.example", NULL, 1},
        {"enforce", "1w", "", NULL, 1},
        {NULL, NULL, "", NULL, 3},
        {"ENFORCE", "1w", "a.example", NULL, 1},
        {"enforce ", "1w", "a.example", NULL, 1},
        {"enforce", "86399", "a.example", NULL, 1},
        {"enforce", "31557601", "a.example", NULL, 1},
        {"enforce", "1w", "a.example a.example", NULL, 1},
        {"enforce", "1w", "a.example A.EXAMPLE *.a.example *.A.example", NULL, 2},
        {"enforce", "1w", "192.0.2.1 localhost a_b.c", NULL, 3},
        {"enforce", "1w", "a.example", "", 1},
        {"enforce", "1w", "a.example", "a b", 1},
        {"enforce", "1w", "a.example", "123456789012345678901234567890123", 1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct diag *diag = diag_new();
        assert_null(make(diag, rows[i].mode, rows[i].max_age, rows[i].mx, rows[i].id));
        assert_int_equal(diag_count(diag, DIAG_ERROR), rows[i].errors);
        diag_free(diag);
    }
}

/* A body of exactly LIMIT_BODY bytes is served, one byte more is not. */
static void body_limit(void **state)
{
    (void)state;
    enum { LABEL = 58, NAMES = 152 };
    static char names[NAMES][LABEL + 16];
    struct field list[NAMES];
    for (size_t i = 0; i < NAMES; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "m%03zu%.*s.a", i, LABEL - 4,
                       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh");
        list[i] = field(names[i]);
    }
    struct policy_fields fields = {
        .at = {"f", 1, 1}, .mode = field("testing"), .max_age = field("604800"), .mx = list};
    /* 31 bytes before the mx lines, 17 behind, 66 each. */
    for (int over = 0; over < 2; over++) {
        struct diag *diag = diag_new();
        char padded[LIMIT_NAME + 1];
        size_t rest = (size_t)LIMIT_BODY - 31 - 17 - 151 * 66 - 6 + (size_t)over;
        memset(padded, 'x', sizeof(padded));
        for (size_t i = 50; i < rest; i += 50)
            padded[i] = '.';
        padded[rest] = '\0';
        fields.mx_count = NAMES;
        list[NAMES - 1] = field(padded);
        struct policy *policy = policy_new(&fields, diag);
        assert_int_equal(policy != NULL, over == 0);
        if (policy != NULL)
            assert_int_equal(policy_body(policy).len, LIMIT_BODY);
        policy_free(policy);
        diag_free(diag);
    }
}

/* Touches every byte that the functions tell of. */
static unsigned use(const struct policy *policy)
{
    unsigned sum = (unsigned)strlen(policy_id(policy)) + policy_max_age(policy) +
                   (unsigned)strlen(policy_mode_text(policy_mode(policy)));
    struct span body = policy_body(policy);
    for (size_t i = 0; i < body.len; i++)
        sum += (unsigned char)body.data[i];
    for (size_t i = 0; i < policy_mx_count(policy); i++) {
        struct span mx = policy_mx(policy, i);
        for (size_t k = 0; k < mx.len; k++)
            sum += (unsigned char)mx.data[k];
    }
    return sum;
}

/* A copy that ends at a page which cannot be read; any of its bytes is changed. */
static void a_copy_is_read_within_its_bytes(void **state)
{
    (void)state;
    static const unsigned char changes[] = {0x01, 0x80, 0xff, 0x7f};
    struct diag *diag = diag_new();
    struct policy *policy = make(diag, "none", "1d", "aa.example *.b.example c.example", "7");
    size_t len = policy_bytes(policy).len;
    assert_int_equal(len % 4, 0); /* so that it begins where it may */
    struct span copy = guard_copy(policy_bytes(policy));
    unsigned char *bytes = (unsigned char *)(uintptr_t)copy.data;
    assert_int_equal(use(policy_open(copy)), use(policy));
    for (size_t i = 0; i < len * COUNT(changes); i++) {
        bytes[i / COUNT(changes)] ^= changes[i % COUNT(changes)];
        const struct policy *opened = policy_open(copy);
        if (opened != NULL)
            (void)use(opened);
        bytes[i / COUNT(changes)] ^= changes[i % COUNT(changes)];
    }
    for (size_t shorter = 0; shorter < len; shorter++)
        assert_null(policy_open((struct span){copy.data, shorter}));
    assert_null(policy_open((struct span){copy.data + 1, len - 1}));
    guard_free(copy);
    policy_free(policy);
    policy_free(NULL);
    diag_free(diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_exact_bytes),
        cmocka_unit_test(ids_never_change),
        cmocka_unit_test(derived_ids_have_18_digits),
        cmocka_unit_test(refuses),
        cmocka_unit_test(body_limit),
        cmocka_unit_test(a_copy_is_read_within_its_bytes),
    };
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
