#include "command/import_nginx_answer.h"

#include <string.h>

void nginx_enter(struct nginx_scope *scope, const struct directive *block)
{
    if (scope->depth < sizeof(scope->blocks) / sizeof(scope->blocks[0]))
        scope->blocks[scope->depth++] = block;
}

/* The first directive of that name in the innermost block that has one. */
static const struct directive *find_inherited(const struct nginx_scope *scope, const char *name)
{
    for (size_t i = scope->depth; i > 0; i--) {
        const struct directive *found = directive_find(scope->blocks[i - 1], NULL, name);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static bool is_name_byte(char byte)
{
    return ascii_is_alpha(byte) || ascii_is_digit(byte) || byte == '_';
}

/* The value of a variable as it is for this request; data NULL when it is not known. */
static struct span variable(const struct nginx_question *question, struct span name)
{
    static const char *const hosts[] = {"host", "server_name", "ssl_server_name", "http_host"};
    static const char *const paths[] = {"uri", "document_uri", "request_uri"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        if (span_equal(name, span_of(hosts[i])))
            return span_of(question->host);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (span_equal(name, span_of(paths[i])))
            return span_of(IMPORT_PATH);
    return (struct span){0};
}

/* The length of the variable that the text begins with, and its name. */
static size_t read_variable(struct span text, struct span *ret_name)
{
    bool braced = text.len > 1 && text.data[1] == '{';
    size_t begin = braced ? 2 : 1, end = begin;
    while (end < text.len && is_name_byte(text.data[end]))
        end++;
    *ret_name = (struct span){text.data + begin, end - begin};
    return end + (braced && end < text.len ? 1 : 0);
}

struct span import_nginx_expand(struct nginx_question *question, struct span text)
{
    struct text expanded = {0};
    struct span name, value;
    text_append(&expanded, span_of(""));
    while (text.len > 0) {
        size_t taken = text.data[0] == '$' ? read_variable(text, &name) : 1;
        value = text.data[0] == '$' ? variable(question, name) : (struct span){text.data, 1};
        if (value.data == NULL) {
            text_free(&expanded);
            return value;
        }
        text_append(&expanded, value);
        text = span_skip(text, taken);
    }
    struct span copy = {NULL, expanded.len};
    if (!expanded.failed)
        copy.data = arena_copy(question->files->arena, (struct span){expanded.data, expanded.len});
    question->files->shortage = question->files->shortage || copy.data == NULL;
    text_free(&expanded);
    return copy;
}

static struct import_answer unknown_variable(struct nginx_question *question,
                                             const struct directive *directive, size_t index)
{
    struct span text = directive_word(directive, index);
    return import_problem(directive->words[0].at,
                          import_format(question->files,
                                        "\"%.*s\" has a variable that is not known here",
                                        (int)text.len, text.data),
                          NULL, "import the policy from where it is: DOMAIN=FILE, or --url HOST");
}

/* The file at FOLDER/REST, with the variables of the folder. */
static struct import_answer file_answer(struct nginx_question *question,
                                        const struct directive *directive, size_t index,
                                        struct span rest)
{
    struct span folder = import_nginx_expand(question, directive_word(directive, index));
    if (folder.data == NULL)
        return unknown_variable(question, directive, index);
    while (folder.len > 1 && folder.data[folder.len - 1] == '/' && rest.len > 0 &&
           rest.data[0] == '/')
        folder.len--;
    const char *path = import_format(question->files, "%.*s%.*s", (int)folder.len, folder.data,
                                     (int)rest.len, rest.data);
    return (struct import_answer){
        .kind = IMPORT_FILE,
        .at = directive->words[0].at,
        .path = import_files_resolve(question->files, span_of(path)),
    };
}

static bool is_redirect(struct span code)
{
    static const char *const codes[] = {"301", "302", "303", "307", "308"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (span_equal(code, span_of(codes[i])))
            return true;
    return false;
}

static struct import_answer returned(struct nginx_question *question,
                                     const struct directive *directive)
{
    struct span code = directive_word(directive, 1), text = directive_word(directive, 2);
    struct position at = directive->words[0].at;
    bool is_code = code.len == 3 && ascii_is_digit(code.data[0]);
    if (is_redirect(code) || (directive->count == 2 && !is_code))
        return import_redirect(question->files, at, is_code ? text : code);
    if (!span_equal(code, span_of("200")))
        return import_problem(at,
                              import_format(question->files, "the policy is answered with %.*s",
                                            (int)code.len, code.data),
                              "senders accept the status 200 alone (RFC 8461 section 3.3)",
                              "import the policy from where it is: DOMAIN=FILE");
    struct span value = import_nginx_expand(question, text);
    if (value.data == NULL)
        return unknown_variable(question, directive, 2);
    return (struct import_answer){.kind = IMPORT_TEXT, .at = at, .text = value};
}

/* A location: how it matches, and what. */
struct location {
    const struct directive *block; /* NULL: there is none */
    enum { LOCATION_EXACT, LOCATION_PREFIX, LOCATION_FIRM, LOCATION_REGEX, LOCATION_NAMED } kind;
    bool ignore_case;
    struct word pattern;
};

/* "location = /x", and "location =/x", which means the same. */
static struct location read_location(const struct directive *block)
{
    struct span modifier = directive_word(block, 1);
    struct location location = {block, LOCATION_PREFIX, false, block->words[block->count - 1]};
    if (block->count == 2) {
        size_t len = 0;
        while (len < modifier.len && memchr("=~^*", modifier.data[len], 4) != NULL)
            len++;
        location.pattern.text = span_skip(modifier, len);
        modifier.len = len;
    }
    if (span_equal(modifier, span_of("=")))
        location.kind = LOCATION_EXACT;
    else if (span_equal(modifier, span_of("^~")))
        location.kind = LOCATION_FIRM;
    else if (span_equal(modifier, span_of("~")) || span_equal(modifier, span_of("~*")))
        location.kind = LOCATION_REGEX;
    else if (location.pattern.text.len > 0 && location.pattern.text.data[0] == '@')
        location.kind = LOCATION_NAMED;
    location.ignore_case = modifier.len == 2;
    return location;
}

static bool begins_path(struct span prefix)
{
    return prefix.len <= strlen(IMPORT_PATH) && memcmp(IMPORT_PATH, prefix.data, prefix.len) == 0;
}

/* The location of the block that answers, by nginx' rules: the exact one, else the longest prefix if
 * it says so, else the first regular expression, else the longest prefix. */
static struct location find_location(struct import_files *files, const struct directive *parent)
{
    struct location prefix = {0}, regex = {0};
    const struct directive *block = NULL;
    while ((block = directive_find(parent, block, "location")) != NULL) {
        if (!block->is_block || block->count < 2)
            continue;
        struct location one = read_location(block);
        struct span text = one.pattern.text;
        if (one.kind == LOCATION_EXACT && span_equal(text, span_of(IMPORT_PATH)))
            return one;
        if ((one.kind == LOCATION_PREFIX || one.kind == LOCATION_FIRM) && begins_path(text) &&
            (prefix.block == NULL || text.len > prefix.pattern.text.len))
            prefix = one;
        if (one.kind == LOCATION_REGEX && regex.block == NULL &&
            import_matches(files, &one.pattern, one.ignore_case))
            regex = one;
    }
    return regex.block != NULL && !(prefix.block != NULL && prefix.kind == LOCATION_FIRM) ? regex
                                                                                          : prefix;
}

static bool is_readable(struct import_files *files, const char *path)
{
    struct text bytes = {0};
    bool good = path != NULL && import_files_read(files, path, &bytes);
    text_free(&bytes);
    return good;
}

/* The first file of try_files that is there, or the first at all. */
static struct import_answer tried(struct nginx_question *question,
                                  const struct directive *try_files, const struct directive *root)
{
    struct import_answer first = {.kind = IMPORT_PROBLEM};
    for (size_t i = 1; i + 1 < try_files->count; i++) {
        struct span rest = import_nginx_expand(question, try_files->words[i].text);
        if (rest.data == NULL)
            continue;
        struct import_answer answer = file_answer(question, root, 1, rest);
        if (answer.kind == IMPORT_FILE && is_readable(question->files, answer.path))
            return answer;
        if (first.at.line == 0)
            first = answer;
    }
    return first.at.line != 0 ? first : unknown_variable(question, try_files, 1);
}

/* Whatever passes the request on. */
static const struct directive *find_proxy(const struct directive *block)
{
    static const char *const names[] = {"proxy_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass",
                                        "grpc_pass"};
    const struct directive *found = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && found == NULL; i++)
        found = directive_find(block, NULL, names[i]);
    return found;
}

/* A rewrite of the block that takes the path elsewhere. */
static const struct directive *find_rewrite(struct import_files *files,
                                            const struct directive *block)
{
    const struct directive *rewrite = NULL;
    while ((rewrite = directive_find(block, rewrite, "rewrite")) != NULL)
        if (rewrite->count >= 3 && import_matches(files, &rewrite->words[1], false))
            return rewrite;
    return NULL;
}

static struct import_answer rewritten(struct nginx_question *question,
                                      const struct directive *rewrite)
{
    struct span target = directive_word(rewrite, 2), flag = directive_word(rewrite, 3);
    if (span_equal(flag, span_of("permanent")) || span_equal(flag, span_of("redirect")) ||
        memmem(target.data, target.len, "://", 3) != NULL)
        return import_redirect(question->files, rewrite->words[0].at, target);
    return import_problem(rewrite->words[0].at, "a rewrite takes the policy from elsewhere",
                          "rewrites are not followed",
                          "import the policy from where it is: DOMAIN=FILE, or --url HOST");
}

/* What the innermost block of the question answers with; location is the block's, if it is one. */
static struct import_answer answer_in(struct nginx_question *question,
                                      const struct location *location)
{
    const struct directive *block = question->scope.blocks[question->scope.depth - 1];
    const struct directive *proxy = find_proxy(block), *found = NULL;
    if ((found = directive_find(block, NULL, "return")) != NULL)
        return returned(question, found);
    if ((found = find_rewrite(question->files, block)) != NULL)
        return rewritten(question, found);
    if (proxy != NULL)
        return import_proxied(proxy->words[0].at);
    if (location != NULL && (found = directive_find(block, NULL, "alias")) != NULL) {
        bool whole = location->kind == LOCATION_EXACT || location->kind == LOCATION_REGEX;
        size_t replaced = whole ? strlen(IMPORT_PATH) : location->pattern.text.len;
        return file_answer(question, found, 1, span_skip(span_of(IMPORT_PATH), replaced));
    }
    const struct directive *root = find_inherited(&question->scope, "root");
    if (root == NULL)
        return import_problem(block->words[0].at, "no root says where the policy is", NULL,
                              "import the policy from where it is: DOMAIN=FILE, or --url HOST");
    found = find_inherited(&question->scope, "try_files");
    if (found != NULL && found->count >= 3)
        return tried(question, found, root);
    return file_answer(question, root, 1, span_of(IMPORT_PATH));
}

struct import_answer import_nginx_answer(struct nginx_question *question)
{
    struct location location = {0};
    const struct directive *block = question->scope.blocks[question->scope.depth - 1];
    if (directive_find(block, NULL, "return") != NULL ||
        find_rewrite(question->files, block) != NULL)
        return answer_in(question, NULL);
    for (unsigned depth = 0; depth < LIMIT_IMPORT_DEPTH; depth++) {
        struct location inner = find_location(question->files, block);
        if (inner.block == NULL)
            break;
        location = inner;
        block = inner.block;
        nginx_enter(&question->scope, block);
    }
    return answer_in(question, location.block == NULL ? NULL : &location);
}
