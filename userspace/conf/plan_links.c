/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan_links.c - the host under the plan: NAT addresses, interfaces and their layers
 *
 * Does an address float? The kernel does not say. What can be known: keepalived since 2.2.8 signs
 * the addresses it adds (IFA_PROTO, kernels since 5.18); an address on an interface with a virtual
 * router's MAC is a virtual router's; and where a program holds a VRRP socket, an address that is
 * secondary, of a network of its own (/32, /128) or deprecated (so keepalived marks IPv6 ones) is
 * most likely virtual. The first two are certain, the third is not, and has the flag for that. A
 * /32 or `noprefixroute` alone means nothing: clouds and NetworkManager use both. Pacemaker's
 * addresses are not recognised.
 */
#include <string.h>

#include "userspace/conf/plan_inner.h"

#define MAX_LAYERS 8
#define FEW_PORTS  4096 /* left for the host's own connections */

/* ---- NAT addresses ---- */

static const char *why_floating(const struct plan *p, const struct host_address *a)
{
	const struct host_link *l = host_link(&p->h->host, a->ifindex);
	uint8_t whole = a->family == 4 ? 32 : 128;

	if (a->origin == HOST_ORIGIN_KEEPALIVED)
		return "keepalived added it";
	if (l && l->vrrp_mac)
		return "it is on a virtual router's MAC";
	if (!p->h->host.vrrp)
		return NULL;
	if (a->secondary)
		return "VRRP is spoken here and it is a secondary address";
	if (a->prefix == whole)
		return "VRRP is spoken here and it is a network of its own";
	if (a->family == 6 && a->deprecated)
		return "VRRP is spoken here and it is deprecated";
	return NULL;
}

static void check_nat(struct plan *p, unsigned int i)
{
	const struct conf_address *nat = &p->c->nat[i];
	const struct host_address *a = host_address(&p->h->host, nat->ip);
	char key[64], text[64];
	const char *why;

	snprintf(key, sizeof(key), "nat.addresses[%u]", i);
	conf_address_text(nat, text);
	if (!a) {
		plan_find(p, PLAN_FOREIGN_NAT, nat->at, key,
			  "%s is not on this host: backends would answer elsewhere", text);
		return;
	}
	why = why_floating(p, a);
	if (why)
		plan_find(p, PLAN_FLOATING_NAT, nat->at, key,
			  "%s floats (%s): a failover would take it away and every shifted "
			  "connection with it; use an address that stays",
			  text, why);
	else if (a->leased)
		plan_find(p, PLAN_WARNING, nat->at, key,
			  "%s has a lifetime (DHCP or router advertisement): if it is not renewed, "
			  "shifted connections end",
			  text);
	if (a->unusable)
		plan_find(p, PLAN_WARNING, nat->at, key,
			  "%s is not usable yet, or another host has it too (tentative)", text);
}

static void check_listens(struct plan *p)
{
	char key[64], text[64];

	for (unsigned int i = 0; i < p->c->n_listens; i++) {
		const struct conf_address *a = &p->c->listens[i].address;

		if (host_address(&p->h->host, a->ip))
			continue;
		snprintf(key, sizeof(key), "listen[%u]", i);
		plan_find(p, PLAN_WARNING, a->at, key,
			  "%s is not on this host now: nothing arrives for it unless it is routed "
			  "here",
			  conf_address_text(a, text));
	}
}

/* ---- interfaces ---- */

static const struct conf_interface *listed(const struct plan *p, const char *name)
{
	for (unsigned int i = 0; i < p->c->n_interfaces; i++)
		if (!strcmp(p->c->interfaces[i].name, name))
			return &p->c->interfaces[i];
	return NULL;
}

static bool is_bond(const struct host_link *l)
{
	return !strcmp(l->kind, "bond") || !strcmp(l->kind, "team");
}

/* Do packets of this link pass a listed one, here or below? Of a bond every part must be listed. */
static bool seen(const struct plan *p, const struct host_link *l, int depth)
{
	const struct host *h = &p->h->host;
	const struct host_link *lower = l->lower ? host_link(h, l->lower) : NULL;
	unsigned int parts = 0, seen_parts = 0;

	if (listed(p, l->name))
		return true;
	if (!depth)
		return false;
	if (lower && seen(p, lower, depth - 1))
		return true;
	if (!is_bond(l) && strcmp(l->kind, "bridge"))
		return false;
	for (unsigned int i = 0; i < h->n_links; i++) {
		if (h->links[i].master != l->ifindex)
			continue;
		parts++;
		seen_parts += seen(p, &h->links[i], depth - 1);
	}
	return seen_parts && (!is_bond(l) || seen_parts == parts);
}

/* Why replies or clients may come in there; NULL: they do not. */
static const char *why_used(const struct plan *p, uint32_t ifindex)
{
	const char *why = NULL;

	for (unsigned int i = 0; i < p->h->host.n_routes; i++) {
		const struct host_route *r = &p->h->host.routes[i];

		if (r->ifindex != ifindex)
			continue;
		if (!r->prefix)
			return "a default route";
		why = "a route to a backend";
	}
	for (unsigned int i = 0; i < p->c->n_backends && !why; i++)
		for (unsigned int j = 0; j < p->h->backend[i].to.n; j++)
			if (p->h->backend[i].ifindex[j] == ifindex)
				why = "the way to a backend";
	return why;
}

static void check_unlisted(struct plan *p)
{
	const struct host *h = &p->h->host;
	struct conf_at at = p->c->n_interfaces ? p->c->interfaces[0].at : (struct conf_at){0, 0};

	for (unsigned int i = 0; i < h->n_links; i++) {
		const struct host_link *l = &h->links[i];
		const char *why = why_used(p, l->ifindex);

		if (!why || !l->up || l->loopback || seen(p, l, MAX_LAYERS))
			continue;
		plan_find(p, PLAN_UNLISTED_INTERFACE, at, "interfaces",
			  "%s is up, has %s and is not listed: replies that come in there would be "
			  "reset; add it",
			  l->name, why);
	}
}

static void check_listed(struct plan *p, unsigned int i)
{
	const struct conf_interface *iface = &p->c->interfaces[i];
	const struct host_link *l = host_link_named(&p->h->host, iface->name);
	char key[64];

	snprintf(key, sizeof(key), "interfaces[%u]", i);
	if (!l)
		plan_find(p, PLAN_NO_INTERFACE, iface->at, key,
			  "there is no interface %s in this network namespace", iface->name);
	else if (l->loopback)
		plan_find(p, PLAN_WARNING, iface->at, key,
			  "%s is the loopback: no client comes in there", iface->name);
	else if (!l->up)
		plan_find(p, PLAN_WARNING, iface->at, key, "%s is down", iface->name);
	if (l && p->c->hook == CONF_HOOK_XDP && l->bare)
		plan_find(p, PLAN_NO_XDP, p->c->hook_at, "hook",
			  "%s has no Ethernet header, which XDP needs; `hook: tc` works there",
			  iface->name);
	else if (l && p->c->hook == CONF_HOOK_XDP && p->h->xdp_taken[i])
		plan_find(p, PLAN_NO_XDP, p->c->hook_at, "hook",
			  "%s has another XDP program, which stays; `hook: tc` works beside it",
			  iface->name);
}

/* ---- layers ---- */

/*
 * Do packets of `lower` come in on `upper` once more? VLANs and their like, bonds and bridges do
 * that. A VRF's packets pass no second ingress, and what comes out of a tunnel are other packets.
 */
static bool on_top(const struct host *h, const struct host_link *upper,
		   const struct host_link *lower, int depth)
{
	const struct host_link *l = upper->lower ? host_link(h, upper->lower) : NULL;

	if (!depth)
		return false;
	if (l && (l == lower || on_top(h, l, lower, depth - 1)))
		return true;
	if (!is_bond(upper) && strcmp(upper->kind, "bridge"))
		return false;
	for (unsigned int i = 0; i < h->n_links; i++) {
		l = &h->links[i];
		if (l->master == upper->ifindex && (l == lower || on_top(h, l, lower, depth - 1)))
			return true;
	}
	return false;
}

static void check_layers(struct plan *p)
{
	const struct host *h = &p->h->host;
	char key[64];

	for (unsigned int i = 0; i < p->c->n_interfaces; i++)
		for (unsigned int j = 0; j < p->c->n_interfaces; j++) {
			const struct host_link *upper, *lower;

			upper = host_link_named(h, p->c->interfaces[i].name);
			lower = host_link_named(h, p->c->interfaces[j].name);
			if (!upper || !lower || upper == lower ||
			    !on_top(h, upper, lower, MAX_LAYERS))
				continue;
			snprintf(key, sizeof(key), "interfaces[%u]", i);
			plan_find(p, PLAN_DOUBLE_PASS, p->c->interfaces[i].at, key,
				  "%s is on top of %s, which is listed too: a packet would be seen "
				  "on both; list one of them",
				  upper->name, lower->name);
		}
}

/* ---- the host's own ports ---- */

static void check_port_range(struct plan *p)
{
	unsigned int lo = p->h->host.port_lo, hi = p->h->host.port_hi, from, to, left;

	if (!hi || p->c->port_hi < lo || p->c->port_lo > hi)
		return;
	from = p->c->port_lo > lo ? p->c->port_lo : lo;
	to = p->c->port_hi < hi ? p->c->port_hi : hi;
	left = hi - lo + 1 - (to - from + 1);
	if (left < FEW_PORTS)
		plan_find(p, PLAN_WARNING, p->c->ports_at, "nat.ports",
			  "%u-%u leaves this host %u of its own ports %u-%u: choose another range, "
			  "or widen net.ipv4.ip_local_port_range",
			  p->c->port_lo, p->c->port_hi, left, lo, hi);
}

void plan_links(struct plan *p)
{
	for (unsigned int i = 0; i < p->c->n_nat; i++)
		check_nat(p, i);
	check_listens(p);
	for (unsigned int i = 0; i < p->c->n_interfaces; i++)
		check_listed(p, i);
	check_unlisted(p);
	check_layers(p);
	check_port_range(p);
}
