/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/route53.h"

#define HEAD "<?xml version=\"1.0\"?>\n"
#define BARE_BEGIN                                                                                 \
	"<ListResourceRecordSetsResponse "                                                         \
	"xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ResourceRecordSets>"
#define LIST_BEGIN HEAD BARE_BEGIN
#define LIST_END                                                                                   \
	"</ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>100</MaxItems>"            \
	"</ListResourceRecordSetsResponse>"
#define VALUES(v)                                                                                  \
	"<ResourceRecords><ResourceRecord><Value>" v "</Value></ResourceRecord></ResourceRecords>"
#define WWW(inner)                                                                                 \
	"<ResourceRecordSet><Name>www.example.com.</Name><Type>A</Type>" inner                     \
	"</ResourceRecordSet>"
#define PLAIN WWW("<TTL>60</TTL>" VALUES("192.0.2.1"))

static int read_page(const char *xml, struct route53_page *p)
{
	*p = (struct route53_page){.name = "www.example.com.", .type = DNS_A};
	return route53_read_page(xml, strlen(xml), p);
}

/* What the page says of www.example.com./A, as people write it; or the error's name. */
static const char *set_in(const char *xml)
{
	static char text[1024];
	static struct dns_rrset r;
	char why[DNS_WHY] = "";
	struct route53_page p;
	int err = read_page(xml, &p);

	if (!err)
		err = route53_to_rrset(&p.sets, p.name, p.type, &r, why);
	if (err) {
		snprintf(text, sizeof(text), "%s", strerrorname_np(-err));
		assert_int_equal(why[0] != '\0', err == -EOPNOTSUPP || p.sets.n);
	} else {
		dns_rrset_text(&r, text, sizeof(text));
	}
	route53_sets_free(&p.sets);
	return text;
}

static void a_page_is_read_as_the_set_that_it_has(void **state)
{
	static const struct {
		const char *xml, *text;
	} table[] = {
		{LIST_BEGIN PLAIN LIST_END, "192.0.2.1 (TTL 60)"},
		{LIST_BEGIN LIST_END, "nothing"},
		{LIST_BEGIN WWW("<SetIdentifier>a</SetIdentifier><Weight>0</Weight>"
				"<TTL>5</TTL>" VALUES("192.0.2.2"))
			 WWW("<SetIdentifier>b</SetIdentifier><Weight>255</Weight>"
			     "<TTL>5</TTL>" VALUES("192.0.2.1") "<HealthCheckId>x</HealthCheckId>")
				 LIST_END,
		 "192.0.2.1=255 192.0.2.2=0 (TTL 5)"},
		/* of another name, another type; what comes behind */
		{LIST_BEGIN
		 "<ResourceRecordSet><Name>a.example.com.</Name><Type>A</Type><TTL>1</TTL>" VALUES(
			 "192.0.2.9") "</ResourceRecordSet>"
				      "<ResourceRecordSet><Name>www.example.com.</Name><Type>AAAA</Type>"
				      "<TTL>1</TTL>" VALUES(
					      "2001:db8::1") "</ResourceRecordSet>" PLAIN LIST_END,
		 "192.0.2.1 (TTL 60)"},
		{LIST_BEGIN
		 "<ResourceRecordSet><Name>WWW.Example.com</Name><Type>A</Type><TTL>1</TTL>" VALUES(
			 "192.0.2.9") "</ResourceRecordSet>" LIST_END,
		 "192.0.2.9 (TTL 1)"},
		/* blanks, comments, CDATA, entities: as XML has them */
		{LIST_BEGIN "\n  <!-- <Name> -->" WWW(
			 "\n<TTL>6<![CDATA[0]]></TTL>" VALUES("192.0.&#50;.1")) LIST_END,
		 "192.0.2.1 (TTL 60)"},
		/* within something unknown a Value is none of ours */
		{LIST_BEGIN WWW("<TTL>60</TTL>" VALUES("192.0.2.1") "<Future>" VALUES(
			 "192.0.2.66") "<Name>x.</Name><TTL>1</TTL></Future>") LIST_END,
		 "192.0.2.1 (TTL 60)"},
		{LIST_BEGIN WWW("<AliasTarget><DNSName>x.</DNSName></AliasTarget>") LIST_END,
		 "EOPNOTSUPP"},
		{LIST_BEGIN WWW("<Region>eu-west-1</Region><TTL>1</TTL>" VALUES("192.0.2.1"))
			 LIST_END,
		 "EOPNOTSUPP"},
		{LIST_BEGIN WWW("<MultiValueAnswer>true</MultiValueAnswer><TTL>1</TTL>" VALUES(
			 "192.0.2.1")) LIST_END,
		 "EOPNOTSUPP"},
		{LIST_BEGIN WWW(
			 "<SetIdentifier>a</SetIdentifier><Weight>1</Weight><TTL>5</TTL>" VALUES(
				 "192.0.2.2"))
			 WWW("<SetIdentifier>b</SetIdentifier><Weight>1</Weight><TTL>6</TTL>" VALUES(
				 "192.0.2.1")) LIST_END,
		 "EOPNOTSUPP"},
		{LIST_BEGIN WWW("<TTL>60</TTL>" VALUES("no.address")) LIST_END, "EBADMSG"},
		{LIST_BEGIN WWW("<TTL>60</TTL>" VALUES("")) LIST_END, "EBADMSG"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (strcmp(set_in(table[i].xml), table[i].text) != 0)
			fail_msg("%zu: %s", i, set_in(table[i].xml));
}

static void what_is_no_answer_is_refused(void **state)
{
	static const char *const table[] = {
		"",
		"<html></html>",
		"{}",
		HEAD "<ErrorResponse/>",
		LIST_BEGIN PLAIN,
		LIST_BEGIN PLAIN LIST_END "<more/>",
		LIST_BEGIN WWW("<TTL>-1</TTL>" VALUES("192.0.2.1")) LIST_END,
		LIST_BEGIN WWW("<TTL>2147483648</TTL>" VALUES("192.0.2.1")) LIST_END,
		LIST_BEGIN WWW("<TTL>6x</TTL>" VALUES("192.0.2.1")) LIST_END,
		LIST_BEGIN WWW("<Weight>70000</Weight><TTL>6</TTL>" VALUES("192.0.2.1")) LIST_END,
		LIST_BEGIN "<ResourceRecordSet><Type>A</Type></ResourceRecordSet>" LIST_END,
		HEAD "<!DOCTYPE x [<!ENTITY a \"192.0.2.66\">]>" BARE_BEGIN WWW(
			"<TTL>60</TTL>" VALUES("&a;")) LIST_END,
		HEAD "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">" BARE_BEGIN PLAIN LIST_END,
		LIST_BEGIN "&a;" LIST_END,
	};
	struct route53_page p;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		int err = read_page(table[i], &p);

		route53_sets_free(&p.sets);
		if (err != -EBADMSG)
			fail_msg("%zu: %d", i, err);
	}
	{
		char *deep = calloc(1, 4000), *huge = malloc(100000);

		for (int i = 0; i < 1000; i++)
			strcat(deep, "<a>");
		assert_int_equal(read_page(deep, &p), -EBADMSG);
		snprintf(huge, 100000,
			 LIST_BEGIN "<ResourceRecordSet><Name>%.60000d</Name>"
				    "<Type>A</Type></ResourceRecordSet>" LIST_END,
			 0);
		assert_int_equal(read_page(huge, &p), -EBADMSG);
		free(deep);
		free(huge);
	}
}

/* For valgrind and the sanitizers: no cut and no flipped bit makes more than an error of it. */
static void no_cut_and_no_flip_breaks_the_reader(void **state)
{
	static const char xml[] = LIST_BEGIN PLAIN WWW(
		"<SetIdentifier>b</SetIdentifier><Weight>1</Weight><TTL>6</TTL>" VALUES(
			"192.0.2.1") "<HealthCheckId>x</HealthCheckId>") LIST_END;
	char *copy = malloc(sizeof(xml));
	struct route53_page p;
	struct route53_error e;
	struct route53_info info;

	(void)state;
	for (size_t n = 0; n < sizeof(xml) - 1; n++) {
		memcpy(copy, xml, n);
		copy[n] = '\0';
		assert_int_equal(read_page(copy, &p), -EBADMSG);
		route53_sets_free(&p.sets);
		memcpy(copy, xml, sizeof(xml));
		copy[n] ^= (char)(1 << n % 7);
		read_page(copy, &p);
		route53_sets_free(&p.sets);
		route53_read_error(copy, strlen(copy), &e);
		route53_read_info(copy, strlen(copy), &info);
	}
	free(copy);
}

static void a_page_says_whether_and_where_there_is_more(void **state)
{
	struct route53_page p;

	(void)state;
	assert_int_equal(read_page(LIST_BEGIN PLAIN
				   "</ResourceRecordSets><IsTruncated>true</IsTruncated>"
				   "<NextRecordName>\\052.example.com.</NextRecordName>"
				   "<NextRecordType>A</NextRecordType>"
				   "<NextRecordIdentifier>a&amp;b</NextRecordIdentifier>"
				   "<MaxItems>1</MaxItems></ListResourceRecordSetsResponse>",
				   &p),
			 0);
	assert_true(p.truncated);
	assert_false(p.past);
	assert_string_equal(p.next_name, "\\052.example.com.");
	assert_string_equal(p.next_type, "A");
	assert_string_equal(p.next_id, "a&b");
	route53_sets_free(&p.sets);
}

static void errors_of_both_shapes_are_read(void **state)
{
	static const struct {
		const char *xml, *code, *message;
	} table[] = {
		{HEAD
		 "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>Throttling</Code>"
		 "<Message>Rate exceeded</Message></Error><RequestId>r</RequestId></ErrorResponse>",
		 "Throttling", "Rate exceeded"},
		{HEAD
		 "<InvalidChangeBatch xmlns=\"x\"><Messages><Message>one</Message>"
		 "<Message>two</Message></Messages><RequestId>r</RequestId></InvalidChangeBatch>",
		 "InvalidChangeBatch", "one; two"},
		{HEAD
		 "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>It does not.\n\n"
		 "The Canonical String was\n'GET x-amz-security-token:SECRET'</Message></Error>"
		 "</ErrorResponse>",
		 "SignatureDoesNotMatch", "It does not."},
		{"<html><body>502</body></html>", "", ""},
		{"Service Unavailable", "", ""},
		{"", "", ""},
		{HEAD "<ErrorResponse><Error><Code>Thro", "", ""},
	};
	struct route53_error e;
	char *xml = malloc(5000);

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		route53_read_error(table[i].xml, strlen(table[i].xml), &e);
		assert_string_equal(e.code, table[i].code);
		if (e.code[0])
			assert_string_equal(e.message, table[i].message);
	}
	route53_read_error(NULL, 0, &e);
	assert_string_equal(e.code, "");
	snprintf(xml, 5000,
		 "<ErrorResponse><Error><Code>X</Code><Message>%.3000d</Message></Error>"
		 "</ErrorResponse>",
		 0);
	route53_read_error(xml, strlen(xml), &e);
	assert_string_equal(e.code, "X");
	assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
	free(xml);
}

static void a_changes_id_is_one_that_may_stand_in_a_path(void **state)
{
	static const struct {
		const char *id;
		int err;
		const char *wanted;
	} table[] = {
		{"/change/C2682N5HXP0BZ4", 0, "C2682N5HXP0BZ4"},
		{"C2682N5HXP0BZ4", 0, "C2682N5HXP0BZ4"},
		{"", -EBADMSG, NULL},
		{"/change/", -EBADMSG, NULL},
		{"/change/C1?x=y", -EBADMSG, NULL},
		{"/change/..", -EBADMSG, NULL},
		{"/change/C1%2e", -EBADMSG, NULL},
		{"/change/C0000000000000000000000000000000000000000000000000000000000000000000",
		 -EBADMSG, NULL},
	};
	char xml[512];

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct route53_info info;

		snprintf(
			xml, sizeof(xml),
			"<GetChangeResponse><ChangeInfo><Id>%s</Id><Status>%s</Status></ChangeInfo>"
			"</GetChangeResponse>",
			table[i].id, i % 2 ? "INSYNC" : "PENDING");
		assert_int_equal(route53_read_info(xml, strlen(xml), &info), table[i].err);
		if (table[i].err)
			continue;
		assert_string_equal(info.id, table[i].wanted);
		assert_int_equal(info.insync, i % 2);
	}
}

static void names_are_the_same_in_both_spellings(void **state)
{
	static const struct {
		const char *theirs, *ours;
	} table[] = {
		{"www.example.com.", "www.example.com."},
		{"\\052.example.com.", "*.example.com."},
		{"a_b-c.example.com.", "a_b-c.example.com."},
		{".", "."},
	};
	static const char *const both[] = {"www.example.com.", "*.example.com.",
					   "a\\032b.example.com.", "a\\.b.example.com.",
					   "\\200\\001.example.com."};
	char text[DNS_NAME], out[ROUTE53_NAME], again[DNS_NAME];

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		assert_int_equal(route53_name_in(table[i].theirs, text), 0);
		assert_string_equal(text, table[i].ours);
		assert_string_equal(route53_name_out(table[i].ours, out), table[i].theirs);
	}
	assert_int_equal(route53_name_in("\\052.Example.COM", text), 0);
	assert_string_equal(text, "*.example.com.");
	for (size_t i = 0; i < sizeof(both) / sizeof(*both); i++) {
		assert_int_equal(dns_name(both[i], text), 0);
		route53_name_out(text, out);
		assert_null(strpbrk(out, "* ABC"));
		assert_int_equal(route53_name_in(out, again), 0);
		assert_string_equal(again, text);
	}
	assert_string_equal(route53_name_out("a\\032b.", out), "a\\040b.");
	assert_int_equal(route53_name_in("\\5.example.com.", text), -EINVAL);
	assert_int_equal(route53_name_in("\\089.example.com.", text), -EINVAL);
	assert_int_equal(route53_name_in("\\777.example.com.", text), -EINVAL);
	assert_int_equal(route53_name_in("a..example.com.", text), -EINVAL);
}

static void member(struct dns_rrset *r, const char *data, int weight, const char *set_id)
{
	struct dns_member *m = &r->member[r->n++];

	memset(m, 0, sizeof(*m));
	snprintf(m->data, sizeof(m->data), "%s", data);
	snprintf(m->set_id, sizeof(m->set_id), "%s", set_id);
	m->weighted = weight >= 0;
	m->weight = weight >= 0 ? (uint16_t)weight : 0;
}

static void the_batch_deletes_what_was_and_creates_what_shall_be(void **state)
{
	static struct dns_rrset fresh = {.name = "*.example.com.", .type = DNS_A, .ttl = 60};
	struct route53_page p;
	struct route53_sets sets;
	char why[DNS_WHY], *body;

	(void)state;
	assert_int_equal(
		read_page(LIST_BEGIN WWW("<SetIdentifier>a&lt;&amp;b</SetIdentifier>"
					 "<Weight>7</Weight><TTL>5</TTL>" VALUES(
						 "192.0.2.1") "<HealthCheckId>hc</HealthCheckId>")
				  LIST_END,
			  &p),
		0);
	member(&fresh, "203.0.113.9", 40, "");
	member(&fresh, "203.0.113.10", 60, "mine");
	assert_int_equal(route53_of_rrset(&fresh, &sets, why), 0);
	body = route53_batch(fresh.name, fresh.type, &p.sets, &sets);
	assert_string_equal(
		body,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<ChangeResourceRecordSetsRequest "
		"xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\n"
		"<ChangeBatch><Comment>shiftctl</Comment><Changes>\n"
		"<Change><Action>DELETE</Action>\n"
		"<ResourceRecordSet><Name>\\052.example.com.</Name><Type>A</Type>"
		"<SetIdentifier>a&lt;&amp;b</SetIdentifier><Weight>7</Weight><TTL>5</TTL>\n"
		"<ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord>"
		"</ResourceRecords><HealthCheckId>hc</HealthCheckId></ResourceRecordSet></Change>\n"
		"<Change><Action>CREATE</Action>\n"
		"<ResourceRecordSet><Name>\\052.example.com.</Name><Type>A</Type>"
		"<SetIdentifier>mine</SetIdentifier><Weight>60</Weight><TTL>60</TTL>\n"
		"<ResourceRecords><ResourceRecord><Value>203.0.113.10</Value></ResourceRecord>"
		"</ResourceRecords></ResourceRecordSet></Change>\n"
		"<Change><Action>CREATE</Action>\n"
		"<ResourceRecordSet><Name>\\052.example.com.</Name><Type>A</Type>"
		"<SetIdentifier>shift-203.0.113.9</SetIdentifier><Weight>40</Weight><TTL>60</TTL>\n"
		"<ResourceRecords><ResourceRecord><Value>203.0.113.9</Value></ResourceRecord>"
		"</ResourceRecords></ResourceRecordSet></Change>\n"
		"</Changes></ChangeBatch>\n"
		"</ChangeResourceRecordSetsRequest>\n");
	free(body);
	route53_sets_free(&p.sets);
	route53_sets_free(&sets);
}

static void what_is_deleted_is_spelled_as_it_is_stored(void **state)
{
	static struct dns_rrset r;
	struct route53_page p = {.name = "www.example.com.", .type = DNS_AAAA};
	static const char xml[] = LIST_BEGIN
		"<ResourceRecordSet><Name>www.example.com.</Name><Type>AAAA</Type><TTL>5</TTL>" VALUES(
			"2001:DB8:0::0001") "</ResourceRecordSet>" LIST_END;
	struct route53_sets none = {0};
	char why[DNS_WHY], *body;

	(void)state;
	assert_int_equal(route53_read_page(xml, strlen(xml), &p), 0);
	assert_int_equal(route53_to_rrset(&p.sets, p.name, p.type, &r, why), 0);
	assert_string_equal(r.member[0].data, "2001:db8::1");
	body = route53_batch(p.name, p.type, &p.sets, &none);
	assert_non_null(strstr(body, "<Value>2001:DB8:0::0001</Value>"));
	free(body);
	route53_sets_free(&p.sets);
}

static void members_and_sets_are_the_same_there_and_back(void **state)
{
	static struct dns_rrset r = {.name = "www.example.com.", .type = DNS_A, .ttl = 60}, back;
	struct route53_sets sets;
	char why[DNS_WHY];

	(void)state;
	member(&r, "192.0.2.1", 10, "a"); /* two values in one set */
	member(&r, "192.0.2.2", 10, "a");
	member(&r, "192.0.2.3", 0, "b");
	snprintf(r.member[2].health_check, sizeof(r.member[2].health_check), "hc");
	assert_int_equal(route53_of_rrset(&r, &sets, why), 0);
	assert_int_equal(sets.n, 2);
	assert_int_equal(sets.set[0].n, 2);
	assert_int_equal(route53_to_rrset(&sets, r.name, r.type, &back, why), 0);
	assert_true(dns_rrset_same(&r, &back));
	assert_string_equal(back.member[2].health_check, "hc");
	route53_sets_free(&sets);
	r.n = 0;
	member(&r, "192.0.2.1", -1, "");
	member(&r, "192.0.2.2", -1, "");
	assert_int_equal(route53_of_rrset(&r, &sets, why), 0);
	assert_int_equal(sets.n, 1);
	assert_int_equal(sets.set[0].n, 2);
	route53_sets_free(&sets);
	member(&r, "192.0.2.3", 1, "");
	assert_int_equal(route53_of_rrset(&r, &sets, why), -EINVAL);
	r.n = 0;
	member(&r, "192.0.2.1", 256, "");
	assert_int_equal(route53_of_rrset(&r, &sets, why), -EINVAL);
	r.type = DNS_TXT;
	r.n = 0;
	assert_int_equal(route53_of_rrset(&r, &sets, why), -EINVAL);
}

static void an_identifier_is_made_of_the_address_and_fits(void **state)
{
	static struct dns_rrset r = {.name = "www.example.com.", .type = DNS_CNAME}, again;
	char name[128];

	(void)state;
	member(&r, "192.0.2.1", 1, "");
	member(&r, "192.0.2.2", -1, "left over");
	member(&r, "192.0.2.3", 1, "kept");
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	member(&r, name, 1, "");
	again = r;
	route53_name_members(&r);
	route53_name_members(&again);
	assert_true(dns_rrset_same(&r, &again));
	assert_string_equal(r.member[0].set_id, "shift-192.0.2.1");
	assert_string_equal(r.member[1].set_id, "");
	assert_string_equal(r.member[2].set_id, "kept");
	assert_int_equal(strlen(r.member[3].set_id), strlen("shift-0123456789abcdef"));
}

static void credentials_are_read_strictly(void **state)
{
	static const struct {
		const char *text, *user, *token, *why;
	} table[] = {
		{"[default]\naws_access_key_id = ID\naws_secret_access_key = S/+=x\n", "ID:S/+=x",
		 NULL, NULL},
		{"# made by hand\n\n; so\n[ default ]\r\n aws_ignored = 1\r\n"
		 "aws_access_key_id=ID\r\naws_secret_access_key=S\r\naws_session_token = T==\r\n"
		 "region = eu-west-1\r\naws_expiration = 2026\r\n",
		 "ID:S", "X-Amz-Security-Token: T==", NULL},
		{"[other]\naws_access_key_id = O\naws_secret_access_key = OS\n"
		 "[default]\naws_access_key_id = ID\naws_secret_access_key = S",
		 "ID:S", NULL, NULL},
		{"[profile cutover]\naws_access_key_id = ID\naws_secret_access_key = S\n", "ID:S",
		 NULL, NULL},
		{"", NULL, NULL, "no [default]"},
		{"just a token", NULL, NULL, "line 1: neither"},
		{"aws_access_key_id = ID\n", NULL, NULL, "line 1: a key before"},
		{"[default]\naws_access_key_id = ID\n", NULL, NULL, "has no aws_secret_access_key"},
		{"[default]\naws_secret_access_key = ID\n", NULL, NULL, "has no aws_access_key_id"},
		{"[default]\naws_access_key_id =\n", NULL, NULL, "line 2: a key without a value"},
		{"[default]\n= x\n", NULL, NULL, "line 2: a value without"},
		{"[default]\naws_access_key_id = A\naws_access_key_id = B\n", NULL, NULL,
		 "line 3: a key that was there before"},
		{"[default]\naws_secret_access_key = A B\n", NULL, NULL,
		 "line 2: a value with a blank"},
		{"[default]\naws_session_token = A\x01\n", NULL, NULL,
		 "line 2: a value with a blank"},
		{"[default]\n[default]\n", NULL, NULL, "line 2: a profile that was there before"},
		{"[default\n", NULL, NULL, "line 1: a profile's name without ']'"},
		{"[]\n", NULL, NULL, "line 1: a profile without a name"},
		{"[a]\nx = 1\n[b]\ny = 1\n", NULL, NULL, "several profiles"},
		{"[default]\nrole_arn = x\naws_access_key_id = ID\naws_secret_access_key = S\n",
		 NULL, NULL, "has role_arn"},
		{"[default]\ncredential_process = /bin/x\n", NULL, NULL, "has credential_process"},
		{"[default]\nsso_session = x\n", NULL, NULL, "has sso_"},
		{"[default]\naws_access_key_id = I:D\naws_secret_access_key = S\n", NULL, NULL,
		 "has a ':'"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct route53_credentials c;
		char why[DNS_WHY] = "";
		int err = route53_credentials_parse(table[i].text, &c, why);

		if (err != (table[i].user ? 0 : -EINVAL))
			fail_msg("%zu: %d %s", i, err, why);
		if (err) {
			if (!strstr(why, table[i].why))
				fail_msg("%zu: %s", i, why);
			assert_null(c.user);
			continue;
		}
		assert_string_equal(c.user, table[i].user);
		if (table[i].token)
			assert_string_equal(c.token, table[i].token);
		else
			assert_null(c.token);
		route53_credentials_forget(&c);
		assert_null(c.user);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_is_read_as_the_set_that_it_has),
		cmocka_unit_test(what_is_no_answer_is_refused),
		cmocka_unit_test(no_cut_and_no_flip_breaks_the_reader),
		cmocka_unit_test(a_page_says_whether_and_where_there_is_more),
		cmocka_unit_test(errors_of_both_shapes_are_read),
		cmocka_unit_test(a_changes_id_is_one_that_may_stand_in_a_path),
		cmocka_unit_test(names_are_the_same_in_both_spellings),
		cmocka_unit_test(the_batch_deletes_what_was_and_creates_what_shall_be),
		cmocka_unit_test(what_is_deleted_is_spelled_as_it_is_stored),
		cmocka_unit_test(members_and_sets_are_the_same_there_and_back),
		cmocka_unit_test(an_identifier_is_made_of_the_address_and_fits),
		cmocka_unit_test(credentials_are_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
