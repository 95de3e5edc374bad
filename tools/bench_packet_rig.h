/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench_packet_rig.h - the data plane with its maps filled as `apply` fills them, and its flows
 *
 * bench_packet_rig.c loads, fills, runs, counts; _frame.c has the packets, _flows.c the
 * connections. One service, one listener, one backend, some NAT addresses with 40,000 ports each.
 * Flows are made by the program itself, from SYN, SYN-ACK and ACK, so that nothing here knows how
 * it finds them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/shift.h"
#include "tools/bench_packet.h"

struct bpf_object;
struct rig_packet;

#define SLOT	    0 /* of the interface: what the constants are without being set */
#define SERVICE	    1
#define LISTEN	    1
#define BACKEND	    1
#define TARGET(nat) ((nat) + 1)

#define LISTEN_ADDRESS	0xcb00710au	    /* 203.0.113.10 */
#define NAT_ADDRESS(i)	(0xcb007140u + (i)) /* 203.0.113.64 … */
#define BACKEND_ADDRESS 0xc000020au	    /* 192.0.2.10 */
#define CLIENT_ADDRESS	0xc6120000u	    /* 198.18.0.0/15 */
#define PORT		443
#define PORT_LO		20000
#define LO_IFINDEX	1

#define SECOND 16 /* ticks, about */
#define SHARDS 2

#define RIG_NATS  32
#define RIG_PORTS 40000

/* What is run after the wrapper. */
enum rig_program { RIG_EMPTY, RIG_FLOOR_HIT, RIG_FLOOR_NAT, RIG_SHIFT, RIG_PROGRAMS };

/* Which packets a set has steps for; a set of new connections has only the first. */
enum rig_kind {
	RIG_FORWARD, /* of a flow, by the client; or a SYN */
	RIG_REPLY,   /* by the backend */
	RIG_KINDS
};

/* Client and NAT address and port, in network order. */
struct rig_flow {
	uint32_t client;
	uint32_t nat;
	uint16_t client_port;
	uint16_t nat_port;
};

struct rig_type {
	const char *name;    /* "tc" or "xdp" */
	const char *object;  /* of the data plane */
	const char *program; /* in it */
	const char *wrapper; /* object of bench_packet.bpf.c */
	/* Another program on the same maps that makes the connections; NULL: this one itself. */
	const struct rig_type *maker;
};

struct rig_shape {
	uint32_t flows; /* how many clients come by turns */
	uint32_t nats;	/* NAT addresses: capacity / RIG_PORTS */
	bool live;	/* their connections are shifted and established */
};

struct rig {
	struct rig_shape shape;
	struct rig *maker; /* NULL: this one */
	struct bpf_object *plane, *wrap;
	int program[RIG_PROGRAMS];
	int programs, wrapper; /* the PROG_ARRAY; the program that is run */
	int ifstats;
	struct bench_state *state;
	struct bench_step *steps;
	uint32_t next[RIG_KINDS];		 /* where each kind's round stands */
	const struct rig_packet *has[RIG_KINDS]; /* what their steps are of */
	struct shift_control *control;
	struct shift_flow *slots[RIG_NATS];
	struct rig_flow *flow;
};

/* What one packet is made of, beside the step's own fields. */
struct rig_packet {
	enum rig_kind kind;
	uint8_t flags;	   /* TCP's */
	uint16_t port;	   /* destination of RIG_FORWARD, host order; 0: the listener's */
	uint32_t seq, ack; /* host order; the SYNs of new connections have their own */
};

extern const struct rig_packet rig_forward, rig_reply, rig_syn;

/* 0, or −errno after a message on stderr. */
int rig_open(struct rig *r, const struct rig_type *type, const struct rig_shape *shape);
void rig_close(struct rig *r);

void rig_weight(struct rig *r, uint32_t weight);

/* Chooses the packets of the runs that follow; *p stays as it is from then on. */
void rig_packets(struct rig *r, const struct rig_packet *p);

struct rig_result {
	int action;
	uint8_t frame[BENCH_FRAME]; /* the last packet as it came out */
	uint32_t size;
	uint32_t step;	  /* whose it was */
	double thread_ns; /* CPU time of this thread, for all */
};

int rig_run(struct rig *r, enum rig_program which, uint32_t repeat, struct rig_result *ret);

/* After a run that shifted a new connection: notes the port that its last packet has, if it is one
 * that this client's record holds. */
bool rig_learn(struct rig *r, const struct rig_result *seen);

/* The packet that went in as `step`; and how a NAT sends it on. */
void rig_frame(const struct rig *r, uint32_t step, uint8_t ret[BENCH_FRAME]);
void rig_translated(const struct rig *r, uint32_t step, uint8_t ret[BENCH_FRAME]);
bool rig_sums_hold(const uint8_t frame[BENCH_FRAME]);

/* All CPUs' counters of a verdict. */
uint64_t rig_verdict(struct rig *r, enum shift_verdict which);

/* As if a connection's whole life and its port's rest had gone by for every record. */
void rig_end_all(struct rig *r);

/* ---- between the parts of the rig ---- */

/* Says what went wrong with `what` on stderr; the same error. */
int rig_failed(const char *what, int err);

/* Clients that differ in address and port, in random order. */
void flows_choose(struct rig *r);

/* All of them shift and establish their connections. 0 or −errno, said. */
int flows_establish(struct rig *r);

/* Fills the floors' table, and draws the order in which flows are touched. 0 or −errno, said. */
int flows_tell_floor(struct rig *r);
