/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shift.h - what the program in the kernel and the tools beside it agree on
 *
 * Every struct here lives in a map: the program writes one side, shiftctl and shiftd the other. So
 * this header has nothing but <linux/types.h>, fixed sizes with spare bytes, and the few pure
 * functions that both sides must compute alike (compute.h: the share in force, the hash, a flow's
 * life).
 *
 * Control. One element of `shift_control` per service: a header and 31 records. A record is written
 * once, whole, and never changed while it is the current one; it becomes current by one 8-byte
 * compare-and-swap of `head` = {index, generation}. A writer that saw an older generation loses.
 * A generation is a count and 24 bits that check what the program reads of the record, so a reader
 * who copies the record that head names can tell whether he got it whole. A record is not reused
 * before 30 later changes: a second look is rare, and three failed looks mean "no record": nothing
 * is shifted.
 *
 * Flows. One record of 128 bytes per (target, port): the port *is* the record's place, so a reply
 * finds its flow by index, without a hash. Forward, an index of our own (index.bpf.h) leads from
 * the client's tuple to {target, index}; the record's own tuple is the proof. A target is {backend
 * address, port, protocol, NAT address}; its id never changes while flows live on it.
 *
 * Time. Flow records count in ticks = jiffies / 16 (u32: over a year to wrap even at HZ 1000),
 * deadlines of control in ns of CLOCK_BOOTTIME, handshakes in ns of CLOCK_MONOTONIC.
 *
 * Bytes. Addresses and ports are in network order exactly as in the packet; IPv4 is carried
 * v4-mapped (::ffff:a.b.c.d). Everything else is in host order.
 */
#pragma once

#include <linux/types.h>

#define SHIFT_ABI 3u

#define SHIFT_MAX_SERVICES    16
#define SHIFT_MAX_BACKENDS    128 /* per namespace, over all services; ids are never reused early */
#define SHIFT_MAX_TARGETS     1024 /* id 0 is never used */
#define SHIFT_MAX_LISTENS     256  /* id 0 is never used */
#define SHIFT_MAX_INTERFACES  32
#define SHIFT_MAX_FLOWS	      4194304
#define SHIFT_MAX_CLIENTS     16384 /* prefixes in the client table: bypass, pins, peers */
#define SHIFT_MAX_SHARDS      8
#define SHIFT_PROBES	      32 /* ports looked at per shard for one new flow */
#define SHIFT_BACKEND_TARGETS 64 /* targets of one backend, per list */
#define SHIFT_BACKEND_LISTS   4	 /* by family and protocol: shift_list() */
#define SHIFT_NAME	      32
#define SHIFT_REASON	      64

#define SHIFT_WEIGHT_MAX    10000 /* hundredths of a percent */
#define SHIFT_THRESHOLD_MAX 65536 /* every rank is below it */
#define SHIFT_RANKS	    65536

#define SHIFT_TICK_SHIFT 4 /* tick = jiffies >> 4 */

/* ---- control ------------------------------------------------------------------------------ */

enum shift_mode {
	SHIFT_MODE_ACTIVE = 0,
	SHIFT_MODE_SHADOW = 1, /* decide and count, rewrite nothing */
};

enum shift_authority {
	SHIFT_AUTHORITY_OLD = 0,
	SHIFT_AUTHORITY_SHARED = 1,
	SHIFT_AUTHORITY_NEW = 2,
};

enum shift_lease_action {
	SHIFT_LEASE_HOLD = 0,	  /* an expired lease changes nothing */
	SHIFT_LEASE_FALLBACK = 1, /* an expired lease lowers the share to lease_threshold */
};

#define SHIFT_RECORDS	   31 /* places 1..31 */
#define SHIFT_CHECK_BITS   24
#define SHIFT_CHECK_MASK   ((1u << SHIFT_CHECK_BITS) - 1)
#define SHIFT_RECORD_WORDS 9 /* 64-bit words that the program reads and the check covers */
#define SHIFT_INDEX_BITS   5
#define SHIFT_INDEX_MASK   ((1u << SHIFT_INDEX_BITS) - 1)

/* What the program reads of a record is in its first 72 bytes; the rest is for people. */
struct shift_record {
	__u64 generation; /* head >> SHIFT_INDEX_BITS when it was published; 0: being written */
	__u64 epoch;	 /* counts changes; a fleet store may supply it, then it may jump forward */
	__u32 threshold; /* 0..65536: ranks below it go to the new arm */
	__u8 mode;	 /* enum shift_mode */
	__u8 authority;	 /* enum shift_authority */
	__u8 lease_action;
	__u8 latched;		/* set by rollback: every raise is refused */
	__u64 not_before;	/* 0, or boot ns from which next_threshold is in force */
	__u64 confirm_deadline; /* 0, or boot ns from which confirm_threshold is in force */
	__u64 lease_deadline;	/* 0, or boot ns from which lease_action applies */
	__u64 cut_epoch;	/* flows with an older epoch are reset */
	__u32 next_threshold;
	__u32 confirm_threshold;

	__u32 lease_threshold;
	__u16 weight; /* hundredths of a percent: what the thresholds were made from */
	__u16 next_weight;
	__u16 confirm_weight;
	__u16 lease_weight;
	__u32 set_uid;
	__u64 set_at;	  /* when this record was published, CLOCK_REALTIME ns */
	__u64 latched_at; /* CLOCK_REALTIME ns */
	__u64 locked_at;  /* CLOCK_REALTIME ns, 0: no operator lock */
	char set_by[SHIFT_NAME];
	char latched_by[SHIFT_NAME];
	char locked_by[SHIFT_NAME];
	char lock_reason[SHIFT_REASON];
	char reason[SHIFT_REASON];
	__u8 authority_before; /* what `commit --undo` goes back to */
	__u8 pad;
	__u16 overall; /* the share of all clients that shiftd keeps while DNS moves; 0: none */
	char overall_by[SHIFT_NAME];
	__u8 spare[148];
};

struct shift_control {
	__u64 head;		     /* generation << SHIFT_INDEX_BITS | index; 0: no record yet */
	__u64 claims[SHIFT_RECORDS]; /* [i]: 0, or somebody is writing record i+1 (plane/control.c)
				      */
	__u32 abi;
	__u32 cuts; /* 1 from before the first record with a cut_epoch: until then no packet looks
		     */
	__u8 spare[248];
	struct shift_record record[SHIFT_RECORDS]; /* record i+1 is record[i] */
};

/* ---- services, listeners, clients --------------------------------------------------------- */

enum shift_affinity {
	SHIFT_AFFINITY_CLIENT = 0,     /* IPv4 /32, IPv6 /64 */
	SHIFT_AFFINITY_CONNECTION = 1, /* address and port */
};

enum shift_flow_state {
	SHIFT_FLOW_FREE = 0,
	SHIFT_FLOW_SYN_SENT,	/* the client's SYN went to the backend */
	SHIFT_FLOW_SYN_RECV,	/* the backend's SYN-ACK went to the client */
	SHIFT_FLOW_ESTABLISHED, /* the client acknowledged it */
	SHIFT_FLOW_CLOSING,	/* a FIN was acknowledged, or a RST of doubtful number seen */
	SHIFT_FLOW_DONE,	/* over; the backend keeps nothing: the port rests a short guard */
	SHIFT_FLOW_TIME_WAIT,	/* over; the backend may keep TIME_WAIT: the port rests longer */
	SHIFT_FLOW_ABANDONED,	/* given to the old host; maps no packet, the port rests */
	SHIFT_FLOW_STATES
};

enum shift_on_unable {
	SHIFT_UNABLE_RESET = 0, /* only with authority new */
	SHIFT_UNABLE_LOCAL = 1,
};

#define SHIFT_SERVICE_USED    0x01
#define SHIFT_SERVICE_DRAIN   0x02 /* leaves the config: nothing new is shifted, flows go on */
#define SHIFT_SERVICE_CLIENTS 0x04 /* it has entries in the client table */

struct shift_service {
	__u64 seed;
	__u8 flags; /* SHIFT_SERVICE_* */
	__u8 affinity;
	__u8 on_unable;
	__u8 pad;
	__u32 syn_memory;		  /* ticks that a SYN left local is remembered */
	__u32 timeout[SHIFT_FLOW_STATES]; /* ticks without a packet, by state */
	__u32 timeout_udp;
	__u32 timeout_second; /* ticks of a second, rounded down: a client's SYNs lie that far apart
			       */
	__u32 mtu_floor;  /* no way out is narrower: up to here nothing is too big; 0: unknown */
	__u32 client_cap; /* live flows of one client; 0: no limit */
	char name[SHIFT_NAME];
	__u32 pause_until; /* tick before which nothing new is shifted; 0: no pause. It ends by
			      itself, should whoever set it die */
	__u8 old_health;   /* enum shift_health, of the old arm: for people, no packet looks */
	__u8 pad2[3];
	__u64 old_until; /* boot ns after which old_health means nothing */
	__u8 spare[144];
};

/* Where clients come in. IDs are stable; a removed one drains. */
#define SHIFT_LISTEN_USED  0x01
#define SHIFT_LISTEN_DRAIN 0x02
#define SHIFT_LISTEN_QUIC  0x04 /* a new flow begins with an Initial packet */

struct shift_listen {
	__u32 address[4];
	__u16 port;
	__u8 protocol;
	__u8 service;
	__u8 flags;
	__u8 spare[11];
};

struct shift_listen_key {
	__u32 address[4];
	__u16 port;
	__u8 protocol;
	__u8 pad;
};

/* One bit per port in either direction: most packets of a host are nobody's, and end here. */
struct shift_ports {
	__u64 listen[1024];
	__u64 nat[1024];
};

/* Longest prefix first: what to do with a client's new flows, whatever the share. */
enum shift_client_action {
	SHIFT_CLIENT_BYPASS = 1, /* local, uncounted: probes */
	SHIFT_CLIENT_OLD = 2,	 /* pinned to the old arm */
	SHIFT_CLIENT_NEW = 3,	 /* pinned to the new arm */
	SHIFT_CLIENT_PEER = 4,	 /* a peer shifted it already: never again */
	SHIFT_CLIENT_DENY = 5,	 /* by the configuration: never shifted, the host judges */
	SHIFT_CLIENT_ALLOW = 6,	 /* by the configuration: as if there were no entry */
};

struct shift_client_key {
	__u32 prefixlen; /* in bits, the 32 of `service` included; IPv4 counts 96 more */
	__u32 service;
	__u32 address[4];
};

struct shift_client {
	__u32 action; /* enum shift_client_action */
	__u32 set_uid;
	__u64 set_at;	 /* CLOCK_REALTIME ns; 0: by the configuration */
	__u64 until;	 /* 0, or boot ns after which the entry means nothing */
	__u32 prefixlen; /* of its key: then what is around it counts; 0: nothing does */
	__u8 spare[4];
};

/* ---- backends and targets -----------------------------------------------------------------
 *
 * Userspace writes these whole, so the program keeps nothing of its own in their spare bytes: what
 * it counts or finds out of a backend or target belongs into a map beside them.
 */

#define SHIFT_BACKEND_USED  0x01
#define SHIFT_BACKEND_DRAIN 0x02 /* takes no new flow */
#define SHIFT_BACKEND_MIXED 0x04 /* a flow of before uses a port that is another address's now */

enum shift_health { SHIFT_HEALTH_UNKNOWN = 0, SHIFT_HEALTH_UP = 1, SHIFT_HEALTH_DOWN = 2 };

struct shift_backend {
	char name[SHIFT_NAME];
	__u64 health_until; /* boot ns after which `health` means nothing */
	__u8 health;
	__u8 flags;
	__u8 service;
	__u8 pad;
	__u16 weight;
	__u16 targets[SHIFT_BACKEND_LISTS]; /* how many of target[list] hold */
	__u16 leaving[SHIFT_BACKEND_LISTS]; /* after these, only draining: with MIXED, their ports
					       count */
	__u8 pad2[2];
	__u16 target[SHIFT_BACKEND_LISTS][SHIFT_BACKEND_TARGETS];
	__u8 spare[64];
};

#define SHIFT_TARGET_USED	0x01
#define SHIFT_TARGET_DRAIN	0x02 /* takes no new flow */
#define SHIFT_TARGET_MASQUERADE 0x08 /* the host may use its ports for others' connections */
#define SHIFT_TARGET_NO_ROUTE	0x04 /* the last look found no way there */

struct shift_target {
	__u32 address[4];
	__u32 nat[4];
	__u16 port;    /* the backend's */
	__u16 port_lo; /* host order: flow 0 uses this NAT port */
	__u32 ports;   /* flows in its array */
	__u32 ifindex; /* the way out; 0: back where the packet came in */
	__u8 family;   /* 4 or 6 */
	__u8 protocol;
	__u8 flags;
	__u8 shards; /* how many cursors share its ports, 1..SHIFT_MAX_SHARDS */
	/* Addresses of one backend share its NAT ports without ever using one at the same time:
	 * this target may take index `phase`, phase + stride, phase + 2 stride, … */
	__u16 stride;
	__u16 phase;
	__u16 backend;
	__u16 mtu;	 /* of the way there, 0: unknown */
	__u8 gateway[6]; /* MAC of the next hop, when userspace last looked; for XDP */
	__u8 gateway_known;
	__u8 spare[65];
};

/* The hand that goes round a shard's ports; the lock is what 5.10 has instead of fetch-and-add. */
struct shift_cursor {
	__u32 lock;	  /* struct bpf_spin_lock */
	__u32 hand;	  /* counts up; place = hand % size of the shard */
	__u32 half_open;  /* records of the shard that no handshake, or no answer, has confirmed */
	__u32 in_vain;	  /* searches that found none of them given up: tick << 4 | count in it */
	__u32 sweep_tick; /* of the last look for clients' flows that ended in silence, */
	__u32 sweep;	  /* and how far behind the hand it came */
	__u32 left_tick;  /* when a port was last left to the host */
	__u32 pad;
};

/* Which backend a hash names: a weighted Maglev table per service and family. */
#define SHIFT_TABLE	 4093 /* prime */
#define SHIFT_TABLE_LIST 64

struct shift_table {
	__u16 entries; /* 0: no backend of this family, else SHIFT_TABLE */
	__u16 backend[SHIFT_TABLE];
	__u16 backends; /* how many of list[] hold: each backend once, for when many are down */
	__u16 list[SHIFT_TABLE_LIST];
};

struct shift_reply_key {
	__u32 address[4]; /* the backend's */
	__u32 nat[4];
	__u16 port; /* the backend's */
	__u8 protocol;
	__u8 pad;
};

/* ---- flows -------------------------------------------------------------------------------- */

/* flags */
#define SHIFT_FLOW_TO_OLD  0x01 /* direction: set where the new side sends to the old */
#define SHIFT_FLOW_RELAY   0x02 /* owned by the relay */
#define SHIFT_FLOW_CUT	   0x04 /* `rollback --cut` told both ends */
#define SHIFT_FLOW_HOSTS   0x20 /* the port is in use by the host itself */
#define SHIFT_FLOW_UDP	   0x10 /* as `protocol` says, where every packet looks */
#define SHIFT_FLOW_GATEWAY 0x08 /* the client came through the target's gateway */

/* up, down: what was seen from the client, from the backend. A byte each, because the two
 * directions run on two CPUs at once. */
#define SHIFT_SEEN_FIN	     0x01
#define SHIFT_SEEN_RST	     0x02
#define SHIFT_SEEN_FIN_SURE  0x08 /* with the very number that was expected */
#define SHIFT_SEEN_FIN_FIRST 0x04 /* down: it closed first or at once, so it keeps TIME_WAIT */
#define SHIFT_SEEN_DATA	     0x10

/* The first cache line is all that a packet of an established flow touches. */
struct shift_flow {
	__u32 client[4];
	__u16 client_port;
	__u16 listen;
	__u32 generation; /* of this record: counts the flows that it was of */
	__u8 state;
	__u8 up;
	__u8 down;
	__u8 cut;	   /* written by a paced `rollback --cut` only: reset this flow */
	__u32 expires;	   /* tick after which the port may be taken again */
	__u32 client_ack;  /* last acknowledgement by the client: what a RST to it must carry */
	__u32 backend_ack; /* the same of the backend */
	__u64 bytes_up;	   /* client to backend, IP length */
	__u64 bytes_down;
	__u32 ifindex; /* where the client is */
	__u16 backend;
	__u8 service;
	__u8 flags;

	__u64 epoch; /* of the control under which it began */
	__u64 born;  /* ktime ns of its SYN */
	__u32 client_isn;
	__u32 backend_isn;
	__u32 client_fin;  /* number after the client's FIN */
	__u32 backend_fin; /* the same; before the handshake is over, an earlier SYN-ACK's ISN */
	__u16 rank;
	__u8 protocol;
	__u8 syn_retransmits;
	/* Of the last SYN that asked a living flow to begin anew: when, what bytes_down was (its
	 * low half), and its number. */
	__u32 syn_tick;
	__u32 syn_bytes;
	__u32 syn_isn;
	__u16 cursor; /* of the shard whose port this is */
	__u16 load;   /* the client's place in shift_load */
	__u8 counted; /* SHIFT_COUNTED_*: what this record is counted in */
	__u8 was;     /* state before the port was taken for a new flow */
	__u8 spare[2];
	__u64 asked; /* ktime ns of the client's first data */
};

#define SHIFT_COUNTED_HALF_OPEN 0x01 /* shift_cursor.half_open */
#define SHIFT_COUNTED_LOAD	0x02 /* shift_load */
#define SHIFT_COUNTED_FAILED	0x04 /* shift_answers.failed */

/* Live flows by client, the client being a hash of 16 bits: two that clash share a limit. */
struct shift_load {
	__u32 flows[SHIFT_RANKS];
};

struct shift_flow_key {
	__u32 client[4];
	__u16 client_port;
	__u16 listen;
} __attribute__((aligned(8)));

/* A line of the forward index; see index.bpf.h. */
#define SHIFT_LINE_REFS 7

struct shift_index_line {
	__u32 lock; /* struct bpf_spin_lock */
	__u32 spilled;
	__u64 ref[SHIFT_LINE_REFS]; /* target, index << 16, tag << 32 */
};

/* SYNs left local, by tuple and ISN: one cache line of eight, the oldest gives way. */
#define SHIFT_SYN_WAYS	8
#define SHIFT_SYN_LINES 65536

struct shift_syn_line {
	__u32 tag[SHIFT_SYN_WAYS];
	__u32 tick[SHIFT_SYN_WAYS];
};

/* UDP tuples that the old host serves, by tuple: lines of the same kind. */
#define SHIFT_UDP_LINES 16384

/* Where the later fragments of a datagram go, told by its first one. */
#define SHIFT_FRAGMENTS 4096

enum shift_fragment_way { SHIFT_FRAGMENT_UP = 1, SHIFT_FRAGMENT_DOWN = 2 };

struct shift_fragment {
	__u32 src[4];
	__u32 dst[4];
	__u32 id;
	__u32 tick;
	__u32 generation; /* of the flow's record */
	__u16 target;
	__u16 index;
	__u8 protocol;
	__u8 way; /* enum shift_fragment_way; 0: free */
	__u8 pad[14];
};

/* A later fragment that came before its first one: a copy, from the link header on. */
#define SHIFT_HELD	 128
#define SHIFT_HELD_BYTES 1664

struct shift_held {
	__u32 src[4];
	__u32 dst[4];
	__u32 id;
	__u32 tick;
	__u32 length; /* 0: free */
	__u8 protocol;
	__u8 pad[3];
	__u8 bytes[SHIFT_HELD_BYTES];
};

/*
 * Stops what fails. A failed handshake counts up, a good one down; at the bound the breaker opens,
 * and the backend gets one new flow in ten seconds until one succeeds. One for all CPUs.
 */
struct shift_breaker {
	__u32 lock; /* struct bpf_spin_lock */
	__u32 failures;
	__u32 open;
	__u32 probe;	 /* tick of the last flow let through */
	__u64 opened_at; /* ktime ns: a flow from before cannot close it */
	__u64 opened;	 /* how often */
};

#define SHIFT_BREAKER_FAILURES 8
#define SHIFT_BREAKER_PROBE    10 /* seconds */

/* A shard has no more flows half open than a quarter of its ports, or so many if that is more. */
#define SHIFT_HALF_OPEN_MIN 1024
#define SHIFT_IN_VAIN	    15 /* searches a tick, and at most what four bits hold */

/* Who still arrives at the old arm, by network: IPv4 /24, IPv6 /48. */
#define SHIFT_ARRIVALS 16384

struct shift_arrival_key {
	__u32 network[3]; /* the first 96 bits, v4-mapped: then the IPv4 network is in `v4` */
	__u32 v4;
	__u32 service;
};

struct shift_arrival {
	__u64 connections;
	__u64 last_ns; /* CLOCK_MONOTONIC, of the newest */
};

#include "bpf/counters.h"

/* ---- the namespace's own record ----------------------------------------------------------- */

/* One more place than there are interfaces, for runs without a packet. */
#define SHIFT_IFSTATS_PLACES (SHIFT_MAX_INTERFACES + 1)

enum shift_xdp_mode { SHIFT_XDP_NONE = 0, SHIFT_XDP_GENERIC, SHIFT_XDP_NATIVE };

enum shift_hook { SHIFT_HOOK_NONE = 0, SHIFT_HOOK_TCX, SHIFT_HOOK_CLSACT, SHIFT_HOOK_XDP };

struct shift_interface {
	__u32 ifindex; /* 0: free */
	__u8 hook;
	__u8 made_clsact; /* we added the qdisc, so we may take it away */
	__u16 services;	  /* bit i: service i lists this interface */
	char name[16];
	__u8 mac[8];
	__u32 mtu;
	__u8 xdp; /* enum shift_xdp_mode: the short way is there, too */
	__u8 spare_before;
	__u16 xdp_services; /* bit i: service i wants it there */
	__u8 spare[24];
};

#define SHIFT_MAX_RANGES 32

struct shift_range {
	__u16 lo, hi; /* hi 0: no range */
};

struct shift_globals {
	__u32 abi;
	__u32 hz;
	__u32 window_shift;
	__u32 flow_capacity; /* flows that the forward index has room for */
	__u64 clock_jiffies; /* jiffies64 when CLOCK_MONOTONIC was clock_ns: both run alike */
	__u64 clock_ns;
	__u64 netns; /* SO_NETNS_COOKIE, or the inode below 5.14 */
	__u64 build; /* of the object that was loaded last */
	struct shift_range reserved[SHIFT_MAX_RANGES]; /* ours in ip_local_reserved_ports */
	__u64 flow_seed;			       /* of the forward index's hash */
	__u8 spare[8];
	struct shift_interface interface[SHIFT_MAX_INTERFACES];
};

/* What the explain program answers for one made-up packet. */
struct shift_explanation {
	__u64 hash;
	__u64 epoch;
	__u32 rank;
	__u32 threshold; /* in force, deadlines applied */
	__u32 verdict;	 /* enum shift_verdict */
	__u32 fallback;	 /* enum shift_fallback when the verdict says so */
	__u16 service, listen, backend, target;
	__u32 client_action; /* 0, or enum shift_client_action that decided */
	__u32 flow_state;    /* of a live flow with this tuple, else 0 */
	__u32 local_socket; /* 1: the host has a socket of this tuple, 2: it is remembered as its */
	__u8 spare[12];
};

_Static_assert(sizeof(struct shift_record) == 512, "record");
_Static_assert(__builtin_offsetof(struct shift_record, lease_threshold) == 64, "record hot part");
_Static_assert(sizeof(struct shift_control) == 32 * 512, "control");
_Static_assert(sizeof(struct shift_service) == 256, "service");
_Static_assert(sizeof(struct shift_listen) == 32, "listen");
_Static_assert(sizeof(struct shift_listen_key) == 20, "listen key");
_Static_assert(sizeof(struct shift_client_key) == 24, "client key");
_Static_assert(sizeof(struct shift_backend) == 640, "backend");
_Static_assert(sizeof(struct shift_target) == 128, "target");
_Static_assert(sizeof(struct shift_client) == 32, "client");
_Static_assert(sizeof(struct shift_cursor) == 32, "cursor");
_Static_assert(sizeof(struct shift_fragment) == 64, "fragment");
_Static_assert(sizeof(struct shift_held) == 48 + SHIFT_HELD_BYTES, "held");
_Static_assert(sizeof(struct shift_breaker) == 32, "breaker");
_Static_assert(sizeof(struct shift_arrival_key) == 20, "arrival key");
_Static_assert(sizeof(struct shift_arrival) == 16, "arrival");
_Static_assert(sizeof(struct shift_table) == 2 + 2 * SHIFT_TABLE + 2 + 2 * SHIFT_TABLE_LIST,
	       "table");
_Static_assert(sizeof(struct shift_ports) == 16384, "ports");
_Static_assert(sizeof(struct shift_syn_line) == 64, "syn line");
_Static_assert(sizeof(struct shift_interface) == 64, "interface");
_Static_assert(sizeof(struct shift_globals) == 48 + 128 + 16 + 64 * SHIFT_MAX_INTERFACES,
	       "globals");
_Static_assert(sizeof(struct shift_reply_key) == 36, "reply key");
_Static_assert(sizeof(struct shift_flow) == 128, "flow");
_Static_assert(__builtin_offsetof(struct shift_flow, epoch) == 64, "flow hot part");
_Static_assert(sizeof(struct shift_flow_key) == 24, "flow key");
_Static_assert(sizeof(struct shift_index_line) == 64, "index line");
_Static_assert(sizeof(struct shift_explanation) == 64, "explanation");

#include "bpf/compute.h"
