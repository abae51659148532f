/* Who holds how much, in what order, how time is shared out, and who goes on before whom. */
#include "serve/networks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/limits.h"
#include "unit.h"

static uint64_t key_of(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return network_key((const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return network_key((const struct sockaddr *)&v6);
}

static void knows_what_a_network_is(void **state)
{
    (void)state;
    static const struct {
        const char *one;
        const char *other;
        bool same;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"192.0.2.2", "::ffff:192.0.2.1", false},
        {"192.0.2.1", "::192.0.2.1", false},
        {"2001:db8:1:2::", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
        {"2001:db8:1:2::1", "2001:db8:2:2::1", false},
        {"127.0.0.1", "::1", false},
        {"255.255.255.255", "0:0:ffff:ffff::", true}, /* The latter is no address of a client. */
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_true((key_of(rows[i].one) == key_of(rows[i].other)) == rows[i].same);
    const struct sockaddr unknown = {.sa_family = AF_UNIX};
    assert_true(network_key(&unknown) == 0);
}

static void counts_by_network_and_stage(void **state)
{
    (void)state;
    struct networks *networks = networks_new(8);
    struct network_member members[4] = {0};

    assert_non_null(networks);
    assert_null(networks_largest(networks));
    assert_null(networks_find(networks, 7));
    for (size_t i = 0; i < COUNT(members); i++)
        members[i].link.owner = &members[i];
    for (size_t i = 0; i < 3; i++)
        networks_enter(networks, &members[i], 7);
    networks_enter(networks, &members[3], 9);

    const struct network *network = networks_find(networks, 7);
    assert_non_null(network);
    assert_int_equal(network->count, 3);
    assert_int_equal(network->stages[NETWORK_HANDSHAKE].count, 3);
    assert_ptr_equal(queue_oldest(&network->stages[NETWORK_HANDSHAKE]), &members[0]);
    network_move(&members[0], NETWORK_HANDSHAKE); /* is there already, and stays the first */
    assert_ptr_equal(queue_oldest(&network->stages[NETWORK_HANDSHAKE]), &members[0]);
    network_move(&members[0], NETWORK_BUSY);
    assert_ptr_equal(queue_oldest(&network->stages[NETWORK_HANDSHAKE]), &members[1]);
    assert_ptr_equal(queue_oldest(&network->stages[NETWORK_BUSY]), &members[0]);
    assert_int_equal(network->stages[NETWORK_HANDSHAKE].count, 2);
    network_move(&members[0], NETWORK_HANDSHAKE);
    assert_ptr_equal(queue_oldest(&network->stages[NETWORK_HANDSHAKE]), &members[1]);
    assert_null(queue_oldest(&network->stages[NETWORK_BUSY]));
    assert_ptr_equal(networks_largest(networks), network);

    networks_leave(networks, &members[1]);
    networks_leave(networks, &members[1]);
    networks_leave(networks, &members[2]);
    assert_ptr_equal(queue_oldest(&network->stages[NETWORK_HANDSHAKE]), &members[0]);
    networks_leave(networks, &members[0]);
    assert_null(networks_find(networks, 7));
    assert_int_equal(networks_find(networks, 9)->count, 1);
    networks_leave(networks, &members[3]);
    assert_null(networks_largest(networks));
    networks_free(networks);
    networks_free(NULL);
}

static void names_the_largest(void **state)
{
    (void)state;
    struct networks *networks = networks_new(16);
    struct network_member members[7] = {0};
    static const uint64_t keys[] = {1, 2, 2, 1, 3, 3, 3};

    for (size_t i = 0; i < COUNT(keys); i++)
        networks_enter(networks, &members[i], keys[i]);
    assert_ptr_equal(networks_largest(networks), networks_find(networks, 3));
    networks_leave(networks, &members[6]);
    /* All have two now: 2 had them first. */
    assert_ptr_equal(networks_largest(networks), networks_find(networks, 2));
    networks_leave(networks, &members[1]);
    assert_ptr_equal(networks_largest(networks), networks_find(networks, 1));
    networks_leave(networks, &members[0]);
    assert_ptr_equal(networks_largest(networks), networks_find(networks, 3));
    for (size_t i = 0; i < COUNT(keys); i++)
        networks_leave(networks, &members[i]);
    networks_free(networks);
}

/* A long random life, compared with a count that is too simple to be wrong. */
static void keeps_account_under_churn(void **state)
{
    (void)state;
    enum { MEMBERS = 200, KEYS = 50, STEPS = 100000 };
    static struct network_member members[MEMBERS];
    static uint64_t keys[MEMBERS];
    static const uint64_t high[] = {0, (uint64_t)0x20010db8 << 32};
    size_t counts[2 * KEYS] = {0};
    struct networks *networks = networks_new(MEMBERS);
    unsigned random = 1;

    for (int step = 0; step < STEPS; step++) {
        random = random * 1103515245U + 12345U;
        size_t i = (random >> 8) % MEMBERS;
        if (members[i].network != NULL) {
            networks_leave(networks, &members[i]);
            counts[keys[i]]--;
        } else {
            keys[i] = (random >> 16) % (2 * KEYS);
            networks_enter(networks, &members[i], high[keys[i] % 2] + keys[i] / 2);
            network_move(&members[i], (enum network_stage)(keys[i] % NETWORK_STAGES));
            counts[keys[i]]++;
        }
        const struct network *network = networks_find(networks, high[keys[i] % 2] + keys[i] / 2);
        assert_int_equal(network == NULL ? 0 : network->count, counts[keys[i]]);
        size_t most = 0;
        for (size_t k = 0; k < 2 * KEYS; k++)
            most = counts[k] > most ? counts[k] : most;
        const struct network *largest = networks_largest(networks);
        assert_int_equal(largest == NULL ? 0 : largest->count, most);
    }
    for (size_t i = 0; i < MEMBERS; i++)
        networks_leave(networks, &members[i]);
    networks_free(networks);
}

/* Every member a network of its own, at the capacity, again and again. */
static void has_room_for_as_many_networks_as_members(void **state)
{
    (void)state;
    struct network_member *members = calloc(LIMIT_CONNECTIONS, sizeof(*members));
    struct networks *networks = networks_new(LIMIT_CONNECTIONS);
    assert_non_null(members);
    assert_non_null(networks);
    members[0].link.owner = members;
    for (uint64_t turn = 0; turn < 3; turn++) {
        for (uint64_t i = 0; i < LIMIT_CONNECTIONS; i++)
            networks_enter(networks, &members[i], (turn * LIMIT_CONNECTIONS + i) << 32);
        assert_int_equal(networks_largest(networks)->count, 1);
        assert_ptr_equal(queue_oldest(&networks_largest(networks)->stages[NETWORK_HANDSHAKE]),
                         &members[0]);
        for (size_t i = 0; i < LIMIT_CONNECTIONS; i++)
            networks_leave(networks, &members[i]);
        assert_null(networks_largest(networks));
    }
    networks_free(networks);
    free(members);
}

static void shares_out_time_in_rounds(void **state)
{
    (void)state;
    struct networks *networks = networks_new(1);
    struct network_member member = {0};

    networks_enter(networks, &member, 1);
    struct network *network = networks_find(networks, 1);
    assert_true(networks_has_time(networks, network));
    networks_charge(networks, network, LIMIT_NETWORK_SLICE_US - 1, 0);
    assert_true(networks_has_time(networks, network));
    networks_charge(networks, network, 1, 0);
    assert_false(networks_has_time(networks, network));
    networks_begin_round(networks);
    assert_true(networks_has_time(networks, network));
    networks_charge(networks, network, 3 * LIMIT_NETWORK_SLICE_US, 0);
    for (int i = 0; i < 3; i++) {
        assert_false(networks_has_time(networks, network));
        networks_begin_round(networks);
    }
    assert_true(networks_has_time(networks, network));
    networks_charge(networks, network, 1000 * LIMIT_NETWORK_DEBT_US, 0);
    for (int i = 0; i < LIMIT_NETWORK_DEBT_US / LIMIT_NETWORK_SLICE_US; i++) {
        assert_false(networks_has_time(networks, network));
        networks_begin_round(networks);
    }
    assert_true(networks_has_time(networks, network)); /* what it owes has an end */
    networks_leave(networks, &member);
    networks_free(networks);
}

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
        cmocka_unit_test(knows_what_a_network_is),
        cmocka_unit_test(counts_by_network_and_stage),
        cmocka_unit_test(names_the_largest),
        cmocka_unit_test(keeps_account_under_churn),
        cmocka_unit_test(has_room_for_as_many_networks_as_members),
        cmocka_unit_test(shares_out_time_in_rounds),
        cmocka_unit_test(who_used_less_is_first),
        cmocka_unit_test(larger_networks_come_first),
        cmocka_unit_test(what_was_used_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
