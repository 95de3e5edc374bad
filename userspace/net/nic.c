/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/nic.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/net/netlink.h"

static int parse_xdp(const struct nlattr *a, void *arg)
{
	struct nic *n = arg;

	switch (mnl_attr_get_type(a)) {
	case IFLA_XDP_ATTACHED: /* XDP_ATTACHED_NONE, _DRV, _SKB, _HW, _MULTI: as enum nic_xdp */
		n->xdp = mnl_attr_get_u8(a);
		break;
	case IFLA_XDP_PROG_ID:
	case IFLA_XDP_DRV_PROG_ID:
	case IFLA_XDP_SKB_PROG_ID:
	case IFLA_XDP_HW_PROG_ID:
		if (!n->xdp_prog_id)
			n->xdp_prog_id = mnl_attr_get_u32(a);
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int parse_link(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *a;
	struct nic *n = arg;

	if (h->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	mnl_attr_for_each (a, h, sizeof(struct ifinfomsg)) {
		if (mnl_attr_get_type(a) == IFLA_MTU)
			n->mtu = mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == IFLA_NUM_RX_QUEUES)
			n->rx_queues = mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == IFLA_XDP)
			mnl_attr_parse_nested(a, parse_xdp, n);
	}
	return MNL_CB_OK;
}

static int ask_link(uint32_t ifindex, struct nic *n)
{
	char buffer[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *m;

	h->nlmsg_type = RTM_GETLINK;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = 1;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ifi_family = AF_UNSPEC;
	m->ifi_index = (int)ifindex;
	return netlink_exchange(h, parse_link, n);
}

static int ethtool(int s, const char *name, void *command)
{
	struct ifreq r = {.ifr_data = command};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	return ioctl(s, SIOCETHTOOL, &r) ? -errno : 0;
}

/* By the old calls, which every kernel and driver still answers. */
static void ask_driver(const char *name, struct nic *n)
{
	struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS}, gro = {.cmd = ETHTOOL_GGRO};
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		return;
	if (!ethtool(s, name, &flags))
		n->lro = (flags.data & ETH_FLAG_LRO) != 0;
	if (!ethtool(s, name, &gro))
		n->gro = gro.data != 0;
	/* What the kernel says is how many there could be. */
	if (!ethtool(s, name, &channels) && channels.rx_count + channels.combined_count)
		n->rx_queues = channels.rx_count + channels.combined_count;
	close(s);
}

/* ---- the netdev family of generic netlink; of linux/netdev.h, which is newer than Debian 12 ----
 */

#define NETDEV_DEV_GET	    1 /* NETDEV_CMD_DEV_GET */
#define NETDEV_IFINDEX	    1 /* NETDEV_A_DEV_IFINDEX */
#define NETDEV_XDP_FEATURES 3 /* NETDEV_A_DEV_XDP_FEATURES */
#define XDP_ACT_BASIC	    1ull

static struct nlmsghdr *prepare_generic(char *buffer, uint16_t family, uint8_t command)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *g;

	h->nlmsg_type = family;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = 1;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->cmd = command;
	g->version = 1;
	return h;
}

static int parse_family(const struct nlmsghdr *h, void *arg)
{
	uint16_t *id = arg;
	const struct nlattr *a;

	mnl_attr_for_each (a, h, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID)
			*id = mnl_attr_get_u16(a);
	}
	return MNL_CB_OK;
}

static int parse_features(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *a;
	int *native = arg;

	mnl_attr_for_each (a, h, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(a) == NETDEV_XDP_FEATURES)
			*native = (mnl_attr_get_u64(a) & XDP_ACT_BASIC) != 0;
	}
	return MNL_CB_OK;
}

int nic_native_xdp(uint32_t ifindex)
{
	char buffer[256];
	struct nlmsghdr *h = prepare_generic(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	uint16_t family = 0;
	int native = -1;

	mnl_attr_put_strz(h, CTRL_ATTR_FAMILY_NAME, "netdev");
	if (netlink_exchange_on(NETLINK_GENERIC, h, parse_family, &family) || !family)
		return -1;
	h = prepare_generic(buffer, family, NETDEV_DEV_GET);
	mnl_attr_put_u32(h, NETDEV_IFINDEX, ifindex);
	return netlink_exchange_on(NETLINK_GENERIC, h, parse_features, &native) ? -1 : native;
}

int nic_read(uint32_t ifindex, const char *name, struct nic *ret)
{
	struct nic n = {.lro = -1, .gro = -1};
	int err = ask_link(ifindex, &n);

	if (err)
		return err;
	ask_driver(name, &n);
	*ret = n;
	return 0;
}
