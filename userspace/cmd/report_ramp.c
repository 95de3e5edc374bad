/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report_ramp.c - from the journal's entries to ramps, stages, incidents
 *
 * Each entry is looked at once, in the order in which they were written. A ramp begins with an
 * operator's `ramp start` and has all that comes until the next one, because what is learned after
 * its end (a commit, a rollback during the soak) is about it, too. A stage is a time in which one
 * share was in force; the gates that are shown with it are those of the last decision in it,
 * because with each new share they begin anew.
 *
 * From fault to effect. `seen_at` is when the evidence that decided was first seen (the journal's
 * since_ns), `effect_at` when the kernel had the new share, or the ramp stood still, or somebody
 * was called. A rollback is decided by an entry "intent" and in force by "rolled-back"; a step back
 * is decided by "paused" and in force when the share is lower.
 *
 * How it fails: entries of an older shiftd have no milliseconds, no cause and no evidence's time:
 * then the time of the entry counts, the gate is read from the reason, and what nobody knows is
 * null. Where the journal was rotated away in the middle of a ramp, that ramp is there from where
 * the journal begins, and "whole" is false.
 *
 * Weakness: a share that was set and set back between two entries is only in the audit trail.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/cmd/report_inner.h"

/* One entry, as far as it is always looked at. */
struct entry {
	const json_t *j, *saved;
	double at, weight;
	int stage;
	const char *kind, *state, *reason, *asked, *cause;
};

enum { PENDING_ROLLBACK = 2, PENDING_HOOKS }; /* enum ramp_do, as the journal has it */

#define LEG_BEFORE_RAMP 1 /* enum ramp_leg */

/* ---- reading ---- */

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static bool is(const struct entry *e, const char *kind)
{
	return !strcmp(e->kind, kind);
}

static int pending(const struct entry *e)
{
	return (int)report_number(json_object_get(e->saved, "pending"), "what");
}

static void read_entry(const json_t *j, struct entry *ret)
{
	*ret = (struct entry){
		.j = j,
		.saved = json_object_get(j, "saved"),
		.at = report_time_of(j),
		.weight = report_number(j, "weight"),
		.stage = (int)report_number(j, "stage"),
		.kind = report_text(j, "kind"),
		.state = report_text(j, "state"),
		.reason = report_text(j, "reason"),
		.asked = report_text(j, "asked"),
		.cause = report_text(j, "cause"),
	};
}

static bool starts(const struct entry *e)
{
	return is(e, "promoting") && report_number(e->saved, "leg") == LEG_BEFORE_RAMP &&
	       (!strcmp(e->asked, "start") || (!*e->asked && begins(e->reason, "started by ")));
}

static bool goes_on(const struct entry *e)
{
	return !strcmp(e->state, "holding") || !strcmp(e->state, "paused") ||
	       !strcmp(e->state, "promoting");
}

/* When the share in force was set: by the kernel's record, as far as that can be. */
static double set_at(const struct entry *e)
{
	double at = report_seconds(json_object_get(e->j, "set_ns"));

	return at > 0 && at <= e->at ? at : e->at;
}

static const char *set_by(const struct entry *e)
{
	const char *who = report_text(e->j, "set_by");

	return *who ? who : report_text(e->j, "who");
}

/* ---- the gates ---- */

/* "trip-wire" of "rollback:trip-wire"; of an older entry what its reason says. "": no gate. */
static void gate_of(const struct entry *e, char ret[64])
{
	const char *name = strchr(e->cause, ':'), *end;

	ret[0] = '\0';
	if (*e->cause) {
		snprintf(ret, 64, "%s", name ? name + 1 : e->cause);
		return;
	}
	if (*e->asked)
		return;
	name = strstr(e->reason, "gate ");
	end = name ? strstr(name, ": ") : NULL;
	if (end && end - name - 5 < 63)
		snprintf(ret, 64, "%.*s", (int)(end - name - 5), name + 5);
	else if (strstr(e->reason, "every backend is down"))
		snprintf(ret, 64, "all-down");
}

static double evidence_since(const struct entry *e, const char *gate)
{
	const json_t *list = json_object_get(e->j, "gates"), *g;
	size_t i;

	if (!strcmp(gate, "all-down")) /* the trip-wire looks at that as well */
		gate = "trip-wire";
	json_array_foreach ((json_t *)list, i, g) {
		if (!strcmp(report_text(g, "name"), gate))
			return report_seconds(json_object_get(g, "since_ns"));
	}
	return 0;
}

/* As the journal has them, without what only the reading of it needs. */
static json_t *gates_json(const struct entry *e)
{
	static const char *const keys[] = {"name", "class",  "verdict",	 "value",    "unit",
					   "arm",  "bounds", "baseline", "expected", "why"};
	const json_t *list = json_object_get(e->j, "gates"), *g;
	json_t *all = json_array();
	size_t i;

	json_array_foreach ((json_t *)list, i, g) {
		json_t *one = json_object();

		for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++) {
			json_t *value = json_object_get(g, keys[k]);

			json_object_set(one, keys[k], value);
			if (!value)
				json_object_set_new(one, keys[k], json_null());
		}
		json_object_set_new(
			one, "since",
			report_time_json(report_seconds(json_object_get(g, "since_ns"))));
		json_array_append_new(all, one);
	}
	return all;
}

/* ---- stages ---- */

static void put_evidence(struct report *r, const struct entry *e)
{
	if (!r->stage)
		return;
	json_object_set_new(r->stage, "gates", gates_json(e));
	json_object_set_new(r->stage, "evidence_at", report_time_json(e->at));
}

static void decide(struct report *r, const struct entry *e, const char *what, const char *why)
{
	if (!r->stage)
		return;
	json_object_set_new(r->stage, "decision", json_sprintf("%s%s", what, why));
	json_object_set_new(r->stage, "decided_at", report_time_json(e->at));
	json_object_set(r->stage, "decided_by", json_object_get(e->j, "who"));
	if (report_number(e->saved, "held") > 0) /* with a rollback it is gone */
		json_object_set_new(r->stage, "held_s",
				    json_real(round(report_number(e->saved, "held") / 1e6) / 1000));
}

/* The words that say it once more are left out: "rolled back by alice", "paused by gate p95: …". */
static void decide_said(struct report *r, const struct entry *e, const char *what, const char *why)
{
	static const char *const words[] = {"rolled back ", "rollback ", "paused ",
					    "one stage back "};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (begins(why, words[i])) {
			decide(r, e, what, why + strlen(words[i]) - 1);
			return;
		}
	}
	decide(r, e, what, "");
	if (r->stage)
		json_object_set_new(r->stage, "decision", json_sprintf("%s: %s", what, why));
}

static void open_stage(struct report *r, const struct entry *e, double from)
{
	const json_t *hold = json_object_get(e->j, "hold_s");

	r->stage = json_pack(
		"{s:i, s:O?, s:f, s:s, s:O?, s:o, s:n, s:O?, s:n, s:o, s:n, s:n, s:n, s:n}",
		"stage", e->stage, "stages", json_object_get(e->j, "stages"), "weight", e->weight,
		"by", set_by(e), "for", json_object_get(e->saved, "who"), "from",
		report_time_json(from), "to", "hold_s", hold, "held_s", "gates", json_array(),
		"evidence_at", "decision", "decided_by", "decided_at");
	if (r->stage)
		json_array_append_new(json_object_get(r->ramp, "stages"), r->stage);
}

static void close_stage(struct report *r, const struct entry *e, double to)
{
	if (!r->stage)
		return;
	json_object_set_new(r->stage, "to", report_time_json(to));
	if (!strcmp(report_text(r->stage, "decision"), "PROCEED"))
		json_object_set_new(r->stage, "decision",
				    json_sprintf("PROCEED to %.4g%%", e->weight));
	r->stage = NULL;
}

static void came_into_force(struct report *r, const struct entry *e, double at);

/* Another share is in force, or another stage has it. */
static void follow_stage(struct report *r, const struct entry *e)
{
	bool same = e->weight == r->weight &&
		    (!r->stage || e->stage == (int)report_number(r->stage, "stage"));
	double at = set_at(e);

	if (same && (r->stage || e->weight <= 0))
		return;
	if (at <= r->from || e->weight == r->weight)
		at = e->at; /* it was set before the ramp, or is the same */
	close_stage(r, e, at);
	if (e->weight != r->weight)
		came_into_force(r, e, at);
	r->weight = e->weight;
	if (e->weight > 0)
		open_stage(r, e, at);
}

/* ---- incidents ---- */

static json_t *new_incident(struct report *r, const struct entry *e, const char *kind)
{
	char gate[64];
	double seen;
	json_t *j;

	gate_of(e, gate);
	seen = *gate ? evidence_since(e, gate) : 0;
	j = json_pack("{s:s, s:o, s:i, s:f, s:O?, s:o, s:o, s:n, s:n, s:n, s:O?, s:b}", "kind",
		      kind, "gate", *gate ? json_string(gate) : json_null(), "stage",
		      r->stage ? (int)report_number(r->stage, "stage") : e->stage, "weight",
		      r->weight, "who", json_object_get(e->j, "who"), "seen_at",
		      report_time_json(seen), "decided_at", report_time_json(e->at), "effect_at",
		      "took_ms", "action", "reason", json_object_get(e->j, "reason"), "alarm", 0);
	if (j)
		json_array_append_new(json_object_get(r->ramp, "incidents"), j);
	return j;
}

/* `action` is taken over. */
static void take_effect(json_t *incident, double at, json_t *action)
{
	double seen = report_number(incident, "seen_at");

	json_object_set_new(incident, "effect_at", report_time_json(at));
	json_object_set_new(incident, "action", action);
	if (seen > 0 && at >= seen) /* else the clock was set meanwhile */
		json_object_set_new(incident, "took_ms",
				    json_integer((json_int_t)llround((at - seen) * 1000)));
}

static json_t *share_action(double from, double to, const char *more)
{
	return json_sprintf("share %.4g%% -> %.4g%%%s", from, to, more);
}

/* A step back was under way, and this is it. */
static void came_into_force(struct report *r, const struct entry *e, double at)
{
	json_t *i = r->under_way;

	if (!i || strcmp(report_text(i, "kind"), "back") != 0)
		return;
	if (e->weight < report_number(i, "weight"))
		take_effect(i, at, share_action(report_number(i, "weight"), e->weight, ""));
	r->under_way = NULL;
}

static void rollback_decided(struct report *r, const struct entry *e)
{
	put_evidence(r, e);
	decide_said(r, e, "ROLLING BACK", e->reason);
	if (r->under_way && !strcmp(report_text(r->under_way, "kind"), "rollback"))
		return; /* it is tried again */
	r->under_way = new_incident(r, e, "rollback");
}

static void rolled_back(struct report *r, const struct entry *e)
{
	double at = report_seconds(json_object_get(e->saved, "latch_seen"));
	json_t *i = r->under_way;

	if (!i || strcmp(report_text(i, "kind"), "rollback") != 0) { /* by somebody else */
		put_evidence(r, e);
		i = new_incident(r, e, "rollback");
		json_object_set_new(i, "gate", json_null());
		json_object_set_new(i, "seen_at", json_null());
		if (at > 0 && at <= e->at)
			json_object_set_new(i, "decided_at", report_time_json(at));
		json_object_set_new(i, "who", json_string(set_by(e)));
	}
	take_effect(i, at > 0 && at <= e->at ? at : e->at,
		    share_action(report_number(i, "weight"), e->weight, ", latched"));
	r->under_way = NULL;
	json_object_set(r->ramp, "ended_at", json_object_get(i, "effect_at"));
	decide_said(r, e, "ROLLED BACK", e->reason);
}

static void paused(struct report *r, const struct entry *e)
{
	bool back = !strcmp(e->asked, "back") || begins(e->reason, "one stage back");
	json_t *i = new_incident(r, e, back ? "back" : "pause");

	put_evidence(r, e);
	if (back) {
		r->under_way = i;
		decide_said(r, e, "BACK", e->reason);
		return;
	}
	take_effect(i, e->at, json_sprintf("held at %.4g%%", e->weight));
	decide_said(r, e, "PAUSED", e->reason);
}

/* What was told with an incident that is there is no other one. */
static void alarmed(struct report *r, const struct entry *e)
{
	json_t *list = json_object_get(r->ramp, "incidents"), *i;
	size_t n = json_array_size(list);

	i = n ? json_array_get(list, n - 1) : NULL;
	if (i && !strcmp(report_text(i, "reason"), e->reason)) {
		json_object_set_new(i, "alarm", json_true());
		return;
	}
	i = new_incident(r, e, "alarm");
	json_object_set_new(i, "alarm", json_true());
	take_effect(i, e->at, json_sprintf("alarm, held at %.4g%%", e->weight));
	put_evidence(r, e);
}

/* In the soak: what is only watched. */
static void noted(struct report *r, const struct entry *e)
{
	json_t *i = new_incident(r, e, "monitor");

	take_effect(i, e->at, json_sprintf("noted at %.4g%%", e->weight));
	put_evidence(r, e);
}

/* ---- the rest of what happens in a ramp ---- */

static void promoted(struct report *r, const struct entry *e)
{
	const char *rest = e->reason + strlen("proceed to ");
	char to[32];

	if (!strcmp(e->asked, "start") || !strcmp(e->asked, "resume"))
		return;
	put_evidence(r, e);
	if (begins(e->reason, "proceed to ")) {
		snprintf(to, sizeof(to), "%.*s", (int)strcspn(rest, ":"), rest);
		decide(r, e, "PROCEED to ", to);
	} else if (begins(e->reason, "the last stage was held")) {
		decide(r, e, "DONE: ", "the last stage was held");
	} else {
		decide(r, e, "PROCEED", "");
	}
}

static void resumed(struct report *r)
{
	static const char *const keys[] = {"decision", "decided_at", "decided_by"};

	for (size_t i = 0; r->stage && i < sizeof(keys) / sizeof(*keys); i++)
		json_object_set_new(r->stage, keys[i], json_null());
}

static void ended(struct report *r, const struct entry *e)
{
	decide(r, e, "DONE: ", e->reason);
	json_object_set_new(r->ramp, "ended_at", report_time_json(e->at));
}

static const char *authority_name_of(const struct entry *e)
{
	static const char *const names[] = {"old", "shared", "new"}; /* enum shift_authority */
	int value = (int)report_number(e->saved, "authority");

	return value >= 0 && value < 3 ? names[value] : "unknown";
}

static void authority(struct report *r, const struct entry *e)
{
	json_t *a = json_object_get(r->ramp, "authority");

	json_object_set_new(a, "now", json_string(authority_name_of(e)));
	json_array_append_new(json_object_get(a, "changes"),
			      json_pack("{s:o, s:s, s:s, s:s, s:O?}", "at",
					report_time_json(set_at(e)), "who", set_by(e), "what",
					e->kind, "to", authority_name_of(e), "text",
					json_object_get(e->j, "reason")));
}

static void frozen(struct report *r, const struct entry *e)
{
	json_t *list = json_object_get(r->ramp, "freezes");
	size_t n = json_array_size(list);
	json_t *last = n ? json_array_get(list, n - 1) : NULL;

	if (is(e, "unfreeze")) {
		if (!last || report_has(last, "to"))
			return;
		json_object_set_new(last, "to", report_time_json(e->at));
		json_object_set(last, "unfrozen_by", json_object_get(e->j, "who"));
		return;
	}
	json_array_append_new(
		list,
		json_pack("{s:o, s:n, s:O?, s:O?, s:n}", "from",
			  report_time_json(report_seconds(json_object_get(e->saved, "frozen_at"))),
			  "to", "by", json_object_get(e->saved, "frozen_by"), "reason",
			  json_object_get(e->saved, "freeze_reason"), "unfrozen_by"));
}

static void hook_ended(struct report *r, const struct entry *e)
{
	json_t *h = json_deep_copy(json_object_get(e->j, "hook"));
	const json_t *of = json_object_get(e->saved, "pending");

	if (!json_is_object(h)) {
		json_decref(h);
		return;
	}
	json_object_set_new(h, "at", report_time_json(e->at));
	if (pending(e) == PENDING_HOOKS && strstr(report_text(h, "when"), "stage"))
		json_object_set(h, "stage", json_object_get(of, "stage"));
	else
		json_object_set_new(h, "stage", json_integer(e->stage));
	json_array_append_new(json_object_get(r->ramp, "hooks"), h);
}

/* Who overrode which rule. A command that wrote several entries said it once. */
static void overrides(struct report *r, const struct entry *e)
{
	json_t *list = json_object_get(r->ramp, "overrides"),
	       *flags = json_object_get(e->j, "flags");
	size_t n = json_array_size(list);
	const json_t *last = n ? json_array_get(list, n - 1) : NULL;

	if (!json_array_size(flags) || (last && report_number(last, "at") == e->at &&
					!strcmp(report_text(last, "verb"), e->asked)))
		return;
	json_array_append_new(
		list, json_pack("{s:o, s:O?, s:s, s:O}", "at", report_time_json(e->at), "who",
				json_object_get(e->j, "who"), "verb", e->asked, "flags", flags));
}

static void log_event(struct report *r, const struct entry *e)
{
	json_array_append_new(json_object_get(r->ramp, "events"),
			      json_pack("{s:o, s:s, s:O?, s:i, s:f, s:O?, s:O?}", "at",
					report_time_json(e->at), "kind", e->kind, "who",
					json_object_get(e->j, "who"), "stage", e->stage, "weight",
					e->weight, "epoch", json_object_get(e->j, "epoch"), "text",
					json_object_get(e->j, "reason")));
}

/* ---- a ramp ---- */

static void begin_ramp(struct report *r, const struct entry *e, bool whole)
{
	r->n++;
	if (r->over)
		return;
	if (r->ramp && r->n - 1 == r->wanted) {
		r->over = true;
		r->until = e->at;
		return;
	}
	json_decref(r->ramp);
	r->ramp = json_pack(
		"{s:i, s:b, s:O?, s:o, s:n, s:O?, s:[], s:[], s:[], s:{s:s, s:s, s:[]}, "
		"s:[], s:[], s:[], s:[], s:[]}",
		"ramp", (int)r->n, "whole", (int)whole, "started_by",
		whole ? json_object_get(e->j, "who") : NULL, "started_at",
		report_time_json(whole ? e->at : 0), "ended_at", "start_reason",
		whole ? json_object_get(e->j, "reason") : NULL, "stages", "incidents", "overrides",
		"authority", "at_start", authority_name_of(e), "now", authority_name_of(e),
		"changes", "by_hand", "freezes", "hooks", "events", "points");
	r->from = e->at;
	r->stage = r->under_way = NULL;
	r->weight = whole ? e->weight : -1;
	r->state[0] = '\0';
	if (report_number(e->saved, "frozen_at") > 0 && !is(e, "freeze"))
		frozen(r, e);
}

static void take_entry(struct report *r, const struct entry *e)
{
	if (is(e, "intent")) {
		if (pending(e) == PENDING_ROLLBACK)
			rollback_decided(r, e);
		return; /* what it says is in force is what was before it */
	}
	if (is(e, "promoting"))
		promoted(r, e);
	else if (is(e, "paused"))
		paused(r, e);
	else if (is(e, "rolled-back"))
		rolled_back(r, e);
	else if (is(e, "alarm"))
		alarmed(r, e);
	else if (is(e, "monitor"))
		noted(r, e);
	else if (is(e, "commit") || is(e, "commit-undone"))
		authority(r, e);
	else if (is(e, "freeze") || is(e, "unfreeze"))
		frozen(r, e);
	else if (is(e, "hook"))
		hook_ended(r, e);
	follow_stage(r, e);
	if (!strcmp(e->asked, "resume") && (is(e, "holding") || is(e, "promoting")))
		resumed(r);
	if (is(e, "done") && !strcmp(e->state, "done") && strcmp(r->state, "done") != 0)
		ended(r, e);
	if (!is(e, "hook"))
		log_event(r, e);
}

struct report *report_begin(unsigned int number)
{
	struct report *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->wanted = number;
	r->until = INFINITY;
	return r;
}

void report_entry(struct report *r, const json_t *j)
{
	struct entry e;

	read_entry(j, &e);
	if (!json_is_object(e.saved) || !*e.kind)
		return;
	if (starts(&e))
		begin_ramp(r, &e, true);
	else if (!r->n && goes_on(&e))
		begin_ramp(r, &e, false);
	if (!r->ramp || r->over)
		return;
	overrides(r, &e);
	take_entry(r, &e);
	json_object_set(r->ramp, "state", json_object_get(j, "state"));
	json_object_set(r->ramp, "reason", json_object_get(e.saved, "reason"));
	json_object_set_new(r->ramp, "weight", json_real(e.weight));
	snprintf(r->state, sizeof(r->state), "%s", e.state);
}
