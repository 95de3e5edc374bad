/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * burst.h - some probes to many targets at once, for a run that does not stay (cron)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BURST_MAX 64

struct probe;

struct burst_rules {
	unsigned int count;   /* probes for each target */
	uint64_t interval_ns; /* between two of one target, ±10 %; at least a 48th of the timeout,
				 so that all on their way fit a window */
	uint64_t timeout_ns;  /* after which one is lost */
	uint64_t limit_ns;    /* of all of it */
};

/* A probe's end; rtt_ns is 0 when it was lost. */
typedef void (*burst_fn)(unsigned int index, bool answered, uint64_t rtt_ns, void *arg);

/*
 * Blocks until every probe is answered or lost, for at most the limit. Returns how many were
 * decided: n * count, unless the limit came first, and then those that were sent and not decided
 * are still on their way in their windows. -EINVAL: more targets than BURST_MAX; −errno.
 */
int burst_run(struct probe *const *probes, const struct burst_rules *r, unsigned int n, burst_fn fn,
	      void *arg);
