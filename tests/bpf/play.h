/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * play.h - UDP packets of a story's client and backend
 *
 * Each is run, and what comes out, the verdict and all counters are compared with what is computed
 * here. The story's place is its last UDP flow.
 */
#pragma once

#include "tests/bpf/datagram.h"
#include "tests/bpf/story.h"

/* UDP beside TCP; the share becomes 100 %. */
void play_begin(struct story *s, bool quic);

/* The client's packet, the backend's; 100 bytes of data. */
struct datagram play_datagram(const struct story *s, bool from_client);

/*
 * The packet ends so. FORWARD without a place begins a flow, which is then the story's. `moves`:
 * what else is counted than what the verdict says.
 */
bool play_client(struct story *s, const struct datagram *d, enum shift_verdict v, const char *what);
bool play_backend(struct story *s, const struct datagram *d, enum shift_verdict v,
		  const char *what);
bool play_frame(struct story *s, bool from_client, const struct frame *in, size_t l4,
		enum shift_verdict v, const struct tally *moves, const char *what);

/* A flow that was answered. */
bool play_open(struct story *s);

/* Time goes by for all that is remembered. */
void play_time(struct story *s, double seconds);

/* The frame as the other end gets it. */
void play_translate(const struct story *s, bool from_client, struct frame *f, size_t l4,
		    uint8_t protocol);

/*
 * The error of the program's own that answers the frame, whose transport header is at `l4`: for its
 * sender, in the name of its destination.
 */
void play_answer(const struct frame *in, size_t l4, uint8_t protocol, const uint8_t type_code[2],
		 uint32_t rest, struct frame *ret);

/* ---- TCP, many connections of one client ---- */

/* All anew, with so many ports in so many shards, share 100 %, a client of azure. */
void play_shape(struct story *s, uint32_t ports, uint8_t shards);

/* A SYN from the client's next port, with number 1000; its place, if it is forwarded. */
enum shift_verdict play_syn(struct story *s);

/* So many, all forwarded. */
void play_flood(struct story *s, uint32_t n);

/* The client's packet after its SYN, or the backend's, whose SYN-ACK has number 5000. */
void play_packet(struct story *s, const struct end *client, const struct shift_flow_ref *place,
		 uint8_t flags, bool up);

/* The last flow's SYN-ACK; and the client's acknowledgement of it. */
void play_answer_syn(struct story *s);
void play_establish(struct story *s);
