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

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void assert_state(const struct rig *x, enum ramp_state state)
{
	if (x->r.saved.state != state)
		print_error("%s, not %s: %s\n", ramp_state_name(x->r.saved.state),
			    ramp_state_name(state), ramp_reason(&x->r));
	assert_int_equal(x->r.saved.state, state);
	assert_true(ramp_reason(&x->r)[0]);
}

static void assert_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		print_error("'%s' does not say '%s'\n", text, part);
	assert_non_null(strstr(text, part));
}

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
	assert_state(&x, RAMP_IDLE);
	assert_int_equal(rig_say(&x, RAMP_START), 0);
	rig_run(&x, 3);
	assert_state(&x, RAMP_HOLDING);
	assert_string_equal(ramp_reason(&x.r), "stage 1 of 5: 10% for 1m");
	assert_string_equal(ramp_next_text(&x.r, next), "25% in 59s if all gates are ok");
	assert_string_equal(x.log, "before ramp|weight 10");
	rig_run(&x, 58);
	assert_int_equal(x.v.weight, 1000); /* a second before the end of the hold */
	rig_run(&x, 6);
	assert_int_equal(x.v.weight, 2500);
	rig_run(&x, 320);
	assert_state(&x, RAMP_DONE);
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
		assert_says(reply.text, rows[i].says);
		rig_run(&x, 3);
		assert_state(&x, RAMP_HOLDING);
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
		assert_state(&x, rows[i].in);
		weight = x.v.weight;
		if (rig_say_flags(&x, "carol", rows[i].verb, 0, &reply) != rows[i].code)
			print_error("row %zu: %d '%s'\n", i, reply.code, reply.text);
		assert_int_equal(reply.code, rows[i].code);
		assert_true(reply.text[0]);
		assert_state(&x, then);
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
			assert_says(ramp_reason(&x.r), "carol");
		}
		rig_free(&x);
	}
}

/* ---- the rules ---- */

static void lock_of_bob(struct rig *x)
{
	x->v.locked_at = RIG_REAL;
	strcpy(x->v.locked_by, "bob");
	strcpy(x->v.lock_reason, "lunch");
}

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
	{"lock", lock_of_bob, 4, RAMP_FORCE, "locked by bob since", false},
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
		assert_says(reply.text, rules[i].says);
		if (reply.flag)
			assert_says(reply.text, ramp_flag_name(reply.flag));
		/* No other flag helps. */
		assert_int_equal(rig_say_flags(&x, "alice", RAMP_START, ~rules[i].flag, &reply),
				 rules[i].code);
		assert_state(&x, RAMP_IDLE);
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
		assert_state(&x, RAMP_HOLDING);
		assert_int_equal(x.v.weight, 2500);
		assert_says(ramp_reason(&x.r), rules[i].says);
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
	lock_of_bob(&x);
	rig_say_flags(&x, "alice", RAMP_START, RAMP_L4_ONLY | RAMP_FORCE, &reply);
	assert_int_equal(reply.code, 0);
	rig_run(&x, 65);
	assert_int_equal(x.v.weight, 2500); /* both, through a promotion */
	x.v.locked_at = RIG_REAL + 1;	    /* another lock was not overridden */
	rig_run(&x, 70);
	assert_int_equal(x.v.weight, 2500);
	assert_says(ramp_reason(&x.r), "locked by bob");
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
	assert_says(ramp_reason(&x.r), "frozen by bob");
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
		{GATE_BACK, RAMP_DONE, 1, false, RAMP_DONE, -1, true},
		{GATE_BACK, RAMP_HOLDING, 1, true, RAMP_PAUSED, -1, true},
		{GATE_BACK, RAMP_HOLDING, 2, false, RAMP_PAUSED, -1, true},
		{GATE_BACK, RAMP_DONE, 2, false, RAMP_DONE, -1, true},
		{GATE_BACK, RAMP_IDLE, 1, false, RAMP_IDLE, -1, false},
		{GATE_PAUSE, RAMP_HOLDING, 1, false, RAMP_PAUSED, -1, true},
		{GATE_PAUSE, RAMP_PAUSED, 1, false, RAMP_PAUSED, -1, false},
		{GATE_PAUSE, RAMP_PROMOTING, 1, false, RAMP_PAUSED, -1, true},
		{GATE_PAUSE, RAMP_DONE, 1, false, RAMP_DONE, -1, true},
		{GATE_PAUSE, RAMP_HOLDING, 2, false, RAMP_PAUSED, -1, true},
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
		assert_state(&x, rows[i].then);
		assert_int_equal(x.v.weight, rows[i].weight < 0 ? weight : rows[i].weight);
		assert_int_equal(x.alarms > 0, rows[i].alarm);
		if (rows[i].alarm)
			assert_says(x.last_alarm, "the evidence");
		/* It stays so, and is said once. */
		rig_run(&x, 300);
		assert_state(&x, rows[i].then);
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
	assert_state(&x, RAMP_ROLLED_BACK);
	assert_int_equal(x.v.weight, 0);
	assert_says(ramp_reason(&x.r), "every backend is down");
	rig_free(&x);
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	x.v.authority = SHIFT_AUTHORITY_NEW;
	x.v.all_down = true;
	rig_run(&x, 10);
	assert_state(&x, RAMP_PAUSED);
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
	assert_says(out->action[1].reason, "rollback (immediate): gate errors: 6% > 5%");
	/* Hooks come after it, once. */
	rig_carry_out_all(&x, out);
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
	assert_says(ramp_reason(&x.r), "rollback (planned): gate errors: 1.2% > 1% for 10m");
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
	assert_state(&x, RAMP_PAUSED);
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
	assert_state(&x, RAMP_PAUSED);
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
	lock_of_bob(&x);
	rig_gate(&x, 1, GATE_BACK, "21% below");
	rig_run(&x, 5);
	assert_int_equal(x.v.weight, 2500);
	assert_state(&x, RAMP_PAUSED);
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
	assert_state(&x, RAMP_PAUSED);
	assert_int_equal(rig_say_flags(&x, "alice", RAMP_RESUME, RAMP_UNPROVEN, &reply), 0);
	rig_run(&x, 5);
	assert_state(&x, RAMP_HOLDING);
	rig_gate(&x, 1, GATE_OK, "50 < 100");
	rig_run(&x, 1);
	rig_gate(&x, 1, GATE_PAUSE, "213 > 200");
	rig_run(&x, 1);
	assert_state(&x, RAMP_PAUSED);
	/* Of a rollback it passes nothing. */
	rig_say_flags(&x, "alice", RAMP_RESUME, RAMP_UNPROVEN, &reply);
	rig_gate(&x, 1, GATE_ROLLBACK, "600 > 500");
	rig_run(&x, 1);
	assert_state(&x, RAMP_ROLLED_BACK);
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
	assert_state(&x, RAMP_HOLDING);
	assert_says(ramp_reason(&x.r), "p95 is inconclusive: no data since 17s");
	rig_gate(&x, 1, GATE_OK, "50 < 100");
	rig_run(&x, 2);
	assert_int_equal(x.v.weight, 5000);
	rig_free(&x);
}

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
			assert_state(&x, RAMP_PAUSED);
			assert_says(ramp_reason(&x.r), "bob set the share from 25% to ");
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
	assert_state(&x, RAMP_PAUSED);
	assert_says(ramp_reason(&x.r), "by itself");
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
		assert_state(&x, RAMP_ROLLED_BACK);
		assert_says(ramp_reason(&x.r), "rolled back by bob");
		assert_string_equal(x.log, "on rollback");
		assert_int_equal(rig_say(&x, RAMP_RESUME), 1);
		assert_int_equal(rig_say(&x, RAMP_START), 3);
		assert_int_equal(x.v.weight, 0);
		/* A restart does not do it again. */
		rig_restart(&x);
		rig_run(&x, 5);
		assert_state(&x, RAMP_ROLLED_BACK);
		assert_int_equal(x.hook_runs, 1);
		/* A second rollback while the first start is under way ends that too. */
		assert_int_equal(
			rig_say_flags(&x, "alice", RAMP_START, RAMP_AFTER_ROLLBACK, &reply), 0);
		rig_latch(&x, "carol");
		rig_run(&x, 3);
		assert_state(&x, RAMP_ROLLED_BACK);
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
	assert_state(&x, RAMP_IDLE);
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
	assert_state(&x, RAMP_IDLE);
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
	assert_state(&x, RAMP_PAUSED);
	assert_int_equal(x.v.weight, 2500);
	assert_int_equal(rig_say(&x, RAMP_RESUME), 3);
	rig_latch(&x, "bob");
	rig_run(&x, 2);
	assert_state(&x, RAMP_ROLLED_BACK);
	assert_int_equal(x.hook_runs, 0);
	rig_free(&x);
}

static void a_reload_keeps_the_ramp_and_pauses_it_when_the_plan_changed(void **state)
{
	struct config *fresh = rig_conf();
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	fresh->stages[1].hold_ms = 5000;
	ramp_use(&x.r, fresh);
	rig_run(&x, 1);
	assert_state(&x, RAMP_HOLDING);
	fresh = rig_conf();
	fresh->stages[1].weight = 3000;
	ramp_use(&x.r, fresh);
	rig_run(&x, 1);
	assert_state(&x, RAMP_PAUSED);
	assert_int_equal(x.r.saved.stage, 1); /* 25 % is above 10 and below 30 */
	rig_say(&x, RAMP_RESUME);
	rig_run(&x, 65);
	assert_int_equal(x.v.weight, 3000);
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
	assert_state(&x, RAMP_PAUSED);
	assert_says(ramp_reason(&x.r), "hooks after stage 2 failed: exit 1");
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
	assert_state(&x, RAMP_PROMOTING);
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
		assert_state(&x, i == 3 ? RAMP_PAUSED : RAMP_ROLLED_BACK);
		rig_free(&x);
	}
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
	assert_state(&x, RAMP_PROMOTING);
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
	assert_state(&x, RAMP_ROLLED_BACK);
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
	assert_state(&x, RAMP_PAUSED);
	assert_int_equal(x.alarms, 1);
	assert_says(ramp_reason(&x.r), "50% could not be set: the kernel refused");
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
		assert_state(&x, RAMP_ROLLED_BACK);
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
	assert_says(reply.text, "later writes are NOT on old");
	assert_int_equal(x.v.weight, 7500);
	assert_int_equal(rig_say_flags(&x, "alice", RAMP_ABORT, 0, &reply), 0);
	assert_says(reply.text, "later writes are NOT on old");
	assert_int_equal(x.v.weight, 0);
	rig_free(&x);
}

static void an_alarm_is_repeated_only_after_quiet(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_DONE);
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

static void without_a_program_nothing_is_done(void **state)
{
	struct ramp_reply reply;
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	x.v.attached = false;
	x.v.weight = 0;
	x.v.epoch = 0;
	rig_run(&x, 100);
	assert_state(&x, RAMP_HOLDING);
	assert_int_equal(rig_say_flags(&x, "alice", RAMP_ABORT, 0, &reply), 0);
	assert_says(reply.text, "nothing is attached");
	rig_free(&x);
}

/* ---- a restart ---- */

static unsigned int stage_of(uint16_t weight)
{
	return weight == 0 ? 0 : weight == 1000 ? 1 : weight / 2500u + 1;
}

/* Killed before each action of a whole ramp with hooks everywhere, in turn. */
static unsigned int live_twice(unsigned int dies_at, unsigned int flag)
{
	static const char *const once[] = {"weight 10|", "weight 25", "weight 50", "weight 75",
					   "weight 100"};
	unsigned int carried, unknown = 0;
	struct ramp_reply reply;
	struct rig x;
	char log[RIG_LOG + 8];

	rig_make(&x);
	rig_hook(x.conf, CONF_BEFORE_RAMP, 0);
	rig_hook(x.conf, CONF_BEFORE_STAGE, 0);
	rig_hook(x.conf, CONF_AFTER_STAGE, 0);
	rig_hook(x.conf, CONF_AFTER_RAMP, 0);
	rig_step(&x);
	x.dies_at = dies_at;
	rig_say(&x, RAMP_START);
	rig_run(&x, 400);
	carried = x.carried;
	if (x.dead) {
		uint16_t weight = x.v.weight;
		enum ramp_state was = x.has_journal ? x.journal.state : RAMP_IDLE;

		rig_restart(&x);
		rig_run(&x, 100);
		assert_int_equal(x.v.weight, weight); /* nothing by itself */
		if (was == RAMP_IDLE || was == RAMP_DONE) {
			assert_state(&x, was);
		} else {
			assert_state(&x, RAMP_PAUSED);
			assert_says(ramp_reason(&x.r), "shiftd was started again");
			assert_int_equal(x.r.saved.stage, stage_of(weight));
		}
		if (was == RAMP_IDLE) {
			rig_say(&x, RAMP_START);
		} else if (was != RAMP_DONE) {
			unknown = x.r.saved.unknown;
			if (unknown) {
				assert_int_equal(rig_say_flags(&x, "bob", RAMP_RESUME, 0, &reply),
						 3);
				assert_int_equal(reply.flag, RAMP_AGAIN);
			}
			assert_int_equal(rig_say_flags(&x, "bob", RAMP_RESUME, flag, &reply), 0);
		}
		rig_run(&x, 400);
	}
	assert_state(&x, RAMP_DONE);
	assert_int_equal(x.weights, 5);
	snprintf(log, sizeof(log), "%s|", x.log);
	for (size_t i = 0; i < COUNT(once); i++) {
		const char *at = strstr(log, once[i]);

		assert_non_null(at);
		assert_null(strstr(at + 1, once[i]));
	}
	/* 1 + 5 + 5 + 1 hooks; those under way at the kill once more or once less. */
	if (flag == RAMP_SKIP_HOOKS)
		assert_in_range(x.hook_runs, 12 - unknown, 12);
	else
		assert_in_range(x.hook_runs, 12, 12 + unknown);
	rig_free(&x);
	return carried;
}

static void killed_at_any_point_it_goes_on_paused_and_nothing_is_done_twice(void **state)
{
	unsigned int all = live_twice(0, 0);

	(void)state;
	assert_true(all > 60);
	for (unsigned int i = 1; i <= all; i++) {
		live_twice(i, RAMP_SKIP_HOOKS);
		live_twice(i, RAMP_AGAIN);
	}
}

static void killed_at_any_point_of_a_rollback_it_happens_once(void **state)
{
	for (unsigned int by_hand = 0; by_hand < 2; by_hand++) {
		for (unsigned int i = 1; i < 10; i++) {
			struct rig x;

			(void)state;
			rig_make(&x);
			rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
			rig_bring(&x, RAMP_HOLDING);
			x.carried = 0;
			x.dies_at = i;
			if (by_hand)
				rig_say(&x, RAMP_ABORT);
			else
				rig_gate(&x, 0, GATE_ROLLBACK, "6% > 5%");
			rig_run(&x, 3);
			if (!x.dead) {
				assert_true(i > 5);
				rig_free(&x);
				break;
			}
			rig_restart(&x);
			rig_gate(&x, 0, GATE_OK, "fine");
			rig_run(&x, 10);
			/* Without even an intent the operator knows that it did not happen. */
			if (i == 1) {
				assert_state(&x, RAMP_PAUSED);
			} else {
				assert_state(&x, RAMP_ROLLED_BACK);
				assert_int_equal(x.rollbacks, 1);
				assert_int_equal(x.v.weight, 0);
				assert_in_range(x.hook_runs, x.alarms ? 0 : 1, 1);
			}
			rig_free(&x);
		}
	}
}

static void a_rollback_that_was_owed_is_left_to_an_operator_who_came(void **state)
{
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	x.carried = 0;
	x.dies_at = 2;
	rig_gate(&x, 0, GATE_ROLLBACK, "6% > 5%");
	rig_run(&x, 1);
	assert_true(x.dead);
	rig_set(&x, "bob", 1000, false); /* while shiftd was away */
	rig_restart(&x);
	rig_gate(&x, 0, GATE_OK, "fine");
	rig_run(&x, 10);
	assert_state(&x, RAMP_PAUSED);
	assert_int_equal(x.v.weight, 1000);
	assert_int_equal(x.r.saved.stage, 1);
	rig_free(&x);
}

static void what_happened_while_shiftd_was_away_is_seen(void **state)
{
	static const enum ramp_state states[] = {RAMP_HOLDING, RAMP_PAUSED, RAMP_PROMOTING};

	(void)state;
	for (size_t i = 0; i < COUNT(states); i++) {
		struct rig x;

		rig_make(&x);
		rig_bring(&x, states[i]);
		rig_set(&x, "bob", 6000, false);
		rig_restart(&x);
		rig_run(&x, 1);
		assert_state(&x, RAMP_PAUSED);
		assert_int_equal(x.r.saved.stage, 3);
		assert_says(ramp_reason(&x.r), "meanwhile");
		rig_latch(&x, "bob");
		rig_restart(&x);
		rig_run(&x, 1);
		assert_state(&x, RAMP_ROLLED_BACK);
		assert_says(ramp_reason(&x.r), "rolled back by bob");
		rig_free(&x);
	}
}

static void restart_after_restart_says_the_same(void **state)
{
	char reason[RAMP_TEXT];
	struct rig x;

	(void)state;
	rig_make(&x);
	rig_bring(&x, RAMP_HOLDING);
	rig_restart(&x);
	rig_run(&x, 1);
	strcpy(reason, ramp_reason(&x.r));
	for (unsigned int i = 0; i < 5; i++) {
		rig_restart(&x);
		rig_run(&x, 1);
		assert_string_equal(ramp_reason(&x.r), reason);
	}
	rig_free(&x);
}

/* ---- a random walk ---- */

struct walk {
	bool manual; /* an operator's command is being done */
	unsigned int raises, lowers;
	bool skipped; /* a flag was given that passes over gates, in this ramp's stage */
};

static struct walk walk;

static void check_action(struct rig *x, const struct ramp_action *a)
{
	const struct ramp_view *v = &x->v;

	assert_true(a->reason[0]);
	assert_true(a->what == RAMP_JOURNAL || a->what == RAMP_NOTIFY || a->what == RAMP_ALARM ||
		    a->what == RAMP_STOP_HOOKS || a->id);
	if (a->what == RAMP_RUN_HOOKS)
		assert_true(v->leader);
	if (a->what == RAMP_ROLLBACK && !walk.manual && !x->r.saved.by_hand) {
		assert_int_not_equal(v->authority, SHIFT_AUTHORITY_NEW);
		assert_false(v->old_unhealthy);
		assert_true(v->leader);
	}
	if (a->what != RAMP_SET_WEIGHT)
		return;
	if (a->weight > v->weight) {
		walk.raises++;
		/* One stage of the plan, and only that. */
		assert_int_equal(a->weight, x->conf->stages[a->stage - 1].weight);
		for (unsigned int i = 0; i < RIG_STAGES; i++)
			assert_false(x->conf->stages[i].weight > v->weight &&
				     x->conf->stages[i].weight < a->weight);
		assert_int_equal(x->r.saved.state, RAMP_PROMOTING);
		assert_int_equal(a->epoch, v->epoch);
		assert_true(a->recorded);
		assert_false(v->journal_failed);
		assert_true(v->leader);
		assert_int_not_equal(v->authority, SHIFT_AUTHORITY_NEW);
		assert_true(!v->latched || a->after_rollback);
		assert_true(!v->locked_at || !strcmp(v->locked_by, "alice") || a->force);
		assert_false(v->frozen || x->r.saved.frozen_at || v->confirm_left);
		assert_true(v->healthy >= 1 && v->tunnel_up && v->app_gate);
		for (unsigned int i = 0; i < RIG_GATES; i++) {
			enum gate_says says = x->gates[i].verdict.says;

			assert_true(says == GATE_OK || (x->r.saved.waived >> i & 1) ||
				    (says == GATE_INCONCLUSIVE && !v->weight));
			assert_int_not_equal(says, GATE_ROLLBACK);
		}
	} else {
		walk.lowers++;
		assert_true(walk.manual || v->authority != SHIFT_AUTHORITY_NEW);
		assert_true(walk.manual || !v->old_unhealthy);
		assert_true(a->weight < v->weight);
	}
}

static void disturb(struct rig *x)
{
	struct ramp_view *v = &x->v;

	switch (lrand48() % 22) {
	case 0:
	case 1:
	case 2:
	case 3:
		rig_gate(x, (unsigned int)(lrand48() % RIG_GATES), (enum gate_says)(lrand48() % 5),
			 "random");
		return;
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
		for (unsigned int i = 0; i < RIG_GATES; i++)
			rig_gate(x, i, GATE_OK, "fine");
		return;
	case 9:
		rig_set(x, "bob", (uint16_t)(lrand48() % 10001), false);
		return;
	case 10:
		if (lrand48() % 4 == 0)
			rig_latch(x, "bob");
		return;
	case 11:
		v->authority = lrand48() % 6 ? SHIFT_AUTHORITY_SHARED : SHIFT_AUTHORITY_NEW;
		return;
	case 12:
		v->locked_at = lrand48() % 3 ? 0 : (uint64_t)lrand48();
		strcpy(v->locked_by, lrand48() % 2 ? "alice" : "bob");
		return;
	case 13:
		v->frozen = lrand48() % 4 == 0;
		return;
	case 14:
		v->old_unhealthy = lrand48() % 4 == 0;
		return;
	case 15:
		v->healthy = (unsigned int)(lrand48() % 4);
		v->all_down = !v->healthy;
		return;
	case 16:
		v->tunnel_up = lrand48() % 4 != 0;
		return;
	case 17:
		v->confirm_left = lrand48() % 4 ? 0 : 5;
		return;
	case 18:
		v->journal_failed = lrand48() % 5 == 0;
		return;
	case 19:
		v->leader = lrand48() % 8 != 0;
		return;
	case 20:
		x->weight = lrand48() % 4 ? RAMP_DID : (enum ramp_result)(lrand48() % 3);
		x->rollback = lrand48() % 4 ? RAMP_DID : RAMP_FAILED;
		x->hooks = lrand48() % 4 ? RAMP_DID : RAMP_FAILED;
		return;
	default:
		v->app_gate = lrand48() % 6 != 0;
	}
}

static void check_world(const struct rig *x)
{
	const struct ramp_saved *s = &x->r.saved;

	assert_true(s->state < RAMP_STATES);
	assert_true(s->stage <= RIG_STAGES && s->target <= RIG_STAGES);
	assert_true(s->leg != RAMP_LEG_NONE || !s->target);
	assert_true(s->state != RAMP_ROLLED_BACK || s->leg == RAMP_LEG_NONE);
	assert_true(ramp_reason(&x->r)[0]);
	if (ramp_is_active(&x->r) && !s->pending.id && x->v.attached)
		assert_true(x->v.weight != s->weight || !s->stage ||
			    x->conf->stages[s->stage - 1].weight <= s->weight);
}

static void a_random_walk_breaks_no_rule(void **state)
{
	unsigned int seen[RAMP_STATES] = {0};

	(void)state;
	srand48(4711);
	memset(&walk, 0, sizeof(walk));
	for (unsigned int trip = 0; trip < 300; trip++) {
		struct rig x;

		rig_make(&x);
		strcpy(x.conf->rules.tunnel, "aws");
		for (unsigned int i = 0; i < RIG_STAGES; i++)
			x.conf->stages[i].hold_ms = (uint64_t)(lrand48() % 20000);
		rig_hook(x.conf, CONF_BEFORE_STAGE, 0);
		rig_hook(x.conf, CONF_ON_ROLLBACK, 0);
		rig_hook(x.conf, CONF_ON_COMMIT, 0);
		x.watch = check_action;
		rig_step(&x);
		for (unsigned int i = 0; i < 1500; i++) {
			long what = lrand48() % 100;

			if (what < 25)
				disturb(&x);
			if (what >= 25 && what < 45) {
				unsigned int flags =
					lrand48() % 3 == 0 ? (unsigned int)lrand48() &
								     (RAMP_AFTER_ROLLBACK |
								      RAMP_FORCE | RAMP_UNPROVEN |
								      RAMP_AGAIN | RAMP_SKIP_HOOKS)
							   : RAMP_AFTER_ROLLBACK;
				enum ramp_verb verb = (enum ramp_verb)(lrand48() % 8);
				struct ramp_reply reply;

				if (verb == RAMP_ABORT && lrand48() % 4)
					verb = RAMP_START;
				walk.manual = true;
				rig_say_flags(&x, "alice", verb, flags, &reply);
				assert_true(reply.text[0]);
				walk.manual = false;
			}
			if (x.running && what % 3 == 0)
				rig_hooks_end(&x, lrand48() % 8 ? RAMP_DID : RAMP_FAILED);
			if (what == 99)
				rig_restart(&x);
			x.slow_hooks = what % 7 == 0;
			x.log[0] = '\0';
			rig_run(&x, 1);
			check_world(&x);
			seen[x.r.saved.state]++;
		}
		rig_free(&x);
	}
	for (unsigned int i = 0; i < RAMP_STATES; i++)
		assert_true(seen[i] > 100);
	assert_true(walk.raises > 1000);
	assert_true(walk.lowers > 100);
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
		cmocka_unit_test(what_a_gate_says_in_every_state),
		cmocka_unit_test(all_backends_down_is_an_immediate_rollback),
		cmocka_unit_test(the_rollback_stands_before_everything_that_waits),
		cmocka_unit_test(classes_are_told_apart),
		cmocka_unit_test(a_gate_goes_back_one_stage_and_no_further),
		cmocka_unit_test(a_foreign_lock_holds_a_gate_that_would_go_back),
		cmocka_unit_test(unproven_passes_over_a_gate_until_it_says_something_else),
		cmocka_unit_test(a_pause_stops_the_clock_of_the_hold),
		cmocka_unit_test(what_was_not_ok_begins_the_hold_anew),
		cmocka_unit_test(no_data_at_the_end_of_the_hold_holds),
		cmocka_unit_test(an_operators_weight_pauses_and_is_named),
		cmocka_unit_test(a_share_that_fell_by_itself_pauses),
		cmocka_unit_test(changes_of_control_that_leave_the_share_do_not_pause),
		cmocka_unit_test(a_latch_by_anyone_ends_the_ramp),
		cmocka_unit_test(a_latch_of_before_the_first_look_is_no_news),
		cmocka_unit_test(a_rollback_without_a_ramp_runs_its_hooks),
		cmocka_unit_test(a_commit_runs_its_hooks_once),
		cmocka_unit_test(another_role_pauses_and_runs_nothing),
		cmocka_unit_test(a_reload_keeps_the_ramp_and_pauses_it_when_the_plan_changed),
		cmocka_unit_test(a_failed_hook_pauses_and_a_resume_runs_it_again),
		cmocka_unit_test(hooks_that_run_are_waited_for_and_stopped_when_off),
		cmocka_unit_test(an_overtaken_raise_looks_again),
		cmocka_unit_test(a_raise_that_fails_pauses_and_alarms),
		cmocka_unit_test(a_rollback_that_fails_is_tried_again),
		cmocka_unit_test(what_is_told_when_authority_is_new),
		cmocka_unit_test(an_alarm_is_repeated_only_after_quiet),
		cmocka_unit_test(without_a_program_nothing_is_done),
		cmocka_unit_test(killed_at_any_point_it_goes_on_paused_and_nothing_is_done_twice),
		cmocka_unit_test(killed_at_any_point_of_a_rollback_it_happens_once),
		cmocka_unit_test(a_rollback_that_was_owed_is_left_to_an_operator_who_came),
		cmocka_unit_test(what_happened_while_shiftd_was_away_is_seen),
		cmocka_unit_test(restart_after_restart_says_the_same),
		cmocka_unit_test(a_random_walk_breaks_no_rule),
		cmocka_unit_test(names_are_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
