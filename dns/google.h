/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * google.h - record sets as Google's JSON has them (pure); inside google.c and its tests
 */
#pragma once

#include "dns/change.h"

struct conf_provider;
struct http_reply;
struct json_t;

/* One of an answer's rrsets, into one that dns_value_start made. 0; -EINVAL: no record set;
 * -ENOTSUP: it has what could not be written again. With `why`. */
int google_rrset(struct json_t *o, struct dns_rrset *r, char *why);

/* The body of changes.create, the caller's to free; `exact`, when not NULL, is the deletion as the
 * service itself wrote it. NULL: no memory. */
char *google_change(const struct dns_rrset *old, const struct dns_rrset *fresh,
		    struct json_t *exact);

/* Is what was read what was wanted? The set_id of a wanted set only groups. */
bool google_same(const struct dns_rrset *wanted, const struct dns_rrset *seen);

/* Google says "too fast" with 403 as well as with 429. */
bool google_too_fast(const struct http_reply *r);
/* An answer's error in words. */
void google_words(const struct conf_provider *c, const struct http_reply *r, char *why);
