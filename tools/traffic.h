/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * traffic: the test client and test server of the lab, shared declarations.
 *
 * Errors inside one connection are counted in struct stats; functions that can fail as a whole
 * return 0 or a negative errno. Times are microseconds of CLOCK_MONOTONIC unless named otherwise.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* ---- checked bytes (traffic_bytes.c) ---- */

#define DATA_SEED 0x5348494654435aULL /* of the file that the lab's nginx serves as /data */
#define DATA_SIZE (1u << 20)
#define SEED_UP	  0x1111111111111111ULL /* xor-ed to a connection's seed: client to server */
#define SEED_DOWN 0x2222222222222222ULL /* ... and server to client */

uint64_t mix64(uint64_t x);
/* Writes bytes [at, at + n) of the endless stream named by `seed`. */
void bytes_fill(uint64_t seed, uint64_t at, void *buf, size_t n);
/* The index of the first byte that is not the stream's, or -1 when all are right. */
ssize_t bytes_check(uint64_t seed, uint64_t at, const void *buf, size_t n);

/* ---- addresses (traffic_addr.c) ---- */

union endpoint {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

#define ENDPOINT_TEXT 64

/* A prefix from which client number i takes its source address; count 0 means "not given". */
struct source {
	union endpoint net;
	unsigned int prefix;
	uint32_t count;
};

/* Parses "1.2.3.4:80" or "[2001:db8::1]:80". -EINVAL when it is neither. */
int endpoint_parse(const char *text, union endpoint *ret_ep);
socklen_t endpoint_len(const union endpoint *ep);
void endpoint_format(const union endpoint *ep, bool with_port, char out[static ENDPOINT_TEXT]);
/* Parses a CIDR; a plain address is a prefix of one. Hosts are numbered from 1 up, as no host has
 * number 0; an IPv6 prefix shorter than /64 gives every client a /64 of its own. */
int source_parse(const char *text, uint32_t max_clients, struct source *ret_src);
void source_address(const struct source *src, uint32_t index, uint16_t port, union endpoint *ret);
uint64_t now_us(void);
uint64_t realtime_us(void);

static inline uint64_t to_us(double seconds)
{
	return (uint64_t)(seconds * 1e6);
}

int raise_open_files(void);

/* ---- what a run is asked to do (traffic.c) ---- */

#define MAX_TARGETS  32
#define MAX_BLOCK    8192 /* of the checked protocol, and of what one send() surely takes */
#define MAX_DATAGRAM 1400

enum close_mode { CLOSE_CLIENT, CLOSE_SERVER, CLOSE_RESET };

struct options {
	const char *verb;
	union endpoint to[MAX_TARGETS];
	unsigned int n_to;
	const char *from; /* as given; resolved into the two below */
	struct source from4, from6;
	uint32_t clients;
	unsigned int port_low, port_high; /* 0: the kernel chooses */
	bool random;
	uint64_t seed;
	double rate; /* connections/s; < 0: as fast as `inflight` allows */
	double duration, hold, interval, timeout, report;
	double keepalive;
	uint64_t count;
	unsigned int connections, inflight, range, block, details;
	enum close_mode close_mode;
	const char *path, *host, *map, *log;
	bool expect_reset, allow_errors;
	const char *arm;
	unsigned int port;
};

/* ---- counting (traffic_stats.c) ---- */

enum fault {
	FAULT_REFUSED,
	FAULT_RESET,
	FAULT_UNREACHABLE,
	FAULT_CONNECT_TIMEOUT,
	FAULT_ANSWER_TIMEOUT,
	FAULT_CLOSE_TIMEOUT,
	FAULT_SHORT_BODY,
	FAULT_CLOSED_EARLY,
	FAULT_STATUS,
	FAULT_WRONG_BODY,
	FAULT_WRONG_BYTE,
	FAULT_ARM_CHANGED,
	FAULT_PROTOCOL,
	FAULT_LOST, /* a datagram without an answer; its flow goes on */
	FAULT_LOCAL,
	FAULT_MAX,
};

#define MAX_ARMS    16
#define ARM_NAME    32
#define HIST_SLOTS  1216
#define MAX_DETAILS 64
#define DETAIL_TEXT 224

struct hist {
	uint64_t count, max;
	uint32_t slot[HIST_SLOTS];
};

struct arm {
	char name[ARM_NAME];
	uint64_t connections, requests;
	uint64_t connections_before; /* at the last report */
	uint64_t lasting;	     /* long-lived connections open now */
};

struct stats {
	const struct options *opt;
	uint64_t began, began_real, last_report;
	uint64_t started, completed, requests, bytes;
	uint64_t active, active_lasting;
	uint64_t expected_lasting, expected_short, reconnects;
	uint64_t reset_requests; /* of the expected ones, with a question under way */
	uint64_t slow_connects;	 /* 0.9 s and more: its SYN had to be sent again */
	uint64_t faults[FAULT_MAX];
	uint64_t errors, errors_before, started_before, requests_before;
	struct arm arms[MAX_ARMS];
	unsigned int n_arms;
	struct hist connect, request, request_interval;
	char details[MAX_DETAILS][DETAIL_TEXT];
	unsigned int n_details;
	int8_t *map4, *map6; /* arm last seen by client number, -1 never */
	uint64_t clients_moved;
	FILE *log;
};

/* 0, -ENOMEM, or -errno of the log file. */
int stats_init(struct stats *st, const struct options *opt);
void stats_free(struct stats *st);
/* The index of an arm by its name (not terminated, `len` bytes); -EINVAL for a name that is none,
 * -ENOSPC when there are too many. */
int stats_arm(struct stats *st, const char *name, size_t len);
void stats_fault(struct stats *st, enum fault kind, const char *text);
void stats_seen(struct stats *st, int family, uint32_t client, int arm);
void stats_log(struct stats *st, uint64_t start, const char *event, bool lasting,
	       const union endpoint *from, const char *arm);
/* One JSON line on stdout; `final` adds the details. */
void stats_report(struct stats *st, bool final);
/* Writes the --map file. 0 or -errno. */
int stats_write_map(const struct stats *st);
void hist_add(struct hist *h, uint64_t us);
const char *fault_name(enum fault kind);

/* ---- the client's engine (traffic_client.c, traffic_conn.c) ---- */

enum phase { PHASE_CONNECT, PHASE_TALK, PHASE_IDLE, PHASE_CLOSE };

#define HEAD_MAX 1024

struct conn {
	int fd;
	enum phase phase;
	bool lasting;
	bool again; /* its client's connection before was reset, as expected */
	int arm;    /* -1: not told yet */
	unsigned int to;
	uint32_t client;
	union endpoint from;
	uint64_t start, asked, ends, due;
	uint32_t heap; /* place in the timer heap, from 1 */
	uint32_t requests;
	uint64_t seed;
	/* of the answer being read */
	uint32_t head_len;
	uint64_t body_at, body_len, body_from;
	bool in_body;
	char head[HEAD_MAX];
	struct conn *next; /* in the list of free ones */
};

struct client;

/*
 * What a kind of conversation adds to the engine. Each function returns false when it ended the
 * connection (the struct is then gone).
 */
struct talk {
	bool datagram; /* UDP: nothing is connected or closed, a lost answer is no broken flow */
	bool (*connected)(struct client *cl, struct conn *c);
	bool (*data)(struct client *cl, struct conn *c, const char *buf, size_t n);
	bool (*wake)(struct client *cl, struct conn *c); /* PHASE_IDLE ended */
};

struct client {
	const struct options *opt;
	const struct talk *talk;
	struct stats st;
	int epfd, sigfd;
	struct conn **heap;
	uint32_t heap_len, heap_cap;
	struct conn *free;
	uint64_t scheduled, ends, hard_end, next_report;
	uint32_t next4, next6, next_port;
	double lasting_credit;
	bool expect_reset, stopping;
	char buf[1 << 17];
};

/* Runs until the time, the count or a signal ends it. The process's exit code. */
int client_run(const struct options *opt, const struct talk *talk);
/* Ends the connection as failed and frees it; always false, to be returned by a talk function. */
bool conn_fail(struct client *cl, struct conn *c, enum fault kind, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Sends all of it at once or fails the connection. */
bool conn_send(struct client *cl, struct conn *c, const void *buf, size_t n);
/* Notes which arm answers; false after failing the connection when it is not the same as before. */
bool conn_arm(struct client *cl, struct conn *c, const char *name, size_t len);
/* The answer is complete: sleep until the next question, or begin the end of the connection. */
bool conn_answered(struct client *cl, struct conn *c, uint64_t bytes);

/* Begins a connection; `again` is one that was reset and whose client now comes back. */
void conn_open(struct client *cl, const struct conn *again);
/* An epoll event of its socket; its due time has come; sets the due time. */
void conn_event(struct client *cl, struct conn *c, uint32_t events);
void conn_expired(struct client *cl, struct conn *c);
void conn_due(struct client *cl, struct conn *c, uint64_t due);

/* ---- verbs ---- */

int http_main(const struct options *opt);
int hold_main(const struct options *opt);
int udp_main(const struct options *opt);
int serve_main(const struct options *opt);
int data_main(const struct options *opt);
