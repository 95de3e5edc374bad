/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * parse.bpf.h - from the packet to a tuple
 *
 * Reads Ethernet (or, on a device without one, bare IP), IPv4 with options or IPv6, and TCP. Every
 * bound is checked here; nobody else touches packet bytes by pointer. The ports are looked at
 * first, so that a packet which is nobody's costs little.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include "bpf/visit.bpf.h"

#define IP_FRAGMENT 0x3fff /* MF and the offset */

enum parsed {
	PARSED_CLIENT = 0, /* the destination port is one that a service listens on */
	PARSED_NAT,	   /* it is one of a NAT range */
	PARSED_OTHER,
	PARSED_FRAGMENT,
	PARSED_MALFORMED,
	PARSED_SHORT, /* the headers are not in the linear part */
};

static __always_inline int port_set(const __u64 *bits, __u16 port)
{
	return bits[port >> 6] >> (port & 63) & 1;
}

static __always_inline void map_v4(__u32 to[4], __u32 address)
{
	to[0] = 0;
	to[1] = 0;
	to[2] = bpf_htonl(0xffff);
	to[3] = address;
}

static __always_inline void copy_v6(__u32 to[4], const struct in6_addr *from)
{
	to[0] = from->in6_u.u6_addr32[0];
	to[1] = from->in6_u.u6_addr32[1];
	to[2] = from->in6_u.u6_addr32[2];
	to[3] = from->in6_u.u6_addr32[3];
}

/* The last step: `bytes` are the TCP header and what follows. */
static __always_inline enum parsed parse_tcp(const struct tcphdr *tcp, struct packet *p,
					     __u32 bytes)
{
	__u32 header = tcp->doff * 4;

	if (header < sizeof(*tcp) || header > bytes)
		return PARSED_MALFORMED;
	p->protocol = IPPROTO_TCP;
	p->sport = tcp->source;
	p->dport = tcp->dest;
	p->seq = bpf_ntohl(tcp->seq);
	p->ack = bpf_ntohl(tcp->ack_seq);
	p->payload = bytes - header;
	p->flags = ((const __u8 *)tcp)[13] & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK);
	return PARSED_CLIENT;
}

/* Whose destination port is it? What is nobody's is not read further. */
static __always_inline enum parsed parse_port(const struct tcphdr *tcp,
					      const struct shift_ports *ports)
{
	__u16 port = bpf_ntohs(tcp->dest);

	if (port_set(ports->listen, port))
		return PARSED_CLIENT;
	return port_set(ports->nat, port) ? PARSED_NAT : PARSED_OTHER;
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
					      const struct shift_ports *ports)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct iphdr *ip = data + l3_offset;
	const struct tcphdr *tcp;
	__u32 bytes, header;
	enum parsed whose;

	if ((void *)(ip + 1) > end)
		return PARSED_SHORT;
	if (ip->protocol != IPPROTO_TCP)
		return PARSED_OTHER;
	if (ip->version != 4 || ip->ihl < 5)
		return PARSED_MALFORMED;
	if (ip->frag_off & bpf_htons(IP_FRAGMENT))
		return PARSED_FRAGMENT;
	header = ip->ihl * 4;
	tcp = data + l3_offset + header;
	if ((void *)(tcp + 1) > end)
		return PARSED_SHORT;
	whose = parse_port(tcp, ports);
	if (whose == PARSED_OTHER)
		return whose;
	p->l3 = l3_offset;
	p->l4 = l3_offset + header;
	p->ip_len = bpf_ntohs(ip->tot_len);
	bytes = ip_bytes(skb, p->ip_len, 0);
	if (bytes < header + sizeof(*tcp) || bytes + l3_offset > skb->len)
		return PARSED_MALFORMED;
	p->bytes = bytes;
	p->v6 = 0;
	p->ttl = ip->ttl;
	p->ip_check = ip->check;
	map_v4(p->src, ip->saddr);
	map_v4(p->dst, ip->daddr);
	return parse_tcp(tcp, p, bytes - header) == PARSED_CLIENT ? whose : PARSED_MALFORMED;
}

static __always_inline enum parsed parse_ipv6(struct __sk_buff *skb, struct packet *p,
					      const struct shift_ports *ports)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct ipv6hdr *ip = data + l3_offset;
	const struct tcphdr *tcp = (void *)(ip + 1);
	enum parsed whose;
	__u32 bytes;

	if ((void *)(ip + 1) > end)
		return PARSED_SHORT;
	if (ip->nexthdr != IPPROTO_TCP)
		return PARSED_OTHER;
	if (ip->version != 6)
		return PARSED_MALFORMED;
	if ((void *)(tcp + 1) > end)
		return PARSED_SHORT;
	whose = parse_port(tcp, ports);
	if (whose == PARSED_OTHER)
		return whose;
	p->l3 = l3_offset;
	p->l4 = l3_offset + sizeof(*ip);
	p->ip_len = bpf_ntohs(ip->payload_len);
	bytes = ip_bytes(skb, p->ip_len, sizeof(*ip));
	if (bytes < sizeof(*ip) + sizeof(*tcp) || bytes + l3_offset > skb->len)
		return PARSED_MALFORMED;
	p->bytes = bytes;
	p->v6 = 1;
	p->ttl = ip->hop_limit;
	copy_v6(p->src, &ip->saddr);
	copy_v6(p->dst, &ip->daddr);
	return parse_tcp(tcp, p, bytes - sizeof(*ip)) == PARSED_CLIENT ? whose : PARSED_MALFORMED;
}

/* Fills *p when the answer is CLIENT or NAT. */
static __always_inline enum parsed parse(struct __sk_buff *skb, struct packet *p,
					 const struct shift_ports *ports)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return parse_ipv4(skb, p, ports);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(skb, p, ports);
	return PARSED_OTHER;
}
