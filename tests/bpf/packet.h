/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * packet.h - frames: made, and changed as the program should change them
 *
 * What is expected of the program is computed here without anything of it: the fields that are to
 * change are written into a copy of the frame and both checksums are summed up anew over all bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_L3  14
#define FRAME_MAX 16384
#define FRAME_RUN 3600 /* what test_run takes on every kernel, with pages of 4 KiB */

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20

struct frame {
	size_t len;
	uint8_t data[FRAME_MAX];
};

/* An address as in shift.h, v4-mapped and in network order; the port is in host order. */
struct end {
	uint32_t ip[4];
	uint16_t port;
};

struct segment {
	struct end src, dst;
	uint32_t seq, ack;
	uint8_t flags;
	uint8_t ttl;
	uint8_t tos; /* or traffic class */
	uint16_t id; /* IPv4; of IPv6 the flow label */
	uint16_t window;
	uint16_t urgent;
	const uint8_t *ip_options; /* IPv4 */
	size_t n_ip_options;
	const uint8_t *options;
	size_t n_options;
	size_t payload;
	size_t trailer; /* padding after the IP packet */
};

/* Sides of the wire that every frame is on. */
extern const uint8_t frame_host_mac[6], frame_gateway_mac[6];

bool end_is_v6(const struct end *e);
bool end_equal(const struct end *a, const struct end *b);
struct end end_of(const char *address, uint16_t port);
const char *end_text(const struct end *e, char text[64]);

/* From the gateway to the host, both checksums right. */
void frame_build(struct frame *f, const struct segment *s);

bool frame_is_v6(const struct frame *f);
size_t frame_l4(const struct frame *f);
size_t frame_ip_bytes(const struct frame *f); /* as the header says; what is there if that is 0 */
struct end frame_src(const struct frame *f);
struct end frame_dst(const struct frame *f);
uint8_t frame_tcp_flags(const struct frame *f);
uint32_t frame_tcp_seq(const struct frame *f);
uint32_t frame_tcp_ack(const struct frame *f);
size_t frame_tcp_payload(const struct frame *f);

void frame_put16(struct frame *f, size_t at, uint16_t value);
void frame_put32(struct frame *f, size_t at, uint32_t value);
uint16_t frame_get16(const struct frame *f, size_t at);
uint32_t frame_get32(const struct frame *f, size_t at);

/* Where the checksums are; 0 if IPv6 has none. */
size_t frame_ip_check(const struct frame *f);
size_t frame_tcp_check(const struct frame *f);

/* Sums both checksums up and writes them. */
void frame_sum(struct frame *f);

/* The same, but the TCP checksum is left for the sending device: the pseudo-header's sum alone. */
void frame_sum_partial(struct frame *f);

/* Do both hold (RFC 1071: the sum with the checksum in it is 0xffff)? */
bool frame_sums_hold(const struct frame *f);

/* As a router with full NAT sends it on: other ends, one hop less. */
void frame_translate(struct frame *f, const struct end *src, const struct end *dst);

/* The frame becomes a RST of 20 bytes without options; what is in the IP header stays, TTL 64. */
void frame_reset(struct frame *f, const struct end *src, const struct end *dst, uint32_t seq,
		 uint32_t ack, uint8_t flags);

void frame_swap_macs(struct frame *f);

/* Complains of the case at hand if they differ, with the first bytes that do. */
void frame_check_equal(const struct frame *is, const struct frame *wanted, const char *what);
