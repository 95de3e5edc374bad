/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ip.h - addresses as people write them
 *
 *   "192.0.2.7"  "192.0.2.7:443"  "2001:db8::7"  "[2001:db8::7]"  "[2001:db8::7]:443"
 *
 * What is read is v4-mapped, in network order, as in bpf/shift.h; the port too. The whole text or
 * nothing: all return 0 or -EINVAL and leave their results alone when they fail.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* *ret_port is 0 when the text has none. */
int ip_parse(const char *text, uint32_t ret[4], uint16_t *ret_port);

/* "203.0.113.10:443/udp": an address with its port. *ret_protocol is 0 when the text names none. */
int ip_parse_listen(const char *text, uint32_t ret[4], uint16_t *ret_port, uint8_t *ret_protocol);

/* "192.0.2.0/24", or a plain address. *ret_bits counts from the front of the mapped address, so a
 * /24 of IPv4 is 120. Bits behind the prefix are cleared. */
int ip_parse_cidr(const char *text, uint32_t ret[4], unsigned int *ret_bits);

/* The same, but bits set behind the prefix are -ERANGE; the results are then the network that it
 * would be. -EDOM: an IPv6 network that holds the IPv4 ones, too, as ::/0 does. */
int ip_parse_network(const char *text, uint32_t ret[4], unsigned int *ret_bits);

bool ip_is_v4(const uint32_t address[4]);
/* 4 or 6. */
uint8_t ip_family(const uint32_t address[4]);
/* The mapped form of an IPv4 address. */
void ip_map(uint32_t v4, uint32_t ret[4]);
bool ip_in(const uint32_t address[4], const uint32_t network[4], unsigned int bits);
