/* SPDX-License-Identifier: GPL-2.0-only */
#include "tests/unit/sources_rig.h"

static void a_member_of_a_document_is_the_number(void **state)
{
	(void)state;
	gives("{json: \"http://" ADDRESS ":@P/stats\", field: tps}", 776000);
	gives("{json: \"http://" ADDRESS ":@P/stats\", field: p95, arm: new}", 87.5);
	gives("{json: \"http://" ADDRESS ":@P/stats\", field: list.1.lag, arm: sum}", 3.5);
	gives("{json: \"http://127.0.0.1:@H/stats\", field: tps, arm: old}", 776000);
}

static void a_backend_is_asked_by_its_address_with_the_name_of_the_url(void **state)
{
	char source[300];

	(void)state;
	snprintf(source, sizeof(source),
		 "{json: \"https://www.example.test/stats\", via: aws, field: tps, ca_file: %s}",
		 ca_file);
	gives(source, 776000);
	assert_string_equal(tls.seen->sni, "www.example.test");
	assert_non_null(strstr(tls.seen->request, "\r\nHost: www.example.test\r\n"));
	gives("{json: \"http://www.example.test/stats\", via: azure, field: tps}", 776000);
	assert_non_null(strstr(plain.seen->request, "\r\nHost: www.example.test\r\n"));
}

static void who_follows_a_backend_says_where_it_is(void **state)
{
	struct sources_world world = all;
	struct gate_verdict v;
	char address[64];

	(void)state;
	world.via = on_via;
	snprintf(address, sizeof(address), ADDRESS ":%u", plain.port);
	via_answer = address;
	look_once(&world, "{json: \"http://gone.none.test/stats\", via: aws, field: tps}");
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_OK);
	forget();
	via_answer = NULL;
	look_once(&world, "{json: \"http://gone.none.test/stats\", via: aws, field: tps}");
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	assert_non_null(strstr(v.why, "backend aws has no address"));
	forget();
}

static void of_several_addresses_one_that_answers_is_asked(void **state)
{
	struct sources_world world = all;
	struct gate_verdict v;
	char address[64];

	(void)state;
	world.via = on_via;
	snprintf(address, sizeof(address), ADDRESS ":%u", plain.port);
	via_answer = ADDRESS ":1"; /* refuses */
	via_other = address;
	for (int i = 0; i < 2; i++) {
		look_once(&world, "{json: \"http://gone.none.test/stats\", via: aws, field: tps}");
		gate_judge(&gates[0], loop_now(), &v);
		assert_int_equal(v.says, GATE_OK); /* in one look */
		forget();
		via_answer = address; /* the order does not matter */
		via_other = ADDRESS ":1";
	}
	via_answer = ADDRESS ":1";
	look_once(&world, "{json: \"http://gone.none.test/stats\", via: aws, field: tps}");
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	if (!strstr(v.why, "connect"))
		fail_msg("%s", v.why);
	via_answer = via_other = NULL;
	forget();
}

static void a_query_gives_a_scalar_or_a_vector_of_one(void **state)
{
#define QUERY(q) "{prometheus: \"http://" ADDRESS ":@P\", query: " q "}"
	(void)state;
	gives(QUERY("one"), 0.04);
	gives(QUERY("scalar(up)"), 12);
	assert_non_null(strstr(plain.seen->request, "/api/v1/query?query=scalar%28up%29 "));
	gives_nothing(QUERY("none"), "the query matches nothing", 4000);
	gives_nothing(QUERY("two"), "the query gives 2 series", 4000);
	gives_nothing(QUERY("matrix"), "the query gives a matrix", 4000);
	gives_nothing(QUERY("nan"), "the query's result is NaN", 4000);
	gives_nothing(QUERY("wrong"), "Prometheus: 1:7: parse error: no", 4000);
	gives_nothing("{prometheus: \"http://" ADDRESS ":@P/html\", query: x}", "no JSON", 4000);
#undef QUERY
}

static void hostile_answers_are_bounded_and_named(void **state)
{
	static const struct {
		const char *path, *why;
	} cases[] = {{"/huge", "longer than 262144 bytes"},
		     {"/endless", "longer than 262144 bytes"},
		     {"/drip", "timed out"},
		     {"/silence", "timed out"},
		     {"/cut", "transfer closed"},
		     {"/garbage", "HTTP/0.9"},
		     {"/die", "Empty reply"},
		     {"/html", "no JSON: '[' or '{' expected near '<', line 1: \"<html>please"},
		     {"/redirect", "HTTP 302: redirects are not followed"},
		     {"/503", "HTTP 503"},
		     {"/empty", "the answer is empty"},
		     {"/malformed", "no JSON"},
		     {"/twice", "duplicate object key"},
		     {"/deep", "nested deeper than 64"},
		     {"/nan", "no JSON"},
		     {"/inf", "real number overflow"}};
	char source[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(source, sizeof(source),
			 "{json: \"http://" ADDRESS ":@P%s\", field: tps, timeout: 500ms}",
			 cases[i].path);
		gives_nothing(source, cases[i].why, 4000);
	}
	gives_nothing("{json: \"http://" ADDRESS ":@P/stats\", field: neg}", "neg is negative (-1)",
		      4000);
	gives_nothing("{json: \"http://" ADDRESS ":@P/stats\", field: text}",
		      "text is no number: \"fast?[2J\"", 4000);
	gives_nothing("{json: \"http://" ADDRESS ":@P/stats\", field: nothing}",
		      "the answer has no nothing", 4000);
}

static void tls_is_verified(void **state)
{
	char source[300];

	(void)state;
	gives_nothing("{json: \"https://www.example.test/stats\", via: aws, field: tps}",
		      "TLS: ", 4000);
	snprintf(source, sizeof(source),
		 "{json: \"https://other.example.test/stats\", via: aws, field: tps, ca_file: %s}",
		 ca_file);
	gives_nothing(source, "TLS: ", 4000);
	gives_nothing("{json: \"https://" ADDRESS ":@P/stats\", field: tps}", "TLS: ", 4000);
}

static void no_source_leads_inwards_but_for_the_old_arm_and_never_to_metadata(void **state)
{
	static const char *const arms[] = {"new", "sum", "old"};
	char source[256];

	(void)state;
	for (int i = 0; i < 3; i++) {
		snprintf(source, sizeof(source),
			 "{json: \"http://metadata.test/stats\", field: tps, arm: %s}", arms[i]);
		gives_nothing(source, "not a public one", 4000);
	}
	gives_nothing("{json: \"http://127.0.0.1:@H/stats\", field: tps}",
		      "a source on this host needs arm: old", 4000);
	gives_nothing("{json: \"http://here.test:@H/stats\", field: tps, arm: new}",
		      "not a public one", 4000);
	gives_nothing("{prometheus: \"http://127.0.0.1:@H\", query: one}", "not a public one",
		      4000);
	gives("{json: \"http://here.test:@H/stats\", field: tps, arm: old}", 776000);
}

static void a_backend_that_has_come_to_lie_inwards_is_not_asked(void **state)
{
	static const char *const inwards[] = {"169.254.169.254:80", "127.0.0.1:80", "[::1]:80",
					      "[::ffff:169.254.169.254]:80", "[fe80::1]:80"};
	struct sources_world world = all;

	(void)state;
	world.via = on_via;
	for (size_t i = 0; i < sizeof(inwards) / sizeof(*inwards); i++) {
		struct gate_verdict v;

		via_answer = inwards[i];
		look_once(&world,
			  "{json: \"http://www.example.test/stats\", via: aws, field: tps}");
		gate_judge(&gates[0], loop_now(), &v);
		assert_int_equal(v.says, GATE_INCONCLUSIVE);
		if (!strstr(v.why, "not a public one"))
			fail_msg("%s: %s", inwards[i], v.why);
		forget();
	}
}

static void what_cannot_be_reached_is_named(void **state)
{
	(void)state;
	gives_nothing("{json: \"http://gone.none.test/stats\", field: tps}", "resolve", 4000);
	gives_nothing("{json: \"http://" ADDRESS ":1/stats\", field: tps}", "connect", 4000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_member_of_a_document_is_the_number),
		TEST(a_backend_is_asked_by_its_address_with_the_name_of_the_url),
		TEST(who_follows_a_backend_says_where_it_is),
		TEST(of_several_addresses_one_that_answers_is_asked),
		TEST(a_query_gives_a_scalar_or_a_vector_of_one),
		TEST(hostile_answers_are_bounded_and_named),
		TEST(tls_is_verified),
		TEST(no_source_leads_inwards_but_for_the_old_arm_and_never_to_metadata),
		TEST(a_backend_that_has_come_to_lie_inwards_is_not_asked),
		TEST(what_cannot_be_reached_is_named),
	};

	return cmocka_run_group_tests(tests, start, end);
}
