/* SPDX-License-Identifier: GPL-2.0-only */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dns/share.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static uint64_t seed = 1;

static double dice(void) /* 0 … 1 */
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(seed >> 33) / (double)(1u << 31);
}

static void near(double a, double b, double by)
{
	if (!(fabs(a - b) <= by))
		fail_msg("%.9g is not %.9g", a, b);
}

static void the_weight_fills_up_what_dns_has_not_moved(void **state)
{
	static const struct {
		double target, seen, weight;
		bool above;
	} rows[] = {
		{0, 0, 0, false},	  {0.5, 0, 0.5, false}, {1, 0, 1, false},
		{0.5, 0.2, 0.375, false}, {0.5, 0.5, 0, false}, {0.5, 0.6, 0, true},
		{1, 0.999, 1, false},	  {1, 1, 1, false},	{0.9999, 1, 0, true},
		{0.25, 1, 0, true},	  {0, 0.1, 0, true},	{0.1, 0.05, 0.05 / 0.95, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool above = !rows[i].above;

		near(dns_share_weight(rows[i].target, rows[i].seen, &above), rows[i].weight, 1e-12);
		assert_int_equal(above, rows[i].above);
	}
	near(dns_share_weight(0.5, 0.2, NULL), 0.375, 1e-12);
}

/* Wilson's interval, as in Newcombe 1998 (table I, method 3) and by hand. */
static void the_interval_is_wilsons(void **state)
{
	static const struct {
		double k, n, low, high;
	} rows[] = {
		{81, 263, 0.2553, 0.3662},
		{15, 148, 0.0624, 0.1605},
		{0, 20, 0, 0.1611},
		{1, 29, 0.0061, 0.1718},
		{0, 0, 0, 1},
		{20, 20, 0.8389, 1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		double low, high;

		dns_share_interval(rows[i].k, rows[i].n, &low, &high);
		near(low, rows[i].low, 5e-5);
		near(high, rows[i].high, 5e-5);
	}
}

/* Against the tables of the χ² distribution (Abramowitz and Stegun 26.8). */
static void the_test_of_weights_is_chi_square(void **state)
{
	static const struct {
		uint64_t counts[4];
		double weights[4];
		unsigned int n;
		double p, by;
	} rows[] = {
		{{40, 30, 30}, {40, 30, 30}, 3, 1, 0},
		/* χ² = 4: df 1 */
		{{60, 40}, {1, 1}, 2, 0.0455, 1e-4},
		/* χ² = 10, 2 · 5 = 10: df 2, e^−5 */
		{{50, 30, 20}, {1, 1, 1}, 3, 0.000912, 1e-6},
		/* 20² / 100 · 4 = 16: df 3 */
		{{120, 120, 80, 80}, {25, 25, 25, 25}, 4, 0.00113, 1e-5},
		{{1785, 215}, {90, 10}, 2, 0.2636, 1e-3},
		{{5, 0}, {10, 0}, 2, 1, 0},
		{{5, 1}, {10, 0}, 2, 0, 0},
	};
	uint64_t few[2] = {4, 4};
	double even[2] = {1, 1}, none[2] = {0, 0};

	(void)state;
	near(exp(-(50 - 100 / 3.0) * (50 - 100 / 3.0) / (100 / 3.0) / 2 -
		 (30 - 100 / 3.0) * (30 - 100 / 3.0) / (100 / 3.0) / 2 -
		 (20 - 100 / 3.0) * (20 - 100 / 3.0) / (100 / 3.0) / 2),
	     0.000912, 1e-6);
	for (size_t i = 0; i < COUNT(rows); i++)
		near(dns_share_test(rows[i].counts, rows[i].weights, rows[i].n), rows[i].p,
		     rows[i].by);
	assert_true(isnan(dns_share_test(few, even, 2)));
	few[0] = few[1] = 0;
	assert_true(isnan(dns_share_test(few, none, 2)));
}

/* A server that keeps its weights is suspected in one of twenty tests; one that does not, in all.
 */
static void the_test_finds_who_is_off(void **state)
{
	static const double weights[] = {40, 30, 30};
	unsigned int suspected[2] = {0};

	(void)state;
	for (unsigned int run = 0; run < 2000; run++) {
		for (unsigned int wrong = 0; wrong < 2; wrong++) {
			double first = wrong ? 0.5 : 0.4;
			uint64_t counts[3] = {0};

			for (unsigned int i = 0; i < 600; i++) {
				double d = dice();

				counts[d < first ? 0 : d < first + (1 - first) / 2 ? 1 : 2]++;
			}
			suspected[wrong] += dns_share_test(counts, weights, 3) < 0.05;
		}
	}
	print_message("suspected: %.1f %% of those right, %.1f %% of those wrong\n",
		      suspected[0] / 20.0, suspected[1] / 20.0);
	assert_in_range(suspected[0], 70, 130);
	assert_true(suspected[1] > 1960);
}

/*
 * A flip through many caches: each forgets the old answer at a time of its own within the TTL, and
 * has its own share of the clients. The weight is computed anew every so often from p as it is
 * then, seen by the new connections that no longer come to the old address, or by a sweep in which
 * every cache counts one whatever its share. What share of all clients is on the new side?
 */
enum { CACHES = 2000, TTL = 60 };

struct drift {
	double forgets[CACHES], share[CACHES], sum;
};

static double moved(const struct drift *d, double now, bool by_clients)
{
	double p = 0;

	for (unsigned int i = 0; i < CACHES; i++)
		if (d->forgets[i] <= now)
			p += by_clients ? d->share[i] / d->sum : 1.0 / CACHES;
	return p;
}

/* In ticks of a tenth of a second; `every` so many a new weight; 0: never. */
static double worst_share(const struct drift *d, double target, unsigned int every, bool by_clients)
{
	double w = target, worst = 0;

	for (unsigned int tick = 0; tick < (TTL + 20) * 10; tick++) {
		double now = tick / 10.0, p = moved(d, now, true);
		bool above;

		/* Until DNS alone is above the target, which no weight can mend. */
		if (p <= target)
			worst = fmax(worst, fabs(p + (1 - p) * w - target));
		if (every && tick % every == 0) {
			double seen = moved(d, now, by_clients);

			w = dns_share_weight(target, seen, &above);
			assert_true(above == (seen > target));
		}
	}
	return worst;
}

static void the_overall_share_stays_through_a_flip(void **state)
{
	static const double targets[] = {0.75, 0.5, 0.25, 0.1};
	struct drift *d = calloc(1, sizeof(*d));

	(void)state;
	assert_non_null(d);
	for (unsigned int i = 0; i < CACHES; i++) {
		d->forgets[i] = 10 + dice() * TTL;
		d->sum += d->share[i] = 0.5 + dice();
	}
	for (size_t t = 0; t < COUNT(targets); t++) {
		double flows = worst_share(d, targets[t], 2, true);
		double sweep = worst_share(d, targets[t], 10, false);
		double alone = worst_share(d, targets[t], 0, true);

		print_message("target %2.0f %%: off by %.2f points at most by flows, %.2f by a "
			      "sweep each second, %.2f without\n",
			      targets[t] * 100, flows * 100, sweep * 100, alone * 100);
		assert_true(flows <= 0.01);
		assert_true(sweep <= 0.03);
		assert_true(alone > 0.08);
	}
	free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_weight_fills_up_what_dns_has_not_moved),
		cmocka_unit_test(the_interval_is_wilsons),
		cmocka_unit_test(the_test_of_weights_is_chi_square),
		cmocka_unit_test(the_test_finds_who_is_off),
		cmocka_unit_test(the_overall_share_stays_through_a_flip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
