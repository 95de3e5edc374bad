/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_find.h - the authorities of a name, found by a child process while the daemon goes on
 */
#pragma once

#include "dns/observe.h"

#define DNS_FOUND 64

struct dns_found_server {
	uint8_t family;
	uint32_t ip[4];
	char text[64], ns[DNS_NAME];
};

struct dns_found {
	unsigned int n; /* 0: none, and `why` */
	char why[128];
	struct dns_found_server server[DNS_FOUND];
};

struct conf_dns;
struct dns_find;

/* 0 or −errno. */
int dns_find_begin(const struct conf_dns *c, const struct dns_wanted *w, const char *name,
		   uint64_t now, struct dns_find **ret);
/* Has it ended, or taken too long? */
bool dns_find_done(struct dns_find *f, uint64_t now, struct dns_found *ret);
/* Stops it, if it has not. NULL is fine. */
void dns_find_end(struct dns_find *f);
