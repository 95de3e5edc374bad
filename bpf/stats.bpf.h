/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stats.bpf.h - counters, per CPU, no atomics
 */
#pragma once

#include <bpf/bpf_endian.h>
#include "bpf/visit.bpf.h"

static const __u32 histogram_edges[SHIFT_HISTOGRAM] = SHIFT_HISTOGRAM_EDGES;

static __always_inline __u32 tick_now(void)
{
	return bpf_jiffies64() >> SHIFT_TICK_SHIFT;
}

/* The first packet of a window. */
static __noinline int next_window(struct shift_if_stats *s, __u64 now)
{
	__u64 window = now >> window_shift;
	__u32 place = window % SHIFT_WINDOWS, before = 0;

	for (int i = 0; i < SHIFT_VERDICTS; i++)
		before += s->verdict[i];
	s->before[place] = before;
	barrier();
	s->window[place] = window;
	s->until = (window + 1) << window_shift;
	return 0;
}

/* The interface's counters, in the window of this second. */
static __always_inline struct shift_if_stats *stats_now(void)
{
	__u32 slot = iface_slot;
	struct shift_if_stats *s = bpf_map_lookup_elem(&shift_ifstats, &slot);
	__u64 now = bpf_jiffies64();

	if (s && now >= s->until)
		next_window(s, now);
	return s;
}

static __always_inline struct shift_service_stats *service_stats(__u32 service)
{
	return bpf_map_lookup_elem(&shift_svcstats, &service);
}

static __always_inline struct shift_backend_stats *backend_stats(__u32 backend)
{
	return bpf_map_lookup_elem(&shift_bestats, &backend);
}

/* The first bucket whose edge is not below `ns`; the bucket after the last edge has no end. */
static __always_inline __u32 histogram_bucket(__u64 ns)
{
	__u64 units = (ns + 9999) / 10000;
	__u32 low = 0;

#pragma unroll
	for (__u32 step = 32; step; step >>= 1) {
		__u32 probe = low + step;

		if (probe <= SHIFT_HISTOGRAM_STEPS && histogram_edges[(probe - 1) & 63] < units)
			low = probe;
	}
	return low;
}

/* The old arm got a connection from there. */
static __noinline int count_arrival(const struct visit *v)
{
	struct shift_arrival_key key = {.service = v->service};
	struct shift_arrival *a, first = {.connections = 1};
	__u64 now = bpf_ktime_get_ns();

	__builtin_memcpy(key.network, v->p.src, sizeof(key.network));
	if (v->p.v6) {
		key.network[1] &= bpf_htonl(0xffff0000);
		key.network[2] = 0;
	} else {
		key.v4 = v->p.src[3] & bpf_htonl(0xffffff00);
	}
	a = bpf_map_lookup_elem(&shift_arrivals, &key);
	if (a) {
		__sync_fetch_and_add(&a->connections, 1);
		a->last_ns = now;
		return 0;
	}
	first.last_ns = now;
	return bpf_map_update_elem(&shift_arrivals, &key, &first, BPF_NOEXIST);
}
