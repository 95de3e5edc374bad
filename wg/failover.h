/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * failover.h - which tunnel of a group carries the routes; pure
 *
 * A group is a tunnel and its chain of backups, in order. Both up and probed at all times, so a
 * switch is nothing but one route replace. Away from a tunnel that is down: at once. Back to a
 * better one: only after it was up without interruption for `hold`, and that doubles with every
 * flap up to a cap, and falls back after calm. Small differences never switch: `degraded` is left
 * only for `up`, and only after `hold` too. A pin by hand wins until it is taken away, also over a
 * dead tunnel (the alarm says so). All down: the last stays.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wg/health.h"

#define FAILOVER_MEMBERS 8
#define FAILOVER_NONE	 255

struct failover_rules {
	unsigned int n;	      /* members, the preferred first */
	uint64_t hold_ns;     /* before going back */
	uint64_t hold_cap_ns; /* doubling ends here; 0: 16 * hold */
	uint64_t flap_ns; /* a switch back that fails again within this is a flap; 0: 10 * hold */
};

struct failover_member {
	enum health_state state;
	bool in_budget;	    /* RTT and loss within its limits */
	uint64_t fit_since; /* up and in budget without a break since; 0: it is not. Kept by
			       failover_step */
};

enum failover_alarm { FAILOVER_CALM, FAILOVER_ON_BACKUP, FAILOVER_ALL_DOWN, FAILOVER_PINNED_DOWN };

struct failover {
	uint8_t active;			    /* member, or FAILOVER_NONE before the first step */
	uint8_t pinned;			    /* member, or FAILOVER_NONE */
	uint64_t switched_at;		    /* the last switch; 0: none */
	uint64_t left_at[FAILOVER_MEMBERS]; /* when a switch last went away from it because it was
					       down */
	uint32_t flaps;			    /* counted, falls back after calm */
	uint64_t switches;		    /* ever */
	enum failover_alarm alarm;
	char reason[160]; /* of the last switch, and what is waited for */
	struct failover_member member[FAILOVER_MEMBERS];
};

void failover_init(struct failover *f);
/* Takes the members' states in; returns the member that shall carry the routes now. True in
 * *switched when it is another than before: the caller replaces the routes, then logs f->reason.
 * The first step takes the preferred one unless it is down and another is not. */
unsigned int failover_step(struct failover *f, const struct failover_rules *r, uint64_t now,
			   bool *switched);
/* The hold that is in force, with its doublings. */
uint64_t failover_hold(const struct failover *f, const struct failover_rules *r);
/* By hand: FAILOVER_NONE takes the pin away. */
void failover_pin(struct failover *f, unsigned int member);
/* By hand: this one now, without a pin; it then stays by the rules from here (a better one only
 * after hold). */
void failover_go(struct failover *f, unsigned int member, uint64_t now);
/* Nothing left to watch for: the time at which the next step could differ though no state changes;
 * 0: never. */
uint64_t failover_next(const struct failover *f, const struct failover_rules *r, uint64_t now);
const char *failover_alarm_name(enum failover_alarm a);
