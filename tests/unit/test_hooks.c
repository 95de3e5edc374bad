/* SPDX-License-Identifier: GPL-2.0-only */
#include <sched.h>

#include <jansson.h>

#include "tests/unit/http_rig.h"
#include "tests/unit/loop_rig.h"
#include "tests/unit/run_rig.h"
#include "userspace/ctl/hooks.h"

#define SECOND (1000 * MS)

/* URLs of this host are refused, so the server has an address of its own in a namespace. */
static struct rig server = {.address = "198.18.0.1"}, secure = {.address = "198.18.0.1"}, local;
static struct hooks *hooks;
static struct config *config;
static char why[400];

static bool answer(const struct rig_link *k, const char *path)
{
	if (!strcmp(path, "/ok"))
		return rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready");
	if (!strcmp(path, "/500"))
		return rig_say(k, "HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops");
	if (!strcmp(path, "/move"))
		return rig_say(k, "HTTP/1.1 302 Found\r\nLocation: /ok\r\n"
				  "Content-Length: 0\r\n\r\n");
	if (!strcmp(path, "/endless")) {
		rig_say(k, "HTTP/1.1 200 OK\r\n\r\n");
		while (rig_say(k, "more and more and more of it\n"))
			;
		return false;
	}
	if (!strcmp(path, "/drip")) {
		rig_say(k, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
		while (rig_say(k, "."))
			usleep(20000);
		return false;
	}
	pause(); /* "/hang" */
	return false;
}

struct note {
	char name[CONF_NAME], why[300], output[5000];
	enum hook_outcome outcome;
	bool required, cut;
	double seconds;
};

static struct {
	struct note step[16];
	unsigned int n, ends;
	struct hooks_sum sum;
} got;

static void on_step(void *arg, const struct hook_result *r)
{
	struct note *n = &got.step[got.n++];

	(void)arg;
	assert_true(got.n < 16);
	snprintf(n->name, sizeof(n->name), "%s", r->name);
	snprintf(n->why, sizeof(n->why), "%s", r->why);
	snprintf(n->output, sizeof(n->output), "%.*s", (int)r->output_size, r->output);
	n->outcome = r->outcome;
	n->required = r->required;
	n->cut = r->cut;
	n->seconds = r->seconds;
}

static void on_done(void *arg, const struct hooks_sum *sum)
{
	(void)arg;
	got.ends++;
	got.sum = *sum;
	loop_stop(l, 0);
}

static int begin_test(void **state)
{
	int err = make(state);

	memset(&got, 0, sizeof(got));
	config = calloc(1, sizeof(*config));
	return err ? err : hooks_make(l, &hooks);
}

static int end_test(void **state)
{
	hooks_free(hooks);
	free(config);
	return unmake(state);
}

/* ---- steps ---- */

static struct conf_hook_step *add(const char *name, enum conf_when when)
{
	struct conf_hook_step *s = &config->hooks[config->n_hooks++];

	snprintf(s->name, sizeof(s->name), "%s", name);
	s->when = when;
	s->timeout_ms = 10000;
	s->required = true;
	return s;
}

static struct conf_hook_step *add_script(const char *name, enum conf_when when, const char *body)
{
	struct conf_hook_step *s = add(name, when);

	snprintf(s->argv[0].text, sizeof(s->argv[0].text), "%s", rig_script(name, body));
	s->n_argv = 1;
	return s;
}

static struct conf_hook_step *add_url(const char *name, enum conf_when when, const char *url)
{
	struct conf_hook_step *s = add(name, when);

	snprintf(s->url.text, sizeof(s->url.text), "%s", url);
	return s;
}

static const struct hook_about about = {.service = "api",
					.stage = 2,
					.weight = 2550,
					.epoch = 41,
					.reason = "\"tests\"\nare <ok> \xff",
					.operator= "alice" };

static int begin(enum conf_when when, unsigned int stage, struct hooks_run **ret)
{
	assert_int_equal(hooks_use(hooks, config, why, sizeof(why)), 0);
	return hooks_begin(hooks, when, stage, &about, on_step, on_done, NULL, ret);
}

static void all(enum conf_when when, unsigned int stage, int n)
{
	assert_int_equal(begin(when, stage, NULL), n);
	assert_int_equal(got.n, 0); /* nothing before the loop turns */
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(got.ends, 1);
}

static void step_is(unsigned int i, const char *name, enum hook_outcome outcome, const char *text)
{
	assert_true(i < got.n);
	assert_string_equal(got.step[i].name, name);
	if (got.step[i].outcome != outcome || !strstr(got.step[i].why, text))
		fail_msg("%s: %s: \"%s\"", name, hook_outcome_name(got.step[i].outcome),
			 got.step[i].why);
}

static void steps_run_one_after_another_in_order(void **state)
{
	(void)state;
	add_script("first", CONF_ON_COMMIT, "sleep 0.3; date +%s%N");
	add_script("second", CONF_ON_COMMIT, "date +%s%N");
	add_script("other", CONF_ON_ROLLBACK, "exit 1");
	all(CONF_ON_COMMIT, 0, 2);
	assert_int_equal(got.n, 2);
	step_is(0, "first", HOOK_OK, "");
	step_is(1, "second", HOOK_OK, "");
	assert_true(strtoull(got.step[0].output, NULL, 10) <
		    strtoull(got.step[1].output, NULL, 10));
	assert_true(got.step[0].seconds >= 0.3 && got.step[0].seconds < 10);
	assert_true(got.sum.ok);
	assert_int_equal(got.sum.done, 2);
	assert_int_equal(got.sum.failed, 0);
}

static void a_program_is_told_what_it_is_about(void **state)
{
	(void)state;
	add_script("env", CONF_BEFORE_STAGE, "env | grep ^SHIFT_ | sort");
	all(CONF_BEFORE_STAGE, 2, 1);
	assert_string_equal(got.step[0].output,
			    "SHIFT_EPOCH=41\nSHIFT_HOOK=env\nSHIFT_OPERATOR=alice\n"
			    "SHIFT_REASON=\"tests\"?are <ok> ?\nSHIFT_SERVICE=api\nSHIFT_STAGE=2\n"
			    "SHIFT_WEIGHT=25.5\nSHIFT_WHEN=before-stage\n");
}

static void a_url_is_told_the_same(void **state)
{
	json_error_t error;
	json_t *j;

	(void)state;
	add_url("ask", CONF_BEFORE_STAGE, rig_url(&server, "/ok"));
	all(CONF_BEFORE_STAGE, 2, 1);
	step_is(0, "ask", HOOK_OK, "");
	assert_string_equal(got.step[0].output, "ready");
	assert_memory_equal(server.seen->request, "POST /ok HTTP/1.1\r\n", 19);
	assert_non_null(strstr(server.seen->request, "Content-Type: application/json\r\n"));
	j = json_loads(strstr(server.seen->request, "\r\n\r\n") + 4, 0, &error);
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "service")), "api");
	assert_string_equal(json_string_value(json_object_get(j, "hook")), "ask");
	assert_string_equal(json_string_value(json_object_get(j, "when")), "before-stage");
	assert_string_equal(json_string_value(json_object_get(j, "reason")),
			    "\"tests\"?are <ok> ?");
	assert_string_equal(json_string_value(json_object_get(j, "operator")), "alice");
	assert_int_equal(json_integer_value(json_object_get(j, "stage")), 2);
	assert_int_equal(json_integer_value(json_object_get(j, "epoch")), 41);
	assert_true(json_number_value(json_object_get(j, "weight")) == 25.5);
	json_decref(j);
}

static void stages_choose_their_steps(void **state)
{
	static const struct {
		enum conf_when when;
		unsigned int stage;
		int n;
	} table[] = {
		{CONF_BEFORE_STAGE, 1, 1}, {CONF_BEFORE_STAGE, 5, 2}, {CONF_AFTER_STAGE, 5, 1},
		{CONF_AFTER_STAGE, 1, 0},  {CONF_BEFORE_RAMP, 0, 1},  {CONF_AFTER_RAMP, 0, 0},
		{CONF_ON_ROLLBACK, 5, 1},
	};

	(void)state;
	add_script("each", CONF_BEFORE_STAGE, "exit 0");
	add_script("fifth", CONF_BEFORE_STAGE, "exit 0")->stage = 5;
	add_script("after", CONF_AFTER_STAGE, "exit 0")->stage = 5;
	add_script("ramp", CONF_BEFORE_RAMP, "exit 0");
	add_script("back", CONF_ON_ROLLBACK, "exit 0");
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct hooks_run *r = NULL;

		assert_int_equal(begin(table[i].when, table[i].stage, &r), table[i].n);
		hooks_cancel(r);
	}
	run_for(10 * MS);
	assert_int_equal(got.ends, 0);
}

static void a_required_failure_stops_the_rest(void **state)
{
	(void)state;
	add_script("soft", CONF_ON_COMMIT, "echo no >&2; exit 9")->required = false;
	add_script("hard", CONF_ON_COMMIT, "echo half; exit 3");
	add_script("never", CONF_ON_COMMIT, "exit 0");
	all(CONF_ON_COMMIT, 0, 3);
	assert_int_equal(got.n, 2);
	step_is(0, "soft", HOOK_FAILED, "ended with exit status 9: no");
	assert_string_equal(got.step[0].output, "no\n");
	step_is(1, "hard", HOOK_FAILED, "ended with exit status 3: half");
	assert_string_equal(got.step[1].output, "half\n");
	assert_false(got.sum.ok);
	assert_int_equal(got.sum.done, 2);
	assert_int_equal(got.sum.failed, 2);
	assert_int_equal(got.sum.left, 1);
	assert_string_equal(got.sum.stopped_at, "hard");
	assert_string_equal(got.sum.why, "hard: ended with exit status 3: half");
}

static void hostile_programs_are_bounded_and_named(void **state)
{
	(void)state;
	add_script("deaf", CONF_ON_COMMIT, "trap '' TERM; while :; do sleep 1; done")->required =
		false;
	add_script("stay", CONF_ON_COMMIT, "setsid sh -c 'sleep 100; :' ${M}stay & exit 0");
	add_script("loud", CONF_ON_COMMIT, "yes")->required = false;
	config->hooks[0].timeout_ms = 200;
	config->hooks[2].timeout_ms = 300;
	all(CONF_ON_COMMIT, 0, 3);
	step_is(0, "deaf", HOOK_TIMED_OUT, "did not heed SIGTERM");
	step_is(1, "stay", HOOK_OK, "left behind were killed");
	step_is(2, "loud", HOOK_TIMED_OUT, "did not end within 0.3s");
	assert_int_equal(strlen(got.step[2].output), 4096);
	assert_true(got.step[2].cut);
	assert_true(got.sum.ok);
	assert_int_equal(rig_alive("stay"), 0);
}

static void hostile_answers_are_bounded_and_named(void **state)
{
	static const char *const paths[] = {"/500", "/move", "/endless", "/drip", "/hang"};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct conf_hook_step *s =
			add_url(paths[i] + 1, CONF_ON_COMMIT, rig_url(&server, paths[i]));

		s->required = false;
		s->timeout_ms = i > 2 ? 300 : 10000;
	}
	all(CONF_ON_COMMIT, 0, 5);
	step_is(0, "500", HOOK_FAILED, "answered 500");
	assert_string_equal(got.step[0].output, "oops");
	step_is(1, "move", HOOK_FAILED, "answered 302: redirects are not followed");
	step_is(2, "endless", HOOK_FAILED, "longer than 65536 bytes");
	step_is(3, "drip", HOOK_TIMED_OUT, "");
	step_is(4, "hang", HOOK_TIMED_OUT, "it may have been carried out");
	assert_true(got.step[4].seconds >= 0.3 && got.step[4].seconds < 5);
}

static void addresses_of_this_host_and_of_metadata_are_refused(void **state)
{
	(void)state;
	add_url("local", CONF_ON_COMMIT, rig_url(&local, "/ok"))->required = false;
	add_url("metadata", CONF_ON_COMMIT, "http://169.254.169.254/latest/")->required = false;
	all(CONF_ON_COMMIT, 0, 2);
	step_is(0, "local", HOOK_FAILED, "not a public one");
	step_is(1, "metadata", HOOK_FAILED, "not a public one");
	assert_int_equal(local.seen->connections, 0);
}

static void what_may_not_run_is_refused_with_the_configuration(void **state)
{
	struct conf_hook_step *s = add_script("script", CONF_ON_COMMIT, "echo ran");

	(void)state;
	assert_int_equal(hooks_use(hooks, config, why, sizeof(why)), 0);
	snprintf(s->user, sizeof(s->user), "no-such-user");
	assert_int_equal(hooks_use(hooks, config, why, sizeof(why)), -ENOENT);
	assert_string_equal(why, "hook script: there is no user no-such-user");
	s->user[0] = '\0';
	chmod(s->argv[0].text, 0777);
	assert_int_equal(hooks_use(hooks, config, why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "hook script: "));
	assert_non_null(strstr(why, "/script can be written by everybody"));
	chmod(s->argv[0].text, 0644);
	assert_int_equal(hooks_use(hooks, config, why, sizeof(why)), -EACCES);
	/* the steps of before stay, and the file is looked at again when it runs */
	assert_int_equal(
		hooks_begin(hooks, CONF_ON_COMMIT, 0, &about, on_step, on_done, NULL, NULL), 1);
	assert_int_equal(loop_run(l), 0);
	step_is(0, "script", HOOK_FAILED, "may not be executed by the user nobody");
}

static void a_reload_in_the_middle_changes_nothing_for_a_run(void **state)
{
	(void)state;
	add_script("one", CONF_ON_COMMIT, "sleep 0.3");
	add_script("two", CONF_ON_COMMIT, "echo two");
	assert_int_equal(begin(CONF_ON_COMMIT, 0, NULL), 2);
	run_for(100 * MS);
	config->n_hooks = 0;
	assert_int_equal(hooks_use(hooks, config, why, sizeof(why)), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(got.n, 2);
	assert_string_equal(got.step[1].output, "two\n");
	assert_int_equal(begin(CONF_ON_COMMIT, 0, NULL), 0);
}

static void cancelling_ends_the_step_and_calls_back_no_more(void **state)
{
	struct hooks_run *program, *url;

	(void)state;
	add_script("long", CONF_ON_COMMIT, "sh -c 'sleep 100; :' ${M}long");
	add_url("hang", CONF_ON_ROLLBACK, rig_url(&server, "/hang"));
	assert_int_equal(begin(CONF_ON_COMMIT, 0, &program), 1);
	assert_int_equal(
		hooks_begin(hooks, CONF_ON_ROLLBACK, 0, &about, on_step, on_done, NULL, &url), 1);
	for (int i = 0; i < 50 && !rig_alive("long"); i++)
		run_for(50 * MS);
	assert_int_equal(rig_alive("long"), 1);
	hooks_cancel(program);
	hooks_cancel(url);
	for (int i = 0; i < 50 && rig_alive("long"); i++)
		run_for(50 * MS);
	assert_int_equal(rig_alive("long"), 0);
	assert_int_equal(got.n + got.ends, 0);
}

static struct hooks_run *own;

static void cancel_own(void *arg, const struct hook_result *r)
{
	unsigned int *calls = arg;

	assert_int_equal(r->outcome, HOOK_OK);
	++*calls;
	hooks_cancel(own);
}

static void a_step_may_cancel_its_run(void **state)
{
	unsigned int calls = 0;

	(void)state;
	add_script("one", CONF_ON_COMMIT, "exit 0");
	add_script("two", CONF_ON_COMMIT, "exit 0");
	assert_int_equal(hooks_use(hooks, config, why, sizeof(why)), 0);
	assert_int_equal(
		hooks_begin(hooks, CONF_ON_COMMIT, 0, &about, cancel_own, on_done, &calls, &own),
		2);
	for (int i = 0; i < 50 && !calls; i++)
		run_for(50 * MS);
	run_for(100 * MS);
	assert_int_equal(calls, 1);
	assert_int_equal(got.ends, 0);
}

static void a_url_is_trusted_by_its_own_ca(void **state)
{
	struct conf_hook_step *s = add_url("mine", CONF_ON_COMMIT, rig_url(&secure, "/ok"));

	(void)state;
	snprintf(s->ca_file, sizeof(s->ca_file), "%s", rig_path("ca.pem"));
	add_url("system", CONF_ON_COMMIT, rig_url(&secure, "/ok"))->required = false;
	all(CONF_ON_COMMIT, 0, 2);
	step_is(0, "mine", HOOK_OK, "");
	step_is(1, "system", HOOK_FAILED, "certificate");
}

static int make_world(void **state)
{
	if (rig_make_folder(state))
		return -1;
	if (unshare(CLONE_NEWNET) ||
	    system("ip link set lo up && ip address add 198.18.0.1/32 dev lo"))
		return -1;
	rig_start(&server, NULL, answer);
	rig_start(&local, NULL, answer);
	rig_start(&secure, rig_certificate("hooks.test,IP:198.18.0.1", rig_path("ca.pem")), answer);
	return 0;
}

static int end_world(void **state)
{
	rig_stop(&server);
	rig_stop(&local);
	rig_stop(&secure);
	SSL_CTX_free(secure.tls);
	return rig_remove_folder(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(steps_run_one_after_another_in_order),
		TEST(a_program_is_told_what_it_is_about),
		TEST(a_url_is_told_the_same),
		TEST(stages_choose_their_steps),
		TEST(a_required_failure_stops_the_rest),
		TEST(hostile_programs_are_bounded_and_named),
		TEST(hostile_answers_are_bounded_and_named),
		TEST(a_url_is_trusted_by_its_own_ca),
		TEST(addresses_of_this_host_and_of_metadata_are_refused),
		TEST(what_may_not_run_is_refused_with_the_configuration),
		TEST(a_reload_in_the_middle_changes_nothing_for_a_run),
		TEST(cancelling_ends_the_step_and_calls_back_no_more),
		TEST(a_step_may_cancel_its_run),
	};

	if (geteuid()) {
		print_message("1..0 # SKIP programs are run as another user, which takes root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, make_world, end_world);
}
