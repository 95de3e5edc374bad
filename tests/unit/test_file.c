/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_file.c - whom root may trust with a path: file_check_*, file_open_* and
 * file_append_secret
 *
 * Runs as root, since it makes what belongs to others; in a folder of its own under /tmp.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/file.h"

#define NOBODY 65534
#define ROUNDS 20000

static char folder[] = "/tmp/test_file.XXXXXX";

/* A path inside the test's folder; a few at a time. */
static const char *in(const char *name)
{
	static char paths[8][256];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, 256, "%s/%s", folder, name);
	return path;
}

static void put(const char *name, mode_t mode, const char *text)
{
	int fd = open(in(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void make_folder(const char *name, mode_t mode)
{
	mkdir(in(name), 0700);
	assert_int_equal(chmod(in(name), mode), 0);
}

static void give_away(const char *name)
{
	assert_int_equal(lchown(in(name), NOBODY, NOBODY), 0);
}

static void assert_safe(const char *name)
{
	char why[512] = "?";

	if (file_check_safe(in(name), why, sizeof(why)))
		print_error("%s: %s\n", name, why);
	assert_int_equal(file_check_safe(in(name), why, sizeof(why)), 0);
	assert_string_equal(why, "");
}

static void assert_refused(const char *name, int err, const char *offender, const char *what)
{
	char why[512] = "?", wanted[512] = "";

	assert_int_equal(file_check_safe(in(name), why, sizeof(why)), err);
	if (offender)
		snprintf(wanted, sizeof(wanted), "%s%s%s %s", folder, offender[0] ? "/" : "",
			 offender, what);
	assert_string_equal(why, wanted);
	assert_int_equal(file_open_safe(in(name), NULL, 0), err);
}

/* ---- the file itself ---- */

static void a_file_of_root_s_is_safe(void **state)
{
	(void)state;
	put("good", 0644, "x");
	assert_safe("good");
	put("good", 0400, "x");
	assert_safe("good");
	assert_safe("./good");
	assert_safe("//good");
}

static void a_file_that_others_can_write_is_not(void **state)
{
	(void)state;
	put("group", 0620, "x");
	assert_refused("group", -EPERM, "group", "can be written by its group");
	put("all", 0602, "x");
	assert_refused("all", -EPERM, "all", "can be written by everybody");
	put("theirs", 0600, "x");
	give_away("theirs");
	assert_refused("theirs", -EPERM, "theirs", "belongs to another user");
}

static void only_a_regular_file_is_one(void **state)
{
	char why[128];

	(void)state;
	make_folder("empty", 0755);
	assert_refused("empty", -EINVAL, "empty", "is no regular file");
	assert_refused("", -EINVAL, "", "is no regular file");
	assert_int_equal(mkfifo(in("pipe"), 0600), 0);
	alarm(10); /* an open that waits for a writer would hang */
	assert_refused("pipe", -EINVAL, "pipe", "is no regular file");
	alarm(0);
	assert_int_equal(file_check_safe("/dev/null", why, sizeof(why)), -EPERM);
	assert_int_equal(file_check_safe("/", why, sizeof(why)), -EINVAL);
}

static void what_is_not_there_is_named_as_the_kernel_does(void **state)
{
	char name[300];

	(void)state;
	put("good", 0600, "x");
	assert_refused("missing", -ENOENT, NULL, NULL);
	assert_refused("missing/file", -ENOENT, NULL, NULL);
	assert_refused("good/file", -ENOTDIR, NULL, NULL);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(file_check_safe(name, NULL, 0), -ENAMETOOLONG);
	assert_int_equal(file_check_safe("", NULL, 0), -ENOENT);
}

/* ---- the way to it ---- */

static void every_folder_on_the_way_counts(void **state)
{
	(void)state;
	make_folder("a", 0755);
	make_folder("a/b", 0755);
	put("a/b/file", 0600, "x");
	assert_safe("a/b/file");
	assert_int_equal(chmod(in("a"), 0777), 0);
	assert_refused("a/b/file", -EPERM, "a", "can be written by everybody");
	assert_int_equal(chmod(in("a"), 0775), 0);
	assert_refused("a/b/file", -EPERM, "a", "can be written by its group");
	assert_int_equal(chmod(in("a"), 0755), 0);
	give_away("a/b");
	assert_refused("a/b/file", -EPERM, "a/b", "belongs to another user");
	assert_int_equal(chown(in("a/b"), 0, 0), 0);
	assert_safe("a/b/../b/./file");
}

static void a_sticky_folder_may_be_written_by_all(void **state)
{
	(void)state;
	make_folder("sticky", 01777);
	put("sticky/mine", 0600, "x");
	put("sticky/theirs", 0600, "x");
	give_away("sticky/theirs");
	assert_safe("sticky/mine");
	assert_refused("sticky/theirs", -EPERM, "sticky/theirs", "belongs to another user");
	give_away("sticky");
	assert_refused("sticky/mine", -EPERM, "sticky", "belongs to another user");
}

static void a_relative_path_counts_from_the_root(void **state)
{
	char before[4096], why[512];

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	make_folder("loose", 0755);
	make_folder("loose/in", 0755);
	put("loose/in/file", 0600, "x");
	assert_int_equal(chdir(in("loose/in")), 0);
	assert_int_equal(file_check_safe("file", why, sizeof(why)), 0);
	assert_int_equal(file_check_safe("../in/file", why, sizeof(why)), 0);
	assert_int_equal(chmod(in("loose"), 0777), 0);
	assert_int_equal(file_check_safe("file", why, sizeof(why)), -EPERM);
	assert_int_equal(chdir(before), 0);
}

static void links_are_followed_and_judged(void **state)
{
	(void)state;
	make_folder("real", 0755);
	make_folder("real/deep", 0755);
	put("real/file", 0600, "x");
	put("real/bad", 0666, "x");
	assert_int_equal(symlink("real/file", in("relative")), 0);
	assert_int_equal(symlink(in("real/file"), in("absolute")), 0);
	assert_int_equal(symlink("../file", in("real/deep/up")), 0);
	assert_int_equal(symlink("relative", in("twice")), 0);
	assert_int_equal(symlink("real", in("folder")), 0);
	assert_int_equal(symlink("real/bad", in("to_bad")), 0);
	assert_int_equal(symlink("nowhere", in("dangling")), 0);
	assert_int_equal(symlink("circle", in("circle")), 0);
	assert_safe("relative");
	assert_safe("absolute");
	assert_safe("real/deep/up");
	assert_safe("twice");
	assert_safe("folder/file");
	assert_safe("folder/deep/../file");
	assert_refused("to_bad", -EPERM, "real/bad", "can be written by everybody");
	assert_refused("dangling", -ENOENT, NULL, NULL);
	assert_refused("circle", -ELOOP, "circle", "is a link in a circle");
	give_away("relative");
	assert_refused("relative", -EPERM, "relative", "belongs to another user");
	assert_refused("twice", -EPERM, "relative", "belongs to another user");
	assert_int_equal(chmod(in("real"), 0777), 0);
	assert_refused("folder/file", -EPERM, "real", "can be written by everybody");
}

/* ---- secrets ---- */

static void a_secret_may_be_read_by_nobody_else(void **state)
{
	char why[512], wanted[512];
	int fd;

	(void)state;
	put("key", 0600, "x");
	assert_int_equal(file_check_secret(in("key"), why, sizeof(why)), 0);
	put("key", 0640, "x");
	assert_int_equal(file_check_secret(in("key"), why, sizeof(why)), -EPERM);
	snprintf(wanted, sizeof(wanted), "%s/key can be read by others: chmod 600", folder);
	assert_string_equal(why, wanted);
	assert_int_equal(file_open_secret(in("key"), NULL, 0), -EPERM);
	assert_int_equal(file_check_safe(in("key"), NULL, 0), 0);
	put("key", 0604, "x");
	assert_int_equal(file_check_secret(in("key"), why, sizeof(why)), -EPERM);
	put("key", 0400, "x");
	fd = file_open_secret(in("key"), NULL, 0);
	assert_true(fd >= 0);
	close(fd);
}

/* ---- logs ---- */

static void append(const char *name, int want, const char *offender, const char *what)
{
	char why[512] = "?", wanted[512] = "";
	int fd = file_append_secret(in(name), why, sizeof(why));

	if (offender)
		snprintf(wanted, sizeof(wanted), "%s/%s %s", folder, offender, what);
	assert_string_equal(why, wanted);
	if (fd >= 0)
		close(fd);
	assert_int_equal(fd < 0 ? fd : 0, want);
}

static void a_group_may_write_to_a_folder_above_a_log_s(void **state)
{
	(void)state;
	make_folder("log", 0775);
	make_folder("log/shift", 0700);
	append("log/shift/flows", 0, NULL, NULL);
	append("log/flows", -EPERM, "log", "can be written by its group");
	assert_int_equal(chmod(in("log/shift"), 0770), 0);
	append("log/shift/flows", -EPERM, "log/shift", "can be written by its group");
	assert_int_equal(chmod(in("log/shift"), 0700), 0);
	put("log/shift/flows", 0620, "x");
	assert_int_equal(file_append_secret(in("log/shift/flows"), NULL, 0), -EPERM);
}

static void nobody_else_may_own_or_write_to_any(void **state)
{
	(void)state;
	make_folder("log", 0777);
	put("log/shift/flows", 0600, "x");
	append("log/shift/flows", -EPERM, "log", "can be written by everybody");
	make_folder("log", 0775);
	give_away("log/shift");
	append("log/shift/flows", -EPERM, "log/shift", "belongs to another user");
	assert_int_equal(chown(in("log/shift"), 0, 0), 0);
	assert_int_equal(symlink("shift", in("log/theirs")), 0);
	give_away("log/theirs");
	append("log/theirs/flows", -EPERM, "log/theirs", "belongs to another user");
	append("log/shift/flows", 0, NULL, NULL);
	give_away("log");
	append("log/shift/flows", -EPERM, "log", "belongs to another user");
}

/* ---- what was checked is what is read ---- */

static void what_is_opened_is_what_was_checked(void **state)
{
	char text[8] = "";
	int fd;

	(void)state;
	put("read", 0600, "good");
	fd = file_open_safe(in("read"), NULL, 0);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	put("evil", 0666, "evil");
	assert_int_equal(rename(in("evil"), in("read")), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 4);
	assert_string_equal(text, "good");
	close(fd);
}

/* Puts another's file and root's in turn where the name is. */
static void swap_for_ever(const char *name, const char *good, const char *evil)
{
	char spare[300];

	snprintf(spare, sizeof(spare), "%s.spare", name);
	for (;;) {
		if (link(good, spare) || rename(spare, name) || link(evil, spare) ||
		    rename(spare, name))
			_exit(1);
	}
}

static void no_swap_gets_another_s_file_opened(void **state)
{
	char name[256], good[256], evil[256];
	unsigned int opened = 0;
	pid_t child;

	(void)state;
	make_folder("race", 01777);
	put("race/good", 0600, "good");
	put("race/evil", 0600, "evil");
	give_away("race/evil");
	snprintf(name, sizeof(name), "%s", in("race/name"));
	snprintf(good, sizeof(good), "%s", in("race/good"));
	snprintf(evil, sizeof(evil), "%s", in("race/evil"));
	assert_int_equal(link(good, name), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		swap_for_ever(name, good, evil);
	for (int i = 0; i < ROUNDS; i++) {
		int fd = file_open_safe(name, NULL, 0);
		struct stat st;

		if (fd < 0) {
			assert_true(fd == -EPERM || fd == -EAGAIN || fd == -ENOENT);
			continue;
		}
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_uid, 0);
		close(fd);
		opened++;
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_true(opened > 0);
}

/* ---- */

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) && !chmod(folder, 0755) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_of_root_s_is_safe),
		cmocka_unit_test(a_file_that_others_can_write_is_not),
		cmocka_unit_test(only_a_regular_file_is_one),
		cmocka_unit_test(what_is_not_there_is_named_as_the_kernel_does),
		cmocka_unit_test(every_folder_on_the_way_counts),
		cmocka_unit_test(a_sticky_folder_may_be_written_by_all),
		cmocka_unit_test(a_relative_path_counts_from_the_root),
		cmocka_unit_test(links_are_followed_and_judged),
		cmocka_unit_test(a_secret_may_be_read_by_nobody_else),
		cmocka_unit_test(a_group_may_write_to_a_folder_above_a_log_s),
		cmocka_unit_test(nobody_else_may_own_or_write_to_any),
		cmocka_unit_test(what_is_opened_is_what_was_checked),
		cmocka_unit_test(no_swap_gets_another_s_file_opened),
	};

	if (geteuid()) {
		puts("skip - test_file: needs root, to make files of others");
		return 0;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
