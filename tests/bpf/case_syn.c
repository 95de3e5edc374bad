/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_syn.c - a SYN is answered once: repetitions, the host's own sockets, SYN cookies, the
 * rescue, tuples that are used anew, and flags that no honest client sends
 *
 * The usual client has a rank between 25 and 50 %.
 */
#include "tests/bpf/cases.h"
#include "tests/bpf/story.h"

static const struct tale repeating[] = {
	{.name = "left local, then the share rises: still local",
	 .text = "weight 25\n"
		 "client S             -> local_syn +old\n"
		 "client S again       -> local_repeat +repeat\n"
		 "weight 100\n"
		 "client S again       -> local_repeat +repeat\n"
		 "client S again       -> local_repeat +repeat\n"
		 "flow none\n"
		 "client A             -> local\n"
		 "client PA len 10     -> local\n"},
	{.name = "shifted, then the share falls: still shifted",
	 .text = "weight 50\n"
		 "client S             -> forward +new\n"
		 "weight 0\n"
		 "time 300ms\n"
		 "client S again       -> forward +resyn\n"
		 "backend SA           -> reply +handshake\n"
		 "client S again       -> forward\n"
		 "client A             -> forward\n"
		 "client S again       -> forward\n"
		 "flow established for 2h4m\n"},
	{.name = "left local: remembered as long as it is repeated, and 65 s more",
	 .text = "weight 25\n"
		 "client S             -> local_syn +old\n"
		 "weight 100\n"
		 "time 64s\n"
		 "client S again       -> local_repeat +repeat\n"
		 "time 64s\n"
		 "client S again       -> local_repeat +repeat\n"
		 "time 66s\n"
		 "client S again       -> forward +new\n"},
	{.name = "left local, then used anew with another number: a new decision",
	 .text = "weight 25\n"
		 "client S             -> local_syn +old\n"
		 "weight 100\n"
		 "client S anew        -> forward +new\n"},
	{.name = "left local by rollback between a SYN and its repetition",
	 .text = "weight 100\n"
		 "rollback\n"
		 "client S             -> local_syn +old\n"
		 "client S again       -> local_repeat +repeat\n"},
	{.name = "the host is answering: its socket alone keeps the SYN local",
	 .text = "host listens\n"
		 "weight 25\n"
		 "client S             -> local_syn +old\n"
		 "host hears\n"
		 "host answers SA\n"
		 "forget syns\n"
		 "weight 100\n"
		 "client S again       -> local_repeat +repeat\n"
		 "client A             -> local\n"
		 "host hears\n"
		 "host accepts\n"},
	{.name = "what the socket said is remembered from then on",
	 .text = "host listens\n"
		 "client S             -> local_syn +old\n"
		 "host hears\n"
		 "host answers SA\n"
		 "forget syns\n"
		 "weight 100\n"
		 "client S again       -> local_repeat +repeat\n"
		 "client R             -> local\n"
		 "host hears\n"
		 "client S again       -> local_repeat +repeat\n"},
	{.name = "the host has the connection: a SYN of its tuple is local, repeated or anew",
	 .text = "host listens\n"
		 "client S             -> local_syn +old\n"
		 "host hears\n"
		 "host answers SA\n"
		 "client A             -> local\n"
		 "host hears\n"
		 "host accepts\n"
		 "forget syns\n"
		 "weight 100\n"
		 "client S again       -> local_repeat +repeat\n"
		 "client PA len 33     -> local\n"
		 "host hears\n"
		 "host got 33\n"
		 "client S anew        -> local_repeat +repeat\n"},
	{.name = "the host only keeps TIME_WAIT: the tuple is free for the new arm",
	 .text = "host listens\n"
		 "client S             -> local_syn +old\n"
		 "host hears\n"
		 "host answers SA\n"
		 "client A             -> local\n"
		 "host hears\n"
		 "host accepts\n"
		 "host closes\n"
		 "host answers FA\n"
		 "client FA            -> local\n"
		 "host hears\n"
		 "host answers A\n"
		 "weight 100\n"
		 "client S anew        -> forward +new\n"},
	{.name = "only a listener: the SYN is shifted",
	 .text = "host listens\n"
		 "weight 100\n"
		 "client S             -> forward +new\n"},
};

static const struct tale cookies[] = {
	{.name = "the host answers by cookie: the SYN is remembered",
	 .text = "host listens\n"
		 "host cookies\n"
		 "weight 25\n"
		 "client S             -> local_syn +old\n"
		 "host hears\n"
		 "host answers SA\n"
		 "weight 100\n"
		 "client S again       -> local_repeat +repeat\n"
		 "client A             -> local\n"
		 "host hears\n"
		 "host accepts\n"},
	{.name = "forgotten and shifted: the client acknowledges the host's number before the backend answers",
	 .text = "host listens\n"
		 "host cookies\n"
		 "weight 25\n"
		 "client S             -> local_syn +old\n"
		 "host hears\n"
		 "host answers SA\n"
		 "forget syns\n"
		 "weight 100\n"
		 "client S again       -> forward +new\n"
		 "client A             -> local\n"
		 "flow none\n"
		 "port abandoned\n"
		 "host hears\n"
		 "host accepts\n"
		 "client PA len 21     -> local\n"
		 "host hears\n"
		 "host got 21\n"
		 "backend SA           -> reply_unknown\n"
		 "time 69s\n"
		 "port abandoned for 1s\n"},
	{.name = "forgotten and shifted: the backend answered, the client acknowledges the host's number",
	 .text = "host listens\n"
		 "host cookies\n"
		 "weight 25\n"
		 "client S             -> local_syn +old\n"
		 "host hears\n"
		 "host answers SA\n"
		 "forget syns\n"
		 "weight 100\n"
		 "client S again       -> forward +new\n"
		 "backend SA lost      -> reply +handshake\n"
		 "client PA len 21     -> local\n"
		 "flow none\n"
		 "port abandoned\n"
		 "host hears\n"
		 "host accepts\n"
		 "host got 21\n"
		 "backend SA again     -> reply_unknown\n"},
};

static const struct tale rescuing[] = {
	{.name = "a backend that never answers: the third SYN is for the host",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "time 300ms\n"
		 "client S again       -> forward +resyn\n"
		 "time 300ms\n"
		 "client S again       -> rescued +resyn +failure +rescued\n"
		 "flow none\n"
		 "port abandoned\n"
		 "client S again       -> local_repeat +repeat\n"
		 "backend SA           -> reply_unknown\n"
		 "client A             -> local\n"
		 "time 69s\n"
		 "port abandoned for 1s\n"},
	{.name = "a rescued client is served by the host",
	 .text = "host listens\n"
		 "weight 100\n"
		 "client S             -> forward +new\n"
		 "time 300ms\n"
		 "client S again       -> forward +resyn\n"
		 "time 300ms\n"
		 "client S again       -> rescued +resyn +failure +rescued\n"
		 "host hears\n"
		 "host answers SA\n"
		 "client A             -> local\n"
		 "host hears\n"
		 "host accepts\n"
		 "client PA len 7      -> local\n"
		 "host hears\n"
		 "host got 7\n"},
	{.name = "the backend answers the second SYN: no rescue",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "time 300ms\n"
		 "client S again       -> forward +resyn\n"
		 "backend SA           -> reply +handshake\n"
		 "client S again       -> forward\n"
		 "client S again       -> forward\n"
		 "client S again       -> forward\n"
		 "backend SA again     -> reply\n"
		 "client A             -> forward\n"
		 "flow established\n"},
	{.name = "the rescue at share 0 is the same",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "rollback\n"
		 "time 300ms\n"
		 "client S again       -> forward +resyn\n"
		 "time 300ms\n"
		 "client S again       -> rescued +resyn +failure +rescued\n"
		 "flow none\n"},
	{.name = "the rescue with authority new is a RST",
	 .text = "weight 100\n"
		 "authority new\n"
		 "client S             -> forward +new\n"
		 "time 300ms\n"
		 "client S again       -> forward +resyn\n"
		 "time 300ms\n"
		 "client S again       -> reset_unable +resyn +failure +rescued\n"
		 "flow none\n"
		 "port abandoned\n"},
	{.name = "the rescue with authority new and on_unable local",
	 .text = "weight 100\n"
		 "authority new\n"
		 "on_unable local\n"
		 "client S             -> forward +new\n"
		 "time 300ms\n"
		 "client S again       -> forward +resyn\n"
		 "time 300ms\n"
		 "client S again       -> rescued +resyn +failure +rescued\n"},
	{.name = "the next connection of a rescued client is shifted again",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "time 300ms\n"
		 "client S again       -> forward +resyn\n"
		 "time 300ms\n"
		 "client S again       -> rescued +resyn +failure +rescued\n"
		 "client S anew        -> forward +new\n"
		 "place other\n"
		 "port before abandoned for 70s\n"},
};

#define OPEN                                                                                       \
	"weight 100\n"                                                                             \
	"client S             -> forward +new\n"                                                   \
	"backend SA           -> reply +handshake\n"                                               \
	"client A             -> forward\n"

static const struct tale anew[] = {
	{.name = "the tuple of an unanswered SYN",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "client S anew        -> forward +new\n"
		 "place other\n"
		 "port before abandoned for 70s\n"
		 "flow syn_sent\n"
		 "backend SA late      -> reply_unknown\n"
		 "backend SA           -> reply +handshake\n"},
	{.name = "the tuple of a half-open connection",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "client S anew        -> forward +new\n"
		 "place other\n"
		 "port before abandoned for 70s\n"
		 "flow syn_sent\n"},
	{.name = "the tuple of an established one: the backend is asked, and the client ends it",
	 .text = OPEN "client S seq 99999    -> forward\n"
		      "flow established for 2h4m\n"
		      "backend A             -> reply\n"
		      "client R              -> forward +reset\n"
		      "flow done crst\n"
		      "client S anew         -> forward +new\n"
		      "place other\n"
		      "port before done crst for 5s\n"
		      "flow syn_sent\n"},
	{.name = "the tuple of an established one whose backend is gone: the fourth SYN",
	 .text = OPEN "client S anew         -> forward\n"
		      "client S again        -> forward\n"
		      "client S again        -> forward\n"
		      "client S again        -> forward\n"
		      "time 1s\n"
		      "client S again        -> forward\n"
		      "time 2s\n"
		      "client S again        -> forward\n"
		      "flow established for 2h3m57s\n"
		      "time 4s\n"
		      "client S again        -> forward +new\n"
		      "place other\n"
		      "port before abandoned for 70s\n"},
	{.name = "the tuple of an established one: whenever the backend speaks, it is asked again",
	 .text = OPEN "client S anew         -> forward\n"
		      "time 1s\n"
		      "client S again        -> forward\n"
		      "time 2s\n"
		      "client S again        -> forward\n"
		      "time 4s\n"
		      "backend A lost        -> reply\n"
		      "client S again        -> forward\n"
		      "time 8s\n"
		      "client S again        -> forward\n"
		      "time 16s\n"
		      "client S again        -> forward\n"
		      "time 32s\n"
		      "client S again        -> forward +new\n"},
	{.name = "the tuple of one that the client was closing: the backend is asked",
	 .text = OPEN "client FA             -> forward\n"
		      "client S seq 99999    -> forward\n"
		      "flow closing cfin for 4m\n"
		      "backend A             -> reply\n"
		      "client R              -> forward +reset\n"
		      "flow done cfin crst\n"
		      "client S anew         -> forward +new\n"
		      "place other\n"},
	{.name = "the tuple of one that both were closing",
	 .text = OPEN "client FA             -> forward\n"
		      "backend FA            -> reply\n"
		      "client S anew         -> forward +new\n"
		      "place other\n"
		      "port before abandoned cfin bfin for 70s\n"
		      "backend FA late       -> reply_unknown\n"},
	{.name = "the tuple of one that a RST may have ended: the backend is asked",
	 .text = OPEN "client R seq 100      -> forward +reset\n"
		      "client S seq 99999    -> forward\n"
		      "backend A             -> reply\n"
		      "flow established crst for 2h4m\n"},
	{.name = "the tuple of one that the backend forgot: its answer is refused, the SYN decided anew",
	 .text = OPEN "client S anew         -> forward\n"
		      "backend SA            -> refused_anew\n"
		      "flow established for 2h4m\n"
		      "client S again        -> forward +new\n"
		      "place other\n"
		      "port before abandoned for 70s\n"},
	{.name = "the tuple of one that the backend forgot, at share 0: the old host's",
	 .text = OPEN "rollback\n"
		      "client S anew         -> forward\n"
		      "backend SA            -> refused_anew\n"
		      "client S again        -> local_syn +old\n"},
	{.name = "the tuple of one that the backend closed and forgot, at share 0: the old host's",
	 .text = OPEN "backend FA            -> reply\n"
		      "client A              -> forward\n"
		      "rollback\n"
		      "client S anew         -> forward\n"
		      "backend SA            -> refused_anew\n"
		      "client S again        -> local_syn +old\n"},
	{.name = "nobody asked: a SYN-ACK on a living flow is the client's to judge",
	 .text = OPEN "backend SA seq 70000 ack 50000 -> reply\n"
		      "flow established\n"},
	{.name = "two answers with different numbers: the client may take either",
	 .text = "weight 100\n"
		 "client S              -> forward +new\n"
		 "backend SA            -> reply +handshake\n"
		 "backend SA seq 70000 lost -> reply\n"
		 "flow syn_recv\n"
		 "client A              -> forward\n"
		 "flow established\n"},
	{.name = "the tuple of one that is over: its port goes on resting",
	 .text = OPEN "client FA             -> forward\n"
		      "backend FA            -> reply\n"
		      "client A              -> forward\n"
		      "time 2s\n"
		      "client S anew         -> forward +new\n"
		      "place other\n"
		      "port before done cfin bfin for 3s\n"},
	{.name = "the tuple of one in TIME_WAIT: its port goes on resting",
	 .text = OPEN "backend FA            -> reply\n"
		      "client FA             -> forward\n"
		      "backend A             -> reply\n"
		      "time 30s\n"
		      "client S anew         -> forward +new\n"
		      "place other\n"
		      "port before time_wait cfin bfin tw for 36s\n"},
	{.name = "the tuple of one that is over, at share 0: local",
	 .text = OPEN "client FA             -> forward\n"
		      "backend FA            -> reply\n"
		      "client A              -> forward\n"
		      "weight 0\n"
		      "client S anew         -> local_syn +old\n"
		      "flow none\n"
		      "client A              -> local\n"},
	{.name = "a late FIN of the old connection, and the client's RST, do not end the new one",
	 .text = OPEN "client FA             -> forward\n"
		      "backend FA            -> reply\n"
		      "client A              -> forward\n"
		      "client S anew         -> forward +new\n"
		      "backend FA late       -> reply\n"
		      "client R seq 4321     -> forward\n"
		      "backend SA            -> reply +handshake\n"
		      "client A              -> forward\n"
		      "client PA len 10      -> forward\n"
		      "flow established\n"},
};

static const struct tale crafted[] = {
	{.name = "no connection begins without a plain SYN",
	 .text = "weight 100\n"
		 "client A             -> local\n"
		 "client PA len 10     -> local\n"
		 "client FA            -> local\n"
		 "client R             -> local\n"
		 "client RA            -> local\n"
		 "client SA            -> local\n"
		 "client SR            -> local\n"
		 "client SRA           -> local\n"
		 "client none          -> local\n"
		 "client FPU           -> local\n"
		 "client FSRPAU        -> local\n"
		 "flow none\n"
		 "client S             -> forward +new\n"},
	{.name = "the same of a rank whose flows were shifted",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "another\n"
		 "client A             -> local\n"
		 "client PA len 10     -> local\n"
		 "client FA            -> local\n"
		 "client R             -> local\n"
		 "client SA            -> local\n"
		 "client SR            -> local\n"
		 "client none          -> local\n"
		 "client FPU           -> local\n"
		 "flow none\n"},
	{.name = "SYN with FIN begins nothing (RFC 9293 knows no such packet)",
	 .text = "weight 100\n"
		 "client SF            -> local\n"
		 "client SFPU          -> local\n"
		 "flow none\n"},
	{.name = "the host calls the client, from the listen port: all of it is local",
	 .text = "host calls\n"
		 "weight 100\n"
		 "client S             -> local_repeat +repeat\n"
		 "client SA            -> local\n"
		 "flow none\n"},
	{.name = "flags of congestion notification do not hide a SYN",
	 .text = "weight 100\n"
		 "client SPU           -> forward +new\n"},
};

#define CHAPTER(name) tell_all(rig, net, #name, name, sizeof(name) / sizeof((name)[0]))

void cases_syn(struct rig *rig, const struct net *net)
{
	CHAPTER(repeating);
	CHAPTER(cookies);
	CHAPTER(rescuing);
	CHAPTER(anew);
	CHAPTER(crafted);
}
