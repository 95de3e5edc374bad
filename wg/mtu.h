/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mtu.h - the search for the largest packet that passes (RFC 8899's idea); pure
 *
 * Sizes are of the whole inner IP packet. First `floor`, which must pass, then `top`, then halves
 * between. A size counts as too big after 3 lost probes, each followed by one of `floor` that
 * passed: so neither a loss now and then nor an outage of some seconds makes a size too big. 4 lost
 * ones of `floor` in a row end the search: the path is dead.
 *
 *   mtu_search_start(&s, 1280, 1500);
 *   while ((size = mtu_search_size(&s)))
 *           mtu_search_result(&s, send one of size and wait for its answer);
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct mtu_search {
	uint32_t floor, top;
	uint32_t good;	     /* passes; 0: nothing yet */
	uint32_t bad;	     /* does not pass; 0: nothing yet */
	uint32_t size;	     /* under test; 0: done */
	uint32_t told;	     /* a hop named this size; 0: none did */
	unsigned int tries;  /* of `size`, that were lost */
	unsigned int silent; /* probes of `floor` lost in a row */
	bool checking;	     /* a probe of `floor` tells a lost path from a size too big */
};

void mtu_search_start(struct mtu_search *s, uint32_t floor, uint32_t top);
/* The size to send next; 0: done, `good` is the answer (0: not even `floor` passes). */
uint32_t mtu_search_size(const struct mtu_search *s);
/* Of the size to send next: it was answered, or lost. */
void mtu_search_result(struct mtu_search *s, bool passed);
/* The same, but the device or a hop said that it is too big, and perhaps what would pass (0: not
 * said). That is only tried next, never believed. */
void mtu_search_too_big(struct mtu_search *s, uint32_t mtu);
