/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * spawn: how long does a command take as a whole process?
 *
 *   spawn [-b BUSY] [-w] N COMMAND ARGS...
 *
 * Runs it N times, one after the other, output discarded, and prints one line of JSON with
 * microseconds. With -b as many busy loops run beside it; with -w three runs come first that are
 * not counted. Exit 1 when a run's exit code is not 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_BUSY 64

extern char **environ;

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Microseconds, or below 0: it failed. */
static double run_once(char **argv)
{
	posix_spawn_file_actions_t quiet;
	double began;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	began = now_us();
	if (posix_spawnp(&pid, argv[0], &quiet, NULL, argv, environ)) {
		fprintf(stderr, "spawn: %s: %s\n", argv[0], strerror(errno));
		exit(2);
	}
	waitpid(pid, &status, 0);
	posix_spawn_file_actions_destroy(&quiet);
	return status ? -1 : now_us() - began;
}

static pid_t be_busy(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (volatile unsigned long i = 0;; i++)
		;
}

int main(int argc, char **argv)
{
	int busy = 0, warm = 0, opt, code = 0;
	pid_t loops[MAX_BUSY];
	double *times;
	long n;

	while ((opt = getopt(argc, argv, "+b:w")) != -1) {
		if (opt == 'b')
			busy = atoi(optarg);
		else if (opt == 'w')
			warm = 3;
		else
			return 2;
	}
	if (argc - optind < 2 || (n = atol(argv[optind])) < 1 || busy < 0 || busy > MAX_BUSY) {
		fprintf(stderr, "usage: spawn [-b BUSY] [-w] N COMMAND ARGS...\n");
		return 2;
	}
	times = calloc((size_t)n, sizeof(*times));
	if (!times)
		return 2;
	for (int i = 0; i < busy; i++)
		loops[i] = be_busy();
	for (int i = 0; i < warm; i++)
		run_once(argv + optind + 1);
	for (long i = 0; i < n; i++) {
		times[i] = run_once(argv + optind + 1);
		code |= times[i] < 0;
	}
	for (int i = 0; i < busy; i++) {
		kill(loops[i], SIGKILL);
		waitpid(loops[i], NULL, 0);
	}
	qsort(times, (size_t)n, sizeof(*times), by_value);
	printf("{\"n\":%ld,\"busy\":%d,\"min_us\":%.0f,\"median_us\":%.0f,\"p99_us\":%.0f,"
	       "\"max_us\":%.0f}\n",
	       n, busy, times[0], times[n / 2], times[n * 99 / 100], times[n - 1]);
	free(times);
	return code;
}
