/* SPDX-License-Identifier: GPL-2.0-only */
/* The daemon's pace with DNS, and what it makes of what caches said. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/ctl/dns.h"

#define S	 UINT64_C(1000000000)
#define AUTH	 DNS_SWEEP_AUTHORITIES
#define RES	 DNS_SWEEP_RESOLVERS
#define BOTH	 (AUTH | RES)
#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void it_asks_as_often_as_it_is_worth(void **state)
{
	static const struct {
		const char *what;
		struct ctl_dns_pace p;
		uint64_t now;
		unsigned int due;
	} rows[] = {
		{"at first, everybody", {0}, 1 * S, BOTH},
		{"nobody answered: a minute later",
		 {.authorities_at = 1 * S, .resolvers_at = 1 * S},
		 60 * S,
		 0},
		{"…", {.authorities_at = 1 * S, .resolvers_at = 1 * S}, 61 * S, BOTH},
		{"at rest before a flip, resolvers are left alone",
		 {true, DNS_STATE_OLD, false, false, 1 * S, 1 * S},
		 61 * S,
		 AUTH},
		{"… nearly", {true, DNS_STATE_OLD, false, false, 600 * S, 1 * S}, 601 * S, RES},
		{"a share is kept: authorities are asked soon, caches are not",
		 {true, DNS_STATE_OLD, true, false, 1 * S, 1 * S},
		 6 * S,
		 AUTH},
		{"a command changed the records",
		 {true, DNS_STATE_OLD, false, true, 1 * S, 1 * S},
		 2 * S,
		 AUTH},
		{"it moves", {true, DNS_STATE_MIXED, false, false, 1 * S, 1 * S}, 5 * S, 0},
		{"… five seconds",
		 {true, DNS_STATE_MIXED, false, false, 1 * S, 1 * S},
		 6 * S,
		 BOTH},
		{"all have it: a minute",
		 {true, DNS_STATE_NEW, false, false, 1 * S, 1 * S},
		 60 * S,
		 0},
		{"…", {true, DNS_STATE_NEW, false, false, 1 * S, 1 * S}, 61 * S, BOTH},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned int due = ctl_dns_due(&rows[i].p, rows[i].now);

		if (due != rows[i].due)
			fail_msg("%s: %u, should be %u", rows[i].what, due, rows[i].due);
	}
}

enum { N = 6 };

struct seen {
	struct dns_source source[N];
	struct dns_said said[N];
	struct dns_cache_seen cache[N];
};

/* Two authorities and four resolvers. */
static struct seen *seen(enum dns_verdict a, enum dns_verdict b)
{
	struct seen *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	for (unsigned int i = 0; i < N; i++) {
		s->source[i].kind = i < 2 ? DNS_AUTHORITY : DNS_RESOLVER;
		s->said[i].verdict = i == 0 ? a : i == 1 ? b : DNS_SAYS_OLD;
		s->said[i].share_new = s->said[i].verdict == DNS_SAYS_NEW;
		s->said[i].caches = 1;
		s->cache[i].expires = (100 + i) * S;
	}
	return s;
}

static void a_flip_is_all_authorities(void **state)
{
	static const struct {
		enum dns_verdict a, b;
		bool all;
	} rows[] = {
		{DNS_SAYS_NEW, DNS_SAYS_NEW, true},	    {DNS_SAYS_NEW, DNS_SAYS_OLD, false},
		{DNS_SAYS_NEW, DNS_SAYS_STALE, false},	    {DNS_SAYS_NEW, DNS_SAYS_MIXED, false},
		{DNS_SAYS_NEW, DNS_SAYS_UNREACHABLE, true}, {DNS_SAYS_NEW, DNS_SAYS_LAME, true},
		{DNS_SAYS_LAME, DNS_SAYS_BROKEN, false},    {DNS_SAYS_OLD, DNS_SAYS_OLD, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct seen *s = seen(rows[i].a, rows[i].b);

		if (ctl_dns_all_new(s->source, s->said, N) != rows[i].all)
			fail_msg("%s and %s", dns_verdicts[rows[i].a], dns_verdicts[rows[i].b]);
		free(s);
	}
}

static double moved(const struct seen *s, uint64_t new_since_s, uint64_t now_s, double n)
{
	double found, k = ctl_dns_caches(s->source, s->said, s->cache, N, new_since_s * S,
					 now_s * S, &found);

	assert_true(found == n);
	return k;
}

static void caches_change_when_they_said_they_would(void **state)
{
	struct seen *s = seen(DNS_SAYS_NEW, DNS_SAYS_NEW);

	(void)state;
	assert_true(moved(s, 90, 101, 4) == 0);
	assert_true(moved(s, 90, 102, 4) == 1);
	assert_true(moved(s, 90, 200, 4) == 4);
	/* what ended before the flip was seen may have been loaded anew, and old */
	assert_true(moved(s, 104, 200, 4) == 2);
	/* not while an authority gives the old answer */
	assert_true(moved(s, 0, 200, 4) == 0);
	/* one that is not known when it ends stays what it said */
	s->cache[2].expires = 0;
	assert_true(moved(s, 90, 200, 4) == 3);
	/* one that serves what has expired is not believed to renew */
	s->said[3].verdict = DNS_SAYS_STALE;
	assert_true(moved(s, 90, 200, 4) == 2);
	/* of several caches behind one address, and one that says nothing */
	s->said[4].caches = 3;
	s->said[4].verdict = DNS_SAYS_MIXED;
	s->said[4].share_new = 1 / 3.0;
	s->said[5].share_new = NAN;
	assert_true(fabs(moved(s, 90, 200, 5) - 1) < 1e-9);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_asks_as_often_as_it_is_worth),
		cmocka_unit_test(a_flip_is_all_authorities),
		cmocka_unit_test(caches_change_when_they_said_they_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
