/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wg/failover.h"
#include "wg/health.h"
#include "wg/machine_json.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define S	 1000000000ull

static const struct failover_rules rules = {.n = 2, .name = {"a", "b"}, .hold_ns = 60 * S};

static unsigned int step(struct failover *f, enum health_state a, uint64_t now)
{
	bool switched;

	f->member[0].state = a;
	f->member[1].state = HEALTH_UP;
	f->member[0].in_budget = f->member[1].in_budget = true;
	return failover_step(f, &rules, now, &switched);
}

static json_t *good_failover(void)
{
	struct failover f;

	failover_init(&f);
	step(&f, HEALTH_UP, 1000 * S);
	step(&f, HEALTH_DOWN, 1001 * S);
	step(&f, HEALTH_UP, 1002 * S);
	return failover_to_json(&f);
}

static json_t *good_health(void)
{
	struct health_rules r = {.rise = 2, .fall = 3, .probed = true};
	struct health h;

	health_init(&h, &r, 5 * S);
	health_probe(&h, &r, true, 6 * S);
	return health_to_json(&h);
}

static int read_failover(const json_t *j)
{
	struct failover f, before;
	int err;

	memset(&f, 0x5a, sizeof(f));
	before = f;
	err = failover_from_json(j, &f);
	if (err)
		assert_memory_equal(&f, &before, sizeof(f));
	return err;
}

static int read_health(const json_t *j)
{
	struct health h, before;
	int err;

	memset(&h, 0x5a, sizeof(h));
	before = h;
	err = health_from_json(j, &h);
	if (err)
		assert_memory_equal(&h, &before, sizeof(h));
	return err;
}

/* Every field, left out or replaced by what it cannot be. */
static void spoil(json_t *good, int (*read)(const json_t *), json_t *part)
{
	json_t *bad[] = {json_integer(-1),
			 json_real(1.5),
			 json_string("nonsense\n"),
			 json_string("\x1b[2J"),
			 json_string("\xc3\xa4"),
			 json_object(),
			 json_array()};
	json_t *copy = json_copy(part), *value;
	const char *key;

	assert_int_equal(read(good), 0);
	json_object_foreach (copy, key, value) {
		json_object_del(part, key);
		assert_int_equal(read(good), -EBADMSG);
		for (size_t i = 0; i < COUNT(bad); i++) {
			json_object_set(part, key, bad[i]);
			assert_int_equal(read(good), -EBADMSG);
		}
		json_object_set(part, key, value);
		assert_int_equal(read(good), 0);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(read(bad[i]), -EBADMSG);
		json_decref(bad[i]);
	}
	json_decref(copy);
}

static void put(json_t *good, int (*read)(const json_t *), const char *key, json_t *bad)
{
	json_t *was = json_incref(json_object_get(good, key));

	json_object_set_new(good, key, bad);
	if (read(good) != -EBADMSG)
		fail_msg("%s was believed", key);
	json_object_set_new(good, key, was);
	assert_int_equal(read(good), 0);
}

static void a_damaged_file_is_refused(void **state)
{
	json_t *f = good_failover(), *h = good_health();
	char longer[300];

	(void)state;
	spoil(f, read_failover, f);
	spoil(f, read_failover, json_array_get(json_object_get(f, "members"), 1));
	spoil(h, read_health, h);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	put(f, read_failover, "active", json_integer(8));
	put(f, read_failover, "pinned", json_integer(255));
	put(f, read_failover, "reason", json_string(longer));
	put(f, read_failover, "reason", json_stringn("a\0b", 3));
	put(f, read_failover, "flaps", json_integer(1ll << 32));
	put(f, read_failover, "schema", json_integer(2));
	put(h, read_health, "score", json_integer(5));
	put(h, read_health, "rise", json_integer(0));
	put(h, read_health, "rise", json_integer(65536));
	put(h, read_health, "fall", json_integer(0));
	put(h, read_health, "fall", json_integer(1001));
	put(h, read_health, "up_lost", json_integer(1000));
	put(h, read_health, "reason", json_string(longer));
	assert_int_equal(read_failover(NULL), -EBADMSG);
	assert_int_equal(read_health(NULL), -EBADMSG);
	json_array_remove(json_object_get(f, "members"), 7);
	assert_int_equal(read_failover(f), -EBADMSG);
	json_decref(f);
	json_decref(h);
}

/* What passes the check must not bring the machine to nonsense: extreme but valid values. */
static void a_hostile_file_is_survived(void **state)
{
	static const char *const times[] = {"switched_at", "hold_from", "degraded_since",
					    "calm_from", "flaps"};

	(void)state;
	for (unsigned int bits = 0; bits < 1u << COUNT(times); bits++)
		for (int active = -1; active < FAILOVER_MEMBERS; active++) {
			json_t *j = good_failover();
			struct failover f;

			for (size_t i = 0; i < COUNT(times); i++)
				if (bits >> i & 1)
					json_object_set_new(
						j, times[i],
						json_integer(i == 4 ? UINT32_MAX : INT64_MAX));
			json_object_set_new(j, "active",
					    active < 0 ? json_null() : json_integer(active));
			json_object_set_new(j, "from", json_integer(7));
			assert_int_equal(failover_from_json(j, &f), 0);
			json_decref(j);
			step(&f, HEALTH_UP, 1100 * S);
			assert_int_equal(step(&f, HEALTH_DOWN, 1101 * S), 1);
			/* at most the capped hold later */
			step(&f, HEALTH_UP, 1102 * S);
			assert_int_equal(step(&f, HEALTH_UP, (1102 + 961) * S), 0);
		}
}

static void names_can_be_read_again(void **state)
{
	(void)state;
	for (int s = 0; s < HEALTH_STATES; s++)
		assert_int_equal(health_state_parse(health_state_name((enum health_state)s)), s);
	assert_int_equal(health_state_parse(""), -EINVAL);
	assert_int_equal(health_state_parse("UP"), -EINVAL);
	assert_int_equal(health_state_parse(NULL), -EINVAL);
	assert_string_equal(health_state_name((enum health_state)99), "unknown");
	assert_true(health_rank(HEALTH_UP) < health_rank(HEALTH_DEGRADED));
	assert_true(health_rank(HEALTH_DEGRADED) < health_rank(HEALTH_IDLE));
	assert_true(health_rank(HEALTH_IDLE) < health_rank(HEALTH_UNKNOWN));
	assert_true(health_rank(HEALTH_UNKNOWN) < health_rank(HEALTH_DOWN));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_damaged_file_is_refused),
		cmocka_unit_test(a_hostile_file_is_survived),
		cmocka_unit_test(names_can_be_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
