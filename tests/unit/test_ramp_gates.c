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

/* ---- the soak after the last stage ---- */

struct seen { /* of events in the journal, and told */
	unsigned int monitor, over, told, rollback_checked;
	char reason[RAMP_TEXT];
};

static struct seen seen;

static void count_events(struct rig *x, const struct ramp_action *a)
{
	bool journal = a->what == RAMP_JOURNAL;

	(void)x;
	seen.monitor += journal && !strcmp(a->event, "monitor");
	seen.over += !journal && !strcmp(a->event, "alarm-over");
	seen.told += !journal && !strcmp(a->event, "monitor");
	seen.rollback_checked += !journal && !strcmp(a->event, "checked");
	if (!strcmp(a->event, "monitor"))
		snprintf(seen.reason, sizeof(seen.reason), "%s", a->reason);
}

static void bring_to_soak(struct rig *x)
{
	memset(&seen, 0, sizeof(seen));
	rig_make(x);
	rig_bring(x, RAMP_DONE);
	rig_state_is(x, RAMP_DONE);
	assert_int_equal(x->v.weight, 10000);
	x->watch = count_events;
}

/* Each class of the runbook, in the soak before the commit. */
static void the_soak_is_judged_by_the_three_classes(void **state)
{
	static const struct {
		enum gate_says says;
		bool sustained, watched, all_down;
		enum ramp_state then;
		const char *text;
	} rows[] = {
		{GATE_ROLLBACK, false, false, false, RAMP_ROLLED_BACK,
		 "rollback (immediate): gate"},
		{GATE_ROLLBACK, true, false, false, RAMP_ROLLED_BACK, "rollback (planned): gate"},
		{GATE_OK, false, false, true, RAMP_ROLLED_BACK, "every backend is down"},
		{GATE_BACK, false, false, false, RAMP_DONE, "monitor: gate errors: the evidence"},
		{GATE_PAUSE, false, false, false, RAMP_DONE, "monitor: gate errors: the evidence"},
		{GATE_INCONCLUSIVE, false, true, false, RAMP_DONE, "monitor: gate errors"},
		{GATE_INCONCLUSIVE, false, false, false, RAMP_DONE, "all 5 stages are done"},
		{GATE_OK, false, false, false, RAMP_DONE, "all 5 stages are done"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool monitor = !strncmp(rows[i].text, "monitor", 7);
		struct rig x;

		bring_to_soak(&x);
		rig_gate(&x, 0, rows[i].says, "the evidence");
		x.gates[0].verdict.sustained = rows[i].sustained;
		x.gates[0].verdict.watched = rows[i].watched;
		x.v.all_down = rows[i].all_down;
		rig_run(&x, 1);
		rig_state_is(&x, rows[i].then);
		rig_says(ramp_reason(&x.r), rows[i].text);
		rig_run(&x, 300); /* written down once */
		assert_int_equal(seen.monitor, monitor);
		assert_int_equal(seen.told, monitor);
		assert_int_equal(x.alarms, 0);
		assert_int_equal(x.v.weight, rows[i].then == RAMP_DONE ? 10000 : 0);
		rig_free(&x);
	}
}

static void what_is_watched_in_the_soak_is_written_once_for_each_gate(void **state)
{
	struct rig x;

	(void)state;
	bring_to_soak(&x);
	for (unsigned int i = 0; i < 300; i++) { /* by turns */
		rig_gate(&x, i % 2, GATE_PAUSE, "201 > 200");
		rig_gate(&x, !(i % 2), GATE_OK, "fine");
		rig_run(&x, 1);
	}
	assert_int_equal(seen.monitor, 2);
	rig_gate(&x, 0, GATE_OK, "fine");
	rig_gate(&x, 1, GATE_OK, "fine");
	rig_run(&x, 1);
	rig_says(ramp_reason(&x.r), "all 5 stages are done");
	rig_run(&x, 700);
	rig_gate(&x, 1, GATE_PAUSE, "250 > 200");
	rig_run(&x, 10);
	assert_int_equal(seen.monitor, 3);
	rig_says(seen.reason, "250 > 200");
	rig_free(&x);
}

/* After the commit every class holds and alarms, and the alarm ends with its cause. */
static void an_alarm_of_the_soak_ends_when_its_cause_is_gone(void **state)
{
	static const enum gate_says says[] = {GATE_PAUSE, GATE_BACK, GATE_ROLLBACK};

	(void)state;
	for (size_t i = 0; i < COUNT(says); i++) {
		struct rig x;

		bring_to_soak(&x);
		x.v.authority = SHIFT_AUTHORITY_NEW;
		rig_run(&x, 1);
		rig_gate(&x, 0, says[i], "the evidence");
		rig_run(&x, 100);
		rig_state_is(&x, RAMP_DONE);
		assert_int_equal(x.v.weight, 10000);
		assert_int_equal(x.alarms, 1);
		rig_says(x.last_alarm, "authority is new, so the share is held");
		rig_says(ramp_reason(&x.r), "the evidence");
		assert_int_equal(seen.over, 0);
		rig_gate(&x, 0, GATE_OK, "fine");
		rig_run(&x, 40);
		rig_gate(&x, 0, says[i], "the evidence"); /* the same alarm goes on */
		rig_run(&x, 40);
		rig_gate(&x, 0, GATE_OK, "fine");
		rig_run(&x, 40);
		assert_int_equal(seen.over, 0);
		rig_run(&x, 40);
		assert_int_equal(seen.over, 1);
		rig_says(ramp_reason(&x.r), "all 5 stages are done");
		rig_run(&x, 1000);
		assert_int_equal(seen.over, 1);
		assert_int_equal(x.alarms, 1);
		rig_gate(&x, 0, says[i], "the evidence"); /* another one */
		rig_run(&x, 1);
		assert_int_equal(x.alarms, 2);
		rig_free(&x);
	}
}

static void a_rollback_is_checked_when_its_hooks_were_done(void **state)
{
	static const enum ramp_result results[] = {RAMP_DID, RAMP_FAILED};

	(void)state;
	for (size_t i = 0; i < COUNT(results); i++) {
		struct rig x;

		bring_to_soak(&x);
		x.hooks = results[i];
		rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
		rig_gate(&x, 0, GATE_ROLLBACK, "6% > 5%");
		rig_run(&x, 10);
		rig_state_is(&x, RAMP_ROLLED_BACK);
		assert_int_equal(seen.rollback_checked, results[i] == RAMP_DID);
		assert_int_equal(x.alarms, results[i] != RAMP_DID);
		rig_free(&x);
	}
}

/* ---- alarms that stand ---- */

static void commit(struct rig *x)
{
	bring_to_soak(x);
	rig_hook(x->conf, CONF_ON_COMMIT, 0);
	x->hooks = RAMP_FAILED;
	x->v.authority = SHIFT_AUTHORITY_NEW;
	rig_run(x, 10);
	assert_int_equal(x->alarms, 1);
	rig_says(x->last_alarm, "hooks on commit failed");
}

static void failed_hooks_on_commit_alarm_until_an_operator_says_something(void **state)
{
	static const enum ramp_verb verbs[] = {RAMP_FREEZE, RAMP_UNFREEZE, RAMP_BACK, RAMP_ABORT};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(verbs); i++) {
		struct rig x;

		commit(&x);
		rig_run(&x, 1000);
		assert_int_equal(seen.over, 0);
		if (i >=
		    COUNT(verbs)) /* a later shiftd knows it too, and tells it no second time */
			rig_restart(&x);
		rig_gate(&x, 0, GATE_PAUSE, "the evidence"); /* another one does not end it */
		rig_run(&x, 10);
		assert_int_equal(x.alarms, 2);
		rig_gate(&x, 0, GATE_OK, "fine");
		rig_run(&x, 1000);
		assert_int_equal(seen.over, 0);
		assert_string_equal(x.r.alarm, ""); /* of that one */
		assert_string_equal(x.journal.alarm, "on commit");
		rig_says(x.journal.alarm_text, "hooks on commit failed");
		assert_int_equal(rig_say(&x, RAMP_START), 3);
		assert_int_equal(seen.over, 0); /* it was refused */
		assert_int_equal(rig_say(&x, verbs[i % COUNT(verbs)]), 0);
		rig_run(&x, 1);
		assert_string_equal(x.journal.alarm, "");
		/* What goes on ends it by itself. */
		assert_int_equal(seen.over, verbs[i % COUNT(verbs)] != RAMP_BACK);
		rig_free(&x);
	}
}

static void failed_hooks_on_rollback_alarm_each_time(void **state)
{
	struct ramp_reply reply;
	struct rig x;

	(void)state;
	bring_to_soak(&x);
	x.hooks = RAMP_FAILED;
	rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
	for (unsigned int i = 1; i < 4; i++) {
		rig_latch(&x, "bob");
		rig_run(&x, 300);
		rig_state_is(&x, RAMP_ROLLED_BACK);
		assert_int_equal(x.alarms, i);
		assert_string_equal(x.journal.alarm, "on rollback");
		assert_int_equal(seen.over, 0);
		assert_int_equal(
			rig_say_flags(&x, "alice", RAMP_START, RAMP_AFTER_ROLLBACK, &reply), 0);
		assert_string_equal(x.journal.alarm, "");
		rig_run(&x, 10);
	}
	rig_free(&x);
}

static void an_alarm_of_before_a_restart_ends_too(void **state)
{
	struct rig x;

	(void)state;
	bring_to_soak(&x);
	x.v.authority = SHIFT_AUTHORITY_NEW;
	rig_gate(&x, 0, GATE_PAUSE, "the evidence");
	rig_run(&x, 10);
	assert_int_equal(x.alarms, 1);
	for (unsigned int i = 0; i < 3; i++) {
		rig_restart(&x);
		rig_run(&x, 10);
		assert_int_equal(x.alarms, 1); /* it goes on */
	}
	rig_gate(&x, 0, GATE_OK, "fine");
	rig_restart(&x);
	rig_run(&x, 50);
	assert_int_equal(seen.over, 0);
	rig_run(&x, 20);
	assert_int_equal(seen.over, 1);
	assert_string_equal(x.journal.alarm, "");
	rig_restart(&x);
	rig_run(&x, 1000);
	assert_int_equal(seen.over, 1);
	rig_gate(&x, 0, GATE_PAUSE, "the evidence");
	rig_run(&x, 1);
	assert_int_equal(x.alarms, 2);
	rig_free(&x);
	/* Of a ramp that is paused, when an operator goes on. */
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_gate(&x, 0, GATE_PAUSE, "the evidence");
	rig_run(&x, 1);
	rig_gate(&x, 0, GATE_OK, "fine");
	rig_restart(&x);
	rig_run(&x, 100);
	assert_string_equal(x.r.saved.alarm, "pause:errors");
	assert_int_equal(rig_say(&x, RAMP_FREEZE), 0);
	assert_string_equal(x.r.saved.alarm, "pause:errors");
	assert_int_equal(rig_say(&x, RAMP_RESUME), 0);
	assert_string_equal(x.journal.alarm, "");
	assert_int_equal(x.alarms, 1);
	rig_free(&x);
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
		cmocka_unit_test(the_soak_is_judged_by_the_three_classes),
		cmocka_unit_test(what_is_watched_in_the_soak_is_written_once_for_each_gate),
		cmocka_unit_test(an_alarm_of_the_soak_ends_when_its_cause_is_gone),
		cmocka_unit_test(a_rollback_is_checked_when_its_hooks_were_done),
		cmocka_unit_test(failed_hooks_on_commit_alarm_until_an_operator_says_something),
		cmocka_unit_test(failed_hooks_on_rollback_alarm_each_time),
		cmocka_unit_test(an_alarm_of_before_a_restart_ends_too),
		cmocka_unit_test(without_a_program_nothing_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
