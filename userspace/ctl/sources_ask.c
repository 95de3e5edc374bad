/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sources_ask.c - a look at a source outside of this process: a URL or a program
 *
 * URLs: no redirects, TLS verified, and no address that leads to this host or to what a cloud tells
 * its machines; with `arm: old` this host itself, because that is where the old service runs. With
 * `via` the connection goes to that backend, and the URL's name is what TLS and HTTP speak of. Of a
 * backend with several addresses one that answers is asked as long as it does; where one cannot be
 * reached the next is asked at once, and where one is silent, at the next look.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "userspace/ctl/sources_inner.h"

#define MS	    1000000ull
#define URL_SIZE    (CONF_TEXT + 3 * CONF_TEXT + 64)
#define TERM_NS	    (300 * MS) /* it has nothing to put in order */
#define ANSWERED    200
#define IS_MOVED(s) ((s) >= 300 && (s) < 400)

/* No look is given longer than its interval, however many addresses it tries. */
static uint64_t time_for(const struct source *x)
{
	uint64_t ms = x->conf->timeout_ms, gone = x->tried ? loop_now() - x->asked : 0;

	if (!ms || ms > x->conf->interval_ms)
		ms = x->conf->interval_ms;
	return gone + MS < ms * MS ? ms * MS - gone : MS;
}

/* ---- over HTTP ---- */

static void say_failure(const struct source *x, const struct http_reply *r, char why[SOURCE_WHY])
{
	char text[SOURCE_WHY];

	if (r->err == -EACCES)
		snprintf(text, sizeof(text), "%.120s%s", r->why,
			 x->conf->arm == CONF_ARM_OLD ? ""
						      : " (a source on this host needs arm: old)");
	else if (r->tls_failed)
		snprintf(text, sizeof(text), "TLS: %.150s", r->why);
	else
		snprintf(text, sizeof(text), "%.150s", r->why);
	source_clean(text, strlen(text), why, SOURCE_WHY);
}

static int read_reply(const struct source *x, const struct http_reply *r, double *ret,
		      char why[SOURCE_WHY])
{
	bool prometheus = x->conf->kind == CONF_GATE_PROMETHEUS;

	if (r->err) {
		say_failure(x, r, why);
		return r->err;
	}
	if (IS_MOVED(r->status)) {
		snprintf(why, SOURCE_WHY, "HTTP %ld: redirects are not followed", r->status);
		return -EBADMSG;
	}
	if (r->status != ANSWERED) {
		if (!prometheus || source_read_complaint(r->body, r->size, why))
			snprintf(why, SOURCE_WHY, "HTTP %ld", r->status);
		return -EBADMSG;
	}
	if (prometheus)
		return source_read_prometheus(r->body, r->size, ret, why);
	return source_read_member(r->body, r->size, x->conf->field, ret, why);
}

static void on_reply(void *arg, const struct http_reply *r)
{
	struct source *x = arg;
	char why[SOURCE_WHY];
	double value;

	x->call = NULL;
	if (r->err)
		x->turn++;
	if (r->err && !r->sent && ++x->tried < x->places)
		source_ask_http(x);
	else if (read_reply(x, r, &value, why))
		source_nothing(x, why);
	else
		source_number(x, value);
}

/* Where a backend is, as the configuration has it. */
static int configured(const struct config *c, const char *name, char *ret, size_t size)
{
	for (unsigned int i = 0; i < c->n_backends; i++) {
		const struct conf_backend *b = &c->backends[i];
		char text[64];
		int n;

		if (strcmp(b->name, name) != 0)
			continue;
		if (b->address.family)
			conf_address_text(&b->address, text);
		n = snprintf(ret, size, b->address.family == 6 ? "[%s]:%u" : "%s:%u",
			     b->address.family ? text : b->host, b->port);
		return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
	}
	return -ENOENT;
}

static int find_backend(struct source *x, char *ret, size_t size, char why[SOURCE_WHY])
{
	const struct sources *s = x->s;
	int n = -ENODATA;

	if (s->world.via)
		n = s->world.via(s->world.arg, x->conf->via, x->turn, ret, size);
	x->places = n > 0 ? (unsigned int)n : 1;
	if (n == -ENODATA)
		n = configured(s->config, x->conf->via, ret, size);
	if (n < 0)
		snprintf(why, SOURCE_WHY, "backend %s has no address: %s", x->conf->via,
			 n == -ENOENT ? "there is none of that name" : strerror(-n));
	return n < 0 ? n : 0;
}

void source_ask_http(struct source *x)
{
	const struct conf_gate *g = x->conf;
	char url[URL_SIZE], address[CONF_HOST + 16], why[SOURCE_WHY];
	struct http_request q = {.url = g->url.text,
				 .timeout_ns = time_for(x),
				 .max_size = SOURCE_MAX_JSON,
				 .ca_file = g->ca_file[0] ? g->ca_file : NULL,
				 .public_only = true,
				 .own_host = g->arm == CONF_ARM_OLD};
	int err = 0;

	x->places = 1;
	if (g->kind == CONF_GATE_PROMETHEUS) {
		err = source_query_url(g->url.text, g->query, url, sizeof(url));
		q.url = url;
		if (err)
			snprintf(why, sizeof(why), "the query is too long");
	}
	if (!err && g->via[0]) {
		err = find_backend(x, address, sizeof(address), why);
		q.connect_to = address;
	}
	if (!err) {
		err = http_begin(x->s->http, &q, on_reply, x, &x->call);
		if (err)
			snprintf(why, sizeof(why), "the URL cannot be asked: %s", strerror(-err));
	}
	if (err)
		source_nothing(x, why);
}

/* ---- a program ---- */

static int read_result(const struct run_result *r, double *ret, char why[SOURCE_WHY])
{
	char said[96];

	if (r->err || r->timed_out || r->signal || r->status) {
		source_clean(r->errors.data, r->errors.size, said, sizeof(said));
		snprintf(why, SOURCE_WHY, "%.80s%s%.90s", r->why, said[0] ? ": " : "", said);
		return -EBADMSG;
	}
	if (r->out.dropped) {
		snprintf(why, SOURCE_WHY, "it printed more than %d bytes, not one number",
			 SOURCE_MAX_OUTPUT);
		return -EBADMSG;
	}
	return source_read_output(r->out.data, r->out.size, ret, why);
}

static void on_ended(void *arg, const struct run_result *r)
{
	struct source *x = arg;
	char why[SOURCE_WHY];
	double value;

	x->run = NULL;
	if (read_result(r, &value, why))
		source_nothing(x, why);
	else
		source_number(x, value);
}

void source_ask_program(struct source *x)
{
	const char *argv[CONF_MAX_ARGS + 1];
	struct run_request q = {.argv = argv,
				.user = &x->user,
				.timeout_ns = time_for(x),
				.term_ns = TERM_NS,
				.max_output = SOURCE_MAX_OUTPUT};
	char why[SOURCE_WHY];
	int err;

	if (x->user_err) {
		snprintf(why, sizeof(why), "user %s: %s",
			 x->conf->user[0] ? x->conf->user : "nobody",
			 x->user_err == -ENOENT ? "there is none of that name"
						: strerror(-x->user_err));
		source_nothing(x, why);
		return;
	}
	for (unsigned int i = 0; i < x->conf->n_argv; i++)
		argv[i] = x->conf->argv[i].text;
	argv[x->conf->n_argv] = NULL;
	err = run_begin(x->s->runner, &q, on_ended, x, &x->run);
	if (err) {
		snprintf(why, sizeof(why), "%.100s cannot be run: %s", argv[0], strerror(-err));
		source_nothing(x, why);
	}
}
