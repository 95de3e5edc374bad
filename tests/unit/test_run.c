/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/unit/run_got.h"
#include "userspace/base/run_inner.h"

/* ---- what a program gets ---- */

static void a_program_runs_and_its_end_is_told(void **state)
{
	(void)state;
	run_script("echo out; echo err >&2; exit 7", (struct run_request){0});
	assert_int_equal(got.r.err, 0);
	assert_int_equal(got.r.status, 7);
	assert_string_equal(got.r.why, "ended with exit status 7");
	assert_string_equal(got.out, "out\n");
	assert_string_equal(got.errors, "err\n");
	assert_true(got.r.duration_ns > 0 && got.r.duration_ns < 10 * SECOND);
	assert_false(got.r.timed_out);
	assert_int_equal(got.r.left_behind, 0);
}

static void one_that_succeeds_has_nothing_to_say(void **state)
{
	(void)state;
	run_script("exit 0", (struct run_request){0});
	assert_int_equal(got.r.err, 0);
	assert_int_equal(got.r.status, 0);
	assert_string_equal(got.r.why, "");
	assert_string_equal(got.out, "");
}

static void a_signal_is_told_apart_from_a_status(void **state)
{
	(void)state;
	run_script("kill -SEGV $$", (struct run_request){0});
	assert_int_equal(got.r.signal, SIGSEGV);
	assert_int_equal(got.r.status, 0);
	assert_non_null(strstr(got.r.why, "signal 11"));
}

/* What a program would inherit across a change of user if nobody took it away. */
static void lend_capability(bool lend)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	assert_int_equal(syscall(SYS_capget, &head, data), 0);
	data[0].inheritable = lend ? 1u << CAP_KILL : 0;
	assert_int_equal(syscall(SYS_capset, &head, data), 0);
}

static void it_runs_as_the_user_with_its_groups_and_no_more(void **state)
{
	(void)state;
	run_script("id -u; id -g; id -G", (struct run_request){0});
	assert_string_equal(got.out, "65534\n65534\n65534\n");
	got.calls = 0;
	lend_capability(true);
	run_script("sed -n 's/^Cap[A-Z][a-z]*:.//p;s/^NoNewPrivs:.//p' /proc/self/status",
		   (struct run_request){0});
	/* inheritable, permitted, effective; the bounding set does not matter; ambient */
	assert_memory_equal(got.out, "0000000000000000\n0000000000000000\n0000000000000000\n", 51);
	assert_non_null(strstr(got.out, "\n0000000000000000\n1\n"));
	lend_capability(false);
}

static void its_environment_is_clean(void **state)
{
	const char *environment[] = {"SHIFT_STAGE=2", "SHIFT_REASON=a b\n'c' $d", NULL};

	(void)state;
	setenv("LD_PRELOAD_NOT", "secret", 1);
	run_script("env | grep -v ^PWD= | sort", (struct run_request){.environment = environment});
	assert_string_equal(got.out, "'c' $d\nLANG=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
				     "SHIFT_REASON=a b\nSHIFT_STAGE=2\n");
}

static void only_our_own_variables_can_be_given(void **state)
{
	static const char *const wrong[] = {"LD_PRELOAD=/tmp/x.so", "SHIFT_", "SHIFT_a=b",
					    "PATH=/tmp", "SHIFT_A"};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		const char *argv[] = {"/bin/true", NULL}, *environment[] = {wrong[i], NULL};
		struct run_request q = {.argv = argv, .user = &nobody, .environment = environment};

		assert_int_equal(run_begin(runner, &q, take, NULL, NULL), -EINVAL);
	}
}

static void arguments_arrive_as_they_are(void **state)
{
	(void)state;
	run_script("printf '<%s>' \"$@\"", (struct run_request){0});
	assert_string_equal(got.out, "<one><two words>");
}

static void it_has_no_descriptor_but_three_and_nothing_to_read(void **state)
{
	int fds[2], kept = open("/dev/null", O_RDONLY); /* without O_CLOEXEC: what must not leak */

	(void)state;
	assert_int_equal(pipe(fds), 0);
	run_script("ls /proc/$$/fd | tr '\\n' ' '; readlink /proc/$$/fd/0; cat",
		   (struct run_request){0});
	/* 10 is the shell's own: the script */
	assert_string_equal(got.out, "0 1 10 2 /dev/null\n");
	close_both(fds);
	close(kept);
}

static void it_has_a_session_of_its_own_and_dumps_no_core(void **state)
{
	(void)state;
	run_script("echo $$; ps -o sid= -o pgid= -p $$ | tr -s ' ' '\\n' | sed '/^$/d'; ulimit -c; "
		   "pwd; umask",
		   (struct run_request){0});
	{
		long pid, sid, group, core;
		char folder[16], mask[16];

		assert_int_equal(sscanf(got.out, "%ld %ld %ld %ld %15s %15s", &pid, &sid, &group,
					&core, folder, mask),
				 6);
		assert_int_equal(sid, pid);
		assert_int_equal(group, pid);
		assert_int_equal(core, 0);
		assert_string_equal(folder, "/");
		assert_string_equal(mask, "0022");
	}
}

static void signals_that_we_block_or_ignore_reach_it(void **state)
{
	sigset_t set;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	run_script("sed -n 's/^SigBlk:.//p;s/^SigIgn:.//p' /proc/self/status",
		   (struct run_request){0});
	assert_string_equal(got.out, "0000000000000000\n0000000000000000\n");
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- refused ---- */

static void refused(int err, const char *why)
{
	if (got.r.err != err || !strstr(got.r.why, why))
		fail_msg("%d, \"%s\" instead of %d, \"%s\"", got.r.err, got.r.why, err, why);
}

static void what_others_can_change_is_refused_by_name(void **state)
{
	const char *argv[] = {rig_script("open", "echo ran"), NULL};
	char why[200];

	(void)state;
	chmod(argv[0], 0757);
	run_it(&(struct run_request){.argv = argv, .user = &nobody});
	refused(-EPERM, "/open can be written by everybody");
	assert_string_equal(got.out, "");
	assert_int_equal(run_check(argv[0], why, sizeof(why)), -EPERM);
	assert_string_equal(why, got.r.why);
	chmod(argv[0], 0755);
	assert_int_equal(run_check(argv[0], why, sizeof(why)), 0);
	assert_int_equal(mkdir(rig_path("wide"), 0777), 0);
	assert_int_equal(chmod(rig_path("wide"), 0777), 0);
	argv[0] = rig_script("wide/inside", "echo ran");
	got.calls = 0;
	run_it(&(struct run_request){.argv = argv, .user = &nobody});
	refused(-EPERM, "/wide can be written by everybody");
	argv[0] = rig_script("theirs", "echo ran");
	assert_int_equal(chown(argv[0], 65534, 65534), 0);
	got.calls = 0;
	run_it(&(struct run_request){.argv = argv, .user = &nobody});
	refused(-EPERM, "/theirs belongs to another user");
}

static void what_cannot_be_started_says_why(void **state)
{
	const char *argv[] = {rig_file("plain", "#!/bin/sh\necho ran\n", 0644), NULL};
	struct run_request q = {.argv = argv, .user = &nobody};
	char why[200];

	(void)state;
	run_it(&q);
	refused(-EACCES, "may not be executed by the user nobody");
	assert_int_equal(run_check(argv[0], why, sizeof(why)), -EACCES);
	assert_non_null(strstr(why, "/plain is not executable"));
	argv[0] = rig_file("private", "#!/bin/sh\necho ran\n", 0700);
	got.calls = 0;
	run_it(&q);
	refused(-EACCES, "may not be executed by the user nobody");
	argv[0] = rig_path("missing");
	got.calls = 0;
	run_it(&q);
	refused(-ENOENT, "/missing: No such file");
	argv[0] = rig_file("orphan", "#!/no/such/interpreter\n", 0755);
	got.calls = 0;
	run_it(&q);
	refused(-ENOENT, "interpreter");
	argv[0] = rig_file("text", "echo ran\n", 0755);
	got.calls = 0;
	run_it(&q);
	refused(-ENOEXEC, "is no program");
	argv[0] = rig_folder;
	got.calls = 0;
	run_it(&q);
	refused(-EINVAL, "is no regular file");
	argv[0] = "script";
	assert_int_equal(run_begin(runner, &q, take, NULL, NULL), -EINVAL);
}

static void a_user_that_is_not_there_is_no_user(void **state)
{
	struct run_user u;

	(void)state;
	assert_int_equal(run_user_find("no-such-user", &u), -ENOENT);
	assert_int_equal(run_user_find("", &u), 0);
	assert_string_equal(u.name, "nobody");
}

static void only_root_becomes_another(void **state)
{
	static struct run_user daemon_user;
	pid_t child;
	int status;

	(void)state;
	assert_int_equal(run_user_find("daemon", &daemon_user), 0);
	child = fork();
	if (!child) { /* what belongs to neither root nor nobody may not run, and /bin does */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		const char *argv[] = {"/bin/true", NULL};

		if (setresuid(65534, 65534, 65534))
			_exit(9);
		if (run_begin(runner, &(struct run_request){.argv = argv, .user = &daemon_user},
			      take, NULL, NULL) ||
		    loop_run(l))
			_exit(8);
		if (got.r.err != -EPERM || !strstr(got.r.why, "cannot become the user daemon"))
			_exit(7);
		if (run_begin(runner, &(struct run_request){.argv = argv, .user = &nobody}, take,
			      NULL, NULL) ||
		    loop_run(l))
			_exit(6);
		_exit(got.r.err || got.r.status ? 5 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* ---- many, and cancelled ---- */

static unsigned int ended;

static void count_end(void *arg, const struct run_result *r)
{
	unsigned int *bits = arg;

	assert_int_equal(r->err, 0);
	*bits |= 1u << r->status;
	if (++ended == 10)
		loop_stop(l, 0);
}

static void many_run_side_by_side(void **state)
{
	const char *script = rig_script("number", "sleep 0.2; exit $1");
	unsigned int bits = 0;
	uint64_t begun = loop_now();

	(void)state;
	ended = 0;
	for (int i = 0; i < 10; i++) {
		char number[16];
		const char *argv[] = {script, number, NULL};

		snprintf(number, sizeof(number), "%d", i);
		assert_int_equal(run_begin(runner,
					   &(struct run_request){.argv = argv, .user = &nobody},
					   count_end, &bits, NULL),
				 0);
	}
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(bits, 0x3ff);
	assert_true(loop_now() - begun < 10 * SECOND);
}

static void never(void *arg, const struct run_result *r)
{
	(void)arg, (void)r;
	fail_msg("called back after it was cancelled");
}

static void cancelling_ends_it_and_does_not_call_back(void **state)
{
	const char *argv[] = {rig_script("wait",
					 "setsid sh -c 'trap : TERM; sleep 100; :' ${M}cancel & "
					 "sh -c 'sleep 100; :' ${M}cancel"),
			      NULL};
	struct run *run;

	(void)state;
	assert_int_equal(run_begin(runner,
				   &(struct run_request){
					   .argv = argv, .user = &nobody, .linger_ns = 50 * MS},
				   never, NULL, &run),
			 0);
	run_for(200 * MS);
	assert_true(rig_alive("cancel") >= 2);
	run_cancel(run);
	run_for(300 * MS);
	assert_int_equal(rig_alive("cancel"), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* and is reaped */
}

static void freeing_the_runner_ends_all(void **state)
{
	const char *argv[] = {rig_script("wait", "sh -c 'sleep 100; :' ${M}freed"), NULL};

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(run_begin(runner,
					   &(struct run_request){.argv = argv, .user = &nobody},
					   never, NULL, NULL),
				 0);
	run_for(200 * MS);
	assert_int_equal(rig_alive("freed"), 3);
	runner_free(runner);
	runner = NULL;
	all_gone("freed");
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void free_it(void *arg, const struct run_result *r)
{
	assert_string_equal(r->out.data, "x\n");
	runner_free(arg);
	runner = NULL;
	assert_string_equal(r->out.data, "x\n");
	loop_stop(l, 0);
}

static void the_runner_may_be_freed_from_its_callback(void **state)
{
	const char *argv[] = {rig_script("x", "echo x"), NULL},
		   *slow[] = {rig_script("y", "sh -c 'sleep 100; :' ${M}other"), NULL};

	(void)state;
	assert_int_equal(run_begin(runner, &(struct run_request){.argv = slow, .user = &nobody},
				   never, NULL, NULL),
			 0);
	assert_int_equal(run_begin(runner, &(struct run_request){.argv = argv, .user = &nobody},
				   free_it, runner, NULL),
			 0);
	assert_int_equal(loop_run(l), 0);
	all_gone("other");
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void it_ends_with_the_daemon(void **state)
{
	const char *argv[] = {rig_script("outlive", "setsid sh -c 'sleep 100; :' ${M}daemon & "
						    "sh -c 'sleep 100; :' ${M}daemon"),
			      NULL};
	pid_t child = fork();
	int status;

	(void)state;
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run_begin(runner, &(struct run_request){.argv = argv, .user = &nobody}, never, NULL,
			  NULL);
		loop_run(l);
		_exit(1);
	}
	for (int i = 0; i < 500 && rig_alive("daemon") < 2; i++)
		usleep(10000);
	assert_true(rig_alive("daemon") >= 2);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	all_gone("daemon");
}

static void a_keeper_that_is_killed_is_missed(void **state)
{
	struct run_user root;
	uint64_t took;

	(void)state;
	assert_int_equal(run_user_find("root", &root), 0);
	took = run_script("sleep 0.1; kill -9 $PPID; sh -c 'sleep 100; :' ${M}keeper",
			  (struct run_request){.user = &root});
	assert_int_equal(got.r.err, -ECHILD);
	assert_non_null(strstr(got.r.why, "watched over it was killed"));
	assert_true(took < 10 * SECOND);
}

static void nothing_blocks_the_loop(void **state)
{
	const char *argv[] = {rig_script("slow", "sleep 0.5"), NULL};
	uint64_t begun = loop_now(), turns = 0;

	(void)state;
	assert_int_equal(run_begin(runner, &(struct run_request){.argv = argv, .user = &nobody},
				   take, NULL, NULL),
			 0);
	print_message("#   beginning a program took %.2f ms of the loop\n",
		      (double)(loop_now() - begun) / 1e6);
	while (!got.calls && turns < 10000) {
		run_for(5 * MS);
		turns++;
	}
	assert_true(turns > 20);
	assert_true(loop_now() - begun < 10 * SECOND);
}

static void both_ways_of_finding_children_agree(void **state)
{
	pid_t child[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		child[i] = fork();
		if (!child[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prctl(PR_SET_NAME, "odd) 1 (name");
			pause();
			_exit(0);
		}
	}
	assert_int_equal(run_children_searched(NULL, NULL), 3);
	if (access("/proc/thread-self/children", R_OK))
		print_message("#   the kernel has no list of children\n");
	else
		assert_int_equal(run_children_listed(NULL, NULL), 3);
	for (int i = 0; i < 3; i++) {
		kill(child[i], SIGKILL);
		waitpid(child[i], NULL, 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_program_runs_and_its_end_is_told),
		TEST(one_that_succeeds_has_nothing_to_say),
		TEST(a_signal_is_told_apart_from_a_status),
		TEST(it_runs_as_the_user_with_its_groups_and_no_more),
		TEST(its_environment_is_clean),
		TEST(only_our_own_variables_can_be_given),
		TEST(arguments_arrive_as_they_are),
		TEST(it_has_no_descriptor_but_three_and_nothing_to_read),
		TEST(it_has_a_session_of_its_own_and_dumps_no_core),
		TEST(signals_that_we_block_or_ignore_reach_it),
		TEST(what_others_can_change_is_refused_by_name),
		TEST(what_cannot_be_started_says_why),
		TEST(a_user_that_is_not_there_is_no_user),
		TEST(only_root_becomes_another),
		TEST(many_run_side_by_side),
		TEST(cancelling_ends_it_and_does_not_call_back),
		TEST(freeing_the_runner_ends_all),
		TEST(the_runner_may_be_freed_from_its_callback),
		TEST(it_ends_with_the_daemon),
		TEST(a_keeper_that_is_killed_is_missed),
		TEST(nothing_blocks_the_loop),
		TEST(both_ways_of_finding_children_agree),
	};

	return rig_main("run", tests, sizeof(tests) / sizeof(*tests));
}
