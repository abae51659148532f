#include <arpa/nameser.h> /* numbers of types */
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "probe/resolve.h"

/* An answer over TCP can be as long as its length field tells (RFC 1035 section 4.2.2). */
enum { ANSWER_MOST = 65535, CODES = 16 };

static void forget_values(struct dns_lookup *lookup)
{
    while (lookup->count > 0)
        text_free(&lookup->values[--lookup->count]);
}

void dns_lookup_free(struct dns_lookup *lookup)
{
    forget_values(lookup);
    free(lookup->values);
    *lookup = (struct dns_lookup){0};
}

const char *dns_text(const struct dns_outcome *outcome)
{
    static const char *const texts[] = {
        [DNS_DONE] = "succeeds",
        [DNS_NONE] = "finds nothing",
        [DNS_SILENT] = "gets no answer",
        [DNS_CUT] = "gets an answer that is too long for UDP, and none over TCP",
        [DNS_ERROR] = "fails with an error code",
        [DNS_MALFORMED] = "gets an answer that cannot be read",
        [DNS_NO_SERVER] = "reaches no name server",
    };
    static const char *const codes[CODES] = {
        [ns_r_formerr] = "fails with FORMERR",
        [ns_r_servfail] = "fails with SERVFAIL",
        [ns_r_notimpl] = "fails with NOTIMP",
        [ns_r_refused] = "fails with REFUSED",
    };
    bool is_known =
        outcome->result == DNS_ERROR && outcome->rcode < CODES && codes[outcome->rcode] != NULL;
    return is_known ? codes[outcome->rcode] : texts[outcome->result];
}

static bool skip(struct span *rest, size_t count)
{
    if (rest->len < count)
        return false;
    *rest = span_skip(*rest, count);
    return true;
}

static bool take_number(struct span *rest, unsigned *ret_number)
{
    if (rest->len < 2)
        return false;
    *ret_number = (unsigned)(unsigned char)rest->data[0] << 8 | (unsigned char)rest->data[1];
    return skip(rest, 2);
}

/* Whether the name ends after so many labels and pointers that one needs; what is malformed otherwise
 * shows when it is read. */
static bool is_short(struct span message, struct span rest)
{
    for (int steps = 0; steps < LIMIT_DNS_STEPS; steps++) {
        unsigned label = rest.len == 0 ? 0 : (unsigned char)rest.data[0];
        if (label == 0)
            return true;
        if (label < NS_CMPRSFLGS) {
            if (!skip(&rest, 1 + label))
                return true;
            continue;
        }
        unsigned pointer;
        bool is_whole = take_number(&rest, &pointer);
        rest = message;
        if (!is_whole || !skip(&rest, pointer & 0x3fff))
            return true;
    }
    return false;
}

/* A name as text, without its final dot. The C library sees that its pointers lead to an end. */
static bool take_name(struct span message, struct span *rest, char out[static DNS_NAME_SIZE])
{
    const unsigned char *begin = (const unsigned char *)message.data;
    if (!is_short(message, *rest))
        return false;
    int len = dn_expand(begin, begin + message.len, (const unsigned char *)rest->data, out,
                        DNS_NAME_SIZE);
    return len > 0 && skip(rest, (size_t)len);
}

bool dns_read_question(struct span message, struct dns_message *ret_message)
{
    unsigned questions, class;
    struct span rest = message;
    *ret_message = (struct dns_message){.bytes = message};
    if (message.len > ANSWER_MOST || !skip(&rest, 4) || !take_number(&rest, &questions) ||
        !take_number(&rest, &ret_message->count) || !skip(&rest, 4) || questions > 1)
        return false;
    if (questions == 1 && (!take_name(message, &rest, ret_message->name) ||
                           !take_number(&rest, &ret_message->type) || !take_number(&rest, &class)))
        return false;
    ret_message->answers = rest;
    return true;
}

/* A record of the answer (RFC 1035 section 4.1.3). */
struct record {
    char owner[DNS_NAME_SIZE];
    unsigned type, class;
    uint32_t ttl;
    struct span data;
};

static bool take_record(struct span message, struct span *rest, struct record *ret_record)
{
    unsigned len, high, low;
    if (!take_name(message, rest, ret_record->owner) || !take_number(rest, &ret_record->type) ||
        !take_number(rest, &ret_record->class) || !take_number(rest, &high) ||
        !take_number(rest, &low) || !take_number(rest, &len))
        return false;
    ret_record->ttl = high < 1U << 15 ? high << 16 | low : 0; /* RFC 2181 section 8 */
    ret_record->data = (struct span){rest->data, len};
    return skip(rest, len);
}

/* The records of the answer, one after the other. */
struct reader {
    struct dns_message message;
    char owner[DNS_NAME_SIZE]; /* the name itself, or the one that it is an alias of */
    struct span rest;
    unsigned left;
    uint32_t ttl; /* the longest of the records that were read */
};

static void start(struct reader *reader)
{
    reader->rest = reader->message.answers;
    reader->left = reader->message.count;
}

/* The next record of the owner that has this type. False at the end. */
static bool next_record(struct reader *reader, unsigned type, struct span *ret_data)
{
    struct record record;
    while (reader->left > 0 && take_record(reader->message.bytes, &reader->rest, &record)) {
        reader->left--;
        *ret_data = record.data;
        if (record.type == type && record.class == ns_c_in &&
            strcasecmp(record.owner, reader->owner) == 0) {
            reader->ttl = record.ttl > reader->ttl ? record.ttl : reader->ttl;
            return true;
        }
    }
    return false;
}

/* Ends at the name that the one asked for is an alias of (RFC 1034 section 3.6.2), and sees that
 * every record can be read. */
static enum dns_result begin_reading(struct reader *reader, struct span message, const char *name)
{
    struct span data;
    if (!dns_read_question(message, &reader->message))
        return DNS_MALFORMED;
    reader->ttl = 0;
    (void)snprintf(reader->owner, sizeof(reader->owner), "%s", name); /* else it matches nothing */
    for (int i = 0; i < LIMIT_DNS_ALIASES; i++) {
        start(reader);
        bool is_alias = next_record(reader, ns_t_cname, &data);
        if (is_alias && !take_name(message, &data, reader->owner))
            return DNS_MALFORMED;
        if (is_alias)
            continue;
        if (reader->left > 0)
            return DNS_MALFORMED;
        start(reader);
        return DNS_DONE;
    }
    return DNS_NONE; /* a circle, or as good as one */
}

/* The strings of one record: each has its length before it (RFC 1035 section 3.3.14). False when one ends
 * beyond the record. */
static bool join_strings(struct span data, struct text *value)
{
    text_append(value, span_of(""));
    while (data.len > 0) {
        struct span string = {data.data + 1, (unsigned char)data.data[0]};
        if (!skip(&data, 1 + string.len))
            return false;
        text_append(value, string);
    }
    return true;
}

/* What the record says. False when it cannot be read. */
static bool read_value(struct span message, int type, struct span data, struct text *value)
{
    char host[DNS_NAME_SIZE];
    if (type == ns_t_txt)
        return join_strings(data, value);
    if (type == ns_t_mx) { /* behind its preference */
        bool good = skip(&data, 2) && take_name(message, &data, host);
        text_append(value, span_of(good ? host : ""));
        return good;
    }
    text_append(value, data);
    return data.len == (type == ns_t_a ? sizeof(struct in_addr) : sizeof(struct in6_addr));
}

enum dns_result dns_read(struct span message, struct dns_lookup *lookup)
{
    struct reader reader;
    struct span data;
    enum dns_result result = begin_reading(&reader, message, lookup->name);
    if (result == DNS_DONE && strcasecmp(reader.owner, lookup->name) != 0)
        memcpy(lookup->alias, reader.owner, sizeof(lookup->alias));
    while (result == DNS_DONE && next_record(&reader, (unsigned)lookup->type, &data)) {
        lookup->is_more = lookup->count == LIMIT_DNS_RECORDS;
        if (lookup->is_more)
            break;
        struct text *value = ARRAY_ADD(lookup->values, lookup->count);
        *value = (struct text){0};
        lookup->ttl = reader.ttl;
        if (!read_value(message, lookup->type, data, value))
            result = DNS_MALFORMED;
    }
    if (result == DNS_MALFORMED)
        forget_values(lookup);
    return result == DNS_DONE && lookup->count == 0 ? DNS_NONE : result;
}
