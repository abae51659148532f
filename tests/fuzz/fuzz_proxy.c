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
#include "http/http.h"

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
    assert(copy != NULL);
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

/* The word with this number, from 0 on, between single blanks; empty when there is none. */
static struct span word_of(struct span line, int number)
{
    for (; number > 0; number--) {
        const char *blank = line.len == 0 ? NULL : memchr(line.data, ' ', line.len);
        line = blank == NULL ? (struct span){0} : span_skip(line, (size_t)(blank - line.data) + 1);
    }
    const char *blank = line.len == 0 ? NULL : memchr(line.data, ' ', line.len);
    return blank == NULL ? line : (struct span){line.data, (size_t)(blank - line.data)};
}

static bool is_word(struct span word, const char *text)
{
    return word.len == strlen(text) && memcmp(word.data, text, word.len) == 0;
}

/* The client of version 1, written anew, is the one of the line. */
static void check_line(struct span line, const struct sockaddr_storage *client)
{
    char text[INET6_ADDRSTRLEN], port[8];
    unsigned char given[16], read[16];
    bool is_v4 = client->ss_family == AF_INET;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)client;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)client;
    const void *number = is_v4 ? (const void *)&v4->sin_addr : &v6->sin6_addr;
    if (client->ss_family == AF_UNSPEC) {
        assert(is_word(word_of(line, 1), "UNKNOWN"));
        return;
    }
    assert(is_word(word_of(line, 0), "PROXY") &&
           is_word(word_of(line, 1), is_v4 ? "TCP4" : "TCP6"));
    (void)snprintf(port, sizeof(port), "%u", ntohs(is_v4 ? v4->sin_port : v6->sin6_port));
    assert(is_word(word_of(line, 4), port) && word_of(line, 5).len > 0 &&
           word_of(line, 6).len == 0);
    struct span source = word_of(line, 2);
    assert(source.len < sizeof(text));
    memcpy(text, source.data, source.len);
    text[source.len] = '\0';
    assert(inet_pton(client->ss_family, text, given) == 1);
    memcpy(read, number, is_v4 ? 4 : 16);
    assert(memcmp(given, read, is_v4 ? 4 : 16) == 0);
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
    if (data[0] != 'P')
        return 0;
    assert(whole.consumed <= 107 && memcmp(data + whole.consumed - 2, "\r\n", 2) == 0);
    check_line((struct span){(const char *)data, whole.consumed - 2}, &whole.client);
    return 0;
}
