/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vici.c - VICI's packets: bytes in, elements out, and the other way round; no I/O
 *
 * Owns the wire format and nothing else. It follows strongSwan's
 * src/libcharon/plugins/vici/README.md.
 *
 * Writing: one buffer that grows, up to VICI_MAX; the buffer it grows out of is wiped, for a
 * message may carry a preshared or private key. A failure is kept in `err` and makes the writers
 * that come after do nothing, so that a caller looks once, at the end. They do not check that
 * sections and lists are closed: that is what the callers' tests are for.
 *
 * Reading: a cursor. Every length is compared with what is left before it is used; elements must
 * nest as the README says, no deeper than DEPTH; at the end of the packet all must be closed.
 * What a key means, that it is there once, or that a value is a number is for the caller to say.
 *
 * Weakness: DEPTH is ours, the README allows any. charon's own answers are four deep.
 */
#include "wg/vici.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 16

/* ---- writing ---- */

static void fail(struct vici_message *m, int err)
{
	if (!m->err)
		m->err = err;
}

static bool make_room(struct vici_message *m, size_t more)
{
	size_t room = m->room ? m->room : 512;
	uint8_t *data;

	if (m->err)
		return false;
	if (more > VICI_MAX - m->size) {
		fail(m, -EMSGSIZE);
		return false;
	}
	if (m->size + more <= m->room)
		return true;
	while (room < m->size + more)
		room *= 2;
	data = malloc(room);
	if (!data) {
		fail(m, -ENOMEM);
		return false;
	}
	if (m->data) {
		memcpy(data, m->data, m->size);
		explicit_bzero(m->data, m->size);
		free(m->data);
	}
	m->data = data;
	m->room = room;
	return true;
}

static void put(struct vici_message *m, const void *bytes, size_t size)
{
	if (!make_room(m, size) || !size)
		return;
	memcpy(m->data + m->size, bytes, size);
	m->size += size;
}

static void put_byte(struct vici_message *m, unsigned int byte)
{
	const uint8_t b = (uint8_t)byte;

	put(m, &b, 1);
}

static void put_name(struct vici_message *m, const char *name)
{
	size_t n = strlen(name);

	if (n > UINT8_MAX) {
		fail(m, -ENAMETOOLONG);
		return;
	}
	put_byte(m, (unsigned int)n);
	put(m, name, n);
}

static void put_bytes(struct vici_message *m, const void *bytes, size_t size)
{
	if (size > VICI_VALUE) {
		fail(m, -EMSGSIZE);
		return;
	}
	put_byte(m, (unsigned int)(size >> 8));
	put_byte(m, (unsigned int)(size & 0xff));
	put(m, bytes, size);
}

void vici_begin(struct vici_message *m, enum vici_packet type, const char *name)
{
	*m = (struct vici_message){0};
	put_byte(m, type);
	if (name)
		put_name(m, name);
}

void vici_section(struct vici_message *m, const char *name)
{
	put_byte(m, VICI_SECTION_START);
	put_name(m, name);
}

void vici_section_end(struct vici_message *m)
{
	put_byte(m, VICI_SECTION_END);
}

void vici_value(struct vici_message *m, const char *key, const void *value, size_t size)
{
	put_byte(m, VICI_KEY_VALUE);
	put_name(m, key);
	put_bytes(m, value, size);
}

void vici_text(struct vici_message *m, const char *key, const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0 || n >= (int)sizeof(text))
		fail(m, -EMSGSIZE);
	else
		vici_value(m, key, text, (size_t)n);
}

void vici_list(struct vici_message *m, const char *name)
{
	put_byte(m, VICI_LIST_START);
	put_name(m, name);
}

void vici_item(struct vici_message *m, const char *value)
{
	vici_item_bytes(m, value, strlen(value));
}

void vici_item_bytes(struct vici_message *m, const void *value, size_t size)
{
	put_byte(m, VICI_LIST_ITEM);
	put_bytes(m, value, size);
}

void vici_list_end(struct vici_message *m)
{
	put_byte(m, VICI_LIST_END);
}

void vici_free(struct vici_message *m)
{
	if (m->data)
		explicit_bzero(m->data, m->size);
	free(m->data);
	*m = (struct vici_message){0};
}

/* ---- reading ---- */

static size_t left(const struct vici_reader *r)
{
	return (size_t)(r->end - r->at);
}

/* A length of `width` bytes, then as many bytes. */
static int take(struct vici_reader *r, unsigned int width, const char **ret, size_t *ret_size)
{
	size_t size;

	if (left(r) < width)
		return -EBADMSG;
	size = width == 1 ? r->at[0] : (size_t)r->at[0] << 8 | r->at[1];
	if (left(r) - width < size)
		return -EBADMSG;
	*ret = (const char *)r->at + width;
	*ret_size = size;
	r->at += width + size;
	return 0;
}

static bool printable(char c)
{
	return c >= 0x20 && c < 0x7f;
}

static bool has_name(enum vici_packet type)
{
	return type == VICI_CMD_REQUEST || type == VICI_EVENT_REGISTER ||
	       type == VICI_EVENT_UNREGISTER || type == VICI_EVENT;
}

static bool has_message(enum vici_packet type)
{
	return type == VICI_CMD_REQUEST || type == VICI_CMD_RESPONSE || type == VICI_EVENT;
}

int vici_open(struct vici_reader *r, const uint8_t *data, size_t size)
{
	const char *name;
	size_t n;

	*r = (struct vici_reader){.at = data, .end = data + size};
	if (!size || size > VICI_MAX || data[0] > VICI_EVENT)
		return -EBADMSG;
	r->type = (enum vici_packet)data[0];
	r->at++;
	if (has_name(r->type)) {
		if (take(r, 1, &name, &n) || !n || n >= sizeof(r->name))
			return -EBADMSG;
		for (size_t i = 0; i < n; i++)
			if (!printable(name[i]))
				return -EBADMSG;
		memcpy(r->name, name, n);
	}
	return has_message(r->type) || !left(r) ? 0 : -EBADMSG;
}

/* Has the element a place where the reader stands? Takes it into account. */
static int nest(struct vici_reader *r, enum vici_element kind)
{
	if (r->in_list != (kind == VICI_LIST_ITEM || kind == VICI_LIST_END))
		return -EBADMSG;
	if (kind == VICI_SECTION_START && ++r->depth > DEPTH)
		return -EBADMSG;
	if (kind == VICI_SECTION_END) {
		if (!r->depth)
			return -EBADMSG;
		r->depth--;
	}
	if (kind == VICI_LIST_START)
		r->in_list = true;
	if (kind == VICI_LIST_END)
		r->in_list = false;
	return 0;
}

int vici_next(struct vici_reader *r, struct vici_part *ret)
{
	struct vici_part p = {.kind = VICI_END};
	int err;

	if (!left(r)) {
		if (r->depth || r->in_list)
			return -EBADMSG;
		*ret = p;
		return 0;
	}
	if (*r->at < VICI_SECTION_START || *r->at > VICI_LIST_END)
		return -EBADMSG;
	p.kind = (enum vici_element) * r->at++;
	err = nest(r, p.kind);
	if (!err &&
	    (p.kind == VICI_SECTION_START || p.kind == VICI_KEY_VALUE || p.kind == VICI_LIST_START))
		err = take(r, 1, &p.name, &p.name_size);
	if (!err && (p.kind == VICI_KEY_VALUE || p.kind == VICI_LIST_ITEM))
		err = take(r, 2, &p.value, &p.value_size);
	if (!err)
		*ret = p;
	return err;
}

bool vici_is(const struct vici_part *p, const char *name)
{
	return p->name && strlen(name) == p->name_size && !memcmp(p->name, name, p->name_size);
}

const char *vici_copy(const struct vici_part *p, char *ret, size_t size)
{
	const char *from = p->value ? p->value : p->name;
	size_t n = p->value ? p->value_size : p->name_size;

	if (!size)
		return ret;
	if (n > size - 1)
		n = size - 1;
	for (size_t i = 0; i < n; i++)
		ret[i] = printable(from[i]) ? from[i] : '?';
	ret[n] = '\0';
	return ret;
}

static unsigned int digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned int)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned int)(c - 'A') + 10;
	return UINT8_MAX;
}

int vici_number(const struct vici_part *p, unsigned int base, uint64_t *ret)
{
	uint64_t n = 0;

	if (!p->value_size)
		return -EINVAL;
	for (size_t i = 0; i < p->value_size; i++) {
		unsigned int d = digit(p->value[i]);

		if (d >= base || __builtin_mul_overflow(n, base, &n) ||
		    __builtin_add_overflow(n, d, &n))
			return -EINVAL;
	}
	*ret = n;
	return 0;
}
