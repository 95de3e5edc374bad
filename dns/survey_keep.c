/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * survey_keep.c - which samples of a source are kept when there is no room for all
 */
#include <stdlib.h>
#include <string.h>

#include "dns/survey_own.h"

#define SECOND 1000000000ull

static bool same_kind(const struct dns_sample *a, const struct dns_sample *b)
{
	return a->type == b->type && a->place == b->place && a->value == b->value &&
	       a->outcome == b->outcome && a->rcode == b->rcode && a->ede == b->ede;
}

/* One of the same type and cache, before (−1) or behind (1) the i-th. */
static const struct dns_sample *beside(const struct dns_source *s, unsigned int i, int step)
{
	for (int k = (int)i + step; k >= 0 && k < (int)s->n_samples; k += step)
		if (s->sample[k].type == s->sample[i].type &&
		    s->sample[k].place == s->sample[i].place)
			return &s->sample[k];
	return NULL;
}

/* What it holds ends at the same time, or it gives the same TTL each time. */
static bool same_life(const struct dns_sample *a, const struct dns_sample *b)
{
	int64_t ends = (int64_t)(b->at + b->ttl * SECOND) - (int64_t)(a->at + a->ttl * SECOND);

	return a->ttl == b->ttl || llabs(ends) < (long long)(SECOND + SECOND / 2);
}

/* Drops the oldest that its neighbours of the same cache make needless. */
static bool thin(struct dns_source *s, bool whole_runs)
{
	for (unsigned int i = 1; i + 1 < s->n_samples; i++) {
		const struct dns_sample *is = &s->sample[i], *a = beside(s, i, -1),
					*b = beside(s, i, 1);

		if (!a || !b || !same_kind(a, is) || !same_kind(b, is))
			continue;
		if (!whole_runs && (!same_life(a, is) || !same_life(is, b)))
			continue;
		memmove(&s->sample[i], &s->sample[i + 1],
			(s->n_samples - i - 1) * sizeof(s->sample[0]));
		s->n_samples--;
		return true;
	}
	return false;
}

void survey_keep(struct dns_source *s, const struct dns_sample *sample)
{
	if (s->n_samples == DNS_MAX_SAMPLES && !thin(s, false))
		thin(s, true);
	dns_source_add(s, sample);
}

void survey_thin(struct dns_source *s, unsigned int most)
{
	while (s->n_samples > most && (thin(s, false) || thin(s, true)))
		;
	if (s->n_samples <= most)
		return;
	memmove(s->sample, s->sample + (s->n_samples - most), most * sizeof(s->sample[0]));
	s->n_samples = most;
}
