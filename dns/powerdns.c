/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * powerdns.c - records at a PowerDNS authoritative server, by its HTTP API
 *
 * Owns: a set of records as an rrset of the API v1, and the API key, which is wiped on close.
 *
 * Promises: nothing is written unless what is there is `old`. A change replaces the whole set in
 * one transaction of the server's backend (or deletes it when it shall be empty), and the set is
 * read again afterwards; what is there then decides how it ended. Records that are switched off
 * ("disabled") are no part of a set here, for nobody is answered with them, and are sent along so
 * that they stay as they are; comments stay because they are not sent.
 *
 * How it fails: the API compares nothing, so a writer between our reading and our change is
 * overwritten. Where that may happen, RFC 2136 compares at the server itself (rfc2136.c).
 *
 * After a change of a zone that has secondaries they are told at once (NOTIFY); the server itself
 * would look once a minute. That this fails is no failure of the change: secondaries ask anyway.
 *
 * Follows: PowerDNS/pdns docs/http-api, measured on 4.7.3. Weaknesses: 404 of an unknown zone and
 * of a URL that is none at all look the same; servers before 4.3 answer with the whole zone, which
 * is read through but may be longer than an answer may be.
 */
#include "dns/change.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "dns/cloud.h"
#include "dns/value.h"
#include "userspace/conf/config.h"

#define MAX_DISABLED 64
#define MAX_FOUND    1000

struct rrset {
	struct dns_rrset set;
	char disabled[MAX_DISABLED][128]; /* contents as the server has them */
	unsigned int n_disabled;
	bool primary; /* the zone's kind: secondaries wait for a NOTIFY */
};

struct powerdns {
	struct cloud cloud;
	char server[CONF_TEXT + 64];		  /* …/servers/localhost */
	char zone[CONF_TEXT + 64 + 3 * DNS_NAME]; /* …/zones/NAME */
	char zone_name[DNS_NAME];
	char *key;
	char *header; /* with the key */
	const char *reading[3], *writing[4];
	struct rrset last; /* read last, for show */
};

static const char shown_secret[] = "X-API-Key: ***";
static const char accept_json[] = "Accept: application/json";
static const char content_type[] = "Content-Type: application/json";

/* ---- one request ---- */

enum asked { ASKED_DONE, ASKED_REFUSED, ASKED_DENIED, ASKED_UNREACHED, ASKED_LOST };

/* 422 is JSON; 401 and 404 are plain text or JSON. */
static void refusal(const struct powerdns *pd, const struct http_reply *r, char *why)
{
	json_t *o = r->body ? json_loadb(r->body, r->size, 0, NULL) : NULL;
	const char *error = json_string_value(json_object_get(o, "error"));
	char shown[256];

	if (r->status == 404)
		snprintf(why, DNS_WHY,
			 "PowerDNS: no zone %.200s there, or no API at that endpoint (status 404)",
			 pd->zone_name);
	else if (error)
		snprintf(why, DNS_WHY, "PowerDNS: %.400s (status %ld)", error, r->status);
	else
		snprintf(why, DNS_WHY, "PowerDNS: status %ld: %s", r->status,
			 cloud_shown(r, shown));
	json_decref(o);
}

/* *ret, which may be NULL, is the body of a success, for json_decref; NULL when it has none. */
static enum asked ask(struct powerdns *pd, const struct cloud_call *call, json_t **ret, char *why)
{
	struct http_reply reply = {0};
	enum asked asked;

	switch (cloud_do(&pd->cloud, call, NULL, &reply, why)) {
	case CLOUD_UNREACHED:
		asked = ASKED_UNREACHED;
		break;
	case CLOUD_LOST:
		asked = ASKED_LOST;
		break;
	case CLOUD_DENIED:
		asked = ASKED_DENIED;
		snprintf(why, DNS_WHY, "PowerDNS: the API key is not accepted (status %ld)",
			 reply.status);
		break;
	default:
		asked = reply.status / 100 == 2 ? ASKED_DONE : ASKED_REFUSED;
		if (asked == ASKED_REFUSED)
			refusal(pd, &reply, why);
		else if (ret)
			*ret = json_loadb(reply.body, reply.size, 0, NULL);
	}
	http_reply_free(&reply);
	return asked;
}

/* ---- reading ---- */

static int add_record(json_t *o, struct rrset *r, char *why)
{
	const char *content = json_string_value(json_object_get(o, "content"));
	int err;

	/* Those that are switched off are found by search_off. */
	if (json_is_true(json_object_get(o, "disabled")))
		return 0;
	err = content ? dns_value_add(&r->set, r->set.type, content) : -EINVAL;
	if (err)
		snprintf(why, DNS_WHY, "PowerDNS: %s: %.200s",
			 err == -ENOSPC ? "too many records" : "a record that cannot be kept",
			 content ? content : "without content");
	return err;
}

static int add_rrset(json_t *o, struct rrset *r, char *why)
{
	const char *name = json_string_value(json_object_get(o, "name"));
	const char *type = json_string_value(json_object_get(o, "type"));
	json_int_t ttl = json_integer_value(json_object_get(o, "ttl"));
	char type_text[16];
	json_t *record;
	size_t i;
	int err = 0;

	if (!name || !type || strcasecmp(name, r->set.name) != 0 ||
	    strcmp(type, dns_type_text(r->set.type, type_text)) != 0)
		return 0;
	if (ttl < 0 || ttl > DNS_TTL_MAX) {
		snprintf(why, DNS_WHY, "PowerDNS: a TTL that is none");
		return -EBADMSG;
	}
	r->set.ttl = (uint32_t)ttl;
	json_array_foreach (json_object_get(o, "records"), i, record)
		if (!err)
			err = add_record(record, r, why);
	return err;
}

static int read_url(const struct powerdns *pd, const char *name, uint16_t type, char *ret,
		    size_t size)
{
	char escaped[DNS_NAME * 3], type_text[16];

	if (cloud_escape(name, escaped, sizeof(escaped)))
		return -ENOSPC;
	return (size_t)snprintf(ret, size, "%s?rrsets=true&rrset_name=%s&rrset_type=%s", pd->zone,
				escaped, dns_type_text(type, type_text)) < size
		       ? 0
		       : -ENOSPC;
}

static const enum dns_changed ended[] = {
	[ASKED_REFUSED] = DNS_REJECTED,
	[ASKED_DENIED] = DNS_DENIED,
	[ASKED_UNREACHED] = DNS_UNREACHED,
	[ASKED_LOST] = DNS_UNREACHED,
};

static bool text_is(json_t *o, const char *key, const char *want)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text && !strcasecmp(text, want);
}

static int add_off(json_t *o, const struct powerdns *pd, struct rrset *r, char *why)
{
	const char *content = json_string_value(json_object_get(o, "content"));
	char type_text[16];

	if (!json_is_true(json_object_get(o, "disabled")) || !text_is(o, "name", r->set.name) ||
	    !text_is(o, "type", dns_type_text(r->set.type, type_text)) ||
	    !text_is(o, "zone_id", pd->zone_name))
		return 0;
	if (!content || r->n_disabled == MAX_DISABLED ||
	    (size_t)snprintf(r->disabled[r->n_disabled], sizeof(*r->disabled), "%s", content) >=
		    sizeof(*r->disabled)) {
		snprintf(why, DNS_WHY,
			 "PowerDNS: records of this name are switched off and cannot be kept");
		return -ENOSPC;
	}
	r->n_disabled++;
	return 0;
}

static int search_url(const struct powerdns *pd, const char *name, char *ret, size_t size)
{
	char plain[DNS_NAME], escaped[DNS_NAME * 3];
	size_t n = (size_t)snprintf(plain, sizeof(plain), "%s", name);

	/* It knows names without their final dot. */
	if (n > 1 && plain[n - 1] == '.')
		plain[n - 1] = 0;
	if (cloud_escape(plain, escaped, sizeof(escaped)))
		return -ENOSPC;
	return (size_t)snprintf(ret, size, "%s/search-data?q=%s&max=%d&object_type=record",
				pd->server, escaped, MAX_FOUND) < size
		       ? 0
		       : -ENOSPC;
}

/*
 * Records that are switched off: the zone's answer leaves them out when it is asked for one name
 * (measured on 4.7.3), and replacing the set would lose them. A server or backend that cannot
 * search is taken to have none.
 */
static enum dns_changed search_off(struct powerdns *pd, struct rrset *r, char *why)
{
	char url[sizeof(pd->server) + DNS_NAME * 3 + 64];
	struct cloud_call call = {
		.method = "GET", .url = url, .headers = pd->reading, .reads = true};
	json_t *found = NULL, *o;
	enum asked asked;
	size_t i;
	int err = 0;

	if (search_url(pd, r->set.name, url, sizeof(url)))
		return DNS_REJECTED;
	asked = ask(pd, &call, &found, why);
	if (asked == ASKED_REFUSED) {
		why[0] = 0;
		return DNS_CHANGED;
	}
	if (asked != ASKED_DONE)
		return ended[asked];
	if (json_array_size(found) >= MAX_FOUND) {
		snprintf(why, DNS_WHY, "PowerDNS: the search finds too much to look through");
		err = -E2BIG;
	}
	json_array_foreach (found, i, o)
		if (!err)
			err = add_off(o, pd, r, why);
	json_decref(found);
	return err ? DNS_REJECTED : DNS_CHANGED;
}

/* `fully`: with the records that are switched off. */
static enum dns_changed look(struct powerdns *pd, const char *name, uint16_t type, bool fully,
			     struct rrset *ret, char *why)
{
	char url[sizeof(pd->zone) + DNS_NAME * 3 + 64];
	struct cloud_call call = {
		.method = "GET", .url = url, .headers = pd->reading, .reads = true};
	json_t *zone = NULL, *rrsets, *o;
	enum dns_changed got;
	enum asked asked;
	size_t i;
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	dns_value_start(&ret->set, name, type);
	if (!dns_below(name, pd->zone_name) || read_url(pd, name, type, url, sizeof(url))) {
		snprintf(why, DNS_WHY, "%.200s is not in the zone %.200s", name, pd->zone_name);
		return DNS_REJECTED;
	}
	asked = ask(pd, &call, &zone, why);
	if (asked != ASKED_DONE)
		return ended[asked];
	rrsets = json_object_get(zone, "rrsets");
	if (!json_is_array(rrsets)) {
		snprintf(why, DNS_WHY, "PowerDNS: the answer is no zone");
		err = -EBADMSG;
	}
	json_array_foreach (rrsets, i, o)
		if (!err)
			err = add_rrset(o, ret, why);
	ret->primary = text_is(zone, "kind", "Master") || text_is(zone, "kind", "Primary");
	json_decref(zone);
	if (err)
		return DNS_REJECTED;
	dns_rrset_sort(&ret->set);
	if (!fully)
		return DNS_CHANGED;
	got = search_off(pd, ret, why);
	if (got == DNS_CHANGED)
		pd->last = *ret;
	return got;
}

static enum dns_changed powerdns_read(void *x, const char *name, uint16_t type,
				      struct dns_rrset *ret, char *why)
{
	struct powerdns *pd = x;
	struct rrset now;
	enum dns_changed got;

	why[0] = 0;
	got = look(pd, name, type, true, &now, why);
	if (got == DNS_CHANGED)
		*ret = now.set;
	return got;
}

/* ---- changing ---- */

static void add_content(json_t *records, const char *content, bool disabled)
{
	json_array_append_new(
		records, json_pack("{s:s, s:b}", "content", content, "disabled", (int)disabled));
}

/* The body that makes the set `fresh`, for free(); NULL: no memory. Records of `now` that are
 * switched off stay, except those that are wanted. */
static char *patch_of(const struct rrset *now, const struct dns_rrset *fresh)
{
	char type_text[16], data[128], *ret;
	json_t *records = json_array(), *set, *o;

	for (unsigned int i = 0; i < fresh->n; i++)
		add_content(records, fresh->member[i].data, false);
	for (unsigned int i = 0; i < now->n_disabled; i++) {
		bool wanted = false;

		if (!dns_value_canonical(fresh->type, now->disabled[i], data, sizeof(data)))
			for (unsigned int j = 0; j < fresh->n; j++)
				wanted |= !strcmp(data, fresh->member[j].data);
		if (!wanted)
			add_content(records, now->disabled[i], true);
	}
	set = json_pack("{s:s, s:s}", "name", fresh->name, "type",
			dns_type_text(fresh->type, type_text));
	if (json_array_size(records)) {
		/* With nothing but switched-off records the TTL is still theirs. */
		uint32_t ttl = fresh->n ? fresh->ttl : now->set.ttl;

		json_object_set_new(set, "ttl", json_integer(ttl));
		json_object_set_new(set, "changetype", json_string("REPLACE"));
		json_object_set(set, "records", records);
	} else {
		json_object_set_new(set, "changetype", json_string("DELETE"));
	}
	o = json_pack("{s:[o]}", "rrsets", set);
	ret = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(records);
	json_decref(o);
	return ret;
}

/* An A of 192.0.2.1 is the same whoever wrote it; weights and the like are not PowerDNS's. */
static bool same(const struct dns_rrset *a, const struct dns_rrset *b)
{
	if (a->n != b->n || (a->n && a->ttl != b->ttl))
		return false;
	for (unsigned int i = 0; i < a->n; i++)
		if (strcmp(a->member[i].data, b->member[i].data) != 0)
			return false;
	return true;
}

/* After a change, whatever was answered to it: what is there decides. `why` has the words of the
 * answer. */
static enum dns_changed settle(struct powerdns *pd, enum asked asked, const struct dns_rrset *old,
			       const struct dns_rrset *fresh, struct rrset *now, char *why)
{
	static const struct timespec wait = {.tv_nsec = 500000000};
	char answer[DNS_WHY / 2], reading[DNS_WHY / 3];
	struct rrset next;

	snprintf(answer, sizeof(answer), "%s%s%.*s",
		 asked == ASKED_DONE   ? "PowerDNS said that it was done"
		 : asked == ASKED_LOST ? "the answer was lost"
				       : "PowerDNS refused",
		 why[0] ? ": " : "", (int)sizeof(answer) / 2, why);
	for (int i = 0; i < 3; i++) {
		/* One that was lost may still be at work. */
		if (i)
			nanosleep(&wait, NULL);
		if (look(pd, fresh->name, fresh->type, false, &next, why) != DNS_CHANGED) {
			snprintf(reading, sizeof(reading), "%.*s", (int)sizeof(reading) - 1, why);
			snprintf(why, DNS_WHY, "%s; then the records could not be read: %s", answer,
				 reading);
			return DNS_UNCERTAIN;
		}
		*now = next;
		if (same(&now->set, fresh)) {
			why[0] = 0;
			return DNS_CHANGED;
		}
		if (asked == ASKED_REFUSED)
			break;
	}
	if (!same(&now->set, old)) {
		snprintf(why, DNS_WHY,
			 "%s; what is there now is neither the old nor the new set: %s", answer,
			 dns_rrset_text(&now->set, reading, sizeof(reading)));
		/* It does all or nothing: another writer was between. */
		return asked == ASKED_REFUSED ? DNS_STALE : DNS_HALF;
	}
	snprintf(why, DNS_WHY, "%s; the old records are there, unchanged", answer);
	return asked == ASKED_REFUSED ? DNS_REJECTED
	       : asked == ASKED_LOST  ? DNS_UNREACHED
				      : DNS_UNCERTAIN;
}

/* The secondaries are told; what comes of it changes nothing here. */
static void notify(struct powerdns *pd)
{
	char url[sizeof(pd->zone) + 16], why[DNS_WHY];
	struct cloud_call call = {.method = "PUT", .url = url, .headers = pd->reading};

	snprintf(url, sizeof(url), "%s/notify", pd->zone);
	ask(pd, &call, NULL, why);
}

static enum dns_changed powerdns_apply(void *x, const struct dns_rrset *old,
				       const struct dns_rrset *fresh, char *id,
				       struct dns_rrset *seen, char *why)
{
	struct powerdns *pd = x;
	struct cloud_call call = {.method = "PATCH", .url = pd->zone, .headers = pd->writing};
	struct rrset now;
	enum dns_changed got;
	enum asked asked;
	char *body;

	id[0] = why[0] = 0;
	got = look(pd, fresh->name, fresh->type, true, &now, why);
	if (got != DNS_CHANGED)
		return got;
	*seen = now.set;
	if (!same(&now.set, old)) {
		char text[DNS_WHY / 2];

		snprintf(why, DNS_WHY, "there is %s", dns_rrset_text(seen, text, sizeof(text)));
		return DNS_STALE;
	}
	if (same(&now.set, fresh))
		return DNS_CHANGED;
	body = patch_of(&now, fresh);
	if (!body) {
		snprintf(why, DNS_WHY, "no memory");
		return DNS_UNREACHED;
	}
	call.body = body;
	asked = ask(pd, &call, NULL, why);
	free(body);
	if (asked == ASKED_UNREACHED)
		return DNS_UNREACHED;
	if (asked == ASKED_DENIED)
		return DNS_DENIED;
	got = settle(pd, asked, old, fresh, &now, why);
	*seen = now.set;
	if (got == DNS_CHANGED && now.primary)
		notify(pd);
	return got;
}

/* ---- showing ---- */

static void show_request(const char *method, const char *url, const char *body, FILE *to)
{
	const char *const headers[] = {accept_json, body ? content_type : NULL, NULL};

	dns_value_show_as(to, method, url, shown_secret, headers, body);
	fputc('\n', to);
}

static void powerdns_show(void *x, const struct dns_rrset *old, const struct dns_rrset *fresh,
			  FILE *to)
{
	struct powerdns *pd = x;
	char url[sizeof(pd->zone) + DNS_NAME * 3 + 64], *body;
	const struct rrset *last = &pd->last;
	static const struct rrset nothing;
	bool known = last->set.type == fresh->type && !strcmp(last->set.name, fresh->name);

	if (read_url(pd, fresh->name, fresh->type, url, sizeof(url)))
		return;
	fprintf(to, "# before and after: what is there is read and compared\n");
	show_request("GET", url, NULL, to);
	if (search_url(pd, fresh->name, url, sizeof(url)))
		return;
	fprintf(to, "# before: which records are switched off, and shall stay so\n");
	show_request("GET", url, NULL, to);
	body = same(old, fresh) ? NULL : patch_of(known ? last : &nothing, fresh);
	if (body)
		show_request("PATCH", pd->zone, body, to);
	else
		fprintf(to, "# nothing to change\n\n");
	free(body);
	if (known && last->primary) {
		fprintf(to, "# then the secondaries are told\n");
		snprintf(url, sizeof(url), "%s/notify", pd->zone);
		show_request("PUT", url, NULL, to);
	}
}

/* ---- the beginning and the end ---- */

static void powerdns_close(void *x)
{
	struct powerdns *pd = x;

	if (!pd)
		return;
	if (pd->header)
		explicit_bzero(pd->header, strlen(pd->header));
	free(pd->header);
	cloud_forget(pd->key);
	free(pd);
}

static int powerdns_open(const struct conf_provider *c, const char *name, void **ret, char *why)
{
	struct powerdns *pd = calloc(1, sizeof(*pd));
	char zone[DNS_NAME * 3];
	int err;

	(void)name;
	if (!pd)
		return -ENOMEM;
	pd->cloud = (struct cloud){.title = "PowerDNS", .conf = c};
	err = cloud_secret(c->key_file, &pd->key, why);
	if (!err && asprintf(&pd->header, "X-API-Key: %s", pd->key) < 0) {
		pd->header = NULL;
		err = -ENOMEM;
	}
	/* The API's id of a zone is its name, with the final dot. */
	if (!err &&
	    (dns_name(c->zone, pd->zone_name) || cloud_escape(pd->zone_name, zone, sizeof(zone)) ||
	     (size_t)snprintf(pd->server, sizeof(pd->server), "%s/api/v1/servers/localhost",
			      cloud_endpoint(c, "")) >= sizeof(pd->server) ||
	     (size_t)snprintf(pd->zone, sizeof(pd->zone), "%s/zones/%s", pd->server, zone) >=
		     sizeof(pd->zone))) {
		snprintf(why, DNS_WHY, "PowerDNS: '%.200s' is no name of a zone", c->zone);
		err = -EINVAL;
	}
	if (err) {
		powerdns_close(pd);
		return err;
	}
	pd->reading[0] = pd->writing[0] = pd->header;
	pd->reading[1] = pd->writing[1] = accept_json;
	pd->writing[2] = content_type;
	*ret = pd;
	return 0;
}

const struct dns_provider_class dns_powerdns = {
	.name = "powerdns",
	.title = "PowerDNS",
	.open = powerdns_open,
	.close = powerdns_close,
	.read = powerdns_read,
	.show = powerdns_show,
	.apply = powerdns_apply,
};
