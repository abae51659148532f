#include "serve/answer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/calendar.h"
#include "base/limits.h"
#include "serve/connection.h"
#include "site/site.h"

static const char exposition_type[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";

enum source {
    COUNTED, /* by workers */
    GAUGE,   /* of the supervisor */
    KNOWN,   /* the same, which is not there while it is 0 */
};

enum { SAMPLES_MOST = 12 };

/* The metrics, in the order in which they are printed: OpenMetrics 1.0.0, which Prometheus and its
 * relatives read. The names are a promise to whoever has alerts. A counter's samples end in _total. */
static const struct family {
    const char *name; /* behind mta_sts_httpd_ */
    const char *type;
    const char *help;
    struct {
        const char *labels; /* with braces; NULL: the samples end */
        unsigned index;     /* which counter or gauge */
    } samples[SAMPLES_MOST];
    enum source source;
} families[] = {
    {"handshakes",
     "counter",
     "TLS handshakes by version and result: done, or why they failed.",
     {{"{version=\"1.2\",result=\"done\"}", STATS_HANDSHAKE_TLS12},
      {"{version=\"1.3\",result=\"done\"}", STATS_HANDSHAKE_TLS13},
      {"{version=\"none\",result=\"no_name\"}", STATS_HANDSHAKE_NO_NAME},
      {"{version=\"none\",result=\"unknown_name\"}", STATS_HANDSHAKE_UNKNOWN_NAME},
      {"{version=\"none\",result=\"old_version\"}", STATS_HANDSHAKE_VERSION},
      {"{version=\"none\",result=\"nothing_in_common\"}", STATS_HANDSHAKE_IN_COMMON},
      {"{version=\"none\",result=\"refused_by_client\"}", STATS_HANDSHAKE_REFUSED},
      {"{version=\"none\",result=\"closed_by_client\"}", STATS_HANDSHAKE_CLOSED},
      {"{version=\"none\",result=\"timeout\"}", STATS_HANDSHAKE_TIMEOUT},
      {"{version=\"none\",result=\"memory\"}", STATS_HANDSHAKE_MEMORY},
      {"{version=\"none\",result=\"protocol\"}", STATS_HANDSHAKE_PROTOCOL}},
     COUNTED},
    {"fetches",
     "counter",
     "Requests to the listeners for policies, by status code of the answer.",
     {{"{code=\"200\"}", STATS_FETCH_200},
      {"{code=\"400\"}", STATS_FETCH_400},
      {"{code=\"404\"}", STATS_FETCH_404},
      {"{code=\"405\"}", STATS_FETCH_405},
      {"{code=\"421\"}", STATS_FETCH_421},
      {"{code=\"431\"}", STATS_FETCH_431},
      {"{code=\"503\"}", STATS_FETCH_503},
      {"{code=\"505\"}", STATS_FETCH_505}},
     COUNTED},
    {"connections",
     "gauge",
     "Connections that workers hold now, those of monitors included.",
     {{"", STATS_CONNECTIONS}},
     COUNTED},
    {"connections_evicted",
     "counter",
     "Connections that gave way to others because a worker was full.",
     {{"", STATS_EVICTED}},
     COUNTED},
    {"connections_limited",
     "counter",
     "Connections that gave way to others of their own network.",
     {{"", STATS_LIMITED}},
     COUNTED},
    {"domains",
     "gauge",
     "Configured domains by state; a stale one is served with its last valid policy.",
     {{"{state=\"served\"}", STATS_DOMAINS_SERVED},
      {"{state=\"stale\"}", STATS_DOMAINS_STALE},
      {"{state=\"refused\"}", STATS_DOMAINS_REFUSED},
      {"{state=\"no-certificate\"}", STATS_DOMAINS_NO_CERTIFICATE}},
     GAUGE},
    {"domains_tested_long",
     "gauge",
     "Domains whose policy is in testing for more than a month, as far as it was recorded.",
     {{"", STATS_TESTED_LONG}},
     GAUGE},
    {"domains_held_against",
     "gauge",
     "Domains of which senders may hold something that disagrees with the policy; check tells what.",
     {{"", STATS_HELD_AGAINST}},
     GAUGE},
    {"certificate_not_after_timestamp_seconds",
     "gauge",
     "When the first of the certificates in use ends, in seconds since 1970.",
     {{"", STATS_NOT_AFTER}},
     KNOWN},
    {"certificate_warning_timestamp_seconds",
     "gauge",
     "From when on the first of the certificates in use is warned of, in seconds since 1970.",
     {{"", STATS_WARNING}},
     KNOWN},
    {"reloads",
     "counter",
     "Reloads by result; after a refused one everything is served as before.",
     {{"{result=\"done\"}", STATS_RELOADS_DONE}, {"{result=\"refused\"}", STATS_RELOADS_REFUSED}},
     GAUGE},
    {"last_reload_success_timestamp_seconds",
     "gauge",
     "When the configuration that is served was loaded, in seconds since 1970.",
     {{"", STATS_LAST_RELOAD}},
     KNOWN},
    {"workers_replaced",
     "counter",
     "Workers that died and were replaced.",
     {{"", STATS_WORKERS_REPLACED}},
     GAUGE},
    {"resident_memory_bytes",
     "gauge",
     "Resident memory of the supervisor and of all workers; what they share counts in each.",
     {{"{process=\"supervisor\"}", STATS_MEMORY_SUPERVISOR},
      {"{process=\"workers\"}", STATS_MEMORY_WORKERS}},
     KNOWN},
};

static void print_head(const char *name, const char *type, const char *help, struct text *out)
{
    text_printf(out, "# HELP mta_sts_httpd_%s %s\n# TYPE mta_sts_httpd_%s %s\n", name, help, name,
                type);
}

static void print_family(const struct stats *stats, const struct family *family, struct text *out)
{
    const char *suffix = strcmp(family->type, "counter") == 0 ? "_total" : "";
    print_head(family->name, family->type, family->help, out);
    for (size_t i = 0; i < SAMPLES_MOST && family->samples[i].labels != NULL; i++) {
        unsigned index = family->samples[i].index;
        int64_t value = family->source == COUNTED ? (int64_t)stats_sum(stats, index)
                                                  : stats_gauge(stats, index);
        if (value != 0 || family->source != KNOWN)
            text_printf(out, "mta_sts_httpd_%s%s%s %" PRId64 "\n", family->name, suffix,
                        family->samples[i].labels, value);
    }
}

struct senders {
    struct fetch_record *items; /* owned; LIMIT_SENDERS */
    size_t count;
};

/* Keeps the latest first. Each worker that one and the same sender came to has an entry of its own. */
static void add(struct senders *senders, struct fetch_record record)
{
    struct fetch_record *items = senders->items;
    size_t place = 0;
    while (place < senders->count && (strcmp(items[place].agent, record.agent) != 0 ||
                                      strcmp(items[place].network, record.network) != 0))
        place++;
    if (place < senders->count) {
        record.count += items[place].count;
        if (items[place].last >= record.last) {
            items[place].count = record.count;
            return;
        }
    } else if (senders->count < LIMIT_SENDERS) {
        senders->count++;
    } else if (items[--place].last >= record.last) {
        return;
    }
    for (; place > 0 && items[place - 1].last < record.last; place--)
        items[place] = items[place - 1];
    items[place] = record;
}

/* What workers have written is escaped as if a client had written it there. */
static void print(const struct fetch_record *record, struct text *out)
{
    text_printf(out, "%s\t%" PRIu64 "\t", calendar_iso_time(record->last / 1000000).text,
                record->count);
    text_escape(out, span_of(record->id), LIMIT_ID);
    text_append(out, span_of("\t"));
    text_escape(out, span_of(record->network), CLIENT_ADDRESS_SIZE);
    text_append(out, span_of("\t"));
    text_escape(out, span_of(record->agent), LIMIT_FETCH_RECORD_AGENT);
    text_append(out, span_of("\n"));
}

/* Appends a line for each program and network, the latest first, at most LIMIT_SENDERS: when it came
 * last, how often, the id that it got, the network and the program, with a tab between. */
static void senders_print(const struct stats *stats, struct span domain, struct text *out)
{
    struct senders senders = {.items = calloc(LIMIT_SENDERS, sizeof(*senders.items))};
    const struct fetch_records *records;
    if (senders.items == NULL) {
        out->failed = true;
        return;
    }
    for (size_t slot = 0; (records = stats_fetch_records(stats, slot)) != NULL; slot++) {
        struct fetch_record record;
        for (size_t index = 0; fetch_records_next(records, domain, &index, &record);)
            add(&senders, record);
    }
    for (size_t i = 0; i < senders.count; i++)
        print(&senders.items[i], out);
    free(senders.items);
}

static const char plain_type[] = "text/plain";
/* By which "list --senders" knows that it is this server that answers. */
static const char senders_type[] = "text/tab-separated-values; header=absent";

typedef enum http_status monitor_view(const struct connection *connection, struct span query,
                                      struct text *body);

/* A name as a query holds it; longer ones are none. */
struct parameter {
    char bytes[LIMIT_NAME + 2]; /* with a final dot */
    size_t len;
    bool is_too_long;
};

/* Percent-encoded bytes as themselves (RFC 3986 section 2.1); "%" without two digits stands for itself. */
static struct parameter decode(struct span text)
{
    struct parameter decoded = {0};
    while (text.len > 0 && !decoded.is_too_long) {
        int high = text.len > 2 ? ascii_hex_value(text.data[1]) : -1;
        int low = text.len > 2 ? ascii_hex_value(text.data[2]) : -1;
        bool is_encoded = text.data[0] == '%' && high >= 0 && low >= 0;
        decoded.is_too_long = decoded.len == sizeof(decoded.bytes);
        if (!decoded.is_too_long)
            decoded.bytes[decoded.len++] = (char)(is_encoded ? high << 4 | low : text.data[0]);
        text = span_skip(text, is_encoded ? 3 : 1);
    }
    return decoded;
}

/* Takes parameters off the query up to the next "domain=". Others are for somebody else. */
static bool next_domain(struct span *query, struct parameter *ret_name)
{
    while (query->len > 0) {
        struct span pair, name;
        (void)span_take(query, '&', &pair); /* the last one ends with the query */
        (void)span_take(&pair, '=', &name); /* without a value it is empty */
        struct parameter key = decode(name);
        if (!span_equal_fold((struct span){key.bytes, key.len}, span_of("domain")))
            continue;
        *ret_name = decode(pair);
        return true;
    }
    return false;
}

/* NULL when it is not configured. */
static const struct site_domain *find(const struct connection *connection,
                                      const struct parameter *name)
{
    return name->is_too_long
               ? NULL
               : site_find_domain(connection->setting->site, (struct span){name->bytes, name->len});
}

/* One domain for each "domain=" of the query: all of a hundred thousand nobody
 * wants at every scrape. What is not configured or has no certificate is left out. */
static enum http_status tell_metrics(const struct connection *connection, struct span query,
                                     struct text *body)
{
    static const char not_after[] = "domain_certificate_not_after_timestamp_seconds";
    struct parameter name;
    bool begun = false;
    print_head("build", "info", "The program.", body);
    text_append(body,
                span_of("mta_sts_httpd_build_info{version=\"" MTA_STS_HTTPD_VERSION "\"} 1\n"));
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        print_family(connection->setting->stats, &families[i], body);
    while (next_domain(&query, &name)) {
        const struct site_domain *domain = find(connection, &name);
        const struct credential *credential = domain == NULL ? NULL : verdict_first_to_end(domain);
        if (credential == NULL)
            continue;
        if (!begun)
            print_head(not_after, "gauge",
                       "When the first certificate of the domain ends, in seconds since 1970.",
                       body);
        text_printf(body, "mta_sts_httpd_%s{domain=\"%s\"} %" PRId64 "\n", not_after,
                    site_name(domain), credential_fields(credential).not_after);
        begun = true;
    }
    text_append(body, span_of("# EOF\n"));
    return HTTP_OK;
}

/* Strictly: as configured, and with a certificate that is valid now. */
static const char *ailment_of(const struct connection *connection, const struct parameter *name)
{
    const struct credential *credential; /* the words do not name it */
    const struct site_domain *domain = find(connection, name);
    if (domain == NULL)
        return "the domain is not configured";
    switch (site_state(domain)) {
    case SITE_REFUSED:
        return "the policy is refused";
    case SITE_STALE:
        return "the policy is the last valid one, not the configured one";
    case SITE_SERVED:
        break;
    }
    switch (verdict_certificate(domain, time(NULL), &credential)) {
    case CREDENTIAL_SOUND:
        return NULL;
    case CREDENTIAL_MISSING:
        return "there is no certificate";
    case CREDENTIAL_EXPIRED:
        return "the certificate has expired";
    case CREDENTIAL_NOT_YET:
        return "the certificate is not valid yet";
    case CREDENTIAL_MUST_STAPLE:
        return "the certificate demands an OCSP response, which is not stapled";
    case CREDENTIAL_SELF_SIGNED:
    case CREDENTIAL_INCOMPLETE:
    case CREDENTIAL_CHAIN_EXPIRED:
        break;
    }
    return "the certificate cannot be verified";
}

/* A monitor that restarts what is not well must not do so for what a restart does not mend. */
static enum http_status tell_health(const struct connection *connection, struct span query,
                                    struct text *body)
{
    struct parameter name;
    const char *ailment = connection->setting->draining ? "the worker is about to end" : NULL;
    bool serves = stats_gauge(connection->setting->stats, STATS_DOMAINS_SERVED) > 0 ||
                  stats_gauge(connection->setting->stats, STATS_DOMAINS_STALE) > 0;
    bool asks = false;
    while (ailment == NULL && next_domain(&query, &name)) {
        ailment = ailment_of(connection, &name);
        asks = true;
    }
    if (ailment == NULL && !asks && stats_gauge(connection->setting->stats, STATS_BLOCKED) != 0)
        ailment = "no certificate is served, and there are files or folders with certificates that "
                  "this user may not read: see the log";
    if (ailment == NULL && !asks && !serves) {
        text_append(body, span_of("alive, but no domain is served\n"));
        return HTTP_OK;
    }
    text_printf(body, "%s\n", ailment == NULL ? "ok" : ailment);
    return ailment == NULL ? HTTP_OK : HTTP_UNAVAILABLE;
}

static enum http_status tell_senders(const struct connection *connection, struct span query,
                                     struct text *body)
{
    struct parameter name;
    const struct site_domain *domain = next_domain(&query, &name) ? find(connection, &name) : NULL;
    if (domain == NULL)
        return HTTP_NOT_FOUND;
    senders_print(connection->setting->stats, site_name_span(domain), body);
    return HTTP_OK;
}

static const struct {
    const char *path;
    monitor_view *tell;
    const char *type;
} views[] = {
    {"/metrics", tell_metrics, exposition_type},
    {"/health", tell_health, plain_type},
    {"/senders", tell_senders, senders_type},
};

enum http_status monitor_answer(const struct connection *connection,
                                const struct http_request *request, struct text *ret_body,
                                const char **ret_type)
{
    struct span query = request->has_path ? request->path : (struct span){"", 0}, path;
    (void)span_take(&query, '?', &path); /* without a query it is empty */
    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        if (!span_equal(path, span_of(views[i].path)))
            continue;
        if (request->method != HTTP_GET && request->method != HTTP_HEAD)
            return HTTP_METHOD_NOT_ALLOWED;
        *ret_type = views[i].type;
        return views[i].tell(connection, query, ret_body);
    }
    return HTTP_NOT_FOUND;
}
