#include "shared/client_address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { V4_BYTES = 3, V6_BYTES = 6 }; /* of a network */

static void print(int family, const void *address, size_t kept, size_t size, bool shortened,
                  char *out)
{
    unsigned char bytes[sizeof(struct in6_addr)] = {0};
    memcpy(bytes, address, shortened ? kept : size);
    (void)inet_ntop(family, bytes, out, CLIENT_ADDRESS_SIZE); /* it fits, and both families exist */
}

void client_address_print(const struct sockaddr *client, bool shortened,
                          char out[static CLIENT_ADDRESS_SIZE])
{
    const struct sockaddr_in *v4 = (const void *)client;
    const struct sockaddr_in6 *v6 = (const void *)client;
    if (client->sa_family == AF_INET)
        print(AF_INET, &v4->sin_addr, V4_BYTES, sizeof(v4->sin_addr), shortened, out);
    else if (client->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        print(AF_INET, v6->sin6_addr.s6_addr + 12, V4_BYTES, sizeof(v4->sin_addr), shortened, out);
    else if (client->sa_family == AF_INET6)
        print(AF_INET6, &v6->sin6_addr, V6_BYTES, sizeof(v6->sin6_addr), shortened, out);
    else
        (void)snprintf(out, CLIENT_ADDRESS_SIZE, "unix"); /* it fits */
}

void client_address_print_network(const struct sockaddr *client,
                                  char out[static CLIENT_ADDRESS_SIZE])
{
    client_address_print(client, true, out);
    size_t len = strlen(out);
    if (strcmp(out, "unix") != 0)
        (void)snprintf(out + len, CLIENT_ADDRESS_SIZE - len,
                       strchr(out, ':') == NULL ? "/24" : "/48"); /* it fits */
}
