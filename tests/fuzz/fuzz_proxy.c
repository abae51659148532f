/*
 * Any bytes as what a proxy says first: cut anywhere, they get the answer that
 * they get in one piece, and whom a proxy of version 1 names is whom a second
 * reader finds.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "fuzz.h"
#include "serve/proxy.h"

struct answer {
    enum proxy_progress progress;
    size_t consumed;
    struct sockaddr_storage client;
};

/* In memory of exactly its size. */
static struct answer parse(const uint8_t *data, size_t size)
{
    struct answer answer = {.client = {.ss_family = AF_UNIX}};
    char *copy = malloc(size);
    assert(size == 0 || copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    answer.progress = proxy_parse((struct span){copy, size}, &answer.consumed, &answer.client);
    free(copy);
    return answer;
}

static void check_client(const struct sockaddr_storage *client)
{
    assert(client->ss_family == AF_UNSPEC || client->ss_family == AF_INET ||
           client->ss_family == AF_INET6);
}

static void check_same(const struct answer *one, const struct answer *other)
{
    assert(one->progress == other->progress);
    if (one->progress != PROXY_COMPLETE)
        return;
    assert(one->consumed == other->consumed);
    assert(one->client.ss_family == other->client.ss_family);
    assert(memcmp(&one->client, &other->client, sizeof(struct sockaddr_in6)) == 0);
}

/* The words of a line of version 1 by the C library, and the client as the words have it. */
static void check_line(const uint8_t *data, const struct answer *answer)
{
    char line[128], family[16], source[64], destination[64], text[INET6_ADDRSTRLEN];
    unsigned port = 0, other_port = 0;
    assert(answer->consumed >= 8 && answer->consumed <= 107);
    memcpy(line, data, answer->consumed);
    line[answer->consumed] = '\0';
    assert(strcmp(line + answer->consumed - 2, "\r\n") == 0 ||
           strlen(line) < answer->consumed); /* only an UNKNOWN one may hold a NUL */
    int words =
        sscanf(line, "PROXY %15s %63s %63s %u %u", family, source, destination, &port, &other_port);
    if (answer->client.ss_family == AF_UNSPEC) {
        assert(words >= 1 && strcmp(family, "UNKNOWN") == 0);
        return;
    }
    assert(words == 5 && port <= 65535 && other_port <= 65535);
    struct in6_addr given, read;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&answer->client;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&answer->client;
    bool is_v4 = answer->client.ss_family == AF_INET;
    assert(strcmp(family, is_v4 ? "TCP4" : "TCP6") == 0);
    assert(ntohs(is_v4 ? v4->sin_port : v6->sin6_port) == port);
    const void *number = is_v4 ? (const void *)&v4->sin_addr : &v6->sin6_addr;
    assert(inet_ntop(answer->client.ss_family, number, text, sizeof(text)) != NULL);
    assert(inet_pton(answer->client.ss_family, source, &given) == 1);
    assert(inet_pton(answer->client.ss_family, text, &read) == 1);
    assert(memcmp(&given, &read, is_v4 ? 4 : 16) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool decided = false;
    if (size == 0) /* whoever reads has read something */
        return 0;
    struct answer whole = parse(data, size);
    for (size_t len = 1; len < size && len <= LIMIT_PROXY_HEADER; len++) {
        struct answer part = parse(data, len);
        assert(!decided || part.progress != PROXY_PARTIAL);
        decided = part.progress != PROXY_PARTIAL;
        if (decided)
            check_same(&part, &whole);
    }
    assert(whole.progress != PROXY_PARTIAL || size < LIMIT_PROXY_HEADER);
    if (whole.progress != PROXY_COMPLETE)
        return 0;
    assert(whole.consumed > 0 && whole.consumed <= size && whole.consumed <= LIMIT_PROXY_HEADER);
    check_client(&whole.client);
    if (data[0] == 'P')
        check_line(data, &whole);
    return 0;
}
