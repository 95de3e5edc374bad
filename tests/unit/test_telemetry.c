/* SPDX-License-Identifier: GPL-2.0-only */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/plane/bpfsys.h"
#include "userspace/plane/telemetry.h"

static const uint32_t edges[SHIFT_HISTOGRAM] = SHIFT_HISTOGRAM_EDGES;

#define assert_near(a, b) assert_true(fabs((a) - (b)) < 1e-9)

/* Where the program counts a time: the first bucket whose edge is not below it. */
static int bucket_of(uint64_t ns)
{
	int i = 0;

	while (i < SHIFT_HISTOGRAM_STEPS && (uint64_t)edges[i] * 10000 < ns)
		i++;
	return i;
}

static void edges_ascend_and_are_as_many_as_promised(void **state)
{
	(void)state;
	for (int i = 1; i < SHIFT_HISTOGRAM_STEPS; i++)
		assert_true(edges[i] > edges[i - 1]);
	for (int i = SHIFT_HISTOGRAM_STEPS; i < SHIFT_HISTOGRAM; i++)
		assert_int_equal(edges[i], 0);
	assert_near(edges[SHIFT_HISTOGRAM_STEPS - 1] / 100.0, TELEMETRY_OVERFLOW_MS);
}

static void gate_limits_are_edges(void **state)
{
	static const int limits_ms[] = {1, 10, 50, 100, 200, 500, 1000};

	(void)state;
	for (size_t i = 0; i < sizeof(limits_ms) / sizeof(*limits_ms); i++) {
		uint64_t ns = (uint64_t)limits_ms[i] * 1000000;
		__u64 h[SHIFT_HISTOGRAM] = {0};

		/* All at the limit: no quantile says that one was above it. */
		h[bucket_of(ns)] = 1000;
		assert_near(telemetry_quantile_ms(h, 1), limits_ms[i]);
		/* A little above it: the lower edge is the limit. */
		assert_int_equal(bucket_of(ns + 1), bucket_of(ns) + 1);
	}
}

static void empty_histogram_has_no_quantile(void **state)
{
	__u64 h[SHIFT_HISTOGRAM] = {0};

	(void)state;
	assert_near(telemetry_quantile_ms(h, 0.5), -1);
	assert_near(telemetry_quantile_ms(h, 1), -1);
}

static void one_sample_lies_in_its_bucket(void **state)
{
	(void)state;
	for (int i = 0; i < SHIFT_HISTOGRAM_STEPS; i++) {
		double low = i ? edges[i - 1] / 100.0 : 0, high = edges[i] / 100.0;
		__u64 h[SHIFT_HISTOGRAM] = {0};

		h[i] = 1;
		assert_near(telemetry_quantile_ms(h, 0), low);
		assert_near(telemetry_quantile_ms(h, 0.5), (low + high) / 2);
		assert_near(telemetry_quantile_ms(h, 1), high);
	}
}

static void quantiles_are_interpolated_inside_a_bucket(void **state)
{
	__u64 h[SHIFT_HISTOGRAM] = {0};

	(void)state;
	h[bucket_of(200000)] = 90;  /* 0.15 to 0.20 ms */
	h[bucket_of(1000000)] = 10; /* 0.8 to 1.0 ms */
	assert_near(telemetry_quantile_ms(h, 0.45), 0.175);
	assert_near(telemetry_quantile_ms(h, 0.90), 0.20);
	assert_near(telemetry_quantile_ms(h, 0.95), 0.9);
	assert_near(telemetry_quantile_ms(h, 0.99), 0.98);
}

static void quantiles_never_fall(void **state)
{
	__u64 h[SHIFT_HISTOGRAM] = {0};
	double last = 0;

	(void)state;
	for (int i = 0; i <= SHIFT_HISTOGRAM_STEPS; i++)
		h[i] = (uint64_t)(i * 7919) % 101;
	for (int q = 0; q <= 1000; q++) {
		double ms = telemetry_quantile_ms(h, q / 1000.0);

		assert_true(ms >= last);
		last = ms;
	}
}

static void beyond_the_last_edge_is_told_as_that_edge(void **state)
{
	__u64 h[SHIFT_HISTOGRAM] = {0};

	(void)state;
	h[SHIFT_HISTOGRAM_STEPS] = 1;
	assert_int_equal(bucket_of(60000000000ull), SHIFT_HISTOGRAM_STEPS);
	assert_near(telemetry_quantile_ms(h, 0.5), TELEMETRY_OVERFLOW_MS);
	h[0] = 99;
	assert_true(telemetry_quantile_ms(h, 0.5) < 0.01);
	assert_near(telemetry_quantile_ms(h, 0.999), TELEMETRY_OVERFLOW_MS);
}

static void counts_beyond_32_bits_are_kept(void **state)
{
	__u64 h[SHIFT_HISTOGRAM] = {0};

	(void)state;
	h[0] = 3000000000000ull;
	h[SHIFT_HISTOGRAM_STEPS - 1] = 1000000000000ull;
	assert_true(telemetry_quantile_ms(h, 0.75) <= 0.01);
	assert_true(telemetry_quantile_ms(h, 0.76) > 8000);
}

static void cpu_lists(void **state)
{
	static const struct {
		const char *list;
		unsigned int count;
	} table[] = {
		{"0", 1},	{"0\n", 1},	   {"0-1\n", 2}, {"0-127\n", 128}, {"0,2-3\n", 3},
		{"1,3,5\n", 3}, {"0-3,8-11\n", 8}, {"", 0},	 {"\n", 0},	   {"-1", 0},
		{"0-", 0},	{"0,", 0},	   {"3-1", 0},	 {"0-1,1", 0},	   {"a", 0},
		{"0 1", 0},	{"0-99999999", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (telemetry_count_cpus(table[i].list) != table[i].count)
			fail_msg("'%s' is %u CPUs", table[i].list,
				 telemetry_count_cpus(table[i].list));
	}
}

/* HZ 250, windows of 256 jiffies: a tick is 64 ms, a window 16 ticks, 10 s are 156.25 ticks. */
#define HZ	     250
#define WINDOW_SHIFT 8

static void only_the_last_ten_seconds_count(void **state)
{
	struct shift_if_stats s = {0};
	uint32_t now = 1000 * 16; /* window 1000 has just begun: 9.765625 older ones are wanted */

	(void)state;
	for (uint32_t age = 0; age < SHIFT_WINDOWS; age++) {
		s.window[(1000 - age) % SHIFT_WINDOWS] = 1000 - age;
		s.before[(1000 - age) % SHIFT_WINDOWS] = 0u - (age + 1) * 100;
	}
	/* This window's, nine whole ones, and 0.765625 of the tenth. */
	assert_near(telemetry_window_packets(&s, WINDOW_SHIFT, HZ, now), 100 + 900 + 76.5625);
	/* At its end one whole window less is wanted: 8.828125 of them with 15 of 16 ticks gone. */
	assert_near(telemetry_window_packets(&s, WINDOW_SHIFT, HZ, now + 15), 100 + 800 + 82.8125);
}

static void an_idle_interface_comes_to_nothing(void **state)
{
	struct shift_if_stats s = {0};

	(void)state;
	s.window[8] = 1000;
	s.before[8] = 10000;
	s.verdict[SHIFT_PASS_OTHER] = 14000;
	s.verdict[SHIFT_FORWARD] = 211;
	assert_near(telemetry_window_packets(&s, WINDOW_SHIFT, HZ, 1000 * 16), 4211);
	assert_near(telemetry_window_packets(&s, WINDOW_SHIFT, HZ, 1009 * 16), 4211);
	assert_near(telemetry_window_packets(&s, WINDOW_SHIFT, HZ, 1011 * 16), 0);
	assert_near(telemetry_window_packets(&s, WINDOW_SHIFT, HZ, 100000 * 16), 0);
}

static void the_kernel_may_be_a_window_ahead(void **state)
{
	struct shift_if_stats s = {0};

	(void)state;
	s.window[9] = 1001;
	s.verdict[SHIFT_REPLY] = 7;
	assert_near(telemetry_window_packets(&s, WINDOW_SHIFT, HZ, 1001 * 16 - 1), 7);
}

/* The verdicts were copied, then a window began, then its beginning was. */
static void a_reading_torn_by_the_program_is_none(void **state)
{
	struct shift_if_stats s = {0};

	(void)state;
	s.window[8] = 1000;
	s.before[8] = 10100;
	s.verdict[SHIFT_FORWARD] = 10000;
	assert_near(telemetry_window_packets(&s, WINDOW_SHIFT, HZ, 1000 * 16), 0);
}

/* A tick has 32 bits, so it leaves 28 for the number of a window that the program counts in 32. */
static void windows_survive_the_wrap_of_ticks(void **state)
{
	struct shift_if_stats s = {0};

	(void)state;
	s.window[0] = 0x30000000; /* the window after the wrap of ticks */
	s.before[0] = 6;
	s.window[15] = 0x2fffffff;
	s.verdict[SHIFT_FORWARD] = 11;
	assert_near(telemetry_window_packets(&s, WINDOW_SHIFT, HZ, 3), 11);
}

/* ---- arms ---- */

static struct shift_arm cpus[3];

static void count(unsigned int cpu, uint64_t epoch, uint64_t begun, uint64_t failed)
{
	struct shift_answers *e = &cpus[cpu].epoch[epoch % SHIFT_EPOCHS];

	e->epoch = epoch;
	e->begun = begun;
	e->failed = failed;
	cpus[cpu].total.begun += begun;
	cpus[cpu].total.failed += failed;
}

/* One CPU has not seen the later epochs, another has not seen the earlier ones. */
static void epochs_of_all_cpus_meet_by_their_number(void **state)
{
	static const struct {
		uint64_t epoch, begun, failed;
	} want[SHIFT_EPOCHS] = {{21, 1, 0}, {20, 7, 2}, {13, 40, 0}, {12, 130, 4},
				{11, 5, 5}, {10, 6, 0}, {9, 2, 0},   {8, 3, 0}};
	struct telemetry_arm a;

	(void)state;
	memset(cpus, 0, sizeof(cpus));
	count(0, 12, 100, 4);
	count(0, 13, 40, 0);
	count(1, 12, 30, 0);
	count(1, 20, 7, 2); /* in the place of its epoch 12: that one's count there is gone */
	count(1, 21, 1, 0);
	count(2, 12, 30, 0);
	for (uint64_t epoch = 8; epoch < 12; epoch++)
		count(2, epoch,
		      epoch == 8    ? 3
		      : epoch == 9  ? 2
		      : epoch == 10 ? 6
				    : 5,
		      epoch == 11 ? 5 : 0);
	count(2, 7, 1, 1); /* a ninth: the oldest is left out */
	telemetry_add_up(cpus, 3, 0, &a);
	assert_int_equal(a.epochs, SHIFT_EPOCHS);
	for (unsigned int i = 0; i < SHIFT_EPOCHS; i++) {
		assert_int_equal(a.epoch[i].epoch, want[i].epoch);
		assert_int_equal(a.epoch[i].begun, want[i].begun);
		assert_int_equal(a.epoch[i].failed, want[i].failed);
	}
	assert_int_equal(a.total.failed, 12);
}

static void the_last_ten_seconds_are_told_by_when_it_began(void **state)
{
	uint64_t now = 1000;
	struct telemetry_arm a;

	(void)state;
	memset(cpus, 0, sizeof(cpus));
	for (uint64_t age = 0; age < SHIFT_COHORTS; age++) {
		struct shift_cohort *c = &cpus[age & 1].cohort[(now - age) % SHIFT_COHORTS];

		*c = (struct shift_cohort){.number = now - age, .begun = 100, .failed = 1};
	}
	cpus[2].cohort[1] = (struct shift_cohort){.number = now + 1, .begun = 9, .failed = 9};
	telemetry_add_up(cpus, 3, now << SHIFT_COHORT_SHIFT, &a);
	assert_int_equal(a.begun_10s, 1000);
	assert_int_equal(a.failed_10s, 10);
	telemetry_add_up(cpus, 3, (now + 8) << SHIFT_COHORT_SHIFT, &a);
	assert_int_equal(a.begun_10s, 209);
	telemetry_add_up(cpus, 3, (now + 100) << SHIFT_COHORT_SHIFT, &a);
	assert_int_equal(a.begun_10s, 0);
}

static void the_busiest_client_is_told_with_how_much_was_seen(void **state)
{
	static struct shift_origins o;
	struct telemetry_origin is;

	(void)state;
	telemetry_busiest(&o, &is);
	assert_int_equal(is.of, 0);
	assert_int_equal(is.n, 0);
	for (unsigned int i = 0; i < 300; i++)
		o.at[i * 5 % SHIFT_ORIGINS].client[1] = shift_be32(0xc6336400 + (i % 3 ? 7 : i));
	telemetry_busiest(&o, &is);
	assert_int_equal(is.of, 300);
	assert_int_equal(is.n, 200);
	assert_int_equal(is.bits, 128);
	assert_int_equal(is.address[1], 0);
	assert_int_equal(is.address[2], shift_be32(0xffff));
	assert_int_equal(is.address[3], shift_be32(0xc6336407));
	for (unsigned int i = 0; i < SHIFT_ORIGINS; i++)
		o.at[i] = (struct shift_origin){{shift_be32(0x20010db8), shift_be32(i % 4)}};
	o.at[0].client[1] = shift_be32(2);
	telemetry_busiest(&o, &is);
	assert_int_equal(is.of, SHIFT_ORIGINS);
	assert_int_equal(is.n, SHIFT_ORIGINS / 4 + 1);
	assert_int_equal(is.bits, 64);
	assert_int_equal(is.address[0], shift_be32(0x20010db8));
	assert_int_equal(is.address[1], shift_be32(2));
	assert_int_equal(is.address[2] | is.address[3], 0);
}

static void longer_than_an_edge_is_what_its_bucket_does_not_hold(void **state)
{
	__u64 histogram[SHIFT_HISTOGRAM] = {0};

	(void)state;
	for (int i = 0; i <= SHIFT_HISTOGRAM_STEPS; i++) {
		if (i < SHIFT_HISTOGRAM_STEPS && edges[i] <= 20000)
			continue;
		histogram[i] = 1;
	}
	assert_int_equal(telemetry_over_ms(histogram, 200), 18);
	assert_int_equal(telemetry_over_ms(histogram, 100), 18);
	assert_int_equal(telemetry_over_ms(histogram, 500), 14);
	assert_int_equal(telemetry_over_ms(histogram, 10000), 1);
}

/* A load test before the ramp is no source of the ramp's. */
static void who_came_before_a_ramp_is_forgotten_with_the_clients(void **state)
{
	static struct shift_origins o;
	struct telemetry_origin is;
	struct plane p;

	(void)state;
	if (geteuid())
		skip();
	memset(&p, 0, sizeof(p));
	for (int i = 0; i < PLANE_MAPS; i++)
		p.map[i] = -1;
	p.map[PLANE_SEEN] = bpfsys_create_array("seen", sizeof(struct shift_seen), 2, 0);
	p.map[PLANE_ORIGINS] = bpfsys_create_array("origins", sizeof(o), 2, 0);
	assert_true(p.map[PLANE_SEEN] >= 0 && p.map[PLANE_ORIGINS] >= 0);
	for (int i = 0; i < SHIFT_ORIGINS; i++)
		o.at[i].client[1] = shift_be32(0xc6336407);
	for (uint32_t service = 0; service < 2; service++)
		assert_int_equal(bpfsys_update(p.map[PLANE_ORIGINS], &service, &o), 0);
	assert_int_equal(telemetry_forget_clients(&p, 1), 0);
	assert_int_equal(telemetry_origin(&p, 1, &is), 0);
	assert_int_equal(is.of, 0);
	assert_int_equal(telemetry_origin(&p, 0, &is), 0);
	assert_int_equal(is.of, SHIFT_ORIGINS);
	close(p.map[PLANE_SEEN]);
	close(p.map[PLANE_ORIGINS]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(epochs_of_all_cpus_meet_by_their_number),
		cmocka_unit_test(the_last_ten_seconds_are_told_by_when_it_began),
		cmocka_unit_test(the_busiest_client_is_told_with_how_much_was_seen),
		cmocka_unit_test(longer_than_an_edge_is_what_its_bucket_does_not_hold),
		cmocka_unit_test(edges_ascend_and_are_as_many_as_promised),
		cmocka_unit_test(gate_limits_are_edges),
		cmocka_unit_test(empty_histogram_has_no_quantile),
		cmocka_unit_test(one_sample_lies_in_its_bucket),
		cmocka_unit_test(quantiles_are_interpolated_inside_a_bucket),
		cmocka_unit_test(quantiles_never_fall),
		cmocka_unit_test(beyond_the_last_edge_is_told_as_that_edge),
		cmocka_unit_test(counts_beyond_32_bits_are_kept),
		cmocka_unit_test(cpu_lists),
		cmocka_unit_test(only_the_last_ten_seconds_count),
		cmocka_unit_test(an_idle_interface_comes_to_nothing),
		cmocka_unit_test(the_kernel_may_be_a_window_ahead),
		cmocka_unit_test(a_reading_torn_by_the_program_is_none),
		cmocka_unit_test(windows_survive_the_wrap_of_ticks),
		cmocka_unit_test(who_came_before_a_ramp_is_forgotten_with_the_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
