/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The life of one connection: choosing who connects to what, the events of its socket, its due
 * time, and the judgement on how it ended (the rules are in traffic_client.c).
 *
 * Due times are a binary heap; every open connection is in it once, for the whole of its life.
 */
#include "tools/traffic.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLOW_CONNECT 900000

/* ---- the heap of due times ---- */

static void heap_put(struct client *cl, struct conn *c, uint32_t at)
{
	cl->heap[at - 1] = c;
	c->heap = at;
}

static void heap_settle(struct client *cl, struct conn *c)
{
	uint32_t at = c->heap;

	while (at > 1 && cl->heap[at / 2 - 1]->due > c->due) {
		heap_put(cl, cl->heap[at / 2 - 1], at);
		at /= 2;
	}
	for (;;) {
		uint32_t child = at * 2;

		if (child > cl->heap_len)
			break;
		if (child < cl->heap_len && cl->heap[child]->due < cl->heap[child - 1]->due)
			child++;
		if (cl->heap[child - 1]->due >= c->due)
			break;
		heap_put(cl, cl->heap[child - 1], at);
		at = child;
	}
	heap_put(cl, c, at);
}

void conn_due(struct client *cl, struct conn *c, uint64_t due)
{
	c->due = due;
	heap_settle(cl, c);
}

static int heap_add(struct client *cl, struct conn *c)
{
	if (cl->heap_len == cl->heap_cap) {
		uint32_t cap = cl->heap_cap ? cl->heap_cap * 2 : 1024;
		struct conn **heap = realloc(cl->heap, cap * sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		cl->heap = heap;
		cl->heap_cap = cap;
	}
	heap_put(cl, c, ++cl->heap_len);
	heap_settle(cl, c);
	return 0;
}

static void heap_remove(struct client *cl, struct conn *c)
{
	struct conn *last = cl->heap[--cl->heap_len];
	uint32_t hole = c->heap;

	c->heap = 0;
	if (last == c)
		return;
	heap_put(cl, last, hole);
	heap_settle(cl, last);
}

/* ---- the end of a connection ---- */

static void conn_free(struct client *cl, struct conn *c)
{
	cl->st.active--;
	if (c->lasting) {
		cl->st.active_lasting--;
		if (c->arm >= 0)
			cl->st.arms[c->arm].lasting--;
	}
	heap_remove(cl, c);
	close(c->fd);
	c->next = cl->free;
	cl->free = c;
}

static const char *arm_name(const struct client *cl, const struct conn *c)
{
	return c->arm >= 0 ? cl->st.arms[c->arm].name : "-";
}

static void detail(const struct client *cl, const struct conn *c, const char *what,
		   char out[static DETAIL_TEXT])
{
	static const char *const phases[] = {"connecting", "in talk", "idle", "closing"};
	char from[ENDPOINT_TEXT], to[ENDPOINT_TEXT];
	union endpoint local = c->from;
	socklen_t len = sizeof(local);

	getsockname(c->fd, &local.sa, &len);
	endpoint_format(&local, true, from);
	endpoint_format(&cl->opt->to[c->to], true, to);
	snprintf(out, DETAIL_TEXT, "%s -> %s arm %s, %s, %.3f s old, %u answers: %s", from, to,
		 arm_name(cl, c), phases[c->phase], (double)(now_us() - c->start) / 1e6,
		 c->requests, what);
}

bool conn_fail(struct client *cl, struct conn *c, enum fault kind, const char *fmt, ...)
{
	struct linger now = {.l_onoff = 1};
	char what[128], text[DETAIL_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	detail(cl, c, what, text);
	stats_fault(&cl->st, kind, text);
	stats_log(&cl->st, c->start, fault_name(kind), c->lasting, &c->from, arm_name(cl, c));
	if (!cl->talk->datagram) /* leave nothing half-open behind */
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	conn_free(cl, c);
	return false;
}

static void conn_done(struct client *cl, struct conn *c)
{
	cl->st.completed++;
	conn_free(cl, c);
}

static bool conn_broken(struct client *cl, struct conn *c, int err);

static bool conn_begin_close(struct client *cl, struct conn *c)
{
	struct linger now = {.l_onoff = 1};

	if (cl->opt->close_mode == CLOSE_RESET)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	if (cl->opt->close_mode == CLOSE_RESET || cl->talk->datagram) {
		conn_done(cl, c);
		return false;
	}
	/* a long-lived one was not asked with "Connection: close": only the client can end it */
	if ((cl->opt->close_mode == CLOSE_CLIENT || c->lasting) && shutdown(c->fd, SHUT_WR) != 0)
		return conn_broken(cl, c, errno == ENOTCONN ? ECONNRESET : errno);
	c->phase = PHASE_CLOSE;
	conn_due(cl, c, now_us() + to_us(cl->opt->timeout));
	return true;
}

/* The socket reported an error. */
static bool conn_broken(struct client *cl, struct conn *c, int err)
{
	bool connecting = c->phase == PHASE_CONNECT;
	struct conn again = *c;
	enum fault kind;

	switch (err) {
	case ECONNREFUSED:
		kind = FAULT_REFUSED;
		break;
	case ECONNRESET:
	case EPIPE:
		kind = FAULT_RESET;
		break;
	case ETIMEDOUT:
		kind = connecting ? FAULT_CONNECT_TIMEOUT : FAULT_ANSWER_TIMEOUT;
		break;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EACCES:
	case EPERM:
		kind = FAULT_UNREACHABLE;
		break;
	default:
		kind = FAULT_LOCAL;
		break;
	}
	/* who comes back after a reset must be served: a second reset is a failure */
	if (!cl->expect_reset || (kind != FAULT_RESET && kind != FAULT_REFUSED) ||
	    (c->again && c->arm < 0))
		return conn_fail(cl, c, kind, "%s", strerror(err));
	if (c->lasting)
		cl->st.expected_lasting++;
	else
		cl->st.expected_short++;
	cl->st.reset_requests += c->phase == PHASE_TALK && !c->unsent;
	stats_log(&cl->st, c->start, "expected_reset", c->lasting, &c->from, arm_name(cl, c));
	conn_free(cl, c);
	if (!cl->stopping) {
		cl->st.reconnects++;
		conn_open(cl, &again);
	}
	return false;
}

/* ---- the beginning of a connection ---- */

static struct conn *conn_new(struct client *cl)
{
	struct conn *c = cl->free;

	if (c)
		cl->free = c->next;
	else
		c = malloc(sizeof(*c));
	if (c) /* all but the buffer */
		memset(c, 0, offsetof(struct conn, head));
	return c;
}

/* Chooses who connects to what. */
static void conn_choose(struct client *cl, struct conn *c)
{
	const struct options *opt = cl->opt;
	uint64_t n = cl->scheduled;
	bool v4;
	const struct source *src;
	uint32_t *next;

	c->to = (unsigned int)(n % opt->n_to);
	v4 = opt->to[c->to].sa.sa_family == AF_INET;
	src = v4 ? &opt->from4 : &opt->from6;
	next = v4 ? &cl->next4 : &cl->next6;
	c->seed = mix64(opt->seed ^ mix64(n));
	c->client = UINT32_MAX;
	if (src->count) {
		uint16_t port = 0;

		if (opt->port_low)
			port = (uint16_t)(opt->port_low +
					  cl->next_port++ % (opt->port_high - opt->port_low + 1));
		c->client = opt->random ? (uint32_t)(c->seed % src->count) : *next % src->count;
		++*next;
		source_address(src, c->client, port, &c->from);
	}
	cl->lasting_credit += opt->keepalive;
	if (cl->lasting_credit >= 1.0 - 1e-9) {
		cl->lasting_credit -= 1.0;
		c->lasting = true;
	}
	c->ends = opt->hold > 0 ? now_us() + to_us(opt->hold) : UINT64_MAX;
}

/* A bound non-blocking socket, or -errno. Freebind lets any routed address be a source. */
static int conn_socket(const struct client *cl, const struct conn *c)
{
	const union endpoint *to = &cl->opt->to[c->to];
	int family = to->sa.sa_family, one = 1, fd, err;
	bool fixed = cl->opt->port_low != 0;

	fd = socket(family,
		    (cl->talk->datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    0);
	if (fd < 0)
		return -errno;
	if (!cl->talk->datagram)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (c->client == UINT32_MAX)
		return fd;
	if (fixed)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	setsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
		   family == AF_INET ? IP_FREEBIND : IPV6_FREEBIND, &one, sizeof(one));
	if (bind(fd, &c->from.sa, endpoint_len(&c->from)) != 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static bool conn_connected(struct client *cl, struct conn *c)
{
	uint64_t now = now_us();
	socklen_t len = sizeof(c->from);

	if (cl->st.log)
		getsockname(c->fd, &c->from.sa, &len);
	hist_add(&cl->st.connect, now - c->start);
	if (now - c->start >= SLOW_CONNECT)
		cl->st.slow_connects++;
	c->phase = PHASE_TALK;
	c->asked = now;
	conn_due(cl, c, now + to_us(cl->opt->timeout));
	return cl->talk->connected(cl, c);
}

void conn_open(struct client *cl, const struct conn *again)
{
	const union endpoint *to;
	struct conn *c = conn_new(cl);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	char text[DETAIL_TEXT], host[ENDPOINT_TEXT];
	int err;

	if (!c) {
		stats_fault(&cl->st, FAULT_LOCAL, strerror(ENOMEM));
		return;
	}
	if (again) {
		c->to = again->to;
		c->client = again->client;
		c->from = again->from;
		c->lasting = again->lasting;
		c->again = true;
		c->ends = again->ends;
		c->seed = mix64(again->seed);
		if (!cl->opt->port_low && c->from.sa.sa_family)
			c->from.in.sin_port = 0; /* the same place in both families */
	} else {
		conn_choose(cl, c);
	}
	c->arm = -1;
	c->start = now_us();
	c->due = c->start + to_us(cl->opt->timeout);
	cl->st.started++;
	to = &cl->opt->to[c->to];
	c->fd = conn_socket(cl, c);
	err = c->fd < 0 ? -c->fd : 0;
	if (!err && connect(c->fd, &to->sa, endpoint_len(to)) != 0 && errno != EINPROGRESS)
		err = errno;
	ev.data.ptr = c;
	if (!err && epoll_ctl(cl->epfd, EPOLL_CTL_ADD, c->fd, &ev) != 0)
		err = errno;
	if (!err)
		err = -heap_add(cl, c);
	if (err) {
		endpoint_format(&c->from, true, host);
		snprintf(text, sizeof(text), "from %s: %s", host, strerror(err));
		stats_fault(&cl->st, err == ENETUNREACH ? FAULT_UNREACHABLE : FAULT_LOCAL, text);
		if (c->fd >= 0)
			close(c->fd);
		c->next = cl->free;
		cl->free = c;
		return;
	}
	cl->st.active++;
	cl->st.active_lasting += c->lasting;
	if (cl->talk->datagram)
		conn_connected(cl, c);
}

/* ---- what the kinds of conversation call ---- */

bool conn_send(struct client *cl, struct conn *c, const void *buf, size_t n)
{
	ssize_t sent = send(c->fd, buf, n, MSG_NOSIGNAL);

	if (sent == (ssize_t)n)
		return true;
	if (sent < 0) {
		c->unsent = true;
		return conn_broken(cl, c, errno);
	}
	return conn_fail(cl, c, FAULT_LOCAL, "only %zd of %zu bytes could be sent", sent, n);
}

bool conn_arm(struct client *cl, struct conn *c, const char *name, size_t len)
{
	int arm = stats_arm(&cl->st, name, len);

	if (arm < 0)
		return conn_fail(cl, c, FAULT_PROTOCOL, "not the name of an arm");
	if (c->arm >= 0 && c->arm != arm)
		return conn_fail(cl, c, FAULT_ARM_CHANGED, "now %s", cl->st.arms[arm].name);
	if (c->arm == arm)
		return true;
	c->arm = arm;
	cl->st.arms[arm].connections++;
	cl->st.arms[arm].lasting += c->lasting;
	stats_seen(&cl->st, cl->opt->to[c->to].sa.sa_family, c->client, arm);
	stats_log(&cl->st, c->start, "answered", c->lasting, &c->from, cl->st.arms[arm].name);
	return true;
}

bool conn_answered(struct client *cl, struct conn *c, uint64_t bytes)
{
	uint64_t now = now_us();

	c->requests++;
	cl->st.requests++;
	cl->st.bytes += bytes;
	cl->st.arms[c->arm].requests++;
	hist_add(&cl->st.request, now - c->asked);
	hist_add(&cl->st.request_interval, now - c->asked);
	if (!c->lasting || now >= c->ends || cl->stopping)
		return conn_begin_close(cl, c);
	c->phase = PHASE_IDLE;
	conn_due(cl, c, now + to_us(cl->opt->interval));
	return true;
}

/* ---- events ---- */

static bool conn_eof(struct client *cl, struct conn *c)
{
	if (c->phase == PHASE_CLOSE) {
		conn_done(cl, c);
		return false;
	}
	if (c->in_body)
		return conn_fail(cl, c, FAULT_SHORT_BODY, "%llu of %llu bytes",
				 (unsigned long long)c->body_at, (unsigned long long)c->body_len);
	return conn_fail(cl, c, FAULT_CLOSED_EARLY, "the server closed");
}

static void conn_readable(struct client *cl, struct conn *c, bool to_the_end)
{
	for (;;) {
		ssize_t n = recv(c->fd, cl->buf, sizeof(cl->buf), 0);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				conn_broken(cl, c, errno);
			return;
		}
		if (n == 0 && !cl->talk->datagram) {
			conn_eof(cl, c);
			return;
		}
		if (c->phase != PHASE_TALK && !cl->talk->datagram) {
			conn_fail(cl, c, FAULT_PROTOCOL, "%zd bytes that nobody asked for", n);
			return;
		}
		if (!cl->talk->data(cl, c, cl->buf, (size_t)n))
			return;
		if (n < (ssize_t)sizeof(cl->buf) && !to_the_end && !cl->talk->datagram)
			return; /* edge-triggered: what comes later tells */
	}
}

void conn_event(struct client *cl, struct conn *c, uint32_t events)
{
	if (c->phase == PHASE_CONNECT) {
		int err = 0;
		socklen_t len = sizeof(err);

		if (events & (EPOLLERR | EPOLLHUP))
			getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
		if (err) {
			conn_broken(cl, c, err);
			return;
		}
		if (!(events & EPOLLOUT) || !conn_connected(cl, c))
			return;
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		conn_readable(cl, c, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

void conn_expired(struct client *cl, struct conn *c)
{
	uint64_t now = now_us();
	char text[DETAIL_TEXT];

	switch (c->phase) {
	case PHASE_CONNECT:
		conn_fail(cl, c, FAULT_CONNECT_TIMEOUT, "no answer to the SYN");
		return;
	case PHASE_TALK:
		if (!cl->talk->datagram) {
			conn_fail(cl, c, FAULT_ANSWER_TIMEOUT, "no answer");
			return;
		}
		detail(cl, c, "a datagram was not answered", text);
		stats_fault(&cl->st, FAULT_LOST, text);
		break;
	case PHASE_CLOSE:
		conn_fail(cl, c, FAULT_CLOSE_TIMEOUT, "no FIN from the server");
		return;
	case PHASE_IDLE:
		break;
	}
	if (now >= c->ends || cl->stopping) {
		conn_begin_close(cl, c);
		return;
	}
	c->phase = PHASE_TALK;
	c->asked = now;
	conn_due(cl, c, now + to_us(cl->opt->timeout));
	cl->talk->wake(cl, c);
}
