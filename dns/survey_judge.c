/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * survey_judge.c - what the samples of a survey say: verdicts, prediction, first address, weights
 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "dns/share.h"
#include "dns/survey_own.h"
#include "userspace/base/loop.h"

/* ---- judging ---- */

static void copy_since(const struct dns_source *from, uint64_t since, struct dns_source *ret)
{
	unsigned int first = 0;

	while (first < from->n_samples && from->sample[first].at < since)
		first++;
	memcpy(ret, from, offsetof(struct dns_source, sample));
	ret->n_samples = from->n_samples - first;
	memcpy(ret->sample, from->sample + first, ret->n_samples * sizeof(ret->sample[0]));
}

void dns_survey_last_round(const struct dns_survey *s, unsigned int i, struct dns_source *ret)
{
	const struct survey_round *r = &s->own->round[i];
	uint64_t since = r->open && r->before ? r->before : r->began;

	copy_since(&s->source[i], since ? since : UINT64_MAX, ret);
}

/* What this process saw itself: an earlier run's answers say nothing about now. */
static void seen_here(const struct dns_survey *s, unsigned int i, struct dns_source *ret)
{
	copy_since(&s->source[i], s->own->made, ret);
}

static bool newest_serial(const struct dns_survey *s, uint32_t *ret)
{
	bool found = false;

	for (unsigned int i = 0; i < s->n; i++) {
		if (!s->source[i].has_serial)
			continue;
		if (!found || dns_serial_behind(*ret, s->source[i].serial))
			*ret = s->source[i].serial;
		found = true;
	}
	return found;
}

/* The TTL that the authorities give now, or the configured one. */
static uint32_t authority_ttl(const struct dns_survey *s)
{
	uint32_t ttl = 0;

	for (unsigned int i = 0; i < s->n_authorities; i++) {
		const struct dns_source *a = &s->source[i];

		for (unsigned int k = a->n_samples; k-- > 0;) {
			if (!a->sample[k].n_addresses)
				continue;
			ttl = a->sample[k].ttl > ttl ? a->sample[k].ttl : ttl;
			break;
		}
	}
	return ttl ? ttl : s->own->set.wanted->ttl;
}

/* Old for new and new for old: on the way back the one is predicted as else the other. */
static void turn(struct dns_source *s, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		for (unsigned int k = 0; k < s[i].n_samples; k++) {
			enum dns_value *v = &s[i].sample[k].value;

			if (*v == DNS_VALUE_OLD)
				*v = DNS_VALUE_NEW;
			else if (*v == DNS_VALUE_NEW)
				*v = DNS_VALUE_OLD;
		}
	}
}

static void predict(struct dns_survey *s, uint64_t now)
{
	bool back = s->own->set.back;

	if (back)
		turn(s->source, s->n);
	dns_predict(s->source, s->n, s->own->set.wanted, now, &s->prediction);
	if (!back)
		return;
	turn(s->source, s->n);
	if (!s->prediction.known)
		snprintf(s->prediction.why, sizeof(s->prediction.why),
			 "not every authority gives the old value again");
}

bool dns_survey_score(struct dns_survey *s, unsigned int i, uint64_t predicted, double *ret_error_s,
		      double *ret_blur_s)
{
	bool scored;

	if (s->own->set.back)
		turn(&s->source[i], 1);
	scored = dns_score(&s->source[i], predicted, ret_error_s, ret_blur_s);
	if (s->own->set.back)
		turn(&s->source[i], 1);
	return scored;
}

void dns_survey_judge(struct dns_survey *s, uint64_t now, struct dns_judged *ret)
{
	struct dns_survey_own *own = s->own;
	uint32_t newest = 0, ttl = authority_ttl(s);
	bool serial = newest_serial(s, &newest);
	uint64_t expired;

	predict(s, now);
	expired = s->prediction.known && !own->set.back ? s->prediction.late : 0;
	own->n_view = 0;
	for (unsigned int i = 0; i < s->n; i++) {
		struct dns_source *view = &own->view[own->n_view];

		memset(&s->said[i], 0, sizeof(s->said[i]));
		s->said[i].verdict = DNS_SAYS_UNREACHABLE;
		s->said[i].share_new = NAN;
		s->said[i].ttl_left_s = -1;
		dns_classify(&s->source[i], ttl, &s->cache[i]);
		seen_here(s, i, view);
		if (!view->n_samples) {
			snprintf(s->said[i].why, sizeof(s->said[i].why), "not asked");
			continue;
		}
		dns_judge(view, own->set.wanted, now, serial ? &newest : NULL, expired,
			  &s->said[i]);
		own->view_said[own->n_view++] = s->said[i];
	}
	dns_judge_all(own->view, own->view_said, own->n_view, ret);
}

int dns_survey_exit(const struct dns_survey *s, const struct dns_judged *j, bool expect_new)
{
	return dns_exit(j, s->own->view_said, s->own->view, s->own->n_view, expect_new);
}

bool dns_survey_open(const struct dns_survey *s, unsigned int source)
{
	return s->own->round[source].open != 0;
}

bool dns_survey_asked(const struct dns_survey *s, unsigned int source)
{
	return s->own->round[source].began != 0;
}

const struct dns_address *dns_survey_first(const struct dns_survey *s, unsigned int source,
					   bool *ret_new)
{
	const struct survey_round *r = &s->own->round[source];

	*ret_new = r->has_first && r->first_is_new;
	return r->has_first ? &r->first : NULL;
}

double dns_survey_weights(const struct dns_survey *s, uint64_t *ret_answers)
{
	const struct dns_wanted *w = s->own->set.wanted;
	double least = NAN;
	unsigned int tests = 0;

	*ret_answers = 0;
	for (uint8_t family = 4; survey_has_weights(w) && family <= 6; family += 2) {
		double weights[DNS_MAX_ADDRESSES], p;
		uint64_t counts[DNS_MAX_ADDRESSES], sum = 0;
		unsigned int n = 0;

		for (unsigned int i = 0; i < w->n_fresh; i++) {
			if (w->fresh[i].family != family)
				continue;
			sum += s->alone[i];
			counts[n] = s->alone[i];
			weights[n++] = w->weight[i];
		}
		*ret_answers += sum;
		p = n > 1 && sum ? dns_share_test(counts, weights, n) : NAN;
		if (isnan(p))
			continue;
		tests++;
		if (isnan(least) || p < least)
			least = p;
	}
	return tests > 1 ? fmin(1, least * tests) : least;
}
