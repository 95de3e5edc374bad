/* SPDX-License-Identifier: GPL-2.0-only */
#include "tests/unit/window_rig.h"

static void a_rate_is_of_the_window_and_of_nothing_before(void **state)
{
	(void)state;
	look();
	traffic(120, 20, 20);
	close_to(value(CONF_KERNEL_FAILURES, CONF_ARM_NEW), 100, 0);
	traffic(30, 20, 0);
	close_to(value(CONF_KERNEL_FAILURES, CONF_ARM_NEW), 50, 2);
	traffic(32, 20, 0);
	close_to(value(CONF_KERNEL_FAILURES, CONF_ARM_NEW), 0, 0);
}

static void what_was_counted_before_the_first_look_is_in_no_window(void **state)
{
	struct window_sum s;

	(void)state;
	begun(NEW, 1, 5000);
	failed(NEW, 1, SHIFT_FAILURE_RESET, 5000);
	look();
	assert_int_equal(window_over(&w, w.span, &s), -ENODATA);
	no_value(CONF_KERNEL_ERRORS, CONF_ARM_NEW, "only begun");
	traffic(20, 20, 0);
	close_to(value(CONF_KERNEL_ERRORS, CONF_ARM_NEW), 0, 0);
}

static void a_long_window_is_as_exact_as_a_sixtieth_of_it(void **state)
{
	struct window_sum s;

	(void)state;
	window_begin(&w, 3600 * SECOND, 200);
	look();
	traffic(9000, 10, 0);
	assert_int_equal(window_over(&w, w.span, &s), 0);
	assert_in_range(s.span, 3600 * SECOND, 3661 * SECOND);
	assert_int_equal(s.arm[NEW].begun, s.span / SECOND * 10);
	assert_int_equal(window_over(&w, 10 * SECOND, &s), 0);
	assert_in_range(s.span, 10 * SECOND, 10 * SECOND + STEP);
}

/* Against a plain list of all looks. */
static void any_span_is_the_difference_of_two_looks(void **state)
{
	static uint64_t at[2000], n[2000];
	struct window_sum s;

	(void)state;
	srand(7);
	for (unsigned int i = 0; i < 2000; i++) {
		uint64_t wanted = (1 + (unsigned int)rand() % 70) * SECOND;
		unsigned int from = 0;

		kernel.at += SECOND / 10 + (unsigned int)rand() % SECOND;
		begun(NEW, 1 + i / 400, (unsigned int)rand() % 50);
		assert_int_equal(window_add(&w, &kernel), 0);
		at[i] = kernel.at;
		n[i] = kernel.arm[NEW].total.begun;
		if (window_over(&w, wanted, &s))
			continue;
		while (at[from] < kernel.at - s.span)
			from++;
		assert_int_equal(at[from], kernel.at - s.span);
		assert_int_equal(s.arm[NEW].begun, n[i] - n[from]);
		assert_true(s.span >= wanted || s.span == at[i] - at[0]);
		if (wanted <= 60 * SECOND) /* a grain, and what lies between looks */
			assert_true(s.span < wanted + 4 * SECOND);
	}
}

static void another_length_keeps_what_was_seen(void **state)
{
	struct window_sum s;

	(void)state;
	look();
	window_stage(&w, 1);
	traffic(100, 20, 0);
	window_use(&w, 300 * SECOND, 200);
	assert_int_equal(window_over(&w, w.span, &s), 0);
	assert_in_range(s.span, 59 * SECOND, 66 * SECOND); /* what there is */
	traffic(300, 20, 0);
	assert_int_equal(window_over(&w, w.span, &s), 0);
	assert_in_range(s.span, 300 * SECOND, 306 * SECOND);
	window_use(&w, 20 * SECOND, 200);
	traffic(20, 20, 0);
	assert_int_equal(window_over(&w, w.span, &s), 0);
	assert_in_range(s.span, 20 * SECOND, 25 * SECOND);
	window_since_stage(&w, &s);
	assert_int_equal(s.arm[NEW].begun, 8400);
}

static void too_few_connections_say_nothing_and_how_many_there_are(void **state)
{
	(void)state;
	look();
	no_value(CONF_KERNEL_ERRORS, CONF_ARM_NEW, "only begun");
	traffic(19, 10, 0);
	begun(NEW, 1, 9);
	look();
	no_value(CONF_KERNEL_ERRORS, CONF_ARM_NEW, "199 of 200 connections in the last 19");
	no_value(CONF_KERNEL_P95, CONF_ARM_NEW, "199 of 200 connections");
	begun(NEW, 1, 1);
	look();
	close_to(value(CONF_KERNEL_ERRORS, CONF_ARM_NEW), 0, 0);
	no_value(CONF_KERNEL_P95, CONF_ARM_NEW, "190 of 200 answers in the last 20");
}

static void counters_that_were_cleared_begin_a_new_window_and_no_rate_is_wrong(void **state)
{
	struct window_both e;

	(void)state;
	look();
	traffic(60, 20, 10);
	kernel.arm[NEW] = (struct telemetry_arm){0}; /* another apply */
	kernel.service = (struct shift_service_stats){0};
	begun(NEW, 1, 3);
	assert_int_equal(look(), 1);
	assert_int_equal(w.resets, 1);
	no_value(CONF_KERNEL_ERRORS, CONF_ARM_NEW, "only begun");
	traffic(60, 20, 0);
	close_to(value(CONF_KERNEL_ERRORS, CONF_ARM_NEW), 0, 0);
	assert_int_equal(w.epochs, 1);
	window_epoch_seen(&w.epoch[0], &e);
	assert_int_equal(e.arm[NEW].begun, 1200 + 3 + 1200);
	assert_int_equal(e.arm[NEW].failed, 600);
}

static void a_time_that_nobody_saw_is_in_no_window(void **state)
{
	(void)state;
	look();
	traffic(60, 20, 20);
	kernel.at += 11 * SECOND;
	begun(NEW, 1, 500);
	assert_int_equal(window_add(&w, &kernel), 1);
	no_value(CONF_KERNEL_ERRORS, CONF_ARM_NEW, "only begun");
	assert_int_equal(window_add(&w, &kernel), -EINVAL); /* the same moment */
	traffic(60, 20, 1);
	close_to(value(CONF_KERNEL_ERRORS, CONF_ARM_NEW), 5, 0.01);
}

static void a_look_that_is_old_is_no_number(void **state)
{
	struct window_number v;

	(void)state;
	look();
	traffic(60, 20, 0);
	assert_int_equal(
		window_value(&w, kernel.at + 2 * SECOND, CONF_KERNEL_ERRORS, CONF_ARM_NEW, &v), 0);
	assert_int_equal(
		window_value(&w, kernel.at + 9 * SECOND, CONF_KERNEL_ERRORS, CONF_ARM_NEW, &v),
		-ENODATA);
	assert_non_null(strstr(v.why, "read last 9"));
}

/* 25 % failed; back at 10 %, what is still to come of it is not this stage's. */
static void a_late_failure_belongs_to_the_stage_its_connection_began_in(void **state)
{
	struct window_sum s;

	(void)state;
	look();
	window_stage(&w, 1);
	traffic(30, 20, 0);
	kernel.epoch = 2;
	kernel.weight = 2500;
	window_stage(&w, 2);
	traffic(30, 20, 0);
	begun(NEW, 2, 100);
	look();
	kernel.epoch = 3;
	kernel.weight = 1000;
	window_stage(&w, 3);
	failed(NEW, 2, SHIFT_FAILURE_UNANSWERED, 100);
	traffic(30, 20, 0);
	close_to(value(CONF_KERNEL_FAILURES, CONF_ARM_NEW), 0, 0);
	assert_int_equal(window_over(&w, w.span, &s), 0);
	assert_int_equal(s.arm[NEW].begun, 600);
	assert_true(s.span <= 30 * SECOND);
	window_since_stage(&w, &s);
	assert_int_equal(s.arm[NEW].begun, 600);
	assert_int_equal(window_failed(&s.arm[NEW]), 0);
}

/* All that is counted of a stage is of it, also what came between the change and the call. */
static void a_stage_begins_with_its_epoch_and_not_with_the_call(void **state)
{
	struct window_sum s;

	(void)state;
	look();
	traffic(10, 20, 20);
	kernel.epoch = 2;
	begun(NEW, 2, 40);
	failed(NEW, 2, SHIFT_FAILURE_REFUSED, 10);
	kernel.service.fallback[SHIFT_FALLBACK_NO_ROUTE] += 3;
	look();
	window_stage(&w, 2);
	window_since_stage(&w, &s);
	assert_int_equal(s.arm[NEW].begun, 40);
	kernel.service.fallback[SHIFT_FALLBACK_NO_ROUTE] += 2;
	look();
	window_since_stage(&w, &s);
	assert_int_equal(window_failures(&s, CONF_ARM_NEW).bad, 10);
	assert_int_equal(window_errors(&s, CONF_ARM_NEW).bad, 12);
	assert_int_equal(window_errors(&s, CONF_ARM_NEW).n, 42);
	assert_int_equal(window_over(&w, w.span, &s), 0);
	assert_int_equal(window_failures(&s, CONF_ARM_NEW).bad, 10);
}

/* Each CPU gives up an epoch when it needs the place: the sum over all becomes smaller. */
static void an_epoch_that_the_kernel_gives_up_keeps_what_was_counted(void **state)
{
	struct window_both e;
	struct shift_answers *a;

	(void)state;
	look();
	window_stage(&w, 1);
	traffic(10, 20, 5);
	a = epoch_of(&kernel.arm[NEW], 1);
	a->begun = 70;
	a->failure[SHIFT_FAILURE_REFUSED] = 9;
	assert_int_equal(look(), 0);
	window_epoch_seen(&w.epoch[0], &e);
	assert_int_equal(e.arm[NEW].begun, 200);
	assert_int_equal(e.arm[NEW].failed, 50);
	kernel.arm[NEW].epochs = 0;
	assert_int_equal(look(), 0);
	window_epoch_seen(&w.epoch[0], &e);
	assert_int_equal(e.arm[NEW].begun, 200);
	assert_int_equal(w.resets, 0);
}

static void more_epochs_than_are_kept_apart_still_count_for_the_stage(void **state)
{
	struct window_sum s;

	(void)state;
	look();
	window_stage(&w, 1);
	for (unsigned int i = 1; i <= 3 * WINDOW_EPOCHS; i++) {
		kernel.epoch = i;
		kernel.arm[NEW].epochs = 0; /* the kernel keeps fewer */
		traffic(1, 20, 1);
	}
	assert_int_equal(w.epochs, WINDOW_EPOCHS);
	window_since_stage(&w, &s);
	assert_int_equal(s.arm[NEW].begun, 3 * WINDOW_EPOCHS * 20);
	assert_int_equal(window_failed(&s.arm[NEW]), 3 * WINDOW_EPOCHS);
	for (unsigned int i = 1; i < w.epochs; i++)
		assert_true(w.epoch[i].epoch < w.epoch[i - 1].epoch);
	kernel.arm[NEW].epochs = 0;
	begun(NEW, 2, 1000); /* of one that was put away */
	look();
	window_since_stage(&w, &s);
	assert_int_equal(s.arm[NEW].begun, 3 * WINDOW_EPOCHS * 20);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_rate_is_of_the_window_and_of_nothing_before),
		TEST(what_was_counted_before_the_first_look_is_in_no_window),
		TEST(a_long_window_is_as_exact_as_a_sixtieth_of_it),
		TEST(any_span_is_the_difference_of_two_looks),
		TEST(another_length_keeps_what_was_seen),
		TEST(too_few_connections_say_nothing_and_how_many_there_are),
		TEST(counters_that_were_cleared_begin_a_new_window_and_no_rate_is_wrong),
		TEST(a_time_that_nobody_saw_is_in_no_window),
		TEST(a_look_that_is_old_is_no_number),
		TEST(a_late_failure_belongs_to_the_stage_its_connection_began_in),
		TEST(a_stage_begins_with_its_epoch_and_not_with_the_call),
		TEST(an_epoch_that_the_kernel_gives_up_keeps_what_was_counted),
		TEST(more_epochs_than_are_kept_apart_still_count_for_the_stage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
