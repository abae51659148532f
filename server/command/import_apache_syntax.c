#include "command/import_apache_syntax.h"

#include "base/limits.h"
#include "command/import_words.h"

/* A section that is open. */
struct section {
    struct section *outer; /* or NULL */
    struct span name;      /* as it was opened */
    struct position at;
    struct directive *children; /* where its directives go */
};

struct reader {
    struct import_files *files;
    struct span rest;
    struct position at; /* of the next byte */
    struct import_words words;
    struct section *section;  /* the innermost one; the outermost is the file */
    struct directive dropped; /* gets what is not valid here */
    unsigned depth;
};

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* Takes a byte of the logical line: a backslash at the end of a line continues it. False at the end
 * of the line or the file. */
static bool next_byte(struct reader *reader, char *ret_byte)
{
    while (reader->rest.len > 0 && reader->rest.data[0] != '\n') {
        size_t end = reader->rest.len > 1 && reader->rest.data[1] == '\r' ? 2 : 1;
        if (reader->rest.data[0] != '\\' || reader->rest.len <= end ||
            reader->rest.data[end] != '\n') {
            *ret_byte = reader->rest.data[0];
            return true;
        }
        reader->rest = span_skip(reader->rest, end + 1);
        reader->at.line++;
        reader->at.column = 1;
    }
    return false;
}

static void skip(struct reader *reader)
{
    reader->at.column += ((unsigned char)reader->rest.data[0] & 0xc0) != 0x80 ? 1 : 0;
    reader->rest = span_skip(reader->rest, 1);
}

static void read_word(struct reader *reader, char byte)
{
    char quote = byte == '"' || byte == '\'' ? byte : '\0';
    import_words_begin(&reader->words, reader->at);
    if (quote != '\0')
        skip(reader);
    while (next_byte(reader, &byte)) {
        if (quote == '\0' ? is_space(byte) : byte == quote)
            break;
        skip(reader);
        char escaped = '\0';
        if (byte == '\\' && next_byte(reader, &escaped) &&
            (escaped == '\\' || (quote != '\0' && escaped == quote))) {
            byte = escaped;
            skip(reader);
        }
        import_words_put(&reader->words, byte);
    }
    if (quote != '\0' && next_byte(reader, &byte))
        skip(reader);
}

/* Reads one logical line as words. */
static void read_line(struct reader *reader)
{
    char byte = '\0';
    bool comment = false;
    import_words_clear(&reader->words);
    while (next_byte(reader, &byte)) {
        comment = comment || (byte == '#' && reader->words.count == 0);
        if (comment || is_space(byte))
            skip(reader);
        else
            read_word(reader, byte);
    }
    if (reader->rest.len > 0) {
        reader->rest = span_skip(reader->rest, 1);
        reader->at.line++;
        reader->at.column = 1;
    }
}

/* The value that was defined; data NULL when there is none. */
static struct span find_define(const struct import_files *files, struct span name)
{
    const struct directive *define = files->defines.first;
    for (; define != NULL; define = define->next)
        if (span_equal(define->words[0].text, name))
            return directive_word(define, 1);
    return (struct span){0};
}

/* Appends the value of the variable that the text begins with, or its first byte. Returns how much of
 * the text that was. */
static size_t expand_one(const struct import_files *files, struct span text, struct text *out)
{
    bool is_variable = text.len > 2 && text.data[0] == '$' && text.data[1] == '{';
    const char *end = is_variable ? memchr(text.data, '}', text.len) : NULL;
    if (end != NULL) {
        size_t len = (size_t)(end - text.data) + 1;
        struct span value = find_define(files, (struct span){text.data + 2, len - 3});
        if (value.data != NULL) {
            text_append(out, value);
            return len;
        }
    }
    text_append(out, (struct span){text.data, 1});
    return 1;
}

/* Puts the values of "${NAME}" in their place; what is not defined stays as it is. */
static void expand(struct import_files *files, struct word *word)
{
    struct text expanded = {0};
    struct span rest = word->text;
    if (memmem(rest.data, rest.len, "${", 2) == NULL)
        return;
    while (rest.len > 0)
        rest = span_skip(rest, expand_one(files, rest, &expanded));
    const char *copy = expanded.failed || expanded.data == NULL
                           ? NULL
                           : arena_copy(files->arena, (struct span){expanded.data, expanded.len});
    if (copy != NULL)
        word->text = (struct span){copy, expanded.len};
    files->shortage = files->shortage || copy == NULL;
    text_free(&expanded);
}

static void include(struct reader *reader, const struct directive *directive, bool optional)
{
    for (size_t i = 1; i < directive->count; i++) {
        struct word pattern = directive->words[i];
        /* Of a folder every file is meant. */
        if (pattern.text.len > 0 && pattern.text.data[pattern.text.len - 1] == '/') {
            struct text all = {0};
            text_printf(&all, "%s*", pattern.text.data);
            pattern.text.data = arena_copy(reader->files->arena, (struct span){all.data, all.len});
            pattern.text.len = all.len;
            text_free(&all);
            if (pattern.text.data == NULL) {
                reader->files->shortage = true;
                return;
            }
        }
        import_files_include(reader->files, &pattern, optional, import_apache_parse,
                             reader->section->children);
    }
}

/* What changes how the rest is read. */
static void obey(struct reader *reader, const struct directive *directive)
{
    struct span name = directive->words[0].text, value = directive_word(directive, 1);
    if (span_equal_fold(name, span_of("Include")))
        include(reader, directive, false);
    else if (span_equal_fold(name, span_of("IncludeOptional")))
        include(reader, directive, true);
    else if (span_equal_fold(name, span_of("ServerRoot")) && value.len > 0 && value.data[0] == '/')
        reader->files->base = value.data;
    else if (span_equal_fold(name, span_of("Define")) && directive->count >= 2)
        (void)directive_add(reader->files, &reader->files->defines, directive->words + 1,
                            directive->count - 1); /* a shortage is noted */
}

static void open_section(struct reader *reader, const struct word *words, size_t count)
{
    struct import_files *files = reader->files;
    struct section *section = arena_take(files->arena, sizeof(*section));
    struct directive *directive = directive_add(files, reader->section->children, words, count);
    if (section == NULL || directive == NULL) {
        files->shortage = true;
        return;
    }
    struct span name = directive->words[0].text;
    directive->is_block = true;
    *section = (struct section){
        .outer = reader->section, .name = name, .at = words[0].at, .children = directive};
    if (span_equal_fold(name, span_of("IfModule")) || span_equal_fold(name, span_of("IfDefine")) ||
        span_equal_fold(name, span_of("IfVersion"))) {
        struct span condition = directive_word(directive, 1);
        bool negated = condition.len > 0 && condition.data[0] == '!';
        section->children = negated ? &reader->dropped : reader->section->children;
    }
    reader->section = section;
    reader->depth++;
}

static void close_section(struct reader *reader, const struct word *word, struct span name)
{
    struct section *section = reader->section;
    if (section->outer == NULL || !span_equal_fold(section->name, name)) {
        diag_add(reader->files->diag, DIAG_ERROR, word->at, "</%s> closes no section", name.data);
        return;
    }
    reader->section = section->outer;
    reader->depth--;
}

/* "<NAME" and "ARGUMENT>" as a name and arguments. Returns how many words are left. */
static size_t strip_brackets(struct word *words, size_t count)
{
    struct word *last = &words[count - 1];
    words[0].text = span_skip(words[0].text, 1);
    if (last->text.len > 0 && last->text.data[last->text.len - 1] == '>')
        last->text.len--;
    return last->text.len == 0 && count > 1 ? count - 1 : count;
}

static void take_line(struct reader *reader)
{
    struct import_files *files = reader->files;
    size_t count = reader->words.count;
    struct word *words = import_words_get(&reader->words);
    if (reader->words.failed) {
        diag_add(files->diag, DIAG_ERROR, reader->at, "the line is too long to be read");
        reader->words.failed = false;
        return;
    }
    if (count == 0)
        return;
    for (size_t i = 1; i < count; i++)
        expand(files, &words[i]);
    bool is_section = words[0].text.len > 1 && words[0].text.data[0] == '<';
    if (is_section)
        count = strip_brackets(words, count);
    if (is_section && words[0].text.data[0] == '/') {
        struct directive closing = {0};
        words[0].text = span_skip(words[0].text, 1);
        struct directive *copy = directive_add(files, &closing, words, 1);
        if (copy != NULL)
            close_section(reader, &words[0], copy->words[0].text);
    } else if (is_section && reader->depth >= LIMIT_IMPORT_DEPTH) {
        diag_add(files->diag, DIAG_ERROR, words[0].at, "the sections are nested too deeply");
    } else if (is_section) {
        open_section(reader, words, count);
    } else {
        struct directive *directive = directive_add(files, reader->section->children, words, count);
        if (directive != NULL)
            obey(reader, directive);
    }
}

void import_apache_parse(struct import_files *files, struct span bytes, const char *file,
                         struct directive *parent)
{
    struct section outermost = {.children = parent};
    struct reader reader = {
        .files = files, .rest = bytes, .at = {file, 1, 1}, .section = &outermost};
    if (span_begins_fold(bytes, span_of("\xef\xbb\xbf")))
        reader.rest = span_skip(bytes, 3);
    while (reader.rest.len > 0) {
        read_line(&reader);
        take_line(&reader);
    }
    for (const struct section *open = reader.section; open->outer != NULL; open = open->outer)
        diag_add(files->diag, DIAG_ERROR, open->at, "<%s> is not closed", open->name.data);
    import_words_free(&reader.words);
}
