/*
 * Any bytes as what a foreign server or name server says: a response that is cut
 * anywhere is read as in one piece, and of no more than there is room for; a
 * message of the DNS and a record in it lead nowhere but to a verdict; and a mail server is taken at its
 * word, or there is a finding.
 */
#include <arpa/nameser.h>
#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "fuzz.h"
#include "policy/record.h"
#include "probe/fetch.h"
#include "probe/resolve.h"
#include "probe/visit.h"

struct pieces {
    struct span rest;
    size_t most; /* bytes in one */
};

static ssize_t next_piece(void *context, char *buf, size_t size)
{
    struct pieces *pieces = context;
    size_t len = pieces->rest.len < pieces->most ? pieces->rest.len : pieces->most;
    len = len < size ? len : size;
    if (len > 0)
        memcpy(buf, pieces->rest.data, len);
    pieces->rest = span_skip(pieces->rest, len);
    return (ssize_t)len;
}

static struct answer *read_in_pieces(struct span input, size_t most)
{
    struct pieces pieces = {input, most};
    struct answer *answer = malloc(sizeof(*answer));
    assert(answer != NULL);
    assert(answer_read(answer, next_piece, &pieces));
    return answer;
}

static void check_inside(const struct answer *answer, struct span text)
{
    assert(text.len == 0 ||
           (text.data >= answer->head && text.data + text.len <= answer->head + answer->head_len));
}

static void check_answer(struct span input)
{
    struct answer *answer = read_in_pieces(input, input.len);
    assert(answer->body_len <= LIMIT_BODY_MOST && answer->head_len <= LIMIT_ANSWER_HEAD);
    assert(!answer->is_cut || answer->body_len == LIMIT_BODY_MOST);
    assert(answer->fault != NULL || (answer->status >= 200 && answer->status <= 999));
    check_inside(answer, answer->content_type);
    check_inside(answer, answer->content_encoding);
    check_inside(answer, answer->location);
    static const size_t pieces[] = {1, 7, 1000};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct answer *other = read_in_pieces(input, pieces[i]);
        assert(other->fault == answer->fault);
        assert(other->status == answer->status && other->body_len == answer->body_len);
        assert(memcmp(other->body, answer->body, answer->body_len) == 0);
        assert(span_equal(other->location, answer->location));
        free(other);
    }
    free(answer);
}

static void check_record(struct span value)
{
    struct record record;
    record_read(value, &record);
    assert(record_form_text(record.form) != NULL);
    assert(record.form != RECORD_SOUND || record.id.data != NULL);
    assert(record.id.data == NULL || (record.id.len > 0 && record.id.len <= LIMIT_ID));
    for (size_t i = 0; record.id.data != NULL && i < record.id.len; i++)
        assert(ascii_is_alpha(record.id.data[i]) || ascii_is_digit(record.id.data[i]));
}

static void check_message(struct span message)
{
    static const int types[] = {ns_t_txt, ns_t_a, ns_t_aaaa, ns_t_mx};
    for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
        struct dns_lookup lookup = {.name = "_s.a", .type = types[t]};
        enum dns_result result = dns_read(message, &lookup);
        assert(result != DNS_DONE || lookup.count > 0);
        assert(result != DNS_NONE || lookup.count == 0);
        assert(lookup.count <= LIMIT_DNS_RECORDS);
        for (size_t i = 0; i < lookup.count && result == DNS_DONE; i++) {
            struct span value = {lookup.values[i].data, lookup.values[i].len};
            assert(value.data != NULL && value.len <= message.len * 4);
            if (types[t] == ns_t_txt)
                check_record(value);
            assert(types[t] != ns_t_a || value.len == 4);
            assert(types[t] != ns_t_aaaa || value.len == 16);
        }
        dns_lookup_free(&lookup);
    }
}

/* A mail server whose replies are those before, between and behind the form feeds. */
static void check_smtp(struct span input)
{
    int pair[2];
    struct report *report = malloc(sizeof(*report));
    assert(report != NULL && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) == 0);
    struct stream stream = {.fd = pair[0], .deadline_us = clock_monotonic_us() + 10000000};
    struct address address = {.text = "127.0.0.1:25"};
    report_begin(report, "mx.example");
    report->is_mx = true;
    struct report_visit *visit = report_add_visit(report, &address);
    for (int i = 0; i < 8 && input.len > 0; i++) {
        const char *end = memchr(input.data, '\f', input.len);
        size_t len = end == NULL ? input.len : (size_t)(end - input.data);
        if (len > 0)
            (void)!send(pair[1], input.data, len, MSG_NOSIGNAL); /* what has no room is not said */
        input = span_skip(input, len + (end == NULL ? 0 : 1));
    }
    (void)shutdown(pair[1], SHUT_WR);
    bool is_ready = smtp_start_tls(&stream, report, visit);
    assert(is_ready == (report->finding_count == 0) && report->finding_count <= 1);
    for (const char *at = report->findings[0].message; *at != '\0'; at++)
        assert(*at >= ' ' && *at <= '~');
    (void)close(pair[0]);
    (void)close(pair[1]);
    free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);
    assert(copy != NULL);
    char *begin = copy + 1; /* not aligned, and it ends where the memory does */
    if (size > 0)
        memcpy(begin, data, size);
    struct span input = {begin, size};
    check_answer(input);
    check_record(input);
    check_message(input);
    check_smtp(input);
    free(copy);
    return 0;
}
