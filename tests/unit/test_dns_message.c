/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <ldns/ldns.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/message.h"
#include "dns/message_inner.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* ---- messages for the tests, from records as a zone file has them ---- */

static uint8_t wire[DNS_MAX_MESSAGE];
static size_t wire_size;

static struct dns_question question(const char *name, uint16_t type)
{
	struct dns_question q = {.type = type};

	assert_int_equal(dns_name(name, q.name), 0);
	return q;
}

static void push(ldns_pkt *p, ldns_pkt_section section, const char *text)
{
	ldns_rr *rr = NULL;

	assert_int_equal(ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL), LDNS_STATUS_OK);
	assert_true(ldns_pkt_push_rr(p, section, rr));
}

/* "A record; A record | authority | additional", encoded by ldns. */
static void make(const struct dns_question *q, const char *records)
{
	static const ldns_pkt_section sections[] = {LDNS_SECTION_ANSWER, LDNS_SECTION_AUTHORITY,
						    LDNS_SECTION_ADDITIONAL};
	ldns_pkt *p = ldns_pkt_query_new(ldns_dname_new_frm_str(q->name), (ldns_rr_type)q->type,
					 LDNS_RR_CLASS_IN, 0);
	char copy[4096], *at = copy, *end;
	unsigned int section = 0;
	uint8_t *bytes;

	ldns_pkt_set_qr(p, true);
	ldns_pkt_set_id(p, 0x1234);
	snprintf(copy, sizeof(copy), "%s", records);
	while (*at) {
		end = at + strcspn(at, ";|");
		if (*end == '|' && end == at) {
			section++;
			at++;
			continue;
		}
		char stop = *end;

		*end = '\0';
		push(p, sections[section], at);
		section += stop == '|';
		at = stop ? end + 1 : end;
	}
	assert_int_equal(ldns_pkt2wire(&bytes, p, &wire_size), LDNS_STATUS_OK);
	memcpy(wire, bytes, wire_size);
	free(bytes);
	ldns_pkt_free(p);
}

static struct dns_answer answer;

static int read_it(const struct dns_question *q)
{
	return dns_read(wire, wire_size, q, &answer);
}

static uint32_t v4(const char *text)
{
	unsigned int a, b, c, d;

	assert_int_equal(sscanf(text, "%u.%u.%u.%u", &a, &b, &c, &d), 4);
	return __builtin_bswap32(a << 24 | b << 16 | c << 8 | d);
}

static void append(const void *bytes, size_t size)
{
	memcpy(wire + wire_size, bytes, size);
	wire_size += size;
}

/* A record at the end, its owner the question's name. */
static void append_record(unsigned int type, uint32_t ttl, const void *data, size_t size,
			  unsigned int count_at)
{
	uint8_t head[12] = {0xc0, 0x0c, (uint8_t)(type >> 8), (uint8_t)type, 0, 1};

	for (int i = 0; i < 4; i++)
		head[6 + i] = (uint8_t)(ttl >> (24 - 8 * i));
	dns_put16(head + 10, (unsigned int)size);
	append(head, sizeof(head));
	append(data, size);
	dns_put16(wire + count_at, dns_get16(wire + count_at) + 1u);
}

/* The root's OPT with these options. */
static void append_opt(const void *options, size_t size, unsigned int extended)
{
	uint8_t head[11] = {0, 0, 41, 0x04, 0xd0, (uint8_t)extended, 0, 0, 0};

	dns_put16(head + 9, (unsigned int)size);
	append(head, sizeof(head));
	append(options, size);
	dns_put16(wire + DNS_AT_AR, dns_get16(wire + DNS_AT_AR) + 1u);
}

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

/* ---- hostile ones ---- */

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
		cmocka_unit_test(what_is_no_sound_message_is_refused),
		cmocka_unit_test(two_opts_and_bytes_behind_the_end_are_refused),
		cmocka_unit_test(every_cut_is_noticed),
		cmocka_unit_test(counts_are_not_believed),
		cmocka_unit_test(cname_loops_end),
		cmocka_unit_test(compression_is_bounded),
		cmocka_unit_test(records_are_as_in_a_zone_file),
		cmocka_unit_test(what_ldns_may_not_see_is_written_in_hex),
		cmocka_unit_test(types_and_codes_have_their_names),
		cmocka_unit_test(damaged_messages_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
