/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * visit.bpf.h - what is known of the packet at hand, as the story goes on
 *
 * It lives in the per-CPU scratch of the interface's counters, not on the stack: 512 bytes of stack
 * are all that a chain of calls may use. A program on one CPU handles one packet at a time; runs
 * without a packet (explain) have a place of their own.
 */
#pragma once

#include "bpf/maps.bpf.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

struct packet {
	__u32 src[4];
	__u32 dst[4];
	__u16 sport;
	__u16 dport;
	__u32 seq;
	__u32 ack;
	__u32 payload; /* bytes after the TCP or UDP header */
	__u32 bytes;   /* from the IP header on, without padding */
	__u32 id;      /* with `fragment`: the datagram's, as in the header */
	__u16 ip_len;  /* as in the header, host order; 0 with BIG TCP */
	__u16 ip_check;
	__u16 check; /* 0: UDP without a checksum */
	__u8 header; /* TCP header bytes */
	__u8 l3;
	__u8 l4;
	__u8 ttl;
	__u8 flags; /* TCP_* */
	__u8 v6;
	__u8 protocol;
	__u8 fragment; /* 1: of a fragmented datagram */
};

/* Both ends of a packet that is about to be written. */
struct ends {
	__u32 src[4];
	__u32 dst[4];
	__u16 sport;
	__u16 dport;
};

struct reset {
	struct ends ends;
	__u32 seq; /* host order */
	__u32 ack;
	__u8 flags; /* TCP_RST, perhaps TCP_ACK */
};

/* What a decision needs of the control record that is in force. */
struct control {
	__u64 epoch;
	__u64 cut_epoch;
	__u32 threshold; /* deadlines applied */
	__u8 mode;
	__u8 authority;
	__u8 latched;
};

struct decision {
	__u32 verdict; /* enum shift_verdict; FORWARD: the rest holds */
	__u32 fallback;
	__u32 backend;
	__u32 target;
	__u32 index;
	__u32 client_action;
	__u32 shard;
	__u8 local_socket; /* as in struct shift_explanation */
	__u8 shadow;	   /* would have been shifted */
	__u8 wanted;	   /* the new arm should have it */
	__u8 by_share;	   /* the share alone says so, or that it should not */
	struct control control;
};

struct visit {
	struct packet p;
	struct ends ends;
	__u32 now; /* tick */
	__u64 hash;
	__u32 service; /* ids */
	__u32 listen;
	__u32 target;
	__u32 index;
	__u32 quic;	/* the listener's flows begin with an Initial packet */
	__u32 draining; /* the service or the listener takes no new flow */
	__u64 born;	/* ktime ns, of the flow that was made */
	struct reset reset;
	struct decision d;
	__u8 quote[128]
		__attribute__((aligned(8))); /* the beginning of a packet that is answered */
};

_Static_assert(sizeof(struct visit) <= sizeof(((struct shift_if_stats *)0)->scratch), "scratch");

/* Addresses lie at multiples of eight bytes everywhere but in the packet. */
typedef __u64 __attribute__((may_alias)) half_address;

static __always_inline int same_address(const __u32 a[4], const __u32 b[4])
{
	const half_address *x = (const void *)a, *y = (const void *)b;

	return x[1] == y[1] && x[0] == y[0];
}

static __always_inline void copy_address(__u32 to[4], const __u32 from[4])
{
	half_address *x = (void *)to;
	const half_address *y = (const void *)from;

	x[0] = y[0];
	x[1] = y[1];
}

static __always_inline struct visit *visit_of(struct shift_if_stats *s)
{
	return (struct visit *)s->scratch;
}

/* How the packet's story ends: counted once, by what became of it. */
static __always_inline int verdict(struct visit *v, __u32 what, int action)
{
	struct shift_if_stats *s =
		(void *)((char *)v - __builtin_offsetof(struct shift_if_stats, scratch));

	s->verdict[what & 31]++;
	return action;
}
