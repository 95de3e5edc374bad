/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shift_tc.bpf.c - the data plane on tc ingress: the packet's story, read from top to bottom
 *
 * A packet is from a client (its destination is a listener), or from a backend (its destination is
 * a NAT port), or nobody's. The rule that everything else follows: a packet which neither begins a
 * new connection nor belongs to a known shifted flow is the old host's, untouched. So attaching,
 * replacing and detaching the program, and every change of the share, break nothing.
 *
 * What is not ours goes on with TC_ACT_UNSPEC, so that later programs see it. What is ours is
 * rewritten and redirected to its next hop, past the host's stack: forwarding may be off, rp_filter
 * strict. Every packet ends in exactly one verdict, and each verdict is counted (shift.h).
 *
 * Known weaknesses: a clash of two hashes in the memory of SYNs (1 in 2^32 per new connection)
 * leaves a connection local; the counters of one CPU may lose an increment on a kernel that
 * preempts softirqs; UDP, ICMP errors, fragments and VLAN tags pass to the host.
 */
#include "bpf/decide.bpf.h"
#include "bpf/reset.bpf.h"

#define NOT_OURS TC_ACT_UNSPEC

/* Not yet the packet's end. */
enum { NEW_CONNECTION = -100, SHIFTED = -101, LEAVE = -102 };

/* A client whose old connection nobody ends may begin anew after so many SYNs a second apart. */
#define SYNS_UNANSWERED 3

#ifndef SHIFT_BUILD
#define SHIFT_BUILD 1
#endif
const volatile __u64 build = SHIFT_BUILD;

/* The packet as the backend is to see it; the way out. */
static __always_inline __u32 ends_to_backend(struct ends *e, const struct shift_target *t,
					     __u32 index, __u32 here)
{
	__builtin_memcpy(e->src, t->nat, sizeof(e->src));
	__builtin_memcpy(e->dst, t->address, sizeof(e->dst));
	e->sport = bpf_htons(t->port_lo + index);
	e->dport = t->port;
	return t->ifindex ? t->ifindex : here;
}

/* Client to backend. */
static __always_inline int forward(struct __sk_buff *skb, struct visit *v, struct shift_flow *f,
				   struct shift_backend_stats *bs)
{
	struct shift_target *t = bpf_map_lookup_elem(&shift_targets, &v->target);
	__u32 bytes = v->p.bytes, out;

	if (!t)
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	if (v->p.ttl <= 1)
		return verdict(v, SHIFT_DROP_TTL, TC_ACT_SHOT);
	f->bytes_up += bytes;
	if (bs) {
		bs->packets_up++;
		bs->bytes_up += bytes;
	}
	out = ends_to_backend(&v->ends, t, v->index, skb->ifindex);
	if (nat_rewrite(skb, &v->p, &v->ends))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, SHIFT_FORWARD, bpf_redirect_neigh(out, NULL, 0, 0));
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
	return verdict(v, SHIFT_CUT, bpf_redirect_neigh(out, NULL, 0, 0));
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
		reset_for_sender(&v->reset, &v->p);
		if (reset_write(skb, &v->p, &v->reset))
			return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
		return verdict(v, SHIFT_RESET_UNABLE, bpf_redirect_neigh(skb->ifindex, NULL, 0, 0));
	}
	syn_left_local(v, svc, SYN_KEEP);
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
	if (d->verdict == SHIFT_FORWARD && flow_insert(skb, v, svc)) {
		d->verdict = SHIFT_PASS_FALLBACK;
		d->fallback = SHIFT_FALLBACK_TABLE_FULL;
	}
	switch (d->verdict) {
	case SHIFT_PASS_BYPASS:
		ss->bypassed++;
		return verdict(v, d->verdict, NOT_OURS);
	case SHIFT_PASS_LOCAL_REPEAT:
		ss->syn_retransmits++;
		if (d->local_socket == 1)
			syn_left_local(v, svc, SYN_KEEP);
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
		return SHIFTED;
	default:
		ss->connections_old++;
		if (d->shadow) {
			ss->shadow++;
			syn_left_local(v, svc, SYN_KEEP);
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
	if (f->state <= SHIFT_FLOW_SYN_RECV ||
	    (f->state == SHIFT_FLOW_CLOSING &&
	     (f->up & f->down & SHIFT_SEEN_FIN || (f->up | f->down) & SHIFT_SEEN_RST)))
		return 1;
	if (f->syn_bytes != f->bytes_down) { /* the backend lives */
		f->syn_bytes = f->bytes_down;
		f->syn_retransmits = 0;
	} else if (v->now - f->syn_tick < svc->timeout_second) {
		return 0;
	}
	f->syn_tick = v->now;
	return ++f->syn_retransmits > SYNS_UNANSWERED;
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
		if (state == SHIFT_FLOW_SYN_SENT) {
			if (bs)
				bs->syn_retransmits++;
			if (++f->syn_retransmits >= 2)
				return rescue(skb, v, svc, f);
		}
		return forward(skb, v, f, bs);
	}
	if (state <= SHIFT_FLOW_SYN_RECV && p->flags & TCP_ACK && !(p->flags & TCP_RST) &&
	    (state == SHIFT_FLOW_SYN_SENT || p->ack - f->backend_isn - 1 > 0xffff)) {
		/* It acknowledges somebody else's SYN-ACK: the old host's, by SYN cookie. (Not
		 * exactly: with TCP Fast Open data may have come before this.) */
		flow_abandon(f, svc, v);
		return verdict(v, SHIFT_PASS_LOCAL, NOT_OURS);
	}
	if (f->ifindex != skb->ifindex)
		f->ifindex = skb->ifindex;
	flow_from_client(f, p, svc, bs, v->now);
	return forward(skb, v, f, bs);
}

/* v->listen is known. NULL: it is nobody's after all. */
static __always_inline struct shift_service *visit_service(struct visit *v)
{
	struct shift_listen *l = bpf_map_lookup_elem(&shift_listens, &v->listen);
	struct shift_service *svc;

	if (!l)
		return NULL;
	v->service = l->service;
	svc = bpf_map_lookup_elem(&shift_services, &v->service);
	if (!svc || !(svc->flags & SHIFT_SERVICE_USED))
		return NULL;
	v->draining = svc->flags & SHIFT_SERVICE_DRAIN || l->flags & SHIFT_LISTEN_DRAIN;
	v->hash = shift_hash(svc->seed, svc->affinity, v->p.src, v->p.sport);
	v->now = tick_now();
	return svc;
}

static __always_inline int from_client(struct __sk_buff *skb, struct visit *v)
{
	struct shift_service *svc = visit_service(v);
	struct shift_flow *f;
	int action;

	if (!svc)
		return verdict(v, SHIFT_PASS_OTHER, NOT_OURS);
	if (rank_dirty(v->service, shift_hash_rank(v->hash))) {
		f = flow_find(v);
		if (f) {
			action = known_flow(skb, v, svc, f);
			if (action != NEW_CONNECTION)
				return action;
		}
	}
	if (!is_syn(&v->p))
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
	return forward(skb, v, f, backend_stats(f->backend));
}

/* The flow that a backend's packet answers, by the port alone. */
static __always_inline struct shift_flow *flow_of_reply(struct visit *v, int *ret_is_target)
{
	struct shift_reply_key key = {.port = v->p.sport, .protocol = v->p.protocol};
	struct shift_target *t;
	struct shift_flow *f;
	__u32 *target;

	__builtin_memcpy(key.address, v->p.src, sizeof(key.address));
	__builtin_memcpy(key.nat, v->p.dst, sizeof(key.nat));
	*ret_is_target = 0;
	target = bpf_map_lookup_elem(&shift_replies, &key);
	if (!target)
		return NULL;
	v->target = *target;
	t = bpf_map_lookup_elem(&shift_targets, &v->target);
	if (!t)
		return NULL;
	*ret_is_target = 1;
	v->index = bpf_ntohs(v->p.dport) - t->port_lo;
	f = flow_slot(v->target, v->index);
	if (!f || f->state == SHIFT_FLOW_ABANDONED || !shift_flow_holds(f, v->now))
		return NULL;
	return f;
}

static __always_inline int from_backend(struct __sk_buff *skb, struct visit *v)
{
	struct shift_backend_stats *bs;
	struct shift_service *svc;
	struct shift_listen *l;
	struct shift_flow *f;
	__u32 bytes, out;
	int is_target;

	v->now = tick_now();
	f = flow_of_reply(v, &is_target);
	if (!f)
		return verdict(v, is_target ? SHIFT_PASS_REPLY_UNKNOWN : SHIFT_PASS_OTHER,
			       NOT_OURS);
	v->listen = f->listen;
	v->service = f->service;
	l = bpf_map_lookup_elem(&shift_listens, &v->listen);
	svc = bpf_map_lookup_elem(&shift_services, &v->service);
	if (!l || !svc || !(svc->flags & SHIFT_SERVICE_USED))
		return verdict(v, SHIFT_PASS_REPLY_UNKNOWN, NOT_OURS);
	__builtin_memcpy(v->ends.src, l->address, sizeof(v->ends.src));
	__builtin_memcpy(v->ends.dst, f->client, sizeof(v->ends.dst));
	v->ends.sport = l->port;
	v->ends.dport = f->client_port;
	out = f->ifindex;
	if (is_cut(f, &v->p)) {
		flow_cut(f, svc, v);
		return cut(skb, v, out);
	}
	bytes = v->p.bytes;
	bs = backend_stats(f->backend);
	flow_from_backend(f, &v->p, svc, bs, v->now);
	if (v->p.ttl <= 1)
		return verdict(v, SHIFT_DROP_TTL, TC_ACT_SHOT);
	f->bytes_down += bytes;
	if (bs) {
		bs->packets_down++;
		bs->bytes_down += bytes;
	}
	if (nat_rewrite(skb, &v->p, &v->ends))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, SHIFT_REPLY, bpf_redirect_neigh(out, NULL, 0, 0));
}

static __always_inline enum parsed read_packet(struct __sk_buff *skb, struct packet *p)
{
	struct shift_ports *ports;
	__u32 zero = 0, headers;
	enum parsed what;

	ports = bpf_map_lookup_elem(&shift_ports, &zero);
	/* What was sent to another machine's MAC is not ours, even if somebody listens to all. */
	if (!ports || skb->vlan_present || skb->pkt_type != PACKET_HOST)
		return PARSED_OTHER;
	what = parse(skb, p, ports);
	if (what != PARSED_SHORT)
		return what;
	/* The headers may lie beyond the linear part. */
	headers = l3_offset + 60 + sizeof(struct tcphdr);
	if (headers > skb->len)
		headers = skb->len;
	if (bpf_skb_pull_data(skb, headers))
		return PARSED_MALFORMED;
	what = parse(skb, p, ports);
	return what == PARSED_SHORT ? PARSED_MALFORMED : what;
}

/* Is the packet's destination a listener? Then v->listen says which. */
static __always_inline int find_listener(struct visit *v)
{
	struct shift_listen_key key = {.port = v->p.dport, .protocol = v->p.protocol};
	__u32 *listen;

	__builtin_memcpy(key.address, v->p.dst, sizeof(key.address));
	listen = bpf_map_lookup_elem(&shift_entry, &key);
	if (!listen)
		return 0;
	v->listen = *listen;
	return 1;
}

SEC("tc")
int shift_ingress(struct __sk_buff *skb)
{
	struct shift_if_stats *stats = count_packet();
	struct visit *v;

	if (!stats)
		return NOT_OURS;
	v = visit_of(stats);
	switch (read_packet(skb, &v->p)) {
	case PARSED_CLIENT:
		if (find_listener(v))
			return from_client(skb, v);
		/* The port may be another address's, and in a NAT range here. */
		return from_backend(skb, v);
	case PARSED_NAT:
		return from_backend(skb, v);
	case PARSED_FRAGMENT:
		return verdict(v, SHIFT_PASS_FRAGMENT, NOT_OURS);
	case PARSED_MALFORMED:
		return verdict(v, SHIFT_PASS_MALFORMED, NOT_OURS);
	default:
		return verdict(v, SHIFT_PASS_OTHER, NOT_OURS);
	}
}

/*
 * What the program above would do with this SYN, told and not done. Never attached: shiftctl runs
 * it with BPF_PROG_TEST_RUN on the maps of the attached one, and as the interface after the last.
 */
SEC("tc")
int shift_explain(struct __sk_buff *skb)
{
	__u32 zero = 0, place = SHIFT_MAX_INTERFACES;
	struct shift_explanation *x = bpf_map_lookup_elem(&shift_answer, &zero);
	struct shift_if_stats *stats = bpf_map_lookup_elem(&shift_ifstats, &place);
	struct shift_service *svc;
	struct shift_flow *f;
	struct visit *v;

	if (!x || !stats)
		return NOT_OURS;
	v = visit_of(stats);
	__builtin_memset(x, 0, sizeof(*x));
	if (read_packet(skb, &v->p) != PARSED_CLIENT || !find_listener(v))
		return NOT_OURS;
	svc = visit_service(v);
	if (!svc)
		return NOT_OURS;
	x->listen = v->listen;
	x->service = v->service;
	x->hash = v->hash;
	x->rank = shift_hash_rank(v->hash);
	f = flow_find(v);
	if (f) {
		x->flow_state = f->state;
		x->backend = f->backend;
		x->target = v->target;
		x->epoch = f->epoch;
		x->verdict = SHIFT_FORWARD;
		return NOT_OURS;
	}
	decide(skb, v, svc, 0);
	x->epoch = v->d.control.epoch;
	x->threshold = v->d.control.threshold;
	x->verdict = v->d.verdict;
	x->fallback = v->d.fallback;
	x->backend = v->d.backend;
	x->client_action = v->d.client_action;
	x->local_socket = v->d.local_socket;
	return NOT_OURS;
}

/* One reading of both clocks, so that userspace can tell ticks from CLOCK_MONOTONIC. */
SEC("tc")
int shift_clock(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct shift_explanation *x = bpf_map_lookup_elem(&shift_answer, &zero);

	(void)skb;
	if (!x)
		return NOT_OURS;
	x->hash = bpf_jiffies64();
	x->epoch = bpf_ktime_get_ns();
	return NOT_OURS;
}

char _license[] SEC("license") = "GPL";
