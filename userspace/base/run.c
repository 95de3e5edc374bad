/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * run.c - programs that hooks and gates name, run beside the loop and never in its way
 *
 * Each has a keeper (run_keeper.c): a child of this process that starts it, gives it its time and
 * kills all that came of it. Here is the loop's side: two pipes with what it prints, a socket on
 * which the keeper says how it went, and the keeper's pidfd, whose readiness is the end. Closing
 * the socket is the order to end the program; it is given by run_cancel, by runner_free, and by the
 * kernel when this process dies, so that a hook never outlives the daemon.
 *
 * What is printed beyond max_output is read all the same, or the program would stand still, but at
 * a pace: one that prints for ever costs READ_SIZE each PACE and not a whole processor.
 *
 * The keeper keeps the time. A timer here is for a keeper that does not end, as when the program's
 * file system hangs: then the result is made without it, and whoever is left is reaped whenever it
 * ends.
 *
 * Whom a file belongs to is looked at by the keeper each time, before the program starts; run_check
 * says it early. Between that look and the kernel's, only root and this user can change the path.
 *
 * Weaknesses: memory and processor time of a program are not bounded (its unit's cgroup does that).
 * An interpreter that a script names is not checked: who may write the script chose it. The rest is
 * at the head of run_keeper.c.
 */
#include "userspace/base/run.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/base/file.h"
#include "userspace/base/loop.h"
#include "userspace/base/run_inner.h"
#include "userspace/base/text.h"

#define MS	    1000000ull
#define SECOND	    1000000000ull
#define TIMEOUT	    (30 * SECOND)
#define TERM	    (2 * SECOND)
#define LINGER	    (500 * MS)
#define MAX_OUTPUT  16384u
#define READ_SIZE   65536u
#define PACE	    (10 * MS)
#define LAST_READS  16
#define MAX_GIVEN   64 /* variables */
#define PIDFD_OPEN  434
#define NAME_BUFFER 16384

static const char *const always[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"};
#define N_ALWAYS (sizeof(always) / sizeof(*always))

struct stream {
	int fd; /* −1: at its end */
	bool resting;
	char *data; /* NULL: nothing yet */
	size_t size;
	uint64_t dropped;
};

/* Outlives its run, until it is reaped. */
struct child {
	struct loop *loop;
	struct child *next, **back;
	pid_t pid;
	int pidfd;
	struct run *run; /* NULL: nobody wants to know */
};

struct run {
	struct loop *loop;
	struct child *keeper;
	int control;
	struct stream stream[2];
	size_t max_output;
	struct loop_timer pace, limit;
	struct run_result result;
	struct run_word failed, ended;
	bool has_failed, has_ended, has_gone;
	uint64_t begun, timeout_ns;
	char program[128], user[32];
	run_done done;
	void *arg;
};

struct runner {
	struct loop *loop;
	struct child *children;
};

/* ---- before ---- */

int run_user_find(const char *name, struct run_user *ret)
{
	char buffer[NAME_BUFFER];
	struct passwd entry, *found = NULL;
	struct run_user u = {.n_groups = RUN_GROUPS};
	int err;

	if (!name || !name[0])
		name = "nobody";
	err = getpwnam_r(name, &entry, buffer, sizeof(buffer), &found);
	if (err && err != ENOENT && err != ESRCH)
		return -err;
	if (!found || strlen(name) >= sizeof(u.name))
		return -ENOENT;
	if (getgrouplist(name, entry.pw_gid, u.groups, &u.n_groups) < 0)
		return -E2BIG;
	snprintf(u.name, sizeof(u.name), "%s", name);
	u.uid = entry.pw_uid;
	u.gid = entry.pw_gid;
	*ret = u;
	return 0;
}

int run_check(const char *path, char *why, size_t size)
{
	struct stat st;
	int err;

	if (why && size)
		why[0] = '\0';
	if (path[0] != '/') {
		if (why)
			snprintf(why, size, "%s is not the full path of a program", path);
		return -EINVAL;
	}
	err = file_check_safe(path, why, size);
	if (!err && stat(path, &st))
		err = -errno;
	if (!err && !(st.st_mode & 0111)) {
		err = -EACCES;
		if (why)
			snprintf(why, size, "%s is not executable: chmod +x", path);
	}
	if (err && why && size && !why[0])
		snprintf(why, size, "%s: %s", path, strerror(-err));
	return err;
}

/* ---- what it prints ---- */

static void stop_reading(struct run *run, struct stream *s)
{
	if (s->fd < 0)
		return;
	loop_unwatch(run->loop, s->fd);
	close(s->fd);
	s->fd = -1;
}

static void keep(const struct run *run, struct stream *s, const char *data, size_t n)
{
	size_t room = run->max_output - s->size, take = n < room ? n : room;
	char *more = take ? realloc(s->data, s->size + take + 1) : NULL;

	if (more) {
		memcpy(more + s->size, data, take);
		s->data = more;
		s->size += take;
		s->data[s->size] = '\0';
		n -= take;
	}
	s->dropped += n;
}

/* 1: there may be more; 0: nothing now; the stream is closed at its end. */
static int read_some(struct run *run, struct stream *s)
{
	char data[READ_SIZE];
	ssize_t n = read(s->fd, data, sizeof(data));

	if (n > 0) {
		keep(run, s, data, (size_t)n);
		return 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	stop_reading(run, s);
	return 0;
}

static void on_output(void *arg, int fd, unsigned int ready);

static void on_pace(void *arg, uint64_t now)
{
	struct run *run = arg;

	(void)now;
	for (int i = 0; i < 2; i++) {
		struct stream *s = &run->stream[i];

		if (s->fd >= 0 && s->resting &&
		    loop_watch(run->loop, s->fd, LOOP_READ, on_output, run))
			stop_reading(run, s);
		s->resting = false;
	}
}

static void on_output(void *arg, int fd, unsigned int ready)
{
	struct run *run = arg;
	struct stream *s = &run->stream[fd == run->stream[1].fd];

	(void)ready;
	read_some(run, s);
	if (s->fd < 0 || !s->dropped)
		return;
	loop_unwatch(run->loop, s->fd);
	s->resting = true;
	if (!run->pace.at && loop_timer_set(run->loop, &run->pace, loop_now() + PACE, on_pace, run))
		stop_reading(run, s);
}

/* ---- the end ---- */

static void say_failed(struct run *run)
{
	const struct run_word *w = &run->failed;
	struct run_result *r = &run->result;
	const char *name = run->program;

	r->err = w->code;
	if (w->why[0])
		snprintf(r->why, sizeof(r->why), "%s", w->why);
	else if (w->stage == RUN_BECOME)
		snprintf(r->why, sizeof(r->why), "cannot become the user %s: %s", run->user,
			 strerror(-w->code));
	else if (w->stage == RUN_EXEC && w->code == -ENOENT)
		snprintf(r->why, sizeof(r->why),
			 "%s: the interpreter that its first line names is not there", name);
	else if (w->stage == RUN_EXEC && w->code == -ENOEXEC)
		snprintf(r->why, sizeof(r->why),
			 "%s is no program: a script begins with a line such as #!/bin/sh", name);
	else if (w->stage == RUN_EXEC && w->code == -EACCES)
		snprintf(r->why, sizeof(r->why),
			 "%s may not be executed by the user %s: look at its mode and that of "
			 "the folders on the way",
			 name, run->user);
	else
		snprintf(r->why, sizeof(r->why), "%s: %s", name, strerror(-w->code));
}

static void say_ended(struct run *run)
{
	const struct run_word *w = &run->ended;
	struct run_result *r = &run->result;
	char text[32];

	r->signal = w->signalled ? w->code : 0;
	r->status = w->signalled ? 0 : w->code;
	r->timed_out = w->timed_out;
	r->forced = w->forced;
	r->duration_ns = w->at > run->begun ? w->at - run->begun : 0;
	if (r->timed_out)
		snprintf(r->why, sizeof(r->why), "did not end within %s and was %s",
			 text_duration(run->timeout_ns, text),
			 r->forced ? "killed: it did not heed SIGTERM" : "ended");
	else if (r->signal)
		snprintf(r->why, sizeof(r->why), "was ended by signal %d (%s)", r->signal,
			 strsignal(r->signal));
	else if (r->status)
		snprintf(r->why, sizeof(r->why), "ended with exit status %d", r->status);
}

/* Its keeper said neither that it failed nor how it ended. */
static void say_lost(struct run *run)
{
	struct run_result *r = &run->result;
	uint64_t now = loop_now();

	r->duration_ns = now - run->begun;
	r->timed_out = r->duration_ns >= run->timeout_ns;
	r->err = r->timed_out ? -ETIMEDOUT : -ECHILD;
	r->remaining += !run->has_gone;
	snprintf(r->why, sizeof(r->why), "%s",
		 r->timed_out ? "did not end in its time and cannot be killed: what it waits for "
				"in the kernel does not come"
			      : "the process that watched over it was killed");
}

static void close_control(struct run *run)
{
	if (run->control < 0)
		return;
	shutdown(run->control, SHUT_RDWR); /* a child that has a copy of it must not hold it up */
	close(run->control);
	run->control = -1;
}

static void free_run(struct run *run)
{
	if (!run)
		return;
	close_control(run);
	for (int i = 0; i < 2; i++) {
		stop_reading(run, &run->stream[i]);
		free(run->stream[i].data);
	}
	loop_timer_stop(run->loop, &run->pace);
	loop_timer_stop(run->loop, &run->limit);
	free(run);
}

static void free_child(struct child *c)
{
	if (!c)
		return;
	if (c->back) {
		*c->back = c->next;
		if (c->next)
			c->next->back = c->back;
	}
	if (c->pidfd >= 0) {
		loop_unwatch(c->loop, c->pidfd);
		close(c->pidfd);
	}
	free(c);
}

static void hear(struct run *run)
{
	struct run_word w;

	while (recv(run->control, &w, sizeof(w), MSG_DONTWAIT) == sizeof(w)) {
		w.why[sizeof(w.why) - 1] = '\0';
		if (w.kind == RUN_WORD_FAILED && !run->has_failed) {
			run->failed = w;
			run->has_failed = true;
		} else if (w.kind == RUN_WORD_ENDED) {
			run->ended = w;
			run->has_ended = true;
		} else if (w.kind == RUN_WORD_GONE) {
			run->has_gone = true;
			run->result.left_behind = w.killed;
			run->result.remaining = w.remaining;
		}
	}
}

static struct run_text text_of(const struct stream *s)
{
	return (struct run_text){
		.data = s->data ? s->data : "", .size = s->size, .dropped = s->dropped};
}

/* Calls back and frees the run, which nothing leads to any more: from `done` the runner may be
 * freed. */
static void finish(struct run *run)
{
	struct run_result *r = &run->result;

	loop_timer_stop(run->loop, &run->pace);
	loop_timer_stop(run->loop, &run->limit);
	hear(run);
	close_control(run);
	for (int i = 0; i < 2; i++) {
		for (int n = 0; n < LAST_READS && run->stream[i].fd >= 0; n++)
			if (!read_some(run, &run->stream[i]))
				break;
		stop_reading(run, &run->stream[i]);
	}
	if (run->has_failed)
		say_failed(run);
	else if (run->has_ended)
		say_ended(run);
	else
		say_lost(run);
	r->out = text_of(&run->stream[0]);
	r->errors = text_of(&run->stream[1]);
	run->done(run->arg, r);
	free_run(run);
}

static void on_end(void *arg, int fd, unsigned int ready)
{
	struct child *c = arg;
	struct run *run = c->run;

	(void)fd, (void)ready;
	waitpid(c->pid, NULL, WNOHANG);
	free_child(c);
	if (run)
		finish(run);
}

/* The keeper should have ended by now. */
static void on_limit(void *arg, uint64_t now)
{
	struct run *run = arg;

	(void)now;
	kill(run->keeper->pid, SIGKILL);
	run->keeper->run = NULL;
	finish(run);
}

void run_cancel(struct run *run)
{
	if (!run)
		return;
	run->keeper->run = NULL;
	free_run(run); /* which closes the control socket: the keeper goes to work */
}

/* ---- the beginning ---- */

static bool sound_environment(const char *const *environment)
{
	unsigned int n = 0;

	for (; environment && environment[n]; n++) {
		const char *name = environment[n];
		size_t size = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

		if (strncmp(name, "SHIFT_", 6) || name[size] != '=' || n == MAX_GIVEN)
			return false;
	}
	return true;
}

static bool sound(const struct run_request *q)
{
	unsigned int n = 0;

	if (!q->user || !q->argv || !q->argv[0] || q->argv[0][0] != '/')
		return false;
	while (q->argv[n])
		if (++n > RUN_MAX_ARGS)
			return false;
	return sound_environment(q->environment);
}

struct ends {
	int control[2], out[2], errors[2];
};

static void close_ends(struct ends *e, int which)
{
	int *fds[] = {&e->control[which], &e->out[which], &e->errors[which]};

	for (size_t i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static int open_ends(struct ends *e)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, e->control) ||
	    pipe2(e->out, O_CLOEXEC) || pipe2(e->errors, O_CLOEXEC) ||
	    fcntl(e->out[0], F_SETFL, O_NONBLOCK) || fcntl(e->errors[0], F_SETFL, O_NONBLOCK))
		return -errno;
	return 0;
}

static uint64_t or_else(uint64_t given, uint64_t otherwise)
{
	return given ? given : otherwise;
}

/* All signals are blocked over the fork: no handler of this process may run in the keeper. */
static pid_t fork_keeper(const struct run_request *q, const struct ends *e)
{
	const char *environment[N_ALWAYS + MAX_GIVEN + 1];
	struct run_order o = {.argv = q->argv,
			      .environment = environment,
			      .user = q->user,
			      .timeout_ns = or_else(q->timeout_ns, TIMEOUT),
			      .term_ns = or_else(q->term_ns, TERM),
			      .linger_ns = or_else(q->linger_ns, LINGER),
			      .control = e->control[1],
			      .out = e->out[1],
			      .errors = e->errors[1]};
	sigset_t all, before;
	size_t n = N_ALWAYS;
	pid_t pid;
	int err;

	memcpy(environment, always, sizeof(always));
	for (size_t i = 0; q->environment && q->environment[i]; i++)
		environment[n++] = q->environment[i];
	environment[n] = NULL;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	err = errno;
	if (!pid)
		run_keep(&o);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? -err : pid;
}

/* 0; or −errno, and the keeper is no more. */
static int watch_all(struct runner *r, struct run *run, struct child *c,
		     const struct run_request *q)
{
	uint64_t limit = run->timeout_ns + or_else(q->term_ns, TERM) +
			 or_else(q->linger_ns, LINGER) + 2 * RUN_SWEEP_NS + SECOND;
	int err;

	c->pidfd = (int)syscall(PIDFD_OPEN, c->pid, 0);
	err = c->pidfd < 0 ? -errno : loop_watch(r->loop, c->pidfd, LOOP_READ, on_end, c);
	for (int i = 0; i < 2 && !err; i++)
		err = loop_watch(r->loop, run->stream[i].fd, LOOP_READ, on_output, run);
	if (!err)
		err = loop_timer_set(r->loop, &run->limit, run->begun + limit, on_limit, run);
	if (err) {
		kill(c->pid, SIGKILL); /* its program is told by the kernel */
		waitpid(c->pid, NULL, 0);
	}
	return err;
}

static int start(struct runner *r, const struct run_request *q, struct run *run, struct child *c)
{
	struct ends e = {{-1, -1}, {-1, -1}, {-1, -1}};
	int err = open_ends(&e);

	if (!err) {
		c->pid = fork_keeper(q, &e);
		err = c->pid < 0 ? c->pid : 0;
	}
	close_ends(&e, 1);
	run->control = e.control[0];
	run->stream[0].fd = e.out[0];
	run->stream[1].fd = e.errors[0];
	if (!err)
		err = watch_all(r, run, c, q);
	return err;
}

int run_begin(struct runner *r, const struct run_request *q, run_done done, void *arg,
	      struct run **ret)
{
	struct child *c;
	struct run *run;
	int err = -ENOMEM;

	if (!sound(q))
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	run = calloc(1, sizeof(*run));
	if (run)
		run->control = run->stream[0].fd = run->stream[1].fd = -1;
	if (c && run) {
		*c = (struct child){.loop = r->loop, .pidfd = -1, .run = run};
		run->loop = r->loop;
		run->keeper = c;
		run->begun = loop_now();
		run->timeout_ns = or_else(q->timeout_ns, TIMEOUT);
		run->max_output = q->max_output ? q->max_output : MAX_OUTPUT;
		run->done = done;
		run->arg = arg;
		snprintf(run->program, sizeof(run->program), "%s", q->argv[0]);
		snprintf(run->user, sizeof(run->user), "%s", q->user->name);
		err = start(r, q, run, c);
	}
	if (err) {
		free_child(c);
		free_run(run);
		return err;
	}
	c->next = r->children;
	c->back = &r->children;
	if (c->next)
		c->next->back = &c->next;
	r->children = c;
	if (ret)
		*ret = run;
	return 0;
}

int runner_make(struct loop *l, struct runner **ret)
{
	struct runner *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->loop = l;
	*ret = r;
	return 0;
}

void runner_free(struct runner *r)
{
	if (!r)
		return;
	while (r->children) {
		struct child *c = r->children;

		free_run(c->run);
		waitpid(c->pid, NULL, WNOHANG);
		free_child(c);
	}
	free(r);
}
