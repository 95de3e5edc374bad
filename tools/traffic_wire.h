/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The checked protocol's bytes, shared by `traffic serve` and its clients; traffic_hold.c has the
 * description.
 */
#pragma once

#include <stdint.h>

#include "tools/traffic.h"

#define FRAME_HEAD     4
#define DATAGRAM_MAGIC "SHIFTUDP"

struct datagram {
	char magic[8];
	uint64_t seed, sequence; /* little-endian */
	char arm[ARM_NAME];	 /* of the answer; padded by zeros */
};

static inline void frame_head(uint8_t out[static FRAME_HEAD], char type, uint32_t len)
{
	out[0] = (uint8_t)type;
	out[1] = (uint8_t)(len >> 16);
	out[2] = (uint8_t)(len >> 8);
	out[3] = (uint8_t)len;
}

static inline uint32_t frame_len(const uint8_t head[static FRAME_HEAD])
{
	return (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
}
