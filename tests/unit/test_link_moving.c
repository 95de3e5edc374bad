/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Routes and interfaces that move while others look at them, in the kernel that runs
 * (tests/unit/link_rig.h). For others: tools/vm run KERNEL -- build/tests/unit_link_moving.
 */
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/link_rig.h"
#include "userspace/net/netlink.h"

/* ---- failover ---- */

#define SWAPS	 1000
#define FAILOVER 20 /* routes of each family */

static _Atomic bool swapping;
static _Atomic unsigned int looks, misses[2]; /* of IPv4, of IPv6 */

/* One socket, as fast as it goes. */
static void *look_all_the_time(void *arg)
{
	const struct link_route *routes = arg;

	for (unsigned int i = 0; swapping; i = (i + 1) % (2 * FAILOVER)) {
		char buffer[128];
		struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
		const struct link_network *to = &routes[i].to;
		struct rtmsg *rt;

		h->nlmsg_type = RTM_GETROUTE;
		h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
		h->nlmsg_seq = 1;
		rt = mnl_nlmsg_put_extra_header(h, sizeof(*rt));
		rt->rtm_family = to->family == 4 ? AF_INET : AF_INET6;
		rt->rtm_dst_len = to->family == 4 ? 32 : 128;
		netlink_put_ip(h, RTA_DST, to->ip);
		misses[to->family == 6] += netlink_exchange(h, NULL, NULL) != 0;
		looks++;
	}
	return NULL;
}

static void no_packet_is_without_a_route_in_a_failover(void **state)
{
	struct link_route routes[2 * FAILOVER];
	uint32_t device[2], through;
	pthread_t looker;
	size_t done;

	(void)state;
	want_namespace();
	device[0] = if_nametoindex("hlink-a");
	device[1] = if_nametoindex("hlink-b");
	for (unsigned int i = 0; i < FAILOVER; i++) {
		char text[64];

		snprintf(text, sizeof(text), "198.19.%u.0/24", i);
		routes[i] = route(text, 254, 50);
		snprintf(text, sizeof(text), "2001:db8:%x::/48", 0x100 + i);
		routes[FAILOVER + i] = route(text, 254, 50);
	}
	assert_int_equal(link_replace_routes(device[0], routes, COUNT(routes), &done), 0);
	assert_int_equal(done, COUNT(routes));
	swapping = true;
	assert_int_equal(pthread_create(&looker, NULL, look_all_the_time, routes), 0);
	for (unsigned int i = 1; i <= SWAPS; i++) {
		assert_int_equal(link_replace_routes(device[i % 2], routes, COUNT(routes), &done),
				 0);
		assert_int_equal(done, COUNT(routes));
	}
	swapping = false;
	pthread_join(looker, NULL);
	print_message("%u look-ups during %u swaps, without a route: IPv4 %u, IPv6 %u\n", looks,
		      SWAPS, misses[0], misses[1]);
	assert_true(looks > 100);
	/* Taken away and made anew they would be missed by a third of the look-ups. A look-up that
	 * has the old route in hand at the moment when its last reference goes finds nothing
	 * (fib_dead in net/ipv4/fib_trie.c, ip6_rt_pcpu_alloc in net/ipv6/route.c): the kernel's,
	 * and rare. */
	for (unsigned int i = 0; i < 2; i++)
		assert_true(misses[i] <= 5 + looks / 100);
	/* One route of each, and none of two next hops. */
	assert_true(ok("ip route show proto 83 | grep -c 'dev hlink-a ' | grep -qx %u", FAILOVER));
	assert_true(
		ok("ip -6 route show proto 83 | grep -c 'dev hlink-a ' | grep -qx %u", FAILOVER));
	assert_true(ok(
		"! { ip route; ip -6 route; } | grep -qE 'nexthop|proto 83.*hlink-b|hlink-b.*proto 83'"));
	for (unsigned int i = 0; i < COUNT(routes); i++) {
		assert_int_equal(link_route_device(&routes[i], &through), 0);
		assert_int_equal(through, device[0]);
	}
	routes[0].metric = 49;
	assert_int_equal(link_route_device(&routes[0], &through), 0);
	assert_int_equal(through, 0);
	routes[0].table = 4711; /* there is no such table */
	assert_int_equal(link_route_device(&routes[0], &through), 0);
	assert_int_equal(through, 0);
	assert_true(ok("ip route flush proto 83 && ip -6 route flush proto 83"));
}

/* What others wait for in a batch of which some are refused. */
static void a_failover_goes_on_after_a_refusal(void **state)
{
	enum { N = 2500 };
	struct link_route *routes = calloc(N, sizeof(*routes));
	size_t done = 0;

	(void)state;
	want_namespace();
	for (unsigned int i = 0; i < N; i++) {
		char text[64];

		snprintf(text, sizeof(text), "198.%u.%u.0/24", 18 + i / 1024, i % 1024 / 8);
		routes[i] = route(text, 1000 + i % 8, 50);
		if (i % 2)
			routes[i].to.prefix = 8; /* host bits: refused */
	}
	assert_int_equal(link_replace_routes(if_nametoindex("hlink-a"), routes, N, &done), -EINVAL);
	assert_int_equal(done, N / 2);
	assert_int_equal(link_replace_routes(99999, routes, N, &done), -ENODEV);
	assert_int_equal(done, 0);
	assert_true(ok("ip route flush table all proto 83"));
	free(routes);
}

/* A route that went to another tunnel in a failover is taken over by an apply in one step. */
static void an_apply_takes_ours_from_another_tunnel(void **state)
{
	struct link want = {.name = "hlink-a", .kind = LINK_WIREGUARD, .up = true};
	struct link_route r[] = {route("203.0.113.0/24", 254, 50),
				 route("2001:db8:5::/48", 254, 50)};
	uint32_t through;
	size_t done;

	(void)state;
	want_namespace();
	assert_int_equal(link_replace_routes(if_nametoindex("hlink-b"), r, 2, &done), 0);
	assert_int_equal(link_add_route(&want, &r[0]), 0);
	assert_int_equal(link_add_route(&want, &r[1]), 0);
	assert_int_equal(apply(&want, 0), 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(link_route_device(&r[i], &through), 0);
		assert_int_equal(through, if_nametoindex("hlink-a"));
	}
	assert_true(ok("! { ip route; ip -6 route; } | grep -q 'hlink-b proto 83'"));
	want.n_routes = 0;
	assert_int_equal(apply(&want, 0), 2);
	link_free(&want);
}
/* ---- what comes and goes ---- */

static void *come_and_go(void *arg)
{
	(void)arg;
	while (swapping) {
		if (!ok("ip link add hlink-c type veth peer name hlink-c2 && ip link set hlink-c up && "
			"ip addr add 198.18.7.1/24 dev hlink-c && "
			"ip route add 192.0.2.0/24 dev hlink-c proto 83 metric 9; ip link del hlink-c"))
			break;
	}
	return NULL;
}

static void an_interface_may_vanish_while_it_is_read(void **state)
{
	unsigned int seen[2] = {0};
	pthread_t other;

	(void)state;
	want_namespace();
	swapping = true;
	assert_int_equal(pthread_create(&other, NULL, come_and_go, NULL), 0);
	for (unsigned int i = 0; i < 200000 && (i < 2000 || !seen[0] || !seen[1]); i++) {
		struct link l;

		assert_int_equal(link_read("hlink-c", 100, &l), 0);
		seen[l.kind != LINK_NONE]++;
		if (l.kind == LINK_NONE)
			assert_true(!l.n_addresses && !l.n_routes && !l.ifindex);
		link_free(&l);
	}
	swapping = false;
	pthread_join(other, NULL);
	assert_true(seen[0] && seen[1]);
}
/* A pattern of names to run only some. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_packet_is_without_a_route_in_a_failover),
		cmocka_unit_test(a_failover_goes_on_after_a_refusal),
		cmocka_unit_test(an_apply_takes_ours_from_another_tunnel),
		cmocka_unit_test(an_interface_may_vanish_while_it_is_read),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("link_moving", tests, fresh_namespace, NULL);
}
