/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * preflight_ttl.c - since when do the authorities give a low TTL? Kept from run to run
 *
 * Lowering a TTL helps only when every cache has forgotten the record with the long one: at the
 * earliest one long TTL after the last server gave it. So what each server gave when is kept, as
 * runs of one TTL from the first sighting to the last. The change was somewhere between the last
 * sighting of the long one and the first of the short one; the later is taken. Before the very
 * first look it could have been anything: that is "unknown", until a day of looking, or the
 * operator says what it was.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dns/preflight.h"
#include "userspace/base/text.h"
#include "userspace/base/whole.h"

#define S	UINT64_C(1000000000)
#define LARGEST (1u << 20) /* of the file */
#define RECENT	60	   /* s: seen in this run */

static int same_place(const struct dns_ttl_run *a, const struct dns_ttl_run *b)
{
	int order = strcmp(a->source, b->source);

	return order ? order : (a->type > b->type) - (a->type < b->type);
}

static int order(const void *a, const void *b)
{
	const struct dns_ttl_run *x = a, *y = b;
	int place = same_place(x, y);

	if (place)
		return place;
	return (x->first_s > y->first_s) - (x->first_s < y->first_s);
}

/* Neighbours of the same TTL become one. */
static void merge(struct dns_ttl_history *h)
{
	unsigned int n = 0;

	qsort(h->run, h->n, sizeof(h->run[0]), order);
	for (unsigned int i = 0; i < h->n; i++) {
		struct dns_ttl_run *last = n ? &h->run[n - 1] : NULL, *r = &h->run[i];

		if (last && !same_place(last, r) && last->ttl == r->ttl) {
			if (r->last_s > last->last_s)
				last->last_s = r->last_s;
		} else {
			h->run[n++] = *r;
		}
	}
	h->n = n;
}

static void drop_oldest(struct dns_ttl_history *h)
{
	unsigned int oldest = 0;

	for (unsigned int i = 1; i < h->n; i++)
		if (h->run[i].last_s < h->run[oldest].last_s)
			oldest = i;
	memmove(&h->run[oldest], &h->run[oldest + 1], (h->n - oldest - 1) * sizeof(h->run[0]));
	h->n--;
}

void dns_ttl_saw(struct dns_ttl_history *h, const char *source, uint16_t type, uint32_t ttl,
		 uint64_t at_s)
{
	struct dns_ttl_run r = {.type = type, .ttl = ttl, .first_s = at_s, .last_s = at_s};

	snprintf(r.source, sizeof(r.source), "%.63s", source);
	for (unsigned int i = 0; i < h->n; i++) {
		struct dns_ttl_run *is = &h->run[i];
		struct dns_ttl_run rest;

		if (same_place(is, &r) || at_s < is->first_s || at_s > is->last_s)
			continue;
		if (is->ttl == ttl)
			return;
		/* Another TTL within a run: it was changed and changed back. Of the two parts only
		 * their outer ends were surely seen. */
		if (h->n + 2 > DNS_TTL_RUNS)
			break;
		rest = *is;
		rest.first_s = rest.last_s;
		is->last_s = is->first_s;
		h->run[h->n++] = rest;
		break;
	}
	if (h->n == DNS_TTL_RUNS)
		drop_oldest(h);
	h->run[h->n++] = r;
	merge(h);
}

void dns_ttl_look(struct dns_ttl_history *h, const struct dns_survey *s, uint64_t now_ns,
		  uint64_t now_s)
{
	for (unsigned int i = 0; i < s->n_authorities; i++) {
		const struct dns_source *a = &s->source[i];

		for (unsigned int k = 0; k < a->n_samples; k++) {
			const struct dns_sample *p = &a->sample[k];

			/* At 1: from before this host booted, at no known time. */
			if (p->outcome != DNS_ANSWERED || !p->aa || !p->n_addresses || p->at <= 1 ||
			    p->at > now_ns || (now_ns - p->at) / S > now_s)
				continue;
			dns_ttl_saw(h, a->text, p->type, p->ttl, now_s - (now_ns - p->at) / S);
		}
	}
}

/* ---- on disk ---- */

static const char *path_of(const char *dir, char *ret, size_t size)
{
	snprintf(ret, size, "%s/preflight.json", dir);
	return ret;
}

static bool take(const json_t *one, struct dns_ttl_history *h)
{
	const char *source = json_string_value(json_object_get(one, "source"));
	json_int_t type = json_integer_value(json_object_get(one, "type"));
	json_int_t ttl = json_integer_value(json_object_get(one, "ttl"));
	json_int_t first = json_integer_value(json_object_get(one, "first"));
	json_int_t last = json_integer_value(json_object_get(one, "last"));
	struct dns_ttl_run *r = &h->run[h->n];

	if (!source || (type != DNS_A && type != DNS_AAAA) || ttl < 0 || ttl > DNS_TTL_MAX ||
	    first <= 0 || last < first || h->n == DNS_TTL_RUNS)
		return false;
	*r = (struct dns_ttl_run){.type = (uint16_t)type,
				  .ttl = (uint32_t)ttl,
				  .first_s = (uint64_t)first,
				  .last_s = (uint64_t)last};
	snprintf(r->source, sizeof(r->source), "%.63s", source);
	h->n++;
	return true;
}

int dns_ttl_load(const char *dir, const char *name, struct dns_ttl_history *ret)
{
	char path[512], *text = NULL;
	const char *of;
	json_t *j, *seen;
	size_t size = 0;
	int err = whole_read(path_of(dir, path, sizeof(path)), LARGEST, &text, &size);

	memset(ret, 0, sizeof(*ret));
	if (err)
		return err == -ENOENT ? 0 : err;
	j = json_loadb(text, size, 0, NULL);
	free(text);
	of = json_string_value(json_object_get(j, "name"));
	seen = json_object_get(j, "seen");
	if (!of || !json_is_array(seen)) {
		json_decref(j);
		return -EBADMSG;
	}
	for (size_t i = 0; !strcmp(of, name) && i < json_array_size(seen); i++) {
		if (take(json_array_get(seen, i), ret))
			continue;
		ret->n = 0;
		err = -EBADMSG;
		break;
	}
	json_decref(j);
	merge(ret);
	return err;
}

static int make_folder(const char *dir)
{
	char path[512];

	snprintf(path, sizeof(path), "%s", dir);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

int dns_ttl_save(const char *dir, const char *name, const struct dns_ttl_history *h)
{
	json_t *j = json_object(), *seen = json_array();
	char path[512], *text;
	int err = make_folder(dir);

	json_object_set_new(j, "schema", json_integer(1));
	json_object_set_new(j, "name", json_string(name));
	for (unsigned int i = 0; i < h->n; i++) {
		const struct dns_ttl_run *r = &h->run[i];

		json_array_append_new(
			seen, json_pack("{s:s, s:i, s:I, s:I, s:I}", "source", r->source, "type",
					(int)r->type, "ttl", (json_int_t)r->ttl, "first",
					(json_int_t)r->first_s, "last", (json_int_t)r->last_s));
	}
	json_object_set_new(j, "seen", seen);
	text = json_dumps(j, JSON_INDENT(1));
	json_decref(j);
	if (!err)
		err = text ? whole_write(path_of(dir, path, sizeof(path)), text, strlen(text), 0600)
			   : -ENOMEM;
	free(text);
	return err;
}

/* ---- the gate ---- */

/* What is known of one place. */
struct place {
	const struct dns_ttl_run *now; /* its last run */
	uint64_t low_since;	       /* the first sighting of a TTL that is low enough */
	uint32_t longest;	       /* seen before that; 0: none */
	bool absent;		       /* not seen in this run */
	uint64_t sure;		       /* when no cache can have that one any more; 0: not known */
};

static void look_at(const struct dns_ttl_history *h, unsigned int from, unsigned int to,
		    uint32_t ttl, uint64_t now_s, struct place *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->now = &h->run[to - 1];
	ret->absent = now_s > ret->now->last_s + RECENT;
	ret->low_since = h->run[from].first_s;
	for (unsigned int i = from; i + 1 < to; i++) {
		uint64_t gone = h->run[i + 1].first_s + h->run[i].ttl;

		if (h->run[i].ttl <= ttl)
			continue;
		ret->low_since = h->run[i + 1].first_s;
		if (gone > ret->sure) {
			ret->sure = gone;
			ret->longest = h->run[i].ttl;
		}
	}
	/* It is asked no more, or does not answer: then nobody has it from there since. */
	if (ret->absent && ret->now->ttl > ttl) {
		ret->low_since = ret->now->last_s;
		ret->sure = ret->now->last_s + ret->now->ttl;
		ret->longest = ret->now->ttl;
	}
}

/* All places together. */
struct low {
	unsigned int places, high;
	const struct dns_ttl_run *worst; /* the highest that is given now */
	uint64_t since;			 /* the latest low_since */
	uint64_t sure;			 /* the latest of what is known */
	uint32_t longest;
	bool unknown; /* of one place nothing was seen before the low TTL */
	uint64_t unknown_since;
};

static void gather(const struct dns_ttl_history *h, uint32_t ttl, uint64_t now_s, struct low *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned int from = 0, to; from < h->n; from = to) {
		struct place p;

		for (to = from + 1; to < h->n && !same_place(&h->run[from], &h->run[to]); to++)
			;
		look_at(h, from, to, ttl, now_s, &p);
		ret->places += !p.absent;
		if (p.now->ttl > ttl && !p.absent) {
			ret->high++;
			if (!ret->worst || p.now->ttl > ret->worst->ttl)
				ret->worst = p.now;
			continue;
		}
		if (p.low_since > ret->since)
			ret->since = p.low_since;
		if (p.sure > ret->sure) {
			ret->sure = p.sure;
			ret->longest = p.longest;
		}
		if (!p.sure && !p.absent) {
			ret->unknown = true;
			if (p.low_since > ret->unknown_since)
				ret->unknown_since = p.low_since;
		}
	}
}

static const char *whole_seconds(uint64_t s, char ret[32])
{
	return text_duration(s * S, ret);
}

void dns_gate_ttl(struct dns_gates *g, const struct dns_ttl_history *h, uint32_t ttl,
		  uint32_t before, uint64_t now_s)
{
	char a[32], b[32], c[32];
	struct low low;

	gather(h, ttl, now_s, &low);
	if (!low.places) {
		dns_gate(g, "ttl", DNS_GATE_UNKNOWN, "no authority gave an address");
		dns_gate_fix(g, "mend what the gate authorities names");
		return;
	}
	if (low.high) {
		dns_gate(g, "ttl", DNS_GATE_FAILED, "%s gives a TTL of %u s%s; dns.ttl is %u s",
			 low.worst->source, low.worst->ttl,
			 low.high > 1 ? ", and others more than they should" : "", ttl);
		dns_gate_fix(
			g,
			"lower the record's TTL to %u s at the provider, then wait for %s: until "
			"then caches keep the old one",
			ttl, whole_seconds(low.worst->ttl, a));
		return;
	}
	if (low.unknown) {
		uint64_t sure = low.unknown_since + (before ? before : DNS_TTL_ANY);

		if (sure > low.sure) {
			low.sure = sure;
			low.longest = before;
		}
	}
	if (now_s >= low.sure) {
		dns_gate(g, "ttl", DNS_GATE_OK,
			 "at most %u s at every authority since %s, for %s%s", ttl,
			 text_time(low.since * S, a), whole_seconds(now_s - low.since, b),
			 low.longest ? "; what was longer before has gone from all caches" : "");
		return;
	}
	whole_seconds(low.sure - now_s, c);
	if (low.longest || !low.unknown) {
		dns_gate(
			g, "ttl", DNS_GATE_FAILED,
			"%u s at every authority since %s, but it was %u s before: caches may keep it "
			"until %s",
			ttl, text_time(low.since * S, a), low.longest, text_time(low.sure * S, b));
		dns_gate_fix(g, "wait for another %s", c);
	} else {
		dns_gate(g, "ttl", DNS_GATE_UNKNOWN,
			 "at most %u s since the first look at %s; what it was before is not known",
			 ttl, text_time(low.unknown_since * S, a));
		dns_gate_fix(g,
			     "run it again: in %s it is sure; or say what the TTL was: --before 1h",
			     c);
	}
}
