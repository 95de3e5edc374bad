/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * judge_math.c - log beta, incomplete beta, evidence, bisection
 *
 * The incomplete beta function is the continued fraction of DLMF 8.17.22, evaluated by Lentz's
 * method and kept as a logarithm, because a tail that the test divides by may be far below the
 * smallest double.
 */
#include "userspace/ctl/judge_math.h"

#include <math.h>

/* The fraction needs some sqrt(max(a, b)) terms: enough for 1e10. */
#define TERMS 200000
#define TINY  1e-300

/* lgamma of the C library writes a global; this one may run in any thread. */
static double log_gamma(double x)
{
	int sign;

	return lgamma_r(x, &sign);
}

double judge_log_beta(double a, double b)
{
	return log_gamma(a) + log_gamma(b) - log_gamma(a + b);
}

static double away_from_zero(double x)
{
	return fabs(x) < TINY ? TINY : x;
}

static double fraction(double x, double a, double b)
{
	double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), h = d;

	for (int m = 1; m < TERMS; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), step;

		d = 1 / away_from_zero(1 + even * d);
		c = away_from_zero(1 + even / c);
		h *= d * c;
		d = 1 / away_from_zero(1 + odd * d);
		c = away_from_zero(1 + odd / c);
		step = d * c;
		h *= step;
		if (fabs(step - 1) < 1e-15)
			break;
	}
	return h;
}

/* Where the fraction converges fast: below the mean. */
static double lower_tail(double x, double a, double b)
{
	return a * log(x) + b * log1p(-x) - judge_log_beta(a, b) - log(a) + log(fraction(x, a, b));
}

double judge_log_ibeta(double x, double a, double b)
{
	double other;

	if (!(x > 0))
		return -INFINITY;
	if (x >= 1)
		return 0;
	if (x < (a + 1) / (a + b + 2))
		return lower_tail(x, a, b);
	other = lower_tail(1 - x, b, a);
	return other >= 0 ? -INFINITY : log1p(-exp(other));
}

double judge_log_sum(double x, double y)
{
	double more = fmax(x, y), less = fmin(x, y);

	return isinf(less) ? more : more + log1p(exp(less - more));
}

double judge_log_mixture(double bad, double good, double a, double b, double p)
{
	double log_e = judge_log_beta(a + bad, b + good) - judge_log_beta(a, b);

	if (bad > 0)
		log_e -= bad * log(p);
	if (good > 0)
		log_e -= good * log1p(-p);
	return log_e;
}

double judge_bisect(double no, double yes, int (*is)(double x, const void *arg), const void *arg)
{
	for (int i = 0; i < 2000; i++) {
		double middle = no + (yes - no) / 2;

		if (middle == no || middle == yes ||
		    fabs(yes - no) <= 1e-13 * fmax(fabs(no), fabs(yes)))
			break;
		if (is(middle, arg))
			yes = middle;
		else
			no = middle;
	}
	return yes;
}
