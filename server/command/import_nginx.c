#include "command/import_nginx.h"

#include <string.h>

#include "command/import_nginx_answer.h"
#include "command/import_nginx_syntax.h"

static bool is_tls(const struct directive *server)
{
    const struct directive *one = directive_find(server, NULL, "ssl");
    if (one != NULL && span_equal(directive_word(one, 1), span_of("on")))
        return true;
    one = NULL;
    while ((one = directive_find(server, one, "listen")) != NULL)
        for (size_t i = 2; i < one->count; i++)
            if (span_equal(one->words[i].text, span_of("ssl")) ||
                span_equal(one->words[i].text, span_of("quic")))
                return true;
    return false;
}

/* The certificates and keys that hold for the server. */
static const struct import_path *find_certificates(struct nginx_question *question)
{
    static const char *const names[] = {"ssl_certificate_key", "ssl_certificate"};
    const struct import_path *list = NULL;
    struct diag *diag = question->files->diag;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t depth = question->scope.depth;
        while (depth > 0 &&
               directive_find(question->scope.blocks[depth - 1], NULL, names[i]) == NULL)
            depth--;
        const struct directive *one = NULL;
        while (depth > 0 &&
               (one = directive_find(question->scope.blocks[depth - 1], one, names[i])) != NULL) {
            struct span path = import_nginx_expand(question, directive_word(one, 1));
            bool is_file = path.data != NULL && path.len > 0 &&
                           !span_begins_fold(path, span_of("data:")) &&
                           !span_begins_fold(path, span_of("engine:"));
            if (is_file) {
                list = import_path_add(question->files, path, list);
                continue;
            }
            diag_add(diag, DIAG_WARNING, one->words[0].at, "%s does not name a file", names[i]);
            diag_hint(diag, "add the file to \"certificates:\"");
        }
    }
    return list;
}

static void read_server(struct import_hosts *hosts, const struct nginx_scope *outer,
                        const struct directive *server)
{
    const struct directive *names = NULL;
    while ((names = directive_find(server, names, "server_name")) != NULL)
        for (size_t i = 1; i < names->count; i++) {
            const struct word *name = &names->words[i];
            struct nginx_question question = {hosts->files, name->text.data, *outer};
            nginx_enter(&question.scope, server);
            if (name->text.len > 0 && name->text.data[0] == '~') {
                if (memmem(name->text.data, name->text.len, "mta-sts", 7) != NULL)
                    import_hosts_report_pattern(hosts, name);
                continue;
            }
            if (!import_is_host(name->text))
                continue;
            if (memchr(name->text.data, '*', name->text.len) != NULL) {
                import_hosts_report_pattern(hosts, name);
                continue;
            }
            struct import_host host = {
                .at = name->at,
                .is_tls = is_tls(server),
                .certificates = find_certificates(&question),
            };
            host.answer = import_nginx_answer(&question);
            import_hosts_add(hosts, name->text, host);
        }
}

static void read_servers(struct import_hosts *hosts, const struct directive *block,
                         const struct nginx_scope *outer)
{
    struct nginx_scope scope = *outer;
    nginx_enter(&scope, block);
    for (const struct directive *one = block->first; one != NULL; one = one->next) {
        if (!one->is_block)
            continue;
        if (span_equal(one->words[0].text, span_of("http")))
            read_servers(hosts, one, &scope);
        else if (span_equal(one->words[0].text, span_of("server")))
            read_server(hosts, &scope, one);
    }
}

void import_nginx_tree(struct import_hosts *hosts, const struct directive *root)
{
    const struct nginx_scope scope = {.depth = 0};
    read_servers(hosts, root, &scope);
}

void import_nginx(struct import_hosts *hosts, const char *path)
{
    static const struct word name = {.text = {"", 0}};
    struct directive root = {.words = &name, .count = 1, .is_block = true};
    import_files_parse(hosts->files, path, (struct position){0}, import_nginx_parse, &root);
    import_nginx_tree(hosts, &root);
}
