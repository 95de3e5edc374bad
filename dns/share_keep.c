/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * share_keep.c - keeping the share of all clients while DNS moves
 *
 * p, the share that DNS sends to the new side by itself, is seen in two ways. Of the caches that
 * are asked a part has the new answer: exact for those, but they are few, and how many clients
 * stand behind each is not known. And what still comes to the old address is less than before: that
 * is weighted by clients, and quick, but it takes every change of the traffic for one of DNS. Each
 * is given its error, and the two are joined by their errors.
 *
 * The share is set again only when the overall share, p + (1 − p) w, is off by more than the error
 * of p makes uncertain of it, (1 − w) times that; with a p that is certain by more than a tenth of
 * a point. So nothing swings on noise.
 *
 * Weaknesses. Traffic that halves while DNS moves looks as if DNS had moved half: how the rate
 * varied before, and for how long that was ago, is in the error, but a change without precedent is
 * not. Caches that are asked count alike. A daemon that begins when DNS has moved already has never
 * seen the rate of before and goes by the caches alone.
 */
#include "dns/share_keep.h"

#include <math.h>
#include <string.h>

#include "dns/share.h"

#define WHOLE	      10000 /* a weight of 100 % */
#define SECOND	      1000000000.0
#define Z	      1.959963984540054 /* of an interval of 95 % */
#define BUCKET	      5.0		/* s */
#define LEAST_BUCKETS 4
#define ENOUGH	      400   /* connections tell the rate to 5 %; more would be older */
#define LONGEST	      20.0  /* s that the rate now is taken over, if there are fewer */
#define DRIFT	      0.10  /* of the rate in an hour: day and night */
#define LEAST	      0.001 /* of the overall share */

void dns_moved_of(double k, double n, struct dns_moved *ret)
{
	double low, high;

	*ret = (struct dns_moved){NAN, 1};
	if (!(n > 0))
		return;
	dns_share_interval(k, n, &low, &high);
	ret->share = k / n;
	ret->error = (high - low) / (2 * Z);
}

bool dns_moved_join(const struct dns_moved *a, const struct dns_moved *b, struct dns_moved *ret)
{
	double of_a, of_b, off;

	if (isnan(a->share) || isnan(b->share)) {
		*ret = isnan(a->share) ? *b : *a;
		return true;
	}
	of_a = 1 / fmax(a->error * a->error, 1e-12);
	of_b = 1 / fmax(b->error * b->error, 1e-12);
	off = fabs(a->share - b->share);
	ret->share = (a->share * of_a + b->share * of_b) / (of_a + of_b);
	ret->error = sqrt(1 / (of_a + of_b));
	if (off <= 3 * hypot(a->error, b->error))
		return true;
	ret->error = fmax(ret->error, off / 3);
	return false;
}

/* ---- the fall ---- */

static void add_look(struct dns_fall *f, uint64_t now, uint64_t count)
{
	if (f->looks && (double)(now - f->look[f->last].at) < 0.9 * SECOND)
		return;
	f->last = f->looks ? (f->last + 1) % DNS_FALL_LOOKS : 0;
	f->look[f->last].at = now;
	f->look[f->last].count = count;
	if (f->looks < DNS_FALL_LOOKS)
		f->looks++;
}

void dns_fall_add(struct dns_fall *f, uint64_t now, uint64_t count, bool still)
{
	double span = f->bucket_at ? (double)(now - f->bucket_at) / SECOND : 0;

	if (f->looks && count < f->look[f->last].count)
		memset(f, 0, sizeof(*f));
	add_look(f, now, count);
	if (!still) {
		f->bucket_at = 0; /* one that DNS may have moved in tells nothing of before */
		return;
	}
	f->still_at = now;
	if (!f->bucket_at || span > 2 * BUCKET) {
		f->bucket_at = now;
		f->bucket_count = count;
	} else if (span >= BUCKET) {
		f->rate[f->next] = (double)(count - f->bucket_count) / span;
		f->next = (f->next + 1) % DNS_FALL_BUCKETS;
		if (f->n < DNS_FALL_BUCKETS)
			f->n++;
		f->bucket_at = now;
		f->bucket_count = count;
	}
}

/* Over as many of the last looks as it takes to see enough. false: there are not two of them. */
static bool rate_now(const struct dns_fall *f, uint64_t now, double *ret_rate, double *ret_seen)
{
	unsigned int newest = f->last, i = newest;
	double span = 0, seen = 0;

	for (unsigned int k = 1; k < f->looks; k++) {
		i = (i + DNS_FALL_LOOKS - 1) % DNS_FALL_LOOKS;
		span = (double)(f->look[newest].at - f->look[i].at) / SECOND;
		seen = (double)(f->look[newest].count - f->look[i].count);
		if (seen >= ENOUGH || span >= LONGEST)
			break;
	}
	if (!(span > 0) || (double)(now - f->look[newest].at) > 5 * SECOND)
		return false;
	*ret_rate = seen / span;
	*ret_seen = seen;
	return true;
}

void dns_fall_share(const struct dns_fall *f, uint64_t now, struct dns_moved *ret)
{
	double mean = 0, squares = 0, spread, rate, seen, left, drift;

	*ret = (struct dns_moved){NAN, 1};
	if (f->n < LEAST_BUCKETS || !rate_now(f, now, &rate, &seen))
		return;
	for (unsigned int i = 0; i < f->n; i++)
		mean += f->rate[i] / f->n;
	for (unsigned int i = 0; i < f->n; i++)
		squares += (f->rate[i] - mean) * (f->rate[i] - mean) / (f->n - 1);
	if (!(mean * BUCKET >= 1))
		return; /* next to nobody came before either */
	spread = sqrt(squares) / mean;
	drift = DRIFT * (double)(now - f->still_at) / (3600 * SECOND);
	left = rate / mean;
	ret->share = fmin(1, fmax(0, 1 - left));
	/* Of none that came it is known that there were fewer than one or two. */
	ret->error = hypot(fmax(left, 1 / (mean * BUCKET)) *
				   sqrt(1 / fmax(1, seen) + spread * spread + drift * drift),
			   left * spread / sqrt(f->n));
}

/* ---- the controller ---- */

int dns_keep(uint16_t target, uint16_t weight, const struct dns_moved *m, bool committed,
	     bool *ret_above)
{
	double s = (double)target / WHOLE, w = (double)weight / WHOLE, want;
	int fresh;

	*ret_above = !isnan(m->share) && target < WHOLE && m->share - 2 * m->error > s;
	if (isnan(m->share))
		return -1;
	want = dns_share_weight(s, m->share, NULL);
	fresh = (int)lround(want * WHOLE);
	if (*ret_above && !committed)
		return weight ? 0 : -1;
	if (fresh == weight || (committed && fresh < weight))
		return -1;
	if ((1 - m->share) * fabs(w - want) <= fmax(LEAST, (1 - w) * m->error))
		return -1;
	return fresh;
}
