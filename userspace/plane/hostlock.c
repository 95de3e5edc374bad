/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/hostlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int hostlock_open(char path[64])
{
	struct stat ns;
	int fd;

	path[0] = '\0';
	if (geteuid())
		return -EPERM;
	if (stat("/proc/self/ns/net", &ns) || (mkdir("/run/shift", 0711) && errno != EEXIST))
		return -errno;
	snprintf(path, 64, "/run/shift/apply-%llu.lock", (unsigned long long)ns.st_ino);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

int hostlock_take(int fd)
{
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

int hostlock_drain(int service, char path[96])
{
	struct stat ns;

	if (stat("/proc/self/ns/net", &ns) || (mkdir("/run/shift", 0711) && errno != EEXIST))
		return -errno;
	snprintf(path, 96, "/run/shift/drain-%llu-%d.lock", (unsigned long long)ns.st_ino, service);
	return 0;
}

bool hostlock_drains(int service)
{
	char path[96];
	int fd = hostlock_drain(service, path);
	bool held;

	if (!fd)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	held = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
	close(fd);
	return held;
}
