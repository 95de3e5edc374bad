/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * parse.bpf.h - from the packet to a tuple
 *
 * Reads Ethernet (or, on a device without one, bare IP), IPv4 with options or IPv6 with extension
 * headers, and TCP or UDP. Every bound is checked here; nobody else touches packet bytes by
 * pointer. The ports are looked at first, so that a packet which is nobody's costs little. A first
 * fragment is read like a whole packet, a later one only as far as it goes.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include "bpf/visit.bpf.h"

#define IP_DF		0x4000
#define IP_MF		0x2000
#define IP_OFFSET	0x1fff
#define IPV6_MF		0x0001
#define IPV6_OFFSET	0xfff8
#define IPV6_EXTENSIONS 6

enum parsed {
	PARSED_CLIENT = 0, /* the port is one that a service listens on */
	PARSED_NAT,	   /* it is one of a NAT range */
	PARSED_OTHER,
	PARSED_FRAGMENT, /* not the first: no ports */
	PARSED_ICMP,
	PARSED_MALFORMED,
	PARSED_SHORT, /* the headers are not in the linear part */
};

static __always_inline int port_set(const __u64 *bits, __u16 port)
{
	return bits[port >> 6] >> (port & 63) & 1;
}

static __always_inline void map_v4(__u32 to[4], __u32 address)
{
	half_address *halves = (void *)to;

	halves[0] = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	halves[1] = (__u64)address << 32 | 0xffff0000;
#else
	halves[1] = 0xffff00000000 | address;
#endif
}

static __always_inline void copy_v6(__u32 to[4], const struct in6_addr *from)
{
	to[0] = from->in6_u.u6_addr32[0];
	to[1] = from->in6_u.u6_addr32[1];
	to[2] = from->in6_u.u6_addr32[2];
	to[3] = from->in6_u.u6_addr32[3];
}

/* Whether the packet comes in, or is on its way out, where the host's own port is the source. */
enum way { WAY_IN, WAY_OUT };

/* Whose is the port on this side? What is nobody's is not read further. */
static __always_inline enum parsed parse_port(const struct udphdr *ports_of,
					      const struct shift_ports *ports, enum way way)
{
	__u16 port = bpf_ntohs(way == WAY_IN ? ports_of->dest : ports_of->source);

	if (port_set(ports->listen, port))
		return PARSED_CLIENT;
	return way == WAY_IN && port_set(ports->nat, port) ? PARSED_NAT : PARSED_OTHER;
}

/* `bytes` are the TCP header and what follows; p->protocol is known. */
static __always_inline enum parsed parse_l4(const struct udphdr *l4, const void *end,
					    struct packet *p, __u32 bytes, enum parsed whose)
{
	const struct tcphdr *tcp = (const void *)l4;
	__u32 header;

	p->sport = l4->source;
	p->dport = l4->dest;
	p->seq = 0;
	p->ack = 0;
	p->flags = 0;
	if (p->protocol == IPPROTO_UDP) {
		header = sizeof(*l4);
		if (bytes < header)
			return PARSED_MALFORMED;
		p->payload = bytes - header;
		p->check = l4->check;
		return whose;
	}
	if ((const void *)(tcp + 1) > end)
		return bytes < sizeof(*tcp) ? PARSED_MALFORMED : PARSED_SHORT;
	header = tcp->doff * 4;
	if (header < sizeof(*tcp) || header > bytes)
		return PARSED_MALFORMED;
	p->check = 1;
	p->seq = bpf_ntohl(tcp->seq);
	p->ack = bpf_ntohl(tcp->ack_seq);
	p->payload = bytes - header;
	p->header = header;
	p->flags = ((const __u8 *)tcp)[13] & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK);
	return whose;
}

/* The length from the IP header on. In a train of segments (GSO) it may be too large for the field,
 * which is then 0 (BIG TCP). */
static __always_inline __u32 ip_bytes(const struct __sk_buff *skb, __u16 length, __u32 header)
{
	if (length)
		return length + header;
	return skb->gso_size ? skb->len - l3_offset : 0;
}

static __always_inline enum parsed parse_ipv4(struct __sk_buff *skb, struct packet *p,
					      const struct shift_ports *ports, enum way way)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct iphdr *ip = data + l3_offset;
	const struct udphdr *l4;
	__u32 bytes, header;
	enum parsed whose;
	__u16 fragment;

	if ((void *)(ip + 1) > end)
		return PARSED_SHORT;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return ip->protocol == IPPROTO_ICMP ? PARSED_ICMP : PARSED_OTHER;
	if (ip->version != 4 || ip->ihl < 5)
		return PARSED_MALFORMED;
	header = ip->ihl * 4;
	fragment = bpf_ntohs(ip->frag_off);
	p->l3 = l3_offset;
	p->l4 = l3_offset + header;
	p->protocol = ip->protocol;
	p->ttl = ip->ttl;
	p->ip_check = ip->check;
	if (fragment & IP_OFFSET) {
		p->v6 = 0;
		p->fragment = 1;
		p->flags = 0;
		p->id = ip->id;
		map_v4(p->src, ip->saddr);
		map_v4(p->dst, ip->daddr);
		return PARSED_FRAGMENT;
	}
	l4 = data + l3_offset + header;
	if ((void *)(l4 + 1) > end)
		return PARSED_SHORT;
	whose = parse_port(l4, ports, way);
	if (whose == PARSED_OTHER)
		return whose;
	p->ip_len = bpf_ntohs(ip->tot_len);
	bytes = ip_bytes(skb, p->ip_len, 0);
	if (bytes < header + sizeof(*l4) || bytes + l3_offset > skb->len)
		return PARSED_MALFORMED;
	p->bytes = bytes;
	p->v6 = 0;
	p->fragment = !!(fragment & IP_MF);
	if (p->fragment)
		p->id = ip->id;
	map_v4(p->src, ip->saddr);
	map_v4(p->dst, ip->daddr);
	return parse_l4(l4, end, p, bytes - header, whose);
}

/* What a chain of extension headers leads to. */
struct chain {
	__u32 id;     /* of a fragment */
	__u16 offset; /* of the last header, from the IPv6 header on; 0: it leads nowhere we know */
	__u8 protocol;
	__u8 fragment; /* 1: of a fragmented packet */
	__u8 later;    /* not the first */
	__u8 pad[3];
};

/*
 * Walks the chain (RFC 8200, 4). A routing header that still has a way to go, AH and whatever is
 * unknown lead nowhere: not ours. Reads by copy, so that it asks nothing of the linear part.
 */
static __noinline int walk_chain(struct __sk_buff *skb, __u32 l3, __u8 next, struct chain *ret)
{
	__u32 at = sizeof(struct ipv6hdr);
	struct {
		__u8 next, length;
		__be16 offset;
		__be32 id;
	} h;

	__builtin_memset(ret, 0, sizeof(*ret));
	for (int i = 0; i <= IPV6_EXTENSIONS; i++) {
		if (next == IPPROTO_TCP || next == IPPROTO_UDP || next == IPPROTO_ICMPV6) {
			ret->protocol = next;
			ret->offset = at;
			return 0;
		}
		if ((next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
		     next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT) ||
		    bpf_skb_load_bytes(skb, l3 + at, &h, sizeof(h)))
			return 0;
		if (next == IPPROTO_ROUTING && bpf_ntohs(h.offset) & 0xff)
			return 0;
		if (next != IPPROTO_FRAGMENT) {
			at += (h.length + 1) * 8;
		} else {
			at += sizeof(h);
			ret->id = h.id;
			ret->fragment = !!(h.offset & bpf_htons(IPV6_MF | IPV6_OFFSET));
			if (h.offset & bpf_htons(IPV6_OFFSET)) {
				ret->later = 1;
				ret->protocol = h.next;
				ret->offset = at;
				return 0;
			}
		}
		next = h.next;
	}
	return 0;
}

/* Longer headers than this are no honest packet's; and offsets fit a byte. */
#define L4_MAX 255

static __always_inline enum parsed parse_ipv6(struct __sk_buff *skb, struct packet *p,
					      const struct shift_ports *ports, enum way way)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct ipv6hdr *ip = data + l3_offset;
	__u32 bytes, header = sizeof(*ip);
	const struct udphdr *l4;
	enum parsed whose;
	__u8 protocol;

	if ((void *)(ip + 1) > end)
		return PARSED_SHORT;
	protocol = ip->nexthdr;
	if (ip->version != 6)
		return PARSED_MALFORMED;
	p->fragment = 0;
	p->l3 = l3_offset;
	p->ttl = ip->hop_limit;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) {
		struct chain c;

		if (protocol == IPPROTO_ICMPV6)
			return PARSED_ICMP;
		walk_chain(skb, l3_offset, protocol, &c);
		header = c.offset;
		if (!header || header > L4_MAX - ETH_HLEN || c.protocol == IPPROTO_ICMPV6)
			return PARSED_OTHER;
		protocol = c.protocol;
		p->fragment = c.fragment;
		p->id = c.id;
		if (c.later) {
			p->v6 = 1;
			p->flags = 0;
			p->protocol = protocol;
			copy_v6(p->src, &ip->saddr);
			copy_v6(p->dst, &ip->daddr);
			return PARSED_FRAGMENT;
		}
	}
	l4 = data + l3_offset + header;
	if ((void *)(l4 + 1) > end)
		return PARSED_SHORT;
	whose = parse_port(l4, ports, way);
	if (whose == PARSED_OTHER)
		return whose;
	p->l4 = l3_offset + header;
	p->protocol = protocol;
	p->ip_len = bpf_ntohs(ip->payload_len);
	bytes = ip_bytes(skb, p->ip_len, sizeof(*ip));
	if (bytes < header + sizeof(*l4) || bytes + l3_offset > skb->len)
		return PARSED_MALFORMED;
	p->bytes = bytes;
	p->v6 = 1;
	copy_v6(p->src, &ip->saddr);
	copy_v6(p->dst, &ip->daddr);
	return parse_l4(l4, end, p, bytes - header, whose);
}

/* Fills *p when the answer is CLIENT or NAT; addresses, id and protocol when it is FRAGMENT. */
static __always_inline enum parsed parse(struct __sk_buff *skb, struct packet *p,
					 const struct shift_ports *ports, enum way way)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return parse_ipv4(skb, p, ports, way);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(skb, p, ports, way);
	return PARSED_OTHER;
}
