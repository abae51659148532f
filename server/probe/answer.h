/*
 * One HTTP response (RFC 9112) as it arrives, byte by byte: its head, and its
 * body with the chunks taken apart. What the server claims about sizes is never
 * believed beyond the room that is here. It is as strict as the strictest
 * sender, and says what it minds. Pure: judges bytes, has no socket and no clock.
 * Runs in a child of the probe, and in the health check.
 */
#ifndef PROBE_ANSWER_H
#define PROBE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"

enum answer_progress {
    ANSWER_MORE,   /* bytes are missing */
    ANSWER_WHOLE,  /* the response is there; with is_cut, as much of it as anybody wants */
    ANSWER_BROKEN, /* it is malformed; fault tells how */
};

/* Where in the response the next byte belongs. */
enum answer_place {
    ANSWER_HEAD,
    ANSWER_COUNTED,    /* a body with a length */
    ANSWER_UNCOUNTED,  /* a body that ends with the connection */
    ANSWER_CHUNK_SIZE, /* its digits */
    ANSWER_CHUNK_EXTENSION,
    ANSWER_CHUNK_SIZE_LF,
    ANSWER_CHUNK_DATA,
    ANSWER_CHUNK_CR,
    ANSWER_CHUNK_LF,
    ANSWER_TRAILER, /* the beginning of a line */
    ANSWER_TRAILER_LINE,
    ANSWER_TRAILER_LF, /* of the empty line at the end */
    ANSWER_FINISHED,
};

/* Begin with answer_begin. Spans point into head; they are empty when the header is missing. */
struct answer {
    unsigned status; /* 100 to 999; 0 before the head is there */
    struct span content_type;
    struct span content_encoding;
    struct span location;
    size_t body_len;
    bool is_cut;       /* the body goes on behind LIMIT_BODY_MOST */
    const char *fault; /* when broken: the end of the sentence "the response ..."; static */

    enum answer_place place;
    bool is_chunked, has_length;
    uint64_t left;  /* bytes of the body or chunk that are still to come */
    unsigned count; /* digits of a chunk's size, or bytes of its extension or of the trailer */
    size_t head_len;
    char head[LIMIT_ANSWER_HEAD];
    char body[LIMIT_BODY_MOST];
};

void answer_begin(struct answer *answer);

/* Takes the next bytes. Anything but ANSWER_MORE is final. */
enum answer_progress answer_feed(struct answer *answer, struct span bytes);

/* Takes the end of the connection, which is the end of some bodies. */
enum answer_progress answer_end(struct answer *answer);

#endif
