/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_clients.c - networks as they are read and shown, what a pin may, how long a kept one lasts
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "userspace/base/text.h"
#include "userspace/cmd/pin.h"
#include "userspace/plane/arrivals.h"
#include "userspace/plane/sync.h"

#define COUNT(a)  (sizeof(a) / sizeof(*(a)))
#define SECOND	  1000000000ull
#define SOME_TIME (1800000000ull * SECOND) /* of CLOCK_REALTIME */

static struct client_entry entry(const char *network, uint32_t action)
{
	struct client_entry e = {.is.action = action};

	assert_int_equal(ip_parse_network(network, e.address, &e.bits), 0);
	return e;
}

static void networks_are_read_strictly(void **state)
{
	static const struct {
		const char *text;
		int err;
		const char *shown;
	} cases[] = {
		{"198.51.100.0/24", 0, "198.51.100.0/24"},
		{"198.51.100.7", 0, "198.51.100.7/32"},
		{"0.0.0.0/0", 0, "0.0.0.0/0"},
		{"2001:db8::/32", 0, "2001:db8::/32"},
		{"2001:db8::7", 0, "2001:db8::7/128"},
		{"2000::/3", 0, "2000::/3"},
		{"198.51.100.7/24", -ERANGE, "198.51.100.0/24"},
		{"10.0.0.1/0", -ERANGE, "0.0.0.0/0"},
		{"2001:db8::1/32", -ERANGE, "2001:db8::/32"},
		{"::/0", -EDOM, NULL},
		{"::/80", -EDOM, NULL},
		{"::/96", 0, "::/96"},
		{"198.51.100.0/33", -EINVAL, NULL},
		{"198.51.100.0/", -EINVAL, NULL},
		{"198.51.100.0/255.255.255.0", -EINVAL, NULL},
		{"198.51.100.0/24 ", -EINVAL, NULL},
		{"2001:db8::/129", -EINVAL, NULL},
		{"canary.example", -EINVAL, NULL},
		{"", -EINVAL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint32_t address[4] = {0};
		unsigned int bits = 999;
		char text[64];

		print_message("# %s\n", cases[i].text);
		assert_int_equal(ip_parse_network(cases[i].text, address, &bits), cases[i].err);
		if (cases[i].shown)
			assert_string_equal(text_network(address, bits, text), cases[i].shown);
		else
			assert_int_equal(bits, 999);
	}
}

static void a_pin_is_judged_by_the_record_in_force(void **state)
{
	static const struct {
		const char *what;
		bool to_new, remove, force, after_rollback, looked, was_latched, latched, other,
			mine;
		enum pin_answer answer;
	} cases[] = {
		{"to new", .to_new = true, .answer = PIN_YES},
		{"to old", .answer = PIN_YES},
		{"to new, latched", .to_new = true, .latched = true, .answer = PIN_LATCHED},
		{"to old, latched", .latched = true, .answer = PIN_YES},
		{"unpin, latched", .to_new = true, .remove = true, .latched = true,
		 .answer = PIN_YES},
		{"to new, after the rollback", .to_new = true, .latched = true,
		 .after_rollback = true, .answer = PIN_YES_UNLATCH},
		{"to old, after the rollback", .latched = true, .after_rollback = true,
		 .answer = PIN_YES},
		{"a rollback in between", .to_new = true, .latched = true, .looked = true,
		 .answer = PIN_OVERTAKEN},
		{"another rollback in between", .to_new = true, .latched = true, .looked = true,
		 .was_latched = true, .after_rollback = true, .answer = PIN_OVERTAKEN},
		{"another's lock", .other = true, .answer = PIN_LOCKED},
		{"another's lock, unpin", .other = true, .remove = true, .answer = PIN_LOCKED},
		{"another's lock, forced", .to_new = true, .other = true, .force = true,
		 .answer = PIN_YES},
		{"my own lock", .to_new = true, .mine = true, .answer = PIN_YES},
		{"forced past the lock, not past the latch", .to_new = true, .other = true,
		 .force = true, .latched = true, .answer = PIN_LATCHED},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct shift_record r = {.latched = cases[i].latched, .latched_at = 77};
		struct pin_wish w = {.who = "alice",
				     .remove = cases[i].remove,
				     .force = cases[i].force,
				     .after_rollback = cases[i].after_rollback,
				     .looked = cases[i].looked,
				     .was_latched = cases[i].was_latched,
				     .was_latched_at = cases[i].was_latched ? 76 : 0};

		print_message("# %s\n", cases[i].what);
		w.entry.is.action = cases[i].to_new ? SHIFT_CLIENT_NEW : SHIFT_CLIENT_OLD;
		if (cases[i].other || cases[i].mine) {
			r.locked_at = 5;
			strcpy(r.locked_by, cases[i].mine ? "alice" : "bob");
		}
		assert_int_equal(pin_judge(&w, &r), cases[i].answer);
	}
}

static void only_the_very_network_of_the_configuration_stands_against_a_pin(void **state)
{
	const struct client_entry list[] = {
		entry("10.0.0.0/8", SHIFT_CLIENT_DENY),
		entry("10.1.0.0/16", SHIFT_CLIENT_BYPASS),
		entry("10.2.0.0/16", SHIFT_CLIENT_OLD),
		entry("192.0.2.0/24", SHIFT_CLIENT_ALLOW),
	};
	struct client_entry e;

	(void)state;
	e = entry("10.1.0.0/16", SHIFT_CLIENT_NEW);
	assert_ptr_equal(pin_conflict(list, COUNT(list), &e), &list[1]);
	e = entry("192.0.2.0/24", SHIFT_CLIENT_NEW);
	assert_ptr_equal(pin_conflict(list, COUNT(list), &e), &list[3]);
	e = entry("10.1.0.0/17", SHIFT_CLIENT_NEW);
	assert_null(pin_conflict(list, COUNT(list), &e));
	e = entry("10.2.0.0/16", SHIFT_CLIENT_NEW);
	assert_null(pin_conflict(list, COUNT(list), &e));
	assert_null(pin_conflict(NULL, 0, &e));
}

static void around_a_network_is_the_longest_prefix_that_holds_it(void **state)
{
	struct client_entry list[] = {
		{.is.action = SHIFT_CLIENT_DENY}, /* all others */
		entry("10.0.0.0/8", SHIFT_CLIENT_ALLOW),
		entry("10.1.0.0/16", SHIFT_CLIENT_DENY),
		entry("10.1.2.0/24", SHIFT_CLIENT_OLD),
	};
	struct client_entry e = entry("10.1.2.0/24", SHIFT_CLIENT_NEW);

	(void)state;
	assert_ptr_equal(clients_around(list, COUNT(list), &e), &list[2]);
	e = entry("10.2.0.0/16", SHIFT_CLIENT_NEW);
	assert_ptr_equal(clients_around(list, COUNT(list), &e), &list[1]);
	e = entry("2001:db8::/32", SHIFT_CLIENT_NEW);
	assert_ptr_equal(clients_around(list, COUNT(list), &e), &list[0]);
	assert_null(clients_around(list + 1, COUNT(list) - 1, &e));
}

static void a_kept_pin_ends_when_it_was_said_to(void **state)
{
	struct client_pin pin = {.until_real = SOME_TIME + 100 * SECOND};

	(void)state;
	pin.entry.is.set_at = SOME_TIME;
	pin.entry.is.until = 5000 * SECOND;
	/* the same boot: by the clock that nobody sets */
	assert_int_equal(clients_deadline(&pin, true, 4000 * SECOND, SOME_TIME), 5000 * SECOND);
	/* after a reboot: what is left of it */
	assert_int_equal(clients_deadline(&pin, false, 30 * SECOND, SOME_TIME + 60 * SECOND),
			 70 * SECOND);
	/* over meanwhile */
	assert_int_equal(clients_deadline(&pin, false, 30 * SECOND, SOME_TIME + 500 * SECOND),
			 30 * SECOND);
	/* a clock that is behind gives no more than there was at first */
	assert_int_equal(clients_deadline(&pin, false, 30 * SECOND, 7), 130 * SECOND);
	/* for good */
	pin.until_real = 0;
	pin.entry.is.until = 0;
	assert_int_equal(clients_deadline(&pin, false, 30 * SECOND, SOME_TIME), 0);
}

static void a_pin_is_over_at_its_deadline(void **state)
{
	struct shift_client c = {.until = 10};

	(void)state;
	assert_false(client_is_over(&c, 9));
	assert_true(client_is_over(&c, 10));
	c.until = 0;
	assert_false(client_is_over(&c, ~0ull));
}

static void arrivals_have_the_network_that_the_program_meant(void **state)
{
	struct shift_arrival_key v4 = {.network = {0, 0, htonl(0xffff)}, .v4 = htonl(0xc6336400)};
	struct shift_arrival_key v6 = {.network = {htonl(0x20010db8), htonl(0x000c0000), 0}};
	struct arrival a;
	char text[64];

	(void)state;
	arrivals_network(&v4, &a);
	assert_string_equal(text_network(a.address, a.bits, text), "198.51.100.0/24");
	arrivals_network(&v6, &a);
	assert_string_equal(text_network(a.address, a.bits, text), "2001:db8:c::/48");
}

static void arrivals_come_with_the_most_first(void **state)
{
	struct arrival list[] = {
		{.connections = 3, .last_ns = 9},
		{.connections = 7, .last_ns = 1},
		{.connections = 7, .last_ns = 5},
		{.connections = 7, .last_ns = 5, .address = {1}},
	};

	(void)state;
	qsort(list, COUNT(list), sizeof(*list), arrivals_order);
	assert_int_equal(list[0].last_ns, 5);
	assert_int_equal(list[0].address[0], 0);
	assert_int_equal(list[1].address[0], 1);
	assert_int_equal(list[2].last_ns, 1);
	assert_int_equal(list[3].connections, 3);
}

static void the_limit_of_one_client_is_half_unless_there_is_little(void **state)
{
	(void)state;
	assert_int_equal(sync_client_cap(7, 100000), 7);
	assert_int_equal(sync_client_cap(0, 100000), 50000);
	assert_int_equal(sync_client_cap(0, 1024), 0);
	assert_int_equal(sync_client_cap(0, 1ull << 40), SHIFT_MAX_FLOWS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks_are_read_strictly),
		cmocka_unit_test(a_pin_is_judged_by_the_record_in_force),
		cmocka_unit_test(only_the_very_network_of_the_configuration_stands_against_a_pin),
		cmocka_unit_test(around_a_network_is_the_longest_prefix_that_holds_it),
		cmocka_unit_test(a_kept_pin_ends_when_it_was_said_to),
		cmocka_unit_test(a_pin_is_over_at_its_deadline),
		cmocka_unit_test(arrivals_have_the_network_that_the_program_meant),
		cmocka_unit_test(arrivals_come_with_the_most_first),
		cmocka_unit_test(the_limit_of_one_client_is_half_unless_there_is_little),
	};

	return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
