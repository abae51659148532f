#include "policy/inspect_state.h"

#include "base/suggest.h"

const char *const inspect_key_texts[INSPECT_KEYS] = {"version", "mode", "mx", "max_age"};

struct position inspect_place(const struct inspect_line *line, const char *byte)
{
    struct position at = {line->file, line->number, line->column};
    for (const char *before = line->text.data; before < byte; before++)
        at.column += ((unsigned char)*before & 0xc0) != 0x80 ? 1 : 0;
    return at;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t';
}

static struct span trim_right(struct span text)
{
    while (text.len > 0 && is_space(text.data[text.len - 1]))
        text.len--;
    return text;
}

static struct span trim_left(struct span text)
{
    while (text.len > 0 && is_space(text.data[0]))
        text = span_skip(text, 1);
    return text;
}

/* The key that is meant, or INSPECT_KEYS after a finding. */
static enum inspect_key read_key(struct inspection *inspection, struct span text,
                                 struct position at)
{
    for (enum inspect_key key = 0; key < INSPECT_KEYS; key++)
        if (span_equal_fold(text, span_of(inspect_key_texts[key]))) {
            if (!span_equal(text, span_of(inspect_key_texts[key])))
                (void)inspect_add(inspection, FINDING_KEY_CASE, at, text, NULL);
            return key;
        }
    size_t nearest = suggest_nearest(text, inspect_key_texts, INSPECT_KEYS);
    struct inspect_finding *finding =
        inspect_add(inspection, nearest < INSPECT_KEYS ? FINDING_KEY_MISSPELT : FINDING_KEY_UNKNOWN,
                    at, text, NULL);
    if (nearest < INSPECT_KEYS)
        inspect_advise(inspection, finding, "leave out the line, or write",
                       inspect_key_texts[nearest]);
    return INSPECT_KEYS;
}

/* A line that is not blank and has nothing before or behind its text. */
static void read_pair(struct inspection *inspection, const struct inspect_line *line)
{
    struct span text = line->text;
    struct position at = inspect_place(line, text.data);
    const char *colon = memchr(text.data, ':', text.len);
    if (text.data[0] == '#') {
        (void)inspect_add(inspection, FINDING_COMMENT, at, INSPECT_NOTHING, NULL);
        return;
    }
    if (colon == NULL) {
        (void)inspect_add(inspection, FINDING_NO_COLON, at, text, NULL);
        return;
    }
    struct span before = {text.data, (size_t)(colon - text.data)};
    struct span behind = span_skip(text, before.len + 1);
    struct span value = trim_left(behind);
    size_t space = behind.len - value.len;
    if (trim_right(before).len < before.len)
        (void)inspect_add(inspection, FINDING_SPACE_BEFORE_COLON, inspect_place(line, colon),
                          INSPECT_NOTHING, NULL);
    if (space == 0)
        (void)inspect_add(inspection, FINDING_NO_SPACE, inspect_place(line, behind.data),
                          INSPECT_NOTHING, NULL);
    else if (space > 1 || behind.data[0] != ' ')
        (void)inspect_add(inspection, FINDING_OTHER_SPACE, inspect_place(line, behind.data),
                          INSPECT_NOTHING, NULL);
    enum inspect_key key = read_key(inspection, trim_right(before), at);
    if (key < INSPECT_KEYS)
        inspect_value(inspection, line, key, value);
}

static void read_line(struct inspection *inspection, struct inspect_line line, bool *was_blank)
{
    struct span text = trim_right(trim_left(line.text));
    bool blank = text.len == 0;
    if (blank && !*was_blank)
        (void)inspect_add(inspection,
                          line.number == 1 ? FINDING_LEADING_BLANK_LINE : FINDING_BLANK_LINE,
                          inspect_place(&line, line.text.data), INSPECT_NOTHING, NULL);
    *was_blank = blank;
    if (blank)
        return;
    if (text.data > line.text.data)
        (void)inspect_add(inspection, FINDING_LEADING_SPACE, inspect_place(&line, line.text.data),
                          INSPECT_NOTHING, NULL);
    const char *end = text.data + text.len;
    if (end < line.text.data + line.text.len)
        (void)inspect_add(inspection, FINDING_TRAILING_SPACE, inspect_place(&line, end),
                          INSPECT_NOTHING, NULL);
    line.column = inspect_place(&line, text.data).column;
    line.text = text;
    read_pair(inspection, &line);
}

/* Takes the next line off the bytes. */
static enum inspect_line_end next_line(struct span *bytes, struct span *ret_text)
{
    size_t len = 0;
    while (len < bytes->len && bytes->data[len] != '\n' && bytes->data[len] != '\r')
        len++;
    *ret_text = (struct span){bytes->data, len};
    *bytes = span_skip(*bytes, len);
    if (bytes->len == 0)
        return INSPECT_END_NONE;
    bool is_pair = bytes->len > 1 && memcmp(bytes->data, "\r\n", 2) == 0;
    enum inspect_line_end end = is_pair                  ? INSPECT_END_CRLF
                                : bytes->data[0] == '\n' ? INSPECT_END_LF
                                                         : INSPECT_END_CR;
    *bytes = span_skip(*bytes, is_pair ? 2 : 1);
    return end;
}

void inspect_lines(struct inspection *inspection, struct span bytes, uint32_t column)
{
    bool was_blank = false;
    struct inspect_line line = {.column = column, .file = inspection->at.file};
    while (bytes.len > 0) {
        line.number++;
        enum inspect_line_end end = next_line(&bytes, &line.text);
        if (inspection->ends[end]++ == 0)
            inspection->ends_at[end] = inspect_place(&line, line.text.data + line.text.len);
        read_line(inspection, line, &was_blank);
        line.column = 1;
    }
}
