/* SPDX-License-Identifier: GPL-2.0-only */
/* Programs that will not go. */
#include "tests/unit/run_got.h"

/* ---- hostile ---- */

static void one_that_takes_too_long_is_ended(void **state)
{
	uint64_t took;

	(void)state;
	took = run_script("echo begun; sh -c 'sleep 100; :' ${M}slow",
			  (struct run_request){.timeout_ns = 200 * MS});
	assert_true(got.r.timed_out);
	assert_false(got.r.forced);
	assert_non_null(strstr(got.r.why, "did not end within 0.2s"));
	assert_string_equal(got.out, "begun\n");
	assert_true(took >= 200 * MS && took < 10 * SECOND);
	all_gone("");
}

static void one_that_ignores_sigterm_is_killed(void **state)
{
	uint64_t took;

	(void)state;
	took = run_script(
		"trap '' TERM; sh -c 'trap \"\" TERM; while :; do sleep 1; done' ${M}deaf & "
		"while :; do sleep 1; done",
		(struct run_request){.timeout_ns = 200 * MS, .term_ns = 300 * MS});
	assert_true(got.r.timed_out);
	assert_true(got.r.forced);
	assert_int_equal(got.r.signal, SIGKILL);
	assert_non_null(strstr(got.r.why, "killed: it did not heed SIGTERM"));
	assert_true(took >= 500 * MS && took < 10 * SECOND);
	all_gone("deaf");
}

static void one_that_is_stopped_ends_all_the_same(void **state)
{
	(void)state;
	run_script("kill -STOP $$; sleep 1", (struct run_request){.timeout_ns = 200 * MS});
	assert_true(got.r.timed_out);
	assert_false(got.r.forced);
}

static void what_it_leaves_behind_is_given_a_moment_and_killed(void **state)
{
	uint64_t took;

	(void)state;
	took = run_script("sleep 100 & sh -c 'sleep 100; :' ${M}left & exit 3",
			  (struct run_request){.linger_ns = 200 * MS});
	assert_int_equal(got.r.status, 3);
	assert_true(got.r.left_behind >= 2);
	assert_int_equal(got.r.remaining, 0);
	assert_true(took >= 200 * MS && took < 10 * SECOND);
	assert_true(got.r.duration_ns + 150 * MS < took); /* of the program alone */
	all_gone("left");
}

static void what_ends_within_the_moment_is_not_killed(void **state)
{
	(void)state;
	run_script("(sleep 0.1; echo late) & exit 0",
		   (struct run_request){.linger_ns = 2 * SECOND});
	assert_int_equal(got.r.left_behind, 0);
	assert_string_equal(got.out, "late\n");
}

static void a_new_session_does_not_lead_away(void **state)
{
	uint64_t took;

	(void)state;
	took = run_script(
		"setsid sh -c 'setsid sh -c \"trap : TERM HUP; while :; do sleep 1; done\" "
		"${0}away & exit' $M & sleep 0.1; echo done",
		(struct run_request){.linger_ns = 100 * MS});
	assert_int_equal(got.r.status, 0);
	assert_string_equal(got.out, "done\n");
	assert_true(got.r.left_behind >= 1);
	assert_true(took < 10 * SECOND);
	all_gone("away");
}

static void one_that_closes_its_output_and_stays_is_ended(void **state)
{
	(void)state;
	run_script("echo seen; exec >&- 2>&- ; sh -c 'sleep 100; :' ${M}mute",
		   (struct run_request){.timeout_ns = 300 * MS});
	assert_true(got.r.timed_out);
	assert_string_equal(got.out, "seen\n");
	all_gone("mute");
}

static void a_descendant_that_keeps_the_pipe_does_not_hold_us(void **state)
{
	uint64_t took;

	(void)state;
	took = run_script(
		"setsid sh -c 'while :; do echo more; sleep 0.01; done' ${M}pipe & exit 0",
		(struct run_request){.linger_ns = 100 * MS});
	assert_int_equal(got.r.status, 0);
	assert_true(took < 10 * SECOND);
	all_gone("pipe");
}

static void endless_output_is_bounded_and_costs_little(void **state)
{
	uint64_t cpu = cpu_ns();

	(void)state;
	run_script("yes 0123456789",
		   (struct run_request){.timeout_ns = SECOND, .max_output = 1000});
	cpu = cpu_ns() - cpu;
	assert_true(got.r.timed_out);
	assert_int_equal(got.r.out.size, 1000);
	assert_memory_equal(got.out, "0123456789\n0123456789\n", 22);
	assert_true(got.r.out.dropped > 10000);
	assert_true(cpu < 500 * MS);
	print_message("#   endless output: %.0f ms of processor in 1 s, %.1f MB dropped\n",
		      (double)cpu / 1e6, (double)got.r.out.dropped / 1e6);
}

static void long_output_does_not_stop_a_program_that_ends(void **state)
{
	(void)state;
	run_script(
		"head -c 1000000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' y >&2; "
		"exit 4",
		(struct run_request){.max_output = 5000});
	assert_false(got.r.timed_out);
	assert_int_equal(got.r.status, 4);
	assert_int_equal(got.r.out.size, 5000);
	assert_int_equal(got.r.out.dropped, 995000);
	assert_int_equal(got.r.errors.size, 5000);
	assert_int_equal(got.r.errors.dropped, 295000);
}

static void the_whole_of_what_fits_is_there(void **state)
{
	(void)state;
	run_script("head -c 60000 /dev/zero | tr '\\0' x",
		   (struct run_request){.max_output = 65536});
	assert_int_equal(got.r.out.size, 60000);
	assert_int_equal(got.r.out.dropped, 0);
}

static void a_chain_of_forks_does_not_outrun_the_sweep(void **state)
{
	uint64_t took;

	(void)state;
	/* Each link is a session of its own, begins the next and ends; for 30 s at most. */
	took = run_script(
		"cat >/dev/null; exec setsid perl -e 'my $end = time + 30; $0 = $ARGV[0]; "
		"while (time < $end) { my $p = fork; exit if $p; if (defined $p) { setpgrp } }' "
		"${M}chain & sleep 0.2; exit 0",
		(struct run_request){.linger_ns = 100 * MS});
	assert_int_equal(got.r.status, 0);
	assert_int_equal(got.r.remaining, 0);
	assert_true(took < 10 * SECOND);
	all_gone("chain");
}

static void a_fork_bomb_ends(void **state)
{
	(void)state;
	/* Seven generations of two, each in a group of its own: 128 processes that stay. */
	run_script("perl -e '$0 = $ARGV[0]; for (1 .. 7) { setpgrp if defined fork } sleep 30' "
		   "${M}bomb",
		   (struct run_request){.timeout_ns = 500 * MS, .term_ns = 100 * MS});
	assert_true(got.r.timed_out);
	assert_int_equal(got.r.remaining, 0);
	assert_true(got.r.left_behind > 100);
	print_message("#   fork bomb: %u processes killed\n", got.r.left_behind);
	all_gone("bomb");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_that_takes_too_long_is_ended),
		TEST(one_that_ignores_sigterm_is_killed),
		TEST(one_that_is_stopped_ends_all_the_same),
		TEST(what_it_leaves_behind_is_given_a_moment_and_killed),
		TEST(what_ends_within_the_moment_is_not_killed),
		TEST(a_new_session_does_not_lead_away),
		TEST(one_that_closes_its_output_and_stays_is_ended),
		TEST(a_descendant_that_keeps_the_pipe_does_not_hold_us),
		TEST(endless_output_is_bounded_and_costs_little),
		TEST(long_output_does_not_stop_a_program_that_ends),
		TEST(the_whole_of_what_fits_is_there),
		TEST(a_chain_of_forks_does_not_outrun_the_sweep),
		TEST(a_fork_bomb_ends),
	};

	return rig_main("run_hostile", tests, sizeof(tests) / sizeof(*tests));
}
