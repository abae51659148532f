#include "base/text.h"
#include "command/command.h"
#include "command/reading.h"
#include "site/verdict.h"

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

/* A certificate that senders accept, and that is not to be renewed yet. */
static bool is_good(const struct credential *credential, int64_t now, int64_t warning)
{
    return credential != NULL && credential_judge(credential, now) == CREDENTIAL_SOUND &&
           verdict_warning_time(credential_not_before(credential), credential_not_after(credential),
                                warning) >= now;
}

static bool is_missing(const struct site_domain *domain, int64_t now, int64_t warning)
{
    for (size_t kind = 0; kind < CREDENTIAL_KINDS && !site_is_proxied(domain); kind++)
        if (is_good(site_credential(domain, kind), now, warning))
            return false;
    return !site_is_proxied(domain);
}

static void print_hosts(const struct command_line *line, const struct configuration *configuration,
                        unsigned group, struct text *out)
{
    const struct site *site = configuration->site;
    int64_t warning = configuration->settings.certificate_warning;
    size_t count = 0;
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        if (!reading_is_asked(line, site_name(domain)) ||
            (line->missing && !is_missing(domain, line->now, warning)))
            continue;
        const char *between = count == 0 ? "" : count % group == 0 ? "\n" : " ";
        text_printf(out, "%smta-sts.%s", between, site_name(domain));
        count++;
    }
    if (count > 0)
        text_append(out, span_of("\n"));
}

int command_hosts(const struct command_line *line)
{
    struct text out = {0};
    int status = STATUS_WRONG;
    unsigned group = line->group == NULL ? 1 : parse_group(line->group);
    if (group == 0)
        return command_misused(
            "hosts", "neither a number from 1 to 100 nor a profile such as tlsserver:", line->group,
            NULL);
    struct reading reading = reading_new(line, !line->missing, NULL);
    bool told = true;
    if (reading.configuration == NULL) {
        (void)reading_tell(line, &reading); /* the exit status says it too */
        goto done;
    }
    for (size_t i = 0; i < line->operand_count; i++)
        told = reading_check(&reading, line->operands[i]) && told;
    print_hosts(line, reading.configuration, group, &out);
    if (command_write(&out) && told)
        status = STATUS_GOOD;
done:
    text_free(&out);
    reading_free(&reading);
    return status;
}
