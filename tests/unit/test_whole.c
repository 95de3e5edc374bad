/* SPDX-License-Identifier: GPL-2.0-only */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/whole.h"

#define BIG 300000

static char folder[] = "/tmp/test_whole.XXXXXX";

static const char *in(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", folder, name);
	return path;
}

static void assert_holds(const char *name, const char *text)
{
	char *data = NULL;
	size_t size = 0;

	assert_int_equal(whole_read(in(name), 1 << 20, &data, &size), 0);
	assert_int_equal(size, strlen(text));
	assert_string_equal(data, text);
	free(data);
}

/* How many names are in the folder. */
static int names(void)
{
	DIR *d = opendir(folder);
	int n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

static int empty(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s/* %s/.[!.]*", folder, folder);
	return system(command);
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(in(name), &st), 0);
	return st.st_mode & (S_IFMT | 07777);
}

static void it_is_written_with_its_mode(void **state)
{
	mode_t mask = umask(077);

	(void)state;
	assert_int_equal(whole_write(in("metrics"), "a 1\n", 4, 0644), 0);
	umask(0);
	assert_int_equal(whole_write(in("state"), "", 0, 0600), 0);
	umask(mask);
	assert_holds("metrics", "a 1\n");
	assert_holds("state", "");
	assert_int_equal(mode_of("metrics"), S_IFREG | 0644);
	assert_int_equal(mode_of("state"), S_IFREG | 0600);
	assert_int_equal(whole_write(in("metrics"), "b", 1, 0600), 0);
	assert_holds("metrics", "b");
	assert_int_equal(mode_of("metrics"), S_IFREG | 0600);
	assert_int_equal(names(), 2);
}

static void a_name_alone_is_of_this_folder(void **state)
{
	char before[PATH_MAX];

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(whole_write("alone", "x", 1, 0600), 0);
	assert_int_equal(whole_write("./alone", "y", 1, 0600), 0);
	assert_int_equal(chdir(before), 0);
	assert_holds("alone", "y");
}

/* Whoever has the old one open goes on reading the old one. */
static void the_old_one_stays_whole_for_who_reads_it(void **state)
{
	char text[8] = "";
	int fd;

	(void)state;
	assert_int_equal(whole_write(in("file"), "old", 3, 0600), 0);
	fd = open(in("file"), O_RDONLY);
	assert_int_equal(whole_write(in("file"), "newer", 5, 0600), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 3);
	assert_string_equal(text, "old");
	close(fd);
	assert_holds("file", "newer");
}

static void a_link_is_replaced_and_not_followed(void **state)
{
	(void)state;
	assert_int_equal(whole_write(in("target"), "target", 6, 0600), 0);
	assert_int_equal(symlink("target", in("link")), 0);
	assert_int_equal(whole_write(in("link"), "mine", 4, 0600), 0);
	assert_int_equal(mode_of("link"), S_IFREG | 0600);
	assert_holds("target", "target");
	assert_holds("link", "mine");
}

static void the_longest_name_can_be_had(void **state)
{
	char name[NAME_MAX + 2];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[NAME_MAX] = '\0';
	assert_int_equal(whole_write(in(name), "x", 1, 0600), 0);
	assert_holds(name, "x");
	assert_int_equal(names(), 1);
	name[NAME_MAX] = 'x';
	name[NAME_MAX + 1] = '\0';
	assert_int_equal(whole_write(in(name), "x", 1, 0600), -ENAMETOOLONG);
}

/* The process may write half of it, as on a full disk. */
static void half_a_write_leaves_nothing(void **state)
{
	struct rlimit was, tight;
	static char big[BIG];

	(void)state;
	assert_int_equal(whole_write(in("file"), "old", 3, 0600), 0);
	memset(big, 'x', sizeof(big));
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	tight = (struct rlimit){BIG / 2, was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	assert_int_equal(whole_write(in("file"), big, sizeof(big), 0600), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_holds("file", "old");
	assert_int_equal(names(), 1);
}

static void a_failure_leaves_nothing(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in("folder"), 0700), 0);
	assert_int_equal(whole_write(in("folder"), "x", 1, 0600), -EISDIR);
	assert_int_equal(whole_write(in("folder/"), "x", 1, 0600), -EISDIR);
	assert_int_equal(whole_write(in("none/x"), "x", 1, 0600), -ENOENT);
	assert_int_equal(whole_write("", "x", 1, 0600), -ENOENT);
	assert_int_equal(whole_write(in("file"), "x", 1, 0600), 0);
	assert_int_equal(whole_write(in("file/x"), "x", 1, 0600), -ENOTDIR);
	assert_int_equal(names(), 2);
}

/* One writes two texts in turn; who reads meanwhile finds one of them, whole. */
static void a_reader_never_finds_a_part(void **state)
{
	static char text[BIG], *data;
	char path[PATH_MAX];
	pid_t child;
	size_t size;

	(void)state;
	snprintf(path, sizeof(path), "%s", in("file"));
	memset(text, 'a', BIG);
	assert_int_equal(whole_write(path, text, BIG, 0600), 0);
	child = fork();
	assert_true(child >= 0);
	for (int i = 0; !child; i++) {
		memset(text, 'a' + i % 2, BIG);
		if (whole_write(path, text, BIG - (size_t)(i % 2), 0600))
			_exit(1);
	}
	for (int i = 0; i < 500; i++) {
		assert_int_equal(whole_read(path, BIG, &data, &size), 0);
		assert_true(size == (data[0] == 'a' ? BIG : BIG - 1));
		assert_true(data[size - 1] == data[0]);
		free(data);
	}
	assert_int_equal(kill(child, SIGKILL), 0);
	waitpid(child, NULL, 0);
}

static void what_is_read_has_a_limit(void **state)
{
	char *data = NULL;
	size_t size = 77;

	(void)state;
	assert_int_equal(whole_write(in("file"), "12345", 5, 0600), 0);
	assert_int_equal(whole_read(in("file"), 4, &data, &size), -EFBIG);
	assert_null(data);
	assert_int_equal(size, 77);
	assert_int_equal(whole_read(in("file"), 5, &data, NULL), 0);
	assert_string_equal(data, "12345");
	free(data);
	/* its size says nothing */
	assert_int_equal(whole_read("/proc/self/status", 65536, &data, &size), 0);
	assert_memory_equal(data, "Name:", 5);
	assert_int_equal(size, strlen(data));
	free(data);
	assert_int_equal(whole_read("/proc/self/status", 10, &data, &size), -EFBIG);
}

static void only_a_regular_file_is_read(void **state)
{
	char *data = NULL;

	(void)state;
	assert_int_equal(mkfifo(in("pipe"), 0600), 0);
	alarm(10);
	assert_int_equal(whole_read(in("pipe"), 10, &data, NULL), -EINVAL);
	alarm(0);
	assert_int_equal(whole_read(folder, 10, &data, NULL), -EINVAL);
	assert_int_equal(whole_read("/dev/zero", 10, &data, NULL), -EINVAL);
	assert_int_equal(whole_read(in("none"), 10, &data, NULL), -ENOENT);
	assert_int_equal(whole_read("/proc/self/status", SIZE_MAX, &data, NULL), -EINVAL);
	assert_null(data);
}

static int make(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int unmake(void **state)
{
	(void)state;
	return rmdir(folder);
}

#define T(f) cmocka_unit_test_teardown(f, empty)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(it_is_written_with_its_mode),
		T(a_name_alone_is_of_this_folder),
		T(the_old_one_stays_whole_for_who_reads_it),
		T(a_link_is_replaced_and_not_followed),
		T(the_longest_name_can_be_had),
		T(half_a_write_leaves_nothing),
		T(a_failure_leaves_nothing),
		T(a_reader_never_finds_a_part),
		T(what_is_read_has_a_limit),
		T(only_a_regular_file_is_read),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
