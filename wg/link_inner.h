/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * link_inner.h - what the parts of link share: one socket, and dumps that the kernel filters
 */
#pragma once

#include <libmnl/libmnl.h>
#include <netlink/addr.h>
#include <netlink/msg.h>
#include <netlink/object.h>
#include <stddef.h>
#include <stdint.h>

#include "wg/link.h"

struct link_wire {
	struct mnl_socket *socket;
	uint32_t seq;
	char why[160]; /* the kernel's words about the last request, "" */
};

/* With extended ACKs and, where the kernel has it, strict checking of what is asked. */
int link_wire_open(struct link_wire *w);
void link_wire_close(struct link_wire *w);
/*
 * Sends a request and hands every message of the answer to `cb` (may be NULL), which returns
 * MNL_CB_OK or −1 with errno. 0, or −errno: the kernel's, the callback's, or -EINTR when a dump was
 * disturbed and must be asked for again.
 */
int link_wire_ask(struct link_wire *w, struct nlmsghdr *h, mnl_cb_t cb, void *arg);
/* The same for a message that libnl built, which is freed. */
int link_wire_tell(struct link_wire *w, struct nl_msg *m);
/* Waits for the answers to requests up to number `last`, of which only that asked for an ACK: how
 * many failed, the first's −errno in *ret_first. −errno: not all answers came. */
int link_wire_collect(struct link_wire *w, uint32_t last, int *ret_first);

/* libnl's object of a message, which the caller puts; NULL: it cannot be read. */
struct nl_object *link_object(const struct nlmsghdr *h);
/* NULL: no memory. */
struct nl_addr *link_nl_address(const struct link_network *a);
/* Another family or a length that does not fit: -EAFNOSUPPORT. */
int link_network_of(const struct nl_addr *a, struct link_network *ret);

/* The interface's own fields; -ENODEV. */
int link_read_device(struct link_wire *w, const char *name, struct link *ret);
/* Appends our routes of one family; `table` or `ifindex` 0: of any. *ret_ifindex, if not NULL: the
 * device of the last. -ENODEV: there is no such device. */
struct link_route_filter {
	uint8_t family;
	uint32_t table, ifindex;
	const struct link_route *only; /* of this prefix and metric; NULL: all */
};
int link_read_routes(struct link_wire *w, const struct link_route_filter *f, struct link *ret,
		     uint32_t *ret_ifindex);
/* Appends our rules to `table`, of both families. */
int link_read_rules(struct link_wire *w, uint32_t table, struct link *ret);

/* By prefix, table and metric, as strcmp. */
int link_route_compare(const struct link_route *a, const struct link_route *b);
/* The request to add or remove a route of ours; 0 and *ret. */
int link_route_message(const struct link_route *r, uint32_t ifindex, int flags,
		       struct nl_msg **ret);
