/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * window.h - both arms' counters over a sliding window: looks in, rates and integers out
 *
 *	struct window w;
 *	window_begin(&w, 60 * SECOND, 200);
 *	twice a second:	window_add(&w, &look);
 *	a stage begins:	window_stage(&w, epoch);
 *	at any time:	window_value(&w, now, CONF_KERNEL_ERRORS, CONF_ARM_NEW, &v);
 *			window_over(&w, w.span, &sum);	failures = window_failures(&sum,
 *CONF_ARM_NEW); window_since_stage(&w, &sum);	the same, for what must be certain for (i = 0; i <
 *w.epochs; i++) window_epoch_seen(&w.epoch[i], &both);	what judge_feed wants
 *
 * Pure: no clock, no memory of its own. Times are nanoseconds of one clock that never goes back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/conf/config.h"
#include "userspace/ctl/judge.h"
#include "userspace/plane/telemetry.h"

#define WINDOW_FINE   32 /* looks kept of the last seconds */
#define WINDOW_COARSE 64 /* of the window */
#define WINDOW_EPOCHS 32 /* kept apart; of older ones of the stage only the sum */
#define WINDOW_WHY    160

/* One look at the kernel's counters. All but `weight`, `epoch` and the last ten seconds only ever
 * grow, until another apply clears them. */
struct window_look {
	uint64_t at;
	uint64_t epoch;	 /* of control, in force */
	uint16_t weight; /* in force: hundredths of a percent */
	struct telemetry_arm arm[SHIFT_ARMS];
	struct shift_service_stats service;
	uint64_t drops; /* packets that the programs lost */
	struct telemetry_origin origin;
};

struct window_point {
	uint64_t at;
	struct shift_answers arm[SHIFT_ARMS]; /* of connections begun in this stage */
	uint64_t failed[SHIFT_ARMS];	      /* of all */
	struct shift_service_stats service;
	uint64_t drops;
};

struct window_ring {
	struct window_point *point;
	unsigned int room, n, next;
	uint64_t step; /* at least so far apart */
};

struct window_epoch {
	uint64_t epoch;
	bool weighed; /* it was in force at a look: its weight is known */
	uint16_t weight;
	struct shift_answers is[SHIFT_ARMS], before[SHIFT_ARMS]; /* the counters were cleared */
};

struct window {
	uint64_t span;
	uint32_t least; /* connections in the window, or it says nothing */
	struct window_ring fine, coarse;
	struct window_point fine_point[WINDOW_FINE], coarse_point[WINDOW_COARSE];
	struct window_epoch epoch[WINDOW_EPOCHS]; /* the newest first */
	unsigned int epochs;
	uint64_t put_away; /* no epoch up to this one is taken any more */
	uint64_t stage;	   /* its first epoch; 0: everything counts */
	uint64_t stage_at;
	struct shift_answers older[SHIFT_ARMS]; /* of this stage's epochs that were put away */
	bool has_last;
	struct window_look last;
	struct window_point now;
	struct shift_service_stats service, stage_service; /* seen so far, and by then */
	uint64_t drops;					   /* seen so far */
	uint64_t weighed_at;				   /* since when the weight is what it is */
	unsigned int resets; /* how often the counters were cleared, or nobody looked for long */
};

/* What was counted in a window. */
struct window_sum {
	uint64_t span;			      /* ns; less than was asked for when there is less */
	struct shift_answers arm[SHIFT_ARMS]; /* the old arm's: of those that are watched */
	uint64_t failed[SHIFT_ARMS];
	struct shift_service_stats service;
	uint64_t drops;
};

/* An epoch as judge_feed wants it. */
struct window_both {
	uint64_t epoch;
	bool weighed;
	double weight; /* 0..1 */
	double share;  /* of what is counted, that the new arm should have: judge_share */
	double split;  /* of what the share decides: the weight, as ranks can have it */
	struct {
		uint64_t chosen, clients; /* whose arm the share decided: all, and some once */
		uint64_t begun, failed, failed_clients;
		uint64_t answered, over_200_ms, over_500_ms; /* asked; never answered is over */
	} arm[SHIFT_ARMS];
};

struct window_number {
	double value; /* %, ms, or a count */
	bool counted; /* it is a share, of: */
	struct judge_counts seen;
	char why[WINDOW_WHY]; /* there is none */
};

/* Empty; the window points into itself and must not be copied. */
void window_begin(struct window *w, uint64_t span_ns, uint32_t least);
/* Another length from now on: a longer one fills as time goes by. */
void window_use(struct window *w, uint64_t span_ns, uint32_t least);

/*
 * 0; 1: it does not go on from the look before, because counters were cleared or more than ten
 * seconds lie between: the window begins anew, the epochs go on. -EINVAL: not later than the last.
 */
int window_add(struct window *w, const struct window_look *look);

/*
 * A stage begins with the control record of this epoch. The window reaches back no further, and of
 * failures that come later only those count whose connection began in the stage.
 */
void window_stage(struct window *w, uint64_t epoch);

/* The last `span_ns`, or what there is of it. -ENODATA: fewer than two looks. */
int window_over(const struct window *w, uint64_t span_ns, struct window_sum *ret);
/* Since the stage began, however long that is, but for `failed` and `drops`. */
void window_since_stage(const struct window *w, struct window_sum *ret);
void window_epoch_seen(const struct window_epoch *e, struct window_both *ret);
/* Connections begun in the last ten seconds, by the last look, for judge_input.last_10s. */
struct judge_counts window_last_10s(const struct window *w, enum shift_arm_id arm);

/*
 * A connection failed when its SYN was answered by a reset or not at all, when it was reset before
 * the server's first data, or closed by the server when it had been asked and not answered. One
 * that the client gave up is none, but a slow answer. The same of both arms.
 */
uint64_t window_failed(const struct shift_answers *a);

/*
 * Bad ones of all, of an arm; of CONF_ARM_SUM with the old arm's by the share of it that is
 * watched. Failures by the definition above; errors: with what the old host served instead;
 * fallback: those alone, the rescued too; slow: first answers that took longer than `ms`, an edge
 * of the histogram.
 */
struct judge_counts window_failures(const struct window_sum *s, enum conf_gate_arm arm);
struct judge_counts window_errors(const struct window_sum *s, enum conf_gate_arm arm);
struct judge_counts window_fallback(const struct window_sum *s, enum conf_gate_arm arm);
struct judge_counts window_slow(const struct window_sum *s, enum conf_gate_arm arm, uint32_t ms);

/*
 * The client with more than `share` of the newest connections, of both arms, at the last look, as
 * text; NULL: there is none, or too few were sampled. *ret_share: its part of them, or the
 * greatest.
 */
const char *window_source(const struct window *w, double share, char text[64], double *ret_share);

/*
 * The number of a kernel gate, over the window. 0; -ENODATA with ret->why: too few connections, the
 * last look is too old, nothing was asked. CONF_ARM_UNSTATED is the new arm.
 *
 * In percent: errors, failures, fallback. In ms: p50, p95, p99. Packets: drops. Split: percentage
 * points between the weight and the new arm's share of the connections whose arm the share decided
 * (no pins, lists or peers; what fell back is the new arm's), either way. With affinity `client`
 * a busy client moves it by all that it does: the judge's own test counts clients.
 */
int window_value(const struct window *w, uint64_t now, enum conf_kernel_gate kind,
		 enum conf_gate_arm arm, struct window_number *ret);
