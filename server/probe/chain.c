#include "probe/chain.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/calendar.h"
#include "certificates/der.h"
#include "certificates/key.h"
#include "policy/name.h"
#include "site/site.h"

bool chain_covers(const struct certificate *leaf, struct span host)
{
    for (size_t i = 0; i < leaf->name_count; i++)
        if (name_matches(leaf->names[i], host)) /* a star is the same here as in a policy */
            return true;
    return false;
}

static void judge_names(const struct chain *chain)
{
    const struct certificate *leaf = chain->items[0];
    const char *host = chain->host;
    if (chain_covers(leaf, span_of(host)))
        return;
    if (leaf->name_count == 0 && leaf->flags.has_dns_names) {
        struct span written = {NULL, 0};
        (void)der_next_name(chain->der[0], &written); /* there is one */
        report_add(chain->report, FAULT_CERTIFICATE_NAME,
                   "the certificate has no valid DNS name (\"%s\" is none), so it is not for %s",
                   report_show(written, 80).text, host);
        return;
    }
    if (leaf->name_count == 0) {
        report_add(chain->report, FAULT_CERTIFICATE_NAME,
                   "the certificate has no DNS name in its subject alternative name, so it is not "
                   "for %s",
                   host);
        return;
    }
    char more[32] = "";
    if (leaf->name_count > 1) /* a number fits */
        (void)snprintf(more, sizeof(more), " and %zu more", leaf->name_count - 1);
    report_add(chain->report, FAULT_CERTIFICATE_NAME, "the certificate is for %.*s%s, not for %s",
               (int)leaf->names[0].len, leaf->names[0].data, more, host);
}

static void judge_dates(const struct chain *chain)
{
    const struct certificate *leaf = chain->items[0];
    int64_t now = chain->now;
    int64_t left = leaf->not_after - now;
    const struct calendar_text end = calendar_day(leaf->not_after);
    if (now < leaf->not_before)
        report_add(chain->report, FAULT_CERTIFICATE_NOT_YET,
                   "the certificate is valid from %s on, not yet",
                   calendar_day(leaf->not_before).text);
    else if (left < 0)
        report_add(chain->report, FAULT_CERTIFICATE_EXPIRED, "the certificate expired on %s",
                   end.text);
    else if (now > verdict_warning_time(leaf->not_before, leaf->not_after, chain->warning))
        report_add(chain->report, FAULT_CERTIFICATE_ENDS_SOON,
                   "the certificate expires on %s, in %" PRId64 " day%s", end.text,
                   calendar_days(left), calendar_days(left) == 1 ? "" : "s");
}

static void judge_leaf(const struct chain *chain)
{
    const struct certificate *leaf = chain->items[0];
    if (!leaf->kind.accepted)
        report_add(chain->report, FAULT_CERTIFICATE_KEY, "the key of the certificate is %s",
                   leaf->kind.text);
    if (!leaf->flags.may_serve || !leaf->flags.may_sign)
        report_add(chain->report, FAULT_CERTIFICATE_USAGE,
                   "the certificate is not made for TLS servers");
    if (leaf->flags.must_staple)
        report_add(chain->report, FAULT_CERTIFICATE_STAPLE,
                   "the certificate demands a stapled OCSP response");
    judge_names(chain);
    judge_dates(chain);
}

/* The certificate among those sent that made the signature of this one; count when there is none.
 * checks is how many signatures may still be verified. */
static size_t issuer_of(const struct chain *chain, size_t child, int *checks)
{
    for (size_t i = 0; *checks > 0 && i < chain->count; i++)
        if (i != child && chain->items[i]->fault == CERTIFICATE_SOUND &&
            span_equal(chain->items[child]->issuer, chain->items[i]->subject) &&
            !public_key_is_costly(chain->der[i]) && (*checks)-- > 0 &&
            certificate_is_signed_by(chain->items[child], chain->items[i]))
            return i;
    return chain->count;
}

/* No authority was found: where does what was sent end, and how? */
static void explain_distrust(const struct chain *chain)
{
    char issuer[CERTIFICATE_NAME_SIZE];
    int checks = LIMIT_CHAIN_CHECKS;
    size_t top = 0;
    for (size_t steps = 0; steps < chain->count && !chain->items[top]->flags.is_self_issued;
         steps++) {
        size_t next = issuer_of(chain, top, &checks);
        if (next == chain->count)
            break;
        top = next;
    }
    certificate_issuer_text(chain->items[top], issuer);
    if (top == 0 && chain->items[0]->flags.is_self_issued)
        report_add(chain->report, FAULT_CERTIFICATE_SELF_SIGNED, "the certificate is self-signed");
    else if (top == 0)
        report_add(chain->report, FAULT_CERTIFICATE_INCOMPLETE,
                   "the chain is incomplete: the certificate of the issuer (%s) is not sent",
                   report_show(span_of(issuer), sizeof(issuer)).text);
    else
        report_add(chain->report, FAULT_CERTIFICATE_UNKNOWN_ROOT,
                   "the chain ends at an authority that is not trusted (%s)",
                   report_show(span_of(issuer), sizeof(issuer)).text);
}

/* What stands on the way to the authority that was found. */
static void judge_way(const struct chain *chain, const struct trust_verdict *verdict)
{
    if (verdict->is_expired)
        report_add(chain->report, FAULT_CERTIFICATE_CHAIN_EXPIRED,
                   "a certificate above that of the server has expired or is not valid yet (%s)",
                   report_show(span_of(verdict->expired), TRUST_NAME_SIZE).text);
    if (verdict->is_constrained)
        report_add(chain->report, FAULT_CERTIFICATE_CONSTRAINED,
                   "the authority %s may not issue for %s (name constraints)",
                   report_show(span_of(verdict->constrained), TRUST_NAME_SIZE).text,
                   report_show(span_of(verdict->forbidden), TRUST_NAME_SIZE).text);
    if (verdict->not_judged != NULL)
        report_add(chain->report, FAULT_CERTIFICATE_NOT_JUDGED,
                   "the authority %s has a critical extension that is not checked here (%s)",
                   report_show(span_of(verdict->not_judged_of), TRUST_NAME_SIZE).text,
                   verdict->not_judged);
    if (verdict->is_weak && chain->items[0]->kind.accepted)
        report_add(chain->report, FAULT_CERTIFICATE_WEAK,
                   "a key or signature in the chain is too weak");
}

/* One that was sent and has expired, while senders of today find another way. */
static void judge_tail(const struct chain *chain)
{
    for (size_t i = 1; i < chain->count; i++) {
        const struct certificate *item = chain->items[i];
        if (item->fault != CERTIFICATE_SOUND || item->not_after >= chain->now)
            continue;
        report_add(chain->report, FAULT_CERTIFICATE_TAIL_EXPIRED,
                   "a certificate that is sent without need expired on %s",
                   calendar_day(item->not_after).text);
    }
}

static void judge_trust(const struct chain *chain)
{
    struct trust_verdict verdict;
    if (chain->trust == NULL)
        return;
    if (!trust_judge(chain->trust, chain->der, chain->count, chain->now, &verdict)) {
        report_add(chain->report, FAULT_CERTIFICATE_UNREADABLE, "the certificate cannot be read");
        return;
    }
    if (!verdict.is_trusted && verdict.is_costly) {
        report_add(chain->report, FAULT_CERTIFICATE_COSTLY,
                   "a key above the certificate has an RSA exponent of more than 32 bits");
        return;
    }
    if (!verdict.is_trusted) {
        explain_distrust(chain);
        return;
    }
    judge_way(chain, &verdict);
    if (!verdict.is_expired)
        judge_tail(chain);
}

void chain_judge(struct chain *chain, struct report *report, struct report_visit *visit)
{
    chain->report = report;
    for (size_t i = 0; i < chain->count; i++)
        chain->items[i] = certificate_new(chain->der[i]);
    const struct certificate *leaf = chain->items[0];
    enum certificate_fault fault = chain->count == 0 ? CERTIFICATE_JUNK : leaf->fault;
    if (fault == CERTIFICATE_SOUND) {
        visit->has_certificate = true;
        visit->not_before = leaf->not_before;
        visit->not_after = leaf->not_after;
        (void)snprintf(visit->key, sizeof(visit->key), "%s", leaf->kind.text); /* it fits */
        certificate_issuer_text(leaf, visit->issuer);
        judge_leaf(chain);
        judge_trust(chain);
    } else if (fault == CERTIFICATE_KEY) {
        report_add(report, FAULT_CERTIFICATE_KEY, "the key of the certificate is %s",
                   leaf->kind.text);
    } else {
        report_add(report, FAULT_CERTIFICATE_UNREADABLE,
                   fault == CERTIFICATE_EXTENSION
                       ? "the certificate has a critical extension that senders do not know"
                       : "the certificate cannot be read");
    }
    for (size_t i = 0; i < chain->count; i++)
        certificate_free(chain->items[i]);
}
