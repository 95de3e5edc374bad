/* SPDX-License-Identifier: GPL-2.0-only */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "userspace/base/text.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define MS	 1000000ull
#define S	 1000000000ull

static void weights_are_read(void **state)
{
	static const struct {
		const char *text;
		int weight;
	} table[] = {
		{"0", 0},
		{"25", 2500},
		{"25%", 2500},
		{"12.5", 1250},
		{"12.50", 1250},
		{"0.01", 1},
		{"0.1%", 10},
		{"99.99", 9999},
		{"100", 10000},
		{"100%", 10000},
		{"100.00", 10000},
		{"007", 700},
		{"100.01", -EINVAL},
		{"101", -EINVAL},
		{"9999", -EINVAL},
		{"10000", -EINVAL},
		{"", -EINVAL},
		{"%", -EINVAL},
		{".5", -EINVAL},
		{"5.", -EINVAL},
		{"5.%", -EINVAL},
		{"1.234", -EINVAL},
		{"-1", -EINVAL},
		{"+1", -EINVAL},
		{" 25", -EINVAL},
		{"25 ", -EINVAL},
		{"25%%", -EINVAL},
		{"25 %", -EINVAL},
		{"1e1", -EINVAL},
		{"0x10", -EINVAL},
		{"1,5", -EINVAL},
		{"ten", -EINVAL},
		{"4294967321", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		if (text_parse_weight(table[i].text) != table[i].weight)
			fail_msg("'%s' is read as %d", table[i].text,
				 text_parse_weight(table[i].text));
	}
}

static void weights_are_written(void **state)
{
	static const struct {
		uint32_t weight;
		const char *text;
	} table[] = {
		{0, "0"},	{1, "0.01"},	 {10, "0.1"},  {100, "1"},	{1000, "10"},
		{1250, "12.5"}, {1234, "12.34"}, {2500, "25"}, {9999, "99.99"}, {10000, "100"},
	};
	char text[16];

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		assert_string_equal(text_weight(table[i].weight, text), table[i].text);
}

static void every_weight_is_read_as_it_is_written(void **state)
{
	char text[16];

	(void)state;
	for (uint32_t weight = 0; weight <= 10000; weight++)
		assert_int_equal(text_parse_weight(text_weight(weight, text)), weight);
}

static void durations_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} table[] = {
		{"0s", 0},	   {"500ms", 500 * MS},	 {"30s", 30 * S},   {"10m", 600 * S},
		{"2h", 7200 * S},  {"2h4m", 7440 * S},	 {"1m30s", 90 * S}, {"1s500ms", 1500 * MS},
		{"90m", 5400 * S}, {"168h", 604800 * S},
	};
	static const char *const wrong[] = {
		"",	"5",   "s",   "5 s", "5sec",  "1d", "-5s",	    "+5s",
		"1.5s", "5s ", " 5s", "5s5", "1h 5m", "5S", "99999999999s", "999999999h"};
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		assert_int_equal(text_parse_duration(table[i].text, &ns), 0);
		assert_int_equal(ns, table[i].ns);
	}
	for (size_t i = 0; i < COUNT(wrong); i++) {
		ns = 42;
		if (text_parse_duration(wrong[i], &ns) != -EINVAL)
			fail_msg("'%s' is read as a duration", wrong[i]);
		assert_int_equal(ns, 42);
	}
}

static void durations_are_written(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} table[] = {
		{0, "0.0s"},
		{400 * MS, "0.4s"},
		{999 * MS, "0.9s"},
		{9999 * MS, "9.9s"},
		{10 * S, "10s"},
		{31 * S, "31s"},
		{59999 * MS, "59s"},
		{60 * S, "1m00s"},
		{90 * S, "1m30s"},
		{3599 * S, "59m59s"},
		{3600 * S, "1h00m"},
		{7440 * S, "2h04m"},
		{604800 * S, "168h00m"},
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		assert_string_equal(text_duration(table[i].ns, text), table[i].text);
}

static void times_are_local_and_to_the_second(void **state)
{
	char text[32];

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	assert_string_equal(text_time(0, text), "1970-01-01 00:00:00");
	assert_string_equal(text_time(1772375412999999999ull, text), "2026-03-01 14:30:12");
	setenv("TZ", "XYZ-2", 1); /* two hours ahead of UTC */
	tzset();
	assert_string_equal(text_time(1772375412999999999ull, text), "2026-03-01 16:30:12");
}

static void counts_are_grouped(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} table[] = {
		{0, "0"},
		{7, "7"},
		{999, "999"},
		{1000, "1,000"},
		{12345, "12,345"},
		{123456, "123,456"},
		{12345678, "12,345,678"},
		{UINT64_MAX, "18,446,744,073,709,551,615"},
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		assert_string_equal(text_count(table[i].n, text), table[i].text);
}

static void addresses_are_written(void **state)
{
	static const struct {
		const char *address; /* as inet_pton reads it */
		uint16_t port;
		const char *text;
	} table[] = {
		{"::ffff:192.0.2.1", 0, "192.0.2.1"},
		{"::ffff:192.0.2.1", 80, "192.0.2.1:80"},
		{"::ffff:255.255.255.255", 65535, "255.255.255.255:65535"},
		{"2001:db8::1", 0, "2001:db8::1"},
		{"2001:db8::1", 443, "[2001:db8::1]:443"},
		{"::", 0, "::"},
		{"::1", 1, "[::1]:1"},
		{"2001:db8:1111:2222:3333:4444:5555:6666", 65535,
		 "[2001:db8:1111:2222:3333:4444:5555:6666]:65535"},
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		uint32_t address[4];

		assert_int_equal(inet_pton(AF_INET6, table[i].address, address), 1);
		assert_string_equal(text_address(address, htons(table[i].port), text),
				    table[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weights_are_read),
		cmocka_unit_test(weights_are_written),
		cmocka_unit_test(every_weight_is_read_as_it_is_written),
		cmocka_unit_test(durations_are_read),
		cmocka_unit_test(durations_are_written),
		cmocka_unit_test(times_are_local_and_to_the_second),
		cmocka_unit_test(counts_are_grouped),
		cmocka_unit_test(addresses_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
