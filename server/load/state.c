#include "load/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/descriptors.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/table.h"
#include "configuration/document.h"
#include "configuration/draft.h"
#include "files/file.h"
#include "policy/name.h"
#include "site/site_builder.h"

const struct state_form state_forms[STATE_FILES] = {
    [STATE_POLICIES] = {"last-valid-policies.yaml",
                        "# mta-sts-httpd: the last valid policy of each domain, written by the "
                        "program.\n",
                        "domains that are broken now have no policy to fall back to"},
    [STATE_PROMISES] =
        {"served-policies.txt",
         "# mta-sts-httpd: the policies that senders may hold, written by the program. "
         "Form 1.\n",
         "it is not known which policies senders hold; they remember one for a year at "
         "most"},
    [STATE_SIGHTINGS] =
        {"seen-records.txt",
         "# mta-sts-httpd: the ids that were seen in the DNS, written by the program. "
         "Form 1.\n",
         "it is not known which ids were in the DNS"},
};

static const char TRAILER[] = "# complete ";
enum { TRAILER_LEN = sizeof(TRAILER) - 1 + 16 + 1 };

void state_file_complete(struct text *bytes)
{
    uint64_t sum = span_hash((struct span){bytes->data, bytes->len});
    text_printf(bytes, "%s%016" PRIx64 "\n", TRAILER, sum);
}

bool state_file_unwrap(struct span *bytes, enum state_file file)
{
    struct span header = span_of(state_forms[file].header);
    char line[TRAILER_LEN + 1];
    struct span rest = *bytes;
    if (rest.len < TRAILER_LEN + header.len || !span_begins_fold(rest, header))
        return false;
    rest.len -= TRAILER_LEN;
    (void)snprintf(line, sizeof(line), "%s%016" PRIx64 "\n", TRAILER, span_hash(rest));
    if (memcmp(rest.data + rest.len, line, TRAILER_LEN) != 0)
        return false;
    *bytes = span_skip(rest, header.len);
    return true;
}

/* Nothing is followed, and nothing waits. */
static const int READ_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;

/* Read in pieces: the saver must not end because there is no memory for a file that it only compares. */
static bool is_written_already(int folder, const char *name, const struct text *text)
{
    char piece[16 * 1024];
    struct stat status;
    size_t at = 0;
    int fd = openat(folder, name, READ_FLAGS);
    bool same = fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
                (size_t)status.st_size == text->len;
    while (same && at < text->len) {
        ssize_t count = read(fd, piece, sizeof(piece));
        same = count > 0 && (size_t)count <= text->len - at &&
               memcmp(piece, text->data + at, (size_t)count) == 0;
        at += same ? (size_t)count : 0;
    }
    descriptor_close(&fd); /* it was only read */
    return same;
}

/* A new file has the rights of the one that it replaces, if there is one. It is made with them, because
 * the saver may not change those of a file (sandbox/process_syscalls.c). */
static int create(int folder, const char *name, const char *replaced)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    struct stat old;
    mode_t mask = umask(0);
    bool is_old = fstatat(folder, replaced, &old, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(old.st_mode);
    int fd = openat(folder, name, flags, is_old ? old.st_mode & 0777 : 0644 & ~mask);
    (void)umask(mask); /* it cannot fail */
    return fd;
}

/* Writes a file that was not there before, to replace the other one, and makes sure that it is on the disk. */
static bool write_new(int folder, const char *name, const char *replaced, const struct text *text)
{
    if (unlinkat(folder, name, 0) != 0 && errno != ENOENT)
        return false;
    int fd = create(folder, name, replaced);
    if (fd < 0)
        return false;
    if (text_write(text, fd) && fsync(fd) == 0)
        return close(fd) == 0;
    descriptor_close(&fd);
    return false;
}

/* The new name is on the disk only when the folder is. */
static bool replace(int folder, const char *name, const struct text *text)
{
    char new_name[NAME_MAX + 8]; /* the kernel refuses what is too long for it */
    (void)snprintf(new_name, sizeof(new_name), "%s.new", name);
    if (write_new(folder, new_name, name, text) && renameat(folder, new_name, folder, name) == 0)
        return fsync(folder) == 0;
    int reason = errno;
    (void)unlinkat(folder, new_name, 0); /* it may not be there */
    errno = reason;
    return false;
}

bool state_file_write(const char *folder, const char *name, const struct text *bytes)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool good = is_written_already(fd, name, bytes) || replace(fd, name, bytes);
    descriptor_close(&fd); /* only a folder */
    return good;
}

bool state_file_read(const char *folder, enum state_file file,
                     const struct progress_callback *progress, struct text *ret_bytes)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/%s", folder, state_forms[file].name);
    errno = ENAMETOOLONG;
    progress_make(progress, PROGRESS_WAITS_FOR_STATE);
    int fd = len < 0 || (size_t)len >= sizeof(path) ? -1 : open(path, READ_FLAGS);
    bool good = fd >= 0 && file_read_open(fd, LIMIT_STATE_FILE, ret_bytes);
    int reason = errno;
    progress_make(progress, PROGRESS_HAS_STATE);
    descriptor_close(&fd); /* it was only read */
    errno = reason;
    return good;
}

void state_warn(const char *folder, enum state_file file, int error, struct position at,
                struct diag *diag)
{
    const struct state_form *form = &state_forms[file];
    if (error != 0) {
        diag_add(diag, DIAG_WARNING, at, "%s/%s cannot be read: %s", folder, form->name,
                 error == ELOOP       ? "it is a link, which is not followed"
                 : error == ETIMEDOUT ? "its disk does not answer"
                                      : strerror(error));
        return;
    }
    diag_add(diag, DIAG_WARNING, at, "%s/%s is damaged or of another program, and is ignored",
             folder, form->name);
    diag_reason(diag, "%s", form->loss);
}

/* Equal policies are one object, so the key is its address: equal bodies may have different ids. */
TABLE_KEY(policy_key, const struct policy *, SPAN_OF(*item));

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

void state_print(const struct site *site, struct text *out)
{
    const struct policy **policies = heap_take(site_count(site), sizeof(*policies));
    struct table numbers = {0};
    struct text domains = {0};
    size_t count = 0;
    text_printf(out, "%spolicies:\n", state_forms[STATE_POLICIES].header);
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        const struct policy *policy = site_policy(domain);
        struct span key = SPAN_OF(policy);
        if (policy == NULL)
            continue;
        size_t number = table_find(&numbers, key, policy_key, policies);
        if (number == TABLE_NONE) {
            number = count++;
            table_add(&numbers, key, number);
            policies[number] = policy;
            append_policy(out, number, policy);
        }
        /* Each domain with the number of its policy and the file that names it: a list of triples. */
        text_printf(&domains, "  - [%s, \"%zu\", ", site_name(domain), number);
        text_json(&domains, span_of(site_file(domain)));
        text_append(&domains, span_of("]\n"));
    }
    text_append(out, span_of("domains:\n"));
    text_append(out, heap_text(&domains));
    state_file_complete(out);
    text_free(&domains);
    table_free(&numbers);
    free(policies);
}

/* As it was written: a domain name, and in its place, so that none is there twice. */
static bool is_next_name(struct span last, struct span text)
{
    struct name name;
    if (name_parse(text, NAME_DOMAIN, &name) != NAME_OK ||
        !span_equal(text, (struct span){name.text, name.len}))
        return false;
    return last.len == 0 || strcmp(last.data, name.text) < 0;
}

/* One domain of the list; what does not fit is a fault of the file. */
static bool add_domain(struct site_builder *site, struct draft *draft, const struct node *entry,
                       struct span *last)
{
    if (entry->kind != NODE_SEQUENCE || entry->count != 3)
        return false;
    for (size_t i = 0; i < 3; i++)
        if (entry->items[i]->kind != NODE_SCALAR)
            return false;
    struct span name = entry->items[0]->text;
    if (!is_next_name(*last, name))
        return false;
    const struct site_fields domain = {
        .name = name,
        .state = SITE_SERVED,
        .policy = draft_named_policy(draft, entry->items[1]->text),
        .at = {.file = entry->items[2]->text.data},
    };
    if (domain.policy == NULL)
        return false;
    site_builder_add(site, &domain);
    *last = name;
    return true;
}

/* The site of a whole file; NULL when it does not make sense after all. */
static struct site *build(struct span bytes, struct arena *arena, struct diag *diag)
{
    struct site_builder *builder = site_builder_new(-1);
    struct draft draft = {.arena = arena, .diag = diag};
    struct site *site = NULL;
    struct span last = {0};
    bool good = false;
    const struct node *root = document_parse(arena, bytes, "state", DIAG_ERROR, diag, NULL, NULL);
    const struct node *policies = root == NULL ? NULL : document_member(root, "policies");
    const struct node *domains = root == NULL ? NULL : document_member(root, "domains");
    if (policies == NULL || domains == NULL)
        goto done;
    good = domains->null || domains->kind == NODE_SEQUENCE;
    if (policies->kind == NODE_MAPPING)
        (void)draft_add_file(&draft, NULL, policies, NULL,
                             true); /* there is no domain to be missing */
    for (size_t i = 0; good && i < domains->count; i++)
        good = add_domain(builder, &draft, domains->items[i], &last);
    if (good) {
        site = site_builder_finish(builder);
        builder = NULL;
    }
done:
    draft_free(&draft);
    site_builder_free(builder);
    return site;
}

struct site *state_read(const char *folder, struct position at,
                        const struct progress_callback *progress, struct diag *diag)
{
    struct text bytes = {0};
    struct site *site = NULL;
    struct diag *own = diag_new();
    struct arena *arena = arena_new();
    bool good = state_file_read(folder, STATE_POLICIES, progress, &bytes);
    int error = good ? 0 : errno;
    struct span span = {bytes.data, bytes.len};
    if (good && state_file_unwrap(&span, STATE_POLICIES))
        site = build(span, arena, own);
    if (site == NULL && error != ENOENT)
        state_warn(folder, STATE_POLICIES, error, at, diag);
    arena_free(arena);
    diag_free(own);
    text_free(&bytes);
    return site;
}
