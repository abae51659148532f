/*
 * Recognises a file from which no certificate and no key can be read, though it
 * was meant to hold some: text that an editor or a shell has spoilt, and other
 * formats than PEM. Pure. The loader and the commands use it.
 */
#ifndef CERTIFICATES_FORM_H
#define CERTIFICATES_FORM_H

#include <stdbool.h>

#include "base/span.h"

/* All texts are static. */
struct certificate_form {
    const char *what;   /* what the file is: "it is PKCS #12" */
    const char *before; /* the command that converts it, before and behind the name of the file */
    const char *behind;
    bool is_request; /* a request belongs beside its certificate, and cannot be converted */
};

/* NULL when the bytes are nothing that is known. Ask when there is no block of PEM for us in them. */
const struct certificate_form *certificate_form_find(struct span bytes);

#endif
