/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * message.c - DNS messages: a question made, an answer recognised
 *
 * Answers come from whoever can send a datagram, so nothing here hands bytes to a library before
 * every length, name and count in them was checked by our own walk (message_walk.c). ldns asserts
 * on some messages that are well-formed by their lengths, and takes others that are none (two OPTs,
 * bytes behind the end). It is used for one thing, to write a checked record's data as a zone file
 * has it (message_records.c). A question is so little that writing it by hand costs less code than
 * asking a library, and a thirtieth of the time. The unit tests hold both against ldns.
 *
 * The order for an answer: dns_matches on the raw bytes, which says whether it is for this question
 * at all; then, and only then, dns_read.
 *
 * Follows RFC 1035 (names, header), 4343 (case), 6891 (EDNS), 5001 (NSID), 7871 (client subnet).
 * Weaknesses: class IN alone; no EDNS version but 0; a name in a punycode other than ASCII is its
 * caller's to encode.
 */
#include "dns/message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dns/message_inner.h"

#define CLASS_IN    1
#define OPTION_NSID 3
#define OPTION_ECS  8
#define LABEL	    63

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* ---- text ---- */

const char *dns_type_text(uint16_t type, char ret[16])
{
	static const struct {
		uint16_t type;
		const char *name;
	} names[] = {{DNS_A, "A"},
		     {DNS_NS, "NS"},
		     {DNS_CNAME, "CNAME"},
		     {DNS_SOA, "SOA"},
		     {DNS_TXT, "TXT"},
		     {DNS_AAAA, "AAAA"},
		     {DNS_DS, "DS"},
		     {12, "PTR"},
		     {15, "MX"},
		     {33, "SRV"},
		     {47, "NSEC"},
		     {DNS_RRSIG, "RRSIG"},
		     {DNS_DNSKEY, "DNSKEY"},
		     {50, "NSEC3"},
		     {DNS_ANY, "ANY"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (names[i].type == type) {
			snprintf(ret, 16, "%s", names[i].name);
			return ret;
		}
	}
	snprintf(ret, 16, "TYPE%u", type);
	return ret;
}

const char *dns_rcode_text(uint16_t rcode, char ret[16])
{
	static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
					    "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
					    "NXRRSET", "NOTAUTH", "NOTZONE"};

	if (rcode < sizeof(names) / sizeof(*names))
		snprintf(ret, 16, "%s", names[rcode]);
	else if (rcode == DNS_BADVERS)
		snprintf(ret, 16, "BADVERS");
	else
		snprintf(ret, 16, "RCODE%u", rcode);
	return ret;
}

/* The octet that `*text` begins with, "\." and "\046" as one; moves past it. −1: none. */
static int octet_of(const char **text)
{
	const unsigned char *c = (const unsigned char *)*text;
	unsigned int n = 0;

	if (*c != '\\') {
		*text += 1;
		return *c > 0x20 && *c < 0x7f ? *c : -1;
	}
	if (c[1] < '0' || c[1] > '9') {
		*text += 2;
		return c[1] >= 0x20 && c[1] < 0x7f ? c[1] : -1;
	}
	for (int i = 1; i <= 3; i++) {
		if (c[i] < '0' || c[i] > '9')
			return -1;
		n = n * 10 + (c[i] - '0');
	}
	*text += 4;
	return n <= 255 ? (int)n : -1;
}

int dns_wire_of(const char *text, uint8_t ret[DNS_WIRE])
{
	size_t at = 1, label = 0; /* where the next octet goes, where the label's length is */
	int c;

	if (!strcmp(text, ".")) {
		ret[0] = 0;
		return 1;
	}
	if (!*text)
		return -EINVAL;
	while (*text) {
		if (*text == '.') {
			if (at == label + 1)
				return -EINVAL;
			ret[label] = (uint8_t)(at - label - 1);
			label = at++;
			text++;
		} else {
			c = octet_of(&text);
			/* one octet is left for the root */
			if (c < 0 || at - label > LABEL || at >= DNS_WIRE - 1)
				return -EINVAL;
			ret[at++] = lower((uint8_t)c);
		}
	}
	if (at > label + 1) { /* there was no final dot */
		ret[label] = (uint8_t)(at - label - 1);
		label = at++;
	}
	ret[label] = 0;
	return (int)at;
}

void dns_text_of(const uint8_t *wire, char ret[DNS_NAME])
{
	char *to = ret;

	if (!*wire)
		*to++ = '.';
	for (; *wire; wire += *wire + 1) {
		for (const uint8_t *c = wire + 1; c <= wire + *wire; c++) {
			if (*c <= 0x20 || *c >= 0x7f) {
				*to++ = '\\';
				*to++ = (char)('0' + *c / 100);
				*to++ = (char)('0' + *c / 10 % 10);
				*to++ = (char)('0' + *c % 10);
				continue;
			}
			if (*c == '.' || *c == '\\' || *c == ';' || *c == '(' || *c == ')' ||
			    *c == '"')
				*to++ = '\\';
			*to++ = (char)lower(*c);
		}
		*to++ = '.';
	}
	*to = '\0';
}

int dns_name(const char *text, char ret[DNS_NAME])
{
	uint8_t wire[DNS_WIRE];

	if (dns_wire_of(text, wire) < 0)
		return -EINVAL;
	dns_text_of(wire, ret);
	return 0;
}

bool dns_below(const char *name, const char *zone)
{
	size_t n = strlen(name), z = strlen(zone), slashes = 0;

	if (!strcmp(zone, "."))
		return true;
	if (n < z || strcmp(name + n - z, zone) != 0)
		return false;
	if (n == z)
		return true;
	if (name[n - z - 1] != '.')
		return false;
	while (slashes < n - z - 1 && name[n - z - 2 - slashes] == '\\')
		slashes++;
	return slashes % 2 == 0; /* else the dot is one of a label */
}

/* ---- a question ---- */

/* The client subnet's option (RFC 7871 6): its length, or -EINVAL. */
static int put_subnet(const struct dns_question *q, uint8_t *to)
{
	const uint8_t *from = (const uint8_t *)q->subnet + (q->subnet_family == 4 ? 12 : 0);
	unsigned int bits = q->subnet_bits, bytes = (bits + 7) / 8;

	if (q->subnet_family != 4 && q->subnet_family != 6)
		return -EINVAL;
	if (bits > (q->subnet_family == 4 ? 32u : 128u))
		return -EINVAL;
	dns_put16(to, OPTION_ECS);
	dns_put16(to + 2, 4 + bytes);
	dns_put16(to + 4, q->subnet_family == 4 ? 1 : 2);
	to[6] = (uint8_t)bits;
	to[7] = 0;
	memcpy(to + 8, from, bytes);
	if (bits % 8)
		to[8 + bytes - 1] &= (uint8_t)(0xff00 >> bits % 8);
	return 8 + (int)bytes;
}

int dns_query(const struct dns_question *q, uint16_t id, uint8_t *ret, size_t size)
{
	uint8_t m[DNS_HEADER + DNS_WIRE + 4 + 11 + 4 + 8 + 16] = {0};
	int n = dns_wire_of(q->name, m + DNS_HEADER), options = 0;
	uint8_t *at;

	if (n < 0)
		return n;
	dns_put16(m + DNS_AT_ID, id);
	dns_put16(m + DNS_AT_FLAGS, (q->recurse ? 0x0100 : 0) | (q->unchecked ? 0x0010 : 0));
	dns_put16(m + DNS_AT_QD, 1);
	dns_put16(m + DNS_AT_AR, 1);
	at = m + DNS_HEADER + n;
	dns_put16(at, q->type);
	dns_put16(at + 2, CLASS_IN);
	at += 4;
	/* OPT: the root's name, type, size, extended flags, length of the options */
	dns_put16(at + 1, DNS_OPT);
	dns_put16(at + 3, DNS_UDP_SIZE);
	dns_put16(at + 7, q->dnssec ? 0x8000 : 0);
	if (q->nsid) {
		dns_put16(at + 11, OPTION_NSID);
		options = 4;
	}
	if (q->subnet_family) {
		n = put_subnet(q, at + 11 + options);
		if (n < 0)
			return n;
		options += n;
	}
	dns_put16(at + 9, (unsigned int)options);
	at += 11 + options;
	if ((size_t)(at - m) > size)
		return -EINVAL;
	memcpy(ret, m, (size_t)(at - m));
	return (int)(at - m);
}

/* ---- is it the answer? ---- */

/* The length of the question at the front of a message of ours, or 0. */
static size_t question_size(const uint8_t *m, size_t size)
{
	size_t at = DNS_HEADER;

	while (at < size && m[at]) {
		if (m[at] > LABEL)
			return 0;
		at += (size_t)m[at] + 1;
	}
	return at + 5 <= size ? at + 5 - DNS_HEADER : 0;
}

bool dns_matches(const uint8_t *query, size_t query_size, const uint8_t *answer, size_t size)
{
	size_t n, name;

	if (query_size < DNS_HEADER || size < DNS_HEADER)
		return false;
	if (memcmp(query, answer, 2) || !(answer[2] & 0x80) ||
	    (answer[2] & 0x78) != (query[2] & 0x78))
		return false;
	if (dns_get16(query + DNS_AT_QD) != 1 || dns_get16(answer + DNS_AT_QD) != 1)
		return false;
	n = question_size(query, query_size);
	if (!n || size < DNS_HEADER + n)
		return false;
	/* A label's length is never a letter, so case is all that may differ. */
	name = n - 4;
	for (size_t i = DNS_HEADER; i < DNS_HEADER + name; i++)
		if (lower(query[i]) != lower(answer[i]))
			return false;
	return !memcmp(query + DNS_HEADER + name, answer + DNS_HEADER + name, 4);
}
