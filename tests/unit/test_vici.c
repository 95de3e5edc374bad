/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_vici.c - VICI's messages, byte by byte
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

#include "wg/vici.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
