/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * judge_relative.c - which arm did each failure land in, in all and lately; sections 1 and 5 of the
 * design
 *
 * If both arms are alike, the next failure is the new arm's with the probability `share`, whatever
 * the rate does meanwhile. The evidence E is what a bettor has made of 1 who bets against that:
 * with any true probability up to the tolerated one it passes 1/alpha at any time with a chance of
 * alpha at most.
 *
 * Beside it runs a statistic that forgets. Each feed multiplies one by e, a bet on a fixed
 * worsening: R = (1 + R) e (Shiryaev-Roberts; it is never below the e-CUSUM M = max(1, M) e). By
 * optional stopping, R passes c within t feeds with a chance of t/c at most. So the t-th feed, with
 * 2^i the power of two from t on, is held against 2^i (i+1)(i+2)/alpha, and the chances sum up to
 * alpha.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "userspace/ctl/judge.h"
#include "userspace/ctl/judge_math.h"

static const double worsening[JUDGE_WORSE] = {2, 4, 16};

double judge_share(double weight, double seen_old, double seen_new)
{
	double old = (1 - weight) * seen_old, new = weight *seen_new;

	return old + new > 0 ? new / (old + new) : weight;
}

/* The share if the odds of the new arm were `times` as high. */
static double with_odds(double share, double times)
{
	return share * times / (share * times + 1 - share);
}

/* ln(1 − I_x(a, b)) */
static double log_above(double x, double a, double b)
{
	return judge_log_ibeta(1 - x, b, a);
}

/* One-sided: new is worse. */
static double log_e_worse(double x, double old, double new)
{
	double a = JUDGE_PRIOR * x, b = JUDGE_PRIOR * (1 - x);

	return judge_log_mixture(new, old, a, b, x) + log_above(x, a + new, b + old) -
	       log_above(x, a, b);
}

double judge_log_e(double share, double tolerance, bool two_sided, double old, double new)
{
	double times = 1 + tolerance;

	if (!two_sided)
		return log_e_worse(with_odds(share, times), old, new);
	if (tolerance > 0)
		return judge_log_sum(log_e_worse(with_odds(share, times), old, new),
				     log_e_worse(with_odds(1 - share, times), new, old)) -
		       log(2);
	return judge_log_mixture(new, old, JUDGE_PRIOR * share, JUDGE_PRIOR * (1 - share), share);
}

double judge_decibans(double log_e)
{
	return 10 * log_e / log(10);
}

static double effect(const struct judge_test *t)
{
	return t->effect > 0 ? t->effect : 1;
}

static double old_of(const struct judge_test *t, const struct judge_epoch *e)
{
	return (double)(e->before_old + e->old) / effect(t);
}

static double new_of(const struct judge_test *t, const struct judge_epoch *e)
{
	return (double)(e->before_new + e->new) / effect(t);
}

/* In the order of their numbers, however they are fed. NULL: its place is taken, or it had another
 * share. */
static struct judge_epoch *find_epoch(struct judge_test *t, uint64_t epoch, double share)
{
	struct judge_epoch *e;
	unsigned int at = 0;

	while (at < t->n && t->epoch[at].epoch < epoch)
		at++;
	if (at < t->n && t->epoch[at].epoch == epoch)
		return t->epoch[at].share == share ? &t->epoch[at] : NULL;
	if (t->put_away && !at)
		return NULL;
	if (t->n == JUDGE_EPOCHS) {
		if (!at)
			return NULL;
		t->closed += t->epoch[0].log_e;
		t->put_away++;
		t->n--;
		at--;
		memmove(t->epoch, t->epoch + 1, t->n * sizeof(*e));
	}
	e = &t->epoch[at];
	memmove(e + 1, e, (t->n - at) * sizeof(*e));
	t->n++;
	*e = (struct judge_epoch){.epoch = epoch, .share = share};
	return e;
}

/* What came since the last feed. */
static void feed_lately(struct judge_test *t, double share, double old, double new)
{
	double x = with_odds(share, 1 + t->tolerance), sum = -INFINITY, steps;

	t->feeds++;
	for (int i = 0; i < JUDGE_WORSE; i++) {
		double y = with_odds(x, worsening[i]);

		t->log_r[i] = (t->feeds > 1 ? judge_log_sum(0, t->log_r[i]) : 0) + new *log(y / x) +
			      old *(log1p(-y) - log1p(-x));
		sum = judge_log_sum(sum, t->log_r[i]);
	}
	steps = ceil(log2((double)t->feeds));
	t->lately = sum - log(JUDGE_WORSE) - steps * log(2) - log((steps + 1) * (steps + 2));
	t->best_lately = fmax(t->best_lately, t->lately);
}

int judge_feed(struct judge_test *t, uint64_t epoch, double share, uint64_t old, uint64_t new)
{
	struct judge_epoch *e;
	double was_old, was_new;

	if (!(share >= 0 && share <= 1))
		return -EINVAL;
	t->share = share;
	if (share == 0 || share == 1)
		return 0;
	e = find_epoch(t, epoch, share);
	if (!e)
		return -EINVAL;
	was_old = old_of(t, e);
	was_new = new_of(t, e);
	if (old < e->old || new < e->new) { /* counted anew from zero */
		e->before_old += e->old;
		e->before_new += e->new;
	} else if (old == e->old && new == e->new) {
		return 0;
	}
	e->old = old;
	e->new = new;
	e->log_e = judge_log_e(share, t->tolerance, t->two_sided, old_of(t, e), new_of(t, e));
	t->log_e = t->closed;
	for (unsigned int i = 0; i < t->n; i++)
		t->log_e += t->epoch[i].log_e;
	t->best = fmax(t->best, t->log_e);
	if (!t->two_sided)
		feed_lately(t, share, old_of(t, e) - was_old, new_of(t, e) - was_new);
	return 0;
}

void judge_clear(struct judge_test *t)
{
	struct judge_test kept = {.name = t->name,
				  .tolerance = t->tolerance,
				  .effect = t->effect,
				  .two_sided = t->two_sided,
				  .by_client = t->by_client};

	*t = kept;
}

void judge_totals(const struct judge_test *t, double *ret_old, double *ret_new)
{
	*ret_old = *ret_new = 0;
	for (unsigned int i = 0; i < t->n; i++) {
		*ret_old += old_of(t, &t->epoch[i]);
		*ret_new += new_of(t, &t->epoch[i]);
	}
}

double judge_p(const struct judge_test *t)
{
	return exp(-fmax(t->best, 0));
}

/* What all the evidence must come to. */
static double far_of(const struct judge_test *t, double alpha)
{
	return -log(t->two_sided ? alpha : alpha * (1 - JUDGE_LATELY));
}

bool judge_rejects(const struct judge_test *t, double alpha)
{
	if (t->two_sided)
		return t->best >= far_of(t, alpha);
	return t->best >= far_of(t, alpha) || t->best_lately >= -log(alpha * JUDGE_LATELY);
}

/* ---- the risk ratio ---- */

struct ratio {
	const struct judge_test *t;
	double least; /* the log likelihood that is near enough */
};

/* As a function of ln r it is concave. */
static double log_likelihood(const struct judge_test *t, double log_r)
{
	double sum = 0;

	for (unsigned int i = 0; i < t->n; i++) {
		const struct judge_epoch *e = &t->epoch[i];
		double odds = log_r + log(e->share) - log1p(-e->share);

		/* ln theta = −ln(1 + e^−odds), ln(1 − theta) = −ln(1 + e^odds) */
		sum -= new_of(t, e) * judge_log_sum(0, -odds) +
		       old_of(t, e) * judge_log_sum(0, odds);
	}
	return sum;
}

static int is_past_best(double log_r, const void *arg)
{
	const struct ratio *q = arg;
	double slope = 0;

	for (unsigned int i = 0; i < q->t->n; i++) {
		const struct judge_epoch *e = &q->t->epoch[i];
		double theta = with_odds(e->share, exp(log_r));

		slope += new_of(q->t, e) * (1 - theta) - old_of(q->t, e) * theta;
	}
	return slope <= 0;
}

static int is_possible(double log_r, const void *arg)
{
	const struct ratio *q = arg;

	return log_likelihood(q->t, log_r) >= q->least;
}

#define FAR_LOG 60.0 /* e^60: as good as without bound */

void judge_ratio(const struct judge_test *t, double alpha, struct judge_interval *ret)
{
	struct ratio q = {.t = t, .least = log(alpha)};
	double old, new, best;

	*ret = (struct judge_interval){.low = 0, .at = NAN, .high = INFINITY};
	judge_totals(t, &old, &new);
	if (old + new <= 0)
		return;
	for (unsigned int i = 0; i < t->n; i++) {
		const struct judge_epoch *e = &t->epoch[i];
		double a = JUDGE_PRIOR * e->share, b = JUDGE_PRIOR * (1 - e->share);

		q.least +=
			judge_log_beta(a + new_of(t, e), b + old_of(t, e)) - judge_log_beta(a, b);
	}
	if (new <= 0)
		best = -FAR_LOG;
	else if (old <= 0)
		best = FAR_LOG;
	else
		best = judge_bisect(-FAR_LOG, FAR_LOG, is_past_best, &q);
	ret->at = new <= 0 ? 0 : old <= 0 ? INFINITY : exp(best);
	if (!is_possible(-FAR_LOG, &q))
		ret->low = exp(judge_bisect(-FAR_LOG, best, is_possible, &q));
	if (!is_possible(FAR_LOG, &q))
		ret->high = exp(judge_bisect(FAR_LOG, best, is_possible, &q));
}

uint64_t judge_test_more(const struct judge_test *t, double alpha, uint64_t begun)
{
	const struct judge_epoch *e = t->n ? &t->epoch[t->n - 1] : NULL;
	double needed, no = 1, yes = 2;

	if (judge_rejects(t, alpha))
		return 0;
	if (!e || !begun || old_of(t, e) + new_of(t, e) <= 0)
		return JUDGE_NEVER;
	needed = far_of(t, alpha) - (t->log_e - e->log_e);
	while (judge_log_e(e->share, t->tolerance, t->two_sided, old_of(t, e) * yes,
			   new_of(t, e) * yes) < needed) {
		no = yes;
		yes *= 2;
		if (yes > 1 << 16)
			return JUDGE_NEVER;
	}
	while (yes - no > 0.01 * no) {
		double middle = (no + yes) / 2;

		if (judge_log_e(e->share, t->tolerance, t->two_sided, old_of(t, e) * middle,
				new_of(t, e) * middle) < needed)
			no = middle;
		else
			yes = middle;
	}
	return (uint64_t)ceil((yes - 1) * (double)begun);
}
