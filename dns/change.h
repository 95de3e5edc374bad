/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * change.h - records changed and changed back: one primitive, compare and swap
 *
 * apply(old → new) fails when what is there is not `old`, and changes nothing then; rollback is the
 * same with the two swapped, `old` being what a snapshot on disk says. Each provider says how it
 * compares: by value (RFC 2136, Route 53, Google), by ETag (Azure), or by looking before and after
 * (Cloudflare, PowerDNS), which `atomic` tells. An answer that was lost is resolved by reading,
 * never by sending again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "dns/message.h"

struct config;
struct conf_provider;

#define DNS_MAX_MEMBERS 64
#define DNS_WHY		512

struct dns_member {	/* one record of a set */
	char data[128]; /* canonical: an address as inet_ntop writes it, a name with its final dot
			 */
	bool weighted;
	uint16_t weight;       /* where the provider has weights */
	char set_id[129];      /* Route 53's SetIdentifier; "": not weighted there */
	char id[64];	       /* Cloudflare's record id; "" */
	char health_check[64]; /* Route 53: carried along unchanged; "" */
	bool proxied;	       /* Cloudflare */
};

/* Everything of one name and type: what is compared, what is written. */
struct dns_rrset {
	char name[DNS_NAME];
	uint16_t type;
	uint32_t ttl;
	struct dns_member member[DNS_MAX_MEMBERS]; /* sorted by data, then set_id */
	unsigned int n;				   /* 0: it does not exist */
	char version[256]; /* ETag and the like, as the provider gave it; not compared as a value */
};

/* Name, type, TTL and members (data, weight, set_id, proxied) are the same. */
bool dns_rrset_same(const struct dns_rrset *a, const struct dns_rrset *b);
/* The data alone, each once: both sets are sorted. */
bool dns_rrset_same_data(const struct dns_rrset *a, const struct dns_rrset *b);
/* Records of both and of nothing else, as a change leaves them that ended half-way. */
bool dns_rrset_between(const struct dns_rrset *r, const struct dns_rrset *a,
		       const struct dns_rrset *b);
void dns_rrset_sort(struct dns_rrset *r);
/* "203.0.113.10 (TTL 60)", "52.1.2.3=40 20.1.2.3=30 (TTL 60)", "nothing". Returns ret. */
const char *dns_rrset_text(const struct dns_rrset *r, char *ret, size_t size);

/* How it ended. */
enum dns_changed {
	DNS_CHANGED = 0, /* and read back */
	DNS_STALE,	 /* what is there is not `old`: nothing was changed; `seen` has it */
	DNS_DENIED,	 /* credentials, permission, TSIG, clock */
	DNS_UNREACHED, /* no connection, or throttled until the time was up: nothing was changed */
	DNS_REJECTED,  /* the provider understood and will not: a zone it has not, a limit */
	DNS_UNCERTAIN, /* it may or may not have been changed, and could not be read */
	DNS_HALF,      /* a part of it was changed; `seen` has what is there */
};
extern const char *const dns_changes[]; /* in words */

struct dns_provider;

struct dns_provider_class {
	const char *name;  /* "route53", as in the configuration */
	const char *title; /* "Route 53" */
	bool atomic;	   /* compares and changes in one step */
	bool weights;	   /* can answer by weight */
	/* All block, up to their own time limits. `why` (DNS_WHY) gets the words of a failure. */
	int (*open)(const struct conf_provider *c, const char *name, void **ret, char *why);
	void (*close)(void *x); /* wipes its secrets */
	/* What is there now, asked of the provider. */
	enum dns_changed (*read)(void *x, const char *name, uint16_t type, struct dns_rrset *ret,
				 char *why);
	/* The bytes that `apply` would send, secrets left out, as text for people. */
	void (*show)(void *x, const struct dns_rrset *old, const struct dns_rrset *fresh, FILE *to);
	/* One try, resolved by reading when its answer is lost. `id` (128): for wait; "" when there
	 * is none. */
	enum dns_changed (*apply)(void *x, const struct dns_rrset *old,
				  const struct dns_rrset *fresh, char *id, struct dns_rrset *seen,
				  char *why);
	/* Until the provider says that the change is with its servers (NULL: it does not say).
	 * 0; -EAGAIN: not yet; −errno with `why`. */
	int (*done)(void *x, const char *id, char *why);
	/* After the flip: empty an HTTP cache (Cloudflare); NULL. */
	int (*purge)(void *x, char *why);
};

extern const struct dns_provider_class dns_rfc2136, dns_route53, dns_powerdns, dns_cloudflare,
	dns_google, dns_azure;

/* The configured one, opened: its credentials were read. 0; −errno with `why`. */
int dns_provider_open(const struct config *c, struct dns_provider **ret, char *why);
void dns_provider_close(struct dns_provider *p);
const struct dns_provider_class *dns_provider_of(const struct dns_provider *p);
/* The class's functions on it. */
enum dns_changed dns_provider_read(struct dns_provider *p, uint16_t type, struct dns_rrset *ret,
				   char *why);
void dns_provider_show(struct dns_provider *p, const struct dns_rrset *old,
		       const struct dns_rrset *fresh, FILE *to);
enum dns_changed dns_provider_apply(struct dns_provider *p, const struct dns_rrset *old,
				    const struct dns_rrset *fresh, char id[128],
				    struct dns_rrset *seen, char *why);
/* 0; -EAGAIN: not yet; −errno with `why`. 0 where the provider does not say. */
int dns_provider_done(struct dns_provider *p, const char *id, char *why);
int dns_provider_purge(struct dns_provider *p, char *why);

/* ---- what is to be done (change_plan.c, pure) ---- */

struct conf_dns;

/*
 * What the configuration says of one type: *old without a meaning in its TTL, *fresh with dns.ttl.
 * Both may be empty.
 */
void dns_change_wanted(const struct conf_dns *c, const char *name, uint16_t type,
		       struct dns_rrset *old, struct dns_rrset *fresh);

enum dns_todo {
	DNS_TODO_NONE,	/* neither the old nor the new set has records of this type */
	DNS_TODO_THERE, /* what shall be there is there */
	DNS_TODO_APPLY,
	DNS_TODO_OTHER, /* neither the one nor the other is there: hands off */
};

/*
 * The flip: `there` must have the data of `old`, whatever its TTL, weights and ids. *fresh takes
 * over from it what is not the configuration's to say (proxied, and then the TTL).
 */
enum dns_todo dns_plan_flip(const struct dns_rrset *there, const struct dns_rrset *old,
			    struct dns_rrset *fresh);
/*
 * The way back to `old`, as a snapshot has it: `there` must have the data of `fresh`.
 * *ret_differs: the old data is there, with another TTL or weights.
 */
enum dns_todo dns_plan_back(const struct dns_rrset *there, const struct dns_rrset *old,
			    const struct dns_rrset *fresh, bool *ret_differs);
