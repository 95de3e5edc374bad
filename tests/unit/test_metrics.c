/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/metrics.h"
#include "userspace/base/whole.h"

#define RTT "shift_tunnel_rtt_seconds"

static char path[] = "/tmp/test_metrics.XXXXXX";

static void begin(struct metrics *m)
{
	metrics_begin(m);
	metrics_family(m, RTT, METRICS_GAUGE, "Median.");
}

static void assert_text(struct metrics *m, const char *wanted)
{
	char *text;
	size_t size;

	assert_int_equal(metrics_text(m, &text, &size), 0);
	assert_string_equal(text, wanted);
	assert_int_equal(size, strlen(wanted));
	free(text);
}

static void assert_fails(struct metrics *m, int err)
{
	char *text = NULL;
	size_t size = 77;

	metrics_family(m, "shift_other", METRICS_GAUGE, "More.");
	metrics_value(m, 1, NULL);
	assert_int_equal(metrics_text(m, &text, &size), err);
	assert_null(text);
	assert_int_equal(size, 77);
}

/* ---- Prometheus ---- */

static void families_and_their_values(void **state)
{
	struct metrics m;

	(void)state;
	begin(&m);
	metrics_value(&m, 0.0121, "tunnel", "aws", NULL);
	metrics_value(&m, NAN, "tunnel", "gcp", "peer", "a", NULL);
	metrics_family(&m, "shift_checks_total", METRICS_COUNTER, "Back\\slash, \"quote\",\nline.");
	metrics_value(&m, 12345678, NULL);
	metrics_family(&m, "shift_nothing", METRICS_GAUGE, "");
	assert_text(&m, "# HELP " RTT " Median.\n# TYPE " RTT " gauge\n" RTT
			"{tunnel=\"aws\"} 0.0121\n" RTT "{tunnel=\"gcp\",peer=\"a\"} NaN\n"
			"# HELP shift_checks_total Back\\\\slash, \"quote\",\\nline.\n"
			"# TYPE shift_checks_total counter\nshift_checks_total 12345678\n"
			"# HELP shift_nothing \n# TYPE shift_nothing gauge\n");
}

static void labels_are_escaped(void **state)
{
	static const struct {
		const char *value, *wanted;
	} cases[] = {
		{"", ""},
		{"a b{}=,#", "a b{}=,#"},
		{"a\"b", "a\\\"b"},
		{"a\\b", "a\\\\b"},
		{"a\nb", "a\\nb"},
		{"\\n", "\\\\n"},
		{"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\x8d", /* two, three, four bytes */
		 "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\x8d"},
		{"\xff-\xc3-\xe2\x82", "?-?-??"},
		{"\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80", "?? ??? ????"}, /* overlong, surrogate */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct metrics m;
		char wanted[256];

		begin(&m);
		metrics_value(&m, 1, "l", cases[i].value, NULL);
		snprintf(wanted, sizeof(wanted),
			 "# HELP " RTT " Median.\n# TYPE " RTT " gauge\n" RTT "{l=\"%s\"} 1\n",
			 cases[i].wanted);
		assert_text(&m, wanted);
	}
}

static void numbers_read_back_the_same(void **state)
{
	static const struct {
		double value;
		const char *wanted;
	} cases[] = {
		{0, "0"},
		{-0.0, "0"},
		{1, "1"},
		{0.1, "0.1"},
		{0.1 + 0.2, "0.30000000000000004"},
		{1.0 / 3, "0.3333333333333333"},
		{1764382967, "1764382967"},
		{9007199254740991, "9007199254740991"},
		{-2.5, "-2.5"},
		{1e-9, "1e-09"},
		{1.7976931348623157e308, "1.7976931348623157e+308"},
		{5e-324, "4.94065645841247e-324"},
		{INFINITY, "+Inf"},
		{-INFINITY, "-Inf"},
		{NAN, "NaN"},
		{-NAN, "NaN"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct metrics m;
		char wanted[256];

		begin(&m);
		metrics_value(&m, cases[i].value, NULL);
		snprintf(wanted, sizeof(wanted),
			 "# HELP " RTT " Median.\n# TYPE " RTT " gauge\n" RTT " %s\n",
			 cases[i].wanted);
		assert_text(&m, wanted);
	}
}

static void wrong_names_are_refused(void **state)
{
	static const char *const names[] = {"", "9a", "a-b", "a b", "a{", "gr\xc3\xbc\xc3\x9f"};
	static const char *const labels[] = {"", "9a", "a-b", "a:b", "__name__", "a\n"};
	char longest[200];
	struct metrics m;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		metrics_begin(&m);
		metrics_family(&m, names[i], METRICS_GAUGE, "x");
		assert_fails(&m, -EINVAL);
	}
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	metrics_begin(&m);
	metrics_family(&m, longest, METRICS_GAUGE, "x");
	assert_fails(&m, -EINVAL);
	for (size_t i = 0; i < sizeof(labels) / sizeof(*labels); i++) {
		begin(&m);
		metrics_value(&m, 1, labels[i], "x", NULL);
		assert_fails(&m, -EINVAL);
	}
	begin(&m);
	metrics_value(&m, 1, "a", (char *)NULL, NULL);
	assert_fails(&m, -EINVAL);
	begin(&m);
	metrics_value(&m, 1, "a", "x", "a", "y", NULL);
	assert_fails(&m, -EINVAL);
	metrics_begin(&m);
	metrics_value(&m, 1, NULL);
	assert_fails(&m, -EINVAL);
}

static void nothing_is_there_twice(void **state)
{
	struct metrics m;

	(void)state;
	begin(&m);
	metrics_family(&m, RTT, METRICS_GAUGE, "Median.");
	assert_fails(&m, -EEXIST);
	begin(&m);
	metrics_family(&m, "shift_x", METRICS_GAUGE, "x");
	metrics_family(&m, RTT, METRICS_GAUGE, "Median.");
	assert_fails(&m, -EEXIST);
	begin(&m);
	metrics_value(&m, 1, "a", "x", NULL);
	metrics_value(&m, 1, "a", "y", NULL);
	metrics_value(&m, 2, "a", "x", NULL);
	assert_fails(&m, -EEXIST);
	begin(&m);
	metrics_value(&m, 1, NULL);
	metrics_value(&m, 1, NULL);
	assert_fails(&m, -EEXIST);
	/* what only begins the same is another */
	begin(&m);
	metrics_value(&m, 1, "a", "x", "b", "y", NULL);
	metrics_value(&m, 1, "a", "x", NULL);
	metrics_value(&m, 1, "a", "x\"} ", NULL);
	metrics_value(&m, 1, NULL);
	metrics_family(&m, RTT "_max", METRICS_GAUGE, "Largest.");
	metrics_value(&m, 1, NULL);
	assert_int_equal(metrics_write(&m, path), 0);
}

static void it_is_written_whole_and_for_all(void **state)
{
	struct metrics m;
	struct stat st;
	char *text;

	(void)state;
	begin(&m);
	metrics_value(&m, 1, NULL);
	assert_int_equal(metrics_write(&m, path), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	begin(&m);
	metrics_value(&m, 2, "-", "", NULL);
	assert_int_equal(metrics_write(&m, path), -EINVAL);
	assert_int_equal(metrics_write(&m, path), -EINVAL); /* it is over */
	begin(&m);
	assert_int_equal(metrics_write(&m, "/nowhere/x.prom"), -ENOENT);
	assert_int_equal(whole_read(path, 4096, &text, NULL), 0);
	assert_non_null(strstr(text, RTT " 1\n"));
	free(text);
}

/* What Prometheus itself thinks of it. */
static void promtool_finds_nothing(void **state)
{
	char command[128];
	struct metrics m;

	(void)state;
	if (system("command -v promtool >/dev/null 2>&1")) {
		print_message("promtool is not installed (package prometheus)\n");
		skip();
	}
	begin(&m);
	metrics_value(&m, 0.0121, "tunnel", "aws", NULL);
	metrics_value(&m, NAN, "tunnel", "a\\b\"c\nd \xff gr\xc3\xbc\xc3\x9f", NULL);
	metrics_value(&m, -INFINITY, "tunnel", "", "peer", "x", NULL);
	metrics_value(&m, 5e-324, NULL);
	metrics_family(&m, "shift_tunnel_received_bytes_total", METRICS_COUNTER, "a\\b\nc \xff");
	metrics_value(&m, 9007199254740991, "tunnel", "aws", NULL);
	metrics_family(&m, "shift_tunnel_up", METRICS_GAUGE, "No values.");
	assert_int_equal(metrics_write(&m, path), 0);
	snprintf(command, sizeof(command), "promtool check metrics <%s", path);
	assert_int_equal(system(command), 0);
}

/* ---- Nagios ---- */

static void perfdata_is_as_the_guidelines_say(void **state)
{
	static const struct {
		const char *label;
		double value;
		const char *uom, *warn, *crit;
		double min, max;
		const char *wanted;
	} cases[] = {
		{"rtt", 12.1, "ms", "50", "100", 0, NAN, "rtt=12.1ms;50;100;0"},
		{"loss", 0, "%", "2", NULL, 0, 100, "loss=0%;2;;0;100"},
		{"x", 1, NULL, NULL, NULL, NAN, NAN, "x=1"},
		{"x", 100, "", "", "", NAN, NAN, "x=100"},
		{"age", NAN, "s", "180", "@300:", NAN, NAN, "age=U;180;@300:"},
		{"x", INFINITY, "s", NULL, NULL, NAN, 5, "x=U;;;;5"},
		{"aws up", 1, NULL, "~:-1.5", NULL, NAN, NAN, "'aws up'=1;~:-1.5"},
		{"it's", 1, NULL, NULL, NULL, NAN, NAN, "'it''s'=1"},
		{"a;b", 1, NULL, NULL, NULL, NAN, NAN, "'a;b'=1"},
		{"aws/wg-0_rtt.p95", 1, NULL, NULL, NULL, NAN, NAN, "aws/wg-0_rtt.p95=1"},
		{"x", 1e-7, "s", NULL, NULL, NAN, NAN, "x=0.0000001s"},
		{"x", -1e-12, "s", NULL, NULL, NAN, NAN, "x=0s"},
		{"x", 1e15, "c", NULL, NULL, NAN, NAN, "x=1000000000000000c"},
		{"x", -2.5, NULL, NULL, NULL, -10, 10, "x=-2.5;;;-10;10"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char buf[128] = "";

		assert_int_equal(perfdata_add(buf, sizeof(buf), cases[i].label, cases[i].value,
					      cases[i].uom, cases[i].warn, cases[i].crit,
					      cases[i].min, cases[i].max),
				 0);
		assert_string_equal(buf, cases[i].wanted);
	}
}

static int add(char *buf, size_t size, const char *label, const char *uom, const char *warn)
{
	return perfdata_add(buf, size, label, 1, uom, warn, NULL, NAN, NAN);
}

static void perfdata_is_added_or_not_touched(void **state)
{
	char buf[12] = "", fits[13], huge[1200] = "";

	(void)state;
	assert_int_equal(add(buf, sizeof(buf), "a", NULL, NULL), 0);
	assert_int_equal(add(buf, sizeof(buf), "b", "s", NULL), 0);
	assert_string_equal(buf, "a=1 b=1s");
	assert_int_equal(add(buf, sizeof(buf), "c", NULL, NULL), -ENOSPC);
	assert_int_equal(add(buf, 4, "c", NULL, NULL), -ENOSPC);
	strcpy(fits, buf);
	assert_int_equal(add(fits, sizeof(fits), "c", NULL, NULL), 0);
	assert_string_equal(fits, "a=1 b=1s c=1");
	assert_int_equal(add(buf, sizeof(buf), "", NULL, NULL), -EINVAL);
	assert_int_equal(add(buf, sizeof(buf), "a=b", NULL, NULL), -EINVAL);
	assert_int_equal(add(buf, sizeof(buf), "a|b", NULL, NULL), -EINVAL);
	assert_int_equal(add(buf, sizeof(buf), "a\nb", NULL, NULL), -EINVAL);
	assert_int_equal(add(buf, sizeof(buf), "c", "2", NULL), -EINVAL);
	assert_int_equal(add(buf, sizeof(buf), "c", "s;", NULL), -EINVAL);
	assert_int_equal(add(buf, sizeof(buf), "c", NULL, "1;2"), -EINVAL);
	assert_int_equal(add(buf, sizeof(buf), "c", NULL, "1 d=2"), -EINVAL);
	assert_string_equal(buf, "a=1 b=1s");
	assert_int_equal(add(buf, 11, "", NULL, NULL), -EINVAL);
	assert_int_equal(
		perfdata_add(huge, sizeof(huge), "x", 1.7e308, "s", NULL, NULL, -1.7e308, 1.7e308),
		0);
	assert_int_equal(strlen(huge), 3 * 309 + 1 + 2 + 1 + 4);
}

static int make(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int unmake(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families_and_their_values),
		cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(numbers_read_back_the_same),
		cmocka_unit_test(wrong_names_are_refused),
		cmocka_unit_test(nothing_is_there_twice),
		cmocka_unit_test(it_is_written_whole_and_for_all),
		cmocka_unit_test(promtool_finds_nothing),
		cmocka_unit_test(perfdata_is_as_the_guidelines_say),
		cmocka_unit_test(perfdata_is_added_or_not_touched),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
