/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * http_inner.h - what http.c (the loop) and http_call.c (one request) share
 */
#pragma once

#include <curl/curl.h>

#include "userspace/base/loop.h"
#include "userspace/net/http.h"

struct http {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer;
	struct http_call *calls;
	unsigned int finishing; /* depth: callbacks are running, http_free must wait */
	bool freed;
};

struct http_call {
	struct http *h;
	struct http_call *next, **back;
	CURL *easy;
	struct curl_slist *headers, *connect_to;
	char *body; /* of the request */
	size_t body_size, max_size, room, header_size;
	bool public_only, own_host, refused, opened, too_big;
	char error[CURL_ERROR_SIZE];
	struct http_reply reply;
	http_done done;
	void *arg;
	struct http_reply *keep; /* instead of done: the reply is moved there */
};

void http_wipe(void *data, size_t size); /* and frees; NULL is fine */

/* Prepared and in h's list, but for `done`. 0; -EINVAL, -ENOMEM. `once`: as in http.h. */
int http_call_make(struct http *h, const struct http_request *q, bool once, struct http_call **ret);
/* c->reply of one that ended so. */
void http_call_reply(struct http_call *c, CURLcode code);
/* NULL and half-made ones are fine. */
void http_call_free(struct http_call *c);
