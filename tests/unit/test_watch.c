/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_watch.c - what two programs that watch the same tunnels leave each other on disk
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "wg/watch.h"

struct both {
	struct config config;
	char dir[64];
	struct watch *daemon, *command;
};

static int make(void **state)
{
	struct both *b = calloc(1, sizeof(*b));
	struct conf_tunnel *t = &b->config.tunnels[0];

	assert_non_null(b);
	snprintf(b->dir, sizeof(b->dir), "/tmp/test_watch.XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->config.n_tunnels = 1;
	snprintf(t->name, sizeof(t->name), "none-such");
	t->wireguard.given = true;
	assert_int_equal(watch_open(&b->config, b->dir, &b->daemon), 0);
	assert_int_equal(watch_open(&b->config, b->dir, &b->command), 0);
	*state = b;
	return 0;
}

static int clear(void **state)
{
	static const char *const files[] = {"tunnels.json", "tunnels.lock", "shiftd.lock"};
	struct both *b = *state;
	char path[128];

	watch_close(b->daemon);
	watch_close(b->command);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		snprintf(path, sizeof(path), "%s/%s", b->dir, files[i]);
		unlink(path);
	}
	rmdir(b->dir);
	free(b);
	return 0;
}

static void write_as_command(struct both *b)
{
	assert_int_equal(watch_begin(b->command, 0), 0);
	health_init(&b->command->tunnel[0].health, &b->command->tunnel[0].rules, 5);
	b->command->tunnel[0].health.state = HEALTH_UP;
	failover_pin(&b->command->group[0].failover, 0);
	assert_int_equal(watch_end(b->command, true), 0);
}

static void a_command_pins_and_undoes_nothing_that_shiftd_saw(void **state)
{
	struct both *b = *state;

	b->daemon->stays = true;
	b->daemon->tunnel[0].health.state = HEALTH_DOWN;
	write_as_command(b);
	assert_int_equal(watch_begin(b->daemon, 0), 0);
	assert_int_equal(b->daemon->tunnel[0].health.state, HEALTH_DOWN);
	assert_int_equal(b->daemon->group[0].failover.pinned, 0);
	assert_int_equal(watch_end(b->daemon, false), 0);
}

static void the_next_command_takes_over_all(void **state)
{
	struct both *b = *state;

	write_as_command(b);
	assert_int_equal(watch_begin(b->daemon, 0), 0);
	assert_int_equal(b->daemon->tunnel[0].health.state, HEALTH_UP);
	assert_int_equal(watch_end(b->daemon, false), 0);
}

static void without_the_lock_nothing_is_written(void **state)
{
	struct both *b = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/tunnels.json", b->dir);
	assert_int_equal(watch_begin(b->daemon, 0), 0);
	assert_int_equal(watch_begin(b->command, 0), -EAGAIN);
	assert_int_equal(watch_end(b->command, true), 0);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(watch_end(b->daemon, false), 0);
}

static void one_daemon_at_a_time(void **state)
{
	struct both *b = *state;
	int fd;

	assert_false(watch_daemon_runs(b->dir));
	fd = watch_daemon_lock(b->dir);
	assert_true(fd >= 0);
	assert_true(watch_daemon_runs(b->dir));
	assert_int_equal(watch_daemon_lock(b->dir), -EAGAIN);
	close(fd);
	assert_false(watch_daemon_runs(b->dir));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, clear)
	const struct CMUnitTest tests[] = {
		TEST(a_command_pins_and_undoes_nothing_that_shiftd_saw),
		TEST(the_next_command_takes_over_all),
		TEST(without_the_lock_nothing_is_written),
		TEST(one_daemon_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
