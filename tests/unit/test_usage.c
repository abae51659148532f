/* Who has used how much time, and who goes on before whom. */
#include "serve/networks.h"

#include "base/limits.h"
#include "unit.h"

static const uint64_t v4 = 0xc0000201;                   /* 192.0.2.1 */
static const uint64_t v6 = UINT64_C(0x20010db800010002); /* 2001:db8:1:2::/64 */

static int compare(const struct usage *usage, uint64_t one, uint64_t other, int64_t now)
{
    struct usage_rank ranks[] = {usage_of(usage, one, now), usage_of(usage, other, now)};
    return usage_compare(&ranks[0], &ranks[1]);
}

static void who_used_less_is_first(void **state)
{
    (void)state;
    struct usage *usage = usage_new();
    assert_non_null(usage);
    assert_int_equal(compare(usage, v4, v4 + 1, 0), 0);
    usage_add(usage, v4, 300, 0);
    usage_add(usage, v4 + 1, 200, 0);
    assert_true(compare(usage, v4 + 1, v4, 0) < 0);
    assert_true(compare(usage, v4 + 2, v4 + 1, 0) < 0); /* the same /24 */
    assert_true(compare(usage, v4 + 256, v4, 0) < 0);   /* another /24 */
    assert_true(compare(usage, v6, v4 + 2, 0) < 0);     /* another family */
    usage_free(usage);
    usage_free(NULL);
}

/* Many small networks of a large one are no better off than one. */
static void larger_networks_come_first(void **state)
{
    (void)state;
    struct usage *usage = usage_new();
    for (uint64_t i = 0; i < 1000; i++)
        usage_add(usage, v6 + i, 1000, 0);
    uint64_t fresh = v6 + 5000, other_48 = v6 + (UINT64_C(1) << 16),
             other_32 = v6 + (UINT64_C(1) << 32);
    usage_add(usage, other_48, 50000, 0);
    usage_add(usage, other_32, 900000, 0);
    assert_true(compare(usage, other_48, fresh, 0) < 0);
    assert_true(compare(usage, other_32, fresh, 0) < 0);
    assert_true(compare(usage, other_32, other_48, 0) < 0);
    usage_free(usage);
}

static void what_was_used_is_forgotten(void **state)
{
    (void)state;
    struct usage *usage = usage_new();
    usage_add(usage, v4, 1000, 0);
    assert_int_equal(usage_of(usage, v4, 0).used[0], 1000);
    assert_int_equal(usage_of(usage, v4, LIMIT_USAGE_HALF_MS).used[0], 500);
    usage_add(usage, v4, 100, LIMIT_USAGE_HALF_MS);
    assert_int_equal(usage_of(usage, v4, LIMIT_USAGE_HALF_MS).used[2], 600);
    assert_int_equal(usage_of(usage, v4, 64 * (int64_t)LIMIT_USAGE_HALF_MS).used[2], 0);
    for (int i = 0; i < 3; i++)
        usage_add(usage, v4, INT64_C(1) << 40, 0);
    assert_true(usage_of(usage, v4, 0).used[0] > 1000000000); /* and not less than nothing */
    usage_free(usage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_used_less_is_first),
        cmocka_unit_test(larger_networks_come_first),
        cmocka_unit_test(what_was_used_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
