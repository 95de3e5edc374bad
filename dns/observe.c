/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * observe.c - what was seen of one name, and what it means against what shall be there
 */
#include "dns/observe.h"

#include <string.h>

#include "userspace/base/loop.h"
#include "userspace/conf/config.h"

static void add_address(struct dns_address *list, unsigned int *n, const struct conf_address *a)
{
	struct dns_address *to = &list[(*n)++];

	to->family = a->family;
	memcpy(to->ip, a->ip, sizeof(to->ip));
}

void dns_wanted_of(const struct conf_dns *d, struct dns_wanted *w)
{
	memset(w, 0, sizeof(*w));
	w->ask_a = !d->n_types;
	w->ask_aaaa = !d->n_types;
	for (unsigned int i = 0; i < d->n_types; i++)
		*(d->types[i].aaaa ? &w->ask_aaaa : &w->ask_a) = true;
	for (unsigned int i = 0; i < d->n_old; i++)
		add_address(w->old, &w->n_old, &d->old[i]);
	for (unsigned int i = 0; i < d->n_fresh; i++) {
		w->weight[i] = d->fresh[i].weight;
		add_address(w->fresh, &w->n_fresh, &d->fresh[i].address);
	}
	w->ttl = (uint32_t)(d->ttl_ms / 1000);
}

static bool listed(const struct dns_address *list, unsigned int n, const struct dns_address *a)
{
	for (unsigned int i = 0; i < n; i++)
		if (list[i].family == a->family && !memcmp(list[i].ip, a->ip, sizeof(a->ip)))
			return true;
	return false;
}

/* Are all of one family in `a` listed in `b`? */
static bool within(const struct dns_address *a, unsigned int n_a, const struct dns_address *b,
		   unsigned int n_b, uint8_t family)
{
	for (unsigned int i = 0; i < n_a; i++)
		if (a[i].family == family && !listed(b, n_b, &a[i]))
			return false;
	return true;
}

enum dns_value dns_value(const struct dns_wanted *w, const struct dns_address *a, unsigned int n)
{
	unsigned int old = 0, fresh = 0, both = 0;

	if (!n)
		return DNS_VALUE_NONE;
	for (unsigned int i = 0; i < n; i++) {
		bool is_old = listed(w->old, w->n_old, &a[i]);
		bool is_fresh = listed(w->fresh, w->n_fresh, &a[i]);

		if (is_old && is_fresh)
			both++;
		else if (is_old)
			old++;
		else if (is_fresh)
			fresh++;
		else
			return DNS_VALUE_OTHER;
	}
	if (old && fresh)
		return DNS_VALUE_BOTH;
	if (old)
		return DNS_VALUE_OLD;
	if (fresh)
		return DNS_VALUE_NEW;
	/* Only addresses that stay. When nothing else is to come, it is there already; when they
	 * are all of the old ones, nothing has come. */
	if (within(w->fresh, w->n_fresh, a, n, a[0].family))
		return DNS_VALUE_NEW;
	return within(w->old, w->n_old, a, n, a[0].family) ? DNS_VALUE_OLD : DNS_VALUE_NEW;
}

static bool has_old(const struct dns_sample *p)
{
	return p->value == DNS_VALUE_OLD || p->value == DNS_VALUE_BOTH;
}

/* The sample that may go: the oldest but the last old one of each type and what came after it, on
 * which the prediction and its score stand. */
static unsigned int dispensable(const struct dns_source *s)
{
	bool keep[DNS_MAX_SAMPLES] = {false};

	for (unsigned int type = 0; type < 2; type++) {
		bool after = false;

		for (unsigned int i = s->n_samples; i-- > 0;) {
			const struct dns_sample *p = &s->sample[i];

			if ((p->type == DNS_AAAA) != type || !has_old(p))
				continue;
			keep[i] = true;
			for (unsigned int k = i + 1; k < s->n_samples && !after; k++) {
				after = s->sample[k].type == p->type &&
					s->sample[k].value == DNS_VALUE_NEW;
				keep[k] |= after;
			}
			break;
		}
	}
	for (unsigned int i = 0; i < s->n_samples; i++)
		if (!keep[i])
			return i;
	return 0;
}

void dns_source_add(struct dns_source *s, const struct dns_sample *sample)
{
	if (s->n_samples == DNS_MAX_SAMPLES) {
		unsigned int i = dispensable(s);

		memmove(s->sample + i, s->sample + i + 1,
			(s->n_samples - i - 1) * sizeof(s->sample[0]));
		s->n_samples--;
	}
	s->sample[s->n_samples++] = *sample;
}

/* FNV-1a; never 0, which means that there is no NSID. */
static uint32_t place_of(const char *nsid)
{
	uint32_t hash = 2166136261u;

	if (!*nsid)
		return 0;
	for (; *nsid; nsid++)
		hash = (hash ^ (uint8_t)*nsid) * 16777619u;
	return hash ? hash : 1;
}

void dns_sample_of(const struct dns_wanted *w, const struct dns_result *r, struct dns_sample *ret)
{
	const struct dns_answer *a = r->answer;

	memset(ret, 0, sizeof(*ret));
	ret->at = r->received ? r->received : loop_now();
	ret->rtt = r->sent && ret->at > r->sent ? ret->at - r->sent : 0;
	ret->type = r->question->type;
	ret->outcome = r->outcome;
	ret->rejected = r->rejected;
	ret->polled = true;
	ret->ede = -1;
	ret->value = DNS_VALUE_NONE;
	if (r->outcome != DNS_ANSWERED || !a)
		return;
	ret->rcode = a->rcode;
	ret->aa = a->aa;
	ret->referral = a->referral;
	ret->ede = a->ede;
	ret->value = dns_value(w, a->address, a->n_addresses);
	ret->ttl = a->n_addresses ? a->ttl : a->has_soa ? a->negative_ttl : 0;
	ret->has_soa = a->has_soa;
	ret->serial = a->serial;
	ret->place = place_of(a->nsid);
	ret->n_addresses = a->n_addresses < DNS_SAMPLE_ADDRS ? a->n_addresses : DNS_SAMPLE_ADDRS;
	memcpy(ret->address, a->address, ret->n_addresses * sizeof(ret->address[0]));
}
