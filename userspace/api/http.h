/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * http.h - the dashboard, /metrics and the same JSON as the commands', over HTTP
 *
 *   GET  /               the page
 *   GET  /metrics        for Prometheus
 *   GET  /api/NAME       a document of page.h
 *   GET  /api/events     the stream of events.h
 *   POST /api/ramp/pause a command ("ramp pause"), its arguments as a JSON object in the body; only
 *                        with the token (Authorization: Bearer …) and from the page itself
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "userspace/api/socket_call.h"

struct loop;
struct json_t;
struct metrics;
struct api_http;

#define API_TOKEN     256 /* with the final zero */
#define API_MIN_TOKEN 16

struct api_http_source {
	void *arg;
	/* A new document of that name, or NULL: there is none. Asked for "page" once a second while
	 * somebody looks, and for "metrics" for each scrape. */
	struct json_t *(*document)(void *arg, const char *name);
	struct json_t *(*point)(void *arg); /* once a second; may be NULL, and return it */
	/* Besides those of api_page_metrics; may be NULL. */
	void (*metrics)(void *arg, struct metrics *m);
};

struct api_http_config {
	uint32_t address[4];	  /* v4-mapped, network order */
	uint16_t port;		  /* host order; 0: any, see api_http_port */
	const char *token;	  /* copied; NULL or "": nothing can be changed */
	const char *const *hosts; /* names this page may have besides localhost and its address;
				     copied */
	unsigned int n_hosts;
	struct api_http_source source;
	struct api_verbs verbs;
};

/* −EINVAL: a token shorter than API_MIN_TOKEN or too long; −errno. */
int api_http_open(struct loop *l, const struct api_http_config *c, struct api_http **ret);
/* Another token and other names from the next request on; the rest of `c` is not looked at. As
 * api_http_open, and then what was there stays. */
int api_http_use(struct api_http *h, const struct api_http_config *c);
uint16_t api_http_port(const struct api_http *h);
/* Calls that are not answered yet may be, later. NULL is fine. */
void api_http_close(struct api_http *h);

/* The token of a file that root may trust (base/file.h), without its line's end; `ret` is to be
 * wiped. -EPERM and others with `why`; -EINVAL: it is no token. */
int api_token_read(const char *path, char ret[API_TOKEN], char *why, size_t size);
/* In a time that does not tell how much of it is right. */
bool api_token_is(const char *token, const char *given, size_t n);
