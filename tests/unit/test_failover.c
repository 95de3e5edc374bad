/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A group's life as words, one after the other. Members are a, b, c, in order.
 *
 *   a+ b- a~ a? a=   member is up, down, degraded, unknown, idle; a! up but out of budget
 *   N                N seconds go by, one step in each
 *   pin:b unpin go:b
 *   @b               b carries now; @@b the same, and a switch went there in the last step
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wg/failover.h"
#include "wg/machine_json.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define S	 1000000000ull
#define HOLD	 60

struct life {
	struct failover f;
	struct failover_rules r;
	uint64_t now;
	bool switched;
	unsigned int carries;
};

static void begin(struct life *x, unsigned int n)
{
	memset(x, 0, sizeof(*x));
	failover_init(&x->f);
	x->r = (struct failover_rules){.n = n, .name = {"a", "b", "c"}, .hold_ns = HOLD * S};
	x->now = 1000 * S;
	for (unsigned int i = 0; i < FAILOVER_MEMBERS; i++)
		x->f.member[i].in_budget = true;
}

static void step(struct life *x)
{
	unsigned int before = x->f.active;

	x->carries = failover_step(&x->f, &x->r, x->now, &x->switched);
	assert_int_equal(x->carries, x->f.active);
	assert_int_equal(x->switched, before != x->f.active);
	assert_true(strlen(x->f.reason) < sizeof(x->f.reason) - 1);
}

static void through_json(struct life *x)
{
	json_t *j = failover_to_json(&x->f);
	char *text = json_dumps(j, 0);
	json_t *k = json_loads(text, 0, NULL);
	json_t *again;
	struct failover f;

	assert_int_equal(failover_from_json(k, &f), 0);
	again = failover_to_json(&f);
	assert_true(json_equal(j, again));
	x->f = f;
	json_decref(j);
	json_decref(k);
	json_decref(again);
	free(text);
}

static void set(struct life *x, unsigned int i, char how, const char *row)
{
	static const char signs[] = "?+=~-"; /* as enum health_state */
	const char *sign = strchr(signs, how);

	if (how != '!' && !sign)
		fail_msg("%s: what is %c?", row, how);
	x->f.member[i].in_budget = how != '!' && how != '~';
	x->f.member[i].state = how == '!' ? HEALTH_UP : (enum health_state)(sign - signs);
}

static void word_of(struct life *x, const char *word, const char *row, bool disk)
{
	if (!strncmp(word, "pin:", 4)) {
		failover_pin(&x->f, (unsigned int)(word[4] - 'a'));
	} else if (!strcmp(word, "unpin")) {
		failover_pin(&x->f, FAILOVER_NONE);
	} else if (!strncmp(word, "go:", 3)) {
		failover_go(&x->f, (unsigned int)(word[3] - 'a'), x->now);
	} else if (word[0] == '@') {
		if (word[1] == '@' && !x->switched)
			fail_msg("%s: no switch at %s: %s", row, word, x->f.reason);
		if (x->carries != (unsigned int)(word[strlen(word) - 1] - 'a'))
			fail_msg("%s: %s: %s", row, word, x->f.reason);
	} else if (word[0] >= '0' && word[0] <= '9') {
		for (int n = atoi(word); n > 0; n--) {
			x->now += S;
			step(x);
			if (disk)
				through_json(x);
		}
	} else {
		set(x, (unsigned int)(word[0] - 'a'), word[1], row);
	}
}

static void live(struct life *x, const char *words, const char *row, bool disk)
{
	char copy[512], *save = NULL;

	assert_true(strlen(words) < sizeof(copy));
	strcpy(copy, words);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		word_of(x, w, row, disk);
}

static const struct row {
	const char *name;
	unsigned int n;
	const char *words;
	enum failover_alarm alarm;
	const char *reason; /* in what it says at the end */
} table[] = {
	/* the first step */
	{"the preferred first", 2, "a+ b+ 1 @@a 1000 @a", FAILOVER_CALM, "on a"},
	{"even unknown", 2, "a? b+ 1 @@a", FAILOVER_CALM, "on a"},
	{"even degraded", 2, "a~ b+ 1 @@a", FAILOVER_CALM,
	 "on a: degraded for 0.0s of 1m00s, then b"},
	{"not when it is down", 2, "a- b+ 1 @@b", FAILOVER_ON_BACKUP, "on b: a is down"},
	{"unless all are", 2, "a- b- 1 @@a", FAILOVER_ALL_DOWN,
	 "on a: all 2 are down, so it stays"},
	{"alone", 1, "a+ 1 @a a- 9 @a", FAILOVER_ALL_DOWN, "all 1 are down"},
	{"alone and degraded", 1, "a~ 100 @a", FAILOVER_CALM, "degraded, and no other is up"},

	/* away */
	{"at once from the dead", 2, "a+ b+ 1 a- 1 @@b", FAILOVER_ON_BACKUP,
	 "on b since a went down, 0.0s ago: a is down"},
	{"to the best by state", 3, "a+ b~ c+ 1 a- 1 @@c", FAILOVER_ON_BACKUP, "on c since a"},
	{"then by order", 3, "a+ b+ c+ 1 a- 1 @@b", FAILOVER_ON_BACKUP, "on b since a"},
	{"in budget first", 3, "a+ b! c+ 1 a- 1 @@c", FAILOVER_ON_BACKUP, "on c"},
	{"degraded before idle", 3, "a+ b= c~ 1 a- 1 @@c", FAILOVER_ON_BACKUP, "on c"},
	{"idle before unknown", 3, "a+ b? c= 1 a- 1 @@c", FAILOVER_ON_BACKUP, "on c"},
	{"unknown before dead", 3, "a+ b? c- 1 a- 1 @@b", FAILOVER_ON_BACKUP, "on b"},
	{"all down stays", 2, "a+ b- 1 a- 1 @a 100 @a", FAILOVER_ALL_DOWN, "on a: all 2 are down"},
	{"the first to come up", 2, "a+ b- 1 a- 99 @a b+ 1 @@b", FAILOVER_ON_BACKUP,
	 "on b since a"},
	{"or the same again", 2, "a+ b- 1 a- 99 @a a+ 1 @a", FAILOVER_CALM, "on a"},
	{"dead backup, live preferred", 2, "a+ b+ 1 a- 5 @b a+ b- 1 @@a", FAILOVER_CALM,
	 "on a since b went down"},
	{"unknown does not leave", 2, "a+ b+ 1 a? 500 @a", FAILOVER_CALM, "on a"},

	/* back */
	{"waits", 2, "a+ b+ 1 a- 1 @b a+ 13 @b", FAILOVER_ON_BACKUP,
	 "on b since a went down, 13s ago: a has been up for 12s of 1m00s"},
	{"until the hold", 2, "a+ b+ 1 a- 1 a+ 60 @b", FAILOVER_ON_BACKUP, "59s of 1m00s"},
	{"then goes", 2, "a+ b+ 1 a- 1 a+ 61 @@a", FAILOVER_CALM, "on a back from b, 0.0s ago"},
	{"a break starts anew", 2, "a+ b+ 1 a- 1 a+ 59 a- 1 a+ 60 @b 1 @@a", FAILOVER_CALM, "back"},
	{"so does degraded", 2, "a+ b+ 1 a- 1 a+ 59 a~ 1 a+ 60 @b 1 @@a", FAILOVER_CALM, "back"},
	{"so does the budget", 2, "a+ b+ 1 a- 1 a+ 59 a! 1 a+ 60 @b 1 @@a", FAILOVER_CALM, "back"},
	{"so does unknown", 2, "a+ b+ 1 a- 1 a+ 59 a? 1 a+ 60 @b 1 @@a", FAILOVER_CALM, "back"},
	{"never while out of budget", 2, "a+ b+ 1 a- 1 a! 5000 @b", FAILOVER_ON_BACKUP,
	 "a is up, out of budget"},
	{"idle will do", 2, "a= b= 1 a- 1 @b a= 61 @@a", FAILOVER_CALM, "back from b"},
	{"over the middle one", 3, "a+ b+ c+ 1 a- b- 1 @c b+ 20 a+ 40 @c 1 @@b 59 @b 1 @@a",
	 FAILOVER_CALM, "back from b"},

	/* degraded */
	{"not at once", 2, "a+ b+ 100 a~ 30 @a", FAILOVER_CALM,
	 "degraded for 29s of 1m00s, then b"},
	{"after the hold", 2, "a+ b+ 100 a~ 60 @a 1 @@b", FAILOVER_ON_BACKUP,
	 "on b since a was degraded, 0.0s ago: a is degraded"},
	{"a break starts anew", 2, "a+ b+ 100 a~ 59 a+ 1 a~ 60 @a 1 @@b", FAILOVER_ON_BACKUP,
	 "on b"},
	{"not for another like it", 2, "a+ b~ 100 a~ 500 @a", FAILOVER_CALM, "no other is up"},
	{"nor for idle", 2, "a+ b= 100 a~ 500 @a", FAILOVER_CALM, "no other is up"},
	{"nor for one just up", 2, "a+ b- 100 a~ 100 b+ 60 @a 1 @@b", FAILOVER_ON_BACKUP, "on b"},
	{"out of budget is degraded", 2, "a+ b+ 100 a! 60 @a 1 @@b", FAILOVER_ON_BACKUP, "on b"},
	{"down in the meantime", 2, "a+ b+ 100 a~ 30 a- 1 @@b", FAILOVER_ON_BACKUP, "a went down"},
	{"to the nearest that is up", 3, "a+ b~ c+ 100 a~ 61 @@c", FAILOVER_ON_BACKUP, "on c"},

	/* flaps; 600 s is the time of one */
	{"a flap doubles", 2, "a+ b+ 1 a- 1 a+ 61 @@a a- 1 @@b a+ 61 @b 59 @b 1 @@a", FAILOVER_CALM,
	 "on a back"},
	{"it says so", 2, "a+ b+ 1 a- 1 a+ 61 @@a a- 1 a+ 10 @b", FAILOVER_ON_BACKUP,
	 "a has been up for 9.0s of 2m00s (1 flap)"},
	{"late is none", 2, "a+ b+ 1 a- 1 a+ 61 @@a 601 a- 1 a+ 61 @@a", FAILOVER_CALM,
	 "on a back"},
	{"in time is one", 2, "a+ b+ 1 a- 1 a+ 61 @@a 598 a- 1 a+ 61 @b", FAILOVER_ON_BACKUP,
	 "1 flap"},
	{"degraded after going back is one", 2, "a+ b+ 1 a- 1 a+ 61 @@a a~ 61 @@b a+ 2 @b",
	 FAILOVER_ON_BACKUP, "of 2m00s (1 flap)"},
	{"down with all is one", 2, "a+ b+ 1 a- 1 a+ 61 @@a a- b- 9 @a b+ 1 @@b a+ 2",
	 FAILOVER_ON_BACKUP, "(1 flap)"},
	{"calm forgives", 2, "a+ b+ 1 a- 1 a+ 61 a- 1 a+ 121 @@a 601 a- 1 a+ 61 @@a", FAILOVER_CALM,
	 "on a back"},
	{"a dead one is calm", 2, "a+ b+ 1 a- 1 a+ 61 a- 700 a+ 61 @@a", FAILOVER_CALM,
	 "on a back"},
	{"one that comes and goes is not", 2,
	 "a+ b+ 1 a- 1 a+ 61 a- 300 a+ 1 a- 300 a+ 1 a- 300 a+ 61 @b", FAILOVER_ON_BACKUP,
	 "1 flap"},

	/* by hand */
	{"pinned at once", 2, "a+ b+ 1 pin:b 1 @@b 5000 @b", FAILOVER_ON_BACKUP,
	 "on b by a pin, before on a, 1h23m ago: pinned"},
	{"pinned to the dead", 2, "a+ b- 1 pin:b 1 @@b 5000 @b", FAILOVER_PINNED_DOWN,
	 "though it is down"},
	{"pinned and all down", 2, "a+ b+ 1 pin:b 1 @@b a- b- 5 @b", FAILOVER_ALL_DOWN, "pinned"},
	{"pinned to the preferred", 2, "a+ b+ pin:a 1 @@a a- 50 @a", FAILOVER_PINNED_DOWN, "on a"},
	{"pinned before all", 2, "a+ b+ pin:b 1 @@b", FAILOVER_ON_BACKUP, "on b: pinned"},
	{"the pin is gone", 2, "a+ b+ 1 pin:b 500 unpin 1 @@a", FAILOVER_CALM, "on a back from b"},
	{"gone within the hold", 2, "a+ b+ 1 pin:b 30 unpin 1 @b 30 @@a", FAILOVER_CALM, "back"},
	{"gone from the dead", 2, "a+ b- 1 pin:b 30 unpin 1 @@a", FAILOVER_CALM, "b went down"},
	{"a pin out of reach", 2, "a+ b+ 1 pin:c 1 @a 30 @a", FAILOVER_CALM, "on a"},
	{"go", 2, "a+ b+ 100 go:b 1 @@b 59 @b", FAILOVER_ON_BACKUP,
	 "on b by hand, before on a, 59s ago: a is up, waited for 59s of 1m00s"},
	{"and back after the hold", 2, "a+ b+ 100 go:b 1 @@b 60 @@a", FAILOVER_CALM, "back from b"},
	{"not to the dead", 2, "a+ b- 100 go:b 1 @a b+ 9 @a", FAILOVER_CALM, "on a"},
	{"go takes the pin away", 2, "a+ b+ 1 pin:b 9 go:a 1 @@a 99 b- 1 @a", FAILOVER_CALM,
	 "by hand"},
	{"go where it is", 2, "a+ b+ 1 a- 1 a+ 40 go:b 59 @b 1 @@a", FAILOVER_CALM, "back"},
	{"go out of reach", 2, "a+ b+ 1 go:c 1 @a 30 @a", FAILOVER_CALM, "on a"},
};

static void lives_end_as_they_must(void **state)
{
	(void)state;
	for (int disk = 0; disk < 2; disk++)
		for (size_t i = 0; i < COUNT(table); i++) {
			struct life x;

			begin(&x, table[i].n);
			live(&x, table[i].words, table[i].name, disk);
			if (!strstr(x.f.reason, table[i].reason))
				fail_msg("%s: \"%s\" lacks \"%s\"", table[i].name, x.f.reason,
					 table[i].reason);
			if (x.f.alarm != table[i].alarm)
				fail_msg("%s: alarm is %s", table[i].name,
					 failover_alarm_name(x.f.alarm));
		}
}

static void the_hold_doubles_to_its_cap(void **state)
{
	static const struct {
		uint32_t flaps;
		uint64_t hold, cap, want;
	} rows[] = {
		{0, 60, 0, 60},	       {1, 60, 0, 120},	  {4, 60, 0, 960}, {5, 60, 0, 960},
		{9, 60, 0, 960},       {1, 60, 100, 100}, {2, 60, 90, 90}, {1, 60, 10, 60},
		{0, 0, 0, 0},	       {5, 0, 0, 0},	  {5, 0, 600, 0},  {UINT32_MAX, 60, 0, 960},
		{UINT32_MAX, 1, 7, 7},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct failover f;
		struct failover_rules r = {
			.n = 2, .hold_ns = rows[i].hold * S, .hold_cap_ns = rows[i].cap * S};

		failover_init(&f);
		f.flaps = rows[i].flaps;
		assert_int_equal(failover_hold(&f, &r), rows[i].want * S);
	}
}

static void odd_rules_and_states_are_survived(void **state)
{
	struct life x;

	(void)state;
	begin(&x, 0);
	step(&x);
	assert_int_equal(x.carries, FAILOVER_NONE);
	assert_int_equal(failover_next(&x.f, &x.r, x.now), 0);
	begin(&x, 2);
	x.r.hold_ns = 0;
	live(&x, "a+ b+ 1 a- 1 @@b a+ 1 @@a a- 1 @@b a+ 1 @@a", "no hold", true);
	begin(&x, 2);
	x.r.hold_ns = UINT64_MAX;
	live(&x, "a+ b+ 1 a- 1 @@b a+ 9999 @b", "forever", true);
	begin(&x, 3);
	live(&x, "a- b- c+ 1 @@c", "three", true);
	x.r.n = 2;
	live(&x, "b+ 1 @@b", "a shorter chain", true);
	x.now = 5 * S; /* the clock went back */
	live(&x, "a+ 1 @b 59 @b 1 @@a", "clock", true);
	x.f.reason[0] = '\0';
	x.r.name[0] = NULL;
	step(&x);
	assert_non_null(strstr(x.f.reason, "on tunnel 1"));
	assert_string_equal(failover_alarm_name((enum failover_alarm)77), "?");
}

/* ---- by chance ---- */

static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % below;
}

static bool is_fit(const struct failover_member *m)
{
	return m->in_budget && (m->state == HEALTH_UP || m->state == HEALTH_IDLE);
}

static void check_where(const struct life *x)
{
	const struct failover_member *m = x->f.member;
	bool all = true, pinned = x->f.pinned != FAILOVER_NONE;

	assert_true(x->carries < x->r.n);
	for (unsigned int i = 0; i < x->r.n; i++)
		all = all && m[i].state == HEALTH_DOWN;
	if (pinned)
		assert_int_equal(x->carries, x->f.pinned);
	else if (!all)
		assert_int_not_equal(m[x->carries].state, HEALTH_DOWN);
	if (m[x->carries].state == HEALTH_DOWN)
		assert_int_equal(x->f.alarm, all ? FAILOVER_ALL_DOWN : FAILOVER_PINNED_DOWN);
	if (x->f.alarm == FAILOVER_CALM) {
		assert_int_equal(x->carries, 0);
		assert_int_not_equal(m[0].state, HEALTH_DOWN);
	}
}

struct watch {
	uint64_t fit_since[FAILOVER_MEMBERS]; /* kept apart from the machine's own; 0: it is not */
	uint64_t back_at, began;
	unsigned int backs;
};

static void check_switch(struct life *x, struct watch *w, unsigned int before)
{
	const struct failover_member *m = x->f.member;

	for (unsigned int i = 0; i < x->r.n; i++) {
		if (!is_fit(&m[i]))
			w->fit_since[i] = 0;
		else if (!w->fit_since[i])
			w->fit_since[i] = x->now;
	}
	if (!x->switched || before == FAILOVER_NONE || x->f.cause >= FAILOVER_PIN)
		return;
	if (m[before].state == HEALTH_DOWN) {
		assert_int_not_equal(m[x->carries].state, HEALTH_DOWN);
		for (unsigned int i = 0; i < x->r.n; i++)
			if (m[i].in_budget && m[i].state == HEALTH_UP)
				assert_int_equal(m[x->carries].state, HEALTH_UP);
		return;
	}
	/* by choice: to one that held */
	assert_true(is_fit(&m[x->carries]));
	assert_true(x->now - w->fit_since[x->carries] >= x->r.hold_ns);
	if (x->carries > before) {
		assert_false(is_fit(&m[before]));
		assert_int_equal(m[x->carries].state, HEALTH_UP);
		return;
	}
	assert_true(!w->back_at || x->now - w->back_at >= x->r.hold_ns);
	w->back_at = x->now;
	w->backs++;
}

static void change(struct life *x, bool hands)
{
	static const char how[] = "+++++---~!?=";

	for (unsigned int i = 0; i < x->r.n; i++)
		if (!rnd(4))
			set(x, i, how[rnd(sizeof(how) - 1)], "by chance");
	if (!hands || rnd(20))
		return;
	switch (rnd(3)) {
	case 0:
		failover_pin(&x->f, rnd(x->r.n));
		break;
	case 1:
		failover_pin(&x->f, FAILOVER_NONE);
		break;
	default:
		failover_go(&x->f, rnd(x->r.n), x->now);
		break;
	}
}

/* One life of 60 changes; steps at changes and when the machine asks for one. A digest of it. */
static uint64_t random_life(uint64_t with, bool check)
{
	struct watch w = {0};
	uint64_t digest = 0, flap;
	struct life x;
	bool hands;

	seed = with;
	begin(&x, 1 + rnd(4));
	x.r.hold_ns = (1 + rnd(100)) * S;
	x.r.hold_cap_ns = rnd(2) ? 0 : x.r.hold_ns * (1 + rnd(40));
	x.r.flap_ns = rnd(2) ? 0 : x.r.hold_ns * (1 + rnd(20));
	flap = x.r.flap_ns ? x.r.flap_ns : 10 * x.r.hold_ns;
	hands = rnd(2);
	w.began = x.now;
	for (int i = 0; i < 60; i++) {
		uint64_t until = x.now + (rnd(3) ? rnd(30) : rnd(3000)) * S + 1, at;

		change(&x, hands);
		do {
			unsigned int before = x.f.active;

			step(&x);
			if (check) {
				check_switch(&x, &w, before);
				check_where(&x);
			}
			digest = digest * 31 + x.carries * 7 + x.f.alarm + x.now;
			at = failover_next(&x.f, &x.r, x.now);
			if (at && check)
				assert_true(at >= x.now);
			if (at == x.now)
				at++;
			if (at && at < until)
				x.now = at;
		} while (at && at < until);
		x.now = until;
	}
	/* the bound of failover.c's head, for any life that hands left alone */
	if (check && !hands) {
		uint64_t cap = x.r.hold_cap_ns ? x.r.hold_cap_ns : 16 * x.r.hold_ns;
		uint64_t time = x.now - w.began, levels = 1;

		while (x.r.hold_ns << levels < cap)
			levels++;
		assert_true(w.backs <=
			    (x.r.n - 1) * (levels + 1 + 2 * (time / flap + 1) + time / cap));
	}
	return digest;
}

static void no_life_breaks_the_rules(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 20000; i++)
		random_life(i, true);
}

static void the_same_life_ends_the_same(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 500; i++)
		assert_int_equal(random_life(i, false), random_life(i, false));
}

/* Steps only at changes and at failover_next, against a step in every second. */
static void next_misses_nothing(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 1000; i++) {
		struct life x, y;

		seed = i;
		begin(&x, 2 + rnd(2));
		x.r.hold_ns = (1 + rnd(30)) * S;
		y = x;
		for (int k = 0; k < 30; k++) {
			uint64_t until = x.now + (1 + rnd(200)) * S;

			change(&x, false);
			for (unsigned int m = 0; m < x.r.n; m++) {
				y.f.member[m].state = x.f.member[m].state;
				y.f.member[m].in_budget = x.f.member[m].in_budget;
			}
			step(&y);
			for (; x.now < until; x.now += S) {
				uint64_t at;

				step(&x);
				at = failover_next(&y.f, &y.r, y.now);
				if (at && at <= x.now && x.now != y.now) {
					y.now = x.now;
					step(&y);
				}
				assert_int_equal(x.carries, y.carries);
				assert_int_equal(x.f.switches, y.f.switches);
			}
			y.now = x.now;
		}
		assert_int_equal(x.f.flaps, y.f.flaps);
	}
}

/* Down for 5 s and up for P s, what the damping leaves of six hours. */
static void a_flapping_link_is_damped(void **state)
{
	const uint64_t time = 6 * 3600;

	(void)state;
	for (unsigned int up = 1; up <= 1500; up += up < 10 ? 1 : up < 80 ? 7 : 53) {
		uint64_t backs = 0, bound = 5 + time / (16 * HOLD);
		struct life x;

		begin(&x, 2);
		live(&x, "a+ b+ 1 @a", "start", false);
		for (uint64_t t = 0; t < time; t++) {
			set(&x, 0, t % (up + 5) < 5 ? '-' : '+', "flapping");
			x.now += S;
			step(&x);
			backs += x.switched && x.carries == 0;
		}
		if (up <= HOLD)
			assert_int_equal(backs, 0);
		assert_true(x.f.switches <= 2 * backs + 1);
		/* from a hold and 600 s of carrying on it is no flap: one change in 11 minutes */
		if (up > HOLD + 600)
			bound = 5 + 2 * time / 600;
		if (backs > bound)
			fail_msg("up for %u s: %u times back, %u allowed", up, (unsigned int)backs,
				 (unsigned int)bound);
	}
}

/* The worst of adversaries: the preferred one dies the moment it is gone back to. */
static void dying_when_gone_back_to_is_damped(void **state)
{
	static const uint64_t want[] = {60, 120, 240, 480, 960, 960, 960};
	uint64_t last;
	struct life x;

	(void)state;
	begin(&x, 2);
	live(&x, "a+ b+ 1 a- 1 @@b a+ 1", "start", false);
	last = x.now;
	for (size_t i = 0; i < COUNT(want); i++) {
		while (!x.switched || x.carries != 0) {
			x.now += S;
			step(&x);
			assert_true(x.now - last <= 1000 * S);
		}
		assert_int_equal((x.now - last) / S, want[i]);
		live(&x, "a- 1 @@b a+ 1", "dies", false);
		last = x.now;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lives_end_as_they_must),
		cmocka_unit_test(the_hold_doubles_to_its_cap),
		cmocka_unit_test(odd_rules_and_states_are_survived),
		cmocka_unit_test(no_life_breaks_the_rules),
		cmocka_unit_test(the_same_life_ends_the_same),
		cmocka_unit_test(next_misses_nothing),
		cmocka_unit_test(a_flapping_link_is_damped),
		cmocka_unit_test(dying_when_gone_back_to_is_damped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
