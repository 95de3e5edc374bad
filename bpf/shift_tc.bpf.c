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

#ifndef SHIFT_BUILD
#define SHIFT_BUILD 1
#endif
const volatile __u64 build = SHIFT_BUILD;

static __always_inline int verdict(const struct visit *v, enum shift_verdict what, int action)
{
	if (v->stats)
		v->stats->verdict[what]++;
	return action;
}

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
static __always_inline int forward(struct __sk_buff *skb, const struct visit *v,
				   struct shift_flow *f, struct shift_backend_stats *bs)
{
	struct shift_target *t = bpf_map_lookup_elem(&shift_targets, &v->target);
	__u32 bytes = skb->len - v->p.l3, out;
	struct ends e;

	if (!t)
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	if (v->p.ttl <= 1)
		return verdict(v, SHIFT_DROP_TTL, TC_ACT_SHOT);
	f->bytes_up += bytes;
	if (bs) {
		bs->packets_up++;
		bs->bytes_up += bytes;
	}
	out = ends_to_backend(&e, t, v->index, skb->ifindex);
	if (nat_rewrite(skb, &v->p, &e))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, SHIFT_FORWARD, bpf_redirect_neigh(out, NULL, 0, 0));
}

static __always_inline int is_cut(const struct shift_flow *f, const struct packet *p)
{
	__u64 cut_epoch = control_cut_epoch(f->service);

	return (f->cut || (cut_epoch && f->epoch < cut_epoch)) && !(p->flags & TCP_RST);
}

/* RST to the sender, on the way it came, then this packet becomes the RST to the other side. */
static __noinline int cut(struct __sk_buff *skb, const struct visit *v, const struct ends *other,
			  __u32 out)
{
	__u32 in = skb->ifindex;
	struct reset r;

	reset_for_sender(&r, &v->p);
	if (reset_write(skb, &v->p, &r) || swap_macs(skb, &v->p) || bpf_clone_redirect(skb, in, 0))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	reset_for_other(&r, &v->p, other);
	if (reset_write(skb, &v->p, &r))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, SHIFT_CUT, bpf_redirect_neigh(out, NULL, 0, 0));
}

static __always_inline void flow_cut(struct shift_flow *f, const struct visit *v)
{
	f->flags |= SHIFT_FLOW_RESET;
	flow_state(f, v->svc, SHIFT_FLOW_DONE, v->now);
}

/* The connection stays with the old host; a SYN of it will get the same answer again. */
static __noinline int leave_local(struct __sk_buff *skb, const struct visit *v,
				  enum shift_verdict what, int authority)
{
	struct reset r;

	if (authority == SHIFT_AUTHORITY_NEW && v->svc->on_unable == SHIFT_UNABLE_RESET) {
		reset_for_sender(&r, &v->p);
		if (reset_write(skb, &v->p, &r))
			return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
		return verdict(v, SHIFT_RESET_UNABLE, bpf_redirect_neigh(skb->ifindex, NULL, 0, 0));
	}
	syn_left_local(v, SYN_KEEP);
	return verdict(v, what, NOT_OURS);
}

/* Carries the decision out. SHIFTED, v has the new flow's place; or LEAVE; or the packet's action.
 */
static __noinline int settle(struct __sk_buff *skb, struct visit *v, struct decision *d)
{
	struct shift_service_stats *ss = service_stats(v->service);
	struct shift_backend_stats *bs;

	if (!ss)
		return verdict(v, SHIFT_PASS_LOCAL, NOT_OURS);
	if (d->verdict == SHIFT_FORWARD && flow_insert(skb, v, d)) {
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
			syn_left_local(v, SYN_KEEP);
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
			syn_left_local(v, SYN_KEEP);
		}
		return verdict(v, SHIFT_PASS_LOCAL_SYN, NOT_OURS);
	}
}

/* Its backend never answered two SYNs: the third is for the old host (guarantee 4). */
static __noinline int rescue(struct __sk_buff *skb, struct visit *v)
{
	struct shift_service_stats *ss = service_stats(v->service);
	struct shift_flow *f = flow_slot(v->target, v->index);
	struct control c = {};

	if (ss)
		ss->fallback[SHIFT_FALLBACK_RESCUED]++;
	if (f) {
		struct shift_backend_stats *bs = backend_stats(f->backend);

		if (bs)
			bs->handshake_failures++;
		flow_abandon(f, v->svc, v->target, v->index, v->now);
	}
	control_read(v->service, &c);
	return leave_local(skb, v, SHIFT_PASS_RESCUED, c.authority);
}

static __always_inline int is_syn(const struct packet *p)
{
	return (p->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/*
 * A client's packet with a live flow; NEW_CONNECTION: the tuple is used anew, and the old record is
 * out of its way.
 */
static __always_inline int known_flow(struct __sk_buff *skb, struct visit *v, struct shift_flow *f)
{
	struct shift_backend_stats *bs = backend_stats(f->backend);
	const struct packet *p = &v->p;
	int syn = is_syn(p);
	__u8 state = f->state;

	if (syn && p->seq != f->client_isn && state != SHIFT_FLOW_ESTABLISHED) {
		/* The record keeps its port, resting, unless the backend may still answer. */
		flow_forget(f, v->target, v->index);
		if (state < SHIFT_FLOW_DONE)
			flow_state(f, v->svc, SHIFT_FLOW_ABANDONED, v->now);
		return NEW_CONNECTION;
	}
	if (is_cut(f, p)) {
		struct shift_target *t = bpf_map_lookup_elem(&shift_targets, &v->target);
		struct ends other;
		__u32 out;

		if (!t)
			return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
		out = ends_to_backend(&other, t, v->index, skb->ifindex);
		flow_cut(f, v);
		return cut(skb, v, &other, out);
	}
	if (syn) {
		/* The same SYN again; or, established, one that the backend will challenge. */
		if (state == SHIFT_FLOW_SYN_SENT) {
			if (bs)
				bs->syn_retransmits++;
			if (++f->syn_retransmits >= 2)
				return rescue(skb, v);
		}
		return forward(skb, v, f, bs);
	}
	if (state <= SHIFT_FLOW_SYN_RECV && p->flags & TCP_ACK && !(p->flags & TCP_RST) &&
	    (state == SHIFT_FLOW_SYN_SENT || p->ack - f->backend_isn - 1 > 0xffff)) {
		/* It acknowledges somebody else's SYN-ACK: the old host's, by SYN cookie. (Not
		 * exactly: with TCP Fast Open data may have come before this.) */
		flow_abandon(f, v->svc, v->target, v->index, v->now);
		return verdict(v, SHIFT_PASS_LOCAL, NOT_OURS);
	}
	if (f->ifindex != skb->ifindex)
		f->ifindex = skb->ifindex;
	flow_from_client(f, p, v->svc, bs, v->now);
	return forward(skb, v, f, bs);
}

/* v->listen is known. 0: it is nobody's after all. */
static __always_inline int visit_service(struct visit *v)
{
	struct shift_listen *l = bpf_map_lookup_elem(&shift_listens, &v->listen);

	if (!l)
		return 0;
	v->service = l->service;
	v->svc = bpf_map_lookup_elem(&shift_services, &v->service);
	if (!v->svc || !(v->svc->flags & SHIFT_SERVICE_USED))
		return 0;
	v->draining = v->svc->flags & SHIFT_SERVICE_DRAIN || l->flags & SHIFT_LISTEN_DRAIN;
	v->hash = shift_hash(v->svc->seed, v->svc->affinity, v->p.src, v->p.sport);
	v->now = tick_now();
	return 1;
}

static __always_inline int from_client(struct __sk_buff *skb, struct visit *v)
{
	struct decision d = {};
	struct shift_flow *f;
	int action;

	if (!visit_service(v))
		return verdict(v, SHIFT_PASS_OTHER, NOT_OURS);
	if (rank_dirty(v->service, shift_hash_rank(v->hash))) {
		f = flow_find(&v->p, v->listen, v->now, &v->target, &v->index);
		if (f) {
			action = known_flow(skb, v, f);
			if (action != NEW_CONNECTION)
				return action;
		}
	}
	if (!is_syn(&v->p))
		return verdict(v, SHIFT_PASS_LOCAL, NOT_OURS);
	decide(skb, v, &d, 1);
	if (d.verdict == SHIFT_FORWARD)
		pick_target(skb, v, &d);
	action = settle(skb, v, &d);
	if (action == LEAVE)
		return leave_local(skb, v, SHIFT_PASS_FALLBACK, d.control.authority);
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
	struct shift_listen *l;
	struct shift_flow *f;
	struct ends e;
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
	v->svc = bpf_map_lookup_elem(&shift_services, &v->service);
	if (!l || !v->svc || !(v->svc->flags & SHIFT_SERVICE_USED))
		return verdict(v, SHIFT_PASS_REPLY_UNKNOWN, NOT_OURS);
	__builtin_memcpy(e.src, l->address, sizeof(e.src));
	__builtin_memcpy(e.dst, f->client, sizeof(e.dst));
	e.sport = l->port;
	e.dport = f->client_port;
	out = f->ifindex;
	if (is_cut(f, &v->p)) {
		flow_cut(f, v);
		return cut(skb, v, &e, out);
	}
	bytes = skb->len - v->p.l3;
	bs = backend_stats(f->backend);
	flow_from_backend(f, &v->p, v->svc, bs, v->now);
	if (v->p.ttl <= 1)
		return verdict(v, SHIFT_DROP_TTL, TC_ACT_SHOT);
	f->bytes_down += bytes;
	if (bs) {
		bs->packets_down++;
		bs->bytes_down += bytes;
	}
	if (nat_rewrite(skb, &v->p, &e))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, SHIFT_REPLY, bpf_redirect_neigh(out, NULL, 0, 0));
}

static __always_inline enum parsed read_packet(struct __sk_buff *skb, struct packet *p)
{
	struct shift_ports *ports;
	__u32 zero = 0, headers;
	enum parsed what;

	ports = bpf_map_lookup_elem(&shift_ports, &zero);
	if (!ports || skb->vlan_present)
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
	struct visit v;

	v.stats = count_packet();
	switch (read_packet(skb, &v.p)) {
	case PARSED_CLIENT:
		if (find_listener(&v))
			return from_client(skb, &v);
		/* The port may be another address's, and in a NAT range here. */
		return from_backend(skb, &v);
	case PARSED_NAT:
		return from_backend(skb, &v);
	case PARSED_FRAGMENT:
		return verdict(&v, SHIFT_PASS_FRAGMENT, NOT_OURS);
	case PARSED_MALFORMED:
		return verdict(&v, SHIFT_PASS_MALFORMED, NOT_OURS);
	default:
		return verdict(&v, SHIFT_PASS_OTHER, NOT_OURS);
	}
}

/*
 * What the program above would do with this SYN, told and not done. Never attached: shiftctl runs
 * it with BPF_PROG_TEST_RUN on the maps of the attached one.
 */
SEC("tc")
int shift_explain(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct shift_explanation *x = bpf_map_lookup_elem(&shift_answer, &zero);
	struct decision d = {};
	struct shift_flow *f;
	struct visit v;

	if (!x)
		return NOT_OURS;
	__builtin_memset(x, 0, sizeof(*x));
	if (read_packet(skb, &v.p) != PARSED_CLIENT || !find_listener(&v) || !visit_service(&v))
		return NOT_OURS;
	x->listen = v.listen;
	x->service = v.service;
	x->hash = v.hash;
	x->rank = shift_hash_rank(v.hash);
	f = flow_find(&v.p, v.listen, v.now, &v.target, &v.index);
	if (f) {
		x->flow_state = f->state;
		x->backend = f->backend;
		x->target = v.target;
		x->epoch = f->epoch;
		x->verdict = SHIFT_FORWARD;
		return NOT_OURS;
	}
	decide(skb, &v, &d, 0);
	x->epoch = d.control.epoch;
	x->threshold = d.control.threshold;
	x->verdict = d.verdict;
	x->fallback = d.fallback;
	x->backend = d.backend;
	x->client_action = d.client_action;
	x->local_socket = d.local_socket;
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
