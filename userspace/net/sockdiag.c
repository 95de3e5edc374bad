/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/sockdiag.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/ip.h"

#define STATE_ESTABLISHED 1 /* net/tcp_states.h */

struct sockdiag {
	struct mnl_socket *socket;
	uint32_t sequence;
	char answer[65536];
};

struct walk {
	sockdiag_fn fn;
	void *arg;
	int ended;
};

/* What of struct tcp_info is asked for here; kernels since 4.1 give it. */
#define INFO_NEEDED (offsetof(struct tcp_info, tcpi_segs_out))

static void read_address(uint8_t family, const __be32 from[4], uint32_t ret[4])
{
	if (family == AF_INET)
		ip_map(from[0], ret);
	else
		memcpy(ret, from, 16);
}

static bool read_one(const struct nlmsghdr *h, struct sockdiag_seen *ret)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m) ||
	    (m->idiag_family != AF_INET && m->idiag_family != AF_INET6))
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->name.id = m->id;
	ret->name.family = m->idiag_family;
	read_address(m->idiag_family, m->id.idiag_src, ret->local);
	read_address(m->idiag_family, m->id.idiag_dst, ret->remote);
	ret->local_port = m->id.idiag_sport;
	ret->remote_port = m->id.idiag_dport;
	ret->unread = m->idiag_rqueue;
	ret->unsent = m->idiag_wqueue;
	mnl_attr_for_each (a, h, sizeof(*m)) {
		struct tcp_info info = {0};
		size_t size = mnl_attr_get_payload_len(a);

		if (mnl_attr_get_type(a) != INET_DIAG_INFO || size < INFO_NEEDED)
			continue;
		memcpy(&info, mnl_attr_get_payload(a), size < sizeof(info) ? size : sizeof(info));
		ret->timed = true;
		ret->sent_ms = info.tcpi_last_data_sent;
		ret->received_ms = info.tcpi_last_data_recv;
		ret->in_flight = info.tcpi_unacked;
		ret->received = info.tcpi_bytes_received;
		ret->answered = info.tcpi_bytes_acked;
	}
	return m->idiag_state == STATE_ESTABLISHED;
}

static int on_message(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	struct sockdiag_seen seen;

	if (!w->ended && read_one(h, &seen))
		w->ended = w->fn(&seen, w->arg);
	return MNL_CB_OK; /* the rest of the answer has to be taken, too */
}

/* Sends the request and takes the whole answer; w may be NULL for one without messages. */
static int exchange(struct sockdiag *s, struct nlmsghdr *h, struct walk *w)
{
	uint32_t me = mnl_socket_get_portid(s->socket);
	int err;

	h->nlmsg_seq = ++s->sequence ? s->sequence : ++s->sequence;
	if (mnl_socket_sendto(s->socket, h, h->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t n = mnl_socket_recvfrom(s->socket, s->answer, sizeof(s->answer));

		if (n < 0 && errno == EINTR) {
			err = 1;
			continue;
		}
		if (n < 0)
			return -errno;
		err = mnl_cb_run(s->answer, (size_t)n, h->nlmsg_seq, me, w ? on_message : NULL, w);
		if (err < 0)
			err = -errno;
		/* an exact question has one message for an answer, and no end */
		if (err > 0 && !(h->nlmsg_flags & (NLM_F_ACK | NLM_F_DUMP)))
			err = 0;
	} while (err > 0);
	return err;
}

static struct inet_diag_req_v2 *put_request(char *buffer, uint16_t type, uint16_t flags,
					    uint8_t family, struct nlmsghdr **ret)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct inet_diag_req_v2 *q;

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	q = mnl_nlmsg_put_extra_header(h, sizeof(*q));
	q->sdiag_family = family;
	q->sdiag_protocol = IPPROTO_TCP;
	q->idiag_states = 1u << STATE_ESTABLISHED;
	*ret = h;
	return q;
}

int sockdiag_make(struct sockdiag **ret)
{
	struct sockdiag *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->socket = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	if (!s->socket || mnl_socket_bind(s->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		err = -errno;
		sockdiag_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void sockdiag_free(struct sockdiag *s)
{
	if (!s)
		return;
	if (s->socket)
		mnl_socket_close(s->socket);
	free(s);
}

/* A connection that cannot be: port 0 on both sides. */
int sockdiag_can_close(struct sockdiag *s)
{
	char buffer[256];
	struct nlmsghdr *h;
	struct inet_diag_req_v2 *q = put_request(buffer, SOCK_DESTROY, NLM_F_ACK, AF_INET, &h);
	int err;

	q->id.idiag_cookie[0] = q->id.idiag_cookie[1] = 1;
	err = exchange(s, h, NULL);
	return err == -ENOENT || err == -ESTALE ? 0 : err;
}

int sockdiag_each(struct sockdiag *s, uint16_t local_port, sockdiag_fn fn, void *arg)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct walk w = {.fn = fn, .arg = arg};

	for (size_t i = 0; i < 2 && !w.ended; i++) {
		char buffer[256];
		struct nlmsghdr *h;
		struct inet_diag_req_v2 *q =
			put_request(buffer, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, families[i], &h);
		int err;

		q->idiag_ext = 1u << (INET_DIAG_INFO - 1);
		q->id.idiag_sport = local_port;
		err = exchange(s, h, &w);
		/* a host without IPv6 */
		if (err && !(families[i] == AF_INET6 && err == -ENOENT))
			return err;
	}
	return w.ended;
}

static int keep_seen(const struct sockdiag_seen *seen, void *arg)
{
	*(struct sockdiag_seen *)arg = *seen;
	return 1;
}

int sockdiag_look(struct sockdiag *s, const struct sockdiag_name *name, struct sockdiag_seen *ret)
{
	struct walk w = {.fn = keep_seen, .arg = ret};
	char buffer[256];
	struct nlmsghdr *h;
	struct inet_diag_req_v2 *q = put_request(buffer, SOCK_DIAG_BY_FAMILY, 0, name->family, &h);
	int err;

	q->idiag_ext = 1u << (INET_DIAG_INFO - 1);
	q->id = name->id;
	err = exchange(s, h, &w);
	if (err == -ESTALE || (!err && !w.ended))
		return -ENOENT;
	return err;
}

int sockdiag_close(struct sockdiag *s, const struct sockdiag_name *name)
{
	char buffer[256];
	struct nlmsghdr *h;
	struct inet_diag_req_v2 *q = put_request(buffer, SOCK_DESTROY, NLM_F_ACK, name->family, &h);
	int err;

	q->id = name->id;
	err = exchange(s, h, NULL);
	return err == -ESTALE ? -ENOENT : err;
}
