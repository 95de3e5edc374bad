/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/change.h"
#include "userspace/base/ip.h"
#include "userspace/conf/config.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* "60 192.0.2.1 192.0.2.2=40 192.0.2.3!" as a set of type A, or AAAA when it has a colon. */
static struct dns_rrset *set(struct dns_rrset *r, const char *text)
{
	char copy[512], *save, *word;

	memset(r, 0, sizeof(*r));
	strcpy(r->name, "www.example.");
	r->type = strchr(text, ':') ? DNS_AAAA : DNS_A;
	snprintf(copy, sizeof(copy), "%s", text);
	r->ttl = (uint32_t)strtoul(strtok_r(copy, " ", &save), NULL, 10);
	while ((word = strtok_r(NULL, " ", &save))) {
		struct dns_member *m = &r->member[r->n++];
		char *weight = strchr(word, '='), *mark = strchr(word, '!');

		m->proxied = mark;
		m->weighted = weight;
		if (mark)
			*mark = '\0';
		if (weight) {
			*weight = '\0';
			m->weight = (uint16_t)strtoul(weight + 1, NULL, 10);
		}
		snprintf(m->data, sizeof(m->data), "%s", word);
	}
	dns_rrset_sort(r);
	return r;
}

static struct dns_rrset a, b, c;

static void sets_are_compared_as_sets(void **state)
{
	static const struct {
		const char *a, *b;
		bool same, same_data;
	} rows[] = {
		{"60", "60", true, true},
		{"60", "300", true, true}, /* no set has no TTL */
		{"60 192.0.2.1", "60 192.0.2.1", true, true},
		{"60 192.0.2.1", "300 192.0.2.1", false, true},
		{"60 192.0.2.1", "60", false, false},
		{"60 192.0.2.1 192.0.2.2", "60 192.0.2.2 192.0.2.1", true, true},
		{"60 192.0.2.1 192.0.2.2", "60 192.0.2.1", false, false},
		{"60 192.0.2.1 192.0.2.2", "60 192.0.2.1 192.0.2.3", false, false},
		{"60 192.0.2.1=40", "60 192.0.2.1", false, true},
		{"60 192.0.2.1=40", "60 192.0.2.1=30", false, true},
		{"60 192.0.2.1=40", "60 192.0.2.1=40", true, true},
		{"60 192.0.2.1=0", "60 192.0.2.1", false, true},
		{"60 192.0.2.1!", "60 192.0.2.1", false, true},
		{"60 192.0.2.1", "60 2001:db8::1", false, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		set(&a, rows[i].a);
		set(&b, rows[i].b);
		assert_int_equal(dns_rrset_same(&a, &b), rows[i].same);
		assert_int_equal(dns_rrset_same(&b, &a), rows[i].same);
		assert_int_equal(dns_rrset_same_data(&a, &b), rows[i].same_data);
		assert_int_equal(dns_rrset_same_data(&b, &a), rows[i].same_data);
	}
	/* one address in two weighted sets is one address */
	set(&a, "60 192.0.2.1=10 192.0.2.1=20 192.0.2.2=5");
	set(&b, "60 192.0.2.1 192.0.2.2");
	assert_true(dns_rrset_same_data(&a, &b));
	set(&a, "60 192.0.2.1");
	set(&b, "60 192.0.2.1");
	strcpy(b.name, "api.example.");
	assert_false(dns_rrset_same(&a, &b));
	strcpy(b.name, a.name);
	strcpy(b.version, "another");
	strcpy(b.member[0].id, "another");
	assert_true(dns_rrset_same(&a, &b));
	strcpy(b.member[0].set_id, "another");
	assert_false(dns_rrset_same(&a, &b));
}

static void sets_are_shown_as_people_write_them(void **state)
{
	static const struct {
		const char *set, *text;
	} rows[] = {
		{"60", "nothing"},
		{"60 203.0.113.10", "203.0.113.10 (TTL 60)"},
		{"60 52.1.2.3=40 20.1.2.3=30", "20.1.2.3=30 52.1.2.3=40 (TTL 60)"},
		{"1 192.0.2.1!", "192.0.2.1 (proxied) (TTL 1)"},
	};
	char text[128], small[12];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(dns_rrset_text(set(&a, rows[i].set), text, sizeof(text)),
				    rows[i].text);
	set(&a, "60 203.0.113.10 203.0.113.11");
	dns_rrset_text(&a, small, sizeof(small));
	assert_string_equal(small, "203.0.113.1");
}

static void the_configuration_is_split_by_family(void **state)
{
	struct conf_dns *dns = calloc(1, sizeof(*dns));
	static const char *const fresh[] = {"198.51.100.9", "2001:db8:0:0::1", "198.51.100.10"};
	char text[128];
	uint16_t port;

	(void)state;
	dns->ttl_ms = 60000;
	dns->n_old = 1;
	assert_int_equal(ip_parse("203.0.113.10", dns->old[0].ip, &port), 0);
	dns->old[0].family = 4;
	for (size_t i = 0; i < COUNT(fresh); i++) {
		struct conf_record *r = &dns->fresh[dns->n_fresh++];

		assert_int_equal(ip_parse(fresh[i], r->address.ip, &port), 0);
		r->address.family = strchr(fresh[i], ':') ? 6 : 4;
		r->weighted = r->address.family == 4;
		r->weight = (uint16_t)(10 * i);
	}
	dns_change_wanted(dns, "www.example.", DNS_A, &a, &b);
	assert_string_equal(dns_rrset_text(&a, text, sizeof(text)), "203.0.113.10 (TTL 60)");
	assert_string_equal(dns_rrset_text(&b, text, sizeof(text)),
			    "198.51.100.10=20 198.51.100.9=0 (TTL 60)");
	assert_string_equal(b.member[0].set_id, "");
	dns_change_wanted(dns, "www.example.", DNS_AAAA, &a, &b);
	assert_int_equal(a.n, 0);
	assert_string_equal(dns_rrset_text(&b, text, sizeof(text)), "2001:db8::1 (TTL 60)");
	assert_string_equal(b.member[0].set_id, "");
	free(dns);
}

static void a_flip_wants_the_old_addresses_and_nothing_else(void **state)
{
	static const struct {
		const char *there, *old, *fresh;
		enum dns_todo want;
		const char *becomes; /* NULL: the fresh set as it was */
	} rows[] = {
		{"0", "60", "60", DNS_TODO_NONE, NULL},
		{"60 192.0.2.9", "60", "60", DNS_TODO_NONE, NULL}, /* not the configuration's */
		{"300 192.0.2.1", "60 192.0.2.1", "60 192.0.2.2", DNS_TODO_APPLY, NULL},
		{"300 192.0.2.1=5", "60 192.0.2.1", "60 192.0.2.2", DNS_TODO_APPLY, NULL},
		{"0", "60", "60 192.0.2.2", DNS_TODO_APPLY, NULL},
		{"60 192.0.2.1", "60 192.0.2.1", "60", DNS_TODO_APPLY, NULL},
		{"0", "60 192.0.2.1", "60", DNS_TODO_THERE, NULL},
		{"60 192.0.2.2", "60 192.0.2.1", "60 192.0.2.2", DNS_TODO_THERE, NULL},
		{"300 192.0.2.2", "60 192.0.2.1", "60 192.0.2.2", DNS_TODO_THERE, NULL},
		{"60 192.0.2.2=10", "60 192.0.2.1", "60 192.0.2.2=20", DNS_TODO_OTHER, NULL},
		{"0", "60 192.0.2.1", "60 192.0.2.2", DNS_TODO_OTHER, NULL},
		{"60 192.0.2.3", "60 192.0.2.1", "60 192.0.2.2", DNS_TODO_OTHER, NULL},
		{"60 192.0.2.1 192.0.2.3", "60 192.0.2.1", "60 192.0.2.2", DNS_TODO_OTHER, NULL},
		{"60 192.0.2.1", "60 192.0.2.1 192.0.2.3", "60 192.0.2.2", DNS_TODO_OTHER, NULL},
		{"60 192.0.2.1 192.0.2.2", "60 192.0.2.1", "60 192.0.2.2", DNS_TODO_OTHER, NULL},
		{"60 192.0.2.3", "60", "60 192.0.2.2", DNS_TODO_OTHER, NULL},
		/* behind a proxy it stays behind it, with the TTL that this has */
		{"1 192.0.2.1!", "60 192.0.2.1", "60 192.0.2.2", DNS_TODO_APPLY, "1 192.0.2.2!"},
		{"1 192.0.2.2!", "60 192.0.2.1", "60 192.0.2.2", DNS_TODO_THERE, "1 192.0.2.2!"},
		{"60 192.0.2.1! 192.0.2.3", "60 192.0.2.1 192.0.2.3", "60 192.0.2.2",
		 DNS_TODO_APPLY, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		set(&a, rows[i].there);
		set(&b, rows[i].old);
		set(&c, rows[i].fresh);
		assert_int_equal(dns_plan_flip(&a, &b, &c), rows[i].want);
		set(&a, rows[i].becomes ? rows[i].becomes : rows[i].fresh);
		assert_true(dns_rrset_same(&a, &c));
	}
}

static void a_way_back_wants_the_new_addresses_and_nothing_else(void **state)
{
	static const struct {
		const char *there, *old, *fresh;
		enum dns_todo want;
		bool differs;
	} rows[] = {
		{"0", "60", "60", DNS_TODO_NONE, false},
		{"60 192.0.2.2", "300 192.0.2.1", "60 192.0.2.2", DNS_TODO_APPLY, false},
		{"30 192.0.2.2", "300 192.0.2.1", "60 192.0.2.2", DNS_TODO_APPLY, false},
		{"60 192.0.2.2=7", "300 192.0.2.1", "60 192.0.2.2", DNS_TODO_APPLY, false},
		{"60 192.0.2.2", "0", "60 192.0.2.2", DNS_TODO_APPLY, false},
		{"0", "300 192.0.2.1", "60", DNS_TODO_APPLY, false},
		{"300 192.0.2.1", "300 192.0.2.1", "60 192.0.2.2", DNS_TODO_THERE, false},
		{"60 192.0.2.1", "300 192.0.2.1", "60 192.0.2.2", DNS_TODO_THERE, true},
		{"300 192.0.2.1=1", "300 192.0.2.1=2", "60 192.0.2.2", DNS_TODO_THERE, true},
		{"0", "0", "60 192.0.2.2", DNS_TODO_THERE, false},
		{"60 192.0.2.3", "300 192.0.2.1", "60 192.0.2.2", DNS_TODO_OTHER, false},
		{"60 192.0.2.1 192.0.2.2", "300 192.0.2.1", "60 192.0.2.2", DNS_TODO_OTHER, false},
		{"0", "300 192.0.2.1", "60 192.0.2.2", DNS_TODO_OTHER, false},
	};
	bool differs;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		set(&a, rows[i].there);
		set(&b, rows[i].old);
		set(&c, rows[i].fresh);
		assert_int_equal(dns_plan_back(&a, &b, &c, &differs), rows[i].want);
		assert_int_equal(differs, rows[i].differs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_are_compared_as_sets),
		cmocka_unit_test(sets_are_shown_as_people_write_them),
		cmocka_unit_test(the_configuration_is_split_by_family),
		cmocka_unit_test(a_flip_wants_the_old_addresses_and_nothing_else),
		cmocka_unit_test(a_way_back_wants_the_new_addresses_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
