#include "load/concern.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/limits.h"
#include "files/file.h"

/* Where a domain or policy begins; what follows is about it until the next one does. */
struct anchor {
    struct position at;
    bool concerns;
};

struct search {
    struct anchor *anchors; /* owned; sorted */
    size_t count;
    const char **files; /* owned; sorted; that domains are in, and their certificates */
    size_t file_count;
    const char *main_file;
    const char *own_file; /* that concerns as a whole; or NULL */
};

bool concern_is_pattern(const char *operand)
{
    return strpbrk(operand, "*?[\\") != NULL;
}

bool concern_matches(const char *operand, const char *name)
{
    struct span meant = span_of(operand);
    if (concern_is_pattern(operand))
        return fnmatch(operand, name, FNM_CASEFOLD) == 0;
    if (meant.len > 0 && meant.data[meant.len - 1] == '.')
        meant.len--;
    return span_equal_fold(meant, span_of(name));
}

bool concern_names(const struct concern *concern, const char *domain)
{
    for (size_t i = 0; domain != NULL && i < concern->count; i++)
        if (concern_matches(concern->names[i], domain))
            return true;
    return false;
}

static bool is_wanted(const struct concern *concern, const char *name, const char *file)
{
    return (concern->file != NULL && strcmp(concern->file, file) == 0) ||
           concern_names(concern, name);
}

static bool is_of_name(char byte)
{
    return ascii_is_alpha(byte) || ascii_is_digit(byte) || byte == '-' || byte == '.' ||
           byte == '_';
}

/* Whether the text has the name as a word. */
static bool has_word(struct span text, struct span name)
{
    while (text.len >= name.len) {
        const char *found = memmem(text.data, text.len, name.data, name.len);
        if (found == NULL)
            return false;
        const char *end = found + name.len;
        if ((found == text.data || !is_of_name(found[-1])) &&
            (end == text.data + text.len || !is_of_name(*end)))
            return true;
        text = span_skip(text, (size_t)(found - text.data) + 1);
    }
    return false;
}

const char *concern_find_mention(const struct source_file *files, size_t count, struct span name)
{
    if (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--;
    for (size_t i = 1; name.len > 0 && i < count; i++) {
        struct text bytes = {0};
        bool found = file_read(files[i].path, LIMIT_INCLUDE_FILE, &bytes) &&
                     has_word((struct span){bytes.data, bytes.len}, name);
        text_free(&bytes);
        if (found)
            return files[i].path;
    }
    return NULL;
}

static int compare_files(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int compare_anchors(const void *left, const void *right)
{
    const struct position *one = &((const struct anchor *)left)->at;
    const struct position *other = &((const struct anchor *)right)->at;
    int order = strcmp(one->file, other->file);
    if (order != 0)
        return order;
    if (one->line != other->line)
        return one->line < other->line ? -1 : 1;
    return one->column < other->column ? -1 : one->column > other->column;
}

/* The last anchor of the file that is not behind the place; NULL when there is none. */
static const struct anchor *find_anchor(const struct search *search, struct position at)
{
    const struct anchor wanted = {.at = at};
    size_t low = 0, high = search->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_anchors(&search->anchors[middle], &wanted) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 || strcmp(search->anchors[low - 1].at.file, at.file) != 0
               ? NULL
               : &search->anchors[low - 1];
}

static bool concerns(void *context, const struct diag_entry *entry)
{
    const struct search *search = context;
    const struct position at = entry->at;
    const struct position *related = entry->related == NULL ? NULL : &entry->related->at;
    if (entry->level == DIAG_FATAL || at.file == NULL ||
        (search->own_file != NULL && strcmp(at.file, search->own_file) == 0))
        return true;
    /* What is there twice is about the first one. */
    const struct anchor *first =
        related == NULL || related->file == NULL ? NULL : find_anchor(search, *related);
    if (first != NULL && first->at.line == related->line && first->at.column == related->column)
        return first->concerns;
    const struct anchor *anchor = find_anchor(search, at);
    /* A key at the margin begins something else. */
    if (anchor != NULL && (at.column != 1 || anchor->at.column == 1))
        return anchor->concerns;
    return strcmp(at.file, search->main_file) == 0 ||
           bsearch(&at.file, search->files, search->file_count, sizeof(*search->files),
                   compare_files) != NULL;
}

static void add_file(struct search *search, const char *file)
{
    search->files[search->file_count++] = file;
}

/* The domains and the policies that the wanted ones use. */
static void add_draft(struct search *search, const struct draft *draft,
                      const struct concern *concern)
{
    for (size_t i = 0; i < draft->policy_count; i++)
        search->anchors[search->count++].at = draft->policies[i].key->at;
    for (size_t i = 0; i < draft->domain_count; i++) {
        const struct draft_domain *domain = &draft->domains[i];
        bool wanted = is_wanted(concern, domain->name, domain->at.file);
        search->anchors[search->count++] = (struct anchor){.at = domain->at, .concerns = wanted};
        if (!wanted)
            continue;
        add_file(search, domain->at.file);
        if (domain->policy < draft->policy_count)
            search->anchors[domain->policy].concerns = true;
    }
}

static void add_site(struct search *search, const struct site *site, const struct concern *concern)
{
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        if (!is_wanted(concern, site_name(domain), site_file(domain)))
            continue;
        add_file(search, site_file(domain));
        for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
            if (site_credential(domain, kind) != NULL)
                add_file(search, credential_fields(site_credential(domain, kind)).file);
    }
}

void concern_restrict(const struct concern *concern, const struct draft *draft,
                      const struct site *site, const struct source_file *files, size_t file_count,
                      struct diag *diag)
{
    size_t anchors = draft->domain_count + draft->policy_count;
    size_t most = draft->domain_count + site_count(site) * (1 + CREDENTIAL_KINDS) + concern->count;
    struct search search = {
        .main_file = file_count > 0 ? files[0].path : "",
        .own_file = concern->file,
        .anchors = heap_take(anchors, sizeof(*search.anchors)),
        .files = heap_take(most, sizeof(*search.files)),
    };
    add_draft(&search, draft, concern);
    add_site(&search, site, concern);
    for (size_t i = 0; i < concern->count; i++) {
        struct span name = span_of(concern->names[i]);
        const char *file = concern_is_pattern(name.data) || site_find_domain(site, name) != NULL
                               ? NULL
                               : concern_find_mention(files, file_count, name);
        if (file != NULL)
            add_file(&search, file);
    }
    qsort(search.anchors, search.count, sizeof(*search.anchors), compare_anchors);
    qsort(search.files, search.file_count, sizeof(*search.files), compare_files);
    diag_choose(diag, concerns, &search);
    free(search.anchors);
    free(search.files);
}
