/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * verdict.c - what each source and all together say: old, new, or what is wrong
 *
 * Owns nothing, asks nobody: samples and the time go in, a verdict with its reason comes out.
 *
 * What counts for "now" is the latest sample of each cache (by its NSID) and type. Behind an
 * address that gives no NSID there may be several caches all the same, and one sample means
 * nothing: there, all that was answered within one sweep counts, and so does an answer of another
 * kind in between that its cache must still hold. A cache that has not been met for longer than its
 * answer's TTL is forgotten. One lost question is no verdict: only when the last three were lost,
 * or all there are, is a source unreachable.
 *
 * The worst counts: no authority (lame), then broken, then stale, then mixed.
 *
 * Weakness: an address in both dns.old and dns.new decides nothing, so a record whose two sets
 * share all addresses of one family cannot be followed in that family.
 */
#include "dns/verdict.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dns/share.h"
#include "userspace/base/text.h"

#define S UINT64_C(1000000000)

/* Samples so close together are of one sweep. */
#define SWEEP (2 * S)
/* A cache behind a shared address that was not met for so long does not count, unless what it
 * answered lives for longer. */
#define MISSED (30 * S)
/* So many questions in a row must be lost. */
#define LOST 3

#define EDE_STALE	   3
#define EDE_STALE_NXDOMAIN 19

const char *const dns_verdicts[] = {"old",	   "new",  "mixed", "stale",
				    "unreachable", "lame", "broken"};
const char *const dns_states[] = {"old", "mixed", "new", "unknown"};

bool dns_serial_behind(uint32_t a, uint32_t b)
{
	return a != b && (int32_t)(a - b) < 0;
}

/* What one sample says. */
enum said { SAID_NOTHING, SAID_OLD, SAID_NEW, SAID_BOTH, SAID_STALE, SAID_LAME, SAID_BROKEN };

struct judging {
	const struct dns_source *s;
	const struct dns_wanted *w;
	uint64_t now, expired;
	const uint32_t *newest;
	struct dns_said *ret;
	enum said worst;
	bool old, fresh;
	double share;
	unsigned int shares;
	unsigned int answers;
};

static const char *words(char *to, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static const char *words(char *to, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(to, size, format, args);
	va_end(args);
	return to;
}

static unsigned int of_family(const struct dns_address *a, unsigned int n, uint8_t family)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < n; i++)
		count += a[i].family == family;
	return count;
}

/* An authority that is none for this name. NULL, or why. */
static const char *lame(const struct dns_sample *p, char why[160])
{
	char code[16];

	switch (p->rcode) {
	case DNS_REFUSED:
	case DNS_NOTAUTH:
		return words(why, 160, "it is no authority for this name (%s)",
			     dns_rcode_text(p->rcode, code));
	case DNS_NOERROR:
	case DNS_NXDOMAIN:
		if (p->referral)
			return "it refers to other servers: it does not have the zone";
		return p->aa ? NULL : "its answer is not authoritative: it does not have the zone";
	default:
		return NULL;
	}
}

/* The value of an answer without any address. */
static enum said empty(const struct judging *j, const struct dns_sample *p, char why[160])
{
	uint8_t family = p->type == DNS_AAAA ? 6 : 4;
	char type[16];
	unsigned int old = of_family(j->w->old, j->w->n_old, family);
	unsigned int fresh = of_family(j->w->fresh, j->w->n_fresh, family);

	if (old && fresh) {
		words(why, 160, "no %s record where there should be one",
		      dns_type_text(p->type, type));
		return SAID_BROKEN;
	}
	return old ? SAID_NEW : fresh ? SAID_OLD : SAID_NOTHING;
}

static enum said other(const struct judging *j, const struct dns_sample *p, char why[160])
{
	char address[64];

	for (unsigned int i = 0; i < p->n_addresses; i++) {
		if (dns_value(j->w, &p->address[i], 1) != DNS_VALUE_OTHER)
			continue;
		words(why, 160, "answers %s, which is neither old nor new",
		      text_address(p->address[i].ip, 0, address));
		return SAID_BROKEN;
	}
	words(why, 160, "answers an address that is neither old nor new");
	return SAID_BROKEN;
}

/* Old as such; but is it past its time? */
static enum said old(const struct judging *j, const struct dns_sample *p, char why[160])
{
	const struct dns_source *s = j->s;

	if (p->ede == EDE_STALE || p->ede == EDE_STALE_NXDOMAIN) {
		words(why, 160, "serves an expired answer (EDE %d)", p->ede);
		return SAID_STALE;
	}
	if (s->kind == DNS_AUTHORITY) {
		if (!s->has_serial || !j->newest || !dns_serial_behind(s->serial, *j->newest))
			return SAID_OLD;
		words(why, 160, "its zone is behind: serial %u, others have %u", s->serial,
		      *j->newest);
		return SAID_STALE;
	}
	if (!j->expired || p->at <= j->expired)
		return SAID_OLD;
	words(why, 160, "still the old value %.0f s after the last cache should have expired",
	      (double)(p->at - j->expired) / S);
	return SAID_STALE;
}

static enum said sample(const struct judging *j, const struct dns_sample *p, char why[160])
{
	const char *no = j->s->kind == DNS_AUTHORITY ? lame(p, why) : NULL;
	char code[16];

	if (no) {
		if (no != why)
			words(why, 160, "%s", no);
		return SAID_LAME;
	}
	if (p->rcode == DNS_NXDOMAIN) {
		if (p->ede == EDE_STALE_NXDOMAIN)
			return old(j, p, why);
		if (!j->w->n_old)
			return SAID_OLD;
		words(why, 160, "no such name (NXDOMAIN)");
		return SAID_BROKEN;
	}
	if (p->rcode != DNS_NOERROR) {
		if (p->ede >= 0)
			words(why, 160, "%s (EDE %d)", dns_rcode_text(p->rcode, code), p->ede);
		else
			words(why, 160, "%s", dns_rcode_text(p->rcode, code));
		return SAID_BROKEN;
	}
	switch (p->value) {
	case DNS_VALUE_OLD:
		return old(j, p, why);
	case DNS_VALUE_NEW:
		return SAID_NEW;
	case DNS_VALUE_BOTH:
		words(why, 160, "old and new addresses in one answer");
		return SAID_BOTH;
	case DNS_VALUE_OTHER:
		return other(j, p, why);
	case DNS_VALUE_NONE:
		break;
	}
	if (p->referral) {
		words(why, 160, "it refers to other servers: it does not look up for this host");
		return SAID_BROKEN;
	}
	return empty(j, p, why);
}

static bool answered(const struct dns_sample *p)
{
	return p->outcome == DNS_ANSWERED;
}

/* The share of the new side in one answer. */
static double share_of(const struct dns_wanted *w, const struct dns_sample *p, enum said said)
{
	unsigned int fresh = 0;

	if (said != SAID_BOTH)
		return said == SAID_NEW;
	for (unsigned int i = 0; i < p->n_addresses; i++)
		fresh += dns_value(w, &p->address[i], 1) == DNS_VALUE_NEW;
	return p->n_addresses ? (double)fresh / p->n_addresses : 0.5;
}

/* A failure that the other type's question does not have is that type's. */
static bool of_one_type(const struct judging *j, const struct dns_sample *p)
{
	for (unsigned int i = 0; p->rcode != DNS_NOERROR && i < j->s->n_samples; i++) {
		const struct dns_sample *q = &j->s->sample[i];

		if (answered(q) && q->type != p->type && q->rcode == DNS_NOERROR)
			return true;
	}
	return false;
}

static void count(struct judging *j, const struct dns_sample *p)
{
	char why[160] = "";
	enum said said = sample(j, p, why);
	int64_t left = p->ttl;

	j->answers++;
	if (said > j->worst) {
		j->worst = said;
		words(j->ret->why, sizeof(j->ret->why), "%s%s",
		      !of_one_type(j, p)    ? ""
		      : p->type == DNS_AAAA ? "AAAA: "
					    : "A: ",
		      why);
	}
	j->old |= said == SAID_OLD || said == SAID_STALE;
	j->fresh |= said == SAID_NEW;
	if (said >= SAID_OLD && said <= SAID_STALE) {
		j->share += share_of(j->w, p, said);
		j->shares++;
	}
	if (!p->n_addresses)
		return;
	/* What a cache has counts down; an authority gives its TTL anew each time. */
	if (j->s->kind == DNS_RESOLVER && j->now > p->at)
		left -= (int64_t)((j->now - p->at) / S);
	if (left < 0)
		left = 0;
	if (left > j->ret->ttl_left_s)
		j->ret->ttl_left_s = left;
}

/* Does another sample, later or of the same sweep, stand for this one? */
static bool counts(const struct judging *j, unsigned int i, bool *ret_other)
{
	const struct dns_source *s = j->s;
	const struct dns_sample *p = &s->sample[i];
	uint64_t hold = p->ttl * S > MISSED ? p->ttl * S : MISSED;
	bool last = true, between = false, same_later = false;
	const struct dns_sample *newest = NULL, *latest = NULL;

	for (unsigned int k = 0; k < s->n_samples; k++) {
		const struct dns_sample *q = &s->sample[k];

		if (!answered(q) || q->type != p->type)
			continue;
		latest = q;
		if (q->place != p->place)
			continue;
		newest = q;
		last &= k <= i;
		if (k < i && q->value != p->value)
			between = true;
		if (k > i && q->value == p->value)
			same_later = true;
	}
	*ret_other = false;
	if (latest->at > p->at + hold && latest != p)
		return false;
	if (last)
		return true;
	if (p->place || same_later || p->value == newest->value)
		return false;
	/* No NSID, and a value that the latest does not have: of the same sweep, or between two
	 * that are alike while its cache must still have it. What ended in between is no other
	 * cache's: the one cache has asked anew. */
	*ret_other = (newest->at - p->at <= SWEEP &&
		      (s->kind == DNS_AUTHORITY || p->at + p->ttl * S + S / 2 > newest->at)) ||
		     (s->kind == DNS_RESOLVER && between && p->at + p->ttl * S > j->now + S);
	return *ret_other;
}

/* The questions of this type that were lost last: are they enough to say that nobody is there? */
static bool lost(const struct dns_source *s, uint16_t type, const struct dns_sample **ret)
{
	unsigned int n = 0, all = 0;

	*ret = NULL;
	for (unsigned int i = s->n_samples; i-- > 0;) {
		const struct dns_sample *p = &s->sample[i];

		if (p->type != type)
			continue;
		all++;
		if (answered(p))
			break;
		if (!*ret)
			*ret = p;
		n++;
	}
	return n && (n == all || n >= LOST);
}

/* What came and was no answer to a question of ours: a forger's, or a broken box's on the way. */
static void name_forged(const struct dns_source *s, struct dns_said *r)
{
	unsigned int n = 0;
	size_t used = strlen(r->why);

	for (unsigned int i = 0; i < s->n_samples; i++)
		if (s->sample[i].outcome != DNS_MALFORMED)
			n += s->sample[i].rejected;
	if (n)
		words(r->why + used, sizeof(r->why) - used,
		      "%s%u message%s that came %s no answer to the question: forged?",
		      used ? "; " : "", n, n == 1 ? "" : "s", n == 1 ? "was" : "were");
}

/* Neither answered: from here, or at all? */
static void unreachable(struct judging *j, const struct dns_sample *p)
{
	struct dns_said *r = j->ret;
	bool no_route = true;

	for (unsigned int i = 0; i < j->s->n_samples; i++)
		no_route &= j->s->sample[i].outcome == DNS_NO_ROUTE;
	r->verdict = DNS_SAYS_UNREACHABLE;
	if (p && p->outcome == DNS_MALFORMED) {
		r->verdict = DNS_SAYS_BROKEN;
		words(r->why, sizeof(r->why), "its answer is no sound message");
	} else if (p && no_route) {
		r->no_family = true;
		words(r->why, sizeof(r->why), "this host has no route there%s",
		      j->s->family == 6 ? " (no IPv6)" : "");
	} else if (p) {
		words(r->why, sizeof(r->why), "%s", dns_outcomes[p->outcome]);
	} else {
		words(r->why, sizeof(r->why), "it was not asked yet");
	}
}

static void judge_type(struct judging *j, uint16_t type, const struct dns_sample **ret_lost)
{
	const struct dns_sample *p;
	bool others;

	if (lost(j->s, type, &p)) {
		*ret_lost = p;
		return;
	}
	for (unsigned int i = 0; i < j->s->n_samples; i++) {
		p = &j->s->sample[i];
		if (answered(p) && p->type == type && counts(j, i, &others)) {
			count(j, p);
			j->ret->caches += others; /* one that gives no name of its own */
		}
	}
}

static unsigned int places(const struct dns_source *s, const struct judging *j)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->n_samples; i++) {
		bool seen = false, others;

		if (!answered(&s->sample[i]) || !counts(j, i, &others) || others)
			continue;
		for (unsigned int k = 0; k < i; k++) {
			const struct dns_sample *q = &s->sample[k];

			seen |= answered(q) && q->place == s->sample[i].place &&
				counts(j, k, &others) && !others;
		}
		n += !seen;
	}
	return n;
}

void dns_judge(const struct dns_source *s, const struct dns_wanted *w, uint64_t now,
	       const uint32_t *newest, uint64_t expired, struct dns_said *ret)
{
	static const enum dns_verdict of[] = {
		[SAID_OLD] = DNS_SAYS_OLD,     [SAID_NEW] = DNS_SAYS_NEW,
		[SAID_BOTH] = DNS_SAYS_MIXED,  [SAID_STALE] = DNS_SAYS_STALE,
		[SAID_LAME] = DNS_SAYS_LAME,   [SAID_BROKEN] = DNS_SAYS_BROKEN,
		[SAID_NOTHING] = DNS_SAYS_NEW,
	};
	struct judging j = {
		.s = s, .w = w, .now = now, .newest = newest, .expired = expired, .ret = ret};
	const struct dns_sample *gone = NULL;

	memset(ret, 0, sizeof(*ret));
	ret->ttl_left_s = -1;
	ret->share_new = NAN;
	judge_type(&j, DNS_A, &gone);
	judge_type(&j, DNS_AAAA, &gone);
	ret->samples = j.answers;
	if (!j.answers) {
		unreachable(&j, gone);
		name_forged(s, ret);
		return;
	}
	ret->caches += places(s, &j);
	if (j.shares)
		ret->share_new = j.share / j.shares;
	ret->verdict = of[j.worst];
	if (j.worst == SAID_NOTHING) {
		ret->verdict = DNS_SAYS_BROKEN;
		words(ret->why, sizeof(ret->why), "has no address, old or new");
	} else if (gone && gone->outcome == DNS_MALFORMED) {
		ret->verdict = DNS_SAYS_BROKEN;
		words(ret->why, sizeof(ret->why), "its answer to one type is no sound message");
	} else if (gone && j.worst < SAID_LAME) {
		/* A server that answers one type and drops the other breaks those who ask both. */
		ret->verdict = DNS_SAYS_BROKEN;
		words(ret->why, sizeof(ret->why), "answers one type, but not %s",
		      gone->type == DNS_AAAA ? "AAAA" : "A");
	} else if (j.worst <= SAID_BOTH && j.old && j.fresh) {
		ret->verdict = DNS_SAYS_MIXED;
		words(ret->why, sizeof(ret->why), "%s",
		      ret->caches > 1 ? "its caches disagree" : "its answers disagree");
	}
	name_forged(s, ret);
}

/* Does what it said tell of old and new? */
static bool tells(const struct dns_said *said)
{
	return said->verdict <= DNS_SAYS_STALE;
}

void dns_judge_all(const struct dns_source *s, const struct dns_said *said, unsigned int n,
		   struct dns_judged *ret)
{
	double k[2] = {0}, of[2] = {0};
	const struct dns_source *first = NULL;
	enum dns_verdict value = DNS_SAYS_OLD;
	unsigned int old = 0, fresh = 0, mixed = 0;
	int kind;

	memset(ret, 0, sizeof(*ret));
	ret->authorities_agree = true;
	for (unsigned int i = 0; i < n; i++) {
		ret->of[said[i].verdict]++;
		if (!tells(&said[i]))
			continue;
		old += said[i].verdict == DNS_SAYS_OLD || said[i].verdict == DNS_SAYS_STALE;
		fresh += said[i].verdict == DNS_SAYS_NEW;
		mixed += said[i].verdict == DNS_SAYS_MIXED;
		if (!isnan(said[i].share_new)) {
			unsigned int caches = said[i].caches ? said[i].caches : 1;

			k[s[i].kind] += said[i].share_new * caches;
			of[s[i].kind] += caches;
		}
		if (s[i].kind != DNS_AUTHORITY)
			continue;
		if (!first) {
			first = &s[i];
			value = said[i].verdict;
		}
		if (said[i].verdict != value || s[i].has_serial != first->has_serial ||
		    s[i].serial != first->serial)
			ret->authorities_agree = false;
	}
	kind = of[DNS_RESOLVER] > 0 ? DNS_RESOLVER : DNS_AUTHORITY;
	ret->share_new = of[kind] > 0 ? k[kind] / of[kind] : NAN;
	dns_share_interval(k[kind], of[kind], &ret->share_low, &ret->share_high);
	ret->state = mixed || (old && fresh) ? DNS_STATE_MIXED
		     : fresh		     ? DNS_STATE_NEW
		     : old		     ? DNS_STATE_OLD
					     : DNS_STATE_UNKNOWN;
}

/*
 * An authority alone that does not answer is broken: each of its clients waits for it. A resolver
 * that does not may only be closed to this host, so it leaves the question open; a family that this
 * host lacks is left out.
 */
int dns_exit(const struct dns_judged *j, const struct dns_said *said, const struct dns_source *s,
	     unsigned int n, bool expect_new)
{
	bool bad = false, dead = false, silent = false;

	for (unsigned int i = 0; i < n; i++) {
		if (said[i].no_family)
			continue;
		bad |= said[i].verdict == DNS_SAYS_STALE || said[i].verdict == DNS_SAYS_LAME ||
		       said[i].verdict == DNS_SAYS_BROKEN;
		if (said[i].verdict != DNS_SAYS_UNREACHABLE)
			continue;
		dead |= s[i].kind == DNS_AUTHORITY && s[i].n_samples;
		silent |= s[i].kind == DNS_RESOLVER || !s[i].n_samples;
	}
	if (j->state == DNS_STATE_UNKNOWN && !bad)
		return 3;
	if (bad || dead || j->state == (expect_new ? DNS_STATE_OLD : DNS_STATE_NEW))
		return 2;
	if (j->state == DNS_STATE_MIXED)
		return 1;
	return silent ? 3 : 0;
}
