/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_api_http_parse.c - the dashboard's requests: what is understood, what is refused, whose page
 * it is. Most refusals are proven on the wire by tests/e2e/78-page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/api/http.h"
#include "userspace/api/http_parse.h"

#define HOST "Host: localhost:9750\r\n"

static struct api_slice slice(const char *text)
{
	return (struct api_slice){text, strlen(text)};
}

static void a_request_is_taken_apart(void **state)
{
	const char text[] = "POST /api/ramp/pause?x=1 HTTP/1.1\r\nhOsT:  [::1]:9750 \r\n"
			    "Origin: http://[::1]:9750\r\nAUTHORIZATION: Bearer abc\r\n"
			    "Content-Type: application/json\r\nContent-Length: 12\r\n"
			    "Last-Event-ID: 1-2\r\nConnection: keep-alive, Close\r\n"
			    "Expect: 100-Continue\r\nSec-Fetch-Site: same-origin\r\n\r\n{}";
	struct api_http_request r;

	(void)state;
	assert_int_equal(api_http_parse(text, sizeof(text) - 1, &r), sizeof(text) - 3);
	assert_int_equal(r.method, API_POST);
	assert_true(api_slice_is(r.path, "/api/ramp/pause"));
	assert_true(api_slice_is(r.query, "x=1"));
	assert_true(api_slice_is(r.host, "[::1]:9750"));
	assert_true(api_slice_is(r.origin, "http://[::1]:9750"));
	assert_true(api_slice_is(r.authorization, "Bearer abc"));
	assert_true(api_slice_is(r.content_type, "application/json"));
	assert_true(api_slice_is(r.last_event_id, "1-2"));
	assert_true(api_slice_is(r.fetch_site, "same-origin"));
	assert_true(r.minor && r.close && r.wants_100 && r.has_length);
	assert_int_equal(r.length, 12);
}

static void nothing_less_than_the_whole_head_is_a_request(void **state)
{
	const char text[] = "GET / HTTP/1.1\r\n" HOST "Accept: */*\r\n\r\nGET /next";
	size_t head = strlen(text) - strlen("GET /next");
	struct api_http_request r;

	(void)state;
	for (size_t n = 0; n < head; n++)
		assert_int_equal(api_http_parse(text, n, &r), 0);
	for (size_t n = head; n < sizeof(text); n++)
		assert_int_equal(api_http_parse(text, n, &r), head);
}

static void what_two_readers_could_read_differently_is_refused(void **state)
{
	static const struct {
		const char *text;
		int want;
	} table[] = {
		{"GET / HTTP/1.1\n" HOST "\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST "\n", -400},
		{"GET  / HTTP/1.1\r\n" HOST "\r\n", -400},
		{"GET / HTTP/1.1 \r\n" HOST "\r\n", -400},
		{"GET /a b HTTP/1.1\r\n" HOST "\r\n", -400},
		{"GET /\x80 HTTP/1.1\r\n" HOST "\r\n", -400},
		{"G\x01T / HTTP/1.1\r\n" HOST "\r\n", -400},
		{" GET / HTTP/1.1\r\n" HOST "\r\n", -400},
		{"GET http://localhost/ HTTP/1.1\r\n" HOST "\r\n", -400},
		{"GET * HTTP/1.1\r\n" HOST "\r\n", -400},
		{"GET /\r\n\r\n", -400},
		{"GET / http/1.1\r\n" HOST "\r\n", -400},
		{"GET / HTTP/1.1\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\nHost:\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST HOST "\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST "A\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST "A : a\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST " folded\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST "A: a\rb\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", -400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: 16385\r\n\r\n", -413},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551618\r\n\r\n", -413},
		{"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", -501},
		{"GET / HTTP/1.1\r\n" HOST "Expect: \r\n\r\n", -417},
		{"GET / HTTP/1.2\r\n" HOST "\r\n", -505},
		{"GET / HTTP/2.0\r\n" HOST "\r\n", -505},
	};
	struct api_http_request r;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		int got = api_http_parse(table[i].text, strlen(table[i].text), &r);

		if (got != table[i].want)
			print_error("%zu: %d, should be %d\n", i, got, table[i].want);
		assert_int_equal(got, table[i].want);
	}
}

static void what_is_too_long_is_refused_before_its_end(void **state)
{
	static char text[API_HTTP_MAX_HEAD + 100];
	struct api_http_request r;
	size_t n;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "GET /", 5);
	assert_int_equal(api_http_parse(text, API_HTTP_MAX_LINE - 1, &r), 0);
	assert_int_equal(api_http_parse(text, API_HTTP_MAX_LINE, &r), -414);
	n = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" HOST "X: ");
	text[n] = 'a';
	assert_int_equal(api_http_parse(text, API_HTTP_MAX_HEAD - 1, &r), 0);
	assert_int_equal(api_http_parse(text, API_HTTP_MAX_HEAD, &r), -431);
	/* a head that ends one byte behind the limit */
	memcpy(text + API_HTTP_MAX_HEAD - 3, "\r\n\r\n", 4);
	assert_int_equal(api_http_parse(text, sizeof(text), &r), -431);
	memcpy(text + API_HTTP_MAX_HEAD - 4, "\r\n\r\n", 4);
	assert_int_equal(api_http_parse(text, sizeof(text), &r), API_HTTP_MAX_HEAD);
}

static void only_names_of_this_page_are_taken(void **state)
{
	static const char *const allowed[] = {"wall.example"};
	static const struct {
		const char *host;
		bool ok;
	} table[] = {
		{"localhost", true},
		{"LocalHost:1", true},
		{"192.0.2.7", true},
		{"192.0.2.7:9750", true},
		{"wall.example:80", true},
		{"WALL.example", true},
		{"", false},
		{":9750", false},
		{"192.0.2.8", false},
		{"192.0.2.7.evil.example", false},
		{"localhost.", false},
		{"localhost:", false},
		{"localhost:x", false},
		{"localhost:123456", false},
		{"evil.localhost", false},
		{"localhost.evil.example", false},
		{"wall.example.evil", false},
		{"localhost@evil.example", false},
		{"localhost,evil", false},
		{"[192.0.2.7", false},
		{"[::1]", false},
		{"[]", false},
		{"[192.0.2.7]x", false},
		{"0.0.0.0", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		bool got = api_http_host_ok(slice(table[i].host), "192.0.2.7", allowed, 1);

		if (got != table[i].ok)
			print_error("%s\n", table[i].host);
		assert_int_equal(got, table[i].ok);
	}
	assert_true(api_http_host_ok(slice("[::1]:9750"), "::1", NULL, 0));
	assert_true(api_http_host_ok(slice("[2001:DB8::1]"), "2001:db8::1", NULL, 0));
}

static void only_the_page_itself_is_the_origin(void **state)
{
	static const struct {
		const char *origin, *host;
		bool ok;
	} table[] = {
		{"", "localhost", true}, /* no browser's */
		{"http://localhost:9750", "localhost:9750", true},
		{"https://wall.example", "wall.example", true},
		{"http://localhost", "localhost:9750", false},
		{"http://localhost:9751", "localhost:9750", false},
		{"http://evil.example", "localhost:9750", false},
		{"http://localhost:9750.evil", "localhost:9750", false},
		{"null", "localhost:9750", false},
		{"file://", "localhost:9750", false},
		{"localhost:9750", "localhost:9750", false},
		{"http://", "", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		assert_int_equal(api_http_origin_ok(slice(table[i].origin), slice(table[i].host)),
				 table[i].ok);
}

static void only_the_whole_token_is_the_token(void **state)
{
	static const char token[] = "correct-horse-battery-staple";
	size_t n = strlen(token);
	char other[64];

	(void)state;
	assert_true(api_token_is(token, token, n));
	for (size_t i = 0; i < n; i++) {
		assert_false(api_token_is(token, token, i));
		memcpy(other, token, n + 1);
		other[i] ^= 1;
		assert_false(api_token_is(token, other, n));
	}
	snprintf(other, sizeof(other), "%sx", token);
	assert_false(api_token_is(token, other, n + 1));
	/* with its zero */
	assert_false(api_token_is(token, token, n + 1));
	/* none is configured */
	assert_false(api_token_is("", "", 0));
	assert_false(api_token_is("", "\0\0", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_taken_apart),
		cmocka_unit_test(nothing_less_than_the_whole_head_is_a_request),
		cmocka_unit_test(what_two_readers_could_read_differently_is_refused),
		cmocka_unit_test(what_is_too_long_is_refused_before_its_end),
		cmocka_unit_test(only_names_of_this_page_are_taken),
		cmocka_unit_test(only_the_page_itself_is_the_origin),
		cmocka_unit_test(only_the_whole_token_is_the_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
