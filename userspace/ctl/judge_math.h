/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * judge_math.h - the functions behind the judge: log beta, its incomplete form, evidence, bisection
 *
 * All logarithms are natural. Counts are real numbers, for they may have been divided by a design
 * effect. Precise to 1e-9 for counts up to a million and to 1e-5 up to 1e9 (differences of lgamma).
 */
#pragma once

/* ln B(a, b), a and b above 0. */
double judge_log_beta(double a, double b);

/* ln I_x(a, b), the regularised incomplete beta function; x in 0..1. −INFINITY where it is 0. */
double judge_log_ibeta(double x, double a, double b);

/* ln(e^x + e^y). */
double judge_log_sum(double x, double y);

/*
 * ln of how much more often `bad` of bad + good come about when the share of bad ones is drawn from
 * Beta(a, b) than when it is p: the Bernoulli mixture martingale. With good or bad 0, p may be 0 or
 * 1 at the other end.
 */
double judge_log_mixture(double bad, double good, double a, double b, double p);

/*
 * Where the function passes from false to true between `no` (where it is false) and `yes` (where it
 * is true), in either order; the side that is true is returned.
 */
double judge_bisect(double no, double yes, int (*is)(double x, const void *arg), const void *arg);
