/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report_document.c - the document: what the journal said of the ramp, and what others wrote
 * meanwhile
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/cmd/report_inner.h"

const char *report_text(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	return text ? text : "";
}

double report_number(const json_t *j, const char *key)
{
	return json_number_value(json_object_get(j, key));
}

bool report_has(const json_t *j, const char *key)
{
	const json_t *value = json_object_get(j, key);

	return value && !json_is_null(value);
}

double report_seconds(const json_t *ns)
{
	return (double)(json_integer_value(ns) / 1000000) / 1000;
}

json_t *report_time_json(double at)
{
	return at > 0 && isfinite(at) ? json_real(at) : json_null();
}

double report_time_of(const json_t *entry)
{
	const json_t *ns = json_object_get(entry, "real_ns");
	struct tm tm = {0};
	const char *end;

	if (json_integer_value(ns) > 0)
		return report_seconds(ns);
	end = strptime(report_text(entry, "time"), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return end && !*end ? (double)timegm(&tm) : 0;
}

/* ---- what was read ---- */

bool report_span(const struct report *r, double *ret_from, double *ret_until)
{
	if (!r->ramp || (r->wanted && r->wanted > r->n))
		return false;
	*ret_from = r->from;
	*ret_until = r->until;
	return true;
}

unsigned int report_ramps(const struct report *r)
{
	return r->n;
}

/* ---- what others wrote meanwhile ---- */

static bool belongs(const struct report *r, double at)
{
	return r->ramp && at >= floor(r->from) && at < r->until;
}

/* What the ramp, or a share that shiftd keeps, set is in the stages. */
void report_change(struct report *r, const json_t *change)
{
	const char *verb = report_text(change, "verb"), *who = report_text(change, "who");
	double at = report_time_of(change);
	json_t *j;

	if (!belongs(r, at) || !strcmp(verb, "ramp") || !strcmp(who, "shiftd"))
		return;
	j = json_deep_copy(change);
	json_object_del(j, "schema");
	json_object_del(j, "service");
	json_object_del(j, "time");
	json_object_set_new(j, "at", report_time_json(at));
	json_array_append_new(json_object_get(r->ramp, "by_hand"), j);
}

void report_point(struct report *r, const json_t *point)
{
	if (belongs(r, report_number(point, "at")))
		json_array_append(json_object_get(r->ramp, "points"), (json_t *)point);
}

/* ---- the document ---- */

static void drop_older(json_t *list, const char *key, double since)
{
	for (size_t i = json_array_size(list); i-- > 0;) {
		const json_t *j = json_array_get(list, i);

		if (report_has(j, key) && report_number(j, key) < since)
			json_array_remove(list, i);
	}
}

static void forget_before(json_t *ramp, double since)
{
	static const char *const keys[][2] = {
		{"stages", "to"},    {"incidents", "decided_at"},
		{"overrides", "at"}, {"by_hand", "at"},
		{"freezes", "to"},   {"hooks", "at"},
		{"events", "at"},    {"points", "at"},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		drop_older(json_object_get(ramp, keys[i][0]), keys[i][1], since);
	drop_older(json_object_get(json_object_get(ramp, "authority"), "changes"), "at", since);
}

/* Each n-th, and the last. */
static void thin(json_t *ramp)
{
	const json_t *all = json_object_get(ramp, "points");
	size_t n = json_array_size(all), each = (n + REPORT_POINTS - 1) / REPORT_POINTS;
	json_t *few = json_array();

	for (size_t i = 0; i < n; i++) {
		if ((n - 1 - i) % each == 0)
			json_array_append(few, json_array_get(all, i));
	}
	json_object_set_new(ramp, "points", few);
}

json_t *report_end(struct report *r, const char *service, double since)
{
	double from, until;
	json_t *document = NULL;

	if (report_span(r, &from, &until)) {
		if (since > 0)
			forget_before(r->ramp, since);
		thin(r->ramp);
		document = json_pack("{s:i, s:s, s:i}", "schema", 1, "service", service, "ramps",
				     (int)r->n);
		json_object_update(document, r->ramp);
	}
	json_decref(r->ramp);
	free(r);
	return document;
}
