/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ramp's edits of the control record.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/ctl/ramp.h"
#include "userspace/ctl/steer.h"

#define SECOND 1000000000ull
#define NOW    (1000 * SECOND)
#define LATCH  (77 * SECOND)
#define LOCK   (78 * SECOND)

static struct shift_record record(uint16_t weight)
{
	struct shift_record r = {.epoch = 7,
				 .weight = weight,
				 .threshold = shift_weight_threshold(weight),
				 .authority = SHIFT_AUTHORITY_SHARED};

	strcpy(r.set_by, "before");
	return r;
}

static struct steer change(uint16_t weight, uint16_t expect)
{
	return (struct steer){.boot = NOW,
			      .real = 5 * SECOND,
			      .who = "alice",
			      .reason = "ramp stage 2/5: 25%",
			      .epoch = 7,
			      .expect = expect,
			      .weight = weight,
			      .lease = 30 * SECOND,
			      .on_death = SHIFT_LEASE_FALLBACK};
}

static void a_stage_sets_the_share_its_threshold_and_its_keep_alive_in_one_record(void **state)
{
	struct shift_record r = record(1000);
	struct steer c = change(2500, 1000);

	(void)state;
	r.not_before = NOW + SECOND;
	r.confirm_deadline = NOW + SECOND;
	r.confirm_weight = 500;
	assert_int_equal(steer_weight(&r, &c), 0);
	assert_int_equal(c.from, 1000);
	assert_int_equal(r.weight, 2500);
	assert_int_equal(r.threshold, shift_weight_threshold(2500));
	assert_int_equal(r.epoch, 8);
	assert_int_equal(r.not_before, 0);
	assert_int_equal(r.confirm_deadline, 0);
	assert_int_equal(r.lease_deadline, NOW + 30 * SECOND);
	assert_int_equal(r.lease_action, SHIFT_LEASE_FALLBACK);
	assert_string_equal(r.set_by, "alice");
	assert_string_equal(r.reason, "ramp stage 2/5: 25%");
	assert_int_equal(shift_record_weight(&r, NOW + 29 * SECOND), 2500);
	assert_int_equal(shift_record_weight(&r, NOW + 30 * SECOND), 0);
}

/* What is refused changes nothing. */
static void refused(const struct shift_record *before, struct steer *c, int why)
{
	struct shift_record r = *before;

	assert_int_equal(steer_weight(&r, c), why);
	assert_memory_equal(&r, before, sizeof(r));
}

static void what_moved_since_the_decision_wins(void **state)
{
	struct shift_record r = record(1000);
	struct steer c = change(2500, 1000);

	(void)state;
	r.epoch = 8;
	refused(&r, &c, STEER_OVERTAKEN);
	/* A confirmation that ran out moves the share, but not the epoch. */
	r.epoch = 7;
	r.confirm_deadline = NOW - 1;
	r.confirm_weight = 0;
	refused(&r, &c, STEER_OVERTAKEN);
}

static void a_latch_yields_only_to_the_word_that_names_it(void **state)
{
	struct shift_record r = record(0);
	struct steer c = change(1000, 0);

	(void)state;
	r.latched = 1;
	r.latched_at = LATCH;
	refused(&r, &c, STEER_LATCHED);
	c.after_rollback = true;
	c.latched_at = LATCH - 1; /* another rollback came since */
	refused(&r, &c, STEER_LATCHED);
	c.latched_at = LATCH;
	assert_int_equal(steer_weight(&r, &c), 0);
	assert_false(r.latched);
	assert_int_equal(r.latched_at, 0);
}

static void a_step_back_does_not_clear_a_latch(void **state)
{
	struct shift_record r = record(5000);
	struct steer c = change(2500, 5000);

	(void)state;
	r.latched = 1;
	r.latched_at = c.latched_at = LATCH;
	c.after_rollback = true;
	assert_int_equal(steer_weight(&r, &c), 0);
	assert_true(r.latched);
}

static void a_rollback_is_never_refused_and_leaves_no_way_back_up(void **state)
{
	struct shift_record r = record(5000);
	struct steer c = change(0, 1);

	(void)state;
	r.epoch = 99;
	r.locked_at = LOCK;
	strcpy(r.locked_by, "bob");
	r.not_before = NOW + SECOND;
	r.next_weight = 7500;
	r.next_threshold = shift_weight_threshold(7500);
	r.confirm_deadline = NOW + SECOND;
	r.confirm_weight = 2500;
	r.confirm_threshold = shift_weight_threshold(2500);
	r.lease_deadline = NOW + SECOND;
	assert_int_equal(steer_rollback(&r, &c), 0);
	assert_int_equal(c.from, 5000);
	for (uint64_t at = NOW; at < NOW + 10 * SECOND; at += SECOND)
		assert_int_equal(shift_record_threshold(&r, at), 0);
	assert_true(r.latched);
	assert_int_equal(r.latched_at, 5 * SECOND);
	assert_string_equal(r.latched_by, "alice");
	assert_int_equal(r.epoch, 100);
	assert_int_equal(r.locked_at, LOCK);
}

static void a_renewal_moves_the_deadline_and_nothing_else(void **state)
{
	struct shift_record r = record(2500), before;
	struct steer c = change(0, 0);

	(void)state;
	assert_int_equal(steer_lease(&r, &c), 0);
	before = r;
	c.boot += 10 * SECOND;
	assert_int_equal(steer_lease(&r, &c), 0);
	assert_int_equal(r.lease_deadline, NOW + 40 * SECOND);
	r.lease_deadline = before.lease_deadline;
	assert_memory_equal(&r, &before, sizeof(r));
	c.lease = 0;
	assert_int_equal(steer_lease(&r, &c), 0);
	assert_int_equal(r.lease_deadline, 0);
	assert_int_equal(r.epoch, 7);
	assert_int_equal(steer_lease(&r, &c), 1); /* there is none to take away */
}

static void a_renewal_that_comes_too_late_does_not_raise_again(void **state)
{
	struct shift_record r = record(2500);
	struct steer c = change(0, 0);

	(void)state;
	assert_int_equal(steer_settle(&r, &c), 1);
	steer_lease(&r, &c);
	c.boot += 31 * SECOND;
	assert_int_equal(shift_record_weight(&r, c.boot), 0);
	assert_int_equal(steer_lease(&r, &c), 1);
	assert_int_equal(shift_record_weight(&r, c.boot), 0);
	assert_int_equal(steer_settle(&r, &c), 0);
	assert_int_equal(c.from, 0);
	assert_int_equal(r.weight, 0);
	assert_int_equal(r.epoch, 8);
	assert_int_equal(r.lease_deadline, 0);
}

static void after_a_commit_the_keep_alive_always_holds(void **state)
{
	struct shift_record r = record(10000);
	struct steer c = change(0, 0);

	(void)state;
	r.authority = SHIFT_AUTHORITY_NEW;
	assert_int_equal(steer_lease(&r, &c), 0);
	assert_int_equal(r.lease_action, SHIFT_LEASE_HOLD);
	assert_int_equal(shift_record_weight(&r, NOW + 3600 * SECOND), 10000);
	/* Also one from before the commit. */
	r.lease_action = SHIFT_LEASE_FALLBACK;
	assert_int_equal(shift_record_weight(&r, NOW + 3600 * SECOND), 10000);
}

static void the_view_tells_a_share_that_fell_by_itself(void **state)
{
	struct shift_record r = record(5000);
	struct ramp_view v = {0};

	(void)state;
	memset(r.set_by, 'x', sizeof(r.set_by)); /* no zero */
	r.confirm_deadline = NOW + SECOND;
	r.confirm_weight = 1000;
	steer_see(&r, NOW, &v);
	assert_int_equal(v.weight, 5000);
	assert_int_equal(v.confirm_left, SECOND);
	assert_false(v.by_itself);
	assert_int_equal(strlen(v.set_by), SHIFT_NAME - 1);
	steer_see(&r, NOW + SECOND, &v);
	assert_int_equal(v.weight, 1000);
	assert_int_equal(v.confirm_left, 0);
	assert_true(v.by_itself);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_stage_sets_the_share_its_threshold_and_its_keep_alive_in_one_record),
		cmocka_unit_test(what_moved_since_the_decision_wins),
		cmocka_unit_test(a_latch_yields_only_to_the_word_that_names_it),
		cmocka_unit_test(a_step_back_does_not_clear_a_latch),
		cmocka_unit_test(a_rollback_is_never_refused_and_leaves_no_way_back_up),
		cmocka_unit_test(a_renewal_moves_the_deadline_and_nothing_else),
		cmocka_unit_test(a_renewal_that_comes_too_late_does_not_raise_again),
		cmocka_unit_test(after_a_commit_the_keep_alive_always_holds),
		cmocka_unit_test(the_view_tells_a_share_that_fell_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
