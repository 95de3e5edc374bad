/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/links.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

int links_open(void)
{
	struct sockaddr_nl local = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), err;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&local, sizeof(local))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* A port that leaves its bridge is told as a deleted link, too, of that family. */
static unsigned int take(const struct nlmsghdr *h, void (*gone)(void *arg, uint32_t ifindex),
			 void *arg)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);

	switch (h->nlmsg_type) {
	case RTM_NEWADDR:
		return LINKS_ADDRESS;
	case RTM_DELLINK:
		if (mnl_nlmsg_get_payload_len(h) >= sizeof(*i) && i->ifi_family == AF_UNSPEC)
			gone(arg, (uint32_t)i->ifi_index);
		return LINKS_LINK;
	case RTM_NEWLINK:
		return LINKS_LINK;
	default:
		return 0;
	}
}

int links_read(int fd, void (*gone)(void *arg, uint32_t ifindex), void *arg)
{
	char buffer[32768] __attribute__((aligned(4)));
	unsigned int kinds = 0;

	for (;;) {
		struct sockaddr_nl from = {0};
		socklen_t size = sizeof(from);
		ssize_t n =
			recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &size);
		const struct nlmsghdr *h = (const void *)buffer;
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? (int)kinds : -errno;
		for (; !from.nl_pid && mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
			kinds |= take(h, gone, arg);
	}
}
