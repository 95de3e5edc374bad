/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/xdp.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "userspace/net/netlink.h"

int xdp_set(uint32_t ifindex, int prog_fd, int was_fd, bool native)
{
	uint32_t flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
	char buffer[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *link;
	struct nlattr *nest;

	h->nlmsg_type = RTM_SETLINK;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = 1;
	link = mnl_nlmsg_put_extra_header(h, sizeof(*link));
	link->ifi_family = AF_UNSPEC;
	link->ifi_index = (int)ifindex;
	nest = mnl_attr_nest_start(h, IFLA_XDP);
	mnl_attr_put_u32(h, IFLA_XDP_FD, (uint32_t)prog_fd);
	if (was_fd >= 0) {
		flags |= XDP_FLAGS_REPLACE;
		mnl_attr_put_u32(h, IFLA_XDP_EXPECTED_FD, (uint32_t)was_fd);
	} else {
		flags |= XDP_FLAGS_UPDATE_IF_NOEXIST;
	}
	mnl_attr_put_u32(h, IFLA_XDP_FLAGS, flags);
	mnl_attr_nest_end(h, nest);
	return netlink_exchange(h, NULL, NULL);
}
