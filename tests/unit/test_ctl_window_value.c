/* SPDX-License-Identifier: GPL-2.0-only */
#include <arpa/inet.h>

#include "tests/unit/window_rig.h"
#include "userspace/ctl/sources.h"

static void a_connection_failed_by_one_definition_on_both_arms(void **state)
{
	static const struct {
		enum shift_failure why;
		bool failed, slow; /* it was asked, and never answered */
	} kinds[] = {{SHIFT_FAILURE_REFUSED, true, false},
		     {SHIFT_FAILURE_UNANSWERED, true, false},
		     {SHIFT_FAILURE_RESET, true, false},
		     {SHIFT_FAILURE_CLOSED, true, true},
		     {SHIFT_FAILURE_GAVE_UP, false, true}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		for (int arm = OLD; arm <= NEW; arm++) {
			enum conf_gate_arm of = arm == OLD ? CONF_ARM_OLD : CONF_ARM_NEW;
			struct window_both e;
			struct window_sum s;

			begin(state);
			look();
			begun((enum shift_arm_id)arm, 1, 1000);
			answered((enum shift_arm_id)arm, 1, MS_150, 900);
			answered((enum shift_arm_id)arm, 1, MS_300, 40);
			answered((enum shift_arm_id)arm, 1, MS_800, 10);
			failed((enum shift_arm_id)arm, 1, kinds[i].why, 50);
			look();
			assert_int_equal(window_over(&w, w.span, &s), 0);
			assert_int_equal(window_failures(&s, of).n, 1000);
			assert_int_equal(window_failures(&s, of).bad, kinds[i].failed ? 50 : 0);
			close_to(value(CONF_KERNEL_FAILURES, of), kinds[i].failed ? 5 : 0, 0);
			window_epoch_seen(&w.epoch[0], &e);
			assert_int_equal(e.arm[arm].begun, 1000);
			assert_int_equal(e.arm[arm].failed, kinds[i].failed ? 50 : 0);
			assert_int_equal(e.arm[arm].failed_clients, kinds[i].failed ? 50 : 0);
			assert_int_equal(e.arm[arm].answered, kinds[i].slow ? 1000 : 950);
			assert_int_equal(e.arm[arm].over_200_ms, kinds[i].slow ? 100 : 50);
			assert_int_equal(e.arm[arm].over_500_ms, kinds[i].slow ? 60 : 10);
		}
	}
}

static void the_old_arm_enters_a_sum_by_the_share_of_it_that_is_watched(void **state)
{
	struct window_sum s;

	(void)state;
	look();
	begun(NEW, 1, 200);
	failed(NEW, 1, SHIFT_FAILURE_REFUSED, 20);
	begun(OLD, 1, 225); /* of 1800 */
	answered(OLD, 1, MS_150, 225);
	look();
	assert_int_equal(window_over(&w, w.span, &s), 0);
	assert_int_equal(window_failures(&s, CONF_ARM_SUM).n, 200 + 1800);
	close_to(value(CONF_KERNEL_FAILURES, CONF_ARM_SUM), 1, 0);
	close_to(value(CONF_KERNEL_FAILURES, CONF_ARM_OLD), 0, 0);
	close_to(value(CONF_KERNEL_FAILURES, CONF_ARM_UNSTATED), 10, 0);
}

static void an_old_arm_whose_answers_nobody_sees_is_no_data(void **state)
{
	(void)state;
	look();
	begun(OLD, 1, 500);
	begun(NEW, 1, 500);
	look();
	no_value(CONF_KERNEL_FAILURES, CONF_ARM_OLD, "no answer of the old arm is seen");
	no_value(CONF_KERNEL_ERRORS, CONF_ARM_SUM, "no answer of the old arm is seen");
	close_to(value(CONF_KERNEL_ERRORS, CONF_ARM_NEW), 0, 0);
}

static void what_the_old_host_served_instead_is_an_error_and_counted_once(void **state)
{
	(void)state;
	look();
	begun(NEW, 1, 900);
	failed(NEW, 1, SHIFT_FAILURE_UNANSWERED, 20); /* which were rescued */
	kernel.service.fallback[SHIFT_FALLBACK_RESCUED] += 20;
	kernel.service.fallback[SHIFT_FALLBACK_PORTS_EXHAUSTED] += 60;
	kernel.service.fallback[SHIFT_FALLBACK_NO_BACKEND] += 40;
	look();
	close_to(value(CONF_KERNEL_ERRORS, CONF_ARM_NEW), 12, 1e-9);
	close_to(value(CONF_KERNEL_FALLBACK, CONF_ARM_NEW), 12, 1e-9);
	close_to(value(CONF_KERNEL_FAILURES, CONF_ARM_NEW), 100.0 * 20 / 900, 1e-9);
}

/* A backend that is gone: nothing begins on the new arm, and that must not be "too few". */
static void all_that_fell_back_is_enough_to_say_so(void **state)
{
	(void)state;
	look();
	kernel.service.fallback[SHIFT_FALLBACK_NO_BACKEND] += 250;
	look();
	close_to(value(CONF_KERNEL_ERRORS, CONF_ARM_NEW), 100, 0);
}

static void no_share_is_above_all_of_it(void **state)
{
	struct window_sum s;

	(void)state;
	look();
	begun(NEW, 1, 3);
	failed(NEW, 1, SHIFT_FAILURE_UNANSWERED, 300); /* of connections begun before */
	look();
	assert_int_equal(window_over(&w, w.span, &s), 0);
	assert_int_equal(window_failures(&s, CONF_ARM_NEW).bad, 3);
}

static void quantiles_are_of_the_window_and_count_what_was_never_answered(void **state)
{
	(void)state;
	look();
	begun(NEW, 1, 1000);
	answered(NEW, 1, MS_150, 940);
	answered(NEW, 1, MS_300, 60);
	look();
	close_to(value(CONF_KERNEL_P50, CONF_ARM_NEW), 135, 16);
	close_to(value(CONF_KERNEL_P95, CONF_ARM_NEW), 275, 26);
	begun(NEW, 1, 100);
	failed(NEW, 1, SHIFT_FAILURE_GAVE_UP, 100);
	look();
	close_to(value(CONF_KERNEL_P95, CONF_ARM_NEW), TELEMETRY_OVERFLOW_MS, 0);
	close_to(value(CONF_KERNEL_P50, CONF_ARM_NEW), 135, 16);
	for (int i = 0; i < 124; i++)
		look();
	begun(NEW, 1, 300);
	answered(NEW, 1, MS_150, 300);
	look();
	close_to(value(CONF_KERNEL_P99, CONF_ARM_NEW), 135, 16);
}

static void a_server_that_speaks_first_has_no_time(void **state)
{
	(void)state;
	look();
	begun(NEW, 1, 400);
	kernel.arm[NEW].total.answered += 400;
	look();
	no_value(CONF_KERNEL_P95, CONF_ARM_NEW, "the server spoke first");
}

static void drops_are_a_number_and_outlive_their_interface(void **state)
{
	(void)state;
	kernel.drops = 1000;
	look();
	kernel.drops = 1007;
	look();
	close_to(value(CONF_KERNEL_DROPS, CONF_ARM_UNSTATED), 7, 0);
	kernel.drops = 2; /* an interface is gone */
	assert_int_equal(look(), 0);
	close_to(value(CONF_KERNEL_DROPS, CONF_ARM_UNSTATED), 7, 0);
	kernel.drops = 5;
	look();
	close_to(value(CONF_KERNEL_DROPS, CONF_ARM_UNSTATED), 10, 0);
}

static void the_split_is_how_far_the_share_is_from_the_weight(void **state)
{
	(void)state;
	look();
	begun(NEW, 1, 150);
	begun(OLD, 1, 106); /* 848 */
	look();
	close_to(value(CONF_KERNEL_SPLIT, CONF_ARM_UNSTATED), 15000.0 / 998 - 10, 1e-6);
	kernel.service.connections_old += 5000; /* pinned there, so no affair of the share's */
	look();
	close_to(value(CONF_KERNEL_SPLIT, CONF_ARM_UNSTATED), 15000.0 / 998 - 10, 1e-6);
	kernel.weight = 2500;
	kernel.epoch = 2;
	look();
	no_value(CONF_KERNEL_SPLIT, CONF_ARM_UNSTATED, "the weight changed within the window");
	window_stage(&w, 2);
	begun(NEW, 2, 200);
	begun(OLD, 2, 75); /* 600 */
	look();
	close_to(value(CONF_KERNEL_SPLIT, CONF_ARM_UNSTATED), 0, 1e-6);
}

static void what_the_split_is_tested_on_comes_by_epochs(void **state)
{
	struct window_both e;

	(void)state;
	kernel.weight = 1; /* 0.01 %, which is 7 ranks of 65,536 */
	look();
	begun(OLD, 1, 100);
	begun(NEW, 1, 1);
	epoch_of(&kernel.arm[NEW], 1)->clients = 3;
	epoch_of(&kernel.arm[OLD], 1)->clients = 90;
	look();
	window_epoch_seen(&w.epoch[0], &e);
	close_to(e.split, 7.0 / 65536, 1e-12);
	assert_int_equal(e.arm[OLD].chosen, 800);
	assert_int_equal(e.arm[NEW].chosen, 1);
	assert_int_equal(e.arm[OLD].clients, 90);
	assert_int_equal(e.arm[NEW].clients, 3);
}

static void a_source_is_named_when_it_has_too_much_of_enough(void **state)
{
	static const struct {
		unsigned int n, of;
		const char *name;
	} rows[] = {{103, 512, "198.51.100.7"},
		    {102, 512, NULL},
		    {512, 512, "198.51.100.7"},
		    {21, 100, "198.51.100.7"},
		    {20, 100, NULL},
		    {99, 99, NULL},
		    {0, 0, NULL}};
	struct telemetry_origin *o = &kernel.origin;
	char text[64];
	double share;

	(void)state;
	assert_null(window_source(&w, 0.2, text, &share));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *name;

		*o = (struct telemetry_origin){.bits = 128, .n = rows[i].n, .of = rows[i].of};
		o->address[2] = htonl(0xffff);
		o->address[3] = htonl(0xc6336407);
		look();
		name = window_source(&w, 0.2, text, &share);
		assert_string_equal(name ? name : "nobody", rows[i].name ? rows[i].name : "nobody");
		if (rows[i].of >= 100)
			close_to(share, (double)rows[i].n / rows[i].of, 1e-12);
	}
	*o = (struct telemetry_origin){
		{htonl(0x20010db8), htonl(0xc0000)}, .bits = 64, .n = 300, .of = 500};
	look();
	assert_string_equal(window_source(&w, 0.2, text, &share), "2001:db8:c::/64");
}

static void the_last_ten_seconds_hold_no_client_that_gave_up(void **state)
{
	struct judge_counts c;

	(void)state;
	look();
	for (int i = 0; i < 40; i++) {
		begun(NEW, 1, 10);
		failed(NEW, 1, SHIFT_FAILURE_GAVE_UP, 2);
		if (i >= 30)
			failed(NEW, 1, SHIFT_FAILURE_REFUSED, 1);
		kernel.arm[NEW].begun_10s = 200; /* as the kernel has it: all kinds */
		kernel.arm[NEW].failed_10s = 50;
		look();
	}
	c = window_last_10s(&w, NEW);
	assert_int_equal(c.n, 200);
	assert_int_equal(c.bad, 10);
	assert_int_equal(window_last_10s(&w, OLD).n, 0);
}

/* Before ten seconds were seen, what the kernel says counts: better one alarm too many. */
static void the_last_ten_seconds_are_there_from_the_first_look(void **state)
{
	struct judge_counts c;

	(void)state;
	kernel.arm[NEW].begun_10s = 100;
	kernel.arm[NEW].failed_10s = 90;
	look();
	c = window_last_10s(&w, NEW);
	assert_int_equal(c.n, 100);
	assert_int_equal(c.bad, 90);
}

static void the_judge_takes_the_epochs_as_they_are(void **state)
{
	struct judge_test t = {.name = "failures", .tolerance = 0.25, .by_client = true};

	(void)state;
	look();
	for (int i = 0; i < 300; i++) {
		if (i == 150) {
			kernel.epoch = 2;
			kernel.weight = 2500;
		}
		begun(NEW, kernel.epoch, 40);
		failed(NEW, kernel.epoch, SHIFT_FAILURE_REFUSED, 4);
		begun(OLD, kernel.epoch, 40);
		answered(OLD, kernel.epoch, MS_150, 40);
		look();
		for (unsigned int k = w.epochs; k-- > 0;) {
			struct window_both e;

			window_epoch_seen(&w.epoch[k], &e);
			assert_true(e.weighed);
			assert_int_equal(judge_feed(&t, e.epoch, e.share, e.arm[OLD].failed_clients,
						    e.arm[NEW].failed_clients),
					 0);
		}
	}
	assert_true(judge_rejects(&t, 0.05));
}

static struct conf_gate gate_of(enum conf_kernel_gate kind, double ok, double pause)
{
	struct conf_gate g = {.name = "g", .kind = CONF_GATE_KERNEL, .kernel = kind};

	g.ok.n = g.pause.n = g.rollback.n = 1;
	g.ok.bound[0] = (struct conf_bound){.number = ok, .text = "< ok"};
	g.pause.bound[0] = (struct conf_bound){.number = pause, .above = true, .text = "> pause"};
	g.rollback.bound[0] = (struct conf_bound){
		.number = 50, .above = true, .for_ms = 60000, .text = "> 50% for 1m"};
	return g;
}

/* ok needs certainty, of the stage; pause acts on the plain rate of the window. */
static void ok_is_only_said_when_the_judge_is_sure(void **state)
{
	struct conf_gate conf = gate_of(CONF_KERNEL_ERRORS, 0.5, 2);
	struct gate_verdict v = {.says = GATE_OK, .why = "0% < 0.5%"};
	struct judge_finding f;
	struct judge_gate g;

	(void)state;
	look();
	window_stage(&w, 1);
	traffic(15, 20, 0);
	assert_int_equal(sources_shares(&w, &conf, &g), 0);
	assert_true(g.ok.given && g.pause.given && !g.back.given && !g.rollback.given);
	close_to(g.ok.share, 0.005, 1e-12);
	assert_int_equal(g.ok.seen.n, 300);
	judge_gate(&judge_usual, &g, &f);
	sources_certain(&f, &v);
	assert_int_equal(v.says, GATE_INCONCLUSIVE);
	assert_non_null(strstr(v.why, "more"));
	traffic(100, 20, 0);
	assert_int_equal(sources_shares(&w, &conf, &g), 0);
	assert_int_equal(g.ok.seen.n, 2300);
	assert_in_range(g.pause.seen.n, 1200, 1240);
	judge_gate(&judge_usual, &g, &f);
	v.says = GATE_OK;
	sources_certain(&f, &v);
	assert_int_equal(v.says, GATE_OK);
	v.says = GATE_ROLLBACK; /* never made milder */
	f.verdict = JUDGE_INCONCLUSIVE;
	sources_certain(&f, &v);
	assert_int_equal(v.says, GATE_ROLLBACK);
}

/* 8 of every 9 connections in this sum were not seen. */
static void a_sum_is_no_more_certain_than_what_was_seen_of_it(void **state)
{
	struct conf_gate conf = gate_of(CONF_KERNEL_FAILURES, 0.5, 2);
	struct judge_gate g;

	(void)state;
	conf.arm = CONF_ARM_SUM;
	look();
	window_stage(&w, 1);
	begun(NEW, 1, 200);
	failed(NEW, 1, SHIFT_FAILURE_REFUSED, 1);
	begun(OLD, 1, 225);
	look();
	assert_int_equal(sources_shares(&w, &conf, &g), 0);
	assert_int_equal(g.ok.seen.n, 250);
	assert_int_equal(g.ok.seen.bad, 1);
	assert_int_equal(g.pause.seen.n, 2000);
	assert_int_equal(g.pause.seen.bad, 1);
}

static void a_limit_between_edges_is_taken_to_the_safe_side(void **state)
{
	struct conf_gate conf = gate_of(CONF_KERNEL_P95, 0.5, 0.5);
	struct judge_gate g;

	(void)state;
	look();
	window_stage(&w, 1);
	begun(NEW, 1, 1000);
	answered(NEW, 1, 15, 1000); /* 0.5 to 0.6 ms */
	look();
	assert_int_equal(sources_shares(&w, &conf, &g), 0);
	assert_int_equal(g.ok.seen.bad, 1000);
	assert_int_equal(g.pause.seen.bad, 0);
}

static void a_quantile_is_asked_as_a_share_of_slow_answers(void **state)
{
	struct conf_gate conf = gate_of(CONF_KERNEL_P95, 200, 500);
	struct judge_gate g;

	(void)state;
	look();
	window_stage(&w, 1);
	begun(NEW, 1, 1000);
	answered(NEW, 1, MS_150, 940);
	answered(NEW, 1, MS_300, 40);
	answered(NEW, 1, MS_800, 20);
	look();
	assert_int_equal(sources_shares(&w, &conf, &g), 0);
	close_to(g.ok.share, 0.05, 1e-12);
	assert_int_equal(g.ok.seen.n, 1000);
	assert_int_equal(g.ok.seen.bad, 60);
	assert_int_equal(g.pause.seen.bad, 20);
	conf.kernel = CONF_KERNEL_DROPS;
	assert_int_equal(sources_shares(&w, &conf, &g), -ENODATA);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_connection_failed_by_one_definition_on_both_arms),
		TEST(the_old_arm_enters_a_sum_by_the_share_of_it_that_is_watched),
		TEST(an_old_arm_whose_answers_nobody_sees_is_no_data),
		TEST(what_the_old_host_served_instead_is_an_error_and_counted_once),
		TEST(all_that_fell_back_is_enough_to_say_so),
		TEST(no_share_is_above_all_of_it),
		TEST(quantiles_are_of_the_window_and_count_what_was_never_answered),
		TEST(a_server_that_speaks_first_has_no_time),
		TEST(drops_are_a_number_and_outlive_their_interface),
		TEST(the_split_is_how_far_the_share_is_from_the_weight),
		TEST(what_the_split_is_tested_on_comes_by_epochs),
		TEST(a_source_is_named_when_it_has_too_much_of_enough),
		TEST(the_last_ten_seconds_hold_no_client_that_gave_up),
		TEST(the_last_ten_seconds_are_there_from_the_first_look),
		TEST(the_judge_takes_the_epochs_as_they_are),
		TEST(ok_is_only_said_when_the_judge_is_sure),
		TEST(a_sum_is_no_more_certain_than_what_was_seen_of_it),
		TEST(a_limit_between_edges_is_taken_to_the_safe_side),
		TEST(a_quantile_is_asked_as_a_share_of_slow_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
