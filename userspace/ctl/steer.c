/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * steer.c - edits of the control record, as the ramp makes them
 *
 * They keep to what `shiftctl weight` and `rollback` do, so that a record looks the same whoever
 * wrote it, and add two things: the record must be the one that the decision was made on, and the
 * keep-alive goes along in the same record, so that no share is ever in force without it.
 */
#include "userspace/ctl/steer.h"

#include <stdio.h>
#include <string.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/ctl/ramp.h"

static void sign(struct shift_record *r, const struct steer *c)
{
	r->epoch++;
	r->set_at = c->real;
	r->set_uid = c->uid;
	memset(r->set_by, 0, sizeof(r->set_by));
	snprintf(r->set_by, sizeof(r->set_by), "%s", c->who);
	screen_clean(c->reason ? c->reason : "", r->reason, sizeof(r->reason));
}

static void put_lease(struct shift_record *r, const struct steer *c)
{
	bool committed = r->authority == SHIFT_AUTHORITY_NEW;

	r->lease_deadline = c->lease ? c->boot + c->lease : 0;
	r->lease_action = committed ? SHIFT_LEASE_HOLD : c->on_death;
	r->lease_weight = 0;
	r->lease_threshold = 0;
}

int steer_weight(struct shift_record *r, void *arg)
{
	struct steer *c = arg;

	c->from = shift_record_weight(r, c->boot);
	if (r->latched && !(c->after_rollback && r->latched_at == c->latched_at) &&
	    c->weight > c->from)
		return STEER_LATCHED;
	if (r->epoch != c->epoch || c->from != c->expect)
		return STEER_OVERTAKEN;
	r->weight = c->weight;
	r->threshold = shift_weight_threshold(c->weight);
	r->overall = c->overall;
	r->not_before = 0;
	r->confirm_deadline = 0;
	put_lease(r, c);
	if (c->after_rollback && c->weight > c->from) {
		r->latched = 0;
		r->latched_at = 0;
		memset(r->latched_by, 0, sizeof(r->latched_by));
	}
	sign(r, c);
	return 0;
}

int steer_rollback(struct shift_record *r, void *arg)
{
	struct steer *c = arg;

	c->from = shift_record_weight(r, c->boot);
	r->weight = r->next_weight = r->confirm_weight = r->lease_weight = 0;
	r->threshold = r->next_threshold = r->confirm_threshold = r->lease_threshold = 0;
	r->not_before = 0;
	r->confirm_deadline = 0;
	r->lease_deadline = 0;
	r->overall = 0;
	r->latched = 1;
	r->latched_at = c->real;
	memset(r->latched_by, 0, sizeof(r->latched_by));
	snprintf(r->latched_by, sizeof(r->latched_by), "%s", c->who);
	sign(r, c);
	return 0;
}

int steer_lease(struct shift_record *r, void *arg)
{
	struct steer *c = arg;

	if (shift_record_source(r, c->boot) == SHIFT_FROM_LEASE)
		return 1;
	if (!c->lease && !r->lease_deadline)
		return 1;
	put_lease(r, c);
	return 0;
}

int steer_settle(struct shift_record *r, void *arg)
{
	struct steer *c = arg;

	c->from = shift_record_weight(r, c->boot);
	if (shift_record_source(r, c->boot) != SHIFT_FROM_LEASE)
		return 1;
	r->weight = r->lease_weight;
	r->threshold = r->lease_threshold;
	r->overall = 0;
	r->not_before = 0;
	r->confirm_deadline = 0;
	r->lease_deadline = 0;
	sign(r, c);
	return 0;
}

/* What is copied may fill its field in the record, without a zero. */
static void copy(char *ret, const char *from, size_t size)
{
	memcpy(ret, from, size);
	ret[size - 1] = '\0';
}

void steer_see(const struct shift_record *r, uint64_t boot, struct ramp_view *v)
{
	enum shift_source source = shift_record_source(r, boot);

	v->weight = shift_record_weight(r, boot);
	v->epoch = r->epoch;
	v->set_at = r->set_at;
	copy(v->set_by, r->set_by, sizeof(v->set_by));
	copy(v->set_reason, r->reason, sizeof(v->set_reason));
	v->by_itself = source == SHIFT_FROM_CONFIRM || source == SHIFT_FROM_LEASE;
	v->latched = r->latched;
	v->latched_at = r->latched_at;
	copy(v->latched_by, r->latched_by, sizeof(v->latched_by));
	v->authority = r->authority;
	v->locked_at = r->locked_at;
	copy(v->locked_by, r->locked_by, sizeof(v->locked_by));
	copy(v->lock_reason, r->lock_reason, sizeof(v->lock_reason));
	v->confirm_left = r->confirm_deadline > boot ? r->confirm_deadline - boot : 0;
}

const char *steer_error(int err, const struct shift_record *seen, char *ret, size_t size)
{
	char who[SHIFT_NAME], when[32];

	switch (err) {
	case STEER_OVERTAKEN:
		snprintf(ret, size, "control moved in between");
		break;
	case STEER_LATCHED:
		copy(who, seen->latched_by, sizeof(who));
		snprintf(ret, size, "rolled back by %s at %s", who,
			 text_time(seen->latched_at, when));
		break;
	default:
		snprintf(ret, size, "%s", strerror(-err));
	}
	return ret;
}
