/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ramp_rig.h"

/* ---- what gates do ---- */

static void what_a_gate_says_in_every_state(void **state)
{
	static const struct {
		enum gate_says says;
		enum ramp_state in;
		uint8_t authority;
		bool old_unhealthy;
		enum ramp_state then;
		int weight; /* −1: as it was */
		bool alarm;
	} rows[] = {
		{GATE_ROLLBACK, RAMP_HOLDING, 1, false, RAMP_ROLLED_BACK, 0, false},
		{GATE_ROLLBACK, RAMP_PAUSED, 1, false, RAMP_ROLLED_BACK, 0, false},
		{GATE_ROLLBACK, RAMP_PROMOTING, 1, false, RAMP_ROLLED_BACK, 0, false},
		{GATE_ROLLBACK, RAMP_DONE, 1, false, RAMP_ROLLED_BACK, 0, false},
		{GATE_ROLLBACK, RAMP_IDLE, 1, false, RAMP_IDLE, -1, false},
		{GATE_ROLLBACK, RAMP_ROLLED_BACK, 1, false, RAMP_ROLLED_BACK, -1, false},
		{GATE_ROLLBACK, RAMP_HOLDING, 0, false, RAMP_ROLLED_BACK, 0, false},
		{GATE_ROLLBACK, RAMP_HOLDING, 1, true, RAMP_PAUSED, -1, true},
		{GATE_ROLLBACK, RAMP_PAUSED, 1, true, RAMP_PAUSED, -1, true},
		{GATE_ROLLBACK, RAMP_PROMOTING, 1, true, RAMP_PAUSED, -1, true},
		{GATE_ROLLBACK, RAMP_DONE, 1, true, RAMP_DONE, -1, true},
		{GATE_ROLLBACK, RAMP_HOLDING, 2, false, RAMP_PAUSED, -1, true},
		{GATE_ROLLBACK, RAMP_PAUSED, 2, false, RAMP_PAUSED, -1, true},
		{GATE_ROLLBACK, RAMP_PROMOTING, 2, false, RAMP_PAUSED, -1, true},
		{GATE_ROLLBACK, RAMP_DONE, 2, false, RAMP_DONE, -1, true},
		{GATE_BACK, RAMP_HOLDING, 1, false, RAMP_PAUSED, 1000, true},
		{GATE_BACK, RAMP_PAUSED, 1, false, RAMP_PAUSED, 1000, true},
		{GATE_BACK, RAMP_PROMOTING, 1, false, RAMP_PAUSED, 1000, true},
		{GATE_BACK, RAMP_DONE, 1, false, RAMP_DONE, -1, false}, /* monitor */
		{GATE_BACK, RAMP_HOLDING, 1, true, RAMP_PAUSED, -1, true},
		{GATE_BACK, RAMP_HOLDING, 2, false, RAMP_PAUSED, -1, true},
		{GATE_BACK, RAMP_DONE, 2, false, RAMP_DONE, -1, true},
		{GATE_BACK, RAMP_IDLE, 1, false, RAMP_IDLE, -1, false},
		{GATE_PAUSE, RAMP_HOLDING, 1, false, RAMP_PAUSED, -1, true},
		{GATE_PAUSE, RAMP_PAUSED, 1, false, RAMP_PAUSED, -1, false},
		{GATE_PAUSE, RAMP_PROMOTING, 1, false, RAMP_PAUSED, -1, true},
		{GATE_PAUSE, RAMP_DONE, 1, false, RAMP_DONE, -1, false}, /* monitor */
		{GATE_PAUSE, RAMP_DONE, 2, false, RAMP_DONE, -1, true},
		{GATE_PAUSE, RAMP_HOLDING, 2, false, RAMP_PAUSED, -1, true},
		{GATE_PAUSE, RAMP_PAUSED, 2, false, RAMP_PAUSED, -1, true},
		{GATE_PAUSE, RAMP_IDLE, 1, false, RAMP_IDLE, -1, false},
		{GATE_INCONCLUSIVE, RAMP_HOLDING, 1, false, RAMP_HOLDING, -1, false},
		{GATE_INCONCLUSIVE, RAMP_PROMOTING, 1, false, RAMP_PROMOTING, -1, false},
		{GATE_INCONCLUSIVE, RAMP_PAUSED, 1, false, RAMP_PAUSED, -1, false},
		{GATE_INCONCLUSIVE, RAMP_DONE, 2, false, RAMP_DONE, -1, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint16_t weight;
		struct rig x;

		rig_make(&x);
		rig_bring(&x, rows[i].in);
		weight = x.v.weight;
		x.v.authority = rows[i].authority;
		x.v.old_unhealthy = rows[i].old_unhealthy;
		rig_gate(&x, 0, rows[i].says, "the evidence");
		rig_run(&x, 1);
		if (x.r.saved.state != rows[i].then)
			print_error("row %zu\n", i);
		rig_state_is(&x, rows[i].then);
		assert_int_equal(x.v.weight, rows[i].weight < 0 ? weight : rows[i].weight);
		assert_int_equal(x.alarms > 0, rows[i].alarm);
		if (rows[i].alarm)
			rig_says(x.last_alarm, "the evidence");
		/* It stays so, and is said once. */
		rig_run(&x, 300);
		rig_state_is(&x, rows[i].then);
		assert_int_equal(x.v.weight, rows[i].weight < 0 ? weight : rows[i].weight);
		assert_int_equal(x.alarms, rows[i].alarm);
		rig_free(&x);
	}
}

static void all_backends_down_is_an_immediate_rollback(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	x.v.all_down = true;
	rig_run(&x, 1);
	rig_state_is(&x, RAMP_ROLLED_BACK);
	assert_int_equal(x.v.weight, 0);
	rig_says(ramp_reason(&x.r), "every backend is down");
	rig_free(&x);
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	x.v.authority = SHIFT_AUTHORITY_NEW;
	x.v.all_down = true;
	rig_run(&x, 10);
	rig_state_is(&x, RAMP_PAUSED);
	assert_int_equal(x.v.weight, 2500);
	assert_int_equal(x.alarms, 1);
	rig_free(&x);
}

static void the_rollback_stands_before_everything_that_waits(void **state)
{
	struct ramp_out *out = malloc(sizeof(*out));
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
	rig_bring(&x, RAMP_HOLDING);
	rig_gate(&x, 0, GATE_ROLLBACK, "6% > 5%");
	x.v.journal_failed = true;
	ramp_step(&x.r, &x.v, x.now + RIG_SECOND, out);
	assert_int_equal(out->n, 2);
	assert_int_equal(out->action[0].what, RAMP_JOURNAL);
	assert_false(out->action[0].recorded);
	assert_int_equal(out->action[1].what, RAMP_ROLLBACK);
	assert_false(out->action[1].recorded);
	rig_says(out->action[1].reason, "rollback (immediate): gate errors: 6% > 5%");
	assert_string_equal(out->action[1].who, "shiftd");
	/* Hooks come after it, once, and wait for the journal. */
	rig_carry_out_all(&x, out);
	rig_run(&x, 10);
	assert_string_equal(x.log, "weight 10|weight 25|rollback");
	rig_in_time(&x);
	rig_run(&x, 10);
	assert_string_equal(x.log, "weight 10|weight 25|rollback|on rollback");
	free(out);
	rig_free(&x);
}

static void classes_are_told_apart(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_gate(&x, 0, GATE_ROLLBACK, "1.2% > 1% for 10m");
	x.gates[0].verdict.sustained = true;
	rig_run(&x, 1);
	rig_says(ramp_reason(&x.r), "rollback (planned): gate errors: 1.2% > 1% for 10m");
	rig_free(&x);
}

static void a_gate_goes_back_one_stage_and_no_further(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_say(&x, RAMP_NEXT);
	rig_run(&x, 2);
	assert_int_equal(x.v.weight, 5000);
	rig_gate(&x, 1, GATE_BACK, "610000 is 21% below");
	rig_run(&x, 100);
	assert_int_equal(x.v.weight, 2500);
	assert_false(x.v.latched);
	rig_state_is(&x, RAMP_PAUSED);
	assert_int_equal(x.r.saved.stage, 2);
	/* Resumed against it, it is refused; once it is over, it goes on. */
	assert_int_equal(rig_say(&x, RAMP_RESUME), 3);
	rig_gate(&x, 1, GATE_OK, "fine");
	assert_int_equal(rig_say(&x, RAMP_RESUME), 0);
	rig_gate(&x, 1, GATE_BACK, "again");
	rig_run(&x, 5);
	assert_int_equal(x.v.weight, 1000);
	/* From the first stage it goes to nothing, and a resume begins with the first. */
	rig_gate(&x, 1, GATE_OK, "fine");
	rig_say(&x, RAMP_RESUME);
	rig_gate(&x, 1, GATE_BACK, "again");
	rig_run(&x, 5);
	assert_int_equal(x.v.weight, 0);
	assert_false(x.v.latched);
	rig_state_is(&x, RAMP_PAUSED);
	rig_gate(&x, 1, GATE_INCONCLUSIVE, "nobody is there"); /* nothing can be known at 0 % */
	rig_say(&x, RAMP_RESUME);
	rig_run(&x, 3);
	assert_int_equal(x.v.weight, 1000);
	rig_free(&x);
}

static void a_foreign_lock_holds_a_gate_that_would_go_back(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_lock(&x);
	rig_gate(&x, 1, GATE_BACK, "21% below");
	rig_run(&x, 5);
	assert_int_equal(x.v.weight, 2500);
	rig_state_is(&x, RAMP_PAUSED);
	assert_int_equal(x.alarms, 1);
	rig_gate(&x, 1, GATE_ROLLBACK, "51% below"); /* a rollback it does not hold */
	rig_run(&x, 1);
	assert_int_equal(x.v.weight, 0);
	rig_free(&x);
}

static void unproven_passes_over_a_gate_until_it_says_something_else(void **state)
{
	struct ramp_reply reply;
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_gate(&x, 1, GATE_PAUSE, "212 > 200");
	rig_run(&x, 1);
	rig_state_is(&x, RAMP_PAUSED);
	assert_int_equal(rig_say_flags(&x, "alice", RAMP_RESUME, RAMP_UNPROVEN, &reply), 0);
	rig_run(&x, 5);
	rig_state_is(&x, RAMP_HOLDING);
	rig_gate(&x, 1, GATE_OK, "50 < 100");
	rig_run(&x, 1);
	rig_gate(&x, 1, GATE_PAUSE, "213 > 200");
	rig_run(&x, 1);
	rig_state_is(&x, RAMP_PAUSED);
	/* Of a rollback it passes nothing. */
	rig_say_flags(&x, "alice", RAMP_RESUME, RAMP_UNPROVEN, &reply);
	rig_gate(&x, 1, GATE_ROLLBACK, "600 > 500");
	rig_run(&x, 1);
	rig_state_is(&x, RAMP_ROLLED_BACK);
	rig_free(&x);
}

/* ---- what control answers ---- */

static void an_overtaken_raise_looks_again(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	x.weight = RAMP_OVERTAKEN;
	rig_run(&x, 65);
	assert_int_equal(x.v.weight, 2500);
	rig_state_is(&x, RAMP_PROMOTING);
	x.weight = RAMP_DID;
	rig_run(&x, 1);
	assert_int_equal(x.v.weight, 5000);
	rig_free(&x);
	/* By a rollback: it is obeyed. */
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	x.weight = RAMP_OVERTAKEN;
	rig_run(&x, 65);
	rig_latch(&x, "bob");
	x.weight = RAMP_DID;
	rig_run(&x, 5);
	rig_state_is(&x, RAMP_ROLLED_BACK);
	assert_int_equal(x.v.weight, 0);
	rig_free(&x);
}

static void a_raise_that_fails_pauses_and_alarms(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	x.weight = RAMP_FAILED;
	rig_run(&x, 100);
	rig_state_is(&x, RAMP_PAUSED);
	assert_int_equal(x.alarms, 1);
	rig_says(ramp_reason(&x.r), "50% could not be set: the kernel refused");
	x.weight = RAMP_DID;
	rig_say(&x, RAMP_RESUME);
	rig_run(&x, 2);
	assert_int_equal(x.v.weight, 5000);
	rig_free(&x);
}

static void a_rollback_that_fails_is_tried_again(void **state)
{
	for (unsigned int by_hand = 0; by_hand < 2; by_hand++) {
		struct rig x;

		(void)state;
		rig_make(&x);
		rig_bring(&x, RAMP_HOLDING);
		x.rollback = RAMP_FAILED;
		x.log[0] = '\0';
		if (by_hand)
			rig_say(&x, RAMP_ABORT);
		else
			rig_gate(&x, 0, GATE_ROLLBACK, "6% > 5%");
		rig_run(&x, 3);
		assert_int_equal(x.v.weight, 2500);
		assert_int_equal(x.alarms, 1);
		rig_gate(&x, 0, GATE_OK, "fine"); /* decided is decided */
		x.v.old_unhealthy = by_hand;	  /* an operator's is held back by nothing */
		x.rollback = RAMP_DID;
		rig_run(&x, 2);
		rig_state_is(&x, RAMP_ROLLED_BACK);
		assert_int_equal(x.v.weight, 0);
		rig_free(&x);
	}
}

static void what_is_told_when_authority_is_new(void **state)
{
	struct ramp_reply reply;
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_DONE);
	x.v.authority = SHIFT_AUTHORITY_NEW;
	rig_run(&x, 1);
	assert_int_equal(rig_say_flags(&x, "alice", RAMP_BACK, 0, &reply), 0);
	rig_says(reply.text, "later writes are NOT on old");
	assert_int_equal(x.v.weight, 7500);
	assert_int_equal(rig_say_flags(&x, "alice", RAMP_ABORT, 0, &reply), 0);
	rig_says(reply.text, "later writes are NOT on old");
	assert_int_equal(x.v.weight, 0);
	rig_free(&x);
}

static void an_alarm_is_repeated_only_after_quiet(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_DONE);
	x.v.authority = SHIFT_AUTHORITY_NEW;
	for (unsigned int i = 0; i < 550; i++) { /* to and fro around the bound */
		rig_gate(&x, 1, i % 2 ? GATE_PAUSE : GATE_OK, "201 > 200");
		rig_run(&x, 1);
	}
	assert_int_equal(x.alarms, 1);
	rig_gate(&x, 1, GATE_OK, "fine");
	rig_run(&x, 100);
	rig_gate(&x, 1, GATE_PAUSE, "201 > 200");
	rig_run(&x, 100);
	assert_int_equal(x.alarms, 2);
	rig_free(&x);
}

/* Paused before the commit, by whatever: after it nothing goes back by itself. */
static void a_paused_ramp_alarms_after_the_commit_too(void **state)
{
	for (unsigned int by_gate = 0; by_gate < 2; by_gate++) {
		struct rig x;

		(void)state;
		rig_make(&x);
		rig_bring(&x, by_gate ? RAMP_HOLDING : RAMP_PAUSED);
		rig_gate(&x, 1, GATE_PAUSE, "212 > 200");
		rig_run(&x, 5);
		rig_state_is(&x, RAMP_PAUSED);
		assert_int_equal(x.alarms, by_gate);
		x.v.authority = SHIFT_AUTHORITY_NEW;
		rig_run(&x, 50);
		assert_int_equal(x.alarms, by_gate + 1);
		assert_string_equal(x.last_alarm, "gate p95: 212 > 200; authority is new, so the "
						  "share is held");
		rig_free(&x);
	}
}

static void without_a_program_nothing_is_done(void **state)
{
	struct ramp_reply reply;
	struct ramp_view was;
	struct rig x;
	uint64_t left;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	left = ramp_hold_left(&x.r);
	was = x.v;
	x.v.attached = false;
	x.v.weight = 0;
	x.v.epoch = 0;
	rig_run(&x, 100);
	rig_state_is(&x, RAMP_HOLDING);
	assert_int_equal(rig_say_flags(&x, "alice", RAMP_ABORT, 0, &reply), 0);
	rig_says(reply.text, "nothing is attached");
	/* Nor was it a hold. */
	x.v.attached = true;
	x.v.weight = was.weight;
	x.v.epoch = was.epoch;
	rig_run(&x, 3);
	rig_state_is(&x, RAMP_HOLDING);
	assert_int_equal(ramp_hold_left(&x.r), left - 2 * RIG_SECOND);
	rig_free(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_gate_says_in_every_state),
		cmocka_unit_test(all_backends_down_is_an_immediate_rollback),
		cmocka_unit_test(the_rollback_stands_before_everything_that_waits),
		cmocka_unit_test(classes_are_told_apart),
		cmocka_unit_test(a_gate_goes_back_one_stage_and_no_further),
		cmocka_unit_test(a_foreign_lock_holds_a_gate_that_would_go_back),
		cmocka_unit_test(unproven_passes_over_a_gate_until_it_says_something_else),
		cmocka_unit_test(an_overtaken_raise_looks_again),
		cmocka_unit_test(a_raise_that_fails_pauses_and_alarms),
		cmocka_unit_test(a_rollback_that_fails_is_tried_again),
		cmocka_unit_test(what_is_told_when_authority_is_new),
		cmocka_unit_test(an_alarm_is_repeated_only_after_quiet),
		cmocka_unit_test(a_paused_ramp_alarms_after_the_commit_too),
		cmocka_unit_test(without_a_program_nothing_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
