/* A certificate store that takes over what the previous one has read comes to the same as one that
 * reads everything, and opens only what has changed. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "certificates/store.h"
#include "certificates/store_inside.h"
#include "files/file.h"
#include "pki.h"
#include "site/image.h"

/* What files can hold: good, bad and odd. "e" and "f" are renewals of "a" and "b". */
static const char good[] =
    "key root; issue root root 4000 \"$ids\" \"$ca\"\n"
    "key mid; issue mid root 3000 \"$ids\" \"$ca\"; mv mid.crt mid-old.crt\n"
    "issue mid root 3500 \"$ids\" \"$ca\"\n"
    "leaf a mid 300 mta-sts.a.example A.example; leaf b mid 20 mta-sts.b.example\n"
    "leaf d root 300 mta-sts.c.example; leaf c mid 310 '*.c.example'\n"
    "leaf e mid 350 mta-sts.a.example; leaf f mid 250 mta-sts.b.example mta-sts.a.example\n"
    "cp a.key again.key; issue again mid 200 \"$ids\" subjectAltName=DNS:mta-sts.a.example\n"
    "openssl genrsa -out r.key 2048 2>/dev/null\n"
    "issue r mid 300 \"$ids\" subjectAltName=DNS:mta-sts.a.example,DNS:mta-sts.b.example\n"
    "openssl ec -in a.key -aes128 -passout pass:x -out locked.key 2>/dev/null\n"
    "openssl genpkey -algorithm ed25519 -out ed.key\n"
    "mkdir good; cd good\n"
    "for name in a b c d e f again r; do\n"
    "    cp ../$name.crt ../$name.key .; cat ../$name.crt ../mid.crt >$name.chain\n"
    "    cat ../$name.crt ../mid-old.crt ../$name.key >$name.all\n"
    "done\n"
    "openssl pkcs8 -topk8 -nocrypt -in a.key -out a.pkcs8\n"
    "cp ../root.crt ../mid.crt ../mid-old.crt ../ed.key ../locked.key .\n"
    "head -n 5 a.chain >cut; (head -n 1 a.crt; echo Zm9v; tail -n 1 a.crt) >junk; echo hi >text\n"
    "(cat a.crt; cat junk b.crt) >half; : >empty; head -c 1100000 /dev/zero >large\n"
    "cat a.key b.key c.key d.key r.key >keys; cat a.crt b.crt c.crt mid.crt root.crt >crts\n";

static const char *const contents[] = {
    "a.crt",   "a.key",       "a.chain", "a.all",   "b.key", "b.chain",     "b.all",
    "c.key",   "c.chain",     "d.chain", "d.all",   "e.key", "e.chain",     "f.key",
    "f.chain", "f.all",       "r.key",   "r.chain", "r.all", "a.pkcs8",     "root.crt",
    "mid.crt", "mid-old.crt", "ed.key",  "cut",     "junk",  "text",        "half",
    "empty",   "locked.key",  "large",   "keys",    "crts",  "again.chain", "again.all",
};

static const char *const places[] = {
    "live/1",   "live/2", "live/3",   "live/4",       "live/sub/1", "live/sub/2",
    "live/x/1", "named",  "beside/1", "live/.hidden", "beside/2",   "live/sub/3",
};

/* The folder "live" is named twice, and so is a file in it. */
static const char *const paths[] = {"live", "named", "live/2", "beside", "live", "live/sub/"};

static const char *const hosts[] = {"mta-sts.a.example", "mta-sts.b.example", "mta-sts.c.example",
                                    "a.example", "mta-sts.d.example"};

/* Repeatable, and the same everywhere. */
static size_t roll(uint64_t *seed, size_t sides)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(*seed >> 33) % sides;
}

static void change(uint64_t *seed)
{
    static const char *const forms[] = {
        "[ -e $to ] || rm -f $to; cp $from $to 2>/dev/null || :",
        "cp $from new; mv new $to",
        "rm -f $to; cp -p $from $to",
        "ln -sf \"$PWD/$from\" $to",
        "ln -f $from $to 2>/dev/null || :",
        "rm -f $to",
        "[ ! -e $to ] || touch $to",
        "[ ! -f $to ] || [ $(stat -Lc %s $to) -gt 2000000 ] || { cat $from >new; cat new >>$to; }",
        "[ ! -f $to ] || chmod 644 $to",
        "[ ! -f $to ] || chmod 600 $to",
        "mv live/sub live/tmp; mv live/x live/sub; mv live/tmp live/x",
        "ln -sfn \"$PWD/pool/nowhere\" $to",
        "touch $from",
    };
    char *lines = NULL;
    const char *from = contents[roll(seed, COUNT(contents))];
    const char *to = places[roll(seed, COUNT(places))];
    const char *form = forms[roll(seed, COUNT(forms))];
    assert_true(asprintf(&lines, "from=pool/%s to=%s\n%s\n", from, to, form) > 0);
    pki_run(lines);
    free(lines);
}

/* What a load came to. */
struct outcome {
    struct diag *diag;
    struct site *site; /* each host is a domain */
    uint64_t fingerprint;
    struct text said;
};

static struct outcome load(const struct site *previous, const char *const *named, size_t count,
                           int64_t now)
{
    struct outcome outcome = {.diag = diag_new()};
    struct certificates *store = certificates_new(outcome.diag, previous, NULL);
    struct site_builder *builder = site_builder_new(-1);
    assert_non_null(store);
    assert_non_null(builder);
    for (size_t i = 0; i < count; i++)
        certificates_read(store, named[i],
                          (struct position){diag_intern(outcome.diag, span_of("config")), 7, 9});
    outcome.fingerprint = certificates_match(store, now);
    for (size_t i = 0; i < COUNT(hosts); i++) {
        struct site_fields domain = {
            .name = span_of(hosts[i]), .state = SITE_REFUSED, .at = {.file = "config"}};
        certificates_find(store, domain.name, domain.credentials);
        site_builder_add(builder, &domain);
    }
    certificates_report_unused(store);
    certificates_archive(store, builder);
    outcome.site = site_builder_finish(builder);
    assert_non_null(outcome.site);
    certificates_free(store);
    text_append(&outcome.said, span_of(""));
    diag_print(outcome.diag, DIAG_NOTE, &outcome.said);
    return outcome;
}

static void outcome_free(struct outcome *outcome)
{
    site_free(outcome->site);
    diag_free(outcome->diag);
    text_free(&outcome->said);
}

static const struct credential *found(const struct outcome *outcome, const char *host, size_t kind)
{
    const struct site_domain *domain = site_find_domain(outcome->site, span_of(host));
    assert_non_null(domain);
    return site_credential(domain, kind);
}

static bool is_same(const struct credential *one, const struct credential *other)
{
    if (one == NULL || other == NULL)
        return one == other;
    bool same = credential_fields(one).chain_len == credential_fields(other).chain_len;
    for (size_t i = 0; same && i < credential_fields(one).chain_len; i++)
        same = span_equal(credential_fields(one).chain[i], credential_fields(other).chain[i]);
    return same && span_equal(credential_fields(one).key, credential_fields(other).key) &&
           credential_fields(one).kind == credential_fields(other).kind &&
           credential_fields(one).not_before == credential_fields(other).not_before &&
           credential_fields(one).not_after == credential_fields(other).not_after &&
           strcmp(credential_fields(one).algorithm, credential_fields(other).algorithm) == 0 &&
           strcmp(credential_fields(one).file, credential_fields(other).file) == 0 &&
           credential_fields(one).line == credential_fields(other).line;
}

static void compare(const struct outcome *fresh, const struct outcome *cached)
{
    assert_string_equal(cached->said.data, fresh->said.data);
    assert_true(fresh->fingerprint == cached->fingerprint);
    for (unsigned level = 0; level < DIAG_LEVELS; level++)
        assert_int_equal(diag_count(fresh->diag, level), diag_count(cached->diag, level));
    for (size_t i = 0; i < COUNT(hosts); i++)
        for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
            assert_true(is_same(found(fresh, hosts[i], kind), found(cached, hosts[i], kind)));
}

/* Waits until nothing that was written before can be written again unseen. */
static void wait_settled(void)
{
    const struct timespec moment = {0, 1000000};
    struct stat status;
    struct timespec now;
    pki_run("echo >settling");
    assert_int_equal(stat("settling", &status), 0);
    do {
        (void)nanosleep(&moment, NULL);
        assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    } while (!file_signature_is_settled(&status, now));
}

static void test_random_changes(void **state)
{
    (void)state;
    const char *text = getenv("REUSE_STEPS");
    long steps = text == NULL ? 120 : strtol(text, NULL, 10);
    uint64_t seed = 8461;
    struct outcome previous = {0};
    pki_run(
        "cp -r good pool; mkdir -p live/sub live/x beside; cp pool/a.all live/1; cp pool/b.all named\n"
        "cp pool/keys beside/1; cp pool/text live/2\n");
    for (long step = 0; step < steps; step++) {
        for (size_t i = roll(&seed, 4); i > 0; i--)
            change(&seed);
        if (roll(&seed, 3) > 0)
            wait_settled();
        int64_t now = (int64_t)time(NULL) + (int64_t)roll(&seed, 4) * 90 * 86400;
        /* What is named changes too, as it does when the configuration is edited. */
        size_t count = COUNT(paths) - roll(&seed, 3), first = roll(&seed, 2);
        struct outcome fresh = load(NULL, paths + first, count - first, now);
        struct outcome cached = load(previous.site, paths + first, count - first, now);
        compare(&fresh, &cached);
        outcome_free(&fresh);
        outcome_free(&previous);
        previous = cached;
    }
    outcome_free(&previous);
}

/* How many files below the folder were opened since the watch was set. */
static size_t count_opened(int watch)
{
    char events[64 * 1024] __attribute__((aligned(__alignof__(struct inotify_event))));
    size_t count = 0;
    ssize_t len = read(watch, events, sizeof(events));
    for (char *at = events; at < events + len;) {
        struct inotify_event *event = (struct inotify_event *)(void *)at;
        count += (event->mask & IN_ISDIR) == 0;
        at += sizeof(*event) + event->len;
    }
    return count;
}

/* Each is done to a folder with the files of a, b and c; how many are then opened. */
static const struct {
    const char *lines;
    size_t opened;
} openings[] = {
    {"true", 0},
    {"true", 0},
    {"cp good/e.chain new; mv new few/a.chain", 1},
    {"cp good/e.key few/a.key", 1},
    {"true", 0},
    {"touch few/b.chain", 1},
    {"rm few/b.chain", 0},
    {"cp good/b.chain few/b.chain", 2}, /* and its key, which nothing had used */
    {"cp good/junk few/junk", 1},
    {"true", 1}, /* what is said of it must be said again */
    {"rm few/junk", 0},
    {"cp good/d.chain good/d.key few", 2},
    {"true", 1}, /* the key is not kept, because for its host there is a better one */
    {"rm few/d.*", 0},
    {"chmod 644 few/b.key", 1},
    {"true", 1}, /* everybody can read it, which must be said again */
    {"chmod 600 few/b.key", 1},
    {"true", 0},
};

static void test_only_what_changed_is_opened(void **state)
{
    (void)state;
    static const char *const few[] = {"few"};
    struct outcome previous = {0};
    pki_run("mkdir few; for name in a b c; do cp good/$name.chain good/$name.key few; done\n"
            "cp good/root.crt good/text few\n");
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    assert_true(watch >= 0);
    wait_settled();
    previous = load(NULL, few, 1, (int64_t)time(NULL));
    for (size_t i = 0; i < COUNT(openings); i++) {
        pki_run(openings[i].lines);
        wait_settled();
        int number = inotify_add_watch(watch, "few", IN_OPEN);
        assert_true(number >= 0);
        struct outcome next = load(previous.site, few, 1, (int64_t)time(NULL));
        size_t opened = count_opened(watch);
        if (opened != openings[i].opened)
            fail_msg("%zu, %s: %zu opened", i, openings[i].lines, opened);
        assert_int_equal(inotify_rm_watch(watch, number), 0);
        (void)count_opened(watch); /* the event that the watch is gone */
        struct outcome fresh = load(NULL, few, 1, (int64_t)time(NULL));
        compare(&fresh, &next);
        /* The same is left to the next load. */
        assert_int_equal(site_archive(fresh.site).len, site_archive(next.site).len);
        outcome_free(&fresh);
        outcome_free(&previous);
        previous = next;
    }
    outcome_free(&previous);
    assert_int_equal(close(watch), 0);
}

/* Which of two authorities of one name has signed a certificate is not found out again: the next load
 * believes what the site says, here the contrary of what is so. */
static void test_signatures_are_verified_once(void **state)
{
    (void)state;
    static const char *const doubtful[] = {"doubtful"};
    pki_run("none='subjectKeyIdentifier=none\nauthorityKeyIdentifier=none'\n"
            "key one; key two; key leaf; issue_as /CN=same one root 900 \"$none\" \"$ca\"\n"
            "issue_as /CN=same two root 900 \"$none\" \"$ca\"\n"
            "issue leaf one 300 \"$none\" subjectAltName=DNS:mta-sts.a.example\n"
            "mkdir doubtful; cp one.crt two.crt leaf.crt leaf.key doubtful\n");
    wait_settled();
    struct outcome first = load(NULL, doubtful, 1, (int64_t)time(NULL));
    const struct credential *credential = found(&first, hosts[0], CREDENTIAL_ECDSA);
    assert_int_equal(credential_fields(credential).chain_len, 2);

    struct certificate_archive archive;
    certificate_archive_open(first.site, &archive);
    assert_true(archive.proof_count > 0);
    size_t at = (size_t)((const char *)archive.proofs - site_bytes(first.site).data);
    struct span copy = guard_copy(site_bytes(first.site));
    struct proof *proofs = (void *)(uintptr_t)(copy.data + at);
    for (size_t i = 0; i < archive.proof_count; i++)
        proofs[i].is_signed = !proofs[i].is_signed;
    table_free(&archive.by_signature);
    free(archive.contents);
    const struct site changed = {.map = {copy.data, copy.len}};
    struct outcome second = load(&changed, doubtful, 1, (int64_t)time(NULL));
    const struct credential *other = found(&second, hosts[0], CREDENTIAL_ECDSA);
    assert_false(is_same(credential, other));

    struct outcome third = load(first.site, doubtful, 1, (int64_t)time(NULL));
    assert_true(is_same(credential, found(&third, hosts[0], CREDENTIAL_ECDSA)));
    outcome_free(&third);
    outcome_free(&second);
    outcome_free(&first);
    guard_free(copy);
}

static int set_up(void **state)
{
    (void)state;
    return pki_set_up(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_changes),
        cmocka_unit_test(test_only_what_changed_is_opened),
        cmocka_unit_test(test_signatures_are_verified_once),
    };
    return cmocka_run_group_tests(tests, set_up, pki_tear_down);
}
