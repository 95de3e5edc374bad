/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sync_follow.c - other addresses for one backend: the wish is made from the maps themselves
 */
#include "userspace/plane/sync_follow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/plane/sync_picture.h"

#define MAX_NAT 64

struct recalled {
	struct sync_wish wish;
	struct sync_listen listen[SHIFT_MAX_LISTENS];
	uint32_t nat[MAX_NAT][4];
	struct sync_backend backend;
	uint32_t id; /* of it */
};

/* Listeners that take something; what is not wanted would drain. */
static void recall_listens(struct picture *s, struct recalled *r)
{
	for (uint32_t id = 1; id < SHIFT_MAX_LISTENS; id++) {
		const struct shift_listen *l = &s->listen[id];

		if (!(l->flags & SHIFT_LISTEN_USED) || l->flags & SHIFT_LISTEN_DRAIN ||
		    l->service != s->service)
			continue;
		s->wanted_listen[id] = true;
		r->listen[r->wish.n_listens++] =
			(struct sync_listen){.port = l->port,
					     .protocol = l->protocol,
					     .quic = l->flags & SHIFT_LISTEN_QUIC};
	}
}

static void add_nat(struct recalled *r, const struct shift_target *t)
{
	for (unsigned int i = 0; i < r->wish.n_nat; i++)
		if (!memcmp(r->nat[i], t->nat, sizeof(t->nat)))
			return;
	if (r->wish.n_nat < MAX_NAT)
		memcpy(r->nat[r->wish.n_nat++], t->nat, sizeof(t->nat));
}

/* -ENODATA: targets that have other ports than the rest wait for their flows to end. */
static int recall_target(struct recalled *r, const struct shift_target *t)
{
	uint16_t hi = (uint16_t)(t->port_lo + t->ports - 1);

	if (r->wish.n_nat && (r->wish.port_lo != t->port_lo || r->wish.port_hi != hi))
		return -ENODATA;
	r->wish.port_lo = t->port_lo;
	r->wish.port_hi = hi;
	add_nat(r, t);
	return 0;
}

static int recall_backends(struct picture *s, const char *name, struct recalled *r)
{
	bool found = false;
	int err = 0;

	for (uint32_t id = 0; id < SHIFT_MAX_BACKENDS && !err; id++) {
		const struct shift_backend *b = &s->backend[id];

		if (!(b->flags & SHIFT_BACKEND_USED) || b->flags & SHIFT_BACKEND_DRAIN ||
		    b->service != s->service)
			continue;
		s->wanted_backend[id] = true;
		for (int list = 0; list < SHIFT_BACKEND_LISTS; list++)
			for (unsigned int i = 0; i < b->targets[list] && !err; i++)
				err = recall_target(r, &s->target[b->target[list][i]]);
		if (strncmp(b->name, name, sizeof(b->name)))
			continue;
		found = true;
		r->id = id;
		memcpy(r->backend.name, b->name, sizeof(b->name));
		r->backend.weight = b->weight;
		for (int list = 0; list < SHIFT_BACKEND_LISTS; list++)
			if (b->targets[list])
				r->backend.port = s->target[b->target[list][0]].port;
	}
	if (err || found)
		return err ? err : r->backend.port ? 0 : -ENODATA;
	return -ENOENT;
}

/* Is there a NAT address for each? */
static int check_families(const struct recalled *r)
{
	for (unsigned int i = 0; i < r->backend.addresses; i++) {
		unsigned int n = 0;

		while (n < r->wish.n_nat &&
		       ip_family(r->nat[n]) != ip_family(r->backend.address[i]))
			n++;
		if (n == r->wish.n_nat)
			return -ENODATA;
	}
	return 0;
}

static bool same_ports(const struct shift_target *a, const struct shift_target *b)
{
	return b->flags & SHIFT_TARGET_USED && a->backend == b->backend &&
	       a->protocol == b->protocol && !memcmp(a->nat, b->nat, sizeof(a->nat));
}

/* Live flows through one NAT address to one backend: its addresses share the ports. */
static uint64_t flows_of_new(const struct picture *s, const struct recalled *r)
{
	uint64_t total = 0, ports = (uint64_t)(r->wish.port_hi - r->wish.port_lo) + 1;
	bool tcp = false, udp = false;

	for (unsigned int i = 0; i < r->wish.n_listens; i++) {
		tcp |= r->listen[i].protocol == IPPROTO_TCP;
		udp |= r->listen[i].protocol == IPPROTO_UDP;
	}
	for (unsigned int n = 0; n < r->wish.n_nat; n++) {
		bool needed = false;

		for (unsigned int i = 0; i < r->backend.addresses; i++)
			needed |= ip_family(r->nat[n]) == ip_family(r->backend.address[i]);
		for (uint32_t id = 1; id < SHIFT_MAX_TARGETS && !needed; id++)
			needed = s->target[id].flags & SHIFT_TARGET_USED &&
				 s->target[id].backend == r->id &&
				 !memcmp(s->target[id].nat, r->nat[n], sizeof(r->nat[n]));
		total += needed ? ports * ((uint64_t)tcp + udp) : 0;
	}
	return total;
}

/* The forward table grows only with an apply, which makes it large enough for flows through every
 * pair of addresses; what there can be at once is less. */
static int check_room(const struct picture *s, const struct recalled *r)
{
	uint64_t total = flows_of_new(s, r);

	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS; id++) {
		const struct shift_target *t = &s->target[id];
		uint32_t before = 1;

		if (!(t->flags & SHIFT_TARGET_USED) || t->backend == r->id)
			continue;
		while (before < id && !same_ports(t, &s->target[before]))
			before++;
		total += before == id ? t->ports : 0;
	}
	return total > s->g.flow_capacity ? -EFBIG : 0;
}

/* No way out is narrower than the floor: it can only sink here. */
static int lower_floor(struct picture *s)
{
	uint32_t id = (uint32_t)s->service;
	struct shift_service svc;
	uint32_t floor;
	int err = plane_service(s->p, id, &svc);

	if (err)
		return err;
	floor = svc.mtu_floor;
	for (int i = 1; i < SHIFT_MAX_TARGETS; i++) {
		const struct shift_target *t = &s->target[i];

		if (t->flags & SHIFT_TARGET_USED && t->mtu && t->mtu < floor)
			floor = t->mtu;
	}
	if (floor == svc.mtu_floor)
		return 0;
	svc.mtu_floor = floor;
	return sync_put(s, PLANE_SERVICES, id, &svc);
}

static int change(struct picture *s, const struct recalled *r)
{
	int err = sync_backend(s, &r->backend);

	if (!err)
		err = lower_floor(s);
	if (!err)
		err = sync_tables(s);
	if (!err)
		err = sync_drain_unwanted(s);
	sync_grace();
	if (!err)
		err = sync_count_holders(s);
	if (!err)
		err = sync_settle_mixed(s);
	return err ? err : sync_free_drained(s);
}

int sync_addresses(struct plane *p, int service, const char *backend, const uint32_t (*address)[4],
		   unsigned int n, sync_way_fn way, sync_note_fn note, void *arg)
{
	struct picture *s = calloc(1, sizeof(*s));
	struct recalled *r = calloc(1, sizeof(*r));
	int err = s && r ? 0 : -ENOMEM;

	if (!err) {
		s->p = p;
		s->way = way;
		s->note = note;
		s->arg = arg;
		s->service = s->result.service = service;
		s->w = &r->wish;
		r->wish.listens = r->listen;
		r->wish.nat = (const uint32_t(*)[4])r->nat;
		r->wish.backends = &r->backend;
		r->wish.n_backends = 1;
		err = sync_take_picture(s);
	}
	if (!err) {
		recall_listens(s, r);
		err = recall_backends(s, backend, r);
	}
	if (!err) {
		r->backend.addresses = n < SYNC_ADDRESSES ? n : SYNC_ADDRESSES;
		memcpy(r->backend.address, address, r->backend.addresses * sizeof(*address));
		err = check_families(r);
	}
	if (!err)
		err = check_room(s, r);
	if (!err)
		err = change(s, r);
	free(s);
	free(r);
	return err;
}
