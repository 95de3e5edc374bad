/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * attach.h - the programs at an interface, and what the host sends then
 */
#pragma once

#include "tests/bpf/net.h"

int attach_to(const struct net *n, int prog);
void attach_end(const struct net *n);
int attach_to_ifindex(uint32_t ifindex, int prog);
int attach_to_egress(uint32_t ifindex, int prog); /* which has one at the ingress */

/*
 * The next IP packet that the host sent, other than its own of IPv6's neighbourhood; with `like`,
 * of these addresses and this protocol. False: none came within `ms`.
 */
bool attach_read(const struct net *n, const struct frame *like, int ms, struct frame *ret);

/* The same from a network card with offloads, which finishes the checksum that was left to it. */
bool attach_read_finished(const struct net *n, int ms, struct frame *ret);
