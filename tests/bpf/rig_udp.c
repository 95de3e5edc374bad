/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rig_udp.c - the rig's UDP side, and what is remembered of datagrams
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>

#include "tests/bpf/rig.h"

static void add_listener(struct rig *r, bool v6, bool quic)
{
	struct end e = rig_listen_end(v6);
	struct shift_listen_key key = {.port = shift_be16(e.port), .protocol = 17};
	struct shift_listen l = {.port = key.port,
				 .protocol = 17,
				 .service = RIG_SERVICE,
				 .flags = SHIFT_LISTEN_USED | (quic ? SHIFT_LISTEN_QUIC : 0)};
	uint32_t id = RIG_UDP(v6);

	memcpy(key.address, e.ip, sizeof(e.ip));
	memcpy(l.address, e.ip, sizeof(e.ip));
	rig_put(r, RIG_LISTENS, &id, &l);
	rig_put(r, RIG_ENTRY, &key, &id);
}

void rig_add_udp(struct rig *r, bool quic)
{
	for (int i = 0; i < RIG_UDP_TARGETS; i++) {
		bool v6 = i >= RIG_UDP_TARGETS / 2;
		uint32_t backend = (uint32_t)i % 3 + 1;
		struct rig_target *t = &r->udp[i];
		struct shift_backend b;

		for (int k = 0; k < RIG_TARGETS; k++)
			if (r->target[k].backend == backend && r->target[k].v6 == v6 &&
			    !r->target[k].phase)
				*t = r->target[k];
		t->id = (v6 ? 24 : 14) + backend;
		t->stride = 1;
		t->protocol = 17;
		rig_fill_target(r, t);
		rig_get(r, RIG_BACKEND, &backend, &b);
		b.targets[shift_list(v6, 17)] = 1;
		b.target[shift_list(v6, 17)][0] = (uint16_t)t->id;
		rig_put(r, RIG_BACKEND, &backend, &b);
	}
	add_listener(r, false, quic);
	add_listener(r, true, quic);
	r->service.timeout_udp = 120 * RIG_SECOND;
	rig_put_service(r);
}

void rig_put_service(struct rig *r)
{
	uint32_t id = RIG_SERVICE;

	rig_put(r, RIG_SERVICES, &id, &r->service);
}

void rig_target_mtu(struct rig *r, uint32_t id, uint16_t mtu)
{
	struct shift_target t;

	rig_get(r, RIG_TARGET, &id, &t);
	t.mtu = mtu;
	rig_put(r, RIG_TARGET, &id, &t);
}

void rig_mtu(struct rig *r, uint32_t interface, uint32_t floor)
{
	struct shift_globals g;
	uint32_t zero = 0;

	rig_get(r, RIG_GLOBALS, &zero, &g);
	g.interface[RIG_SLOT].mtu = interface;
	rig_put(r, RIG_GLOBALS, &zero, &g);
	r->service.mtu_floor = floor;
	rig_put_service(r);
}

/* ---- what is remembered ---- */

/* All elements of an array, one after the other; those that were never written are left. */
static void each(struct rig *r, enum rig_map map, uint32_t entries, void *values, size_t size,
		 void (*change)(void *value, uint32_t by), uint32_t by)
{
	uint32_t *keys = calloc(entries, sizeof(*keys)), n = entries, batch;
	uint8_t *none = calloc(1, size);

	if (!keys || !none)
		abort();
	if (bpf_map_lookup_batch(r->map[map], NULL, &batch, keys, values, &n, NULL) &&
	    errno != ENOENT)
		abort();
	for (uint32_t i = 0; i < n; i++) {
		void *value = (uint8_t *)values + i * size;

		if (!memcmp(value, none, size))
			continue;
		change(value, by);
		rig_put(r, map, &keys[i], value);
	}
	free(keys);
	free(none);
}

static void older_line(void *value, uint32_t by)
{
	struct shift_syn_line *line = value;

	for (int i = 0; i < SHIFT_SYN_WAYS; i++)
		line->tick[i] -= by;
}

static void older_fragment(void *value, uint32_t by)
{
	((struct shift_fragment *)value)->tick -= by;
}

static void older_held(void *value, uint32_t by)
{
	((struct shift_held *)value)->tick -= by;
}

static void no_line(void *value, uint32_t by)
{
	memset(value, (int)by, sizeof(struct shift_syn_line));
}

static void no_fragment(void *value, uint32_t by)
{
	memset(value, (int)by, sizeof(struct shift_fragment));
}

static void no_held(void *value, uint32_t by)
{
	memset(value, (int)by, sizeof(struct shift_held));
}

static struct shift_syn_line lines[SHIFT_UDP_LINES];
static struct shift_fragment fragments[SHIFT_FRAGMENTS];
static struct shift_held held[SHIFT_HELD];

void rig_age_udp(struct rig *r, double seconds)
{
	uint32_t ticks = (uint32_t)(seconds * RIG_SECOND + 0.5);

	each(r, RIG_UDPS, SHIFT_UDP_LINES, lines, sizeof(lines[0]), older_line, ticks);
	each(r, RIG_FRAGMENTS, SHIFT_FRAGMENTS, fragments, sizeof(fragments[0]), older_fragment,
	     ticks);
	each(r, RIG_HELD, SHIFT_HELD, held, sizeof(held[0]), older_held, ticks);
	for (uint32_t i = 0; i < RIG_BACKENDS; i++) {
		struct shift_breaker b;

		rig_get(r, RIG_BREAKERS, &i, &b);
		b.probe -= ticks;
		b.opened_at -= b.opened_at ? (uint64_t)(seconds * 1e9) : 0;
		rig_put(r, RIG_BREAKERS, &i, &b);
	}
}

void rig_forget_udp(struct rig *r)
{
	each(r, RIG_UDPS, SHIFT_UDP_LINES, lines, sizeof(lines[0]), no_line, 0);
	each(r, RIG_FRAGMENTS, SHIFT_FRAGMENTS, fragments, sizeof(fragments[0]), no_fragment, 0);
	each(r, RIG_HELD, SHIFT_HELD, held, sizeof(held[0]), no_held, 0);
}
