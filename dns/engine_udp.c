/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * engine_udp.c - questions over UDP, from connected sockets
 *
 * The kernel picks the port at random from its range when the socket is connected, and lets in only
 * datagrams from the very address and port that was asked. A socket carries one question, or up to
 * `share` at a time and LIVES times as many in all; then a new one, with a new port, takes over,
 * and it is closed with its last question.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/engine_inner.h"
#include "dns/message_inner.h"

#define LIVES 16   /* a shared socket's questions, as a multiple of `share` */
#define BATCH 32   /* datagrams with one system call */
#define IN    4096 /* of each; what is longer than we said we take is cut, and refused */
#define TURNS 8	   /* batches before others have their turn */

struct dns_port {
	struct dns_engine *engine;
	struct dns_known *target;
	struct dns_port *next_unsent;
	int fd;
	bool unsent;
	unsigned int share, lives; /* lives: questions that it may still take */
	unsigned int n, sent;	   /* asked[sent .. n) are to be sent */
	struct dns_asked *asked[DNS_SHARE];
};

void dns_port_close(struct dns_port *p)
{
	struct dns_engine *e;
	struct dns_port **at;

	if (!p)
		return;
	e = p->engine;
	if (p->target->port == p)
		p->target->port = NULL;
	if (e->reading == p)
		e->reading = NULL;
	for (at = &e->unsent; p->unsent && *at; at = &(*at)->next_unsent) {
		if (*at == p) {
			*at = p->next_unsent;
			break;
		}
	}
	loop_unwatch(e->loop, p->fd);
	close(p->fd);
	free(p);
}

/* The end of a try: the port takes another, or is closed when it has none left. */
void dns_udp_drop(struct dns_asked *a)
{
	struct dns_port *p = a->port;

	for (unsigned int i = 0; i < p->n; i++) {
		if (p->asked[i] != a)
			continue;
		if (i < p->sent) { /* those that were sent stay in front */
			p->asked[i] = p->asked[--p->sent];
			i = p->sent;
		}
		p->asked[i] = p->asked[--p->n];
		break;
	}
	a->port = NULL;
	if (!p->n)
		dns_port_close(p);
	else if (!p->target->port && p->lives)
		p->target->port = p;
}

/* All that are on their way from here fail alike. */
static void fail_all(struct dns_port *p, int err)
{
	struct dns_asked *asked[DNS_SHARE];
	unsigned int n = p->n;

	memcpy(asked, p->asked, n * sizeof(struct dns_asked *));
	p->lives = 0;
	if (p->target->port == p)
		p->target->port = NULL;
	for (unsigned int i = 0; i < n; i++)
		dns_ask_failed(asked[i], dns_outcome_of(err), err,
			       err == -ECONNREFUSED ? "the port is closed" : NULL);
}

/* To the question that has its ID; what is nobody's is counted by all. The port may be gone then.
 */
static void hand_over(struct dns_port *p, const uint8_t *wire, size_t size, uint64_t now)
{
	for (unsigned int i = 0; size >= 2 && i < p->sent; i++) {
		if (!memcmp(p->asked[i]->query, wire, 2)) {
			dns_ask_received(p->asked[i], wire, size, DNS_UDP, now);
			return;
		}
	}
	for (unsigned int i = 0; i < p->sent; i++)
		p->asked[i]->rejected++;
}

static void read_one(struct dns_port *p)
{
	struct dns_engine *e = p->engine;
	ssize_t n;

	for (unsigned int i = 0; i < TURNS * BATCH && e->reading == p; i++) {
		n = recv(p->fd, e->room_in, IN, MSG_DONTWAIT | MSG_TRUNC);
		if (n >= 0) /* what was cut is nobody's */
			hand_over(p, e->room_in, n > IN ? 0 : (size_t)n, loop_now());
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR)
			fail_all(p, -errno);
	}
}

/* Datagrams with one system call. false: no more now. */
static bool read_batch(struct dns_port *p)
{
	struct dns_engine *e = p->engine;
	struct iovec iov[BATCH];
	struct mmsghdr m[BATCH];
	uint64_t now;
	int n;

	for (unsigned int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){.iov_base = e->room_in + i * IN, .iov_len = IN};
		m[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	n = recvmmsg(p->fd, m, BATCH, MSG_DONTWAIT, NULL);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			fail_all(p, -errno);
		return false;
	}
	now = loop_now();
	for (int i = 0; i < n && e->reading == p; i++)
		hand_over(p, e->room_in + i * IN,
			  m[i].msg_hdr.msg_flags & MSG_TRUNC ? 0 : m[i].msg_len, now);
	return n == BATCH;
}

static void on_port(void *arg, int fd, unsigned int ready)
{
	struct dns_port *p = arg;
	struct dns_engine *e = p->engine;

	(void)fd;
	(void)ready;
	e->reading = p;
	if (p->share == 1)
		read_one(p);
	else
		for (int i = 0; i < TURNS && e->reading == p && read_batch(p); i++)
			;
	e->reading = NULL;
}

static int open_port(struct dns_known *k, struct dns_port **ret)
{
	const struct dns_target *t = &k->target;
	struct sockaddr_in v4 = {
		.sin_family = AF_INET, .sin_port = htons(t->port), .sin_addr.s_addr = t->ip[3]};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(t->port)};
	const void *to = t->family == 4 ? (const void *)&v4 : &v6;
	socklen_t size = t->family == 4 ? sizeof(v4) : sizeof(v6);
	struct dns_port *p = malloc(sizeof(*p));
	int err = 0;

	if (!p)
		return -ENOMEM;
	memset(p, 0, offsetof(struct dns_port, asked));
	memcpy(&v6.sin6_addr, t->ip, 16);
	p->engine = k->engine;
	p->target = k;
	p->share = k->engine->set.share;
	p->lives = p->share == 1 ? 1 : LIVES * p->share;
	p->fd = socket(t->family == 4 ? AF_INET : AF_INET6,
		       SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || connect(p->fd, to, size))
		err = -errno;
	if (!err)
		err = loop_watch(k->engine->loop, p->fd, LOOP_READ, on_port, p);
	if (err) {
		if (p->fd >= 0)
			close(p->fd);
		free(p);
		return err;
	}
	*ret = p;
	return 0;
}

static void new_id(struct dns_port *p, struct dns_asked *a)
{
	for (unsigned int i = 0; i < p->n; i++) {
		if (!memcmp(p->asked[i]->query, a->query, 2)) {
			dns_put16(a->query, dns_random16(p->engine));
			i = (unsigned int)-1;
		}
	}
}

/* What is lost here, as with no buffer left, is asked again in time like any that is lost. */
static int sent_or(int err)
{
	return err == -EAGAIN || err == -ENOBUFS || err == -EINTR ? 0 : err;
}

static int send_all(struct dns_port *p)
{
	struct iovec iov[DNS_SHARE];
	struct mmsghdr m[DNS_SHARE];
	uint64_t now = loop_now();
	unsigned int n = 0;
	int sent;

	for (; p->sent < p->n; p->sent++, n++) {
		struct dns_asked *a = p->asked[p->sent];

		a->sent = now;
		iov[n] = (struct iovec){.iov_base = a->query, .iov_len = a->query_size};
		m[n].msg_hdr = (struct msghdr){.msg_iov = &iov[n], .msg_iovlen = 1};
	}
	if (n == 1)
		return send(p->fd, iov[0].iov_base, iov[0].iov_len, 0) < 0 ? sent_or(-errno) : 0;
	for (unsigned int i = 0; i < n; i += (unsigned int)sent) {
		sent = sendmmsg(p->fd, m + i, n - i, 0);
		if (sent <= 0)
			return sent_or(-errno);
	}
	return 0;
}

int dns_udp_start(struct dns_asked *a)
{
	struct dns_known *k = a->target;
	struct dns_engine *e = a->engine;
	struct dns_port *p = k->port;
	int err;

	if (!p) {
		err = open_port(k, &p);
		if (err)
			return err;
	}
	new_id(p, a);
	p->asked[p->n++] = a;
	p->lives--;
	a->port = p;
	k->port = p->n < p->share && p->lives ? p : NULL;
	if (p->share == 1) {
		err = send_all(p);
		if (err)
			dns_udp_drop(a);
		return err;
	}
	if (!p->unsent) {
		p->unsent = true;
		p->next_unsent = e->unsent;
		e->unsent = p;
	}
	return 0;
}

void dns_udp_flush(struct dns_engine *e)
{
	struct dns_port *p;
	int err;

	while ((p = e->unsent)) {
		e->unsent = p->next_unsent;
		p->unsent = false;
		err = send_all(p);
		if (err)
			fail_all(p, err);
	}
}
