/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * share.h - the share controller and the arithmetic of weighted answers (pure)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * The share of new connections that the old hosts must shift so that `target` of all are on the new
 * side while `seen` of them go there by DNS alone: clamp((S − p) / (1 − p), 0, 1). All 0..1;
 * target = 1: 1, whatever p is; else seen = 1: 0. *ret_above: p > S, which no weight can mend.
 */
double dns_share_weight(double target, double seen, bool *ret_above);

/* Wilson's interval for k of n at 95 %; n = 0: 0..1. */
void dns_share_interval(double k, double n, double *ret_low, double *ret_high);

/*
 * Do answers come with their weights? counts[i] answers of each address against weights[i]:
 * Pearson's χ², df = those with a weight − 1. Returns p (the probability of what was seen, or
 * worse, if they do); NAN: fewer than five expected of some. An address with weight 0 that was
 * answered: p = 0.
 */
double dns_share_test(const uint64_t *counts, const double *weights, unsigned int n);
