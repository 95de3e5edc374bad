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
 *
 * What a packet claims is believed only as far as a stranger who cannot see the connection could
 * not have sent it (RFC 5961): a RST ends a flow at once only with the very number that is
 * expected. One a little ahead of it may be right, if data is under way before it; then nothing
 * follows, and the flow's time is cut short. If it was wrong, its receiver says so, and the flow
 * goes on as before. A FIN with another number than the expected counts from when its receiver
 * acknowledges exactly it.
 */
#pragma once

#include "bpf/answer.bpf.h"
#include "bpf/index.bpf.h"
#include "bpf/limit.bpf.h"
#include "bpf/parse.bpf.h"

#define RST_WINDOW (1u << 16) /* less than a receiver's window, so that a wrong one is answered */
#define FIN_WINDOW (1u << 26) /* more bytes than that are seldom under way */

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

static __always_inline void flow_key(struct shift_flow_key *key, const struct packet *p,
				     __u16 listen)
{
	copy_address(key->client, p->src);
	key->client_port = p->sport;
	key->listen = listen;
}

/* Where the look at one line was not enough. 0: nowhere. */
static __noinline __u64 flow_find_on(const struct shift_flow_key *key, __u32 now)
{
	__u64 ref = index_find_in(&shift_flows, flow_lines, key, now);

	if (!ref && growing)
		ref = index_find_in(&shift_flows_was, flow_lines_was, key, now);
	return ref;
}

/* The live record of the client's tuple. The reference is a hint; the record is the truth. */
static __always_inline struct shift_flow *flow_find(struct visit *v)
{
	struct shift_flow_key key;
	struct shift_refs *l;
	struct shift_flow *f;
	__u64 hash, ref;

	flow_key(&key, &v->p, v->listen);
	hash = shift_flow_hash(&key, flow_seed);
	l = line_of(&shift_flows, shift_line(hash, flow_lines));
	if (!l)
		return NULL;
	ref = line_find(l, shift_tag(hash), 0);
	f = ref_flow(ref, &key, v->now);
	if (!f && (ref || growing || *(volatile __u32 *)&l->spilled)) {
		ref = flow_find_on(&key, v->now);
		f = ref_flow(ref, &key, v->now);
	}
	if (!f)
		return NULL;
	v->target = ref_target(ref);
	v->index = ref_index(ref);
	return f;
}

static __always_inline void flow_state(struct shift_flow *f, const struct shift_service *svc,
				       __u8 state, __u32 now)
{
	if (f->state != state)
		f->state = state;
	f->expires = now + (f->flags & SHIFT_FLOW_UDP && state < SHIFT_FLOW_DONE
				    ? svc->timeout_udp
				    : svc->timeout[state & 7]);
	if (state >= SHIFT_FLOW_DONE) {
		uncount_client(f);
		uncount_half_open(f);
	}
}

/* Takes the reference to this record away. */
static __noinline int flow_forget(const struct shift_flow *f, __u32 target, __u32 index)
{
	__u64 at = shift_ref(target, index, 0) & 0xffffffff;
	struct shift_flow_key key;

	copy_address(key.client, f->client);
	key.client_port = f->client_port;
	key.listen = f->listen;
	index_forget_in(&shift_flows, flow_lines, &key, at);
	if (growing)
		index_forget_in(&shift_flows_was, flow_lines_was, &key, at);
	return 0;
}

/* The old host has this connection from now on; the port rests as if the backend had it in
 * TIME_WAIT. */
static __always_inline void flow_abandon(struct shift_flow *f, const struct shift_service *svc,
					 const struct visit *v)
{
	flow_forget(f, v->target, v->index);
	flow_state(f, svc, SHIFT_FLOW_ABANDONED, v->now);
}

/* Is it certain that the client, the backend, sends no more? */
static __always_inline int client_closes(const struct shift_flow *f)
{
	return f->up & SHIFT_SEEN_FIN_SURE ||
	       (f->up & SHIFT_SEEN_FIN && f->backend_ack == f->client_fin);
}

static __always_inline int backend_closes(const struct shift_flow *f)
{
	return f->down & SHIFT_SEEN_FIN_SURE ||
	       (f->down & SHIFT_SEEN_FIN && f->client_ack == f->backend_fin);
}

/* And does the other side know? */
static __always_inline int client_closed(const struct shift_flow *f)
{
	return f->up & SHIFT_SEEN_FIN && f->backend_ack == f->client_fin;
}

static __always_inline int backend_closed(const struct shift_flow *f)
{
	return f->down & SHIFT_SEEN_FIN && f->client_ack == f->backend_fin;
}

/* The state of an established flow after a packet that was no RST. */
static __always_inline __u8 flow_next(const struct shift_flow *f)
{
	if (f->state >= SHIFT_FLOW_DONE)
		return f->state;
	if (!((f->up | f->down) & SHIFT_SEEN_FIN))
		return SHIFT_FLOW_ESTABLISHED;
	if (client_closed(f) && backend_closed(f))
		return f->down & SHIFT_SEEN_FIN_FIRST ? SHIFT_FLOW_TIME_WAIT : SHIFT_FLOW_DONE;
	return client_closes(f) || backend_closes(f) ? SHIFT_FLOW_CLOSING : SHIFT_FLOW_ESTABLISHED;
}

/* A RST with number `ahead` past what its receiver expects; counts a reset once. */
static __always_inline void flow_reset(struct shift_flow *f, const struct shift_service *svc,
				       struct shift_backend_stats *stats, __u8 *seen, __u32 ahead,
				       __u32 now)
{
	if (ahead > RST_WINDOW || f->state >= SHIFT_FLOW_DONE)
		return;
	if (stats && !(*seen & SHIFT_SEEN_RST))
		stats->resets++;
	if (!(*seen & SHIFT_SEEN_RST))
		*seen |= SHIFT_SEEN_RST;
	if (seen == &f->down ? !ahead && !(f->down & SHIFT_SEEN_DATA) : flow_waits(f))
		flow_failed(f, seen == &f->down ? SHIFT_FAILURE_RESET : SHIFT_FAILURE_GAVE_UP);
	/* Perhaps only data is under way before it: then nothing follows. If something does, it was
	 * not obeyed, and the flow goes on. */
	flow_state(f, svc, ahead ? SHIFT_FLOW_CLOSING : SHIFT_FLOW_DONE, now);
}

/* With a SYN it means nothing: the other end will challenge the packet (RFC 5961, 4.2). */
static __always_inline int is_fin(const struct packet *p)
{
	return (p->flags & (TCP_SYN | TCP_FIN)) == TCP_FIN;
}

/* A client's packet other than a SYN. */
static __always_inline void flow_from_client(struct shift_flow *f, const struct packet *p,
					     const struct shift_service *svc,
					     struct shift_backend_stats *stats, __u32 now)
{
	if (f->state <= SHIFT_FLOW_SYN_RECV) {
		/* In SYN_SENT a RST answers what an older connection of the backend's said, and the
		 * SYN comes again; what has no ACK says nothing. */
		if (p->flags & TCP_RST && f->state == SHIFT_FLOW_SYN_RECV &&
		    p->seq == f->backend_ack)
			flow_state(f, svc, SHIFT_FLOW_DONE, now);
		if (!(p->flags & TCP_ACK) || p->flags & TCP_RST)
			return;
	}
	if (p->flags & TCP_RST) {
		flow_reset(f, svc, stats, &f->up, p->seq - f->backend_ack, now);
		return;
	}
	if (f->state <= SHIFT_FLOW_SYN_RECV) {
		uncount_half_open(f);
		f->syn_tick = 0; /* from now on: of a SYN that asks it to begin anew */
		f->syn_retransmits = 0;
	}
	if (p->payload)
		flow_asks(f);
	if (p->flags & TCP_ACK && f->client_ack != p->ack)
		f->client_ack = p->ack;
	if (is_fin(p) && !client_closes(f) && p->seq - f->backend_ack <= FIN_WINDOW) {
		if (flow_waits(f) && gives_up(f->asked))
			flow_failed(f, SHIFT_FAILURE_GAVE_UP);
		f->client_fin = p->seq + p->payload + 1;
		f->up |= p->seq == f->backend_ack ? SHIFT_SEEN_FIN | SHIFT_SEEN_FIN_SURE
						  : SHIFT_SEEN_FIN;
	}
	flow_state(f, svc, flow_next(f), now);
}

/* The backend's SYN-ACK, or its refusal; anything else is left to the client to judge. */
static __always_inline void flow_handshake(struct shift_flow *f, const struct packet *p,
					   const struct shift_service *svc,
					   struct shift_backend_stats *stats, __u32 now)
{
	if (!(p->flags & TCP_ACK) || p->ack - f->client_isn - 1 > 0xffff)
		return; /* no answer to this SYN (its data included) */
	if (p->flags & TCP_RST) {
		if (stats)
			stats->handshake_failures++;
		if (f->state == SHIFT_FLOW_SYN_SENT)
			breaker_failed(f->backend, now);
		if (!(f->down & SHIFT_SEEN_DATA)) /* TCP Fast Open: it was answered */
			flow_failed(f, SHIFT_FAILURE_REFUSED);
		f->down |= SHIFT_SEEN_RST;
		flow_state(f, svc, SHIFT_FLOW_DONE, now);
		return;
	}
	if (!(p->flags & TCP_SYN))
		return;
	/* A backend without state, or one of several behind one address, may answer a repeated SYN
	 * with another number; the client takes the one that comes first. */
	if (f->state == SHIFT_FLOW_SYN_SENT)
		f->backend_fin = p->seq;
	f->backend_isn = p->seq;
	f->backend_ack = p->ack;
	if (f->state == SHIFT_FLOW_SYN_SENT && stats) {
		__u64 now_ns = bpf_ktime_get_ns();

		stats->handshakes++;
		stats->handshake[histogram_bucket(now_ns - f->born) & (SHIFT_HISTOGRAM - 1)]++;
		breaker_succeeded(f->backend, f->born);
	}
	flow_state(f, svc, SHIFT_FLOW_SYN_RECV, now);
}

/* UDP has no ends: a flow is half open until its backend answers, and ends by silence. */
static __always_inline void flow_udp(struct shift_flow *f, const struct shift_service *svc,
				     int answer, __u32 now)
{
	__u8 state = f->state;

	if (answer && state == SHIFT_FLOW_SYN_SENT) {
		uncount_half_open(f);
		state = SHIFT_FLOW_ESTABLISHED;
		flow_first_answer(f, f->born);
	}
	flow_state(f, svc, state, now);
}

static __always_inline void flow_from_backend(struct shift_flow *f, const struct packet *p,
					      const struct shift_service *svc,
					      struct shift_backend_stats *stats, __u32 now)
{
	if (f->state == SHIFT_FLOW_SYN_SENT ||
	    (f->state == SHIFT_FLOW_SYN_RECV && p->flags & (TCP_SYN | TCP_RST))) {
		flow_handshake(f, p, svc, stats, now);
		return;
	}
	if (p->flags & TCP_RST) {
		flow_reset(f, svc, stats, &f->down, p->seq - f->client_ack, now);
		return;
	}
	if (p->payload)
		flow_answers(f);
	if (p->flags & TCP_ACK && f->backend_ack != p->ack)
		f->backend_ack = p->ack;
	if (is_fin(p) && !backend_closes(f) && p->seq - f->client_ack <= FIN_WINDOW) {
		if (flow_waits(f))
			flow_failed(f, SHIFT_FAILURE_CLOSED);
		f->backend_fin = p->seq + p->payload + 1;
		f->down |= p->seq == f->client_ack ? SHIFT_SEEN_FIN | SHIFT_SEEN_FIN_SURE
						   : SHIFT_SEEN_FIN;
		/* Not having the client's FIN yet, it closes first, or at the same time. */
		if (!(f->up & SHIFT_SEEN_FIN) || (__s32)(p->ack - f->client_fin) < 0)
			f->down |= SHIFT_SEEN_FIN_FIRST;
		else
			f->down &= ~SHIFT_SEEN_FIN_FIRST;
	}
	if (f->state == SHIFT_FLOW_SYN_RECV) {
		/* Data before the handshake's last packet: TCP Fast Open. */
		f->expires = now + svc->timeout[SHIFT_FLOW_SYN_RECV];
		return;
	}
	flow_state(f, svc, flow_next(f), now);
}

/* A failed search goes on elsewhere: 0.618 of a round further, so that a long run of busy ports is
 * left in few steps. */
#define GOLDEN(members) (((members)*40503u) >> 16)

enum { TAKE_NONE = -1, TAKE_FULL = -2 };

/*
 * A port of one shard for a new flow, as its index, or TAKE_*: `members` of the target's ports,
 * `stride` apart. The hand moves past the port it gives, under the shard's lock, and the record is
 * made to hold its port for a tick or two, and maps no packet; if somebody else moved the hand
 * while we looked, this shard gives none. So two CPUs never hold the same port. While too many
 * flows are half open, only a port is given that one of them has given up; after some searches for
 * one in vain there is none before the next tick, for under a flood they would cost more than all
 * else.
 *
 * This and the next are global functions, so that the verifier reads each once.
 */
__noinline int flow_take_of_shard(__u32 cursor, __u32 from_members, __u32 stride_phase,
				  __u32 target, __u32 now)
{
	struct shift_hand *h = bpf_map_lookup_elem(&shift_cursors, &cursor);
	__u32 from = from_members >> 16, members = from_members & 0xffff;
	struct shift_flow *f = NULL;
	__u32 hand, place, index = 0, moved, vain = now << 4;
	int found = 0, full;

	if (!h || !members)
		return -1;
	full = half_open_full(h, members);
	if (full) {
		__u32 was = *(volatile __u32 *)&h->in_vain;

		if (was >> 4 == now << 4 >> 4)
			vain = was;
		if ((vain & 15) >= SHIFT_IN_VAIN)
			return TAKE_FULL;
	}
	hand = *(volatile __u32 *)&h->hand;
	place = hand % members;
	moved = SHIFT_PROBES + GOLDEN(members);
	for (__u32 k = 0; k < SHIFT_PROBES; k++) {
		index = (stride_phase & 0xffff) + (from + place) * (stride_phase >> 16);
		f = flow_slot(target, index);
		if (f && !shift_flow_holds(f, now) &&
		    (!full || f->counted & SHIFT_COUNTED_HALF_OPEN)) {
			moved = k + 1;
			found = 1;
			break;
		}
		if (++place == members)
			place = 0;
	}
	if (full && !found)
		h->in_vain = vain + 1;
	bpf_spin_lock(&h->lock);
	if (h->hand == hand) {
		h->hand = hand + moved;
		if (found && f) {
			if (f->state != SHIFT_FLOW_ABANDONED)
				f->was = f->state;
			f->state = SHIFT_FLOW_ABANDONED;
			f->expires = now + 2;
		}
	} else {
		found = 0;
	}
	bpf_spin_unlock(&h->lock);
	return found ? (int)index : full ? TAKE_FULL : TAKE_NONE;
}

#define TAKE_AGAIN 2 /* rounds after every shard was asked once */

/* The same of a target: this CPU's shard first, then the others', and round again. At the bound, as
 * often as the loop goes: what a flood has given up is a quarter of the round in one piece, and
 * some steps of 0.618 meet it. The shard is in the answer's upper half. */
__noinline int flow_take_port(__u32 target, __u32 ports, __u32 stride_phase, __u32 shards,
			      __u32 now)
{
	__u32 stride = stride_phase >> 16, phase = stride_phase & 0xffff;
	__u32 shard = bpf_get_smp_processor_id();
	__u32 members;
	int none = TAKE_NONE;

	if (!shards || !stride || phase >= ports)
		return TAKE_NONE;
	members = (ports - phase + stride - 1) / stride;
	for (__u32 i = 0; i < SHIFT_MAX_SHARDS + TAKE_AGAIN; i++, shard++) {
		__u32 this = shard % shards;
		__u32 from = this * members / shards;
		__u32 size = (this + 1) * members / shards - from;
		int index;

		index = flow_take_of_shard(target * SHIFT_MAX_SHARDS + this,
					   from << 16 | (size & 0xffff), stride_phase, target, now);
		if (index >= 0)
			return this << 16 | index;
		if (index == TAKE_FULL)
			none = index;
		if (none != TAKE_FULL && i + 1 >= shards + (size > SHIFT_PROBES ? TAKE_AGAIN : 0))
			break;
	}
	return none;
}

#define SWEEP 128

/*
 * A client is at its limit: do flows still count that ended in silence? Once a tick, by turns right
 * behind the hand, where the latest are, and further back each time. How many counts were given up.
 */
__noinline int sweep_shard(__u32 cursor, __u32 from_members, __u32 stride_phase, __u32 target,
			   __u32 now)
{
	struct shift_hand *h = bpf_map_lookup_elem(&shift_cursors, &cursor);
	__u32 from = from_members >> 16, members = from_members & 0xffff, place, behind;
	int given_up = 0;

	if (!h || !members || h->sweep_tick == now)
		return 0;
	h->sweep_tick = now;
	behind = 0;
	if (now & 1) {
		behind = h->sweep >= members ? 0 : h->sweep;
		h->sweep = behind + SWEEP;
	}
	place = (h->hand % members + 2 * members - 1 - behind) % members;
#pragma clang loop unroll(disable)
	for (__u32 k = 0; k < SWEEP && k < members; k++) {
		struct shift_flow *f = flow_slot(
			target, (stride_phase & 0xffff) + (from + place) * (stride_phase >> 16));

		if (f && f->counted & SHIFT_COUNTED_LOAD && !shift_flow_holds(f, now)) {
			uncount_client(f);
			given_up++;
		}
		place = place ? place - 1 : members - 1;
	}
	return given_up;
}

static __noinline int sweep(__u32 target, __u32 shard, __u32 now)
{
	struct shift_target *t = bpf_map_lookup_elem(&shift_targets, &target);
	__u32 members, from, size;

	if (!t || !t->stride || !t->shards || t->phase >= t->ports)
		return 0;
	members = (t->ports - t->phase + t->stride - 1) / t->stride;
	from = shard * members / t->shards;
	size = (shard + 1) * members / t->shards - from;
	return sweep_shard(target * SHIFT_MAX_SHARDS + shard, from << 16 | (size & 0xffff),
			   (__u32)t->stride << 16 | t->phase, target, now);
}
