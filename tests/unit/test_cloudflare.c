/* SPDX-License-Identifier: GPL-2.0-only */
#include "tests/unit/provider_rig.h"

#include "dns/cloudflare.h"

#define LIST "/zones/0a/dns_records?name.exact=www.example.com&page=1&per_page=100&type=A"

/* "192.0.2.1", "192.0.2.1!" (proxied), with ids as they count: "1", "2" … */
static void listing(const char *text, uint32_t ttl, struct cloudflare_listing *ret)
{
	struct dns_rrset set;

	rig_set(text, ttl, &set);
	for (unsigned int i = 0; i < set.n; i++)
		snprintf(set.member[i].id, sizeof(set.member[i].id), "%u", i + 1);
	cloudflare_listing(&set, ret);
}

#define OP(id, ip, ttl, proxied)                                                                   \
	"{" id "\"type\":\"A\",\"name\":\"www.example.com\",\"content\":\"" ip "\",\"ttl\":" ttl   \
	",\"proxied\":" proxied "}"
#define PATCH(id, ip, ttl)    OP("\"id\":\"" id "\",", ip, ttl, "false")
#define PATCH_PROXIED(id, ip) OP("\"id\":\"" id "\",", ip, "1", "true")
#define POST(ip, ttl)	      OP("", ip, ttl, "false")

static void a_batch_alters_in_place_and_deletes_or_creates_what_is_left(void **state)
{
	static const struct {
		const char *old;
		uint32_t old_ttl;
		const char *fresh;
		uint32_t ttl;
		const char *want; /* NULL: nothing to do */
	} rows[] = {
		{"", 0, "", 0, NULL},
		{"192.0.2.1", 60, "192.0.2.1", 60, NULL},
		{"192.0.2.1", 300, "203.0.113.1", 60,
		 "{\"patches\":[" PATCH("1", "203.0.113.1", "60") "]}"},
		{"192.0.2.1", 300, "192.0.2.1", 60,
		 "{\"patches\":[" PATCH("1", "192.0.2.1", "60") "]}"},
		{"192.0.2.1 192.0.2.2", 60, "203.0.113.1 203.0.113.2", 60,
		 "{\"patches\":[" PATCH("1", "203.0.113.1", "60") "," PATCH("2", "203.0.113.2",
									    "60") "]}"},
		/* One stays and is not touched, the other is altered. */
		{"192.0.2.1 192.0.2.2", 60, "192.0.2.2 203.0.113.2", 60,
		 "{\"patches\":[" PATCH("1", "203.0.113.2", "60") "]}"},
		/* Nothing is altered into an address that another record still has. */
		{"192.0.2.1 192.0.2.2", 60, "192.0.2.2 192.0.2.3", 60,
		 "{\"patches\":[" PATCH("1", "192.0.2.3", "60") "]}"},
		{"192.0.2.1 192.0.2.2 192.0.2.3", 60, "203.0.113.1", 60,
		 "{\"patches\":[" PATCH("1", "203.0.113.1",
					"60") "],"
					      "\"deletes\":[{\"id\":\"2\"},{\"id\":\"3\"}]}"},
		{"192.0.2.1", 60, "203.0.113.1 203.0.113.2", 60,
		 "{\"patches\":[" PATCH("1", "203.0.113.1", "60") "],"
								  "\"posts\":[" POST("203.0.113.2",
										     "60") "]}"},
		{"192.0.2.1", 60, "", 0, "{\"deletes\":[{\"id\":\"1\"}]}"},
		{"", 0, "203.0.113.1", 1, "{\"posts\":[" POST("203.0.113.1", "1") "]}"},
		/* The TTL of what is proxied is Cloudflare's, whatever is asked for. */
		{"192.0.2.1!", 60, "203.0.113.1!", 60,
		 "{\"patches\":[" PATCH_PROXIED("1", "203.0.113.1") "]}"},
		{"192.0.2.1!", 60, "192.0.2.1!", 300, NULL},
		{"192.0.2.1!", 60, "192.0.2.1", 60,
		 "{\"patches\":[" PATCH("1", "192.0.2.1", "60") "]}"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cloudflare_listing now;
		struct dns_rrset fresh;
		json_t *got, *want;
		char *text;

		listing(rows[i].old, rows[i].old_ttl, &now);
		rig_set(rows[i].fresh, rows[i].ttl, &fresh);
		text = cloudflare_batch(&now, &fresh);
		if (!rows[i].want) {
			assert_null(text);
			continue;
		}
		assert_non_null(text);
		got = json_loads(text, 0, NULL);
		want = json_loads(rows[i].want, 0, NULL);
		assert_non_null(want);
		if (!json_equal(got, want))
			fail_msg("row %zu: %s", i, text);
		json_decref(got);
		json_decref(want);
		free(text);
	}
}

/* What the batch makes of the records, as Cloudflare does it: deletes, patches, posts. */
static void play(struct cloudflare_listing *l, const char *body)
{
	json_t *batch = json_loads(body, 0, NULL), *o;
	size_t i;

	json_array_foreach (json_object_get(batch, "deletes"), i, o)
		for (unsigned int j = 0; j < l->n; j++)
			if (!strcmp(l->record[j].id, json_string_value(json_object_get(o, "id"))))
				l->record[j] = l->record[--l->n];
	for (int post = 0; post < 2; post++)
		json_array_foreach (json_object_get(batch, post ? "posts" : "patches"), i, o) {
			const char *id = json_string_value(json_object_get(o, "id"));
			const char *content = json_string_value(json_object_get(o, "content"));
			unsigned int j = 0;

			while (j < l->n && (post || strcmp(l->record[j].id, id) != 0))
				j++;
			if (post)
				l->n++;
			assert_true(j < l->n);
			for (unsigned int k = 0; k < l->n - (post ? 1 : 0); k++)
				assert_true(k == j || strcmp(l->record[k].data, content) != 0);
			if (post)
				snprintf(l->record[j].id, sizeof(l->record[j].id), "p%zu", i);
			snprintf(l->record[j].data, sizeof(l->record[j].data), "%s", content);
			l->record[j].ttl = (uint32_t)json_integer_value(json_object_get(o, "ttl"));
			l->record[j].proxied = json_is_true(json_object_get(o, "proxied"));
		}
	json_decref(batch);
	cloudflare_sort(l);
}

static void any_set_becomes_any_other_and_back_with_no_address_there_twice(void **state)
{
	unsigned int random = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct dns_rrset sets[2];
		struct cloudflare_listing l;

		for (int s = 0; s < 2; s++) {
			char text[128] = "";

			for (int ip = 1; ip <= 7; ip++) {
				random = random * 1103515245 + 12345;
				if (random >> 16 & 1)
					sprintf(text + strlen(text), "192.0.2.%d%s ", ip,
						random >> 17 & 1 ? "!" : "");
			}
			rig_set(text, random >> 18 & 1 ? 60 : 300, &sets[s]);
		}
		cloudflare_listing(&sets[0], &l);
		for (unsigned int i = 0; i < l.n; i++)
			snprintf(l.record[i].id, sizeof(l.record[i].id), "%u", i);
		for (int s = 1; s >= 0; s--) {
			char *body = cloudflare_batch(&l, &sets[s]);

			if (body)
				play(&l, body);
			else
				assert_true(cloudflare_same(&l, &sets[s]));
			free(body);
			assert_true(cloudflare_same(&l, &sets[s]));
		}
	}
}

static void what_is_there_is_compared_record_by_record(void **state)
{
	static const struct {
		const char *there;
		uint32_t there_ttl;
		const char *set;
		uint32_t ttl;
		bool same;
	} rows[] = {
		{"192.0.2.1", 60, "192.0.2.1", 60, true},
		{"192.0.2.1", 60, "192.0.2.1", 61, false},
		{"192.0.2.1", 60, "192.0.2.2", 60, false},
		{"192.0.2.1", 60, "192.0.2.1 192.0.2.2", 60, false},
		{"192.0.2.1 192.0.2.2", 60, "192.0.2.1", 60, false},
		{"192.0.2.2 192.0.2.1", 60, "192.0.2.1 192.0.2.2", 60, true},
		{"192.0.2.1", 60, "192.0.2.1!", 60, false},
		{"192.0.2.1!", 1, "192.0.2.1!", 300, true},
		/* Of what is proxied only in part the TTL is that of the others. */
		{"192.0.2.1! 192.0.2.2", 60, "192.0.2.1! 192.0.2.2", 60, true},
		{"192.0.2.1! 192.0.2.2", 60, "192.0.2.1! 192.0.2.2", 61, false},
		{"", 0, "", 60, true},
		{"", 0, "192.0.2.1", 60, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cloudflare_listing l;
		struct dns_rrset set;

		listing(rows[i].there, rows[i].there_ttl, &l);
		rig_set(rows[i].set, rows[i].ttl, &set);
		if (cloudflare_same(&l, &set) != rows[i].same)
			fail_msg("row %zu", i);
	}
}

static void ttls_that_differ_are_the_same_only_by_their_digest(void **state)
{
	struct cloudflare_listing l;
	struct dns_rrset set, plain;

	(void)state;
	listing("192.0.2.1 192.0.2.2", 60, &l);
	cloudflare_set(&l, "www.example.com.", DNS_A, &set);
	assert_string_equal(set.version, "");
	assert_true(cloudflare_same(&l, &set));
	l.record[1].ttl = 300;
	assert_false(cloudflare_same(&l, &set));
	cloudflare_set(&l, "www.example.com.", DNS_A, &set);
	assert_int_equal(set.ttl, 300);
	assert_true(cloudflare_same(&l, &set));
	rig_set("192.0.2.1 192.0.2.2", 300, &plain);
	assert_false(cloudflare_same(&l, &plain));
	l.record[0].ttl = 61;
	assert_false(cloudflare_same(&l, &set));
}

static void between_two_sets_is_what_has_records_of_them_alone(void **state)
{
	static const struct {
		const char *there, *old, *fresh;
		bool between;
	} rows[] = {
		{"192.0.2.1 203.0.113.2", "192.0.2.1 192.0.2.2", "203.0.113.1 203.0.113.2", true},
		{"192.0.2.1", "192.0.2.1 192.0.2.2", "203.0.113.1", true},
		{"203.0.113.1!", "192.0.2.1", "203.0.113.1 203.0.113.2", true},
		{"192.0.2.1 198.51.100.9", "192.0.2.1 192.0.2.2", "203.0.113.1", false},
		{"198.51.100.9", "192.0.2.1", "203.0.113.1", false},
		{"", "192.0.2.1", "203.0.113.1", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dns_rrset there, old, fresh;

		rig_set(rows[i].there, 60, &there);
		rig_set(rows[i].old, 300, &old);
		rig_set(rows[i].fresh, 60, &fresh);
		if (dns_rrset_between(&there, &old, &fresh) != rows[i].between)
			fail_msg("row %zu", i);
	}
}

/* ---- against answers of any kind ---- */

#define RECORD(n, ip) /* of www.example.com, with an id */                                         \
	"{\"id\":\"" n "\",\"name\":\"www.example.com\",\"type\":\"A\",\"content\":\"" ip          \
	"\",\"ttl\":60,\"proxied\":false}"
#define LISTED(records) "{\"success\":true,\"errors\":[],\"result\":[" records "]}"

static void a_list_that_is_none_is_not_taken_for_an_empty_set(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum dns_changed outcome;
		const char *set; /* or a part of `why` */
	} rows[] = {
		{200, LISTED(""), DNS_CHANGED, "nothing"},
		{200, LISTED(RECORD("a", "192.0.2.2") "," RECORD("b", "192.0.2.1")), DNS_CHANGED,
		 "192.0.2.1 192.0.2.2 (TTL 60)"},
		/* Another name and another type may stand in it. */
		{200,
		 LISTED("{\"id\":\"a\",\"name\":\"x.www.example.com\",\"type\":\"A\",\"content\":"
			"\"192.0.2.1\",\"ttl\":60}"),
		 DNS_CHANGED, "nothing"},
		{200,
		 LISTED("{\"id\":\"a\",\"name\":\"www.example.com\",\"type\":\"TXT\",\"content\":"
			"\"x\",\"ttl\":60}"),
		 DNS_CHANGED, "nothing"},
		{200,
		 LISTED("{\"id\":\"a\",\"name\":\"WWW.Example.com\",\"type\":\"A\",\"content\":"
			"\"192.0.2.1\",\"ttl\":1,\"proxied\":true}"),
		 DNS_CHANGED, "192.0.2.1 (proxied) (TTL 1)"},
		/* The same record on two pages is one. */
		{200, LISTED(RECORD("a", "192.0.2.2") "," RECORD("a", "192.0.2.2")), DNS_CHANGED,
		 "192.0.2.2 (TTL 60)"},
		{200, "{\"success\":true}", DNS_REJECTED, "no list"},
		{200, "{\"success\":true,\"result\":{}}", DNS_REJECTED, "no list"},
		{200, "{\"success\":true,\"result\":null}", DNS_REJECTED, "no list"},
		{200, "{\"success\":false,\"result\":[]}", DNS_REJECTED, "status 200"},
		{200, "{\"result\":[]}", DNS_REJECTED, "status 200"},
		{200, "{\"success\":\"true\",\"result\":[]}", DNS_REJECTED, "status 200"},
		{200, "[]", DNS_UNREACHED, "status 200"},
		{200, "", DNS_UNREACHED, "status 200"},
		{404,
		 "{\"success\":false,\"errors\":[{\"code\":7003,\"message\":\"Could not route\"}]}",
		 DNS_REJECTED, "Could not route (code 7003)"},
		{400,
		 "{\"success\":false,\"errors\":[{\"code\":6003,\"message\":\"Invalid request "
		 "headers\",\"error_chain\":[{\"code\":6111,\"message\":\"Invalid format\"}]}]}",
		 DNS_DENIED, "Invalid request headers (code 6003; Invalid format)"},
		{403, "{\"success\":false,\"errors\":[{\"code\":9109,\"message\":\"Invalid\"}]}",
		 DNS_DENIED, "Invalid (code 9109)"},
		{401, "who are you", DNS_DENIED, "401"},
		{200, LISTED("7"), DNS_REJECTED, "without"},
		{200, LISTED("{}"), DNS_REJECTED, "without"},
		{200, LISTED(RECORD("a", "192.0.2.300")), DNS_REJECTED, "192.0.2.300"},
		{200,
		 LISTED("{\"id\":\"a\",\"name\":\"www.example.com\",\"type\":\"A\",\"content\":"
			"\"192.0.2.1\",\"ttl\":-1}"),
		 DNS_REJECTED, "TTL"},
		{200,
		 LISTED("{\"id\":\"0123456789012345678901234567890123456789012345678901234567890123"
			"\",\"name\":\"www.example.com\",\"type\":\"A\",\"content\":\"192.0.2.1\","
			"\"ttl\":60}"),
		 DNS_REJECTED, "cannot be kept"},
		{200, "{\"success\":true,\"result\":[],\"result_info\":{\"total_pages\":1000000}}",
		 DNS_REJECTED, "without an end"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct provider_rig r = {.zone_id = "0a",
					 .answers = {{rows[i].status, rows[i].body}}};
		struct dns_rrset set;
		char why[DNS_WHY], text[256];
		enum dns_changed got;

		provider_rig_open(&r, &dns_cloudflare);
		got = dns_cloudflare.read(r.x, "www.example.com.", DNS_A, &set, why);
		if (got != rows[i].outcome)
			fail_msg("row %zu: %s: %s", i, dns_changes[got], why);
		if (got == DNS_CHANGED)
			assert_string_equal(dns_rrset_text(&set, text, sizeof(text)), rows[i].set);
		else if (!strstr(why, rows[i].set))
			fail_msg("row %zu: %s", i, why);
		provider_rig_close(&r);
	}
}

static void sixty_five_records_are_too_many(void **state)
{
	struct provider_rig r = {.zone_id = "0a"};
	char *body = calloc(1, 16384), why[DNS_WHY];
	struct dns_rrset set;

	(void)state;
	strcpy(body, "{\"success\":true,\"result\":[");
	for (int i = 0; i < 65; i++)
		sprintf(body + strlen(body),
			"%s{\"id\":\"%d\",\"name\":\"www.example.com\",\"type\":\"A\",\"content\":"
			"\"192.0.2.%d\",\"ttl\":60}",
			i ? "," : "", i, i);
	strcat(body, "]}");
	r.answers[0] = (struct rig_reply){200, body};
	provider_rig_open(&r, &dns_cloudflare);
	assert_int_equal(dns_cloudflare.read(r.x, "www.example.com.", DNS_A, &set, why),
			 DNS_REJECTED);
	assert_non_null(strstr(why, "more than 64"));
	provider_rig_close(&r);
	free(body);
}

static void what_is_there_after_the_batch_decides(void **state)
{
	static const char before[] = LISTED(RECORD("a", "192.0.2.1"));
	static const char after[] = LISTED(RECORD("a", "203.0.113.1"));
	static const char other[] = LISTED(RECORD("a", "198.51.100.9"));
	static const char done[] = "{\"success\":true,\"result\":{}}";
	static const char refusal[] =
		"{\"success\":false,\"errors\":[{\"code\":81058,\"message\":\"Identical\"}]}";
	static const struct {
		struct rig_reply answers[8];
		enum dns_changed outcome;
		const char *seen;
		unsigned int requests;
	} rows[] = {
		{{{200, before}, {200, done}, {200, after}},
		 DNS_CHANGED,
		 "203.0.113.1 (TTL 60)",
		 3},
		{{{200, other}}, DNS_STALE, "198.51.100.9 (TTL 60)", 1},
		{{{200, after}}, DNS_STALE, "203.0.113.1 (TTL 60)", 1},
		/* Refused, and so it is. */
		{{{200, before}, {400, refusal}, {200, before}},
		 DNS_REJECTED,
		 "192.0.2.1 (TTL 60)",
		 3},
		/* Refused, but it is there. */
		{{{200, before}, {400, refusal}, {200, after}},
		 DNS_CHANGED,
		 "203.0.113.1 (TTL 60)",
		 3},
		{{{200, before}, {400, refusal}, {200, other}},
		 DNS_STALE,
		 "198.51.100.9 (TTL 60)",
		 3},
		/* The connection ends without an answer. */
		{{{200, before}, {RIG_CUT, ""}, {200, after}},
		 DNS_CHANGED,
		 "203.0.113.1 (TTL 60)",
		 3},
		{{{200, before}, {RIG_CUT, ""}, {200, before}, {200, after}},
		 DNS_CHANGED,
		 "203.0.113.1 (TTL 60)",
		 4},
		{{{200, before}, {502, "bad gateway"}, {200, after}},
		 DNS_CHANGED,
		 "203.0.113.1 (TTL 60)",
		 3},
		/* A success that says nothing may be one. */
		{{{200, before}, {200, "<html>"}, {200, before}, {200, after}},
		 DNS_CHANGED,
		 "203.0.113.1 (TTL 60)",
		 4},
		{{{200, before}, {403, refusal}}, DNS_DENIED, "192.0.2.1 (TTL 60)", 2},
		{{{200, before}, {200, done}, {404, refusal}},
		 DNS_UNCERTAIN,
		 "192.0.2.1 (TTL 60)",
		 3},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct provider_rig r = {.zone_id = "0a"};
		struct dns_rrset old, fresh, seen;
		char why[DNS_WHY], id[128], text[256];
		enum dns_changed got;

		memcpy(r.answers, rows[i].answers, sizeof(rows[i].answers));
		provider_rig_open(&r, &dns_cloudflare);
		rig_set("192.0.2.1", 60, &old);
		rig_set("203.0.113.1", 60, &fresh);
		got = dns_cloudflare.apply(r.x, &old, &fresh, id, &seen, why);
		if (got != rows[i].outcome)
			fail_msg("row %zu: %s: %s", i, dns_changes[got], why);
		assert_string_equal(dns_rrset_text(&seen, text, sizeof(text)), rows[i].seen);
		assert_int_equal(r.server.seen->requests, rows[i].requests);
		assert_string_equal(id, "");
		if (got == DNS_CHANGED)
			assert_string_equal(why, "");
		else
			assert_true(why[0]);
		assert_null(strstr(why, RIG_SECRET));
		provider_rig_close(&r);
	}
}

static void show_is_both_ways_without_the_secret_and_without_a_request(void **state)
{
	struct provider_rig r = {.zone_id = "0a"};
	struct dns_rrset old, fresh;
	char *text;

	(void)state;
	provider_rig_open(&r, &dns_cloudflare);
	rig_set("192.0.2.1", 300, &old);
	strcpy(old.member[0].id, "abc");
	rig_set("203.0.113.1 203.0.113.2", 60, &fresh);
	text = provider_rig_show(&r, &old, &fresh);
	assert_non_null(strstr(text, "GET " LIST " HTTP/1.1\n"));
	assert_non_null(strstr(text, "POST /zones/0a/dns_records/batch HTTP/1.1\n"));
	assert_non_null(strstr(text, "Authorization: Bearer ***\n"));
	assert_non_null(strstr(
		text, "{\"patches\":[" PATCH("abc", "203.0.113.1",
					     "60") "],"
						   "\"posts\":[" POST("203.0.113.2", "60") "]}\n"));
	assert_null(strstr(text, RIG_SECRET));
	free(text);
	/* The way back alters the same object; that of the other is not known before it is there.
	 */
	text = provider_rig_show(&r, &fresh, &old);
	assert_non_null(strstr(text, "\"patches\":[" PATCH("abc", "192.0.2.1", "300") "]"));
	assert_non_null(strstr(
		text, "\"deletes\":[{\"id\":\"(the id that the record of 203.0.113.2 gets)"));
	free(text);
	assert_int_equal(r.server.seen->requests, 0);
	provider_rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_alters_in_place_and_deletes_or_creates_what_is_left),
		cmocka_unit_test(any_set_becomes_any_other_and_back_with_no_address_there_twice),
		cmocka_unit_test(what_is_there_is_compared_record_by_record),
		cmocka_unit_test(ttls_that_differ_are_the_same_only_by_their_digest),
		cmocka_unit_test(between_two_sets_is_what_has_records_of_them_alone),
		cmocka_unit_test(a_list_that_is_none_is_not_taken_for_an_empty_set),
		cmocka_unit_test(sixty_five_records_are_too_many),
		cmocka_unit_test(what_is_there_after_the_batch_decides),
		cmocka_unit_test(show_is_both_ways_without_the_secret_and_without_a_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
