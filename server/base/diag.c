#include "base/diag.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/heap.h"
#include "base/json.h"
#include "base/table.h"

/* All words are borrowed from the arena. */
struct entry {
    struct diag_entry said;
    bool is_hidden;
    size_t file_order;   /* of the file: files sort as they were first named */
    size_t order;        /* of the entry itself, so that sorting is stable */
    const char *key;     /* place and message; tells whether it was said already */
    const char *subject; /* or NULL */
    const char
        *folded;    /* of the first of many with one cause: the message with the others; or NULL */
    bool is_folded; /* that message stands for it */
};

/* Those with one cause. */
struct group {
    size_t first; /* index */
    size_t count;
};

/* A file, and what is kept of it. */
struct file {
    const char *name;         /* interned */
    size_t most;              /* 0: everything */
    size_t kept[DIAG_LEVELS]; /* most + 1: and it was said that there are more */
};

struct diag {
    struct arena *arena;   /* owned */
    struct entry *entries; /* owned */
    size_t count;
    struct file *files; /* owned; in the order of their first use */
    size_t file_count;
    struct table file_table;
    struct table entry_table; /* what was said already, at which place */
    struct entry *last;  /* what reason, hint and related belong to; NULL when it was not kept */
    enum diag_part part; /* of what is added now */
    size_t counts[DIAG_LEVELS + 1]; /* the last is of those that are left out */
};

/* Of a plain word, which may be a domain name; of any other value; and of a key, in bytes. */
enum { WORD_MOST = DIAG_WORD_SIZE - sizeof("..."), VALUE_MOST = 64, KEY_MOST = 16 };

/* So many with one cause are told one by one; kinds of causes; subjects that are named. */
enum { SINGLE_MOST = 3, GROUPS = 16, SUBJECTS = 10 };

static size_t plain_length(struct span text)
{
    size_t len = 0;
    while (len < text.len && text.data[len] != '\0' &&
           (ascii_is_alpha(text.data[len]) || ascii_is_digit(text.data[len]) ||
            (unsigned char)text.data[len] > 0x7f || strchr("._-*", text.data[len]) != NULL))
        len++;
    return len;
}

/* At most so many bytes, in whole characters of UTF-8. */
static struct diag_word cut(struct span text, size_t most)
{
    struct diag_word word = {{0}};
    size_t len = text.len < most ? text.len : most;
    while (len > 0 && len < text.len && ((unsigned char)text.data[len] & 0xc0) == 0x80)
        len--;
    if (len > 0)
        memcpy(word.text, text.data, len);
    if (len < text.len)
        memcpy(word.text + len, "...", sizeof("..."));
    return word;
}

struct diag_word diag_word(struct span text)
{
    return cut(text, plain_length(text) == text.len ? WORD_MOST : VALUE_MOST);
}

struct diag_word diag_key(struct span text)
{
    size_t plain = plain_length(text);
    if (plain == text.len || span_equal(text, span_of("<<"))) /* a merge key is no secret */
        return cut(text, VALUE_MOST);
    return cut(text, plain < KEY_MOST ? plain : KEY_MOST);
}

struct diag *diag_new(void)
{
    struct diag *diag = heap_take(1, sizeof(*diag));
    diag->arena = arena_new();
    return diag;
}

void diag_free(struct diag *diag)
{
    if (diag == NULL)
        return;
    arena_free(diag->arena);
    free(diag->entries);
    free(diag->files);
    table_free(&diag->file_table);
    table_free(&diag->entry_table);
    free(diag);
}

void diag_set_part(struct diag *diag, enum diag_part part)
{
    diag->part = part;
}

TABLE_KEY(file_key, struct file, span_of(item->name));

const char *diag_intern(struct diag *diag, struct span name)
{
    size_t known = table_find(&diag->file_table, name, file_key, diag->files);
    if (known != TABLE_NONE)
        return diag->files[known].name;
    const char *copy = arena_copy(diag->arena, name);
    table_add(&diag->file_table, name, diag->file_count);
    *ARRAY_ADD(diag->files, diag->file_count) = (struct file){.name = copy};
    return copy;
}

/* A file that nobody interned sorts last. */
static size_t file_order(const struct diag *diag, const char *file)
{
    return file == NULL ? TABLE_NONE
                        : table_find(&diag->file_table, span_of(file), file_key, diag->files);
}

void diag_limit(struct diag *diag, const char *file, size_t most)
{
    size_t index = file_order(diag, file);
    if (index != TABLE_NONE)
        diag->files[index].most = most;
}

bool diag_is_kept(const struct diag *diag)
{
    return diag->last != NULL;
}

/* What an operator's customer wrote must not forge a line or move a cursor. Returns the length. */
static size_t defuse(char *words)
{
    size_t len = 0;
    for (struct span rest = span_of(words); rest.len > 0;) {
        struct text_character next;
        text_character(rest, &next);
        memmove(words + len, next.is_shown ? rest.data : "?", next.is_shown ? next.len : 1);
        len += next.is_shown ? next.len : 1;
        rest = span_skip(rest, next.len);
    }
    words[len] = '\0';
    return len;
}

__attribute__((format(printf, 2, 0))) static const char *format_words(struct diag *diag,
                                                                      const char *format,
                                                                      va_list arguments)
{
    char *words = arena_vprintf(diag->arena, format, arguments);
    (void)defuse(words); /* its length is not needed */
    return words;
}

TABLE_KEY(entry_key, struct entry, span_of(item->key));

/* Keeps the entry, unless the same was said of the place already, because several domains use one bad
 * policy, say; diag->last tells. */
static void keep(struct diag *diag, struct entry entry)
{
    diag->last = NULL;
    entry.key =
        arena_printf(diag->arena, "%zu:%u:%u:%s", entry.file_order, (unsigned)entry.said.at.line,
                     (unsigned)entry.said.at.column, entry.said.message);
    struct span key = span_of(entry.key);
    if (table_find(&diag->entry_table, key, entry_key, diag->entries) != TABLE_NONE)
        return;
    diag->counts[entry.said.level]++;
    table_add(&diag->entry_table, key, diag->count);
    diag->last = ARRAY_ADD(diag->entries, diag->count);
    *diag->last = entry;
}

/* Whether the file may have one more of the level. The first one beyond is replaced by words about it. */
static bool has_room(struct diag *diag, const struct entry *entry)
{
    enum diag_level level = entry->said.level;
    struct file *file = entry->said.is_limited ? &diag->files[entry->file_order] : NULL;
    if (file == NULL || file->kept[level] < file->most)
        return true;
    if (file->kept[level]++ == file->most) {
        static const char *const words[DIAG_LEVELS] = {
            [DIAG_FATAL] = "the file has more errors, which are left out",
            [DIAG_ERROR] = "the file has more errors, which are left out",
            [DIAG_WARNING] = "the file has more warnings, which are left out",
            [DIAG_NOTE] = "the file has more notes, which are left out",
        };
        struct entry rest = *entry;
        rest.said.at = (struct position){.file = entry->said.at.file};
        rest.said.kind = rest.said.message = words[level];
        keep(diag, rest);
    }
    file->kept[level] = file->most + 1;
    diag->last = NULL;
    return false;
}

void diag_add(struct diag *diag, enum diag_level level, struct position at, const char *format, ...)
{
    size_t file = file_order(diag, at.file);
    struct entry entry = {
        .said = {.level = level,
                 .part = diag->part,
                 .at = at,
                 .kind = format,
                 .is_limited = file != TABLE_NONE && diag->files[file].most > 0},
        .file_order = file,
        .order = diag->count,
    };
    if (!has_room(diag, &entry))
        return;
    va_list arguments;
    va_start(arguments, format);
    entry.said.message = format_words(diag, format, arguments);
    va_end(arguments);
    keep(diag, entry);
    if (diag->last != NULL && file != TABLE_NONE)
        diag->files[file].kept[level]++;
}

void diag_reason(struct diag *diag, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (diag->last != NULL)
        diag->last->said.reason = format_words(diag, format, arguments);
    va_end(arguments);
}

void diag_hint(struct diag *diag, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (diag->last != NULL)
        diag->last->said.hint = format_words(diag, format, arguments);
    va_end(arguments);
}

void diag_subject(struct diag *diag, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (diag->last != NULL)
        diag->last->subject = format_words(diag, format, arguments);
    va_end(arguments);
}

void diag_related(struct diag *diag, struct position at, const char *format, ...)
{
    if (diag->last == NULL)
        return;
    struct diag_related *related = arena_take(diag->arena, sizeof(*related));
    va_list arguments;
    va_start(arguments, format);
    *related = (struct diag_related){.at = at, .message = format_words(diag, format, arguments)};
    va_end(arguments);
    struct diag_related **end = &diag->last->said.related;
    while (*end != NULL)
        end = &(*end)->next;
    *end = related;
}

size_t diag_mark(const struct diag *diag)
{
    return diag->last == NULL ? SIZE_MAX : (size_t)(diag->last - diag->entries);
}

void diag_set_level(struct diag *diag, size_t mark, unsigned level)
{
    if (mark >= diag->count)
        return; /* it was said before */
    diag->counts[diag->entries[mark].said.level]--;
    diag->entries[mark].said.level = (enum diag_level)level;
    diag->counts[level]++;
}

size_t diag_count(const struct diag *diag, enum diag_level level)
{
    return diag->counts[level];
}

static int entry_compare(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->file_order != b->file_order)
        return a->file_order < b->file_order ? -1 : 1;
    const struct position *one = &a->said.at, *other = &b->said.at;
    if (one->line != other->line)
        return one->line < other->line ? -1 : 1;
    if (one->column != other->column)
        return one->column < other->column ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* Entries move, so the table of what was said is given up: nothing is added after printing. */
static void sort(struct diag *diag)
{
    if (diag->count > 0)
        qsort(diag->entries, diag->count, sizeof(*diag->entries), entry_compare);
    table_free(&diag->entry_table);
    diag->last = NULL;
}

static const char *level_text(enum diag_level level)
{
    switch (level) {
    case DIAG_FATAL:
    case DIAG_ERROR:
        return "error";
    case DIAG_WARNING:
        return "warning";
    case DIAG_NOTE:
        break;
    }
    return "note";
}

static void print_line(struct text *out, struct position at, const char *level, const char *message)
{
    size_t begin = out->len;
    if (at.file != NULL)
        text_printf(out, "%s:", at.file);
    if (out->len > begin)
        out->len = begin + defuse(out->data + begin);
    if (at.line > 0)
        text_printf(out, "%u:", (unsigned)at.line);
    if (at.line > 0 && at.column > 0)
        text_printf(out, "%u:", (unsigned)at.column);
    text_printf(out, "%s%s: %s\n", at.file != NULL ? " " : "", level, message);
}

static void print_entry(const struct diag_entry *entry, struct text *out)
{
    print_line(out, entry->at, level_text(entry->level), entry->message);
    if (entry->reason != NULL)
        text_printf(out, "    why: %s\n", entry->reason);
    if (entry->hint != NULL)
        text_printf(out, "    fix: %s\n", entry->hint);
    for (const struct diag_related *note = entry->related; note != NULL; note = note->next)
        print_line(out, note->at, "note", note->message);
}

static bool is_shown(const struct entry *entry, enum diag_level least)
{
    return entry->said.level <= least && !entry->is_hidden;
}

static bool have_one_cause(const struct entry *first, const struct entry *second)
{
    const struct diag_entry *one = &first->said, *other = &second->said;
    return one->level == other->level && strcmp(one->kind, other->kind) == 0 &&
           (one->reason == other->reason || (one->reason != NULL && other->reason != NULL &&
                                             strcmp(one->reason, other->reason) == 0));
}

/* Names some subjects of the group: first one of every file, so that none hides the others. */
static void name_subjects(const struct diag *diag, enum diag_level least, const struct group *group,
                          struct text *out)
{
    const struct entry *first = &diag->entries[group->first];
    size_t named = 0;
    for (int pass = 0; pass < 2; pass++) {
        size_t file = first->file_order;
        for (size_t i = group->first + 1; i < diag->count && named < SUBJECTS; i++) {
            const struct entry *entry = &diag->entries[i];
            if (entry->subject == NULL || !is_shown(entry, least) || !have_one_cause(first, entry))
                continue;
            bool is_of_new_file = entry->file_order != file;
            file = entry->file_order;
            if (is_of_new_file != (pass == 0))
                continue;
            text_printf(out, "%s%s", named++ == 0 ? "" : ", ", entry->subject);
        }
    }
    size_t rest = group->count - 1 - named;
    if (rest > 0)
        text_printf(out, " and %zu other%s", rest, rest == 1 ? "" : "s");
}

static void fold_group(struct diag *diag, enum diag_level least, const struct group *group)
{
    struct entry *first = &diag->entries[group->first];
    struct text words = {0};
    text_printf(&words, "%s; the same holds for %zu more: ", first->said.message, group->count - 1);
    name_subjects(diag, least, group, &words);
    first->folded = arena_copy(diag->arena, heap_text(&words));
    text_free(&words);
    for (size_t i = group->first + 1; i < diag->count; i++)
        if (diag->entries[i].subject != NULL && have_one_cause(first, &diag->entries[i]))
            diag->entries[i].is_folded = true;
}

/* Puts those with one cause together, if they are many. */
static void fold(struct diag *diag, enum diag_level least)
{
    struct group groups[GROUPS];
    size_t count = 0;
    for (size_t i = 0; i < diag->count; i++) {
        struct entry *entry = &diag->entries[i];
        entry->folded = NULL;
        entry->is_folded = false;
        if (entry->subject == NULL || !is_shown(entry, least))
            continue;
        size_t at = 0;
        while (at < count && !have_one_cause(&diag->entries[groups[at].first], entry))
            at++;
        if (at == GROUPS)
            continue;
        if (at == count)
            groups[count++] = (struct group){.first = i};
        groups[at].count++;
    }
    for (size_t i = 0; i < count; i++)
        if (groups[i].count > SINGLE_MOST)
            fold_group(diag, least, &groups[i]);
}

static void print_each(void *context, const struct diag_entry *entry, struct span text)
{
    (void)entry; /* the text is all of it */
    text_append(context, text);
}

void diag_print(struct diag *diag, enum diag_level least, struct text *out)
{
    diag_each(diag, least, print_each, out);
}

size_t diag_shown(const struct diag *diag, enum diag_level level)
{
    size_t count = 0;
    for (size_t i = 0; i < diag->count; i++)
        count += diag->entries[i].said.level == level && !diag->entries[i].is_hidden ? 1 : 0;
    return count;
}

size_t diag_shown_files(const struct diag *diag, enum diag_level least)
{
    size_t count = 0;
    bool *seen = heap_take(diag->file_count, sizeof(*seen));
    for (size_t i = 0; i < diag->count; i++) {
        const struct entry *entry = &diag->entries[i];
        if (!is_shown(entry, least) || entry->file_order >= diag->file_count)
            continue;
        count += seen[entry->file_order] ? 0 : 1;
        seen[entry->file_order] = true;
    }
    free(seen);
    return count;
}

void diag_choose(struct diag *diag, diag_wanted *wanted, void *context)
{
    for (size_t i = 0; i < diag->count; i++)
        if (!wanted(context, &diag->entries[i].said))
            diag->entries[i].is_hidden = true;
}

void diag_each(struct diag *diag, enum diag_level least, diag_visit *visit, void *context)
{
    sort(diag);
    fold(diag, least);
    for (size_t i = 0; i < diag->count; i++) {
        const struct entry *entry = &diag->entries[i];
        struct diag_entry said = entry->said;
        struct text text = {0};
        if (!is_shown(entry, least) || entry->is_folded)
            continue;
        if (entry->folded != NULL)
            said.message = entry->folded;
        print_entry(&said, &text);
        visit(context, &said, heap_text(&text));
        text_free(&text);
    }
}

static void print_place(struct text *out, struct position at)
{
    json_text(out, "file", at.file);
    json_ordinal(out, "line", at.line);
    json_ordinal(out, "column", at.line > 0 ? at.column : 0);
}

static void print_words(struct text *out, const struct diag_entry *entry, const char *message_key)
{
    json_text(out, "scope", entry->level == DIAG_FATAL ? "file" : "domain");
    json_text(out, message_key, entry->message);
    json_text(out, "reason", entry->reason);
    json_text(out, "hint", entry->hint);
}

void diag_print_members(const struct diag_entry *entry, struct text *out)
{
    print_place(out, entry->at);
    print_words(out, entry, "text");
}

static void print_entry_json(const struct diag_entry *entry, struct text *out)
{
    json_new_line(out);
    json_open(out, NULL, '{');
    print_place(out, entry->at);
    json_text(out, "level", level_text(entry->level));
    print_words(out, entry, "message");
    json_open(out, "related", '[');
    for (const struct diag_related *note = entry->related; note != NULL; note = note->next) {
        json_open(out, NULL, '{');
        print_place(out, note->at);
        json_text(out, "message", note->message);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_close(out, '}');
}

void diag_print_json(struct diag *diag, const char *key, enum diag_level least, struct text *out)
{
    sort(diag);
    json_open(out, key, '[');
    for (size_t i = 0; i < diag->count; i++)
        if (is_shown(&diag->entries[i], least))
            print_entry_json(&diag->entries[i].said, out);
    json_close(out, ']');
}
