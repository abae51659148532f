/*
 * The configuration of the bundled mbedTLS: what this server uses of it, and nothing else.
 *
 * It is read after mbedTLS' own mbedtls_config.h (MBEDTLS_USER_CONFIG_FILE), takes away from that
 * default and adds little. Code that is not compiled cannot be attacked, needs no memory for each
 * connection, and cannot be negotiated by mistake. With the system's mbedTLS it is not used, so no
 * rule of the server may rest on this file alone: serve/ sets versions, suites and groups itself.
 */

/* A default configuration of another series would be misread silently by what follows. */
#if MBEDTLS_VERSION_NUMBER < 0x03060600 || MBEDTLS_VERSION_NUMBER >= 0x04000000
#error "mta-sts-httpd needs mbedTLS 3.6, from 3.6.6 on"
#endif

#if defined(ACCELERATE)
/* A block of a hash is AWS-LC's (crypto/accelerate.h). */
#define MBEDTLS_SHA256_PROCESS_ALT
#define MBEDTLS_SHA512_PROCESS_ALT
/* So are the steps of TLS 1.3's key schedule, for a server. They are called from the file that they are
 * in, where no linker could put others in their place, were they not weak there. */
#if defined(MBEDTLS_LIBRARY_COMMON_H) && !defined(MTA_STS_HTTPD_TLS_CLIENT)
#pragma weak mbedtls_ssl_tls13_hkdf_expand_label
#pragma weak mbedtls_ssl_tls13_evolve_secret
#endif
#endif

/* serve/tls.c may rest on what is in this source and in no public header. */
#define MTA_STS_HTTPD_BUNDLED_MBEDTLS

/*
 * A ClientHello may fill the longest record; serve/tls.c cuts the buffer down to what a session needs,
 * which is 4 KB for most. The full 16 KB of output carry a long certificate chain in one record that
 * everyone accepts; after the handshake the buffer is cut down to the length of a fragment.
 */
#define MBEDTLS_SSL_IN_CONTENT_LEN  16384
#define MBEDTLS_SSL_OUT_CONTENT_LEN 16384
#define MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH

/* A server is never a TLS client (probe/ is: see the end), nothing here speaks over UDP, and nobody
 * has a use for a saved connection. */
#undef MBEDTLS_SSL_CLI_C
#undef MBEDTLS_SSL_PROTO_DTLS
#undef MBEDTLS_SSL_DTLS_ANTI_REPLAY
#undef MBEDTLS_SSL_DTLS_CLIENT_PORT_REUSE
#undef MBEDTLS_SSL_DTLS_CONNECTION_ID
#undef MBEDTLS_SSL_DTLS_CONNECTION_ID_COMPAT
#undef MBEDTLS_SSL_DTLS_HELLO_VERIFY
#undef MBEDTLS_SSL_COOKIE_C
#undef MBEDTLS_SSL_CONTEXT_SERIALIZATION

/* A sender comes once a day at most: resuming a session gains nothing and costs keys and state. */
#undef MBEDTLS_SSL_CACHE_C
#undef MBEDTLS_SSL_SESSION_TICKETS
#undef MBEDTLS_SSL_TICKET_C

/* Options of the protocol that no sender needs and that have had more faults than uses. */
#undef MBEDTLS_SSL_RENEGOTIATION
#undef MBEDTLS_SSL_KEYING_MATERIAL_EXPORT
#undef MBEDTLS_SSL_ENCRYPT_THEN_MAC

/* Only a certificate proves who we are, and only ECDHE gives forward secrecy at a fair price. */
#undef MBEDTLS_KEY_EXCHANGE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_DHE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDHE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_RSA_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_RSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_DHE_RSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDH_ECDSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDH_RSA_ENABLED
#undef MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_ENABLED
#undef MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL_ENABLED
#undef MBEDTLS_DHM_C
#undef MBEDTLS_ECJPAKE_C

/* AES-GCM and ChaCha20-Poly1305 are the ciphers; all others, with their modes and paddings, go. */
#undef MBEDTLS_ARIA_C
#undef MBEDTLS_CAMELLIA_C
#undef MBEDTLS_DES_C
#undef MBEDTLS_CCM_C
#undef MBEDTLS_CMAC_C
#undef MBEDTLS_NIST_KW_C
#undef MBEDTLS_PADLOCK_C
#undef MBEDTLS_CIPHER_MODE_CBC
#undef MBEDTLS_CIPHER_MODE_CFB
#undef MBEDTLS_CIPHER_MODE_CTR
#undef MBEDTLS_CIPHER_MODE_OFB
#undef MBEDTLS_CIPHER_MODE_XTS
#undef MBEDTLS_CIPHER_PADDING_PKCS7
#undef MBEDTLS_CIPHER_PADDING_ONE_AND_ZEROS
#undef MBEDTLS_CIPHER_PADDING_ZEROS_AND_LEN
#undef MBEDTLS_CIPHER_PADDING_ZEROS

/* GCM calls AES by the thin layer that is there for it, and not by the one for every cipher and mode. */
#define MBEDTLS_BLOCK_CIPHER_C

/* SHA-1 stays, or an old root at the end of a chain could not be read; nothing is signed with it. */
#undef MBEDTLS_MD5_C
#undef MBEDTLS_RIPEMD160_C
#undef MBEDTLS_SHA224_C
#undef MBEDTLS_SHA3_C

/*
 * X25519, P-256 and P-384 are the groups of the key exchange. P-521 stays for certificates only, so
 * that a chain with such an authority in it can be read. Curves spelt out in a key are an old trap.
 */
#undef MBEDTLS_ECP_DP_SECP192R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP224R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP192K1_ENABLED
#undef MBEDTLS_ECP_DP_SECP224K1_ENABLED
#undef MBEDTLS_ECP_DP_SECP256K1_ENABLED
#undef MBEDTLS_ECP_DP_BP256R1_ENABLED
#undef MBEDTLS_ECP_DP_BP384R1_ENABLED
#undef MBEDTLS_ECP_DP_BP512R1_ENABLED
#undef MBEDTLS_ECP_DP_CURVE448_ENABLED
#undef MBEDTLS_PK_PARSE_EC_EXTENDED

/* Keys are made elsewhere and are not encrypted; certificates are read, never issued or revoked. */
#undef MBEDTLS_GENPRIME
#undef MBEDTLS_LMS_C
#undef MBEDTLS_PKCS5_C
#undef MBEDTLS_PKCS7_C
#undef MBEDTLS_PKCS12_C
#undef MBEDTLS_PK_RSA_ALT_SUPPORT
#undef MBEDTLS_PEM_WRITE_C
#undef MBEDTLS_X509_CRL_PARSE_C
#undef MBEDTLS_X509_CSR_PARSE_C
#undef MBEDTLS_X509_CREATE_C
#undef MBEDTLS_X509_CRT_WRITE_C
#undef MBEDTLS_X509_CSR_WRITE_C

/* A worker has an allocator of its own for the library (serve/tls_context.c). */
#define MBEDTLS_PLATFORM_MEMORY

/* Tables that are part of the program are there once, not computed in every worker. */
#define MBEDTLS_AES_ROM_TABLES

/* No buffer of ours is shared with another process, so none can change while it is being read: the
 * library need not copy each one to be sure. */
#define MBEDTLS_PSA_ASSUME_EXCLUSIVE_BUFFERS

/* Files and sockets are ours: a worker is sealed, and nothing in it may try to open one. */
#undef MBEDTLS_FS_IO
#undef MBEDTLS_NET_C
#undef MBEDTLS_TIMING_C
#undef MBEDTLS_PSA_CRYPTO_STORAGE_C
#undef MBEDTLS_PSA_ITS_FILE_C

/* Help for the developers of mbedTLS; debug output could show what a client sent. */
#undef MBEDTLS_DEBUG_C
#undef MBEDTLS_SELF_TEST
#undef MBEDTLS_VERSION_FEATURES

/*
 * The TLS layer is compiled a second time, for the client in probe/ alone: no code of a client is in
 * a server, and no code of a server in the client. What it reads others have written, in records as
 * long as they like. Below the TLS layer both share everything, so nothing else may differ.
 */
#if defined(MTA_STS_HTTPD_TLS_CLIENT)
#define MBEDTLS_SSL_CLI_C
#undef MBEDTLS_SSL_SRV_C
/* The client reads certificates by a function of its own, which takes critical extensions that the
 * library does not know: the chain is judged later. */
#define mbedtls_x509_crt_parse_der client_parse_certificate
#endif
