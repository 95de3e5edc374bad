/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status_json.c - a view as JSON, for scripts; every field is there in every state
 *
 * Under "backends" is one entry per backend and address. What is counted per backend only (its
 * connections and handshake failures) stands at the first of them and is 0 at the others, so that a
 * sum over all entries, or over those of one name, is right; "active" is counted per address.
 * Weight, health and handshake times are the backend's and stand at each of its entries;
 * "addresses" lists them all.
 */
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "userspace/base/text.h"
#include "userspace/cmd/status.h"
#include "userspace/plane/control.h"
#include "userspace/plane/telemetry.h"

const char *const status_hook_names[] = {
	[SHIFT_HOOK_NONE] = "none",
	[SHIFT_HOOK_TCX] = "tcx",
	[SHIFT_HOOK_CLSACT] = "clsact",
	[SHIFT_HOOK_XDP] = "xdp",
};

const char *const status_xdp_names[] = {"none", "generic", "native"};

static json_t *json_health(enum status_health h)
{
	return h == STATUS_UNKNOWN ? json_null() : json_boolean(h == STATUS_UP);
}

static json_t *json_count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *json_weight(uint32_t weight)
{
	return json_real(weight / 100.0);
}

static json_t *json_left(const struct status_view *v, uint64_t deadline)
{
	int64_t left = status_seconds_left(v, deadline);

	return left < 0 ? json_null() : json_integer(left);
}

static json_t *json_time(uint64_t real_ns)
{
	time_t t = (time_t)(real_ns / 1000000000);
	char text[32];
	struct tm tm;

	if (!real_ns)
		return json_null();
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	return json_string(text);
}

/* A field of a record: ended by its size or a zero, and cut anywhere, also inside a character. */
static json_t *json_field(const char *field, size_t size)
{
	size_t n = strnlen(field, size);
	json_t *j = json_stringn(field, n);
	char ascii[SHIFT_REASON];

	if (j)
		return j;
	n = n < sizeof(ascii) ? n : sizeof(ascii);
	for (size_t i = 0; i < n; i++)
		ascii[i] = field[i] & 0x80 ? '?' : field[i];
	return json_stringn(ascii, n);
}

/* Who did something, when and why; null if nobody did. */
static json_t *json_deed(bool done, const char *by, uint64_t at, const char *reason)
{
	json_t *j;

	if (!done)
		return json_null();
	j = json_pack("{s:o, s:o}", "by", json_field(by, SHIFT_NAME), "at", json_time(at));
	if (reason)
		json_object_set_new(j, "reason", json_field(reason, SHIFT_REASON));
	return j;
}

static json_t *json_address(const struct status_address *a)
{
	char text[64];

	return a ? json_string(text_address(a->address, a->port, text)) : json_null();
}

/* `a` is NULL for a backend that has no address; `first`: its counters stand here. */
static json_t *json_backend(const struct status_backend *b, const struct status_address *a,
			    const json_t *addresses, bool first)
{
	return json_pack("{s:s, s:o, s:O, s:i, s:o, s:s, s:o, s:b, s:b, s:o, s:i, s:o, s:o, s:o}",
			 "name", b->name, "address", json_address(a), "addresses", addresses,
			 "weight", (int)b->weight, "healthy", json_health(b->health), "breaker",
			 b->breaker ? "open" : "closed", "breaker_opened",
			 json_count(b->breaker_opened), "draining", (int)b->draining, "no_route",
			 (int)(a && a->no_route), "connections",
			 json_count(first ? b->stats.connections : 0), "active",
			 (int)(a ? a->active : b->active), "handshake_failures",
			 json_count(first ? b->stats.handshake_failures : 0), "handshake_ms",
			 status_quantiles_json(b->stats.handshake), "answers",
			 status_answers_json(&b->answers));
}

static json_t *json_backends(const struct status_view *v)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < v->backends; i++) {
		json_t *addresses = json_array();
		bool first = true;

		for (unsigned int a = 0; a < v->addresses; a++) {
			if (v->address[a].backend == i)
				json_array_append_new(addresses, json_address(&v->address[a]));
		}
		for (unsigned int a = 0; a < v->addresses; a++) {
			if (v->address[a].backend != i)
				continue;
			json_array_append_new(list, json_backend(&v->backend[i], &v->address[a],
								 addresses, first));
			first = false;
		}
		if (first)
			json_array_append_new(list,
					      json_backend(&v->backend[i], NULL, addresses, true));
		json_decref(addresses);
	}
	return list;
}

static json_t *json_interfaces(const struct status_view *v)
{
	json_t *list = json_array();

	for (unsigned int n = 0; n < v->interfaces; n++) {
		const struct status_interface *i = &v->interface[n];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:b, s:b, s:o}", "name", i->name, "hook",
					status_hook_names[i->xdp ? SHIFT_HOOK_XDP : i->hook & 3],
					"xdp", status_xdp_names[i->xdp % 3], "attached",
					(int)i->attached, "watched", (int)i->watched, "packets_10s",
					json_count(i->packets_10s)));
	}
	return list;
}

static json_t *json_drops(const struct status_view *v)
{
	static const char *const names[] = SHIFT_VERDICT_NAMES;
	json_t *drops = json_object();

	for (int i = 0; i < SHIFT_VERDICTS; i++) {
		if (v->drops[i])
			json_object_set_new(drops, names[i], json_count(v->drops[i]));
	}
	return drops;
}

static json_t *json_fallbacks(const struct status_view *v)
{
	static const char *const names[] = SHIFT_FALLBACK_NAMES;
	json_t *fallbacks = json_object();

	for (int i = 0; i < SHIFT_FALLBACKS; i++)
		json_object_set_new(fallbacks, names[i], json_count(v->stats.fallback[i]));
	return fallbacks;
}

static json_t *json_arm(const struct status_view *v, enum shift_arm_id arm)
{
	return v->answers ? status_arm_json(&v->arm[arm], arm == SHIFT_ARM_OLD) : json_null();
}

static json_t *json_arms(const struct status_view *v)
{
	return json_pack("{s:{s:o, s:o, s:o, s:o}, s:{s:o, s:i, s:o, s:o, s:o}}", "old",
			 "connections", json_count(v->stats.connections_old), "healthy",
			 json_health(v->old_health), "bypassed", json_count(v->stats.bypassed),
			 "answers", json_arm(v, SHIFT_ARM_OLD), "new", "connections",
			 json_count(v->stats.connections_new), "active", (int)v->active, "packets",
			 json_count(v->new_packets), "bytes", json_count(v->new_bytes), "answers",
			 json_arm(v, SHIFT_ARM_NEW));
}

/* The fields of control, from the kernel or, when nothing is loaded, from what was saved. */
static void add_control(json_t *j, const struct status_view *v)
{
	const struct shift_record *r = &v->record;
	const struct state *s = &v->state;
	bool latched = v->loaded ? r->latched : s->latched;
	uint64_t locked_at = v->loaded ? r->locked_at : s->locked_at;
	json_t *authority = json_null();

	if (v->has_record || v->saved)
		authority = json_string(authority_name(v->loaded ? r->authority : s->authority));
	json_object_set_new(j, "weight", json_weight(v->weight));
	json_object_set_new(j, "weight_set", json_weight(v->loaded ? r->weight : s->weight));
	json_object_set_new(j, "epoch", json_count(v->loaded ? r->epoch : s->epoch));
	json_object_set_new(j, "authority", authority);
	json_object_set_new(j, "latched", json_boolean(latched));
	json_object_set_new(j, "confirm_left_s", json_left(v, r->confirm_deadline));
	json_object_set_new(j, "confirm_weight",
			    r->confirm_deadline ? json_weight(r->confirm_weight) : json_null());
	json_object_set_new(j, "lease_left_s", json_left(v, r->lease_deadline));
	json_object_set_new(j, "not_before_s", json_left(v, r->not_before));
	json_object_set_new(j, "shadow", json_boolean(r->mode == SHIFT_MODE_SHADOW));
	json_object_set_new(j, "overall",
			    v->attached && control_kept(r, v->boot)
				    ? json_pack("{s:f, s:o}", "weight", r->overall / 100.0, "by",
						json_field(r->overall_by, SHIFT_NAME))
				    : json_null());
	json_object_set_new(j, "set", json_deed(v->has_record, r->set_by, r->set_at, r->reason));
	json_object_set_new(j, "latch",
			    json_deed(latched, v->loaded ? r->latched_by : s->latched_by,
				      v->loaded ? r->latched_at : s->latched_at, NULL));
	json_object_set_new(j, "lock",
			    json_deed(locked_at, v->loaded ? r->locked_by : s->locked_by, locked_at,
				      v->loaded ? r->lock_reason : s->lock_reason));
}

json_t *status_json(const struct status_view *v)
{
	char next[256], state[160];
	json_t *j = json_object();

	json_object_set_new(j, "schema", json_integer(1));
	json_object_set_new(j, "service", *v->service ? json_string(v->service) : json_null());
	json_object_set_new(j, "attached", json_boolean(v->attached));
	add_control(j, v);
	json_object_set_new(j, "interfaces", json_interfaces(v));
	json_object_set_new(j, "arms", json_arms(v));
	json_object_set_new(j, "backends", json_backends(v));
	json_object_set_new(j, "pins", json_integer(v->pins));
	json_object_set_new(j, "drops", json_drops(v));
	json_object_set_new(j, "fallback_local", json_fallbacks(v));
	status_state(v, state, sizeof(state));
	status_next(v, next, sizeof(next));
	json_object_set_new(j, "state", json_string(state));
	json_object_set_new(j, "next", json_string(next));
	return j;
}
