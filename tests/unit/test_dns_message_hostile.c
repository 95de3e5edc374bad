/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Answers made to do harm, or damaged: each is refused, and none of them read beyond its end.
 */
#include "tests/unit/dns_message_rig.h"

static void what_is_no_sound_message_is_refused(void **state)
{
	struct dns_question q = question("www.example.com", DNS_A);
	static const struct {
		const char *what;
		uint16_t type;
		uint8_t size;
		uint8_t data[40];
	} rows[] = {
		{"an address of 3", DNS_A, 3, {1, 2, 3}},
		{"an address of 5", DNS_A, 5, {1, 2, 3, 4, 5}},
		{"an IPv6 address of 4", DNS_AAAA, 4, {1, 2, 3, 4}},
		{"an empty CNAME", DNS_CNAME, 0, {0}},
		{"a CNAME that points at itself", DNS_CNAME, 2, {0xc0, 45}},
		{"a CNAME that points ahead", DNS_CNAME, 2, {0xc0, 80}},
		{"a CNAME that points into the header", DNS_CNAME, 2, {0xc0, 4}},
		{"a CNAME with a label of 64", DNS_CNAME, 2, {0x40, 0}},
		{"a CNAME with bytes behind", DNS_CNAME, 2, {0, 0}},
		{"a label beyond the data", DNS_NS, 3, {9, 'a', 'b'}},
		{"a SOA without numbers", DNS_SOA, 2, {0, 0}},
		{"an empty text", DNS_TXT, 0, {0}},
		{"a text that is too short", DNS_TXT, 3, {3, 'a', 'b'}},
		{"NSEC3 of an unknown hash", 50, 12, {2, 0, 0, 1, 0, 4, 1, 2, 3, 4, 0, 0}},
		{"NSEC3 of hash 0", 50, 10, {0, 0, 0, 1, 0, 4, 1, 2, 3, 4}},
		{"NSEC3 of one octet", 50, 1, {1}},
		{"NSEC3 with a long salt", 50, 10, {1, 0, 0, 1, 200, 4, 1, 2, 3, 4}},
		{"NSEC3 with no hash", 50, 6, {1, 0, 0, 1, 0, 0}},
		{"NSEC3 with a wrong bitmap", 50, 12, {1, 0, 0, 1, 0, 4, 1, 2, 3, 4, 0, 0}},
		{"NSEC with a window of 33", 47, 4, {0, 0, 33, 1}},
		{"RRSIG without a signature", DNS_RRSIG, 19, {0, 1, 8, 2}},
		{"DS of 4", DNS_DS, 4, {1, 2, 3, 4}},
		{"OPT among the answers", 41, 0, {0}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		make(&q, "");
		append_record(rows[i].type, 60, rows[i].data, rows[i].size, DNS_AT_AN);
		if (read_it(&q) != -EBADMSG)
			fail_msg("%s", rows[i].what);
		/* where nobody would look, too */
		make(&q, "www.example.com. 60 IN A 192.0.2.1");
		append_record(rows[i].type, 60, rows[i].data, rows[i].size, DNS_AT_NS);
		if (read_it(&q) != -EBADMSG)
			fail_msg("%s in the authority section", rows[i].what);
	}
}

static void two_opts_and_bytes_behind_the_end_are_refused(void **state)
{
	struct dns_question q = question("www.example.com", DNS_A);

	(void)state;
	make(&q, "www.example.com. 60 IN A 192.0.2.1");
	append_opt("", 0, 0);
	assert_int_equal(read_it(&q), 0);
	append_opt("", 0, 0);
	assert_int_equal(read_it(&q), -EBADMSG);
	make(&q, "www.example.com. 60 IN A 192.0.2.1");
	append("", 1);
	assert_int_equal(read_it(&q), -EBADMSG);
}

static void every_cut_is_noticed(void **state)
{
	struct dns_question q = question("www.example.com", DNS_A);
	size_t whole;

	(void)state;
	make(&q, "www.example.com. 60 IN CNAME a.example.net.;a.example.net. 60 IN A 192.0.2.1"
		 "|example.net. 60 IN NS ns.example.net.|ns.example.net. 60 IN AAAA 2001:db8::1");
	whole = wire_size;
	assert_int_equal(read_it(&q), 0);
	for (wire_size = 0; wire_size < whole; wire_size++) {
		uint8_t *copy =
			malloc(wire_size ? wire_size : 1); /* so that a tool sees overreads */

		memcpy(copy, wire, wire_size);
		assert_int_equal(dns_read(copy, wire_size, &q, &answer), -EBADMSG);
		free(copy);
	}
}

static void counts_are_not_believed(void **state)
{
	struct dns_question q = question("www.example.com", DNS_A);

	(void)state;
	for (unsigned int at = DNS_AT_QD; at <= DNS_AT_AR; at += 2) {
		make(&q, "www.example.com. 60 IN A 192.0.2.1");
		dns_put16(wire + at, 0xffff);
		assert_int_equal(read_it(&q), -EBADMSG);
		assert_int_equal(dns_records(wire, wire_size, DNS_IN_ANSWER, DNS_ANY, NULL),
				 -EBADMSG);
	}
}

static void cname_loops_end(void **state)
{
	struct dns_question q = question("a.example", DNS_A);
	char chain[4096];
	int n = 0;

	(void)state;
	make(&q, "a.example. 60 IN CNAME b.example.;b.example. 60 IN CNAME a.example.");
	assert_int_equal(read_it(&q), -EBADMSG);
	make(&q, "a.example. 60 IN CNAME a.example.");
	assert_int_equal(read_it(&q), -EBADMSG);
	for (int i = 0; i < 16; i++)
		n += snprintf(chain + n, sizeof(chain) - (size_t)n,
			      "%c.example. 60 IN CNAME %c.example.;", 'a' + i, 'b' + i);
	make(&q, chain);
	assert_int_equal(read_it(&q), 0);
	assert_int_equal(answer.chain, 16);
	snprintf(chain + n, sizeof(chain) - (size_t)n, "q.example. 60 IN CNAME r.example.");
	make(&q, chain);
	assert_int_equal(read_it(&q), -EBADMSG);
	/* asked for the CNAME itself, none is followed */
	q.type = DNS_CNAME;
	make(&q, "a.example. 60 IN CNAME a.example.");
	assert_int_equal(read_it(&q), 0);
	assert_int_equal(answer.chain, 0);
	assert_int_equal(answer.ttl, 60);
}

/* A name of 127 labels whose every part is a pointer to the next: as many jumps as there can be. */
static void compression_is_bounded(void **state)
{
	struct dns_question q = question("x", DNS_A);
	uint8_t ns[4] = {1, 'a', 0xc0, 12};
	unsigned int at;

	(void)state;
	make(&q, "");
	for (unsigned int i = 0; i < 200; i++) {
		at = (unsigned int)wire_size + 12;
		append_record(DNS_NS, 60, ns, sizeof(ns), DNS_AT_AN);
		dns_put16(ns + 2, 0xc000 | at);
		/* 3 octets of the question's name, 2 for each label: 127 labels are the most */
		assert_int_equal(read_it(&q), i < 126 ? 0 : -EBADMSG);
		if (i >= 126)
			return;
	}
	fail();
}

/* Sound messages with bytes changed at random: nothing is read beyond them, nothing aborts. */
static void damaged_messages_do_no_harm(void **state)
{
	struct dns_question q = question("www.example.com", DNS_A);
	unsigned int refused = 0, read = 0;
	uint8_t whole[1024];
	size_t size;

	(void)state;
	make(&q,
	     "www.example.com. 60 IN CNAME a.example.net.;a.example.net. 60 IN A 192.0.2.1;"
	     "a.example.net. 60 IN RRSIG A 8 2 60 20300101000000 20240101000000 1 example. AwE=;"
	     "a.example.net. 60 IN TXT \"x\" \"y\""
	     "|example.net. 60 IN NS ns.example.net.;"
	     "example.net. 60 IN SOA ns.example.net. a.example.net. 1 2 3 4 5;"
	     "a.example.net. 60 IN NSEC b.example.net. A NS RRSIG");
	append_opt("\0\3\0\2ab", 6, 0);
	size = wire_size;
	memcpy(whole, wire, size);
	srandom(5);
	for (unsigned int i = 0; i < 200000; i++) {
		struct dns_record *r;
		int n;

		memcpy(wire, whole, size);
		for (unsigned int k = 1 + (unsigned int)random() % 4; k; k--)
			wire[(unsigned long)random() % size] = (uint8_t)random();
		wire_size = random() % 4 ? size : (size_t)random() % size;
		if (read_it(&q)) {
			refused++;
			continue;
		}
		read++;
		n = dns_records(wire, wire_size, DNS_IN_ANSWER, DNS_ANY, &r);
		if (n >= 0)
			dns_records_free(r, n);
	}
	assert_true(refused > 50000 && read > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_sound_message_is_refused),
		cmocka_unit_test(two_opts_and_bytes_behind_the_end_are_refused),
		cmocka_unit_test(every_cut_is_noticed),
		cmocka_unit_test(counts_are_not_believed),
		cmocka_unit_test(cname_loops_end),
		cmocka_unit_test(compression_is_bounded),
		cmocka_unit_test(damaged_messages_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
