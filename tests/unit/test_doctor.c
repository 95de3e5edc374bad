/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_doctor.c - facts in, findings out
 *
 * tests/golden/conf/base.yaml on a made-up host where nothing hurts; every case changes one fact
 * and says what must then be found. Run from the root of the tree.
 */
#include "tests/unit/doctor_host.h"

/* ---- what speaks against it ---- */

static void kernel_5_4(struct fixture *x)
{
	x->f.kernel.major = 5;
	x->f.kernel.minor = 4;
}

static void root_without_bpf(struct fixture *x)
{
	x->f.kernel.load_err = -EPERM;
}

static void no_bpf(struct fixture *x)
{
	x->f.kernel.load_err = -ENOSYS;
}

static void no_jit(struct fixture *x)
{
	x->f.kernel.jit = DOCTOR_NO;
}

static void no_helper(struct fixture *x)
{
	strcpy(x->f.kernel.lacking, "bpf_redirect_neigh");
}

static void not_verified(struct fixture *x)
{
	x->f.kernel.verified = DOCTOR_NO;
	strcpy(x->f.kernel.complaint, "R1 invalid mem access");
}

static void no_hook(struct fixture *x)
{
	x->f.kernel.tcx = x->f.kernel.clsact = DOCTOR_NO;
}

static void hook_unknown(struct fixture *x)
{
	x->f.kernel.tcx = x->f.kernel.clsact = DOCTOR_UNKNOWN;
}

static void locked_memory(struct fixture *x)
{
	x->f.kernel.memory_charged = true;
	x->f.kernel.memlock = 65536;
	x->f.kernel.root = false;
}

static void clock_off(struct fixture *x)
{
	x->f.kernel.synchronised = false;
}

static void clock_off_without_dns(struct fixture *x)
{
	x->f.kernel.synchronised = false;
	x->c->dns.given = false;
}

static void table_nearly_full(struct fixture *x)
{
	x->f.kernel.conntrack = 800;
}

static void other_version(struct fixture *x)
{
	x->f.plane_err = -EPROTO;
}

static void lro_of_a_bond_alone(struct fixture *x)
{
	x->device[0].nic.lro = 1;
}

static void lro_and_xdp(struct fixture *x)
{
	lro(x);
	x->c->hook = CONF_HOOK_XDP;
}

static void one_queue(struct fixture *x)
{
	x->device[0].nic.rx_queues = 1;
}

static void foreign_xdp(struct fixture *x)
{
	x->device[0].nic.xdp_prog_id = x->device[0].xdp.id = 7;
	x->device[0].nic.xdp = NIC_XDP_NATIVE;
	strcpy(x->device[0].xdp.name, "katran");
}

static void foreign_xdp_where_ours_shall_be(struct fixture *x)
{
	foreign_xdp(x);
	x->c->hook = CONF_HOOK_XDP;
}

static void xdp_with_jumbo_frames(struct fixture *x)
{
	x->device[0].nic.mtu = x->way[0].way.mtu = 9000;
	x->c->hook = CONF_HOOK_XDP;
}

static void xdp_on_veth(struct fixture *x)
{
	strcpy(x->device[0].kind, "veth");
	x->c->hook = CONF_HOOK_XDP;
}

static void xdp_by_no_driver(struct fixture *x)
{
	x->device[0].native_xdp = DOCTOR_NO;
	x->c->hook = CONF_HOOK_XDP;
}

static void xdp_without_forwarding(struct fixture *x)
{
	x->device[0].forwarding[1] = 0;
	x->c->hook = CONF_HOOK_XDP;
}

static void add_tcx(struct fixture *x, int side, const char *name)
{
	struct doctor_program *p = &x->device[0].tcx[side][x->device[0].n_tcx[side]++];

	p->id = 40 + (uint32_t)x->device[0].n_tcx[side];
	strcpy(p->name, name);
	p->ours = !strncmp(name, "shift_", 6);
	if (!p->ours || side)
		return;
	x->device[0].hook = SHIFT_HOOK_TCX;
	x->f.attached = true;
}

static void tcx_alone(struct fixture *x)
{
	add_tcx(x, 0, "other");
}

static void tcx_before(struct fixture *x)
{
	add_tcx(x, 0, "other");
	add_tcx(x, 0, "shift_ingress");
}

static void tcx_behind(struct fixture *x)
{
	add_tcx(x, 0, "shift_ingress");
	add_tcx(x, 0, "other");
}

static void tcx_before_our_filter(struct fixture *x)
{
	add_tcx(x, 0, "other");
	x->device[0].hook = SHIFT_HOOK_CLSACT;
	x->f.attached = true;
}

static void tcx_egress(struct fixture *x)
{
	add_tcx(x, 1, "other");
}

static void tcx_before_at_the_egress(struct fixture *x)
{
	add_tcx(x, 1, "other");
	add_tcx(x, 1, "shift_egress");
}

static void add_filter(struct fixture *x, int side, uint16_t priority)
{
	struct filter *t = &x->device[0].filter[side][x->device[0].n_filters[side]++];

	strcpy(t->kind, "flower");
	t->priority = priority;
	t->handle = 1;
}

static void filter_on_tcx_kernel(struct fixture *x)
{
	add_filter(x, 0, 1);
}

static void old_kernel(struct fixture *x)
{
	x->f.kernel.tcx = DOCTOR_NO;
	x->f.kernel.clsact = DOCTOR_YES;
}

static void filter_before(struct fixture *x)
{
	old_kernel(x);
	add_filter(x, 0, 1);
}

static void filter_beside(struct fixture *x)
{
	old_kernel(x);
	add_filter(x, 0, 7);
}

static void filter_beside_ours(struct fixture *x)
{
	filter_beside(x);
	add_filter(x, 0, 7); /* the same once more */
	x->device[0].hook = SHIFT_HOOK_CLSACT;
	x->f.attached = true;
}

static void filter_behind(struct fixture *x)
{
	old_kernel(x);
	add_filter(x, 0, 100);
}

static void filter_egress(struct fixture *x)
{
	add_filter(x, 1, 1);
}

static void not_attached_there(struct fixture *x)
{
	x->f.attached = true;
}

static struct host_link *add_link(struct fixture *x, const char *name, const char *kind)
{
	struct host_link *l = &x->link[x->f.host.host.n_links++];

	strcpy(l->name, name);
	strcpy(l->kind, kind);
	l->ifindex = 2 + x->f.host.host.n_links;
	return l;
}

static void vlan_on_top(struct fixture *x)
{
	add_link(x, "eth0.10", "vlan")->lower = 2;
}

static void part_of_bond(struct fixture *x)
{
	x->link[0].master = add_link(x, "bond0", "bond")->ifindex;
}

static void narrow_way(struct fixture *x)
{
	x->way[0].way.mtu = 1420;
	strcpy(x->way[0].device, "wg-aws");
}

static void dead_gateway(struct fixture *x)
{
	x->way[0].way.unreachable = true;
}

static void ports_overlap(struct fixture *x)
{
	x->f.ports.lo = 32768;
	x->f.ports.overlap = x->f.ports.unreserved = 27232;
}

static void ports_not_reserved(struct fixture *x)
{
	ports_overlap(x);
	tcx_behind(x);
}

static void listener_in_range(struct fixture *x)
{
	x->f.ports.sockets.listening = 1;
	x->f.ports.sockets.port[0] = 30000;
	x->f.ports.sockets.n_ports = 1;
}

static void own_connections(struct fixture *x)
{
	x->f.ports.sockets.towards = 3;
}

static void too_many_sockets(struct fixture *x)
{
	x->f.ports.sockets.cut = true;
}

static void dropping_policy(struct fixture *x)
{
	add_chain(x, FIREWALL_FORWARD)->drops = true;
}

static void legacy_rules(struct fixture *x)
{
	struct firewall_table *t = &x->f.firewall.legacy[x->f.firewall.n_legacy++];

	strcpy(t->name, "filter");
	t->rules = 2;
}

static void nft_refuses(struct fixture *x)
{
	x->f.firewall.err = -EPERM;
}

static void dnat_of_any_port(struct fixture *x)
{
	add_dnat(x, "nat", 0);
}

static void kube_proxy(struct fixture *x)
{
	strcpy(add_dnat(x, "nat", 0)->chain, "KUBE-SEP-1");
}

static void ipvs_on_listen_port(struct fixture *x)
{
	struct firewall_virtual *v = &x->virtual[x->f.firewall.n_virtuals++];

	v->protocol = IPPROTO_TCP;
	v->port = 443;
	memcpy(v->ip, x->c->listens[0].address.ip, sizeof(v->ip));
}

static void ipvs_by_mark(struct fixture *x)
{
	x->f.firewall.n_virtuals = 1;
}

static void vrrp_spoken(struct fixture *x)
{
	x->f.host.host.vrrp = true;
}

static void host_unknown(struct fixture *x)
{
	x->f.host_err = -EPERM;
}

static void missing_interface(struct fixture *x)
{
	add_plan(x, PLAN_NO_INTERFACE, "interfaces[0]");
}

static void unlisted_interface(struct fixture *x)
{
	add_plan(x, PLAN_UNLISTED_INTERFACE, "interfaces");
}

static void two_layers(struct fixture *x)
{
	add_plan(x, PLAN_DOUBLE_PASS, "interfaces[0]");
}

static void few_ports_left(struct fixture *x)
{
	ports_overlap(x);
	add_plan(x, PLAN_WARNING, "nat.ports");
}

static void too_little_memory(struct fixture *x)
{
	add_plan(x, PLAN_WARNING, "nat");
}

static void intent_of_the_file(struct fixture *x)
{
	add_plan(x, PLAN_WARNING, "backends[0].client_address");
}

/* clang-format off */
static const struct {
	const char *name;
	void (*change)(struct fixture *x);
	const char *what;
	enum doctor_level level;
	const char *evidence, *fix; /* parts of them; NULL: there is no fix */
} cases[] = {
	{"5.4", kernel_5_4, "kernel", DOCTOR_CRITICAL, "6.12.1; 5.10 is", "5.10 or later"},
	{"not root", not_root, "privileges", DOCTOR_WARNING, "not root", "sudo"},
	{"root, refused", root_without_bpf, "privileges", DOCTOR_WARNING, "refuses bpf", "CAP_"},
	{"no bpf(2)", no_bpf, "bpf", DOCTOR_CRITICAL, "Function not impl", "CONFIG_BPF"},
	{"no JIT", no_jit, "jit", DOCTOR_WARNING, "interpreted", "bpf_jit_enable=1"},
	{"a helper", no_helper, "helpers", DOCTOR_CRITICAL, "bpf_redirect_neigh", "kernel"},
	{"verifier", not_verified, "program", DOCTOR_CRITICAL, "R1 invalid", "SHIFT_DEBUG"},
	{"no hook", no_hook, "hook", DOCTOR_CRITICAL, "sch_ingress", "sch_ingress"},
	{"hook unknown", hook_unknown, "hook", DOCTOR_NOTE, "not be learned", NULL},
	{"memlock", locked_memory, "memlock", DOCTOR_WARNING, "64.0 KiB", "ulimit -l"},
	{"clock", clock_off, "clock", DOCTOR_WARNING, "STA_UNSYNC", "set-ntp"},
	{"clock, no dns", clock_off_without_dns, "clock", DOCTOR_NOTE, "STA_UNSYNC", "set-ntp"},
	{"conntrack", table_nearly_full, "conntrack", DOCTOR_WARNING, "(80%)", "_max=2000"},
	{"another version", other_version, "version", DOCTOR_WARNING, "version", "detach"},
	{"LRO", lro, "lro", DOCTOR_WARNING, "is on at eth0", "ethtool -K eth0 lro off"},
	{"LRO and XDP", lro_and_xdp, "lro", DOCTOR_CRITICAL, "refuse XDP", "lro off"},
	{"no GRO", no_gro, "gro", DOCTOR_NOTE, "off", "gro on"},
	{"one queue", one_queue, "queues", DOCTOR_NOTE, "1 receive queue, 4 CPUs", "combined 4"},
	{"XDP", foreign_xdp, "xdp", DOCTOR_NOTE, "program 7 katran (native)", "show id 7"},
	{"XDP taken", foreign_xdp_where_ours_shall_be, "xdp", DOCTOR_CRITICAL,
	 "one place", "hook: auto"},
	{"XDP, jumbo", xdp_with_jumbo_frames, "xdp-mtu", DOCTOR_WARNING, "9000", "hook: tc"},
	{"XDP, veth", xdp_on_veth, "xdp-veth", DOCTOR_NOTE, "peer", "hook: tc"},
	{"XDP, driver", xdp_by_no_driver, "xdp-native", DOCTOR_WARNING, "driver", "hook: tc"},
	{"XDP, forwarding", xdp_without_forwarding, "xdp-forwarding", DOCTOR_NOTE,
	 "bpf_fib_lookup", "none"},
	{"tcx, before apply", tcx_alone, "tcx", DOCTOR_NOTE,
	 "ours will go before: program 41 other", "none is needed"},
	{"tcx before", tcx_before, "tcx", DOCTOR_WARNING,
	 "before ours: program 41 other", "behind ours"},
	{"tcx behind", tcx_behind, "tcx", DOCTOR_NOTE, "behind ours: program 42 other", "none"},
	{"tcx before clsact", tcx_before_our_filter, "tcx", DOCTOR_WARNING,
	 "before ours", "behind"},
	{"tcx egress", tcx_egress, "tc-egress", DOCTOR_NOTE, "program 41 other", NULL},
	{"tcx egress, before", tcx_before_at_the_egress, "tc-egress", DOCTOR_WARNING,
	 "before ours at the egress: program 41 other", "behind ours"},
	{"filter behind tcx", filter_on_tcx_kernel, "tc-filter", DOCTOR_NOTE,
	 "ours will go before", "none"},
	{"filter before", filter_before, "tc-filter", DOCTOR_WARNING,
	 "flower at priority 1", "behind ours"},
	{"filter beside", filter_beside, "tc-priority", DOCTOR_CRITICAL,
	 "flower at priority 7", "another priority than 7"},
	{"filter beside ours", filter_beside_ours, "tc-priority", DOCTOR_WARNING,
	 "ours: flower at priority 7", "another priority than 7"},
	{"filter behind", filter_behind, "tc-filter", DOCTOR_NOTE,
	 "flower at priority 100", "none"},
	{"filter egress", filter_egress, "tc-egress", DOCTOR_NOTE, "flower", NULL},
	{"made anew", not_attached_there, "attached", DOCTOR_CRITICAL, "no program", "apply"},
	{"VLAN", vlan_on_top, "layers", DOCTOR_NOTE, "eth0.10 (vlan) is on top", "list it"},
	{"bond", part_of_bond, "layers", DOCTOR_NOTE, "part of bond0 (bond)", "bond0"},
	{"MTU", narrow_way, "mtu", DOCTOR_NOTE, "1420 over wg-aws, but clients come in with up to 1500 at eth0: ours clamps the MSS to 1380",
	 "where ICMP gets through"},
	{"no way", no_way, "route", DOCTOR_CRITICAL, "no way", "ip route get 52.1.2.3"},
	{"gateway", dead_gateway, "neighbour", DOCTOR_WARNING, "203.0.113.1 on eth0", "ip neigh"},
	{"overlap", ports_overlap, "ephemeral", DOCTOR_NOTE, "27232 ports in common", "apply"},
	{"unreserved", ports_not_reserved, "reserved", DOCTOR_WARNING,
	 "27232 of 20000-59999", "shiftctl apply"},
	{"listener", listener_in_range, "bound-ports", DOCTOR_NOTE, "30000", "choose"},
	{"own", own_connections, "own-connections", DOCTOR_NOTE, "3 connections", NULL},
	{"sockets", too_many_sockets, "bound-ports", DOCTOR_NOTE, "too many", NULL},
	{"accepting", accepting_chain, "firewall", DOCTOR_NOTE, "3 rules at input", NULL},
	{"dropping", dropping_chain, "firewall", DOCTOR_WARNING, "1 of which drop", "`bypass`"},
	{"policy", dropping_policy, "firewall", DOCTOR_WARNING, "so does the policy", "`bypass`"},
	{"legacy", legacy_rules, "firewall", DOCTOR_WARNING, "iptables-legacy", "-t filter -S"},
	{"nft refuses", nft_refuses, "firewall", DOCTOR_NOTE, "not permitted", "nft list"},
	{"docker", docker_on_listen_port, "dnat", DOCTOR_NOTE, "docker sends port 443", "none"},
	{"any port", dnat_of_any_port, "dnat", DOCTOR_NOTE, "may send the listen ports", "none"},
	{"kube-proxy", kube_proxy, "dnat", DOCTOR_NOTE, "kube-proxy", "none"},
	{"IPVS", ipvs_on_listen_port, "ipvs", DOCTOR_NOTE, "IPVS", NULL},
	{"IPVS by mark", ipvs_by_mark, "ipvs", DOCTOR_NOTE, "IPVS", NULL},
	{"VRRP", vrrp_spoken, "vrrp", DOCTOR_NOTE, "speaks VRRP", "apply"},
	{"host unknown", host_unknown, "host", DOCTOR_WARNING, "not permitted", NULL},
	{"no interface", missing_interface, "no-interface", DOCTOR_CRITICAL,
	 "said the plan", "interfaces[0] in shift.yaml"},
	{"unlisted", unlisted_interface, "unlisted-interface", DOCTOR_CRITICAL,
	 "said the plan", "add it to interfaces in shift.yaml, or shiftctl apply --allow-unl"},
	{"floating", floating_address, "floating-nat-address", DOCTOR_CRITICAL,
	 "said the plan", "--allow-floating-nat-address"},
	{"layers", two_layers, "double-pass", DOCTOR_CRITICAL, "said the plan", "leave one"},
	{"few ports", few_ports_left, "ephemeral", DOCTOR_WARNING, "said the plan", "line 9"},
	{"memory", too_little_memory, "memory", DOCTOR_WARNING, "said the plan", "line 9"},
	{"intent", intent_of_the_file, "plan", DOCTOR_NOTE, "said the plan", "line 9"},
};
/* clang-format on */

static void a_good_host_has_nothing_to_be_told(void **state)
{
	struct fixture *x = make();

	(void)state;
	doctor_judge(&x->f, &x->report);
	for (unsigned int i = 0; i < worse_than_ok(x); i++)
		print_error("%s: %s\n", x->report.finding[i].what, x->report.finding[i].evidence);
	assert_int_equal(worse_than_ok(x), 0);
	assert_true(x->report.n > 20);
	drop(x);
}

static void each_fact_is_found_with_its_evidence_and_fix(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fixture *x = make();
		const struct doctor_finding *f;

		cases[i].change(x);
		doctor_judge(&x->f, &x->report);
		f = found(x, cases[i].what);
		if (!f || f->level != cases[i].level || !strstr(f->evidence, cases[i].evidence) ||
		    (cases[i].fix ? !strstr(f->fix, cases[i].fix) : f->fix[0] != '\0')) {
			print_error("%s: %s %s: %s; fix: %s\n", cases[i].name, cases[i].what,
				    f ? doctor_level_name(f->level) : "not found",
				    f ? f->evidence : "", f ? f->fix : "");
			wrong++;
		}
		drop(x);
	}
	assert_int_equal(wrong, 0);
}

/* What one fact causes is told once; those that cause two things are known. */
static void a_fact_is_told_once(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fixture *x = make();
		unsigned int most = 1;

		cases[i].change(x);
		doctor_judge(&x->f, &x->report);
		if (cases[i].change == ports_not_reserved || cases[i].change == locked_memory ||
		    cases[i].change == tcx_before_our_filter)
			most = 2;
		if (worse_than_ok(x) > most) {
			print_error("%s: %u findings\n", cases[i].name, worse_than_ok(x));
			wrong++;
		}
		drop(x);
	}
	assert_int_equal(wrong, 0);
}

static const struct {
	const char *name;
	void (*change)(struct fixture *x);
	const char *what; /* must not be worse than ok */
} harmless[] = {
	{"an old kernel with clsact", old_kernel, "hook"},
	{"ours on tcx alone", not_attached_there, "tcx"},
	{"a filter of priority 1 where tcx is", filter_on_tcx_kernel, "tc-priority"},
	{"no GRO on hardware is no LRO", no_gro, "lro"},
	{"a bond that could have LRO", lro_of_a_bond_alone, "lro"},
	{"a narrow way is a way", narrow_way, "route"},
};

static void what_is_harmless_is_not_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++) {
		struct fixture *x = make();
		const struct doctor_finding *f;

		harmless[i].change(x);
		doctor_judge(&x->f, &x->report);
		f = found(x, harmless[i].what);
		if (f && f->level != DOCTOR_OK)
			fail_msg("%s: %s", harmless[i].name, f->evidence);
		drop(x);
	}
}

static void other_ports_and_families_are_not_the_listeners(void **state)
{
	struct fixture *x = make();

	(void)state;
	add_dnat(x, "docker", 8443);
	x->c->n_listens = 1; /* IPv4 */
	add_dnat(x, "docker", 443)->family = NFPROTO_IPV6;
	ipvs_on_listen_port(x);
	x->virtual[0].port = 8443;
	doctor_judge(&x->f, &x->report);
	assert_int_equal(found(x, "dnat")->level, DOCTOR_OK);
	assert_null(found(x, "ipvs"));
	drop(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_host_has_nothing_to_be_told),
		cmocka_unit_test(each_fact_is_found_with_its_evidence_and_fix),
		cmocka_unit_test(a_fact_is_told_once),
		cmocka_unit_test(what_is_harmless_is_not_told),
		cmocka_unit_test(other_ports_and_families_are_not_the_listeners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
