/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table that leads a hash to a backend.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "userspace/plane/maglev.h"

static unsigned int places(const struct shift_table *t, uint16_t id)
{
	unsigned int n = 0;

	for (int i = 0; i < SHIFT_TABLE; i++)
		n += t->backend[i] == id;
	return n;
}

static void shares_are_exact_to_a_place(void **state)
{
	const struct maglev_backend b[] = {{"aws", 7, 40}, {"azure", 3, 30}, {"gcp", 9, 30}};
	struct shift_table t;

	(void)state;
	assert_int_equal(maglev_fill(b, 3, &t), 0);
	assert_int_equal(t.entries, SHIFT_TABLE);
	assert_int_equal(t.backends, 3);
	assert_in_range(places(&t, 7), SHIFT_TABLE * 40 / 100, SHIFT_TABLE * 40 / 100 + 1);
	assert_in_range(places(&t, 3), SHIFT_TABLE * 30 / 100, SHIFT_TABLE * 30 / 100 + 1);
	assert_int_equal(places(&t, 7) + places(&t, 3) + places(&t, 9), SHIFT_TABLE);
}

static void the_order_of_the_file_does_not_matter(void **state)
{
	const struct maglev_backend a[] = {{"aws", 1, 40}, {"azure", 2, 30}, {"gcp", 3, 30}};
	const struct maglev_backend b[] = {{"gcp", 3, 30}, {"aws", 1, 40}, {"azure", 2, 30}};
	struct shift_table t, u;

	(void)state;
	assert_int_equal(maglev_fill(a, 3, &t), 0);
	assert_int_equal(maglev_fill(b, 3, &u), 0);
	assert_memory_equal(&t, &u, sizeof(t));
}

static void weight_0_and_nobody_take_no_part(void **state)
{
	const struct maglev_backend b[] = {{"aws", 1, 40}, {"azure", 2, 0}};
	struct shift_table t;

	(void)state;
	assert_int_equal(maglev_fill(b, 2, &t), 0);
	assert_int_equal(places(&t, 1), SHIFT_TABLE);
	assert_int_equal(t.backends, 1);
	assert_int_equal(maglev_fill(b + 1, 1, &t), 0);
	assert_int_equal(t.entries, 0);
	assert_int_equal(maglev_fill(NULL, 0, &t), 0);
	assert_int_equal(t.entries, 0);
}

/* Who leaves moves his own places and few others'. */
static void a_backend_that_leaves_moves_few_others(void **state)
{
	struct maglev_backend b[10];
	static char names[10][8];
	struct shift_table before, after;
	unsigned int moved = 0;

	(void)state;
	for (int i = 0; i < 10; i++) {
		snprintf(names[i], sizeof(names[i]), "b%d", i);
		b[i] = (struct maglev_backend){names[i], (uint16_t)i, 100};
	}
	assert_int_equal(maglev_fill(b, 10, &before), 0);
	b[4].weight = 0;
	assert_int_equal(maglev_fill(b, 10, &after), 0);
	for (int i = 0; i < SHIFT_TABLE; i++)
		moved += before.backend[i] != 4 && before.backend[i] != after.backend[i];
	assert_true(moved < SHIFT_TABLE / 10);
}

static void too_many_are_refused(void **state)
{
	struct maglev_backend b[SHIFT_TABLE_LIST + 1];
	struct shift_table t;

	(void)state;
	for (int i = 0; i <= SHIFT_TABLE_LIST; i++)
		b[i] = (struct maglev_backend){"x", (uint16_t)i, 1};
	assert_int_equal(maglev_fill(b, SHIFT_TABLE_LIST, &t), 0);
	assert_int_equal(maglev_fill(b, SHIFT_TABLE_LIST + 1, &t), -E2BIG);
}

/* Hosts of two versions must agree: the hash of a name is part of the contract. */
static void hashes_of_names_never_change(void **state)
{
	(void)state;
	assert_int_equal(maglev_name_hash("api", 0), maglev_name_hash("api", 0));
	assert_int_not_equal(maglev_name_hash("api", 0), maglev_name_hash("api", 1));
	assert_int_equal(maglev_name_hash("api", 0), 0x6f0b9b12bc89adecull);
}

/* The ranks of many clients are spread evenly, and a rank tells nothing of the backend. */
static void ranks_are_even_and_apart_from_backends(void **state)
{
	enum { N = 200000 };
	const struct maglev_backend b[] = {{"aws", 1, 50}, {"gcp", 2, 50}};
	unsigned int low = 0, aws = 0, both = 0;
	struct shift_table t;

	(void)state;
	maglev_fill(b, 2, &t);
	for (uint32_t i = 0; i < N; i++) {
		const uint32_t address[4] = {0, 0, 0xffff0000, i * 2654435761u};
		uint64_t h = shift_hash(42, SHIFT_AFFINITY_CLIENT, address, 0);
		bool is_low = shift_hash_rank(h) < SHIFT_RANKS / 4;
		bool is_aws = t.backend[shift_hash_entry(h)] == 1;

		low += is_low;
		aws += is_aws;
		both += is_low && is_aws;
	}
	/* five standard deviations of 200,000 fair draws */
	assert_in_range(low, N / 4 - 970, N / 4 + 970);
	assert_in_range(aws, N / 2 - 1120, N / 2 + 1120);
	assert_in_range(both, N / 8 - 740, N / 8 + 740);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_exact_to_a_place),
		cmocka_unit_test(the_order_of_the_file_does_not_matter),
		cmocka_unit_test(weight_0_and_nobody_take_no_part),
		cmocka_unit_test(a_backend_that_leaves_moves_few_others),
		cmocka_unit_test(too_many_are_refused),
		cmocka_unit_test(hashes_of_names_never_change),
		cmocka_unit_test(ranks_are_even_and_apart_from_backends),
	};

	return cmocka_run_group_tests_name("maglev", tests, NULL, NULL);
}
