/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control record: several writers, writers that die or stop anywhere, readers meanwhile.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "userspace/plane/control.h"

static struct shift_control *new_control(void)
{
	void *m = mmap(NULL, sizeof(struct shift_control), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(m, MAP_FAILED);
	return m;
}

static void drop_control(struct shift_control *c)
{
	munmap(c, sizeof(*c));
}

/* A record in which every number follows from the epoch, so that a mixture is seen. */
static int next_edit(struct shift_record *r, void *arg)
{
	(void)arg;
	r->epoch++;
	r->threshold = (uint32_t)(r->epoch * 7 % (SHIFT_THRESHOLD_MAX + 1));
	r->next_threshold = ~r->threshold;
	r->cut_epoch = r->epoch ^ 0x5555;
	r->confirm_deadline = r->epoch << 20;
	r->lease_threshold = (uint32_t)r->epoch;
	memset(r->reason, (int)('a' + r->epoch % 26), sizeof(r->reason));
	return 0;
}

static bool is_consistent(const struct shift_record *r)
{
	struct shift_record want = {.epoch = r->epoch - 1};

	next_edit(&want, NULL);
	return r->threshold == want.threshold && r->next_threshold == want.next_threshold &&
	       r->cut_epoch == want.cut_epoch && r->confirm_deadline == want.confirm_deadline &&
	       r->lease_threshold == want.lease_threshold;
}

static void first_record_begins_with_nothing(void **state)
{
	struct shift_control *c = new_control();
	struct shift_record r, before, after;
	uint64_t head;

	(void)state;
	assert_int_equal(control_get(c, &r, &head), -ENOENT);
	assert_int_equal(control_change(c, next_edit, NULL, false, &before, &after), 0);
	assert_int_equal(before.epoch, 0);
	assert_int_equal(control_get(c, &r, &head), 0);
	assert_int_equal(r.epoch, 1);
	assert_int_equal(head >> SHIFT_INDEX_BITS >> SHIFT_CHECK_BITS, 1);
	drop_control(c);
}

static void who_saw_an_older_head_loses(void **state)
{
	struct shift_control *c = new_control();
	struct shift_record r = {0};
	uint64_t head;

	(void)state;
	assert_int_equal(control_change(c, next_edit, NULL, false, NULL, &r), 0);
	assert_int_equal(control_get(c, &r, &head), 0);
	assert_int_equal(control_change(c, next_edit, NULL, false, NULL, NULL), 0);
	r.epoch = 1000;
	assert_int_equal(control_publish(c, head, &r, false), -EAGAIN);
	assert_int_equal(control_publish(c, head, &r, true), -EAGAIN);
	assert_int_equal(control_get(c, &r, &head), 0);
	assert_int_equal(r.epoch, 2);
	drop_control(c);
}

static int cut_edit(struct shift_record *r, void *arg)
{
	r->epoch++;
	r->cut_epoch = *(const uint64_t *)arg;
	return 0;
}

/* No packet looks for a cut before this. */
static void the_first_cut_is_told_for_good(void **state)
{
	struct shift_control *c = new_control();
	uint64_t none = 0, cut = 2;

	(void)state;
	assert_int_equal(control_change(c, cut_edit, &none, false, NULL, NULL), 0);
	assert_int_equal(c->cuts, 0);
	assert_int_equal(control_change(c, cut_edit, &cut, false, NULL, NULL), 0);
	assert_int_equal(c->cuts, 1);
	assert_int_equal(control_change(c, cut_edit, &none, false, NULL, NULL), 0);
	assert_int_equal(c->cuts, 1);
	drop_control(c);
}

static int refuse_edit(struct shift_record *r, void *arg)
{
	(void)arg;
	r->epoch = 77;
	return -1001;
}

static void an_edit_that_refuses_changes_nothing(void **state)
{
	struct shift_control *c = new_control();
	struct shift_record r;
	uint64_t head, later;

	(void)state;
	control_change(c, next_edit, NULL, false, NULL, NULL);
	control_get(c, &r, &head);
	assert_int_equal(control_change(c, refuse_edit, NULL, false, NULL, NULL), -1001);
	control_get(c, &r, &later);
	assert_int_equal(head, later);
	drop_control(c);
}

/* Eight processes, each with so many changes: every one is counted, none is mixed. */
static void no_change_of_many_writers_is_lost(void **state)
{
	enum { WRITERS = 8, CHANGES = 2000 };
	struct shift_control *c = new_control();
	struct shift_record r;
	uint64_t head;
	int failed = 0, status;

	(void)state;
	for (int i = 0; i < WRITERS; i++) {
		if (fork())
			continue;
		for (int n = 0; n < CHANGES; n++) {
			struct shift_record seen;

			if (control_change(c, next_edit, NULL, false, NULL, NULL) ||
			    control_get(c, &seen, &head) || !is_consistent(&seen))
				_exit(1);
		}
		_exit(0);
	}
	for (int i = 0; i < WRITERS; i++) {
		wait(&status);
		failed += status != 0;
	}
	assert_int_equal(failed, 0);
	assert_int_equal(control_get(c, &r, &head), 0);
	assert_int_equal(r.epoch, WRITERS * CHANGES);
	drop_control(c);
}

static void pause_us(long us)
{
	struct timespec t = {0, us * 1000};

	nanosleep(&t, NULL);
}

/* Writers are killed wherever they are; what is read stays whole, and changes go on. */
static void killed_writers_leave_a_whole_record(void **state)
{
	enum { KILLS = 300 };
	struct shift_control *c = new_control();
	struct shift_record r;
	uint64_t head, last = 0;

	(void)state;
	control_change(c, next_edit, NULL, false, NULL, NULL);
	for (int i = 0; i < KILLS; i++) {
		pid_t pid = fork();

		if (!pid) {
			for (;;)
				control_change(c, next_edit, NULL, true, NULL, NULL);
		}
		pause_us(500 + i % 7 * 100);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		assert_int_equal(control_get(c, &r, &head), 0);
		assert_true(is_consistent(&r));
		assert_true(r.epoch >= last);
		last = r.epoch;
	}
	assert_true(last > KILLS); /* the writers did write */
	drop_control(c);
}

static void claim_all(struct shift_control *c, uint64_t age_s)
{
	uint64_t claim = (control_boot_ns() / 1000000000 - age_s) << 32 | 1;

	for (int i = 0; i < SHIFT_RECORDS; i++)
		c->claims[i] = claim;
}

static void places_of_dead_writers_are_used_again(void **state)
{
	struct shift_control *c = new_control();
	struct shift_record r;
	uint64_t head;

	(void)state;
	control_change(c, next_edit, NULL, false, NULL, NULL);
	claim_all(c, 60);
	assert_int_equal(control_change(c, next_edit, NULL, false, NULL, NULL), 0);
	assert_int_equal(control_get(c, &r, &head), 0);
	assert_int_equal(r.epoch, 2);
	drop_control(c);
}

static void a_forced_change_waits_for_nobody(void **state)
{
	struct shift_control *c = new_control();
	struct shift_record r = {0};
	uint64_t head;

	(void)state;
	control_change(c, next_edit, NULL, false, NULL, NULL);
	control_get(c, &r, &head);
	claim_all(c, 0);
	assert_int_equal(control_publish(c, head, &r, false), -EBUSY);
	assert_int_equal(control_change(c, next_edit, NULL, true, NULL, &r), 0);
	assert_int_equal(r.epoch, 2);
	drop_control(c);
}

/* Somebody was stopped while he wrote, lost his place, and goes on after it became current. */
static void a_late_writer_can_only_spoil(void **state)
{
	struct shift_control *c = new_control();
	struct shift_record r, after;
	uint64_t head;
	uint32_t place;

	(void)state;
	for (int i = 0; i < 40; i++)
		control_change(c, next_edit, NULL, false, NULL, NULL);
	control_get(c, &r, &head);
	place = (head & SHIFT_INDEX_MASK) - 1;
	c->record[place].threshold ^= 1; /* part of another record */
	assert_int_equal(control_get(c, &r, &head), -EIO);
	assert_int_equal(r.epoch, 39); /* the newest that is whole */
	assert_int_equal(control_change(c, next_edit, NULL, true, NULL, &after), 0);
	assert_int_equal(after.epoch, 40);
	assert_int_equal(control_get(c, &r, &head), 0);
	assert_true(is_consistent(&r));
	drop_control(c);
}

static void every_bit_that_the_program_reads_is_checked(void **state)
{
	struct shift_control *c = new_control();
	struct shift_record r;
	uint64_t head;
	uint8_t *bytes;

	(void)state;
	control_change(c, next_edit, NULL, false, NULL, NULL);
	control_get(c, &r, &head);
	bytes = (uint8_t *)&c->record[(head & SHIFT_INDEX_MASK) - 1];
	for (int bit = 0; bit < SHIFT_RECORD_WORDS * 64; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(control_get(c, &r, &head), -EIO);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(control_get(c, &r, &head), 0);
	drop_control(c);
}

/* ---- the share in force (shift.h) ---- */

static void deadlines_decide_which_share_is_in_force(void **state)
{
	struct shift_record r = {.weight = 2500,
				 .threshold = 1,
				 .next_weight = 5000,
				 .next_threshold = 2,
				 .confirm_weight = 1000,
				 .confirm_threshold = 0,
				 .lease_weight = 0,
				 .lease_threshold = 0};

	(void)state;
	assert_int_equal(shift_record_weight(&r, 1000), 2500);
	r.not_before = 500;
	assert_int_equal(shift_record_weight(&r, 499), 2500);
	assert_int_equal(shift_record_weight(&r, 500), 5000);
	r.confirm_deadline = 600;
	assert_int_equal(shift_record_weight(&r, 599), 5000);
	assert_int_equal(shift_record_weight(&r, 600), 1000);
	r.confirm_deadline = 0;
	r.lease_deadline = 700;
	assert_int_equal(shift_record_weight(&r, 700), 5000); /* hold */
	r.lease_action = SHIFT_LEASE_FALLBACK;
	assert_int_equal(shift_record_weight(&r, 700), 0);
	r.authority = SHIFT_AUTHORITY_NEW;
	assert_int_equal(shift_record_weight(&r, 700), 5000);
}

static void thresholds_are_exact_at_both_ends(void **state)
{
	(void)state;
	assert_int_equal(shift_weight_threshold(0), 0);
	assert_int_equal(shift_weight_threshold(SHIFT_WEIGHT_MAX), SHIFT_THRESHOLD_MAX);
	assert_int_equal(shift_weight_threshold(5000), 32768);
	assert_int_equal(shift_weight_threshold(1), 7);
	for (uint32_t w = 1; w <= SHIFT_WEIGHT_MAX; w++)
		assert_true(shift_weight_threshold(w) > shift_weight_threshold(w - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_record_begins_with_nothing),
		cmocka_unit_test(who_saw_an_older_head_loses),
		cmocka_unit_test(the_first_cut_is_told_for_good),
		cmocka_unit_test(an_edit_that_refuses_changes_nothing),
		cmocka_unit_test(no_change_of_many_writers_is_lost),
		cmocka_unit_test(killed_writers_leave_a_whole_record),
		cmocka_unit_test(places_of_dead_writers_are_used_again),
		cmocka_unit_test(a_forced_change_waits_for_nobody),
		cmocka_unit_test(a_late_writer_can_only_spoil),
		cmocka_unit_test(every_bit_that_the_program_reads_is_checked),
		cmocka_unit_test(deadlines_decide_which_share_is_in_force),
		cmocka_unit_test(thresholds_are_exact_at_both_ends),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
