/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/base/screen.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void bytes_are_written(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} table[] = {
		{0, "0 B"},
		{999, "999 B"},
		{1000, "1.0 KiB"},
		{1536, "1.5 KiB"},
		{102400, "100 KiB"},
		{1023 * 1024, "1.0 MiB"},
		{12ull << 20, "12.0 MiB"},
		{3ull << 30, "3.0 GiB"},
		{UINT64_MAX, "16.0 EiB"},
	};
	char text[16];

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		assert_string_equal(screen_bytes(table[i].n, text), table[i].text);
}

static void nothing_that_steers_a_terminal_passes(void **state)
{
	char text[32];

	(void)state;
	assert_string_equal(screen_clean("\033[31mred\r\n\a\177", text, sizeof(text)),
			    "?[31mred????");
	assert_string_equal(screen_clean("w\303\266rld", text, sizeof(text)), "w\303\266rld");
	assert_string_equal(screen_clean("\302\233"
					 "31m",
					 text, sizeof(text)),
			    "??31m");
	assert_string_equal(screen_clean("\233"
					 "31m\377",
					 text, sizeof(text)),
			    "?31m?");
	assert_string_equal(screen_clean("cut \342\224", text, sizeof(text)), "cut ??");
	assert_string_equal(screen_clean("w\303\266rld", text, 3), "w");
	assert_string_equal(screen_clean("too long for it", text, 5), "too ");
}

static void lengths_are_what_is_seen(void **state)
{
	(void)state;
	assert_int_equal(screen_length("abc"), 3);
	assert_int_equal(screen_length("\033[31;1mabc\033[0m"), 3);
	assert_int_equal(screen_length("\342\224\234\342\224\200 x"), 4);
	assert_int_equal(screen_length("\033["), 0);
	assert_int_equal(screen_length(""), 0);
}

static char *wrapped(const char *text, unsigned int column, unsigned int columns)
{
	char *ret = NULL;
	size_t size;
	FILE *to = open_memstream(&ret, &size);

	screen_words(text, column, columns, to);
	fclose(to);
	return ret;
}

static void words_go_on_in_lines_below_each_other(void **state)
{
	static const struct {
		unsigned int column, columns;
		const char *text, *want;
	} cases[] = {
		{2, 10, "one two three four", "one two\n  three\n  four"},
		{2, 0, "one two three four", "one two three four"},
		{0, 5, "overlong word", "overlong\nword"},
		{0, 3, "a b  c d", "a b\nc d"},
		{0, 7, "\303\274\303\274\303\274 \303\244\303\244\303\244",
		 "\303\274\303\274\303\274 \303\244\303\244\303\244"}, /* by characters */
		{4, 80, "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *got = wrapped(cases[i].text, cases[i].column, cases[i].columns);

		assert_string_equal(got, cases[i].want);
		free(got);
	}
}

static void the_locale_is_read_from_the_environment(void **state)
{
	(void)state;
	unsetenv("LC_ALL");
	unsetenv("LC_CTYPE");
	setenv("LANG", "de_DE.UTF-8", 1);
	assert_true(screen_utf8());
	setenv("LC_CTYPE", "C", 1);
	assert_false(screen_utf8());
	setenv("LC_ALL", "C.utf8", 1);
	assert_true(screen_utf8());
	unsetenv("LC_ALL");
	unsetenv("LC_CTYPE");
	unsetenv("LANG");
	assert_false(screen_utf8());
}

static char *printed(struct table *t)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	table_print(t, to);
	fclose(to);
	return text;
}

static void columns_are_aligned(void **state)
{
	struct table t = {0};
	char *text;

	(void)state;
	table_head(&t, "name|>count|note");
	table_row(&t, "%s\t%d\t%s", "aws", 1003, "up");
	table_row(&t, "%s\t%d\t%s", "\033[2mazure\033[0m", 7, "");
	assert_int_equal(table_width(&t), 5 + 2 + 5 + 2 + 4);
	text = printed(&t);
	assert_string_equal(text, "name   count  note\n"
				  "aws     1003  up\n"
				  "\033[2mazure\033[0m      7\n");
	free(text);
	table_free(&t);
}

static void a_column_without_text_takes_no_room(void **state)
{
	struct table t = {0};
	char *text;

	(void)state;
	table_head(&t, "a|>|>c");
	table_row(&t, "1\t\t3");
	text = printed(&t);
	assert_string_equal(text, "a  c\n1  3\n");
	free(text);
	table_free(&t);
}

static void widths_are_kept_and_the_head_is_not_repeated(void **state)
{
	struct table t = {.gap = 1};
	char *text;

	(void)state;
	table_head(&t, "a|b");
	table_row(&t, "long\tx");
	free(printed(&t));
	table_row(&t, "s\ty");
	table_line(&t, "  as\tit is");
	text = printed(&t);
	assert_string_equal(text, "s    y\n  as\tit is\n");
	free(text);
	table_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_written),
		cmocka_unit_test(nothing_that_steers_a_terminal_passes),
		cmocka_unit_test(lengths_are_what_is_seen),
		cmocka_unit_test(words_go_on_in_lines_below_each_other),
		cmocka_unit_test(the_locale_is_read_from_the_environment),
		cmocka_unit_test(columns_are_aligned),
		cmocka_unit_test(a_column_without_text_takes_no_room),
		cmocka_unit_test(widths_are_kept_and_the_head_is_not_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
