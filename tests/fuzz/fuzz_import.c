/*
 * Any bytes as the configuration of a web server, and as the answer of each host
 * that is named in it: whatever is in them, what is written is YAML that has the
 * domains which it claims to have, each with a sound policy, and nothing else.
 * The files that it includes are those of the input.
 */
#include <assert.h>

#include "configuration/document.h"
#include "files.h"
#include "fuzz.h"
#include "import/import.h"

static const struct node *member(const struct node *mapping, const char *key)
{
    for (size_t i = 0; i < mapping->count; i++)
        if (span_equal(mapping->pairs[i].key->text, span_of(key)))
            return mapping->pairs[i].value;
    return NULL;
}

/* The keys that are there, and no others: nothing in the input could add one. */
static void check_yaml(const struct node *root, size_t domain_count)
{
    assert(root != NULL && root->kind == NODE_MAPPING);
    const struct node *policies = member(root, "policies"), *domains = member(root, "domains");
    const struct node *certificates = member(root, "certificates");
    size_t known = 1 + (policies == NULL ? 0U : 1U) + (certificates == NULL ? 0U : 1U);
    assert(domains != NULL && root->count == known);
    assert(certificates == NULL || certificates->kind == NODE_SEQUENCE);
    assert((domains->null ? 0 : domains->count) == domain_count);
    for (size_t i = 0; !domains->null && i < domains->count; i++)
        assert(domains->pairs[i].first == NULL);
}

static void check_json(const struct node *root, size_t domain_count)
{
    assert(root != NULL && root->kind == NODE_MAPPING && root->count == 3);
    const struct node *domains = member(root, "domains");
    assert(domains != NULL && domains->kind == NODE_SEQUENCE && domains->count >= domain_count);
}

static void check_output(struct import *import, bool json,
                         void (*check)(const struct node *root, size_t domain_count))
{
    size_t domain_count = 0;
    struct text out = {0}, said = {0};
    struct diag *diag = diag_new();
    struct arena *arena = arena_new();
    const struct command_line *before = import->line;
    struct command_line line = *before;
    line.json = json;
    import->line = &line;
    import_write(import, &out, &said);
    import->line = before;
    assert(arena != NULL && diag != NULL && !out.failed && !said.failed);
    for (size_t i = 0; i < import->count; i++)
        domain_count += import->hosts[i].policy == NULL ? 0 : 1;
    check(document_parse(arena, (struct span){out.data, out.len}, "out", DIAG_FATAL, diag, NULL,
                         NULL),
          domain_count);
    text_free(&said);
    text_free(&out);
    arena_free(arena);
    diag_free(diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *const path = "/f/site.conf";
    const struct command_line line = {.search = {{path}, 1}};
    struct import import = {.line = &line, .diag = diag_new(), .arena = arena_new()};
    files_begin();
    files_add_all(path, "/f", (struct span){(const char *)data, size});
    import_search(&import, &path, 1, false);
    files_end();
    for (size_t i = 0; i < import.count && i < 16; i++) {
        import.hosts[i].bytes = (struct span){(const char *)data, size};
        import_inspect(&import, &import.hosts[i], "answer");
    }
    for (size_t i = 0; i < import.searched.count; i++)
        import_add_path(&import, &import.certificates, import.searched.items[i]);
    check_output(&import, false, check_yaml);
    check_output(&import, true, check_json);
    import_free(&import);
    return 0;
}
