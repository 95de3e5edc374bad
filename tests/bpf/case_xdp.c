/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_xdp.c - the short way: what it takes comes out as from tc, all else is left to tc; the next
 * hop is case_xdp_hop.c's
 *
 * The kernel's test_run knows no VLAN tag that a card took off, and no frame below 14 bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/xdp.h"

static struct frame f;

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static const char *side(bool udp, bool up)
{
	return udp ? up ? "UDP up" : "UDP down" : up ? "TCP up" : "TCP down";
}

/* ---- what goes ---- */

static void sizes(struct story *s)
{
	static const size_t lengths[] = {0, 1, 2, 3, 7, 64, 511, 1200, 1472, 3001};
	char what[80];

	if (!xdp_flows(s))
		return;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (int k = 0; k < 4 && !check_failed(); k++) {
			bool udp = k & 2, up = !(k & 1);

			xdp_frame(s, udp, up, lengths[i], &f);
			snprintf(what, sizeof(what), "%s, %zu bytes", side(udp, up), lengths[i]);
			xdp_goes(s, udp, up, &f, NULL, what);
		}
	}
}

static void headers(struct story *s)
{
	static const uint8_t options[] = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};

	if (!xdp_flows(s))
		return;
	for (int i = 0; i < 60 && !check_failed(); i++) {
		bool up = !(i & 1);
		struct segment seg;
		struct datagram d;

		xdp_segment(s, up, &seg);
		seg.ttl = (uint8_t)(2 + i * 4);
		seg.tos = (uint8_t)(i * 7);
		seg.id = (uint16_t)(i * 1717);
		seg.flags = (uint8_t)(TCP_ACK | (i % 3 ? TCP_PSH : TCP_URG) | i % 4 << 6);
		seg.window = (uint16_t)(i * 999);
		seg.options = options;
		seg.n_options = (size_t)(i % 4) * 4;
		seg.payload = (size_t)i * 3;
		seg.trailer = (size_t)i % 19;
		frame_build(&f, &seg);
		xdp_goes(s, false, up, &f, NULL, "TCP");
		xdp_frame(s, true, up, 0, &f);
		d = play_datagram(s, up);
		d.ttl = seg.ttl;
		d.tos = seg.tos;
		d.id = seg.id;
		d.payload = (size_t)i;
		d.trailer = seg.trailer;
		d.unsummed = i % 5 == 0;
		frame_udp(&f, &d);
		xdp_goes(s, true, up, &f, NULL, "UDP");
	}
}

/* Two bytes of data make the sum of the translated packet, or of the one before, 0. */
static void sum_becomes_zero(struct story *s)
{
	if (!xdp_flows(s))
		return;
	for (int i = 0; i < 8; i++) {
		bool udp = i & 4, up = i & 1, before = i & 2;
		size_t l4, check;

		for (int again = 0; again < 2; again++) {
			static struct frame sum;
			uint16_t missing = again ? frame_get16(&sum, check) : 0;

			xdp_frame(s, udp, up, 9, &f);
			l4 = frame_l4(&f);
			check = l4 + (udp ? 6 : 16);
			frame_put16(&f, l4 + (udp ? 8 : 20), missing);
			ip_sum_l4(f.data + FRAME_L3, l4 - FRAME_L3, f.len - l4,
				  udp ? PROTOCOL_UDP : PROTOCOL_TCP);
			sum = f;
			if (!before)
				play_translate(s, up, &sum, l4 - FRAME_L3,
					       udp ? PROTOCOL_UDP : PROTOCOL_TCP);
			if (again)
				check_equal(frame_get16(&sum, check), udp ? 0xffff : 0,
					    "the checksum to be seen");
		}
		xdp_goes(s, udp, up, &f, NULL, side(udp, up));
	}
}

/* Every state that a record can be in, and every packet. */
static void states(struct story *s)
{
	if (!xdp_flows(s))
		return;
	for (uint8_t state = 0; state < SHIFT_FLOW_STATES; state++) {
		bool taken = state > SHIFT_FLOW_SYN_RECV && state != SHIFT_FLOW_ABANDONED;

		for (int flags = 0; flags < 64 && !check_failed(); flags++) {
			bool up = flags & 1;
			uint8_t tcp = (uint8_t)(flags >> 1 | (up ? 0 : TCP_PSH));
			struct shift_flow *flow = xdp_flow(s, false), was = *flow;
			struct segment seg;
			char what[80];

			xdp_segment(s, up, &seg);
			seg.flags = tcp;
			frame_build(&f, &seg);
			flow->state = state;
			snprintf(what, sizeof(what), "state %u, flags %02x %s", state, tcp,
				 up ? "up" : "down");
			if (taken && !(tcp & TCP_SYN))
				xdp_goes(s, false, up, &f, NULL, what);
			else
				xdp_passes(s, &f, what);
			*flow = was;
		}
	}
	for (int udp = 0; udp < 2; udp++) {
		struct shift_flow *flow = xdp_flow(s, udp);

		flow->expires -= 8000 * RIG_SECOND;
		for (int up = 0; up < 2; up++) {
			xdp_frame(s, udp, up, 9, &f);
			xdp_passes(s, &f, "expired");
		}
	}
}

/* ---- a connection, packet by packet ---- */

struct twin {
	struct end client;
	struct shift_flow_ref place;
};

/* The packet on XDP and, if it is left, on tc; or on tc alone. */
static void send(struct story *s, const struct twin *t, const struct segment *like, bool up,
		 bool by_xdp)
{
	struct segment seg = *like;

	seg.src = up ? t->client : story_target(s, &t->place);
	seg.dst = up ? rig_listen_end(s->v6) : story_nat(s, &t->place);
	frame_build(&f, &seg);
	if (by_xdp) {
		if (xdp_run(&f, &s->run))
			check_fail("the kernel does not run it");
		if (s->run.action == XDP_TX)
			return;
	}
	if (rig_run(s->rig, s->rig->ingress, &f, &s->run))
		check_fail("the kernel does not run it");
}

static struct shift_flow *record(struct story *s, const struct twin *t)
{
	return &s->rig->slots[t->place.target][t->place.index];
}

static bool twins(struct story *s, struct twin twin[2])
{
	for (int i = 0; i < 2; i++) {
		struct segment syn = {.seq = 1000, .flags = TCP_SYN, .ttl = 60};

		story_client(s, RIG_AZURE, 25, 50);
		twin[i].client = s->client_end;
		send(s, &twin[i], &syn, true, false);
		if (!rig_flow(s->rig, &twin[i].client, &twin[i].place)) {
			check_fail("there is no flow");
			return false;
		}
	}
	return true;
}

static void step(struct story *s, struct twin twin[2], const struct segment *seg, bool up,
		 const char *what)
{
	struct shift_flow is, wanted;

	for (int i = 0; i < 2; i++)
		send(s, &twin[i], seg, up, i);
	is = xdp_common(record(s, &twin[1]));
	wanted = xdp_common(record(s, &twin[0]));
	xdp_same_record(&is, &wanted, what);
}

static void connection(struct story *s)
{
	static const struct {
		bool up;
		uint8_t flags;
		uint16_t seq, ack, n; /* from each side's initial number on */
	} packet[] = {
		{false, TCP_SYN | TCP_ACK, 0, 1, 0},
		{true, TCP_ACK, 1, 1, 0},
		{true, TCP_ACK | TCP_PSH, 1, 1, 300},
		{false, TCP_ACK, 1, 301, 0},
		{false, TCP_ACK | TCP_PSH, 1, 301, 9},
		{true, TCP_ACK, 301, 10, 0},
		{false, TCP_RST, 500, 0, 0},
		{true, TCP_ACK, 301, 10, 10},
		{true, TCP_FIN | TCP_ACK, 311, 10, 0},
		{false, TCP_ACK, 10, 312, 700},
		{false, TCP_FIN | TCP_ACK, 710, 312, 5},
		{true, TCP_ACK, 312, 716, 0},
		{true, TCP_ACK, 312, 716, 0},
	};
	static const uint8_t wanted[] = {2, 3, 3, 3, 3, 3, 4, 3, 3, 4, 4, 5, 5};
	struct twin twin[2];
	char what[40];

	if (!xdp_flows(s) || !twins(s, twin))
		return;
	for (size_t i = 0; i < sizeof(packet) / sizeof(packet[0]); i++) {
		bool up = packet[i].up;
		struct segment seg = {.seq = (up ? 1000u : 5000u) + packet[i].seq,
				      .ack = (up ? 5000u : 1000u) + packet[i].ack,
				      .flags = packet[i].flags,
				      .ttl = 40,
				      .payload = packet[i].n};

		snprintf(what, sizeof(what), "packet %zu", i);
		step(s, twin, &seg, up, what);
		check_equal(record(s, &twin[1])->state, wanted[i], what);
		check_equal(s->run.action, i > 1 ? XDP_TX : TC_ACT_REDIRECT, what);
	}
}

/* Any packet, with numbers around those that count. */
static void any_connection(struct story *s)
{
	static const uint8_t flags[] = {TCP_ACK, TCP_ACK, TCP_FIN | TCP_ACK, TCP_ACK | TCP_PSH,
					TCP_ACK, TCP_FIN, TCP_FIN | TCP_ACK, 0,
					TCP_SYN, TCP_RST, TCP_SYN | TCP_ACK, TCP_RST | TCP_ACK};
	uint32_t state = 0xfeed1234, seen = 0;
	struct twin twin[2];
	char what[60];

	for (uint32_t i = 0; i < 1500 && !check_failed(); i++) {
		uint32_t r = random_next(&state), a = random_next(&state);
		bool up = r & 1;
		struct segment seg = {.seq = (up ? 1001u : 5001u) + a % 3,
				      .ack = (up ? 5001u : 1001u) + (a >> 4) % 3,
				      .flags = flags[(r >> 8) % (i / 60 % 3 ? 8 : sizeof(flags))],
				      .ttl = 40,
				      .payload = (r >> 16) % 3};

		if (i % 30 == 0) {
			story_begin(s, s->rig, s->net, s->v6);
			s->rig->service.timeout_second *= 1000; /* one is not slower */
			if (!xdp_flows(s) || !twins(s, twin))
				return;
			if (i % 60)
				for (int k = 0; k < 2; k++) {
					s->client_end = twin[k].client;
					s->place = twin[k].place;
					play_establish(s);
				}
		}
		if (i % 60 == 0) {
			up = false;
			seg.seq = 5000;
			seg.flags = TCP_SYN | TCP_ACK;
		}
		snprintf(what, sizeof(what), "packet %u, %s, flags %02x", i, up ? "up" : "down",
			 seg.flags);
		step(s, twin, &seg, up, what);
		seen |= 1u << record(s, &twin[1])->state;
	}
	check_equal(seen & 0x7c, 0x7c, "states seen");
}

static void handshake(struct story *s)
{
	struct twin t;

	if (!xdp_flows(s))
		return;
	story_client(s, RIG_AZURE, 25, 50);
	t.client = s->client_end;
	for (int stage = 0; stage < 2; stage++) {
		struct segment seg = {.seq = 1000, .flags = TCP_SYN, .ttl = 60};

		send(s, &t, &seg, true, false);
		if (!rig_flow(s->rig, &t.client, &t.place)) {
			check_fail("there is no flow");
			return;
		}
		if (stage) {
			s->place = t.place;
			play_answer_syn(s);
		}
		check_equal(record(s, &t)->state, stage ? SHIFT_FLOW_SYN_RECV : SHIFT_FLOW_SYN_SENT,
			    "state");
		for (int flags = 0; flags < 64; flags++) {
			bool up = flags & 1;

			seg = (struct segment){.src = up ? t.client : story_target(s, &t.place),
					       .dst = up ? rig_listen_end(s->v6)
							 : story_nat(s, &t.place),
					       .seq = up ? 1001 : 5000,
					       .ack = up ? 5001 : 1001,
					       .flags = (uint8_t)(flags >> 1),
					       .ttl = 60};
			frame_build(&f, &seg);
			xdp_passes(s, &f, stage ? "SYN_RECV" : "SYN_SENT");
		}
	}
}

/* A question and its answer that go the short way, beside a flow of UDP that tc saw answered. */
static void answers(struct story *s)
{
	static const bool up[] = {true, true, false, false};

	if (!xdp_flows(s))
		return;
	tell(s, "answers new begun 2 answered 1 timed 1\n");
	for (size_t i = 0; i < sizeof(up) / sizeof(up[0]) && !check_failed(); i++) {
		xdp_frame(s, false, up[i], 10, &f);
		CHECK(!xdp_run(&f, &s->run) && s->run.action == XDP_TX, "packet %zu is left to tc",
		      i);
	}
	tell(s, "answers new begun 2 answered 2 timed 2\n");
}

static const struct tale tales[] = {
	{.name = "packets of every size", .more = sizes},
	{.name = "every field of the headers", .more = headers},
	{.name = "checksums that become 0", .more = sum_becomes_zero},
	{.name = "every state, every flag", .more = states},
	{.name = "a connection", .more = connection},
	{.name = "any connection", .more = any_connection},
	{.name = "a handshake is left to tc", .more = handshake},
	{.name = "answers are counted", .more = answers},
};

void cases_xdp(struct rig *rig, const struct net *net)
{
	int err = xdp_begin(rig, net);

	if (err) {
		check_begin("xdp: the program runs");
		check_fail("it does not: %s", strerror(-err));
		check_end();
		return;
	}
	tell_all(rig, net, "xdp", tales, sizeof(tales) / sizeof(tales[0]));
	xdp_end(rig);
}
