/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp_command.c - what operators ask of the ramp
 *
 * Each verb is refused with the rule that forbids it and that rule's flag, or done. `abort` is
 * never refused.
 */
#include <stdio.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/ctl/ramp_inner.h"

static const struct {
	unsigned int flag;
	const char *name;
} flags[] = {
	{RAMP_AFTER_ROLLBACK, "--after-rollback"},
	{RAMP_L4_ONLY, "--l4-only"},
	{RAMP_FORCE, "--force"},
	{RAMP_BIG_STEP, "--big-step"},
	{RAMP_FEW_BACKENDS, "--few-backends"},
	{RAMP_NO_TUNNEL, "--without-tunnel"},
	{RAMP_UNPROVEN, "--unproven"},
	{RAMP_AGAIN, "--again"},
	{RAMP_SKIP_HOOKS, "--skip-hooks"},
};

const char *ramp_flag_name(unsigned int flag)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (flags[i].flag == flag)
			return flags[i].name;
	}
	return "";
}

unsigned int ramp_flag_parse(const char *name)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (!strcmp(flags[i].name, name))
			return flags[i].flag;
	}
	return 0;
}

struct call {
	struct ramp *r;
	const struct ramp_command *c;
	struct ramp_reply *ret;
};

static void fail(struct call *x, const char *text)
{
	x->ret->code = RAMP_REPLY_FAILED;
	x->ret->flag = 0;
	ramp_text(x->ret->text, "%s", text);
}

/* "paused by alice: before lunch" */
static void signed_text(const struct call *x, const char *what, char ret[RAMP_TEXT])
{
	ramp_text(ret, "%s by %s%s%s", what, x->c->who, x->c->reason[0] ? ": " : "", x->c->reason);
}

/* From here it goes on in the operator's name, past the rules that he overrode. */
static void take_over(struct call *x)
{
	struct ramp_saved *s = &x->r->saved;
	const struct ramp_view *v = x->r->view;

	s->flags |= x->c->flags & RAMP_LASTING;
	if (x->c->flags & RAMP_FORCE)
		s->forced_lock = v->locked_at;
	s->backed = false;
	if (!(x->c->flags & RAMP_UNPROVEN))
		return;
	for (unsigned int i = 0; i < v->n_gates && i < 32; i++) {
		if (v->gates[i].verdict.says != GATE_ROLLBACK)
			s->waived |= 1u << i;
	}
}

/* The hooks that failed, or of which nobody knows, are run again or left out. */
static void settle_hooks(struct call *x)
{
	struct ramp_saved *s = &x->r->saved;

	if ((x->c->flags & RAMP_SKIP_HOOKS) && (s->unknown || s->failed))
		s->leg++;
	s->unknown = s->failed = false;
}

static void do_start(struct call *x)
{
	struct ramp *r = x->r;
	struct ramp_saved *s = &r->saved;
	const struct ramp_view *v = r->view;
	uint16_t target = 0;
	char text[RAMP_TEXT];

	if (ramp_is_active(r)) {
		ramp_text(text, "a ramp is already %s, at stage %u of %u",
			  ramp_state_name(s->state), (unsigned int)s->stage, r->conf->n_stages);
		fail(x, text);
		return;
	}
	for (unsigned int i = r->conf->n_stages; i; i--) {
		if (r->conf->stages[i - 1].weight >= v->weight)
			target = (uint16_t)i;
	}
	if (s->pending.id) {
		fail(x, "a rollback is under way");
		return;
	}
	if (ramp_forbidden(r, RAMP_ASK_START, ramp_stage_weight(r, target), x->c->flags, x->ret))
		return;
	if (!target || (s->state == RAMP_DONE && !ramp_stage_above(r))) {
		fail(x, "the share is at or beyond the last stage: nothing is left to ramp");
		return;
	}
	s->flags = 0;
	s->waived = 0;
	take_over(x);
	s->after_latch = v->latched && (x->c->flags & RAMP_AFTER_ROLLBACK) ? v->latched_at : 0;
	if (v->latched)
		s->latch_seen = v->latched_at;
	s->stage = 0;
	s->weight = v->weight;
	s->held = s->clean = 0;
	s->early = s->unknown = s->failed = s->owed = false;
	s->target = target;
	s->leg = RAMP_LEG_BEFORE_RAMP;
	signed_text(x, "started", text);
	ramp_set_state(r, RAMP_PROMOTING, text);
	ramp_notify(r, "started", text);
	ramp_text(x->ret->text, "%s", text);
}

static void do_pause(struct call *x)
{
	struct ramp *r = x->r;
	char text[RAMP_TEXT];

	if (r->saved.state == RAMP_PAUSED) {
		ramp_text(x->ret->text, "already paused: %.280s", r->saved.reason);
		return;
	}
	if (!ramp_is_active(r)) {
		fail(x, "no ramp is running");
		return;
	}
	signed_text(x, "paused", text);
	ramp_set_state(r, RAMP_PAUSED, text);
	ramp_notify(r, "paused", text);
	ramp_text(x->ret->text, "%s", text);
}

static void go_on(struct call *x, const char *what, const char *event)
{
	struct ramp *r = x->r;
	char text[RAMP_TEXT];

	take_over(x);
	settle_hooks(x);
	signed_text(x, what, text);
	ramp_set_state(r, r->saved.leg == RAMP_LEG_NONE ? RAMP_HOLDING : RAMP_PROMOTING, text);
	ramp_notify(r, event, text);
	ramp_text(x->ret->text, "%s", text);
}

static void do_resume(struct call *x)
{
	struct ramp *r = x->r;

	if (r->saved.state != RAMP_PAUSED)
		fail(x, ramp_is_active(r) ? "the ramp is not paused" : "no ramp is running");
	else if (r->saved.pending.id && r->saved.pending.what != RAMP_RUN_HOOKS)
		fail(x, "a change of the share is under way");
	else if (!ramp_forbidden(r, RAMP_ASK_RESUME, r->saved.weight, x->c->flags, x->ret))
		go_on(x, "resumed", "resumed");
}

static void do_next(struct call *x)
{
	struct ramp *r = x->r;
	struct ramp_saved *s = &r->saved;
	uint16_t above = s->leg == RAMP_LEG_NONE ? ramp_stage_above(r) : s->target;

	if (!ramp_is_active(r)) {
		fail(x, "no ramp is running");
		return;
	}
	if (s->pending.id && s->pending.what != RAMP_RUN_HOOKS) {
		fail(x, "a change of the share is under way");
		return;
	}
	if (ramp_forbidden(r, above ? RAMP_ASK_NEXT : RAMP_ASK_FINISH, ramp_stage_weight(r, above),
			   s->flags | x->c->flags, x->ret))
		return;
	if (s->leg == RAMP_LEG_NONE) {
		s->leg = RAMP_LEG_AFTER_STAGE;
		s->target = above;
	}
	s->early = true;
	go_on(x, "promoted early", "resumed");
}

static void do_back(struct call *x)
{
	struct ramp *r = x->r;
	struct ramp_saved *s = &r->saved;
	const struct ramp_view *v = r->view;
	char text[RAMP_TEXT], share[16];
	uint16_t below = ramp_stage_below(r);

	if (!ramp_is_active(r) && s->state != RAMP_DONE) {
		fail(x, "no ramp is running");
		return;
	}
	if (s->pending.id && s->pending.what != RAMP_RUN_HOOKS) {
		fail(x, "a change of the share is under way");
		return;
	}
	if (!v->weight) {
		fail(x, "the share is 0%: there is nothing to go back from");
		return;
	}
	if (ramp_forbidden(r, RAMP_ASK_BACK, ramp_stage_weight(r, below), x->c->flags, x->ret))
		return;
	ramp_drop_pending(r);
	take_over(x);
	s->waived = 0;
	s->backed = true;
	s->early = false;
	ramp_text(text, "one stage back to %s%% by %s%s%s%s",
		  text_weight(ramp_stage_weight(r, below), share), x->c->who,
		  x->c->reason[0] ? ": " : "", x->c->reason,
		  v->authority == SHIFT_AUTHORITY_NEW
			  ? "; authority is new: later writes are NOT on "
			    "old"
		  : v->old_unhealthy ? "; the old arm is unhealthy"
				     : "");
	ramp_set_state(r, RAMP_PAUSED, text);
	ramp_notify(r, "back", text);
	ramp_do_weight(r, below, ramp_stage_weight(r, below), text);
	ramp_text(x->ret->text, "%s", text);
}

static void do_abort(struct call *x)
{
	struct ramp *r = x->r;
	const struct ramp_view *v = r->view;
	char text[RAMP_TEXT];

	if (!v->attached) {
		ramp_text(x->ret->text, "nothing is attached: nothing is shifted");
		return;
	}
	if (r->saved.pending.what == RAMP_ROLLBACK) {
		ramp_text(x->ret->text, "a rollback is already under way");
		return;
	}
	signed_text(x, "aborted", text);
	ramp_do_rollback(r, text, true);
	ramp_text(x->ret->text, "%s%s%s", text,
		  v->authority == SHIFT_AUTHORITY_NEW ? "; later writes are NOT on old" : "",
		  v->old_unhealthy ? "; the old arm is unhealthy" : "");
}

static void do_freeze(struct call *x, bool on)
{
	struct ramp_saved *s = &x->r->saved;
	char text[RAMP_TEXT];

	if (!on && !s->frozen_at) {
		ramp_text(x->ret->text, "promotions were not frozen%s%.100s",
			  x->r->view->frozen ? " by an operator; but: " : "",
			  x->r->view->frozen ? x->r->view->frozen_why : "");
		return;
	}
	s->frozen_at = on ? (x->r->view->real ? x->r->view->real : 1) : 0;
	snprintf(s->frozen_by, sizeof(s->frozen_by), "%s", on ? x->c->who : "");
	snprintf(s->freeze_reason, sizeof(s->freeze_reason), "%s", on ? x->c->reason : "");
	signed_text(x, on ? "promotions frozen" : "promotions go on, unfrozen", text);
	ramp_journal(x->r, on ? "freeze" : "unfreeze", true, text);
	ramp_notify(x->r, on ? "freeze" : "unfreeze", text);
	ramp_text(x->ret->text, "%s", text);
}

/* What nothing measures is over when an operator was there. */
static void acknowledge(struct call *x, const char *verb)
{
	char text[RAMP_TEXT];

	ramp_text(text, "%s by %s: %.200s", verb, x->c->who, x->r->saved.alarm_text);
	ramp_notify(x->r, "alarm-over", text);
}

static void dispatch(struct call *x)
{
	switch (x->c->verb) {
	case RAMP_START:
		do_start(x);
		return;
	case RAMP_PAUSE:
		do_pause(x);
		return;
	case RAMP_RESUME:
		do_resume(x);
		return;
	case RAMP_NEXT:
		do_next(x);
		return;
	case RAMP_BACK:
		do_back(x);
		return;
	case RAMP_ABORT:
		do_abort(x);
		return;
	case RAMP_FREEZE:
	case RAMP_UNFREEZE:
		do_freeze(x, x->c->verb == RAMP_FREEZE);
	}
}

void ramp_command(struct ramp *r, const struct ramp_command *c, const struct ramp_view *v,
		  uint64_t now, struct ramp_out *out, struct ramp_reply *ret)
{
	static const char *const verbs[] = {
		[RAMP_START] = "start",	  [RAMP_PAUSE] = "pause",	[RAMP_RESUME] = "resume",
		[RAMP_NEXT] = "next",	  [RAMP_BACK] = "back",		[RAMP_ABORT] = "abort",
		[RAMP_FREEZE] = "freeze", [RAMP_UNFREEZE] = "unfreeze",
	};
	struct call x = {r, c, ret};
	char was[SHIFT_NAME];
	bool signs = c->verb != RAMP_FREEZE && c->verb != RAMP_UNFREEZE && c->verb != RAMP_PAUSE;

	memset(ret, 0, sizeof(*ret));
	ramp_enter(r, v, now, out);
	snprintf(r->signer, sizeof(r->signer), "%s", c->who);
	r->asked = verbs[c->verb];
	r->asked_flags = c->flags;
	memcpy(was, r->saved.who, sizeof(was));
	if (signs)
		snprintf(r->saved.who, sizeof(r->saved.who), "%s", c->who);
	dispatch(&x);
	if (ret->code)
		memcpy(r->saved.who, was, sizeof(was));
	else if (ramp_alarm_lasts(r->saved.alarm))
		acknowledge(&x, verbs[c->verb]);
}
