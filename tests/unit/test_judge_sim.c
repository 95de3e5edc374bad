/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_judge_sim.c - false alarms and speed of the judge, by simulation against the design's
 * figures
 *
 * A thousand runs each, with a generator of fixed seed, so that every figure comes out the same
 * each time. The world has an error rate that wanders between 0.1 and 0.6 % and bursts of 1.2 %,
 * the same for both arms. A test that is looked at after every failure keeps its evidence up to
 * date in one step and asks judge_log_e() only when a bound says that it may decide; what it
 * decides is the same.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/shift.h"
#include "tests/unit/judge_rig.h"
#include "userspace/ctl/judge.h"
#include "userspace/ctl/judge_math.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
/* ---- the one-sided evidence, a failure at a time ---- */

struct tally {
	double share, old, new;
	double two_sided; /* ln E */
	double room;	  /* by how much the one-sided may be more */
	double before;	  /* of earlier stages */
};

static void tally_begin(struct tally *t, double share)
{
	if (t->old + t->new > 0)
		t->before += judge_log_e(t->share, 0, false, t->old, t->new);
	*t = (struct tally){.share = share,
			    .before = t->before,
			    .room = -judge_log_ibeta(1 - share, JUDGE_PRIOR * (1 - share),
						     JUDGE_PRIOR * share)};
}

static void tally_add(struct tally *t, bool is_new)
{
	double seen = JUDGE_PRIOR + t->old + t->new;

	if (is_new)
		t->two_sided += log((JUDGE_PRIOR * t->share + t->new ++) / seen / t->share);
	else
		t->two_sided +=
			log((JUDGE_PRIOR * (1 - t->share) + t->old++) / seen / (1 - t->share));
}

static bool tally_over(const struct tally *t, double far)
{
	return t->before + t->two_sided + t->room >= far &&
	       t->before + judge_log_e(t->share, 0, false, t->old, t->new) >= far;
}

static double z_of(double bad1, double n1, double bad0, double n0)
{
	double p = (bad1 + bad0) / (n1 + n0), v = p * (1 - p) * (1 / n1 + 1 / n0);

	return v > 0 ? (bad1 / n1 - bad0 / n0) / sqrt(v) : 0;
}

static void arms_alike(double share, const double *stages, unsigned int n_stages, uint64_t seed,
		       unsigned int *ret_e, unsigned int *ret_z)
{
	*ret_e = *ret_z = 0;
	for (uint64_t run = 0; run < RUNS; run++) {
		double n1 = 0, n0 = 0, bad1 = 0, bad0 = 0;
		bool e = false, z = false;
		struct tally t = {0};
		struct world w;

		world_begin(&w, seed + run);
		tally_begin(&t, share);
		for (unsigned int b = 0; b < BLOCKS; b++) {
			unsigned int bad = binomial(&w.dice, BLOCK, world_rate(&w));

			if (n_stages && b % (BLOCKS / n_stages) == 0)
				tally_begin(&t, stages[b / (BLOCKS / n_stages)]);
			for (unsigned int i = 0; i < bad; i++) {
				bool is_new = uniform(&w.dice) < t.share;

				tally_add(&t, is_new);
				*(is_new ? &bad1 : &bad0) += 1;
				e = e || tally_over(&t, log(20));
			}
			if (n_stages || b % 10 != 9)
				continue;
			n1 += round(1000 * share +
				    normal(&w.dice) * sqrt(1000 * share * (1 - share)));
			n0 = (b + 1) * BLOCK - n1;
			z = z || z_of(bad1, n1, bad0, n0) > 1.644854;
		}
		*ret_e += e;
		*ret_z += z;
	}
}

static void drifting_bursting_errors_raise_no_more_false_alarms_than_alpha(void **state)
{
	static const double shares[] = {0.10, 0.25, 0.50}, stages[] = {0.10, 0.25, 0.50, 0.75};
	unsigned int e, z;

	(void)state;
	for (size_t i = 0; i < COUNT(shares); i++) {
		arms_alike(shares[i], NULL, 0, 1000000 * (i + 1), &e, &z);
		print_message("# share %.2f: false alarms .%03u; naive z-test each 1,000 "
			      "connections .%03u\n",
			      shares[i], e, z);
		assert_true(e <= RUNS * 5 / 100);
		assert_true(z >= RUNS * 15 / 100); /* or the world is too kind */
	}
	arms_alike(stages[0], stages, COUNT(stages), 9000000, &e, &z);
	print_message("# product over 10, 25, 50, 75 %%: false alarms .%03u\n", e);
	assert_true(e <= RUNS * 5 / 100);
}

/* ---- speed ---- */

/* Connections until E+ decides at .01, failures of new by then, and until the whole test does. Of
 * the old arm's failures one in `one_in` is seen. */
static void detect(double weight, double one_in, double p0, double p1, double *ret_n,
		   double *ret_failures, double *ret_whole)
{
	static double n[RUNS], failures[RUNS], whole[RUNS];
	double share = judge_share(weight, 1 / one_in, 1);
	double p = (1 - weight) * p0 / one_in + weight * p1;

	for (uint64_t run = 0; run < RUNS; run++) {
		struct judge_test test = {.name = "failures"};
		struct tally t = {0};
		uint64_t old = 0, new = 0;
		struct dice d;
		double at = 0;

		dice_seed(&d, 7000000 + run);
		tally_begin(&t, share);
		n[run] = whole[run] = 0;
		while (!n[run] || !whole[run]) {
			bool is_new;

			at += geometric(&d, p);
			is_new = uniform(&d) < weight * p1 / p;
			*(is_new ? &new : &old) += 1;
			tally_add(&t, is_new);
			if (!whole[run] && is_new) {
				judge_feed(&test, 1, share, old, new);
				if (judge_rejects(&test, 0.01))
					whole[run] = at;
			}
			if (!n[run] && tally_over(&t, log(100))) {
				n[run] = at;
				failures[run] = t.new;
			}
		}
	}
	*ret_n = median(n, RUNS);
	*ret_failures = median(failures, RUNS);
	*ret_whole = median(whole, RUNS);
}

static void a_worse_arm_is_found_as_fast_as_designed(void **state)
{
	static const struct {
		double share, rate, design, failures;
	} rows[] = {
		{0.25, 0.05, 868, 10},	 {0.10, 0.05, 1336, 7},	  {0.25, 0.01, 5951, 16},
		{0.25, 0.006, 13844, 0}, {0.25, 0.004, 38327, 0}, {0.25, 0.003, 108691, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		double n, failures, whole;

		detect(rows[i].share, 1, 0.002, rows[i].rate, &n, &failures, &whole);
		print_message("# share %.2f, new %.1f %% against 0.2 %%: median %.0f connections, "
			      "%.0f failures of new (design %.0f); with the forgetting one %.0f\n",
			      rows[i].share, 100 * rows[i].rate, n, failures, rows[i].design,
			      whole);
		assert_true(n <= 1.2 * rows[i].design);
		assert_true(whole <= 1.2 * rows[i].design);
		if (rows[i].failures)
			assert_true(failures <= 1.2 * rows[i].failures);
	}
}

/*
 * As the kernel watches the old arm: what it does not see of old nobody can tell by arithmetic. Of
 * new all is seen, so that new's own failures are not missed, only what they are compared with.
 */
static void a_watched_old_arm_costs_no_more_than_is_said(void **state)
{
	static const struct {
		double share, rate, design;
	} rows[] = {{0.25, 0.05, 868}, {0.10, 0.05, 1336}, {0.25, 0.01, 5951}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		double n, failures, whole;

		detect(rows[i].share, SHIFT_WATCH_ONE_IN, 0.002, rows[i].rate, &n, &failures,
		       &whole);
		print_message("# share %.2f, new %.1f %% against 0.2 %%, of old 1 in %d watched: "
			      "median %.0f connections, %.1f times the design's\n",
			      rows[i].share, 100 * rows[i].rate, SHIFT_WATCH_ONE_IN, whole,
			      whole / rows[i].design);
		assert_true(whole <= 3.6 * rows[i].design);
	}
}

/* A long good stage, then new fails ten times as often. */
static void what_gets_worse_late_is_found_sooner_by_forgetting(void **state)
{
	static double cumulative[RUNS], lately[RUNS];
	const double share = 0.25, far = -log(0.05 * 0.8), near = -log(0.05 * 0.2);
	double slow, fast;

	(void)state;
	for (uint64_t run = 0; run < RUNS; run++) {
		struct judge_test t = {.name = "failures"};
		uint64_t old = 0, new = 0;
		struct dice d;
		double at = 0;

		dice_seed(&d, 8000000 + run);
		cumulative[run] = lately[run] = 0;
		while (!cumulative[run] || !lately[run]) {
			double p0 = 0.002, p1 = at < 400000 ? 0.001 : 0.02;
			double p = (1 - share) * p0 + share * p1;

			at += geometric(&d, p);
			*(uniform(&d) < share * p1 / p ? &new : &old) += 1;
			judge_feed(&t, 1, share, old, new);
			if (!lately[run] && t.best_lately >= near)
				lately[run] = at - 400000;
			if (!cumulative[run] && t.best >= far)
				cumulative[run] = at - 400000;
		}
	}
	slow = median(cumulative, RUNS);
	fast = median(lately, RUNS);
	print_message(
		"# from 0.1 to 2 %% after 400,000 connections: %.0f more by all the evidence, "
		"%.0f by the forgetting one\n",
		slow, fast);
	assert_true(fast * 5 < slow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drifting_bursting_errors_raise_no_more_false_alarms_than_alpha),
		cmocka_unit_test(a_worse_arm_is_found_as_fast_as_designed),
		cmocka_unit_test(a_watched_old_arm_costs_no_more_than_is_said),
		cmocka_unit_test(what_gets_worse_late_is_found_sooner_by_forgetting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
