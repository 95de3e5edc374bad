/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * message.h - DNS messages: a question made, an answer checked and read (ldns is the codec)
 *
 *   n = dns_query(&q, id, wire, sizeof(wire));
 *   …
 *   if (dns_matches(query, n, answer, size))           on the raw bytes, before anything decodes
 * them err = dns_read(answer, size, q.type, &a);  hostile answers end here with -EBADMSG
 *
 * Pure: no sockets, no clocks. Names are text, lower case, with the final dot. Addresses are as in
 * bpf/shift.h. RFC 1035, 6891 (EDNS), 5001 (NSID), 7871 (client subnet), 8914 (extended errors).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME	  1025 /* a name as text, each octet escaped, with the final zero */
#define DNS_MAX_ADDRESSES 64
#define DNS_MAX_MESSAGE	  65535
#define DNS_QUERY	  512  /* no query of ours is longer */
#define DNS_UDP_SIZE	  1232 /* what we say we take (DNS flag day 2020) */
#define DNS_TTL_MAX	  0x7fffffffu

enum dns_type { /* those that this project speaks of */
		DNS_A = 1,
		DNS_NS = 2,
		DNS_CNAME = 5,
		DNS_SOA = 6,
		DNS_TXT = 16,
		DNS_AAAA = 28,
		DNS_DS = 43,
		DNS_RRSIG = 46,
		DNS_DNSKEY = 48,
		DNS_ANY = 255,
};

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_YXDOMAIN = 6,
	DNS_YXRRSET = 7,
	DNS_NXRRSET = 8,
	DNS_NOTAUTH = 9,
	DNS_NOTZONE = 10,
	DNS_BADVERS = 16,
};

struct dns_question {
	char name[DNS_NAME];
	uint16_t type;
	bool recurse;	/* RD: of resolvers, not of authorities */
	bool dnssec;	/* DO */
	bool unchecked; /* CD */
	bool nsid;
	uint8_t subnet_family; /* 4, 6; 0: no client subnet */
	uint8_t subnet_bits;
	uint32_t subnet[4];
};

struct dns_address {
	uint8_t family; /* 4 or 6 */
	uint32_t ip[4];
	uint32_t ttl; /* s; clamped as RFC 2181 8 has it: what is ≥ 2^31 is 0 */
};

/* What an answer says of its question. */
struct dns_answer {
	uint16_t rcode; /* with the extended bits */
	bool aa, tc, ra, ad;
	bool edns;
	/* Those at the end of the CNAME chain, sorted by address, each once. */
	struct dns_address address[DNS_MAX_ADDRESSES];
	unsigned int n_addresses;
	unsigned int left_out;
	unsigned int chain;    /* CNAMEs followed in this answer */
	char target[DNS_NAME]; /* where the chain ends; the question's name without one */
	uint32_t
		ttl; /* least of the chain and the addresses: when it is all gone; valid with any */
	bool referral; /* no answer, no AA, NS records of a zone below in the authority section */
	bool has_soa;  /* an answer to SOA, or that of a negative one */
	char soa_owner[DNS_NAME];
	uint32_t serial;
	uint32_t negative_ttl; /* min(SOA TTL, SOA MINIMUM), RFC 2308 5 */
	char nsid[128];	       /* printable, or hex; "": none */
	int ede;	       /* extended error, INFO-CODE; −1: none */
	char ede_text[128];
	int subnet_scope; /* SCOPE PREFIX-LENGTH; −1: none */
};

/* A type as text: "A", "TYPE65". Returns ret. */
const char *dns_type_text(uint16_t type, char ret[16]);
const char *dns_rcode_text(uint16_t rcode, char ret[16]);
/* Lower case, with the final dot. 0; -EINVAL: no name. */
int dns_name(const char *text, char ret[DNS_NAME]);
/* Is `name` `zone`, or below it? Both as dns_name makes them. */
bool dns_below(const char *name, const char *zone);

/* The query's length; -EINVAL: no such name. */
int dns_query(const struct dns_question *q, uint16_t id, uint8_t *ret, size_t size);

/*
 * Does this answer that query: at least a header, QR, the ID, opcode, one question and that one the
 * query's, byte for byte but for case? Looks at the raw bytes alone and trusts none of them.
 */
bool dns_matches(const uint8_t *query, size_t query_size, const uint8_t *answer, size_t size);

/*
 * Reads an answer that matches. 0; -EBADMSG: it is no DNS message that may be trusted: garbage, cut
 * off, bytes behind its end, two OPTs, a CNAME loop, what makes ldns abort. *ret is whole only with
 * 0.
 */
int dns_read(const uint8_t *answer, size_t size, const struct dns_question *q,
	     struct dns_answer *ret);

/* The records of one section and type, for whoever wants more than addresses. */
enum dns_section { DNS_IN_ANSWER = 1, DNS_IN_AUTHORITY, DNS_IN_ADDITIONAL };
struct dns_record {
	char owner[DNS_NAME];
	uint16_t type;
	uint32_t ttl;
	char *text; /* the data as in a zone file */
};
/* The number of records, and *ret for dns_records_free; -EBADMSG, -ENOMEM. */
int dns_records(const uint8_t *answer, size_t size, enum dns_section section, uint16_t type,
		struct dns_record **ret);
void dns_records_free(struct dns_record *r, int n);
