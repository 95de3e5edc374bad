/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * client.bpf.h - a client's packet: to its flow's backend, or to the old host, or to be decided
 *
 * A packet of a known flow goes where the flow goes. What begins a connection is decided once; the
 * flow's record, or the memory of what was left local, is what gives its repetitions the same
 * answer. Whatever fails on the way ends at the old host.
 */
#pragma once

#include "bpf/decide.bpf.h"
#include "bpf/fragment.bpf.h"
#include "bpf/wire.bpf.h"

#define NOT_OURS TC_ACT_UNSPEC

/* Not yet the packet's end. */
enum { NEW_CONNECTION = -100, SHIFTED = -101, LEAVE = -102 };

/* A client whose old connection nobody ends may begin anew after so many SYNs a second apart. */
#define SYNS_UNANSWERED 3

/* The packet as the backend is to see it; the way out. */
static __always_inline __u32 ends_to_backend(struct ends *e, const struct shift_target *t,
					     __u32 index, __u32 here)
{
	copy_address(e->src, t->nat);
	copy_address(e->dst, t->address);
	e->sport = bpf_htons(t->port_lo + index);
	e->dport = t->port;
	return t->ifindex ? t->ifindex : here;
}

/* Is the packet longer than the narrowest way there is? Most are not, and nobody looks further. */
static __always_inline int is_long(const struct packet *p, const struct shift_service *svc)
{
	return svc->mtu_floor && p->bytes > svc->mtu_floor;
}

static __always_inline int is_tcp_syn(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP && p->flags & TCP_SYN;
}

/* The narrower of the way to the backend and the way the packet came. */
static __noinline __u32 narrowest(const struct shift_target *t, __u32 in)
{
	__u32 mtu = interface_mtu(in);

	return !mtu || (t->mtu && t->mtu < mtu) ? t->mtu : mtu;
}

/* Client to backend. */
static __always_inline int forward(struct __sk_buff *skb, struct visit *v,
				   const struct shift_service *svc, struct shift_flow *f,
				   struct shift_backend_stats *bs)
{
	struct shift_target *t = bpf_map_lookup_elem(&shift_targets, &v->target);
	__u32 bytes = v->p.bytes, out;

	if (!t)
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	if (v->p.fragment) {
		fragment_note(v, f, SHIFT_FRAGMENT_UP);
		if (fragment_reorder(skb, v))
			return verdict(v, SHIFT_FRAGMENT_ORDER, TC_ACT_SHOT);
	}
	if (v->p.ttl <= 1)
		return verdict(v, SHIFT_DROP_TTL, TC_ACT_SHOT);
	if (is_long(&v->p, svc) && too_wide(skb, &v->p, t->mtu))
		return answer_too_big(skb, v, t->mtu);
	if (is_tcp_syn(&v->p) && clamp_to(skb, &v->p, narrowest(t, skb->ifindex)))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	f->bytes_up += bytes;
	if (bs) {
		bs->packets_up++;
		bs->bytes_up += bytes;
	}
	out = ends_to_backend(&v->ends, t, v->index, skb->ifindex);
	if (nat_rewrite(skb, &v->p, &v->ends))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, SHIFT_FORWARD, leave(skb, &v->p, out));
}

static __always_inline int is_cut(const struct shift_flow *f, const struct packet *p)
{
	__u64 cut_epoch = control_cut_epoch(f->service);

	return (f->cut || (cut_epoch && f->epoch < cut_epoch)) && !(p->flags & TCP_RST);
}

/* RST to the sender, on the way it came, then this packet becomes the RST to v->ends. */
static __noinline int cut(struct __sk_buff *skb, struct visit *v, __u32 out)
{
	__u32 in = skb->ifindex;
	struct ends other = v->ends;

	reset_for_sender(&v->reset, &v->p);
	if (reset_write(skb, &v->p, &v->reset) || swap_macs(skb, &v->p) ||
	    bpf_clone_redirect(skb, in, 0))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	reset_for_other(&v->reset, &v->p, &other);
	if (reset_write(skb, &v->p, &v->reset))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, SHIFT_CUT, leave(skb, &v->p, out));
}

static __always_inline void flow_cut(struct shift_flow *f, const struct shift_service *svc,
				     const struct visit *v)
{
	f->flags |= SHIFT_FLOW_CUT;
	flow_state(f, svc, SHIFT_FLOW_DONE, v->now);
}

/* The connection stays with the old host; a SYN of it will get the same answer again. */
static __noinline int leave_local(struct __sk_buff *skb, struct visit *v,
				  const struct shift_service *svc, __u32 what)
{
	if (v->d.control.authority == SHIFT_AUTHORITY_NEW && svc->on_unable == SHIFT_UNABLE_RESET) {
		if (v->p.protocol == IPPROTO_UDP)
			return answer_unreachable(skb, v);
		reset_for_sender(&v->reset, &v->p);
		if (reset_write(skb, &v->p, &v->reset))
			return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
		return verdict(v, SHIFT_RESET_UNABLE, leave(skb, &v->p, skb->ifindex));
	}
	count_arrival(v);
	if (what == SHIFT_PASS_FALLBACK)
		watch_begin(v);
	left_local(v, svc, SYN_KEEP);
	return verdict(v, what, NOT_OURS);
}

/*
 * Carries the decision v->d out. SHIFTED: v has the new flow's place; or LEAVE; or the packet's
 * action.
 */
static __noinline int settle(struct __sk_buff *skb, struct visit *v,
			     const struct shift_service *svc)
{
	struct shift_service_stats *ss = service_stats(v->service);
	struct shift_backend_stats *bs;
	struct decision *d = &v->d;

	if (!ss)
		return verdict(v, SHIFT_PASS_LOCAL, NOT_OURS);
	if (d->verdict == SHIFT_FORWARD) {
		int full = flow_insert(skb, v, svc);

		if (full) {
			d->verdict = SHIFT_PASS_FALLBACK;
			d->fallback = ~full;
		}
	}
	if (d->verdict != SHIFT_PASS_BYPASS && d->verdict != SHIFT_PASS_LOCAL_REPEAT)
		arrive(v, svc->affinity);
	switch (d->verdict) {
	case SHIFT_PASS_BYPASS:
		ss->bypassed++;
		return verdict(v, d->verdict, NOT_OURS);
	case SHIFT_PASS_LOCAL_REPEAT:
		ss->syn_retransmits++;
		watch_repeat(v, svc);
		if (d->local_socket == 1)
			left_local(v, svc, SYN_KEEP);
		return verdict(v, d->verdict, NOT_OURS);
	case SHIFT_PASS_FALLBACK:
		ss->connections_old++;
		ss->fallback[d->fallback & 7]++;
		return LEAVE;
	case SHIFT_FORWARD:
		ss->connections_new++;
		bs = backend_stats(d->backend);
		if (bs)
			bs->connections++;
		v->target = d->target;
		v->index = d->index;
		watch_leave(v);
		arm_begun(arm_place(v->service, SHIFT_ARM_NEW), d->control.epoch, v->born);
		return SHIFTED;
	default:
		ss->connections_old++;
		count_arrival(v);
		watch_begin(v);
		if (d->shadow) {
			ss->shadow++;
			left_local(v, svc, SYN_KEEP);
		}
		return verdict(v, SHIFT_PASS_LOCAL_SYN, NOT_OURS);
	}
}

/* Its backend never answered two SYNs: the third is for the old host (guarantee 4). */
static __noinline int rescue(struct __sk_buff *skb, struct visit *v,
			     const struct shift_service *svc, struct shift_flow *f)
{
	struct shift_service_stats *ss = service_stats(v->service);
	struct shift_backend_stats *bs;
	__u32 backend = f->backend;

	bs = backend_stats(backend);
	if (ss)
		ss->fallback[SHIFT_FALLBACK_RESCUED]++;
	if (bs)
		bs->handshake_failures++;
	breaker_failed(backend, v->now);
	flow_failed(f, SHIFT_FAILURE_UNANSWERED);
	flow_abandon(f, svc, v);
	__builtin_memset(&v->d.control, 0, sizeof(v->d.control));
	control_read(v->service, &v->d.control);
	return leave_local(skb, v, svc, SHIFT_PASS_RESCUED);
}

static __always_inline int is_syn(const struct packet *p)
{
	return (p->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

/*
 * A SYN on a tuple that has a record: does it begin anew? Certainly when the connection before is
 * over, or was never made, or was being closed by both ends. One that lives is asked first: its
 * backend challenges the SYN, and the client's own reset then ends it (RFC 5961, 4.2). A backend
 * that answers nothing, second after second, is asked no longer.
 */
static __always_inline int begins_anew(struct shift_flow *f, const struct shift_service *svc,
				       const struct visit *v)
{
	if (f->state >= SHIFT_FLOW_DONE)
		return 1;
	if (v->p.seq == f->client_isn)
		return 0; /* the same SYN again */
	if (f->state <= SHIFT_FLOW_SYN_RECV || (client_closes(f) && backend_closes(f)))
		return 1;
	if (f->syn_isn == v->p.seq && f->syn_retransmits > SYNS_UNANSWERED)
		return 1; /* the backend knows nothing of the connection: see answers_anew() */
	f->syn_isn = v->p.seq;
	if (f->syn_bytes != (__u32)f->bytes_down) { /* the backend lives */
		f->syn_bytes = f->bytes_down;
		f->syn_retransmits = 0;
	} else if (v->now - f->syn_tick < svc->timeout_second) {
		return 0;
	}
	f->syn_tick = v->now;
	return ++f->syn_retransmits > SYNS_UNANSWERED;
}

/* A client repeats its SYN a second later, or more; copies of it at once are no repetitions. */
static __always_inline int is_repeated(struct shift_flow *f, const struct shift_service *svc,
				       __u32 now)
{
	if (now - f->syn_tick < svc->timeout_second / 5)
		return 0;
	f->syn_tick = now;
	return 1;
}

/*
 * A client's packet with a live flow; NEW_CONNECTION: the tuple is used anew, and the old record is
 * out of its way.
 */
static __always_inline int known_flow(struct __sk_buff *skb, struct visit *v,
				      const struct shift_service *svc, struct shift_flow *f)
{
	struct shift_backend_stats *bs = backend_stats(f->backend);
	const struct packet *p = &v->p;
	int syn = is_syn(p);
	__u8 state = f->state;

	if (syn && (is_cut(f, p) || begins_anew(f, svc, v))) {
		/* The record keeps its port, resting, unless the backend may still answer. */
		flow_forget(f, v->target, v->index);
		if (state < SHIFT_FLOW_DONE)
			flow_state(f, svc, SHIFT_FLOW_ABANDONED, v->now);
		return NEW_CONNECTION;
	}
	if (is_cut(f, p)) {
		struct shift_target *t = bpf_map_lookup_elem(&shift_targets, &v->target);
		__u32 out;

		if (!t)
			return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
		out = ends_to_backend(&v->ends, t, v->index, skb->ifindex);
		flow_cut(f, svc, v);
		return cut(skb, v, out);
	}
	if (syn) {
		if (state == SHIFT_FLOW_SYN_SENT && is_repeated(f, svc, v->now)) {
			if (bs)
				bs->syn_retransmits++;
			if (++f->syn_retransmits >= 2)
				return rescue(skb, v, svc, f);
		}
		return forward(skb, v, svc, f, bs);
	}
	if (state <= SHIFT_FLOW_SYN_RECV && p->flags & TCP_ACK && !(p->flags & TCP_RST) &&
	    (state == SHIFT_FLOW_SYN_SENT ||
	     (p->ack - f->backend_isn - 1 > 0xffff && p->ack - f->backend_fin - 1 > 0xffff))) {
		/* It acknowledges somebody else's SYN-ACK: the old host's, by SYN cookie. (Not
		 * exactly: with TCP Fast Open data may have come before this.) */
		flow_abandon(f, svc, v);
		return verdict(v, SHIFT_PASS_LOCAL, NOT_OURS);
	}
	if (f->ifindex != skb->ifindex)
		f->ifindex = skb->ifindex;
	flow_from_client(f, p, svc, bs, v->now);
	return forward(skb, v, svc, f, bs);
}

/* The same of UDP: after a cut it is decided anew, since there is no reset to send. */
static __always_inline int known_udp(struct __sk_buff *skb, struct visit *v,
				     const struct shift_service *svc, struct shift_flow *f)
{
	if (is_cut(f, &v->p)) {
		flow_abandon(f, svc, v);
		return NEW_CONNECTION;
	}
	if (f->ifindex != skb->ifindex)
		f->ifindex = skb->ifindex;
	flow_udp(f, svc, 0, v->now);
	return forward(skb, v, svc, f, backend_stats(f->backend));
}

/* A QUIC Initial of version 1 or 2 (RFC 9000, 17.2.2; RFC 9369, 3.2), padded as they must be. */
static __always_inline int is_quic_initial(struct __sk_buff *skb, const struct packet *p)
{
	__u8 h[5];

	if (p->payload < 1200 ||
	    bpf_skb_load_bytes(skb, p->l4 + sizeof(struct udphdr), h, sizeof(h)))
		return 0;
	if (h[1] == 0 && h[2] == 0 && h[3] == 0 && h[4] == 1)
		return (h[0] & 0xf0) == 0xc0;
	if (h[1] == 0x6b && h[2] == 0x33 && h[3] == 0x43 && h[4] == 0xcf)
		return (h[0] & 0xf0) == 0xd0;
	return 0;
}

/*
 * Does the packet, which no shifted flow knows, begin a connection? In UDP every tuple that is not
 * remembered as the old host's does; of QUIC only with an Initial, because anything else goes on
 * with a connection of the old host's that has changed its address.
 */
static __always_inline int begins(struct __sk_buff *skb, struct visit *v,
				  const struct shift_service *svc)
{
	if (left_local(v, svc, SYN_TOUCH))
		return 0;
	if (!v->quic || is_quic_initial(skb, &v->p))
		return 1;
	left_local(v, svc, SYN_KEEP);
	return 0;
}

static __always_inline int is_listener(const struct shift_listen *l, const struct packet *p)
{
	return l && l->port == p->dport && l->protocol == p->protocol &&
	       l->flags & SHIFT_LISTEN_USED && same_address(l->address, p->dst);
}

/* The listener that is the packet's destination, and its id. NULL: it is none. */
static __always_inline struct shift_listen *find_listener(const struct packet *p, __u32 *ret_id)
{
	struct shift_listen_key key = {.port = p->dport, .protocol = p->protocol};
	__u32 zero = 0, place = p->dport ^ p->dport >> 8 ^ p->dst[3] ^ p->protocol;
	struct doors *d = bpf_map_lookup_elem(&shift_doors, &zero);
	struct shift_listen *l;
	__u32 *listen;

	asm volatile("" : "+r"(place)); /* 5.10 follows no XOR: the mask is to come last */
	place &= DOORS_LISTEN - 1;
	if (!d)
		return NULL;
	*ret_id = *(volatile __u32 *)&d->listen[place];
	l = bpf_map_lookup_elem(&shift_listens, ret_id);
	if (is_listener(l, p))
		return l;
	__builtin_memcpy(key.address, p->dst, sizeof(key.address));
	listen = bpf_map_lookup_elem(&shift_entry, &key);
	if (!listen)
		return NULL;
	*ret_id = *listen;
	d->listen[place] = *ret_id;
	return bpf_map_lookup_elem(&shift_listens, ret_id);
}

/* NULL: it is nobody's after all. */
static __always_inline struct shift_service *visit_service(struct visit *v,
							   const struct shift_listen *l)
{
	struct shift_service *svc;

	v->service = l->service;
	svc = bpf_map_lookup_elem(&shift_services, &v->service);
	if (!svc || !(svc->flags & SHIFT_SERVICE_USED))
		return NULL;
	v->hash = shift_hash(svc->seed, svc->affinity, v->p.src, v->p.sport);
	v->now = tick_now();
	return svc;
}

/* What counts for a new flow only. */
static __always_inline void visit_new(struct visit *v, const struct shift_listen *l,
				      const struct shift_service *svc)
{
	v->quic = l->flags & SHIFT_LISTEN_QUIC;
	v->draining = svc->flags & SHIFT_SERVICE_DRAIN || l->flags & SHIFT_LISTEN_DRAIN ||
		      (svc->pause_until && !shift_tick_passed(v->now, svc->pause_until));
}

static __always_inline int from_client(struct __sk_buff *skb, struct visit *v,
				       const struct shift_listen *l)
{
	struct shift_service *svc = visit_service(v, l);
	struct shift_flow *f;
	int action;

	if (!svc)
		return verdict(v, SHIFT_PASS_OTHER, NOT_OURS);
	if (rank_dirty(v->service, shift_hash_rank(v->hash))) {
		f = flow_find(v);
		if (f) {
			action = v->p.protocol == IPPROTO_UDP ? known_udp(skb, v, svc, f)
							      : known_flow(skb, v, svc, f);
			if (action != NEW_CONNECTION)
				return action;
		}
	}
	if (v->p.protocol == IPPROTO_TCP && !is_syn(&v->p)) {
		if (is_watched(&v->p))
			watch_client(v);
		return verdict(v, SHIFT_PASS_LOCAL, NOT_OURS);
	}
	visit_new(v, l, svc);
	if (v->p.protocol == IPPROTO_UDP && !begins(skb, v, svc))
		return verdict(v, SHIFT_PASS_LOCAL, NOT_OURS);
	decide(skb, v, svc, 1);
	if (v->d.verdict == SHIFT_FORWARD)
		pick_target(skb, v);
	action = settle(skb, v, svc);
	if (action == LEAVE)
		return leave_local(skb, v, svc, SHIFT_PASS_FALLBACK);
	if (action != SHIFTED)
		return action;
	f = flow_slot(v->target, v->index);
	if (!f)
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return forward(skb, v, svc, f, backend_stats(f->backend));
}
