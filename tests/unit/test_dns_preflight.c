/* SPDX-License-Identifier: GPL-2.0-only */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dns/preflight.h"
#include "userspace/base/whole.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define S	 UINT64_C(1000000000)
#define NOW	 1800000000u /* s since 1970 */

/* The only gate that was judged. */
static const struct dns_gate *only(struct dns_gates *g, const char *name, enum dns_gate_verdict v,
				   const char *evidence, const char *fix)
{
	const struct dns_gate *one = &g->gate[0];

	assert_int_equal(g->n, 1);
	assert_string_equal(one->name, name);
	if (one->verdict != v || !strstr(one->evidence, evidence) || !strstr(one->fix, fix))
		fail_msg("%s: %s / %s", dns_gate_verdicts[one->verdict], one->evidence, one->fix);
	/* Whoever may go on needs no fix, and whoever may not has one. */
	assert_int_equal(v == DNS_GATE_OK, one->fix[0] == '\0');
	memset(g, 0, sizeof(*g));
	return one;
}

/* ---- the TTL ---- */

/* "A 192.0.2.53 3600@-7200 60@-600": sightings, in seconds before now. */
static void saw(struct dns_ttl_history *h, const char *text)
{
	char type[8], source[64], word[64];
	int used;

	assert_int_equal(sscanf(text, " %7s %63s%n", type, source, &used), 2);
	for (text += used; sscanf(text, " %63s%n", word, &used) == 1; text += used) {
		unsigned int ttl;
		int at;

		assert_int_equal(sscanf(word, "%u@%d", &ttl, &at), 2);
		dns_ttl_saw(h, source, type[1] ? DNS_AAAA : DNS_A, ttl,
			    (uint64_t)((int64_t)NOW + at));
	}
}

static void a_ttl_counts_when_all_caches_have_forgotten_the_longer_one(void **state)
{
	static const struct {
		const char *seen[3];
		uint32_t before;
		enum dns_gate_verdict verdict;
		const char *evidence, *fix;
	} rows[] = {
		{{NULL}, 0, DNS_GATE_UNKNOWN, "no authority gave an address", "authorities"},
		/* Too long now. */
		{{"A ns1 3600@0"},
		 0,
		 DNS_GATE_FAILED,
		 "ns1 gives a TTL of 3600 s; dns.ttl is 60 s",
		 "then wait for 1h00m"},
		{{"A ns1 60@0", "A ns2 300@0"},
		 0,
		 DNS_GATE_FAILED,
		 "ns2 gives a TTL of 300 s",
		 "5m"},
		{{"A ns1 60@0", "AAAA ns1 300@0"}, 0, DNS_GATE_FAILED, "TTL of 300 s", ""},
		{{"A ns1 900@0", "A ns2 300@0"}, 0, DNS_GATE_FAILED, "and others more", "15m"},
		/* Lowered, and seen to be. */
		{{"A ns1 3600@-7200 60@-3000 60@0"},
		 0,
		 DNS_GATE_FAILED,
		 "it was 3600 s before",
		 "wait for another 10m"},
		{{"A ns1 3600@-7200 60@-3600 60@0"},
		 0,
		 DNS_GATE_OK,
		 "has gone from all caches",
		 ""},
		/* The last server to be lowered counts. */
		{{"A ns1 3600@-9000 60@-5000 60@0", "A ns2 3600@-9000 60@-3000 60@0"},
		 0,
		 DNS_GATE_FAILED,
		 "it was 3600 s before",
		 "10m"},
		/* In steps: each is waited for. */
		{{"A ns1 86400@-90000 300@-80000 60@-100 60@0"},
		 0,
		 DNS_GATE_FAILED,
		 "it was 86400 s before",
		 "1h46m"},
		/* Back and forth. */
		{{"A ns1 60@-9000 3600@-600 60@-300 60@0"},
		 0,
		 DNS_GATE_FAILED,
		 "3600 s before",
		 "55m"},
		/* A TTL that is lower still is none too long. */
		{{"A ns1 60@-100000 30@-5 30@0"}, 0, DNS_GATE_OK, "at most 60 s", ""},
		/* Nothing was seen of before. */
		{{"A ns1 60@0"}, 0, DNS_GATE_UNKNOWN, "what it was before is not known", "24h00m"},
		{{"A ns1 60@-3600 60@0"}, 0, DNS_GATE_UNKNOWN, "not known", "23h00m"},
		{{"A ns1 60@-86400 60@0"}, 0, DNS_GATE_OK, "", ""},
		{{"A ns1 60@-3600 60@0"}, 3600, DNS_GATE_OK, "", ""},
		{{"A ns1 60@-3000 60@0"}, 3600, DNS_GATE_FAILED, "it was 3600 s before", "10m"},
		/* Of one server it is known, of another not. */
		{{"A ns1 3600@-9000 60@-7000 60@0", "A ns2 60@-10 60@0"},
		 0,
		 DNS_GATE_UNKNOWN,
		 "not known",
		 "23h59m"},
		/* One that is asked no more held it until it was seen last. */
		{{"A ns1 60@-90000 60@0", "A ns9 3600@-90000 3600@-1800"},
		 0,
		 DNS_GATE_FAILED,
		 "it was 3600 s before",
		 "30m"},
		{{"A ns1 60@-90000 60@0", "A ns9 3600@-90000"}, 0, DNS_GATE_OK, "", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dns_ttl_history h = {0};
		struct dns_gates g = {0};

		for (size_t k = 0; k < 3 && rows[i].seen[k]; k++)
			saw(&h, rows[i].seen[k]);
		dns_gate_ttl(&g, &h, 60, rows[i].before, NOW);
		only(&g, "ttl", rows[i].verdict, rows[i].evidence, rows[i].fix);
	}
}

static void sightings_in_any_order_are_the_same_history(void **state)
{
	static const struct {
		uint32_t ttl;
		int at;
	} seen[] = {{3600, -900}, {3600, -800}, {60, -700}, {60, -100}, {300, -50}, {60, -10}};
	struct dns_ttl_history first = {0}, h;
	unsigned int order[COUNT(seen)];

	(void)state;
	for (size_t i = 0; i < COUNT(seen); i++)
		dns_ttl_saw(&first, "ns", DNS_A, seen[i].ttl, (uint64_t)((int)NOW + seen[i].at));
	assert_int_equal(first.n, 4);
	srandom(7);
	for (int run = 0; run < 500; run++) {
		memset(&h, 0, sizeof(h));
		for (unsigned int i = 0; i < COUNT(seen); i++)
			order[i] = i;
		for (unsigned int i = COUNT(seen) - 1; i > 0; i--) {
			unsigned int k = (unsigned int)random() % (i + 1), was = order[i];

			order[i] = order[k];
			order[k] = was;
		}
		for (unsigned int i = 0; i < COUNT(seen); i++)
			dns_ttl_saw(&h, "ns", DNS_A, seen[order[i]].ttl,
				    (uint64_t)((int)NOW + seen[order[i]].at));
		/* What is kept of a run was seen; and the first sightings, which decide, are never
		 * told too early. */
		assert_int_equal(h.n, first.n);
		for (unsigned int i = 0; i < h.n; i++) {
			assert_int_equal(h.run[i].ttl, first.run[i].ttl);
			assert_true(h.run[i].first_s >= first.run[i].first_s);
			assert_true(h.run[i].first_s <= h.run[i].last_s);
			assert_true(h.run[i].last_s <= first.run[i].last_s);
		}
	}
}

static void of_too_many_sightings_the_oldest_go(void **state)
{
	struct dns_ttl_history h = {0};

	(void)state;
	for (unsigned int i = 0; i < 3 * DNS_TTL_RUNS; i++)
		dns_ttl_saw(&h, "ns", DNS_A, i % 2 ? 60 : 300, NOW + i);
	assert_int_equal(h.n, DNS_TTL_RUNS);
	assert_int_equal(h.run[h.n - 1].last_s, NOW + 3 * DNS_TTL_RUNS - 1);
	assert_int_equal(h.run[0].first_s, NOW + 2 * DNS_TTL_RUNS);
}

static void history_outlives_the_process(void **state)
{
	char dir[] = "/tmp/unit-preflight-XXXXXX", folder[64], path[96];
	struct dns_ttl_history h = {0}, back;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(folder, sizeof(folder), "%s/a/b", dir);
	snprintf(path, sizeof(path), "%s/preflight.json", folder);
	assert_int_equal(dns_ttl_load(folder, "www.test.", &back), 0);
	assert_int_equal(back.n, 0);
	saw(&h, "A 192.0.2.53 3600@-7200 60@-600 60@0");
	saw(&h, "AAAA 2001:db8::53 60@-600");
	assert_int_equal(dns_ttl_save(folder, "www.test.", &h), 0);
	assert_int_equal(dns_ttl_load(folder, "www.test.", &back), 0);
	assert_memory_equal(&back, &h, sizeof(h));
	/* Another name's is not this one's. */
	assert_int_equal(dns_ttl_load(folder, "other.test.", &back), 0);
	assert_int_equal(back.n, 0);
	assert_int_equal(
		whole_write(path, "{\"name\":\"www.test.\",\"seen\":[{\"ttl\":-1}]}", 41, 0600), 0);
	assert_int_equal(dns_ttl_load(folder, "www.test.", &back), -EBADMSG);
	assert_int_equal(back.n, 0);
	unlink(path);
	rmdir(folder);
	snprintf(folder, sizeof(folder), "%s/a", dir);
	rmdir(folder);
	rmdir(dir);
}

/* ---- gates about the authorities ---- */

struct rig {
	struct dns_survey s;
	struct dns_look look;
	struct dns_wanted wanted;
	struct dns_gates g;
};

static struct rig *rig(unsigned int authorities)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->s.source = calloc(8, sizeof(*r->s.source));
	r->s.said = calloc(8, sizeof(*r->s.said));
	assert_non_null(r->s.source);
	assert_non_null(r->s.said);
	strcpy(r->s.zone, "example.test.");
	strcpy(r->look.zone, "example.test.");
	r->s.n = r->s.n_authorities = authorities;
	r->look.n = authorities;
	r->look.asked[0] = true;
	r->wanted.ttl = 60;
	for (unsigned int i = 0; i < authorities; i++) {
		struct dns_source *a = &r->s.source[i];

		snprintf(a->text, sizeof(a->text), "192.0.2.%u", 51 + i);
		a->in_parent = a->in_child = true;
		a->has_serial = true;
		a->serial = 7;
		r->look.record[0][i].answered = true;
		r->look.record[0][i].answer.aa = true;
		strcpy(r->look.record[0][i].text, a->text);
	}
	return r;
}

static void rig_free(struct rig *r)
{
	free(r->s.source);
	free(r->s.said);
	free(r);
}

static void every_authority_must_answer_with_the_old_value(void **state)
{
	struct rig *r = rig(3);

	(void)state;
	dns_gate_authorities(&r->g, &r->s);
	only(&r->g, "authorities", DNS_GATE_OK, "3 addresses answer with dns.old", "");
	r->s.said[1].verdict = DNS_SAYS_LAME;
	strcpy(r->s.said[1].why, "it does not have the zone");
	dns_gate_authorities(&r->g, &r->s);
	only(&r->g, "authorities", DNS_GATE_FAILED, "192.0.2.52: lame: it does not have the zone",
	     "mend or remove");
	r->s.said[1].verdict = DNS_SAYS_UNREACHABLE;
	r->s.said[1].no_family = true;
	dns_gate_authorities(&r->g, &r->s);
	only(&r->g, "authorities", DNS_GATE_WARNING, "this host has no route to 192.0.2.52", "");
	r->s.said[1].no_family = false;
	dns_gate_authorities(&r->g, &r->s);
	only(&r->g, "authorities", DNS_GATE_FAILED, "192.0.2.52: unreachable", "");
	for (int i = 0; i < 3; i++)
		r->s.said[i].verdict = DNS_SAYS_NEW;
	dns_gate_authorities(&r->g, &r->s);
	only(&r->g, "authorities", DNS_GATE_FAILED, "192.0.2.51: new",
	     "has the new addresses already");
	r->s.n_authorities = 0;
	dns_gate_authorities(&r->g, &r->s);
	only(&r->g, "authorities", DNS_GATE_UNKNOWN, "no authoritative server is known",
	     "dns.authorities");
	rig_free(r);
}

static void serials_must_agree(void **state)
{
	struct rig *r = rig(3);

	(void)state;
	dns_gate_serials(&r->g, &r->s);
	only(&r->g, "serials", DNS_GATE_OK, "serial 7 at all 3", "");
	r->s.source[2].serial = 6;
	dns_gate_serials(&r->g, &r->s);
	only(&r->g, "serials", DNS_GATE_FAILED, "the newest serial is 7, but 192.0.2.53 has 6",
	     "NOTIFY");
	/* 2^32 − 1 comes before 0. */
	r->s.source[0].serial = 0xffffffff;
	r->s.source[1].serial = r->s.source[2].serial = 0;
	dns_gate_serials(&r->g, &r->s);
	only(&r->g, "serials", DNS_GATE_FAILED, "serial is 0, but 192.0.2.51 has 4294967295", "");
	r->s.source[0].has_serial = false;
	dns_gate_serials(&r->g, &r->s);
	only(&r->g, "serials", DNS_GATE_UNKNOWN, "no serial from 192.0.2.51", "authorities");
	rig_free(r);
}

static void parent_and_zone_must_name_the_same_servers(void **state)
{
	struct rig *r = rig(2);

	(void)state;
	dns_gate_delegation(&r->g, &r->s);
	only(&r->g, "delegation", DNS_GATE_OK, "name the same servers: 2 addresses", "");
	/* Configured, and not in the delegation. */
	r->s.source[1].in_parent = r->s.source[1].in_child = false;
	dns_gate_delegation(&r->g, &r->s);
	only(&r->g, "delegation", DNS_GATE_WARNING,
	     "1 configured authority is not in the delegation", "compare");
	r->s.delegation_differs = 1;
	strcpy(r->s.note[0], "ns3.example.test.: delegated to by the parent alone");
	r->s.n_notes = 1;
	dns_gate_delegation(&r->g, &r->s);
	only(&r->g, "delegation", DNS_GATE_FAILED, "ns3.example.test.", "registrar");
	r->s.delegation_differs = 0;
	r->s.n_notes = 0;
	r->s.source[0].in_parent = false;
	dns_gate_delegation(&r->g, &r->s);
	only(&r->g, "delegation", DNS_GATE_UNKNOWN, "could not be seen", "dns.resolvers");
	/* The same servers have both zones. */
	strcpy(r->s.parent, "test.");
	dns_gate_delegation(&r->g, &r->s);
	only(&r->g, "delegation", DNS_GATE_OK, "the servers of test. have example.test. themselves",
	     "");
	rig_free(r);
}

static void an_alias_is_not_what_must_change(void **state)
{
	struct rig *r = rig(2);

	(void)state;
	dns_gate_alias(&r->g, &r->look, "www.example.test.");
	only(&r->g, "alias", DNS_GATE_OK, "no CNAME", "");
	r->look.record[0][1].answer.chain = 1;
	strcpy(r->look.record[0][1].answer.target, "lb.example.net.");
	dns_gate_alias(&r->g, &r->look, "www.example.test.");
	only(&r->g, "alias", DNS_GATE_FAILED, "192.0.2.52 leads to lb.example.net. in 1 step",
	     "dns.name: lb.example.net.");
	r->look.record[0][0].answered = r->look.record[0][1].answered = false;
	dns_gate_alias(&r->g, &r->look, "www.example.test.");
	only(&r->g, "alias", DNS_GATE_UNKNOWN, "no authority answered", "authorities");
	rig_free(r);
}

static void the_absence_of_a_new_record_is_remembered(void **state)
{
	struct rig *r = rig(2);

	(void)state;
	r->wanted.n_old = r->wanted.n_fresh = 1;
	r->wanted.old[0].family = r->wanted.fresh[0].family = 4;
	dns_gate_negative(&r->g, &r->look, &r->wanted);
	only(&r->g, "negative-ttl", DNS_GATE_OK, "no record is new", "");
	/* AAAA comes with the flip. */
	r->look.asked[1] = true;
	r->wanted.n_fresh = 2;
	r->wanted.fresh[1].family = 6;
	dns_gate_negative(&r->g, &r->look, &r->wanted);
	only(&r->g, "negative-ttl", DNS_GATE_UNKNOWN, "the AAAA record is new", "");
	r->look.record[1][0].answered = true;
	r->look.record[1][0].answer.has_soa = true;
	r->look.record[1][0].answer.negative_ttl = 3600;
	dns_gate_negative(&r->g, &r->look, &r->wanted);
	only(&r->g, "negative-ttl", DNS_GATE_WARNING, "keeps its absence for 3600 s", "to 60 s");
	r->look.record[1][0].answer.negative_ttl = 60;
	dns_gate_negative(&r->g, &r->look, &r->wanted);
	only(&r->g, "negative-ttl", DNS_GATE_OK, "for 60 s at most", "");
	rig_free(r);
}

static void resolvers_must_find_the_zone(void **state)
{
	struct rig *r = rig(1);
	struct dns_looked *one = r->look.resolver;

	(void)state;
	dns_gate_resolvers(&r->g, &r->look);
	only(&r->g, "resolvers", DNS_GATE_UNKNOWN, "no resolver could be asked", "dns.resolvers");
	r->look.n_resolvers = 2;
	for (int i = 0; i < 2; i++) {
		snprintf(one[i].text, sizeof(one[i].text), "198.51.100.%d", i);
		one[i].answered = one[i].answer.has_soa = true;
	}
	dns_gate_resolvers(&r->g, &r->look);
	only(&r->g, "resolvers", DNS_GATE_OK, "2 resolvers look up example.test.", "");
	one[1].rcode = DNS_SERVFAIL;
	strcpy(one[1].answer.ede_text, "signature expired");
	dns_gate_resolvers(&r->g, &r->look);
	only(&r->g, "resolvers", DNS_GATE_FAILED, "198.51.100.1: SERVFAIL (signature expired)",
	     "DNSSEC");
	one[1].answered = false;
	strcpy(one[1].why, "timed out");
	dns_gate_resolvers(&r->g, &r->look);
	only(&r->g, "resolvers", DNS_GATE_WARNING, "no answer from 198.51.100.1 (timed out)",
	     "take those out");
	one[0].answered = false;
	dns_gate_resolvers(&r->g, &r->look);
	only(&r->g, "resolvers", DNS_GATE_UNKNOWN, "no resolver could be asked", "");
	rig_free(r);
}

static void signatures_must_hold_and_last(void **state)
{
	struct rig *r = rig(2);
	struct dns_verified v[2] = {
		{"192.0.2.51",
		 DNS_A,
		 {.verdict = SECURE_OK, .ds = 1, .keys = 2, .expires = NOW + 90000}},
		{"192.0.2.52",
		 DNS_A,
		 {.verdict = SECURE_OK, .ds = 1, .keys = 2, .expires = NOW + 86400}},
	};

	(void)state;
	dns_gate_dnssec(&r->g, &r->look, v, 2, NOW, 43200);
	only(&r->g, "dnssec", DNS_GATE_OK,
	     "2 answers verified from the parent's DS on, good for another "
	     "24h00m",
	     "");
	dns_gate_dnssec(&r->g, &r->look, v, 2, NOW, 86401);
	only(&r->g, "dnssec", DNS_GATE_FAILED, "the signatures of 192.0.2.52 end in 24h00m",
	     "sign");
	v[1].result.verdict = SECURE_BOGUS;
	strcpy(v[1].result.why, "the A record has no signature");
	dns_gate_dnssec(&r->g, &r->look, v, 2, NOW, 43200);
	only(&r->g, "dnssec", DNS_GATE_FAILED, "192.0.2.52: the A record has no signature", "sign");
	v[1].result.verdict = SECURE_CANNOT;
	strcpy(v[1].result.why, "verification took longer than 3.0 s");
	dns_gate_dnssec(&r->g, &r->look, v, 2, NOW, 43200);
	only(&r->g, "dnssec", DNS_GATE_UNKNOWN, "took longer", "dns.resolvers");
	for (int i = 0; i < 2; i++)
		v[i].result = (struct secure_result){.verdict = SECURE_UNSIGNED};
	dns_gate_dnssec(&r->g, &r->look, v, 2, NOW, 43200);
	only(&r->g, "dnssec", DNS_GATE_OK, "the zone is not signed", "");
	v[0].result.keys = 2;
	dns_gate_dnssec(&r->g, &r->look, v, 2, NOW, 43200);
	only(&r->g, "dnssec", DNS_GATE_WARNING, "nobody verifies it", "DS");
	dns_gate_dnssec(&r->g, &r->look, v, 0, NOW, 43200);
	only(&r->g, "dnssec", DNS_GATE_UNKNOWN, "no authority answered", "");
	rig_free(r);
}

static void the_worst_gate_is_the_exit_code(void **state)
{
	struct dns_gates g = {0};

	(void)state;
	assert_int_equal(dns_gates_exit(&g), 0);
	dns_gate(&g, "a", DNS_GATE_OK, "fine");
	dns_gate(&g, "b", DNS_GATE_WARNING, "hm");
	assert_int_equal(dns_gates_exit(&g), 0);
	dns_gate(&g, "c", DNS_GATE_UNKNOWN, "who knows");
	assert_int_equal(dns_gates_exit(&g), 5);
	dns_gate(&g, "d", DNS_GATE_FAILED, "no");
	assert_int_equal(dns_gates_exit(&g), 1);
	while (g.n < DNS_MAX_GATES)
		dns_gate(&g, "e", DNS_GATE_OK, "more");
	dns_gate(&g, "f", DNS_GATE_OK, "too many");
	assert_int_equal(g.n, DNS_MAX_GATES);
}

/* Fifty servers, all wrong: the sentence ends whole. */
static void a_long_list_is_cut_and_counted(void **state)
{
	struct rig *r = rig(8);
	const struct dns_gate *g = &r->g.gate[0];

	(void)state;
	for (int i = 0; i < 8; i++) {
		r->s.said[i].verdict = DNS_SAYS_BROKEN;
		memset(r->s.said[i].why, 'x', sizeof(r->s.said[i].why) - 1);
	}
	dns_gate_authorities(&r->g, &r->s);
	assert_int_equal(g->verdict, DNS_GATE_FAILED);
	assert_true(strlen(g->evidence) < sizeof(g->evidence) - 1);
	assert_string_equal(g->evidence + strlen(g->evidence) - strlen("; and 7 more"),
			    "; and 7 more");
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ttl_counts_when_all_caches_have_forgotten_the_longer_one),
		cmocka_unit_test(sightings_in_any_order_are_the_same_history),
		cmocka_unit_test(of_too_many_sightings_the_oldest_go),
		cmocka_unit_test(history_outlives_the_process),
		cmocka_unit_test(every_authority_must_answer_with_the_old_value),
		cmocka_unit_test(serials_must_agree),
		cmocka_unit_test(parent_and_zone_must_name_the_same_servers),
		cmocka_unit_test(an_alias_is_not_what_must_change),
		cmocka_unit_test(the_absence_of_a_new_record_is_remembered),
		cmocka_unit_test(resolvers_must_find_the_zone),
		cmocka_unit_test(signatures_must_hold_and_last),
		cmocka_unit_test(the_worst_gate_is_the_exit_code),
		cmocka_unit_test(a_long_list_is_cut_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
