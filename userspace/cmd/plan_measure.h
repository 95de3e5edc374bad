/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan_measure.h - what a service carries now, from two looks at its counters
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "userspace/conf/plan.h"

/* Counters at one moment. */
struct plan_sample {
	uint64_t at_ns;
	uint64_t accepted;    /* connections that this host took, of any service */
	uint64_t rx, tx;      /* bytes of the listed interfaces */
	bool attached;	      /* what follows is the data plane's: */
	uint64_t old, new;    /* connections of each arm */
	uint64_t up, down;    /* bytes of shifted ones, to and from the backends */
	uint64_t alive;	      /* shifted connections that live now */
	uint64_t shifted_10s; /* begun in the last ten seconds */
};

enum plan_source { PLAN_UNKNOWN, PLAN_STATED, PLAN_MEASURED };

/* Where each number of a load comes from. */
struct plan_sources {
	enum plan_source rate, bandwidth, lifetime;
	bool plane;	 /* what was measured is the service's, by the data plane, and not all that
			    this host does */
	double seconds;	 /* measured for so long */
	double old, new; /* with `plane`: connections a second of each arm */
	uint64_t lives;	 /* connections that the lifetime is the mean of, more or less */
};

/* "stated", "measured", "unknown" */
const char *plan_source_name(enum plan_source source);

/*
 * Fills what of the load was not stated. The mean lifetime is of the shifted connections, by
 * Little's law: as many live as begin while one does. So it wants a share that has been the same
 * for longer than they live, and stays unknown where fewer than PLAN_LEAST began.
 */
#define PLAN_LEAST 20
void plan_measured(const struct plan_sample *first, const struct plan_sample *last,
		   struct plan_load *load, struct plan_sources *from);

/* The counters of this host, and of the service if it is attached. `h` is what host_read gave. */
void plan_sample(const struct config *c, const struct host *h, struct plan_sample *ret);

/* Is the service attached here? */
bool plan_attached(const char *service);
