/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate.h - one gate's bounds over time: numbers in, a verdict out
 *
 *   gate_begin(&g, &config->gates[i]);
 *   gate_observe(&g, now, 212.0);         or gate_no_data(&g, now, "connection refused")
 *   gate_judge(&g, now, &verdict);        GATE_PAUSE, 212, "212 > 200"
 *
 * Pure: no clock, no memory of its own, nothing is printed. Times are nanoseconds of one clock that
 * never goes back (CLOCK_BOOTTIME).
 *
 * A gate's number comes in one of two ways: as observations, which this judges by the bounds of the
 * configuration, or as a verdict that somebody else reached (ctl/judge.h over the kernel's
 * counters), which is passed on for as long as it is fresh.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/conf/config.h"

#define GATE_WHY      200
#define GATE_BASELINE 128 /* observations that a baseline is the median of: the latest */
#define GATE_GAP      3	  /* intervals without a number after which nothing is sustained */

/* From the best to the worst; what cannot be told is worse than ok, and acts on nothing. */
enum gate_says { GATE_OK, GATE_INCONCLUSIVE, GATE_PAUSE, GATE_BACK, GATE_ROLLBACK };

/* "ok", "inconclusive", "pause", "back", "rollback". */
const char *gate_says_name(enum gate_says says);
/* −EINVAL: it is none of them. */
int gate_says_parse(const char *name);

struct gate_verdict {
	enum gate_says says;
	bool has_value;
	double value;	    /* in the base unit of the bounds: %, ms, or as the source has it */
	bool sustained;	    /* the bound that holds has a duration or a number of times */
	bool watched;	    /* inconclusive because the number is not what `ok` says, or is beyond
			       a bound for not long enough yet */
	uint64_t at;	    /* when the value was seen */
	char why[GATE_WHY]; /* "212 > 200 for 35s of 1m"; never empty */
};

/*
 * The runbook's class: "immediate" or "planned" of a rollback, "monitor" of any other number that
 * is not ok; NULL: it is ok, or there is none.
 */
const char *gate_class(const struct gate_verdict *v);

/* How long a bound has held without a break. */
struct gate_run {
	uint64_t since, last; /* of its first and its latest observation; since 0: it does not hold
			       */
	uint32_t times;
};

struct gate_samples {
	double value[GATE_BASELINE];
	unsigned int n; /* ever taken */
};

struct gate {
	const struct conf_gate *conf; /* the caller's, for as long as the gate is used */
	struct gate_run ok[CONF_MAX_BOUNDS], pause[CONF_MAX_BOUNDS], back[CONF_MAX_BOUNDS],
		rollback[CONF_MAX_BOUNDS];
	bool has_value;
	double value;
	uint64_t at;	    /* of the latest value, 0: none yet */
	uint64_t missed_at; /* of the latest look that gave none */
	char missed[GATE_WHY];
	uint64_t broken_at; /* of the latest value that was not ok; 0: none since gate_restart */
	bool given;	    /* a ready verdict counts, not the bounds */
	struct gate_verdict verdict;
	bool has_baseline;
	double baseline;
	bool whole;   /* the baseline is of the whole service: `share` of it is expected */
	double share; /* 0..1 */
	struct gate_samples samples;
};

/* `conf` stays the caller's and must outlive the gate. */
void gate_begin(struct gate *g, const struct conf_gate *conf);

/*
 * The same gate after the configuration was read again. What was seen so far stays when the bounds
 * are the same, and the baseline always does.
 */
void gate_use(struct gate *g, const struct conf_gate *conf);

/*
 * A stage begins: what was sustained and what broke `ok` was of another share. The latest value is
 * forgotten too, so that no verdict is older than the stage; the baseline stays.
 */
void gate_restart(struct gate *g);

/* A number was seen. One that is not finite is no data; one older than the latest is left out. */
void gate_observe(struct gate *g, uint64_t at, double value);
/* It was asked and there is none; `why` is copied. */
void gate_no_data(struct gate *g, uint64_t at, const char *why);
/* Another's verdict; `at` of it is when it was reached. From here the bounds are not looked at. */
void gate_given(struct gate *g, const struct gate_verdict *v);

/*
 * The verdict now. Any bound of `rollback`, `back` or `pause` that holds is enough; of `ok` every
 * one must. Without an `ok` bound a gate is ok when none of the others begins to hold. No value, or
 * none fresh enough, is inconclusive.
 */
void gate_judge(const struct gate *g, uint64_t now, struct gate_verdict *ret);

/*
 * The hold counts from here on (0: from its own beginning): the time of the latest observation that
 * was not ok. An `ok` bound with a duration or a number of times of its own breaks nothing: it says
 * itself how long it must have held.
 */
uint64_t gate_broken_at(const struct gate *g);

/*
 * When what the gate says of that kind (pause, back, rollback) was first seen: the first
 * observation without a break for which the bound held. 0: it does not say so.
 */
uint64_t gate_since(const struct gate *g, enum gate_says says);

/* Does a bound need a baseline? */
bool gate_wants_baseline(const struct conf_gate *conf);
/*
 * Takes the median of the observations since gate_begin, at most the latest GATE_BASELINE, as the
 * baseline. -ENODATA: there were none, and an earlier baseline stays.
 */
int gate_take_baseline(struct gate *g);
/*
 * A baseline from elsewhere: the journal, or the old arm. With `whole` it is the throughput of the
 * whole service, and gate_share says what part of it this gate's arm should have.
 */
void gate_set_baseline(struct gate *g, double baseline, bool whole);
void gate_share(struct gate *g, double share);
/* What the baseline makes expect of this gate's arm; only with a baseline. */
double gate_expected(const struct gate *g);

/* A number as people write it: "776000", "0.04", "212.3". Returns ret. */
const char *gate_number(double value, char ret[32]);
