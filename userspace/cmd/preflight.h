/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * preflight.h - what `preflight` found of one address of a service, and what that means
 *
 * preflight_look.c finds out, in a process of its own for each address, and fills the facts;
 * preflight_judge.c, which is pure, compares a backend's with the old service's. So what is said of
 * an expired certificate can be tested without one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "userspace/net/talk.h"

#define PREFLIGHT_SOURCES 64
#define PREFLIGHT_BURSTS  4 /* NAT addresses that are tried for limits */
#define PREFLIGHT_URLS	  16
#define PREFLIGHT_URL	  512
#define PREFLIGHT_NAME	  32
#define PREFLIGHT_HOST	  256

/* ---- what is asked ---- */

struct preflight_url {
	char url[PREFLIGHT_URL];
	char host[PREFLIGHT_HOST], path[PREFLIGHT_URL];
	bool tls;
	uint16_t expect[16]; /* statuses; none: as the old service answers */
	unsigned int n_expect;
	char ca_file[PREFLIGHT_URL];
};

struct preflight_plan {
	uint64_t timeout_ns;	   /* of one step */
	uint64_t idle_ns;	   /* 0: not tried */
	uint32_t rate;		   /* connections in one second; 0: not tried */
	uint32_t burst;		   /* requests from one address; 0: not tried */
	char name[PREFLIGHT_HOST]; /* for TLS; "": the first URL's host */
	char ca_file[PREFLIGHT_URL];
};

/* ---- what was found ---- */

struct preflight_reach {
	uint32_t address[4]; /* the NAT address; of the old service: zeros */
	int err;	     /* 0: connected */
	uint64_t ns;
	char why[TALK_WHY];
};

struct preflight_answer {
	bool tried;
	int err;
	unsigned int status;
	size_t size;
	char why[TALK_WHY];
};

enum preflight_passage { PASSAGE_UNTRIED, PASSAGE_PROVED, PASSAGE_LOST, PASSAGE_UNPROVED };

struct preflight_size {
	enum preflight_passage up, down; /* towards the address, and from it */
	uint32_t mss;			 /* full size here */
	uint32_t largest;		 /* that passed when full size was lost; 0: none did */
	uint32_t came;			 /* the largest that came */
};

enum preflight_rest { REST_UNTRIED, REST_ALIVE, REST_CLOSED, REST_RESET, REST_FORGOTTEN };

struct preflight_burst {
	bool tried;
	unsigned int asked, good, forbidden, limited, other, failed;
	unsigned int first;	   /* the first that was not good, from 1; 0: all were */
	unsigned int first_status; /* 0: it had none */
	unsigned int retry_after_s;
	char why[TALK_WHY];
};

struct preflight_ceiling {
	bool tried;
	unsigned int begun, connected;
	int err; /* of the first that failed */
	uint64_t p50_ns, p99_ns;
};

struct preflight_server {
	char name[PREFLIGHT_NAME];
	bool old;
	bool done;	 /* all that was meant to be looked at was */
	int resolve_err; /* its name has no address: nothing was looked at */
	uint32_t address[4];
	uint16_t port; /* host order */
	struct preflight_url url[PREFLIGHT_URLS];
	unsigned int n_urls;
	struct preflight_reach from[PREFLIGHT_SOURCES];
	unsigned int n_from;
	int base; /* the place in `from` that the rest was looked at from; −1: none connects */
	bool tls_tried;
	int tls_err; /* -EPROTO: it may not speak TLS at all */
	char tls_why[TALK_WHY], tls_name[PREFLIGHT_HOST];
	struct talk_tls tls;
	bool tls12; /* it takes clients that know nothing later than TLS 1.2 */
	struct preflight_answer answer[PREFLIGHT_URLS];
	struct preflight_size size;
	enum preflight_rest rest;
	bool rest_asked;  /* it was used after the silence, not only probed */
	uint64_t rest_ns; /* closed after so long */
	struct preflight_burst burst[PREFLIGHT_SOURCES];
	struct preflight_ceiling ceiling;
};

/* Fills s->from and what follows; the rest of *s says of what. Never longer than
 * preflight_bound(). */
void preflight_look(struct preflight_server *s, const struct preflight_plan *plan);

/* What looking at one address with `sources` may take: at most. */
struct preflight_budget {
	uint64_t ns;
	unsigned int connections, requests;
	uint64_t bytes;
};

struct preflight_budget preflight_bound(const struct preflight_server *s,
					const struct preflight_plan *plan);

/* ---- what it means ---- */

enum preflight_verdict { PREFLIGHT_OK, PREFLIGHT_WARNING, PREFLIGHT_FAILED, PREFLIGHT_UNKNOWN };
extern const char *const preflight_verdicts[];

#define PREFLIGHT_FINDINGS 1024

struct preflight_finding {
	const char *check; /* "reach", "tls", … */
	char on[PREFLIGHT_NAME + 64];
	enum preflight_verdict verdict;
	char evidence[384];
	char fix[256];
};

struct preflight_report {
	unsigned int n, of[4];
	unsigned int left_out;
	struct preflight_finding finding[PREFLIGHT_FINDINGS];
};

/* Of one backend's address beside the old service (NULL: there is nothing to compare with), at
 * `now`. Adds to *r. */
void preflight_judge(const struct preflight_server *s, const struct preflight_server *old,
		     const struct preflight_plan *plan, time_t now, struct preflight_report *r);
/* Of the old service itself: only what the comparison needs. */
void preflight_judge_old(const struct preflight_server *old, struct preflight_report *r);

/* 0: all is well, or a warning; 1: something failed; 5: something is not known. */
int preflight_exit(const struct preflight_report *r);

/* Does a certificate with these names serve all that `name` (maybe "*.x") stands for? */
bool preflight_covers(const struct talk_tls *t, const char *name);
