/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ramp_rig.h"
#include "userspace/ctl/ramp_json.h"

/* ---- a whole ramp ---- */

static void a_ramp_goes_stage_by_stage_to_the_end(void **state)
{
	struct rig x;
	char next[RAMP_TEXT];

	(void)state;
	rig_make(&x);
	rig_hook(x.conf, CONF_BEFORE_RAMP, 0);
	rig_hook(x.conf, CONF_BEFORE_STAGE, 3);
	rig_hook(x.conf, CONF_AFTER_STAGE, 0);
	rig_hook(x.conf, CONF_AFTER_RAMP, 0);
	rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
	rig_step(&x);
	rig_state_is(&x, RAMP_IDLE);
	assert_int_equal(rig_say(&x, RAMP_START), 0);
	rig_run(&x, 3);
	rig_state_is(&x, RAMP_HOLDING);
	assert_string_equal(ramp_reason(&x.r), "stage 1 of 5: 10% for 1m");
	assert_string_equal(ramp_next_text(&x.r, next), "25% in 59s if all gates are ok");
	assert_string_equal(x.log, "before ramp|weight 10");
	rig_run(&x, 58);
	assert_int_equal(x.v.weight, 1000); /* a second before the end of the hold */
	rig_run(&x, 6);
	assert_int_equal(x.v.weight, 2500);
	rig_run(&x, 320);
	rig_state_is(&x, RAMP_DONE);
	assert_int_equal(x.v.weight, 10000);
	assert_string_equal(x.log, "before ramp|weight 10|after 1|weight 25|after 2|before 3|"
				   "weight 50|after 3|weight 75|after 4|weight 100|after 5|"
				   "after ramp");
	assert_int_equal(x.v.epoch, 7 + 5);
	assert_int_equal(x.alarms, 0);
	rig_run(&x, 1000);
	assert_int_equal(x.weights, 5);
	rig_free(&x);
}

static void a_start_takes_the_share_as_it_is(void **state)
{
	static const struct {
		uint16_t weight, stage, then;
		int code;
		const char *says;
	} rows[] = {
		{0, 1, 1000, 0, "started by alice"}, {500, 1, 1000, 0, "started"},
		{1000, 1, 1000, 0, "started"}, /* its hold begins, nothing is set */
		{1500, 2, 2500, 0, "started"},	     {7500, 4, 7500, 0, "started"},
		{10000, 5, 10000, 0, "started"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ramp_reply reply;
		struct rig x;

		rig_make(&x);
		x.v.weight = rows[i].weight;
		rig_step(&x);
		assert_int_equal(rig_say_flags(&x, "alice", RAMP_START, 0, &reply), rows[i].code);
		rig_says(reply.text, rows[i].says);
		rig_run(&x, 3);
		rig_state_is(&x, RAMP_HOLDING);
		assert_int_equal(x.r.saved.stage, rows[i].stage);
		assert_int_equal(x.v.weight, rows[i].then);
		assert_int_equal(x.weights, rows[i].then != rows[i].weight);
		rig_free(&x);
	}
}

/* ---- what operators ask, in every state ---- */

static void every_verb_in_every_state(void **state)
{
	enum { SAME = -1 };
	static const struct {
		enum ramp_verb verb;
		enum ramp_state in;
		int code, then; /* the state after it, or SAME */
	} rows[] = {
		{RAMP_START, RAMP_IDLE, 0, RAMP_PROMOTING},
		{RAMP_START, RAMP_HOLDING, 1, SAME},
		{RAMP_START, RAMP_PAUSED, 1, SAME},
		{RAMP_START, RAMP_PROMOTING, 1, SAME},
		{RAMP_START, RAMP_DONE, 1, SAME},
		{RAMP_START, RAMP_ROLLED_BACK, 3, SAME},
		{RAMP_PAUSE, RAMP_IDLE, 1, SAME},
		{RAMP_PAUSE, RAMP_HOLDING, 0, RAMP_PAUSED},
		{RAMP_PAUSE, RAMP_PAUSED, 0, SAME},
		{RAMP_PAUSE, RAMP_PROMOTING, 0, RAMP_PAUSED},
		{RAMP_PAUSE, RAMP_DONE, 1, SAME},
		{RAMP_PAUSE, RAMP_ROLLED_BACK, 1, SAME},
		{RAMP_RESUME, RAMP_IDLE, 1, SAME},
		{RAMP_RESUME, RAMP_HOLDING, 1, SAME},
		{RAMP_RESUME, RAMP_PAUSED, 0, RAMP_HOLDING},
		{RAMP_RESUME, RAMP_PROMOTING, 1, SAME},
		{RAMP_RESUME, RAMP_DONE, 1, SAME},
		{RAMP_RESUME, RAMP_ROLLED_BACK, 1, SAME},
		{RAMP_NEXT, RAMP_IDLE, 1, SAME},
		{RAMP_NEXT, RAMP_HOLDING, 0, RAMP_PROMOTING},
		{RAMP_NEXT, RAMP_PAUSED, 0, RAMP_PROMOTING},
		{RAMP_NEXT, RAMP_PROMOTING, 0, SAME},
		{RAMP_NEXT, RAMP_DONE, 1, SAME},
		{RAMP_NEXT, RAMP_ROLLED_BACK, 1, SAME},
		{RAMP_BACK, RAMP_IDLE, 1, SAME},
		{RAMP_BACK, RAMP_HOLDING, 0, RAMP_PAUSED},
		{RAMP_BACK, RAMP_PAUSED, 0, SAME},
		{RAMP_BACK, RAMP_PROMOTING, 0, RAMP_PAUSED},
		{RAMP_BACK, RAMP_DONE, 0, RAMP_PAUSED},
		{RAMP_BACK, RAMP_ROLLED_BACK, 1, SAME},
		{RAMP_ABORT, RAMP_IDLE, 0, RAMP_ROLLED_BACK},
		{RAMP_ABORT, RAMP_HOLDING, 0, RAMP_ROLLED_BACK},
		{RAMP_ABORT, RAMP_PAUSED, 0, RAMP_ROLLED_BACK},
		{RAMP_ABORT, RAMP_PROMOTING, 0, RAMP_ROLLED_BACK},
		{RAMP_ABORT, RAMP_DONE, 0, RAMP_ROLLED_BACK},
		{RAMP_ABORT, RAMP_ROLLED_BACK, 0, SAME},
		{RAMP_FREEZE, RAMP_IDLE, 0, SAME},
		{RAMP_FREEZE, RAMP_HOLDING, 0, SAME},
		{RAMP_FREEZE, RAMP_PAUSED, 0, SAME},
		{RAMP_FREEZE, RAMP_PROMOTING, 0, SAME},
		{RAMP_FREEZE, RAMP_DONE, 0, SAME},
		{RAMP_FREEZE, RAMP_ROLLED_BACK, 0, SAME},
		{RAMP_UNFREEZE, RAMP_IDLE, 0, SAME},
		{RAMP_UNFREEZE, RAMP_HOLDING, 0, SAME},
		{RAMP_UNFREEZE, RAMP_PAUSED, 0, SAME},
		{RAMP_UNFREEZE, RAMP_PROMOTING, 0, SAME},
		{RAMP_UNFREEZE, RAMP_DONE, 0, SAME},
		{RAMP_UNFREEZE, RAMP_ROLLED_BACK, 0, SAME},
	};

	(void)state;
	assert_int_equal(COUNT(rows), 8 * RAMP_STATES);
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum ramp_state then =
			rows[i].then == SAME ? rows[i].in : (enum ramp_state)rows[i].then;
		struct ramp_reply reply;
		uint16_t weight;
		struct rig x;

		rig_make(&x);
		rig_bring(&x, rows[i].in);
		rig_state_is(&x, rows[i].in);
		weight = x.v.weight;
		if (rig_say_flags(&x, "carol", rows[i].verb, 0, &reply) != rows[i].code)
			print_error("row %zu: %d '%s'\n", i, reply.code, reply.text);
		assert_int_equal(reply.code, rows[i].code);
		assert_true(reply.text[0]);
		rig_state_is(&x, then);
		if (reply.code)
			assert_int_equal(x.v.weight, weight);
		if (reply.code == RAMP_REPLY_REFUSED)
			assert_int_equal(reply.flag, RAMP_AFTER_ROLLBACK);
		if (rows[i].verb == RAMP_ABORT) {
			assert_int_equal(x.v.weight, 0);
			assert_true(x.v.latched);
		}
		if (rows[i].verb == RAMP_BACK && !reply.code) {
			assert_int_equal(x.v.weight, rows[i].in == RAMP_DONE ? 7500 : 1000);
			assert_false(x.v.latched);
			rig_says(ramp_reason(&x.r), "carol");
		}
		rig_free(&x);
	}
}

/* ---- the rules ---- */

static void break_leader(struct rig *x)
{
	x->v.leader = false;
}

static void break_journal(struct rig *x)
{
	x->v.journal_failed = true;
}

static void break_authority(struct rig *x)
{
	x->v.authority = SHIFT_AUTHORITY_NEW;
}

static void break_latch(struct rig *x)
{
	rig_latch(x, "bob");
}

static void break_freeze(struct rig *x)
{
	rig_say(x, RAMP_FREEZE);
}

static void break_window(struct rig *x)
{
	x->v.frozen = true;
	strcpy(x->v.frozen_why, "no change on Fridays");
}

static void break_confirm(struct rig *x)
{
	x->v.confirm_left = 90 * RIG_SECOND;
}

static void break_app_gate(struct rig *x)
{
	x->v.app_gate = false;
}

static void break_step(struct rig *x)
{
	x->conf->rules.max_step = 900;
}

static void break_backends(struct rig *x)
{
	x->v.healthy = 0;
}

static void break_tunnel(struct rig *x)
{
	strcpy(x->conf->rules.tunnel, "aws");
	x->v.tunnel_up = false;
}

static void break_gate(struct rig *x)
{
	rig_gate(x, 1, GATE_PAUSE, "212 > 200");
}

static void break_baseline(struct rig *x)
{
	x->gates[1].wants_baseline = true;
}

static void break_blind_gate(struct rig *x)
{
	rig_gate(x, 1, GATE_INCONCLUSIVE, "no data: connection refused");
}

static const struct {
	const char *name;
	void (*break_it)(struct rig *x);
	int code;
	unsigned int flag;
	const char *says;
	bool not_at_start; /* it binds a raise, not the start */
} rules[] = {
	{"leader", break_leader, 3, 0, "role is not leader", false},
	{"journal", break_journal, 3, 0, "journal cannot be written", false},
	{"authority", break_authority, 3, 0, "authority is new", false},
	{"latch", break_latch, 3, RAMP_AFTER_ROLLBACK, "rolled back by bob", false},
	{"lock", rig_lock, 4, RAMP_FORCE, "locked by bob since", false},
	{"freeze", break_freeze, 3, 0, "frozen by alice", false},
	{"window", break_window, 3, 0, "no change on Fridays", false},
	{"confirm", break_confirm, 3, 0, "shiftctl confirm", false},
	{"app gate", break_app_gate, 3, RAMP_L4_ONLY, "--l4-only", false},
	{"step", break_step, 3, RAMP_BIG_STEP, "ramp.max_step, 9 points; --big-step", false},
	{"backends", break_backends, 3, RAMP_FEW_BACKENDS, "0 of 3 backends", false},
	{"tunnel", break_tunnel, 3, RAMP_NO_TUNNEL, "tunnel aws is not up", false},
	{"gate", break_gate, 3, RAMP_UNPROVEN, "gate p95 is pause: 212 > 200", false},
	{"baseline", break_baseline, 3, RAMP_UNPROVEN, "no baseline", false},
	{"blind gate", break_blind_gate, 3, RAMP_UNPROVEN, "gate p95 is inconclusive", true},
};

static void each_rule_refuses_a_start_and_names_its_own_flag(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rules); i++) {
		struct ramp_reply reply;
		struct rig x;

		if (rules[i].not_at_start)
			continue;
		rig_make(&x);
		rig_step(&x);
		rules[i].break_it(&x);
		rig_step(&x);
		if (rig_say_flags(&x, "alice", RAMP_START, 0, &reply) != rules[i].code)
			print_error("%s: %d %s\n", rules[i].name, reply.code, reply.text);
		assert_int_equal(reply.code, rules[i].code);
		assert_int_equal(reply.flag, rules[i].flag);
		rig_says(reply.text, rules[i].says);
		if (reply.flag)
			rig_says(reply.text, ramp_flag_name(reply.flag));
		/* No other flag helps. */
		assert_int_equal(rig_say_flags(&x, "alice", RAMP_START, ~rules[i].flag, &reply),
				 rules[i].code);
		rig_state_is(&x, RAMP_IDLE);
		assert_int_equal(x.weights, 0);
		/* Its own does. */
		if (rules[i].flag) {
			assert_int_equal(
				rig_say_flags(&x, "alice", RAMP_START, rules[i].flag, &reply), 0);
			if (strcmp(rules[i].name, "gate") != 0) {
				rig_run(&x, 3);
				assert_int_equal(x.v.weight, 1000);
				assert_false(x.v.latched);
			}
		}
		rig_free(&x);
	}
}

static void each_rule_holds_a_promotion_and_says_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rules); i++) {
		struct ramp_reply reply;
		struct rig x;

		if (rules[i].break_it == break_latch || rules[i].break_it == break_gate ||
		    rules[i].break_it == break_leader)
			continue; /* they end or pause it: below */
		rig_make(&x);
		rig_bring(&x, RAMP_HOLDING);
		rules[i].break_it(&x);
		rig_run(&x, 70);
		rig_state_is(&x, RAMP_HOLDING);
		assert_int_equal(x.v.weight, 2500);
		rig_says(ramp_reason(&x.r), rules[i].says);
		assert_int_equal(rig_say_flags(&x, "alice", RAMP_NEXT, 0, &reply), rules[i].code);
		assert_int_equal(reply.flag, rules[i].flag);
		assert_int_equal(rig_say_flags(&x, "alice", RAMP_NEXT, ~rules[i].flag, &reply),
				 rules[i].code);
		rig_run(&x, 2);
		assert_int_equal(x.v.weight, 2500);
		if (rules[i].flag) {
			assert_int_equal(
				rig_say_flags(&x, "alice", RAMP_NEXT, rules[i].flag, &reply), 0);
			rig_run(&x, 2);
			assert_int_equal(x.v.weight, 5000);
		}
		rig_free(&x);
	}
}

static void lasting_flags_bind_the_ramp_and_others_the_command(void **state)
{
	struct ramp_reply reply;
	struct rig x;

	(void)state;
	rig_make(&x);
	x.v.app_gate = false;
	rig_step(&x);
	rig_lock(&x);
	rig_say_flags(&x, "alice", RAMP_START, RAMP_L4_ONLY | RAMP_FORCE, &reply);
	assert_int_equal(reply.code, 0);
	rig_run(&x, 65);
	assert_int_equal(x.v.weight, 2500); /* both, through a promotion */
	x.v.locked_at = RIG_REAL + 1;	    /* another lock was not overridden */
	rig_run(&x, 70);
	assert_int_equal(x.v.weight, 2500);
	rig_says(ramp_reason(&x.r), "locked by bob");
	strcpy(x.v.locked_by, "alice"); /* her own does not stop her */
	rig_run(&x, 3);
	assert_int_equal(x.v.weight, 5000);
	rig_free(&x);
}

static void a_freeze_stops_promotions_until_it_is_lifted(void **state)
{
	struct ramp_reply reply;
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	assert_int_equal(rig_say_flags(&x, "bob", RAMP_FREEZE, 0, &reply), 0);
	rig_run(&x, 200);
	assert_int_equal(x.v.weight, 2500);
	rig_says(ramp_reason(&x.r), "frozen by bob");
	rig_restart(&x); /* a restart keeps it */
	rig_step(&x);
	rig_say(&x, RAMP_RESUME);
	rig_run(&x, 200);
	assert_int_equal(x.v.weight, 2500);
	rig_say(&x, RAMP_UNFREEZE);
	rig_run(&x, 2);
	assert_int_equal(x.v.weight, 5000);
	/* It does not stop what lowers. */
	rig_say(&x, RAMP_FREEZE);
	rig_gate(&x, 0, GATE_ROLLBACK, "6% > 5%");
	rig_run(&x, 1);
	assert_int_equal(x.v.weight, 0);
	rig_free(&x);
}

/* ---- the hold ---- */

static void a_pause_stops_the_clock_of_the_hold(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_run(&x, 30);
	rig_say(&x, RAMP_PAUSE);
	rig_run(&x, 1000);
	assert_int_equal(x.v.weight, 2500);
	rig_say(&x, RAMP_RESUME);
	rig_run(&x, 28);
	assert_int_equal(x.v.weight, 2500);
	rig_run(&x, 3);
	assert_int_equal(x.v.weight, 5000);
	rig_free(&x);
}

static void what_was_not_ok_begins_the_hold_anew(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_run(&x, 50);
	x.gates[1].broken_at = x.now; /* one observation, and ok again */
	rig_run(&x, 59);
	assert_int_equal(x.v.weight, 2500);
	rig_run(&x, 3);
	assert_int_equal(x.v.weight, 5000);
	rig_free(&x);
	/* Also one in a pause. */
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_run(&x, 50);
	rig_say(&x, RAMP_PAUSE);
	rig_run(&x, 5);
	x.gates[1].broken_at = x.now;
	rig_run(&x, 100);
	rig_say(&x, RAMP_RESUME);
	rig_run(&x, 59);
	assert_int_equal(x.v.weight, 2500);
	rig_run(&x, 3);
	assert_int_equal(x.v.weight, 5000);
	rig_free(&x);
}

static void no_data_at_the_end_of_the_hold_holds(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_run(&x, 30);
	rig_gate(&x, 1, GATE_INCONCLUSIVE, "no data since 17s");
	rig_run(&x, 10000);
	assert_int_equal(x.v.weight, 2500);
	rig_state_is(&x, RAMP_HOLDING);
	rig_says(ramp_reason(&x.r), "p95 is inconclusive: no data since 17s");
	rig_gate(&x, 1, GATE_OK, "50 < 100");
	rig_run(&x, 2);
	assert_int_equal(x.v.weight, 5000);
	rig_free(&x);
}

static void its_status_has_the_fields_that_scripts_rely_on(void **state)
{
	struct rig x;
	json_t *j;
	char *text;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_gate(&x, 1, GATE_INCONCLUSIVE, "no data yet");
	rig_run(&x, 1);
	j = ramp_status_json(&x.r, &x.v);
	text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6));
	assert_string_equal(
		text,
		"{\"schema\":1,\"state\":\"holding\",\"stage\":2,\"stages\":5,\"weight\":25.0,"
		"\"reason\":\"holds for 58s more; and now: gate p95 is inconclusive: no data yet; "
		"--unproven overrides\",\"gates\":[{\"name\":\"errors\",\"verdict\":\"ok\",\"value\":"
		"1.0,\"why\":\"0.04% < 0.1%\"},{\"name\":\"p95\",\"verdict\":\"inconclusive\","
		"\"value\":null,\"why\":\"no data yet\"}],\"epoch\":9,\"frozen\":false,\"by\":"
		"\"alice\",\"held_s\":2.0,\"hold_left_s\":58.0,\"next\":"
		"\"50% in 58s if all gates are ok\"}");
	free(text);
	json_decref(j);
	rig_free(&x);
}

static void names_are_their_own(void **state)
{
	(void)state;
	for (int i = 0; i < RAMP_STATES; i++)
		assert_int_equal(ramp_state_parse(ramp_state_name((enum ramp_state)i)), i);
	assert_int_equal(ramp_state_parse("running"), -EINVAL);
	for (unsigned int i = 0; i < 9; i++)
		assert_int_equal(ramp_flag_parse(ramp_flag_name(1u << i)), 1u << i);
	assert_int_equal(ramp_flag_parse("--yes"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ramp_goes_stage_by_stage_to_the_end),
		cmocka_unit_test(a_start_takes_the_share_as_it_is),
		cmocka_unit_test(every_verb_in_every_state),
		cmocka_unit_test(each_rule_refuses_a_start_and_names_its_own_flag),
		cmocka_unit_test(each_rule_holds_a_promotion_and_says_why),
		cmocka_unit_test(lasting_flags_bind_the_ramp_and_others_the_command),
		cmocka_unit_test(a_freeze_stops_promotions_until_it_is_lifted),
		cmocka_unit_test(a_pause_stops_the_clock_of_the_hold),
		cmocka_unit_test(what_was_not_ok_begins_the_hold_anew),
		cmocka_unit_test(no_data_at_the_end_of_the_hold_holds),
		cmocka_unit_test(its_status_has_the_fields_that_scripts_rely_on),
		cmocka_unit_test(names_are_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
