/* SPDX-License-Identifier: GPL-2.0-only */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/shift.h"
#include "userspace/conf/config.h"
#include "userspace/ctl/health.h"

#define S 1000000000ull

static const struct ctl_health_rules rules = {
	.rise = 2, .fall = 3, .interval_ns = 2 * S, .fast_ns = S / 2, .timeout_ns = S};

/* '+' an answer, '-' a failure; what the state is after each: u U D */
static void plays(const struct ctl_health_rules *r, const char *looks, const char *want)
{
	struct ctl_health h;
	char got[64] = "";
	size_t n = strlen(looks);

	assert_true(n < sizeof(got));
	ctl_health_init(&h, r, S);
	for (size_t i = 0; i < n; i++) {
		enum ctl_health_state was = h.state;
		bool changed = ctl_health_note(&h, r, looks[i] == '+', "x", (i + 2) * S);

		assert_int_equal(changed, was != h.state);
		got[i] = "uUD"[h.state];
	}
	got[n] = '\0';
	assert_string_equal(got, want);
}

static void one_counter_rises_and_falls(void **state)
{
	static const struct ctl_health_rules one = {.rise = 1, .fall = 1, .interval_ns = S};
	static const struct {
		const struct ctl_health_rules *r;
		const char *looks, *want;
	} cases[] = {
		{&rules, "+", "U"},
		{&rules, "---", "uuD"},
		{&rules, "--+", "uuU"},
		{&rules, "+--+--+", "UUUUUUU"}, /* never three in a row */
		{&rules, "+---", "UUUD"},
		{&rules, "+---+", "UUUDD"},
		{&rules, "+---++", "UUUDDU"},
		{&rules, "+---+-+-++", "UUUDDDDDDU"}, /* answers in a row */
		{&rules, "+---++--", "UUUDDUUU"},     /* up again: the whole of `fall` */
		{&rules, "+---++---", "UUUDDUUUD"},
		{&rules, "-----+-++", "uuDDDDDDU"},
		{&one, "-+-+", "DUDU"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		plays(cases[i].r, cases[i].looks, cases[i].want);
}

static void rules_that_change_keep_the_state(void **state)
{
	struct ctl_health_rules other = rules;
	struct ctl_health h;

	(void)state;
	ctl_health_init(&h, &rules, S);
	ctl_health_note(&h, &rules, true, "x", 2 * S);
	ctl_health_note(&h, &rules, false, "x", 3 * S);
	other.fall = 5;
	other.rise = 4;
	for (int i = 0; i < 4; i++) {
		assert_false(ctl_health_note(&h, &other, false, "x", 4 * S));
		assert_int_equal(h.state, CTL_HEALTH_UP);
	}
	assert_true(ctl_health_note(&h, &other, false, "x", 4 * S));
	for (int i = 0; i < 3; i++)
		assert_false(ctl_health_note(&h, &other, true, "x", 5 * S));
	assert_true(ctl_health_note(&h, &other, true, "x", 5 * S));
	assert_int_equal(h.state, CTL_HEALTH_UP);
}

static void looks_more_often_while_it_changes(void **state)
{
	struct ctl_health h;
	uint64_t at;

	(void)state;
	ctl_health_init(&h, &rules, S);
	assert_int_equal(ctl_health_next(&h, &rules, 0, UINT32_MAX / 2), S / 2 - 1);
	ctl_health_note(&h, &rules, true, "x", S);
	assert_int_equal(ctl_health_next(&h, &rules, 0, 0), 2 * S - S / 5);
	assert_int_equal(ctl_health_next(&h, &rules, 0, UINT32_MAX), 2 * S + S / 5);
	ctl_health_note(&h, &rules, false, "x", S);
	at = ctl_health_next(&h, &rules, 0, 12345);
	assert_in_range(at, S / 2 - S / 20, S / 2 + S / 20);
	ctl_health_note(&h, &rules, false, "x", S);
	ctl_health_note(&h, &rules, false, "x", S);
	assert_int_equal(h.state, CTL_HEALTH_DOWN);
	assert_in_range(ctl_health_next(&h, &rules, 0, 99), 2 * S - S / 5, 2 * S + S / 5);
	ctl_health_note(&h, &rules, true, "x", S);
	assert_in_range(ctl_health_next(&h, &rules, 0, 99), S / 2 - S / 20, S / 2 + S / 20);
}

static void verdicts_expire(void **state)
{
	struct ctl_health h;

	(void)state;
	ctl_health_init(&h, &rules, S);
	assert_int_equal(ctl_health_until(&h, &rules), 0);
	ctl_health_note(&h, &rules, true, "x", 5 * S);
	assert_int_equal(ctl_health_until(&h, &rules), 5 * S + 6 * S + S);
}

static void changes_tell_duration_reason_and_availability(void **state)
{
	struct ctl_health h;
	char text[256];

	(void)state;
	ctl_health_init(&h, &rules, 0);
	assert_true(isnan(ctl_health_availability(&h, 5 * S)));
	ctl_health_note(&h, &rules, true, "HTTP 200", 10 * S);
	assert_string_equal(ctl_health_change_text(&h, 10 * S, text, sizeof(text)),
			    "unknown -> up after 10s: HTTP 200");
	for (int i = 0; i < 3; i++)
		ctl_health_note(&h, &rules, false, "HTTP 503 instead of 200", 100 * S);
	assert_string_equal(ctl_health_change_text(&h, 100 * S, text, sizeof(text)),
			    "up -> down after 1m30s: HTTP 503 instead of 200; available 100.00%");
	ctl_health_note(&h, &rules, true, "HTTP 200", 110 * S);
	ctl_health_note(&h, &rules, true, "HTTP 200", 110 * S);
	assert_string_equal(ctl_health_change_text(&h, 110 * S, text, sizeof(text)),
			    "down -> up after 10s: HTTP 200; available 90.00%");
	assert_int_equal((int)(ctl_health_availability(&h, 210 * S) * 1000), 950);
}

static void a_clock_that_goes_back_adds_nothing(void **state)
{
	struct ctl_health h;

	(void)state;
	ctl_health_init(&h, &rules, 100 * S);
	ctl_health_note(&h, &rules, true, "x", 50 * S);
	assert_int_equal(h.before_ns, 0);
	assert_true(isnan(ctl_health_availability(&h, 10 * S)));
}

static void a_name_is_up_while_any_address_is(void **state)
{
	const enum ctl_health_state u = CTL_HEALTH_UNKNOWN, y = CTL_HEALTH_UP, n = CTL_HEALTH_DOWN;

	(void)state;
	assert_int_equal(ctl_health_any(NULL, 0), u);
	assert_int_equal(ctl_health_any((enum ctl_health_state[]){n, y}, 2), y);
	assert_int_equal(ctl_health_any((enum ctl_health_state[]){n, u}, 2), u);
	assert_int_equal(ctl_health_any((enum ctl_health_state[]){n, n}, 2), n);
	assert_int_equal(ctl_health_any((enum ctl_health_state[]){u, y}, 2), y);
}

/*
 * A member is one word: state (u U D, or - for one without a check), then any of: b its breaker is
 * open, d draining, 0 without a weight, 6 of IPv6 alone, * of both families.
 */
static unsigned int members(const char *text, struct ctl_health_member *m)
{
	unsigned int n = 0;

	for (; *text; n++) {
		m[n] = (struct ctl_health_member){
			.weight = 10, .checked = *text != '-', .family = {true, false}};
		m[n].state = *text == 'U'   ? CTL_HEALTH_UP
			     : *text == 'D' ? CTL_HEALTH_DOWN
					    : CTL_HEALTH_UNKNOWN;
		for (text++; *text && *text != ' '; text++) {
			m[n].breaker |= *text == 'b';
			m[n].draining |= *text == 'd';
			if (*text == '0')
				m[n].weight = 0;
			if (*text == '6')
				m[n].family[0] = false;
			if (*text == '6' || *text == '*')
				m[n].family[1] = true;
		}
		text += *text == ' ';
	}
	return n;
}

static void decides_as_the_table_says(void **state)
{
	static const struct {
		const char *in;
		bool committed;
		const char *out; /* written: u U D, h for one that is held */
		unsigned int usable, members;
		bool down4, down6;
	} cases[] = {
		{"U U U", false, "UUU", 3, 3, false, false},
		{"U D U", false, "UDU", 2, 3, false, false},
		{"U D U", true, "UDU", 2, 3, false, false},
		{"D D D", false, "DDD", 0, 3, true, false}, /* the old host serves */
		{"D D D", true, "hhh", 0, 3, true, false},  /* nobody sees stale data */
		{"D u D", true, "DuD", 1, 3, false, false},
		{"D - D", true, "DuD", 1, 3, false, false}, /* unchecked counts as usable */
		{"D Ub D", true, "hUh", 0, 3, true, false}, /* its breaker is open: no help */
		{"Ub Ub", true, "UU", 0, 2, true, false},
		{"D Ud D", true, "hUh", 0, 2, true, false}, /* draining takes nothing new */
		{"D U0", true, "hU", 0, 1, true, false},    /* nor does what has no weight */
		{"D0 U", true, "DU", 1, 1, false, false},
		{"D D U6", true, "hhU", 1, 3, true, false}, /* each family for itself */
		{"U D6", false, "UD", 1, 2, false, true},
		{"U D6", true, "Uh", 1, 2, false, true},
		{"D* D", true, "hh", 0, 2, true, true},
		{"D* U", true, "hU", 1, 2, false, true}, /* goes on for its IPv6 */
		{"", true, "", 0, 0, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ctl_health_member m[8];
		struct ctl_health_view v;
		unsigned int n = members(cases[i].in, m);
		char got[16] = "";

		ctl_health_decide(m, n, cases[i].committed, &v);
		for (unsigned int k = 0; k < n; k++) {
			got[k] = m[k].held ? 'h' : "uUD"[m[k].verdict];
			assert_true(!m[k].held || m[k].verdict == SHIFT_HEALTH_UNKNOWN);
		}
		assert_string_equal(got, cases[i].out);
		assert_int_equal(v.usable, cases[i].usable);
		assert_int_equal(v.members, cases[i].members);
		assert_int_equal(v.all_down[0], cases[i].down4);
		assert_int_equal(v.all_down[1], cases[i].down6);
		assert_int_equal(v.held, cases[i].committed && (cases[i].down4 || cases[i].down6));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_counter_rises_and_falls),
		cmocka_unit_test(rules_that_change_keep_the_state),
		cmocka_unit_test(looks_more_often_while_it_changes),
		cmocka_unit_test(verdicts_expire),
		cmocka_unit_test(changes_tell_duration_reason_and_availability),
		cmocka_unit_test(a_clock_that_goes_back_adds_nothing),
		cmocka_unit_test(a_name_is_up_while_any_address_is),
		cmocka_unit_test(decides_as_the_table_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
