#include "supervise/changes.h"

#include <assert.h>
#include <string.h>

static void note(struct changes *changes, enum change change, const struct site_domain *domain)
{
    size_t index = changes->counts[change]++;
    if (index < CHANGES_NAMED)
        memcpy(changes->names[change][index], site_name(domain), site_name_span(domain).len + 1);
}

/* A certificate is renewed with other dates. */
static bool has_new_credential(const struct site_domain *before, const struct site_domain *now)
{
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        const struct credential *one = site_credential(before, kind),
                                *other = site_credential(now, kind);
        if (other == NULL || one == other)
            continue;
        if (one == NULL || credential_not_before(one) != credential_not_before(other) ||
            credential_not_after(one) != credential_not_after(other))
            return true;
    }
    return false;
}

static bool has_new_policy(const struct site_domain *before, const struct site_domain *now)
{
    return site_policy(before) != site_policy(now) &&
           (strcmp(policy_id(site_policy(before)), policy_id(site_policy(now))) != 0 ||
            !span_equal(policy_body(site_policy(before)), policy_body(site_policy(now))));
}

static void compare(struct changes *changes, const struct site_domain *before,
                    const struct site_domain *now)
{
    if (site_state(now) == SITE_STALE && site_state(before) != SITE_STALE)
        note(changes, CHANGE_STALE, now);
    else if (site_state(now) == SITE_REFUSED && site_state(before) != SITE_REFUSED)
        note(changes, CHANGE_REFUSED, now);
    else if (site_state(now) == SITE_SERVED && site_state(before) != SITE_SERVED)
        note(changes, CHANGE_MENDED, now);
    else if (site_state(now) == SITE_SERVED && has_new_policy(before, now))
        note(changes, CHANGE_POLICY, now);
    if (has_new_credential(before, now))
        note(changes, CHANGE_CERTIFICATE, now);
}

void changes_find(const struct site *before, const struct site *now, struct changes *ret_changes)
{
    *ret_changes = (struct changes){0};
    if (before == NULL)
        return;
    size_t i = 0, j = 0;
    while (i < site_count(before) || j < site_count(now)) {
        const struct site_domain *left = i < site_count(before) ? site_at(before, i) : NULL;
        const struct site_domain *right = j < site_count(now) ? site_at(now, j) : NULL;
        assert(left != NULL || right != NULL);
        int order = left == NULL    ? 1
                    : right == NULL ? -1
                                    : strcmp(site_name(left), site_name(right));
        if (right == NULL || order < 0) {
            note(ret_changes, CHANGE_REMOVED, left);
        } else if (left == NULL || order > 0) {
            note(ret_changes, CHANGE_ADDED, right);
            if (site_state(right) == SITE_REFUSED)
                note(ret_changes, CHANGE_REFUSED, right);
        } else {
            compare(ret_changes, left, right);
        }
        i += order <= 0 ? 1 : 0;
        j += order >= 0 ? 1 : 0;
    }
}

static const char *const words[CHANGES] = {
    [CHANGE_ADDED] = "added",
    [CHANGE_REMOVED] = "removed",
    [CHANGE_POLICY] = "with another policy",
    [CHANGE_STALE] = "now stale",
    [CHANGE_REFUSED] = "now refused",
    [CHANGE_MENDED] = "valid again",
    [CHANGE_CERTIFICATE] = "with a new certificate",
};

bool changes_print(const struct changes *changes, const char *separator, size_t bytes_most,
                   struct text *out)
{
    const size_t begin = out->len;
    for (int change = 0; change < CHANGES; change++) {
        size_t count = changes->counts[change], shown = 0;
        if (count == 0)
            continue;
        text_printf(out, "%s%zu domain%s %s (", out->len == begin ? "" : separator, count,
                    count == 1 ? "" : "s", words[change]);
        while (shown < count && shown < CHANGES_NAMED &&
               out->len - begin + strlen(changes->names[change][shown]) < bytes_most) {
            text_printf(out, "%s%s", shown == 0 ? "" : ", ", changes->names[change][shown]);
            shown++;
        }
        if (shown < count)
            text_printf(out, "%s%zu more", shown == 0 ? "" : " and ", count - shown);
        text_append(out, span_of(")"));
    }
    return out->len > begin;
}
