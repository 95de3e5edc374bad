/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns_watch.h - watching a change spread, until all have it
 */
#pragma once

#include "userspace/cmd/dns.h"

struct dns_watch_rules {
	bool until;	      /* ends when all as wanted; else only at the timeout or by the user */
	bool expect_new;      /* what is wanted */
	uint64_t interval_ns; /* between two questions to the same source; 0: 5 s */
	uint64_t timeout_ns;  /* 0: none */
	unsigned int control; /* as in dns/survey.h */
	unsigned int samples; /* of each resolver; 0: the configuration's */
	bool only_authorities; /* resolvers do not count, and are not asked */
	bool quiet; /* only changes, on stderr: for a command with an answer of its own */
	uint8_t subnet_family, subnet_bits;
	uint32_t subnet[4];
};

/* EXIT_OK, EXIT_TIMEOUT when they were not all as wanted in time, EXIT_FAILED after saying why. */
int dns_watch_until(const struct options *o, struct dns_command *d,
		    const struct dns_watch_rules *rules);
