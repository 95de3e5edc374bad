/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reserve.h - keeping the host's own connections off a range of ports
 *
 * net.ipv4.ip_local_reserved_ports of this network namespace (it serves IPv6 too): the kernel does
 * not choose these ports by itself; a program may still bind one by name. All return 0 or −errno.
 */
#pragma once

#include <stdint.h>

/* Adds lo..hi. 1: some or all of it was reserved already, by somebody else: nothing was changed,
 * and nothing is to be given back. */
int reserve_ports(uint16_t lo, uint16_t hi);
/* Takes lo..hi out again. 1: some of it was not there: nothing was changed. */
int reserve_release(uint16_t lo, uint16_t hi);
