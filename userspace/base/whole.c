/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/base/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 5

static int open_folder(const char *path, const char *name)
{
	char folder[PATH_MAX];
	size_t n = (size_t)(name - path);
	int fd;

	if (n >= sizeof(folder))
		return -ENAMETOOLONG;
	memcpy(folder, path, n);
	folder[n] = '\0';
	fd = open(n ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The dot and what comes behind keep it from whoever looks for "*.prom" or "*.json". */
static int open_fresh(int folder, const char *name, char ret_name[NAME_MAX + 1])
{
	uint64_t random;
	int fd = -1;

	for (int i = 0; i < TRIES; i++) {
		if (getrandom(&random, sizeof(random), 0) != sizeof(random))
			return -EIO;
		snprintf(ret_name, NAME_MAX + 1, ".%.*s.%016" PRIx64, NAME_MAX - 18, name, random);
		fd = openat(folder, ret_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			    0600);
		if (fd >= 0 || errno != EEXIST)
			break;
	}
	return fd < 0 ? -errno : fd;
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static int fill(int fd, const void *data, size_t size, mode_t mode)
{
	int err = write_all(fd, data, size);

	if (!err && (fchmod(fd, mode) || fsync(fd)))
		err = -errno;
	return err;
}

/* Some file systems know no fsync of a folder. */
static int sync_folder(int folder)
{
	return fsync(folder) && errno != EINVAL ? -errno : 0;
}

static int replace(int folder, const char *name, const void *data, size_t size, mode_t mode)
{
	char fresh[NAME_MAX + 1];
	int fd = open_fresh(folder, name, fresh), err;

	if (fd < 0)
		return fd;
	err = fill(fd, data, size, mode);
	if (close(fd) && !err)
		err = -errno;
	if (!err && renameat(folder, fresh, folder, name))
		err = -errno;
	if (err)
		unlinkat(folder, fresh, 0);
	return err ? err : sync_folder(folder);
}

int whole_write(const char *path, const void *data, size_t size, mode_t mode)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int folder, err;

	if (!name[0])
		return path[0] ? -EISDIR : -ENOENT;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	folder = open_folder(path, name);
	if (folder < 0)
		return folder;
	err = replace(folder, name, data, size, mode);
	close(folder);
	return err;
}

/* Until its end or `size`: how many, or −errno. */
static ssize_t read_all(int fd, char *data, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = read(fd, data + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* The size that is told is not trusted: the file may grow, and those in /proc tell none. */
static int read_open(int fd, size_t max, char **ret, size_t *ret_size)
{
	struct stat st;
	char *data;
	ssize_t n;

	if (max >= SSIZE_MAX)
		return -EINVAL;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > (off_t)max)
		return -EFBIG;
	data = malloc(max + 1);
	if (!data)
		return -ENOMEM;
	n = read_all(fd, data, max + 1);
	if (n < 0 || (size_t)n > max) {
		explicit_bzero(data, max + 1);
		free(data);
		return n < 0 ? (int)n : -EFBIG;
	}
	data[n] = '\0';
	*ret = data;
	if (ret_size)
		*ret_size = (size_t)n;
	return 0;
}

int whole_read(const char *path, size_t max, char **ret, size_t *ret_size)
{
	/* O_NONBLOCK: a pipe in its place must not hold us up. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = read_open(fd, max, ret, ret_size);
	close(fd);
	return err;
}
