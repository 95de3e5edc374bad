/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_choice.c - what the split is judged by: connections whose arm the share decided, and clients
 * once each; and whose the connections of late are
 *
 * On one CPU, as case_answer.c.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/play.h"

#define SHIFTED                                                                                    \
	"another\n"                                                                                \
	"client S             -> forward +new\n"
#define STAYS                                                                                      \
	"another\n"                                                                                \
	"client S             -> local_syn +old\n"
#define NOBODY                                                                                     \
	"chose new 0 0\n"                                                                          \
	"chose old 0 0\n"

/* ---- connections ---- */

static const struct tale connections[] = {
	{.name = "shifted: the new arm's",
	 .text = "weight 100\n"
		 "sampled no\n" SHIFTED SHIFTED "chose new 2 0\n"
		 "chose new 2 0 of 2\n"
		 "chose old 0 0\n"},
	{.name = "left: the old arm's",
	 .text = "weight 10\n"
		 "sampled no\n" STAYS STAYS STAYS "chose old 3 0\n"
		 "chose old 3 0 of 2\n"
		 "chose new 0 0\n"},
	{.name = "a SYN again is none more",
	 .text = "weight 10\n"
		 "sampled no\n" STAYS "time 1s\n"
		 "client S again       -> local_repeat +repeat\n"
		 "chose old 1 0\n"
		 "weight 100\n" SHIFTED "time 1s\n"
		 "client S again       -> forward +resyn\n"
		 "chose new 1 0\n"
		 "chose old 1 0\n"},
	{.name = "what falls back is the new arm's, as the share said",
	 .text = "weight 100\n"
		 "sampled yes\n"
		 "full ports\n"
		 "client S             -> fallback +old +ports_exhausted\n"
		 "chose new 1 1\n"
		 "chose old 0 0\n"},
	{.name = "without a backend, too",
	 .text = "weight 100\n"
		 "health down 60s\n"
		 "sampled no\n"
		 "served by any\n"
		 "client S             -> forward +new\n"
		 "chose new 1 0\n"},
	{.name = "not what a pin decides, to the old arm",
	 .text = "weight 100\n"
		 "sampled yes\n"
		 "pin old\n" STAYS NOBODY},
	{.name = "nor to the new one",
	 .text = "weight 10\n"
		 "sampled yes\n"
		 "pin new\n" SHIFTED NOBODY},
	{.name = "nor a pin that agrees with the share",
	 .text = "weight 100\n"
		 "sampled yes\n"
		 "pin new\n" SHIFTED NOBODY},
	{.name = "nor a list that denies",
	 .text = "weight 100\n"
		 "sampled yes\n"
		 "pin deny\n" STAYS NOBODY},
	{.name = "but what a list allows, the share decides",
	 .text = "weight 100\n"
		 "sampled yes\n"
		 "pin allow\n" SHIFTED "chose new 1 1\n"},
	{.name = "not a peer's",
	 .text = "weight 100\n"
		 "sampled yes\n"
		 "pin peer\n" STAYS NOBODY},
	{.name = "not a probe's",
	 .text = "weight 100\n"
		 "sampled yes\n"
		 "pin bypass\n"
		 "client S             -> bypass +bypassed\n" NOBODY},
	{.name = "not in the shadow",
	 .text = "weight 100\n"
		 "shadow on\n"
		 "sampled yes\n"
		 "client S             -> local_syn +old +shadow\n" NOBODY},
	{.name = "not while the service leaves",
	 .text = "weight 100\n"
		 "sampled yes\n"
		 "drain service\n" STAYS NOBODY},
	{.name = "not what would die on the way",
	 .text = "weight 100\n"
		 "sampled yes\n"
		 "client S ttl 1       -> local_syn +old\n" NOBODY},
};

/* ---- clients ---- */

/* With affinity `connection` each connection has an arm of its own: they count, and no client. */
static void by_connection(struct story *s)
{
	s->rig->service.affinity = SHIFT_AFFINITY_CONNECTION;
	rig_put_service(s->rig);
	tell(s, "weight 100\n");
	for (int i = 0; i < 40; i++) {
		tell(s, "another\n");
		s->backend = rig_backend_of(s->rig, &s->client_end);
		tell(s, "client S -> forward +new\n");
	}
	tell(s, "chose new 40 0\n");
}

/* As many epochs later its part of the clients comes again, and it is known. */
static void part_again(struct story *s)
{
	tell(s, "weight 100\n"
		"sampled yes\n" SHIFTED "chose new 1 1 of 2\n");
	for (int i = 1; i < SHIFT_CLIENT_ONE_IN; i++)
		tell(s, "weight %d\n" SHIFTED "chose new %d 1\n", 100 - i, 1 + i);
	tell(s, "weight 90\n" SHIFTED "chose new %d 1\n", 1 + SHIFT_CLIENT_ONE_IN);
	rig_forget_clients(s->rig);
	tell(s,
	     SHIFTED "chose new %d 2\n"
		     "chose new 2 1 of 10\n",
	     2 + SHIFT_CLIENT_ONE_IN);
}

/* Its line is full: of this epoch's part it is not counted, another part's gives way. */
static void full_line(struct story *s)
{
	static struct shift_seen seen;
	uint32_t id = RIG_SERVICE, tag;
	uint64_t hash;

	tell(s, "weight 100\n"
		"sampled yes\n");
	hash = shift_client_hash(rig_hash(s->rig, &s->client_end));
	tag = shift_client_tag(hash);
	for (uint32_t i = 0; i < SHIFT_SEEN_WAYS; i++)
		seen.tag[shift_client_line(hash)][i] = tag + 16 * (i + 1);
	rig_put(s->rig, RIG_SEEN, &id, &seen);
	tell(s, SHIFTED "chose new 1 0\n");
	seen.tag[shift_client_line(hash)][5] = tag ^ 1;
	rig_put(s->rig, RIG_SEEN, &id, &seen);
	tell(s, SHIFTED SHIFTED "chose new 3 1\n");
	rig_get(s->rig, RIG_SEEN, &id, &seen);
	check_equal(seen.tag[shift_client_line(hash)][5], tag, "the tag that gave way");
}

/* Clients of several parts share a line: a known one gives way only where no place is empty. */
static void shared_line(struct story *s)
{
	static struct shift_seen seen, is;
	uint32_t id = RIG_SERVICE, line, tag;
	uint64_t hash;

	tell(s, "weight 100\n"
		"sampled yes\n");
	hash = shift_client_hash(rig_hash(s->rig, &s->client_end));
	line = shift_client_line(hash);
	tag = shift_client_tag(hash);
	memset(&seen, 0, sizeof(seen));
	for (uint32_t i = 0; i < SHIFT_SEEN_WAYS; i++) {
		if (i != 2)
			seen.tag[line][i] = tag ^ (16 * (i + 1) + 1 + i % 7);
	}
	rig_put(s->rig, RIG_SEEN, &id, &seen);
	tell(s, SHIFTED SHIFTED "chose new 2 1\n");
	rig_get(s->rig, RIG_SEEN, &id, &is);
	seen.tag[line][2] = tag;
	for (uint32_t i = 0; i < SHIFT_SEEN_WAYS; i++)
		check_equal(is.tag[line][i], seen.tag[line][i], "a tag of the line");
}

static void v6_prefix(struct story *s)
{
	tell(s, "weight 100\n"
		"sampled yes\n" SHIFTED);
	s->client_end.ip[2] ^= shift_be32(0x80000000);
	s->client_end.ip[3] ^= shift_be32(1);
	tell(s, SHIFTED "chose new 2 1\n");
}

static const struct tale clients[] = {
	{.name = "a client counts once",
	 .text = "weight 100\n"
		 "sampled yes\n" SHIFTED SHIFTED "time 2h\n" SHIFTED "chose new 3 1\n"
		 "sampled yes\n" SHIFTED SHIFTED "chose new 5 2\n"},
	{.name = "and in one arm, whatever the share becomes",
	 .text = "weight 10\n"
		 "sampled yes\n" STAYS "chose old 1 1\n"
		 "weight 100\n"
		 "weight 99\n"
		 "weight 98\n"
		 "weight 97\n"
		 "weight 96\n"
		 "weight 95\n"
		 "weight 94\n"
		 "weight 93\n" SHIFTED "chose new 1 0\n"
		 "chose old 1 1\n"},
	{.name = "each epoch has a part of the clients",
	 .text = "weight 100\n"
		 "sampled no\n" SHIFTED "chose new 1 0\n"
		 "weight 99\n"
		 "sampled yes\n" SHIFTED "chose new 2 1\n"
		 "chose new 1 1 of 3\n"},
	{.name = "which comes again, and nobody counts twice", .more = part_again},
	{.name = "a full line counts nobody more, but for other epochs' clients",
	 .more = full_line},
	{.name = "another part's client stays while the line has room", .more = shared_line},
	{.name = "with affinity connection it is connections that count", .more = by_connection},
	{.name = "an IPv6 client is a /64", .more = v6_prefix, .only = 6},
};

/* ---- origins ---- */

static int places_of(struct story *s, const struct shift_origin *who)
{
	static struct shift_origins o;
	uint32_t id = RIG_SERVICE;
	int n = 0;

	rig_get(s->rig, RIG_ORIGINS, &id, &o);
	for (int i = 0; i < SHIFT_ORIGINS; i++)
		n += !memcmp(&o.at[i], who, sizeof(*who));
	return n;
}

static struct shift_origin origin_of(const struct story *s)
{
	const uint32_t *ip = s->client_end.ip;

	return (struct shift_origin){{ip[0], s->v6 ? ip[1] : ip[3]}};
}

/* Of 400 connections about 50 are sampled, and few of these meet at a place: 49 ± 7. */
static void sampled(struct story *s, const char *how)
{
	struct shift_origin who = origin_of(s);
	int n;

	for (int i = 0; i < 400 && !s->over; i++)
		tell(s,
		     "another\n"
		     "client S -> %s\n",
		     how);
	n = places_of(s, &who);
	CHECK(n > 20 && n < 80, "%d of 400 are sampled", n);
}

static void of_the_old_arm(struct story *s)
{
	tell(s, "weight 10\n");
	sampled(s, "local_syn +old");
}

static void of_the_new_arm(struct story *s)
{
	tell(s, "weight 100\n"
		"full ports\n");
	sampled(s, "fallback +old +ports_exhausted");
}

/* Both are seen as often as they come: one of them three times as often as the other. */
static void by_how_often(struct story *s)
{
	struct end often = s->client_end, seldom;
	struct shift_origin a = origin_of(s), b;
	int n_often, n_seldom;

	story_client(s, s->backend, 25, 50);
	seldom = s->client_end;
	b = origin_of(s);
	for (int i = 0; i < 1200 && !s->over; i++) {
		struct end *who = i % 4 ? &often : &seldom;

		who->port++;
		s->client_end = *who;
		story_new_numbers(s);
		tell(s, "client S -> local_syn +old\n");
	}
	n_often = places_of(s, &a);
	n_seldom = places_of(s, &b);
	CHECK(n_often > n_seldom * 3 / 2 && n_seldom > 10, "%d places to %d", n_often, n_seldom);
}

static const struct tale origins[] = {
	{.name = "of the old arm one connection in eight leaves its client's name",
	 .more = of_the_old_arm},
	{.name = "of those that were meant for the new arm, too", .more = of_the_new_arm},
	{.name = "who comes more often has more places", .more = by_how_often},
};

void cases_choice(struct rig *rig, const struct net *net)
{
#define CHAPTER(name, tales) tell_all(rig, net, name, tales, sizeof(tales) / sizeof(tales[0]))
	cpu_set_t before;

	rig_one_cpu(&before);
	CHAPTER("connections by share", connections);
	CHAPTER("clients by share", clients);
	CHAPTER("origins of connections", origins);
	rig_all_cpus(&before);
#undef CHAPTER
}
