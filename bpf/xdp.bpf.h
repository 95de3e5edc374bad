/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xdp.bpf.h - the short way, on XDP, for packets of flows that live
 *
 * It runs before the kernel has made an skb of the packet, on the same maps and with the same flow
 * code as the program on tc, which stays attached and does everything else: whatever is not a plain
 * packet of a known, living flow, on its way out where it came in, is passed on untouched and
 * uncounted, and tc sees it as if there were no XDP. So there is one decision, one cut, one MSS
 * clamp.
 *
 * The next hop is the FIB's, kept per destination for a second; where it has none, tc has to see to
 * it. The FIB does not answer where forwarding is off; then the packet may go back to the router it
 * came from, if that is the way there: userspace has noted the gateway's MAC with the target. A
 * flow whose client came through the same router is marked, so that its answers can go back there,
 * too.
 *
 * Known weakness: XDP cannot see whether a checksum is partial, as a veth's may be (its sender's
 * `tx` offload has to be off); doctor says so.
 */
#pragma once

#include <linux/in6.h>
#include "bpf/backend.bpf.h"

#define AF_INET	  2
#define AF_INET6  10
#define HOPS	  4096
#define HOP_TICKS 64 /* a second at HZ 1000, four at 250 */

/* As they stand at the packet's beginning. */
struct macs {
	__u8 to[6];
	__u8 from[6];
} __attribute__((aligned(4)));

struct hop {
	__u32 to[4];
	__u32 tick;
	__u32 ifindex; /* 0: none */
	struct macs macs;
	__u32 known; /* 0: not asked; HOP_* */
};

enum { HOP_ANSWERED = 1, HOP_FORWARDING_OFF = 2 };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOPS);
	__type(key, __u32);
	__type(value, struct hop);
} shift_hops SEC(".maps");

static __always_inline enum parsed xdp_parse(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct ethhdr *eth = data;
	const struct udphdr *l4;
	struct shift_ports *ports;
	enum parsed whose;
	__u32 zero = 0, bytes, header;

	if ((void *)(eth + 1) > end)
		return PARSED_OTHER;
	p->l3 = sizeof(*eth);
	p->fragment = 0;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		const struct iphdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl != 5 ||
		    ip->frag_off & bpf_htons(IP_MF | IP_OFFSET))
			return PARSED_OTHER;
		header = sizeof(*ip);
		bytes = bpf_ntohs(ip->tot_len);
		p->v6 = 0;
		p->protocol = ip->protocol;
		p->ttl = ip->ttl;
		p->ip_check = ip->check;
		map_v4(p->src, ip->saddr);
		map_v4(p->dst, ip->daddr);
		l4 = (void *)(ip + 1);
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		const struct ipv6hdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end || ip->version != 6)
			return PARSED_OTHER;
		header = sizeof(*ip);
		bytes = bpf_ntohs(ip->payload_len) + header;
		p->v6 = 1;
		p->protocol = ip->nexthdr;
		p->ttl = ip->hop_limit;
		copy_v6(p->src, &ip->saddr);
		copy_v6(p->dst, &ip->daddr);
		l4 = (void *)(ip + 1);
	} else {
		return PARSED_OTHER;
	}
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return PARSED_OTHER;
	ports = bpf_map_lookup_elem(&shift_ports, &zero);
	if (!ports || (void *)(l4 + 1) > end || bytes > (__u32)(end - (void *)(eth + 1)) ||
	    bytes < header + sizeof(*l4) || p->ttl <= 1)
		return PARSED_OTHER;
	whose = parse_port(l4, ports, WAY_IN);
	if (whose == PARSED_OTHER)
		return whose;
	p->l4 = p->l3 + header;
	p->bytes = bytes;
	return parse_l4(l4, end, p, bytes - header, whose);
}

/* ---- the next hop ---- */

static __noinline int ask_fib(struct xdp_md *ctx, const struct visit *v, struct hop *h)
{
	struct bpf_fib_lookup f = {.ifindex = ctx->ingress_ifindex, .l4_protocol = v->p.protocol};
	const struct ends *e = &v->ends;
	long answer;

	if (v->p.v6) {
		f.family = AF_INET6;
		__builtin_memcpy(f.ipv6_src, e->src, sizeof(f.ipv6_src));
		__builtin_memcpy(f.ipv6_dst, e->dst, sizeof(f.ipv6_dst));
	} else {
		f.family = AF_INET;
		f.ipv4_src = e->src[3];
		f.ipv4_dst = e->dst[3];
	}
	copy_address(h->to, e->dst);
	h->tick = v->now;
	h->ifindex = 0;
	answer = bpf_fib_lookup(ctx, &f, sizeof(f), 0);
	h->known = answer == BPF_FIB_LKUP_RET_FWD_DISABLED ? HOP_FORWARDING_OFF : HOP_ANSWERED;
	if (answer != BPF_FIB_LKUP_RET_SUCCESS)
		return 0;
	__builtin_memcpy(h->macs.to, f.dmac, sizeof(h->macs.to));
	__builtin_memcpy(h->macs.from, f.smac, sizeof(h->macs.from));
	h->ifindex = f.ifindex;
	return 0;
}

static __always_inline int same_mac(const __u8 *a, const __u8 *b)
{
	return *(const __u32 *)a == *(const __u32 *)b &&
	       *(const __u16 *)(a + 4) == *(const __u16 *)(b + 4);
}

/* The MAC is the interface's when `apply` last looked. */
static __always_inline int is_own_mac(const __u8 *mac)
{
	__u32 zero = 0, slot = iface_slot;
	struct shift_globals *g = bpf_map_lookup_elem(&shift_globals, &zero);

	return g && slot < SHIFT_MAX_INTERFACES && same_mac(g->interface[slot].mac, mac);
}

/* Did the target's gateway send us the packet? */
static __always_inline int from_gateway(struct xdp_md *ctx, const struct shift_target *t)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct ethhdr *eth = data;

	return (void *)(eth + 1) <= end && t->gateway_known && same_mac(t->gateway, eth->h_source);
}

/*
 * The MACs for v->ends' destination, out where the packet came in. `back`: it may go back to the
 * router it came from. False: only tc knows.
 */
static __always_inline int find_hop(struct xdp_md *ctx, const struct visit *v, __u32 out, int back,
				    struct macs *macs)
{
	__u32 bits = v->ends.dst[3] ^ v->ends.dst[1],
	      key = (bits ^ bits >> 12 ^ bits >> 24) & (HOPS - 1);
	struct hop *h = bpf_map_lookup_elem(&shift_hops, &key);
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct ethhdr *eth = data;

	if (!h || out != ctx->ingress_ifindex || (void *)(eth + 1) > end)
		return 0;
	if (!h->known || !same_address(h->to, v->ends.dst) || v->now - h->tick > HOP_TICKS)
		ask_fib(ctx, v, h);
	/* What was sent to another machine's MAC is not ours, even if the device listens to all. */
	if (h->ifindex == out) {
		if (!same_mac(h->macs.from, eth->h_dest))
			return 0;
		*macs = h->macs;
		return 1;
	}
	if (h->known != HOP_FORWARDING_OFF || !back || !is_own_mac(eth->h_dest))
		return 0;
	__builtin_memcpy(macs->to, eth->h_source, 6);
	__builtin_memcpy(macs->from, eth->h_dest, 6);
	return 1;
}

/* ---- writing ---- */

/* The packet for v->ends. The bounds were looked at by xdp_parse; the verifier asks again. */
static __always_inline int xdp_rewrite(struct xdp_md *ctx, const struct visit *v,
				       const struct macs *macs)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct packet *p = &v->p;
	const struct ends *e = &v->ends;
	__u32 addresses = address_difference(p, e), all;
	struct udphdr *l4;

	if (data + sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr) > end)
		return -1;
	*(struct macs *)data = *macs;
	if (p->v6) {
		struct ipv6hdr *ip = data + sizeof(struct ethhdr);

		l4 = (void *)(ip + 1);
		if ((void *)(l4 + 1) > end)
			return -1;
		ip->hop_limit--;
		__builtin_memcpy(&ip->saddr, e->src, 16);
		__builtin_memcpy(&ip->daddr, e->dst, 16);
	} else {
		struct iphdr *ip = data + sizeof(struct ethhdr);

		l4 = (void *)(ip + 1);
		ip->ttl--;
		ip->saddr = e->src[3];
		ip->daddr = e->dst[3];
		ip->check =
			mend(ip->check, fold32((__u64)addresses + (__u16)~bpf_htons(p->ttl << 8) +
					       bpf_htons((p->ttl - 1) << 8)));
	}
	all = fold32((__u64)addresses + (__u16)~p->sport + e->sport + (__u16)~p->dport + e->dport);
	l4->source = e->sport;
	l4->dest = e->dport;
	if (p->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = (void *)l4;

		if ((void *)(tcp + 1) > end)
			return -1;
		tcp->check = mend(tcp->check, all);
	} else if (l4->check) {
		l4->check = mend(l4->check, all);
		if (!l4->check)
			l4->check = 0xffff;
	}
	return 0;
}

/* ---- the two ways ---- */

#define PASS -1

/* A packet that tc has to see: it begins, it is cut, or it does not fit. */
static __always_inline int is_plain(const struct shift_flow *f, const struct packet *p,
				    const struct shift_service *svc)
{
	if (p->protocol == IPPROTO_TCP && p->flags & TCP_SYN)
		return 0;
	return !is_cut(f, p) && !is_long(p, svc);
}

static __always_inline int xdp_from_client(struct xdp_md *ctx, struct visit *v,
					   const struct shift_listen *l)
{
	struct shift_service *svc = visit_service(v, l);
	struct shift_backend_stats *bs;
	struct shift_target *t;
	struct shift_flow *f;
	struct macs macs;
	__u32 out;
	int back;

	if (!svc || !rank_dirty(v->service, shift_hash_rank(v->hash)))
		return PASS;
	f = flow_find(v);
	if (!f || !is_plain(f, &v->p, svc) ||
	    (v->p.protocol == IPPROTO_TCP && f->state <= SHIFT_FLOW_SYN_RECV))
		return PASS;
	t = bpf_map_lookup_elem(&shift_targets, &v->target);
	if (!t)
		return PASS;
	out = ends_to_backend(&v->ends, t, v->index, ctx->ingress_ifindex);
	back = from_gateway(ctx, t);
	if (!find_hop(ctx, v, out, back, &macs))
		return PASS;
	if (xdp_rewrite(ctx, v, &macs))
		return PASS;
	if (f->ifindex != ctx->ingress_ifindex)
		f->ifindex = ctx->ingress_ifindex;
	if (back != !!(f->flags & SHIFT_FLOW_GATEWAY))
		f->flags ^= SHIFT_FLOW_GATEWAY;
	bs = backend_stats(f->backend);
	if (v->p.protocol == IPPROTO_UDP)
		flow_udp(f, svc, 0, v->now);
	else
		flow_from_client(f, &v->p, svc, bs, v->now);
	f->bytes_up += v->p.bytes;
	if (bs) {
		bs->packets_up++;
		bs->bytes_up += v->p.bytes;
	}
	return verdict(v, SHIFT_FORWARD, XDP_TX);
}

static __always_inline int xdp_from_backend(struct xdp_md *ctx, struct visit *v)
{
	struct shift_backend_stats *bs;
	struct shift_service *svc;
	struct shift_target *t;
	struct shift_flow *f;
	int is_target, back;
	struct macs macs;

	v->now = tick_now();
	f = flow_of_reply(v, &is_target);
	if (!f || (v->p.protocol == IPPROTO_TCP && f->state <= SHIFT_FLOW_SYN_RECV))
		return PASS;
	svc = ends_to_client(v, f);
	if (!svc || !is_plain(f, &v->p, svc))
		return PASS;
	t = bpf_map_lookup_elem(&shift_targets, &v->target);
	back = t && f->flags & SHIFT_FLOW_GATEWAY && from_gateway(ctx, t);
	if (!find_hop(ctx, v, f->ifindex, back, &macs))
		return PASS;
	if (xdp_rewrite(ctx, v, &macs))
		return PASS;
	bs = backend_stats(f->backend);
	if (v->p.protocol == IPPROTO_UDP)
		flow_udp(f, svc, 1, v->now);
	else
		flow_from_backend(f, &v->p, svc, bs, v->now);
	f->bytes_down += v->p.bytes;
	if (bs) {
		bs->packets_down++;
		bs->bytes_down += v->p.bytes;
	}
	return verdict(v, SHIFT_REPLY, XDP_TX);
}

SEC("xdp")
int shift_xdp(struct xdp_md *ctx)
{
	struct shift_if_stats *stats = stats_now();
	struct shift_listen *l;
	int action = PASS;
	struct visit *v;

	if (!stats)
		return XDP_PASS;
	v = visit_of(stats);
	switch (xdp_parse(ctx, &v->p)) {
	case PARSED_CLIENT:
		l = find_listener(&v->p, &v->listen);
		action = l ? xdp_from_client(ctx, v, l) : xdp_from_backend(ctx, v);
		break;
	case PARSED_NAT:
		action = xdp_from_backend(ctx, v);
		break;
	default:
		break;
	}
	return action == PASS ? XDP_PASS : action;
}
