/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp_rules.c - what forbids the ramp to raise the share, one rule after the other
 *
 * Each rule looks at one thing, says in its own words what is wrong, and names the one flag (or the
 * command) that gets over it. The same table serves what operators ask and what the ramp does by
 * itself; only which rows count differs. The first row that is broken is the answer, so the order
 * is from what no flag overrides to what is easily mended.
 */
#include <stdio.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/ctl/ramp_inner.h"

struct asked {
	const struct ramp *r;
	const struct ramp_view *v;
	enum ramp_ask ask;
	uint16_t weight; /* that would be set */
	unsigned int flags;
};

static bool other_host(const struct asked *a, char *text)
{
	ramp_text(text, "this host's role is not leader: the ramp runs where it is");
	return !a->v->leader;
}

static bool not_attached(const struct asked *a, char *text)
{
	ramp_text(text, "no program is attached: shiftctl apply");
	return !a->v->attached;
}

static bool no_journal(const struct asked *a, char *text)
{
	ramp_text(text, "the journal cannot be written, and what is not recorded is not done by "
			"the ramp; shiftctl weight N does without it");
	return a->v->journal_failed;
}

static bool no_plan(const struct asked *a, char *text)
{
	ramp_text(text, "the configuration has no ramp.stages");
	return !a->r->conf->n_stages;
}

static bool committed(const struct asked *a, char *text)
{
	char share[16];

	ramp_text(text,
		  "authority is new: after a commit the ramp moves nothing; shiftctl weight %s "
		  "does, or shiftctl commit --undo",
		  text_weight(a->weight, share));
	return a->v->authority == SHIFT_AUTHORITY_NEW;
}

static bool latched(const struct asked *a, char *text)
{
	char when[32];

	if (!a->v->latched || a->r->saved.after_latch == a->v->latched_at)
		return false;
	ramp_text(text,
		  "rolled back by %s at %s, and nothing is raised until an operator says so: "
		  "shiftctl ramp start --after-rollback",
		  a->v->latched_by, text_time(a->v->latched_at, when));
	return true;
}

bool ramp_locked(const struct ramp *r, const char *who)
{
	const struct ramp_view *v = r->view;

	return v->locked_at && v->locked_at != r->saved.forced_lock &&
	       strncmp(v->locked_by, who, sizeof(v->locked_by)) != 0;
}

static bool locked(const struct asked *a, char *text)
{
	const struct ramp_view *v = a->v;
	char when[32];

	ramp_text(text, "locked by %s since %s%s%s; --force overrides a foreign lock", v->locked_by,
		  text_time(v->locked_at, when), v->lock_reason[0] ? ": " : "", v->lock_reason);
	return ramp_locked(a->r, a->r->saved.who);
}

static bool frozen(const struct asked *a, char *text)
{
	const struct ramp_saved *s = &a->r->saved;
	char when[32];

	if (a->v->frozen) {
		ramp_text(text, "promotions are frozen: %s", a->v->frozen_why);
		return true;
	}
	ramp_text(text, "promotions are frozen by %s since %s%s%s: shiftctl unfreeze", s->frozen_by,
		  text_time(s->frozen_at, when), s->freeze_reason[0] ? ": " : "", s->freeze_reason);
	return s->frozen_at;
}

static bool unconfirmed(const struct asked *a, char *text)
{
	char left[32];

	ramp_text(text, "a change still waits for its confirmation (%s left): shiftctl confirm",
		  text_duration(a->v->confirm_left, left));
	return a->v->confirm_left;
}

static bool blind(const struct asked *a, char *text)
{
	ramp_text(text, "no gate sees what the application answers, so errors inside TLS would go "
			"unseen; --l4-only ramps on connections alone");
	return !a->v->app_gate;
}

static bool big_step(const struct asked *a, char *text)
{
	uint16_t step = a->weight > a->v->weight ? a->weight - a->v->weight : 0;
	char from[16], to[16], most[16];

	ramp_text(text, "%s%% to %s%% is more than ramp.max_step, %s points; --big-step overrides",
		  text_weight(a->v->weight, from), text_weight(a->weight, to),
		  text_weight(a->r->conf->rules.max_step, most));
	return step > a->r->conf->rules.max_step;
}

static bool few_backends(const struct asked *a, char *text)
{
	unsigned int least = a->r->conf->rules.min_healthy;

	ramp_text(text,
		  "%u of %u backends healthy, ramp.min_healthy is %u; --few-backends overrides",
		  a->v->healthy, a->v->backends, least);
	return a->v->healthy < least;
}

static bool no_tunnel(const struct asked *a, char *text)
{
	const char *name = a->r->conf->rules.tunnel;

	ramp_text(text, "tunnel %s is not up; --without-tunnel overrides", name);
	return name[0] && !a->v->tunnel_up;
}

static bool waived(const struct asked *a, unsigned int i)
{
	return i < 32 && (a->r->saved.waived >> i & 1);
}

/* Of the share 0 nothing can be known yet: there, and at the start, only what is bad counts. */
static bool unproven(const struct asked *a, char *text)
{
	bool first = a->ask == RAMP_ASK_START || a->ask == RAMP_ASK_RESUME || !a->v->weight;

	for (unsigned int i = 0; i < a->v->n_gates; i++) {
		const struct ramp_gate *g = &a->v->gates[i];

		if (waived(a, i) || g->verdict.says == GATE_OK)
			continue;
		if (g->verdict.says == GATE_INCONCLUSIVE && first)
			continue;
		ramp_text(text, "gate %s is %s: %.160s; --unproven overrides", g->name,
			  gate_says_name(g->verdict.says), g->verdict.why);
		return true;
	}
	for (unsigned int i = 0; i < a->v->n_gates; i++) {
		const struct ramp_gate *g = &a->v->gates[i];

		if (!g->wants_baseline || g->has_baseline || waived(a, i))
			continue;
		ramp_text(text,
			  "gate %s has no baseline: its source gave no number above 0 before "
			  "the start; gates[].baseline states one, --unproven overrides",
			  g->name);
		return true;
	}
	return false;
}

static bool hooks_unknown(const struct asked *a, char *text)
{
	ramp_text(text, "shiftd ended while hooks ran, and nobody knows how far they came: --again "
			"runs them, --skip-hooks goes on without them");
	return a->r->saved.unknown && !(a->flags & RAMP_SKIP_HOOKS);
}

#define ASK(x)	(1u << RAMP_ASK_##x)
#define RAISING (ASK(START) | ASK(NEXT) | ASK(PROMOTE))
#define ALL	(RAISING | ASK(FINISH) | ASK(RESUME) | ASK(BACK))

static const struct rule {
	bool (*broken)(const struct asked *a, char *text);
	unsigned int asks; /* bits of enum ramp_ask for which it counts */
	unsigned int flag; /* overrides it */
	int code;
} rules[] = {
	{other_host, ALL, 0, RAMP_REPLY_REFUSED},
	{no_plan, ALL, 0, RAMP_REPLY_REFUSED},
	{not_attached, ALL, 0, RAMP_REPLY_FAILED},
	{no_journal, RAISING | ASK(RESUME), 0, RAMP_REPLY_REFUSED},
	{latched, RAISING, RAMP_AFTER_ROLLBACK, RAMP_REPLY_REFUSED},
	{committed, RAISING, 0, RAMP_REPLY_REFUSED},
	{locked, RAISING | ASK(RESUME) | ASK(BACK), RAMP_FORCE, RAMP_REPLY_LOCKED},
	{frozen, RAISING, 0, RAMP_REPLY_REFUSED},
	{unconfirmed, RAISING, 0, RAMP_REPLY_REFUSED},
	{blind, RAISING, RAMP_L4_ONLY, RAMP_REPLY_REFUSED},
	{big_step, RAISING, RAMP_BIG_STEP, RAMP_REPLY_REFUSED},
	{few_backends, RAISING, RAMP_FEW_BACKENDS, RAMP_REPLY_REFUSED},
	{no_tunnel, RAISING, RAMP_NO_TUNNEL, RAMP_REPLY_REFUSED},
	{hooks_unknown, RAISING | ASK(FINISH) | ASK(RESUME), RAMP_AGAIN, RAMP_REPLY_REFUSED},
	{unproven, RAISING | ASK(FINISH) | ASK(RESUME), RAMP_UNPROVEN, RAMP_REPLY_REFUSED},
};

bool ramp_forbidden(const struct ramp *r, enum ramp_ask ask, uint16_t weight, unsigned int flags,
		    struct ramp_reply *ret)
{
	struct asked a = {.r = r, .v = r->view, .ask = ask, .weight = weight, .flags = flags};

	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		if (!(rules[i].asks >> ask & 1) || (rules[i].flag & flags))
			continue;
		if (!rules[i].broken(&a, ret->text))
			continue;
		ret->code = rules[i].code;
		ret->flag = rules[i].flag;
		return true;
	}
	ret->code = RAMP_REPLY_OK;
	ret->flag = 0;
	ret->text[0] = '\0';
	return false;
}

const struct ramp_gate *ramp_gate_saying(const struct ramp *r, enum gate_says says)
{
	struct asked a = {.r = r};

	for (unsigned int i = 0; i < r->view->n_gates; i++) {
		if (r->view->gates[i].verdict.says == says &&
		    (says == GATE_ROLLBACK || !waived(&a, i)))
			return &r->view->gates[i];
	}
	return NULL;
}
