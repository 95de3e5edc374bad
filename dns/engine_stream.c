/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * engine_stream.c - one question over one connection: TCP, or TLS on it
 *
 * Each message has its length in two octets before it (RFC 1035 4.2.2). A peer that closes early,
 * sends half a message or keeps us waiting ends like one that does not answer; messages to other
 * questions are counted and read past.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/engine_inner.h"
#include "dns/message_inner.h"

#define TURNS 16 /* reads before others have their turn */
#define CHUNK 16384

struct dns_stream {
	struct dns_asked *asked; /* NULL: dropped from within our own call */
	struct dns_tls *tls;	 /* NULL: plain */
	int fd;
	bool connected, busy;
	size_t out_size, out_at;
	uint8_t *in; /* a length and a message, DNS_MAX_MESSAGE at most */
	size_t in_size;
	uint8_t out[CHUNK]; /* for the socket */
};

static void free_stream(struct dns_stream *s)
{
	dns_tls_free(s->tls);
	free(s->in);
	free(s);
}

void dns_stream_drop(struct dns_asked *a)
{
	struct dns_stream *s = a->stream;

	loop_unwatch(a->engine->loop, s->fd);
	close(s->fd);
	a->stream = NULL;
	s->asked = NULL;
	if (!s->busy)
		free_stream(s);
}

static void failed(struct dns_stream *s, int err, const char *why)
{
	enum dns_outcome outcome = err == -EPROTO ? DNS_UNTRUSTED : dns_outcome_of(err);

	dns_ask_failed(s->asked, outcome, err, why);
}

/* Bytes for the socket go out as far as it takes them. 0, −errno. */
static int push(struct dns_stream *s)
{
	ssize_t n;

	for (;;) {
		if (s->out_at == s->out_size) {
			s->out_at = 0;
			s->out_size = s->tls ? dns_tls_take(s->tls, s->out, sizeof(s->out)) : 0;
			if (!s->out_size)
				return 0;
		}
		n = send(s->fd, s->out + s->out_at, s->out_size - s->out_at, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		s->out_at += (size_t)n;
	}
}

/* The messages that are whole. false: the question is over. */
static bool take_messages(struct dns_stream *s)
{
	size_t at = 0, n;

	while (s->in_size - at >= 2 && s->in_size - at - 2 >= (n = dns_get16(s->in + at))) {
		if (dns_ask_received(s->asked, s->in + at + 2, n, s->tls ? DNS_TLS : DNS_TCP,
				     loop_now()))
			return false;
		at += 2 + n;
	}
	memmove(s->in, s->in + at, s->in_size - at);
	s->in_size -= at;
	return true;
}

/* What TLS, or the socket itself, has for us: its number, 0: nothing now, −errno. The socket is
 * read as often as *reads says. */
static ssize_t pull(struct dns_stream *s, uint8_t *to, size_t size, unsigned int *reads, char *why,
		    size_t why_size)
{
	uint8_t raw[CHUNK];
	ssize_t n;
	int err;

	if (!s->tls) {
		if (!*reads)
			return 0;
		--*reads;
		n = recv(s->fd, to, size, 0);
		return n > 0 ? n : !n ? -ECONNRESET : errno == EAGAIN ? 0 : -errno;
	}
	err = dns_tls_read(s->tls, to, size, why, why_size);
	if (err || !*reads)
		return err;
	--*reads;
	n = recv(s->fd, raw, sizeof(raw), 0);
	if (n <= 0)
		return !n ? -ECONNRESET : errno == EAGAIN ? 0 : -errno;
	err = dns_tls_feed(s->tls, raw, (size_t)n);
	if (!err)
		err = dns_tls_read(s->tls, to, size, why, why_size);
	return err ? err : pull(s, to, size, reads, why, why_size);
}

static bool read_some(struct dns_stream *s)
{
	unsigned int reads = TURNS;
	char why[128] = "";
	ssize_t n;

	for (;;) {
		n = pull(s, s->in + s->in_size, 2 + DNS_MAX_MESSAGE - s->in_size, &reads, why,
			 sizeof(why));
		if (n < 0) {
			push(s); /* the alert, if there is one */
			failed(s, (int)n,
			       why[0]		  ? why
			       : n == -ECONNRESET ? "closed the connection without an answer"
						  : NULL);
			return false;
		}
		if (!n)
			return true;
		s->in_size += (size_t)n;
		if (!take_messages(s))
			return false;
	}
}

static bool is_connected(struct dns_stream *s)
{
	socklen_t size = sizeof(int);
	int err = 0;

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &size))
		err = errno;
	if (err) {
		failed(s, -err, err == ECONNREFUSED ? "connection refused" : NULL);
		return false;
	}
	s->connected = true;
	return true;
}

static void on_stream(void *arg, int fd, unsigned int ready)
{
	struct dns_stream *s = arg;
	struct loop *l = s->asked->engine->loop;
	int err;

	(void)ready;
	s->busy = true;
	if ((s->connected || is_connected(s)) && read_some(s)) {
		err = push(s);
		if (!err)
			err = loop_watch(l, fd,
					 LOOP_READ | (s->out_at < s->out_size ? LOOP_WRITE : 0),
					 on_stream, s);
		if (err)
			failed(s, err, NULL);
	}
	s->busy = false;
	if (!s->asked)
		free_stream(s);
}

static int open_connection(struct dns_stream *s, const struct dns_target *t)
{
	struct sockaddr_in v4 = {
		.sin_family = AF_INET, .sin_port = htons(t->port), .sin_addr.s_addr = t->ip[3]};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(t->port)};
	const void *to = t->family == 4 ? (const void *)&v4 : &v6;
	socklen_t size = t->family == 4 ? sizeof(v4) : sizeof(v6);
	int one = 1;

	memcpy(&v6.sin6_addr, t->ip, 16);
	s->fd = socket(t->family == 4 ? AF_INET : AF_INET6,
		       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return connect(s->fd, to, size) && errno != EINPROGRESS ? -errno : 0;
}

static int fill(struct dns_stream *s, const struct dns_asked *a, const struct dns_target *t,
		bool tls)
{
	uint8_t framed[2 + DNS_QUERY];
	int err;

	dns_put16(framed, (unsigned int)a->query_size);
	memcpy(framed + 2, a->query, a->query_size);
	s->in = malloc(2 + DNS_MAX_MESSAGE);
	if (!s->in)
		return -ENOMEM;
	if (!tls) {
		memcpy(s->out, framed, 2 + a->query_size);
		s->out_size = 2 + a->query_size;
		return 0;
	}
	err = dns_tls_make(a->engine, t, &s->tls);
	return err ? err : dns_tls_write(s->tls, framed, 2 + a->query_size);
}

int dns_stream_start(struct dns_asked *a, const struct dns_target *t, bool tls)
{
	struct dns_stream *s = malloc(sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	memset(s, 0, offsetof(struct dns_stream, out));
	s->fd = -1;
	s->asked = a;
	err = fill(s, a, t, tls);
	if (!err)
		err = open_connection(s, t);
	if (!err)
		err = loop_watch(a->engine->loop, s->fd, LOOP_READ | LOOP_WRITE, on_stream, s);
	if (err) {
		if (s->fd >= 0)
			close(s->fd);
		free_stream(s);
		return err;
	}
	a->stream = s;
	return 0;
}
