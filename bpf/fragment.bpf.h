/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fragment.bpf.h - the parts of a datagram that carry no ports
 *
 * A first fragment of a shifted flow says where the later ones of its datagram go: {source,
 * destination, id, protocol} to the flow. They need no more than their addresses changed, because
 * the checksum that covers them is in the first one.
 *
 * A later fragment may come before its first. It may be the old host's, so it goes there; but a
 * copy is held for a while. If then the first one turns out to be a shifted flow's, it and the held
 * ones are received once more, in order. What the old host got of the datagram never becomes
 * whole, and is forgotten there. Both tables are bounded, and the oldest gives way: then a datagram
 * is lost, as when a fragment is. Two datagrams of one id at one time between the same two
 * addresses meet, as they do at their receiver.
 */
#pragma once

#include "bpf/flow.bpf.h"
#include "bpf/nat.bpf.h"

#define HELD_WAYS	    4
#define HELD_SECONDS	    5
#define FRAGMENT_SECONDS    30 /* as long as a receiver waits */
#define FRAGMENT_ROUGH_TICK 16 /* of a second, at least: HZ is 250 or more, mostly */

static __always_inline __u32 fragment_hash(const struct packet *p)
{
	__u64 h = shift_mix(((__u64)p->src[3] << 32 | p->dst[3]) ^ p->id);

	if (p->v6)
		h = shift_mix(h ^ ((__u64)p->src[2] << 32 | p->dst[2]));
	return h >> 32;
}

/* In IPv6 only the first part says what the datagram is (RFC 8200, 4.5). */
#define SAME_DATAGRAM(x, p)                                                                        \
	((x)->id == (p)->id && ((p)->v6 || (x)->protocol == (p)->protocol) &&                      \
	 (x)->src[3] == (p)->src[3] && (x)->src[2] == (p)->src[2] && (x)->src[1] == (p)->src[1] && \
	 (x)->src[0] == (p)->src[0] && (x)->dst[3] == (p)->dst[3] && (x)->dst[2] == (p)->dst[2] && \
	 (x)->dst[1] == (p)->dst[1] && (x)->dst[0] == (p)->dst[0])

/* The flow v->target, v->index has begun a datagram. */
static __always_inline void fragment_note(const struct visit *v, const struct shift_flow *f,
					  __u8 way)
{
	__u32 key = fragment_hash(&v->p) & (SHIFT_FRAGMENTS - 1);
	struct shift_fragment *x = bpf_map_lookup_elem(&shift_fragments, &key);

	if (!x)
		return;
	x->way = 0;
	__builtin_memcpy(x->src, v->p.src, sizeof(x->src));
	__builtin_memcpy(x->dst, v->p.dst, sizeof(x->dst));
	x->id = v->p.id;
	x->protocol = v->p.protocol;
	x->tick = v->now;
	x->target = v->target;
	x->index = v->index;
	x->generation = f->generation;
	barrier();
	x->way = way;
}

/* The flow of a later fragment, in v->target and v->index; *ret_way says which way it goes. */
static __always_inline struct shift_flow *fragment_flow(struct visit *v, __u8 *ret_way)
{
	__u32 key = fragment_hash(&v->p) & (SHIFT_FRAGMENTS - 1);
	struct shift_fragment *x = bpf_map_lookup_elem(&shift_fragments, &key);
	struct shift_flow *f;

	if (!x || !x->way || !SAME_DATAGRAM(x, &v->p) ||
	    v->now - x->tick > FRAGMENT_SECONDS * FRAGMENT_ROUGH_TICK)
		return NULL;
	v->target = x->target;
	v->index = x->index;
	*ret_way = x->way;
	f = flow_slot(v->target, v->index);
	if (!f || f->generation != x->generation || f->state == SHIFT_FLOW_ABANDONED ||
	    !shift_flow_holds(f, v->now))
		return NULL;
	return f;
}

/* A length known to be 1..SHIFT_HELD_BYTES, in the one way that 5.10's verifier sees it is; else 0.
 */
static __always_inline __u64 held_length(__u64 length)
{
	length = (length - 1) & 2047;
	asm volatile("" : "+r"(length));
	return length < SHIFT_HELD_BYTES ? length + 1 : 0;
}

/* Keeps a copy of a later fragment that nobody knows yet. */
static __noinline int fragment_hold(struct __sk_buff *skb, struct visit *v)
{
	__u32 key = fragment_hash(&v->p) * HELD_WAYS & (SHIFT_HELD - 1);
	struct shift_held *into = NULL;
	__u32 oldest_age = 0;
	__u64 length = skb->len;

	if ((v->p.protocol != IPPROTO_TCP && v->p.protocol != IPPROTO_UDP) ||
	    length > SHIFT_HELD_BYTES)
		return 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < HELD_WAYS; i++, key++) {
		struct shift_held *x = bpf_map_lookup_elem(&shift_held, &key);
		__u32 age;

		if (!x)
			return 0;
		age = x->length ? v->now - x->tick : ~0u;
		if (age >= oldest_age) {
			oldest_age = age;
			into = x;
		}
	}
	if (!into)
		return 0;
	into->length = 0;
	__builtin_memcpy(into->src, v->p.src, sizeof(into->src));
	__builtin_memcpy(into->dst, v->p.dst, sizeof(into->dst));
	into->id = v->p.id;
	into->protocol = v->p.protocol;
	into->tick = v->now;
	length = held_length(length);
	if (!length || bpf_skb_load_bytes(skb, 0, into->bytes, length))
		return 0;
	into->length = length;
	return 1;
}

/*
 * A first fragment of a shifted flow: are later ones of its datagram held? Then it is received
 * again, and they after it, and this one is over. True: it was.
 */
static __noinline int fragment_reorder(struct __sk_buff *skb, struct visit *v)
{
	__u32 key = fragment_hash(&v->p) * HELD_WAYS & (SHIFT_HELD - 1);
	__u32 in = skb->ifindex;
	int again = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < HELD_WAYS; i++, key++) {
		struct shift_held *x = bpf_map_lookup_elem(&shift_held, &key);
		__u64 length;

		if (!x)
			break;
		length = x->length;
		if (!length || !SAME_DATAGRAM(x, &v->p))
			continue;
		x->length = 0;
		if (v->now - x->tick > HELD_SECONDS * FRAGMENT_ROUGH_TICK)
			continue;
		if (!again) {
			if (bpf_clone_redirect(skb, in, BPF_F_INGRESS))
				return 0;
			again = 1;
		}
		length = held_length(length);
		if (!length || bpf_skb_change_tail(skb, length, 0) ||
		    bpf_skb_store_bytes(skb, 0, x->bytes, length, 0) ||
		    bpf_clone_redirect(skb, in, BPF_F_INGRESS))
			break;
	}
	return again;
}

/* A later fragment has nothing but addresses to change. 0 or negative. */
static __always_inline int fragment_rewrite(struct __sk_buff *skb, const struct packet *p,
					    const struct ends *e)
{
	__u32 difference = address_difference(p, e);
	int err;

	if (!p->v6)
		return write_ipv4(skb, p, e, p->ttl - 1, difference);
	err = write_ipv6(skb, p, e, p->ttl - 1);
	bpf_csum_update(skb, hops_and(p, difference));
	return err;
}
