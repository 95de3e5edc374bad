/* SPDX-License-Identifier: GPL-2.0-only */
/* Services that fail, hang and talk for ever; secrets; reloads. */
#include "tests/unit/notify_rig.h"

/* ---- what goes wrong ---- */

static void what_fails_for_a_while_is_tried_again_and_said_once(void **state)
{
	(void)state;
	add("ops", CONF_SLACK);
	use();
	shared->mode = FAIL_500;
	shared->fail_first = 3;
	tell(NOTICE_STAGE, false, NULL);
	settle();
	assert_int_equal(shared->n, 4);
	assert_int_equal(look(0).told, 1);
	assert_int_equal(look(0).lost, 0);
	assert_int_equal(n_said, 2);
	assert_string_equal(said[0], "notify ops: answered 500; it is tried again");
	assert_string_equal(said[1], "notify ops: told again; 0 notices were lost");
}

static void what_fails_for_long_is_lost_in_bounded_time(void **state)
{
	uint64_t begun = loop_now();

	(void)state;
	add("ops", CONF_SLACK);
	use();
	shared->mode = FAIL_500;
	tell(NOTICE_STAGE, false, NULL);
	settle();
	assert_true(loop_now() - begun >= 3 * SECOND && loop_now() - begun < 6 * SECOND);
	assert_int_equal(look(0).told, 0);
	assert_int_equal(look(0).lost, 1);
	assert_true(look(0).failing);
	assert_true(shared->n > 8 && shared->n < 40); /* backing off */
	assert_int_equal(n_said, 1);
}

static void what_will_not_change_is_not_tried_again(void **state)
{
	static const struct {
		enum mode mode;
		const char *said;
	} table[] = {
		{FAIL_403, "notify ops: answered 403; the notice is lost"},
		{MOVE, "notify ops: answered 302, and redirects are not followed; the notice is "
		       "lost"},
	};

	(void)state;
	add("ops", CONF_SLACK);
	for (size_t i = 0; i < 2; i++) {
		notifier_free(n);
		make_notifier();
		use();
		shared->mode = table[i].mode;
		shared->n = n_said = 0;
		tell(NOTICE_STAGE, false, NULL);
		settle();
		run_for(300 * MS);
		assert_int_equal(shared->n, 1);
		assert_int_equal(look(0).lost, 1);
		assert_string_equal(said[0], table[i].said);
	}
}

static void retry_after_is_heeded(void **state)
{
	(void)state;
	add("ops", CONF_SLACK);
	use();
	shared->mode = SLOW_DOWN;
	shared->fail_first = 1;
	tell(NOTICE_STAGE, false, NULL);
	run_for(800 * MS);
	assert_int_equal(shared->n, 1);
	settle();
	assert_int_equal(shared->n, 2);
	assert_int_equal(look(0).told, 1);
}

static void one_that_hangs_or_talks_for_ever_delays_no_other(void **state)
{
	static const enum mode modes[] = {HANG, ENDLESS};

	(void)state;
	add("ops", CONF_SLACK);
	add("hook", CONF_WEBHOOK);
	for (size_t i = 0; i < 2; i++) {
		uint64_t begun;

		notifier_free(n);
		make_notifier();
		use();
		shared->mode = modes[i];
		shared->n = 0;
		shared->fail_first = 1; /* whoever comes first */
		begun = loop_now();
		for (int k = 0; k < 1000; k++)
			tell(NOTICE_STAGE, false, NULL);
		assert_true(loop_now() - begun < SECOND); /* told without a wait */
		settle();
		assert_int_equal(look(0).told, 1);
		assert_int_equal(look(1).told, 1);
		assert_true(loop_now() - begun < 3 * SECOND);
		assert_non_null(strstr(said[2 * i], i ? "longer than" : "imed out"));
		assert_int_equal(n_said, 2 * (i + 1));
	}
}

static void many_of_a_kind_become_one(void **state)
{
	json_t *j;

	(void)state;
	add("hook", CONF_WEBHOOK);
	use();
	for (int i = 0; i < 50; i++) {
		tell(NOTICE_TUNNEL, i % 2, "aws");
		tell(NOTICE_TUNNEL, i % 2, "azure");
	}
	assert_int_equal(look(0).waiting, 2);
	settle();
	assert_int_equal(shared->n, 2);
	assert_int_equal(look(0).joined, 98);
	j = body(0);
	assert_int_equal(json_integer_value(json_object_get(j, "joined")), 49);
	assert_true(json_is_true(json_object_get(j, "over"))); /* how it is in the end */
	assert_non_null(strstr(text_at(j, "text"), "(and 49 earlier of its kind)"));
	json_decref(j);
}

static void a_full_queue_keeps_what_is_trouble(void **state)
{
	unsigned int alarms = 0;
	char subject[16];

	(void)state;
	add("hook", CONF_WEBHOOK);
	use();
	for (int i = 0; i < 100; i++) {
		snprintf(subject, sizeof(subject), "%d", i);
		tell(i < 10 ? NOTICE_ALARM : NOTICE_DNS, false, subject);
	}
	assert_int_equal(look(0).waiting, 32);
	assert_int_equal(look(0).lost, 68);
	settle();
	for (unsigned int i = 0; i < shared->n; i++) {
		json_t *j = body(i);

		alarms += !strcmp(text_at(j, "event"), "alarm");
		json_decref(j);
	}
	assert_int_equal(alarms, 10);
	assert_int_equal(shared->n, 32);
	assert_string_equal(said[0], "notify hook: told again; 68 notices were lost");
}

static void only_alarms_means_trouble_and_its_end(void **state)
{
	(void)state;
	add("hook", CONF_WEBHOOK)->only_alarms = true;
	use();
	for (int event = 0; event < NOTICES; event++)
		tell((enum notice_event)event, false, NULL);
	tell(NOTICE_ALARM, true, "x");
	assert_int_equal(look(0).waiting,
			 6); /* paused, back, rolled-back, alarm, tunnel; its end */
}

/* ---- secrets ---- */

static void a_secret_that_others_can_read_is_refused(void **state)
{
	(void)state;
	add("ops", CONF_SLACK);
	chmod(rig_path("slack"), 0644);
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "notify ops: "));
	assert_non_null(strstr(why, "can be read by others"));
	rig_file("slack", "http://198.18.0.1/" TOKEN, 0600);
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), -EINVAL);
	assert_null(strstr(why, TOKEN));
	assert_non_null(strstr(why, "/slack does not hold a URL with https://"));
	rig_file("slack", "two words", 0600);
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), -EINVAL);
	assert_null(strstr(why, "words"));
	unlink(rig_path("slack"));
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), -ENOENT);
}

static void a_token_does_not_go_over_http(void **state)
{
	(void)state;
	snprintf(add("hook", CONF_WEBHOOK)->url.text, CONF_TEXT, "http://198.18.0.1/hook");
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "over https:// alone"));
	config->notifies[0].secret_file[0] = '\0';
	assert_int_equal(notifier_use(n, config, why, sizeof(why)), 0);
}

static void a_new_secret_counts_at_once_and_a_lost_one_is_waited_for(void **state)
{
	(void)state;
	add("hook", CONF_WEBHOOK);
	use();
	unlink(rig_path("token"));
	tell(NOTICE_STAGE, false, NULL);
	run_for(200 * MS);
	assert_int_equal(shared->n, 0);
	assert_non_null(strstr(said[0], "/token: No such file"));
	rig_file("token", "another\n", 0600);
	settle();
	assert_non_null(strstr(shared->request[0], "Authorization: Bearer another\r\n"));
	assert_int_equal(look(0).told, 1);
}

static void addresses_of_this_host_are_refused(void **state)
{
	(void)state;
	snprintf(add("hook", CONF_WEBHOOK)->url.text, CONF_TEXT, "https://127.0.0.1:%u/hook",
		 server.port);
	use();
	tell(NOTICE_STAGE, false, NULL);
	run_for(200 * MS);
	assert_int_equal(shared->n, 0);
	assert_non_null(strstr(said[0], "not a public one"));
}

/* ---- a new configuration ---- */

static void a_reload_keeps_the_queue_of_what_stays(void **state)
{
	(void)state;
	add("ops", CONF_SLACK);
	add("hook", CONF_WEBHOOK);
	use();
	shared->mode = FAIL_500;
	tell(NOTICE_STAGE, false, NULL);
	run_for(300 * MS);
	config->notifies[0] = config->notifies[1];
	config->n_notifies = 1;
	shared->mode = WELL;
	use();
	settle();
	assert_int_equal(look(0).told, 1);
	assert_string_equal(look(0).name, "hook");
	assert_false(notifier_look(n, 1, &(struct notifier_state){0}));
	config->notifies[0].secret_file[0] = '/'; /* a wrong one changes nothing */
	config->notifies[0].secret_file[1] = '\0';
	assert_true(notifier_use(n, config, why, sizeof(why)) < 0);
	assert_string_equal(look(0).name, "hook");
	tell(NOTICE_STAGE, false, NULL);
	settle();
	assert_int_equal(look(0).told, 2);
}

static void freeing_in_the_middle_leaves_nothing(void **state)
{
	(void)state;
	add("ops", CONF_SLACK);
	use();
	shared->mode = HANG;
	tell(NOTICE_STAGE, false, NULL);
	run_for(200 * MS);
	assert_int_equal(look(0).waiting, 1);
	notifier_free(n);
	n = NULL;
	run_for(50 * MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_fails_for_a_while_is_tried_again_and_said_once),
		TEST(what_fails_for_long_is_lost_in_bounded_time),
		TEST(what_will_not_change_is_not_tried_again),
		TEST(retry_after_is_heeded),
		TEST(one_that_hangs_or_talks_for_ever_delays_no_other),
		TEST(many_of_a_kind_become_one),
		TEST(a_full_queue_keeps_what_is_trouble),
		TEST(only_alarms_means_trouble_and_its_end),
		TEST(a_secret_that_others_can_read_is_refused),
		TEST(a_token_does_not_go_over_http),
		TEST(a_new_secret_counts_at_once_and_a_lost_one_is_waited_for),
		TEST(addresses_of_this_host_are_refused),
		TEST(a_reload_keeps_the_queue_of_what_stays),
		TEST(freeing_in_the_middle_leaves_nothing),
	};

	return rig_main("notifier_trouble", tests, sizeof(tests) / sizeof(*tests));
}
