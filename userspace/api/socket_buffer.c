/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/api/socket_buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

size_t api_buffer_waiting(const struct api_buffer *b)
{
	return b->n - b->sent;
}

int api_buffer_add(struct api_buffer *b, const void *data, size_t n, size_t max)
{
	size_t waiting = api_buffer_waiting(b), room = b->room;
	char *more;

	if (n > max || waiting > max - n)
		return -ENOBUFS;
	if (b->sent) {
		memmove(b->data, b->data + b->sent, waiting);
		b->n = waiting;
		b->sent = 0;
	}
	if (n > room - b->n) {
		room = b->n + n + 1024;
		more = realloc(b->data, room);
		if (!more)
			return -ENOMEM;
		b->data = more;
		b->room = room;
	}
	memcpy(b->data + b->n, data, n);
	b->n += n;
	return 0;
}

int api_buffer_flush(struct api_buffer *b, int fd)
{
	while (b->sent < b->n) {
		ssize_t did =
			send(fd, b->data + b->sent, b->n - b->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (did < 0 && errno == EINTR)
			continue;
		if (did < 0)
			return errno == EAGAIN ? 1 : -errno;
		b->sent += (size_t)did;
	}
	/* an answer may be large and rare, a connection quiet for hours */
	api_buffer_free(b);
	return 0;
}

void api_buffer_free(struct api_buffer *b)
{
	free(b->data);
	*b = (struct api_buffer){0};
}
