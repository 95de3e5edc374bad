/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an interface that was there, or not, and is there, or not, means; and that what an operator
 * detached meanwhile is not put back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/ctl/service_inner.h"
#include "userspace/plane/state.h"

static void whether_an_interface_was_made_anew(void **state)
{
	static const struct {
		uint32_t had;
		bool gone;
		uint32_t is;
		bool ours;
		enum service_again want;
	} rows[] = {
		{0, false, 0, false, SERVICE_NONE}, /* never seen */
		{0, false, 5, false, SERVICE_NONE}, /* there, but not ours to have */
		{0, false, 5, true, SERVICE_OURS},  /* apply was there */
		{5, false, 5, true, SERVICE_OURS},
		{5, false, 6, true, SERVICE_OURS},	/* somebody's apply was faster */
		{5, false, 5, false, SERVICE_DETACHED}, /* was there all the time */
		{5, false, 0, false, SERVICE_GONE},
		{5, true, 0, false, SERVICE_GONE},
		{5, true, 6, false, SERVICE_ANEW},
		{5, false, 6, false, SERVICE_ANEW}, /* it was not told that it went */
		{5, true, 5, false, SERVICE_ANEW},  /* with the number that it had */
		{5, true, 5, true, SERVICE_ANEW},   /* what was seen there was before */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (service_again(rows[i].had, rows[i].gone, rows[i].is, rows[i].ours) !=
		    rows[i].want)
			fail_msg("row %zu", i);
	}
}

/* ---- what was detached ---- */

static char folder[] = "/tmp/test_attach.XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) && !setenv("SHIFT_STATE", folder, 1) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static void record(const char *verb, uint64_t epoch)
{
	struct state_event e = {.verb = verb, .service = "web", .who = "test", .wait_ms = 5000};
	struct shift_record r = {.epoch = epoch, .weight = 5000};

	assert_int_equal(state_record(&r, &e).copy, 0);
}

static bool is_detached(uint64_t epoch)
{
	struct state s;

	assert_int_equal(state_load("web", &s), 0);
	assert_int_equal(s.epoch, epoch);
	assert_int_equal(s.weight, 5000);
	return s.detached;
}

static void the_saved_copy_says_that_it_was_detached(void **state)
{
	(void)state;
	record("weight", 7);
	assert_false(is_detached(7));
	record("detach", 7);
	assert_true(is_detached(7));
	record("weight", 6); /* late */
	assert_true(is_detached(7));
	record("apply", 8);
	assert_false(is_detached(8));
	record("detach", 3); /* of maps that began anew */
	assert_true(is_detached(8));
	record("apply", 4);
	assert_false(is_detached(8));
	record(NULL, 9);
	assert_false(is_detached(9));
}

static void say(void *arg, bool alarm, const char *text)
{
	(void)arg, (void)alarm, (void)text;
}

/* "lo" is there, and is not the one that had the programs. */
static struct service away(void)
{
	struct service s = {.world = {.say = say},
			    .name = "web",
			    .interfaces = 1,
			    .interface = {{{"lo", 1000000, {5, 6}, {-1, -1}}, true}}};

	return s;
}

static void nothing_detached_is_put_back(void **state)
{
	struct service s = away();

	(void)state;
	record("detach", 20);
	s.interface[0].spare.fd[0] = dup(1);
	service_attach(&s, loop_now());
	assert_int_equal(s.interface[0].spare.ifindex, 0);
	assert_int_equal(s.interface[0].spare.fd[0], -1);
	assert_false(s.interface[0].gone);
	assert_string_equal(s.apply_for, "");
	assert_int_equal(s.apply, 0);
}

static void no_apply_is_tried_again_for_it(void **state)
{
	static const struct config conf;
	struct service s = away();

	(void)state;
	record("detach", 20);
	s.conf = &conf;
	strcpy(s.apply_for, "lo");
	service_alarm(&s, SERVICE_ALARM_ATTACH, true, "attach", "apply fails");
	s.apply_wait = 1;
	s.interface[0] = (struct service_interface){{"lo", 0, {0, 0}, {-1, -1}}, false};
	service_attach(&s, loop_now());
	assert_string_equal(s.apply_for, "");
	assert_int_equal(s.apply_wait, 0);
	assert_false(s.alarm[SERVICE_ALARM_ATTACH].on);
	assert_int_equal(s.apply, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whether_an_interface_was_made_anew),
		cmocka_unit_test(the_saved_copy_says_that_it_was_detached),
		cmocka_unit_test(nothing_detached_is_put_back),
		cmocka_unit_test(no_apply_is_tried_again_for_it),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
