/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * message_inner.h - names on the wire and the records of a message, shared by the message*.c files
 *
 * All positions are offsets into the message; whatever reads takes its size along and trusts no
 * byte. RFC 1035 4.1.
 */
#pragma once

#include "dns/message.h"

#define DNS_HEADER 12
#define DNS_OPT	   41
#define DNS_WIRE   255 /* a name's octets at most */

enum {
	DNS_AT_ID = 0,
	DNS_AT_FLAGS = 2,
	DNS_AT_QD = 4,
	DNS_AT_AN = 6,
	DNS_AT_NS = 8,
	DNS_AT_AR = 10
};

static inline uint16_t dns_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t dns_get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void dns_put16(uint8_t *at, unsigned int n)
{
	at[0] = (uint8_t)(n >> 8);
	at[1] = (uint8_t)n;
}

/* A name as text to its uncompressed wire form, lower case; its length, or -EINVAL. */
int dns_wire_of(const char *text, uint8_t ret[DNS_WIRE]);
/* The other way round: every octet that is not plain is escaped. */
void dns_text_of(const uint8_t *wire, char ret[DNS_NAME]);

/*
 * The name at `at`, compressed or not, as lower-case wire form; ret may be NULL. Where it ends in
 * the message, or -EBADMSG: it goes out of `size`, is longer than 255 octets, or points anywhere
 * but backwards.
 */
int dns_wire_read(const uint8_t *message, size_t size, size_t at, uint8_t ret[DNS_WIRE]);

/* One record of a message, its data at `data`. */
struct dns_raw {
	size_t at, data;
	uint16_t type, class, data_size;
	uint32_t ttl; /* clamped */
	enum dns_section section;
};

/* Goes through all records: zeroed but for the message, `at` behind the question. */
struct dns_walk {
	const uint8_t *message;
	size_t size, at;
	unsigned int section, left;
};

/* The message's header and one question; -EBADMSG. */
int dns_walk_begin(struct dns_walk *w, const uint8_t *message, size_t size);
/* 1: there is one; 0: that was all, and the message ends here; -EBADMSG. */
int dns_walk_next(struct dns_walk *w, struct dns_raw *ret);

/* Is the record's data what its type says? Types that nobody here reads are only bounded. */
bool dns_raw_sound(const uint8_t *message, size_t size, const struct dns_raw *r);
/* All of a message's records, and at most one OPT. 0, -EBADMSG. */
int dns_message_sound(const uint8_t *message, size_t size);
