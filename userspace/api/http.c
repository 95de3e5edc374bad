/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * http.c - the server behind the dashboard
 *
 * Owns one listening TCP socket and those connected to it. What it speaks is the little of HTTP/1.1
 * that browsers, curl and Prometheus need (RFC 9110, 9112), read strictly by http_parse.c; what it
 * answers is in http_route.c. A well-kept library would be as large as this with the loop, the
 * limits and the event streams around it, and would have to be built for all else that it can do.
 *
 * It promises that nobody can change anything without the token and from another page, also not
 * through a browser that was led here by a name rebound to this address; that it only reads unless
 * a token is configured; and that nobody delays the daemon or keeps others out: every phase of a
 * connection has an end that nothing puts off, and a newcomer takes the place of the connection
 * that has waited longest, a stream or a command under way apart.
 *
 * Weaknesses: no TLS, so beyond loopback a proxy belongs in front of it; whoever can connect can
 * read. Streams have a fixed number of places.
 */
#include "userspace/api/http.h"

#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/api/events.h"
#include "userspace/api/http_inner.h"
#include "userspace/base/ip.h"

#define SECOND	1000000000ull
#define POINTS	1800
#define STALLED (1u << 20) /* bytes of a stream that nobody reads */

static void on_client(void *arg, int fd, unsigned int ready);
static void on_late(void *arg, uint64_t now);

/* ---- a connection ---- */

static void drop(struct api_http_client *c)
{
	struct api_http *h = c->h;

	if (c->busy) {
		c->dead = true;
		return;
	}
	loop_timer_stop(h->loop, &c->timer);
	loop_unwatch(h->loop, c->fd);
	close(c->fd);
	if (c->call)
		c->call->from = NULL;
	for (unsigned int i = 0; i < API_HTTP_CLIENTS; i++)
		if (h->client[i] == c)
			h->client[i] = NULL;
	api_buffer_free(&c->out);
	/* a token may be in it */
	explicit_bzero(c->in, sizeof(c->in));
	free(c);
}

/* The size of a request that is here, its head's in *ret_head; 0: not yet; −STATUS. */
static int request_here(const struct api_http_client *c, struct api_http_request *r, int *ret_head)
{
	int head = c->n ? api_http_parse(c->in, c->n, r) : 0;

	*ret_head = head;
	if (head <= 0)
		return head;
	return c->n >= (size_t)head + r->length ? head + (int)r->length : 0;
}

static enum api_http_phase phase_of(const struct api_http_client *c)
{
	struct api_http_request r;
	int head;

	if (c->phase == API_HTTP_ENDING)
		return API_HTTP_ENDING;
	if (c->stream)
		return API_HTTP_STREAM;
	if (api_buffer_waiting(&c->out))
		return API_HTTP_SENDING;
	if (c->call)
		return API_HTTP_WORKING;
	if (c->last)
		return API_HTTP_ENDING;
	if (request_here(c, &r, &head))
		return API_HTTP_MORE;
	return c->n ? API_HTTP_READING : API_HTTP_IDLE;
}

static unsigned int events_of(const struct api_http_client *c)
{
	switch (c->phase) {
	case API_HTTP_WORKING:
	case API_HTTP_MORE:
		return 0;
	case API_HTTP_SENDING:
		return LOOP_WRITE;
	case API_HTTP_STREAM:
		return LOOP_READ | (api_buffer_waiting(&c->out) ? LOOP_WRITE : 0);
	default:
		return LOOP_READ;
	}
}

static void settle(struct api_http_client *c)
{
	static const uint64_t within[] = {
		[API_HTTP_IDLE] = 30 * SECOND,
		[API_HTTP_READING] = 5 * SECOND,
		[API_HTTP_WORKING] = 60 * SECOND,
		[API_HTTP_SENDING] = 10 * SECOND,
		[API_HTTP_MORE] = 0,
		[API_HTTP_STREAM] = 3600 * SECOND, /* the page connects anew by itself */
		[API_HTTP_ENDING] = 2 * SECOND,
	};
	enum api_http_phase is = phase_of(c);
	uint64_t now = loop_now();
	int err = 0;

	if (is != c->phase || !c->timer.at) {
		if (is == API_HTTP_ENDING)
			shutdown(c->fd, SHUT_WR);
		err = loop_timer_set(c->h->loop, &c->timer, now + within[is], on_late, c);
		c->since = now;
	}
	c->phase = is;
	if (!events_of(c))
		loop_unwatch(c->h->loop, c->fd);
	else if (!err)
		err = loop_watch(c->h->loop, c->fd, events_of(c), on_client, c);
	if (err)
		drop(c);
}

void api_http_put(struct api_http_client *c, const void *data, size_t n)
{
	size_t max = c->stream ? STALLED + API_HTTP_ANSWER : API_HTTP_ANSWER + API_HTTP_MAX_HEAD;

	if (!c->dead && api_buffer_add(&c->out, data, n, max))
		c->dead = true;
}

/* After something was put, outside of work(). */
static void carry_on(struct api_http_client *c)
{
	if (c->busy)
		return;
	if (c->dead || api_buffer_flush(&c->out, c->fd) < 0)
		drop(c);
	else
		settle(c);
}

void api_http_answered(void *from, char *text, size_t size)
{
	struct api_http_client *c = from;

	c->call = NULL;
	api_http_reply(c, 200, text, size);
	carry_on(c);
}

/* One request of one client in a turn of the loop. */
static void work(struct api_http_client *c)
{
	bool free_for_more = !c->stream && !c->last && !c->call && !api_buffer_waiting(&c->out);
	struct api_http_request r;
	int head = 0, size;

	c->busy = true;
	size = free_for_more ? request_here(c, &r, &head) : 0;
	if (size < 0) {
		api_http_complain(c, -size, "the request cannot be read");
		c->n = 0;
	} else if (size > 0) {
		api_http_route(c, &r, c->in + head);
		c->continued = false;
		c->n -= (size_t)size;
		memmove(c->in, c->in + size, c->n);
		explicit_bzero(c->in + c->n, (size_t)size);
	} else if (free_for_more && head > 0 && r.wants_100 && !c->continued) {
		c->continued = true;
		api_http_put(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	}
	c->busy = false;
	carry_on(c);
}

/* −errno: it has gone. */
static int take_input(struct api_http_client *c)
{
	char away[4096];
	bool keep = c->phase != API_HTTP_STREAM && c->phase != API_HTTP_ENDING;
	ssize_t did = keep ? recv(c->fd, c->in + c->n, sizeof(c->in) - c->n, MSG_DONTWAIT)
			   : recv(c->fd, away, sizeof(away), MSG_DONTWAIT);

	if (did < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!did)
		return -EPIPE;
	if (keep)
		c->n += (size_t)did;
	return 0;
}

static void on_client(void *arg, int fd, unsigned int ready)
{
	struct api_http_client *c = arg;
	int err = 0;

	if (ready & LOOP_WRITE && api_buffer_waiting(&c->out))
		err = api_buffer_flush(&c->out, fd);
	if (err >= 0 && c->phase != API_HTTP_SENDING && ready & LOOP_READ)
		err = take_input(c);
	if (err < 0)
		drop(c);
	else
		work(c);
}

static void on_late(void *arg, uint64_t now)
{
	struct api_http_client *c = arg;

	(void)now;
	switch (c->phase) {
	case API_HTTP_MORE:
		work(c);
		break;
	case API_HTTP_READING:
		api_http_complain(c, 408, "the request did not come to its end in time");
		carry_on(c);
		break;
	case API_HTTP_WORKING:
		c->call->from = NULL;
		c->call = NULL;
		api_http_complain(c, 504, "the daemon has no answer yet");
		carry_on(c);
		break;
	default:
		drop(c);
	}
}

/* ---- the streams ---- */

json_t *api_http_page(const struct api_http *h)
{
	json_t *page = h->source.document(h->source.arg, "page"), *can = json_array();

	for (unsigned int i = 0; i < h->verbs.n && h->token[0]; i++)
		if (h->verbs.verb[i].writes)
			json_array_append_new(can, json_string(h->verbs.verb[i].name));
	if (!page)
		page = json_object();
	json_object_set_new(page, "commands", can);
	return page;
}

static void beat(void *arg, uint64_t now)
{
	struct api_http *h = arg;
	struct api_http_client *c;
	char *text = NULL;
	size_t size = 0;

	/* the beat keeps its pace: what one turn takes is not added to the next */
	loop_timer_set(h->loop, &h->beat, now + SECOND, beat, h);
	if (h->source.point)
		api_events_point(h->events, h->source.point(h->source.arg));
	for (unsigned int i = 0; i < API_HTTP_CLIENTS; i++) {
		c = h->client[i];
		if (!c || !c->stream)
			continue;
		if (!text)
			text = api_events_page(h->events, h->source.document(h->source.arg, "page"),
					       &size);
		if (!text)
			break;
		if (api_buffer_waiting(&c->out) > STALLED) {
			drop(c);
			continue;
		}
		api_http_put(c, text, size);
		carry_on(c);
	}
	free(text);
}

/* ---- listening ---- */

/* A free place, if need be that of the one who has waited longest. */
static struct api_http_client **find_place(struct api_http *h)
{
	struct api_http_client **oldest = NULL;

	for (unsigned int i = 0; i < API_HTTP_CLIENTS; i++) {
		struct api_http_client **at = &h->client[i];

		if (!*at)
			return at;
		if (!(*at)->stream && !(*at)->call && (!oldest || (*at)->since < (*oldest)->since))
			oldest = at;
	}
	if (oldest)
		drop(*oldest);
	return oldest;
}

static void on_listen(void *arg, int fd, unsigned int ready)
{
	struct api_http *h = arg;

	(void)ready;
	for (int i = 0; i < 16; i++) {
		int one = 1, got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct api_http_client **place, *c;

		if (got < 0)
			return;
		place = find_place(h);
		c = place ? calloc(1, sizeof(*c)) : NULL;
		if (!c) {
			close(got);
			continue;
		}
		setsockopt(got, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->h = h;
		c->fd = got;
		*place = c;
		settle(c);
	}
}

bool api_http_local(const struct api_http_client *c, uint32_t ret[4])
{
	struct sockaddr_storage a;
	socklen_t size = sizeof(a);

	if (getsockname(c->fd, (struct sockaddr *)&a, &size))
		return false;
	if (a.ss_family == AF_INET)
		ip_map(((struct sockaddr_in *)&a)->sin_addr.s_addr, ret);
	else
		memcpy(ret, &((struct sockaddr_in6 *)&a)->sin6_addr, 16);
	return true;
}

static socklen_t to_sockaddr(const uint32_t address[4], uint16_t port, struct sockaddr_storage *ret)
{
	*ret = (struct sockaddr_storage){0};
	if (ip_is_v4(address)) { /* also where IPv6 is switched off */
		*(struct sockaddr_in *)ret = (struct sockaddr_in){
			.sin_family = AF_INET,
			.sin_port = htons(port),
			.sin_addr.s_addr = address[3],
		};
		return sizeof(struct sockaddr_in);
	}
	*(struct sockaddr_in6 *)ret = (struct sockaddr_in6){
		.sin6_family = AF_INET6,
		.sin6_port = htons(port),
	};
	memcpy(&((struct sockaddr_in6 *)ret)->sin6_addr, address, 16);
	return sizeof(struct sockaddr_in6);
}

static int listen_at(struct api_http *h, const uint32_t address[4], uint16_t port)
{
	struct sockaddr_storage a;
	socklen_t size = to_sockaddr(address, port, &a);
	int one = 1;

	h->fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (h->fd < 0)
		return -errno;
	if (setsockopt(h->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(h->fd, (struct sockaddr *)&a, size) || listen(h->fd, 128))
		return -errno;
	return loop_watch(h->loop, h->fd, LOOP_READ, on_listen, h);
}

static void free_hosts(struct api_http *h)
{
	while (h->n_hosts)
		free(h->host[--h->n_hosts]);
}

int api_http_use(struct api_http *h, const struct api_http_config *c)
{
	size_t n = c->token ? strlen(c->token) : 0;
	char *host[API_HTTP_HOSTS];
	unsigned int made = 0;

	if (c->n_hosts > API_HTTP_HOSTS || n >= API_TOKEN || (n && n < API_MIN_TOKEN))
		return -EINVAL;
	while (made < c->n_hosts && (host[made] = strdup(c->hosts[made])))
		made++;
	if (made < c->n_hosts) {
		while (made)
			free(host[--made]);
		return -ENOMEM;
	}
	free_hosts(h);
	memcpy(h->host, host, made * sizeof(*host));
	h->n_hosts = made;
	explicit_bzero(h->token, sizeof(h->token));
	memcpy(h->token, c->token ? c->token : "", n);
	return 0;
}

int api_http_open(struct loop *l, const struct api_http_config *c, struct api_http **ret)
{
	struct api_http *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return -ENOMEM;
	h->loop = l;
	h->fd = -1;
	h->source = c->source;
	h->verbs = c->verbs;
	err = api_http_use(h, c);
	if (!err)
		err = api_events_make(POINTS, &h->events);
	if (!err)
		err = listen_at(h, c->address, c->port);
	if (!err)
		err = loop_timer_set(l, &h->beat, loop_now(), beat, h);
	if (err) {
		api_http_close(h);
		return err;
	}
	*ret = h;
	return 0;
}

uint16_t api_http_port(const struct api_http *h)
{
	struct sockaddr_storage a;
	socklen_t size = sizeof(a);

	if (getsockname(h->fd, (struct sockaddr *)&a, &size))
		return 0;
	return ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
					    : ((struct sockaddr_in6 *)&a)->sin6_port);
}

void api_http_close(struct api_http *h)
{
	if (!h)
		return;
	for (unsigned int i = 0; i < API_HTTP_CLIENTS; i++)
		if (h->client[i])
			drop(h->client[i]);
	loop_timer_stop(h->loop, &h->beat);
	if (h->fd >= 0) {
		loop_unwatch(h->loop, h->fd);
		close(h->fd);
	}
	api_events_free(h->events);
	free_hosts(h);
	explicit_bzero(h->token, sizeof(h->token));
	free(h);
}
