/* SPDX-License-Identifier: GPL-2.0-only */
/* Keeping the share of all clients while DNS moves, simulated through a flip. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/share_keep.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define SECOND	 UINT64_C(1000000000)

static uint64_t seed = 7;

static double dice(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (double)(seed >> 11) / 9007199254740992.0;
}

/* Poisson, by the normal law where it is large. */
static unsigned int poisson(double mean)
{
	double p = exp(-mean), at = dice();
	unsigned int k = 0;

	if (mean > 50)
		return (unsigned int)fmax(0, lround(mean + sqrt(mean) * sqrt(-2 * log(1 - dice())) *
								   cos(2 * M_PI * dice())));
	for (double sum = p; at > sum && k < 1000; sum += p)
		p *= mean / ++k;
	return k;
}

/*
 * A flip at 100 s: 2,000 caches, each with its share of the clients, forget the old answer at times
 * of their own within a TTL. `asked` of them are asked, every `every` seconds.
 */
enum { CACHES = 2000, FLIP = 100, TTL = 60, END = FLIP + TTL + 60 };

struct sim {
	double forgets[CACHES], share[CACHES];
	double rate; /* of all clients, per s */
	double wave; /* of the rate: how far it swings about that within a minute */
	double step; /* s between two looks */
	unsigned int asked, every;
	bool flows, truth;
	/* found */
	double worst,
		sum; /* how far off the share of all was, while DNS alone was below the target */
	unsigned int turns, changes;
};

static void prepare(struct sim *s)
{
	double sum = 0;

	for (unsigned int i = 0; i < CACHES; i++) {
		s->forgets[i] = FLIP + dice() * TTL;
		sum += s->share[i] = 0.2 + 2 * dice() * dice();
	}
	for (unsigned int i = 0; i < CACHES; i++)
		s->share[i] /= sum;
}

static double truth_at(const struct sim *s, double now)
{
	double p = 0;

	for (unsigned int i = 0; i < CACHES; i++)
		p += s->forgets[i] <= now ? s->share[i] : 0;
	return p;
}

static double asked_at(const struct sim *s, double now)
{
	unsigned int k = 0;

	for (unsigned int i = 0; i < s->asked; i++)
		k += s->forgets[i] <= now;
	return k;
}

static void run(struct sim *s, uint16_t target)
{
	struct dns_fall fall = {0};
	struct dns_moved sweep = {NAN, 1}, flows = {NAN, 1}, moved;
	uint16_t weight = target;
	uint64_t count = 0;

	s->worst = s->sum = 0;
	s->turns = s->changes = 0;
	for (unsigned int turn = 1; turn * s->step < END; turn++) {
		double t = turn * s->step;
		uint64_t now = (uint64_t)((1000 + t) * 1e9);
		double p = truth_at(s, t), goal = target / 10000.0, off;
		int fresh;
		bool above;

		count += poisson(s->rate * (1 + s->wave * sin(t / 60.0 * 2 * M_PI)) * (1 - p) *
				 s->step);
		dns_fall_add(&fall, now, count, t < FLIP);
		if (s->flows)
			dns_fall_share(&fall, now, &flows);
		if (t < FLIP)
			sweep = (struct dns_moved){0, 0};
		else if (s->asked && fmod(t, s->every) < s->step / 2)
			dns_moved_of(asked_at(s, t), s->asked, &sweep);
		if (s->truth)
			moved = (struct dns_moved){p, 0};
		else if (t < FLIP)
			moved = sweep;
		else
			dns_moved_join(&sweep, &flows, &moved);
		if (p <= goal) { /* until then; as the second before left the weight */
			off = fabs(p + (1 - p) * weight / 10000.0 - goal);
			s->worst = fmax(s->worst, off);
			s->sum += t >= FLIP ? off : 0;
			s->turns += t >= FLIP;
		}
		fresh = dns_keep(target, weight, &moved, false, &above);
		if (fresh < 0)
			continue;
		assert_in_range(fresh, 0, 10000);
		weight = (uint16_t)fresh;
		s->changes++;
	}
}

static const uint16_t targets[] = {7500, 5000, 2500, 1000};

static void with_the_true_p_it_stays_within_a_point(void **state)
{
	struct sim *s = calloc(1, sizeof(*s));

	(void)state;
	s->truth = true;
	s->rate = 500;
	prepare(s);
	for (size_t i = 0; i < COUNT(targets); i++) {
		double twice_a_second;

		s->step = 0.5;
		run(s, targets[i]);
		twice_a_second = s->worst;
		s->step = 0.25;
		run(s, targets[i]);
		print_message("target %2.0f %%, true p: off by %.2f points at most in turns of a "
			      "quarter second, %.2f of half a second; %u changes\n",
			      targets[i] / 100.0, 100 * s->worst, 100 * twice_a_second, s->changes);
		/* What DNS moves between two turns is what is left. */
		assert_true(s->worst <= 0.01);
		assert_true(twice_a_second <= 0.02);
	}
	free(s);
}

static void with_what_is_measured_it_stays_near(void **state)
{
	static const struct {
		const char *what;
		double rate, wave;
		unsigned int asked;
		bool flows;
		double worst, mean;
	} rows[] = {
		{"500/s and 12 resolvers", 500, 0, 12, true, 0.15, 0.04},
		{"2,000/s and 12 resolvers", 2000, 0, 12, true, 0.15, 0.03},
		{"500/s that swing by a tenth, 12 resolvers", 500, 0.1, 12, true, 0.18, 0.045},
		{"100 resolvers, and nobody counts", 500, 0, 100, false, 0.20, 0.055},
	};
	struct sim *s = calloc(1, sizeof(*s));

	(void)state;
	for (size_t r = 0; r < COUNT(rows); r++) {
		s->rate = rows[r].rate;
		s->wave = rows[r].wave;
		s->asked = rows[r].asked;
		s->flows = rows[r].flows;
		s->every = 5;
		s->step = 0.5;
		for (size_t i = 0; i < COUNT(targets); i++) {
			double worst = 0, sum = 0;
			unsigned int turns = 0, changes = 0;

			for (unsigned int again = 0; again < 20; again++) {
				prepare(s);
				run(s, targets[i]);
				worst = fmax(worst, s->worst);
				sum += s->sum;
				turns += s->turns;
				changes += s->changes;
			}
			print_message("target %2.0f %%, %s: off by %.1f points on average, %.1f at "
				      "most, %.0f changes\n",
				      targets[i] / 100.0, rows[r].what, 100 * sum / turns,
				      100 * worst, changes / 20.0);
			assert_true(sum / turns <= rows[r].mean);
			assert_true(worst <= rows[r].worst);
		}
	}
	free(s);
}

static void noise_moves_nothing(void **state)
{
	struct dns_fall fall = {0};
	uint64_t count = 0;
	unsigned int changes = 0, above = 0;

	(void)state;
	for (unsigned int t = 1; t < 2000; t++) {
		struct dns_moved flows, sweep, moved;
		bool is_above;

		count += poisson(300);
		dns_fall_add(&fall, t * SECOND, count, t < 300);
		dns_fall_share(&fall, t * SECOND, &flows);
		dns_moved_of(0, 12, &sweep);
		dns_moved_join(&sweep, &flows, &moved);
		changes += t >= 300 && dns_keep(5000, 5000, &moved, false, &is_above) >= 0;
		above += t >= 300 && is_above;
	}
	print_message("%u of 1,700 seconds would have set another share\n", changes);
	assert_true(changes < 340);
	assert_int_equal(above, 0);
}

static void its_limits(void **state)
{
	struct dns_moved m = {0.6, 0.02}, none = {NAN, 1};
	struct dns_fall fall = {0};
	bool above;

	(void)state;
	assert_int_equal(dns_keep(5000, 2500, &m, false, &above), 0);
	assert_true(above);
	assert_int_equal(dns_keep(5000, 2500, &m, true, &above),
			 -1); /* never lowered after commit */
	assert_true(above);
	m.error = 0.06;
	dns_keep(5000, 2500, &m, false, &above);
	assert_false(above); /* it may well be less */
	assert_int_equal(dns_keep(5000, 2500, &none, false, &above), -1);
	assert_false(above);
	m = (struct dns_moved){0.2, 0};
	assert_int_equal(dns_keep(5000, 5000, &m, false, &above), 3750);
	assert_int_equal(dns_keep(10000, 9000, &m, true, &above), 10000);
	m = (struct dns_moved){0.2, 0.5};
	assert_int_equal(dns_keep(5000, 5000, &m, false, &above), -1);

	/* counters that begin anew, and nobody at all */
	for (unsigned int t = 1; t < 200; t++)
		dns_fall_add(&fall, t * SECOND, t * 100, true);
	dns_fall_share(&fall, 199 * SECOND, &m);
	assert_true(m.share < 0.01);
	dns_fall_add(&fall, 200 * SECOND, 5, false);
	dns_fall_share(&fall, 200 * SECOND, &m);
	assert_true(isnan(m.share));
	for (unsigned int t = 201; t < 400; t++)
		dns_fall_add(&fall, t * SECOND, 5, true);
	dns_fall_share(&fall, 399 * SECOND, &m);
	assert_true(isnan(m.share));
}

static void two_that_contradict_are_less_sure(void **state)
{
	struct dns_moved a = {0.2, 0.02}, b = {0.24, 0.02}, c = {0.8, 0.02}, none = {NAN, 1}, m;

	(void)state;
	assert_true(dns_moved_join(&a, &b, &m));
	assert_true(fabs(m.share - 0.22) < 1e-9 && m.error < 0.02);
	assert_false(dns_moved_join(&a, &c, &m));
	assert_true(m.error >= 0.2);
	assert_true(dns_moved_join(&a, &none, &m) && m.share == a.share);
	assert_true(dns_moved_join(&none, &none, &m) && isnan(m.share));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_the_true_p_it_stays_within_a_point),
		cmocka_unit_test(with_what_is_measured_it_stays_near),
		cmocka_unit_test(noise_moves_nothing),
		cmocka_unit_test(its_limits),
		cmocka_unit_test(two_that_contradict_are_less_sure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
