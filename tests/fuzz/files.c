#include "files.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"

/* Descriptors are small numbers. */
enum { FOLDERS_MOST = 256 };

struct file {
    char path[FILES_PATH_SIZE];
    int fd; /* owned; kept for the next input */
    uint64_t hash;
};

/* The C library's functions have no parameter for it. */
static struct {
    struct file items[FILES_MOST];
    size_t count;
    size_t opened;                               /* of the items, how many have a descriptor */
    char folders[FOLDERS_MOST][FILES_PATH_SIZE]; /* what the descriptors of folders stand for */
    bool begun;
} files;

static struct file *find(const char *path)
{
    for (size_t i = 0; i < files.count; i++)
        if (strcmp(files.items[i].path, path) == 0)
            return &files.items[i];
    errno = ENOENT;
    return NULL;
}

void files_begin(void)
{
    assert(!files.begun);
    files.begun = true;
    files.count = 0;
}

void files_end(void)
{
    files.begun = false;
}

const char *files_path(size_t number)
{
    return number < files.count ? files.items[number].path : NULL;
}

static void write_all(int fd, struct span bytes)
{
    assert(ftruncate(fd, 0) == 0);
    for (size_t done = 0; done < bytes.len;) {
        ssize_t count = pwrite(fd, bytes.data + done, bytes.len - done, (off_t)done);
        assert(count > 0);
        done += (size_t)count;
    }
}

bool files_add(struct span path, struct span bytes)
{
    char name[FILES_PATH_SIZE];
    (void)snprintf(name, sizeof(name), "%.*s", (int)path.len, path.data); /* cut, as promised */
    struct file *file = find(name);
    if (file == NULL) {
        if (files.count == FILES_MOST)
            return false;
        if (files.count == files.opened) {
            files.items[files.count].fd = memfd_create("fuzz", MFD_CLOEXEC);
            assert(files.items[files.count].fd >= 0);
            assert(fchmod(files.items[files.count].fd, 0600) == 0);
            files.opened++;
        }
        file = &files.items[files.count++];
        memcpy(file->path, name, sizeof(name));
    }
    write_all(file->fd, bytes);
    file->hash = span_hash(bytes);
    return true;
}

static bool is_marker(struct span line)
{
    return line.len > 6 && memcmp(line.data, "%file ", 6) == 0;
}

void files_add_all(const char *path, const char *folder, struct span input)
{
    char name[FILES_PATH_SIZE];
    size_t begin = 0;
    (void)snprintf(name, sizeof(name), "%s", path); /* paths of targets are short */
    for (size_t i = 0; i < input.len;) {
        const char *end = memchr(input.data + i, '\n', input.len - i);
        size_t next = end == NULL ? input.len : (size_t)(end - input.data) + 1;
        struct span line = {input.data + i, next - i - (end == NULL ? 0 : 1)};
        if (is_marker(line)) {
            (void)files_add(span_of(name), (struct span){input.data + begin, i - begin});
            (void)snprintf(name, sizeof(name), "%s/%.*s", folder, (int)line.len - 6,
                           line.data + 6); /* cut, as promised */
            begin = next;
        }
        i = next;
    }
    (void)files_add(span_of(name), span_skip(input, begin));
}

/* The path as a file has it. */
static const char *full_path(int folder, const char *path, char buffer[static FILES_PATH_SIZE])
{
    struct text whole = {0};
    if (folder != AT_FDCWD && path[0] != '/') {
        assert(folder >= 0 && folder < FOLDERS_MOST);
        text_printf(&whole, "%s/", files.folders[folder]);
    }
    text_append(&whole, span_of(path));
    assert(!whole.failed);
    size_t len = whole.len < FILES_PATH_SIZE ? whole.len : FILES_PATH_SIZE - 1;
    memcpy(buffer, whole.data, len); /* cut, as all are */
    buffer[len] = '\0';
    text_free(&whole);
    return buffer;
}

static bool is_folder(const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < files.count; i++)
        if (strncmp(files.items[i].path, path, len) == 0 && files.items[i].path[len] == '/')
            return true;
    return false;
}

/* A folder has no file here: what is opened stands for it. Whoever walks through it learns that it is
 * a folder; whoever means to have it on the disk can do so. */
static int open_folder(const char *path, int flags)
{
    int fd = (flags & O_PATH) == 0
                 ? memfd_create("folder", MFD_CLOEXEC)
                 : (int)syscall(SYS_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert(fd >= 0 && fd < FOLDERS_MOST);
    (void)snprintf(files.folders[fd], FILES_PATH_SIZE, "%s", strcmp(path, "/") == 0 ? "" : path);
    return fd; /* a path is cut, as all are */
}

static int open_file(int folder, const char *path, int flags, mode_t mode)
{
    char full[FILES_PATH_SIZE];
    if (!files.begun)
        return (int)syscall(SYS_openat, folder, path, flags, mode);
    path = full_path(folder, path, full);
    if ((flags & O_DIRECTORY) != 0 || ((flags & O_PATH) != 0 && is_folder(path)))
        return open_folder(path, flags);
    if ((flags & O_EXCL) != 0 && find(path) != NULL) {
        errno = EEXIST;
        return -1;
    }
    if ((flags & O_CREAT) != 0 && find(path) == NULL)
        (void)files_add(span_of(path), (struct span){0}); /* else it is not found below */
    const struct file *file = find(path);
    if (file == NULL)
        return -1;
    char link[64];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd); /* a number fits */
    return (int)syscall(SYS_openat, AT_FDCWD, link, flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL), mode);
}

/* The names of the C library's functions, without its declarations, which differ between builds. */
int files_open(const char *path, int flags, ...) __asm__("open");
int files_openat(int folder, const char *path, int flags, ...) __asm__("openat");
int files_stat(const char *restrict path, struct stat *restrict ret_status) __asm__("stat");
int files_renameat(int from_folder, const char *from, int to_folder,
                   const char *to) __asm__("renameat");
int files_unlinkat(int folder, const char *path, int flags) __asm__("unlinkat");
int files_glob(const char *restrict pattern, int flags, int (*fail)(const char *, int),
               glob_t *restrict ret_found) __asm__("glob");
void files_globfree(glob_t *found) __asm__("globfree");

int files_open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list arguments;
    va_start(arguments, flags);
    if ((flags & O_CREAT) != 0)
        mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return open_file(AT_FDCWD, path, flags, mode);
}

int files_openat(int folder, const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list arguments;
    va_start(arguments, flags);
    if ((flags & O_CREAT) != 0)
        mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return open_file(folder, path, flags, mode);
}

int files_stat(const char *restrict path, struct stat *restrict ret_status)
{
    if (!files.begun)
        return fstatat(AT_FDCWD, path, ret_status, 0);
    const struct file *file = find(path);
    if (file == NULL || fstat(file->fd, ret_status) != 0)
        return -1;
    /* Long ago, so that the loader trusts it; a change of the contents shows. */
    ret_status->st_dev = ret_status->st_ino = 1;
    ret_status->st_mtim =
        (struct timespec){.tv_sec = 1, .tv_nsec = (long)(file->hash % 1000000000)};
    ret_status->st_ctim = ret_status->st_atim = ret_status->st_mtim;
    return 0;
}

int files_unlinkat(int folder, const char *path, int flags)
{
    char full[FILES_PATH_SIZE];
    if (!files.begun)
        return (int)syscall(SYS_unlinkat, folder, path, flags);
    struct file *file = find(full_path(folder, path, full));
    if (file == NULL)
        return -1;
    /* Its place and its descriptor go to the end, for the next one. */
    struct file removed = *file;
    *file = files.items[--files.count];
    files.items[files.count] = removed;
    return 0;
}

int files_renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    char old[FILES_PATH_SIZE], new[FILES_PATH_SIZE];
    if (!files.begun)
        return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, 0);
    (void)full_path(to_folder, to, new);
    (void)full_path(from_folder, from, old);
    if (find(old) == NULL)
        return -1;
    (void)files_unlinkat(AT_FDCWD, new, 0); /* it may not be there */
    struct file *file = find(old);          /* which that may have moved */
    assert(file != NULL);
    memcpy(file->path, new, sizeof(new));
    return 0;
}

static int compare(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;
    return strcmp(*a, *b);
}

int files_glob(const char *restrict pattern, int flags, int (*fail)(const char *, int),
               glob_t *restrict ret_found)
{
    (void)flags;
    (void)fail;
    assert(files.begun); /* nobody but the loader uses it */
    *ret_found = (glob_t){.gl_pathv = calloc(files.count + 1, sizeof(char *))};
    assert(ret_found->gl_pathv != NULL);
    for (size_t i = 0; i < files.count; i++)
        if (fnmatch(pattern, files.items[i].path, FNM_PATHNAME | FNM_PERIOD) == 0)
            ret_found->gl_pathv[ret_found->gl_pathc++] = files.items[i].path;
    qsort(ret_found->gl_pathv, ret_found->gl_pathc, sizeof(char *), compare);
    return ret_found->gl_pathc == 0 ? GLOB_NOMATCH : 0;
}

void files_globfree(glob_t *found)
{
    free(found->gl_pathv); /* the paths are ours */
}
