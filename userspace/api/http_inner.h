/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * http_inner.h - what the parts of the HTTP server share
 */
#pragma once

#include "userspace/api/http.h"
#include "userspace/api/http_parse.h"
#include "userspace/api/socket_buffer.h"
#include "userspace/base/loop.h"

#define API_HTTP_CLIENTS 48
#define API_HTTP_STREAMS 16 /* of them */
#define API_HTTP_HOSTS	 16
#define API_HTTP_ANSWER	 (4u << 20)

/* MORE: a request is here already; STREAM: of events; ENDING: nothing more is said, what still
 * comes is thrown away, so that what was said arrives */
enum api_http_phase {
	API_HTTP_IDLE,
	API_HTTP_READING,
	API_HTTP_WORKING,
	API_HTTP_SENDING,
	API_HTTP_MORE,
	API_HTTP_STREAM,
	API_HTTP_ENDING,
};

struct api_http_client {
	struct api_http *h;
	int fd;
	uint64_t since; /* loop_now() of its phase */
	char in[API_HTTP_MAX_HEAD + API_HTTP_MAX_BODY];
	size_t n;
	struct api_buffer out;
	struct api_call *call;
	enum api_http_phase phase;
	bool head;	/* the answer has no body */
	bool last;	/* no other request is taken */
	bool stream;	/* gets events */
	bool continued; /* was told to go on with the body */
	bool busy;
	bool dead;
	struct loop_timer timer;
};

struct api_http {
	struct loop *loop;
	int fd;
	char token[API_TOKEN];
	char *host[API_HTTP_HOSTS];
	unsigned int n_hosts;
	struct api_http_source source;
	struct api_verbs verbs;
	struct api_events *events;
	struct api_http_client *client[API_HTTP_CLIENTS];
	struct loop_timer beat;
};

/* ---- http.c ---- */

/* Marks it as dead when it cannot be sent. */
void api_http_put(struct api_http_client *c, const void *data, size_t n);
/* The address that the client connected to. */
bool api_http_local(const struct api_http_client *c, uint32_t ret[4]);
/* The "page" document, with the commands that it may offer; the caller's. */
struct json_t *api_http_page(const struct api_http *h);
/* The command's answer came. */
void api_http_answered(void *from, char *text, size_t size);

/* ---- http_route.c ---- */

/* Answers, or begins what will be. */
void api_http_route(struct api_http_client *c, const struct api_http_request *r, const char *body);
/* Of a status as of api_http_parse; ends the connection. */
void api_http_complain(struct api_http_client *c, int status, const char *why);
/* A command's JSON. */
void api_http_reply(struct api_http_client *c, int status, char *text, size_t n);
