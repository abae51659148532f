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

/* A link that was followed, until what it points to is reached. */
struct link {
    uid_t owner;
    size_t rest; /* how much of the path is left there */
};

/* A path on its way from name to name. */
struct walk {
    int folder;              /* owned, unless AT_FDCWD or the caller's */
    bool owns_folder;        /* so that the caller's is not closed */
    char path[2 * PATH_MAX]; /* what is left of it begins at at */
    size_t at;
    struct link links[LINKS_MOST];
    size_t link_count; /* followed and not reached yet */
    size_t followed;   /* in all */
};

static void enter(struct walk *walk, int folder)
{
    if (walk->owns_folder)
        descriptor_close(&walk->folder);
    walk->folder = folder;
    walk->owns_folder = true;
}

static void skip_slashes(struct walk *walk)
{
    while (walk->path[walk->at] == '/')
        walk->at++;
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

/* Judges the links whose target this is. */
static bool reach(struct walk *walk, const struct stat *status)
{
    size_t left = strlen(walk->path + walk->at);
    for (; walk->link_count > 0; walk->link_count--) {
        const struct link *link = &walk->links[walk->link_count - 1];
        if (left > link->rest)
            return true;
        if (!is_trusted(link->owner) && link->owner != status->st_uid) {
            errno = EXDEV;
            return false;
        }
    }
    return true;
}

/* An absolute path begins at the root, whatever it was relative to. */
static bool begin(struct walk *walk)
{
    struct stat status;
    if (walk->path[walk->at] != '/')
        return true;
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return false;
    enter(walk, root);
    skip_slashes(walk);
    return fstat(root, &status) == 0 && reach(walk, &status);
}

/* Puts what the link says in the place of its name. */
static bool follow(struct walk *walk, int link, uid_t owner)
{
    char target[PATH_MAX];
    if (walk->followed++ == LINKS_MOST) {
        errno = ELOOP;
        return false;
    }
    ssize_t count = readlinkat(link, "", target, sizeof(target));
    if (count <= 0)
        return false;
    size_t len = (size_t)count, rest = strlen(walk->path + walk->at);
    size_t slash = rest > 0 ? 1 : 0;
    if (len == sizeof(target) || len + slash + rest >= sizeof(walk->path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    memmove(walk->path + len + slash, walk->path + walk->at, rest + 1);
    memcpy(walk->path, target, len);
    if (slash > 0)
        walk->path[len] = '/';
    walk->at = 0;
    walk->links[walk->link_count++] = (struct link){owner, rest};
    return begin(walk);
}

/* Takes the next name from the path; it stays valid until a link is followed. */
static const char *next_name(struct walk *walk)
{
    const char *name = walk->path + walk->at;
    walk->at += strcspn(name, "/");
    if (walk->path[walk->at] == '/')
        walk->path[walk->at++] = '\0';
    skip_slashes(walk);
    return name;
}

/* The last name of the path, which was a file a moment ago. Its status is judged, whoever swaps it. */
static int open_file(const struct walk *walk, const char *name, struct stat *ret_status)
{
    int fd = openat(walk->folder, name, FLAGS | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    if (fstat(fd, ret_status) != 0)
        goto fail;
    if (!S_ISREG(ret_status->st_mode)) {
        errno = S_ISDIR(ret_status->st_mode) ? EISDIR : EINVAL;
        goto fail;
    }
    if ((ret_status->st_mode & S_IROTH) != 0 || was_made_by_owner(walk, ret_status))
        return fd;
    errno = EMLINK;
fail:
    descriptor_close(&fd);
    return -1;
}

/* One name of the path: enters a folder, follows a link, or opens the file at its end, which is then
 * in ret_fd. What is not a file is looked at without being opened. */
static bool step(struct walk *walk, int *ret_fd, struct stat *ret_status)
{
    const char *name = next_name(walk);
    bool last = walk->path[walk->at] == '\0';
    struct stat status;
    int fd = openat(walk->folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (fstat(fd, &status) != 0 || !reach(walk, &status))
        goto fail;
    if (S_ISLNK(status.st_mode)) {
        if (!was_made_by_owner(walk, &status)) {
            errno = EXDEV;
            goto fail;
        }
        if (!follow(walk, fd, status.st_uid))
            goto fail;
        descriptor_close(&fd);
        return true;
    }
    if (S_ISDIR(status.st_mode)) {
        enter(walk, fd);
        errno = EISDIR;
        return !last;
    }
    errno = !last ? ENOTDIR : EINVAL;
    if (!last || !S_ISREG(status.st_mode))
        goto fail;
    descriptor_close(&fd);
    uid_t owner = status.st_uid;
    *ret_fd = open_file(walk, name, ret_status);
    if (*ret_fd >= 0 && ret_status->st_uid != owner) {
        descriptor_close(ret_fd);
        errno = ELOOP; /* it was swapped, so that the links before it must be judged again */
    }
    return *ret_fd >= 0;
fail:
    descriptor_close(&fd);
    return false;
}

static int open_once(int folder, const char *path, struct stat *ret_status)
{
    struct walk walk = {.folder = folder};
    size_t len = strlen(path);
    int fd = -1;
    if (len == 0 || len >= PATH_MAX) {
        errno = len == 0 ? ENOENT : ENAMETOOLONG;
        return -1;
    }
    memcpy(walk.path, path, len + 1);
    bool good = begin(&walk);
    if (good && walk.path[walk.at] == '\0') {
        errno = EISDIR;
        good = false;
    }
    while (good && fd < 0)
        good = step(&walk, &fd, ret_status);
    if (walk.owns_folder)
        descriptor_close(&walk.folder);
    return fd;
}

int file_open(int folder, const char *path, struct stat *ret_status)
{
    int fd = -1;
    /* ELOOP also tells that a file became a link meanwhile, as when a new one takes its place. */
    for (int i = 0; i < TRIES && fd < 0; i++) {
        fd = open_once(folder, path, ret_status);
        if (fd < 0 && errno != ELOOP)
            break;
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

bool file_read_open(int fd, size_t limit, struct text *ret_bytes, struct stat *ret_status)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return false;
    if (!S_ISREG(status.st_mode)) {
        errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
        return false;
    }
    if (!read_all(fd, limit, ret_bytes))
        return false;
    if (ret_status != NULL)
        *ret_status = status;
    return true;
}

static bool read_and_close(int fd, size_t limit, struct text *ret_bytes, struct stat *ret_status)
{
    if (fd < 0)
        return false;
    bool good = file_read_open(fd, limit, ret_bytes, ret_status);
    descriptor_close(&fd);
    return good;
}

bool file_read(const char *path, size_t limit, struct text *ret_bytes, struct stat *ret_status)
{
    struct stat status;
    return read_and_close(file_open(AT_FDCWD, path, &status), limit, ret_bytes, ret_status);
}

bool file_read_named(const char *path, size_t limit, struct text *ret_bytes,
                     struct stat *ret_status)
{
    return read_and_close(open(path, FLAGS), limit, ret_bytes, ret_status);
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
