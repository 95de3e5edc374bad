/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_charon_parts.c - what charon tells, and what it is told; without a charon
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/charon_parts.h"

/* ---- what charon tells ---- */

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

static void test_a_tunnel_becomes_a_connection(void **state)
{
	struct conf_tunnel *t = tunnel("/tmp");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_sa_is_read),
		cmocka_unit_test(test_of_many_children_those_that_carry_packets_are_kept),
		cmocka_unit_test(test_of_an_sa_that_is_none_nothing_is_taken),
		cmocka_unit_test(test_preshared_keys_as_they_are_written),
		cmocka_unit_test(test_a_tunnel_becomes_a_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
