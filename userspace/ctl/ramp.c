/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp.c - the ramp: stages, holds and gates, step by step to 100 % or back
 *
 * What it owns: which stage of the plan is in force, and what comes next. The share itself is not
 * its own: that is the record of control in the kernel, which anybody may change at any time with
 * `shiftctl weight` or `rollback`. So each step begins with what control says, and what the ramp
 * thought counts only as long as it agrees.
 *
 *   idle -start-> promoting -> holding -hold over, gates ok-> promoting -> … -> done
 *   holding, promoting -pause, a gate, a failure, a foreign weight, a restart-> paused -resume->
 *   each of them, and done -a rollback, by anyone-> rolled-back -start --after-rollback->
 *
 * What it promises.
 *  - It raises only from `promoting`, one stage at a time, with every rule of ramp_rules.c kept and
 *    by a compare-and-swap against the epoch that it looked at: what moved in between wins.
 *  - What is not known is never a pass: an inconclusive gate holds.
 *  - A gate's `rollback`, immediate or planned, and all backends down, act from the start of a ramp
 *    until it is rolled back or committed, so in the soak behind its last stage too, at once and
 *    without waiting for a disk. A gate's `back` goes one stage down and pauses; a second
 *    step back is for an operator to say, because the numbers need time to follow.
 *  - In the soak there is no stage to pause at or to go back to: what is not ok and no rollback
 * (the runbook's "monitor") is written down, told and shown, and nothing more.
 *  - An old arm known to be unhealthy is no place to send users to: then those two pause and alarm.
 *  - After `commit` (authority new) it moves nothing at all: it pauses and alarms, also for what a
 *    gate would only have paused for, because now nothing goes back by itself.
 *  - A latch ends the ramp, whoever set it. An operator's `weight` pauses it and is named.
 *  - Nothing is done twice: what changes the world has an intent in the journal (ramp_act.c), and
 *    after a restart control says what became of it (ramp_resume.c).
 *
 * The hold. Its time runs only in `holding`. For each gate with a bare `ok` bound every observation
 * of the hold must be ok: one that is not begins the hold anew.
 *
 * How it fails: with the journal unwritable nothing is raised; with control unreadable the view
 * says that nothing is attached, and nothing is done. A rollback that the kernel refuses is tried
 * again each second, and alarms.
 *
 * Follows Argo Rollouts and Flagger in its words, but for what their users asked to be otherwise:
 * no data does not advance, an abort always works, a restart does not go on by itself.
 *
 * Weakness: it sees control once a step. A share that was set and set back between two steps is not
 * noticed.
 */
#include <stdio.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/ctl/ramp_inner.h"

/* ---- the plan ---- */

uint16_t ramp_stage_weight(const struct ramp *r, uint16_t stage)
{
	return stage && stage <= r->conf->n_stages ? r->conf->stages[stage - 1].weight : 0;
}

uint16_t ramp_stage_of(const struct ramp *r, uint16_t weight)
{
	uint16_t stage = 0;

	for (unsigned int i = 0; i < r->conf->n_stages; i++) {
		if (r->conf->stages[i].weight <= weight)
			stage = (uint16_t)(i + 1);
	}
	return stage;
}

uint16_t ramp_stage_above(const struct ramp *r)
{
	for (unsigned int i = 0; i < r->conf->n_stages; i++) {
		if (r->conf->stages[i].weight > r->saved.weight)
			return (uint16_t)(i + 1);
	}
	return 0;
}

uint16_t ramp_stage_below(const struct ramp *r)
{
	return r->saved.weight ? ramp_stage_of(r, r->saved.weight - 1) : 0;
}

void ramp_realign(struct ramp *r)
{
	struct ramp_saved *s = &r->saved;

	ramp_drop_pending(r);
	s->leg = RAMP_LEG_NONE;
	s->target = 0;
	s->early = false;
	s->waived = 0;
	s->weight = r->view->weight;
	s->stage = ramp_stage_of(r, s->weight);
	s->held = s->clean = 0;
}

bool ramp_is_active(const struct ramp *r)
{
	return r->saved.state == RAMP_HOLDING || r->saved.state == RAMP_PAUSED ||
	       r->saved.state == RAMP_PROMOTING;
}

/* ---- beginning, and each call's beginning ---- */

void ramp_begin(struct ramp *r, const struct config *conf)
{
	memset(r, 0, sizeof(*r));
	r->conf = conf;
	snprintf(r->saved.reason, sizeof(r->saved.reason), "no ramp was started");
}

void ramp_use(struct ramp *r, const struct config *conf)
{
	bool same = r->conf->n_stages == conf->n_stages;

	for (unsigned int i = 0; same && i < conf->n_stages; i++)
		same = r->conf->stages[i].weight == conf->stages[i].weight;
	r->replanned |= !same;
	r->conf = conf;
	r->saved.waived = 0; /* the gates may stand in another order */
	r->noted = 0;
}

/* Time counts while it holds, and anew from the latest observation that was not ok. */
static void pass_time(struct ramp *r)
{
	struct ramp_saved *s = &r->saved;
	uint64_t dt = r->last && r->now > r->last ? r->now - r->last : 0;
	uint64_t broken = 0;

	for (unsigned int i = 0; i < r->view->n_gates; i++) {
		if (r->view->gates[i].broken_at > broken)
			broken = r->view->gates[i].broken_at;
	}
	if (s->state == RAMP_HOLDING) {
		s->held += dt;
		s->clean += dt;
	}
	if (broken > r->broken) {
		r->broken = broken;
		s->clean = 0;
		if (s->state == RAMP_HOLDING && r->now > broken)
			s->clean = r->now - broken < dt ? r->now - broken : dt;
	}
	r->last = r->now;
}

/* A gate that was passed over is looked at again once it says something else. */
static void forget_waivers(struct ramp *r)
{
	for (unsigned int i = 0; i < r->view->n_gates && i < 32; i++) {
		const struct ramp_gate *g = &r->view->gates[i];
		bool based = !g->wants_baseline || g->has_baseline;

		if ((g->verdict.says == GATE_OK && based) || g->verdict.says == GATE_ROLLBACK)
			r->saved.waived &= ~(1u << i);
	}
}

void ramp_enter(struct ramp *r, const struct ramp_view *v, uint64_t now, struct ramp_out *out)
{
	out->n = 0;
	r->out = out;
	r->view = v;
	r->now = now;
	snprintf(r->signer, sizeof(r->signer), "shiftd");
	r->asked = NULL;
	r->asked_flags = 0;
	r->cause[0] = '\0';
	if (!v->attached) {
		r->last = 0; /* this time is none of a hold */
		return;
	}
	if (r->restored)
		ramp_reconcile(r);
	if (!r->known) { /* what was before the first look is not news */
		r->saved.weight = v->weight;
		r->saved.authority = v->authority;
		r->saved.latch_seen = v->latched ? v->latched_at : 0;
		r->known = true;
	}
	pass_time(r);
	forget_waivers(r);
}

/* ---- what others did ---- */

static void watch_commit(struct ramp *r)
{
	const struct ramp_view *v = r->view;
	bool was = r->saved.authority == SHIFT_AUTHORITY_NEW;
	bool is = v->authority == SHIFT_AUTHORITY_NEW;
	char text[RAMP_TEXT];

	r->saved.authority = v->authority;
	if (was == is)
		return;
	r->alarm[0] = '\0'; /* what was told before is another matter now */
	if (is) {
		r->saved.owed_hooks |= 1u << CONF_ON_COMMIT;
		ramp_text(text, "committed by %s: authority is new", v->set_by);
	} else {
		r->saved.owed_hooks &= (uint8_t) ~(1u << CONF_ON_COMMIT);
		ramp_text(text, "%s undid the commit", v->set_by);
	}
	ramp_journal(r, is ? "commit" : "commit-undone", true, text);
	ramp_notify(r, is ? "commit" : "commit-undone", text);
}

/* True: the ramp ends with it. */
static bool watch_latch(struct ramp *r)
{
	const struct ramp_view *v = r->view;
	struct ramp_saved *s = &r->saved;
	char text[RAMP_TEXT], when[32];

	if (!v->latched || v->latched_at == s->latch_seen)
		return false;
	if (s->pending.what == RAMP_ROLLBACK ||
	    s->owed) /* it is what was wanted; by whom is said */
		ramp_text(text, "rolled back by %s at %s: %.180s", v->latched_by,
			  text_time(v->latched_at, when), s->reason);
	else
		ramp_text(text, "rolled back by %s at %s%s%s", v->latched_by,
			  text_time(v->latched_at, when), v->set_reason[0] ? ": " : "",
			  v->set_reason);
	if (ramp_is_active(r) || s->state == RAMP_DONE) {
		ramp_end_rolled_back(r, v->latched_at, text);
		s->weight = v->weight;
		return true;
	}
	s->latch_seen = v->latched_at;
	s->weight = v->weight;
	s->owed_hooks |= 1u << CONF_ON_ROLLBACK;
	ramp_journal(r, "rolled-back", true, text);
	ramp_notify(r, "rolled-back", text);
	return true;
}

static void pause_for(struct ramp *r, const char *reason)
{
	char text[RAMP_TEXT];

	snprintf(text, sizeof(text), "%s", reason);
	ramp_set_state(r, RAMP_PAUSED, text);
	ramp_notify(r, "paused", text);
}

static bool in_flight(const struct ramp *r)
{
	return r->saved.pending.what == RAMP_SET_WEIGHT || r->saved.pending.what == RAMP_ROLLBACK;
}

static void watch_weight(struct ramp *r)
{
	const struct ramp_view *v = r->view;
	struct ramp_saved *s = &r->saved;
	char text[RAMP_TEXT], was[16], is[16];

	if (v->weight == s->weight || in_flight(r))
		return;
	text_weight(s->weight, was);
	text_weight(v->weight, is);
	if (v->by_itself)
		ramp_text(text, "the share went from %s%% to %s%% by itself: a deadline ran out",
			  was, is);
	else
		ramp_text(text, "%s set the share from %s%% to %s%% (epoch %llu)%s%s",
			  v->set_by[0] ? v->set_by : "somebody", was, is,
			  (unsigned long long)v->epoch, v->set_reason[0] ? ": " : "",
			  v->set_reason);
	ramp_realign(r);
	if (s->state == RAMP_PAUSED && !v->by_itself && !strcmp(v->set_by, "shiftd")) {
		/* A share of all that is kept: the pause has its reason, and that is another. */
		ramp_journal(r, "weight", true, text);
		return;
	}
	s->owed = false; /* an operator took over */
	if (ramp_is_active(r))
		pause_for(r, text);
	else
		ramp_set_reason(r, "weight", text);
}

static bool watch_plan(struct ramp *r)
{
	if (!r->replanned)
		return false;
	r->replanned = false;
	if (!ramp_is_active(r))
		return false;
	ramp_realign(r);
	pause_for(r, "the stages in the configuration changed: shiftctl ramp resume goes on with "
		     "the new ones");
	return true;
}

/* ---- what the gates say ---- */

void ramp_hold_and_alarm(struct ramp *r, const char *cause, const char *reason)
{
	char text[RAMP_TEXT];

	snprintf(text, sizeof(text), "%s", reason);
	if (r->saved.state == RAMP_HOLDING || r->saved.state == RAMP_PROMOTING)
		pause_for(r, text);
	else if (strcmp(r->alarm, cause) != 0 && r->saved.state == RAMP_PAUSED)
		ramp_set_reason(r, "paused", text);
	else if (r->saved.state == RAMP_DONE)
		memcpy(r->waits, text, sizeof(text));
	ramp_alarm(r, cause, text);
}

/* Nothing may move by itself, or nothing could be won by it: true, and it was said. */
static bool held_back(struct ramp *r, const char *cause, const char *would, const char *reason)
{
	char text[RAMP_TEXT];

	if (r->view->authority == SHIFT_AUTHORITY_NEW)
		ramp_text(text, "%.180s; authority is new, so the share is held: shiftctl %s acts",
			  reason, would);
	else if (r->view->old_unhealthy)
		ramp_text(text,
			  "%.180s; but the old arm is unhealthy too: shiftctl %s acts all the "
			  "same",
			  reason, would);
	else
		return false;
	ramp_hold_and_alarm(r, cause, text);
	return true;
}

static void act_rollback(struct ramp *r, const char *cause, const char *reason)
{
	bool by_hand = r->saved.owed && r->saved.by_hand;

	if (r->saved.pending.what == RAMP_ROLLBACK ||
	    (!by_hand && held_back(r, cause, "rollback", reason)))
		return;
	if (!r->view->weight && !by_hand) { /* nobody is there to be brought back */
		r->saved.owed = false;
		if (r->saved.state == RAMP_HOLDING || r->saved.state == RAMP_PROMOTING)
			pause_for(r, reason);
		return;
	}
	if (r->now >= r->retry)
		ramp_do_rollback(r, reason, by_hand);
}

static void act_back(struct ramp *r, const char *reason)
{
	struct ramp_saved *s = &r->saved;
	char text[RAMP_TEXT], share[16];
	uint16_t below = ramp_stage_below(r);

	if (in_flight(r) || (s->state == RAMP_PAUSED && s->backed))
		return;
	if (held_back(r, r->cause, "ramp back", reason))
		return;
	if (!r->view->weight || ramp_locked(r, s->who)) {
		ramp_text(text, "%.200s%s", reason,
			  r->view->weight ? "; but an operator's lock holds the share" : "");
		ramp_hold_and_alarm(r, r->cause, text);
		return;
	}
	ramp_drop_pending(r);
	s->backed = true;
	s->early = false;
	ramp_text(text, "one stage back to %s%%: %.200s",
		  text_weight(ramp_stage_weight(r, below), share), reason);
	pause_for(r, text);
	ramp_alarm(r, r->cause, text);
	ramp_do_weight(r, below, ramp_stage_weight(r, below), text);
}

/* What decides from here on, for the alarm and the journal. */
static void because(struct ramp *r, const char *what, const struct ramp_gate *g)
{
	snprintf(r->cause, sizeof(r->cause), "%s%s%s", what, g ? ":" : "", g ? g->name : "");
}

/* True: something bad was said, so nothing is promoted. */
static bool judge(struct ramp *r)
{
	const struct ramp_gate *g = ramp_gate_saying(r, GATE_ROLLBACK);
	char text[RAMP_TEXT];

	if (r->saved.owed) {
		act_rollback(r, "owed", r->saved.reason);
		return true;
	}
	if (r->view->all_down) {
		because(r, "all-down", NULL);
		act_rollback(r, r->cause, "rollback (immediate): every backend is down");
		return true;
	}
	if (g) {
		because(r, "rollback", g);
		ramp_text(text, "rollback (%s): gate %s: %.180s", gate_class(&g->verdict), g->name,
			  g->verdict.why);
		act_rollback(r, r->cause, text);
		return true;
	}
	if (r->saved.state == RAMP_DONE)
		return ramp_judge_soak(r);
	g = ramp_gate_saying(r, GATE_BACK);
	if (g) {
		because(r, "back", g);
		ramp_text(text, "gate %s: %.180s", g->name, g->verdict.why);
		act_back(r, text);
		return true;
	}
	g = ramp_gate_saying(r, GATE_PAUSE);
	if (!g)
		return false;
	because(r, "pause", g);
	if (r->view->authority == SHIFT_AUTHORITY_NEW)
		ramp_text(text, HELD_BY_COMMIT, g->name, g->verdict.why);
	else if (r->saved.state == RAMP_PAUSED)
		return true;
	else
		ramp_text(text, "paused by gate %s: %.180s", g->name, g->verdict.why);
	ramp_hold_and_alarm(r, r->cause, text);
	return true;
}

/* ---- going on ---- */

void ramp_promote(struct ramp *r, const char *reason)
{
	struct ramp_saved *s = &r->saved;

	s->leg = RAMP_LEG_AFTER_STAGE;
	s->target = ramp_stage_above(r);
	ramp_set_state(r, RAMP_PROMOTING, reason);
}

uint64_t ramp_hold_left(const struct ramp *r)
{
	const struct ramp_saved *s = &r->saved;
	uint64_t counts = s->held < s->clean ? s->held : s->clean, hold = 0;

	if (s->stage && s->stage <= r->conf->n_stages)
		hold = r->conf->stages[s->stage - 1].hold_ms * 1000000;
	if (s->early || s->leg != RAMP_LEG_NONE || counts >= hold || !ramp_is_active(r))
		return 0;
	return hold - counts;
}

/* "proceed to 50%: errors ok (0.03 < 0.1%), p95 ok (85 < 100)": the decision and its evidence. */
static void decision(const struct ramp *r, uint16_t weight, char ret[RAMP_TEXT])
{
	char share[16];
	size_t used;

	if (weight)
		ramp_text(ret, "proceed to %s%%", text_weight(weight, share));
	else
		ramp_text(ret, "the last stage was held");
	used = strlen(ret);
	for (unsigned int i = 0; i < r->view->n_gates && used + 40 < RAMP_TEXT; i++) {
		const struct ramp_gate *g = &r->view->gates[i];

		used += (size_t)snprintf(ret + used, RAMP_TEXT - used, "%s%s %s", i ? ", " : ": ",
					 g->name, gate_says_name(g->verdict.says));
	}
}

static void try_promote(struct ramp *r)
{
	uint16_t above = ramp_stage_above(r), weight = ramp_stage_weight(r, above);
	struct ramp_reply why = {0};
	char text[RAMP_TEXT], left[32];
	uint64_t wait = ramp_hold_left(r);

	if (ramp_forbidden(r, above ? RAMP_ASK_PROMOTE : RAMP_ASK_FINISH, weight, r->saved.flags,
			   &why)) {
		if (wait)
			ramp_text(r->waits, "holds for %s more; and now: %.240s",
				  text_duration(wait, left), why.text);
		else
			ramp_text(r->waits, "not promoted: %.280s", why.text);
		return;
	}
	if (wait) {
		r->waits[0] = '\0';
		return;
	}
	decision(r, weight, text);
	ramp_promote(r, text);
}

static void finish(struct ramp *r)
{
	char text[RAMP_TEXT], share[16];

	r->saved.leg = RAMP_LEG_NONE;
	r->saved.target = 0;
	r->saved.early = false;
	ramp_text(text, "all %u stages are done: %s%% is on the new side", r->conf->n_stages,
		  text_weight(r->saved.weight, share));
	ramp_set_state(r, RAMP_DONE, text);
	ramp_notify(r, "done", text);
}

/* The hooks of this leg: true, if they were begun, or have to wait, and are waited for. */
static bool hooks_begun(struct ramp *r)
{
	struct ramp_saved *s = &r->saved;
	enum conf_when when = s->leg == RAMP_LEG_BEFORE_RAMP   ? CONF_BEFORE_RAMP
			      : s->leg == RAMP_LEG_AFTER_STAGE ? CONF_AFTER_STAGE
			      : s->leg == RAMP_LEG_AFTER_RAMP  ? CONF_AFTER_RAMP
							       : CONF_BEFORE_STAGE;
	uint16_t stage = when == CONF_AFTER_STAGE    ? s->stage
			 : when == CONF_BEFORE_STAGE ? s->target
						     : 0;
	char text[RAMP_TEXT], name[32];

	if ((when == CONF_AFTER_STAGE && !stage) || !ramp_has_hooks(r, when, stage))
		return false;
	ramp_when_text(when, stage, name);
	if (ramp_hooks_wait(r)) {
		ramp_text(r->waits, "hooks %s wait for the journal", name);
		return true;
	}
	r->waits[0] = '\0';
	ramp_text(text, "hooks %s", name);
	ramp_do_hooks(r, when, stage, text);
	return true;
}

static void raise_share(struct ramp *r)
{
	struct ramp_saved *s = &r->saved;
	uint16_t weight = ramp_stage_weight(r, s->target);
	struct ramp_reply why = {0};
	char text[RAMP_TEXT], share[16];

	if (weight == r->view->weight) { /* a start where the share is already */
		ramp_weight_is_set(r, weight, r->view->epoch);
		return;
	}
	if (ramp_forbidden(r, s->early ? RAMP_ASK_NEXT : RAMP_ASK_PROMOTE, weight, s->flags,
			   &why)) {
		ramp_text(r->waits, "not raised: %.280s", why.text);
		return;
	}
	ramp_text(text, "ramp stage %u/%u: %s%%, for %s", (unsigned int)s->target,
		  r->conf->n_stages, text_weight(weight, share), s->who);
	ramp_do_weight(r, s->target, weight, text);
}

void ramp_advance(struct ramp *r)
{
	struct ramp_saved *s = &r->saved;
	char when[32];

	if (s->side.id) {
		ramp_text(r->waits, "waits for the hooks %s",
			  ramp_when_text(s->side.when, 0, when));
		return;
	}
	if (s->owed_hooks && ramp_hooks_wait(r)) {
		ramp_text(r->waits, "hooks that are owed wait for the journal");
		return;
	}
	while (s->state == RAMP_PROMOTING && !s->pending.id) {
		if (s->leg == RAMP_LEG_BEFORE_STAGE && !s->target)
			s->leg = RAMP_LEG_AFTER_RAMP;
		if (s->leg == RAMP_LEG_WEIGHT) {
			raise_share(r);
			return;
		}
		if (s->leg >= RAMP_LEG_OVER || s->leg == RAMP_LEG_NONE) {
			finish(r);
			return;
		}
		if (hooks_begun(r))
			return;
		s->leg++;
	}
}

void ramp_step(struct ramp *r, const struct ramp_view *v, uint64_t now, struct ramp_out *out)
{
	ramp_enter(r, v, now, out);
	if (!v->attached)
		return;
	watch_commit(r);
	if (watch_latch(r)) {
		ramp_do_side_hooks(r);
		return;
	}
	ramp_do_side_hooks(r);
	if (!ramp_is_active(r) && r->saved.state != RAMP_DONE) {
		r->saved.weight = v->weight;
		if (r->saved.owed)
			act_rollback(r, "owed", r->saved.reason);
		return;
	}
	if (!v->leader) {
		if (r->saved.state == RAMP_HOLDING || r->saved.state == RAMP_PROMOTING)
			pause_for(r, "this host's role is no longer leader");
		return;
	}
	watch_weight(r);
	if (watch_plan(r) || judge(r))
		return;
	ramp_end_alarm(r);
	if (r->saved.state == RAMP_HOLDING)
		try_promote(r);
	if (r->saved.state == RAMP_PROMOTING)
		ramp_advance(r);
}
