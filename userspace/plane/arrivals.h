/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * arrivals.h - who still arrives at the old arm: connections by network (IPv4 /24, IPv6 /48)
 *
 * The kernel's table keeps the networks that were seen last, SHIFT_ARRIVALS of them at most.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "userspace/plane/plane.h"

struct arrival {
	uint32_t address[4];
	unsigned int bits; /* of 128 */
	uint64_t connections;
	uint64_t last_ns; /* CLOCK_MONOTONIC */
};

/* Those of a service, by connections, the most first; for the caller to free. 0 or −errno. */
int arrivals_list(const struct plane *p, int service, struct arrival **ret, size_t *ret_n);

/* Empties the table of a service's networks; *ret_n (may be NULL): how many there were. */
int arrivals_clear(const struct plane *p, int service, size_t *ret_n);

/* The network that a key of the kernel's table means. */
void arrivals_network(const struct shift_arrival_key *key, struct arrival *ret);

/* What order they come in: by connections, then the one seen last, then the address. */
int arrivals_order(const void *a, const void *b);
