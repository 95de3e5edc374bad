/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * used.c - which keys this host has ever given to its kernel, on disk
 *
 * The file is only ever appended to, a line in one write, and flushed to the disk before the key
 * is used. It holds digests of random keys, from which nothing of them can be learned. A line that
 * was cut short by a crash is the last and was never acted upon; any other damage ends all use.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wg/keyfile.h"
#include "wg/sha256.h"

#define DIGEST_TEXT (2 * SHA256_SIZE + 1)
#define LIMIT	    (16 * 1024 * 1024)

struct used_line {
	uint32_t id;
	bool out;
	char digest[DIGEST_TEXT];
};

static void digest(const struct keyfile_direction *d, char ret[DIGEST_TEXT])
{
	uint8_t keys[64], sum[SHA256_SIZE];

	memcpy(keys, d->enc, 32);
	memcpy(keys + 32, d->auth, 32);
	sha256(keys, sizeof(keys), sum);
	for (unsigned int i = 0; i < SHA256_SIZE; i++)
		snprintf(ret + 2 * i, 3, "%02x", sum[i]);
	explicit_bzero(keys, sizeof(keys));
}

/* One line without its end; −EBADMSG. */
static int parse_line(const char *text, struct used_line *ret)
{
	char way[4], end;

	if (sscanf(text, "%10" SCNu32 " %3s %64[0-9a-f]%c", &ret->id, way, ret->digest, &end) != 3)
		return -EBADMSG;
	if (strlen(ret->digest) != DIGEST_TEXT - 1 || (strcmp(way, "in") && strcmp(way, "out")))
		return -EBADMSG;
	ret->out = way[0] == 'o';
	return 0;
}

/* The lines, whole ones only; *ret_size: where the last whole one ends. */
static int read_lines(int fd, struct used_line **ret, size_t *ret_n, off_t *ret_size)
{
	struct used_line *line = NULL;
	struct stat st;
	size_t n = 0, got = 0, room;
	char *text, *at, *end;
	int err = 0;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_size > LIMIT)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	room = (size_t)st.st_size / (DIGEST_TEXT + 4) + 1;
	line = calloc(room, sizeof(*line));
	if (!text || !line)
		err = -ENOMEM;
	while (!err && got < (size_t)st.st_size) {
		ssize_t r = pread(fd, text + got, (size_t)st.st_size - got, (off_t)got);

		if (r <= 0)
			err = r ? -errno : -EIO;
		else
			got += (size_t)r;
	}
	if (!err) {
		text[got] = '\0';
		if (strlen(text) != got)
			err = -EBADMSG;
	}
	for (at = text; !err && (end = strchr(at, '\n')); at = end + 1) {
		*end = '\0';
		err = n < room ? parse_line(at, &line[n++]) : -EBADMSG;
	}
	if (err) {
		free(line);
	} else {
		*ret = line;
		*ret_n = n;
		*ret_size = at - text;
	}
	free(text);
	return err;
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat st;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EBADMSG;
	else if ((st.st_uid && st.st_uid != geteuid()) || st.st_mode & 022)
		err = -EPERM;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int sync_folder(const char *path)
{
	char folder[4096];
	const char *slash = strrchr(path, '/');
	int fd, err = 0;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1,
		 slash ? path : ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

static int append(int fd, off_t at, uint32_t id, bool out, const char *sum)
{
	char text[DIGEST_TEXT + 32];
	int n = snprintf(text, sizeof(text), "%" PRIu32 " %s %s\n", id, out ? "out" : "in", sum);
	ssize_t put;

	if (ftruncate(fd, at))
		return -errno;
	put = pwrite(fd, text, (size_t)n, at);
	if (put != n)
		return put < 0 ? -errno : -ENOSPC;
	return fsync(fd) ? -errno : 0;
}

int used_record(const char *path, const struct keyfile_generation *g, bool out,
		const struct keyfile_direction *d)
{
	struct used_line *line = NULL;
	char sum[DIGEST_TEXT];
	size_t n = 0;
	off_t end = 0;
	int fd = open_file(path, O_RDWR | O_CREAT), err;

	if (fd < 0)
		return fd;
	digest(d, sum);
	err = flock(fd, LOCK_EX) ? -errno : read_lines(fd, &line, &n, &end);
	for (size_t i = 0; !err && i < n; i++) {
		if ((line[i].id == g->id && line[i].out == out) || !strcmp(line[i].digest, sum))
			err = -EEXIST;
	}
	if (!err)
		err = append(fd, end, g->id, out, sum);
	if (!err)
		err = sync_folder(path);
	free(line);
	close(fd);
	return err;
}

int used_withdraw(const char *path, const struct keyfile_generation *g, bool out,
		  const struct keyfile_direction *d)
{
	struct used_line *line = NULL;
	char sum[DIGEST_TEXT], text[DIGEST_TEXT + 32];
	size_t n = 0;
	off_t end = 0;
	int fd = open_file(path, O_RDWR), err, size;

	if (fd < 0)
		return fd;
	digest(d, sum);
	err = flock(fd, LOCK_EX) ? -errno : read_lines(fd, &line, &n, &end);
	if (!err && (!n || line[n - 1].id != g->id || line[n - 1].out != out ||
		     strcmp(line[n - 1].digest, sum)))
		err = -ENOENT;
	size = snprintf(text, sizeof(text), "%" PRIu32 " %s %s\n", g->id, out ? "out" : "in", sum);
	if (!err && (ftruncate(fd, end - size) || fsync(fd)))
		err = -errno;
	free(line);
	close(fd);
	return err;
}

int used_look(const char *path, const struct keyfile *k, unsigned int out_way,
	      struct rekey_seen *seen)
{
	struct used_line *line = NULL;
	int fd = open_file(path, O_RDONLY), err;
	size_t n = 0;
	off_t end;

	for (unsigned int i = 0; i < k->n; i++)
		seen[i].used_in = seen[i].used_out = false;
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	err = flock(fd, LOCK_SH) ? -errno : read_lines(fd, &line, &n, &end);
	close(fd);
	for (unsigned int i = 0; !err && i < k->n; i++) {
		char sum[2][DIGEST_TEXT];

		digest(&k->generation[i].way[!out_way], sum[0]);
		digest(&k->generation[i].way[out_way], sum[1]);
		for (size_t j = 0; j < n; j++) {
			bool same = line[j].id == k->generation[i].id;

			if (!strcmp(line[j].digest, sum[0]) || (same && !line[j].out))
				seen[i].used_in = true;
			if (!strcmp(line[j].digest, sum[1]) || (same && line[j].out))
				seen[i].used_out = true;
		}
	}
	free(line);
	return err;
}
