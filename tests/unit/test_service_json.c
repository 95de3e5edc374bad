/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_service_json.c - what `ramp status --json` says of the gates that are always there
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/ctl/service_inner.h"

#define SPLIT 1 /* its place among them */

static struct config conf;
static struct window window;
static struct service s;

static int begin(void **state)
{
	(void)state;
	memset(&s, 0, sizeof(s));
	window_begin(&window, 60 * SERVICE_SECOND, 200);
	s.conf = &conf;
	s.window = &window;
	s.ramp.conf = &conf;
	s.view.gates = s.shown;
	s.view.n_gates = SERVICE_OWN;
	for (int i = 0; i < SERVICE_OWN; i++)
		snprintf(s.shown[i].name, sizeof(s.shown[i].name), "own%d", i);
	s.test[SERVICE_SPLIT].two_sided = true;
	s.test[SERVICE_SPLIT].tolerance = 0.05;
	return 0;
}

static void shows(const char *bound, double old, double new)
{
	struct judge_input in = {.split = &s.test[SERVICE_SPLIT], .split_of = "clients"};
	double is_old, is_new;
	json_t *j, *gate;

	judge_decide(&judge_usual, &in, &s.decision);
	j = service_status(&s);
	gate = json_array_get(json_object_get(j, "gates"), SPLIT);
	assert_string_equal(json_string_value(json_object_get(gate, "bound")), bound);
	assert_string_equal(json_string_value(json_object_get(gate, "unit")), "%");
	is_old = json_number_value(json_object_get(gate, "old"));
	is_new = json_number_value(json_object_get(gate, "new"));
	if (fabs(is_old - old) > 1e-9 || fabs(is_new - new) > 1e-9)
		fail_msg("old %g, new %g", is_old, is_new);
	json_decref(j);
}

/* All connections are counted for it, not only those that are watched. */
static void the_split_is_shown_as_it_is(void **state)
{
	(void)state;
	judge_feed(&s.test[SERVICE_SPLIT], 3, 0.25, 3010, 990);
	shows("about 25%", 75.25, 24.75);
}

static void with_what_it_was_to_be_then(void **state)
{
	(void)state;
	judge_feed(&s.test[SERVICE_SPLIT], 3, 0.25, 3010, 990);
	judge_feed(&s.test[SERVICE_SPLIT], 4, 1, 0, 5000);
	shows("about 25%", 75.25, 24.75);
	judge_feed(&s.test[SERVICE_SPLIT], 5, 0.1, 3000, 1500);
	judge_feed(&s.test[SERVICE_SPLIT], 6, 0.5, 2, 1);
	shows("about 10%", 200.0 / 3, 100.0 / 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_split_is_shown_as_it_is, begin),
		cmocka_unit_test_setup(with_what_it_was_to_be_then, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
