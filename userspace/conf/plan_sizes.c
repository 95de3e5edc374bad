/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan_sizes.c - what fits: connections per second, memory, the uplink
 *
 * A shifted connection takes one port of one NAT address towards one backend for as long as it
 * lives and for the quarantine behind it. So towards one backend there are
 *
 *     NAT addresses x ports / (lifetime + quarantine)
 *
 * new connections per second, and that for every backend of the family. Backends get parts by
 * weight: the one with the largest part is full first, and what then comes for it stays with the
 * old host. Several addresses of one backend count once, because they never use the same port at
 * one time. The quarantine is taken in full; a port whose client closed first returns sooner, so
 * this is the floor.
 */
#include <string.h>

#include "bpf/shift.h"
#include "userspace/base/text.h"
#include "userspace/conf/plan_inner.h"

/* An element of the kernel's hash, with its bucket. */
#define HASH_BYTES(key, value) (48 + ((key) + 7) / 8 * 8 + (value) + 16)
#define ARRIVAL_BYTES	       HASH_BYTES(sizeof(struct shift_arrival_key), sizeof(struct shift_arrival))
#define FAILER_BYTES	       HASH_BYTES(sizeof(struct shift_failer_key), sizeof(struct shift_failer))

/* The counters, once per CPU. */
#define CPU_BYTES                                                                                  \
	(SHIFT_IFSTATS_PLACES * sizeof(struct shift_if_stats) +                                    \
	 SHIFT_MAX_SERVICES *                                                                      \
		 (sizeof(struct shift_service_stats) + SHIFT_ARMS * sizeof(struct shift_arm)) +    \
	 SHIFT_MAX_BACKENDS * (sizeof(struct shift_backend_stats) + sizeof(struct shift_answers)))

/* ---- families ---- */

static unsigned int addresses_of(const struct plan *p, unsigned int backend, uint8_t family)
{
	const struct resolved *to = &p->h->backend[backend].to;
	unsigned int n = 0;

	for (unsigned int i = 0; i < to->n; i++)
		n += ip_family(to->address[i]) == family;
	return n;
}

static void count_family(struct plan *p, struct plan_family *f)
{
	const struct config *c = p->c;
	unsigned int weights = 0, heaviest = 0;
	double each;

	for (unsigned int i = 0; i < c->n_listens; i++)
		f->listens += c->listens[i].address.family == f->family;
	for (unsigned int i = 0; i < c->n_nat; i++)
		f->nat += c->nat[i].family == f->family;
	for (unsigned int i = 0; i < c->n_backends; i++) {
		unsigned int n = addresses_of(p, i, f->family), weight = c->backends[i].weight;

		if (!n || !weight)
			continue;
		f->backends++;
		f->addresses += n;
		weights += weight;
		if (weight > heaviest) {
			heaviest = weight;
			f->first = i;
		}
	}
	f->ports = c->port_hi - c->port_lo + 1u;
	f->seconds = (double)(p->load->lifetime_ms + c->timeouts.port_quarantine) / 1000;
	if (!heaviest || !f->nat)
		return;
	/* With neither lifetime nor quarantine a port is free again at once: no limit worth a
	 * number */
	each = (double)f->nat * f->ports / (f->seconds > 0.001 ? f->seconds : 0.001);
	f->capacity = each * f->backends;
	f->first_full = each * weights / heaviest;
}

void plan_count(struct plan *p)
{
	for (unsigned int i = 0; i < 2; i++) {
		p->report->family[i].family = i ? 6 : 4;
		count_family(p, &p->report->family[i]);
	}
}

/* ---- stages ---- */

/* The family that is full first: nobody knows how clients divide between them. */
static const struct plan_family *narrowest(const struct plan *p)
{
	const struct plan_family *least = NULL;

	for (unsigned int i = 0; i < 2; i++) {
		const struct plan_family *f = &p->report->family[i];

		if (f->listens && f->first_full > 0 &&
		    (!least || f->first_full < least->first_full))
			least = f;
	}
	return least;
}

static void check_stages(struct plan *p)
{
	const struct plan_family *f = narrowest(p);
	struct plan_report *r = p->report;
	const struct plan_stage *worst = NULL;
	char need[32], most[32], weight[16];
	unsigned int nat;

	r->n_stages = p->c->n_stages;
	for (unsigned int i = 0; i < r->n_stages; i++) {
		const struct conf_stage *from = &p->c->stages[i];
		struct plan_stage *s = &r->stage[i];
		double share = from->weight / 10000.0;

		s->at = from->at;
		s->weight = from->weight;
		s->hold_ms = from->hold_ms;
		s->ceiling = f && share > 0 ? f->first_full / share : 0;
		s->shifted = p->load->rate * share;
		s->fits = !f || s->shifted <= f->first_full;
		if (!s->fits && !worst)
			worst = s;
	}
	if (!worst)
		return;
	/* enough for the last stage, or the warning comes again there */
	nat = (unsigned int)(r->stage[r->n_stages - 1].shifted / f->first_full * f->nat) + 1;
	plan_find(p, PLAN_WARNING, worst->at, "ramp.stages",
		  "%s%% of the %s rate is %s connections/s, and backend %s is full at %s: the "
		  "rest would stay with the old host; the last stage needs %u IPv%u NAT addresses",
		  text_weight(worst->weight, weight), p->load->measured ? "measured" : "stated",
		  text_count((uint64_t)(worst->shifted + 0.5), need), p->c->backends[f->first].name,
		  text_count((uint64_t)(f->first_full + 0.5), most), nat, f->family);
}

/* ---- memory ---- */

static unsigned int protocols(const struct plan *p, uint8_t family)
{
	unsigned int seen = 0;

	for (unsigned int i = 0; i < p->c->n_listens; i++)
		if (p->c->listens[i].address.family == family)
			seen |= p->c->listens[i].protocol == 6 ? 1 : 2;
	return (seen & 1) + (seen >> 1);
}

static void check_memory(struct plan *p)
{
	struct plan_memory *m = &p->report->memory;
	uint64_t targets = 0;
	char need[32], have[32];

	for (unsigned int i = 0; i < 2; i++) {
		const struct plan_family *f = &p->report->family[i];

		for (unsigned int b = 0; b < p->c->n_backends; b++) {
			unsigned int n =
				addresses_of(p, b, f->family) * f->nat * protocols(p, f->family);

			targets += n;
			if (n > SHIFT_BACKEND_TARGETS)
				plan_find(
					p, PLAN_TOO_MANY, p->c->backends[b].at, "backends",
					"%s has %u ways in IPv%u (addresses x NAT addresses), and "
					"%d is the most",
					p->c->backends[b].name, n, f->family,
					SHIFT_BACKEND_TARGETS);
		}
	}
	if (targets >= SHIFT_MAX_TARGETS)
		plan_find(
			p, PLAN_TOO_MANY, p->c->nat_at, "nat.addresses",
			"make %llu ways to the backends (addresses x NAT addresses), and %d is the "
			"most",
			(unsigned long long)targets, SHIFT_MAX_TARGETS - 1);
	m->flows = targets * (p->c->port_hi - p->c->port_lo + 1u);
	m->records = m->flows * sizeof(struct shift_flow);
	m->index = shift_lines((uint32_t)m->flows) * sizeof(struct shift_index_line);
	m->fixed =
		SHIFT_MAX_SERVICES * (sizeof(struct shift_control) + sizeof(struct shift_service) +
				      SHIFT_RANKS + 2 * sizeof(struct shift_table)) +
		(SHIFT_SYN_LINES + SHIFT_UDP_LINES) * sizeof(struct shift_syn_line) +
		sizeof(struct shift_ports) + SHIFT_FRAGMENTS * sizeof(struct shift_fragment) +
		SHIFT_HELD * sizeof(struct shift_held) +
		SHIFT_MAX_SERVICES * sizeof(struct shift_load) + SHIFT_ARRIVALS * ARRIVAL_BYTES +
		SHIFT_WATCHES * sizeof(struct shift_watch) + SHIFT_FAILERS * FAILER_BYTES +
		SHIFT_MAX_SERVICES * (sizeof(struct shift_seen) + sizeof(struct shift_origins)) +
		p->h->host.cpus * CPU_BYTES + SHIFT_MAX_BACKENDS * sizeof(struct shift_backend) +
		SHIFT_MAX_TARGETS * (sizeof(struct shift_target) +
				     SHIFT_MAX_SHARDS * sizeof(struct shift_cursor));
	m->total = m->records + m->index + m->fixed;
	if (p->h->host.memory && m->total > p->h->host.memory / 2)
		plan_find(p, PLAN_WARNING, p->c->nat_at, "nat",
			  "needs %s MiB, and this host has %s MiB to spare: fewer NAT addresses or "
			  "ports need less",
			  text_count(m->total >> 20, need),
			  text_count(p->h->host.memory >> 20, have));
}

/* ---- uplink ---- */

static bool has_default_route(const struct host *h, uint32_t ifindex)
{
	for (unsigned int i = 0; i < h->n_routes; i++)
		if (h->routes[i].ifindex == ifindex && !h->routes[i].prefix)
			return true;
	return false;
}

static bool holds_listen(const struct plan *p, uint32_t ifindex)
{
	for (unsigned int i = 0; i < p->c->n_listens; i++) {
		const struct host_address *a;

		a = host_address(&p->h->host, p->c->listens[i].address.ip);
		if (a && a->ifindex == ifindex)
			return true;
	}
	return false;
}

/* Is any way to a backend known, and does one lead through this link (0: any link)? */
static bool leads_to_backend(const struct plan *p, uint32_t ifindex)
{
	for (unsigned int i = 0; i < p->c->n_backends; i++)
		for (unsigned int j = 0; j < p->h->backend[i].to.n; j++) {
			uint32_t way = p->h->backend[i].ifindex[j];

			if (way && (!ifindex || way == ifindex))
				return true;
		}
	return false;
}

/*
 * Clients' packets come in and go out as before; shifted ones go out again to the backend, and the
 * backend's come in before they go out to the client.
 */
static void load_link(const struct plan *p, const struct host_link *l, double share,
		      struct plan_uplink *u)
{
	bool clients = holds_listen(p, l->ifindex) || has_default_route(&p->h->host, l->ifindex);
	bool backends = leads_to_backend(p, 0) ? leads_to_backend(p, l->ifindex) : clients;
	double up = (double)p->load->up, down = (double)p->load->down, in = 0, out = 0, busier;

	if (clients || !backends) {
		in += up;
		out += down;
	}
	if (backends) {
		in += down * share;
		out += up * share;
	}
	u->in = (uint64_t)in;
	u->out = (uint64_t)out;
	busier = in > out ? in : out;
	u->load = u->bits ? busier / (double)u->bits : 0;
}

static void check_link(struct plan *p, const struct conf_interface *iface,
		       const struct host_link *l)
{
	struct plan_uplink *u = &p->report->uplink[p->report->n_uplinks++];
	unsigned int n = p->c->n_stages;
	char busy[32], bits[32], weight[16];
	uint64_t most = 0;

	snprintf(u->name, sizeof(u->name), "%s", l->name);
	u->bits = l->bits ? l->bits : p->load->link;
	for (unsigned int i = 0; i < n || (!n && !i); i++) {
		uint16_t at = n ? p->c->stages[i].weight : SHIFT_WEIGHT_MAX;

		load_link(p, l, at / 10000.0, u);
		if (u->load > PLAN_UPLINK_MAX && !u->over)
			u->over = at;
	}
	most = u->in > u->out ? u->in : u->out;
	if (!u->bits)
		plan_find(p, PLAN_WARNING, iface->at, "interfaces",
			  "the speed of %s is unknown: state it with --link-speed", l->name);
	else if (u->over)
		plan_find(p, PLAN_UPLINK_LOAD, iface->at, "interfaces",
			  "from weight %s on, %s would carry more than %d%% of its %s (%s at the "
			  "last stage): shifted traffic crosses it twice",
			  text_weight(u->over, weight), l->name, (int)(PLAN_UPLINK_MAX * 100 + 0.5),
			  plan_bits(u->bits, bits), plan_bits(most, busy));
}

static void check_uplinks(struct plan *p)
{
	if (!p->load->up && !p->load->down)
		return;
	for (unsigned int i = 0; i < p->c->n_interfaces; i++) {
		const struct host_link *l;

		l = host_link_named(&p->h->host, p->c->interfaces[i].name);
		if (l && !l->loopback)
			check_link(p, &p->c->interfaces[i], l);
	}
}

void plan_sizes(struct plan *p)
{
	check_stages(p);
	check_memory(p);
	check_uplinks(p);
}
