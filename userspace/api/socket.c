/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * socket.c - the daemon's door for commands of this host
 *
 * Owns one listening unix socket and those connected to it. It promises that nobody without the
 * right to a command gets it carried out, and that nobody, however slow, silent or greedy, delays
 * the daemon or another client: every read and write returns at once, a line has an end in size
 * and time, each user has a bounded number of connections, and root always finds one free. One
 * request of a connection is carried out at a time; what follows it waits in the kernel.
 *
 * The file's mode is as narrow as two groups allow: 0600 without any, 0660 with one; with two
 * different ones everybody may connect, and who is in neither is told so and let go at once; so too
 * where we have not the right to give the file to the one group.
 *
 * Weakness: a group is looked up by number in what the kernel knows of the client when it
 * connected; a user who was put into a group since then connects anew, as with any file.
 */
#include "userspace/api/socket.h"

#include <errno.h>
#include <grp.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "userspace/api/socket_buffer.h"
#include "userspace/base/loop.h"

#define SECOND	  1000000000ull
#define CLIENTS	  40
#define RESERVED  8 /* of them, for root and our own user */
#define PER_USER  8
#define GROUPS	  65536 /* NGROUPS_MAX */
#define IDLE_TIME (300 * SECOND)
#define LINE_TIME (5 * SECOND)	 /* from its first byte to its last */
#define SEND_TIME (10 * SECOND)	 /* of an answer */
#define CALL_TIME (120 * SECOND) /* of a command */

/* of a connection; MORE: a request is here already */
enum phase { IDLE, READING, WORKING, SENDING, MORE };

enum right { RIGHT_NONE, RIGHT_READ, RIGHT_WRITE };

struct client {
	struct api_socket *s;
	int fd;
	struct ucred peer;
	char *in;
	size_t at, n, room; /* up to `at` it was used */
	struct api_buffer out;
	struct api_call *call; /* that is not answered yet */
	enum phase phase;
	bool busy; /* one of its requests is being handed over */
	bool dead;
	struct loop_timer timer;
};

struct api_socket {
	struct loop *loop;
	struct api_verbs verbs;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd;
	gid_t read_group, write_group;
	struct client *client[CLIENTS];
};

static void on_client(void *arg, int fd, unsigned int ready);
static void on_late(void *arg, uint64_t now);

int api_group(const char *name, gid_t *ret)
{
	const struct group *g;
	char *end;
	unsigned long n;

	*ret = API_NO_GROUP;
	if (!name[0])
		return 0;
	n = strtoul(name, &end, 10);
	if (name[0] >= '0' && name[0] <= '9' && !*end && n < API_NO_GROUP) {
		*ret = (gid_t)n;
		return 0;
	}
	g = getgrnam(name);
	if (!g)
		return -ENOENT;
	*ret = g->gr_gid;
	return 0;
}

/* ---- who may what ---- */

static bool is_own(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static bool is_member(int fd, const struct ucred *peer, gid_t group)
{
	socklen_t size = 0;
	bool found = false;
	gid_t *list;

	if (group == API_NO_GROUP)
		return false;
	if (peer->gid == group)
		return true;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) || errno != ERANGE ||
	    size > GROUPS * sizeof(gid_t))
		return false;
	list = malloc(size);
	if (list && !getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, list, &size))
		for (size_t i = 0; i < size / sizeof(*list) && !found; i++)
			found = list[i] == group;
	free(list);
	return found;
}

static enum right right_of(const struct api_socket *s, int fd, struct ucred *ret)
{
	socklen_t size = sizeof(*ret);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &size))
		return RIGHT_NONE;
	if (is_own(ret->uid) || is_member(fd, ret, s->write_group))
		return RIGHT_WRITE;
	return is_member(fd, ret, s->read_group) ? RIGHT_READ : RIGHT_NONE;
}

/* ---- a connection ---- */

static void drop(struct client *c)
{
	struct api_socket *s = c->s;

	if (c->busy) { /* whoever is at work on it ends it */
		c->dead = true;
		return;
	}
	loop_timer_stop(s->loop, &c->timer);
	loop_unwatch(s->loop, c->fd);
	close(c->fd);
	if (c->call)
		c->call->from = NULL;
	for (unsigned int i = 0; i < CLIENTS; i++)
		if (s->client[i] == c)
			s->client[i] = NULL;
	api_buffer_free(&c->out);
	free(c->in);
	free(c);
}

static bool has_line(const struct client *c)
{
	return c->n > c->at && memchr(c->in + c->at, '\n', c->n - c->at);
}

static enum phase phase_of(const struct client *c)
{
	if (api_buffer_waiting(&c->out))
		return SENDING;
	if (c->call)
		return WORKING;
	if (has_line(c))
		return MORE;
	return c->n > c->at ? READING : IDLE;
}

/*
 * What is waited for next, and until when. Each phase has one end that nothing puts off, so that a
 * byte now and then keeps nobody's place.
 */
static void settle(struct client *c)
{
	static const uint64_t within[] = {
		[IDLE] = IDLE_TIME,
		[READING] = LINE_TIME,
		[WORKING] = CALL_TIME,
		[SENDING] = SEND_TIME,
		[MORE] = 0,
	};
	enum phase is = phase_of(c);
	int err = 0;

	if (is != c->phase || !c->timer.at)
		err = loop_timer_set(c->s->loop, &c->timer, loop_now() + within[is], on_late, c);
	c->phase = is;
	if (is == WORKING || is == MORE) /* what comes meanwhile stays in the kernel */
		loop_unwatch(c->s->loop, c->fd);
	else if (!err)
		err = loop_watch(c->s->loop, c->fd, is == SENDING ? LOOP_WRITE : LOOP_READ,
				 on_client, c);
	if (err)
		drop(c);
}

static void say(struct client *c, char *text, size_t size)
{
	int err = text ? api_buffer_add(&c->out, text, size, API_MAX_ANSWER) : -ENOMEM;

	free(text);
	if (err == -ENOBUFS) {
		text = api_error_text(1, "the answer is too long", &size);
		err = text ? api_buffer_add(&c->out, text, size, API_MAX_ANSWER) : -ENOMEM;
		free(text);
	}
	if (err || api_buffer_flush(&c->out, c->fd) < 0)
		c->dead = true;
}

static void say_error(struct client *c, int code, const char *error)
{
	size_t size = 0;
	char *text = api_error_text(code, error, &size);

	say(c, text, size);
}

/* The call's answer, which may come while its own request is still being handed over. */
static void on_answer(void *from, char *text, size_t size)
{
	struct client *c = from;
	bool inside = c->busy;

	c->call = NULL;
	say(c, text, size);
	if (inside)
		return;
	if (c->dead)
		drop(c);
	else
		settle(c);
}

static void begin_call(struct client *c, const char *line, size_t n)
{
	struct api_call *call;
	enum right right;
	char why[200];

	if (api_call_parse(line, n, &c->s->verbs, &call, why, sizeof(why))) {
		say_error(c, 2, why);
		return;
	}
	right = right_of(c->s, c->fd, &c->peer);
	if (right == RIGHT_NONE || (call->verb->writes && right != RIGHT_WRITE)) {
		snprintf(why, sizeof(why), "%s needs root or a member of metrics.%s_group",
			 call->verb->name, call->verb->writes ? "write" : "read");
		api_call_free(call);
		say_error(c, 1, why);
		return;
	}
	call->uid = c->peer.uid;
	call->pid = c->peer.pid;
	if (!call->who[0])
		snprintf(call->who, sizeof(call->who), "uid %u", (unsigned int)call->uid);
	call->from = c;
	call->give = on_answer;
	c->call = call;
	call->verb->run(c->s->verbs.arg, call);
}

/* One request of one client in a turn of the loop: many in one packet hold up nobody else. */
static void work(struct client *c)
{
	const char *line, *end;

	c->busy = true;
	while (!c->dead && phase_of(c) == MORE) {
		line = c->in + c->at;
		end = memchr(line, '\n', c->n - c->at);
		c->at = (size_t)(end + 1 - c->in);
		if (end == line)
			continue;
		begin_call(c, line, (size_t)(end - line));
		break;
	}
	if (c->at && c->n) {
		c->n -= c->at;
		memmove(c->in, c->in + c->at, c->n);
		c->at = 0;
	}
	if (c->n >= API_MAX_REQUEST && !has_line(c)) {
		say_error(c, 2, "the request is too long");
		c->dead = true;
	}
	c->busy = false;
	if (c->dead)
		drop(c);
	else
		settle(c);
}

static int take_input(struct client *c)
{
	ssize_t did;

	if (c->n == c->room) {
		size_t room = c->room ? c->room * 2 : 4096;
		char *more = realloc(c->in, room);

		if (!more)
			return -ENOMEM;
		c->in = more;
		c->room = room;
	}
	did = recv(c->fd, c->in + c->n, c->room - c->n, MSG_DONTWAIT);
	if (did < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!did)
		return -EPIPE;
	c->n += (size_t)did;
	return 0;
}

static void on_client(void *arg, int fd, unsigned int ready)
{
	struct client *c = arg;
	int err;

	(void)ready;
	err = c->phase == SENDING ? api_buffer_flush(&c->out, fd) : take_input(c);
	if (err < 0)
		drop(c);
	else
		work(c);
}

static void on_late(void *arg, uint64_t now)
{
	struct client *c = arg;

	(void)now;
	if (c->phase == MORE) {
		work(c);
		return;
	}
	if (c->phase == WORKING) {
		c->call->from = NULL;
		c->call = NULL;
		say_error(c, 5, "the daemon has no answer yet");
	}
	drop(c);
}

/* ---- listening ---- */

/* Who asked and has gone is not noticed while the answer is awaited: only where places are short.
 */
static void drop_gone(struct api_socket *s)
{
	for (unsigned int i = 0; i < CLIENTS; i++) {
		struct pollfd p = {.fd = s->client[i] ? s->client[i]->fd : -1};

		if (s->client[i] && poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR))
			drop(s->client[i]);
	}
}

/* The one that has done nothing for longest. */
static struct client **oldest_idle(struct api_socket *s)
{
	struct client **oldest = NULL;

	for (unsigned int i = 0; i < CLIENTS; i++) {
		struct client **at = &s->client[i];

		if (*at && (*at)->phase != WORKING && (*at)->phase != MORE &&
		    (!oldest || (*at)->timer.at < (*oldest)->timer.at))
			oldest = at;
	}
	return oldest;
}

/* A free place, if this user may have another; NULL. */
static struct client **place_for(struct api_socket *s, uid_t uid)
{
	unsigned int all = 0, own = 0;
	struct client **place = NULL;

	for (unsigned int i = 0; i < CLIENTS; i++) {
		if (!s->client[i]) {
			place = &s->client[i];
			continue;
		}
		all++;
		own += s->client[i]->peer.uid == uid;
	}
	if (!is_own(uid) && (own >= PER_USER || all >= CLIENTS - RESERVED))
		return NULL;
	return place;
}

static struct client **make_place(struct api_socket *s, uid_t uid)
{
	struct client **place = place_for(s, uid);

	if (!place) {
		drop_gone(s);
		place = place_for(s, uid);
	}
	if (!place && is_own(uid)) {
		place = oldest_idle(s);
		if (place)
			drop(*place);
	}
	return place;
}

static void turn_away(int fd, int code, const char *why)
{
	size_t size = 0;
	char *text = api_error_text(code, why, &size);

	if (text)
		(void)!send(fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(text);
	close(fd);
}

static void admit(struct api_socket *s, int fd)
{
	struct client **place, *c;
	struct ucred peer;

	if (right_of(s, fd, &peer) == RIGHT_NONE) {
		turn_away(fd, 1,
			  "this socket is for root and the members of metrics.read_group and "
			  "metrics.write_group");
		return;
	}
	place = make_place(s, peer.uid);
	c = place ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		turn_away(fd, 1, "too many connections of this user");
		return;
	}
	*c = (struct client){.s = s, .fd = fd, .peer = peer};
	*place = c;
	settle(c);
}

static void on_listen(void *arg, int fd, unsigned int ready)
{
	(void)ready;
	/* a few at a time, so that a crowd at the door does not keep the loop */
	for (int i = 0; i < 16; i++) {
		int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (got < 0)
			return;
		admit(arg, got);
	}
}

/*
 * The mode is only the first door. To give a file to a group that one is not in takes CAP_CHOWN,
 * which shiftd gives up: there everybody may connect, and right_of(), which asks the kernel who the
 * client is before a byte is read and again for each command, is the only one, as with two groups.
 */
static int set_mode(const struct api_socket *s)
{
	gid_t r = s->read_group, w = s->write_group, g = w != API_NO_GROUP ? w : r;
	bool all = r != API_NO_GROUP && w != API_NO_GROUP && r != w;

	if (!all && g != API_NO_GROUP && lchown(s->path, (uid_t)-1, g)) {
		if (errno != EPERM)
			return -errno;
		all = true;
	}
	return chmod(s->path, all ? 0666 : g != API_NO_GROUP ? 0660 : 0600) ? -errno : 0;
}

int api_socket_groups(struct api_socket *s, gid_t read_group, gid_t write_group)
{
	s->read_group = read_group;
	s->write_group = write_group;
	return set_mode(s);
}

/* What another daemon left. */
static int clear_path(const struct sockaddr_un *a)
{
	struct stat st;
	int fd, err;

	if (lstat(a->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	err = connect(fd, (const struct sockaddr *)a, sizeof(*a)) ? errno : 0;
	close(fd);
	if (err != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(a->sun_path) ? -errno : 0;
}

static int listen_at(struct api_socket *s)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int err;

	memcpy(a.sun_path, s->path, sizeof(a.sun_path));
	err = clear_path(&a);
	if (err)
		return err;
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return -errno;
	/* the file is made with the socket's own mode, so that it is never wider than it shall be
	 */
	if (fchmod(s->fd, 0600) || bind(s->fd, (struct sockaddr *)&a, sizeof(a)))
		return -errno;
	err = set_mode(s);
	if (!err && listen(s->fd, 128))
		err = -errno;
	if (!err)
		err = loop_watch(s->loop, s->fd, LOOP_READ, on_listen, s);
	if (err)
		unlink(s->path);
	return err;
}

int api_socket_open(struct loop *l, const struct api_socket_config *c, struct api_socket **ret)
{
	struct api_socket *s;
	int err;

	if (strlen(c->path) >= sizeof(s->path))
		return -ENAMETOOLONG;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->loop = l;
	s->verbs = c->verbs;
	s->fd = -1;
	s->read_group = c->read_group;
	s->write_group = c->write_group;
	strcpy(s->path, c->path);
	err = listen_at(s);
	if (err) {
		if (s->fd >= 0)
			close(s->fd);
		free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void api_socket_close(struct api_socket *s)
{
	if (!s)
		return;
	for (unsigned int i = 0; i < CLIENTS; i++)
		if (s->client[i])
			drop(s->client[i]);
	loop_unwatch(s->loop, s->fd);
	close(s->fd);
	unlink(s->path);
	free(s);
}
