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

#include "dns/survey_own.h"
#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/base/whole.h"
#include "userspace/cmd/dns_report.h"
#include "userspace/cmd/dns_retire.h"
#include "userspace/cmd/dns_watch_show.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define S	 UINT64_C(1000000000)

/* ---- a survey whose answers are given ---- */

static struct dns_address address(const char *text)
{
	struct dns_address a = {0};
	uint16_t port = 0;

	assert_int_equal(ip_parse(text, a.ip, &port), 0);
	a.family = ip_family(a.ip);
	return a;
}

static struct conf_server server(const char *ip, enum conf_transport transport)
{
	struct conf_server c = {.transport = transport, .port = 53};
	uint16_t none = 0;

	assert_int_equal(ip_parse(ip, c.address.ip, &none), 0);
	c.address.family = ip_family(c.address.ip);
	snprintf(c.text, sizeof(c.text), "%s", ip);
	return c;
}

struct rig {
	struct loop *loop;
	struct config *config;
	struct dns_command d;
	struct dns_survey_settings set;
	struct dns_survey *s;
	struct dns_judged j;
	struct dns_report r;
};

/* Two authorities and three resolvers. */
static void begin(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	assert_int_equal(loop_make(&r->loop), 0);
	r->config = calloc(1, sizeof(*r->config));
	assert_non_null(r->config);
	r->d.config = r->config;
	r->config->dns.samples = 1;
	r->config->dns.authorities[0] = server("192.0.2.1", CONF_UDP);
	r->config->dns.authorities[1] = server("192.0.2.2", CONF_UDP);
	r->config->dns.n_authorities = 2;
	r->config->dns.resolvers[0] = server("192.0.2.11", CONF_UDP);
	r->config->dns.resolvers[1] = server("192.0.2.12", CONF_TCP);
	r->config->dns.resolvers[2] = server("2001:db8::13", CONF_UDP);
	r->config->dns.n_resolvers = 3;
	r->d.wanted.ask_a = true;
	r->d.wanted.ttl = 60;
	r->d.wanted.old[0] = address("203.0.113.10");
	r->d.wanted.n_old = 1;
	r->d.wanted.fresh[0] = address("198.51.100.3");
	r->d.wanted.fresh[1] = address("198.51.100.4");
	r->d.wanted.n_fresh = 2;
	r->set = (struct dns_survey_settings){
		.conf = &r->config->dns, .wanted = &r->d.wanted, .name = "api.example.test"};
	assert_int_equal(dns_survey_make(r->loop, &r->set, &r->s), 0);
}

static void finish(struct rig *r)
{
	dns_survey_free(r->s);
	loop_free(r->loop);
	free(r->config);
}

static struct dns_sample sample(const char *ip, uint32_t ttl)
{
	struct dns_sample p = {.type = DNS_A,
			       .outcome = DNS_ANSWERED,
			       .aa = true,
			       .ede = -1,
			       .ttl = ttl,
			       .polled = true,
			       .rtt = 2000000};

	p.n_addresses = 1;
	p.address[0] = address(ip);
	p.value = !strcmp(ip, "203.0.113.10") ? DNS_VALUE_OLD : DNS_VALUE_NEW;
	return p;
}

static void put(struct rig *r, unsigned int i, struct dns_sample p)
{
	struct survey_round *round = &r->s->own->round[i];

	p.at = loop_now();
	round->began = round->before = round->began ? round->began : r->s->own->made;
	survey_keep(&r->s->source[i], &p);
	if (!p.n_addresses)
		return;
	round->has_first = true;
	round->first = p.address[0];
	round->first_is_new = p.value == DNS_VALUE_NEW;
}

static void answer(struct rig *r, unsigned int i, const char *ip, uint32_t ttl)
{
	put(r, i, sample(ip, ttl));
}

static void lose(struct rig *r, unsigned int i, enum dns_outcome outcome)
{
	struct dns_sample p = {.type = DNS_A, .outcome = outcome, .ede = -1, .polled = true};

	put(r, i, p);
}

static void judge(struct rig *r, bool expect_new)
{
	r->r = (struct dns_report){
		.d = &r->d, .s = r->s, .j = &r->j, .expect_new = expect_new, .now = loop_now()};
	dns_survey_judge(r->s, r->r.now, &r->j);
	r->r.code = dns_survey_exit(r->s, &r->j, expect_new);
}

static char *line_of(const struct rig *r)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	dns_report_line(&r->r, to);
	fclose(to);
	return text;
}

/* ---- the line ---- */

static void the_line_says_how_many_have_the_new_value(void **state)
{
	struct rig r;
	char *line;

	(void)state;
	begin(&r);
	for (unsigned int i = 0; i < 4; i++)
		answer(&r, i, "198.51.100.3", 60);
	lose(&r, 4, DNS_NO_ROUTE); /* no IPv6 here: it does not count */
	judge(&r, true);
	assert_int_equal(r.r.code, 0);
	line = line_of(&r);
	assert_string_equal(
		line, "SHIFT DNS OK - api.example.test 4 of 4 sources new | share_new=1;;;0;1 "
		      "eta_s=0;;;0 as_expected=4;;;0;4 old=0;;;0 new=4;;;0 mixed=0;;;0 stale=0;;;0 "
		      "unreachable=1;;;0 lame=0;;;0 broken=0;;;0\n");
	free(line);
	finish(&r);
}

static void the_line_names_what_is_wrong_and_when_it_ends(void **state)
{
	struct dns_sample servfail = sample("198.51.100.3", 0);
	struct rig r;
	char *line;

	(void)state;
	begin(&r);
	answer(&r, 0, "198.51.100.3", 60);
	answer(&r, 1, "203.0.113.10", 60);
	answer(&r, 2, "203.0.113.10", 17);
	servfail.n_addresses = 0;
	servfail.value = DNS_VALUE_NONE;
	servfail.rcode = DNS_SERVFAIL;
	put(&r, 3, servfail);
	lose(&r, 4, DNS_TIMEOUT);
	judge(&r, true);
	assert_int_equal(r.r.code, 2);
	line = line_of(&r);
	assert_non_null(strstr(line, "SHIFT DNS CRITICAL - api.example.test 1 of 5 sources new"));
	assert_non_null(strstr(line, "the authorities disagree"));
	assert_non_null(strstr(line, "192.0.2.12 broken (SERVFAIL)"));
	assert_non_null(strstr(line, "2001:db8::13 unreachable (timed out)"));
	assert_non_null(strstr(line, "1 authority still gives the old value"));
	assert_non_null(strstr(line, " | share_new=0;;;0;1 eta_s=U;;;0 "));
	free(line);
	finish(&r);
}

static void the_same_answers_are_judged_by_what_is_expected(void **state)
{
	static const struct {
		const char *authority, *resolver;
		int expect_new, expect_old;
	} rows[] = {
		{"198.51.100.3", "198.51.100.4", 0, 2},
		{"203.0.113.10", "203.0.113.10", 2, 0},
		{"198.51.100.3", "203.0.113.10", 1, 1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct rig r;

		begin(&r);
		for (unsigned int k = 0; k < 5; k++)
			answer(&r, k, k < 2 ? rows[i].authority : rows[i].resolver, 60);
		judge(&r, true);
		assert_int_equal(r.r.code, rows[i].expect_new);
		judge(&r, false);
		assert_int_equal(r.r.code, rows[i].expect_old);
		finish(&r);
	}
}

/* ---- JSON ---- */

static void json_has_the_fields_that_are_relied_upon(void **state)
{
	static const char *const transports[] = {"udp", "udp", "udp", "tcp", "udp"};
	json_t *j, *list, *source;
	struct rig r;
	size_t i;

	(void)state;
	begin(&r);
	answer(&r, 0, "198.51.100.3", 60);
	answer(&r, 1, "198.51.100.3", 60);
	answer(&r, 2, "198.51.100.4", 42);
	answer(&r, 3, "203.0.113.10", 17);
	lose(&r, 4, DNS_TIMEOUT);
	judge(&r, true);
	j = dns_report_json(&r.r);
	assert_int_equal(json_integer_value(json_object_get(j, "schema")), 1);
	assert_string_equal(json_string_value(json_object_get(j, "name")), "api.example.test");
	assert_string_equal(json_string_value(json_object_get(j, "state")), "mixed");
	assert_true(fabs(json_real_value(json_object_get(j, "share_new")) - 0.5) < 1e-9);
	assert_true(json_real_value(json_object_get(j, "share_low")) > 0);
	assert_true(json_real_value(json_object_get(j, "share_high")) < 1);
	assert_true(json_is_integer(json_object_get(j, "eta_s")));
	assert_int_equal(json_integer_value(json_object_get(j, "eta_s")), 17);
	list = json_object_get(j, "sources");
	assert_int_equal(json_array_size(list), 5);
	json_array_foreach (list, i, source) {
		assert_string_equal(json_string_value(json_object_get(source, "kind")),
				    i < 2 ? "authority" : "resolver");
		assert_string_equal(json_string_value(json_object_get(source, "transport")),
				    transports[i]);
	}
	source = json_array_get(list, 2);
	assert_string_equal(json_string_value(json_object_get(source, "source")), "192.0.2.11");
	assert_string_equal(json_string_value(json_object_get(source, "verdict")), "new");
	assert_int_equal(json_integer_value(json_object_get(source, "ttl_left_s")), 42);
	assert_string_equal(json_string_value(json_object_get(source, "first_address")),
			    "198.51.100.4");
	assert_true(json_is_true(json_object_get(source, "correct")));
	source = json_array_get(list, 3);
	assert_string_equal(json_string_value(json_object_get(source, "verdict")), "old");
	assert_true(json_is_false(json_object_get(source, "correct")));
	/* What is not known is null, never 0. */
	source = json_array_get(list, 4);
	assert_string_equal(json_string_value(json_object_get(source, "verdict")), "unreachable");
	assert_true(json_is_null(json_object_get(source, "ttl_left_s")));
	assert_true(json_is_null(json_object_get(source, "first_address")));
	assert_true(json_is_null(json_object_get(source, "correct")));
	assert_true(json_is_null(json_object_get(source, "share_new")));
	json_decref(j);
	finish(&r);
}

static void nothing_that_answers_is_unknown_with_nulls(void **state)
{
	struct rig r;
	json_t *j;

	(void)state;
	begin(&r);
	r.s->n = r.s->n_authorities = 0; /* no authority is known */
	judge(&r, true);
	assert_int_equal(r.r.code, 3);
	j = dns_report_json(&r.r);
	assert_string_equal(json_string_value(json_object_get(j, "state")), "unknown");
	assert_true(json_is_null(json_object_get(j, "share_new")));
	assert_true(json_is_null(json_object_get(j, "eta_s")));
	json_decref(j);
	finish(&r);
}

static void hostile_words_cannot_steer_the_terminal(void **state)
{
	char *text = NULL;
	size_t size;
	struct rig r;
	FILE *to;

	(void)state;
	begin(&r);
	judge(&r, true);
	survey_note(r.s, "evil\033[2J.test.: no address");
	to = open_memstream(&text, &size);
	dns_report_notes(&r.r, to);
	fclose(to);
	assert_null(strchr(text, '\033'));
	assert_non_null(strstr(text, "note: evil"));
	free(text);
	finish(&r);
}

static void weights_are_told_with_their_test(void **state)
{
	struct rig r;
	json_t *j, *w;

	(void)state;
	begin(&r);
	r.d.wanted.weight[0] = 90;
	r.d.wanted.weight[1] = 10;
	judge(&r, true);
	j = dns_report_json(&r.r);
	w = json_object_get(j, "weights");
	assert_true(json_is_null(json_object_get(w, "p")));
	assert_true(json_is_null(json_object_get(w, "as_configured")));
	json_decref(j);
	r.s->alone[0] = 900;
	r.s->alone[1] = 100;
	assert_false(dns_report_off_weight(&r.r));
	j = dns_report_json(&r.r);
	w = json_object_get(j, "weights");
	assert_true(json_is_true(json_object_get(w, "as_configured")));
	assert_int_equal(json_integer_value(json_object_get(w, "answers")), 1000);
	json_decref(j);
	r.s->alone[0] = 500;
	r.s->alone[1] = 500;
	assert_true(dns_report_off_weight(&r.r));
	j = dns_report_json(&r.r);
	assert_true(json_is_false(json_object_get(json_object_get(j, "weights"), "as_configured")));
	json_decref(j);
	finish(&r);
}

static void the_textfile_has_a_value_for_each_source(void **state)
{
	char path[] = "/tmp/dns-report-XXXXXX", *text;
	int fd = mkstemp(path);
	struct rig r;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	begin(&r);
	answer(&r, 0, "198.51.100.3", 60);
	answer(&r, 3, "203.0.113.10", 17);
	judge(&r, true);
	assert_int_equal(dns_report_textfile(&r.r, path), 0);
	assert_int_equal(whole_read(path, 65536, &text, NULL), 0);
	assert_non_null(strstr(text, "shift_dns_source_verdict{source=\"192.0.2.12\",kind="
				     "\"resolver\",transport=\"tcp\",verdict=\"old\"} 1\n"));
	assert_non_null(strstr(text, "shift_dns_share_new{name=\"api.example.test\"} 0\n"));
	/* Sources that were not asked have none. */
	assert_null(strstr(text, "192.0.2.2\""));
	assert_null(strstr(text, "shift_dns_retire{"));
	free(text);
	r.r.retire = true;
	r.r.retire_code = 2;
	assert_int_equal(dns_report_textfile(&r.r, path), 0);
	assert_int_equal(whole_read(path, 65536, &text, NULL), 0);
	assert_non_null(strstr(text, "shift_dns_retire{name=\"api.example.test\"} 2\n"));
	free(text);
	unlink(path);
	finish(&r);
}

/* ---- retiring ---- */

static void a_bound_is_a_rate(void **state)
{
	static const struct {
		const char *text;
		double bound;
	} rows[] = {{"3", 3},	 {"0", 0},    {"0.05", 0.05}, {"3/m", 0.05}, {"36/h", 0.01},
		    {"2/s", 2},	 {"", -1},    {"/m", -1},     {"-1", -1},    {"3/d", -1},
		    {"nan", -1}, {"inf", -1}, {"3 /m", -1}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_true(fabs(dns_retire_bound(rows[i].text) - rows[i].bound) < 1e-12);
}

static void arrivals_must_stay_under_the_bound_for_every_ttl(void **state)
{
	/* A point each 30 s, TTL 60, 3 of them, bound 0.1 per s: 6 in a minute. */
	static const struct {
		const char *what;
		uint64_t count[9];   /* the last is now; UINT64_MAX: no point */
		uint32_t begun_from; /* counters are others from this point on */
		enum dns_retire_verdict verdict;
		double rate;
	} rows[] = {
		{"nobody came", {5, 5, 5, 5, 5, 5, 5, 5, 5}, 0, DNS_RETIRE_PASS, 0},
		{"few came", {0, 1, 2, 3, 4, 5, 6, 7, 8}, 0, DNS_RETIRE_PASS, 2 / 60.0},
		{"many came, before the window",
		 {0, 900, 900, 900, 900, 900, 900, 900, 900},
		 0,
		 DNS_RETIRE_PASS,
		 0},
		{"many came at its beginning",
		 {0, 0, 0, 100, 100, 100, 100, 100, 100},
		 0,
		 DNS_RETIRE_FAIL,
		 100 / 60.0},
		{"many came just now",
		 {0, 0, 0, 0, 0, 0, 0, 0, 100},
		 0,
		 DNS_RETIRE_FAIL,
		 100 / 60.0},
		{"exactly the bound", {0, 3, 6, 9, 12, 15, 18, 21, 24}, 0, DNS_RETIRE_PASS, 0.1},
		{"a short history",
		 {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, 5, 5, 5},
		 0,
		 DNS_RETIRE_UNKNOWN,
		 0},
		{"a short history with many",
		 {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, 5, 5,
		  500},
		 0,
		 DNS_RETIRE_FAIL,
		 495 / 60.0},
		{"one point",
		 {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
		  UINT64_MAX, UINT64_MAX, 5},
		 0,
		 DNS_RETIRE_UNKNOWN,
		 NAN},
		{"counters that began anew",
		 {900, 900, 900, 900, 900, 900, 5, 5, 5},
		 6,
		 DNS_RETIRE_UNKNOWN,
		 0},
		{"counters that were cleared",
		 {900, 900, 900, 900, 900, 900, 5, 5, 5},
		 0,
		 DNS_RETIRE_UNKNOWN,
		 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dns_flows_point p[9];
		unsigned int n = 0;
		double rate = -1;
		char why[256];

		for (unsigned int k = 0; k < 9; k++) {
			if (rows[i].count[k] == UINT64_MAX)
				continue;
			p[n].at = 1000 + 30.0 * k;
			p[n].count = rows[i].count[k];
			p[n++].begun = rows[i].begun_from && k >= rows[i].begun_from;
		}
		assert_int_equal(dns_retire_arrivals(p, n, 60, 180, 0.1, &rate, why),
				 rows[i].verdict);
		if (isnan(rows[i].rate))
			assert_true(isnan(rate));
		else
			assert_true(fabs(rate - rows[i].rate) < 1e-9);
		assert_true(why[0] != 0);
	}
	{
		double rate;
		char why[256];

		assert_int_equal(dns_retire_arrivals(NULL, 0, 60, 180, 0.1, &rate, why),
				 DNS_RETIRE_UNKNOWN);
	}
}

static void two_runs_in_a_second_are_no_rate(void **state)
{
	/* One connection between two checks half a second apart is not two a second. */
	static const struct dns_flows_point p[] = {
		{1000, 0, 1}, {1100, 0, 1}, {1200, 1, 1}, {1200.5, 2, 1}};
	double rate;
	char why[256];

	(void)state;
	assert_int_equal(dns_retire_arrivals(p, COUNT(p), 60, 180, 0.1, &rate, why),
			 DNS_RETIRE_PASS);
	assert_true(rate < 0.05);
}

/* ---- a watch ---- */

static void a_watch_scores_what_it_saw_change(void **state)
{
	static struct dns_watching w;
	struct dns_watch_rules rules = {.expect_new = true};
	struct dns_watch_score score;
	struct dns_sample p;
	struct options o = {0};
	uint64_t now = loop_now();
	struct rig r;

	(void)state;
	begin(&r);
	memset(&w, 0, sizeof(w));
	w.o = &o;
	w.d = &r.d;
	w.rules = &rules;
	w.s = r.s;
	w.began = now - 100 * S;
	r.s->own->made = w.began;
	dns_watch_score(&w, &score);
	assert_int_equal(score.n, 0);
	assert_false(score.has_last);
	p = sample("203.0.113.10", 20);
	p.at = now - 30 * S;
	survey_keep(&r.s->source[2], &p);
	w.of[2].expires = now - 10 * S;
	w.predicted = now - 5 * S;
	p = sample("203.0.113.10", 1);
	p.at = now - 11 * S;
	survey_keep(&r.s->source[2], &p);
	p = sample("198.51.100.3", 60);
	p.at = now - 9 * S;
	survey_keep(&r.s->source[2], &p);
	r.s->cache[2].kind = DNS_CACHE_COUNTS;
	dns_watch_score(&w, &score);
	assert_int_equal(score.n, 1);
	assert_true(fabs(score.counting_s) <= 1);
	assert_true(score.has_last);
	assert_true(score.last_error_s < -3 && score.last_error_s > -6);
	/* A change before the watch began is none of its own. */
	w.began = now - 5 * S;
	dns_watch_score(&w, &score);
	assert_int_equal(score.n, 0);
	finish(&r);
}

static void questions_that_loaded_the_old_value_are_owned_up_to(void **state)
{
	static struct dns_watching w;
	struct dns_watch_rules rules = {.expect_new = true};
	struct options o = {0};
	uint64_t now = loop_now();
	static const struct {
		unsigned int gap_s;
		uint32_t first, second;
		unsigned int loaded;
	} rows[] = {
		{5, 60, 55, 0},	 /* counts down */
		{61, 60, 60, 1}, /* it had ended, and our question brought it back */
		{70, 60, 50, 0}, /* somebody else did, ten seconds ago */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dns_sample p = sample("203.0.113.10", rows[i].first);
		struct rig r;

		begin(&r);
		memset(&w, 0, sizeof(w));
		w.o = &o;
		w.d = &r.d;
		w.rules = &rules;
		w.s = r.s;
		p.at = now - rows[i].gap_s * S;
		survey_keep(&r.s->source[2], &p);
		p = sample("203.0.113.10", rows[i].second);
		p.at = now;
		survey_keep(&r.s->source[2], &p);
		dns_watch_remember(&w);
		assert_int_equal(w.of[2].loaded, rows[i].loaded);
		/* The same answer, looked at again, is not another load. */
		dns_watch_remember(&w);
		assert_int_equal(w.of[2].loaded, rows[i].loaded);
		finish(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_line_says_how_many_have_the_new_value),
		cmocka_unit_test(the_line_names_what_is_wrong_and_when_it_ends),
		cmocka_unit_test(the_same_answers_are_judged_by_what_is_expected),
		cmocka_unit_test(json_has_the_fields_that_are_relied_upon),
		cmocka_unit_test(nothing_that_answers_is_unknown_with_nulls),
		cmocka_unit_test(hostile_words_cannot_steer_the_terminal),
		cmocka_unit_test(weights_are_told_with_their_test),
		cmocka_unit_test(the_textfile_has_a_value_for_each_source),
		cmocka_unit_test(a_bound_is_a_rate),
		cmocka_unit_test(arrivals_must_stay_under_the_bound_for_every_ttl),
		cmocka_unit_test(two_runs_in_a_second_are_no_rate),
		cmocka_unit_test(a_watch_scores_what_it_saw_change),
		cmocka_unit_test(questions_that_loaded_the_old_value_are_owned_up_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
