/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/tc.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <arpa/inet.h>
#include <string.h>

#include "userspace/net/netlink.h"

#define PARENT_INGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define PARENT_EGRESS  TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)

static struct nlmsghdr *prepare(char *buffer, uint16_t type, uint16_t flags, uint32_t ifindex,
				struct tcmsg **ret_tc)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = 1;
	*ret_tc = mnl_nlmsg_put_extra_header(h, sizeof(**ret_tc));
	(*ret_tc)->tcm_family = AF_UNSPEC;
	(*ret_tc)->tcm_ifindex = (int)ifindex;
	return h;
}

static int parse_options(const struct nlattr *a, void *arg)
{
	uint32_t *id = arg;

	if (mnl_attr_get_type(a) == TCA_BPF_ID)
		*id = mnl_attr_get_u32(a);
	return MNL_CB_OK;
}

struct filters {
	uint32_t ifindex;
	uint32_t prog_id;
	int count;
};

static int one_filter(const struct nlmsghdr *h, void *arg)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(h);
	struct filters *f = arg;
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWTFILTER || (uint32_t)tc->tcm_ifindex != f->ifindex)
		return MNL_CB_OK;
	if (!tc->tcm_handle) /* the head of a chain, not a filter */
		return MNL_CB_OK;
	f->count++;
	if (TC_H_MAJ(tc->tcm_info) >> 16 != TC_PRIORITY || tc->tcm_handle != TC_HANDLE)
		return MNL_CB_OK;
	mnl_attr_for_each (a, h, sizeof(*tc)) {
		if (mnl_attr_get_type(a) == TCA_OPTIONS)
			mnl_attr_parse_nested(a, parse_options, &f->prog_id);
	}
	return MNL_CB_OK;
}

static int dump_filters(uint32_t ifindex, uint32_t parent, struct filters *f)
{
	char buffer[512];
	struct tcmsg *tc;
	struct nlmsghdr *h = prepare(buffer, RTM_GETTFILTER, NLM_F_DUMP, ifindex, &tc);

	tc->tcm_parent = parent;
	f->ifindex = ifindex;
	return netlink_exchange(h, one_filter, f);
}

static uint32_t parent(bool egress)
{
	return egress ? PARENT_EGRESS : PARENT_INGRESS;
}

int tc_find(uint32_t ifindex, bool egress, uint32_t *ret_prog_id)
{
	struct filters f = {0};
	int err = dump_filters(ifindex, parent(egress), &f);

	if (!err)
		*ret_prog_id = f.prog_id;
	return err;
}

int tc_clsact_empty(uint32_t ifindex, bool *ret_empty)
{
	struct filters f = {0};
	int err = dump_filters(ifindex, PARENT_INGRESS, &f);

	if (!err)
		err = dump_filters(ifindex, PARENT_EGRESS, &f);
	if (!err)
		*ret_empty = f.count == 0;
	return err;
}

struct qdiscs {
	uint32_t ifindex;
	bool clsact;
};

static int one_qdisc(const struct nlmsghdr *h, void *arg)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(h);
	struct qdiscs *q = arg;

	if (h->nlmsg_type == RTM_NEWQDISC && (uint32_t)tc->tcm_ifindex == q->ifindex &&
	    tc->tcm_parent == TC_H_CLSACT)
		q->clsact = true;
	return MNL_CB_OK;
}

int tc_clsact_present(uint32_t ifindex, bool *ret)
{
	char buffer[512];
	struct tcmsg *tc;
	struct nlmsghdr *h = prepare(buffer, RTM_GETQDISC, NLM_F_DUMP, ifindex, &tc);
	struct qdiscs q = {.ifindex = ifindex};
	int err = netlink_exchange(h, one_qdisc, &q);

	*ret = q.clsact;
	return err;
}

static int clsact(uint32_t ifindex, uint16_t type, uint16_t flags)
{
	char buffer[512];
	struct tcmsg *tc;
	struct nlmsghdr *h = prepare(buffer, type, NLM_F_ACK | flags, ifindex, &tc);

	tc->tcm_parent = TC_H_CLSACT;
	tc->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	mnl_attr_put_strz(h, TCA_KIND, "clsact");
	return netlink_exchange(h, NULL, NULL);
}

int tc_clsact_ensure(uint32_t ifindex, bool *ret_made)
{
	int err = clsact(ifindex, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);

	*ret_made = !err;
	return err == -EEXIST ? 0 : err;
}

int tc_clsact_delete(uint32_t ifindex)
{
	return clsact(ifindex, RTM_DELQDISC, 0);
}

int tc_attach(uint32_t ifindex, bool egress, const char *name, int prog_fd)
{
	char buffer[512];
	struct nlattr *options;
	struct tcmsg *tc;
	struct nlmsghdr *h =
		prepare(buffer, RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE, ifindex, &tc);

	tc->tcm_parent = parent(egress);
	tc->tcm_handle = TC_HANDLE;
	tc->tcm_info = TC_H_MAKE(TC_PRIORITY << 16, htons(ETH_P_ALL));
	mnl_attr_put_strz(h, TCA_KIND, "bpf");
	options = mnl_attr_nest_start(h, TCA_OPTIONS);
	mnl_attr_put_u32(h, TCA_BPF_FD, (uint32_t)prog_fd);
	mnl_attr_put_strz(h, TCA_BPF_NAME, name);
	mnl_attr_put_u32(h, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	mnl_attr_nest_end(h, options);
	return netlink_exchange(h, NULL, NULL);
}

int tc_detach(uint32_t ifindex, bool egress)
{
	char buffer[512];
	struct tcmsg *tc;
	struct nlmsghdr *h = prepare(buffer, RTM_DELTFILTER, NLM_F_ACK, ifindex, &tc);

	tc->tcm_parent = parent(egress);
	tc->tcm_handle = TC_HANDLE;
	tc->tcm_info = TC_H_MAKE(TC_PRIORITY << 16, htons(ETH_P_ALL));
	mnl_attr_put_strz(h, TCA_KIND, "bpf");
	return netlink_exchange(h, NULL, NULL);
}
