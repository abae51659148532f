/* What is said of a domain: its state, its certificates and when they are warned of. */
#include "unit.h"

#include "site/site.h"
#include "site/site_builder.h"

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

static struct policy *make_policy(void)
{
    struct diag *diag = diag_new();
    const struct field mx = {.text = span_of("mail.example.com")};
    const struct policy_fields fields = {.mode = {.text = span_of("enforce")},
                                         .max_age = {.text = span_of("2w")},
                                         .mx = &mx,
                                         .mx_count = 1};
    struct policy *policy = policy_new(&fields, diag);
    assert_non_null(policy);
    diag_free(diag);
    return policy;
}

/* A site with the domain that the row is about. */
static struct site *make_site(const struct row *row, const struct policy *policy)
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
    struct policy *policy = make_policy();
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct row *row = &rows[i];
        const struct credential *meant;
        struct site *site = make_site(row, policy);
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
        cmocka_unit_test(domains_are_judged),
        cmocka_unit_test(the_warning_follows_the_lifetime),
        cmocka_unit_test(a_server_is_blocked_when_no_certificate_can_be_read),
        cmocka_unit_test(every_fault_has_its_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
