#include "import/import.h"

#include <assert.h>

#include "base/limits.h"

static const char PREFIX[] = "mta-sts.";
enum { PREFIX_LEN = sizeof(PREFIX) - 1 };

/* What the words of a statement are. */
enum statement {
    OTHER,
    NAMES,   /* names of hosts */
    LISTEN,  /* addresses */
    INCLUDE, /* paths of more configuration */
};

static const struct {
    const char *word;
    enum statement statement;
    bool has_semicolon; /* it ends with one, else with the line */
} statements[] = {
    /* nginx */
    {"server_name", NAMES, true},
    {"listen", LISTEN, false},
    {"include", INCLUDE, false}, /* and lighttpd */
    /* Apache; in the last four an expression stands for every host */
    {"servername", NAMES, false},
    {"serveralias", NAMES, false},
    {"includeoptional", INCLUDE, false},
    {"virtualdocumentroot", NAMES, false},
    {"virtualdocumentrootip", NAMES, false},
    {"virtualscriptalias", NAMES, false},
    {"virtualscriptaliasip", NAMES, false},
    /* Caddy */
    {"import", INCLUDE, false},
};

/* Files that are named after a host; none of these is a top-level domain. */
static const char *const suffixes[] = {
    "conf", "log", "txt",  "pem",  "crt", "key", "cer", "csr",  "html", "htm", "php",
    "json", "yml", "yaml", "toml", "cfg", "bak", "old", "orig", "sock", "lst", "inc",
};

/* A virtual host of nginx or Apache, from where it begins to where the next one does. */
struct section {
    bool is_open, is_named, has_tls, is_default, has_catch_all;
    struct import_word place; /* where it begins, or the name that stands for any */
};

struct scan {
    import_take *take;
    void *context;
    struct span line; /* without its comment */
    uint32_t number;
    bool is_about_certificates;
    enum statement statement; /* OTHER between two */
    bool has_semicolon;
    struct section section;
};

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\f' || byte == '\v';
}

static bool is_one_of(char byte, const char *bytes)
{
    return byte != '\0' && strchr(bytes, byte) != NULL;
}

static bool is_host_byte(char byte)
{
    return ascii_is_alpha(byte) || ascii_is_digit(byte) || byte == '-' || byte == '_' ||
           (unsigned char)byte >= 0x80;
}

/* NUL behind the end. */
static char byte_at(struct span text, size_t index)
{
    return index < text.len ? text.data[index] : '\0';
}

/* Where the needle is, in any case; text.len when it is not there. */
static size_t find(struct span text, const char *needle)
{
    struct span wanted = span_of(needle);
    for (size_t i = 0; i + wanted.len <= text.len; i++)
        if (span_begins_fold(span_skip(text, i), wanted))
            return i;
    return text.len;
}

static bool has(struct span text, const char *needle)
{
    return find(text, needle) < text.len;
}

static bool has_one_of(struct span text, const char *bytes)
{
    for (size_t i = 0; i < text.len; i++)
        if (is_one_of(text.data[i], bytes))
            return true;
    return false;
}

/* The text between the first quotes; all of it where there are none. */
static struct span unquoted(struct span text)
{
    size_t begin = 0, len = 0;
    while (begin < text.len && !is_one_of(text.data[begin], "\"'`"))
        begin++;
    if (begin == text.len)
        return text;
    struct span inside = span_skip(text, begin + 1);
    while (len < inside.len && inside.data[len] != text.data[begin])
        len++;
    return (struct span){inside.data, len};
}

static struct import_word word_at(const struct scan *scan, enum import_found found,
                                  struct span place)
{
    uint32_t column = (uint32_t)(place.data - scan->line.data) + 1;
    return (struct import_word){found, place, scan->number, column};
}

static void tell(const struct scan *scan, enum import_found found, struct span text,
                 struct span place)
{
    struct import_word word = word_at(scan, found, place);
    word.text = text;
    scan->take(scan->context, &word);
}

/* Whether hosts whose names begin as the text does may be policy hosts. What is no part of a name
 * in it, such as a star or a bracket, stands for anything. */
static bool may_begin(struct span text)
{
    for (size_t i = 0, at = 0; i < PREFIX_LEN; i++, at++) {
        if (byte_at(text, at) == '\\')
            at++;
        else if (!is_host_byte(byte_at(text, at)) || is_one_of(byte_at(text, at + 1), "?*{"))
            return true;
        if (ascii_lower(byte_at(text, at)) != PREFIX[i])
            return false;
    }
    return true;
}

/* Whether a regular expression may match policy hosts. */
static bool may_match(struct span regex)
{
    bool is_bound = false, is_wild = false;
    while (regex.len > 0 && is_one_of(regex.data[0], "~*^\"'")) {
        is_bound = is_bound || regex.data[0] == '^';
        regex = span_skip(regex, 1);
    }
    for (size_t i = 0; i < regex.len; i++)
        is_wild = is_wild || (regex.data[i] == '\\' ? ascii_is_alpha(byte_at(regex, ++i))
                                                    : is_one_of(regex.data[i], ".[*+{"));
    return !is_bound || has(regex, "mta-sts") || (is_wild && may_begin(regex));
}

/* Reads a name: host bytes and dots, which an expression escapes. Returns how long it is there. */
static size_t read_name(struct span text, char *name, size_t size, size_t *ret_len)
{
    size_t at = 0;
    for (*ret_len = 0; at < text.len && *ret_len < size; at++) {
        if (text.data[at] == '\\' && is_one_of(byte_at(text, at + 1), ".-"))
            at++;
        else if (text.data[at] != '.' && !is_host_byte(text.data[at]))
            break;
        name[(*ret_len)++] = text.data[at];
    }
    return at;
}

/* Whether what follows a name makes it one of many: a star, a variable, a part of an expression. */
static bool goes_on(struct span line, size_t at)
{
    char next = byte_at(line, at), behind = byte_at(line, at + 1);
    if (next == '$') /* or the end of an expression */
        return behind != '\0' && !is_space(behind) && !is_one_of(behind, "\"'`)|;/,:");
    return is_one_of(next, "*%{([+?<@~\\");
}

static bool is_file(struct span name)
{
    const char *dot = memrchr(name.data, '.', name.len);
    struct span last = dot == NULL ? name : span_skip(name, (size_t)(dot - name.data) + 1);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
        if (span_equal_fold(last, span_of(suffixes[i])))
            return true;
    return false;
}

/* Tells the name of a policy host, which begins at the place in the line. */
static void take_name(struct scan *scan, struct span line, size_t at, enum import_found found)
{
    char name[LIMIT_NAME + 2];
    size_t len;
    char before = at == 0 ? '\0' : line.data[at - 1];
    size_t end = at + read_name(span_skip(line, at), name, sizeof(name), &len);
    assert(len >= PREFIX_LEN); /* it begins so */
    struct span domain = {name + PREFIX_LEN, len - PREFIX_LEN};
    struct span place = {line.data + at, end - at};
    bool is_url = at >= 2 && memcmp(line.data + at - 2, "//", 2) == 0;
    bool goes = goes_on(line, end);
    if (domain.len > 1 && domain.data[domain.len - 1] == '.' && !goes)
        domain.len--;
    bool is_many = domain.len == 0 || domain.data[domain.len - 1] == '.' || (goes && !is_url);
    bool is_domain = !is_file(domain) && memchr(name + PREFIX_LEN, '.', domain.len) != NULL;
    if (before == '/' && !is_url) { /* a folder may be called so, and a file is none */
        if (!is_many && is_domain && byte_at(line, end) == '/' && found != IMPORT_COMMENT)
            tell(scan, IMPORT_COVERED, domain, place);
    } else if (is_many && found != IMPORT_COMMENT) {
        while (place.data + place.len < line.data + line.len && place.len < LIMIT_NAME &&
               !is_space(place.data[place.len]) && !is_one_of(place.data[place.len], ";\"'`"))
            place.len++;
        tell(scan, IMPORT_MANY, place, place);
    } else if (!is_many && (is_domain || found == IMPORT_HOST_NAME)) {
        tell(scan, found, domain, place);
    }
}

/* All that begin in the word, which is a part of the line. */
static void take_names(struct scan *scan, struct span line, struct span word,
                       enum import_found found)
{
    size_t begin = (size_t)(word.data - line.data);
    for (size_t i = begin; i < begin + word.len; i++) {
        char before = i == 0 ? ' ' : line.data[i - 1];
        struct span rest = span_skip(line, i);
        bool begins = span_begins_fold(rest, span_of("mta-sts.")) ||
                      span_begins_fold(rest, span_of("mta-sts\\."));
        if (begins && !is_host_byte(before) && !is_one_of(before, ".@"))
            take_name(scan, line, i, found);
    }
}

static bool has_policy_host(struct span word)
{
    return has(word, "mta-sts.") || has(word, "mta-sts\\.");
}

/* A word where a name of a host stands. */
static void judge_name(struct scan *scan, struct span word)
{
    struct section *section = &scan->section;
    bool is_catch_all = span_equal(word, span_of("_")) || span_equal(word, span_of("--")) ||
                        span_equal(word, span_of("_default_"));
    if (word.len == 0 || is_catch_all) {
        if (section->is_open && word.len > 0) {
            section->has_catch_all = true;
            section->place = word_at(scan, IMPORT_MANY, word);
        } else if (word.len > 0)
            tell(scan, IMPORT_MANY, word, word);
        return;
    }
    section->is_named = true;
    if (has_policy_host(word))
        return;
    if (word.data[0] == '~'         ? may_match(word)
        : has_one_of(word, "*?$%{") ? may_begin(word)
                                    : word.data[0] == '.') {
        tell(scan, IMPORT_MANY, word, word);
        struct span covered = span_skip(word, word.data[0] == '.' ? 1 : word.len > 2 ? 2 : 1);
        if ((word.data[0] == '.' || span_begins_fold(word, span_of("*."))) &&
            !has_one_of(covered, "*?$%{") && covered.len > 0)
            tell(scan, IMPORT_COVERED, covered, word);
    }
}

static void end_section(struct scan *scan)
{
    struct section *section = &scan->section;
    bool is_any = !section->is_named || section->has_catch_all;
    if (section->is_open && (is_any || (section->is_default && section->has_tls))) {
        section->place.found = is_any && section->has_tls ? IMPORT_MANY : IMPORT_DEFAULT;
        scan->take(scan->context, &section->place);
    }
    *section = (struct section){0};
}

/* The first word of a statement; rest is the line behind it. */
static void begin_statement(struct scan *scan, struct span word, struct span rest)
{
    while (rest.len > 0 && is_space(rest.data[0]))
        rest = span_skip(rest, 1);
    bool begins_section =
        span_equal_fold(word, span_of("<VirtualHost")) || span_equal(word, span_of("server{")) ||
        (span_equal(word, span_of("server")) && (rest.len == 0 || rest.data[0] == '{'));
    if (begins_section || span_equal_fold(word, span_of("</VirtualHost>")))
        end_section(scan);
    if (begins_section) {
        scan->section.is_open = true;
        scan->section.place = word_at(scan, IMPORT_MANY, word);
        scan->section.place.text.len = 0;
    }
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
        if (span_equal_fold(word, span_of(statements[i].word))) {
            scan->statement = statements[i].statement;
            scan->has_semicolon = statements[i].has_semicolon;
        }
    scan->section.has_tls = scan->section.has_tls || scan->statement == INCLUDE ||
                            span_equal_fold(word, span_of("Use"));
}

/* Whether certificates may be meant. */
static bool is_about_certificates(struct span text)
{
    static const char *const topics[] = {"cert", "crt", "ssl", "tls", "pem", "key"};
    bool found = false;
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
        found = found || has(text, topics[i]);
    return found;
}

static void take_path(struct scan *scan, struct span word)
{
    size_t begin = 0, len = 0;
    while (begin < word.len && word.data[begin] != '/')
        begin++;
    if (begin > 0 && !is_one_of(word.data[begin - 1], "\"'`=:(")) { /* relative */
        if (is_about_certificates(word) && is_file(word) && !has_one_of(word, "$*{%:"))
            tell(scan, IMPORT_PATH, word, word);
        return;
    }
    struct span path = span_skip(word, begin);
    while (len < path.len && !is_one_of(path.data[len], "\"'`)$*{%>"))
        len++;
    /* A variable or a star: any that is below the folder. */
    if (len < path.len && is_one_of(path.data[len], "$*{%"))
        while (len > 0 && path.data[len - 1] != '/')
            len--;
    path.len = len;
    bool is_deep = memchr(path.data + 1, '/', len > 1 ? len - 2 : 0) != NULL; /* not "/srv" */
    if (scan->is_about_certificates && len > 1 && path.data[1] != '/' &&
        (is_deep || is_about_certificates(path)))
        tell(scan, IMPORT_PATH, path, word);
}

static void take_word(struct scan *scan, struct span word)
{
    struct span inside = unquoted(word);
    struct section *section = &scan->section;
    section->has_tls =
        section->has_tls || has(word, "ssl") || has(word, "443") || has(word, "quic");
    section->is_named = section->is_named || has(word, "ssl_preread"); /* it reads no request */
    section->is_default =
        section->is_default || (scan->statement == LISTEN && has(word, "default"));
    if (scan->statement == NAMES)
        judge_name(scan, inside);
    if (scan->statement == INCLUDE && inside.len > 0)
        tell(scan, IMPORT_INCLUDE, inside, word);
    else
        take_path(scan, inside);
    take_names(scan, scan->line, word, scan->statement == NAMES ? IMPORT_HOST_NAME : IMPORT_NAME);
}

/* Where hosts are matched by an expression in the middle of a line: lighttpd, Traefik, HAProxy. */
static void judge_matches(struct scan *scan)
{
    static const struct {
        const char *before;
        const char *others; /* one of these must be in the line too, if it is not empty */
        bool is_literal;    /* only a variable makes it one of many */
    } matches[] = {
        {"$HTTP[\"host\"] =~", "", false}, {"$HTTP[\"host\"]=~", "", false},
        {"$HTTP[\"host\"] =$", "", false}, {"HostRegexp(", "", false},
        {"HostSNIRegexp(", "", false},     {"Host(", "", true},
        {"hdr_end(host", "", false},       {"hdr_reg(host", "", false},
        {"hdr_dom(host", "", false},       {"hdr_sub(host", "", false},
        {"hdr(host", " -m ", false},       {"ssl_fc_sni", " -m ", false},
        {"ssl_fc_sni_reg", "", false},     {"ssl_fc_sni_end", "", false},
    };
    bool is_exact = has(scan->line, " -m str") || has(scan->line, " -m beg") ||
                    has(scan->line, " -m found") || has_policy_host(scan->line);
    for (size_t i = 0; i < sizeof(matches) / sizeof(matches[0]) && !is_exact; i++) {
        size_t at = find(scan->line, matches[i].before);
        if (at == scan->line.len || !has(scan->line, matches[i].others))
            continue;
        struct span place = span_skip(scan->line, at);
        struct span regex = unquoted(span_skip(place, strlen(matches[i].before)));
        size_t caret = find(place, " ^");
        if (regex.data == place.data + strlen(matches[i].before) && caret < place.len)
            regex = span_skip(place, caret + 1);
        if (matches[i].is_literal ? has_one_of(regex, "${") : may_match(regex)) {
            tell(scan, IMPORT_MANY, place, place);
            return;
        }
    }
}

/* The addresses of a site of Caddy, which stand before the brace at the end of the line. */
static void judge_site(struct scan *scan, struct span word)
{
    struct span host = word;
    if (span_begins_fold(host, span_of("https://")))
        host = span_skip(host, strlen("https://"));
    bool is_any = host.len == 0 || (host.data[0] == ':' && ascii_is_digit(byte_at(host, 1)) &&
                                    !span_equal(host, span_of(":80")));
    if (span_begins_fold(host, span_of("*.")) && has_one_of(span_skip(host, 2), "."))
        judge_name(scan, host);
    else if (is_any || span_begins_fold(host, span_of("{$")))
        tell(scan, IMPORT_MANY, word, word);
}

/* Takes the next word off the rest of the line; false at its end. */
static bool next_word(struct span *rest, struct span *ret_word)
{
    size_t len = 0;
    while (rest->len > 0 &&
           (is_space(rest->data[0]) || rest->data[0] == ',' || rest->data[0] == ';'))
        *rest = span_skip(*rest, 1);
    while (len < rest->len && !is_space(rest->data[len]) && !is_one_of(rest->data[len], ",;"))
        len++;
    *ret_word = (struct span){rest->data, len};
    *rest = span_skip(*rest, len);
    return len > 0;
}

static void scan_line(struct scan *scan)
{
    struct span rest = scan->line, word, first = {0};
    size_t len = rest.len;
    while (len > 0 && is_space(rest.data[len - 1]))
        len--;
    bool is_site = len > 1 && rest.data[len - 1] == '{' && is_space(rest.data[len - 2]);
    bool is_continued = len > 0 && rest.data[len - 1] == '\\';
    while (next_word(&rest, &word)) {
        bool is_brace = word.len == 1 && is_one_of(word.data[0], "{}");
        if (first.data == NULL)
            first = word;
        if (is_brace || (scan->statement != OTHER && word.len == 1 && word.data[0] == '\\')) {
            scan->statement = is_brace ? OTHER : scan->statement;
            is_site = false;
            first = (struct span){0};
        } else if (first.data == word.data && scan->statement == OTHER) {
            begin_statement(scan, word, rest);
            if (is_site && is_one_of(word.data[0], "*:{h"))
                judge_site(scan, word);
            if (scan->statement == OTHER)
                take_word(scan, word);
        } else {
            if (is_site && scan->statement == OTHER && is_one_of(first.data[0], "*:{h"))
                judge_site(scan, word);
            take_word(scan, word);
        }
        if (byte_at(rest, 0) == ';') {
            scan->statement = OTHER;
            first = (struct span){0};
        }
    }
    judge_matches(scan);
    if (!is_continued && !(scan->statement != OTHER && scan->has_semicolon))
        scan->statement = OTHER;
}

/* Where the comment begins, or the length of the line. A number sign inside of quotes that end in
 * the line begins none. */
static size_t comment_of(struct span line)
{
    char quote = '\0';
    size_t hidden = line.len; /* a number sign behind a quote that may have no end */
    for (size_t i = 0; i < line.len; i++) {
        char byte = line.data[i], before = i == 0 ? ' ' : line.data[i - 1];
        bool is_mark = byte == '#' && (is_space(before) || is_one_of(before, ";{}"));
        if (quote == '\0' && is_mark)
            return i;
        if (is_mark && hidden == line.len)
            hidden = i;
        if (quote != '\0' && byte == '\\')
            i++;
        else if (byte == quote)
            quote = '\0', hidden = line.len;
        else if (quote == '\0' && is_one_of(byte, "\"'`") &&
                 (is_space(before) || is_one_of(before, "=({,[:")))
            quote = byte;
    }
    return quote == '\0' ? line.len : hidden;
}

void import_scan(struct span bytes, import_take *take, void *context)
{
    struct scan scan = {.take = take, .context = context};
    while (bytes.len > 0) {
        struct span line = span_take_line(&bytes);
        scan.number++;
        scan.line = line;
        scan.line.len = comment_of(line);
        scan.is_about_certificates = is_about_certificates(scan.line);
        scan_line(&scan);
        take_names(&scan, line, span_skip(line, scan.line.len), IMPORT_COMMENT);
    }
    end_section(&scan);
}
