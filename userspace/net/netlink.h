/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netlink.h - one request and its answers over rtnetlink
 */
#pragma once

#include <libmnl/libmnl.h>

/*
 * Sends `request` (with any sequence number but 0) and hands every message of the answer to `cb`.
 * 0, the kernel's −errno, or what the transport gave.
 */
int netlink_exchange(struct nlmsghdr *request, mnl_cb_t cb, void *arg);
