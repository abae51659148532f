#include "command/import_nginx_syntax.h"

#include "base/limits.h"
#include "command/import_words.h"

struct scanner {
    struct import_files *files;
    struct span rest;
    struct position at; /* of the next byte */
    struct import_words words;
    bool is_broken; /* a fault that nothing behind can be understood after */
};

static void report(struct scanner *scanner, struct position at, const char *problem)
{
    diag_add(scanner->files->diag, DIAG_ERROR, at, "%s", problem);
    scanner->is_broken = true;
}

/* The next byte; -1 at the end. */
static int peek(const struct scanner *scanner)
{
    return scanner->rest.len == 0 ? -1 : (unsigned char)scanner->rest.data[0];
}

static void skip(struct scanner *scanner)
{
    unsigned char byte = (unsigned char)scanner->rest.data[0];
    scanner->rest = span_skip(scanner->rest, 1);
    if (byte == '\n') {
        scanner->at.line++;
        scanner->at.column = 1;
    } else if ((byte & 0xc0) != 0x80) {
        scanner->at.column++;
    }
}

static bool is_space(int byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static void skip_space(struct scanner *scanner)
{
    bool comment = false;
    for (int byte; (byte = peek(scanner)) != -1; skip(scanner)) {
        if (byte == '#')
            comment = true;
        else if (!comment && !is_space(byte))
            return;
        if (byte == '\n')
            comment = false;
    }
}

/* Behind a backslash. nginx knows these in every word, be it quoted or not. */
static void take_escape(struct scanner *scanner)
{
    static const char from[] = "trn\"'\\", to[] = "\t\r\n\"'\\";
    int byte = peek(scanner);
    const char *known = byte <= 0 ? NULL : strchr(from, byte);
    if (known == NULL)
        import_words_put(&scanner->words, '\\');
    if (byte == -1)
        return;
    import_words_put(&scanner->words, known == NULL ? (char)byte : to[known - from]);
    skip(scanner);
}

static void read_quoted(struct scanner *scanner, int quote)
{
    struct position begin = scanner->at;
    skip(scanner);
    for (int byte; (byte = peek(scanner)) != -1;) {
        skip(scanner);
        if (byte == quote)
            return;
        if (byte == '\\')
            take_escape(scanner);
        else
            import_words_put(&scanner->words, (char)byte);
    }
    report(scanner, begin, "the quote is not closed");
}

static void read_bare(struct scanner *scanner)
{
    int before = 0;
    for (int byte; (byte = peek(scanner)) != -1; before = byte) {
        if (is_space(byte) || byte == ';' || (byte == '{' && before != '$'))
            return;
        skip(scanner);
        if (byte == '\\')
            take_escape(scanner);
        else
            import_words_put(&scanner->words, (char)byte);
    }
}

/* Reads words up to what ends them: ';', '{', '}' at the beginning of a word, or -1. */
static int read_words(struct scanner *scanner)
{
    import_words_clear(&scanner->words);
    while (!scanner->is_broken) {
        skip_space(scanner);
        int byte = peek(scanner);
        if (byte == -1 || byte == ';' || byte == '{' || byte == '}')
            return byte;
        import_words_begin(&scanner->words, scanner->at);
        if (byte == '"' || byte == '\'')
            read_quoted(scanner, byte);
        else
            read_bare(scanner);
    }
    return -1;
}

/* Blocks of Lua are not in nginx' syntax; their braces are balanced, but for those in strings and
 * comments. */
static void skip_foreign_block(struct scanner *scanner)
{
    unsigned open = 0;
    int until = 0, before = 0;
    for (int byte; (byte = peek(scanner)) != -1; before = byte) {
        skip(scanner);
        if (until != 0) {
            if (byte == '\\' && until != '\n' && peek(scanner) != -1)
                skip(scanner);
            else if (byte == until)
                until = 0;
        } else if (byte == '"' || byte == '\'') {
            until = byte;
        } else if (byte == '-' && before == '-') {
            until = '\n';
        } else if (byte == '{') {
            open++;
        } else if (byte == '}' && --open == 0) {
            return;
        }
    }
}

static bool is_foreign(struct span name)
{
    struct span end = span_of("_by_lua_block");
    return name.len > end.len && span_equal(span_skip(name, name.len - end.len), end);
}

static void read_block(struct scanner *scanner, struct directive *parent, unsigned depth);

/* Takes the words that were read as a directive, and the block behind them if there is one. */
static void take_directive(struct scanner *scanner, struct directive *parent, int end,
                           unsigned depth)
{
    const struct word *words = import_words_get(&scanner->words);
    size_t count = scanner->words.count;
    struct position at = count == 0 ? scanner->at : words[0].at;
    if (scanner->words.failed) {
        report(scanner, at, "the directive is too long to be read");
        return;
    }
    if (end != ';' && end != '{') {
        if (count > 0 && !scanner->is_broken)
            report(scanner, at, "the directive does not end with a semicolon");
        return;
    }
    if (count == 0 && end == '{') {
        report(scanner, at, "the block has no name");
        return;
    }
    if (count == 0)
        return;
    struct directive *directive = directive_add(scanner->files, parent, words, count);
    if (directive == NULL) {
        scanner->is_broken = true;
    } else if (end == ';') {
        if (count == 2 && span_equal(directive->words[0].text, span_of("include")))
            import_files_include(scanner->files, &directive->words[1], false, import_nginx_parse,
                                 parent);
    } else if (is_foreign(directive->words[0].text)) {
        skip_foreign_block(scanner);
    } else if (depth >= LIMIT_IMPORT_DEPTH) {
        report(scanner, at, "the blocks are nested too deeply");
    } else {
        skip(scanner);
        directive->is_block = true;
        read_block(scanner, directive, depth + 1);
        if (peek(scanner) == '}')
            skip(scanner);
        else if (!scanner->is_broken)
            report(scanner, at, "the block is not closed");
    }
}

/* Reads directives up to the brace that closes the block, or to the end. */
static void read_block(struct scanner *scanner, struct directive *parent, unsigned depth)
{
    while (!scanner->is_broken) {
        int end = read_words(scanner);
        take_directive(scanner, parent, end, depth);
        if (end == '}' || end == -1)
            return;
        if (end == ';')
            skip(scanner);
    }
}

void import_nginx_parse(struct import_files *files, struct span bytes, const char *file,
                        struct directive *parent)
{
    struct scanner scanner = {.files = files, .rest = bytes, .at = {file, 1, 1}};
    if (span_begins_fold(bytes, span_of("\xef\xbb\xbf")))
        scanner.rest = span_skip(bytes, 3);
    read_block(&scanner, parent, 0);
    if (!scanner.is_broken && peek(&scanner) == '}')
        report(&scanner, scanner.at, "there is a brace that closes nothing");
    import_words_free(&scanner.words);
}
