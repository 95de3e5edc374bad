/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * share_keep.h - keeping the share of all clients while DNS moves (pure)
 *
 *   each second:  dns_fall_add(&fall, now, arrivals, moving);       connections that came here
 *                 dns_fall_share(&fall, now, &flows);
 *                 dns_moved_of(k, n, &sweep);                       what resolvers say
 *                 dns_moved_join(&sweep, &flows, &moved);
 *                 w = dns_keep(target, weight, &moved, committed, &above);
 *
 * Times are ns of one clock that never goes back; shares 0..1; weights hundredths of a percent.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The share that DNS alone sends to the new side, and one standard deviation of that. */
struct dns_moved {
	double share; /* NAN: not known */
	double error;
};

/* By k of n caches that have the new answer. Each counts the same, however many clients it has. */
void dns_moved_of(double k, double n, struct dns_moved *ret);

/* By what each says, weighted by how sure it is. Where the two contradict each other (false), the
 * error takes in both. One that is not known is left out. */
bool dns_moved_join(const struct dns_moved *a, const struct dns_moved *b, struct dns_moved *ret);

/* ---- the fall of new connections at the old address ---- */

#define DNS_FALL_BUCKETS 120 /* of five seconds: how it was before */
#define DNS_FALL_LOOKS	 24  /* the last, a second apart or more */

struct dns_fall {
	double rate[DNS_FALL_BUCKETS]; /* per s */
	unsigned int n, next;
	uint64_t bucket_at, bucket_count; /* when the one under way began; 0: none has */
	uint64_t still_at;		  /* when it was last known that DNS had not moved */
	struct {
		uint64_t at, count;
	} look[DNS_FALL_LOOKS];
	unsigned int looks, last; /* `last`: the newest */
};

/* `count` only ever grows; less than before: the counters began anew, and so does all. `still`: DNS
 * sends nobody to the new side yet, for sure. */
void dns_fall_add(struct dns_fall *f, uint64_t now, uint64_t count, bool still);
void dns_fall_share(const struct dns_fall *f, uint64_t now, struct dns_moved *ret);

/* ---- the controller ---- */

/*
 * The weight to set so that `target` (hundredths of a percent, below 100 %) of all are on the new
 * side; −1: leave `weight`, because the overall share is within the error of what is known, or
 * nothing is. *ret_above: DNS alone sends more, for sure. With `committed` (the old side is stale)
 * it only raises.
 */
int dns_keep(uint16_t target, uint16_t weight, const struct dns_moved *m, bool committed,
	     bool *ret_above);
