/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <ldns/ldns.h>

#include "dns/change.h"
#include "dns/tsig.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define NAME	 "www.example.test."
#define SECRET	 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define OTHER	 "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static char why[DNS_WHY];

static size_t message(uint8_t *data, size_t size, const struct tsig_key *k, uint64_t now,
		      const struct tsig_mac *of, struct tsig_mac *mac)
{
	struct wire_out o = {.data = data, .size = size};
	struct wire_name name;

	wire_name_from(NAME, &name);
	wire_put(&o, "\x12\x34\x84\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
	wire_put_name(&o, &name);
	wire_put16(&o, DNS_A);
	wire_put16(&o, WIRE_IN);
	assert_int_equal(tsig_sign(k, &o, now, of, 0, 0, mac), 0);
	return o.used;
}

static void each_algorithm_signs_and_is_checked(void **state)
{
	static const enum conf_tsig all[] = {CONF_SHA256, CONF_SHA384, CONF_SHA512, CONF_SHA224,
					     CONF_SHA1};
	static const size_t sizes[] = {32, 48, 64, 28, 20};
	uint8_t data[512];
	size_t size, bare;

	(void)state;
	for (size_t i = 0; i < COUNT(all); i++) {
		struct tsig_key k, other;
		struct tsig_mac of, mac;
		struct tsig_seen s;
		ldns_pkt *p;

		assert_int_equal(tsig_key_parse(SECRET, "Shift", all[i], &k, why), 0);
		assert_int_equal(tsig_key_parse(OTHER, "shift.", all[i], &other, why), 0);
		size = message(data, sizeof(data), &k, 1700000000, NULL, &of);
		assert_int_equal(of.size, sizes[i]);
		assert_int_equal(tsig_check(&k, data, size, NULL, 1700000000, &s, &bare), 0);
		assert_int_equal(tsig_check(&other, data, size, NULL, 1700000000, &s, &bare),
				 -EKEYREJECTED);
		/* an answer is bound to its question */
		size = message(data, sizeof(data), &k, 1700000000, &of, &mac);
		assert_int_equal(tsig_check(&k, data, size, &of, 1700000000, &s, &bare), 0);
		assert_int_equal(bare, 12 + 18 + 4);
		assert_int_equal(tsig_check(&k, data, size, NULL, 1700000000, &s, &bare),
				 -EKEYREJECTED);
		of.data[0] ^= 1;
		assert_int_equal(tsig_check(&k, data, size, &of, 1700000000, &s, &bare),
				 -EKEYREJECTED);
		if (all[i] == CONF_SHA384 || all[i] == CONF_SHA224)
			continue; /* libldns 1.8.3 lacks them */
		size = message(data, sizeof(data), &k, 1700000000, NULL, &of);
		assert_int_equal(ldns_wire2pkt(&p, data, size), LDNS_STATUS_OK);
		assert_true(ldns_pkt_tsig_verify(p, data, size, "shift.", SECRET, NULL));
		ldns_pkt_free(p);
	}
}

static void an_answer_of_another_time_is_refused(void **state)
{
	struct tsig_key k;
	struct tsig_mac of;
	struct tsig_seen s;
	uint8_t data[512];
	size_t size, bare;

	(void)state;
	assert_int_equal(tsig_key_parse(SECRET, "shift.", CONF_SHA256, &k, why), 0);
	size = message(data, sizeof(data), &k, 1700000000, NULL, &of);
	for (int off = -400; off <= 400; off += 50)
		assert_int_equal(
			tsig_check(&k, data, size, NULL, (uint64_t)(1700000000 + off), &s, &bare),
			off < -300 || off > 300 ? -ETIME : 0);
}

/* Every bit but those that mean nothing: the ID, which the record has too, and the case of names.
 */
static void no_changed_or_shortened_answer_is_accepted(void **state)
{
	struct tsig_key k;
	struct tsig_mac of, mac;
	struct tsig_seen s;
	uint8_t data[512], copy[512];
	size_t size, bare, names, refused = 0;

	(void)state;
	assert_int_equal(tsig_key_parse(SECRET, "shift.", CONF_SHA256, &k, why), 0);
	message(data, sizeof(data), &k, 1700000000, NULL, &of);
	size = message(data, sizeof(data), &k, 1700000000, &of, &mac);
	names = 12 + 18 + 4;
	for (size_t bit = 16; bit < size * 8; bit++) {
		memcpy(copy, data, size);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (bit / 8 >= names && bit / 8 < size - 48 && bit % 8 == 5 &&
		    ((data[bit / 8] | 0x20) >= 'a' && (data[bit / 8] | 0x20) <= 'z'))
			continue;
		assert_true(tsig_check(&k, copy, size, &of, 1700000000, &s, &bare) < 0);
		refused++;
	}
	assert_true(refused > size * 8 - 64);
	for (size_t n = 0; n < size; n++)
		assert_true(tsig_check(&k, data, n, &of, 1700000000, &s, &bare) < 0);
	copy[size] = 0;
	memcpy(copy, data, size);
	assert_int_equal(tsig_check(&k, copy, size + 1, &of, 1700000000, &s, &bare), -EBADMSG);
}

static void names_on_the_wire_do_not_lead_astray(void **state)
{
	static const struct {
		const char *bytes;
		size_t size, at;
		int want;
	} rows[] = {
		{"\0", 1, 0, 0},
		{"\3www\0", 5, 0, 0},
		{"\3www", 4, 0, -EBADMSG},	  /* cut off */
		{"\xc0\0", 2, 0, -EBADMSG},	  /* to itself */
		{"\1a\xc0\0", 4, 0, -EBADMSG},	  /* round in a circle */
		{"\xc0\2\0", 3, 0, -EBADMSG},	  /* forwards */
		{"\0\xc0\0", 3, 1, 0},		  /* back to the root */
		{"\xc0\2\xc0\0", 4, 2, -EBADMSG}, /* two that know each other */
		{"\x40\0", 2, 0, -EBADMSG},	  /* a label of another kind */
		{"\xc0", 1, 0, -EBADMSG},	  /* half a pointer */
	};
	struct wire_name n;
	uint8_t longest[300] = {0};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t at = rows[i].at;

		assert_int_equal(
			wire_read_name((const uint8_t *)rows[i].bytes, rows[i].size, &at, &n),
			rows[i].want);
	}
	for (size_t i = 0; i < 260; i += 2)
		longest[i] = 1;
	for (size_t from = 0; from < 12; from += 2) {
		size_t at = from;

		assert_int_equal(wire_read_name(longest, sizeof(longest), &at, &n),
				 260 - from + 1 > 255 ? -EBADMSG : 0);
	}
}

static void keys_are_read_as_people_have_them(void **state)
{
	static const struct {
		const char *text;
		bool good;
		const char *words;
	} rows[] = {
		{SECRET, true, ""},
		{SECRET "\n", true, ""},
		{"\n  " SECRET " \n\n", true, ""},
		{"# made on Monday\n" SECRET "\n", true, ""},
		{"key \"shift.\" { algorithm hmac-sha256; secret \"" SECRET "\"; };\n", true, ""},
		{"key shift {\n\tsecret \"" SECRET "\"; // the one\n\talgorithm HMAC-SHA256;\n};",
		 true, ""},
		{"/* two */ key a { algorithm hmac-md5; secret \"" OTHER "\"; };\n"
		 "key SHIFT. { algorithm hmac-sha256; secret \"" SECRET "\"; };",
		 true, ""},
		{"", false, "holds no key"},
		{"\n\n", false, "holds no key"},
		{"secret word", false, "holds no key"},
		{SECRET "\n" SECRET "\n", false, "holds no key"},
		{"AAEC*wQF", false, "holds no key"},
		{"AAECAwQ", false, "holds no key"},
		{"=AAECAwQ", false, "holds no key"},
		{"key other. { algorithm hmac-sha256; secret \"" SECRET "\"; };", false,
		 "has key other., not shift."},
		{"key shift. { algorithm hmac-sha512; secret \"" SECRET "\"; };", false,
		 "for hmac-sha512, not hmac-sha256"},
		{"key shift. { algorithm hmac-sha256; };", false, "holds no key"},
		{"key shift. { secret \"" SECRET "\";", false, "is not understood"},
		{"key shift. { secret \"" SECRET, false, "is not understood"},
		{"key shift. \"" SECRET "\";", false, "is not understood"},
	};
	struct tsig_key k;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int err = tsig_key_parse(rows[i].text, "shift.", CONF_SHA256, &k, why);

		if ((err == 0) != rows[i].good)
			fail_msg("row %zu: %d", i, err);
		if (!err) {
			assert_int_equal(k.size, 32);
			for (uint8_t j = 0; j < 32; j++)
				assert_int_equal(k.secret[j], j);
			continue;
		}
		assert_non_null(strstr(why, rows[i].words));
		assert_null(strstr(why, "AAEC"));
		assert_int_equal(k.size, 0);
		for (size_t j = 0; j < sizeof(k.secret); j++)
			assert_int_equal(k.secret[j], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_algorithm_signs_and_is_checked),
		cmocka_unit_test(an_answer_of_another_time_is_refused),
		cmocka_unit_test(no_changed_or_shortened_answer_is_accepted),
		cmocka_unit_test(names_on_the_wire_do_not_lead_astray),
		cmocka_unit_test(keys_are_read_as_people_have_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
