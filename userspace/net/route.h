/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * route.h - the kernel's own answer to "how would a packet get there?"
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct route_way {
	uint32_t ifindex;
	uint32_t mtu;	      /* of the route, else of the device; 0: unknown */
	uint32_t next_hop[4]; /* the gateway, else the destination */
	uint8_t mac[6];	      /* of the next hop */
	bool mac_known;
	bool unreachable; /* the next hop was asked for and does not answer (NUD_FAILED) */
};

/*
 * From `src` to `dst`, both as in bpf/shift.h and of one family, in this network namespace. 0;
 * -ENETUNREACH or another of the kernel's: there is no way; -EINVAL: the way ends on this host
 * itself.
 */
int route_lookup(const uint32_t dst[4], const uint32_t src[4], struct route_way *ret);

/* Of an interface; 0: unknown. */
uint32_t route_device_mtu(uint32_t ifindex);

/* What kind of device it is (ARPHRD_…), and its address. 0 or −errno. */
int route_device(const char *name, uint16_t *ret_type, uint8_t ret_mac[8]);
