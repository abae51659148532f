/* The site: what is found by which host name, and what another process can do with its bytes. */
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
    struct memory_file file;
    assert_null(site_open(-1));
    assert_int_equal(errno, EBADF);
    for (size_t size = 1; size < 200; size++) {
        assert_true(memory_file_new(size, &file));
        memcpy(file.data, SITE_IMAGE_MAGIC, size < 8 ? size : 8);
        int fd = memory_file_finish(&file, size);
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
    struct credential_fields fields;
    unsigned sum = 0;
    fields = credential_fields(credential);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_hosts),
        cmocka_unit_test(an_empty_site_finds_nothing),
        cmocka_unit_test(many_are_sorted_and_found),
        cmocka_unit_test(another_process_opens_what_one_has_built),
        cmocka_unit_test(what_is_no_site_is_not_opened),
        cmocka_unit_test(changed_bytes_are_refused_or_harmless),
    };
    return cmocka_run_group_tests_name("site", tests, NULL, NULL);
}
