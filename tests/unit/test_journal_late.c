/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The journal's thread with a disk that takes a moment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/ctl/journal.h"
#include "userspace/ctl/journal_disk.h"

static _Atomic unsigned int slow_writes; /* the next ones take a moment */

/* The journal's, too. */
ssize_t write(int fd, const void *text, size_t size)
{
	static const struct timespec moment = {.tv_nsec = 120000000};

	if (slow_writes) {
		slow_writes--;
		nanosleep(&moment, NULL);
	}
	return syscall(SYS_write, fd, text, size);
}

/* What is not waited for may take a moment; the entry behind it has its own wait. */
static void a_line_that_is_not_waited_for_takes_no_wait_from_the_next(void **state)
{
	char dir[64], path[400], text[64] = "";
	struct journal_disk *d;
	unsigned int waiting;
	FILE *f;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/shift-journal.XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(journal_disk_open(dir, JOURNAL_SIZE, &d), 0);
	slow_writes = 1;
	assert_int_equal(journal_disk_put(d, "first", false), -ETIMEDOUT);
	assert_int_equal(journal_disk_put(d, "second", true), 0);
	assert_int_equal(journal_disk_state(d, &waiting), 0);
	journal_disk_close(d);
	journal_path(dir, 0, path);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	assert_string_equal(text, "first\nsecond\n");
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_that_is_not_waited_for_takes_no_wait_from_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
