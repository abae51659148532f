/* Looks at the files of a configuration, and loads that follow one another. */
#include "unit.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "load/configuration.h"
#include "pki.h"

/* The layouts of certbot, of Kubernetes and of a plain folder. */
static const char layout[] =
    "key root; issue root root 4000 \"$ids\" \"$ca\"\n"
    "for name in a b c; do leaf $name root 300 mta-sts.$name.example; done\n"
    "for name in a b c; do cp $name.key $name-2.key\n"
    "    issue $name-2 root 350 \"$ids\" subjectAltName=DNS:mta-sts.$name.example; done\n"
    "mkdir -p archive/a live/a mount/..2026_1 mount/..2026_2 plain conf/d conf/none\n"
    "cp a.crt archive/a/fullchain1.pem; cp a.key archive/a/privkey1.pem\n"
    "cp a-2.crt archive/a/fullchain2.pem; cp a-2.key archive/a/privkey2.pem\n"
    "ln -s ../../archive/a/fullchain1.pem live/a/fullchain.pem\n"
    "ln -s ../../archive/a/privkey1.pem live/a/privkey.pem; echo read me >live/README\n"
    "cp b.crt mount/..2026_1/tls.crt; cp b.key mount/..2026_1/tls.key\n"
    "cp b-2.crt mount/..2026_2/tls.crt; cp b-2.key mount/..2026_2/tls.key\n"
    "ln -s ..2026_1 mount/..data; ln -s ..data/tls.crt mount/tls.crt\n"
    "ln -s ..data/tls.key mount/tls.key; cat c.crt c.key >plain/c.pem\n"
    "policy='mode: testing, max_age: 1w, mx: mail.example.com'\n"
    "echo \"domains: {b.example: {$policy}}\" >conf/d/b.yaml\n"
    "echo \"domains: {c.example: {$policy}}\" >conf/one.yaml\n"
    "mkdir conf/d/folder.yaml\n"
    "cat >conf/main.yaml <<END\n"
    "certificates: [../live, ../mount, ../plain/c.pem, ../nowhere]\n"
    "include: [d/*.yaml, one.yaml, 'none/*']\n"
    "domains: {a.example: {$policy}}\n"
    "END\n"
    "for setting in true false; do (echo watch: $setting; cat conf/main.yaml) >conf/$setting.yaml\n"
    "done\n"
    "(cat conf/main.yaml; echo policies: [) >conf/broken.yaml\n";

/* One after the other is done; which of the two fingerprints must then be another. */
static const struct {
    const char *lines;
    bool certificates;
    bool files;
} changes[] = {
    {"true", false, false},
    {"cat live/*/* mount/tls.* conf/*.yaml conf/d/b.yaml >/dev/null", false, false},
    {"touch other plain/other conf/other conf/d/other", false, false},
    /* certbot */
    {"ln -sfn ../../archive/a/privkey2.pem live/a/privkey.pem", true, false},
    {"ln -s ../../archive/a/fullchain2.pem x; mv -T x live/a/fullchain.pem", true, false},
    {"cp -r live/a live/b", true, false},
    {"rm -r live/b", true, false},
    {"mkdir live/empty", false, false},
    {"cp archive/a/privkey1.pem live/empty/.hidden", false, false},
    {"touch live/README", true, false},
    {"rm archive/a/fullchain2.pem", true, false},
    {"cp a-2.crt archive/a/fullchain2.pem", true, false},
    {"chmod 640 archive/a/privkey2.pem", true, false},
    /* Kubernetes */
    {"ln -s ..2026_2 mount/..new; mv -T mount/..new mount/..data", true, false},
    {"rm -r mount/..2026_1", false, false},
    /* A file that is named */
    {"cat c-2.crt c-2.key >plain/c.pem", true, false},
    {"cat c-2.crt c-2.key >plain/x; mv plain/x plain/c.pem", true, false},
    {"rm plain/c.pem", true, false},
    {"ln -s c-is-not-there plain/c.pem", false, false},
    {"cat c.crt c.key >plain/c-is-not-there", true, false},
    {"mkdir nowhere", true, false},
    {"cp c.crt nowhere", true, false},
    /* The configuration */
    {"echo >>conf/true.yaml", false, true},
    {"cp conf/true.yaml x; mv x conf/true.yaml", false, true},
    {"echo >>conf/d/b.yaml", false, true},
    {"cp conf/d/b.yaml conf/d/c.yaml", false, true},
    {"echo >conf/d/c.yaml", false, true},
    {"rm conf/d/c.yaml", false, true},
    {"touch conf/d/folder.yaml/x conf/d/.x.yaml", false, false},
    {"rm conf/one.yaml", false, true},
    {"ln -s d/b.yaml conf/one.yaml", false, true},
    {"mv conf/none conf/gone", false, true},
    {"mv conf/gone conf/none", false, true},
    {"touch conf/none/x", false, true},
    {"rm conf/true.yaml", false, true},
};

static struct configuration *load(const char *path, const struct configuration *previous,
                                  struct text *ret_said)
{
    const struct load_request request = {
        .path = path,
        .now = (int64_t)time(NULL),
        .previous = previous == NULL ? NULL : previous->site,
    };
    struct diag *diag = diag_new();
    struct configuration *configuration = configuration_load(&request, diag);
    if (ret_said != NULL)
        diag_print(diag, DIAG_NOTE, ret_said);
    diag_free(diag);
    return configuration;
}

static bool is_same(struct watch_look one, struct watch_look other)
{
    return memcmp(&one, &other, sizeof(one)) == 0;
}

static void test_changes(void **state)
{
    (void)state;
    struct configuration *configuration = load("conf/true.yaml", NULL, NULL);
    assert_non_null(configuration);
    struct watch_look before = configuration->watch.read;
    for (size_t i = 0; i < COUNT(changes); i++) {
        pki_run(changes[i].lines);
        struct watch_look look = watch_now(&configuration->watch),
                          again = watch_now(&configuration->watch);
        if ((look.parts[WATCH_CERTIFICATES] != before.parts[WATCH_CERTIFICATES]) !=
                changes[i].certificates ||
            (look.parts[WATCH_FILES] != before.parts[WATCH_FILES]) != changes[i].files ||
            !is_same(look, again))
            fail_msg("%s", changes[i].lines);
        assert_true(is_same(look, before) == !(changes[i].certificates || changes[i].files));
        before = look;
    }
    configuration_free(configuration);
    pki_run("cp conf/false.yaml conf/true.yaml; sed -i 's/^watch: .*/watch: true/' conf/true.yaml\n"
            "rm conf/none/x");
}

/* What the setting leaves out never changes. */
static void test_setting(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool certificates, files;
    } settings[] = {
        {"conf/main.yaml", true, false},
        {"conf/true.yaml", true, true},
        {"conf/false.yaml", false, false},
    };
    for (size_t i = 0; i < COUNT(settings); i++) {
        struct configuration *configuration = load(settings[i].path, NULL, NULL);
        assert_non_null(configuration);
        struct watch_look read = configuration->watch.read, now = watch_now(&configuration->watch);
        assert_true(is_same(read, now));
        assert_true((read.parts[WATCH_CERTIFICATES] != 0) == settings[i].certificates);
        assert_true((read.parts[WATCH_FILES] != 0) == settings[i].files);
        pki_run("touch live/README conf/*.yaml");
        now = watch_now(&configuration->watch);
        assert_true((now.parts[WATCH_CERTIFICATES] != read.parts[WATCH_CERTIFICATES]) ==
                    settings[i].certificates);
        assert_true((now.parts[WATCH_FILES] != read.parts[WATCH_FILES]) == settings[i].files);
        configuration_free(configuration);
    }
}

/* A load that is refused changes nothing of what is in use, and the next one takes it over. */
static void test_refused_load(void **state)
{
    (void)state;
    struct text fresh = {0}, later = {0};
    struct configuration *first = load("conf/main.yaml", NULL, &fresh);
    assert_non_null(first);
    struct watch_look look = first->watch.read;
    assert_null(load("conf/broken.yaml", first, NULL));
    assert_null(load("conf/nowhere.yaml", first, NULL));
    assert_true(is_same(look, first->watch.read));
    assert_true(is_same(look, watch_now(&first->watch)));
    struct configuration *second = load("conf/main.yaml", first, &later);
    assert_non_null(second);
    assert_string_equal(fresh.data, later.data);
    assert_int_equal(site_count(first->site), site_count(second->site));
    configuration_free(first);
    assert_true(is_same(look, watch_now(&second->watch)));
    const struct site_domain *domain = site_find_domain(second->site, span_of("a.example"));
    assert_non_null(domain);
    assert_non_null(site_credential(domain, CREDENTIAL_ECDSA));
    assert_true(credential_fields(site_credential(domain, CREDENTIAL_ECDSA)).key.len > 100);
    configuration_free(second);
    text_free(&fresh);
    text_free(&later);
}

static void swap_link(const char *target, const char *link)
{
    assert_int_equal(symlink(target, "swapped"), 0);
    assert_int_equal(rename("swapped", link), 0);
}

/* Bytes that are allocated; 0 where that cannot be told, as under a sanitizer. */
static size_t allocated(void)
{
#ifdef __GLIBC__
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

/* A thousand renewals leave as much behind as one: of each load only what the next one shares. */
static void test_thousand_loads(void **state)
{
    (void)state;
    struct configuration *current = load("conf/main.yaml", NULL, NULL);
    size_t least = SIZE_MAX, most = 0;
    for (unsigned i = 0; i < 1000; i++) {
        char target[64];
        unsigned version = 1 + i % 2;
        (void)snprintf(target, sizeof(target), "../../archive/a/fullchain%u.pem", version);
        swap_link(target, "live/a/fullchain.pem");
        (void)snprintf(target, sizeof(target), "../../archive/a/privkey%u.pem", version);
        swap_link(target, "live/a/privkey.pem");
        struct configuration *next = load("conf/main.yaml", current, NULL);
        assert_non_null(next);
        assert_false(is_same(current->watch.read, next->watch.read));
        configuration_free(current);
        current = next;
        if (i < 200)
            continue; /* malloc fills its own stocks first */
        size_t now = allocated();
        least = now < least ? now : least;
        most = now > most ? now : most;
    }
    /* The two versions differ by a few bytes, and what malloc keeps in stock for each size still grows
     * by some; one leaked fact a load would be 200,000. */
    assert_true(most - least < 32768);
    configuration_free(current);
}

static int set_up(void **state)
{
    (void)state;
    return pki_set_up(layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_setting),
        cmocka_unit_test(test_refused_load),
        cmocka_unit_test(test_thousand_loads),
    };
    return cmocka_run_group_tests(tests, set_up, pki_tear_down);
}
