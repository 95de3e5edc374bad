/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wireguard.c - WireGuard devices over generic netlink
 *
 * What it owns: nothing that lasts. A call opens a socket, asks, and closes it. The parts:
 *
 *   wireguard_parse.c  the kernel's messages, understood          (no socket)
 *   wireguard_diff.c   what differs, as steps in their order      (pure)
 *   wireguard_text.c   steps in words
 *   wireguard_send.c   steps as messages; how a network is removed (no socket)
 *   this file          the socket, and who owns memory
 *
 * What it promises: a device that is as it shall be gets no message at all, and a peer that is gets
 * none either. No peer's session ends and no allowed IP is absent for a moment because of a change
 * elsewhere (the orders in wireguard.h, the throw-away peer in wireguard_send.c). What was read is
 * one moment's picture: a dump that was changed underway is read again. Keys are wiped in all
 * memory of ours, and no text has any but public ones.
 *
 * How it fails: reading gives all or nothing. Sending may stop between two messages; each is done
 * or (mostly) not, and another read and diff go on from there. Within a message the kernel stops at
 * the first peer that it does not like. Nothing blocks for longer than LIMIT_S.
 *
 * It follows include/uapi/linux/wireguard.h and drivers/net/wireguard/netlink.c.
 *
 * Weaknesses. An IPv6 link-local endpoint loses its scope. A peer with the device's own public key
 * is passed over by the kernel without an error, so it is in every diff again. The kernel's buffers
 * that held keys are its own to wipe.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "wg/wireguard_message.h"

#define TRIES	16
#define LIMIT_S 10
/* The kernel fills at most this much per read of a dump (netlink_dump in af_netlink.c). */
#define ANSWER 32768

struct bus {
	struct mnl_socket *socket;
	uint32_t seq;
	uint16_t family;
	char *answer;
};

static void bus_close(struct bus *b)
{
	if (b->answer)
		explicit_bzero(b->answer, ANSWER);
	free(b->answer);
	if (b->socket)
		mnl_socket_close(b->socket);
}

static int send_request(struct bus *b, struct nlmsghdr *h)
{
	ssize_t n;

	h->nlmsg_seq = ++b->seq;
	do
		n = mnl_socket_sendto(b->socket, h, h->nlmsg_len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* One datagram from the kernel; its size. */
static ssize_t receive(struct bus *b)
{
	struct sockaddr_nl from = {0};
	struct iovec part = {b->answer, ANSWER};
	struct msghdr m = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;

	for (;;) {
		n = recvmsg(mnl_socket_get_fd(b->socket), &m, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (m.msg_namelen == sizeof(from) && !from.nl_pid)
			break;
		m.msg_namelen = sizeof(from);
	}
	return m.msg_flags & MSG_TRUNC || !n ? -EPROTO : n;
}

static int find_family(struct bus *b)
{
	char buffer[128];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *g;
	ssize_t n = 0;
	int err;

	h->nlmsg_type = GENL_ID_CTRL;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->cmd = CTRL_CMD_GETFAMILY;
	g->version = 1;
	mnl_attr_put_strz(h, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
	err = send_request(b, h);
	if (!err)
		err = 1;
	while (err > 0) {
		n = receive(b);
		err = n < 0 ? (int)n : wg_parse_family(b->answer, (size_t)n, b->seq, &b->family);
	}
	if (err == -ENOENT)
		return -EPROTONOSUPPORT;
	return err ? err : b->family ? 0 : -EPROTO;
}

static int bus_open(struct bus *b)
{
	struct timeval limit = {.tv_sec = LIMIT_S};
	int on = 1, fd;

	*b = (struct bus){.answer = malloc(ANSWER)};
	if (!b->answer)
		return -ENOMEM;
	b->socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!b->socket || mnl_socket_bind(b->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	fd = mnl_socket_get_fd(b->socket);
	/* Without CAP_ACK an error brings the request back, keys and all. */
	mnl_socket_setsockopt(b->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(b->socket, NETLINK_EXT_ACK, &on, sizeof(on));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		return -errno;
	return find_family(b);
}

/* All answers to the last request, into `s`. */
static int answers(struct bus *b, struct wg_parse *s)
{
	int err = 1;

	s->seq = b->seq;
	s->family = b->family;
	while (err > 0) {
		ssize_t n = receive(b);

		err = n < 0 ? (int)n : wg_parse_answer(b->answer, (size_t)n, s);
	}
	return err;
}

static int ask(struct bus *b, const char *name, struct wg_parse *s)
{
	char buffer[128];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *g;
	int err;

	h->nlmsg_type = b->family;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_DUMP;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->cmd = WG_CMD_GET_DEVICE;
	g->version = WG_GENL_VERSION;
	mnl_attr_put_strz(h, WGDEVICE_A_IFNAME, name);
	err = send_request(b, h);
	return err ? err : answers(b, s);
}

int wg_read(const char *name, struct wg_device *ret)
{
	struct wg_parse s;
	int err = -EAGAIN;

	if (!name[0] || strlen(name) >= sizeof(ret->name))
		return -ENODEV;
	for (int i = 0; i < TRIES; i++) {
		struct bus b;

		s = (struct wg_parse){0};
		err = bus_open(&b);
		if (!err)
			err = ask(&b, name, &s);
		bus_close(&b);
		if (!err && !s.interrupted && (!s.device.name[0] || !s.device.ifindex))
			err = -EPROTO;
		if (!err && !s.interrupted) {
			*ret = s.device;
			explicit_bzero(&s, sizeof(s));
			return 0;
		}
		wg_free(&s.device);
		/* A rename or a change underway may end a dump in any way; so a new socket each. */
		if (err && err != -EINTR && err != -ENOBUFS && err != -EAGAIN)
			return err;
	}
	return err && err != -EINTR ? err : -EAGAIN;
}

struct sending {
	struct bus bus;
	char *why;
	size_t size;
};

static int send_one(struct nlmsghdr *h, void *arg)
{
	struct sending *to = arg;
	struct wg_parse s = {0};
	int err = send_request(&to->bus, h);

	if (!err)
		err = answers(&to->bus, &s);
	if (err && to->size)
		snprintf(to->why, to->size, "%s", s.why);
	wg_free(&s.device);
	return err;
}

int wg_send(const struct wg_delta *d, char *why, size_t size)
{
	struct sending to = {.why = why, .size = size};
	uint8_t throwaway[KEY_SIZE];
	int err;

	if (size)
		why[0] = '\0';
	if (!d->n)
		return 0;
	if (getrandom(throwaway, sizeof(throwaway), 0) != sizeof(throwaway))
		return -errno;
	err = bus_open(&to.bus);
	if (!err)
		err = wg_write(d, to.bus.family, throwaway, send_one, &to);
	bus_close(&to.bus);
	return err;
}

/* ---- memory ---- */

static void free_peers(struct wg_device *d)
{
	for (size_t i = 0; i < d->n_peers; i++)
		free(d->peers[i].allowed);
	if (d->peers)
		explicit_bzero(d->peers, d->n_peers * sizeof(*d->peers));
	free(d->peers);
	d->peers = NULL;
	d->n_peers = 0;
}

void wg_free(struct wg_device *d)
{
	free_peers(d);
	explicit_bzero(d, sizeof(*d));
}

void wg_forget_keys(struct wg_device *d)
{
	explicit_bzero(d->private_key, sizeof(d->private_key));
	for (size_t i = 0; i < d->n_peers; i++)
		explicit_bzero(d->peers[i].psk, sizeof(d->peers[i].psk));
}

int wg_make_peers(struct wg_device *d, size_t n)
{
	struct wg_peer *list = NULL;

	if (n) {
		list = calloc(n, sizeof(*list));
		if (!list)
			return -ENOMEM;
	}
	free_peers(d);
	d->peers = list;
	d->n_peers = n;
	return 0;
}

int wg_make_allowed(struct wg_peer *p, size_t n)
{
	struct wg_network *list = NULL;

	if (n) {
		list = calloc(n, sizeof(*list));
		if (!list)
			return -ENOMEM;
	}
	free(p->allowed);
	p->allowed = list;
	p->n_allowed = n;
	return 0;
}
