/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * google_json.c - record sets and errors as Google's JSON has them
 */
#include "dns/google.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "dns/cloud.h"
#include "dns/value.h"
#include "userspace/conf/config.h"

/* {"error":{"code":412,"message":"…","errors":[{"reason":"conditionNotMet"}]}}; both may be NULL.
 * The caller drops what is returned, which holds them. */
static json_t *error_of(const struct http_reply *r, const char **ret_reason,
			const char **ret_message)
{
	json_t *o = r->body ? json_loadb(r->body, r->size, 0, NULL) : NULL;
	json_t *error = json_object_get(o, "error");

	*ret_message = json_string_value(json_object_get(error, "message"));
	*ret_reason = json_string_value(
		json_object_get(json_array_get(json_object_get(error, "errors"), 0), "reason"));
	return o;
}

static bool reason_is(const struct http_reply *r, const char *const *reasons)
{
	const char *reason, *message;
	json_t *o = error_of(r, &reason, &message);
	bool is = false;

	for (; reason && *reasons; reasons++)
		is |= !strcmp(reason, *reasons);
	json_decref(o);
	return is;
}

/* Google says "too fast" with 403 as well as with 429. */
bool google_too_fast(const struct http_reply *r)
{
	static const char *const reasons[] = {"rateLimitExceeded", "userRateLimitExceeded", NULL};

	return (r->status == 403 || r->status == 400) && reason_is(r, reasons);
}

void google_words(const struct conf_provider *conf, const struct http_reply *r, char *why)
{
	const char *reason, *message;
	json_t *o = error_of(r, &reason, &message);
	char shown[256];

	snprintf(why, DNS_WHY, "Google Cloud DNS: %ld%s%.60s: %.300s", r->status, reason ? " " : "",
		 reason ? reason : "", message ? message : cloud_shown(r, shown));
	if (r->status == 404 && message && strstr(message, "managedZone"))
		snprintf(why, DNS_WHY,
			 "Google Cloud DNS: project %.100s has no managed zone %.100s (%.200s)",
			 conf->project, conf->zone, message);
	for (char *p = why; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	json_decref(o);
}

static int cannot_keep(char *why, const char *what)
{
	snprintf(why, DNS_WHY, "Google Cloud DNS: the record set has %s, which would be lost",
		 what);
	return -ENOTSUP;
}

static int add_all(json_t *rrdatas, struct dns_rrset *r, char *why)
{
	size_t i;
	json_t *data;
	int err;

	json_array_foreach (rrdatas, i, data) {
		const char *text = json_string_value(data);

		err = text ? dns_value_add(r, r->type, text) : -EINVAL;
		if (err) {
			snprintf(why, DNS_WHY, "Google Cloud DNS: '%.100s' is %s",
				 text ? text : "?",
				 err == -ENOSPC ? "one record too many" : "no such record");
			return err;
		}
	}
	return 0;
}

/* One item's addresses: all with its weight, and with one set_id when there are several. */
static int add_item(json_t *item, struct dns_rrset *r, char *why)
{
	json_t *targets = json_object_get(item, "healthCheckedTargets");
	double weight = json_number_value(json_object_get(item, "weight"));
	unsigned int first = r->n;
	const char *least;
	int err;

	if (json_object_size(targets))
		return cannot_keep(why, "health-checked targets");
	if (!json_is_number(json_object_get(item, "weight")) || weight < 0 || weight > UINT16_MAX ||
	    weight != floor(weight))
		return cannot_keep(why, "a weight that is no whole number");
	err = add_all(json_object_get(item, "rrdatas"), r, why);
	if (err)
		return err;
	if (r->n == first)
		return cannot_keep(why, "an item without addresses");
	least = r->member[first].data;
	for (unsigned int i = first; i < r->n; i++) {
		r->member[i].weighted = true;
		r->member[i].weight = (uint16_t)weight;
		if (strcmp(r->member[i].data, least) < 0)
			least = r->member[i].data;
		for (unsigned int j = 0; j < i; j++)
			if (!strcmp(r->member[i].data, r->member[j].data))
				return cannot_keep(why, "one address in two items");
	}
	for (unsigned int i = first; r->n - first > 1 && i < r->n; i++)
		snprintf(r->member[i].set_id, sizeof(r->member[i].set_id), "%s", least);
	return 0;
}

static int add_policy(json_t *policy, struct dns_rrset *r, char *why)
{
	json_t *items = json_object_get(json_object_get(policy, "wrr"), "items");
	json_t *value;
	const char *key;
	size_t i;
	int err = 0;

	json_object_foreach (policy, key, value)
		if (strcmp(key, "kind") && strcmp(key, "wrr") && !json_is_null(value))
			return cannot_keep(why, "a routing policy that is not by weight");
	if (!json_array_size(items))
		return cannot_keep(why, "a routing policy without items");
	for (i = 0; !err && i < json_array_size(items); i++)
		err = add_item(json_array_get(items, i), r, why);
	return err;
}

int google_rrset(json_t *o, struct dns_rrset *r, char *why)
{
	json_t *policy = json_object_get(o, "routingPolicy");
	json_int_t ttl = json_integer_value(json_object_get(o, "ttl"));
	int err;

	if (ttl < 0 || ttl > DNS_TTL_MAX) {
		snprintf(why, DNS_WHY, "Google Cloud DNS: a TTL of %" JSON_INTEGER_FORMAT, ttl);
		return -EINVAL;
	}
	r->ttl = (uint32_t)ttl;
	if (policy && !json_is_null(policy))
		err = add_policy(policy, r, why);
	else
		err = add_all(json_object_get(o, "rrdatas"), r, why);
	dns_rrset_sort(r);
	return err;
}

static json_t *rrdatas_of(const struct dns_rrset *r, unsigned int like)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->n; i++)
		if (!r->member[like].weighted || i == like ||
		    (r->member[like].set_id[0] &&
		     !strcmp(r->member[i].set_id, r->member[like].set_id)))
			json_array_append_new(list, json_string(r->member[i].data));
	return list;
}

/* A record set as changes.create wants it; NULL: no memory. */
static json_t *json_of(const struct dns_rrset *r)
{
	char type[16];
	json_t *items, *o = json_pack("{s:s, s:s, s:I}", "name", r->name, "type",
				      dns_type_text(r->type, type), "ttl", (json_int_t)r->ttl);

	if (!r->member[0].weighted) {
		json_object_set_new(o, "rrdatas", rrdatas_of(r, 0));
		return o;
	}
	items = json_array();
	for (unsigned int i = 0; i < r->n; i++) {
		const struct dns_member *m = &r->member[i];
		bool had = false;

		for (unsigned int j = 0; m->set_id[0] && j < i; j++)
			had |= !strcmp(r->member[j].set_id, m->set_id);
		if (!had)
			json_array_append_new(items, json_pack("{s:i, s:o}", "weight", m->weight,
							       "rrdatas", rrdatas_of(r, i)));
	}
	json_object_set_new(o, "routingPolicy", json_pack("{s:{s:o}}", "wrr", "items", items));
	return o;
}

char *google_change(const struct dns_rrset *old, const struct dns_rrset *fresh, json_t *exact)
{
	json_t *o = json_object();
	char *text;

	if (old->n)
		json_object_set_new(o, "deletions",
				    json_pack("[o]", exact ? json_incref(exact) : json_of(old)));
	if (fresh->n)
		json_object_set_new(o, "additions", json_pack("[o]", json_of(fresh)));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

/* As google_rrset would make it of what json_of wrote: a set_id only where it says something. */
static void normalise(const struct dns_rrset *from, struct dns_rrset *ret)
{
	*ret = *from;
	for (unsigned int i = 0; i < from->n; i++) {
		const char *id = from->member[i].set_id, *least = NULL;
		unsigned int group = 0;

		for (unsigned int j = 0; id[0] && j < from->n; j++) {
			if (strcmp(id, from->member[j].set_id))
				continue;
			group++;
			if (!least || strcmp(from->member[j].data, least) < 0)
				least = from->member[j].data;
		}
		snprintf(ret->member[i].set_id, sizeof(ret->member[i].set_id), "%s",
			 from->member[i].weighted && group > 1 ? least : "");
		ret->member[i].proxied = false;
	}
	dns_rrset_sort(ret);
}

bool google_same(const struct dns_rrset *wanted, const struct dns_rrset *seen)
{
	struct dns_rrset w;

	normalise(wanted, &w);
	return dns_rrset_same(&w, seen);
}
