/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Against the kernel that runs: in a network namespace of its own, with veth devices in the place
 * of tunnels where it has none. For others: tools/vm run KERNEL -- build/tests/unit_link_kernel.
 */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "userspace/base/text.h"
#include "userspace/net/netlink.h"
#include "wg/link.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static bool isolated;

/* True when the shell command says so. */
static bool ok(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool ok(const char *format, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	return system(command) == 0;
}

static struct link_network network(const char *text)
{
	struct link_network n = {0};
	char host[64];
	unsigned int bits;
	uint16_t port;

	assert_int_equal(ip_parse_cidr(text, n.ip, &bits), 0);
	snprintf(host, sizeof(host), "%.*s", (int)strcspn(text, "/"), text);
	assert_int_equal(ip_parse(host, n.ip, &port), 0);
	n.family = strchr(text, ':') ? 6 : 4;
	n.prefix = (uint8_t)(bits - (n.family == 4 ? 96 : 0));
	return n;
}

static struct link_route route(const char *to, uint32_t table, uint32_t metric)
{
	return (struct link_route){.to = network(to), .table = table, .metric = metric};
}

static void put_address(struct link *l, const char *text)
{
	struct link_network a = network(text);

	assert_int_equal(link_add_address(l, &a), 0);
}

/* Sends all, and wants no failure. */
static void send_all(const struct link_delta *d)
{
	size_t failed;
	char why[160], text[256];
	int err = link_send(d, 0, d->n, &failed, why, sizeof(why));

	if (err)
		fail_msg("%s: %s (%s)", link_step_text(d, &d->steps[failed], text, sizeof(text)),
			 strerror(-err), why);
}

/* From what is there to what is wanted, veth taken for WireGuard. */
static size_t apply(const struct link *want, uint32_t table)
{
	struct link have;
	struct link_delta d;
	size_t n;

	assert_int_equal(link_read(want->name, table, &have), 0);
	if (have.kind == LINK_OTHER && !strcmp(have.kind_name, "veth"))
		have.kind = want->kind;
	assert_int_equal(link_diff(want, &have, &d), 0);
	send_all(&d);
	n = d.n;
	link_delta_free(&d);
	link_free(&have);
	return n;
}

/* Nothing is left to do. */
static void want_no_step(const struct link *want, uint32_t table)
{
	struct link have;
	struct link_delta d;
	char text[256];

	assert_int_equal(link_read(want->name, table, &have), 0);
	have.kind = want->kind;
	assert_int_equal(link_diff(want, &have, &d), 0);
	if (d.n)
		fail_msg("%zu steps are left, first: %s", d.n,
			 link_step_text(&d, &d.steps[0], text, sizeof(text)));
	link_delta_free(&d);
	link_free(&have);
}

static int fresh_namespace(void **state)
{
	(void)state;
	isolated = geteuid() == 0 && !unshare(CLONE_NEWNET) && ok("ip link set lo up") &&
		   ok("ip link add hlink-a type veth peer name hlink-a2") &&
		   ok("ip link add hlink-b type veth peer name hlink-b2") &&
		   ok("for i in a a2 b b2; do ip link set hlink-$i up; done");
	return 0;
}

static void want_namespace(void)
{
	if (!isolated) {
		print_message("needs root and ip: no network namespace could be made\n");
		skip();
	}
}

static void what_is_not_there_and_what_is_foreign_is_told(void **state)
{
	struct link l;

	(void)state;
	want_namespace();
	assert_int_equal(link_read("hlink-none", 100, &l), 0);
	assert_int_equal(l.kind, LINK_NONE);
	assert_string_equal(l.name, "hlink-none");
	link_free(&l);
	assert_int_equal(link_read("hlink-a", 100, &l), 0);
	assert_int_equal(l.kind, LINK_OTHER);
	assert_string_equal(l.kind_name, "veth");
	assert_int_equal(l.ifindex, if_nametoindex("hlink-a"));
	assert_int_equal(l.mtu, 1500);
	assert_true(l.up && l.carrier);
	link_free(&l);
	assert_int_equal(link_read("lo", 0, &l), 0);
	assert_string_equal(l.kind_name, "device");
	link_free(&l);
	assert_int_equal(link_remove("hlink-a"), -EEXIST);
	assert_int_equal(link_remove("hlink-none"), -ENODEV);
	assert_int_equal(link_read("a-name-that-is-too-long", 0, &l), -EINVAL);
	/* Another name of a foreign device is no name of ours. */
	assert_true(ok("ip link property add dev hlink-a altname hlink-alt"));
	assert_int_equal(link_read("hlink-alt", 0, &l), 0);
	assert_int_equal(l.kind, LINK_OTHER);
	link_free(&l);
}

/* Both families, two tables, a source, an MTU, a default route; a rule that is inverted. */
static void fill(struct link *l)
{
	struct link_route r[] = {
		route("198.51.100.0/24", 254, 50),  route("192.0.2.7/32", 254, 51),
		route("0.0.0.0/0", 100, 50),	    route("2001:db8:10::/48", 254, 50),
		route("2001:db8:10::/48", 254, 60), route("::/0", 100000, 50),
	};
	struct link_rule rules[] = {
		{.family = 4, .priority = 5000, .table = 100, .fwmark = 0x53, .invert = true},
		{.family = 6, .priority = 5001, .table = 100000},
		{.family = 6, .priority = 5000, .table = 100, .fwmark = 0x80000053, .invert = true},
	};
	struct link_network source = network("198.18.9.1/30");

	*l = (struct link){.name = "hlink-a", .kind = LINK_WIREGUARD, .mtu = 1400, .up = true};
	put_address(l, "198.18.9.1/30");
	put_address(l, "198.18.9.2/30");
	put_address(l, "2001:db8:9::1/64");
	memcpy(r[0].source, source.ip, sizeof(source.ip));
	r[0].has_source = true;
	r[0].mtu = 1300;
	for (size_t i = 0; i < COUNT(r); i++)
		assert_int_equal(link_add_route(l, &r[i]), 0);
	for (size_t i = 0; i < COUNT(rules); i++)
		assert_int_equal(link_add_rule(l, &rules[i]), 0);
}

static void what_was_sent_is_read_and_seen_by_ip(void **state)
{
	struct link want, none = {.name = "hlink-a", .kind = LINK_WIREGUARD, .up = true};

	(void)state;
	want_namespace();
	fill(&want);
	assert_int_not_equal(apply(&want, 100), 0);
	want_no_step(&want, 100);
	assert_true(ok(
		"ip -br link show hlink-a | grep -q UP && ip link show hlink-a | grep -q 'mtu 1400'"));
	assert_true(ok("ip route show proto 83 | grep -q '^198.51.100.0/24 dev hlink-a scope link "
		       "src 198.18.9.1 metric 50 mtu 1300'"));
	assert_true(ok(
		"ip route show table 100 | grep -q '^default dev hlink-a proto 83 scope link metric 50'"));
	assert_true(ok(
		"ip -6 route show table 100000 | grep -q '^default dev hlink-a proto 83 metric 50'"));
	assert_true(ok("ip rule | grep -q '^5000:.*not from all fwmark 0x53 lookup 100 proto 83'"));
	assert_true(ok("ip -6 rule | grep -q '^5001:.*from all lookup 100000 proto 83'"));
	assert_true(ok("! ip -6 addr show dev hlink-a | grep -q '2001:db8.*tentative'"));
	/* The first address of its network goes, and takes neither the second nor a route along. */
	want.addresses[0] = want.addresses[1];
	memcpy(want.routes[0].source, want.addresses[1].ip, 16);
	want.addresses[1] = network("198.18.9.5/30");
	want.routes[1].metric = 52;
	want.rules[1].priority = 5002;
	assert_int_not_equal(apply(&want, 100), 0);
	want_no_step(&want, 100);
	assert_true(ok("! ip addr show dev hlink-a | grep -q 198.18.9.1/"));
	/* An address that changes its length; one that moves to another network. */
	want.addresses[0].prefix = 24;
	want.addresses[1] = network("198.18.8.1/30");
	want.addresses[2].prefix = 48;
	memcpy(want.routes[3].source, want.addresses[2].ip, 16);
	want.routes[3].has_source = true;
	assert_int_not_equal(apply(&want, 100), 0);
	want_no_step(&want, 100);
	/* Nothing stays behind. */
	assert_int_not_equal(apply(&none, 100), 0);
	want_no_step(&none, 100);
	assert_true(ok(
		"! { ip route show table all proto 83; ip -6 route show table all proto 83; } | grep -q ."));
	assert_true(ok("! { ip rule; ip -6 rule; } | grep -q 'lookup 100'"));
	assert_true(ok("! ip addr show dev hlink-a scope global | grep -q inet"));
	link_free(&want);
}

static void what_is_of_others_stays(void **state)
{
	struct link want = {.name = "hlink-a", .kind = LINK_WIREGUARD, .up = true};
	struct link_route r = route("203.0.113.0/24", 254, 50),
			  r6 = route("2001:db8:5::/48", 254, 50);
	struct link_step step = {.kind = LINK_STEP_ADD_ROUTE, .route = r};
	struct link_delta d = {.want = &want, .steps = &step, .n = 1};
	char why[160] = "";
	size_t failed = 9;

	(void)state;
	want_namespace();
	d.ifindex = if_nametoindex("hlink-a");
	assert_true(ok("ip route add 203.0.113.0/24 dev hlink-b metric 50 proto static"));
	assert_true(ok("ip -6 route add 2001:db8:5::/48 dev hlink-b metric 50 proto static"));
	assert_true(ok("ip route add 203.0.113.0/24 dev hlink-a metric 70 proto static"));
	assert_int_equal(link_send(&d, 0, 1, &failed, why, sizeof(why)), -EEXIST);
	assert_int_equal(failed, 0);
	assert_string_equal(why,
			    "a route to 203.0.113.0/24 with metric 50 is there that is not ours");
	step.route = r6;
	assert_int_equal(link_send(&d, 0, 1, &failed, why, sizeof(why)), -EEXIST);
	/* Rules to our table that are not ours, or that we did not make so. */
	assert_true(ok("ip rule add pref 5100 fwmark 0x53 lookup 100 proto 99"));
	assert_true(ok("ip rule add pref 5101 from 192.0.2.0/24 lookup 100 proto 83"));
	assert_true(ok("ip rule add pref 5101 fwmark 0x53/0xff lookup 100 proto 83"));
	want_no_step(&want, 100);
	assert_int_equal(link_remove_rules(100), 0);
	assert_true(ok("ip rule | grep -c 'lookup 100' | grep -qx 3"));
	assert_true(ok("ip rule del pref 5100 && ip rule del pref 5101 && ip rule del pref 5101"));
	assert_true(ok("ip route show 203.0.113.0/24 | grep -c static | grep -qx 2"));
	assert_true(ok("ip -6 route show 2001:db8:5::/48 | grep -q 'hlink-b proto static'"));
	assert_true(ok("ip route flush proto static && ip -6 route flush proto static"));
}

/* The kernel's own words arrive, and what is gone already is removed. */
static void refusals_are_told_in_the_kernels_words(void **state)
{
	struct link want = {.name = "hlink-a", .kind = LINK_WIREGUARD, .up = true};
	struct link_step steps[] = {
		{.kind = LINK_STEP_REMOVE_ROUTE, .route = route("203.0.113.0/24", 254, 50)},
		{.kind = LINK_STEP_REMOVE_ADDRESS, .address = network("198.18.9.1/30")},
		{.kind = LINK_STEP_REMOVE_RULE, .rule = {.family = 6, .priority = 1, .table = 77}},
		{.kind = LINK_STEP_ADD_ROUTE, .route = route("203.0.113.1/24", 254, 50)},
	};
	struct link_delta d = {.want = &want, .steps = steps, .n = COUNT(steps)};
	char why[160] = "";
	size_t failed = 0;

	(void)state;
	want_namespace();
	d.ifindex = if_nametoindex("hlink-a");
	assert_int_equal(link_send(&d, 0, d.n, &failed, why, sizeof(why)), -EINVAL);
	assert_int_equal(failed, 3);
	assert_string_equal(why, "Invalid prefix for given prefix length");
}

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
	/* A look-up that has the old route in hand at the moment when its last reference goes finds
	 * nothing (fib_dead in net/ipv4/fib_trie.c, ip6_rt_pcpu_alloc in net/ipv6/route.c): the
	 * kernel's, and rare. */
	for (unsigned int i = 0; i < 2; i++)
		assert_true(misses[i] <= 2 + looks / 500);
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

/* ---- questions ---- */

static void a_better_route_of_somebody_else_is_told(void **state)
{
	struct link_route r[] = {route("203.0.113.0/24", 254, 50),
				 route("2001:db8:5::/48", 254, 50)};
	uint32_t a;
	char why[256] = "";
	size_t done;

	(void)state;
	want_namespace();
	a = if_nametoindex("hlink-a");
	assert_int_equal(link_route_shadowed(&r[0], a, why, sizeof(why)), 1);
	assert_string_equal(why, "a packet to 203.0.113.1 finds no way: Network is unreachable");
	assert_int_equal(link_replace_routes(a, r, 2, &done), 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(link_route_shadowed(&r[i], a, why, sizeof(why)), 0);
	/* A part of it elsewhere is no shadow on all of it. */
	assert_true(ok("ip route add 203.0.113.0/25 dev hlink-b"));
	assert_int_equal(link_route_shadowed(&r[0], a, why, sizeof(why)), 0);
	assert_true(ok(
		"ip route add 203.0.113.0/24 dev hlink-b metric 10 && ip route del 203.0.113.0/25"));
	assert_true(ok("ip -6 route add 2001:db8:5::/48 dev hlink-b metric 10"));
	assert_int_equal(link_route_shadowed(&r[0], a, why, sizeof(why)), 1);
	assert_string_equal(why, "a packet to 203.0.113.1 goes through hlink-b, by the route to "
				 "203.0.113.0/24 with metric 10 of table 254");
	assert_int_equal(link_route_shadowed(&r[1], a, why, sizeof(why)), 1);
	assert_string_equal(why, "a packet to 2001:db8:5::1 goes through hlink-b, by the route to "
				 "2001:db8:5::/48 with metric 10 of table 254");
	assert_true(ok(
		"ip route del 203.0.113.0/24 metric 10 && ip route del 203.0.113.0/24 metric 50"));
	assert_true(ok("ip -6 route flush 2001:db8:5::/48"));
}

static void everything_may_be_shadowed_too(void **state)
{
	struct link_route r[] = {route("0.0.0.0/0", 254, 50), route("::/0", 254, 50)};
	char why[256] = "";
	uint32_t a;
	size_t done;

	(void)state;
	want_namespace();
	a = if_nametoindex("hlink-a");
	assert_int_equal(link_replace_routes(a, r, 2, &done), 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(link_route_shadowed(&r[i], a, why, sizeof(why)), 0);
	assert_true(ok("ip route add default dev hlink-b metric 5"));
	assert_int_equal(link_route_shadowed(&r[0], a, why, sizeof(why)), 1);
	assert_true(ok("ip route flush 0.0.0.0/0 && ip -6 route flush proto 83"));
}

static void the_mtu_is_of_the_way_to_the_endpoint(void **state)
{
	struct link_network endpoint = network("203.0.113.9/32"),
			    six = network("2001:db8:7::9/128");
	uint32_t mtu = 7;

	(void)state;
	want_namespace();
	assert_int_equal(link_mtu_towards(endpoint.ip, 0, 60, &mtu), -ENETUNREACH);
	assert_int_equal(mtu, 7);
	assert_true(ok(
		"ip route add 203.0.113.0/24 dev hlink-b && ip -6 route add 2001:db8:7::/48 dev hlink-b"));
	assert_int_equal(link_mtu_towards(endpoint.ip, 0, 60, &mtu), 0);
	assert_int_equal(mtu, 1440);
	assert_int_equal(link_mtu_towards(six.ip, 0, 80, &mtu), 0);
	assert_int_equal(mtu, 1420);
	assert_int_equal(link_mtu_towards(six.ip, 0, 1500, &mtu), -EMSGSIZE);
	/* What carries the mark has a way of its own. */
	assert_true(ok("ip route add 203.0.113.0/24 dev hlink-b mtu 1460 table 200 && "
		       "ip rule add fwmark 0x77 lookup 200"));
	assert_int_equal(link_mtu_towards(endpoint.ip, 0x77, 60, &mtu), 0);
	assert_int_equal(mtu, 1400);
	assert_int_equal(link_mtu_towards(network("127.0.0.1/32").ip, 0, 60, &mtu), -EINVAL);
	assert_true(ok("ip rule del fwmark 0x77 && ip route flush table 200 && "
		       "ip route del 203.0.113.0/24 && ip -6 route del 2001:db8:7::/48"));
}

static void rp_filter_is_loosened_only_where_it_is_strict(void **state)
{
	static const struct {
		int all, own, changed, then;
	} cases[] = {{0, 0, 0, 0}, {0, 1, 1, 2}, {0, 2, 0, 2},
		     {1, 0, 1, 2}, {1, 2, 0, 2}, {2, 0, 0, 0}};

	(void)state;
	want_namespace();
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (!ok("echo %d 2>/dev/null >/proc/sys/net/ipv4/conf/all/rp_filter && "
			"echo %d 2>/dev/null >/proc/sys/net/ipv4/conf/hlink-a/rp_filter",
			cases[i].all, cases[i].own)) {
			print_message("/proc/sys cannot be written here\n");
			skip();
		}
		assert_int_equal(link_loose_rp_filter("hlink-a"), cases[i].changed);
		assert_true(
			ok("grep -qx %d /proc/sys/net/ipv4/conf/hlink-a/rp_filter", cases[i].then));
	}
	assert_int_equal(link_loose_rp_filter("all"), -EINVAL);
	assert_int_equal(link_loose_rp_filter("../all"), -EINVAL);
	assert_int_equal(link_loose_rp_filter("hlink-none"), -ENOENT);
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

/* ---- real tunnels ---- */

static void made_and_unmade(struct link *want)
{
	struct link have;
	struct link_delta d;
	size_t failed;
	char why[160];
	int err;

	want_namespace();
	assert_int_equal(link_read(want->name, 0, &have), 0);
	assert_int_equal(link_diff(want, &have, &d), 0);
	assert_int_equal(d.steps[0].kind, LINK_STEP_MAKE);
	/* In parts, as when keys are set in between. */
	err = link_send(&d, 0, 1, &failed, why, sizeof(why));
	if (err == -EOPNOTSUPP) {
		link_delta_free(&d);
		print_message("this kernel has no such interface: %s\n", why);
		skip();
	}
	assert_int_equal(err, 0);
	assert_int_equal(link_send(&d, 1, d.n, &failed, why, sizeof(why)), 0);
	link_delta_free(&d);
	link_free(&have);
	want_no_step(want, 0);
}

static void wireguard_is_made(void **state)
{
	struct link have,
		want = {.name = "hlink-wg", .kind = LINK_WIREGUARD, .mtu = 1390, .up = true};
	struct link_route r = route("203.0.113.0/24", 254, 50);

	(void)state;
	put_address(&want, "198.18.9.1/30");
	put_address(&want, "2001:db8:9::1/64");
	assert_int_equal(link_add_route(&want, &r), 0);
	made_and_unmade(&want);
	assert_true(ok("ip -d link show hlink-wg | grep -q wireguard"));
	assert_int_equal(link_read("hlink-wg", 0, &have), 0);
	assert_int_equal(have.kind, LINK_WIREGUARD);
	assert_int_equal(have.mtu, 1390);
	link_free(&have);
	/* From one kind to another under the same name, if the kernel has it. */
	assert_int_equal(link_remove("hlink-wg"), 0);
	assert_int_equal(link_remove("hlink-wg"), -ENODEV);
	assert_true(ok("! ip route | grep -q 203.0.113"));
	link_free(&want);
}

static void xfrm_is_made_and_made_anew(void **state)
{
	struct link have,
		want = {.name = "hlink-xfrm", .kind = LINK_XFRM, .if_id = 0x80001234, .up = true};
	struct link_route r = route("2001:db8:77::/48", 254, 50);

	(void)state;
	put_address(&want, "198.18.9.1/30");
	put_address(&want, "2001:db8:9::1/64");
	assert_int_equal(link_add_route(&want, &r), 0);
	made_and_unmade(&want);
	assert_int_equal(link_read("hlink-xfrm", 0, &have), 0);
	assert_int_equal(have.kind, LINK_XFRM);
	assert_int_equal(have.if_id, 0x80001234);
	assert_int_equal(have.lower, 0);
	link_free(&have);
	want.if_id = 5;
	want.lower = if_nametoindex("hlink-b");
	assert_int_not_equal(apply(&want, 0), 0);
	want_no_step(&want, 0);
	assert_int_equal(link_read("hlink-xfrm", 0, &have), 0);
	assert_int_equal(have.if_id, 5);
	assert_int_equal(have.lower, want.lower);
	link_free(&have);
	assert_int_equal(link_remove("hlink-xfrm"), 0);
	link_free(&want);
}

/* A pattern of names to run only some. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_there_and_what_is_foreign_is_told),
		cmocka_unit_test(what_was_sent_is_read_and_seen_by_ip),
		cmocka_unit_test(what_is_of_others_stays),
		cmocka_unit_test(refusals_are_told_in_the_kernels_words),
		cmocka_unit_test(no_packet_is_without_a_route_in_a_failover),
		cmocka_unit_test(a_failover_goes_on_after_a_refusal),
		cmocka_unit_test(an_apply_takes_ours_from_another_tunnel),
		cmocka_unit_test(a_better_route_of_somebody_else_is_told),
		cmocka_unit_test(everything_may_be_shadowed_too),
		cmocka_unit_test(the_mtu_is_of_the_way_to_the_endpoint),
		cmocka_unit_test(rp_filter_is_loosened_only_where_it_is_strict),
		cmocka_unit_test(an_interface_may_vanish_while_it_is_read),
		cmocka_unit_test(wireguard_is_made),
		cmocka_unit_test(xfrm_is_made_and_made_anew),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("link_kernel", tests, fresh_namespace, NULL);
}
