/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shift_tc.bpf.c - the data plane on tc: the packet's story, read from top to bottom
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
 * preempts softirqs; a packet with a VLAN tag passes: its VLAN device, listed, sees it without.
 */
#include "bpf/backend.bpf.h"
#include "bpf/icmp.bpf.h"
#include "bpf/watch.bpf.h"
#include "bpf/xdp.bpf.h"

#ifndef SHIFT_BUILD
#define SHIFT_BUILD 1
#endif
const volatile __u64 build = SHIFT_BUILD;

static __always_inline enum parsed read_packet(struct __sk_buff *skb, struct packet *p)
{
	struct shift_ports *ports;
	__u32 zero = 0, headers;
	enum parsed what;

	ports = bpf_map_lookup_elem(&shift_ports, &zero);
	/* What was sent to another machine's MAC is not ours, even if somebody listens to all. */
	if (!ports || skb->vlan_present || skb->pkt_type != PACKET_HOST)
		return PARSED_OTHER;
	what = parse(skb, p, ports, WAY_IN);
	if (what != PARSED_SHORT)
		return what;
	/* The headers may lie beyond the linear part. */
	headers = L4_MAX + sizeof(struct tcphdr);
	if (headers > skb->len)
		headers = skb->len;
	if (bpf_skb_pull_data(skb, headers))
		return PARSED_MALFORMED;
	what = parse(skb, p, ports, WAY_IN);
	return what == PARSED_SHORT ? PARSED_MALFORMED : what;
}

/* A fragment without ports: of a datagram whose beginning was seen, or held until it is. */
static __noinline int later_fragment(struct __sk_buff *skb, struct visit *v)
{
	struct shift_backend_stats *bs;
	struct shift_service *svc;
	struct shift_target *t;
	struct shift_flow *f;
	__u32 bytes = skb->len - v->p.l3, out;
	__u8 way;

	v->now = tick_now();
	f = fragment_flow(v, &way);
	if (!f) {
		fragment_hold(skb, v);
		return verdict(v, SHIFT_PASS_FRAGMENT, NOT_OURS);
	}
	svc = ends_to_client(v, f);
	t = bpf_map_lookup_elem(&shift_targets, &v->target);
	if (!svc || !t || is_cut(f, &v->p))
		return verdict(v, SHIFT_PASS_FRAGMENT, NOT_OURS);
	if (v->p.ttl <= 1)
		return verdict(v, SHIFT_DROP_TTL, TC_ACT_SHOT);
	out = f->ifindex;
	bs = backend_stats(f->backend);
	if (way == SHIFT_FRAGMENT_UP) {
		out = ends_to_backend(&v->ends, t, v->index, skb->ifindex);
		f->bytes_up += bytes;
		if (bs) {
			bs->packets_up++;
			bs->bytes_up += bytes;
		}
	} else {
		f->bytes_down += bytes;
		if (bs) {
			bs->packets_down++;
			bs->bytes_down += bytes;
		}
	}
	if (fragment_rewrite(skb, &v->p, &v->ends))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, way == SHIFT_FRAGMENT_UP ? SHIFT_FRAGMENT_FORWARD : SHIFT_FRAGMENT_REPLY,
		       leave(skb, &v->p, out));
}

/* An ICMP error that quotes a packet of a shifted flow is for the flow's other end. */
static __noinline int icmp_error(struct __sk_buff *skb, struct visit *v)
{
	struct quoted *q = (struct quoted *)v->quote; /* not on the stack, which is short */
	__u32 what = SHIFT_ICMP_FORWARD, out;
	struct shift_target *t;
	struct shift_flow *f;
	int is_target;

	if (!read_quoted(skb, v, q) || !read_quoted_ports(skb, v, q))
		return verdict(v, SHIFT_PASS_OTHER, NOT_OURS);
	v->now = tick_now();
	f = find_listener(&v->p, &v->listen) ? flow_find(v) : NULL;
	if (f) {
		t = bpf_map_lookup_elem(&shift_targets, &v->target);
		if (!t)
			return verdict(v, SHIFT_PASS_OTHER, NOT_OURS);
		out = ends_to_backend(&v->ends, t, v->index, skb->ifindex);
	} else {
		f = flow_of_reply(v, &is_target);
		if (!f || !ends_to_client(v, f))
			return verdict(v, SHIFT_PASS_OTHER, NOT_OURS);
		what = SHIFT_ICMP_REPLY;
		out = f->ifindex;
	}
	if (q->ttl <= 1)
		return verdict(v, SHIFT_DROP_TTL, TC_ACT_SHOT);
	if (icmp_translate(skb, v, q))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, what, leave(skb, &v->p, out));
}

SEC("tc")
int shift_ingress(struct __sk_buff *skb)
{
	struct shift_if_stats *stats = stats_now();
	struct shift_listen *l;
	struct visit *v;

	if (!stats)
		return NOT_OURS;
	v = visit_of(stats);
	switch (read_packet(skb, &v->p)) {
	case PARSED_CLIENT:
		l = find_listener(&v->p, &v->listen);
		if (l)
			return from_client(skb, v, l);
		/* The port may be another address's, and in a NAT range here. */
		return from_backend(skb, v);
	case PARSED_NAT:
		return from_backend(skb, v);
	case PARSED_FRAGMENT:
		return later_fragment(skb, v);
	case PARSED_ICMP:
		return icmp_error(skb, v);
	case PARSED_MALFORMED:
		return verdict(v, SHIFT_PASS_MALFORMED, NOT_OURS);
	default:
		return verdict(v, SHIFT_PASS_OTHER, NOT_OURS);
	}
}

/* As if the other end had sent it. */
static __always_inline void turn(struct packet *p)
{
	__u16 port = p->sport;

	p->sport = p->dport;
	p->dport = port;
	for (int i = 0; i < 4; i++) {
		__u32 part = p->src[i];

		p->src[i] = p->dst[i];
		p->dst[i] = part;
	}
}

/* A datagram of the old host's: its client is the old host's from now on, unless it is shifted. */
static __noinline int udp_from_host(const struct packet *p, __u32 listen, __u32 service)
{
	struct shift_service *svc = bpf_map_lookup_elem(&shift_services, &service);
	struct shift_flow_key key;
	__u32 now = tick_now();
	__u64 hash;

	if (!svc || !(svc->flags & SHIFT_SERVICE_USED))
		return 0;
	hash = shift_hash(svc->seed, svc->affinity, p->src, p->sport);
	if (rank_dirty(service, shift_hash_rank(hash))) {
		flow_key(&key, p, listen);
		if (ref_flow(flow_find_on(&key, now), &key, now))
			return 0;
	}
	return udp_memory(syn_hash(p), svc->timeout_udp, now, SYN_KEEP);
}

/* Is it certainly of no interest? Most of what leaves is plain IPv4, and ends here. */
static __always_inline int is_unwatched(struct __sk_buff *skb, const struct shift_ports *ports)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct iphdr *ip = data + l3_offset;
	const struct udphdr *l4 = (const void *)(ip + 1);
	__u32 client[4] = {0};

	if (skb->protocol != bpf_htons(ETH_P_IP) || (void *)(l4 + 1) > end || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_TCP || ip->frag_off & bpf_htons(IP_MF | IP_OFFSET))
		return 0;
	client[3] = ip->daddr;
	return !port_set(ports->listen, bpf_ntohs(l4->source)) ||
	       !shift_watched(client, l4->dest, flow_seed);
}

/*
 * What leaves the host is only looked at: it shows how the old arm answers, and which clients a UDP
 * service talks to, also when they are silent. The shifted flows' packets come by, too, and the old
 * host's may be forwarded (from a container), so nothing but their tuples tells them apart.
 */
SEC("tc")
int shift_egress(struct __sk_buff *skb)
{
	struct shift_ports *ports;
	struct shift_listen *l;
	__u32 zero = 0, listen;
	struct packet p __attribute__((aligned(8)));
	int watched, udp;

	ports = bpf_map_lookup_elem(&shift_ports, &zero);
	if (!ports || skb->vlan_present || is_unwatched(skb, ports) ||
	    parse(skb, &p, ports, WAY_OUT) != PARSED_CLIENT)
		return NOT_OURS;
	turn(&p);
	watched = is_watched(&p);
	udp = p.protocol == IPPROTO_UDP;
	if (!watched && !udp)
		return NOT_OURS;
	l = find_listener(&p, &listen);
	if (!l)
		return NOT_OURS;
	if (udp)
		udp_from_host(&p, listen, l->service);
	if (watched)
		watch_host(&p, listen);
	return NOT_OURS;
}

/*
 * What shift_ingress would do with this SYN or datagram, told and not done. Never attached:
 * shiftctl runs it with BPF_PROG_TEST_RUN on the maps of the attached one, and as the interface
 * after the last.
 */
SEC("tc")
int shift_explain(struct __sk_buff *skb)
{
	__u32 zero = 0, place = SHIFT_MAX_INTERFACES;
	struct shift_explanation *x = bpf_map_lookup_elem(&shift_explained, &zero);
	struct shift_if_stats *stats = bpf_map_lookup_elem(&shift_ifstats, &place);
	struct shift_service *svc;
	struct shift_listen *l;
	struct shift_flow *f;
	struct visit *v;

	if (!x || !stats)
		return NOT_OURS;
	v = visit_of(stats);
	__builtin_memset(x, 0, sizeof(*x));
	if (read_packet(skb, &v->p) != PARSED_CLIENT)
		return NOT_OURS;
	l = find_listener(&v->p, &v->listen);
	if (!l)
		return NOT_OURS;
	svc = visit_service(v, l);
	if (!svc)
		return NOT_OURS;
	visit_new(v, l, svc);
	x->listen = v->listen;
	x->service = v->service;
	x->hash = v->hash;
	x->rank = shift_hash_rank(v->hash);
	f = flow_find(v);
	if (f && !is_cut(f, &v->p)) {
		x->flow_state = f->state;
		x->backend = f->backend;
		x->target = v->target;
		x->epoch = f->epoch;
		x->verdict = SHIFT_FORWARD;
		return NOT_OURS;
	}
	if (v->quic && !is_quic_initial(skb, &v->p)) {
		x->verdict = SHIFT_PASS_LOCAL;
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

/*
 * Leads the tuple of one record to it in the index there is now: run by `apply`, for each flow,
 * when the index was made anew. The packet holds {target, index, which} after its
 * Ethernet header: first those that live, which == 0, then those that rest, whose tuples may be in
 * use anew.
 */
SEC("tc")
int shift_relink(struct __sk_buff *skb)
{
	struct shift_flow_key key;
	struct shift_flow *f;
	__u32 at[3], now = tick_now();

	if (bpf_skb_load_bytes(skb, ETH_HLEN, at, sizeof(at)))
		return 0;
	f = flow_slot(at[0], at[1]);
	if (!f || f->state == SHIFT_FLOW_ABANDONED || !shift_flow_holds(f, now) ||
	    (!at[2] && !shift_flow_alive(f, now)))
		return 1;
	copy_address(key.client, f->client);
	key.client_port = f->client_port;
	key.listen = f->listen;
	if (index_find_in(&shift_flows, flow_lines, &key, now))
		return 1; /* there already, or the tuple is another flow's by now */
	return index_insert(&key, at[0], at[1], now);
}

/* One reading of both clocks, so that userspace can tell ticks from CLOCK_MONOTONIC. */
SEC("tc")
int shift_clock(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct shift_explanation *x = bpf_map_lookup_elem(&shift_explained, &zero);

	(void)skb;
	if (!x)
		return NOT_OURS;
	x->hash = bpf_jiffies64();
	x->epoch = bpf_ktime_get_ns();
	return NOT_OURS;
}

char _license[] SEC("license") = "GPL";
