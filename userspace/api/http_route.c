/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * http_route.c - who gets what: paths, methods, and who may change anything
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "userspace/api/events.h"
#include "userspace/api/http_inner.h"
#include "userspace/api/page.h"
#include "userspace/base/metrics.h"
#include "userspace/base/text.h"

#define JSON "application/json"
#define TEXT "text/plain; charset=utf-8"

/* For every answer: nothing of it is kept, framed, guessed at or read by another page. */
#define ALWAYS                                                                                     \
	"Cache-Control: no-store\r\n"                                                              \
	"X-Content-Type-Options: nosniff\r\n"                                                      \
	"X-Frame-Options: DENY\r\n"                                                                \
	"Referrer-Policy: no-referrer\r\n"                                                         \
	"Cross-Origin-Resource-Policy: same-origin\r\n"                                            \
	"Cross-Origin-Opener-Policy: same-origin\r\n"

#define POLICY                                                                                     \
	"Content-Security-Policy: default-src 'none'; script-src 'nonce-%s'; style-src "           \
	"'nonce-%s'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "     \
	"frame-ancestors 'none'; require-trusted-types-for 'script'\r\n"

static const char *reason_of(int status)
{
	static const struct {
		int status;
		const char *text;
	} reasons[] = {
		{200, "OK"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{411, "Length Required"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{415, "Unsupported Media Type"},
		{417, "Expectation Failed"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Error";
}

/* `more`: fields with their line ends, or "". */
static void answer(struct api_http_client *c, int status, const char *type, const char *more,
		   const char *body, size_t n)
{
	char head[2048];
	int size;

	size = snprintf(head, sizeof(head),
			"HTTP/1.1 %d %s\r\n" ALWAYS "Content-Type: %s\r\nContent-Length: %zu\r\n"
			"Connection: %s\r\n%s\r\n",
			status, reason_of(status), type, n, c->last ? "close" : "keep-alive", more);
	if (size < 0 || (size_t)size >= sizeof(head) || n > API_HTTP_ANSWER) {
		c->dead = true;
		return;
	}
	api_http_put(c, head, (size_t)size);
	if (!c->head)
		api_http_put(c, body, n);
}

static void answer_error(struct api_http_client *c, int status, const char *more, const char *why)
{
	size_t size = 0;
	char *text = api_error_text(status == 401 || status == 403 ? 3 : 1, why, &size);

	if (text)
		answer(c, status, JSON, more, text, size);
	else
		c->dead = true;
	free(text);
}

void api_http_complain(struct api_http_client *c, int status, const char *why)
{
	c->last = true;
	c->head = false;
	answer_error(c, status, "", why);
}

void api_http_reply(struct api_http_client *c, int status, char *text, size_t n)
{
	if (text)
		answer(c, status, JSON, "", text, n);
	else
		api_http_complain(c, 500, "out of memory");
	free(text);
}

/* ---- what can be read ---- */

static void give_page(struct api_http_client *c)
{
	unsigned char random[16];
	char nonce[33], more[1024], *text;
	size_t n = 0;

	if (getrandom(random, sizeof(random), GRND_NONBLOCK) != sizeof(random)) {
		api_http_complain(c, 503, "no random numbers yet");
		return;
	}
	for (int i = 0; i < 16; i++)
		snprintf(nonce + 2 * i, 3, "%02x", random[i]);
	text = api_page_text(nonce, &n);
	snprintf(more, sizeof(more), POLICY, nonce, nonce);
	if (text)
		answer(c, 200, "text/html; charset=utf-8", more, text, n);
	else
		api_http_complain(c, 500, "out of memory");
	free(text);
}

static void give_metrics(struct api_http_client *c)
{
	const struct api_http_source *s = &c->h->source;
	json_t *page = s->document(s->arg, "metrics");
	struct metrics m;
	char *text = NULL;
	size_t n = 0;

	metrics_begin(&m);
	api_page_metrics(page, &m);
	json_decref(page);
	if (s->metrics)
		s->metrics(s->arg, &m);
	if (metrics_text(&m, &text, &n))
		api_http_complain(c, 500, "the metrics cannot be told");
	else
		answer(c, 200, "text/plain; version=0.0.4; charset=utf-8", "", text, n);
	free(text);
}

static json_t *document_of(const struct api_http *h, const char *name)
{
	if (!strcmp(name, "page"))
		return api_http_page(h);
	/* for /metrics alone */
	return strcmp(name, "metrics") != 0 ? h->source.document(h->source.arg, name) : NULL;
}

static void give_document(struct api_http_client *c, const char *name)
{
	json_t *j = document_of(c->h, name);
	char *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(13)) : NULL;

	if (text)
		answer(c, 200, JSON, "", text, strlen(text));
	else
		answer_error(c, 404, "", "there is no such document");
	json_decref(j);
	free(text);
}

static void begin_stream(struct api_http_client *c, const struct api_http_request *r)
{
	static const char head[] = "HTTP/1.1 200 OK\r\n" ALWAYS
				   "Content-Type: text/event-stream\r\nConnection: close\r\n\r\n";
	const struct api_http *h = c->h;
	unsigned int streams = 0;
	char *text;
	size_t n = 0;

	for (unsigned int i = 0; i < API_HTTP_CLIENTS; i++)
		streams += h->client[i] && h->client[i]->stream;
	if (streams >= API_HTTP_STREAMS) {
		answer_error(c, 503, "Retry-After: 5\r\n", "too many dashboards are open");
		return;
	}
	c->last = true;
	api_http_put(c, head, sizeof(head) - 1);
	if (c->head)
		return;
	c->stream = true;
	text = api_events_history(h->events, r->last_event_id.at, r->last_event_id.n, &n);
	if (text)
		api_http_put(c, text, n);
	free(text);
	/* at once, not at the next beat: a page that opens is not empty for a second */
	text = api_events_page(h->events, api_http_page(h), &n);
	if (text)
		api_http_put(c, text, n);
	free(text);
}

/* ---- what can be changed ---- */

static bool has_token(const struct api_http_client *c, const struct api_http_request *r)
{
	static const char scheme[] = "Bearer ";
	size_t n = sizeof(scheme) - 1;

	return r->authorization.n > n && !strncasecmp(r->authorization.at, scheme, n) &&
	       api_token_is(c->h->token, r->authorization.at + n, r->authorization.n - n);
}

/* Without the parameters. */
static bool is_json(struct api_slice type)
{
	const char *end = type.n ? memchr(type.at, ';', type.n) : NULL;

	if (end)
		type.n = (size_t)(end - type.at);
	while (type.n && type.at[type.n - 1] == ' ')
		type.n--;
	return api_slice_is_nocase(type, JSON);
}

/* May this request change something? False: it was answered. */
static bool may_write(struct api_http_client *c, const struct api_http_request *r)
{
	/* A browser that another page made ask says so itself. */
	if (!api_http_origin_ok(r->origin, r->host) ||
	    (r->fetch_site.n && !api_slice_is(r->fetch_site, "same-origin") &&
	     !api_slice_is(r->fetch_site, "none"))) {
		api_http_complain(c, 403, "this comes from another page");
		return false;
	}
	if (!c->h->token[0]) {
		api_http_complain(c, 403, "only reading: metrics.token_file is not set");
		return false;
	}
	if (!has_token(c, r)) {
		c->last = true;
		answer_error(c, 401, "WWW-Authenticate: Bearer\r\n",
			     "the token is missing or wrong");
		return false;
	}
	if (!r->has_length) {
		api_http_complain(c, 411, "the body's Content-Length is missing");
		return false;
	}
	/* which no form of another page can send without being asked first (CORS) */
	if (r->length && !is_json(r->content_type)) {
		answer_error(c, 415, "", "the body must be application/json");
		return false;
	}
	return true;
}

static void begin_command(struct api_http_client *c, const struct api_http_request *r,
			  const struct api_verb *verb, const char *body)
{
	struct api_call *call;
	char why[128];

	if (!may_write(c, r))
		return;
	if (api_call_make(verb, body, r->length, &call, why, sizeof(why))) {
		answer_error(c, 400, "", why);
		return;
	}
	snprintf(call->who, sizeof(call->who), "dashboard");
	call->from = c;
	call->give = api_http_answered;
	c->call = call;
	verb->run(c->h->verbs.arg, call);
}

/* ---- the way ---- */

/* "/api/ramp/pause" as "ramp pause". False: it can be none. */
static bool api_name(struct api_slice path, char ret[64])
{
	size_t skip = strlen("/api/"), n = path.n > skip ? path.n - skip : 0;

	if (!n || n >= 64 || memcmp(path.at, "/api/", skip) != 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = path.at[skip + i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '/')
			return false;
		ret[i] = c;
		if (c == '/')
			ret[i] = ' ';
	}
	ret[n] = '\0';
	return true;
}

static bool host_ok(const struct api_http_client *c, struct api_slice host)
{
	uint32_t ip[4];
	char local[64];

	return api_http_local(c, ip) &&
	       api_http_host_ok(host, text_address(ip, 0, local), (const char *const *)c->h->host,
				c->h->n_hosts);
}

static void give(struct api_http_client *c, const struct api_http_request *r, const char *name)
{
	if (api_slice_is(r->path, "/"))
		give_page(c);
	else if (api_slice_is(r->path, "/metrics"))
		give_metrics(c);
	else if (api_slice_is(r->path, "/api/events"))
		begin_stream(c, r);
	else if (!name)
		answer_error(c, 404, "", "there is nothing here");
	else if (api_verb_find(&c->h->verbs, name) && strchr(name, ' '))
		answer_error(c, 405, "Allow: POST\r\n", "a command is sent with POST");
	else
		give_document(c, name);
}

void api_http_route(struct api_http_client *c, const struct api_http_request *r, const char *body)
{
	char text[64], *name = api_name(r->path, text) ? text : NULL;
	const struct api_verb *verb = name ? api_verb_find(&c->h->verbs, name) : NULL;

	c->last = r->close;
	c->head = r->method == API_HEAD;
	if (!host_ok(c, r->host))
		api_http_complain(c, 403, "Host is none of this page's names");
	else if (r->method == API_GET || r->method == API_HEAD)
		give(c, r, name);
	else if (r->method == API_POST && verb)
		begin_command(c, r, verb, body);
	else if (r->method == API_POST && name && strcmp(name, "events") != 0)
		answer_error(c, 404, "", "there is no such command");
	else
		answer_error(c, 405, verb ? "Allow: POST\r\n" : "Allow: GET, HEAD\r\n",
			     "not with this method");
}
