/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xdp.h - the short way, beside the program on tc: flows of both, and one packet through both
 *
 * The flows are made by the program on tc. What goes the short way is compared with what is
 * computed here and with what tc makes of the same packet and the same record, which is put back in
 * between.
 */
#pragma once

#include "tests/bpf/play.h"

extern const uint8_t xdp_stranger_mac[6];

/* 0; or −errno: there is no such program. Call it first; xdp_end undoes what it changed. */
int xdp_begin(struct rig *r, const struct net *net);
void xdp_end(struct rig *r);

/* Can the kernel's test_run be told where the packet comes in? Else it is lo (before 5.14). */
bool xdp_is_named(void);

/* A flow of the story's client in TCP, established, and one in UDP, answered; forwarding is off
 * and the way to all targets is through the frames' gateway, as the flows' clients'. False: it was
 * complained of. */
bool xdp_flows(struct story *s);
struct shift_flow *xdp_flow(const struct story *s, bool udp);
struct shift_flow_ref xdp_place(bool udp);

/* The program forgets the next hops to the story's client and to all targets. */
void xdp_forget_hops(struct story *s);
void xdp_hops_older(struct story *s, uint32_t ticks);
uint32_t xdp_hop_key(const struct end *e);
void xdp_forwarding(struct story *s, bool on);
void xdp_gateway(struct story *s, const uint8_t mac[6]); /* NULL: unknown */

/* The next packet of that flow, as the story's side `up` would send it. */
void xdp_frame(struct story *s, bool udp, bool up, size_t payload, struct frame *ret);
void xdp_segment(struct story *s, bool up, struct segment *ret);

/* 0 or −errno, as rig_run. */
int xdp_run(const struct frame *in, struct run *ret);

/* A packet of that flow goes the short way, and all but the MACs is as after the same on tc. */
bool xdp_like_tc(struct story *s, bool udp, const struct frame *in, struct run *ret,
		 const char *what);

/*
 * The frame goes the short way, and comes out as computed, with these MACs, or, if NULL, swapped;
 * counters and record as after the same packet on tc.
 */
bool xdp_goes(struct story *s, bool udp, bool up, const struct frame *in, const uint8_t macs[12],
	      const char *what);

/* It is left to tc, untouched and uncounted. */
bool xdp_passes(struct story *s, const struct frame *in, const char *what);

/* Is the one record as the other, a second older at most? */
bool xdp_same_record(const struct shift_flow *is, const struct shift_flow *wanted,
		     const char *what);

/* What a record says that a packet may change, without what is the flow's own. */
struct shift_flow xdp_common(const struct shift_flow *f);
