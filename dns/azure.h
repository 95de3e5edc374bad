/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * azure.h - record sets as Azure's JSON has them (pure); inside azure.c and its tests
 */
#pragma once

#include "dns/change.h"

struct json_t;

/* A record set, into one that dns_value_start made; its ETag is `version`. 0; -EINVAL: no record
 * set; -ENOTSUP: an alias. With `why`. */
int azure_rrset(struct json_t *o, struct dns_rrset *r, char *why);

/* The body of PUT, the caller's to free, with the metadata that were there (NULL: none). NULL: no
 * memory. */
char *azure_body(const struct dns_rrset *fresh, struct json_t *metadata);

/* A name as its zone knows it: "www", "@" for the zone itself. Both as dns_name makes them. 0;
 * -EINVAL: not in the zone; -ENOSPC. */
int azure_relative(const char *name, const char *zone, char *ret, size_t size);
