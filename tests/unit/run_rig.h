/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * run_rig.h - scripts in a folder that root may trust, and what is left of their processes
 *
 * A script says where it is by a mark: an argument that no other process has.
 */
#pragma once

#include <dirent.h>
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
#include <unistd.h>

#include <cmocka.h>

static char rig_folder[] = "/tmp/test_run.XXXXXX";
static char rig_mark[64];

static inline int rig_make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(rig_folder))
		return -1;
	snprintf(rig_mark, sizeof(rig_mark), "rig-mark-%d-", getpid());
	return chmod(rig_folder, 0755);
}

static inline const char *rig_path(const char *name)
{
	static char text[8][128];
	static unsigned int next;
	char *ret = text[next++ % 8];

	snprintf(ret, sizeof(text[0]), "%s/%s", rig_folder, name);
	return ret;
}

static inline int rig_remove_folder(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", rig_folder);
	return system(command);
}

static inline const char *rig_file(const char *name, const char *text, mode_t mode)
{
	const char *path = rig_path(name);
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

/* A script of /bin/sh; the body may use $M, the mark. */
static inline const char *rig_script(const char *name, const char *body)
{
	char text[4096];

	snprintf(text, sizeof(text), "#!/bin/sh\nM=%s\n%s\n", rig_mark, body);
	return rig_file(name, text, 0755);
}

/* Processes that live and whose command line has the mark and `what`. */
static inline unsigned int rig_alive(const char *what)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	char mark[128];
	unsigned int n = 0;

	assert_non_null(d);
	snprintf(mark, sizeof(mark), "%s%s", rig_mark, what);
	while ((e = readdir(d))) {
		char path[300], text[4096];
		ssize_t size;
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
		fd = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? open(path, O_RDONLY) : -1;
		if (fd < 0)
			continue;
		size = read(fd, text, sizeof(text));
		close(fd);
		n += size > 0 && memmem(text, (size_t)size, mark, strlen(mark)) != NULL;
	}
	closedir(d);
	return n;
}
