#include "supervise/identity.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/span.h"

/* The kernel's id of nobody, for systems whose user database lacks the name. */
enum { ID_NOBODY = 65534 };

static bool parse_number(const char *user, uid_t *ret_uid)
{
    char *end = NULL;
    if (!ascii_is_digit(user[0]))
        return false;
    errno = 0;
    unsigned long value = strtoul(user, &end, 10);
    if (errno != 0 || *end != '\0' || value >= (uid_t)-1)
        return false;
    *ret_uid = (uid_t)value;
    return true;
}

/* The first entry of the user database that matches: by name, or by number when
 * name is NULL. The file is read as it is: modules for other databases would be
 * loaded into a process of root's, and a static program could not load them. */
static bool look_up(const char *name, uid_t uid, struct identity *ret_identity)
{
    FILE *file = fopen("/etc/passwd", "re");
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
static bool look_up_number(const char *user, struct identity *ret_identity)
{
    if (!parse_number(user, &ret_identity->uid))
        return false;
    ret_identity->gid = (gid_t)ret_identity->uid;
    (void)look_up(NULL, ret_identity->uid, ret_identity); /* else it stands */
    return true;
}

bool identity_resolve(const char *user, struct identity *ret_identity)
{
    struct identity identity = {.keep = geteuid() != 0, .uid = ID_NOBODY, .gid = ID_NOBODY};
    if (identity.keep) {
        identity.uid = geteuid();
        identity.gid = getegid();
    } else if (user == NULL) {
        if (!look_up("mta-sts", 0, &identity))
            (void)look_up("nobody", 0, &identity); /* the numbers above stand if it is missing */
    } else if (!look_up(user, 0, &identity) && !look_up_number(user, &identity)) {
        log_line(
            LOG_LEVEL_ERROR,
            "user \"%s\" is not in /etc/passwd; make it with \"useradd --system %s\", or give a number",
            user, user);
        return false;
    }
    if (!identity.keep && (identity.uid == 0 || identity.gid == 0)) {
        log_line(LOG_LEVEL_ERROR, "workers must not run as root: name another user");
        return false;
    }
    *ret_identity = identity;
    return true;
}
