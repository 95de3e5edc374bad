/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * story.h - one connection's story, told line by line
 *
 *	tell(s, "weight 100\n"
 *		"client S           -> forward +new\n"
 *		"backend SA         -> reply +handshake\n"
 *		"client A           -> forward\n"
 *		"client PA len 100  -> forward\n"
 *		"flow established\n");
 *
 * A packet line says who sends, the TCP flags, what is unusual about the packet, and the verdict
 * with the counters that move. Sequence numbers follow by themselves. Each packet goes through the
 * program and is checked entirely: what comes out, byte for byte, against what is computed from
 * the packet that went in; the action; that this verdict was counted and, of all counters, exactly
 * those moved that the line and the verdict name; what the flow's record says of addresses,
 * numbers and bytes; that nothing else was sent. The first line that goes wrong ends the story.
 *
 *	client|backend FLAGS [WHAT...] -> VERDICT [+COUNTER...]
 *
 *	FLAGS    letters of S A F R P U, or "none"
 *	WHAT     len N         bytes of data
 *	         seq N, ack N  so far from the number that would follow
 *	         ttl N         instead of 57 (client) or 61
 *	         pad N         bytes of Ethernet padding
 *	         bare          without TCP options; options: with all of them; iphead: IP options
 *	         again         the sender's last packet (with S: its last SYN) once more
 *	         anew          with new initial numbers
 *	         lost          the other side does not get it
 *	         late          to the port of the flow before
 *	VERDICT  as in shift.h, without "pass_"
 *	COUNTER  new old repeat bypassed shadow handshake failure resyn reset rescued
 *	         ports_exhausted table_full no_backend no_route
 *
 * The other lines are in story_lines.c, each with what it does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/bpf/net.h"
#include "tests/bpf/rig.h"

/* One end's numbers, all as in its packets. */
struct side {
	uint32_t isn;
	uint32_t next; /* what it sends next */
	uint32_t seen; /* what it has of the other side, and acknowledges */
	struct frame last, last_syn;
};

struct story {
	struct rig *rig;
	const struct net *net;
	bool v6;
	bool filled; /* the index was */
	struct end client_end;
	enum rig_backend backend; /* who is to serve; RIG_ANY: whoever does */
	struct side client, server;
	uint32_t turn; /* makes numbers different */

	/* The flow that the last SYN began, and what its record should say. */
	bool placed;
	struct shift_flow_ref place, place_before;
	uint64_t epoch, bytes_up, bytes_down;
	uint32_t client_isn, backend_isn, client_ack, backend_ack;
	uint32_t tick_before, tick_after; /* around the last packet */

	struct run run;
	int listener, connection, other; /* the host's sockets, −1: none */
	bool host_speaks;		 /* it has sockets, so it may send by itself */
	bool left_local;		 /* a SYN of this story may be remembered */
	bool spills;			 /* flows may be on other targets than the hash says */
	bool over;			 /* a line went wrong */
	int line;
};

/* Everything new: the usual rig at share 0; a client of azure with a rank between 25 and 50 %. */
void story_begin(struct story *s, struct rig *rig, const struct net *net, bool v6);
void story_end(struct story *s);

__attribute__((format(printf, 2, 3))) void tell(struct story *s, const char *format, ...);

/* Ends the story with a complaint that names the line. */
__attribute__((format(printf, 2, 3))) void story_fail(struct story *s, const char *format, ...);

/* Another client takes over; ranks in percent. */
void story_client(struct story *s, enum rig_backend backend, double from, double to);

/* The client forgets its connection. */
void story_new_numbers(struct story *s);

/* Where the story's backend is seen and reached from: the flow's NAT address and port. */
struct end story_nat(const struct story *s, const struct shift_flow_ref *place);
struct end story_target(const struct story *s, const struct shift_flow_ref *place);

struct shift_flow *story_record(struct story *s); /* of the last flow, whatever became of it */

/* story_packet.c and story_lines.c: one line, in words. */
void story_packet(struct story *s, char *word[], int words);
void story_line(struct story *s, char *word[], int words);

/* story_answer.c: what leaves the host, and how both arms answer. */
void story_watched(struct story *s, char *arg[]);
void story_host_says(struct story *s, char *arg[]);
void story_answers(struct story *s, char *arg[]);
void story_sampled(struct story *s, char *arg[]);
void story_chose(struct story *s, char *arg[]);

/* A frame of the host's on its way out: it is unchanged, and nothing that the ingress counts moves.
 */
void story_leaves(struct story *s, const struct frame *f, const char *what);

/* A table of these is a chapter. Each is told for IPv4 and for IPv6, if `only` is 0. */
struct tale {
	const char *name;
	const char *text;
	void (*more)(struct story *s); /* after the text, if any */
	int only;		       /* 4 or 6 */
};
void tell_all(struct rig *rig, const struct net *net, const char *chapter, const struct tale *tales,
	      size_t n);

/* "450ms", "60s", "2h4m" in seconds; negative: it is none. */
double story_seconds(const char *text);
