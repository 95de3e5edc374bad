/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench_packet.bpf.c - the wrapper that makes a repeated run honest, and the floors
 *
 * BPF_PROG_TEST_RUN repeats a program on what the last iteration left. So the wrapper writes the
 * whole head anew, with the next flow's ends, and tail-calls what stands in bench_program[0]: the
 * program under test, a floor, or the empty program, whose time is subtracted. Stores are as wide
 * as the fields, so that a program which reads a field finds it in the store buffer.
 *
 * Compiled twice: for tc, and with -DBENCH_XDP for XDP.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "tools/bench_packet.h"

#ifdef BENCH_XDP
#define PROGRAM SEC("xdp")
#define PASS	XDP_PASS
typedef struct xdp_md context;
#else
#define PROGRAM SEC("tc")
#define PASS	TC_ACT_UNSPEC
typedef struct __sk_buff context;
#endif

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bench_program SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_state);
} bench_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set before loading */
	__type(key, __u32);
	__type(value, struct bench_step);
} bench_steps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* set before loading: as many as the program's own */
	__type(key, struct bench_key);
	__type(value, struct bench_nat);
} bench_flows SEC(".maps");

#define PUT(type, at)	    (*(volatile type *)(to + (at)) = *(const type *)(from + (at)))
#define PUT_AS(type, at, v) (*(volatile type *)(to + (at)) = (v))

PROGRAM
int bench_wrap(context *ctx)
{
	__u8 *to = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0, key, i;
	struct bench_state *s = bpf_map_lookup_elem(&bench_state, &zero);
	struct bench_step *step;
	const __u8 *from;

	if (!s || to + BENCH_HEAD > end)
		return BENCH_LOST;
	i = s->next;
	key = s->first + i;
	s->next = i + 1 < s->count ? i + 1 : 0;
	step = bpf_map_lookup_elem(&bench_steps, &key);
	if (!step)
		return BENCH_LOST;
	from = s->frame;
	PUT(__u64, 0); /* Ethernet */
	PUT(__u32, 8);
	PUT(__u16, 12);
	PUT(__u64, 14); /* version, length, id, fragment */
	PUT(__u16, 22); /* TTL, protocol */
	PUT_AS(__u16, 24, step->ip_check);
	PUT(__u32, 38); /* sequence: of a SYN its own */
	PUT(__u32, 42);
	PUT(__u32, 46); /* flags, window */
	PUT_AS(__u16, 50, step->tcp_check);
	PUT(__u16, 52);
	if (s->reply) {
		PUT(__u32, 26);
		PUT_AS(__u32, 30, step->address);
		PUT(__u16, 34);
		PUT_AS(__u16, 36, step->port);
	} else {
		PUT_AS(__u32, 26, step->address);
		PUT(__u32, 30);
		PUT_AS(__u16, 34, step->port);
		PUT(__u16, 36);
		PUT_AS(__u32, 38, step->seq);
	}
	bpf_tail_call(ctx, &bench_program, 0);
	return BENCH_LOST;
}

PROGRAM
int bench_empty(context *ctx)
{
	(void)ctx;
	return PASS;
}

struct heads {
	struct ethhdr *eth;
	struct iphdr *ip;
	struct tcphdr *tcp;
};

/* A TCP packet of IPv4 without options: 1. */
static __always_inline int parse(context *ctx, struct heads *h)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	h->eth = data;
	h->ip = (void *)(h->eth + 1);
	h->tcp = (void *)(h->ip + 1);
	return (void *)(h->tcp + 1) <= end && h->eth->h_proto == bpf_htons(ETH_P_IP) &&
	       h->ip->version == 4 && h->ip->ihl == 5 && h->ip->protocol == IPPROTO_TCP;
}

static __always_inline struct bench_nat *find(const struct heads *h)
{
	struct bench_key key = {.client = {0, 0, bpf_htonl(0xffff), h->ip->saddr},
				.client_port = h->tcp->source,
				.listen = 1};

	return bpf_map_lookup_elem(&bench_flows, &key);
}

/* The least that any program must do: read the headers, find the flow. */
PROGRAM
int bench_floor_hit(context *ctx)
{
	struct heads h;

	if (!parse(ctx, &h) || !find(&h))
		return BENCH_LOST;
	return PASS;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline int send(context *ctx, const struct heads *h, __u32 ifindex)
{
#ifdef BENCH_XDP
	__u8 mac[6];

	(void)ctx;
	(void)ifindex;
	__builtin_memcpy(mac, h->eth->h_dest, 6);
	__builtin_memcpy(h->eth->h_dest, h->eth->h_source, 6);
	__builtin_memcpy(h->eth->h_source, mac, 6);
	return XDP_TX;
#else
	(void)ctx;
	(void)h;
	return bpf_redirect_neigh(ifindex, NULL, 0, 0);
#endif
}

/* A bare NAT: no state, no counter, and it takes every checksum for a finished one. */
PROGRAM
int bench_floor_nat(context *ctx)
{
	__u32 zero = 0;
	struct bench_state *s = bpf_map_lookup_elem(&bench_state, &zero);
	struct bench_nat *nat;
	struct heads h;
	__u64 sum;

	if (!s || !parse(ctx, &h))
		return BENCH_LOST;
	nat = find(&h);
	if (!nat)
		return BENCH_LOST;
	sum = (__u64)(__u32)~h.ip->saddr + nat->address + (__u32)~h.ip->daddr + s->backend;
	h.ip->saddr = nat->address;
	h.ip->daddr = s->backend;
	h.ip->ttl--;
	h.ip->check = ~fold(sum + (__u16)~h.ip->check + (__u16)~bpf_htons(0x100));
	sum += (__u16)~h.tcp->source + nat->port + (__u16)~h.tcp->dest + s->backend_port;
	h.tcp->source = nat->port;
	h.tcp->dest = s->backend_port;
	h.tcp->check = ~fold(sum + (__u16)~h.tcp->check);
	return send(ctx, &h, s->ifindex);
}

char _license[] SEC("license") = "GPL";
