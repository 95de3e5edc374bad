/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * predict.c - when the last cache forgets the old value, and what kind of cache each is
 *
 * A cache that counts down shows when it forgets: the time of an answer and its TTL add up to the
 * same instant for as long as it holds the same record, a "generation". When that sum jumps, the
 * cache has asked anew. From the generations follow all the kinds:
 *
 *   counts down   a new generation begins with the authority's TTL, after the end of the last
 *   floor, cap    it begins with more, or with less each time
 *   prefetch      it begins before the end of the last
 *   original TTL  every answer is a generation of its own, with the authority's TTL in it
 *   no cache      the same, and the authority's AA bit comes with it (as through dnsmasq without a
 *                 cache, and dnsdist), or the TTL is 0
 *   serves stale  an answer that says so (EDE 3, 19), or the TTL 30 of RFC 8767 for a moment
 *                 between two generations
 *
 * Samples that no single cache can have given (a sum that jumps back) are of several caches behind
 * one address without NSIDs: those are left unknown.
 *
 * Weaknesses: whole seconds are all that a TTL tells, so an end is known to a second at best. A
 * cache that always shows the original TTL, or prefetches, may end anywhere before it: the
 * prediction is then too late, never too early. One that serves stale gives the old value to
 * whoever asks first, however late; no prediction covers that, so it is named.
 */
#include "dns/predict.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define S UINT64_C(1000000000)

#define EDE_STALE	   3
#define EDE_STALE_NXDOMAIN 19
#define STALE_TTL	   30 /* RFC 8767 4 */

const char *const dns_caches[] = {"not known yet", "counts down",  "minimum TTL", "maximum TTL",
				  "original TTL",  "serves stale", "prefetches",  "no cache"};

static bool answered(const struct dns_sample *p)
{
	return p->outcome == DNS_ANSWERED && p->n_addresses;
}

static bool says_stale(const struct dns_sample *p)
{
	return p->ede == EDE_STALE || p->ede == EDE_STALE_NXDOMAIN;
}

static uint64_t end_of(const struct dns_sample *p)
{
	return p->at + p->ttl * S;
}

/* One record as one cache holds it. */
struct generation {
	unsigned int first, n;	/* samples */
	uint64_t end, end_most; /* the earliest and the latest that a sample of it tells */
	bool stale;		/* one of its samples says that it has expired */
	bool back;		/* its end is before that of the last */
	bool early;		/* it began before the end of the last */
};

struct history {
	const struct dns_sample *sample[DNS_MAX_SAMPLES]; /* of one cache and type */
	unsigned int n;
	struct generation g[DNS_MAX_SAMPLES];
	unsigned int n_g;
};

/* Of the place that answered last, the type of which there is most. */
static void gather(const struct dns_source *s, struct history *h)
{
	const struct dns_sample *last = NULL;
	unsigned int n[2] = {0};
	uint16_t type;

	memset(h, 0, sizeof(*h));
	for (unsigned int i = 0; i < s->n_samples; i++)
		if (answered(&s->sample[i]))
			last = &s->sample[i];
	if (!last)
		return;
	for (unsigned int i = 0; i < s->n_samples; i++)
		if (answered(&s->sample[i]) && s->sample[i].place == last->place)
			n[s->sample[i].type == DNS_AAAA]++;
	type = n[1] > n[0] ? DNS_AAAA : DNS_A;
	for (unsigned int i = 0; i < s->n_samples; i++) {
		const struct dns_sample *p = &s->sample[i];

		if (answered(p) && p->place == last->place && p->type == type)
			h->sample[h->n++] = p;
	}
}

/* TTLs are whole seconds, rounded by their cache as it likes; and an answer is under way for a
 * while. */
#define BLUR (S + S / 5)

static void split(struct history *h)
{
	for (unsigned int i = 0; i < h->n; i++) {
		const struct dns_sample *p = h->sample[i];
		struct generation *g = h->n_g ? &h->g[h->n_g - 1] : NULL;
		uint64_t end = end_of(p);

		if (g && end <= g->end + BLUR && end + BLUR >= g->end &&
		    p->value == h->sample[g->first]->value && says_stale(p) == g->stale) {
			g->n++;
			if (end < g->end)
				g->end = end;
			if (end > g->end_most)
				g->end_most = end;
			continue;
		}
		h->g[h->n_g] = (struct generation){
			.first = i, .n = 1, .end = end, .end_most = end, .stale = says_stale(p)};
		if (g) {
			h->g[h->n_g].back = end + BLUR < g->end && !g->stale && !says_stale(p);
			h->g[h->n_g].early = p->at + BLUR < g->end;
		}
		h->n_g++;
	}
}

/* Do all samples show the same TTL, over more than a second or two of one life? Looks so far apart
 * that each finds it loaded anew prove nothing. */
static bool constant(const struct history *h, uint32_t *ret)
{
	uint64_t ttl = h->n ? h->sample[0]->ttl * S : 0;
	bool within = false;

	for (unsigned int i = 1; i < h->n; i++)
		if (h->sample[i]->ttl != h->sample[0]->ttl)
			return false;
	for (unsigned int i = 0; i < h->n; i++)
		for (unsigned int k = i + 1; k < h->n; k++) {
			uint64_t later = h->sample[k]->at - h->sample[i]->at;

			within |= later > 2 * BLUR && (!ttl || later + BLUR < ttl);
		}
	*ret = h->n ? h->sample[0]->ttl : 0;
	return h->n >= 3 && within;
}

/* TTL 30 that lives for shorter than 30 s, where another was to be expected, after an end. */
static bool stale_by_ttl(const struct history *h, unsigned int k, uint32_t authority_ttl)
{
	const struct generation *g = &h->g[k];
	const struct dns_sample *last;

	if (!k || k + 1 == h->n_g || h->sample[g->first]->ttl != STALE_TTL)
		return false;
	if (authority_ttl >= STALE_TTL - 1 && authority_ttl <= STALE_TTL + 1)
		return false;
	last = h->sample[g->first + g->n - 1];
	return !g->early && last->ttl >= STALE_TTL - 1 &&
	       h->sample[g[1].first]->at + BLUR < h->sample[g->first]->at + STALE_TTL * S;
}

static bool find_stale(const struct history *h, uint32_t authority_ttl, struct dns_cache_seen *ret)
{
	for (unsigned int k = 0; k < h->n_g; k++) {
		if (h->g[k].stale)
			snprintf(ret->why, sizeof(ret->why),
				 "says itself that an answer had expired (EDE %d)",
				 h->sample[h->g[k].first]->ede);
		else if (stale_by_ttl(h, k, authority_ttl))
			snprintf(ret->why, sizeof(ret->why),
				 "answered with TTL %d after the end, and fresh a moment later",
				 STALE_TTL);
		else
			continue;
		ret->kind = DNS_CACHE_STALE;
		return true;
	}
	return false;
}

/* How the generations after the first began. */
struct beginnings {
	unsigned int n, early;
	double shown; /* the largest TTL that one began with, s */
	/* Of those that began with less than the authority's TTL, whatever the time since the
	 * sample before hides: how many, the smallest TTL, the longest such time, s. */
	unsigned int low;
	double least, gap;
};

static void look_at_beginnings(const struct history *h, uint32_t authority_ttl,
			       struct beginnings *b)
{
	memset(b, 0, sizeof(*b));
	b->least = INFINITY;
	for (unsigned int k = 1; k < h->n_g; k++) {
		const struct generation *g = &h->g[k];
		const struct dns_sample *p = h->sample[g->first];
		double gap = (double)(p->at - h->sample[g->first - 1]->at) / S;

		b->n++;
		/* It was seen before the end of the last; or it must have been there, as old as
		 * its TTL has it. */
		b->early += g->early || (p->ttl + gap + 1 >= authority_ttl &&
					 g->end_most + 2 * BLUR < g[-1].end + authority_ttl * S);
		b->shown = fmax(b->shown, p->ttl);
		if (p->ttl + gap + 1 >= authority_ttl)
			continue;
		b->low++;
		b->least = fmin(b->least, p->ttl);
		b->gap = fmax(b->gap, gap);
	}
}

/* Less than the authority's, again and again, and never more than that. A forwarder to another
 * cache has less, too, but not the same. A look after a long time proves nothing either way. */
static bool capped(const struct beginnings *b)
{
	return b->low >= 2 && b->shown - b->least <= b->gap + 1;
}

static void classify(const struct history *h, uint32_t authority_ttl, struct dns_cache_seen *ret)
{
	struct beginnings b;
	uint32_t ttl, most = 0;
	bool aa = true;

	for (unsigned int i = 0; i < h->n; i++) {
		aa &= h->sample[i]->aa;
		most = h->sample[i]->ttl > most ? h->sample[i]->ttl : most;
	}
	if (constant(h, &ttl) && (ttl == authority_ttl || !ttl)) {
		ret->kind = aa || !ttl ? DNS_CACHE_NONE : DNS_CACHE_ORIGINAL;
		snprintf(ret->why, sizeof(ret->why), "%s",
			 !ttl ? "always TTL 0: nothing is kept"
			 : aa ? "hands on the authority's own answers"
			      : "shows the authority's TTL and does not count down");
		return;
	}
	if (find_stale(h, authority_ttl, ret))
		return;
	for (unsigned int k = 0; k < h->n_g; k++) {
		if (!h->g[k].back)
			continue;
		snprintf(ret->why, sizeof(ret->why), "several caches answer behind this address");
		return;
	}
	look_at_beginnings(h, authority_ttl, &b);
	if (b.n && b.shown > authority_ttl + 1.0) {
		ret->kind = DNS_CACHE_FLOOR;
		ret->bound_s = b.shown;
		snprintf(ret->why, sizeof(ret->why), "keeps %.0f s where the authority says %u",
			 b.shown, authority_ttl);
	} else if (b.early && 2 * b.early >= b.n) {
		ret->kind = DNS_CACHE_PREFETCH;
		snprintf(ret->why, sizeof(ret->why), "asks anew before the end (%u of %u times)",
			 b.early, b.n);
	} else if (capped(&b)) {
		ret->kind = DNS_CACHE_CAP;
		ret->bound_s = b.shown;
		snprintf(ret->why, sizeof(ret->why), "keeps %.0f s where the authority says %u",
			 b.shown, authority_ttl);
	} else if (b.n) {
		ret->kind = DNS_CACHE_COUNTS;
		snprintf(ret->why, sizeof(ret->why), "counted down and asked anew %u time%s", b.n,
			 b.n == 1 ? "" : "s");
	} else if (h->n >= 3 && most <= authority_ttl &&
		   h->sample[h->n - 1]->at - h->sample[0]->at > 2 * BLUR) {
		ret->kind = DNS_CACHE_COUNTS;
		snprintf(ret->why, sizeof(ret->why), "counts down; not yet seen to ask anew");
	} else if (h->n && most > authority_ttl + 1) {
		snprintf(ret->why, sizeof(ret->why),
			 "holds it for %u s: from before the TTL was lowered, or by a minimum",
			 most);
	} else {
		snprintf(ret->why, sizeof(ret->why), "%s", h->n ? "too few answers" : "no answers");
	}
}

void dns_classify(const struct dns_source *s, uint32_t authority_ttl, struct dns_cache_seen *ret)
{
	struct history h;
	const struct generation *g;
	const struct dns_sample *p;

	memset(ret, 0, sizeof(*ret));
	ret->bound_s = NAN;
	gather(s, &h);
	split(&h);
	classify(&h, authority_ttl, ret);
	if (!h.n)
		return;
	g = &h.g[h.n_g - 1];
	p = h.sample[h.n - 1];
	switch (ret->kind) {
	case DNS_CACHE_NONE:
		return;
	case DNS_CACHE_ORIGINAL:
		ret->early = p->at;
		ret->expires = ret->late = end_of(p);
		return;
	case DNS_CACHE_STALE:
		/* What it gives now may have expired long ago: gone with the next answer. */
		if (g->stale || (p->ttl == STALE_TTL && g->n == 1 && h.n_g > 1)) {
			ret->expires = ret->early = p->at;
			ret->late = end_of(p);
			return;
		}
		break;
	default:
		break;
	}
	/* Each tells a second in which it ends; all of them that second's middle. */
	ret->expires = g->end + (g->end_most - g->end) / 2;
	ret->early = ret->expires - S;
	if (ret->kind == DNS_CACHE_PREFETCH)
		ret->early -= authority_ttl * S / 10;
	ret->late = ret->expires + S;
}

/* ---- all together ---- */

struct flip {
	double proven_s;     /* a cache was seen to keep the record for so long, again and again */
	double longest_s;    /* … at all: perhaps from before the TTL was lowered */
	uint64_t last_old;   /* an authority's last old answer; 0: none seen */
	uint64_t first_seen; /* the first answer of any authority */
	uint64_t bound;	     /* when a cache that asked at the last old answer forgets */
	uint64_t late;	     /* … that asked just before the new answer was first seen */
	unsigned int still, silent, fresh;
};

static uint64_t kept(uint32_t ttl, double at_least_s)
{
	return (uint64_t)(fmax(ttl, at_least_s) * (double)S);
}

static bool has_old(const struct dns_sample *p)
{
	return p->value == DNS_VALUE_OLD || p->value == DNS_VALUE_BOTH;
}

/* One type of one authority. */
static void look_at_authority(const struct dns_source *s, uint16_t type, struct flip *f)
{
	const struct dns_sample *last = NULL, *newest = NULL, *old = NULL;
	uint64_t after = 0;

	for (unsigned int i = 0; i < s->n_samples; i++) {
		const struct dns_sample *p = &s->sample[i];

		if (p->type != type)
			continue;
		newest = p;
		if (!answered(p))
			continue;
		last = p;
		if (!f->first_seen || p->at < f->first_seen)
			f->first_seen = p->at;
		if (has_old(p)) {
			old = p;
			after = 0;
			if (p->at + kept(p->ttl, f->proven_s) > f->bound)
				f->bound = p->at + kept(p->ttl, f->proven_s);
		} else if (old && !after) {
			after = p->at;
		}
	}
	if (!last)
		return;
	f->fresh += last->value == DNS_VALUE_NEW;
	f->still += has_old(last) && newest == last;
	f->silent += has_old(last) && newest != last;
	if (!old)
		return;
	if (old->at > f->last_old)
		f->last_old = old->at;
	if (after && after + kept(old->ttl, f->longest_s) > f->late)
		f->late = after + kept(old->ttl, f->longest_s);
}

static uint32_t old_ttl(const struct dns_source *s, unsigned int n, const struct dns_wanted *w)
{
	uint32_t ttl = 0;

	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; s[i].kind == DNS_AUTHORITY && k < s[i].n_samples; k++)
			if (answered(&s[i].sample[k]) && has_old(&s[i].sample[k]) &&
			    s[i].sample[k].ttl > ttl)
				ttl = s[i].sample[k].ttl;
	return ttl ? ttl : w->ttl;
}

static void look_at_caches(const struct dns_source *s, unsigned int n, uint32_t ttl, struct flip *f)
{
	for (unsigned int i = 0; i < n; i++) {
		struct dns_cache_seen seen;

		if (s[i].kind != DNS_RESOLVER)
			continue;
		for (unsigned int k = 0; k < s[i].n_samples; k++)
			if (answered(&s[i].sample[k]) && !says_stale(&s[i].sample[k]))
				f->longest_s = fmax(f->longest_s, s[i].sample[k].ttl);
		dns_classify(&s[i], ttl, &seen);
		if (seen.kind == DNS_CACHE_FLOOR)
			f->proven_s = fmax(f->proven_s, seen.bound_s);
	}
}

/* The caches that still have the old value: when does the last of them forget? */
static void look_at_holders(const struct dns_source *s, unsigned int n, uint32_t ttl,
			    struct dns_prediction *ret)
{
	uint64_t last = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct dns_cache_seen seen;
		const struct dns_sample *p = NULL;

		for (unsigned int k = 0; s[i].kind == DNS_RESOLVER && k < s[i].n_samples; k++)
			if (answered(&s[i].sample[k]))
				p = &s[i].sample[k];
		if (!p || !has_old(p))
			continue;
		dns_classify(&s[i], ttl, &seen);
		if (seen.expires > last) {
			last = seen.expires;
			ret->slowest = i;
		}
		if (seen.early > ret->early)
			ret->early = seen.early;
		/* These show the same end, or none, however old what they have is. */
		if (seen.kind == DNS_CACHE_ORIGINAL || seen.kind == DNS_CACHE_NONE)
			continue;
		if (seen.expires > ret->at)
			ret->at = seen.expires;
		if (seen.late > ret->late)
			ret->late = seen.late;
	}
}

static const char *plural(unsigned int n)
{
	return n == 1 ? "y" : "ies";
}

void dns_predict(const struct dns_source *s, unsigned int n, const struct dns_wanted *w,
		 uint64_t now, struct dns_prediction *ret)
{
	struct flip f = {0};
	uint32_t ttl = old_ttl(s, n, w);

	memset(ret, 0, sizeof(*ret));
	look_at_caches(s, n, ttl, &f);
	for (unsigned int i = 0; i < n; i++) {
		if (s[i].kind != DNS_AUTHORITY)
			continue;
		look_at_authority(&s[i], DNS_A, &f);
		look_at_authority(&s[i], DNS_AAAA, &f);
	}
	if (f.still || f.silent) {
		if (f.still)
			snprintf(ret->why, sizeof(ret->why),
				 "%u authorit%s still give%s the old value", f.still,
				 plural(f.still), f.still == 1 ? "s" : "");
		else
			snprintf(ret->why, sizeof(ret->why),
				 "%u authorit%s gave the old value last and do%s not answer now",
				 f.silent, plural(f.silent), f.silent == 1 ? "es" : "");
		return;
	}
	if (!f.fresh) {
		snprintf(ret->why, sizeof(ret->why), "no authority gives the new value");
		return;
	}
	ret->known = true;
	ret->last_old = f.last_old;
	ret->at = f.bound;
	ret->late = f.late > f.bound ? f.late : f.bound;
	if (!f.last_old) {
		/* It was changed before anyone looked: at the latest just before. */
		ret->late = f.first_seen + kept(ttl, f.longest_s);
		snprintf(ret->why, sizeof(ret->why),
			 "changed before the first look: the end is that of the caches seen");
	}
	look_at_holders(s, n, ttl, ret);
	if (!ret->at)
		ret->at = now < ret->late ? now : ret->late;
	if (!ret->early || ret->early > ret->at)
		ret->early = now < ret->at ? now : ret->at;
	ret->late += S; /* TTLs are whole seconds */
}

bool dns_score(const struct dns_source *s, uint64_t predicted, double *ret_error_s,
	       double *ret_blur_s)
{
	const struct dns_sample *old = NULL, *fresh = NULL;

	for (unsigned int i = 0; i < s->n_samples; i++) {
		const struct dns_sample *p = &s->sample[i];

		if (!answered(p))
			continue;
		if (has_old(p)) {
			old = p;
			fresh = NULL;
		} else if (old && !fresh && p->value == DNS_VALUE_NEW) {
			fresh = p;
		}
	}
	if (!fresh)
		return false;
	*ret_blur_s = (double)(fresh->at - old->at) / 2 / (double)S;
	*ret_error_s = ((double)fresh->at - (double)predicted) / (double)S - *ret_blur_s;
	return true;
}
