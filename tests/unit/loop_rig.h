/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * loop_rig.h - a loop for each test, and what callbacks note
 */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/loop.h"

#define MS   1000000ull
#define MANY 1000

static struct loop *l;

static inline int make(void **state)
{
	(void)state;
	alarm(20); /* whatever hangs */
	return loop_make(&l);
}

static inline int unmake(void **state)
{
	(void)state;
	loop_free(l);
	l = NULL;
	alarm(0);
	return 0;
}

static inline void stop(void *arg, uint64_t now)
{
	(void)arg;
	(void)now;
	loop_stop(l, 0);
}

static inline void run_for(uint64_t ns)
{
	struct loop_timer end = {0};

	assert_int_equal(loop_timer_set(l, &end, loop_now() + ns, stop, NULL), 0);
	assert_int_equal(loop_run(l), 0);
	loop_timer_stop(l, &end);
}

/* Two ends of a pipe, with a byte in it. */
static inline void full_pipe(int fd[2])
{
	assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
}

static inline void close_both(const int fd[2])
{
	close(fd[0]);
	close(fd[1]);
}

static unsigned int strays;

static inline void count_stray(void *arg, int fd, unsigned int ready)
{
	(void)arg;
	(void)fd;
	(void)ready;
	strays++;
}

static inline uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t fired[MANY];
static unsigned int n_fired;
static struct loop_timer timers[MANY];
static uint64_t due[MANY];

static inline void note_time(void *arg, uint64_t now)
{
	struct loop_timer *t = arg;

	assert_int_equal(t->at, 0);
	assert_int_equal(t->place, 0);
	assert_true(now >= due[t - timers]);
	fired[n_fired++] = (uint64_t)(t - timers);
}

static inline int clean(void **state)
{
	memset(timers, 0, sizeof(timers));
	memset(due, 0, sizeof(due));
	n_fired = 0;
	return make(state);
}

static inline void note_delay(void *arg, uint64_t now)
{
	uint64_t *at = arg;

	*at = now;
	loop_stop(l, 7);
}
