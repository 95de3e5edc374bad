/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * route53.h - Route 53's own shapes: its record sets, its XML, its credentials
 *
 * What the parts of the provider share (route53*.c); the rest of the project knows dns_route53 of
 * change.h. API 2013-04-01. All but the credentials is pure.
 */
#pragma once

#include "dns/change.h"

struct http_reply;

#define ROUTE53_NAME   (4 * 255 + 2) /* a name as Route 53 writes it: each octet may be \ooo */
#define ROUTE53_WEIGHT 255	     /* the greatest */

/* One ResourceRecordSet: of one name and type there is one, or one for each SetIdentifier. */
struct route53_set {
	char *value[DNS_MAX_MEMBERS]; /* as they are stored: a DELETE must say the same */
	unsigned int n;
	uint32_t ttl;
	bool weighted;
	uint16_t weight;
	char set_id[129];
	char health_check[64];
	char foreign[32]; /* an element that we do not handle ("AliasTarget"); "": none */
};

struct route53_sets {
	struct route53_set *set;
	unsigned int n;
};

/* 0; -ENOMEM. For route53_sets_free. */
int route53_sets_add(struct route53_sets *s, struct route53_set **ret);
void route53_sets_free(struct route53_sets *s); /* and makes it empty */

/*
 * The set of records that these make up. 0; -EOPNOTSUPP: one that cannot be said with members: an
 * alias, another routing than weights, different TTLs; -E2BIG: too many members; -EBADMSG: a value
 * that is none. With `why` (DNS_WHY).
 */
int route53_to_rrset(const struct route53_sets *s, const char *name, uint16_t type,
		     struct dns_rrset *ret, char *why);
/*
 * The other way. Members with weights that have no set_id get one that is made of their data.
 * -EINVAL, with `why`: some have a weight and some have none, one is above 255, a type that is none
 * of ours; -ENOMEM.
 */
int route53_of_rrset(const struct dns_rrset *r, struct route53_sets *ret, char *why);
/* What route53_of_rrset would make of its set_ids. */
void route53_name_members(struct dns_rrset *r);

/* `\052.example.com` is `*.example.com.` to everyone else. 0; -EINVAL. */
int route53_name_in(const char *text, char ret[DNS_NAME]);
/* All but a-z0-9-_ and the dots between labels as \ooo. */
const char *route53_name_out(const char *name, char ret[ROUTE53_NAME]);

/* The body of ChangeResourceRecordSets: deletes all of `old`, creates all of `fresh`, or nothing.
 * For free(); NULL: no memory. */
char *route53_batch(const char *name, uint16_t type, const struct route53_sets *old,
		    const struct route53_sets *fresh);

/* ---- what it answers (route53_xml.c); none of it trusted ---- */

struct route53_page {
	const char *name; /* given: those that are kept */
	uint16_t type;
	struct route53_sets sets; /* those; for route53_sets_free, whatever is returned */
	bool past;		  /* the page has others, too: all of ours are before them */
	bool truncated;
	char next_name[ROUTE53_NAME], next_type[16], next_id[129];
};

/* 0; -EBADMSG: no such answer; -E2BIG: too many; -ENOMEM. */
int route53_read_page(const char *xml, size_t size, struct route53_page *p);

struct route53_info { /* ChangeInfo */
	char id[64];  /* without "/change/" */
	bool insync;
};
int route53_read_info(const char *xml, size_t size, struct route53_info *ret);

struct route53_error {
	char code[64];	   /* "Throttling"; "" when it is no error of theirs */
	char message[400]; /* the first line; "InvalidChangeBatch" has several, joined */
};
void route53_read_error(const char *xml, size_t size, struct route53_error *ret);

/* ---- credentials (route53_credentials.c) ---- */

struct route53_credentials {
	char *user;  /* "AKID:SECRET" */
	char *token; /* "X-Amz-Security-Token: …", of temporary ones; or NULL */
};

/*
 * Of an AWS credentials file's text: the profile `default`, or the only one there is. 0; -EINVAL
 * with `why`, which says the line and nothing of what stands there; -ENOMEM.
 */
int route53_credentials_parse(const char *text, struct route53_credentials *ret, char *why);
void route53_credentials_forget(struct route53_credentials *c);
