/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>

#include "dns/azure.h"
#include "dns/value.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define NAME	 "www.example.com."

static int read_text(const char *text, uint16_t type, struct dns_rrset *r, char *why)
{
	json_t *o = json_loads(text, 0, NULL);
	int err;

	assert_non_null(o);
	dns_value_start(r, NAME, type);
	why[0] = '\0';
	err = azure_rrset(o, r, why);
	json_decref(o);
	return err;
}

static void a_record_set_is_read_with_its_etag(void **state)
{
	static const struct {
		const char *json;
		uint16_t type;
		const char *text;
	} rows[] = {
		{"{\"etag\":\"e-1\",\"properties\":{\"TTL\":60,\"ARecords\":[{\"ipv4Address\":"
		 "\"192.0.2.2\"},{\"ipv4Address\":\"192.0.2.1\"}],\"targetResource\":{}}}",
		 DNS_A, "192.0.2.1 192.0.2.2 (TTL 60)"},
		{"{\"etag\":\"e-1\",\"properties\":{\"TTL\":1,\"AAAARecords\":[{\"ipv6Address\":"
		 "\"2001:DB8:0:0:0:0:0:1\"}]}}",
		 DNS_AAAA, "2001:db8::1 (TTL 1)"},
		{"{\"etag\":\"e-1\",\"properties\":{\"TTL\":60,\"CNAMERecord\":{\"cname\":"
		 "\"Edge.example.net\"}}}",
		 DNS_CNAME, "edge.example.net. (TTL 60)"},
	};
	static struct dns_rrset got;
	char why[DNS_WHY], text[256];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (read_text(rows[i].json, rows[i].type, &got, why))
			fail_msg("%s: %s", rows[i].json, why);
		assert_string_equal(dns_rrset_text(&got, text, sizeof(text)), rows[i].text);
		assert_string_equal(got.version, "e-1");
	}
}

static void what_is_no_plain_record_set_is_refused(void **state)
{
	static const struct {
		const char *json;
		uint16_t type;
		int err;
		const char *why;
	} rows[] = {
		{"{\"etag\":\"e\",\"properties\":{\"TTL\":60,\"targetResource\":{\"id\":\"/x/y\"}}}",
		 DNS_A, -ENOTSUP, "an alias of /x/y"},
		{"{\"etag\":\"e\",\"properties\":{\"TTL\":60,\"ARecords\":[]}}", DNS_A, -EINVAL,
		 "no records"},
		{"{\"etag\":\"e\",\"properties\":{\"TTL\":60,\"AAAARecords\":[{\"ipv6Address\":"
		 "\"::1\"}]}}",
		 DNS_A, -EINVAL, "no records"},
		{"{\"etag\":\"e\",\"properties\":{\"TTL\":60,\"ARecords\":[{\"ipv4Address\":"
		 "\"::1\"}]}}",
		 DNS_A, -EINVAL, "no address"},
		{"{\"etag\":\"e\",\"properties\":{\"TTL\":60,\"ARecords\":[{}]}}", DNS_A, -EINVAL,
		 "no address"},
		{"{\"etag\":\"e\",\"properties\":{\"TTL\":60}}", DNS_CNAME, -EINVAL, "no CNAME"},
		{"{\"etag\":\"e\",\"properties\":{\"ARecords\":[{\"ipv4Address\":\"192.0.2.1\"}]}}",
		 DNS_A, -EINVAL, "no TTL"},
		{"{\"etag\":\"e\",\"properties\":{\"TTL\":-1}}", DNS_A, -EINVAL, "no TTL"},
		{"{\"properties\":{\"TTL\":60,\"ARecords\":[{\"ipv4Address\":\"192.0.2.1\"}]}}",
		 DNS_A, -EINVAL, "no ETag"},
		{"{\"etag\":\"\",\"properties\":{\"TTL\":60}}", DNS_A, -EINVAL, "no ETag"},
		{"{\"etag\":\"a\\r\\nX: y\",\"properties\":{\"TTL\":60}}", DNS_A, -EINVAL,
		 "no header"},
		{"[]", DNS_A, -EINVAL, "no TTL"},
	};
	static struct dns_rrset got;
	char why[DNS_WHY];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(read_text(rows[i].json, rows[i].type, &got, why), rows[i].err);
		if (!strstr(why, rows[i].why))
			fail_msg("'%s' has no '%s'", why, rows[i].why);
	}
}

static void a_put_has_the_whole_set_and_the_metadata_that_were_there(void **state)
{
	static const struct {
		uint16_t type;
		const char *data[3], *metadata, *body;
	} rows[] = {
		{DNS_A,
		 {"203.0.113.10", "203.0.113.9"},
		 NULL,
		 "{\"properties\":{\"TTL\":60,\"ARecords\":[{\"ipv4Address\":\"203.0.113.10\"},"
		 "{\"ipv4Address\":\"203.0.113.9\"}]}}"},
		{DNS_AAAA,
		 {"2001:db8:0:0::9"},
		 "{\"run\":\"42\"}",
		 "{\"properties\":{\"TTL\":60,\"metadata\":{\"run\":\"42\"},\"AAAARecords\":[{"
		 "\"ipv6Address\":\"2001:db8::9\"}]}}"},
		{DNS_CNAME,
		 {"edge.example.net."},
		 "{}",
		 "{\"properties\":{\"TTL\":60,\"CNAMERecord\":{\"cname\":\"edge.example.net.\"}}}"},
	};
	static struct dns_rrset fresh;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		json_t *metadata = rows[i].metadata ? json_loads(rows[i].metadata, 0, NULL) : NULL;
		char *body;

		dns_value_start(&fresh, NAME, rows[i].type);
		fresh.ttl = 60;
		for (unsigned int j = 0; rows[i].data[j]; j++)
			assert_int_equal(dns_value_add(&fresh, rows[i].type, rows[i].data[j]), 0);
		dns_rrset_sort(&fresh);
		body = azure_body(&fresh, metadata);
		assert_string_equal(body, rows[i].body);
		free(body);
		json_decref(metadata);
	}
}

static void a_name_is_relative_to_its_zone(void **state)
{
	static const struct {
		const char *name, *zone, *want; /* NULL: not in it */
	} rows[] = {
		{"www.example.com.", "example.com.", "www"},
		{"a.b.example.com.", "example.com.", "a.b"},
		{"example.com.", "example.com.", "@"},
		{"*.example.com.", "example.com.", "*"},
		{"www.example.org.", "example.com.", NULL},
		{"notexample.com.", "example.com.", NULL},
		{"com.", "example.com.", NULL},
	};
	char got[DNS_NAME];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int err = azure_relative(rows[i].name, rows[i].zone, got, sizeof(got));

		assert_int_equal(err, rows[i].want ? 0 : -EINVAL);
		if (rows[i].want)
			assert_string_equal(got, rows[i].want);
	}
	assert_int_equal(azure_relative("www.example.com.", "example.com.", got, 3), -ENOSPC);
}

static void a_request_is_shown_without_its_token(void **state)
{
	static const char *const headers[] = {"If-Match: e-1", NULL};
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	(void)state;
	dns_value_show(to, "PUT", "https://api.example:8443/a/b?c=d", headers, "{}");
	fclose(to);
	assert_string_equal(text, "PUT /a/b?c=d HTTP/1.1\nHost: api.example:8443\n"
				  "Authorization: Bearer ***\nIf-Match: e-1\nContent-Length: 2\n"
				  "\n{}\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_set_is_read_with_its_etag),
		cmocka_unit_test(what_is_no_plain_record_set_is_refused),
		cmocka_unit_test(a_put_has_the_whole_set_and_the_metadata_that_were_there),
		cmocka_unit_test(a_name_is_relative_to_its_zone),
		cmocka_unit_test(a_request_is_shown_without_its_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
