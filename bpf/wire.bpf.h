/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wire.bpf.h - the way out: how wide it is, what is said when a packet does not fit, and leaving
 *
 * A redirect goes past the kernel's forwarding, so what forwarding does about a narrower way is
 * done here: the MSS that both ends tell each other is clamped to it, and a packet that is too big
 * all the same is answered (RFC 1191, RFC 8201) with the address that its sender knows. Nobody
 * fragments here; a sender that allowed it gets the same answer.
 *
 * The answer quotes the packet, whose own checksum may be partial: then the device that sends the
 * answer would still complete it, inside the quotation, and make the ICMP checksum wrong. So the
 * quoted field gets the one value X that completion does not change: X = ~(R + X), where R sums the
 * rest; in one's complement X = -R / 2, and halving is multiplying by 2^15. Nobody checks it.
 */
#pragma once

#include "bpf/reset.bpf.h"

#define ICMP_QUOTE 80
#define ICMP_MASK  124 /* words below 128, the room there is: a bound the verifier follows */

/* A device without an Ethernet header wants one to be redirected by. */
static __always_inline int leave(struct __sk_buff *skb, const struct packet *p, __u32 out)
{
	struct ethhdr eth = {.h_dest = {2}, .h_source = {2}};

	if (l3_offset)
		return bpf_redirect_neigh(out, NULL, 0, 0);
	eth.h_proto = p->v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	if (bpf_skb_change_head(skb, sizeof(eth), 0) ||
	    bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0))
		return TC_ACT_SHOT;
	return bpf_redirect_neigh(out, NULL, 0, 0);
}

/* Of an interface we are attached to; 0: unknown. */
__noinline __u32 interface_mtu(__u32 ifindex)
{
	__u32 zero = 0;
	struct shift_globals *g = bpf_map_lookup_elem(&shift_globals, &zero);

	if (!g)
		return 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < SHIFT_MAX_INTERFACES; i++)
		if (g->interface[i].ifindex == ifindex)
			return g->interface[i].mtu;
	return 0;
}

/* Does the packet, or a segment of the train, not go through `mtu`? */
static __always_inline int too_wide(const struct __sk_buff *skb, const struct packet *p, __u32 mtu)
{
	__u32 header = p->l4 - p->l3;

	if (!mtu || p->bytes <= mtu)
		return 0;
	if (!skb->gso_size)
		return 1;
	header += p->protocol == IPPROTO_UDP ? sizeof(struct udphdr) : p->header;
	return skb->gso_size + header > mtu;
}

#define MSS_OPTIONS 20

/*
 * Lowers the MSS option of a SYN to `limit`. Where the option lies at an odd place its two bytes
 * belong to two words of the sum; seen from it they are swapped (RFC 1071, 2B). Global, so that the
 * verifier reads it once.
 */
__noinline int clamp_mss(struct __sk_buff *skb, __u32 l4, __u32 header, __u32 limit)
{
	__u32 at = sizeof(struct tcphdr);

	for (__u32 i = 0; i < MSS_OPTIONS; i++) {
		__u8 o[4];
		__u16 was, is;

		if (at + 4 > header || bpf_skb_load_bytes(skb, l4 + at, o, sizeof(o)) || !o[0])
			return 0;
		if (o[0] == 1) {
			at++;
			continue;
		}
		if (o[0] != 2 || o[1] != 4) {
			if (o[1] < 2)
				return 0;
			at += o[1];
			continue;
		}
		if ((__u32)(o[2] << 8 | o[3]) <= limit)
			return 0;
		was = bpf_htons(o[2] << 8 | o[3]);
		is = bpf_htons(limit);
		if (bpf_skb_store_bytes(skb, l4 + at + 2, &is, sizeof(is), 0))
			return -1;
		if (at & 1) {
			was = __builtin_bswap16(was);
			is = __builtin_bswap16(is);
		}
		return bpf_l4_csum_replace(skb, l4 + offsetof(struct tcphdr, check), was, is, 2);
	}
	return 0;
}

#define MSS_MIN 88 /* below this no MTU lies (RFC 791: 68 bytes and more) */

static __always_inline int clamp_to(struct __sk_buff *skb, const struct packet *p, __u32 mtu)
{
	__u32 headers =
		(p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + sizeof(struct tcphdr);

	if (mtu < headers + MSS_MIN)
		return 0;
	return clamp_mss(skb, p->l4, p->header, mtu - headers);
}

/* ---- ICMP errors of our own ---- */

struct answer {
	__u8 type[2], code[2]; /* [0] ICMP, [1] ICMPv6 */
	__u32 mtu;
};

/* The quoted packet's checksum field, as its completion would leave it; *sum is of the quotation,
 * and follows. */
static __always_inline int settle_quote(struct __sk_buff *skb, const struct packet *p, __u8 *quote,
					__u32 l4, __u64 *sum)
{
	__u32 field = l4 + (p->protocol == IPPROTO_UDP ? offsetof(struct udphdr, check)
						       : offsetof(struct tcphdr, check));
	__u32 rest;
	__u16 was, is;

	if (!p->check || l4 > ICMP_QUOTE - sizeof(struct tcphdr))
		return 0;
	if (bpf_skb_load_bytes(skb, p->l3 + field, &was, sizeof(was)))
		return 0;
	rest = bpf_csum_diff((__be32 *)quote, l4 & ICMP_MASK, NULL, 0, fold32(*sum + (__u16)~was));
	rest = fold16(fold32(rest));
	/* -R / 2 mod 65535 */
	is = (__u16)(((__u64)(65535 - rest) << 15) % 65535);
	*sum = fold32(*sum + (__u16)~was + is);
	return bpf_skb_store_bytes(skb, p->l3 + field, &is, sizeof(is), 0);
}

/* The packet becomes the error about itself, for whoever sent it. 0 or negative. */
static __noinline int icmp_answer(struct __sk_buff *skb, struct visit *v, const struct answer *a)
{
	const struct packet *p = &v->p;
	__u64 n = p->bytes < ICMP_QUOTE ? p->bytes : ICMP_QUOTE, sum;
	__u32 header = p->l4 - p->l3;
	int err;

	asm volatile("" : "+r"(n));
	n &= ICMP_MASK;
	if (n < sizeof(struct iphdr) + sizeof(struct udphdr))
		return -1;
	err = bpf_skb_load_bytes(skb, p->l3, v->quote, n);
	if (err)
		return err;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)v->quote, n, 0);
	err = bpf_skb_change_tail(skb, p->l3 + n, 0);
	if (!err)
		err = settle_quote(skb, p, v->quote, header, &sum);
	if (err)
		return err;
	if (p->v6) {
		struct {
			struct ipv6hdr ip;
			__u8 type, code;
			__u16 check;
			__u32 mtu;
		} h = {.ip = {.version = 6,
			      .nexthdr = IPPROTO_ICMPV6,
			      .hop_limit = RESET_TTL,
			      .payload_len = bpf_htons(8 + n)},
		       .type = a->type[1],
		       .code = a->code[1],
		       .mtu = bpf_htonl(a->mtu)};

		err = bpf_skb_adjust_room(skb, sizeof(h), BPF_ADJ_ROOM_MAC, 0);
		if (err)
			return err;
		__builtin_memcpy(&h.ip.saddr, p->dst, sizeof(p->dst));
		__builtin_memcpy(&h.ip.daddr, p->src, sizeof(p->src));
		sum += sum_words(p->src, 8); /* dst follows src */
		sum += (__u64)bpf_htons(8 + n) + bpf_htons(IPPROTO_ICMPV6) + h.mtu +
		       bpf_htons(h.type << 8 | h.code);
		h.check = ~fold16(fold32(sum));
		return bpf_skb_store_bytes(skb, p->l3, &h, sizeof(h), 0);
	} else {
		struct {
			struct iphdr ip;
			__u8 type, code;
			__u16 check;
			__u32 mtu;
		} h = {.ip = {.version = 4,
			      .ihl = 5,
			      .tos = 0xc0,
			      .frag_off = bpf_htons(IP_DF),
			      .ttl = RESET_TTL,
			      .protocol = IPPROTO_ICMP,
			      .tot_len = bpf_htons(28 + n),
			      .saddr = p->dst[3],
			      .daddr = p->src[3]},
		       .type = a->type[0],
		       .code = a->code[0],
		       .mtu = bpf_htonl(a->mtu)};

		err = bpf_skb_adjust_room(skb, sizeof(h), BPF_ADJ_ROOM_MAC, 0);
		if (err)
			return err;
		h.ip.check = ~fold16(sum_words((const __u32 *)&h.ip, sizeof(h.ip) / 4));
		sum += (__u64)h.mtu + bpf_htons(h.type << 8 | h.code);
		h.check = ~fold16(fold32(sum));
		return bpf_skb_store_bytes(skb, p->l3, &h, sizeof(h), 0);
	}
}

static __noinline int answer_too_big(struct __sk_buff *skb, struct visit *v, __u32 mtu)
{
	struct answer a = {.type = {3, 2}, .code = {4, 0}, .mtu = mtu};

	if (icmp_answer(skb, v, &a))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, SHIFT_TOO_BIG, leave(skb, &v->p, skb->ifindex));
}

/* What UDP has for a reset: port unreachable. */
static __noinline int answer_unreachable(struct __sk_buff *skb, struct visit *v)
{
	struct answer a = {.type = {3, 1}, .code = {3, 4}};

	if (icmp_answer(skb, v, &a))
		return verdict(v, SHIFT_DROP_REWRITE, TC_ACT_SHOT);
	return verdict(v, SHIFT_RESET_UNABLE, leave(skb, &v->p, skb->ifindex));
}
