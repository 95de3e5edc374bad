/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/ctl/gate.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define SECOND	 UINT64_C(1000000000)
#define BEGIN	 (1000 * SECOND) /* the clock of a host that runs for a while */

/* A gate as the configuration has it: bounds as "ok|pause|back|rollback", several with ';'. */
struct made {
	struct config *c;
	struct gate g;
};

static size_t add_bounds(char *text, size_t size, const char *key, const char *list, size_t length)
{
	size_t used = (size_t)snprintf(text, size, ", %s: [", key);

	for (size_t i = 0; i < length;) {
		size_t n = strcspn(list + i, ";|");

		used += (size_t)snprintf(text + used, size - used, "%s\"%.*s\"", i ? ", " : "",
					 (int)n, list + i);
		i += n + 1;
	}
	used += (size_t)snprintf(text + used, size - used, "]");
	return used;
}

static void make(struct made *m, const char *bounds)
{
	static const char *const keys[] = {"ok", "pause", "back", "rollback"};
	FILE *file = fopen("tests/golden/conf/base.yaml", "re");
	struct conf_errors errors = {0};
	char text[16384];
	size_t used;

	assert_non_null(file);
	used = fread(text, 1, sizeof(text) / 2, file);
	fclose(file);
	text[used] = '\0';
	used = (size_t)(strstr(text, "\ngates:") - text); /* its gates are others */
	used += (size_t)snprintf(text + used, sizeof(text) - used,
				 "\ngates:\n  - {name: g, source: {exec: [/bin/x], interval: 5s, "
				 "timeout: 2s}");
	for (unsigned int i = 0; i < COUNT(keys); i++) {
		size_t n = strcspn(bounds, "|");

		if (n)
			used += add_bounds(text + used, sizeof(text) - used, keys[i], bounds, n);
		bounds += n + (bounds[n] == '|');
	}
	used += (size_t)snprintf(text + used, sizeof(text) - used, "}\n");
	if (conf_parse("gate.yaml", text, used, &m->c, &errors)) {
		conf_errors_print(&errors, stderr);
		fail();
	}
	conf_errors_free(&errors);
	assert_int_equal(m->c->n_gates, 1);
	gate_begin(&m->g, &m->c->gates[0]);
}

static void done(struct made *m)
{
	conf_free(m->c);
}

/* "0:50 5:212 10:-": at second 0 it was 50, …, at 10 there was no data. */
static void feed(struct gate *g, const char *script)
{
	char text[1024], *save = NULL;

	snprintf(text, sizeof(text), "%s", script);
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *value = strchr(word, ':') + 1;
		uint64_t at = BEGIN + (uint64_t)(strtod(word, NULL) * 1e9);

		if (*value == '-' && !value[1])
			gate_no_data(g, at, "connection refused");
		else
			gate_observe(g, at, strtod(value, NULL));
	}
}

struct row {
	const char *bounds, *script;
	double at;
	enum gate_says says;
	const char *why;
};

static void check_rows(const struct row *rows, size_t n, double baseline)
{
	for (size_t i = 0; i < n; i++) {
		struct gate_verdict v;
		struct made m;

		make(&m, rows[i].bounds);
		if (baseline >= 0)
			gate_set_baseline(&m.g, baseline, false);
		feed(&m.g, rows[i].script);
		gate_judge(&m.g, BEGIN + (uint64_t)(rows[i].at * 1e9), &v);
		if (v.says != rows[i].says || (rows[i].why && strcmp(v.why, rows[i].why) != 0))
			print_error("row %zu: %s '%s', not %s '%s'\n", i, gate_says_name(v.says),
				    v.why, gate_says_name(rows[i].says),
				    rows[i].why ? rows[i].why : "");
		assert_int_equal(v.says, rows[i].says);
		if (rows[i].why)
			assert_string_equal(v.why, rows[i].why);
		assert_true(v.why[0]);
		done(&m);
	}
}

#define P95 "< 100|> 200||> 500 for 1m"

static void a_bound_acts_at_once_and_is_named_as_it_is_written(void **state)
{
	static const struct row rows[] = {
		{P95, "0:50", 0, GATE_OK, "50 < 100"},
		{P95, "0:100", 0, GATE_INCONCLUSIVE, "100 is not < 100"},
		{P95, "0:200", 0, GATE_INCONCLUSIVE, "200 is not < 100"},
		{P95, "0:212", 0, GATE_PAUSE, "212 > 200"},
		{P95, "0:212 5:90", 5, GATE_OK, "90 < 100"},
		{"< 0.1%|> 0.5%||> 5%", "0:0.04", 1, GATE_OK, "0.04% < 0.1%"},
		{"< 0.1%|> 0.5%||> 5%", "0:0.62", 1, GATE_PAUSE, "0.62% > 0.5%"},
		{"< 0.1%|> 0.5%||> 5%", "0:5", 1, GATE_PAUSE, "5% > 0.5%"},
		{"< 0.1%|> 0.5%||> 5%", "0:5.01", 1, GATE_ROLLBACK, "5.01% > 5%"},
		{"|>= 5||", "0:5", 1, GATE_PAUSE, "5 >= 5"},
		{"|<= 5||", "0:5", 1, GATE_PAUSE, "5 <= 5"},
		{"< 2s|> 3s||", "0:3500", 1, GATE_PAUSE, "3.5s > 3s"},
		/* The worst that holds wins. */
		{"|> 1|> 2|> 3", "0:4", 1, GATE_ROLLBACK, "4 > 3"},
		{"|> 1|> 2|> 3", "0:3", 1, GATE_BACK, "3 > 2"},
		/* Of several bad bounds one is enough, of `ok` every one must hold. */
		{"|> 9;< 3||", "0:2", 1, GATE_PAUSE, "2 < 3"},
		{"> 1;< 9|||", "0:5", 1, GATE_OK, "5 > 1"},
		{"> 1;< 9|||", "0:10", 1, GATE_INCONCLUSIVE, "10 is not < 9"},
	};

	(void)state;
	check_rows(rows, COUNT(rows), -1);
}

static void without_an_ok_bound_what_holds_nothing_is_ok(void **state)
{
	static const struct row rows[] = {
		{"|> 200||", "0:212", 0, GATE_PAUSE, "212 > 200"},
		{"|> 200||", "0:199", 0, GATE_OK, "199: no bound holds"},
		/* What has begun to hold is not ok. */
		{"|||> 60 3 times", "0:61", 0, GATE_INCONCLUSIVE, "61 > 60 1 of 3 times"},
		{"|||> 60 3 times", "0:60", 0, GATE_OK, "60: no bound holds"},
	};

	(void)state;
	check_rows(rows, COUNT(rows), -1);
}

static void a_duration_is_what_was_seen_without_a_break(void **state)
{
#define FOR "|||> 500 for 30s"
	static const struct row rows[] = {
		{FOR, "0:600", 0, GATE_INCONCLUSIVE, "600 > 500 for 0s of 30s"},
		{FOR, "0:600 5:600 10:601", 10, GATE_INCONCLUSIVE, "601 > 500 for 10s of 30s"},
		{FOR, "0:600 5:600 10:600 15:600 20:600 25:600", 29, GATE_INCONCLUSIVE,
		 "600 > 500 for 25s of 30s"},
		/* Time that passes is no observation. */
		{FOR, "0:600 5:600 10:600 15:600 20:600 25:600", 31, GATE_INCONCLUSIVE,
		 "600 > 500 for 25s of 30s"},
		{FOR, "0:600 5:600 10:600 15:600 20:600 25:600 30:600", 30, GATE_ROLLBACK,
		 "600 > 500 for 30s"},
		/* One good value breaks it. */
		{FOR, "0:600 5:600 10:600 15:400 20:600 25:600 30:600 35:600", 35,
		 GATE_INCONCLUSIVE, "600 > 500 for 15s of 30s"},
		/* Three intervals of silence do not, more do. */
		{FOR, "0:600 15:600 30:600", 30, GATE_ROLLBACK, "600 > 500 for 30s"},
		{FOR, "0:600 15.1:600 30:600", 30, GATE_INCONCLUSIVE, "600 > 500 for 14s of 30s"},
		/* Looks without data make the silence longer, no more. */
		{FOR, "0:600 5:- 10:- 15:600 20:600 25:- 30:600", 30, GATE_ROLLBACK,
		 "600 > 500 for 30s"},
		{FOR, "0:600 5:- 10:- 15:- 20:600 25:600 30:600", 30, GATE_INCONCLUSIVE,
		 "600 > 500 for 10s of 30s"},
	};

	(void)state;
	check_rows(rows, COUNT(rows), -1);
}

static void times_are_in_a_row(void **state)
{
#define TIMES "< 5|||> 60 3 times"
	static const struct row rows[] = {
		{TIMES, "0:61 5:61", 5, GATE_INCONCLUSIVE, "61 > 60 2 of 3 times"},
		{TIMES, "0:61 5:61 10:61", 10, GATE_ROLLBACK, "61 > 60 3 times"},
		{TIMES, "0:61 5:61 10:4 15:61", 15, GATE_INCONCLUSIVE, "61 > 60 1 of 3 times"},
		{TIMES, "0:61 5:- 10:61 15:61", 15, GATE_ROLLBACK, "61 > 60 3 times"},
		{TIMES, "0:61 5:61 21:61", 21, GATE_INCONCLUSIVE, "61 > 60 1 of 3 times"},
		{TIMES, "0:61 5:61 10:61 15:61", 15, GATE_ROLLBACK, "61 > 60 4 times"},
	};

	(void)state;
	check_rows(rows, COUNT(rows), -1);
}

static void no_data_is_never_a_pass(void **state)
{
	static const struct row rows[] = {
		{P95, "", 0, GATE_INCONCLUSIVE, "no data yet"},
		{P95, "0:-", 0, GATE_INCONCLUSIVE, "no data: connection refused"},
		{P95, "0:50 5:-", 6, GATE_INCONCLUSIVE, "no data since 6.0s: connection refused"},
		{P95, "0:50 5:- 10:60", 10, GATE_OK, "60 < 100"},
		/* Three intervals and the time-out after the last value it is stale. */
		{P95, "0:50", 17, GATE_OK, "50 < 100"},
		{P95, "0:50", 17.1, GATE_INCONCLUSIVE, "no data since 17s"},
		{"|> 200||", "", 0, GATE_INCONCLUSIVE, "no data yet"},
		{P95, "0:nan", 0, GATE_INCONCLUSIVE, "no data: what the source gave is no number"},
		{P95, "0:50 5:inf", 5, GATE_INCONCLUSIVE, NULL},
		/* A bad value that is stale acts on nothing either. */
		{P95, "0:212", 60, GATE_INCONCLUSIVE, "no data since 1m00s"},
	};

	(void)state;
	check_rows(rows, COUNT(rows), -1);
}

static void a_drop_is_against_the_baseline(void **state)
{
#define TPS "||> 20% below baseline|> 50% below baseline 2 times"
	static const struct row rows[] = {
		{TPS, "0:776000", 0, GATE_OK, "776000: no bound holds"},
		{TPS, "0:900000", 0, GATE_OK, NULL},
		{TPS, "0:620800", 0, GATE_OK, NULL}, /* exactly 20 % */
		{TPS, "0:610000", 0, GATE_BACK,
		 "610000 is 21.39% below the baseline of 776000: > 20% below baseline"},
		{TPS, "0:100000", 0, GATE_BACK, NULL},
		{TPS, "0:100000 5:100000", 5, GATE_ROLLBACK,
		 "100000 is 87.11% below the baseline of 776000: > 50% below baseline 2 times"},
		{"||> 1000 below baseline|", "0:774000", 0, GATE_BACK,
		 "774000 is 2000 below the baseline of 776000: > 1000 below baseline"},
		{"< 5% below baseline|||", "0:800000", 0, GATE_OK,
		 "800000 is 3.093% above the baseline of 776000: < 5% below baseline"},
	};
	static const struct row without[] = {
		{TPS, "0:1", 0, GATE_INCONCLUSIVE,
		 "no baseline was taken before the start, so a drop below it cannot be seen"},
	};

	(void)state;
	check_rows(rows, COUNT(rows), 776000);
	check_rows(without, COUNT(without), -1);
}

static void a_baseline_is_the_median_of_what_was_seen(void **state)
{
	struct gate_verdict v;
	struct made m;

	(void)state;
	make(&m, TPS);
	assert_true(gate_wants_baseline(m.g.conf));
	assert_int_equal(gate_take_baseline(&m.g), -ENODATA);
	feed(&m.g, "0:- 5:100");
	assert_int_equal(gate_take_baseline(&m.g), 0);
	assert_true(m.g.baseline == 100);
	feed(&m.g, "10:900000 15:200 20:300");
	assert_int_equal(gate_take_baseline(&m.g), 0);
	assert_true(m.g.baseline == 250); /* 100 200 300 900000 */
	/* Only the latest count. */
	for (unsigned int i = 0; i < GATE_BASELINE; i++)
		gate_observe(&m.g, BEGIN + (30 + i) * SECOND, i % 2 ? 10 : 30);
	assert_int_equal(gate_take_baseline(&m.g), 0);
	assert_true(m.g.baseline == 20);
	/* A new stage keeps it; of the whole service, a stage expects its share. */
	gate_restart(&m.g);
	assert_true(m.g.has_baseline);
	gate_set_baseline(&m.g, 776000, true);
	gate_share(&m.g, 0.25);
	gate_observe(&m.g, BEGIN + 500 * SECOND, 195000);
	gate_judge(&m.g, BEGIN + 500 * SECOND, &v);
	assert_int_equal(v.says, GATE_OK);
	gate_observe(&m.g, BEGIN + 505 * SECOND, 150000);
	gate_judge(&m.g, BEGIN + 505 * SECOND, &v);
	assert_int_equal(v.says, GATE_BACK);
	assert_string_equal(v.why, "150000 is 22.68% below the baseline of 194000 for this share: "
				   "> 20% below baseline");
	done(&m);
	make(&m, P95);
	assert_false(gate_wants_baseline(m.g.conf));
	done(&m);
}

static void a_baseline_of_nothing_cannot_be_fallen_below(void **state)
{
	static const struct row rows[] = {{TPS, "0:0", 0, GATE_OK, NULL},
					  {TPS, "0:7", 0, GATE_OK, NULL}};

	(void)state;
	check_rows(rows, COUNT(rows), 0);
}

static void the_hold_begins_anew_where_ok_broke(void **state)
{
	static const struct {
		const char *bounds, *script;
		double broken; /* −1: never */
	} rows[] = {
		{P95, "0:50 5:60", -1},
		{P95, "0:50 5:120 10:60", 5},
		{P95, "0:50 5:600 10:60", 5},
		{P95, "0:50 5:- 10:60", -1},
		{"|> 200||", "0:50 5:210 10:60", 5},
		{"|||> 200 for 1m", "0:50 5:210 10:60", 5},   /* begun is not ok */
		{"< 100 for 20s|||", "0:50 5:120 10:60", -1}, /* says itself how long */
		{"< 100 for 20s|> 110||", "0:50 5:120 10:60", 5},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t want = rows[i].broken < 0 ? 0 : BEGIN + (uint64_t)(rows[i].broken * 1e9);
		struct made m;

		make(&m, rows[i].bounds);
		feed(&m.g, rows[i].script);
		assert_int_equal(gate_broken_at(&m.g), want);
		gate_restart(&m.g);
		assert_int_equal(gate_broken_at(&m.g), 0);
		done(&m);
	}
}

static void an_ok_with_a_duration_must_have_held_for_it(void **state)
{
#define LONG_OK "< 100 for 20s|||"
	static const struct row rows[] = {
		{LONG_OK, "0:50", 0, GATE_INCONCLUSIVE, "50 < 100 for 0s of 20s"},
		{LONG_OK, "0:50 5:50 10:50 15:50", 15, GATE_INCONCLUSIVE,
		 "50 < 100 for 15s of 20s"},
		{LONG_OK, "0:50 5:50 10:50 15:50 20:50", 20, GATE_OK, "50 < 100 for 20s"},
		{LONG_OK, "0:50 5:50 10:50 15:150 20:50", 20, GATE_INCONCLUSIVE,
		 "50 < 100 for 0s of 20s"},
		{LONG_OK, "0:150", 0, GATE_INCONCLUSIVE, "150 is not < 100"},
	};

	(void)state;
	check_rows(rows, COUNT(rows), -1);
}

static void a_new_stage_knows_nothing_of_the_last(void **state)
{
	struct gate_verdict v;
	struct made m;

	(void)state;
	make(&m, "< 100|> 200|> 300|> 60 3 times");
	feed(&m.g, "0:400 5:400");
	gate_restart(&m.g);
	gate_judge(&m.g, BEGIN + 6 * SECOND, &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	feed(&m.g, "10:61");
	gate_judge(&m.g, BEGIN + 10 * SECOND, &v);
	assert_string_equal(v.why, "61 > 60 1 of 3 times");
	done(&m);
}

static void a_ready_verdict_is_passed_on_while_it_is_fresh(void **state)
{
	struct gate_verdict in = {.says = GATE_PAUSE,
				  .has_value = true,
				  .value = 0.7,
				  .at = BEGIN,
				  .why = "0.7% > 0.5%: 14 of 2,000"},
			    v;
	struct made m;

	(void)state;
	make(&m, P95);
	gate_given(&m.g, &in);
	gate_judge(&m.g, BEGIN + 5 * SECOND, &v);
	assert_int_equal(v.says, GATE_PAUSE);
	assert_string_equal(v.why, in.why);
	assert_int_equal(gate_broken_at(&m.g), BEGIN);
	gate_judge(&m.g, BEGIN + 18 * SECOND, &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	in.at = BEGIN + 20 * SECOND;
	in.says = GATE_INCONCLUSIVE; /* too few connections is no break of ok */
	gate_given(&m.g, &in);
	assert_int_equal(gate_broken_at(&m.g), BEGIN);
	gate_no_data(&m.g, BEGIN + 21 * SECOND, "the counters cannot be read");
	gate_judge(&m.g, BEGIN + 21 * SECOND, &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	assert_string_equal(v.why, "no data since 1.0s: the counters cannot be read");
	gate_restart(&m.g);
	gate_judge(&m.g, BEGIN + 22 * SECOND, &v);
	assert_string_equal(v.why, "no data yet");
	done(&m);
}

static void a_reload_keeps_what_was_seen_if_the_bounds_are_the_same(void **state)
{
	struct made a, b, c;
	struct gate_verdict v;

	(void)state;
	make(&a, "|||> 60 3 times");
	make(&b, "|||> 60 3 times");
	make(&c, "|||> 70 3 times");
	gate_set_baseline(&a.g, 5, false);
	feed(&a.g, "0:80 5:80");
	gate_use(&a.g, b.g.conf);
	feed(&a.g, "10:80");
	gate_judge(&a.g, BEGIN + 10 * SECOND, &v);
	assert_int_equal(v.says, GATE_ROLLBACK);
	gate_use(&a.g, c.g.conf);
	assert_true(a.g.has_baseline);
	gate_judge(&a.g, BEGIN + 10 * SECOND, &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	done(&a);
	done(&b);
	done(&c);
}

static void what_comes_too_late_is_left_out(void **state)
{
	struct gate_verdict v;
	struct made m;

	(void)state;
	make(&m, P95);
	feed(&m.g, "10:50 5:999");
	gate_judge(&m.g, BEGIN + 10 * SECOND, &v);
	assert_int_equal(v.says, GATE_OK);
	assert_true(v.value == 50);
	done(&m);
}

/* A thousand random days: the run of a bound is what a second reading of all values says. */
static void runs_agree_with_a_second_reading(void **state)
{
	struct made m;

	(void)state;
	make(&m, "|||> 500 for 30s");
	srand48(7);
	for (unsigned int day = 0; day < 1000; day++) {
		uint64_t at[200], now = BEGIN;
		bool held[200];
		unsigned int n = 0;

		gate_restart(&m.g);
		for (unsigned int i = 0; i < 200; i++) {
			struct gate_verdict v;
			uint64_t since;
			unsigned int j;

			now += (uint64_t)((drand48() < .05 ? 20 : 5) * 1e9);
			if (drand48() < .1) {
				gate_no_data(&m.g, now, "x");
				continue;
			}
			at[n] = now;
			held[n] = drand48() < .9;
			gate_observe(&m.g, now, held[n] ? 501 : 500);
			n++;
			for (j = n;
			     j && held[j - 1] && (j == n || at[j] - at[j - 1] <= 15 * SECOND);)
				j--;
			since = j < n ? at[j] : now;
			gate_judge(&m.g, now, &v);
			assert_int_equal(v.says == GATE_ROLLBACK,
					 j < n && now - since >= 30 * SECOND);
			assert_int_equal(v.says == GATE_OK, j == n);
		}
	}
	done(&m);
}

static void names_and_numbers_read_as_they_are_written(void **state)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = {
		{0, "0"},	    {0.04, "0.04"},	  {212, "212"}, {212.345, "212.3"},
		{776000, "776000"}, {1234567, "1234567"}, {-5, "-5"},	{0.000012345, "1.234e-05"}};
	char text[32];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(gate_number(rows[i].value, text), rows[i].text);
	for (int i = GATE_OK; i <= GATE_ROLLBACK; i++)
		assert_int_equal(gate_says_parse(gate_says_name((enum gate_says)i)), i);
	assert_int_equal(gate_says_parse("fine"), -EINVAL);
	assert_int_equal(gate_says_parse(NULL), -EINVAL);
}

/* "errors" with the runbook's bounds: which class a number is of, and when. */
static void numbers_are_of_the_runbook_s_classes(void **state)
{
	static const struct {
		double value;
		const char *at_once, *after_10m; /* NULL: of none */
	} rows[] = {
		{0.05, NULL, NULL},
		{0.3, "monitor", "monitor"}, /* not ok, and nothing acts */
		{0.7, "monitor", "monitor"},
		{1.5, "monitor", "planned"},
		{6, "immediate", "immediate"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct gate_verdict v;
		uint64_t at = BEGIN;
		struct made m;

		make(&m, "< 0.1%|> 0.5%||> 5%;> 1% for 10m");
		gate_judge(&m.g, at, &v);
		assert_null(gate_class(&v)); /* no data is no class */
		gate_observe(&m.g, at, rows[i].value);
		gate_judge(&m.g, at, &v);
		if (rows[i].at_once)
			assert_string_equal(gate_class(&v), rows[i].at_once);
		else
			assert_null(gate_class(&v));
		while (at < BEGIN + 601 * SECOND) {
			at += 5 * SECOND;
			gate_observe(&m.g, at, rows[i].value);
		}
		gate_judge(&m.g, at, &v);
		if (rows[i].after_10m)
			assert_string_equal(gate_class(&v), rows[i].after_10m);
		else
			assert_null(gate_class(&v));
		done(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bound_acts_at_once_and_is_named_as_it_is_written),
		cmocka_unit_test(without_an_ok_bound_what_holds_nothing_is_ok),
		cmocka_unit_test(a_duration_is_what_was_seen_without_a_break),
		cmocka_unit_test(times_are_in_a_row),
		cmocka_unit_test(no_data_is_never_a_pass),
		cmocka_unit_test(a_drop_is_against_the_baseline),
		cmocka_unit_test(a_baseline_is_the_median_of_what_was_seen),
		cmocka_unit_test(a_baseline_of_nothing_cannot_be_fallen_below),
		cmocka_unit_test(the_hold_begins_anew_where_ok_broke),
		cmocka_unit_test(an_ok_with_a_duration_must_have_held_for_it),
		cmocka_unit_test(a_new_stage_knows_nothing_of_the_last),
		cmocka_unit_test(a_ready_verdict_is_passed_on_while_it_is_fresh),
		cmocka_unit_test(a_reload_keeps_what_was_seen_if_the_bounds_are_the_same),
		cmocka_unit_test(what_comes_too_late_is_left_out),
		cmocka_unit_test(numbers_are_of_the_runbook_s_classes),
		cmocka_unit_test(runs_agree_with_a_second_reading),
		cmocka_unit_test(names_and_numbers_read_as_they_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
