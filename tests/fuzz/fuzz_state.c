/*
 * Any bytes as the file of the state folder, torn or with the line that makes
 * it whole: nothing, or a site of sound policies that is written again and then
 * reads back as the same.
 */
#include <assert.h>
#include <inttypes.h>

#include "body.h"
#include "files.h"
#include "fuzz.h"
#include "load/state.h"

static const char FOLDER[] = "/state";

static void write_file(struct span bytes, bool complete)
{
    struct text text = {0};
    text_append(&text, bytes);
    if (complete)
        text_printf(&text, "# complete %016" PRIx64 "\n",
                    span_hash((struct span){text.data, text.len}));
    assert(!text.failed);
    assert(
        files_add(span_of("/state/last-valid-policies.yaml"), (struct span){text.data, text.len}));
    text_free(&text);
}

static struct site *read_site(struct diag *diag)
{
    struct position at = {"input", 1, 1};
    struct site *site = state_read(FOLDER, at, NULL, diag);
    assert((site == NULL) == (diag_count(diag, DIAG_WARNING) > 0));
    assert(diag_count(diag, DIAG_ERROR) + diag_count(diag, DIAG_FATAL) == 0);
    return site;
}

static void check_site(const struct site *site)
{
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        assert(site_state(domain) == SITE_SERVED && site_policy(domain) != NULL);
        assert(body_is_name(site_name_span(domain), false));
        assert(site_find_domain(site, site_name_span(domain)) == domain);
        body_check_policy(site_policy(domain));
    }
}

static void check_same(const struct site *one, const struct site *other)
{
    assert(site_count(one) == site_count(other));
    for (size_t i = 0; i < site_count(one); i++) {
        const struct site_domain *a = site_at(one, i), *b = site_at(other, i);
        assert(strcmp(site_name(a), site_name(b)) == 0 && strcmp(site_file(a), site_file(b)) == 0);
        assert(span_equal(policy_body(site_policy(a)), policy_body(site_policy(b))));
        assert(strcmp(policy_id(site_policy(a)), policy_id(site_policy(b))) == 0);
    }
}

static void check(struct span bytes, bool complete)
{
    struct diag *diag = diag_new();
    assert(diag != NULL);
    write_file(bytes, complete);
    struct site *site = read_site(diag);
    if (site != NULL) {
        check_site(site);
        struct text text = {0};
        state_print(site, &text);
        assert(!text.failed && state_file_write(FOLDER, state_forms[STATE_POLICIES].name, &text));
        text_free(&text);
        struct site *again = read_site(diag);
        assert(again != NULL);
        check_same(site, again);
        site_free(again);
    }
    site_free(site);
    diag_free(diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = {(const char *)data, size};
    files_begin();
    check(input, false);
    check(input, true);
    files_end();
    return 0;
}
