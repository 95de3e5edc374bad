/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * engine.h - many questions to many servers at once, on the one loop
 *
 *   struct dns_engine *e;
 *   dns_engine_make(loop, &settings, &e);
 *   dns_ask(e, &target, &question, on_result, x);
 *
 * Every question has a connected socket, a port and an ID of its own (unless `share` says that a
 * few may have the same socket); an answer from another
 * address or port never arrives, one with another ID or question is counted and waited past. UDP
 * that is truncated is asked again over TCP. Targets are asked no faster than their rate allows,
 * retried with back-off, and one that is slow or dead delays no other. RFC 5452 (resilience against
 * forged answers), 7766 (TCP), 7858 (TLS), 8484 (HTTPS).
 */
#pragma once

#include "dns/message.h"

struct loop;
struct dns_engine;

enum dns_transport { DNS_UDP, DNS_TCP, DNS_TLS, DNS_HTTPS };

struct dns_target {
	enum dns_transport transport;
	uint8_t family; /* 4 or 6; 0 only of HTTPS and of TLS by name: `host` is resolved by the
			   system */
	uint32_t ip[4];
	uint16_t port;	/* host order */
	char host[256]; /* TLS: the name that its certificate must have; "": its address */
	char url[512];	/* HTTPS */
	char text[256]; /* as people know it */
};

struct dns_engine_settings {
	uint64_t timeout_ns; /* of one try; 0: 1.5 s; doubles with each UDP try; TLS and HTTPS have
			      * twice as long, for their handshakes */
	unsigned int tries;  /* of UDP; 0: 3 */
	unsigned int rate;   /* questions per second and target, with a burst of the same; 0: 50 */
	unsigned int in_flight; /* sockets at most; 0: 1000; others wait their turn */
	unsigned int share; /* UDP questions to one target that may be on their way from one socket,
			     * each with its own random ID, for throughput; at most 64; 0: 1 */
	const char *ca_file; /* trusted for TLS and HTTPS instead of the system's; NULL */
};

enum dns_outcome {
	DNS_ANSWERED,
	DNS_TIMEOUT,   /* nothing that could be accepted came in time */
	DNS_CLOSED,    /* ICMP port unreachable, connection refused or closed */
	DNS_NO_ROUTE,  /* this host cannot send there, as with a family it does not have */
	DNS_UNTRUSTED, /* TLS: the certificate; HTTPS: the status */
	DNS_MALFORMED, /* an answer to the question that is no sound message */
	DNS_FAILED,    /* here: descriptors, memory; see err */
};
extern const char *const dns_outcomes[]; /* their names in words: "timed out" */

struct dns_result {
	enum dns_outcome outcome;
	int err;       /* −errno, where there is one */
	char why[128]; /* in words, for people; "" when answered */
	const struct dns_target
		*target; /* the engine's copy, as the rest until the callback returns */
	const struct dns_question *question;
	const struct dns_answer *answer; /* NULL unless DNS_ANSWERED */
	const uint8_t *wire;		 /* the answer's bytes */
	size_t size;
	enum dns_transport over; /* TCP also for a truncated answer */
	uint64_t sent, received; /* loop_now() of the try that was answered, or of the last */
	unsigned int tries;
	unsigned int rejected; /* answers that were not for this question */
};
typedef void (*dns_done)(void *arg, const struct dns_result *r);

int dns_engine_make(struct loop *l, const struct dns_engine_settings *s, struct dns_engine **ret);
/* Whoever is still waiting is forgotten without a call. NULL is fine. Not from within a callback.
 */
void dns_engine_free(struct dns_engine *e);
/* `done` is called once, from the loop, never from here. 0; -ENOMEM; -EINVAL: no such name. */
int dns_ask(struct dns_engine *e, const struct dns_target *t, const struct dns_question *q,
	    dns_done done, void *arg);
/* Questions that have no answer yet. */
unsigned int dns_engine_busy(const struct dns_engine *e);
