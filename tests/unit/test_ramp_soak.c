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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_soak_is_judged_by_the_three_classes),
		cmocka_unit_test(what_is_watched_in_the_soak_is_written_once_for_each_gate),
		cmocka_unit_test(an_alarm_of_the_soak_ends_when_its_cause_is_gone),
		cmocka_unit_test(a_rollback_is_checked_when_its_hooks_were_done),
		cmocka_unit_test(failed_hooks_on_commit_alarm_until_an_operator_says_something),
		cmocka_unit_test(failed_hooks_on_rollback_alarm_each_time),
		cmocka_unit_test(an_alarm_of_before_a_restart_ends_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
