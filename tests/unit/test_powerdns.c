/* SPDX-License-Identifier: GPL-2.0-only */
#include "tests/unit/provider_rig.h"

#define ZONE(rrsets) "{\"kind\":\"Native\",\"rrsets\":[" rrsets "]}"
#define SET(name, type, records)                                                                   \
	"{\"name\":\"" name "\",\"type\":\"" type "\",\"ttl\":60,\"records\":[" records "]}"
#define WWW(records) SET("www.example.com.", "A", records)
#define ON(content)  "{\"content\":\"" content "\",\"disabled\":false}"
#define OFF(content) "{\"content\":\"" content "\",\"disabled\":true}"
#define FOUND(content, disabled)                                                                   \
	"{\"content\":\"" content "\",\"disabled\":" disabled ",\"name\":\"www.example.com.\","    \
	"\"object_type\":\"record\",\"ttl\":60,\"type\":\"A\",\"zone\":\"example.com.\","          \
	"\"zone_id\":\"example.com.\"}"

static void an_answer_that_is_no_zone_is_not_taken_for_an_empty_set(void **state)
{
	static const struct {
		struct rig_reply answers[2];
		enum dns_changed outcome;
		const char *set; /* or a part of `why` */
	} rows[] = {
		{{{200, ZONE("")}, {200, "[]"}}, DNS_CHANGED, "nothing"},
		{{{200, ZONE(WWW(ON("192.0.2.2") "," ON("192.0.2.1")))}, {200, "[]"}},
		 DNS_CHANGED,
		 "192.0.2.1 192.0.2.2 (TTL 60)"},
		/* A server that knows no filter answers with the whole zone. */
		{{{200,
		   ZONE(SET("example.com.", "A", ON("192.0.2.8")) "," SET(
			   "www.example.com.", "AAAA",
			   ON("2001:db8::1")) "," WWW(ON("192.0.2.1")) "," SET("x.www.example.com.",
									       "A",
									       ON("192.0.2.9")))},
		  {200, "[]"}},
		 DNS_CHANGED,
		 "192.0.2.1 (TTL 60)"},
		{{{200, ZONE(SET("WWW.Example.COM.", "A", ON("192.0.2.1")))}, {200, "[]"}},
		 DNS_CHANGED,
		 "192.0.2.1 (TTL 60)"},
		{{{200, ZONE(WWW(ON("192.0.2.1") "," OFF("192.0.2.2")))}, {200, "[]"}},
		 DNS_CHANGED,
		 "192.0.2.1 (TTL 60)"},
		/* A server or backend that cannot search. */
		{{{200, ZONE(WWW(ON("192.0.2.1")))}, {404, "Not Found"}},
		 DNS_CHANGED,
		 "192.0.2.1 (TTL 60)"},
		{{{200, "{}"}}, DNS_REJECTED, "no zone"},
		{{{200, "[]"}}, DNS_REJECTED, "no zone"},
		{{{200, "<html>"}}, DNS_REJECTED, "no zone"},
		{{{200, ""}}, DNS_REJECTED, "no zone"},
		{{{200, "{\"rrsets\":{}}"}}, DNS_REJECTED, "no zone"},
		{{{200, ZONE(WWW(ON("192.0.2.300")))}}, DNS_REJECTED, "192.0.2.300"},
		{{{200, ZONE(WWW("{}"))}}, DNS_REJECTED, "without content"},
		{{{200, ZONE("{\"name\":\"www.example.com.\",\"type\":\"A\",\"ttl\":-1,"
			     "\"records\":[]}")}},
		 DNS_REJECTED,
		 "TTL"},
		{{{401, "Unauthorized"}}, DNS_DENIED, "API key is not accepted"},
		{{{404, "Not Found"}}, DNS_REJECTED, "no zone example.com. there"},
		{{{404, "{\"error\": \"Not Found\"}"}}, DNS_REJECTED, "no zone example.com. there"},
		{{{422, "{\"error\": \"Could not find domain 'example.com.'\"}"}},
		 DNS_REJECTED,
		 "Could not find domain 'example.com.' (status 422)"},
		{{{422, "no JSON\033[2J"}}, DNS_REJECTED, "status 422: no JSON [2J"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct provider_rig r = {.zone = "example.com"};
		struct dns_rrset set;
		char why[DNS_WHY], text[256];
		enum dns_changed got;

		memcpy(r.answers, rows[i].answers, sizeof(rows[i].answers));
		provider_rig_open(&r, &dns_powerdns);
		got = dns_powerdns.read(r.x, "www.example.com.", DNS_A, &set, why);
		if (got != rows[i].outcome)
			fail_msg("row %zu: %s: %s", i, dns_changes[got], why);
		if (got == DNS_CHANGED)
			assert_string_equal(dns_rrset_text(&set, text, sizeof(text)), rows[i].set);
		else if (!strstr(why, rows[i].set))
			fail_msg("row %zu: %s", i, why);
		provider_rig_close(&r);
	}
}

static void the_request_has_the_key_and_asks_for_one_set(void **state)
{
	struct provider_rig r = {.zone = "Example.com", .answers = {{401, ""}}};
	struct dns_rrset set;
	char why[DNS_WHY];

	(void)state;
	provider_rig_open(&r, &dns_powerdns);
	assert_int_equal(dns_powerdns.read(r.x, "www.example.com.", DNS_AAAA, &set, why),
			 DNS_DENIED);
	assert_int_equal(
		strncmp(r.server.seen->request,
			"GET /api/v1/servers/localhost/zones/example.com.?rrsets=true"
			"&rrset_name=www.example.com.&rrset_type=AAAA HTTP/1.1\r\n",
			strlen("GET /api/v1/servers/localhost/zones/example.com.?rrsets=true"
			       "&rrset_name=www.example.com.&rrset_type=AAAA HTTP/1.1\r\n")),
		0);
	assert_non_null(strstr(r.server.seen->request, "\r\nX-API-Key: " RIG_SECRET "\r\n"));
	assert_null(strstr(why, RIG_SECRET));
	provider_rig_close(&r);
}

static void a_name_out_of_the_zone_is_no_request(void **state)
{
	static const char *const names[] = {"www.example.net.", "example.com.net.",
					    "wwwexample.com.", "com."};
	struct provider_rig r = {.zone = "example.com"};
	struct dns_rrset set;
	char why[DNS_WHY];

	(void)state;
	provider_rig_open(&r, &dns_powerdns);
	for (size_t i = 0; i < COUNT(names); i++)
		assert_int_equal(dns_powerdns.read(r.x, names[i], DNS_A, &set, why), DNS_REJECTED);
	assert_int_equal(r.server.seen->requests, 0);
	provider_rig_close(&r);
}

/* What is sent is what show says, after what was read last. */
static void what_is_switched_off_is_sent_along(void **state)
{
	static const struct {
		const char *found, *old, *fresh;
		const char *want;
	} rows[] = {
		{"[]", "192.0.2.1", "203.0.113.1 203.0.113.2",
		 "\"ttl\":300,\"changetype\":\"REPLACE\",\"records\":[" ON("203.0.113.1") "," ON(
			 "203.0.113.2") "]"},
		{"[" FOUND("192.0.2.1", "false") "," FOUND("192.0.2.7", "true") "]", "192.0.2.1",
		 "203.0.113.1",
		 "\"ttl\":300,\"changetype\":\"REPLACE\",\"records\":[" ON("203.0.113.1") "," OFF(
			 "192.0.2.7") "]"},
		/* It is what is wanted: it is switched on. */
		{"[" FOUND("192.0.2.7", "true") "]", "192.0.2.1", "192.0.2.7",
		 "\"ttl\":300,\"changetype\":\"REPLACE\",\"records\":[" ON("192.0.2.7") "]"},
		{"[]", "192.0.2.1", "", "\"changetype\":\"DELETE\""},
		/* The TTL of what stays, switched off, is what it was. */
		{"[" FOUND("192.0.2.7", "true") "]", "192.0.2.1", "",
		 "\"ttl\":60,\"changetype\":\"REPLACE\",\"records\":[" OFF("192.0.2.7") "]"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct provider_rig r = {
			.zone = "example.com",
			.answers = {{200, ZONE(WWW(ON("192.0.2.1")))}, {200, rows[i].found}}};
		struct dns_rrset set, old, fresh;
		char why[DNS_WHY], want[1024];
		char *text;

		provider_rig_open(&r, &dns_powerdns);
		rig_set(rows[i].old, 60, &old);
		rig_set(rows[i].fresh, 300, &fresh);
		assert_int_equal(dns_powerdns.read(r.x, "www.example.com.", DNS_A, &set, why),
				 DNS_CHANGED);
		text = provider_rig_show(&r, &old, &fresh);
		snprintf(want, sizeof(want),
			 "\n\n{\"rrsets\":[{\"name\":\"www.example.com.\",\"type\":\"A\",%s}]}\n",
			 rows[i].want);
		if (!strstr(text, want))
			fail_msg("row %zu: %s", i, text);
		assert_non_null(strstr(text, "PATCH /api/v1/servers/localhost/zones/example.com. "
					     "HTTP/1.1\n"));
		assert_non_null(strstr(text, "X-API-Key: ***\n"));
		assert_null(strstr(text, RIG_SECRET));
		free(text);
		assert_int_equal(r.server.seen->requests, 2);
		provider_rig_close(&r);
	}
}

static void what_is_there_after_the_change_decides(void **state)
{
	static const char before[] = ZONE(WWW(ON("192.0.2.1")));
	static const char after[] = ZONE(WWW(ON("203.0.113.1")));
	static const char other[] = ZONE(WWW(ON("198.51.100.9")));
	static const char refusal[] = "{\"error\":\"Conflicts with pre-existing RRset\"}";
	static const struct {
		struct rig_reply answers[8];
		enum dns_changed outcome;
		const char *seen;
		unsigned int requests;
	} rows[] = {
		{{{200, before}, {200, "[]"}, {204, ""}, {200, after}},
		 DNS_CHANGED,
		 "203.0.113.1 (TTL 60)",
		 4},
		{{{200, other}, {200, "[]"}}, DNS_STALE, "198.51.100.9 (TTL 60)", 2},
		{{{200, before}, {200, "[]"}, {422, refusal}, {200, before}},
		 DNS_REJECTED,
		 "192.0.2.1 (TTL 60)",
		 4},
		/* Refused for what another writer did between. */
		{{{200, before}, {200, "[]"}, {422, refusal}, {200, other}},
		 DNS_STALE,
		 "198.51.100.9 (TTL 60)",
		 4},
		{{{200, before}, {200, "[]"}, {RIG_CUT, ""}, {200, after}},
		 DNS_CHANGED,
		 "203.0.113.1 (TTL 60)",
		 4},
		{{{200, before}, {200, "[]"}, {RIG_CUT, ""}, {200, before}},
		 DNS_UNREACHED,
		 "192.0.2.1 (TTL 60)",
		 6},
		/* At work still when it is read first. */
		{{{200, before}, {200, "[]"}, {500, "busy"}, {200, before}, {200, after}},
		 DNS_CHANGED,
		 "203.0.113.1 (TTL 60)",
		 5},
		/* Somebody else wrote between. */
		{{{200, before}, {200, "[]"}, {204, ""}, {200, other}},
		 DNS_HALF,
		 "198.51.100.9 (TTL 60)",
		 6},
		/* It says that it is done, and the old set stays. */
		{{{200, before}, {200, "[]"}, {204, ""}, {200, before}},
		 DNS_UNCERTAIN,
		 "192.0.2.1 (TTL 60)",
		 6},
		{{{200, before}, {200, "[]"}, {401, "Unauthorized"}},
		 DNS_DENIED,
		 "192.0.2.1 (TTL 60)",
		 3},
		{{{200, before}, {200, "[]"}, {204, ""}, {404, "Not Found"}},
		 DNS_UNCERTAIN,
		 "192.0.2.1 (TTL 60)",
		 4},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct provider_rig r = {.zone = "example.com"};
		struct dns_rrset old, fresh, seen;
		char why[DNS_WHY], id[128], text[256];
		enum dns_changed got;

		memcpy(r.answers, rows[i].answers, sizeof(rows[i].answers));
		provider_rig_open(&r, &dns_powerdns);
		rig_set("192.0.2.1", 60, &old);
		rig_set("203.0.113.1", 60, &fresh);
		got = dns_powerdns.apply(r.x, &old, &fresh, id, &seen, why);
		if (got != rows[i].outcome)
			fail_msg("row %zu: %s: %s", i, dns_changes[got], why);
		assert_string_equal(dns_rrset_text(&seen, text, sizeof(text)), rows[i].seen);
		assert_int_equal(r.server.seen->requests, rows[i].requests);
		if (got == DNS_CHANGED)
			assert_string_equal(why, "");
		else
			assert_true(why[0]);
		assert_null(strstr(why, RIG_SECRET));
		provider_rig_close(&r);
	}
}

static void what_is_as_wanted_is_not_sent(void **state)
{
	struct provider_rig r = {.zone = "example.com",
				 .answers = {{200, ZONE(WWW(ON("192.0.2.1")))}, {200, "[]"}}};
	struct dns_rrset old, seen;
	char why[DNS_WHY], id[128];

	(void)state;
	provider_rig_open(&r, &dns_powerdns);
	rig_set("192.0.2.1", 60, &old);
	assert_int_equal(dns_powerdns.apply(r.x, &old, &old, id, &seen, why), DNS_CHANGED);
	assert_int_equal(r.server.seen->requests, 2);
	assert_int_equal(strncmp(r.server.seen->request, "GET ", 4), 0);
	provider_rig_close(&r);
}

static void secondaries_are_told_of_a_primary_s_change(void **state)
{
	static const char before[] = "{\"kind\":\"Master\",\"rrsets\":[" WWW(ON("192.0.2.1")) "]}";
	static const char after[] = "{\"kind\":\"Master\",\"rrsets\":[" WWW(ON("203.0.113.1")) "]}";
	struct provider_rig r = {
		.zone = "example.com",
		.answers = {{200, before}, {200, "[]"}, {204, ""}, {200, after}, {500, "no"}}};
	struct dns_rrset old, fresh, seen;
	char why[DNS_WHY], id[128];

	(void)state;
	provider_rig_open(&r, &dns_powerdns);
	rig_set("192.0.2.1", 60, &old);
	rig_set("203.0.113.1", 60, &fresh);
	/* That they could not be told is no failure of the change. */
	assert_int_equal(dns_powerdns.apply(r.x, &old, &fresh, id, &seen, why), DNS_CHANGED);
	assert_string_equal(why, "");
	assert_int_equal(r.server.seen->requests, 5);
	assert_non_null(strstr(r.server.seen->request,
			       "PUT /api/v1/servers/localhost/zones/example.com./notify "));
	provider_rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_that_is_no_zone_is_not_taken_for_an_empty_set),
		cmocka_unit_test(the_request_has_the_key_and_asks_for_one_set),
		cmocka_unit_test(a_name_out_of_the_zone_is_no_request),
		cmocka_unit_test(what_is_switched_off_is_sent_along),
		cmocka_unit_test(what_is_there_after_the_change_decides),
		cmocka_unit_test(what_is_as_wanted_is_not_sent),
		cmocka_unit_test(secondaries_are_told_of_a_primary_s_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
