/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * window.h - the last probes of one target: RTT, jitter, loss; pure
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_SIZE 64

struct window {
	struct {
		uint64_t sent_at, rtt_ns;
		uint16_t seq;
		uint8_t state; /* 0 empty, 1 on its way, 2 answered, 3 lost */
	} slot[WINDOW_SIZE];
	unsigned int next;
	uint64_t sent, answered, lost, duplicates, late; /* ever */
	uint64_t answered_at;				 /* the last */
};

struct window_stats {
	unsigned int decided; /* answered or lost, in the window */
	unsigned int lost;
	uint16_t loss; /* hundredths of a percent */
	uint64_t min_ns, p50_ns, p95_ns, max_ns;
	uint64_t
		jitter_ns; /* mean of the differences of neighbours (RFC 3550's idea, unsmoothed) */
};

void window_sent(struct window *w, uint16_t seq, uint64_t now);
/* True and the RTT when it was waited for; a second answer or one after its loss was counted
 * changes nothing but `duplicates` and `late`. */
bool window_answered(struct window *w, uint16_t seq, uint64_t now, uint64_t *ret_rtt);
/* Marks as lost what was sent longer than `timeout` ago; how many. */
unsigned int window_expire(struct window *w, uint64_t now, uint64_t timeout);
/* When the next one on its way would be lost; 0: none is on its way. */
uint64_t window_next_loss(const struct window *w, uint64_t timeout);
void window_stats(const struct window *w, struct window_stats *ret);

/*
 * The search for the largest packet that passes (RFC 8899's idea): sizes are of the whole inner IP
 * packet. Starts at `floor`, which must pass, then `top`, then halves between. A size counts as too
 * big after 3 lost probes while ones of `floor` pass.
 */
struct mtu_search {
	uint32_t floor, top;
	uint32_t good; /* passes; 0: nothing yet */
	uint32_t bad;  /* does not pass; 0: nothing yet */
	uint32_t size; /* under test; 0: done */
	unsigned int tries;
	bool checking; /* a probe of `floor` tells a lost path from a size too big */
};

void mtu_search_start(struct mtu_search *s, uint32_t floor, uint32_t top);
/* The size to send next; 0: done, `good` is the answer (0: not even `floor` passes). */
uint32_t mtu_search_size(const struct mtu_search *s);
void mtu_search_result(struct mtu_search *s, bool passed);
