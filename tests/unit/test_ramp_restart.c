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
			rig_state_is(&x, was);
		} else {
			rig_state_is(&x, RAMP_PAUSED);
			rig_says(ramp_reason(&x.r), "shiftd was started again");
			/* It was its own change, and is known as such. */
			assert_null(strstr(ramp_reason(&x.r), "meanwhile"));
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
	rig_state_is(&x, RAMP_DONE);
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
				rig_state_is(&x, RAMP_PAUSED);
			} else {
				rig_state_is(&x, RAMP_ROLLED_BACK);
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
	rig_state_is(&x, RAMP_PAUSED);
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
		rig_state_is(&x, RAMP_PAUSED);
		assert_int_equal(x.r.saved.stage, 3);
		rig_says(ramp_reason(&x.r), "meanwhile");
		rig_latch(&x, "bob");
		rig_restart(&x);
		rig_run(&x, 1);
		rig_state_is(&x, RAMP_ROLLED_BACK);
		rig_says(ramp_reason(&x.r), "rolled back by bob");
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
		assert_true(!v->locked_at || !strcmp(v->locked_by, "alice") ||
			    x->r.saved.forced_lock == v->locked_at);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_any_point_it_goes_on_paused_and_nothing_is_done_twice),
		cmocka_unit_test(killed_at_any_point_of_a_rollback_it_happens_once),
		cmocka_unit_test(a_rollback_that_was_owed_is_left_to_an_operator_who_came),
		cmocka_unit_test(what_happened_while_shiftd_was_away_is_seen),
		cmocka_unit_test(restart_after_restart_says_the_same),
		cmocka_unit_test(a_random_walk_breaks_no_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
