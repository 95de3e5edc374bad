/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * health.c - the counter of rise and fall, and what its states mean for traffic
 *
 * One counter as HAProxy has it (struct check, health 0 .. rise + fall − 1): an answer counts up, a
 * failure down, and it is up while the counter is at least `rise`. On either side of that line the
 * counter jumps to the far end, so `rise` answers in a row bring it up, and `fall` failures in a
 * row down. In between it is looked at more often. Nothing is up before its first answer
 * nor down before `fall` failures: until then it is unknown, and unknown counts as usable.
 *
 * Promises: a state changes in one function, and each change has a reason in words, the duration of
 * what was before, and the availability so far. Fails towards serving: a verdict that nobody renews
 * is none after three intervals.
 *
 * Weakness: a member has one state for both families of addresses. One whose IPv4 addresses are all
 * dead is up while an IPv6 address answers; the program's breaker and rescue are what helps then.
 */
#include "userspace/ctl/health.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bpf/shift.h"
#include "userspace/base/text.h"
#include "userspace/conf/config.h"

#define MS 1000000ull

const char *ctl_health_name(enum ctl_health_state s)
{
	static const char *const names[CTL_HEALTH_STATES] = {"unknown", "up", "down"};

	return (unsigned int)s < CTL_HEALTH_STATES ? names[s] : names[CTL_HEALTH_UNKNOWN];
}

static uint16_t at_least_one(uint16_t n)
{
	return n ? n : 1;
}

void ctl_health_rules(const struct conf_health *c, struct ctl_health_rules *ret)
{
	*ret = (struct ctl_health_rules){.rise = at_least_one(c->rise),
					 .fall = at_least_one(c->fall),
					 .interval_ns = c->interval_ms * MS,
					 .fast_ns = c->fast_ms * MS,
					 .timeout_ns = c->timeout_ms * MS};
	if (ret->fast_ns > ret->interval_ns)
		ret->fast_ns = ret->interval_ns;
}

/* ---- the counter ---- */

static uint16_t top(const struct ctl_health *h)
{
	return (uint16_t)(h->rise + h->fall - 1);
}

void ctl_health_init(struct ctl_health *h, const struct ctl_health_rules *r, uint64_t now)
{
	memset(h, 0, sizeof(*h));
	h->rise = at_least_one(r->rise);
	h->fall = at_least_one(r->fall);
	h->score = top(h);
	h->since = now;
	snprintf(h->reason, sizeof(h->reason), "not looked at yet");
}

/* Rules that changed meanwhile leave what is up up, and what is down down. */
static void follow_rules(struct ctl_health *h, const struct ctl_health_rules *r)
{
	uint16_t rise = at_least_one(r->rise), fall = at_least_one(r->fall);
	bool up = h->score >= h->rise;

	if (rise == h->rise && fall == h->fall)
		return;
	h->rise = rise;
	h->fall = fall;
	h->score = up ? top(h) : 0;
}

static void set_state(struct ctl_health *h, enum ctl_health_state to, uint64_t now)
{
	uint64_t lasted = now > h->since ? now - h->since : 0;

	if (h->state == CTL_HEALTH_UP)
		h->up_ns += lasted;
	else if (h->state == CTL_HEALTH_DOWN)
		h->down_ns += lasted;
	h->before = h->state;
	h->before_ns = lasted;
	h->state = to;
	h->since = now;
}

bool ctl_health_note(struct ctl_health *h, const struct ctl_health_rules *r, bool answered,
		     const char *reason, uint64_t now)
{
	enum ctl_health_state to = h->state;

	follow_rules(h, r);
	if (!h->looked || h->answered != answered)
		h->in_row = 0;
	if (h->in_row < UINT32_MAX)
		h->in_row++;
	h->answered = answered;
	h->looked = now;
	snprintf(h->reason, sizeof(h->reason), "%s", reason);
	if (answered && ++h->score >= h->rise) {
		h->score = top(h);
		to = CTL_HEALTH_UP;
	} else if (!answered && (!h->score || --h->score < h->rise)) {
		h->score = 0;
		to = CTL_HEALTH_DOWN;
	}
	if (to == h->state)
		return false;
	set_state(h, to, now);
	return true;
}

uint64_t ctl_health_next(const struct ctl_health *h, const struct ctl_health_rules *r, uint64_t now,
			 uint32_t random)
{
	bool settled = h->state != CTL_HEALTH_UNKNOWN && (!h->score || h->score == top(h));
	uint64_t step = settled ? r->interval_ns : r->fast_ns, tenth;

	if (!step)
		step = 1000 * MS;
	tenth = step / 10;
	return now + step - tenth + (uint64_t)((double)(2 * tenth) * random / UINT32_MAX);
}

uint64_t ctl_health_until(const struct ctl_health *h, const struct ctl_health_rules *r)
{
	return h->looked ? h->looked + 3 * r->interval_ns + r->timeout_ns : 0;
}

double ctl_health_availability(const struct ctl_health *h, uint64_t now)
{
	uint64_t lasted = now > h->since ? now - h->since : 0, up = h->up_ns, down = h->down_ns;

	if (h->state == CTL_HEALTH_UP)
		up += lasted;
	else if (h->state == CTL_HEALTH_DOWN)
		down += lasted;
	return up + down ? (double)up / (double)(up + down) : (double)NAN;
}

const char *ctl_health_change_text(const struct ctl_health *h, uint64_t now, char *ret, size_t size)
{
	double part = ctl_health_availability(h, now);
	char lasted[32], share[48] = "";

	if (!isnan(part))
		snprintf(share, sizeof(share), "; available %.2f%%", part * 100);
	snprintf(ret, size, "%s -> %s after %s: %s%s", ctl_health_name(h->before),
		 ctl_health_name(h->state), text_duration(h->before_ns, lasted), h->reason, share);
	return ret;
}

enum ctl_health_state ctl_health_any(const enum ctl_health_state *s, unsigned int n)
{
	unsigned int down = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (s[i] == CTL_HEALTH_UP)
			return CTL_HEALTH_UP;
		down += s[i] == CTL_HEALTH_DOWN;
	}
	return n && down == n ? CTL_HEALTH_DOWN : CTL_HEALTH_UNKNOWN;
}

/* ---- what follows for traffic ---- */

static bool is_down(const struct ctl_health_member *m)
{
	return m->checked && m->state == CTL_HEALTH_DOWN;
}

static bool takes_flows(const struct ctl_health_member *m)
{
	return m->weight && !m->draining;
}

static uint8_t verdict(const struct ctl_health_member *m)
{
	if (!m->checked || m->state == CTL_HEALTH_UNKNOWN)
		return SHIFT_HEALTH_UNKNOWN;
	return m->state == CTL_HEALTH_UP ? SHIFT_HEALTH_UP : SHIFT_HEALTH_DOWN;
}

/* Has the family members, and is none of them usable? */
static bool none_left(const struct ctl_health_member *m, unsigned int n, int family)
{
	unsigned int there = 0, usable = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (!takes_flows(&m[i]) || !m[i].family[family])
			continue;
		there++;
		usable += !is_down(&m[i]) && !m[i].breaker;
	}
	return there && !usable;
}

void ctl_health_decide(struct ctl_health_member *m, unsigned int n, bool committed,
		       struct ctl_health_view *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < n; i++) {
		m[i].verdict = verdict(&m[i]);
		m[i].held = false;
		if (!takes_flows(&m[i]))
			continue;
		ret->members++;
		ret->usable += !is_down(&m[i]) && !m[i].breaker;
		ret->checked += m[i].checked && m[i].state != CTL_HEALTH_UNKNOWN;
	}
	for (int f = 0; f < 2; f++) {
		ret->all_down[f] = none_left(m, n, f);
		if (!ret->all_down[f] || !committed)
			continue;
		ret->held = true;
		for (unsigned int i = 0; i < n; i++) {
			if (!takes_flows(&m[i]) || !m[i].family[f] || !is_down(&m[i]))
				continue;
			m[i].verdict = SHIFT_HEALTH_UNKNOWN;
			m[i].held = true;
		}
	}
}
