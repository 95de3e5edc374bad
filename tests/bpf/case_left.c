/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_left.c - ports that are left to the host, since a backend answers at them and no flow has
 * them
 */
#include <string.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/play.h"
#include "tests/bpf/single.h"

#define PAUSE	8	   /* ticks, HOSTS_PAUSE of backend.bpf.h */
#define SECONDS 120	   /* HOSTS_SECONDS */
#define PORTS	16	   /* of each target here */
#define LONG	(1u << 20) /* ticks */

static const struct shift_flow unused;

static struct frame f;

/* Azure's target, the client's. */
static uint32_t azure(const struct story *s, bool udp)
{
	return (s->v6 ? 23u : 13u) + (udp ? 3 : 0);
}

static struct shift_flow *record(const struct story *s, uint32_t target, uint32_t index)
{
	return &s->rig->slots[target][index];
}

static uint32_t left_tick(const struct story *s, uint32_t target)
{
	uint32_t key = target * SHIFT_MAX_SHARDS;
	struct shift_cursor c;

	rig_get(s->rig, RIG_CURSORS, &key, &c);
	return c.left_tick;
}

/* As if the last port had been left so many ticks ago. The tick that it is now. */
static uint32_t last_left(const struct story *s, uint32_t target, uint32_t ago)
{
	uint32_t key = target * SHIFT_MAX_SHARDS, tick = rig_tick(s->rig);
	struct shift_cursor c;

	rig_get(s->rig, RIG_CURSORS, &key, &c);
	c.left_tick = tick - ago;
	rig_put(s->rig, RIG_CURSORS, &key, &c);
	return tick;
}

static void masquerades(const struct story *s, uint32_t target)
{
	rig_target_flags(s->rig, target, SHIFT_TARGET_USED | SHIFT_TARGET_MASQUERADE);
}

static void begin(struct story *s, bool udp)
{
	play_shape(s, PORTS, 1);
	s->backend = RIG_AZURE;
	if (udp)
		play_begin(s, false);
	masquerades(s, azure(s, udp));
	last_left(s, azure(s, udp), LONG);
}

/* The target's packet to a port that no flow has: the host's, whatever is made of its port. */
static void heard(struct story *s, uint32_t target, uint32_t index, uint8_t flags)
{
	struct shift_flow_ref at = {.target = (uint16_t)target, .index = (uint16_t)index};
	struct segment seg = {.src = story_target(s, &at),
			      .dst = story_nat(s, &at),
			      .seq = 70000,
			      .ack = 80000,
			      .flags = flags,
			      .ttl = 61,
			      .payload = flags & TCP_PSH ? 20 : 0};
	struct datagram d = {.src = seg.src, .dst = seg.dst, .ttl = 61, .payload = 20};

	if (rig_target_of(s->rig, target)->protocol == PROTOCOL_UDP)
		frame_udp(&f, &d);
	else
		frame_build(&f, &seg);
	single_passes(s->rig, &f, SHIFT_PASS_REPLY_UNKNOWN, "target %u, port %u, flags %02x",
		      target, RIG_PORT_LO + index, flags);
}

static bool is_left(const struct story *s, uint32_t target, uint32_t index)
{
	const struct shift_flow *r = record(s, target, index);

	return r->state == SHIFT_FLOW_ABANDONED && r->flags & SHIFT_FLOW_HOSTS &&
	       shift_flow_holds(r, rig_tick(s->rig));
}

/* It is left for its whole time since some tick of [from, now]. */
static void check_left(const struct story *s, uint32_t target, uint32_t index, uint32_t from)
{
	uint32_t since = record(s, target, index)->expires - SECONDS * RIG_SECOND;

	CHECK(is_left(s, target, index), "port %u is not left", RIG_PORT_LO + index);
	CHECK(since - from <= rig_tick(s->rig) - from, "it is left since tick %u, not %u or later",
	      since, from);
}

static void check_unused(const struct story *s, uint32_t target, uint32_t index, const char *what)
{
	CHECK(!memcmp(record(s, target, index), &unused, sizeof(unused)),
	      "%s: the record was changed", what);
}

/* The next connection of the client's. */
static enum shift_verdict opens(struct story *s, bool udp)
{
	static struct tally before, after;
	struct datagram d;
	int v = 0;

	rig_forget_limits(s->rig);
	if (!udp)
		return play_syn(s);
	s->client_end.port++;
	d = play_datagram(s, true);
	frame_udp(&f, &d);
	rig_tally(s->rig, &before);
	if (rig_run(s->rig, s->rig->ingress, &f, &s->run))
		check_fail("the kernel does not run it");
	rig_tally(s->rig, &after);
	while (v < SHIFT_VERDICTS && after.verdict[v] == before.verdict[v])
		v++;
	s->placed = v == SHIFT_FORWARD &&
		    rig_flow_of(s->rig, RIG_UDP(s->v6), &s->client_end, &s->place);
	return (enum shift_verdict)v;
}

/* So many connections get a port, none of them this one, and then there is no more. */
static void all_but(struct story *s, bool udp, uint32_t n, uint32_t left)
{
	struct tally before, after;

	for (uint32_t i = 0; i < n && !check_failed(); i++) {
		enum shift_verdict v = opens(s, udp);

		CHECK(v == SHIFT_FORWARD && s->placed, "connection %u of %u: %s", i, n,
		      v < SHIFT_VERDICTS ? rig_verdict_names[v] : "nothing");
		CHECK(s->place.index != left, "the port that is left was given");
	}
	rig_tally(s->rig, &before);
	CHECK(opens(s, udp) == SHIFT_PASS_FALLBACK, "one more than there are ports");
	rig_tally(s->rig, &after);
	check_equal(after.service.fallback[SHIFT_FALLBACK_PORTS_EXHAUSTED] -
			    before.service.fallback[SHIFT_FALLBACK_PORTS_EXHAUSTED],
		    1, "ports_exhausted");
}

/* ---- which packets ---- */

/* Of an established connection: what a stranger finds hardest to make the host's own, and no
 * answer to a port scan. */
static void which_packets(struct story *s)
{
	begin(s, false);
	for (uint8_t flags = 0; flags < 64 && !check_failed(); flags++) {
		bool leaves = (flags & (TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK;
		uint32_t target = azure(s, false), tick, was;

		memset(record(s, target, 5), 0, sizeof(unused));
		tick = last_left(s, target, LONG);
		was = left_tick(s, target);
		heard(s, target, 5, flags);
		if (!leaves) {
			check_unused(s, target, 5, "no packet of a connection");
			check_equal(left_tick(s, target), was, "tick of the last port left");
			continue;
		}
		check_left(s, target, 5, tick);
		CHECK(left_tick(s, target) - tick <= rig_tick(s->rig) - tick,
		      "flags %02x: the time is not noted", flags);
	}
}

static void any_datagram(struct story *s)
{
	uint32_t tick;

	begin(s, true);
	tick = rig_tick(s->rig);
	heard(s, azure(s, true), 5, 0);
	check_left(s, azure(s, true), 5, tick);
	check_unused(s, azure(s, false), 5, "the same port in TCP");
}

static void without_flag(struct story *s)
{
	begin(s, true);
	for (int udp = 0; udp < 2; udp++) {
		uint32_t target = azure(s, udp), was;

		rig_target_flags(s->rig, target, SHIFT_TARGET_USED);
		last_left(s, target, LONG);
		was = left_tick(s, target);
		for (uint8_t flags = 0; flags < 64 && !check_failed(); flags++)
			heard(s, target, 5, flags);
		check_unused(s, target, 5, udp ? "UDP" : "TCP");
		check_equal(left_tick(s, target), was, "tick of the last port left");
	}
}

/* A port that a flow has, or that rests after one, is not the host's. */
static void not_of_flows(struct story *s)
{
	struct shift_flow was;

	begin(s, false);
	play_flood(s, 1);
	play_establish(s);
	play_packet(s, &s->client_end, &s->place, TCP_ACK | TCP_PSH, false);
	check_equal(story_record(s)->state, SHIFT_FLOW_ESTABLISHED, "state");
	check_equal(story_record(s)->flags, 0, "flags of a flow that lives");
	story_record(s)->state = SHIFT_FLOW_ABANDONED;
	was = *story_record(s);
	heard(s, s->place.target, s->place.index, TCP_ACK);
	CHECK(!memcmp(&was, story_record(s), sizeof(was)), "a port that rests was changed");
	begin(s, true);
	play_open(s);
	check_equal(story_record(s)->flags, SHIFT_FLOW_UDP, "flags of a UDP flow");
	story_record(s)->state = SHIFT_FLOW_ABANDONED;
	was = *story_record(s);
	heard(s, s->place.target, s->place.index, 0);
	CHECK(!memcmp(&was, story_record(s), sizeof(was)), "a UDP port that rests was changed");
}

/* ---- how many ---- */

/* Not one more so many ticks after the last. (Again, if the tick was over meanwhile.) */
static void too_early(struct story *s, uint32_t target, uint32_t ago)
{
	uint32_t tick;

	for (int tries = 0; tries < 100; tries++) {
		memset(record(s, target, 5), 0, sizeof(unused));
		tick = last_left(s, target, ago);
		heard(s, target, 5, TCP_ACK);
		if (rig_tick(s->rig) == tick)
			break;
	}
	check_unused(s, target, 5, "too early");
	check_equal(tick - left_tick(s, target), ago, "the last port left, ticks ago");
	if (check_failed())
		check_fail("%u ticks after the last", ago);
}

static void few(struct story *s)
{
	for (int udp = 0; udp < 2; udp++) {
		uint32_t target = azure(s, udp), other = (s->v6 ? 24u : 14u) + (udp ? 3 : 0);
		uint32_t left = 0, tick, ticks;

		begin(s, udp);
		for (uint32_t ago = 0; ago < PAUSE; ago++)
			too_early(s, target, ago);
		tick = last_left(s, target, PAUSE);
		heard(s, target, 5, TCP_ACK);
		check_left(s, target, 5, tick);
		tick = last_left(s, target, LONG);
		for (uint32_t i = 6; i < PORTS; i++)
			heard(s, target, i, TCP_ACK);
		ticks = rig_tick(s->rig) - tick;
		for (uint32_t i = 6; i < PORTS; i++)
			left += is_left(s, target, i);
		CHECK(left >= 1 && left <= 1 + ticks / PAUSE, "%u ports left in %u ticks", left,
		      ticks);
		/* Each target's are counted for themselves. */
		masquerades(s, other);
		last_left(s, other, LONG);
		tick = last_left(s, target, 0);
		heard(s, other, 5, TCP_ACK);
		check_left(s, other, 5, tick);
	}
}

/* ---- how long ---- */

static void renewed(struct story *s)
{
	static const uint8_t not_by[] = {TCP_SYN, TCP_SYN | TCP_ACK, TCP_RST, TCP_RST | TCP_ACK, 0,
					 TCP_FIN};

	for (int udp = 0; udp < 2; udp++) {
		uint32_t target = azure(s, udp), tick, expires;

		begin(s, udp);
		heard(s, target, 5, TCP_ACK);
		for (int i = 0; i < 5; i++) {
			rig_age(s->rig, SECONDS - 1, false);
			CHECK(is_left(s, target, 5), "it was given up too early");
			tick = last_left(s, target, 0); /* that is for others */
			heard(s, target, 5, TCP_ACK | TCP_PSH);
			check_left(s, target, 5, tick);
		}
		rig_age(s->rig, SECONDS - 1, false);
		expires = record(s, target, 5)->expires;
		for (size_t i = 0; !udp && i < sizeof(not_by); i++)
			heard(s, target, 5, not_by[i]);
		check_equal(record(s, target, 5)->expires, expires, "time after other packets");
		rig_age(s->rig, 2, false);
		CHECK(!is_left(s, target, 5), "it is left for ever");
	}
}

/* No flow gets it while it is left, whoever asks; then it is a port like any other. */
static void not_given(struct story *s)
{
	for (int udp = 0; udp < 2; udp++) {
		uint32_t target = azure(s, udp);

		begin(s, udp);
		heard(s, target, 5, TCP_ACK);
		all_but(s, udp, PORTS - 1, 5);
		rig_age(s->rig, SECONDS - 1, false);
		heard(s, target, 5, TCP_ACK);
		rig_age(s->rig, 2, false);
		all_but(s, udp, PORTS - 1, 5);
		CHECK(is_left(s, target, 5), "it is not left any more");
		rig_age(s->rig, SECONDS + 1, false);
		all_but(s, udp, PORTS, PORTS);
		check_equal(record(s, target, 5)->generation, 1, "flows at the port");
		check_equal(record(s, target, 5)->flags, udp ? SHIFT_FLOW_UDP : 0, "its flags");
	}
}

static uint64_t failures(const struct story *s)
{
	struct shift_backend_stats b;

	rig_backend_stats(s->rig, RIG_AZURE, &b);
	return b.handshake_failures;
}

/* What the port was before is not forgotten: its flow's reference, that nobody answered it. */
static void past(struct story *s)
{
	struct end before;
	struct segment seg;

	begin(s, false);
	play_flood(s, 1);
	before = s->client_end;
	rig_age(s->rig, 61, false);
	last_left(s, azure(s, false), LONG);
	heard(s, s->place.target, s->place.index, TCP_ACK);
	CHECK(is_left(s, s->place.target, s->place.index), "it is not left");
	single_syn(&before, &seg);
	seg.flags = TCP_ACK;
	frame_build(&f, &seg);
	single_passes(s->rig, &f, SHIFT_PASS_LOCAL, "a packet of the flow before");
	check_equal(failures(s), 0, "SYNs unanswered, before the port is taken");
	rig_age(s->rig, SECONDS + 1, false);
	all_but(s, false, PORTS, PORTS);
	check_equal(failures(s), 1, "SYNs unanswered");
	check_equal(rig_flows(s->rig), PORTS, "entries of the forward table");
}

static const struct tale tales[] = {
	{.name = "by data and pure ACKs", .more = which_packets},
	{.name = "by datagrams", .more = any_datagram},
	{.name = "none where nobody masquerades", .more = without_flag},
	{.name = "none that a flow has", .more = not_of_flows},
	{.name = "one at a time", .more = few},
	{.name = "while packets come", .more = renewed},
	{.name = "no flow gets it", .more = not_given},
	{.name = "its flow of before is not forgotten", .more = past},
};

void cases_left(struct rig *rig, const struct net *net)
{
	tell_all(rig, net, "left to the host", tales, sizeof(tales) / sizeof(tales[0]));
}
