/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include "dns/store.h"
#include "tests/unit/dns_survey_rig.h"
#include "userspace/base/whole.h"

/* ---- what is kept ---- */

static void the_last_old_answer_outlasts_an_hour_of_new_ones(void **state)
{
	struct dns_source *s = calloc(1, sizeof(*s));
	unsigned int last_old = 0, first_new = 0;

	(void)state;
	for (unsigned int i = 0; i < 3600; i++) {
		struct dns_sample p =
			sample((1000 + i) * S, i < 100 ? DNS_VALUE_OLD : DNS_VALUE_NEW, 60);

		survey_keep(s, &p);
	}
	assert_int_equal(s->n_samples, DNS_MAX_SAMPLES);
	for (unsigned int i = 0; i < s->n_samples; i++) {
		last_old += s->sample[i].at == 1099 * S;
		first_new += s->sample[i].at == 1100 * S;
		assert_true(!i || s->sample[i].at > s->sample[i - 1].at);
	}
	assert_int_equal(last_old, 1);
	assert_int_equal(first_new, 1);
	assert_int_equal(s->sample[s->n_samples - 1].at, 4599 * S);
	free(s);
}

static void every_renewal_of_a_cache_stays(void **state)
{
	struct dns_source *s = calloc(1, sizeof(*s));
	struct dns_cache_seen seen;
	unsigned int begins = 0;

	(void)state;
	/* Three answers a second of a cache that keeps for 20 s what the authority gives 10. */
	for (unsigned int i = 0; i < 600; i++) {
		uint64_t at = 1000 * S + i * S / 3;
		struct dns_sample p = sample(at, DNS_VALUE_OLD, 20 - i / 3 % 20);

		p.aa = false;
		survey_keep(s, &p);
	}
	for (unsigned int i = 0; i < s->n_samples; i++)
		begins += s->sample[i].ttl == 20 && (!i || s->sample[i - 1].ttl < 20);
	assert_int_equal(begins, 10);
	dns_classify(s, 10, &seen);
	assert_int_equal(seen.kind, DNS_CACHE_FLOOR);
	assert_true(fabs(seen.bound_s - 20) < 1.5);
	free(s);
}

static void looks_of_a_cron_job_do_not_make_a_cache_odd(void **state)
{
	struct dns_source *s = calloc(1, sizeof(*s));
	struct dns_cache_seen seen;

	(void)state;
	/* Each minute the question itself loads what is kept for a minute. */
	for (unsigned int i = 0; i < 90; i++) {
		struct dns_sample p = sample((1000 + i / 3 * 61) * S, DNS_VALUE_OLD, 60);

		p.aa = false;
		survey_keep(s, &p);
	}
	dns_classify(s, 60, &seen);
	assert_int_not_equal(seen.kind, DNS_CACHE_ORIGINAL);
	free(s);
}

static void thinning_leaves_as_many_as_asked_for(void **state)
{
	struct dns_source *s = calloc(1, sizeof(*s));

	(void)state;
	for (unsigned int i = 0; i < 60; i++) {
		struct dns_sample p =
			sample((1000 + i) * S, i % 2 ? DNS_VALUE_OLD : DNS_VALUE_NEW, 60);

		survey_keep(s, &p);
	}
	survey_thin(s, 10); /* nothing is needless here: the oldest go */
	assert_int_equal(s->n_samples, 10);
	assert_int_equal(s->sample[0].at, 1050 * S);
	assert_int_equal(s->sample[9].at, 1059 * S);
	free(s);
}

/* ---- kept between runs ---- */

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/dns-store-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char path[96];

	(void)state;
	snprintf(path, sizeof(path), "%s/deep/seen.json", folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s/deep", folder);
	rmdir(path);
	return rmdir(folder);
}

static void what_was_seen_is_there_in_the_next_run(void **state)
{
	struct dns_store *st;
	uint64_t now = loop_now();
	struct dns_sample p;
	struct dns_judged j;
	bool damaged;
	char dir[80];
	struct rig r;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/deep", folder);
	rig_begin(&r);
	r.conf.authorities[r.conf.n_authorities++] = server("192.0.2.1", 53);
	r.conf.resolvers[r.conf.n_resolvers++] = server("192.0.2.2", 53);
	rig_make(&r);
	p = sample(now - 30 * S, DNS_VALUE_OLD, 60);
	p.place = 0xfedcba98;
	p.ede = 3;
	survey_keep(&r.s->source[0], &p);
	p = sample(now - 5 * S, DNS_VALUE_NEW, 60);
	survey_keep(&r.s->source[0], &p);
	assert_int_equal(dns_store_open(dir, r.s->name, &r.wanted, &st, &damaged), 0);
	assert_false(damaged);
	assert_int_equal(dns_store_give(st, r.s), 0);
	assert_int_equal(dns_store_take(st, r.s), 0);
	assert_int_equal(dns_store_save(st, dir), 0);
	dns_store_free(st);
	dns_survey_free(r.s);

	rig_make(&r);
	assert_int_equal(dns_store_open(dir, r.s->name, &r.wanted, &st, &damaged), 0);
	assert_int_equal(dns_store_give(st, r.s), 2);
	assert_int_equal(r.s->source[0].n_samples, 2);
	assert_int_equal(r.s->source[1].n_samples, 0);
	assert_int_equal(r.s->source[0].sample[0].value, DNS_VALUE_OLD);
	assert_int_equal(r.s->source[0].sample[0].ttl, 60);
	assert_int_equal(r.s->source[0].sample[0].place, 0xfedcba98);
	assert_true(r.s->source[0].sample[0].aa);
	assert_int_equal(r.s->source[0].sample[0].ede, 3);
	assert_int_equal(r.s->source[0].sample[1].ede, -1);
	assert_true(llabs((long long)(r.s->source[0].sample[0].at - (now - 30 * S))) <
		    (long long)S / 20);
	/* And it predicts as if this process had seen it. */
	dns_survey_judge(r.s, loop_now(), &j);
	assert_true(r.s->prediction.known);
	assert_true(llabs((long long)(r.s->prediction.at - (now + 30 * S))) < (long long)S / 20);
	dns_store_free(st);
	/* Another name, or other addresses: nothing of it means anything. */
	assert_int_equal(dns_store_open(dir, "www.example.test.", &r.wanted, &st, &damaged), 0);
	assert_false(damaged);
	assert_int_equal(dns_store_give(st, r.s), 0);
	dns_store_free(st);
	r.wanted.old[0] = address("203.0.113.11");
	assert_int_equal(dns_store_open(dir, r.s->name, &r.wanted, &st, &damaged), 0);
	assert_int_equal(dns_store_give(st, r.s), 0);
	dns_store_free(st);
	rig_end(&r);
}

static void a_damaged_file_is_begun_anew(void **state)
{
#define HEAD                                                                                       \
	"{\"schema\":1,\"about\":{\"name\":\"api.example.test.\",\"old\":[\"203.0.113.10\"],"      \
	"\"new\":[\"198.51.100.3\",\"198.51.100.4\"]},"
	static const char *const texts[] = {
		"", "{", "[]", "{\"schema\":1}",
		HEAD
		"\"sources\":[{\"source\":\"192.0.2.1:53\",\"authority\":true,\"transport\":"
		"\"udp\",\"samples\":[[1,99,0,0,1,true,10,0,1,-1],[1e12,1,0,0,1,true,10,0,1,-1],"
		"[1,1,77,0,1,true,10,0,1,-1],[\"x\"],7,[1,1,0,0,9,true,10,0,1,-1],"
		"[1,1,0,0,1,true,-1,0,1,-1],[1,1,0,0,1,true,10,0,99,-1],"
		"[1,1,0,0,1,true,10,0,1,-2],[1,1,0,0,1,true,10,0,1,-1]]},3],"
		"\"arrived\":[[1,-5,0],3,{}],\"networks\":7,\"peak\":-1}"};
#undef HEAD
	struct dns_flows_point points[DNS_STORE_POINTS];
	struct dns_store *st;
	char dir[80], path[96];
	uint32_t begun;
	bool damaged;
	struct rig r;
	double at;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/deep", folder);
	snprintf(path, sizeof(path), "%s/seen.json", dir);
	rig_begin(&r);
	r.conf.authorities[r.conf.n_authorities++] = server("192.0.2.1", 53);
	rig_make(&r);
	for (size_t i = 0; i < COUNT(texts); i++) {
		assert_int_equal(whole_write(path, texts[i], strlen(texts[i]), 0600), 0);
		assert_int_equal(dns_store_open(dir, r.s->name, &r.wanted, &st, &damaged), 0);
		assert_int_equal(damaged, i < 3);
		/* The one sound sample of the last text. */
		assert_int_equal(dns_store_give(st, r.s), i == 4);
		assert_int_equal(dns_store_points(st, points), 0);
		assert_null(dns_store_networks(st, &at, &begun));
		assert_true(dns_store_peak(st) >= 0);
		dns_store_free(st);
	}
	rig_end(&r);
}

static void counts_of_connections_are_kept_as_long_as_asked(void **state)
{
	struct dns_flows_point points[DNS_STORE_POINTS];
	struct dns_store *st;
	bool damaged;
	struct rig r;

	(void)state;
	rig_begin(&r);
	assert_int_equal(dns_store_open("/nonexistent", "x.", &r.wanted, &st, &damaged), 0);
	assert_false(damaged);
	for (unsigned int i = 0; i < 1000; i++) {
		struct dns_flows_point p = {1000 + 60.0 * i, i < 500 ? i * 600 : 300000, 1};

		assert_int_equal(dns_store_point(st, &p, 600), 0);
	}
	/* The last ten minutes, and the point before them: from it the oldest stretch counts. */
	assert_int_equal(dns_store_points(st, points), 11);
	assert_true(points[0].at == 1000 + 60.0 * 989);
	assert_true(fabs(dns_store_peak(st) - 10) < 1e-9);
	for (unsigned int i = 0; i < 3000; i++) {
		struct dns_flows_point p = {100000 + i, 300000 + i, 1};

		assert_int_equal(dns_store_point(st, &p, 1e9), 0);
	}
	assert_true(dns_store_points(st, points) <= DNS_STORE_POINTS);
	assert_true(points[0].at == 1000 + 60.0 * 989); /* thinned, never cut */
	dns_store_free(st);
	loop_free(r.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_old_answer_outlasts_an_hour_of_new_ones),
		cmocka_unit_test(every_renewal_of_a_cache_stays),
		cmocka_unit_test(looks_of_a_cron_job_do_not_make_a_cache_odd),
		cmocka_unit_test(thinning_leaves_as_many_as_asked_for),
		cmocka_unit_test(what_was_seen_is_there_in_the_next_run),
		cmocka_unit_test(a_damaged_file_is_begun_anew),
		cmocka_unit_test(counts_of_connections_are_kept_as_long_as_asked),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
