/* SPDX-License-Identifier: GPL-2.0-only */
#include "dns/wire.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include <ldns/ldns.h>

int wire_name_from(const char *text, struct wire_name *ret)
{
	ldns_rdf *name = ldns_dname_new_frm_str(text);
	int err = -EINVAL;

	if (!name)
		return err;
	if (ldns_rdf_size(name) && ldns_rdf_size(name) <= WIRE_NAME) {
		ldns_dname2canonical(name);
		ret->size = (uint8_t)ldns_rdf_size(name);
		memcpy(ret->data, ldns_rdf_data(name), ret->size);
		err = 0;
	}
	ldns_rdf_deep_free(name);
	return err;
}

int wire_name_same(const struct wire_name *a, const struct wire_name *b)
{
	return a->size == b->size && !memcmp(a->data, b->data, a->size);
}

void wire_put(struct wire_out *o, const void *data, size_t size)
{
	if (o->over || size > o->size - o->used) {
		o->over = 1;
		return;
	}
	if (size)
		memcpy(o->data + o->used, data, size);
	o->used += size;
}

void wire_put16(struct wire_out *o, uint16_t v)
{
	wire_put(o, (const uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

void wire_put32(struct wire_out *o, uint32_t v)
{
	wire_put16(o, (uint16_t)(v >> 16));
	wire_put16(o, (uint16_t)v);
}

void wire_put_name(struct wire_out *o, const struct wire_name *n)
{
	wire_put(o, n->data, n->size);
}

void wire_put_rr(struct wire_out *o, const struct wire_name *owner, uint16_t type, uint16_t class,
		 uint32_t ttl, const void *rdata, uint16_t rdlength)
{
	wire_put_name(o, owner);
	wire_put16(o, type);
	wire_put16(o, class);
	wire_put32(o, ttl);
	wire_put16(o, rdlength);
	wire_put(o, rdata, rdlength);
}

uint16_t wire_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t wire_get32(const uint8_t *p)
{
	return (uint32_t)wire_get16(p) << 16 | wire_get16(p + 2);
}

unsigned int wire_count(const uint8_t *message, unsigned int section)
{
	return wire_get16(message + 4 + 2 * section);
}

/* Each pointer must go further back than the last, so that the walk ends. */
int wire_read_name(const uint8_t *message, size_t size, size_t *at, struct wire_name *ret)
{
	size_t p = *at, behind = 0, limit = size;
	unsigned int used = 0;

	for (;;) {
		uint8_t n;

		if (p >= size)
			return -EBADMSG;
		n = message[p];
		if ((n & 0xc0) == 0xc0) {
			size_t to;

			if (p + 1 >= size)
				return -EBADMSG;
			to = (size_t)(n & 0x3f) << 8 | message[p + 1];
			if (!behind)
				behind = p + 2;
			if (to >= limit || to >= p)
				return -EBADMSG;
			limit = p = to;
			continue;
		}
		if (n & 0xc0 || p + 1 + n > size || used + 1 + n > WIRE_NAME)
			return -EBADMSG;
		ret->data[used++] = n;
		for (unsigned int i = 0; i < n; i++)
			ret->data[used++] = (uint8_t)tolower(message[p + 1 + i]);
		p += 1u + n;
		if (!n)
			break;
	}
	ret->size = (uint8_t)used;
	*at = behind ? behind : p;
	return 0;
}

int wire_read_rr(const uint8_t *message, size_t size, size_t *at, struct wire_rr *ret)
{
	size_t p = *at;
	int err = wire_read_name(message, size, &p, &ret->owner);

	if (err)
		return err;
	if (size - p < 10)
		return -EBADMSG;
	ret->at = *at;
	ret->type = wire_get16(message + p);
	ret->class = wire_get16(message + p + 2);
	ret->ttl = wire_get32(message + p + 4);
	ret->rdlength = wire_get16(message + p + 8);
	ret->rdata = message + p + 10;
	if (size - p - 10 < ret->rdlength)
		return -EBADMSG;
	*at = p + 10 + ret->rdlength;
	return 0;
}

int wire_skip_questions(const uint8_t *message, size_t size, size_t *ret_at)
{
	struct wire_name name;
	size_t at = WIRE_HEADER;

	if (size < WIRE_HEADER)
		return -EBADMSG;
	for (unsigned int i = 0; i < wire_count(message, 0); i++) {
		int err = wire_read_name(message, size, &at, &name);

		if (err)
			return err;
		if (size - at < 4)
			return -EBADMSG;
		at += 4;
	}
	*ret_at = at;
	return 0;
}
