/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * window.h - the last probes of one target: RTT, jitter, loss; pure
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_SIZE 64

/* Zeroed before its first use. */
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
	uint16_t loss;				 /* hundredths of a percent, rounded */
	uint64_t min_ns, p50_ns, p95_ns, max_ns; /* nearest rank; 0: nothing was answered */
	uint64_t jitter_ns; /* mean of the differences of neighbours that were answered (RFC 3550's
			       idea, unsmoothed) */
};

/* What is still on its way WINDOW_SIZE probes later counts as lost. */
void window_sent(struct window *w, uint16_t seq, uint64_t now);
/* True and the RTT when it was waited for; a second answer or one after its loss was counted
 * changes nothing but `duplicates` and `late`. An RTT is never 0. */
bool window_answered(struct window *w, uint16_t seq, uint64_t now, uint64_t *ret_rtt);
/* Lost at once: it never left. */
void window_lost(struct window *w, uint16_t seq);
/* Marks as lost what was sent `timeout` ago or longer; how many. */
unsigned int window_expire(struct window *w, uint64_t now, uint64_t timeout);
/* When the next one on its way would be lost; 0: none is on its way. */
uint64_t window_next_loss(const struct window *w, uint64_t timeout);
void window_stats(const struct window *w, struct window_stats *ret);
