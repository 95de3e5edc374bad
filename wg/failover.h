/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * failover.h - which tunnel of a group carries the routes; pure
 *
 * A group is a tunnel and its chain of backups, in order. All up and probed at all times, so a
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
	unsigned int n;			    /* members, the preferred first */
	const char *name[FAILOVER_MEMBERS]; /* for the reason; NULL: "tunnel 1" */
	uint64_t hold_ns;		    /* before going back */
	uint64_t hold_cap_ns;		    /* doubling ends here; 0: 16 * hold */
	uint64_t flap_ns; /* a switch back that fails again within this is a flap; 0: 10 * hold */
};

/* The first two are the caller's, before every step. */
struct failover_member {
	enum health_state state;
	bool in_budget;	    /* RTT and loss within its limits: health_in_budget */
	uint64_t fit_since; /* up or idle, and in budget, without a break since; 0: it is not. Kept
			       by failover_step */
};

enum failover_alarm { FAILOVER_CALM, FAILOVER_ON_BACKUP, FAILOVER_ALL_DOWN, FAILOVER_PINNED_DOWN };
#define FAILOVER_ALARMS 4

/* Why the active one was taken. */
enum failover_cause {
	FAILOVER_FIRST, /* the first step */
	FAILOVER_DEAD,	/* the one before was down */
	FAILOVER_WORSE, /* the one before was degraded for `hold` */
	FAILOVER_BACK,	/* it is better, and was fit for `hold` */
	FAILOVER_PIN,	/* by hand, for as long as the pin is there */
	FAILOVER_HAND,	/* by hand */
};
#define FAILOVER_CAUSES 6

struct failover {
	uint8_t active; /* member, or FAILOVER_NONE before the first step */
	uint8_t pinned; /* member, or FAILOVER_NONE */
	uint8_t go;	/* by hand, not yet taken in; or FAILOVER_NONE */
	uint8_t from;	/* the active one before; or FAILOVER_NONE */
	enum failover_cause cause;
	bool on_trial;		 /* switched to by choice, may yet prove a flap */
	uint64_t switched_at;	 /* the last switch; 0: none */
	uint64_t hold_from;	 /* waiting for a better one starts here at the earliest */
	uint64_t degraded_since; /* the active one; 0: it is not */
	uint64_t calm_from;	 /* 0: it is not calm */
	uint32_t flaps;		 /* counted, falls back after calm */
	uint64_t switches;	 /* ever */
	enum failover_alarm alarm;
	char reason[256]; /* of the last switch, and what is waited for */
	struct failover_member member[FAILOVER_MEMBERS];
};

void failover_init(struct failover *f);
/* Takes the members' states in; returns the member that shall carry the routes now. True in
 * *switched when it is another than before: the caller replaces the routes, then logs f->reason.
 * The first step takes the preferred one unless it is down and another is not, and is a switch for
 * *switched but not for f->switches. FAILOVER_NONE without members. */
unsigned int failover_step(struct failover *f, const struct failover_rules *r, uint64_t now,
			   bool *switched);
/* The hold that is in force, with its doublings. */
uint64_t failover_hold(const struct failover *f, const struct failover_rules *r);
/* By hand: FAILOVER_NONE takes the pin away. */
void failover_pin(struct failover *f, unsigned int member);
/* By hand: this one at the next step, without a pin (one that is there is taken away); it then
 * stays by the rules from here (a better one only after hold). One that is down is not gone to:
 * that takes a pin. */
void failover_go(struct failover *f, unsigned int member, uint64_t now);
/* The time at which the next step could differ though no state changes; 0: never. */
uint64_t failover_next(const struct failover *f, const struct failover_rules *r, uint64_t now);
const char *failover_alarm_name(enum failover_alarm a);
const char *failover_cause_name(enum failover_cause c);
