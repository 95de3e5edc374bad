/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reserve.h - keeping the host's own connections off ranges of ports
 *
 * net.ipv4.ip_local_reserved_ports of this network namespace (it serves IPv6 too): the kernel does
 * not choose these ports by itself; a program may still bind one by name.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RESERVE_PORTS 65536

struct reserve_range {
	uint16_t lo, hi; /* hi 0: no range */
};

/*
 * Reserves the ports with `want[port]` set and gives back those of `ours` that are not wanted any
 * more. What others reserved is left alone, whether or not it is wanted. `ours` is what we added
 * before, and becomes what we have added by now; with `dry` that is all, and nothing is written. 0;
 * 1: nothing has to be changed; -E2BIG: ours would be more than `max` ranges, nothing is changed;
 * or −errno.
 */
int reserve_update(const unsigned char want[RESERVE_PORTS], struct reserve_range *ours,
		   unsigned int max, bool dry);

/* "20000-29999,40000-40010"; "" for none. Returns ret. */
const char *reserve_text(const struct reserve_range *r, unsigned int n, char *ret,
			 unsigned int size);
