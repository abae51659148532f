#include "base/json.h"

#include <inttypes.h>
#include <stdarg.h>

/* What comes before a value: a comma unless it is the first, and its key. */
static void begin(struct text *text, const char *key)
{
    char last = text->len == 0 ? '\n' : text->data[text->len - 1];
    if (last != '{' && last != '[' && last != '\n')
        text_append(text, span_of(","));
    if (key != NULL)
        text_printf(text, "\"%s\":", key);
}

void json_open(struct text *text, const char *key, char bracket)
{
    begin(text, key);
    text_append(text, (struct span){&bracket, 1});
}

void json_close(struct text *text, char bracket)
{
    text_append(text, (struct span){&bracket, 1});
}

void json_new_line(struct text *text)
{
    begin(text, NULL);
    text_append(text, span_of("\n"));
}

void json_text(struct text *text, const char *key, const char *value)
{
    if (value == NULL || value[0] == '\0')
        json_null(text, key);
    else
        json_span(text, key, span_of(value));
}

void json_span(struct text *text, const char *key, struct span value)
{
    begin(text, key);
    text_json(text, value);
}

void json_number(struct text *text, const char *key, int64_t value)
{
    json_printf(text, key, "%" PRId64, value);
}

void json_ordinal(struct text *text, const char *key, uint32_t value)
{
    if (value == 0)
        json_null(text, key);
    else
        json_number(text, key, value);
}

void json_flag(struct text *text, const char *key, bool value)
{
    json_printf(text, key, "%s", value ? "true" : "false");
}

void json_null(struct text *text, const char *key)
{
    json_printf(text, key, "null");
}

void json_printf(struct text *text, const char *key, const char *format, ...)
{
    va_list arguments;
    begin(text, key);
    va_start(arguments, format);
    text_vprintf(text, format, arguments);
    va_end(arguments);
}
