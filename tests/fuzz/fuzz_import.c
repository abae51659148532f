/*
 * Any bytes as a configuration of nginx, and of Apache: whatever is in them,
 * what is written is YAML that has the domains which it claims to have, each
 * with a sound policy, and nothing else. Files that it names are looked for
 * below a folder that is not there.
 */
#include <assert.h>
#include <stdlib.h>

#include "command/import_apache.h"
#include "command/import_apache_syntax.h"
#include "command/import_nginx.h"
#include "command/import_nginx_syntax.h"
#include "command/import_write.h"
#include "files.h"
#include "fuzz.h"
#include "load/document.h"

static const struct node *member(const struct node *mapping, const char *key)
{
    for (size_t i = 0; i < mapping->count; i++)
        if (span_equal(mapping->pairs[i].key->text, span_of(key)))
            return mapping->pairs[i].value;
    return NULL;
}

/* The keys that are there, and no others: nothing in the input could add one. */
static void check_root(const struct node *root, const struct import_sum *sum)
{
    assert(root != NULL && root->kind == NODE_MAPPING);
    const struct node *policies = member(root, "policies"), *domains = member(root, "domains");
    const struct node *certificates = member(root, "certificates");
    size_t known = 1 + (policies == NULL ? 0U : 1U) + (certificates == NULL ? 0U : 1U);
    assert(domains != NULL && root->count == known);
    assert(certificates == NULL || certificates->kind == NODE_SEQUENCE);
    assert((policies == NULL ? 0 : policies->count) == sum->policies);
    assert((domains->null ? 0 : domains->count) == sum->domains);
    for (size_t i = 0; !domains->null && i < domains->count; i++)
        assert(domains->pairs[i].first == NULL);
}

static void check_output(const struct import_hosts *hosts, struct diag *diag)
{
    struct text out = {0};
    struct arena *arena = arena_new();
    struct import_sum sum = import_write(hosts, &out);
    assert(arena != NULL && !out.failed && sum.domains + sum.open == hosts->count);
    check_root(document_parse(arena, (struct span){out.data, out.len}, "out", DIAG_FATAL, diag),
               &sum);
    text_free(&out);
    arena_free(arena);
}

static void import(struct span bytes, import_parse *parse,
                   void (*take)(struct import_hosts *hosts, const struct directive *root))
{
    static const struct word name = {.text = {"", 0}};
    struct directive root = {.words = &name, .count = 1, .is_block = true};
    struct diag *diag = diag_new();
    struct import_files files;
    assert(diag != NULL && import_files_begin(&files, "/nonexistent", diag));
    struct import_hosts hosts = {.files = &files};
    parse(&files, bytes, diag_intern(diag, span_of("f")), &root);
    take(&hosts, &root);
    import_hosts_read(&hosts);
    assert(!files.shortage);
    check_output(&hosts, diag);
    import_hosts_free(&hosts);
    import_files_free(&files);
    diag_free(diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = {(const char *)data, size};
    files_begin();
    import(bytes, import_nginx_parse, import_nginx_tree);
    import(bytes, import_apache_parse, import_apache_tree);
    files_end();
    return 0;
}
