/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/cmd/cmd.h"

static char words[256], *argv[16];
static int argc;
static struct options o;

/* Of a command line without quotes; '_' stands for a space. */
static void parse(const char *line)
{
	char *rest = words, *word;

	unsetenv("SHIFT_CONFIG");
	snprintf(words, sizeof(words), "shiftctl %s", line);
	for (argc = 0; (word = strsep(&rest, " ")); argc++) {
		argv[argc] = word;
		for (; *word; word++)
			*word = *word == '_' ? ' ' : *word;
	}
	argv[argc] = NULL;
	parse_options(&argc, argv, &o);
}

static void common_options_stand_anywhere(void **state)
{
	(void)state;
	parse("-c a.yaml weight --json 25 -s api");
	assert_int_equal(argc, 2);
	assert_string_equal(argv[0], "weight");
	assert_string_equal(argv[1], "25");
	assert_string_equal(o.config, "a.yaml");
	assert_string_equal(o.service, "api");
	assert_true(o.json && o.config_given && !o.slip[0]);
	parse("status --config=b.yaml -sweb --no-color");
	assert_string_equal(o.config, "b.yaml");
	assert_string_equal(o.service, "web");
	assert_int_equal(o.colour, 0);
}

static void a_value_belongs_to_its_option_whatever_it_begins_with(void **state)
{
	static const char *const values[] = {"-shop_down", "-canary_bad", "-h",	   "--help",
					     "--json",	   "-c",	  "--cut", "--color"};
	static const char *const options[] = {"--reason", "--confirm", "--limit",   "--since",
					      "--client", "--state",   "--backend", "--to"};
	char line[128];

	(void)state;
	for (size_t k = 0; k < sizeof(options) / sizeof(*options); k++) {
		for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
			snprintf(line, sizeof(line), "rollback %s %s --json", options[k],
				 values[i]);
			parse(line);
			assert_int_equal(argc, 3);
			assert_string_equal(argv[0], "rollback");
			assert_int_equal(strlen(argv[2]), strlen(values[i]));
			assert_true(o.json && !o.service && !o.config_given && !o.slip[0]);
		}
	}
}

static void help_is_asked_for_by_an_option_itself(void **state)
{
	(void)state;
	parse("rollback -h");
	assert_int_equal(argc, 2);
	assert_string_equal(argv[0], "help");
	assert_string_equal(argv[1], "rollback");
	parse("rollback --reason why --help");
	assert_string_equal(argv[0], "help");
}

static void a_slip_is_left_to_the_caller(void **state)
{
	(void)state;
	parse("rollback -s");
	assert_string_equal(o.slip, "-s needs a service");
	assert_string_equal(argv[0], "rollback");
	assert_null(o.service);
	parse("--json rollback -c");
	assert_string_equal(o.slip, "-c needs a file");
	assert_string_equal(o.config, "/etc/shift/shift.yaml");
	assert_true(o.json);
}

static void a_scan_says_why_and_prints_nothing(void **state)
{
	static const char *const flags[] = {"--force", "--reason=", "--cut?", NULL};
	const char *value;
	char why[160];
	int at = 1;

	(void)state;
	parse("x --cut --cut=5 --reason -a --force=1 now --nosuch --reason");
	assert_int_equal(scan_option(argc, argv, &at, flags, &value, why, sizeof(why)), 2);
	assert_null(value);
	assert_int_equal(scan_option(argc, argv, &at, flags, &value, why, sizeof(why)), 2);
	assert_string_equal(value, "5");
	assert_int_equal(scan_option(argc, argv, &at, flags, &value, why, sizeof(why)), 1);
	assert_string_equal(value, "-a");
	assert_int_equal(scan_option(argc, argv, &at, flags, &value, why, sizeof(why)), -3);
	assert_string_equal(why, "--force takes no value");
	assert_int_equal(scan_option(argc, argv, &at, flags, &value, why, sizeof(why)), -1);
	assert_string_equal(value, "now");
	assert_int_equal(scan_option(argc, argv, &at, flags, &value, why, sizeof(why)), -3);
	assert_string_equal(why, "--nosuch: there is no such option here");
	assert_int_equal(scan_option(argc, argv, &at, flags, &value, why, sizeof(why)), -3);
	assert_string_equal(why, "--reason needs a value");
	assert_int_equal(scan_option(argc, argv, &at, flags, &value, why, sizeof(why)), -2);
}

static void the_wait_of_dns_may_have_no_value(void **state)
{
	(void)state;
	parse("dns cutover --wait --json -c a.yaml");
	assert_int_equal(argc, 3);
	assert_string_equal(argv[2], "--wait");
	assert_true(o.json);
	assert_string_equal(o.config, "a.yaml");
	parse("dns cutover --wait 10m --json");
	assert_int_equal(argc, 4);
	assert_string_equal(argv[3], "10m");
	assert_true(o.json);
	parse("tunnel apply --wait --json");
	assert_int_equal(argc, 4);
	assert_false(o.json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(common_options_stand_anywhere),
		cmocka_unit_test(a_value_belongs_to_its_option_whatever_it_begins_with),
		cmocka_unit_test(the_wait_of_dns_may_have_no_value),
		cmocka_unit_test(help_is_asked_for_by_an_option_itself),
		cmocka_unit_test(a_slip_is_left_to_the_caller),
		cmocka_unit_test(a_scan_says_why_and_prints_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
