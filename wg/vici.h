/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vici.h - strongSwan's control protocol: the messages
 *
 * A packet is a 32-bit length, an 8-bit type, for most types a name, then elements of six types
 * (strongSwan's src/libcharon/plugins/vici/README.md). Written here because Debian has no header
 * for it; nothing that arrives is believed before it is checked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VICI_MAX   (512 * 1024) /* of one packet, strongSwan's own limit */
#define VICI_VALUE 65535	/* bytes of one value */

enum vici_packet {
	VICI_CMD_REQUEST = 0,
	VICI_CMD_RESPONSE,
	VICI_CMD_UNKNOWN,
	VICI_EVENT_REGISTER,
	VICI_EVENT_UNREGISTER,
	VICI_EVENT_CONFIRM,
	VICI_EVENT_UNKNOWN,
	VICI_EVENT,
};

enum vici_element {
	VICI_END = 0, /* of the message; not sent */
	VICI_SECTION_START = 1,
	VICI_SECTION_END,
	VICI_KEY_VALUE,
	VICI_LIST_START,
	VICI_LIST_ITEM,
	VICI_LIST_END,
};

/* ---- writing ---- */

struct vici_message {
	uint8_t *data; /* the packet without its length; wiped and freed by vici_free: keys pass
			* through
			*/
	size_t size, room;
	int err; /* the first that failed; the writers do nothing after it */
};

void vici_begin(struct vici_message *m, enum vici_packet type,
		const char *name); /* name NULL: none */
void vici_section(struct vici_message *m, const char *name);
void vici_section_end(struct vici_message *m);
void vici_value(struct vici_message *m, const char *key, const void *value, size_t size);
void vici_text(struct vici_message *m, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void vici_list(struct vici_message *m, const char *name);
void vici_item(struct vici_message *m, const char *value);
void vici_item_bytes(struct vici_message *m, const void *value, size_t size);
void vici_list_end(struct vici_message *m);
void vici_free(struct vici_message *m);

/* ---- reading ---- */

/* One element; the pointers are into the packet, and neither name nor value ends with a zero. */
struct vici_part {
	enum vici_element kind;
	const char *name;
	size_t name_size;
	const char *value;
	size_t value_size;
};

struct vici_reader {
	const uint8_t *at, *end;
	unsigned int depth; /* sections open after the element that was read last */
	bool in_list;
	enum vici_packet type;
	char name[64]; /* of the packet, "" when its type has none */
};

/* A packet without its length. 0; -EBADMSG: it is none. */
int vici_open(struct vici_reader *r, const uint8_t *data, size_t size);
/* The next element; kind VICI_END at the end. 0; -EBADMSG: truncated, nested wrongly or too deep.
 */
int vici_next(struct vici_reader *r, struct vici_part *ret);
bool vici_is(const struct vici_part *p, const char *name);
/* A copy of the value (of what begins a section or list: its name) that ends, cut if need be, with
 * unprintable bytes as '?'. Returns ret. */
const char *vici_copy(const struct vici_part *p, char *ret, size_t size);
/* The value as a number to the base 10 or 16. 0, or -EINVAL and *ret is untouched. */
int vici_number(const struct vici_part *p, unsigned int base, uint64_t *ret);
