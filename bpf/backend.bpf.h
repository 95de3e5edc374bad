/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * backend.bpf.h - a backend's packet: back to the client whose flow has this port
 */
#pragma once

#include "bpf/client.bpf.h"

static __always_inline int from_target(const struct shift_target *t, const struct packet *p)
{
	return t && t->port == p->sport && t->protocol == p->protocol &&
	       t->flags & SHIFT_TARGET_USED && same_address(t->address, p->src) &&
	       same_address(t->nat, p->dst);
}

/* The target that the packet comes from; v->target says which. NULL: from none. */
static __always_inline struct shift_target *find_target(struct visit *v)
{
	struct shift_reply_key key = {.port = v->p.sport, .protocol = v->p.protocol};
	__u32 zero = 0, place = v->p.src[3] ^ v->p.src[1] ^ v->p.dst[3] << 3 ^ v->p.protocol << 2;
	struct doors *d = bpf_map_lookup_elem(&shift_doors, &zero);
	struct shift_target *t;
	__u32 *target;

	place ^= place >> 16;
	place ^= place >> 8 ^ v->p.sport;
	asm volatile("" : "+r"(place));
	place &= DOORS_REPLY - 1;
	if (!d)
		return NULL;
	v->target = *(volatile __u32 *)&d->reply[place];
	t = bpf_map_lookup_elem(&shift_targets, &v->target);
	if (from_target(t, &v->p))
		return t;
	__builtin_memcpy(key.address, v->p.src, sizeof(key.address));
	__builtin_memcpy(key.nat, v->p.dst, sizeof(key.nat));
	target = bpf_map_lookup_elem(&shift_replies, &key);
	if (!target)
		return NULL;
	v->target = *target;
	d->reply[place] = v->target;
	return bpf_map_lookup_elem(&shift_targets, &v->target);
}

/* The flow that a backend's packet answers, by the port alone. */
static __always_inline struct shift_flow *flow_of_reply(struct visit *v, int *ret_is_target)
{
	struct shift_target *t = find_target(v);
	struct shift_flow *f;

	*ret_is_target = 0;
	if (!t)
		return NULL;
	*ret_is_target = 1;
	v->index = bpf_ntohs(v->p.dport) - t->port_lo;
	f = flow_slot(v->target, v->index);
	if (!f || f->state == SHIFT_FLOW_ABANDONED || !shift_flow_holds(f, v->now))
		return NULL;
	return f;
}

/* The packet as the client is to see it, in v->ends. NULL: the flow's service is gone. */
static __always_inline struct shift_service *ends_to_client(struct visit *v,
							    const struct shift_flow *f)
{
	struct shift_service *svc;
	struct shift_listen *l;

	v->listen = f->listen;
	v->service = f->service;
	l = bpf_map_lookup_elem(&shift_listens, &v->listen);
	svc = bpf_map_lookup_elem(&shift_services, &v->service);
	if (!l || !svc || !(svc->flags & SHIFT_SERVICE_USED))
		return NULL;
	copy_address(v->ends.src, l->address);
	copy_address(v->ends.dst, f->client);
	v->ends.sport = l->port;
	v->ends.dport = f->client_port;
	return svc;
}

/* What the backend says in a SYN-ACK of its MSS is the client's to obey, through the same way. */
static __noinline int clamp_reply(struct __sk_buff *skb, struct visit *v)
{
	struct shift_target *t = bpf_map_lookup_elem(&shift_targets, &v->target);

	return t ? clamp_to(skb, &v->p, t->mtu) : 0;
}

/*
 * Does the backend answer the SYN that asked a living flow to begin anew? Then it has forgotten the
 * connection. But the SYN's way is the old share's: it is to be decided afresh, so the backend is
 * told to forget this one, too, and the SYN's next repetition begins anew.
 */
static __always_inline int answers_anew(struct shift_flow *f, const struct packet *p)
{
	if ((p->flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK) ||
	    f->state < SHIFT_FLOW_ESTABLISHED || f->state > SHIFT_FLOW_CLOSING || !f->syn_tick ||
	    p->ack - f->syn_isn - 1 > 0xffff || p->ack - f->client_isn - 1 <= 0xffff)
		return 0;
	f->syn_retransmits = SYNS_UNANSWERED + 1;
	return 1;
}

static __noinline int refuse_anew(struct __sk_buff *skb, struct visit *v)
{
	reset_for_sender(&v->reset, &v->p);
	if (reset_write(skb, &v->p, &v->reset))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, SHIFT_REFUSED_ANEW, leave(skb, &v->p, skb->ifindex));
}

#define HOSTS_SECONDS 120
#define HOSTS_PAUSE   8 /* ticks between two ports that are left */

/*
 * A backend answers at a port that no flow has: the host's own connection, or one that it
 * masquerades for a container. Where that may be, no flow is given the port while it is in use, and
 * the one that had it is counted no longer: no hand passes it. A stranger may pretend to be the
 * backend, so few ports are left in a time, and never many at once.
 */
static __noinline int leave_port(struct visit *v)
{
	struct shift_target *t = bpf_map_lookup_elem(&shift_targets, &v->target);
	__u32 key = v->target * SHIFT_MAX_SHARDS, backend, service;
	struct shift_service *svc;
	struct shift_backend *b;
	struct shift_hand *h;
	struct shift_flow *f;

	if (!t || !(t->flags & SHIFT_TARGET_MASQUERADE) ||
	    (v->p.protocol == IPPROTO_TCP &&
	     (v->p.flags & (TCP_ACK | TCP_SYN | TCP_RST)) != TCP_ACK))
		return 0;
	f = flow_slot(v->target, v->index);
	h = bpf_map_lookup_elem(&shift_cursors, &key);
	backend = t->backend;
	b = bpf_map_lookup_elem(&shift_backends, &backend);
	if (!f || !h || !b)
		return 0;
	service = b->service;
	svc = bpf_map_lookup_elem(&shift_services, &service);
	if (!svc)
		return 0;
	if (shift_flow_holds(f, v->now)) {
		if (f->state != SHIFT_FLOW_ABANDONED || !(f->flags & SHIFT_FLOW_HOSTS))
			return 0;
	} else {
		if (v->now - h->left_tick < HOSTS_PAUSE)
			return 0;
		h->left_tick = v->now;
		if (f->state != SHIFT_FLOW_ABANDONED) {
			f->was = f->state;
			f->state = SHIFT_FLOW_ABANDONED;
		}
		f->flags |= SHIFT_FLOW_HOSTS;
	}
	uncount_client(f);
	uncount_half_open(f);
	f->expires = v->now + svc->timeout_second * HOSTS_SECONDS;
	return 1;
}

static __always_inline int from_backend(struct __sk_buff *skb, struct visit *v)
{
	struct shift_backend_stats *bs;
	struct shift_service *svc;
	struct shift_flow *f;
	__u32 bytes, out;
	int is_target;

	v->now = tick_now();
	f = flow_of_reply(v, &is_target);
	if (!f) {
		if (is_target)
			leave_port(v);
		return verdict(v, is_target ? SHIFT_PASS_REPLY_UNKNOWN : SHIFT_PASS_OTHER,
			       NOT_OURS);
	}
	svc = ends_to_client(v, f);
	if (!svc)
		return verdict(v, SHIFT_PASS_REPLY_UNKNOWN, NOT_OURS);
	out = f->ifindex;
	if (is_cut(f, &v->p)) {
		if (v->p.protocol == IPPROTO_UDP) {
			flow_abandon(f, svc, v);
			return verdict(v, SHIFT_PASS_REPLY_UNKNOWN, NOT_OURS);
		}
		flow_cut(f, svc, v);
		return cut(skb, v, out);
	}
	if (v->p.fragment) {
		fragment_note(v, f, SHIFT_FRAGMENT_DOWN);
		if (fragment_reorder(skb, v))
			return verdict(v, SHIFT_FRAGMENT_ORDER, TC_ACT_SHOT);
	}
	if (is_long(&v->p, svc)) {
		__u32 mtu = interface_mtu(out);

		if (too_wide(skb, &v->p, mtu))
			return answer_too_big(skb, v, mtu);
	}
	bytes = v->p.bytes;
	bs = backend_stats(f->backend);
	if (answers_anew(f, &v->p))
		return refuse_anew(skb, v);
	if (v->p.protocol == IPPROTO_UDP)
		flow_udp(f, svc, 1, v->now);
	else
		flow_from_backend(f, &v->p, svc, bs, v->now);
	if (v->p.ttl <= 1)
		return verdict(v, SHIFT_DROP_TTL, TC_ACT_SHOT);
	if (is_tcp_syn(&v->p) && clamp_reply(skb, v))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	f->bytes_down += bytes;
	if (bs) {
		bs->packets_down++;
		bs->bytes_down += bytes;
	}
	if (nat_rewrite(skb, &v->p, &v->ends))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, SHIFT_REPLY, leave(skb, &v->p, out));
}
