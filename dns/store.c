/* SPDX-License-Identifier: GPL-2.0-only */
#include "dns/store.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "dns/survey_own.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/base/whole.h"

#define SECOND	 1000000000.0
#define MAX_FILE (8u << 20)
#define FUTURE	 2.0  /* s; a sample later than now by more was kept by a clock that was set back */
#define SHORT	 10.0 /* s: a rate over less says nothing about a peak */

struct dns_store {
	json_t *root;
};

static double real_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / SECOND;
}

static const char *transport(const struct dns_source *s)
{
	static const char *const names[] = {"udp", "tcp", "tls", "https"};

	return names[s->target.transport];
}

/* ---- the file ---- */

static void add_addresses(json_t *list, const struct dns_address *a, unsigned int n)
{
	char text[64];

	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(list, json_string(text_address(a[i].ip, 0, text)));
}

/* What the values of the samples mean. */
static json_t *meaning(const char *name, const struct dns_wanted *w)
{
	json_t *old = json_array(), *fresh = json_array();

	add_addresses(old, w->old, w->n_old);
	add_addresses(fresh, w->fresh, w->n_fresh);
	return json_pack("{s:s, s:o, s:o}", "name", name, "old", old, "new", fresh);
}

static bool sound(json_t *root, const json_t *about)
{
	return json_is_object(root) && json_integer_value(json_object_get(root, "schema")) == 1 &&
	       json_equal(json_object_get(root, "about"), about);
}

static int path_of(const char *dir, char *ret, size_t size)
{
	return (size_t)snprintf(ret, size, "%s/seen.json", dir) < size ? 0 : -ENAMETOOLONG;
}

int dns_store_open(const char *dir, const char *name, const struct dns_wanted *w,
		   struct dns_store **ret, bool *ret_damaged)
{
	struct dns_store *st = calloc(1, sizeof(*st));
	json_t *about = meaning(name, w);
	char path[256], *text = NULL;
	size_t size = 0;
	int err = path_of(dir, path, sizeof(path));

	*ret_damaged = false;
	if (!st || !about) {
		free(st);
		json_decref(about);
		return -ENOMEM;
	}
	if (!err)
		err = whole_read(path, MAX_FILE, &text, &size);
	if (!err)
		st->root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	*ret_damaged = (err && err != -ENOENT) || (!err && !json_is_object(st->root));
	free(text);
	if (!sound(st->root, about)) {
		json_decref(st->root);
		st->root = json_pack("{s:i, s:O}", "schema", 1, "about", about);
	}
	json_decref(about);
	if (!st->root) {
		free(st);
		return -ENOMEM;
	}
	*ret = st;
	return 0;
}

void dns_store_free(struct dns_store *st)
{
	if (!st)
		return;
	json_decref(st->root);
	free(st);
}

static int make_folder(const char *dir)
{
	char path[256];

	if ((size_t)snprintf(path, sizeof(path), "%s", dir) >= sizeof(path))
		return -ENAMETOOLONG;
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

int dns_store_save(const struct dns_store *st, const char *dir)
{
	char path[256], *text;
	int err = path_of(dir, path, sizeof(path));

	if (!err)
		err = make_folder(dir);
	if (err)
		return err;
	text = json_dumps(st->root, JSON_COMPACT | JSON_REAL_PRECISION(13));
	if (!text)
		return -ENOMEM;
	err = whole_write(path, text, strlen(text), 0600);
	free(text);
	return err;
}

/* ---- samples ---- */

static json_t *sample_json(const struct dns_sample *p, double offset)
{
	return json_pack("[f, i, i, i, i, b, I, I, i, i]", (double)p->at / SECOND + offset,
			 (int)p->type, (int)p->outcome, (int)p->rcode, (int)p->value, (int)p->aa,
			 (json_int_t)p->ttl, (json_int_t)p->place, (int)p->n_addresses, p->ede);
}

static bool in_range(json_int_t value, json_int_t max)
{
	return value >= 0 && value <= max;
}

static bool read_sample(json_t *j, double offset, uint64_t now, struct dns_sample *ret)
{
	json_int_t type, outcome, rcode, value, ttl, place, addresses, ede;
	double at, here;
	int aa;

	memset(ret, 0, sizeof(*ret));
	if (json_unpack(j, "[F, I, I, I, I, b, I, I, I, I]", &at, &type, &outcome, &rcode, &value,
			&aa, &ttl, &place, &addresses, &ede))
		return false;
	if ((type != DNS_A && type != DNS_AAAA) || !in_range(outcome, DNS_FAILED) ||
	    !in_range(rcode, 0xfff) || !in_range(value, DNS_VALUE_OTHER) ||
	    !in_range(ttl, DNS_TTL_MAX) || !in_range(place, UINT32_MAX) ||
	    !in_range(addresses, DNS_SAMPLE_ADDRS) || !in_range(ede + 1, 65536))
		return false;
	here = (at - offset) * SECOND;
	if (here > (double)now + FUTURE * SECOND)
		return false;
	ret->at = here < 1 ? 1 : here > (double)now ? now : (uint64_t)here;
	ret->type = (uint16_t)type;
	ret->outcome = (enum dns_outcome)outcome;
	ret->rcode = (uint16_t)rcode;
	ret->value = (enum dns_value)value;
	ret->aa = aa;
	ret->ttl = (uint32_t)ttl;
	ret->place = (uint32_t)place;
	ret->n_addresses = (unsigned int)addresses;
	ret->ede = (int)ede;
	ret->polled = true;
	return true;
}

static json_t *find_source(const struct dns_store *st, const struct dns_source *s)
{
	json_t *list = json_object_get(st->root, "sources"), *j;
	size_t i;

	json_array_foreach (list, i, j) {
		const char *text = json_string_value(json_object_get(j, "source"));
		const char *over = json_string_value(json_object_get(j, "transport"));

		if (text && over && !strcmp(text, s->text) && !strcmp(over, transport(s)) &&
		    json_is_true(json_object_get(j, "authority")) == (s->kind == DNS_AUTHORITY))
			return j;
	}
	return NULL;
}

unsigned int dns_store_give(const struct dns_store *st, struct dns_survey *s)
{
	uint64_t now = loop_now();
	double offset = real_now() - (double)now / SECOND;
	unsigned int given = 0;

	for (unsigned int i = 0; i < s->n; i++) {
		json_t *j, *list = json_object_get(find_source(st, &s->source[i]), "samples");
		struct dns_sample p;
		size_t k;

		json_array_foreach (list, k, j) {
			if (!read_sample(j, offset, now, &p))
				continue;
			survey_keep(&s->source[i], &p);
			given++;
		}
	}
	return given;
}

int dns_store_take(struct dns_store *st, const struct dns_survey *s)
{
	double offset = real_now() - (double)loop_now() / SECOND;
	struct dns_source *copy = malloc(sizeof(*copy));
	json_t *sources = json_array();

	if (!copy || !sources) {
		free(copy);
		json_decref(sources);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < s->n; i++) {
		json_t *list = json_array();

		*copy = s->source[i];
		survey_thin(copy, DNS_STORE_SAMPLES);
		for (unsigned int k = 0; k < copy->n_samples; k++)
			json_array_append_new(list, sample_json(&copy->sample[k], offset));
		json_array_append_new(sources,
				      json_pack("{s:s, s:b, s:s, s:o}", "source", copy->text,
						"authority", copy->kind == DNS_AUTHORITY,
						"transport", transport(copy), "samples", list));
	}
	free(copy);
	return json_object_set_new(st->root, "sources", sources) ? -ENOMEM : 0;
}

/* ---- connections ---- */

static bool read_point(json_t *j, struct dns_flows_point *ret)
{
	json_int_t count, begun;
	double at;

	if (json_unpack(j, "[F, I, I]", &at, &count, &begun) || count < 0 ||
	    !in_range(begun, UINT32_MAX))
		return false;
	*ret = (struct dns_flows_point){at, (uint64_t)count, (uint32_t)begun};
	return true;
}

unsigned int dns_store_points(const struct dns_store *st,
			      struct dns_flows_point ret[DNS_STORE_POINTS])
{
	json_t *list = json_object_get(st->root, "arrived"), *j;
	unsigned int n = 0;
	size_t i;

	json_array_foreach (list, i, j) {
		struct dns_flows_point p;

		if (n == DNS_STORE_POINTS || !read_point(j, &p) || (n && p.at < ret[n - 1].at))
			continue;
		ret[n++] = p;
	}
	return n;
}

static void raise_peak(struct dns_store *st, const struct dns_flows_point *a,
		       const struct dns_flows_point *b)
{
	double rate;

	if (a->begun != b->begun || b->count < a->count || b->at - a->at < SHORT)
		return;
	rate = (double)(b->count - a->count) / (b->at - a->at);
	if (rate > dns_store_peak(st))
		json_object_set_new(st->root, "peak", json_real(rate));
}

int dns_store_point(struct dns_store *st, const struct dns_flows_point *p, double keep_s)
{
	struct dns_flows_point list[DNS_STORE_POINTS];
	unsigned int n = dns_store_points(st, list), from = 0;
	json_t *j = json_array();

	while (n && list[n - 1].at >= p->at) /* the clock was set back */
		n--;
	if (n)
		raise_peak(st, &list[n - 1], p);
	while (from + 1 < n && list[from + 1].at <= p->at - keep_s)
		from++;
	/* Too many: every second one goes. What lies between two is counted all the same. */
	if (n - from >= DNS_STORE_POINTS - 1) {
		unsigned int kept = from;

		for (unsigned int i = from; i < n; i += 2)
			list[kept++] = list[i];
		n = kept;
	}
	for (unsigned int i = from; i < n; i++)
		json_array_append_new(j,
				      json_pack("[f, I, I]", list[i].at, (json_int_t)list[i].count,
						(json_int_t)list[i].begun));
	json_array_append_new(
		j, json_pack("[f, I, I]", p->at, (json_int_t)p->count, (json_int_t)p->begun));
	return json_object_set_new(st->root, "arrived", j) ? -ENOMEM : 0;
}

double dns_store_peak(const struct dns_store *st)
{
	double peak = json_number_value(json_object_get(st->root, "peak"));

	return isfinite(peak) && peak > 0 ? peak : 0;
}

json_t *dns_store_networks(const struct dns_store *st, double *ret_at, uint32_t *ret_begun)
{
	json_t *j = json_object_get(st->root, "networks"), *list = json_object_get(j, "count");

	*ret_at = json_number_value(json_object_get(j, "at"));
	*ret_begun = (uint32_t)json_integer_value(json_object_get(j, "begun"));
	return json_is_object(list) ? list : NULL;
}

int dns_store_set_networks(struct dns_store *st, json_t *networks, double at, uint32_t begun)
{
	json_t *j = json_pack("{s:f, s:I, s:o}", "at", at, "begun", (json_int_t)begun, "count",
			      networks);

	return !j || json_object_set_new(st->root, "networks", j) ? -ENOMEM : 0;
}
