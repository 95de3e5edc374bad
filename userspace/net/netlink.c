/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "userspace/base/ip.h"

int netlink_exchange_on(int bus, struct nlmsghdr *request, mnl_cb_t cb, void *arg)
{
	char answer[32768];
	struct mnl_socket *s;
	ssize_t n;
	int err = 0;

	s = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!s)
		return -errno;
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(s, request, request->nlmsg_len) < 0) {
		err = -errno;
		mnl_socket_close(s);
		return err;
	}
	do {
		n = mnl_socket_recvfrom(s, answer, sizeof(answer));
		if (n < 0) {
			err = -errno;
			break;
		}
		err = mnl_cb_run(answer, (size_t)n, request->nlmsg_seq, mnl_socket_get_portid(s),
				 cb, arg);
		if (err < 0)
			err = -errno;
	} while (err > 0);
	mnl_socket_close(s);
	return err;
}

int netlink_exchange(struct nlmsghdr *request, mnl_cb_t cb, void *arg)
{
	return netlink_exchange_on(NETLINK_ROUTE, request, cb, arg);
}

void netlink_put_ip(struct nlmsghdr *h, uint16_t type, const uint32_t ip[4])
{
	if (ip_is_v4(ip))
		mnl_attr_put(h, type, 4, &ip[3]);
	else
		mnl_attr_put(h, type, 16, ip);
}

void netlink_get_ip(const struct nlattr *a, uint32_t ret[4])
{
	uint32_t v4;

	if (mnl_attr_get_payload_len(a) == sizeof(v4)) {
		memcpy(&v4, mnl_attr_get_payload(a), sizeof(v4));
		ip_map(v4, ret);
	} else if (mnl_attr_get_payload_len(a) == 16) {
		memcpy(ret, mnl_attr_get_payload(a), 16);
	}
}
