/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cloudflare_batch.c - a set of records as Cloudflare's single records, and the batch between two
 */
#include "dns/cloudflare.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A TTL of 1 is "automatic", and proxied records have no other. */
static uint32_t ttl_of(const struct dns_rrset *set, const struct dns_member *m)
{
	return m->proxied ? CLOUDFLARE_AUTOMATIC : set->ttl;
}

static int by_data(const void *a, const void *b)
{
	const struct cloudflare_record *x = a, *y = b;
	int order = strcmp(x->data, y->data);

	return order ? order : strcmp(x->id, y->id);
}

void cloudflare_sort(struct cloudflare_listing *l)
{
	qsort(l->record, l->n, sizeof(*l->record), by_data);
}

/* The longest, for a cache may keep a member that long; the automatic TTL of what is proxied is
 * that of the set only when all of it is. */
static uint32_t longest(const struct cloudflare_listing *l)
{
	uint32_t ttl = 0;
	bool proxied = l->n;

	for (unsigned int i = 0; i < l->n; i++)
		proxied &= l->record[i].proxied;
	for (unsigned int i = 0; i < l->n; i++)
		if ((proxied || !l->record[i].proxied) && l->record[i].ttl > ttl)
			ttl = l->record[i].ttl;
	return ttl;
}

/* The TTLs of a set in which they differ, as one word: FNV-1a over each record's data and TTL. */
static void mixed_ttls(const struct cloudflare_listing *l, char *ret, size_t size)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	uint32_t ttl = longest(l);
	char line[192];
	bool mixed = false;

	for (unsigned int i = 0; i < l->n; i++) {
		const struct cloudflare_record *r = &l->record[i];

		mixed |= r->ttl != (r->proxied ? CLOUDFLARE_AUTOMATIC : ttl);
		snprintf(line, sizeof(line), "%s %" PRIu32 "\n", r->data, r->ttl);
		for (const char *p = line; *p; p++)
			hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	}
	snprintf(ret, size, mixed ? "ttls-%016" PRIx64 : "", hash);
}

void cloudflare_set(const struct cloudflare_listing *l, const char *name, uint16_t type,
		    struct dns_rrset *ret)
{
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->type = type;
	for (unsigned int i = 0; i < l->n; i++) {
		struct dns_member *m = &ret->member[ret->n++];

		snprintf(m->data, sizeof(m->data), "%s", l->record[i].data);
		snprintf(m->id, sizeof(m->id), "%s", l->record[i].id);
		m->proxied = l->record[i].proxied;
	}
	ret->ttl = longest(l);
	mixed_ttls(l, ret->version, sizeof(ret->version));
	dns_rrset_sort(ret);
}

void cloudflare_listing(const struct dns_rrset *set, struct cloudflare_listing *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < set->n; i++) {
		struct cloudflare_record *r = &ret->record[ret->n++];

		snprintf(r->data, sizeof(r->data), "%s", set->member[i].data);
		snprintf(r->id, sizeof(r->id), "%s", set->member[i].id);
		r->ttl = ttl_of(set, &set->member[i]);
		r->proxied = set->member[i].proxied;
	}
	cloudflare_sort(ret);
}

bool cloudflare_same(const struct cloudflare_listing *l, const struct dns_rrset *set)
{
	struct cloudflare_listing want;
	char mixed[sizeof(set->version)];

	if (l->n != set->n)
		return false;
	cloudflare_listing(set, &want);
	mixed_ttls(l, mixed, sizeof(mixed));
	if (mixed[0] && strcmp(mixed, set->version) != 0)
		return false;
	for (unsigned int i = 0; i < l->n; i++) {
		const struct cloudflare_record *a = &l->record[i], *b = &want.record[i];

		if (strcmp(a->data, b->data) != 0 || a->proxied != b->proxied)
			return false;
		if (!mixed[0] && a->ttl != b->ttl)
			return false;
	}
	return true;
}

unsigned int cloudflare_arrived(const struct cloudflare_listing *l, const struct dns_rrset *fresh)
{
	struct cloudflare_listing want;
	unsigned int n = 0;

	cloudflare_listing(fresh, &want);
	for (unsigned int i = 0; i < want.n; i++)
		for (unsigned int j = 0; j < l->n; j++)
			if (!strcmp(want.record[i].data, l->record[j].data) &&
			    want.record[i].ttl == l->record[j].ttl &&
			    want.record[i].proxied == l->record[j].proxied) {
				n++;
				break;
			}
	return n;
}

static bool has(const struct dns_rrset *set, const char *data)
{
	for (unsigned int i = 0; i < set->n; i++)
		if (!strcmp(set->member[i].data, data))
			return true;
	return false;
}

bool cloudflare_foreign(const struct cloudflare_listing *l, const struct dns_rrset *a,
			const struct dns_rrset *b)
{
	for (unsigned int i = 0; i < l->n; i++)
		if (!has(a, l->record[i].data) && !has(b, l->record[i].data))
			return true;
	return false;
}

void cloudflare_name(const char *name, char *ret, size_t size)
{
	size_t n = (size_t)snprintf(ret, size, "%s", name);

	if (n >= size)
		n = size - 1;
	if (n > 1 && ret[n - 1] == '.')
		ret[n - 1] = 0;
}

static json_t *record_json(const char *id, const struct dns_rrset *set,
			   const struct cloudflare_record *r)
{
	char name[DNS_NAME], content[sizeof(r->data)], type[16];
	json_t *o = json_object();

	cloudflare_name(set->name, name, sizeof(name));
	if (set->type == DNS_A || set->type == DNS_AAAA)
		snprintf(content, sizeof(content), "%s", r->data);
	else
		cloudflare_name(r->data, content, sizeof(content));
	if (id)
		json_object_set_new(o, "id", json_string(id));
	json_object_set_new(o, "type", json_string(dns_type_text(set->type, type)));
	json_object_set_new(o, "name", json_string(name));
	json_object_set_new(o, "content", json_string(content));
	json_object_set_new(o, "ttl", json_integer(r->ttl));
	if (set->type == DNS_A || set->type == DNS_AAAA || set->type == DNS_CNAME)
		json_object_set_new(o, "proxied", json_boolean(r->proxied));
	return o;
}

/* The id of a record that is altered or deleted. One that is not known yet (what is shown of the
 * way back, before the way there) is that of its partner, or said in words. */
static const char *id_of(const struct cloudflare_record *now, const struct cloudflare_record *to,
			 char ret[192])
{
	if (now->id[0])
		return now->id;
	if (to && to->id[0])
		return to->id;
	snprintf(ret, 192, "(the id that the record of %s gets)", now->data);
	return ret;
}

static void add(json_t *batch, const char *key, json_t *o)
{
	json_t *list = json_object_get(batch, key);

	if (!list) {
		list = json_array();
		json_object_set_new(batch, key, list);
	}
	json_array_append_new(list, o);
}

/*
 * Records whose data stays keep their object; of the others, the first of the old becomes the first
 * of the new and so on, each in the order of their data, which gives the same pairs on the way
 * back. What is left over is deleted or created.
 */
char *cloudflare_batch(const struct cloudflare_listing *now, const struct dns_rrset *fresh)
{
	bool used[DNS_MAX_MEMBERS] = {false}, met[DNS_MAX_MEMBERS] = {false};
	struct cloudflare_listing to;
	json_t *batch = json_object(), *patches = json_array();
	char text[192], *ret = NULL;
	unsigned int next = 0;

	cloudflare_listing(fresh, &to);
	for (unsigned int i = 0; i < to.n; i++)
		for (unsigned int j = 0; j < now->n && !met[i]; j++) {
			const struct cloudflare_record *r = &now->record[j], *f = &to.record[i];

			if (used[j] || strcmp(r->data, f->data) != 0)
				continue;
			used[j] = met[i] = true;
			if (r->ttl != f->ttl || r->proxied != f->proxied)
				json_array_append_new(patches,
						      record_json(id_of(r, f, text), fresh, f));
		}
	for (unsigned int j = 0; j < now->n; j++) {
		const struct cloudflare_record *r = &now->record[j];

		if (used[j])
			continue;
		while (next < to.n && met[next])
			next++;
		if (next == to.n) {
			add(batch, "deletes", json_pack("{s:s}", "id", id_of(r, NULL, text)));
			continue;
		}
		json_array_append_new(patches, record_json(id_of(r, &to.record[next], text), fresh,
							   &to.record[next]));
		met[next] = true;
	}
	if (json_array_size(patches))
		json_object_set(batch, "patches", patches);
	for (unsigned int i = 0; i < to.n; i++)
		if (!met[i])
			add(batch, "posts", record_json(NULL, fresh, &to.record[i]));
	/* Nothing to do is no batch. */
	if (json_object_size(batch))
		ret = json_dumps(batch, JSON_COMPACT);
	json_decref(patches);
	json_decref(batch);
	return ret;
}
