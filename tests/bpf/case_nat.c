/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_nat.c - full NAT of every kind of packet, both ways, checked against sums made from scratch
 */
#include <stdio.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/story.h"

#define REDIRECT 7
#define RANDOM	 1500

#define OPEN                                                                                       \
	"weight 100\n"                                                                             \
	"client S             -> forward +new\n"                                                   \
	"backend SA           -> reply +handshake\n"                                               \
	"client A             -> forward\n"

/* ---- any packet of an open flow ---- */

/* How the packet should leave; of `from_client`, or of the backend. */
static void translated(struct story *s, bool from_client, struct frame *f)
{
	struct end src = from_client ? story_nat(s, &s->place) : rig_listen_end(s->v6);
	struct end dst = from_client ? story_target(s, &s->place) : s->client_end;

	frame_translate(f, &src, &dst);
}

static void addressed(struct story *s, bool from_client, struct segment *seg)
{
	seg->src = from_client ? s->client_end : story_target(s, &s->place);
	seg->dst = from_client ? rig_listen_end(s->v6) : story_nat(s, &s->place);
}

static void goes_through(struct story *s, bool from_client, const struct frame *in, uint32_t gso,
			 const char *what)
{
	static struct frame wanted;
	int err;

	wanted = *in;
	translated(s, from_client, &wanted);
	err = gso ? rig_run_gso(s->rig, in, gso, &s->run)
		  : rig_run(s->rig, s->rig->ingress, in, &s->run);
	CHECK(!err, "%s: the kernel does not run it: %d", what, err);
	CHECK(s->run.action == REDIRECT, "%s: the action is %d", what, s->run.action);
	frame_check_equal(&s->run.out, &wanted, what);
}

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Everything that may differ does: all fields, options of any length, data, padding. */
static void random_packets(struct story *s)
{
	uint32_t state = 0x2545f491;
	uint8_t options[40], ip_options[40];
	char what[40];

	for (int i = 0; i < RANDOM && !check_failed(); i++) {
		uint32_t r = random_next(&state), q = random_next(&state);
		bool from_client = r & 1;
		struct segment seg = {
			.seq = q,
			.ack = random_next(&state),
			.flags = (uint8_t)(TCP_ACK | (r >> 8 & (TCP_PSH | TCP_URG | 0xc0))),
			.ttl = (uint8_t)(2 + (r >> 16) % 254),
			.tos = (uint8_t)(q >> 8),
			.id = (uint16_t)(q >> 16),
			.window = (uint16_t)r,
			.urgent = (uint16_t)(r * 7),
			.options = options,
			.n_options = (q & 15) % 11 * 4,
			.ip_options = ip_options,
			.n_ip_options = s->v6 ? 0 : (q >> 4 & 15) % 11 * 4,
			.payload = random_next(&state) % 1461,
			.trailer = q & 0x1000 ? (q & 0xff) % 47 : 0};
		struct frame f;

		for (size_t k = 0; k < 40; k++) {
			options[k] = (uint8_t)random_next(&state);
			ip_options[k] = (uint8_t)random_next(&state);
		}
		addressed(s, from_client, &seg);
		frame_build(&f, &seg);
		for (size_t k = 0; k < seg.payload; k++)
			f.data[f.len - seg.trailer - 1 - k] = (uint8_t)random_next(&state);
		frame_sum(&f);
		snprintf(what, sizeof(what), "packet %d of the %s", i,
			 from_client ? "client" : "backend");
		goes_through(s, from_client, &f, 0, what);
	}
}

static void each_ttl(struct story *s)
{
	for (int ttl = 2; ttl < 256; ttl++) {
		for (int from_client = 0; from_client < 2; from_client++) {
			struct segment seg = {.flags = TCP_ACK, .ttl = (uint8_t)ttl};
			struct frame f;
			char what[40];

			addressed(s, from_client, &seg);
			frame_build(&f, &seg);
			snprintf(what, sizeof(what), "TTL %d of the %s", ttl,
				 from_client ? "client" : "backend");
			goes_through(s, from_client, &f, 0, what);
		}
	}
}

/* ---- checksums at the ends of their range ---- */

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Chooses the 16 bits at `free` so that the checksum at `check` comes out as wanted, in the packet
 * that comes in or in the one that goes out. */
static bool tune(struct story *s, bool from_client, bool out, size_t free, size_t check,
		 uint16_t wanted, struct frame *f)
{
	static struct frame t;

	frame_put16(f, free, 0);
	frame_sum(f);
	t = *f;
	if (out)
		translated(s, from_client, &t);
	frame_put16(f, free, fold((uint16_t)~wanted + (uint32_t)frame_get16(&t, check)));
	frame_sum(f);
	t = *f;
	if (out)
		translated(s, from_client, &t);
	return frame_get16(&t, check) == wanted;
}

static void checksum_corners(struct story *s)
{
	static const uint16_t values[] = {0x0000, 0x0001, 0x00ff, 0xff00, 0x8000, 0xfffe};

	for (int from_client = 0; from_client < 2; from_client++) {
		struct segment seg = {.flags = TCP_ACK, .ttl = 33, .payload = 9};
		size_t l4, free[2], check[2];
		struct frame f;

		addressed(s, from_client, &seg);
		frame_build(&f, &seg);
		l4 = frame_l4(&f);
		free[0] = l4 + 14; /* the window */
		check[0] = frame_tcp_check(&f);
		free[1] = FRAME_L3 + 4; /* the id */
		check[1] = frame_ip_check(&f);
		for (unsigned int i = 0; i < 2 * 2 * sizeof(values) / sizeof(values[0]); i++) {
			unsigned int which = i & 1, out = i >> 1 & 1;
			char what[80];

			if (which && s->v6)
				continue;
			snprintf(what, sizeof(what), "%s checksum %#06x %s, from the %s",
				 which ? "IP" : "TCP", values[i >> 2],
				 out ? "going out" : "coming in",
				 from_client ? "client" : "backend");
			CHECK(tune(s, from_client, out, free[which], check[which], values[i >> 2],
				   &f),
			      "%s: cannot be made", what);
			goes_through(s, from_client, &f, 0, what);
		}
	}
}

/* 0xffff is another way to write 0: what comes out may be written in either, but must hold. */
static void checksum_all_ones(struct story *s)
{
	for (unsigned int i = 0; i < 4; i++) {
		bool from_client = i & 1, ip = i & 2;
		struct segment seg = {.flags = TCP_ACK, .ttl = 33, .payload = 9};
		static struct frame f, wanted;
		size_t check;

		if (ip && s->v6)
			continue;
		addressed(s, from_client, &seg);
		frame_build(&f, &seg);
		check = ip ? frame_ip_check(&f) : frame_tcp_check(&f);
		tune(s, from_client, false, ip ? FRAME_L3 + 4 : frame_l4(&f) + 14, check, 0, &f);
		frame_put16(&f, check, 0xffff);
		CHECK(frame_sums_hold(&f), "the packet that comes in is wrong");
		wanted = f;
		translated(s, from_client, &wanted);
		CHECK(!rig_run(s->rig, s->rig->ingress, &f, &s->run) && s->run.action == REDIRECT,
		      "it does not go through");
		CHECK(frame_sums_hold(&s->run.out), "the %s checksum was 0xffff: now wrong",
		      ip ? "IP" : "TCP");
		frame_put16(&s->run.out, check, frame_get16(&wanted, check));
		frame_check_equal(&s->run.out, &wanted, "the rest of it");
	}
}

/* Would the client's flow be at this target? */
static bool leads_to(const struct story *s, const struct rig_target *t)
{
	uint64_t hash = rig_hash(s->rig, &s->client_end);

	if (rig_backend_of(s->rig, &s->client_end) != t->backend)
		return false;
	return t->backend != RIG_AWS || (hash >> 16 & 0xffff) * 2 >> 16 == t->phase;
}

/*
 * A client whose address makes the sum of the differences, modulo 2^32, so large that the carry of
 * its first fold carries again.
 */
static bool edge_client(const struct story *s, const struct rig_target *t, struct end *client)
{
	struct end listener = rig_listen_end(s->v6);
	uint64_t sum = 0;

	for (int i = 0; i < 4; i++) {
		sum += (uint64_t)t->nat.ip[i] + (uint32_t)~listener.ip[i] + t->address.ip[i];
		if (i < 3)
			sum += (uint32_t)~client->ip[i];
	}
	if (!s->v6) /* only the last words are summed up; the others are equal anyway */
		sum = (uint64_t)t->nat.ip[3] + (uint32_t)~listener.ip[3] + t->address.ip[3];
	client->ip[3] = (uint32_t)sum; /* so the sum with its complement ends in 32 ones */
	sum += (uint32_t)~client->ip[3];
	return (uint32_t)sum == 0xffffffff && sum >> 32;
}

static void carry_of_the_carry(struct story *s)
{
	struct end listener = rig_listen_end(s->v6);
	uint32_t id = RIG_SERVICE;

	for (int i = 0; i < RIG_TARGETS; i++) {
		const struct rig_target *t = &s->rig->target[i];
		struct segment seg;
		struct frame f;

		if (t->v6 != s->v6)
			continue;
		CHECK(edge_client(s, t, &s->client_end), "target %u: no such client", t->id);
		do { /* until the client's hash leads there */
			s->rig->service.seed++;
			rig_put(s->rig, RIG_SERVICES, &id, &s->rig->service);
		} while (!leads_to(s, t));
		seg = (struct segment){
			.src = s->client_end, .dst = listener, .flags = TCP_SYN, .ttl = 9};
		frame_build(&f, &seg);
		s->place = (struct shift_flow_ref){.target = (__u16)t->id};
		CHECK(!rig_run(s->rig, s->rig->ingress, &f, &s->run), "it does not run");
		if (!rig_flow(s->rig, &s->client_end, &s->place) || s->place.target != t->id) {
			check_fail("target %u: the flow is at %u", t->id, s->place.target);
			continue;
		}
		translated(s, true, &f);
		frame_check_equal(&s->run.out, &f, "the client's SYN");
		addressed(s, false, &seg);
		seg.flags = TCP_SYN | TCP_ACK;
		frame_build(&f, &seg);
		goes_through(s, false, &f, 0, "the backend's answer");
	}
}

/* A checksum that is wrong stays as wrong as it was: the backend is to drop it, not to believe it.
 */
static void wrong_checksum(struct story *s)
{
	for (int from_client = 0; from_client < 2; from_client++) {
		struct segment seg = {.flags = TCP_ACK, .ttl = 33, .payload = 50};
		struct frame f;

		addressed(s, from_client, &seg);
		frame_build(&f, &seg);
		f.data[f.len - 1] ^= 0x40;
		CHECK(!rig_run(s->rig, s->rig->ingress, &f, &s->run) && s->run.action == REDIRECT,
		      "it does not go through");
		CHECK(!frame_sums_hold(&s->run.out), "it was made right");
	}
}

/* ---- trains of segments ---- */

static void gso(struct story *s)
{
	for (int from_client = 0; from_client < 2; from_client++) {
		uint64_t *bytes = (uint64_t *)(from_client ? &story_record(s)->bytes_up
							   : &story_record(s)->bytes_down);
		struct segment seg = {.flags = TCP_ACK | TCP_PSH, .ttl = 64, .payload = 3200};
		uint64_t before = *bytes;
		struct frame f;

		addressed(s, from_client, &seg);
		frame_build(&f, &seg);
		goes_through(s, from_client, &f, 1000, "a train of segments");
		check_equal(*bytes - before, f.len - FRAME_L3, "bytes counted");
		/* BIG TCP: longer than the header can say, so it says 0 */
		frame_put16(&f, FRAME_L3 + (s->v6 ? 4 : 2), 0);
		frame_sum(&f);
		goes_through(s, from_client, &f, 1000, "a train of length 0");
		check_equal(*bytes - before, 2 * (f.len - FRAME_L3), "bytes counted");
	}
}

static const struct tale tales[] = {
	{.name = "SYN with all TCP options and with IP options",
	 .text = "weight 100\n"
		 "client S options         -> forward +new\n"
		 "backend SA options       -> reply +handshake\n"
		 "client A options         -> forward\n"
		 "someone gcp\n"
		 "client S options iphead  -> forward +new\n"
		 "backend SA iphead        -> reply +handshake\n"
		 "someone aws\n"
		 "client S bare            -> forward +new\n"
		 "backend SA bare          -> reply +handshake\n"},
	{.name = "data with and without options, both ways",
	 .text = OPEN "client PA len 1           -> forward\n"
		      "backend PA len 1460 bare  -> reply\n"
		      "client PA len 1460 bare   -> forward\n"
		      "backend PA len 3          -> reply\n"
		      "client A options iphead   -> forward\n"
		      "backend PA len 1000 options iphead -> reply\n"
		      "client PUA len 333        -> forward\n"},
	{.name = "Ethernet padding is kept and not counted as the connection's bytes",
	 .text = OPEN "client A bare pad 6       -> forward\n"
		      "backend A bare pad 6      -> reply\n"},
	{.name = "time to live 1 and 0 end here, but a SYN can still be served by the host",
	 .text = "weight 100\n"
		 "client S ttl 2            -> forward +new\n"
		 "backend SA ttl 2          -> reply +handshake\n"
		 "client A ttl 2            -> forward\n"
		 "client PA ttl 1 len 10 lost  -> drop_ttl\n"
		 "client PA ttl 0 len 10 lost  -> drop_ttl\n"
		 "backend PA ttl 1 len 10 lost -> drop_ttl\n"
		 "backend PA ttl 0 len 10 lost -> drop_ttl\n"
		 "another\n"
		 "client S ttl 1            -> local_syn +old\n"
		 "client S again            -> local_repeat +repeat\n"},
	{.name = "what is left to the host keeps its time to live",
	 .text = "client S ttl 1            -> local_syn +old\n"
		 "client A ttl 1            -> local\n"},
	{.name = "numbers that wrap around",
	 .text = OPEN "client PA len 1400 seq 2147483647   -> forward\n"
		      "backend PA len 1400 seq -2147483648 -> reply\n"},
	{.name = "packets with random fields", .text = OPEN, .more = random_packets},
	{.name = "every time to live", .text = OPEN, .more = each_ttl},
	{.name = "checksums at the ends of their range", .text = OPEN, .more = checksum_corners},
	{.name = "sums of addresses whose carry carries",
	 .text = "weight 100\n",
	 .more = carry_of_the_carry},
	{.name = "a checksum written as 0xffff", .text = OPEN, .more = checksum_all_ones},
	{.name = "a wrong checksum is not repaired", .text = OPEN, .more = wrong_checksum},
	{.name = "trains of segments", .text = OPEN, .more = gso},
};

void cases_nat(struct rig *rig, const struct net *net)
{
	tell_all(rig, net, "nat", tales, sizeof(tales) / sizeof(tales[0]));
}
