/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/base/who.h"

static char name[32], other[32];

static const char *who(const char *operator)
{
	setenv("SHIFT_OPERATOR", operator, 1);
	who_operator(name, sizeof(name));
	return name;
}

static void the_environment_names_the_operator(void **state)
{
	(void)state;
	assert_string_equal(who("alice"), "alice");
	assert_string_equal(who("al\nice"), "al?ice");
	assert_string_equal(who("1234567890123456789012345678901"),
			    "1234567890123456789012345678901");
}

static void a_blank_name_is_none(void **state)
{
	static const char *const blank[] = {"", " ", "\t \n"};

	(void)state;
	unsetenv("SHIFT_OPERATOR");
	who_operator(other, sizeof(other));
	for (size_t i = 0; i < sizeof(blank) / sizeof(*blank); i++)
		assert_string_equal(who(blank[i]), other);
}

static void long_names_that_begin_alike_differ(void **state)
{
	(void)state;
	strcpy(other, who("alice.of.the.night.shift@example.org"));
	assert_int_equal(strlen(other), 31);
	assert_memory_equal(other, "alice.of.the.night.shi~", 22);
	assert_string_not_equal(who("alice.of.the.night.shift@example.com"), other);
	assert_string_equal(who("alice.of.the.night.shift@example.org"), other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_environment_names_the_operator),
		cmocka_unit_test(a_blank_name_is_none),
		cmocka_unit_test(long_names_that_begin_alike_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
