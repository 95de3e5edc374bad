/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench_packet.h - what bench_packet's programs in the kernel and its process agree on
 */
#pragma once

#include <linux/types.h>

#define BENCH_FRAME 64 /* bytes: Ethernet, IPv4, TCP and ten of data */
#define BENCH_HEAD  54 /* without the data: what is restored before every run */

#define BENCH_LOST -77 /* the tail call did not happen */

/* One iteration's packet: where the frame of the set differs from the others. */
struct bench_step {
	__u32 address; /* the client's, or the NAT address of a reply */
	__u16 port;
	__u16 ip_check;
	__u16 tcp_check;
	__u16 spare;
	__u32 seq;
};

/* Which packets come now. */
struct bench_state {
	__u32 first; /* of the steps */
	__u32 count;
	__u32 next; /* 0..count-1 */
	__u32 reply;
	__u32 ifindex; /* for the floor's redirect */
	__u32 backend; /* where the floor's NAT leads */
	__u16 backend_port;
	__u16 spare;
	__u32 spare2;
	__u8 frame[BENCH_FRAME]; /* what all of them have in common */
};

/* The floor's flow: the program's own key, and all that a bare NAT needs. */
struct bench_key {
	__u32 client[4];
	__u16 client_port;
	__u16 listen;
};

struct bench_nat {
	__u32 address;
	__u16 port;
	__u16 spare;
};

_Static_assert(sizeof(struct bench_step) == 16, "step");
_Static_assert(sizeof(struct bench_key) == 20, "key");
_Static_assert(sizeof(struct bench_nat) == 8, "nat");
