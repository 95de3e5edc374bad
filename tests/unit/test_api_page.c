/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_api_page.c - the page, its stream and /metrics, of documents that are whole, empty or odd
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/api/events.h"
#include "userspace/api/page.h"
#include "userspace/base/metrics.h"

#define SAMPLE "tests/golden/api/page.json"

/* ---- /metrics ---- */

static char *metrics_of(json_t *page)
{
	struct metrics m;
	char *text = NULL;
	size_t n;

	metrics_begin(&m);
	api_page_metrics(page, &m);
	assert_int_equal(metrics_text(&m, &text, &n), 0);
	json_decref(page);
	return text;
}

static void assert_line(const char *text, const char *want)
{
	char line[200];

	snprintf(line, sizeof(line), "\n%s\n", want);
	if (!strstr(text, line))
		print_error("no line %s\n", want);
	assert_non_null(strstr(text, line));
}

static json_t *sample(void)
{
	json_t *j = json_load_file(SAMPLE, 0, NULL);

	assert_non_null(j);
	return j;
}

static void a_document_becomes_metrics_in_base_units(void **state)
{
	char *text = metrics_of(sample());

	(void)state;
	assert_line(text, "shift_weight_ratio 0.25");
	assert_line(text, "shift_info{service=\"api\",host=\"edge-a\"} 1");
	assert_line(text, "shift_authority{authority=\"shared\"} 1");
	assert_line(text, "shift_authority{authority=\"new\"} 0");
	assert_line(text, "shift_arm_connections_total{arm=\"old\"} 117204");
	assert_line(text, "shift_arm_slow_answers_total{arm=\"new\",over_ms=\"200\"} 1012");
	assert_line(text, "shift_arm_answer_p95_seconds{arm=\"new\"} 0.176");
	assert_line(text, "shift_backend_healthy{backend=\"azure\",address=\"20.1.2.3:443\"} 0");
	assert_line(text, "shift_ramp_state{state=\"holding\"} 1");
	assert_line(text, "shift_gate_verdict{gate=\"tps\",verdict=\"back\"} 1");
	assert_line(text, "shift_gate_verdict{gate=\"tps\",verdict=\"ok\"} 0");
	assert_line(text, "shift_tunnel_rtt_seconds{tunnel=\"aws\",kind=\"wireguard\"} 0.0121");
	assert_line(text, "shift_tunnel_up{tunnel=\"aws-ipsec\",kind=\"ipsec\"} 0");
	assert_line(text, "shift_dns_sources{verdict=\"stale\"} 1");
	assert_line(text, "shift_alarms{level=\"critical\"} 1");
	free(text);
}

static void what_is_not_known_is_not_zero(void **state)
{
	char *text = metrics_of(sample());

	(void)state;
	assert_null(strstr(text, "shift_backend_healthy{backend=\"gcp\""));
	assert_null(strstr(text, "\nshift_confirm_left_seconds "));
	assert_null(strstr(text, "shift_tunnel_rtt_seconds{tunnel=\"aws-ipsec\""));
	free(text);
	text = metrics_of(json_object());
	assert_null(strstr(text, "\nshift_weight_ratio "));
	assert_null(strstr(text, "\nshift_attached "));
	assert_null(strstr(text, "\nshift_alarms{"));
	assert_null(strstr(text, "\nshift_ramp_frozen "));
	free(text);
	text = metrics_of(NULL);
	assert_line(text, "shift_info{service=\"\",host=\"\"} 1");
	free(text);
}

/* Every member by every kind of value, one at a time: the text is always one that can be read. */
static void put_in_each_place(json_t *root, json_t *j, unsigned int *n)
{
	json_t *odd[] = {
		json_null(),
		json_true(),
		json_integer(-1),
		json_real(1e300),
		json_string("a\n\"\\"),
		json_object(),
		json_array(),
	};
	const char *key;
	json_t *value;
	void *next;
	size_t i;

	json_array_foreach (j, i, value)
		put_in_each_place(root, value, n);
	json_object_foreach_safe(j, next, key, value)
	{
		char *name = strdup(key);
		json_t *was = json_incref(value);

		put_in_each_place(root, was, n);
		for (i = 0; i < sizeof(odd) / sizeof(*odd); i++, (*n)++) {
			json_object_set(j, name, odd[i]);
			free(metrics_of(json_incref(root)));
		}
		json_object_set_new(j, name, was);
		free(name);
	}
	for (i = 0; i < sizeof(odd) / sizeof(*odd); i++)
		json_decref(odd[i]);
}

static void no_odd_member_breaks_the_metrics(void **state)
{
	json_t *root = sample();
	unsigned int n = 0;

	(void)state;
	put_in_each_place(root, root, &n);
	assert_true(n > 1500);
	json_decref(root);
}

/* ---- the stream ---- */

static json_t *point(int at)
{
	return json_pack("{s:i}", "at", at);
}

static const char *field(const char *text, const char *name, char ret[64])
{
	const char *at = strstr(text, name);

	assert_non_null(at);
	snprintf(ret, 64, "%.*s", (int)strcspn(at + strlen(name), "\n"), at + strlen(name));
	return ret;
}

/* The points of a history: how many, and the first. */
static size_t points_of(const char *text, int *ret_first)
{
	json_t *list = json_loads(strstr(text, "data: ") + 6, JSON_DISABLE_EOF_CHECK, NULL);
	size_t n = json_array_size(list);

	assert_true(json_is_array(list));
	*ret_first =
		n ? (int)json_integer_value(json_object_get(json_array_get(list, 0), "at")) : 0;
	json_decref(list);
	return n;
}

static void a_client_that_comes_back_gets_what_it_missed(void **state)
{
	struct api_events *e;
	char id[64], now[64], kind[64], *text;
	size_t n;
	int first;

	(void)state;
	assert_int_equal(api_events_make(10, &e), 0);
	text = api_events_history(e, NULL, 0, &n);
	assert_int_equal(points_of(text, &first), 0);
	assert_string_equal(text + n - 2, "\n\n");
	free(text);
	for (int i = 1; i <= 5; i++)
		api_events_point(e, point(i));
	api_events_point(e, NULL);
	text = api_events_history(e, NULL, 0, &n);
	field(text, "\nid: ", id);
	assert_string_equal(field(text, "event: ", kind), "history");
	assert_int_equal(points_of(text, &first), 5);
	assert_int_equal(first, 1);
	free(text);
	for (int i = 6; i <= 8; i++)
		api_events_point(e, point(i));
	text = api_events_history(e, id, strlen(id), &n);
	assert_string_equal(field(text, "event: ", kind), "more");
	assert_int_equal(points_of(text, &first), 3);
	assert_int_equal(first, 6);
	free(text);
	/* more was missed than there is: the page begins anew */
	for (int i = 9; i <= 30; i++)
		api_events_point(e, point(i));
	text = api_events_history(e, id, strlen(id), &n);
	assert_string_equal(field(text, "event: ", kind), "history");
	assert_int_equal(points_of(text, &first), 10);
	assert_int_equal(first, 21);
	field(text, "\nid: ", now);
	free(text);
	/* nothing was missed */
	text = api_events_history(e, now, strlen(now), &n);
	assert_int_equal(points_of(text, &first), 0);
	free(text);
	api_events_free(e);
}

static void an_id_of_another_run_is_no_place_in_this_one(void **state)
{
	static const char *const ids[] = {"00000000-3", "x",	     "-",
					  "zzzzzzzz-1", "1234567-1", "123456789-1"};
	struct api_events *e;
	char id[64], kind[64], odd[80], *text;
	size_t n;
	int first;

	(void)state;
	assert_int_equal(api_events_make(10, &e), 0);
	for (int i = 1; i <= 5; i++)
		api_events_point(e, point(i));
	text = api_events_history(e, NULL, 0, &n);
	field(text, "\nid: ", id);
	free(text);
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		text = api_events_history(e, ids[i], strlen(ids[i]), &n);
		assert_string_equal(field(text, "event: ", kind), "history");
		assert_int_equal(points_of(text, &first), 5);
		free(text);
	}
	/* of this run, but beyond its end, or followed by something */
	snprintf(odd, sizeof(odd), "%.9s%d", id, 6);
	text = api_events_history(e, odd, strlen(odd), &n);
	assert_int_equal(points_of(text, &first), 5);
	free(text);
	snprintf(odd, sizeof(odd), "%s ", id);
	text = api_events_history(e, odd, strlen(odd), &n);
	assert_int_equal(points_of(text, &first), 5);
	free(text);
	api_events_free(e);
}

static void an_event_is_one_line_whatever_is_in_it(void **state)
{
	struct api_events *e;
	char *text;
	size_t n;

	(void)state;
	assert_int_equal(api_events_make(2, &e), 0);
	text = api_events_page(e, json_pack("{s:s}", "why", "a\n\ndata: {}\r\n\u2028"), &n);
	assert_int_equal(strlen(text), n);
	assert_ptr_equal(strstr(text, "\n\n"), text + n - 2);
	assert_null(strchr(text, '\r'));
	assert_non_null(strstr(text, ",\"point\":null}\n\n"));
	free(text);
	assert_null(api_events_page(e, NULL, &n));
	api_events_free(e);
}

/* ---- the page ---- */

static void the_nonce_is_in_the_page_twice(void **state)
{
	unsigned int found = 0;
	size_t n;
	char *text = api_page_text("0123456789abcdef", &n);

	(void)state;
	assert_int_equal(strlen(text), n);
	assert_null(strstr(text, "@NONCE@"));
	for (const char *at = text; (at = strstr(at, " nonce=\"0123456789abcdef\">")); at++)
		found++;
	assert_int_equal(found, 2);
	assert_string_equal(text + n - 8, "</html>\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_document_becomes_metrics_in_base_units),
		cmocka_unit_test(what_is_not_known_is_not_zero),
		cmocka_unit_test(no_odd_member_breaks_the_metrics),
		cmocka_unit_test(a_client_that_comes_back_gets_what_it_missed),
		cmocka_unit_test(an_id_of_another_run_is_no_place_in_this_one),
		cmocka_unit_test(an_event_is_one_line_whatever_is_in_it),
		cmocka_unit_test(the_nonce_is_in_the_page_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
