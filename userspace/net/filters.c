/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/filters.h"

#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "userspace/net/netlink.h"
#include "userspace/net/tc.h"

struct list {
	uint32_t ifindex;
	struct filter *filter;
	unsigned int n, max;
};

static int parse_options(const struct nlattr *a, void *arg)
{
	struct filter *f = arg;

	if (mnl_attr_get_type(a) == TCA_BPF_ID)
		f->prog_id = mnl_attr_get_u32(a);
	else if (mnl_attr_get_type(a) == TCA_BPF_NAME)
		snprintf(f->name, sizeof(f->name), "%s", mnl_attr_get_str(a));
	return MNL_CB_OK;
}

static int one_filter(const struct nlmsghdr *h, void *arg)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(h);
	const struct nlattr *a, *options = NULL;
	struct filter f = {0};
	struct list *l = arg;

	if (h->nlmsg_type != RTM_NEWTFILTER || (uint32_t)tc->tcm_ifindex != l->ifindex)
		return MNL_CB_OK;
	if (!tc->tcm_handle) /* the head of a chain, not a filter */
		return MNL_CB_OK;
	f.priority = (uint16_t)(TC_H_MAJ(tc->tcm_info) >> 16);
	f.handle = tc->tcm_handle;
	f.ours = f.priority == TC_PRIORITY && f.handle == TC_HANDLE;
	mnl_attr_for_each (a, h, sizeof(*tc)) {
		if (mnl_attr_get_type(a) == TCA_KIND)
			snprintf(f.kind, sizeof(f.kind), "%s", mnl_attr_get_str(a));
		else if (mnl_attr_get_type(a) == TCA_CHAIN)
			f.chain = mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == TCA_OPTIONS)
			options = a;
	}
	if (options && !strcmp(f.kind, "bpf"))
		mnl_attr_parse_nested(options, parse_options, &f);
	if (l->n < l->max)
		l->filter[l->n] = f;
	l->n++;
	return MNL_CB_OK;
}

int filters_list(uint32_t ifindex, bool egress, struct filter *ret, unsigned int max)
{
	struct list l = {.ifindex = ifindex, .filter = ret, .max = max};
	char buffer[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct tcmsg *tc;
	int err;

	h->nlmsg_type = RTM_GETTFILTER;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = 1;
	tc = mnl_nlmsg_put_extra_header(h, sizeof(*tc));
	tc->tcm_family = AF_UNSPEC;
	tc->tcm_ifindex = (int)ifindex;
	tc->tcm_parent = TC_H_MAKE(TC_H_CLSACT, egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
	err = netlink_exchange(h, one_filter, &l);
	return err ? err : (int)l.n;
}
