/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * engine_https.c - one question over HTTPS (RFC 8484): POST, with the ID 0 that caches want
 *
 * The connection is TLS to the URL's name, so the ID is not what keeps forgers out here.
 */
#include <errno.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "dns/engine_inner.h"
#include "userspace/base/text.h"
#include "userspace/net/http.h"

#define MEDIA_TYPE "application/dns-message"

static void refuse(struct dns_asked *a, const struct http_reply *r)
{
	char why[96];

	if (r->tls_failed)
		dns_ask_failed(a, DNS_UNTRUSTED, r->err, r->why);
	else if (r->err == -EFBIG || r->err == -EPROTO)
		dns_ask_failed(a, DNS_MALFORMED, r->err, r->why);
	else if (r->err)
		dns_ask_failed(a, r->err == -ENOENT ? DNS_FAILED : dns_outcome_of(r->err), r->err,
			       r->why);
	else if (r->status != 200) {
		snprintf(why, sizeof(why), "HTTP status %ld", r->status);
		dns_ask_failed(a, DNS_UNTRUSTED, -EPROTO, why);
	} else {
		snprintf(why, sizeof(why), "HTTP answer of type %.48s",
			 r->type[0] ? r->type : "unknown");
		dns_ask_failed(a, DNS_UNTRUSTED, -EPROTO, why);
	}
}

static bool is_dns(const char *type)
{
	size_t n = strlen(MEDIA_TYPE);

	return !strncasecmp(type, MEDIA_TYPE, n) && (!type[n] || strchr("; ", type[n]));
}

static void on_reply(void *arg, const struct http_reply *r)
{
	struct dns_asked *a = arg;

	a->call = NULL; /* it ends with this */
	if (r->err || r->status != 200 || !is_dns(r->type))
		refuse(a, r);
	else if (!dns_ask_received(a, (const uint8_t *)r->body, r->size, DNS_HTTPS, loop_now()))
		dns_ask_failed(a, DNS_MALFORMED, -EBADMSG, "an answer to another question");
}

void dns_https_drop(struct dns_asked *a)
{
	if (a->call)
		http_cancel(a->call);
	a->call = NULL;
}

int dns_https_start(struct dns_asked *a)
{
	static const char *const headers[] = {"Content-Type: " MEDIA_TYPE, "Accept: " MEDIA_TYPE,
					      NULL};
	const struct dns_target *t = &a->target->target;
	struct dns_engine *e = a->engine;
	struct http_request q = {
		.method = "POST",
		.url = t->url,
		.headers = headers,
		.body = a->query,
		.body_size = a->query_size,
		.timeout_ns = 2 * e->set.timeout_ns,
		.max_size = DNS_MAX_MESSAGE,
		.ca_file = e->set.ca_file,
	};
	char to[64];
	int err = e->http ? 0 : http_make(e->loop, &e->http);

	if (err)
		return err;
	if (t->family) {
		text_address(t->ip, htons(t->port), to);
		q.connect_to = to;
	}
	return http_begin(e->http, &q, on_reply, a, &a->call);
}
