/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_api_socket.c - the daemon's socket and its client's side together. Who may do what, and what
 * hostile clients can do, is proven by tests/e2e/78-page.
 */
#include <errno.h>
#include <grp.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/unit/loop_rig.h"
#include "userspace/api/socket.h"
#include "userspace/base/caps.h"

static char folder[64], path[96];
static struct api_call *held;
static struct loop_timer later;

static void run_echo(void *arg, struct api_call *c)
{
	assert_ptr_equal(arg, &held);
	api_answer(c, 0,
		   json_pack("{s:O, s:s, s:i, s:i}", "args", c->args, "who", c->who, "uid",
			     (int)c->uid, "pid", (int)c->pid));
}

static void run_refuse(void *arg, struct api_call *c)
{
	(void)arg;
	api_refuse(c, 3, "rule %d: --override", 7);
}

static void answer_held(void *arg, uint64_t now)
{
	(void)arg;
	(void)now;
	api_answer(held, 6, NULL);
	held = NULL;
}

static void run_later(void *arg, struct api_call *c)
{
	(void)arg;
	held = c;
	loop_timer_set(l, &later, loop_now() + 200 * MS, answer_held, NULL);
}

static void run_hold(void *arg, struct api_call *c)
{
	(void)arg;
	held = c;
}

static const struct api_verb verbs[] = {
	{"echo", false, run_echo},
	{"refuse", true, run_refuse},
	{"later", false, run_later},
	{"hold", false, run_hold},
};

static struct api_socket *s;

static struct api_socket_config config(void)
{
	return (struct api_socket_config){
		.path = path,
		.read_group = API_NO_GROUP,
		.write_group = API_NO_GROUP,
		.verbs = {verbs, 4, &held},
	};
}

static int begin(void **state)
{
	struct api_socket_config c = config();

	snprintf(folder, sizeof(folder), "/tmp/shift-api.XXXXXX");
	if (make(state) || !mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/shiftd.sock", folder);
	later = (struct loop_timer){0};
	return api_socket_open(l, &c, &s);
}

static int end(void **state)
{
	api_socket_close(s);
	if (held)
		api_answer(held, 1, NULL);
	held = NULL;
	unlink(path);
	rmdir(folder);
	return unmake(state);
}

/* What a client in a process of its own makes of it: its exit code. */
static int ask_there(int (*client)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (!pid)
		_exit(client());
	for (int i = 0; i < 100 && waitpid(pid, &status, WNOHANG) == 0; i++)
		run_for(50 * MS);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int code_of(const json_t *j)
{
	return (int)json_integer_value(json_object_get(j, "code"));
}

static int client_echo(void)
{
	json_t *args = json_pack("{s:s}", "reason", "lunch"), *got = NULL;

	if (api_socket_ask(path, 3000, "echo", args, "alice", &got))
		return 1;
	if (code_of(got) || json_integer_value(json_object_get(got, "schema")) != 1)
		return 2;
	if (!json_equal(json_object_get(got, "args"), args))
		return 3;
	if (strcmp(json_string_value(json_object_get(got, "who")), "alice") != 0)
		return 4;
	if (json_integer_value(json_object_get(got, "uid")) != geteuid() ||
	    json_integer_value(json_object_get(got, "pid")) != getpid())
		return 5;
	return 0;
}

static void what_is_asked_arrives_with_who_asks(void **state)
{
	(void)state;
	assert_int_equal(ask_there(client_echo), 0);
}

static int client_refused(void)
{
	json_t *got = NULL;

	if (api_socket_ask(path, 3000, "refuse", NULL, NULL, &got) || code_of(got) != 3)
		return 1;
	return strcmp(json_string_value(json_object_get(got, "error")), "rule 7: --override") != 0;
}

static void a_refusal_arrives_with_its_code_and_text(void **state)
{
	(void)state;
	assert_int_equal(ask_there(client_refused), 0);
}

static int client_unknown(void)
{
	json_t *got = NULL;

	return api_socket_ask(path, 3000, "reboot", NULL, NULL, &got) || code_of(got) != 2;
}

static void a_command_that_is_not_there_is_a_usage_error(void **state)
{
	(void)state;
	assert_int_equal(ask_there(client_unknown), 0);
}

static int client_later(void)
{
	json_t *got = NULL;

	return api_socket_ask(path, 3000, "later", NULL, NULL, &got) || code_of(got) != 6;
}

static void an_answer_may_come_later(void **state)
{
	(void)state;
	assert_int_equal(ask_there(client_later), 0);
}

static int client_times_out(void)
{
	json_t *got = NULL;

	return -api_socket_ask(path, 150, "hold", NULL, NULL, &got);
}

static void a_client_that_gave_up_does_not_break_the_answer(void **state)
{
	(void)state;
	assert_int_equal(ask_there(client_times_out), ETIMEDOUT);
	assert_non_null(held);
	api_answer(held, 0, NULL);
	held = NULL;
	run_for(50 * MS);
	assert_int_equal(ask_there(client_echo), 0);
}

static void a_call_outlives_the_socket(void **state)
{
	(void)state;
	assert_int_equal(ask_there(client_times_out), ETIMEDOUT);
	assert_non_null(held);
	api_socket_close(s);
	s = NULL;
	api_answer(held, 0, NULL);
	held = NULL;
	assert_int_equal(client_times_out(), ENOENT);
}

static int mode(void)
{
	struct stat st;

	return stat(path, &st) ? -1 : (int)(st.st_mode & 07777);
}

static void the_mode_is_as_narrow_as_the_groups_allow(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(mode(), 0600);
	if (geteuid())
		skip();
	assert_int_equal(api_socket_groups(s, 61001, API_NO_GROUP), 0);
	assert_int_equal(mode(), 0660);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_gid, 61001);
	assert_int_equal(api_socket_groups(s, 61001, 61001), 0);
	assert_int_equal(mode(), 0660);
	assert_int_equal(api_socket_groups(s, 61001, 61002), 0);
	assert_int_equal(mode(), 0666);
	assert_int_equal(api_socket_groups(s, API_NO_GROUP, API_NO_GROUP), 0);
	assert_int_equal(mode(), 0600);
}

/* ---- shiftd may not give the file away ---- */

static gid_t its_group, reader, writer;
static const char *its_verb;

static int client_of_a_group(void)
{
	json_t *got = NULL;

	if (setgroups(0, NULL) || setgid(its_group) || setuid(65534) ||
	    api_socket_ask(path, 3000, its_verb, NULL, NULL, &got))
		return 99;
	return code_of(got);
}

static int asks(gid_t group, const char *verb)
{
	its_group = group;
	its_verb = verb;
	return ask_there(client_of_a_group);
}

static int set_groups_without_rights(void)
{
	return caps_keep(NULL, 0) || api_socket_groups(s, reader, writer);
}

static void use_groups(gid_t read, gid_t write)
{
	reader = read;
	writer = write;
	assert_int_equal(api_socket_groups(s, read, write), 0);
	assert_int_equal(chown(path, 0, 0), 0);
	assert_int_equal(ask_there(set_groups_without_rights), 0);
	assert_int_equal(mode(), 0666);
}

static void a_group_has_its_rights_though_the_file_cannot_be_given_to_it(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(chmod(folder, 0711), 0);
	use_groups(API_NO_GROUP, 61001);
	assert_int_equal(asks(61001, "echo"), 0);
	assert_int_equal(asks(61001, "refuse"), 3);
	assert_int_not_equal(asks(61002, "echo"), 0);
	assert_int_not_equal(asks(61002, "refuse"), 3);
	use_groups(61002, API_NO_GROUP);
	assert_int_equal(asks(61002, "echo"), 0);
	assert_int_equal(asks(61002, "refuse"), 1);
	assert_int_not_equal(asks(61001, "echo"), 0);
	use_groups(61003, 61003);
	assert_int_equal(asks(61003, "refuse"), 3);
	assert_int_not_equal(asks(65534, "echo"), 0);
}

static void what_is_at_the_path_is_not_taken_away(void **state)
{
	struct api_socket_config c = config();
	struct api_socket *other;
	FILE *f;

	(void)state;
	assert_int_equal(api_socket_open(l, &c, &other), -EADDRINUSE);
	assert_int_equal(ask_there(client_echo), 0);
	api_socket_close(s);
	s = NULL;
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(api_socket_open(l, &c, &other), -ENOTSOCK);
	assert_int_equal(mode() & 0600, 0600);
}

static void groups_are_names_or_numbers(void **state)
{
	gid_t g = 1;

	(void)state;
	assert_int_equal(api_group("", &g), 0);
	assert_int_equal(g, API_NO_GROUP);
	assert_int_equal(api_group("root", &g), 0);
	assert_int_equal(g, 0);
	assert_int_equal(api_group("61001", &g), 0);
	assert_int_equal(g, 61001);
	assert_int_equal(api_group("no-such-group", &g), -ENOENT);
	assert_int_equal(api_group("4294967295", &g), -ENOENT);
}

/* A server that gives nonsense: what the client makes of it. */
static int client_of(const char *answer)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), got, err;
	json_t *j = NULL;
	char other[sizeof(a.sun_path)];
	pid_t pid;

	snprintf(other, sizeof(other), "%.60s/other", folder);
	strcpy(a.sun_path, other);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	pid = fork();
	if (!pid) {
		got = accept(fd, NULL, NULL);
		(void)!write(got, answer, strlen(answer));
		_exit(0);
	}
	close(fd);
	err = api_socket_ask(other, 2000, "echo", NULL, NULL, &j);
	waitpid(pid, NULL, 0);
	unlink(other);
	json_decref(j);
	return err;
}

static void nonsense_is_no_answer(void **state)
{
	(void)state;
	assert_int_equal(client_of(""), -EPROTO);
	assert_int_equal(client_of("{\"code\":0}"), -EPROTO); /* no end */
	assert_int_equal(client_of("{}\n"), -EPROTO);
	assert_int_equal(client_of("{\"code\":\"0\"}\n"), -EPROTO);
	assert_int_equal(client_of("[0]\n"), -EPROTO);
	assert_int_equal(client_of("code\n"), -EPROTO);
	assert_int_equal(client_of("{\"code\":0}\n"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(what_is_asked_arrives_with_who_asks),
		TEST(a_refusal_arrives_with_its_code_and_text),
		TEST(a_command_that_is_not_there_is_a_usage_error),
		TEST(an_answer_may_come_later),
		TEST(a_client_that_gave_up_does_not_break_the_answer),
		TEST(a_call_outlives_the_socket),
		TEST(the_mode_is_as_narrow_as_the_groups_allow),
		TEST(a_group_has_its_rights_though_the_file_cannot_be_given_to_it),
		TEST(what_is_at_the_path_is_not_taken_away),
		TEST(groups_are_names_or_numbers),
		TEST(nonsense_is_no_answer),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
