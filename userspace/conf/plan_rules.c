/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan_rules.c - what the configuration asks for, held against where it leads
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "userspace/base/text.h"
#include "userspace/conf/plan_inner.h"

static bool same_ip(const uint32_t a[4], const uint32_t b[4])
{
	return !memcmp(a, b, 4 * sizeof(uint32_t));
}

static bool is_loopback(const uint32_t ip[4])
{
	if (ip_family(ip) == 4)
		return ntohl(ip[3]) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)ip);
}

/* The listener at this address, any port; n_listens: none. */
static unsigned int listen_at(const struct config *c, const uint32_t ip[4], int port)
{
	unsigned int i = 0;

	for (; i < c->n_listens; i++)
		if (same_ip(c->listens[i].address.ip, ip) &&
		    (port < 0 || c->listens[i].port == port))
			break;
	return i;
}

static bool is_old(const struct config *c, const uint32_t ip[4])
{
	for (unsigned int i = 0; i < c->dns.n_old; i++)
		if (same_ip(c->dns.old[i].ip, ip))
			return true;
	return false;
}

static bool is_local(const struct plan *p, const uint32_t ip[4])
{
	return is_loopback(ip) || host_address(&p->h->host, ip);
}

/* ---- names ---- */

static void check_names(struct plan *p)
{
	char key[64];

	for (unsigned int i = 0; i < p->c->n_backends; i++) {
		const struct conf_backend *b = &p->c->backends[i];
		const struct plan_name *name = &p->h->backend[i];

		snprintf(key, sizeof(key), "backends[%u].target", i);
		if (name->err && name->to.n)
			plan_find(p, PLAN_WARNING, b->target_at, key,
				  "%s %s: the addresses it had stay (%u)", b->host,
				  name->err == -ENOENT ? "has no address now"
						       : "cannot be resolved now",
				  name->to.n);
		else if (name->err == -ENOENT)
			plan_find(p, PLAN_WARNING, b->target_at, key,
				  "%s has no address: this backend takes nothing until it has",
				  b->host);
		else if (name->err)
			plan_find(p, PLAN_WARNING, b->target_at, key,
				  "%s cannot be resolved now: %s", b->host, strerror(-name->err));
		else if (name->to.left_out)
			plan_find(p, PLAN_WARNING, b->target_at, key,
				  "%s has %u addresses; the first %u are used", b->host,
				  name->to.n + name->to.left_out, name->to.n);
	}
}

/* ---- families ---- */

/* Can it be that a name has addresses of the family which were not told? */
static bool may_have_more(const struct plan *p, unsigned int family)
{
	for (unsigned int i = 0; i < p->c->n_backends; i++)
		if (p->c->backends[i].host[0] && p->c->backends[i].weight &&
		    p->h->backend[i].to.missing[family])
			return true;
	return false;
}

static struct conf_at first_listen(const struct config *c, uint8_t family, char key[64])
{
	for (unsigned int i = 0; i < c->n_listens; i++)
		if (c->listens[i].address.family == family) {
			snprintf(key, 64, "listen[%u]", i);
			return c->listens[i].address.at;
		}
	snprintf(key, 64, "listen");
	return (struct conf_at){0, 0};
}

static void check_family(struct plan *p, unsigned int i)
{
	const struct plan_family *f = &p->report->family[i];
	struct conf_at at;
	char key[64];

	at = first_listen(p->c, f->family, key);
	if (f->listens && !f->backends && may_have_more(p, i))
		plan_find(p, PLAN_WARNING, at, key,
			  "no backend is known to have an IPv%u address, and not every name could "
			  "be asked for one",
			  f->family);
	else if (f->listens && !f->backends)
		plan_find(
			p, PLAN_MISSING_FAMILY, at, key,
			"IPv%u is listened on, and no backend with a weight has an IPv%u address: "
			"at 100%% these clients would stay with the old host",
			f->family, f->family);
	else if (f->listens && !f->nat)
		plan_find(p, PLAN_MISSING_FAMILY, at, key,
			  "IPv%u is listened on, and nat.addresses has no IPv%u address: at 100%% "
			  "these clients would stay with the old host",
			  f->family, f->family);
	else if (!f->listens && f->backends)
		plan_find(p, PLAN_WARNING, (struct conf_at){0, 0}, "backends",
			  "the IPv%u addresses take nothing: IPv%u is not listened on", f->family,
			  f->family);
}

/* ---- ports ---- */

/* Clients that follow DNS keep the port they know. */
static void check_ports(struct plan *p)
{
	const struct config *c = p->c;
	char key[64];

	if (!c->dns.given)
		return;
	for (unsigned int i = 0; i < c->n_backends; i++)
		for (unsigned int j = 0; j < c->n_listens; j++) {
			if (c->backends[i].port == c->listens[j].port)
				continue;
			snprintf(key, sizeof(key), "backends[%u].target", i);
			plan_find(
				p, PLAN_PORT_CHANGE, c->backends[i].target_at, key,
				"port %u is not the port %u of listen[%u]: DNS cannot move ports, "
				"so clients would find nothing after the flip",
				c->backends[i].port, c->listens[j].port, j);
			break;
		}
}

/* ---- targets ---- */

static void check_target(struct plan *p, unsigned int i, const uint32_t ip[4])
{
	const struct config *c = p->c;
	const struct conf_backend *b = &c->backends[i];
	char key[64], text[64];
	unsigned int l;

	snprintf(key, sizeof(key), "backends[%u].target", i);
	text_address(ip, htons(b->port), text);
	l = listen_at(c, ip, b->port);
	if (l < c->n_listens) {
		plan_find(p, PLAN_LOOP, b->target_at, key,
			  "%s is listen[%u] itself: what is shifted there would be shifted again, "
			  "for ever",
			  text, l);
		return;
	}
	l = listen_at(c, ip, -1);
	if (l < c->n_listens)
		plan_find(p, PLAN_SELF_TARGET, b->target_at, key,
			  "%s is at the address of listen[%u]: the new arm would be the old host",
			  text, l);
	else if (is_old(c, ip))
		plan_find(
			p, PLAN_SELF_TARGET, b->target_at, key,
			"%s is an address of dns.old: the new arm would be an old host, which may "
			"shift back",
			text);
	else if (is_local(p, ip))
		plan_find(p, PLAN_SELF_TARGET, b->target_at, key,
			  "%s is an address of this host: the new arm would be the old host", text);
}

static void check_targets(struct plan *p)
{
	for (unsigned int i = 0; i < p->c->n_backends; i++)
		for (unsigned int j = 0; j < p->h->backend[i].to.n; j++)
			check_target(p, i, p->h->backend[i].to.address[j]);
}

/* ---- gates ---- */

/* What a request to this address would judge; NULL: nothing that is known to be the old arm. */
static const char *judges_old(const struct plan *p, const uint32_t ip[4])
{
	if (is_loopback(ip))
		return "the loopback";
	if (listen_at(p->c, ip, -1) < p->c->n_listens)
		return "the listen address";
	if (is_old(p->c, ip))
		return "an address of dns.old";
	return is_local(p, ip) ? "an address of this host" : NULL;
}

static void check_gate(struct plan *p, unsigned int i)
{
	const struct conf_gate *g = &p->c->gates[i];
	char key[64];

	if (!g->url.host[0] || g->via[0] || g->arm == CONF_ARM_OLD)
		return;
	for (unsigned int j = 0; j < p->h->gate[i].to.n; j++) {
		const char *what = judges_old(p, p->h->gate[i].to.address[j]);

		if (!what)
			continue;
		snprintf(key, sizeof(key), "gates[%u].source", i);
		plan_find(
			p, PLAN_LOCAL_GATE, g->source_at, key,
			"%s is %s: it would judge the old arm; write `arm: old`, or `via: BACKEND` "
			"to ask a backend",
			g->url.host, what);
		return;
	}
}

/* ---- what is left unsaid ---- */

static void warn_of_clients(struct plan *p)
{
	for (unsigned int i = 0; i < p->c->n_backends; i++) {
		const struct conf_backend *b = &p->c->backends[i];
		char key[64];

		if (b->client_address != CONF_CLIENT_UNSTATED)
			continue;
		snprintf(key, sizeof(key), "backends[%u]", i);
		plan_find(p, PLAN_WARNING, b->at, key,
			  "%s will see this host's address for every client, which rate limits, "
			  "allowlists and logs may not expect: write `client_address: hidden` when "
			  "that is right",
			  b->name);
		return;
	}
}

static void warn_of_ramp(struct plan *p)
{
	const struct config *c = p->c;
	const char *missing = !c->bypass_given
				      ? "`bypass: [NETWORK]` of the probes, or `bypass: []`"
			      : !c->authority_given ? "`authority: old` or `authority: shared`"
			      : !c->leader ? "`role: leader` on the one host that runs the ramp"
					   : NULL;

	if (!c->ramp_at.line)
		return;
	if (missing)
		plan_find(p, PLAN_WARNING, c->ramp_at, "ramp", "will not start here without %s",
			  missing);
	if (c->n_stages && c->stages[c->n_stages - 1].weight < 10000)
		plan_find(p, PLAN_WARNING, c->stages[c->n_stages - 1].weight_at, "ramp.stages",
			  "the last stage is not 100: commit and the DNS change need it");
}

static void warn_of_times(struct plan *p)
{
	char text[32];

	if (p->c->timeouts.port_quarantine >= 60000)
		return;
	plan_find(
		p, PLAN_WARNING, p->c->ports_at, "timeouts.port_quarantine",
		"%s is shorter than the 60s for which a Linux backend keeps TIME_WAIT: a port that "
		"returns early may be refused there",
		conf_duration_text(p->c->timeouts.port_quarantine, text));
}

void plan_rules(struct plan *p)
{
	check_names(p);
	check_family(p, 0);
	check_family(p, 1);
	check_ports(p);
	check_targets(p);
	for (unsigned int i = 0; i < p->c->n_gates; i++)
		check_gate(p, i);
	warn_of_clients(p);
	warn_of_ramp(p);
	warn_of_times(p);
}
