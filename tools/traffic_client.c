/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The client's engine: paces connections and owns the event loop; traffic_conn.c has the life of a
 * single connection.
 *
 * Open loop: a connection is begun when its time has come, however the ones before it fare, so a
 * slow server shows as latency and not as a lower rate. Only --rate max is a closed loop, with
 * --inflight connections at a time.
 *
 * Zero tolerance: a connection ends well only when every byte was right and both FINs were seen.
 * The client normally shuts down first and then waits for the server's FIN, so a connection that
 * breaks while it closes is noticed too. A reset is an error, except inside a window in which
 * resets are expected (--expect-reset, or between SIGUSR1 and SIGUSR2): then it is counted apart
 * and the same client connects again at once, which must then succeed.
 *
 * Single-threaded: edge-triggered epoll, signals through a signalfd. SIGINT and SIGTERM stop the
 * opening and let what is under way finish; a second one ends at once. Weakness: epoll's
 * millisecond is the pace's grain.
 */
#include "tools/traffic.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EVENTS	    256
#define DRAIN_EXTRA 1000000

static void stop(struct client *cl)
{
	uint64_t now = now_us();

	if (cl->stopping) {
		cl->hard_end = now;
		return;
	}
	cl->stopping = true;
	cl->hard_end = now + to_us(cl->opt->timeout) + DRAIN_EXTRA;
	/* one that rises changes places only with those before it, which were looked at already */
	for (uint32_t i = 0; i < cl->heap_len; i++)
		if (cl->heap[i]->phase == PHASE_IDLE && cl->heap[i]->due > now)
			conn_due(cl, cl->heap[i], now);
}

static void read_signals(struct client *cl)
{
	struct signalfd_siginfo info;

	while (read(cl->sigfd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			cl->expect_reset = true;
		else if (info.ssi_signo == SIGUSR2)
			cl->expect_reset = false;
		else
			stop(cl);
	}
}

/* All connections that this run wants were begun. */
static bool all_begun(const struct client *cl)
{
	return cl->stopping || (cl->opt->count && cl->scheduled >= cl->opt->count);
}

/* How many more may be open: `hold` and `udp` keep a number, `http` has a bound. */
static uint64_t room(const struct client *cl)
{
	uint64_t most = cl->opt->connections ? cl->opt->connections : cl->opt->inflight;

	return most > cl->st.active ? most - cl->st.active : 0;
}

/* How many connections should be begun now. */
static uint64_t due_now(const struct client *cl, uint64_t now)
{
	const struct options *opt = cl->opt;
	uint64_t due;

	if (all_begun(cl))
		return 0;
	if (opt->rate < 0)
		due = UINT64_MAX;
	else
		due = (uint64_t)((double)(now - cl->st.began) * opt->rate / 1e6) + 1;
	due = due > cl->scheduled ? due - cl->scheduled : 0;
	if (opt->count && due > opt->count - cl->scheduled)
		due = opt->count - cl->scheduled;
	return due < room(cl) ? due : room(cl);
}

static int wait_ms(const struct client *cl, uint64_t now)
{
	const struct options *opt = cl->opt;
	uint64_t next = now + 100000;

	if (cl->heap_len && cl->heap[0]->due < next)
		next = cl->heap[0]->due;
	if (!all_begun(cl) && opt->rate > 0 && room(cl)) {
		uint64_t begin =
			cl->st.began + (uint64_t)((double)cl->scheduled * 1e6 / opt->rate) + 1;

		if (begin < next)
			next = begin;
	}
	if (!cl->stopping && cl->ends < next)
		next = cl->ends;
	return next <= now ? 0 : (int)((next - now + 999) / 1000);
}

static void run(struct client *cl)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		uint64_t now = now_us(), n;

		if (!cl->stopping && now >= cl->ends)
			stop(cl);
		for (n = due_now(cl, now); n; n--) {
			conn_open(cl, NULL);
			cl->scheduled++;
		}
		while (cl->heap_len && cl->heap[0]->due <= now)
			conn_expired(cl, cl->heap[0]);
		if (cl->opt->report > 0 && now >= cl->next_report) {
			stats_report(&cl->st, false);
			cl->next_report += to_us(cl->opt->report);
		}
		if (all_begun(cl) && !cl->heap_len)
			return;
		if (cl->stopping && now >= cl->hard_end)
			return;
		int got = epoll_wait(cl->epfd, events, EVENTS, wait_ms(cl, now));

		for (int i = 0; i < got; i++) {
			if (events[i].data.ptr)
				conn_event(cl, events[i].data.ptr, events[i].events);
			else
				read_signals(cl);
		}
	}
}

static int client_setup(struct client *cl)
{
	struct epoll_event ev = {.events = EPOLLIN};
	sigset_t set;
	int err = stats_init(&cl->st, cl->opt);

	if (err)
		return err;
	raise_open_files();
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	cl->sigfd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	cl->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (cl->sigfd < 0 || cl->epfd < 0 ||
	    epoll_ctl(cl->epfd, EPOLL_CTL_ADD, cl->sigfd, &ev) != 0)
		return -errno;
	return 0;
}

int client_run(const struct options *opt, const struct talk *talk)
{
	struct client *cl = calloc(1, sizeof(*cl));
	int err = cl ? 0 : -ENOMEM;
	bool failed;

	if (cl) {
		cl->opt = opt;
		cl->talk = talk;
		cl->expect_reset = opt->expect_reset;
		err = client_setup(cl);
	}
	if (err) {
		fprintf(stderr, "traffic: cannot start: %s\n", strerror(-err));
		free(cl);
		return EXIT_FAILURE;
	}
	cl->ends = opt->duration > 0 ? cl->st.began + to_us(opt->duration) : UINT64_MAX;
	cl->next_report = cl->st.began + to_us(opt->report);
	run(cl);
	stats_report(&cl->st, true);
	if (opt->map) {
		err = stats_write_map(&cl->st);
		if (err)
			fprintf(stderr, "traffic: %s: %s\n", opt->map, strerror(-err));
	}
	failed = err || (cl->st.errors && !opt->allow_errors) || !cl->st.requests;
	while (cl->free) {
		struct conn *c = cl->free;

		cl->free = c->next;
		free(c);
	}
	free(cl->heap);
	stats_free(&cl->st);
	close(cl->epfd);
	close(cl->sigfd);
	free(cl);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
