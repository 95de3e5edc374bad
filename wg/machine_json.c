/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * machine_json.c - one table per struct, read by both directions
 *
 * Whatever the file holds, the machines must not be brought to nonsense by it: every field must be
 * there and within its range, and texts are plain ASCII, because they are shown on terminals. Times
 * ahead of the clock are left to the machines, which know the time.
 */
#include "wg/machine_json.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "wg/failover.h"
#include "wg/health.h"

#define SCHEMA	 1
#define MAX_RISE 1000 /* ten times of what the configuration takes */

enum kind {
	FIELD_U64,
	FIELD_U32,
	FIELD_U16,
	FIELD_BOOL,
	FIELD_MEMBER, /* uint8_t; null for FAILOVER_NONE */
	FIELD_STATE,
	FIELD_ALARM,
	FIELD_CAUSE,
	FIELD_TEXT,
};

struct field {
	const char *name;
	enum kind kind;
	size_t at, size;
};

#define FIELD(type, member, kind)                                                                  \
	{                                                                                          \
#member, kind, offsetof(struct type, member), sizeof(((struct type *)0)->member)   \
	}

static const struct field health_fields[] = {
	FIELD(health, state, FIELD_STATE),
	FIELD(health, since, FIELD_U64),
	FIELD(health, reason, FIELD_TEXT),
	FIELD(health, rise, FIELD_U16),
	FIELD(health, fall, FIELD_U16),
	FIELD(health, score, FIELD_U16),
	FIELD(health, scored, FIELD_BOOL),
	FIELD(health, lost_in_row, FIELD_U32),
	FIELD(health, answered_at, FIELD_U64),
	FIELD(health, up_probes, FIELD_U32),
	FIELD(health, up_lost, FIELD_U32),
	FIELD(health, slow, FIELD_BOOL),
	FIELD(health, lossy, FIELD_BOOL),
	FIELD(health, watched, FIELD_BOOL),
	FIELD(health, handshake_stamp, FIELD_U64),
	FIELD(health, handshake_seen, FIELD_U64),
	FIELD(health, handshake_dated, FIELD_BOOL),
	FIELD(health, handshake_old, FIELD_BOOL),
	FIELD(health, rx, FIELD_U64),
	FIELD(health, tx, FIELD_U64),
	FIELD(health, rx_at, FIELD_U64),
	FIELD(health, tx_since_rx, FIELD_U64),
	FIELD(health, waiting_since, FIELD_U64),
	FIELD(health, looked_at, FIELD_U64),
	{0},
};

static const struct field failover_fields[] = {
	FIELD(failover, active, FIELD_MEMBER),
	FIELD(failover, pinned, FIELD_MEMBER),
	FIELD(failover, go, FIELD_MEMBER),
	FIELD(failover, from, FIELD_MEMBER),
	FIELD(failover, cause, FIELD_CAUSE),
	FIELD(failover, on_trial, FIELD_BOOL),
	FIELD(failover, switched_at, FIELD_U64),
	FIELD(failover, hold_from, FIELD_U64),
	FIELD(failover, degraded_since, FIELD_U64),
	FIELD(failover, calm_from, FIELD_U64),
	FIELD(failover, flaps, FIELD_U32),
	FIELD(failover, switches, FIELD_U64),
	FIELD(failover, alarm, FIELD_ALARM),
	FIELD(failover, reason, FIELD_TEXT),
	{0},
};

static const struct field member_fields[] = {
	FIELD(failover_member, state, FIELD_STATE),
	FIELD(failover_member, in_budget, FIELD_BOOL),
	FIELD(failover_member, fit_since, FIELD_U64),
	{0},
};

static const char *alarm_name(unsigned int i)
{
	return failover_alarm_name((enum failover_alarm)i);
}

static const char *cause_name(unsigned int i)
{
	return failover_cause_name((enum failover_cause)i);
}

static const char *state_name(unsigned int i)
{
	return health_state_name((enum health_state)i);
}

/* The enumerations: how many values, and their names. */
static unsigned int enumeration(enum kind kind, const char *(**ret_name)(unsigned int))
{
	switch (kind) {
	case FIELD_STATE:
		*ret_name = state_name;
		return HEALTH_STATES;
	case FIELD_ALARM:
		*ret_name = alarm_name;
		return FAILOVER_ALARMS;
	default:
		*ret_name = cause_name;
		return FAILOVER_CAUSES;
	}
}

/* ---- out ---- */

static json_t *integer(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *enum_to_json(enum kind kind, const void *from)
{
	const char *(*name)(unsigned int);
	unsigned int value;

	memcpy(&value, from, sizeof(value));
	return value < enumeration(kind, &name) ? json_string(name(value)) : NULL;
}

static json_t *field_to_json(const struct field *f, const void *from)
{
	switch (f->kind) {
	case FIELD_U64:
		return integer(*(const uint64_t *)from);
	case FIELD_U32:
		return integer(*(const uint32_t *)from);
	case FIELD_U16:
		return integer(*(const uint16_t *)from);
	case FIELD_BOOL:
		return json_boolean(*(const bool *)from);
	case FIELD_MEMBER:
		return *(const uint8_t *)from == FAILOVER_NONE ? json_null()
							       : integer(*(const uint8_t *)from);
	case FIELD_TEXT:
		return json_string(from);
	default:
		return enum_to_json(f->kind, from);
	}
}

static json_t *to_json(const struct field *f, const void *from)
{
	json_t *j = json_object();

	for (; j && f->name; f++)
		if (json_object_set_new(j, f->name, field_to_json(f, (const char *)from + f->at))) {
			json_decref(j);
			return NULL;
		}
	return j;
}

static json_t *with_schema(json_t *j)
{
	if (j && json_object_set_new(j, "schema", json_integer(SCHEMA))) {
		json_decref(j);
		return NULL;
	}
	return j;
}

json_t *health_to_json(const struct health *h)
{
	return with_schema(to_json(health_fields, h));
}

json_t *failover_to_json(const struct failover *f)
{
	json_t *j = with_schema(to_json(failover_fields, f)), *members = json_array();

	if (!j || !members)
		goto fail;
	for (unsigned int i = 0; i < FAILOVER_MEMBERS; i++)
		if (json_array_append_new(members, to_json(member_fields, &f->member[i])))
			goto fail;
	if (!json_object_set_new(j, "members", members))
		return j;
	members = NULL; /* taken even on failure */
fail:
	json_decref(members);
	json_decref(j);
	return NULL;
}

/* ---- in ---- */

static bool integer_from(const json_t *j, uint64_t max, uint64_t *ret)
{
	if (!json_is_integer(j) || json_integer_value(j) < 0 ||
	    (uint64_t)json_integer_value(j) > max)
		return false;
	*ret = (uint64_t)json_integer_value(j);
	return true;
}

static bool enum_from(const json_t *j, enum kind kind, void *to)
{
	const char *(*name)(unsigned int);
	unsigned int n = enumeration(kind, &name);

	if (!json_is_string(j))
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (!strcmp(json_string_value(j), name(i))) {
			memcpy(to, &i, sizeof(i));
			return true;
		}
	return false;
}

static bool text_from(const json_t *j, char *to, size_t size)
{
	const char *text = json_string_value(j);

	if (!text || json_string_length(j) >= size || strlen(text) != json_string_length(j))
		return false;
	for (const char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			return false;
	memcpy(to, text, strlen(text) + 1);
	return true;
}

static bool field_from(const struct field *f, const json_t *j, void *to)
{
	uint64_t n = FAILOVER_NONE;

	switch (f->kind) {
	case FIELD_U64:
		return integer_from(j, UINT64_MAX, to);
	case FIELD_U32:
		if (!integer_from(j, UINT32_MAX, &n))
			return false;
		*(uint32_t *)to = (uint32_t)n;
		return true;
	case FIELD_U16:
		if (!integer_from(j, UINT16_MAX, &n))
			return false;
		*(uint16_t *)to = (uint16_t)n;
		return true;
	case FIELD_BOOL:
		*(bool *)to = json_is_true(j);
		return json_is_boolean(j);
	case FIELD_MEMBER:
		if (!json_is_null(j) && !integer_from(j, FAILOVER_MEMBERS - 1, &n))
			return false;
		*(uint8_t *)to = (uint8_t)n;
		return true;
	case FIELD_TEXT:
		return text_from(j, to, f->size);
	default:
		return enum_from(j, f->kind, to);
	}
}

static bool from_json(const struct field *f, const json_t *j, void *to)
{
	for (; f->name; f++)
		if (!field_from(f, json_object_get(j, f->name), (char *)to + f->at))
			return false;
	return true;
}

static bool right_schema(const json_t *j)
{
	const json_t *schema = json_object_get(j, "schema");

	return json_is_integer(schema) && json_integer_value(schema) == SCHEMA;
}

int health_from_json(const json_t *j, struct health *ret)
{
	struct health h = {0};

	if (!right_schema(j) || !from_json(health_fields, j, &h))
		return -EBADMSG;
	if (!h.rise || !h.fall || h.rise > MAX_RISE || h.fall > MAX_RISE ||
	    h.score > h.rise + h.fall - 1 || h.up_lost > h.up_probes)
		return -EBADMSG;
	*ret = h;
	return 0;
}

int failover_from_json(const json_t *j, struct failover *ret)
{
	const json_t *members = json_object_get(j, "members");
	struct failover f = {0};

	if (!right_schema(j) || !from_json(failover_fields, j, &f) ||
	    json_array_size(members) != FAILOVER_MEMBERS)
		return -EBADMSG;
	for (unsigned int i = 0; i < FAILOVER_MEMBERS; i++)
		if (!from_json(member_fields, json_array_get(members, i), &f.member[i]))
			return -EBADMSG;
	*ret = f;
	return 0;
}
