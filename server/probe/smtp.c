#include "probe/visit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* RFC 5321 section 4.2.3. */
enum { READY = 220, DONE = 250, UNKNOWN = 500, NOT_IMPLEMENTED = 502 };
enum { CODE_LEN = 3, COMMAND_SIZE = INET6_ADDRSTRLEN + 16, SHOWN = 100 };

static const char CLOSED[] = "the server closes the connection instead of its";
static const char REFUSED[] = "the server refuses with its";
static const char NOT_OFFERED[] = "STARTTLS is not offered in the server's";

struct smtp {
    struct stream *stream;
    struct report *report;
    struct report_visit *visit;
    const char *what;   /* the reply: "greeting", "reply to EHLO" */
    enum fault refused; /* what it is that the server refuses here */
    unsigned code;      /* of the reply */
    struct span line;   /* its last, without CRLF; points into bytes */
    bool has_starttls;  /* it is one of the lines */
    size_t len;
    char bytes[LIMIT_SMTP_REPLY];
};

/* The problem is the beginning of a sentence that the reply ends. */
static bool fail(struct smtp *smtp, enum fault fault, const char *problem, struct span shown)
{
    smtp->visit->reached = fault_rules[fault].stage;
    if (shown.len == 0)
        report_add(smtp->report, fault, "%s %s", problem, smtp->what);
    else
        report_add(smtp->report, fault, "%s %s: \"%s\"", problem, smtp->what,
                   report_show(shown, SHOWN).text);
    return false;
}

/* "250-SIZE" and, as the last, "250 SIZE" or "250". */
static bool read_line(struct smtp *smtp, struct span line, bool *ret_is_last)
{
    uint64_t code;
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    smtp->line = line;
    *ret_is_last = line.len == CODE_LEN || (line.len > CODE_LEN && line.data[CODE_LEN] == ' ');
    if ((!*ret_is_last && (line.len < CODE_LEN || line.data[CODE_LEN] != '-')) ||
        !span_number((struct span){line.data, CODE_LEN}, 999, &code) || code < 200)
        return false;
    smtp->code = (unsigned)code;
    struct span keyword,
        words = span_trim(span_skip(line, CODE_LEN + (line.len > CODE_LEN ? 1 : 0)));
    (void)span_take(&words, ' ', &keyword); /* senders do not mind what follows it */
    smtp->has_starttls = smtp->has_starttls || span_equal_fold(keyword, span_of("STARTTLS"));
    return true;
}

/* Who sends more than the reply speaks out of turn; behind that to STARTTLS it would be taken for what TLS
 * protects (command injection). */
static bool read_reply(struct smtp *smtp)
{
    for (smtp->len = 0;;) {
        bool is_last = false;
        const struct span all = {smtp->bytes, smtp->len};
        struct span rest = all;
        smtp->has_starttls = false;
        while (!is_last && rest.len > 0 && memchr(rest.data, '\n', rest.len) != NULL)
            if (!read_line(smtp, span_take_line(&rest), &is_last))
                return fail(smtp, FAULT_SMTP_MALFORMED, "there is no SMTP in the server's",
                            smtp->line);
        if (is_last && rest.len == 0)
            return true;
        if (is_last)
            return fail(smtp, FAULT_SMTP_AHEAD, "the server sends more than its", rest);
        if (smtp->len == sizeof(smtp->bytes))
            return fail(smtp, FAULT_SMTP_MALFORMED, "the server does not end its", all);
        ssize_t count =
            stream_read(smtp->stream, smtp->bytes + smtp->len, sizeof(smtp->bytes) - smtp->len);
        if (count < 0 && smtp->stream->error == ETIMEDOUT)
            return fail(smtp, FAULT_SMTP_SILENT, "the server is too slow with its", all);
        if (count <= 0)
            return fail(smtp, smtp->refused, CLOSED, all);
        smtp->len += (size_t)count;
    }
}

/* Sends the command, if there is one, and reads the reply. */
static bool ask(struct smtp *smtp, const char *what, const char *command)
{
    smtp->what = what;
    if (command != NULL && !stream_write(smtp->stream, span_of(command)))
        return fail(smtp, smtp->refused, CLOSED, (struct span){0}); /* a new stream has room */
    return read_reply(smtp);
}

/* By its address (RFC 5321 section 4.1.3), because its name may not be a full one. */
static void print_ehlo(const struct stream *stream, char out[static COMMAND_SIZE])
{
    struct address own = {.len = sizeof(own.v6)};
    char number[INET6_ADDRSTRLEN] = "127.0.0.1"; /* each fits */
    bool is_known = getsockname(stream->fd, &own.any, &own.len) == 0;
    bool is_v6 = is_known && own.any.sa_family == AF_INET6;
    if (is_v6)
        (void)inet_ntop(AF_INET6, &own.v6.sin6_addr, number, sizeof(number));
    else if (is_known && own.any.sa_family == AF_INET)
        (void)inet_ntop(AF_INET, &own.v4.sin_addr, number, sizeof(number));
    (void)snprintf(out, COMMAND_SIZE, "EHLO [%s%s]\r\n", is_v6 ? "IPv6:" : "", number);
}

bool smtp_start_tls(struct stream *stream, struct report *report, struct report_visit *visit)
{
    char ehlo[COMMAND_SIZE];
    struct smtp smtp = {stream, report, visit, .refused = FAULT_SMTP_REFUSED};
    if (!ask(&smtp, "greeting", NULL))
        return false;
    visit->status = smtp.code;
    if (smtp.code != READY)
        return fail(&smtp, FAULT_SMTP_REFUSED, REFUSED, smtp.line);
    print_ehlo(stream, ehlo);
    if (!ask(&smtp, "reply to EHLO", ehlo))
        return false;
    if (smtp.code == UNKNOWN || smtp.code == NOT_IMPLEMENTED)
        return fail(&smtp, FAULT_STARTTLS_MISSING, NOT_OFFERED, smtp.line);
    if (smtp.code != DONE)
        return fail(&smtp, FAULT_SMTP_REFUSED, REFUSED, smtp.line);
    if (!smtp.has_starttls)
        return fail(&smtp, FAULT_STARTTLS_MISSING, NOT_OFFERED, (struct span){0});
    smtp.refused = FAULT_STARTTLS_REFUSED;
    if (!ask(&smtp, "reply to STARTTLS", "STARTTLS\r\n"))
        return false;
    return smtp.code == READY || fail(&smtp, FAULT_STARTTLS_REFUSED, REFUSED, smtp.line);
}
