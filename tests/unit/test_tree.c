/* Walks of files and folders, and the signatures of what they find. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "files/file.h"
#include "files/tree.h"
#include "pki.h"

static const char layout[] =
    "mkdir -p walk/b/c walk/.hidden walk/empty far; echo 1 >walk/b/one; echo 2 >walk/b/c/two\n"
    "echo 3 >walk/a; echo 4 >walk/.dot; echo 5 >walk/.hidden/five; echo 6 >far/six; mkfifo walk/f\n"
    "ln -s ../far walk/folder-link; ln -s ../far/six walk/file-link; ln -s nowhere walk/dangling\n"
    "ln -s b/one walk/z; ln -s walk linked; ln -s loop loop; mkfifo fifo; mkdir knot\n"
    "ln -s knot knot/knot; echo 7 >walk/b-file\n"
    "mkdir -p deep/1/2/3/4/5/6/7/8/9/10; echo 8 >deep/1/2/3/4/5/6/7/8/x; echo 9 >deep/1/y\n"
    "echo 10 >deep/1/2/3/4/5/6/7/8/9/z\n";

static const char walk_files[] = "walk/a\nwalk/b/c/two\nwalk/b/one\nwalk/b-file\n"
                                 "walk/dangling: No such file or directory\nwalk/file-link\n"
                                 "walk/z\n";

static const struct {
    const char *path;
    const char *seen;
} examples[] = {
    {"walk/a", "walk/a, named\n"},
    {"linked/file-link", "linked/file-link, named\n"},
    {"walk/empty", ""},
    {"far/", "far/six\n"},
    {"walk/folder-link", "walk/folder-link/six\n"},
    {"linked/b", "linked/b/c/two\nlinked/b/one\n"},
    {"nowhere", "nowhere, named: No such file or directory\n"},
    {"walk/a/b", "walk/a/b, named: Not a directory\n"},
    {"loop", "loop, named: Too many levels of symbolic links\n"},
    {"knot", "knot/knot: Too many levels of symbolic links\n"},
    {"fifo", "fifo, named: odd\n"},
    {"walk/dangling", "walk/dangling, named: No such file or directory\n"},
    {"deep", "deep/1/2/3/4/5/6/7/8/9: deep\ndeep/1/2/3/4/5/6/7/8/x\ndeep/1/y\n"},
};

static void note_file(void *context, const struct tree_file *file)
{
    struct text *seen = context;
    struct stat status;
    int fd = openat(file->folder, file->name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(status.st_ino, file->status->st_ino);
    assert_true(file->signature == file_signature(file->path, &status));
    text_printf(seen, "%s%s\n", file->path, file->is_named ? ", named" : "");
}

static void note_failure(void *context, const struct tree_failure *failure)
{
    static const char *const words[] = {
        [TREE_ODD] = "odd", [TREE_DEEP] = "deep", [TREE_MANY] = "many"};
    bool is_error = failure->trouble == TREE_UNREADABLE;
    assert_true(is_error == (failure->error != 0));
    text_printf(context, "%s%s: %s\n", failure->path, failure->is_named ? ", named" : "",
                is_error ? strerror(failure->error) : words[failure->trouble]);
}

/* What is seen, and the fingerprint; the paths end with NULL. */
static uint64_t walk(const char *const *paths, size_t most, struct text *ret_seen)
{
    struct tree tree = {
        .visit = note_file, .fail = note_failure, .context = ret_seen, .most = most};
    text_append(ret_seen, span_of(""));
    for (; *paths != NULL; paths++)
        tree_walk(&tree, *paths);
    text_free(&tree.path);
    return tree.fingerprint;
}

static void test_what_is_seen(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(examples); i++) {
        struct text seen = {0};
        (void)walk((const char *const[]){examples[i].path, NULL}, 0, &seen);
        assert_string_equal(seen.data, examples[i].seen);
        text_free(&seen);
    }
}

static void test_order(void **state)
{
    (void)state;
    struct text seen = {0};
    (void)walk((const char *const[]){"walk", NULL}, 0, &seen);
    assert_string_equal(seen.data, walk_files);
    text_free(&seen);
}

static void test_limit(void **state)
{
    (void)state;
    struct text seen = {0};
    /* Too many files in one path hide none of another. */
    (void)walk((const char *const[]){"walk/b", "walk/a", "far", NULL}, 1, &seen);
    assert_string_equal(seen.data, "walk/b/c/two\nwalk/b/one: many\nwalk/a, named\nfar/six\n");
    text_free(&seen);
}

/* The fingerprint is a sum, so that it does not matter which path a file was found by first. */
static void test_fingerprint_is_a_sum(void **state)
{
    (void)state;
    struct text seen = {0};
    uint64_t sum = file_signature_of_path("walk/a") + file_signature_of_path("far/six") +
                   file_signature_of_error("nowhere", ENOENT) + file_signature_of_error("fifo", 0);
    assert_true(walk((const char *const[]){"far", "fifo", "walk/a", "nowhere", NULL}, 0, &seen) ==
                sum);
    text_free(&seen);
    /* Nobody needs to listen. */
    struct tree tree = {0};
    tree_walk(&tree, "walk/a");
    tree_walk(&tree, "fifo");
    assert_true(tree.fingerprint ==
                file_signature_of_path("walk/a") + file_signature_of_error("fifo", 0));
    text_free(&tree.path);
}

static void rewrite(void *context, const struct tree_file *file)
{
    (void)context;
    FILE *stream = fopen(file->path, "a");
    if (stream == NULL) {
        fail();
        return;
    }
    assert_true(fputs("more\n", stream) >= 0);
    assert_int_equal(fclose(stream), 0);
}

/* The signature is that of the file before it was handed out, so whoever reads it cannot miss a
 * change that is made meanwhile. */
static void test_change_while_it_is_read(void **state)
{
    (void)state;
    struct tree first = {.visit = rewrite}, second = {0};
    uint64_t before = file_signature_of_path("far/six");
    tree_walk(&first, "far");
    tree_walk(&second, "far");
    assert_true(first.fingerprint == before);
    assert_true(second.fingerprint == file_signature_of_path("far/six"));
    assert_true(second.fingerprint != before);
    text_free(&first.path);
    text_free(&second.path);
}

static void remove_all(void *context, const struct tree_file *file)
{
    size_t *count = context;
    (*count)++;
    assert_int_equal(unlinkat(file->folder, file->name, 0), 0);
    assert_int_equal(unlinkat(file->folder, "2", 0), 0);
    assert_int_equal(unlinkat(file->folder, "3", 0), 0);
    assert_int_equal(rmdir("vanish/4"), 0);
    assert_int_equal(rename("vanish/5", "vanish-5"), 0);
    assert_int_equal(symlink("../far", "vanish/5"), 0);
}

static void refuse(void *context, const struct tree_failure *failure)
{
    (void)context;
    fail_msg("%s: %d", failure->path, failure->error);
}

/* What vanishes after its folder was listed was never there; what became a link is not followed. */
static void test_what_vanishes(void **state)
{
    (void)state;
    size_t count = 0;
    pki_run("mkdir -p vanish/4 vanish/5; touch vanish/1 vanish/2 vanish/5/x\n"
            "ln -s ../far/six vanish/3\n");
    struct tree tree = {.visit = remove_all, .fail = refuse, .context = &count};
    tree_walk(&tree, "vanish");
    assert_int_equal(count, 1);
    text_free(&tree.path);
}

/* Each is one change of what "of" names; whether it must show in the signature. */
static const struct {
    const char *lines;
    bool shows;
} changes[] = {
    {"true", false},
    {"cat of >/dev/null", false},
    {"touch beside", false},
    {"echo longer >>of", true},
    {"touch -d @1000000000 of", true},
    {"echo 1 >new; touch -r of new; mv new of", true},
    {"touch -d '2001-01-01 00:00:00.000000001' of", true},
    {"chmod 600 of", true},
    {"ln of hard; rm hard", true},
    {"mv of real; ln -s real of", true},
    {"echo x >>real", true},
    {"echo y >other; ln -s other new; mv -T new of", true},
    {"rm other", true},
    {"echo y >other", true},
    {"rm of", true},
};

static void test_signature(void **state)
{
    (void)state;
    pki_run("echo 1 >of\n");
    for (size_t i = 0; i < COUNT(changes); i++) {
        uint64_t before = file_signature_of_path("of");
        pki_run(changes[i].lines);
        if ((file_signature_of_path("of") != before) != changes[i].shows)
            fail_msg("%s", changes[i].lines);
    }
    pki_run("echo 1 >of; ln of of2\n");
    assert_true(file_signature_of_path("of") != file_signature_of_path("of2"));
    assert_true(file_signature_of_path("of") != file_signature_of_path("./of"));
    assert_true(file_signature_of_error("of", ENOENT) != file_signature_of_error("of", EACCES));
}

static void test_settled(void **state)
{
    (void)state;
    static const struct {
        struct timespec modified, changed, instant;
        bool settled;
    } times[] = {
        {{100, 1}, {100, 1}, {100, 1}, false},
        {{100, 1}, {100, 1}, {100, 20000001}, false},
        {{100, 1}, {100, 1}, {100, 20000002}, true},
        {{50, 1}, {100, 999999999}, {101, 10000000}, false},
        {{50, 1}, {100, 999999999}, {101, 20000000}, true},
        {{900, 1}, {100, 1}, {101, 0}, true},
        {{100, 0}, {100, 0}, {102, 0}, false},
        {{100, 0}, {100, 0}, {102, 1}, true},
        {{100, 1}, {200, 1}, {100, 0}, false},
    };
    for (size_t i = 0; i < COUNT(times); i++) {
        const struct stat status = {.st_mtim = times[i].modified, .st_ctim = times[i].changed};
        assert_true(file_signature_is_settled(&status, times[i].instant) == times[i].settled);
    }
}

static int set_up(void **state)
{
    (void)state;
    return pki_set_up(layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_seen),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_fingerprint_is_a_sum),
        cmocka_unit_test(test_change_while_it_is_read),
        cmocka_unit_test(test_what_vanishes),
        cmocka_unit_test(test_signature),
        cmocka_unit_test(test_settled),
    };
    return cmocka_run_group_tests(tests, set_up, pki_tear_down);
}
