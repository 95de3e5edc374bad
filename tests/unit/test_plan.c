/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_plan.c - the plan: what is refused, what overrides it, and the steps
 *
 * tests/golden/conf/base.yaml on a made-up host where nothing speaks against it; every case changes
 * one fact. Run from the root of the tree. All cases share that host, hence one file of 600 lines.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/conf/plan.h"

#define ETH0 2u
#define ETH1 3u

struct fixture {
	struct config *c;
	struct conf_errors errors;
	struct plan_host host;
	struct host_address address[8];
	struct host_link link[8];
	struct host_route route[8];
	struct plan_load load;
	struct plan_report report;
};

/* ---- the host ---- */

static void set_ip(uint32_t ret[4], const char *text)
{
	uint32_t v4[4] = {0, 0, htonl(0xffff), 0};

	if (inet_pton(AF_INET, text, &v4[3]) == 1)
		memcpy(ret, v4, sizeof(v4));
	else
		assert_int_equal(inet_pton(AF_INET6, text, ret), 1);
}

static struct host_address *add_address(struct fixture *f, const char *ip, uint8_t prefix,
					uint32_t ifindex)
{
	struct host_address *a = &f->address[f->host.host.n_addresses++];

	set_ip(a->ip, ip);
	a->family = strchr(ip, ':') ? 6 : 4;
	a->prefix = prefix;
	a->ifindex = ifindex;
	return a;
}

static struct host_link *add_link(struct fixture *f, const char *name, uint32_t ifindex)
{
	struct host_link *l = &f->link[f->host.host.n_links++];

	strcpy(l->name, name);
	l->ifindex = ifindex;
	l->up = true;
	l->bits = 10000000000;
	return l;
}

static void add_route(struct fixture *f, const char *to, uint8_t prefix, uint32_t ifindex)
{
	struct host_route *r = &f->route[f->host.host.n_routes++];

	set_ip(r->to, to);
	r->family = strchr(to, ':') ? 6 : 4;
	r->prefix = prefix;
	r->ifindex = ifindex;
}

static void resolve(struct fixture *f, unsigned int backend, const char *ip)
{
	struct plan_name *name = &f->host.backend[backend];

	name->ifindex[name->to.n] = ETH0;
	set_ip(name->to.address[name->to.n++], ip);
}

static void list_interface(struct fixture *f, const char *name)
{
	struct conf_interface *i = &f->c->interfaces[f->c->n_interfaces++];

	i->at = (struct conf_at){4, 20};
	strcpy(i->name, name);
}

static struct fixture *make(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	FILE *file = fopen("tests/golden/conf/base.yaml", "re");
	char text[16384];
	size_t size;

	assert_non_null(f);
	assert_non_null(file);
	size = fread(text, 1, sizeof(text), file);
	fclose(file);
	assert_int_equal(conf_parse("shift.yaml", text, size, &f->c, &f->errors), 0);
	f->host.host.addresses = f->address;
	f->host.host.links = f->link;
	f->host.host.routes = f->route;
	f->host.host.port_lo = 32768;
	f->host.host.port_hi = 65535;
	add_link(f, "lo", 1)->loopback = true;
	add_link(f, "eth0", ETH0);
	add_address(f, "203.0.113.10", 24, ETH0);
	add_address(f, "2001:db8::10", 64, ETH0);
	add_route(f, "0.0.0.0", 0, ETH0);
	add_route(f, "::", 0, ETH0);
	resolve(f, 0, "52.1.2.3");
	resolve(f, 1, "20.1.2.3");
	resolve(f, 2, "2001:db8:1::3");
	for (unsigned int i = 1; i < 3; i++) {
		f->host.gate[i].to.n = 1;
		set_ip(f->host.gate[i].to.address[0], "198.51.100.77");
	}
	return f;
}

static void drop(struct fixture *f)
{
	conf_errors_free(&f->errors);
	conf_free(f->c);
	free(f);
}

static unsigned int check(struct fixture *f, unsigned int overrides)
{
	return plan_check(f->c, &f->host, &f->load, overrides, &f->report);
}

/* The finding of a rule; NULL: there is none. */
static const struct plan_finding *found(const struct fixture *f, enum plan_rule rule)
{
	for (unsigned int i = 0; i < f->report.n_findings; i++)
		if (f->report.finding[i].rule == rule)
			return &f->report.finding[i];
	return NULL;
}

static void a_good_host_is_not_refused(void **state)
{
	struct fixture *f = make();

	(void)state;
	assert_int_equal(check(f, 0), 0);
	for (unsigned int i = 0; i < f->report.n_findings; i++)
		print_error("%s\n", f->report.finding[i].text);
	assert_int_equal(f->report.n_findings, 0);
	drop(f);
}

/* ---- refusals ---- */

static void no_v6_backend(struct fixture *f)
{
	f->host.backend[2].to.n = 0;
}

static void v6_backend_without_weight(struct fixture *f)
{
	f->c->backends[2].weight = 0;
}

static void no_v6_nat(struct fixture *f)
{
	f->c->n_nat = 1;
}

static void other_port(struct fixture *f)
{
	f->c->backends[0].port = 8443;
}

static void target_at_listen_address(struct fixture *f)
{
	f->c->dns.given = false;
	f->c->backends[1].port = 8443;
	set_ip(f->host.backend[1].to.address[0], "203.0.113.10");
}

static void target_at_local_address(struct fixture *f)
{
	add_address(f, "192.0.2.7", 24, ETH0);
	set_ip(f->host.backend[1].to.address[0], "192.0.2.7");
}

static void target_by_name_at_the_loopback(struct fixture *f)
{
	set_ip(f->host.backend[1].to.address[0], "127.0.0.1");
}

static void target_at_an_old_host(struct fixture *f)
{
	set_ip(f->c->dns.old[f->c->dns.n_old++].ip, "203.0.113.11");
	resolve(f, 1, "203.0.113.11");
}

static void target_at_a_listener(struct fixture *f)
{
	resolve(f, 1, "203.0.113.10");
}

static void nat_elsewhere(struct fixture *f)
{
	set_ip(f->c->nat[0].ip, "203.0.113.99");
}

static void nat_of_keepalived(struct fixture *f)
{
	f->address[0].origin = HOST_ORIGIN_KEEPALIVED;
}

static void nat_on_a_virtual_mac(struct fixture *f)
{
	f->link[1].vrrp_mac = true;
	f->c->nat[0].family = 0; /* IPv6 alone, so that one finding comes */
	memmove(&f->c->nat[0], &f->c->nat[1], sizeof(f->c->nat[0]));
	f->c->n_nat = 1;
	f->c->n_listens = 1;
	f->c->listens[0] = f->c->listens[1];
}

static void nat_secondary_beside_vrrp(struct fixture *f)
{
	f->host.host.vrrp = true;
	f->address[0].secondary = true;
}

static void nat_alone_beside_vrrp(struct fixture *f)
{
	f->host.host.vrrp = true;
	f->address[1].prefix = 128;
}

static void gate_at_the_loopback(struct fixture *f)
{
	set_ip(f->host.gate[2].to.address[0], "::1");
}

static void gate_at_this_host(struct fixture *f)
{
	add_address(f, "10.0.0.5", 24, ETH0);
	set_ip(f->host.gate[2].to.address[0], "10.0.0.5");
}

static void gate_at_the_service_s_name(struct fixture *f)
{
	set_ip(f->host.gate[2].to.address[0], "203.0.113.10");
}

static void second_default_route(struct fixture *f)
{
	add_link(f, "eth1", ETH1);
	add_route(f, "0.0.0.0", 0, ETH1);
}

static void route_to_a_backend(struct fixture *f)
{
	strcpy(add_link(f, "wg0", ETH1)->kind, "wireguard");
	add_route(f, "20.1.0.0", 16, ETH1);
}

static void way_to_a_backend(struct fixture *f)
{
	add_link(f, "eth1", ETH1);
	f->host.backend[0].ifindex[0] = ETH1;
}

static void half_a_bond(struct fixture *f)
{
	/* bond0 = eth0 + eth1, routes over bond0, eth0 alone is listed */
	strcpy(add_link(f, "bond0", 10)->kind, "bond");
	f->link[1].master = 10;
	add_link(f, "eth1", ETH1)->master = 10;
	f->route[0].ifindex = 10;
}

static void vlan_and_its_device(struct fixture *f)
{
	struct host_link *l = add_link(f, "eth0.7", 10);

	strcpy(l->kind, "vlan");
	l->lower = ETH0;
	list_interface(f, "eth0.7");
}

static void vlan_on_bond_and_its_part(struct fixture *f)
{
	struct host_link *l = add_link(f, "bond0", 10);

	strcpy(l->kind, "bond");
	f->link[1].master = 10;
	l = add_link(f, "bond0.7", 11);
	strcpy(l->kind, "vlan");
	l->lower = 10;
	list_interface(f, "bond0.7");
}

static void bridge_and_its_port(struct fixture *f)
{
	strcpy(add_link(f, "br0", 10)->kind, "bridge");
	f->link[1].master = 10;
	list_interface(f, "br0");
}

static void four_of_ten_gigabits(struct fixture *f)
{
	f->load.up = f->load.down = 4000000000;
}

static void no_such_interface(struct fixture *f)
{
	list_interface(f, "eth7");
}

static void xdp_without_ethernet(struct fixture *f)
{
	f->c->hook = CONF_HOOK_XDP;
	f->link[1].bare = true;
}

static void xdp_taken(struct fixture *f)
{
	f->c->hook = CONF_HOOK_XDP;
	f->host.xdp_taken[0] = true;
}

static void too_many_ways(struct fixture *f)
{
	while (f->c->n_nat < 40)
		f->c->nat[f->c->n_nat++] = f->c->nat[0];
	resolve(f, 1, "20.1.2.4");
}

struct refusal {
	const char *name;
	void (*change)(struct fixture *f);
	enum plan_rule rule;
	const char *complaint; /* begins so, place included */
};

static const struct refusal refusals[] = {
	{"a family without a backend", no_v6_backend, PLAN_MISSING_FAMILY,
	 "3:32: listen[1]: IPv6 is listened on, and no backend with a weight has an IPv6 address"},
	{"a family whose backends weigh nothing", v6_backend_without_weight, PLAN_MISSING_FAMILY,
	 "3:32: listen[1]: IPv6 is listened on, and no backend with a weight"},
	{"a family without a NAT address", no_v6_nat, PLAN_MISSING_FAMILY,
	 "3:32: listen[1]: IPv6 is listened on, and nat.addresses has no IPv6 address"},
	{"a port that DNS cannot move", other_port, PLAN_PORT_CHANGE,
	 "16:13: backends[0].target: port 8443 is not the port 443 of listen[0]"},
	{"a target at the listen address", target_at_listen_address, PLAN_SELF_TARGET,
	 "20:27: backends[1].target: 203.0.113.10:8443 is at the address of listen[0]"},
	{"a target at an address of this host", target_at_local_address, PLAN_SELF_TARGET,
	 "20:27: backends[1].target: 192.0.2.7:443 is an address of this host"},
	{"a target whose name is the loopback's", target_by_name_at_the_loopback, PLAN_SELF_TARGET,
	 "20:27: backends[1].target: 127.0.0.1:443 is an address of this host"},
	{"a target at another old host", target_at_an_old_host, PLAN_SELF_TARGET,
	 "20:27: backends[1].target: 203.0.113.11:443 is an address of dns.old"},
	{"a target that is a listener", target_at_a_listener, PLAN_LOOP,
	 "20:27: backends[1].target: 203.0.113.10:443 is listen[0] itself"},
	{"a NAT address of another host", nat_elsewhere, PLAN_FOREIGN_NAT,
	 "11:15: nat.addresses[0]: 203.0.113.99 is not on this host"},
	{"a NAT address of keepalived", nat_of_keepalived, PLAN_FLOATING_NAT,
	 "11:15: nat.addresses[0]: 203.0.113.10 floats (keepalived added it)"},
	{"a NAT address on a virtual router's MAC", nat_on_a_virtual_mac, PLAN_FLOATING_NAT,
	 "11:29: nat.addresses[0]: 2001:db8::10 floats (it is on a virtual router's MAC)"},
	{"a secondary NAT address beside VRRP", nat_secondary_beside_vrrp, PLAN_FLOATING_NAT,
	 "11:15: nat.addresses[0]: 203.0.113.10 floats (VRRP is spoken here and it is a secondary"},
	{"a lone NAT address beside VRRP", nat_alone_beside_vrrp, PLAN_FLOATING_NAT,
	 "11:29: nat.addresses[1]: 2001:db8::10 floats (VRRP is spoken here and it is a network"},
	{"a gate at the loopback", gate_at_the_loopback, PLAN_LOCAL_GATE,
	 "57:25: gates[2].source: api.example is the loopback: it would judge the old arm"},
	{"a gate at this host", gate_at_this_host, PLAN_LOCAL_GATE,
	 "57:25: gates[2].source: api.example is an address of this host"},
	{"a gate at the service's own name", gate_at_the_service_s_name, PLAN_LOCAL_GATE,
	 "57:25: gates[2].source: api.example is the listen address"},
	{"an interface with a default route", second_default_route, PLAN_UNLISTED_INTERFACE,
	 "4:14: interfaces: eth1 is up, has a default route and is not listed"},
	{"a tunnel with a route to a backend", route_to_a_backend, PLAN_UNLISTED_INTERFACE,
	 "4:14: interfaces: wg0 is up, has a route to a backend and is not listed"},
	{"an interface that is the way to a backend", way_to_a_backend, PLAN_UNLISTED_INTERFACE,
	 "4:14: interfaces: eth1 is up, has the way to a backend and is not listed"},
	{"a bond of which one part is listed", half_a_bond, PLAN_UNLISTED_INTERFACE,
	 "4:14: interfaces: bond0 is up, has a default route and is not listed"},
	{"a VLAN and its device", vlan_and_its_device, PLAN_DOUBLE_PASS,
	 "4:20: interfaces[1]: eth0.7 is on top of eth0"},
	{"a VLAN on a bond and a part of the bond", vlan_on_bond_and_its_part, PLAN_DOUBLE_PASS,
	 "4:20: interfaces[1]: bond0.7 is on top of eth0"},
	{"a bridge and its port", bridge_and_its_port, PLAN_DOUBLE_PASS,
	 "4:20: interfaces[1]: br0 is on top of eth0"},
	{"a link that would be full", four_of_ten_gigabits, PLAN_UPLINK_LOAD,
	 "4:14: interfaces: from weight 100 on, eth0 would carry more than 70% of its 10 Gbit/s (8 "
	 "Gbit/s at the last stage)"},
	{"an interface that is not there", no_such_interface, PLAN_NO_INTERFACE,
	 "4:20: interfaces[1]: there is no interface eth7"},
	{"XDP without Ethernet", xdp_without_ethernet, PLAN_NO_XDP,
	 "5:7: hook: eth0 has no Ethernet header, which XDP needs"},
	{"XDP where another is", xdp_taken, PLAN_NO_XDP, "5:7: hook: eth0 has another XDP program"},
	{"more ways than the tables hold", too_many_ways, PLAN_TOO_MANY,
	 "20:5: backends: azure has 78 ways in IPv4"},
};

static void each_rule_refuses_and_only_its_own_flag_overrides_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		const struct refusal *r = &refusals[i];
		struct fixture *f = make();
		const struct plan_finding *finding;
		char got[CONF_TEXT + 128];
		bool flagged = r->rule < PLAN_OVERRIDABLE;
		unsigned int all = (1u << PLAN_OVERRIDABLE) - 1;
		unsigned int own = flagged ? PLAN_OVERRIDE(r->rule) : 0;

		r->change(f);
		if (check(f, 0) != 1)
			print_error("%s: %u refusals\n", r->name, f->report.refused);
		assert_int_equal(f->report.refused, 1);
		finding = found(f, r->rule);
		if (!finding)
			print_error("%s: another rule refuses: %s\n", r->name,
				    f->report.finding[0].text);
		assert_non_null(finding);
		assert_true(finding->refused);
		snprintf(got, sizeof(got), "%u:%u: %s: %s", finding->at.line, finding->at.column,
			 finding->key, finding->text);
		if (strncmp(got, r->complaint, strlen(r->complaint)))
			print_error("%s\nwanted %s\ngot    %s\n", r->name, r->complaint, got);
		assert_memory_equal(got, r->complaint, strlen(r->complaint));
		/* every other flag together does not help, its own does */
		assert_int_equal(check(f, all & ~own), 1);
		assert_int_equal(check(f, own), flagged ? 0 : 1);
		finding = found(f, r->rule);
		assert_non_null(finding);
		assert_int_equal(finding->refused, !flagged);
		drop(f);
	}
}

static void complaints_name_the_flag(void **state)
{
	struct fixture *f = make();
	struct conf_errors errors = {0};

	(void)state;
	nat_elsewhere(f);
	target_at_a_listener(f);
	assert_int_equal(check(f, 0), 2);
	plan_complain(&f->report, &errors);
	assert_int_equal(conf_errors_count(&errors), 2);
	assert_string_equal(errors.error[0].text,
			    "nat.addresses[0]: 203.0.113.99 is not on this host: backends would "
			    "answer elsewhere; --allow-foreign-nat-address overrides this");
	assert_string_equal(
		errors.error[1].text,
		"backends[1].target: 203.0.113.10:443 is listen[0] itself: what is shifted "
		"there would be shifted again, for ever; nothing overrides this");
	conf_errors_free(&errors);
	assert_int_equal(check(f, PLAN_OVERRIDE(PLAN_FOREIGN_NAT)), 1);
	plan_complain(&f->report, &errors);
	assert_true(errors.error[0].warning);
	assert_non_null(strstr(errors.error[0].text, "; allowed by --allow-foreign-nat-address"));
	conf_errors_free(&errors);
	for (int i = 0; i < PLAN_OVERRIDABLE; i++)
		assert_memory_equal(plan_flags[i], "--allow-", 8);
	assert_null(plan_flags[PLAN_OVERRIDABLE]);
	drop(f);
}

/* ---- what is no refusal ---- */

static void ports_moved(struct fixture *f)
{
	f->c->dns.given = false;
	f->c->backends[0].port = 8443;
}

static void gate_of_the_old_arm(struct fixture *f)
{
	f->c->gates[2].arm = CONF_ARM_OLD;
	gate_at_the_loopback(f);
}

static void gate_via_a_backend(struct fixture *f)
{
	set_ip(f->host.gate[1].to.address[0], "203.0.113.10");
}

static void second_link_is_down(struct fixture *f)
{
	second_default_route(f);
	f->link[2].up = false;
}

static void vlan_over_a_listed_device(struct fixture *f)
{
	struct host_link *l = add_link(f, "eth0.7", 10);

	strcpy(l->kind, "vlan");
	l->lower = ETH0;
	f->route[0].ifindex = 10;
}

static void bond_of_listed_parts(struct fixture *f)
{
	half_a_bond(f);
	list_interface(f, "eth1");
}

static void vrf_and_its_link(struct fixture *f)
{
	strcpy(add_link(f, "vrf0", 10)->kind, "vrf");
	f->link[1].master = 10;
	list_interface(f, "vrf0");
}

static void lone_address_without_vrrp(struct fixture *f)
{
	f->address[0].prefix = 32;
	f->address[0].secondary = true;
}

static void three_of_ten_gigabits(struct fixture *f)
{
	f->load.up = f->load.down = 3000000000;
}

static void v6_cannot_be_asked(struct fixture *f)
{
	no_v6_backend(f);
	f->host.backend[1].to.missing[1] = true;
}

static void sensible_hosts_are_not_refused(void **state)
{
	static const struct {
		const char *name;
		void (*change)(struct fixture *f);
	} table[] = {
		{"another port when DNS is not changed", ports_moved},
		{"a loopback gate of the old arm", gate_of_the_old_arm},
		{"the service's own name via a backend", gate_via_a_backend},
		{"an unlisted interface that is down", second_link_is_down},
		{"a VLAN whose device is listed", vlan_over_a_listed_device},
		{"a bond of which all parts are listed", bond_of_listed_parts},
		{"a VRF and its link", vrf_and_its_link},
		{"a /32 where nobody speaks VRRP", lone_address_without_vrrp},
		{"a link at 60 %", three_of_ten_gigabits},
		{"a family that could not be asked for", v6_cannot_be_asked},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct fixture *f = make();

		table[i].change(f);
		if (check(f, 0))
			print_error("%s: %s\n", table[i].name, f->report.finding[0].text);
		assert_int_equal(f->report.refused, 0);
		drop(f);
	}
}

static void what_is_left_unsaid_is_warned_of(void **state)
{
	struct fixture *f = make();

	(void)state;
	f->c->backends[1].client_address = CONF_CLIENT_UNSTATED;
	f->c->bypass_given = false;
	f->c->timeouts.port_quarantine = 1000;
	f->c->stages[2].weight = 7500;
	f->address[0].leased = true;
	f->host.host.port_lo = 20000;
	f->host.host.port_hi = 60999;
	f->host.backend[1].err = -EAGAIN;
	assert_int_equal(check(f, 0), 0);
	assert_int_equal(f->report.n_findings, 7);
	drop(f);
}

/* ---- steps ---- */

static void the_steps_are_in_the_order_of_a_cutover(void **state)
{
	static const char *const wanted[] = {
		"preflight:",
		"shiftctl apply:",
		"shiftctl weight 10 ",
		"shiftctl weight 12.5;",
		"shiftctl weight 100",
		"shiftctl commit",
		"soak at 100%",
		"DNS: api.example",
		"the old hosts keep forwarding",
		"retire: shiftctl detach",
	};
	struct fixture *f = make();

	(void)state;
	check(f, 0);
	assert_int_equal(f->report.n_steps, sizeof(wanted) / sizeof(*wanted));
	for (unsigned int i = 0; i < f->report.n_steps; i++)
		assert_memory_equal(f->report.step[i], wanted[i], strlen(wanted[i]));
	drop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_host_is_not_refused),
		cmocka_unit_test(each_rule_refuses_and_only_its_own_flag_overrides_it),
		cmocka_unit_test(complaints_name_the_flag),
		cmocka_unit_test(sensible_hosts_are_not_refused),
		cmocka_unit_test(what_is_left_unsaid_is_warned_of),
		cmocka_unit_test(the_steps_are_in_the_order_of_a_cutover),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
