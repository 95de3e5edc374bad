/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sync_backends.c - backends, their targets with the arrays of flow records, and the Maglev tables
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "userspace/base/text.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/control.h"
#include "userspace/plane/flows.h"
#include "userspace/plane/maglev.h"
#include "userspace/plane/sync_picture.h"
#include "userspace/plane/telemetry.h"

#define PORTS_PER_SHARD 64

/* ---- targets ------------------------------------------------------------------------------- */

static struct shift_reply_key reply_key(const struct shift_target *t)
{
	struct shift_reply_key key = {.port = t->port, .protocol = t->protocol};

	memcpy(key.address, t->address, sizeof(key.address));
	memcpy(key.nat, t->nat, sizeof(key.nat));
	return key;
}

static uint32_t find_target(const struct picture *s, const struct shift_target *like)
{
	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS; id++) {
		const struct shift_target *t = &s->target[id];

		if (t->flags & SHIFT_TARGET_USED && t->port == like->port &&
		    t->protocol == like->protocol &&
		    !memcmp(t->address, like->address, sizeof(t->address)) &&
		    !memcmp(t->nat, like->nat, sizeof(t->nat)))
			return id;
	}
	return 0;
}

static uint8_t shards_for(uint32_t members)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	uint32_t n = members / PORTS_PER_SHARD;

	if (cpus > 0 && n > (uint32_t)cpus)
		n = (uint32_t)cpus;
	if (n > SHIFT_MAX_SHARDS)
		n = SHIFT_MAX_SHARDS;
	return n ? (uint8_t)n : 1;
}

static int make_target(struct picture *s, struct shift_target *t, uint32_t *ret_id)
{
	struct shift_reply_key key = reply_key(t);
	char a[64];
	uint32_t id;
	int slots, err;

	for (id = 1; id < SHIFT_MAX_TARGETS; id++) {
		if (!(s->target[id].flags & SHIFT_TARGET_USED) && !s->held_target[id])
			break;
	}
	if (id == SHIFT_MAX_TARGETS) {
		sync_tell(s, "no room for %s: %d targets (backend address and NAT address) at most",
			  text_address(t->address, t->port, a), SHIFT_MAX_TARGETS - 1);
		return -ENOSPC;
	}
	bpfsys_lift_memory_limit();
	slots = bpfsys_create_array("shift_records", sizeof(struct shift_flow), t->ports,
				    BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	if (slots < 0)
		return slots;
	err = sync_put(s, PLANE_SLOTS, id, &slots);
	close(slots);
	for (uint32_t i = 0; i < SHIFT_MAX_SHARDS && !err; i++) {
		/* Not always the same ports first after a restart: the backend may remember them.
		 */
		struct shift_cursor c = {.hand = (uint32_t)shift_mix(control_boot_ns() + i)};

		err = sync_put(s, PLANE_CURSORS, id * SHIFT_MAX_SHARDS + i, &c);
	}
	if (!err)
		err = sync_put(s, PLANE_TARGETS, id, t);
	if (!err)
		err = bpfsys_update(s->p->map[PLANE_REPLIES], &key, &id);
	if (err)
		return err;
	s->target[id] = *t;
	*ret_id = id;
	return 0;
}

#define LOADS (SHIFT_MAX_SERVICES * sizeof(struct shift_load))

/* The counts of clients' flows, for as long as flows are forgotten; NULL: there is no memory. */
static struct shift_load *map_loads(const struct picture *s)
{
	void *m = mmap(NULL, LOADS, PROT_READ | PROT_WRITE, MAP_SHARED, s->p->map[PLANE_LOAD], 0);

	return m == MAP_FAILED ? NULL : m;
}

static void uncount(struct shift_load *loads, struct shift_flow *f)
{
	if (!loads || !(f->counted & SHIFT_COUNTED_LOAD) || f->service >= SHIFT_MAX_SERVICES)
		return;
	f->counted &= (uint8_t)~SHIFT_COUNTED_LOAD;
	__atomic_fetch_sub(&loads[f->service].flows[f->load], 1, __ATOMIC_RELAXED);
}

/* The program takes up none of these records meanwhile: the target drains, or, where other services
 * still use it, only those are touched that hold their port. */
int sync_forget_flows(struct picture *s, uint32_t target, int service)
{
	uint32_t now = plane_tick(&s->g);
	struct shift_load *loads;
	struct flows_array a;
	int err = flows_map(s->p, target, &a);

	if (err)
		return err == -ENOENT ? 0 : err;
	loads = map_loads(s);
	for (uint32_t i = 0; i < a.count; i++) {
		struct shift_flow *f = &a.flow[i];

		if (f->state == SHIFT_FLOW_FREE ||
		    (service >= 0 && (f->service != service || !shift_flow_holds(f, now))))
			continue;
		uncount(loads, f);
		/* Whoever takes the port takes the reference to it out of the index. */
		f->was = SHIFT_FLOW_ABANDONED;
		f->expires = now;
		f->state = SHIFT_FLOW_ABANDONED;
	}
	if (loads)
		munmap(loads, LOADS);
	flows_unmap(&a);
	return 0;
}

int sync_free_target(struct picture *s, uint32_t id)
{
	struct shift_reply_key key = reply_key(&s->target[id]);
	int err = sync_forget_flows(s, id, -1);

	if (!err)
		err = bpfsys_delete(s->p->map[PLANE_REPLIES], &key);
	if (!err || err == -ENOENT)
		err = bpfsys_delete(s->p->map[PLANE_SLOTS], &id);
	if (err && err != -ENOENT)
		return err;
	memset(&s->target[id], 0, sizeof(s->target[id]));
	return sync_put(s, PLANE_TARGETS, id, &s->target[id]);
}

/* Does a backend of another service send its flows there? */
static bool shared(const struct picture *s, uint32_t id)
{
	for (int i = 0; i < SHIFT_MAX_BACKENDS; i++) {
		const struct shift_backend *b = &s->backend[i];

		if (!(b->flags & SHIFT_BACKEND_USED) || b->service == s->service)
			continue;
		for (int l = 0; l < SHIFT_BACKEND_LISTS; l++)
			for (int k = 0; k < b->targets[l]; k++)
				if (b->target[l][k] == id)
					return true;
	}
	return false;
}

/* Frees a target so that it can be made anew. 1: flows hold it, or another service uses it. */
static int let_go(struct picture *s, uint32_t id)
{
	uint8_t flags = s->target[id].flags;
	int err;

	if (s->held_target[id] || shared(s, id))
		return 1;
	s->target[id].flags |= SHIFT_TARGET_DRAIN;
	err = sync_put(s, PLANE_TARGETS, id, &s->target[id]);
	if (err)
		return err;
	sync_grace(); /* whoever saw it before it drained has inserted his flow by now */
	err = sync_count_holders(s);
	if (err)
		return err;
	if (!s->held_target[id])
		return sync_free_target(s, id);
	s->target[id].flags = flags;
	return 1;
}

/* The target of one backend address and NAT address, made or brought up to date. */
static int want_target(struct picture *s, const struct sync_backend *b, uint16_t backend,
		       unsigned int place, const uint32_t nat[4], uint8_t protocol,
		       uint32_t *ret_id)
{
	struct shift_target t = {.port = b->port,
				 .port_lo = s->w->port_lo,
				 .ports = (uint32_t)(s->w->port_hi - s->w->port_lo) + 1,
				 .protocol = protocol,
				 .flags = SHIFT_TARGET_USED,
				 .backend = backend};
	struct sync_way way = {0};
	uint32_t id;
	int err;

	memcpy(t.address, b->address[place], sizeof(t.address));
	memcpy(t.nat, nat, sizeof(t.nat));
	t.family = ip_family(t.address);
	for (unsigned int i = 0; i < b->addresses; i++) {
		if (ip_family(b->address[i]) != t.family)
			continue;
		if (i < place)
			t.phase++;
		t.stride++;
	}
	s->way(t.address, t.nat, &way);
	t.ifindex = way.ifindex;
	t.mtu = way.mtu;
	memcpy(t.gateway, way.gateway, sizeof(t.gateway));
	t.gateway_known = way.gateway_known;
	if (!way.ifindex) {
		t.flags |= SHIFT_TARGET_NO_ROUTE;
		s->result.no_route++;
	}
	t.shards = shards_for(t.ports / t.stride);
	id = find_target(s, &t);
	if (id && (s->target[id].port_lo != t.port_lo || s->target[id].ports != t.ports)) {
		err = let_go(s, id);
		if (err < 0)
			return err;
		if (!err) {
			id = 0;
		} else {
			s->kept_ports++;
			s->kept_flows += s->held_target[id];
			t.port_lo = s->target[id].port_lo;
			t.ports = s->target[id].ports;
			t.shards = shards_for(t.ports / t.stride);
		}
	}
	if (!id)
		return make_target(s, &t, ret_id);
	*ret_id = id;
	t.flags |= s->target[id].flags & SHIFT_TARGET_MASQUERADE;
	t.backend = s->target[id].backend; /* another service's, perhaps: whose it was first */
	if (t.backend != backend && s->target[id].stride > t.stride) {
		/* Two services share it: the one with more addresses decides who may use which
		 * port. */
		t.stride = s->target[id].stride;
		t.phase = s->target[id].phase;
		t.shards = s->target[id].shards;
	}
	if (!memcmp(&t, &s->target[id], sizeof(t)))
		return 0;
	s->target[id] = t;
	return sync_put(s, PLANE_TARGETS, id, &t);
}

/* ---- backends ------------------------------------------------------------------------------ */

static int find_backend(const struct picture *s, const char *name)
{
	for (int id = 0; id < SHIFT_MAX_BACKENDS; id++) {
		const struct shift_backend *b = &s->backend[id];

		if (b->flags & SHIFT_BACKEND_USED && b->service == s->service &&
		    !strncmp(b->name, name, sizeof(b->name)))
			return id;
	}
	return -ENOENT;
}

static int new_backend(struct picture *s, const struct sync_backend *b)
{
	for (uint32_t id = 0; id < SHIFT_MAX_BACKENDS; id++) {
		if (s->backend[id].flags & SHIFT_BACKEND_USED || s->held_backend[id])
			continue;
		memset(&s->backend[id], 0, sizeof(s->backend[id]));
		if (telemetry_clear_backend(s->p, id) ||
		    sync_put(s, PLANE_BREAKERS, id, &(struct shift_breaker){0}))
			return -EIO;
		return (int)id;
	}
	sync_tell(s, "no room for backend %s: %d backends at most", b->name, SHIFT_MAX_BACKENDS);
	return -ENOSPC;
}

/* The addresses it has now, for a name that cannot be resolved at the moment. */
static void last_addresses(const struct picture *s, const struct shift_backend *was,
			   struct sync_backend *b)
{
	for (int list = 0; list < SHIFT_BACKEND_LISTS; list++) {
		if (!b->keep_last[list & 1])
			continue;
		for (unsigned int i = 0; i < was->targets[list]; i++) {
			const struct shift_target *t = &s->target[was->target[list][i]];
			bool known = false;

			for (unsigned int k = 0; k < b->addresses; k++)
				known |= !memcmp(b->address[k], t->address, sizeof(t->address));
			if (!known && b->addresses < SYNC_ADDRESSES)
				memcpy(b->address[b->addresses++], t->address, sizeof(t->address));
		}
	}
}

static bool listens_by(const struct picture *s, uint8_t protocol)
{
	for (unsigned int i = 0; i < s->w->n_listens; i++)
		if (s->w->listens[i].protocol == protocol)
			return true;
	return false;
}

static int want_targets(struct picture *s, const struct sync_backend *b, uint16_t id,
			uint8_t protocol, struct shift_backend *next)
{
	for (unsigned int place = 0; place < b->addresses && listens_by(s, protocol); place++) {
		uint8_t family = ip_family(b->address[place]);
		uint32_t f = shift_list(family == 6, protocol);

		for (unsigned int n = 0; n < s->w->n_nat; n++) {
			uint32_t target;
			int err;

			if (ip_family(s->w->nat[n]) != family)
				continue;
			if (next->targets[f] == SHIFT_BACKEND_TARGETS) {
				sync_tell(
					s,
					"no room: backend %s has more than %d pairs of address and "
					"NAT address",
					b->name, SHIFT_BACKEND_TARGETS);
				return -ENOSPC;
			}
			err = want_target(s, b, id, place, s->w->nat[n], protocol, &target);
			if (err)
				return err;
			next->target[f][next->targets[f]++] = (uint16_t)target;
		}
	}
	return 0;
}

static void tell_backend(struct picture *s, const char *sign, const struct sync_backend *b)
{
	char list[200] = "", a[64];
	size_t used = 0;

	for (unsigned int i = 0; i < b->addresses && used < sizeof(list); i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, " %s",
					 text_address(b->address[i], b->port, a));
	sync_tell(s, "%s backend %s weight %u:%s", sign, b->name, b->weight, list);
}

/* ---- ports that siblings share for a while -------------------------------------------------- */

static bool lists(const struct shift_backend *b, int list, unsigned int n, uint16_t target)
{
	for (unsigned int i = 0; i < n; i++) {
		if (b->target[list][i] == target)
			return true;
	}
	return false;
}

/* Those that `was` had and `next` has not stand behind its own, as long as flows hold their ports.
 */
static void keep_leaving(const struct picture *s, const struct shift_backend *was,
			 struct shift_backend *next)
{
	for (int f = 0; f < SHIFT_BACKEND_LISTS; f++) {
		unsigned int had = was->targets[f] + was->leaving[f];

		next->leaving[f] = 0;
		for (unsigned int i = 0; i < had && i < SHIFT_BACKEND_TARGETS; i++) {
			uint16_t target = was->target[f][i];
			unsigned int n = next->targets[f] + next->leaving[f];

			if (n < SHIFT_BACKEND_TARGETS && s->held_target[target] &&
			    !lists(next, f, n, target))
				next->target[f][next->targets[f] + next->leaving[f]++] = target;
		}
	}
}

/* Does a flow of before hold a port that is another address's by now? */
static bool out_of_phase(const struct picture *s, uint16_t target)
{
	const struct shift_target *t = &s->target[target];
	uint32_t now = plane_tick(&s->g);
	struct flows_array a;
	bool found = false;

	if (t->stride < 2 || !s->held_target[target] || flows_map(s->p, target, &a))
		return false;
	for (uint32_t i = 0; i < a.count && !found; i++)
		found = i % t->stride != t->phase && shift_flow_holds(&a.flow[i], now);
	flows_unmap(&a);
	return found;
}

int sync_settle_mixed(struct picture *s)
{
	for (uint32_t id = 0; id < SHIFT_MAX_BACKENDS; id++) {
		struct shift_backend next = s->backend[id];
		bool mixed = false;
		int err;

		if (!(next.flags & SHIFT_BACKEND_MIXED) || !s->wanted_backend[id])
			continue;
		keep_leaving(s, &s->backend[id], &next);
		for (int f = 0; f < SHIFT_BACKEND_LISTS; f++) {
			mixed |= next.leaving[f];
			for (unsigned int i = 0; i < next.targets[f] && !mixed; i++)
				mixed = out_of_phase(s, next.target[f][i]);
		}
		if (!mixed)
			next.flags &= (uint8_t)~SHIFT_BACKEND_MIXED;
		if (!memcmp(&next, &s->backend[id], sizeof(next)))
			continue;
		s->backend[id] = next;
		err = sync_put(s, PLANE_BACKENDS, id, &next);
		if (err)
			return err;
	}
	return 0;
}

/* Before the addresses change, so that no port is given under both the old and the new order. */
static int begin_mixed(struct picture *s, uint32_t id)
{
	s->backend[id].flags |= SHIFT_BACKEND_MIXED;
	return sync_put(s, PLANE_BACKENDS, id, &s->backend[id]);
}

static bool same_addresses(const struct picture *s, const struct shift_backend *is,
			   const struct sync_backend *b)
{
	unsigned int seen[2] = {0, 0};

	for (int f = 0; f < SHIFT_BACKEND_LISTS; f++) {
		for (unsigned int i = 0; i < is->targets[f]; i++) {
			const struct shift_target *t = &s->target[is->target[f][i]];
			unsigned int k = 0;

			while (k < b->addresses &&
			       memcmp(b->address[k], t->address, sizeof(t->address)))
				k++;
			if (k == b->addresses || t->port != b->port)
				return false;
			seen[f >> 1] +=
				!memcmp(t->nat, s->target[is->target[f][0]].nat, sizeof(t->nat));
		}
	}
	return seen[0] == (listens_by(s, IPPROTO_TCP) ? b->addresses : 0) &&
	       seen[1] == (listens_by(s, IPPROTO_UDP) ? b->addresses : 0);
}

/* An apply is a fresh look: what failed before may take flows again. */
static int close_breaker(struct picture *s, uint32_t id, const char *name)
{
	struct shift_breaker is, closed;
	int err = bpfsys_lookup(s->p->map[PLANE_BREAKERS], &id, &is);

	if (err || (!is.open && !is.failures))
		return err;
	if (is.open)
		sync_tell(s, "~ breaker of backend %s closed", name);
	closed = (struct shift_breaker){.opened_at = is.opened_at, .opened = is.opened};
	return sync_put(s, PLANE_BREAKERS, id, &closed);
}

int sync_backend(struct picture *s, const struct sync_backend *wish)
{
	struct sync_backend b = *wish;
	struct shift_backend next;
	int id = find_backend(s, b.name), err = 0;
	bool fresh = id < 0;

	if (fresh) {
		id = new_backend(s, &b);
		if (id < 0)
			return id;
	}
	last_addresses(s, &s->backend[id], &b);
	if (!fresh && !same_addresses(s, &s->backend[id], &b))
		err = begin_mixed(s, (uint32_t)id);
	if (err)
		return err;
	next = s->backend[id];
	snprintf(next.name, sizeof(next.name), "%s", b.name);
	next.flags = SHIFT_BACKEND_USED | (next.flags & SHIFT_BACKEND_MIXED);
	next.service = (uint8_t)s->service;
	next.weight = b.weight;
	memset(next.targets, 0, sizeof(next.targets));
	memset(next.target, 0, sizeof(next.target));
	err = want_targets(s, &b, (uint16_t)id, IPPROTO_TCP, &next);
	if (!err)
		err = want_targets(s, &b, (uint16_t)id, IPPROTO_UDP, &next);
	if (err)
		return err;
	keep_leaving(s, &s->backend[id], &next);
	s->wanted_backend[id] = true;
	err = close_breaker(s, (uint32_t)id, b.name);
	if (err)
		return err;
	if (!fresh && !memcmp(&next, &s->backend[id], sizeof(next)))
		return 0;
	tell_backend(s, fresh ? "+" : "~", &b);
	s->backend[id] = next;
	return sync_put(s, PLANE_BACKENDS, (uint32_t)id, &next);
}

int sync_tables(struct picture *s)
{
	for (int family = 0; family < 2; family++) {
		struct maglev_backend part[SHIFT_MAX_BACKENDS];
		struct shift_table was, table;
		uint32_t key = (uint32_t)s->service * 2 + (uint32_t)family;
		unsigned int n = 0;
		int err;

		for (uint32_t id = 0; id < SHIFT_MAX_BACKENDS; id++) {
			const struct shift_backend *b = &s->backend[id];

			if (s->wanted_backend[id] && (b->targets[family] || b->targets[family + 2]))
				part[n++] = (struct maglev_backend){
					s->backend[id].name, (uint16_t)id, s->backend[id].weight};
		}
		err = maglev_fill(part, n, &table);
		if (err)
			return err;
		if (!bpfsys_lookup(s->p->map[PLANE_TABLES], &key, &was) &&
		    !memcmp(&was, &table, sizeof(table)))
			continue;
		err = sync_put(s, PLANE_TABLES, key, &table);
		if (err)
			return err;
	}
	return 0;
}
