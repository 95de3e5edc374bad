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
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include "bpf/maps.bpf.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10

#define IP_FRAGMENT 0x3fff /* MF and the offset */

struct packet {
	__u32 src[4];
	__u32 dst[4];
	__u16 sport;
	__u16 dport;
	__u32 seq;
	__u32 ack;
	__u16 payload; /* TCP bytes */
	__u16 ip_len;  /* as in the header, host order; 0 with BIG TCP */
	__u16 ip_check;
	__u8 l3;
	__u8 l4;
	__u8 ttl;
	__u8 flags; /* TCP_* */
	__u8 v6;
	__u8 protocol;
};

/* What is known of the packet at hand, as the story goes on. */
struct visit {
	struct packet p;
	struct shift_if_stats *stats;
	struct shift_service *svc;
	__u64 hash;
	__u32 now;     /* tick */
	__u32 service; /* ids */
	__u32 listen;
	__u32 target;
	__u32 index;
	__u32 draining; /* the service or the listener takes no new flow */
};

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

static __always_inline enum parsed parse_tcp(struct __sk_buff *skb, struct packet *p,
					     __u32 ip_bytes, const struct shift_ports *ports)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	const struct tcphdr *tcp = data + p->l4;
	__u32 header;
	__u16 dport;

	if ((void *)(tcp + 1) > end)
		return PARSED_SHORT;
	dport = bpf_ntohs(tcp->dest);
	header = tcp->doff * 4;
	if (header < sizeof(*tcp) || header > ip_bytes)
		return PARSED_MALFORMED;
	p->sport = tcp->source;
	p->dport = tcp->dest;
	p->seq = bpf_ntohl(tcp->seq);
	p->ack = bpf_ntohl(tcp->ack_seq);
	p->payload = ip_bytes - header;
	p->flags = ((const __u8 *)tcp)[13] & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK);
	return port_set(ports->listen, dport) ? PARSED_CLIENT : PARSED_NAT;
}

/* Fills *p only as far as the answer needs. */
static __always_inline enum parsed parse(struct __sk_buff *skb, struct packet *p,
					 const struct shift_ports *ports)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	__u32 l3 = l3_offset;
	const __u16 *l4_ports;
	__u32 l4, bytes;
	__u16 dport;

	p->l3 = l3;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		const struct iphdr *ip = data + l3;

		if ((void *)(ip + 1) > end)
			return PARSED_SHORT;
		if (ip->protocol != IPPROTO_TCP)
			return PARSED_OTHER;
		if (ip->version != 4 || ip->ihl < 5)
			return PARSED_MALFORMED;
		if (ip->frag_off & bpf_htons(IP_FRAGMENT))
			return PARSED_FRAGMENT;
		l4 = ip->ihl * 4;
		bytes = bpf_ntohs(ip->tot_len);
		p->ip_len = bytes;
		if (!bytes) /* BIG TCP: the length is the packet's own */
			bytes = skb->len - l3;
		if (bytes < l4 + sizeof(struct tcphdr) || bytes + l3 > skb->len)
			return PARSED_MALFORMED;
		bytes -= l4;
		p->v6 = 0;
		p->ttl = ip->ttl;
		p->ip_check = ip->check;
		map_v4(p->src, ip->saddr);
		map_v4(p->dst, ip->daddr);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		const struct ipv6hdr *ip = data + l3;

		if ((void *)(ip + 1) > end)
			return PARSED_SHORT;
		if (ip->nexthdr != IPPROTO_TCP)
			return PARSED_OTHER;
		if (ip->version != 6)
			return PARSED_MALFORMED;
		l4 = sizeof(*ip);
		bytes = bpf_ntohs(ip->payload_len);
		p->ip_len = bytes;
		if (!bytes)
			bytes = skb->len - l3 - l4;
		if (bytes < sizeof(struct tcphdr) || bytes + l3 + l4 > skb->len)
			return PARSED_MALFORMED;
		p->v6 = 1;
		p->ttl = ip->hop_limit;
		copy_v6(p->src, &ip->saddr);
		copy_v6(p->dst, &ip->daddr);
	} else {
		return PARSED_OTHER;
	}
	p->protocol = IPPROTO_TCP;
	p->l4 = l3 + l4;

	l4_ports = data + p->l4;
	if ((void *)(l4_ports + 2) > end)
		return PARSED_SHORT;
	dport = bpf_ntohs(l4_ports[1]);
	if (!port_set(ports->listen, dport) && !port_set(ports->nat, dport))
		return PARSED_OTHER;
	return parse_tcp(skb, p, bytes, ports);
}
