/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lookup.c - getaddrinfo blocks for as long as the resolver takes, so it has a thread of its own
 *
 * The thread touches nothing but its job, which belongs to both until each has let it go; it tells
 * its end through a pipe. All signals are blocked in it: they are the loop's.
 */
#include "userspace/ctl/lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/loop.h"

struct job {
	unsigned int holders; /* atomic */
	int pipe;	      /* the thread's side */
	char name[256];
	int err;
	struct resolved found;
};

struct ctl_lookup {
	struct loop *loop;
	struct job *job;
	int pipe;
	ctl_lookup_done done;
	void *arg;
};

static void let_go(struct job *j)
{
	if (!__atomic_sub_fetch(&j->holders, 1, __ATOMIC_ACQ_REL))
		free(j);
}

static void *work(void *arg)
{
	struct job *j = arg;
	int fd = j->pipe;

	j->err = resolve_host(j->name, &j->found);
	let_go(j);
	(void)!write(fd, "", 1); /* a child forked meanwhile may hold the pipe, too */
	close(fd);
	return NULL;
}

static int start(struct job *j)
{
	sigset_t all, before;
	pthread_attr_t a;
	pthread_t t;
	int err;

	sigfillset(&all);
	pthread_attr_init(&a);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&a, 256 << 10);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&t, &a, work, j);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&a);
	return -err;
}

void ctl_lookup_cancel(struct ctl_lookup *k)
{
	if (!k)
		return;
	loop_unwatch(k->loop, k->pipe);
	close(k->pipe);
	let_go(k->job);
	free(k);
}

static void on_end(void *arg, int fd, unsigned int ready)
{
	struct ctl_lookup *k = arg;
	ctl_lookup_done done = k->done;
	struct resolved found = k->job->found;
	int err = k->job->err;
	void *to = k->arg;

	(void)fd, (void)ready;
	ctl_lookup_cancel(k);
	done(to, err, &found);
}

int ctl_lookup_begin(struct loop *l, const char *name, ctl_lookup_done done, void *arg,
		     struct ctl_lookup **ret)
{
	struct ctl_lookup *k = calloc(1, sizeof(*k));
	struct job *j = calloc(1, sizeof(*j));
	int fd[2], err = -ENOMEM;

	if (!k || !j)
		goto failed;
	if (pipe2(fd, O_CLOEXEC)) {
		err = -errno;
		goto failed;
	}
	*k = (struct ctl_lookup){.loop = l, .job = j, .pipe = fd[0], .done = done, .arg = arg};
	snprintf(j->name, sizeof(j->name), "%s", name);
	j->pipe = fd[1];
	j->holders = 2;
	err = loop_watch(l, fd[0], LOOP_READ, on_end, k);
	if (!err)
		err = start(j);
	if (!err) {
		*ret = k;
		return 0;
	}
	loop_unwatch(l, fd[0]);
	close(fd[0]);
	close(fd[1]);
failed:
	free(k);
	free(j);
	return err;
}
