#include "body.h"

#include <assert.h>
#include <stdlib.h>

/* Takes "KEY: VALUE" and its line end off the rest. */
static bool take_line(struct span *rest, const char *key, struct span *ret_value)
{
    size_t len = strlen(key);
    if (rest->len < len || memcmp(rest->data, key, len) != 0)
        return false;
    const char *end = memmem(rest->data + len, rest->len - len, "\r\n", 2);
    if (end == NULL)
        return false;
    *ret_value = (struct span){rest->data + len, (size_t)(end - rest->data) - len};
    *rest = span_skip(*rest, (size_t)(end - rest->data) + 2);
    return true;
}

static bool is_one_of(struct span text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (text.len == strlen(*words) && memcmp(text.data, *words, text.len) == 0)
            return true;
    return false;
}

static bool is_label(const char *label, size_t len, bool *ret_has_letter)
{
    *ret_has_letter = false;
    if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        bool digit = label[i] >= '0' && label[i] <= '9';
        if (!digit && label[i] != '-' && !(label[i] >= 'a' && label[i] <= 'z'))
            return false;
        *ret_has_letter = *ret_has_letter || !digit;
    }
    return true;
}

bool body_is_name(struct span text, bool may_be_pattern)
{
    size_t labels = 0, begin = 0;
    bool has_letter = false;
    if (text.len == 0 || text.len > 253)
        return false;
    if (may_be_pattern && text.len > 2 && text.data[0] == '*' && text.data[1] == '.')
        begin = 2;
    for (size_t i = begin; i <= text.len; i++) {
        if (i < text.len && text.data[i] != '.')
            continue;
        if (!is_label(text.data + begin, i - begin, &has_letter))
            return false;
        labels++;
        begin = i + 1;
    }
    return labels >= 2 && has_letter; /* of the last one */
}

static bool parse_number(struct span text, uint32_t *ret_number)
{
    uint64_t number = 0;
    if (text.len == 0 || text.len > 8 || text.data[0] == '0')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    *ret_number = (uint32_t)number;
    return number >= 86400 && number <= 31557600;
}

static bool has_mx(const struct body *body, struct span mx)
{
    for (size_t i = 0; i < body->mx_count; i++)
        if (body->mx[i].len == mx.len && memcmp(body->mx[i].data, mx.data, mx.len) == 0)
            return true;
    return false;
}

bool body_parse(struct span bytes, struct body *ret_body)
{
    static const char *const versions[] = {"STSv1", NULL};
    static const char *const modes[] = {"enforce", "testing", "none", NULL};
    struct span version = {0}, mx;
    ret_body->mx_count = 0;
    if (bytes.len > 10240 || !take_line(&bytes, "version: ", &version) ||
        !is_one_of(version, versions) || !take_line(&bytes, "mode: ", &ret_body->mode) ||
        !is_one_of(ret_body->mode, modes))
        return false;
    while (take_line(&bytes, "mx: ", &mx)) {
        if (!body_is_name(mx, true) || has_mx(ret_body, mx))
            return false;
        assert(ret_body->mx_count < BODY_MX_MOST);
        ret_body->mx[ret_body->mx_count++] = mx;
    }
    return ret_body->mx_count > 0 && take_line(&bytes, "max_age: ", &ret_body->max_age_text) &&
           parse_number(ret_body->max_age_text, &ret_body->max_age) && bytes.len == 0;
}

static void check_id(const char *id)
{
    size_t len = strlen(id);
    assert(len >= 1 && len <= 32);
    for (size_t i = 0; i < len; i++)
        assert((id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'z') ||
               (id[i] >= 'A' && id[i] <= 'Z'));
}

void body_check_policy(const struct policy *policy)
{
    struct body *body = malloc(sizeof(*body));
    assert(body != NULL);
    assert(body_parse(policy_body(policy), body));
    assert(span_equal(body->mode, span_of(policy_mode_text(policy_mode(policy)))));
    assert(body->max_age == policy_max_age(policy));
    assert(body->mx_count == policy_mx_count(policy));
    for (size_t i = 0; i < body->mx_count; i++)
        assert(span_equal(body->mx[i], policy_mx(policy, i)));
    check_id(policy_id(policy));
    free(body);
}

/* The bytes of one character (RFC 3629) that may be shown; asserts that it is one. */
static size_t check_character(const unsigned char *bytes, size_t left)
{
    if (bytes[0] < 0x80) {
        assert(bytes[0] == '\n' || (bytes[0] >= 0x20 && bytes[0] != 0x7f));
        return 1;
    }
    size_t len = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
    assert(bytes[0] >= 0xc2 && bytes[0] <= 0xf4 && len <= left);
    uint32_t point = bytes[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        assert((bytes[i] & 0xc0) == 0x80);
        point = point << 6 | (bytes[i] & 0x3fU);
    }
    assert(point >= (len == 4 ? 0x10000U : len == 3 ? 0x800U : 0xa0U)); /* no C1 control */
    assert(point <= 0x10ffff && (point < 0xd800 || point > 0xdfff));
    return len;
}

void body_check_words(struct span words)
{
    for (size_t i = 0; i < words.len;)
        i += check_character((const unsigned char *)words.data + i, words.len - i);
}
