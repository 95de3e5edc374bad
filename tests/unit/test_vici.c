/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_vici.c - VICI's messages, and charon.h against a charon that is played: slow, hostile, gone
 *
 * Each fake charon is a child process that accepts one connection and plays one part.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "userspace/conf/config.h"
#include "wg/charon_inner.h"

static char folder[] = "/tmp/test_vici.XXXXXX";
static char why[512];

/* ---- codec ---- */

/* The example of strongSwan's README. */
static const uint8_t example[] = {3,   4,   'k', 'e', 'y', '1', 0,   6,	  'v', 'a', 'l', 'u', 'e',
				  '1', 1,   8,	 's', 'e', 'c', 't', 'i', 'o', 'n', '1', 1,   11,
				  's', 'u', 'b', '-', 's', 'e', 'c', 't', 'i', 'o', 'n', 3,   4,
				  'k', 'e', 'y', '2', 0,   6,	'v', 'a', 'l', 'u', 'e', '2', 2,
				  4,   5,   'l', 'i', 's', 't', '1', 5,	  0,   5,   'i', 't', 'e',
				  'm', '1', 5,	 0,   5,   'i', 't', 'e', 'm', '2', 6,	 2};

static void write_example(struct vici_message *m)
{
	vici_begin(m, VICI_CMD_RESPONSE, NULL);
	vici_text(m, "key1", "value%d", 1);
	vici_section(m, "section1");
	vici_section(m, "sub-section");
	vici_value(m, "key2", "value2", 6);
	vici_section_end(m);
	vici_list(m, "list1");
	vici_item(m, "item1");
	vici_item_bytes(m, "item2", 5);
	vici_list_end(m);
	vici_section_end(m);
}

/* How many elements; or −errno. In a copy of its very size, so that a sanitizer sees what reads
 * behind it. */
static int walk(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	struct vici_reader r;
	struct vici_part p;
	int err, n = 0;

	assert_non_null(copy);
	memcpy(copy, data, size);
	err = vici_open(&r, copy, size);
	while (!err && !(err = vici_next(&r, &p)) && p.kind != VICI_END) {
		assert_true(r.at <= r.end);
		n++;
	}
	free(copy);
	return err ? err : n;
}

static void test_written_as_the_readme_says(void **state)
{
	struct vici_message m;

	(void)state;
	write_example(&m);
	assert_int_equal(m.err, 0);
	assert_int_equal(m.size, sizeof(example) + 1);
	assert_int_equal(m.data[0], VICI_CMD_RESPONSE);
	assert_memory_equal(m.data + 1, example, sizeof(example));
	assert_int_equal(walk(m.data, m.size), 10);
	vici_free(&m);
	assert_null(m.data);
}

static void test_read_as_it_was_written(void **state)
{
	struct vici_message m;
	struct vici_reader r;
	struct vici_part p;
	char text[16];

	(void)state;
	vici_begin(&m, VICI_EVENT, "list-sa");
	vici_section(&m, "one");
	vici_value(&m, "bytes", "a\0\x1b[m", 5);
	vici_value(&m, "empty", "", 0);
	vici_section_end(&m);
	assert_int_equal(vici_open(&r, m.data, m.size), 0);
	assert_int_equal(r.type, VICI_EVENT);
	assert_string_equal(r.name, "list-sa");
	assert_int_equal(vici_next(&r, &p), 0);
	assert_int_equal(p.kind, VICI_SECTION_START);
	assert_int_equal(r.depth, 1);
	assert_true(vici_is(&p, "one"));
	assert_false(vici_is(&p, "on"));
	assert_false(vici_is(&p, "ones"));
	assert_string_equal(vici_copy(&p, text, sizeof(text)), "one");
	assert_int_equal(vici_next(&r, &p), 0);
	assert_int_equal(p.value_size, 5);
	assert_string_equal(vici_copy(&p, text, sizeof(text)), "a??[m");
	assert_string_equal(vici_copy(&p, text, 3), "a?");
	assert_int_equal(vici_next(&r, &p), 0);
	assert_string_equal(vici_copy(&p, text, sizeof(text)), "");
	assert_int_equal(vici_next(&r, &p), 0);
	assert_int_equal(p.kind, VICI_SECTION_END);
	assert_int_equal(vici_next(&r, &p), 0);
	assert_int_equal(p.kind, VICI_END);
	vici_free(&m);
}

static void test_every_cut_is_refused_or_ends_between_elements(void **state)
{
	struct vici_message m;
	unsigned int whole = 0;

	(void)state;
	write_example(&m);
	for (size_t size = 0; size < m.size; size++) {
		int n = walk(m.data, size);

		assert_true(n == -EBADMSG || (n >= 0 && n < 2));
		whole += n >= 0;
	}
	assert_int_equal(whole, 2); /* after the type, and after key1 */
	vici_free(&m);
}

static void test_no_changed_byte_reads_past_the_end(void **state)
{
	struct vici_message m;

	(void)state;
	write_example(&m);
	for (size_t i = 0; i < m.size; i++)
		for (unsigned int b = 0; b < 256; b++) {
			uint8_t old = m.data[i];
			int n;

			m.data[i] = (uint8_t)b;
			n = walk(m.data, m.size);
			assert_true(n == -EBADMSG || (n >= 0 && (size_t)n < m.size));
			m.data[i] = old;
		}
	vici_free(&m);
}

static void test_wrong_nesting_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		int want;
	} cases[] = {
		{"\x01", 1, 0},					 /* nothing in it */
		{"\x01\x02", 2, -EBADMSG},			 /* an end without a beginning */
		{"\x01\x01\x01s", 4, -EBADMSG},			 /* a section left open */
		{"\x01\x01\x01s\x02", 5, 2},			 /* a section */
		{"\x01\x04\x01l", 4, -EBADMSG},			 /* a list left open */
		{"\x01\x04\x01l\x06", 5, 2},			 /* a list */
		{"\x01\x06", 2, -EBADMSG},			 /* a list's end alone */
		{"\x01\x05\0\0", 4, -EBADMSG},			 /* an item outside a list */
		{"\x01\x04\x01l\x04\x01l\x06\x06", 8, -EBADMSG}, /* a list in a list */
		{"\x01\x04\x01l\x01\x01s\x02\x06", 8, -EBADMSG}, /* a section in a list */
		{"\x01\x04\x01l\x03\x01k\0\0\x06", 9, -EBADMSG}, /* a key in a list */
		{"\x01\x01\x01s\x04\x01l\x02\x06", 8, -EBADMSG}, /* crossed */
		{"\x01\x00", 2, -EBADMSG},			 /* no element */
		{"\x01\x07", 2, -EBADMSG},			 /* no element */
		{"\x08", 1, -EBADMSG},				 /* no packet */
		{"\x05", 1, 0},					 /* a confirmation */
		{"\x05\x03", 2, -EBADMSG},			 /* with something behind it */
		{"\x07", 1, -EBADMSG},				 /* an event without a name */
		{"\x07\x00", 2, -EBADMSG},			 /* with an empty one */
		{"\x07\x01\x1b", 3, -EBADMSG},			 /* with one that is none */
		{"\x07\x01"
		 "e",
		 3, 0},
		{"\x01\x03\x01k\xff\xff", 6, -EBADMSG}, /* a value longer than all */
	};
	uint8_t deep[512] = {VICI_CMD_RESPONSE};
	char name[80] = {VICI_EVENT, 64};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (walk((const uint8_t *)cases[i].bytes, cases[i].size) != cases[i].want)
			fail_msg("case %zu", i);
	for (unsigned int depth = 1; depth <= 64; depth++) {
		size_t n = 1;

		for (unsigned int i = 0; i < depth; i++, n += 3)
			memcpy(deep + n, "\x01\x01s", 3);
		memset(deep + n, VICI_SECTION_END, depth);
		assert_int_equal(walk(deep, n + depth), depth <= 16 ? (int)depth * 2 : -EBADMSG);
	}
	memset(name + 2, 'n', 64);
	assert_int_equal(walk((uint8_t *)name, 66), -EBADMSG);
	name[1] = 63;
	assert_int_equal(walk((uint8_t *)name, 65), 0);
}

static void test_what_does_not_fit_is_an_error_that_stays(void **state)
{
	char name[257];
	uint8_t *value = calloc(1, VICI_VALUE + 1);
	struct vici_message m;

	(void)state;
	assert_non_null(value);
	memset(name, 'n', 256);
	name[256] = '\0';
	vici_begin(&m, VICI_CMD_REQUEST, "x");
	vici_section(&m, name);
	assert_int_equal(m.err, -ENAMETOOLONG);
	vici_value(&m, "k", value, VICI_VALUE + 1);
	assert_int_equal(m.err, -ENAMETOOLONG);
	vici_free(&m);
	vici_begin(&m, VICI_CMD_REQUEST, "x");
	vici_value(&m, "k", value, VICI_VALUE + 1);
	assert_int_equal(m.err, -EMSGSIZE);
	vici_free(&m);
	vici_begin(&m, VICI_CMD_REQUEST, "x");
	for (int i = 0; i < 7; i++)
		vici_value(&m, "k", value, VICI_VALUE);
	assert_int_equal(m.err, 0);
	vici_value(&m, "k", value, VICI_VALUE);
	vici_value(&m, "k", value, VICI_VALUE);
	assert_int_equal(m.err, -EMSGSIZE);
	assert_true(m.size <= VICI_MAX);
	vici_free(&m);
	vici_begin(&m, VICI_CMD_REQUEST, "x");
	vici_text(&m, "k", "%2000d", 1);
	assert_int_equal(m.err, -EMSGSIZE);
	vici_free(&m);
	free(value);
}

static int number(const char *text, unsigned int base, uint64_t *n)
{
	const struct vici_part p = {
		.kind = VICI_KEY_VALUE, .value = text, .value_size = strlen(text)};

	return vici_number(&p, base, n);
}

static void test_numbers_are_whole_or_refused(void **state)
{
	static const char *const bad[] = {"",  "-1", " 1", "1 ", "1x", "18446744073709551616",
					  "f", "0x1"};
	uint64_t n = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(number(bad[i], 10, &n), -EINVAL);
	assert_int_equal(n, 7);
	assert_int_equal(number("18446744073709551615", 10, &n), 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(number("c0fFee01", 16, &n), 0);
	assert_int_equal(n, 0xc0ffee01);
	assert_int_equal(number("10000000000000000", 16, &n), -EINVAL);
}

/* ---- what charon tells ---- */

static void write_child(struct vici_message *m, const char *name, const char *child_state,
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

static void write_sa(struct vici_message *m, const char *name, unsigned int children)
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

static int read_sa(const struct vici_message *m, struct charon_sa *sa)
{
	struct vici_reader r;

	assert_int_equal(vici_open(&r, m->data, m->size), 0);
	return charon_parse_sa(&r, sa);
}

static void test_an_sa_is_read(void **state)
{
	struct vici_message m;
	struct charon_sa sa;

	(void)state;
	write_sa(&m, "t", 1);
	assert_int_equal(read_sa(&m, &sa), 0);
	assert_string_equal(sa.name, "t");
	assert_string_equal(sa.state, "ESTABLISHED");
	assert_string_equal(sa.local, "198.18.95.1");
	assert_string_equal(sa.remote, "198.18.95.2");
	assert_string_equal(sa.remote_id, "peer?[31m");
	assert_int_equal(sa.established_s, 40);
	assert_int_equal(sa.n_children, 1);
	assert_string_equal(sa.child[0].name, "t");
	assert_string_equal(sa.child[0].state, "DELETED");
	assert_string_equal(sa.child[0].cipher, "AES_GCM_16-256");
	assert_int_equal(sa.child[0].spi_in, 0xc0000000);
	assert_int_equal(sa.child[0].spi_out, 0xc0000001);
	assert_int_equal(sa.child[0].if_id, 95);
	assert_true(sa.child[0].bytes_in == UINT64_MAX);
	assert_int_equal(sa.child[0].packets_in, 0);
	assert_int_equal(sa.child[0].bytes_out, 12);
	assert_true(sa.child[0].use_in_s == UINT64_MAX);
	assert_int_equal(sa.child[0].use_out_s, 3);
	assert_int_equal(sa.child[0].rekey_s, 0);
	assert_int_equal(sa.child[0].life_s, 3600);
	vici_free(&m);
}

static void test_of_many_children_those_that_carry_packets_are_kept(void **state)
{
	struct vici_message m;
	struct charon_sa sa;
	unsigned int installed = 0;

	(void)state;
	write_sa(&m, "t", 200);
	assert_int_equal(read_sa(&m, &sa), 0);
	assert_int_equal(sa.n_children, CHARON_CHILDREN);
	for (unsigned int i = 0; i < sa.n_children; i++)
		installed += !strcmp(sa.child[i].state, "INSTALLED");
	assert_int_equal(installed, CHARON_CHILDREN);
	vici_free(&m);
}

static void test_of_an_sa_that_is_none_nothing_is_taken(void **state)
{
	struct vici_message m;
	struct charon_sa sa = {.name = "untouched"};

	(void)state;
	write_sa(&m, "t", 2);
	vici_section(&m, "second"); /* and left open */
	assert_int_equal(read_sa(&m, &sa), -EBADMSG);
	assert_string_equal(sa.name, "untouched");
	vici_section_end(&m);
	assert_int_equal(read_sa(&m, &sa), 0);
	assert_string_equal(sa.name, "t");
	vici_free(&m);
	vici_begin(&m, VICI_EVENT, "list-sa");
	assert_int_equal(read_sa(&m, &sa), -EBADMSG);
	vici_free(&m);
}

/* ---- what is loaded ---- */

static void test_preshared_keys_as_they_are_written(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		const char *want; /* NULL: refused */
		size_t want_size;
	} cases[] = {
		{"plain text", 10, "plain text", 10},
		{"plain\n", 6, "plain", 5},
		{"plain\r\n", 7, "plain", 5},
		{"0x0001ff7F\n", 11, "\0\1\xff\x7f", 4},
		{"0x123", 5, NULL, 0},
		{"0x12g4", 6, NULL, 0},
		{"0x", 2, NULL, 0},
		{"0sAAH/fw==\n", 11, "\0\1\xff\x7f", 4},
		{"0sAAH/fw", 8, "\0\1\xff\x7f", 4},
		{"0sAAH/fx==", 10, NULL, 0}, /* bits to spare that are not 0 */
		{"0sA", 3, NULL, 0},
		{"0s====", 6, NULL, 0},
		{"0s", 2, NULL, 0},
		{"0sA A=", 6, NULL, 0},
		{"", 0, NULL, 0},
		{"\n", 1, NULL, 0},
		{"two\nlines", 9, NULL, 0},
		{"a\0b", 3, NULL, 0},
		{"0", 1, "0", 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct charon_bytes b = {.data = malloc(cases[i].size + 1), .size = cases[i].size};
		int err;

		assert_non_null(b.data);
		memcpy(b.data, cases[i].text, cases[i].size);
		err = charon_decode_psk(&b);
		if (err != (cases[i].want ? 0 : -EINVAL) ||
		    (!err &&
		     (b.size != cases[i].want_size || memcmp(b.data, cases[i].want, b.size))))
			fail_msg("case %zu", i);
		charon_wipe(&b);
		assert_null(b.data);
	}
}

/* "name{ key=value list[ item ] }" */
static void flat(const struct vici_message *m, char *ret, size_t size)
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

static struct conf_tunnel *tunnel(void)
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

static void test_a_tunnel_becomes_a_connection(void **state)
{
	struct conf_tunnel *t = tunnel();
	const struct charon_bytes none = {0}, pem = {.data = (uint8_t *)"PEM", .size = 3};
	struct vici_message m;
	char text[2048];

	(void)state;
	charon_build_conn(&m, t, "aws", 95, &none, &none);
	flat(&m, text, sizeof(text));
	assert_string_equal(text,
			    "aws[ version=2 local_addrs[ 198.18.95.1 ] remote_addrs[ vpn.test ] "
			    "proposals[ aes256-sha256-ecp256 ] mobike=no unique=no keyingtries=0 "
			    "if_id_in=95 if_id_out=95 dpd_delay=30 "
			    "local[ auth=psk id=198.18.95.1 ] remote[ auth=psk id=vpn.test ] "
			    "children[ aws[ local_ts[ 0.0.0.0/0 ::/0 ] remote_ts[ 0.0.0.0/0 ::/0 ] "
			    "mode=tunnel policies=yes if_id_in=95 if_id_out=95 start_action=trap "
			    "close_action=trap dpd_action=restart ] ] ] ");
	vici_free(&m);
	snprintf(t->ike.local_id, sizeof(t->ike.local_id), "old.test");
	snprintf(t->ike.remote_id, sizeof(t->ike.remote_id), "gw.test");
	t->ike.ike_lifetime_ms = 28800000;
	t->ike.lifetime_ms = 3600000;
	charon_build_conn(&m, t, "aws", 95, &pem, &pem);
	flat(&m, text, sizeof(text));
	assert_non_null(strstr(text, "rekey_time=25920 over_time=2880 "));
	assert_non_null(strstr(text, "rekey_time=3240 life_time=3600 "));
	assert_non_null(strstr(text, "local[ auth=pubkey id=old.test certs[ PEM ] ] "));
	assert_non_null(strstr(text, "remote[ auth=pubkey id=gw.test cacerts[ PEM ] ] "));
	vici_free(&m);
	free(t);
}

/* ---- a charon that is played ---- */

typedef void (*part)(int fd);

static pid_t fake;
static char path[108];

static size_t take_packet(int fd, uint8_t *to, size_t room)
{
	uint8_t head[4];
	size_t size;

	if (recv(fd, head, 4, MSG_WAITALL) != 4)
		_exit(0);
	size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (size > room || recv(fd, to, size, MSG_WAITALL) != (ssize_t)size)
		_exit(1);
	return size;
}

static void give(int fd, const void *data, size_t size)
{
	if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
		_exit(0);
}

static void give_packet(int fd, struct vici_message *m)
{
	const uint8_t head[4] = {(uint8_t)(m->size >> 24), (uint8_t)(m->size >> 16),
				 (uint8_t)(m->size >> 8), (uint8_t)m->size};

	give(fd, head, 4);
	give(fd, m->data, m->size);
	vici_free(m);
}

static void give_type(int fd, enum vici_packet type)
{
	struct vici_message m;

	vici_begin(&m, type, NULL);
	give_packet(fd, &m);
}

static void give_answer(int fd, const char *error)
{
	struct vici_message m;

	vici_begin(&m, VICI_CMD_RESPONSE, NULL);
	vici_text(&m, "success", "%s", error ? "no" : "yes");
	if (error)
		vici_text(&m, "errmsg", "%s", error);
	give_packet(fd, &m);
}

static void give_updown(int fd, const char *name, bool up)
{
	struct vici_message m;

	vici_begin(&m, VICI_EVENT, "ike-updown");
	if (up)
		vici_text(&m, "up", "yes");
	vici_section(&m, name);
	vici_text(&m, "state", "ESTABLISHED");
	vici_section_end(&m);
	give_packet(fd, &m);
}

static void give_sa(int fd, const char *name)
{
	struct vici_message m;

	write_sa(&m, name, 1);
	give_packet(fd, &m);
}

/* The next request that is no registration; those are confirmed. */
static void take_request(int fd, char name[64])
{
	static uint8_t data[VICI_MAX];
	struct vici_reader r;

	for (;;) {
		size_t size = take_packet(fd, data, sizeof(data));

		if (vici_open(&r, data, size))
			_exit(1);
		if (r.type == VICI_CMD_REQUEST)
			break;
		give_type(fd, VICI_EVENT_CONFIRM);
	}
	memcpy(name, r.name, 64);
}

static void play(part p)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	snprintf(path, sizeof(path), "%s/vici", folder);
	unlink(path);
	memcpy(a.sun_path, path, sizeof(path));
	assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s, 1), 0);
	fake = fork();
	assert_true(fake >= 0);
	if (!fake) {
		fd = accept(s, NULL, NULL);
		p(fd);
		_exit(0);
	}
	close(s);
}

static struct charon *meet(part p)
{
	struct charon *c = NULL;

	play(p);
	assert_int_equal(charon_open(path, &c, why, sizeof(why)), 0);
	return c;
}

static void leave(struct charon *c)
{
	int status;

	charon_close(c);
	kill(fake, SIGKILL);
	waitpid(fake, &status, 0);
	/* what it could not do it says with 1 */
	assert_false(WIFEXITED(status) && WEXITSTATUS(status));
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int list(struct charon *c, const char *name, struct charon_sa *sa, unsigned int max)
{
	return charon_list(c, name, sa, max, why, sizeof(why));
}

static void answers_with_events_between(int fd)
{
	char name[64];

	take_request(fd, name);
	if (strcmp(name, "list-sas"))
		_exit(1);
	give_updown(fd, "first", true);
	give_sa(fd, "one");
	give_updown(fd, "second", false);
	give_sa(fd, "two");
	give_sa(fd, "three");
	give_answer(fd, NULL);
	take_request(fd, name);
}

static void test_events_amid_an_answer_are_kept(void **state)
{
	struct charon *c = meet(answers_with_events_between);
	struct charon_sa sa[2];
	struct charon_event e;

	(void)state;
	assert_int_equal(charon_follow(c), 0);
	assert_int_equal(list(c, "", sa, 2), 2);
	assert_string_equal(sa[0].name, "one");
	assert_string_equal(sa[1].name, "two");
	assert_int_equal(charon_event(c, &e), 1);
	assert_string_equal(e.kind, "ike-updown");
	assert_string_equal(e.name, "first");
	assert_true(e.up);
	assert_int_equal(charon_event(c, &e), 1);
	assert_string_equal(e.name, "second");
	assert_false(e.up);
	assert_int_equal(charon_event(c, &e), 0);
	leave(c);
}

static void sends_many_events(int fd)
{
	char name[64];

	take_request(fd, name);
	for (int i = 0; i < 100; i++)
		give_updown(fd, "t", true);
	give_answer(fd, NULL);
	take_request(fd, name);
}

static void test_lost_events_are_said_once(void **state)
{
	struct charon *c = meet(sends_many_events);
	struct charon_sa sa;
	struct charon_event e;
	int n = 0;

	(void)state;
	assert_int_equal(charon_follow(c), 0);
	assert_int_equal(list(c, "t", &sa, 1), 0);
	assert_int_equal(charon_event(c, &e), -ENOBUFS);
	while (charon_event(c, &e) == 1)
		n++;
	assert_int_equal(n, 64);
	assert_int_equal(charon_event(c, &e), 0);
	leave(c);
}

static void sends_an_event_in_two(int fd)
{
	struct vici_message m;
	uint8_t bytes[256] = {0};

	for (int i = 0; i < 4; i++) {
		take_packet(fd, bytes, sizeof(bytes));
		give_type(fd, VICI_EVENT_CONFIRM);
	}
	vici_begin(&m, VICI_EVENT, "child-rekey");
	vici_section(&m, "t");
	vici_section_end(&m);
	bytes[0] = bytes[1] = bytes[2] = 0;
	bytes[3] = (uint8_t)m.size;
	memcpy(bytes + 4, m.data, m.size);
	give(fd, bytes, 7);
	usleep(200000);
	give(fd, bytes + 7, m.size - 3);
	vici_free(&m);
	usleep(100000);
}

static void test_an_event_is_given_when_it_is_whole(void **state)
{
	struct charon *c = meet(sends_an_event_in_two);
	struct charon_event e;
	struct pollfd p = {.fd = charon_fd(c), .events = POLLIN};
	int n;

	(void)state;
	assert_int_equal(charon_follow(c), 0);
	assert_int_equal(poll(&p, 1, 1000), 1);
	assert_int_equal(charon_event(c, &e), 0);
	while (!(n = charon_event(c, &e)))
		poll(&p, 1, 1000);
	assert_int_equal(n, 1);
	assert_string_equal(e.kind, "child-rekey");
	assert_true(e.up);
	while (!(n = charon_event(c, &e)))
		poll(&p, 1, 1000);
	assert_int_equal(n, -ECONNRESET);
	assert_int_equal(charon_event(c, &e), -ECONNRESET);
	leave(c);
}

static void refuses(int fd)
{
	char name[64];

	take_request(fd, name);
	give_answer(fd, "no \x1b[31mway\n");
	take_request(fd, name);
	give_type(fd, VICI_CMD_UNKNOWN);
	take_request(fd, name);
	give_answer(fd, "no matching SAs to rekey found");
	take_request(fd, name);
}

static void test_a_refusal_is_told_in_clean_words(void **state)
{
	struct charon *c = meet(refuses);

	(void)state;
	assert_int_equal(charon_rekey(c, "t", why, sizeof(why)), -EREMOTEIO);
	assert_string_equal(why, "charon says: no ?[31mway?");
	assert_int_equal(charon_rekey(c, "t", why, sizeof(why)), -EOPNOTSUPP);
	assert_int_equal(charon_rekey(c, "t", why, sizeof(why)), -ENOENT);
	leave(c);
}

static void does_not_start(int fd)
{
	struct vici_message m;
	char name[64];

	take_request(fd, name);
	give_answer(fd, NULL);
	take_request(fd, name);
	for (int i = 0; i < 3; i++) {
		static const char *const lines[] = {"sending packet", "received X notify error",
						    "destroying IKE_SA"};

		vici_begin(&m, VICI_EVENT, "control-log");
		vici_text(&m, "msg", "%s", lines[i]);
		give_packet(fd, &m);
	}
	give_answer(fd, "establishing CHILD_SA 't' failed");
	take_request(fd, name);
	give_answer(fd, NULL);
	take_request(fd, name);
	give_answer(fd, "CHILD_SA 't' not established after 9ms");
	take_request(fd, name);
}

static void test_why_it_did_not_start_is_told(void **state)
{
	struct charon *c = meet(does_not_start);

	(void)state;
	assert_int_equal(charon_initiate(c, "t", 9000000, why, sizeof(why)), -ECONNABORTED);
	assert_string_equal(why, "establishing CHILD_SA 't' failed: received X notify error");
	assert_int_equal(charon_initiate(c, "t", 9000000, why, sizeof(why)), -ETIMEDOUT);
	leave(c);
}

static void sends_too_large(int fd)
{
	char name[64];

	take_request(fd, name);
	give(fd, "\x00\x08\x00\x01\x01", 5);
	take_request(fd, name);
}

static void sends_nothing_at_all(int fd)
{
	char name[64];

	take_request(fd, name);
	give(fd, "\x00\x00\x00\x00", 4);
	take_request(fd, name);
}

static void sends_half(int fd)
{
	char name[64];

	take_request(fd, name);
	give(fd, "\x00\x00\x00\x10\x01\x03", 6);
}

static void sends_another_answer(int fd)
{
	char name[64];

	take_request(fd, name);
	give_type(fd, VICI_EVENT_CONFIRM);
	take_request(fd, name);
}

static void sends_wrong_sa(int fd)
{
	struct vici_message m;
	char name[64];

	take_request(fd, name);
	vici_begin(&m, VICI_EVENT, "list-sa");
	vici_section(&m, "t");
	give_packet(fd, &m);
	give_answer(fd, NULL);
	take_request(fd, name);
}

static void sends_for_ever(int fd)
{
	char name[64];

	take_request(fd, name);
	for (;;)
		give_sa(fd, "t");
}

static void test_what_is_no_vici_spoils_the_connection(void **state)
{
	static const struct {
		part p;
		int want;
	} cases[] = {
		{sends_too_large, -E2BIG},  {sends_nothing_at_all, -EBADMSG},
		{sends_half, -ECONNRESET},  {sends_another_answer, -EBADMSG},
		{sends_wrong_sa, -EBADMSG}, {sends_for_ever, -E2BIG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct charon *c = meet(cases[i].p);
		struct charon_sa sa = {.name = "untouched"};
		int n = list(c, "", &sa, 0);

		if (n != cases[i].want)
			fail_msg("case %zu: %d", i, n);
		assert_true(why[0]);
		assert_string_equal(sa.name, "untouched");
		assert_int_equal(list(c, "", &sa, 0), -ENOTCONN);
		leave(c);
	}
}

static void is_slow(int fd)
{
	char name[64];

	take_request(fd, name);
	give(fd, "\x00\x00\x01\x00\x01", 5);
	for (;;) {
		usleep(100000);
		give(fd, "\x02", 1);
	}
}

static void test_a_slow_charon_does_not_stretch_the_limit(void **state)
{
	struct charon *c = meet(is_slow);
	struct charon_sa sa;
	uint64_t t0 = now_ms();

	(void)state;
	assert_int_equal(list(c, "", &sa, 1), -ETIMEDOUT);
	assert_in_range(now_ms() - t0, 4900, 6500);
	leave(c);
}

static void shows_what_it_gets(int fd)
{
	static uint8_t data[VICI_MAX];
	struct vici_reader r;
	size_t size;
	FILE *to;
	char name[80];

	for (;;) {
		size = take_packet(fd, data, sizeof(data));
		if (vici_open(&r, data, size))
			_exit(1);
		if (r.type != VICI_CMD_REQUEST) {
			give_type(fd, VICI_EVENT_CONFIRM);
			continue;
		}
		snprintf(name, sizeof(name), "%s/%.40s", folder, r.name);
		to = fopen(name, "we");
		if (!to || fwrite(data, size, 1, to) != 1 || fclose(to))
			_exit(1);
		give_answer(fd, !strcmp(r.name, "load-conn") ? "not this one" : NULL);
	}
}

static void got(const char *request, char *ret, size_t size)
{
	static uint8_t data[VICI_MAX];
	struct vici_message m = {.data = data};
	char name[128];
	FILE *from;

	snprintf(name, sizeof(name), "%s/%s", folder, request);
	from = fopen(name, "re");
	assert_non_null(from);
	m.size = fread(data, 1, sizeof(data), from);
	fclose(from);
	unlink(name);
	flat(&m, ret, size);
}

static void put_psk(const char *text)
{
	char name[128];
	FILE *to;

	snprintf(name, sizeof(name), "%s/psk", folder);
	to = fopen(name, "we");
	assert_non_null(to);
	fputs(text, to);
	fclose(to);
	chmod(name, 0600);
}

static void test_a_secret_goes_to_charon_and_nowhere_else(void **state)
{
	struct charon *c = meet(shows_what_it_gets);
	struct conf_tunnel *t = tunnel();
	char text[2048];

	(void)state;
	put_psk("0x68757368\n");
	assert_int_equal(charon_load(c, t, "aws", 95, why, sizeof(why)), -EREMOTEIO);
	assert_string_equal(why, "charon says: not this one");
	got("load-shared", text, sizeof(text));
	assert_string_equal(text,
			    "id=shift-aws type=IKE data=hush owners[ 198.18.95.1 vpn.test ] ");
	put_psk("hush\nhush\n");
	assert_int_equal(charon_load(c, t, "aws", 95, why, sizeof(why)), -EINVAL);
	assert_null(strstr(why, "hush"));
	assert_int_equal(charon_unload(c, "aws", why, sizeof(why)), 0);
	got("unload-shared", text, sizeof(text));
	assert_string_equal(text, "id=shift-aws ");
	got("unload-conn", text, sizeof(text));
	assert_string_equal(text, "name=aws ");
	free(t);
	leave(c);
}

static void test_a_tunnel_that_would_take_everything_is_refused(void **state)
{
	struct charon *c = meet(shows_what_it_gets);
	struct conf_tunnel *t = tunnel();

	(void)state;
	put_psk("good\n");
	assert_int_equal(charon_load(c, t, "aws", 0, why, sizeof(why)), -EINVAL);
	t->ike.psk_file[0] = '\0';
	assert_int_equal(charon_load(c, t, "aws", 95, why, sizeof(why)), -EINVAL);
	t->ike.remote[0] = '\0';
	assert_int_equal(charon_load(c, t, "aws", 95, why, sizeof(why)), -EINVAL);
	free(t);
	leave(c);
}

static void test_nobody_there_is_said_in_words(void **state)
{
	char name[300];
	struct charon *c = NULL;

	(void)state;
	snprintf(name, sizeof(name), "%s/nothing", folder);
	assert_int_equal(charon_open(name, &c, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "charon does not run"));
	leave(meet(refuses)); /* its socket stays */
	assert_int_equal(charon_open(path, &c, why, sizeof(why)), -ECONNREFUSED);
	assert_non_null(strstr(why, "charon does not run"));
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(charon_open(name, &c, why, sizeof(why)), -ENAMETOOLONG);
	assert_null(c);
	charon_close(NULL);
}

static void test_a_strangers_socket_gets_no_secret(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct charon *c = NULL;
	int s, ready[2], status;
	char byte;

	(void)state;
	if (geteuid())
		skip();
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/stranger", folder);
	assert_int_equal(pipe(ready), 0);
	fake = fork();
	if (!fake) {
		s = socket(AF_UNIX, SOCK_STREAM, 0);
		if (bind(s, (struct sockaddr *)&a, sizeof(a)) || setuid(65534) || listen(s, 1) ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(charon_open(a.sun_path, &c, why, sizeof(why)), -EPERM);
	assert_null(c);
	kill(fake, SIGKILL);
	waitpid(fake, &status, 0);
	close(ready[0]);
	close(ready[1]);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int clean_up(void **state)
{
	static const char *const names[] = {"vici",	   "psk",	 "stranger",   "load-conn",
					    "load-shared", "list-conns", "unload-conn"};
	char name[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(name, sizeof(name), "%s/%s", folder, names[i]);
		unlink(name);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written_as_the_readme_says),
		cmocka_unit_test(test_read_as_it_was_written),
		cmocka_unit_test(test_every_cut_is_refused_or_ends_between_elements),
		cmocka_unit_test(test_no_changed_byte_reads_past_the_end),
		cmocka_unit_test(test_wrong_nesting_is_refused),
		cmocka_unit_test(test_what_does_not_fit_is_an_error_that_stays),
		cmocka_unit_test(test_numbers_are_whole_or_refused),
		cmocka_unit_test(test_an_sa_is_read),
		cmocka_unit_test(test_of_many_children_those_that_carry_packets_are_kept),
		cmocka_unit_test(test_of_an_sa_that_is_none_nothing_is_taken),
		cmocka_unit_test(test_preshared_keys_as_they_are_written),
		cmocka_unit_test(test_a_tunnel_becomes_a_connection),
		cmocka_unit_test(test_events_amid_an_answer_are_kept),
		cmocka_unit_test(test_lost_events_are_said_once),
		cmocka_unit_test(test_an_event_is_given_when_it_is_whole),
		cmocka_unit_test(test_a_refusal_is_told_in_clean_words),
		cmocka_unit_test(test_why_it_did_not_start_is_told),
		cmocka_unit_test(test_what_is_no_vici_spoils_the_connection),
		cmocka_unit_test(test_a_slow_charon_does_not_stretch_the_limit),
		cmocka_unit_test(test_a_secret_goes_to_charon_and_nowhere_else),
		cmocka_unit_test(test_a_tunnel_that_would_take_everything_is_refused),
		cmocka_unit_test(test_nobody_there_is_said_in_words),
		cmocka_unit_test(test_a_strangers_socket_gets_no_secret),
	};

	return cmocka_run_group_tests(tests, set_up, clean_up);
}
