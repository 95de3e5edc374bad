/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * judge.c - the decision, and what it says in words
 *
 * The judge owns nothing but arithmetic. It promises:
 * - Nothing is passed for want of data: no counts, too few, or a void comparison are INCONCLUSIVE,
 *   and INCONCLUSIVE holds.
 * - Looking often costs nothing: the relative test and the certificates are valid at every look.
 * All tests that can alarm share `alpha` in equal parts, so that the chance of any false alarm in a
 *   ramp is alpha. A certificate takes alpha by itself: to go on all gates must certify, and a bad
 *   arm gets by only if the gate that sees it errs.
 * - What acts at once has no statistics: the trip-wire, and the plain share of a gate's window. How
 *   long a share must be over its limit ("for 5m") is the ramp's to know.
 * - Every finding says why in words, and how many connections are wanting.
 *
 * What serves what (the design's section 7): gates and trip-wire get raw counts, the relative test
 * those once per client; `ok` what the stage has seen, the other limits their window, the trip-wire
 * the connections begun in the last 10 s.
 *
 * It follows its design: section 1 (Lindon & Malek, arXiv 2011.03567) in judge_relative.c, 2 and 3
 * (Robbins' mixture; Howard et al. 2021) in judge_absolute.c, 4 (Howard & Ramdas, arXiv 1906.09712)
 * in judge_quantile.c, 5 and 7 here. It differs in these: mSPRT is left out (weak below 20
 * failures); the forgetting statistic is the Shiryaev-Roberts form with growing limits, so that its
 * false alarms are bounded for good and not only on average; certificates have a prior below the
 * limit; the split has a tolerance; a comparison with 5 dB against new holds before it alarms.
 *
 * Weaknesses (figures of tests/unit/test_judge_sim.c and test_judge_counting.c):
 * - Failures that come in clusters in one arm break the relative test: raw counts of clients that
 *   fail again and again alarm in a quarter to a half of all ramps. So with affinity `client` a
 *   client counts once in a ramp, in the arm and epoch of its first failure, and then never again:
 *   who failed by chance on old says nothing when new fails, and in a long ramp of few, busy
 * clients the test grows deaf; gates and trip-wire, which count raw, do not. (Once in each arm
 * would hear more, and alarm in 39 % of the ramps in which 200 clients fail everywhere.) A cluster
 * that fails with its whole arm (one backend, one uplink) is no false alarm. With affinity
 * `connection` a client's connections fall into both arms and do no harm: there all count.
 * - Slow answers are not counted once per client: with affinity `client` a few far clients look
 * like a slow arm. And a share of failures is taken as a share of slow answers.
 * - Of the old arm one connection in eight is watched, and what is not seen of it cannot be made up
 *   for: a worse new arm is found after about three times as many connections as in the design's
 *   figures, which see all of both. A client that fails often is seen there more surely than an
 *   eighth, which makes old look worse than it is and the test slower, never hasty.
 * - A certificate takes the share as on one side of the limit all the time. A long good stage
 *   outweighs a bad minute; the windows and the forgetting statistic are there for that.
 * - Pins and changes by deadlines move the share that a test takes as given. The kernel counts for
 *   the split only what the share decided, so that pins do not void everything; they are still
 * among the failures.
 * - A failure that takes longer to be counted in one arm (rescue: 1..3 s) makes it look better for
 * as long.
 */
#include "userspace/ctl/judge.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Decibans from which evidence that new is worse is "substantial" (Jeffreys: 10^1/2) and holds. */
#define SUSPICION 5.0

const struct judge_rules judge_usual = {
	.alpha = 0.05,
	.least = 200,
	.least_failures = 5,
	.trip_rate = 0.05,
	.trip_begun = 50,
	.trip_failed = 10,
	.source = 0.20,
};

const char *judge_count_text(uint64_t n, char *ret, unsigned int size)
{
	static const char unit[] = {'\0', 'k', 'M', 'G', 'T', 'P', 'E'};
	double x = (double)n;
	unsigned int u = 0;

	if (n < 1000) {
		snprintf(ret, size, "%u", (unsigned int)n);
		return ret;
	}
	while (x >= 999.5) {
		x /= 1000;
		u++;
	}
	if (x < 9.95 && fabs(x - round(x)) >= 0.05)
		snprintf(ret, size, "~%.1f%c", x, unit[u]);
	else
		snprintf(ret, size, "~%.0f%c", x, unit[u]);
	return ret;
}

__attribute__((format(printf, 3, 4))) static void find(struct judge_finding *f,
						       enum judge_verdict verdict,
						       const char *format, ...)
{
	va_list args;

	f->verdict = verdict;
	va_start(args, format);
	vsnprintf(f->why, sizeof(f->why), format, args);
	va_end(args);
}

static double rate_of(struct judge_counts c)
{
	return c.n ? (double)c.bad / (double)c.n : NAN;
}

/* ---- gates ---- */

static bool is_over(const struct judge_rules *r, const struct judge_limit *l)
{
	return l->given && l->seen.n && l->seen.n >= r->least && rate_of(l->seen) > l->share;
}

static bool wants_more(const struct judge_rules *r, const struct judge_limit *l)
{
	return l->given && l->seen.n < (r->least ? r->least : 1);
}

static void certify(const struct judge_rules *r, const struct judge_gate *g,
		    struct judge_finding *ret)
{
	struct judge_counts c = g->ok.seen;
	double limit = 100 * g->ok.share;
	struct judge_interval i;
	uint64_t clean;
	char more[16];

	if (judge_side(c, g->ok.share, r->alpha) == JUDGE_UNDER) {
		judge_sequence(c, g->ok.share, r->alpha, &i);
		find(ret, JUDGE_OK, "%llu of %llu %s: surely < %.3g%%, at most %.3g%%",
		     (unsigned long long)c.bad, (unsigned long long)c.n, g->of, limit,
		     100 * i.high);
		return;
	}
	ret->more = judge_more(c, g->ok.share, r->alpha);
	if (ret->more != JUDGE_NEVER) {
		find(ret, JUDGE_INCONCLUSIVE,
		     "%llu of %llu %s: need %s more at this rate to be sure of < %.3g%%",
		     (unsigned long long)c.bad, (unsigned long long)c.n, g->of,
		     judge_count_text(ret->more, more, sizeof(more)), limit);
		return;
	}
	clean = judge_certify_at(c.bad, g->ok.share, r->alpha);
	if (clean == JUDGE_NEVER) {
		find(ret, JUDGE_INCONCLUSIVE, "%.3g%% is no limit that can be tested", limit);
		return;
	}
	find(ret, JUDGE_INCONCLUSIVE,
	     "%.3g%% of %llu %s is not < %.3g%%: need %s more without a bad one", 100 * rate_of(c),
	     (unsigned long long)c.n, g->of, limit,
	     judge_count_text(clean - c.n, more, sizeof(more)));
}

void judge_gate(const struct judge_rules *r, const struct judge_gate *g, struct judge_finding *ret)
{
	const struct {
		enum judge_verdict verdict;
		const struct judge_limit *limit;
	} rows[] = {
		{JUDGE_ROLLBACK, &g->rollback}, {JUDGE_BACK, &g->back}, {JUDGE_PAUSE, &g->pause}};
	const struct judge_limit *few = NULL, *any = NULL;

	*ret = (struct judge_finding){.value = NAN};
	for (int i = 0; i < 3; i++) {
		const struct judge_limit *l = rows[i].limit;

		if (is_over(r, l)) {
			ret->value = rate_of(l->seen);
			find(ret, rows[i].verdict, "%.3g%% of %llu %s, over %.3g%%",
			     100 * ret->value, (unsigned long long)l->seen.n, g->of,
			     100 * l->share);
			return;
		}
		if (l->given)
			any = l;
		if (wants_more(r, l))
			few = l;
	}
	if (wants_more(r, &g->ok))
		few = &g->ok;
	ret->value = g->ok.given ? rate_of(g->ok.seen) : any ? rate_of(any->seen) : NAN;
	if (few) {
		ret->more = (r->least ? r->least : 1) - few->seen.n;
		find(ret, JUDGE_INCONCLUSIVE, "%llu %s, of %llu needed",
		     (unsigned long long)few->seen.n, g->of, (unsigned long long)r->least);
	} else if (g->ok.given) {
		certify(r, g, ret);
	} else if (any) {
		find(ret, JUDGE_OK, "%.3g%% of %llu %s, not over %.3g%%", 100 * ret->value,
		     (unsigned long long)any->seen.n, g->of, 100 * any->share);
	} else {
		find(ret, JUDGE_INCONCLUSIVE, "no limit is given");
	}
}

/* ---- tests ---- */

static void trip(const struct judge_rules *r, const struct judge_input *in,
		 struct judge_finding *ret)
{
	struct judge_counts c = in->last_10s;

	*ret = (struct judge_finding){.value = rate_of(c), .silent = true};
	if (in->all_down)
		find(ret, JUDGE_ROLLBACK, "every backend is down");
	else if (c.n >= r->trip_begun && c.bad >= r->trip_failed && ret->value > r->trip_rate)
		find(ret, JUDGE_ROLLBACK,
		     "%llu of %llu connections begun in the last 10 s failed (%.3g%%), over %.3g%%",
		     (unsigned long long)c.bad, (unsigned long long)c.n, 100 * ret->value,
		     100 * r->trip_rate);
	else if (c.n < r->trip_begun)
		find(ret, JUDGE_INCONCLUSIVE,
		     "%llu connections begun in the last 10 s, of %llu needed",
		     (unsigned long long)c.n, (unsigned long long)r->trip_begun);
	else
		find(ret, JUDGE_OK, "%llu of %llu connections begun in the last 10 s failed",
		     (unsigned long long)c.bad, (unsigned long long)c.n);
}

/* The epoch that says most against the split; NULL: one that was put away does, or none any more.
 */
static const struct judge_epoch *worst_epoch(const struct judge_test *t)
{
	const struct judge_epoch *worst = NULL;
	double most = fmax(t->closed, 0);

	for (unsigned int i = 0; i < t->n; i++) {
		if (t->epoch[i].log_e <= most)
			continue;
		worst = &t->epoch[i];
		most = worst->log_e;
	}
	return worst;
}

static void split(const struct judge_rules *r, const struct judge_input *in, double alpha,
		  struct judge_finding *ret)
{
	const struct judge_test *t = in->split;
	const struct judge_epoch *newest, *e;
	double total, new;
	bool wrong;

	*ret = (struct judge_finding){.value = NAN, .silent = true};
	if (!t || !t->n) {
		find(ret, JUDGE_INCONCLUSIVE, t ? "nothing was counted" : "not asked");
		return;
	}
	wrong = judge_rejects(t, alpha);
	newest = &t->epoch[t->n - 1];
	e = wrong ? worst_epoch(t) : newest;
	if (!e) {
		find(ret, JUDGE_PAUSE,
		     "%s were not split as they should be before (p %.1g): no comparison holds",
		     in->split_of, judge_p(t));
		return;
	}
	new = (double)(e->before_new + e->new);
	total = (double)(e->before_old + e->old) + new;
	ret->value = total > 0 ? new / total : NAN;
	ret->should = e->share;
	if (wrong) {
		find(ret, JUDGE_PAUSE,
		     "%.3g%% of %.0f %s %s on new, %.3g%% should %s (p %.1g): no comparison holds",
		     100 * ret->value, total, in->split_of, e == newest ? "are" : "were",
		     100 * e->share, e == newest ? "be" : "have been", judge_p(t));
	} else if (total < (double)r->least) {
		ret->more = r->least - (uint64_t)total;
		find(ret, JUDGE_INCONCLUSIVE, "%.0f %s, of %llu needed to tell", total,
		     in->split_of, (unsigned long long)r->least);
	} else {
		find(ret, JUDGE_OK, "%.3g%% of %.0f %s are on new, %.3g%% should be",
		     100 * ret->value, total, in->split_of, 100 * e->share);
	}
}

static void alarm_of(const struct judge_test *t, double alpha, double old, double new,
		     struct judge_finding *ret)
{
	struct judge_interval i;

	if (t->best < -log(alpha * (1 - JUDGE_LATELY))) {
		find(ret, JUDGE_PAUSE,
		     "new got worse lately: %.0f against %.0f of old in all (%+.0f dB)", new, old,
		     judge_decibans(t->best_lately));
		return;
	}
	judge_ratio(t, alpha, &i);
	if (!(old > 0)) {
		find(ret, JUDGE_PAUSE,
		     "new is surely %.2g times as bad as old, which has none: %.0f against 0 "
		     "(%+.0f dB)",
		     i.low, new, judge_decibans(t->best));
		return;
	}
	find(ret, JUDGE_PAUSE,
	     "new is %.2g times as bad as old, surely %.2g: %.0f against %.0f (%+.0f dB)", i.at,
	     i.low, new, old, judge_decibans(t->best));
}

static const char *ratio_text(const struct judge_interval *i, char ret[32])
{
	if (isfinite(i->high))
		snprintf(ret, 32, "ratio %.2g..%.2g", i->low, i->high);
	else
		snprintf(ret, 32, "ratio over %.2g", i->low);
	return ret;
}

static void quiet(const struct judge_test *t, double alpha, uint64_t begun, double old, double new,
		  struct judge_finding *ret)
{
	struct judge_interval i;
	char more[16], ratio[32];

	judge_ratio(t, alpha, &i);
	ratio_text(&i, ratio);
	ret->value = i.at;
	if (judge_decibans(t->log_e) < SUSPICION) {
		find(ret, JUDGE_OK,
		     "no sign that new is worse: %.0f against %.0f of old, %s (%+.0f dB)", new, old,
		     ratio, judge_decibans(t->log_e));
		return;
	}
	ret->more = judge_test_more(t, alpha, begun);
	find(ret, JUDGE_INCONCLUSIVE, "new may be worse: %.0f against %.0f of old, %s; %s%s", new,
	     old, ratio,
	     ret->more == JUDGE_NEVER ? "it does not grow"
				      : judge_count_text(ret->more, more, sizeof(more)),
	     ret->more == JUDGE_NEVER ? "" : " more connections would tell");
}

/* How many more connections there must be depends on how they fail. */
static void too_few(const struct judge_rules *r, const struct judge_input *in,
		    const struct judge_test *t, double bad, struct judge_finding *ret)
{
	const struct judge_epoch *e = t->n ? &t->epoch[t->n - 1] : NULL;
	double lately = e ? (double)(e->old + e->new) : 0;
	char more[16];

	ret->silent = true;
	ret->more = lately > 0 ? (uint64_t)ceil(((double)r->least_failures - bad) / lately *
						(double)in->stage_begun)
			       : JUDGE_NEVER;
	find(ret, JUDGE_INCONCLUSIVE, "%.0f in both arms, of %llu needed to compare%s%s%s", bad,
	     (unsigned long long)r->least_failures, lately > 0 ? ": " : "",
	     lately > 0 ? judge_count_text(ret->more, more, sizeof(more)) : "",
	     lately > 0 ? " more connections at this rate" : "");
}

static void compare(const struct judge_rules *r, const struct judge_input *in,
		    const struct judge_test *t, double alpha, struct judge_finding *ret)
{
	bool one_arm = !(t->share > 0 && t->share < 1);
	bool big = t->by_client && in->source_share > r->source;
	double old, new;

	*ret = (struct judge_finding){.value = NAN};
	judge_totals(t, &old, &new);
	if (big && !one_arm) {
		find(ret, JUDGE_INCONCLUSIVE,
		     "%.60s has %.3g%% of the flows: failures cannot be counted once per client",
		     in->source ? in->source : "one source", 100 * in->source_share);
	} else if (!big && judge_rejects(t, alpha) && old + new >= (double)r->least_failures) {
		alarm_of(t, alpha, old, new, ret);
	} else if (in->stage_begun < r->least) {
		ret->more = r->least - in->stage_begun;
		find(ret, JUDGE_INCONCLUSIVE, "%llu connections on new, of %llu needed",
		     (unsigned long long)in->stage_begun, (unsigned long long)r->least);
	} else if (one_arm) {
		ret->silent = true;
		find(ret, JUDGE_INCONCLUSIVE, "one arm has it all: nothing to compare with");
	} else if (old + new < (double)r->least_failures) {
		too_few(r, in, t, old + new, ret);
	} else {
		quiet(t, alpha, in->stage_begun, old, new, ret);
	}
}

/* ---- all together ---- */

static void take(struct judge_decision *d, const char *name, const struct judge_finding *f)
{
	d->verdict = f->verdict;
	d->name = name;
	memcpy(d->why, f->why, sizeof(d->why));
}

/* Actions by weight, the first of equals; then what holds; then what is fine. */
static void weigh(const struct judge_input *in, struct judge_decision *d)
{
	const struct judge_finding *f[2 + JUDGE_TESTS + JUDGE_GATES];
	const char *name[2 + JUDGE_TESTS + JUDGE_GATES];
	int most = -1, holds = -1, fine = -1, silent = -1, gates = 2 + (int)in->tests;
	int n = 0;

	name[n] = "trip-wire";
	f[n++] = &d->trip;
	name[n] = "split";
	f[n++] = &d->split;
	for (unsigned int i = 0; i < in->tests; i++) {
		name[n] = in->test[i]->name;
		f[n++] = &d->test[i];
	}
	for (unsigned int i = 0; i < in->gates; i++) {
		name[n] = in->gate[i].name;
		f[n++] = &d->gate[i];
	}
	for (int i = 0; i < n; i++) {
		if (f[i]->verdict >= JUDGE_PAUSE) {
			if (most < 0 || f[i]->verdict > f[most]->verdict)
				most = i;
		} else if (i < 2) {
			continue; /* it only ever alarms */
		} else if (f[i]->verdict == JUDGE_OK) {
			fine = i;
		} else if (!f[i]->silent && holds < 0) {
			holds = i;
		} else if (f[i]->silent) {
			silent = i;
		}
	}
	if (most < 0)
		most = holds >= 0 ? holds : silent >= 0 && fine < gates ? silent : fine;
	if (most >= 0)
		take(d, name[most], f[most]);
	else
		snprintf(d->why, sizeof(d->why), "there is nothing to judge by");
}

static void make_void(struct judge_finding *f, const char *why)
{
	if (f->verdict == JUDGE_OK)
		find(f, JUDGE_INCONCLUSIVE, "%s", why);
}

void judge_decide(const struct judge_rules *r, const struct judge_input *in,
		  struct judge_decision *ret)
{
	unsigned int alarms = in->tests + (in->split ? 1 : 0);
	double alpha = r->alpha / (alarms ? alarms : 1);

	memset(ret, 0, sizeof(*ret));
	if (in->tests > JUDGE_TESTS || in->gates > JUDGE_GATES) {
		snprintf(ret->why, sizeof(ret->why), "more than %d tests or %d gates", JUDGE_TESTS,
			 JUDGE_GATES);
		return;
	}
	trip(r, in, &ret->trip);
	split(r, in, alpha, &ret->split);
	for (unsigned int i = 0; i < in->tests; i++)
		compare(r, in, in->test[i], alpha, &ret->test[i]);
	for (unsigned int i = 0; i < in->gates; i++)
		judge_gate(r, &in->gate[i], &ret->gate[i]);
	if (ret->split.verdict == JUDGE_PAUSE) {
		/* Which connections new gets is not what it should be: neither praise nor blame of
		 * new against old holds. That new fails by itself does. */
		for (unsigned int i = 0; i < in->tests; i++) {
			ret->test[i].silent = false;
			find(&ret->test[i], JUDGE_INCONCLUSIVE, "void: the split is wrong");
		}
		for (unsigned int i = 0; i < in->gates; i++)
			make_void(&ret->gate[i], "void: the split is wrong");
	}
	weigh(in, ret);
}
