/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_hostile.c - packets that nobody honest sends
 *
 * Whatever comes, the packet ends in exactly one verdict, is passed on as it was, or leaves, or is
 * dropped, as the verdict says; and what can be read does not get the program into trouble while it
 * writes (DROP_REWRITE).
 */
#include <linux/pkt_cls.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/play.h"
#include "tests/bpf/single.h"

#define PACKETS 20000

/* Honest ones of every kind, to begin with. */
struct kinds {
	size_t n;
	struct frame frame[24];
};

static const uint8_t syn_options[] = {1, 2, 4, 0xff, 0xff, 4, 2, 3, 3, 7, 8, 10,
				      1, 2, 3, 4,    5,	   6, 7, 8, 0, 0, 0, 0};

static void add_errors(struct story *s, struct kinds *k, const struct shift_flow_ref *place,
		       uint8_t protocol)
{
	struct end nat = story_nat(s, place), target = story_target(s, place);
	struct end listen = rig_listen_end(s->v6);
	struct end router = end_of(s->v6 ? "2001:db8:e::1" : "198.51.100.77", 0);

	for (int up = 0; up < 2; up++) {
		static struct frame sent;
		struct segment seg = {.src = up ? nat : listen,
				      .dst = up ? target : s->client_end,
				      .flags = TCP_ACK,
				      .ttl = 4,
				      .payload = 90};
		struct datagram d = {.src = seg.src, .dst = seg.dst, .ttl = 4, .payload = 90};
		struct error e = {.src = router,
				  .dst = seg.src,
				  .type = s->v6 ? 1 : 3,
				  .code = 1,
				  .ttl = 60,
				  .quoted = sent.data + FRAME_L3,
				  .n = s->v6 ? 100 : 80};

		if (protocol == PROTOCOL_UDP)
			frame_udp(&sent, &d);
		else
			frame_build(&sent, &seg);
		frame_icmp(&k->frame[k->n++], &e);
	}
}

static void add_tcp(struct story *s, struct kinds *k, bool up, uint8_t flags, size_t payload)
{
	struct segment seg = {.src = up ? s->client_end : story_target(s, &s->place),
			      .dst = up ? rig_listen_end(s->v6) : story_nat(s, &s->place),
			      .seq = up ? s->client.next : s->server.next,
			      .ack = up ? s->server.next : s->client.next,
			      .flags = flags,
			      .ttl = 30,
			      .options = syn_options,
			      .n_options = sizeof(syn_options),
			      .payload = payload};

	frame_build(&k->frame[k->n++], &seg);
}

/* A TCP flow and a UDP flow of one client, and frames of both. */
static bool prepare(struct story *s, struct kinds *k)
{
	static const uint8_t types[] = {HEADER_HOPS, HEADER_ROUTING, HEADER_OPTIONS};
	static struct frame whole;
	struct shift_flow_ref udp;
	struct datagram d;

	k->n = 0;
	play_begin(s, false);
	if (!play_open(s))
		return false;
	udp = s->place;
	for (int up = 0; up < 2; up++) {
		d = play_datagram(s, up);
		frame_udp(&k->frame[k->n++], &d);
		d.payload = 1500;
		frame_udp(&k->frame[k->n++], &d);
		d.payload = 200;
		frame_udp(&whole, &d);
		frame_fragment(&k->frame[k->n++], &whole, 0, 80, true, 99 + s->turn);
		frame_fragment(&k->frame[k->n++], &whole, 80, 128, false, 99 + s->turn);
	}
	add_errors(s, k, &udp, PROTOCOL_UDP);
	tell(s, "client S             -> forward +new\n"
		"backend SA           -> reply +handshake\n"
		"client A             -> forward\n");
	if (s->over)
		return false;
	add_tcp(s, k, true, TCP_ACK, 100);
	add_tcp(s, k, false, TCP_ACK, 100);
	add_tcp(s, k, true, TCP_ACK, 1500);
	add_tcp(s, k, false, TCP_ACK, 1500);
	add_tcp(s, k, true, TCP_SYN, 0);
	add_tcp(s, k, false, TCP_SYN | TCP_ACK, 0);
	add_errors(s, k, &s->place, PROTOCOL_TCP);
	if (s->v6) {
		add_tcp(s, k, true, TCP_ACK, 20);
		frame_extend(&k->frame[k->n - 1], types, 3, NULL);
		add_tcp(s, k, false, TCP_SYN | TCP_ACK, 20);
		frame_extend(&k->frame[k->n - 1], types, 3, NULL);
	}
	for (int i = 0; i < RIG_TARGETS; i++)
		rig_target_mtu(s->rig, s->rig->target[i].id, 1400);
	rig_target_mtu(s->rig, udp.target, 1400);
	rig_mtu(s->rig, 1400, 1280);
	return true;
}

static uint64_t all(const struct tally *t)
{
	uint64_t sum = 0;

	for (int i = 0; i < 32; i++)
		sum += t->verdict[i];
	return sum;
}

/* The verdict; or SHIFT_VERDICTS: the kernel does not run it. */
static enum shift_verdict endures(struct rig *r, int prog, const struct frame *f, const char *what,
				  uint32_t number)
{
	static struct tally before, after;
	static struct run run;
	int v = SHIFT_VERDICTS, action;

	rig_tally(r, &before);
	if (rig_run(r, prog, f, &run))
		return SHIFT_VERDICTS;
	rig_tally(r, &after);
	for (int i = 0; i < 32; i++)
		if (after.verdict[i] != before.verdict[i])
			v = i;
	CHECK(all(&after) == all(&before) + 1, "%s %u: not counted once", what, number);
	action = v < SHIFT_FORWARD ? TC_ACT_UNSPEC
		 : v == SHIFT_DROP_TTL || v == SHIFT_DROP_REWRITE || v == SHIFT_FRAGMENT_ORDER
			 ? TC_ACT_SHOT
			 : TC_ACT_REDIRECT;
	CHECK(v != SHIFT_DROP_REWRITE, "%s %u: dropped while it was written", what, number);
	CHECK(run.action == action, "%s %u: the action is %d, the verdict %d", what, number,
	      run.action, v);
	if (action == TC_ACT_UNSPEC)
		CHECK(run.out.len == f->len && !memcmp(run.out.data, f->data, f->len),
		      "%s %u: passed on, but changed", what, number);
	return (enum shift_verdict)v;
}

/* Says in the IP header that the packet is so long. */
static void set_length(struct frame *f)
{
	size_t n = f->len - FRAME_L3;

	if (frame_is_v6(f)) {
		if (n >= 40)
			frame_put16(f, FRAME_L3 + 4, (uint16_t)(n - 40));
		return;
	}
	if (n < 20)
		return;
	frame_put16(f, FRAME_L3 + 2, (uint16_t)n);
	ip_sum(f->data + FRAME_L3);
}

/* Of every kind every length; what is shorter than it says is for the stack to judge. */
static void truncated(struct story *s)
{
	static struct kinds k;
	static struct frame f;

	if (!prepare(s, &k))
		return;
	for (size_t i = 0; i < k.n; i++) {
		const struct frame *whole = &k.frame[i];
		size_t step = whole->len > 400 ? 7 : 1;

		for (size_t n = FRAME_L3; n < whole->len; n += n < 160 ? 1 : step) {
			bool part = whole->data[FRAME_L3 + (s->v6 ? 6 : 6)] ==
					    (s->v6 ? HEADER_FRAGMENT : 0) ||
				    (!s->v6 && frame_get16(whole, FRAME_L3 + 6) & 0x3fff);
			enum shift_verdict v;

			f = *whole;
			f.len = n;
			v = endures(s->rig, s->rig->ingress, &f, "truncated", (uint32_t)n);
			CHECK(part || v < SHIFT_FORWARD || v == SHIFT_VERDICTS,
			      "kind %zu of %zu bytes, shorter than it says: verdict %d", i, n, v);
			set_length(&f);
			endures(s->rig, s->rig->ingress, &f, "shortened", (uint32_t)n);
			if (check_failed()) {
				check_fail("it was kind %zu", i);
				return;
			}
		}
	}
}

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Changes a few bytes of the headers, or all after the Ethernet header. */
static void spoil(struct frame *f, uint32_t *state)
{
	uint32_t r = random_next(state), n = r % 4 + 1;

	if (r >> 8 & 1) {
		f->len = FRAME_L3 + random_next(state) % (f->len - FRAME_L3 + 1);
		if (r >> 9 & 1)
			set_length(f);
	}
	for (uint32_t i = 0; i < n && f->len > FRAME_L3; i++) {
		size_t room = f->len - FRAME_L3 < 130 ? f->len - FRAME_L3 : 130;
		size_t at = FRAME_L3 + random_next(state) % room;

		f->data[at] = random_next(state) & 1 ? (uint8_t)random_next(state)
						     : f->data[at] ^ (1 << (r >> 16 & 7));
	}
}

static void random_bytes(struct frame *f, bool v6, uint32_t *state)
{
	memcpy(f->data, frame_host_mac, 6);
	memcpy(f->data + 6, frame_gateway_mac, 6);
	frame_put16(f, 12, v6 ? 0x86dd : 0x0800);
	f->len = FRAME_L3 + random_next(state) % 300;
	for (size_t i = FRAME_L3; i < f->len; i++)
		f->data[i] = (uint8_t)random_next(state);
	if (f->len > FRAME_L3 + 40 && random_next(state) & 3)
		f->data[FRAME_L3] = v6 ? 0x60 : 0x45;
}

static void random_packets(struct story *s)
{
	uint32_t state = s->v6 ? 0x9e3779b9 : 0x2545f491, reached[SHIFT_VERDICTS + 1] = {0};
	uint32_t packets = getenv("BPF_TABLES_QUICK") ? PACKETS / 10 : PACKETS;
	static struct kinds k;
	static struct frame f;

	for (uint32_t i = 0; i < packets && !check_failed(); i++) {
		int prog = i % 16 == 15 ? s->rig->bare_ingress : s->rig->ingress;

		if (i % 500 == 0) { /* some have ended the flows */
			rig_reset(s->rig, &rig_usual);
			story_client(s, RIG_AZURE, 25, 50);
			if (!prepare(s, &k))
				return;
		}
		if (i % 4 == 3) {
			random_bytes(&f, s->v6, &state);
		} else {
			f = k.frame[random_next(&state) % k.n];
			spoil(&f, &state);
		}
		reached[endures(s->rig, prog, &f, "random packet", i)]++;
	}
	CHECK(reached[SHIFT_PASS_MALFORMED] && reached[SHIFT_FORWARD] && reached[SHIFT_REPLY] &&
		      reached[SHIFT_ICMP_REPLY] && reached[SHIFT_TOO_BIG],
	      "the packets were not hostile enough: not every part of the program met them");
}

static const struct tale hostile[] = {
	{.name = "every kind of packet at every length", .more = truncated},
	{.name = "20,000 packets with random bytes", .more = random_packets},
};

void cases_hostile(struct rig *rig, const struct net *net)
{
	tell_all(rig, net, "hostile", hostile, sizeof(hostile) / sizeof(hostile[0]));
}
