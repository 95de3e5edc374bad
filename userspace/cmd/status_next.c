/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status_next.c - why a service is as it is, and the one obvious next command
 *
 * Both are decided by the first rule that fits, the most pressing first, from the view alone.
 */
#include <stdio.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "userspace/base/text.h"
#include "userspace/base/who.h"
#include "userspace/cmd/status.h"

/* Failed handshakes worth a warning: one in twenty, and enough of them to mean something. */
#define FAILED_SHARE 20
#define SILENT_LEAST 20 /* connections older than ten seconds, and no answer to any */
#define FAILED_LEAST 20

static const uint16_t stages[] = {1000, 2500, 5000, 7500, SHIFT_WEIGHT_MAX};

static const struct status_interface *bare_interface(const struct status_view *v)
{
	for (unsigned int i = 0; i < v->interfaces; i++) {
		if (!v->interface[i].attached)
			return &v->interface[i];
	}
	return NULL;
}

static bool backend_usable(const struct status_view *v, unsigned int i)
{
	const struct status_backend *b = &v->backend[i];

	if (b->draining || !b->weight || b->health == STATUS_DOWN || b->breaker)
		return false;
	for (unsigned int a = 0; a < v->addresses; a++) {
		if (v->address[a].backend == i && !v->address[a].no_route)
			return true;
	}
	return false;
}

/* One whose answers nobody sees. */
static const struct status_interface *blind_interface(const struct status_view *v)
{
	for (unsigned int i = 0; i < v->interfaces; i++) {
		if (v->interface[i].attached && !v->interface[i].watched)
			return &v->interface[i];
	}
	return NULL;
}

unsigned int status_usable_backends(const struct status_view *v)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < v->backends; i++)
		n += backend_usable(v, i);
	return n;
}

/* An address family that has backends, but none that is usable: "IPv4 ", "IPv6 "; "" if there is no
 * backend at all; NULL: every family is served. */
static const char *dead_family(const struct status_view *v)
{
	unsigned int all[2] = {0}, alive[2] = {0};

	for (unsigned int a = 0; a < v->addresses; a++) {
		unsigned int family = !ip_is_v4(v->address[a].address), b = v->address[a].backend;

		all[family]++;
		alive[family] += !v->address[a].no_route && backend_usable(v, b);
	}
	if (!all[0] && !all[1])
		return "";
	return all[0] && !alive[0] ? "IPv4 " : all[1] && !alive[1] ? "IPv6 " : NULL;
}

static uint64_t failed_handshakes(const struct status_view *v)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < v->backends; i++)
		n += v->backend[i].stats.handshake_failures;
	return n;
}

static bool is_many(uint64_t failed, uint64_t of)
{
	return failed >= FAILED_LEAST && failed * FAILED_SHARE > of;
}

/* What is wrong with the new side's answers, in words; false: nothing. */
static bool answers_badly(const struct status_view *v, char *ret, size_t size)
{
	const struct telemetry_arm *arm = &v->arm[SHIFT_ARM_NEW];
	uint64_t handshakes = failed_handshakes(v), of = v->stats.connections_new;
	char a[32], b[32];

	if (is_many(handshakes, of))
		snprintf(ret, size, "%s of %s handshakes failed since attach",
			 text_count(handshakes, a), text_count(of, b));
	else if (v->answers && is_many(arm->failed_10s, arm->begun_10s))
		snprintf(ret, size, "%s of %s connections of the last ten seconds failed",
			 text_count(arm->failed_10s, a), text_count(arm->begun_10s, b));
	else if (v->answers && is_many(arm->total.failed, arm->total.begun))
		snprintf(ret, size, "%s of %s connections failed since attach",
			 text_count(arm->total.failed, a), text_count(arm->total.begun, b));
	else if (v->answers && !arm->total.answered &&
		 arm->total.begun - arm->begun_10s >= SILENT_LEAST)
		snprintf(ret, size, "none of %s connections was answered",
			 text_count(arm->total.begun, a));
	else
		return false;
	return true;
}

/* NULL: there is no operator lock, or it is this operator's own. */
static const char *locked_by_another(const struct status_view *v)
{
	char me[SHIFT_NAME];

	if (!v->record.locked_at)
		return NULL;
	who_operator(me, sizeof(me));
	return strncmp(me, v->record.locked_by, SHIFT_NAME) ? v->record.locked_by : NULL;
}

/* ---- the ramp ---- */

static const char *ramp_text(const struct status_ramp *r, const char *key)
{
	const char *text = json_string_value(json_object_get(r->is, key));

	return text ? text : "";
}

bool status_ramp_active(const struct status_ramp *r)
{
	const char *is = r && r->is ? ramp_text(r, "state") : "";

	return !strcmp(is, "holding") || !strcmp(is, "paused") || !strcmp(is, "promoting");
}

const char *status_ramp_reason(const struct status_ramp *r)
{
	static const char now[] = "; and now: ";
	const char *reason = ramp_text(r, "reason"), *rest = strstr(reason, now);

	return !strncmp(reason, "holds for ", 10) && rest ? rest + sizeof(now) - 1 : reason;
}

bool status_ramp_has_back(const struct status_ramp *r)
{
	return status_ramp_active(r) && r->live &&
	       json_integer_value(json_object_get(r->is, "stage")) > 1;
}

const char *status_ramp_asleep(const struct status_view *v, char *ret, size_t size)
{
	const struct status_ramp *r = v->ramp;
	const json_t *of_all = r && r->is ? json_object_get(r->is, "stages") : NULL;
	char of[24] = "";

	ret[0] = '\0';
	if (!r || !r->is || r->live)
		return ret;
	if (json_is_integer(of_all))
		snprintf(of, sizeof(of), "/%d", (int)json_integer_value(of_all));
	if (status_ramp_active(r))
		snprintf(ret, size, "%s; ramp was %s at stage %d%s: it will %s", r->why,
			 ramp_text(r, "state"),
			 (int)json_integer_value(json_object_get(r->is, "stage")), of,
			 v->record.latched ? "be rolled-back" : "resume paused");
	else if (!strcmp(ramp_text(r, "state"), "done"))
		snprintf(ret, size, "%s; ramp was done: nobody asks its gates", r->why);
	return ret;
}

/* A clock's time beside "in 12m", for those who agree on one. */
static void add_time(const struct status_view *v, char *text, size_t size)
{
	double hold = json_number_value(json_object_get(v->ramp->is, "hold_left_s"));
	size_t used = strlen(text);
	char at[32];

	if (hold <= 0 || strcmp(ramp_text(v->ramp, "state"), "holding") != 0)
		return;
	text_time(v->real + (uint64_t)(hold * 1e9), at);
	snprintf(text + used, size - used, " (%.5s)", strchr(at, ' ') ? strchr(at, ' ') + 1 : at);
}

bool status_ramp_next(const struct status_view *v, char *ret, size_t size)
{
	const struct status_ramp *r = v->ramp;
	bool idle;

	if (!r || !r->is)
		return false;
	if (!r->live) {
		if (!status_ramp_active(r))
			return false;
		snprintf(ret, size, "%s",
			 strstr(r->why, "not run")
				 ? "systemctl start shiftd, then shiftctl ramp resume"
				 : "find out why shiftd is silent: systemctl status shiftd");
		return true;
	}
	idle = !strcmp(ramp_text(r, "state"), "idle");
	if (!status_ramp_active(r) && !(idle && json_is_true(json_object_get(r->is, "leader"))))
		return false;
	if (!*ramp_text(r, "next"))
		return false;
	snprintf(ret, size, "%s", ramp_text(r, "next"));
	add_time(v, ret, size);
	return true;
}

static uint16_t next_stage(uint16_t weight)
{
	for (size_t i = 0; i < sizeof(stages) / sizeof(*stages); i++) {
		if (stages[i] > weight)
			return stages[i];
	}
	return SHIFT_WEIGHT_MAX;
}

/* What a healthy service waits for. */
static void next_step(const struct status_view *v, char *ret, size_t size)
{
	const char *other = locked_by_another(v);
	char w[16];

	if (status_ramp_next(v, ret, size))
		return;
	if (v->weight < SHIFT_WEIGHT_MAX && other)
		snprintf(ret, size, "wait for %.*s, who holds the lock; --force overrides it",
			 SHIFT_NAME, other);
	else if (v->weight < SHIFT_WEIGHT_MAX)
		snprintf(ret, size, "shiftctl weight %s", text_weight(next_stage(v->weight), w));
	else if (v->record.authority != SHIFT_AUTHORITY_NEW)
		snprintf(ret, size, "shiftctl commit, once the new side may hold the true data");
	else
		snprintf(ret, size,
			 "shiftctl dns preflight, then dns cutover: point DNS at the new "
			 "addresses; this host goes on forwarding whoever still comes");
}

void status_next(const struct status_view *v, char *ret, size_t size)
{
	const struct shift_record *r = &v->record;
	const struct status_interface *bare = bare_interface(v);
	const struct status_interface *blind = blind_interface(v);
	int64_t left = status_seconds_left(v, r->confirm_deadline);
	char a[32], b[32], bad[96];

	if (!v->attached && v->others[0])
		snprintf(ret, size,
			 "shiftctl -s NAME status, or shiftctl apply to attach this one");
	else if (!v->attached && v->unreadable)
		snprintf(ret, size,
			 "mend or remove that file, or shiftctl apply --ignore-saved-state, which "
			 "begins at 0%% with the configured authority");
	else if (!v->attached)
		snprintf(ret, size, "shiftctl apply");
	else if (bare)
		snprintf(ret, size, "shiftctl apply (%s has no program)", bare->name);
	else if (blind)
		snprintf(ret, size, "shiftctl apply (%s has no program at its egress)",
			 blind->name);
	else if (r->latched)
		snprintf(ret, size, "shiftctl %s --after-rollback, once the cause is known",
			 r->authority == SHIFT_AUTHORITY_NEW ? "weight 100"
			 : v->ramp && v->ramp->live &&
					 json_is_true(json_object_get(v->ramp->is, "leader"))
				 ? "ramp start"
				 : "weight 10");
	else if (left >= 0)
		snprintf(ret, size, "shiftctl confirm (%s left, then back to %s%%)",
			 text_duration((uint64_t)left * 1000000000, a),
			 text_weight(r->confirm_weight, b));
	else if (v->source == SHIFT_FROM_CONFIRM)
		snprintf(ret, size, "shiftctl weight %s --confirm 10m, to try again",
			 text_weight(r->weight, a));
	else if (v->source == SHIFT_FROM_LEASE)
		snprintf(ret, size, "shiftctl weight %s, once it is known why the daemon stopped",
			 text_weight(r->weight, a));
	else if (v->weight && dead_family(v))
		snprintf(ret, size,
			 r->authority == SHIFT_AUTHORITY_NEW
				 ? "bring a backend back; a rollback would send users "
				   "to stale data"
				 : "shiftctl rollback");
	else if (v->weight && answers_badly(v, bad, sizeof(bad)))
		snprintf(ret, size, "shiftctl status --watch: %s; if it goes on: shiftctl rollback",
			 bad);
	else
		next_step(v, ret, size);
}

static void state_of_share(const struct status_view *v, char *ret, size_t size)
{
	bool committed = v->record.authority == SHIFT_AUTHORITY_NEW;
	char a[32], bad[96];

	if (v->record.mode == SHIFT_MODE_SHADOW)
		snprintf(ret, size, "shadow: decides and counts, shifts nothing");
	else if (!v->weight)
		snprintf(ret, size, "everything stays with this host");
	else if (dead_family(v))
		snprintf(ret, size, "no %sbackend is usable, its new connections %s",
			 dead_family(v), committed ? "cannot be shifted" : "stay with this host");
	else if (answers_badly(v, bad, sizeof(bad)))
		snprintf(ret, size, "shifting %s%%, and %s", text_weight(v->weight, a), bad);
	else if (v->weight < SHIFT_WEIGHT_MAX)
		snprintf(ret, size, "shifting %s%%", text_weight(v->weight, a));
	else
		snprintf(ret, size, "everything goes to the new side%s",
			 committed ? ", committed" : "");
}

void status_state(const struct status_view *v, char *ret, size_t size)
{
	const struct shift_record *r = &v->record;
	const struct status_interface *bare = bare_interface(v);
	int64_t left = status_seconds_left(v, r->confirm_deadline);
	int64_t start = status_seconds_left(v, r->not_before);
	char a[32], b[32];

	if (!v->attached)
		snprintf(ret, size, "not attached, every connection stays with this host%s",
			 v->unreadable ? "; what was saved cannot be read" : "");
	else if (bare)
		snprintf(ret, size, "%s has no program, its connections stay with this host",
			 bare->name);
	else if (r->latched && v->active)
		snprintf(ret, size, "rolled back by %.*s, %u shifted flows finish", SHIFT_NAME,
			 r->latched_by, v->active);
	else if (r->latched)
		snprintf(ret, size, "rolled back by %.*s", SHIFT_NAME, r->latched_by);
	else if (left >= 0)
		snprintf(ret, size, "waits for confirm, %s left, then %s%%",
			 text_duration((uint64_t)left * 1000000000, a),
			 text_weight(r->confirm_weight, b));
	else if (v->source == SHIFT_FROM_CONFIRM)
		snprintf(ret, size, "%s%% was not confirmed in time", text_weight(r->weight, a));
	else if (v->source == SHIFT_FROM_LEASE)
		snprintf(ret, size, "the keep-alive ended, fell from %s%%",
			 text_weight(r->weight, a));
	else if (start >= 0)
		snprintf(ret, size, "%s%% in %s", text_weight(r->next_weight, a),
			 text_duration((uint64_t)start * 1000000000, b));
	else
		state_of_share(v, ret, size);
}
