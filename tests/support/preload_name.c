/*
 * For a TLS client that sends no SNI, such as slowhttptest before 1.9: put in
 * front of it with LD_PRELOAD, it sends the name in TEST_NAME and finds every
 * host at 127.0.0.1. Only for tests.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>

/* From OpenSSL's tls1.h, whose headers a test machine need not have. */
enum { SSL_CTRL_SET_TLSEXT_HOSTNAME = 55, TLSEXT_NAMETYPE_HOST_NAME = 0 };

void *SSL_new(void *context);

void *SSL_new(void *context)
{
    void *(*make)(void *) = (void *(*)(void *))dlsym(RTLD_NEXT, "SSL_new");
    long (*control)(void *, int, long, void *) =
        (long (*)(void *, int, long, void *))dlsym(RTLD_NEXT, "SSL_ctrl");
    void *ssl = make(context);
    char *name = getenv("TEST_NAME");
    if (ssl != NULL && name != NULL)
        (void)control(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_HOST_NAME, name);
    return ssl;
}

int getaddrinfo(const char *restrict host, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict found)
{
    int (*resolve)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(
            RTLD_NEXT, "getaddrinfo");
    return resolve(host == NULL ? NULL : "127.0.0.1", service, hints, found);
}
