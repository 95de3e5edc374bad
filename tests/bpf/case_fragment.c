/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_fragment.c - datagrams in parts, in any order
 *
 * The parts that are expected are the parts of the whole datagram as it is expected. What is
 * received again cannot be seen by test_run; there the program is attached, and the wire tells.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/bpf/attach.h"
#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/play.h"
#include "tests/bpf/single.h"

/* A datagram and its parts, as they come and as they go on. */
struct parts {
	bool up;
	uint32_t id;
	size_t n;
	struct frame in[5], out[5];
};

static uint32_t next_id(struct story *s)
{
	return 0x10000u * s->rig->next_client + ++s->turn;
}

/* Three parts and more: 8 bytes of UDP header and data, `each` bytes of the datagram in one. */
static void cut_up(struct story *s, struct parts *p, bool up, size_t payload, size_t each,
		   bool unsummed)
{
	static struct frame whole, known;
	struct datagram d = play_datagram(s, up);
	size_t bytes = 8 + payload, l4;

	d.payload = payload;
	d.unsummed = unsummed;
	frame_udp(&whole, &d);
	known = whole;
	l4 = frame_l4(&whole) - FRAME_L3;
	play_translate(s, up, &known, l4, PROTOCOL_UDP);
	p->up = up;
	p->id = s->v6 ? next_id(s) : next_id(s) & 0xffff;
	p->n = 0;
	for (size_t at = 0; at < bytes && p->n < 5; at += each) {
		size_t n = bytes - at < each ? bytes - at : each;

		frame_fragment(&p->in[p->n], &whole, at, n, at + n < bytes, p->id);
		frame_fragment(&p->out[p->n], &known, at, n, at + n < bytes, p->id);
		p->n++;
	}
}

static void counted(struct story *s, const struct parts *p, size_t i, bool begins,
		    struct tally *ret)
{
	struct shift_backend_stats *b = &ret->backend[s->backend];

	memset(ret, 0, sizeof(*ret));
	if (p->up) {
		b->packets_up = 1;
		b->bytes_up = frame_ip_bytes(&p->in[i]);
	} else {
		b->packets_down = 1;
		b->bytes_down = frame_ip_bytes(&p->in[i]);
	}
	if (begins) {
		b->connections = 1;
		ret->service.connections_new = 1;
	}
}

static void goes_on(struct story *s, const struct parts *p, size_t i, const char *what)
{
	enum shift_verdict first = p->up ? SHIFT_FORWARD : SHIFT_REPLY;
	enum shift_verdict later = p->up ? SHIFT_FRAGMENT_FORWARD : SHIFT_FRAGMENT_REPLY;
	struct tally moves;

	counted(s, p, i, false, &moves);
	single_becomes(s->rig, &p->in[i], &p->out[i], i ? later : first, &moves, "%s, part %zu, %s",
		       what, i, p->up ? "up" : "down");
}

static void stays(struct story *s, const struct parts *p, size_t i, const char *what)
{
	single_becomes(s->rig, &p->in[i], NULL, SHIFT_PASS_FRAGMENT, NULL, "%s, part %zu", what, i);
}

static void in_order(struct story *s)
{
	static const size_t each[] = {8, 24, 512, 1024};
	static struct parts p;

	play_begin(s, false);
	if (!play_open(s))
		return;
	for (int up = 0; up < 2; up++) {
		for (size_t k = 0; k < sizeof(each) / sizeof(each[0]); k++) {
			for (int unsummed = 0; unsummed < 2; unsummed++) {
				cut_up(s, &p, up, each[k] * 3 - 7, each[k], unsummed);
				for (size_t i = 0; i < p.n; i++)
					goes_on(s, &p, i, "in order");
				goes_on(s, &p, 2, "the last once more");
				goes_on(s, &p, 1, "one before it once more");
			}
		}
	}
}

/* The first packet of a flow is itself in parts. */
static void begins_so(struct story *s)
{
	static struct parts p;
	struct tally before, moves;
	struct datagram d;

	play_begin(s, false);
	d = play_datagram(s, true);
	if (!play_client(s, &d, SHIFT_FORWARD, "to learn where it goes"))
		return;
	play_time(s, 121);
	cut_up(s, &p, true, 100, 56, false);
	rig_tally(s->rig, &before);
	rig_run(s->rig, s->rig->ingress, &p.in[0], &s->run);
	counted(s, &p, 0, true, &moves);
	single_ran(s->rig, &before, &s->run, NULL, SHIFT_FORWARD, &moves, "the first part");
	rig_flow_of(s->rig, RIG_UDP(s->v6), &s->client_end, &s->place);
	{
		uint32_t id = p.id;

		cut_up(s, &p, true, 100, 56, false);
		for (size_t i = 0; i < p.n; i++) { /* the same datagram */
			frame_put16(&p.in[i], FRAME_L3 + (s->v6 ? 46 : 4), (uint16_t)id);
			frame_put16(&p.out[i], FRAME_L3 + (s->v6 ? 46 : 4), (uint16_t)id);
			if (s->v6) {
				frame_put16(&p.in[i], FRAME_L3 + 44, (uint16_t)(id >> 16));
				frame_put16(&p.out[i], FRAME_L3 + 44, (uint16_t)(id >> 16));
			}
			ip_sum(p.in[i].data + FRAME_L3);
			ip_sum(p.out[i].data + FRAME_L3);
		}
	}
	goes_on(s, &p, 1, "the second part");
}

/* A fragment header on a whole packet, and one between options. */
static void atomic(struct story *s)
{
	static const uint8_t alone[] = {HEADER_FRAGMENT};
	static const uint8_t among[] = {HEADER_HOPS, HEADER_FRAGMENT, HEADER_OPTIONS};
	static struct frame f;

	play_begin(s, false);
	if (!play_open(s))
		return;
	for (int up = 0; up < 2; up++) {
		for (int i = 0; i < 2; i++) {
			struct datagram d = play_datagram(s, up);
			size_t n = i ? 3 : 1;

			frame_udp(&f, &d);
			frame_extend(&f, i ? among : alone, n, NULL);
			play_frame(s, up, &f, 40 + 8 * n, up ? SHIFT_FORWARD : SHIFT_REPLY, NULL,
				   "with a fragment header, whole");
		}
	}
}

static void of_tcp(struct story *s)
{
	static struct frame whole, known, part, wanted;
	struct segment seg;

	tell(s, "weight 100\n"
		"client S             -> forward +new\n"
		"backend SA           -> reply +handshake\n"
		"client A             -> forward\n");
	if (s->over)
		return;
	for (int up = 0; up < 2; up++) {
		struct end nat = story_nat(s, &s->place), target = story_target(s, &s->place);
		struct end listen = rig_listen_end(s->v6);
		struct tally moves = {0};
		struct shift_backend_stats *b = &moves.backend[s->backend];
		uint32_t id = next_id(s);

		seg = (struct segment){.src = up ? s->client_end : target,
				       .dst = up ? listen : nat,
				       .seq = up ? s->client.next : s->server.next,
				       .ack = up ? s->server.next : s->client.next,
				       .flags = TCP_ACK | TCP_PSH,
				       .ttl = 9,
				       .payload = 600};
		frame_build(&whole, &seg);
		known = whole;
		frame_send_on(&known, frame_l4(&whole) - FRAME_L3, PROTOCOL_TCP,
			      up ? &nat : &listen, up ? &target : &s->client_end);
		for (size_t at = 0; at < 620; at += 320) {
			size_t n = at ? 300 : 320;

			frame_fragment(&part, &whole, at, n, !at, id);
			frame_fragment(&wanted, &known, at, n, !at, id);
			*(up ? &b->packets_up : &b->packets_down) = 1;
			*(up ? &b->bytes_up : &b->bytes_down) = frame_ip_bytes(&part);
			single_becomes(s->rig, &part, &wanted,
				       at   ? (up ? SHIFT_FRAGMENT_FORWARD : SHIFT_FRAGMENT_REPLY)
				       : up ? SHIFT_FORWARD
					    : SHIFT_REPLY,
				       &moves, "TCP, from byte %zu", at);
		}
	}
}

/* Which datagram a part is of: all of it must be right. */
static void other_datagrams(struct story *s)
{
	static struct parts p, q;
	static struct frame f;

	play_begin(s, false);
	if (!play_open(s))
		return;
	for (int up = 0; up < 2; up++) {
		cut_up(s, &p, up, 100, 40, false);
		goes_on(s, &p, 0, "the first");
		cut_up(s, &q, up, 100, 40, false);
		stays(s, &q, 1, "another id");
		for (size_t at = s->v6 ? 8 : 12; at < (s->v6 ? 40 : 20); at++) {
			f = p.in[1];
			f.data[FRAME_L3 + at] ^= 1;
			ip_sum(f.data + FRAME_L3);
			single_becomes(s->rig, &f, NULL, SHIFT_PASS_FRAGMENT, NULL,
				       "another address, byte %zu", at);
		}
		if (!s->v6) {
			f = p.in[1];
			f.data[FRAME_L3 + 9] = PROTOCOL_TCP;
			ip_sum(f.data + FRAME_L3);
			single_becomes(s->rig, &f, NULL, SHIFT_PASS_FRAGMENT, NULL,
				       "another protocol");
		}
		goes_on(s, &p, 1, "the second");
	}
}

/* RFC 8200, 4.5: what a later part says of the next header means nothing. */
static void next_header_of_later(struct story *s)
{
	static struct parts p;

	play_begin(s, false);
	if (!play_open(s))
		return;
	cut_up(s, &p, true, 100, 40, false);
	goes_on(s, &p, 0, "the first");
	p.in[1].data[FRAME_L3 + 40] = p.out[1].data[FRAME_L3 + 40] = HEADER_OPTIONS;
	goes_on(s, &p, 1, "it says options");
}

static void ends(struct story *s)
{
	static struct parts p;

	play_begin(s, false);
	if (!play_open(s))
		return;
	cut_up(s, &p, true, 100, 40, false);
	goes_on(s, &p, 0, "the first");
	play_time(s, 5);
	goes_on(s, &p, 1, "5 s later");
	rig_age_udp(s->rig, 30);
	stays(s, &p, 2, "35 s later");
	cut_up(s, &p, true, 100, 40, false);
	goes_on(s, &p, 0, "the first of the next");
	p.in[1].data[FRAME_L3 + (s->v6 ? 7 : 8)] = 1;
	ip_sum(p.in[1].data + FRAME_L3);
	single_becomes(s->rig, &p.in[1], NULL, SHIFT_DROP_TTL, NULL, "on its last hop");
	story_record(s)->generation++; /* as if the port were another flow's by now */
	stays(s, &p, 2, "the flow's port is another's");
	story_record(s)->generation--;
	rig_age(s->rig, 121, false);
	stays(s, &p, 2, "the flow is over");
}

/* A cut is for every part, whatever packet was before it. */
static void cut(struct story *s)
{
	static struct parts p;
	static struct frame reset;
	struct segment seg = {
		.src = s->client_end, .dst = rig_listen_end(s->v6), .flags = TCP_RST, .ttl = 9};

	play_begin(s, false);
	if (!play_open(s))
		return;
	cut_up(s, &p, true, 100, 40, false);
	goes_on(s, &p, 0, "the first");
	tell(s, "rollback cut\n");
	stays(s, &p, 1, "after a cut");
	frame_build(&reset, &seg);
	single_becomes(s->rig, &reset, NULL, SHIFT_PASS_LOCAL, NULL, "somebody's RST");
	stays(s, &p, 2, "after a cut and a RST of another");
}

/* The flow's first part once more: it is the flow's that was just begun. */
static void known_now(struct story *s, struct parts *p)
{
	struct tally before, moves;

	counted(s, p, 0, false, &moves);
	rig_tally(s->rig, &before);
	if (!rig_run(s->rig, s->rig->ingress, &p->in[0], &s->run))
		single_ran(s->rig, &before, &s->run, NULL, SHIFT_FORWARD, &moves, "read again");
}

/* A part that stays, then the first: the parts are read again. */
static void late_first(struct story *s)
{
	static struct parts p;

	play_begin(s, false);
	if (!play_open(s))
		return;
	for (int up = 0; up < 2; up++) {
		cut_up(s, &p, up, 100, 40, false);
		stays(s, &p, 1, "before the first");
		stays(s, &p, 2, "before the first");
		single_becomes(s->rig, &p.in[0], NULL, SHIFT_FRAGMENT_ORDER, NULL, "the first");
		goes_on(s, &p, 0, "read again");
		goes_on(s, &p, 1, "read again");
		goes_on(s, &p, 2, "read again");
		cut_up(s, &p, up, 100, 40, false);
		stays(s, &p, 1, "before the first");
		rig_age_udp(s->rig, 6); /* nobody waits so long */
		goes_on(s, &p, 0, "the first, 6 s later");
	}
	cut_up(s, &p, true, 100, 40, false); /* of a flow that nobody knows yet */
	play_time(s, 121);
	stays(s, &p, 1, "before the first of all");
	{
		struct tally begins = {.service = {.connections_new = 1}};

		begins.backend[s->backend].connections = 1;
		single_becomes(s->rig, &p.in[0], NULL, SHIFT_FRAGMENT_ORDER, &begins,
			       "the first of all");
		known_now(s, &p);
	}
}

/* What the host serves it gets in any order. */
static void of_the_host(struct story *s)
{
	static struct parts p;
	struct tally first = {.service = {.connections_old = 1}};

	play_begin(s, false);
	if (!play_open(s)) /* for a place that the parts are made with */
		return;
	s->client_end.port++;
	rig_weight(s->rig, 0);
	cut_up(s, &p, true, 100, 40, false);
	stays(s, &p, 2, "the last before the first");
	single_becomes(s->rig, &p.in[0], NULL, SHIFT_PASS_LOCAL_SYN, &first, "the first");
	stays(s, &p, 1, "the second");
}

/* Four parts of one line are held; a fifth takes the place of one; the table keeps its size. */
static void bounded(struct story *s)
{
	static struct parts p;

	play_begin(s, false);
	if (!play_open(s))
		return;
	for (int i = 0; i < 700; i++) {
		cut_up(s, &p, i & 1, 100, 40, false);
		stays(s, &p, 1, "nobody's");
	}
	cut_up(s, &p, true, 150, 40, false);
	for (size_t i = 1; i < p.n; i++)
		stays(s, &p, i, "before the first");
	single_becomes(s->rig, &p.in[0], NULL, SHIFT_FRAGMENT_ORDER, NULL, "the first");
	goes_on(s, &p, 0, "read again");
	rig_forget_udp(s->rig);
	for (int i = 0; i < 700; i++) {
		cut_up(s, &p, i & 1, 100, 40, false);
		goes_on(s, &p, 0, "one of many");
	}
	for (size_t i = 1; i < p.n; i++)
		goes_on(s, &p, i, "the newest");
}

/* Longer than what is held: passes, and its datagram is lost, not mixed up. */
static void too_long_to_hold(struct story *s)
{
	static struct parts p;

	play_begin(s, false);
	if (!play_open(s))
		return;
	cut_up(s, &p, true, 3300, 1664, false);
	stays(s, &p, 1, "too long");
	goes_on(s, &p, 0, "the first");
	goes_on(s, &p, 1, "the second, repeated");
}

/* ---- received again ---- */

/* Which part it is that came out; 3: none. */
static size_t part_of(const struct parts *p, struct frame *is)
{
	size_t n = 0;

	frame_swap_macs(is);
	while (n < 3 && (is->len != p->out[n].len || memcmp(is->data, p->out[n].data, is->len)))
		n++;
	return n;
}

/*
 * Three parts in this order. All come out as they should, once each. The first is before those that
 * were held for it; one that comes in after the first may overtake it while it is read again.
 */
static void through_the_wire(struct story *s, const struct parts *p, const uint8_t order[3],
			     const char *what)
{
	bool seen[4] = {false}, held[4] = {false};
	static struct frame is;

	for (int i = 0; i < 3 && order[i]; i++)
		held[order[i]] = true;
	wire_drain(s->net);
	for (int i = 0; i < 3; i++)
		wire_send(s->net, &p->in[order[i]]);
	for (int i = 0; i < 3; i++) {
		size_t part;

		if (!attach_read(s->net, &p->out[0], 2000, &is)) {
			check_fail("%s: only %d parts came out", what, i);
			return;
		}
		part = part_of(p, &is);
		CHECK(part < 3 && !seen[part], "%s: the packet that came out as %d is %s", what, i,
		      part < 3 ? "there twice" : "no part");
		CHECK(seen[0] || !held[part], "%s: part %zu came before the first", what, part);
		seen[part] = true;
	}
}

static void re_received(struct story *s)
{
	static const uint8_t orders[][3] = {{1, 0, 2}, {1, 2, 0}, {2, 1, 0}, {2, 0, 1}, {0, 2, 1}};
	static struct parts p;

	play_begin(s, false);
	if (!play_open(s))
		return;
	if (attach_to(s->net, s->rig->ingress)) {
		check_fail("the program cannot be attached: %s", strerror(errno));
		return;
	}
	for (size_t k = 0; k < sizeof(orders) / sizeof(orders[0]); k++) {
		for (int up = 0; up < 2; up++) {
			char what[40];

			snprintf(what, sizeof(what), "order %zu, %s", k, up ? "up" : "down");
			cut_up(s, &p, up, 300, 112, false);
			through_the_wire(s, &p, orders[k], what);
		}
	}
	attach_end(s->net);
}

static const struct tale fragments[] = {
	{.name = "the first before the others, both ways", .more = in_order},
	{.name = "a flow that begins with one", .more = begins_so},
	{.name = "a fragment header on a whole packet", .more = atomic, .only = 6},
	{.name = "TCP", .more = of_tcp},
	{.name = "parts of other datagrams", .more = other_datagrams},
	{.name = "a later part's next header", .more = next_header_of_later, .only = 6},
	{.name = "time-outs and hops", .more = ends},
	{.name = "a cut", .more = cut},
	{.name = "a first part that comes late", .more = late_first},
	{.name = "what is the host's", .more = of_the_host},
	{.name = "both tables are bounded", .more = bounded},
	{.name = "a part too long to be held", .more = too_long_to_hold},
	{.name = "received again, in order", .more = re_received},
};

void cases_fragment(struct rig *rig, const struct net *net)
{
	tell_all(rig, net, "fragment", fragments, sizeof(fragments) / sizeof(fragments[0]));
}
