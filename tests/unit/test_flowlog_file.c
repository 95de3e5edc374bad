/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_flowlog_file.c - the flow log's file under others' hands and on a full disk, what it
 * remembers of the ports, and which of them it looks at
 *
 * In a folder of its own under /tmp.
 */
#include <errno.h>
#include <fcntl.h>
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
#include <unistd.h>

#include <cmocka.h>

#include "userspace/ctl/flowlog_inner.h"

/* ---- the file ---- */

static char folder[] = "/tmp/test_flowlog.XXXXXX";

static void in(const char *name, char ret[64])
{
	snprintf(ret, 64, "%s/%s", folder, name);
}

static off_t size_of(const char *name)
{
	struct stat st;
	char path[64];

	in(name, path);
	return stat(path, &st) ? -1 : st.st_size;
}

static struct flowlog_file file_at(const char *name, uint64_t rotate, uint32_t keep)
{
	struct flowlog_file f = {.rotate = rotate, .keep = keep, .fd = -1};

	snprintf(f.path, sizeof(f.path), "%s/%s", folder, name);
	return f;
}

static void test_rotation(void **state)
{
	struct flowlog_file f = file_at("a/log", 100, 2);
	char line[31] = "..............................";

	(void)state;
	line[29] = '\n';
	assert_int_equal(flowlog_file_append(&f, line, 30), -EBADF);
	assert_int_equal(flowlog_file_open(&f), 0); /* the folder was made, too */
	for (int i = 0; i < 10; i++)
		assert_int_equal(flowlog_file_append(&f, line, 30), 0);
	assert_int_equal(size_of("a/log"), 30);
	assert_int_equal(size_of("a/log.1"), 90);
	assert_int_equal(size_of("a/log.2"), 90);
	assert_int_equal(size_of("a/log.3"), -1);
	f.keep = 0;
	for (int i = 0; i < 3; i++)
		assert_int_equal(flowlog_file_append(&f, line, 30), 0);
	assert_int_equal(size_of("a/log"), 30);
	flowlog_file_close(&f);
}

static void test_moved_and_cut_by_others(void **state)
{
	struct flowlog_file f = file_at("b", 1000, 2);
	char path[64], other[64];

	(void)state;
	in("b", path);
	in("b.old", other);
	assert_int_equal(flowlog_file_open(&f), 0);
	assert_int_equal(flowlog_file_append(&f, "one\n", 4), 0);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(flowlog_file_append(&f, "two\n", 4), 0); /* into what it was */
	assert_int_equal(size_of("b.old"), 8);
	assert_int_equal(flowlog_file_open(&f), 0);
	assert_int_equal(flowlog_file_append(&f, "three\n", 6), 0);
	assert_int_equal(size_of("b"), 6);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(flowlog_file_open(&f), 0);
	assert_int_equal(flowlog_file_append(&f, "four\n", 5), 0);
	assert_int_equal(size_of("b"), 5);
	flowlog_file_close(&f);
	/* What a crash tore is a line of its own. */
	assert_int_equal(truncate(path, 3), 0);
	assert_int_equal(flowlog_file_open(&f), 0);
	assert_int_equal(flowlog_file_append(&f, "five\n", 5), 0);
	assert_int_equal(size_of("b"), 9);
	flowlog_file_close(&f);
}

/* Half a line is taken back. */
static void test_full_disk(void **state)
{
	struct rlimit was, small;
	struct flowlog_file f = file_at("c", 1000, 2);

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = was;
	small.rlim_cur = 6;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(flowlog_file_open(&f), 0);
	assert_int_equal(flowlog_file_append(&f, "one\n", 4), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(flowlog_file_append(&f, "two\n", 4), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(size_of("c"), 4);
	assert_non_null(strstr(f.why, "File too large"));
	assert_int_equal(flowlog_file_append(&f, "three\n", 6), 0);
	assert_int_equal(size_of("c"), 10);
	assert_int_equal(f.failed, 0);
	flowlog_file_close(&f);
}

static void test_unsafe_places(void **state)
{
	struct flowlog_file f = file_at("d", 1000, 2);
	char path[64], target[64];

	(void)state;
	in("d", path);
	in("target", target);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(flowlog_file_open(&f), -ELOOP);
	assert_int_equal(size_of("target"), -1);
	unlink(path);
	assert_int_equal(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)), 0);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(flowlog_file_open(&f), -EPERM);
	assert_non_null(strstr(f.why, "can be read by others"));
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(chmod(folder, 0777), 0);
	assert_int_equal(flowlog_file_open(&f), -EPERM);
	assert_non_null(strstr(f.why, "can be written by everybody"));
	assert_int_equal(chmod(folder, 0700), 0);
	assert_int_equal(flowlog_file_open(&f), 0);
	flowlog_file_close(&f);
}

/* ---- what is remembered ---- */

static void test_places(void **state)
{
	uint32_t put[3] = {7, 8, 9}, got[3], zero[3] = {0};
	struct flowlog_places p;
	bool fresh;
	char path[64];

	(void)state;
	in("places", path);
	assert_int_equal(flowlog_places_open(&p, path, &fresh), 0);
	assert_true(fresh);
	assert_int_equal(flowlog_places_begin(&p, 5, 40000), 0);
	assert_int_equal(flowlog_places_known(&p, 5, 77), 0);
	assert_int_equal(flowlog_places_write(&p, 5, 39997, 3, put), 0);
	flowlog_places_close(&p, false);
	/* the next process */
	assert_int_equal(flowlog_places_open(&p, path, &fresh), 0);
	assert_false(fresh);
	assert_int_equal(p.map[5], 77);
	assert_int_equal(flowlog_places_read(&p, 5, 39997, 3, got), 0);
	assert_memory_equal(got, put, sizeof(put));
	/* another array: nothing of it is logged */
	assert_int_equal(flowlog_places_begin(&p, 5, 65536), 0);
	assert_int_equal(p.map[5], 0);
	assert_int_equal(flowlog_places_read(&p, 5, 39997, 3, got), 0);
	assert_memory_equal(got, zero, sizeof(zero));
	assert_int_equal(flowlog_places_begin(&p, 5, 65537), -EFBIG);
	flowlog_places_close(&p, true);
	assert_int_equal(size_of("places"), -1);
	/* one that is damaged, or another boot's, counts for nothing */
	assert_int_equal(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	assert_int_equal(flowlog_places_open(&p, path, &fresh), 0);
	assert_true(fresh);
	flowlog_places_close(&p, true);
	/* without a file, memory does */
	assert_int_equal(flowlog_places_open(&p, "/nowhere/places", &fresh), 1);
	assert_int_equal(flowlog_places_begin(&p, 5, 10), 0);
	flowlog_places_close(&p, false);
}

/* ---- what is due ---- */

static void test_due(void **state)
{
	static struct flowlog_watched w = {.count = 5000};
	uint32_t n = 0;

	(void)state;
	assert_int_equal(flowlog_due(&w, 0, &n), 5000);
	w.step[1].hot = 1;
	w.step[2].unfinished = 3;
	w.step[9].hot = 2; /* 4608 to 4999 */
	assert_int_equal(flowlog_due(&w, 0, &n), 512);
	assert_int_equal(n, 1024);
	assert_int_equal(flowlog_due(&w, 1024, &n), 1024);
	assert_int_equal(n, 512);
	assert_int_equal(flowlog_due(&w, 1536, &n), 4608);
	assert_int_equal(n, 392);
	assert_int_equal(flowlog_due(&w, 5000, &n), 5000);
	w.leaving = true;
	assert_int_equal(flowlog_due(&w, 0, &n), 0);
	assert_int_equal(n, FLOWLOG_WINDOW);
}

/* Wherever the hand of a shard went, as flow_take_of_shard moves it, a look is due, and not much
 * beside it. */
static void test_marks(void **state)
{
	static struct flowlog_watched w;
	uint32_t random = 1, due;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		uint32_t members, from, size, hand, moved, shard;

		random = random * 1664525u + 1013904223u;
		memset(&w, 0, sizeof(w));
		w.t.ports = w.count = 1 + (random >> 8) % 65535;
		w.t.stride = (uint16_t)(1 + (random >> 4) % 3);
		w.t.phase = (uint16_t)(w.t.stride > 1 && w.t.ports > 3 ? (random >> 3) % w.t.stride
								       : 0);
		w.t.shards = (uint8_t)(1 + (random >> 5) % 4);
		members = (w.t.ports - w.t.phase + w.t.stride - 1) / w.t.stride;
		shard = (random >> 9) % w.t.shards;
		from = shard * members / w.t.shards;
		size = (shard + 1) * members / w.t.shards - from;
		hand = random;
		moved = round % 10 ? (random >> 7) % 300 : (random >> 7) % 70000;
		flowlog_mark(&w, shard, hand, moved);
		for (uint32_t k = 0; size && k < moved && k < size; k++) {
			uint32_t index = w.t.phase + (from + (hand + k) % size) * w.t.stride;

			assert_in_range(index, 0, w.count - 1);
			assert_true(w.step[index / FLOWLOG_STEP].hot);
		}
		due = 0;
		for (size_t i = 0; i < sizeof(w.step) / sizeof(*w.step); i++)
			due += w.step[i].hot > 0;
		assert_in_range(due, 0, moved * w.t.stride / FLOWLOG_STEP + 4);
	}
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rotation),  cmocka_unit_test(test_moved_and_cut_by_others),
		cmocka_unit_test(test_full_disk), cmocka_unit_test(test_unsafe_places),
		cmocka_unit_test(test_places),	  cmocka_unit_test(test_due),
		cmocka_unit_test(test_marks),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
