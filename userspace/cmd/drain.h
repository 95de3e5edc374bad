/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * drain.h - which local connections `drain` moves, when each may be closed, and how soon the next
 *
 * Pure: observations and times are arguments.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/shift.h"
#include "userspace/net/sockdiag.h"

/* What becomes of a connection, and why. */
enum drain_choice {
	DRAIN_MOVE,	  /* its client's next one goes to the new arm */
	DRAIN_STAYS,	  /* its client is not in the share */
	DRAIN_EXCEPTED,	  /* bypass, clients.deny, pinned to the old arm, a peer's */
	DRAIN_NO_BACKEND, /* no backend of its family takes connections */
	DRAIN_OWN,	  /* from this host itself: such a packet passes no program */
	DRAIN_CHOICES,
};

struct drain_rules {
	uint64_t seed;
	uint8_t affinity;
	uint32_t threshold; /* in force */
	bool usable[2];	    /* IPv4, IPv6: a backend takes connections */
};

/* `action` is the client table's for this client (enum shift_client_action), 0: none. */
enum drain_choice drain_choose(const struct drain_rules *r, const uint32_t client[4], uint16_t port,
			       uint32_t action);

/* Is anything under way on a connection? */
enum drain_rest {
	DRAIN_IDLE,
	DRAIN_BUSY, /* data in a queue or in flight, or some passed lately */
	DRAIN_OWED, /* the client spoke last: a request may wait for its answer */
};

struct drain_patience {
	uint32_t idle_ms; /* so long nothing may have passed */
	uint32_t owed_ms; /* the same where the client spoke last; 0: never */
};

/*
 * A connection on which the old service spoke last and nothing moved for so long has no request on
 * it, as far as a kernel can know. *ret_again_ms: before that it cannot be idle.
 */
enum drain_rest drain_rest(const struct sockdiag_seen *seen, const struct drain_patience *p,
			   uint32_t *ret_again_ms);

/* When the next may be closed, after one at `now`, with `gap_ns` between two: never is more than
 * the rate, also not to catch up. */
uint64_t drain_next(uint64_t now, uint64_t due, uint64_t gap_ns);
