/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>

#include "userspace/net/netlink.h"

struct walk {
	conntrack_fn fn;
	void *arg;
	int n;
};

static void read_ip(const struct nlattr *ip, struct conntrack_seen *c)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, ip)
	{
		switch (mnl_attr_get_type(a)) {
		case CTA_IP_V4_SRC:
		case CTA_IP_V6_SRC:
			netlink_get_ip(a, c->src);
			break;
		case CTA_IP_V4_DST:
		case CTA_IP_V6_DST:
			netlink_get_ip(a, c->dst);
			break;
		}
	}
}

static void read_ports(const struct nlattr *proto, struct conntrack_seen *c)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, proto)
	{
		switch (mnl_attr_get_type(a)) {
		case CTA_PROTO_NUM:
			c->protocol = mnl_attr_get_u8(a);
			break;
		case CTA_PROTO_SRC_PORT:
			c->sport = mnl_attr_get_u16(a);
			break;
		case CTA_PROTO_DST_PORT:
			c->dport = mnl_attr_get_u16(a);
			break;
		}
	}
}

static void read_tuple(const struct nlattr *tuple, struct conntrack_seen *c)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, tuple)
	{
		if (mnl_attr_get_type(a) == CTA_TUPLE_IP)
			read_ip(a, c);
		else if (mnl_attr_get_type(a) == CTA_TUPLE_PROTO)
			read_ports(a, c);
	}
}

static bool is_established(const struct nlattr *protoinfo)
{
	const struct nlattr *a, *b;

	mnl_attr_for_each_nested(a, protoinfo)
	{
		if (mnl_attr_get_type(a) != CTA_PROTOINFO_TCP)
			continue;
		mnl_attr_for_each_nested(b, a)
		{
			if (mnl_attr_get_type(b) == CTA_PROTOINFO_TCP_STATE)
				return mnl_attr_get_u8(b) == TCP_CONNTRACK_ESTABLISHED;
		}
	}
	return false;
}

static int read_one(const struct nlmsghdr *h, void *arg)
{
	struct conntrack_seen c = {.seconds = 0}, first = c;
	struct walk *w = arg;
	const struct nlattr *a;

	mnl_attr_for_each (a, h, sizeof(struct nfgenmsg)) {
		switch (mnl_attr_get_type(a)) {
		case CTA_TIMEOUT:
			c.seconds = ntohl(mnl_attr_get_u32(a));
			break;
		case CTA_TUPLE_ORIG:
			read_tuple(a, &first);
			break;
		case CTA_TUPLE_REPLY:
			read_tuple(a, &c);
			break;
		case CTA_PROTOINFO:
			c.established = is_established(a);
			break;
		}
	}
	memcpy(c.to, first.dst, sizeof(c.to));
	c.to_port = first.dport;
	if (c.protocol != IPPROTO_TCP && c.protocol != IPPROTO_UDP)
		return MNL_CB_OK;
	w->n++;
	w->fn(&c, w->arg);
	return MNL_CB_OK;
}

int conntrack_each(conntrack_fn fn, void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	char buffer[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *g;
	int err;

	h->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = 1;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->nfgen_family = AF_UNSPEC;
	g->version = NFNETLINK_V0;
	err = netlink_exchange_on(NETLINK_NETFILTER, h, read_one, &w);
	return err ? err : w.n;
}
