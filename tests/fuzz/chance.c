#include "chance.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The functions that this module replaces have no parameter for it. */
static struct {
    uint64_t state;
    bool begun;
} chance;

void chance_begin(void)
{
    chance.state = 0;
    chance.begun = true;
}

void chance_end(void)
{
    chance.begun = false;
}

/* SplitMix64 (Steele and others, 2014). */
int chance_random(void *context, unsigned char *output, size_t len)
{
    (void)context;
    for (size_t i = 0; i < len; i++) {
        uint64_t mixed = chance.state += UINT64_C(0x9e3779b97f4a7c15);
        mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
        output[i] = (unsigned char)(mixed >> 56);
    }
    return 0;
}

/* The names of the C library's functions, whose declarations have other names for parameters. */
ssize_t chance_getrandom(void *output, size_t len, unsigned flags) __asm__("getrandom");
time_t chance_time(time_t *ret_seconds) __asm__("time");

ssize_t chance_getrandom(void *output, size_t len, unsigned flags)
{
    if (!chance.begun)
        return syscall(SYS_getrandom, output, len, flags);
    (void)chance_random(NULL, output, len); /* it never fails */
    return (ssize_t)len;
}

/* Where mbedTLS gets its entropy. */
int mbedtls_platform_entropy_poll(void *data, unsigned char *output, size_t len, size_t *ret_len);

int mbedtls_platform_entropy_poll(void *data, unsigned char *output, size_t len, size_t *ret_len)
{
    ssize_t got = chance_getrandom(output, len, 0);
    (void)data;
    *ret_len = got < 0 ? 0 : (size_t)got;
    return got < 0 ? -errno : 0;
}

time_t chance_time(time_t *ret_seconds)
{
    struct timespec now = {.tv_sec = 1700000000};
    if (!chance.begun)
        (void)clock_gettime(CLOCK_REALTIME, &now); /* this clock is always there */
    if (ret_seconds != NULL)
        *ret_seconds = now.tv_sec;
    return now.tv_sec;
}
