/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

#define LOOKS	      64 /* at a record that others change meanwhile */
#define CLAIM_STALE_S 10
#define PATIENCE_NS   2000000000ull

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint16_t control_kept(const struct shift_record *r, uint64_t boot)
{
	return r->latched || shift_record_source(r, boot) != SHIFT_FROM_WEIGHT ? 0 : r->overall;
}

uint64_t control_boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

uint64_t control_real_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

/* Differs between processes and calls; nothing secret depends on it. */
static uint32_t chance(void)
{
	static uint64_t state;
	const void *random = (const void *)getauxval(AT_RANDOM); /* at any address */
	uint64_t seed = 0;

	if (random)
		memcpy(&seed, random, sizeof(seed));
	if (!state)
		state = seed ^ (uint64_t)getpid() << 32;
	state = shift_mix(state + 0x9e3779b97f4a7c15ull + clock_ns(CLOCK_MONOTONIC));
	return (uint32_t)(state >> 32) | 1;
}

/* ---- reading ------------------------------------------------------------------------------- */

static uint64_t generation_of(const struct shift_record *r)
{
	return __atomic_load_n(&r->generation, __ATOMIC_ACQUIRE);
}

/* Copies a record and says whether it is whole and of that generation. */
static bool copy_record(const struct shift_record *r, uint64_t generation, struct shift_record *ret)
{
	if (generation_of(r) != generation)
		return false;
	memcpy(ret, r, sizeof(*ret));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return generation_of(r) == generation &&
	       shift_record_generation(ret, generation >> SHIFT_CHECK_BITS) == generation;
}

/* The whole record that was published last. */
static void newest_whole(const struct shift_control *c, struct shift_record *ret)
{
	uint64_t best = 0;

	for (int i = 0; i < SHIFT_RECORDS; i++) {
		uint64_t g = generation_of(&c->record[i]);
		struct shift_record copy;

		if (g >> SHIFT_CHECK_BITS <= best >> SHIFT_CHECK_BITS ||
		    !copy_record(&c->record[i], g, &copy))
			continue;
		best = g;
		*ret = copy;
	}
}

int control_get(const struct shift_control *c, struct shift_record *ret, uint64_t *ret_head)
{
	for (int i = 0; i < LOOKS; i++) {
		uint64_t head = __atomic_load_n(&c->head, __ATOMIC_ACQUIRE);
		uint32_t index = head & SHIFT_INDEX_MASK;

		*ret_head = head;
		if (!index)
			return -ENOENT;
		if (copy_record(&c->record[index - 1], head >> SHIFT_INDEX_BITS, ret))
			return 0;
	}
	newest_whole(c, ret);
	return -EIO;
}

/* ---- writing ------------------------------------------------------------------------------- */

static uint64_t new_claim(void)
{
	return (control_boot_ns() / 1000000000) << 32 | chance();
}

static bool is_stale(uint64_t claim, uint64_t mine)
{
	return (uint32_t)(mine >> 32) - (uint32_t)(claim >> 32) > CLAIM_STALE_S;
}

/* A place that is not the current one and nobody writes to: 1..31, or -EBUSY. */
static int claim_place(struct shift_control *c, uint64_t head, uint64_t mine, bool force)
{
	uint32_t current = head & SHIFT_INDEX_MASK;

	for (uint32_t i = 0; i < (force ? 2 : 1) * (SHIFT_RECORDS - 1); i++) {
		/* The one after `current`, less 1; never `current` itself. */
		uint32_t place = (current + i % (SHIFT_RECORDS - 1)) % SHIFT_RECORDS;
		__u64 seen = __atomic_load_n(&c->claims[place], __ATOMIC_ACQUIRE);

		if (seen && !is_stale(seen, mine) && i < SHIFT_RECORDS - 1)
			continue;
		if (__atomic_compare_exchange_n(&c->claims[place], &seen, mine, 0, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			return (int)place + 1;
	}
	return -EBUSY;
}

static bool still_mine(const struct shift_control *c, int place, uint64_t mine)
{
	return __atomic_load_n(&c->claims[place - 1], __ATOMIC_ACQUIRE) == mine;
}

static void release(struct shift_control *c, int place, uint64_t mine)
{
	__u64 expected = mine;

	__atomic_compare_exchange_n(&c->claims[place - 1], &expected, 0, 0, __ATOMIC_RELEASE,
				    __ATOMIC_RELAXED);
}

/* Fills the claimed place and makes it current. */
static int write_and_swap(struct shift_control *c, uint64_t head, const struct shift_record *next,
			  int place, uint64_t mine)
{
	uint64_t count = (head >> SHIFT_INDEX_BITS >> SHIFT_CHECK_BITS) + 1;
	uint64_t generation = shift_record_generation(next, count);
	struct shift_record *r = &c->record[place - 1];
	__u64 expected = head;

	/* The head may have moved, and to this very place, between reading it and the claim. */
	if (__atomic_load_n(&c->head, __ATOMIC_ACQUIRE) != head || !still_mine(c, place, mine))
		return -EAGAIN;
	__atomic_store_n(&r->generation, 0, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memcpy((char *)r + sizeof(r->generation), (const char *)next + sizeof(next->generation),
	       sizeof(*r) - sizeof(r->generation));
	if (!still_mine(c, place, mine))
		return -EAGAIN;
	__atomic_store_n(&r->generation, generation, __ATOMIC_RELEASE);
	if (next->cut_epoch)
		__atomic_store_n(&c->cuts, 1, __ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n(&c->head, &expected,
					   generation << SHIFT_INDEX_BITS | (uint32_t)place, 0,
					   __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)
		       ? 0
		       : -EAGAIN;
}

int control_publish(struct shift_control *c, uint64_t head, const struct shift_record *next,
		    bool force)
{
	uint64_t mine = new_claim();
	int place = claim_place(c, head, mine, force), err;

	if (place < 0)
		return place;
	err = write_and_swap(c, head, next, place, mine);
	release(c, place, mine);
	return err;
}

int control_change(struct shift_control *c, control_edit edit, void *arg, bool force,
		   struct shift_record *ret_before, struct shift_record *ret_after)
{
	uint64_t until = control_boot_ns() + PATIENCE_NS;
	int err;

	for (;;) {
		struct shift_record before, after;
		uint64_t head = 0;

		memset(&before, 0, sizeof(before));
		control_get(c, &before, &head);
		after = before;
		err = edit(&after, arg);
		if (!err)
			err = control_publish(c, head, &after, force);
		else if (err == 1)
			after = before;
		if ((err == -EAGAIN || err == -EBUSY) && (force || control_boot_ns() < until))
			continue;
		if (ret_before)
			*ret_before = before;
		if (ret_after)
			*ret_after = after;
		return err == -EAGAIN ? -EBUSY : err < 0 ? err : 0;
	}
}

/* ---- an interface that was made anew ---- */

struct anew {
	bool restore;
	const char *who;
};

static int anew_edit(struct shift_record *r, void *arg)
{
	const struct anew *a = arg;

	if (a->restore || r->authority == SHIFT_AUTHORITY_NEW ||
	    !shift_record_weight(r, control_boot_ns()))
		return 1;
	r->epoch++;
	r->weight = 0;
	r->threshold = 0;
	r->overall = 0;
	r->not_before = r->confirm_deadline = r->lease_deadline = 0;
	r->set_at = control_real_ns();
	r->set_uid = getuid();
	snprintf(r->set_by, sizeof(r->set_by), "%s", a->who);
	snprintf(r->reason, sizeof(r->reason), "no program was attached, on_boot: zero");
	return 0;
}

int control_anew(struct shift_control *c, bool restore, const char *who,
		 struct shift_record *ret_before, struct shift_record *ret_after)
{
	struct anew a = {restore, who};

	return control_change(c, anew_edit, &a, false, ret_before, ret_after);
}
