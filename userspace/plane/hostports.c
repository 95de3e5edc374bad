/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/hostports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/net/conntrack.h"
#include "userspace/net/reserve.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/flows.h"

_Static_assert(sizeof(struct reserve_range) == sizeof(struct shift_range), "range");

static void want_targets(const struct plane *p, unsigned char *want)
{
	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS; id++) {
		struct shift_target t;

		if (bpfsys_lookup(p->map[PLANE_TARGETS], &id, &t) ||
		    !(t.flags & SHIFT_TARGET_USED) || t.port_lo + t.ports > RESERVE_PORTS)
			continue;
		memset(want + t.port_lo, 1, t.ports);
	}
}

/* Ours is noted before it is done: killed in between, the next one knows what to give back. */
static int note_and_do(const struct plane *p, struct shift_globals *g, const unsigned char *want)
{
	struct reserve_range ours[SHIFT_MAX_RANGES], next[SHIFT_MAX_RANGES];
	uint32_t zero = 0;
	int err, err2;

	memcpy(ours, g->reserved, sizeof(ours));
	memcpy(next, g->reserved, sizeof(next));
	err = reserve_update(want, next, SHIFT_MAX_RANGES, true);
	if (err < 0)
		return err;
	memcpy(g->reserved, next, sizeof(next));
	err2 = bpfsys_update(p->map[PLANE_GLOBALS], &zero, g);
	if (err2 || err)
		return err2 ? err2 : err;
	return reserve_update(want, ours, SHIFT_MAX_RANGES, false);
}

int hostports_update(const struct plane *p, struct shift_globals *g, bool none, char changed[256])
{
	unsigned char *want = calloc(1, RESERVE_PORTS);
	int err;

	if (!want)
		return -ENOMEM;
	if (!none)
		want_targets(p, want);
	err = note_and_do(p, g, want);
	free(want);
	reserve_text((const struct reserve_range *)g->reserved, SHIFT_MAX_RANGES, changed, 256);
	return err;
}

/* ---- ports of masqueraded connections ------------------------------------------------------ */

struct avoiding {
	const struct plane *p;
	struct shift_globals g;
	struct shift_target target[SHIFT_MAX_TARGETS];
	int avoided;
};

static uint32_t target_of(const struct avoiding *a, const struct conntrack_seen *c)
{
	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS; id++) {
		const struct shift_target *t = &a->target[id];

		if (t->flags & SHIFT_TARGET_USED && t->port == c->sport &&
		    t->protocol == c->protocol && !memcmp(t->address, c->src, sizeof(c->src)) &&
		    !memcmp(t->nat, c->dst, sizeof(c->dst)) && ntohs(c->dport) >= t->port_lo &&
		    ntohs(c->dport) < t->port_lo + t->ports)
			return id;
	}
	return 0;
}

static void avoid(const struct conntrack_seen *c, void *arg)
{
	struct avoiding *a = arg;
	uint32_t id = target_of(a, c), now = plane_tick(&a->g);
	struct flows_array flows;
	struct shift_flow *f;

	if (!id || flows_map(a->p, id, &flows))
		return;
	f = &flows.flow[ntohs(c->dport) - a->target[id].port_lo];
	if (!shift_flow_holds(f, now)) {
		if (f->state != SHIFT_FLOW_ABANDONED)
			f->was = f->state;
		f->expires = now + c->seconds * a->g.hz / (1u << SHIFT_TICK_SHIFT);
		f->flags |= SHIFT_FLOW_HOSTS;
		f->state = SHIFT_FLOW_ABANDONED;
		a->avoided++;
	}
	flows_unmap(&flows);
}

int hostports_avoid(const struct plane *p)
{
	struct avoiding *a = calloc(1, sizeof(*a));
	int n = a ? plane_globals(p, &a->g) : -ENOMEM;

	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS && !n; id++)
		n = bpfsys_lookup(p->map[PLANE_TARGETS], &id, &a->target[id]);
	if (!n) {
		a->p = p;
		n = conntrack_each(avoid, a);
	}
	for (uint32_t id = 1; id < SHIFT_MAX_TARGETS && n > 0; id++) {
		struct shift_target *t = &a->target[id];

		if (!(t->flags & SHIFT_TARGET_USED) || t->flags & SHIFT_TARGET_MASQUERADE)
			continue;
		t->flags |= SHIFT_TARGET_MASQUERADE;
		bpfsys_update(p->map[PLANE_TARGETS], &id, t);
	}
	n = n > 0 ? a->avoided : 0;
	free(a);
	return n;
}
