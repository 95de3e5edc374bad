/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A tunnel's interface as the kernel has it: read here, compared in link_diff.c, changed in
 * link_send.c; questions about routes and the failover's replacement in link_route.c; the socket in
 * link_wire.c.
 *
 * What it owns. The interface of the tunnel's name, with everything on it; the routes through it
 * and the rules that carry our protocol number (LINK_PROTOCOL). An interface of that name and of
 * another kind is somebody else's and is never touched, nor is a route or rule of another protocol,
 * nor one of our protocol in a shape that we do not make (a gateway, several next hops, a selector
 * besides the mark).
 *
 * What it promises. One type for what is wanted and what is there; nothing is sent when they agree.
 * What is new is made before what is old goes, so that a changed metric or rule leaves no gap. A
 * route that moves from one tunnel to another is replaced in one step. A foreign route of the same
 * prefix, table and metric is not replaced by an apply: that ends with -EEXIST, in words.
 *
 * How it fails. −errno of the kernel, with the words of its extended ACK. What vanishes while it is
 * read is as if it had never been there; a dump that was disturbed (NLM_F_DUMP_INTR) is asked for
 * again. What is to be removed and is gone is removed.
 *
 * What it follows. net/ipv4/fib_trie.c and net/ipv6/ip6_fib.c for what a replacement replaces: the
 * first of its prefix and metric, of whichever protocol; net/core/fib_rules.c; net/ipv4/devinet.c
 * and fib_frontend.c for what an address takes along when it goes. All dumps are filtered by the
 * kernel (strict checking, since 4.20: device, table, protocol), and again here: a host with a full
 * table of the Internet sends us our own routes only.
 *
 * Weaknesses. The failover's replacement does not look who is there first, for it must be fast: if
 * ours was taken away and a foreign one of the same prefix and metric put in its place, that one is
 * replaced. A look-up that has the old route in hand at the moment when its last reference goes
 * finds none (fib_dead in fib_trie.c, ip6_rt_pcpu_alloc in net/ipv6/route.c): such is the kernel's
 * replacement. An IPv4 address that gives way to another of its own network is away for the time of
 * one request, and if it was the only one all IPv4 routes are, until they are added again at the
 * end. The kernel does not ask for the protocol when it removes a rule: one of somebody else's that
 * is the same in all but that may go in the place of ours. On kernels before 5.18 nobody says which
 * link-local addresses the kernel made, so none of them is ever removed.
 */
#include "wg/link.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/xfrmi.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "userspace/base/ip.h"
#include "wg/link_inner.h"

#ifndef IFA_PROTO
#define IFA_PROTO 11 /* since 5.18 */
#endif
#define IFA_MADE_BY_KERNEL 2  /* IFAPROT_KERNEL_LL */
#define TRIES		   16 /* of a dump that others disturb */

/* ---- the interface ---- */

static void fill_device(const char *name, struct rtnl_link *o, struct link *ret)
{
	const char *kind = rtnl_link_get_type(o), *called = rtnl_link_get_name(o);

	ret->ifindex = (uint32_t)rtnl_link_get_ifindex(o);
	ret->mtu = rtnl_link_get_mtu(o);
	ret->up = rtnl_link_get_flags(o) & IFF_UP;
	ret->carrier = rtnl_link_get_flags(o) & IFF_LOWER_UP;
	ret->rx_bytes = rtnl_link_get_stat(o, RTNL_LINK_RX_BYTES);
	ret->tx_bytes = rtnl_link_get_stat(o, RTNL_LINK_TX_BYTES);
	ret->rx_packets = rtnl_link_get_stat(o, RTNL_LINK_RX_PACKETS);
	ret->tx_packets = rtnl_link_get_stat(o, RTNL_LINK_TX_PACKETS);
	snprintf(ret->kind_name, sizeof(ret->kind_name), "%s", kind ? kind : "device");
	ret->kind = LINK_OTHER;
	/* The kernel finds a device by its other names as well (ip link property add altname). */
	if (!kind || !called || strcmp(called, name))
		return;
	if (!strcmp(kind, "wireguard")) {
		ret->kind = LINK_WIREGUARD;
	} else if (!strcmp(kind, "xfrm") && rtnl_link_is_xfrmi(o)) {
		ret->kind = LINK_XFRM;
		/* They leave alone what the kernel did not say. */
		rtnl_link_xfrmi_get_if_id(o, &ret->if_id);
		rtnl_link_xfrmi_get_link(o, &ret->lower);
	}
}

struct device_answer {
	const char *name;
	struct link *ret;
};

static int take_device(const struct nlmsghdr *h, void *arg)
{
	struct device_answer *answer = arg;
	struct nl_object *o;

	if (h->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	o = link_object(h);
	if (!o) {
		errno = EPROTO;
		return -1;
	}
	fill_device(answer->name, (struct rtnl_link *)o, answer->ret);
	nl_object_put(o);
	return MNL_CB_OK;
}

int link_read_device(struct link_wire *w, const char *name, struct link *ret)
{
	char buffer[128];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct device_answer answer = {.name = name, .ret = ret};
	size_t length = strlen(name);

	if (!length || length >= IFNAMSIZ)
		return -EINVAL;
	h->nlmsg_type = RTM_GETLINK;
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	return link_wire_ask(w, h, take_device, &answer);
}

/* ---- addresses ---- */

struct gather {
	struct link *ret;
	uint8_t family; /* AF_* */
	uint32_t table;
	const struct link_route_filter *filter;
	uint32_t *ret_ifindex;
};

static bool made_by_kernel(const struct nlmsghdr *h)
{
	const struct nlattr *a;

	mnl_attr_for_each (a, h, sizeof(struct ifaddrmsg)) {
		if (mnl_attr_get_type(a) == IFA_PROTO && mnl_attr_get_payload_len(a) >= 1)
			return mnl_attr_get_u8(a) == IFA_MADE_BY_KERNEL;
	}
	return false;
}

static int take_address(const struct nlmsghdr *h, void *arg)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
	struct gather *g = arg;
	struct link_network a;
	struct nl_object *o;
	struct nl_addr *local;
	int err = 0;

	if (h->nlmsg_type != RTM_NEWADDR || ifa->ifa_family != g->family ||
	    ifa->ifa_index != g->ret->ifindex)
		return MNL_CB_OK;
	if (ifa->ifa_family == AF_INET6 && made_by_kernel(h))
		return MNL_CB_OK;
	o = link_object(h);
	local = o ? rtnl_addr_get_local((struct rtnl_addr *)o) : NULL;
	if (local && !link_network_of(local, &a)) {
		a.prefix = ifa->ifa_prefixlen;
		err = link_add_address(g->ret, &a);
	}
	nl_object_put(o);
	errno = -err;
	return err ? -1 : MNL_CB_OK;
}

/* Asks again while others disturb it; what is new in the lists is dropped before. */
static int ask_for_all(struct link_wire *w, struct nlmsghdr *h, mnl_cb_t cb, struct gather *g)
{
	const struct link before = *g->ret;
	int err = -EINTR;

	for (int i = 0; i < TRIES && err == -EINTR; i++) {
		g->ret->n_addresses = before.n_addresses;
		g->ret->n_routes = before.n_routes;
		g->ret->n_rules = before.n_rules;
		err = link_wire_ask(w, h, cb, g);
	}
	return err;
}

static int read_addresses(struct link_wire *w, struct link *ret)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	int err = 0;

	for (size_t i = 0; i < 2 && !err; i++) {
		char buffer[64];
		struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
		struct gather g = {.ret = ret, .family = families[i]};
		struct ifaddrmsg *ifa;

		h->nlmsg_type = RTM_GETADDR;
		h->nlmsg_flags = NLM_F_DUMP;
		ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));
		ifa->ifa_family = families[i];
		ifa->ifa_index = ret->ifindex;
		err = ask_for_all(w, h, take_address, &g);
	}
	return err;
}

/* ---- routes ---- */

/* Of a shape that we make: -ENOENT when it is not. */
static int route_of(struct rtnl_route *o, struct link_route *ret, uint32_t *ret_ifindex)
{
	struct rtnl_nexthop *hop = rtnl_route_nexthop_n(o, 0);
	struct link_route r = {.table = rtnl_route_get_table(o),
			       .metric = rtnl_route_get_priority(o)};
	struct nl_addr *to = rtnl_route_get_dst(o), *source = rtnl_route_get_pref_src(o);
	struct link_network n;

	if (!to || !hop || rtnl_route_get_nnexthops(o) != 1 || rtnl_route_nh_get_gateway(hop) ||
	    rtnl_route_nh_get_via(hop) || rtnl_route_get_tos(o) || link_network_of(to, &r.to))
		return -ENOENT;
	if (source && nl_addr_get_len(source) && !link_network_of(source, &n)) {
		r.has_source = true;
		memcpy(r.source, n.ip, sizeof(r.source));
	}
	/* Leaves it at 0 when the route has none. */
	rtnl_route_get_metric(o, RTAX_MTU, &r.mtu);
	*ret_ifindex = (uint32_t)rtnl_route_nh_get_ifindex(hop);
	*ret = r;
	return 0;
}

static int take_route(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
	const struct link_route_filter *f;
	struct gather *g = arg;
	struct rtnl_route *o = NULL;
	struct link_route r;
	uint32_t ifindex;
	int err = 0;

	if (h->nlmsg_type != RTM_NEWROUTE || rt->rtm_protocol != LINK_PROTOCOL ||
	    rt->rtm_family != g->family || rt->rtm_type != RTN_UNICAST ||
	    rt->rtm_flags & RTM_F_CLONED)
		return MNL_CB_OK;
	if (rtnl_route_parse((struct nlmsghdr *)h, &o) < 0) {
		errno = EPROTO;
		return -1;
	}
	f = g->filter;
	if (!route_of(o, &r, &ifindex) && (!f->table || r.table == f->table) &&
	    (!f->ifindex || ifindex == f->ifindex) &&
	    (!f->only || !link_route_compare(&r, f->only))) {
		err = link_add_route(g->ret, &r);
		if (g->ret_ifindex)
			*g->ret_ifindex = ifindex;
	}
	rtnl_route_put(o);
	errno = -err;
	return err ? -1 : MNL_CB_OK;
}

int link_read_routes(struct link_wire *w, const struct link_route_filter *f, struct link *ret,
		     uint32_t *ret_ifindex)
{
	struct gather g = {.ret = ret, .filter = f, .ret_ifindex = ret_ifindex};
	char buffer[128];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct rtmsg *rt;
	int err;

	g.family = f->family == 4 ? AF_INET : AF_INET6;
	h->nlmsg_type = RTM_GETROUTE;
	h->nlmsg_flags = NLM_F_DUMP;
	rt = mnl_nlmsg_put_extra_header(h, sizeof(*rt));
	rt->rtm_family = g.family;
	rt->rtm_protocol = LINK_PROTOCOL;
	if (f->table)
		mnl_attr_put_u32(h, RTA_TABLE, f->table);
	if (f->ifindex)
		mnl_attr_put_u32(h, RTA_OIF, f->ifindex);
	err = ask_for_all(w, h, take_route, &g);
	/* No such table yet; a kernel without that family. */
	return err == -ENOENT || err == -EAFNOSUPPORT || err == -EOPNOTSUPP ? 0 : err;
}

/* ---- rules ---- */

/* A rule that has more to it than ours have. */
static bool other_shape(const struct nlmsghdr *h, struct rtnl_rule *o)
{
	const struct fib_rule_hdr *fr = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if (fr->action != FR_ACT_TO_TBL || fr->src_len || fr->dst_len || fr->tos)
		return true;
	mnl_attr_for_each (a, h, sizeof(*fr)) {
		switch (mnl_attr_get_type(a)) {
		case FRA_IIFNAME:
		case FRA_OIFNAME:
		case FRA_UID_RANGE:
		case FRA_IP_PROTO:
		case FRA_SPORT_RANGE:
		case FRA_DPORT_RANGE:
		case FRA_TUN_ID:
		case FRA_GOTO:
			return true;
		default:
			break;
		}
	}
	return rtnl_rule_get_mark(o) && rtnl_rule_get_mask(o) != UINT32_MAX;
}

static int take_rule(const struct nlmsghdr *h, void *arg)
{
	const struct fib_rule_hdr *fr = mnl_nlmsg_get_payload(h);
	struct gather *g = arg;
	struct link_rule r = {.family = fr->family == AF_INET ? 4 : 6};
	struct nl_object *object;
	struct rtnl_rule *o;
	uint8_t protocol = 0;
	int err = 0;

	if (h->nlmsg_type != RTM_NEWRULE || fr->family != g->family)
		return MNL_CB_OK;
	object = link_object(h);
	if (!object)
		return MNL_CB_OK; /* libnl knows no such rule, and ours it does */
	o = (struct rtnl_rule *)object;
	if (!rtnl_rule_get_protocol(o, &protocol) && protocol == LINK_PROTOCOL &&
	    rtnl_rule_get_table(o) == g->table && !other_shape(h, o)) {
		r.priority = rtnl_rule_get_prio(o);
		r.table = g->table;
		r.fwmark = rtnl_rule_get_mark(o);
		r.invert = fr->flags & FIB_RULE_INVERT;
		err = link_add_rule(g->ret, &r);
	}
	nl_object_put(object);
	errno = -err;
	return err ? -1 : MNL_CB_OK;
}

int link_read_rules(struct link_wire *w, uint32_t table, struct link *ret)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	int err = 0;

	if (!table || table == RT_TABLE_MAIN)
		return 0;
	for (size_t i = 0; i < 2 && !err; i++) {
		char buffer[64];
		struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
		struct gather g = {.ret = ret, .family = families[i], .table = table};
		struct fib_rule_hdr *fr;

		h->nlmsg_type = RTM_GETRULE;
		h->nlmsg_flags = NLM_F_DUMP;
		fr = mnl_nlmsg_put_extra_header(h, sizeof(*fr));
		fr->family = families[i];
		err = ask_for_all(w, h, take_rule, &g);
		if (err == -EAFNOSUPPORT || err == -EOPNOTSUPP)
			err = 0; /* a kernel without policy routing of that family has no rules */
	}
	return err;
}

/* To `table`, and to others that routes through the interface are in: left from before a change. */
static int read_all_rules(struct link_wire *w, uint32_t table, struct link *l)
{
	int err = link_read_rules(w, table, l);

	for (size_t i = 0; i < l->n_routes && !err; i++) {
		uint32_t other = l->routes[i].table;
		bool seen = other == table;

		for (size_t k = 0; k < i && !seen; k++)
			seen = l->routes[k].table == other;
		if (!seen)
			err = link_read_rules(w, other, l);
	}
	return err;
}

/* ---- all of it ---- */

static int read_what_is_on_it(struct link_wire *w, struct link *l)
{
	int err = read_addresses(w, l);

	for (uint8_t family = 4; family <= 6 && !err; family += 2) {
		struct link_route_filter f = {.family = family, .ifindex = l->ifindex};

		err = link_read_routes(w, &f, l, NULL);
	}
	return err;
}

static void forget(struct link *l, const char *name)
{
	link_free(l);
	snprintf(l->name, sizeof(l->name), "%s", name);
}

int link_read(const char *name, uint32_t table, struct link *ret)
{
	struct link_wire w;
	struct link l = {0};
	int err = link_wire_open(&w);

	if (err)
		return err;
	forget(&l, name);
	err = link_read_device(&w, name, &l);
	if (!err)
		err = read_what_is_on_it(&w, &l);
	if (err == -ENODEV) { /* never there, or no more */
		forget(&l, name);
		err = 0;
	}
	if (!err)
		err = read_all_rules(&w, table, &l);
	link_wire_close(&w);
	if (err) {
		link_free(&l);
		return err;
	}
	*ret = l;
	return 0;
}
