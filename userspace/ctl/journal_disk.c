/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * journal_disk.c - the journal's files, and the thread that waits for them
 *
 * All that may wait for a disk once the journal is open is done by the thread: write, fdatasync,
 * and a rotation's opens and renames. It does nothing else, and takes no lock but this one's for
 * moments, so that a process forked from the daemon meanwhile finds nothing half-done.
 *
 * Who gives a line waits WAIT_SYNC for it, or WAIT_WRITE where only the page cache is asked; while
 * an earlier one that was waited for so long is late nobody waits. A line that came too late is
 * written none the less, in its order: the last one of the file is the latest state at every
 * moment.
 *
 * A rotation writes the line into a new file first, and then renames: at every moment either
 * ramp.jsonl or ramp.jsonl.1 ends in the latest state that was acknowledged.
 *
 * Weakness: a thread that hangs in the kernel cannot be ended, nor then the process, until the disk
 * answers. It trusts that the disk keeps what fdatasync said it has.
 */
#include "userspace/ctl/journal_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "userspace/ctl/journal.h"

#define MILLISECOND 1000000ull
#define WAIT_SYNC   (400 * MILLISECOND)
#define WAIT_WRITE  (50 * MILLISECOND)
#define WAIT_END    (400 * MILLISECOND)

struct line {
	char *text; /* with its end */
	size_t size;
	bool sync;
};

struct journal_disk {
	char dir[320];
	/* the thread's */
	int fd;
	size_t size;
	bool torn; /* the file does not end with the end of a line */
	pthread_t thread;
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t given, done;
	struct line line[JOURNAL_WAITING];
	uint64_t first, next; /* numbers of the oldest that waits, and of the next that comes */
	size_t limit;
	int err; /* of the last that was done */
	bool late, end, gone;
};

/* ---- the files ---- */

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd))
		err = -errno;
	close(fd);
	return err;
}

/* The file that is appended to, as it is. */
static int open_current(struct journal_disk *d)
{
	char path[400], last;
	struct stat st;
	int err;

	journal_path(d->dir, 0, path);
	d->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (d->fd < 0)
		return -errno;
	if (fstat(d->fd, &st) || !S_ISREG(st.st_mode)) {
		err = errno ? -errno : -EINVAL;
		close(d->fd);
		d->fd = -1;
		return err;
	}
	d->size = (size_t)st.st_size;
	d->torn = st.st_size && (pread(d->fd, &last, 1, st.st_size - 1) != 1 || last != '\n');
	return 0;
}

/* The line becomes the first of a new file, and the files move up by one. */
static int rotate(struct journal_disk *d, const struct line *l)
{
	char fresh[400], from[400], to[400];
	int fd, err;

	snprintf(fresh, sizeof(fresh), "%s/ramp.jsonl.new", d->dir);
	fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, l->text, l->size);
	if (!err && fsync(fd))
		err = -errno;
	for (unsigned int i = JOURNAL_KEPT; !err && i--;) {
		journal_path(d->dir, i, from);
		journal_path(d->dir, i + 1, to);
		if (rename(from, to) && errno != ENOENT)
			err = -errno;
	}
	journal_path(d->dir, 0, to);
	if (!err && rename(fresh, to))
		err = -errno;
	if (err) {
		close(fd);
		unlink(fresh);
		return err;
	}
	close(d->fd);
	d->fd = fd;
	d->size = l->size;
	d->torn = false;
	return sync_dir(d->dir);
}

static int append(struct journal_disk *d, const struct line *l)
{
	int err = d->torn ? write_all(d->fd, "\n", 1) : 0;

	if (!err && d->torn) {
		d->size++;
		d->torn = false;
	}
	if (!err)
		err = write_all(d->fd, l->text, l->size);
	if (err) { /* half a line is taken back; if that fails too, the next begins a new one */
		d->torn |= ftruncate(d->fd, (off_t)d->size) != 0;
		return err;
	}
	d->size += l->size;
	if (l->sync && fdatasync(d->fd))
		return -errno;
	return 0;
}

static int take_down(struct journal_disk *d, const struct line *l, size_t limit)
{
	int err = -EAGAIN;

	if (l->sync && d->size && d->size + l->size > limit)
		err = rotate(d, l);
	return err ? append(d, l) : 0; /* a file that cannot be begun anew goes on */
}

/* ---- the thread ---- */

static void discard(struct journal_disk *d)
{
	for (; d->first < d->next; d->first++)
		free(d->line[d->first % JOURNAL_WAITING].text);
	if (d->fd >= 0)
		close(d->fd);
	pthread_cond_destroy(&d->given);
	pthread_cond_destroy(&d->done);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static void *work(void *arg)
{
	struct journal_disk *d = arg;
	bool abandoned;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		struct line l;
		size_t limit;
		int err;

		while (d->first == d->next && !d->end)
			pthread_cond_wait(&d->given, &d->lock);
		if (d->end && (d->first == d->next || d->gone))
			break;
		l = d->line[d->first % JOURNAL_WAITING];
		limit = d->limit;
		pthread_mutex_unlock(&d->lock);
		err = take_down(d, &l, limit);
		pthread_mutex_lock(&d->lock);
		d->line[d->first++ % JOURNAL_WAITING].text = NULL;
		d->err = err;
		if (d->first == d->next)
			d->late = false;
		free(l.text);
		pthread_cond_broadcast(&d->done);
	}
	d->end = false; /* it has ended */
	abandoned = d->gone;
	pthread_cond_broadcast(&d->done);
	pthread_mutex_unlock(&d->lock);
	if (abandoned)
		discard(d);
	return NULL;
}

static int begin(struct journal_disk *d)
{
	pthread_condattr_t clock;
	sigset_t all, were;
	int err;

	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&d->given, &clock);
	pthread_cond_init(&d->done, &clock);
	pthread_condattr_destroy(&clock);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &were);
	err = pthread_create(&d->thread, NULL, work, d);
	pthread_sigmask(SIG_SETMASK, &were, NULL);
	return -err;
}

int journal_disk_open(const char *dir, size_t limit, struct journal_disk **ret)
{
	struct journal_disk *d = calloc(1, sizeof(*d));
	int err = d ? 0 : -ENOMEM;

	*ret = NULL;
	if (err)
		return err;
	d->fd = -1;
	d->limit = limit;
	snprintf(d->dir, sizeof(d->dir), "%s", dir);
	err = open_current(d);
	if (!err)
		err = sync_dir(dir);
	if (!err)
		err = begin(d);
	if (err) {
		if (d->fd >= 0)
			close(d->fd);
		free(d);
		return err;
	}
	*ret = d;
	return 0;
}

/* ---- whoever gives it something ---- */

static struct timespec in(uint64_t ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	ns += (uint64_t)t.tv_nsec;
	t.tv_sec += (time_t)(ns / 1000000000);
	t.tv_nsec = (long)(ns % 1000000000);
	return t;
}

void journal_disk_close(struct journal_disk *d)
{
	struct timespec until = in(WAIT_END);
	bool hangs = false;

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->end = true;
	pthread_cond_signal(&d->given);
	while (d->end && !hangs)
		hangs = pthread_cond_timedwait(&d->done, &d->lock, &until) == ETIMEDOUT;
	hangs = d->end;
	d->gone = hangs;
	if (hangs)
		pthread_detach(d->thread);
	pthread_mutex_unlock(&d->lock);
	if (hangs)
		return; /* the thread discards it when it can */
	pthread_join(d->thread, NULL);
	discard(d);
}

void journal_disk_limit(struct journal_disk *d, size_t limit)
{
	pthread_mutex_lock(&d->lock);
	d->limit = limit;
	pthread_mutex_unlock(&d->lock);
}

int journal_disk_put(struct journal_disk *d, const char *line, bool sync)
{
	struct line l = {.sync = sync};
	struct timespec until = in(sync ? WAIT_SYNC : WAIT_WRITE);
	int n = asprintf(&l.text, "%s\n", line), err = 0;
	uint64_t number;

	if (n < 0)
		return -ENOMEM;
	l.size = (size_t)n;
	pthread_mutex_lock(&d->lock);
	if (d->next - d->first == JOURNAL_WAITING) {
		pthread_mutex_unlock(&d->lock);
		free(l.text);
		return -ENOBUFS;
	}
	number = d->next++;
	d->line[number % JOURNAL_WAITING] = l;
	pthread_cond_signal(&d->given);
	while (!err && !d->late && d->first <= number)
		err = pthread_cond_timedwait(&d->done, &d->lock, &until);
	if (d->first <= number) {
		d->late |= l.sync; /* a short wait says little: the next one gets its own */
		err = -ETIMEDOUT;
	} else {
		err = d->err;
	}
	pthread_mutex_unlock(&d->lock);
	return err;
}

int journal_disk_state(struct journal_disk *d, unsigned int *ret_waiting)
{
	int err;

	pthread_mutex_lock(&d->lock);
	*ret_waiting = (unsigned int)(d->next - d->first);
	err = *ret_waiting ? -ETIMEDOUT : d->err;
	pthread_mutex_unlock(&d->lock);
	return err;
}
