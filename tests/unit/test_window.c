/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wg/mtu.h"
#include "wg/window.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define MS	 UINT64_C(1000000)

static void statistics_are_those_of_the_last_probes(void **state)
{
	static const struct {
		int rtt_ms[8]; /* −1: lost, 0: the end */
		unsigned int decided, lost, loss;
		uint64_t min, p50, p95, max, jitter_us;
	} rows[] = {
		{{0}, 0, 0, 0, 0, 0, 0, 0, 0},
		{{-1}, 1, 1, 10000, 0, 0, 0, 0, 0},
		{{7}, 1, 0, 0, 7, 7, 7, 7, 0},
		{{30, 10}, 2, 0, 0, 10, 10, 30, 30, 20000},
		{{10, 30, 20}, 3, 0, 0, 10, 20, 30, 30, 15000},
		{{10, -1, 40}, 3, 1, 3333, 10, 10, 40, 40, 30000},
		{{5, 5, 5, 5}, 4, 0, 0, 5, 5, 5, 5, 0},
		{{4, 3, 2, 1, 1, 2, 3, -1}, 8, 1, 1250, 1, 2, 4, 4, 833},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct window w = {0};
		struct window_stats s;
		uint64_t rtt;

		for (unsigned int j = 0; j < 8 && rows[i].rtt_ms[j]; j++) {
			window_sent(&w, (uint16_t)j, j * 1000 * MS);
			if (rows[i].rtt_ms[j] < 0) {
				window_lost(&w, (uint16_t)j);
				continue;
			}
			assert_true(window_answered(
				&w, (uint16_t)j, (j * 1000 + (unsigned int)rows[i].rtt_ms[j]) * MS,
				&rtt));
			assert_int_equal(rtt, (unsigned int)rows[i].rtt_ms[j] * MS);
		}
		window_stats(&w, &s);
		assert_int_equal(s.decided, rows[i].decided);
		assert_int_equal(s.lost, rows[i].lost);
		assert_int_equal(s.loss, rows[i].loss);
		assert_int_equal(s.min_ns, rows[i].min * MS);
		assert_int_equal(s.p50_ns, rows[i].p50 * MS);
		assert_int_equal(s.p95_ns, rows[i].p95 * MS);
		assert_int_equal(s.max_ns, rows[i].max * MS);
		assert_int_equal(s.jitter_ns / 1000, rows[i].jitter_us);
	}
}

static void percentiles_are_the_nearest_rank(void **state)
{
	static const struct {
		unsigned int n, p50, p95;
	} rows[] = {{1, 1, 1},	  {2, 1, 2},	{19, 10, 19}, {20, 10, 19},
		    {21, 11, 20}, {63, 32, 60}, {64, 32, 61}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct window w = {0};
		struct window_stats s;
		uint64_t rtt;

		for (unsigned int j = rows[i].n; j; j--) {
			window_sent(&w, (uint16_t)j, 0);
			assert_true(window_answered(&w, (uint16_t)j, j, &rtt));
		}
		window_stats(&w, &s);
		assert_int_equal(s.p50_ns, rows[i].p50);
		assert_int_equal(s.p95_ns, rows[i].p95);
	}
}

static void second_and_late_answers_change_only_their_counters(void **state)
{
	struct window w = {0};
	struct window_stats s;
	uint64_t rtt = 4711;

	(void)state;
	window_sent(&w, 1, 0);
	window_sent(&w, 2, 0);
	assert_true(window_answered(&w, 1, 5, &rtt));
	assert_int_equal(rtt, 5);
	assert_false(window_answered(&w, 1, 9, &rtt));
	assert_int_equal(window_expire(&w, 100, 100), 1);
	assert_false(window_answered(&w, 2, 101, &rtt));
	assert_false(window_answered(&w, 3, 101, &rtt));
	window_lost(&w, 1);
	window_lost(&w, 2);
	window_lost(&w, 3);
	assert_int_equal(rtt, 5);
	assert_int_equal(w.sent, 2);
	assert_int_equal(w.answered, 1);
	assert_int_equal(w.answered_at, 5);
	assert_int_equal(w.lost, 1);
	assert_int_equal(w.duplicates, 1);
	assert_int_equal(w.late, 1);
	window_stats(&w, &s);
	assert_int_equal(s.loss, 5000);
	assert_int_equal(s.max_ns, 5);
}

static void a_probe_is_lost_at_its_time_and_not_before(void **state)
{
	struct window w = {0};

	(void)state;
	assert_int_equal(window_next_loss(&w, 100), 0);
	window_sent(&w, 1, 1000);
	window_sent(&w, 2, 1050);
	assert_int_equal(window_next_loss(&w, 100), 1100);
	assert_int_equal(window_expire(&w, 999, 100), 0); /* a clock of another caller */
	assert_int_equal(window_expire(&w, 1099, 100), 0);
	assert_int_equal(window_expire(&w, 1100, 100), 1);
	assert_int_equal(window_next_loss(&w, 100), 1150);
	assert_int_equal(window_expire(&w, 9999, 100), 1);
	assert_int_equal(window_next_loss(&w, 100), 0);
	assert_int_equal(w.lost, 2);
}

static void an_answer_at_once_is_an_answer(void **state)
{
	struct window w = {0};
	uint64_t rtt;

	(void)state;
	window_sent(&w, 1, 1000);
	assert_true(window_answered(&w, 1, 900, &rtt));
	assert_int_equal(rtt, 1);
}

static void the_ring_and_the_sequence_numbers_come_round(void **state)
{
	struct window w = {0};
	struct window_stats s;
	uint64_t rtt;

	(void)state;
	/* 65,500 to 99: over the end of both, every tenth of them lost. */
	for (unsigned int i = 65500; i < 65636; i++) {
		window_sent(&w, (uint16_t)i, i);
		if (i % 10)
			assert_true(window_answered(&w, (uint16_t)i, i + 3, &rtt));
		else
			assert_int_equal(window_expire(&w, i + 9, 9), 1);
	}
	assert_int_equal(w.sent, 136);
	assert_int_equal(w.lost, 14);
	assert_int_equal(w.answered, 122);
	window_stats(&w, &s);
	assert_int_equal(s.decided, WINDOW_SIZE);
	assert_int_equal(s.lost, 6);
	/* What left the window is not there any more. */
	assert_false(window_answered(&w, 65500, 1, &rtt));
	assert_int_equal(w.late + w.duplicates, 0);
}

static void what_leaves_the_window_unanswered_is_lost(void **state)
{
	struct window w = {0};
	struct window_stats s;
	uint64_t rtt;

	(void)state;
	for (unsigned int i = 0; i < WINDOW_SIZE + 5; i++)
		window_sent(&w, (uint16_t)i, i);
	assert_int_equal(w.lost, 5);
	assert_false(window_answered(&w, 4, 100, &rtt));
	assert_true(window_answered(&w, 5, 100, &rtt));
	window_stats(&w, &s);
	assert_int_equal(s.decided, 1);
}

/* ---- the MTU search on a path made up ---- */

struct path {
	uint32_t mtu;			  /* 0: dead */
	double loss;			  /* of a probe and its answer together */
	bool tells;			  /* a hop says what passes */
	uint32_t tells_mtu;		  /* instead of the truth, 0: the truth */
	unsigned int dead_from, dead_for; /* probes */
};

static unsigned int sent; /* by the last search */

static uint32_t search(const struct path *p, uint32_t floor, uint32_t top)
{
	struct mtu_search s;
	uint32_t size;

	sent = 0;
	mtu_search_start(&s, floor, top);
	while ((size = mtu_search_size(&s))) {
		assert_in_range(size, floor, top);
		assert_true(sent < 300);
		sent++;
		if (!p->mtu || (sent > p->dead_from && sent <= p->dead_from + p->dead_for) ||
		    drand48() < p->loss)
			mtu_search_result(&s, false);
		else if (size <= p->mtu)
			mtu_search_result(&s, true);
		else if (p->tells)
			mtu_search_too_big(&s, p->tells_mtu ? p->tells_mtu : p->mtu);
		else
			mtu_search_result(&s, false);
	}
	mtu_search_result(&s, true); /* after its end it stays as it is */
	mtu_search_too_big(&s, 600);
	assert_int_equal(mtu_search_size(&s), 0);
	return s.good;
}

static void any_mtu_is_found(void **state)
{
	unsigned int most = 0;

	(void)state;
	for (uint32_t mtu = 576; mtu <= 1600; mtu++) {
		struct path p = {.mtu = mtu};

		assert_int_equal(search(&p, 576, 1500), mtu < 1500 ? mtu : 1500);
		most = sent > most ? sent : most;
		if (mtu >= 1280)
			assert_int_equal(search(&p, 1280, 1500), mtu < 1500 ? mtu : 1500);
	}
	assert_true(most <= 2 + 6 * 11);
	search(&(struct path){.mtu = 1500}, 576, 1500);
	assert_int_equal(sent, 2); /* the usual case costs two probes */
}

static void loss_makes_no_size_too_big(void **state)
{
	static const struct {
		double loss;
		unsigned int wrong; /* of 5,000 at most */
	} rows[] = {{0.01, 1}, {0.02, 2}, {0.1, 50}};

	(void)state;
	srand48(1);
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned int wrong = 0;

		for (unsigned int j = 0; j < 5000; j++) {
			struct path p = {.mtu = 576 + j * 7 % 925, .loss = rows[i].loss};

			wrong += search(&p, 576, 1500) != p.mtu;
		}
		assert_true(wrong <= rows[i].wrong);
	}
}

static void an_outage_ends_the_search_or_changes_nothing(void **state)
{
	(void)state;
	for (unsigned int from = 0; from < 40; from++)
		for (unsigned int length = 1; length < 20; length++) {
			struct path p = {.mtu = 1419, .dead_from = from, .dead_for = length};
			uint32_t found = search(&p, 576, 1500);

			assert_true(found == 1419 || (found == 0 && length >= 4));
		}
}

static void a_dead_path_has_no_mtu(void **state)
{
	struct path p = {.mtu = 0};

	(void)state;
	assert_int_equal(search(&p, 576, 1500), 0);
	assert_int_equal(sent, 4);
	p.mtu = 500; /* not even the floor */
	assert_int_equal(search(&p, 576, 1500), 0);
	p.tells = true;
	assert_int_equal(search(&p, 576, 1500), 0);
	assert_int_equal(sent, 1);
}

static void a_hop_that_tells_shortens_the_search(void **state)
{
	(void)state;
	for (uint32_t mtu = 576; mtu <= 1500; mtu++) {
		struct path p = {.mtu = mtu, .tells = true};

		assert_int_equal(search(&p, 576, 1500), mtu);
		assert_true(sent <= 4);
	}
}

/* Others' words about sizes that did not pass are believed, about what passes are not. */
static void a_hop_that_lies_does_not_change_the_answer(void **state)
{
	static const uint32_t lies[] = {1, 68, 575, 576, 577, 1000, 1499, 1500, 60000, UINT32_MAX};

	(void)state;
	for (uint32_t mtu = 576; mtu <= 1500; mtu += 4)
		for (size_t i = 0; i < COUNT(lies); i++) {
			struct path p = {.mtu = mtu, .tells = true, .tells_mtu = lies[i]};

			assert_int_equal(search(&p, 576, 1500), mtu);
		}
}

static void where_floor_and_top_are_one_a_probe_will_do(void **state)
{
	struct path p = {.mtu = 9000};

	(void)state;
	assert_int_equal(search(&p, 1500, 1500), 1500);
	assert_int_equal(sent, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statistics_are_those_of_the_last_probes),
		cmocka_unit_test(percentiles_are_the_nearest_rank),
		cmocka_unit_test(second_and_late_answers_change_only_their_counters),
		cmocka_unit_test(a_probe_is_lost_at_its_time_and_not_before),
		cmocka_unit_test(an_answer_at_once_is_an_answer),
		cmocka_unit_test(the_ring_and_the_sequence_numbers_come_round),
		cmocka_unit_test(what_leaves_the_window_unanswered_is_lost),
		cmocka_unit_test(any_mtu_is_found),
		cmocka_unit_test(loss_makes_no_size_too_big),
		cmocka_unit_test(an_outage_ends_the_search_or_changes_nothing),
		cmocka_unit_test(a_dead_path_has_no_mtu),
		cmocka_unit_test(a_hop_that_tells_shortens_the_search),
		cmocka_unit_test(a_hop_that_lies_does_not_change_the_answer),
		cmocka_unit_test(where_floor_and_top_are_one_a_probe_will_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
