/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flowlog_file.c - the log's file: appending whole lines, rotation, and another file under its name
 *
 * FILE becomes FILE.1, and so on to FILE.keep, before it would grow beyond `rotate`. Who rotates it
 * himself may rename or remove it at any time: that is seen with the next look, and what was
 * appended until then is in the file that was renamed. Copying and truncating it works, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "userspace/base/file.h"
#include "userspace/ctl/flowlog_inner.h"

#define NUMBERED (CONF_TEXT + 16) /* a name with its number */

static int failed(struct flowlog_file *f, int err, const char *why)
{
	f->failed = err;
	if (why && why[0])
		snprintf(f->why, sizeof(f->why), "%s", why);
	else
		snprintf(f->why, sizeof(f->why), "%s: %s", f->path, strerror(-err));
	return err;
}

void flowlog_file_close(struct flowlog_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* Is it still what its name names? Also learns how long it is, should somebody have cut it. */
static bool is_there(struct flowlog_file *f)
{
	struct stat is, named;

	if (f->fd < 0 || fstat(f->fd, &is) || lstat(f->path, &named) || is.st_dev != named.st_dev ||
	    is.st_ino != named.st_ino)
		return false;
	if ((uint64_t)is.st_size < f->size)
		f->size = (uint64_t)is.st_size;
	return true;
}

/* A line that a crash tore is closed by a line's end. */
static void find_end(struct flowlog_file *f)
{
	struct stat st;
	char last = '\n';

	f->size = fstat(f->fd, &st) ? 0 : (uint64_t)st.st_size;
	f->torn = f->size && pread(f->fd, &last, 1, (off_t)f->size - 1) == 1 && last != '\n';
}

int flowlog_file_open(struct flowlog_file *f)
{
	char why[CONF_TEXT] = "", folder[CONF_TEXT];
	char *slash;

	if (is_there(f))
		return 0;
	flowlog_file_close(f);
	snprintf(folder, sizeof(folder), "%s", f->path);
	slash = strrchr(folder, '/');
	if (slash && slash != folder) {
		*slash = '\0';
		(void)!mkdir(folder, 0700); /* what it is, the next step tells */
	}
	f->fd = file_append_secret(f->path, why, sizeof(why));
	if (f->fd < 0)
		return failed(f, f->fd, why);
	find_end(f);
	f->failed = 0;
	f->why[0] = '\0';
	return 0;
}

static void numbered(const struct flowlog_file *f, uint32_t n, char ret[NUMBERED])
{
	if (n)
		snprintf(ret, NUMBERED, "%s.%u", f->path, n);
	else
		snprintf(ret, NUMBERED, "%s", f->path);
}

/* A file that cannot be renamed is written on. */
static int rotate(struct flowlog_file *f)
{
	char from[NUMBERED], to[NUMBERED];

	if (!f->keep && unlink(f->path))
		return -errno;
	for (uint32_t n = f->keep; n--;) {
		numbered(f, n, from);
		numbered(f, n + 1, to);
		if (rename(from, to) && errno != ENOENT)
			return -errno;
	}
	return flowlog_file_open(f);
}

static int write_all(struct flowlog_file *f, const char *lines, size_t size)
{
	while (size) {
		ssize_t n = write(f->fd, lines, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		lines += n;
		size -= (size_t)n;
	}
	return 0;
}

int flowlog_file_append(struct flowlog_file *f, const char *lines, size_t size)
{
	int err = f->fd < 0 ? -EBADF : 0;

	if (!err && f->size && f->size + size > f->rotate)
		err = rotate(f);
	if (f->fd < 0)
		return failed(f, err ? err : -EBADF, NULL);
	err = 0;
	if (f->torn)
		err = write_all(f, "\n", 1);
	if (!err) {
		f->size += f->torn;
		f->torn = false;
		err = write_all(f, lines, size);
	}
	if (err) { /* what is there of it is taken back */
		f->torn = f->torn || ftruncate(f->fd, (off_t)f->size);
		return failed(f, err, NULL);
	}
	f->size += size;
	f->failed = 0;
	f->why[0] = '\0';
	return 0;
}
