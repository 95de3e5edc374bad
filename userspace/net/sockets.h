/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sockets.h - who on this host uses ports of a range
 *
 * Read from /proc/net: the kernel's socket dumps would load modules on a host that lacks them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SOCKETS_PORTS 8

struct sockets {
	unsigned int listening;	      /* TCP listeners on a port of the range */
	unsigned int udp;	      /* UDP sockets bound to one */
	unsigned int towards;	      /* TCP connections from one to an address asked for */
	uint16_t port[SOCKETS_PORTS]; /* of the first listeners and UDP sockets */
	unsigned int n_ports;
	bool cut; /* there were too many sockets to read them all in time */
};

/* Ports in host order, both included. 0 and *ret, or −errno. Takes at most two seconds. */
int sockets_in_range(uint16_t lo, uint16_t hi, const uint32_t (*towards)[4], unsigned int n,
		     struct sockets *ret);
