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

/* ---- what others do ---- */

static void an_operators_weight_pauses_and_is_named(void **state)
{
	static const struct {
		uint16_t weight, stage, then;
	} rows[] = {{3000, 2, 5000}, {2499, 1, 2500}, {500, 0, 1000},
		    {6000, 3, 7500}, {0, 0, 1000},    {10000, 5, 10000}};
	static const enum ramp_state states[] = {RAMP_HOLDING, RAMP_PAUSED, RAMP_PROMOTING};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t j = 0; j < COUNT(states); j++) {
			struct rig x;

			rig_make(&x);
			rig_bring(&x, states[j]);
			rig_set(&x, "bob", rows[i].weight, false);
			rig_run(&x, 1);
			rig_state_is(&x, RAMP_PAUSED);
			rig_says(ramp_reason(&x.r), "bob set the share from 25% to ");
			assert_int_equal(x.r.saved.stage, rows[i].stage);
			rig_run(&x, 100);
			assert_int_equal(x.v.weight, rows[i].weight); /* the ramp lets it be */
			rig_say(&x, RAMP_RESUME);
			rig_run(&x, rows[i].stage ? 70 : 5);
			assert_int_equal(x.v.weight, rows[i].then);
			rig_free(&x);
		}
	}
}

static void a_share_that_fell_by_itself_pauses(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	x.v.weight = 1000; /* no new epoch: the deadline's fallback came into force */
	x.v.by_itself = true;
	rig_run(&x, 1);
	rig_state_is(&x, RAMP_PAUSED);
	rig_says(ramp_reason(&x.r), "by itself");
	rig_free(&x);
}

static void changes_of_control_that_leave_the_share_do_not_pause(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	x.v.epoch += 3; /* lock, unlock, a keep-alive */
	rig_run(&x, 65);
	assert_int_equal(x.v.weight, 5000);
	rig_free(&x);
}

static void a_latch_by_anyone_ends_the_ramp(void **state)
{
	static const enum ramp_state states[] = {RAMP_HOLDING, RAMP_PAUSED, RAMP_PROMOTING,
						 RAMP_DONE};

	(void)state;
	for (size_t i = 0; i < COUNT(states); i++) {
		struct ramp_reply reply;
		struct rig x;

		rig_make(&x);
		rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
		rig_bring(&x, states[i]);
		x.log[0] = '\0';
		rig_latch(&x, "bob");
		rig_run(&x, 20);
		rig_state_is(&x, RAMP_ROLLED_BACK);
		rig_says(ramp_reason(&x.r), "rolled back by bob");
		assert_string_equal(x.log, "on rollback");
		assert_int_equal(rig_say(&x, RAMP_RESUME), 1);
		assert_int_equal(rig_say(&x, RAMP_START), 3);
		assert_int_equal(x.v.weight, 0);
		/* A restart does not do it again. */
		rig_restart(&x);
		rig_run(&x, 5);
		rig_state_is(&x, RAMP_ROLLED_BACK);
		assert_int_equal(x.hook_runs, 1);
		/* A second rollback while the first start is under way ends that too. */
		assert_int_equal(
			rig_say_flags(&x, "alice", RAMP_START, RAMP_AFTER_ROLLBACK, &reply), 0);
		rig_latch(&x, "carol");
		rig_run(&x, 3);
		rig_state_is(&x, RAMP_ROLLED_BACK);
		assert_int_equal(x.v.weight, 0);
		assert_true(x.v.latched);
		assert_int_equal(
			rig_say_flags(&x, "alice", RAMP_START, RAMP_AFTER_ROLLBACK, &reply), 0);
		rig_run(&x, 3);
		assert_int_equal(x.v.weight, 1000);
		assert_false(x.v.latched);
		rig_free(&x);
	}
}

static void a_latch_of_before_the_first_look_is_no_news(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
	rig_hook(x.conf, CONF_ON_COMMIT, 0);
	rig_latch(&x, "bob");
	x.v.authority = SHIFT_AUTHORITY_NEW;
	rig_run(&x, 5);
	rig_state_is(&x, RAMP_IDLE);
	assert_string_equal(x.log, "");
	rig_free(&x);
}

static void a_rollback_without_a_ramp_runs_its_hooks(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
	rig_run(&x, 1);
	rig_set(&x, "bob", 5000, false);
	rig_run(&x, 1);
	rig_latch(&x, "bob");
	rig_run(&x, 5);
	rig_state_is(&x, RAMP_IDLE);
	assert_string_equal(x.log, "on rollback");
	rig_free(&x);
}

static void a_commit_runs_its_hooks_once(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_hook(x.conf, CONF_ON_COMMIT, 0);
	rig_bring(&x, RAMP_DONE);
	x.log[0] = '\0';
	x.v.authority = SHIFT_AUTHORITY_NEW;
	x.v.epoch++;
	rig_run(&x, 5);
	assert_string_equal(x.log, "on commit");
	rig_restart(&x);
	rig_run(&x, 5);
	assert_string_equal(x.log, "on commit");
	/* Undone and committed again it is another commit. */
	x.v.authority = SHIFT_AUTHORITY_SHARED;
	rig_run(&x, 2);
	x.v.authority = SHIFT_AUTHORITY_NEW;
	rig_run(&x, 2);
	assert_string_equal(x.log, "on commit|on commit");
	rig_free(&x);
}

static void hooks_of_a_rollback_are_over_before_anything_is_raised(void **state)
{
	struct ramp_reply reply;
	struct rig x;

	(void)state;
	rig_make(&x);
	x.slow_hooks = true;
	rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
	rig_bring(&x, RAMP_ROLLED_BACK);
	assert_true(x.running);
	assert_int_equal(rig_say_flags(&x, "alice", RAMP_START, RAMP_AFTER_ROLLBACK, &reply), 0);
	rig_run(&x, 50);
	assert_int_equal(x.v.weight, 0);
	rig_says(ramp_reason(&x.r), "waits for the hooks on rollback");
	rig_hooks_end(&x, RAMP_FAILED); /* it is said, and holds nothing */
	assert_int_equal(x.alarms, 1);
	rig_run(&x, 2);
	assert_int_equal(x.v.weight, 1000);
	rig_free(&x);
}

static void another_role_pauses_and_runs_nothing(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
	rig_bring(&x, RAMP_HOLDING);
	x.v.leader = false;
	rig_gate(&x, 0, GATE_ROLLBACK, "6% > 5%");
	rig_run(&x, 100);
	rig_state_is(&x, RAMP_PAUSED);
	assert_int_equal(x.v.weight, 2500);
	assert_int_equal(rig_say(&x, RAMP_RESUME), 3);
	rig_latch(&x, "bob");
	rig_run(&x, 2);
	rig_state_is(&x, RAMP_ROLLED_BACK);
	assert_int_equal(x.hook_runs, 0);
	rig_free(&x);
}

static void a_reload_keeps_the_ramp_and_pauses_it_when_the_plan_changed(void **state)
{
	struct config *fresh = rig_conf(), *third = rig_conf();
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	fresh->stages[1].hold_ms = 5000;
	ramp_use(&x.r, fresh);
	rig_run(&x, 1);
	rig_state_is(&x, RAMP_HOLDING);
	third->stages[1].weight = 3000;
	ramp_use(&x.r, third);
	rig_run(&x, 1);
	rig_state_is(&x, RAMP_PAUSED);
	assert_int_equal(x.r.saved.stage, 1); /* 25 % is above 10 and below 30 */
	rig_say(&x, RAMP_RESUME);
	rig_run(&x, 65);
	assert_int_equal(x.v.weight, 3000);
	free(fresh);
	free(third);
	rig_free(&x);
}

/* ---- hooks ---- */

static void a_failed_hook_pauses_and_a_resume_runs_it_again(void **state)
{
	struct ramp_reply reply;
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_hook(x.conf, CONF_BEFORE_STAGE, 3);
	rig_hook(x.conf, CONF_AFTER_STAGE, 2);
	rig_bring(&x, RAMP_HOLDING);
	x.log[0] = '\0';
	x.hooks = RAMP_FAILED;
	rig_run(&x, 65);
	rig_state_is(&x, RAMP_PAUSED);
	rig_says(ramp_reason(&x.r), "hooks after stage 2 failed: exit 1");
	assert_int_equal(x.alarms, 1);
	rig_run(&x, 100);
	assert_string_equal(x.log, "after 2");
	x.hooks = RAMP_DID;
	rig_say(&x, RAMP_RESUME);
	rig_run(&x, 1);
	x.hooks = RAMP_FAILED;
	rig_run(&x, 2);
	assert_string_equal(x.log, "after 2|after 2|before 3");
	assert_int_equal(x.v.weight, 2500);
	assert_int_equal(rig_say_flags(&x, "alice", RAMP_RESUME, RAMP_SKIP_HOOKS, &reply), 0);
	rig_run(&x, 2);
	assert_string_equal(x.log, "after 2|after 2|before 3|weight 50");
	rig_free(&x);
}

static void hooks_that_run_are_waited_for_and_stopped_when_off(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	x.slow_hooks = true;
	rig_hook(x.conf, CONF_BEFORE_STAGE, 3);
	rig_bring(&x, RAMP_HOLDING);
	rig_run(&x, 65);
	rig_state_is(&x, RAMP_PROMOTING);
	rig_run(&x, 1000);
	assert_int_equal(x.v.weight, 2500);
	rig_say(&x, RAMP_PAUSE);
	rig_hooks_end(&x, RAMP_DID);
	rig_run(&x, 100);
	assert_int_equal(x.v.weight, 2500);
	rig_say(&x, RAMP_RESUME);
	rig_run(&x, 2);
	assert_int_equal(x.v.weight, 5000);
	assert_int_equal(x.hook_runs, 1);
	rig_free(&x);
	/* A rollback does not wait for them. */
	for (unsigned int i = 0; i < 4; i++) {
		uint32_t id;

		rig_make(&x);
		x.slow_hooks = true;
		rig_hook(x.conf, CONF_BEFORE_STAGE, 3);
		rig_bring(&x, RAMP_HOLDING);
		rig_run(&x, 65);
		id = x.running;
		assert_true(id);
		if (i == 0)
			rig_say(&x, RAMP_ABORT);
		else if (i == 1)
			rig_gate(&x, 0, GATE_ROLLBACK, "6% > 5%");
		else if (i == 2)
			rig_latch(&x, "bob");
		else
			rig_say(&x, RAMP_BACK);
		rig_run(&x, 1);
		assert_int_equal(x.stops, 1);
		assert_int_equal(x.v.weight, i == 3 ? 1000 : 0);
		/* Their outcome comes too late to matter. */
		rig_outcome(&x, id, &(struct ramp_outcome){.result = RAMP_FAILED});
		rig_state_is(&x, i == 3 ? RAMP_PAUSED : RAMP_ROLLED_BACK);
		rig_free(&x);
	}
}

/* ---- a disk that takes a moment ---- */

static void hooks_beside_wait_for_a_late_journal(void **state)
{
	/* The entry before them is late, or their intent is. */
	static const char *const late_on[] = {"rolled-back", "intent", "commit"};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(late_on); i++) {
		bool commit = i % COUNT(late_on) == 2;
		struct rig x;

		rig_make(&x);
		rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
		rig_hook(x.conf, CONF_ON_COMMIT, 0);
		rig_bring(&x, commit ? RAMP_DONE : RAMP_HOLDING);
		x.log[0] = '\0';
		x.late_on = late_on[i % COUNT(late_on)];
		if (commit)
			x.v.authority = SHIFT_AUTHORITY_NEW;
		else
			rig_latch(&x, "bob");
		rig_run(&x, 20);
		assert_int_equal(x.hook_runs, 0);
		assert_int_equal(x.alarms, 0);
		if (i >= COUNT(late_on)) /* nor does a restart meanwhile lose them */
			rig_restart(&x);
		rig_in_time(&x);
		rig_run(&x, 10);
		assert_string_equal(x.log, commit ? "on commit" : "on rollback");
		assert_int_equal(x.alarms, 0);
		rig_run(&x, 100);
		assert_int_equal(x.hook_runs, 1);
		rig_free(&x);
	}
}

static void hooks_of_a_promotion_wait_for_a_late_journal(void **state)
{
	static const char *const late_on[] = {"promoting", "intent"};

	(void)state;
	for (size_t i = 0; i < COUNT(late_on); i++) {
		struct rig x;

		rig_make(&x);
		rig_hook(x.conf, CONF_AFTER_STAGE, 2);
		rig_bring(&x, RAMP_HOLDING);
		x.late_on = late_on[i];
		rig_run(&x, 80);
		rig_state_is(&x, RAMP_PROMOTING);
		rig_says(ramp_reason(&x.r), "hooks after stage 2 wait for the journal");
		assert_int_equal(x.hook_runs, 0);
		rig_in_time(&x);
		rig_run(&x, 10);
		assert_int_equal(x.hook_runs, 1);
		assert_int_equal(x.v.weight, 5000);
		assert_int_equal(x.alarms, 0);
		rig_free(&x);
	}
}

static void what_is_owed_waits_for_the_disk_before_anything_is_raised(void **state)
{
	struct ramp_reply reply;
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
	rig_bring(&x, RAMP_HOLDING);
	x.log[0] = '\0';
	x.late_on = "intent";
	rig_latch(&x, "bob");
	rig_run(&x, 3);
	rig_in_time(&x);
	assert_int_equal(rig_say_flags(&x, "alice", RAMP_START, RAMP_AFTER_ROLLBACK, &reply), 0);
	rig_run(&x, 10);
	assert_string_equal(x.log, "on rollback|weight 10");
	rig_free(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_operators_weight_pauses_and_is_named),
		cmocka_unit_test(a_share_that_fell_by_itself_pauses),
		cmocka_unit_test(changes_of_control_that_leave_the_share_do_not_pause),
		cmocka_unit_test(a_latch_by_anyone_ends_the_ramp),
		cmocka_unit_test(a_latch_of_before_the_first_look_is_no_news),
		cmocka_unit_test(a_rollback_without_a_ramp_runs_its_hooks),
		cmocka_unit_test(a_commit_runs_its_hooks_once),
		cmocka_unit_test(hooks_of_a_rollback_are_over_before_anything_is_raised),
		cmocka_unit_test(another_role_pauses_and_runs_nothing),
		cmocka_unit_test(a_reload_keeps_the_ramp_and_pauses_it_when_the_plan_changed),
		cmocka_unit_test(a_failed_hook_pauses_and_a_resume_runs_it_again),
		cmocka_unit_test(hooks_that_run_are_waited_for_and_stopped_when_off),
		cmocka_unit_test(hooks_beside_wait_for_a_late_journal),
		cmocka_unit_test(hooks_of_a_promotion_wait_for_a_late_journal),
		cmocka_unit_test(what_is_owed_waits_for_the_disk_before_anything_is_raised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
