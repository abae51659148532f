#include "files/stamp.h"

#include <errno.h>

#include "base/span.h"

/* File times advance by the kernel's tick, at most 10 ms, where they have nanoseconds; elsewhere by
 * as much as 2 s (FAT). Twice the tick, for a clock that is being corrected. Nanoseconds. */
static const int64_t TICK = 20 * INT64_C(1000000);
static const int64_t COARSE_TICK = 2 * INT64_C(1000000000);

/* Sums of FNV's results may cancel out, because its last steps are nearly linear; the finalizer of
 * MurmurHash3 (public domain) is not. */
static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ hash >> 33;
}

static uint64_t hash_of(const char *path, const uint64_t *numbers, size_t count)
{
    uint64_t hash = span_hash(span_of(path));
    for (size_t i = 0; i < count; i++)
        hash = mix(hash ^ mix(numbers[i] + i + 1));
    return hash;
}

uint64_t stamp_of_file(const char *path, const struct stat *status)
{
    const uint64_t numbers[] = {
        (uint64_t)status->st_dev,          (uint64_t)status->st_ino,
        (uint64_t)status->st_size,         (uint64_t)status->st_mtim.tv_sec,
        (uint64_t)status->st_mtim.tv_nsec, (uint64_t)status->st_ctim.tv_sec,
        (uint64_t)status->st_ctim.tv_nsec,
    };
    return hash_of(path, numbers, sizeof(numbers) / sizeof(numbers[0]));
}

uint64_t stamp_of_error(const char *path, int error)
{
    const uint64_t number = (uint64_t)error;
    return hash_of(path, &number, 1);
}

bool signature_is_settled(const struct stat *status, struct timespec instant)
{
    bool coarse = status->st_ctim.tv_nsec == 0 && status->st_mtim.tv_nsec == 0;
    int64_t nanoseconds = status->st_ctim.tv_nsec + (coarse ? COARSE_TICK : TICK), seconds;
    /* A clock may say anything. */
    if (__builtin_add_overflow(status->st_ctim.tv_sec, nanoseconds / 1000000000, &seconds))
        return false;
    return instant.tv_sec > seconds ||
           (instant.tv_sec == seconds && instant.tv_nsec > nanoseconds % 1000000000);
}

uint64_t stamp_of_path(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? stamp_of_file(path, &status) : stamp_of_error(path, errno);
}
