/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "wg/mtu.h"
#include "wg/probe.h"

#define WAIT_LEAST 100000000u  /* ns for an answer when answers come at once */
#define WAIT_MOST  1000000000u /* and before any came */

enum fate { PASSED, LOST, TOO_BIG };

static uint64_t clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t clamp_wait(uint64_t rtt)
{
	uint64_t wait = WAIT_LEAST + 4 * rtt;

	return wait < WAIT_MOST ? wait : WAIT_MOST;
}

/* Any answer to the size counts, also one to an earlier try of it. 1: *ret is known; 0: nothing
 * there now; −errno. */
static int look(struct probe *p, uint32_t size, uint64_t *wait, uint32_t *ret_mtu, enum fate *ret)
{
	for (;;) {
		struct probe_event e;
		int n = probe_read(p, clock_now(), &e);

		if (n <= 0)
			return n;
		if (e.size != size)
			continue;
		if (e.mtu) {
			*ret_mtu = e.mtu;
			*ret = TOO_BIG;
		} else {
			*wait = clamp_wait(e.rtt_ns);
			*ret = PASSED;
		}
		return 1;
	}
}

/* Sends one of the size and waits for its fate. 0; -ETIMEDOUT: the end came first; −errno. */
static int try_size(struct probe *p, uint32_t size, uint64_t end, uint64_t *wait, uint32_t *ret_mtu,
		    enum fate *ret)
{
	uint64_t now = clock_now(), until = now + *wait;
	uint16_t seq;
	int err = probe_send_sized(p, size, now, &seq);

	*ret_mtu = 0;
	if (err == -EMSGSIZE) {
		*ret = TOO_BIG;
		return 0;
	}
	if (err && err != -EAGAIN && err != -ENOBUFS)
		return err;
	for (;;) {
		struct pollfd fd = {.fd = probe_fd(p), .events = POLLIN};
		uint64_t stop = until < end ? until : end;
		struct timespec left;

		err = look(p, size, wait, ret_mtu, ret);
		if (err)
			return err < 0 ? err : 0;
		now = clock_now();
		if (now >= end)
			return -ETIMEDOUT;
		if (now >= until) {
			*ret = LOST;
			return 0;
		}
		left.tv_sec = (time_t)((stop - now) / 1000000000u);
		left.tv_nsec = (long)((stop - now) % 1000000000u);
		if (ppoll(&fd, 1, &left, NULL) < 0 && errno != EINTR)
			return -errno;
	}
}

int probe_mtu(struct probe *p, uint32_t floor, uint32_t top, uint64_t limit_ns, uint32_t *ret)
{
	uint64_t end = clock_now() + limit_ns, wait = WAIT_MOST;
	struct mtu_search search;
	struct window_stats stats;
	uint32_t size;

	window_stats(probe_window(p), &stats);
	if (stats.max_ns)
		wait = clamp_wait(stats.max_ns);
	mtu_search_start(&search, floor, top);
	while ((size = mtu_search_size(&search))) {
		uint32_t mtu;
		enum fate fate;
		int err = try_size(p, size, end, &wait, &mtu, &fate);

		if (err)
			return err;
		if (fate == TOO_BIG)
			mtu_search_too_big(&search, mtu);
		else
			mtu_search_result(&search, fate == PASSED);
	}
	*ret = search.good;
	return 0;
}
