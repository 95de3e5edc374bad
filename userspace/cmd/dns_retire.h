/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_retire.h - is the old address still in use, and why: `dns check --retire`
 *
 * Four reasons, each of which can forbid it: a source that still has the old value; the time until
 * the last cache forgets; new connections at the old address, more than a bound within the last
 * TTLs; connections that live through this host. The first two are seen from outside, the others by
 * this host's data plane: of several old hosts each is asked.
 */
#pragma once

#include "dns/store.h"
#include "userspace/cmd/dns_report.h"

enum dns_retire_verdict { DNS_RETIRE_PASS, DNS_RETIRE_FAIL, DNS_RETIRE_UNKNOWN };

struct dns_retire_rules {
	double bound;	    /* new connections per s that are no use of it; below 0: the default */
	unsigned int ttls;  /* for so many TTLs; 0: 3 */
	bool without_flows; /* what arrives is not looked at: another host has the data plane */
};

struct dns_retire_reason {
	const char *name; /* "records", "time", "arrivals", "connections" */
	enum dns_retire_verdict verdict;
	char why[256];
};

#define DNS_RETIRE_REASONS 4

struct dns_retire {
	struct dns_retire_reason reason[DNS_RETIRE_REASONS];
	unsigned int n;
	double rate, bound, peak; /* per s; NAN: not known */
	double window_s;	  /* TTLs that are looked at */
	struct json_t *networks;  /* who still came within these, most first; NULL: not known */
	int code;		  /* 0 may go, 2 may not, 3 not known */
};

/* "3", "0.05", "3/m", "100/h" as connections per s; below 0: it is none. */
double dns_retire_bound(const char *text);

/*
 * Pure: did connections stay under the bound for the whole window? Points in order of time, the
 * last one now; they are judged in stretches of a TTL or longer. *ret_rate: the highest of a
 * stretch; NAN.
 */
enum dns_retire_verdict dns_retire_arrivals(const struct dns_flows_point *p, unsigned int n,
					    double ttl_s, double window_s, double bound,
					    double *ret_rate, char why[256]);

/* Judges, and adds what the data plane counts to the store. */
void dns_retire_judge(const struct dns_report *r, struct dns_store *st,
		      const struct dns_retire_rules *rules, struct dns_retire *ret);
void dns_retire_free(struct dns_retire *t);

/* Adds this host's count of connections, when it has a data plane and may read it. 0 or −errno. */
int dns_retire_note(const struct dns_report *r, struct dns_store *st, double keep_s);

void dns_retire_line(const struct dns_report *r, const struct dns_retire *t, FILE *to);
void dns_retire_text(const struct dns_retire *t, FILE *to);
struct json_t *dns_retire_json(const struct dns_retire *t);
