/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report_tables.c - what of the document is shown, in which order, and each thing in words; the
 * same for Markdown and HTML
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/cmd/report.h"

const struct report_column report_gate_columns[] = {
	{"gate", "name", REPORT_TEXT},
	{"value", "value", REPORT_VALUE},
	{"expected", "expected", REPORT_VALUE},
	{"bounds", "bounds", REPORT_TEXT},
	{"verdict", "verdict", REPORT_TEXT},
	{"evidence", "why", REPORT_TEXT},
	{0},
};

static const struct report_column incidents[] = {
	{"what", "kind", REPORT_TEXT},
	{"gate", "gate", REPORT_TEXT},
	{"stage", "stage", REPORT_NUMBER},
	{"first seen", "seen_at", REPORT_MOMENT},
	{"in force", "effect_at", REPORT_MOMENT},
	{"from fault to effect", "took_ms", REPORT_MS},
	{"effect", "action", REPORT_TEXT},
	{"by", "who", REPORT_TEXT},
	{"reason", "reason", REPORT_TEXT},
	{0},
};

static const struct report_column authority[] = {
	{"time", "at", REPORT_TIME},   {"by", "who", REPORT_TEXT},
	{"what", "what", REPORT_TEXT}, {"authority", "to", REPORT_TEXT},
	{"text", "text", REPORT_TEXT}, {0},
};

static const struct report_column overrides[] = {
	{"time", "at", REPORT_TIME},
	{"by", "who", REPORT_TEXT},
	{"command", "verb", REPORT_TEXT},
	{"flags", "flags", REPORT_LIST},
	{0},
};

static const struct report_column by_hand[] = {
	{"time", "at", REPORT_TIME},
	{"by", "who", REPORT_TEXT},
	{"command", "verb", REPORT_TEXT},
	{"from", "from", REPORT_SHARE},
	{"to", "to", REPORT_SHARE},
	{"epoch", "epoch", REPORT_NUMBER},
	{"reason", "reason", REPORT_TEXT},
	{"", "detail", REPORT_TEXT},
	{0},
};

static const struct report_column freezes[] = {
	{"from", "from", REPORT_TIME},	    {"by", "by", REPORT_TEXT},
	{"reason", "reason", REPORT_TEXT},  {"to", "to", REPORT_TIME},
	{"by", "unfrozen_by", REPORT_TEXT}, {0},
};

static const struct report_column hooks[] = {
	{"ended", "at", REPORT_TIME},	     {"when", "when", REPORT_TEXT},
	{"stage", "stage", REPORT_NUMBER},   {"step", "name", REPORT_TEXT},
	{"outcome", "outcome", REPORT_TEXT}, {"took", "seconds", REPORT_SECONDS},
	{"why", "why", REPORT_TEXT},	     {0},
};

static const struct report_column events[] = {
	{"time", "at", REPORT_MOMENT},	   {"by", "who", REPORT_TEXT},
	{"what", "kind", REPORT_TEXT},	   {"stage", "stage", REPORT_NUMBER},
	{"share", "weight", REPORT_SHARE}, {"epoch", "epoch", REPORT_NUMBER},
	{"text", "text", REPORT_TEXT},	   {0},
};

const struct report_section report_sections[] = {
	{"Incidents", "incidents", "None: no pause, no step back, no rollback, no alarm.",
	 incidents},
	{"Authority", "authority.changes", NULL, authority},
	{"Rules that were overridden", "overrides", NULL, overrides},
	{"Changed by hand meanwhile", "by_hand", NULL, by_hand},
	{"Freezes", "freezes", NULL, freezes},
	{"Hooks", "hooks", NULL, hooks},
	{"Log", "events", NULL, events},
	{0},
};

const json_t *report_list(const json_t *document, const char *key)
{
	const char *dot = strchr(key, '.');
	char first[32];

	if (!dot)
		return json_object_get(document, key);
	snprintf(first, sizeof(first), "%.*s", (int)(dot - key), key);
	return json_object_get(json_object_get(document, first), dot + 1);
}

/* ---- a cell ---- */

static void put_time(double at, bool moment, char ret[REPORT_CELL])
{
	char when[32];
	uint64_t ms = at > 0 && at < REPORT_LATEST ? (uint64_t)llround(at * 1000) : 0;

	text_time(ms / 1000 * 1000000000, when);
	if (moment)
		snprintf(ret, REPORT_CELL, "%s.%03u", when, (unsigned int)(ms % 1000));
	else
		snprintf(ret, REPORT_CELL, "%s", when);
}

static void put_value(const json_t *row, double value, char ret[REPORT_CELL])
{
	const char *unit = report_text(row, "unit");
	bool percent = !strcmp(unit, "%"), time = !percent && *unit; /* in ms, as bounds are */

	if (!*unit && (!strcmp(report_text(row, "name"), "trip-wire") ||
		       !strcmp(report_text(row, "name"), "split")))
		percent = true; /* of the ramp's own these are shares, the others ratios */
	snprintf(ret, REPORT_CELL, fabs(value) >= 1000 ? "%.0f%s" : "%.4g%s", value,
		 percent ? "%"
		 : time	 ? " ms"
			 : "");
}

static void put_list(const json_t *list, char ret[REPORT_CELL])
{
	size_t used = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < json_array_size(list) && used + 100 < REPORT_CELL; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		used += (size_t)snprintf(ret + used, REPORT_CELL - used, "%s%.60s", i ? " " : "",
					 text ? text : "");
	}
}

static void put_number(const json_t *row, double value, enum report_how how, char ret[REPORT_CELL])
{
	char text[32];

	switch (how) {
	case REPORT_SHARE:
		snprintf(ret, REPORT_CELL, "%.4g%%", value);
		break;
	case REPORT_TIME:
	case REPORT_MOMENT:
		put_time(value, how == REPORT_MOMENT, ret);
		break;
	case REPORT_SECONDS:
		snprintf(ret, REPORT_CELL, "%s",
			 text_duration((uint64_t)(value > 0 ? value * 1e9 : 0), text));
		break;
	case REPORT_MS:
		if (fabs(value) < 1000)
			snprintf(ret, REPORT_CELL, "%.0f ms", value);
		else if (value < 60000)
			snprintf(ret, REPORT_CELL, "%.1f s", value / 1000);
		else
			snprintf(ret, REPORT_CELL, "%s",
				 text_duration((uint64_t)(value * 1e6), text));
		break;
	case REPORT_VALUE:
		put_value(row, value, ret);
		break;
	default:
		snprintf(ret, REPORT_CELL, "%.10g", value);
	}
}

const char *report_cell(const json_t *row, const char *key, enum report_how how,
			char ret[REPORT_CELL])
{
	const json_t *j = json_object_get(row, key);
	char text[REPORT_CELL];

	if (json_is_number(j))
		put_number(row, json_number_value(j), how, text);
	else if (json_is_array(j))
		put_list(j, text);
	else
		snprintf(text, sizeof(text), "%s", json_is_string(j) ? json_string_value(j) : "");
	screen_clean(text[0] ? text : "-", ret, REPORT_CELL);
	return ret;
}

/* ---- the head ---- */

const char *report_title(const json_t *document, char ret[REPORT_CELL])
{
	char service[REPORT_CELL];

	report_cell(document, "service", REPORT_TEXT, service);
	snprintf(ret, REPORT_CELL, "Ramp of %.64s: %.20s at %.4g%%", service,
		 report_text(document, "state"), report_number(document, "weight"));
	return ret;
}

/* What stands behind "started by alice: " */
static const char *why_of(const char *reason)
{
	const char *colon = strstr(reason, ": ");

	return colon ? colon : "";
}

static void put_started(const json_t *d, char ret[REPORT_CELL])
{
	char when[REPORT_CELL], who[REPORT_CELL], text[REPORT_CELL];

	if (!json_is_true(json_object_get(d, "whole"))) {
		snprintf(ret, REPORT_CELL, "before the journal that is kept begins");
		return;
	}
	report_cell(d, "started_at", REPORT_TIME, when);
	report_cell(d, "started_by", REPORT_TEXT, who);
	snprintf(text, sizeof(text), "%.30s by %.64s%.300s", when, who,
		 why_of(report_text(d, "start_reason")));
	screen_clean(text, ret, REPORT_CELL);
}

static void put_ended(const json_t *d, char ret[REPORT_CELL])
{
	double from = report_number(d, "started_at"), to = report_number(d, "ended_at");
	char when[REPORT_CELL], took[32];

	report_cell(d, "ended_at", REPORT_TIME, when);
	if (to <= 0)
		snprintf(ret, REPORT_CELL, "not yet");
	else if (from > 0 && to > from)
		snprintf(ret, REPORT_CELL, "%.30s, after %s", when,
			 text_duration((uint64_t)((to - from) * 1e9), took));
	else
		snprintf(ret, REPORT_CELL, "%.30s", when);
}

static void put_authority(const json_t *d, char ret[REPORT_CELL])
{
	const json_t *a = json_object_get(d, "authority");
	size_t n = json_array_size(json_object_get(a, "changes"));

	if (n)
		snprintf(ret, REPORT_CELL, "%.20s at the start, %.20s now (%zu %s)",
			 report_text(a, "at_start"), report_text(a, "now"), n,
			 n == 1 ? "change" : "changes");
	else
		snprintf(ret, REPORT_CELL, "%.20s", report_text(a, "now"));
}

/* The slowest of what it did by itself. */
static void put_slowest(const json_t *d, char ret[REPORT_CELL])
{
	const json_t *list = json_object_get(d, "incidents"), *i, *worst = NULL;
	char took[REPORT_CELL];
	size_t n;

	json_array_foreach ((json_t *)list, n, i) {
		if (report_has(i, "took_ms") &&
		    (!worst || report_number(i, "took_ms") > report_number(worst, "took_ms")))
			worst = i;
	}
	n = json_array_size(list);
	if (!n)
		snprintf(ret, REPORT_CELL, "none");
	else if (!worst)
		snprintf(ret, REPORT_CELL, "%zu", n);
	else
		snprintf(ret, REPORT_CELL,
			 "%zu; the slowest from fault to effect %.20s (%.20s, %.64s)", n,
			 report_cell(worst, "took_ms", REPORT_MS, took), report_text(worst, "kind"),
			 report_text(worst, "gate"));
}

bool report_fact(const json_t *d, unsigned int i, const char **ret_name, char ret[REPORT_CELL])
{
	static const char *const names[] = {"started", "ended", "now", "authority", "incidents"};
	char text[REPORT_CELL];

	if (i >= sizeof(names) / sizeof(*names))
		return false;
	*ret_name = names[i];
	switch (i) {
	case 0:
		put_started(d, ret);
		break;
	case 1:
		put_ended(d, ret);
		break;
	case 2:
		snprintf(ret, REPORT_CELL, "%.20s at %.4g%%: %.320s", report_text(d, "state"),
			 report_number(d, "weight"), report_cell(d, "reason", REPORT_TEXT, text));
		break;
	case 3:
		put_authority(d, ret);
		break;
	default:
		put_slowest(d, text);
		screen_clean(text, ret, REPORT_CELL);
	}
	return true;
}

/* ---- a stage ---- */

const char *report_stage_title(const json_t *s, char ret[REPORT_CELL])
{
	int n = (int)report_number(s, "stage"), of = (int)report_number(s, "stages");
	double weight = report_number(s, "weight");

	if (!n)
		snprintf(ret, REPORT_CELL, "Before the first stage: %.4g%%", weight);
	else if (of)
		snprintf(ret, REPORT_CELL, "Stage %d of %d: %.4g%%", n, of, weight);
	else
		snprintf(ret, REPORT_CELL, "Stage %d: %.4g%%", n, weight);
	return ret;
}

const char *report_stage_times(const json_t *s, char ret[REPORT_CELL])
{
	double from = report_number(s, "from"), to = report_number(s, "to");
	char a[REPORT_CELL], b[REPORT_CELL], by[REPORT_CELL], who[REPORT_CELL], took[32];
	char held[REPORT_CELL], hold[REPORT_CELL], text[REPORT_CELL];
	int n;

	report_cell(s, "from", REPORT_TIME, a);
	report_cell(s, "to", REPORT_TIME, b);
	n = snprintf(text, sizeof(text), "%.30s to %.30s", a, to > 0 ? b : "now");
	if (from > 0 && to > from)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " (%s)",
			      text_duration((uint64_t)((to - from) * 1e9), took));
	if (report_has(s, "hold_s"))
		n += snprintf(text + n, sizeof(text) - (size_t)n, ", held %.30s of %.30s",
			      report_has(s, "held_s")
				      ? report_cell(s, "held_s", REPORT_SECONDS, held)
				      : "0s",
			      report_cell(s, "hold_s", REPORT_SECONDS, hold));
	report_cell(s, "by", REPORT_TEXT, by);
	report_cell(s, "for", REPORT_TEXT, who);
	snprintf(text + n, sizeof(text) - (size_t)n, ", by %.64s%s%.64s", by,
		 strcmp(by, who) != 0 ? " for " : "", strcmp(by, who) != 0 ? who : "");
	return screen_clean(text, ret, REPORT_CELL);
}

const char *report_decision(const json_t *s, char ret[REPORT_CELL])
{
	if (!report_has(s, "decision"))
		snprintf(ret, REPORT_CELL, report_has(s, "to") ? "none" : "HOLDING");
	else
		report_cell(s, "decision", REPORT_TEXT, ret);
	return ret;
}
