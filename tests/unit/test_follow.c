/* SPDX-License-Identifier: GPL-2.0-only */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/ip.h"
#include "userspace/base/loop.h"
#include "userspace/ctl/follow.h"
#include "userspace/ctl/lookup.h"

#define MS 1000000ull

static unsigned int list(const char *text, uint32_t (*ret)[4])
{
	char copy[256], *save = NULL;
	unsigned int n = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
		uint16_t port;

		assert_int_equal(ip_parse(s, ret[n++], &port), 0);
	}
	return n;
}

static void a_set_changes_only_by_what_is_known(void **state)
{
	static const struct {
		const char *now;
		int err;
		const char *found;
		bool missing4, missing6;
		const char *want; /* NULL: nothing changes */
	} cases[] = {
		{"192.0.2.1", 0, "192.0.2.1", false, false, NULL},
		{"192.0.2.2 192.0.2.1", 0, "192.0.2.1 192.0.2.2", false, false, NULL},
		{"192.0.2.1", 0, "192.0.2.2", false, false, "192.0.2.2"},
		{"192.0.2.1", 0, "192.0.2.1 192.0.2.2", false, false, "192.0.2.1 192.0.2.2"},
		{"192.0.2.1 192.0.2.2", 0, "192.0.2.2", false, false, "192.0.2.2"},
		/* gone, or nobody answers: the last set */
		{"192.0.2.1", -ENOENT, "", false, false, NULL},
		{"192.0.2.1", -EAGAIN, "", true, true, NULL},
		{"192.0.2.1", 0, "", false, false, NULL},
		/* a family that could not be asked keeps what it has */
		{"192.0.2.1 2001:db8::1", 0, "192.0.2.1", false, true, NULL},
		{"192.0.2.1 2001:db8::1", 0, "192.0.2.9", false, true, "2001:db8::1 192.0.2.9"},
		{"192.0.2.1 2001:db8::1", 0, "192.0.2.9", false, false, "192.0.2.9"},
		{"192.0.2.1 2001:db8::1", 0, "2001:db8::2", true, false, "2001:db8::2 192.0.2.1"},
		{"", 0, "192.0.2.1", false, false, "192.0.2.1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct resolved r = {.missing = {cases[i].missing4, cases[i].missing6}};
		uint32_t now[8][4], want[8][4], got[RESOLVE_MAX][4];
		unsigned int n = list(cases[i].now, now), got_n = 0, wanted;
		bool changed;

		r.n = list(cases[i].found, r.address);
		changed = ctl_follow_change((const uint32_t(*)[4])now, n, cases[i].err, &r, got,
					    &got_n);
		if (changed != (cases[i].want != NULL))
			fail_msg("case %zu: changed %d", i, changed);
		if (!changed)
			continue;
		wanted = list(cases[i].want, want);
		assert_int_equal(got_n, wanted);
		for (unsigned int k = 0; k < wanted; k++) {
			unsigned int at = 0;

			while (at < got_n && memcmp(got[at], want[k], sizeof(want[k])))
				at++;
			assert_true(at < got_n);
		}
	}
}

static void forbidden_addresses_are_refused_with_the_reason(void **state)
{
	static const struct {
		const char *address, *why;
	} cases[] = {
		{"198.51.100.7", NULL},
		{"10.0.0.7", NULL}, /* private networks are where our hosts live */
		{"203.0.113.10", "listen address"},
		{"2001:db8::10", "listen address"},
		{"203.0.113.99", "dns.old"},
		{"203.0.113.11", "this host's own"},
		{"127.0.0.1", "loopback"},
		{"::1", "loopback"},
		{"169.254.169.254", "metadata"},
		{"fe80::1", "link-local"},
		{"64:ff9b::a9fe:a9fe", "metadata"},
	};
	struct config *c = calloc(1, sizeof(*c));
	uint32_t local[1][4];
	uint16_t none;

	(void)state;
	c->n_listens = 2;
	ip_parse("203.0.113.10", c->listens[0].address.ip, &none);
	ip_parse("2001:db8::10", c->listens[1].address.ip, &none);
	c->dns.n_old = 1;
	ip_parse("203.0.113.99", c->dns.old[0].ip, &none);
	ip_parse("203.0.113.11", local[0], &none);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint32_t address[4];
		const char *why;

		assert_int_equal(ip_parse(cases[i].address, address, &none), 0);
		why = ctl_follow_refusal(c, (const uint32_t(*)[4])local, 1, address);
		if (!why != !cases[i].why || (why && !strstr(why, cases[i].why)))
			fail_msg("%s: %s", cases[i].address, why ? why : "allowed");
	}
	free(c);
}

/* ---- look-ups ---- */

static struct loop *l;

struct heard {
	unsigned int calls;
	int err;
	struct resolved r;
};

static void hear(void *arg, int err, const struct resolved *r)
{
	struct heard *h = arg;

	h->calls++;
	h->err = err;
	h->r = *r;
	loop_stop(l, 0);
}

static void stop(void *arg, uint64_t now)
{
	(void)arg, (void)now;
	loop_stop(l, 0);
}

static void a_lookup_ends_on_the_loop_or_not_at_all(void **state)
{
	struct loop_timer t = {0};
	struct ctl_lookup *k;
	struct heard h = {0};
	uint32_t here[4];
	bool found = false;

	(void)state;
	ip_map(htonl(INADDR_LOOPBACK), here);
	alarm(20);
	assert_int_equal(loop_make(&l), 0);
	assert_int_equal(ctl_lookup_begin(l, "localhost", hear, &h, &k), 0);
	assert_int_equal(h.calls, 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(h.calls, 1);
	assert_int_equal(h.err, 0);
	for (unsigned int i = 0; i < h.r.n; i++)
		found |= !memcmp(h.r.address[i], here, sizeof(here));
	assert_true(found);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(ctl_lookup_begin(l, "localhost", hear, &h, &k), 0);
		ctl_lookup_cancel(k);
	}
	ctl_lookup_cancel(NULL);
	loop_timer_set(l, &t, loop_now() + 200 * MS, stop, NULL);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(h.calls, 1);
	loop_free(l);
	alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_changes_only_by_what_is_known),
		cmocka_unit_test(forbidden_addresses_are_refused_with_the_reason),
		cmocka_unit_test(a_lookup_ends_on_the_loop_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
