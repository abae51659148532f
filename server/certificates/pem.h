/*
 * PEM (RFC 7468): finds the blocks in the bytes of a file and decodes them. It
 * tolerates what certificates are wrapped in by common tools: text between the
 * blocks, CRLF, headers, lines of any length, no line end after the last. Pure:
 * it owns nothing and allocates nothing. The loader and the commands use it.
 */
#ifndef CERTIFICATES_PEM_H
#define CERTIFICATES_PEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum pem_fault {
    PEM_SOUND,
    PEM_NO_END,    /* the bytes end, or the next block begins, before the END line */
    PEM_OTHER_END, /* the END line has another label */
    PEM_GLUED,     /* the END line does not begin or does not end where it should */
    PEM_NOT_BASE64,
    PEM_EMPTY,
};

/* Everything is borrowed from the bytes that the reader was begun with. */
struct pem_block {
    struct span label; /* "CERTIFICATE" */
    uint32_t line;     /* of BEGIN, counted from 1 */
    bool encrypted;    /* by a Proc-Type header (RFC 1421); the label tells of PKCS#8 */
    enum pem_fault fault;
    uint32_t fault_line; /* where it was noticed */
    struct span body;    /* base64 with its line ends */
    size_t der_len;      /* bytes that the body decodes to; 0 unless sound */
};

/* A value; copy it to look ahead. */
struct pem_reader {
    struct span rest;
    uint32_t line; /* of the first byte of rest */
};

/* A reader at the first of the bytes. */
struct pem_reader pem_begin(struct span bytes);

/* Finds the next block, sound or not. False when there is none. */
bool pem_next(struct pem_reader *reader, struct pem_block *ret_block);

/* Writes the der_len bytes of a sound block. */
void pem_decode(const struct pem_block *block, unsigned char *ret_der);

#endif
