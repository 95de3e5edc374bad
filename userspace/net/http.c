/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * http.c - HTTP requests on the loop; libcurl speaks HTTP and TLS, the loop owns time and sockets
 *
 * Owns a curl multi handle with its pool of connections, and the calls that run on it. libcurl says
 * which descriptors and which one timer it wants watched, and is told when they are ready; nothing
 * blocks but http_do, which is one call on a loop of its own.
 *
 * Every request ends: by its answer, by its time, by its size (body and headers both have a limit),
 * or by http_cancel. Whether a request may have reached the server is known from libcurl's hook
 * that runs when the connection is ready and nothing has been written yet; `sent` is set from there
 * on and so errs towards "it may have been carried out".
 *
 * A connection from the pool may be dead without our knowing, and libcurl then sends the request
 * again on a new one. That is right for questions and wrong for changes, so `once` makes a
 * connection that is used for one request; http_do always does.
 *
 * What is refused by `public_only` is refused at two places: where a socket would be made, after
 * the name was resolved, so that no name server can steer a request to the metadata service; and
 * where a request is about to be written, since the pool may have a connection from before.
 *
 * Weaknesses: the user's secrets (sigv4) are copied by libcurl, which does not wipe them. A name
 * is resolved in a thread of libcurl's, which outlives a cancelled request until the system's
 * resolver gives up. The answer's time is measured by libcurl in µs.
 *
 * RFC 9110, 9112, 9113 (HTTP/2), 6890 (special addresses).
 */
#include "userspace/net/http.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/net/http_inner.h"

#define MS 1000000ull

static void finish(struct http_call *c, CURLcode code)
{
	struct http *h = c->h;

	http_call_reply(c, code);
	/* Out of the list first: the callback may cancel all others, but this one is over. */
	*c->back = c->next;
	if (c->next)
		c->next->back = c->back;
	c->back = NULL;
	if (c->keep) {
		*c->keep = c->reply;
		c->reply.body = NULL;
		loop_stop(h->loop, 0);
	} else {
		c->done(c->arg, &c->reply);
	}
	http_call_free(c);
}

static void free_http(struct http *h)
{
	while (h->calls)
		http_call_free(h->calls);
	if (h->multi)
		curl_multi_cleanup(h->multi);
	loop_timer_stop(h->loop, &h->timer);
	curl_global_cleanup();
	free(h);
}

/* Calls back for all that are over. -ENODEV: `h` is gone, a callback freed it. */
static int finished(struct http *h)
{
	CURLMsg *m;
	int left;

	h->finishing++;
	while (!h->freed && (m = curl_multi_info_read(h->multi, &left))) {
		struct http_call *c = NULL;

		if (m->msg == CURLMSG_DONE &&
		    !curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c) && c)
			finish(c, m->data.result);
	}
	if (--h->finishing || !h->freed)
		return 0;
	free_http(h);
	return -ENODEV;
}

/* ---- on the loop ---- */

static void act(struct http *h, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(h->multi, fd, what, &running);
	finished(h);
}

static void on_fd(void *arg, int fd, unsigned int ready)
{
	act(arg, fd,
	    (ready & LOOP_READ ? CURL_CSELECT_IN : 0) |
		    (ready & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_time(void *arg, uint64_t now)
{
	(void)now;
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_want_fd(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_fd)
{
	struct http *h = arg;
	unsigned int events =
		(what & CURL_POLL_IN ? LOOP_READ : 0u) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0u);

	(void)easy, (void)of_fd;
	if (what == CURL_POLL_REMOVE || !events) {
		loop_unwatch(h->loop, fd);
		return 0;
	}
	return loop_watch(h->loop, fd, events, on_fd, h) ? -1 : 0;
}

static int on_want_time(CURLM *multi, long ms, void *arg)
{
	struct http *h = arg;

	(void)multi;
	if (ms < 0) {
		loop_timer_stop(h->loop, &h->timer);
		return 0;
	}
	return loop_timer_set(h->loop, &h->timer, loop_now() + (uint64_t)ms * MS, on_time, h) ? -1
											      : 0;
}

int http_make(struct loop *l, struct http **ret)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->loop = l;
	if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
		free(h);
		return -ENOMEM;
	}
	h->multi = curl_multi_init();
	if (!h->multi || curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_want_fd) ||
	    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_want_time) ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h)) {
		free_http(h);
		return -ENOMEM;
	}
	*ret = h;
	return 0;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	h->freed = true;
	while (h->calls)
		http_call_free(h->calls);
	if (!h->finishing)
		free_http(h);
}

int http_begin(struct http *h, const struct http_request *q, http_done done, void *arg,
	       struct http_call **ret)
{
	struct http_call *c;
	int err;

	if (h->freed)
		return -ECANCELED;
	err = http_call_make(h, q, q->once, &c);
	if (err)
		return err;
	c->done = done;
	c->arg = arg;
	if (ret)
		*ret = c;
	return 0;
}

void http_cancel(struct http_call *c)
{
	http_call_free(c);
}

/* ---- blocking ---- */

int http_do(const struct http_request *q, struct http_reply *ret)
{
	struct loop *l = NULL;
	struct http *h = NULL;
	struct http_call *c;
	int err = loop_make(&l);

	memset(ret, 0, sizeof(*ret));
	ret->retry_after_s = (double)NAN;
	if (!err)
		err = http_make(l, &h);
	if (!err)
		err = http_call_make(h, q, true, &c);
	if (!err) {
		c->keep = ret;
		err = loop_run(l);
		if (err) /* nothing can be said of what was sent */
			ret->sent = true;
	}
	http_free(h);
	loop_free(l);
	if (err) {
		ret->err = err;
		snprintf(ret->why, sizeof(ret->why), "%s",
			 err == -EINVAL ? "this is no request that could be sent" : strerror(-err));
	}
	return ret->err;
}

void http_reply_free(struct http_reply *r)
{
	http_wipe(r->body, r->size);
	r->body = NULL;
	r->size = 0;
}
