/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * settle.h - how a change ended, decided by reading what is there (Google, Azure)
 */
#pragma once

#include "dns/change.h"
#include "dns/cloud.h"

struct settle {
	const char *title; /* "Azure DNS", for words */
	void *x;
	/* As in dns_provider_class. */
	enum dns_changed (*read)(void *x, const char *name, uint16_t type, struct dns_rrset *ret,
				 char *why);
	/* Is what was read what was wanted? */
	bool (*same)(const struct dns_rrset *wanted, const struct dns_rrset *seen);
};

enum settle_said { /* what the provider said of the change */
		   SETTLE_DONE,
		   SETTLE_FAILED, /* 5xx */
		   SETTLE_NOTHING,
};

/*
 * Reads until it is the new set: for a few seconds, for what was sent may still be at work behind a
 * lost answer, and what was done may not be readable at once. DNS_CHANGED; DNS_UNREACHED: it is the
 * old set all the time; DNS_STALE: another one, `seen`, without an answer that says "done";
 * DNS_UNCERTAIN: it cannot be read, or is not the new set although the answer said so. `why` has
 * the words of the lost answer before, and of the failure afterwards.
 */
enum dns_changed settle(const struct settle *s, const struct dns_rrset *old,
			const struct dns_rrset *fresh, enum settle_said said,
			struct dns_rrset *seen, char *why);

/* DNS_STALE, and what is there in words. */
enum dns_changed settle_stale(const struct settle *s, const struct dns_rrset *seen, char *why);

/* Of an outcome that is not CLOUD_ANSWERED; `reads`: of a call that changes nothing. */
enum dns_changed settle_outcome(enum cloud_outcome out, bool reads);
