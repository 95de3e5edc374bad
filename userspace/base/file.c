/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * file.c - the walk to a file, one component at a time
 *
 * A path is followed by hand: every component is opened without following it, what was opened is
 * looked at, and only then is the next name looked up in it. So each answer is about the very
 * object that is used, and nobody can swap a folder between the look and the use. Symbolic links
 * are read and spliced into what is left of the path; they count as components, with an owner of
 * their own.
 *
 * A folder with the sticky bit may be writable by all: others can add names there, but not take
 * away or replace what is not theirs, and what they add is refused because it is theirs.
 */
#include "userspace/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINKS 40 /* as the kernel's own limit */
#define TRIES	  5

struct trail {
	int folder;		 /* the folder reached; −1 before the start */
	char rest[2 * PATH_MAX]; /* what is still to be walked */
	char done[2 * PATH_MAX]; /* what was, for the message */
	int links;
	bool secret;
	bool to_folder; /* the walk ends at a folder, and keeps it */
	char *why;
	size_t size;
};

static int refuse(const struct trail *t, int err, const char *what)
{
	if (t->why)
		snprintf(t->why, t->size, "%s %s", t->done[0] ? t->done : "/", what);
	return err;
}

/* What every component must be, whatever its kind. On the way to a log a group may write to a
 * folder, as Ubuntu's to /var/log: what it puts there in place of ours belongs to another user. */
static int judge(const struct trail *t, const struct stat *st)
{
	if (st->st_uid && st->st_uid != geteuid())
		return refuse(t, -EPERM, "belongs to another user");
	if (S_ISLNK(st->st_mode) || (S_ISDIR(st->st_mode) && st->st_mode & S_ISVTX))
		return 0;
	if (st->st_mode & S_IWOTH)
		return refuse(t, -EPERM, "can be written by everybody");
	if (st->st_mode & S_IWGRP && !(t->to_folder && S_ISDIR(st->st_mode)))
		return refuse(t, -EPERM, "can be written by its group");
	return 0;
}

/* The folder that the file is in: who may write there takes it away. */
static int judge_last(const struct trail *t)
{
	struct stat st;

	if (fstat(t->folder, &st))
		return -errno;
	if (st.st_mode & S_IWGRP && !(st.st_mode & S_ISVTX))
		return refuse(t, -EPERM, "can be written by its group");
	return 0;
}

static int judge_file(const struct trail *t, const struct stat *st)
{
	int err = judge(t, st);

	if (err)
		return err;
	if (!S_ISREG(st->st_mode))
		return refuse(t, -EINVAL, "is no regular file");
	if (t->secret && st->st_mode & 077)
		return refuse(t, -EPERM, "can be read by others: chmod 600");
	return 0;
}

static void move_to(struct trail *t, int folder)
{
	if (t->folder >= 0)
		close(t->folder);
	t->folder = folder;
}

/* Takes the next name off the rest; false when there is none. */
static bool next_name(struct trail *t, char name[NAME_MAX + 1], int *err)
{
	const char *from = t->rest + strspn(t->rest, "/");
	size_t n = strcspn(from, "/"), at = strlen(t->done);

	if (!n)
		return false;
	if (n > NAME_MAX || at + n + 2 > sizeof(t->done)) {
		*err = -ENAMETOOLONG;
		return false;
	}
	memcpy(name, from, n);
	name[n] = '\0';
	memmove(t->rest, from + n, strlen(from + n) + 1);
	snprintf(t->done + at, sizeof(t->done) - at, "/%s", name);
	return true;
}

static int start(struct trail *t)
{
	struct stat st;
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	move_to(t, fd);
	t->done[0] = '\0';
	return fstat(fd, &st) ? -errno : judge(t, &st);
}

/* Puts what a link names in front of the rest. */
static int follow(struct trail *t, int link)
{
	char target[PATH_MAX], rest[2 * PATH_MAX];
	ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (++t->links > MAX_LINKS)
		return refuse(t, -ELOOP, "is a link in a circle");
	if (snprintf(rest, sizeof(rest), "%s/%s", target, t->rest) >= (int)sizeof(rest))
		return -ENAMETOOLONG;
	memcpy(t->rest, rest, sizeof(rest));
	if (target[0] == '/')
		return start(t);
	*strrchr(t->done, '/') = '\0';
	return 0;
}

/*
 * The last name once more, to be read; what comes out must be what was looked at. O_NONBLOCK: a
 * pipe put in its place must not hold us up before fstat tells.
 */
static int open_file(struct trail *t, const char *name, const struct stat *seen)
{
	int fd = openat(t->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int err;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (st.st_dev != seen->st_dev || st.st_ino != seen->st_ino)
		err = -EAGAIN;
	else
		err = judge_file(t, &st);
	if (!err)
		return fd;
	close(fd);
	return err;
}

static bool rest_empty(const struct trail *t)
{
	return !t->rest[strspn(t->rest, "/")];
}

/* One component: 1 to go on, 0 with *ret_fd at the file, −errno. */
static int step(struct trail *t, const char *name, bool wanted, int *ret_fd)
{
	struct stat st;
	int err, fd = openat(t->folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	err = fstat(fd, &st) ? -errno : judge(t, &st);
	if (!err && S_ISLNK(st.st_mode)) {
		err = follow(t, fd);
		close(fd);
		return err ? err : 1;
	}
	if (!err && !t->to_folder && rest_empty(t)) {
		err = judge_file(t, &st);
		close(fd);
		if (err || !wanted)
			return err;
		fd = open_file(t, name, &st);
		if (fd < 0)
			return fd;
		*ret_fd = fd;
		return 0;
	}
	if (!err && !S_ISDIR(st.st_mode))
		err = -ENOTDIR;
	if (err) {
		close(fd);
		return err;
	}
	move_to(t, fd);
	return 1;
}

static int walk_once(const char *path, bool wanted, struct trail *t)
{
	char name[NAME_MAX + 1], here[PATH_MAX] = "";
	int fd = -1, err;

	if (!path[0])
		return -ENOENT;
	if (path[0] != '/' && !getcwd(here, sizeof(here)))
		return -errno;
	if (snprintf(t->rest, sizeof(t->rest), "%s/%s", here, path) >= (int)sizeof(t->rest))
		return -ENAMETOOLONG;
	err = start(t);
	if (!err)
		err = 1;
	while (err > 0 && next_name(t, name, &err))
		err = step(t, name, wanted, &fd);
	if (err > 0)
		err = t->to_folder ? 0 : refuse(t, -EINVAL, "is no regular file");
	if (err || !t->to_folder)
		move_to(t, -1);
	return err ? err : wanted ? fd : 0;
}

/* A file that is being replaced by its owner may be gone between two looks: look again. */
static int walk(const char *path, bool secret, bool wanted, char *why, size_t size)
{
	int result = -EAGAIN;

	for (int i = 0; i < TRIES && result == -EAGAIN; i++) {
		struct trail t = {
			.folder = -1, .secret = secret, .why = size ? why : NULL, .size = size};

		if (t.why)
			why[0] = '\0';
		result = walk_once(path, wanted, &t);
	}
	return result;
}

int file_check_safe(const char *path, char *why, size_t size)
{
	return walk(path, false, false, why, size);
}

int file_check_secret(const char *path, char *why, size_t size)
{
	return walk(path, true, false, why, size);
}

int file_open_safe(const char *path, char *why, size_t size)
{
	return walk(path, false, true, why, size);
}

int file_open_secret(const char *path, char *why, size_t size)
{
	return walk(path, true, true, why, size);
}

int file_append_secret(const char *path, char *why, size_t size)
{
	struct trail t = {.folder = -1,
			  .secret = true,
			  .to_folder = true,
			  .why = size ? why : NULL,
			  .size = size};
	const char *name = strrchr(path, '/');
	char folder[PATH_MAX];
	struct stat st;
	int fd, err;

	if (t.why)
		why[0] = '\0';
	if (snprintf(folder, sizeof(folder), "%.*s", name ? (int)(name - path) + 1 : 1,
		     name ? path : ".") >= (int)sizeof(folder))
		return -ENAMETOOLONG;
	name = name ? name + 1 : path;
	err = walk_once(folder, false, &t);
	if (!err)
		err = judge_last(&t);
	if (err) {
		move_to(&t, -1);
		return err;
	}
	fd = openat(t.folder, name,
		    O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		    0600);
	err = fd < 0 || fstat(fd, &st) ? -errno : 0;
	if (!err) {
		snprintf(t.done, sizeof(t.done), "%s", path);
		err = judge_file(&t, &st);
	}
	move_to(&t, -1);
	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	return err;
}
