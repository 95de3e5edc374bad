/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * health.h - what state a tunnel is in, and why; pure
 *
 * Time and observations are arguments: `now` is CLOCK_BOOTTIME in ns, greater than 0. The same
 * machine runs in shiftd and, with its state on disk between runs (wg/machine_json.h), under cron.
 * After a boot the caller starts again with health_init.
 *
 *   up        probes come back within max_rtt and max_loss
 *   degraded  they come back, but too slowly or too few; or packets of its MTU are lost
 *   idle      no probe is configured, nothing was sent, and so no handshake was needed: no alarm
 *   down      `fall` probes in a row were lost; or, without a probe, what is sent gets no answer
 *   unknown   not looked at long enough
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum health_state { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_IDLE, HEALTH_DEGRADED, HEALTH_DOWN };
#define HEALTH_STATES 5

/* "up", …, as SPEC names them. */
const char *health_state_name(enum health_state s);
int health_state_parse(const char *name); /* −EINVAL */

struct health_rules {
	uint64_t interval_ns; /* of probes; in transition a half of it */
	uint64_t max_rtt_ns;  /* 0: no limit */
	uint16_t max_loss;    /* hundredths of a percent */
	uint16_t rise, fall;
	bool probed; /* a probe is configured */
};

/* One look at the tunnel. */
struct health_look {
	bool exists;		  /* the interface is there */
	bool admin_up;		  /* and up */
	bool handshake_known;	  /* WireGuard; IPsec tells `established` */
	uint64_t handshake_stamp; /* as the kernel gives it, only compared for being another; 0:
				     none yet */
	uint64_t handshake_age;	  /* ns by the wall clock, 0: not known. Dates a handshake that was
				     there before the first look; later it is believed no further
				     than back to the look before */
	uint64_t rx, tx;	  /* bytes of the tunnel's peers */
	bool established_known, established; /* IPsec: there is an SA for each direction */
	bool expects_traffic;		     /* keepalive is on: silence is no excuse */
};

/* What the probes say (wg/window.h). */
struct health_probes {
	uint64_t sent, lost;		    /* in the window; `sent` without those on their way */
	uint64_t rtt_ns, p95_ns, jitter_ns; /* rtt: median; 0: none */
	uint16_t loss;			    /* hundredths of a percent */
	uint32_t mtu_found;		    /* largest inner packet that passes; 0: not known */
	uint32_t mtu_set;		    /* of the device */
};

struct health {
	enum health_state state;
	uint64_t since;	  /* of the state */
	char reason[160]; /* in words: "no answer to 3 probes in a row; last answer 12s ago" */

	uint16_t rise, fall; /* by which `score` was counted */
	uint16_t score;	     /* 0..rise+fall-1, up when >= rise (HAProxy's one counter) */
	bool scored;	     /* an answer, or `fall` losses, have decided */
	uint32_t lost_in_row;
	uint64_t answered_at;	     /* the last answer; 0: never */
	uint32_t up_probes, up_lost; /* since the counter last said up */
	bool slow, lossy;	     /* over the limits, with hysteresis */

	bool watched;		  /* the rest holds something */
	uint64_t handshake_stamp; /* the last */
	uint64_t handshake_seen;  /* when it was made, as well as is known; 0: none */
	bool handshake_dated;	  /* false: it was there before the first look */
	bool handshake_old;	  /* at the last look */
	uint64_t rx, tx;	  /* at the last look */
	uint64_t rx_at;		  /* when rx was last seen to rise; 0: never */
	uint64_t tx_since_rx;	  /* bytes sent since */
	uint64_t waiting_since;	  /* for an answer to what was sent; 0: for none */
	uint64_t looked_at;
};

void health_init(struct health *h, const struct health_rules *r, uint64_t now);

/* A probe's end: answered or lost. Moves the counter only. Whatever came before, `rise` answers in
 * a row make it up and `fall` losses down, so the larger of both is a burst that decides. */
void health_probe(struct health *h, const struct health_rules *r, bool answered, uint64_t now);

/* Judges; `p` may be NULL without a probe. True when the state changed; the caller logs old → new
 * with h->reason. */
bool health_judge(struct health *h, const struct health_rules *r, const struct health_look *l,
		  const struct health_probes *p, uint64_t now);

/* When the next probe is due after one at `now`; half the interval while the counter is between its
 * ends or has not decided; ±10 % by `random`. */
uint64_t health_next(const struct health *h, const struct health_rules *r, uint64_t now,
		     uint32_t random);

/* RTT and loss are within their limits: what failover_member.in_budget wants. */
bool health_in_budget(const struct health *h);

/* Is it fit to carry the routes: up, or degraded or idle or (yet) unknown only if nothing better is
 * there. 0 best. */
unsigned int health_rank(enum health_state s);
