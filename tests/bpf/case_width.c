/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_width.c - ways narrower than the packets: the MSS that both ends hear, and what is answered
 *
 * IPv6's extension headers are here, too: they make a packet wider.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/bpf/attach.h"
#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/play.h"
#include "tests/bpf/single.h"

#define OPEN                                                                                       \
	"weight 100\n"                                                                             \
	"client S             -> forward +new\n"                                                   \
	"backend SA           -> reply +handshake\n"                                               \
	"client A             -> forward\n"

static uint32_t azure(const struct story *s)
{
	return s->v6 ? 23 : 13;
}

static uint16_t mss_of(const struct story *s, uint16_t mtu)
{
	return (uint16_t)(mtu - (s->v6 ? 60 : 40));
}

/* ---- the MSS ---- */

#define NONE 99

/* TCP options; the MSS is two bytes at `at`, or none is to be touched. */
struct row {
	const char *name;
	uint8_t bytes[40];
	size_t n, at;
};

static const struct row rows[] = {
	{"alone", {2, 4, 0xff, 0xff}, 4, 2},
	{"after a NOP", {1, 2, 4, 0xff, 0xff, 1, 1, 0}, 8, 3},
	{"after two", {1, 1, 2, 4, 0xff, 0xff, 0, 0}, 8, 4},
	{"after three", {1, 1, 1, 2, 4, 0xff, 0xff, 0}, 8, 5},
	{"after SACK and window", {4, 2, 3, 3, 7, 2, 4, 0xff, 0xff, 1, 1, 1}, 12, 7},
	{"after a time stamp", {8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 2, 4, 0xff, 0xff}, 16, 14},
	{"after an unknown one", {253, 5, 2, 4, 9, 2, 4, 0xff, 0xff, 0, 0, 0}, 12, 7},
	{"the last of 40 bytes",
	 {8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 254, 26, [36] = 2, 4, 0xff, 0xff},
	 40,
	 38},
	{"none", {1, 1, 4, 2}, 4, NONE},
	{"no options", {0}, 0, NONE},
	{"after the end", {0, 1, 2, 4, 0xff, 0xff, 0, 0}, 8, NONE},
	{"after the end, with what looks like a length", {0, 2, 2, 4, 0xff, 0xff, 0, 0}, 8, NONE},
	{"of length 0", {2, 0, 0xff, 0xff, 2, 4, 0xff, 0xff}, 8, NONE},
	{"of length 1", {2, 1, 0xff, 0xff, 2, 4, 0xff, 0xff}, 8, NONE},
	{"of length 3", {2, 3, 0xff, 1}, 4, NONE},
	{"of length 3, then one", {2, 3, 0xff, 2, 4, 0xff, 0xff, 1}, 8, 5},
	{"after one of length 0", {5, 0, 2, 4, 0xff, 0xff, 1, 1}, 8, NONE},
	{"after one of length 1", {5, 1, 2, 4, 0xff, 0xff, 1, 1}, 8, NONE},
	{"after one that runs past the end", {5, 7, 2, 4}, 4, NONE},
	{"after one of 255 bytes", {5, 255, 2, 4, 0xff, 0xff, 1, 1}, 8, NONE},
	{"cut off", {1, 1, 1, 1, 1, 1, 2, 4}, 8, NONE},
	{"cut off in its value", {1, 1, 1, 1, 1, 2, 4, 0xff}, 8, NONE},
};

static void handshake_moves(bool up, const struct frame *f, struct tally *ret)
{
	struct shift_backend_stats *b = &ret->backend[RIG_AZURE];

	memset(ret, 0, sizeof(*ret));
	*(up ? &b->packets_up : &b->packets_down) = 1;
	*(up ? &b->bytes_up : &b->bytes_down) = frame_ip_bytes(f);
	if (up) {
		ret->service.connections_new = b->connections = 1;
	} else {
		b->handshakes = 1;
		b->handshake[0] = 1;
	}
}

/* A SYN, or its SYN-ACK, with this MSS said by the row; it should say `wanted`. */
static bool says(struct story *s, bool up, const struct row *row, uint16_t mss, uint16_t wanted)
{
	static struct frame in, out;
	struct tally before, moves;
	uint8_t options[40];
	struct segment seg = {.seq = s->server.next,
			      .ack = 1001,
			      .flags = up ? TCP_SYN : TCP_SYN | TCP_ACK,
			      .ttl = 9,
			      .window = 5000,
			      .options = options,
			      .n_options = row->n,
			      .payload = 10};
	struct end src, dst;
	char what[100];

	memcpy(options, row->bytes, sizeof(options));
	if (row->at != NONE)
		ip_write16(options + row->at, mss);
	if (up) {
		s->client_end.port++;
		seg.seq = 1000;
		seg.src = s->client_end;
		seg.dst = rig_listen_end(s->v6);
	} else {
		seg.src = story_target(s, &s->place);
		seg.dst = story_nat(s, &s->place);
	}
	frame_build(&in, &seg);
	memset(in.data + in.len - 10, 0xff, 10);
	frame_sum(&in);
	rig_tally(s->rig, &before);
	if (rig_run(s->rig, s->rig->ingress, &in, &s->run) ||
	    (up && !rig_flow(s->rig, &s->client_end, &s->place)))
		check_fail("%s: not shifted", row->name);
	out = in;
	if (row->at != NONE)
		frame_put16(&out, frame_l4(&out) + 20 + row->at, wanted);
	src = up ? story_nat(s, &s->place) : rig_listen_end(s->v6);
	dst = up ? story_target(s, &s->place) : s->client_end;
	frame_translate(&out, &src, &dst);
	handshake_moves(up, &in, &moves);
	snprintf(what, sizeof(what), "%s, %u, %s", row->name, mss, up ? "SYN" : "SYN-ACK");
	return single_ran(s->rig, &before, &s->run, &out, up ? SHIFT_FORWARD : SHIFT_REPLY, &moves,
			  what);
}

static void options(struct story *s)
{
	uint16_t limit = mss_of(s, 1420);

	tell(s, "weight 100\n");
	rig_target_mtu(s->rig, azure(s), 1420);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		says(s, true, &rows[i], 1460, limit);
		says(s, false, &rows[i], 1460, limit);
		rig_age(s->rig, 70, false);
	}
}

static void values(struct story *s)
{
	uint16_t limit = mss_of(s, 1420);
	const uint16_t said[] = {0,
				 1,
				 88,
				 536,
				 (uint16_t)(limit - 1),
				 limit,
				 1460,
				 (uint16_t)(limit + 1),
				 0x0fff,
				 0xff00,
				 0x00ff,
				 8960,
				 65535};

	tell(s, "weight 100\n");
	rig_target_mtu(s->rig, azure(s), 1420);
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		for (int odd = 0; odd < 2; odd++) {
			uint16_t wanted = said[i] < limit ? said[i] : limit;

			says(s, true, &rows[odd], said[i], wanted);
			says(s, false, &rows[odd], said[i], wanted);
			rig_age(s->rig, 70, false);
		}
	}
}

/* The target's way, the interface's, both, none, and one too narrow to be true. */
static void ways(struct story *s)
{
	static const struct {
		uint16_t target, interface, up, down; /* MTUs that count; 0: none */
	} rows_of[] = {{1420, 0, 1420, 1420},
		       {0, 1400, 1400, 0},
		       {1420, 1400, 1400, 1420},
		       {1300, 1400, 1300, 1300},
		       {0, 0, 0, 0},
		       {1500, 9000, 1500, 1500},
		       {100, 0, 0, 0}};

	tell(s, "weight 100\n");
	for (size_t i = 0; i < sizeof(rows_of) / sizeof(rows_of[0]); i++) {
		uint16_t up = rows_of[i].up, down = rows_of[i].down;

		rig_target_mtu(s->rig, azure(s), rows_of[i].target);
		rig_mtu(s->rig, rows_of[i].interface, 0);
		says(s, true, &rows[0], 8960, up ? mss_of(s, up) : 8960);
		says(s, false, &rows[1], 8960, down ? mss_of(s, down) : 8960);
		rig_age(s->rig, 70, false);
	}
}

/* A later SYN is clamped as its first; a SYN's data and an ACK with such options are not touched.
 */
static void not_a_syn(struct story *s)
{
	static const uint8_t bytes[] = {2, 4, 0xff, 0xff};
	struct segment seg = {.flags = TCP_ACK,
			      .ttl = 9,
			      .options = bytes,
			      .n_options = 4,
			      .src = s->client_end,
			      .dst = rig_listen_end(s->v6)};
	static struct frame f;

	tell(s, OPEN);
	if (s->over)
		return;
	rig_target_mtu(s->rig, azure(s), 1420);
	seg.seq = s->client.next;
	seg.ack = s->server.next;
	frame_build(&f, &seg);
	play_frame(s, true, &f, frame_l4(&f) - FRAME_L3, SHIFT_FORWARD, NULL, "an ACK");
}

/* Where the checksum is for a device to finish. */
static void unfinished(struct story *s)
{
	tell(s, "weight 100\n");
	rig_target_mtu(s->rig, azure(s), 1420);
	if (attach_to(s->net, s->rig->ingress)) {
		check_fail("the program cannot be attached: %s", strerror(errno));
		return;
	}
	for (size_t i = 0; i < 4; i++) {
		struct segment seg = {.dst = rig_listen_end(s->v6),
				      .flags = TCP_SYN,
				      .ttl = 9,
				      .options = rows[i].bytes,
				      .n_options = rows[i].n};
		struct rig_target t = *rig_target_of(s->rig, azure(s));
		static struct frame in, is, wanted;
		struct offload o = {.partial = true}, seen;
		struct end nat;

		s->client_end.port++;
		seg.src = s->client_end;
		frame_build(&in, &seg);
		frame_sum_partial(&in);
		wire_drain(s->net);
		wire_send_offloaded(s->net, &in, &o);
		if (!wire_read_offloaded(s->net, &t.address, 2000, &is, &seen) ||
		    !rig_flow(s->rig, &s->client_end, &s->place)) {
			check_fail("%s: nothing came out", rows[i].name);
			break;
		}
		wanted = in;
		nat = story_nat(s, &s->place);
		frame_put16(&wanted, frame_l4(&wanted) + 20 + rows[i].at, mss_of(s, 1420));
		frame_translate(&wanted, &nat, &t.address);
		frame_swap_macs(&wanted);
		if (seen.partial)
			frame_sum_partial(&wanted);
		frame_check_equal(&is, &wanted, rows[i].name);
	}
	attach_end(s->net);
}

/* ---- what is too big ---- */

/* A packet of the flow whose IP packet has so many bytes. */
static void of_size(const struct story *s, bool up, size_t bytes, const uint8_t *types, size_t n,
		    struct frame *ret)
{
	size_t headers = (s->v6 ? 40 : 20) + 20 + n * 8;
	struct segment seg = {.src = up ? s->client_end : story_target(s, &s->place),
			      .dst = up ? rig_listen_end(s->v6) : story_nat(s, &s->place),
			      .seq = up ? s->client.next : s->server.next,
			      .ack = up ? s->server.next : s->client.next,
			      .flags = TCP_ACK,
			      .ttl = 50,
			      .id = 31000,
			      .window = 900,
			      .payload = bytes - headers};

	frame_build(ret, &seg);
	if (s->v6)
		frame_extend(ret, types, n, NULL);
}

static void answered(struct story *s, const struct frame *f, size_t l4, uint8_t protocol,
		     uint16_t mtu, const char *what)
{
	static const uint8_t too_big[2][2] = {{3, 4}, {2, 0}};
	static struct frame wanted;

	play_answer(f, l4, protocol, too_big[s->v6], mtu, &wanted);
	single_becomes(s->rig, f, &wanted, SHIFT_TOO_BIG, NULL, "%s", what);
}

static void too_big(struct story *s)
{
	static const size_t more[] = {1, 2, 3, 4, 5, 100, 1000, 1700};
	static struct frame f;
	char what[80];

	tell(s, OPEN);
	if (s->over)
		return;
	for (int up = 0; up < 2; up++) {
		uint16_t mtu = up ? 1380 : 1400;
		size_t l4 = s->v6 ? 40 : 20;

		rig_target_mtu(s->rig, azure(s), up ? mtu : 0);
		rig_mtu(s->rig, up ? 0 : mtu, 1280);
		for (size_t bytes = (size_t)mtu - 2; bytes <= mtu; bytes++) {
			of_size(s, up, bytes, NULL, 0, &f);
			play_frame(s, up, &f, l4, up ? SHIFT_FORWARD : SHIFT_REPLY, NULL,
				   "it fits");
		}
		for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
			snprintf(what, sizeof(what), "%zu more than %u, %s", more[i], mtu,
				 up ? "up" : "down");
			of_size(s, up, mtu + more[i], NULL, 0, &f);
			answered(s, &f, l4, PROTOCOL_TCP, mtu, what);
			if (s->v6)
				continue;
			frame_put16(&f, FRAME_L3 + 6, 0);
			frame_sum(&f);
			answered(s, &f, l4, PROTOCOL_TCP, mtu, "without DF");
		}
		of_size(s, up, (size_t)mtu + 1, NULL, 0, &f);
		f.data[FRAME_L3 + (s->v6 ? 7 : 8)] = 2;
		frame_sum(&f);
		answered(s, &f, l4, PROTOCOL_TCP, mtu, "with two hops left");
	}
	rig_mtu(s->rig, 0, 0); /* nothing is known */
	of_size(s, true, 3000, NULL, 0, &f);
	play_frame(s, true, &f, s->v6 ? 40 : 20, SHIFT_FORWARD, NULL, "no floor");
	rig_mtu(s->rig, 0, 1280);
	of_size(s, false, 3000, NULL, 0, &f);
	play_frame(s, false, &f, s->v6 ? 40 : 20, SHIFT_REPLY, NULL, "no width known");
}

static void too_big_udp(struct story *s)
{
	static struct frame f;

	play_begin(s, false);
	if (!play_open(s))
		return;
	rig_target_mtu(s->rig, s->place.target, 1300);
	rig_mtu(s->rig, 1300, 1280);
	for (int i = 0; i < 8; i++) {
		bool up = i & 1;
		struct datagram d = play_datagram(s, up);

		d.unsummed = i & 2;
		d.payload = 1301 - 28 + (i & 4 ? 300 : 0);
		frame_udp(&f, &d);
		answered(s, &f, frame_l4(&f) - FRAME_L3, PROTOCOL_UDP, 1300, "UDP");
	}
	for (uint32_t size = 1271; size < 1274; size++) { /* a train of datagrams, IPv4: 1272 fit */
		bool fits = size + (s->v6 ? 48 : 28) <= 1300;
		struct datagram d = play_datagram(s, true);
		struct tally before, moves = {0};
		static const uint8_t kind[2][2] = {{3, 4}, {2, 0}};
		static struct frame wanted;

		d.payload = 2600;
		frame_udp(&f, &d);
		wanted = f;
		rig_tally(s->rig, &before);
		if (rig_run_gso(s->rig, &f, size, &s->run)) {
			check_fail("the kernel does not run it");
			return;
		}
		if (fits) {
			play_translate(s, true, &wanted, frame_l4(&f) - FRAME_L3, PROTOCOL_UDP);
			moves.backend[RIG_AZURE].packets_up = 1;
			moves.backend[RIG_AZURE].bytes_up = frame_ip_bytes(&f);
		} else {
			play_answer(&f, frame_l4(&f) - FRAME_L3, PROTOCOL_UDP, kind[s->v6], 1300,
				    &wanted);
		}
		single_ran(s->rig, &before, &s->run, &wanted, fits ? SHIFT_FORWARD : SHIFT_TOO_BIG,
			   &moves, "a train of datagrams");
	}
}

static void train(struct story *s)
{
	static struct frame f, wanted;
	static const uint8_t too_big_[2][2] = {{3, 4}, {2, 0}};
	size_t headers = s->v6 ? 60 : 40;

	tell(s, OPEN);
	if (s->over)
		return;
	rig_target_mtu(s->rig, azure(s), 1380);
	rig_mtu(s->rig, 0, 1280);
	of_size(s, true, 3400, NULL, 0, &f);
	for (uint32_t size = 1379; size <= 1382; size++) {
		struct tally before, moves = {0};
		bool fits = size <= 1380;

		rig_tally(s->rig, &before);
		if (rig_run_gso(s->rig, &f, size - (uint32_t)headers, &s->run)) {
			check_fail("the kernel does not run it");
			return;
		}
		wanted = f;
		if (fits) {
			play_translate(s, true, &wanted, s->v6 ? 40 : 20, PROTOCOL_TCP);
			moves.backend[RIG_AZURE].packets_up = 1;
			moves.backend[RIG_AZURE].bytes_up = 3400;
		} else {
			play_answer(&f, s->v6 ? 40 : 20, PROTOCOL_TCP, too_big_[s->v6], 1380,
				    &wanted);
		}
		single_ran(s->rig, &before, &s->run, &wanted, fits ? SHIFT_FORWARD : SHIFT_TOO_BIG,
			   &moves, fits ? "segments that fit" : "segments that do not");
	}
}

/* The quotation has a checksum that a device may still finish: it must not break the answer's. */
static void too_big_unfinished(struct story *s)
{
	static const uint8_t kind[2][2] = {{3, 4}, {2, 0}};
	static struct frame in, is, wanted;

	tell(s, OPEN);
	if (s->over)
		return;
	rig_target_mtu(s->rig, azure(s), 1380);
	rig_mtu(s->rig, 1380, 1280);
	if (attach_to(s->net, s->rig->ingress)) {
		check_fail("the program cannot be attached: %s", strerror(errno));
		return;
	}
	for (int i = 0; i < 4; i++) {
		struct offload o = {.partial = true, .gso = i & 2 ? 1360 : 0};

		of_size(s, i & 1, 3000, NULL, 0, &in);
		frame_sum_partial(&in);
		play_answer(&in, s->v6 ? 40 : 20, PROTOCOL_TCP, kind[s->v6], 1380, &wanted);
		wire_drain(s->net);
		wire_send_offloaded(s->net, &in, &o);
		if (!attach_read_finished(s->net, 2000, &is)) {
			check_fail("no answer, %s", i & 2 ? "a train" : "one packet");
			break;
		}
		frame_swap_macs(&wanted);
		frame_check_equal(&is, &wanted, i & 2 ? "to a train" : "to one packet");
	}
	attach_end(s->net);
}

/* ---- extension headers ---- */

static const uint8_t kinds[] = {HEADER_HOPS,	HEADER_OPTIONS, HEADER_ROUTING, HEADER_OPTIONS,
				HEADER_ROUTING, HEADER_OPTIONS, HEADER_OPTIONS};

static void chains(struct story *s)
{
	static const uint8_t ah[] = {HEADER_HOPS, HEADER_AH}, unknown[] = {200};
	static const uint8_t to_go[6] = {0, 1, 0, 0, 0, 0};
	static struct frame f;

	play_begin(s, false);
	if (!play_open(s))
		return;
	for (int up = 0; up < 2; up++) {
		enum shift_verdict v = up ? SHIFT_FORWARD : SHIFT_REPLY;
		struct datagram d = play_datagram(s, up);

		for (size_t n = 1; n < 8; n++) {
			frame_udp(&f, &d);
			frame_extend(&f, kinds, n, NULL);
			play_frame(s, up, &f, 40 + n * 8, n < 7 ? v : SHIFT_PASS_OTHER, NULL,
				   n < 7 ? "up to six headers" : "seven headers");
		}
		frame_udp(&f, &d);
		frame_extend(&f, ah, 2, NULL);
		play_frame(s, up, &f, 0, SHIFT_PASS_OTHER, NULL, "AH");
		frame_udp(&f, &d);
		frame_extend(&f, unknown, 1, NULL);
		play_frame(s, up, &f, 0, SHIFT_PASS_OTHER, NULL, "an unknown header");
		frame_udp(&f, &d);
		frame_extend(&f, kinds + 2, 1, to_go);
		play_frame(s, up, &f, 0, SHIFT_PASS_OTHER, NULL, "routing, with a way to go");
		frame_udp(&f, &d); /* one header as long as six */
		frame_extend(&f, kinds, 6, NULL);
		f.data[FRAME_L3 + 40] = PROTOCOL_UDP;
		f.data[FRAME_L3 + 41] = 5;
		play_frame(s, up, &f, 88, v, NULL, "a long header");
		f.data[FRAME_L3 + 41] = 255;
		play_frame(s, up, &f, 0, SHIFT_PASS_OTHER, NULL, "longer than the packet");
	}
}

static void chains_too_big(struct story *s)
{
	static struct frame f;

	tell(s, OPEN);
	if (s->over)
		return;
	rig_target_mtu(s->rig, azure(s), 1380);
	rig_mtu(s->rig, 1380, 1280);
	for (int up = 0; up < 2; up++) {
		for (size_t n = 0; n <= 6; n++) {
			of_size(s, up, 1380, kinds, n, &f);
			play_frame(s, up, &f, 40 + n * 8, up ? SHIFT_FORWARD : SHIFT_REPLY, NULL,
				   "it fits");
			of_size(s, up, 1381, kinds, n, &f);
			answered(s, &f, 40 + n * 8, PROTOCOL_TCP, 1380, "headers and one byte");
		}
	}
}

static const struct tale width[] = {
	{.name = "the MSS at every place, and where it is none", .more = options},
	{.name = "the MSS lowered, never raised", .more = values},
	{.name = "the MSS of the narrower way", .more = ways},
	{.name = "options of what is no SYN", .more = not_a_syn},
	{.name = "the MSS under an unfinished checksum", .more = unfinished},
	{.name = "too big: answered, both ways", .more = too_big},
	{.name = "too big: UDP", .more = too_big_udp},
	{.name = "too big: by the segment, not by the train", .more = train},
	{.name = "too big under an unfinished checksum", .more = too_big_unfinished},
	{.name = "chains of extension headers", .more = chains, .only = 6},
	{.name = "too big behind extension headers", .more = chains_too_big, .only = 6},
};

void cases_width(struct rig *rig, const struct net *net)
{
	tell_all(rig, net, "width", width, sizeof(width) / sizeof(width[0]));
}
