/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * net.h - a network namespace of our own, and the wires before it
 *
 * The process moves into a new namespace that ends with it. In it two veth pairs. "old0" is the old
 * host's interface, with the listen and NAT addresses and the way to everybody through a gateway;
 * "out0" is a second one, on whose wire gcp's addresses are. The pairs' other ends have no stack
 * (what comes out there is addressed to other MACs): what the host sends is read there, and what is
 * written there comes in at the host.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/bpf/packet.h"

struct net {
	uint32_t ifindex; /* the host's */
	uint32_t peer;	  /* the wire's */
	int wire;	  /* packet socket on it */
	int wire_gso;	  /* another, whose frames have a struct virtio_net_hdr before them */
};

/* 0 or −errno, after a message on stderr. */
int net_enter(struct net *ret_old, struct net *ret_out);
void net_leave(struct net *n);

/*
 * A device without an Ethernet header, up, with these addresses; it ends when the descriptor is
 * closed. The descriptor, on which IP packets are read and written without waiting; or −errno.
 */
int net_tun(const char *const *addresses, size_t n, uint32_t *ret_ifindex);

/* What the kernel is told in /proc/sys/net/NAME. 0 or −errno. */
int net_sysctl(const char *name, const char *value);

void wire_send(const struct net *n, const struct frame *f);

/*
 * The next TCP packet that the host sent; from `src`, to `dst` if given (a port of 0 is any).
 * False: none came within `ms`.
 */
bool wire_read(const struct net *n, const struct end *src, const struct end *dst, int ms,
	       struct frame *ret);

/* What a network card with offloads says of a frame. */
struct offload {
	bool partial;	 /* the TCP checksum is the pseudo-header's alone */
	uint16_t gso;	 /* segments' size, 0: one packet */
	uint16_t linear; /* bytes that are to lie in the linear part */
};

void wire_send_offloaded(const struct net *n, const struct frame *f, const struct offload *o);
bool wire_read_offloaded(const struct net *n, const struct end *dst, int ms, struct frame *ret,
			 struct offload *ret_offload);

/* Forgets what was sent so far. */
void wire_drain(const struct net *n);
