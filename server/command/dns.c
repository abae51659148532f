#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "command/command.h"
#include "command/reading.h"

/* RFC 1035 section 3.3: a character string holds at most this many bytes. */
enum { CHARACTER_STRING = 255 };

static void print_txt(struct text *out, const char *prefix, const char *domain, struct span value)
{
    text_printf(out, "%s.%s.\tIN\tTXT\t", prefix, domain);
    for (size_t done = 0; done < value.len; done += CHARACTER_STRING) {
        size_t len = value.len - done < CHARACTER_STRING ? value.len - done : CHARACTER_STRING;
        text_printf(out, "%s\"%.*s\"", done == 0 ? "" : " ", (int)len, value.data + done);
    }
    text_append(out, span_of("\n"));
}

static void print_address(struct text *out, const struct settings *settings, const char *domain)
{
    if (settings->dns_target != NULL)
        text_printf(out, "mta-sts.%s.\tIN\tCNAME\t%s.\n", domain, settings->dns_target);
    for (size_t i = 0; i < settings->dns_address_count; i++) {
        const char *address = settings->dns_addresses[i];
        text_printf(out, "mta-sts.%s.\tIN\t%s\t%s\n", domain,
                    strchr(address, ':') == NULL ? "A" : "AAAA", address);
    }
}

/* The records of one domain, with the bytes that senders agree on: one space
 * after each semicolon but the last, after which nothing follows. */
static void print_domain(struct text *out, const struct settings *settings,
                         const struct site_domain *domain)
{
    struct text value = {0};
    print_address(out, settings, domain->name);
    text_printf(&value, "v=STSv1; id=%s;", policy_id(domain->policy));
    print_txt(out, "_mta-sts", domain->name, (struct span){value.data, value.len});
    const char *rua = domain->tls_rpt != NULL ? domain->tls_rpt : settings->tls_rpt;
    if (rua != NULL) {
        text_free(&value);
        text_printf(&value, "v=TLSRPTv1; rua=%s", rua);
        print_txt(out, "_smtp._tls", domain->name, (struct span){value.data, value.len});
    }
    out->failed = out->failed || value.failed;
    text_free(&value);
}

/* False when the domain has no valid policy: a record would lead senders to nothing. */
static bool print_or_refuse(struct text *out, const struct settings *settings,
                            const struct site_domain *domain)
{
    if (domain->policy == NULL) {
        text_printf(out, "; %s: refused, publish nothing\n", domain->name);
        return false;
    }
    print_domain(out, settings, domain);
    return true;
}

static bool print_operands(struct text *out, const struct reading *reading,
                           const struct command_line *line)
{
    bool good = true;
    for (size_t i = 0; i < line->operand_count; i++) {
        const struct site_domain *domain = reading_find(reading, line->operands[i]);
        good = domain != NULL && print_or_refuse(out, &reading->configuration->settings, domain) &&
               good;
    }
    return good;
}

static bool print_all(struct text *out, const struct reading *reading)
{
    bool good = true;
    const struct site *site = reading->configuration->site;
    for (size_t i = 0; i < site_count(site); i++)
        good = print_or_refuse(out, &reading->configuration->settings, site_at(site, i)) && good;
    return good;
}

int command_dns(const struct command_line *line)
{
    struct text out = {0};
    struct reading reading = reading_new(line, true);
    int status = STATUS_WRONG;
    reading_print(&reading, DIAG_ERROR);
    if (reading.configuration == NULL)
        goto done;
    bool good =
        line->operand_count > 0 ? print_operands(&out, &reading, line) : print_all(&out, &reading);
    if (text_write(&out, STDOUT_FILENO) && good)
        status = STATUS_GOOD;
done:
    text_free(&out);
    reading_free(&reading);
    return status;
}
