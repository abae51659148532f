#include "configuration/sources.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/table.h"
#include "base/text.h"
#include "configuration/document.h"
#include "files/file.h"
#include "files/include.h"

void sources_free(struct sources *sources)
{
    table_free(&sources->by_file);
    free(sources->items);
}

const char *sources_resolve(struct sources *sources, const char *naming_file, const char *path)
{
    const char *slash = strrchr(naming_file, '/');
    if (path[0] == '/' || slash == NULL)
        return path;
    return arena_printf(sources->arena, "%.*s%s", (int)(slash - naming_file) + 1, naming_file,
                        path);
}

TABLE_KEY(file_key, struct source_file, span_of(item->path));

static size_t find_source(const struct sources *sources, struct span file)
{
    return table_find(&sources->by_file, file, file_key, sources->items);
}

/* The new source, or NULL when it is there already. Valid until the next call. */
static struct source_file *add_source(struct sources *sources, struct span path)
{
    const char *file = diag_intern(sources->diag, path);
    if (find_source(sources, span_of(file)) != TABLE_NONE)
        return NULL;
    array_room(&sources->items, sources->count, sizeof(struct source_file));
    table_add(&sources->by_file, span_of(file), sources->count);
    sources->items[sources->count] = (struct source_file){.path = file};
    return &sources->items[sources->count++];
}

static bool is_main(const struct sources *sources, const char *file)
{
    return sources->items[0].path == file;
}

/* What to do about a file that is not there: a link to nowhere is named with its target. */
static void explain_absence(struct sources *sources, const char *file)
{
    char target[PATH_MAX];
    ssize_t len = readlink(file, target, sizeof(target) - 1);
    if (len > 0) {
        target[len] = '\0';
        diag_reason(sources->diag, "it is a link to %s, which is not there", target);
        diag_hint(sources->diag, "make the link again, or remove it");
    } else if (is_main(sources, file)) {
        diag_hint(sources->diag, "write it, or name another with \"-c FILE\"");
    } else {
        diag_hint(sources->diag, "write it, or correct what \"include:\" says");
    }
}

/* What the file holds. False after a fault, which was reported. */
static bool read_bytes(struct sources *sources, const char *file, enum diag_level level,
                       struct text *ret_bytes)
{
    if (sources->extra != NULL) {
        text_append(ret_bytes, heap_text(sources->extra));
        return true;
    }
    /* The path of the main file is the operator's own word. */
    if (is_main(sources, file) ? file_read_named(file, LIMIT_YAML_FILE, ret_bytes)
                               : file_read(file, LIMIT_INCLUDE_FILE, ret_bytes))
        return true;
    int reason = errno;
    if (reason == ENOMEM)
        heap_end();
    diag_add(sources->diag, level, (struct position){.file = file}, "cannot be read: %s",
             file_error(reason));
    if (file_hint_hidden(file, sources->diag))
        return false;
    if (reason == EFBIG && !is_main(sources, file))
        diag_hint(sources->diag, "split it: an included file has at most %d MiB",
                  LIMIT_INCLUDE_FILE / 1024 / 1024);
    if (reason == ENOENT)
        explain_absence(sources, file);
    return false;
}

/* A policy in the form in which it is served, which people take for a configuration. */
static bool is_served_policy(const struct node *root)
{
    for (size_t i = 0; root->kind == NODE_MAPPING && i < root->count; i++)
        if (span_equal_fold(root->pairs[i].key->text, span_of("version")))
            return true;
    return root->kind == NODE_SCALAR && span_begins_fold(root->text, span_of("version")) &&
           memmem(root->text.data, root->text.len, "STSv1", 5) != NULL;
}

/* The root mapping of a file; NULL after a fault, which was reported at the level. */
static const struct node *read_mapping(struct sources *sources, const char *file,
                                       enum diag_level level)
{
    struct text bytes = {0};
    const struct node *root = NULL;
    if (read_bytes(sources, file, level, &bytes))
        root =
            document_parse(sources->arena, heap_text(&bytes), file, level, sources->diag,
                           is_main(sources, file) ? NULL : &document_included, sources->progress);
    text_free(&bytes);
    if (root != NULL && is_served_policy(root)) {
        diag_add(sources->diag, level, root->at,
                 "this is a policy as it is served (mta-sts.txt), not a configuration");
        diag_hint(sources->diag,
                  "\"mta-sts-httpd import example.com=FILE\" makes a configuration of it");
        return NULL;
    }
    if (root == NULL || root->kind == NODE_MAPPING || (root->null && level != DIAG_FATAL))
        return root;
    diag_add(sources->diag, level, root->at,
             root->null ? "the file is empty" : "the file must be a mapping from keys to values");
    diag_hint(sources->diag, "see the example that came with the program");
    return NULL;
}

/* What is found instead of a file. A folder that cannot be searched hides its files, and a folder in
 * the place of a file is one without a domain. */
static void read_folder(struct sources *sources, const char *path, int error)
{
    struct span name = span_of(path);
    name.len -= error == EISDIR ? 1 : 0; /* the slash at its end */
    struct source_file *source = add_source(sources, name);
    if (source == NULL)
        return;
    struct position at = {.file = source->path};
    source->kind = error == EISDIR ? SOURCE_BARE : SOURCE_HIDING;
    if (error == EISDIR && sources->include_is_pattern) {
        diag_add(sources->diag, DIAG_NOTE, at, "is a folder, which is not read");
        return;
    }
    if (error == EISDIR) {
        diag_add(sources->diag, DIAG_ERROR, sources->include->at, "include \"%s\" is a folder",
                 sources->include->text.data);
        diag_hint(sources->diag, "write \"%s*.yaml\"", path);
        return;
    }
    sources->hiding_count++;
    diag_add(sources->diag, DIAG_ERROR, at, "cannot be searched: %s", file_error(error));
    diag_reason(sources->diag, "domains of files in it keep their last valid policies");
    (void)file_hint_hidden(path, sources->diag); /* else its rights are the administrator's */
}

/* What is named relative to the main file is so, wherever that lies and however it is named. */
static const char *name_of(const struct sources *sources, const char *path)
{
    const char *first = sources->items[0].path, *slash = strrchr(first, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - first) + 1;
    bool is_absolute = sources->include != NULL && sources->include->text.data[0] == '/';
    return !is_absolute && strncmp(path, first, len) == 0 ? path + len : path;
}

static void read_dropin(void *context, const char *path, int error)
{
    struct sources *sources = context;
    struct root_nodes nodes = {0};
    sources->found_count++;
    if (error != 0) {
        read_folder(sources, path, error);
        return;
    }
    struct source_file *source = add_source(sources, span_of(path));
    if (source == NULL)
        return;
    progress_make(sources->progress, PROGRESS_GOES_ON);
    diag_limit(sources->diag, source->path, LIMIT_INCLUDE_DIAGNOSTICS);
    const struct node *root = read_mapping(sources, source->path, DIAG_ERROR);
    if (root == NULL) {
        source->kind = SOURCE_BROKEN;
        return;
    }
    bool sound = root->null || schema_read(&schema_dropin, root, &nodes, DIAG_ERROR, sources->diag);
    bool named = draft_add_file(sources->draft, name_of(sources, source->path), nodes.policies,
                                nodes.domains, sound);
    if (!sound || !named)
        source->kind = SOURCE_BROKEN;
    else if (nodes.domains == NULL || nodes.domains->count == 0)
        source->kind = SOURCE_BARE;
    if (source->kind == SOURCE_BARE)
        diag_add(sources->diag, DIAG_NOTE, root->at,
                 root->null ? "the file is empty" : "the file names no domain");
}

static void note_other(void *context, const char *path, int error)
{
    const char *slash = strrchr(path, '/');
    struct diag_word *word = context;
    if (error == 0 && word->text[0] == '\0')
        *word = diag_word(span_of(slash == NULL ? path : slash + 1));
}

/* A pattern that means no file is right for a folder that is empty; it is likely not meant where there
 * are such files under other names. */
static void report_none(struct sources *sources, const struct node *item, const char *pattern)
{
    struct text others = {0};
    struct diag_word word = {{0}};
    const char *slash = strrchr(pattern, '/');
    uint64_t fingerprint = 0; /* of no use */
    text_append(&others, (struct span){pattern, slash == NULL ? 0 : (size_t)(slash - pattern) + 1});
    if (strpbrk(heap_text(&others).data, "*?[{") == NULL) {
        text_append(&others, span_of("*.{yaml,yml,conf}"));
        (void)include_find(heap_text(&others).data, note_other, &word,
                           &fingerprint); /* else none */
    }
    bool is_slip = word.text[0] != '\0';
    diag_add(sources->diag, is_slip ? DIAG_WARNING : DIAG_NOTE, item->at,
             "include \"%s\" matches no file", item->text.data);
    if (is_slip)
        diag_hint(sources->diag, "correct the pattern, or the name of %s there", word.text);
    else
        diag_hint(sources->diag, "put a file there, or correct the pattern");
    text_free(&others);
}

static void read_include(struct sources *sources, const struct node *item)
{
    const char *pattern = sources_resolve(sources, item->at.file, item->text.data);
    watch_add(sources->watch, WATCH_FILES, pattern, item->at);
    sources->include = item;
    sources->include_is_pattern = strpbrk(pattern, "*?[{") != NULL;
    sources->found_count = 0;
    int error =
        include_find(pattern, read_dropin, sources, &sources->watch->read.parts[WATCH_FILES]);
    size_t len;
    if (error == 0 && sources->found_count == 0 && file_is_hidden(pattern, &len))
        /* One that may be searched all the same is empty. */
        read_folder(sources, arena_copy(sources->arena, (struct span){pattern, len}), EACCES);
    else if (error == 0 && sources->found_count == 0)
        report_none(sources, item, pattern);
    if (error == 0)
        return;
    diag_add(sources->diag, DIAG_FATAL, item->at, "include \"%s\" cannot be searched: %s", pattern,
             strerror(error));
    diag_reason(sources->diag, "domains that are served now might be lost");
    (void)file_hint_hidden(pattern, sources->diag); /* else it is no matter of the service */
}

bool sources_read(struct sources *sources, const char *path, struct root_nodes *ret_nodes)
{
    struct source_file *source = add_source(sources, span_of(path));
    assert(source != NULL); /* it is the first */
    sources->watch->file = arena_copy(sources->watch->arena, span_of(path));
    sources->watch->read.parts[WATCH_FILES] += file_signature_of_path(path);
    const struct node *root = read_mapping(sources, source->path, DIAG_FATAL);
    if (root == NULL)
        return false;
    sources->begin = root->at;
    (void)schema_read(&schema_root, root, ret_nodes, DIAG_FATAL, sources->diag); /* counted there */
    if (!draft_add_file(sources->draft, NULL, ret_nodes->policies, ret_nodes->domains, true))
        source->kind = SOURCE_BROKEN;
    return true;
}

void sources_read_included(struct sources *sources, const struct node *include,
                           const struct text *extra)
{
    sources->extra = extra;
    if (extra != NULL)
        read_dropin(sources, "-", 0);
    sources->extra = NULL;
    for (size_t i = 0; include != NULL && i < schema_count(include); i++)
        if (schema_value(include, i) != NULL)
            read_include(sources, schema_value(include, i));
}

const struct source_file *sources_list(const struct sources *sources, struct arena *arena,
                                       size_t *ret_count)
{
    struct source_file *files = arena_take(arena, sources->count * sizeof(*files));
    for (size_t i = 0; i < sources->count; i++)
        files[i] = (struct source_file){arena_copy(arena, span_of(sources->items[i].path)),
                                        sources->items[i].kind};
    *ret_count = sources->count;
    return files;
}

enum source_kind sources_kind(const struct sources *sources, const char *file)
{
    size_t index = find_source(sources, span_of(file));
    if (index != TABLE_NONE)
        return sources->items[index].kind;
    struct span folder = span_of(sources->hiding_count > 0 ? file : "");
    for (const char *slash; (slash = memrchr(folder.data, '/', folder.len)) != NULL;) {
        folder.len = (size_t)(slash - folder.data);
        index = find_source(sources, folder);
        if (index != TABLE_NONE && sources->items[index].kind != SOURCE_GONE)
            return sources->items[index].kind;
    }
    return SOURCE_GONE;
}
