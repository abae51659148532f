/* The authorities of this system: every one of them is read, and made by an algorithm that we know. */
#include "certificates/trust.h"

#include <psa/crypto.h>
#include <stdlib.h>

#include "base/limits.h"
#include "certificates/certificate.h"
#include "certificates/pem.h"
#include "files/file.h"
#include "unit.h"

static const char BUNDLE[] = "/etc/ssl/certs/ca-certificates.crt";

/* Whether the certificate of the block is sound, and signed by its own key. */
static bool verifies(const struct pem_block *block)
{
    unsigned char *bytes = malloc(block->der_len);
    assert_non_null(bytes);
    pem_decode(block, bytes);
    struct certificate *root = certificate_new((struct span){(const char *)bytes, block->der_len});
    bool good =
        root != NULL && root->fault == CERTIFICATE_SOUND && certificate_is_signed_by(root, root);
    certificate_free(root);
    free(bytes);
    return good;
}

static void roots_of_this_system_are_trusted(void **state)
{
    (void)state;
    struct text bundle = {0};
    struct pem_block block;
    struct diag *diag = diag_new();
    size_t count = 0;
    if (!file_read(BUNDLE, LIMIT_CERTIFICATE_FILE, &bundle)) {
        diag_free(diag);
        text_free(&bundle);
        skip(); /* it has none there */
    }
    struct trust *trust = trust_new(BUNDLE, diag);
    assert_non_null(trust);
    struct pem_reader reader = pem_begin((struct span){bundle.data, bundle.len});
    for (; pem_next(&reader, &block); count++)
        assert_true(verifies(&block));
    assert_true(count > 0);
    trust_free(trust);
    text_free(&bundle);
    diag_free(diag);
}

static void nothing_to_trust_is_refused(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    assert_null(trust_new("/dev/null", diag));
    assert_null(trust_new("/nonexistent", diag));
    assert_int_equal(diag_count(diag, DIAG_ERROR), 2);
    diag_free(diag);
}

static int begin(void **state)
{
    (void)state;
    return psa_crypto_init() == PSA_SUCCESS ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    mbedtls_psa_crypto_free();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_of_this_system_are_trusted),
        cmocka_unit_test(nothing_to_trust_is_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
