/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service_page.c - the ramp's part of the dashboard and of /metrics, as api/page.h wants it
 */
#include <stdio.h>
#include <string.h>

#include "userspace/ctl/points.h"
#include "userspace/ctl/ramp_json.h"
#include "userspace/ctl/service_inner.h"

#define POINTS_AFTER 3600 /* s after a ramp's end that its charts show */

static json_t *plan(const struct config *c)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < c->n_stages; i++)
		json_array_append_new(list,
				      json_pack("{s:f, s:f}", "weight", c->stages[i].weight / 100.0,
						"hold_s", (double)c->stages[i].hold_ms / 1000));
	return list;
}

json_t *service_page_ramp(const struct service *s)
{
	json_t *j;

	if (!s->conf || !s->conf->n_stages)
		return NULL;
	j = service_status(s);
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
					      json_pack("{s:s, s:f, s:o}", "level", "critical",
							"since", (double)s->alarm[i].since / 1e9,
							"text", ramp_text_json(s->alarm[i].text)));
	}
	return list;
}

/* The rates are those of the last `span`. */
static json_t *point_of(const struct service *s, uint64_t span)
{
	struct window_sum w, lately;
	json_t *share, *j;

	if (!s->view.attached || window_over(s->window, s->window->span, &w) ||
	    window_over(s->window, span, &lately))
		return NULL;
	share = service_page_share(s);
	j = json_pack("{s:f, s:f, s:O, s:o, s:o}", "at", (double)(s->view.real / SERVICE_SECOND),
		      "weight", s->view.weight / 100.0, "seen", json_object_get(share, "seen"),
		      "old", service_arm(&w, &lately, SHIFT_ARM_OLD), "new",
		      service_arm(&w, &lately, SHIFT_ARM_NEW));
	json_decref(share);
	return j;
}

json_t *service_page_point(struct service *s)
{
	return point_of(s, SERVICE_SECOND);
}

/* ---- for the report ---- */

/* A ramp's, and of the time after it in which one looks whether all stays well. */
static bool is_told(struct service *s, uint64_t now)
{
	if (ramp_is_active(&s->ramp))
		s->points_until = now + POINTS_AFTER * SERVICE_SECOND;
	return now < s->points_until;
}

/* Behind a change of the share one comes early: of a stage that is short there is one, too. */
void service_points(struct service *s, uint64_t now)
{
	json_t *j;

	if (!s->journal || !is_told(s, now))
		return;
	if (s->view.weight != s->points_weight && s->points_at > now + SERVICE_SECOND)
		s->points_at = now + SERVICE_SECOND;
	s->points_weight = s->view.weight;
	if (now < s->points_at || (!s->points && points_make(s->dir, &s->points)))
		return;
	j = point_of(s, POINTS_EVERY * SERVICE_SECOND);
	s->points_at = now + (j ? POINTS_EVERY : 1) * SERVICE_SECOND;
	if (j)
		points_add(s->points, j); /* one that is not taken is not missed */
	json_decref(j);
}
