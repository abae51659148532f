#include "inspect/inspect.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/calendar.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/suggest.h"
#include "base/table.h"
#include "base/text.h"
#include "policy/name.h"

/* In the order of RFC 8461 section 3.2, in which they are written. */
enum key { KEY_VERSION, KEY_MODE, KEY_MX, KEY_MAX_AGE, KEYS };

enum line_end { END_LF, END_CRLF, END_CR, END_NONE, LINE_ENDS };

struct inspector {
    struct inspection found; /* first: it is what our caller has */
    struct arena *arena;     /* owned */
    struct position at;      /* of the whole */
    bool is_one_line;        /* two keys were found in one */

    struct field values[KEYS]; /* as they were written; mx unused */
    struct field keys[KEYS];   /* where each was written first */
    enum key last_key;         /* for the order */
    bool is_ordered;
    struct field mode, max_age; /* mended */
    uint32_t seconds;           /* of max_age; 0: it is not known */
    struct field *mx;           /* owned; mended */
    size_t mx_count;
    struct table by_name; /* of mx */
    size_t ends[LINE_ENDS];
    struct position ends_at[LINE_ENDS]; /* of the first */
};

/* A line without its end, and the place of its first byte. */
struct line {
    struct span text;
    uint32_t number;
    uint32_t column; /* of text in the line */
    const char *file;
};

/* Not about anything that stands there. */
#define NOTHING ((struct span){0})

static const char *const key_texts[KEYS] = {"version", "mode", "mx", "max_age"};

static const char RFC_FORM[] = "no sender is known to refuse it, but only the form of RFC 8461 is "
                               "known to be accepted by all";
static const char OTHER_CASE[] = "12 or 13 of 14 senders refuse the policy";

enum {
    DECISION = FINDING_NEEDS_DECISION,
    MEANING = FINDING_CHANGES_MEANING,
    ADVICE = FINDING_IS_ADVICE,
};

static const struct finding_rule rules[] = {
#define FINDING(name, code, level, ...) {code, DIAG_##level, __VA_ARGS__},
#include "inspect/findings.h"
#undef FINDING
};

/* Adds a finding: the rule's text, what it is about in quotes (or NOTHING), and a tail (or NULL). The
 * finding may be changed until the next one; NULL when it is not kept. */
static struct inspect_finding *add(struct inspector *inspector, enum finding_kind kind,
                                   struct position at, struct span about, const char *tail)
{
    const struct finding_rule *rule = &rules[kind];
    bool needs_decision = (rule->flags & FINDING_NEEDS_DECISION) != 0;
    bool is_first_decision = needs_decision && !inspector->found.needs_decision;
    inspector->found.needs_decision = inspector->found.needs_decision || needs_decision;
    inspector->found.changes_meaning =
        inspector->found.changes_meaning || (rule->flags & FINDING_CHANGES_MEANING) != 0;
    if (rule->level < inspector->found.level)
        inspector->found.level = rule->level;
    if (inspector->found.count >= LIMIT_FINDINGS && !is_first_decision)
        return NULL;
    struct text message = {0};
    text_append(&message, span_of(rule->text));
    if (about.data != NULL) {
        text_append(&message, span_of(" \""));
        text_escape(&message, about, 100);
        text_append(&message, span_of("\""));
    }
    if (tail != NULL)
        text_printf(&message, " %s", tail);
    array_room(&inspector->found.findings, inspector->found.count,
               sizeof(*inspector->found.findings));
    struct inspect_finding *finding = &inspector->found.findings[inspector->found.count++];
    *finding = (struct inspect_finding){
        .rule = rule,
        .at = at,
        .message = arena_copy(inspector->arena, heap_text(&message)),
        .senders = rule->senders,
        .fix = rule->fix,
    };
    text_free(&message);
    return finding;
}

/* The same about nothing that stands there. */
static void note(struct inspector *inspector, enum finding_kind kind, struct position at)
{
    (void)add(inspector, kind, at, NOTHING, NULL);
}

/* What to write instead, when that depends on what stands there. finding may be NULL. */
static void advise(struct inspector *inspector, struct inspect_finding *finding, const char *verb,
                   const char *words)
{
    if (finding != NULL)
        finding->fix = arena_printf(inspector->arena, "%s %s", verb, words);
}

/* The place of a byte of the line, or of its end; columns are characters. */
static struct position place_of(const struct line *line, const char *byte)
{
    struct position at = {line->file, line->number, line->column};
    for (const char *before = line->text.data; before < byte; before++)
        at.column += ((unsigned char)*before & 0xc0) != 0x80 ? 1 : 0;
    return at;
}

TABLE_KEY(mx_key, struct field, item->text);

/* Adds a name as it is to be written, unless it is there already. */
static void add_mx(struct inspector *inspector, struct span text, struct position at)
{
    if (table_find(&inspector->by_name, text, mx_key, inspector->mx) != TABLE_NONE) {
        (void)add(inspector, FINDING_MX_TWICE, at, text, "is listed twice");
        return;
    }
    table_add(&inspector->by_name, text, inspector->mx_count);
    *ARRAY_ADD(inspector->mx, inspector->mx_count) =
        (struct field){{arena_copy(inspector->arena, text), text.len}, at};
}

static void read_name(struct inspector *inspector, struct span text, struct position at)
{
    struct name name;
    enum name_fault fault = name_parse(text, NAME_PATTERN, &name);
    bool sure = name_suggest(text, NAME_PATTERN, &name);
    struct span meant = sure ? span_of(name.text) : text;
    if (fault != NAME_OK) {
        struct inspect_finding *finding =
            add(inspector, sure ? FINDING_MX_MENDED : FINDING_MX_INVALID, at, text,
                name_faults[fault].text);
        if (finding != NULL)
            finding->senders = name_faults[fault].senders;
        if (sure)
            advise(inspector, finding, "write", name.text);
    } else if (!span_equal(text, meant)) {
        (void)add(inspector, FINDING_MX_CASE, at, text, "is not in lower case");
    }
    add_mx(inspector, meant, at);
}

/* True when the text is several names, each of which is sure. */
static bool is_list(struct span text)
{
    struct span name, list = text;
    struct name meant;
    bool is_any = false;
    while (name_take(&list, &name)) {
        is_any = name.len < text.len && name_suggest(name, NAME_PATTERN, &meant);
        if (!is_any)
            return false;
    }
    return is_any;
}

static void read_mx(struct inspector *inspector, const struct line *line, struct span text)
{
    struct span name, list = text;
    struct position at = place_of(line, text.data);
    if (text.len == 0) {
        note(inspector, FINDING_MX_EMPTY, at);
        return;
    }
    if (!is_list(text)) {
        read_name(inspector, text, at);
        return;
    }
    (void)add(inspector, FINDING_MX_SEVERAL, at, text, "has a separator in it");
    while (name_take(&list, &name))
        read_name(inspector, name, place_of(line, name.data));
}

static void read_version(struct inspector *inspector, struct span text, struct position at)
{
    struct span exact = span_of("STSv1");
    if (!span_equal(text, exact))
        (void)add(inspector,
                  span_equal_fold(text, exact) ? FINDING_VERSION_CASE : FINDING_VERSION_OTHER, at,
                  text, NULL);
}

static void read_mode(struct inspector *inspector, struct span text, struct position at)
{
    enum policy_mode mode;
    inspector->mode = (struct field){text, at};
    if (!policy_mode_read(text, true, &mode)) {
        (void)add(inspector, FINDING_MODE_UNKNOWN, at, text, NULL);
        return;
    }
    inspector->mode.text = span_of(policy_mode_text(mode));
    if (!span_equal(text, inspector->mode.text))
        (void)add(inspector, FINDING_MODE_CASE, at, text, NULL);
}

/* Digits alone, of any length, as a number; what is too large becomes the largest. */
static bool read_digits(struct span text, uint32_t *ret_number)
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

static void read_max_age(struct inspector *inspector, struct span text, struct position at)
{
    uint32_t seconds = 0;
    inspector->max_age = (struct field){text, at};
    if (read_digits(text, &seconds)) {
        if (text.len > 1 && text.data[0] == '0')
            (void)add(inspector, FINDING_MAX_AGE_ZEROS, at, text, "begins with a zero");
    } else if (calendar_duration(text, &seconds)) {
        advise(inspector, add(inspector, FINDING_MAX_AGE_UNIT, at, text, "has a unit"), "write",
               arena_printf(inspector->arena, "%" PRIu32, seconds));
    } else {
        (void)add(inspector, FINDING_MAX_AGE_FORM, at, text, "is not a number of seconds");
        return;
    }
    if (seconds > LIMIT_MAX_AGE_MOST) {
        (void)add(inspector, FINDING_MAX_AGE_ABOVE, at, text, "is above 31557600 (one year)");
        seconds = LIMIT_MAX_AGE_MOST;
    } else if (seconds < LIMIT_MAX_AGE_LEAST) {
        (void)add(inspector, seconds == 0 ? FINDING_MAX_AGE_ZERO : FINDING_MAX_AGE_BELOW, at, text,
                  "is below 86400 (one day)");
        seconds = LIMIT_MAX_AGE_LEAST;
    }
    inspector->seconds = seconds;
    inspector->max_age.text = span_of(arena_printf(inspector->arena, "%" PRIu32, seconds));
}

/* The same key again. Of the version nobody has two opinions. */
static void report_twice(struct inspector *inspector, enum key key, struct span value,
                         struct position at)
{
    bool same = key == KEY_VERSION || span_equal_fold(value, inspector->values[key].text);
    enum finding_kind kind = same ? FINDING_KEY_TWICE : FINDING_KEY_CONTRADICTION;
    if (key == KEY_MODE)
        kind = same ? FINDING_MODE_TWICE : FINDING_MODE_CONTRADICTION;
    (void)add(inspector, kind, at, span_of(key_texts[key]), NULL);
}

/* Reads the value of a key, which stands in the line behind its colon. */
static void read_value(struct inspector *inspector, const struct line *line, enum key key,
                       struct span value)
{
    struct position at = place_of(line, value.data);
    struct position begin = place_of(line, line->text.data);
    bool is_first = inspector->keys[key].text.data == NULL;
    if (key != KEY_MX && !is_first) {
        report_twice(inspector, key, value, begin);
        return;
    }
    if (is_first) {
        inspector->keys[key] = (struct field){span_of(key_texts[key]), begin};
        inspector->values[key] = (struct field){value, at};
    }
    if (key < inspector->last_key && inspector->is_ordered) {
        (void)add(inspector, FINDING_ORDER, begin, span_of(key_texts[key]), NULL);
        inspector->is_ordered = false;
    }
    inspector->last_key = key;
    if (key == KEY_VERSION)
        read_version(inspector, value, at);
    else if (key == KEY_MODE)
        read_mode(inspector, value, at);
    else if (key == KEY_MAX_AGE)
        read_max_age(inspector, value, at);
    else
        read_mx(inspector, line, value);
}

/* The key that is meant, or KEYS after a finding. */
static enum key read_key(struct inspector *inspector, struct span text, struct position at)
{
    for (enum key key = 0; key < KEYS; key++)
        if (span_equal_fold(text, span_of(key_texts[key]))) {
            if (!span_equal(text, span_of(key_texts[key])))
                (void)add(inspector, FINDING_KEY_CASE, at, text, NULL);
            return key;
        }
    size_t nearest = suggest_nearest(text, key_texts, KEYS);
    struct inspect_finding *finding =
        add(inspector, nearest < KEYS ? FINDING_KEY_MISSPELT : FINDING_KEY_UNKNOWN, at, text, NULL);
    if (nearest < KEYS)
        advise(inspector, finding, "leave out the line, or write", key_texts[nearest]);
    return KEYS;
}

/* The length of the key and its colon that the text begins with; 0 when it begins with none. */
static size_t key_length(struct span text)
{
    for (enum key key = 0; key < KEYS; key++) {
        size_t len = strlen(key_texts[key]);
        if (text.len > len && text.data[len] == ':' &&
            span_begins_fold(text, span_of(key_texts[key])))
            return len + 1;
    }
    return 0;
}

/* Where in the line of a key another one begins; 0 when none does. */
static size_t next_key(struct span text)
{
    size_t at = key_length(text);
    while (at > 0 && at < text.len && key_length(span_skip(text, at)) == 0)
        at++;
    return at < text.len ? at : 0;
}

/* Without space at the end, and without "\\n" and "\\r" as they are written for a line end. */
static struct span trim_part(struct span part)
{
    for (;;) {
        part = span_trim(part);
        if (part.len < 2 || part.data[part.len - 2] != '\\' ||
            (part.data[part.len - 1] != 'n' && part.data[part.len - 1] != 'r'))
            return part;
        part.len -= 2;
    }
}

/* A character that looks like a space, or is not seen, becomes a space or
 * nothing: it came from a web page or a word processor. */
static void replace_blanks(struct inspector *inspector, struct line *line)
{
    struct text clean = {0};
    size_t len = 0;
    for (size_t i = 0; i < line->text.len; i += len) {
        struct name_blank blank;
        struct span rest = span_skip(line->text, i);
        len = name_blank(rest, &blank);
        if (len > 0 && clean.data == NULL) { /* the first of the line is told */
            (void)add(inspector, FINDING_BLANK, place_of(line, rest.data), NOTHING,
                      arena_printf(inspector->arena, "U+%04" PRIX32 "%s", blank.point,
                                   blank.point == 0xa0 ? ", a non-breaking space" : ""));
            text_append(&clean, (struct span){line->text.data, i});
        }
        if (clean.data != NULL)
            text_append(&clean, len == 0         ? (struct span){rest.data, 1}
                                : blank.is_space ? span_of(" ")
                                                 : span_of(""));
        len = len == 0 ? 1 : len;
    }
    if (clean.data != NULL)
        line->text = (struct span){arena_copy(inspector->arena, heap_text(&clean)), clean.len};
    text_free(&clean);
}

/* A line that is not blank and has nothing before or behind its text. */
static void read_pair(struct inspector *inspector, const struct line *line)
{
    struct span text = line->text;
    struct position at = place_of(line, text.data);
    struct span before, behind = text;
    if (text.data[0] == '#') {
        note(inspector, FINDING_COMMENT, at);
        return;
    }
    if (!span_take(&behind, ':', &before)) {
        (void)add(inspector, FINDING_NO_COLON, at, text, NULL);
        return;
    }
    struct span value = span_trim(behind);
    size_t space = behind.len - value.len;
    if (span_trim(before).len < before.len)
        note(inspector, FINDING_SPACE_BEFORE_COLON, place_of(line, before.data + before.len));
    if (space == 0)
        note(inspector, FINDING_NO_SPACE, place_of(line, behind.data));
    else if (space > 1 || behind.data[0] != ' ')
        note(inspector, FINDING_OTHER_SPACE, place_of(line, behind.data));
    enum key key = read_key(inspector, span_trim(before), at);
    if (key < KEYS)
        read_value(inspector, line, key, value);
}

static void read_line(struct inspector *inspector, struct line line, bool *was_blank)
{
    replace_blanks(inspector, &line);
    struct span text = span_trim(line.text);
    bool blank = text.len == 0;
    if (blank && !*was_blank)
        note(inspector, line.number == 1 ? FINDING_LEADING_BLANK_LINE : FINDING_BLANK_LINE,
             place_of(&line, line.text.data));
    *was_blank = blank;
    if (blank)
        return;
    if (text.data > line.text.data)
        note(inspector, FINDING_LEADING_SPACE, place_of(&line, line.text.data));
    const char *end = text.data + text.len;
    if (end < line.text.data + line.text.len)
        note(inspector, FINDING_TRAILING_SPACE, place_of(&line, end));
    while (text.len > 0) {
        size_t next = next_key(text);
        line.column = place_of(&line, text.data).column;
        line.text = trim_part((struct span){text.data, next == 0 ? text.len : next});
        if (next > 0 && !inspector->is_one_line) {
            inspector->is_one_line = true;
            note(inspector, FINDING_LINE_END_LOST, place_of(&line, text.data + next));
        }
        read_pair(inspector, &line);
        line.text = (struct span){line.text.data, text.len}; /* for the place of what follows */
        text = span_skip(text, next == 0 ? text.len : next);
    }
}

/* Takes the next line off the bytes. */
static enum line_end next_line(struct span *bytes, struct span *ret_text)
{
    size_t len = 0;
    while (len < bytes->len && bytes->data[len] != '\n' && bytes->data[len] != '\r')
        len++;
    *ret_text = (struct span){bytes->data, len};
    *bytes = span_skip(*bytes, len);
    if (bytes->len == 0)
        return END_NONE;
    bool is_pair = bytes->len > 1 && memcmp(bytes->data, "\r\n", 2) == 0;
    enum line_end end = is_pair ? END_CRLF : bytes->data[0] == '\n' ? END_LF : END_CR;
    *bytes = span_skip(*bytes, is_pair ? 2 : 1);
    return end;
}

/* Reads the bytes line by line; column is where the first line begins. */
static void read_lines(struct inspector *inspector, struct span bytes, uint32_t column)
{
    bool was_blank = false;
    struct line line = {.column = column, .file = inspector->at.file};
    while (bytes.len > 0) {
        line.number++;
        enum line_end end = next_line(&bytes, &line.text);
        if (inspector->ends[end]++ == 0)
            inspector->ends_at[end] = place_of(&line, line.text.data + line.text.len);
        read_line(inspector, line, &was_blank);
        line.column = 1;
    }
}

static void judge_line_ends(struct inspector *inspector)
{
    const size_t *ends = inspector->ends;
    const struct position *at = inspector->ends_at;
    if (ends[END_LF] > 0)
        note(inspector, ends[END_CRLF] > 0 ? FINDING_MIXED_LINE_ENDS : FINDING_LF, at[END_LF]);
    if (ends[END_CR] > 0)
        note(inspector, FINDING_LONE_CR, at[END_CR]);
    if (ends[END_NONE] > 0)
        note(inspector, FINDING_NO_LAST_LINE_END, at[END_NONE]);
}

/* What is missing, and what does not go together. */
static void judge_fields(struct inspector *inspector)
{
    static const enum finding_kind kinds[KEYS] = {FINDING_VERSION_MISSING, FINDING_MODE_MISSING,
                                                  FINDING_MX_MISSING, FINDING_MAX_AGE_MISSING};
    for (enum key key = 0; key < KEYS; key++)
        if (key == KEY_MX ? inspector->mx_count == 0 : inspector->keys[key].text.data == NULL)
            note(inspector, kinds[key], inspector->at);
    struct field max_age = inspector->max_age;
    if (span_equal(inspector->mode.text, span_of(policy_mode_text(POLICY_ENFORCE))) &&
        inspector->seconds > 0 && inspector->seconds < LIMIT_MAX_AGE_ADVISED)
        (void)add(inspector, FINDING_MAX_AGE_SHORT, max_age.at, max_age.text,
                  "is short for an enforced policy");
}

/* The bytes as they are, and as policy_new will write them. */
static void judge_size(struct inspector *inspector, size_t len)
{
    size_t written = strlen("version: STSv1\r\nmode: \r\nmax_age: \r\n") +
                     inspector->mode.text.len + inspector->max_age.text.len;
    for (size_t i = 0; i < inspector->mx_count; i++)
        written += strlen("mx: \r\n") + inspector->mx[i].text.len;
    enum finding_kind kind = written > LIMIT_BODY    ? FINDING_LARGE_WRITTEN
                             : len > LIMIT_BODY_MOST ? FINDING_LARGE_MOST
                             : len > LIMIT_BODY      ? FINDING_LARGE
                                                     : FINDING_LARGE_ADVISED;
    if (written <= LIMIT_BODY && len <= LIMIT_BODY_ADVISED)
        return;
    (void)add(inspector, kind, inspector->at, NOTHING,
              arena_printf(inspector->arena, "%zu bytes long", len));
}

/* What is no text of lines at all; FINDING_LF, which it cannot be, when it is one. */
static enum finding_kind recognise(struct span bytes)
{
    if (bytes.len >= 2 &&
        (memcmp(bytes.data, "\xff\xfe", 2) == 0 || memcmp(bytes.data, "\xfe\xff", 2) == 0 ||
         bytes.data[0] == '\0' || bytes.data[1] == '\0'))
        return FINDING_UTF16;
    while (bytes.len > 0 && memchr(" \t\r\n", bytes.data[0], 4) != NULL)
        bytes = span_skip(bytes, 1);
    if (bytes.len == 0)
        return FINDING_EMPTY;
    return bytes.data[0] == '<' ? FINDING_WEB_PAGE : FINDING_LF;
}

static void inspect(struct inspector *inspector, struct span bytes)
{
    static const char MARK[] = "\xef\xbb\xbf";
    size_t len = bytes.len;
    uint32_t column = 1;
    if (span_begins_fold(bytes, span_of(MARK))) {
        note(inspector, FINDING_BYTE_ORDER_MARK, inspector->at);
        bytes = span_skip(bytes, strlen(MARK));
        column = 2;
    }
    enum finding_kind kind = recognise(bytes);
    if (kind != FINDING_LF) {
        note(inspector, kind, inspector->at);
        return;
    }
    read_lines(inspector, bytes, column);
    judge_line_ends(inspector);
    judge_fields(inspector);
    judge_size(inspector, len);
}

struct inspection *inspection_new(struct span bytes, const char *file)
{
    struct inspector *inspector = heap_take(1, sizeof(*inspector));
    inspector->at = (struct position){file, 1, 1};
    inspector->is_ordered = true;
    inspector->found.level = DIAG_NOTE;
    inspector->arena = arena_new();
    inspect(inspector, bytes);
    inspector->found.fields = (struct policy_fields){
        .at = inspector->at,
        .mode = inspector->mode,
        .max_age = inspector->max_age,
        .mx = inspector->mx,
        .mx_count = inspector->mx_count,
        .mx_key = inspector->keys[KEY_MX],
        .unreadable = inspector->found.needs_decision,
    };
    return &inspector->found;
}

void inspection_free(struct inspection *inspection)
{
    struct inspector *inspector = (struct inspector *)inspection;
    if (inspector == NULL)
        return;
    table_free(&inspector->by_name);
    arena_free(inspector->arena);
    free(inspector->found.findings);
    free(inspector->mx);
    free(inspector);
}

void inspection_report(const struct inspection *inspection, bool mended, struct diag *diag)
{
    for (size_t i = 0; i < inspection->count; i++) {
        const struct inspect_finding *finding = &inspection->findings[i];
        enum diag_level level = finding->rule->level;
        bool is_open = (finding->rule->flags & FINDING_NEEDS_DECISION) != 0;
        if (mended && level != DIAG_NOTE)
            level = is_open ? DIAG_ERROR : DIAG_WARNING;
        diag_add(diag, level, finding->at, "%s", finding->message);
        if (finding->senders != NULL)
            diag_reason(diag, "%s", finding->senders);
        bool done = mended && !is_open && (finding->rule->flags & FINDING_IS_ADVICE) == 0;
        if (finding->fix != NULL)
            diag_hint(diag, "%s%s", done ? "applied in the output: " : "", finding->fix);
    }
}
