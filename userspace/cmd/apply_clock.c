/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * apply_clock.c - how the ticks of flow records lie to the clock, learned when the maps are made
 */
#include <stdlib.h>
#include <time.h>

#include "userspace/cmd/apply.h"
#include "userspace/plane/load.h"

/* Kernels tick 100, 250, 300 or 1000 times a second; which, is seen in an eighth of one. */
static uint32_t nearest_hz(uint64_t ticks, uint64_t ns)
{
	static const uint32_t known[] = {100, 250, 300, 1000};
	uint64_t hz = ticks * 1000000000 / ns, best = 0;

	for (size_t i = 1; i < sizeof(known) / sizeof(*known); i++) {
		if (llabs((long long)(known[i] - hz)) < llabs((long long)(known[best] - hz)))
			best = i;
	}
	return known[best];
}

int apply_set_clock(struct apply *a)
{
	const struct timespec eighth = {0, 125000000};
	uint64_t jiffies, ns;
	int err = load_clock(&a->p, &jiffies, &ns);

	if (err)
		return err;
	a->g.clock_jiffies = jiffies;
	a->g.clock_ns = ns;
	nanosleep(&eighth, NULL);
	err = load_clock(&a->p, &jiffies, &ns);
	if (err)
		return err;
	a->g.hz = nearest_hz(jiffies - a->g.clock_jiffies, ns - a->g.clock_ns);
	for (a->g.window_shift = 6; 3u << a->g.window_shift < a->g.hz * 2;)
		a->g.window_shift++;
	return 0;
}
