/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wireguard_send.c - steps as messages
 *
 * Steps are packed into messages of at most WG_MESSAGE bytes, in their order; the kernel holds the
 * device's lock over one message only, so a large delta lets others in between. A peer's networks
 * may go over several messages; those after the first carry WGPEER_F_UPDATE_ONLY, so that a peer
 * which somebody took away meanwhile does not come back without its keys.
 *
 * How one allowed IP is taken away. Before Linux 6.16 (WGALLOWEDIP_F_REMOVE_ME) the kernel has no
 * request for it: an allowed IP goes with its peer, with all of the peer's (REPLACE_ALLOWEDIPS), or
 * to another peer. REPLACE_ALLOWEDIPS takes all away before it adds the first again, so those that
 * stay lose packets. So the networks are given to a throw-away peer with a random public key, which
 * is removed in the same message: giving one away is a single pointer's change in the kernel's trie
 * (allowedips.c, add()), and of those that stay none is ever absent. A packet to a leaving network
 * is answered by an ICMP error with the throw-away peer (it has no endpoint) as without. It is done
 * so on new kernels too: one way, tried on all of them.
 *
 * Weakness: between read and send somebody else may give a network that we remove to another peer;
 * then it is taken from that one.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "wg/wireguard_message.h"

/* The most that one peer takes without networks, one network, and the removal of a peer. */
#define PEER_SIZE    256
#define NETWORK_SIZE 64
#define REMOVE_SIZE  64

struct writer {
	const struct wg_delta *delta;
	uint16_t family;
	const uint8_t *throwaway;
	wg_message_cb cb;
	void *arg;
	char *buffer;
	struct nlmsghdr *h;	 /* NULL: none is begun */
	struct nlattr *peers;	 /* open; NULL: not yet */
	struct nlattr *peer;	 /* open within, NULL: none */
	struct nlattr *networks; /* open within */
};

static size_t room(const struct writer *w)
{
	return WG_MESSAGE - w->h->nlmsg_len;
}

static void begin(struct writer *w)
{
	struct genlmsghdr *g;

	if (w->h)
		return;
	w->h = mnl_nlmsg_put_header(w->buffer);
	w->h->nlmsg_type = w->family;
	w->h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	g = mnl_nlmsg_put_extra_header(w->h, sizeof(*g));
	g->cmd = WG_CMD_SET_DEVICE;
	g->version = WG_GENL_VERSION;
	if (w->delta->ifindex)
		mnl_attr_put_u32(w->h, WGDEVICE_A_IFINDEX, w->delta->ifindex);
	else
		mnl_attr_put_strz(w->h, WGDEVICE_A_IFNAME, w->delta->want->name);
}

static int flush(struct writer *w)
{
	int err;

	if (!w->h)
		return 0;
	if (w->peers)
		mnl_attr_nest_end(w->h, w->peers);
	err = w->cb(w->h, w->arg);
	explicit_bzero(w->buffer, WG_MESSAGE);
	w->h = NULL;
	w->peers = NULL;
	return err;
}

static int open_peer(struct writer *w, const uint8_t key[KEY_SIZE], uint32_t flags, size_t size)
{
	int err = 0;

	begin(w);
	if (room(w) < size)
		err = flush(w);
	if (err)
		return err;
	begin(w);
	if (!w->peers)
		w->peers = mnl_attr_nest_start(w->h, WGDEVICE_A_PEERS);
	w->peer = mnl_attr_nest_start(w->h, 0);
	mnl_attr_put(w->h, WGPEER_A_PUBLIC_KEY, KEY_SIZE, key);
	if (flags)
		mnl_attr_put_u32(w->h, WGPEER_A_FLAGS, flags);
	return 0;
}

static void close_peer(struct writer *w)
{
	if (w->networks)
		mnl_attr_nest_end(w->h, w->networks);
	if (w->peer)
		mnl_attr_nest_end(w->h, w->peer);
	w->networks = NULL;
	w->peer = NULL;
}

static void put_psk(struct writer *w, const struct wg_peer *p)
{
	mnl_attr_put(w->h, WGPEER_A_PRESHARED_KEY, KEY_SIZE, p->psk);
}

static void put_endpoint(struct writer *w, const struct wg_endpoint *e)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(e->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};

	v4.sin_addr.s_addr = e->ip[3];
	memcpy(&v6.sin6_addr, e->ip, sizeof(v6.sin6_addr));
	if (e->family == 4)
		mnl_attr_put(w->h, WGPEER_A_ENDPOINT, sizeof(v4), &v4);
	else
		mnl_attr_put(w->h, WGPEER_A_ENDPOINT, sizeof(v6), &v6);
}

static void put_keepalive(struct writer *w, const struct wg_peer *p)
{
	mnl_attr_put_u16(w->h, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, p->keepalive);
}

static void put_network(struct writer *w, const struct wg_network *n)
{
	struct nlattr *a;

	if (!w->networks)
		w->networks = mnl_attr_nest_start(w->h, WGPEER_A_ALLOWEDIPS);
	a = mnl_attr_nest_start(w->h, 0);
	mnl_attr_put_u16(w->h, WGALLOWEDIP_A_FAMILY, n->family == 4 ? AF_INET : AF_INET6);
	if (n->family == 4)
		mnl_attr_put(w->h, WGALLOWEDIP_A_IPADDR, 4, &n->ip[3]);
	else
		mnl_attr_put(w->h, WGALLOWEDIP_A_IPADDR, 16, n->ip);
	mnl_attr_put_u8(w->h, WGALLOWEDIP_A_CIDR_MASK, n->prefix);
	mnl_attr_nest_end(w->h, a);
}

/* To the peer that is open, and on in the next message. */
static int put_networks(struct writer *w, const struct wg_step *s)
{
	for (size_t i = 0; i < s->n_networks; i++) {
		int err = 0;

		if (room(w) < NETWORK_SIZE) {
			close_peer(w);
			err = flush(w);
			if (!err)
				err = open_peer(w, s->peer->public_key, WGPEER_F_UPDATE_ONLY,
						PEER_SIZE);
		}
		if (err)
			return err;
		put_network(w, &s->networks[i]);
	}
	return 0;
}

static int remove_peer(struct writer *w, const uint8_t key[KEY_SIZE])
{
	int err = open_peer(w, key, WGPEER_F_REMOVE_ME, REMOVE_SIZE);

	if (!err)
		close_peer(w);
	return err;
}

/* Each message has as many as fit with the throw-away peer's end. */
static int throw_away(struct writer *w, const struct wg_step *s)
{
	int err = 0;

	for (size_t i = 0; i < s->n_networks && !err;) {
		err = open_peer(w, w->throwaway, 0, PEER_SIZE + NETWORK_SIZE + REMOVE_SIZE);
		if (err)
			break;
		while (i < s->n_networks && room(w) >= NETWORK_SIZE + REMOVE_SIZE)
			put_network(w, &s->networks[i++]);
		close_peer(w);
		err = remove_peer(w, w->throwaway);
	}
	return err;
}

static void put_all(struct writer *w, const struct wg_peer *p)
{
	if (p->set & WG_PSK)
		put_psk(w, p);
	if (p->set & WG_ENDPOINT && p->endpoint.family)
		put_endpoint(w, &p->endpoint);
	if (p->set & WG_KEEPALIVE && p->keepalive)
		put_keepalive(w, p);
}

static int write_peer(struct writer *w, const struct wg_step *s)
{
	uint32_t flags = s->kind == WG_STEP_ADD_PEER ? 0 : WGPEER_F_UPDATE_ONLY;
	int err = open_peer(w, s->peer->public_key, flags, PEER_SIZE);

	if (err)
		return err;
	if (s->kind == WG_STEP_ADD_PEER)
		put_all(w, s->peer);
	else if (s->kind == WG_STEP_PSK)
		put_psk(w, s->peer);
	else if (s->kind == WG_STEP_ENDPOINT)
		put_endpoint(w, &s->peer->endpoint);
	else if (s->kind == WG_STEP_KEEPALIVE)
		put_keepalive(w, s->peer);
	err = put_networks(w, s);
	close_peer(w);
	return err;
}

static int write_step(struct writer *w, const struct wg_step *s)
{
	switch (s->kind) {
	/* The device's own come first and fit into the first message. */
	case WG_STEP_FWMARK:
		begin(w);
		mnl_attr_put_u32(w->h, WGDEVICE_A_FWMARK, s->value);
		return 0;
	case WG_STEP_PORT:
		begin(w);
		mnl_attr_put_u16(w->h, WGDEVICE_A_LISTEN_PORT, (uint16_t)s->value);
		return 0;
	case WG_STEP_PRIVATE_KEY:
		begin(w);
		mnl_attr_put(w->h, WGDEVICE_A_PRIVATE_KEY, KEY_SIZE, w->delta->want->private_key);
		return 0;
	case WG_STEP_REMOVE_PEER:
		return remove_peer(w, s->peer->public_key);
	case WG_STEP_REMOVE_ALLOWED:
		return throw_away(w, s);
	default:
		return write_peer(w, s);
	}
}

int wg_write(const struct wg_delta *d, uint16_t family, const uint8_t throwaway[KEY_SIZE],
	     wg_message_cb cb, void *arg)
{
	struct writer w = {
		.delta = d, .family = family, .throwaway = throwaway, .cb = cb, .arg = arg};
	int err = 0;

	w.buffer = calloc(1, WG_MESSAGE);
	if (!w.buffer)
		return -ENOMEM;
	for (size_t i = 0; i < d->n && !err; i++)
		err = write_step(&w, &d->steps[i]);
	if (!err)
		err = flush(&w);
	explicit_bzero(w.buffer, WG_MESSAGE);
	free(w.buffer);
	return err;
}
