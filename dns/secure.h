/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * secure.h - does a validating resolver believe these answers? DNSSEC, verified in a child process
 *
 * libldns ends its process at some hostile messages, so whatever looks at signatures runs in a
 * child with bounds on time and memory; one that dies or hangs is "cannot be verified". RFC 4033 to
 * 4035, 6840, 4509 (DS with SHA-256), 6605 and 8080 (elliptic curves).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum secure_verdict {
	SECURE_CANNOT, /* not found out: see why */
	SECURE_OK,
	SECURE_UNSIGNED, /* the parent has no DS: nobody verifies */
	SECURE_BOGUS,	 /* validating resolvers answer SERVFAIL */
};

struct secure_wire { /* an answer that dns_read took; data NULL: none was had */
	const uint8_t *data;
	size_t size;
};

struct secure_chain {
	const char *zone, *name; /* as dns_name makes them */
	uint16_t type;
	struct secure_wire ds;	   /* of the zone, from its parent */
	struct secure_wire keys;   /* DNSKEY of the zone */
	struct secure_wire answer; /* of name and type; without such a record its SOA is verified */
	uint64_t now;		   /* s since 1970 */
};

struct secure_result {
	enum secure_verdict verdict;
	uint64_t expires;      /* s since 1970: when it is believed no longer; 0: not known */
	unsigned int ds, keys; /* records */
	char why[200];
};

/* From the DS to the answer's records. 0; −errno: no child could be made, and the verdict is
 * SECURE_CANNOT. */
int secure_verify(const struct secure_chain *c, struct secure_result *ret);

/*
 * The child: runs `work` with at most `limit_ns` of time, so many seconds of CPU (rounded up) and
 * 64 MiB more than it has. What ends it otherwise than by returning is told in `why`. 0; −errno.
 */
typedef void (*secure_work)(const void *arg, struct secure_result *ret);
int secure_in_child(secure_work work, const void *arg, uint64_t limit_ns,
		    struct secure_result *ret);
