/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_charon.c - charon.h against a charon that is played: slow, hostile, gone
 *
 * Each fake charon is a child process that accepts one connection and plays one part.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/charon_parts.h"

static char folder[] = "/tmp/test_charon.XXXXXX";
static char why[512];

typedef void (*part)(int fd);

static pid_t fake;
static char path[108];

static size_t take_packet(int fd, uint8_t *to, size_t room)
{
	uint8_t head[4];
	size_t size;

	if (recv(fd, head, 4, MSG_WAITALL) != 4)
		_exit(0);
	size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (size > room || recv(fd, to, size, MSG_WAITALL) != (ssize_t)size)
		_exit(1);
	return size;
}

static void give(int fd, const void *data, size_t size)
{
	if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
		_exit(0);
}

static void give_packet(int fd, struct vici_message *m)
{
	const uint8_t head[4] = {(uint8_t)(m->size >> 24), (uint8_t)(m->size >> 16),
				 (uint8_t)(m->size >> 8), (uint8_t)m->size};

	give(fd, head, 4);
	give(fd, m->data, m->size);
	vici_free(m);
}

static void give_type(int fd, enum vici_packet type)
{
	struct vici_message m;

	vici_begin(&m, type, NULL);
	give_packet(fd, &m);
}

static void give_answer(int fd, const char *error)
{
	struct vici_message m;

	vici_begin(&m, VICI_CMD_RESPONSE, NULL);
	vici_text(&m, "success", "%s", error ? "no" : "yes");
	if (error)
		vici_text(&m, "errmsg", "%s", error);
	give_packet(fd, &m);
}

static void give_updown(int fd, const char *name, bool up)
{
	struct vici_message m;

	vici_begin(&m, VICI_EVENT, "ike-updown");
	if (up)
		vici_text(&m, "up", "yes");
	vici_section(&m, name);
	vici_text(&m, "state", "ESTABLISHED");
	vici_section_end(&m);
	give_packet(fd, &m);
}

static void give_sa(int fd, const char *name)
{
	struct vici_message m;

	write_sa(&m, name, 1);
	give_packet(fd, &m);
}

/* The next request that is no registration; those are confirmed. */
static void take_request(int fd, char name[64])
{
	static uint8_t data[VICI_MAX];
	struct vici_reader r;

	for (;;) {
		size_t size = take_packet(fd, data, sizeof(data));

		if (vici_open(&r, data, size))
			_exit(1);
		if (r.type == VICI_CMD_REQUEST)
			break;
		give_type(fd, VICI_EVENT_CONFIRM);
	}
	memcpy(name, r.name, 64);
}

static void play(part p)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	snprintf(path, sizeof(path), "%s/vici", folder);
	unlink(path);
	memcpy(a.sun_path, path, sizeof(path));
	assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s, 1), 0);
	fake = fork();
	assert_true(fake >= 0);
	if (!fake) {
		fd = accept(s, NULL, NULL);
		p(fd);
		_exit(0);
	}
	close(s);
}

static struct charon *meet(part p)
{
	struct charon *c = NULL;

	play(p);
	assert_int_equal(charon_open(path, &c, why, sizeof(why)), 0);
	return c;
}

static void leave(struct charon *c)
{
	int status;

	charon_close(c);
	kill(fake, SIGKILL);
	waitpid(fake, &status, 0);
	/* what it could not do it says with 1 */
	assert_false(WIFEXITED(status) && WEXITSTATUS(status));
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int list(struct charon *c, const char *name, struct charon_sa *sa, unsigned int max)
{
	return charon_list(c, name, sa, max, why, sizeof(why));
}

static void answers_with_events_between(int fd)
{
	char name[64];

	take_request(fd, name);
	if (strcmp(name, "list-sas"))
		_exit(1);
	give_updown(fd, "first", true);
	give_sa(fd, "one");
	give_updown(fd, "second", false);
	give_sa(fd, "two");
	give_sa(fd, "three");
	give_answer(fd, NULL);
	take_request(fd, name);
}

static void test_events_amid_an_answer_are_kept(void **state)
{
	struct charon *c = meet(answers_with_events_between);
	struct charon_sa sa[2];
	struct charon_event e;

	(void)state;
	assert_int_equal(charon_follow(c), 0);
	assert_int_equal(list(c, "", sa, 2), 2);
	assert_string_equal(sa[0].name, "one");
	assert_string_equal(sa[1].name, "two");
	assert_int_equal(charon_event(c, &e), 1);
	assert_string_equal(e.kind, "ike-updown");
	assert_string_equal(e.name, "first");
	assert_true(e.up);
	assert_int_equal(charon_event(c, &e), 1);
	assert_string_equal(e.name, "second");
	assert_false(e.up);
	assert_int_equal(charon_event(c, &e), 0);
	leave(c);
}

static void sends_many_events(int fd)
{
	char name[64];

	take_request(fd, name);
	for (int i = 0; i < 100; i++)
		give_updown(fd, "t", true);
	give_answer(fd, NULL);
	take_request(fd, name);
}

static void test_lost_events_are_said_once(void **state)
{
	struct charon *c = meet(sends_many_events);
	struct charon_sa sa;
	struct charon_event e;
	int n = 0;

	(void)state;
	assert_int_equal(charon_follow(c), 0);
	assert_int_equal(list(c, "t", &sa, 1), 0);
	assert_int_equal(charon_event(c, &e), -ENOBUFS);
	while (charon_event(c, &e) == 1)
		n++;
	assert_int_equal(n, 64);
	assert_int_equal(charon_event(c, &e), 0);
	leave(c);
}

static void sends_an_event_in_two(int fd)
{
	struct vici_message m;
	uint8_t bytes[256] = {0};

	for (int i = 0; i < 4; i++) {
		take_packet(fd, bytes, sizeof(bytes));
		give_type(fd, VICI_EVENT_CONFIRM);
	}
	vici_begin(&m, VICI_EVENT, "child-rekey");
	vici_section(&m, "t");
	vici_section_end(&m);
	bytes[0] = bytes[1] = bytes[2] = 0;
	bytes[3] = (uint8_t)m.size;
	memcpy(bytes + 4, m.data, m.size);
	give(fd, bytes, 7);
	usleep(200000);
	give(fd, bytes + 7, m.size - 3);
	vici_free(&m);
	usleep(100000);
}

static void test_an_event_is_given_when_it_is_whole(void **state)
{
	struct charon *c = meet(sends_an_event_in_two);
	struct charon_event e;
	struct pollfd p = {.fd = charon_fd(c), .events = POLLIN};
	int n;

	(void)state;
	assert_int_equal(charon_follow(c), 0);
	assert_int_equal(poll(&p, 1, 1000), 1);
	assert_int_equal(charon_event(c, &e), 0);
	while (!(n = charon_event(c, &e)))
		poll(&p, 1, 1000);
	assert_int_equal(n, 1);
	assert_string_equal(e.kind, "child-rekey");
	assert_true(e.up);
	while (!(n = charon_event(c, &e)))
		poll(&p, 1, 1000);
	assert_int_equal(n, -ECONNRESET);
	assert_int_equal(charon_event(c, &e), -ECONNRESET);
	leave(c);
}

static void refuses(int fd)
{
	char name[64];

	take_request(fd, name);
	give_answer(fd, "no \x1b[31mway\n");
	take_request(fd, name);
	give_type(fd, VICI_CMD_UNKNOWN);
	take_request(fd, name);
	give_answer(fd, "no matching SAs to rekey found");
	take_request(fd, name);
}

static void test_a_refusal_is_told_in_clean_words(void **state)
{
	struct charon *c = meet(refuses);

	(void)state;
	assert_int_equal(charon_rekey(c, "t", why, sizeof(why)), -EREMOTEIO);
	assert_string_equal(why, "charon says: no ?[31mway?");
	assert_int_equal(charon_rekey(c, "t", why, sizeof(why)), -EOPNOTSUPP);
	assert_int_equal(charon_rekey(c, "t", why, sizeof(why)), -ENOENT);
	leave(c);
}

static void does_not_start(int fd)
{
	struct vici_message m;
	char name[64];

	take_request(fd, name);
	give_answer(fd, NULL);
	take_request(fd, name);
	for (int i = 0; i < 3; i++) {
		static const char *const lines[] = {"sending packet", "received X notify error",
						    "destroying IKE_SA"};

		vici_begin(&m, VICI_EVENT, "control-log");
		vici_text(&m, "msg", "%s", lines[i]);
		give_packet(fd, &m);
	}
	give_answer(fd, "establishing CHILD_SA 't' failed");
	take_request(fd, name);
	give_answer(fd, NULL);
	take_request(fd, name);
	give_answer(fd, "CHILD_SA 't' not established after 9ms");
	take_request(fd, name);
}

static void test_why_it_did_not_start_is_told(void **state)
{
	struct charon *c = meet(does_not_start);

	(void)state;
	assert_int_equal(charon_initiate(c, "t", 9000000, why, sizeof(why)), -ECONNABORTED);
	assert_string_equal(why, "establishing CHILD_SA 't' failed: received X notify error");
	assert_int_equal(charon_initiate(c, "t", 9000000, why, sizeof(why)), -ETIMEDOUT);
	leave(c);
}

static void sends_too_large(int fd)
{
	char name[64];

	take_request(fd, name);
	give(fd, "\x00\x08\x00\x01\x01", 5);
	take_request(fd, name);
}

static void sends_nothing_at_all(int fd)
{
	char name[64];

	take_request(fd, name);
	give(fd, "\x00\x00\x00\x00", 4);
	take_request(fd, name);
}

static void sends_half(int fd)
{
	char name[64];

	take_request(fd, name);
	give(fd, "\x00\x00\x00\x10\x01\x03", 6);
}

static void sends_another_answer(int fd)
{
	char name[64];

	take_request(fd, name);
	give_type(fd, VICI_EVENT_CONFIRM);
	take_request(fd, name);
}

static void sends_wrong_sa(int fd)
{
	struct vici_message m;
	char name[64];

	take_request(fd, name);
	vici_begin(&m, VICI_EVENT, "list-sa");
	vici_section(&m, "t");
	give_packet(fd, &m);
	give_answer(fd, NULL);
	take_request(fd, name);
}

static void sends_for_ever(int fd)
{
	char name[64];

	take_request(fd, name);
	for (;;)
		give_sa(fd, "t");
}

static void test_what_is_no_vici_spoils_the_connection(void **state)
{
	static const struct {
		part p;
		int want;
	} cases[] = {
		{sends_too_large, -E2BIG},  {sends_nothing_at_all, -EBADMSG},
		{sends_half, -ECONNRESET},  {sends_another_answer, -EBADMSG},
		{sends_wrong_sa, -EBADMSG}, {sends_for_ever, -E2BIG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct charon *c = meet(cases[i].p);
		struct charon_sa sa = {.name = "untouched"};
		int n = list(c, "", &sa, 0);

		if (n != cases[i].want)
			fail_msg("case %zu: %d", i, n);
		assert_true(why[0]);
		assert_string_equal(sa.name, "untouched");
		assert_int_equal(list(c, "", &sa, 0), -ENOTCONN);
		leave(c);
	}
}

static void is_slow(int fd)
{
	char name[64];

	take_request(fd, name);
	give(fd, "\x00\x00\x01\x00\x01", 5);
	for (;;) {
		usleep(100000);
		give(fd, "\x02", 1);
	}
}

static void test_a_slow_charon_does_not_stretch_the_limit(void **state)
{
	struct charon *c = meet(is_slow);
	struct charon_sa sa;
	uint64_t t0 = now_ms();

	(void)state;
	assert_int_equal(list(c, "", &sa, 1), -ETIMEDOUT);
	assert_in_range(now_ms() - t0, 4900, 6500);
	leave(c);
}

static void shows_what_it_gets(int fd)
{
	static uint8_t data[VICI_MAX];
	struct vici_reader r;
	size_t size;
	FILE *to;
	char name[80];

	for (;;) {
		size = take_packet(fd, data, sizeof(data));
		if (vici_open(&r, data, size))
			_exit(1);
		if (r.type != VICI_CMD_REQUEST) {
			give_type(fd, VICI_EVENT_CONFIRM);
			continue;
		}
		snprintf(name, sizeof(name), "%s/%.40s", folder, r.name);
		to = fopen(name, "we");
		if (!to || fwrite(data, size, 1, to) != 1 || fclose(to))
			_exit(1);
		give_answer(fd, !strcmp(r.name, "load-conn") ? "not this one" : NULL);
	}
}

static void got(const char *request, char *ret, size_t size)
{
	static uint8_t data[VICI_MAX];
	struct vici_message m = {.data = data};
	char name[128];
	FILE *from;

	snprintf(name, sizeof(name), "%s/%s", folder, request);
	from = fopen(name, "re");
	assert_non_null(from);
	m.size = fread(data, 1, sizeof(data), from);
	fclose(from);
	unlink(name);
	flat(&m, ret, size);
}

static void put_psk(const char *text)
{
	char name[128];
	FILE *to;

	snprintf(name, sizeof(name), "%s/psk", folder);
	to = fopen(name, "we");
	assert_non_null(to);
	fputs(text, to);
	fclose(to);
	chmod(name, 0600);
}

static void test_a_secret_goes_to_charon_and_nowhere_else(void **state)
{
	struct charon *c = meet(shows_what_it_gets);
	struct conf_tunnel *t = tunnel(folder);
	char text[2048];

	(void)state;
	put_psk("0x68757368\n");
	assert_int_equal(charon_load(c, t, "aws", 95, why, sizeof(why)), -EREMOTEIO);
	assert_string_equal(why, "charon says: not this one");
	got("load-shared", text, sizeof(text));
	assert_string_equal(text,
			    "id=shift-aws type=IKE data=hush owners[ 198.18.95.1 vpn.test ] ");
	put_psk("hush\nhush\n");
	assert_int_equal(charon_load(c, t, "aws", 95, why, sizeof(why)), -EINVAL);
	assert_null(strstr(why, "hush"));
	assert_int_equal(charon_unload(c, "aws", why, sizeof(why)), 0);
	got("unload-shared", text, sizeof(text));
	assert_string_equal(text, "id=shift-aws ");
	got("unload-conn", text, sizeof(text));
	assert_string_equal(text, "name=aws ");
	free(t);
	leave(c);
}

static void test_a_tunnel_that_would_take_everything_is_refused(void **state)
{
	struct charon *c = meet(shows_what_it_gets);
	struct conf_tunnel *t = tunnel(folder);

	(void)state;
	put_psk("good\n");
	assert_int_equal(charon_load(c, t, "aws", 0, why, sizeof(why)), -EINVAL);
	t->ike.psk_file[0] = '\0';
	assert_int_equal(charon_load(c, t, "aws", 95, why, sizeof(why)), -EINVAL);
	t->ike.remote[0] = '\0';
	assert_int_equal(charon_load(c, t, "aws", 95, why, sizeof(why)), -EINVAL);
	free(t);
	leave(c);
}

static void test_nobody_there_is_said_in_words(void **state)
{
	char name[300];
	struct charon *c = NULL;

	(void)state;
	snprintf(name, sizeof(name), "%s/nothing", folder);
	assert_int_equal(charon_open(name, &c, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "charon does not run"));
	leave(meet(refuses)); /* its socket stays */
	assert_int_equal(charon_open(path, &c, why, sizeof(why)), -ECONNREFUSED);
	assert_non_null(strstr(why, "charon does not run"));
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(charon_open(name, &c, why, sizeof(why)), -ENAMETOOLONG);
	assert_null(c);
	charon_close(NULL);
}

static void test_a_strangers_socket_gets_no_secret(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct charon *c = NULL;
	int s, ready[2], status;
	char byte;

	(void)state;
	if (geteuid())
		skip();
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/stranger", folder);
	assert_int_equal(pipe(ready), 0);
	fake = fork();
	if (!fake) {
		s = socket(AF_UNIX, SOCK_STREAM, 0);
		if (bind(s, (struct sockaddr *)&a, sizeof(a)) || setuid(65534) || listen(s, 1) ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(charon_open(a.sun_path, &c, why, sizeof(why)), -EPERM);
	assert_null(c);
	kill(fake, SIGKILL);
	waitpid(fake, &status, 0);
	close(ready[0]);
	close(ready[1]);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int clean_up(void **state)
{
	static const char *const names[] = {"vici",	   "psk",	 "stranger",   "load-conn",
					    "load-shared", "list-conns", "unload-conn"};
	char name[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(name, sizeof(name), "%s/%s", folder, names[i]);
		unlink(name);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events_amid_an_answer_are_kept),
		cmocka_unit_test(test_lost_events_are_said_once),
		cmocka_unit_test(test_an_event_is_given_when_it_is_whole),
		cmocka_unit_test(test_a_refusal_is_told_in_clean_words),
		cmocka_unit_test(test_why_it_did_not_start_is_told),
		cmocka_unit_test(test_what_is_no_vici_spoils_the_connection),
		cmocka_unit_test(test_a_slow_charon_does_not_stretch_the_limit),
		cmocka_unit_test(test_a_secret_goes_to_charon_and_nowhere_else),
		cmocka_unit_test(test_a_tunnel_that_would_take_everything_is_refused),
		cmocka_unit_test(test_nobody_there_is_said_in_words),
		cmocka_unit_test(test_a_strangers_socket_gets_no_secret),
	};

	return cmocka_run_group_tests(tests, set_up, clean_up);
}
