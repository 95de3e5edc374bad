/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flow.bpf.h - a shifted connection's record: finding it, following it, taking and freeing its port
 *
 * Only shifted connections have one; the old arm costs no memory. To spare its packets even the
 * look-up, a rank whose flows were never shifted is *clean*: one byte says so. The byte is set
 * before the first flow is inserted and cleared by nobody while a flow may live.
 *
 * Ports come back by themselves. `expires` is moved on by every packet, by the state's time-out;
 * the hand that looks for a port takes any whose record has expired. Who closed first decides how
 * long a finished one rests: the side that sends the first FIN keeps TIME_WAIT (RFC 9293, 3.6), so
 * after the backend's the port must outlast it, after the client's or a RST a short guard is
 * enough.
 */
#pragma once

#include "bpf/parse.bpf.h"
#include "bpf/stats.bpf.h"

static __always_inline int rank_dirty(__u32 service, __u32 rank)
{
	struct shift_dirty *d = bpf_map_lookup_elem(&shift_dirty, &service);

	return d && d->rank[rank & (SHIFT_RANKS - 1)];
}

static __always_inline void rank_mark(__u32 service, __u32 rank)
{
	struct shift_dirty *d = bpf_map_lookup_elem(&shift_dirty, &service);

	if (d)
		*(volatile __u8 *)&d->rank[rank & (SHIFT_RANKS - 1)] = 1;
}

static __always_inline struct shift_flow *flow_slot(__u32 target, __u32 index)
{
	void *slots = bpf_map_lookup_elem(&shift_slots, &target);

	return slots ? bpf_map_lookup_elem(slots, &index) : NULL;
}

static __always_inline void flow_key(struct shift_flow_key *key, const struct packet *p,
				     __u16 listen)
{
	__builtin_memcpy(key->client, p->src, sizeof(key->client));
	key->client_port = p->sport;
	key->listen = listen;
}

/* The live record of the client's tuple. The forward entry is a hint; the record is the truth. */
static __always_inline struct shift_flow *flow_find(const struct packet *p, __u16 listen, __u32 now,
						    __u32 *ret_target, __u32 *ret_index)
{
	struct shift_flow_key key;
	struct shift_flow_ref *ref;
	struct shift_flow *f;

	flow_key(&key, p, listen);
	ref = bpf_map_lookup_elem(&shift_flows, &key);
	if (!ref)
		return NULL;
	*ret_target = ref->target;
	*ret_index = ref->index;
	f = flow_slot(ref->target, ref->index);
	if (!f || f->generation != ref->generation || f->state == SHIFT_FLOW_ABANDONED ||
	    !shift_flow_holds(f, now) || f->client_port != p->sport || f->listen != listen ||
	    f->client[3] != p->src[3])
		return NULL;
	return f;
}

static __always_inline void flow_state(struct shift_flow *f, const struct shift_service *svc,
				       __u8 state, __u32 now)
{
	if (f->state != state)
		f->state = state;
	f->expires = now + svc->timeout[state & 7];
}

/* Takes the forward entry away if it still leads to this record. */
static __always_inline void flow_forget(const struct shift_flow *f, __u32 target, __u32 index)
{
	struct shift_flow_key key;
	struct shift_flow_ref *ref;

	__builtin_memcpy(key.client, f->client, sizeof(key.client));
	key.client_port = f->client_port;
	key.listen = f->listen;
	ref = bpf_map_lookup_elem(&shift_flows, &key);
	if (ref && ref->target == target && ref->index == index && ref->generation == f->generation)
		bpf_map_delete_elem(&shift_flows, &key);
}

/* The old host has this connection from now on; the port rests as if the backend had it in
 * TIME_WAIT. */
static __always_inline void flow_abandon(struct shift_flow *f, const struct shift_service *svc,
					 __u32 target, __u32 index, __u32 now)
{
	flow_forget(f, target, index);
	flow_state(f, svc, SHIFT_FLOW_ABANDONED, now);
}

/*
 * Both FINs seen and acknowledged: over. `acked` are the last acknowledgements of each side.
 */
static __always_inline int flow_closed(const struct shift_flow *f)
{
	const __u8 fins = SHIFT_FLOW_CLIENT_FIN | SHIFT_FLOW_BACKEND_FIN;

	return (f->flags & fins) == fins && (__s32)(f->backend_ack - f->client_fin) >= 0 &&
	       (__s32)(f->client_ack - f->backend_fin) >= 0;
}

/* The state after a packet that was no SYN: one place for both directions. */
static __always_inline __u8 flow_next(const struct shift_flow *f, int rst, int rst_exact)
{
	if (rst)
		return rst_exact ? SHIFT_FLOW_DONE : SHIFT_FLOW_CLOSING;
	if (f->flags & SHIFT_FLOW_RESET && f->state == SHIFT_FLOW_DONE)
		return SHIFT_FLOW_DONE;
	if (flow_closed(f))
		return f->flags & SHIFT_FLOW_BACKEND_TW ? SHIFT_FLOW_TIME_WAIT : SHIFT_FLOW_DONE;
	if (f->flags & (SHIFT_FLOW_CLIENT_FIN | SHIFT_FLOW_BACKEND_FIN))
		return SHIFT_FLOW_CLOSING;
	return SHIFT_FLOW_ESTABLISHED;
}

/* A client's packet other than a SYN; counts a reset after the handshake. */
static __always_inline void flow_from_client(struct shift_flow *f, const struct packet *p,
					     const struct shift_service *svc,
					     struct shift_backend_stats *stats, __u32 now)
{
	int rst = p->flags & TCP_RST, exact = 0;
	__u8 state = f->state;

	if (rst && state == SHIFT_FLOW_SYN_SENT) {
		/* It answers what an older connection of the backend's said; the SYN comes again. */
		return;
	}
	if (rst) {
		/* Only the exact number ends a connection at once (RFC 5961, 3.2). */
		exact = state == SHIFT_FLOW_SYN_RECV || p->seq == f->backend_ack;
		if (stats && !(f->flags & SHIFT_FLOW_RESET) && state > SHIFT_FLOW_SYN_RECV)
			stats->resets++;
		f->flags |= SHIFT_FLOW_RESET;
	} else {
		if (p->flags & TCP_ACK && f->client_ack != p->ack)
			f->client_ack = p->ack;
		if (p->flags & TCP_FIN) {
			f->client_fin = p->seq + p->payload + 1;
			f->flags |= SHIFT_FLOW_CLIENT_FIN;
		}
	}
	flow_state(f, svc, flow_next(f, rst, exact), now);
}

/* The backend's SYN-ACK, or its refusal; anything else is left to the client to judge. */
static __always_inline void flow_handshake(struct shift_flow *f, const struct packet *p,
					   const struct shift_service *svc,
					   struct shift_backend_stats *stats, __u32 now)
{
	if (p->flags & TCP_RST) {
		if (!(p->flags & TCP_ACK) || p->ack - f->client_isn - 1 > 0xffff)
			return;
		if (stats)
			stats->handshake_failures++;
		f->flags |= SHIFT_FLOW_RESET;
		flow_state(f, svc, SHIFT_FLOW_DONE, now);
		return;
	}
	if ((p->flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK))
		return;
	if (p->ack - f->client_isn - 1 > 0xffff) /* not an answer to this SYN (its data included) */
		return;
	f->backend_isn = p->seq;
	f->backend_ack = p->ack;
	if (f->state == SHIFT_FLOW_SYN_SENT && stats) {
		__u64 now_ns = bpf_ktime_get_ns();

		stats->handshakes++;
		stats->handshake[histogram_bucket(now_ns - f->born) & (SHIFT_HISTOGRAM - 1)]++;
	}
	flow_state(f, svc, SHIFT_FLOW_SYN_RECV, now);
}

static __always_inline void flow_from_backend(struct shift_flow *f, const struct packet *p,
					      const struct shift_service *svc,
					      struct shift_backend_stats *stats, __u32 now)
{
	int rst = p->flags & TCP_RST, exact = 0;

	if (f->state == SHIFT_FLOW_SYN_SENT ||
	    (f->state == SHIFT_FLOW_SYN_RECV && p->flags & (TCP_SYN | TCP_RST))) {
		flow_handshake(f, p, svc, stats, now);
		return;
	}
	if (rst) {
		exact = p->seq == f->client_ack;
		if (stats && !(f->flags & SHIFT_FLOW_RESET))
			stats->resets++;
		f->flags |= SHIFT_FLOW_RESET;
	} else {
		if (p->flags & TCP_ACK && f->backend_ack != p->ack)
			f->backend_ack = p->ack;
		if (p->flags & TCP_FIN && !(f->flags & SHIFT_FLOW_BACKEND_FIN)) {
			/* Not having the client's FIN yet, it closes first, or at the same time. */
			if (!(f->flags & SHIFT_FLOW_CLIENT_FIN) ||
			    (__s32)(p->ack - f->client_fin) < 0)
				f->flags |= SHIFT_FLOW_BACKEND_TW;
			f->flags |= SHIFT_FLOW_BACKEND_FIN;
			f->backend_fin = p->seq + p->payload + 1;
		}
		if (f->state == SHIFT_FLOW_SYN_RECV) {
			/* Data before the handshake's last packet reached us: it went another way.
			 */
			f->expires = now + svc->timeout[SHIFT_FLOW_SYN_RECV];
			return;
		}
	}
	flow_state(f, svc, flow_next(f, rst, exact), now);
}

/*
 * A port of one shard for a new flow, as its index, or -1: `members` of the target's ports,
 * `stride` apart. The hand moves past the port it gives, under the shard's lock; if somebody else
 * moved it while we looked, this shard gives none. So two CPUs never hold the same port, and the
 * lock covers two instructions.
 *
 * This and the next are global functions, so that the verifier reads each once.
 */
__noinline int flow_take_of_shard(__u32 cursor, __u32 from_members, __u32 stride_phase,
				  __u32 target, __u32 now)
{
	struct shift_hand *h = bpf_map_lookup_elem(&shift_cursors, &cursor);
	__u32 from = from_members >> 16, members = from_members & 0xffff;
	__u32 hand, place, index = 0, moved = SHIFT_PROBES;
	int found = 0;

	if (!h || !members)
		return -1;
	hand = *(volatile __u32 *)&h->hand;
	place = hand % members;
	for (__u32 k = 0; k < SHIFT_PROBES; k++) {
		struct shift_flow *f;

		index = (stride_phase & 0xffff) + (from + place) * (stride_phase >> 16);
		f = flow_slot(target, index);
		if (f && !shift_flow_holds(f, now)) {
			moved = k + 1;
			found = 1;
			break;
		}
		if (++place == members)
			place = 0;
	}
	bpf_spin_lock(&h->lock);
	if (h->hand == hand)
		h->hand = hand + moved;
	else
		found = 0;
	bpf_spin_unlock(&h->lock);
	return found ? (int)index : -1;
}

/* The same of a target: this CPU's shard first, then the others'. */
__noinline int flow_take_port(__u32 target, __u32 ports, __u32 stride_phase, __u32 shards,
			      __u32 now)
{
	__u32 stride = stride_phase >> 16, phase = stride_phase & 0xffff;
	__u32 shard = bpf_get_smp_processor_id();
	__u32 members;

	if (!shards || !stride || phase >= ports)
		return -1;
	members = (ports - phase + stride - 1) / stride;
	for (__u32 i = 0; i < SHIFT_MAX_SHARDS; i++, shard++) {
		__u32 this = shard % shards;
		__u32 from = this * members / shards;
		__u32 size = (this + 1) * members / shards - from;
		int index;

		index = flow_take_of_shard(target * SHIFT_MAX_SHARDS + this,
					   from << 16 | (size & 0xffff), stride_phase, target, now);
		if (index >= 0)
			return index;
		if (i + 1 >= shards && shards > 1)
			break;
	}
	return -1;
}
