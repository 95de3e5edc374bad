/* SPDX-License-Identifier: GPL-2.0-only */
#include "wg/burst.h"

#include <errno.h>
#include <poll.h>
#include <sys/random.h>
#include <time.h>

#include "wg/probe.h"

struct target {
	struct probe *probe;
	unsigned int left; /* to be sent */
	uint64_t next;	   /* when */
};

struct burst {
	struct target target[BURST_MAX];
	unsigned int n;
	uint64_t interval, timeout;
	burst_fn fn;
	void *arg;
	int decided;
};

static uint64_t clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Up to a fifth of the interval; without randomness, the same for all. */
static uint64_t jitter(const struct burst *b)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = UINT32_MAX / 2;
	return b->interval / 5 * (random >> 16) / 65536;
}

static void decide(struct burst *b, unsigned int index, bool answered, uint64_t rtt)
{
	b->decided++;
	b->fn(index, answered, rtt, b->arg);
}

/* Takes in, gives up, sends. When there is something to do next; 0: never. */
static uint64_t step(struct burst *b, unsigned int index, uint64_t now, int *ret_err)
{
	struct target *t = &b->target[index];
	struct probe_event e;
	uint64_t loss;
	int n;

	while ((n = probe_read(t->probe, now, &e)) > 0)
		if (!e.size)
			decide(b, index, true, e.rtt_ns);
	if (n < 0)
		*ret_err = n;
	for (unsigned int lost = probe_expire(t->probe, now, b->timeout); lost; lost--)
		decide(b, index, false, 0);
	if (t->left && now >= t->next) {
		if (probe_send(t->probe, now))
			decide(b, index, false, 0);
		t->left--;
		t->next = now + b->interval / 10 * 9 + jitter(b);
	}
	loss = window_next_loss(probe_window(t->probe), b->timeout);
	return t->left && (!loss || t->next < loss) ? t->next : loss;
}

int burst_run(struct probe *const *probes, const struct burst_rules *r, unsigned int n, burst_fn fn,
	      void *arg)
{
	uint64_t least = r->timeout_ns / 48, now = clock_now(), end = now + r->limit_ns;
	struct burst b = {.n = n, .timeout = r->timeout_ns, .fn = fn, .arg = arg};
	struct pollfd fds[BURST_MAX];

	if (n > BURST_MAX)
		return -EINVAL;
	b.interval = r->interval_ns > least ? r->interval_ns : least;
	for (unsigned int i = 0; i < n; i++) {
		b.target[i] = (struct target){probes[i], r->count, now + jitter(&b)};
		fds[i] = (struct pollfd){.fd = probe_fd(probes[i]), .events = POLLIN};
	}
	for (;;) {
		uint64_t next = 0;
		struct timespec left;
		int err = 0;

		now = clock_now();
		for (unsigned int i = 0; i < n; i++) {
			uint64_t at = step(&b, i, now, &err);

			if (at && (!next || at < next))
				next = at;
		}
		if (err)
			return err;
		if (!next || now >= end)
			return b.decided;
		next = next < end ? next : end;
		next = next > now ? next - now : 0;
		left.tv_sec = (time_t)(next / 1000000000u);
		left.tv_nsec = (long)(next % 1000000000u);
		if (ppoll(fds, n, &left, NULL) < 0 && errno != EINTR)
			return -errno;
	}
}
