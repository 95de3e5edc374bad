/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_breaker.c - a backend that fails gets nothing new; and who still comes to the old arm
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
	CHECK(play_syn(s) == SHIFT_FORWARD, "nobody serves");
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
	play_answer_syn(s);
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
	play_packet(s, &s->client_end, &s->place, TCP_RST | TCP_ACK, false);
	check_breaker(s, 1, 8, 1);
	CHECK(!gives(s), "after a failed probe");
	rig_age_udp(s->rig, 10);
	CHECK(gives(s), "no third probe");
	play_answer_syn(s);
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
	play_packet(s, &client, &place, TCP_SYN | TCP_ACK, false);
	check_breaker(s, 1, 8, 1);
	CHECK(!gives(s), "closed by an older flow");
}

static void by_rescue(struct story *s)
{
	rig_weight(s->rig, 100);
	for (int i = 0; i < 8; i++)
		tell(s, "someone azure\n"
			"client S             -> forward +new\n"
			"time 300ms\n"
			"client S again       -> forward +resyn\n"
			"time 300ms\n"
			"client S again       -> rescued +resyn +failure +rescued\n");
	check_breaker(s, 1, 8, 1);
	CHECK(!gives(s), "an open breaker gives");
}

/* SYNs that nobody answered nor repeated are failures when their ports are taken again. */
static void by_silence(struct story *s)
{
	play_shape(s, 8, 1);
	play_flood(s, 8);
	check_breaker(s, 0, 0, 0);
	rig_age(s->rig, 61, false);
	play_flood(s, 8);
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

static const struct tale breakers[] = {
	{.name = "the breaker opens at eight failures", .more = opens},
	{.name = "the breaker: one probe in ten seconds, until one succeeds", .more = probes},
	{.name = "the breaker: an older flow does not close it", .more = older_success},
	{.name = "the breaker: rescues are failures", .more = by_rescue},
	{.name = "the breaker: silence is failure", .more = by_silence},
	{.name = "the breaker: explain uses no probe up", .more = explained},
	{.name = "the breaker: all are open", .more = all_open},
	{.name = "who still comes, by network", .more = arrivals},
};

void cases_breaker(struct rig *rig, const struct net *net)
{
	tell_all(rig, net, "limit", breakers, sizeof(breakers) / sizeof(breakers[0]));
}
