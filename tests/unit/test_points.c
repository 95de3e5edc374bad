/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/ctl/points.h"

static char dir[64];

static int begin(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/shift-points.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
	char path[400];

	(void)state;
	for (unsigned int i = 0; i <= POINTS_KEPT + 1; i++) {
		points_path(dir, i, path);
		unlink(path);
	}
	return rmdir(dir);
}

static void wait_a_little(void)
{
	nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* As the loop would, but not leaving one out that comes too soon. */
static void add(struct points *p, int i)
{
	json_t *j = json_pack("{s:i, s:f}", "i", i, "at", 1772375412.0);
	int err;

	while ((err = points_add(p, j)) == -EBUSY)
		wait_a_little();
	assert_int_equal(err, 0);
	json_decref(j);
}

struct seen {
	int n, first, last;
};

static int see(void *arg, const json_t *point)
{
	struct seen *s = arg;
	int i = (int)json_integer_value(json_object_get(point, "i"));

	assert_true(!s->n || i > s->last);
	assert_true(json_real_value(json_object_get(point, "at")) == 1772375412.0);
	if (!s->n++)
		s->first = i;
	s->last = i;
	return 0;
}

/* The thread writes when it comes to it. */
static struct seen seen_up_to(int last, unsigned int *damaged)
{
	struct seen s;

	for (int tries = 0; tries < 10000; tries++) {
		s = (struct seen){0};
		assert_int_equal(points_each(dir, see, &s, damaged), 0);
		if (s.last == last)
			break;
		wait_a_little();
	}
	return s;
}

static void what_is_added_is_read_in_its_order(void **state)
{
	struct points *p = NULL;
	unsigned int damaged = 7;
	struct seen s = {0};

	(void)state;
	assert_int_equal(points_each(dir, see, &s, &damaged), 0);
	assert_int_equal(s.n, 0);
	assert_int_equal(points_make(dir, &p), 0);
	for (int i = 1; i <= 100; i++)
		add(p, i);
	s = seen_up_to(100, &damaged);
	assert_int_equal(s.n, 100);
	assert_int_equal(damaged, 0);
	points_free(p);
	points_free(NULL);
}

static void behind_a_torn_line_a_new_one_begins(void **state)
{
	struct points *p = NULL;
	unsigned int damaged = 0;
	char path[400];
	struct seen s;
	int fd;

	(void)state;
	points_path(dir, 0, path);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
	assert_int_equal(write(fd, "{\"i\":1,", 7), 7);
	close(fd);
	assert_int_equal(points_make(dir, &p), 0);
	add(p, 200);
	s = seen_up_to(200, &damaged);
	assert_int_equal(s.last, 200);
	assert_int_equal(damaged, 1);
	points_free(p);
}

static void they_are_rotated_and_bounded(void **state)
{
	struct points *p = NULL;
	struct seen s;
	struct stat st;
	char path[400];

	(void)state;
	assert_int_equal(points_make(dir, &p), 0);
	points_limit(p, 1000);
	for (int i = 300; i < 1000; i++)
		add(p, i);
	s = seen_up_to(999, NULL);
	assert_int_equal(s.last, 999);
	assert_int_equal(s.n, 1000 - s.first);
	assert_in_range(s.n, POINTS_KEPT * 20, (POINTS_KEPT + 1) * 40);
	for (unsigned int i = 0; i <= POINTS_KEPT; i++) {
		points_path(dir, i, path);
		assert_int_equal(stat(path, &st), 0);
		assert_in_range(st.st_size, 1, 1000);
	}
	points_path(dir, POINTS_KEPT + 1, path);
	assert_int_equal(stat(path, &st), -1);
	points_free(p);
}

/* A pipe that nobody empties stands for a disk that takes nothing. */
static void it_never_waits(void **state)
{
	char path[400], text[POINTS_LINE + 2] = "";
	struct points *p = NULL;
	json_t *j = json_pack("{s:i}", "i", 1), *big;
	int err = 0;

	(void)state;
	end(NULL);
	assert_int_equal(mkdir(dir, 0700), 0);
	points_path(dir, 0, path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(points_make(dir, &p), 0);
	for (int i = 0; i < 1000; i++) {
		err = points_add(p, j);
		assert_true(err == 0 || err == -EBUSY);
	}
	memset(text, 'x', POINTS_LINE + 1);
	big = json_pack("{s:s}", "i", text);
	while ((err = points_add(p, big)) == -EBUSY)
		wait_a_little();
	assert_int_equal(err, -E2BIG);
	while ((err = points_add(p, j)) == -EBUSY)
		wait_a_little();
	assert_int_equal(err, 0);
	json_decref(j);
	json_decref(big);
	points_free(p);
	memset(text, 'd', 420);
	text[420] = '\0';
	assert_int_equal(points_make(text, &p), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_added_is_read_in_its_order),
		cmocka_unit_test(behind_a_torn_line_a_new_one_begins),
		cmocka_unit_test(they_are_rotated_and_bounded),
		cmocka_unit_test(it_never_waits),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
