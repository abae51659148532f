#include "certificates/memory.h"

#include <mbedtls/asn1.h>
#include <mbedtls/bignum.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509.h>
#include <stdlib.h>

#include "base/heap.h"

/* Verifying an RSA signature of 8,192 bits takes most, about 20 KB. */
enum { ENOUGH = 64 * 1024 };

void memory_check(int code)
{
    /* The codes are sums of a high part, of the module, and a low one, of what it called. */
    int high = -(-code & 0xff80), low = -(-code & 0x7f);
    if (high == MBEDTLS_ERR_X509_ALLOC_FAILED || high == MBEDTLS_ERR_PK_ALLOC_FAILED ||
        high == MBEDTLS_ERR_ECP_ALLOC_FAILED || low == MBEDTLS_ERR_ASN1_ALLOC_FAILED ||
        low == MBEDTLS_ERR_MPI_ALLOC_FAILED)
        heap_end();
    free(heap_grow(NULL, 1, ENOUGH));
}
