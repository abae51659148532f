/* What the import takes for names of hosts in the files of web servers; each input ends at a guard page. */
#include "import/import.h"

#include <stdio.h>

#include "base/text.h"
#include "unit.h"

static void note(void *context, const struct import_word *word)
{
    static const char *const kinds[] = {"name", "host",    "covered", "comment",
                                        "MANY", "default", "path",    "include"};
    text_printf(context, "%s%u:%u %s %.*s", ((struct text *)context)->len == 0 ? "" : ", ",
                (unsigned)word->line, (unsigned)word->column, kinds[word->found],
                (int)word->text.len, word->text.data);
}

struct row {
    const char *bytes, *found;
};

static void find(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct text found = {0};
        struct span bytes = guard_copy(span_of(rows[i].bytes));
        text_append(&found, span_of(""));
        import_scan(bytes, note, &found);
        assert_string_equal(found.data, rows[i].found);
        guard_free(bytes);
        text_free(&found);
    }
}

static void finds_names(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", ""},
        /* A word, whatever is around it; with an escape, as expressions have it. */
        {"x mta-sts.a.example;", "1:3 name a.example"},
        {"(MTA-STS.A.Example)", "1:2 name A.Example"},
        {"'^mta-sts\\.a\\.example$'", "1:3 name a.example"},
        {"^(mta-sts\\.a\\.example|mta-sts\\.b\\.example)$",
         "1:3 name a.example, 1:23 name b.example"},
        {"\"mta-sts.a.example\",\"mta-sts.b.example:443\"",
         "1:2 name a.example, 1:22 name b.example"},
        {"https://mta-sts.a.example$request_uri https://mta-sts.b.example/x",
         "1:9 name a.example, 1:47 name b.example"},
        {"see mta-sts.a.example.", "1:5 name a.example"},
        /* Files are no hosts; a folder may be. */
        {"/.well-known/mta-sts.txt mta-sts.a.example.conf /x/mta-sts.a.example.txt", ""},
        {"x /live/mta-sts.a.example/x;", "1:9 covered a.example"},
        /* Nor are parts of other names. */
        {"_mta-sts.a.example www.mta-sts.a.example x@mta-sts.a.example mta-sts", ""},
        /* What begins so and goes on with something else stands for many. */
        {"mta-sts.* mta-sts.$d mta-sts.a.$tld \"mta-sts.\"",
         "1:1 MANY mta-sts.*, 1:11 MANY mta-sts.$d, 1:22 MANY mta-sts.a.$tld, 1:38 MANY mta-sts."},
        {"~^mta-sts\\.(.+)$", "1:3 MANY mta-sts\\.(.+)$"},
        /* Comments, and number signs that begin none. */
        {"a #mta-sts.a.example", "1:4 comment a.example"},
        {"a#b \"c # d\" mta-sts.a.example", "1:13 name a.example"},
        {"it's # mta-sts.a.example", "1:8 comment a.example"},
        {"x 'open # mta-sts.a.example", "1:11 comment a.example"},
    };
    find(rows, COUNT(rows));
}

static void finds_what_stands_for_many(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* nginx: names up to the semicolon, and virtual hosts without one. */
        {"server_name a.example\n  *.b.example .c.example www.* ~^www\\. ~^(.+)\\.d$;\nx *.e.example;",
         "2:3 MANY *.b.example, 2:3 covered b.example, 2:15 MANY .c.example, 2:15 covered c.example, "
         "2:40 MANY ~^(.+)\\.d$"},
        {"server { listen 443 ssl; }", "1:1 MANY "},
        {"server\n{ listen 80; server_name _; }", "2:26 default _"},
        {"server { listen 443 ssl; server_name _; }", "1:38 MANY _"},
        {"server { listen 443 default_server; server_name a.example; }", "1:1 default "},
        {"server { listen 443; ssl_preread on; }", ""},
        {"upstream x { server 127.0.0.1:443; }", ""},
        /* Apache: names up to the end of the line. */
        {"<virtualhost *:443>\nservername ${X}\n</virtualhost>\nServerAlias a.example \\\n *.a.example",
         "2:12 MANY ${X}, 5:2 MANY *.a.example, 5:2 covered a.example"},
        {"<VirtualHost *:80>\n</VirtualHost>", "1:1 default "},
        {"VirtualDocumentRoot /srv/%0", "1:21 MANY /srv/%0"},
        /* Caddy: the addresses of a site. */
        {"*.a.example, b.example {\n}\n:443 {\n}\n:80 {\n}\n:root {\n}\n*.css {",
         "1:1 MANY *.a.example, 1:1 covered a.example, 3:1 MANY :443"},
        /* lighttpd, Traefik, HAProxy. */
        {"$HTTP[\"host\"] =~ \"^www\\.\" {", ""},
        {"rule: HostRegexp(`.+`) || PathPrefix(`/x`)",
         "1:7 MANY HostRegexp(`.+`) || PathPrefix(`/x`)"},
        {"rule: Host(`${X}`)", "1:7 MANY Host(`${X}`)"},
        {"acl x hdr_end(host) a.example", "1:7 MANY hdr_end(host) a.example"},
        {"acl x hdr_reg(host) ^www\\.", ""},
        {"acl x hdr(host) -m str a.example", ""},
        /* Where certificates and more files are. */
        {"ssl_certificate /a/b/$x.pem; include b/*.conf;\nSSLCertificateFile c.crt\nroot /srv/x;",
         "1:17 path /a/b/, 1:38 include b/*.conf, 2:20 path c.crt"},
    };
    find(rows, COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_names),
        cmocka_unit_test(finds_what_stands_for_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
