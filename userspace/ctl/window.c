/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * window.c - rates of counters that only grow
 *
 * A look is a point; what lies between two points is their difference. Points are kept in two
 * rings, one with a second's grain for the last ten seconds and one with a sixtieth of the window's
 * for the whole, so that a window of an hour costs no more than one of a minute. The beginning of a
 * window is the latest point that is old enough: it is longer than asked for by one grain at most.
 *
 * What an arm answered is summed by the epochs that its connections began in (judge.md: a failure
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
#include "userspace/ctl/window.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/text.h"

#define SECOND	 1000000000ull
#define GAP	 (10 * SECOND) /* nobody looked for longer: what happened is not known */
#define GRAIN	 (4 * SECOND / 10)
#define STALE	 (3 * SECOND)
#define COHORTS	 (11 * SECOND) /* that the last ten seconds of the kernel's reach back at most */
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

static void add_answers(struct shift_answers *to, const struct shift_answers *more)
{
	__u64 epoch = to->epoch;

	add_words(to, more, WORDS(*to));
	to->epoch = epoch;
}

uint64_t window_failed(const struct shift_answers *a)
{
	return a->failure[SHIFT_FAILURE_REFUSED] + a->failure[SHIFT_FAILURE_UNANSWERED] +
	       a->failure[SHIFT_FAILURE_RESET] + a->failure[SHIFT_FAILURE_CLOSED];
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

void window_begin(struct window *w, uint64_t span_ns, uint32_t least)
{
	memset(w, 0, sizeof(*w));
	w->span = span_ns;
	w->least = least;
	w->fine = (struct window_ring){.point = w->fine_point, .room = WINDOW_FINE, .step = GRAIN};
	w->coarse = (struct window_ring){
		.point = w->coarse_point, .room = WINDOW_COARSE, .step = span_ns / 60};
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
		add_answers(&w->older[a], &e->before[a]);
		add_answers(&w->older[a], &e->is[a]);
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
			add_answers(&e->before[a], &e->is[a]);
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
			add_answers(&ret[a], &w->epoch[i].before[a]);
			add_answers(&ret[a], &w->epoch[i].is[a]);
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

static uint64_t least_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What was asked and never answered. */
static uint64_t unanswered(const struct shift_answers *a)
{
	return a->failure[SHIFT_FAILURE_CLOSED] + a->failure[SHIFT_FAILURE_GAVE_UP];
}

static uint64_t timed(const struct shift_answers *a)
{
	uint64_t n = 0;

	for (int i = 0; i <= SHIFT_HISTOGRAM_STEPS; i++)
		n += a->answer[i];
	return n;
}

static struct judge_counts slow(const struct shift_answers *a, uint32_t ms)
{
	uint64_t never = unanswered(a);

	return (struct judge_counts){timed(a) + never, telemetry_over_ms(a->answer, ms) + never};
}

static double fraction(enum shift_arm_id arm)
{
	return arm == SHIFT_ARM_OLD ? 1.0 / SHIFT_WATCH_ONE_IN : 1;
}

void window_epoch_seen(const struct window_epoch *e, struct window_both *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->epoch = e->epoch;
	ret->weighed = e->weighed;
	ret->weight = e->weight / 10000.0;
	ret->share = judge_share(ret->weight, fraction(SHIFT_ARM_OLD), fraction(SHIFT_ARM_NEW));
	for (int i = 0; i < SHIFT_ARMS; i++) {
		struct shift_answers a = e->before[i];

		add_answers(&a, &e->is[i]);
		ret->arm[i].begun = a.begun;
		ret->arm[i].failed = window_failed(&a);
		ret->arm[i].failed_clients = least_of(a.failed_clients, window_failed(&a));
		ret->arm[i].answered = slow(&a, 200).n;
		ret->arm[i].over_200_ms = slow(&a, 200).bad;
		ret->arm[i].over_500_ms = slow(&a, 500).bad;
	}
}

struct judge_counts window_last_10s(const struct window *w, enum shift_arm_id arm)
{
	const struct telemetry_arm *a = &w->last.arm[arm];
	struct judge_counts c = {a->begun_10s, a->failed_10s};
	struct window_sum s;

	if (!window_over(w, COHORTS, &s) && s.span >= COHORTS)
		c.bad = least_of(c.bad, s.failed[arm]);
	c.bad = least_of(c.bad, c.n);
	return c;
}

/* ---- shares ---- */

/* Failures may be of connections begun before the window: never more than all. */
static struct judge_counts counts(uint64_t n, uint64_t bad)
{
	return (struct judge_counts){n, least_of(bad, n)};
}

/* One arm's answers, or both with the old arm's as many times as it is watched. */
static void answers_of(const struct window_sum *s, enum conf_gate_arm arm,
		       struct shift_answers *ret)
{
	*ret = s->arm[arm == CONF_ARM_OLD ? SHIFT_ARM_OLD : SHIFT_ARM_NEW];
	for (int i = 0; i < SHIFT_WATCH_ONE_IN && arm == CONF_ARM_SUM; i++)
		add_answers(ret, &s->arm[SHIFT_ARM_OLD]);
}

/* Of the new arm's connections, those that the old host served from the first; the rescued are
 * among those that failed. */
static uint64_t fell_back(const struct window_sum *s, enum conf_gate_arm arm)
{
	uint64_t n = 0;

	for (int i = 0; i < SHIFT_FALLBACKS && arm != CONF_ARM_OLD; i++) {
		if (i != SHIFT_FALLBACK_RESCUED)
			n += s->service.fallback[i];
	}
	return n;
}

struct judge_counts window_failures(const struct window_sum *s, enum conf_gate_arm arm)
{
	struct shift_answers a;

	answers_of(s, arm, &a);
	return counts(a.begun, window_failed(&a));
}

struct judge_counts window_errors(const struct window_sum *s, enum conf_gate_arm arm)
{
	uint64_t fell = fell_back(s, arm);
	struct shift_answers a;

	answers_of(s, arm, &a);
	return counts(a.begun + fell, window_failed(&a) + fell);
}

struct judge_counts window_fallback(const struct window_sum *s, enum conf_gate_arm arm)
{
	uint64_t fell = fell_back(s, arm), rescued = 0;
	struct shift_answers a;

	answers_of(s, arm, &a);
	if (arm != CONF_ARM_OLD)
		rescued = s->service.fallback[SHIFT_FALLBACK_RESCUED];
	return counts(a.begun + fell, fell + rescued);
}

struct judge_counts window_slow(const struct window_sum *s, enum conf_gate_arm arm, uint32_t ms)
{
	struct shift_answers a;

	answers_of(s, arm, &a);
	return slow(&a, ms);
}

/* ---- a gate's number ---- */

static int no_number(struct window_number *ret, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int no_number(struct window_number *ret, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ret->why, sizeof(ret->why), format, args);
	va_end(args);
	return -ENODATA;
}

static int share(struct judge_counts c, struct window_number *ret)
{
	ret->counted = true;
	ret->seen = c;
	ret->value = c.n ? 100.0 * (double)c.bad / (double)c.n : 0;
	return 0;
}

static int quantile(const struct window *w, const struct window_sum *s, enum conf_gate_arm arm,
		    double q, struct window_number *ret)
{
	struct judge_counts asked = window_slow(s, arm, 200);
	struct shift_answers a;
	char span[32];

	answers_of(s, arm, &a);
	if (!asked.n && a.answered)
		return no_number(ret,
				 "nothing tells how long an answer took: the server spoke first");
	if (asked.n < w->least)
		return no_number(ret, "%llu of %u answers in the last %s",
				 (unsigned long long)asked.n, w->least,
				 text_duration(s->span, span));
	a.answer[SHIFT_HISTOGRAM_STEPS] += unanswered(&a); /* slower than any */
	ret->value = telemetry_quantile_ms(a.answer, q);
	return 0;
}

/* How far the share seen is from the weight, in points. */
static int split(const struct window *w, const struct window_sum *s, struct window_number *ret)
{
	uint64_t n = s->service.connections_old + s->service.connections_new;
	uint64_t since = w->last.at - w->weighed_at;
	char span[32];

	if (since < s->span)
		return no_number(ret, "the weight changed within the window, %s ago",
				 text_duration(since, span));
	if (n < w->least)
		return no_number(ret, "%llu of %u connections in the last %s",
				 (unsigned long long)n, w->least, text_duration(s->span, span));
	ret->value = fabs(100.0 * (double)s->service.connections_new / (double)n -
			  w->last.weight / 100.0);
	return 0;
}

/* Enough connections, and of the old arm any sign that its answers are seen. */
static int enough(const struct window *w, const struct window_sum *s, enum conf_gate_arm arm,
		  struct window_number *ret)
{
	const struct shift_answers *old = &s->arm[SHIFT_ARM_OLD];
	uint64_t n = window_errors(s, arm == CONF_ARM_SUM ? CONF_ARM_NEW : arm).n;
	char span[32];

	if (arm != CONF_ARM_NEW && old->begun && !old->answered && !old->failed)
		return no_number(ret,
				 "no answer of the old arm is seen: they leave by an interface "
				 "where they are not watched, or nobody was answered");
	if (arm == CONF_ARM_SUM)
		n += old->begun;
	if (n < w->least)
		return no_number(ret, "%llu of %u %sconnections in the last %s",
				 (unsigned long long)n, w->least,
				 arm == CONF_ARM_OLD ? "watched " : "",
				 text_duration(s->span, span));
	return 0;
}

int window_value(const struct window *w, uint64_t now, enum conf_kernel_gate kind,
		 enum conf_gate_arm arm, struct window_number *ret)
{
	struct window_sum s;
	char age[32];
	int err;

	memset(ret, 0, sizeof(*ret));
	if (arm == CONF_ARM_UNSTATED)
		arm = CONF_ARM_NEW;
	if (!w->has_last)
		return no_number(ret, "the kernel's counters were not read yet");
	if (now > w->last.at + STALE)
		return no_number(ret, "the kernel's counters were read last %s ago",
				 text_duration(now - w->last.at, age));
	if (window_over(w, w->span, &s))
		return no_number(ret, "the window has only begun");
	if (kind == CONF_KERNEL_DROPS) {
		ret->value = (double)s.drops;
		return 0;
	}
	if (kind == CONF_KERNEL_SPLIT)
		return split(w, &s, ret);
	err = enough(w, &s, arm, ret);
	if (err)
		return err;
	switch (kind) {
	case CONF_KERNEL_ERRORS:
		return share(window_errors(&s, arm), ret);
	case CONF_KERNEL_FAILURES:
		return share(window_failures(&s, arm), ret);
	case CONF_KERNEL_FALLBACK:
		return share(window_fallback(&s, arm), ret);
	case CONF_KERNEL_P50:
		return quantile(w, &s, arm, 0.50, ret);
	case CONF_KERNEL_P95:
		return quantile(w, &s, arm, 0.95, ret);
	case CONF_KERNEL_P99:
		return quantile(w, &s, arm, 0.99, ret);
	default:
		return no_number(ret, "the kernel has no such number");
	}
}
