/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * steer.h - the control record as the ramp sees it and as it changes it
 *
 *   struct steer c = {.who = "alice", .weight = 2500, .epoch = view.epoch, …};
 *   err = control_change(control, steer_weight, &c, false, &before, &after);
 *
 * Edits for control_change: pure, but for nothing. Times are CLOCK_BOOTTIME nanoseconds, but where
 * CLOCK_REALTIME is said; weights are hundredths of a percent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/shift.h"

struct ramp_view;

enum {
	STEER_OVERTAKEN = -1000, /* the record is not the one that was decided on */
	STEER_LATCHED = -1001,	 /* a rollback came first */
};

struct steer {
	uint64_t boot, real; /* now; CLOCK_REALTIME */
	uint32_t uid;
	const char *who;
	const char *reason;
	/* Of a weight. */
	uint64_t epoch;	 /* that control must have */
	uint16_t expect; /* the share that must be in force: deadlines pass without an epoch */
	uint16_t weight;
	uint16_t overall;    /* it is set for this share of all clients, which goes on being kept */
	bool after_rollback; /* clears the latch of `latched_at`, and only that one */
	uint64_t latched_at; /* CLOCK_REALTIME ns */
	/* The keep-alive, of a weight and of steer_lease. */
	uint64_t lease;	  /* ns from `boot`; 0: none */
	uint8_t on_death; /* enum shift_lease_action */
	/* Seen on the way. */
	uint16_t from; /* the share in force before */
};

/*
 * The share, as a stage or a step back sets it. 0, or one of the codes above. Locks were looked at
 * when it was decided: who locks moves the epoch.
 */
int steer_weight(struct shift_record *r, void *steer);
/* Weight 0 and the latch, whatever is there; cannot be refused. */
int steer_rollback(struct shift_record *r, void *steer);
/*
 * The keep-alive's deadline, moved or (lease 0) taken away, and nothing else: the epoch stays. 1:
 * there is nothing to do, or it ran out and its fallback is in force, which a renewal must not take
 * back.
 */
int steer_lease(struct shift_record *r, void *steer);
/* A keep-alive that ran out: its fallback becomes the share that is set. 1: none did. */
int steer_settle(struct shift_record *r, void *steer);

/* What of the view comes from the record. */
void steer_see(const struct shift_record *r, uint64_t boot, struct ramp_view *v);

/* Why an edit or control_change was refused, in words. Returns ret. */
const char *steer_error(int err, const struct shift_record *seen, char *ret, size_t size);
