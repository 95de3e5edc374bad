/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp_words.c - the ramp's names and texts, and its gates as JSON
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/ctl/ramp_inner.h"
#include "userspace/ctl/ramp_json.h"

void ramp_text(char ret[RAMP_TEXT], const char *format, ...)
{
	char text[RAMP_TEXT];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	memcpy(ret, text, sizeof(text)); /* ret may be among the arguments */
}

const char *ramp_when_text(enum conf_when when, uint16_t stage, char ret[32])
{
	static const char *const names[] = {
		[CONF_BEFORE_RAMP] = "before the ramp", [CONF_BEFORE_STAGE] = "before stage",
		[CONF_AFTER_STAGE] = "after stage",	[CONF_ON_COMMIT] = "on commit",
		[CONF_ON_ROLLBACK] = "on rollback",	[CONF_AFTER_RAMP] = "after the ramp",
	};

	if (when == CONF_BEFORE_STAGE || when == CONF_AFTER_STAGE)
		snprintf(ret, 32, "%s %u", names[when], (unsigned int)stage);
	else
		snprintf(ret, 32, "%s", names[when]);
	return ret;
}

static const char *const state_names[] = {"idle",      "holding", "paused",
					  "promoting", "done",	  "rolled-back"};

const char *ramp_state_name(enum ramp_state state)
{
	return (unsigned int)state < RAMP_STATES ? state_names[state] : "idle";
}

int ramp_state_parse(const char *name)
{
	for (int i = 0; name && i < RAMP_STATES; i++) {
		if (!strcmp(name, state_names[i]))
			return i;
	}
	return -EINVAL;
}

const char *ramp_reason(const struct ramp *r)
{
	return r->waits[0] && r->saved.state != RAMP_PAUSED ? r->waits : r->saved.reason;
}

const char *ramp_next_text(const struct ramp *r, char ret[RAMP_TEXT])
{
	uint16_t above = ramp_stage_above(r);
	char share[16], left[32];

	text_weight(ramp_stage_weight(r, above), share);
	switch (r->saved.state) {
	case RAMP_HOLDING:
		text_duration(ramp_hold_left(r), left);
		if (above)
			ramp_text(ret, "%s%% in %s if all gates are ok", share, left);
		else
			ramp_text(ret, "done in %s if all gates are ok", left);
		break;
	case RAMP_PROMOTING:
		if (r->saved.target)
			ramp_text(ret, "%s%%",
				  text_weight(ramp_stage_weight(r, r->saved.target), share));
		else
			ramp_text(ret, "done");
		break;
	case RAMP_PAUSED:
		ramp_text(ret, "shiftctl ramp resume%s", above ? ", next or back" : " or back");
		break;
	case RAMP_DONE:
		ramp_text(ret, r->saved.authority == SHIFT_AUTHORITY_NEW ? "shiftctl dns cutover"
									 : "shiftctl commit");
		break;
	case RAMP_ROLLED_BACK:
		ramp_text(ret, "shiftctl %s --after-rollback",
			  r->saved.authority == SHIFT_AUTHORITY_NEW ? "weight 100" : "ramp start");
		break;
	default:
		ramp_text(ret, "shiftctl ramp start");
	}
	return ret;
}

/* ---- as JSON ---- */

static const char *unit_of(const struct conf_gate *g)
{
	const struct conf_bounds *kinds[] = {&g->ok, &g->pause, &g->back, &g->rollback};

	if (g->kind == CONF_GATE_KERNEL && g->kernel >= CONF_KERNEL_P50 &&
	    g->kernel <= CONF_KERNEL_P99)
		return "ms";
	for (int k = 0; k < 4; k++) {
		const char *unit = kinds[k]->bound[0].unit;

		if (kinds[k]->n && !kinds[k]->bound[0].below_baseline)
			return !*unit || *unit == '%' ? unit : "ms"; /* as the bound was read */
	}
	return "";
}

static void put_conf(json_t *j, const struct conf_gate *g)
{
	static const char *const arms[] = {"new", "old", "new", "sum"};
	char text[512];

	json_object_set_new(j, "bounds", ramp_text_json(conf_bounds_text(g, text, sizeof(text))));
	json_object_set_new(j, "unit", json_string(unit_of(g)));
	json_object_set_new(j, "arm", json_string(arms[g->arm]));
}

json_t *ramp_gates_json(const struct ramp_gate *gates, unsigned int n)
{
	json_t *list = json_array();

	for (unsigned int i = 0; list && i < n; i++) {
		const struct gate_verdict *v = &gates[i].verdict;
		json_t *j = json_pack("{s:s, s:s, s:o, s:o, s:s*}", "name", gates[i].name,
				      "verdict", gate_says_name(v->says), "value",
				      v->has_value && isfinite(v->value) ? json_real(v->value)
									 : json_null(),
				      "why", ramp_text_json(v->why), "class", gate_class(v));

		if (j && gates[i].has_baseline && isfinite(gates[i].baseline)) {
			json_object_set_new(j, "baseline", json_real(gates[i].baseline));
			json_object_set_new(j, "whole", json_boolean(gates[i].whole));
		}
		if (j && gates[i].has_baseline && isfinite(gates[i].expected))
			json_object_set_new(j, "expected", json_real(gates[i].expected));
		if (j && gates[i].conf)
			put_conf(j, gates[i].conf);
		json_array_append_new(list, j);
	}
	return list;
}

json_t *ramp_text_json(const char *text)
{
	json_t *j = json_string(text);
	char clean[1024];

	return j ? j : json_string(screen_clean(text, clean, sizeof(clean)));
}
