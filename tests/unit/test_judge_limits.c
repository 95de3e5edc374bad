/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_judge_limits.c - how soon, and how surely, a share is called under or over its limit: a
 * thousand runs
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/judge_rig.h"
#include "userspace/ctl/judge.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

struct gate_run {
	double promote, pause; /* shares of the runs */
	double mean_n;	       /* of those that ended */
};

/* Judged after each answer at first, later at every twentieth, until it is sure or has seen `most`.
 */
static struct gate_run limit_runs(unsigned int runs, double rate, double limit, uint64_t most,
				  uint64_t seed)
{
	unsigned int sides[3] = {0};
	double sum = 0;

	for (uint64_t run = 0; run < runs; run++) {
		enum judge_side side = JUDGE_UNKNOWN;
		struct judge_counts c = {0};
		struct dice d;

		dice_seed(&d, seed + run);
		while (side == JUDGE_UNKNOWN && c.n < most) {
			c.n++;
			c.bad += uniform(&d) < rate;
			if (c.n < 2000 || c.n % 20 == 0)
				side = judge_side(c, limit, 0.05);
		}
		sides[side]++;
		if (side != JUDGE_UNKNOWN)
			sum += (double)c.n;
	}
	return (struct gate_run){.promote = (double)sides[JUDGE_UNDER] / runs,
				 .pause = (double)sides[JUDGE_OVER] / runs,
				 .mean_n = sum / fmax(1, sides[JUDGE_UNDER] + sides[JUDGE_OVER])};
}

/* The design's section 3: is the p95 over its limit, as a share of slow answers over 5 %. */
static void slow_answers_are_judged_as_fast_as_designed(void **state)
{
	static const struct {
		double rate;
		enum judge_side right;
		double design;
	} rows[] = {
		{0.02, JUDGE_UNDER, 349},    {0.08, JUDGE_OVER, 645},	 {0.15, JUDGE_OVER, 92},
		{0.045, JUDGE_UNDER, 24000}, {0.055, JUDGE_OVER, 24000},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct gate_run r =
			limit_runs(RUNS, rows[i].rate, 0.05, 400000, 40000000 + 10000 * i);
		double right = rows[i].right == JUDGE_UNDER ? r.promote : r.pause;

		print_message(
			"# slow %.1f %%, limit 5 %%: %s after mean %.0f (design %.0f), the wrong "
			"way .%03.0f\n",
			100 * rows[i].rate, rows[i].right == JUDGE_UNDER ? "ok" : "pause", r.mean_n,
			rows[i].design, 1000 * (1 - right));
		assert_true(r.mean_n <= 1.2 * rows[i].design);
		assert_true(1 - right <= 0.05);
	}
}

static void what_lies_on_the_limit_is_seldom_called_either(void **state)
{
	struct gate_run r;

	(void)state;
	r = limit_runs(4 * RUNS, 0.05, 0.05, 10000, 50000000);
	print_message("# slow 5 %%, limit 5 %%: .%03.0f ok, .%03.0f pause within 10,000\n",
		      1000 * r.promote, 1000 * r.pause);
	assert_true(r.promote <= 0.05);
	assert_true(r.pause <= 0.05);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_answers_are_judged_as_fast_as_designed),
		cmocka_unit_test(what_lies_on_the_limit_is_seldom_called_either),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
