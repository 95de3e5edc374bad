/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * observe.h - what was seen of one name: sources, their samples, and what shall be there
 *
 * The plain data between those who ask (survey) and those who judge (verdict, predict, share).
 * Nothing here owns a socket; times are loop_now() ns.
 */
#pragma once

#include "dns/engine.h"

#define DNS_MAX_SOURCES	 256
#define DNS_MAX_SAMPLES	 64 /* kept of one source: the latest */
#define DNS_SAMPLE_ADDRS 16

struct dns_wanted { /* addresses with a meaning: dns.old and dns.new */
	struct dns_address old[DNS_MAX_ADDRESSES], fresh[DNS_MAX_ADDRESSES];
	uint16_t weight[DNS_MAX_ADDRESSES]; /* of fresh; all 0: none given */
	unsigned int n_old, n_fresh;
	bool ask_a, ask_aaaa; /* dns.types */
	uint32_t ttl;	      /* dns.ttl, s: of the old records */
};

enum dns_value {		 /* what an answer's addresses are */
		 DNS_VALUE_NONE, /* no address */
		 DNS_VALUE_OLD,	 /* all of dns.old */
		 DNS_VALUE_NEW,	 /* all of dns.new */
		 DNS_VALUE_BOTH,
		 DNS_VALUE_OTHER, /* at least one that is neither */
};

struct dns_sample {
	uint64_t at;   /* when the answer came, or was given up */
	uint64_t rtt;  /* ns */
	uint16_t type; /* DNS_A or DNS_AAAA */
	enum dns_outcome outcome;
	uint16_t rcode;
	bool aa, referral, polled; /* polled: not the control group's */
	int ede;
	enum dns_value value;
	uint32_t ttl; /* s, as answered */
	bool has_soa;
	uint32_t serial;
	uint32_t place; /* hash of the NSID: which cache behind the address; 0: it does not say */
	struct dns_address address[DNS_SAMPLE_ADDRS];
	unsigned int n_addresses;
	unsigned int rejected;
};

enum dns_kind { DNS_AUTHORITY, DNS_RESOLVER };

struct dns_source {
	enum dns_kind kind;
	struct dns_target target;
	char text[256];	   /* as in the configuration, or the authority's address */
	char ns[DNS_NAME]; /* an authority's name; "" when only its address is known */
	bool in_parent,
		in_child; /* named by the parent's delegation; by the zone's own NS records */
	bool control;	  /* of the unpolled control group */
	uint8_t family;
	bool has_serial;
	uint32_t serial;			   /* of the SOA it answers */
	struct dns_sample sample[DNS_MAX_SAMPLES]; /* in order of time; the oldest go */
	unsigned int n_samples;
};

struct conf_dns;
/* As the configuration says. */
void dns_wanted_of(const struct conf_dns *d, struct dns_wanted *ret);

/* The value of a set of addresses of one family; `family` says which of the wanted count. */
enum dns_value dns_value(const struct dns_wanted *w, const struct dns_address *a, unsigned int n);
/* Adds, dropping the oldest; but the last old one of each type and the first new one after it are
 * kept. */
void dns_source_add(struct dns_source *s, const struct dns_sample *sample);
/* The sample of a result; of a question for A or AAAA. */
void dns_sample_of(const struct dns_wanted *w, const struct dns_result *r, struct dns_sample *ret);
