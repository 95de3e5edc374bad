/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cloudflare.c - records at Cloudflare, and its HTTP cache
 *
 * Owns: the two ways between a set of records, as the rest of dns/ has it, and Cloudflare's API v4,
 * where one object is one record; and the API token, which is wiped on close.
 *
 * Promises: nothing is written unless what is there is `old`, by address, TTL and proxying. The
 * change is one batch (one transaction of Cloudflare's database), in which records that have a
 * successor are altered in place: deleting and creating could show an empty set at some of
 * Cloudflare's edges, for a batch reaches them record by record. Whatever the answer to the batch
 * was, the records are read again, and what is there then decides how it ended.
 *
 * How it fails: Cloudflare compares nothing, so another writer between our reading and our batch is
 * overwritten where it touched the records that we alter; what it added is seen by the reading
 * afterwards (DNS_HALF), and where it deleted one the batch is refused (DNS_STALE). A batch that
 * was carried out in part is DNS_HALF as well, and the set that was found can be the `old` of the
 * next change, also when its TTLs differ: `version` then has their digest.
 *
 * Proxied records: the answers in DNS are Cloudflare's own addresses, so a change of the record is
 * a change of the origin behind them. It works at once, no cache of DNS keeps the old one, and DNS
 * cannot show it. Their TTL is 1, which is Cloudflare's word for automatic.
 *
 * Follows: developers.cloudflare.com/api (dns_records, dns_records/batch, purge_cache).
 * Weaknesses: the answer of the API is what Cloudflare wants, not what its edges serve; only the
 * sweep of the authorities proves that. There is no change to wait for, so `done` is not there.
 */
#include "dns/cloudflare.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "dns/cloud.h"
#include "dns/value.h"
#include "userspace/conf/config.h"

#define OWN	  "https://api.cloudflare.com/client/v4"
#define PER_PAGE  100
#define MAX_PAGES 50
#define MS	  1000000L

struct cloudflare {
	struct cloud cloud;
	char host[DNS_NAME];	    /* whose HTTP cache is emptied */
	char zone[CONF_TEXT + 256]; /* …/zones/ID */
	char *token;
	char *authorization; /* the header, with the token */
	const char *reading[3], *writing[4];
	struct cloudflare_listing last; /* read last, for show */
};

static const char shown_secret[] = "Authorization: Bearer ***";
static const char accept_json[] = "Accept: application/json";
static const char content_type[] = "Content-Type: application/json";

static const char proxied_note[] =
	"the records are proxied: DNS answers with Cloudflare's own addresses before and after; the "
	"origin behind them changes at once, and only HTTP or the API can show it";

/* ---- the envelope ---- */

/* Cloudflare's words of an answer that is no success: its first error, and what that is about. */
static void refusal(const struct http_reply *r, json_t *envelope, char *why)
{
	json_t *e = json_array_get(json_object_get(envelope, "errors"), 0), *cause;
	const char *message = json_string_value(json_object_get(e, "message")), *more;
	char shown[256];

	if (!message) {
		snprintf(why, DNS_WHY, "Cloudflare: status %ld, and no error of its own: %s",
			 r->status, cloud_shown(r, shown));
		return;
	}
	cause = json_array_get(json_object_get(e, "error_chain"), 0);
	more = json_string_value(json_object_get(cause, "message"));
	snprintf(why, DNS_WHY, "Cloudflare: %.200s (code %" JSON_INTEGER_FORMAT "%s%.100s)",
		 message, json_integer_value(json_object_get(e, "code")), more ? "; " : "",
		 more ? more : "");
}

/* Codes with which Cloudflare answers 400 when it is the token that it cannot use. */
static bool about_token(json_t *envelope)
{
	static const json_int_t codes[] = {6003, 6103, 6111, 9109, 10000, 10001};
	json_int_t code = json_integer_value(
		json_object_get(json_array_get(json_object_get(envelope, "errors"), 0), "code"));

	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (code == codes[i])
			return true;
	return false;
}

enum asked { ASKED_DONE, ASKED_REFUSED, ASKED_DENIED, ASKED_UNREACHED, ASKED_LOST };

/* One request. The status and "success" must both say so. *ret, which may be NULL, is the envelope
 * of a success, for json_decref. */
static enum asked ask(struct cloudflare *cf, const struct cloud_call *call, json_t **ret, char *why)
{
	struct http_reply reply = {0};
	json_t *envelope = NULL;
	enum asked asked;

	switch (cloud_do(&cf->cloud, call, NULL, &reply, why)) {
	case CLOUD_UNREACHED:
		asked = ASKED_UNREACHED;
		break;
	case CLOUD_LOST:
		asked = ASKED_LOST;
		break;
	case CLOUD_DENIED:
		asked = ASKED_DENIED;
		if (reply.body)
			envelope = json_loadb(reply.body, reply.size, 0, NULL);
		if (json_array_size(json_object_get(envelope, "errors")))
			refusal(&reply, envelope, why);
		break;
	default:
		envelope = json_loadb(reply.body, reply.size, 0, NULL);
		if (reply.status / 100 == 2 && json_is_true(json_object_get(envelope, "success"))) {
			asked = ASKED_DONE;
			break;
		}
		/* A success that says nothing may be one. */
		asked = about_token(envelope)				       ? ASKED_DENIED
			: reply.status / 100 == 2 && !json_is_object(envelope) ? ASKED_LOST
									       : ASKED_REFUSED;
		refusal(&reply, envelope, why);
	}
	if (ret && asked == ASKED_DONE)
		*ret = json_incref(envelope);
	json_decref(envelope);
	http_reply_free(&reply);
	return asked;
}

/* ---- reading ---- */

static int add_record(json_t *o, const char *name, uint16_t type, struct cloudflare_listing *l,
		      char *why)
{
	const char *id = json_string_value(json_object_get(o, "id"));
	const char *content = json_string_value(json_object_get(o, "content"));
	const char *owner = json_string_value(json_object_get(o, "name"));
	const char *kind = json_string_value(json_object_get(o, "type"));
	json_int_t ttl = json_integer_value(json_object_get(o, "ttl"));
	char type_text[16];
	struct cloudflare_record r = {0};

	if (!id || !content || !owner || !kind || ttl < 0 || ttl > DNS_TTL_MAX) {
		snprintf(why, DNS_WHY,
			 "Cloudflare: a record without id, content, name, type or TTL");
		return -EBADMSG;
	}
	if (strcasecmp(owner, name) != 0 || strcmp(kind, dns_type_text(type, type_text)) != 0)
		return 0;
	if ((size_t)snprintf(r.id, sizeof(r.id), "%s", id) >= sizeof(r.id) ||
	    dns_value_canonical(type, content, r.data, sizeof(r.data))) {
		snprintf(why, DNS_WHY, "Cloudflare: a record that cannot be kept: %.200s", content);
		return -EBADMSG;
	}
	r.ttl = (uint32_t)ttl;
	r.proxied = json_is_true(json_object_get(o, "proxied"));
	/* A page may begin with the last of the one before when a record came in between. */
	for (unsigned int i = 0; i < l->n; i++)
		if (!strcmp(l->record[i].id, r.id))
			return 0;
	if (l->n == DNS_MAX_MEMBERS) {
		snprintf(why, DNS_WHY, "%.200s has more than %d records of this type", name,
			 DNS_MAX_MEMBERS);
		return -E2BIG;
	}
	l->record[l->n++] = r;
	return 0;
}

static int list_url(const struct cloudflare *cf, const char *name, uint16_t type, unsigned int page,
		    char *ret, size_t size)
{
	char escaped[DNS_NAME * 3], type_text[16];

	if (cloud_escape(name, escaped, sizeof(escaped)))
		return -ENOSPC;
	return (size_t)snprintf(
		       ret, size, "%s/dns_records?name.exact=%s&page=%u&per_page=%d&type=%s",
		       cf->zone, escaped, page, PER_PAGE, dns_type_text(type, type_text)) < size
		       ? 0
		       : -ENOSPC;
}

static enum dns_changed list(struct cloudflare *cf, const char *name, uint16_t type,
			     struct cloudflare_listing *ret, char *why)
{
	static const enum dns_changed ended[] = {
		[ASKED_REFUSED] = DNS_REJECTED,
		[ASKED_DENIED] = DNS_DENIED,
		[ASKED_UNREACHED] = DNS_UNREACHED,
		[ASKED_LOST] = DNS_UNREACHED,
	};
	char url[sizeof(cf->zone) + DNS_NAME * 3 + 128], plain[DNS_NAME];
	json_int_t pages = 1;

	memset(ret, 0, sizeof(*ret));
	cloudflare_name(name, plain, sizeof(plain));
	for (unsigned int page = 1; page <= pages; page++) {
		struct cloud_call call = {
			.method = "GET", .url = url, .headers = cf->reading, .reads = true};
		json_t *envelope, *o;
		enum asked asked;
		size_t i;
		int err = 0;

		if (page > MAX_PAGES || list_url(cf, plain, type, page, url, sizeof(url))) {
			snprintf(why, DNS_WHY, "Cloudflare: a list without an end");
			return DNS_REJECTED;
		}
		asked = ask(cf, &call, &envelope, why);
		if (asked != ASKED_DONE)
			return ended[asked];
		if (!json_is_array(json_object_get(envelope, "result"))) {
			snprintf(why, DNS_WHY, "Cloudflare: the answer is no list");
			err = -EBADMSG;
		}
		json_array_foreach (json_object_get(envelope, "result"), i, o)
			if (!err)
				err = add_record(o, plain, type, ret, why);
		pages = json_integer_value(
			json_object_get(json_object_get(envelope, "result_info"), "total_pages"));
		json_decref(envelope);
		if (err)
			return DNS_REJECTED;
	}
	cloudflare_sort(ret);
	cf->last = *ret;
	return DNS_CHANGED;
}

static bool any_proxied(const struct dns_rrset *set)
{
	for (unsigned int i = 0; i < set->n; i++)
		if (set->member[i].proxied)
			return true;
	return false;
}

static enum dns_changed cloudflare_read(void *x, const char *name, uint16_t type,
					struct dns_rrset *ret, char *why)
{
	struct cloudflare_listing now;
	enum dns_changed got;

	why[0] = 0;
	got = list(x, name, type, &now, why);
	if (got != DNS_CHANGED)
		return got;
	cloudflare_set(&now, name, type, ret);
	if (any_proxied(ret))
		snprintf(why, DNS_WHY, "%s", proxied_note);
	return DNS_CHANGED;
}

/* ---- changing ---- */

static void pause_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * MS};

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static const char *said_text(enum asked asked)
{
	return asked == ASKED_DONE   ? "Cloudflare said that it was done"
	       : asked == ASKED_LOST ? "the answer was lost"
				     : "Cloudflare refused";
}

/*
 * What is there after the batch decides; what was answered to it only says how long it is worth
 * looking, and gives the words. `why` has those of the answer.
 */
static enum dns_changed settle(struct cloudflare *cf, enum asked asked, const struct dns_rrset *old,
			       const struct dns_rrset *fresh, struct dns_rrset *seen, char *why)
{
	static const long waits_ms[] = {250, 500, 1000, 1500};
	struct cloudflare_listing now;
	char answer[DNS_WHY / 2];

	snprintf(answer, sizeof(answer), "%s%s%.*s", said_text(asked), why[0] ? ": " : "",
		 (int)sizeof(answer) / 2, why);
	for (size_t i = 0;; i++) {
		if (list(cf, fresh->name, fresh->type, &now, why) != DNS_CHANGED) {
			char reading[DNS_WHY / 3];

			snprintf(reading, sizeof(reading), "%.*s", (int)sizeof(reading) - 1, why);
			snprintf(why, DNS_WHY, "%s; then the records could not be read: %s", answer,
				 reading);
			return DNS_UNCERTAIN;
		}
		cloudflare_set(&now, fresh->name, fresh->type, seen);
		if (cloudflare_same(&now, fresh)) {
			snprintf(why, DNS_WHY, "%s", any_proxied(fresh) ? proxied_note : "");
			return DNS_CHANGED;
		}
		if (asked == ASKED_REFUSED || i == sizeof(waits_ms) / sizeof(*waits_ms))
			break;
		pause_ms(waits_ms[i]);
	}
	if (!cloudflare_same(&now, old)) {
		unsigned int n = cloudflare_arrived(&now, fresh);

		snprintf(why, DNS_WHY,
			 "%s; %u of the %u wanted records are there, and %u records in all", answer,
			 n, fresh->n, now.n);
		/* Another writer was between, and Cloudflare refused for that. */
		if (asked == ASKED_REFUSED && !n && cloudflare_foreign(&now, old, fresh))
			return DNS_STALE;
		return DNS_HALF;
	}
	if (asked == ASKED_REFUSED)
		snprintf(why, DNS_WHY, "%s; the old records are there, unchanged", answer);
	else
		snprintf(why, DNS_WHY,
			 "%s; read five times in 3 s, the old records are still there", answer);
	return asked == ASKED_REFUSED ? DNS_REJECTED
	       : asked == ASKED_LOST  ? DNS_UNREACHED
				      : DNS_UNCERTAIN;
}

static enum dns_changed cloudflare_apply(void *x, const struct dns_rrset *old,
					 const struct dns_rrset *fresh, char *id,
					 struct dns_rrset *seen, char *why)
{
	struct cloudflare *cf = x;
	struct cloudflare_listing now;
	char url[sizeof(cf->zone) + 32], *body;
	struct cloud_call call = {.method = "POST", .url = url, .headers = cf->writing};
	enum dns_changed got;
	enum asked asked;

	id[0] = why[0] = 0;
	got = list(cf, fresh->name, fresh->type, &now, why);
	if (got != DNS_CHANGED)
		return got;
	cloudflare_set(&now, fresh->name, fresh->type, seen);
	if (!cloudflare_same(&now, old)) {
		char text[DNS_WHY / 2];

		snprintf(why, DNS_WHY, "there is %s", dns_rrset_text(seen, text, sizeof(text)));
		return DNS_STALE;
	}
	snprintf(url, sizeof(url), "%s/dns_records/batch", cf->zone);
	body = cloudflare_batch(&now, fresh);
	if (!body) {
		if (cloudflare_same(&now, fresh)) /* there already */
			return DNS_CHANGED;
		snprintf(why, DNS_WHY, "no memory");
		return DNS_UNREACHED;
	}
	call.body = body;
	asked = ask(cf, &call, NULL, why);
	free(body);
	if (asked == ASKED_UNREACHED)
		return DNS_UNREACHED;
	if (asked == ASKED_DENIED)
		return DNS_DENIED;
	return settle(cf, asked, old, fresh, seen, why);
}

/* ---- showing ---- */

static void show_request(const char *method, const char *url, const char *body, FILE *to)
{
	const char *const headers[] = {accept_json, body ? content_type : NULL, NULL};

	dns_value_show_as(to, method, url, shown_secret, headers, body);
	fputc('\n', to);
}

static void cloudflare_show(void *x, const struct dns_rrset *old, const struct dns_rrset *fresh,
			    FILE *to)
{
	struct cloudflare *cf = x;
	struct cloudflare_listing from;
	char url[sizeof(cf->zone) + DNS_NAME * 3 + 128], plain[DNS_NAME], *body;

	if (cf->last.n && cloudflare_same(&cf->last, old))
		from = cf->last;
	else
		cloudflare_listing(old, &from);
	cloudflare_name(fresh->name, plain, sizeof(plain));
	list_url(cf, plain, fresh->type, 1, url, sizeof(url));
	fprintf(to, "# before and after: what is there is read and compared\n");
	show_request("GET", url, NULL, to);
	body = cloudflare_batch(&from, fresh);
	if (body) {
		snprintf(url, sizeof(url), "%s/dns_records/batch", cf->zone);
		show_request("POST", url, body, to);
	} else {
		fprintf(to, "# nothing to change\n\n");
	}
	free(body);
	if (any_proxied(old) && any_proxied(fresh))
		fprintf(to, "# %s\n", proxied_note);
	else if (any_proxied(old))
		fprintf(to,
			"# the records are no longer proxied after this: DNS then answers with the "
			"addresses themselves, which anybody can see\n");
	else if (any_proxied(fresh))
		fprintf(to,
			"# the records are proxied after this: DNS then answers with Cloudflare's "
			"own addresses\n");
}

/* ---- the HTTP cache ---- */

/* Empties Cloudflare's HTTP cache as configured; no cache of DNS. Only after the change was seen:
 * before it, the cache would be filled again from the old servers. */
static int cloudflare_purge(void *x, char *why)
{
	static const int errors[] = {
		[ASKED_REFUSED] = -EPROTO,
		[ASKED_DENIED] = -EACCES,
		[ASKED_UNREACHED] = -EHOSTUNREACH,
		[ASKED_LOST] = -EHOSTUNREACH,
	};
	struct cloudflare *cf = x;
	char url[sizeof(cf->zone) + 32], *body;
	struct cloud_call call = {.method = "POST", .url = url, .headers = cf->writing};
	enum asked asked;
	json_t *o;

	why[0] = 0;
	if (cf->cloud.conf->purge == CONF_PURGE_NOTHING)
		return 0;
	o = cf->cloud.conf->purge == CONF_PURGE_HOST ? json_pack("{s:[s]}", "hosts", cf->host)
						     : json_pack("{s:b}", "purge_everything", 1);
	body = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!body)
		return -ENOMEM;
	snprintf(url, sizeof(url), "%s/purge_cache", cf->zone);
	call.body = body;
	/* Emptying twice does no harm, so a lost answer is no reason not to send it again. */
	call.reads = true;
	asked = ask(cf, &call, NULL, why);
	free(body);
	return asked == ASKED_DONE ? 0 : errors[asked];
}

/* ---- the beginning and the end ---- */

static void cloudflare_close(void *x)
{
	struct cloudflare *cf = x;

	if (!cf)
		return;
	if (cf->authorization)
		explicit_bzero(cf->authorization, strlen(cf->authorization));
	free(cf->authorization);
	cloud_forget(cf->token);
	free(cf);
}

static int cloudflare_open(const struct conf_provider *c, const char *name, void **ret, char *why)
{
	struct cloudflare *cf = calloc(1, sizeof(*cf));
	char zone[CONF_NAME * 6];
	int err;

	if (!cf)
		return -ENOMEM;
	cf->cloud = (struct cloud){.title = "Cloudflare", .conf = c};
	cloudflare_name(name, cf->host, sizeof(cf->host));
	err = cloud_secret(c->key_file, &cf->token, why);
	if (!err && asprintf(&cf->authorization, "Authorization: Bearer %s", cf->token) < 0) {
		cf->authorization = NULL;
		err = -ENOMEM;
	}
	if (!err && (cloud_escape(c->zone_id, zone, sizeof(zone)) ||
		     (size_t)snprintf(cf->zone, sizeof(cf->zone), "%s/zones/%s",
				      cloud_endpoint(c, OWN), zone) >= sizeof(cf->zone))) {
		snprintf(why, DNS_WHY, "Cloudflare: the zone's id is too long");
		err = -EINVAL;
	}
	if (err) {
		cloudflare_close(cf);
		return err;
	}
	cf->reading[0] = cf->writing[0] = cf->authorization;
	cf->reading[1] = cf->writing[1] = accept_json;
	cf->writing[2] = content_type;
	*ret = cf;
	return 0;
}

const struct dns_provider_class dns_cloudflare = {
	.name = "cloudflare",
	.title = "Cloudflare",
	.open = cloudflare_open,
	.close = cloudflare_close,
	.read = cloudflare_read,
	.show = cloudflare_show,
	.apply = cloudflare_apply,
	.purge = cloudflare_purge,
};
