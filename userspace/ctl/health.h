/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * health.h - is it up? One counter for what is asked again and again, and what follows for traffic
 *
 *   struct ctl_health h;
 *
 *   ctl_health_init(&h, &rules, now);
 *   if (ctl_health_note(&h, &rules, answered, "HTTP 503 instead of 200", now))
 *           say(ctl_health_change_text(&h, ...));
 *   at = ctl_health_next(&h, &rules, now, random);
 *
 * Pure: time (CLOCK_BOOTTIME, ns) and observations are arguments. wg/health.h is the tunnels' own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf_health;

enum ctl_health_state { CTL_HEALTH_UNKNOWN, CTL_HEALTH_UP, CTL_HEALTH_DOWN, CTL_HEALTH_STATES };

/* "unknown", "up", "down". */
const char *ctl_health_name(enum ctl_health_state s);

#define CTL_HEALTH_REASON 160

struct ctl_health_rules {
	uint16_t rise, fall; /* answers in a row that make it up, failures that make it down */
	uint64_t interval_ns, fast_ns, timeout_ns;
};

void ctl_health_rules(const struct conf_health *c, struct ctl_health_rules *ret);

struct ctl_health {
	enum ctl_health_state state;
	enum ctl_health_state before; /* the last change: from what, and how long that had been */
	uint64_t before_ns;
	uint64_t since;		 /* when it became what it is */
	uint64_t looked;	 /* when the last answer or failure was noted; 0: none yet */
	uint16_t score;		 /* 0 .. rise + fall − 1; up while it is at least `rise` */
	uint16_t rise, fall;	 /* that the score was counted by */
	uint32_t in_row;	 /* failures, or answers, since the last that was otherwise */
	bool answered;		 /* the last one */
	uint64_t up_ns, down_ns; /* in these states before `since` */
	char reason[CTL_HEALTH_REASON];
};

void ctl_health_init(struct ctl_health *h, const struct ctl_health_rules *r, uint64_t now);

/* What one look brought. `reason` in words is kept. True: the state is another now. */
bool ctl_health_note(struct ctl_health *h, const struct ctl_health_rules *r, bool answered,
		     const char *reason, uint64_t now);

/* When to look again after one that ended at `now`: sooner while it changes, and never all at the
 * same moment. `random` is any number. */
uint64_t ctl_health_next(const struct ctl_health *h, const struct ctl_health_rules *r, uint64_t now,
			 uint32_t random);

/* Until when the last look says something: three intervals and a time-out after it. */
uint64_t ctl_health_until(const struct ctl_health *h, const struct ctl_health_rules *r);

/* The part of the time that it was up, 0..1, of the time that its state was known; NAN: never. */
double ctl_health_availability(const struct ctl_health *h, uint64_t now);

/* Of what changed last: "up -> down after 2h04m: HTTP 503 instead of 200; available 99.92%".
 * Returns ret. */
const char *ctl_health_change_text(const struct ctl_health *h, uint64_t now, char *ret,
				   size_t size);

/* ---- several of one name: up while any is, down when all are ---- */

enum ctl_health_state ctl_health_any(const enum ctl_health_state *s, unsigned int n);

/* ---- what follows for traffic ---- */

struct ctl_health_member {
	enum ctl_health_state state;
	bool checked;	/* it has a check at all; false: it counts as usable */
	bool breaker;	/* the program in the kernel gives it nothing: it failed there */
	bool draining;	/* takes no new flow anyway */
	bool family[2]; /* IPv4, IPv6: has addresses there */
	uint16_t weight;
	uint8_t verdict; /* result: enum shift_health, to be written */
	bool held;	 /* result: it is down, and not written so */
};

struct ctl_health_view {
	unsigned int members; /* that could take flows: a weight, not draining */
	unsigned int usable;  /* of these: not known to be down, breaker closed */
	unsigned int checked; /* of these: with a check whose answer is known */
	bool all_down[2];     /* of a family that has members: none is usable */
	bool held;	      /* after commit: the last ones go on */
};

/*
 * Fills in the members' verdicts. What is down gets no new flows, and the others take its part by
 * weight. Where none of a family is left: before commit the old host serves, which is what the
 * program does by itself; after commit nobody may be sent to data that is stale, so those that are
 * down go on as they are, and it is an alarm.
 */
void ctl_health_decide(struct ctl_health_member *m, unsigned int n, bool committed,
		       struct ctl_health_view *ret);
