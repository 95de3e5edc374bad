/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <ldns/ldns.h>
#include <math.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/unit/dns_survey_rig.h"

/* ---- what discovery finds ---- */

static void servers_are_read_from_resolv_conf(void **state)
{
	struct dns_target t[4];

	(void)state;
	assert_int_equal(survey_bootstraps("# nameserver 192.0.2.9\n"
					   "search example.test\n"
					   "nameserver 192.0.2.1\n"
					   "nameserver fe80::1%eth0\n"
					   "nameserver\n"
					   "  nameserver 2001:db8::2\n"
					   "nameserver 192.0.2.3",
					   t, 4),
			 3);
	assert_string_equal(t[0].text, "192.0.2.1");
	assert_string_equal(t[1].text, "2001:db8::2");
	assert_int_equal(t[1].family, 6);
	assert_int_equal(t[2].port, 53);
	assert_int_equal(survey_bootstraps("nameserver 192.0.2.1\nnameserver 192.0.2.2\n", t, 1),
			 1);
	assert_int_equal(survey_bootstraps("", t, 4), 0);
}

static void a_name_loses_its_first_label(void **state)
{
	static const struct {
		const char *name, *above;
	} rows[] = {
		{"api.example.test.", "example.test."},
		{"test.", "."},
		{".", "."},
		{"a\\.b.test.", "test."},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(survey_above(rows[i].name), rows[i].above);
}

static void push(ldns_pkt *p, ldns_pkt_section section, const char *text)
{
	ldns_rr *rr;

	assert_int_equal(ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL), LDNS_STATUS_OK);
	assert_true(ldns_pkt_push_rr(p, section, rr));
}

static ldns_pkt *answer_about(const char *name)
{
	ldns_pkt *p = ldns_pkt_new();
	ldns_rr *rr = ldns_rr_new();

	ldns_rr_set_owner(rr, ldns_dname_new_frm_str(name));
	ldns_rr_set_type(rr, LDNS_RR_TYPE_NS);
	ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
	ldns_rr_set_question(rr, true);
	assert_true(ldns_pkt_push_rr(p, LDNS_SECTION_QUESTION, rr));
	ldns_pkt_set_qr(p, true);
	return p;
}

static void a_delegation_and_the_zones_own_records_become_sources(void **state)
{
	struct survey_set *set = calloc(1, sizeof(*set));
	ldns_pkt *p = answer_about("example.test.");
	struct dns_address own = address("192.0.2.1");
	struct rig r;
	uint8_t *wire;
	size_t size;

	(void)state;
	rig_begin(&r);
	r.conf.resolvers[r.conf.n_resolvers++] = server("192.0.2.99", 53);
	rig_make(&r);
	push(p, LDNS_SECTION_AUTHORITY, "example.test. 60 IN NS NS1.example.test.");
	push(p, LDNS_SECTION_AUTHORITY, "example.test. 60 IN NS ns2.example.test.");
	push(p, LDNS_SECTION_AUTHORITY, "other.test. 60 IN NS ns9.example.test.");
	push(p, LDNS_SECTION_ADDITIONAL, "ns1.example.test. 60 IN A 192.0.2.1");
	push(p, LDNS_SECTION_ADDITIONAL, "ns1.example.test. 60 IN AAAA 2001:db8::1");
	push(p, LDNS_SECTION_ADDITIONAL, "evil.test. 60 IN A 192.0.2.66");
	ldns_pkt_set_qr(p, true);
	assert_int_equal(ldns_pkt2wire(&wire, p, &size), LDNS_STATUS_OK);
	assert_int_equal(survey_take_ns(set, wire, size, DNS_IN_AUTHORITY, "example.test.", true),
			 2);
	free(wire);
	ldns_pkt_free(p);
	p = answer_about("example.test.");
	push(p, LDNS_SECTION_ANSWER, "example.test. 60 IN NS ns1.example.test.");
	push(p, LDNS_SECTION_ANSWER, "example.test. 60 IN NS ns3.example.test.");
	ldns_pkt_set_qr(p, true);
	assert_int_equal(ldns_pkt2wire(&wire, p, &size), LDNS_STATUS_OK);
	assert_int_equal(survey_take_ns(set, wire, size, DNS_IN_ANSWER, "example.test.", false), 2);
	free(wire);
	ldns_pkt_free(p);
	survey_ns_address(survey_ns(set, "ns1.example.test."), &own, false);
	own = address("192.0.2.3");
	survey_ns_address(survey_ns(set, "ns3.example.test."), &own, false);
	survey_conclude(r.s, set);

	assert_int_equal(r.s->n, 4); /* ns1 twice, ns3, the resolver; never the other zone's */
	assert_int_equal(r.s->n_authorities, 3);
	assert_string_equal(r.s->source[0].text, "192.0.2.1");
	assert_string_equal(r.s->source[0].ns, "ns1.example.test.");
	assert_true(r.s->source[0].in_parent && r.s->source[0].in_child);
	assert_string_equal(r.s->source[1].text, "2001:db8::1");
	assert_string_equal(r.s->source[2].text, "192.0.2.3");
	assert_false(r.s->source[2].in_parent);
	assert_int_equal(r.s->source[3].kind, DNS_RESOLVER);
	assert_int_equal(r.s->own->round[3].index, 3);
	/* ns2 and ns3 are of one side only, ns2 has no address, glue that is not its address. */
	assert_int_equal(r.s->delegation_differs, 2);
	assert_int_equal(r.s->n_notes, 4);
	/* where no server of the zone told its own, nothing is known to differ */
	set->child_seen = false;
	r.s->delegation_differs = 0;
	survey_conclude(r.s, set);
	assert_int_equal(r.s->delegation_differs, 0);
	free(set);
	rig_end(&r);
}

static void glue_that_differs_from_the_address_is_noted_and_asked(void **state)
{
	struct survey_set *set = calloc(1, sizeof(*set));
	struct survey_ns *ns = survey_ns(set, "ns1.example.test.");
	struct dns_address a = address("192.0.2.1"), glue = address("192.0.2.7");
	struct rig r;

	(void)state;
	rig_begin(&r);
	r.set.only_authorities = true;
	rig_make(&r);
	ns->in_parent = ns->in_child = set->parent_seen = true;
	survey_ns_address(ns, &a, false);
	survey_ns_address(ns, &glue, true);
	survey_ns_address(ns, &glue, true);
	assert_int_equal(ns->n, 2);
	survey_conclude(r.s, set);
	assert_int_equal(r.s->n_authorities, 2);
	assert_int_equal(r.s->n_notes, 1);
	assert_non_null(strstr(r.s->note[0], "glue 192.0.2.7"));
	assert_int_equal(r.s->delegation_differs, 0);
	free(set);
	rig_end(&r);
}

static void one_resolver_in_so_many_is_held_back(void **state)
{
	static const struct {
		unsigned int resolvers, control, held;
	} rows[] = {{3, 4, 0}, {4, 4, 1}, {7, 4, 1}, {8, 4, 2}, {5, 0, 0}, {3, 1, 3}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned int held = 0;
		struct rig r;

		rig_begin(&r);
		r.conf.authorities[r.conf.n_authorities++] = server("192.0.2.1", 53);
		for (unsigned int k = 0; k < rows[i].resolvers; k++)
			r.conf.resolvers[r.conf.n_resolvers++] =
				server("192.0.2.2", (uint16_t)(1000 + k));
		r.set.control = rows[i].control;
		rig_make(&r);
		for (unsigned int k = 0; k < r.s->n; k++)
			held += r.s->source[k].control;
		assert_int_equal(held, rows[i].held);
		assert_false(r.s->source[0].control);
		rig_end(&r);
	}
}

static void public_resolvers_stand_in_for_none(void **state)
{
	unsigned int v4 = 0, v6 = 0, runbook = 0;
	struct rig r;

	(void)state;
	rig_begin(&r);
	rig_make(&r);
	for (unsigned int i = 0; i < r.s->n; i++) {
		assert_int_equal(r.s->source[i].kind, DNS_RESOLVER);
		assert_int_equal(r.s->source[i].target.port, 53);
		v4 += r.s->source[i].family == 4;
		v6 += r.s->source[i].family == 6;
		runbook += !strcmp(r.s->source[i].text, "8.8.8.8") ||
			   !strcmp(r.s->source[i].text, "1.1.1.1") ||
			   !strcmp(r.s->source[i].text, "208.67.222.222");
	}
	assert_int_equal(v4, 6);
	assert_int_equal(v6, 6);
	assert_int_equal(runbook, 3);
	rig_end(&r);
}

/* ---- a sweep, against a server on the same loop ---- */

struct responder {
	int fd;
	uint16_t port;
	const char *first, *second; /* its addresses, in this order */
	bool recurse_wanted;
	unsigned int asked_a, asked_soa, ports, wrong_rd;
	uint16_t seen[64];
};

static void on_query(void *arg, int fd, unsigned int ready)
{
	struct responder *r = arg;
	uint8_t data[1500], *wire;
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &length);
	ldns_pkt *q, *p = ldns_pkt_new();
	ldns_rr *rr;
	char text[128];
	size_t size;
	bool known = false;

	(void)ready;
	assert_true(n > 0);
	assert_int_equal(ldns_wire2pkt(&q, data, (size_t)n), LDNS_STATUS_OK);
	rr = ldns_rr_list_rr(ldns_pkt_question(q), 0);
	r->wrong_rd += ldns_pkt_rd(q) != r->recurse_wanted;
	for (unsigned int i = 0; i < r->ports; i++)
		known |= r->seen[i] == from.sin_port;
	if (!known && r->ports < COUNT(r->seen))
		r->seen[r->ports++] = from.sin_port;
	ldns_pkt_set_id(p, ldns_pkt_id(q));
	ldns_pkt_set_qr(p, true);
	ldns_pkt_set_aa(p, !r->recurse_wanted);
	ldns_pkt_set_rd(p, ldns_pkt_rd(q));
	ldns_pkt_push_rr(p, LDNS_SECTION_QUESTION, ldns_rr_clone(rr));
	if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_SOA) {
		r->asked_soa++;
		push(p, LDNS_SECTION_AUTHORITY, "example.test. 60 IN SOA ns. h. 42 1 1 1 30");
	} else {
		r->asked_a++;
		snprintf(text, sizeof(text), "api.example.test. 60 IN A %s", r->first);
		push(p, LDNS_SECTION_ANSWER, text);
		if (r->second) {
			snprintf(text, sizeof(text), "api.example.test. 60 IN A %s", r->second);
			push(p, LDNS_SECTION_ANSWER, text);
		}
	}
	assert_int_equal(ldns_pkt2wire(&wire, p, &size), LDNS_STATUS_OK);
	assert_int_equal(sendto(fd, wire, size, 0, (struct sockaddr *)&from, length),
			 (ssize_t)size);
	free(wire);
	ldns_pkt_free(q);
	ldns_pkt_free(p);
}

static void responder_begin(struct responder *r, struct loop *l)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(at);

	r->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(r->fd >= 0);
	assert_int_equal(bind(r->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(r->fd, (struct sockaddr *)&at, &length), 0);
	r->port = ntohs(at.sin_port);
	if (l)
		assert_int_equal(loop_watch(l, r->fd, LOOP_READ, on_query, r), 0);
}

static void each_source_is_asked_as_its_kind_wants_it(void **state)
{
	struct responder authority = {.first = "198.51.100.4", .second = "198.51.100.3"};
	struct responder resolver = {.first = "203.0.113.10", .recurse_wanted = true};
	struct responder dead = {0};
	const struct dns_address *first;
	struct dns_source *round = calloc(1, sizeof(*round));
	struct dns_judged j;
	struct rig r;
	uint64_t began;
	bool is_new;

	(void)state;
	rig_begin(&r);
	responder_begin(&authority, r.loop);
	responder_begin(&resolver, r.loop);
	responder_begin(&dead, NULL); /* takes, and says nothing */
	r.conf.authorities[r.conf.n_authorities++] = server("127.0.0.1", authority.port);
	r.conf.resolvers[r.conf.n_resolvers++] = server("127.0.0.1", resolver.port);
	r.conf.resolvers[r.conf.n_resolvers++] = server("127.0.0.1", dead.port);
	rig_make(&r);
	began = loop_now();
	assert_int_equal(dns_survey_sweep(r.s, DNS_SWEEP_ALL), 0);
	/* The three questions to the dead one were out at once: one time-out, not three. */
	assert_true(loop_now() - began < S / 4);

	assert_int_equal(authority.asked_a, 1);
	assert_int_equal(authority.asked_soa, 1);
	assert_int_equal(authority.wrong_rd, 0);
	assert_int_equal(resolver.asked_a, 3);
	assert_int_equal(resolver.asked_soa, 0);
	assert_int_equal(resolver.wrong_rd, 0);
	assert_int_equal(resolver.ports, 3); /* a socket of its own for each sample */
	assert_string_equal(r.s->zone, "example.test.");
	assert_int_equal(r.s->source[0].serial, 42);

	dns_survey_judge(r.s, loop_now(), &j);
	assert_int_equal(r.s->said[0].verdict, DNS_SAYS_NEW);
	assert_int_equal(r.s->said[1].verdict, DNS_SAYS_OLD);
	assert_int_equal(r.s->said[2].verdict, DNS_SAYS_UNREACHABLE);
	assert_int_equal(j.state, DNS_STATE_MIXED);
	assert_int_equal(dns_survey_exit(r.s, &j, true), 1);
	/* In the order of the message, as dig shows it. */
	first = dns_survey_first(r.s, 0, &is_new);
	assert_non_null(first);
	assert_true(is_new);
	assert_memory_equal(first->ip, r.wanted.fresh[1].ip, sizeof(first->ip));
	first = dns_survey_first(r.s, 1, &is_new);
	assert_non_null(first);
	assert_false(is_new);
	assert_null(dns_survey_first(r.s, 2, &is_new));
	dns_survey_last_round(r.s, 1, round);
	assert_int_equal(round->n_samples, 3);
	assert_int_equal(r.s->together, 1);

	/* However many samples are wanted: a cache says the same each time. */
	r.s->own->set.samples = 1000;
	assert_int_equal(dns_survey_sweep(r.s, DNS_SWEEP_RESOLVERS), 0);
	assert_int_equal(resolver.asked_a, 3 + 16);
	r.s->own->set.samples = 3;
	r.s->source[1].n_samples = 3;

	/* Again: the last round is the second alone. */
	assert_int_equal(dns_survey_sweep(r.s, DNS_SWEEP_RESOLVERS), 0);
	assert_int_equal(authority.asked_a, 1);
	dns_survey_last_round(r.s, 1, round);
	assert_int_equal(round->n_samples, 3);
	assert_int_equal(r.s->source[1].n_samples, 6);
	free(round);
	close(authority.fd);
	close(resolver.fd);
	close(dead.fd);
	rig_end(&r);
}

static void the_control_group_is_asked_when_it_is_its_turn_alone(void **state)
{
	struct responder resolver = {.first = "198.51.100.3", .recurse_wanted = true};
	struct dns_judged j;
	struct rig r;

	(void)state;
	rig_begin(&r);
	responder_begin(&resolver, r.loop);
	r.conf.samples = 1;
	r.conf.authorities[r.conf.n_authorities++] = server("127.0.0.1", resolver.port);
	for (unsigned int i = 0; i < 2; i++)
		r.conf.resolvers[r.conf.n_resolvers++] = server("127.0.0.1", resolver.port);
	r.set.control = 2;
	rig_make(&r);
	assert_true(r.s->source[2].control);
	assert_int_equal(dns_survey_sweep(r.s, DNS_SWEEP_RESOLVERS), 0);
	assert_int_equal(resolver.asked_a, 1);
	assert_false(dns_survey_asked(r.s, 2));
	dns_survey_judge(r.s, loop_now(), &j);
	/* Held back is no verdict: it does not count as unreachable. */
	assert_int_equal(j.of[DNS_SAYS_UNREACHABLE], 0);
	assert_int_equal(j.of[DNS_SAYS_NEW], 1);
	assert_int_equal(dns_survey_sweep(r.s, DNS_SWEEP_CONTROL), 0);
	assert_int_equal(resolver.asked_a, 2);
	assert_true(dns_survey_asked(r.s, 2));
	assert_false(r.s->source[2].sample[0].polled);
	assert_true(r.s->source[1].sample[0].polled);
	close(resolver.fd);
	rig_end(&r);
}

static void an_earlier_runs_answers_do_not_count_as_todays(void **state)
{
	struct responder silent = {0};
	struct dns_sample p;
	struct dns_judged j;
	struct rig r;

	(void)state;
	rig_begin(&r);
	responder_begin(&silent, NULL);
	r.conf.authorities[r.conf.n_authorities++] = server("127.0.0.1", silent.port);
	r.set.only_authorities = true;
	rig_make(&r);
	p = sample(loop_now() - 60 * S, DNS_VALUE_NEW, 60);
	survey_keep(&r.s->source[0], &p);
	assert_int_equal(dns_survey_sweep(r.s, DNS_SWEEP_ALL), 0);
	dns_survey_judge(r.s, loop_now(), &j);
	assert_int_equal(r.s->said[0].verdict, DNS_SAYS_UNREACHABLE);
	close(silent.fd);
	rig_end(&r);
}

static void the_way_back_is_predicted_as_the_way_there(void **state)
{
	uint64_t now = loop_now();
	struct dns_judged j;

	(void)state;
	for (int back = 0; back < 2; back++) {
		enum dns_value before = back ? DNS_VALUE_NEW : DNS_VALUE_OLD;
		enum dns_value after = back ? DNS_VALUE_OLD : DNS_VALUE_NEW;
		struct dns_sample p;
		struct rig r;

		rig_begin(&r);
		r.conf.authorities[r.conf.n_authorities++] = server("192.0.2.1", 53);
		r.set.only_authorities = true;
		r.set.back = back;
		rig_make(&r);
		p = sample(now - 10 * S, before, 60);
		survey_keep(&r.s->source[0], &p);
		dns_survey_judge(r.s, now, &j);
		assert_false(r.s->prediction.known);
		p = sample(now - 5 * S, after, 60);
		survey_keep(&r.s->source[0], &p);
		dns_survey_judge(r.s, now, &j);
		assert_true(r.s->prediction.known);
		assert_int_equal(r.s->prediction.last_old, now - 10 * S);
		assert_int_equal(r.s->prediction.at, now + 50 * S);
		/* And the samples are as they were. */
		assert_int_equal(r.s->source[0].sample[0].value, before);
		rig_end(&r);
	}
}

static void weights_are_tested_family_by_family(void **state)
{
	uint64_t answers;
	struct rig r;
	double p;

	(void)state;
	rig_begin(&r);
	r.wanted.weight[0] = 90;
	r.wanted.weight[1] = 10;
	rig_make(&r);
	assert_true(isnan(dns_survey_weights(r.s, &answers)));
	r.s->alone[0] = 1785;
	r.s->alone[1] = 215;
	p = dns_survey_weights(r.s, &answers);
	assert_int_equal(answers, 2000);
	assert_true(p > 0.05 && p < 0.5);
	r.s->alone[0] = 1000;
	r.s->alone[1] = 1000;
	assert_true(dns_survey_weights(r.s, &answers) < 1e-9);
	/* The other family's weights are its own: 10 of 20 there is as it should be. */
	r.wanted.fresh[2] = address("2001:db8::3");
	r.wanted.fresh[3] = address("2001:db8::4");
	r.wanted.weight[2] = r.wanted.weight[3] = 1;
	r.wanted.n_fresh = 4;
	r.s->alone[0] = 1800;
	r.s->alone[1] = 200;
	r.s->alone[2] = r.s->alone[3] = 500;
	assert_true(dns_survey_weights(r.s, &answers) > 0.5);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(servers_are_read_from_resolv_conf),
		cmocka_unit_test(a_name_loses_its_first_label),
		cmocka_unit_test(a_delegation_and_the_zones_own_records_become_sources),
		cmocka_unit_test(glue_that_differs_from_the_address_is_noted_and_asked),
		cmocka_unit_test(one_resolver_in_so_many_is_held_back),
		cmocka_unit_test(public_resolvers_stand_in_for_none),
		cmocka_unit_test(each_source_is_asked_as_its_kind_wants_it),
		cmocka_unit_test(the_control_group_is_asked_when_it_is_its_turn_alone),
		cmocka_unit_test(an_earlier_runs_answers_do_not_count_as_todays),
		cmocka_unit_test(the_way_back_is_predicted_as_the_way_there),
		cmocka_unit_test(weights_are_tested_family_by_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
