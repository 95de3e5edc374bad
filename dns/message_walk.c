/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * message_walk.c - from record to record through bytes that anybody may have sent
 *
 * A compressed name may only point to before the place where its own part began, so every jump goes
 * further back and no loop is possible. Counts in the header are never believed: each record must
 * be there, and the message must end with the last one.
 */
#include <errno.h>
#include <string.h>

#include "dns/message_inner.h"

int dns_wire_read(const uint8_t *message, size_t size, size_t at, uint8_t ret[DNS_WIRE])
{
	size_t used = 0, part = at; /* octets of the name; where this part of it began */
	int end = -1;
	uint8_t n;

	for (;;) {
		if (at >= size)
			return -EBADMSG;
		n = message[at];
		if ((n & 0xc0) == 0xc0) {
			if (at + 2 > size)
				return -EBADMSG;
			if (end < 0)
				end = (int)at + 2;
			at = dns_get16(message + at) & 0x3fff;
			if (at >= part || at < DNS_HEADER)
				return -EBADMSG;
			part = at;
			continue;
		}
		if (n & 0xc0 || at + 1 + n > size || used + 1 + n > DNS_WIRE)
			return -EBADMSG;
		for (size_t i = 0; ret && i <= n; i++) {
			uint8_t c = message[at + i];

			ret[used + i] = i && c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
		}
		used += 1u + n;
		at += 1u + n;
		if (!n)
			return end < 0 ? (int)at : end;
	}
}

int dns_walk_begin(struct dns_walk *w, const uint8_t *message, size_t size)
{
	int at;

	if (size < DNS_HEADER || size > DNS_MAX_MESSAGE || dns_get16(message + DNS_AT_QD) != 1)
		return -EBADMSG;
	at = dns_wire_read(message, size, DNS_HEADER, NULL);
	if (at < 0 || (size_t)at + 4 > size)
		return -EBADMSG;
	*w = (struct dns_walk){
		.message = message,
		.size = size,
		.at = (size_t)at + 4,
		.section = DNS_IN_ANSWER,
		.left = dns_get16(message + DNS_AT_AN),
	};
	return 0;
}

int dns_walk_next(struct dns_walk *w, struct dns_raw *ret)
{
	const uint8_t *m = w->message;
	int at;

	while (!w->left) {
		if (w->section == DNS_IN_ADDITIONAL)
			return w->at == w->size ? 0 : -EBADMSG;
		w->section++;
		w->left = dns_get16(m + DNS_AT_AN + 2 * (w->section - DNS_IN_ANSWER));
	}
	at = dns_wire_read(m, w->size, w->at, NULL);
	if (at < 0 || (size_t)at + 10 > w->size)
		return -EBADMSG;
	*ret = (struct dns_raw){
		.at = w->at,
		.data = (size_t)at + 10,
		.type = dns_get16(m + at),
		.class = dns_get16(m + at + 2),
		.ttl = dns_get32(m + at + 4),
		.data_size = dns_get16(m + at + 8),
		.section = w->section,
	};
	if (ret->data + ret->data_size > w->size)
		return -EBADMSG;
	if (ret->ttl > DNS_TTL_MAX && ret->type != DNS_OPT)
		ret->ttl = 0;
	w->at = ret->data + ret->data_size;
	w->left--;
	return 1;
}

/* ---- a record's data ---- */

/* `names` names from `skip` on, and then between `least` and `most` octets. */
static bool shape(const uint8_t *m, const struct dns_raw *r, size_t skip, unsigned int names,
		  size_t least, size_t most)
{
	size_t at = r->data + skip, end = r->data + r->data_size;
	int next;

	for (; names; names--) {
		next = dns_wire_read(m, end, at, NULL);
		if (next < 0)
			return false;
		at = (size_t)next;
	}
	return at <= end && end - at >= least && end - at <= most;
}

/* Character strings that fill `size`. */
static bool strings(const uint8_t *at, size_t size)
{
	while (size && size > *at) {
		size -= 1u + *at;
		at += 1u + *at;
	}
	return !size;
}

/* RFC 4034 4.1.2: windows of types in rising order. */
static bool bitmap(const uint8_t *at, size_t size)
{
	int window = -1;

	while (size >= 3) {
		if (at[0] <= window || !at[1] || at[1] > 32 || 2u + at[1] > size)
			return false;
		window = at[0];
		size -= 2u + at[1];
		at += 2u + at[1];
	}
	return !size;
}

static bool nsec(const uint8_t *m, const struct dns_raw *r)
{
	size_t end = r->data + r->data_size;
	int at = dns_wire_read(m, end, r->data, NULL);

	return at >= 0 && bitmap(m + at, end - (size_t)at);
}

/* RFC 5155 3.2. With a hash that is not SHA-1, ldns asserts (ldns issue 307). */
static bool nsec3(const uint8_t *at, size_t size)
{
	size_t salt, hash;

	if (size < 5 || at[0] != 1)
		return false;
	salt = at[4];
	if (size < 6 + salt)
		return false;
	hash = at[5 + salt];
	return hash && size >= 6 + salt + hash &&
	       bitmap(at + 6 + salt + hash, size - 6 - salt - hash);
}

bool dns_raw_sound(const uint8_t *message, size_t size, const struct dns_raw *r)
{
	const uint8_t *data = message + r->data;

	if (r->data > size || size - r->data < r->data_size)
		return false;
	switch (r->type) {
	case DNS_A:
		return r->data_size == 4;
	case DNS_AAAA:
		return r->data_size == 16;
	case DNS_NS:
	case DNS_CNAME:
	case 12: /* PTR */
	case 39: /* DNAME */
		return shape(message, r, 0, 1, 0, 0);
	case DNS_SOA:
		return shape(message, r, 0, 2, 20, 20);
	case 15: /* MX */
		return shape(message, r, 2, 1, 0, 0);
	case 33: /* SRV */
		return shape(message, r, 6, 1, 0, 0);
	case DNS_TXT:
		return r->data_size && strings(data, r->data_size);
	case DNS_DS:
		return r->data_size > 4;
	case DNS_DNSKEY:
		return r->data_size > 4;
	case DNS_RRSIG:
		return shape(message, r, 18, 1, 1, DNS_MAX_MESSAGE);
	case 47: /* NSEC */
		return nsec(message, r);
	case 50: /* NSEC3 */
		return nsec3(data, r->data_size);
	case 51: /* NSEC3PARAM */
		return r->data_size >= 5 && data[0] == 1 && r->data_size == 5 + data[4];
	default:
		return true;
	}
}

int dns_message_sound(const uint8_t *message, size_t size)
{
	unsigned int opts = 0;
	struct dns_walk w;
	struct dns_raw r;
	int n = dns_walk_begin(&w, message, size);

	if (n)
		return n;
	while ((n = dns_walk_next(&w, &r)) > 0) {
		if (r.type == DNS_OPT) {
			if (++opts > 1 || r.section != DNS_IN_ADDITIONAL || message[r.at])
				return -EBADMSG;
		} else if (!dns_raw_sound(message, size, &r)) {
			return -EBADMSG;
		}
	}
	return n;
}
