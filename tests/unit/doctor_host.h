/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor_host.h - a made-up host where nothing hurts, and some of what could
 *
 * With tests/golden/conf/base.yaml. Run from the root of the tree.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "userspace/base/ip.h"
#include "userspace/cmd/doctor.h"

struct fixture {
	struct doctor_facts f;
	struct config *c;
	struct conf_errors errors;
	struct plan_report plan;
	struct doctor_device device[4];
	struct doctor_way way[2];
	struct host_link link[4];
	struct host_address address[2];
	struct firewall_chain chain[12];
	struct firewall_dnat dnat[12];
	struct firewall_virtual virtual[2];
	struct doctor_report report;
};

static inline void read_config(struct fixture *x)
{
	FILE *file = fopen("tests/golden/conf/base.yaml", "re");
	char text[16384];
	size_t size;

	assert_non_null(file);
	size = fread(text, 1, sizeof(text), file);
	fclose(file);
	assert_int_equal(conf_parse("shift.yaml", text, size, &x->c, &x->errors), 0);
}

static inline void good_kernel(struct doctor_kernel *k)
{
	strcpy(k->release, "6.12.1");
	k->major = 6;
	k->minor = 12;
	k->cpus = 4;
	k->root = true;
	k->jit = k->tcx = k->btf = k->verified = DOCTOR_YES;
	k->clsact = DOCTOR_UNKNOWN;
	k->memlock = UINT64_MAX;
	k->synchronised = true;
	k->conntrack = 10;
	k->conntrack_max = 1000;
}

static inline void good_device(struct doctor_device *d, const char *name)
{
	strcpy(d->name, name);
	d->listed = true;
	d->nic = (struct nic){.mtu = 1500, .lro = 0, .gro = 1, .rx_queues = 4};
	d->native_xdp = DOCTOR_YES;
	d->rp_filter = 1;
	d->forwarding[0] = d->forwarding[1] = 1;
}

static inline struct fixture *make(void)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	read_config(x);
	good_kernel(&x->f.kernel);
	good_device(&x->device[0], "eth0");
	strcpy(x->link[0].name, "eth0");
	x->link[0].ifindex = 2;
	x->link[0].up = true;
	x->f.config = x->c;
	x->f.plan = &x->plan;
	x->f.plane_err = -ENOENT;
	x->f.devices = x->device;
	x->f.n_devices = 1;
	x->f.ways = x->way;
	x->f.n_ways = 1;
	ip_map(inet_addr("52.1.2.3"), x->way[0].to);
	ip_map(inet_addr("203.0.113.1"), x->way[0].way.next_hop);
	x->way[0].way.ifindex = 2;
	x->way[0].way.mtu = 1500;
	strcpy(x->way[0].device, "eth0");
	x->f.host.host.links = x->link;
	x->f.host.host.n_links = 1;
	x->f.host.host.addresses = x->address;
	x->f.host.host.memory = 8ull << 30;
	x->f.ports.lo = 60000;
	x->f.ports.hi = 65535;
	x->f.ports.reserved_known = true;
	x->f.firewall.chains = x->chain;
	x->f.firewall.dnat = x->dnat;
	x->f.firewall.virtuals = x->virtual;
	return x;
}

static inline void drop(struct fixture *x)
{
	conf_errors_free(&x->errors);
	conf_free(x->c);
	free(x);
}

/* ---- what speaks against it ---- */

static inline void not_root(struct fixture *x)
{
	x->f.kernel.root = false;
	x->f.kernel.load_err = -EPERM;
	x->f.kernel.jit = x->f.kernel.verified = DOCTOR_UNKNOWN;
}

static inline void lro(struct fixture *x)
{
	x->device[0].nic.lro = 1;
	strcpy(x->device[0].lro_at, "eth0");
}

static inline void no_gro(struct fixture *x)
{
	x->device[0].nic.gro = 0;
}

static inline void no_way(struct fixture *x)
{
	x->way[0].err = -ENETUNREACH;
}

static inline struct plan_finding *add_plan(struct fixture *x, enum plan_rule rule, const char *key)
{
	struct plan_finding *p = &x->plan.finding[x->plan.n_findings++];

	p->rule = rule;
	p->refused = rule != PLAN_WARNING;
	strcpy(p->key, key);
	strcpy(p->text, "said the plan");
	p->at.line = 9;
	return p;
}

static inline void floating_address(struct fixture *x)
{
	add_plan(x, PLAN_FLOATING_NAT, "nat.addresses[0]");
}

static inline struct firewall_chain *add_chain(struct fixture *x, enum firewall_hook hook)
{
	struct firewall_chain *c = &x->chain[x->f.firewall.n_chains++];

	c->family = NFPROTO_INET;
	c->hook = hook;
	strcpy(c->table, "filter");
	strcpy(c->name, "chain");
	return c;
}

static inline void accepting_chain(struct fixture *x)
{
	add_chain(x, FIREWALL_INPUT)->rules = 3;
}

static inline void dropping_chain(struct fixture *x)
{
	accepting_chain(x);
	x->chain[0].dropping = 1;
}

static inline struct firewall_dnat *add_dnat(struct fixture *x, const char *table, uint16_t port)
{
	struct firewall_dnat *d = &x->dnat[x->f.firewall.n_dnat++];

	d->family = NFPROTO_IPV4;
	strcpy(d->table, table);
	strcpy(d->chain, "pre");
	d->port[0] = port;
	d->n_ports = port != 0;
	return d;
}

static inline void docker_on_listen_port(struct fixture *x)
{
	add_dnat(x, "docker", 443);
}

static inline void many_rules(struct fixture *x)
{
	for (int i = 0; i < 10; i++)
		add_dnat(x, "nat", 443);
}

static inline void listen_floats(struct fixture *x)
{
	struct host_address *a = &x->address[x->f.host.host.n_addresses++];

	memcpy(a->ip, x->c->listens[0].address.ip, sizeof(a->ip));
	a->origin = HOST_ORIGIN_KEEPALIVED;
}

/* ---- what was found ---- */

/* Of that name: the worst. */
static inline const struct doctor_finding *found(const struct fixture *x, const char *what)
{
	for (unsigned int i = 0; i < x->report.n; i++)
		if (!strcmp(x->report.finding[i].what, what))
			return &x->report.finding[i];
	return NULL;
}

static inline unsigned int worse_than_ok(const struct fixture *x)
{
	return x->report.n - x->report.count[DOCTOR_OK];
}
