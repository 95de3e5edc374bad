/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * run_keeper.c - the process between the daemon and a program it runs
 *
 * It checks the program, starts it, gives it its time, and ends it with all that it started. Every
 * process whose parent is gone becomes the child of the nearest ancestor that asked for such
 * orphans (PR_SET_CHILD_SUBREAPER), which the keeper did: neither a new session nor a second fork
 * leads away from it. It ends when none is left, when RUN_SWEEP_NS did not suffice, and also when
 * the daemon closes its end of the control socket or dies: then the program is asked to end, and
 * killed if it does not.
 *
 * Process numbers are not used again as long as nobody waited for them. So the first process is
 * left a zombie until its group was killed, and what is killed one by one are children of the
 * keeper that it has not waited for.
 *
 * It was forked from a daemon that may have threads: nothing here allocates, looks up a name or
 * takes a lock.
 *
 * Weaknesses: a program that runs as root can kill the keeper; what it started then goes on, under
 * the daemon's parent. One that forks faster than it can be killed for RUN_SWEEP_NS outlives it,
 * bounded by RLIMIT_NPROC. What others do on its behalf (the service manager, cron, a database) is
 * none of its processes.
 */
#include "userspace/base/run_inner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/base/file.h"
#include "userspace/base/loop.h"

#define MS		1000000ull
#define CONTROL		3 /* where the keeper has its descriptors */
#define OUT		4
#define ERRORS		5
#define FIRST_FREE	6
#define MAX_PROCESSES	1024 /* of the user, on this host */
#define MAX_DESCRIPTORS 65536
#define LOOK_AGAIN	(20 * MS)
#define CLOSE_RANGE	436 /* in older headers it is missing */

struct keeper {
	const struct run_order *o;
	pid_t leader;
	int signals; /* signalfd of SIGCHLD */
	bool hung_up, timed_out, forced, ended;
	siginfo_t end;
};

static void tell(const struct run_word *w)
{
	(void)!send(CONTROL, w, sizeof(*w), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void tell_failed(enum run_stage stage, int err, const char *why)
{
	struct run_word w = {.kind = RUN_WORD_FAILED, .stage = stage, .code = err};

	w.at = loop_now();
	snprintf(w.why, sizeof(w.why), "%s", why);
	tell(&w);
}

/* ---- children ---- */

struct scan {
	run_child_cb each;
	void *arg;
	int n;
	pid_t pid; /* as far as it was read */
};

static void found(struct scan *s, pid_t pid)
{
	s->n++;
	if (s->each)
		s->each(s->arg, pid);
}

int run_children_listed(run_child_cb each, void *arg)
{
	struct scan s = {.each = each, .arg = arg};
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	char text[4096];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				s.pid = s.pid * 10 + (text[i] - '0');
			} else if (s.pid) {
				found(&s, s.pid);
				s.pid = 0;
			}
		}
	close(fd);
	return n < 0 ? -errno : s.n;
}

/* "PID (NAME) STATE PARENT …", and a name may hold anything: from the last ')'. */
static pid_t parent_of(const char *pid)
{
	char path[64], text[512];
	const char *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	at = strrchr(text, ')');
	return at && strlen(at) > 4 ? (pid_t)strtol(at + 4, NULL, 10) : -1;
}

struct entry { /* as getdents64(2) gives it */
	uint64_t inode;
	int64_t next;
	unsigned short size;
	unsigned char type;
	char name[];
};

int run_children_searched(run_child_cb each, void *arg)
{
	struct scan s = {.each = each, .arg = arg};
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char buffer[8192] __attribute__((aligned(8)));
	pid_t self = getpid();
	long n;

	if (fd < 0)
		return -errno;
	while ((n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0)
		for (long at = 0; at < n;) {
			const struct entry *e = (const void *)(buffer + at);

			at += e->size;
			if (e->name[0] >= '1' && e->name[0] <= '9' && parent_of(e->name) == self)
				found(&s, (pid_t)strtol(e->name, NULL, 10));
		}
	close(fd);
	return n < 0 ? -errno : s.n;
}

static int children(run_child_cb each, void *arg)
{
	int n = run_children_listed(each, arg);

	return n < 0 ? run_children_searched(each, arg) : n;
}

static void kill_it(void *arg, pid_t child)
{
	(void)arg;
	kill(child, SIGKILL);
}

/* ---- the program, before it is one ---- */

static void limit(int what, rlim_t most)
{
	struct rlimit r;

	if (getrlimit((__rlimit_resource_t)what, &r))
		return;
	r.rlim_cur = r.rlim_cur < most ? r.rlim_cur : most;
	r.rlim_max = r.rlim_max < most ? r.rlim_max : most;
	setrlimit((__rlimit_resource_t)what, &r);
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &head, none) ? -errno : 0;
}

static int become(const struct run_user *u)
{
	uid_t r, e, s;

	if (geteuid() && geteuid() != u->uid)
		return -EPERM;
	if (!geteuid() && (setgroups((size_t)u->n_groups, u->groups) ||
			   setresgid(u->gid, u->gid, u->gid) || setresuid(u->uid, u->uid, u->uid)))
		return -errno;
	if (getresuid(&r, &e, &s) || r != u->uid || e != u->uid || s != u->uid)
		return -EPERM;
	return u->uid ? drop_capabilities() : 0;
}

/* By the kernel's own call: the C library keeps two signals for itself and refuses to touch them,
 * but whoever started the daemon may have left them ignored. Zeros are SIG_DFL without flags. */
static void reset(int signal)
{
	static const unsigned long nothing[8];

	syscall(SYS_rt_sigaction, signal, nothing, NULL, 8);
}

static int prepare(void)
{
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		reset(s); /* what the daemon ignores would be ignored for ever */
	sigemptyset(&none);
	if (setsid() < 0 || chdir("/") || dup2(OUT, 1) < 0 || dup2(ERRORS, 2) < 0)
		return -errno;
	umask(022);
	limit(RLIMIT_CORE, 0);
	return sigprocmask(SIG_SETMASK, &none, NULL) ? -errno : 0;
}

static _Noreturn void be_program(const struct run_order *o)
{
	enum run_stage stage = RUN_SETUP;
	int err = prepare();

	if (!err && o->user->uid)
		limit(RLIMIT_NPROC, MAX_PROCESSES);
	if (!err && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err = -errno;
	if (!err) {
		stage = RUN_BECOME;
		err = become(o->user);
	}
	if (!err) {
		/* Lost with every change of user, and so the last thing: the keeper may be killed.
		 */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		stage = RUN_EXEC;
		execve(o->argv[0], (char *const *)(uintptr_t)o->argv,
		       (char *const *)(uintptr_t)o->environment);
		err = -errno;
	}
	tell_failed(stage, err, "");
	_exit(127);
}

/* ---- the keeper ---- */

static void close_from(unsigned int first)
{
	struct rlimit r;

	if (!syscall(CLOSE_RANGE, first, ~0u, 0))
		return;
	/* Before Linux 5.9. */
	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur > MAX_DESCRIPTORS)
		r.rlim_cur = MAX_DESCRIPTORS;
	for (unsigned int fd = first; fd < r.rlim_cur; fd++)
		close((int)fd);
}

/* Nothing of the daemon's stays open: neither its sockets nor, for the program, its terminal. */
static int take_descriptors(const struct run_order *o)
{
	int control = fcntl(o->control, F_DUPFD_CLOEXEC, 16),
	    out = fcntl(o->out, F_DUPFD_CLOEXEC, 16),
	    errors = fcntl(o->errors, F_DUPFD_CLOEXEC, 16), null;

	if (control < 0 || out < 0 || errors < 0 || dup3(control, CONTROL, O_CLOEXEC) < 0 ||
	    dup3(out, OUT, O_CLOEXEC) < 0 || dup3(errors, ERRORS, O_CLOEXEC) < 0)
		return -errno;
	close_from(FIRST_FREE);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null, fd) < 0)
			return -errno;
	close(null);
	return 0;
}

/* Until something happens, or `until`. */
static void wait_until(struct keeper *k, uint64_t until)
{
	struct pollfd p[2] = {{.fd = k->signals, .events = POLLIN},
			      {.fd = k->hung_up ? -1 : CONTROL, .events = POLLRDHUP}};
	uint64_t now = loop_now(), ms = until > now ? (until - now + MS - 1) / MS : 0;
	struct signalfd_siginfo info;

	if (poll(p, 2, ms > 1000000 ? 1000000 : (int)ms) <= 0)
		return;
	if (p[1].revents)
		k->hung_up = true;
	while (read(k->signals, &info, sizeof(info)) == sizeof(info))
		;
}

/* Waits for what has ended, but for the first process: that stays a zombie, and its number its own.
 */
static void reap(struct keeper *k)
{
	siginfo_t info;

	for (;;) {
		memset(&info, 0, sizeof(info));
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
			return;
		if (info.si_pid == k->leader) {
			k->end = info;
			k->ended = true;
			return;
		}
		waitpid(info.si_pid, NULL, WNOHANG);
	}
}

/* To the whole group; the first process alone while it has not made it yet. */
static void send_signal(const struct keeper *k, int signal)
{
	if (kill(-k->leader, signal))
		kill(k->leader, signal);
}

static void watch(struct keeper *k)
{
	uint64_t until = loop_now() + k->o->timeout_ns;
	bool asked = false;

	for (;;) {
		reap(k);
		if (k->ended)
			return;
		if ((k->hung_up && !asked) || loop_now() >= until) {
			if (k->forced)
				return; /* the kernel does not let go of it */
			k->timed_out = k->timed_out || !k->hung_up;
			k->forced = asked;
			send_signal(k, asked ? SIGKILL : SIGTERM);
			send_signal(k, SIGCONT);
			until = loop_now() + (asked ? RUN_SWEEP_NS : k->o->term_ns);
			asked = true;
		}
		wait_until(k, until);
	}
}

struct living {
	pid_t leader;
	unsigned int n;
};

static void count_living(void *arg, pid_t child)
{
	struct living *l = arg;

	if (child != l->leader && !waitpid(child, NULL, WNOHANG))
		l->n++;
}

/* What the first process left may end by itself. */
static void linger(struct keeper *k)
{
	uint64_t until = loop_now() + k->o->linger_ns;

	while (!k->timed_out && !k->hung_up && loop_now() < until) {
		struct living l = {.leader = k->leader};

		if (children(count_living, &l) >= 0 && !l.n)
			return;
		wait_until(k, until);
	}
}

/* Kills all children, those that become ours by that too, until there are none. */
static void sweep(struct keeper *k, struct run_word *w)
{
	uint64_t until = loop_now() + RUN_SWEEP_NS;

	send_signal(k, SIGKILL);
	for (;;) {
		pid_t pid;
		int n;

		n = children(kill_it, NULL);
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			w->killed += pid != k->leader;
		if (pid < 0)
			return;
		if (loop_now() >= until) {
			w->remaining = n > 0 ? (unsigned int)n : 1;
			return;
		}
		wait_until(k, loop_now() + LOOK_AGAIN);
	}
}

static void end(struct keeper *k)
{
	struct run_word ended = {.kind = RUN_WORD_ENDED,
				 .timed_out = k->timed_out,
				 .forced = k->forced,
				 .at = loop_now()};
	struct run_word gone = {.kind = RUN_WORD_GONE};

	if (k->ended) {
		ended.code = k->end.si_status;
		ended.signalled = k->end.si_code != CLD_EXITED;
		tell(&ended);
		linger(k);
	}
	sweep(k, &gone);
	gone.at = loop_now();
	tell(&gone);
}

_Noreturn void run_keep(const struct run_order *o)
{
	struct keeper k = {.o = o};
	char why[sizeof(((struct run_word *)0)->why)] = "";
	int err = take_descriptors(o);
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	signal(SIGCHLD, SIG_DFL); /* ignored, it would not leave us the first process's end */
	prctl(PR_SET_NAME, "shift-keeper");
	setsid();
	k.signals = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	if (!err && (k.signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)))
		err = -errno;
	if (err) {
		tell_failed(RUN_SETUP, err, "");
		_exit(1);
	}
	err = file_check_safe(o->argv[0], why, sizeof(why));
	if (err) {
		tell_failed(RUN_REFUSED, err, why);
		_exit(1);
	}
	k.leader = fork();
	if (!k.leader)
		be_program(o);
	if (k.leader < 0) {
		tell_failed(RUN_SETUP, -errno, "");
		_exit(1);
	}
	close(OUT); /* so that the daemon sees their end */
	close(ERRORS);
	watch(&k);
	end(&k);
	_exit(0);
}
