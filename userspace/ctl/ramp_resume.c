/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp_resume.c - the ramp after a restart: what the journal says against what control says
 *
 * A ramp that ran goes on *paused*. An intent without an end is decided by control:
 *
 *   weight    the share is the one that was to be set, in a later epoch: it was done, and the stage
 *             is the new one. Otherwise it was not, and resuming does it.
 *   rollback  a new latch: it was done. No latch, and the epoch still the one of the decision: it
 *             was not, and is owed: the next step does it, by the same rules as any. The epoch
 *             moved: an operator was there, and it is his.
 *   hooks     nobody knows how far they came. They are not run again unless an operator says so.
 */
#include <stdio.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/ctl/ramp_inner.h"

#define AGAIN "shiftd was started again"

void ramp_restore(struct ramp *r, const struct ramp_saved *saved)
{
	r->saved = *saved;
	r->restored = true;
	r->known = true;
	memcpy(r->alarm, saved->alarm, sizeof(r->alarm)); /* it was told */
}

static void look_up_weight(struct ramp *r, const struct ramp_pending *p)
{
	const struct ramp_view *v = r->view;
	struct ramp_saved *s = &r->saved;

	if (v->weight == p->weight && v->epoch > p->epoch && s->target <= r->conf->n_stages) {
		s->weight = v->weight;
		s->epoch = v->epoch;
		s->stage = s->target;
		s->leg = RAMP_LEG_NONE;
		s->target = 0;
		s->held = s->clean = 0;
		s->early = false;
		s->waived = 0;
		s->after_latch = 0;
	} else if (p->weight < s->weight) { /* a step back: the gate will say it again */
		s->leg = RAMP_LEG_NONE;
		s->target = 0;
		s->backed = false;
	}
}

static void look_up_rollback(struct ramp *r, const struct ramp_pending *p)
{
	const struct ramp_view *v = r->view;
	struct ramp_saved *s = &r->saved;
	char reason[RAMP_TEXT];

	if (v->latched && v->latched_at != s->latch_seen) {
		memcpy(reason, s->reason, sizeof(reason));
		ramp_end_rolled_back(r, v->latched_at, reason);
		s->weight = v->weight;
		s->epoch = v->epoch;
	} else if (!v->latched && v->epoch == p->epoch) {
		s->owed = true;
	}
}

static void look_up_side(struct ramp *r)
{
	char text[RAMP_TEXT], when[32];
	struct ramp_pending p = r->saved.side;

	memset(&r->saved.side, 0, sizeof(r->saved.side));
	if (!p.id)
		return;
	ramp_text(text,
		  "hooks %s ran when shiftd ended, and nobody knows how far they came: look, "
		  "and do the rest by hand",
		  ramp_when_text(p.when, p.stage, when));
	ramp_journal(r, "unknown", true, text);
	ramp_alarm(r, when, text);
}

static bool plan_fits(const struct ramp *r)
{
	const struct ramp_saved *s = &r->saved;

	return s->weight == r->view->weight && s->stage <= r->conf->n_stages &&
	       s->target <= r->conf->n_stages && s->stage == ramp_stage_of(r, s->weight) &&
	       (!s->target || ramp_stage_weight(r, s->target) >= s->weight);
}

/* "shiftd was started again at stage 2 of 5, 25%; before it: …" */
static void say_paused(struct ramp *r, enum ramp_state was, const char *found)
{
	struct ramp_saved *s = &r->saved;
	char text[RAMP_TEXT], share[16], before[RAMP_TEXT];

	memcpy(before, s->reason, sizeof(before));
	text_weight(r->view->weight, share);
	if (was == RAMP_PAUSED && !strncmp(before, AGAIN, strlen(AGAIN)) && !*found)
		memcpy(text, before, sizeof(text));
	else
		ramp_text(text, AGAIN " at stage %u of %u, %s%%%s; %s: %.160s",
			  (unsigned int)s->stage, r->conf->n_stages, share, found,
			  s->owed	       ? "owed"
			  : was == RAMP_PAUSED ? "it was paused"
					       : "shiftctl ramp resume goes on; before",
			  before);
	ramp_set_state(r, RAMP_PAUSED, text);
	ramp_notify(r, "paused", text);
}

void ramp_reconcile(struct ramp *r)
{
	const struct ramp_view *v = r->view;
	struct ramp_saved *s = &r->saved;
	struct ramp_pending p = s->pending;
	enum ramp_state was = s->state;
	const char *found = "";

	r->restored = false;
	memset(&s->pending, 0, sizeof(s->pending));
	if (p.id && p.what == RAMP_SET_WEIGHT)
		look_up_weight(r, &p);
	else if (p.id && p.what == RAMP_ROLLBACK)
		look_up_rollback(r, &p);
	else if (p.id)
		s->unknown = true;
	look_up_side(r);
	if (s->owed && (v->latched || (!v->weight && !s->by_hand)))
		s->owed = false;
	if (s->state == RAMP_ROLLED_BACK ||
	    (v->latched && v->latched_at != s->latch_seen && !ramp_is_active(r)))
		return;
	if (!ramp_is_active(r)) {
		s->weight = v->weight;
		return;
	}
	if (!plan_fits(r)) {
		found = s->weight != v->weight ? ", which others or a deadline set meanwhile"
					       : ", by the stages as they are now";
		ramp_realign(r);
	}
	say_paused(r, was, found);
}
