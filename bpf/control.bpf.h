/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * control.bpf.h - reading the control record (the protocol is in shift.h)
 */
#pragma once

#include "bpf/visit.bpf.h"

static __always_inline struct shift_record *control_record(struct shift_control *c, __u64 *ret_head)
{
	__u64 head = *(volatile __u64 *)&c->head;
	__u32 index = head & SHIFT_INDEX_MASK;

	*ret_head = head;
	if (!index)
		return NULL;
	/* Place 0 is the header, of a record's size: so the mask is a bound the verifier follows.
	 */
	return (struct shift_record *)c + index;
}

/* A copy of what the program reads, and whether it is whole. */
static __always_inline int copy_record(__u64 words[SHIFT_RECORD_WORDS],
				       const struct shift_record *r, __u64 head)
{
	const volatile __u64 *from = (const volatile __u64 *)r;

#pragma unroll
	for (int i = 0; i < SHIFT_RECORD_WORDS; i++)
		words[i] = from[i];
	return words[0] == head >> SHIFT_INDEX_BITS &&
	       (words[0] & SHIFT_CHECK_MASK) ==
		       shift_record_check(words, words[0] >> SHIFT_CHECK_BITS);
}

/*
 * The whole record for a new flow. False: there is none, or writers went round all records while we
 * looked, three times over; then nothing is shifted. (A function, for its stack.)
 */
static __noinline int control_read(__u32 service, struct control *ret)
{
	struct shift_control *c = bpf_map_lookup_elem(&shift_control, &service);

	if (!c)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 3; i++) {
		__u64 words[SHIFT_RECORD_WORDS], head, now = 0;
		const struct shift_record *copy = (const void *)words, *r;

		r = control_record(c, &head);
		if (!r)
			return 0;
		if (!copy_record(words, r, head))
			continue;
		if (shift_record_timed(copy))
			now = bpf_ktime_get_boot_ns();
		ret->epoch = copy->epoch;
		ret->cut_epoch = copy->cut_epoch;
		ret->threshold = shift_record_threshold(copy, now);
		ret->mode = copy->mode;
		ret->authority = copy->authority;
		ret->latched = copy->latched;
		return 1;
	}
	return 0;
}

/* All that a packet of an established flow asks: flows older than this epoch are cut; 0: none. */
static __always_inline __u64 control_cut_epoch(__u32 service)
{
	struct shift_control *c = bpf_map_lookup_elem(&shift_control, &service);
	struct shift_record *r;
	__u64 head;

	if (!c || !*(volatile __u32 *)&c->cuts)
		return 0;
	r = control_record(c, &head);
	if (!r || *(volatile __u64 *)&r->generation != head >> SHIFT_INDEX_BITS)
		return 0;
	return *(volatile __u64 *)&r->cut_epoch;
}
