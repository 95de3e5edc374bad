/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <netinet/in.h>

#include "tests/bpf/host.h"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address_of(const struct end *e, union address *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (end_is_v6(e)) {
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons(e->port);
		memcpy(&ret->v6.sin6_addr, e->ip, 16);
		return sizeof(ret->v6);
	}
	ret->v4.sin_family = AF_INET;
	ret->v4.sin_port = htons(e->port);
	memcpy(&ret->v4.sin_addr, &e->ip[3], 4);
	return sizeof(ret->v4);
}

/* A socket bound to `at`. */
static int bound(const struct end *at, int type)
{
	union address a;
	socklen_t size = address_of(at, &a);
	int fd, one = 1, err;

	fd = socket(a.any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a.any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, &a.any, size)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int host_listen(const struct end *at)
{
	int fd = bound(at, SOCK_STREAM), err;

	if (fd >= 0 && listen(fd, 16)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int host_connect(const struct end *from, const struct end *to)
{
	int fd = bound(from, SOCK_STREAM), err;
	union address a;
	socklen_t size = address_of(to, &a);

	if (fd >= 0 && connect(fd, &a.any, size) && errno != EINPROGRESS) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int host_udp(const struct end *at, const struct end *to)
{
	int fd = bound(at, SOCK_DGRAM), err;
	union address a;
	socklen_t size;

	if (fd < 0 || !to)
		return fd;
	size = address_of(to, &a);
	if (connect(fd, &a.any, size)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 3000) > 0;
}

int host_accept(int listener)
{
	int fd;

	if (!readable(listener))
		return -ETIMEDOUT;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int host_received(int fd)
{
	char bytes[4096];

	return readable(fd) ? (int)recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) : 0;
}

void host_close(int fd)
{
	struct linger now = {.l_onoff = 1};

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}
