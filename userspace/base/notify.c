/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/base/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define STATUS_SIZE 512

/* A path, or behind '@' a name of the abstract kind, which begins with a zero and has no end. */
static int address(const char *name, struct sockaddr_un *ret, socklen_t *ret_size)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || n < 2)
		return -EAFNOSUPPORT; /* a virtual machine's vsock:, say */
	if (n >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, name, n);
	if (name[0] == '@')
		a.sun_path[0] = '\0';
	*ret = a;
	*ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/'));
	return 0;
}

static int tell(const char *text)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct timeval limit = {.tv_sec = 1};
	struct sockaddr_un to;
	socklen_t size;
	int err, fd;

	if (!name || !name[0])
		return 0;
	err = address(name, &to, &size);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
	    sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to, size) < 0)
		err = -errno;
	close(fd);
	return err ? err : 1;
}

/* A new line would be a new message. */
static int tell_status(const char *first, const char *status)
{
	char text[STATUS_SIZE];

	snprintf(text, sizeof(text), "%sSTATUS=%s", first, status);
	for (char *c = text + strlen(first); *c; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
	return tell(text);
}

int notify_ready(const char *status)
{
	return status ? tell_status("READY=1\n", status) : tell("READY=1");
}

int notify_status(const char *status)
{
	return tell_status("", status);
}

int notify_watchdog(void)
{
	return tell("WATCHDOG=1");
}

int notify_reloading(void)
{
	struct timespec now;
	char text[80];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		 (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	return tell(text);
}

int notify_stopping(void)
{
	return tell("STOPPING=1");
}

/* A whole number of at least 1, or 0. */
static uint64_t number(const char *text)
{
	unsigned long long n;
	char *end;

	if (!text || text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	n = strtoull(text, &end, 10);
	return errno || *end ? 0 : n;
}

uint64_t notify_watchdog_ns(void)
{
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t us = number(getenv("WATCHDOG_USEC"));

	if (pid && number(pid) != (uint64_t)getpid())
		return 0;
	return us > UINT64_MAX / 1000 ? 0 : us * 1000;
}
