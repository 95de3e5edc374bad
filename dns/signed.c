/* SPDX-License-Identifier: GPL-2.0-only */
#include "dns/signed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dns/change.h"
#include "userspace/base/loop.h"
#include "userspace/base/text.h"
#include "userspace/net/resolve.h"

#define TIMEOUT_MS 10000
#define UDP_MAX	   1232

struct talk {
	const struct tsig_key *key;
	const uint8_t *question;
	size_t size;
	struct tsig_mac mac;
	uint64_t deadline, patience; /* loop_now(); of the whole, and of one connection */
	char server[96];	     /* in words */
};

static socklen_t address_of(const uint32_t ip[4], uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (!ip[0] && !ip[1] && ip[2] == htonl(0xffff)) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		v4->sin_addr.s_addr = ip[3];
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, ip, 16);
	return sizeof(*v6);
}

/* Until it is ready or the time is up. 0; -ETIMEDOUT; −errno. */
static int await(int fd, short events, uint64_t until)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = loop_now();
		int n = poll(&p, 1, now < until ? (int)((until - now) / 1000000 + 1) : 0);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (now >= until)
			return -ETIMEDOUT;
	}
}

static int pending_error(int fd)
{
	socklen_t size = sizeof(int);
	int err = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) ? -errno : -err;
}

/* A connected socket, or −errno. */
static int connect_to(const uint32_t ip[4], uint16_t port, int type, uint64_t until)
{
	struct sockaddr_storage to;
	socklen_t size = address_of(ip, port, &to);
	int fd = socket(to.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&to, size)) {
		err = -errno;
		if (err == -EINPROGRESS) {
			err = await(fd, POLLOUT, until);
			if (!err)
				err = pending_error(fd);
		}
	}
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int send_all(int fd, const uint8_t *data, size_t size, uint64_t until)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
		int err = n < 0 ? -errno : 0;

		if (err == -EAGAIN || err == -EINTR)
			err = await(fd, POLLOUT, until);
		if (err)
			return err;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

static int receive_all(int fd, uint8_t *data, size_t size, uint64_t until)
{
	while (size) {
		ssize_t n = recv(fd, data, size, 0);
		int err = n < 0 ? -errno : n ? 0 : -ECONNRESET;

		if (err == -EAGAIN || err == -EINTR)
			err = await(fd, POLLIN, until);
		if (err)
			return err;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

/* The ID, that it is an answer, the opcode. */
static bool answers(const struct talk *t, const uint8_t *data, size_t size)
{
	return size >= WIRE_HEADER && !memcmp(data, t->question, 2) && data[2] & 0x80 &&
	       !((data[2] ^ t->question[2]) & 0x78);
}

/* 0; −errno of what was sent and got no answer. */
static int by_tcp(const struct talk *t, int fd, struct signed_reply *r)
{
	uint8_t *framed = malloc(t->size + 2), length[2];
	int err;

	if (!framed)
		return -ENOMEM;
	/* One write: servers are happier with the length and the message in one segment (RFC 7766
	 * 8). */
	framed[0] = (uint8_t)(t->size >> 8);
	framed[1] = (uint8_t)t->size;
	memcpy(framed + 2, t->question, t->size);
	err = send_all(fd, framed, t->size + 2, t->deadline);
	free(framed);
	if (!err)
		err = receive_all(fd, length, 2, t->deadline);
	if (err)
		return err;
	r->size = wire_get16(length);
	r->data = malloc(r->size + 1);
	if (!r->data)
		return -ENOMEM;
	err = receive_all(fd, r->data, r->size, t->deadline);
	return err ? err : answers(t, r->data, r->size) ? 0 : -EBADMSG;
}

static int by_udp(const struct talk *t, int fd, struct signed_reply *r)
{
	r->data = malloc(DNS_MAX_MESSAGE);
	if (!r->data)
		return -ENOMEM;
	r->udp = true;
	if (send(fd, t->question, t->size, MSG_NOSIGNAL) < 0)
		return -errno;
	for (;;) {
		int err = await(fd, POLLIN, t->deadline);
		ssize_t n = err ? -1 : recv(fd, r->data, DNS_MAX_MESSAGE, 0);

		if (err)
			return err;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n >= 0 && answers(t, r->data, (size_t)n)) {
			r->size = (size_t)n;
			return 0;
		}
	}
}

static const char *error_text(int err)
{
	switch (err) {
	case -ETIMEDOUT:
		return "no answer in time";
	case -ECONNREFUSED:
		return "connection refused";
	case -ECONNRESET:
		return "the connection was closed without an answer";
	case -EBADMSG:
		return "the answer is no DNS message";
	default:
		return strerror(-err);
	}
}

static const char *tsig_words(uint16_t error)
{
	switch (error) {
	case TSIG_BADSIG:
		return "the key's secret is not the server's";
	case TSIG_BADKEY:
		return "the server does not know the key by this name and algorithm, or does not "
		       "let it do this";
	default:
		return "the server refuses the signature";
	}
}

/* What the answer's signature makes of it. */
static enum signed_outcome judge(const struct talk *t, struct signed_reply *r, char *why)
{
	uint64_t now = (uint64_t)time(NULL);
	struct tsig_seen seen;
	char a[32], b[16];
	size_t bare;
	int err = tsig_check(t->key, r->data, r->size, &t->mac, now, &seen, &bare);

	r->rcode = r->data[3] & 0x0f;
	r->tsig_error = seen.error;
	if (bare)
		r->size = bare;
	if (!err && !seen.error)
		return SIGNED_ANSWERED;
	if (seen.error == TSIG_BADTIME && !err && seen.other_time) {
		bool ahead = now > seen.other_time;

		text_duration((ahead ? now - seen.other_time : seen.other_time - now) * 1000000000,
			      a);
		snprintf(why, DNS_WHY,
			 "%s: BADTIME: this host's clock is %s %s the server's: set one of them "
			 "right",
			 t->server, a, ahead ? "ahead of" : "behind");
		return SIGNED_DENIED;
	}
	if (seen.error) {
		snprintf(why, DNS_WHY, "%s: %s: %s", t->server, tsig_error(seen.error, b),
			 tsig_words(seen.error));
		return SIGNED_DENIED;
	}
	if (err == -ENOKEY && r->rcode) {
		snprintf(why, DNS_WHY, "%s", t->server);
		return SIGNED_ERROR;
	}
	snprintf(why, DNS_WHY, "%s: the answer cannot be trusted: %s", t->server,
		 err == -ENOKEY		? "it is not signed"
		 : err == -EKEYREJECTED ? "its signature is not of this key"
		 : err == -ETIME	? "it was signed at another time: are the clocks right?"
					: "it is no sound message");
	return SIGNED_LOST;
}

/* Of one address. */
static enum signed_outcome ask_one(struct talk *t, const uint32_t ip[4], uint16_t port,
				   struct signed_reply *r, char *why)
{
	uint64_t patience = loop_now() + t->patience;
	bool udp = false;
	int fd, err;

	fd = connect_to(ip, port, SOCK_STREAM, patience < t->deadline ? patience : t->deadline);
	if (fd < 0 && t->size <= UDP_MAX) {
		int other = connect_to(ip, port, SOCK_DGRAM, t->deadline);

		udp = other >= 0;
		if (udp)
			err = fd;
		fd = udp ? other : fd;
	}
	if (fd < 0) {
		snprintf(why, DNS_WHY, "%s: %s", t->server, error_text(fd));
		return SIGNED_UNREACHED;
	}
	err = udp ? by_udp(t, fd, r) : by_tcp(t, fd, r);
	close(fd);
	if (!err)
		return judge(t, r, why);
	snprintf(why, DNS_WHY, "%s: %s%s", t->server, error_text(err),
		 udp ? " (TCP: no connection; asked over UDP)" : "");
	/* A port that is closed received nothing. */
	return udp && err == -ECONNREFUSED ? SIGNED_UNREACHED : SIGNED_LOST;
}

static int find_server(const struct conf_provider *c, struct resolved *ret, char *why)
{
	int err;

	memset(ret, 0, sizeof(*ret));
	if (c->address.family) {
		memcpy(ret->address[0], c->address.ip, sizeof(ret->address[0]));
		ret->n = 1;
		return 0;
	}
	err = resolve_host(c->server, ret);
	if (err)
		snprintf(why, DNS_WHY, "%.200s: %s", c->server,
			 err == -ENOENT ? "there is no such name" : "the name cannot be resolved");
	return err;
}

enum signed_outcome signed_ask(const struct conf_provider *c, const struct tsig_key *k,
			       struct wire_out *question, struct signed_reply *ret, char *why)
{
	uint64_t timeout = (c->timeout_ms ? c->timeout_ms : TIMEOUT_MS) * 1000000;
	struct talk t = {.key = k, .deadline = loop_now() + timeout};
	enum signed_outcome got = SIGNED_UNREACHED;
	struct resolved at;
	char a[64];

	memset(ret, 0, sizeof(*ret));
	if (find_server(c, &at, why))
		return SIGNED_UNREACHED;
	if (getrandom(question->data, 2, 0) != 2 ||
	    tsig_sign(k, question, (uint64_t)time(NULL), NULL, 0, 0, &t.mac)) {
		snprintf(why, DNS_WHY, "the message cannot be signed");
		return SIGNED_UNREACHED;
	}
	t.question = question->data;
	t.size = question->used;
	for (unsigned int i = 0; i < at.n && got == SIGNED_UNREACHED; i++) {
		t.patience = timeout / (2 * at.n);
		signed_reply_free(ret);
		text_address(at.address[i], htons(c->port), a);
		snprintf(t.server, sizeof(t.server), "%s", a);
		got = ask_one(&t, at.address[i], c->port, ret, why);
	}
	return got;
}

void signed_reply_free(struct signed_reply *r)
{
	free(r->data);
	memset(r, 0, sizeof(*r));
}
