/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * charon.c - the talk with charon: one socket, one request at a time, events in between
 *
 * Owns the connection to VICI's socket. charon owns everything else: keys, SAs, policies, timers.
 * charon_load.c says how a tunnel of the configuration becomes a connection of charon's,
 * charon_list.c reads what charon tells, charon_control.c starts and ends.
 *
 * Promises: no call blocks for longer than its limit, whatever the other side does: the socket
 * never blocks, and every wait is a poll up to one deadline for the whole call, so that a byte now
 * and then does not stretch it. Memory for a packet is taken only when its length is believable. A
 * stream that does not end is cut by the deadline and by PACKETS. Secrets go to a socket of root's
 * or our own user's only.
 *
 * VICI does not number its requests. A call that gave up midway leaves an answer on the way that
 * would be taken for that of the next one, so the connection is then spoilt for good, and its owner
 * opens another. Events that were registered for come whenever they like, also amid an answer: they
 * are kept in a ring of EVENTS; when it overflows, that is said, once.
 *
 * Follows strongSwan's src/libcharon/plugins/vici/README.md and, for what the README leaves open,
 * vici_control.c and vici_query.c of 5.9.8.
 *
 * Weakness: what charon says in words is all there is to tell failures apart; a charon of another
 * version may word them differently, and then -ETIMEDOUT may come as -ECONNABORTED.
 */
#include "wg/charon.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "wg/charon_inner.h"

#define EVENTS	64
#define PACKETS 16384 /* during one call */
#define SKIPPED 64    /* packets that are no event of ours, in one charon_event */

struct charon {
	int fd;
	int spoilt;	      /* the error that spoilt it */
	uint64_t patience_ns; /* for one request; 0: as long as that takes */
	uint8_t head[4];      /* of the packet that is arriving */
	uint8_t *packet;      /* NULL while its length is */
	size_t size, have;
	struct charon_event ring[EVENTS];
	unsigned int first, n;
	bool lost;
};

static const char *const followed[] = {"ike-updown", "child-updown", "ike-rekey", "child-rekey"};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int in_words(int err, char *why, size_t size)
{
	switch (err) {
	case -ETIMEDOUT:
		snprintf(why, size, "charon did not answer in time");
		break;
	case -ECONNRESET:
		snprintf(why, size, "charon has closed the connection: it ended or restarts");
		break;
	case -EBADMSG:
		snprintf(why, size, "charon's answer is not VICI as we know it");
		break;
	case -E2BIG:
		snprintf(why, size, "charon's answer is larger than is believed");
		break;
	case -EOPNOTSUPP:
		snprintf(why, size, "this charon does not know what it is asked");
		break;
	case -ENOTCONN:
		snprintf(why, size, "the connection to charon broke before");
		break;
	default:
		snprintf(why, size, "charon cannot be asked: %s", strerror(-err));
		break;
	}
	return err;
}

/* ---- the socket ---- */

/* -ETIMEDOUT when it is not ready before the deadline. */
static int wait_for(int fd, short what, uint64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = what};

	for (;;) {
		uint64_t t = now();
		uint64_t ms = t < deadline ? (deadline - t + 999999) / 1000000 : 0;
		int n = poll(&p, 1, ms > 60000 ? 60000 : (int)ms);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (!n && t >= deadline)
			return -ETIMEDOUT;
	}
}

static int connect_to(const char *path, int *ret)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	uint64_t deadline = now() + CHARON_ANSWER_NS;
	int fd, err;

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: too many wait to be accepted; nothing tells when that is over. */
	while ((err = connect(fd, (struct sockaddr *)&a, sizeof(a)) ? -errno : 0) == -EAGAIN &&
	       now() < deadline)
		poll(NULL, 0, 20);
	if (err) {
		close(fd);
		return err == -EAGAIN ? -ETIMEDOUT : err;
	}
	*ret = fd;
	return 0;
}

/* Preshared keys go there. */
static int check_owner(int fd)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size))
		return -errno;
	return !who.uid || who.uid == geteuid() ? 0 : -EPERM;
}

int charon_open(const char *path, struct charon **ret, char *why, size_t size)
{
	struct charon *c;
	int fd = -1, err = connect_to(path, &fd);

	if (!err)
		err = check_owner(fd);
	c = err ? NULL : calloc(1, sizeof(*c));
	if (!err && !c)
		err = -ENOMEM;
	if (!err) {
		c->fd = fd;
		*ret = c;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	if (err == -ENOENT)
		snprintf(why, size, "%s: charon does not run, there is no such socket", path);
	else if (err == -ECONNREFUSED)
		snprintf(why, size, "%s: charon does not run, nobody listens there", path);
	else if (err == -EPERM)
		snprintf(why, size, "%s: another user listens there", path);
	else if (err == -ETIMEDOUT)
		snprintf(why, size, "%s: charon does not accept connections", path);
	else
		snprintf(why, size, "%s: %s", path, strerror(-err));
	return err;
}

static void drop_packet(struct charon *c)
{
	free(c->packet);
	c->packet = NULL;
	c->size = 0;
	c->have = 0;
}

void charon_close(struct charon *c)
{
	if (!c)
		return;
	drop_packet(c);
	close(c->fd);
	free(c);
}

void charon_hurry(struct charon *c, uint64_t patience_ns)
{
	c->patience_ns = patience_ns;
}

int charon_fd(const struct charon *c)
{
	return c->fd;
}

static int send_some(struct charon *c, const void *data, size_t size, uint64_t deadline)
{
	const uint8_t *at = data;

	while (size) {
		ssize_t n = send(c->fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		int err;

		if (n > 0) {
			at += n;
			size -= (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return errno == EPIPE ? -ECONNRESET : -errno;
		err = wait_for(c->fd, POLLOUT, deadline);
		if (err)
			return err;
	}
	return 0;
}

static int send_packet(struct charon *c, const struct vici_message *m, uint64_t deadline)
{
	uint8_t head[4] = {(uint8_t)(m->size >> 24), (uint8_t)(m->size >> 16),
			   (uint8_t)(m->size >> 8), (uint8_t)m->size};
	int err = m->err;

	if (!err)
		err = send_some(c, head, sizeof(head), deadline);
	return err ? err : send_some(c, m->data, m->size, deadline);
}

/* The length has arrived. */
static int begin_packet(struct charon *c)
{
	size_t size = (size_t)c->head[0] << 24 | (size_t)c->head[1] << 16 |
		      (size_t)c->head[2] << 8 | c->head[3];

	if (size > VICI_MAX)
		return -E2BIG;
	if (!size)
		return -EBADMSG;
	c->packet = malloc(size);
	if (!c->packet)
		return -ENOMEM;
	c->size = size;
	c->have = 0;
	return 0;
}

/* What has arrived of the packet, and no byte of the next. 1: it is whole; 0: not yet. */
static int read_some(struct charon *c)
{
	for (;;) {
		bool body = c->packet;
		uint8_t *to = body ? c->packet : c->head;
		size_t size = body ? c->size : sizeof(c->head);
		ssize_t n = recv(c->fd, to + c->have, size - c->have, MSG_DONTWAIT);
		int err = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (!n)
			return -ECONNRESET;
		c->have += (size_t)n;
		if (c->have < size)
			continue;
		if (body)
			return 1;
		err = begin_packet(c);
		if (err)
			return err;
	}
}

/* A whole packet, opened; it lives until drop_packet. */
static int next_packet(struct charon *c, struct vici_reader *r, uint64_t deadline)
{
	int n;

	while (!(n = read_some(c))) {
		int err = wait_for(c->fd, POLLIN, deadline);

		if (err)
			return err;
	}
	return n < 0 ? n : vici_open(r, c->packet, c->size);
}

/* ---- events ---- */

static bool is_followed(const char *name)
{
	for (size_t i = 0; i < sizeof(followed) / sizeof(followed[0]); i++)
		if (!strcmp(name, followed[i]))
			return true;
	return false;
}

static int keep_event(struct charon *c, struct vici_reader *r)
{
	struct charon_event e;
	int err = charon_parse_event(r, &e);

	if (err)
		return err;
	if (c->n == EVENTS) {
		c->lost = true;
		c->first = (c->first + 1) % EVENTS;
		c->n--;
	}
	c->ring[(c->first + c->n++) % EVENTS] = e;
	return 0;
}

/*
 * Packets up to one that is no event; `ask` tells what to do with those of the stream. The packet
 * is left for the caller, who drops it.
 */
static int next_answer(struct charon *c, const struct charon_ask *ask, struct vici_reader *r,
		       uint64_t deadline, unsigned int *budget)
{
	for (;;) {
		int err = next_packet(c, r, deadline);

		if (err)
			return err;
		if (r->type != VICI_EVENT)
			return 0;
		if (now() > deadline)
			return -ETIMEDOUT;
		if (!--*budget)
			return -E2BIG;
		if (is_followed(r->name))
			err = keep_event(c, r);
		else if (ask && ask->events && !strcmp(r->name, ask->events))
			err = ask->on_event(ask->arg, r);
		drop_packet(c);
		if (err)
			return err;
	}
}

static int send_registration(struct charon *c, enum vici_packet type, const char *event,
			     const struct charon_ask *ask, uint64_t deadline, unsigned int *budget)
{
	struct vici_message m;
	struct vici_reader r;
	int err;

	vici_begin(&m, type, event);
	err = send_packet(c, &m, deadline);
	vici_free(&m);
	if (!err)
		err = next_answer(c, ask, &r, deadline, budget);
	if (!err && r.type == VICI_EVENT_UNKNOWN)
		err = -EOPNOTSUPP;
	else if (!err && r.type != VICI_EVENT_CONFIRM)
		err = -EBADMSG;
	drop_packet(c);
	return err;
}

int charon_follow(struct charon *c)
{
	unsigned int budget = PACKETS;
	uint64_t deadline = now() + CHARON_ANSWER_NS;
	int err = c->spoilt;

	for (size_t i = 0; !err && i < sizeof(followed) / sizeof(followed[0]); i++)
		err = send_registration(c, VICI_EVENT_REGISTER, followed[i], NULL, deadline,
					&budget);
	if (err != -EOPNOTSUPP)
		c->spoilt = err;
	return err;
}

int charon_event(struct charon *c, struct charon_event *ret)
{
	struct vici_reader r;
	int n = 0;

	for (unsigned int i = 0; !c->n && !c->lost && i < SKIPPED; i++) {
		n = c->spoilt ? c->spoilt : read_some(c);
		if (n <= 0)
			break;
		n = vici_open(&r, c->packet, c->size);
		if (!n && r.type == VICI_EVENT && is_followed(r.name))
			n = keep_event(c, &r);
		drop_packet(c);
		if (n < 0)
			break;
	}
	if (c->lost) {
		c->lost = false;
		return -ENOBUFS;
	}
	if (!c->n) {
		if (n < 0)
			c->spoilt = n;
		return n < 0 ? n : 0;
	}
	*ret = c->ring[c->first];
	c->first = (c->first + 1) % EVENTS;
	c->n--;
	return 1;
}

/* ---- requests ---- */

static int parse_answer(struct vici_reader *r, struct charon_answer *ret)
{
	struct vici_part p;
	int err;

	*ret = (struct charon_answer){0};
	while (!(err = vici_next(r, &p)) && p.kind != VICI_END) {
		if (p.kind != VICI_KEY_VALUE || r->depth)
			continue;
		if (vici_is(&p, "success")) {
			ret->said = true;
			ret->success = p.value_size == 3 && !memcmp(p.value, "yes", 3);
		} else if (vici_is(&p, "errmsg")) {
			vici_copy(&p, ret->error, sizeof(ret->error));
		}
	}
	return err;
}

static int exchange(struct charon *c, const struct charon_ask *ask, struct charon_answer *ret)
{
	bool hurry = c->patience_ns && c->patience_ns < ask->limit_ns;
	uint64_t deadline = now() + (hurry ? c->patience_ns : ask->limit_ns);
	unsigned int budget = PACKETS;
	struct vici_reader r;
	int err = 0;

	if (ask->events)
		err = send_registration(c, VICI_EVENT_REGISTER, ask->events, ask, deadline,
					&budget);
	if (!err)
		err = send_packet(c, ask->m, deadline);
	if (!err)
		err = next_answer(c, ask, &r, deadline, &budget);
	if (!err && r.type == VICI_CMD_UNKNOWN)
		err = -EOPNOTSUPP;
	else if (!err)
		err = r.type == VICI_CMD_RESPONSE ? parse_answer(&r, ret) : -EBADMSG;
	drop_packet(c);
	if (!err && ask->events)
		err = send_registration(c, VICI_EVENT_UNREGISTER, ask->events, ask,
					deadline + CHARON_ANSWER_NS, &budget);
	return err;
}

int charon_ask(struct charon *c, const struct charon_ask *ask, struct charon_answer *ret, char *why,
	       size_t size)
{
	int err = ask->m->err;

	if (err) {
		snprintf(why, size, "the request to charon cannot be made: %s", strerror(-err));
		return err;
	}
	if (c->spoilt)
		return in_words(-ENOTCONN, why, size);
	err = exchange(c, ask, ret);
	if (!err)
		return 0;
	if (err != -EOPNOTSUPP)
		c->spoilt = err;
	return in_words(err, why, size);
}

int charon_tell(struct charon *c, struct vici_message *m, char *why, size_t size)
{
	struct charon_answer a;
	const struct charon_ask ask = {.m = m, .limit_ns = CHARON_ANSWER_NS};
	int err = charon_ask(c, &ask, &a, why, size);

	if (err || a.success)
		return err;
	snprintf(why, size, "charon says: %s", a.error[0] ? a.error : "no, and not why");
	return -EREMOTEIO;
}
