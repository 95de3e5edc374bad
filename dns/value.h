/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * value.h - records as a provider's JSON has them, made canonical (pure)
 */
#pragma once

#include "dns/change.h"

/* A, AAAA and CNAME: what those functions can read and write. */
bool dns_value_known(uint16_t type);

/* One record's data as change.h wants it. 0; -EINVAL: no such value, or too long. */
int dns_value_canonical(uint16_t type, const char *data, char *ret, size_t size);

/* Appends a member with `data` as change.h wants it, so that "2001:DB8:0:0::1" and "2001:db8::1"
 * are the same; zeroed but for that. 0; -EINVAL: no such value; -ENOSPC: too many. */
int dns_value_add(struct dns_rrset *r, uint16_t type, const char *data);

/* Ready to be filled: name and type, no member. */
void dns_value_start(struct dns_rrset *r, const char *name, uint16_t type);

/* "POST", "https://api.example/v1/x", {"If-Match: 1", NULL}, "{}": as the bytes of HTTP/1.1, with
 * "Authorization: Bearer ***". */
void dns_value_show(FILE *to, const char *method, const char *url, const char *const *headers,
		    const char *body);
/* The same with another line for the secret: "X-API-Key: ***". */
void dns_value_show_as(FILE *to, const char *method, const char *url, const char *secret,
		       const char *const *headers, const char *body);
