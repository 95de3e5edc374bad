/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp_act.c - the ramp's actions: emitted with their intent, and what became of them
 *
 * What changes the world gets a number, and an entry "intent" stands before it in the journal; its
 * outcome gives the entry "done", "failed" or "overtaken". So a journal that ends with an intent
 * means: look at control.
 */
#include <stdio.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/ctl/ramp_inner.h"

#define HOOKS_RETRY (5 * RAMP_SECOND)

/* ---- emitting ---- */

static struct ramp_action *emit(struct ramp *r, enum ramp_do what, const char *reason)
{
	static struct ramp_action nowhere; /* more than RAMP_ACTIONS cannot come: see the tests */
	struct ramp_action *a = r->out->n < RAMP_ACTIONS ? &r->out->action[r->out->n++] : &nowhere;

	memset(a, 0, sizeof(*a));
	a->what = what;
	a->recorded = true;
	snprintf(a->who, sizeof(a->who), "%s", r->signer);
	snprintf(a->reason, sizeof(a->reason), "%s", reason);
	return a;
}

static struct ramp_action *emit_event(struct ramp *r, enum ramp_do what, const char *event,
				      const char *reason)
{
	struct ramp_action *a = emit(r, what, reason);

	snprintf(a->event, sizeof(a->event), "%s", event);
	return a;
}

void ramp_journal(struct ramp *r, const char *event, bool recorded, const char *reason)
{
	struct ramp_action *a = emit_event(r, RAMP_JOURNAL, event, reason);

	a->recorded = recorded;
	a->weight = r->view->weight;
	a->epoch = r->view->epoch;
	a->stage = r->saved.stage;
	a->saved = r->saved;
	a->asked = r->asked;
	a->flags = r->asked_flags;
	a->stages = (uint16_t)r->conf->n_stages;
	if (a->stage && a->stage <= r->conf->n_stages)
		a->hold_ms = r->conf->stages[a->stage - 1].hold_ms;
	memcpy(a->cause, r->cause, sizeof(a->cause));
}

bool ramp_alarm_lasts(const char *cause)
{
	char when[32];

	return !strcmp(cause, ramp_when_text(CONF_ON_COMMIT, 0, when)) ||
	       !strcmp(cause, ramp_when_text(CONF_ON_ROLLBACK, 0, when));
}

bool ramp_ends_alarm(const char *event)
{
	static const char *const not [] = {"paused", "freeze", "monitor", "checked"};

	for (size_t i = 0; i < sizeof(not ) / sizeof(*not ); i++) {
		if (!strcmp(event, not [i]))
			return false;
	}
	return true;
}

static void forget_alarm(struct ramp_saved *s)
{
	s->alarm[0] = s->alarm_text[0] = '\0';
	s->alarm_since = 0;
}

/* By itself, or because an operator saw it, it has an entry; else the one of what ended it, just
 * before, says so. */
static void end_standing(struct ramp *r, const char *event, const char *reason)
{
	char text[RAMP_TEXT];

	if (ramp_alarm_lasts(r->alarm))
		r->alarm[0] = '\0'; /* the next one is another */
	forget_alarm(&r->saved);
	for (unsigned int i = 0; i < r->out->n; i++)
		forget_alarm(&r->out->action[i].saved);
	if (strcmp(event, "alarm-over") != 0)
		return;
	r->asked = NULL; /* that has its own entry */
	r->asked_flags = 0;
	ramp_text(text, "the alarm is over: %.280s", reason);
	ramp_journal(r, event, true, text);
}

void ramp_notify(struct ramp *r, const char *event, const char *reason)
{
	struct ramp_action *a = emit_event(r, RAMP_NOTIFY, event, reason);

	a->weight = r->view->weight;
	a->stage = r->saved.stage;
	if (r->saved.alarm[0] && ramp_ends_alarm(event))
		end_standing(r, event, reason);
}

/* Until its end is told, by a later shiftd too. One that lasts is not forgotten over another. */
static void let_stand(struct ramp *r, const char *cause, const char *reason)
{
	struct ramp_saved *s = &r->saved;

	if (ramp_alarm_lasts(s->alarm) && !ramp_alarm_lasts(cause))
		return;
	snprintf(s->alarm, sizeof(s->alarm), "%s", cause);
	snprintf(s->alarm_text, sizeof(s->alarm_text), "%s", reason);
	s->alarm_since = r->view->real;
}

void ramp_alarm(struct ramp *r, const char *cause, const char *reason)
{
	struct ramp_action *a;

	bool quiet = r->alarm_at && r->now < r->alarm_at + RAMP_QUIET;

	if (!strcmp(r->alarm, cause) && (!r->alarm_over || quiet)) {
		r->gone_at = r->now;
		return;
	}
	r->alarm_at = r->now;
	r->alarm_over = false;
	snprintf(r->alarm, sizeof(r->alarm), "%s", cause);
	let_stand(r, cause, reason);
	a = emit_event(r, RAMP_ALARM, "alarm", reason);
	a->weight = r->view->weight;
	a->stage = r->saved.stage;
	ramp_journal(r, "alarm", true, reason);
}

void ramp_set_state(struct ramp *r, enum ramp_state state, const char *reason)
{
	static const char *const events[RAMP_STATES] = {
		[RAMP_IDLE] = "idle",	  [RAMP_HOLDING] = "holding",
		[RAMP_PAUSED] = "paused", [RAMP_PROMOTING] = "promoting",
		[RAMP_DONE] = "done",	  [RAMP_ROLLED_BACK] = "rolled-back",
	};

	r->saved.state = state;
	ramp_set_reason(r, events[state], reason);
}

void ramp_set_reason(struct ramp *r, const char *event, const char *reason)
{
	char text[RAMP_TEXT];

	snprintf(text, sizeof(text), "%s", reason);
	memcpy(r->saved.reason, text, sizeof(text));
	r->waits[0] = '\0';
	ramp_journal(r, event, true, text);
}

static uint32_t begin_action(struct ramp *r, struct ramp_pending *p, enum ramp_do what)
{
	memset(p, 0, sizeof(*p));
	p->id = ++r->saved.last_id;
	p->what = what;
	p->epoch = r->view->epoch;
	return p->id;
}

void ramp_do_weight(struct ramp *r, uint16_t target, uint16_t weight, const char *reason)
{
	const struct ramp_view *v = r->view;
	struct ramp_saved *s = &r->saved;
	struct ramp_action *a;
	uint32_t id = begin_action(r, &s->pending, RAMP_SET_WEIGHT);

	s->pending.weight = weight;
	s->target = target;
	s->leg = RAMP_LEG_WEIGHT;
	ramp_journal(r, "intent", weight > v->weight, reason);
	a = emit(r, RAMP_SET_WEIGHT, reason);
	a->id = id;
	a->weight = weight;
	a->stage = target;
	a->epoch = v->epoch;
	a->raise = weight > v->weight;
	a->recorded = a->raise;
	a->after_rollback = v->latched && a->raise && s->after_latch == v->latched_at;
	a->latched_at = v->latched_at;
	a->force = v->locked_at && !ramp_locked(r, s->who);
	a->locked_at = v->locked_at;
}

static void stop_hooks(struct ramp *r, const struct ramp_pending *p)
{
	if (p->what == RAMP_RUN_HOOKS)
		emit(r, RAMP_STOP_HOOKS, "what they prepare is off")->id = p->id;
}

void ramp_do_rollback(struct ramp *r, const char *reason, bool by_hand)
{
	struct ramp_saved *s = &r->saved;
	struct ramp_pending was = s->pending;
	struct ramp_action *a;
	char text[RAMP_TEXT];
	uint32_t id;

	snprintf(text, sizeof(text), "%s", reason);
	s->leg = RAMP_LEG_NONE;
	s->target = 0;
	s->owed = s->unknown = s->failed = false;
	s->by_hand = by_hand;
	id = begin_action(r, &s->pending, RAMP_ROLLBACK);
	memcpy(s->reason, text, sizeof(text));
	ramp_journal(r, "intent", false, text);
	a = emit(r, RAMP_ROLLBACK, text);
	a->id = id;
	a->recorded = false;
	a->epoch = r->view->epoch;
	stop_hooks(r, &was);
}

bool ramp_has_hooks(const struct ramp *r, enum conf_when when, uint16_t stage)
{
	for (unsigned int i = 0; i < r->conf->n_hooks; i++) {
		const struct conf_hook_step *h = &r->conf->hooks[i];

		if (h->when == when && (!h->stage || !stage || h->stage == stage))
			return true;
	}
	return false;
}

static void run_hooks(struct ramp *r, struct ramp_pending *p, enum conf_when when, uint16_t stage,
		      const char *reason)
{
	struct ramp_action *a;
	uint32_t id = begin_action(r, p, RAMP_RUN_HOOKS);

	p->when = when;
	p->stage = stage;
	ramp_journal(r, "intent", true, reason);
	a = emit(r, RAMP_RUN_HOOKS, reason);
	a->id = id;
	a->when = when;
	a->stage = stage;
	a->weight = r->view->weight;
	a->epoch = r->view->epoch;
}

void ramp_do_hooks(struct ramp *r, enum conf_when when, uint16_t stage, const char *reason)
{
	run_hooks(r, &r->saved.pending, when, stage, reason);
}

bool ramp_hooks_wait(const struct ramp *r)
{
	return r->view->journal_failed || r->now < r->hooks_at;
}

void ramp_do_side_hooks(struct ramp *r)
{
	static const enum conf_when kinds[] = {CONF_ON_ROLLBACK, CONF_ON_COMMIT};
	struct ramp_saved *s = &r->saved;

	if (!r->view->leader)
		s->owed_hooks = 0; /* they are the leader's, and not to be caught up with */
	if (s->side.id || s->pending.what == RAMP_RUN_HOOKS)
		return; /* one after the other */
	if (ramp_hooks_wait(r))
		return;
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		uint8_t bit = (uint8_t)(1u << kinds[i]);

		if (!(s->owed_hooks & bit))
			continue;
		s->owed_hooks &= (uint8_t)~bit;
		if (!ramp_has_hooks(r, kinds[i], 0))
			continue;
		run_hooks(r, &s->side, kinds[i], 0,
			  kinds[i] == CONF_ON_COMMIT ? "hooks on commit" : "hooks on rollback");
		return;
	}
}

void ramp_drop_pending(struct ramp *r)
{
	struct ramp_pending *p = &r->saved.pending;

	r->saved.unknown = r->saved.failed = false;
	stop_hooks(r, p);
	memset(p, 0, sizeof(*p));
}

/* ---- what became of it ---- */

void ramp_end_rolled_back(struct ramp *r, uint64_t latched_at, const char *reason)
{
	struct ramp_saved *s = &r->saved;
	char text[RAMP_TEXT];

	snprintf(text, sizeof(text), "%s", reason);
	ramp_drop_pending(r);
	s->latch_seen = latched_at;
	s->leg = RAMP_LEG_NONE;
	s->target = 0;
	s->stage = 0;
	s->weight = 0;
	s->held = s->clean = 0;
	s->early = s->backed = s->owed = false;
	s->waived = 0;
	s->owed_hooks |= 1u << CONF_ON_ROLLBACK;
	ramp_set_state(r, RAMP_ROLLED_BACK, text);
	ramp_notify(r, "rolled-back", text);
}

void ramp_weight_is_set(struct ramp *r, uint16_t weight, uint64_t epoch)
{
	struct ramp_saved *s = &r->saved;
	uint64_t hold;
	char text[RAMP_TEXT], share[16], hold_text[32];

	memset(&s->pending, 0, sizeof(s->pending));
	s->weight = weight;
	s->epoch = epoch;
	s->stage = s->target;
	s->target = 0;
	s->leg = RAMP_LEG_NONE;
	s->held = s->clean = 0;
	s->early = false;
	s->after_latch = 0;
	s->waived = 0;
	text_weight(weight, share);
	if (s->state != RAMP_PROMOTING) { /* one stage back, or paused meanwhile */
		ramp_text(text, "stage %u of %u, %s%%: %.200s", (unsigned int)s->stage,
			  r->conf->n_stages, share, s->reason);
		ramp_set_reason(r, "done", text);
		return;
	}
	hold = r->conf->stages[s->stage - 1].hold_ms;
	ramp_text(text, "stage %u of %u: %s%% for %s", (unsigned int)s->stage, r->conf->n_stages,
		  share, conf_duration_text(hold, hold_text));
	ramp_set_state(r, RAMP_HOLDING, text);
	ramp_notify(r, "stage", text);
}

static void weight_outcome(struct ramp *r, const struct ramp_pending *p,
			   const struct ramp_outcome *o)
{
	struct ramp_saved *s = &r->saved;
	char text[RAMP_TEXT], share[16];

	if (o->result == RAMP_DID) {
		ramp_weight_is_set(r, p->weight, o->epoch);
		return;
	}
	memset(&s->pending, 0, sizeof(s->pending));
	if (o->result == RAMP_OVERTAKEN) {
		ramp_text(text, "control moved before %s%% was set: looked at again",
			  text_weight(p->weight, share));
		if (s->state != RAMP_PROMOTING) { /* a step back: decided afresh */
			s->leg = RAMP_LEG_NONE;
			s->target = 0;
			s->backed = false;
		}
		ramp_journal(r, "overtaken", true, text);
		return;
	}
	ramp_text(text, "%s%% could not be set: %s", text_weight(p->weight, share), o->why);
	if (s->state != RAMP_PROMOTING) {
		s->leg = RAMP_LEG_NONE;
		s->target = 0;
	}
	ramp_set_state(r, RAMP_PAUSED, text);
	ramp_alarm(r, "weight", text);
}

static void rollback_outcome(struct ramp *r, const struct ramp_outcome *o)
{
	struct ramp_saved *s = &r->saved;
	char text[RAMP_TEXT];

	memset(&s->pending, 0, sizeof(s->pending));
	if (o->result == RAMP_DID) {
		s->epoch = o->epoch;
		ramp_end_rolled_back(r, o->latched_at, s->reason);
		return;
	}
	s->owed = true;
	r->retry = r->now + RAMP_SECOND;
	ramp_text(text, "the rollback could not be done and is tried again: %s", o->why);
	ramp_journal(r, "failed", true, text);
	ramp_alarm(r, "rollback", text);
}

/* Their intent is not on the disk, so they were not begun: they are, when it takes one. */
static void hooks_put_off(struct ramp *r, const char *when)
{
	char text[RAMP_TEXT];

	r->hooks_at = r->now + HOOKS_RETRY;
	ramp_text(text, "hooks %s were not begun: they wait for the journal", when);
	ramp_journal(r, "overtaken", false, text);
}

static void hooks_outcome(struct ramp *r, const struct ramp_pending *p,
			  const struct ramp_outcome *o)
{
	struct ramp_saved *s = &r->saved;
	char text[RAMP_TEXT], when[32];

	ramp_when_text(p->when, p->stage, when);
	memset(&s->pending, 0, sizeof(s->pending));
	if (o->result == RAMP_OVERTAKEN) {
		hooks_put_off(r, when);
		return;
	}
	if (o->result == RAMP_DID) {
		s->leg++;
		ramp_text(text, "hooks %s were done", when);
		ramp_journal(r, "done", true, text);
		return;
	}
	s->failed = true;
	ramp_text(text,
		  "hooks %s failed: %s; `ramp resume` runs them again, --skip-hooks goes on "
		  "without",
		  when, o->why);
	ramp_set_state(r, RAMP_PAUSED, text);
	ramp_notify(r, "paused", text);
	ramp_alarm(r, "hooks", text);
}

static void side_outcome(struct ramp *r, const struct ramp_pending *p, const struct ramp_outcome *o)
{
	char text[RAMP_TEXT], when[32];
	bool did = o->result == RAMP_DID;

	memset(&r->saved.side, 0, sizeof(r->saved.side));
	ramp_when_text(p->when, p->stage, when);
	if (o->result == RAMP_OVERTAKEN) {
		r->saved.owed_hooks |= (uint8_t)(1u << p->when);
		hooks_put_off(r, when);
		return;
	}
	ramp_text(text, "hooks %s %s%s", when, did ? "were done" : "failed: ", did ? "" : o->why);
	ramp_journal(r, did ? "done" : "failed", true, text);
	if (!did)
		ramp_alarm(r, when, text);
	else if (p->when == CONF_ON_ROLLBACK)
		ramp_notify(r, "checked", text);
}

void ramp_outcome(struct ramp *r, uint32_t id, const struct ramp_outcome *o,
		  const struct ramp_view *v, uint64_t now, struct ramp_out *out)
{
	struct ramp_pending p;

	ramp_enter(r, v, now, out);
	p = r->saved.pending;
	if (!id)
		return;
	if (id == r->saved.side.id) {
		p = r->saved.side;
		side_outcome(r, &p, o);
	} else if (id == p.id && p.what == RAMP_SET_WEIGHT) {
		weight_outcome(r, &p, o);
	} else if (id == p.id && p.what == RAMP_ROLLBACK) {
		rollback_outcome(r, o);
	} else if (id == p.id) {
		hooks_outcome(r, &p, o);
	}
}
