/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * window.c - rates of counters that only grow
 *
 * A look is a point; what lies between two points is their difference. Points are kept in two
 * rings, one with a second's grain for the last ten seconds and one with a sixtieth of the window's
 * for the whole, so that a window of an hour costs no more than one of a minute. The beginning of a
 * window is the latest point that is old enough: it is longer than asked for by one grain at most.
 *
 * What an arm answered is summed by the epochs that its connections began in (a failure
 * belongs to the epoch its connection started in). From window_stage on only the stage's own epochs
 * are in the points. So a stage that was left because of its failures does not hand those that are
 * still to come, as of a SYN that nobody answers, to the next.
 *
 * The kernel keeps eight epochs, of each CPU its own. Where one CPU has given up an epoch and
 * another has not, its sum becomes smaller; each count is therefore the greatest that was seen.
 * When the sums over all epochs become smaller, somebody cleared the counters: then the points are
 * worth nothing, and an epoch that was half counted goes on from what it had.
 *
 * Weaknesses: counters that were cleared and have overtaken their old values by the next look, half
 * a second later, are not noticed; what is wrong then is no more than was counted in that time. Of
 * the once-per-client failures the kernel does not say which were given up by the client, so they
 * count up to as many as failed; the last ten seconds likewise.
 */
#include "userspace/ctl/window_inner.h"

#include <errno.h>
#include <string.h>

#define SECOND	 1000000000ull
#define GAP	 (10 * SECOND) /* nobody looked for longer: what happened is not known */
#define GRAIN	 (4 * SECOND / 10)
#define WORDS(x) (sizeof(x) / (sizeof(__u64)))

_Static_assert(sizeof(struct shift_answers) % 8 == 0, "summed as u64");
_Static_assert(sizeof(struct shift_service_stats) % 8 == 0, "summed as u64");

static void add_words(void *to, const void *more, size_t words)
{
	const __u64 *from = more;
	__u64 *sum = to;

	for (size_t i = 0; i < words; i++)
		sum[i] += from[i];
}

static void subtract_words(void *from, const void *less, size_t words)
{
	const __u64 *by = less;
	__u64 *sum = from;

	for (size_t i = 0; i < words; i++)
		sum[i] = sum[i] > by[i] ? sum[i] - by[i] : 0;
}

static void raise_words(void *to, const void *seen, size_t words)
{
	const __u64 *from = seen;
	__u64 *most = to;

	for (size_t i = 0; i < words; i++)
		most[i] = from[i] > most[i] ? from[i] : most[i];
}

static bool any_less(const void *is, const void *was, size_t words)
{
	const __u64 *a = is, *b = was;

	for (size_t i = 0; i < words; i++) {
		if (a[i] < b[i])
			return true;
	}
	return false;
}

void window_add_answers(struct shift_answers *to, const struct shift_answers *more)
{
	__u64 epoch = to->epoch;

	add_words(to, more, WORDS(*to));
	to->epoch = epoch;
}

/* ---- rings ---- */

static void ring_push(struct window_ring *r, const struct window_point *p)
{
	const struct window_point *last = &r->point[(r->next + r->room - 1) % r->room];

	if (r->n && p->at - last->at < r->step)
		return;
	r->point[r->next] = *p;
	r->next = (r->next + 1) % r->room;
	r->n += r->n < r->room;
}

static void ring_clear(struct window_ring *r)
{
	r->n = 0;
	r->next = 0;
}

/* The latest that is no later than `at`; *oldest: the oldest of all. */
static void ring_find(const struct window_ring *r, uint64_t at, const struct window_point **best,
		      const struct window_point **oldest)
{
	for (unsigned int i = 0; i < r->n; i++) {
		const struct window_point *p = &r->point[i];

		if (p->at <= at && (!*best || p->at > (*best)->at))
			*best = p;
		if (!*oldest || p->at < (*oldest)->at)
			*oldest = p;
	}
}

static void push(struct window *w, const struct window_point *p)
{
	ring_push(&w->fine, p);
	ring_push(&w->coarse, p);
}

void window_use(struct window *w, uint64_t span_ns, uint32_t least)
{
	w->span = span_ns;
	w->least = least;
	w->coarse.step = span_ns / 60;
}

void window_begin(struct window *w, uint64_t span_ns, uint32_t least)
{
	memset(w, 0, sizeof(*w));
	w->fine = (struct window_ring){.point = w->fine_point, .room = WINDOW_FINE, .step = GRAIN};
	w->coarse = (struct window_ring){.point = w->coarse_point, .room = WINDOW_COARSE};
	window_use(w, span_ns, least);
}

/* ---- epochs ---- */

/* The oldest makes room. */
static void put_oldest_away(struct window *w)
{
	struct window_epoch *e = &w->epoch[--w->epochs];

	w->put_away = e->epoch;
	if (e->epoch < w->stage)
		return;
	for (int a = 0; a < SHIFT_ARMS; a++) {
		window_add_answers(&w->older[a], &e->before[a]);
		window_add_answers(&w->older[a], &e->is[a]);
	}
}

/* NULL: it was put away. */
static struct window_epoch *epoch_of(struct window *w, uint64_t epoch)
{
	unsigned int at = 0;

	if (epoch <= w->put_away && w->put_away)
		return NULL;
	while (at < w->epochs && w->epoch[at].epoch > epoch)
		at++;
	if (at < w->epochs && w->epoch[at].epoch == epoch)
		return &w->epoch[at];
	if (w->epochs == WINDOW_EPOCHS) {
		if (at == WINDOW_EPOCHS)
			return NULL;
		put_oldest_away(w);
	}
	memmove(&w->epoch[at + 1], &w->epoch[at], (w->epochs - at) * sizeof(w->epoch[0]));
	w->epochs++;
	memset(&w->epoch[at], 0, sizeof(w->epoch[0]));
	w->epoch[at].epoch = epoch;
	return &w->epoch[at];
}

static void take_epochs(struct window *w, const struct window_look *look)
{
	struct window_epoch *e;

	for (int a = 0; a < SHIFT_ARMS; a++) {
		for (unsigned int i = look->arm[a].epochs; i-- > 0;) {
			e = epoch_of(w, look->arm[a].epoch[i].epoch);
			if (e)
				raise_words(&e->is[a], &look->arm[a].epoch[i], WORDS(e->is[a]));
		}
	}
	e = epoch_of(w, look->epoch);
	if (e) {
		e->weighed = true;
		e->weight = look->weight;
	}
}

static void counters_cleared(struct window *w)
{
	for (unsigned int i = 0; i < w->epochs; i++) {
		struct window_epoch *e = &w->epoch[i];

		for (int a = 0; a < SHIFT_ARMS; a++) {
			window_add_answers(&e->before[a], &e->is[a]);
			memset(&e->is[a], 0, sizeof(e->is[a]));
		}
	}
}

/* ---- looks ---- */

/* Of this stage, or of all that was ever counted. */
static void arms_now(const struct window *w, struct shift_answers ret[SHIFT_ARMS])
{
	for (int a = 0; a < SHIFT_ARMS; a++) {
		if (!w->stage) {
			ret[a] = w->last.arm[a].total;
			continue;
		}
		ret[a] = w->older[a];
		for (unsigned int i = 0; i < w->epochs && w->epoch[i].epoch >= w->stage; i++) {
			window_add_answers(&ret[a], &w->epoch[i].before[a]);
			window_add_answers(&ret[a], &w->epoch[i].is[a]);
		}
	}
}

static void point_now(const struct window *w, struct window_point *ret)
{
	ret->at = w->last.at;
	arms_now(w, ret->arm);
	for (int a = 0; a < SHIFT_ARMS; a++)
		ret->failed[a] = window_failed(&w->last.arm[a].total);
	ret->service = w->service;
	ret->drops = w->drops;
}

static bool went_back(const struct window_look *is, const struct window_look *was)
{
	return any_less(&is->arm[0].total, &was->arm[0].total, WORDS(is->arm[0].total)) ||
	       any_less(&is->arm[1].total, &was->arm[1].total, WORDS(is->arm[1].total)) ||
	       any_less(&is->service, &was->service, WORDS(is->service));
}

int window_add(struct window *w, const struct window_look *look)
{
	const struct window_look *was = &w->last;
	bool cleared = false, anew = false;

	if (w->has_last) {
		if (look->at <= was->at)
			return -EINVAL;
		cleared = went_back(look, was);
		anew = cleared || look->at - was->at > GAP;
	}
	if (cleared)
		counters_cleared(w);
	if (anew) {
		ring_clear(&w->fine);
		ring_clear(&w->coarse);
		w->resets++;
	}
	if (w->has_last) {
		add_words(&w->service, &look->service, WORDS(w->service));
		if (!cleared)
			subtract_words(&w->service, &was->service, WORDS(w->service));
	}
	/* An interface that went away takes its packets along. */
	if (w->has_last && look->drops > was->drops)
		w->drops += look->drops - was->drops;
	if (!w->has_last || anew || look->weight != was->weight)
		w->weighed_at = look->at;
	take_epochs(w, look);
	w->last = *look;
	w->has_last = true;
	point_now(w, &w->now);
	push(w, &w->now);
	return anew;
}

/* The arms begin at nothing: all that the stage's epochs count was counted in the stage. */
void window_stage(struct window *w, uint64_t epoch)
{
	struct window_point p = w->now;

	w->stage = epoch;
	w->stage_at = w->last.at;
	w->stage_service = w->service;
	memset(w->older, 0, sizeof(w->older));
	ring_clear(&w->fine);
	ring_clear(&w->coarse);
	if (!w->has_last)
		return;
	if (epoch)
		memset(p.arm, 0, sizeof(p.arm));
	push(w, &p);
	point_now(w, &w->now);
}

/* ---- what lies between ---- */

int window_over(const struct window *w, uint64_t span_ns, struct window_sum *ret)
{
	const struct window_point *from = NULL, *oldest = NULL;
	const struct window_point *to = &w->now;
	uint64_t at = to->at > span_ns ? to->at - span_ns : 0;

	ring_find(&w->fine, at, &from, &oldest);
	ring_find(&w->coarse, at, &from, &oldest);
	if (!from)
		from = oldest;
	if (!from || from->at >= to->at)
		return -ENODATA;
	ret->span = to->at - from->at;
	memcpy(ret->arm, to->arm, sizeof(ret->arm));
	memcpy(ret->failed, to->failed, sizeof(ret->failed));
	ret->service = to->service;
	ret->drops = to->drops - from->drops;
	subtract_words(ret->arm, from->arm, WORDS(ret->arm));
	subtract_words(ret->failed, from->failed, WORDS(ret->failed));
	subtract_words(&ret->service, &from->service, WORDS(ret->service));
	return 0;
}

void window_since_stage(const struct window *w, struct window_sum *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!w->has_last)
		return;
	ret->span = w->stage ? w->last.at - w->stage_at : 0;
	arms_now(w, ret->arm);
	ret->service = w->service;
	subtract_words(&ret->service, &w->stage_service, WORDS(ret->service));
}
