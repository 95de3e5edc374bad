/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wireguard_parse.c - what the kernel says of a device
 *
 * Nothing is believed: each attribute's length is looked at before its bytes are, and bytes that
 * are no attribute make the whole answer -EPROTO, because a picture of half a device would make the
 * diff take the other half away or send it again. Attributes of a newer kernel are passed over.
 * (libmnl's mnl_nlmsg_ok compares a message's length as a signed number: 0xffffffff passes. So it
 * is done here.)
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "wg/wireguard_message.h"

#define NS 1000000000ull

typedef int (*attribute_cb)(const struct nlattr *a, void *arg);

static int each(const void *bytes, size_t size, attribute_cb cb, void *arg)
{
	const char *at = bytes;

	while (size) {
		const struct nlattr *a = (const void *)at;
		size_t step;
		int err;

		if (size < sizeof(*a) || a->nla_len < sizeof(*a) || a->nla_len > size)
			return -EPROTO;
		err = cb(a, arg);
		if (err)
			return err;
		step = MNL_ALIGN(a->nla_len);
		if (step > size)
			step = size; /* the last one may come without its padding */
		at += step;
		size -= step;
	}
	return 0;
}

static int each_in(const struct nlattr *a, attribute_cb cb, void *arg)
{
	return each(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a), cb, arg);
}

/* Copies an attribute of exactly this size. */
static int take(const struct nlattr *a, void *ret, size_t size)
{
	if (mnl_attr_get_payload_len(a) != size)
		return -EPROTO;
	memcpy(ret, mnl_attr_get_payload(a), size);
	return 0;
}

/*
 * Room for one more. No realloc: it would leave what it moved, keys among it, behind.
 */
static void *grow(void *old, size_t n, size_t *room, size_t each_size)
{
	size_t next = *room ? *room * 2 : 8;
	void *p;

	if (n < *room)
		return old;
	p = calloc(next, each_size);
	if (!p)
		return NULL;
	if (n)
		memcpy(p, old, n * each_size);
	if (old)
		explicit_bzero(old, *room * each_size);
	free(old);
	*room = next;
	return p;
}

/* ---- allowed IPs ---- */

struct allowed {
	uint16_t family;
	uint8_t ip[16];
	size_t ip_size;
	uint8_t prefix;
	bool has_family, has_prefix;
};

static int allowed_attribute(const struct nlattr *a, void *arg)
{
	struct allowed *x = arg;

	switch (mnl_attr_get_type(a)) {
	case WGALLOWEDIP_A_FAMILY:
		x->has_family = true;
		return take(a, &x->family, sizeof(x->family));
	case WGALLOWEDIP_A_IPADDR:
		x->ip_size = mnl_attr_get_payload_len(a);
		if (x->ip_size != 4 && x->ip_size != 16)
			return -EPROTO;
		return take(a, x->ip, x->ip_size);
	case WGALLOWEDIP_A_CIDR_MASK:
		x->has_prefix = true;
		return take(a, &x->prefix, sizeof(x->prefix));
	default:
		return 0;
	}
}

static int one_allowed(const struct nlattr *a, void *arg)
{
	struct wg_parse *s = arg;
	struct wg_peer *p = &s->device.peers[s->device.n_peers - 1];
	struct wg_network net = {0}, *list;
	struct allowed x = {0};
	uint32_t v4;
	int err = each_in(a, allowed_attribute, &x);

	if (err)
		return err;
	if (!x.has_family || !x.has_prefix)
		return -EPROTO;
	if (x.family == AF_INET && x.ip_size == 4 && x.prefix <= 32) {
		memcpy(&v4, x.ip, sizeof(v4));
		ip_map(v4, net.ip);
		net.family = 4;
	} else if (x.family == AF_INET6 && x.ip_size == 16 && x.prefix <= 128) {
		memcpy(net.ip, x.ip, sizeof(net.ip));
		net.family = 6;
	} else {
		return -EPROTO;
	}
	net.prefix = x.prefix;
	list = grow(p->allowed, p->n_allowed, &s->room_allowed, sizeof(*list));
	if (!list)
		return -ENOMEM;
	p->allowed = list;
	list[p->n_allowed++] = net;
	return 0;
}

/* ---- peers ---- */

static int take_endpoint(const struct nlattr *a, struct wg_endpoint *ret)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} u = {0};
	size_t size = mnl_attr_get_payload_len(a);

	if (size != sizeof(u.v4) && size != sizeof(u.v6))
		return -EPROTO;
	memcpy(&u, mnl_attr_get_payload(a), size);
	if (u.any.sa_family == AF_INET && size == sizeof(u.v4)) {
		ip_map(u.v4.sin_addr.s_addr, ret->ip);
		ret->port = ntohs(u.v4.sin_port);
		ret->family = 4;
		return 0;
	}
	if (u.any.sa_family != AF_INET6 || size != sizeof(u.v6))
		return -EPROTO;
	memcpy(ret->ip, &u.v6.sin6_addr, sizeof(ret->ip));
	ret->port = ntohs(u.v6.sin6_port);
	ret->family = 6;
	return 0;
}

static int take_handshake(const struct nlattr *a, uint64_t *ret)
{
	struct {
		int64_t s, ns;
	} t;
	int err = take(a, &t, sizeof(t));

	if (err)
		return err;
	if (t.s < 0 || t.ns < 0 || t.ns >= (int64_t)NS || (uint64_t)t.s >= UINT64_MAX / NS)
		return -EPROTO;
	*ret = (uint64_t)t.s * NS + (uint64_t)t.ns;
	return 0;
}

struct peer {
	struct wg_peer is;
	bool has_key;
	const struct nlattr *allowed;
};

static int peer_attribute(const struct nlattr *a, void *arg)
{
	struct peer *p = arg;

	switch (mnl_attr_get_type(a)) {
	case WGPEER_A_PUBLIC_KEY:
		p->has_key = true;
		return take(a, p->is.public_key, KEY_SIZE);
	case WGPEER_A_PRESHARED_KEY:
		p->is.set |= WG_PSK;
		return take(a, p->is.psk, KEY_SIZE);
	case WGPEER_A_ENDPOINT:
		p->is.set |= WG_ENDPOINT;
		return take_endpoint(a, &p->is.endpoint);
	case WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL:
		p->is.set |= WG_KEEPALIVE;
		return take(a, &p->is.keepalive, sizeof(p->is.keepalive));
	case WGPEER_A_LAST_HANDSHAKE_TIME:
		return take_handshake(a, &p->is.handshake_ns);
	case WGPEER_A_RX_BYTES:
		return take(a, &p->is.rx, sizeof(p->is.rx));
	case WGPEER_A_TX_BYTES:
		return take(a, &p->is.tx, sizeof(p->is.tx));
	case WGPEER_A_ALLOWEDIPS:
		if (p->allowed)
			return -EPROTO;
		p->allowed = a;
		return 0;
	default:
		return 0;
	}
}

struct peers {
	struct wg_parse *state;
	bool first; /* of its message: only that can go on from the one before */
};

/* Does it go on from the message before? Then nothing but its key and allowed IPs are told. */
static bool goes_on(const struct peers *in, const struct wg_peer *p)
{
	const struct wg_device *d = &in->state->device;

	return in->first && d->n_peers &&
	       !memcmp(d->peers[d->n_peers - 1].public_key, p->public_key, KEY_SIZE);
}

static int add_peer(struct wg_parse *s, const struct wg_peer *p)
{
	struct wg_peer *list =
		grow(s->device.peers, s->device.n_peers, &s->room_peers, sizeof(*list));

	if (!list)
		return -ENOMEM;
	s->device.peers = list;
	list[s->device.n_peers++] = *p;
	s->room_allowed = 0;
	return 0;
}

static int one_peer(const struct nlattr *a, void *arg)
{
	struct peers *in = arg;
	struct peer p = {0};
	int err = each_in(a, peer_attribute, &p);

	if (!err && !p.has_key)
		err = -EPROTO;
	if (!err && !goes_on(in, &p.is))
		err = add_peer(in->state, &p.is);
	if (!err && p.allowed)
		err = each_in(p.allowed, one_allowed, in->state);
	in->first = false;
	explicit_bzero(&p, sizeof(p));
	return err;
}

/* ---- the device ---- */

static int device_attribute(const struct nlattr *a, void *arg)
{
	struct wg_parse *s = arg;
	struct wg_device *d = &s->device;
	struct peers in = {.state = s, .first = true};
	size_t n = mnl_attr_get_payload_len(a);

	switch (mnl_attr_get_type(a)) {
	case WGDEVICE_A_IFINDEX:
		return take(a, &d->ifindex, sizeof(d->ifindex));
	case WGDEVICE_A_IFNAME:
		if (!n || n > sizeof(d->name) || strnlen(mnl_attr_get_payload(a), n) != n - 1)
			return -EPROTO;
		memcpy(d->name, mnl_attr_get_payload(a), n);
		return 0;
	case WGDEVICE_A_PRIVATE_KEY:
		return take(a, d->private_key, KEY_SIZE);
	case WGDEVICE_A_PUBLIC_KEY:
		return take(a, d->public_key, KEY_SIZE);
	case WGDEVICE_A_LISTEN_PORT:
		return take(a, &d->port, sizeof(d->port));
	case WGDEVICE_A_FWMARK:
		return take(a, &d->fwmark, sizeof(d->fwmark));
	case WGDEVICE_A_PEERS:
		return each_in(a, one_peer, &in);
	default:
		return 0;
	}
}

int wg_parse(const void *message, size_t size, struct wg_parse *state)
{
	const struct nlmsghdr *h = message;
	const struct genlmsghdr *g;
	size_t head = MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(*g));

	if (size < head || h->nlmsg_len < head || h->nlmsg_len > size)
		return -EPROTO;
	g = (const void *)((const char *)message + MNL_NLMSG_HDRLEN);
	if (g->cmd != WG_CMD_GET_DEVICE)
		return -EPROTO;
	state->device.set = WG_PRIVATE_KEY | WG_PORT | WG_FWMARK;
	return each((const char *)message + head, h->nlmsg_len - head, device_attribute, state);
}

/* ---- what comes off the socket ---- */

static int word_attribute(const struct nlattr *a, void *arg)
{
	struct wg_parse *s = arg;
	size_t n = mnl_attr_get_payload_len(a);

	if (mnl_attr_get_type(a) != NLMSGERR_ATTR_MSG)
		return 0;
	n = strnlen(mnl_attr_get_payload(a), n);
	if (n >= sizeof(s->why))
		n = sizeof(s->why) - 1;
	memcpy(s->why, mnl_attr_get_payload(a), n);
	s->why[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s->why[i] < 0x20 || (unsigned char)s->why[i] > 0x7e)
			s->why[i] = '?';
	return 0;
}

/* An error or the acknowledgement, or the end of a dump, which carries an error as well. */
static int verdict(const struct nlmsghdr *h, struct wg_parse *s)
{
	size_t size = h->nlmsg_len - MNL_NLMSG_HDRLEN, skip = sizeof(int32_t);
	const char *body = (const char *)h + MNL_NLMSG_HDRLEN;
	struct nlmsghdr about;
	int32_t err;

	if (h->nlmsg_type == NLMSG_DONE && size < sizeof(err))
		return 0; /* as old kernels end a dump */
	if (size < sizeof(err))
		return -EPROTO;
	memcpy(&err, body, sizeof(err));
	if (h->nlmsg_type == NLMSG_ERROR) {
		if (size < sizeof(struct nlmsgerr))
			return -EPROTO;
		memcpy(&about, body + sizeof(err), sizeof(about));
		skip = sizeof(struct nlmsgerr);
		if (!(h->nlmsg_flags & NLM_F_CAPPED) && about.nlmsg_len > sizeof(about))
			skip += MNL_ALIGN((size_t)about.nlmsg_len) - sizeof(about);
	}
	if (err > 0 || err < -4095)
		return -EPROTO;
	/* Words that cannot be read are no worse than none. */
	if (h->nlmsg_flags & NLM_F_ACK_TLVS && skip < size)
		each(body + skip, size - skip, word_attribute, s);
	return err;
}

typedef int (*message_cb)(const struct nlmsghdr *h, void *arg);

static int each_message(const void *bytes, size_t size, struct wg_parse *s, message_cb cb,
			void *arg)
{
	const char *at = bytes;

	while (size) {
		const struct nlmsghdr *h = (const void *)at;
		size_t step;
		int err = 0;

		if (size < sizeof(*h) || h->nlmsg_len < sizeof(*h) || h->nlmsg_len > size)
			return -EPROTO;
		if (h->nlmsg_seq == s->seq) {
			if (h->nlmsg_flags & NLM_F_DUMP_INTR)
				s->interrupted = true;
			if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE)
				return verdict(h, s);
			if (h->nlmsg_type >= NLMSG_MIN_TYPE)
				err = cb(h, arg);
			if (err)
				return err;
		}
		step = MNL_ALIGN((size_t)h->nlmsg_len);
		if (step > size)
			step = size;
		at += step;
		size -= step;
	}
	return 1;
}

static int dump_message(const struct nlmsghdr *h, void *arg)
{
	struct wg_parse *s = arg;

	return h->nlmsg_type == s->family ? wg_parse(h, h->nlmsg_len, s) : -EPROTO;
}

int wg_parse_answer(const void *bytes, size_t size, struct wg_parse *state)
{
	return each_message(bytes, size, state, dump_message, state);
}

static int family_attribute(const struct nlattr *a, void *arg)
{
	return mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID ? take(a, arg, sizeof(uint16_t)) : 0;
}

static int family_message(const struct nlmsghdr *h, void *arg)
{
	size_t head = MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct genlmsghdr));

	if (h->nlmsg_type != GENL_ID_CTRL || h->nlmsg_len < head)
		return -EPROTO;
	return each((const char *)h + head, h->nlmsg_len - head, family_attribute, arg);
}

int wg_parse_family(const void *bytes, size_t size, uint32_t seq, uint16_t *ret_family)
{
	struct wg_parse s = {.seq = seq};
	uint16_t family = *ret_family;
	int err = each_message(bytes, size, &s, family_message, &family);

	if (err >= 0)
		*ret_family = family;
	return err;
}
