/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dns.h - the daemon's eye on DNS: who answers what, on the loop, at a pace that fits
 *
 *   ctl_dns_make(loop, say, arg, &d);
 *   ctl_dns_use(d, config);
 *   ...
 *   ctl_dns_look(d, now, &view);
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dns/share_keep.h"
#include "dns/survey.h"

struct config;
struct ctl_dns;
struct loop;

/* One line for people. */
typedef void (*ctl_dns_say)(void *arg, const char *text);

/* 0 or -ENOMEM. */
int ctl_dns_make(struct loop *l, ctl_dns_say say, void *arg, struct ctl_dns **ret);
/* NULL is fine. */
void ctl_dns_free(struct ctl_dns *d);
/*
 * From here this configuration, which must live until the next one is given, or ctl_dns_free.
 * Nothing is asked without a `dns` section, nor on a host that is no leader. What was seen is kept
 * when the section is what it was. 0; −errno: DNS is not watched.
 */
int ctl_dns_use(struct ctl_dns *d, const struct config *c);
/* A share is kept by it, so a change must be seen soon. */
void ctl_dns_hurry(struct ctl_dns *d, bool hurry);

struct ctl_dns_view {
	bool watched;
	const struct dns_survey *survey; /* judged; NULL: nothing was heard yet */
	const struct dns_judged *judged;
	const struct dns_wanted *wanted;
	uint64_t judged_at;
	unsigned int authorities, flipped; /* that answer; of these, with a new address */
	bool still; /* every authority and every cache that is seen gives the old ones */
	bool moves; /* some authority, or some cache, gives a new one */
	struct dns_moved moved; /* by the caches that are asked, at `now` */
	char why[256];		/* nothing is heard: why; "" */
};
void ctl_dns_look(const struct ctl_dns *d, uint64_t now, struct ctl_dns_view *ret);

/* ---- pure, for tests ---- */

struct ctl_dns_pace {
	bool heard; /* of anything yet */
	enum dns_state state;
	bool hurry;   /* a share is kept by it */
	bool touched; /* `dns cutover` or `rollback` was at work since authorities were asked */
	uint64_t authorities_at, resolvers_at; /* when they were asked last; 0: never */
};
/* What is to be asked now: enum of dns_survey_ask; 0: nothing. */
unsigned int ctl_dns_due(const struct ctl_dns_pace *p, uint64_t now);

/*
 * How many of the caches that answer have the new answer at `now`; *ret_n: how many those are. One
 * whose old answer ends after `new_since`, when every authority was seen to give the new one (0:
 * not yet), has that from then.
 */
double ctl_dns_caches(const struct dns_source *s, const struct dns_said *said,
		      const struct dns_cache_seen *cache, unsigned int n, uint64_t new_since,
		      uint64_t now, double *ret_n);
/* Does every authority that answers give the new answer, and one at least? */
bool ctl_dns_all_new(const struct dns_source *s, const struct dns_said *said, unsigned int n);
