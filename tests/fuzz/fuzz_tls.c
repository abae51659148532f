/*
 * Any bytes as what a client sends to the TLS of a worker, which has an ECDSA
 * and an RSA certificate to show: the handshake ends, with an alert when it
 * failed and anything was said, and the same bytes in two portions get the same
 * answer.
 */
#include <assert.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chance.h"
#include "fuzz.h"
#include "material.h"
#include "serve/tls.h"
#include "serve/wire.h"
#include "site/site_builder.h"

enum { ANSWER_MOST = 64 * 1024, INPUT_MOST = 64 * 1024 };

struct answer {
    enum tls_result result;
    const struct site_domain *domain;
    size_t len;
    char bytes[ANSWER_MOST];
};

static struct credential_fields make_credential(enum credential_kind kind, enum material leaf,
                                                enum material key)
{
    return (struct credential_fields){
        .kind = kind,
        .chain = {material_get(leaf), material_get(MATERIAL_INTERMEDIATE)},
        .chain_len = 2,
        .key = material_get(key),
        .algorithm = "any",
        .file = "material",
    };
}

static struct site *make_site(void)
{
    const struct credential_fields ecdsa =
        make_credential(CREDENTIAL_ECDSA, MATERIAL_LEAF, MATERIAL_EC_KEY);
    const struct credential_fields rsa =
        make_credential(CREDENTIAL_RSA, MATERIAL_RSA_LEAF, MATERIAL_RSA_KEY);
    struct site_fields domain = {.name = span_of("example.com"),
                                 .state = SITE_REFUSED,
                                 .credentials = {&ecdsa, &rsa},
                                 .at = {.file = "material"}};
    struct site_builder *builder = site_builder_new(-1);
    assert(builder != NULL);
    site_builder_add(builder, &domain);
    domain = (struct site_fields){
        .name = span_of("example.net"), .state = SITE_REFUSED, .at = {.file = "material"}};
    site_builder_add(builder, &domain); /* has no certificate */
    struct site *site = site_builder_finish(builder);
    assert(site != NULL);
    return site;
}

static void send_all(int fd, const uint8_t *data, size_t size)
{
    const int room = 2 * INPUT_MOST;
    assert(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
    assert(size == 0 || send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size);
}

/* Goes on until nothing more comes of it; each call takes bytes or is the last one. */
static enum tls_result shake(struct tls_session *session, size_t size)
{
    enum tls_result result = TLS_WANT_READ;
    for (size_t calls = 0; result == TLS_WANT_READ && calls < 4 + size / 1024; calls++)
        result = tls_handshake(session);
    return result;
}

static void answer(const struct site *site, const uint8_t *data, size_t size, size_t cut,
                   struct answer *ret_answer)
{
    int pair[2];
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    chance_begin();
    struct tls_context *context = tls_context_new(site, NULL);
    assert(context != NULL);
    struct tls_session *session = tls_session_new(context, pair[0]);
    assert(session != NULL);
    send_all(pair[1], data, cut);
    ret_answer->result = shake(session, cut);
    if (ret_answer->result == TLS_WANT_READ) {
        send_all(pair[1], data + cut, size - cut);
        assert(shutdown(pair[1], SHUT_WR) == 0);
        ret_answer->result = shake(session, size);
    }
    assert(ret_answer->result == TLS_FAILED || ret_answer->result == TLS_CLOSED);
    ssize_t len = recv(pair[1], ret_answer->bytes, ANSWER_MOST, 0);
    ret_answer->len = len < 0 ? 0 : (size_t)len;
    ret_answer->domain = tls_session_facts(session).domain;
    tls_session_free(session);
    tls_context_free(context);
    chance_end();
    assert(close(pair[0]) == 0 && close(pair[1]) == 0);
}

/* Type and length of the record at the place; its length with its header, or SIZE_MAX when it is cut. */
static size_t read_record(const unsigned char *bytes, size_t len, unsigned char *ret_type)
{
    if (len < 5)
        return SIZE_MAX;
    size_t size = 5U + ((size_t)bytes[3] << 8 | bytes[4]);
    *ret_type = bytes[0];
    return size <= len ? size : SIZE_MAX;
}

/* Who says itself that it is over is not told so. */
static bool has_alert(const unsigned char *bytes, size_t len)
{
    unsigned char type = 0;
    for (size_t size; (size = read_record(bytes, len, &type)) != SIZE_MAX; len -= size) {
        if (type == 21)
            return true;
        bytes += size;
    }
    return false;
}

/* What we send is records, and the last one of a failed handshake is an alert where it can be read:
 * in the clear, or (TLS 1.3) as application data. */
static void check_records(const struct answer *answer, bool is_owed)
{
    const unsigned char *bytes = (const unsigned char *)answer->bytes;
    unsigned char type = 0;
    for (size_t at = 0, size; at < answer->len; at += size) {
        size = read_record(bytes + at, answer->len - at, &type);
        assert(size != SIZE_MAX && type >= 20 && type <= 23 && bytes[at + 1] == 3);
    }
    if (answer->result == TLS_FAILED && is_owed)
        assert(type == 21 || type == 23);
}

/* What does not begin with a ClientHello is refused either way; which alert tells so depends on how
 * much of it the library has seen by then. */
static bool is_refused_at_once(const uint8_t *data, size_t size, const struct answer *answer)
{
    size_t len = 0;
    return hello_look((struct span){(const char *)data, size}, &len) == HELLO_OTHER &&
           answer->len == 7 && answer->bytes[0] == 21;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct answer whole, parts; /* too large for the stack */
    static struct site *site;          /* immutable */
    if (size > INPUT_MOST)
        return 0;
    if (site == NULL)
        site = make_site();
    char name[100]; /* which is for the log alone */
    assert(hello_server_name((struct span){(const char *)data, size}, name, sizeof(name)) <=
           sizeof(name));
    answer(site, data, size, size, &whole);
    check_records(&whole, !has_alert(data, size));
    answer(site, data, size, size == 0 ? 0 : data[size - 1] % size, &parts);
    assert(whole.result == parts.result && whole.domain == parts.domain);
    assert(whole.len == parts.len);
    assert(memcmp(whole.bytes, parts.bytes, whole.len) == 0 ||
           is_refused_at_once(data, size, &whole));
    return 0;
}
