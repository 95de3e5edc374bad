/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * window_rig.h - a kernel that counts what a test says, and a window that looks at it
 */
#pragma once

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/ctl/window.h"

#define SECOND 1000000000ull
#define STEP   (SECOND / 2)
#define OLD    SHIFT_ARM_OLD
#define NEW    SHIFT_ARM_NEW
#define MS_150 39 /* histogram buckets: over 120 and up to 150 ms, and so on */
#define MS_300 42
#define MS_800 46

static struct window w;
static struct window_look kernel; /* what is counted, and the clock */

static inline int begin(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	kernel.at = 1000 * SECOND;
	kernel.epoch = 1;
	kernel.weight = 1000;
	window_begin(&w, 60 * SECOND, 200);
	return 0;
}

static inline struct shift_answers *epoch_of(struct telemetry_arm *a, uint64_t epoch)
{
	unsigned int at = 0;

	while (at < a->epochs && a->epoch[at].epoch > epoch)
		at++;
	if (at < a->epochs && a->epoch[at].epoch == epoch)
		return &a->epoch[at];
	assert_true(at < SHIFT_EPOCHS);
	if (a->epochs < SHIFT_EPOCHS)
		a->epochs++;
	memmove(&a->epoch[at + 1], &a->epoch[at], (a->epochs - at - 1) * sizeof(a->epoch[0]));
	memset(&a->epoch[at], 0, sizeof(a->epoch[0]));
	a->epoch[at].epoch = epoch;
	return &a->epoch[at];
}

/* On the old arm those that are watched: the share gave it eight times as many. */
static inline void begun(enum shift_arm_id arm, uint64_t epoch, unsigned int n)
{
	unsigned int chosen = arm == NEW ? n : n * SHIFT_WATCH_ONE_IN;

	kernel.arm[arm].total.begun += n;
	kernel.arm[arm].total.chosen += chosen;
	epoch_of(&kernel.arm[arm], epoch)->begun += n;
	epoch_of(&kernel.arm[arm], epoch)->chosen += chosen;
	if (arm == NEW)
		kernel.service.connections_new += n;
	else
		kernel.service.connections_old += n * SHIFT_WATCH_ONE_IN;
}

static inline void answered(enum shift_arm_id arm, uint64_t epoch, unsigned int bucket,
			    unsigned int n)
{
	struct shift_answers *e = epoch_of(&kernel.arm[arm], epoch);

	kernel.arm[arm].total.answered += n;
	kernel.arm[arm].total.answer[bucket] += n;
	e->answered += n;
	e->answer[bucket] += n;
}

static inline void failed(enum shift_arm_id arm, uint64_t epoch, enum shift_failure why,
			  unsigned int n)
{
	struct shift_answers *both[] = {&kernel.arm[arm].total, epoch_of(&kernel.arm[arm], epoch)};

	for (int i = 0; i < 2; i++) {
		both[i]->failed += n;
		both[i]->failed_clients += why != SHIFT_FAILURE_GAVE_UP ? n : 0;
		both[i]->failure[why] += n;
	}
}

/* Half a second later. */
static inline int look(void)
{
	kernel.at += STEP;
	return window_add(&w, &kernel);
}

/* So many seconds of `rate` connections a second on the new arm, of which `bad` are refused. */
static inline void traffic(unsigned int seconds, unsigned int rate, unsigned int bad)
{
	for (unsigned int i = 0; i < seconds; i++) {
		begun(NEW, kernel.epoch, rate);
		answered(NEW, kernel.epoch, MS_150, rate - bad);
		failed(NEW, kernel.epoch, SHIFT_FAILURE_REFUSED, bad);
		assert_int_equal(look(), 0);
		assert_int_equal(look(), 0);
	}
}

static inline double value(enum conf_kernel_gate kind, enum conf_gate_arm arm)
{
	struct window_number v;
	int err = window_value(&w, kernel.at, kind, arm, &v);

	if (err)
		fail_msg("no number: %s", v.why);
	return v.value;
}

static inline void no_value(enum conf_kernel_gate kind, enum conf_gate_arm arm, const char *why)
{
	struct window_number v;

	if (!window_value(&w, kernel.at, kind, arm, &v))
		fail_msg("a number: %g instead of \"%s\"", v.value, why);
	if (!strstr(v.why, why))
		fail_msg("\"%s\" instead of \"%s\"", v.why, why);
}

static inline void close_to(double is, double wanted, double by)
{
	if (!(fabs(is - wanted) <= by))
		fail_msg("%g instead of %g ± %g", is, wanted, by);
}
