/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/settle.h"
#include "dns/value.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* What each reading finds, the last one for ever: (o)ld, (n)ew, o(t)her, (u)nreached, (d)enied. */
struct story {
	const char *finds;
	unsigned int at;
};

static void set(struct dns_rrset *r, const char *data)
{
	dns_value_start(r, "www.example.com.", DNS_A);
	r->ttl = 60;
	assert_int_equal(dns_value_add(r, DNS_A, data), 0);
}

static enum dns_changed find(void *x, const char *name, uint16_t type, struct dns_rrset *ret,
			     char *why)
{
	struct story *s = x;
	char what = s->finds[s->at];

	assert_string_equal(name, "www.example.com.");
	assert_int_equal(type, DNS_A);
	if (s->finds[s->at + 1])
		s->at++;
	set(ret, what == 'o' ? "192.0.2.1" : what == 'n' ? "203.0.113.9" : "198.51.100.7");
	snprintf(why, DNS_WHY, "no route");
	return what == 'u' ? DNS_UNREACHED : what == 'd' ? DNS_DENIED : DNS_CHANGED;
}

static void what_is_there_decides(void **state)
{
	static const struct {
		enum settle_said said;
		const char *finds;
		enum dns_changed how;
		const char *why;
	} rows[] = {
		{SETTLE_DONE, "n", DNS_CHANGED, NULL},
		{SETTLE_DONE, "oon", DNS_CHANGED, NULL},
		{SETTLE_DONE, "tn", DNS_CHANGED, NULL},
		{SETTLE_DONE, "u", DNS_UNCERTAIN, "X: changed, and it could not be read: no route"},
		{SETTLE_FAILED, "n", DNS_CHANGED, NULL},
		{SETTLE_FAILED, "o", DNS_UNREACHED,
		 "lost; what was there is there: nothing was changed"},
		{SETTLE_FAILED, "t", DNS_STALE, "X: what is there is 198.51.100.7 (TTL 60)"},
		{SETTLE_FAILED, "d", DNS_UNCERTAIN,
		 "X: no answer, and it could not be read: no route"},
		{SETTLE_NOTHING, "ooon", DNS_CHANGED, NULL},
		{SETTLE_NOTHING, "ot", DNS_STALE, "X: what is there is 198.51.100.7 (TTL 60)"},
		{SETTLE_NOTHING, "ou", DNS_UNCERTAIN,
		 "X: no answer, and it could not be read: no route"},
		{SETTLE_DONE, "t", DNS_UNCERTAIN, "X: what is there is 198.51.100.7 (TTL 60)"},
	};
	static struct dns_rrset old, fresh, seen;

	(void)state;
	set(&old, "192.0.2.1");
	set(&fresh, "203.0.113.9");
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct story story = {.finds = rows[i].finds};
		const struct settle s = {"X", &story, find, dns_rrset_same};
		char why[DNS_WHY] = "lost";

		assert_int_equal(settle(&s, &old, &fresh, rows[i].said, &seen, why), rows[i].how);
		if (rows[i].why)
			assert_string_equal(why, rows[i].why);
	}
}

static void an_outcome_without_an_answer_is_one_of_the_changes(void **state)
{
	(void)state;
	assert_int_equal(settle_outcome(CLOUD_DENIED, false), DNS_DENIED);
	assert_int_equal(settle_outcome(CLOUD_UNREACHED, false), DNS_UNREACHED);
	assert_int_equal(settle_outcome(CLOUD_LOST, false), DNS_UNCERTAIN);
	assert_int_equal(settle_outcome(CLOUD_LOST, true), DNS_UNREACHED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_there_decides),
		cmocka_unit_test(an_outcome_without_an_answer_is_one_of_the_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
