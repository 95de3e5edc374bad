/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * datagram.h - frames of UDP and ICMP, in fragments, behind extension headers
 *
 * As in packet.h, what is expected is written into a copy, and every checksum is summed up anew
 * over all the bytes it covers; nothing is updated by a difference. What is expected of a part, a
 * fragment or a quotation, is the part of the whole packet as it is expected. `ip` is an IP header
 * with all that follows, in a frame or quoted by one.
 */
#pragma once

#include "tests/bpf/packet.h"

#define PROTOCOL_TCP	6
#define PROTOCOL_UDP	17
#define PROTOCOL_ICMP	1
#define PROTOCOL_ICMPV6 58
#define HEADER_HOPS	0
#define HEADER_ROUTING	43
#define HEADER_FRAGMENT 44
#define HEADER_AH	51
#define HEADER_OPTIONS	60

/* The addresses, and the ports at `l4` bytes from the IP header. */
void ip_write_ends(uint8_t *ip, size_t l4, const struct end *src, const struct end *dst);

void ip_write16(uint8_t *at, uint16_t value);
uint16_t ip_read16(const uint8_t *at);

/* The header's own checksum; IPv6 has none. */
void ip_sum(uint8_t *ip);

/* That of TCP, UDP or ICMP over `n` bytes from `l4` on. What is 0 is written as ffff in UDP. */
void ip_sum_l4(uint8_t *ip, size_t l4, size_t n, uint8_t protocol);

/* The one's complement sum of n bytes, folded, from `start` on. */
uint16_t bytes_sum(const uint8_t *bytes, size_t n, uint32_t start);

struct datagram {
	struct end src, dst;
	uint8_t ttl, tos;
	uint16_t id;
	bool unsummed; /* the checksum is 0 */
	const uint8_t *ip_options;
	size_t n_ip_options;
	size_t payload;
	const uint8_t *data; /* NULL: any */
	size_t trailer;
};

void frame_udp(struct frame *f, const struct datagram *d);

/* frame_translate for any protocol with ports, `l4` bytes after the IP header. A UDP checksum of 0
 * stays. */
void frame_send_on(struct frame *f, size_t l4, uint8_t protocol, const struct end *src,
		   const struct end *dst);

/*
 * Puts extension headers before what follows the IPv6 header. `types` are theirs, `n` of them, of
 * eight bytes each; the bytes after their next header and length are `body`, if given.
 */
void frame_extend(struct frame *f, const uint8_t *types, size_t n, const uint8_t body[6]);

/*
 * The part of `whole` from byte `offset` on after its IP header and `l4` bytes, n bytes of it; the
 * last one if not `more`.
 */
void frame_fragment(struct frame *f, const struct frame *whole, size_t offset, size_t n, bool more,
		    uint32_t id);

struct error {
	struct end src, dst;
	uint8_t type, code, ttl;
	uint32_t rest;
	const uint8_t *quoted;
	size_t n;
	const uint8_t *ip_options;
	size_t n_ip_options;
};

void frame_icmp(struct frame *f, const struct error *e);
