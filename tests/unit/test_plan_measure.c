/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/cmd/plan_measure.h"

#define S 1000000000ull

static struct plan_sample first, last;
static struct plan_load load;
static struct plan_sources from;

/* Two seconds in which 600 came to old and 200 to new, 1 MB from the clients and 9 MB to them; of
 * that a quarter was shifted, and so crossed the link twice. */
static int attached(void **state)
{
	(void)state;
	memset(&load, 0, sizeof(load));
	memset(&from, 0, sizeof(from));
	first = (struct plan_sample){.at_ns = 5 * S, .attached = true, .accepted = 1000};
	last = first;
	last.at_ns = 7 * S;
	last.accepted = 1650;
	last.old = 600;
	last.new = 200;
	last.up = 250000;
	last.down = 2250000;
	last.rx = 1000000 + last.down;
	last.tx = 9000000 + last.up;
	last.alive = 320;
	last.shifted_10s = 1000;
	return 0;
}

static void an_attached_service_says_what_it_carries(void **state)
{
	(void)state;
	plan_measured(&first, &last, &load, &from);
	assert_true(from.plane);
	assert_true(load.rate == 400 && from.old == 300 && from.new == 100);
	assert_true(load.measured);
	assert_int_equal(load.up, 4000000);
	assert_int_equal(load.down, 36000000);
	assert_int_equal(load.lifetime_ms, 3200); /* 320 live, 100 come each second */
	assert_int_equal(from.rate, PLAN_MEASURED);
	assert_int_equal(from.bandwidth, PLAN_MEASURED);
	assert_int_equal(from.lifetime, PLAN_MEASURED);
}

static void what_was_stated_stays(void **state)
{
	(void)state;
	load = (struct plan_load){.rate = 5000, .up = 7, .down = 8, .lifetime_ms = 9};
	from = (struct plan_sources){PLAN_STATED, PLAN_STATED, PLAN_STATED, .plane = false};
	plan_measured(&first, &last, &load, &from);
	assert_true(load.rate == 5000 && load.up == 7 && load.down == 8 && load.lifetime_ms == 9);
	assert_false(load.measured);
	assert_int_equal(from.rate, PLAN_STATED);
}

static void few_connections_give_no_lifetime(void **state)
{
	(void)state;
	last.new = 5;
	last.shifted_10s = 10;
	plan_measured(&first, &last, &load, &from);
	assert_int_equal(from.lifetime, PLAN_UNKNOWN);
	assert_int_equal(load.lifetime_ms, 0);
	last.shifted_10s = 100; /* of ten seconds there were enough */
	plan_measured(&first, &last, &load, &from);
	assert_int_equal(load.lifetime_ms, 32000);
}

static void without_a_data_plane_it_is_all_of_the_host(void **state)
{
	(void)state;
	first.attached = last.attached = false;
	plan_measured(&first, &last, &load, &from);
	assert_false(from.plane);
	assert_true(load.rate == 325);
	assert_int_equal(from.lifetime, PLAN_UNKNOWN);
}

static void counters_that_began_anew_are_no_rate(void **state)
{
	(void)state;
	first.old = 10000;
	first.new = 10000;
	first.rx = first.tx = 1ull << 40;
	plan_measured(&first, &last, &load, &from);
	assert_int_equal(from.rate, PLAN_UNKNOWN);
	assert_int_equal(from.bandwidth, PLAN_UNKNOWN);
	last.at_ns = first.at_ns; /* and no time is no measure */
	plan_measured(&first, &last, &load, &from);
	assert_int_equal(from.rate, PLAN_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, attached)
		T(an_attached_service_says_what_it_carries),
		T(what_was_stated_stays),
		T(few_connections_give_no_lifetime),
		T(without_a_data_plane_it_is_all_of_the_host),
		T(counters_that_began_anew_are_no_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
