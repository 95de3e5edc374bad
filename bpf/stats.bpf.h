/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stats.bpf.h - counters, per CPU, no atomics
 */
#pragma once

#include "bpf/maps.bpf.h"

static const __u32 histogram_edges[SHIFT_HISTOGRAM] = SHIFT_HISTOGRAM_EDGES;

static __always_inline __u32 tick_now(void)
{
	return bpf_jiffies64() >> SHIFT_TICK_SHIFT;
}

/* One packet, in the window of this second. */
static __always_inline struct shift_if_stats *count_packet(void)
{
	__u32 slot = iface_slot;
	struct shift_if_stats *s = bpf_map_lookup_elem(&shift_ifstats, &slot);
	__u32 window, place;

	if (!s)
		return s;
	window = bpf_jiffies64() >> window_shift;
	place = window % SHIFT_WINDOWS;
	if (s->window[place] != window) {
		s->window[place] = window;
		s->packets[place] = 0;
	}
	s->packets[place]++;
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
