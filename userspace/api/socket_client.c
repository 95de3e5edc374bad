/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "userspace/api/socket.h"

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* 0: ready. */
static int wait_for(int fd, short events, uint64_t until)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = now_ms();
		int n, left = now >= until	      ? 0
			      : until - now > 3600000 ? 3600000
						      : (int)(until - now);

		n = poll(&p, 1, left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (!n && now_ms() >= until)
			return -ETIMEDOUT;
	}
}

/* Whoever could put a socket there must not be taken for the daemon. */
static int check_server(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return -errno;
	return peer.uid == 0 || peer.uid == geteuid() ? 0 : -EPERM;
}

static int connect_to(const char *path, uint64_t until)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd, err;

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: the daemon's queue is full, which nothing announces the end of */
	while (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		if ((errno != EAGAIN && errno != EINTR) || now_ms() >= until) {
			err = errno == EAGAIN ? -ETIMEDOUT : -errno;
			close(fd);
			return err;
		}
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	err = check_server(fd);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int send_all(int fd, const char *text, size_t n, uint64_t until)
{
	while (n) {
		ssize_t did = send(fd, text, n, MSG_NOSIGNAL);
		int err = did < 0 ? errno : 0;

		if (err == EAGAIN)
			err = -wait_for(fd, POLLOUT, until);
		if (err && err != EINTR)
			return -err;
		if (did > 0) {
			text += did;
			n -= (size_t)did;
		}
	}
	return 0;
}

static int read_line(int fd, uint64_t until, char **ret, size_t *ret_size)
{
	size_t n = 0, room = 0;
	char *text = NULL, *more;
	ssize_t did;
	int err;

	for (;;) {
		if (n == room) {
			room = room ? room * 2 : 8192;
			more = room > 2 * API_MAX_ANSWER ? NULL : realloc(text, room);
			if (!more) {
				err = room > 2 * API_MAX_ANSWER ? -EPROTO : -ENOMEM;
				break;
			}
			text = more;
		}
		did = recv(fd, text + n, room - n, 0);
		if (did < 0 && errno == EAGAIN) {
			err = wait_for(fd, POLLIN, until);
			if (err)
				break;
			continue;
		}
		if (did < 0 && errno == EINTR)
			continue;
		if (did <= 0) {
			err = did && errno != ECONNRESET ? -errno : -EPROTO;
			break;
		}
		n += (size_t)did;
		if (text[n - 1] == '\n') {
			*ret = text;
			*ret_size = n;
			return 0;
		}
	}
	free(text);
	return err;
}

static char *request_text(const char *cmd, json_t *args, const char *who)
{
	json_t *j = json_pack("{s:s, s:O*, s:s*}", "cmd", cmd, "args", args, "who", who);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL, *line = NULL;

	json_decref(j);
	if (text) {
		size_t n = strlen(text);

		line = realloc(text, n + 2);
		if (line)
			memcpy(line + n, "\n", 2);
		else
			free(text);
	}
	return line;
}

int api_socket_ask(const char *path, uint64_t timeout_ms, const char *cmd, json_t *args,
		   const char *who, json_t **ret)
{
	uint64_t until = now_ms() + timeout_ms;
	char *request = request_text(cmd, args, who), *answer = NULL;
	json_t *j = NULL;
	size_t n = 0;
	int fd, err;

	if (!request)
		return -EINVAL;
	fd = connect_to(path, until);
	err = fd < 0 ? fd : send_all(fd, request, strlen(request), until);
	/* one that turned us away may have closed before it read */
	if (fd >= 0 && (!err || err == -EPIPE))
		err = read_line(fd, until, &answer, &n);
	if (!err) {
		j = json_loadb(answer, n, JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_object(j) || !json_is_integer(json_object_get(j, "code"))) {
			json_decref(j);
			err = -EPROTO;
		} else {
			*ret = j;
		}
	}
	free(answer);
	free(request);
	if (fd >= 0)
		close(fd);
	return err;
}
