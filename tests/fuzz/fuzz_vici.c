/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_vici.c - VICI packets of whatever bytes, and all that reads them
 *
 *   clang -fsanitize=fuzzer,address,undefined -g -O1 -std=gnu11 -D_GNU_SOURCE -I. \
 *           tests/fuzz/fuzz_vici.c wg/vici.c wg/charon*.c userspace/base/file.c userspace/base/ip.c
 * \ userspace/base/text.c
 *   ./a.out -max_len=4096 CORPUS
 *
 * No crash; what is refused leaves its result alone; every text that comes out ends and is
 * printable; and a message that is read and written again is the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wg/charon_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t room)
{
	size_t n = strnlen(text, room);

	if (n == room)
		abort();
	for (size_t i = 0; i < n; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			abort();
}

#define CHECK(text) check_text(text, sizeof(text))

static void try_sa(const uint8_t *data, size_t size)
{
	struct charon_sa sa;
	struct vici_reader r;

	memset(&sa, 0x01, sizeof(sa));
	if (vici_open(&r, data, size))
		return;
	if (charon_parse_sa(&r, &sa)) {
		for (size_t i = 0; i < sizeof(sa); i++)
			if (((const char *)&sa)[i] != 0x01)
				abort();
		return;
	}
	if (sa.n_children > CHARON_CHILDREN)
		abort();
	CHECK(sa.name);
	CHECK(sa.state);
	CHECK(sa.local);
	CHECK(sa.remote);
	CHECK(sa.remote_id);
	for (unsigned int i = 0; i < sa.n_children; i++) {
		CHECK(sa.child[i].name);
		CHECK(sa.child[i].state);
		CHECK(sa.child[i].cipher);
	}
}

static void try_others(const uint8_t *data, size_t size)
{
	struct charon_conn conn = {0};
	struct charon_event event;
	struct vici_reader r;

	if (!vici_open(&r, data, size) && !charon_parse_conn(&r, "t", &conn) && conn.found) {
		CHECK(conn.local);
		CHECK(conn.remote);
		CHECK(conn.remote_id);
		CHECK(conn.child);
	}
	if (!vici_open(&r, data, size) && !charon_parse_event(&r, &event)) {
		CHECK(event.kind);
		CHECK(event.name);
	}
}

static void try_psk(const uint8_t *data, size_t size)
{
	struct charon_bytes b = {.data = malloc(size ? size : 1), .size = size};

	if (!b.data)
		return;
	memcpy(b.data, data, size);
	if (!charon_decode_psk(&b) && (!b.size || b.size > size))
		abort();
	charon_wipe(&b);
}

static void write_part(struct vici_message *m, const struct vici_part *p)
{
	char name[256];

	memcpy(name, p->name ? p->name : "", p->name_size);
	name[p->name_size] = '\0';
	switch (p->kind) {
	case VICI_SECTION_START:
		vici_section(m, name);
		break;
	case VICI_SECTION_END:
		vici_section_end(m);
		break;
	case VICI_KEY_VALUE:
		vici_value(m, name, p->value, p->value_size);
		break;
	case VICI_LIST_START:
		vici_list(m, name);
		break;
	case VICI_LIST_ITEM:
		vici_item_bytes(m, p->value, p->value_size);
		break;
	default:
		vici_list_end(m);
		break;
	}
}

/* Names with a zero in them cannot be written; all else must come back. */
static void try_again(const uint8_t *data, size_t size)
{
	struct vici_message m;
	struct vici_reader r;
	struct vici_part p;
	bool zero = false;
	int err = vici_open(&r, data, size);

	if (err)
		return;
	vici_begin(&m, r.type, r.name[0] ? r.name : NULL);
	while (!(err = vici_next(&r, &p)) && p.kind != VICI_END) {
		zero |= p.name_size && memchr(p.name, 0, p.name_size);
		write_part(&m, &p);
	}
	if (!err && !zero && (m.err || m.size != size || memcmp(m.data, data, size)))
		abort();
	vici_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_sa(data, size);
	try_others(data, size);
	try_psk(data, size);
	try_again(data, size);
	return 0;
}
