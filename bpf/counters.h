/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * counters.h - what the program counts, and what it remembers in order to count; a part of shift.h
 *
 * Counters are per CPU, written by the program alone; they add up across CPUs and across hosts.
 */
#pragma once

#include <linux/types.h>

enum shift_fallback {
	SHIFT_FALLBACK_PORTS_EXHAUSTED = 0,
	SHIFT_FALLBACK_TABLE_FULL,
	SHIFT_FALLBACK_NO_BACKEND,
	SHIFT_FALLBACK_NO_ROUTE,
	SHIFT_FALLBACK_RESCUED,
	SHIFT_FALLBACK_HALF_OPEN,    /* too many flows that nobody has answered yet */
	SHIFT_FALLBACK_CLIENT_LIMIT, /* too many flows of one client */
	SHIFT_FALLBACKS,
};

#define SHIFT_FALLBACK_NAMES                                                                       \
	{                                                                                          \
		"ports_exhausted", "table_full", "no_backend", "no_route", "rescued", "half_open", \
			"client_limit"                                                             \
	}

struct shift_service_stats {
	__u64 connections_old;
	__u64 connections_new;
	__u64 bypassed;
	__u64 syn_retransmits; /* of SYNs that were left local */
	__u64 packets_new;     /* both directions */
	__u64 bytes_new;
	__u64 fallback[8]; /* enum shift_fallback */
	__u64 shadow;	   /* would have been shifted */
	__u64 spare[17];
};

/* Upper edges in units of 10 us, ten a decade, so that 100, 200 and 500 ms are edges. */
#define SHIFT_HISTOGRAM_EDGES                                                                      \
	{                                                                                          \
		1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 200,   \
			250, 300, 400, 500, 600, 800, 1000, 1200, 1500, 2000, 2500, 3000, 4000,    \
			5000, 6000, 8000, 10000, 12000, 15000, 20000, 25000, 30000, 40000, 50000,  \
			60000, 80000, 100000, 120000, 150000, 200000, 250000, 300000, 400000,      \
			500000, 600000, 800000, 1000000                                            \
	}
#define SHIFT_HISTOGRAM_STEPS 58 /* edges; bucket i ends at edge i, the last has no end */
#define SHIFT_HISTOGRAM	      64

/*
 * How an arm answers. In TCP it is asked with the client's first data and answers with its own
 * first data; in UDP with the first datagram either way. What is answered without having been asked
 * has no time. Of the new arm every connection is seen, of the old one those that are watched
 * (SHIFT_WATCH_ONE_IN), and only these are counted here. Failures are of TCP.
 */
enum shift_arm_id { SHIFT_ARM_OLD = 0, SHIFT_ARM_NEW, SHIFT_ARMS };

enum shift_failure {
	SHIFT_FAILURE_REFUSED = 0, /* a RST answered the SYN */
	SHIFT_FAILURE_UNANSWERED,  /* nothing answered it */
	SHIFT_FAILURE_RESET,	   /* a RST came before the first data */
	SHIFT_FAILURE_CLOSED,	   /* asked, it closed without an answer */
	SHIFT_FAILURE_GAVE_UP,	   /* the client ended what was asked and not answered */
	SHIFT_FAILURES,
};

#define SHIFT_FAILURE_NAMES                                                                        \
	{                                                                                          \
		"refused", "unanswered", "reset", "closed", "gave_up"                              \
	}

struct shift_answers {
	__u64 epoch; /* of control, where counted apart */
	__u64 begun;
	__u64 answered;
	__u64 failed;
	__u64 failed_clients; /* a client's first since these were forgotten: IPv4 /32, IPv6 /64 */
	__u64 failure[8];     /* enum shift_failure */
	__u64 chosen;	      /* connections whose arm the share alone decided: all of both arms */
	__u64 clients;	      /* affinity client: of their clients, those sampled, once each */
	__u64 spare;
	__u64 answer[SHIFT_HISTOGRAM]; /* asked to answered */
};

/* Connections that began within 2^30 ns of each other: number = ktime >> SHIFT_COHORT_SHIFT. */
#define SHIFT_COHORT_SHIFT 30
#define SHIFT_COHORTS	   16

struct shift_cohort {
	__u64 number;
	__u32 begun;
	__u32 failed;
};

/* A connection counts to the epoch it began in, while no eighth later one has its place. */
#define SHIFT_EPOCHS 8

struct shift_arm {
	struct shift_answers total;
	struct shift_cohort cohort[SHIFT_COHORTS];
	struct shift_answers epoch[SHIFT_EPOCHS];
};

/* A connection of the old arm that is watched until it is answered: see bpf/watch.bpf.h. */
#define SHIFT_WATCHES	   16384
#define SHIFT_WATCH_ONE_IN 8

enum shift_watch_state {
	SHIFT_WATCH_FREE = 0,
	SHIFT_WATCH_SYN,
	SHIFT_WATCH_OPEN, /* the host's SYN-ACK was seen */
	SHIFT_WATCH_ASKED,
};

struct shift_watch {
	__u32 client[4];
	__u16 client_port;
	__u16 listen;
	__u8 state; /* enum shift_watch_state */
	__u8 service;
	__u8 protocol;
	__u8 repeats; /* of its SYN */
	__u32 tick;   /* of the last of these */
	__u32 number; /* the SYN's; then what the host expects of the client next */
	__u64 born;   /* ktime ns */
	__u64 asked;
	__u64 epoch;
	__u8 acknowledged; /* the host's SYN-ACK, by the client */
	__u8 spare[7];
};

/* Clients whose failure was counted, until shiftd forgets them: see bpf/answer.bpf.h. */
#define SHIFT_FAILERS 16384

struct shift_failer_key {
	__u32 client[3]; /* IPv4: in the last; IPv6: the first 64 bits */
	__u32 place;	 /* service * SHIFT_ARMS */
};

struct shift_failer {
	__u64 spare[2];
};

/*
 * Clients that were counted, by service, until shiftd forgets them: lines of eight tags. In each
 * epoch of control another eighth of the clients is (shift_client_sampled), so that also one after
 * the other no client is counted twice.
 */
#define SHIFT_SEEN_WAYS	    8
#define SHIFT_SEEN_LINES    2048
#define SHIFT_CLIENT_ONE_IN 8

struct shift_seen {
	__u32 tag[SHIFT_SEEN_LINES][SHIFT_SEEN_WAYS];
};

/*
 * Who the connections of late are from, by service: one in SHIFT_ORIGIN_ONE_IN of both arms, each
 * at a place by chance. So a place holds one of the newest few thousand, and no CPU waits for
 * another's counter.
 */
#define SHIFT_ORIGINS	    512
#define SHIFT_ORIGIN_ONE_IN 8

struct shift_origin {
	__u32 client[2]; /* IPv6: the first 64 bits; IPv4: 0 and the address */
};

struct shift_origins {
	struct shift_origin at[SHIFT_ORIGINS];
};

struct shift_backend_stats {
	__u64 connections;
	__u64 handshakes;	  /* answered by a SYN-ACK */
	__u64 handshake_failures; /* reset or never answered */
	__u64 syn_retransmits;
	__u64 packets_up;
	__u64 bytes_up;
	__u64 packets_down;
	__u64 bytes_down;
	__u64 resets; /* RST of either side after the handshake */
	__u64 spare[7];
	__u64 handshake[SHIFT_HISTOGRAM]; /* SYN to SYN-ACK */
};

/* What became of a packet: exactly one of these is counted for each. */
enum shift_verdict {
	SHIFT_PASS_OTHER = 0, /* nobody's: another protocol, port or address */
	SHIFT_PASS_MALFORMED, /* could not be read: the stack will judge it */
	SHIFT_PASS_FRAGMENT,
	SHIFT_PASS_LOCAL,	 /* an established packet of the old arm */
	SHIFT_PASS_LOCAL_SYN,	 /* a new connection for the old arm */
	SHIFT_PASS_LOCAL_REPEAT, /* its SYN again */
	SHIFT_PASS_BYPASS,
	SHIFT_PASS_FALLBACK,	  /* could not be shifted */
	SHIFT_PASS_RESCUED,	  /* the backend never answered */
	SHIFT_PASS_REPLY_UNKNOWN, /* from a backend, but no flow: the host's own */
	SHIFT_FORWARD,
	SHIFT_REPLY,
	SHIFT_CUT,	    /* answered with RST to both sides */
	SHIFT_RESET_UNABLE, /* on_unable: reset */
	SHIFT_DROP_TTL,
	SHIFT_DROP_REWRITE, /* out of memory while writing to the packet */
	SHIFT_ICMP_FORWARD, /* an ICMP error about a shifted flow, on to the backend */
	SHIFT_ICMP_REPLY,   /* the same, on to the client */
	SHIFT_TOO_BIG,	    /* answered: the way out is narrower */
	SHIFT_FRAGMENT_FORWARD,
	SHIFT_FRAGMENT_REPLY,
	SHIFT_FRAGMENT_ORDER, /* a first fragment came late: it and those before it are read again
			       */
	SHIFT_REFUSED_ANEW,   /* reset: a SYN's answer, where the SYN had asked a living flow */
	SHIFT_VERDICTS,
};

#define SHIFT_VERDICT_NAMES                                                                        \
	{                                                                                          \
		"pass_other", "pass_malformed", "pass_fragment", "pass_local", "pass_local_syn",   \
			"pass_local_repeat", "pass_bypass", "pass_fallback", "pass_rescued",       \
			"pass_reply_unknown", "forward", "reply", "cut", "reset_unable",           \
			"drop_ttl", "drop_rewrite", "icmp_forward", "icmp_reply", "too_big",       \
			"fragment_forward", "fragment_reply", "fragment_order", "refused_anew"     \
	}

#define SHIFT_WINDOWS 16 /* about a second each: jiffies >> window_shift */

struct shift_if_stats {
	__u64 verdict[32];
	__u64 until; /* jiffies: then the next window begins */
	/* Window n lies at place n % SHIFT_WINDOWS, with the sum of all verdicts at its first
	 * packet: what came in it is what the one after it, or now, has more. */
	__u32 window[SHIFT_WINDOWS];
	__u32 before[SHIFT_WINDOWS];
	__u8 scratch[632]; /* the program's working memory for the packet at hand, more than its
			      stack */
};

_Static_assert(sizeof(struct shift_service_stats) == 256, "service stats");
_Static_assert(sizeof(struct shift_backend_stats) == 640, "backend stats");
_Static_assert(sizeof(struct shift_if_stats) == 1024, "if stats");
_Static_assert(sizeof(struct shift_answers) == 640, "answers");
_Static_assert(sizeof(struct shift_arm) == 9 * 640 + 256, "arm");
_Static_assert(sizeof(struct shift_watch) == 64, "watch");
_Static_assert(sizeof(struct shift_failer_key) == 16, "failer key");
_Static_assert(sizeof(struct shift_failer) == 16, "failer");
_Static_assert(sizeof(struct shift_seen) == 65536, "seen");
_Static_assert(sizeof(struct shift_origins) == 4096, "origins");
