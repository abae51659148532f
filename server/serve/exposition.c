#include "serve/exposition.h"

#include <inttypes.h>

const char exposition_type[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";

enum source {
    COUNTED,     /* by workers */
    FIGURE,      /* of the supervisor */
    KNOWN,       /* the same, which is not there while it is 0 */
    CONNECTIONS, /* of workers, now */
};

enum { SAMPLES_MOST = 12 };

/* The metrics, in the order in which they are printed. A counter's samples end in _total. */
static const struct family {
    const char *name; /* behind mta_sts_httpd_ */
    const char *type;
    const char *help;
    struct {
        const char *labels; /* with braces; NULL: the samples end */
        unsigned index;     /* which counter or figure */
    } samples[SAMPLES_MOST];
    enum source source;
} families[] = {
    {"handshakes",
     "counter",
     "TLS handshakes by version and result: done, or why they failed.",
     {{"{version=\"1.2\",result=\"done\"}", BOARD_HANDSHAKE_TLS12},
      {"{version=\"1.3\",result=\"done\"}", BOARD_HANDSHAKE_TLS13},
      {"{version=\"none\",result=\"no_name\"}", BOARD_HANDSHAKE_NO_NAME},
      {"{version=\"none\",result=\"unknown_name\"}", BOARD_HANDSHAKE_UNKNOWN_NAME},
      {"{version=\"none\",result=\"old_version\"}", BOARD_HANDSHAKE_VERSION},
      {"{version=\"none\",result=\"nothing_in_common\"}", BOARD_HANDSHAKE_IN_COMMON},
      {"{version=\"none\",result=\"refused_by_client\"}", BOARD_HANDSHAKE_REFUSED},
      {"{version=\"none\",result=\"closed_by_client\"}", BOARD_HANDSHAKE_CLOSED},
      {"{version=\"none\",result=\"timeout\"}", BOARD_HANDSHAKE_TIMEOUT},
      {"{version=\"none\",result=\"memory\"}", BOARD_HANDSHAKE_MEMORY},
      {"{version=\"none\",result=\"protocol\"}", BOARD_HANDSHAKE_PROTOCOL}},
     COUNTED},
    {"fetches",
     "counter",
     "Requests to the listeners for policies, by status code of the answer.",
     {{"{code=\"200\"}", BOARD_FETCH_200},
      {"{code=\"400\"}", BOARD_FETCH_400},
      {"{code=\"404\"}", BOARD_FETCH_404},
      {"{code=\"405\"}", BOARD_FETCH_405},
      {"{code=\"421\"}", BOARD_FETCH_421},
      {"{code=\"431\"}", BOARD_FETCH_431},
      {"{code=\"503\"}", BOARD_FETCH_503},
      {"{code=\"505\"}", BOARD_FETCH_505}},
     COUNTED},
    {"connections",
     "gauge",
     "Connections that workers hold now, those of monitors included.",
     {{"", 0}},
     CONNECTIONS},
    {"connections_evicted",
     "counter",
     "Connections that gave way to others because a worker was full.",
     {{"", BOARD_EVICTED}},
     COUNTED},
    {"connections_limited",
     "counter",
     "Connections that gave way to others of their own network.",
     {{"", BOARD_LIMITED}},
     COUNTED},
    {"domains",
     "gauge",
     "Configured domains by state; a stale one is served with its last valid policy.",
     {{"{state=\"served\"}", BOARD_DOMAINS_SERVED},
      {"{state=\"stale\"}", BOARD_DOMAINS_STALE},
      {"{state=\"refused\"}", BOARD_DOMAINS_REFUSED},
      {"{state=\"no-certificate\"}", BOARD_DOMAINS_NO_CERTIFICATE}},
     FIGURE},
    {"certificate_not_after_timestamp_seconds",
     "gauge",
     "When the first of the certificates in use ends, in seconds since 1970.",
     {{"", BOARD_NOT_AFTER}},
     KNOWN},
    {"certificate_warning_timestamp_seconds",
     "gauge",
     "From when on the first of the certificates in use is warned of, in seconds since 1970.",
     {{"", BOARD_WARNING}},
     KNOWN},
    {"reloads",
     "counter",
     "Reloads by result; after a refused one everything is served as before.",
     {{"{result=\"done\"}", BOARD_RELOADS_DONE}, {"{result=\"refused\"}", BOARD_RELOADS_REFUSED}},
     FIGURE},
    {"last_reload_success_timestamp_seconds",
     "gauge",
     "When the configuration that is served was loaded, in seconds since 1970.",
     {{"", BOARD_LAST_RELOAD}},
     KNOWN},
    {"workers_replaced",
     "counter",
     "Workers that died and were replaced.",
     {{"", BOARD_WORKERS_REPLACED}},
     FIGURE},
    {"resident_memory_bytes",
     "gauge",
     "Resident memory of the supervisor and of all workers; what they share counts in each.",
     {{"{process=\"supervisor\"}", BOARD_MEMORY_SUPERVISOR},
      {"{process=\"workers\"}", BOARD_MEMORY_WORKERS}},
     KNOWN},
};

static int64_t value_of(const struct board *board, const struct family *family, unsigned index)
{
    switch (family->source) {
    case COUNTED:
        return (int64_t)board_sum(board, index);
    case CONNECTIONS:
        return (int64_t)board_connections(board);
    case FIGURE:
    case KNOWN:
        break;
    }
    return board_figure(board, index);
}

static void print_family(const struct board *board, const struct family *family, struct text *out)
{
    const char *suffix = strcmp(family->type, "counter") == 0 ? "_total" : "";
    text_printf(out, "# HELP mta_sts_httpd_%s %s\n# TYPE mta_sts_httpd_%s %s\n", family->name,
                family->help, family->name, family->type);
    for (size_t i = 0; i < SAMPLES_MOST && family->samples[i].labels != NULL; i++) {
        int64_t value = value_of(board, family, family->samples[i].index);
        if (value != 0 || family->source != KNOWN)
            text_printf(out, "mta_sts_httpd_%s%s%s %" PRId64 "\n", family->name, suffix,
                        family->samples[i].labels, value);
    }
}

void exposition_print(const struct board *board, struct text *out)
{
    text_append(out,
                span_of("# HELP mta_sts_httpd_build The program.\n"
                        "# TYPE mta_sts_httpd_build info\n"
                        "mta_sts_httpd_build_info{version=\"" MTA_STS_HTTPD_VERSION "\"} 1\n"));
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        print_family(board, &families[i], out);
}

void exposition_domain(const char *name, int64_t not_after, bool is_first, struct text *out)
{
    if (is_first)
        text_append(out,
                    span_of("# HELP mta_sts_httpd_domain_certificate_not_after_timestamp_seconds "
                            "When the first certificate of the domain ends, in seconds since "
                            "1970.\n# TYPE "
                            "mta_sts_httpd_domain_certificate_not_after_timestamp_seconds "
                            "gauge\n"));
    text_printf(out,
                "mta_sts_httpd_domain_certificate_not_after_timestamp_seconds{domain=\"%s\"} "
                "%" PRId64 "\n",
                name, not_after);
}

void exposition_end(struct text *out)
{
    text_append(out, span_of("# EOF\n"));
}
