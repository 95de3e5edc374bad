/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * icmp.bpf.h - ICMP errors about shifted packets, on to whom they concern
 *
 * A router that cannot pass a shifted packet tells its source, which is this host: the listen
 * address if the packet was for the client, the NAT address if it was for the backend. The error is
 * for the other end of the flow, so both what it quotes and its own addresses are translated; the
 * outer source becomes this host's address as the receiver knows it, because a router's own would
 * not be believed, or routed, there. As little as eight bytes of the quoted TCP or UDP header may
 * be there (RFC 792); its checksum is mended if it is.
 */
#pragma once

#include "bpf/wire.bpf.h"

/* The error as it came. */
struct quoted {
	__u32 src[4]; /* the outer addresses */
	__u32 dst[4];
	__u32 l3; /* of the quoted packet */
	__u32 l4;
	__u32 end;	/* of the error, by its own header: what follows is no part of it */
	__u16 ip_check; /* quoted */
	__u16 check;	/* the quoted packet's own, if `summed` */
	__u8 l4_outer;
	__u8 ttl;
	__u8 summed; /* the quoted checksum is there, and is one */
};

static __always_inline int is_icmp_error(__u8 type, int v6)
{
	return v6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;
}

/*
 * Reads the error; v->p becomes the packet that would answer the quoted one, so that its flow is
 * found as ever. False: no error, or about nothing of ours.
 */
static __always_inline int read_quoted(struct __sk_buff *skb, struct visit *v, struct quoted *q)
{
	struct packet *p = &v->p;
	__u8 type;

	__builtin_memset(q, 0, sizeof(*q));
	p->l3 = l3_offset;
	p->fragment = 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, l3_offset, &ip, sizeof(ip)) || ip.ihl < 5 ||
		    ip.version != 4 || ip.frag_off & bpf_htons(IP_MF | IP_OFFSET))
			return 0;
		p->v6 = 0;
		p->ip_check = ip.check;
		q->ttl = ip.ttl;
		q->end = l3_offset + bpf_ntohs(ip.tot_len);
		q->l4_outer = l3_offset + ip.ihl * 4;
		map_v4(q->src, ip.saddr);
		map_v4(q->dst, ip.daddr);
		q->l3 = q->l4_outer + 8;
		if (bpf_skb_load_bytes(skb, q->l4_outer, &type, 1) || !is_icmp_error(type, 0) ||
		    bpf_skb_load_bytes(skb, q->l3, &ip, sizeof(ip)) || ip.ihl < 5 ||
		    ip.version != 4 || ip.frag_off & bpf_htons(IP_OFFSET))
			return 0;
		q->ip_check = ip.check;
		p->protocol = ip.protocol;
		q->l4 = q->l3 + ip.ihl * 4;
		map_v4(p->src, ip.daddr);
		map_v4(p->dst, ip.saddr);
	} else {
		struct ipv6hdr ip;
		struct chain c;

		if (bpf_skb_load_bytes(skb, l3_offset, &ip, sizeof(ip)))
			return 0;
		p->v6 = 1;
		q->ttl = ip.hop_limit;
		q->end = l3_offset + sizeof(ip) + bpf_ntohs(ip.payload_len);
		q->l4_outer = l3_offset + sizeof(ip);
		copy_v6(q->src, &ip.saddr);
		copy_v6(q->dst, &ip.daddr);
		q->l3 = q->l4_outer + 8;
		if (bpf_skb_load_bytes(skb, q->l4_outer, &type, 1) || !is_icmp_error(type, 1) ||
		    bpf_skb_load_bytes(skb, q->l3, &ip, sizeof(ip)) || ip.version != 6)
			return 0;
		walk_chain(skb, q->l3, ip.nexthdr, &c);
		if (!c.offset || c.later)
			return 0;
		p->protocol = c.protocol;
		q->l4 = q->l3 + c.offset;
		copy_v6(p->src, &ip.daddr);
		copy_v6(p->dst, &ip.saddr);
	}
	return 1;
}

static __always_inline int read_quoted_ports(struct __sk_buff *skb, struct visit *v,
					     struct quoted *q)
{
	struct packet *p = &v->p;
	struct udphdr h;

	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return 0;
	if (q->end > skb->len || q->l4 + sizeof(h) > q->end ||
	    bpf_skb_load_bytes(skb, q->l4, &h, sizeof(h)))
		return 0;
	p->sport = h.dest;
	p->dport = h.source;
	if (p->protocol == IPPROTO_UDP) {
		q->check = h.check;
		q->summed = !!h.check;
	} else {
		__u32 at = q->l4 + offsetof(struct tcphdr, check);

		q->summed = at + sizeof(q->check) <= q->end &&
			    !bpf_skb_load_bytes(skb, at, &q->check, sizeof(q->check));
	}
	/* It went out from the address that the error comes to. */
	return q->dst[3] == p->dst[3] && q->dst[2] == p->dst[2] && q->dst[1] == p->dst[1] &&
	       q->dst[0] == p->dst[0];
}

static __always_inline __u32 words_difference(const __u32 *from, const __u32 *to, int n)
{
	__u64 sum = 0;

	for (int i = 0; i < n; i++)
		sum += (__u64)(__u32)~from[i] + to[i];
	return fold32(sum);
}

/* The quoted packet as the receiver sent it: from v->ends' destination to its source. */
static __always_inline int write_quoted(struct __sk_buff *skb, struct visit *v,
					const struct quoted *q, __u32 *ret_difference)
{
	const struct packet *p = &v->p;
	const struct ends *e = &v->ends;
	__u32 ports = (__u32)(__u16)~p->dport + e->dport + (__u16)~p->sport + e->sport;
	__u16 l4[2] = {e->dport, e->sport};
	__u32 addresses, check = 0;
	__u16 is;
	int err;

	/* p is the reverse of the quoted packet: p->dst was its source. */
	if (p->v6) {
		addresses = fold32((__u64)words_difference(p->dst, e->dst, 4) +
				   words_difference(p->src, e->src, 4));
		err = bpf_skb_store_bytes(skb, q->l3 + offsetof(struct ipv6hdr, saddr), e->dst, 16,
					  0);
		if (!err)
			err = bpf_skb_store_bytes(skb, q->l3 + offsetof(struct ipv6hdr, daddr),
						  e->src, 16, 0);
	} else {
		struct {
			__u16 check;
			__u32 saddr, daddr;
		} __attribute__((packed)) ip = {.saddr = e->dst[3], .daddr = e->src[3]};

		addresses = fold32((__u64)words_difference(&p->dst[3], &e->dst[3], 1) +
				   words_difference(&p->src[3], &e->src[3], 1));
		ip.check = ~fold16(fold32((__u64)(__u16)~q->ip_check + addresses));
		check = (__u32)(__u16)~q->ip_check + ip.check;
		err = bpf_skb_store_bytes(skb, q->l3 + offsetof(struct iphdr, check), &ip,
					  sizeof(ip), 0);
	}
	if (!err)
		err = bpf_skb_store_bytes(skb, q->l4, l4, sizeof(l4), 0);
	if (err)
		return err;
	if (q->summed) {
		is = ~fold16(fold32((__u64)(__u16)~q->check + addresses + ports));
		if (!is && p->protocol == IPPROTO_UDP)
			is = 0xffff;
		check = fold32((__u64)check + (__u16)~q->check + is);
		err = bpf_skb_store_bytes(skb,
					  q->l4 + (p->protocol == IPPROTO_UDP
							   ? offsetof(struct udphdr, check)
							   : offsetof(struct tcphdr, check)),
					  &is, sizeof(is), 0);
	}
	*ret_difference = fold32((__u64)addresses + ports + check);
	return err;
}

/* The whole error, for v->ends' destination. 0 or negative: half written. */
static __noinline int icmp_translate(struct __sk_buff *skb, struct visit *v, const struct quoted *q)
{
	struct packet *p = &v->p;
	__u32 difference, check = q->l4_outer + 2;
	int err;

	err = write_quoted(skb, v, q, &difference);
	if (err)
		return err;
	err = bpf_l4_csum_replace(skb, check, 0, difference, 0);
	if (err)
		return err;
	__builtin_memcpy(p->src, q->src, sizeof(p->src));
	__builtin_memcpy(p->dst, q->dst, sizeof(p->dst));
	p->ttl = q->ttl;
	difference = address_difference(p, &v->ends);
	if (!p->v6) {
		p->protocol = IPPROTO_ICMP; /* it is written with the rest of the header */
		return write_ipv4(skb, p, &v->ends, p->ttl - 1, difference);
	}
	err = write_ipv6(skb, p, &v->ends, p->ttl - 1);
	if (err)
		return err;
	err = bpf_l4_csum_replace(skb, check, 0, difference, BPF_F_PSEUDO_HDR);
	if (err)
		return err;
	bpf_csum_update(skb, hops_and(p, difference));
	return 0;
}
