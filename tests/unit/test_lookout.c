/* The lookout: when it looks, what it takes for news, and that it says it once. */
#include "supervise/watcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "load/configuration.h"
#include "unit.h"

struct place {
    char folder[64];
    char path[96];
    struct diag *diag;
    struct configuration *configuration;
};

static void write_file(const struct place *place, const char *text)
{
    FILE *file = fopen(place->path, "w");
    if (file == NULL) {
        fail();
        return;
    }
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static const char TEXT[] = "watch: true\n"
                           "domains:\n"
                           "  a.example: {mode: testing, max_age: 1w, mx: mail.a.example}\n";

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    assert_non_null(place);
    (void)snprintf(place->folder, sizeof(place->folder), "/tmp/test_lookout.XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    (void)snprintf(place->path, sizeof(place->path), "%s/c.yaml", place->folder);
    write_file(place, TEXT);
    place->diag = diag_new();
    const struct load_request request = {.path = place->path};
    place->configuration = configuration_load(&request, place->diag);
    assert_non_null(place->configuration);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    configuration_free(place->configuration);
    diag_free(place->diag);
    (void)unlink(place->path); /* a temporary folder */
    (void)rmdir(place->folder);
    free(place);
    return 0;
}

static void nothing_is_no_news(void **state)
{
    const struct place *place = *state;
    struct lookout lookout = lookout_begin(&place->configuration->watch, 0);
    for (int64_t now = 0; now < 10 * LIMIT_WATCH_MS; now += 100)
        assert_int_equal(lookout_look(&lookout, &place->configuration->watch, now),
                         LOOKOUT_NOTHING);
}

static void a_change_is_told_once_and_when_it_rests(void **state)
{
    const struct place *place = *state;
    struct lookout lookout = lookout_begin(&place->configuration->watch, 0);
    write_file(place, "watch: true # and more\n");
    assert_int_equal(lookout_look(&lookout, &place->configuration->watch, lookout.next - 1),
                     LOOKOUT_NOTHING);
    assert_int_equal(lookout_look(&lookout, &place->configuration->watch, lookout.next),
                     LOOKOUT_NOTHING);
    write_file(place, "watch: true # and still more\n");
    assert_int_equal(lookout_look(&lookout, &place->configuration->watch, lookout.next),
                     LOOKOUT_NOTHING);
    assert_int_equal(lookout_look(&lookout, &place->configuration->watch, lookout.next),
                     LOOKOUT_FILES);
    assert_int_equal(lookout_look(&lookout, &place->configuration->watch, lookout.next),
                     LOOKOUT_NOTHING);
    assert_int_equal(lookout_look(&lookout, &place->configuration->watch, lookout.next),
                     LOOKOUT_NOTHING);
}

/* Changes the file before each look; returns the news that come in the end, and when. */
static enum lookout_news touch_until_news(struct lookout *lookout, const struct place *place,
                                          int64_t *ret_now)
{
    char text[64];
    enum lookout_news news = LOOKOUT_NOTHING;
    for (int i = 0; i < 1000 && news == LOOKOUT_NOTHING; i++) {
        (void)snprintf(text, sizeof(text), "watch: true # %*d\n", i % 40 + 1, i);
        write_file(place, text);
        *ret_now = lookout->next;
        news = lookout_look(lookout, &place->configuration->watch, lookout->next);
    }
    return news;
}

static void a_file_that_never_rests_is_not_waited_for_long(void **state)
{
    const struct place *place = *state;
    struct lookout lookout = lookout_begin(&place->configuration->watch, 0);
    int64_t now = 0;
    for (int i = 0; i < 3; i++) {
        int64_t before = now;
        assert_int_equal(touch_until_news(&lookout, place, &now), LOOKOUT_FILES);
        assert_true(lookout.is_restless);
        assert_in_range(now - before, LIMIT_WATCH_UNREST_MS,
                        LIMIT_WATCH_UNREST_MS + 2 * LIMIT_WATCH_MS);
    }
    struct text path = {0};
    watch_find_latest(&place->configuration->watch, WATCH_FILES, &path);
    assert_string_equal(path.data, place->path);
    text_free(&path);
}

/* A load of certificates alone, which others can cause, does not let the wait begin anew. */
static void the_wait_goes_on_across_a_load(void **state)
{
    const struct place *place = *state;
    struct lookout lookout = lookout_begin(&place->configuration->watch, 0);
    int64_t now = 0;
    write_file(place, "watch: true # once\n");
    assert_int_equal(lookout_look(&lookout, &place->configuration->watch, lookout.next),
                     LOOKOUT_NOTHING);
    int64_t since = lookout.since[WATCH_FILES];
    lookout_renew(&lookout, &place->configuration->watch, 2 * LIMIT_WATCH_MS, 1000);
    assert_int_equal(lookout.since[WATCH_FILES], since);
    assert_int_equal(lookout.patience, 1000 * LIMIT_WATCH_REST_SHARE);
    assert_int_equal(touch_until_news(&lookout, place, &now), LOOKOUT_FILES);
    assert_in_range(now, since + lookout.patience, since + lookout.patience + 2 * LIMIT_WATCH_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_no_news, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_change_is_told_once_and_when_it_rests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_never_rests_is_not_waited_for_long, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_wait_goes_on_across_a_load, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("lookout", tests, NULL, NULL);
}
