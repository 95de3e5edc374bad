/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cloudflare.h - a set of records as Cloudflare's single records, and the batch between two sets
 *
 * Pure; the rest of cloudflare.c is behind dns_cloudflare of change.h.
 */
#pragma once

#include "dns/change.h"

#define CLOUDFLARE_AUTOMATIC 1 /* the TTL that Cloudflare chooses */

struct cloudflare_record {
	char id[64]; /* "": not known */
	char data[128];
	uint32_t ttl; /* of this record alone: Cloudflare keeps one for each */
	bool proxied;
};

struct cloudflare_listing {
	struct cloudflare_record record[DNS_MAX_MEMBERS]; /* sorted by data */
	unsigned int n;
};

/* The TTL is the longest there is, and `version` has a digest of them when they differ. */
void cloudflare_set(const struct cloudflare_listing *l, const char *name, uint16_t type,
		    struct dns_rrset *ret);
/* The other way round; a proxied record has the automatic TTL. */
void cloudflare_listing(const struct dns_rrset *set, struct cloudflare_listing *ret);
/* Is this what is there? TTLs that differ are those of the set only by its version. */
bool cloudflare_same(const struct cloudflare_listing *l, const struct dns_rrset *set);
/* The body of the batch that makes `fresh` of `now`, for free(); NULL: nothing is to be done, or no
 * memory. */
char *cloudflare_batch(const struct cloudflare_listing *now, const struct dns_rrset *fresh);
/* How many of the records that shall be there are there, as they shall be. */
unsigned int cloudflare_arrived(const struct cloudflare_listing *l, const struct dns_rrset *fresh);
/* Is there one that is of neither set? */
bool cloudflare_foreign(const struct cloudflare_listing *l, const struct dns_rrset *a,
			const struct dns_rrset *b);
/* Names at Cloudflare have no final dot. */
void cloudflare_name(const char *name, char *ret, size_t size);
void cloudflare_sort(struct cloudflare_listing *l);
