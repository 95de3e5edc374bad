/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * failover.c - which tunnel of a group carries the routes
 *
 * It owns the choice, its reason and its alarm; the caller replaces the routes. Every step judges
 * the members' states as they are now, so a step left out delays a switch and does no other harm.
 *
 * Away from the dead: to the best that is not down, by state (up in budget, degraded or out of
 * budget, idle, unknown) and then by order. An unknown one is taken too, but only when there is
 * nothing better: what is known to be dead cannot be worse. No hold, no damping: a dead tunnel
 * carries nothing. With all down nothing moves, and the first that comes back is taken at once.
 *
 * By choice: to an earlier member when it was fit (up or idle, in budget) for the hold without a
 * break; or, when the active one was out of budget for the plain hold without a break, to any that
 * was up and in budget for the hold. A choice that proves wrong within flap_ns (its member goes
 * down, or is left because it is degraded) is a flap, and each doubles the hold up to its cap. For
 * flap_ns of calm one is forgiven; calm is: the active one fit, no switch, and no better one coming
 * up. So a better one that comes and goes never lowers the price of going back to it, one that is
 * dead for good does. With a cap of 16 holds, a link that flaps faster than flap_ns is gone back
 * to at most 5 + time / cap times.
 *
 * A pin wins over all of this; going by hand does not win over the dead. Members are known by their
 * place: when the chain of the configuration changes, the caller starts again with failover_init.
 *
 * Weaknesses: a standby WireGuard tunnel with neither probe nor keepalive has no way to show that
 * it lives again, so it stays down and is never gone back to.
 */
#include "wg/failover.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/text.h"

#define NS_PER_S  1000000000ull
#define MAX_FLAPS 16

const char *failover_alarm_name(enum failover_alarm a)
{
	static const char *const name[FAILOVER_ALARMS] = {
		[FAILOVER_CALM] = "none",
		[FAILOVER_ON_BACKUP] = "on backup",
		[FAILOVER_ALL_DOWN] = "all down",
		[FAILOVER_PINNED_DOWN] = "pinned down",
	};

	return (unsigned int)a < FAILOVER_ALARMS ? name[a] : "?";
}

const char *failover_cause_name(enum failover_cause c)
{
	static const char *const name[FAILOVER_CAUSES] = {
		[FAILOVER_FIRST] = "first", [FAILOVER_DEAD] = "dead", [FAILOVER_WORSE] = "worse",
		[FAILOVER_BACK] = "back",   [FAILOVER_PIN] = "pin",   [FAILOVER_HAND] = "hand",
	};

	return (unsigned int)c < FAILOVER_CAUSES ? name[c] : "?";
}

void failover_init(struct failover *f)
{
	memset(f, 0, sizeof(*f));
	f->active = f->pinned = f->go = f->from = FAILOVER_NONE;
}

void failover_pin(struct failover *f, unsigned int member)
{
	f->pinned = member < FAILOVER_MEMBERS ? (uint8_t)member : FAILOVER_NONE;
	f->go = FAILOVER_NONE;
}

void failover_go(struct failover *f, unsigned int member, uint64_t now)
{
	if (member >= FAILOVER_MEMBERS)
		return;
	f->pinned = FAILOVER_NONE;
	f->go = (uint8_t)member;
	f->hold_from = now;
}

/* ---- times ---- */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t flap_time(const struct failover_rules *r)
{
	uint64_t flap = r->flap_ns;

	if (!flap)
		flap = r->hold_ns > UINT64_MAX / 10 ? UINT64_MAX : 10 * r->hold_ns;
	return later(flap, NS_PER_S);
}

uint64_t failover_hold(const struct failover *f, const struct failover_rules *r)
{
	uint64_t cap = r->hold_cap_ns, hold = r->hold_ns;

	if (!cap)
		cap = hold > UINT64_MAX / 16 ? UINT64_MAX : 16 * hold;
	for (uint32_t i = 0; i < f->flaps && hold < cap; i++)
		hold = hold > cap / 2 ? cap : 2 * hold;
	return hold;
}

/* A deadline; never 0. */
static uint64_t after(uint64_t from, uint64_t span)
{
	return from > UINT64_MAX - span ? UINT64_MAX : from + span;
}

static uint64_t held_at(const struct failover *f, const struct failover_rules *r, unsigned int i)
{
	return after(later(f->member[i].fit_since, f->hold_from), failover_hold(f, r));
}

/* ---- taking in ---- */

static void not_after(uint64_t *at, uint64_t now)
{
	if (*at > now)
		*at = now;
}

/* What a state from the disk or a shorter chain may hold, and a clock that went back. */
static void mend(struct failover *f, unsigned int n, uint64_t now)
{
	if (f->active >= n)
		f->active = FAILOVER_NONE;
	if (f->pinned >= n)
		f->pinned = FAILOVER_NONE;
	if (f->go >= n)
		f->go = FAILOVER_NONE;
	if (f->from >= n)
		f->from = FAILOVER_NONE;
	if (f->flaps > MAX_FLAPS)
		f->flaps = MAX_FLAPS;
	not_after(&f->switched_at, now);
	not_after(&f->hold_from, now);
	not_after(&f->degraded_since, now);
	not_after(&f->calm_from, now);
	for (unsigned int i = 0; i < n; i++)
		not_after(&f->member[i].fit_since, now);
}

static bool is_fit(const struct failover_member *m)
{
	return m->in_budget && (m->state == HEALTH_UP || m->state == HEALTH_IDLE);
}

static bool is_up(const struct failover_member *m)
{
	return m->in_budget && m->state == HEALTH_UP;
}

/* Passes, but not as it should. */
static bool is_degraded(const struct failover_member *m)
{
	return m->state == HEALTH_DEGRADED || (m->state != HEALTH_DOWN && !m->in_budget);
}

static void note_members(struct failover *f, unsigned int n, uint64_t now)
{
	for (unsigned int i = 0; i < n; i++) {
		struct failover_member *m = &f->member[i];

		if (!is_fit(m))
			m->fit_since = 0;
		else if (!m->fit_since)
			m->fit_since = now;
	}
	if (f->active == FAILOVER_NONE || !is_degraded(&f->member[f->active]))
		f->degraded_since = 0;
	else if (!f->degraded_since)
		f->degraded_since = now;
}

static bool all_down(const struct failover *f, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (f->member[i].state != HEALTH_DOWN)
			return false;
	return true;
}

/* ---- the choice ---- */

static unsigned int rank_of(const struct failover_member *m)
{
	if (m->state == HEALTH_UP && !m->in_budget)
		return health_rank(HEALTH_DEGRADED);
	return health_rank(m->state);
}

static unsigned int best(const struct failover *f, unsigned int n)
{
	unsigned int found = 0;

	for (unsigned int i = 1; i < n; i++)
		if (rank_of(&f->member[i]) < rank_of(&f->member[found]))
			found = i;
	return found;
}

/* Whom the active one could be left for by choice, and when; FAILOVER_NONE: nobody. */
static unsigned int next_choice(const struct failover *f, const struct failover_rules *r,
				unsigned int n, uint64_t now, uint64_t *ret_at,
				enum failover_cause *ret_cause)
{
	uint64_t degraded_until = after(f->degraded_since, r->hold_ns);
	unsigned int found = FAILOVER_NONE;
	uint64_t at;

	for (unsigned int i = 0; i < n; i++) {
		if (i == f->active || !f->member[i].fit_since)
			continue;
		at = held_at(f, r, i);
		if (i > f->active) {
			if (!f->degraded_since || !is_up(&f->member[i]))
				continue;
			at = later(at, degraded_until);
		}
		at = later(at, now); /* of those that are due, the first in order */
		if (found != FAILOVER_NONE && at >= *ret_at)
			continue;
		found = i;
		*ret_at = at;
		*ret_cause = i < f->active ? FAILOVER_BACK : FAILOVER_WORSE;
	}
	return found;
}

static unsigned int choose(const struct failover *f, const struct failover_rules *r, unsigned int n,
			   uint64_t now, enum failover_cause *cause)
{
	unsigned int to;
	uint64_t at;

	if (f->go != FAILOVER_NONE && f->member[f->go].state != HEALTH_DOWN) {
		*cause = FAILOVER_HAND;
		return f->go;
	}
	if (f->pinned != FAILOVER_NONE) {
		*cause = FAILOVER_PIN;
		return f->pinned;
	}
	if (f->active == FAILOVER_NONE) {
		*cause = FAILOVER_FIRST;
		return f->member[0].state == HEALTH_DOWN ? best(f, n) : 0;
	}
	if (f->member[f->active].state == HEALTH_DOWN) {
		*cause = FAILOVER_DEAD;
		to = best(f, n);
		return f->member[to].state == HEALTH_DOWN ? f->active : to;
	}
	to = next_choice(f, r, n, now, &at, cause);
	return to != FAILOVER_NONE && now >= at ? to : f->active;
}

/* ---- flaps and calm ---- */

static void forgive(struct failover *f, const struct failover_rules *r, uint64_t now)
{
	uint64_t flap = flap_time(r);

	while (f->calm_from && f->flaps && now - f->calm_from >= flap) {
		f->flaps--;
		f->calm_from += flap;
	}
}

static void note_flap(struct failover *f, const struct failover_rules *r, uint64_t now, bool left)
{
	if (!f->on_trial || f->active == FAILOVER_NONE)
		return;
	if (now - f->switched_at > flap_time(r)) {
		f->on_trial = false;
		return;
	}
	if (!left && f->member[f->active].state != HEALTH_DOWN)
		return;
	f->on_trial = false;
	if (f->flaps < MAX_FLAPS)
		f->flaps++;
}

static void note_calm(struct failover *f, bool switched, uint64_t now)
{
	bool calm = is_fit(&f->member[f->active]);

	for (unsigned int i = 0; i < f->active; i++)
		if (f->member[i].fit_since)
			calm = false;
	if (!calm)
		f->calm_from = 0;
	else if (switched || !f->calm_from)
		f->calm_from = now;
}

/* ---- words ---- */

static const char *name_of(const struct failover_rules *r, unsigned int i, char ret[32])
{
	if (r->name[i])
		return r->name[i];
	snprintf(ret, 32, "tunnel %u", i + 1);
	return ret;
}

static void say(struct failover *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds to the reason. */
static void say(struct failover *f, const char *format, ...)
{
	size_t at = strlen(f->reason);
	va_list args;

	va_start(args, format);
	vsnprintf(f->reason + at, sizeof(f->reason) - at, format, args);
	va_end(args);
}

static void say_cause(struct failover *f, const struct failover_rules *r, uint64_t now)
{
	static const char *const words[FAILOVER_CAUSES][2] = {
		[FAILOVER_DEAD] = {" since ", " went down"},
		[FAILOVER_WORSE] = {" since ", " was degraded"},
		[FAILOVER_BACK] = {" back from ", ""},
		[FAILOVER_PIN] = {" by a pin, before on ", ""},
		[FAILOVER_HAND] = {" by hand, before on ", ""},
	};
	const char *const *w = words[f->cause];
	char name[32], ago[32];

	snprintf(f->reason, sizeof(f->reason), "on %s", name_of(r, f->active, name));
	if (f->from != FAILOVER_NONE && w[0])
		say(f, "%s%s%s, %s ago", w[0], name_of(r, f->from, name), w[1],
		    text_duration(now - f->switched_at, ago));
}

/* How much of the wait for member `i` is over. */
static void say_wait(struct failover *f, const struct failover_rules *r, unsigned int i,
		     enum failover_cause cause, uint64_t now)
{
	const struct failover_member *m = &f->member[i];
	char name[32], waited[32], hold[32];

	if (cause == FAILOVER_WORSE && after(f->degraded_since, r->hold_ns) >= held_at(f, r, i)) {
		say(f, ": degraded for %s of %s, then %s",
		    text_duration(now - f->degraded_since, waited), text_duration(r->hold_ns, hold),
		    name_of(r, i, name));
		return;
	}
	text_duration(now - later(m->fit_since, f->hold_from), waited);
	text_duration(failover_hold(f, r), hold);
	if (m->fit_since >= f->hold_from)
		say(f, ": %s has been %s for %s of %s", name_of(r, i, name),
		    health_state_name(m->state), waited, hold);
	else
		say(f, ": %s is %s, waited for %s of %s", name_of(r, i, name),
		    health_state_name(m->state), waited, hold);
	if (f->flaps)
		say(f, " (%u %s)", f->flaps, f->flaps == 1 ? "flap" : "flaps");
}

static void say_better(struct failover *f, const struct failover_rules *r)
{
	const struct failover_member *first = &f->member[0];
	char name[32];

	if (f->active)
		say(f, ": %s is %s%s", name_of(r, 0, name), health_state_name(first->state),
		    first->state == HEALTH_UP && !first->in_budget ? ", out of budget" : "");
	else if (f->degraded_since)
		say(f, ": degraded, and no other is up");
}

static void explain(struct failover *f, const struct failover_rules *r, unsigned int n,
		    uint64_t now)
{
	enum health_state state = f->member[f->active].state;
	enum failover_cause cause;
	unsigned int to;
	uint64_t at;

	if (all_down(f, n))
		f->alarm = FAILOVER_ALL_DOWN;
	else if (f->pinned != FAILOVER_NONE && state == HEALTH_DOWN)
		f->alarm = FAILOVER_PINNED_DOWN;
	else
		f->alarm = f->active ? FAILOVER_ON_BACKUP : FAILOVER_CALM;

	say_cause(f, r, now);
	if (f->pinned != FAILOVER_NONE)
		say(f, ": pinned%s", state == HEALTH_DOWN ? ", though it is down" : "");
	else if (f->alarm == FAILOVER_ALL_DOWN)
		say(f, ": all %u are down, so it stays", n);
	else if ((to = next_choice(f, r, n, now, &at, &cause)) != FAILOVER_NONE)
		say_wait(f, r, to, cause, now);
	else
		say_better(f, r);
}

/* ---- the step ---- */

static bool switch_to(struct failover *f, unsigned int to, enum failover_cause cause, uint64_t now)
{
	bool first = f->active == FAILOVER_NONE;

	if (to == f->active)
		return false;
	f->from = f->active;
	f->active = (uint8_t)to;
	f->cause = cause;
	f->hold_from = now;
	f->degraded_since = is_degraded(&f->member[to]) ? now : 0;
	f->on_trial = cause == FAILOVER_BACK || cause == FAILOVER_WORSE;
	if (!first) {
		f->switched_at = now;
		f->switches++;
	}
	return true;
}

unsigned int failover_step(struct failover *f, const struct failover_rules *r, uint64_t now,
			   bool *switched)
{
	unsigned int n = r->n < FAILOVER_MEMBERS ? r->n : FAILOVER_MEMBERS, to;
	enum failover_cause cause = FAILOVER_FIRST;

	*switched = false;
	if (!n) {
		f->active = FAILOVER_NONE;
		return FAILOVER_NONE;
	}
	mend(f, n, now);
	forgive(f, r, now);
	note_members(f, n, now);
	note_flap(f, r, now, false);
	to = choose(f, r, n, now, &cause);
	if (to != f->active && f->degraded_since)
		note_flap(f, r, now, cause == FAILOVER_WORSE || cause == FAILOVER_BACK);
	*switched = switch_to(f, to, cause, now);
	f->go = FAILOVER_NONE;
	note_calm(f, *switched, now);
	explain(f, r, n, now);
	return f->active;
}

uint64_t failover_next(const struct failover *f, const struct failover_rules *r, uint64_t now)
{
	unsigned int n = r->n < FAILOVER_MEMBERS ? r->n : FAILOVER_MEMBERS;
	enum failover_cause cause;
	uint64_t at;

	if (!n)
		return 0;
	if (f->active >= n || (f->go < n && f->go != f->active))
		return now;
	if (f->pinned < n)
		return f->pinned == f->active ? 0 : now;
	if (f->member[f->active].state == HEALTH_DOWN)
		return 0;
	return next_choice(f, r, n, now, &at, &cause) == FAILOVER_NONE ? 0 : at;
}
