/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * route53.c - records at Amazon Route 53
 *
 * Owns: the credentials, wiped on close, and the record sets read last.
 *
 * Promises: apply(old → fresh) is one batch that deletes exactly what was there and creates what
 * shall be. Route 53 takes all of it or nothing, and a DELETE that differs from what is stored in
 * any value fails: that is the comparison, made at the moment of the change. What is deleted is
 * what was read just before, in its own spelling, after it was found to be `old`. UPSERT is never
 * used, for it compares nothing. Plain records become weighted ones, and the other way, by the same
 * batch: Route 53 has no other way.
 *
 * With weights every member is a record set of its own, whose SetIdentifier is made of its address,
 * so that the same configuration names the same sets on every host.
 *
 * How it fails: "throttled" and "an earlier change of this zone is not complete" are waited for
 * (cloud.c). When a batch is refused, or its answer is lost, the records are read: what is there
 * decides, and nothing is sent again. Sets that appeared between our look and the change under
 * other SetIdentifiers do not stop it; the reading afterwards finds them (DNS_HALF).
 *
 * `done` is INSYNC: all of Route 53's servers have it, usually within 60 s. Reading through the API
 * shows what was accepted, not what is served.
 *
 * Requests are signed by libcurl (SigV4), which in Debian 12 signs the query as it is given: hence
 * it is sorted and escaped here. Follows the API 2013-04-01. Weaknesses: aliases, other routings
 * than weights and sets with different TTLs are read as such and refused; a role that would have to
 * be assumed is not; the clock must be right, as with every signature.
 */
#include "dns/route53.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dns/cloud.h"
#include "userspace/conf/config.h"

#define OWN	  "https://route53.amazonaws.com"
#define MAX_PAGES 8
#define MAX_ID	  32
#define LOOKS	  4 /* for a change whose answer was lost */

struct route53 {
	struct cloud cloud;
	struct route53_credentials credentials;
	char zone[CONF_TEXT + 64 + MAX_ID]; /* …/2013-04-01/hostedzone/ID */
	char api[CONF_TEXT + 64];	    /* …/2013-04-01 */
	const char *headers[3];		    /* the token, and for a change the type first */
	struct route53_sets last;	    /* read last, with its name and type */
	struct dns_rrset last_set;
};

/* ---- one request ---- */

static bool is_code(const char *code, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(code, *list))
			return true;
	return false;
}

static bool throttled(const struct http_reply *r)
{
	static const char *const codes[] = {"Throttling",
					    "ThrottlingException",
					    "RequestLimitExceeded",
					    "TooManyRequestsException",
					    "PriorRequestNotComplete",
					    NULL};
	struct route53_error e;

	route53_read_error(r->body, r->size, &e);
	return is_code(e.code, codes);
}

static const char *const denials[] = {"ExpiredToken",
				      "ExpiredTokenException",
				      "RequestExpired",
				      "SignatureDoesNotMatch",
				      "InvalidSignatureException",
				      "InvalidClientTokenId",
				      "UnrecognizedClientException",
				      "MissingAuthenticationToken",
				      "MissingAuthenticationTokenException",
				      "IncompleteSignature",
				      "AccessDenied",
				      "AccessDeniedException",
				      "OptInRequired",
				      "NotAuthorizedException",
				      NULL};

enum asked { ASKED_DONE, ASKED_REFUSED, ASKED_NOT_NOW, ASKED_DENIED, ASKED_LOST };

/* The words of an error that Route 53 itself made; those of cloud_do stay for others. */
static enum asked explain(const struct http_reply *r, enum asked asked, struct route53_error *e,
			  char *why)
{
	char shown[256];

	route53_read_error(r->body, r->size, e);
	if (asked == ASKED_REFUSED && is_code(e->code, denials))
		asked = ASKED_DENIED;
	if (e->code[0])
		snprintf(why, DNS_WHY, "Route 53: %s%s%s%s", e->code, e->message[0] ? ": " : "",
			 e->message,
			 asked == ASKED_NOT_NOW ? " (and there was no more time to wait)" : "");
	else if (asked == ASKED_REFUSED)
		snprintf(why, DNS_WHY, "Route 53: HTTP %ld: %s", r->status, cloud_shown(r, shown));
	return asked;
}

/* `ret` is for http_reply_free; `e` has the code of an error that has one. */
static enum asked ask(struct route53 *x, const struct cloud_call *call, struct http_reply *ret,
		      struct route53_error *e, char *why)
{
	*e = (struct route53_error){0};
	switch (cloud_do(&x->cloud, call, throttled, ret, why)) {
	case CLOUD_ANSWERED:
		return ret->status / 100 == 2 ? ASKED_DONE : explain(ret, ASKED_REFUSED, e, why);
	case CLOUD_DENIED:
		return explain(ret, ASKED_DENIED, e, why);
	case CLOUD_LOST:
		return explain(ret, ASKED_LOST, e, why);
	default:
		return ret->err ? ASKED_NOT_NOW : explain(ret, ASKED_NOT_NOW, e, why);
	}
}

static enum dns_changed outcome_of(enum asked asked)
{
	switch (asked) {
	case ASKED_DONE:
		return DNS_CHANGED;
	case ASKED_REFUSED:
		return DNS_REJECTED;
	case ASKED_DENIED:
		return DNS_DENIED;
	case ASKED_LOST:
		return DNS_UNCERTAIN;
	default:
		return DNS_UNREACHED;
	}
}

/* ---- reading ---- */

/* Keys in the order of their bytes, all escaped: what is sent is what is signed. */
static int page_url(const struct route53 *x, const struct route53_page *p, bool next, char *ret,
		    size_t size)
{
	char name[ROUTE53_NAME], type[16], e_name[3 * ROUTE53_NAME], e_type[48], e_id[3 * 129] = "";
	const char *from = next ? p->next_name : route53_name_out(p->name, name);

	if (cloud_escape(from, e_name, sizeof(e_name)) ||
	    cloud_escape(next ? p->next_type : dns_type_text(p->type, type), e_type,
			 sizeof(e_type)) ||
	    (next && cloud_escape(p->next_id, e_id, sizeof(e_id))))
		return -EBADMSG;
	return (size_t)snprintf(ret, size, "%s/rrset?%s%s%smaxitems=100&name=%s&type=%s", x->zone,
				e_id[0] ? "identifier=" : "", e_id, e_id[0] ? "&" : "", e_name,
				e_type) < size
		       ? 0
		       : -EBADMSG;
}

/* Does what comes next still belong to the name and type? The list only has a start. */
static bool more(const struct route53_page *p)
{
	char name[DNS_NAME], type[16];

	return p->truncated && !p->past && !route53_name_in(p->next_name, name) &&
	       !strcmp(name, p->name) && !strcmp(p->next_type, dns_type_text(p->type, type));
}

static enum dns_changed read_pages(struct route53 *x, struct route53_page *p, char *why)
{
	static const char *const no_headers[] = {NULL};
	char url[sizeof(x->zone) + 3 * ROUTE53_NAME + 600];
	struct cloud_call call = {
		.method = "GET", .url = url, .headers = x->headers + 1, .reads = true};

	if (!x->credentials.token)
		call.headers = no_headers;
	for (unsigned int page = 0; !page || more(p); page++) {
		struct http_reply reply;
		struct route53_error e;
		enum asked asked;
		int err = page_url(x, p, page > 0, url, sizeof(url));

		if (err || page == MAX_PAGES) {
			snprintf(why, DNS_WHY, "Route 53: its list of records does not end");
			return DNS_REJECTED;
		}
		p->past = p->truncated = false;
		p->next_name[0] = p->next_type[0] = p->next_id[0] = '\0';
		asked = ask(x, &call, &reply, &e, why);
		if (asked == ASKED_DONE)
			err = route53_read_page(reply.body, reply.size, p);
		http_reply_free(&reply);
		if (asked != ASKED_DONE)
			return asked == ASKED_LOST ? DNS_UNREACHED : outcome_of(asked);
		if (err) {
			snprintf(why, DNS_WHY, "Route 53: an answer that cannot be used: %s",
				 err == -E2BIG ? "too many record sets" : "no list of records");
			return DNS_REJECTED;
		}
	}
	return DNS_CHANGED;
}

/* What is there, kept in `last`. */
static enum dns_changed look(struct route53 *x, const char *name, uint16_t type,
			     struct dns_rrset *ret, char *why)
{
	struct route53_page p = {.name = name, .type = type};
	enum dns_changed got = read_pages(x, &p, why);

	if (got == DNS_CHANGED && route53_to_rrset(&p.sets, name, type, ret, why))
		got = DNS_REJECTED;
	route53_sets_free(&x->last);
	x->last_set = (struct dns_rrset){0};
	if (got == DNS_CHANGED) {
		x->last = p.sets;
		x->last_set = *ret;
	} else {
		route53_sets_free(&p.sets);
	}
	return got;
}

static enum dns_changed route53_read(void *arg, const char *name, uint16_t type,
				     struct dns_rrset *ret, char *why)
{
	return look(arg, name, type, ret, why);
}

/* ---- changing ---- */

/* As dns_rrset_same, for a caller that does not know the SetIdentifiers. */
static bool same_but_ids(const struct dns_rrset *seen, const struct dns_rrset *wanted)
{
	struct dns_rrset *a = malloc(sizeof(*a));
	bool same;

	if (!a || seen->n != wanted->n) {
		free(a);
		return false;
	}
	*a = *seen;
	for (unsigned int i = 0; i < a->n; i++)
		if (!wanted->member[i].set_id[0])
			a->member[i].set_id[0] = '\0';
	dns_rrset_sort(a);
	same = dns_rrset_same(a, wanted);
	free(a);
	return same;
}

/* A member that stays keeps the health check that the caller may not know of. */
static void keep_checks(const struct dns_rrset *seen, struct dns_rrset *fresh)
{
	for (unsigned int i = 0; i < fresh->n; i++) {
		struct dns_member *m = &fresh->member[i];

		for (unsigned int k = 0; k < seen->n && !m->health_check[0]; k++)
			if (!strcmp(seen->member[k].data, m->data) &&
			    seen->member[k].weighted == m->weighted)
				memcpy(m->health_check, seen->member[k].health_check,
				       sizeof(m->health_check));
	}
}

/* The batch from what was read to `fresh`, whose members get their names; for free(). */
static char *batch_of(const struct route53_sets *was, const struct dns_rrset *seen,
		      struct dns_rrset *fresh, char *why)
{
	struct route53_sets becomes = {0};
	char *ret = NULL;

	keep_checks(seen, fresh);
	route53_name_members(fresh);
	if (!route53_of_rrset(fresh, &becomes, why)) {
		ret = route53_batch(fresh->name, fresh->type, was, &becomes);
		if (!ret)
			snprintf(why, DNS_WHY, "no memory");
	}
	route53_sets_free(&becomes);
	return ret;
}

static void pause_ms(unsigned int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/* After a change that was accepted, refused or lost: what is there decides. */
static enum dns_changed settle(struct route53 *x, enum asked asked, const struct dns_rrset *was,
			       const struct dns_rrset *fresh, struct dns_rrset *seen, char *why)
{
	char said[DNS_WHY / 2], more_words[DNS_WHY / 3];
	enum dns_changed got = DNS_CHANGED;

	snprintf(said, sizeof(said), "%.*s", (int)sizeof(said) - 1,
		 asked == ASKED_DONE ? "Route 53 said that it was done" : why);
	/* One whose answer was lost may still be on its way. */
	for (unsigned int i = 0; i < (asked == ASKED_LOST ? LOOKS : 1); i++) {
		if (i)
			pause_ms(300u << i);
		got = look(x, fresh->name, fresh->type, seen, why);
		if (got != DNS_CHANGED)
			break;
		if (dns_rrset_same(seen, fresh)) {
			why[0] = '\0';
			return DNS_CHANGED;
		}
		if (!dns_rrset_same(seen, was))
			break;
	}
	if (got != DNS_CHANGED) {
		snprintf(more_words, sizeof(more_words), "%.*s", (int)sizeof(more_words) - 1, why);
		snprintf(why, DNS_WHY, "%s; then the records could not be read: %s", said,
			 more_words);
		/* A batch that was refused has changed nothing, whatever may be read. */
		return asked == ASKED_REFUSED ? DNS_REJECTED : DNS_UNCERTAIN;
	}
	dns_rrset_text(seen, more_words, sizeof(more_words));
	snprintf(why, DNS_WHY, "%s; there is %s", said, more_words);
	if (dns_rrset_same(seen, was))
		return asked == ASKED_REFUSED ? DNS_REJECTED
		       : asked == ASKED_LOST  ? DNS_UNREACHED
					      : DNS_UNCERTAIN;
	return asked == ASKED_DONE ? DNS_HALF : DNS_STALE;
}

static enum dns_changed change(struct route53 *x, const struct dns_rrset *was,
			       const struct dns_rrset *fresh, const char *body, char *id,
			       struct dns_rrset *seen, char *why)
{
	char url[sizeof(x->zone) + 16];
	struct cloud_call call = {
		.method = "POST", .url = url, .headers = x->headers, .body = body};
	struct route53_info info = {0};
	struct route53_error e;
	struct http_reply reply;
	enum asked asked;

	snprintf(url, sizeof(url), "%s/rrset/", x->zone);
	asked = ask(x, &call, &reply, &e, why);
	if (asked == ASKED_DONE && !route53_read_info(reply.body, reply.size, &info))
		snprintf(id, 128, "%s", info.id);
	http_reply_free(&reply);
	if (asked == ASKED_NOT_NOW || asked == ASKED_DENIED)
		return outcome_of(asked);
	if (asked == ASKED_REFUSED && strcmp(e.code, "InvalidChangeBatch") != 0)
		return DNS_REJECTED;
	return settle(x, asked, was, fresh, seen, why);
}

static enum dns_changed route53_apply(void *arg, const struct dns_rrset *old,
				      const struct dns_rrset *fresh, char *id,
				      struct dns_rrset *seen, char *why)
{
	struct route53 *x = arg;
	struct dns_rrset *was = malloc(sizeof(*was)), *wanted = malloc(sizeof(*wanted));
	enum dns_changed got = DNS_UNREACHED;
	char *body = NULL, text[DNS_WHY / 2];

	id[0] = '\0';
	if (!was || !wanted) {
		snprintf(why, DNS_WHY, "no memory");
		goto out;
	}
	*wanted = *fresh;
	got = look(x, old->name, old->type, was, why);
	if (got != DNS_CHANGED)
		goto out;
	*seen = *was;
	if (!same_but_ids(was, old)) {
		snprintf(why, DNS_WHY, "there is %s", dns_rrset_text(was, text, sizeof(text)));
		got = DNS_STALE;
		goto out;
	}
	if (same_but_ids(was, fresh)) /* nothing to do, and Route 53 takes no empty batch */
		goto out;
	body = batch_of(&x->last, was, wanted, why);
	got = body ? change(x, was, wanted, body, id, seen, why) : DNS_REJECTED;
out:
	free(body);
	free(was);
	free(wanted);
	return got;
}

static void route53_show(void *arg, const struct dns_rrset *old, const struct dns_rrset *fresh,
			 FILE *to)
{
	struct route53 *x = arg;
	struct dns_rrset *wanted = malloc(sizeof(*wanted));
	const char *host = strstr(x->zone, "://") + 3, *path = strchr(host, '/');
	struct route53_sets was = {0};
	char why[DNS_WHY] = "", *body = NULL;
	bool known = same_but_ids(&x->last_set, old);

	if (wanted) {
		*wanted = *fresh;
		if (known)
			body = batch_of(&x->last, &x->last_set, wanted, why);
		else if (!route53_of_rrset(old, &was, why))
			body = batch_of(&was, old, wanted, why);
	}
	if (body)
		fprintf(to,
			"POST %s/rrset/ HTTP/1.1\nHost: %.*s\n"
			"Authorization: AWS4-HMAC-SHA256 ***\n%s%s\nContent-Length: %zu\n\n%s\n",
			path, (int)(path - host), host,
			x->credentials.token ? "X-Amz-Security-Token: ***\n" : "", x->headers[0],
			strlen(body), body);
	else
		fprintf(to, "nothing can be sent: %s\n", why[0] ? why : "no memory");
	free(body);
	free(wanted);
	route53_sets_free(&was);
}

static int route53_done(void *arg, const char *id, char *why)
{
	struct route53 *x = arg;
	static const char *const no_headers[] = {NULL};
	char url[sizeof(x->api) + 128 + 16];
	struct cloud_call call = {
		.method = "GET",
		.url = url,
		.headers = x->credentials.token ? x->headers + 1 : no_headers,
		.reads = true,
	};
	struct route53_info info = {0};
	struct route53_error e;
	struct http_reply reply;
	enum asked asked;
	int err = 0;

	snprintf(url, sizeof(url), "%s/change/%.100s", x->api, id);
	asked = ask(x, &call, &reply, &e, why);
	if (asked == ASKED_DONE)
		err = route53_read_info(reply.body, reply.size, &info);
	http_reply_free(&reply);
	if (asked == ASKED_DENIED)
		return -EACCES;
	if (asked == ASKED_REFUSED)
		return strcmp(e.code, "NoSuchChange") ? -EPROTO : -ENOENT;
	if (asked != ASKED_DONE)
		return -EHOSTUNREACH;
	if (err) {
		snprintf(why, DNS_WHY, "Route 53: an answer about the change that is none");
		return err;
	}
	return info.insync ? 0 : -EAGAIN;
}

/* ---- opening ---- */

/* "Z123", or "/hostedzone/Z123", as consoles show it. */
static const char *zone_id(const char *text, char *why)
{
	const char *id = strrchr(text, '/');

	id = id ? id + 1 : text;
	if (!*id || strlen(id) > MAX_ID ||
	    id[strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")]) {
		snprintf(why, DNS_WHY, "zone_id: '%.60s' is no hosted zone's id", text);
		return NULL;
	}
	return id;
}

static void route53_close(void *arg)
{
	struct route53 *x = arg;

	if (!x)
		return;
	route53_credentials_forget(&x->credentials);
	route53_sets_free(&x->last);
	free(x);
}

static int route53_open(const struct conf_provider *c, const char *name, void **ret, char *why)
{
	const char *id = zone_id(c->zone_id, why);
	struct route53 *x;
	char *text = NULL, reason[DNS_WHY];
	int err;

	(void)name;
	if (!id)
		return -EINVAL;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	err = cloud_secret(c->key_file, &text, why);
	if (!err) {
		err = route53_credentials_parse(text, &x->credentials, reason);
		if (err)
			snprintf(why, DNS_WHY, "%.200s: %.200s", c->key_file, reason);
	}
	cloud_forget(text);
	if (err) {
		route53_close(x);
		return err;
	}
	x->cloud = (struct cloud){.title = "Route 53",
				  .conf = c,
				  .sigv4 = "aws:amz:us-east-1:route53",
				  .user = x->credentials.user};
	snprintf(x->api, sizeof(x->api), "%s/2013-04-01", cloud_endpoint(c, OWN));
	snprintf(x->zone, sizeof(x->zone), "%s/hostedzone/%s", x->api, id);
	x->headers[0] = "Content-Type: application/xml";
	x->headers[1] = x->credentials.token;
	*ret = x;
	return 0;
}

const struct dns_provider_class dns_route53 = {
	.name = "route53",
	.title = "Route 53",
	.atomic = true,
	.weights = true,
	.open = route53_open,
	.close = route53_close,
	.read = route53_read,
	.show = route53_show,
	.apply = route53_apply,
	.done = route53_done,
};
