/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cloud.h - what the providers with an HTTP API share: the call, its retries, secrets, words
 *
 *   struct cloud_call call = {.method = "PATCH", .url = url, .headers = headers, .body = text};
 *   switch (cloud_do(&cloud, &call, &answer, why)) { … }
 *
 * A call that surely changed nothing (throttled, 503 with Retry-After, no connection) is repeated
 * with back-off until its time is up; one whose answer was lost is not: it may have been carried
 * out.
 */
#pragma once

#include "dns/change.h"
#include "userspace/net/http.h"

struct json_t;

struct cloud {
	const char *title; /* "Cloudflare", for words */
	const struct conf_provider *conf;
	const char *sigv4, *user; /* as in http.h; NULL */
	uint64_t patience_ns;	  /* how long it is repeated; 0: 60 s */
};

struct cloud_call {
	const char *method, *url;
	const char *const *headers; /* NULL-ended; they may hold secrets, so they are never shown */
	const char *body;	    /* NULL: none */
	bool reads; /* changes nothing: it may be sent again after a lost answer, too */
};

enum cloud_outcome {
	CLOUD_ANSWERED,	 /* any status but those below: the caller reads it */
	CLOUD_UNREACHED, /* surely nothing was done: no connection, throttled or refused for now
			    until the time was up */
	CLOUD_DENIED,	 /* 401, 403 */
	CLOUD_LOST,	 /* sent, and no answer, or a 5xx: it may have been done */
};

/* `ret` is for http_reply_free whatever the outcome; `why` (DNS_WHY) gets the words unless
 * answered. `throttled` may be NULL: says of an answer of status 400 whether it means "slow down"
 * (Route 53). */
enum cloud_outcome cloud_do(const struct cloud *c, const struct cloud_call *call,
			    bool (*throttled)(const struct http_reply *r), struct http_reply *ret,
			    char *why);

/* The text of a secret's file without the line's end, the caller's to give to cloud_forget. 0;
 * −errno with `why`. */
int cloud_secret(const char *path, char **ret, char *why);
void cloud_forget(char *secret); /* wipes and frees; NULL is fine */

/* RFC 3986: all but A-Za-z0-9-_.~ as %XX. 0; -ENOSPC. */
int cloud_escape(const char *text, char *ret, size_t size);
/* conf's endpoint, or the provider's own. */
const char *cloud_endpoint(const struct conf_provider *c, const char *own);
/* First 200 characters of an answer's body without control characters, for words. */
const char *cloud_shown(const struct http_reply *r, char ret[256]);
