/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * judge.h - when the numbers say go on, wait, pause, step back or roll back
 *
 * Pure: no clock, no input or output, no memory of its own. A runner feeds it what was counted, as
 * often as it likes (every number here may be looked at at any time), and asks.
 *
 *	struct judge_test failures = {.name = "failures", .tolerance = 0.25, .by_client = true};
 *	struct judge_test split = {.name = "split", .two_sided = true, .tolerance = 0.02};
 *	const struct judge_test *tests[] = {&failures};
 *	struct judge_gate errors = {.name = "errors", .of = "connections"};
 *	struct judge_input in = {.split = &split, .split_of = "clients",
 *				 .test = tests, .tests = 1, .gate = &errors, .gates = 1};
 *	struct judge_decision d;
 *
 *	every second, of each epoch, a = the old arm's and b = the new arm's answers in it:
 *		share = judge_share(weight, 1.0 / SHIFT_WATCH_ONE_IN, 1);
 *		judge_feed(&failures, a->epoch, share, a->failed_clients, b->failed_clients);
 *		judge_feed(&split, a->epoch, weight, a->clients, b->clients);
 *	errors.ok = (struct judge_limit){true, 0.001, {since_stage.begun, since_stage.failed}};
 *	errors.pause = (struct judge_limit){true, 0.005, {window.begun, window.failed}};
 *	in.last_10s = (struct judge_counts){arm.begun_10s, arm.failed_10s};
 *	in.stage_begun = since_stage.begun;
 *	judge_decide(&judge_usual, &in, &d);
 *	d.verdict == JUDGE_INCONCLUSIVE, d.name "errors",
 *	d.why "1 of 1800 connections: need ~38k more at this rate to be sure of < 0.1%"
 *
 * Shares and probabilities are 0..1. Strings that are given are not copied and must live.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define JUDGE_PRIOR  20.0 /* what the relative test's prior is worth, in failures */
#define JUDGE_EPOCHS 64	  /* kept apart; of older ones only the evidence */
#define JUDGE_WORSE  3	  /* worsenings that the forgetting statistic bets on */
#define JUDGE_LATELY 0.2  /* its part of a one-sided test's alpha */
#define JUDGE_WHY    160  /* with its NUL */
#define JUDGE_TESTS  8
#define JUDGE_GATES  32
#define JUDGE_NEVER  UINT64_MAX

/* From INCONCLUSIVE on, what asks for more comes later. Zero passes nothing. */
enum judge_verdict {
	JUDGE_INCONCLUSIVE = 0, /* hold */
	JUDGE_OK,
	JUDGE_PAUSE,
	JUDGE_BACK, /* one stage down */
	JUDGE_ROLLBACK,
	JUDGE_VERDICTS,
};

#define JUDGE_VERDICT_NAMES                                                                        \
	{                                                                                          \
		"inconclusive", "ok", "pause", "back", "rollback"                                  \
	}

struct judge_interval {
	double low, at, high; /* `at` is NAN where nothing was seen */
};

struct judge_counts {
	uint64_t n, bad;
};

/* ---- is a share under its limit (judge_absolute.c) ---- */

enum judge_side { JUDGE_UNKNOWN = 0, JUDGE_UNDER, JUDGE_OVER };

/* The confidence sequence, sharpest around `limit`. Each end for itself is ever beyond the truth
 * with a chance of `alpha` at most. */
void judge_sequence(struct judge_counts c, double limit, double alpha, struct judge_interval *ret);

/* The same, only whether the limit lies outside: cheap. */
enum judge_side judge_side(struct judge_counts c, double limit, double alpha);

/* The first n at which the share with so many bad ones is UNDER. */
uint64_t judge_certify_at(uint64_t bad, double limit, double alpha);

/* How many more until it is UNDER, if bad ones go on to come at the rate seen. */
uint64_t judge_more(struct judge_counts c, double limit, double alpha);

/*
 * Slow answers as bad ones: those over the `edge`-th of the edges, of a histogram with edges + 1
 * buckets, the last without end. "p95 > 200 ms" is a share of over 0.05 of answers over 200 ms.
 * What was asked and never answered is slower than any edge.
 */
struct judge_counts judge_slower(const uint64_t *bucket, unsigned int edges, unsigned int edge,
				 uint64_t unanswered);

/* ---- is the new arm worse than the old one (judge_relative.c) ---- */

struct judge_epoch {
	uint64_t epoch;
	double share;
	uint64_t old, new;
	uint64_t before_old, before_new; /* what was counted before the counters began anew */
	double log_e;
};

/* What is above the line is set by its owner before the first feed, the rest zero. */
struct judge_test {
	const char *name;
	double tolerance; /* 0.25: the new arm may be up to 25 % worse */
	double effect;	  /* design effect: so many make one; 0: 1 */
	bool two_sided;	  /* of shares that should be exact: the split */
	bool by_client;	  /* counted so: void while one source has too many flows */
	/* ---- */
	unsigned int n;
	struct judge_epoch epoch[JUDGE_EPOCHS];
	unsigned int put_away;
	double closed; /* ln E of those put away */
	double share;  /* fed last */
	double log_e, best;
	uint64_t feeds; /* with news */
	double log_r[JUDGE_WORSE];
	double lately, best_lately; /* the forgetting statistic, as ln E */
};

/* The new arm's share of what is counted if both are alike, when of each arm's connections only a
 * known part is seen. */
double judge_share(double weight, double seen_old, double seen_new);

/*
 * What has been counted of an epoch so far; the epochs in any order. Failures count to the epoch
 * that their connection began in. With a share of 0 or 1 there is nothing to compare. Feed it
 * failures of a few seconds at a time or less: the forgetting statistic counts feeds. Clients are
 * in the same arm in every epoch of a ramp that does not cross them: count each once in the ramp,
 * in the epoch it was first seen in, or epochs do not multiply. 0, or -EINVAL: no share, not the
 * epoch's share, or an epoch put away.
 */
int judge_feed(struct judge_test *t, uint64_t epoch, double share, uint64_t old, uint64_t new);

/* As before the first feed: when a human has looked and goes on. */
void judge_clear(struct judge_test *t);

/* ln E of one epoch. */
double judge_log_e(double share, double tolerance, bool two_sided, double old, double new);
double judge_decibans(double log_e);

/* Of all that was fed: the always-valid p, and whether it is decided, now or ever since. A
 * one-sided test spends half of alpha on each of its two statistics. */
double judge_p(const struct judge_test *t);
bool judge_rejects(const struct judge_test *t, double alpha);
void judge_totals(const struct judge_test *t, double *ret_old, double *ret_new);

/* The confidence sequence of the risk ratio, new to old. */
void judge_ratio(const struct judge_test *t, double alpha, struct judge_interval *ret);

/* How many more connections until it rejects, if failures go on to come as in the newest epoch, in
 * which `begun` began. */
uint64_t judge_test_more(const struct judge_test *t, double alpha, uint64_t begun);

/* ---- quantiles of histograms (judge_quantile.c) ---- */

/* With its confidence sequence, in the unit of the edges; beyond the last edge it is INFINITY. */
void judge_quantile(const uint64_t *bucket, const double *edge, unsigned int edges, double p,
		    double alpha, struct judge_interval *ret);

/* The p-value of "both have the same quantile p"; its least ever is always valid. */
double judge_same_quantile(const uint64_t *one, const uint64_t *other, unsigned int edges,
			   double p);

/* Half the width of the band around a whole distribution function. */
double judge_band(uint64_t n, double alpha);

/* ---- the decision (judge.c) ---- */

struct judge_rules {
	double alpha;	/* that it ever alarms although nothing is wrong, all tests together */
	uint64_t least; /* connections in a window, and of a stage, to say anything */
	uint64_t least_failures; /* of both arms, for a relative test to say anything */
	double trip_rate;
	uint64_t trip_begun, trip_failed;
	double source; /* a source with more of the flows is not one client */
};

/* .05, 200, 5; 5 % of at least 50, 10 failures; 20 % */
extern const struct judge_rules judge_usual;

struct judge_limit {
	bool given;
	double share;
	struct judge_counts seen; /* `ok`: since the stage began; else: in the window */
};

/* An absolute gate: `ok` needs certainty, the others act on the plain share of their window. */
struct judge_gate {
	const char *name;
	const char *of; /* what n counts: "connections", "answers" */
	struct judge_limit ok, pause, back, rollback;
};

struct judge_finding {
	enum judge_verdict verdict;
	bool silent;   /* inconclusive, but does not hold what the gates certify */
	double value;  /* share, ratio, or NAN */
	double should; /* of the split: what `value` should be; 0: not known */
	uint64_t more; /* connections until a verdict; 0: it is there; JUDGE_NEVER */
	char why[JUDGE_WHY];
};

struct judge_input {
	bool all_down;			/* all backends' checks fail, or breakers are open */
	struct judge_counts last_10s;	/* new arm: begun in 10 s, failed, raw */
	uint64_t stage_begun;		/* connections of the new arm in this stage */
	const char *source;		/* the one with most flows; NULL: not known */
	double source_share;		/* of the flows */
	const struct judge_test *split; /* of connections or clients; NULL: not asked */
	const char *split_of;		/* "clients" */
	const struct judge_test *const *test;
	unsigned int tests;
	const struct judge_gate *gate;
	unsigned int gates;
};

struct judge_decision {
	enum judge_verdict verdict;
	const char *name; /* of what decided: "trip-wire", "split", a test's or a gate's */
	char why[JUDGE_WHY];
	struct judge_finding trip, split;
	struct judge_finding test[JUDGE_TESTS];
	struct judge_finding gate[JUDGE_GATES];
};

/* Tests and gates beyond JUDGE_TESTS and JUDGE_GATES make it inconclusive. */
void judge_decide(const struct judge_rules *r, const struct judge_input *in,
		  struct judge_decision *ret);

/* One gate by itself. */
void judge_gate(const struct judge_rules *r, const struct judge_gate *g, struct judge_finding *ret);

/* "~6k", "~1.3M", "850"; returns ret. */
const char *judge_count_text(uint64_t n, char *ret, unsigned int size);
