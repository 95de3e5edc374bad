/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp_rig.h - a world for the ramp: a record of control, hooks and gates, that carries out what
 * the ramp asks for, and writes it down
 *
 * The rig obeys the contract of ctl/ramp.h as the runner does: in order, a raise by the epoch, a
 * latch that refuses, the journal before the rest. Whoever includes it has cmocka.h before it.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/ctl/ramp.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

#define RIG_SECOND UINT64_C(1000000000)
#define RIG_REAL   UINT64_C(1800000000000000000)
#define RIG_STAGES 5
#define RIG_GATES  2
#define RIG_HOOKS  5
#define RIG_LOG	   4096

struct rig {
	struct config *conf; /* the rig's, of calloc */
	struct ramp r;
	struct ramp_view v;
	struct ramp_gate gates[RIG_GATES]; /* 0: errors (kernel), 1: p95 (the application's) */
	struct ramp_out out;
	uint64_t now;
	/* How it carries out. */
	bool slow_hooks;			  /* their outcome is given by rig_hooks_end */
	enum ramp_result hooks, weight, rollback; /* RAMP_DID: they work */
	uint32_t running;			  /* id of hooks without an outcome */
	char log[RIG_LOG];			  /* "hooks before stage 1|weight 10|…" */
	unsigned int alarms, notes, entries, weights, rollbacks, hook_runs, stops;
	char last_alarm[RAMP_TEXT];
	struct ramp_saved journal; /* of the last RAMP_JOURNAL */
	bool has_journal;
	void (*watch)(struct rig *x, const struct ramp_action *a); /* before each is carried out */
	const char *late_on;	       /* with that entry the disk begins to be late, */
	bool late;		       /* and is, until the test says otherwise */
	unsigned int carried, dies_at; /* before that action, counted from 1; 0: never */
	bool dead;
};

static inline void rig_log(struct rig *x, const char *text)
{
	size_t used = strlen(x->log);

	snprintf(x->log + used, sizeof(x->log) - used, "%s%s", used ? "|" : "", text);
}

static inline struct config *rig_conf(void)
{
	static const uint16_t weights[RIG_STAGES] = {1000, 2500, 5000, 7500, 10000};
	struct config *c = calloc(1, sizeof(*c));

	c->n_stages = RIG_STAGES;
	for (unsigned int i = 0; i < RIG_STAGES; i++) {
		c->stages[i].weight = weights[i];
		c->stages[i].hold_ms = 60000;
	}
	c->rules.max_step = 2500;
	c->rules.window_ms = 60000;
	c->rules.min_healthy = 1;
	c->rules.window_ms = 60000;
	return c;
}

static inline void rig_hook(struct config *c, enum conf_when when, uint16_t stage)
{
	struct conf_hook_step *h = &c->hooks[c->n_hooks++];

	h->when = when;
	h->stage = stage;
	h->required = true;
	snprintf(h->name, sizeof(h->name), "hook%u", c->n_hooks);
}

static inline void rig_gate(struct rig *x, unsigned int i, enum gate_says says, const char *why)
{
	struct gate_verdict *v = &x->gates[i].verdict;

	v->says = says;
	v->has_value = says != GATE_INCONCLUSIVE;
	v->value = 1;
	v->at = x->now;
	snprintf(v->why, sizeof(v->why), "%s", why);
	if (says > GATE_INCONCLUSIVE)
		x->gates[i].broken_at = x->now;
}

static inline void rig_make(struct rig *x)
{
	memset(x, 0, sizeof(*x));
	x->conf = rig_conf();
	ramp_begin(&x->r, x->conf);
	x->now = 1000 * RIG_SECOND;
	x->v = (struct ramp_view){
		.leader = true,
		.attached = true,
		.epoch = 7,
		.authority = SHIFT_AUTHORITY_SHARED,
		.healthy = 3,
		.backends = 3,
		.tunnel_up = true,
		.app_gate = true,
		.gates = x->gates,
		.n_gates = RIG_GATES,
	};
	snprintf(x->gates[0].name, sizeof(x->gates[0].name), "errors");
	snprintf(x->gates[1].name, sizeof(x->gates[1].name), "p95");
	rig_gate(x, 0, GATE_OK, "0.04% < 0.1%");
	rig_gate(x, 1, GATE_OK, "50 < 100");
}

static inline void rig_free(struct rig *x)
{
	free(x->conf);
}

/* Somebody changes control. */
static inline void rig_set(struct rig *x, const char *who, uint16_t weight, bool after_rollback)
{
	x->v.weight = weight;
	x->v.epoch++;
	x->v.by_itself = false;
	snprintf(x->v.set_by, sizeof(x->v.set_by), "%s", who);
	x->v.set_reason[0] = '\0';
	if (after_rollback)
		x->v.latched = false;
}

static inline void rig_latch(struct rig *x, const char *who)
{
	rig_set(x, who, 0, false);
	x->v.latched = true;
	x->v.latched_at = RIG_REAL + x->now + x->v.epoch; /* each is another */
	snprintf(x->v.latched_by, sizeof(x->v.latched_by), "%s", who);
}

static inline void rig_outcome(struct rig *x, uint32_t id, const struct ramp_outcome *o);

static inline void rig_do_weight(struct rig *x, const struct ramp_action *a)
{
	struct ramp_outcome o = {.result = x->weight};

	if (x->weight == RAMP_DID &&
	    (a->epoch != x->v.epoch || (x->v.latched && a->raise && !a->after_rollback)))
		o.result = RAMP_OVERTAKEN;
	snprintf(o.why, sizeof(o.why), "the kernel refused");
	if (o.result == RAMP_DID) {
		rig_set(x, a->who, a->weight, a->after_rollback);
		for (unsigned int i = 0; i < RIG_GATES; i++)
			x->gates[i].broken_at = 0;
		x->weights++;
	}
	o.epoch = x->v.epoch;
	rig_outcome(x, a->id, &o);
}

static inline void rig_do_rollback(struct rig *x, const struct ramp_action *a)
{
	struct ramp_outcome o = {.result = x->rollback};

	snprintf(o.why, sizeof(o.why), "the kernel refused");
	if (o.result == RAMP_DID) {
		rig_latch(x, a->who);
		x->rollbacks++;
	}
	o.epoch = x->v.epoch;
	o.latched_at = x->v.latched_at;
	rig_outcome(x, a->id, &o);
}

static inline void rig_hooks_end(struct rig *x, enum ramp_result result)
{
	struct ramp_outcome o = {.result = result};
	uint32_t id = x->running;

	snprintf(o.why, sizeof(o.why), "exit 1");
	x->running = 0;
	rig_outcome(x, id, &o);
}

static inline void rig_carry_out(struct rig *x, const struct ramp_action *a)
{
	static const char *const whens[] = {"before ramp", "before",	  "after",
					    "on commit",   "on rollback", "after ramp"};
	char text[64];

	if (x->dead || ++x->carried == x->dies_at) {
		x->dead = true;
		return;
	}
	if (x->watch)
		x->watch(x, a);
	switch (a->what) {
	case RAMP_SET_WEIGHT:
		snprintf(text, sizeof(text), "weight %u", a->weight / 100u);
		rig_log(x, text);
		rig_do_weight(x, a);
		return;
	case RAMP_ROLLBACK:
		rig_log(x, "rollback");
		rig_do_rollback(x, a);
		return;
	case RAMP_RUN_HOOKS:
		if (a->stage)
			snprintf(text, sizeof(text), "%s %u", whens[a->when],
				 (unsigned int)a->stage);
		else
			snprintf(text, sizeof(text), "%s", whens[a->when]);
		rig_log(x, text);
		x->hook_runs++;
		assert_int_equal(x->running, 0); /* one after the other */
		x->running = a->id;
		if (!x->slow_hooks)
			rig_hooks_end(x, x->hooks);
		return;
	case RAMP_STOP_HOOKS:
		rig_log(x, "stop");
		assert_int_equal(a->id, x->running);
		x->running = 0;
		x->stops++;
		return;
	case RAMP_NOTIFY:
		x->notes++;
		return;
	case RAMP_ALARM:
		x->alarms++;
		snprintf(x->last_alarm, sizeof(x->last_alarm), "%s", a->reason);
		return;
	case RAMP_JOURNAL: /* one that is late gets there, in its order */
		x->late |= x->late_on && a->recorded && !strcmp(a->event, x->late_on);
		x->v.journal_failed |= x->late;
		x->entries++;
		x->journal = a->saved;
		x->has_journal = true;
		return;
	default:
		abort();
	}
}

static inline void rig_carry_out_all(struct rig *x, const struct ramp_out *out)
{
	bool lost = false;

	assert_true(out->n < RAMP_ACTIONS / 2); /* there is room to spare in any case */
	for (unsigned int i = 0; i < out->n; i++) {
		const struct ramp_action *a = &out->action[i];
		struct ramp_outcome o = {.result = a->what == RAMP_RUN_HOOKS ? RAMP_OVERTAKEN
									     : RAMP_FAILED,
					 .why = "the journal cannot be written"};

		if (a->recorded && lost && a->id)
			rig_outcome(x, a->id, &o);
		else
			rig_carry_out(x, a);
		if (a->what == RAMP_JOURNAL)
			lost = x->late;
	}
}

/* The disk answers again. */
static inline void rig_in_time(struct rig *x)
{
	x->late = x->v.journal_failed = false;
	x->late_on = NULL;
}

static inline void rig_outcome(struct rig *x, uint32_t id, const struct ramp_outcome *o)
{
	struct ramp_out *out; /* actions may give outcomes at once */

	if (x->dead)
		return;
	out = malloc(sizeof(*out));
	x->v.real = RIG_REAL + x->now;
	ramp_outcome(&x->r, id, o, &x->v, x->now, out);
	rig_carry_out_all(x, out);
	free(out);
}

static inline void rig_step(struct rig *x)
{
	struct ramp_out *out;

	if (x->dead)
		return;
	out = malloc(sizeof(*out));
	x->v.real = RIG_REAL + x->now;
	ramp_step(&x->r, &x->v, x->now, out);
	rig_carry_out_all(x, out);
	free(out);
}

/* So many steps of a second each. */
static inline void rig_run(struct rig *x, unsigned int seconds)
{
	while (seconds--) {
		x->now += RIG_SECOND;
		rig_step(x);
	}
}

static inline int rig_say_flags(struct rig *x, const char *who, enum ramp_verb verb,
				unsigned int flags, struct ramp_reply *ret)
{
	struct ramp_command c = {.verb = verb, .flags = flags};
	struct ramp_out *out = malloc(sizeof(*out));

	snprintf(c.who, sizeof(c.who), "%s", who);
	x->v.real = RIG_REAL + x->now;
	ramp_command(&x->r, &c, &x->v, x->now, out, ret);
	rig_carry_out_all(x, out);
	free(out);
	return ret->code;
}

static inline int rig_say(struct rig *x, enum ramp_verb verb)
{
	struct ramp_reply reply;

	return rig_say_flags(x, "alice", verb, 0, &reply);
}

/* shiftd begins anew from what the journal has, on a clock that went on. */
static inline void rig_restart(struct rig *x)
{
	x->dead = false;
	x->dies_at = 0;
	x->running = 0;
	ramp_begin(&x->r, x->conf);
	if (x->has_journal)
		ramp_restore(&x->r, &x->journal);
	x->now += 5 * RIG_SECOND;
}

/* A ramp in `state`, at 25 % where it is under way. */
static inline void rig_bring(struct rig *x, enum ramp_state state)
{
	if (state == RAMP_IDLE) {
		rig_step(x);
		return;
	}
	rig_step(x);
	rig_say(x, RAMP_START);
	rig_run(x, 2);
	rig_say(x, RAMP_NEXT);
	rig_run(x, 2);
	switch (state) {
	case RAMP_PAUSED:
		rig_say(x, RAMP_PAUSE);
		break;
	case RAMP_PROMOTING: /* waits for a lock to go */
		rig_say(x, RAMP_NEXT);
		x->v.locked_at = 1;
		snprintf(x->v.locked_by, sizeof(x->v.locked_by), "bob");
		rig_run(x, 1);
		x->v.locked_at = 0;
		break;
	case RAMP_DONE:
		for (unsigned int i = 0; i < 8 && x->r.saved.state != RAMP_DONE; i++) {
			rig_say(x, RAMP_NEXT);
			rig_run(x, 2);
		}
		break;
	case RAMP_ROLLED_BACK:
		rig_latch(x, "bob");
		rig_run(x, 1);
		break;
	default:
		break;
	}
}

static inline void rig_lock(struct rig *x)
{
	x->v.locked_at = RIG_REAL;
	strcpy(x->v.locked_by, "bob");
	strcpy(x->v.lock_reason, "lunch");
}

static inline void rig_state_is(const struct rig *x, enum ramp_state state)
{
	if (x->r.saved.state != state)
		print_error("%s, not %s: %s\n", ramp_state_name(x->r.saved.state),
			    ramp_state_name(state), ramp_reason(&x->r));
	assert_int_equal(x->r.saved.state, state);
	assert_true(ramp_reason(&x->r)[0]);
}

static inline void rig_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		print_error("'%s' does not say '%s'\n", text, part);
	assert_non_null(strstr(text, part));
}
