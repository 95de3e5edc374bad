/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * run.h - a program run on the loop: no shell, a named user, a clean environment, bounded in time
 * and output, ended with all that it started
 *
 *   struct run_user user;
 *   run_user_find("nobody", &user);                 // at configuration time: it may block
 *   runner_make(loop, &r);
 *   run_begin(r, &(struct run_request){.argv = argv, .user = &user}, on_done, x, &run);
 *
 * The program gets PATH=/usr/sbin:/usr/bin:/sbin:/bin, LANG=C and what is given; /dev/null to
 * read, `/` as its folder, umask 022, a session of its own, no other descriptor, no core, no new
 * privileges (sudo does not work in it), and no capability unless its user is root.
 *
 * It ends when its first process does. What that left behind may go on for `linger_ns` and is then
 * killed, wherever it hid: a daemon is started through the service manager, not from here.
 *
 * To run one as another user takes CAP_SETUID, CAP_SETGID and, to end it, CAP_KILL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct run;
struct runner;

#define RUN_GROUPS   64
#define RUN_MAX_ARGS 64

struct run_user {
	char name[32];
	uid_t uid;
	gid_t gid;
	gid_t groups[RUN_GROUPS];
	int n_groups;
};

/* NULL and "" are nobody. 0; -ENOENT: there is none of that name; -E2BIG: in more groups than
 * RUN_GROUPS; −errno. As slow as the name service is. */
int run_user_find(const char *name, struct run_user *ret);

/*
 * Would run_begin refuse the program? 0; -EINVAL: no full path; -EPERM: others can change it, with
 * the offending component in `why`; -EACCES: nobody at all may execute it; −errno. `why` may be
 * NULL. Looks at the disk: at configuration time.
 */
int run_check(const char *path, char *why, size_t size);

struct run_request {
	const char *const *argv; /* NULL-ended, at most RUN_MAX_ARGS; the first a full path */
	const struct run_user *user;
	const char *const *environment; /* "SHIFT_NAME=text", NULL-ended; or NULL. No other names */
	uint64_t timeout_ns;		/* 0: 30 s */
	uint64_t term_ns;		/* from SIGTERM to SIGKILL; 0: 2 s */
	uint64_t linger_ns;		/* for what the program left behind; 0: 500 ms */
	size_t max_output;		/* kept, of each stream; 0: 16 KiB */
};

struct run_text {
	const char *data; /* with a zero behind; never NULL */
	size_t size;
	uint64_t dropped; /* bytes beyond max_output */
};

struct run_result {
	int err;    /* 0: it ran. -EPERM: refused; else why it could not be started or watched */
	int status; /* exit status; 0 with signal */
	int signal; /* that ended it; 0: it exited */
	bool timed_out;		     /* and was ended for that, whatever it said then */
	bool forced;		     /* SIGTERM was not enough */
	unsigned int left_behind;    /* processes it left and that were killed */
	unsigned int remaining;	     /* that could not be killed within 5 s */
	struct run_text out, errors; /* what it printed; a program may print anything */
	uint64_t duration_ns;	     /* of its first process */
	char why[256];		     /* in words; "" only if it exited in time with 0 */
};

typedef void (*run_done)(void *arg, const struct run_result *r);

int runner_make(struct loop *l, struct runner **ret);
/* Ends all that run, without calling back and without waiting; NULL is fine. */
void runner_free(struct runner *r);

/*
 * 0: `done` will be called once, from the loop, unless it is cancelled; all is copied. From `done`
 * anything may be called, runner_free too. -EINVAL: no full path, an environment that is not
 * SHIFT_…, too many arguments; −errno of making a process. ret may be NULL.
 */
int run_begin(struct runner *r, const struct run_request *q, run_done done, void *arg,
	      struct run **ret);
/* SIGTERM, then SIGKILL after term_ns, as if its time were up; `done` is not called. NULL is fine.
 */
void run_cancel(struct run *run);
