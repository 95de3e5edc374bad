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

#include "dns/cloud.h"
#include "dns/google.h"
#include "dns/value.h"
#include "userspace/conf/config.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define NAME	 "www.example.com."

/* "192.0.2.1", "192.0.2.1=90", "192.0.2.1=90/group"; a NULL at the end. */
static void make(struct dns_rrset *r, uint16_t type, uint32_t ttl, const char *const *members)
{
	dns_value_start(r, NAME, type);
	r->ttl = ttl;
	for (; *members; members++) {
		char text[128], *weight, *group;

		snprintf(text, sizeof(text), "%s", *members);
		group = strchr(text, '/');
		if (group)
			*group++ = '\0';
		weight = strchr(text, '=');
		if (weight)
			*weight++ = '\0';
		assert_int_equal(dns_value_add(r, type, text), 0);
		if (weight) {
			r->member[r->n - 1].weighted = true;
			r->member[r->n - 1].weight = (uint16_t)atoi(weight);
		}
		if (group)
			snprintf(r->member[r->n - 1].set_id, sizeof(r->member[0].set_id), "%s",
				 group);
	}
	dns_rrset_sort(r);
}

static int read_text(const char *text, uint16_t type, struct dns_rrset *r, char *why)
{
	json_t *o = json_loads(text, 0, NULL);
	int err;

	assert_non_null(o);
	dns_value_start(r, NAME, type);
	why[0] = '\0';
	err = google_rrset(o, r, why);
	json_decref(o);
	return err;
}

static void a_record_set_is_read_and_made_canonical(void **state)
{
	static const struct {
		const char *json;
		uint16_t type;
		uint32_t ttl;
		const char *members[5];
	} rows[] = {
		{"{\"ttl\":60,\"rrdatas\":[\"192.0.2.2\",\"192.0.2.1\"],\"signatureRrdatas\":[]}",
		 DNS_A,
		 60,
		 {"192.0.2.1", "192.0.2.2"}},
		{"{\"ttl\":0,\"rrdatas\":[\"2001:DB8:0:0::A\"]}", DNS_AAAA, 0, {"2001:db8::a"}},
		{"{\"ttl\":5,\"rrdatas\":[\"Edge.Example.NET.\"]}",
		 DNS_CNAME,
		 5,
		 {"edge.example.net."}},
		{"{\"ttl\":60,\"rrdatas\":[\"192.0.2.1\"],\"routingPolicy\":null}",
		 DNS_A,
		 60,
		 {"192.0.2.1"}},
		{"{\"ttl\":60,\"routingPolicy\":{\"kind\":\"x\",\"wrr\":{\"kind\":\"x\",\"items\":["
		 "{\"weight\":90.0,\"rrdatas\":[\"192.0.2.1\"],\"signatureRrdatas\":[]},"
		 "{\"weight\":10,\"rrdatas\":[\"203.0.113.9\"]}]}}}",
		 DNS_A,
		 60,
		 {"192.0.2.1=90", "203.0.113.9=10"}},
		{"{\"ttl\":60,\"routingPolicy\":{\"wrr\":{\"items\":["
		 "{\"weight\":3,\"rrdatas\":[\"192.0.2.9\",\"192.0.2.5\"]},"
		 "{\"weight\":0,\"rrdatas\":[\"192.0.2.7\"]}]}}}",
		 DNS_A,
		 60,
		 {"192.0.2.5=3/192.0.2.5", "192.0.2.7=0", "192.0.2.9=3/192.0.2.5"}},
	};
	static struct dns_rrset got, want;
	char why[DNS_WHY];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (read_text(rows[i].json, rows[i].type, &got, why))
			fail_msg("%s: %s", rows[i].json, why);
		make(&want, rows[i].type, rows[i].ttl, rows[i].members);
		if (!dns_rrset_same(&got, &want))
			fail_msg("%s: %s", rows[i].json, dns_rrset_text(&got, why, sizeof(why)));
	}
}

static void what_could_not_be_written_again_is_refused(void **state)
{
	static const struct {
		const char *json;
		int err;
		const char *why;
	} rows[] = {
		{"{\"ttl\":60,\"routingPolicy\":{\"geo\":{\"items\":[]}}}", -ENOTSUP,
		 "not by weight"},
		{"{\"ttl\":60,\"routingPolicy\":{\"wrr\":{\"items\":[{\"weight\":1,\"rrdatas\":["
		 "\"192.0.2.1\"]}]},\"healthCheck\":\"x\"}}",
		 -ENOTSUP, "not by weight"},
		{"{\"ttl\":60,\"routingPolicy\":{\"wrr\":{\"items\":[]}}}", -ENOTSUP,
		 "without items"},
		{"{\"ttl\":60,\"routingPolicy\":{\"wrr\":{\"items\":[{\"weight\":0.5,\"rrdatas\":["
		 "\"192.0.2.1\"]}]}}}",
		 -ENOTSUP, "no whole number"},
		{"{\"ttl\":60,\"routingPolicy\":{\"wrr\":{\"items\":[{\"weight\":65536,\"rrdatas\":"
		 "[\"192.0.2.1\"]}]}}}",
		 -ENOTSUP, "no whole number"},
		{"{\"ttl\":60,\"routingPolicy\":{\"wrr\":{\"items\":[{\"rrdatas\":[\"192.0.2.1\"]}]}}"
		 "}",
		 -ENOTSUP, "no whole number"},
		{"{\"ttl\":60,\"routingPolicy\":{\"wrr\":{\"items\":[{\"weight\":1}]}}}", -ENOTSUP,
		 "without addresses"},
		{"{\"ttl\":60,\"routingPolicy\":{\"wrr\":{\"items\":[{\"weight\":1,\"rrdatas\":["
		 "\"192.0.2.1\"]},{\"weight\":2,\"rrdatas\":[\"192.0.2.1\"]}]}}}",
		 -ENOTSUP, "two items"},
		{"{\"ttl\":60,\"routingPolicy\":{\"wrr\":{\"items\":[{\"weight\":1,\"rrdatas\":[],"
		 "\"healthCheckedTargets\":{\"internalLoadBalancers\":[{}]}}]}}}",
		 -ENOTSUP, "health-checked"},
		{"{\"ttl\":60,\"rrdatas\":[\"192.0.2.999\"]}", -EINVAL, "'192.0.2.999' is no such"},
		{"{\"ttl\":60,\"rrdatas\":[7]}", -EINVAL, "no such record"},
		{"{\"ttl\":-1,\"rrdatas\":[\"192.0.2.1\"]}", -EINVAL, "a TTL of -1"},
		{"{\"ttl\":2147483648,\"rrdatas\":[\"192.0.2.1\"]}", -EINVAL, "a TTL of"},
	};
	static struct dns_rrset got;
	char why[DNS_WHY];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(read_text(rows[i].json, DNS_A, &got, why), rows[i].err);
		if (!strstr(why, rows[i].why))
			fail_msg("'%s' has no '%s'", why, rows[i].why);
	}
}

static void a_set_with_too_many_records_is_refused(void **state)
{
	static struct dns_rrset r;
	json_t *list = json_array(), *o;
	char text[32], why[DNS_WHY] = "";

	(void)state;
	for (int i = 0; i <= DNS_MAX_MEMBERS; i++) {
		snprintf(text, sizeof(text), "192.0.2.%d", i);
		json_array_append_new(list, json_string(text));
	}
	o = json_pack("{s:i, s:o}", "ttl", 60, "rrdatas", list);
	dns_value_start(&r, NAME, DNS_A);
	assert_int_equal(google_rrset(o, &r, why), -ENOSPC);
	json_decref(o);
}

static void a_change_deletes_exactly_the_old_set_and_adds_the_new_one(void **state)
{
	static const struct {
		const char *old[4], *fresh[4], *body;
	} rows[] = {
		{{"192.0.2.1"},
		 {"203.0.113.9"},
		 "{\"deletions\":[{\"name\":\"www.example.com.\",\"type\":\"A\",\"ttl\":60,"
		 "\"rrdatas\":[\"192.0.2.1\"]}],\"additions\":[{\"name\":\"www.example.com.\","
		 "\"type\":\"A\",\"ttl\":30,\"rrdatas\":[\"203.0.113.9\"]}]}"},
		{{NULL},
		 {"203.0.113.9"},
		 "{\"additions\":[{\"name\":\"www.example.com.\",\"type\":\"A\",\"ttl\":30,"
		 "\"rrdatas\":[\"203.0.113.9\"]}]}"},
		{{"192.0.2.1"},
		 {NULL},
		 "{\"deletions\":[{\"name\":\"www.example.com.\",\"type\":\"A\",\"ttl\":60,"
		 "\"rrdatas\":[\"192.0.2.1\"]}]}"},
		{{"192.0.2.2", "192.0.2.1"},
		 {"192.0.2.1=90", "203.0.113.9=10"},
		 "{\"deletions\":[{\"name\":\"www.example.com.\",\"type\":\"A\",\"ttl\":60,"
		 "\"rrdatas\":[\"192.0.2.1\",\"192.0.2.2\"]}],\"additions\":[{\"name\":"
		 "\"www.example.com.\",\"type\":\"A\",\"ttl\":30,\"routingPolicy\":{\"wrr\":{"
		 "\"items\":[{\"weight\":90,\"rrdatas\":[\"192.0.2.1\"]},{\"weight\":10,"
		 "\"rrdatas\":[\"203.0.113.9\"]}]}}}]}"},
		{{"192.0.2.5=3/g", "192.0.2.9=3/g", "192.0.2.7=1"},
		 {"192.0.2.1"},
		 "{\"deletions\":[{\"name\":\"www.example.com.\",\"type\":\"A\",\"ttl\":60,"
		 "\"routingPolicy\":{\"wrr\":{\"items\":[{\"weight\":3,\"rrdatas\":["
		 "\"192.0.2.5\",\"192.0.2.9\"]},{\"weight\":1,\"rrdatas\":[\"192.0.2.7\"]}]}}}],"
		 "\"additions\":[{\"name\":\"www.example.com.\",\"type\":\"A\",\"ttl\":30,"
		 "\"rrdatas\":[\"192.0.2.1\"]}]}"},
	};
	static struct dns_rrset old, fresh;
	char *body;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		make(&old, DNS_A, 60, rows[i].old);
		make(&fresh, DNS_A, 30, rows[i].fresh);
		body = google_change(&old, &fresh, NULL);
		assert_string_equal(body, rows[i].body);
		free(body);
	}
}

static void the_services_own_words_can_be_the_deletion(void **state)
{
	static const char *const members[] = {"2001:db8::1", NULL};
	static struct dns_rrset old, fresh;
	json_t *exact = json_pack("{s:[s]}", "rrdatas", "2001:DB8::1");
	char *body;

	(void)state;
	make(&old, DNS_AAAA, 60, members);
	make(&fresh, DNS_AAAA, 60, members + 1);
	body = google_change(&old, &fresh, exact);
	assert_string_equal(body, "{\"deletions\":[{\"rrdatas\":[\"2001:DB8::1\"]}]}");
	free(body);
	json_decref(exact);
}

static void the_set_id_of_what_was_wanted_only_groups(void **state)
{
	static const struct {
		const char *wanted[4], *seen[4];
		bool same;
	} rows[] = {
		{{"192.0.2.1"}, {"192.0.2.1"}, true},
		{{"192.0.2.1"}, {"192.0.2.2"}, false},
		{{"192.0.2.1=1/a", "192.0.2.2=2/b"}, {"192.0.2.1=1", "192.0.2.2=2"}, true},
		{{"192.0.2.1=1/a", "192.0.2.2=1/a"}, {"192.0.2.1=1", "192.0.2.2=1"}, false},
		{{"192.0.2.1=1/a", "192.0.2.2=1/a"},
		 {"192.0.2.1=1/192.0.2.1", "192.0.2.2=1/192.0.2.1"},
		 true},
		{{"192.0.2.1=1"}, {"192.0.2.1=2"}, false},
		{{"192.0.2.1=1"}, {"192.0.2.1"}, false},
		{{NULL}, {NULL}, true},
		{{NULL}, {"192.0.2.1"}, false},
	};
	static struct dns_rrset wanted, seen;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		make(&wanted, DNS_A, 60, rows[i].wanted);
		make(&seen, DNS_A, 60, rows[i].seen);
		assert_int_equal(google_same(&wanted, &seen), rows[i].same);
	}
}

static void an_error_is_told_in_googles_words(void **state)
{
	static const struct {
		long status;
		const char *body, *why;
		bool fast;
	} rows[] = {
		{412,
		 "{\"error\":{\"code\":412,\"message\":\"Precondition not met for "
		 "'entity.change.deletions[0]'\",\"errors\":[{\"reason\":\"conditionNotMet\"}]}}",
		 "Google Cloud DNS: 412 conditionNotMet: Precondition not met for "
		 "'entity.change.deletions[0]'",
		 false},
		{404,
		 "{\"error\":{\"message\":\"The 'parameters.managedZone' resource named 'z' does "
		 "not exist.\",\"errors\":[{\"reason\":\"notFound\"}]}}",
		 "project p has no managed zone z", false},
		{404,
		 "{\"error\":{\"message\":\"The 'entity.change.deletions[0]' resource named 'x' "
		 "does not exist.\",\"errors\":[{\"reason\":\"notFound\"}]}}",
		 "404 notFound: The 'entity.change.deletions[0]'", false},
		{403, "{\"error\":{\"errors\":[{\"reason\":\"rateLimitExceeded\"}]}}",
		 "403 rateLimitExceeded", true},
		{403, "{\"error\":{\"errors\":[{\"reason\":\"userRateLimitExceeded\"}]}}",
		 "403 userRateLimitExceeded", true},
		{403, "{\"error\":{\"message\":\"no\",\"errors\":[{\"reason\":\"forbidden\"}]}}",
		 "403 forbidden: no", false},
		{502, "<html>\nbad\x1b[2J gateway", "502: <html> bad [2J gateway", false},
		{400, "", "Google Cloud DNS: 400: ", false},
	};
	struct conf_provider conf = {.project = "p", .zone = "z"};
	char why[DNS_WHY];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_reply r = {.status = rows[i].status,
				       .body = (char *)(uintptr_t)rows[i].body,
				       .size = strlen(rows[i].body)};

		google_words(&conf, &r, why);
		if (!strstr(why, rows[i].why))
			fail_msg("'%s' has no '%s'", why, rows[i].why);
		assert_int_equal(google_too_fast(&r), rows[i].fast);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_set_is_read_and_made_canonical),
		cmocka_unit_test(what_could_not_be_written_again_is_refused),
		cmocka_unit_test(a_set_with_too_many_records_is_refused),
		cmocka_unit_test(a_change_deletes_exactly_the_old_set_and_adds_the_new_one),
		cmocka_unit_test(the_services_own_words_can_be_the_deletion),
		cmocka_unit_test(the_set_id_of_what_was_wanted_only_groups),
		cmocka_unit_test(an_error_is_told_in_googles_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
