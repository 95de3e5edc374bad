/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_watch.c - how the old arm answers: the connections that are watched, as far as the egress
 * shows it
 */
#include <stdlib.h>
#include <string.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/check.h"
#include "tests/bpf/play.h"

#define SENT                                                                                       \
	"watched yes\n"                                                                            \
	"client S             -> local_syn +old\n"                                                 \
	"answers old begun 1\n"
#define OPEN                                                                                       \
	SENT "host says SA\n"                                                                      \
	     "client A             -> local\n"
#define ASKED OPEN "client PA len 100    -> local\n"

static const struct tale answers[] = {
	{.name = "asked and answered: timed once, later data not again",
	 .text = ASKED "host says A\n"
		       "answers old begun 1\n"
		       "client PA len 20     -> local\n"
		       "host says PA len 900\n"
		       "answers old begun 1 answered 1 timed 1\n"
		       "host says PA len 900\n"
		       "client PA len 10     -> local\n"
		       "host says PA len 900\n"
		       "answers old begun 1 answered 1 timed 1\n"
		       "answers new\n"},
	{.name = "the time is from the first data on, not from the second",
	 .text = ASKED "time 3200ms\n"
		       "client PA len 20     -> local\n"
		       "host says PA len 1\n"
		       "answers old begun 1 answered 1 timed 1 bucket 4s\n"},
	{.name = "nor from the handshake",
	 .text = OPEN "time 5s\n"
		      "client PA len 20     -> local\n"
		      "time 3200ms\n"
		      "host says PA len 1\n"
		      "answers old begun 1 answered 1 timed 1 bucket 4s\n"},
	{.name = "data in place of the handshake's last packet asks",
	 .text = SENT "host says SA\n"
		      "client PA len 20     -> local\n"
		      "time 3200ms\n"
		      "host says PA len 1\n"
		      "answers old begun 1 answered 1 timed 1 bucket 4s\n"},
	{.name = "the server speaks first: answered, not timed",
	 .text = OPEN "host says PA len 20\n"
		      "answers old begun 1 answered 1\n"
		      "client PA len 100    -> local\n"
		      "host says PA len 900\n"
		      "answers old begun 1 answered 1\n"},
	{.name = "an answer with a FIN is one",
	 .text = ASKED "host says FPA len 30\n"
		       "answers old begun 1 answered 1 timed 1\n"},
	{.name = "the client half-closes after its request and is answered",
	 .text = ASKED "client FA            -> local\n"
		       "host says A\n"
		       "host says PA len 900\n"
		       "host says FA\n"
		       "client A             -> local\n"
		       "answers old begun 1 answered 1 timed 1\n"},
	{.name = "a connection that never asks is begun, and no more",
	 .text = OPEN "client FA            -> local\n"
		      "host says FA\n"
		      "client A             -> local\n"
		      "answers old begun 1\n"},
	{.name = "one that is not watched counts nothing, answered",
	 .text = "watched no\n"
		 "client S             -> local_syn +old\n"
		 "host says SA\n"
		 "client PA len 100    -> local\n"
		 "host says PA len 10\n"
		 "answers old\n"},
	{.name = "one that is not watched counts nothing, refused",
	 .text = "watched no\n"
		 "client S             -> local_syn +old\n"
		 "host says RA\n"
		 "answers old\n"},
	{.name = "one that is not watched counts nothing, its SYN again and again",
	 .text = "watched no\n"
		 "client S             -> local_syn +old\n"
		 "time 1s\n"
		 "client S again       -> local_repeat +repeat\n"
		 "time 1s\n"
		 "client S again       -> local_repeat +repeat\n"
		 "answers old\n"},
	{.name = "no handshake was seen at the egress: watched no longer",
	 .text = SENT "client A             -> local\n"
		      "client PA len 10     -> local\n"
		      "host says PA len 10\n"
		      "host says RA\n"
		      "time 65s\n"
		      "client S anew        -> local_syn +old\n"
		      "answers old begun 2\n"},
	{.name = "of a connection that began before it was looked at, nothing",
	 .text = "watched yes\n"
		 "client A             -> local\n"
		 "host says SA\n"
		 "client PA len 10     -> local\n"
		 "host says PA len 10\n"
		 "host says RA\n"
		 "answers old\n"},
	{.name = "the host's own, from a listen port to elsewhere",
	 .text = ASKED "host says PA len 10 to 7\n"
		       "host says PA len 10 at 20001\n"
		       "host says PA len 10 at 444\n"
		       "answers old begun 1\n"},
};

static const struct tale failures[] = {
	{.name = "refused",
	 .text = SENT "host says RA\n"
		      "answers old begun 1 failed 1 clients 1 refused 1\n"
		      "host says RA\n"
		      "answers old begun 1 failed 1 clients 1 refused 1\n"},
	{.name = "a SYN that is sent twice again: unanswered",
	 .text = SENT "time 300ms\n"
		      "client S again       -> local_repeat +repeat\n"
		      "answers old begun 1\n"
		      "time 300ms\n"
		      "client S again       -> local_repeat +repeat\n"
		      "answers old begun 1 failed 1 clients 1 unanswered 1\n"
		      "time 300ms\n"
		      "client S again       -> local_repeat +repeat\n"
		      "host says RA\n"
		      "answers old begun 1 failed 1 clients 1 unanswered 1\n"},
	{.name = "copies of a SYN at once are no repetitions",
	 .text = SENT "client S again       -> local_repeat +repeat\n"
		      "client S again       -> local_repeat +repeat\n"
		      "client S again       -> local_repeat +repeat\n"
		      "answers old begun 1\n"
		      "time 300ms\n"
		      "client S again       -> local_repeat +repeat\n"
		      "client S again       -> local_repeat +repeat\n"
		      "answers old begun 1\n"
		      "host says SA\n"
		      "client PA len 10     -> local\n"
		      "host says PA len 10\n"
		      "answers old begun 1 answered 1 timed 1\n"},
	{.name = "a SYN that comes again after its answer is none",
	 .text = SENT "host says SA\n"
		      "time 300ms\n"
		      "client S again       -> local_repeat +repeat\n"
		      "time 300ms\n"
		      "client S again       -> local_repeat +repeat\n"
		      "answers old begun 1\n"},
	{.name = "a RST before the first data, asked",
	 .text = ASKED "host says RA\n"
		       "answers old begun 1 failed 1 clients 1 reset 1\n"},
	{.name = "a RST before the first data, not asked",
	 .text = OPEN "host says RA\n"
		      "answers old begun 1 failed 1 clients 1 reset 1\n"},
	{.name = "a RST after the first data",
	 .text = ASKED "host says PA len 10\n"
		       "host says RA\n"
		       "answers old begun 1 answered 1 timed 1\n"},
	{.name = "the host closes without an answer",
	 .text = ASKED "host says FA\n"
		       "answers old begun 1 failed 1 clients 1 closed 1\n"
		       "host says RA\n"
		       "client R             -> local\n"
		       "answers old begun 1 failed 1 clients 1 closed 1\n"},
	{.name = "the host closes what never asked: watched no longer",
	 .text = OPEN "host says FA\n"
		      "client PA len 10     -> local\n"
		      "host says RA\n"
		      "answers old begun 1\n"},
	{.name = "the client resets while it waits: it gave up",
	 .text = ASKED "host says A\n"
		       "client R             -> local\n"
		       "answers old begun 1 failed 1 gave_up 1\n"
		       "client R             -> local\n"
		       "host says RA\n"
		       "answers old begun 1 failed 1 gave_up 1\n"},
	{.name = "it closes after it has waited for a second: it gave up",
	 .text = ASKED "host says A\n"
		       "time 2s\n"
		       "client FA            -> local\n"
		       "answers old begun 1 failed 1 gave_up 1\n"},
	{.name = "it closes at once, and is answered: half a close is none",
	 .text = ASKED "client FA            -> local\n"
		       "time 2s\n"
		       "host says PA len 10\n"
		       "answers old begun 1 answered 1 timed 1\n"},
	{.name = "with data under way before its RST, too",
	 .text = ASKED "host says A\n"
		       "client R seq 60000   -> local\n"
		       "answers old begun 1 failed 1 gave_up 1\n"},
	{.name = "a guessed RST in the client's name",
	 .text = ASKED "host says A\n"
		       "client R seq 70000   -> local\n"
		       "client R seq -1      -> local\n"
		       "answers old begun 1\n"
		       "host says PA len 10\n"
		       "answers old begun 1 answered 1 timed 1\n"},
	{.name = "the client resets and had not asked: watched no longer",
	 .text = OPEN "client R             -> local\n"
		      "host says RA\n"
		      "answers old begun 1\n"},
	{.name = "the client resets and was answered",
	 .text = ASKED "host says PA len 10\n"
		       "client R             -> local\n"
		       "answers old begun 1 answered 1 timed 1\n"},
	{.name = "the same client again and again is one",
	 .text = SENT "host says RA\n"
		      "client S anew        -> local_syn +old\n"
		      "host says RA\n"
		      "answers old begun 2 failed 2 clients 1 refused 2\n"
		      "time 61s\n"
		      "client S anew        -> local_syn +old\n"
		      "host says RA\n"
		      "answers old begun 3 failed 3 clients 1 refused 3\n"},
	{.name = "it counts to the epoch that it began in",
	 .text = ASKED "weight 10\n"
		       "weight 20\n"
		       "host says FA\n"
		       "answers old in 1 begun 1 failed 1 clients 1 closed 1\n"},
	{.name = "and so does its answer",
	 .text = ASKED "weight 10\n"
		       "weight 20\n"
		       "host says PA len 1\n"
		       "answers old in 1 begun 1 answered 1 timed 1\n"},
};

/* ---- the places ---- */

static uint32_t place(const struct story *s)
{
	return rig_watch_place(&s->client_end, RIG_LISTEN(s->v6));
}

static struct shift_watch watch(const struct story *s)
{
	struct shift_watch w;
	uint32_t key = place(s);

	rig_get(s->rig, RIG_WATCHES, &key, &w);
	return w;
}

/* The connection that is watched there becomes another's. */
static void others(struct story *s)
{
	struct shift_watch w = watch(s);
	uint32_t key = place(s);

	CHECK(w.state != SHIFT_WATCH_FREE, "the place is free");
	w.client_port ^= 0xffff;
	rig_put(s->rig, RIG_WATCHES, &key, &w);
}

static void taken_syn(struct story *s)
{
	tell(s, SENT);
	others(s);
	tell(s, "client S anew        -> local_syn +old\n"
		"host says RA\n"
		"answers old begun 1\n"
		"time 63s\n"
		"client S anew        -> local_syn +old\n"
		"answers old begun 1\n"
		"time 2s\n"
		"client S anew        -> local_syn +old\n"
		"answers old begun 2 failed 1 clients 1 unanswered 1\n"
		"host says SA\n"
		"client PA len 1      -> local\n"
		"host says PA len 1\n"
		"answers old begun 2 answered 1 timed 1 failed 1 clients 1 unanswered 1\n");
}

static void taken_open(struct story *s)
{
	tell(s, OPEN);
	others(s);
	tell(s, "time 119s\n"
		"client S anew        -> local_syn +old\n"
		"answers old begun 1\n"
		"time 3s\n"
		"client S anew        -> local_syn +old\n"
		"answers old begun 2\n");
}

static void taken_unheard(struct story *s)
{
	tell(s, SENT "host says SA\n");
	others(s);
	tell(s, "time 1s\n"
		"client S anew        -> local_syn +old\n"
		"answers old begun 1\n"
		"time 2s\n"
		"client S anew        -> local_syn +old\n"
		"answers old begun 2\n");
}

static void taken_asked(struct story *s)
{
	tell(s, OPEN "time 10s\n"
		     "client PA len 1      -> local\n");
	others(s);
	tell(s, "time 119s\n"
		"client S anew        -> local_syn +old\n"
		"answers old begun 1\n"
		"time 3s\n"
		"client S anew        -> local_syn +old\n"
		"answers old begun 2 failed 1 gave_up 1\n");
}

static void free_again(struct story *s)
{
	tell(s, ASKED "host says PA len 1\n");
	CHECK(watch(s).state == SHIFT_WATCH_FREE, "answered, it has its place");
	tell(s, "client S anew        -> local_syn +old\n"
		"answers old begun 2 answered 1 timed 1\n");
	CHECK(watch(s).state == SHIFT_WATCH_SYN, "it has no place");
}

static const struct tale places[] = {
	{.name = "of a SYN, for 64 s", .more = taken_syn},
	{.name = "of an open connection, for 120 s", .more = taken_open},
	{.name = "of one that its client never acknowledged, for 2 s", .more = taken_unheard},
	{.name = "of one that asked, for 120 s", .more = taken_asked},
	{.name = "is free when it is answered", .more = free_again},
	{.name = "the client's own next connection has it",
	 .text = ASKED "client S anew        -> local_syn +old\n"
		       "host says SA\n"
		       "client PA len 1      -> local\n"
		       "host says PA len 1\n"
		       "answers old begun 2 answered 1 timed 1\n"},
};

/* ---- which connections ---- */

#define SHIFTED                                                                                    \
	"weight 100\n"                                                                             \
	"watched yes\n"                                                                            \
	"client S             -> forward +new\n"

static const struct tale arms[] = {
	{.name = "a shifted flow's packets at the egress are not the old arm's",
	 .text = SHIFTED "host says SA\n"
			 "backend SA           -> reply +handshake\n"
			 "client PA len 10     -> forward\n"
			 "host says PA len 10\n"
			 "backend PA len 10    -> reply\n"
			 "host says FA\n"
			 "host says RA\n"
			 "answers old\n"
			 "answers new begun 1 answered 1 timed 1\n"},
	{.name = "nor when the tuple's SYN before was left local: refused",
	 .text = SENT "weight 100\n"
		      "client S anew        -> forward +new\n"
		      "host says RA\n"
		      "answers old in 1 begun 1\n"},
	{.name = "nor when the tuple's SYN before was left local: answered",
	 .text = SENT "weight 100\n"
		      "client S anew        -> forward +new\n"
		      "host says SA\n"
		      "host says PA len 10\n"
		      "answers old in 1 begun 1\n"},
	{.name = "what falls back is watched",
	 .text = "weight 100\n"
		 "watched yes\n"
		 "full ports\n"
		 "client S             -> fallback +old +ports_exhausted\n"
		 "answers old begun 1\n"
		 "host says RA\n"
		 "answers old begun 1 failed 1 clients 1 refused 1\n"
		 "answers new\n"},
	{.name = "what would have been shifted is watched",
	 .text = "weight 100\n"
		 "shadow on\n"
		 "watched yes\n"
		 "client S             -> local_syn +old +shadow\n"
		 "answers old begun 1\n"
		 "answers new\n"},
	{.name = "what goes by is not",
	 .text = "watched yes\n"
		 "pin bypass\n"
		 "client S             -> bypass +bypassed\n"
		 "host says RA\n"
		 "answers old\n"},
	{.name = "what is reset is not",
	 .text = "weight 100\n"
		 "authority new\n"
		 "watched yes\n"
		 "full ports\n"
		 "client S             -> reset_unable +old +ports_exhausted\n"
		 "answers old\n"},
	{.name = "a client that is rescued has failed on the new arm, and is not watched on the old",
	 .text = SHIFTED "time 300ms\n"
			 "client S again       -> forward +resyn\n"
			 "time 300ms\n"
			 "client S again       -> rescued +resyn +failure +rescued\n"
			 "host says SA\n"
			 "client PA len 10     -> local\n"
			 "host says PA len 10\n"
			 "answers old\n"
			 "answers new begun 1 failed 1 clients 1 unanswered 1\n"},
};

/* ---- what is no answer ---- */

static void not_one(struct story *s, const struct frame *f, const char *what)
{
	story_leaves(s, f, what);
	CHECK(watch(s).state == SHIFT_WATCH_ASKED, "%s: it is not watched as before", what);
}

static void answer_of(const struct story *s, struct frame *ret, const uint8_t *ip_options,
		      size_t n_ip_options)
{
	static const uint8_t options[] = {1, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0};
	struct segment seg = {.src = rig_listen_end(s->v6),
			      .dst = s->client_end,
			      .seq = s->server.next,
			      .ack = s->client.next,
			      .flags = TCP_PSH | TCP_ACK,
			      .ttl = 64,
			      .options = options,
			      .n_options = sizeof(options),
			      .ip_options = ip_options,
			      .n_ip_options = n_ip_options,
			      .payload = 10};

	frame_build(ret, &seg);
	frame_swap_macs(ret);
}

static void changed(struct story *s, const struct frame *good, size_t at, uint8_t to,
		    const char *what)
{
	static struct frame f;

	f = *good;
	f.data[at] = to;
	not_one(s, &f, what);
}

static void malformed(struct story *s)
{
	static struct frame good, f;
	size_t l4, ip = FRAME_L3;

	tell(s, ASKED);
	if (s->over)
		return;
	answer_of(s, &good, NULL, 0);
	l4 = frame_l4(&good);
	for (size_t len = l4; len < good.len; len++) {
		f = good;
		f.len = len;
		not_one(s, &f, "cut short");
	}
	changed(s, &good, l4 + 12, 4 << 4, "a TCP header of 16 bytes");
	changed(s, &good, l4 + 12, 15 << 4, "a TCP header longer than the packet");
	changed(s, &good, ip, s->v6 ? 0x50 : 0x55, "another version");
	changed(s, &good, ip + (s->v6 ? 4 : 2), 1, "longer than it is");
	changed(s, &good, ip + (s->v6 ? 5 : 3), s->v6 ? 19 : 39, "shorter than its headers");
	changed(s, &good, ip + (s->v6 ? 6 : 9), 47, "another protocol");
	changed(s, &good, ip + (s->v6 ? 6 : 9), 17, "UDP");
	changed(s, &good, ip + (s->v6 ? 6 : 9), s->v6 ? 58 : 1, "ICMP");
	changed(s, &good, l4 + 1, good.data[l4 + 1] ^ 1, "from another port");
	changed(s, &good, l4 + 3, good.data[l4 + 3] ^ 1, "to another port");
	changed(s, &good, ip + (s->v6 ? 23 : 15), 77, "from another address");
	changed(s, &good, ip + (s->v6 ? 39 : 19), good.data[ip + (s->v6 ? 39 : 19)] ^ 1,
		"to another address");
	changed(s, &good, 13, s->v6 ? 0 : 6, "no IP");
	if (!s->v6) {
		changed(s, &good, ip, 0x44, "an IP header of 16 bytes");
		changed(s, &good, ip + 7, 5, "a later fragment");
	}
	f = good;
	memmove(f.data + 16, f.data + 12, f.len - 12);
	f.len += 4;
	frame_put16(&f, 12, 0x8100);
	frame_put16(&f, 14, 5);
	not_one(s, &f, "with a VLAN tag");
	changed(s, &good, l4 + 13, TCP_ACK | TCP_SYN, "data with a SYN");
	story_leaves(s, &good, "as it should be");
	tell(s, "answers old begun 1 answered 1 timed 1\n");
}

/* Options and extension headers before it hide no answer. */
static void behind_headers(struct story *s)
{
	static const uint8_t options[] = {7, 7, 4, 1, 2, 3, 4, 1};
	static const uint8_t types[] = {HEADER_OPTIONS, HEADER_HOPS};
	static struct frame f;

	tell(s, ASKED);
	if (s->over)
		return;
	answer_of(s, &f, options, s->v6 ? 0 : sizeof(options));
	if (s->v6)
		frame_extend(&f, types, 1, NULL);
	story_leaves(s, &f, "behind options");
	tell(s, "answers old begun 1 answered 1 timed 1\n");
}

static const struct tale frames[] = {
	{.name = "malformed, short and other packets", .more = malformed},
	{.name = "an answer behind options", .more = behind_headers},
};

void cases_watch(struct rig *rig, const struct net *net)
{
#define CHAPTER(name, tales) tell_all(rig, net, name, tales, sizeof(tales) / sizeof(tales[0]))
	cpu_set_t before;

	rig_one_cpu(&before);
	CHAPTER("watched", answers);
	CHAPTER("watched, failures", failures);
	CHAPTER("watched, the place", places);
	CHAPTER("watched, which", arms);
	CHAPTER("the host's packets", frames);
	rig_all_cpus(&before);
#undef CHAPTER
}
