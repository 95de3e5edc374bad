/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * talk.h - one TCP connection, with or without TLS, from an address of choice, to learn how the
 * other side behaves
 *
 *   talk_connect(source, to, 443, 0, until, &t, why);
 *   talk_secure(t, &how, until, &tls, why);
 *   talk_ask(t, &question, until, &answer, why);
 *   talk_close(t);
 *
 * What libcurl would do by itself and hide (which certificate, which segment size, when it was
 * closed) is the very thing that is asked here. Blocking, each call until a moment of loop_now().
 * A certificate that does not hold is told, not refused: nothing secret may be sent. All return 0
 * or −errno with words in `why`; -ETIMEDOUT: the moment passed. OpenSSL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define TALK_WHY   160
#define TALK_NAMES 48

struct talk;

/* `source` (v4-mapped, NULL: the kernel's choice) must be an address of this host; port in host
 * order; `mss`: the largest segment in either direction, 0: what the way allows. */
int talk_connect(const uint32_t *source, const uint32_t to[4], uint16_t port, uint32_t mss,
		 uint64_t until, struct talk **ret, char why[TALK_WHY]);
/* By a RST, so that neither side keeps a TIME_WAIT. NULL is fine. */
void talk_close(struct talk *t);

struct talk_how {
	const char *name;    /* for SNI, and what the certificate must have; NULL: neither */
	const char *alpn;    /* offered, "h2,http/1.1"; NULL: nothing */
	const char *ca_file; /* trusted instead of the system's; NULL or "" */
	bool only_12;	     /* TLS 1.2 and nothing later */
};

struct talk_tls {
	char version[12]; /* "TLSv1.3" */
	char alpn[16];	  /* chosen; "" */
	bool trusted;	  /* the chain, names aside */
	char distrust[96];
	bool named; /* it has the name */
	bool expired, early;
	time_t not_after;
	char issuer[128];
	char name[TALK_NAMES][128]; /* DNS names of it */
	unsigned int n_names;
};

/* -EPROTO: the other side does not speak TLS, or refuses. */
int talk_secure(struct talk *t, const struct talk_how *how, uint64_t until, struct talk_tls *ret,
		char why[TALK_WHY]);

struct talk_question {
	const char *host, *path;
	size_t padding; /* bytes of fields that mean nothing, to make it this much larger */
};

struct talk_answer {
	unsigned int status;
	size_t size;		    /* of all that came */
	unsigned int retry_after_s; /* 0: not given */
	bool closes;		    /* the other side will close */
};

/* GET by HTTP/1.1, and the whole answer, of which no more than 256 KiB are waited for (then it
 * `closes` for us). */
int talk_ask(struct talk *t, const struct talk_question *q, uint64_t until, struct talk_answer *ret,
	     char why[TALK_WHY]);

/* Nothing is said until `until`: -ETIMEDOUT: silent to the end; 0: the other side closed;
 * -ECONNRESET. *ret_ns: after so long. */
int talk_wait_closed(struct talk *t, uint64_t until, uint64_t *ret_ns);
/* Makes the kernel ask the other kernel whether the connection is still there; takes `wait_ns`. 0;
 * -ETIMEDOUT: no answer; another −errno: it is gone. */
int talk_probe(struct talk *t, uint64_t wait_ns);

struct talk_path {
	uint32_t sent_mss;     /* segments that this side sends, now */
	uint32_t received_mss; /* the largest that came */
	uint32_t unacked;      /* segments that the other side never confirmed */
	uint64_t received;     /* bytes */
};

void talk_look(struct talk *t, struct talk_path *ret);
