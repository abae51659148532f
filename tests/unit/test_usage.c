/* Who has used how much time, and who goes on before whom. */
#include "serve/networks.h"

#include "base/limits.h"
#include "unit.h"

static const uint64_t v4 = 0xc0000201;                   /* 192.0.2.1 */
static const uint64_t v6 = UINT64_C(0x20010db800010002); /* 2001:db8:1:2::/64 */

/* By a client that came and went. */
static void charge(struct networks *usage, uint64_t key, int64_t microseconds, int64_t now)
{
    struct network_member member = {0};
    networks_enter(usage, &member, key);
    networks_charge(usage, member.network, microseconds, now);
    networks_leave(usage, &member);
}

static int compare(const struct networks *usage, uint64_t one, uint64_t other, int64_t now)
{
    struct usage_rank ranks[] = {networks_rank(usage, one, now), networks_rank(usage, other, now)};
    return usage_compare(&ranks[0], &ranks[1]);
}

static void who_used_less_is_first(void **state)
{
    (void)state;
    struct networks *usage = networks_new(1);
    assert_non_null(usage);
    assert_int_equal(compare(usage, v4, v4 + 1, 0), 0);
    charge(usage, v4, 300, 0);
    charge(usage, v4 + 1, 200, 0);
    assert_true(compare(usage, v4 + 1, v4, 0) < 0);
    assert_true(compare(usage, v4 + 2, v4 + 1, 0) < 0); /* the same /24 */
    assert_true(compare(usage, v4 + 256, v4, 0) < 0);   /* another /24 */
    assert_true(compare(usage, v6, v4 + 2, 0) < 0);     /* another family */
    networks_free(usage);
    networks_free(NULL);
}

/* Many small networks of a large one are no better off than one. */
static void larger_networks_come_first(void **state)
{
    (void)state;
    struct networks *usage = networks_new(1);
    for (uint64_t i = 0; i < 1000; i++)
        charge(usage, v6 + i, 1000, 0);
    uint64_t fresh = v6 + 5000, other_48 = v6 + (UINT64_C(1) << 16),
             other_32 = v6 + (UINT64_C(1) << 32);
    charge(usage, other_48, 50000, 0);
    charge(usage, other_32, 900000, 0);
    assert_true(compare(usage, other_48, fresh, 0) < 0);
    assert_true(compare(usage, other_32, fresh, 0) < 0);
    assert_true(compare(usage, other_32, other_48, 0) < 0);
    networks_free(usage);
}

static void what_was_used_is_forgotten(void **state)
{
    (void)state;
    struct networks *usage = networks_new(1);
    charge(usage, v4, 1000, 0);
    assert_int_equal(networks_rank(usage, v4, 0).used[0], 1000);
    assert_int_equal(networks_rank(usage, v4, LIMIT_USAGE_HALF_MS).used[0], 500);
    charge(usage, v4, 100, LIMIT_USAGE_HALF_MS);
    assert_int_equal(networks_rank(usage, v4, LIMIT_USAGE_HALF_MS).used[2], 600);
    assert_int_equal(networks_rank(usage, v4, 64 * (int64_t)LIMIT_USAGE_HALF_MS).used[2], 0);
    for (int i = 0; i < 3; i++)
        charge(usage, v4, INT64_C(1) << 40, 0);
    assert_true(networks_rank(usage, v4, 0).used[0] > 1000000000); /* and not less than nothing */
    networks_free(usage);
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
