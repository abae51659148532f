#include "probe/report.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const char NOT_REACHED[] = "no sender gets the policy from there";
static const char NO_FURTHER[] = "no sender gets further than this";
static const char NOT_VERIFIED[] = "no sender takes a policy from a server that it cannot verify";
static const char NOT_FOUND[] = "without it no sender looks for a policy (RFC 8461 section 3.1)";
static const char SUITES[] = "offer TLS 1.2 and 1.3 with ECDHE and AES-GCM or ChaCha20-Poly1305";
static const char PUBLISH[] = "publish what \"mta-sts-httpd dns\" prints for the domain";
static const char RENEW[] = "have a new certificate issued, and see that the server takes it over";
static const char REISSUE[] = "have a certificate issued for this very name";
static const char CHAIN[] = "serve the whole chain: fullchain.pem instead of cert.pem (nginx: "
                            "ssl_certificate, Apache: SSLCertificateFile)";
static const char STATUS_WHO[] =
    "every sender but Stalwart and danmarg, which never look, refuses it";
static const char MX_UNKNOWN[] = "nothing is known about the certificate of this host";
static const char MX_ELSEWHERE[] =
    "probe it from a machine that may send mail: many networks block "
    "port 25, and many servers refuse unknown clients";
static const char FASTER[] = "serve the policy from a machine that is near and awake";

#define ERROR   DIAG_ERROR
#define WARNING DIAG_WARNING

static const struct fault_rule rules[] = {
    {FAULT_DNS_FAILED, "dns-failed", STAGE_DNS, ERROR, "failed", NO_FURTHER,
     "see whether the name servers of the domain answer"},
    {FAULT_DNS_SERVFAIL, "dns-failed", STAGE_DNS, ERROR, "SERVFAIL", NO_FURTHER,
     "see whether the DNSSEC signatures of the domain are valid, and whether its name servers answer"},
    {FAULT_DNS_REFUSED, "dns-failed", STAGE_DNS, ERROR, "REFUSED",
     "no sender gets further than this, unless it is only this machine that is refused",
     "see whether the name servers of the domain serve it, and whether this machine may ask the name "
     "server in /etc/resolv.conf"},
    {FAULT_DNS_CUT, "dns-cut", STAGE_DNS, ERROR, "cut",
     "nothing is known about it: the name server of this machine does not give the answer",
     "see whether the name server in /etc/resolv.conf answers over TCP (port 53)"},
    {FAULT_DNS_SILENT, "dns-silent", STAGE_DNS, ERROR, "no answer",
     "senders wait for the answer, and many time out first",
     "see whether the name servers of the domain answer questions of every type"},
    {FAULT_DNS_MUTE, "dns-silent", STAGE_DNS, ERROR, "no answer",
     "nothing is known about this domain: either its name servers are silent, or that of this "
     "machine",
     "probe another domain to see which"},
    {FAULT_DNS_HERE, "dns-here", STAGE_DNS, ERROR, "not asked",
     "nothing is known about this domain",
     "correct /etc/resolv.conf, or start the name server that it names"},
    {FAULT_DNS_FAMILY, "dns-family", STAGE_DNS, WARNING, "family",
     "some senders treat the host as one without an address",
     "see whether the name servers of the domain answer questions of both types"},
    {FAULT_DNS_SLOW, "dns-slow", STAGE_DNS, WARNING, "slow", "postfix-tlspol gives up after 2 s",
     "see why the name servers of the domain answer late"},
    {FAULT_NO_ADDRESS, "no-address", STAGE_DNS, ERROR, "no address", NOT_REACHED,
     "publish an A, AAAA or CNAME record for it"},
    {FAULT_RECORD_MISSING, "record-missing", STAGE_DNS, ERROR, "no record", NOT_FOUND, PUBLISH},
    {FAULT_RECORD_SEVERAL, "record-several", STAGE_DNS, ERROR, "records",
     "with more than one, senders must take the domain for one without a policy (RFC 8461 section "
     "3.1)",
     "leave only the right one"},
    {FAULT_RECORD_OTHERS, "record-others", STAGE_DNS, WARNING, "other TXT",
     "other TXT records at the name disturb KumoMTA and checkdmarc",
     "leave only the one of MTA-STS"},
    {FAULT_RECORD_FORM, "record-form", STAGE_DNS, ERROR, "record", NOT_FOUND, PUBLISH},
    {FAULT_RECORD_QUOTED, "record-quoted", STAGE_DNS, ERROR, "quoted", NOT_FOUND,
     "leave out the quotation marks: they belong to the form of zone files, not to the value"},
    {FAULT_RECORD_SPACE_BEFORE, "record-space-before", STAGE_DNS, ERROR, "record",
     "halon, chasquid, aykevl and mailpiece do not understand it", PUBLISH},
    {FAULT_RECORD_SPACE_BEHIND, "record-space-behind", STAGE_DNS, ERROR, "record",
     "KumoMTA does not understand it", PUBLISH},
    {FAULT_RECORD_ID, "record-id-number", STAGE_DNS, WARNING, "id",
     "the Exim script compares ids as numbers and may miss a change", PUBLISH},
    {FAULT_RECORD_DIFFERS, "record-id", STAGE_DNS, ERROR, "old id",
     "senders that have an older policy keep it until the id changes", PUBLISH},
    {FAULT_RECORD_ALIAS, "record-alias", STAGE_DNS, WARNING, "alias",
     "senders do not see the record that tells of the domain's policy", PUBLISH},
    {FAULT_MX_NULL, "mx-null", STAGE_DNS, DIAG_NOTE, NULL,
     "the domain takes no mail (RFC 7505), so a policy is of no use to it", NULL},
    {FAULT_MX_NULL_AMONG, "mx-null-among", STAGE_DNS, WARNING, "null mx",
     "it must stand alone (RFC 7505 section 3), and some senders deliver no mail",
     "remove it, or the others"},
    {FAULT_MX_UNKNOWN, "mx-unknown", STAGE_DNS, WARNING, "mx",
     "senders deliver no mail meanwhile, and the policy is not compared with the MX",
     "see whether the name servers of the domain answer questions of every type"},
    {FAULT_MX_ALIAS, "mx-alias", STAGE_DNS, WARNING, "mx alias",
     "an MX must be no alias (RFC 2181 section 10.3): Postfix compares the name in the MX record with "
     "the policy, Exim that which it leads to, and both the former with the certificate",
     "write the other name into the MX record, and list both in mx before"},
    {FAULT_MX_HELD, "mx-held", STAGE_DNS, WARNING, "held mx",
     "these senders use the other hosts only",
     "\"mta-sts-httpd list --held\" tells from when on it may stand alone"},
    {FAULT_MX_HELD_ALL, "mx-held-all", STAGE_DNS, ERROR, "held mx",
     "these senders deliver no mail to the domain",
     "bring back the MX record of a host that the policy names"},
    {FAULT_REFUSED, "refused", STAGE_CONNECT, ERROR, "refused", NOT_REACHED,
     "see whether the server runs and listens on this address"},
    {FAULT_UNREACHABLE, "unreachable", STAGE_CONNECT, ERROR, "unreachable", NOT_REACHED,
     "correct the address record, the route or the firewall"},
    {FAULT_NO_ROUTE, "no-route", STAGE_CONNECT, DIAG_NOTE, "no route",
     "this machine has no address of that family, so nothing is known about it", NULL},
    {FAULT_CONNECT_TIMEOUT, "connect-timeout", STAGE_CONNECT, ERROR, "timeout", NOT_REACHED,
     "see whether a firewall drops what comes to the port"},
    {FAULT_NOT_ASKED, "not-asked", STAGE_CONNECT, WARNING, "not asked",
     "nothing is known about this address", "give it more time with --timeout"},
    {FAULT_SMTP_SILENT, "smtp-silent", STAGE_CONNECT, WARNING, "silent", MX_UNKNOWN, MX_ELSEWHERE},
    {FAULT_SMTP_REFUSED, "smtp-refused", STAGE_CONNECT, WARNING, "refused", MX_UNKNOWN,
     MX_ELSEWHERE},
    {FAULT_SMTP_MALFORMED, "smtp-malformed", STAGE_TLS, ERROR, "not SMTP", NOT_REACHED,
     "see what listens on this port"},
    {FAULT_STARTTLS_MISSING, "starttls-missing", STAGE_TLS, ERROR, "no STARTTLS", NOT_REACHED,
     "switch on TLS for mail that comes in, and see that no firewall removes STARTTLS"},
    {FAULT_STARTTLS_REFUSED, "starttls-refused", STAGE_TLS, ERROR, "refused", NOT_REACHED,
     "see the server's log"},
    {FAULT_SMTP_AHEAD, "smtp-ahead", STAGE_TLS, ERROR, "ahead", NOT_REACHED,
     "see whether somebody in between adds to what the server sends"},
    {FAULT_TLS_TIMEOUT, "tls-timeout", STAGE_TLS, ERROR, "timeout", NOT_REACHED, NULL},
    {FAULT_TLS_OLD, "tls-old", STAGE_TLS, ERROR, "old TLS",
     "RFC 8461 section 3.3 and every sender ask for TLS 1.2 or newer", SUITES},
    {FAULT_TLS_13_ONLY, "tls-1.3-only", STAGE_TLS, WARNING, "1.3 only",
     "mimecast supports nothing newer than TLS 1.2", SUITES},
    {FAULT_TLS_12_TIMEOUT, "tls-1.2-timeout", STAGE_TLS, WARNING, "1.2 hangs",
     "mimecast supports nothing newer than TLS 1.2", SUITES},
    {FAULT_TLS_NAME, "tls-name", STAGE_TLS, ERROR, "no name", NOT_REACHED,
     "configure the domain there, and see that its certificate is found"},
    {FAULT_TLS_SUITES, "tls-suites", STAGE_TLS, ERROR, "no suite", NOT_REACHED, SUITES},
    {FAULT_TLS_ALERT, "tls-alert", STAGE_TLS, ERROR, "alert", NOT_REACHED, "see the server's log"},
    {FAULT_TLS_CLOSED, "tls-closed", STAGE_TLS, ERROR, "closed", NOT_REACHED,
     "see the server's log; it may not know the name"},
    {FAULT_TLS_BROKEN, "tls-broken", STAGE_TLS, ERROR, "broken", NOT_REACHED,
     "see the server's log"},
    {FAULT_PLAIN_HTTP, "plain-http", STAGE_TLS, ERROR, "plain HTTP", NOT_REACHED,
     "switch on TLS for this port"},
    {FAULT_NOT_TLS, "not-tls", STAGE_TLS, ERROR, "not TLS", NOT_REACHED,
     "see what listens on this port"},
    {FAULT_CERTIFICATE_UNREADABLE, "certificate-unreadable", STAGE_CERTIFICATE, ERROR, "unreadable",
     NOT_VERIFIED, RENEW},
    {FAULT_CERTIFICATE_EXPIRED, "certificate-expired", STAGE_CERTIFICATE, ERROR, "expired",
     NOT_VERIFIED, RENEW},
    {FAULT_CERTIFICATE_NOT_YET, "certificate-not-yet-valid", STAGE_CERTIFICATE, ERROR,
     "not yet valid", NOT_VERIFIED, "see whether the clocks are right; else wait"},
    {FAULT_CERTIFICATE_ENDS_SOON, "certificate-ends-soon", STAGE_CERTIFICATE, WARNING, "ends soon",
     "after that no sender accepts the server", RENEW},
    {FAULT_CERTIFICATE_NAME, "certificate-name", STAGE_CERTIFICATE, ERROR, "other name",
     NOT_VERIFIED, REISSUE},
    {FAULT_CERTIFICATE_SELF_SIGNED, "certificate-self-signed", STAGE_CERTIFICATE, ERROR,
     "self-signed", NOT_VERIFIED, "have one issued by a public authority, such as Let's Encrypt"},
    {FAULT_CERTIFICATE_INCOMPLETE, "certificate-incomplete", STAGE_CERTIFICATE, ERROR, "incomplete",
     "browsers may fetch what is missing, senders do not and refuse the policy", CHAIN},
    {FAULT_CERTIFICATE_UNKNOWN_ROOT, "certificate-unknown-root", STAGE_CERTIFICATE, ERROR,
     "unknown root", NOT_VERIFIED,
     "have one issued by a public authority; --ca FILE names others to this program"},
    {FAULT_CERTIFICATE_CHAIN_EXPIRED, "certificate-chain-expired", STAGE_CERTIFICATE, ERROR,
     "chain expired", NOT_VERIFIED, RENEW},
    {FAULT_CERTIFICATE_KEY, "certificate-key", STAGE_CERTIFICATE, ERROR, "key",
     "senders verify P-256, P-384 and RSA of 2048 bits or more", RENEW},
    {FAULT_CERTIFICATE_WEAK, "certificate-weak", STAGE_CERTIFICATE, ERROR, "weak", NOT_VERIFIED,
     RENEW},
    {FAULT_CERTIFICATE_USAGE, "certificate-usage", STAGE_CERTIFICATE, ERROR, "usage", NOT_VERIFIED,
     "have one issued for TLS servers"},
    {FAULT_CERTIFICATE_LARGE, "certificate-large", STAGE_CERTIFICATE, ERROR, "large",
     "most senders read that much, but this program does not: nothing that follows is known",
     "send the certificate and those between it and the authority, and nothing else"},
    {FAULT_CERTIFICATE_COSTLY, "certificate-key-costly", STAGE_CERTIFICATE, ERROR, "costly key",
     "OpenSSL and Go refuse such keys, because checking a signature takes too long", RENEW},
    {FAULT_CERTIFICATE_CONSTRAINED, "certificate-constrained", STAGE_CERTIFICATE, ERROR,
     "constrained", NOT_VERIFIED, "have one issued by an authority that may issue for the domain"},
    {FAULT_CERTIFICATE_NOT_JUDGED, "certificate-not-judged", STAGE_CERTIFICATE, DIAG_NOTE, NULL,
     "senders that do not know a critical extension refuse the chain (RFC 5280 section 4.2)", NULL},
    {FAULT_CERTIFICATE_STAPLE, "certificate-must-staple", STAGE_CERTIFICATE, WARNING, "staple",
     "senders with GnuTLS refuse it when the server sends none, which is not checked here",
     "have one issued without must-staple"},
    {FAULT_CERTIFICATE_TAIL_EXPIRED, "certificate-cross-expired", STAGE_CERTIFICATE, DIAG_NOTE,
     NULL, "senders with OpenSSL before 1.1.0 or GnuTLS before 3.6.14 refuse the chain",
     "leave it out of the chain"},
    {FAULT_HTTP_TIMEOUT, "http-timeout", STAGE_HTTP, ERROR, "timeout", NOT_REACHED, FASTER},
    {FAULT_HTTP_CLOSED, "http-closed", STAGE_HTTP, ERROR, "closed", NOT_REACHED,
     "see the server's log"},
    {FAULT_HTTP_MALFORMED, "http-malformed", STAGE_HTTP, ERROR, "malformed",
     "strict senders refuse what they cannot read in one way only",
     "see what is in front of the server"},
    {FAULT_REDIRECT, "redirect", STAGE_HTTP, ERROR, "redirect",
     "senders must not follow it (RFC 8461 section 3.3); some testers do and look green",
     "answer with the policy itself"},
    {FAULT_STATUS, "status", STAGE_HTTP, ERROR, NULL, STATUS_WHO, "answer with the policy"},
    {FAULT_STATUS_2XX, "status-2xx", STAGE_HTTP, ERROR, NULL,
     "every sender but mailauth, Stalwart and danmarg refuses it", "answer with status 200"},
    {FAULT_TYPE_MISSING, "content-type-missing", STAGE_HTTP, ERROR, "no type",
     "KumoMTA and checkdmarc refuse it, and RFC 8461 section 3.3 advises all senders to",
     "send Content-Type: text/plain"},
    {FAULT_TYPE, "content-type", STAGE_HTTP, ERROR, "type",
     "KumoMTA and checkdmarc refuse it, and RFC 8461 section 3.3 advises all senders to",
     "send Content-Type: text/plain"},
    {FAULT_TYPE_CASE, "content-type-case", STAGE_HTTP, ERROR, "type",
     "KumoMTA and checkdmarc compare it in lower case", "send Content-Type: text/plain"},
    {FAULT_COMPRESSED, "content-encoding", STAGE_HTTP, ERROR, "encoded",
     "no sender asks for an encoding, so senders read the bytes as they are",
     "switch off compression"},
    {FAULT_SLOW, "slow", STAGE_HTTP, WARNING, "slow", "postfix-tlspol gives up after 2 s", FASTER},
    {FAULT_SLOW_4, "slow", STAGE_HTTP, ERROR, "slow",
     "postfix-tlspol gives up after 2 s, postfix-mta-sts-resolver after 4 s", FASTER},
    {FAULT_SLOW_5, "slow", STAGE_HTTP, ERROR, "slow",
     "postfix-tlspol gives up after 2 s, postfix-mta-sts-resolver after 4 s, halon after 5 s",
     FASTER},
    {FAULT_LARGE, "large-most", STAGE_POLICY, ERROR, "large", "most senders read no further",
     "leave out what is no policy"},
    {FAULT_POLICY_DIFFERS, "policy-differs", STAGE_POLICY, ERROR, "differs",
     "senders enforce what is served, not what is configured",
     "reload the server, or see which server answers there"},
    {FAULT_MX_REFUSED, "mx-refused", STAGE_POLICY, ERROR, "mx",
     "senders that enforce the policy refuse this host", "list it in mx, or remove its MX record"},
    {FAULT_MX_UNCOVERED, "mx-uncovered", STAGE_POLICY, WARNING, "mx",
     "senders would refuse this host if the policy were enforced",
     "list it in mx, or remove its MX record"},
    {FAULT_MX_NONE, "mx-none", STAGE_POLICY, WARNING, "mx",
     "senders that enforce the policy refuse it; if the domain has no mail, it does no harm",
     "publish the MX records of the domain, or list it in mx"},
    {FAULT_MX_UNUSED, "mx-unused", STAGE_POLICY, DIAG_NOTE, NULL,
     "an mx that is not used yet, or not any more, does no harm", NULL},
    {FAULT_UNFINISHED, "unfinished", STAGE_HTTP, ERROR, "unfinished",
     "the report on this domain is incomplete", "give it more time with --timeout"},
    {FAULT_INTERNAL, "internal", STAGE_DNS, ERROR, "not asked",
     "nothing is known about this domain", "try again"},
};

const struct fault_rule *fault_rule(enum fault fault)
{
    assert((size_t)fault < sizeof(rules) / sizeof(rules[0]) && rules[fault].fault == fault);
    return &rules[fault];
}

const char *stage_text(enum stage stage)
{
    static const char *const texts[STAGES] = {"dns",         "connect", "tls",
                                              "certificate", "http",    "policy"};
    return texts[stage];
}

void report_begin(struct report *report, const char *domain)
{
    memset(report, 0, sizeof(*report));
    (void)snprintf(report->domain, sizeof(report->domain), "%s", domain); /* a valid name fits */
}

/* The place of the next finding. When there is no room, a graver one takes that of the last of the
 * least. NULL when there is none that is less grave. */
static struct report_finding *room_for(struct report *report, enum diag_level level)
{
    struct report_finding *least = NULL;
    if (report->finding_count < LIMIT_PROBE_FINDINGS)
        return &report->findings[report->finding_count];
    report->lost++;
    for (size_t i = 0; i < report->finding_count; i++)
        if (report->findings[i].level > level &&
            (least == NULL || report->findings[i].level >= least->level))
            least = &report->findings[i];
    return least;
}

void report_add_finding(struct report *report, const struct report_finding *finding)
{
    struct report_finding added = *finding;
    added.visits = report->visiting;
    for (size_t i = 0; i < report->finding_count; i++) {
        struct report_finding *same = &report->findings[i];
        if (strcmp(same->code, added.code) != 0 || same->line != added.line ||
            same->column != added.column || (same->visits == 0) != (added.visits == 0) ||
            strcmp(same->message, added.message) != 0)
            continue;
        same->visits |= added.visits;
        return;
    }
    struct report_finding *place = room_for(report, added.level);
    if (place == NULL)
        return;
    *place = added;
    atomic_signal_fence(memory_order_release);
    if (place == &report->findings[report->finding_count])
        report->finding_count++;
}

struct report_visit *report_add_visit(struct report *report, const struct address *address)
{
    struct report_visit *visit = &report->visits[report->visit_count];
    (void)snprintf(visit->address, sizeof(visit->address), "%s", address->text); /* of equal size */
    atomic_signal_fence(memory_order_release);
    report->visiting = 1U << report->visit_count++;
    return visit;
}

struct report_words report_seconds(int64_t ms)
{
    struct report_words words; /* two numbers fit */
    int64_t tenths = (ms + 50) / 100;
    if (tenths % 10 == 0)
        (void)snprintf(words.text, sizeof(words.text), "%" PRId64 " s", tenths / 10);
    else
        (void)snprintf(words.text, sizeof(words.text), "%" PRId64 ".%" PRId64 " s", tenths / 10,
                       tenths % 10);
    return words;
}

struct report_words report_show(struct span bytes, size_t limit)
{
    struct report_words words;
    struct text shown = {0};
    text_escape(&shown, bytes, limit);
    (void)snprintf(words.text, sizeof(words.text), "%s", shown.data == NULL ? "" : shown.data);
    text_free(&shown);
    return words;
}

/* Senders that enforce a policy refuse an MX for its TLS, but not for what hinders this program alone. They
 * wait for minutes. */
static void judge_mx_fault(const struct report *report, enum fault fault,
                           struct report_finding *finding)
{
    bool is_unknown = finding->stage <= STAGE_CONNECT || fault == FAULT_TLS_TIMEOUT ||
                      fault == FAULT_TLS_SUITES || fault == FAULT_CERTIFICATE_LARGE;
    enum diag_level least = is_unknown && report->mx_level < WARNING ? WARNING : report->mx_level;
    const char *senders =
        is_unknown ? MX_UNKNOWN
        : least == ERROR
            ? "senders that enforce the policy of the domain do not deliver to this host"
            : "senders would not deliver to this host if the policy of the domain were enforced";
    if (fault == FAULT_INTERNAL || fault == FAULT_UNFINISHED)
        return;
    if (finding->level == ERROR) {
        (void)snprintf(finding->senders, sizeof(finding->senders), "%s", senders);
        if (finding->stage == STAGE_CONNECT)
            (void)snprintf(finding->fix, sizeof(finding->fix), "%s", MX_ELSEWHERE);
    }
    if (finding->level < least)
        finding->level = least;
}

void report_add(struct report *report, enum fault fault, const char *format, ...)
{
    const struct fault_rule *rule = fault_rule(fault);
    struct report_finding finding = {
        .code = rule->code,
        .stage = rule->stage,
        .level = rule->level,
        .cell = rule->cell,
    };
    va_list arguments;
    va_start(arguments, format);
    /* What does not fit is cut: who reads it knows the names by then. */
    (void)vsnprintf(finding.message, sizeof(finding.message), format, arguments);
    va_end(arguments);
    (void)snprintf(finding.senders, sizeof(finding.senders), "%s", rule->senders);
    (void)snprintf(finding.fix, sizeof(finding.fix), "%s", rule->fix == NULL ? "" : rule->fix);
    if (report->is_mx)
        judge_mx_fault(report, fault, &finding);
    report_add_finding(report, &finding);
}

const struct report_finding *report_gravest(const struct report *report,
                                            const struct report_visit *visit, enum stage stage)
{
    const struct report_finding *gravest = NULL;
    unsigned bit = visit == NULL ? 0 : 1U << (visit - report->visits);
    for (size_t i = 0; i < report->finding_count; i++) {
        const struct report_finding *finding = &report->findings[i];
        bool concerns = finding->visits == 0 || (finding->visits & bit) != 0;
        if (finding->stage == stage && concerns &&
            (gravest == NULL || finding->level < gravest->level))
            gravest = finding;
    }
    return gravest;
}

bool report_is_out_of_reach(const struct report *report, const struct report_visit *visit)
{
    const struct report_finding *finding = report_gravest(report, visit, STAGE_CONNECT);
    return visit->reached == STAGE_CONNECT && finding != NULL && finding->level == DIAG_NOTE;
}

enum diag_level report_level(const struct report *report)
{
    enum diag_level level = DIAG_NOTE;
    for (size_t i = 0; i < report->finding_count; i++)
        if (report->findings[i].level < level)
            level = report->findings[i].level;
    return level;
}
