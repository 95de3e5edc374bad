/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor_network.c - judging the ways to the backends, the ports, and packet filters
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "userspace/base/text.h"
#include "userspace/cmd/doctor.h"

#define MANY_RULES 8 /* shown one by one */

/* ---- ways ---- */

/* The widest interface that clients could come in on. */
static const struct doctor_device *widest(const struct doctor_facts *f)
{
	const struct doctor_device *most = NULL;

	for (unsigned int i = 0; i < f->n_devices; i++)
		if (!f->devices[i].err && (!most || f->devices[i].nic.mtu > most->nic.mtu))
			most = &f->devices[i];
	return most;
}

static void judge_mtu(const struct doctor_facts *facts, const struct doctor_way *w, const char *on,
		      struct doctor_report *r)
{
	unsigned int headers = ip_is_v4(w->to) ? 40 : 60;
	const struct doctor_device *from = widest(facts);
	struct doctor_finding *f;

	if (!w->way.mtu || !from)
		return;
	if (w->way.mtu >= from->nic.mtu) {
		doctor_find(r, "mtu", DOCTOR_OK, on, "%u over %s, %u at %s", w->way.mtu, w->device,
			    from->nic.mtu, from->name);
		return;
	}
	f = doctor_find(
		r, "mtu", DOCTOR_NOTE, on,
		"%u over %s, but clients come in with up to %u at %s: ours clamps the MSS to "
		"%u, and answers larger packets with ICMP",
		w->way.mtu, w->device, from->nic.mtu, from->name, w->way.mtu - headers);
	doctor_fix(f,
		   "none is needed where ICMP gets through to the clients and %s; else a larger "
		   "MTU on that way",
		   on);
}

static void judge_way(const struct doctor_facts *facts, const struct doctor_way *w,
		      struct doctor_report *r)
{
	const struct conf_backend *b = &facts->config->backends[w->backend];
	struct doctor_finding *f;
	char address[64], on[72];

	text_address(w->to, 0, address);
	snprintf(on, sizeof(on), "%s %s", b->name, address);
	if (w->no_source)
		return; /* the plan has said so */
	if (w->err) {
		f = doctor_find(r, "route", DOCTOR_CRITICAL, on, "%s",
				w->err == -EINVAL ? "the way ends on this host"
						  : "there is no way there from the NAT address");
		doctor_fix(f, "ip route get %s shows what the kernel thinks", address);
		return;
	}
	if (w->way.unreachable) {
		text_address(w->way.next_hop, 0, address);
		f = doctor_find(r, "neighbour", DOCTOR_WARNING, on,
				"its next hop %s on %s does not answer", address, w->device);
		doctor_fix(f, "ip neigh show %s", address);
	} else {
		doctor_find(r, "route", DOCTOR_OK, on, "over %s", w->device);
	}
	judge_mtu(facts, w, on, r);
}

/* ---- ports ---- */

static bool plan_warns_of_ports(const struct doctor_facts *f)
{
	for (unsigned int i = 0; i < f->plan->n_findings; i++)
		if (f->plan->finding[i].rule == PLAN_WARNING &&
		    !strcmp(f->plan->finding[i].key, "nat.ports"))
			return true;
	return false;
}

static void judge_ephemeral(const struct doctor_facts *facts, struct doctor_report *r)
{
	const struct doctor_ports *p = &facts->ports;
	unsigned int lo = facts->config->port_lo, hi = facts->config->port_hi;
	struct doctor_finding *f;

	if (facts->attached && p->reserved_known && p->unreserved) {
		f = doctor_find(r, "reserved", DOCTOR_WARNING, "nat.ports",
				"%u of %u-%u are not in ip_local_reserved_ports any more: this "
				"host's own connections may take them",
				p->unreserved, lo, hi);
		doctor_fix(f, "shiftctl apply; and see who writes "
			      "net.ipv4.ip_local_reserved_ports (sysctl.d)");
	}
	if (!p->hi || plan_warns_of_ports(facts))
		return;
	if (!p->overlap) {
		doctor_find(r, "ephemeral", DOCTOR_OK, "nat.ports",
			    "%u-%u is apart from the host's own %u-%u", lo, hi, p->lo, p->hi);
		return;
	}
	f = doctor_find(r, "ephemeral", facts->attached || !p->unreserved ? DOCTOR_OK : DOCTOR_NOTE,
			"nat.ports",
			"%u-%u and the host's own %u-%u have %u ports in common, %u of them "
			"reserved",
			lo, hi, p->lo, p->hi, p->overlap, p->overlap - p->unreserved);
	if (f->level == DOCTOR_NOTE)
		doctor_fix(f,
			   "none is needed: shiftctl apply reserves them, detach gives them back");
}

static void list_ports(const struct sockets *s, char *ret, size_t size)
{
	size_t used = 0;

	ret[0] = '\0';
	for (unsigned int i = 0; i < s->n_ports && used + 8 < size; i++)
		used += (size_t)snprintf(ret + used, size - used, "%s%u", i ? ", " : "",
					 s->port[i]);
}

static void judge_sockets(const struct doctor_facts *facts, struct doctor_report *r)
{
	const struct sockets *s = &facts->ports.sockets;
	struct doctor_finding *f;
	char ports[64];

	if (facts->ports.sockets_err)
		return;
	if (s->listening || s->udp) {
		list_ports(s, ports, sizeof(ports));
		f = doctor_find(r, "bound-ports", DOCTOR_NOTE, "nat.ports",
				"%u TCP listener%s and %u UDP socket%s of this host are inside the "
				"range, at %s",
				s->listening, s->listening == 1 ? "" : "s", s->udp,
				s->udp == 1 ? "" : "s", ports);
		doctor_fix(f,
			   "choose a range without them, so that a capture shows whose a port is");
	}
	if (s->towards)
		doctor_find(r, "own-connections", DOCTOR_NOTE, "nat.ports",
			    "%u connections of this host itself to backends use ports of the "
			    "range: ours passes over these ports as long as they live",
			    s->towards);
	if (!s->listening && !s->udp && !s->towards)
		doctor_find(r, "bound-ports", DOCTOR_OK, "nat.ports",
			    "no socket of this host is inside the range");
	if (s->cut)
		doctor_find(r, "bound-ports", DOCTOR_NOTE, "nat.ports",
			    "this host has too many sockets to look at all of them in time");
}

/* ---- filters that shifted packets go round ---- */

static void judge_chain(const struct firewall_chain *c, struct doctor_report *r)
{
	bool drops = c->drops || c->dropping;
	struct doctor_finding *f;
	char on[72];

	snprintf(on, sizeof(on), "%s %.30s %.30s", firewall_family_name(c->family), c->table,
		 c->name);
	f = doctor_find(r, "firewall", drops ? DOCTOR_WARNING : DOCTOR_NOTE, on,
			"%u rule%s at %s, %u of which drop%s: shifted packets do not come by them",
			c->rules, c->rules == 1 ? "" : "s", firewall_hook_name(c->hook),
			c->dropping, c->drops ? ", and so does the policy" : "");
	if (drops)
		doctor_fix(f, "what must hold for shifted clients, too: repeat it at the backends, "
			      "or keep those clients here with `bypass`");
}

static void judge_legacy(const struct firewall_table *t, struct doctor_report *r)
{
	struct doctor_finding *f;
	char on[72];

	if (!t->rules)
		return;
	snprintf(on, sizeof(on), "%s %s", t->v6 ? "ip6tables" : "iptables", t->name);
	f = doctor_find(r, !strcmp(t->name, "nat") ? "dnat" : "firewall",
			!strcmp(t->name, "filter") ? DOCTOR_WARNING : DOCTOR_NOTE, on,
			"%u rules of iptables-legacy: shifted packets do not come by them",
			t->rules);
	doctor_fix(f,
		   "%s-legacy -t %s -S shows them; what must hold for shifted clients, too: "
		   "repeat it at the backends",
		   t->v6 ? "ip6tables" : "iptables", t->name);
}

static void judge_firewall(const struct doctor_facts *facts, struct doctor_report *r)
{
	const struct firewall *w = &facts->firewall;
	struct doctor_finding *f;
	unsigned int seen = 0;

	if (w->err) {
		f = doctor_find(r, "firewall", DOCTOR_NOTE, "", "nf_tables does not tell: %s",
				strerror(-w->err));
		doctor_fix(f, "nft list ruleset");
	}
	for (unsigned int i = 0; i < w->n_chains; i++) {
		if (w->chains[i].nat || (!w->chains[i].rules && !w->chains[i].drops))
			continue;
		judge_chain(&w->chains[i], r);
		seen++;
	}
	for (unsigned int i = 0; i < w->n_legacy; i++) {
		judge_legacy(&w->legacy[i], r);
		seen += w->legacy[i].rules > 0;
	}
	if (!w->err && !seen)
		doctor_find(r, "firewall", DOCTOR_OK, "",
			    "no rules that shifted packets would go round");
}

/* ---- who else takes the listen port ---- */

/* Docker and kube-proxy are known by their chains. */
static const char *whose(const struct firewall_dnat *d)
{
	if (!strncmp(d->chain, "KUBE-", 5) || !strcmp(d->table, "kube-proxy"))
		return "kube-proxy";
	if (strcasestr(d->chain, "docker") || strcasestr(d->table, "docker"))
		return "docker";
	return "nftables";
}

static bool is_for(const struct firewall_dnat *d, uint16_t port, const struct config *c)
{
	for (unsigned int i = 0; i < c->n_listens; i++)
		if (c->listens[i].port == port &&
		    (d->family == NFPROTO_INET ||
		     (d->family == NFPROTO_IPV6) == (c->listens[i].address.family == 6)))
			return true;
	return false;
}

/* "80, 443": those of the rule's ports that are listened on. False: none of them. */
static bool listened_on(const struct firewall_dnat *d, const struct config *c, char *ret,
			size_t size)
{
	size_t used = 0;

	ret[0] = '\0';
	for (unsigned int i = 0; i < d->n_ports && used + 8 < size; i++)
		if (is_for(d, d->port[i], c))
			used += (size_t)snprintf(ret + used, size - used, "%s%u", used ? ", " : "",
						 d->port[i]);
	return used > 0;
}

static void find_dnat(const struct firewall_dnat *d, const char *ports, struct doctor_report *r)
{
	const char *family = firewall_family_name(d->family);
	struct doctor_finding *f;
	char on[72];

	snprintf(on, sizeof(on), "%s %.30s %.30s", family, d->table, d->chain);
	f = doctor_find(r, "dnat", DOCTOR_NOTE, on,
			"%s %s elsewhere: ours comes first; what stays with the old arm goes there "
			"as before",
			whose(d), ports);
	doctor_fix(f, "none is needed; nft list chain %s %.60s %.60s shows it", family, d->table,
		   d->chain);
}

/* Each rule for a listen port, and one of all those whose ports could not be told. */
static void judge_dnat(const struct doctor_facts *facts, struct doctor_report *r)
{
	const struct firewall *w = &facts->firewall;
	const struct config *c = facts->config;
	unsigned int unclear = 0, seen = 0;
	char ports[64], text[96];

	for (unsigned int i = 0; i < w->n_dnat; i++) {
		const struct firewall_dnat *d = &w->dnat[i];

		if (c && d->n_ports) {
			if (!listened_on(d, c, ports, sizeof(ports)) || seen++ >= MANY_RULES)
				continue;
			snprintf(text, sizeof(text), "sends port %s", ports);
			find_dnat(d, text, r);
		} else if (!unclear++) {
			find_dnat(d, c ? "may send the listen ports" : "sends ports", r);
		}
	}
	if (seen > MANY_RULES)
		doctor_find(r, "dnat", DOCTOR_NOTE, "", "%u more rules send listen ports elsewhere",
			    seen - MANY_RULES);
	if (!w->err && !seen && !unclear)
		doctor_find(r, "dnat", DOCTOR_OK, "", "no rule sends %s elsewhere",
			    c ? "a listen port" : "ports");
}

static void judge_ipvs(const struct doctor_facts *facts, struct doctor_report *r)
{
	const struct firewall *w = &facts->firewall;
	const struct config *c = facts->config;
	char on[72];

	if (!w->n_virtuals) {
		doctor_find(r, "ipvs", DOCTOR_OK, "", "no virtual services");
		return;
	}
	for (unsigned int i = 0; i < w->n_virtuals; i++) {
		const struct firewall_virtual *v = &w->virtuals[i];
		bool ours = !c;

		for (unsigned int j = 0; c && j < c->n_listens; j++)
			ours |= v->port == c->listens[j].port &&
				!memcmp(v->ip, c->listens[j].address.ip, sizeof(v->ip));
		if (!ours && v->protocol)
			continue;
		text_address(v->ip, htons(v->port), on);
		doctor_find(r, "ipvs", DOCTOR_NOTE, v->protocol ? on : "fwmark",
			    "a virtual service of IPVS: ours comes first; what stays with the old "
			    "arm goes there as before");
	}
}

/* ---- addresses that move ---- */

static void judge_vrrp(const struct doctor_facts *facts, struct doctor_report *r)
{
	const struct host *h = &facts->host.host;
	const struct config *c = facts->config;
	struct doctor_finding *f;
	bool mac = false;
	char text[64];

	for (unsigned int i = 0; i < h->n_links; i++)
		mac |= h->links[i].vrrp_mac;
	if (!h->vrrp && !mac)
		doctor_find(r, "vrrp", DOCTOR_OK, "", "not spoken here");
	else {
		f = doctor_find(r, "vrrp", DOCTOR_NOTE, "",
				"%s: with an address that fails over, its shifted connections end",
				h->vrrp ? "a program here speaks VRRP"
					: "a virtual router's MAC is on this host");
		doctor_fix(f, "shiftctl apply on the other one, too, with the same weight");
	}
	for (unsigned int i = 0; c && i < c->n_listens; i++) {
		const struct host_address *a = host_address(h, c->listens[i].address.ip);

		if (a && a->origin == HOST_ORIGIN_KEEPALIVED)
			doctor_find(
				r, "vrrp", DOCTOR_NOTE,
				conf_address_text(&c->listens[i].address, text),
				"keepalived put this listen address here, and may take it away");
	}
}

void doctor_judge_network(const struct doctor_facts *f, struct doctor_report *r)
{
	if (f->host_err) {
		doctor_find(r, "host", DOCTOR_WARNING, "",
			    "the kernel does not tell addresses, links and routes: %s",
			    strerror(-f->host_err));
	} else {
		judge_vrrp(f, r);
		for (unsigned int i = 0; i < f->n_ways; i++)
			judge_way(f, &f->ways[i], r);
	}
	if (f->config && f->plan && !f->host_err) {
		judge_ephemeral(f, r);
		judge_sockets(f, r);
	}
	judge_firewall(f, r);
	judge_dnat(f, r);
	judge_ipvs(f, r);
}
