#include "load/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/table.h"
#include "base/text.h"
#include "load/document.h"
#include "load/draft.h"
#include "load/file.h"
#include "policy/name.h"

static const char FILE_NAME[] = "last-valid-policies.yaml";
static const char NEW_NAME[] = "last-valid-policies.yaml.new";
static const char HEADER[] =
    "# mta-sts-httpd: the last valid policy of each domain, written by the "
    "program.\n";
static const char TRAILER[] = "# complete ";
enum { TRAILER_LEN = sizeof(TRAILER) - 1 + 16 + 1 };

/* The line that tells a whole file from a torn one. */
static void append_trailer(struct text *text)
{
    uint64_t sum = span_hash((struct span){text->data, text->len});
    text_printf(text, "%s%016" PRIx64 "\n", TRAILER, sum);
}

static bool is_whole(struct span bytes)
{
    char line[TRAILER_LEN + 1];
    if (bytes.len < TRAILER_LEN || !span_begins_fold(bytes, span_of(HEADER)))
        return false;
    bytes.len -= TRAILER_LEN;
    (void)snprintf(line, sizeof(line), "%s%016" PRIx64 "\n", TRAILER, span_hash(bytes));
    return memcmp(bytes.data + bytes.len, line, TRAILER_LEN) == 0;
}

/* Numbers policies as they are first met. Equal ones are one object, so the key is its address:
 * equal bodies may have different ids. */
struct numbering {
    const struct policy **policies; /* owned */
    size_t count;
    struct table table;
};

static struct span policy_key(const void *items, size_t index)
{
    const struct policy *const *policies = items;
    return (struct span){(const char *)&policies[index], sizeof(const struct policy *)};
}

static bool number_policies(const struct site *site, struct numbering *numbering)
{
    numbering->policies = calloc(site_count(site) + 1, sizeof(*numbering->policies));
    if (numbering->policies == NULL)
        return false;
    for (size_t i = 0; i < site_count(site); i++) {
        const struct policy *policy = site_at(site, i)->policy;
        struct span key = {(const char *)&policy, sizeof(policy)};
        if (policy == NULL ||
            table_find(&numbering->table, key, policy_key, numbering->policies) != TABLE_NONE)
            continue;
        if (!table_add(&numbering->table, key, numbering->count))
            return false;
        numbering->policies[numbering->count++] = policy;
    }
    return true;
}

static void append_policy(struct text *text, size_t number, const struct policy *policy)
{
    text_printf(text, "  \"%zu\": {mode: %s, max_age: %" PRIu32 ", id: \"%s\", mx: [", number,
                policy_mode_text(policy_mode(policy)), policy_max_age(policy), policy_id(policy));
    for (size_t i = 0; i < policy_mx_count(policy); i++) {
        text_append(text, span_of(i == 0 ? "" : ", "));
        text_json(text, policy_mx(policy, i));
    }
    text_append(text, span_of("]}\n"));
}

/* Each domain with the file that names it and the number of its policy: a list of triples. */
static void append_domains(struct text *text, const struct site *site,
                           const struct numbering *numbering)
{
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        const struct policy *policy = domain->policy;
        struct span key = {(const char *)&policy, sizeof(policy)};
        if (policy == NULL)
            continue;
        size_t number = table_find(&numbering->table, key, policy_key, numbering->policies);
        text_printf(text, "  - [%s, \"%zu\", ", domain->name, number);
        text_json(text, span_of(domain->file));
        text_append(text, span_of("]\n"));
    }
}

static bool render(const struct site *site, struct text *text)
{
    struct numbering numbering = {0};
    bool good = number_policies(site, &numbering);
    if (good) {
        text_append(text, span_of(HEADER));
        text_append(text, span_of("policies:\n"));
        for (size_t i = 0; i < numbering.count; i++)
            append_policy(text, i, numbering.policies[i]);
        text_append(text, span_of("domains:\n"));
        append_domains(text, site, &numbering);
        append_trailer(text);
    }
    table_free(&numbering.table);
    free(numbering.policies);
    errno = ENOMEM;
    return good && !text->failed;
}

/* The folder may belong to another user, who may put anything there at any time: a link, a pipe,
 * a device that hangs. So nothing is followed and nothing is waited for. */
static bool read_in(int folder, struct text *ret_bytes)
{
    int fd = openat(folder, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return false;
    bool good = file_read_open(fd, LIMIT_YAML_FILE, ret_bytes, NULL);
    int reason = errno;
    (void)close(fd); /* it was only read */
    errno = reason;
    return good;
}

static int open_folder(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
}

static bool is_written_already(int folder, const struct text *text)
{
    struct text old = {0};
    bool same = read_in(folder, &old) &&
                span_equal((struct span){old.data, old.len}, (struct span){text->data, text->len});
    text_free(&old);
    return same;
}

/* Writes a file that was not there before, and makes sure that it is on the disk. */
static bool write_new(int folder, const struct text *text)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    if (unlinkat(folder, NEW_NAME, 0) != 0 && errno != ENOENT)
        return false;
    int fd = openat(folder, NEW_NAME, flags, 0644);
    if (fd < 0)
        return false;
    bool good = text_write(text, fd) && fsync(fd) == 0;
    int reason = errno;
    if (close(fd) != 0 && good) {
        reason = errno;
        good = false;
    }
    errno = reason;
    return good;
}

/* The new name is on the disk only when the folder is. */
static bool replace(int folder, const struct text *text)
{
    bool good = write_new(folder, text) && renameat(folder, NEW_NAME, folder, FILE_NAME) == 0;
    int reason = errno;
    if (!good)
        (void)unlinkat(folder, NEW_NAME, 0); /* it may not be there */
    errno = reason;
    return good && fsync(folder) == 0;
}

bool state_write(const char *folder, const struct site *site)
{
    struct text text = {0};
    bool good = false;
    int fd = open_folder(folder);
    if (fd >= 0)
        good = render(site, &text) && (is_written_already(fd, &text) || replace(fd, &text));
    int reason = errno;
    text_free(&text);
    if (fd >= 0)
        (void)close(fd); /* only a folder */
    errno = reason;
    return good;
}

/* As it was written: a domain name, and in its place, so that none is there twice. */
static bool is_next_name(const struct site *site, struct span text)
{
    struct name name;
    size_t count = site_count(site);
    if (name_parse(text, NAME_HOST, &name) != NAME_OK ||
        !span_equal(text, (struct span){name.text, name.len}) ||
        name.len + strlen("mta-sts.") > LIMIT_NAME)
        return false;
    return count == 0 || strcmp(site_at(site, count - 1)->name, name.text) < 0;
}

/* One domain of the list; what does not fit is a fault of the file. */
static bool add_domain(struct site *site, struct draft *draft, const struct node *entry,
                       struct diag *diag)
{
    if (entry->kind != NODE_SEQUENCE || entry->count != 3)
        return false;
    for (size_t i = 0; i < 3; i++)
        if (entry->items[i]->kind != NODE_SCALAR)
            return false;
    struct span name = entry->items[0]->text;
    if (!is_next_name(site, name))
        return false;
    struct policy *policy = draft_named_policy(draft, entry->items[1]->text);
    struct site_domain domain = {
        .name = name.data,
        .name_len = name.len,
        .state = SITE_SERVED,
        .policy = policy,
        .file = entry->items[2]->text.data,
    };
    bool added = policy != NULL && site_add(site, &domain);
    if (policy != NULL && !added)
        diag_shortage(diag);
    policy_free(policy);
    return added;
}

static const struct node *member(const struct node *root, const char *key)
{
    for (size_t i = 0; root->kind == NODE_MAPPING && i < root->count; i++)
        if (span_equal(root->pairs[i].key->text, span_of(key)))
            return root->pairs[i].value;
    return NULL;
}

/* The site of a whole file; NULL when it does not make sense after all, or on a shortage. */
static struct site *build(struct span bytes, struct arena *arena, struct diag *diag)
{
    struct site *site = site_new();
    struct draft *draft = draft_new(arena, diag);
    bool good = false;
    if (site == NULL || draft == NULL) {
        diag_shortage(diag);
        goto done;
    }
    const struct node *root = document_parse(arena, bytes, FILE_NAME, DIAG_ERROR, diag);
    const struct node *policies = root == NULL ? NULL : member(root, "policies");
    const struct node *domains = root == NULL ? NULL : member(root, "domains");
    if (policies == NULL || domains == NULL)
        goto done;
    good = domains->null || domains->kind == NODE_SEQUENCE;
    if (policies->kind == NODE_MAPPING)
        draft_add_policies(draft, policies);
    for (size_t i = 0; good && i < domains->count; i++)
        good = add_domain(site, draft, domains->items[i], diag);
    if (good && !site_seal(site)) {
        diag_shortage(diag);
        good = false;
    }
done:
    draft_free(draft);
    if (!good) {
        site_free(site);
        site = NULL;
    }
    return site;
}

bool state_read_file(const char *folder, struct text *ret_bytes)
{
    int fd = open_folder(folder);
    if (fd < 0)
        return false;
    bool good = read_in(fd, ret_bytes);
    int reason = errno;
    (void)close(fd); /* only a folder */
    errno = reason;
    return good;
}

struct site *state_read(const char *folder, struct position at, struct diag *diag)
{
    return state_read_by(state_read_file, folder, at, diag);
}

struct site *state_read_by(state_reader *read, const char *folder, struct position at,
                           struct diag *diag)
{
    struct text bytes = {0};
    struct site *site = NULL;
    struct diag *own = diag_new();
    struct arena *arena = arena_new();
    if (own == NULL || arena == NULL) {
        diag_shortage(diag);
    } else if (!read(folder, &bytes)) {
        if (errno == ENOMEM)
            diag_shortage(diag);
        else if (errno != ENOENT)
            diag_add(diag, DIAG_WARNING, at, "%s/%s cannot be read: %s", folder, FILE_NAME,
                     errno == ELOOP       ? "it is a link, which is not followed"
                     : errno == ETIMEDOUT ? "its disk does not answer"
                                          : strerror(errno));
    } else {
        struct span span = {bytes.data, bytes.len};
        site = is_whole(span) ? build(span, arena, own) : NULL;
        if (diag_count(own, DIAG_FATAL) > 0) {
            diag_shortage(diag); /* nothing else is fatal there */
            site_free(site);
            site = NULL;
        } else if (site == NULL) {
            diag_add(diag, DIAG_WARNING, at,
                     "%s/%s is damaged or of another program, and is ignored", folder, FILE_NAME);
            diag_reason(diag, "domains that are broken now have no policy to fall back to");
        }
    }
    arena_free(arena);
    diag_free(own);
    text_free(&bytes);
    return site;
}
