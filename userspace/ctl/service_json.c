/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service_json.c - how things are, as `ramp status --json` prints it
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "userspace/ctl/ramp_json.h"
#include "userspace/ctl/service_inner.h"

static json_t *number_or_null(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

/* ---- the configuration's gates ---- */

struct kind {
	const char *name;
	const struct conf_bounds *of;
};

#define KINDS 4

static void kinds_of(const struct conf_gate *g, struct kind ret[KINDS])
{
	ret[0] = (struct kind){"ok", &g->ok};
	ret[1] = (struct kind){"pause", &g->pause};
	ret[2] = (struct kind){"back", &g->back};
	ret[3] = (struct kind){"rollback", &g->rollback};
}

/* The one to hold the number against: what it must be, or, where there is no such bound, the first
 * that it must not; of a verdict, the one that it broke. */
static json_t *bound(const struct kind kinds[KINDS], enum gate_says says)
{
	const char *broken = gate_says_name(says);
	const struct kind *is = NULL;
	char text[96];

	for (int k = 0; k < KINDS; k++) {
		if (kinds[k].of->n && (!is || !strcmp(kinds[k].name, broken)))
			is = &kinds[k];
	}
	if (!is)
		return json_string("");
	snprintf(text, sizeof(text), "%s %s", is->name, is->of->bound[0].text);
	return json_string(text);
}

/* The same number of the other arm, where the kernel has it. */
static json_t *of_arm(const struct service *s, const struct conf_gate *g, enum conf_gate_arm arm)
{
	struct window_number n;

	if (g->kind != CONF_GATE_KERNEL || g->kernel == CONF_KERNEL_DROPS ||
	    g->kernel == CONF_KERNEL_SPLIT || g->kernel == CONF_KERNEL_FALLBACK ||
	    window_value(s->window, loop_now(), g->kernel, arm, &n))
		return json_null();
	return number_or_null(n.value);
}

static void add_configured(const struct service *s, unsigned int i, json_t *j)
{
	const struct conf_gate *g = &s->conf->gates[i];
	json_t *value = json_object_get(j, "value");
	struct kind kinds[KINDS];

	kinds_of(g, kinds);
	json_object_set_new(j, "bound", bound(kinds, s->shown[i].verdict.says));
	json_object_set_new(j, "old",
			    g->arm == CONF_ARM_OLD ? json_copy(value) : of_arm(s, g, CONF_ARM_OLD));
	json_object_set_new(j, "new",
			    g->arm == CONF_ARM_NEW || g->arm == CONF_ARM_UNSTATED
				    ? json_copy(value)
				    : of_arm(s, g, CONF_ARM_NEW));
}

/* ---- those that are always there ---- */

static void add_own(const struct service *s, unsigned int i, json_t *j)
{
	static const int tests[SERVICE_OWN] = {-1, SERVICE_SPLIT, SERVICE_FAILURES, SERVICE_SLOW};
	const struct judge_test *t = tests[i] < 0 ? NULL : &s->test[tests[i]];
	const struct judge_finding *split = &s->decision.split;
	double old = NAN, new = NAN;
	char text[64] = "";

	if (t && t->share > 0)
		judge_totals(t, &old, &new);
	if (!t) {
		snprintf(text, sizeof(text), "rollback > %g%%", 100 * judge_usual.trip_rate);
		new = s->decision.trip.value * 100;
	} else if (tests[i] == SERVICE_SPLIT && t->share > 0) {
		/* The value may be that of an epoch before: with what it was to be then. */
		snprintf(text, sizeof(text), "about %.4g%%",
			 100 * (split->should > 0 ? split->should : t->share));
		new = 100 * split->value;
		old = 100 - new;
	} else if (t->share > 0) {
		snprintf(text, sizeof(text), "new not %.0f%% worse", 100 * t->tolerance);
	}
	json_object_set_new(j, "bound", json_string(text));
	json_object_set_new(j, "unit", json_string(!t || tests[i] == SERVICE_SPLIT ? "%" : ""));
	json_object_set_new(j, "old", number_or_null(old));
	json_object_set_new(j, "new", number_or_null(new));
}

static json_t *all_gates(const struct service *s)
{
	json_t *list = ramp_gates_json(s->view.gates, s->view.n_gates), *j;
	size_t i;

	json_array_foreach (list, i, j) {
		if (i < s->conf->n_gates)
			add_configured(s, (unsigned int)i, j);
		else
			add_own(s, (unsigned int)i - s->conf->n_gates, j);
	}
	return list;
}

/* ---- the arms ---- */

json_t *service_arm(const struct window_sum *window, const struct window_sum *lately,
		    enum shift_arm_id arm)
{
	enum conf_gate_arm which = arm == SHIFT_ARM_OLD ? CONF_ARM_OLD : CONF_ARM_NEW;
	struct judge_counts bad = window_errors(window, which);
	uint64_t n = arm == SHIFT_ARM_OLD ? lately->service.connections_old
					  : lately->service.connections_new;
	double p95 = telemetry_quantile_ms(window->arm[arm].answer, 0.95);

	return json_pack(
		"{s:f, s:o, s:o}", "rate",
		lately->span ? (double)n * 1e9 / (double)lately->span : 0.0, "failed",
		number_or_null(bad.n ? 100.0 * (double)bad.bad / (double)bad.n : (double)NAN),
		"p95_ms", number_or_null(p95 < 0 ? (double)NAN : p95));
}

static json_t *both_arms(const struct service *s)
{
	struct window_sum w, lately;

	if (!s->view.attached || window_over(s->window, s->window->span, &w) ||
	    window_over(s->window, SERVICE_SECOND, &lately))
		return json_null();
	return json_pack("{s:o, s:o}", "old", service_arm(&w, &lately, SHIFT_ARM_OLD), "new",
			 service_arm(&w, &lately, SHIFT_ARM_NEW));
}

static json_t *who_froze(const struct ramp_saved *r)
{
	if (!r->frozen_at)
		return json_null();
	return json_pack("{s:o, s:o, s:f}", "by", ramp_text_json(r->frozen_by), "reason",
			 ramp_text_json(r->freeze_reason), "at", (double)r->frozen_at / 1e9);
}

/* Who has too many of the connections to be one client. */
static json_t *who_comes(const struct service *s)
{
	char text[64];
	double share;
	const char *who = window_source(s->window, judge_usual.source, text, &share);

	return who ? json_pack("{s:s, s:f}", "client", who, "share", 100 * share) : json_null();
}

json_t *service_status(const struct service *s)
{
	const struct ramp_saved *r = &s->ramp.saved;
	const struct ramp_view *v = &s->view;
	char next[RAMP_TEXT];
	json_t *j =
		json_pack("{s:i, s:s, s:s, s:i, s:i, s:f, s:o, s:o}", "schema", 1, "service",
			  s->name, "state", ramp_state_name(r->state), "stage", (int)r->stage,
			  "stages", (int)s->conf->n_stages, "weight", v->weight / 100.0, "reason",
			  ramp_text_json(ramp_reason(&s->ramp)), "gates", all_gates(s));

	if (!j)
		return NULL;
	json_object_set_new(j, "hold_left_s", json_real((double)ramp_hold_left(&s->ramp) / 1e9));
	json_object_set_new(j, "next", ramp_text_json(ramp_next_text(&s->ramp, next)));
	json_object_set_new(j, "who", ramp_text_json(r->who));
	json_object_set_new(j, "epoch", json_integer((json_int_t)v->epoch));
	json_object_set_new(j, "attached", json_boolean(v->attached));
	json_object_set_new(j, "leader", json_boolean(v->leader));
	json_object_set_new(j, "latched", json_boolean(v->latched));
	json_object_set_new(j, "healthy", json_integer(v->healthy));
	json_object_set_new(j, "backends", json_integer(v->backends));
	json_object_set_new(j, "source", who_comes(s));
	json_object_set_new(j, "arms", both_arms(s));
	json_object_set_new(j, "frozen", who_froze(r));
	json_object_set_new(j, "journal",
			    s->journal_error ? json_string(journal_error_text(s->journal_error))
					     : json_string("ok"));
	return j;
}
