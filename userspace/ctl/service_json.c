/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service_json.c - how things are, as `ramp status --json` prints it
 */
#include <stdio.h>
#include <string.h>

#include "userspace/ctl/ramp_json.h"
#include "userspace/ctl/service_inner.h"

static json_t *who_froze(const struct ramp_saved *r)
{
	if (!r->frozen_at)
		return json_null();
	return json_pack("{s:s, s:s, s:f}", "by", r->frozen_by, "reason", r->freeze_reason, "at",
			 (double)r->frozen_at / 1e9);
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
		json_pack("{s:i, s:s, s:s, s:i, s:i, s:f, s:s, s:o}", "schema", 1, "service",
			  s->name, "state", ramp_state_name(r->state), "stage", (int)r->stage,
			  "stages", (int)s->conf->n_stages, "weight", v->weight / 100.0, "reason",
			  ramp_reason(&s->ramp), "gates", ramp_gates_json(v->gates, v->n_gates));

	if (!j)
		return NULL;
	json_object_set_new(j, "hold_left_s", json_real((double)ramp_hold_left(&s->ramp) / 1e9));
	json_object_set_new(j, "next", json_string(ramp_next_text(&s->ramp, next)));
	json_object_set_new(j, "who", json_string(r->who));
	json_object_set_new(j, "epoch", json_integer((json_int_t)v->epoch));
	json_object_set_new(j, "attached", json_boolean(v->attached));
	json_object_set_new(j, "leader", json_boolean(v->leader));
	json_object_set_new(j, "latched", json_boolean(v->latched));
	json_object_set_new(j, "healthy", json_integer(v->healthy));
	json_object_set_new(j, "backends", json_integer(v->backends));
	json_object_set_new(j, "source", who_comes(s));
	json_object_set_new(j, "frozen", who_froze(r));
	json_object_set_new(j, "journal",
			    s->journal_error ? json_string(journal_error_text(s->journal_error))
					     : json_string("ok"));
	return j;
}
