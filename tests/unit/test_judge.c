/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_judge.c - the judge's numbers against those of an independent computation
 *
 * The expected values were computed with mpmath at 40 digits: the beta functions as such, the
 * one-sided evidence by numeric integration of the truncated mixture, the ends of the sequences by
 * bisection on it.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/counters.h"
#include "userspace/ctl/judge.h"
#include "userspace/ctl/judge_math.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void near_to(double is, double should, double relative)
{
	if (isinf(should) && is == should)
		return;
	if (fabs(is - should) <= relative * fmax(1e-3, fabs(should)))
		return;
	fail_msg("is %.12g, should be %.12g", is, should);
}

static void the_beta_functions_are_right_far_into_the_tails(void **state)
{
	static const struct {
		double a, b, log_beta;
	} betas[] = {
		{1, 1, 0},
		{0.5, 0.5, 1.1447298858494002},
		{2, 999, -13.814510057630691},
		{1000001, 3000000, -2249347.8097452138},
		{20, 1e9, -375.12543274172873},
	};
	static const struct {
		double x, a, b, log_i;
	} rows[] = {
		{0.5, 1, 1, -0.693147180559945},
		{0.25, 5, 15, -0.626281913074304},
		{0.1, 50, 20, -78.7160628536826},
		{0.9, 2000, 5, -192.682747873574},
		{0.001, 1000, 1000, -5527.17893296013},
		{0.25, 5, 2000, 0},
		{0.3, 30000, 70000, -0.69241332522443},
		{0.29, 30000, 70000, -26.992275991613},
		{0.999999, 1, 1, -1.00000050000033e-6},
		{1, 3, 4, 0},
		{0, 3, 4, -INFINITY},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(betas); i++)
		near_to(judge_log_beta(betas[i].a, betas[i].b), betas[i].log_beta, 2e-8);
	for (size_t i = 0; i < COUNT(rows); i++)
		near_to(judge_log_ibeta(rows[i].x, rows[i].a, rows[i].b), rows[i].log_i, 1e-9);
	near_to(judge_log_ibeta(0.4, 4e8, 6e8), log(0.5), 1e-3);
}

static void the_evidence_is_that_of_the_mixture(void **state)
{
	static const struct {
		double share, tolerance, old, new;
		double two_sided, one_sided; /* two_sided without the tolerance */
	} rows[] = {
		{0.25, 0, 0, 0, 0, 0},
		{0.25, 0, 10, 10, 1.0545638300371, 1.774513387616},
		{0.1, 0, 90, 10, -0.93066326462329, -0.82397712789228},
		{0.5, 0, 3, 12, 0.91996278737685, 1.5504632642074},
		{0.25, 0.25, 30, 40, 12.034558141297, 9.0411520290447},
		{0.75, 0, 40, 60, 3.548596973063, -2.438555036918},
		{0.25, 0, 1000, 200, 21.902496360261, -4.1382473787084},
		{0.1, 0.5, 5, 2, -0.031977438598895, 0.29758208051329},
		{0.25, 0, 0, 5, 1.1104002444202, 1.8189902463106},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		near_to(judge_log_e(rows[i].share, 0, true, rows[i].old, rows[i].new),
			rows[i].two_sided, 1e-9);
		near_to(judge_log_e(rows[i].share, rows[i].tolerance, false, rows[i].old,
				    rows[i].new),
			rows[i].one_sided, 1e-9);
	}
	near_to(judge_log_e(0.25, 0.02, true, 7500, 2500), -3.69344920727, 1e-9);
	near_to(judge_log_e(0.25, 0.02, true, 7300, 2700), 3.80429733727, 1e-9);
	near_to(judge_decibans(log(100)), 20, 1e-12);
	near_to(judge_share(0.25, 1.0 / SHIFT_WATCH_ONE_IN, 1), 0.727272727273, 1e-11);
	near_to(judge_share(1, 0.125, 1), 1, 1e-12);
	near_to(judge_share(0, 0.125, 1), 0, 1e-12);
}

/* E is a bet: over all ways that n failures may fall, its mean is 1 when the arms are alike. */
static void the_mean_of_the_evidence_is_one_at_the_edge_of_what_is_tolerated(void **state)
{
	static const double shares[] = {0.1, 0.25, 0.5, 0.9}, tolerances[] = {0, 0.25};
	const double n = 60;

	(void)state;
	for (size_t i = 0; i < COUNT(shares) * COUNT(tolerances) * 2; i++) {
		double share = shares[i % 4], m = tolerances[i / 4 % 2], mean = 0, better = 0;
		bool two_sided = i >= 8;
		double x = share * (1 + m) / (share * (1 + m) + 1 - share), y = share * 0.9;

		if (two_sided && m > 0)
			continue;
		for (double k = 0; k <= n; k++) {
			double log_ways = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1);
			double log_e = judge_log_e(share, m, two_sided, n - k, k);

			mean += exp(log_ways + k * log(x) + (n - k) * log1p(-x) + log_e);
			better += exp(log_ways + k * log(y) + (n - k) * log1p(-y) + log_e);
		}
		near_to(mean, 1, 1e-9);
		if (!two_sided)
			assert_true(better < 1);
	}
}

static void the_sequence_ends_where_it_should(void **state)
{
	static const struct {
		struct judge_counts c;
		double limit, alpha, low, high;
	} rows[] = {
		{{5474, 0}, 0.001, 0.05, 0, 0.000787848370555},
		{{20000, 3}, 0.001, 0.05, 1.25613316363e-5, 0.000555497329696},
		{{500, 40}, 0.05, 0.05, 0.047035071541, 0.128443382698},
		{{10, 10}, 0.05, 0.05, 0.13795228037, 1},
		{{1000000, 1000}, 0.001, 0.01, 0.000877824757313, 0.00113559014044},
		{{1000, 7}, 0.02, 0.05, 0.00174320064888, 0.0175277100972},
		{{10, 9}, 0.9, 0.05, 0.519080740259, 0.99963951456},
	};
	struct judge_interval i;

	(void)state;
	for (size_t k = 0; k < COUNT(rows); k++) {
		struct judge_counts c = rows[k].c;

		judge_sequence(c, rows[k].limit, rows[k].alpha, &i);
		assert_true(fabs(i.low - rows[k].low) <= 1e-8 * rows[k].low);
		assert_true(fabs(i.high - rows[k].high) <= 1e-8 * rows[k].high);
		near_to(i.at, (double)c.bad / (double)c.n, 1e-12);
		/* the verdict agrees with the ends */
		assert_int_equal(judge_side(c, rows[k].limit, rows[k].alpha),
				 i.high < rows[k].limit	 ? JUDGE_UNDER
				 : i.low > rows[k].limit ? JUDGE_OVER
							 : JUDGE_UNKNOWN);
	}
	judge_sequence((struct judge_counts){0, 0}, 0.1, 0.05, &i);
	assert_true(i.low == 0 && i.high == 1 && isnan(i.at));
	assert_int_equal(judge_side((struct judge_counts){0, 0}, 0.1, 0.05), JUDGE_UNKNOWN);
	assert_int_equal(judge_side((struct judge_counts){5, 9}, 0.1, 0.05), JUDGE_UNKNOWN);
}

/* The design's section 2: made with the prior Beta(1, 500). */
static void the_design_s_table_comes_out_and_ours_needs_no_more(void **state)
{
	static const struct {
		double limit;
		unsigned int bad, design, ours;
	} rows[] = {
		{0.001, 0, 5474, 4111}, {0.001, 1, 7956, 6606}, {0.001, 3, 11995, 10663},
		{0.005, 0, 787, 821},	{0.005, 3, 2110, 2130}, {0.05, 0, 0, 81},
	};
	const double far = log(20);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		double bad = rows[i].bad, limit = rows[i].limit, n = rows[i].design;
		uint64_t at = judge_certify_at(rows[i].bad, limit, 0.05);

		assert_int_equal(at, rows[i].ours);
		assert_int_equal(judge_side((struct judge_counts){at, rows[i].bad}, limit, 0.05),
				 JUDGE_UNDER);
		assert_int_equal(
			judge_side((struct judge_counts){at - 1, rows[i].bad}, limit, 0.05),
			JUDGE_UNKNOWN);
		if (!rows[i].design)
			continue;
		assert_true(judge_log_mixture(bad, n - bad, 1, 500, limit) >= far);
		assert_true(judge_log_mixture(bad, n - 1 - bad, 1, 500, limit) < far);
		assert_true((double)at <= 1.2 * n);
	}
	/* and the uniform prior's 12,417 */
	assert_true(judge_log_mixture(0, 12417, 1, 1, 0.001) >= far);
	assert_true(judge_log_mixture(0, 12416, 1, 1, 0.001) < far);
}

static void it_says_how_many_more_connections_a_certificate_needs(void **state)
{
	(void)state;
	assert_int_equal(judge_more((struct judge_counts){1800, 1}, 0.001, 0.05), 37553);
	assert_int_equal(judge_more((struct judge_counts){0, 0}, 0.001, 0.05), 4111);
	assert_int_equal(judge_more((struct judge_counts){4000, 2}, 0.001, 0.05), 24919);
	assert_int_equal(judge_more((struct judge_counts){1000, 10}, 0.05, 0.05), 0);
	assert_true(judge_more((struct judge_counts){1000, 1}, 0.001, 0.05) == JUDGE_NEVER);
	assert_true(judge_more((struct judge_counts){1000, 0}, 0, 0.05) == JUDGE_NEVER);
	assert_true(judge_certify_at(0, 1.5, 0.05) == JUDGE_NEVER);
}

static void the_ratio_s_sequence_ends_where_it_should(void **state)
{
	static const struct {
		double alpha;
		struct {
			double share;
			unsigned int old, new;
		} epoch[2];
		double low, at, high;
	} rows[] = {
		{0.05, {{0.25, 30, 10}}, 0.341040703588, 1, 2.49444121259},
		{0.01, {{0.25, 90, 100}}, 0, 0, 0},
		{0.05,
		 {{0.1, 90, 10}, {0.5, 50, 70}},
		 0.788231996846,
		 1.28571428571,
		 2.07854140298},
		{0.01, {{0.25, 100, 90}}, 1.50703242171, 2.7, 4.80899820045},
	};
	struct judge_interval i;

	(void)state;
	for (size_t k = 0; k < COUNT(rows); k++) {
		struct judge_test t = {.name = "failures"};

		for (unsigned int e = 0; e < 2; e++) {
			if (rows[k].epoch[e].share > 0)
				assert_int_equal(judge_feed(&t, e, rows[k].epoch[e].share,
							    rows[k].epoch[e].old,
							    rows[k].epoch[e].new),
						 0);
		}
		judge_ratio(&t, rows[k].alpha, &i);
		if (rows[k].at == 0) { /* only that the ends enclose the best */
			assert_true(i.low < i.at && i.at < i.high);
			continue;
		}
		near_to(i.low, rows[k].low, 1e-9);
		near_to(i.at, rows[k].at, 1e-9);
		near_to(i.high, rows[k].high, 1e-9);
	}
	{
		struct judge_test none = {.name = "failures"}, all_old = none, all_new = none;

		judge_ratio(&none, 0.05, &i);
		assert_true(i.low == 0 && isnan(i.at) && isinf(i.high));
		judge_feed(&all_old, 1, 0.5, 40, 0);
		judge_ratio(&all_old, 0.05, &i);
		assert_true(i.low == 0 && i.at == 0 && i.high < 1);
		judge_feed(&all_new, 1, 0.5, 0, 40);
		judge_ratio(&all_new, 0.05, &i);
		assert_true(i.low > 1 && isinf(i.at) && isinf(i.high));
	}
}

static void stages_multiply_and_the_p_value_never_rises(void **state)
{
	struct judge_test t = {.name = "failures"};
	double first = judge_log_e(0.1, 0, false, 20, 9), second, p;

	(void)state;
	near_to(judge_p(&t), 1, 1e-12);
	assert_int_equal(judge_feed(&t, 5, 0.1, 20, 9), 0);
	near_to(t.log_e, first, 1e-12);
	second = judge_log_e(0.25, 0, false, 30, 18);
	assert_int_equal(judge_feed(&t, 7, 0.25, 30, 18), 0);
	near_to(t.log_e, first + second, 1e-12);
	p = judge_p(&t);
	near_to(p, exp(-first - second), 1e-9);
	/* many of old later: the evidence falls, what was once shown stays */
	assert_int_equal(judge_feed(&t, 7, 0.25, 300, 18), 0);
	assert_true(t.log_e < first + second);
	near_to(judge_p(&t), p, 1e-12);
	/* a failure of an earlier epoch that is known late */
	assert_int_equal(judge_feed(&t, 5, 0.1, 20, 10), 0);
	near_to(t.log_e, judge_log_e(0.1, 0, false, 20, 10) + judge_log_e(0.25, 0, false, 300, 18),
		1e-12);
	judge_clear(&t);
	near_to(judge_p(&t), 1, 1e-12);
	assert_string_equal(t.name, "failures");
}

static void a_feed_is_refused_when_it_cannot_be_right(void **state)
{
	struct judge_test t = {.name = "failures"};
	double old, new;

	(void)state;
	assert_int_equal(judge_feed(&t, 1, NAN, 1, 1), -EINVAL);
	assert_int_equal(judge_feed(&t, 1, 1.1, 1, 1), -EINVAL);
	assert_int_equal(judge_feed(&t, 1, -0.1, 1, 1), -EINVAL);
	assert_int_equal(judge_feed(&t, 1, 1, 0, 100), 0); /* nothing to compare with */
	assert_int_equal(t.n, 0);
	assert_int_equal(judge_feed(&t, 1, 0.25, 10, 5), 0);
	assert_int_equal(judge_feed(&t, 1, 0.5, 10, 6), -EINVAL);
	/* counters that begin anew are added to what there was */
	assert_int_equal(judge_feed(&t, 1, 0.25, 2, 1), 0);
	judge_totals(&t, &old, &new);
	assert_true(old == 12 && new == 6);
	near_to(t.log_e, judge_log_e(0.25, 0, false, 12, 6), 1e-12);
}

static void many_epochs_in_any_order_lose_no_evidence(void **state)
{
	struct judge_test t = {.name = "failures"}, back = t;
	double sum = 0;

	(void)state;
	for (unsigned int i = 0; i < 3 * JUDGE_EPOCHS; i++) {
		assert_int_equal(judge_feed(&t, i, 0.25, 3, 2 + i % 3), 0);
		sum += judge_log_e(0.25, 0, false, 3, 2 + i % 3);
	}
	assert_int_equal(t.n, JUDGE_EPOCHS);
	near_to(t.log_e, sum, 1e-9);
	/* put away: too late for it */
	assert_int_equal(judge_feed(&t, 0, 0.25, 3, 3), -EINVAL);
	near_to(t.log_e, sum, 1e-9);
	/* newest first, as telemetry lists them */
	for (unsigned int i = 8; i--;)
		assert_int_equal(judge_feed(&back, i, 0.25, 3, 2 + i % 3), 0);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(back.epoch[i].epoch, i);
}

static void counts_are_divided_by_the_design_effect(void **state)
{
	struct judge_test t = {.name = "failures", .effect = 5};

	(void)state;
	assert_int_equal(judge_feed(&t, 1, 0.25, 50, 75), 0);
	near_to(t.log_e, judge_log_e(0.25, 0, false, 10, 15), 1e-12);
}

/* By hand: bets on 2, 4 and 16 times the odds, R = (1 + R) e, the limit of the t-th feed. */
static void the_forgetting_statistic_follows_its_recursion(void **state)
{
	static const struct {
		unsigned int old, new;
	} feeds[] = {{3, 0}, {5, 1}, {1, 4}, {0, 3}, {2, 2}};
	static const double worse[] = {2, 4, 16};
	struct judge_test t = {.name = "failures"};
	double r[3] = {0}, share = 0.25;
	unsigned int old = 0, new = 0;

	(void)state;
	for (unsigned int i = 0; i < COUNT(feeds); i++) {
		double mean = 0, power = 1, step = 0;

		for (; power < i + 1; step++)
			power *= 2;
		for (int k = 0; k < 3; k++) {
			double y = share * worse[k] / (share * worse[k] + 1 - share);

			r[k] = (1 + r[k]) * pow(y / share, feeds[i].new) *
			       pow((1 - y) / (1 - share), feeds[i].old);
			mean += r[k] / 3;
		}
		old += feeds[i].old;
		new += feeds[i].new;
		assert_int_equal(judge_feed(&t, 1, share, old, new), 0);
		assert_int_equal(judge_feed(&t, 1, share, old, new), 0); /* no news: no feed */
		near_to(t.lately, log(mean) - log(power * (step + 1) * (step + 2)), 1e-9);
	}
}

static void slow_answers_are_counted_at_the_histogram_s_edges(void **state)
{
	static const uint32_t edges[] = SHIFT_HISTOGRAM_EDGES;
	uint64_t bucket[SHIFT_HISTOGRAM] = {0};
	struct judge_counts c;
	unsigned int at = 0;

	(void)state;
	while (edges[at] != 20000) /* 200 ms */
		at++;
	bucket[at] = 900;		   /* up to 200 ms */
	bucket[at + 1] = 40;		   /* over */
	bucket[SHIFT_HISTOGRAM_STEPS] = 3; /* without end */
	c = judge_slower(bucket, SHIFT_HISTOGRAM_STEPS, at, 7);
	assert_int_equal(c.n, 950);
	assert_int_equal(c.bad, 50);
}

static void a_quantile_lies_between_edges_that_are_far_from_it(void **state)
{
	static const double edge[] = {10, 20, 50, 100, 200, 500};
	static const uint64_t old[] = {400, 300, 200, 60, 25, 10, 5}, none[7] = {0};
	static const uint64_t late[] = {0, 0, 0, 0, 0, 0, 400}, few[] = {2, 1, 0, 0, 0, 0, 0};
	struct judge_interval i;

	(void)state;
	judge_quantile(old, edge, 6, 0.95, 0.05, &i);
	near_to(i.low, 50, 1e-12);
	near_to(i.high, 200, 1e-12);
	near_to(i.at, 50 + 50 * 50.0 / 60, 1e-12);
	judge_quantile(old, edge, 6, 0.95, 1e-7, &i); /* 15.6 nats are not enough for 200 then */
	near_to(i.high, 500, 1e-12);
	near_to(i.low, 50, 1e-12);
	judge_quantile(none, edge, 6, 0.95, 0.05, &i);
	assert_true(i.low == 0 && isnan(i.at) && isinf(i.high));
	judge_quantile(late, edge, 6, 0.95, 0.05, &i);
	assert_true(i.low == 500 && isinf(i.at) && isinf(i.high));
	judge_quantile(few, edge, 6, 0.95, 0.05, &i);
	assert_true(i.low == 0 && isinf(i.high));
}

static void equal_quantiles_are_only_doubted_when_no_edge_suits_both(void **state)
{
	static const uint64_t old[] = {400, 300, 200, 60, 25, 10, 5};
	static const uint64_t alike[] = {200, 150, 100, 30, 12, 5, 3};
	static const uint64_t fast[] = {9000, 900, 50, 20, 10, 10, 10};
	static const uint64_t slow[] = {500, 400, 300, 200, 50, 40, 10}, none[7] = {0};

	(void)state;
	near_to(judge_same_quantile(old, alike, 6, 0.95), 1, 1e-12);
	near_to(judge_same_quantile(old, alike, 6, 0.5), 1, 1e-12);
	near_to(judge_same_quantile(old, none, 6, 0.5), 1, 1e-12);
	near_to(log(judge_same_quantile(fast, slow, 6, 0.95)), -343.44190205, 1e-9);
	near_to(judge_band(10000, 0.05), 0.028, 0.02);
	near_to(judge_band(100000, 0.05), 0.009, 0.03);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_beta_functions_are_right_far_into_the_tails),
		cmocka_unit_test(the_evidence_is_that_of_the_mixture),
		cmocka_unit_test(the_mean_of_the_evidence_is_one_at_the_edge_of_what_is_tolerated),
		cmocka_unit_test(the_sequence_ends_where_it_should),
		cmocka_unit_test(the_design_s_table_comes_out_and_ours_needs_no_more),
		cmocka_unit_test(it_says_how_many_more_connections_a_certificate_needs),
		cmocka_unit_test(the_ratio_s_sequence_ends_where_it_should),
		cmocka_unit_test(stages_multiply_and_the_p_value_never_rises),
		cmocka_unit_test(a_feed_is_refused_when_it_cannot_be_right),
		cmocka_unit_test(many_epochs_in_any_order_lose_no_evidence),
		cmocka_unit_test(counts_are_divided_by_the_design_effect),
		cmocka_unit_test(the_forgetting_statistic_follows_its_recursion),
		cmocka_unit_test(slow_answers_are_counted_at_the_histogram_s_edges),
		cmocka_unit_test(a_quantile_lies_between_edges_that_are_far_from_it),
		cmocka_unit_test(equal_quantiles_are_only_doubted_when_no_edge_suits_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
