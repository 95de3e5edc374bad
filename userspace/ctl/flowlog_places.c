/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flowlog_places.c - of each port, how many of its flows are logged or counted
 *
 * Four bytes a port, in a file of memory that outlives the process: when the next one begins, it
 * goes on where this one was killed. Read and written by parts, so it takes none of the process's
 * own memory. A target has the room of all ports there are, most of which is a hole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "userspace/base/boot.h"
#include "userspace/ctl/flowlog_inner.h"

#define PORTS 65536

struct header {
	char magic[16];
	char boot[64];
	uint32_t map[SHIFT_MAX_TARGETS];
};

static const char magic[16] = "shift flows 1";

#define FIRST ((off_t)8192)

_Static_assert(sizeof(struct header) <= 8192, "header");

static off_t place(uint32_t target, uint32_t index)
{
	return FIRST + (off_t)(((uint64_t)target * PORTS + index) * sizeof(uint32_t));
}

static int put(int fd, const void *data, size_t size, off_t at)
{
	ssize_t n = pwrite(fd, data, size, at);

	return n == (ssize_t)size ? 0 : n < 0 ? -errno : -ENOSPC;
}

static int open_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid())
		return fd;
	close(fd);
	return -EPERM;
}

int flowlog_places_open(struct flowlog_places *p, const char *path, bool *ret_fresh)
{
	struct header is = {0}, was;
	int stands_in = 0, err;

	memset(p, 0, sizeof(*p));
	snprintf(p->path, sizeof(p->path), "%s", path);
	memcpy(is.magic, magic, sizeof(is.magic));
	boot_id(is.boot);
	p->fd = open_file(path);
	if (p->fd < 0) {
		stands_in = 1;
		p->fd = memfd_create("shift-flows", MFD_CLOEXEC);
		if (p->fd < 0)
			return -errno;
	}
	*ret_fresh = pread(p->fd, &was, sizeof(was), 0) != sizeof(was) ||
		     memcmp(was.magic, is.magic, sizeof(is.magic)) != 0 ||
		     memcmp(was.boot, is.boot, sizeof(is.boot)) != 0 || !is.boot[0];
	if (!*ret_fresh) {
		memcpy(p->map, was.map, sizeof(p->map));
		return stands_in;
	}
	err = ftruncate(p->fd, 0) ? -errno : put(p->fd, &is, sizeof(is), 0);
	if (!err)
		return stands_in;
	close(p->fd);
	p->fd = -1;
	return err;
}

void flowlog_places_close(struct flowlog_places *p, bool forget)
{
	if (p->fd < 0)
		return;
	close(p->fd);
	p->fd = -1;
	if (forget)
		unlink(p->path);
}

/* The room is taken now, so that no later write fails. */
int flowlog_places_begin(struct flowlog_places *p, uint32_t target, uint32_t count)
{
	int err = flowlog_places_known(p, target, 0);

	if (count > PORTS)
		return -EFBIG;
	if (err)
		return err;
	if (fallocate(p->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, place(target, 0),
		      (off_t)(PORTS * sizeof(uint32_t))) ||
	    fallocate(p->fd, 0, place(target, 0), (off_t)(count * sizeof(uint32_t))))
		return -errno;
	return 0;
}

int flowlog_places_known(struct flowlog_places *p, uint32_t target, uint32_t map)
{
	off_t at = (off_t)(offsetof(struct header, map) + target * sizeof(uint32_t));
	int err = put(p->fd, &map, sizeof(map), at);

	if (!err)
		p->map[target] = map;
	return err;
}

int flowlog_places_read(const struct flowlog_places *p, uint32_t target, uint32_t from, uint32_t n,
			uint32_t *ret)
{
	ssize_t got = pread(p->fd, ret, n * sizeof(*ret), place(target, from));

	return got == (ssize_t)(n * sizeof(*ret)) ? 0 : got < 0 ? -errno : -EIO;
}

int flowlog_places_write(const struct flowlog_places *p, uint32_t target, uint32_t from, uint32_t n,
			 const uint32_t *accounted)
{
	return put(p->fd, accounted, n * sizeof(*accounted), place(target, from));
}
