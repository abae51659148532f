#include "policy/inspect_state.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/array.h"
#include "base/calendar.h"
#include "base/limits.h"
#include "policy/name.h"

static struct span mx_key(const void *items, size_t index)
{
    const struct field *mx = items;
    return mx[index].text;
}

/* Adds a name as it is to be written, unless it is there already. */
static void add_mx(struct inspection *inspection, struct span text, struct position at)
{
    if (table_find(&inspection->by_name, text, mx_key, inspection->mx) != TABLE_NONE) {
        (void)inspect_add(inspection, FINDING_MX_TWICE, at, text, "is there twice");
        return;
    }
    void *items = array_room(inspection->mx, inspection->mx_count, &inspection->mx_capacity,
                             sizeof(*inspection->mx));
    const char *copy = arena_copy(inspection->arena, text);
    if (items != NULL)
        inspection->mx = items;
    if (items == NULL || copy == NULL ||
        !table_add(&inspection->by_name, text, inspection->mx_count)) {
        inspection->shortage = true;
        return;
    }
    inspection->mx[inspection->mx_count++] = (struct field){{copy, text.len}, at};
}

static void read_name(struct inspection *inspection, struct span text, struct position at)
{
    struct name name;
    enum name_fault fault = name_parse(text, NAME_PATTERN, &name);
    if (fault == NAME_OK) {
        if (!span_equal(text, (struct span){name.text, name.len}))
            (void)inspect_add(inspection, FINDING_MX_CASE, at, text, "is not in lower case");
        add_mx(inspection, (struct span){name.text, name.len}, at);
        return;
    }
    bool sure = fault != NAME_ADDRESS && name_suggest(text, NAME_PATTERN, &name);
    struct inspect_finding *finding =
        inspect_add(inspection, sure ? FINDING_MX_MENDED : FINDING_MX_INVALID, at, text,
                    name_fault_text(fault));
    if (finding != NULL)
        finding->senders = name_fault_senders(fault);
    if (sure)
        inspect_advise(inspection, finding, "write", name.text);
    add_mx(inspection, sure ? (struct span){name.text, name.len} : text, at);
}

/* Takes the next name off a list with commas, semicolons or space between them. */
static bool next_name(struct span *list, struct span *ret_name)
{
    size_t len = 0;
    while (list->len > 0 && memchr(",; \t", list->data[0], 4) != NULL)
        *list = span_skip(*list, 1);
    while (len < list->len && memchr(",; \t", list->data[len], 4) == NULL)
        len++;
    *ret_name = (struct span){list->data, len};
    *list = span_skip(*list, len);
    return len > 0;
}

/* True when the text is several names, each of which is sure. */
static bool is_list(struct span text)
{
    struct span name, list = text;
    struct name sure;
    if (!next_name(&list, &name) || name.len == text.len)
        return false;
    list = text;
    while (next_name(&list, &name)) {
        enum name_fault fault = name_parse(name, NAME_PATTERN, &sure);
        if (fault != NAME_OK && (fault == NAME_ADDRESS || !name_suggest(name, NAME_PATTERN, &sure)))
            return false;
    }
    return true;
}

static void read_mx(struct inspection *inspection, const struct inspect_line *line,
                    struct span text)
{
    struct span name, list = text;
    struct position at = inspect_place(line, text.data);
    if (text.len == 0) {
        (void)inspect_add(inspection, FINDING_MX_EMPTY, at, INSPECT_NOTHING, NULL);
        return;
    }
    if (!is_list(text)) {
        read_name(inspection, text, at);
        return;
    }
    (void)inspect_add(inspection, FINDING_MX_SEVERAL, at, text, "has a separator in it");
    while (next_name(&list, &name))
        read_name(inspection, name, inspect_place(line, name.data));
}

static void read_version(struct inspection *inspection, struct span text, struct position at)
{
    static const char VERSION[] = "STSv1";
    if (span_equal_fold(text, span_of(VERSION)) && !span_equal(text, span_of(VERSION)))
        (void)inspect_add(inspection, FINDING_VERSION_CASE, at, text, NULL);
    else if (!span_equal(text, span_of(VERSION)))
        (void)inspect_add(inspection, FINDING_VERSION_OTHER, at, text, NULL);
}

static void read_mode(struct inspection *inspection, struct span text, struct position at)
{
    inspection->mode = (struct field){text, at};
    for (enum policy_mode mode = POLICY_ENFORCE; mode <= POLICY_NONE; mode++) {
        struct span exact = span_of(policy_mode_text(mode));
        if (!span_equal_fold(text, exact))
            continue;
        if (!span_equal(text, exact))
            (void)inspect_add(inspection, FINDING_MODE_CASE, at, text, NULL);
        inspection->mode.text = exact;
        return;
    }
    (void)inspect_add(inspection, FINDING_MODE_UNKNOWN, at, text, NULL);
}

bool inspect_digits(struct span text, uint32_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.data[i]))
            return false;
        number = number * 10 + (uint64_t)(text.data[i] - '0');
        number = number > UINT32_MAX ? UINT32_MAX : number;
    }
    *ret_number = (uint32_t)number;
    return text.len > 0;
}

/* The nearest max_age within the bounds. */
static uint32_t bound_max_age(struct inspection *inspection, struct field max_age, uint32_t seconds)
{
    if (seconds > LIMIT_MAX_AGE_MOST) {
        (void)inspect_add(inspection, FINDING_MAX_AGE_ABOVE, max_age.at, max_age.text,
                          "is above 31557600 (one year)");
        return LIMIT_MAX_AGE_MOST;
    }
    if (seconds >= LIMIT_MAX_AGE_LEAST)
        return seconds;
    (void)inspect_add(inspection, seconds == 0 ? FINDING_MAX_AGE_ZERO : FINDING_MAX_AGE_BELOW,
                      max_age.at, max_age.text, "is below 86400 (one day)");
    return LIMIT_MAX_AGE_LEAST;
}

static void read_max_age(struct inspection *inspection, struct span text, struct position at)
{
    uint32_t seconds = 0;
    struct text written = {0};
    inspection->max_age = (struct field){text, at};
    if (inspect_digits(text, &seconds)) {
        if (text.len > 1 && text.data[0] == '0')
            (void)inspect_add(inspection, FINDING_MAX_AGE_ZEROS, at, text, "begins with a zero");
    } else if (calendar_duration(text, &seconds)) {
        char number[16];
        (void)snprintf(number, sizeof(number), "%" PRIu32, seconds); /* ten digits fit */
        inspect_advise(inspection,
                       inspect_add(inspection, FINDING_MAX_AGE_UNIT, at, text, "has a unit"),
                       "write", number);
    } else {
        (void)inspect_add(inspection, FINDING_MAX_AGE_FORM, at, text, "is not a number of seconds");
        return;
    }
    text_printf(&written, "%" PRIu32, bound_max_age(inspection, inspection->max_age, seconds));
    const char *copy = inspect_keep(inspection, &written);
    if (copy != NULL)
        inspection->max_age.text = span_of(copy);
}

/* The same key again. Of the version nobody has two opinions. */
static void report_twice(struct inspection *inspection, enum inspect_key key, struct span value,
                         struct position at)
{
    bool same = key == INSPECT_VERSION || span_equal_fold(value, inspection->values[key].text);
    enum finding_kind kind = same ? FINDING_KEY_TWICE : FINDING_KEY_CONTRADICTION;
    if (key == INSPECT_MODE)
        kind = same ? FINDING_MODE_TWICE : FINDING_MODE_CONTRADICTION;
    (void)inspect_add(inspection, kind, at, span_of(inspect_key_texts[key]), NULL);
}

void inspect_value(struct inspection *inspection, const struct inspect_line *line,
                   enum inspect_key key, struct span value)
{
    struct position at = inspect_place(line, value.data);
    struct position begin = inspect_place(line, line->text.data);
    bool is_first = inspection->keys[key].text.data == NULL;
    if (key != INSPECT_MX && !is_first) {
        report_twice(inspection, key, value, begin);
        return;
    }
    if (is_first) {
        inspection->keys[key] = (struct field){span_of(inspect_key_texts[key]), begin};
        inspection->values[key] = (struct field){value, at};
    }
    if (key < inspection->last_key && inspection->is_ordered) {
        (void)inspect_add(inspection, FINDING_ORDER, begin, span_of(inspect_key_texts[key]), NULL);
        inspection->is_ordered = false;
    }
    inspection->last_key = key;
    switch (key) {
    case INSPECT_VERSION:
        read_version(inspection, value, at);
        break;
    case INSPECT_MODE:
        read_mode(inspection, value, at);
        break;
    case INSPECT_MX:
        read_mx(inspection, line, value);
        break;
    case INSPECT_MAX_AGE:
        read_max_age(inspection, value, at);
        break;
    case INSPECT_KEYS:
        break;
    }
}
