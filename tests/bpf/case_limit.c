/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_limit.c - what is bounded: flows half open, flows of one client, a backend that fails
 */
#include <stdio.h>
#include <string.h>
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

static void begin(struct story *s, uint32_t ports, uint8_t shards)
{
	struct rig_shape shape = rig_usual;

	shape.ports = ports;
	shape.shards = shards;
	rig_reset(s->rig, &shape);
	rig_weight(s->rig, 100);
	s->client_end = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_AZURE);
	s->client_end.port = 1;
}

static uint32_t half_open(struct story *s, uint32_t target, uint32_t shard)
{
	uint32_t key = target * SHIFT_MAX_SHARDS + shard;
	struct shift_cursor c;

	rig_get(s->rig, RIG_CURSORS, &key, &c);
	return c.half_open;
}

static uint64_t fallback(struct story *s, enum shift_fallback which)
{
	struct tally t;

	rig_tally(s->rig, &t);
	return t.service.fallback[which];
}

/* The client's next SYN. */
static enum shift_verdict syn(struct story *s)
{
	enum shift_verdict v;

	s->client_end.port++;
	v = single_try(s->rig, &s->client_end, &s->run);
	s->placed = v == SHIFT_FORWARD && rig_flow(s->rig, &s->client_end, &s->place);
	return v;
}

/* A packet of the last flow: the client's, whose SYN had number 1000, or the backend's. */
static void packet(struct story *s, const struct end *client, const struct shift_flow_ref *place,
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

static void answer(struct story *s)
{
	packet(s, &s->client_end, &s->place, TCP_SYN | TCP_ACK, false);
}

static void establish(struct story *s)
{
	answer(s);
	packet(s, &s->client_end, &s->place, TCP_ACK, true);
}

static void flood(struct story *s, uint32_t n)
{
	for (uint32_t i = 0; i < n && !check_failed(); i++) {
		enum shift_verdict v = syn(s);

		CHECK(v == SHIFT_FORWARD, "SYN %u of %u: %s", i, n, rig_verdict_names[v]);
	}
}

static void full(struct story *s, uint64_t counted)
{
	enum shift_verdict v = syn(s);

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
		begin(s, rows[i].ports, 1);
		flood(s, rows[i].bound);
		check_equal(half_open(s, azure(s), 0), rows[i].bound, "half open");
		full(s, 1);
		full(s, 2);
		if (check_failed())
			check_fail("with %u ports", rows[i].ports);
	}
}

static void by_shard(struct story *s)
{
	begin(s, 6000, 2);
	flood(s, 2048);
	check_equal(half_open(s, azure(s), 0), 1024, "half open in the first shard");
	check_equal(half_open(s, azure(s), 1), 1024, "half open in the second");
	full(s, 1);
}

/* An answer alone confirms nothing: a flood's SYNs are answered, too. */
static void confirmed(struct story *s)
{
	begin(s, 1100, 1);
	flood(s, 1024);
	answer(s);
	full(s, 1);
	begin(s, 1100, 1);
	flood(s, 1024);
	establish(s);
	check_equal(half_open(s, azure(s), 0), 1023, "half open after a handshake");
	flood(s, 1);
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

	begin(s, 1100, 1);
	flood(s, 1024);
	full(s, 1);
	rig_age(s->rig, 59, false);
	full(s, 2);
	rig_age(s->rig, 2, false);
	for (; taken < 200 && tries < 400; tries++) {
		close_breakers(s);
		if (syn(s) != SHIFT_FORWARD)
			continue;
		taken++;
		CHECK(s->place.index < 1024, "port %u was never half open", s->place.index);
	}
	CHECK(taken == 200, "of %u tries %u got a port", tries, taken);
	check_equal(half_open(s, azure(s), 0), 1024, "half open");
	establish(s);
	check_equal(half_open(s, azure(s), 0), 1023, "half open");
}

/* An established flow's port is no flood's, also when it is expired and the bound is reached. */
static void established_apart(struct story *s)
{
	struct shift_flow_ref kept[40];
	struct end client[40];

	begin(s, 1100, 1);
	for (int i = 0; i < 40; i++) {
		flood(s, 1);
		establish(s);
		kept[i] = s->place;
		client[i] = s->client_end;
	}
	check_equal(half_open(s, azure(s), 0), 0, "half open");
	flood(s, 1024);
	for (int i = 0; i < 3000; i++) {
		close_breakers(s);
		syn(s);
		if (i % 500 == 499)
			rig_age(s->rig, 61, false);
	}
	for (int i = 0; i < 40; i++) {
		struct shift_flow_ref place;

		CHECK(rig_flow(s->rig, &client[i], &place) && place.index == kept[i].index &&
			      place.generation == kept[i].generation,
		      "flow %d is gone", i);
	}
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
	enum shift_verdict v = syn(s);

	CHECK(v == SHIFT_PASS_FALLBACK, "beyond the limit: %s", rig_verdict_names[v]);
	check_equal(fallback(s, SHIFT_FALLBACK_CLIENT_LIMIT), counted, "fallback client_limit");
}

static void client_limit(struct story *s)
{
	struct end first, last;
	struct shift_flow_ref place;

	cap(s, 5);
	flood(s, 5);
	check_equal(load(s), 5, "live flows");
	limited(s, 1);
	limited(s, 2);
	last = s->client_end;
	s->client_end = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_AZURE);
	flood(s, 5); /* another client has a limit of its own */
	check_equal(load(s), 10, "live flows of both");
	first = s->client_end;
	place = s->place;
	limited(s, 3);
	packet(s, &first, &place, TCP_SYN | TCP_ACK, false);
	packet(s, &first, &place, TCP_ACK, true);
	packet(s, &first, &place, TCP_RST | TCP_ACK, true); /* exactly the number expected */
	check_equal(load(s), 9, "live flows after a RST");
	flood(s, 1);
	limited(s, 4);
	s->client_end = last;
	limited(s, 5);
	check_equal(load(s), 10, "live flows at the end");
	for (uint32_t i = 0; i < s->rig->slot_ports[azure(s)]; i++)
		CHECK(s->rig->slots[azure(s)][i].state != SHIFT_FLOW_ABANDONED,
		      "port %u was lost to the limit", i);
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
		"client S again       -> forward +resyn\n"
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
	begin(s, 1, 1);
	cap(s, 1);
	flood(s, 1);
	establish(s);
	limited(s, 0); /* the only port */
}

static void expired_and_reused(struct story *s)
{
	struct end first;

	begin(s, 2, 1);
	cap(s, 2);
	flood(s, 1);
	establish(s);
	first = s->client_end;
	flood(s, 1);
	establish(s);
	check_equal(load(s), 2, "live flows");
	rig_age(s->rig, 7441, false);
	s->client_end = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_AZURE);
	flood(s, 1);
	check_equal(load(s), 2, "live flows: one of each");
	flood(s, 1);
	check_equal(load(s), 2, "live flows: the other's");
	s->client_end = first;
	packet(s, &first, &s->place, TCP_ACK, true);
	CHECK(s->run.action == -1, "the old flow's packet went to the new one's port");
	CHECK(!rig_flow(s->rig, &first, &s->place), "the old flow's entry is left over");
}

/* ---- the breaker ---- */

static struct shift_breaker breaker(struct story *s, enum rig_backend backend)
{
	uint32_t id = backend;
	struct shift_breaker b;

	rig_get(s->rig, RIG_BREAKERS, &id, &b);
	return b;
}

#define REFUSED                                                                                    \
	"someone azure\n"                                                                          \
	"client S             -> forward +new\n"                                                   \
	"backend RA           -> reply +failure\n"

static void refused(struct story *s, int n)
{
	rig_weight(s->rig, 100);
	for (int i = 0; i < n; i++)
		tell(s, REFUSED);
}

/* Is the story's backend given to a client of its share? */
static bool gives(struct story *s)
{
	s->client_end = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_AZURE);
	CHECK(syn(s) == SHIFT_FORWARD, "nobody serves");
	return s->placed && story_record(s)->backend == RIG_AZURE;
}

static void check_breaker(struct story *s, uint32_t open, uint32_t failures, uint64_t opened)
{
	struct shift_breaker b = breaker(s, RIG_AZURE);

	check_equal(b.open, open, "open");
	check_equal(b.failures, failures, "failures");
	check_equal(b.opened, opened, "times opened");
}

static void opens(struct story *s)
{
	refused(s, 7);
	check_breaker(s, 0, 7, 0);
	CHECK(gives(s), "seven failures are too many");
	answer(s);
	check_breaker(s, 0, 6, 0);
	refused(s, 2);
	check_breaker(s, 1, 8, 1);
	for (int i = 0; i < 20; i++)
		CHECK(!gives(s), "an open breaker gives");
	check_equal(breaker(s, RIG_AWS).failures + breaker(s, RIG_GCP).failures, 0,
		    "failures of others");
}

static void probes(struct story *s)
{
	refused(s, 8);
	rig_age_udp(s->rig, 9.5);
	CHECK(!gives(s), "a probe after 9.5 s");
	rig_age_udp(s->rig, 1);
	CHECK(gives(s), "no probe after 10 s");
	CHECK(!gives(s), "a second probe");
	rig_age_udp(s->rig, 10);
	CHECK(gives(s), "no probe after 10 s more");
	packet(s, &s->client_end, &s->place, TCP_RST | TCP_ACK, false);
	check_breaker(s, 1, 8, 1);
	CHECK(!gives(s), "after a failed probe");
	rig_age_udp(s->rig, 10);
	CHECK(gives(s), "no third probe");
	answer(s);
	check_breaker(s, 0, 0, 1);
	for (int i = 0; i < 20; i++)
		CHECK(gives(s), "a closed breaker does not give");
	refused(s, 8);
	check_breaker(s, 1, 8, 2);
}

/* What was born before it opened proves nothing. */
static void older_success(struct story *s)
{
	struct shift_flow_ref place;
	struct end client;

	rig_weight(s->rig, 100);
	CHECK(gives(s), "it does not begin closed");
	place = s->place;
	client = s->client_end;
	refused(s, 8);
	packet(s, &client, &place, TCP_SYN | TCP_ACK, false);
	check_breaker(s, 1, 8, 1);
	CHECK(!gives(s), "closed by an older flow");
}

static void by_rescue(struct story *s)
{
	rig_weight(s->rig, 100);
	for (int i = 0; i < 8; i++)
		tell(s, "someone azure\n"
			"client S             -> forward +new\n"
			"client S again       -> forward +resyn\n"
			"client S again       -> rescued +resyn +failure +rescued\n");
	check_breaker(s, 1, 8, 1);
	CHECK(!gives(s), "an open breaker gives");
}

/* SYNs that nobody answered nor repeated are failures when their ports are taken again. */
static void by_silence(struct story *s)
{
	begin(s, 8, 1);
	flood(s, 8);
	check_breaker(s, 0, 0, 0);
	rig_age(s->rig, 61, false);
	flood(s, 8);
	check_breaker(s, 1, 8, 1);
	CHECK(!gives(s), "an open breaker gives");
}

static void explained(struct story *s)
{
	static struct frame f;
	struct segment seg;
	struct run run;

	refused(s, 8);
	rig_age_udp(s->rig, 10);
	s->client_end = rig_client(s->rig, s->v6, 0, SHIFT_RANKS, RIG_AZURE);
	single_syn(&s->client_end, &seg);
	frame_build(&f, &seg);
	for (int i = 0; i < 3; i++)
		rig_run(s->rig, s->rig->explain, &f, &run);
	CHECK(gives(s), "explain used the probe up");
}

static void all_open(struct story *s)
{
	tell(s, "weight 100\n");
	for (uint32_t id = 1; id < RIG_BACKENDS; id++) {
		struct shift_breaker b = {.open = 1, .failures = 8, .probe = rig_tick(s->rig)};

		rig_put(s->rig, RIG_BREAKERS, &id, &b);
	}
	tell(s, "client S             -> fallback +old +no_backend\n"
		"client S again       -> local_repeat +repeat\n"
		"authority new\n"
		"someone gcp\n"
		"client S             -> reset_unable +old +no_backend\n");
	rig_age_udp(s->rig, 10);
	tell(s, "someone azure\n"
		"client S             -> forward +new\n");
}

/* ---- who still comes ---- */

static uint64_t arrived(struct story *s, const struct end *client)
{
	struct shift_arrival_key key = {.service = RIG_SERVICE};
	struct shift_arrival a = {0};
	uint8_t *network = (uint8_t *)key.network;

	if (s->v6)
		memcpy(network, client->ip, 6);
	else {
		memcpy(network, client->ip, 12);
		memcpy(&key.v4, &client->ip[3], 3);
	}
	return bpf_map_lookup_elem(s->rig->map[RIG_ARRIVALS], &key, &a) ? 0 : a.connections;
}

/* Changes the host, or the network, of an address. */
static struct end neighbour(const struct story *s, const struct end *e, bool same_network)
{
	struct end n = *e;
	uint8_t *ip = (uint8_t *)n.ip;

	ip[s->v6 ? (same_network ? 6 : 5) : (same_network ? 15 : 14)] ^= 1;
	n.port++;
	return n;
}

static void arrivals(struct story *s)
{
	struct end near = neighbour(s, &s->client_end, true);
	struct end far = neighbour(s, &s->client_end, false), me = s->client_end;
	uint64_t here = arrived(s, &me), there = arrived(s, &far); /* of other cases */
	struct run *run = &s->run;

	CHECK(single_try(s->rig, &me, run) == SHIFT_PASS_LOCAL_SYN, "the first");
	check_equal(arrived(s, &me), ++here, "from the network");
	CHECK(single_try(s->rig, &me, run) == SHIFT_PASS_LOCAL_REPEAT, "once more");
	check_equal(arrived(s, &me), here, "from the network: a repetition is none");
	CHECK(single_try(s->rig, &near, run) == SHIFT_PASS_LOCAL_SYN, "a neighbour");
	check_equal(arrived(s, &me), ++here, "from the network, with a neighbour");
	check_equal(arrived(s, &far), there, "from the next network");
	CHECK(single_try(s->rig, &far, run) == SHIFT_PASS_LOCAL_SYN, "from the next network");
	check_equal(arrived(s, &far), ++there, "from the next network");
	check_equal(arrived(s, &me), here, "from the network, not from the next");
	tell(s, "weight 100\n"
		"no_route\n");
	me.port += 100;
	CHECK(single_try(s->rig, &me, run) == SHIFT_PASS_FALLBACK, "what cannot be shifted");
	check_equal(arrived(s, &me), ++here, "from the network, unable");
	rig_target_flags(s->rig, azure(s), SHIFT_TARGET_USED);
	me.port++;
	CHECK(single_try(s->rig, &me, run) == SHIFT_FORWARD, "what is shifted");
	rig_pin(s->rig, &me, 128, SHIFT_CLIENT_BYPASS, 0);
	me.port++;
	CHECK(single_try(s->rig, &me, run) == SHIFT_PASS_BYPASS, "a probe");
	check_equal(arrived(s, &me), here, "from the network, shifted and probes");
}

static const struct tale limits[] = {
	{.name = "half open: a quarter of a shard's ports, 1024 at least", .more = bound},
	{.name = "half open: each shard for itself", .more = by_shard},
	{.name = "half open: until the client confirms", .more = confirmed},
	{.name = "half open: at the bound, ports that were given up come back", .more = recycled},
	{.name = "half open: a flood takes no established flow's port", .more = established_apart},
	{.name = "half open: UDP until its backend answers", .more = udp_half_open},
	{.name = "one client: so many flows and no more", .more = client_limit},
	{.name = "one client: flows that end are counted no longer", .more = counts_return},
	{.name = "one client: a limit does not hide that ports are used up",
	 .more = count_returns_late},
	{.name = "one client: flows that expired, when their ports are taken",
	 .more = expired_and_reused},
	{.name = "the breaker opens at eight failures", .more = opens},
	{.name = "the breaker: one probe in ten seconds, until one succeeds", .more = probes},
	{.name = "the breaker: an older flow does not close it", .more = older_success},
	{.name = "the breaker: rescues are failures", .more = by_rescue},
	{.name = "the breaker: silence is failure", .more = by_silence},
	{.name = "the breaker: explain uses no probe up", .more = explained},
	{.name = "the breaker: all are open", .more = all_open},
	{.name = "who still comes, by network", .more = arrivals},
};

void cases_limit(struct rig *rig, const struct net *net)
{
	tell_all(rig, net, "limit", limits, sizeof(limits) / sizeof(limits[0]));
}
