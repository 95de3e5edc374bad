/* SPDX-License-Identifier: GPL-2.0-only */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dns/predict.h"
#include "dns/verdict.h"
#include "userspace/base/ip.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define S	 UINT64_C(1000000000)

/* ---- a small world: one authority that flips, and caches before it ---- */

static uint64_t seed;

static double dice(void) /* 0 … 1 */
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(seed >> 33) / (double)(1u << 31);
}

static const struct dns_wanted wanted = {
	.old = {{.family = 4, .ip = {0, 0, 0xffff0000, 0x010200c0}}},
	.fresh = {{.family = 4, .ip = {0, 0, 0xffff0000, 0x0a3364c6}}},
	.n_old = 1,
	.n_fresh = 1,
	.ask_a = true,
	.ttl = 3600, /* not what the authority says: what is seen counts */
};

struct cache {
	enum dns_cache kind;
	uint32_t least, most; /* floor, cap */
	bool late;	      /* forgets a second after it shows TTL 0, as unbound does */
	bool tells;	      /* serves stale with EDE 3 */
	bool has, fresh;
	uint64_t end; /* s */
	bool renew;   /* stale: the answer that was asked for is there at the next question */
};

struct world {
	uint32_t ttl;
	uint64_t flip;
	uint64_t now;
};

static struct dns_sample answer(const struct world *w, bool fresh, uint32_t ttl)
{
	struct dns_sample p = {.at = w->now,
			       .type = DNS_A,
			       .outcome = DNS_ANSWERED,
			       .ede = -1,
			       .ttl = ttl,
			       .n_addresses = 1};

	p.value = fresh ? DNS_VALUE_NEW : DNS_VALUE_OLD;
	p.address[0] = fresh ? wanted.fresh[0] : wanted.old[0];
	return p;
}

static struct dns_sample ask_authority(const struct world *w)
{
	struct dns_sample p = answer(w, w->now >= w->flip, w->ttl);

	p.aa = true;
	return p;
}

static void fetch(struct cache *c, const struct world *w)
{
	uint32_t ttl = w->ttl;

	ttl = c->most && ttl > c->most ? c->most : ttl;
	ttl = ttl < c->least ? c->least : ttl;
	c->has = true;
	c->fresh = w->now >= w->flip;
	c->end = w->now / S + ttl;
}

static struct dns_sample ask_cache(struct cache *c, const struct world *w)
{
	uint64_t s = w->now / S;
	struct dns_sample p;
	bool gone;

	if (c->kind == DNS_CACHE_NONE)
		return ask_authority(w);
	gone = c->has && (c->late ? s > c->end : s >= c->end);
	if (gone && c->kind == DNS_CACHE_STALE) {
		/* The old one for this question, and the authority's for the next. */
		p = answer(w, c->fresh, 30);
		p.ede = c->tells ? 3 : -1;
		fetch(c, w);
		return p;
	}
	if (!c->has || gone)
		fetch(c, w);
	p = answer(w, c->fresh, c->kind == DNS_CACHE_ORIGINAL ? w->ttl : (uint32_t)(c->end - s));
	if (c->kind == DNS_CACHE_PREFETCH && c->end - s <= w->ttl / 10)
		fetch(c, w);
	return p;
}

struct run {
	struct dns_source source[2]; /* the authority, the cache */
	struct world world;
	struct cache cache;
	struct dns_cache_seen before; /* as seen at the flip */
	struct dns_prediction predicted;
};

static void poll(struct run *r, uint64_t until, double interval)
{
	while (r->world.now < until) {
		struct dns_sample a = ask_authority(&r->world), p;

		dns_source_add(&r->source[0], &a);
		r->world.now += (uint64_t)(dice() * 0.03 * (double)S);
		p = ask_cache(&r->cache, &r->world);
		dns_source_add(&r->source[1], &p);
		r->world.now += (uint64_t)(interval * (0.8 + 0.4 * dice()) * (double)S);
	}
}

static void begin(struct run *r, const struct cache *c, uint32_t ttl, unsigned int from)
{
	memset(r, 0, sizeof(*r));
	seed = from;
	r->cache = *c;
	r->source[1].kind = DNS_RESOLVER;
	r->world.ttl = ttl;
	r->world.now = 5000 * S + (uint64_t)(dice() * (double)S);
	r->world.flip = UINT64_MAX;
}

/* Watched for three lives, then flipped; and watched until well after the end. */
static void flip(struct run *r, const struct cache *c, uint32_t ttl, unsigned int from,
		 double interval)
{
	double life = c->least > ttl ? c->least : ttl;

	begin(r, c, ttl, from);
	poll(r, r->world.now + (uint64_t)((3 + dice()) * life * (double)S), interval);
	dns_classify(&r->source[1], ttl, &r->before);
	dns_predict(r->source, 2, &wanted, r->world.now, &r->predicted);
	assert_false(r->predicted.known);
	assert_string_equal(r->predicted.why, "1 authority still gives the old value");
	r->world.flip = r->world.now;
	poll(r, r->world.now + 2 * (uint64_t)(interval * (double)S), interval);
	dns_predict(r->source, 2, &wanted, r->world.now, &r->predicted);
	poll(r, r->world.flip + (uint64_t)((life + 4) * (double)S), interval);
}

#define RUNS 100

static const struct {
	const char *name;
	struct cache cache;
	uint32_t ttl;
	double interval, bound;
} caches[] = {
	{"counts down", {.kind = DNS_CACHE_COUNTS}, 20, 0.9, NAN},
	{"counts down, to below 0", {.kind = DNS_CACHE_COUNTS, .late = true}, 20, 0.9, NAN},
	{"counts down slowly", {.kind = DNS_CACHE_COUNTS}, 60, 2.7, NAN},
	{"minimum", {.kind = DNS_CACHE_FLOOR, .least = 45}, 10, 2.5, 45},
	{"maximum", {.kind = DNS_CACHE_CAP, .most = 15}, 60, 1.7, 15},
	{"maximum, seldom asked", {.kind = DNS_CACHE_CAP, .most = 5}, 60, 6, 5},
	{"original", {.kind = DNS_CACHE_ORIGINAL}, 20, 0.9, NAN},
	{"stale", {.kind = DNS_CACHE_STALE, .tells = true, .late = true}, 20, 0.9, NAN},
	{"stale, and does not say so", {.kind = DNS_CACHE_STALE, .late = true}, 20, 0.9, NAN},
	{"stale, longer TTL", {.kind = DNS_CACHE_STALE}, 60, 2.7, NAN},
	{"prefetches", {.kind = DNS_CACHE_PREFETCH}, 60, 2.7, NAN},
	{"forwards", {.kind = DNS_CACHE_NONE}, 20, 0.9, NAN},
};

static void every_kind_of_cache_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(caches); i++) {
		for (unsigned int from = 1; from <= RUNS; from++) {
			struct run *r = malloc(sizeof(*r));

			assert_non_null(r);
			flip(r, &caches[i].cache, caches[i].ttl, from, caches[i].interval);
			if (r->before.kind != caches[i].cache.kind)
				fail_msg("%s, seed %u: %s: %s", caches[i].name, from,
					 dns_caches[r->before.kind], r->before.why);
			if (!isnan(caches[i].bound) &&
			    fabs(r->before.bound_s - caches[i].bound) > 1)
				fail_msg("%s, seed %u: bound %g", caches[i].name, from,
					 r->before.bound_s);
			free(r);
		}
	}
}

/* A look now and then from before, as a cron job's, and then a watch. */
static void a_look_after_a_long_time_hides_no_maximum(void **state)
{
	static const struct cache cap = {.kind = DNS_CACHE_CAP, .most = 3, .late = true};
	static const struct cache counts = {.kind = DNS_CACHE_COUNTS, .late = true};

	(void)state;
	for (unsigned int from = 1; from <= RUNS; from++) {
		const struct cache *each[] = {&cap, &counts};

		for (size_t i = 0; i < COUNT(each); i++) {
			struct run *r = malloc(sizeof(*r));

			assert_non_null(r);
			begin(r, each[i], 6, from);
			poll(r, r->world.now + 30 * S, 8);
			poll(r, r->world.now + 20 * S, 0.9);
			dns_classify(&r->source[1], 6, &r->before);
			if (r->before.kind != each[i]->kind)
				fail_msg("seed %u: %s: %s", from, dns_caches[r->before.kind],
					 r->before.why);
			free(r);
		}
	}
}

static void the_same_ttl_at_each_of_a_few_looks_proves_nothing(void **state)
{
	static const struct cache counts = {.kind = DNS_CACHE_COUNTS};

	(void)state;
	for (unsigned int from = 1; from <= RUNS; from++) {
		struct run *r = malloc(sizeof(*r));

		assert_non_null(r);
		begin(r, &counts, 6, from);
		poll(r, r->world.now + 60 * S, 9); /* it has ended each time */
		dns_classify(&r->source[1], 6, &r->before);
		if (r->before.kind == DNS_CACHE_ORIGINAL)
			fail_msg("seed %u: %s", from, r->before.why);
		free(r);
	}
}

/* Of the caches that show when they end: how far off is the end that was told at the flip? */
static void ends_are_foretold_to_a_second(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(caches); i++) {
		double worst = 0, sum = 0;
		unsigned int n = 0;

		if (caches[i].cache.kind == DNS_CACHE_ORIGINAL ||
		    caches[i].cache.kind == DNS_CACHE_NONE ||
		    caches[i].cache.kind == DNS_CACHE_PREFETCH)
			continue;
		for (unsigned int from = 1; from <= RUNS; from++) {
			struct run *r = malloc(sizeof(*r));
			double error, blur;

			assert_non_null(r);
			flip(r, &caches[i].cache, caches[i].ttl, from, 0.4);
			/* One that was about to ask anew did so before the flip was seen. */
			if (r->before.expires < r->world.flip + S ||
			    !dns_score(&r->source[1], r->before.expires, &error, &blur)) {
				free(r);
				continue;
			}
			worst = fmax(worst, fabs(error));
			sum += fabs(error);
			n++;
			free(r);
		}
		print_message("%s: %u runs, error %.2f s in the mean, %.2f at most\n",
			      caches[i].name, n, sum / n, worst);
		assert_in_range(n, RUNS / 2, RUNS);
		if (caches[i].cache.kind == DNS_CACHE_STALE)
			assert_true(worst <= 2); /* the stale answer itself comes after the end */
		else
			assert_true(worst <= 1);
	}
}

/* No cache of those that were looked at keeps the old value for longer than the prediction. */
static void no_cache_outlives_the_prediction(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(caches); i++) {
		for (unsigned int from = 1; from <= RUNS; from++) {
			struct run *r = malloc(sizeof(*r));
			double error, blur;

			assert_non_null(r);
			flip(r, &caches[i].cache, caches[i].ttl, from, caches[i].interval);
			assert_true(r->predicted.known);
			assert_true(r->predicted.early <= r->predicted.at);
			assert_true(r->predicted.at <= r->predicted.late);
			assert_true(dns_score(&r->source[1], r->predicted.at, &error, &blur));
			if (error > 1 + blur && caches[i].cache.kind != DNS_CACHE_STALE)
				fail_msg("%s, seed %u: %.2f s late", caches[i].name, from, error);
			assert_true(dns_score(&r->source[1], r->predicted.late, &error, &blur));
			if (error > blur && caches[i].cache.kind != DNS_CACHE_STALE)
				fail_msg("%s, seed %u: %.2f s after the interval", caches[i].name,
					 from, error);
			free(r);
		}
	}
}

/* A cache that asks at the very last moment is what T is about. */
static void the_last_moment_is_counted(void **state)
{
	double worst = 0;

	(void)state;
	for (unsigned int from = 1; from <= RUNS; from++) {
		struct run *r = malloc(sizeof(*r));
		struct cache c = {.kind = DNS_CACHE_COUNTS, .late = from % 2};
		double end;

		assert_non_null(r);
		begin(r, &c, 30, from);
		poll(r, r->world.now + 20 * S, 0.3);
		r->world.flip = r->world.now;
		/* Somebody else's, which nobody polls. */
		memset(&c, 0, sizeof(c));
		c.kind = DNS_CACHE_COUNTS;
		r->world.now--;
		fetch(&c, &r->world);
		assert_false(c.fresh);
		r->world.now++;
		poll(r, r->world.now + 3 * S, 0.3);
		dns_predict(r->source, 2, &wanted, r->world.now, &r->predicted);
		assert_true(r->predicted.known);
		end = (double)c.end + 0.5;
		worst = fmax(worst, fabs((double)r->predicted.at / (double)S - end));
		assert_true((double)r->predicted.late / (double)S >= (double)c.end);
		free(r);
	}
	print_message("the last expiry: error %.2f s at most\n", worst);
	assert_true(worst <= 1);
}

static void a_lowered_ttl_is_waited_for_at_its_old_length(void **state)
{
	struct dns_source s = {.kind = DNS_AUTHORITY};
	struct dns_prediction p;
	struct world w = {.ttl = 600, .flip = UINT64_MAX, .now = 1000 * S};
	struct dns_sample a = ask_authority(&w);

	(void)state;
	dns_source_add(&s, &a);
	w.ttl = 60;
	w.now = 1100 * S;
	a = ask_authority(&w);
	dns_source_add(&s, &a);
	w.flip = w.now = 1101 * S;
	a = ask_authority(&w);
	dns_source_add(&s, &a);
	dns_predict(&s, 1, &wanted, w.now, &p);
	assert_true(p.known);
	assert_int_equal(p.last_old, 1100 * S);
	assert_int_equal(p.at, 1600 * S);
}

static void what_is_not_known_is_said(void **state)
{
	struct dns_source s[3] = {{.kind = DNS_AUTHORITY}, {.kind = DNS_AUTHORITY}};
	struct dns_prediction p;
	struct world w = {.ttl = 60, .flip = 2000 * S, .now = 1000 * S};
	struct dns_sample a;

	(void)state;
	s[2].kind = DNS_RESOLVER;
	dns_predict(s, 3, &wanted, w.now, &p);
	assert_false(p.known);
	assert_string_equal(p.why, "no authority gives the new value");
	for (int i = 0; i < 2; i++) {
		a = ask_authority(&w);
		dns_source_add(&s[i], &a);
	}
	dns_predict(s, 3, &wanted, w.now, &p);
	assert_string_equal(p.why, "2 authorities still give the old value");
	w.now = 2000 * S;
	a = ask_authority(&w);
	dns_source_add(&s[0], &a);
	a.outcome = DNS_TIMEOUT;
	a.n_addresses = 0;
	a.value = DNS_VALUE_NONE;
	dns_source_add(&s[1], &a);
	dns_predict(s, 3, &wanted, w.now, &p);
	assert_false(p.known);
	assert_string_equal(p.why, "1 authority gave the old value last and does not answer now");
	w.now = 2010 * S;
	a = ask_authority(&w);
	dns_source_add(&s[1], &a);
	dns_predict(s, 3, &wanted, w.now, &p);
	assert_true(p.known);
	assert_int_equal(p.at, 1060 * S);
	/* Its old answer is the last that anybody saw; it may have given more until 2010. */
	assert_int_equal(p.late, 2071 * S);
}

static void a_flip_before_the_first_look_ends_with_the_caches(void **state)
{
	struct dns_source s[2] = {{.kind = DNS_AUTHORITY}, {.kind = DNS_RESOLVER}};
	struct dns_prediction p;
	struct world w = {.ttl = 60, .flip = 0, .now = 1000 * S};
	struct dns_sample a = ask_authority(&w);

	(void)state;
	dns_source_add(&s[0], &a);
	a = answer(&w, false, 17);
	dns_source_add(&s[1], &a);
	dns_predict(s, 2, &wanted, w.now, &p);
	assert_true(p.known);
	assert_int_equal(p.at, 1017 * S);
	assert_int_equal(p.slowest, 1);
	/* No old answer of an authority was seen: the configured TTL bounds it. */
	assert_int_equal(p.late, 4601 * S);
}

static void several_caches_behind_one_address_are_not_taken_for_one(void **state)
{
	struct dns_source s = {.kind = DNS_RESOLVER};
	struct world w = {.ttl = 60, .flip = UINT64_MAX, .now = 1000 * S};
	struct dns_cache_seen seen;

	(void)state;
	for (unsigned int i = 0; i < 12; i++) {
		struct dns_sample p = answer(&w, false, (i % 2 ? 50 : 20) - i);

		dns_source_add(&s, &p);
		w.now += S;
	}
	dns_classify(&s, 60, &seen);
	assert_int_equal(seen.kind, DNS_CACHE_UNKNOWN);
	assert_string_equal(seen.why, "several caches answer behind this address");
	/* With NSIDs they are told apart. */
	for (unsigned int i = 0; i < 12; i++)
		s.sample[i].place = 7 + i % 2;
	dns_classify(&s, 60, &seen);
	assert_int_equal(seen.kind, DNS_CACHE_COUNTS);
	assert_true(fabs((double)seen.expires / (double)S - 1050) <= 1);
}

static void an_old_long_ttl_is_no_minimum(void **state)
{
	struct dns_source s = {.kind = DNS_RESOLVER};
	struct world w = {.ttl = 60, .flip = UINT64_MAX, .now = 1000 * S};
	struct dns_cache_seen seen;

	(void)state;
	for (unsigned int i = 0; i < 12; i++) {
		struct dns_sample p = answer(&w, false, 1000 - i);

		dns_source_add(&s, &p);
		w.now += S;
	}
	dns_classify(&s, 60, &seen);
	assert_int_equal(seen.kind, DNS_CACHE_UNKNOWN);
	assert_non_null(strstr(seen.why, "from before the TTL was lowered"));
	assert_true(fabs((double)seen.expires / (double)S - 2000) <= 1);
}

/* 64 samples are kept, and what the prediction stands on with them. */
static void the_last_old_answer_is_never_dropped(void **state)
{
	struct dns_source *s = calloc(1, sizeof(*s));
	struct world w = {.ttl = 600, .flip = 1010 * S, .now = 1000 * S};
	struct dns_prediction p;

	(void)state;
	assert_non_null(s);
	for (unsigned int i = 0; i < 500; i++, w.now += S) {
		struct dns_sample a = ask_authority(&w);

		dns_source_add(s, &a);
	}
	assert_int_equal(s->n_samples, DNS_MAX_SAMPLES);
	for (unsigned int i = 1; i < s->n_samples; i++)
		assert_true(s->sample[i - 1].at < s->sample[i].at);
	dns_predict(s, 1, &wanted, w.now, &p);
	assert_true(p.known);
	assert_int_equal(p.last_old, 1009 * S);
	assert_int_equal(p.at, 1609 * S);
	assert_int_equal(p.late, 1611 * S);
	free(s);
}

/* Whatever comes: numbers stay within their bounds, and the order early, at, late holds. */
static void anything_at_all_is_survived(void **state)
{
	static const uint32_t ttls[] = {0, 1, 20, 30, 60, 3600, DNS_TTL_MAX};
	struct dns_source *s = calloc(3, sizeof(*s));
	struct dns_prediction p;
	struct dns_cache_seen seen;
	struct dns_said said;
	unsigned int known = 0, kinds[8] = {0};

	(void)state;
	assert_non_null(s);
	seed = 42;
	for (unsigned int run = 0; run < 3000; run++) {
		uint64_t now = 1 + (uint64_t)(dice() * 1e12);

		memset(s, 0, 3 * sizeof(*s));
		for (unsigned int i = 0; i < 3; i++) {
			unsigned int n = (unsigned int)(dice() * 80);

			s[i].kind = i ? DNS_RESOLVER : DNS_AUTHORITY;
			for (unsigned int k = 0; k < n; k++) {
				struct world w = {.now = now};
				struct dns_sample one =
					answer(&w, run % 2 ? dice() < 0.5 : k > n / 2,
					       ttls[(int)(dice() * COUNT(ttls))]);

				if (dice() < 0.5)
					one.ttl = (uint32_t)(dice() * 100);
				one.aa = dice() < 0.9;
				one.place = dice() < 0.3 ? (uint32_t)(dice() * 3) : 0;
				one.type = dice() < 0.8 ? DNS_A : DNS_AAAA;
				one.ede = dice() < 0.05 ? (int)(dice() * 30) : -1;
				if (dice() < 0.1)
					one.outcome = (enum dns_outcome)(dice() * (DNS_FAILED + 1));
				if (dice() < 0.1)
					one.rcode = (uint16_t)(dice() * 24);
				if (dice() < 0.1)
					one.value =
						(enum dns_value)(dice() * (DNS_VALUE_OTHER + 1));
				if (dice() < 0.05)
					one.n_addresses = 0;
				dns_source_add(&s[i], &one);
				now += dice() < 0.1 ? 0 : (uint64_t)(dice() * 5 * (double)S);
			}
			dns_classify(&s[i], 60, &seen);
			assert_in_range(seen.kind, DNS_CACHE_UNKNOWN, DNS_CACHE_NONE);
			assert_true(s[i].n_samples == 0 || seen.why[0]);
			kinds[seen.kind]++;
			dns_judge(&s[i], &wanted, now, NULL, run % 3 ? now / 2 : 0, &said);
			assert_true(isnan(said.share_new) ||
				    (said.share_new >= 0 && said.share_new <= 1));
			assert_true(said.ttl_left_s >= -1 && said.ttl_left_s <= DNS_TTL_MAX);
			assert_true(said.samples <= s[i].n_samples);
			assert_true((said.samples == 0) == (said.caches == 0));
			assert_true(said.verdict <= DNS_SAYS_NEW || said.why[0]);
		}
		dns_predict(s, 3, &wanted, now, &p);
		known += p.known;
		assert_true(p.known || p.why[0]);
		assert_true(!p.known || (p.early <= p.at && p.at <= p.late));
		assert_true(p.slowest < 3);
	}
	print_message("%u of 3000 predicted; kinds:", known);
	for (unsigned int k = 0; k < 8; k++)
		print_message(" %s %u%s", dns_caches[k], kinds[k], k < 7 ? "," : "\n");
	assert_true(known > 300);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_cache_is_named),
		cmocka_unit_test(a_look_after_a_long_time_hides_no_maximum),
		cmocka_unit_test(the_same_ttl_at_each_of_a_few_looks_proves_nothing),
		cmocka_unit_test(ends_are_foretold_to_a_second),
		cmocka_unit_test(no_cache_outlives_the_prediction),
		cmocka_unit_test(the_last_moment_is_counted),
		cmocka_unit_test(a_lowered_ttl_is_waited_for_at_its_old_length),
		cmocka_unit_test(what_is_not_known_is_said),
		cmocka_unit_test(a_flip_before_the_first_look_ends_with_the_caches),
		cmocka_unit_test(several_caches_behind_one_address_are_not_taken_for_one),
		cmocka_unit_test(an_old_long_ttl_is_no_minimum),
		cmocka_unit_test(the_last_old_answer_is_never_dropped),
		cmocka_unit_test(anything_at_all_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
