/* SPDX-License-Identifier: GPL-2.0-only */
#include "tests/unit/dns_message_rig.h"

/* ---- names ---- */

static void names_are_read_as_people_write_them(void **state)
{
	char l63[65], l64[66], longest[260], too_long[260];
	const struct {
		const char *text, *is; /* NULL: no name */
	} rows[] = {
		{"www.Example.COM", "www.example.com."},
		{"www.example.com.", "www.example.com."},
		{".", "."},
		{"", NULL},
		{"..", NULL},
		{".com", NULL},
		{"a..b", NULL},
		{"a b", NULL},
		{"a\tb", NULL},
		{"m\xc3\xbcnchen.de", NULL},
		{"a\\.b.c", "a\\.b.c."},
		{"a\\046b.c", "a\\.b.c."},
		{"a\\065.c", "aa.c."},
		{"a\\000.c", "a\\000.c."},
		{"a\\256.c", NULL},
		{"a\\25", NULL},
		{"a\\", NULL},
		{"a\\\\.c", "a\\\\.c."},
		{"_dmarc.example.", "_dmarc.example."},
		{"*.example.", "*.example."},
		{l63, l63},
		{l64, NULL},
		{longest, longest},
		{too_long, NULL},
	};
	char name[DNS_NAME];

	(void)state;
	snprintf(l63, sizeof(l63), "%063d.", 0);
	snprintf(l64, sizeof(l64), "%064d.", 0);
	/* 3 · 64 + 62 + 1 = 255 octets, and one more */
	snprintf(longest, sizeof(longest), "%063d.%063d.%063d.%061d.", 0, 0, 0, 0);
	snprintf(too_long, sizeof(too_long), "%063d.%063d.%063d.%062d.", 0, 0, 0, 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		int err = dns_name(rows[i].text, name);

		if (err != (rows[i].is ? 0 : -EINVAL) || (!err && strcmp(name, rows[i].is) != 0))
			fail_msg("%s: %d, %s", rows[i].text, err, err ? "" : name);
	}
}

static void every_octet_comes_back_from_text(void **state)
{
	uint8_t name[DNS_WIRE], again[DNS_WIRE];
	char text[DNS_NAME], widest[DNS_NAME];

	(void)state;
	for (unsigned int c = 0; c < 256; c++) {
		memset(name, 0, sizeof(name));
		name[0] = 2;
		name[1] = (uint8_t)c;
		name[2] = 'x';
		dns_text_of(name, text);
		if (c >= 'A' && c <= 'Z')
			name[1] |= 0x20;
		assert_int_equal(dns_wire_of(text, again), 4);
		assert_memory_equal(again, name, 4);
	}
	/* the widest text there is fits */
	for (unsigned int i = 0; i < 4; i++) {
		name[64 * i] = i < 3 ? 63 : 61;
		memset(name + 64 * i + 1, 0xff, name[64 * i]);
	}
	name[254] = 0;
	dns_text_of(name, widest);
	assert_true(strlen(widest) < DNS_NAME);
	assert_int_equal(dns_wire_of(widest, again), 255);
	assert_memory_equal(again, name, 255);
}

static void a_name_is_below_a_zone_label_by_label(void **state)
{
	static const struct {
		const char *name, *zone;
		bool is;
	} rows[] = {
		{"www.example.com.", "example.com.", true},
		{"example.com.", "example.com.", true},
		{"www.example.com.", ".", true},
		{"com.", "example.com.", false},
		{"notexample.com.", "example.com.", false},
		{"a\\.example.com.", "example.com.", false},
		{"a\\\\.example.com.", "example.com.", true},
		{".", ".", true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (dns_below(rows[i].name, rows[i].zone) != rows[i].is)
			fail_msg("%s below %s", rows[i].name, rows[i].zone);
}

/* ---- questions ---- */

static void a_question_is_what_ldns_reads(void **state)
{
	struct dns_question q = question("wWw.example.com", DNS_AAAA);
	uint8_t m[DNS_QUERY];
	ldns_pkt *p;
	ldns_edns_option_list *options;
	char *text;
	int n;

	(void)state;
	q.recurse = q.dnssec = q.unchecked = q.nsid = true;
	q.subnet_family = 4;
	q.subnet_bits = 20;
	q.subnet[3] = v4("198.51.109.7");
	n = dns_query(&q, 0xbeef, m, sizeof(m));
	assert_true(n > 0);
	assert_int_equal(ldns_wire2pkt(&p, m, (size_t)n), LDNS_STATUS_OK);
	assert_int_equal(ldns_pkt_id(p), 0xbeef);
	assert_true(ldns_pkt_rd(p) && ldns_pkt_cd(p) && !ldns_pkt_qr(p) && ldns_pkt_edns_do(p));
	assert_int_equal(ldns_pkt_edns_udp_size(p), DNS_UDP_SIZE);
	assert_int_equal(ldns_pkt_qdcount(p), 1);
	text = ldns_rr2str(ldns_rr_list_rr(ldns_pkt_question(p), 0));
	assert_string_equal(text, "www.example.com.\tIN\tAAAA\n");
	free(text);
	options = ldns_pkt_edns_get_option_list(p);
	assert_int_equal(ldns_edns_option_list_get_count(options), 2);
	assert_int_equal(ldns_edns_get_code(ldns_edns_option_list_get_option(options, 0)), 3);
	assert_int_equal(ldns_edns_get_code(ldns_edns_option_list_get_option(options, 1)), 8);
	assert_int_equal(ldns_edns_get_size(ldns_edns_option_list_get_option(options, 1)), 7);
	assert_memory_equal(ldns_edns_get_data(ldns_edns_option_list_get_option(options, 1)),
			    "\0\1\x14\0\xc6\x33\x60", 7); /* cut to its 20 bits */
	ldns_pkt_free(p);
}

static void a_question_that_cannot_be_is_refused(void **state)
{
	struct dns_question q = question("example.com", DNS_A);
	uint8_t m[DNS_QUERY];
	int n = dns_query(&q, 1, m, sizeof(m));

	(void)state;
	assert_int_equal(n, 12 + 13 + 4 + 11);
	assert_int_equal(dns_query(&q, 1, m, (size_t)n - 1), -EINVAL);
	q.subnet_family = 4;
	q.subnet_bits = 33;
	assert_int_equal(dns_query(&q, 1, m, sizeof(m)), -EINVAL);
	q.subnet_family = 5;
	assert_int_equal(dns_query(&q, 1, m, sizeof(m)), -EINVAL);
	q.subnet_family = 6;
	q.subnet_bits = 128;
	assert_int_equal(dns_query(&q, 1, m, sizeof(m)), n + 8 + 16);
	q.subnet_family = 0;
	snprintf(q.name, sizeof(q.name), "a..b.");
	assert_int_equal(dns_query(&q, 1, m, sizeof(m)), -EINVAL);
}

/* ---- is it the answer? ---- */

static void only_the_answer_to_the_question_matches(void **state)
{
	struct dns_question q = question("www.example.com", DNS_A);
	uint8_t m[DNS_QUERY], a[DNS_QUERY];
	int n = dns_query(&q, 0x1234, m, sizeof(m));

	(void)state;
	memcpy(a, m, sizeof(a));
	assert_false(dns_matches(m, (size_t)n, a, (size_t)n)); /* the query itself */
	a[2] |= 0x80;
	assert_true(dns_matches(m, (size_t)n, a, (size_t)n));
	/* Every bit of ID, opcode, count and question counts, but the one of a letter's case. */
	for (unsigned int bit = 0; bit < 8u * (12 + 17 + 4); bit++) {
		unsigned int at = bit / 8, mask = 1u << bit % 8;
		bool letter = at >= 12 && at < 29 && m[at] >= 'a' && m[at] <= 'z';
		bool free_bit = (at == 2 && !(mask & 0xf8)) || at == 3 || (at >= 6 && at < 12) ||
				(letter && mask == 0x20);

		a[at] ^= (uint8_t)mask;
		if (dns_matches(m, (size_t)n, a, (size_t)n) != free_bit)
			fail_msg("bit %u of octet %u", bit % 8, at);
		a[at] ^= (uint8_t)mask;
	}
	/* without OPT it still does; cut off it does not */
	for (size_t size = 0; size < (size_t)n; size++)
		assert_int_equal(dns_matches(m, (size_t)n, a, size), size >= 12 + 17 + 4);
}

/* ---- what answers say ---- */

static void addresses_come_from_the_end_of_the_chain_alone(void **state)
{
	struct dns_question q = question("www.example.com", DNS_A);

	(void)state;
	make(&q, "www.example.com. 300 IN CNAME a.example.net.;"
		 "b.example.net. 20 IN A 203.0.113.9;"
		 "a.example.net. 60 IN CNAME B.example.net.;"
		 "b.example.net. 40 IN A 192.0.2.1;"
		 "b.example.net. 10 IN A 203.0.113.9;"
		 "www.example.com. 5 IN A 198.51.100.66;"
		 "evil.example.org. 1 IN A 198.51.100.66||b.example.net. 1 IN A 198.51.100.67");
	assert_int_equal(read_it(&q), 0);
	assert_int_equal(answer.chain, 2);
	assert_string_equal(answer.target, "b.example.net.");
	assert_int_equal(answer.n_addresses, 2);
	assert_int_equal(answer.address[0].ip[3], v4("192.0.2.1"));
	assert_int_equal(answer.address[0].family, 4);
	assert_int_equal(answer.address[1].ip[3], v4("203.0.113.9"));
	assert_int_equal(answer.address[1].ttl, 10);
	assert_int_equal(answer.ttl, 10);
	assert_false(answer.referral || answer.has_soa || answer.edns);
	assert_int_equal(answer.ede, -1);
	assert_int_equal(answer.subnet_scope, -1);
}

static void more_addresses_than_room_are_counted(void **state)
{
	struct dns_question q = question("www.example.com", DNS_AAAA);
	uint8_t ip[16] = {0x20, 0x01, 0x0d, 0xb8};

	(void)state;
	make(&q, "");
	for (unsigned int i = 0; i < DNS_MAX_ADDRESSES + 6; i++) {
		ip[15] = (uint8_t)(200 - i);
		append_record(DNS_AAAA, 60, ip, 16, DNS_AT_AN);
	}
	assert_int_equal(read_it(&q), 0);
	assert_int_equal(answer.n_addresses, DNS_MAX_ADDRESSES);
	assert_int_equal(answer.left_out, 6);
	for (unsigned int i = 1; i < DNS_MAX_ADDRESSES; i++)
		assert_true(memcmp(answer.address[i - 1].ip, answer.address[i].ip, 16) < 0);
}

static void a_ttl_above_2_31_is_zero(void **state)
{
	struct dns_question q = question("www.example.com", DNS_A);
	static const uint32_t ttls[][2] = {
		{0, 0}, {0x7fffffff, 0x7fffffff}, {0x80000000, 0}, {0xffffffff, 0}};

	(void)state;
	for (size_t i = 0; i < COUNT(ttls); i++) {
		make(&q, "");
		append_record(DNS_A, ttls[i][0], "\xc0\0\2\1", 4, DNS_AT_AN);
		assert_int_equal(read_it(&q), 0);
		assert_int_equal(answer.address[0].ttl, ttls[i][1]);
		assert_int_equal(answer.ttl, ttls[i][1]);
	}
}

static void negative_answers_say_for_how_long(void **state)
{
	struct dns_question q = question("nothing.example.com", DNS_A);

	(void)state;
	make(&q, "|example.com. 900 IN SOA ns.example.com. root.example.com. 4294967295 1 2 3 60");
	assert_int_equal(read_it(&q), 0);
	assert_true(answer.has_soa);
	assert_string_equal(answer.soa_owner, "example.com.");
	assert_int_equal(answer.serial, 4294967295u);
	assert_int_equal(answer.negative_ttl, 60);
	assert_false(answer.referral);
	/* that of another zone says nothing */
	make(&q, "|example.org. 900 IN SOA ns.example.com. root.example.com. 1 1 2 3 60");
	assert_int_equal(read_it(&q), 0);
	assert_false(answer.has_soa);
	q = question("example.com", DNS_SOA);
	make(&q, "example.com. 30 IN SOA ns.example.com. root.example.com. 7 1 2 3 60");
	assert_int_equal(read_it(&q), 0);
	assert_true(answer.has_soa);
	assert_int_equal(answer.serial, 7);
	assert_int_equal(answer.negative_ttl, 30);
}

static void a_referral_is_told_from_an_answer(void **state)
{
	static const struct {
		const char *records;
		uint8_t flags;
		bool is;
	} rows[] = {
		{"|example.com. 60 IN NS ns1.example.com.", 0, true},
		{"|com. 60 IN NS ns1.example.com.", 0, true},
		{"|example.org. 60 IN NS ns1.example.com.", 0, false},
		{"|example.com. 60 IN NS ns1.example.com.", 4, false},
		{"www.example.com. 60 IN A 192.0.2.1|example.com. 60 IN NS ns1.example.com.", 0,
		 false},
		{"|example.com. 60 IN NS a.example.;example.com. 9 IN SOA a. b. 1 2 3 4 5", 0,
		 false},
		{"", 0, false},
	};
	struct dns_question q = question("www.example.com", DNS_A);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		make(&q, rows[i].records);
		wire[2] |= rows[i].flags;
		assert_int_equal(read_it(&q), 0);
		if (answer.referral != rows[i].is)
			fail_msg("row %zu", i);
	}
}

static void edns_options_are_read(void **state)
{
	static const uint8_t options[] = {
		0,    3,    0, 5, 'l', 'o', 'n', '-', '1',	     /* NSID */
		0,    8,    0, 7, 0,   1,   20,	 16,  198, 51,	96,  /* client subnet, scope 16 */
		0,    15,   0, 7, 0,   3,   's', 't', 1,   'l', 'e', /* EDE 3 */
		0,    15,   0, 2, 0,   19,			     /* a second one */
		0xff, 0xee, 0, 0,				     /* what nobody knows */
	};
	static const uint8_t binary[] = {0, 3, 0, 2, 0xca, 0xfe};
	struct dns_question q = question("www.example.com", DNS_A);

	(void)state;
	make(&q, "");
	append_opt(options, sizeof(options), 1);
	assert_int_equal(read_it(&q), 0);
	assert_true(answer.edns);
	assert_int_equal(answer.rcode, DNS_BADVERS);
	assert_string_equal(answer.nsid, "lon-1");
	assert_int_equal(answer.subnet_scope, 16);
	assert_int_equal(answer.ede, 3);
	assert_string_equal(answer.ede_text, "st?le");
	make(&q, "");
	append_opt(binary, sizeof(binary), 0);
	assert_int_equal(read_it(&q), 0);
	assert_string_equal(answer.nsid, "cafe");
	/* cut short, at every place but between two options */
	for (size_t n = 1; n < sizeof(binary); n++) {
		make(&q, "");
		append_opt(binary, n, 0);
		assert_int_equal(read_it(&q), -EBADMSG);
	}
}

/* ---- records as text ---- */

static void records_are_as_in_a_zone_file(void **state)
{
	static const struct {
		uint16_t type;
		const char *data;
	} rows[] = {
		{DNS_A, "192.0.2.1"},
		{DNS_AAAA, "2001:db8::1"},
		{DNS_NS, "ns1.example.com."},
		{DNS_SOA, "ns1.example.com. root.example.com. 2024010101 7200 3600 1209600 300"},
		{15, "10 mail.example.com."},
		{33, "0 5 443 www.example.com."},
		{DNS_TXT, "\"v=spf1 -all\" \"more\""},
		{DNS_DS, "12345 8 2 "
			 "e2d3c916f6deeac73294e8268fb5885044a833fc5459588f4a9184cfc41a5766"},
		{DNS_DNSKEY, "257 3 8 AwEAAag="},
		{DNS_RRSIG, "A 8 2 60 20300101000000 20240101000000 12345 example.com. AwEAAag="},
		{47, "b.example.com. A RRSIG NSEC"},
	};
	struct dns_question q = question("example.com", DNS_ANY);
	struct dns_record *r;
	char text[512], type[16];
	int n;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		snprintf(text, sizeof(text), "Example.com. 60 IN %s %s",
			 dns_type_text(rows[i].type, type), rows[i].data);
		make(&q, text);
		n = dns_records(wire, wire_size, DNS_IN_ANSWER, rows[i].type, &r);
		assert_int_equal(n, 1);
		assert_string_equal(r[0].owner, "example.com.");
		assert_int_equal(r[0].ttl, 60);
		assert_int_equal(r[0].type, rows[i].type);
		n = (int)strlen(r[0].text);
		while (n && r[0].text[n - 1] == ' ') /* ldns ends a bitmap with a space */
			r[0].text[--n] = '\0';
		assert_string_equal(r[0].text, rows[i].data);
		dns_records_free(r, 1);
		assert_int_equal(dns_records(wire, wire_size, DNS_IN_AUTHORITY, DNS_ANY, &r), 0);
		dns_records_free(r, 0);
	}
}

static void what_ldns_may_not_see_is_written_in_hex(void **state)
{
	static const uint8_t nsec3[] = {1, 0, 0, 1, 0, 4, 1, 2, 3, 4};
	struct dns_question q = question("example.com", DNS_A);
	struct dns_record *r;

	(void)state;
	make(&q, "");
	append_record(50, 0x80000001, nsec3, sizeof(nsec3), DNS_AT_AN);
	append_record(65280, 7, "", 0, DNS_AT_AN);
	assert_int_equal(dns_records(wire, wire_size, DNS_IN_ANSWER, DNS_ANY, &r), 2);
	assert_string_equal(r[0].text, "\\# 10 01000001000401020304");
	assert_int_equal(r[0].ttl, 0);
	assert_string_equal(r[1].text, "\\# 0");
	dns_records_free(r, 2);
}

static void types_and_codes_have_their_names(void **state)
{
	char text[16];

	(void)state;
	assert_string_equal(dns_type_text(DNS_AAAA, text), "AAAA");
	assert_string_equal(dns_type_text(65, text), "TYPE65");
	assert_string_equal(dns_rcode_text(DNS_NXRRSET, text), "NXRRSET");
	assert_string_equal(dns_rcode_text(DNS_BADVERS, text), "BADVERS");
	assert_string_equal(dns_rcode_text(23, text), "RCODE23");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_read_as_people_write_them),
		cmocka_unit_test(every_octet_comes_back_from_text),
		cmocka_unit_test(a_name_is_below_a_zone_label_by_label),
		cmocka_unit_test(a_question_is_what_ldns_reads),
		cmocka_unit_test(a_question_that_cannot_be_is_refused),
		cmocka_unit_test(only_the_answer_to_the_question_matches),
		cmocka_unit_test(addresses_come_from_the_end_of_the_chain_alone),
		cmocka_unit_test(more_addresses_than_room_are_counted),
		cmocka_unit_test(a_ttl_above_2_31_is_zero),
		cmocka_unit_test(negative_answers_say_for_how_long),
		cmocka_unit_test(a_referral_is_told_from_an_answer),
		cmocka_unit_test(edns_options_are_read),
		cmocka_unit_test(records_are_as_in_a_zone_file),
		cmocka_unit_test(what_ldns_may_not_see_is_written_in_hex),
		cmocka_unit_test(types_and_codes_have_their_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
