/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRIES 1000000 /* each lost round is somebody else's success */

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t control_boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

uint64_t control_real_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

int control_get(const struct shift_control *c, struct shift_record *ret, uint64_t *ret_head)
{
	for (int i = 0; i < TRIES; i++) {
		uint64_t head = __atomic_load_n(&c->head, __ATOMIC_ACQUIRE);
		uint32_t index = head & SHIFT_INDEX_MASK;
		const struct shift_record *r;

		if (!index)
			break;
		r = &c->record[index - 1];
		if (__atomic_load_n(&r->generation, __ATOMIC_ACQUIRE) != head >> SHIFT_INDEX_BITS)
			continue;
		*ret = *r;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&c->head, __ATOMIC_ACQUIRE) != head)
			continue;
		*ret_head = head;
		return 0;
	}
	return -ENOENT;
}

/*
 * A claim names its process: the pid namespace's inode (32 bits), the low bits of its start time (10),
 * its pid there (22). Only a process that is gone loses its claim: one that was stopped in the
 * middle may write yet, so it is never robbed. From another pid namespace nobody can tell, and the
 * place is left alone; there are 30 others.
 */
#define CLAIM_PID_BITS	 22
#define CLAIM_START_BITS 10

/* The start time of a process in clock ticks since boot, cut to CLAIM_START_BITS; 0: unknown. */
static uint64_t start_of(uint32_t pid)
{
	char path[32], text[512], *at;
	unsigned long long start = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	at = strrchr(text, ')'); /* the name may hold anything */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at)
		sscanf(at, "%llu", &start);
	return start & ((1u << CLAIM_START_BITS) - 1);
}

static uint64_t pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ? 0 : (uint32_t)st.st_ino;
}

static uint64_t my_claim(void)
{
	static uint64_t claim;
	static pid_t pid;

	if (pid != getpid()) {
		pid = getpid();
		claim = pid_namespace() << 32 | start_of((uint32_t)pid) << CLAIM_PID_BITS |
			(uint32_t)pid;
	}
	return claim;
}

static int claim_is_dead(uint64_t claim, uint64_t mine)
{
	uint32_t pid = claim & ((1u << CLAIM_PID_BITS) - 1);

	if (claim >> 32 != mine >> 32)
		return 0;
	if (kill((pid_t)pid, 0) && errno == ESRCH)
		return 1;
	return (claim & 0xffffffff) != (start_of(pid) << CLAIM_PID_BITS | pid);
}

/* A place that is not the current one and nobody writes to: 1..31, or -EBUSY. */
static int claim_place(struct shift_control *c, uint64_t head, uint64_t mine)
{
	uint32_t current = head & SHIFT_INDEX_MASK;

	for (uint32_t i = 0; i < SHIFT_RECORDS - 1; i++) {
		uint32_t place = (current + i) % SHIFT_RECORDS; /* the one after `current`, less 1 */
		uint64_t seen = __atomic_load_n(&c->claims[place], __ATOMIC_ACQUIRE);

		if (seen && !claim_is_dead(seen, mine))
			continue;
		if (__atomic_compare_exchange_n(&c->claims[place], &seen, mine, 0,
						__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return (int)place + 1;
	}
	return -EBUSY;
}

int control_publish(struct shift_control *c, uint64_t head, const struct shift_record *next)
{
	uint64_t mine = my_claim();
	uint64_t generation = (head >> SHIFT_INDEX_BITS) + 1, expected = head;
	int place = claim_place(c, head, mine), won;
	struct shift_record *r;

	if (place < 0)
		return place;
	r = &c->record[place - 1];
	/* The head may have moved, and to this very place, between reading it and the claim. */
	if (__atomic_load_n(&c->head, __ATOMIC_ACQUIRE) != head) {
		__atomic_store_n(&c->claims[place - 1], 0, __ATOMIC_RELEASE);
		return -EAGAIN;
	}
	__atomic_store_n(&r->generation, 0, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memcpy((char *)r + sizeof(r->generation), (const char *)next + sizeof(next->generation),
	       sizeof(*r) - sizeof(r->generation));
	__atomic_store_n(&r->generation, generation, __ATOMIC_RELEASE);
	won = __atomic_compare_exchange_n(&c->head, &expected,
					  generation << SHIFT_INDEX_BITS | (uint32_t)place, 0,
					  __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
	__atomic_store_n(&c->claims[place - 1], 0, __ATOMIC_RELEASE);
	return won ? 0 : -EAGAIN;
}

int control_change(struct shift_control *c, control_edit edit, void *arg,
		   struct shift_record *ret_before, struct shift_record *ret_after)
{
	int err = -EBUSY;

	for (int i = 0; i < TRIES; i++) {
		struct shift_record before, after;
		uint64_t head = 0;

		memset(&before, 0, sizeof(before));
		if (control_get(c, &before, &head))
			head = __atomic_load_n(&c->head, __ATOMIC_ACQUIRE);
		after = before;
		err = edit(&after, arg);
		if (!err)
			err = control_publish(c, head, &after);
		else if (err == 1)
			after = before;
		if (err == -EAGAIN || err == -EBUSY)
			continue;
		if (ret_before)
			*ret_before = before;
		if (ret_after)
			*ret_after = after;
		return err < 0 ? err : 0;
	}
	return err;
}
