#include "base/text.h"
#include "command/command.h"
#include "command/reading.h"
#include "site/site.h"

/* Names in one certificate: Let's Encrypt takes no more. */
enum { GROUP_MOST = 100 };

/* Its profiles, which differ in that. */
static const struct {
    const char *name;
    unsigned most;
} profiles[] = {{"classic", 100}, {"tlsserver", 25}, {"shortlived", 25}};

/* 0 when it is neither a number from 1 to GROUP_MOST nor a profile. */
static unsigned parse_group(const char *text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
        if (strcmp(text, profiles[i].name) == 0)
            return profiles[i].most;
    return span_number(span_of(text), GROUP_MOST, &number) ? (unsigned)number : 0;
}

/* Whether it has no certificate that senders accept and that is not to be renewed yet. */
static bool is_missing(const struct site_domain *domain, int64_t now, int64_t warning)
{
    for (size_t kind = 0; kind < CREDENTIAL_KINDS && !site_is_proxied(domain); kind++) {
        const struct credential *credential = site_credential(domain, kind);
        if (credential != NULL && credential_judge(credential, now) == CREDENTIAL_SOUND &&
            verdict_warning_time(credential_fields(credential).not_before,
                                 credential_fields(credential).not_after, warning) >= now)
            return false;
    }
    return !site_is_proxied(domain);
}

int command_hosts(const struct command_line *line, struct text *out)
{
    unsigned group = line->group == NULL ? 1 : parse_group(line->group);
    if (group == 0)
        return command_misused(
            "hosts", "neither a number from 1 to 100 nor a profile such as tlsserver:", line->group,
            NULL);
    struct reading reading = reading_new(line, !line->missing);
    const struct configuration *configuration = reading.configuration;
    bool good = configuration != NULL ? reading_check_all(line, &reading)
                                      : reading_tell(line, &reading) && false;
    size_t count = 0;
    for (size_t i = 0; configuration != NULL && i < site_count(configuration->site); i++) {
        const struct site_domain *domain = site_at(configuration->site, i);
        if (!reading_is_asked(line, site_name(domain)) ||
            (line->missing &&
             !is_missing(domain, line->now, configuration->settings.certificate_warning)))
            continue;
        const char *between = count == 0 ? "" : count % group == 0 ? "\n" : " ";
        text_printf(out, "%smta-sts.%s", between, site_name(domain));
        count++;
    }
    text_append(out, span_of(count > 0 ? "\n" : ""));
    reading_free(&reading);
    return good ? STATUS_GOOD : STATUS_WRONG;
}
