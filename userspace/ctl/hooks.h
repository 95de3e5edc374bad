/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hooks.h - the named steps of a cutover: programs and URLs, one after another
 *
 *   hooks_make(loop, &h);
 *   hooks_use(h, config, why, sizeof(why));
 *   n = hooks_begin(h, CONF_BEFORE_STAGE, 3, &about, on_step, on_done, x, &run);
 *   if (n == 0)
 *           … there is none: go on
 *
 * Only on a host whose role is leader: the caller looks at that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/conf/config.h"

struct hooks;
struct hooks_run;
struct loop;

enum hook_outcome { HOOK_OK, HOOK_FAILED, HOOK_TIMED_OUT };

/* "ok", "failed", "timed out" */
const char *hook_outcome_name(enum hook_outcome outcome);
/* "before-ramp", … as in the configuration. */
const char *hook_when_name(enum conf_when when);

/* What the steps are told: SHIFT_SERVICE and so on for programs, the same as JSON for URLs. Texts
 * may be NULL. */
struct hook_about {
	const char *service;
	unsigned int stage; /* from 1; 0: none */
	uint16_t weight;    /* hundredths of a percent */
	uint64_t epoch;
	const char *reason, *operator;
};

struct hook_result {
	const char *name; /* of the step */
	enum conf_when when;
	bool required;
	enum hook_outcome outcome;
	double seconds;
	char why[300]; /* in words, a failed program's last line included; "" only with HOOK_OK */
	const char *output; /* the beginning of what it printed or answered; never NULL */
	size_t output_size;
	bool cut; /* there was more */
};

struct hooks_sum {
	bool ok;			 /* every required step is */
	unsigned int done, failed, left; /* steps; failed counts those not required too */
	char stopped_at[CONF_NAME];	 /* the required step that failed; "" */
	char why[300];			 /* "sync: ended with exit status 3: lag 90s"; "" */
};

typedef void (*hook_step_cb)(void *arg, const struct hook_result *r);
typedef void (*hooks_done_cb)(void *arg, const struct hooks_sum *sum);

int hooks_make(struct loop *l, struct hooks **ret);
/* Cancels all; NULL is fine. Not from a callback of its own. */
void hooks_free(struct hooks *h);

/*
 * From here these steps; runs under way go on with theirs. The configuration is copied. Finds the
 * users and looks whether the programs may be run (base/run.h), so it may block. 0; or −errno with
 * the step and the reason in `why`, and the steps of before stay.
 */
int hooks_use(struct hooks *h, const struct config *c, char *why, size_t size);

/*
 * The steps of that moment, in the configuration's order; `stage` (from 1) chooses before-stage and
 * after-stage steps, those of every stage included. Returns their number, with 0 nothing will be
 * called back; or −errno. `step` is called after each (may be NULL), `done` once after the last or
 * after a required one that failed, both from the loop. From them anything may be called but
 * hooks_free; this run must not be cancelled from `done`. ret may be NULL.
 */
int hooks_begin(struct hooks *h, enum conf_when when, unsigned int stage,
		const struct hook_about *about, hook_step_cb step, hooks_done_cb done, void *arg,
		struct hooks_run **ret);
/* Ends the step that runs (SIGTERM, then SIGKILL) and calls back no more. NULL is fine. */
void hooks_cancel(struct hooks_run *r);
