/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nat.bpf.h - rewriting a TCP or UDP packet in place and sending it on
 *
 * Full NAT, both addresses and both ports. The checksum field may be partial (the pseudo-header's
 * sum alone, for the sending device to complete), and the program cannot see whether it is;
 * bpf_l4_csum_replace can, so the difference of the addresses goes through it marked as
 * pseudo-header and the difference of the ports unmarked (net/core/utils.c,
 * inet_proto_csum_replace_by_diff). With CHECKSUM_COMPLETE the helper takes the pseudo-header's
 * difference off skb->csum, which is right for IPv4, whose header checksum moves the other way;
 * IPv6 has none, so the difference is given back, and the hop limit's with it.
 */
#pragma once

#include "bpf/parse.bpf.h"

static __always_inline __u32 fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return sum;
}

static __always_inline __u16 fold16(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The one's complement difference of the addresses (RFC 1624). */
static __always_inline __u32 address_difference(const struct packet *p, const struct ends *e)
{
	__u64 sum = (__u64)(__u32)~p->src[3] + e->src[3] + (__u32)~p->dst[3] + e->dst[3];

	if (p->v6) {
#pragma unroll
		for (int i = 0; i < 3; i++)
			sum += (__u64)(__u32)~p->src[i] + e->src[i] + (__u32)~p->dst[i] + e->dst[i];
	}
	return fold32(sum);
}

static __always_inline __u32 check_offset(const struct packet *p)
{
	return p->protocol == IPPROTO_UDP ? offsetof(struct udphdr, check)
					  : offsetof(struct tcphdr, check);
}

/* TTL to the addresses in one store; `difference` is what else changed under the checksum. */
static __always_inline int write_ipv4(struct __sk_buff *skb, const struct packet *p,
				      const struct ends *e, __u8 ttl, __u32 difference)
{
	struct {
		__u8 ttl;
		__u8 protocol;
		__u16 check;
		__u32 saddr;
		__u32 daddr;
	} ip = {.ttl = ttl, .protocol = p->protocol, .saddr = e->src[3], .daddr = e->dst[3]};
	__u16 was = bpf_htons(p->ttl << 8), is = bpf_htons(ttl << 8);

	ip.check = ~fold16(fold32((__u64)(__u16)~p->ip_check + (__u16)~was + is + difference));
	return bpf_skb_store_bytes(skb, p->l3 + offsetof(struct iphdr, ttl), &ip, sizeof(ip), 0);
}

static __always_inline int write_ipv6(struct __sk_buff *skb, const struct packet *p,
				      const struct ends *e, __u8 ttl)
{
	int err;

	err = bpf_skb_store_bytes(skb, p->l3 + offsetof(struct ipv6hdr, hop_limit), &ttl, 1, 0);
	if (err)
		return err;
	return bpf_skb_store_bytes(skb, p->l3 + offsetof(struct ipv6hdr, saddr), e,
				   sizeof(e->src) + sizeof(e->dst), 0);
}

/* What changed in an IPv6 header: nothing there makes up for it, as IPv4's checksum does. */
static __always_inline __u32 hops_and(const struct packet *p, __u32 addresses)
{
	return fold32((__u64)addresses + (__u16)~bpf_htons(p->ttl) + bpf_htons(p->ttl - 1));
}

/* By helpers alone, for headers that do not lie as they mostly do. 0 or negative. */
static __noinline int nat_slowly(struct __sk_buff *skb, const struct packet *p,
				 const struct ends *e)
{
	__u32 addresses = address_difference(p, e);
	__u32 ports = (__u32)(__u16)~p->sport + e->sport + (__u16)~p->dport + e->dport;
	__u32 check = p->l4 + check_offset(p);
	__u64 mangled = p->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	int err;

	err = p->v6 ? write_ipv6(skb, p, e, p->ttl - 1)
		    : write_ipv4(skb, p, e, p->ttl - 1, addresses);
	if (!err)
		err = bpf_skb_store_bytes(skb, p->l4, &e->sport, 4, 0);
	if (err)
		return err;
	if (!p->check) {
		bpf_csum_update(skb, fold32((__u64)ports + (p->v6 ? hops_and(p, addresses) : 0)));
		return 0;
	}
	err = bpf_l4_csum_replace(skb, check, 0, addresses, BPF_F_PSEUDO_HDR | mangled);
	if (err)
		return err;
	if (p->v6)
		bpf_csum_update(skb, hops_and(p, addresses));
	return bpf_l4_csum_replace(skb, check, 0, ports, mangled);
}

static __always_inline __u16 mend(__u16 check, __u32 difference)
{
	return ~fold16(fold32((__u64)(__u16)~check + difference));
}

static __always_inline int is_zero_sum(__u16 sum)
{
	return sum == 0 || sum == 0xffff;
}

/* Addresses, hop limit and ports in place. False: the headers are not where they mostly are. */
static __always_inline int write_headers(struct __sk_buff *skb, const struct packet *p,
					 const struct ends *e, __u32 addresses)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u16 *ports = data + p->l4;

	if ((void *)(ports + 2) > end)
		return 0;
	if (p->v6) {
		struct ipv6hdr *ip = data + l3_offset;

		if ((void *)(ip + 1) > end)
			return 0;
		ip->hop_limit = p->ttl - 1;
		__builtin_memcpy(&ip->saddr, e->src, sizeof(e->src));
		__builtin_memcpy(&ip->daddr, e->dst, sizeof(e->dst));
	} else {
		struct iphdr *ip = data + l3_offset;

		if ((void *)(ip + 1) > end)
			return 0;
		ip->ttl = p->ttl - 1;
		ip->saddr = e->src[3];
		ip->daddr = e->dst[3];
		ip->check =
			mend(p->ip_check, fold32((__u64)addresses + (__u16)~bpf_htons(p->ttl << 8) +
						 bpf_htons((p->ttl - 1) << 8)));
	}
	ports[0] = e->sport;
	ports[1] = e->dport;
	return 1;
}

/*
 * The packet for `e`. 0, or negative: out of memory, the packet may be half written.
 *
 * A helper costs as much as all the rest, so there is one: for the difference of the addresses.
 * What it made of the field tells whether the checksum is partial: then the difference was added,
 * else taken off, and, modulo 65535, these are the same only for a difference of zero.
 */
static __always_inline int nat_rewrite(struct __sk_buff *skb, const struct packet *p,
				       const struct ends *e)
{
	__u32 addresses = address_difference(p, e), offset = check_offset(p);
	/* UDP: what sums up to 0 is written as ffff, because 0 says there is none. */
	__u64 mangled = p->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u16 *check = data + p->l4 + offset, was;
	int err;

	if (!p->check || is_zero_sum(fold16(addresses)) || (void *)(check + 1) > end)
		return nat_slowly(skb, p, e);
	was = *check;
	if (!write_headers(skb, p, e, addresses))
		return nat_slowly(skb, p, e);
	err = bpf_l4_csum_replace(skb, p->l4 + offset, 0, addresses, BPF_F_PSEUDO_HDR | mangled);
	if (err)
		return err;
	if (p->v6)
		bpf_csum_update(skb, hops_and(p, addresses));
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	check = data + p->l4 + offset;
	if ((void *)(check + 1) > end)
		return -1;
	if (is_zero_sum(fold16((__u32)*check + (__u16)~fold16(fold32((__u64)was + addresses)))))
		return 0; /* partial: the ports are none of its business */
	*check = mend(*check, (__u32)(__u16)~p->sport + e->sport + (__u16)~p->dport + e->dport);
	if (!*check && mangled)
		*check = 0xffff;
	return 0;
}
