/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cloud.c - calls to a provider's HTTP API: sent once, repeated only when that is surely safe
 *
 * Owns nothing between two calls. What it promises: a call that may have been carried out is never
 * sent again unless it only reads; words for people hold no secret that was sent; and every call
 * ends, after `patience_ns` and one more request at most.
 *
 * What is surely not done, and therefore repeated: no connection came about; the provider says that
 * it will not for now (429, 503 with Retry-After, what `throttled` knows of its 400s). What is not
 * known: the request was written and no answer came, or another 5xx. Between two tries it waits as
 * long as the provider asks, or a time that doubles, with some randomness so that several hosts do
 * not come back together.
 *
 * Weaknesses: it blocks, as its callers do. A provider that says 429 and has changed something
 * anyway is believed; the callers compare what is there with what they expect, so that this ends as
 * "stale" and not as damage.
 */
#include "dns/cloud.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/file.h"
#include "userspace/base/loop.h"
#include "userspace/conf/config.h"

#define MS	    1000000ull
#define SECOND	    1000000000ull
#define PATIENCE    (60 * SECOND)
#define FIRST_PAUSE (250 * MS)
#define LAST_PAUSE  (8 * SECOND)
#define CONNECTIONS 4 /* tries to get one, and to read what was lost */
#define MAX_SECRET  (64u << 10)
#define MAX_ANSWER  (8u << 20)

/* ---- words ---- */

static void without_control(char *text)
{
	for (unsigned char *s = (unsigned char *)text; *s; s++)
		if (*s < ' ' || *s == 0x7f)
			*s = ' ';
}

const char *cloud_shown(const struct http_reply *r, char ret[256])
{
	snprintf(ret, 256, "%.200s", r->body ? r->body : "");
	without_control(ret);
	return ret;
}

/* Every place of `secret` in the text becomes asterisks. */
static void mask(char *text, const char *secret)
{
	size_t n = strlen(secret);

	if (n < 8)
		return;
	for (char *s = text; (s = strstr(s, secret)); s += n)
		memset(s, '*', n);
}

/* AWS repeats in its answer to a wrong signature all that was signed, the session's token too; a
 * proxy may repeat any header. Such answers are for words only. */
static void mask_secrets(const struct cloud *c, const struct cloud_call *call, char *body)
{
	const char *secret;

	for (const char *const *h = call->headers; h && *h; h++) {
		secret = strchr(*h, ':');
		if (!secret)
			continue;
		secret += strspn(secret, ": ");
		mask(body, secret);
		secret = strchr(secret, ' '); /* "Bearer TOKEN" */
		if (secret)
			mask(body, secret + 1);
	}
	secret = c->user ? strchr(c->user, ':') : NULL;
	if (secret)
		mask(body, secret + 1);
}

static void say(const struct cloud *c, const struct http_reply *r, const char *what, char *why)
{
	char text[256];

	if (r->err) {
		snprintf(why, DNS_WHY, "%s: %s: %s", c->title, what, r->why);
		return;
	}
	cloud_shown(r, text);
	snprintf(why, DNS_WHY, "%s: %s: HTTP %ld%s%s", c->title, what, r->status,
		 text[0] ? ": " : "", text);
}

/* ---- what an answer means for sending again ---- */

enum meaning { ANSWERED, DENIED, NOT_NOW, NO_CONNECTION, NEVER, LOST };

static enum meaning meaning(const struct http_reply *r,
			    bool (*throttled)(const struct http_reply *))
{
	if (r->err) {
		if (r->sent)
			return LOST;
		if (r->tls_failed || r->err == -EACCES || r->err == -EINVAL || r->err == -ENOMEM)
			return NEVER;
		return NO_CONNECTION;
	}
	if (r->status == 401 || r->status == 403)
		return DENIED;
	if (r->status == 429 || (r->status == 503 && !isnan(r->retry_after_s)) ||
	    (r->status == 400 && throttled && throttled(r)))
		return NOT_NOW;
	return r->status >= 500 || r->status < 200 ? LOST : ANSWERED;
}

/* Between half of the time and all of it. */
static uint64_t spread(uint64_t ns)
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = loop_now();
	return ns / 2 + random % (ns / 2 + 1);
}

static uint64_t pause_of(const struct http_reply *r, unsigned int tries)
{
	uint64_t ns = tries < 6 ? FIRST_PAUSE << tries : LAST_PAUSE;

	if (!r->err && !isnan(r->retry_after_s))
		return r->retry_after_s > 1e6
			       ? UINT64_MAX / 4
			       : (uint64_t)(r->retry_after_s * 1e9) + spread(50 * MS);
	return spread(ns < LAST_PAUSE ? ns : LAST_PAUSE);
}

static void wait_for(uint64_t ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)};

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static void send_once(const struct cloud *c, const struct cloud_call *call, struct http_reply *ret)
{
	const struct conf_provider *p = c->conf;
	struct http_request q = {
		.method = call->method,
		.url = call->url,
		.headers = call->headers,
		.body = call->body,
		.body_size = call->body ? strlen(call->body) : 0,
		.timeout_ns = p->timeout_ms * MS,
		.max_size = MAX_ANSWER,
		.ca_file = p->ca_file[0] ? p->ca_file : NULL,
		.sigv4 = c->sigv4,
		.user = c->user,
		.once = true,
	};

	http_do(&q, ret);
}

static bool worth_another(enum meaning m, const struct cloud_call *call, unsigned int tries)
{
	switch (m) {
	case NOT_NOW:
		return true;
	case NO_CONNECTION:
		return tries < CONNECTIONS;
	case LOST:
		return call->reads && tries < CONNECTIONS;
	default:
		return false;
	}
}

static enum cloud_outcome give_up(const struct cloud *c, const struct cloud_call *call,
				  enum meaning m, const struct http_reply *r, char *why)
{
	switch (m) {
	case DENIED:
		say(c, r, "denied", why);
		return CLOUD_DENIED;
	case NOT_NOW:
		say(c, r, "asks us to wait, and there was no more time", why);
		return CLOUD_UNREACHED;
	case LOST:
		say(c, r, "no answer that tells", why);
		return call->reads ? CLOUD_UNREACHED : CLOUD_LOST;
	default:
		say(c, r, "cannot be reached", why);
		return CLOUD_UNREACHED;
	}
}

enum cloud_outcome cloud_do(const struct cloud *c, const struct cloud_call *call,
			    bool (*throttled)(const struct http_reply *r), struct http_reply *ret,
			    char *why)
{
	uint64_t until = loop_now() + (c->patience_ns ? c->patience_ns : PATIENCE);
	enum meaning m;

	for (unsigned int tries = 0;; tries++) {
		uint64_t ns;

		send_once(c, call, ret);
		if (!ret->err && ret->body && (ret->status < 200 || ret->status > 299))
			mask_secrets(c, call, ret->body);
		m = meaning(ret, throttled);
		if (m == ANSWERED)
			return CLOUD_ANSWERED;
		ns = pause_of(ret, tries);
		if (!worth_another(m, call, tries + 1) || loop_now() + ns > until)
			return give_up(c, call, m, ret, why);
		http_reply_free(ret);
		wait_for(ns);
	}
}

/* ---- secrets ---- */

static int read_all(int fd, char *text, size_t size, size_t *ret_n)
{
	size_t n = 0;

	for (;;) {
		ssize_t k = read(fd, text + n, size - n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		n += (size_t)k;
		if (n == size)
			return -EFBIG;
		if (!k)
			break;
	}
	*ret_n = n;
	return 0;
}

int cloud_secret(const char *path, char **ret, char *why)
{
	char reason[256] = "", *text = malloc(MAX_SECRET), *exact = NULL;
	int fd = text ? file_open_secret(path, reason, sizeof(reason)) : -ENOMEM;
	int err = fd < 0 ? fd : 0;
	size_t n = 0;

	if (!err)
		err = read_all(fd, text, MAX_SECRET, &n);
	while (!err && n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	if (!err && (!n || memchr(text, 0, n))) {
		err = -EINVAL;
		snprintf(reason, sizeof(reason), "%s", n ? "holds a zero byte" : "is empty");
	}
	if (!err) {
		exact = malloc(n + 1);
		err = exact ? 0 : -ENOMEM;
	}
	if (!err) {
		memcpy(exact, text, n);
		exact[n] = '\0';
		*ret = exact;
	} else {
		snprintf(why, DNS_WHY, "%.200s: %s", path, reason[0] ? reason : strerror(-err));
	}
	if (fd >= 0)
		close(fd);
	if (text)
		explicit_bzero(text, MAX_SECRET);
	free(text);
	return err;
}

void cloud_forget(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

/* ---- addresses ---- */

int cloud_escape(const char *text, char *ret, size_t size)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
	size_t n = 0;

	for (; *text; text++) {
		bool as_is = strchr(plain, *text);

		if (n + (as_is ? 1 : 3) >= size)
			return -ENOSPC;
		if (as_is)
			ret[n++] = *text;
		else
			n += (size_t)sprintf(ret + n, "%%%02X", (unsigned char)*text);
	}
	if (n >= size)
		return -ENOSPC;
	ret[n] = '\0';
	return 0;
}

const char *cloud_endpoint(const struct conf_provider *c, const char *own)
{
	return c->endpoint[0] ? c->endpoint : own;
}
