/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * judge_quantile.c - a quantile from a histogram, and whether two arms have the same; section 4 of
 * the design
 *
 * What the true distribution does inside a bucket is not known, so every bucket counts with that
 * value of [F(begin), F(end)] that speaks least against the quantile: the one nearest to it.
 */
#include <math.h>

#include "userspace/ctl/judge.h"
#include "userspace/ctl/judge_math.h"

static double total_of(const uint64_t *bucket, unsigned int edges)
{
	double n = 0;

	for (unsigned int i = 0; i <= edges; i++)
		n += (double)bucket[i];
	return n;
}

/* ln M of `below` (of n) up to some x, if the quantile p were x. */
static double log_m(double below, double n, double p)
{
	double weight = 1 / fmin(p, 1 - p);

	return judge_log_mixture(below, n - below, p * weight, (1 - p) * weight, p);
}

static double nearest(double low, double high, double p)
{
	return fmin(fmax(p, low), high);
}

void judge_quantile(const uint64_t *bucket, const double *edge, unsigned int edges, double p,
		    double alpha, struct judge_interval *ret)
{
	double n = total_of(bucket, edges), sum = 0, far = -log(alpha);
	bool above = false;

	*ret = (struct judge_interval){.low = 0, .at = NAN, .high = INFINITY};
	if (n <= 0 || !(p > 0) || !(p < 1))
		return;
	for (unsigned int i = 0; i < edges; i++) {
		double before = sum, begin = i ? edge[i - 1] : 0;

		sum += (double)bucket[i];
		if (isnan(ret->at) && sum >= p * n && bucket[i])
			ret->at = begin + (edge[i] - begin) * (p * n - before) / (double)bucket[i];
		if (log_m(sum, n, p) < far)
			continue;
		if (sum < p * n) {
			ret->low = edge[i];
		} else if (!above) {
			ret->high = edge[i];
			above = true;
		}
	}
	if (isnan(ret->at))
		ret->at = INFINITY;
}

double judge_same_quantile(const uint64_t *one, const uint64_t *other, unsigned int edges, double p)
{
	double n1 = total_of(one, edges), n2 = total_of(other, edges);
	double below1 = 0, below2 = 0, least = INFINITY;

	if (n1 <= 0 || n2 <= 0 || !(p > 0) || !(p < 1))
		return 1;
	for (unsigned int i = 0; i <= edges; i++) {
		double end1 = below1 + (double)one[i], end2 = below2 + (double)other[i];

		least = fmin(least, log_m(nearest(below1, end1, p * n1), n1, p) +
					    log_m(nearest(below2, end2, p * n2), n2, p));
		below1 = end1;
		below2 = end2;
	}
	return exp(-fmax(least, 0));
}

double judge_band(uint64_t n, double alpha)
{
	return n < 2 ? 1
		     : fmin(1, 0.85 * sqrt((log(log(M_E * (double)n)) + 0.8 * log(1612 / alpha)) /
					   (double)n));
}
