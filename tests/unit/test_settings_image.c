/* The settings image: what is written is read as the same, and nothing else is read as anything. */
#include "supervise/settings_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

static void fill(struct settings_image *image, struct arena *arena)
{
    static const struct prefix proxies[] = {{{[10] = 0xff, [11] = 0xff, [12] = 10}, 104}};
    struct endpoint *listeners = arena_take(arena, 2 * sizeof(*listeners));
    assert_non_null(listeners);
    listeners[0] = (struct endpoint){.is_default = true, .v6_only = true};
    listeners[1] = (struct endpoint){.service = ENDPOINT_CHALLENGES,
                                     .freebind = true,
                                     .plain = true,
                                     .redirect = true,
                                     .proxies = proxies,
                                     .proxy_count = 1};
    assert_true(address_parse(span_of("[::]:443"), &listeners[0].address));
    assert_true(address_parse(span_of("unix:/run/one.sock"), &listeners[1].address));
    *image = (struct settings_image){
        .settings = {.listeners = listeners,
                     .listener_count = 2,
                     .log = {.json = true, .access = LOG_ACCESS_ERRORS},
                     .workers = 3,
                     .state = "/var/lib/mta-sts",
                     .seal_required = true,
                     .certificate_warning = VERDICT_WARNING_DEFAULT,
                     .acme = {.webroot = "/srv/acme"}},
        .watch = {.arena = arena,
                  .is_wanted = {[WATCH_CERTIFICATES] = true},
                  .read = {{UINT64_MAX, UINT64_C(0x8000000000000001)}}},
        .uid = 65534,
        .gid = 1,
        .gauges = {[STATS_DOMAINS_STALE] = 1,
                   [STATS_DOMAINS_SERVED] = 2,
                   [STATS_TESTED_LONG] = 5,
                   [STATS_HELD_AGAINST] = 7,
                   [STATS_NOT_AFTER] = 1900000000,
                   [STATS_WARNING] = -1},
        .domain_lines = span_of("a.example served 123\nb.example stale 456\n"),
        .change_lines = span_of("1 domain added (a.example)\n1 domain now stale (b.example)\n"),
        .change_clause = span_of("1 domain added (a.example)"),
        .told = {"\0\n\377", 3},
    };
    image->watch.file = "/etc/mta-sts.yaml";
    watch_add(&image->watch, WATCH_FILES, "/etc/d/*.yaml", (struct position){NULL, 3, 1});
    watch_add(&image->watch, WATCH_CERTIFICATES, "/etc/certs", (struct position){NULL, 7, 3});
    watch_add(&image->watch, WATCH_CERTIFICATES, "/srv", (struct position){NULL, 8, 5});
}

struct example {
    struct arena *arena;
    struct settings_image image;
    struct text bytes;
};

static int set_up(void **state)
{
    struct example *example = calloc(1, sizeof(*example));
    assert_non_null(example);
    example->arena = arena_new();
    assert_non_null(example->arena);
    fill(&example->image, example->arena);
    settings_image_print(&example->image, &example->bytes);
    assert_false(example->bytes.failed);
    *state = example;
    return 0;
}

static int tear_down(void **state)
{
    struct example *example = *state;
    text_free(&example->bytes);
    arena_free(example->arena);
    free(example);
    return 0;
}

/* Hands the bytes over as a loader does. */
static struct settings_image *pass_on(struct span bytes)
{
    int fd = memory_file_open();
    assert_true(memory_file_fill(fd, bytes));
    struct settings_image *image = settings_image_open(fd);
    assert_int_equal(close(fd), 0);
    return image;
}

static void what_is_handed_over_is_the_same(void **state)
{
    const struct example *example = *state;
    struct settings_image *image = pass_on((struct span){example->bytes.data, example->bytes.len});
    assert_non_null(image);
    const struct settings *settings = &image->settings;
    assert_int_equal(settings->listener_count, 2);
    assert_string_equal(settings->listeners[0].address.text, "[::]:443");
    assert_int_equal(address_port(&settings->listeners[0].address), 443);
    assert_true(settings->listeners[0].is_default && !settings->listeners[0].redirect);
    assert_int_equal(settings->listeners[1].service, ENDPOINT_CHALLENGES);
    assert_int_equal(settings->listeners[1].proxy_count, 1);
    assert_int_equal(settings->listeners[1].proxies[0].length, 104);
    assert_int_equal(settings->workers, 3);
    assert_string_equal(settings->state, "/var/lib/mta-sts");
    assert_null(settings->acme.alpn);
    assert_string_equal(settings->acme.webroot, "/srv/acme");
    assert_string_equal(image->watch.paths[WATCH_CERTIFICATES]->next->path, "/srv");
    assert_int_equal(image->watch.paths[WATCH_CERTIFICATES]->line, 7);
    assert_true(image->watch.read.parts[WATCH_FILES] == UINT64_C(0x8000000000000001));
    assert_int_equal(settings_image_domains(image), 3);
    assert_int_equal(image->gauges[STATS_WARNING], -1);
    assert_true(span_equal(image->change_lines, example->image.change_lines));
    struct text again = {0};
    settings_image_print(image, &again);
    assert_int_equal(again.len, example->bytes.len);
    assert_memory_equal(again.data, example->bytes.data, again.len);
    text_free(&again);
    settings_image_free(image);
}

/* It is refused, or is what these bytes and no others mean; and it is read to its end at most. */
static bool check(struct span bytes)
{
    struct text again = {0};
    struct span guarded = guard_copy(bytes);
    struct settings_image *image = settings_image_parse(guarded);
    bool good = image != NULL;
    if (good) {
        settings_image_print(image, &again);
        assert_true(span_equal((struct span){again.data, again.len}, bytes));
    }
    text_free(&again);
    guard_free(guarded);
    settings_image_free(image);
    return good;
}

static void what_is_cut_or_longer_is_refused(void **state)
{
    const struct example *example = *state;
    struct text longer = {0};
    for (size_t len = 0; len < example->bytes.len; len++)
        assert_false(check((struct span){example->bytes.data, len}));
    text_append(&longer, (struct span){example->bytes.data, example->bytes.len});
    assert_true(check((struct span){longer.data, longer.len}));
    text_append(&longer, (struct span){"\0", 1});
    assert_false(check((struct span){longer.data, longer.len}));
    text_free(&longer);
}

static void any_other_byte_is_harmless(void **state)
{
    struct example *example = *state;
    char *data = example->bytes.data;
    static const unsigned char changes[] = {0x01, 0x80, 0xff, 0x20, 0x0a};
    for (size_t i = 0; i < example->bytes.len; i++)
        for (size_t k = 0; k < COUNT(changes); k++) {
            data[i] = (char)(data[i] ^ changes[k]);
            (void)check((struct span){data, example->bytes.len});
            data[i] = (char)(data[i] ^ changes[k]);
        }
    assert_true(check((struct span){data, example->bytes.len}));
}

/* What no loader of ours would write: workers of root, control characters for the log, no main file. */
static void what_no_loader_says_is_refused(void **state)
{
    const struct example *example = *state;
    struct settings_image images[5];
    for (size_t i = 0; i < COUNT(images); i++)
        images[i] = example->image;
    images[0].uid = 0;
    images[1].gid = 0;
    images[2].change_clause = span_of("two\nlines");
    images[3].domain_lines = span_of("\033[2J");
    images[4].watch.file = NULL;
    for (size_t i = 0; i < COUNT(images); i++) {
        struct text bytes = {0};
        settings_image_print(&images[i], &bytes);
        assert_false(check((struct span){bytes.data, bytes.len}));
        text_free(&bytes);
    }
}

/* A file that somebody may still write to is none, whatever is in it. */
static void only_sealed_memory_is_opened(void **state)
{
    const struct example *example = *state;
    int fd = memory_file_open();
    assert_int_equal(write(fd, example->bytes.data, example->bytes.len), example->bytes.len);
    assert_null(settings_image_open(fd));
    assert_null(settings_image_open(STDIN_FILENO));
    assert_null(settings_image_open(-1));
    assert_int_equal(close(fd), 0);
    assert_null(pass_on(span_of("mta-sts-httpd settings 9\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_handed_over_is_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_cut_or_longer_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_other_byte_is_harmless, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_no_loader_says_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_sealed_memory_is_opened, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("settings_image", tests, NULL, NULL);
}
