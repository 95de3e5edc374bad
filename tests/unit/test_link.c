/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "wg/link.h"

/* An address with its host bits, or a network: "198.18.9.1/30". */
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

static struct link_route route(const char *to, uint32_t metric)
{
	return (struct link_route){.to = network(to), .table = 254, .metric = metric};
}

static struct link_route from(struct link_route r, const char *source)
{
	struct link_network n = network(source);

	memcpy(r.source, n.ip, sizeof(r.source));
	r.has_source = true;
	return r;
}

/* A tunnel as it may be: up, with addresses, routes and rules of both families. */
static void fill(struct link *l)
{
	static const char *const addresses[] = {"198.18.9.1/30", "2001:db8:9::1/64"};
	struct link_route with = from(route("198.51.100.0/24", 50), "198.18.9.1/30");
	struct link_route plain = route("2001:db8:10::/48", 50);
	struct link_rule rule = {
		.family = 4, .priority = 5000, .table = 100, .fwmark = 0x53, .invert = true};

	memset(l, 0, sizeof(*l));
	strcpy(l->name, "wg-aws");
	l->kind = LINK_WIREGUARD;
	l->ifindex = 7;
	l->mtu = 1420;
	l->up = true;
	for (size_t i = 0; i < 2; i++) {
		struct link_network a = network(addresses[i]);

		assert_int_equal(link_add_address(l, &a), 0);
	}
	assert_int_equal(link_add_route(l, &with), 0);
	assert_int_equal(link_add_route(l, &plain), 0);
	assert_int_equal(link_add_rule(l, &rule), 0);
}

/* The steps in words, one after the other. */
static void expect(const struct link *want, const struct link *have, const char *steps)
{
	struct link_delta d;
	char all[2048] = "";

	assert_int_equal(link_diff(want, have, &d), 0);
	for (size_t i = 0; i < d.n; i++) {
		char text[256];

		link_step_text(&d, &d.steps[i], text, sizeof(text));
		strcat(strcat(all, i ? "; " : ""), text);
	}
	assert_string_equal(all, steps);
	link_delta_free(&d);
}

static void what_agrees_needs_no_step(void **state)
{
	struct link want, have;

	(void)state;
	fill(&want);
	fill(&have);
	have.rx_bytes = 12345;
	have.carrier = true;
	expect(&want, &have, "");
	want.mtu = 0; /* as it is */
	have.mtu = 1300;
	expect(&want, &have, "");
	link_free(&want);
	link_free(&have);
}

static void what_is_not_there_is_made_in_an_order_that_the_kernel_takes(void **state)
{
	struct link want, have = {.name = "wg-aws"};

	(void)state;
	fill(&want);
	expect(&want, &have,
	       "interface wg-aws, wireguard; MTU 1420; address 198.18.9.1/30; "
	       "address 2001:db8:9::1/64; up; route 198.51.100.0/24 metric 50 source 198.18.9.1; "
	       "route 2001:db8:10::/48 metric 50; IPv4 rule 5000: not fwmark 0x53 lookup 100");
	want.up = false; /* no route goes through what is down */
	expect(&want, &have,
	       "interface wg-aws, wireguard; MTU 1420; address 198.18.9.1/30; "
	       "address 2001:db8:9::1/64; IPv4 rule 5000: not fwmark 0x53 lookup 100");
	link_free(&want);
}

static void a_foreign_interface_is_refused(void **state)
{
	struct link want, have;
	struct link_delta d;

	(void)state;
	fill(&want);
	fill(&have);
	have.kind = LINK_OTHER;
	assert_int_equal(link_diff(&want, &have, &d), -EEXIST);
	assert_int_equal(d.n, 0);
	link_free(&want);
	link_free(&have);
}

static void another_if_id_lower_or_kind_makes_it_anew(void **state)
{
	struct link want = {.name = "ipsec-aws", .kind = LINK_XFRM, .if_id = 0x1234, .up = true};
	struct link have = want;
	struct link_route r = route("198.51.100.0/24", 50), old = route("203.0.113.0/24", 50);
	const char *anew =
		"remove interface ipsec-aws; interface ipsec-aws, xfrm if_id 0x1234; up; "
		"route 198.51.100.0/24 metric 50";

	(void)state;
	have.ifindex = 9;
	have.if_id = 0x1235;
	assert_int_equal(link_add_route(&want, &r), 0);
	assert_int_equal(link_add_route(&have, &r), 0);
	assert_int_equal(link_add_route(&have, &old), 0); /* goes with the interface */
	expect(&want, &have, anew);
	have.if_id = want.if_id;
	have.lower = 2;
	expect(&want, &have, anew);
	have.kind = LINK_WIREGUARD;
	have.lower = 0;
	have.if_id = 0;
	expect(&want, &have, anew);
	link_free(&want);
	link_free(&have);
}

static void single_changes_are_single_steps(void **state)
{
	struct link want, have;

	(void)state;
	fill(&want);
	fill(&have);
	have.mtu = 1280;
	expect(&want, &have, "MTU 1420");
	have.mtu = 1420;

	want.routes[0].mtu = 1300;
	expect(&want, &have, "route 198.51.100.0/24 metric 50 source 198.18.9.1 MTU 1300");
	want.routes[0].mtu = 0;

	/* The new is there before the old goes. */
	want.routes[1].metric = 60;
	expect(&want, &have,
	       "route 2001:db8:10::/48 metric 60; remove route 2001:db8:10::/48 metric 50");
	want.routes[1].metric = 50;
	want.routes[1].table = 100;
	expect(&want, &have,
	       "route 2001:db8:10::/48 table 100 metric 50; remove route 2001:db8:10::/48 metric 50");
	want.routes[1].table = 254;
	want.rules[0].invert = false;
	expect(&want, &have,
	       "IPv4 rule 5000: fwmark 0x53 lookup 100; "
	       "remove IPv4 rule 5000: not fwmark 0x53 lookup 100");
	want.rules[0].invert = true;

	want.up = false;
	want.n_routes = 0;
	have.n_routes = 0;
	expect(&want, &have, "down");
	link_free(&want);
	link_free(&have);
}

static void a_device_that_went_down_lost_its_routes(void **state)
{
	struct link want, have;

	(void)state;
	fill(&want);
	fill(&have);
	have.up = false;
	expect(&want, &have,
	       "up; route 198.51.100.0/24 metric 50 source 198.18.9.1; "
	       "route 2001:db8:10::/48 metric 50");
	link_free(&want);
	link_free(&have);
}

static void what_an_address_takes_along_is_put_back(void **state)
{
	struct link want, have;
	struct link_network second = network("198.18.9.2/30"), third = network("198.18.7.1/30");
	struct link_network local = network("fe80::1/64");

	(void)state;
	fill(&want);
	fill(&have);
	/* One that can stand beside the old comes first, and takes nothing along. */
	want.addresses[0].prefix = 24;
	expect(&want, &have, "address 198.18.9.1/24; remove address 198.18.9.1/30");
	want.addresses[0] = network("198.18.8.1/30");
	want.routes[0].has_source = have.routes[0].has_source = false;
	expect(&want, &have, "address 198.18.8.1/30; remove address 198.18.9.1/30");
	/* Of the same network: with the last IPv4 address all IPv4 routes go. */
	want.addresses[0] = second;
	expect(&want, &have,
	       "remove address 198.18.9.1/30; address 198.18.9.2/30; "
	       "route 198.51.100.0/24 metric 50");
	assert_int_equal(link_add_address(&have, &second), 0);
	expect(&want, &have,
	       "remove address 198.18.9.1/30; address 198.18.9.2/30; "
	       "route 198.51.100.0/24 metric 50");
	/* With another that stays, only what prefers it. */
	assert_int_equal(link_add_address(&want, &third), 0);
	assert_int_equal(link_add_address(&have, &third), 0);
	expect(&want, &have, "remove address 198.18.9.1/30; address 198.18.9.2/30");
	memcpy(want.routes[0].source, second.ip, sizeof(second.ip));
	want.routes[0].has_source = have.routes[0].has_source = true;
	have.routes[0] = want.routes[0];
	expect(&want, &have,
	       "remove address 198.18.9.1/30; address 198.18.9.2/30; "
	       "route 198.51.100.0/24 metric 50 source 198.18.9.2");
	want.routes[0].has_source = have.routes[0].has_source = false;
	/* An IPv6 address has one prefix only. */
	want.addresses[0] = have.addresses[0];
	assert_int_equal(link_add_address(&want, &second), 0);
	want.addresses[1].prefix = 48;
	memcpy(want.routes[1].source, want.addresses[1].ip, 16);
	want.routes[1].has_source = true;
	have.routes[1] = want.routes[1];
	expect(&want, &have,
	       "remove address 2001:db8:9::1/64; address 2001:db8:9::1/48; "
	       "route 2001:db8:10::/48 metric 50 source 2001:db8:9::1");
	want.addresses[1].prefix = 64;
	assert_int_equal(link_add_address(&have, &local), 0);
	expect(&want, &have, ""); /* a link-local one may be the kernel's */
	assert_int_equal(link_add_address(&want, &local), 0);
	expect(&want, &have, "");
	link_free(&want);
	link_free(&have);
}

static void thousands_of_routes_are_told_apart(void **state)
{
	enum { N = 5000 };
	struct link want = {.name = "wg-aws", .kind = LINK_WIREGUARD, .up = true};
	struct link have = want;
	struct link_delta d;

	(void)state;
	for (unsigned int i = 0; i < N; i++) {
		char text[32];
		struct link_route r;

		snprintf(text, sizeof(text), "198.%u.%u.0/24", 18 + i / 256, i % 256);
		r = route(text, 50);
		assert_int_equal(link_add_route(&want, &r), 0);
		snprintf(text, sizeof(text), "198.%u.%u.0/24", 18 + (N - 1 - i) / 256,
			 (N - 1 - i) % 256);
		r = route(text, i == 77 ? 51 : 50);
		assert_int_equal(link_add_route(&have, &r), 0);
	}
	assert_int_equal(link_diff(&want, &have, &d), 0);
	assert_int_equal(d.n, 2);
	assert_int_equal(d.steps[0].kind, LINK_STEP_ADD_ROUTE);
	assert_int_equal(d.steps[1].kind, LINK_STEP_REMOVE_ROUTE);
	assert_int_equal(d.steps[1].route.metric, 51);
	link_delta_free(&d);
	link_free(&want);
	link_free(&have);
}

static void a_short_buffer_gets_a_short_text(void **state)
{
	struct link want = {.name = "wg-aws", .kind = LINK_WIREGUARD};
	struct link_delta d = {.want = &want};
	struct link_step s = {.kind = LINK_STEP_REMOVE_ROUTE};
	char text[12] = "";

	(void)state;
	s.route = route("0.0.0.0/0", 50);
	assert_string_equal(link_step_text(&d, &s, text, sizeof(text)), "remove rout");
	assert_ptr_equal(link_step_text(&d, &s, text, 0), text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_agrees_needs_no_step),
		cmocka_unit_test(what_is_not_there_is_made_in_an_order_that_the_kernel_takes),
		cmocka_unit_test(a_foreign_interface_is_refused),
		cmocka_unit_test(another_if_id_lower_or_kind_makes_it_anew),
		cmocka_unit_test(single_changes_are_single_steps),
		cmocka_unit_test(a_device_that_went_down_lost_its_routes),
		cmocka_unit_test(what_an_address_takes_along_is_put_back),
		cmocka_unit_test(thousands_of_routes_are_told_apart),
		cmocka_unit_test(a_short_buffer_gets_a_short_text),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
