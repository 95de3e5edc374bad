/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_limit.c - what is bounded: flows half open, flows of one client, a backend that fails
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/play.h"
#include "tests/bpf/single.h"

static uint32_t azure(const struct story *s)
{
	return s->v6 ? 23 : 13;
}

/* ---- flows half open ---- */

static struct shift_cursor cursor(struct story *s, uint32_t target, uint32_t shard)
{
	uint32_t key = target * SHIFT_MAX_SHARDS + shard;
	struct shift_cursor c;

	rig_get(s->rig, RIG_CURSORS, &key, &c);
	return c;
}

static uint32_t half_open(struct story *s, uint32_t target, uint32_t shard)
{
	return cursor(s, target, shard).half_open;
}

static uint64_t fallback(struct story *s, enum shift_fallback which)
{
	struct tally t;

	rig_tally(s->rig, &t);
	return t.service.fallback[which];
}

static void full(struct story *s, uint64_t counted)
{
	enum shift_verdict v = play_syn(s);

	CHECK(v == SHIFT_PASS_FALLBACK, "beyond the bound: %s", rig_verdict_names[v]);
	check_equal(fallback(s, SHIFT_FALLBACK_HALF_OPEN), counted, "fallback half_open");
}

/* A quarter of the ports, but no less than 1024. */
static void bound(struct story *s)
{
	static const struct {
		uint32_t ports, bound;
	} rows[] = {{6000, 1500}, {1100, 1024}, {4104, 1026}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		play_shape(s, rows[i].ports, 1);
		play_flood(s, rows[i].bound);
		check_equal(half_open(s, azure(s), 0), rows[i].bound, "half open");
		full(s, 1);
		full(s, 2);
		if (check_failed())
			check_fail("with %u ports", rows[i].ports);
	}
}

static void by_shard(struct story *s)
{
	play_shape(s, 6000, 2);
	play_flood(s, 2048);
	check_equal(half_open(s, azure(s), 0), 1024, "half open in the first shard");
	check_equal(half_open(s, azure(s), 1), 1024, "half open in the second");
	full(s, 1);
}

/* An answer alone confirms nothing: a flood's SYNs are answered, too. */
static void confirmed(struct story *s)
{
	play_shape(s, 1100, 1);
	play_flood(s, 1024);
	play_answer_syn(s);
	full(s, 1);
	play_shape(s, 1100, 1);
	play_flood(s, 1024);
	play_establish(s);
	check_equal(half_open(s, azure(s), 0), 1023, "half open after a handshake");
	play_flood(s, 1);
	full(s, 1);
}

static void close_breakers(struct story *s)
{
	for (uint32_t id = 0; id < RIG_BACKENDS; id++)
		rig_put(s->rig, RIG_BREAKERS, &id, &(struct shift_breaker){0});
}

/* At the bound, the ports that half-open flows have given up are taken, and no others. */
static void recycled(struct story *s)
{
	uint32_t taken = 0, tries = 0;

	play_shape(s, 1100, 1);
	play_flood(s, 1024);
	full(s, 1);
	rig_age(s->rig, 59, false);
	full(s, 2);
	rig_age(s->rig, 2, false);
	for (; taken < 200 && tries < 400; tries++) {
		close_breakers(s);
		if (play_syn(s) != SHIFT_FORWARD) {
			rig_age(s->rig, 0.1, false); /* the next search is in another tick */
			continue;
		}
		taken++;
		CHECK(s->place.index < 1024, "port %u was never half open", s->place.index);
	}
	CHECK(taken == 200, "of %u tries %u got a port", tries, taken);
	check_equal(half_open(s, azure(s), 0), 1024, "half open");
	play_establish(s);
	check_equal(half_open(s, azure(s), 0), 1023, "half open");
}

/* A flood's SYNs do not all look for a port where some of them have just found none. */
static void in_vain(struct story *s)
{
	uint32_t searches = 0, hand;

	play_shape(s, 1100, 1);
	play_flood(s, 1024);
	for (uint32_t i = 1; i <= 100; i++) {
		hand = cursor(s, azure(s), 0).hand;
		full(s, i);
		searches += cursor(s, azure(s), 0).hand != hand;
	}
	CHECK(searches >= 1 && searches <= 60, "of 100 SYNs %u searched", searches);
	rig_age(s->rig, 0.1, false);
	hand = cursor(s, azure(s), 0).hand;
	full(s, 101);
	CHECK(cursor(s, azure(s), 0).hand != hand, "a tick later none searched");
}

/* An established flow's port is no flood's, also when it is expired and the bound is reached. */
static void established_apart(struct story *s)
{
	struct shift_flow_ref kept[40];
	struct end client[40];

	play_shape(s, 1100, 1);
	for (int i = 0; i < 40; i++) {
		play_flood(s, 1);
		play_establish(s);
		kept[i] = s->place;
		client[i] = s->client_end;
	}
	check_equal(half_open(s, azure(s), 0), 0, "half open");
	play_flood(s, 1024);
	for (int i = 0; i < 1200; i++) {
		close_breakers(s);
		play_syn(s);
		if (i % 300 == 299)
			rig_age(s->rig, 61, false);
	}
	for (int i = 0; i < 40; i++) {
		struct shift_flow_ref place;

		CHECK(rig_flow(s->rig, &client[i], &place) && place.index == kept[i].index &&
			      place.generation == kept[i].generation,
		      "flow %d is gone", i);
	}
}

/* What is refused, given up, or begun anew is half open no longer, though its port still rests. */
static void not_any_more(struct story *s)
{
	static const uint8_t flags[] = {TCP_RST | TCP_ACK, TCP_RST};

	play_shape(s, 1100, 1);
	for (int i = 0; i < 2; i++) {
		play_flood(s, 1);
		if (i) /* the client does not want it after all */
			play_answer_syn(s);
		play_packet(s, &s->client_end, &s->place, flags[i], i);
		CHECK(story_record(s)->state == SHIFT_FLOW_DONE, "it is not over");
		check_equal(half_open(s, azure(s), 0), 0,
			    i ? "half open, a client's RST" : "half open, refused");
	}
	rig_reset(s->rig, &rig_usual);
	tell(s, "weight 100\n"
		"client S             -> forward +new\n"
		"client S anew        -> forward +new\n"
		"place other\n");
	check_equal(half_open(s, azure(s), 0) + half_open(s, azure(s), 1), 1,
		    "half open, begun anew");
	tell(s, "cut older\n"
		"backend SA           -> cut\n");
	check_equal(half_open(s, azure(s), 0) + half_open(s, azure(s), 1), 0, "half open, cut");
}

static void udp_half_open(struct story *s)
{
	uint32_t target = s->v6 ? 26 : 16;

	play_begin(s, false);
	play_client(s, NULL, SHIFT_FORWARD, "the first");
	check_equal(half_open(s, target, 0) + half_open(s, target, 1), 1, "half open");
	play_client(s, NULL, SHIFT_FORWARD, "once more");
	check_equal(half_open(s, target, 0) + half_open(s, target, 1), 1, "half open");
	play_backend(s, NULL, SHIFT_REPLY, "the answer");
	check_equal(half_open(s, target, 0) + half_open(s, target, 1), 0, "half open, answered");
	s->client_end.port++;
	s->placed = false;
	play_client(s, NULL, SHIFT_FORWARD, "another");
	tell(s, "cut older\n");
	play_backend(s, NULL, SHIFT_PASS_REPLY_UNKNOWN, "cut");
	check_equal(half_open(s, target, 0) + half_open(s, target, 1), 0, "half open, cut");
}

/* ---- one client ---- */

static uint32_t load(struct story *s)
{
	static struct shift_load l;
	uint32_t id = RIG_SERVICE, sum = 0;

	rig_get(s->rig, RIG_LOAD, &id, &l);
	for (size_t i = 0; i < SHIFT_RANKS; i++)
		sum += l.flows[i];
	return sum;
}

static void cap(struct story *s, uint32_t n)
{
	s->rig->service.client_cap = n;
	rig_put_service(s->rig);
	rig_weight(s->rig, 100);
}

static void limited(struct story *s, uint64_t counted)
{
	enum shift_verdict v = play_syn(s);

	CHECK(v == SHIFT_PASS_FALLBACK, "beyond the limit: %s", rig_verdict_names[v]);
	check_equal(fallback(s, SHIFT_FALLBACK_CLIENT_LIMIT), counted, "fallback client_limit");
}

static void client_limit(struct story *s)
{
	struct end first, last;
	struct shift_flow_ref place;

	cap(s, 5);
	play_flood(s, 5);
	check_equal(load(s), 5, "live flows");
	limited(s, 1);
	limited(s, 2);
	last = s->client_end;
	s->client_end = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_AZURE);
	play_flood(s, 5); /* another client has a limit of its own */
	check_equal(load(s), 10, "live flows of both");
	first = s->client_end;
	place = s->place;
	limited(s, 3);
	play_packet(s, &first, &place, TCP_SYN | TCP_ACK, false);
	play_packet(s, &first, &place, TCP_ACK, true);
	play_packet(s, &first, &place, TCP_RST | TCP_ACK, true); /* exactly the number expected */
	check_equal(load(s), 9, "live flows after a RST");
	play_flood(s, 1);
	limited(s, 4);
	s->client_end = last;
	limited(s, 5);
	check_equal(load(s), 10, "live flows at the end");
	for (uint32_t i = 0; i < s->rig->slot_ports[azure(s)]; i++)
		CHECK(s->rig->slots[azure(s)][i].state != SHIFT_FLOW_ABANDONED,
		      "port %u was lost to the limit", i);
}

/* A client is an address, in IPv6 a /64, whatever the affinity. */
static void what_a_client_is(struct story *s)
{
	struct rig_shape shape = rig_usual;
	struct end other;

	for (int affinity = 0; affinity < 2; affinity++) {
		shape.affinity = affinity ? SHIFT_AFFINITY_CONNECTION : SHIFT_AFFINITY_CLIENT;
		rig_reset(s->rig, &shape);
		s->client_end = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_ANY);
		cap(s, 3);
		play_flood(s, 3);
		limited(s, 1);
		other = s->client_end;
		((uint8_t *)other.ip)[s->v6 ? 12 : 14] ^= 1;
		s->client_end = other;
		if (s->v6)
			limited(s, 2);
		else
			play_flood(s, 3);
		((uint8_t *)s->client_end.ip)[s->v6 ? 7 : 13] ^= 1;
		play_flood(s, 3);
		limited(s, s->v6 ? 3 : 2);
	}
}

static void counts_return(struct story *s)
{
	cap(s, 1);
	tell(s, "client S             -> forward +new\n"
		"backend SA           -> reply +handshake\n"
		"client A             -> forward\n"
		"client FA            -> forward\n"
		"backend FA           -> reply\n"
		"client A             -> forward\n"
		"flow done cfin bfin\n");
	check_equal(load(s), 0, "live flows after FINs");
	tell(s, "another\n"
		"client S             -> forward +new\n"
		"backend RA           -> reply +failure\n");
	check_equal(load(s), 0, "live flows after a refusal");
	tell(s, "another\n"
		"client S             -> forward +new\n"
		"time 300ms\n"
		"client S again       -> forward +resyn\n"
		"time 300ms\n"
		"client S again       -> rescued +resyn +failure +rescued\n");
	check_equal(load(s), 0, "live flows after a rescue");
	tell(s, "another\n"
		"client S             -> forward +new\n"
		"backend SA           -> reply +handshake\n"
		"client A             -> forward\n"
		"cut older\n"
		"client A             -> cut\n");
	check_equal(load(s), 0, "live flows after a cut");
	tell(s, "another\n"
		"client S             -> forward +new\n"
		"backend SA           -> reply +handshake\n"
		"client S anew        -> forward +new\n"
		"place other\n");
	check_equal(load(s), 1, "live flows after a new SYN on the same tuple");
}

/* Nobody saw the flow end: its port's next one takes it out of the count. */
static void count_returns_late(struct story *s)
{
	play_shape(s, 1, 1);
	cap(s, 1);
	play_flood(s, 1);
	play_establish(s);
	limited(s, 0); /* the only port */
}

static void expired_and_reused(struct story *s)
{
	struct end first;

	play_shape(s, 2, 1);
	cap(s, 2);
	play_flood(s, 1);
	play_establish(s);
	first = s->client_end;
	play_flood(s, 1);
	play_establish(s);
	check_equal(load(s), 2, "live flows");
	rig_age(s->rig, 7441, false);
	s->client_end = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_AZURE);
	play_flood(s, 1);
	check_equal(load(s), 2, "live flows: one of each");
	play_flood(s, 1);
	check_equal(load(s), 2, "live flows: the other's");
	s->client_end = first;
	play_packet(s, &first, &s->place, TCP_ACK, true);
	CHECK(s->run.action == -1, "the old flow's packet went to the new one's port");
	CHECK(!rig_flow(s->rig, &first, &s->place), "the old flow's entry is left over");
}

/* Nobody saw them end, and their ports are not wanted: the client's next flow has them looked for,
 * once a tick. */
static void ended_in_silence(struct story *s)
{
	struct timespec some_ticks = {0, 70000000};
	enum shift_verdict v = SHIFT_PASS_FALLBACK;

	play_shape(s, 256, 1);
	cap(s, 3);
	for (int i = 0; i < 3; i++) {
		play_flood(s, 1);
		play_establish(s);
	}
	limited(s, 1);
	rig_age(s->rig, 7441, false);
	for (int i = 0; i < 4 && v != SHIFT_FORWARD; i++) {
		nanosleep(&some_ticks, NULL);
		v = play_syn(s);
	}
	CHECK(v == SHIFT_FORWARD, "after all ended: %s", rig_verdict_names[v]);
	check_equal(load(s), 1, "live flows");
}

static const struct tale limits[] = {
	{.name = "half open: a quarter of a shard's ports, 1024 at least", .more = bound},
	{.name = "half open: each shard for itself", .more = by_shard},
	{.name = "half open: until the client confirms", .more = confirmed},
	{.name = "half open: at the bound, ports that were given up come back", .more = recycled},
	{.name = "half open: at the bound, searches in vain are not repeated for ever",
	 .more = in_vain},
	{.name = "half open: a flood takes no established flow's port", .more = established_apart},
	{.name = "half open: no more when it is over", .more = not_any_more},
	{.name = "half open: UDP until its backend answers", .more = udp_half_open},
	{.name = "one client: so many flows and no more", .more = client_limit},
	{.name = "one client: an address or a /64", .more = what_a_client_is},
	{.name = "one client: flows that end are counted no longer", .more = counts_return},
	{.name = "one client: a limit does not hide that ports are used up",
	 .more = count_returns_late},
	{.name = "one client: flows that ended in silence are looked for",
	 .more = ended_in_silence},
	{.name = "one client: flows that expired, when their ports are taken",
	 .more = expired_and_reused},
};

void cases_limit(struct rig *rig, const struct net *net)
{
	tell_all(rig, net, "limit", limits, sizeof(limits) / sizeof(limits[0]));
}
