/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * share.c - the share controller and the arithmetic of weighted answers
 *
 * While DNS drifts, a share p of the new connections goes to the new side by itself. The old hosts
 * see only the rest, 1 − p, and shift w of it: p + (1 − p) w of all are then new. Solved for w it
 * is all that the controller is; the rest says how sure p is.
 */
#include "dns/share.h"

#include <math.h>

double dns_share_weight(double target, double seen, bool *ret_above)
{
	double w;

	if (ret_above)
		*ret_above = seen > target;
	/* All of them: also the few that still come here when no resolver sends any more. */
	if (target >= 1)
		return 1;
	if (seen >= 1)
		return 0;
	w = (target - seen) / (1 - seen);
	return w < 0 ? 0 : w > 1 ? 1 : w;
}

void dns_share_interval(double k, double n, double *ret_low, double *ret_high)
{
	const double z = 1.959963984540054, zz = z * z;
	double p, middle, half;

	*ret_low = 0;
	*ret_high = 1;
	if (!(n > 0))
		return;
	p = k / n;
	middle = (p + zz / (2 * n)) / (1 + zz / n);
	half = z / (1 + zz / n) * sqrt(p * (1 - p) / n + zz / (4 * n * n));
	*ret_low = fmax(0, middle - half);
	*ret_high = fmin(1, middle + half);
}

/* Q(a, x), the upper part of the regularised incomplete gamma function: by its series below a + 1,
 * by Lentz's continued fraction above (Abramowitz and Stegun 6.5.29, 6.5.31). */
static double gamma_upper(double a, double x)
{
	int sign;
	double front = exp(a * log(x) - x - lgamma_r(a, &sign));

	if (x < a + 1) {
		double term = 1 / a, sum = term;

		for (int i = 1; i < 1000 && fabs(term) > fabs(sum) * 1e-15; i++)
			sum += term *= x / (a + i);
		return 1 - sum * front;
	}

	double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;

	for (int i = 1; i < 1000; i++) {
		double an = -i * (i - a), step;

		b += 2;
		d = 1 / (an * d + b);
		c = b + an / c;
		step = c * d;
		h *= step;
		if (fabs(step - 1) < 1e-15)
			break;
	}
	return front * h;
}

double dns_share_test(const uint64_t *counts, const double *weights, unsigned int n)
{
	double all = 0, total = 0, squares = 0;
	unsigned int with = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (weights[i] <= 0 && counts[i])
			return 0;
		if (weights[i] <= 0)
			continue;
		all += weights[i];
		total += (double)counts[i];
		with++;
	}
	for (unsigned int i = 0; i < n; i++) {
		double expected = all > 0 ? total * weights[i] / all : 0, off;

		if (weights[i] <= 0)
			continue;
		if (expected < 5)
			return NAN;
		off = (double)counts[i] - expected;
		squares += off * off / expected;
	}
	if (!with)
		return NAN;
	if (with == 1 || squares <= 0)
		return 1;
	return gamma_upper((with - 1) / 2.0, squares / 2);
}
