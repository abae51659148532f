#include "command/import_apache.h"

#include <string.h>

#include "command/import_apache_syntax.h"

/* A virtual host, and what holds outside of all of them. The main server is both. */
struct server {
    struct import_files *files;
    const struct directive *host;
    const struct directive *main;
};

static const struct directive *find(const struct server *server, const char *name)
{
    const struct directive *found = directive_find(server->host, NULL, name);
    return found != NULL ? found : directive_find(server->main, NULL, name);
}

static struct import_answer file_answer(const struct server *server,
                                        const struct directive *directive, struct span folder,
                                        struct span rest)
{
    struct position at = directive->words[0].at;
    const char *path = import_format(server->files, "%.*s%.*s", (int)folder.len, folder.data,
                                     (int)rest.len, rest.data);
    if (strstr(path, "${") != NULL)
        return import_problem(
            at, import_format(server->files, "\"%s\" has a variable that is not known here", path),
            "it is defined neither here nor in what is included",
            "import the policy from where it is: DOMAIN=FILE");
    return (struct import_answer){
        .kind = IMPORT_FILE,
        .at = at,
        .path = import_files_resolve(server->files, span_of(path)),
    };
}

/* "Redirect [STATUS] PATH [URL]" and "RedirectMatch [STATUS] REGEX [URL]". False when it is about
 * another path. */
static bool redirected(const struct server *server, const struct directive *directive,
                       bool is_regex, struct import_answer *ret_answer)
{
    struct span first = directive_word(directive, 1);
    bool has_status = directive->count > 2 && first.len > 0 && first.data[0] != '/' &&
                      first.data[0] != '^' && first.data[0] != '(';
    size_t index = has_status ? 2 : 1;
    if (index >= directive->count)
        return false;
    if (is_regex ? !import_matches(server->files, &directive->words[index], false)
                 : !path_begins(span_of(IMPORT_PATH), directive->words[index].text))
        return false;
    *ret_answer = import_redirect(server->files, directive->words[0].at,
                                  directive_word(directive, index + 1));
    return true;
}

/* A rule without a condition that takes the path elsewhere. */
static bool rewritten(const struct server *server, struct import_answer *ret_answer)
{
    bool conditional = false;
    const struct directive *one = server->host->first;
    for (; one != NULL; one = one->next) {
        struct span name = one->words[0].text;
        if (span_equal_fold(name, span_of("RewriteCond")))
            conditional = true;
        if (!span_equal_fold(name, span_of("RewriteRule")) || one->count < 3)
            continue;
        struct span target = directive_word(one, 2);
        if (!conditional && !span_equal(target, span_of("-")) &&
            import_matches(server->files, &one->words[1], false)) {
            *ret_answer =
                memmem(target.data, target.len, "://", 3) != NULL
                    ? import_redirect(server->files, one->words[0].at, target)
                    : import_problem(one->words[0].at, "a rewrite takes the policy from elsewhere",
                                     "rewrites are not followed",
                                     "import the policy from where it is: DOMAIN=FILE, "
                                     "or --url HOST");
            return true;
        }
        conditional = false;
    }
    return false;
}

/* "Alias PATH FILE" and "AliasMatch REGEX FILE". False when it is about another path. */
static bool aliased(const struct server *server, const struct directive *directive,
                    struct import_answer *ret_answer)
{
    struct span name = directive->words[0].text, path = directive_word(directive, 1);
    struct span target = directive_word(directive, 2), whole = span_of(IMPORT_PATH);
    if (directive->count < 3)
        return false;
    if (span_equal_fold(name, span_of("AliasMatch"))) {
        if (!import_matches(server->files, &directive->words[1], false))
            return false;
        if (memchr(target.data, '$', target.len) != NULL)
            *ret_answer = import_problem(
                directive->words[0].at, "AliasMatch takes parts of the path over",
                "that is not followed", "import the policy from where it is: DOMAIN=FILE");
        else
            *ret_answer = file_answer(server, directive, target, span_of(""));
        return true;
    }
    if (!path_begins(whole, path))
        return false;
    if (span_equal_fold(name, span_of("ScriptAlias")))
        *ret_answer = import_proxied(directive->words[0].at);
    else
        *ret_answer = file_answer(server, directive, target, span_skip(whole, path.len));
    return true;
}

/* What one directive makes of the path; false when nothing. */
static bool decide(const struct server *server, const struct directive *one, bool redirects,
                   struct import_answer *ret_answer)
{
    struct span name = one->words[0].text;
    if (span_equal_fold(name, span_of("Redirect")) ||
        span_equal_fold(name, span_of("RedirectPermanent")) ||
        span_equal_fold(name, span_of("RedirectTemp")))
        return redirects && redirected(server, one, false, ret_answer);
    if (span_equal_fold(name, span_of("RedirectMatch")))
        return redirects && redirected(server, one, true, ret_answer);
    if (redirects)
        return false;
    if (span_equal_fold(name, span_of("Alias")) || span_equal_fold(name, span_of("AliasMatch")) ||
        span_equal_fold(name, span_of("ScriptAlias")))
        return aliased(server, one, ret_answer);
    if (span_equal_fold(name, span_of("ProxyPass")) && one->count >= 3 &&
        !span_equal(one->words[2].text, span_of("!")) &&
        path_begins(span_of(IMPORT_PATH), one->words[1].text)) {
        *ret_answer = import_proxied(one->words[0].at);
        return true;
    }
    return false;
}

/* In <Location PATH> these directives have no path of their own. */
static bool decide_location(const struct server *server, const struct directive *location,
                            struct import_answer *ret_answer)
{
    const struct directive *found = NULL;
    if (!location->is_block || !span_equal_fold(location->words[0].text, span_of("Location")) ||
        !path_begins(span_of(IMPORT_PATH), directive_word(location, 1)))
        return false;
    if ((found = directive_find(location, NULL, "Redirect")) != NULL)
        *ret_answer = import_redirect(server->files, found->words[0].at,
                                      directive_word(found, found->count - 1));
    else if ((found = directive_find(location, NULL, "ProxyPass")) != NULL)
        *ret_answer = import_proxied(found->words[0].at);
    else if ((found = directive_find(location, NULL, "Alias")) != NULL && found->count == 2)
        *ret_answer = file_answer(server, found, found->words[1].text,
                                  span_skip(span_of(IMPORT_PATH), directive_word(location, 1).len));
    else
        return false;
    return true;
}

/* In Apache's order: rewrites, then redirects, then aliases, then the document root; of each kind the
 * first that is about the path. */
static struct import_answer answer(const struct server *server)
{
    struct import_answer found;
    const struct directive *blocks[] = {server->host, server->main};
    if (rewritten(server, &found))
        return found;
    for (int redirects = 1; redirects >= 0; redirects--)
        for (size_t i = 0; i < (server->host == server->main ? 1 : 2); i++)
            for (const struct directive *one = blocks[i]->first; one != NULL; one = one->next)
                if (decide(server, one, redirects == 1, &found) ||
                    (redirects == 0 && decide_location(server, one, &found)))
                    return found;
    const struct directive *root = find(server, "DocumentRoot");
    if (root == NULL)
        return import_problem(server->host->words[0].at, "no DocumentRoot says where the policy is",
                              NULL,
                              "import the policy from where it is: DOMAIN=FILE, or --url HOST");
    return file_answer(server, root, directive_word(root, 1), span_of(IMPORT_PATH));
}

static bool is_tls(const struct server *server)
{
    const struct directive *engine = find(server, "SSLEngine");
    if (engine != NULL)
        return !span_equal_fold(directive_word(engine, 1), span_of("off"));
    if (directive_find(server->host, NULL, "SSLCertificateFile") != NULL)
        return true;
    for (size_t i = 1; i < server->host->count; i++) {
        struct span address = server->host->words[i].text, port = span_of(":443");
        if (address.len > port.len && span_equal(span_skip(address, address.len - port.len), port))
            return true;
    }
    return false;
}

static const struct import_path *find_certificates(const struct server *server)
{
    static const char *const names[] = {"SSLCertificateChainFile", "SSLCertificateKeyFile",
                                        "SSLCertificateFile"};
    const struct import_path *list = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct directive *one = NULL;
        const struct directive *block =
            directive_find(server->host, NULL, names[i]) != NULL ? server->host : server->main;
        while ((one = directive_find(block, one, names[i])) != NULL) {
            struct span path = directive_word(one, 1);
            if (path.len > 0 && memmem(path.data, path.len, "${", 2) == NULL) {
                list = import_path_add(server->files, path, list);
                continue;
            }
            diag_add(server->files->diag, DIAG_WARNING, one->words[0].at, "%s does not name a file",
                     names[i]);
            diag_hint(server->files->diag, "add the file to \"certificates:\"");
        }
    }
    return list;
}

/* "https://mta-sts.example.com:443" is a server's name too. */
static struct span strip_name(struct span name)
{
    const char *slashes = memmem(name.data, name.len, "://", 3);
    if (slashes != NULL)
        name = span_skip(name, (size_t)(slashes - name.data) + 3);
    const char *colon = name.len == 0 ? NULL : memchr(name.data, ':', name.len);
    if (colon != NULL)
        name.len = (size_t)(colon - name.data);
    return name;
}

static void read_name(struct import_hosts *hosts, const struct server *server,
                      const struct word *word)
{
    struct span name = strip_name(word->text);
    if (!import_is_host(name))
        return;
    if (memchr(name.data, '*', name.len) != NULL || memchr(name.data, '?', name.len) != NULL) {
        import_hosts_report_pattern(hosts, word);
        return;
    }
    struct import_host host = {
        .at = word->at,
        .is_tls = is_tls(server),
        .answer = answer(server),
        .certificates = find_certificates(server),
    };
    import_hosts_add(hosts, name, host);
}

static void read_server(struct import_hosts *hosts, const struct server *server)
{
    const struct directive *one = directive_find(server->host, NULL, "ServerName");
    if (one != NULL && one->count > 1)
        read_name(hosts, server, &one->words[1]);
    one = NULL;
    while ((one = directive_find(server->host, one, "ServerAlias")) != NULL)
        for (size_t i = 1; i < one->count; i++)
            read_name(hosts, server, &one->words[i]);
}

void import_apache_tree(struct import_hosts *hosts, const struct directive *root)
{
    const struct directive *one = NULL;
    struct server server = {hosts->files, root, root};
    read_server(hosts, &server);
    while ((one = directive_find(root, one, "VirtualHost")) != NULL) {
        server.host = one;
        read_server(hosts, &server);
    }
    while ((one = directive_find(root, one, "Use")) != NULL) {
        diag_add(hosts->files->diag, DIAG_WARNING, one->words[0].at, "the macro %s is not followed",
                 directive_word(one, 1).data);
        diag_hint(hosts->files->diag,
                  "if it makes a virtual host named mta-sts.*, import its policy "
                  "by DOMAIN=FILE");
    }
}

void import_apache(struct import_hosts *hosts, const char *path)
{
    static const struct word name = {.text = {"", 0}};
    struct directive root = {.words = &name, .count = 1, .is_block = true};
    import_files_parse(hosts->files, path, (struct position){0}, import_apache_parse, &root);
    import_apache_tree(hosts, &root);
}
