/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reset.bpf.h - turning a packet into a RST
 *
 * A receiver obeys a RST at once only if its number is exactly the one it expects next (RFC 5961,
 * 3.2). The side that sent the packet expects what its own acknowledgement says; the other side
 * expects what the packet brings. If the other side is not that far, it answers with an
 * acknowledgement of its own, which is answered here in turn, exactly.
 *
 * The checksum must be right for a packet whose checksum the kernel takes for finished and for one
 * it takes for partial. The field gets the folded pseudo-header sum P, which is what partial means;
 * then bpf_l4_csum_replace, which leaves a partial one alone when not told PSEUDO_HDR, adds H + 2P,
 * where H sums the header: ~(H + 2P - P) is the finished checksum.
 */
#pragma once

#include "bpf/nat.bpf.h"

#define RESET_TTL 64

static __always_inline __u32 sum_words(const __u32 *words, int n)
{
	__u64 sum = 0;

	for (int i = 0; i < n; i++)
		sum += words[i];
	return fold32(sum);
}

static __always_inline int reset_ip(struct __sk_buff *skb, const struct packet *p,
				    const struct reset *r)
{
	__u16 length;
	int err;

	if (p->v6) {
		length = bpf_htons(p->l4 - p->l3 - sizeof(struct ipv6hdr) + sizeof(struct tcphdr));
		err = bpf_skb_store_bytes(skb, p->l3 + offsetof(struct ipv6hdr, payload_len),
					  &length, sizeof(length), 0);
		return err ? err : write_ipv6(skb, p, &r->ends, RESET_TTL);
	}
	length = bpf_htons(p->l4 - p->l3 + sizeof(struct tcphdr));
	err = bpf_skb_store_bytes(skb, p->l3 + offsetof(struct iphdr, tot_len), &length,
				  sizeof(length), 0);
	if (err)
		return err;
	return write_ipv4(skb, p, &r->ends, RESET_TTL,
			  fold32((__u64)address_difference(p, &r->ends) +
				 (__u16)~bpf_htons(p->ip_len) + length));
}

/*
 * Writes the whole packet anew from what `p` read of the original, so it may be called twice on one
 * packet. 0 or negative: out of memory.
 */
static __noinline int reset_write(struct __sk_buff *skb, const struct packet *p,
				  const struct reset *r)
{
	struct tcphdr tcp = {
		.source = r->ends.sport,
		.dest = r->ends.dport,
		.seq = bpf_htonl(r->seq),
		.ack_seq = bpf_htonl(r->ack),
		.doff = sizeof(struct tcphdr) / 4,
		.rst = 1,
		.ack = r->flags & TCP_ACK ? 1 : 0,
	};
	__u32 pseudo, header;
	int err;

	if (!skb || !p || !r)
		return -1;
	err = bpf_skb_change_tail(skb, p->l4 + sizeof(struct tcphdr), 0);
	if (err)
		return err;
	err = reset_ip(skb, p, r);
	if (err)
		return err;
	header = sum_words((const __u32 *)&tcp, sizeof(tcp) / 4);
	if (p->v6)
		pseudo = sum_words(r->ends.src, 8);
	else
		pseudo = fold32((__u64)r->ends.src[3] + r->ends.dst[3]);
	pseudo = fold32((__u64)pseudo + bpf_htonl(IPPROTO_TCP) + bpf_htonl(sizeof(tcp)));
	tcp.check = fold16(pseudo);
	err = bpf_skb_store_bytes(skb, p->l4, &tcp, sizeof(tcp), 0);
	if (err)
		return err;
	return bpf_l4_csum_replace(skb, p->l4 + offsetof(struct tcphdr, check), 0,
				   fold32((__u64)header + tcp.check + tcp.check), 0);
}

/* The RST to whoever sent `p`. */
static __always_inline void reset_for_sender(struct reset *r, const struct packet *p)
{
	__builtin_memcpy(r->ends.src, p->dst, sizeof(r->ends.src));
	__builtin_memcpy(r->ends.dst, p->src, sizeof(r->ends.dst));
	r->ends.sport = p->dport;
	r->ends.dport = p->sport;
	if (p->flags & TCP_ACK) {
		r->seq = p->ack;
		r->ack = 0;
		r->flags = TCP_RST;
	} else { /* RFC 9293, 3.5.2: a packet without ACK is answered from zero, with one */
		r->seq = 0;
		r->ack = p->seq + p->payload + !!(p->flags & TCP_SYN) + !!(p->flags & TCP_FIN);
		r->flags = TCP_RST | TCP_ACK;
	}
}

/* The RST to the other side, which expects what `p` would have brought. */
static __always_inline void reset_for_other(struct reset *r, const struct packet *p,
					    const struct ends *e)
{
	__builtin_memcpy(&r->ends, e, sizeof(*e));
	r->seq = p->seq;
	r->ack = p->ack;
	r->flags = TCP_RST | (p->flags & TCP_ACK);
}

static __always_inline int swap_macs(struct __sk_buff *skb, const struct packet *p)
{
	__u8 from[12], to[12];
	int err;

	if (p->l3 != ETH_HLEN)
		return 0;
	err = bpf_skb_load_bytes(skb, 0, from, sizeof(from));
	if (err)
		return err;
	__builtin_memcpy(to, from + 6, 6);
	__builtin_memcpy(to + 6, from, 6);
	return bpf_skb_store_bytes(skb, 0, to, sizeof(to), 0);
}
