/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_loop.c - descriptors and timers; test_loop_run.c has signals, begin and end
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/unit/loop_rig.h"

/* ---- descriptors ---- */

struct seen {
	unsigned int times, ready;
	int fd;
};

static void note(void *arg, int fd, unsigned int ready)
{
	struct seen *s = arg;
	char c;

	s->times++;
	s->ready = ready;
	s->fd = fd;
	if (ready & LOOP_READ && read(fd, &c, 1) <= 0)
		loop_unwatch(l, fd);
	if (ready & LOOP_WRITE)
		loop_unwatch(l, fd);
}

static void what_is_ready_is_handed_out_once(void **state)
{
	struct seen in = {0}, out = {0};
	int fd[2];

	(void)state;
	full_pipe(fd);
	assert_int_equal(loop_watch(l, fd[0], LOOP_READ, note, &in), 0);
	assert_int_equal(loop_watch(l, fd[1], LOOP_WRITE, note, &out), 0);
	run_for(20 * MS);
	assert_int_equal(in.times, 1);
	assert_int_equal(in.ready, LOOP_READ);
	assert_int_equal(in.fd, fd[0]);
	assert_int_equal(out.times, 1);
	assert_int_equal(out.ready, LOOP_WRITE);
	loop_unwatch(l, fd[0]);
	close_both(fd);
}

static void a_hang_up_comes_as_what_was_asked_for(void **state)
{
	struct seen in = {0}, out = {0};
	int fd[2], other[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(pipe(other), 0);
	assert_int_equal(loop_watch(l, fd[0], LOOP_READ, note, &in), 0);
	assert_int_equal(loop_watch(l, other[1], LOOP_WRITE, note, &out), 0);
	close(fd[1]);
	close(other[0]);
	run_for(10 * MS);
	assert_int_equal(in.times, 1);
	assert_int_equal(in.ready, LOOP_READ);
	assert_int_equal(out.ready, LOOP_WRITE);
	close(fd[0]);
	close(other[1]);
}

static void to_watch_again_changes_it(void **state)
{
	struct seen first = {0}, second = {0};
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(loop_watch(l, fd[0], LOOP_READ | LOOP_WRITE, note, &first), 0);
	assert_int_equal(loop_watch(l, fd[0], LOOP_READ, note, &second), 0);
	run_for(5 * MS);
	assert_int_equal(first.times + second.times, 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	run_for(5 * MS);
	assert_int_equal(first.times, 0);
	assert_int_equal(second.times, 1);
	loop_unwatch(l, fd[0]);
	close_both(fd);
}

static void what_cannot_be_watched_is_refused(void **state)
{
	struct seen s = {0};
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(loop_watch(l, -1, LOOP_READ, note, &s), -EBADF);
	assert_int_equal(loop_watch(l, 999, LOOP_READ, note, &s), -EBADF);
	assert_int_equal(loop_watch(l, fd, 0, note, &s), -EINVAL);
	assert_int_equal(loop_watch(l, fd, 4, note, &s), -EINVAL);
	assert_int_equal(loop_watch(l, fd, LOOP_READ, NULL, &s), -EINVAL);
	assert_int_equal(loop_watch(l, fd, LOOP_READ, note, &s), -EPERM);
	loop_unwatch(l, -1);
	loop_unwatch(l, fd);
	loop_unwatch(l, 100000);
	close(fd);
}

/* Of two that are ready, the first to come takes the other away, and is the only one. */
struct rival {
	int mine, other;
	unsigned int times;
};

static void end_the_other(void *arg, int fd, unsigned int ready)
{
	struct rival *r = arg;

	(void)ready;
	r->times++;
	loop_unwatch(l, r->other);
	loop_unwatch(l, fd);
}

/* The other is closed, and something new, with nothing to read, has its number. */
static void replace_the_other(void *arg, int fd, unsigned int ready)
{
	struct rival *r = arg;
	int fresh[2];

	(void)ready;
	r->times++;
	loop_unwatch(l, r->other);
	assert_int_equal(pipe2(fresh, O_CLOEXEC), 0);
	assert_int_equal(dup2(fresh[0], r->other), r->other);
	close(fresh[0]);
	assert_int_equal(loop_watch(l, r->other, LOOP_READ, count_stray, NULL), 0);
	loop_unwatch(l, fd);
	/* its writing end stays open, or it would hang up; the process's end closes it */
}

/* Closed without a word, and another in its place. */
static void replace_it_unheard(void *arg, int fd, unsigned int ready)
{
	struct rival *r = arg;
	int fresh[2];

	(void)ready;
	r->times++;
	close(r->other);
	assert_int_equal(pipe2(fresh, O_CLOEXEC), 0);
	if (fresh[0] != r->other) {
		assert_int_equal(dup2(fresh[0], r->other), r->other);
		close(fresh[0]);
	}
	assert_int_equal(loop_watch(l, r->other, LOOP_READ, count_stray, NULL), 0);
	loop_unwatch(l, fd);
}

static void fight(loop_fd_cb cb)
{
	int a[2], b[2];
	struct rival first, second;

	full_pipe(a);
	full_pipe(b);
	first = (struct rival){a[0], b[0], 0};
	second = (struct rival){b[0], a[0], 0};
	strays = 0;
	assert_int_equal(loop_watch(l, a[0], LOOP_READ, cb, &first), 0);
	assert_int_equal(loop_watch(l, b[0], LOOP_READ, cb, &second), 0);
	run_for(10 * MS);
	assert_int_equal(first.times + second.times, 1);
	assert_int_equal(strays, 0);
	loop_unwatch(l, a[0]);
	loop_unwatch(l, b[0]);
	close_both(a);
	close_both(b);
}

static void one_that_was_taken_away_hears_no_more(void **state)
{
	(void)state;
	fight(end_the_other);
}

static void a_new_one_in_its_place_hears_nothing_of_the_old_one_s(void **state)
{
	(void)state;
	fight(replace_the_other);
	fight(replace_it_unheard);
}

static void more_than_one_turn_holds_are_all_served(void **state)
{
	static struct seen seen[200];
	static int fd[200][2];

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 200; i++) {
		full_pipe(fd[i]);
		assert_int_equal(loop_watch(l, fd[i][0], LOOP_READ, note, &seen[i]), 0);
	}
	run_for(50 * MS);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(seen[i].times, 1);
		loop_unwatch(l, fd[i][0]);
		close_both(fd[i]);
	}
}

/* ---- timers ---- */

static void timers_fire_in_order_and_not_early(void **state)
{
	uint64_t base = loop_now() + 5 * MS;

	(void)state;
	for (unsigned int i = 0; i < MANY; i++) {
		due[i] = base + (i * 7919 % MANY) * 10000;
		assert_int_equal(loop_timer_set(l, &timers[i], due[i], note_time, &timers[i]), 0);
	}
	/* every third is taken out, every fifth moved behind all others */
	for (unsigned int i = 0; i < MANY; i += 3)
		loop_timer_stop(l, &timers[i]);
	for (unsigned int i = 0; i < MANY; i += 5) {
		due[i] = base + 15 * MS;
		loop_timer_set(l, &timers[i], due[i], note_time, &timers[i]);
	}
	run_for(30 * MS);
	/* 333 stay out: those that are multiples of 3 but not of 5 */
	assert_int_equal(n_fired, MANY - 334 + 67);
	for (unsigned int i = 1; i < n_fired - 200; i++)
		assert_true(fired[i - 1] * 7919 % MANY < fired[i] * 7919 % MANY);
	for (unsigned int i = n_fired - 200; i < n_fired; i++)
		assert_int_equal(fired[i] % 5, 0);
}

static void many_at_one_instant_all_fire(void **state)
{
	uint64_t at = loop_now() + 2 * MS;

	(void)state;
	for (unsigned int i = 0; i < MANY; i++)
		loop_timer_set(l, &timers[i], at, note_time, &timers[i]);
	run_for(20 * MS);
	assert_int_equal(n_fired, MANY);
}

static void stop_all_others(void *arg, uint64_t now)
{
	struct loop_timer *t = arg;

	(void)now;
	n_fired++;
	for (unsigned int i = 0; i < MANY; i++)
		if (&timers[i] != t)
			loop_timer_stop(l, &timers[i]);
}

static void one_that_was_stopped_by_another_does_not_fire(void **state)
{
	uint64_t at = loop_now() + 2 * MS;

	(void)state;
	for (unsigned int i = 0; i < MANY; i++)
		loop_timer_set(l, &timers[i], at, stop_all_others, &timers[i]);
	run_for(10 * MS);
	assert_int_equal(n_fired, 1);
}

static void a_timer_is_precise_below_a_millisecond(void **state)
{
	uint64_t best = UINT64_MAX, at, now;

	(void)state;
	for (int i = 0; i < 20; i++) {
		at = loop_now() + 300000;
		assert_int_equal(loop_timer_set(l, &timers[0], at, note_delay, &now), 0);
		assert_int_equal(loop_run(l), 7);
		assert_true(now >= at);
		best = now - at < best ? now - at : best;
	}
	assert_true(best < MS / 2);
}

/* Sets itself into the past again and again; a descriptor is to be heard all the same. */
static void set_again(void *arg, uint64_t now)
{
	(void)arg;
	n_fired++;
	loop_timer_set(l, &timers[0], n_fired % 2 ? 0 : now - 1, set_again, NULL);
}

static void stop_at_byte(void *arg, int fd, unsigned int ready)
{
	(void)arg;
	(void)fd;
	(void)ready;
	loop_stop(l, 3);
}

static void the_past_is_the_next_turn_s_and_starves_nobody(void **state)
{
	int fd[2];

	(void)state;
	loop_timer_set(l, &timers[0], 1, set_again, NULL);
	run_for(50 * MS);
	assert_true(n_fired > 3);
	full_pipe(fd);
	n_fired = 0;
	assert_int_equal(loop_watch(l, fd[0], LOOP_READ, stop_at_byte, NULL), 0);
	assert_int_equal(loop_run(l), 3);
	assert_true(n_fired <= 1);
	loop_unwatch(l, fd[0]);
	close_both(fd);
}

static void a_descriptor_that_is_always_ready_starves_no_timer(void **state)
{
	int fd[2];

	(void)state;
	full_pipe(fd);
	strays = 0;
	assert_int_equal(loop_watch(l, fd[0], LOOP_READ, count_stray, NULL), 0);
	run_for(50 * MS);
	assert_true(strays > 3);
	loop_unwatch(l, fd[0]);
	close_both(fd);
}

static void waiting_costs_nothing(void **state)
{
	uint64_t before;

	(void)state;
	/* one that was armed and taken back, one that is far off */
	loop_timer_set(l, &timers[0], loop_now() + 10 * MS, note_time, &timers[0]);
	loop_timer_set(l, &timers[1], UINT64_MAX, note_time, &timers[1]);
	run_for(5 * MS);
	loop_timer_stop(l, &timers[0]);
	before = cpu_ns();
	run_for(300 * MS);
	assert_true(cpu_ns() - before < 20 * MS);
	assert_int_equal(n_fired, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, clean, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_ready_is_handed_out_once),
		T(a_hang_up_comes_as_what_was_asked_for),
		T(to_watch_again_changes_it),
		T(what_cannot_be_watched_is_refused),
		T(one_that_was_taken_away_hears_no_more),
		T(a_new_one_in_its_place_hears_nothing_of_the_old_one_s),
		T(more_than_one_turn_holds_are_all_served),
		T(timers_fire_in_order_and_not_early),
		T(many_at_one_instant_all_fire),
		T(one_that_was_stopped_by_another_does_not_fire),
		T(a_timer_is_precise_below_a_millisecond),
		T(the_past_is_the_next_turn_s_and_starves_nobody),
		T(a_descriptor_that_is_always_ready_starves_no_timer),
		T(waiting_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
