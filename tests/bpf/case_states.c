/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_states.c - how a shifted connection lives and ends, and how long its port rests afterwards
 *
 * The time-outs of the rig are unlike each other: syn_sent 60 s, syn_recv 62 s, established 2 h 4
 * min, closing 4 min, done 5 s, time_wait 66 s, abandoned 70 s.
 */
#include "tests/bpf/cases.h"
#include "tests/bpf/story.h"

#define OPEN                                                                                       \
	"weight 100\n"                                                                             \
	"client S             -> forward +new\n"                                                   \
	"backend SA           -> reply +handshake\n"                                               \
	"client A             -> forward\n"

static const struct tale opening[] = {
	{.name = "SYN, SYN-ACK, ACK, each with its state",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "flow syn_sent\n"
		 "backend SA           -> reply +handshake\n"
		 "flow syn_recv\n"
		 "client A             -> forward\n"
		 "flow established\n"
		 "client PA len 100    -> forward\n"
		 "backend A            -> reply\n"
		 "backend PA len 900   -> reply\n"
		 "client A             -> forward\n"
		 "flow established\n"},
	{.name = "the first data instead of the handshake's last packet, which was lost",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "client PA len 300    -> forward\n"
		 "flow established\n"},
	{.name = "Fast Open: data with the SYN, and an answer before the handshake's last packet",
	 .text = "weight 100\n"
		 "client S len 200     -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "flow syn_recv\n"
		 "backend PA len 500   -> reply\n"
		 "flow syn_recv\n"
		 "client A             -> forward\n"
		 "flow established\n"},
	{.name = "Fast Open refused: the SYN again without its data",
	 .text = "weight 100\n"
		 "client S len 200     -> forward +new\n"
		 "time 300ms\n"
		 "client S             -> forward +resyn\n"
		 "backend SA           -> reply +handshake\n"
		 "flow syn_recv\n"},
	{.name = "a SYN-ACK that answers another SYN changes nothing",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend SA ack 70000 -> reply\n"
		 "flow syn_sent for 60s\n"
		 "backend SA ack -1    -> reply\n"
		 "flow syn_sent for 60s\n"},
	{.name = "the SYN-ACK again",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "backend SA again     -> reply\n"
		 "flow syn_recv\n"
		 "client A             -> forward\n"
		 "backend SA again     -> reply\n"
		 "flow established\n"},
	{.name = "the backend refuses",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend RA           -> reply +failure\n"
		 "flow done brst\n"
		 "client S again       -> forward +new\n"
		 "port before done brst for 5s\n"
		 "place other\n"},
	{.name = "a refusal of another SYN, or without an ACK, changes nothing",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend RA ack 70000 -> reply\n"
		 "flow syn_sent for 60s\n"
		 "backend R            -> reply\n"
		 "flow syn_sent for 60s\n"},
	{.name = "what is neither an acknowledgement nor a RST opens nothing",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "client none          -> forward\n"
		 "flow syn_sent for 60s\n"
		 "client PU len 10     -> forward\n"
		 "flow syn_sent for 60s\n"
		 "backend SA           -> reply +handshake\n"
		 "client none          -> forward\n"
		 "flow syn_recv for 62s\n"},
	{.name = "a FIN without an acknowledgement opens nothing",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "client F             -> forward\n"
		 "flow syn_sent for 60s\n"},
	{.name = "handshakes are timed, 610 ms",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "time 610ms\n"
		 "backend SA           -> reply +handshake\n"
		 "timed 600ms 800ms\n"},
	{.name = "handshakes are timed, 5.1 s",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "time 5100ms\n"
		 "backend SA           -> reply +handshake\n"
		 "timed 5s 6s\n"},
	{.name = "handshakes are timed, longer than the last edge",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "time 11s\n"
		 "backend SA           -> reply +handshake\n"
		 "timed 10s 0s\n"},
};

static const struct tale closing[] = {
	{.name = "the client closes first: the port rests a short guard",
	 .text = OPEN "client FA            -> forward\n"
		      "flow closing cfin\n"
		      "backend A            -> reply\n"
		      "flow closing cfin\n"
		      "backend FA           -> reply\n"
		      "flow closing cfin bfin\n"
		      "client A             -> forward\n"
		      "flow done cfin bfin\n"
		      "time 4s\n"
		      "flow done cfin bfin for 1s\n"
		      "backend FA again     -> reply\n"
		      "client A again       -> forward\n"
		      "flow done cfin bfin\n"
		      "time 6s\n"
		      "client A             -> local\n"
		      "backend A            -> reply_unknown\n"},
	{.name = "the backend closes first: the port rests as long as its TIME_WAIT",
	 .text = OPEN "backend FA           -> reply\n"
		      "flow closing bfin tw\n"
		      "client A             -> forward\n"
		      "client FA            -> forward\n"
		      "flow closing cfin bfin tw\n"
		      "backend A            -> reply\n"
		      "flow time_wait cfin bfin tw\n"
		      "time 65s\n"
		      "flow time_wait cfin bfin tw for 1s\n"
		      "time 2s\n"
		      "client A             -> local\n"
		      "backend A            -> reply_unknown\n"},
	{.name = "FIN and FIN-ACK in two packets each way, with the last data",
	 .text = OPEN "client FPA len 700   -> forward\n"
		      "backend FPA len 1200 -> reply\n"
		      "flow closing cfin bfin\n"
		      "client A             -> forward\n"
		      "flow done cfin bfin\n"},
	{.name = "data before a FIN must be acknowledged, too",
	 .text = OPEN "client FPA len 700   -> forward\n"
		      "backend FA ack -400  -> reply\n"
		      "client A             -> forward\n"
		      "flow closing cfin bfin tw\n"
		      "backend A            -> reply\n"
		      "flow time_wait cfin bfin tw\n"
		      "someone azure\n" OPEN "backend FPA len 700  -> reply\n"
		      "client FA ack -400   -> forward\n"
		      "backend A            -> reply\n"
		      "flow closing cfin bfin tw\n"
		      "client A             -> forward\n"
		      "flow time_wait cfin bfin tw\n"},
	{.name = "both close at the same time: the backend keeps TIME_WAIT",
	 .text = OPEN "client FA            -> forward\n"
		      "backend FA ack -1    -> reply\n"
		      "flow closing cfin bfin tw\n"
		      "client A             -> forward\n"
		      "flow closing cfin bfin tw\n"
		      "backend A            -> reply\n"
		      "flow time_wait cfin bfin tw\n"},
	{.name = "the backend's FIN again, after the client's",
	 .text = OPEN "client FA            -> forward\n"
		      "backend FA           -> reply\n"
		      "backend FA again     -> reply\n"
		      "flow closing cfin bfin\n"
		      "client A             -> forward\n"
		      "flow done cfin bfin\n"},
	{.name = "a FIN that the other side has not acknowledged ends nothing",
	 .text = OPEN "client FA lost       -> forward\n"
		      "backend FA           -> reply\n"
		      "client A             -> forward\n"
		      "flow closing cfin bfin tw\n"
		      "client FA again      -> forward\n"
		      "backend A            -> reply\n"
		      "flow time_wait cfin bfin tw\n"},
	{.name = "half-closed by the client, the backend goes on sending",
	 .text = OPEN "client FA            -> forward\n"
		      "backend A            -> reply\n"
		      "time 239s\n"
		      "backend PA len 1000  -> reply\n"
		      "flow closing cfin\n"
		      "time 239s\n"
		      "client A             -> forward\n"
		      "flow closing cfin\n"
		      "time 239s\n"
		      "backend FPA len 10   -> reply\n"
		      "client A             -> forward\n"
		      "flow done cfin bfin\n"},
	{.name = "half-closed by the backend, the client goes on sending",
	 .text = OPEN "backend FA           -> reply\n"
		      "client PA len 1000   -> forward\n"
		      "backend A            -> reply\n"
		      "flow closing bfin tw\n"
		      "time 239s\n"
		      "client FPA len 10    -> forward\n"
		      "backend A            -> reply\n"
		      "flow time_wait cfin bfin tw\n"},
	{.name = "half-closed and silent",
	 .text = OPEN "client FA            -> forward\n"
		      "time 241s\n"
		      "backend PA len 10    -> reply_unknown\n"
		      "client A             -> local\n"},
};

static const struct tale closing_oddly[] = {
	{.name = "a FIN far from the window closes nothing",
	 .text = OPEN "client FA seq 100000000  -> forward\n"
		      "flow established\n"
		      "backend FA seq 100000000 -> reply\n"
		      "flow established\n"
		      "client FA seq -10        -> forward\n"
		      "flow established\n"},
	{.name = "a FIN with the last of much data in flight",
	 .text = OPEN "client FPA seq 4000000 len 100  -> forward\n"
		      "flow established cfin\n"
		      "backend A ack 4000101           -> reply\n"
		      "flow closing cfin\n"},
	{.name = "a FIN that nobody acknowledges cuts no time short, and gives way to a right one",
	 .text = OPEN "client FA seq 60000000   -> forward\n"
		      "flow established cfin for 2h4m\n"
		      "client PA len 10         -> forward\n"
		      "backend A                -> reply\n"
		      "flow established cfin for 2h4m\n"
		      "client FA                -> forward\n"
		      "flow closing cfin\n"},
	{.name = "acknowledged beyond it, a FIN was none",
	 .text = OPEN "client FA seq 500         -> forward\n"
		      "client PA len 1000        -> forward\n"
		      "backend A                 -> reply\n"
		      "flow established cfin for 2h4m\n"},
	{.name = "a SYN with FIN closes nothing: the backend challenges it (RFC 5961, 4.2)",
	 .text = OPEN "client SF seq 1          -> forward\n"
		      "flow established\n"
		      "backend SF seq 1         -> reply\n"
		      "flow established\n"},
	{.name = "numbers wrap around between data and FIN",
	 .text = "weight 100\n"
		 "numbers 4294967200 4294967100\n" OPEN "client PA len 90     -> forward\n"
		 "backend PA len 180   -> reply\n"
		 "client FPA len 10    -> forward\n"
		 "backend FPA len 100  -> reply\n"
		 "flow closing cfin bfin\n"
		 "client A             -> forward\n"
		 "flow done cfin bfin\n"},
	{.name = "numbers wrap around: a RST is still exact",
	 .text = "weight 100\n"
		 "numbers 4294967290 4294967290\n" OPEN "client PA len 90     -> forward\n"
		 "backend A            -> reply\n"
		 "client R             -> forward +reset\n"
		 "flow done crst\n"},
};

static const struct tale resetting[] = {
	{.name = "RST of the client with the exact number",
	 .text = OPEN "client R             -> forward +reset\n"
		      "flow done crst\n"
		      "backend PA len 10    -> reply\n"
		      "flow done crst\n"
		      "client R again       -> forward\n"
		      "flow done crst for 5s\n"},
	{.name = "RST-ACK of the client with the exact number",
	 .text = OPEN "client PA len 10     -> forward\n"
		      "backend A            -> reply\n"
		      "client RA            -> forward +reset\n"
		      "flow done crst\n"},
	{.name = "RST of the client with another number: perhaps the backend does not believe it",
	 .text = OPEN "client R seq 100     -> forward +reset\n"
		      "flow closing crst\n"
		      "client PA len 10     -> forward\n"
		      "flow established crst\n"
		      "client R             -> forward\n"
		      "flow closing crst\n"
		      "backend A            -> reply\n"
		      "flow established crst\n"},
	{.name = "RST far from the window, from either side, changes nothing",
	 .text = OPEN "client R seq 20000000   -> forward\n"
		      "flow established for 2h4m\n"
		      "client R seq -1         -> forward\n"
		      "flow established for 2h4m\n"
		      "backend R seq 20000000  -> reply\n"
		      "flow established for 2h4m\n"
		      "backend RA seq -1       -> reply\n"
		      "flow established for 2h4m\n"},
	{.name = "RST of the backend with the exact number",
	 .text = OPEN "backend R            -> reply +reset\n"
		      "flow done brst\n"
		      "client PA len 10     -> forward\n"
		      "flow done brst\n"},
	{.name = "RST of the backend with another number",
	 .text = OPEN "backend R seq 1      -> reply +reset\n"
		      "flow closing brst\n"
		      "backend PA len 10    -> reply\n"
		      "flow established brst\n"},
	{.name = "RST of the backend after data that the client has not acknowledged",
	 .text = OPEN "backend PA len 10    -> reply\n"
		      "backend RA           -> reply +reset\n"
		      "flow closing brst\n"},
	{.name = "RST of the client in answer to the SYN-ACK",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "client R             -> forward\n"
		 "flow done\n"},
	{.name = "RST with a foreign number in answer to the SYN-ACK ends nothing",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "client R seq 5000    -> forward\n"
		 "client A             -> forward\n"
		 "client PA len 10     -> forward\n"
		 "time 2h\n"
		 "backend A            -> reply\n"
		 "flow established\n"},
	{.name = "the backend still holds a connection of this port: challenge, RST, SYN again",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend A ack 4000   -> reply\n"
		 "flow syn_sent for 60s\n"
		 "client R seq 4000    -> forward\n"
		 "time 300ms\n"
		 "client S again       -> forward +resyn\n"
		 "backend SA           -> reply +handshake\n"
		 "client A             -> forward\n"
		 "client PA len 10     -> forward\n"
		 "flow established\n"},
	{.name = "RST after both FINs changes nothing",
	 .text = OPEN "backend FA           -> reply\n"
		      "client FA            -> forward\n"
		      "backend A            -> reply\n"
		      "flow time_wait cfin bfin tw\n"
		      "client R seq 1       -> forward\n"
		      "client A             -> forward\n"
		      "flow time_wait cfin bfin tw\n"},
};

static const struct tale expiring[] = {
	{.name = "a SYN without an answer, 60 s",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "time 59s\n"
		 "backend SA           -> reply +handshake\n"
		 "someone azure\n"
		 "client S             -> forward +new\n"
		 "time 61s\n"
		 "backend SA           -> reply_unknown\n"
		 "client A             -> local\n"},
	{.name = "a repeated SYN does not hold the port longer",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "time 40s\n"
		 "client S again       -> forward +resyn\n"
		 "flow syn_sent for 20s\n"},
	{.name = "half open, 62 s",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "time 61s\n"
		 "client A             -> forward\n"
		 "someone azure\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "time 63s\n"
		 "client A             -> local\n"
		 "backend SA again     -> reply_unknown\n"},
	{.name = "established, 2 h 4 min from the last packet of either side",
	 .text = OPEN "time 2h3m58s\n"
		      "client A             -> forward\n"
		      "flow established\n"
		      "time 2h3m58s\n"
		      "backend A            -> reply\n"
		      "flow established\n"
		      "time 2h4m1s\n"
		      "client A             -> local\n"
		      "backend A            -> reply_unknown\n"
		      "client S anew        -> forward +new\n"},
	{.name = "nothing changes for a flow when the share goes to 0 and another epoch begins",
	 .text = OPEN "rollback\n"
		      "client PA len 10     -> forward\n"
		      "backend PA len 10    -> reply\n"
		      "flow established\n"},
};

void cases_states(struct rig *rig, const struct net *net)
{
	tell_all(rig, net, "opening", opening, sizeof(opening) / sizeof(opening[0]));
	tell_all(rig, net, "closing", closing, sizeof(closing) / sizeof(closing[0]));
	tell_all(rig, net, "closing", closing_oddly,
		 sizeof(closing_oddly) / sizeof(closing_oddly[0]));
	tell_all(rig, net, "resetting", resetting, sizeof(resetting) / sizeof(resetting[0]));
	tell_all(rig, net, "expiring", expiring, sizeof(expiring) / sizeof(expiring[0]));
}
