/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_icmp.c - ICMP errors about shifted packets, to the end of the flow that sent them
 *
 * What is quoted is a packet as it left us; what is expected is the same packet with the ends that
 * its first sender knew, made from scratch, and as much of it as was quoted.
 */
#include <stdio.h>
#include <string.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/play.h"
#include "tests/bpf/single.h"

#define OPEN                                                                                       \
	"weight 100\n"                                                                             \
	"client S             -> forward +new\n"                                                   \
	"backend SA           -> reply +handshake\n"                                               \
	"client A             -> forward\n"

/* What was sent, and is told not to have arrived. */
struct about {
	bool up; /* it went to the backend; its error is for the client */
	bool udp, unsummed;
	const uint8_t *ip_options;
	size_t n_ip_options;
	const uint8_t *types; /* of IPv6 extension headers */
	size_t n_types;
	const uint8_t *body;
	size_t payload;
	const uint8_t *data; /* UDP */
};

static struct end router(bool v6)
{
	return end_of(v6 ? "2001:db8:e::1" : "198.51.100.77", 0);
}

static void make(const struct story *s, const struct about *a, const struct end *src,
		 const struct end *dst, struct frame *ret)
{
	struct segment seg = {.src = *src,
			      .dst = *dst,
			      .seq = 0x01020304,
			      .ack = 0x05060708,
			      .flags = TCP_ACK | TCP_PSH,
			      .ttl = 33,
			      .id = 501,
			      .window = 777,
			      .ip_options = a->ip_options,
			      .n_ip_options = a->n_ip_options,
			      .payload = a->payload};
	struct datagram d = {.src = *src,
			     .dst = *dst,
			     .ttl = 33,
			     .id = 502,
			     .unsummed = a->unsummed,
			     .ip_options = a->ip_options,
			     .n_ip_options = a->n_ip_options,
			     .payload = a->payload,
			     .data = a->data};

	if (a->udp)
		frame_udp(ret, &d);
	else
		frame_build(ret, &seg);
	if (s->v6)
		frame_extend(ret, a->types, a->n_types, a->body);
}

/* As it left us, and as its first sender knows it. */
static void quoted(const struct story *s, const struct about *a, struct frame *ret_sent,
		   struct frame *ret_known)
{
	struct end nat = story_nat(s, &s->place), target = story_target(s, &s->place);
	struct end listen = rig_listen_end(s->v6);

	make(s, a, a->up ? &nat : &listen, a->up ? &target : &s->client_end, ret_sent);
	make(s, a, a->up ? &s->client_end : &target, a->up ? &listen : &nat, ret_known);
}

/* The error about `sent` with n bytes of it; to the first sender if `known` is given. */
static void error_of(const struct story *s, const struct about *a, const struct frame *sent,
		     size_t n, struct error *ret)
{
	struct end nat = story_nat(s, &s->place), listen = rig_listen_end(s->v6);

	*ret = (struct error){.src = router(s->v6),
			      .dst = a->up ? nat : listen,
			      .type = s->v6 ? 2 : 3,
			      .code = s->v6 ? 0 : 4,
			      .ttl = 44,
			      .rest = 1280,
			      .quoted = sent->data + FRAME_L3,
			      .n = n};
}

static void expected(const struct story *s, const struct about *a, const struct error *e,
		     const struct frame *known, struct frame *ret)
{
	struct end nat = story_nat(s, &s->place), target = story_target(s, &s->place);
	struct end listen = rig_listen_end(s->v6);
	struct error out = *e;

	out.src = a->up ? listen : nat;
	out.dst = a->up ? s->client_end : target;
	out.ttl--;
	out.quoted = known->data + FRAME_L3;
	frame_icmp(ret, &out);
}

static enum shift_verdict verdict_of(const struct about *a)
{
	return a->up ? SHIFT_ICMP_REPLY : SHIFT_ICMP_FORWARD;
}

static void translated(struct story *s, const struct about *a, size_t n, const char *what)
{
	static struct frame sent, known, in, wanted;
	struct error e;

	quoted(s, a, &sent, &known);
	if (n > sent.len - FRAME_L3)
		n = sent.len - FRAME_L3;
	error_of(s, a, &sent, n, &e);
	frame_icmp(&in, &e);
	expected(s, a, &e, &known, &wanted);
	single_becomes(s->rig, &in, &wanted, verdict_of(a), NULL, "%s, %zu bytes quoted, %s", what,
		       n, a->up ? "to the client" : "to the backend");
}

static void passes(struct story *s, const struct about *a, size_t n, const char *what)
{
	static struct frame sent, known, in;
	struct error e;

	quoted(s, a, &sent, &known);
	error_of(s, a, &sent, n, &e);
	frame_icmp(&in, &e);
	single_becomes(s->rig, &in, NULL, SHIFT_PASS_OTHER, NULL, "%s, %zu bytes quoted", what, n);
}

static bool open_flow(struct story *s, bool udp)
{
	if (udp) {
		play_begin(s, false);
		return play_open(s);
	}
	tell(s, OPEN);
	return !s->over;
}

static size_t header_of(const struct story *s)
{
	return s->v6 ? 40 : 20;
}

/* From the eight bytes that a router must quote to the whole packet; less is nobody's. */
static void every_length(struct story *s, bool udp, bool unsummed)
{
	if (!open_flow(s, udp))
		return;
	for (int up = 0; up < 2; up++) {
		struct about a = {.up = up, .udp = udp, .unsummed = unsummed, .payload = 61};

		for (size_t n = header_of(s) + 8; n <= header_of(s) + 90; n++)
			if (udp || n != header_of(s) + 17) /* half a checksum stays */
				translated(s, &a, n, "of every length");
		for (size_t n = 0; n < header_of(s) + 8; n++)
			passes(s, &a, n, "too short");
		a.payload = 1100;
		translated(s, &a, 1200, "long");
		translated(s, &a, 576 - 28, "as RFC 1812 has it");
	}
}

static void of_tcp(struct story *s)
{
	every_length(s, false, false);
}

static void of_udp(struct story *s)
{
	every_length(s, true, false);
}

static void of_udp_unsummed(struct story *s)
{
	every_length(s, true, true);
}

/* Each type that is an error, and every one that is none. */
static void types(struct story *s)
{
	static struct frame sent, known, in, wanted;

	if (!open_flow(s, false))
		return;
	for (int up = 0; up < 2; up++) {
		struct about a = {.up = up};

		quoted(s, &a, &sent, &known);
		for (int type = 0; type < 256; type++) {
			bool error = s->v6 ? type >= 1 && type <= 4
					   : type == 3 || type == 11 || type == 12;
			struct error e;

			error_of(s, &a, &sent, header_of(s) + 8, &e);
			e.type = (uint8_t)type;
			e.code = (uint8_t)(type * 3);
			e.rest = (uint32_t)type * 0x01234567u;
			frame_icmp(&in, &e);
			expected(s, &a, &e, &known, &wanted);
			single_becomes(s->rig, &in, &wanted,
				       error ? verdict_of(&a) : SHIFT_PASS_OTHER, NULL, "type %d",
				       type);
		}
	}
}

static const uint8_t ip_options[] = {7, 11, 4, 9, 8, 7, 6, 5, 4, 3, 2, 0, 1, 1, 1, 1, 1, 1, 1, 1,
				     1, 1,  1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0};

/* Options of the quoted packet, and of the error itself. */
static void options(struct story *s)
{
	static struct frame sent, known, in, wanted;

	if (!open_flow(s, false))
		return;
	for (int up = 0; up < 2; up++) {
		for (size_t n = 0; n <= 40; n += 4) {
			struct about a = {.up = up,
					  .ip_options = ip_options,
					  .n_ip_options = n,
					  .payload = 100};
			struct error e;

			translated(s, &a, 20 + n + 8, "options quoted");
			translated(s, &a, 20 + n + 60, "options quoted");
			passes(s, &a, 20 + n + 7, "options quoted, too short");
			quoted(s, &a, &sent, &known);
			error_of(s, &a, &sent, 20 + n + 20, &e);
			e.ip_options = ip_options;
			e.n_ip_options = 40 - n;
			frame_icmp(&in, &e);
			expected(s, &a, &e, &known, &wanted);
			single_becomes(s->rig, &in, &wanted, verdict_of(&a), NULL,
				       "options of both, %zu", n);
		}
	}
}

static void extensions(struct story *s)
{
	static const uint8_t chain[] = {HEADER_HOPS,	HEADER_OPTIONS, HEADER_ROUTING,
					HEADER_OPTIONS, HEADER_OPTIONS, HEADER_OPTIONS,
					HEADER_OPTIONS};
	static const uint8_t atomic[] = {HEADER_FRAGMENT}, ah[] = {HEADER_AH};
	static const uint8_t routing[] = {HEADER_ROUTING};
	static const uint8_t to_go[6] = {0, 1, 0, 0, 0, 0}, first[6] = {0, 1, 0, 0, 0, 7};
	static const uint8_t later[6] = {0, 8, 0, 0, 0, 7};

	if (!open_flow(s, false))
		return;
	for (int up = 0; up < 2; up++) {
		struct about a = {.up = up, .types = chain, .payload = 50};

		for (size_t n = 1; n <= 6; n++) {
			a.n_types = n;
			translated(s, &a, 40 + 8 * n + 8, "headers quoted");
			translated(s, &a, 40 + 8 * n + 70, "headers quoted");
			passes(s, &a, 40 + 8 * n + 7, "headers quoted, too short");
		}
		a.n_types = 7;
		passes(s, &a, 40 + 56 + 20, "seven headers");
		a.types = atomic;
		a.n_types = 1;
		translated(s, &a, 70, "a whole one with a fragment header");
		a.body = first;
		translated(s, &a, 70, "a first fragment");
		a.body = later;
		passes(s, &a, 70, "a later fragment");
		a.types = routing;
		a.body = to_go;
		passes(s, &a, 70, "not there yet");
		a.types = ah;
		a.body = NULL;
		passes(s, &a, 70, "AH");
	}
}

/* The quoted checksum becomes 0: ffff in UDP, 0 in TCP; and it was so. */
static void zero_sums(struct story *s, bool udp)
{
	uint8_t data[8] = {0};
	static struct frame sent, known;

	if (!open_flow(s, udp))
		return;
	for (int i = 0; i < 4; i++) {
		struct about a = {.up = i & 1, .udp = udp, .payload = 8, .data = data};
		const struct frame *zero = i & 2 ? &sent : &known;
		struct error e;
		static struct frame in, wanted;
		size_t at;

		memset(data, 0, sizeof(data));
		quoted(s, &a, &sent, &known);
		at = frame_l4(&sent) + (udp ? 8 : 18); /* data, or the urgent pointer */
		frame_put16(&known, at, 0);
		frame_put16(&sent, at, 0);
		ip_sum_l4(sent.data + FRAME_L3, header_of(s), frame_ip_bytes(&sent) - header_of(s),
			  udp ? PROTOCOL_UDP : PROTOCOL_TCP);
		ip_sum_l4(known.data + FRAME_L3, header_of(s),
			  frame_ip_bytes(&known) - header_of(s), udp ? PROTOCOL_UDP : PROTOCOL_TCP);
		{
			uint16_t missing = frame_get16(zero, frame_l4(zero) + (udp ? 6 : 16));

			frame_put16(&sent, at, missing);
			frame_put16(&known, at, missing);
		}
		ip_sum_l4(sent.data + FRAME_L3, header_of(s), frame_ip_bytes(&sent) - header_of(s),
			  udp ? PROTOCOL_UDP : PROTOCOL_TCP);
		ip_sum_l4(known.data + FRAME_L3, header_of(s),
			  frame_ip_bytes(&known) - header_of(s), udp ? PROTOCOL_UDP : PROTOCOL_TCP);
		check_equal(frame_get16(zero, frame_l4(zero) + (udp ? 6 : 16)), udp ? 0xffff : 0,
			    "the checksum to be seen");
		error_of(s, &a, &sent, sent.len - FRAME_L3, &e);
		frame_icmp(&in, &e);
		expected(s, &a, &e, &known, &wanted);
		single_becomes(s->rig, &in, &wanted, verdict_of(&a), NULL, "%s, %s",
			       i & 2 ? "it was" : "it becomes", udp ? "UDP" : "TCP");
	}
}

static void zero_sums_tcp(struct story *s)
{
	zero_sums(s, false);
}

static void zero_sums_udp(struct story *s)
{
	zero_sums(s, true);
}

/* Bytes after the IP packet are none of it, though they would be the quoted checksum's. */
static void trailers(struct story *s)
{
	static struct frame sent, known, in, wanted;

	if (!open_flow(s, false))
		return;
	for (int up = 0; up < 2; up++) {
		for (size_t n = 8; n < 24; n++) {
			struct about a = {.up = up, .payload = 3};
			struct error e;

			if (n == 17) /* half a checksum stays */
				continue;
			quoted(s, &a, &sent, &known);
			error_of(s, &a, &sent, header_of(s) + n, &e);
			frame_icmp(&in, &e);
			expected(s, &a, &e, &known, &wanted);
			for (size_t i = 0; i < 17; i++)
				in.data[in.len++] = wanted.data[wanted.len++] = (uint8_t)(0x11 * i);
			single_becomes(s->rig, &in, &wanted, verdict_of(&a), NULL,
				       "%zu bytes and a trailer", n);
			in.len -= 18;
			single_becomes(s->rig, &in, NULL, SHIFT_PASS_OTHER, NULL,
				       "%zu bytes, shorter than it says", n);
		}
	}
}

static void last_hops(struct story *s)
{
	static struct frame sent, known, in;

	if (!open_flow(s, false))
		return;
	for (int i = 0; i < 4; i++) {
		struct about a = {.up = i & 1};
		struct error e;

		quoted(s, &a, &sent, &known);
		error_of(s, &a, &sent, header_of(s) + 8, &e);
		e.ttl = (uint8_t)(i / 2);
		frame_icmp(&in, &e);
		single_becomes(s->rig, &in, NULL, SHIFT_DROP_TTL, NULL, "on its last hop");
	}
}

/* What is about nothing of ours, or comes to the wrong address. */
static void unrelated(struct story *s)
{
	static struct frame sent, known, in;
	struct story other;

	if (!open_flow(s, false))
		return;
	for (int up = 0; up < 2; up++) {
		struct about a = {.up = up};
		struct error e;

		quoted(s, &a, &sent, &known);
		error_of(s, &a, &sent, header_of(s) + 8, &e);
		e.dst = end_of(s->v6 ? "2001:db8::12" : "203.0.113.12", 0);
		frame_icmp(&in, &e);
		single_becomes(s->rig, &in, NULL, SHIFT_PASS_OTHER, NULL, "to another address");
		e.dst = router(s->v6);
		frame_icmp(&in, &e);
		single_becomes(s->rig, &in, NULL, SHIFT_PASS_OTHER, NULL, "to a router");
		/* What was received is quoted, not what was sent. */
		error_of(s, &a, &known, header_of(s) + 8, &e);
		frame_icmp(&in, &e);
		single_becomes(s->rig, &in, NULL, SHIFT_PASS_OTHER, NULL, "the wrong way round");
		other = *s;
		other.client_end.port++;
		other.place.index ^= 1;
		passes(&other, &a, header_of(s) + 8, "of another connection");
		a.udp = true;
		passes(s, &a, header_of(s) + 8, "of UDP with these numbers");
		a.udp = false;
		quoted(s, &a, &sent, &known);
		sent.data[FRAME_L3] ^= 0x10;
		error_of(s, &a, &sent, header_of(s) + 8, &e);
		frame_icmp(&in, &e);
		single_becomes(s->rig, &in, NULL, SHIFT_PASS_OTHER, NULL, "version 5 quoted");
		error_of(s, &a, &sent, header_of(s) + 8, &e);
		sent.data[FRAME_L3] ^= 0x10;
		frame_icmp(&in, &e);
		in.data[FRAME_L3] ^= 0x10;
		single_becomes(s->rig, &in, NULL, s->v6 ? SHIFT_PASS_MALFORMED : SHIFT_PASS_OTHER,
			       NULL, "of version 5");
		if (!s->v6) {
			in.data[FRAME_L3] ^= 0x10;
			frame_put16(&in, FRAME_L3 + 6, 0x2000);
			ip_sum(in.data + FRAME_L3);
			single_becomes(s->rig, &in, NULL, SHIFT_PASS_OTHER, NULL, "in fragments");
			frame_put16(&sent, FRAME_L3 + 6, 0x2000 | 185);
			error_of(s, &a, &sent, header_of(s) + 8, &e);
			frame_icmp(&in, &e);
			single_becomes(s->rig, &in, NULL, SHIFT_PASS_OTHER, NULL,
				       "about a later fragment");
		}
	}
	tell(s, "time 2h5m\n");
	passes(s, &(struct about){.up = true}, header_of(s) + 8, "of a flow that is over");
	passes(s, &(struct about){.up = false}, header_of(s) + 8, "of a flow that is over");
}

/* A checksum that does not hold holds no more after it. */
static void wrong_sum(struct story *s)
{
	static struct frame sent, known, in, wanted;
	struct about a = {.up = true};
	struct error e;
	size_t at = FRAME_L3 + header_of(s) + 2;

	if (!open_flow(s, false))
		return;
	quoted(s, &a, &sent, &known);
	error_of(s, &a, &sent, header_of(s) + 8, &e);
	frame_icmp(&in, &e);
	expected(s, &a, &e, &known, &wanted);
	frame_put16(&in, at, bytes_sum(in.data + at, 2, 0x1234));
	frame_put16(&wanted, at, bytes_sum(wanted.data + at, 2, 0x1234));
	single_becomes(s->rig, &in, &wanted, SHIFT_ICMP_REPLY, NULL, "wrong by 1234");
}

static const struct tale icmp[] = {
	{.name = "about TCP, 8 bytes of it and more", .more = of_tcp},
	{.name = "about UDP, 8 bytes of it and more", .more = of_udp},
	{.name = "about UDP without a checksum", .more = of_udp_unsummed},
	{.name = "every type", .more = types},
	{.name = "IP options, quoted and its own", .more = options, .only = 4},
	{.name = "extension headers quoted", .more = extensions, .only = 6},
	{.name = "a TCP checksum of 0", .more = zero_sums_tcp},
	{.name = "a UDP checksum that becomes 0", .more = zero_sums_udp},
	{.name = "bytes after the packet", .more = trailers},
	{.name = "the last hop", .more = last_hops},
	{.name = "what is about nothing of ours passes", .more = unrelated},
	{.name = "a wrong checksum stays wrong", .more = wrong_sum},
};

void cases_icmp(struct rig *rig, const struct net *net)
{
	tell_all(rig, net, "icmp", icmp, sizeof(icmp) / sizeof(icmp[0]));
}
