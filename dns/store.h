/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * store.h - what was seen, kept from one run to the next in DIR/seen.json
 *
 *   dns_store_open(dir, name, &wanted, &store);
 *   dns_store_give(store, survey);               samples of earlier runs, before the first sweep
 *   …
 *   dns_store_take(store, survey);
 *   dns_store_save(store, dir);
 *
 * Kept are the samples that matter (when did each authority give the old value last, how do the
 * caches count) and how many connections had come to the old address at which time. Times are kept
 * by the wall clock and given as loop_now() ns; what was before this host booted is given as 1 ns.
 * Of a sample's addresses only the number is kept, and what they meant.
 * Other addresses in dns.old or dns.new, or another name, make it begin anew.
 */
#pragma once

#include "dns/observe.h"

struct dns_survey;
struct dns_store;

/* Connections that had come to the old address, as of a time. */
struct dns_flows_point {
	double at;	/* s, CLOCK_REALTIME */
	uint64_t count; /* since the counters began */
	uint32_t begun; /* which counters: they are others after a detach or a reboot */
};

#define DNS_STORE_SAMPLES 24 /* of each source */
#define DNS_STORE_POINTS  256

/* 0 with an empty one when there is none, or it is of something else, or *ret_damaged. -ENOMEM. */
int dns_store_open(const char *dir, const char *name, const struct dns_wanted *w,
		   struct dns_store **ret, bool *ret_damaged);
void dns_store_free(struct dns_store *st); /* NULL is fine */
/* Makes the folder, too. 0 or −errno. */
int dns_store_save(const struct dns_store *st, const char *dir);

/* The samples of sources of the same text, kind and transport, into the survey's. How many. */
unsigned int dns_store_give(const struct dns_store *st, struct dns_survey *s);
/* Remembers what the survey has now. A source that is not asked any more is forgotten. 0; -ENOMEM.
 */
int dns_store_take(struct dns_store *st, const struct dns_survey *s);

/* In order of time; how many. */
unsigned int dns_store_points(const struct dns_store *st,
			      struct dns_flows_point ret[DNS_STORE_POINTS]);
/* Adds one, and lets go what is older than `keep_s` but for the last of these. 0; -ENOMEM. */
int dns_store_point(struct dns_store *st, const struct dns_flows_point *p, double keep_s);
/* The highest rate that was ever seen between two points, per s; 0. */
double dns_store_peak(const struct dns_store *st);

/* Connections by network, as counted at a time; NULL: none are kept. An object {"network": count};
 * the store's. */
struct json_t;
struct json_t *dns_store_networks(const struct dns_store *st, double *ret_at, uint32_t *ret_begun);
/* Takes the object over. */
int dns_store_set_networks(struct dns_store *st, struct json_t *networks, double at,
			   uint32_t begun);
