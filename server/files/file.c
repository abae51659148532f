#include "files/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/heap.h"

/* As many as the kernel follows (path_resolution(7)). */
enum { LINKS_MOST = 40 };

/* How often a name may turn into something else while it is opened. */
enum { TRIES = 3 };

static const int FLAGS = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;

/* A path on its way from name to name: where it has led to, which is no link. */
struct walk {
    int folder;              /* owned, unless it is the caller's */
    bool owns_folder;        /* so that the caller's is not closed */
    int followed;            /* links */
    char name[NAME_MAX + 1]; /* in the folder; not when it has led to the folder itself */
    struct stat status;
};

static void enter(struct walk *walk, int folder)
{
    if (walk->owns_folder)
        descriptor_close(&walk->folder);
    walk->folder = folder;
    walk->owns_folder = true;
}

static bool is_trusted(uid_t owner)
{
    return owner == 0 || (owner == geteuid() && owner != FILE_NOBODY);
}

/* A hard link may have been made by whoever may write in its folder, not by the owner. */
static bool was_made_by_owner(const struct walk *walk, const struct stat *status)
{
    struct stat folder;
    if (status->st_nlink <= 1)
        return true;
    return fstatat(walk->folder, ".", &folder, 0) == 0 &&
           (is_trusted(folder.st_uid) || folder.st_uid == status->st_uid) &&
           (folder.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static bool walk_path(struct walk *walk, const char *path);

/* Goes where the link leads whose status this is: there is what judges it. */
static bool follow(struct walk *walk, int link)
{
    char target[PATH_MAX];
    const struct stat status = walk->status;
    ssize_t len = readlinkat(link, "", target, sizeof(target) - 1);
    if (len <= 0)
        return false;
    target[len] = '\0';
    errno = len == sizeof(target) - 1 ? ENAMETOOLONG : ELOOP;
    if (len == sizeof(target) - 1 || walk->followed++ == LINKS_MOST)
        return false;
    walk->status.st_mode = S_IFDIR; /* it begins at the folder of the link */
    if (was_made_by_owner(walk, &status)) {
        if (!walk_path(walk, target))
            return false;
        if (is_trusted(status.st_uid) || status.st_uid == walk->status.st_uid)
            return true;
    }
    errno = EXDEV;
    return false;
}

/* Enters a folder, follows a link, or looks at anything else, which is not opened. */
static bool step(struct walk *walk)
{
    int fd = openat(walk->folder, walk->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool good = fstat(fd, &walk->status) == 0;
    if (good && S_ISDIR(walk->status.st_mode)) {
        enter(walk, fd);
        return true;
    }
    if (good && S_ISLNK(walk->status.st_mode))
        good = follow(walk, fd);
    descriptor_close(&fd);
    return good;
}

/* Each link on the way is one more recursion, of which there are LINKS_MOST. */
static bool walk_path(struct walk *walk, const char *path)
{
    bool good = true;
    if (path[0] == '/') {
        int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
            return false;
        enter(walk, root);
        good = fstat(root, &walk->status) == 0;
    }
    for (path += strspn(path, "/"); good && *path != '\0'; path += strspn(path, "/")) {
        size_t len = strcspn(path, "/");
        errno = S_ISDIR(walk->status.st_mode) ? ENAMETOOLONG : ENOTDIR;
        if (!S_ISDIR(walk->status.st_mode) || len > NAME_MAX)
            return false;
        memcpy(walk->name, path, len);
        walk->name[len] = '\0';
        path += len;
        good = step(walk);
    }
    return good;
}

/* What the walk has led to, which was a file a moment ago. Its status is judged, whoever swaps it. */
static int open_file(const struct walk *walk, struct stat *ret_status)
{
    int fd = openat(walk->folder, walk->name, FLAGS | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    if (fstat(fd, ret_status) != 0)
        goto fail;
    errno = S_ISDIR(ret_status->st_mode) ? EISDIR : EINVAL;
    if (!S_ISREG(ret_status->st_mode))
        goto fail;
    errno = ELOOP; /* it was swapped, so that the links before it must be judged again */
    if (ret_status->st_uid != walk->status.st_uid)
        goto fail;
    if ((ret_status->st_mode & S_IROTH) != 0 || was_made_by_owner(walk, ret_status))
        return fd;
    errno = EMLINK;
fail:
    descriptor_close(&fd);
    return -1;
}

int file_open(int folder, const char *path, struct stat *ret_status)
{
    int fd = -1;
    errno = path[0] == '\0' ? ENOENT : ELOOP;
    /* ELOOP also tells that a file became a link meanwhile, as when a new one takes its place. */
    for (int i = 0; i < TRIES && fd < 0 && errno == ELOOP; i++) {
        struct walk walk = {.folder = folder, .status = {.st_mode = S_IFDIR}};
        if (walk_path(&walk, path)) {
            errno = S_ISDIR(walk.status.st_mode) ? EISDIR : EINVAL;
            if (S_ISREG(walk.status.st_mode))
                fd = open_file(&walk, ret_status);
        }
        if (walk.owns_folder)
            descriptor_close(&walk.folder);
    }
    return fd;
}

static bool read_all(int fd, size_t limit, struct text *ret_bytes)
{
    char chunk[16 * 1024];
    for (;;) {
        ssize_t count = read(fd, chunk, sizeof(chunk));
        if (count == 0)
            return true;
        if (count < 0) {
            if (errno == EINTR)
                continue;
            return false;
        }
        if (ret_bytes->len + (size_t)count > limit) {
            errno = EFBIG;
            return false;
        }
        text_append(ret_bytes, (struct span){chunk, (size_t)count});
        (void)heap_text(ret_bytes); /* else a part would be missing */
    }
}

bool file_read_open(int fd, size_t limit, struct text *ret_bytes)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return false;
    errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    return S_ISREG(status.st_mode) && read_all(fd, limit, ret_bytes);
}

static bool read_and_close(int fd, size_t limit, struct text *ret_bytes)
{
    bool good = fd >= 0 && file_read_open(fd, limit, ret_bytes);
    descriptor_close(&fd);
    return good;
}

bool file_read(const char *path, size_t limit, struct text *ret_bytes)
{
    struct stat status;
    return read_and_close(file_open(AT_FDCWD, path, &status), limit, ret_bytes);
}

bool file_read_named(const char *path, size_t limit, struct text *ret_bytes)
{
    return read_and_close(open(path, FLAGS), limit, ret_bytes);
}

const char *file_error(int error)
{
    switch (error) {
    case EINVAL:
        return "it is not a regular file";
    case EXDEV:
        return "a link on its path belongs neither to root nor to the owner of what it points to";
    case EMLINK:
        return "it has a second name (a hard link), and others may write in its folder";
    default:
        return strerror(error);
    }
}

bool file_is_hidden(const char *path, size_t *ret_folder)
{
    char folder[PATH_MAX];
    struct stat status;
    size_t len = strlen(path);
    if (len >= sizeof(folder))
        return false;
    memcpy(folder, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        folder[i] = '\0';
        if (stat(folder, &status) != 0)
            return false;
        if (S_ISDIR(status.st_mode) && (status.st_mode & ALLPERMS) == 0) {
            *ret_folder = i;
            return true;
        }
        folder[i] = path[i];
    }
    return false;
}

bool file_hint_hidden(const char *path, struct diag *diag)
{
    size_t folder = 0;
    if (!file_is_hidden(path, &folder))
        return false;
    diag_hint(diag,
              "%.*s is hidden from this service: \"systemctl edit mta-sts-httpd\", below "
              "[Service] \"ProtectHome=read-only\", then restart it",
              (int)folder, path);
    return true;
}

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

uint64_t file_signature(const char *path, const struct stat *status)
{
    const uint64_t numbers[] = {
        (uint64_t)status->st_dev,          (uint64_t)status->st_ino,
        (uint64_t)status->st_size,         (uint64_t)status->st_mtim.tv_sec,
        (uint64_t)status->st_mtim.tv_nsec, (uint64_t)status->st_ctim.tv_sec,
        (uint64_t)status->st_ctim.tv_nsec,
    };
    return hash_of(path, numbers, sizeof(numbers) / sizeof(numbers[0]));
}

uint64_t file_signature_of_error(const char *path, int error)
{
    const uint64_t number = (uint64_t)error;
    return hash_of(path, &number, 1);
}

bool file_signature_is_settled(const struct stat *status, struct timespec instant)
{
    bool coarse = status->st_ctim.tv_nsec == 0 && status->st_mtim.tv_nsec == 0;
    int64_t nanoseconds = status->st_ctim.tv_nsec + (coarse ? COARSE_TICK : TICK), seconds;
    /* A clock may say anything. */
    if (__builtin_add_overflow(status->st_ctim.tv_sec, nanoseconds / 1000000000, &seconds))
        return false;
    return instant.tv_sec > seconds ||
           (instant.tv_sec == seconds && instant.tv_nsec > nanoseconds % 1000000000);
}

uint64_t file_signature_of_path(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? file_signature(path, &status)
                                    : file_signature_of_error(path, errno);
}
