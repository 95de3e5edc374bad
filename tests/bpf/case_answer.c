/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_answer.c - how the new arm answers: the time to the first answer, and failures
 *
 * The program counts on each CPU apart, and a later epoch takes an earlier one's place there: so
 * that this is seen, the chapter stays on one CPU. The old arm is in case_watch.c.
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

static const struct tale answers[] = {
	{.name = "asked and answered: timed once, later data not again",
	 .text = ASKED "answers new begun 1\n"
		       "backend A            -> reply\n"
		       "answers new begun 1\n"
		       "client PA len 20     -> forward\n"
		       "backend PA len 900   -> reply\n"
		       "answers new begun 1 answered 1 timed 1\n"
		       "backend PA len 900   -> reply\n"
		       "client PA len 10     -> forward\n"
		       "backend PA len 10    -> reply\n"
		       "answers new begun 1 answered 1 timed 1\n"
		       "answers old\n"},
	{.name = "the time is from the first data on, not from the second",
	 .text = ASKED "time 3200ms\n"
		       "client PA len 20     -> forward\n"
		       "backend PA len 1     -> reply\n"
		       "answers new begun 1 answered 1 timed 1 bucket 4s\n"},
	{.name = "nor from the handshake",
	 .text = OPEN "time 5s\n"
		      "client PA len 20     -> forward\n"
		      "time 3200ms\n"
		      "backend PA len 1     -> reply\n"
		      "answers new begun 1 answered 1 timed 1 bucket 4s\n"},
	{.name = "data in place of the handshake's last packet asks",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "client PA len 20     -> forward\n"
		 "time 3200ms\n"
		 "backend PA len 1     -> reply\n"
		 "answers new begun 1 answered 1 timed 1 bucket 4s\n"},
	{.name = "longer than the last edge",
	 .text = ASKED "time 11s\n"
		       "backend PA len 1     -> reply\n"
		       "answers new begun 1 answered 1 timed 1 bucket over\n"},
	{.name = "the server speaks first: answered, not timed",
	 .text = OPEN "backend PA len 20    -> reply\n"
		      "answers new begun 1 answered 1\n"
		      "client PA len 100    -> forward\n"
		      "backend PA len 900   -> reply\n"
		      "answers new begun 1 answered 1\n"},
	{.name = "an answer with a FIN is one",
	 .text = ASKED "backend FPA len 30   -> reply\n"
		       "answers new begun 1 answered 1 timed 1\n"},
	{.name = "the client half-closes after its request and is answered",
	 .text = ASKED "client FA            -> forward\n"
		       "backend A            -> reply\n"
		       "answers new begun 1\n"
		       "backend PA len 900   -> reply\n"
		       "backend FA           -> reply\n"
		       "client A             -> forward\n"
		       "answers new begun 1 answered 1 timed 1\n"},
	{.name = "a flow that never asks is begun, and no more",
	 .text = OPEN "answers new begun 1\n"
		      "client FA            -> forward\n"
		      "backend FA           -> reply\n"
		      "client A             -> forward\n"
		      "answers new begun 1\n"},
	{.name = "a flow that never asks, and the backend closes",
	 .text = OPEN "backend FA           -> reply\n"
		      "client FA            -> forward\n"
		      "backend A            -> reply\n"
		      "answers new begun 1\n"},
	{.name = "a SYN that stays local is none of the new arm's",
	 .text = "watched no\n"
		 "client S             -> local_syn +old\n"
		 "answers new\n"},
};

static const struct tale failures[] = {
	{.name = "refused",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend RA           -> reply +failure\n"
		 "answers new begun 1 failed 1 clients 1 refused 1\n"},
	{.name = "refused after a SYN-ACK",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "backend RA           -> reply +failure\n"
		 "answers new begun 1 failed 1 clients 1 refused 1\n"},
	{.name = "a refusal of another SYN is none",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend RA ack 70000 -> reply\n"
		 "answers new begun 1\n"},
	{.name = "rescued: unanswered",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "time 300ms\n"
		 "client S again       -> forward +resyn\n"
		 "answers new begun 1\n"
		 "time 300ms\n"
		 "client S again       -> rescued +resyn +failure +rescued\n"
		 "answers new begun 1 failed 1 clients 1 unanswered 1\n"
		 "answers old\n"},
	{.name = "a RST of the backend before its first data",
	 .text = ASKED "backend RA           -> reply +reset\n"
		       "answers new begun 1 failed 1 clients 1 reset 1\n"},
	{.name = "the same of a flow that has not asked",
	 .text = OPEN "backend RA           -> reply +reset\n"
		      "answers new begun 1 failed 1 clients 1 reset 1\n"},
	{.name = "a RST of the backend after its first data",
	 .text = ASKED "backend PA len 10    -> reply\n"
		       "client A             -> forward\n"
		       "backend RA           -> reply +reset\n"
		       "answers new begun 1 answered 1 timed 1\n"},
	{.name = "Fast Open: a RST after the answer, before the handshake's last packet",
	 .text = "weight 100\n"
		 "client S len 200     -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "backend PA len 500   -> reply\n"
		 "backend RA           -> reply +failure\n"
		 "answers new begun 1 answered 1\n"},
	{.name = "a guessed RST in the backend's name",
	 .text = ASKED "backend RA seq 70000 -> reply\n"
		       "backend RA seq -1    -> reply\n"
		       "answers new begun 1\n"},
	{.name = "the backend closes without an answer",
	 .text = ASKED "backend FA           -> reply\n"
		       "answers new begun 1 failed 1 clients 1 closed 1\n"},
	{.name = "the backend closes after its answer",
	 .text = ASKED "backend PA len 10    -> reply\n"
		       "client A             -> forward\n"
		       "client PA len 10     -> forward\n"
		       "backend FA           -> reply\n"
		       "answers new begun 1 answered 1 timed 1\n"},
	{.name = "a guessed FIN is none",
	 .text = ASKED "backend FA seq 100000000 -> reply\n"
		       "answers new begun 1\n"},
	{.name = "the client resets while it waits: it gave up",
	 .text = ASKED "backend A            -> reply\n"
		       "client R             -> forward +reset\n"
		       "answers new begun 1 failed 1 gave_up 1\n"},
	{.name = "a client closes after it has waited for a second: it gave up, whatever follows",
	 .text = ASKED "backend A            -> reply\n"
		       "time 2s\n"
		       "client FA            -> forward\n"
		       "answers new begun 1 failed 1 gave_up 1\n"
		       "backend PA len 10    -> reply\n"
		       "answers new begun 1 failed 1 gave_up 1\n"},
	{.name = "it closes at once, and is answered: half a close is none",
	 .text = ASKED "client FA            -> forward\n"
		       "time 2s\n"
		       "backend PA len 10    -> reply\n"
		       "answers new begun 1 answered 1 timed 1\n"},
	{.name = "a guessed RST in the client's name",
	 .text = ASKED "backend A            -> reply\n"
		       "client R seq 70000   -> forward\n"
		       "client R seq -1      -> forward\n"
		       "answers new begun 1\n"},
	{.name = "the client resets and had not asked",
	 .text = OPEN "client R             -> forward +reset\n"
		      "answers new begun 1\n"},
	{.name = "the client resets and was answered",
	 .text = ASKED "backend PA len 10    -> reply\n"
		       "client A             -> forward\n"
		       "client R             -> forward +reset\n"
		       "answers new begun 1 answered 1 timed 1\n"},
	{.name = "the client resets in the handshake",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "client R             -> forward\n"
		 "answers new begun 1\n"},
	{.name = "a flow fails once: closed, then reset by both",
	 .text = ASKED "backend FA           -> reply\n"
		       "backend RA           -> reply +reset\n"
		       "client R             -> forward +reset\n"
		       "answers new begun 1 failed 1 clients 1 closed 1\n"},
	{.name = "a RST ahead of its time is none yet, and the flow fails once",
	 .text = ASKED "backend A            -> reply\n"
		       "backend RA seq 100   -> reply +reset\n"
		       "answers new begun 1\n"
		       "client R             -> forward +reset\n"
		       "answers new begun 1 failed 1 gave_up 1\n"
		       "backend RA           -> reply\n"
		       "answers new begun 1 failed 1 gave_up 1\n"},
	{.name = "a cut is no failure",
	 .text = ASKED "cut older\n"
		       "client A             -> cut\n"
		       "backend RA           -> reply\n"
		       "answers new in 2 begun 1\n"},
};

/* ---- ports that are taken anew: each target has one ---- */

static void one_port(struct story *s, const char *text)
{
	struct rig_shape shape = rig_usual;

	shape.ports = 1;
	shape.shards = 1;
	rig_reset(s->rig, &shape);
	tell(s, "%s", text);
}

static void syn_taken(struct story *s)
{
	one_port(s, "weight 100\n"
		    "client S             -> forward +new\n"
		    "time 61s\n"
		    "answers new begun 1\n"
		    "another\n"
		    "client S             -> forward +new +failure\n"
		    "place same\n"
		    "answers new begun 2 failed 1 clients 1 unanswered 1\n"
		    "backend SA           -> reply +handshake\n"
		    "client PA len 10     -> forward\n"
		    "backend PA len 10    -> reply\n"
		    "answers new begun 2 answered 1 timed 1 failed 1 clients 1 unanswered 1\n");
}

static void wait_taken(struct story *s)
{
	one_port(s, ASKED "backend A            -> reply\n"
			  "time 7441s\n"
			  "another\n"
			  "client S             -> forward +new\n"
			  "place same\n"
			  "answers new begun 2 failed 1 gave_up 1\n");
}

static void reset_taken(struct story *s)
{
	one_port(s, ASKED "backend RA seq 100   -> reply +reset\n"
			  "answers new begun 1\n"
			  "time 243s\n"
			  "another\n"
			  "client S             -> forward +new\n"
			  "place same\n"
			  "answers new begun 2 failed 1 clients 1 reset 1\n");
}

static void answered_taken(struct story *s)
{
	one_port(s, ASKED "backend PA len 1     -> reply\n"
			  "client PA len 10     -> forward\n"
			  "time 7441s\n"
			  "another\n"
			  "client S             -> forward +new\n"
			  "answers new begun 2 answered 1 timed 1\n");
}

static void idle_taken(struct story *s)
{
	one_port(s, OPEN "time 7441s\n"
			 "another\n"
			 "client S             -> forward +new\n"
			 "answers new begun 2\n");
}

/* It failed when it was refused, and does not once more; the next of the port may fail, too. */
static void failed_taken(struct story *s)
{
	one_port(s, ASKED "backend RA           -> reply +reset\n"
			  "time 6s\n"
			  "another\n"
			  "client S             -> forward +new\n"
			  "place same\n"
			  "answers new begun 2 failed 1 clients 1 reset 1\n"
			  "backend RA           -> reply +failure\n"
			  "answers new begun 2 failed 2 clients 1 reset 1 refused 1\n");
}

static void cut_taken(struct story *s)
{
	one_port(s, ASKED "cut flow\n"
			  "time 7441s\n"
			  "another\n"
			  "client S             -> forward +new\n"
			  "place same\n"
			  "answers new begun 2\n");
}

static void cut_before_taken(struct story *s)
{
	one_port(s, ASKED "cut older\n"
			  "time 7441s\n"
			  "another\n"
			  "client S             -> forward +new\n"
			  "place same\n"
			  "answers new spread begun 2\n");
}

static void cut_told_taken(struct story *s)
{
	one_port(s, ASKED "cut flow\n"
			  "client A             -> cut\n"
			  "time 71s\n"
			  "another\n"
			  "client S             -> forward +new\n"
			  "place same\n"
			  "answers new begun 2\n");
}

static const struct tale taken[] = {
	{.name = "a SYN that nothing answered", .more = syn_taken},
	{.name = "a client that waits", .more = wait_taken},
	{.name = "a RST that was ahead of its time, and nothing after it", .more = reset_taken},
	{.name = "a client that was answered once, and waits again", .more = answered_taken},
	{.name = "a client that never asked", .more = idle_taken},
	{.name = "a flow that failed before", .more = failed_taken},
	{.name = "a flow that was to be cut, and sent nothing", .more = cut_taken},
	{.name = "a flow of before a cut, that sent nothing", .more = cut_before_taken},
	{.name = "a flow that was cut", .more = cut_told_taken},
};

void cases_answer(struct rig *rig, const struct net *net)
{
#define CHAPTER(name, tales) tell_all(rig, net, name, tales, sizeof(tales) / sizeof(tales[0]))
	cpu_set_t before;

	rig_one_cpu(&before);
	CHAPTER("answers", answers);
	CHAPTER("failures", failures);
	CHAPTER("failures, the port taken anew", taken);
	rig_all_cpus(&before);
#undef CHAPTER
}
