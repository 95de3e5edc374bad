/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Routes by themselves: the failover's replacement, and what the kernel would do with a packet.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "userspace/base/text.h"
#include "userspace/net/netlink.h"
#include "userspace/net/route.h"
#include "wg/link_inner.h"

/* ---- failover ---- */

/* At most this many in one write: within any socket's send buffer. */
#define BATCH	     1024
#define MESSAGE_SIZE 160 /* of one route; the largest is 104 */

/* The kernel takes the messages of one write one after the other and goes on after an error. It
 * answers errors in any case, so only the last has to ask for an answer. */
static int add_to_batch(struct mnl_nlmsg_batch *batch, const struct link_route *r, uint32_t ifindex,
			uint32_t seq, bool last)
{
	struct nlmsghdr *h;
	struct nl_msg *m;
	int err = link_route_message(r, ifindex, NLM_F_CREATE | NLM_F_REPLACE, &m);

	if (err)
		return err;
	h = nlmsg_hdr(m);
	if (h->nlmsg_len > MESSAGE_SIZE) {
		nlmsg_free(m);
		return -EMSGSIZE;
	}
	memcpy(mnl_nlmsg_batch_current(batch), h, h->nlmsg_len);
	nlmsg_free(m);
	h = mnl_nlmsg_batch_current(batch);
	h->nlmsg_seq = seq;
	h->nlmsg_pid = 0;
	h->nlmsg_flags =
		(uint16_t)(NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE | (last ? NLM_F_ACK : 0));
	mnl_nlmsg_batch_next(batch);
	return 0;
}

/* How many of n failed, the first's reason in *ret_first; −errno: it is not known how many. */
static int replace_some(struct link_wire *w, char *buffer, uint32_t ifindex,
			const struct link_route *routes, size_t n, int *ret_first)
{
	struct mnl_nlmsg_batch *batch = mnl_nlmsg_batch_start(buffer, (size_t)BATCH * MESSAGE_SIZE);
	int err = 0;

	if (!batch)
		return -ENOMEM;
	for (size_t i = 0; i < n && !err; i++)
		err = add_to_batch(batch, &routes[i], ifindex, ++w->seq, i + 1 == n);
	if (!err && mnl_socket_sendto(w->socket, mnl_nlmsg_batch_head(batch),
				      mnl_nlmsg_batch_size(batch)) < 0)
		err = -errno;
	mnl_nlmsg_batch_stop(batch);
	return err ? err : link_wire_collect(w, w->seq, ret_first);
}

int link_replace_routes(uint32_t ifindex, const struct link_route *routes, size_t n, size_t *done)
{
	char *buffer = malloc((size_t)(BATCH + 1) * MESSAGE_SIZE);
	struct link_wire w;
	int err, first = 0;

	*done = 0;
	if (!buffer)
		return -ENOMEM;
	err = link_wire_open(&w);
	if (err) {
		free(buffer);
		return err;
	}
	for (size_t i = 0; i < n && err >= 0; i += BATCH) {
		size_t some = n - i < BATCH ? n - i : BATCH;
		int reason = 0;

		err = replace_some(&w, buffer, ifindex, routes + i, some, &reason);
		if (err >= 0)
			*done += some - (size_t)err;
		first = first ? first : reason;
	}
	link_wire_close(&w);
	free(buffer);
	return err < 0 ? err : first;
}

int link_route_device(const struct link_route *r, uint32_t *ret_ifindex)
{
	struct link_route_filter f = {.family = r->to.family, .table = r->table, .only = r};
	struct link_wire w;
	struct link l = {0};
	uint32_t ifindex = 0;
	int err = link_wire_open(&w);

	if (err)
		return err;
	err = link_read_routes(&w, &f, &l, &ifindex);
	if (!err)
		*ret_ifindex = l.n_routes ? ifindex : 0;
	link_wire_close(&w);
	link_free(&l);
	return err;
}

/* ---- the kernel's own look-up ---- */

/* Where a packet goes. */
struct way {
	uint32_t ifindex;
	uint8_t type;	/* RTN_* */
	uint8_t prefix; /* of the route that is used */
	uint32_t metric, table, mtu;
};

static int take_mtu(const struct nlattr *a, void *arg)
{
	struct way *way = arg;

	if (mnl_attr_get_type(a) == RTAX_MTU)
		way->mtu = mnl_attr_get_u32(a);
	return MNL_CB_OK;
}

static int take_way(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
	struct way *way = arg;
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	way->type = rt->rtm_type;
	way->prefix = rt->rtm_dst_len;
	way->table = rt->rtm_table;
	mnl_attr_for_each (a, h, sizeof(*rt)) {
		switch (mnl_attr_get_type(a)) {
		case RTA_OIF:
			way->ifindex = mnl_attr_get_u32(a);
			break;
		case RTA_PRIORITY:
			way->metric = mnl_attr_get_u32(a);
			break;
		case RTA_TABLE:
			way->table = mnl_attr_get_u32(a);
			break;
		case RTA_METRICS:
			mnl_attr_parse_nested(a, take_mtu, way);
			break;
		default:
			break;
		}
	}
	return MNL_CB_OK;
}

/* `entry`: the entry of the table, not what is made of it for this packet. */
static int look_up(struct link_wire *w, const uint32_t to[4], uint8_t family, uint32_t fwmark,
		   bool entry, struct way *ret)
{
	char buffer[128];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct way way = {0};
	struct rtmsg *rt;
	int err;

	h->nlmsg_type = RTM_GETROUTE;
	rt = mnl_nlmsg_put_extra_header(h, sizeof(*rt));
	rt->rtm_family = family == 4 ? AF_INET : AF_INET6;
	rt->rtm_dst_len = family == 4 ? 32 : 128;
	rt->rtm_flags = entry ? RTM_F_FIB_MATCH : 0;
	netlink_put_ip(h, RTA_DST, to);
	if (fwmark)
		mnl_attr_put_u32(h, RTA_MARK, fwmark);
	err = link_wire_ask(w, h, take_way, &way);
	if (!err)
		*ret = way;
	return err;
}

int link_mtu_towards(const uint32_t endpoint[4], uint32_t fwmark, uint32_t overhead, uint32_t *ret)
{
	struct way way = {0};
	struct link_wire w;
	uint32_t device;
	int err = link_wire_open(&w);

	if (err)
		return err;
	err = look_up(&w, endpoint, ip_family(endpoint), fwmark, false, &way);
	link_wire_close(&w);
	if (err)
		return err;
	if (way.type != RTN_UNICAST || !way.ifindex)
		return way.type == RTN_LOCAL ? -EINVAL : -ENETUNREACH;
	device = route_device_mtu(way.ifindex);
	if (!way.mtu || (device && device < way.mtu))
		way.mtu = device;
	if (way.mtu <= overhead)
		return -EMSGSIZE;
	*ret = way.mtu - overhead;
	return 0;
}

/* ---- is ours used? ---- */

/* The first host address of a network, or the last. Of everything: an ordinary one. */
static void host_of(const struct link_network *n, bool last, uint32_t ret[4])
{
	unsigned int bits = n->prefix + (n->family == 4 ? 96u : 0u), from = n->family == 4 ? 3 : 0;

	memcpy(ret, n->ip, 4 * sizeof(*ret));
	if (!n->prefix && !last) {
		ret[from] |= htonl(n->family == 4 ? 0x01000000 : 0x20000000);
	} else if (!n->prefix) {
		ret[from] |= htonl(n->family == 4 ? 0xdf000000 : 0x3fff0000);
	} else if (last) {
		for (unsigned int i = bits; i < 128; i++)
			ret[i / 32] |= htonl(1u << (31 - i % 32));
	}
	if (bits < 127 && last)
		ret[3] &= htonl(~1u); /* not the broadcast address */
	if (bits < 127)
		ret[3] |= htonl(last ? 0u : 1u);
}

static void say_where(const struct way *way, const struct link_network *to, const uint32_t host[4],
		      char *why, size_t size)
{
	char address[64], network[64], name[IF_NAMESIZE] = "?";
	unsigned int more = to->family == 4 ? 96 : 0;
	uint32_t ip[4];

	memcpy(ip, host, sizeof(ip));
	for (unsigned int i = way->prefix + more; i < 128; i++)
		ip[i / 32] &= ~htonl(1u << (31 - i % 32));
	if_indextoname(way->ifindex, name);
	snprintf(why, size,
		 "a packet to %s goes through %s, by the route to %s with metric %u of table %u",
		 text_address(host, 0, address), name,
		 text_network(ip, way->prefix + more, network), way->metric, way->table);
}

int link_route_shadowed(const struct link_route *r, uint32_t ifindex, char *why, size_t size)
{
	struct link_wire w;
	int err = link_wire_open(&w), shadowed = 0;

	if (err)
		return err;
	for (int last = 0; last < 2; last++) {
		struct way way = {0};
		uint32_t host[4];
		char text[64];

		host_of(&r->to, last, host);
		err = look_up(&w, host, r->to.family, 0, true, &way);
		if (!err && way.type == RTN_UNICAST && way.ifindex == ifindex) {
			shadowed = 0;
			break;
		}
		if (shadowed || (!err && way.type == RTN_LOCAL))
			continue; /* the first that goes elsewhere is told */
		shadowed = 1;
		if (err || way.type != RTN_UNICAST)
			snprintf(why, size, "a packet to %s finds no way: %s",
				 text_address(host, 0, text),
				 err ? strerror(-err) : "the route refuses it");
		else
			say_where(&way, &r->to, host, why, size);
	}
	link_wire_close(&w);
	return shadowed;
}
