/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * loop.c - one event loop: descriptors, timers, signals
 *
 * Owns an epoll, a timerfd and a signalfd; the descriptors that are watched and the timers stay
 * their users'. Level-triggered throughout: what a callback leaves unread, and what is ready when
 * loop_stop is called, comes again.
 *
 * One turn: wait, hand out what is ready, fire what is due. So neither side starves the other: a
 * turn hands out at most BATCH descriptors, and fires only what was due when its firing began. For
 * the latter, a timer that is set into the past is put right behind the turn.
 *
 * A callback may change anything, also what else is ready in the same turn. Every descriptor that
 * is watched anew gets a number of its own, which epoll hands back with the event: an event with
 * another number than the descriptor's is of one that is gone, even if a new one has its place.
 *
 * Timers are a binary heap, and each knows its place in it. The timerfd is armed for the first,
 * absolutely; only where CLOCK_BOOTTIME is refused (before Linux 3.15, some sandboxes) it is a
 * CLOCK_MONOTONIC one, armed relatively, and what falls due while the host sleeps comes late.
 *
 * Weaknesses: a descriptor that was closed without loop_unwatch, while a copy of it is open
 * elsewhere, stays in epoll's set and keeps the loop busy; nobody can take it out. A socket with
 * IP_RECVERR whose error queue nobody reads does the same. Signals stay blocked after loop_free,
 * since one that is pending would end the process right there; a child that is to be executed must
 * unblock them.
 */
#include "userspace/base/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH	64
#define SIGNALS 65
#define SECOND	1000000000ull

struct watched {
	uint32_t number; /* 0: not watched */
	unsigned int events;
	loop_fd_cb cb;
	void *arg;
};

struct handler {
	loop_signal_cb cb;
	void *arg;
};

struct loop {
	int epoll, timerfd, signalfd;
	struct watched *watched; /* by descriptor */
	size_t n_watched;
	uint32_t last_number;
	struct loop_timer **heap; /* from 1 */
	unsigned int n_timers, room;
	uint64_t armed; /* what the timerfd waits for; 0: nothing */
	uint64_t turn;	/* when timers were last fired: all up to then */
	bool relative;	/* the timerfd is of another clock than loop_now */
	sigset_t signals;
	struct handler handler[SIGNALS];
	bool running, stopped;
	int code;
};

uint64_t loop_now(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_BOOTTIME, &t))
		clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* ---- descriptors ---- */

static int make_room(struct loop *l, size_t fd)
{
	size_t n = l->n_watched ? l->n_watched : 16;
	struct watched *w;

	if (fd < l->n_watched)
		return 0;
	while (n <= fd)
		n *= 2;
	w = realloc(l->watched, n * sizeof(*w));
	if (!w)
		return -ENOMEM;
	memset(w + l->n_watched, 0, (n - l->n_watched) * sizeof(*w));
	l->watched = w;
	l->n_watched = n;
	return 0;
}

static int tell_epoll(struct loop *l, int op, int fd, unsigned int events, uint32_t number)
{
	struct epoll_event e = {.events = (events & LOOP_READ ? EPOLLIN : 0u) |
					  (events & LOOP_WRITE ? EPOLLOUT : 0u),
				.data.u64 = (uint64_t)number << 32 | (uint32_t)fd};

	return epoll_ctl(l->epoll, op, fd, &e) ? -errno : 0;
}

int loop_watch(struct loop *l, int fd, unsigned int events, loop_fd_cb cb, void *arg)
{
	struct watched *w;
	uint32_t number;
	int err;

	if (!cb || !events || events & ~(LOOP_READ | LOOP_WRITE))
		return -EINVAL;
	if (fd < 0)
		return -EBADF;
	err = make_room(l, (size_t)fd);
	if (err)
		return err;
	w = &l->watched[fd];
	number = w->number;
	err = number ? tell_epoll(l, EPOLL_CTL_MOD, fd, events, number) : -ENOENT;
	if (err == -ENOENT) { /* also one that was closed unheard, and its number taken again */
		number = l->last_number == UINT32_MAX ? 1 : l->last_number + 1;
		err = tell_epoll(l, EPOLL_CTL_ADD, fd, events, number);
		if (!err)
			l->last_number = number;
	}
	if (err)
		return err;
	*w = (struct watched){.number = number, .events = events, .cb = cb, .arg = arg};
	return 0;
}

void loop_unwatch(struct loop *l, int fd)
{
	if (fd < 0 || (size_t)fd >= l->n_watched || !l->watched[fd].number)
		return;
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL);
	l->watched[fd] = (struct watched){0};
}

/* An error or a hang-up is for whoever reads or writes next to find. */
static void hand_out(struct loop *l, const struct epoll_event *e)
{
	uint32_t fd = (uint32_t)e->data.u64, number = (uint32_t)(e->data.u64 >> 32);
	const struct watched *w = &l->watched[fd];
	unsigned int ready = 0;

	if (w->number != number)
		return;
	if (e->events & EPOLLIN)
		ready |= LOOP_READ;
	if (e->events & EPOLLOUT)
		ready |= LOOP_WRITE;
	if (e->events & (EPOLLERR | EPOLLHUP))
		ready |= LOOP_READ | LOOP_WRITE;
	ready &= w->events;
	if (ready)
		w->cb(w->arg, (int)fd, ready);
}

/* ---- timers ---- */

static void put(struct loop *l, unsigned int place, struct loop_timer *t)
{
	l->heap[place] = t;
	t->place = place;
}

/* Finds t its place from the free one at `place`. */
static void settle(struct loop *l, unsigned int place, struct loop_timer *t)
{
	unsigned int child;

	for (; place > 1 && t->at < l->heap[place / 2]->at; place /= 2)
		put(l, place, l->heap[place / 2]);
	while ((child = 2 * place) <= l->n_timers) {
		if (child < l->n_timers && l->heap[child + 1]->at < l->heap[child]->at)
			child++;
		if (t->at <= l->heap[child]->at)
			break;
		put(l, place, l->heap[child]);
		place = child;
	}
	put(l, place, t);
}

static int make_room_for_timer(struct loop *l)
{
	unsigned int room = l->room ? 2 * l->room : 16;
	struct loop_timer **heap;

	if (l->n_timers + 1 < l->room)
		return 0;
	heap = realloc(l->heap, room * sizeof(struct loop_timer *));
	if (!heap)
		return -ENOMEM;
	l->heap = heap;
	l->room = room;
	return 0;
}

int loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at, loop_timer_cb cb, void *arg)
{
	unsigned int place = t->place;
	int err;

	if (!place) {
		err = make_room_for_timer(l);
		if (err)
			return err;
		place = ++l->n_timers;
	}
	t->at = at > l->turn ? at : l->turn + 1;
	t->cb = cb;
	t->arg = arg;
	settle(l, place, t);
	return 0;
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
	unsigned int place = t->place;
	struct loop_timer *last;

	if (!place)
		return;
	last = l->heap[l->n_timers--];
	if (last != t)
		settle(l, place, last);
	t->place = 0;
	t->at = 0;
}

static void fire(struct loop *l)
{
	l->turn = loop_now();
	while (!l->stopped && l->n_timers && l->heap[1]->at <= l->turn) {
		struct loop_timer *t = l->heap[1];

		loop_timer_stop(l, t);
		t->cb(t->arg, l->turn);
	}
}

/* What epoll shall wait: 0, or −1 with the timerfd armed. */
static int arm(struct loop *l, int *ret_timeout)
{
	uint64_t at = l->n_timers ? l->heap[1]->at : 0, now = at ? loop_now() : 0, wait;
	struct itimerspec t = {0};

	*ret_timeout = at && at <= now ? 0 : -1;
	if (!*ret_timeout || at == l->armed)
		return 0;
	wait = l->relative && at ? at - now : at;
	t.it_value.tv_sec = (time_t)(wait / SECOND);
	t.it_value.tv_nsec = (long)(wait % SECOND);
	if (timerfd_settime(l->timerfd, l->relative ? 0 : TFD_TIMER_ABSTIME, &t, NULL))
		return -errno;
	l->armed = at;
	return 0;
}

/* It has done its work by waking us. */
static void on_timerfd(void *arg, int fd, unsigned int ready)
{
	struct loop *l = arg;
	uint64_t times;

	(void)ready;
	if (read(fd, &times, sizeof(times)) == sizeof(times))
		l->armed = 0;
}

/* ---- signals ---- */

/* One a turn: what else is pending stays so, and is not lost when this one stops the loop. */
static void on_signalfd(void *arg, int fd, unsigned int ready)
{
	struct loop *l = arg;
	struct signalfd_siginfo info;
	const struct handler *h;

	(void)ready;
	if (read(fd, &info, sizeof(info)) != sizeof(info) || info.ssi_signo >= SIGNALS)
		return;
	h = &l->handler[info.ssi_signo];
	if (h->cb)
		h->cb(h->arg, (int)info.ssi_signo);
}

static int open_signalfd(struct loop *l, const sigset_t *signals)
{
	int fd = signalfd(l->signalfd, signals, SFD_NONBLOCK | SFD_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	if (l->signalfd >= 0)
		return 0;
	err = loop_watch(l, fd, LOOP_READ, on_signalfd, l);
	if (err)
		close(fd);
	else
		l->signalfd = fd;
	return err;
}

int loop_signal(struct loop *l, int signal, loop_signal_cb cb, void *arg)
{
	sigset_t signals = l->signals, one, before;
	int err;

	if (!cb || signal < 1 || signal >= SIGNALS || signal == SIGKILL || signal == SIGSTOP)
		return -EINVAL;
	sigemptyset(&one);
	if (sigaddset(&one, signal) || sigaddset(&signals, signal) ||
	    sigprocmask(SIG_BLOCK, &one, &before))
		return -errno;
	err = open_signalfd(l, &signals);
	if (err) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		return err;
	}
	l->signals = signals;
	l->handler[signal] = (struct handler){.cb = cb, .arg = arg};
	return 0;
}

/* ---- the loop ---- */

static int open_timerfd(struct loop *l)
{
	l->timerfd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->timerfd < 0) {
		l->relative = true;
		l->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	}
	if (l->timerfd < 0)
		return -errno;
	return loop_watch(l, l->timerfd, LOOP_READ, on_timerfd, l);
}

int loop_make(struct loop **ret)
{
	struct loop *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->timerfd = -1;
	l->signalfd = -1;
	sigemptyset(&l->signals);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	err = l->epoll < 0 ? -errno : open_timerfd(l);
	if (err) {
		loop_free(l);
		return err;
	}
	*ret = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->n_timers)
		loop_timer_stop(l, l->heap[l->n_timers]);
	if (l->signalfd >= 0)
		close(l->signalfd);
	if (l->timerfd >= 0)
		close(l->timerfd);
	if (l->epoll >= 0)
		close(l->epoll);
	free(l->heap);
	free(l->watched);
	free(l);
}

void loop_stop(struct loop *l, int code)
{
	l->stopped = true;
	l->code = code;
}

static int one_turn(struct loop *l)
{
	struct epoll_event ready[BATCH];
	int timeout, n, err = arm(l, &timeout);

	if (err)
		return err;
	n = epoll_wait(l->epoll, ready, BATCH, timeout);
	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n && !l->stopped; i++)
		hand_out(l, &ready[i]);
	fire(l);
	return 0;
}

int loop_run(struct loop *l)
{
	int err = 0;

	if (l->running)
		return -EBUSY;
	l->running = true;
	while (!err && !l->stopped)
		err = one_turn(l);
	l->running = false;
	if (err)
		return err;
	l->stopped = false;
	return l->code;
}
