/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * predict.h - when the last cache forgets the old value, and what kind of cache each is (pure)
 *
 * T = the last time that any authority gave the old value + max(the old TTL, the longest that a
 * cache was seen to stretch it).
 */
#pragma once

#include "dns/observe.h"

enum dns_cache {
	DNS_CACHE_UNKNOWN,  /* not enough seen */
	DNS_CACHE_COUNTS,   /* counts down from the authority's TTL */
	DNS_CACHE_FLOOR,    /* keeps for longer than the TTL: a minimum of its own */
	DNS_CACHE_CAP,	    /* keeps for shorter: a maximum of its own */
	DNS_CACHE_ORIGINAL, /* always answers the authority's TTL and does not count down */
	DNS_CACHE_STALE, /* answers what has expired (EDE 3 or 19, or TTL 30 long after its end) */
	DNS_CACHE_PREFETCH, /* renews before the end */
	DNS_CACHE_NONE,	    /* forwards each question: no cache */
};
extern const char *const dns_caches[]; /* "counts down", … */

struct dns_cache_seen {
	enum dns_cache kind;
	double bound_s;	      /* the floor or the cap, s; NAN */
	uint64_t expires;     /* when what it holds ends, ns; 0: not known */
	uint64_t early, late; /* interval of it */
	char why[128];
};

/* Of one source (one place of it), from its samples and the TTL that authorities give. */
void dns_classify(const struct dns_source *s, uint32_t authority_ttl, struct dns_cache_seen *ret);

struct dns_prediction {
	bool known;
	uint64_t last_old; /* the last time an authority gave the old value; 0: it still does */
	uint64_t at;	   /* the last expiry */
	uint64_t early, late;
	unsigned int slowest; /* the source that is last */
	char why[160];	      /* "2 authorities still give the old value": why it is not known */
};
void dns_predict(const struct dns_source *s, unsigned int n, const struct dns_wanted *w,
		 uint64_t now, struct dns_prediction *ret);

/*
 * Afterwards: when did the source really change, and how far off was it? Between its last old
 * answer and the first new one after it: the middle is taken, and *ret_blur_s is how far either is
 * from that. false: it has not yet, or was never old. *ret_error_s: seen − predicted.
 */
bool dns_score(const struct dns_source *s, uint64_t predicted, double *ret_error_s,
	       double *ret_blur_s);
