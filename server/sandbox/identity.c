#include "sandbox/identity.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/span.h"
#include "base/text.h"
#include "files/file.h"

/* What users there are: /etc/passwd as it is, since modules for other databases would be
 * loaded into a process of root's, and a static program could not load them. Without the file there are
 * none. False, logged, when it is there and cannot be read. */
static bool read_users(struct text *ret_users)
{
    static const char path[] = "/etc/passwd";
    if (file_read(path, LIMIT_USERS_FILE, ret_users) || errno == ENOENT)
        return true;
    log_line(LOG_LEVEL_ERROR, "cannot read %s: %s", path, strerror(errno));
    return false;
}

/* The first user that matches: by name, or by number when name is NULL. */
static bool look_up(const struct text *users, const char *name, uid_t uid,
                    struct identity *ret_identity)
{
    FILE *file = users->len == 0 ? NULL : fmemopen(users->data, users->len, "r");
    const struct passwd *entry = NULL;
    bool found = false;
    while (file != NULL && !found && (entry = fgetpwent(file)) != NULL)
        found = name == NULL ? entry->pw_uid == uid : strcmp(entry->pw_name, name) == 0;
    if (found) {
        ret_identity->uid = entry->pw_uid;
        ret_identity->gid = entry->pw_gid;
    }
    if (file != NULL)
        (void)fclose(file); /* it was only read */
    return found;
}

/* A number works without a user database; its group is the same number unless the database knows
 * better. */
static bool look_up_number(const struct text *users, const char *user,
                           struct identity *ret_identity)
{
    uint64_t number;
    if (!span_number(span_of(user), (uid_t)-1 - 1, &number))
        return false;
    ret_identity->uid = (uid_t)number;
    ret_identity->gid = (gid_t)ret_identity->uid;
    (void)look_up(users, NULL, ret_identity->uid, ret_identity); /* else it stands */
    return true;
}

enum identity_fault identity_find(const char *user, struct identity *ret_identity)
{
    struct identity identity = {.uid = FILE_NOBODY, .gid = FILE_NOBODY};
    struct text users = {0};
    enum identity_fault fault = IDENTITY_OK;
    if (!read_users(&users))
        fault = IDENTITY_UNREADABLE;
    else if (user == NULL && !look_up(&users, "mta-sts", 0, &identity))
        (void)look_up(&users, "nobody", 0, &identity); /* its number stands if it is missing */
    else if (user != NULL && !look_up(&users, user, 0, &identity) &&
             !look_up_number(&users, user, &identity))
        fault = IDENTITY_UNKNOWN;
    text_free(&users);
    *ret_identity = identity;
    return fault == IDENTITY_OK && (identity.uid == 0 || identity.gid == 0) ? IDENTITY_ROOT : fault;
}

bool identity_resolve(const char *user, bool is_root, struct identity *ret_identity)
{
    if (!is_root) {
        *ret_identity = (struct identity){.keep = true, .uid = geteuid(), .gid = getegid()};
        return true;
    }
    enum identity_fault fault = identity_find(user, ret_identity);
    if (fault == IDENTITY_UNKNOWN)
        log_line(LOG_LEVEL_ERROR,
                 "user \"%s\" is not in /etc/passwd; make it with \"useradd --system %s\", or "
                 "give a number",
                 user, user);
    else if (fault == IDENTITY_ROOT)
        log_line(LOG_LEVEL_ERROR, "workers must not run as root: name another user");
    return fault == IDENTITY_OK;
}
