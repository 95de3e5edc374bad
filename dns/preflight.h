/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * preflight.h - is everything there that a change of records needs? Gates with evidence and a fix
 *
 *   dns_survey_discover(s, true, why);  dns_survey_sweep(s, DNS_SWEEP_AUTHORITIES);  …judge…
 *   dns_look(loop, s, &wanted, &look);            what the survey does not ask
 *   dns_ttl_load(dir, name, &history);  dns_ttl_look(&history, s, now_s);
 *   dns_gate_delegation(&gates, s);  …            pure: from what was seen to a verdict
 *
 * Times named _s are seconds since 1970.
 */
#pragma once

#include "dns/change.h"
#include "dns/secure.h"
#include "dns/survey.h"

struct loop;

enum dns_gate_verdict { DNS_GATE_OK, DNS_GATE_WARNING, DNS_GATE_FAILED, DNS_GATE_UNKNOWN };
extern const char *const dns_gate_verdicts[]; /* "ok", "warning", "failed", "unknown" */

struct dns_gate {
	const char *name;
	enum dns_gate_verdict verdict;
	char evidence[400], fix[400]; /* fix: "" when there is none */
};

#define DNS_MAX_GATES 24
struct dns_gates {
	struct dns_gate gate[DNS_MAX_GATES];
	unsigned int n;
};

/* A gate more; the fix of the last one. */
void dns_gate(struct dns_gates *g, const char *name, enum dns_gate_verdict v, const char *evidence,
	      ...) __attribute__((format(printf, 4, 5)));
void dns_gate_fix(struct dns_gates *g, const char *fix, ...) __attribute__((format(printf, 2, 3)));

/* 1: one has failed; 5: none has, but one is not known; else 0. */
int dns_gates_exit(const struct dns_gates *g);

/* ---- the gates (preflight.c) ---- */

/* Do parent and zone name the same servers? */
void dns_gate_delegation(struct dns_gates *g, const struct dns_survey *s);
/* Do all authoritative addresses answer, and with dns.old? */
void dns_gate_authorities(struct dns_gates *g, const struct dns_survey *s);
void dns_gate_serials(struct dns_gates *g, const struct dns_survey *s);

/* ---- what the survey does not ask (preflight_look.c) ---- */

#define DNS_LOOKED 64 /* authoritative addresses, resolvers */

struct dns_looked { /* one server */
	char text[256];
	bool answered;
	uint16_t rcode;
	char why[128]; /* unless answered */
	uint8_t *wire; /* NULL */
	size_t size;
	struct dns_answer answer;
};

struct dns_look {
	char zone[DNS_NAME]; /* "": not found */
	unsigned int n, n_resolvers;
	struct dns_looked record[2][DNS_LOOKED]; /* A, AAAA: each authority's, with signatures */
	bool asked[2];				 /* that type is wanted */
	struct dns_looked keys[DNS_LOOKED];	 /* DNSKEY */
	struct dns_looked resolver[DNS_LOOKED];	 /* the zone's SOA, by each resolver */
	struct dns_looked ds;			 /* from the parent's servers */
};

/* Asks; runs the loop. The survey must have been discovered. 0 or −errno; free with dns_look_free.
 */
int dns_look(struct loop *l, const struct dns_survey_settings *set, const struct dns_survey *s,
	     struct dns_look **ret);
void dns_look_free(struct dns_look *l); /* NULL is fine */

/* Is the name an alias? Then it is its target that must change. */
void dns_gate_alias(struct dns_gates *g, const struct dns_look *l, const char *name);
/* For types that are not there yet: how long is their absence remembered? */
void dns_gate_negative(struct dns_gates *g, const struct dns_look *l, const struct dns_wanted *w);
/* Can every resolver look up the zone? Validation that fails shows here first. */
void dns_gate_resolvers(struct dns_gates *g, const struct dns_look *l);

/* Verifies every authority's answers in children: `v` has room for 2 × DNS_LOOKED. */
struct dns_verified {
	const char *server;
	uint16_t type;
	struct secure_result result;
};
unsigned int dns_verify_all(const struct dns_look *l, const char *name, uint64_t now_s,
			    struct dns_verified *v);
/* Signatures must be good for another `lasting_s`. */
void dns_gate_dnssec(struct dns_gates *g, const struct dns_look *l, const struct dns_verified *v,
		     unsigned int n, uint64_t now_s, uint64_t lasting_s);

/* ---- since when is the TTL low? (preflight_ttl.c) ---- */

#define DNS_TTL_RUNS 256
#define DNS_TTL_ANY  86400 /* s: no TTL before the first look is taken to have been longer */

struct dns_ttl_run { /* an authority gave this TTL from `first` to `last` at least */
	char source[64];
	uint16_t type;
	uint32_t ttl;
	uint64_t first_s, last_s;
};

struct dns_ttl_history {
	struct dns_ttl_run run[DNS_TTL_RUNS]; /* by source, type, time */
	unsigned int n;
};

/* Adds a sighting, at any time; of too many the oldest go. */
void dns_ttl_saw(struct dns_ttl_history *h, const char *source, uint16_t type, uint32_t ttl,
		 uint64_t at_s);
/* All that the survey's authorities were seen to answer, also in what it keeps of earlier. */
void dns_ttl_look(struct dns_ttl_history *h, const struct dns_survey *s, uint64_t now_ns,
		  uint64_t now_s);
/* DIR/preflight.json. 0; an empty one when there is none, or it is of another name; -EBADMSG: it is
 * damaged, and taken as empty; −errno. */
int dns_ttl_load(const char *dir, const char *name, struct dns_ttl_history *ret);
/* Makes the folder. 0 or −errno. */
int dns_ttl_save(const char *dir, const char *name, const struct dns_ttl_history *h);

/*
 * Is it at most `ttl` at all that were seen within the last minute, and has every cache forgotten a
 * longer one? `before`: the TTL that was there before, as the operator knows it; 0: not known.
 */
void dns_gate_ttl(struct dns_gates *g, const struct dns_ttl_history *h, uint32_t ttl,
		  uint32_t before, uint64_t now_s);
