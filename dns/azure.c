/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * azure.c - Azure DNS: a PUT that names the ETag of what it replaces
 *
 * Owns the protocol of Microsoft.Network/dnsZones, 2018-05-01. apply() reads the record set,
 * compares its value with `old`, and writes with If-Match of the ETag that came with that value (or
 * If-None-Match: * when there is none yet), so that whatever happens in between is refused with
 * 412. A set is deleted when the new one is empty. PUT replaces the whole set, so its metadata are
 * sent along as they were read; an alias to an Azure resource has no records of its own and is
 * refused.
 *
 * A 412 although the value is still `old` means that something else of the set was changed (its
 * metadata): it is tried once more with the new ETag. How it fails otherwise: a lost answer is
 * decided by reading. There is nothing to wait for: Azure does not say when its servers have it.
 *
 * Follows azure-rest-api-specs dns 2018-05-01. Weights are Traffic Manager's, another service: this
 * one has none.
 */
#include "dns/azure.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "dns/change.h"
#include "dns/cloud.h"
#include "dns/settle.h"
#include "dns/token.h"
#include "dns/value.h"
#include "userspace/conf/config.h"

#define OWN_ENDPOINT "https://management.azure.com"
#define OWN_LOGIN    "https://login.microsoftonline.com"
#define API	     "?api-version=2018-05-01"
#define URL_SIZE     4096

struct azure {
	struct cloud cloud;
	struct token *token;
	char zone[DNS_NAME]; /* with the final dot */
	char url[URL_SIZE];  /* of the zone */
	json_t *metadata;    /* type as text → what was read last */
};

/* ---- JSON, pure ---- */

static int cannot(char *why, const char *what)
{
	snprintf(why, DNS_WHY, "Azure DNS: %s", what);
	return -EINVAL;
}

/* Its type's list: {"ARecords":[{"ipv4Address":"192.0.2.1"}]}, or the one CNAME. */
static int add_records(json_t *properties, struct dns_rrset *r, char *why)
{
	bool v4 = r->type == DNS_A;
	json_t *list, *one;
	const char *text;
	size_t i;
	int err = 0;

	if (r->type == DNS_CNAME) {
		one = json_object_get(properties, "CNAMERecord");
		text = json_string_value(json_object_get(one, "cname"));
		err = text ? dns_value_add(r, r->type, text) : -EINVAL;
		return err ? cannot(why, "the record set has no CNAME that can be read") : 0;
	}
	list = json_object_get(properties, v4 ? "ARecords" : "AAAARecords");
	json_array_foreach (list, i, one) {
		text = json_string_value(json_object_get(one, v4 ? "ipv4Address" : "ipv6Address"));
		err = text ? dns_value_add(r, r->type, text) : -EINVAL;
		if (err)
			return cannot(why, err == -ENOSPC ? "the record set has too many records"
							  : "the record set has no address that "
							    "can be read");
	}
	return r->n ? 0 : cannot(why, "the record set has no records");
}

int azure_rrset(json_t *o, struct dns_rrset *r, char *why)
{
	json_t *p = json_object_get(o, "properties"), *ttl = json_object_get(p, "TTL");
	const char *etag = json_string_value(json_object_get(o, "etag"));
	const char *alias =
		json_string_value(json_object_get(json_object_get(p, "targetResource"), "id"));
	int err;

	if (alias) {
		snprintf(why, DNS_WHY,
			 "Azure DNS: the record set is an alias of %.200s: it has no "
			 "records of its own",
			 alias);
		return -ENOTSUP;
	}
	if (!json_is_integer(ttl) || json_integer_value(ttl) < 0 ||
	    json_integer_value(ttl) > DNS_TTL_MAX)
		return cannot(why, "the record set has no TTL");
	if (!etag || !*etag || strlen(etag) >= sizeof(r->version))
		return cannot(why, "the record set has no ETag");
	for (const char *c = etag; *c; c++)
		if (*c < ' ' || *c > '~')
			return cannot(why, "the record set's ETag is no header");
	r->ttl = (uint32_t)json_integer_value(ttl);
	snprintf(r->version, sizeof(r->version), "%s", etag);
	err = add_records(p, r, why);
	dns_rrset_sort(r);
	return err;
}

char *azure_body(const struct dns_rrset *fresh, json_t *metadata)
{
	json_t *o, *p = json_pack("{s:I}", "TTL", (json_int_t)fresh->ttl), *list;
	char *text;

	if (json_object_size(metadata))
		json_object_set(p, "metadata", metadata);
	if (fresh->type == DNS_CNAME) {
		json_object_set_new(p, "CNAMERecord",
				    json_pack("{s:s}", "cname", fresh->member[0].data));
	} else {
		list = json_array();
		for (unsigned int i = 0; i < fresh->n; i++)
			json_array_append_new(list, json_pack("{s:s}",
							      fresh->type == DNS_A ? "ipv4Address"
										   : "ipv6Address",
							      fresh->member[i].data));
		json_object_set_new(p, fresh->type == DNS_A ? "ARecords" : "AAAARecords", list);
	}
	o = json_pack("{s:o}", "properties", p);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

int azure_relative(const char *name, const char *zone, char *ret, size_t size)
{
	size_t n = strlen(name), z = strlen(zone);

	if (!dns_below(name, zone))
		return -EINVAL;
	if (n == z)
		return snprintf(ret, size, "@") < (int)size ? 0 : -ENOSPC;
	n -= z + (z > 1); /* the dot before the zone; the root's is its name */
	return snprintf(ret, size, "%.*s", (int)n, name) < (int)size ? 0 : -ENOSPC;
}

/* {"error":{"code":"…","message":"…"}} */
static void words_of(const struct http_reply *r, char *why)
{
	json_t *o = r->body ? json_loadb(r->body, r->size, 0, NULL) : NULL;
	json_t *error = json_object_get(o, "error");
	const char *code = json_string_value(json_object_get(error, "code"));
	const char *message = json_string_value(json_object_get(error, "message"));
	char shown[256];

	if (!code) /* of a record set itself: {"code":"…","message":"…"} */
		code = json_string_value(json_object_get(o, "code"));
	if (!message)
		message = json_string_value(json_object_get(o, "message"));
	snprintf(why, DNS_WHY, "Azure DNS: %ld%s%.80s: %.300s", r->status, code ? " " : "",
		 code ? code : "", message ? message : cloud_shown(r, shown));
	for (char *p = why; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	json_decref(o);
}

/* ---- calls ---- */

static enum cloud_outcome call_azure(struct azure *a, const char *method, const char *url,
				     const char *const *headers, const char *body,
				     struct http_reply *ret, char *why)
{
	struct cloud_call call = {.method = method,
				  .url = url,
				  .headers = headers,
				  .body = body,
				  .reads = !strcmp(method, "GET")};
	enum cloud_outcome out = token_call(a->token, &a->cloud, &call, NULL, ret, why);

	if (out == CLOUD_DENIED && ret->status && ret->body)
		words_of(ret, why);
	return out;
}

static enum dns_changed url_of(const struct azure *a, const struct dns_rrset *r, char *ret,
			       size_t size, char *why)
{
	char relative[DNS_NAME], escaped[3 * DNS_NAME], type[16];

	if (!dns_value_known(r->type)) {
		snprintf(why, DNS_WHY, "Azure DNS: records of type %s are not ours to change",
			 dns_type_text(r->type, type));
		return DNS_REJECTED;
	}
	if (azure_relative(r->name, a->zone, relative, sizeof(relative)) ||
	    cloud_escape(relative, escaped, sizeof(escaped))) {
		snprintf(why, DNS_WHY, "Azure DNS: %.200s is not in the zone %.200s", r->name,
			 a->zone);
		return DNS_REJECTED;
	}
	/* "@" is itself a path character, and what Azure's own clients send. */
	snprintf(ret, size, "%s/%s/%s" API, a->url, dns_type_text(r->type, type),
		 !strcmp(relative, "@") ? "@" : escaped);
	return DNS_CHANGED;
}

/* There is no such record set: or is it the zone that is missing? */
static enum dns_changed look_for_zone(struct azure *a, char *why)
{
	static const char *const headers[] = {"Accept: application/json", NULL};
	char url[URL_SIZE + sizeof(API)];
	struct http_reply r = {0};
	enum dns_changed how;
	enum cloud_outcome out;

	snprintf(url, sizeof(url), "%s" API, a->url);
	out = call_azure(a, "GET", url, headers, NULL, &r, why);
	if (out != CLOUD_ANSWERED) {
		how = settle_outcome(out, true);
	} else if (r.status == 200) {
		how = DNS_CHANGED;
	} else {
		words_of(&r, why);
		how = DNS_REJECTED;
	}
	http_reply_free(&r);
	return how;
}

static enum dns_changed azure_read(void *x, const char *name, uint16_t type, struct dns_rrset *ret,
				   char *why)
{
	static const char *const headers[] = {"Accept: application/json", NULL};
	struct azure *a = x;
	struct http_reply r = {0};
	enum cloud_outcome out;
	enum dns_changed how;
	char url[URL_SIZE + 4 * DNS_NAME], text[16];
	json_t *o;

	dns_value_start(ret, name, type);
	how = url_of(a, ret, url, sizeof(url), why);
	if (how != DNS_CHANGED)
		return how;
	json_object_del(a->metadata, dns_type_text(type, text));
	out = call_azure(a, "GET", url, headers, NULL, &r, why);
	if (out != CLOUD_ANSWERED) {
		how = settle_outcome(out, true);
	} else if (r.status == 404) {
		how = look_for_zone(a, why);
	} else if (r.status != 200) {
		words_of(&r, why);
		how = DNS_REJECTED;
	} else {
		o = json_loadb(r.body, r.size, 0, NULL);
		if (azure_rrset(o, ret, why)) {
			ret->n = 0;
			how = DNS_REJECTED;
		}
		json_object_set(a->metadata, text,
				json_object_get(json_object_get(o, "properties"), "metadata"));
		json_decref(o);
	}
	http_reply_free(&r);
	return how;
}

/* ---- the change ---- */

struct request {
	const char *method;
	char url[URL_SIZE + 4 * DNS_NAME];
	char condition[320];
	const char *headers[4];
	char *body; /* for free; NULL: none */
};

/* `etag`: of what is replaced; "": not read yet. */
static enum dns_changed make_request(struct azure *a, const struct dns_rrset *old,
				     const struct dns_rrset *fresh, const char *etag,
				     struct request *q, char *why)
{
	enum dns_changed how;
	char text[16];
	unsigned int n = 0;

	memset(q, 0, sizeof(*q));
	how = url_of(a, fresh, q->url, sizeof(q->url), why);
	if (how != DNS_CHANGED)
		return how;
	if (old->n)
		snprintf(q->condition, sizeof(q->condition), "If-Match: %s",
			 etag[0] ? etag : "<etag read just before>");
	else
		snprintf(q->condition, sizeof(q->condition), "If-None-Match: *");
	q->method = fresh->n ? "PUT" : "DELETE";
	q->headers[n++] = q->condition;
	q->headers[n++] = "Accept: application/json";
	if (!fresh->n)
		return DNS_CHANGED;
	q->headers[n++] = "Content-Type: application/json";
	q->body = azure_body(fresh, json_object_get(a->metadata, dns_type_text(fresh->type, text)));
	if (q->body)
		return DNS_CHANGED;
	snprintf(why, DNS_WHY, "Azure DNS: %s", strerror(ENOMEM));
	return DNS_REJECTED;
}

static enum dns_changed fit(const struct dns_rrset *old, const struct dns_rrset *fresh, char *why)
{
	const struct dns_rrset *both[] = {old, fresh};
	const char *wrong = NULL;

	if (!old->n && !fresh->n)
		wrong = "nothing is to be made of nothing";
	if (strcmp(old->name, fresh->name) || old->type != fresh->type)
		wrong = "old and new are not of one name and type";
	if (fresh->type == DNS_CNAME && fresh->n > 1)
		wrong = "a name has one CNAME";
	for (unsigned int i = 0; i < 2; i++)
		for (unsigned int j = 0; j < both[i]->n; j++)
			if (both[i]->member[j].weighted)
				wrong = "it has no weights: those are Traffic Manager's";
	if (!wrong)
		return DNS_CHANGED;
	snprintf(why, DNS_WHY, "Azure DNS: %s", wrong);
	return DNS_REJECTED;
}

/* Reads, compares, writes. -EAGAIN: another ETag, though the value is the same. */
static int swap(struct azure *a, const struct dns_rrset *old, const struct dns_rrset *fresh,
		struct dns_rrset *seen, char *why)
{
	const struct settle s = {"Azure DNS", a, azure_read, dns_rrset_same};
	struct http_reply r = {0};
	struct request q;
	enum cloud_outcome out;
	int how = azure_read(a, old->name, old->type, seen, why);
	char words[DNS_WHY];
	bool surely, refused, silent;

	if (how != DNS_CHANGED)
		return how;
	if (!dns_rrset_same(old, seen))
		return settle_stale(&s, seen, why);
	how = make_request(a, old, fresh, seen->version, &q, why);
	if (how != DNS_CHANGED)
		return how;
	out = call_azure(a, q.method, q.url, q.headers, q.body, &r, why);
	free(q.body);
	/* DELETE of what is not there is 204, whatever the condition. */
	surely = out == CLOUD_ANSWERED && (r.status == 200 || (r.status == 201 && fresh->n));
	refused = out == CLOUD_ANSWERED && (r.status == 412 || (r.status == 204 && !fresh->n));
	silent = !r.status;
	if (out == CLOUD_ANSWERED && !surely)
		words_of(&r, why);
	http_reply_free(&r);
	if (surely || out == CLOUD_LOST)
		return settle(&s, old, fresh,
			      surely   ? SETTLE_DONE
			      : silent ? SETTLE_NOTHING
				       : SETTLE_FAILED,
			      seen, why);
	if (out != CLOUD_ANSWERED)
		return settle_outcome(out, false);
	if (!refused)
		return DNS_REJECTED;
	snprintf(words, sizeof(words), "%s", why);
	how = azure_read(a, old->name, old->type, seen, why);
	if (how != DNS_CHANGED)
		return how;
	if (!dns_rrset_same(old, seen))
		return settle_stale(&s, seen, why);
	snprintf(why, DNS_WHY, "%s", words);
	return -EAGAIN;
}

static enum dns_changed azure_apply(void *x, const struct dns_rrset *old,
				    const struct dns_rrset *fresh, char *id, struct dns_rrset *seen,
				    char *why)
{
	int how = fit(old, fresh, why);

	id[0] = '\0';
	if (how != DNS_CHANGED)
		return how;
	how = swap(x, old, fresh, seen, why);
	if (how == -EAGAIN)
		how = swap(x, old, fresh, seen, why);
	return how == -EAGAIN ? DNS_REJECTED : how;
}

static void azure_show(void *x, const struct dns_rrset *old, const struct dns_rrset *fresh,
		       FILE *to)
{
	char why[DNS_WHY] = "";
	struct request q = {0};

	if (fit(old, fresh, why) != DNS_CHANGED ||
	    make_request(x, old, fresh, old->version, &q, why) != DNS_CHANGED)
		fprintf(to, "nothing: %s\n", why);
	else
		dns_value_show(to, q.method, q.url, q.headers, q.body);
	free(q.body);
}

static void azure_close(void *x)
{
	struct azure *a = x;

	if (!a)
		return;
	token_close(a->token);
	json_decref(a->metadata);
	free(a);
}

static int set_url(struct azure *a, const struct conf_provider *c)
{
	char subscription[3 * sizeof(c->subscription)], group[3 * sizeof(c->group)],
		zone[3 * sizeof(c->zone)], plain[sizeof(c->zone)];
	size_t n = strlen(c->zone);

	snprintf(plain, sizeof(plain), "%s", c->zone);
	if (n && plain[n - 1] == '.')
		plain[n - 1] = '\0';
	if (dns_name(c->zone, a->zone) ||
	    cloud_escape(c->subscription, subscription, sizeof(subscription)) ||
	    cloud_escape(c->group, group, sizeof(group)) || cloud_escape(plain, zone, sizeof(zone)))
		return -EINVAL;
	n = (size_t)snprintf(a->url, sizeof(a->url),
			     "%s/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Network"
			     "/dnsZones/%s",
			     cloud_endpoint(c, OWN_ENDPOINT), subscription, group, zone);
	return n < sizeof(a->url) ? 0 : -ENOSPC;
}

static int azure_open(const struct conf_provider *c, const char *name, void **ret, char *why)
{
	struct azure *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->cloud = (struct cloud){.title = "Azure DNS", .conf = c};
	a->metadata = json_object();
	err = a->metadata ? set_url(a, c) : -ENOMEM;
	if (!err && !dns_below(name, a->zone)) {
		snprintf(why, DNS_WHY, "dns.provider.azure.zone: %.200s is not in the zone %.200s",
			 name, a->zone);
		err = -EINVAL;
	} else if (err) {
		snprintf(why, DNS_WHY, "dns.provider.azure: %s", strerror(-err));
	}
	if (!err)
		err = token_open_azure(&a->cloud, c->login[0] ? c->login : OWN_LOGIN, &a->token,
				       why);
	if (err) {
		azure_close(a);
		return err;
	}
	*ret = a;
	return 0;
}

const struct dns_provider_class dns_azure = {
	.name = "azure",
	.title = "Azure DNS",
	.atomic = true,
	.weights = false,
	.open = azure_open,
	.close = azure_close,
	.read = azure_read,
	.show = azure_show,
	.apply = azure_apply,
};
