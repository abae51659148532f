/*
 * Any fields as a policy, one a line: mode, max_age, id, then an mx in each. The
 * constructor takes them exactly when a second opinion does, and what it
 * renders reads back as the same fields and makes the same policy again. Then
 * the same bytes as a body: what is one in the strict form is rendered anew
 * byte for byte.
 */
#include <assert.h>

#include "body.h"
#include "fuzz.h"

/* A line that holds only this byte stands for a field that is missing. */
enum { MISSING = 0x01, FIELDS_MOST = 1300 };

struct input {
    struct field fields[3]; /* mode, max_age, id */
    struct field mx[FIELDS_MOST];
    size_t mx_count;
};

static struct field field_of(struct span text, uint32_t line)
{
    struct field field = {.text = text, .at = {"input", line, 1}};
    if (text.len == 1 && text.data[0] == MISSING)
        field = (struct field){0};
    return field;
}

static void split(struct span bytes, struct input *ret_input)
{
    ret_input->mx[0] = (struct field){0};
    ret_input->mx_count = 0;
    for (size_t i = 0; i < 3; i++)
        ret_input->fields[i] = (struct field){0};
    for (uint32_t line = 1; bytes.len > 0 && ret_input->mx_count < FIELDS_MOST; line++) {
        const char *end = memchr(bytes.data, '\n', bytes.len);
        struct span text = {bytes.data, end == NULL ? bytes.len : (size_t)(end - bytes.data)};
        struct field field = field_of(text, line);
        if (line <= 3)
            ret_input->fields[line - 1] = field;
        else if (field.text.data != NULL)
            ret_input->mx[ret_input->mx_count++] = field;
        bytes = span_skip(bytes, text.len + (end == NULL ? 0 : 1));
    }
}

static struct policy *make(const struct input *input, struct diag *diag)
{
    const struct position at = {"input", 1, 1};
    const struct policy_fields fields = {
        .at = at,
        .mode = input->fields[0],
        .max_age = input->fields[1],
        .id = input->fields[2],
        .mx = input->mx,
        .mx_count = input->mx_count,
        .mx_key = input->mx[0], /* missing when there is none */
    };
    return policy_new(&fields, diag);
}

/* A number with or without a unit, worked out by another way. False when it is none, or too great. */
static bool read_seconds(struct span text, unsigned long *ret_seconds)
{
    static const char units[] = "smhdw";
    static const unsigned long scales[] = {1, 60, 3600, 86400, 604800};
    unsigned long scale = 1;
    const char *unit = text.len == 0 ? NULL : memchr(units, text.data[text.len - 1], 5);
    if (unit != NULL) {
        scale = scales[unit - units];
        text.len--;
    }
    while (text.len > 1 && text.data[0] == '0')
        text = span_skip(text, 1);
    *ret_seconds = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *ret_seconds = *ret_seconds * 10 + (unsigned long)(text.data[i] - '0');
    }
    *ret_seconds *= scale;
    return text.len > 0 && text.len <= 10;
}

static bool id_is_allowed(const struct field *id)
{
    if (id->text.data == NULL)
        return true;
    for (size_t i = 0; i < id->text.len; i++)
        if (!ascii_is_alpha(id->text.data[i]) && !ascii_is_digit(id->text.data[i]))
            return false;
    return id->text.len >= 1 && id->text.len <= 32;
}

/* The second opinion: writes the body that the fields should have, and judges that. */
static bool is_allowed(const struct input *input, struct body *scratch)
{
    struct text text = {0};
    unsigned long seconds = 0;
    bool good = id_is_allowed(&input->fields[2]) && input->fields[0].text.data != NULL &&
                input->fields[1].text.data != NULL && read_seconds(input->fields[1].text, &seconds);
    text_append(&text, span_of("version: STSv1\r\nmode: "));
    text_append(&text, input->fields[0].text);
    text_append(&text, span_of("\r\n"));
    for (size_t i = 0; i < input->mx_count; i++) {
        text_append(&text, span_of("mx: "));
        for (size_t k = 0; k < input->mx[i].text.len; k++) {
            char byte = input->mx[i].text.data[k];
            good = good && byte != '\r';
            byte = byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
            text_append(&text, (struct span){&byte, 1});
        }
        text_append(&text, span_of("\r\n"));
    }
    text_printf(&text, "max_age: %lu\r\n", seconds);
    assert(!text.failed);
    good = good && body_parse((struct span){text.data, text.len}, scratch);
    text_free(&text);
    return good;
}

/* The fields that a body says. */
static void fields_of(const struct body *body, struct span id, struct input *ret_input)
{
    ret_input->fields[0] = field_of(body->mode, 1);
    ret_input->fields[1] = field_of(body->max_age_text, 2);
    ret_input->fields[2] = field_of(id, 3);
    ret_input->mx_count = body->mx_count;
    for (size_t i = 0; i < body->mx_count; i++)
        ret_input->mx[i] = field_of(body->mx[i], (uint32_t)i + 4);
}

/* From a body to the policy and back. */
static void check_round_trip(struct span bytes, struct span id, struct body *body,
                             struct input *input)
{
    struct diag *diag = diag_new();
    assert(diag != NULL);
    assert(body_parse(bytes, body));
    fields_of(body, id, input);
    struct policy *policy = make(input, diag);
    assert(policy != NULL && diag_count(diag, DIAG_ERROR) == 0);
    assert(span_equal(policy_body(policy), bytes));
    assert(id.data == NULL || span_equal(span_of(policy_id(policy)), id));
    policy_free(policy);
    diag_free(diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct input input[2]; /* too large for the stack; each is filled before it is read */
    static struct body body[1];
    struct span bytes = {(const char *)data, size};
    struct diag *diag = diag_new();
    assert(diag != NULL);
    split(bytes, input);
    struct policy *policy = make(input, diag);
    assert((policy != NULL) == is_allowed(input, body));
    assert((policy != NULL) == (diag_count(diag, DIAG_ERROR) == 0));
    if (policy != NULL) {
        struct span id = span_of(policy_id(policy));
        body_check_policy(policy);
        check_round_trip(policy_body(policy), id, body, input + 1);
        if (input->fields[2].text.data == NULL)
            check_round_trip(policy_body(policy), (struct span){0}, body, input + 1);
    }
    if (body_parse(bytes, body))
        check_round_trip(bytes, (struct span){0}, body, input + 1);
    policy_free(policy);
    diag_free(diag);
    return 0;
}
