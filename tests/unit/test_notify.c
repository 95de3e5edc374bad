/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/base/notify.h"

static char folder[] = "/tmp/test_notify.XXXXXX";
static char heard[1024];

/* A manager's socket at `name`, '@' for the abstract kind. */
static int manager(const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, name, n);
	if (name[0] == '@')
		a.sun_path[0] = '\0';
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static const char *hear(int fd)
{
	ssize_t n = recv(fd, heard, sizeof(heard) - 1, 0);

	heard[n > 0 ? n : 0] = '\0';
	return heard;
}

static void all_is_said(int fd)
{
	unsigned long long said, now;
	struct timespec t;

	assert_int_equal(notify_ready(NULL), 1);
	assert_string_equal(hear(fd), "READY=1");
	assert_int_equal(notify_ready("watching 4 tunnels"), 1);
	assert_string_equal(hear(fd), "READY=1\nSTATUS=watching 4 tunnels");
	assert_int_equal(notify_status("aws: down"), 1);
	assert_string_equal(hear(fd), "STATUS=aws: down");
	assert_int_equal(notify_watchdog(), 1);
	assert_string_equal(hear(fd), "WATCHDOG=1");
	assert_int_equal(notify_stopping(), 1);
	assert_string_equal(hear(fd), "STOPPING=1");
	assert_int_equal(notify_reloading(), 1);
	assert_int_equal(sscanf(hear(fd), "RELOADING=1\nMONOTONIC_USEC=%llu", &said), 1);
	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000;
	assert_true(said <= now && now - said < 5000000);
}

static void it_is_said_to_a_path(void **state)
{
	char name[64];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "%s/notify", folder);
	fd = manager(name);
	all_is_said(fd);
	close(fd);
	assert_int_equal(notify_watchdog(), -ECONNREFUSED);
	unlink(name);
	assert_int_equal(notify_watchdog(), -ENOENT);
}

static void it_is_said_to_an_abstract_name(void **state)
{
	char name[64];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@shift/test_notify/%d", (int)getpid());
	fd = manager(name);
	all_is_said(fd);
	close(fd);
	assert_int_equal(notify_ready(NULL), -ECONNREFUSED);
}

static void a_status_is_one_line(void **state)
{
	char name[64], longest[2000];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@shift/test_notify/%d", (int)getpid());
	fd = manager(name);
	assert_int_equal(notify_status("down\nSTOPPING=1\t!"), 1);
	assert_string_equal(hear(fd), "STATUS=down STOPPING=1 !");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(notify_ready(longest), 1);
	assert_int_equal(strlen(hear(fd)), 511);
	assert_memory_equal(heard, "READY=1\nSTATUS=xxx", 18);
	close(fd);
}

static void without_a_socket_nothing_is_said(void **state)
{
	char name[200];

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_ready("x"), 0);
	assert_int_equal(notify_reloading(), 0);
	setenv("NOTIFY_SOCKET", "", 1);
	assert_int_equal(notify_watchdog(), 0);
	setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
	assert_int_equal(notify_watchdog(), -EAFNOSUPPORT);
	setenv("NOTIFY_SOCKET", "@", 1);
	assert_int_equal(notify_watchdog(), -EAFNOSUPPORT);
	memset(name, '/', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	assert_int_equal(notify_watchdog(), -ENAMETOOLONG);
}

/* A manager that does not read must not hold the daemon up for ever. */
static void a_deaf_manager_does_not_hold_us_up(void **state)
{
	char name[64];
	int fd, err = 1;

	(void)state;
	snprintf(name, sizeof(name), "@shift/test_notify/%d", (int)getpid());
	fd = manager(name);
	alarm(30);
	for (int i = 0; i < 100000 && err == 1; i++)
		err = notify_watchdog();
	alarm(0);
	assert_int_equal(err, -EAGAIN);
	close(fd);
}

static uint64_t watchdog(const char *us, const char *pid)
{
	setenv("WATCHDOG_USEC", us, 1);
	if (pid)
		setenv("WATCHDOG_PID", pid, 1);
	else
		unsetenv("WATCHDOG_PID");
	return notify_watchdog_ns();
}

static void the_watchdog_is_ours_when_it_names_us(void **state)
{
	char me[16];

	(void)state;
	snprintf(me, sizeof(me), "%d", (int)getpid());
	assert_int_equal(watchdog("30000000", me), 30000000000);
	assert_int_equal(watchdog("30000000", NULL), 30000000000);
	assert_int_equal(watchdog("30000000", "1"), 0);
	assert_int_equal(watchdog("30000000", ""), 0);
	assert_int_equal(watchdog("", me), 0);
	assert_int_equal(watchdog("0", me), 0);
	assert_int_equal(watchdog("-1", me), 0);
	assert_int_equal(watchdog("30s", me), 0);
	assert_int_equal(watchdog("99999999999999999999", me), 0);
	assert_int_equal(watchdog("18446744073709551615", me), 0);
	unsetenv("WATCHDOG_USEC");
	assert_int_equal(notify_watchdog_ns(), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_said_to_a_path),
		cmocka_unit_test(it_is_said_to_an_abstract_name),
		cmocka_unit_test(a_status_is_one_line),
		cmocka_unit_test(without_a_socket_nothing_is_said),
		cmocka_unit_test(a_deaf_manager_does_not_hold_us_up),
		cmocka_unit_test(the_watchdog_is_ours_when_it_names_us),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
