/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maglev.h - the table that leads a hash to a backend
 *
 * Weighted Maglev hashing (Eisenbud et al., NSDI 2016): every backend has a permutation of the
 * table's places made from its name alone, so hosts that know the same backends fill the same
 * table, and a backend that comes or goes moves few others' places. Each gets exactly its share of
 * the places, rounded by largest remainder.
 */
#pragma once

#include <stdint.h>

#include "bpf/shift.h"

struct maglev_backend {
	const char *name;
	uint16_t id;
	uint16_t weight; /* 0: takes no part */
};

/* Fills *ret; no backend of weight above 0 makes an empty table. At most SHIFT_TABLE_LIST take
 * part: more are -E2BIG. */
int maglev_fill(const struct maglev_backend *b, unsigned int n, struct shift_table *ret);

/* A 64-bit hash of a name that never changes between hosts and versions. */
uint64_t maglev_name_hash(const char *name, uint64_t salt);
