/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * judge_rig.h - chance and the world that the judge is simulated in
 *
 * The generator's seed is fixed, so that every figure comes out the same each time.
 */
#pragma once

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RUNS	1000
#define BLOCK	100  /* connections that share an error rate */
#define BLOCKS	2000 /* of a run: 200,000 connections */
#define BLOCK_S 0.6  /* so that a run takes 20 minutes */

/* ---- chance: xoshiro256+ ---- */

struct dice {
	uint64_t s[4];
};

static inline void dice_seed(struct dice *d, uint64_t seed)
{
	for (int i = 0; i < 4; i++) { /* splitmix64 */
		uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		d->s[i] = z ^ (z >> 31);
	}
}

static inline uint64_t rotate(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* In (0, 1). */
static inline double uniform(struct dice *d)
{
	uint64_t *s = d->s, sum = s[0] + s[3], t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return ((double)(sum >> 11) + 0.5) * 0x1p-53;
}

/* How many trials until one succeeds. */
static inline double geometric(struct dice *d, double p)
{
	return 1 + floor(log(uniform(d)) / log1p(-p));
}

static inline unsigned int binomial(struct dice *d, double n, double p)
{
	unsigned int k = 0;

	for (double at = geometric(d, p); at <= n; at += geometric(d, p))
		k++;
	return k;
}

static inline double normal(struct dice *d)
{
	return sqrt(-2 * log(uniform(d))) * cos(2 * M_PI * uniform(d));
}

/* ---- the world ---- */

struct world {
	struct dice dice;
	double log_rate;
	int burst;
};

static inline void world_begin(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	dice_seed(&w->dice, seed);
	w->log_rate = log(0.001) + uniform(&w->dice) * log(6);
}

/* The error rate of the next block. */
static inline double world_rate(struct world *w)
{
	w->log_rate += (uniform(&w->dice) - 0.5) * 0.2;
	w->log_rate = fmin(fmax(w->log_rate, log(0.001)), log(0.006));
	if (w->burst)
		w->burst--;
	else if (uniform(&w->dice) < 0.01)
		w->burst = (int)geometric(&w->dice, 0.05);
	return w->burst ? 0.012 : exp(w->log_rate);
}

static inline int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_size);
	return (values[n / 2 - 1] + values[n / 2]) / 2;
}
