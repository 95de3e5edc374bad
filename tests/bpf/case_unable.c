/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * case_unable.c - what cannot be shifted, what must not be, and what a cut does
 */
#include "tests/bpf/cases.h"
#include "tests/bpf/story.h"

#define OPEN                                                                                       \
	"weight 100\n"                                                                             \
	"client S             -> forward +new\n"                                                   \
	"backend SA           -> reply +handshake\n"                                               \
	"client A             -> forward\n"

static const struct tale unable[] = {
	{.name = "no port is free: the host serves, and keeps the connection",
	 .text = "weight 100\n"
		 "full ports\n"
		 "client S             -> fallback +old +ports_exhausted\n"
		 "flow none\n"
		 "client S again       -> local_repeat +repeat\n"
		 "time 2h5m\n"
		 "client S anew        -> forward +new\n"},
	{.name = "no port is free, the host's SYN again when there is one",
	 .text = "weight 100\n"
		 "full ports\n"
		 "client S             -> fallback +old +ports_exhausted\n"
		 "host listens\n"
		 "host hears\n"
		 "host answers SA\n"
		 "client A             -> local\n"
		 "host hears\n"
		 "host accepts\n"},
	{.name = "no port is free, authority new: RST to the client",
	 .text = "weight 100\n"
		 "authority new\n"
		 "full ports\n"
		 "client S             -> reset_unable +old +ports_exhausted\n"
		 "client S len 100     -> reset_unable +old +ports_exhausted\n"
		 "client S options iphead -> reset_unable +old +ports_exhausted\n"
		 "flow none\n"},
	{.name = "no port is free, authority new, on_unable local",
	 .text = "weight 100\n"
		 "authority new\n"
		 "on_unable local\n"
		 "full ports\n"
		 "client S             -> fallback +old +ports_exhausted\n"
		 "client S again       -> local_repeat +repeat\n"},
	{.name = "no port is free, authority old, on_unable reset: the host serves",
	 .text = "weight 100\n"
		 "authority old\n"
		 "on_unable reset\n"
		 "full ports\n"
		 "client S             -> fallback +old +ports_exhausted\n"},
	{.name = "the table of flows is full: the host serves, flows go on, no port is lost",
	 .text = OPEN "full flows\n"
		      "client PA len 10     -> forward\n"
		      "another\n"
		      "client S             -> fallback +old +table_full\n"
		      "flow none\n"
		      "held 1\n"
		      "client S again       -> local_repeat +repeat\n"},
	{.name = "the table of flows is full, authority new: RST",
	 .text = "weight 100\n"
		 "authority new\n"
		 "full flows\n"
		 "client S             -> reset_unable +old +table_full\n"},
	{.name = "no way to the only target: the host serves",
	 .text = "weight 100\n"
		 "no_route\n"
		 "client S             -> fallback +old +no_route\n"
		 "client S again       -> local_repeat +repeat\n"},
	{.name = "no way to the only target, authority new: RST",
	 .text = "weight 100\n"
		 "authority new\n"
		 "no_route\n"
		 "client S             -> reset_unable +old +no_route\n"},
	{.name = "a flow goes on when the last look found no way",
	 .text = OPEN "no_route\n"
		      "client PA len 10     -> forward\n"
		      "backend A            -> reply\n"},
	{.name = "no backend is healthy: the host serves",
	 .text = "weight 100\n"
		 "served by aws\n"
		 "health down 60s\n"
		 "served by gcp\n"
		 "health down 60s\n"
		 "served by azure\n"
		 "health down 60s\n"
		 "client S             -> fallback +old +no_backend\n"
		 "client S again       -> local_repeat +repeat\n"
		 "time 61s\n"
		 "client S anew        -> forward +new\n"},
	{.name = "no backend is healthy, authority new: RST",
	 .text = "weight 100\n"
		 "authority new\n"
		 "served by aws\n"
		 "health down 60s\n"
		 "served by gcp\n"
		 "drain backend\n"
		 "served by azure\n"
		 "remove backend\n"
		 "client S             -> reset_unable +old +no_backend\n"},
	{.name = "with authority new, what the share leaves local is local",
	 .text = "weight 25\n"
		 "authority new\n"
		 "client S             -> local_syn +old\n"
		 "client A             -> local\n"},
};

static const struct tale backends[] = {
	{.name = "one is down: its share goes to the others, its flows go on",
	 .text = OPEN "health down 60s\n"
		      "client PA len 10     -> forward\n"
		      "backend A            -> reply\n"
		      "another\n"
		      "served by any\n"
		      "client S             -> forward +new\n"
		      "not served by azure\n"},
	{.name = "two are down",
	 .text = "weight 100\n"
		 "health down 60s\n"
		 "served by aws\n"
		 "health down 60s\n"
		 "served by gcp\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"},
	{.name = "a verdict on health that has expired is none",
	 .text = "weight 100\n"
		 "health down past\n"
		 "client S             -> forward +new\n"},
	{.name = "unknown, up and expired are all usable",
	 .text = "weight 100\n"
		 "health unknown past\n"
		 "client S             -> forward +new\n"
		 "another\n"
		 "health up 60s\n"
		 "client S             -> forward +new\n"
		 "another\n"
		 "health up past\n"
		 "client S             -> forward +new\n"},
	{.name = "one drains: nothing new, its flows go on",
	 .text = OPEN "drain backend\n"
		      "client PA len 10     -> forward\n"
		      "another\n"
		      "served by any\n"
		      "client S             -> forward +new\n"
		      "not served by azure\n"},
	{.name = "a target drains: nothing new, its flows go on",
	 .text = OPEN "drain target\n"
		      "client PA len 10     -> forward\n"
		      "backend A            -> reply\n"
		      "another\n"
		      "client S             -> fallback +old +no_backend\n"},
	{.name = "a target that is no longer used takes nothing",
	 .text = "weight 100\n"
		 "remove target\n"
		 "client S             -> fallback +old +no_backend\n"},
	{.name = "one of two addresses drains: the other takes its clients",
	 .text = "weight 100\n"
		 "someone aws\n"
		 "drain target\n"
		 "served by aws\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "client A             -> forward\n"},
	{.name = "one of two addresses has no way: the other takes its clients",
	 .text = "weight 100\n"
		 "someone aws\n"
		 "no_route\n"
		 "served by aws\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"},
	{.name = "the service drains: nothing new, flows go on",
	 .text = OPEN "drain service\n"
		      "client PA len 10     -> forward\n"
		      "backend A            -> reply\n"
		      "another\n"
		      "client S             -> local_syn +old\n"
		      "client S again       -> local_repeat +repeat\n"},
	{.name = "the service drains, authority new: local, not reset",
	 .text = "weight 100\n"
		 "authority new\n"
		 "drain service\n"
		 "client S             -> local_syn +old\n"},
	{.name = "the listener drains: nothing new, flows go on",
	 .text = OPEN "drain listener\n"
		      "client PA len 10     -> forward\n"
		      "backend A            -> reply\n"
		      "another\n"
		      "client S             -> local_syn +old\n"},
	{.name = "the service is gone: its packets are nobody's",
	 .text = "weight 100\n"
		 "remove service\n"
		 "client S             -> other\n"
		 "client A             -> other\n"},
};

static const struct tale exceptions[] = {
	{.name = "bypass: always local, uncounted",
	 .text = "weight 100\n"
		 "pin bypass\n"
		 "client S             -> bypass +bypassed\n"
		 "client S again       -> bypass +bypassed\n"
		 "client A             -> local\n"
		 "flow none\n"},
	{.name = "pinned to the old arm",
	 .text = "weight 100\n"
		 "pin old\n"
		 "client S             -> local_syn +old\n"
		 "client S again       -> local_repeat +repeat\n"},
	{.name = "shifted by a peer already",
	 .text = "weight 100\n"
		 "pin peer\n"
		 "client S             -> local_syn +old\n"},
	{.name = "pinned to the new arm at share 0",
	 .text = "weight 0\n"
		 "pin new\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "client A             -> forward\n"},
	{.name = "a rollback suspends pins to the new arm, flows go on",
	 .text = "pin new\n"
		 "client S             -> forward +new\n"
		 "backend SA           -> reply +handshake\n"
		 "client A             -> forward\n"
		 "rollback\n"
		 "client PA len 10     -> forward\n"
		 "another\n"
		 "client S             -> local_syn +old\n"},
	{.name = "pins and bypasses that have run out",
	 .text = "weight 0\n"
		 "pin new 60s\n"
		 "client S             -> forward +new\n"
		 "another\n"
		 "pin new past\n"
		 "client S             -> local_syn +old\n"
		 "weight 100\n"
		 "another\n"
		 "pin bypass 60s\n"
		 "client S             -> bypass +bypassed\n"
		 "another\n"
		 "pin bypass past\n"
		 "client S             -> forward +new\n"
		 "another\n"
		 "pin old past\n"
		 "client S             -> forward +new\n"},
	{.name = "shadow: decided and counted, nothing rewritten",
	 .text = "weight 50\n"
		 "shadow on\n"
		 "client S             -> local_syn +old +shadow\n"
		 "client S again       -> local_repeat +repeat\n"
		 "client A             -> local\n"
		 "flow none\n"
		 "shadow off\n"
		 "client S again       -> local_repeat +repeat\n"
		 "someone azure 50 75\n"
		 "shadow on\n"
		 "client S             -> local_syn +old\n"},
	{.name = "shadow: flows go on",
	 .text = OPEN "shadow on\n"
		      "client PA len 10     -> forward\n"
		      "backend A            -> reply\n"},
};

static const struct tale cutting[] = {
	{.name = "the client's packet is answered on both sides",
	 .text = OPEN "client PA len 100    -> forward\n"
		      "backend PA len 50    -> reply\n"
		      "rollback cut\n"
		      "client PA len 10     -> cut\n"
		      "flow done cut\n"
		      "client A             -> cut\n"
		      "flow done cut\n"},
	{.name = "the backend's packet is answered on both sides",
	 .text = OPEN "rollback cut\n"
		      "backend PA len 900   -> cut\n"
		      "flow done cut\n"
		      "backend A            -> cut\n"
		      "client A             -> cut\n"},
	{.name = "one flow alone, by its mark",
	 .text = OPEN "cut flow\n"
		      "client A             -> cut\n"
		      "flow done cut\n"
		      "another\n"
		      "client S             -> forward +new\n"
		      "backend SA           -> reply +handshake\n"
		      "client A             -> forward\n"},
	{.name = "one flow alone, at the backend's packet",
	 .text = OPEN "cut flow\n"
		      "backend PA len 1     -> cut\n"
		      "flow done cut\n"},
	{.name = "a FIN, a packet without options, with all options, with IP options",
	 .text = OPEN "rollback cut\n"
		      "client FA            -> cut\n"
		      "client A bare        -> cut\n"
		      "client PA options len 1300 -> cut\n"
		      "client PA iphead len 4 -> cut\n"
		      "backend FPA iphead options len 77 -> cut\n"
		      "client PA pad 5 len 1 -> cut\n"},
	{.name = "a packet without an acknowledgement",
	 .text = OPEN "rollback cut\n"
		      "client P len 3       -> cut\n"
		      "client F len 3       -> cut\n"},
	{.name = "an unanswered SYN, repeated: nothing is to be reset yet, the old host takes it",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "rollback cut\n"
		 "client S again       -> local_syn +old\n"
		 "port abandoned\n"},
	{.name = "the client begins anew before it heard of the cut",
	 .text = OPEN "rollback cut\n"
		      "client S anew        -> local_syn +old\n"
		      "port abandoned\n"},
	{.name = "a SYN-ACK",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "rollback cut\n"
		 "backend SA           -> cut\n"
		 "flow done cut\n"},
	{.name = "a RST is not answered but passed on",
	 .text = OPEN "rollback cut\n"
		      "client R             -> forward +reset\n"
		      "flow done crst\n"
		      "backend RA           -> reply\n"
		      "flow done crst for 5s\n"},
	{.name = "a packet whose time to live is over is answered too",
	 .text = OPEN "rollback cut\n"
		      "client A ttl 1       -> cut\n"},
	{.name = "flows of the new epoch live",
	 .text = OPEN "rollback cut\n"
		      "someone gcp\n"
		      "weight 100\n"
		      "client S             -> forward +new\n"
		      "backend SA           -> reply +handshake\n"
		      "client A             -> forward\n"
		      "weight 50\n"
		      "backend PA len 10    -> reply\n"},
	{.name = "flows of the very epoch that cuts live",
	 .text = OPEN "cut older\n"
		      "someone gcp\n"
		      "client S             -> forward +new\n"
		      "backend SA           -> reply +handshake\n"
		      "client A             -> forward\n"
		      "flow established\n"},
	{.name = "a rollback without a cut cuts nothing, also after one that did",
	 .text = OPEN "rollback cut\n"
		      "someone gcp\n"
		      "weight 100\n"
		      "client S             -> forward +new\n"
		      "backend SA           -> reply +handshake\n"
		      "client A             -> forward\n"
		      "rollback\n"
		      "client A             -> forward\n"},
	{.name = "connections of the host are not touched",
	 .text = "client S             -> local_syn +old\n"
		 "client A             -> local\n"
		 "rollback cut\n"
		 "client PA len 10     -> local\n"},
};

/* The flow's entry is in the table that `apply` grows out of. */
static const struct tale growing[] = {
	{.name = "flows of the smaller table go on to their end",
	 .text = OPEN "grow\n"
		      "client PA len 10     -> forward\n"
		      "backend PA len 10    -> reply\n"
		      "flow established\n"
		      "client FA            -> forward\n"
		      "backend FA           -> reply\n"
		      "client A             -> forward\n"
		      "flow done cfin bfin\n"},
	{.name = "a SYN is answered as before",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "grow\n"
		 "weight 0\n"
		 "time 300ms\n"
		 "client S again       -> forward +resyn\n"
		 "backend SA           -> reply +handshake\n"
		 "client A             -> forward\n"},
	{.name = "new flows go to the larger one",
	 .text = OPEN "grow\n"
		      "another\n"
		      "client S             -> forward +new\n"
		      "backend SA           -> reply +handshake\n"
		      "client A             -> forward\n"},
	{.name = "a tuple that is over leads nowhere when the host has it next",
	 .text = OPEN "client FA            -> forward\n"
		      "backend FA           -> reply\n"
		      "client A             -> forward\n"
		      "grow\n"
		      "weight 0\n"
		      "client S anew        -> local_syn +old\n"
		      "client A             -> local\n"
		      "flow none\n"},
	{.name = "a tuple that is over leads to its new flow only",
	 .text = OPEN "client FA            -> forward\n"
		      "backend FA           -> reply\n"
		      "client A             -> forward\n"
		      "grow\n"
		      "client S anew        -> forward +new\n"
		      "place other\n"
		      "backend SA           -> reply +handshake\n"
		      "client A             -> forward\n"},
	{.name = "a rescued client is the host's",
	 .text = "weight 100\n"
		 "client S             -> forward +new\n"
		 "grow\n"
		 "time 300ms\n"
		 "client S again       -> forward +resyn\n"
		 "time 300ms\n"
		 "client S again       -> rescued +resyn +failure +rescued\n"
		 "flow none\n"
		 "client A             -> local\n"},
	{.name = "a cut reaches them",
	 .text = OPEN "grow\n"
		      "rollback cut\n"
		      "client A             -> cut\n"
		      "backend A            -> cut\n"},
};

#define CHAPTER(name) tell_all(rig, net, #name, name, sizeof(name) / sizeof((name)[0]))

void cases_unable(struct rig *rig, const struct net *net)
{
	CHAPTER(unable);
	CHAPTER(backends);
	CHAPTER(exceptions);
	CHAPTER(cutting);
}

void cases_growing(struct rig *grown, const struct net *net)
{
	tell_all(grown, net, "growing", growing, sizeof(growing) / sizeof(growing[0]));
}
