/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * loop.h - one event loop: descriptors, timers, signals
 *
 * epoll, one timerfd for all timers, one signalfd. A callback may add or remove anything, itself
 * included.
 *
 *   struct loop *l;
 *   loop_make(&l);
 *   loop_watch(l, fd, LOOP_READ, on_packet, x);
 *   loop_timer_set(l, &x->timer, loop_now() + 1000000000, on_time, x);
 *   loop_run(l);
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop;

#define LOOP_READ  1u
#define LOOP_WRITE 2u

typedef void (*loop_fd_cb)(void *arg, int fd, unsigned int ready);
typedef void (*loop_timer_cb)(void *arg, uint64_t now);
typedef void (*loop_signal_cb)(void *arg, int signal);

/* Kept by its user, zeroed before its first use; not to be freed while it is set. */
struct loop_timer {
	uint64_t at; /* 0: not set */
	loop_timer_cb cb;
	void *arg;
	unsigned int place; /* in the heap, from 1; 0: not set */
};

int loop_make(struct loop **ret);
/* Not from within loop_run. NULL is fine. Timers that are still set are stopped, descriptors stay
 * open, signals stay blocked. */
void loop_free(struct loop *l);
/* CLOCK_BOOTTIME, ns: it goes on while the host sleeps. */
uint64_t loop_now(void);

/* Again: changes it. An error or hang-up comes as what is watched for. -EINVAL for no events:
 * loop_unwatch is for that; -EPERM: a file that is always ready; -ENOMEM; what epoll says. */
int loop_watch(struct loop *l, int fd, unsigned int events, loop_fd_cb cb, void *arg);
/* Before closing it. One that is not watched is left alone. */
void loop_unwatch(struct loop *l, int fd);
/*
 * One shot. Set again from its own callback to repeat; one that is set is moved. A time that has
 * passed is the next turn's. 0, or -ENOMEM and it is not set; moving never fails. The callback's
 * `now` is the same for all that fire in one turn.
 */
int loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at, loop_timer_cb cb, void *arg);
void loop_timer_stop(struct loop *l, struct loop_timer *t);
/* Blocks the signal and hands it to cb; again: to another. A child unblocks it before it executes
 * anything. */
int loop_signal(struct loop *l, int signal, loop_signal_cb cb, void *arg);

/* Until loop_stop; its code. No callback runs after the one that stops. −errno when the loop itself
 * breaks. */
int loop_run(struct loop *l);
/* Before loop_run: that returns at once. */
void loop_stop(struct loop *l, int code);
