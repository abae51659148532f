/* The site: what is found by which host name, what another process can do with its bytes, that equal parts
 * are there once, and what is said of a domain. */
#include "site/site_builder.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "site/image.h"
#include "site/site.h"
#include "unit.h"

static void add(struct site_builder *builder, const char *name)
{
    site_builder_add(
        builder,
        &(struct site_fields){.name = span_of(name), .state = SITE_REFUSED, .at = {.file = "f"}});
}

static void finds_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host, *name; /* NULL: not found */
    } rows[] = {
        {"mta-sts.example.com", "example.com"},
        {"MTA-STS.Example.COM", "example.com"},
        {"mta-sts.example.com.", "example.com"},
        {"mta-sts.example.com..", NULL},
        {"mta-sts.a.example.com", "a.example.com"},
        {"mta-sts.b.example.com", NULL},
        {"example.com", NULL},
        {"mta-sts.", NULL},
        {"mta-sts..", NULL},
        {"mta-sts", NULL},
        {"", NULL},
        {"xmta-sts.example.com", NULL},
        {"mta-sts.example.co", NULL},
    };
    struct site_builder *builder = site_builder_new(-1);
    add(builder, "example.com");
    add(builder, "a.example.com");
    struct site *site = site_builder_finish(builder);
    assert_non_null(site);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span host = guard_copy(span_of(rows[i].host));
        const struct site_domain *domain = site_find_host(site, host);
        assert_int_equal(domain != NULL, rows[i].name != NULL);
        if (domain != NULL)
            assert_string_equal(site_name(domain), rows[i].name);
        guard_free(host);
    }
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "mta-sts.", 8);
    assert_null(site_find_host(site, (struct span){longest, sizeof(longest)}));
    assert_null(site_find_host(site, (struct span){"mta-sts.exa\0mple.com", 20}));
    site_free(site);
}

static void an_empty_site_finds_nothing(void **state)
{
    (void)state;
    struct site_builder *builder = site_builder_new(-1);
    struct site *site = site_builder_finish(builder);
    assert_non_null(site);
    assert_null(site_find_host(site, span_of("mta-sts.example.com")));
    assert_int_equal(site_count(site), 0);
    site_free(site);
    site_free(NULL);
}

static void many_are_sorted_and_found(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    struct site_builder *builder = site_builder_new(-1);
    char name[32];
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof(name), "d%u.example", i * 7919 % MANY);
        add(builder, name);
    }
    struct site *site = site_builder_finish(builder);
    assert_non_null(site);
    assert_int_equal(site_count(site), MANY);
    for (size_t i = 1; i < MANY; i++)
        assert_true(strcmp(site_name(site_at(site, i - 1)), site_name(site_at(site, i))) < 0);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof(name), "d%u.example", i);
        assert_string_equal(site_name(site_find_domain(site, span_of(name))), name);
    }
    site_free(site);
}

static struct policy *make_policy(const char *mode)
{
    struct diag *diag = diag_new();
    const struct field mx = {.text = span_of("mail.example.com")};
    const struct policy_fields fields = {.mode = {.text = span_of(mode)},
                                         .max_age = {.text = span_of("2w")},
                                         .mx = &mx,
                                         .mx_count = 1};
    struct policy *policy = policy_new(&fields, diag);
    assert_non_null(policy);
    diag_free(diag);
    return policy;
}

/* A site that has some of everything. */
static struct site *make_site(int fd)
{
    struct policy *one = make_policy("enforce"), *other = make_policy("none");
    const struct credential_fields ecdsa = {.kind = CREDENTIAL_ECDSA,
                                            .chain = {span_of("leaf"), span_of("intermediate")},
                                            .chain_len = 2,
                                            .key = span_of("key"),
                                            .not_after = 9,
                                            .algorithm = "ECDSA P-256",
                                            .file = "a.pem"};
    struct credential_fields rsa = ecdsa;
    rsa.kind = CREDENTIAL_RSA;
    rsa.chain[0] = span_of("other leaf");
    struct site_builder *builder = site_builder_new(fd);
    assert_non_null(builder);
    site_builder_add(builder, &(struct site_fields){.name = span_of("c.example"),
                                                    .state = SITE_STALE,
                                                    .policy = one,
                                                    .credentials = {&ecdsa, &rsa},
                                                    .at = {"main.yaml", 7, 3}});
    site_builder_add(builder, &(struct site_fields){.name = span_of("a.example"),
                                                    .policy = other,
                                                    .credentials = {&ecdsa},
                                                    .is_proxied = true,
                                                    .at = {"drop-in.yaml", 2, 1},
                                                    .tls_rpt = "mailto:tls@a.example",
                                                    .label = "default"});
    site_builder_add(builder, &(struct site_fields){.name = span_of("b.example"),
                                                    .state = SITE_REFUSED,
                                                    .at = {.file = "main.yaml"}});
    struct policy *same = make_policy("enforce");
    site_builder_add(builder, &(struct site_fields){.name = span_of("d.example"),
                                                    .policy = same,
                                                    .at = {.file = "main.yaml"}});
    site_builder_set_archive(builder, span_of("for the next load"));
    struct site *site = site_builder_finish(builder);
    assert_non_null(site);
    policy_free(one);
    policy_free(other);
    policy_free(same);
    return site;
}

static void check_site(const struct site *site)
{
    assert_int_equal(site_count(site), 4);
    const struct site_domain *a = site_at(site, 0), *b = site_at(site, 1), *c = site_at(site, 2),
                             *d = site_at(site, 3);
    assert_string_equal(site_name(a), "a.example");
    assert_int_equal(site_state(a), SITE_SERVED);
    assert_int_equal(policy_mode(site_policy(a)), POLICY_NONE);
    assert_true(site_is_proxied(a));
    assert_string_equal(site_file(a), "drop-in.yaml");
    assert_string_equal(site_tls_rpt(a), "mailto:tls@a.example");
    assert_string_equal(site_label(a), "default");
    assert_null(site_credential(a, CREDENTIAL_RSA));
    assert_ptr_equal(site_credential(a, CREDENTIAL_ECDSA), site_credential(c, CREDENTIAL_ECDSA));
    assert_int_equal(site_state(b), SITE_REFUSED);
    assert_null(site_policy(b));
    assert_null(site_tls_rpt(b));
    assert_null(site_label(b));
    assert_false(site_has_credential(b) || site_is_proxied(b));
    assert_ptr_equal(site_file(b), site_file(c)); /* once */
    assert_int_equal(site_state(c), SITE_STALE);
    assert_int_equal(site_fields(c).at.line, 7);
    assert_int_equal(site_fields(c).at.column, 3);
    assert_true(site_has_credential(c));
    assert_ptr_equal(site_policy(c), site_policy(d)); /* equal ones are one */
    assert_true(span_equal(site_archive(site), span_of("for the next load")));
    assert_int_equal((uintptr_t)site_archive(site).data % 8, 0);
}

static void another_process_opens_what_one_has_built(void **state)
{
    (void)state;
    int fd = memory_file_open();
    assert_true(fd >= 0);
    struct site *site = make_site(dup(fd));
    check_site(site);
    site_free(site);
    site = site_open(fd);
    assert_non_null(site);
    assert_int_equal(close(fd), 0);
    check_site(site); /* without it, too */
    assert_int_equal(mprotect((void *)(uintptr_t)site_bytes(site).data, 1, PROT_WRITE), -1);
    site_free(site);
}

static void what_is_no_site_is_not_opened(void **state)
{
    (void)state;
    char bytes[200] = {0};
    memcpy(bytes, SITE_IMAGE_MAGIC, sizeof(SITE_IMAGE_MAGIC));
    assert_null(site_open(-1));
    assert_int_equal(errno, EBADF);
    for (size_t size = 1; size < 200; size++) {
        int fd = memory_file_open();
        assert_true(memory_file_fill(fd, (struct span){bytes, size}));
        assert_null(site_open(fd));
        assert_int_equal(errno, EINVAL);
        assert_int_equal(close(fd), 0);
    }
}

static unsigned sum_of(struct span bytes)
{
    unsigned sum = 0;
    for (size_t i = 0; i < bytes.len; i++)
        sum += (unsigned char)bytes.data[i];
    return sum;
}

static unsigned use_credential(const struct credential *credential)
{
    const struct credential_fields fields = credential_fields(credential);
    unsigned sum = 0;
    for (size_t i = 0; i < fields.chain_len; i++)
        sum += sum_of(fields.chain[i]);
    return sum + sum_of(fields.key) + sum_of(span_of(fields.algorithm)) +
           sum_of(span_of(fields.file)) +
           sum_of(span_of(credential_fault_names[credential_judge(credential, 0)].text));
}

/* Reads all that the functions tell of. */
static unsigned use(const struct site *site)
{
    unsigned sum = sum_of(site_archive(site));
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        const struct policy *policy = site_policy(domain);
        sum += sum_of(span_of(site_name(domain))) + sum_of(span_of(site_file(domain)));
        sum += site_tls_rpt(domain) == NULL ? 0 : sum_of(span_of(site_tls_rpt(domain)));
        sum += site_label(domain) == NULL ? 0 : sum_of(span_of(site_label(domain)));
        sum += (unsigned)verdict_state(domain);
        if (policy != NULL) {
            sum += sum_of(policy_body(policy)) + sum_of(span_of(policy_id(policy)));
            for (size_t k = 0; k < policy_mx_count(policy); k++)
                sum += sum_of(policy_mx(policy, k));
        }
        for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
            if (site_credential(domain, kind) != NULL)
                sum += use_credential(site_credential(domain, kind));
    }
    return sum + (site_find_domain(site, span_of("c.example")) != NULL);
}

/* An image that ends at a page which cannot be read, with any of its bytes changed. */
static void changed_bytes_are_refused_or_harmless(void **state)
{
    (void)state;
    static const unsigned char changes[] = {0x01, 0x04, 0x10, 0x80, 0xff};
    struct site *site = make_site(-1);
    struct span copy = guard_copy(site_bytes(site));
    char *bytes = (char *)(uintptr_t)copy.data;
    const struct site changed = {.map = {copy.data, copy.len}};
    size_t refused = 0;
    assert_true(site_image_check(copy));
    assert_int_equal(use(&changed), use(site));
    for (size_t i = 0; i < copy.len * COUNT(changes); i++) {
        bytes[i / COUNT(changes)] ^= (char)changes[i % COUNT(changes)];
        if (site_image_check(copy))
            (void)use(&changed);
        else
            refused++;
        bytes[i / COUNT(changes)] ^= (char)changes[i % COUNT(changes)];
    }
    assert_true(refused > 500);
    for (size_t len = 0; len < copy.len; len++)
        assert_false(site_image_check((struct span){copy.data, len}));
    guard_free(copy);
    site_free(site);
}

static void add_credentials(struct site_builder *builder, const char *name,
                            const struct credential_fields *ecdsa,
                            const struct credential_fields *rsa)
{
    site_builder_add(builder, &(struct site_fields){.name = span_of(name),
                                                    .state = SITE_REFUSED,
                                                    .credentials = {ecdsa, rsa},
                                                    .at = {"main.yaml", 3, 5}});
}

static const struct credential *find_credential(const struct site *site, const char *name,
                                                size_t kind)
{
    const struct site_domain *domain = site_find_domain(site, span_of(name));
    assert_non_null(domain);
    return site_credential(domain, kind);
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    const struct credential_fields fields = {
        .kind = CREDENTIAL_RSA,
        .chain = {span_of("leaf"), span_of("intermediate")},
        .chain_len = 2,
        .key = span_of("key"),
        .not_before = 1,
        .not_after = INT64_C(1) << 40,
        .fault = CREDENTIAL_INCOMPLETE,
        .algorithm = "RSA 2048",
        .file = "a.pem",
        .line = 7,
    };
    struct site_builder *builder = site_builder_new(-1);
    add_credentials(builder, "a.example", NULL, &fields);
    struct site *site = site_builder_finish(builder);
    const struct credential *credential = find_credential(site, "a.example", CREDENTIAL_RSA);
    assert_null(find_credential(site, "a.example", CREDENTIAL_ECDSA));
    assert_int_equal(credential_fields(credential).kind, CREDENTIAL_RSA);
    assert_int_equal(credential_fields(credential).chain_len, 2);
    assert_true(span_equal(credential_fields(credential).chain[0], span_of("leaf")));
    assert_true(span_equal(credential_fields(credential).chain[1], span_of("intermediate")));
    assert_true(span_equal(credential_fields(credential).key, span_of("key")));
    assert_int_equal(credential_fields(credential).not_before, 1);
    assert_true(credential_fields(credential).not_after == INT64_C(1) << 40);
    assert_int_equal(credential_fields(credential).fault, CREDENTIAL_INCOMPLETE);
    assert_string_equal(credential_fields(credential).algorithm, "RSA 2048");
    assert_string_equal(credential_fields(credential).file, "a.pem");
    assert_int_equal(credential_fields(credential).line, 7);

    /* A credential of one site can go into the next one. */
    struct credential_fields kept = credential_fields(credential);
    builder = site_builder_new(-1);
    add_credentials(builder, "b.example", NULL, &kept);
    struct site *next = site_builder_finish(builder);
    site_free(site);
    credential = find_credential(next, "b.example", CREDENTIAL_RSA);
    assert_true(span_equal(credential_fields(credential).chain[1], span_of("intermediate")));
    assert_true(span_equal(credential_fields(credential).key, span_of("key")));
    assert_string_equal(credential_fields(credential).file, "a.pem");
    site_free(next);
}

/* Authorities are in many chains, and one certificate may be that of many domains. */
static void equal_parts_are_there_once(void **state)
{
    (void)state;
    static const char shared[] = "shared", leaves[] = "onetwo", key[] = "key";
    const struct credential_fields one = {.chain = {{leaves, 3}, {shared, 6}},
                                          .chain_len = 2,
                                          .key = {key, 3},
                                          .algorithm = "any",
                                          .file = "f"};
    struct credential_fields other = one, same = one, later = one;
    other.chain[0].data += 3;
    later.not_after = 5;
    struct site_builder *builder = site_builder_new(-1);
    add_credentials(builder, "a.example", &one, NULL);
    add_credentials(builder, "b.example", &other, NULL);
    add_credentials(builder, "c.example", &same, NULL);
    add_credentials(builder, "d.example", &later, NULL);
    struct site *site = site_builder_finish(builder);
    const struct credential *found[4];
    static const char *const names[] = {"a.example", "b.example", "c.example", "d.example"};
    for (size_t i = 0; i < COUNT(found); i++)
        found[i] = find_credential(site, names[i], CREDENTIAL_ECDSA);
    assert_ptr_equal(found[0], found[2]);
    assert_ptr_not_equal(found[0], found[1]);
    assert_ptr_not_equal(found[0], found[3]);
    assert_int_equal(credential_fields(found[3]).not_after, 5);
    for (size_t i = 0; i < COUNT(found); i++) {
        assert_ptr_equal(credential_fields(found[i]).chain[1].data,
                         credential_fields(found[0]).chain[1].data);
        assert_ptr_equal(credential_fields(found[i]).key.data,
                         credential_fields(found[0]).key.data);
        assert_ptr_equal(credential_fields(found[i]).file, credential_fields(found[0]).file);
    }
    assert_true(span_equal(credential_fields(found[1]).chain[0], span_of("two")));
    site_free(site);
}

/* Bytes are known by their place, but one place can have others in time. */
static void other_bytes_at_the_same_place_are_others(void **state)
{
    (void)state;
    char leaf[] = "leaf1", key[] = "key1";
    const struct credential_fields fields = {
        .chain = {{leaf, 5}}, .chain_len = 1, .key = {key, 4}, .algorithm = "any", .file = "f"};
    struct site_builder *builder = site_builder_new(-1);
    add_credentials(builder, "a.example", &fields, NULL);
    leaf[4] = key[3] = '2';
    add_credentials(builder, "b.example", &fields, NULL);
    struct site *site = site_builder_finish(builder);
    const struct credential *one = find_credential(site, "a.example", CREDENTIAL_ECDSA);
    const struct credential *two = find_credential(site, "b.example", CREDENTIAL_ECDSA);
    assert_true(span_equal(credential_fields(one).chain[0], span_of("leaf1")));
    assert_true(span_equal(credential_fields(one).key, span_of("key1")));
    assert_true(span_equal(credential_fields(two).chain[0], span_of("leaf2")));
    assert_true(span_equal(credential_fields(two).key, span_of("key2")));
    site_free(site);
}

static const int64_t NOW = 1700000000, DAY = 86400;

static struct credential_fields make(enum credential_kind kind, int64_t begin, int64_t end,
                                     enum credential_fault fault)
{
    return (struct credential_fields){
        .kind = kind,
        .chain = {span_of("leaf")},
        .chain_len = 1,
        .key = span_of("key"),
        .not_before = NOW + begin * DAY,
        .not_after = NOW + end * DAY,
        .fault = fault,
        .algorithm = "any",
        .file = "file",
    };
}

/* Days from now; without an end there is no such certificate. */
struct row {
    enum site_state site;
    bool is_proxied;
    struct {
        int64_t begin, end;
        enum credential_fault fault;
    } ecdsa, rsa;
    enum domain_state state;
    enum credential_fault fault;
    int64_t first_end; /* 0: none */
};

static const struct row rows[] = {
    {SITE_SERVED, false, {-1, 9, 0}, {-1, 8, 0}, DOMAIN_SERVED, CREDENTIAL_SOUND, 8},
    {SITE_SERVED, false, {-1, 7, 0}, {-1, 8, 0}, DOMAIN_SERVED, CREDENTIAL_SOUND, 7},
    {SITE_SERVED, false, {-1, 9, 0}, {0, 0, 0}, DOMAIN_SERVED, CREDENTIAL_SOUND, 9},
    {SITE_SERVED, false, {0, 0, 0}, {0, 0, 0}, DOMAIN_NO_CERTIFICATE, CREDENTIAL_MISSING, 0},
    {SITE_SERVED, true, {0, 0, 0}, {0, 0, 0}, DOMAIN_SERVED, CREDENTIAL_SOUND, 0},
    {SITE_SERVED, true, {-9, -1, 0}, {0, 0, 0}, DOMAIN_SERVED, CREDENTIAL_SOUND, 0},
    {SITE_STALE, true, {0, 0, 0}, {0, 0, 0}, DOMAIN_STALE, CREDENTIAL_SOUND, 0},
    {SITE_STALE, false, {-1, 9, 0}, {0, 0, 0}, DOMAIN_STALE, CREDENTIAL_SOUND, 9},
    {SITE_REFUSED, false, {-1, 9, 0}, {0, 0, 0}, DOMAIN_REFUSED, CREDENTIAL_SOUND, 9},
    {SITE_REFUSED, false, {0, 0, 0}, {0, 0, 0}, DOMAIN_REFUSED, CREDENTIAL_MISSING, 0},
    /* Each kind must be good. */
    {SITE_SERVED, false, {-1, 9, 0}, {-9, -1, 0}, DOMAIN_SERVED, CREDENTIAL_EXPIRED, -1},
    {SITE_SERVED, false, {1, 9, 0}, {-9, 1, 0}, DOMAIN_SERVED, CREDENTIAL_NOT_YET, 1},
    {SITE_SERVED,
     false,
     {-1, 9, 0},
     {-1, 9, CREDENTIAL_MUST_STAPLE},
     DOMAIN_SERVED,
     CREDENTIAL_MUST_STAPLE,
     9},
    /* The clock comes first. */
    {SITE_SERVED,
     false,
     {-9, -1, CREDENTIAL_SELF_SIGNED},
     {0, 0, 0},
     DOMAIN_SERVED,
     CREDENTIAL_EXPIRED,
     -1},
};

/* A site with the domain that the row is about. */
static struct site *make_judged(const struct row *row, const struct policy *policy)
{
    const struct credential_fields ecdsa =
        make(CREDENTIAL_ECDSA, row->ecdsa.begin, row->ecdsa.end, row->ecdsa.fault);
    const struct credential_fields rsa =
        make(CREDENTIAL_RSA, row->rsa.begin, row->rsa.end, row->rsa.fault);
    struct site_builder *builder = site_builder_new(-1);
    assert_non_null(builder);
    site_builder_add(builder, &(struct site_fields){
                                  .name = span_of("example.com"),
                                  .state = row->site,
                                  .policy = row->site == SITE_REFUSED ? NULL : policy,
                                  .credentials = {row->ecdsa.end == 0 ? NULL : &ecdsa,
                                                  row->rsa.end == 0 ? NULL : &rsa},
                                  .is_proxied = row->is_proxied,
                                  .at = {.file = "file"},
                              });
    struct site *site = site_builder_finish(builder);
    assert_non_null(site);
    return site;
}

static void domains_are_judged(void **state)
{
    (void)state;
    struct policy *policy = make_policy("enforce");
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct row *row = &rows[i];
        const struct credential *meant;
        struct site *site = make_judged(row, policy);
        const struct site_domain *domain = site_at(site, 0);
        const struct credential *first = verdict_first_to_end(domain);
        enum credential_fault fault = verdict_certificate(domain, NOW, &meant);
        if (verdict_state(domain) != row->state || fault != row->fault ||
            (first == NULL) != (row->first_end == 0) ||
            (first != NULL && credential_fields(first).not_after != NOW + row->first_end * DAY) ||
            (meant == NULL) != (first == NULL))
            fail_msg("row %zu: %s, %s", i, verdict_state_text(verdict_state(domain)),
                     credential_fault_names[fault].text);
        site_free(site);
    }
    policy_free(policy);
}

static void the_warning_follows_the_lifetime(void **state)
{
    (void)state;
    static const struct {
        int64_t lifetime, setting, before; /* days; a negative setting is the default */
    } warnings[] = {{398, -1, 21}, {105, -1, 21}, {90, -1, 18}, {45, -1, 9},
                    {5, -1, 1},    {-3, -1, 0},   {90, 30, 30}, {90, 0, 0}};
    for (size_t i = 0; i < COUNT(warnings); i++) {
        int64_t setting =
            warnings[i].setting < 0 ? VERDICT_WARNING_DEFAULT : warnings[i].setting * DAY;
        int64_t end = NOW + warnings[i].lifetime * DAY;
        assert_int_equal(verdict_warning_time(NOW, end, setting), end - warnings[i].before * DAY);
    }
}

static void a_server_is_blocked_when_no_certificate_can_be_read(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 16; bits++) {
        bool has_certificate = (bits & 1) != 0, is_proxied = (bits & 2) != 0;
        bool has_domain = (bits & 4) != 0, denied = (bits & 8) != 0;
        const struct credential_fields rsa = make(CREDENTIAL_RSA, -9, -1, CREDENTIAL_SOUND);
        const struct site_fields other = {
            .name = span_of("b.example"), .state = SITE_REFUSED, .at = {.file = "file"}};
        const struct site_fields domain = {.name = span_of("a.example"),
                                           .state = SITE_REFUSED,
                                           .credentials = {NULL, has_certificate ? &rsa : NULL},
                                           .at = {.file = "file"},
                                           .is_proxied = is_proxied};
        struct site_builder *builder = site_builder_new(-1);
        assert_non_null(builder);
        if (has_domain) {
            site_builder_add(builder, &other);
            site_builder_add(builder, &domain);
        }
        struct site *site = site_builder_finish(builder);
        assert_non_null(site);
        assert_int_equal(verdict_is_blocked(site, denied ? 2 : 0),
                         denied && has_domain && !has_certificate && !is_proxied);
        site_free(site);
    }
}

static void every_fault_has_its_words(void **state)
{
    (void)state;
    for (unsigned fault = CREDENTIAL_SOUND; fault <= CREDENTIAL_MUST_STAPLE; fault++) {
        assert_true(strlen(credential_fault_names[fault].text) > 5);
        assert_int_equal(credential_fault_names[fault].word[0] == '\0', fault == CREDENTIAL_SOUND);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_hosts),
        cmocka_unit_test(an_empty_site_finds_nothing),
        cmocka_unit_test(many_are_sorted_and_found),
        cmocka_unit_test(another_process_opens_what_one_has_built),
        cmocka_unit_test(what_is_no_site_is_not_opened),
        cmocka_unit_test(changed_bytes_are_refused_or_harmless),
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(equal_parts_are_there_once),
        cmocka_unit_test(other_bytes_at_the_same_place_are_others),
        cmocka_unit_test(domains_are_judged),
        cmocka_unit_test(the_warning_follows_the_lifetime),
        cmocka_unit_test(a_server_is_blocked_when_no_certificate_can_be_read),
        cmocka_unit_test(every_fault_has_its_words),
    };
    return cmocka_run_group_tests_name("site", tests, NULL, NULL);
}
