/* Opening what somebody else may have put there: links, hard links, kinds of file. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "files/file.h"
#include "pki.h"

enum { CUSTOMER = 12345, OTHER = 12346 };

/* Root's secret; a customer's folder with his own links; root's links in it. */
static const char layout[] =
    "mkdir -p root/sub c/sub open other; echo secret >root/secret; chmod 600 root/secret\n"
    "echo own >c/own; echo other >other/file; echo x >root/sub/x; mkfifo c/fifo; ln root/secret c/hard\n"
    "echo public >root/public; chmod 644 root/public; ln root/public c/public; echo two >c/two; ln c/two c/two-again\n"
    "ln root/secret open/hard; ln root/secret root/hard; chmod 777 open; chmod 600 c/two other/file\n"
    "cd c; ln -s ../root/secret to-secret; ln -s own to-own; ln -s to-secret twice; ln -s . here\n"
    "ln -s ../root folder; ln -s ../other/file to-other; ln -s nowhere dangling; ln -s loop loop\n"
    "ln -s / slash-root; ln -s sub/../own dots; ln -s roots hidden\n"
    "ln -s ../root/secret roots; ln -s $PWD/own absolute; ln -s ../c/sub/../../root/sub far\n"
    "ln -s roots-folder through; ln -s ../root roots-folder; ln -s ../c/own roots-back\n"
    "ln roots second\n";

static const struct {
    const char *path;
    int error; /* 0: it is read */
} examples[] = {
    {"c/own", 0},
    {"c//own", 0},
    {"c/./sub/../own", 0},
    {"c/to-own", 0},
    {"c/here/here/own", 0},
    {"c/dots", 0},
    {"c/absolute", 0},
    {"c/roots-back", 0}, /* of root, to a customer's */
    {"c/roots-folder/secret", 0},
    {"root/secret", 0},
    {"root/hard", 0},
    {"c/public", 0}, /* everybody may read it, so nothing is given away */
    {"c/two", 0},    /* both names are his */
    {"c/to-secret", EXDEV},
    {"c/here/to-secret", EXDEV},
    {"c/twice", EXDEV},
    {"c/hidden", EXDEV}, /* his link to root's link */
    {"c/folder/secret", EXDEV},
    {"c/folder/../c/own", EXDEV},
    {"c/through/secret", EXDEV},
    {"c/far/x", EXDEV},
    {"c/to-other", EXDEV},
    {"c/slash-root/etc/hostname", EXDEV},
    {"c/second", EXDEV}, /* root's link, which somebody may have put there by a hard link */
    {"c/hard", EMLINK},
    {"open/hard", EMLINK},
    {"c/fifo", EINVAL},
    {"c/null", EINVAL},
    {"c/sub", EISDIR},
    {"c/here", EISDIR},
    {"/", EISDIR},
    {"c/dangling", ENOENT},
    {"c/none", ENOENT},
    {"none/none", ENOENT},
    {"c/own/x", ENOTDIR},
    {"c/loop", ELOOP},
    {"", ENOENT},
};

static void own(const char *path, uid_t owner)
{
    assert_int_equal(lchown(path, owner, owner), 0);
}

static void make_owners(void)
{
    static const char *const customers[] = {
        "c",        "c/sub",    "c/own",      "c/two",      "c/to-secret",  "c/to-own",   "c/twice",
        "c/here",   "c/folder", "c/to-other", "c/dangling", "c/loop",       "c/absolute", "c/dots",
        "c/hidden", "c/far",    "c/through",  "c/fifo",     "c/slash-root",
    };
    for (size_t i = 0; i < COUNT(customers); i++)
        own(customers[i], CUSTOMER);
    own("other/file", OTHER);
    assert_int_equal(mknod("c/null", S_IFCHR | 0600, makedev(1, 3)), 0);
}

static size_t open_descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
}

static void test_rule_of_links(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can make links of several owners */
    make_owners();
    size_t before = open_descriptors();
    for (size_t i = 0; i < COUNT(examples); i++) {
        struct stat status;
        errno = 0;
        int fd = file_open(AT_FDCWD, examples[i].path, &status);
        int error = fd < 0 ? errno : 0;
        if (error != examples[i].error)
            print_error("%s: %s\n", examples[i].path, strerror(error));
        assert_int_equal(error, examples[i].error);
        if (fd < 0)
            continue;
        struct stat opened;
        assert_int_equal(fstat(fd, &opened), 0);
        assert_int_equal(opened.st_ino, status.st_ino);
        assert_int_equal(close(fd), 0);
    }
    assert_int_equal(open_descriptors(), before);
}

/* A path may be relative to a folder that is open, as the walk of certificates has it. */
static void test_folder(void **state)
{
    (void)state;
    struct stat status;
    int folder = open("c", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder >= 0);
    int fd = file_open(folder, "to-own", &status);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_not_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(fcntl(folder, F_GETFD), FD_CLOEXEC); /* it is still open */
    assert_int_equal(close(folder), 0);
}

static void test_reading(void **state)
{
    (void)state;
    struct text bytes = {0};
    assert_true(file_read("c/to-own", 4, &bytes));
    assert_string_equal(bytes.data, "own\n");
    assert_false(file_read("c/to-own", 3, &bytes));
    assert_int_equal(errno, EFBIG);
    text_free(&bytes);
    assert_false(file_read_named("c/fifo", 4, &bytes));
    assert_int_equal(errno, EINVAL);
    if (geteuid() != 0)
        return;
    assert_false(file_read("c/to-secret", 9, &bytes));
    assert_int_equal(errno, EXDEV);
    /* The operator typed this one. */
    assert_true(file_read_named("c/to-secret", 9, &bytes));
    text_free(&bytes);
}

/* Long chains and long targets end, and do not write beyond their room. */
static void test_bounds(void **state)
{
    (void)state;
    struct stat status;
    char path[64], target[4000];
    assert_int_equal(symlink("c/own", "chain-0"), 0);
    for (int i = 1; i <= 40; i++) {
        char before[32];
        (void)snprintf(before, sizeof(before), "chain-%d", i - 1);
        (void)snprintf(path, sizeof(path), "chain-%d", i);
        assert_int_equal(symlink(before, path), 0);
    }
    int fd = file_open(AT_FDCWD, "chain-39", &status);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(file_open(AT_FDCWD, "chain-40", &status), -1);
    assert_int_equal(errno, ELOOP);
    for (size_t i = 0; i < sizeof(target); i += 2)
        memcpy(target + i, "./", 2);
    memcpy(target, "long//", 6);
    target[sizeof(target) - 1] = '\0';
    assert_int_equal(symlink(target, "long"), 0);
    assert_int_equal(file_open(AT_FDCWD, "long", &status), -1);
    assert_int_equal(errno, ELOOP);
    memset(target, 'x', sizeof(target));
    target[sizeof(target) - 1] = '\0';
    assert_int_equal(file_open(AT_FDCWD, target, &status), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

static int set_up(void **state)
{
    (void)state;
    return pki_set_up(layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule_of_links),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, set_up, pki_tear_down);
}
