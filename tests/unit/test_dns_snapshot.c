/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "dns/snapshot.h"
#include "userspace/base/whole.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static char root[64], dir[128];
static struct dns_snapshot s, back;

static int make_root(void **state)
{
	(void)state;
	strcpy(root, "/tmp/shift-snapshot.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	snprintf(dir, sizeof(dir), "%s/a/dns", root);
	return 0;
}

static int remove_root(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf -- '%s'", root);
	return system(command);
}

static void fill(const char *name)
{
	struct dns_snapshot_type *t = &s.type[0];

	memset(&s, 0, sizeof(s));
	snprintf(s.name, sizeof(s.name), "%s", name);
	strcpy(s.provider, "route53");
	strcpy(s.verb, "cutover");
	strcpy(s.who, "alice \"the\" \xc3\xa4");
	s.began = 1700000000;
	for (int i = 0; i < 2; i++) {
		struct dns_rrset *r = i ? &t->fresh : &t->old;

		snprintf(r->name, sizeof(r->name), "%s", name);
		r->type = DNS_A;
		r->ttl = i ? 60 : 300;
		for (r->n = 0; r->n < (i ? DNS_MAX_MEMBERS : 1u); r->n++) {
			struct dns_member *m = &r->member[r->n];

			snprintf(m->data, sizeof(m->data), "198.51.100.%u", 100 + r->n);
			m->weighted = i;
			m->weight = (uint16_t)(i ? r->n : 0);
			m->proxied = !i;
			if (i)
				memcpy(m->set_id, m->data, sizeof(m->data));
			snprintf(m->id, sizeof(m->id), "id-%u", r->n);
			snprintf(m->health_check, sizeof(m->health_check), i ? "hc" : "");
		}
	}
	strcpy(t->old.version, "\"etag\"");
	strcpy(t->id, "C123");
	strcpy(t->why, "because");
	t->step = DNS_STEP_BEGUN;
	t->at = 1700000001;
}

static void what_is_saved_is_loaded(void **state)
{
	static const char *const names[] = {"www.example.",	    ".",
					    "*.example.",	    "_a-b.example.",
					    "a\\/b\\032c.example.", "..\\/..\\/etc."};

	(void)state;
	assert_int_equal(dns_snapshot_load(dir, "www.example.", &back), -ENOENT);
	for (size_t i = 0; i < COUNT(names); i++) {
		fill(names[i]);
		assert_int_equal(dns_snapshot_save(dir, &s), 0);
	}
	for (size_t i = 0; i < COUNT(names); i++) {
		char path[512];
		struct stat st;

		fill(names[i]);
		memset(&back, 0xff, sizeof(back));
		assert_int_equal(dns_snapshot_load(dir, names[i], &back), 0);
		assert_memory_equal(&s, &back, sizeof(s));
		dns_snapshot_path(dir, names[i], path, sizeof(path));
		assert_null(strchr(path + strlen(dir) + 1, '/'));
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
}

static void every_step_survives(void **state)
{
	(void)state;
	for (int step = DNS_STEP_NONE; step <= DNS_STEP_BACK; step++) {
		fill("step.example.");
		s.type[0].step = (enum dns_step)step;
		assert_int_equal(dns_snapshot_save(dir, &s), 0);
		assert_int_equal(dns_snapshot_load(dir, s.name, &back), 0);
		assert_int_equal(back.type[0].step, step);
		assert_int_equal(back.type[1].step, DNS_STEP_NONE);
	}
}

static void a_damaged_one_is_not_believed(void **state)
{
	static const char *const wrong[] = {
		"", "{}", "[]", "null", "{\"schema\":1,\"name\":\"other.example.\"}",
	};
	char path[512], *text;
	unsigned int tried = 0;
	size_t size;

	(void)state;
	fill("cut.example.");
	s.type[0].fresh.n = 1;
	assert_int_equal(dns_snapshot_save(dir, &s), 0);
	dns_snapshot_path(dir, s.name, path, sizeof(path));
	assert_int_equal(whole_read(path, 1 << 20, &text, &size), 0);
	for (size_t n = 0; n < size; n++) {
		assert_int_equal(whole_write(path, text, n, 0600), 0);
		assert_int_equal(dns_snapshot_load(dir, s.name, &back), -EBADMSG);
		assert_int_equal(back.name[0], 0);
		n += 6;
	}
	for (size_t i = 0; i < COUNT(wrong); i++) {
		assert_int_equal(whole_write(path, wrong[i], strlen(wrong[i]), 0600), 0);
		assert_int_equal(dns_snapshot_load(dir, s.name, &back), -EBADMSG);
	}
	/* one value at a time */
	for (char *p = strchr(text, ':'); p; p = strchr(p + 1, ':')) {
		char kept = p[2];

		if ((kept != '"' && (kept < '0' || kept > '9')) ||
		    (kept != '"' && strspn(p + 3, "0") == 1 && p[4] == ',')) /* −0 is 0 */
			continue;
		p[2] = kept == '"' ? '7' : '-';
		assert_int_equal(whole_write(path, text, size, 0600), 0);
		assert_int_equal(dns_snapshot_load(dir, s.name, &back), -EBADMSG);
		p[2] = kept;
	}
	assert_int_equal(whole_write(path, text, size, 0600), 0);
	assert_int_equal(dns_snapshot_load(dir, s.name, &back), 0);
	/* what is no address of the type is nowhere to go back to */
	for (char *p = strstr(text, "\"data\": \""); p; p = strstr(p + 1, "\"data\": \"")) {
		char kept = p[9];

		p[9] = ':';
		assert_int_equal(whole_write(path, text, size, 0600), 0);
		assert_int_equal(dns_snapshot_load(dir, s.name, &back), -EBADMSG);
		p[9] = kept;
		tried++;
	}
	assert_true(tried > 1);
	free(text);
}

static void who_is_killed_while_saving_leaves_one_that_is_whole(void **state)
{
	(void)state;
	fill("killed.example.");
	assert_int_equal(dns_snapshot_save(dir, &s), 0);
	for (int i = 0; i < 20; i++) {
		const struct timespec some = {.tv_nsec = 300000 + i * 170000};
		pid_t child = fork();

		if (!child)
			for (;;) {
				s.began++;
				dns_snapshot_save(dir, &s);
			}
		nanosleep(&some, NULL);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		assert_int_equal(dns_snapshot_load(dir, "killed.example.", &back), 0);
		assert_int_equal(back.type[0].fresh.n, DNS_MAX_MEMBERS);
	}
}

static void a_folder_that_cannot_be_made_is_an_error(void **state)
{
	struct dns_lock_holder h;
	int fd = -1;

	(void)state;
	fill("www.example.");
	assert_true(dns_snapshot_save("/proc/shift/dns", &s) < 0);
	assert_true(dns_change_lock("/proc/shift/dns", "cutover", "alice", &fd, &h) < 0);
	assert_int_equal(fd, -1);
}

static void the_lock_says_who_has_it_and_goes_with_its_process(void **state)
{
	struct dns_lock_holder h;
	int fd = -1, ends[2];
	pid_t child;
	char byte;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (!child) {
		dns_change_lock(dir, "cutover", "alice and bob", &fd, &h);
		if (write(ends[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	assert_int_equal(dns_change_lock(dir, "rollback", "carol", &fd, &h), -EAGAIN);
	assert_string_equal(h.verb, "cutover");
	assert_string_equal(h.who, "alice and bob");
	assert_int_equal(h.pid, child);
	assert_true((uint64_t)time(NULL) - h.since < 10);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(dns_change_lock(dir, "rollback", "carol", &fd, &h), 0);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_saved_is_loaded),
		cmocka_unit_test(every_step_survives),
		cmocka_unit_test(a_damaged_one_is_not_believed),
		cmocka_unit_test(who_is_killed_while_saving_leaves_one_that_is_whole),
		cmocka_unit_test(a_folder_that_cannot_be_made_is_an_error),
		cmocka_unit_test(the_lock_says_who_has_it_and_goes_with_its_process),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
