/* SPDX-License-Identifier: GPL-2.0-only */
/* The rule that DNS comes after so long at 100 %, from the record of control and the history. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/cmd/dns_order.h"

#define S    UINT64_C(1000000000)
#define FULL SHIFT_WEIGHT_MAX

static struct shift_record record(uint64_t epoch, uint64_t at_s, uint16_t weight)
{
	return (struct shift_record){.epoch = epoch, .set_at = at_s * S, .weight = weight};
}

struct row {
	const char *what;
	uint64_t epoch, at_s;
	uint16_t weight;
	struct dns_order_event e[5];
	size_t n;
	uint64_t since_s;
};

static void it_is_followed_back_as_far_as_the_chain_holds(void **state)
{
	static const struct row rows[] = {
		{"no history: since the record", 7, 700, FULL, {{0}}, 0, 700},
		{"not at 100", 7, 700, 5000, {{0}}, 0, 0},
		{"the raise", 7, 700, FULL, {{700 * S, 7, 5000, FULL, false}}, 1, 700},
		{"a commit afterwards does not begin it anew",
		 8,
		 800,
		 FULL,
		 {{500 * S, 6, 2500, 5000, false},
		  {700 * S, 7, 5000, FULL, false},
		  {800 * S, 8, FULL, FULL, false}},
		 3,
		 700},
		{"lines that change no share, with the epoch of before",
		 7,
		 700,
		 FULL,
		 {{700 * S, 7, 5000, FULL, false},
		  {720 * S, 7, FULL, FULL, false},
		  {740 * S, 7, FULL, FULL, true}},
		 3,
		 700},
		{"an epoch is missing: what was in it is not known",
		 9,
		 900,
		 FULL,
		 {{700 * S, 7, 5000, FULL, false}, {900 * S, 9, FULL, FULL, false}},
		 2,
		 900},
		{"the newest line is missing, and it cannot have lowered",
		 8,
		 800,
		 FULL,
		 {{700 * S, 7, 5000, FULL, false}},
		 1,
		 700},
		{"two of the newest are missing",
		 9,
		 900,
		 FULL,
		 {{700 * S, 7, 5000, FULL, false}},
		 1,
		 900},
		{"an apply that brought it back after a boot",
		 8,
		 800,
		 FULL,
		 {{100 * S, 7, 5000, FULL, false}, {800 * S, 8, FULL, FULL, true}},
		 2,
		 800},
		{"after a detach",
		 8,
		 800,
		 FULL,
		 {{100 * S, 7, 5000, FULL, false},
		  {200 * S, 7, FULL, 0, false},
		  {800 * S, 8, FULL, FULL, true}},
		 3,
		 800},
		{"down and up again",
		 9,
		 900,
		 FULL,
		 {{100 * S, 7, 5000, FULL, false},
		  {200 * S, 8, FULL, 7500, false},
		  {900 * S, 9, 7500, FULL, false}},
		 3,
		 900},
		{"what an unconfirmed share fell back from",
		 9,
		 900,
		 FULL,
		 {{100 * S, 8, 5000, FULL, false}, {900 * S, 9, 5000, FULL, false}},
		 2,
		 900},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct shift_record r = record(rows[i].epoch, rows[i].at_s, rows[i].weight);
		uint64_t since = dns_order_since(&r, rows[i].e, rows[i].n);

		if (since != rows[i].since_s * S)
			fail_msg("%s: %llu s, should be %llu", rows[i].what,
				 (unsigned long long)(since / S),
				 (unsigned long long)rows[i].since_s);
	}
}

static struct dns_order at_full(uint64_t since_s, uint64_t now_s)
{
	return (struct dns_order){.ruled = true,
				  .after = 7200 * S,
				  .full = true,
				  .weight = FULL,
				  .authority = SHIFT_AUTHORITY_NEW,
				  .now = now_s * S,
				  .since = since_s * S};
}

static void both_rules_are_kept_and_named(void **state)
{
	struct dns_order o = at_full(1000, 8200);

	(void)state;
	dns_order_judge(&o, "api");
	assert_true(o.soaked && o.committed);
	assert_string_equal(o.why, "");

	o = at_full(1000, 8199);
	dns_order_judge(&o, "api");
	assert_false(o.soaked);
	assert_non_null(strstr(o.why, "api is at 100% for 1h59m"));

	o = at_full(1000, 900); /* the clock was set back */
	dns_order_judge(&o, "api");
	assert_false(o.soaked);

	o = at_full(0, 9000);
	dns_order_judge(&o, "api");
	assert_false(o.soaked);
	assert_non_null(strstr(o.why, "is not known"));

	o = at_full(1000, 9000);
	o.missing = -ENOENT;
	dns_order_judge(&o, "api");
	assert_false(o.soaked || o.committed);
	assert_non_null(strstr(o.why, "is not known"));

	o = at_full(1000, 9000);
	o.full = false;
	o.weight = 2500;
	dns_order_judge(&o, "api");
	assert_false(o.soaked);
	assert_non_null(strstr(o.why, "api is at 25%, and DNS comes after 2h00m at 100%"));

	o = at_full(1000, 9000);
	o.authority = SHIFT_AUTHORITY_SHARED;
	dns_order_judge(&o, "api");
	assert_true(o.soaked);
	assert_false(o.committed);
	assert_non_null(strstr(o.why, "authority is shared"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_followed_back_as_far_as_the_chain_holds),
		cmocka_unit_test(both_rules_are_kept_and_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
