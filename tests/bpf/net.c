/* SPDX-License-Identifier: GPL-2.0-only */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include "tests/bpf/net.h"

/* ---- rtnetlink, as much as is needed ---- */

struct request {
	struct nlmsghdr head;
	uint8_t body[512];
};

static void *begin(struct request *q, uint16_t type, uint16_t flags, size_t size)
{
	memset(q, 0, sizeof(*q));
	q->head.nlmsg_type = type;
	q->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	q->head.nlmsg_len = NLMSG_LENGTH((unsigned int)size);
	return NLMSG_DATA(&q->head);
}

static struct rtattr *put(struct request *q, uint16_t type, const void *data, size_t n)
{
	struct rtattr *a = (void *)((uint8_t *)q + NLMSG_ALIGN(q->head.nlmsg_len));

	if (NLMSG_ALIGN(q->head.nlmsg_len) + RTA_SPACE(n) > sizeof(*q))
		abort();
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(n);
	if (n)
		memcpy(RTA_DATA(a), data, n);
	q->head.nlmsg_len = NLMSG_ALIGN(q->head.nlmsg_len) + (uint32_t)RTA_ALIGN(a->rta_len);
	return a;
}

static void end_nest(struct request *q, struct rtattr *a)
{
	a->rta_len = (uint16_t)((uint8_t *)q + q->head.nlmsg_len - (uint8_t *)a);
}

static int ask(struct request *q)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		uint8_t rest[1024];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), err = -EIO;

	if (fd < 0)
		return -errno;
	if (send(fd, q, q->head.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
		err = -errno;
	else if (answer.head.nlmsg_type == NLMSG_ERROR)
		err = answer.error.error;
	close(fd);
	return err;
}

/* Addresses of one family as netlink wants them. */
static const void *raw(const struct end *e, size_t *ret_size)
{
	*ret_size = end_is_v6(e) ? 16 : 4;
	return end_is_v6(e) ? &e->ip[0] : &e->ip[3];
}

#define MTU 9000

static int add_veth(const char *name, const char *peer_name)
{
	static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 0x99};
	struct request q;
	struct rtattr *info, *data, *peer;
	struct ifinfomsg none = {0};
	uint32_t mtu = MTU;

	begin(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(none));
	put(&q, IFLA_IFNAME, name, strlen(name) + 1);
	put(&q, IFLA_ADDRESS, frame_host_mac, 6);
	put(&q, IFLA_MTU, &mtu, sizeof(mtu));
	info = put(&q, IFLA_LINKINFO, NULL, 0);
	put(&q, IFLA_INFO_KIND, "veth", 4);
	data = put(&q, IFLA_INFO_DATA, NULL, 0);
	peer = put(&q, VETH_INFO_PEER, &none, sizeof(none));
	put(&q, IFLA_IFNAME, peer_name, strlen(peer_name) + 1);
	put(&q, IFLA_ADDRESS, peer_mac, 6);
	put(&q, IFLA_MTU, &mtu, sizeof(mtu));
	end_nest(&q, peer);
	end_nest(&q, data);
	end_nest(&q, info);
	return ask(&q);
}

static int set_up(uint32_t ifindex)
{
	struct request q;
	struct ifinfomsg *m = begin(&q, RTM_NEWLINK, 0, sizeof(*m));

	m->ifi_index = (int)ifindex;
	m->ifi_flags = m->ifi_change = IFF_UP;
	return ask(&q);
}

static int add_address(uint32_t ifindex, const char *address)
{
	struct end e = end_of(address, 0);
	struct request q;
	struct ifaddrmsg *m = begin(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m));
	size_t size;
	const void *bytes = raw(&e, &size);

	m->ifa_family = end_is_v6(&e) ? AF_INET6 : AF_INET;
	m->ifa_prefixlen = end_is_v6(&e) ? 64 : 24;
	m->ifa_flags = end_is_v6(&e) ? IFA_F_NODAD : 0;
	m->ifa_index = ifindex;
	put(&q, IFA_LOCAL, bytes, size);
	put(&q, IFA_ADDRESS, bytes, size);
	return ask(&q);
}

/* Whoever has this address is at the gateway's MAC. */
static int add_neighbour(uint32_t ifindex, const char *address)
{
	struct end e = end_of(address, 0);
	struct request q;
	struct ndmsg *n = begin(&q, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*n));
	size_t size;
	const void *bytes = raw(&e, &size);

	n->ndm_family = end_is_v6(&e) ? AF_INET6 : AF_INET;
	n->ndm_ifindex = (int)ifindex;
	n->ndm_state = NUD_PERMANENT;
	put(&q, NDA_DST, bytes, size);
	put(&q, NDA_LLADDR, frame_gateway_mac, 6);
	return ask(&q);
}

static int add_gateway(uint32_t ifindex, const char *address)
{
	struct end e = end_of(address, 0);
	struct request q;
	struct rtmsg *m = begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m));
	size_t size;
	const void *bytes = raw(&e, &size);

	m->rtm_family = end_is_v6(&e) ? AF_INET6 : AF_INET;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_type = RTN_UNICAST;
	put(&q, RTA_GATEWAY, bytes, size);
	put(&q, RTA_OIF, &ifindex, 4);
	return ask(&q);
}

/* ---- the namespace ---- */

int net_sysctl(const char *name, const char *value)
{
	char path[128];
	int fd, err = 0;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int lone_cpu(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

/* Nothing of its own is to come from the wire's end, and little from the host's. */
static int quieten(const char *name, const char *peer)
{
	static const char *const settings[][2] = {{"accept_dad", "0"},
						  {"router_solicitations", "0"}};
	char path[80];
	int err;

	snprintf(path, sizeof(path), "ipv6/conf/%s/disable_ipv6", peer);
	err = net_sysctl(path, "1");
	for (int i = 0; !err && i < 2; i++) {
		snprintf(path, sizeof(path), "ipv6/conf/%s/%s", name, settings[i][0]);
		err = net_sysctl(path, settings[i][1]);
	}
	return err;
}

static int make_link(struct net *n, const char *name, const char *peer)
{
	int err = add_veth(name, peer);

	if (err)
		return err;
	n->ifindex = if_nametoindex(name);
	n->peer = if_nametoindex(peer);
	err = quieten(name, peer);
	if (!err)
		err = set_up(n->ifindex);
	return err ? err : set_up(n->peer);
}

static int packet_socket(const struct net *n, bool header)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)n->peer};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1, size = 4 << 20;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if ((header && setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one))) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static int open_wire(struct net *n)
{
	n->wire = packet_socket(n, false);
	if (n->wire < 0)
		return n->wire;
	n->wire_gso = packet_socket(n, true);
	return n->wire_gso < 0 ? n->wire_gso : 0;
}

static int configure(const struct net *old, const struct net *out)
{
	static const char *const addresses[] = {"203.0.113.10", "203.0.113.11", "203.0.113.12",
						"2001:db8::10", "2001:db8::11", "2001:db8::12"};
	static const char *const gateways[] = {"203.0.113.1", "2001:db8::1"};
	static const char *const others[] = {"198.51.100.1", "2001:db8:b::1"};
	static const char *const gcp[] = {"198.51.100.30", "2001:db8:b::30"};
	int err = set_up(1);

	for (size_t i = 0; !err && i < sizeof(addresses) / sizeof(addresses[0]); i++)
		err = add_address(old->ifindex, addresses[i]);
	for (int i = 0; !err && i < 2; i++) {
		err = add_neighbour(old->ifindex, gateways[i]);
		if (!err)
			err = add_gateway(old->ifindex, gateways[i]);
		if (!err)
			err = add_address(out->ifindex, others[i]);
		if (!err)
			err = add_neighbour(out->ifindex, gcp[i]);
	}
	return err;
}

int net_enter(struct net *ret_old, struct net *ret_out)
{
	int err;

	*ret_old = *ret_out = (struct net){.wire = -1, .wire_gso = -1};
	err = unshare(CLONE_NEWNET) ? -errno : lone_cpu();
	if (!err)
		err = make_link(ret_old, "old0", "peer0");
	if (!err)
		err = make_link(ret_out, "out0", "far0");
	if (!err)
		err = configure(ret_old, ret_out);
	if (!err)
		err = open_wire(ret_old);
	if (!err)
		err = open_wire(ret_out);
	if (err)
		fprintf(stderr, "no network namespace: %s\n", strerror(-err));
	return err;
}

int net_tun(const char *const *addresses, size_t n, uint32_t *ret_ifindex)
{
	struct ifreq q = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), err = 0;

	if (fd < 0)
		return -errno;
	snprintf(q.ifr_name, sizeof(q.ifr_name), "tun%d", getpid() % 1000);
	if (ioctl(fd, TUNSETIFF, &q))
		err = -errno;
	*ret_ifindex = err ? 0 : if_nametoindex(q.ifr_name);
	if (!err)
		err = set_up(*ret_ifindex);
	for (size_t i = 0; !err && i < n; i++)
		err = add_address(*ret_ifindex, addresses[i]);
	if (!err)
		return fd;
	close(fd);
	return err;
}

void net_leave(struct net *n)
{
	if (n->wire >= 0)
		close(n->wire);
	if (n->wire_gso >= 0)
		close(n->wire_gso);
}
