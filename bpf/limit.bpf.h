/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * limit.bpf.h - what is bounded apart: flows half open, flows of one client, a backend that fails
 *
 * A SYN flood fills its own quarter of a shard's ports and no more; established flows keep theirs.
 * A client has a bound of its own, so that one cannot take all. Both counts follow the record: it
 * says in what it is counted, and gives that up when it stops being so, or, if nobody saw that
 * happen, when the hand that looks for a port passes it. The counts add up with atomics, but the
 * record's own note of them is plain: two packets of one flow on two CPUs at one moment can both
 * take it off. A count may so come out too low by one, which loosens a bound; one below zero is
 * read as zero.
 *
 * The breaker: a backend whose handshakes fail stops getting new flows, with nobody watching; every
 * ten seconds one is let through, and the first that succeeds closes it again.
 */
#pragma once

#include "bpf/stats.bpf.h"
#include "bpf/visit.bpf.h"

static __always_inline void count_half_open(struct shift_flow *f, __u32 cursor)
{
	struct shift_hand *h = bpf_map_lookup_elem(&shift_cursors, &cursor);

	f->cursor = cursor;
	if (!h)
		return;
	__sync_fetch_and_add(&h->half_open, 1);
	f->counted |= SHIFT_COUNTED_HALF_OPEN;
}

static __always_inline void uncount_half_open(struct shift_flow *f)
{
	__u32 cursor = f->cursor;
	struct shift_hand *h;

	if (!(f->counted & SHIFT_COUNTED_HALF_OPEN))
		return;
	f->counted &= ~SHIFT_COUNTED_HALF_OPEN;
	h = bpf_map_lookup_elem(&shift_cursors, &cursor);
	if (h)
		__sync_fetch_and_add(&h->half_open, -1);
}

static __always_inline int half_open_full(const struct shift_hand *h, __u32 ports)
{
	__u32 bound = ports / 4 < SHIFT_HALF_OPEN_MIN ? SHIFT_HALF_OPEN_MIN : ports / 4;

	return (__s32) * (const volatile __u32 *)&h->half_open >= (__s32)bound;
}

/* The client's place among the counts: its address alone, whatever the affinity. */
static __always_inline __u16 client_load(const struct shift_service *svc, const struct visit *v)
{
	if (svc->affinity == SHIFT_AFFINITY_CLIENT)
		return v->hash >> 32;
	return shift_hash(svc->seed, SHIFT_AFFINITY_CLIENT, v->p.src, 0) >> 32;
}

/* False: the client has as many as it may. */
static __always_inline int count_client(struct shift_flow *f, const struct shift_service *svc,
					const struct visit *v)
{
	__u32 service = v->service;
	struct shift_load *l;
	__u32 *flows;

	if (!svc->client_cap)
		return 1;
	l = bpf_map_lookup_elem(&shift_load, &service);
	if (!l)
		return 1;
	f->load = client_load(svc, v);
	flows = &l->flows[f->load];
	if (*(volatile __s32 *)flows >= (__s32)svc->client_cap)
		return 0;
	__sync_fetch_and_add(flows, 1);
	f->counted |= SHIFT_COUNTED_LOAD;
	return 1;
}

static __always_inline void uncount_client(struct shift_flow *f)
{
	__u32 service = f->service;
	struct shift_load *l;

	if (!(f->counted & SHIFT_COUNTED_LOAD))
		return;
	f->counted &= ~SHIFT_COUNTED_LOAD;
	l = bpf_map_lookup_elem(&shift_load, &service);
	if (l)
		__sync_fetch_and_add(&l->flows[f->load], -1);
}

/* ---- the breaker ---- */

static __always_inline void breaker_failed(__u32 backend, __u32 now)
{
	struct shift_fuse *b = bpf_map_lookup_elem(&shift_breakers, &backend);
	__u64 at;

	if (!b)
		return;
	at = bpf_ktime_get_ns();
	bpf_spin_lock(&b->lock);
	if (!b->open && ++b->failures >= SHIFT_BREAKER_FAILURES) {
		b->open = 1;
		b->opened++;
		b->opened_at = at;
		b->probe = now;
	}
	bpf_spin_unlock(&b->lock);
}

/* A handshake of a flow born at `born` succeeded. Costs a look while nothing fails. */
static __always_inline void breaker_succeeded(__u32 backend, __u64 born)
{
	struct shift_fuse *b = bpf_map_lookup_elem(&shift_breakers, &backend);

	if (!b || !*(volatile __u32 *)&b->failures)
		return;
	bpf_spin_lock(&b->lock);
	if (!b->open) {
		if (b->failures)
			b->failures--;
	} else if (born > b->opened_at) {
		b->open = 0;
		b->failures = 0;
	}
	bpf_spin_unlock(&b->lock);
}

/* May a new flow go there? `take`: it will, so a probe is used up. */
static __always_inline int breaker_lets(__u32 backend, __u32 now, __u32 wait, int take)
{
	struct shift_fuse *b = bpf_map_lookup_elem(&shift_breakers, &backend);
	int lets = 0;

	if (!b || !*(volatile __u32 *)&b->open)
		return 1;
	bpf_spin_lock(&b->lock);
	if (!b->open || now - b->probe >= wait) {
		lets = 1;
		if (take)
			b->probe = now;
	}
	bpf_spin_unlock(&b->lock);
	return lets;
}
