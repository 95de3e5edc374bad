/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * message_read.c - what an answer says of its question
 *
 * Two passes: the first proves the whole message sound, the second takes from it what belongs to
 * the question. Only records on the way from the question's name along its CNAMEs count, whatever
 * else was sent along.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dns/message_inner.h"

#define CLASS_IN    1
#define OPTION_NSID 3
#define OPTION_ECS  8
#define OPTION_EDE  15
#define CHAIN	    16 /* CNAMEs at most: resolvers give up at 8 to 16 */

struct reading {
	const uint8_t *message;
	size_t size;
	struct dns_answer *a;
	uint8_t name[DNS_WIRE]; /* where the chain has come to */
	int name_size;
};

static bool owned(const struct reading *x, const struct dns_raw *r)
{
	uint8_t name[DNS_WIRE];

	if (r->class != CLASS_IN)
		return false;
	/* the usual one: a pointer to the question */
	if (x->a->chain == 0 && dns_get16(x->message + r->at) == (0xc000 | DNS_HEADER))
		return true;
	dns_wire_read(x->message, x->size, r->at, name);
	for (const uint8_t *a = name, *b = x->name;; a += *a + 1, b += *b + 1) {
		if (*a != *b || memcmp(a, b, *a + 1u))
			return false;
		if (!*a)
			return true;
	}
}

static void lower_ttl(struct dns_answer *a, uint32_t ttl, bool *any)
{
	if (!*any || ttl < a->ttl)
		a->ttl = ttl;
	*any = true;
}

/* To the end of the CNAMEs. -EBADMSG: a loop, or as long as one. */
static int follow(struct reading *x, bool *any_ttl)
{
	struct dns_walk w;
	struct dns_raw r;
	int n = 1;

	while (n > 0) {
		dns_walk_begin(&w, x->message, x->size);
		while ((n = dns_walk_next(&w, &r)) > 0 && r.section == DNS_IN_ANSWER)
			if (r.type == DNS_CNAME && owned(x, &r))
				break;
		if (n <= 0 || r.section != DNS_IN_ANSWER)
			break;
		if (++x->a->chain > CHAIN)
			return -EBADMSG;
		dns_wire_read(x->message, x->size, r.data, x->name);
		lower_ttl(x->a, r.ttl, any_ttl);
	}
	return 0;
}

static void add_address(struct dns_answer *a, const uint8_t *data, const struct dns_raw *r)
{
	struct dns_address one = {.family = r->type == DNS_A ? 4 : 6, .ttl = r->ttl};
	unsigned int at = 0;
	int order = 1;

	if (one.family == 4) {
		one.ip[2] = __builtin_bswap32(0xffff); /* v4-mapped, in network order */
		memcpy(&one.ip[3], data, 4);
	} else {
		memcpy(one.ip, data, 16);
	}
	while (at < a->n_addresses && (order = memcmp(a->address[at].ip, one.ip, 16)) < 0)
		at++;
	if (at < a->n_addresses && !order) {
		if (one.ttl < a->address[at].ttl)
			a->address[at].ttl = one.ttl;
		return;
	}
	if (a->n_addresses == DNS_MAX_ADDRESSES) {
		a->left_out++;
		return;
	}
	memmove(&a->address[at + 1], &a->address[at],
		(a->n_addresses - at) * sizeof(a->address[0]));
	a->address[at] = one;
	a->n_addresses++;
}

static void take_soa(struct reading *x, const struct dns_raw *r)
{
	const uint8_t *numbers = x->message + r->data + r->data_size - 20;
	uint32_t minimum = dns_get32(numbers + 16);
	uint8_t owner[DNS_WIRE];

	dns_wire_read(x->message, x->size, r->at, owner);
	dns_text_of(owner, x->a->soa_owner);
	x->a->has_soa = true;
	x->a->serial = dns_get32(numbers);
	if (minimum > DNS_TTL_MAX)
		minimum = 0;
	x->a->negative_ttl = minimum < r->ttl ? minimum : r->ttl;
}

/* Is the question's name the owner's, or below it? */
static bool above(const struct reading *x, const struct dns_raw *r)
{
	uint8_t owner[DNS_WIRE];
	int n = 0;

	dns_wire_read(x->message, x->size, r->at, owner);
	while (owner[n])
		n += owner[n] + 1;
	n++;
	for (int at = 0; at + n <= x->name_size; at += x->name[at] + 1) {
		if (at + n == x->name_size)
			return !memcmp(x->name + at, owner, (size_t)n);
		if (!x->name[at])
			break;
	}
	return false;
}

/* ---- EDNS ---- */

static void printable(const uint8_t *data, size_t size, char *ret, size_t room)
{
	size_t n = size < room - 1 ? size : room - 1;

	for (size_t i = 0; i < n; i++)
		ret[i] = data[i] >= 0x20 && data[i] < 0x7f ? (char)data[i] : '?';
	ret[n] = '\0';
}

static void take_nsid(struct dns_answer *a, const uint8_t *data, size_t size)
{
	bool plain = size < sizeof(a->nsid);

	for (size_t i = 0; plain && i < size; i++)
		plain = data[i] >= 0x20 && data[i] < 0x7f;
	if (plain) {
		printable(data, size, a->nsid, sizeof(a->nsid));
		return;
	}
	for (size_t i = 0; i < size && 2 * i + 2 < sizeof(a->nsid); i++)
		snprintf(a->nsid + 2 * i, 3, "%02x", data[i]);
}

static int take_opt(struct reading *x, const struct dns_raw *r)
{
	const uint8_t *at = x->message + r->data;
	size_t left = r->data_size, n;
	struct dns_answer *a = x->a;

	a->edns = true;
	a->rcode |= (uint16_t)(r->ttl >> 24 << 4);
	for (; left; left -= 4 + n, at += 4 + n) {
		if (left < 4)
			return -EBADMSG;
		n = dns_get16(at + 2);
		if (n > left - 4)
			return -EBADMSG;
		switch (dns_get16(at)) {
		case OPTION_NSID:
			take_nsid(a, at + 4, n);
			break;
		case OPTION_ECS:
			if (n < 4)
				return -EBADMSG;
			a->subnet_scope = at[7];
			break;
		case OPTION_EDE:
			if (n < 2)
				return -EBADMSG;
			if (a->ede >= 0)
				break;
			a->ede = dns_get16(at + 4);
			printable(at + 6, n - 2, a->ede_text, sizeof(a->ede_text));
			break;
		}
	}
	return 0;
}

/* ---- all of it ---- */

struct seen {
	bool any_ttl, data, soa_above, ns_above;
};

static int take(struct reading *x, const struct dns_question *q, const struct dns_raw *r,
		struct seen *s)
{
	if (r->type == DNS_OPT)
		return take_opt(x, r);
	switch (r->section) {
	case DNS_IN_ANSWER:
		if (r->type != q->type || !owned(x, r))
			return 0;
		s->data = true;
		lower_ttl(x->a, r->ttl, &s->any_ttl);
		if (r->type == DNS_A || r->type == DNS_AAAA)
			add_address(x->a, x->message + r->data, r);
		if (r->type == DNS_SOA)
			take_soa(x, r);
		return 0;
	case DNS_IN_AUTHORITY:
		if (r->class != CLASS_IN)
			return 0;
		if (r->type == DNS_SOA && !s->data && !s->soa_above && above(x, r)) {
			s->soa_above = true;
			take_soa(x, r);
		}
		if (r->type == DNS_NS && above(x, r))
			s->ns_above = true;
		return 0;
	default:
		return 0;
	}
}

int dns_read(const uint8_t *answer, size_t size, const struct dns_question *q,
	     struct dns_answer *ret)
{
	struct reading x = {.message = answer, .size = size, .a = ret};
	struct seen s = {0};
	struct dns_walk w;
	struct dns_raw r;
	int n = dns_message_sound(answer, size);

	if (n)
		return n;
	memset(ret, 0, sizeof(*ret));
	ret->rcode = answer[3] & 0x0f;
	ret->aa = answer[2] & 0x04;
	ret->tc = answer[2] & 0x02;
	ret->ra = answer[3] & 0x80;
	ret->ad = answer[3] & 0x20;
	ret->ede = -1;
	ret->subnet_scope = -1;
	dns_wire_read(answer, size, DNS_HEADER, x.name);
	if (q->type != DNS_CNAME && q->type != DNS_ANY && follow(&x, &s.any_ttl))
		return -EBADMSG;
	dns_text_of(x.name, ret->target);
	while (x.name[x.name_size])
		x.name_size += x.name[x.name_size] + 1;
	x.name_size++;
	dns_walk_begin(&w, answer, size);
	while ((n = dns_walk_next(&w, &r)) > 0)
		if (take(&x, q, &r, &s))
			return -EBADMSG;
	ret->referral = !dns_get16(answer + DNS_AT_AN) && !ret->aa && ret->rcode == DNS_NOERROR &&
			s.ns_above && !ret->has_soa;
	return 0;
}
