/* SPDX-License-Identifier: GPL-2.0-only */
#include "wg/window.h"

#include <stdlib.h>

enum { EMPTY, ON_ITS_WAY, ANSWERED, LOST };

/* −1: not in the window. */
static int find(const struct window *w, uint16_t seq)
{
	for (int i = 0; i < WINDOW_SIZE; i++)
		if (w->slot[i].state != EMPTY && w->slot[i].seq == seq)
			return i;
	return -1;
}

void window_sent(struct window *w, uint16_t seq, uint64_t now)
{
	if (w->slot[w->next].state == ON_ITS_WAY)
		w->lost++;
	w->slot[w->next].sent_at = now;
	w->slot[w->next].rtt_ns = 0;
	w->slot[w->next].seq = seq;
	w->slot[w->next].state = ON_ITS_WAY;
	w->next = (w->next + 1) % WINDOW_SIZE;
	w->sent++;
}

bool window_answered(struct window *w, uint16_t seq, uint64_t now, uint64_t *ret_rtt)
{
	int at = find(w, seq);

	if (at < 0)
		return false;
	switch (w->slot[at].state) {
	case ON_ITS_WAY:
		w->slot[at].state = ANSWERED;
		w->slot[at].rtt_ns = now > w->slot[at].sent_at ? now - w->slot[at].sent_at : 1;
		w->answered++;
		w->answered_at = now;
		*ret_rtt = w->slot[at].rtt_ns;
		return true;
	case ANSWERED:
		w->duplicates++;
		return false;
	default:
		w->late++;
		return false;
	}
}

void window_lost(struct window *w, uint16_t seq)
{
	int at = find(w, seq);

	if (at < 0 || w->slot[at].state != ON_ITS_WAY)
		return;
	w->slot[at].state = LOST;
	w->lost++;
}

unsigned int window_expire(struct window *w, uint64_t now, uint64_t timeout)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < WINDOW_SIZE; i++) {
		if (w->slot[i].state != ON_ITS_WAY || now < w->slot[i].sent_at ||
		    now - w->slot[i].sent_at < timeout)
			continue;
		w->slot[i].state = LOST;
		n++;
	}
	w->lost += n;
	return n;
}

uint64_t window_next_loss(const struct window *w, uint64_t timeout)
{
	uint64_t next = 0;

	for (unsigned int i = 0; i < WINDOW_SIZE; i++) {
		uint64_t at = w->slot[i].sent_at + timeout;

		if (w->slot[i].state == ON_ITS_WAY && (!next || at < next))
			next = at;
	}
	return next;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static uint64_t rank(const uint64_t *sorted, unsigned int n, unsigned int percent)
{
	return sorted[(n * percent + 99) / 100 - 1];
}

void window_stats(const struct window *w, struct window_stats *ret)
{
	uint64_t rtt[WINDOW_SIZE], jumps = 0;
	struct window_stats s = {0};
	unsigned int n = 0;

	for (unsigned int i = 0; i < WINDOW_SIZE; i++) { /* the oldest first */
		unsigned int at = (w->next + i) % WINDOW_SIZE;

		if (w->slot[at].state == LOST)
			s.lost++;
		if (w->slot[at].state != ANSWERED)
			continue;
		rtt[n] = w->slot[at].rtt_ns;
		if (n)
			jumps += rtt[n] > rtt[n - 1] ? rtt[n] - rtt[n - 1] : rtt[n - 1] - rtt[n];
		n++;
	}
	s.decided = n + s.lost;
	if (s.decided)
		s.loss = (uint16_t)((s.lost * 10000 + s.decided / 2) / s.decided);
	if (n > 1)
		s.jitter_ns = jumps / (n - 1);
	if (n) {
		qsort(rtt, n, sizeof(*rtt), compare);
		s.min_ns = rtt[0];
		s.p50_ns = rank(rtt, n, 50);
		s.p95_ns = rank(rtt, n, 95);
		s.max_ns = rtt[n - 1];
	}
	*ret = s;
}
