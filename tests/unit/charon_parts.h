/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * charon_parts.h - messages and a tunnel that the tests of wg/charon.h share
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "userspace/conf/config.h"
#include "wg/charon_inner.h"

static inline void write_child(struct vici_message *m, const char *name, const char *child_state,
			       unsigned int spi)
{
	vici_section(m, name);
	vici_text(m, "name", "%s", "t");
	vici_text(m, "state", "%s", child_state);
	vici_text(m, "spi-in", "%08x", spi);
	vici_text(m, "spi-out", "%08x", spi + 1);
	vici_text(m, "if-id-in", "%08x", 95);
	vici_text(m, "encr-alg", "AES_GCM_16");
	vici_text(m, "encr-keysize", "256");
	vici_text(m, "bytes-in", "18446744073709551615");
	vici_text(m, "packets-in", "many");
	vici_text(m, "bytes-out", "12");
	vici_text(m, "use-out", "3");
	vici_text(m, "rekey-time", "-5");
	vici_text(m, "life-time", "3600");
	vici_list(m, "local-ts");
	vici_item(m, "0.0.0.0/0");
	vici_list_end(m);
	vici_section_end(m);
}

static inline void write_sa(struct vici_message *m, const char *name, unsigned int children)
{
	char child[16];

	vici_begin(m, VICI_EVENT, "list-sa");
	vici_section(m, name);
	vici_text(m, "state", "ESTABLISHED");
	vici_text(m, "local-host", "198.18.95.1");
	vici_text(m, "remote-host", "198.18.95.2");
	vici_text(m, "remote-id", "peer\x1b[31m");
	vici_text(m, "established", "40");
	vici_list(m, "tasks-queued");
	vici_item(m, "CHILD_CREATE");
	vici_list_end(m);
	vici_section(m, "child-sas");
	for (unsigned int i = 0; i < children; i++) {
		snprintf(child, sizeof(child), "t-%u", i);
		write_child(m, child, i % 4 == 3 ? "INSTALLED" : "DELETED", 0xc0000000 + i * 16);
	}
	vici_section_end(m);
	vici_section_end(m);
}

/* "name{ key=value list[ item ] }" */
static inline void flat(const struct vici_message *m, char *ret, size_t size)
{
	struct vici_reader r;
	struct vici_part p;
	char text[128], name[64];
	size_t n = 0;

	assert_int_equal(m->err, 0);
	assert_int_equal(vici_open(&r, m->data, m->size), 0);
	for (;;) {
		assert_int_equal(vici_next(&r, &p), 0);
		if (p.kind == VICI_END)
			break;
		vici_copy(&p, text, sizeof(text));
		if (p.kind == VICI_KEY_VALUE) {
			snprintf(name, sizeof(name), "%.*s", (int)p.name_size, p.name);
			n += (size_t)snprintf(ret + n, size - n, "%s=%s ", name, text);
		} else if (p.kind == VICI_SECTION_END || p.kind == VICI_LIST_END) {
			n += (size_t)snprintf(ret + n, size - n, "] ");
		} else {
			n += (size_t)snprintf(ret + n, size - n, "%s%s", text,
					      p.kind == VICI_LIST_ITEM ? " " : "[ ");
		}
		assert_true(n < size);
	}
}

static inline struct conf_tunnel *tunnel(const char *folder)
{
	struct conf_tunnel *t = calloc(1, sizeof(*t));
	uint16_t port;

	assert_non_null(t);
	t->ike.given = true;
	ip_parse("198.18.95.1", t->ike.local.ip, &port);
	t->ike.local.family = 4;
	snprintf(t->ike.remote, sizeof(t->ike.remote), "vpn.test");
	snprintf(t->ike.psk_file, sizeof(t->ike.psk_file), "%s/psk", folder);
	snprintf(t->ike.proposals[0].text, sizeof(t->ike.proposals[0].text),
		 "aes256-sha256-ecp256");
	t->ike.n_proposals = 1;
	t->ike.dpd_ms = 30000;
	return t;
}
