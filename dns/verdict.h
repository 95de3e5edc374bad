/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * verdict.h - what each source and all together say: old, new, or what is wrong (pure)
 */
#pragma once

#include "dns/observe.h"

enum dns_verdict {
	DNS_SAYS_OLD,
	DNS_SAYS_NEW,
	DNS_SAYS_MIXED, /* both: in one answer, or its caches disagree, or A and AAAA do */
	DNS_SAYS_STALE, /* old, past its time: an expired answer (EDE 3, 19), an authority behind
			   its peers */
	DNS_SAYS_UNREACHABLE, /* no answer; or this host lacks the family */
	DNS_SAYS_LAME,	      /* an authority that is none: REFUSED, no AA, a referral, no zone */
	DNS_SAYS_BROKEN,      /* SERVFAIL, no such name, neither old nor new, no sound message */
};
extern const char *const dns_verdicts[]; /* "old", "new", …: the words of --json */

enum dns_state { DNS_STATE_OLD, DNS_STATE_MIXED, DNS_STATE_NEW, DNS_STATE_UNKNOWN };
extern const char *const dns_states[];

struct dns_said {
	enum dns_verdict verdict;
	bool no_family; /* unreachable from here because this host has no such family: not "wrong"
			 */
	int64_t ttl_left_s;	      /* of what it answered, at `now`; −1: not known */
	double share_new;	      /* of its answers, 0..1; NAN: none */
	unsigned int samples, caches; /* answers judged; different NSIDs among them */
	char why[160];		      /* in words: "SERVFAIL (network error)" */
};

struct dns_judged {
	enum dns_state state;
	double share_new; /* over the resolvers' caches, or the authorities' without any; NAN */
	double share_low, share_high; /* 95 % */
	bool authorities_agree;	      /* all that answer: same value and serial */
	unsigned int of[7];	      /* sources by verdict */
};

/* Serial arithmetic of RFC 1982: is a behind b? */
bool dns_serial_behind(uint32_t a, uint32_t b);

/*
 * One source at `now`. `newest` is the newest serial that any authority answers (NULL: none known),
 * `expired` the instant at which no cache should have the old value any more (0: not known).
 */
void dns_judge(const struct dns_source *s, const struct dns_wanted *w, uint64_t now,
	       const uint32_t *newest, uint64_t expired, struct dns_said *ret);
/* All of them; `said` is one for each source. */
void dns_judge_all(const struct dns_source *s, const struct dns_said *said, unsigned int n,
		   struct dns_judged *ret);
/* 0 as expected, 1 mixed, 2 not as expected or broken, 3 unknown. */
int dns_exit(const struct dns_judged *j, const struct dns_said *said, const struct dns_source *s,
	     unsigned int n, bool expect_new);
