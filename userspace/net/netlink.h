/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netlink.h - one request and its answers over rtnetlink, or another bus of netlink
 */
#pragma once

#include <libmnl/libmnl.h>
#include <stdint.h>

/*
 * Sends `request` (with any sequence number but 0) and hands every message of the answer to `cb`.
 * 0, the kernel's −errno, or what the transport gave.
 */
int netlink_exchange(struct nlmsghdr *request, mnl_cb_t cb, void *arg);
/* The same over another of the kernel's families (NETLINK_NETFILTER, …). */
int netlink_exchange_on(int bus, struct nlmsghdr *request, mnl_cb_t cb, void *arg);

/* An address attribute of 4 or 16 bytes from and to the form of bpf/shift.h; others are ignored. */
void netlink_put_ip(struct nlmsghdr *h, uint16_t type, const uint32_t ip[4]);
void netlink_get_ip(const struct nlattr *a, uint32_t ret[4]);
