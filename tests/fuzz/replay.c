/*
 * Runs a fuzz target on files, and on the files of folders, without libFuzzer.
 * Each input ends at a page that cannot be read. The report is one test of the
 * Test Anything Protocol; when an input ends the process, the last line names it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

static bool replay_file(const char *path)
{
    struct stat status;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) {
        perror(path);
        return false;
    }
    size_t size = (size_t)status.st_size, room = (size / page + 1) * page;
    char *pages =
        mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + room, page, PROT_NONE) != 0 ||
        read(fd, pages + room - size, size) != (ssize_t)size) {
        perror(path);
        return false;
    }
    (void)printf("# %s\n", path);
    (void)fflush(stdout); /* before the input may end us */
    (void)LLVMFuzzerTestOneInput((const uint8_t *)pages + room - size, size); /* it is 0 */
    (void)munmap(pages, room + page);
    (void)close(fd);
    return true;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Returns how many files it has replayed, or -1. */
static long replay(const char *path)
{
    struct stat status;
    struct dirent **entries = NULL;
    long count = 0;
    if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
        return replay_file(path) ? 1 : -1;
    int found = scandir(path, &entries, is_visible, alphasort);
    if (found < 0) {
        perror(path);
        return -1;
    }
    for (int i = 0; i < found; i++) {
        char *name = NULL;
        struct stat entry;
        if (asprintf(&name, "%s/%s", path, entries[i]->d_name) < 0)
            abort();
        if (count >= 0 && stat(name, &entry) == 0 && S_ISREG(entry.st_mode))
            count = replay_file(name) ? count + 1 : -1;
        free(name);
        free(entries[i]);
    }
    free(entries);
    return count;
}

int main(int argc, char **argv)
{
    long total = 0;
    (void)printf("1..1\n");
    for (int i = 1; i < argc && total >= 0; i++) {
        long count = replay(argv[i]);
        total = count < 0 ? -1 : total + count;
    }
    const char *name = strrchr(argv[0], '/') == NULL ? argv[0] : strrchr(argv[0], '/') + 1;
    (void)printf("%s 1 - %s: %ld inputs\n", total > 0 ? "ok" : "not ok", name, total);
    return total > 0 ? 0 : 1;
}
