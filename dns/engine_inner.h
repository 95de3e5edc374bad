/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * engine_inner.h - the parts of the engine among themselves: engine.c has the questions and their
 * order, engine_udp.c, engine_stream.c (TCP, with engine_tls.c also TLS) and engine_https.c carry
 * one try each
 *
 * A carrier is started with dns_…_start, which returns 0, or −errno and nothing is on its way. It
 * ends the try with exactly one of dns_ask_answered, dns_ask_failed and dns_ask_over_tcp, or is
 * told to let go of it by dns_…_drop.
 */
#pragma once

#include <stdatomic.h>

#include "dns/engine.h"
#include "userspace/base/loop.h"

#define DNS_SHARE 64 /* questions on one socket at most */

struct http;
struct http_call;
struct ssl_ctx_st;
struct dns_port;
struct dns_stream;
struct dns_lookup;

enum dns_ask_state {
	DNS_ASK_WAITS, /* for its turn: rate, or sockets */
	DNS_ASK_UDP,
	DNS_ASK_STREAM,
	DNS_ASK_LOOKUP, /* for the address of a server that is known by name */
	DNS_ASK_HTTPS,
};

struct dns_asked {
	struct dns_asked *next, *prev; /* of all */
	struct dns_asked *behind;      /* in its target's queue */
	struct dns_engine *engine;
	struct dns_known *target;
	struct dns_question q;
	dns_done done;
	void *arg;
	enum dns_ask_state state;
	struct loop_timer timer; /* the end of the try */
	unsigned int tries, rejected;
	bool malformed; /* something matched, and was no sound message */
	bool truncated; /* over UDP */
	uint64_t sent;
	union { /* by state */
		struct dns_port *port;
		struct dns_stream *stream;
		struct dns_lookup *lookup;
		struct http_call *call;
	};
	size_t query_size;
	uint8_t query[DNS_QUERY];
};

/* A target that was ever asked: its queue and its rate. Kept as long as the engine. */
struct dns_known {
	struct dns_known *same_hash, *next_ready;
	struct dns_target target;
	struct dns_asked *first, *last;
	bool ready;
	uint64_t bucket;
	struct loop_timer timer;
	struct dns_engine *engine;
	struct dns_port *port; /* that has room for more questions; NULL */
};

struct dns_engine {
	struct loop *loop;
	struct dns_engine_settings set;
	char ca_file[4096];
	struct dns_asked *all;
	unsigned int busy, flying;
	struct dns_known **known;
	unsigned int n_known, room; /* room: a power of two */
	struct dns_known *first_ready, *last_ready;
	struct loop_timer pump;
	struct dns_port *reading; /* until it is closed */
	struct dns_port *unsent;  /* ports with queries that are to be sent at the pump's end */
	bool full;		  /* no descriptor was left: wait for one of ours */
	struct ssl_ctx_st *tls;
	struct http *http;
	uint8_t random[512];
	unsigned int random_left;
	struct dns_answer answer;
	uint8_t *room_in; /* where datagrams are received */
};

/* A target's rate, with a burst of one second's worth. *bucket is the engine's to keep, 0 at first.
 * false: not yet, and *ret_at says when. */
bool dns_bucket_take(uint64_t *bucket, uint64_t now, unsigned int rate, uint64_t *ret_at);

uint16_t dns_random16(struct dns_engine *e);

/*
 * Something came for this question. true: it was the answer, or the question went on to TCP, or
 * ended, and `a` is not to be touched. false: it is counted, go on waiting.
 */
bool dns_ask_received(struct dns_asked *a, const uint8_t *wire, size_t size,
		      enum dns_transport over, uint64_t now);
/* The try's end without an answer, and the question's. why NULL: the outcome's own words. */
void dns_ask_failed(struct dns_asked *a, enum dns_outcome outcome, int err, const char *why);
/* What −errno of a socket means. */
enum dns_outcome dns_outcome_of(int err);

int dns_udp_start(struct dns_asked *a);
void dns_udp_drop(struct dns_asked *a);
void dns_udp_flush(struct dns_engine *e);
void dns_port_close(struct dns_port *p);

/* To `t`, which may be another address than the target's. */
int dns_stream_start(struct dns_asked *a, const struct dns_target *t, bool tls);
void dns_stream_drop(struct dns_asked *a);

int dns_https_start(struct dns_asked *a);
void dns_https_drop(struct dns_asked *a);

int dns_lookup_start(struct dns_asked *a);
void dns_lookup_drop(struct dns_asked *a);

/* TLS between a stream's bytes and its socket's (engine_tls.c). */
struct dns_tls;
/* The certificates to trust, which take tens of milliseconds to read: before anything is on its way
 * whose time is measured. 0; -ENOKEY: they cannot be read; -ENOMEM. */
int dns_tls_prepare(struct dns_engine *e);
int dns_tls_make(struct dns_engine *e, const struct dns_target *t, struct dns_tls **ret);
void dns_tls_free(struct dns_tls *t);
/* Plain bytes in, to be sent once the handshake is over. */
int dns_tls_write(struct dns_tls *t, const uint8_t *data, size_t size);
/* Bytes that came from the socket. */
int dns_tls_feed(struct dns_tls *t, const uint8_t *data, size_t size);
/* Plain bytes that came: their number, 0: none now; -EPROTO with `why`: the peer is not trusted, or
 * the handshake failed; -ECONNRESET: closed. Goes on with the handshake. */
int dns_tls_read(struct dns_tls *t, uint8_t *ret, size_t size, char *why, size_t why_size);
/* Bytes for the socket: their number. */
size_t dns_tls_take(struct dns_tls *t, uint8_t *ret, size_t size);
