/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Against the kernel that runs: in a network namespace of its own, with veth devices in the place
 * of tunnels where it has none. For others: tools/vm run KERNEL -- build/tests/unit_link_kernel.
 * What goes on while somebody else looks: test_link_moving.c.
 */
#include "tests/unit/link_rig.h"

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
		cmocka_unit_test(a_better_route_of_somebody_else_is_told),
		cmocka_unit_test(everything_may_be_shadowed_too),
		cmocka_unit_test(the_mtu_is_of_the_way_to_the_endpoint),
		cmocka_unit_test(rp_filter_is_loosened_only_where_it_is_strict),
		cmocka_unit_test(wireguard_is_made),
		cmocka_unit_test(xfrm_is_made_and_made_anew),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("link_kernel", tests, fresh_namespace, NULL);
}
