/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_loop_run.c - the loop's signals, its begin and its end
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/unit/loop_rig.h"

/* ---- signals ---- */

static unsigned int caught[65];

static void note_signal(void *arg, int signal)
{
	(void)arg;
	caught[signal]++;
	if (signal == SIGTERM)
		loop_stop(l, 15);
}

static void signals_come_as_callbacks(void **state)
{
	sigset_t pending;

	(void)state;
	memset(caught, 0, sizeof(caught));
	assert_int_equal(loop_signal(l, SIGHUP, note_signal, NULL), 0);
	assert_int_equal(loop_signal(l, SIGTERM, note_signal, NULL), 0);
	assert_int_equal(loop_signal(l, SIGUSR1, note_signal, NULL), 0);
	raise(SIGHUP);
	raise(SIGUSR1);
	raise(SIGTERM);
	assert_int_equal(loop_run(l), 15);
	run_for(5 * MS); /* what the stop left */
	assert_int_equal(caught[SIGHUP], 1);
	assert_int_equal(caught[SIGUSR1], 1);
	assert_int_equal(caught[SIGTERM], 1);
	sigpending(&pending);
	assert_false(sigismember(&pending, SIGHUP));
	assert_int_equal(loop_signal(l, SIGKILL, note_signal, NULL), -EINVAL);
	assert_int_equal(loop_signal(l, 0, note_signal, NULL), -EINVAL);
	assert_int_equal(loop_signal(l, 65, note_signal, NULL), -EINVAL);
	assert_int_equal(loop_signal(l, SIGHUP, NULL, NULL), -EINVAL);
}

static void ignore(int signal)
{
	caught[signal]++;
}

static void a_signal_of_others_does_not_end_it(void **state)
{
	struct sigaction act = {.sa_handler = ignore}, was;
	struct itimerval often = {{0, 2000}, {0, 2000}}, never = {0};

	(void)state;
	memset(caught, 0, sizeof(caught));
	assert_int_equal(sigaction(SIGALRM, &act, &was), 0);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 1000 && caught[SIGALRM] < 3; i++)
		run_for(5 * MS);
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &was, NULL);
	assert_true(caught[SIGALRM] > 2);
}

/* ---- begin and end ---- */

static void stop_and_count(void *arg, int fd, unsigned int ready)
{
	count_stray(arg, fd, ready);
	loop_stop(l, 5);
}

static void what_is_ready_when_it_stops_comes_at_the_next_run(void **state)
{
	int a[2], b[2];

	(void)state;
	full_pipe(a);
	full_pipe(b);
	strays = 0;
	assert_int_equal(loop_watch(l, a[0], LOOP_READ, stop_and_count, NULL), 0);
	assert_int_equal(loop_watch(l, b[0], LOOP_READ, stop_and_count, NULL), 0);
	assert_int_equal(loop_run(l), 5);
	assert_int_equal(strays, 1);
	assert_int_equal(loop_run(l), 5);
	assert_int_equal(strays, 2);
	loop_unwatch(l, a[0]);
	loop_unwatch(l, b[0]);
	close_both(a);
	close_both(b);
}

static void again_within_itself(void *arg, uint64_t now)
{
	int *got = arg;

	(void)now;
	*got = loop_run(l);
	loop_stop(l, 4);
}

static void stop_has_the_last_word(void **state)
{
	int got = 0;

	(void)state;
	loop_stop(l, -ENOENT);
	assert_int_equal(loop_run(l), -ENOENT);
	/* the second of two at one time is not run, and is the next run's */
	loop_timer_set(l, &timers[0], 1, note_delay, &(uint64_t){0});
	loop_timer_set(l, &timers[1], 2, note_time, &timers[1]);
	assert_int_equal(loop_run(l), 7);
	assert_int_equal(n_fired, 0);
	run_for(MS);
	assert_int_equal(n_fired, 1);
	loop_timer_set(l, &timers[0], 1, again_within_itself, &got);
	assert_int_equal(loop_run(l), 4);
	assert_int_equal(got, -EBUSY);
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void a_half_built_one_leaves_nothing(void **state)
{
	struct rlimit was, tight;
	struct loop *other = (struct loop *)&other;
	int before = count_fds();

	(void)state;
	loop_free(NULL);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	for (int spare = 0; spare < 2; spare++) {
		int free_fd = dup(0);

		close(free_fd);
		tight = (struct rlimit){(rlim_t)(free_fd + spare), was.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
		assert_int_equal(loop_make(&other), -EMFILE);
		setrlimit(RLIMIT_NOFILE, &was);
		assert_ptr_equal(other, &other);
	}
	assert_int_equal(count_fds(), before);
	assert_int_equal(loop_make(&other), 0);
	loop_timer_set(other, &timers[0], UINT64_MAX, note_time, NULL);
	assert_int_equal(loop_signal(other, SIGUSR2, note_signal, NULL), 0);
	loop_free(other);
	assert_int_equal(timers[0].place, 0);
	assert_int_equal(count_fds(), before);
}

/* timerfd_create(CLOCK_BOOTTIME) fails as on a kernel that does not know it. */
static void refuse_boottime(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_timerfd_create, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_BOOTTIME, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(f) / sizeof(*f), f};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(77);
}

static int without_boottime(void)
{
	uint64_t at = 0, before, begun;

	alarm(10);
	refuse_boottime();
	if (loop_make(&l))
		return 1;
	begun = loop_now();
	before = cpu_ns();
	if (loop_timer_set(l, &timers[0], begun + 30 * MS, note_delay, &at) || loop_run(l) != 7)
		return 2;
	if (at < begun + 30 * MS || at > begun + 2000 * MS)
		return 3;
	return cpu_ns() - before < 15 * MS ? 0 : 4;
}

/* As after a long sleep: the two clocks are far apart. It begins with the next child. */
static void be_as_after_a_sleep(void)
{
	static const char offset[] = "boottime 100000 0\n";
	int fd;

	if (unshare(CLONE_NEWTIME))
		return;
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, offset, strlen(offset)) < 0)
		print_message("no time namespace: the clocks are alike\n");
	close(fd);
}

static int in_a_child(int (*f)(void))
{
	int status = 0;
	pid_t child = fork();

	if (!child)
		_exit(f());
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static int asleep_and_without_boottime(void)
{
	be_as_after_a_sleep();
	return in_a_child(without_boottime);
}

static void the_monotonic_clock_does_where_the_other_is_refused(void **state)
{
	int code = in_a_child(asleep_and_without_boottime);

	(void)state;
	if (code == 77)
		skip(); /* seccomp is refused here */
	assert_int_equal(code, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, clean, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(signals_come_as_callbacks),
		T(a_signal_of_others_does_not_end_it),
		T(stop_has_the_last_word),
		T(what_is_ready_when_it_stops_comes_at_the_next_run),
		T(a_half_built_one_leaves_nothing),
		T(the_monotonic_clock_does_where_the_other_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
