/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/ctl/sources_inner.h"

static void one_number_is_found_in_a_document(void **state)
{
	static const struct {
		const char *body, *member, *why;
		double value;
	} cases[] = {
		{"{\"a\": 1.5}", "a", NULL, 1.5},
		{"{\"a\": \"1.5\"}", "a", NULL, 1.5},
		{"{\"a\": \"+1.5e2\"}", "a", NULL, 150},
		{"{\"a\": 12345678901234567890}", "a", NULL, 12345678901234567890.0},
		{"{\"a\": -0.0}", "a", NULL, 0},
		{"{\"a\": {\"b\": [7, {\"0\": {\"c\": 3}}]}}", "a.b.1.0.c", NULL, 3},
		{"[[4, 5]]", "0.1", NULL, 5},
		{"  {\"a\": 1, \"b\": {\"a\": 2}}\n", "b.a", NULL, 2},
		{"{\"a\": \"]]]]{{{{\\\"[[\", \"b\": 1}", "b", NULL, 1},
		{"{\"a\": {\"b\": 1}}", "a.c", "the answer has no a.c", 0},
		{"{\"a\": {\"b\": 1}}", "x.c", "the answer has no x", 0},
		{"{\"a\": [1]}", "a.1", "the answer has no a.1", 0},
		{"{\"a\": [1]}", "a.-1", "the answer has no a.-1", 0},
		{"{\"a\": [1]}", "a.99999999999999999999", "has no a.9", 0},
		{"{\"a\": [1]}", "a.0x", "the answer has no a.0x", 0},
		{"{\"a\": 1}", "a.b", "the answer has no a.b", 0},
		{"{\"a\": null}", "a", "a is null, not a number", 0},
		{"{\"a\": true}", "a", "a is true, not a number", 0},
		{"{\"a\": {}}", "a", "a is an object, not a number", 0},
		{"{\"a\": []}", "a", "a is a list, not a number", 0},
		{"{\"a\": \"\"}", "a", "a is empty", 0},
		{"{\"a\": \"87.5ms\"}", "a", "a is no number: \"87.5ms\"", 0},
		{"{\"a\": \" 1\"}", "a", "a is no number", 0},
		{"{\"a\": \"0x10\"}", "a", "a is no number", 0},
		{"{\"a\": \"1,5\"}", "a", "a is no number", 0},
		{"{\"a\": \".\"}", "a", "a is no number", 0},
		{"{\"a\": \"1e\"}", "a", "a is no number", 0},
		{"{\"a\": \"\\u001b[2J\\u00e9\"}", "a", "a is no number: \"?[2J??\"", 0},
		{"{\"a\": \"nan\"}", "a", "a is NaN", 0},
		{"{\"a\": \"-Inf\"}", "a", "a is infinite", 0},
		{"{\"a\": \"1e999\"}", "a", "a is infinite", 0},
		{"{\"a\": 1e999}", "a", "no JSON: real number overflow", 0},
		{"{\"a\": NaN}", "a", "no JSON", 0},
		{"{\"a\": -5}", "a", "a is negative (-5)", 0},
		{"{\"a\": \"-5\"}", "a", "a is negative (-5)", 0},
		{"{\"a\": 1, \"a\": 2}", "a", "no JSON: duplicate object key", 0},
		{"{\"a\": 1} {}", "a", "no JSON: end of file expected", 0},
		{"{\"a\": 1", "a", "no JSON", 0},
		{"{\"\\u0000\": 1}", "a", "no JSON", 0},
		{"5", "a", "no JSON", 0},
		{"", "a", "the answer is empty", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char why[SOURCE_WHY] = "";
		double value = -1;
		int err = source_read_member(cases[i].body, strlen(cases[i].body), cases[i].member,
					     &value, why);

		if (cases[i].why ? !err || !strstr(why, cases[i].why) || value != -1
				 : err || value != cases[i].value || signbit(value))
			fail_msg("%s, %s: %d, %g, \"%s\"", cases[i].body, cases[i].member, err,
				 value, why);
	}
}

static void depth_is_bounded_before_the_parser_sees_it(void **state)
{
	static const unsigned int depths[] = {63, 64, 10000, 100000};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		size_t n = depths[i];
		char *body = malloc(2 * n + 32), why[SOURCE_WHY] = "";
		double value;
		int err;

		memcpy(body, "{\"a\":1,\"b\":", 11);
		memset(body + 11, '[', n);
		memset(body + 11 + n, ']', n);
		body[11 + 2 * n] = '}';
		err = source_read_member(body, 12 + 2 * n, "a", &value, why);
		if (depths[i] < 64)
			assert_int_equal(err, 0);
		else
			assert_non_null(strstr(why, "nested deeper than 64"));
		free(body);
	}
}

static void a_program_prints_one_number_and_nothing_else(void **state)
{
	static const struct {
		const char *text, *why;
		double value;
	} cases[] = {{"12.5\n", NULL, 12.5},
		     {"\n  3 \r\n", NULL, 3},
		     {"", "it printed nothing", 0},
		     {" \n", "it printed nothing", 0},
		     {"1\n2\n", "is no number: \"1 2\"", 0},
		     {"lag 3", "is no number: \"lag 3\"", 0},
		     {"nan", "is NaN", 0},
		     {"-1", "is negative", 0},
		     {"0000000000000000000000000000000000000000000000000000000000000000001",
		      "is no number", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char why[SOURCE_WHY] = "";
		double value;
		int err = source_read_output(cases[i].text, strlen(cases[i].text), &value, why);

		if (cases[i].why ? !err || !strstr(why, cases[i].why)
				 : err || value != cases[i].value)
			fail_msg("%s: %d, \"%s\"", cases[i].text, err, why);
	}
}

static void a_query_is_escaped_behind_the_path_of_the_interface(void **state)
{
	static const struct {
		const char *base, *url;
	} cases[] = {
		{"http://p:9090",
		 "http://p:9090/api/v1/query?query=a%2Bb%7Bx%3D%22%26%23%22%7D%5B5m%5D"},
		{"http://p:9090/",
		 "http://p:9090/api/v1/query?query=a%2Bb%7Bx%3D%22%26%23%22%7D%5B5m%5D"},
		{"http://p/prom/",
		 "http://p/prom/api/v1/query?query=a%2Bb%7Bx%3D%22%26%23%22%7D%5B5m%5D"},
		{"http://p/api/v1/query",
		 "http://p/api/v1/query?query=a%2Bb%7Bx%3D%22%26%23%22%7D%5B5m%5D"},
		{"http://p/?tenant=1",
		 "http://p/api/v1/query?tenant=1&query=a%2Bb%7Bx%3D%22%26%23%22%7D%5B5m%5D"},
	};
	char url[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(
			source_query_url(cases[i].base, "a+b{x=\"&#\"}[5m]", url, sizeof(url)), 0);
		assert_string_equal(url, cases[i].url);
		for (size_t size = 1; size <= strlen(url); size++) /* never a shortened one */
			assert_int_equal(source_query_url(cases[i].base, "a+b{x=\"&#\"}[5m]",
							  (char[256]){0}, size),
					 -ENAMETOOLONG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_number_is_found_in_a_document),
		cmocka_unit_test(depth_is_bounded_before_the_parser_sees_it),
		cmocka_unit_test(a_program_prints_one_number_and_nothing_else),
		cmocka_unit_test(a_query_is_escaped_behind_the_path_of_the_interface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
