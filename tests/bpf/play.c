/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/check.h"
#include "tests/bpf/play.h"
#include "tests/bpf/single.h"

void play_begin(struct story *s, bool quic)
{
	rig_add_udp(s->rig, quic);
	rig_weight(s->rig, 100);
	s->placed = false;
}

struct datagram play_datagram(const struct story *s, bool from_client)
{
	struct datagram d = {.ttl = from_client ? 57 : 61, .id = 4242, .payload = 100};

	if (from_client) {
		d.src = s->client_end;
		d.dst = rig_listen_end(s->v6);
	} else {
		d.src = story_target(s, &s->place);
		d.dst = story_nat(s, &s->place);
	}
	return d;
}

void play_translate(const struct story *s, bool from_client, struct frame *f, size_t l4,
		    uint8_t protocol)
{
	struct end src = from_client ? story_nat(s, &s->place) : rig_listen_end(s->v6);
	struct end dst = from_client ? story_target(s, &s->place) : s->client_end;

	frame_send_on(f, l4, protocol, &src, &dst);
}

/* What a verdict counts of a packet besides itself. */
static void count(struct story *s, bool from_client, bool begins, enum shift_verdict v,
		  size_t bytes, struct tally *t)
{
	struct shift_backend_stats *b = &t->backend[s->backend];

	if (v == SHIFT_FORWARD && begins) {
		t->service.connections_new++;
		b->connections++;
	}
	if (v == SHIFT_FORWARD || v == SHIFT_FRAGMENT_FORWARD) {
		b->packets_up++;
		b->bytes_up += bytes;
	}
	if (v == SHIFT_REPLY || v == SHIFT_FRAGMENT_REPLY) {
		b->packets_down++;
		b->bytes_down += bytes;
	}
	if (v == SHIFT_PASS_LOCAL_SYN || v == SHIFT_PASS_FALLBACK || v == SHIFT_RESET_UNABLE)
		t->service.connections_old++;
	if (v == SHIFT_PASS_LOCAL_REPEAT)
		t->service.syn_retransmits++;
	if (v == SHIFT_PASS_BYPASS)
		t->service.bypassed++;
	(void)from_client;
}

/* Also behind extension headers. */
static bool is_tcp(const struct frame *f, size_t l4)
{
	const uint8_t *ip = f->data + FRAME_L3;
	uint8_t next = ip[frame_is_v6(f) ? 6 : 9];

	for (size_t at = 40; frame_is_v6(f) && at < l4; at += (ip[at + 1] + 1u) * 8)
		next = ip[at];
	return next == PROTOCOL_TCP;
}

bool play_frame(struct story *s, bool from_client, const struct frame *in, size_t l4,
		enum shift_verdict v, const struct tally *moves, const char *what)
{
	bool udp = !is_tcp(in, l4), leaves = v == SHIFT_FORWARD || v == SHIFT_REPLY;
	uint32_t listen = udp ? RIG_UDP(s->v6) : RIG_LISTEN(s->v6);
	bool begins = from_client && v == SHIFT_FORWARD && !s->placed;
	struct tally before, sum = {0};
	static struct frame wanted;

	if (moves)
		sum = *moves;
	count(s, from_client, begins, v, frame_ip_bytes(in), &sum);
	rig_tally(s->rig, &before);
	if (rig_run(s->rig, s->rig->ingress, in, &s->run)) {
		check_fail("%s: the kernel does not run it", what);
		return false;
	}
	if (begins) {
		if (!rig_flow_of(s->rig, listen, &s->client_end, &s->place)) {
			check_fail("%s: there is no flow", what);
			return false;
		}
		s->placed = true;
	}
	wanted = *in;
	if (leaves)
		play_translate(s, from_client, &wanted, l4, udp ? PROTOCOL_UDP : PROTOCOL_TCP);
	return single_ran(s->rig, &before, &s->run, leaves || v < SHIFT_FORWARD ? &wanted : NULL, v,
			  &sum, what);
}

bool play_client(struct story *s, const struct datagram *d, enum shift_verdict v, const char *what)
{
	struct datagram usual = play_datagram(s, true);
	static struct frame f;

	frame_udp(&f, d ? d : &usual);
	return play_frame(s, true, &f, frame_l4(&f) - FRAME_L3, v, NULL, what);
}

bool play_backend(struct story *s, const struct datagram *d, enum shift_verdict v, const char *what)
{
	struct datagram usual = play_datagram(s, false);
	static struct frame f;

	frame_udp(&f, d ? d : &usual);
	return play_frame(s, false, &f, frame_l4(&f) - FRAME_L3, v, NULL, what);
}

bool play_open(struct story *s)
{
	return play_client(s, NULL, SHIFT_FORWARD, "the first") &&
	       play_backend(s, NULL, SHIFT_REPLY, "its answer");
}

void play_time(struct story *s, double seconds)
{
	rig_age(s->rig, seconds, false);
	rig_age_udp(s->rig, seconds);
}

/* X = ~(R + X) in one's complement: what completing a sum that has X in it leaves. */
static uint16_t fixed_point(uint16_t rest)
{
	for (uint32_t x = 0; x < 0xffff; x++)
		if ((uint16_t)~bytes_sum(NULL, 0, rest + x) == x)
			return (uint16_t)x;
	return 0;
}

void play_answer(const struct frame *in, size_t l4, uint8_t protocol, const uint8_t type_code[2],
		 uint32_t rest, struct frame *ret)
{
	size_t n = frame_ip_bytes(in), check = l4 + (protocol == PROTOCOL_UDP ? 6 : 16);
	uint8_t quoted[80], *ip = ret->data + FRAME_L3;
	bool v6 = frame_is_v6(in);
	struct error e = {.src = frame_dst(in),
			  .dst = frame_src(in),
			  .type = type_code[0],
			  .code = type_code[1],
			  .ttl = 64,
			  .rest = rest,
			  .quoted = quoted};

	n = n > 80 ? 80 : n / 4 * 4;
	memcpy(quoted, in->data + FRAME_L3, n);
	if (check + 2 <= n && ip_read16(quoted + check)) {
		ip_write16(quoted + check, 0);
		ip_write16(quoted + check, fixed_point(bytes_sum(quoted + l4, n - l4, 0)));
	}
	e.n = n;
	frame_icmp(ret, &e);
	memcpy(ret->data, in->data, 12); /* the next hop's are written on the way out */
	if (!v6) {
		ip[1] = 0xc0;
		ip_write16(ip + 6, 0x4000);
		ip_sum(ip);
	}
}

/* ---- TCP, many connections of one client ---- */

void play_shape(struct story *s, uint32_t ports, uint8_t shards)
{
	struct rig_shape shape = rig_usual;

	shape.ports = ports;
	shape.shards = shards;
	rig_reset(s->rig, &shape);
	rig_weight(s->rig, 100);
	s->client_end = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_AZURE);
	s->client_end.port = 1;
}

/* The client's next SYN. */
enum shift_verdict play_syn(struct story *s)
{
	enum shift_verdict v;

	s->client_end.port++;
	v = single_try(s->rig, &s->client_end, &s->run);
	s->placed = v == SHIFT_FORWARD && rig_flow(s->rig, &s->client_end, &s->place);
	return v;
}

/* A packet of the last flow: the client's, whose SYN had number 1000, or the backend's. */
void play_packet(struct story *s, const struct end *client, const struct shift_flow_ref *place,
		 uint8_t flags, bool up)
{
	struct segment seg = {.src = up ? *client : story_target(s, place),
			      .dst = up ? rig_listen_end(s->v6) : story_nat(s, place),
			      .seq = up ? 1001 : 5000 + !(flags & TCP_SYN),
			      .ack = up ? 5001 : 1001,
			      .flags = flags,
			      .ttl = 9};
	static struct frame f;

	frame_build(&f, &seg);
	if (rig_run(s->rig, s->rig->ingress, &f, &s->run))
		check_fail("the kernel does not run it");
}

void play_answer_syn(struct story *s)
{
	play_packet(s, &s->client_end, &s->place, TCP_SYN | TCP_ACK, false);
}

void play_establish(struct story *s)
{
	play_answer_syn(s);
	play_packet(s, &s->client_end, &s->place, TCP_ACK, true);
}

void play_flood(struct story *s, uint32_t n)
{
	for (uint32_t i = 0; i < n && !check_failed(); i++) {
		enum shift_verdict v = play_syn(s);

		CHECK(v == SHIFT_FORWARD, "SYN %u of %u: %s", i, n, rig_verdict_names[v]);
	}
}
