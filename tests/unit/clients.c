#include "clients.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policy/policy.h"
#include "site/site_builder.h"
#include "unit.h"

struct site *clients_site(void)
{
    struct diag *diag = diag_new();
    const struct field mx = {.text = span_of("mail.example.com")};
    const struct policy_fields fields = {
        .mode = {.text = span_of("enforce")},
        .max_age = {.text = span_of("2w")},
        .mx = &mx,
        .mx_count = 1,
        .mx_key = {.text = span_of("mx")},
    };
    struct policy *policy = policy_new(&fields, diag);
    struct site_builder *builder = site_builder_new(-1);
    assert_non_null(policy);
    assert_non_null(builder);
    const struct site_fields domain = {.name = span_of("example.com"),
                                       .state = SITE_SERVED,
                                       .policy = policy,
                                       .at = {.file = "f"}};
    site_builder_add(builder, &domain);
    struct site *site = site_builder_finish(builder);
    assert_non_null(site);
    policy_free(policy);
    diag_free(diag);
    return site;
}

int clients_listen(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 1024), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

int clients_connect(const char *source, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, source, &address.sin_addr), 1);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

void clients_send(int fd, struct span bytes)
{
    assert_int_equal(send(fd, bytes.data, bytes.len, MSG_NOSIGNAL), bytes.len);
}

bool clients_ended(int fd)
{
    char dropped[4096];
    ssize_t got;
    do
        got = recv(fd, dropped, sizeof(dropped), MSG_DONTWAIT);
    while (got > 0);
    return got == 0 || (errno != EAGAIN && errno != EINTR);
}

size_t clients_read(int fd, char *buf, size_t size)
{
    ssize_t got = recv(fd, buf, size, MSG_DONTWAIT);
    return got > 0 ? (size_t)got : 0;
}

void clients_reset(int fd)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    assert_int_equal(close(fd), 0);
}
