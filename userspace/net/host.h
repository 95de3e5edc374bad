/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * host.h - what this host is, as the kernel tells it: addresses, links, routes, ports
 *
 * All of the current network namespace, at one moment. Addresses are as in bpf/shift.h (v4-mapped,
 * network order).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Who put an address there: IFA_PROTO, of kernels since 5.18 and programs that care. */
#define HOST_ORIGIN_KEEPALIVED 18 /* RTPROT_KEEPALIVED */

struct host_address {
	uint32_t ip[4];
	uint32_t ifindex;
	uint8_t family; /* 4 or 6 */
	uint8_t prefix;
	uint8_t origin;	 /* 0: unknown */
	bool secondary;	 /* the second of its network on the link (IPv4) */
	bool leased;	 /* has a lifetime: DHCP, router advertisement, `valid_lft` */
	bool deprecated; /* not to be used for new connections */
	bool unusable;	 /* still tentative, or a duplicate of another host's */
};

struct host_link {
	uint32_t ifindex;
	uint32_t master; /* 0: none */
	uint32_t lower;	 /* what a VLAN or macvlan sits on; 0: nothing, or elsewhere */
	char name[16];
	char kind[16]; /* "bond", "vlan", "wireguard"; "" for a plain device */
	bool up;
	bool loopback;
	bool bare;     /* no Ethernet header before its packets */
	bool vrrp_mac; /* its MAC is a virtual router's (RFC 5798, 7.3) */
	uint64_t bits; /* per second; 0: unknown */
	uint64_t rx_bytes, tx_bytes;
};

struct host_route {
	uint32_t to[4];
	uint32_t ifindex;
	uint8_t family;
	uint8_t prefix; /* in bits of the family; 0: a default route */
};

struct host {
	struct host_address *addresses;
	unsigned int n_addresses;
	struct host_link *links;
	unsigned int n_links;
	struct host_route *routes; /* default routes, and those that cover an address asked for */
	unsigned int n_routes;
	uint16_t port_lo, port_hi; /* ip_local_port_range; 0: unknown */
	bool vrrp;	 /* a program here speaks VRRP (an open raw socket of protocol 112) */
	uint64_t memory; /* bytes that could be had, 0: unknown */
	unsigned int cpus;
	uint64_t accepted; /* connections accepted since boot (TcpPassiveOpens) */
	uint64_t at_ns;	   /* CLOCK_MONOTONIC when this was read */
};

/*
 * Reads it all; routes towards the `n` addresses are of interest. 0 and *ret, which the caller
 * gives to host_free; −errno when the kernel does not tell addresses, links or routes. What else
 * cannot be learned is 0 in *ret.
 */
int host_read(const uint32_t (*towards)[4], unsigned int n, struct host *ret);
void host_free(struct host *h);

/* NULL: there is none. */
const struct host_link *host_link(const struct host *h, uint32_t ifindex);
const struct host_link *host_link_named(const struct host *h, const char *name);
const struct host_address *host_address(const struct host *h, const uint32_t ip[4]);
