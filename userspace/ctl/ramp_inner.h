/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp_inner.h - what the parts of the ramp's machine share
 *
 * ramp.c steps, ramp_soak.c judges after the last stage, ramp_act.c emits actions and takes their
 * outcomes, ramp_rules.c says what forbids a raise, ramp_command.c does what operators ask,
 * ramp_resume.c goes on after a restart, ramp_words.c has the texts.
 */
#pragma once

#include "userspace/ctl/ramp.h"

/* Of a gate's name and why. */
#define HELD_BY_COMMIT "gate %s: %.180s; authority is new, so the share is held"
#define RAMP_SECOND    UINT64_C(1000000000)

/* ---- ramp.c ---- */

/* Each call begins with it: the view and the clock, time passed, and what a restart left open. */
void ramp_enter(struct ramp *r, const struct ramp_view *v, uint64_t now, struct ramp_out *out);
/* The stage whose weight the share is at or above; 0: below the first. */
uint16_t ramp_stage_of(const struct ramp *r, uint16_t weight);
/* The stage that a promotion goes to, 0: there is none above. */
uint16_t ramp_stage_above(const struct ramp *r);
/* The stage that a step back goes to, 0: before the first, weight 0. */
uint16_t ramp_stage_below(const struct ramp *r);
uint16_t ramp_stage_weight(const struct ramp *r, uint16_t stage);
/* The promotion under way is given up, and the stage is the one of the share in force. */
void ramp_realign(struct ramp *r);
/* A promotion begins: its first leg. */
void ramp_promote(struct ramp *r, const char *reason);
/* Does the leg as far as it goes without waiting. */
void ramp_advance(struct ramp *r);

/* Pauses where something is under way, and alarms. `cause` names what is told once. */
void ramp_hold_and_alarm(struct ramp *r, const char *cause, const char *reason);

/* ---- ramp_soak.c ---- */

/* What the gates say in the soak, without a rollback. True: there is an alarm. */
bool ramp_judge_soak(struct ramp *r);
/* Nothing bad was said now. */
void ramp_end_alarm(struct ramp *r);

/* ---- ramp_act.c ---- */

/* The only place that changes the state; the change is journaled. `reason` is never empty. */
void ramp_set_state(struct ramp *r, enum ramp_state state, const char *reason);
/* The state stays, its reason changes, and that is journaled. */
void ramp_set_reason(struct ramp *r, const char *event, const char *reason);
void ramp_journal(struct ramp *r, const char *event, bool recorded, const char *reason);
/* What says that somebody went on, or that the cause is gone, ends an alarm that stands. */
void ramp_notify(struct ramp *r, const char *event, const char *reason);
/* Hooks beside the ramp that failed: nothing measures whether that is mended, so an alarm of it
 * stands until an operator says something. */
bool ramp_alarm_lasts(const char *cause);
/* Once for as long as `cause` lasts, and again only RAMP_QUIET later: a number that goes to and fro
 * around its bound is told once. */
#define RAMP_QUIET (600 * RAMP_SECOND)
void ramp_alarm(struct ramp *r, const char *cause, const char *reason);
void ramp_do_weight(struct ramp *r, uint16_t target, uint16_t weight, const char *reason);
void ramp_do_rollback(struct ramp *r, const char *reason, bool by_hand);
void ramp_do_hooks(struct ramp *r, enum conf_when when, uint16_t stage, const char *reason);
/* The journal would not take their intent now. */
bool ramp_hooks_wait(const struct ramp *r);
/* On commit and on rollback, beside everything else; those that are owed. */
void ramp_do_side_hooks(struct ramp *r);
/* Nothing is waited for any more; hooks that run are stopped. */
void ramp_drop_pending(struct ramp *r);
/* The ramp is over by a latch. */
void ramp_end_rolled_back(struct ramp *r, uint64_t latched_at, const char *reason);
/* The weight was set: what follows from it. */
void ramp_weight_is_set(struct ramp *r, uint16_t weight, uint64_t epoch);
bool ramp_has_hooks(const struct ramp *r, enum conf_when when, uint16_t stage);

/* ---- ramp_rules.c ---- */

enum ramp_ask {
	RAMP_ASK_START,	  /* by an operator: the ramp begins */
	RAMP_ASK_NEXT,	  /* by an operator: one stage up */
	RAMP_ASK_PROMOTE, /* by the ramp itself */
	RAMP_ASK_FINISH,  /* the last stage is left: nothing is raised */
	RAMP_ASK_RESUME,
	RAMP_ASK_BACK,
};

/* Is there a rule against it? `flags` are what overrides; `weight` is what would be set. The rule
 * and its flag are put into *ret (which may be partly filled). */
bool ramp_forbidden(const struct ramp *r, enum ramp_ask ask, uint16_t weight, unsigned int flags,
		    struct ramp_reply *ret);
/* Another operator's lock, which --force did not override. */
bool ramp_locked(const struct ramp *r, const char *who);
/* The first gate that says so (and is not waived), or NULL. */
const struct ramp_gate *ramp_gate_saying(const struct ramp *r, enum gate_says says);

/* ---- ramp_resume.c ---- */

void ramp_reconcile(struct ramp *r);

/* ---- words ---- */

void ramp_text(char ret[RAMP_TEXT], const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "before stage 3", "on rollback" */
const char *ramp_when_text(enum conf_when when, uint16_t stage, char ret[32]);
