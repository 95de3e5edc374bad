/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "userspace/net/netlink.h"

#define VRRP  112
#define TRIES 5 /* of a dump that a change interrupted */

struct dump {
	struct host *h;
	const uint32_t (*towards)[4];
	unsigned int n;
	uint8_t family; /* of routes */
	bool no_memory;
};

/* Room for one more element, zeroed; NULL without memory. Grows by doubling. */
static void *one_more(struct dump *d, void *array, unsigned int *n, size_t size)
{
	char **a = array, *bigger;

	if (!(*n & (*n - 1))) {
		bigger = reallocarray(*a, *n ? 2 * *n : 1, size);
		if (!bigger) {
			d->no_memory = true;
			return NULL;
		}
		*a = bigger;
	}
	return memset(*a + size * (*n)++, 0, size);
}

/* ---- addresses ---- */

#ifndef IFA_PROTO
#define IFA_PROTO 11
#endif

static void set_flags(struct host_address *a, uint32_t flags)
{
	/* For IPv6 the same bit marks a temporary address. */
	a->secondary = a->family == 4 && flags & IFA_F_SECONDARY;
	a->leased = !(flags & IFA_F_PERMANENT);
	a->deprecated = flags & IFA_F_DEPRECATED;
	a->unusable = flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED);
}

static int one_address(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(nlh);
	struct dump *d = arg;
	struct host_address *a;
	const struct nlattr *attr;
	bool local = false;

	if (nlh->nlmsg_type != RTM_NEWADDR ||
	    (m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
		return MNL_CB_OK;
	a = one_more(d, &d->h->addresses, &d->h->n_addresses, sizeof(*a));
	if (!a)
		return MNL_CB_STOP;
	a->family = m->ifa_family == AF_INET ? 4 : 6;
	a->prefix = m->ifa_prefixlen;
	a->ifindex = m->ifa_index;
	set_flags(a, m->ifa_flags);
	mnl_attr_for_each (attr, nlh, sizeof(*m)) {
		uint16_t type = mnl_attr_get_type(attr);

		/* On a point-to-point link IFA_ADDRESS is the other side's. */
		if (type == IFA_LOCAL || (type == IFA_ADDRESS && !local))
			netlink_get_ip(attr, a->ip);
		local |= type == IFA_LOCAL;
		if (type == IFA_FLAGS)
			set_flags(a, mnl_attr_get_u32(attr));
		if (type == IFA_PROTO)
			a->origin = mnl_attr_get_u8(attr);
	}
	return MNL_CB_OK;
}

/* ---- links ---- */

static int link_kind(const struct nlattr *a, void *arg)
{
	struct host_link *l = arg;

	if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
		snprintf(l->kind, sizeof(l->kind), "%.*s", (int)mnl_attr_get_payload_len(a),
			 mnl_attr_get_str(a));
	return MNL_CB_OK;
}

static bool is_vrrp_mac(const struct nlattr *a)
{
	static const uint8_t virtual_router[] = {0x00, 0x00, 0x5e, 0x00};
	const uint8_t *mac = mnl_attr_get_payload(a);

	return mnl_attr_get_payload_len(a) == 6 && !memcmp(mac, virtual_router, 4) &&
	       (mac[4] == 1 || mac[4] == 2);
}

/* Those that take packets from the device under them; a veth's IFLA_LINK is its peer. */
static bool sits_on_lower(const char *kind)
{
	static const char *const kinds[] = {"vlan",   "macvlan", "macvtap",
					    "ipvlan", "ipvtap",	 "macsec"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kind, kinds[i]))
			return true;
	return false;
}

static void link_attribute(struct host_link *l, const struct nlattr *a, bool *elsewhere)
{
	struct rtnl_link_stats64 stats;

	switch (mnl_attr_get_type(a)) {
	case IFLA_IFNAME:
		snprintf(l->name, sizeof(l->name), "%s", mnl_attr_get_str(a));
		break;
	case IFLA_MASTER:
		l->master = mnl_attr_get_u32(a);
		break;
	case IFLA_LINK:
		l->lower = mnl_attr_get_u32(a);
		break;
	case IFLA_LINK_NETNSID:
		*elsewhere = true;
		break;
	case IFLA_LINKINFO:
		mnl_attr_parse_nested(a, link_kind, l);
		break;
	case IFLA_ADDRESS:
		l->vrrp_mac = is_vrrp_mac(a);
		break;
	case IFLA_STATS64:
		memset(&stats, 0, sizeof(stats));
		memcpy(&stats, mnl_attr_get_payload(a),
		       mnl_attr_get_payload_len(a) < sizeof(stats) ? mnl_attr_get_payload_len(a)
								   : sizeof(stats));
		l->rx_bytes = stats.rx_bytes;
		l->tx_bytes = stats.tx_bytes;
		break;
	default:
		break;
	}
}

static int one_link(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(nlh);
	struct dump *d = arg;
	struct host_link *l;
	const struct nlattr *a;
	bool elsewhere = false;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	l = one_more(d, &d->h->links, &d->h->n_links, sizeof(*l));
	if (!l)
		return MNL_CB_STOP;
	l->ifindex = (uint32_t)m->ifi_index;
	l->up = m->ifi_flags & IFF_UP;
	l->loopback = m->ifi_flags & IFF_LOOPBACK;
	l->bare = m->ifi_type != ARPHRD_ETHER && m->ifi_type != ARPHRD_LOOPBACK;
	mnl_attr_for_each (a, nlh, sizeof(*m)) {
		link_attribute(l, a, &elsewhere);
	}
	if (elsewhere || !sits_on_lower(l->kind))
		l->lower = 0;
	return MNL_CB_OK;
}

/* The speed, by the call that every kernel and driver still answers. */
static void read_speeds(struct host *h)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		return;
	for (unsigned int i = 0; i < h->n_links; i++) {
		struct ethtool_cmd cmd = {.cmd = ETHTOOL_GSET};
		struct ifreq r = {.ifr_data = (char *)&cmd};
		uint32_t mbit;

		snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", h->links[i].name);
		if (ioctl(s, SIOCETHTOOL, &r))
			continue;
		mbit = (uint32_t)cmd.speed_hi << 16 | cmd.speed;
		if (mbit != (uint32_t)SPEED_UNKNOWN)
			h->links[i].bits = mbit * 1000000ull;
	}
	close(s);
}

/* ---- routes ---- */

static bool covers(const uint32_t net[4], unsigned int bits, const uint32_t ip[4])
{
	for (unsigned int i = 0; i < 4 && bits > 32 * i; i++) {
		unsigned int keep = bits - 32 * i;
		uint32_t mask = keep >= 32 ? 0xffffffff : ~(0xffffffffu >> keep);

		if ((net[i] ^ ip[i]) & htonl(mask))
			return false;
	}
	return true;
}

static bool wanted(const struct dump *d, const uint32_t to[4], uint8_t prefix)
{
	unsigned int bits = prefix + (d->family == 4 ? 96 : 0);

	if (!prefix)
		return true;
	for (unsigned int i = 0; i < d->n; i++)
		if (covers(to, bits, d->towards[i]))
			return true;
	return false;
}

static bool add_route(struct dump *d, const uint32_t to[4], uint8_t prefix, uint32_t ifindex)
{
	struct host_route *r;

	if (!ifindex)
		return true;
	r = one_more(d, &d->h->routes, &d->h->n_routes, sizeof(*r));
	if (!r)
		return false;
	memcpy(r->to, to, sizeof(r->to));
	r->family = d->family;
	r->prefix = prefix;
	r->ifindex = ifindex;
	return true;
}

static bool add_paths(struct dump *d, const uint32_t to[4], uint8_t prefix, const struct nlattr *a)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(a);
	int left = mnl_attr_get_payload_len(a);

	for (; RTNH_OK(hop, left); left -= (int)RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop)) {
		if (hop->rtnh_flags & RTNH_F_DEAD)
			continue;
		if (!add_route(d, to, prefix, (uint32_t)hop->rtnh_ifindex))
			return false;
	}
	return true;
}

static int one_route(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(nlh);
	uint32_t to[4] = {0, 0, 0, 0}, ifindex = 0;
	const struct nlattr *a, *paths = NULL;
	struct dump *d = arg;
	bool good;

	if (nlh->nlmsg_type != RTM_NEWROUTE || m->rtm_type != RTN_UNICAST ||
	    m->rtm_family != (d->family == 4 ? AF_INET : AF_INET6) ||
	    m->rtm_flags & (RTNH_F_DEAD | RTM_F_CLONED))
		return MNL_CB_OK;
	if (d->family == 4)
		to[2] = htonl(0xffff);
	mnl_attr_for_each (a, nlh, sizeof(*m)) {
		if (mnl_attr_get_type(a) == RTA_DST)
			netlink_get_ip(a, to);
		else if (mnl_attr_get_type(a) == RTA_OIF)
			ifindex = mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == RTA_MULTIPATH)
			paths = a;
	}
	if (!wanted(d, to, m->rtm_dst_len))
		return MNL_CB_OK;
	good = add_route(d, to, m->rtm_dst_len, ifindex);
	if (good && paths)
		good = add_paths(d, to, m->rtm_dst_len, paths);
	return good ? MNL_CB_OK : MNL_CB_STOP;
}

/* ---- the rest ---- */

/* A raw socket's place in /proc/net/raw ends in its protocol. */
static bool raw_socket_of(const char *file, unsigned int protocol)
{
	char line[256];
	unsigned int seen;
	bool found = false;
	FILE *f = fopen(file, "re");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, " %*d: %*[0-9A-Fa-f]:%x", &seen) == 1 && seen == protocol;
	fclose(f);
	return found;
}

static void read_port_range(struct host *h)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	uint16_t lo, hi;

	if (!f)
		return;
	if (fscanf(f, "%" SCNu16 " %" SCNu16, &lo, &hi) == 2) {
		h->port_lo = lo;
		h->port_hi = hi;
	}
	fclose(f);
}

static void read_memory(struct host *h)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib;
	char line[128];

	if (!f)
		return;
	while (!h->memory && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			h->memory = kib * 1024;
	fclose(f);
}

/* "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens …", then the numbers. */
static void read_accepted(struct host *h)
{
	FILE *f = fopen("/proc/net/snmp", "re");
	unsigned long long opens;
	char line[1024];

	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Tcp: %*d %*d %*d %*d %*u %llu", &opens) == 1)
			h->accepted = opens;
	fclose(f);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* One kind of object. A change meanwhile interrupts a dump: *n goes back and it starts over. */
static int dump(struct dump *d, uint16_t type, int family, mnl_cb_t cb, unsigned int *n)
{
	unsigned int before = *n;
	int err = -EINTR;

	for (int i = 0; i < TRIES && err == -EINTR; i++) {
		char buffer[128];
		struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
		struct rtmsg
			*m; /* the longest header of the three; what is read of all is the family */

		h->nlmsg_type = type;
		h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
		h->nlmsg_seq = 1;
		m = mnl_nlmsg_put_extra_header(h, type == RTM_GETLINK ? sizeof(struct ifinfomsg)
								      : sizeof(*m));
		m->rtm_family = (uint8_t)family;
		*n = before;
		err = netlink_exchange(h, cb, d);
	}
	return d->no_memory ? -ENOMEM : err;
}

int host_read(const uint32_t (*towards)[4], unsigned int n, struct host *ret)
{
	struct host h = {.at_ns = now_ns()};
	struct dump d = {.h = &h, .towards = towards, .n = n};
	int err = dump(&d, RTM_GETLINK, AF_UNSPEC, one_link, &h.n_links);

	if (!err)
		err = dump(&d, RTM_GETADDR, AF_UNSPEC, one_address, &h.n_addresses);
	for (d.family = 4; !err && d.family <= 6; d.family += 2)
		err = dump(&d, RTM_GETROUTE, d.family == 4 ? AF_INET : AF_INET6, one_route,
			   &h.n_routes);
	if (err) {
		host_free(&h);
		return err;
	}
	read_speeds(&h);
	read_port_range(&h);
	read_memory(&h);
	h.cpus = (unsigned int)sysconf(_SC_NPROCESSORS_CONF);
	read_accepted(&h);
	h.vrrp = raw_socket_of("/proc/net/raw", VRRP) || raw_socket_of("/proc/net/raw6", VRRP);
	*ret = h;
	return 0;
}

void host_free(struct host *h)
{
	free(h->addresses);
	free(h->links);
	free(h->routes);
	memset(h, 0, sizeof(*h));
}

const struct host_link *host_link(const struct host *h, uint32_t ifindex)
{
	for (unsigned int i = 0; i < h->n_links; i++)
		if (h->links[i].ifindex == ifindex)
			return &h->links[i];
	return NULL;
}

const struct host_link *host_link_named(const struct host *h, const char *name)
{
	for (unsigned int i = 0; i < h->n_links; i++)
		if (!strcmp(h->links[i].name, name))
			return &h->links[i];
	return NULL;
}

const struct host_address *host_address(const struct host *h, const uint32_t ip[4])
{
	for (unsigned int i = 0; i < h->n_addresses; i++)
		if (!memcmp(h->addresses[i].ip, ip, sizeof(h->addresses[i].ip)))
			return &h->addresses[i];
	return NULL;
}
