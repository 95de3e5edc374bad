/* SPDX-License-Identifier: GPL-2.0-only */
#include "tests/unit/sources_rig.h"

/* ---- a program ---- */

static void a_program_gives_a_number(void **state)
{
	(void)state;
	gives("{exec: [/bin/echo, \"12.5\"]}", 12.5);
	gives("{exec: [/usr/bin/id, -u], user: daemon}", 1);
}

static void hostile_programs_are_bounded_and_named(void **state)
{
	(void)state;
#define SH(text) "{exec: [/bin/sh, -c, \"" text "\"], interval: 1s, timeout: 500ms}"
	gives_nothing(SH("exit 3"), "ended with exit status 3", 4000);
	gives_nothing(SH("echo it is broken >&2; exit 1"), "exit status 1: it is broken", 4000);
	gives_nothing(SH("echo 1; exit 1"), "exit status 1", 4000);
	gives_nothing(SH("true"), "it printed nothing", 4000);
	gives_nothing(SH("echo 5; echo 6"), "is no number: \"5 6\"", 4000);
	gives_nothing(SH("yes 1 | head -c 100000"), "it printed more than 4096 bytes", 4000);
	gives_nothing(SH("while :; do echo 1; done"), "did not end within 0.5s", 4000);
	gives_nothing(SH("sleep 20"), "did not end within 0.5s", 4000);
	gives_nothing(SH("trap : TERM; while :; do sleep 1; done"), "did not heed SIGTERM", 4000);
	gives_nothing("{exec: [/nowhere/at-all]}", "/nowhere/at-all: No such file", 4000);
	gives_nothing("{exec: [/bin/echo, \"1\"], user: no-such-user}", "no-such-user", 4000);
#undef SH
}

/* ---- the kernel ---- */

static void the_kernels_counters_are_asked_through_the_window(void **state)
{
	struct gate_verdict v;

	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	kernel_err = 0;
	kernel.epoch = 1;
	begin(&all);
	use("  - {name: g, source: kernel.errors, ok: \"< 5%\", pause: \"> 9%\"}\n");
	run_until(1);
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	assert_non_null(strstr(v.why, "only begun"));
	kernel.arm[SHIFT_ARM_NEW].total.begun = 300;
	kernel.arm[SHIFT_ARM_NEW].total.failure[SHIFT_FAILURE_REFUSED] = 30;
	run_for(600 * MS);
	sources_ask(s, 0);
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_PAUSE);
	assert_true(v.value == 10);
	kernel.arm[SHIFT_ARM_NEW].total.begun = 30000; /* 0.1 %: certain of < 5 % */
	run_for(600 * MS);
	sources_ask(s, 0);
	sources_verdict(sources_window(s), &gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_OK);
	kernel_err = -ENOENT;
	run_for(600 * MS);
	sources_ask(s, 0);
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	assert_non_null(strstr(v.why, "nothing is attached"));
	kernel_err = 0;
	forget();
}

/* 0 of 300 are less than 0.1 %, but that is not sure yet. */
static void a_kernel_gate_is_ok_when_that_is_certain(void **state)
{
	struct gate_verdict v;

	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	kernel_err = 0;
	kernel.epoch = 1;
	begin(&all);
	use("  - {name: g, source: kernel.errors, ok: \"< 0.1%\"}\n");
	run_until(1);
	kernel.arm[SHIFT_ARM_NEW].total.begun = 300;
	run_for(600 * MS);
	sources_ask(s, 0);
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_OK);
	sources_verdict(sources_window(s), &gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	assert_non_null(strstr(v.why, "more"));
	kernel.arm[SHIFT_ARM_NEW].total.begun = 9000;
	run_for(600 * MS);
	sources_ask(s, 0);
	sources_verdict(sources_window(s), &gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_OK);
	forget();
}

static void a_source_without_a_kernel_says_so(void **state)
{
	static const struct sources_world world = {.seen = on_seen};
	struct gate_verdict v;

	(void)state;
	begin(&world);
	use("  - {name: g, source: kernel.p95, ok: \"< 100\"}\n");
	run_until(1);
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	assert_non_null(strstr(v.why, "not read here"));
	forget();
}

/* ---- in time ---- */

/* 400 ms for an answer that is wanted every 300. */
static void an_answer_that_comes_after_its_interval_is_stale(void **state)
{
	struct sources_count count;
	struct gate_verdict v;

	(void)state;
	begin(&all);
	use("  - {name: g, source: {json: \"http://" ADDRESS
	    ":@P/late\", field: tps, interval: 300ms, timeout: 2s}, ok: \"< 5\"}\n");
	run_until(3);
	gate_judge(&gates[0], loop_now(), &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	sources_counts(s, 0, &count);
	assert_in_range(count.looks, 3, 4);
	assert_int_equal(count.missed, 3);
	forget();
	gives("{json: \"http://" ADDRESS ":@P/late\", field: tps, interval: 3s}", 1);
}

static void every_gate_is_asked_at_its_own_interval(void **state)
{
	(void)state;
	begin(&all);
	use("  - {name: a, source: {json: \"http://" ADDRESS
	    ":@P/stats\", field: tps, interval: 200ms}, ok: \"< 5\"}\n"
	    "  - {name: b, source: {json: \"http://" ADDRESS
	    ":@P/stats\", field: p95, interval: 1s}, ok: \"< 5\"}\n"
	    "  - {name: c, source: {json: \"http://" ADDRESS
	    ":@P/silence\", field: p95, interval: 1s}, ok: \"< 5\"}\n"
	    "  - {name: d, source: {exec: [/bin/echo, \"1\"], interval: 500ms}, ok: \"< 5\"}\n");
	run_for(2100 * MS);
	assert_in_range(seen[0], 6, 11);
	assert_in_range(seen[1], 1, 3);
	assert_in_range(seen[2], 1, 3);
	assert_in_range(seen[3], 2, 5);
	forget();
}

static void a_reload_forgets_what_is_under_way_and_keeps_the_window(void **state)
{
	struct config *was;

	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	kernel.epoch = 1;
	begin(&all);
	use("  - {name: a, source: {json: \"http://" ADDRESS
	    ":@P/late\", field: tps}, ok: \"< 5\"}\n"
	    "  - {name: b, source: {exec: [/bin/sleep, \"5\"]}, ok: \"< 5\"}\n");
	run_for(700 * MS);
	assert_int_equal(seen[0], 1);
	sources_ask(s, 0);
	was = conf;
	use("  - {name: k, source: kernel.drops, ok: \"< 5\"}\n");
	conf_free(was);
	assert_true(sources_window(s)->has_last);
	run_for(1200 * MS);
	assert_in_range(seen[0], 1, 2); /* of the kernel, which is asked each second */
	assert_int_equal(seen[1], 0);
	assert_int_equal(sources_use(s, NULL, NULL), 0);
	memset(seen, 0, sizeof(seen));
	run_for(200 * MS);
	assert_int_equal(seen[0], 0);
	forget();
}

static void free_at_once(void *arg, unsigned int gate, uint64_t now)
{
	(void)arg;
	(void)gate;
	(void)now;
	sources_free(s);
	s = NULL;
	loop_stop(l, 0);
}

static void the_sources_may_be_freed_from_what_they_call(void **state)
{
	static const char *const sources[] = {
		"{json: \"http://" ADDRESS ":@P/stats\", field: tps}",
		"{json: \"http://" ADDRESS ":@P/html\", field: tps}",
		"{exec: [/bin/echo, \"1\"]}",
		"{exec: [/nowhere/at-all]}",
		"kernel.drops",
	};
	static const struct sources_world world = {.look = on_look, .seen = free_at_once};

	(void)state;
	for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
		char list[256];

		begin(&world);
		snprintf(list, sizeof(list), "  - {name: g, source: %s, ok: \"< 5\"}\n",
			 sources[i]);
		use(list);
		assert_int_equal(loop_run(l), 0);
		assert_null(s);
		forget();
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_program_gives_a_number),
		TEST(hostile_programs_are_bounded_and_named),
		TEST(the_kernels_counters_are_asked_through_the_window),
		TEST(a_kernel_gate_is_ok_when_that_is_certain),
		TEST(a_source_without_a_kernel_says_so),
		TEST(an_answer_that_comes_after_its_interval_is_stale),
		TEST(every_gate_is_asked_at_its_own_interval),
		TEST(a_reload_forgets_what_is_under_way_and_keeps_the_window),
		TEST(the_sources_may_be_freed_from_what_they_call),
	};

	return cmocka_run_group_tests(tests, start, end);
}
