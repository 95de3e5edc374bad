/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service_page.c - the ramp's part of the dashboard and of /metrics, as api/page.h wants it
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "userspace/ctl/service_inner.h"

static json_t *number_or_null(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *plan(const struct config *c)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < c->n_stages; i++)
		json_array_append_new(list,
				      json_pack("{s:f, s:f}", "weight", c->stages[i].weight / 100.0,
						"hold_s", (double)c->stages[i].hold_ms / 1000));
	return list;
}

static const char *unit_of(const struct conf_gate *g)
{
	const struct conf_bounds *kinds[] = {&g->ok, &g->pause, &g->back, &g->rollback};

	for (int k = 0; k < 4; k++) {
		if (kinds[k]->n && !kinds[k]->bound[0].below_baseline)
			return kinds[k]->bound[0].unit;
	}
	return "";
}

json_t *service_page_ramp(const struct service *s)
{
	static const char *const arms[] = {"new", "old", "new", "sum"};
	char bounds[512];
	json_t *j, *gates;

	if (!s->conf || !s->conf->n_stages)
		return NULL;
	j = service_status(s);
	gates = json_object_get(j, "gates");
	for (unsigned int i = 0; i < s->conf->n_gates; i++) {
		const struct conf_gate *g = &s->conf->gates[i];
		json_t *to = json_array_get(gates, i);

		json_object_set_new(to, "bounds",
				    json_string(conf_bounds_text(g, bounds, sizeof(bounds))));
		json_object_set_new(to, "unit", json_string(unit_of(g)));
		json_object_set_new(to, "arm", json_string(arms[g->arm]));
	}
	json_object_set_new(j, "plan", plan(s->conf));
	if (!ramp_hold_left(&s->ramp))
		json_object_set_new(j, "hold_left_s", json_null());
	return j;
}

/* The stage that is next, and when, where only time is waited for. */
static void put_plan(const struct service *s, json_t *j)
{
	const struct ramp_saved *r = &s->ramp.saved;
	uint64_t left = ramp_hold_left(&s->ramp);
	unsigned int i = 0;

	while (i < s->conf->n_stages && s->conf->stages[i].weight <= s->view.weight)
		i++;
	if (!ramp_is_active(&s->ramp) || i == s->conf->n_stages)
		return;
	json_object_set_new(j, "planned", json_real(s->conf->stages[i].weight / 100.0));
	if (r->state == RAMP_HOLDING && left)
		json_object_set_new(j, "planned_at",
				    json_real((double)(s->view.real + left) / 1e9));
}

json_t *service_page_share(const struct service *s)
{
	struct window_sum w;
	json_t *j = json_pack("{s:f, s:n, s:i, s:n, s:n}", "now", s->view.weight / 100.0, "seen",
			      "seen_of", 0, "planned", "planned_at");

	if (!window_over(s->window, s->window->span, &w)) {
		uint64_t n = w.service.connections_old + w.service.connections_new;

		json_object_set_new(j, "seen_of", json_integer((json_int_t)n));
		if (n)
			json_object_set_new(
				j, "seen",
				json_real(100.0 * (double)w.service.connections_new / (double)n));
	}
	put_plan(s, j);
	dns_keep_page(s, j);
	return j;
}

json_t *service_page_alarms(const struct service *s)
{
	json_t *list = json_array();

	for (int i = 0; i < SERVICE_ALARMS; i++) {
		if (s->alarm[i].on)
			json_array_append_new(list,
					      json_pack("{s:s, s:f, s:s}", "level", "critical",
							"since", (double)s->alarm[i].since / 1e9,
							"text", s->alarm[i].text));
	}
	return list;
}

static json_t *arm(const struct window_sum *w, const struct window_sum *lately, enum shift_arm_id a)
{
	enum conf_gate_arm which = a == SHIFT_ARM_OLD ? CONF_ARM_OLD : CONF_ARM_NEW;
	struct judge_counts bad = window_errors(w, which);
	uint64_t n = a == SHIFT_ARM_OLD ? lately->service.connections_old
					: lately->service.connections_new;
	double p95 = telemetry_quantile_ms(w->arm[a].answer, 0.95);

	return json_pack(
		"{s:f, s:o, s:o}", "rate",
		lately->span ? (double)n * 1e9 / (double)lately->span : 0.0, "failed",
		number_or_null(bad.n ? 100.0 * (double)bad.bad / (double)bad.n : (double)NAN),
		"p95_ms", number_or_null(p95 < 0 ? (double)NAN : p95));
}

json_t *service_page_point(struct service *s)
{
	struct window_sum w, lately;
	json_t *share, *j;

	if (!s->view.attached || window_over(s->window, s->window->span, &w) ||
	    window_over(s->window, SERVICE_SECOND, &lately))
		return NULL;
	share = service_page_share(s);
	j = json_pack("{s:f, s:f, s:O, s:o, s:o}", "at", (double)(s->view.real / SERVICE_SECOND),
		      "weight", s->view.weight / 100.0, "seen", json_object_get(share, "seen"),
		      "old", arm(&w, &lately, SHIFT_ARM_OLD), "new",
		      arm(&w, &lately, SHIFT_ARM_NEW));
	json_decref(share);
	return j;
}
