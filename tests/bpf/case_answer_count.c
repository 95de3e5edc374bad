/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_answer_count.c - where the new arm's answers and failures are counted: by epoch, by second,
 * by client, by the time that an answer took
 *
 * On one CPU, as case_answer.c.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/play.h"

#define OPEN                                                                                       \
	"weight 100\n"                                                                             \
	"client S             -> forward +new\n"                                                   \
	"backend SA           -> reply +handshake\n"                                               \
	"client A             -> forward\n"
#define ASKED OPEN "client PA len 100    -> forward\n"

/* ---- which epoch, which second ---- */

/* Seven later ones have places of their own; the eighth has the first one's. */
static void places(struct story *s)
{
	tell(s, ASKED);
	for (int i = 0; i < 7; i++)
		tell(s, "weight %d\n", 99 - i);
	tell(s, "another\n"
		"client S             -> forward +new\n"
		"answers new of 9 begun 1\n"
		"answers new of 2 begun 1\n"
		"weight 92\n"
		"another\n"
		"client S             -> forward +new\n"
		"answers new of 10 begun 1\n"
		"answers new of 2\n"
		"answers new spread begun 3\n");
}

static void place_gone(struct story *s)
{
	struct end first = s->client_end;
	struct side client, server;
	struct shift_flow_ref place;

	tell(s, ASKED);
	client = s->client;
	server = s->server;
	place = s->place;
	for (int i = 0; i < 8; i++)
		tell(s, "weight %d\n", 99 - i);
	tell(s, "another\n"
		"client S             -> forward +new\n"
		"answers new of 10 begun 1\n"
		"answers new of 2\n");
	s->client_end = first;
	s->client = client;
	s->server = server;
	s->place = place;
	CHECK(rig_flow(s->rig, &first, &place) != NULL, "the first flow is gone");
	{
		struct segment seg = {.src = story_target(s, &s->place),
				      .dst = story_nat(s, &s->place),
				      .seq = s->server.next,
				      .ack = s->client.next,
				      .flags = TCP_FIN | TCP_ACK,
				      .ttl = 61};
		static struct frame f;

		frame_build(&f, &seg);
		if (rig_run(s->rig, s->rig->ingress, &f, &s->run))
			abort();
	}
	tell(s, "answers new of 10 begun 1\n"
		"answers new of 2\n"
		"answers new spread begun 2 failed 1 clients 1 closed 1\n");
}

/* The second in which it began is the one it fails in, however much later. */
static void cohorts(struct story *s)
{
	struct shift_arm *arm;
	struct shift_flow *f;
	uint64_t number = 0;
	int others = 0;

	tell(s, ASKED);
	rig_age(s->rig, 5 * 1.073741824, false); /* five cohorts */
	tell(s, "backend FA           -> reply\n"
		"answers new begun 1 failed 1 clients 1 closed 1\n");
	f = story_record(s);
	if (!f || s->over)
		return;
	number = f->born >> SHIFT_COHORT_SHIFT;
	arm = rig_arm(s->rig, SHIFT_ARM_NEW);
	for (int cpu = 0; cpu < s->rig->cpus; cpu++) {
		for (int i = 0; i < SHIFT_COHORTS; i++) {
			const struct shift_cohort *c = &arm[cpu].cohort[i];

			if (c->number != number)
				others += (int)(c->begun + c->failed);
			else if (c->begun + c->failed != 2)
				check_fail("its cohort has %u begun, %u failed", c->begun,
					   c->failed);
		}
	}
	check_equal((uint64_t)others, 0, "other cohorts");
	free(arm);
}

/* Sixteen cohorts later its place is another's: then it is counted in none. */
static void cohort_gone(struct story *s)
{
	struct shift_arm *arm;
	uint32_t begun = 0, failed = 0;

	tell(s, ASKED);
	rig_age(s->rig, 16 * 1.073741824, false);
	tell(s, "backend A            -> reply\n");
	{
		struct shift_flow *f = story_record(s);
		struct shift_cohort later = {.begun = 5};
		uint32_t key = RIG_SERVICE * SHIFT_ARMS + SHIFT_ARM_NEW;

		arm = rig_arm(s->rig, SHIFT_ARM_NEW);
		later.number = (f->born >> SHIFT_COHORT_SHIFT) + SHIFT_COHORTS;
		for (int cpu = 0; cpu < s->rig->cpus; cpu++)
			arm[cpu].cohort[later.number & (SHIFT_COHORTS - 1)] = later;
		rig_put(s->rig, RIG_ARMS, &key, arm);
		free(arm);
	}
	tell(s, "backend FA           -> reply\n");
	arm = rig_arm(s->rig, SHIFT_ARM_NEW);
	for (int cpu = 0; cpu < s->rig->cpus; cpu++) {
		for (int i = 0; i < SHIFT_COHORTS; i++) {
			begun += arm[cpu].cohort[i].begun;
			failed += arm[cpu].cohort[i].failed;
		}
	}
	check_equal(begun, 5u * (uint32_t)s->rig->cpus, "begun in the later cohort");
	check_equal(failed, 0, "failed in the later cohort");
	free(arm);
}

static const struct tale epochs[] = {
	{.name = "a flow counts to the epoch that it began in",
	 .text = ASKED "weight 90\n"
		       "weight 80\n"
		       "backend FA           -> reply\n"
		       "answers new in 2 begun 1 failed 1 clients 1 closed 1\n"},
	{.name = "and so does its answer",
	 .text = ASKED "weight 90\n"
		       "another\n"
		       "client S             -> forward +new\n"
		       "backend SA           -> reply +handshake\n"
		       "client PA len 5      -> forward\n"
		       "backend PA len 5     -> reply\n"
		       "answers new of 2 begun 1\n"
		       "answers new of 3 begun 1 answered 1 timed 1\n"},
	{.name = "eight epochs have places", .more = places},
	{.name = "what fails later than that is counted in all, and in no epoch",
	 .more = place_gone},
	{.name = "a failure is counted in the second that the flow began in", .more = cohorts},
	{.name = "and in none, when a later one has its place", .more = cohort_gone},
};

/* ---- clients ---- */

#define REFUSED                                                                                    \
	"another\n"                                                                                \
	"client S             -> forward +new\n"                                                   \
	"backend RA           -> reply +failure\n"

/* The same client with other bits in one word of its address. */
static void neighbour(struct story *s, int word, uint32_t bits)
{
	s->client_end.ip[word] ^= shift_be32(bits);
	s->backend = rig_backend_of(s->rig, &s->client_end);
}

static void v6_neighbours(struct story *s)
{
	tell(s, "weight 100\n" REFUSED);
	neighbour(s, 2, 0x80000000);
	tell(s, REFUSED "answers new spread begun 2 failed 2 clients 1 refused 2\n");
	neighbour(s, 3, 1);
	tell(s, REFUSED "answers new spread begun 3 failed 3 clients 1 refused 3\n");
	neighbour(s, 1, 1);
	tell(s, REFUSED "answers new spread begun 4 failed 4 clients 2 refused 4\n");
	neighbour(s, 0, 1);
	tell(s, REFUSED "answers new spread begun 5 failed 5 clients 3 refused 5\n");
}

static void v4_neighbours(struct story *s)
{
	tell(s, "weight 100\n" REFUSED);
	neighbour(s, 3, 1);
	tell(s, REFUSED "answers new spread begun 2 failed 2 clients 2 refused 2\n");
	neighbour(s, 3, 0x80000000);
	tell(s, REFUSED "answers new spread begun 3 failed 3 clients 3 refused 3\n");
}

static void forgotten(struct story *s)
{
	tell(s, "weight 100\n" REFUSED REFUSED);
	rig_forget_clients(s->rig);
	tell(s, REFUSED REFUSED "answers new begun 4 failed 4 clients 2 refused 4\n");
}

static const struct tale clients[] = {
	{.name = "a client counts once, however often and long it fails",
	 .text = "weight 100\n" REFUSED REFUSED "time 61s\n" REFUSED "time 2h\n" REFUSED
		 "answers new begun 4 failed 4 clients 1 refused 4\n"},
	{.name = "in the epoch of its first failure, and in no later one",
	 .text = "weight 100\n" REFUSED "weight 90\n" REFUSED
		 "answers new spread begun 2 failed 2 clients 1 refused 2\n"
		 "answers new of 2 begun 1 failed 1 clients 1 refused 1\n"
		 "answers new of 3 begun 1 failed 1 refused 1\n"},
	{.name = "in one arm: that of its first failure",
	 .text = "watched yes\n"
		 "client S             -> local_syn +old\n"
		 "host says RA\n"
		 "answers old begun 1 failed 1 clients 1 refused 1\n"
		 "pin new\n" REFUSED "answers new begun 1 failed 1 refused 1\n"},
	{.name = "that it gave up is not its first failure",
	 .text = ASKED "backend A            -> reply\n"
		       "client R             -> forward +reset\n"
		       "answers new begun 1 failed 1 gave_up 1\n" REFUSED REFUSED
		       "answers new begun 3 failed 3 clients 1 gave_up 1 refused 2\n"},
	{.name = "forgotten, it counts again", .more = forgotten},
	{.name = "an IPv6 client is a /64", .more = v6_neighbours, .only = 6},
	{.name = "an IPv4 client is one address", .more = v4_neighbours, .only = 4},
};

/* ---- times ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The answer of a flow that asked `ago` ns before the packet runs: in which bucket is it, and how
 * long may it have taken? */
static int answered_after(struct story *s, const struct frame *f, uint64_t ago, uint64_t took[2])
{
	struct shift_answers before, after;
	struct shift_flow *r = story_record(s);
	int bucket = -1;

	rig_backend_answers(s->rig, s->backend, &before);
	r->down = 0;
	took[0] = now_ns();
	r->asked = took[0] - ago;
	took[0] -= r->asked;
	if (rig_run(s->rig, s->rig->ingress, f, &s->run))
		abort();
	took[1] = now_ns() - r->asked;
	rig_backend_answers(s->rig, s->backend, &after);
	for (int i = 0; i < SHIFT_HISTOGRAM; i++)
		if (after.answer[i] != before.answer[i])
			bucket = after.answer[i] == before.answer[i] + 1 && bucket < 0 ? i : 99;
	return bucket;
}

/* The fastest of some runs, ns. */
static uint64_t answered_takes(struct story *s, const struct frame *f)
{
	uint64_t took[2], least = ~0ull;

	for (int i = 0; i < 20; i++) {
		answered_after(s, f, 0, took);
		if (took[1] - took[0] < least)
			least = took[1] - took[0];
	}
	return least;
}

/* What took exactly so long belongs to the bucket that ends there, and what took longer to the
 * next. */
static void edges(struct story *s)
{
	static const uint32_t ends[SHIFT_HISTOGRAM_STEPS] = SHIFT_HISTOGRAM_EDGES;
	static const uint64_t at[] = {100, 200, 500}; /* ms */
	struct segment seg;
	static struct frame f;

	tell(s, ASKED);
	if (s->over)
		return;
	seg = (struct segment){.src = story_target(s, &s->place),
			       .dst = story_nat(s, &s->place),
			       .seq = s->server.next,
			       .ack = s->client.next,
			       .flags = TCP_ACK,
			       .ttl = 61,
			       .payload = 4};
	frame_build(&f, &seg);
	for (size_t k = 0; k < sizeof(at) / sizeof(at[0]) && !check_failed(); k++) {
		uint64_t edge = at[k] * 1000000, took[2];
		uint64_t run = answered_takes(s, &f);
		int below = 0, end = 0;

		while (end < SHIFT_HISTOGRAM_STEPS && ends[end] != at[k] * 100)
			end++;
		for (int i = 0; i < 400 && !check_failed(); i++) {
			/* Around it, in steps of a hundredth of what the packet's run takes. */
			int bucket = answered_after(s, &f, edge - 3 * run + (uint64_t)i * run / 100,
						    took);

			if (took[1] <= edge) {
				below++;
				CHECK(bucket == end, "%llu ns are in bucket %d",
				      (unsigned long long)took[1], bucket);
			} else if (took[0] > edge) {
				CHECK(bucket > end, "%llu ns are in bucket %d",
				      (unsigned long long)took[0], bucket);
			}
		}
		for (int i = 0; i < 20 && !check_failed(); i++)
			CHECK(answered_after(s, &f, edge + 1, took) > end,
			      "%llu ms and a little are not in a later bucket",
			      (unsigned long long)at[k]);
		CHECK(below > 0, "no packet ran as fast as one of those before");
	}
}

static const struct tale times[] = {
	{.name = "100, 200 and 500 ms belong to the bucket that ends there", .more = edges},
};

void cases_answer_count(struct rig *rig, const struct net *net)
{
#define CHAPTER(name, tales) tell_all(rig, net, name, tales, sizeof(tales) / sizeof(tales[0]))
	cpu_set_t before;

	rig_one_cpu(&before);
	CHAPTER("answers by epoch", epochs);
	CHAPTER("failures by client", clients);
	CHAPTER("times of answers", times);
	rig_all_cpus(&before);
#undef CHAPTER
}
