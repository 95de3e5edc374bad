/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * window_value.c - what was counted in a window as shares, quantiles, and the number of a gate
 *
 * No number is made of too little: the window must hold so many connections as the ramp's rules
 * say, of the new arm (the old one's are watched in part), and those that fell back are among them,
 * or a backend that is gone would be "too few".
 */
#include "userspace/ctl/window_inner.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/text.h"

#define SECOND	1000000000ull
#define STALE	(3 * SECOND)
#define COHORTS (11 * SECOND) /* that the last ten seconds of the kernel's reach back at most */

uint64_t window_failed(const struct shift_answers *a)
{
	return a->failure[SHIFT_FAILURE_REFUSED] + a->failure[SHIFT_FAILURE_UNANSWERED] +
	       a->failure[SHIFT_FAILURE_RESET] + a->failure[SHIFT_FAILURE_CLOSED];
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
	ret->split = (double)shift_weight_threshold(e->weight) / SHIFT_THRESHOLD_MAX;
	ret->share = judge_share(ret->weight, fraction(SHIFT_ARM_OLD), fraction(SHIFT_ARM_NEW));
	for (int i = 0; i < SHIFT_ARMS; i++) {
		struct shift_answers a = e->before[i];

		window_add_answers(&a, &e->is[i]);
		ret->arm[i].chosen = a.chosen;
		ret->arm[i].clients = a.clients;
		ret->arm[i].begun = a.begun;
		ret->arm[i].failed = window_failed(&a);
		ret->arm[i].failed_clients = a.failed_clients;
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

/* Of so few the greatest share says nothing: that of one with 10 % passes 20 % once in a thousand
 * looks. */
#define ORIGINS_LEAST 100

const char *window_source(const struct window *w, double share, char text[64], double *ret_share)
{
	const struct telemetry_origin *o = &w->last.origin;

	*ret_share = o->of < ORIGINS_LEAST ? 0 : (double)o->n / o->of;
	if (!w->has_last || *ret_share <= share)
		return NULL;
	return o->bits == 128 ? text_address(o->address, 0, text)
			      : text_network(o->address, o->bits, text);
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
		window_add_answers(ret, &s->arm[SHIFT_ARM_OLD]);
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
	uint64_t new = s->arm[SHIFT_ARM_NEW].chosen, n = new + s->arm[SHIFT_ARM_OLD].chosen;
	uint64_t since = w->last.at - w->weighed_at;
	char span[32];

	if (since < s->span)
		return no_number(ret, "the weight changed within the window, %s ago",
				 text_duration(since, span));
	if (n < w->least)
		return no_number(ret, "%llu of %u connections in the last %s",
				 (unsigned long long)n, w->least, text_duration(s->span, span));
	ret->value = fabs(100.0 * (double)new / (double)n - w->last.weight / 100.0);
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
