/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_message_rig.h - messages for the tests: sound ones encoded by ldns, and what is added to them
 */
#pragma once

#include <errno.h>
#include <ldns/ldns.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/message.h"
#include "dns/message_inner.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* ---- messages for the tests, from records as a zone file has them ---- */

static uint8_t wire[DNS_MAX_MESSAGE];
static size_t wire_size;

static inline struct dns_question question(const char *name, uint16_t type)
{
	struct dns_question q = {.type = type};

	assert_int_equal(dns_name(name, q.name), 0);
	return q;
}

static inline void push(ldns_pkt *p, ldns_pkt_section section, const char *text)
{
	ldns_rr *rr = NULL;

	assert_int_equal(ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL), LDNS_STATUS_OK);
	assert_true(ldns_pkt_push_rr(p, section, rr));
}

/* "A record; A record | authority | additional", encoded by ldns. */
static inline void make(const struct dns_question *q, const char *records)
{
	static const ldns_pkt_section sections[] = {LDNS_SECTION_ANSWER, LDNS_SECTION_AUTHORITY,
						    LDNS_SECTION_ADDITIONAL};
	ldns_pkt *p = ldns_pkt_query_new(ldns_dname_new_frm_str(q->name), (ldns_rr_type)q->type,
					 LDNS_RR_CLASS_IN, 0);
	char copy[4096], *at = copy, *end;
	unsigned int section = 0;
	uint8_t *bytes;

	ldns_pkt_set_qr(p, true);
	ldns_pkt_set_id(p, 0x1234);
	snprintf(copy, sizeof(copy), "%s", records);
	while (*at) {
		end = at + strcspn(at, ";|");
		if (*end == '|' && end == at) {
			section++;
			at++;
			continue;
		}
		char stop = *end;

		*end = '\0';
		push(p, sections[section], at);
		section += stop == '|';
		at = stop ? end + 1 : end;
	}
	assert_int_equal(ldns_pkt2wire(&bytes, p, &wire_size), LDNS_STATUS_OK);
	memcpy(wire, bytes, wire_size);
	free(bytes);
	ldns_pkt_free(p);
}

static struct dns_answer answer;

static inline int read_it(const struct dns_question *q)
{
	return dns_read(wire, wire_size, q, &answer);
}

static inline uint32_t v4(const char *text)
{
	unsigned int a, b, c, d;

	assert_int_equal(sscanf(text, "%u.%u.%u.%u", &a, &b, &c, &d), 4);
	return __builtin_bswap32(a << 24 | b << 16 | c << 8 | d);
}

static inline void append(const void *bytes, size_t size)
{
	memcpy(wire + wire_size, bytes, size);
	wire_size += size;
}

/* A record at the end, its owner the question's name. */
static inline void append_record(unsigned int type, uint32_t ttl, const void *data, size_t size,
				 unsigned int count_at)
{
	uint8_t head[12] = {0xc0, 0x0c, (uint8_t)(type >> 8), (uint8_t)type, 0, 1};

	for (int i = 0; i < 4; i++)
		head[6 + i] = (uint8_t)(ttl >> (24 - 8 * i));
	dns_put16(head + 10, (unsigned int)size);
	append(head, sizeof(head));
	append(data, size);
	dns_put16(wire + count_at, dns_get16(wire + count_at) + 1u);
}

/* The root's OPT with these options. */
static inline void append_opt(const void *options, size_t size, unsigned int extended)
{
	uint8_t head[11] = {0, 0, 41, 0x04, 0xd0, (uint8_t)extended, 0, 0, 0};

	dns_put16(head + 9, (unsigned int)size);
	append(head, sizeof(head));
	append(options, size);
	dns_put16(wire + DNS_AT_AR, dns_get16(wire + DNS_AT_AR) + 1u);
}
