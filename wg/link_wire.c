/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One socket for all of a tunnel's requests. libnl builds and reads the objects; the transport is
 * ours, because libnl's turns the kernel's errno into one of its own, of which there are fewer, and
 * keeps the extended ACK to itself.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <netlink/cache.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "userspace/base/ip.h"
#include "wg/link_inner.h"

#define ROOM_FOR_ERRORS (4 << 20)

int link_wire_open(struct link_wire *w)
{
	int on = 1, room = ROOM_FOR_ERRORS;
	int fd;

	memset(w, 0, sizeof(*w));
	w->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!w->socket)
		return -errno;
	if (mnl_socket_bind(w->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;

		link_wire_close(w);
		return err;
	}
	fd = mnl_socket_get_fd(w->socket);
	/* None of these is needed to be right: words, speed, and room for a thousand refusals. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	return 0;
}

void link_wire_close(struct link_wire *w)
{
	if (w->socket)
		mnl_socket_close(w->socket);
	w->socket = NULL;
}

/* What follows an NLMSG_ERROR's or NLMSG_DONE's number. */
static void keep_words(struct link_wire *w, const struct nlmsghdr *h, size_t offset)
{
	const struct nlattr *a;

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	mnl_attr_for_each (a, h, (unsigned int)offset) {
		if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG &&
		    !mnl_attr_validate(a, MNL_TYPE_NUL_STRING))
			snprintf(w->why, sizeof(w->why), "%s", mnl_attr_get_str(a));
	}
}

/* The −errno (or 0) in NLMSG_ERROR and in NLMSG_DONE: a dump whose filter names what is not there
 * fails in the latter. */
static int answer_code(struct link_wire *w, const struct nlmsghdr *h)
{
	int code;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(code))
		return h->nlmsg_type == NLMSG_DONE ? 0 : -EPROTO;
	memcpy(&code, mnl_nlmsg_get_payload(h), sizeof(code));
	if (code >= 0)
		return 0;
	if (h->nlmsg_type == NLMSG_DONE)
		keep_words(w, h, sizeof(code));
	else if (h->nlmsg_flags & NLM_F_CAPPED)
		keep_words(w, h, sizeof(struct nlmsgerr));
	return code;
}

/* 1: the answer is complete, its result in *result. */
static int take_answer(struct link_wire *w, const char *buffer, int n, mnl_cb_t cb, void *arg,
		       int *result)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)buffer;

	for (; mnl_nlmsg_ok(h, n); h = mnl_nlmsg_next(h, &n)) {
		if (h->nlmsg_seq != w->seq)
			continue;
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			*result = -EINTR;
		if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE) {
			int code = answer_code(w, h);

			if (code)
				*result = code;
			return 1;
		}
		/* The rest is read, too, so that it is not taken for the next request's. */
		if (h->nlmsg_type >= NLMSG_MIN_TYPE && cb && !*result && cb(h, arg) < 0)
			*result = -errno;
	}
	return 0;
}

int link_wire_ask(struct link_wire *w, struct nlmsghdr *h, mnl_cb_t cb, void *arg)
{
	char buffer[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
	int result = 0, over = 0;

	w->why[0] = '\0';
	h->nlmsg_seq = ++w->seq;
	h->nlmsg_pid = 0;
	h->nlmsg_flags |= NLM_F_REQUEST;
	if ((h->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		h->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(w->socket, h, h->nlmsg_len) < 0)
		return -errno;
	while (!over) {
		ssize_t n = mnl_socket_recvfrom(w->socket, buffer, sizeof(buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		over = take_answer(w, buffer, (int)n, cb, arg, &result);
	}
	return result;
}

int link_wire_tell(struct link_wire *w, struct nl_msg *m)
{
	int err = link_wire_ask(w, nlmsg_hdr(m), NULL, NULL);

	nlmsg_free(m);
	return err;
}

int link_wire_collect(struct link_wire *w, uint32_t last, int *ret_first)
{
	char buffer[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
	int failed = 0, first = 0;

	for (;;) {
		const struct nlmsghdr *h = (const struct nlmsghdr *)buffer;
		ssize_t got = mnl_socket_recvfrom(w->socket, buffer, sizeof(buffer));
		int n = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		for (; mnl_nlmsg_ok(h, n); h = mnl_nlmsg_next(h, &n)) {
			int code;

			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			code = answer_code(w, h);
			failed += code != 0;
			first = first ? first : code;
			if (h->nlmsg_seq == last) {
				*ret_first = first;
				return failed;
			}
		}
	}
}

static void keep_object(struct nl_object *o, void *arg)
{
	struct nl_object **ret = arg;

	nl_object_get(o);
	if (*ret)
		nl_object_put(*ret);
	*ret = o;
}

struct nl_object *link_object(const struct nlmsghdr *h)
{
	struct nl_msg *m = nlmsg_convert((struct nlmsghdr *)h);
	struct nl_object *ret = NULL;

	if (!m)
		return NULL;
	nlmsg_set_proto(m, NETLINK_ROUTE);
	if (nl_msg_parse(m, keep_object, &ret) < 0 && ret) {
		nl_object_put(ret);
		ret = NULL;
	}
	nlmsg_free(m);
	return ret;
}

struct nl_addr *link_nl_address(const struct link_network *a)
{
	struct nl_addr *ret = a->family == 4 ? nl_addr_build(AF_INET, &a->ip[3], 4)
					     : nl_addr_build(AF_INET6, a->ip, 16);

	if (ret)
		nl_addr_set_prefixlen(ret, a->prefix);
	return ret;
}

int link_network_of(const struct nl_addr *a, struct link_network *ret)
{
	struct link_network n = {.prefix = (uint8_t)nl_addr_get_prefixlen(a)};
	int family = nl_addr_get_family(a);
	unsigned int size = nl_addr_get_len(a);
	uint32_t v4 = 0;

	/* A default route's destination has no bytes. */
	if (family == AF_INET && (size == 4 || !size)) {
		n.family = 4;
		memcpy(&v4, nl_addr_get_binary_addr(a), size);
		ip_map(v4, n.ip);
	} else if (family == AF_INET6 && (size == 16 || !size)) {
		n.family = 6;
		memcpy(n.ip, nl_addr_get_binary_addr(a), size);
	} else {
		return -EAFNOSUPPORT;
	}
	*ret = n;
	return 0;
}
