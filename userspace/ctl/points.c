/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * points.c - the points' writer: a thread of its own, which alone touches the disk
 *
 * A disk that hangs must not hold the loop for the sake of a chart. So the loop hands one line over
 * and goes on; while the thread has not written it, the next ones are left out. The thread calls
 * nothing but the system: what forks meanwhile finds no lock of the C library held by it.
 *
 * Weakness: when shiftd ends while the disk hangs, the thread is left where it is and ends with the
 * process.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "userspace/ctl/points.h"

#define STACK (64u << 10)
#define PATH  400

struct points {
	pthread_mutex_t lock;
	pthread_cond_t news;
	bool busy, ends; /* the thread has a line that is not written; it shall end */
	char line[POINTS_LINE + 2];
	size_t size;
	char path[POINTS_KEPT + 1][PATH];
	size_t limit;
};

/* ---- the thread ---- */

static void make_room(const struct points *p, size_t more)
{
	struct stat st;

	if (stat(p->path[0], &st) || (size_t)st.st_size + more <= p->limit)
		return;
	for (unsigned int i = POINTS_KEPT; i--;)
		(void)!rename(p->path[i], p->path[i + 1]);
}

/* Behind a line that was cut short, or none at all: half a line is taken back. */
static void write_line(struct points *p)
{
	const char *text = p->line;
	size_t size = p->size;
	struct stat st;
	char last = '\n';
	int fd;

	make_room(p, size);
	fd = open(p->path[0], O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		  0600);
	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
		if (!st.st_size || (pread(fd, &last, 1, st.st_size - 1) == 1 && last == '\n')) {
			text++; /* the line's end that is for one that was cut short */
			size--;
		}
		if (write(fd, text, size) != (ssize_t)size)
			(void)!ftruncate(fd, st.st_size);
	}
	close(fd);
}

static void *write_on(void *arg)
{
	struct points *p = arg;

	prctl(PR_SET_NAME, "points");
	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->busy && !p->ends)
			pthread_cond_wait(&p->news, &p->lock);
		if (!p->busy)
			break;
		pthread_mutex_unlock(&p->lock);
		write_line(p);
		pthread_mutex_lock(&p->lock);
		p->busy = false;
	}
	pthread_mutex_unlock(&p->lock);
	pthread_cond_destroy(&p->news);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

/* ---- the loop's side ---- */

static int begin(struct points *p)
{
	pthread_attr_t attr;
	sigset_t all, was;
	pthread_t thread;
	int err = pthread_attr_init(&attr);

	if (err)
		return -err;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&all); /* they are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &was);
	err = pthread_create(&thread, &attr, write_on, p);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

int points_make(const char *dir, struct points **ret)
{
	struct points *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->limit = POINTS_SIZE;
	for (unsigned int i = 0; i <= POINTS_KEPT; i++) {
		if (points_path(dir, i, p->path[i])) {
			free(p);
			return -ENAMETOOLONG;
		}
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->news, NULL);
	err = begin(p);
	if (err)
		free(p);
	else
		*ret = p;
	return err;
}

void points_free(struct points *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->ends = true;
	pthread_cond_signal(&p->news);
	pthread_mutex_unlock(&p->lock); /* from here it is the thread's */
}

void points_limit(struct points *p, size_t bytes)
{
	pthread_mutex_lock(&p->lock);
	p->limit = bytes;
	pthread_mutex_unlock(&p->lock);
}

int points_add(struct points *p, const json_t *point)
{
	size_t n;
	int err = -EBUSY;

	pthread_mutex_lock(&p->lock);
	if (!p->busy) {
		p->line[0] = '\n';
		n = json_dumpb(point, p->line + 1, POINTS_LINE,
			       JSON_COMPACT | JSON_REAL_PRECISION(10));
		err = n && n <= POINTS_LINE ? 0 : -E2BIG;
		p->line[n <= POINTS_LINE ? n + 1 : 0] = '\n';
		p->size = n + 2;
		p->busy = !err;
		pthread_cond_signal(&p->news);
	}
	pthread_mutex_unlock(&p->lock);
	return err;
}
