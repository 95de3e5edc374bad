/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * index.bpf.h - from a client's tuple to its flow's record: the forward index
 *
 * An array of lines, each one cache line: seven references and a lock. A reference is a place
 * {target, index} and 32 bits of the tuple's hash, its tag; the record there, whose own tuple is
 * compared, is the proof. So a look-up costs one miss of the cache, where a hash of the kernel's
 * costs three, and no lock. A tuple belongs to one line, and, if that is full, to another; a line
 * from which something had to go on counts that, and mostly that count is zero: then the second
 * line is not looked at. With two references to a line on average, one of 50,000 finds both full.
 *
 * A reference is taken away with its flow; one that was left behind, by whatever died, is found out
 * by its record, and gives way when its line is full.
 */
#pragma once

#include "bpf/maps.bpf.h"
#include "bpf/visit.bpf.h"

static __always_inline struct shift_flow *flow_slot(__u32 target, __u32 index)
{
	void *slots = bpf_map_lookup_elem(&shift_slots, &target);

	return slots ? bpf_map_lookup_elem(slots, &index) : NULL;
}

static __always_inline __u32 ref_target(__u64 ref)
{
	return ref & 0xffff;
}

static __always_inline __u32 ref_index(__u64 ref)
{
	return ref >> 16 & 0xffff;
}

static __always_inline struct shift_flow *ref_record(__u64 ref)
{
	return flow_slot(ref_target(ref), ref_index(ref));
}

static __always_inline struct shift_refs *line_of(void *map, __u32 line)
{
	return bpf_map_lookup_elem(map, &line);
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define TAG_HALF 1
#else
#define TAG_HALF 0
#endif

/* The first reference with the tag, or, with `last`, the last one; 0: there is none. */
static __always_inline __u64 line_find(const struct shift_refs *l, __u32 tag, int last)
{
#pragma unroll
	for (int i = 0; i < SHIFT_LINE_REFS; i++) {
		const __u64 *ref = &l->ref[last ? SHIFT_LINE_REFS - 1 - i : i];

		if (((const volatile __u32 *)ref)[TAG_HALF] == tag)
			return *(const volatile __u64 *)ref;
	}
	return 0;
}

static __always_inline int is_flow(const struct shift_flow *f, const struct shift_flow_key *k)
{
	return f && f->client_port == k->client_port && f->listen == k->listen &&
	       same_address(f->client, k->client);
}

/* Does it lead to a record that carries packets of the tuple? */
static __always_inline struct shift_flow *ref_flow(__u64 ref, const struct shift_flow_key *k,
						   __u32 now)
{
	struct shift_flow *f;

	if (!ref)
		return NULL;
	f = ref_record(ref);
	if (!is_flow(f, k) || f->state == SHIFT_FLOW_ABANDONED || !shift_flow_holds(f, now))
		return NULL;
	return f;
}

/* The reference of the tuple's live record in one line; 0: it is not there. */
static __always_inline __u64 line_flow(const struct shift_refs *l, __u32 tag,
				       const struct shift_flow_key *k, __u32 now)
{
	__u64 ref = line_find(l, tag, 0), other;

	if (!ref || ref_flow(ref, k, now))
		return ref;
	other = line_find(l, tag, 1); /* two tuples with one tag, once in an age */
	return other != ref && ref_flow(other, k, now) ? other : 0;
}

/* In either of the tuple's lines; 0: it is in none. */
static __noinline __u64 index_find_in(void *map, __u32 lines, const struct shift_flow_key *k,
				      __u32 now)
{
	__u64 hash = shift_flow_hash(k, flow_seed), ref;
	struct shift_refs *l = line_of(map, shift_line(hash, lines));

	if (!l)
		return 0;
	ref = line_flow(l, shift_tag(hash), k, now);
	if (ref || !*(volatile __u32 *)&l->spilled)
		return ref;
	l = line_of(map, shift_other_line(hash, lines));
	return l ? line_flow(l, shift_tag(hash), k, now) : 0;
}

/* Puts `ref` in the place of `was`, 0 being a free one. True: it is there now. */
static __always_inline int line_put(struct shift_refs *l, __u64 was, __u64 ref)
{
	int done = 0;

	bpf_spin_lock(&l->lock);
#pragma unroll
	for (int i = 0; i < SHIFT_LINE_REFS; i++) {
		if (!done && l->ref[i] == was) {
			l->ref[i] = ref;
			done = 1;
		}
	}
	bpf_spin_unlock(&l->lock);
	return done;
}

/* The tuple's reference of a flow before, which is over, or a free place; else false. */
static __always_inline int line_insert(struct shift_refs *l, const struct shift_flow_key *k,
				       __u64 ref, __u32 now)
{
	__u64 was = line_find(l, ref >> 32, 0);

	if (was) {
		struct shift_flow *f = ref_record(was);

		if (is_flow(f, k) && !shift_flow_alive(f, now) && line_put(l, was, ref))
			return 1;
	}
	return line_put(l, 0, ref);
}

/* In the place of one that leads nowhere any more; else false. */
static __noinline int line_evict(struct shift_refs *l, __u64 ref, __u32 now)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < SHIFT_LINE_REFS; i++) {
		__u64 was = *(volatile __u64 *)&l->ref[i];
		struct shift_flow_key k = {0};
		struct shift_flow *f = ref_record(was);

		if (f && f->state != SHIFT_FLOW_FREE && shift_flow_holds(f, now)) {
			copy_address(k.client, f->client);
			k.client_port = f->client_port;
			k.listen = f->listen;
			if (shift_tag(shift_flow_hash(&k, flow_seed)) == was >> 32)
				continue;
		}
		if (line_put(l, was, ref))
			return 1;
	}
	return 0;
}

/* True: the tuple leads to the record at {target, index}. */
static __noinline int index_insert(const struct shift_flow_key *k, __u32 target, __u32 index,
				   __u32 now)
{
	__u64 hash = shift_flow_hash(k, flow_seed), ref = shift_ref(target, index, hash);
	struct shift_refs *l = line_of(&shift_flows, shift_line(hash, flow_lines)), *other;

	if (!l)
		return 0;
	if (line_insert(l, k, ref, now))
		return 1;
	other = line_of(&shift_flows, shift_other_line(hash, flow_lines));
	if (!other)
		return 0;
	__sync_fetch_and_add(&l->spilled, 1);
	if (line_insert(other, k, ref, now))
		return 1;
	__sync_fetch_and_add(&l->spilled, -1);
	return line_evict(l, ref, now);
}

static __noinline int index_forget_in(void *map, __u32 lines, const struct shift_flow_key *k,
				      __u64 target_index)
{
	__u64 hash = shift_flow_hash(k, flow_seed), ref = target_index | (__u64)shift_tag(hash)
										 << 32;
	struct shift_refs *l = line_of(map, shift_line(hash, lines)), *other;

	if (!l || line_put(l, ref, 0) || !*(volatile __u32 *)&l->spilled)
		return 0;
	other = line_of(map, shift_other_line(hash, lines));
	if (other && line_put(other, ref, 0))
		__sync_fetch_and_add(&l->spilled, -1);
	return 0;
}
