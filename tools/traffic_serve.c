/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `traffic serve`: the lab's checked-data server, TCP and UDP, IPv6 and IPv4 on one port. The
 * protocol is described in traffic_hold.c. It verifies what it receives and tells the client when
 * a byte is wrong, so that both directions of a path are proven by one end's report.
 *
 * Bounded: what it owes a client that does not read is at most what one read of that client asked
 * for, as nothing more is read until it is paid. It has no time-outs of its own: a client that
 * stays silent stays.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif

#include "tools/traffic.h"
#include "tools/traffic_wire.h"

#include <errno.h>
#include <endian.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum peer_state { PEER_SEED, PEER_HEAD, PEER_BODY, PEER_CLOSING };

struct peer {
	int fd;
	enum peer_state state;
	bool writing; /* waits for room to write and does not read */
	uint8_t head[32];
	uint32_t got, left, frame;
	uint64_t seed, rx, tx;
	uint8_t *out;
	size_t out_at, out_len, out_cap;
};

struct server {
	const struct options *opt;
	int epfd, listen_fd, udp_fd, sigfd;
	uint64_t served, complaints;
	uint8_t buf[16384];
};

static void peer_free(struct peer *p)
{
	close(p->fd);
	free(p->out);
	free(p);
}

static bool peer_queue(struct peer *p, const void *buf, size_t n)
{
	if (p->out_len + n > p->out_cap) {
		size_t cap = (p->out_len + n) * 2;
		uint8_t *out = realloc(p->out, cap);

		if (!out)
			return false;
		p->out = out;
		p->out_cap = cap;
	}
	memcpy(p->out + p->out_len, buf, n);
	p->out_len += n;
	return true;
}

/* Sends what is owed. False when the connection is broken, or finished and paid. */
static bool peer_flush(struct server *s, struct peer *p)
{
	struct epoll_event ev = {.data.ptr = p};

	while (p->out_at < p->out_len) {
		ssize_t n = send(p->fd, p->out + p->out_at, p->out_len - p->out_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0)
			break;
		p->out_at += (size_t)n;
	}
	if (p->out_at == p->out_len) {
		p->out_at = p->out_len = 0;
		if (p->state == PEER_CLOSING)
			return false;
	}
	if (p->writing == (p->out_len > 0))
		return true;
	p->writing = p->out_len > 0;
	ev.events = p->writing ? EPOLLOUT : EPOLLIN;
	return epoll_ctl(s->epfd, EPOLL_CTL_MOD, p->fd, &ev) == 0;
}

static bool peer_complain(struct server *s, struct peer *p, const char *why)
{
	uint8_t head[FRAME_HEAD];

	s->complaints++;
	fprintf(stderr, "traffic: serve %s: %s\n", s->opt->arm, why);
	frame_head(head, 'E', (uint32_t)strlen(why));
	p->state = PEER_CLOSING;
	return peer_queue(p, head, sizeof(head)) && peer_queue(p, why, strlen(why));
}

static bool peer_reply(struct peer *p)
{
	uint8_t out[FRAME_HEAD + MAX_BLOCK];

	frame_head(out, 'D', p->frame);
	bytes_fill(p->seed ^ SEED_DOWN, p->tx, out + FRAME_HEAD, p->frame);
	p->tx += p->frame;
	p->state = PEER_HEAD;
	return peer_queue(p, out, FRAME_HEAD + p->frame);
}

static bool peer_head(struct server *s, struct peer *p)
{
	unsigned long long seed;
	int end = 0;

	if (p->state == PEER_SEED) {
		p->head[p->got - 1] = '\0';
		p->got = 0;
		p->state = PEER_HEAD;
		if (sscanf((char *)p->head, "SEED %16llx%n", &seed, &end) != 1 || p->head[end])
			return peer_complain(s, p, "no SEED line");
		p->seed = seed;
		return true;
	}
	p->got = 0;
	p->frame = p->left = frame_len(p->head);
	if (p->head[0] != 'D' || p->frame == 0 || p->frame > MAX_BLOCK)
		return peer_complain(s, p, "no such frame");
	p->state = PEER_BODY;
	return true;
}

/* False when the connection cannot go on. */
static bool peer_data(struct server *s, struct peer *p, const uint8_t *buf, size_t n)
{
	char why[96];

	while (n && p->state != PEER_CLOSING) {
		if (p->state != PEER_BODY) {
			bool seed = p->state == PEER_SEED;

			p->head[p->got++] = *buf++;
			n--;
			if (seed ? p->head[p->got - 1] == '\n' || p->got == sizeof(p->head)
				 : p->got == FRAME_HEAD)
				if (!peer_head(s, p))
					return false;
			continue;
		}
		size_t take = n < p->left ? n : p->left;
		ssize_t bad = bytes_check(p->seed ^ SEED_UP, p->rx, buf, take);

		if (bad >= 0) {
			snprintf(why, sizeof(why), "wrong byte at %llu from the client",
				 (unsigned long long)p->rx + (unsigned long long)bad);
			return peer_complain(s, p, why);
		}
		p->rx += take;
		p->left -= (uint32_t)take;
		buf += take;
		n -= take;
		if (p->left == 0 && !peer_reply(p))
			return false;
	}
	return true;
}

static void peer_event(struct server *s, struct peer *p)
{
	if (!p->writing) {
		ssize_t n = recv(p->fd, s->buf, sizeof(s->buf), 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0 || !peer_data(s, p, s->buf, (size_t)n)) {
			peer_free(p);
			return;
		}
	}
	if (!peer_flush(s, p))
		peer_free(p);
}

static void accept_all(struct server *s)
{
	char hello[ARM_NAME + 16];
	int len = snprintf(hello, sizeof(hello), "SHIFT %s\n", s->opt->arm), one = 1;

	for (;;) {
		struct epoll_event ev = {.events = EPOLLIN};
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct peer *p;

		if (fd < 0)
			return;
		p = calloc(1, sizeof(*p));
		if (!p) {
			close(fd);
			return;
		}
		p->fd = fd;
		ev.data.ptr = p;
		s->served++;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (send(fd, hello, (size_t)len, MSG_NOSIGNAL) != len ||
		    epoll_ctl(s->epfd, EPOLL_CTL_ADD, fd, &ev) != 0)
			peer_free(p);
	}
}

/* Answers datagrams from the address they were sent to (a host may have several). */
static void answer_datagrams(struct server *s)
{
	union endpoint from;
	char control[256];
	struct datagram head;

	for (;;) {
		struct iovec iov = {.iov_base = s->buf, .iov_len = sizeof(s->buf)};
		struct msghdr msg = {.msg_name = &from,
				     .msg_namelen = sizeof(from),
				     .msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(s->udp_fd, &msg, 0);
		size_t body;
		uint64_t at;

		if (n < 0)
			return;
		if ((size_t)n < sizeof(head) || (size_t)n > sizeof(head) + MAX_DATAGRAM)
			continue;
		memcpy(&head, s->buf, sizeof(head));
		body = (size_t)n - sizeof(head);
		at = le64toh(head.sequence) * MAX_DATAGRAM;
		if (memcmp(head.magic, DATAGRAM_MAGIC, sizeof(head.magic)) != 0 ||
		    bytes_check(le64toh(head.seed) ^ SEED_UP, at, s->buf + sizeof(head), body) >=
			    0) {
			s->complaints++;
			fprintf(stderr, "traffic: serve %s: a wrong datagram\n", s->opt->arm);
			continue; /* the client counts it as lost */
		}
		memset(head.arm, 0, sizeof(head.arm));
		memcpy(head.arm, s->opt->arm, strlen(s->opt->arm));
		memcpy(s->buf, &head, sizeof(head));
		bytes_fill(le64toh(head.seed) ^ SEED_DOWN, at, s->buf + sizeof(head), body);
		iov.iov_len = (size_t)n;
		sendmsg(s->udp_fd, &msg, MSG_NOSIGNAL);
	}
}

/* A dual-stack socket on the port; IPv4 alone where the kernel has no IPv6. -errno on failure. */
static int bind_port(int type, unsigned int port)
{
	union endpoint any = {.in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)}};
	int zero = 0, one = 1, patience = 8 << 20, err;
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		any = (union endpoint){
			.in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)}};
		fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	} else {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	}
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_DGRAM) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
		/* A server that waits for a CPU must not lose what the path brought. */
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &patience, sizeof(patience));
	}
	if (bind(fd, &any.sa, endpoint_len(&any)) != 0 ||
	    (type == SOCK_STREAM && listen(fd, 4096) != 0)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int server_setup(struct server *s)
{
	int *fds[] = {&s->listen_fd, &s->udp_fd, &s->sigfd};
	sigset_t set;

	raise_open_files();
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->listen_fd = bind_port(SOCK_STREAM, s->opt->port);
	if (s->listen_fd < 0)
		return s->listen_fd;
	s->udp_fd = bind_port(SOCK_DGRAM, s->opt->port);
	if (s->udp_fd < 0)
		return s->udp_fd;
	s->sigfd = signalfd(-1, &set, SFD_CLOEXEC);
	s->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (s->sigfd < 0 || s->epfd < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = fds[i]};

		if (epoll_ctl(s->epfd, EPOLL_CTL_ADD, *fds[i], &ev) != 0)
			return -errno;
	}
	return 0;
}

int serve_main(const struct options *opt)
{
	static struct server s;
	struct epoll_event events[256];
	int err;

	s.opt = opt;
	err = server_setup(&s);
	if (err) {
		fprintf(stderr, "traffic: cannot serve on port %u: %s\n", opt->port,
			strerror(-err));
		return EXIT_FAILURE;
	}
	for (;;) {
		int got = epoll_wait(s.epfd, events, 256, -1);

		for (int i = 0; i < got; i++) {
			void *p = events[i].data.ptr;

			if (p == &s.listen_fd)
				accept_all(&s);
			else if (p == &s.udp_fd)
				answer_datagrams(&s);
			else if (p == &s.sigfd)
				return s.complaints ? EXIT_FAILURE : EXIT_SUCCESS;
			else
				peer_event(&s, p);
		}
	}
}
