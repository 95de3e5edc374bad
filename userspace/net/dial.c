/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/net/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/base/ip.h"

union end {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t fill(union end *e, const uint32_t address[4], uint16_t port)
{
	memset(e, 0, sizeof(*e));
	if (ip_is_v4(address)) {
		e->v4.sin_family = AF_INET;
		e->v4.sin_port = htons(port);
		e->v4.sin_addr.s_addr = address[3];
		return sizeof(e->v4);
	}
	e->v6.sin6_family = AF_INET6;
	e->v6.sin6_port = htons(port);
	memcpy(&e->v6.sin6_addr, address, sizeof(e->v6.sin6_addr));
	return sizeof(e->v6);
}

static int begin(const char *device, const uint32_t *source, const uint32_t address[4],
		 uint16_t port)
{
	union end to, from;
	socklen_t size = fill(&to, address, port), from_size = source ? fill(&from, source, 0) : 0;
	int fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	if ((device[0] &&
	     setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device) + 1)) ||
	    (source && bind(fd, &from.sa, from_size)))
		err = -errno;
	else if (connect(fd, &to.sa, size) && errno != EINPROGRESS)
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int dial_begin(const char *device, const uint32_t address[4], uint16_t port)
{
	return begin(device, NULL, address, port);
}

int dial_begin_from(const uint32_t source[4], const uint32_t address[4], uint16_t port)
{
	return begin("", source, address, port);
}

int dial_result(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t size = sizeof(int);
	int err = 0;

	if (poll(&p, 1, 0) <= 0)
		return -EINPROGRESS;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size))
		return -errno;
	return -err;
}
