/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * health.h - what state a tunnel is in, and why; pure
 *
 * Time and observations are arguments: `now` is CLOCK_BOOTTIME in ns. The same machine runs in
 * shiftd and, with its state on disk between runs, under cron.
 *
 *   up        probes come back within max_rtt and max_loss
 *   degraded  they come back, but too slowly or too few; or a part of it is not as it should be
 *   idle      no probe is configured, nothing was sent, and so no handshake was needed: not an
 * alarm down      `fall` probes in a row were lost; or, without a probe, what is sent gets no
 * answer unknown   not looked at long enough
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum health_state { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_IDLE, HEALTH_DEGRADED, HEALTH_DOWN };

/* "up", …, as SPEC names them. */
const char *health_state_name(enum health_state s);
int health_state_parse(const char *name); /* −EINVAL */

struct health_rules {
	uint64_t interval_ns; /* of probes; in transition a half of it */
	uint64_t max_rtt_ns;
	uint16_t max_loss; /* hundredths of a percent */
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
	uint64_t rx, tx;	  /* bytes of the tunnel's peers */
	bool established_known, established; /* IPsec: there is an SA for each direction */
	bool expects_traffic;		     /* keepalive is on: silence is no excuse */
};

/* What the probes say (wg/window.h). */
struct health_probes {
	uint64_t sent, lost;		    /* in the window */
	uint64_t rtt_ns, p95_ns, jitter_ns; /* rtt: median; 0: none */
	uint16_t loss;			    /* hundredths of a percent */
	uint32_t mtu_found;		    /* largest inner packet that passes; 0: not known */
	uint32_t mtu_set;		    /* of the device */
};

struct health {
	enum health_state state;
	uint64_t since;	  /* of the state */
	char reason[160]; /* in words: "no answer to 3 probes in a row, handshake 4m10s ago" */
	uint16_t score;	  /* 0..rise+fall-1, up when >= rise (HAProxy's one counter) */
	bool scored;	  /* a first probe was counted */
	uint64_t handshake_stamp, handshake_seen; /* the last, and when it was first seen */
	uint64_t rx, tx;			  /* at the last change of rx */
	uint64_t rx_at;				  /* when rx last rose */
	uint64_t tx_since_rx;			  /* bytes sent since */
	uint64_t first_tx_at;			  /* when the first of those was seen; 0: none */
	uint64_t looked_at;
};

void health_init(struct health *h, const struct health_rules *r, uint64_t now);

/* A probe's end: answered or lost. Moves the counter only. */
void health_probe(struct health *h, const struct health_rules *r, bool answered);

/* Judges. True when the state changed; the caller logs old → new with h->reason. */
bool health_judge(struct health *h, const struct health_rules *r, const struct health_look *l,
		  const struct health_probes *p, uint64_t now);

/* When the next probe is due after one at `now`; half the interval while the counter is between its
 * ends; ±10 % by `random`. */
uint64_t health_next(const struct health *h, const struct health_rules *r, uint64_t now,
		     uint32_t random);

/* Is it fit to carry the routes: up, or degraded or idle or (yet) unknown only if nothing better is
 * there. 0 best. */
unsigned int health_rank(enum health_state s);
