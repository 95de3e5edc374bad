/* SPDX-License-Identifier: GPL-2.0-only */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/verdict.h"
#include "userspace/base/ip.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define S	 UINT64_C(1000000000)

static void parse(const char *text, struct dns_address *list, unsigned int *n, unsigned int max)
{
	char word[64];
	uint16_t port;
	int used;

	for (*n = 0; text && sscanf(text, " %63s%n", word, &used) == 1; text += used) {
		assert_true(*n < max);
		assert_int_equal(ip_parse(word, list[*n].ip, &port), 0);
		list[*n].family = ip_family(list[*n].ip);
		++*n;
	}
}

static void want(struct dns_wanted *w, const char *old, const char *fresh)
{
	memset(w, 0, sizeof(*w));
	parse(old, w->old, &w->n_old, DNS_MAX_ADDRESSES);
	parse(fresh, w->fresh, &w->n_fresh, DNS_MAX_ADDRESSES);
	w->ask_a = w->ask_aaaa = true;
	w->ttl = 60;
}

#define OLD   "192.0.2.1"
#define OLD2  "192.0.2.1 192.0.2.2"
#define FRESH "198.51.100.1 198.51.100.2 198.51.100.3"

static void answers_are_old_or_new_or_neither(void **state)
{
	static const struct {
		const char *old, *fresh, *answer;
		enum dns_value value;
	} rows[] = {
		{OLD, FRESH, "", DNS_VALUE_NONE},
		{OLD, FRESH, OLD, DNS_VALUE_OLD},
		{OLD2, FRESH, "192.0.2.2", DNS_VALUE_OLD},
		{OLD, FRESH, FRESH, DNS_VALUE_NEW},
		{OLD, FRESH, "198.51.100.2", DNS_VALUE_NEW}, /* by weight */
		{OLD, FRESH, "192.0.2.1 198.51.100.2", DNS_VALUE_BOTH},
		{OLD, FRESH, "203.0.113.9", DNS_VALUE_OTHER},
		{OLD, FRESH, "198.51.100.2 203.0.113.9", DNS_VALUE_OTHER},
		{OLD, FRESH, "192.0.2.1 203.0.113.9", DNS_VALUE_OTHER},
		{"2001:db8::1", "2001:db8:1::1", "2001:db8:1::1", DNS_VALUE_NEW},
		{"2001:db8::1", "2001:db8:1::1", "192.0.2.1", DNS_VALUE_OTHER},
		/* Addresses that stay decide nothing beside others … */
		{OLD2, "192.0.2.2 198.51.100.1", "192.0.2.1 192.0.2.2", DNS_VALUE_OLD},
		{OLD2, "192.0.2.2 198.51.100.1", "192.0.2.2 198.51.100.1", DNS_VALUE_NEW},
		/* … and alone: all that shall be there is, or all that was. */
		{OLD2, "192.0.2.2", "192.0.2.2", DNS_VALUE_NEW},
		{OLD, "192.0.2.1 198.51.100.1", OLD, DNS_VALUE_OLD},
		{OLD2, "192.0.2.2 198.51.100.1", "192.0.2.2", DNS_VALUE_NEW},
		{OLD, OLD, OLD, DNS_VALUE_NEW},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dns_address a[8];
		struct dns_wanted w;
		unsigned int n;

		want(&w, rows[i].old, rows[i].fresh);
		parse(rows[i].answer, a, &n, 8);
		assert_int_equal(dns_value(&w, a, n), rows[i].value);
	}
}

/* A sample in words: "A 192.0.2.1 ttl=20 t=-3 place=7 aa soa=5" */
static void say_sample(struct dns_source *s, const struct dns_wanted *w, uint64_t now,
		       const char *text)
{
	struct dns_sample p = {.outcome = DNS_ANSWERED,
			       .ede = -1,
			       .at = now,
			       .ttl = 60,
			       .type = DNS_A,
			       .aa = s->kind == DNS_AUTHORITY};
	char word[64];
	uint16_t port;
	int used;

	for (; sscanf(text, " %63s%n", word, &used) == 1; text += used) {
		if (!strcmp(word, "A"))
			p.type = DNS_A;
		else if (!strcmp(word, "AAAA"))
			p.type = DNS_AAAA;
		else if (!strncmp(word, "ttl=", 4))
			p.ttl = (uint32_t)atoi(word + 4);
		else if (!strncmp(word, "t=", 2))
			p.at = (uint64_t)((double)now + atof(word + 2) * (double)S);
		else if (!strncmp(word, "place=", 6))
			p.place = (uint32_t)atoi(word + 6);
		else if (!strncmp(word, "ede=", 4))
			p.ede = atoi(word + 4);
		else if (!strncmp(word, "rcode=", 6))
			p.rcode = (uint16_t)atoi(word + 6);
		else if (!strncmp(word, "rejected=", 9))
			p.rejected = (unsigned int)atoi(word + 9);
		else if (!strcmp(word, "noaa"))
			p.aa = false;
		else if (!strcmp(word, "referral"))
			p.referral = true, p.aa = false;
		else if (!strcmp(word, "timeout"))
			p.outcome = DNS_TIMEOUT;
		else if (!strcmp(word, "closed"))
			p.outcome = DNS_CLOSED;
		else if (!strcmp(word, "noroute"))
			p.outcome = DNS_NO_ROUTE;
		else if (!strcmp(word, "garbage"))
			p.outcome = DNS_MALFORMED;
		else if (!strcmp(word, "untrusted"))
			p.outcome = DNS_UNTRUSTED;
		else {
			struct dns_address *a = &p.address[p.n_addresses++];

			assert_int_equal(ip_parse(word, a->ip, &port), 0);
			a->family = ip_family(a->ip);
		}
	}
	p.value = dns_value(w, p.address, p.n_addresses);
	dns_source_add(s, &p);
}

static void say_all(struct dns_source *s, const struct dns_wanted *w, uint64_t now,
		    const char *text)
{
	char line[256];

	for (const char *end; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, ';');
		snprintf(line, sizeof(line), "%.*s", (int)(end - text), text);
		say_sample(s, w, now, line);
	}
}

#define NOW (10000 * S)

struct row {
	const char *samples;
	enum dns_verdict verdict;
	const char *why; /* a part of it */
	int ttl_left;
	double share;
	unsigned int caches;
};

static const struct row resolvers[] = {
	{"A 192.0.2.1 ttl=17", DNS_SAYS_OLD, "", 17, 0, 1},
	{"A 192.0.2.1 ttl=17 t=-5", DNS_SAYS_OLD, "", 12, 0, 1},
	{"A 192.0.2.1 ttl=17 t=-50", DNS_SAYS_OLD, "", 0, 0, 1},
	{"A 198.51.100.1 198.51.100.2 198.51.100.3", DNS_SAYS_NEW, "", 60, 1, 1},
	{"A 198.51.100.2", DNS_SAYS_NEW, "", 60, 1, 1},
	{"A 192.0.2.1 198.51.100.1", DNS_SAYS_MIXED, "in one answer", 60, 0.5, 1},
	/* Only the latest of a cache counts. */
	{"A 192.0.2.1 t=-9;A 198.51.100.1", DNS_SAYS_NEW, "", 60, 1, 1},
	{"A 192.0.2.1 t=-9 place=1;A 198.51.100.1 place=1", DNS_SAYS_NEW, "", 60, 1, 1},
	/* Several caches that name themselves. */
	{"A 192.0.2.1 t=-9 place=1 ttl=40;A 198.51.100.1 place=2", DNS_SAYS_MIXED,
	 "its caches disagree", 60, 0.5, 2},
	{"A 198.51.100.1 t=-1 place=1;A 198.51.100.2 place=2;A 198.51.100.3 place=3", DNS_SAYS_NEW,
	 "", 60, 1, 3},
	{"A 192.0.2.1 t=-1 place=1;A 198.51.100.2 place=2;A 198.51.100.3 place=3", DNS_SAYS_MIXED,
	 "disagree", 60, 2 / 3.0, 3},
	/* One that was not met again for longer than its answer lives is forgotten. */
	{"A 192.0.2.1 t=-61 place=1 ttl=40;A 198.51.100.1 place=2", DNS_SAYS_NEW, "", 60, 1, 1},
	{"A 192.0.2.1 t=-61 place=1 ttl=90;A 198.51.100.1 place=2", DNS_SAYS_MIXED, "disagree", 60,
	 0.5, 2},
	/* Several that do not: within one sweep, or back and forth. */
	{"A 192.0.2.1 t=-0.2;A 198.51.100.1", DNS_SAYS_MIXED, "its caches disagree", 60, 0.5, 2},
	{"A 192.0.2.1 t=-20;A 198.51.100.1 t=-10;A 192.0.2.1 ttl=40", DNS_SAYS_MIXED,
	 "its caches disagree", 50, 0.5, 2},
	{"A 192.0.2.1 t=-20;A 198.51.100.1 t=-10 ttl=5;A 192.0.2.1 ttl=40", DNS_SAYS_OLD, "", 40, 0,
	 1},
	/* What ended in between was the same cache's. */
	{"A 192.0.2.1 ttl=0 t=-1;A 198.51.100.1", DNS_SAYS_NEW, "", 60, 1, 1},
	{"A 192.0.2.1 ttl=3 t=-1;A 198.51.100.1", DNS_SAYS_MIXED, "disagree", 60, 0.5, 2},
	/* What was no answer is told of. */
	{"A 192.0.2.1 rejected=1", DNS_SAYS_OLD, "1 message that came was no answer", 60, 0, 1},
	{"A timeout rejected=3", DNS_SAYS_UNREACHABLE,
	 "timed out; 3 messages that came were no answer to the question: forged?", -1, NAN, 0},
	{"A garbage rejected=1", DNS_SAYS_BROKEN, "no sound message", -1, NAN, 0},
	/* Types. */
	{"A 192.0.2.1;AAAA 2001:db8::1", DNS_SAYS_OLD, "", 60, 0, 1},
	{"A 198.51.100.1;AAAA 2001:db8::1", DNS_SAYS_MIXED, "its answers disagree", 60, 0.5, 1},
	{"A 198.51.100.1;AAAA", DNS_SAYS_BROKEN, "no AAAA record where there should be one", 60, 1,
	 1},
	{"A", DNS_SAYS_BROKEN, "no A record where there should be one", -1, NAN, 1},
	{"A 198.51.100.1;AAAA timeout", DNS_SAYS_BROKEN, "answers one type, but not AAAA", 60, 1,
	 1},
	{"A 198.51.100.1;AAAA garbage", DNS_SAYS_BROKEN, "no sound message", 60, 1, 1},
	/* Expired. */
	{"A 192.0.2.1 ttl=30 ede=3", DNS_SAYS_STALE, "EDE 3", 30, 0, 1},
	{"A 198.51.100.1 ttl=30 ede=3", DNS_SAYS_NEW, "", 30, 1, 1},
	{"A rcode=3 ede=19", DNS_SAYS_STALE, "EDE 19", -1, 0, 1},
	{"A 192.0.2.1 place=1 ede=3;A 198.51.100.1 place=2", DNS_SAYS_STALE, "EDE 3", 60, 0.5, 2},
	/* Broken. */
	{"A rcode=2", DNS_SAYS_BROKEN, "SERVFAIL", -1, NAN, 1},
	{"A 198.51.100.1;AAAA rcode=2", DNS_SAYS_BROKEN, "AAAA: SERVFAIL", 60, 1, 1},
	{"A rcode=2 ede=22", DNS_SAYS_BROKEN, "SERVFAIL (EDE 22)", -1, NAN, 1},
	{"A rcode=3", DNS_SAYS_BROKEN, "NXDOMAIN", -1, NAN, 1},
	{"A rcode=5", DNS_SAYS_BROKEN, "REFUSED", -1, NAN, 1},
	{"A referral", DNS_SAYS_BROKEN, "does not look up", -1, NAN, 1},
	{"A 203.0.113.9", DNS_SAYS_BROKEN, "203.0.113.9, which is neither", 60, NAN, 1},
	{"A 198.51.100.1 203.0.113.9", DNS_SAYS_BROKEN, "203.0.113.9, which is neither", 60, NAN,
	 1},
	{"A garbage", DNS_SAYS_BROKEN, "no sound message", -1, NAN, 0},
	{"A 198.51.100.1 place=1;A rcode=2 place=2", DNS_SAYS_BROKEN, "SERVFAIL", 60, 1, 2},
	/* Nobody there. */
	{"", DNS_SAYS_UNREACHABLE, "not asked yet", -1, NAN, 0},
	{"A timeout;AAAA timeout", DNS_SAYS_UNREACHABLE, "timed out", -1, NAN, 0},
	{"A closed", DNS_SAYS_UNREACHABLE, "", -1, NAN, 0},
	{"A untrusted", DNS_SAYS_UNREACHABLE, "", -1, NAN, 0},
	{"A noroute;A noroute", DNS_SAYS_UNREACHABLE, "no route", -1, NAN, 0},
	/* One lost question is no verdict; three in a row are. */
	{"A 192.0.2.1 t=-2;A timeout", DNS_SAYS_OLD, "", 58, 0, 1},
	{"A 192.0.2.1 t=-9;A timeout t=-6;A timeout t=-3;A timeout", DNS_SAYS_UNREACHABLE,
	 "timed out", -1, NAN, 0},
	{"A timeout t=-9;A timeout t=-6;A timeout t=-3;A 192.0.2.1", DNS_SAYS_OLD, "", 60, 0, 1},
};

static const struct row authorities[] = {
	{"A 192.0.2.1 t=-30", DNS_SAYS_OLD, "", 60, 0, 1}, /* its TTL does not count down */
	{"A 198.51.100.1", DNS_SAYS_NEW, "", 60, 1, 1},
	{"A 192.0.2.1 t=-20;A 198.51.100.1 t=-10;A 192.0.2.1", DNS_SAYS_OLD, "", 60, 0, 1},
	{"A rcode=5", DNS_SAYS_LAME, "REFUSED", -1, NAN, 1},
	{"A rcode=9", DNS_SAYS_LAME, "NOTAUTH", -1, NAN, 1},
	{"A 192.0.2.1 noaa", DNS_SAYS_LAME, "not authoritative", 60, NAN, 1},
	{"A referral", DNS_SAYS_LAME, "refers to other servers", -1, NAN, 1},
	{"A noaa", DNS_SAYS_LAME, "not authoritative", -1, NAN, 1},
	{"A rcode=2", DNS_SAYS_BROKEN, "SERVFAIL", -1, NAN, 1},
	{"A rcode=3", DNS_SAYS_BROKEN, "NXDOMAIN", -1, NAN, 1},
	{"A rcode=3 noaa", DNS_SAYS_LAME, "not authoritative", -1, NAN, 1},
	{"A 203.0.113.9", DNS_SAYS_BROKEN, "neither", 60, NAN, 1},
	{"A 198.51.100.1;AAAA rcode=5", DNS_SAYS_LAME, "AAAA: it is no authority", 60, 1, 1},
	{"A timeout", DNS_SAYS_UNREACHABLE, "timed out", -1, NAN, 0},
};

static void judge_row(const struct row *row, enum dns_kind kind)
{
	struct dns_source *s = calloc(1, sizeof(*s));
	struct dns_wanted w;
	struct dns_said said;

	assert_non_null(s);
	s->kind = kind;
	s->family = 4;
	want(&w, "192.0.2.1 2001:db8::1", FRESH " 2001:db8:1::1");
	say_all(s, &w, NOW, row->samples);
	dns_judge(s, &w, NOW, NULL, 0, &said);
	if (said.verdict != row->verdict)
		fail_msg("%s: %s: %s", row->samples, dns_verdicts[said.verdict], said.why);
	if (!strstr(said.why, row->why) ||
	    (!*row->why && said.verdict <= DNS_SAYS_NEW && *said.why))
		fail_msg("%s: why: %s", row->samples, said.why);
	if (said.ttl_left_s != row->ttl_left)
		fail_msg("%s: ttl left %d", row->samples, (int)said.ttl_left_s);
	if (isnan(row->share) ? !isnan(said.share_new)
			      : !(fabs(said.share_new - row->share) < 1e-9))
		fail_msg("%s: share %g", row->samples, said.share_new);
	if (said.caches != row->caches)
		fail_msg("%s: %u caches", row->samples, said.caches);
	assert_int_equal(said.no_family, !!strstr(row->samples, "noroute"));
	free(s);
}

static void resolvers_are_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(resolvers); i++)
		judge_row(&resolvers[i], DNS_RESOLVER);
}

static void authorities_are_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(authorities); i++)
		judge_row(&authorities[i], DNS_AUTHORITY);
}

static void an_empty_answer_may_be_right(void **state)
{
	static const struct {
		const char *old, *fresh, *samples;
		enum dns_verdict verdict;
	} rows[] = {
		/* No IPv6 at all. */
		{OLD, FRESH, "A 192.0.2.1;AAAA", DNS_SAYS_OLD},
		{OLD, FRESH, "A 198.51.100.1;AAAA", DNS_SAYS_NEW},
		{OLD, FRESH, "A 198.51.100.1;AAAA 2001:db8::1", DNS_SAYS_BROKEN},
		/* The AAAA record comes with the flip … */
		{OLD, FRESH " 2001:db8:1::1", "A 192.0.2.1;AAAA", DNS_SAYS_OLD},
		{OLD, FRESH " 2001:db8:1::1", "A 198.51.100.1;AAAA", DNS_SAYS_MIXED},
		/* … or goes with it. */
		{OLD " 2001:db8::1", FRESH, "A 198.51.100.1;AAAA", DNS_SAYS_NEW},
		{OLD " 2001:db8::1", FRESH, "A 198.51.100.1;AAAA 2001:db8::1", DNS_SAYS_MIXED},
		/* A new name. */
		{"", FRESH, "A rcode=3", DNS_SAYS_OLD},
		{"", FRESH, "A 198.51.100.3", DNS_SAYS_NEW},
		/* Asked for what was never wanted. */
		{OLD, FRESH, "AAAA", DNS_SAYS_BROKEN},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dns_source *s = calloc(1, sizeof(*s));
		struct dns_wanted w;
		struct dns_said said;

		assert_non_null(s);
		s->kind = DNS_RESOLVER;
		want(&w, rows[i].old, rows[i].fresh);
		say_all(s, &w, NOW, rows[i].samples);
		dns_judge(s, &w, NOW, NULL, 0, &said);
		if (said.verdict != rows[i].verdict)
			fail_msg("%s > %s: %s: %s: %s", rows[i].old, rows[i].fresh, rows[i].samples,
				 dns_verdicts[said.verdict], said.why);
		free(s);
	}
}

static void old_after_the_end_is_stale(void **state)
{
	struct dns_source *s = calloc(1, sizeof(*s));
	struct dns_wanted w;
	struct dns_said said;

	(void)state;
	assert_non_null(s);
	want(&w, OLD, FRESH);
	s->kind = DNS_RESOLVER;
	say_sample(s, &w, NOW, "A 192.0.2.1");
	dns_judge(s, &w, NOW, NULL, NOW, &said);
	assert_int_equal(said.verdict, DNS_SAYS_OLD);
	dns_judge(s, &w, NOW, NULL, NOW - 5 * S, &said);
	assert_int_equal(said.verdict, DNS_SAYS_STALE);
	assert_string_equal(said.why,
			    "still the old value 5 s after the last cache should have expired");
	/* An answer from before the end is none from after it. */
	dns_judge(s, &w, NOW + 9 * S, NULL, NOW + 5 * S, &said);
	assert_int_equal(said.verdict, DNS_SAYS_OLD);
	free(s);
}

static void an_authority_behind_its_peers_is_stale(void **state)
{
	struct dns_source *s = calloc(1, sizeof(*s));
	const uint32_t newest = 2026010102;
	struct dns_wanted w;
	struct dns_said said;

	(void)state;
	assert_non_null(s);
	want(&w, OLD, FRESH);
	s->has_serial = true;
	s->serial = 2026010101;
	say_sample(s, &w, NOW, "A 192.0.2.1");
	dns_judge(s, &w, NOW, &newest, 0, &said);
	assert_int_equal(said.verdict, DNS_SAYS_STALE);
	assert_string_equal(said.why,
			    "its zone is behind: serial 2026010101, others have 2026010102");
	s->serial = newest;
	dns_judge(s, &w, NOW, &newest, 0, &said);
	assert_int_equal(said.verdict, DNS_SAYS_OLD);
	/* Behind, but with the new value: that change was before the other. */
	s->serial--;
	say_sample(s, &w, NOW + 3 * S, "A 198.51.100.1");
	dns_judge(s, &w, NOW + 3 * S, &newest, 0, &said);
	assert_int_equal(said.verdict, DNS_SAYS_NEW);
	free(s);
}

static void serials_wrap(void **state)
{
	(void)state;
	assert_true(dns_serial_behind(1, 2));
	assert_false(dns_serial_behind(2, 1));
	assert_false(dns_serial_behind(7, 7));
	assert_true(dns_serial_behind(0xffffffff, 0));
	assert_true(dns_serial_behind(0xf0000000, 5));
	assert_false(dns_serial_behind(5, 0xf0000000));
}

/* Sources in letters: an upper-case one is an authority. o old, n new, m mixed, s stale,
 * u unreachable, f no family, l lame, b broken. */
static void all_of(const char *letters, struct dns_source *s, struct dns_said *said)
{
	static const char order[] = "onmsulb";

	for (unsigned int i = 0; letters[i]; i++) {
		char c = letters[i] | 0x20;

		s[i].kind = letters[i] == c ? DNS_RESOLVER : DNS_AUTHORITY;
		s[i].n_samples = 1;
		said[i].no_family = c == 'f';
		said[i].verdict = c == 'f' ? DNS_SAYS_UNREACHABLE
					   : (enum dns_verdict)(strchr(order, c) - order);
		said[i].caches = 1;
		said[i].share_new = c == 'n' ? 1 : c == 'm' ? 0.5 : c == 'o' || c == 's' ? 0 : NAN;
	}
}

static void all_together_are_one_state(void **state)
{
	static const struct {
		const char *sources;
		enum dns_state state;
		int code_new, code_old;
		double share;
	} rows[] = {
		{"", DNS_STATE_UNKNOWN, 3, 3, NAN},
		{"Nn", DNS_STATE_NEW, 0, 2, 1},
		{"Oo", DNS_STATE_OLD, 2, 0, 0},
		{"NNnnno", DNS_STATE_MIXED, 1, 1, 0.75},
		{"No", DNS_STATE_MIXED, 1, 1, 0},
		{"Nm", DNS_STATE_MIXED, 1, 1, 0.5},
		{"N", DNS_STATE_NEW, 0, 2, 1},
		{"NO", DNS_STATE_MIXED, 1, 1, 0.5},
		/* Another family, from a host without it. */
		{"NFnf", DNS_STATE_NEW, 0, 2, 1},
		{"Ff", DNS_STATE_UNKNOWN, 3, 3, NAN},
		/* A resolver that is silent leaves it open, an authority does not. */
		{"Nnu", DNS_STATE_NEW, 3, 2, 1},
		{"Nnou", DNS_STATE_MIXED, 1, 1, 0.5},
		{"NUn", DNS_STATE_NEW, 2, 2, 1},
		{"u", DNS_STATE_UNKNOWN, 3, 3, NAN},
		/* None at all: it may be this host. */
		{"U", DNS_STATE_UNKNOWN, 3, 3, NAN},
		{"Uu", DNS_STATE_UNKNOWN, 3, 3, NAN},
		{"NLn", DNS_STATE_NEW, 2, 2, 1},
		{"Nnb", DNS_STATE_NEW, 2, 2, 1},
		{"b", DNS_STATE_UNKNOWN, 2, 2, NAN},
		{"NSn", DNS_STATE_MIXED, 2, 2, 1},
		{"Nns", DNS_STATE_MIXED, 2, 2, 0.5},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned int n = (unsigned int)strlen(rows[i].sources);
		struct dns_source *s = calloc(n + 1, sizeof(*s));
		struct dns_said said[8] = {0};
		struct dns_judged j;

		assert_non_null(s);
		all_of(rows[i].sources, s, said);
		dns_judge_all(s, said, n, &j);
		if (j.state != rows[i].state)
			fail_msg("%s: %s", rows[i].sources, dns_states[j.state]);
		if (isnan(rows[i].share) ? !isnan(j.share_new)
					 : !(fabs(j.share_new - rows[i].share) < 1e-9))
			fail_msg("%s: share %g", rows[i].sources, j.share_new);
		assert_true(isnan(j.share_new) ||
			    (j.share_low <= j.share_new && j.share_new <= j.share_high));
		if (dns_exit(&j, said, s, n, true) != rows[i].code_new ||
		    dns_exit(&j, said, s, n, false) != rows[i].code_old)
			fail_msg("%s: exit codes %d, %d", rows[i].sources,
				 dns_exit(&j, said, s, n, true), dns_exit(&j, said, s, n, false));
		free(s);
	}
}

static void authorities_agree_in_value_and_serial(void **state)
{
	struct dns_source *s = calloc(3, sizeof(*s));
	struct dns_said said[3] = {0};
	struct dns_judged j;

	(void)state;
	assert_non_null(s);
	all_of("NNo", s, said);
	for (int i = 0; i < 2; i++) {
		s[i].has_serial = true;
		s[i].serial = 7;
	}
	dns_judge_all(s, said, 3, &j);
	assert_true(j.authorities_agree);
	assert_int_equal(j.of[DNS_SAYS_NEW], 2);
	assert_int_equal(j.of[DNS_SAYS_OLD], 1);
	s[1].serial = 6;
	dns_judge_all(s, said, 3, &j);
	assert_false(j.authorities_agree);
	/* One that is not reached says nothing. */
	said[1].verdict = DNS_SAYS_UNREACHABLE;
	dns_judge_all(s, said, 3, &j);
	assert_true(j.authorities_agree);
	free(s);
}

static void a_result_becomes_a_sample(void **state)
{
	struct dns_answer *a = calloc(1, sizeof(*a));
	struct dns_question q = {.type = DNS_A};
	struct dns_result r = {.outcome = DNS_ANSWERED,
			       .question = &q,
			       .answer = a,
			       .sent = 5 * S,
			       .received = 6 * S,
			       .rejected = 4};
	struct dns_sample p, other;
	struct dns_wanted w;

	(void)state;
	assert_non_null(a);
	want(&w, OLD, FRESH);
	parse("192.0.2.1", a->address, &a->n_addresses, 4);
	a->ttl = 33;
	a->aa = true;
	a->ede = 3;
	strcpy(a->nsid, "ams1");
	dns_sample_of(&w, &r, &p);
	assert_int_equal(p.at, 6 * S);
	assert_int_equal(p.rtt, S);
	assert_int_equal(p.value, DNS_VALUE_OLD);
	assert_int_equal(p.ttl, 33);
	assert_int_equal(p.ede, 3);
	assert_int_equal(p.rejected, 4);
	assert_true(p.aa && p.place);
	strcpy(a->nsid, "ams2");
	dns_sample_of(&w, &r, &other);
	assert_true(other.place && other.place != p.place);
	*a->nsid = '\0';
	dns_sample_of(&w, &r, &other);
	assert_int_equal(other.place, 0);
	r.outcome = DNS_TIMEOUT;
	r.answer = NULL;
	dns_sample_of(&w, &r, &p);
	assert_int_equal(p.outcome, DNS_TIMEOUT);
	assert_int_equal(p.value, DNS_VALUE_NONE);
	assert_int_equal(p.ede, -1);
	free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_old_or_new_or_neither),
		cmocka_unit_test(resolvers_are_judged),
		cmocka_unit_test(authorities_are_judged),
		cmocka_unit_test(an_empty_answer_may_be_right),
		cmocka_unit_test(old_after_the_end_is_stale),
		cmocka_unit_test(an_authority_behind_its_peers_is_stale),
		cmocka_unit_test(serials_wrap),
		cmocka_unit_test(all_together_are_one_state),
		cmocka_unit_test(authorities_agree_in_value_and_serial),
		cmocka_unit_test(a_result_becomes_a_sample),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
