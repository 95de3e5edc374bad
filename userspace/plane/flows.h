/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flows.h - reading the records of shifted connections
 *
 * The records are memory shared with the kernel, which changes them meanwhile: what is read is a
 * moment's copy, and each record is copied before it is judged.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "userspace/plane/plane.h"

struct flow_seen {
	uint32_t target, index;
	const struct shift_target *t;
	const struct shift_flow *f; /* a copy */
	struct shift_flow *live;    /* the record itself */
};

/* Not 0 ends the walk and is what flows_each returns. */
typedef int (*flows_fn)(const struct flow_seen *s, void *arg);

/* Calls `fn` for every record that holds its port at tick `now` (shift_flow_holds), of one service
 * or, with −1, of all. 0, fn's answer, or −errno. */
int flows_each(const struct plane *p, int service, uint32_t now, flows_fn fn, void *arg);

struct flows_count {
	uint64_t alive;	  /* shift_flow_alive */
	uint64_t holding; /* these and the resting ports */
	uint32_t alive_by_backend[SHIFT_MAX_BACKENDS];
	uint32_t alive_by_target[SHIFT_MAX_TARGETS];
	uint32_t holding_by_target[SHIFT_MAX_TARGETS];
};

int flows_count(const struct plane *p, int service, uint32_t now, struct flows_count *ret);

/* The records of one target as shared memory. */
struct flows_array {
	struct shift_flow *flow;
	uint32_t count;
	size_t size; /* of the mapping */
};

/* 0; -ENOENT: the target has none; or −errno. */
int flows_map(const struct plane *p, uint32_t target, struct flows_array *ret);
void flows_unmap(struct flows_array *a);
