/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * control.bpf.h - reading the control record (the protocol is in shift.h)
 */
#pragma once

#include "bpf/maps.bpf.h"

/* What a decision needs of the record that is in force. */
struct control {
	__u64 epoch;
	__u64 cut_epoch;
	__u32 threshold; /* deadlines applied */
	__u8 mode;
	__u8 authority;
	__u8 latched;
};

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

static __always_inline int record_is(const struct shift_record *r, __u64 head)
{
	return *(volatile const __u64 *)&r->generation == head >> SHIFT_INDEX_BITS;
}

/*
 * The whole record for a new flow. False: there is none, or writers went round all records while we
 * looked, three times over; then nothing is shifted.
 */
static __always_inline int control_read(__u32 service, struct control *ret)
{
	struct shift_control *c = bpf_map_lookup_elem(&shift_control, &service);

	if (!c)
		return 0;
#pragma unroll
	for (int i = 0; i < 3; i++) {
		struct shift_record *r;
		__u64 head, now = 0;

		r = control_record(c, &head);
		if (!r)
			return 0;
		if (!record_is(r, head))
			continue;
		if (shift_record_timed(r))
			now = bpf_ktime_get_boot_ns();
		ret->epoch = r->epoch;
		ret->cut_epoch = r->cut_epoch;
		ret->threshold = shift_record_threshold(r, now);
		ret->mode = r->mode;
		ret->authority = r->authority;
		ret->latched = r->latched;
		barrier();
		if (record_is(r, head))
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

	if (!c)
		return 0;
	r = control_record(c, &head);
	if (!r || !record_is(r, head))
		return 0;
	return *(volatile __u64 *)&r->cut_epoch;
}
