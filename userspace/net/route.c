/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/route.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/base/ip.h"
#include "userspace/net/netlink.h"

static int parse_metric(const struct nlattr *a, void *arg)
{
	struct route_way *way = arg;

	if (mnl_attr_get_type(a) == RTAX_MTU)
		way->mtu = mnl_attr_get_u32(a);
	return MNL_CB_OK;
}

struct route_answer {
	struct route_way *way;
	uint8_t type;
};

static int parse_route(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
	struct route_answer *answer = arg;
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	answer->type = rt->rtm_type;
	mnl_attr_for_each (a, h, sizeof(*rt)) {
		switch (mnl_attr_get_type(a)) {
		case RTA_OIF:
			answer->way->ifindex = mnl_attr_get_u32(a);
			break;
		case RTA_GATEWAY:
			netlink_get_ip(a, answer->way->next_hop);
			break;
		case RTA_METRICS:
			mnl_attr_parse_nested(a, parse_metric, answer->way);
			break;
		default:
			break;
		}
	}
	return MNL_CB_OK;
}

static int parse_neighbour(const struct nlmsghdr *h, void *arg)
{
	const struct ndmsg *nd = mnl_nlmsg_get_payload(h);
	struct route_way *way = arg;
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWNEIGH)
		return MNL_CB_OK;
	way->unreachable = nd->ndm_state & NUD_FAILED;
	mnl_attr_for_each (a, h, sizeof(*nd)) {
		if (mnl_attr_get_type(a) != NDA_LLADDR ||
		    mnl_attr_get_payload_len(a) != sizeof(way->mac))
			continue;
		memcpy(way->mac, mnl_attr_get_payload(a), sizeof(way->mac));
		way->mac_known = true;
	}
	return MNL_CB_OK;
}

/* A neighbour that nobody asked for yet is no bad sign. */
static void look_at_neighbour(struct route_way *way)
{
	char buffer[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct ndmsg *nd;

	h->nlmsg_type = RTM_GETNEIGH;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = 1;
	nd = mnl_nlmsg_put_extra_header(h, sizeof(*nd));
	nd->ndm_family = ip_is_v4(way->next_hop) ? AF_INET : AF_INET6;
	nd->ndm_ifindex = (int)way->ifindex;
	netlink_put_ip(h, NDA_DST, way->next_hop);
	netlink_exchange(h, parse_neighbour, way);
}

uint32_t route_device_mtu(uint32_t ifindex)
{
	struct ifreq r = {0};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = -1;

	if (s < 0)
		return 0;
	if (if_indextoname(ifindex, r.ifr_name))
		err = ioctl(s, SIOCGIFMTU, &r);
	close(s);
	return err ? 0 : (uint32_t)r.ifr_mtu;
}

int route_device(const char *name, uint16_t *ret_type, uint8_t ret_mac[8])
{
	struct ifreq r = {0};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (s < 0)
		return -errno;
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (ioctl(s, SIOCGIFHWADDR, &r))
		err = -errno;
	close(s);
	if (err)
		return err;
	*ret_type = r.ifr_hwaddr.sa_family;
	memset(ret_mac, 0, 8);
	memcpy(ret_mac, r.ifr_hwaddr.sa_data, 6);
	return 0;
}

int route_lookup(const uint32_t dst[4], const uint32_t src[4], struct route_way *ret)
{
	char buffer[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct route_way way = {0};
	struct route_answer answer = {.way = &way};
	struct rtmsg *rt;
	int err;

	h->nlmsg_type = RTM_GETROUTE;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = 1;
	rt = mnl_nlmsg_put_extra_header(h, sizeof(*rt));
	rt->rtm_family = ip_is_v4(dst) ? AF_INET : AF_INET6;
	rt->rtm_dst_len = ip_is_v4(dst) ? 32 : 128;
	rt->rtm_src_len = rt->rtm_dst_len;
	netlink_put_ip(h, RTA_DST, dst);
	netlink_put_ip(h, RTA_SRC, src);
	memcpy(way.next_hop, dst, sizeof(way.next_hop));
	err = netlink_exchange(h, parse_route, &answer);
	if (err)
		return err;
	if (answer.type != RTN_UNICAST || !way.ifindex)
		return answer.type == RTN_LOCAL ? -EINVAL : -ENETUNREACH;
	if (!way.mtu)
		way.mtu = route_device_mtu(way.ifindex);
	look_at_neighbour(&way);
	*ret = way;
	return 0;
}
