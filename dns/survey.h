/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * survey.h - who answers for a name, and what each of them says
 *
 *   struct dns_survey *s;
 *   dns_survey_make(loop, &settings, &s);
 *   dns_survey_discover(s);                             authorities, by the delegation
 *   dns_survey_sweep(s, DNS_SWEEP_ALL);                 every one is asked
 *   dns_survey_judge(s, &judged);                       s->said[], s->prediction
 *
 * Sources are the authoritative addresses (asked with RD=0, for the wanted types and the SOA) and
 * the resolvers (RD=1, several samples each, every one with a socket of its own). All are asked at
 * once, and one that is dead delays no other. Sources keep their samples from sweep to sweep.
 */
#pragma once

#include "dns/observe.h"
#include "dns/predict.h"
#include "dns/verdict.h"

struct conf_dns;
struct conf_server;
struct loop;

#define DNS_MAX_NOTES 16

struct dns_survey_settings {
	const struct conf_dns *conf;	 /* authorities, resolvers, samples, time-out, ca_file */
	const struct dns_wanted *wanted; /* both are kept by the caller */
	const char *name;		 /* as dns_name makes it */
	unsigned int samples; /* of each resolver in one sweep, 16 at most, and of authorities
				that have weights; 0: the configuration's */
	/* Each n-th resolver is the control group: asked with DNS_SWEEP_CONTROL alone. 0: none; it
	 * is none as well with fewer than n resolvers. */
	unsigned int control;
	uint8_t subnet_family, subnet_bits; /* client subnet; family 0: none */
	uint32_t subnet[4];
	bool only_authorities; /* no resolvers */
	bool back; /* a way back: the prediction is when the last cache forgets the new value */
	unsigned int tries;	 /* of a question; 0: the engine's */
	const char *resolv_conf; /* NULL: /etc/resolv.conf */
};

struct dns_survey {
	char name[DNS_NAME];
	char zone[DNS_NAME], parent[DNS_NAME]; /* "": not known */
	struct dns_source *source;	       /* authorities first; DNS_MAX_SOURCES of them */
	unsigned int n, n_authorities;
	struct dns_said *said;		  /* of each source, by dns_survey_judge */
	struct dns_cache_seen *cache;	  /* the same */
	struct dns_prediction prediction; /* the same */
	/* What discovery has to say, as "ns2.example.: no address". */
	char note[DNS_MAX_NOTES][256];
	unsigned int n_notes;
	unsigned int delegation_differs; /* names that parent and child do not both give */
	/* Answers of the authorities in which exactly one of the new addresses was: how often each
	 * (in the order of dns.new), and answers with several of them. For weighted records. */
	uint64_t alone[DNS_MAX_ADDRESSES], together;
	struct dns_survey_own *own;
};

enum { DNS_SWEEP_AUTHORITIES = 1, DNS_SWEEP_RESOLVERS = 2, DNS_SWEEP_CONTROL = 4 };
#define DNS_SWEEP_ALL (DNS_SWEEP_AUTHORITIES | DNS_SWEEP_RESOLVERS)

/* 0; -EINVAL: no such name; −errno. The resolvers are there, and the configured authorities. */
int dns_survey_make(struct loop *l, const struct dns_survey_settings *s, struct dns_survey **ret);
void dns_survey_free(struct dns_survey *s); /* NULL is fine */

/*
 * Finds the authoritative addresses, unless they are configured: the zone cut, the zone's own name
 * servers, the parent's delegation, glue, each name's addresses. Runs the loop until it is done. 0;
 * -ENOENT: none were found, `why` (256) says where it ended; −errno. With `always` the delegation
 * is looked at although authorities are configured: its findings are added to the notes, and to the
 * sources what was not among them.
 */
int dns_survey_discover(struct dns_survey *s, bool always, char *why);

/*
 * Begins to ask all of a kind but those that still have a question open; returns how many sources
 * are asked. `changed` (may be NULL) is called from the loop when a source has answered all.
 */
typedef void (*dns_survey_changed)(void *arg, struct dns_survey *s, unsigned int source);
int dns_survey_ask(struct dns_survey *s, unsigned int what, dns_survey_changed changed, void *arg);
/* Sources with open questions. */
unsigned int dns_survey_busy(const struct dns_survey *s);
/* dns_survey_ask, and runs the loop until all are through. 0 or −errno. */
int dns_survey_sweep(struct dns_survey *s, unsigned int what);

/* Verdicts of what was seen since dns_survey_make, prediction and classes of all that is kept. */
void dns_survey_judge(struct dns_survey *s, uint64_t now, struct dns_judged *ret);

/* dns_score of a source, for the same direction as the prediction. */
bool dns_survey_score(struct dns_survey *s, unsigned int source, uint64_t predicted,
		      double *ret_error_s, double *ret_blur_s);
/* dns_exit of what was judged last. */
int dns_survey_exit(const struct dns_survey *s, const struct dns_judged *j, bool expect_new);
/* Has the source open questions? */
bool dns_survey_open(const struct dns_survey *s, unsigned int source);
/* false: of the control group, and held back so far. */
bool dns_survey_asked(const struct dns_survey *s, unsigned int source);

/* The samples of a source's last round alone; an empty one when it was never asked. */
void dns_survey_last_round(const struct dns_survey *s, unsigned int source, struct dns_source *ret);

/* Is an address of the (first) last answer among the new ones? For those who think as dig +short |
 * head -1 does. NULL: no address was answered. */
const struct dns_address *dns_survey_first(const struct dns_survey *s, unsigned int source,
					   bool *ret_new);

/* p of the χ² test of the weights (dns/share.h), the families apart and the lesser of the two, made
 * up for there being two; NAN: no weights, or too few answers. */
double dns_survey_weights(const struct dns_survey *s, uint64_t *ret_answers);

/* A configured server as the engine has it. */
void dns_survey_target(const struct conf_server *c, struct dns_target *ret);
