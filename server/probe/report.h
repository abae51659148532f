/*
 * What the probe of one domain found: a plain block of bytes without a pointer
 * to anything but constants, so that the child who fills it and the parent who
 * prints it can share it. Each count grows when its item is there, so that a
 * report whose child was ended can be read as well. It knows no socket and
 * judges nothing. What can be wrong with a server of policies, or with the DNS
 * around it, is the table probe/faults. The faults of the policy itself are
 * those of inspect/findings.
 */
#ifndef PROBE_REPORT_H
#define PROBE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/diag.h"
#include "base/limits.h"

/* The stages of a fetch, in their order. */
enum stage {
    STAGE_DNS,
    STAGE_CONNECT,
    STAGE_TLS,
    STAGE_CERTIFICATE,
    STAGE_HTTP,
    STAGE_POLICY,
};
#define STAGES 6

enum fault {
#define FAULT(name, ...) FAULT_##name,
#include "probe/faults.h"
#undef FAULT
};

struct fault_rule {
    const char *code; /* for programs; never changes: "certificate-expired" */
    enum stage stage;
    enum diag_level level;
    const char *cell;    /* for the table: "expired"; or NULL */
    const char *senders; /* why it matters: who refuses it */
    const char *fix;     /* what to do; or NULL */
};

/* The row of each fault. */
extern const struct fault_rule fault_rules[];

/* "dns", "connect" … */
extern const char *const stage_texts[STAGES];

/* Sentences about names of 253 bytes fit. */
enum { REPORT_TEXT = 640, REPORT_NAME = 256, REPORT_WORD = 64 };

/* Words for a sentence. */
struct report_words {
    char text[4 * REPORT_NAME + sizeof("...")];
};

struct report_finding {
    const char *code; /* static */
    enum stage stage;
    enum diag_level level;
    const char *cell;      /* static; NULL: what else the table would say there */
    unsigned visits;       /* bit i: the address i has it; 0: it is the domain's */
    uint32_t line, column; /* in the policy; 0 when it is not about a place there */
    char message[REPORT_TEXT];
    const char *senders;   /* static; NULL when not known */
    char fix[REPORT_TEXT]; /* "" when not known */
};

/* The fetch from one address. Of a stage behind the one where it ended nothing is told. */
struct report_visit {
    char address[ADDRESS_TEXT_SIZE];
    enum stage reached; /* where it ended; STAGE_POLICY when there was a policy to judge */
    int64_t connect_us, tls_us, http_us;
    const char *tls_version; /* "1.2", "1.3"; static; NULL before the handshake's end */
    bool has_certificate;
    int64_t not_before, not_after; /* seconds since 1970 UTC */
    char key[REPORT_WORD];         /* "ECDSA P-256" */
    char issuer[REPORT_NAME];
    unsigned status; /* 0: no response */
    char content_type[REPORT_NAME];
    size_t size;               /* of the body, bytes */
    char mode[REPORT_WORD];    /* as it was meant; "" when there is none */
    char max_age[REPORT_WORD]; /* the same */
    size_t mx_count;
    char patterns
        [LIMIT_BODY]; /* each mx that is one, once, in lower case, with a space between two */
    bool is_compared, is_configured; /* it is the policy of the configuration */
};

struct report {
    char domain[LIMIT_NAME + 1]; /* or an MX, with is_mx */
    bool is_mx;
    enum diag_level mx_level; /* how grave it is that senders would refuse an MX */
    bool has_dns;             /* the DNS was asked */
    int64_t dns_us;           /* for the addresses, which a sender waits for */
    char id[LIMIT_ID + 1];    /* of the record; "" when there is none */
    char alias[REPORT_NAME];  /* the name that the record's is an alias of; "" when it is none */
    bool is_record_known;     /* the answer says which record there is, or that there is none */
    uint32_t ttl;             /* of the record; seconds */
    bool is_mx_known;         /* the answer says which hosts take the mail */
    bool is_mx_more;          /* there are more than those below */
    bool is_mx_implicit; /* there is no MX record, so it is the domain (RFC 5321 section 5.1) */
    char mx[LIMIT_PROBE_MX][REPORT_NAME];
    size_t mx_count;
    struct report_visit visits[LIMIT_PROBE_ADDRESSES];
    size_t visit_count;
    unsigned visiting; /* the bit of the one that goes on; 0: none */
    struct report_finding findings[LIMIT_PROBE_FINDINGS];
    size_t finding_count;
    size_t lost; /* findings for which there was no room */
};

void report_begin(struct report *report, const char *domain);

/* Begins the fetch from one address, for which there is room: until visiting is 0 again what is added
 * concerns it, else the domain. Borrowed from the report. */
struct report_visit *report_add_visit(struct report *report, const struct address *address);

/* Adds a fault. The same words for several visits are taken once. The message is one sentence without a full
 * stop. */
void report_add(struct report *report, enum fault fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a fault that has no row of its own. Texts are copied; cell and code are static; visits
 * is set here. */
void report_add_finding(struct report *report, const struct report_finding *finding);

/* "3 s" or "2.5 s". */
struct report_words report_seconds(int64_t ms);

/* Bytes from elsewhere, escaped; at most limit of them, which is at most REPORT_NAME. */
struct report_words report_show(struct span bytes, size_t limit);

/* The gravest of the stage (the first of these) that concerns the visit; NULL when there is none. */
const struct report_finding *report_gravest(const struct report *report,
                                            const struct report_visit *visit, enum stage stage);

/* Whether the address is one of a family that this machine does not have, which says nothing about the
 * server. */
bool report_is_out_of_reach(const struct report *report, const struct report_visit *visit);

/* The gravest level of all; DIAG_NOTE when there is nothing to object to. */
enum diag_level report_level(const struct report *report);

#endif
