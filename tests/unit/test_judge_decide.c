/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_judge_decide.c - what the judge says when, and in which words
 *
 * The numbers in the words were computed with mpmath, as those of test_judge.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/ctl/judge.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

struct bench {
	struct judge_test failures, split;
	const struct judge_test *tests[1];
	struct judge_gate gate;
	struct judge_input in;
	struct judge_decision d;
};

/* All is well: 1 of 40,000 fails, alike in both arms. */
static void set_up(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	b->failures = (struct judge_test){.name = "failures", .by_client = true};
	b->split = (struct judge_test){.name = "split", .two_sided = true};
	b->tests[0] = &b->failures;
	b->gate = (struct judge_gate){
		.name = "errors",
		.of = "connections",
		.ok = {true, 0.001, {40000, 6}},
		.pause = {true, 0.005, {3000, 0}},
		.rollback = {true, 0.05, {3000, 0}},
	};
	judge_feed(&b->failures, 3, 0.25, 20, 6);
	judge_feed(&b->split, 3, 0.25, 3000, 1000);
	b->in = (struct judge_input){
		.last_10s = {500, 0},
		.stage_begun = 40000,
		.source = "198.51.100.7",
		.source_share = 0.04,
		.split = &b->split,
		.split_of = "clients",
		.test = b->tests,
		.tests = 1,
		.gate = &b->gate,
		.gates = 1,
	};
}

static void decides(struct bench *b, enum judge_verdict verdict, const char *name, const char *why)
{
	judge_decide(&judge_usual, &b->in, &b->d);
	assert_string_equal(b->d.name ? b->d.name : "", name);
	assert_string_equal(b->d.why, why);
	assert_int_equal(b->d.verdict, verdict);
}

static void all_is_well_only_with_a_certificate(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	decides(&b, JUDGE_OK, "errors", "6 of 40000 connections: surely < 0.1%, at most 0.0415%");
	b.gate.ok.seen = (struct judge_counts){1800, 1};
	decides(&b, JUDGE_INCONCLUSIVE, "errors",
		"1 of 1800 connections: need ~38k more at this rate to be sure of < 0.1%");
	assert_int_equal(b.d.gate[0].more, 37553);
	b.gate.ok.seen = (struct judge_counts){3000, 6};
	decides(&b, JUDGE_INCONCLUSIVE, "errors",
		"0.2% of 3000 connections is not < 0.1%: need ~13k more without a bad one");
	b.gate.ok.seen = (struct judge_counts){143, 0};
	decides(&b, JUDGE_INCONCLUSIVE, "errors", "143 connections, of 200 needed");
	assert_int_equal(b.d.gate[0].more, 57);
}

static void no_data_never_passes(void **state)
{
	struct judge_input nothing = {0};
	struct judge_decision d;
	struct bench b;

	(void)state;
	judge_decide(&judge_usual, &nothing, &d);
	assert_int_equal(d.verdict, JUDGE_INCONCLUSIVE);
	assert_string_equal(d.why, "there is nothing to judge by");
	set_up(&b);
	b.gate.pause.seen = b.gate.rollback.seen = (struct judge_counts){0, 0};
	decides(&b, JUDGE_INCONCLUSIVE, "errors", "0 connections, of 200 needed");
	set_up(&b);
	b.gate.ok.seen = (struct judge_counts){0, 0};
	decides(&b, JUDGE_INCONCLUSIVE, "errors", "0 connections, of 200 needed");
	set_up(&b);
	b.gate.ok.given = b.gate.pause.given = b.gate.rollback.given = false;
	decides(&b, JUDGE_INCONCLUSIVE, "errors", "no limit is given");
	set_up(&b);
	b.in.stage_begun = 10;
	decides(&b, JUDGE_INCONCLUSIVE, "failures", "10 connections on new, of 200 needed");
	set_up(&b);
	b.in.gates = JUDGE_GATES + 1;
	decides(&b, JUDGE_INCONCLUSIVE, "", "more than 8 tests or 32 gates");
}

/* With so few failures that nothing can be compared, a certified gate suffices; nothing else does.
 */
static void a_silent_comparison_needs_a_certified_gate(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	judge_clear(&b.failures);
	judge_feed(&b.failures, 3, 0.25, 2, 1);
	decides(&b, JUDGE_OK, "errors", "6 of 40000 connections: surely < 0.1%, at most 0.0415%");
	assert_string_equal(
		b.d.test[0].why,
		"3 in both arms, of 5 needed to compare: ~27k more connections at this rate");
	b.in.gates = 0;
	decides(&b, JUDGE_INCONCLUSIVE, "failures",
		"3 in both arms, of 5 needed to compare: ~27k more connections at this rate");
	{ /* another comparison that is content is no certificate */
		struct judge_test slow = {.name = "slow"};
		const struct judge_test *both[] = {&b.failures, &slow};

		judge_feed(&slow, 3, 0.25, 30, 8);
		b.in.test = both;
		b.in.tests = 2;
		decides(&b, JUDGE_INCONCLUSIVE, "failures",
			"3 in both arms, of 5 needed to compare: ~27k more connections at this rate");
		assert_int_equal(b.d.test[1].verdict, JUDGE_OK);
		b.in.gates = 1;
		decides(&b, JUDGE_OK, "errors",
			"6 of 40000 connections: surely < 0.1%, at most 0.0415%");
		b.in.gates = 0;
		b.in.test = b.tests;
		b.in.tests = 1;
	}
	judge_feed(&b.failures, 4, 1, 0, 2);
	decides(&b, JUDGE_INCONCLUSIVE, "failures", "one arm has it all: nothing to compare with");
}

/* At 100 % a source that would void the comparison voids nothing, and holds no ramp. */
static void with_one_arm_no_source_is_too_big(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	b.in.source_share = 0.9;
	judge_feed(&b.failures, 4, 1, 0, 2);
	decides(&b, JUDGE_OK, "errors", "6 of 40000 connections: surely < 0.1%, at most 0.0415%");
	assert_true(b.d.test[0].silent);
	assert_string_equal(b.d.test[0].why, "one arm has it all: nothing to compare with");
	b.in.stage_begun = 10;
	decides(&b, JUDGE_INCONCLUSIVE, "failures", "10 connections on new, of 200 needed");
	b.in.stage_begun = 40000;
	b.in.source_share = 0.04;
	judge_feed(&b.failures, 3, 0.25, 20, 30); /* what alarmed before goes on to do so, */
	judge_feed(&b.failures, 4, 1, 0, 2);
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_int_equal(b.d.verdict, JUDGE_PAUSE);
	b.in.source_share = 0.9; /* but what was void is no alarm */
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_int_equal(b.d.verdict, JUDGE_OK);
}

static void windows_act_on_the_plain_rate_and_the_worst_wins(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	b.gate.pause.seen.bad = b.gate.rollback.seen.bad = 15; /* exactly the limit */
	decides(&b, JUDGE_OK, "errors", "6 of 40000 connections: surely < 0.1%, at most 0.0415%");
	b.gate.pause.seen.bad = b.gate.rollback.seen.bad = 16;
	decides(&b, JUDGE_PAUSE, "errors", "0.533% of 3000 connections, over 0.5%");
	b.gate.back = (struct judge_limit){true, 0.004, {3000, 16}};
	decides(&b, JUDGE_BACK, "errors", "0.533% of 3000 connections, over 0.4%");
	b.gate.pause.seen.bad = b.gate.rollback.seen.bad = 160;
	decides(&b, JUDGE_ROLLBACK, "errors", "5.33% of 3000 connections, over 5%");
	b.gate.pause.seen = b.gate.rollback.seen = b.gate.back.seen =
		(struct judge_counts){199, 199};
	decides(&b, JUDGE_INCONCLUSIVE, "errors", "199 connections, of 200 needed");
}

static void the_trip_wire_needs_rate_and_numbers(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	b.in.last_10s = (struct judge_counts){199, 10};
	decides(&b, JUDGE_ROLLBACK, "trip-wire",
		"10 of 199 connections begun in the last 10 s failed (5.03%), over 5%");
	b.in.last_10s = (struct judge_counts){200, 10};
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_int_equal(b.d.verdict, JUDGE_OK);
	b.in.last_10s = (struct judge_counts){100, 9};
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_int_equal(b.d.verdict, JUDGE_OK);
	b.in.last_10s = (struct judge_counts){49, 49};
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_int_equal(b.d.verdict, JUDGE_OK);
	b.in.last_10s = (struct judge_counts){50, 10};
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_int_equal(b.d.verdict, JUDGE_ROLLBACK);
	b.in.last_10s = (struct judge_counts){0, 0};
	b.in.all_down = true;
	decides(&b, JUDGE_ROLLBACK, "trip-wire", "every backend is down");
}

static void new_worse_than_old_pauses_and_says_how_much(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	judge_feed(&b.failures, 3, 0.25, 20, 30);
	decides(&b, JUDGE_PAUSE, "failures",
		"new is 4.5 times as bad as old, surely 1.4: 30 against 20 (+44 dB)");
	judge_clear(&b.failures);
	judge_feed(&b.failures, 3, 0.25, 0, 30);
	decides(&b, JUDGE_PAUSE, "failures",
		"new is surely 2.5 times as bad as old, which has none: 30 against 0 (+98 dB)");
	judge_clear(&b.failures);
	judge_feed(&b.failures, 3, 0.5, 0, 7);
	decides(&b, JUDGE_INCONCLUSIVE, "failures",
		"new may be worse: 7 against 0 of old, ratio over 0.49; ~48k more connections "
		"would tell");
	set_up(&b);
	judge_feed(&b.failures, 3, 0.25, 20, 14); /* eight in a row */
	decides(&b, JUDGE_PAUSE, "failures",
		"new got worse lately: 14 against 20 of old in all (+27 dB)");
	judge_clear(&b.failures);
	judge_feed(&b.failures, 3, 0.25, 20, 14);
	decides(&b, JUDGE_INCONCLUSIVE, "failures",
		"new may be worse: 14 against 20 of old, ratio 0.65..6.3; ~54k more connections "
		"would tell");
	set_up(&b);
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_string_equal(b.d.test[0].why, "no sign that new is worse: 6 against 20 of old, "
					     "ratio 0.19..3.1 (-2 dB)");
}

static void a_wrong_split_voids_praise_and_comparison_but_not_plain_rates(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	judge_feed(&b.split, 3, 0.25, 3000, 1500);
	judge_feed(&b.failures, 3, 0.25, 20, 30);
	decides(&b, JUDGE_PAUSE, "split",
		"33.3% of 4500 clients are on new, 25% should be (p 3e-33): no comparison holds");
	assert_int_equal(b.d.test[0].verdict, JUDGE_INCONCLUSIVE);
	assert_int_equal(b.d.gate[0].verdict, JUDGE_INCONCLUSIVE);
	b.gate.rollback.seen.bad = 200;
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_int_equal(b.d.verdict, JUDGE_ROLLBACK);
}

/* Not the newest epoch, of which nothing or little may be known. */
static void a_wrong_split_is_shown_where_it_was_wrong(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	judge_feed(&b.split, 3, 0.25, 3000, 1500);
	judge_feed(&b.split, 4, 0.5, 0, 0);
	decides(&b, JUDGE_PAUSE, "split",
		"33.3% of 4500 clients were on new, 25% should have been (p 3e-33): no comparison "
		"holds");
	judge_feed(&b.split, 4, 0.5, 2, 1);
	decides(&b, JUDGE_PAUSE, "split",
		"33.3% of 4500 clients were on new, 25% should have been (p 3e-33): no comparison "
		"holds");
	assert_true(fabs(b.d.split.value - 1.0 / 3) < 1e-12);
	assert_true(b.d.split.should == 0.25);
	judge_feed(&b.split, 3, 0.25, 1, 1); /* the counters began anew */
	decides(&b, JUDGE_PAUSE, "split",
		"33.3% of 4502 clients were on new, 25% should have been (p 2e-33): no comparison "
		"holds");
	judge_clear(&b.split);
	judge_feed(&b.split, 3, 0.25, 3000, 1500);
	judge_feed(&b.split, 3, 0.25, 5400, 1800); /* it came right */
	decides(&b, JUDGE_PAUSE, "split",
		"clients were not split as they should be before (p 3e-33): no comparison holds");
	judge_clear(&b.split);
	judge_feed(&b.split, 3, 0.25, 3000, 1500);
	for (uint64_t epoch = 4; epoch < 4 + JUDGE_EPOCHS; epoch++)
		judge_feed(&b.split, epoch, 0.5, 20, 20);
	assert_int_equal(b.split.put_away, 1);
	decides(&b, JUDGE_PAUSE, "split",
		"clients were not split as they should be before (p 3e-33): no comparison holds");
}

static void a_split_says_how_many_it_needs(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_int_equal(b.d.split.verdict, JUDGE_OK);
	assert_string_equal(b.d.split.why, "25% of 4000 clients are on new, 25% should be");
	judge_clear(&b.split);
	judge_feed(&b.split, 3, 0.25, 121, 20);
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_int_equal(b.d.split.verdict, JUDGE_INCONCLUSIVE);
	assert_true(b.d.split.silent);
	assert_string_equal(b.d.split.why, "141 clients, of 200 needed to tell");
	assert_int_equal(b.d.split.more, 59);
	assert_int_equal(b.d.verdict, JUDGE_OK); /* the gates are content */
	judge_feed(&b.split, 3, 0.25, 121, 121); /* what is certain with fewer counts */
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_int_equal(b.d.verdict, JUDGE_PAUSE);
}

static void one_large_source_voids_counting_by_client_and_is_named(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	b.in.source_share = 0.31;
	judge_feed(&b.failures, 3, 0.25, 20, 60);
	decides(&b, JUDGE_INCONCLUSIVE, "failures",
		"198.51.100.7 has 31% of the flows: failures cannot be counted once per client");
	b.failures.by_client = false;
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_int_equal(b.d.verdict, JUDGE_PAUSE);
	/* what counts raw is not touched */
	b.failures.by_client = true;
	b.in.last_10s = (struct judge_counts){100, 20};
	judge_decide(&judge_usual, &b.in, &b.d);
	assert_int_equal(b.d.verdict, JUDGE_ROLLBACK);
}

static void alpha_is_spent_on_all_that_can_alarm(void **state)
{
	struct judge_test t = {.name = "a"}, quiet = {.name = "b"};
	const struct judge_test *tests[] = {&t, &quiet, &quiet, &quiet};
	struct judge_input in = {.stage_begun = 1000, .test = tests, .tests = 1};
	struct judge_decision d;
	unsigned int new = 0;

	(void)state;
	judge_feed(&quiet, 1, 0.25, 30, 6);
	/* enough for .05, four fifths of which are for this statistic, but not for a quarter of it
	 */
	while (t.best < log(25) + 0.1) {
		judge_clear(&t);
		judge_feed(&t, 1, 0.25, 20, ++new);
	}
	assert_true(t.best < log(100) && t.best_lately < log(400));
	judge_decide(&judge_usual, &in, &d);
	assert_int_equal(d.verdict, JUDGE_PAUSE);
	in.tests = 4;
	judge_decide(&judge_usual, &in, &d);
	assert_int_equal(d.verdict, JUDGE_INCONCLUSIVE);
}

static void counts_read_well(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} rows[] = {
		{0, "0"},
		{850, "850"},
		{999, "999"},
		{1000, "~1k"},
		{5474, "~5.5k"},
		{6000, "~6k"},
		{12417, "~12k"},
		{999499, "~999k"},
		{999500, "~1M"},
		{1300000, "~1.3M"},
		{UINT64_C(2000000000), "~2G"},
	};
	char text[16];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(judge_count_text(rows[i].n, text, sizeof(text)), rows[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_well_only_with_a_certificate),
		cmocka_unit_test(no_data_never_passes),
		cmocka_unit_test(a_silent_comparison_needs_a_certified_gate),
		cmocka_unit_test(with_one_arm_no_source_is_too_big),
		cmocka_unit_test(windows_act_on_the_plain_rate_and_the_worst_wins),
		cmocka_unit_test(the_trip_wire_needs_rate_and_numbers),
		cmocka_unit_test(new_worse_than_old_pauses_and_says_how_much),
		cmocka_unit_test(a_wrong_split_voids_praise_and_comparison_but_not_plain_rates),
		cmocka_unit_test(a_wrong_split_is_shown_where_it_was_wrong),
		cmocka_unit_test(a_split_says_how_many_it_needs),
		cmocka_unit_test(one_large_source_voids_counting_by_client_and_is_named),
		cmocka_unit_test(alpha_is_spent_on_all_that_can_alarm),
		cmocka_unit_test(counts_read_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
