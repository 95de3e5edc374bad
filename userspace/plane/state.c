/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "userspace/base/boot.h"
#include "userspace/base/screen.h"
#include "userspace/base/who.h"
#include "userspace/plane/control.h"
#include "userspace/plane/plane.h"

#define WAIT_MS	  40
#define COPY_SIZE 4096 /* more than any copy needs */

static const char *const authority_names[] = {"old", "shared", "new"};

/* *ret_lasting: the folder's name means the same after a reboot. */
static int find_dir(char *ret, size_t size, bool *ret_lasting)
{
	const char *root = getenv("SHIFT_STATE");
	struct stat ns;
	uint64_t id;
	bool first;
	int err = plane_namespace(&id, &first), n;

	if (err)
		return err;
	*ret_lasting = true;
	if (root && *root) {
		n = snprintf(ret, size, "%s", root);
	} else if (first) {
		n = snprintf(ret, size, "/var/lib/shift");
	} else {
		if (stat("/proc/self/ns/net", &ns))
			return -errno;
		n = snprintf(ret, size, "/var/lib/shift/netns-%llu-%llu",
			     (unsigned long long)ns.st_ino, (unsigned long long)id);
		*ret_lasting = false;
	}
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int state_dir(char *ret, size_t size)
{
	bool lasting;

	return find_dir(ret, size, &lasting);
}

int state_path(const char *service, char *ret, size_t size)
{
	char dir[256];
	int err = state_dir(dir, sizeof(dir));

	if (!err && (size_t)snprintf(ret, size, "%s/%s.json", dir, service) >= size)
		err = -ENAMETOOLONG;
	return err;
}

static int make_dir(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) && errno != EEXIST) {
			*slash = '/';
			return -errno;
		}
		*slash = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static void copy_text(char *to, size_t size, const json_t *from)
{
	if (json_is_string(from))
		snprintf(to, size, "%s", json_string_value(from));
}

static uint8_t authority_of(const json_t *j)
{
	const char *name = json_string_value(j);

	for (unsigned int i = 0; name && i < 3; i++) {
		if (!strcmp(name, authority_names[i]))
			return (uint8_t)i;
	}
	return SHIFT_AUTHORITY_SHARED;
}

int state_load(const char *service, struct state *ret)
{
	char dir[256], path[320], boot[64];
	const char *boot_then;
	struct state s = {0};
	bool lasting;
	json_t *j;
	FILE *f;
	int err = find_dir(dir, sizeof(dir), &lasting), fd;

	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/%s.json", dir, service);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	f = fdopen(fd, "r");
	j = f ? json_loadf(f, 0, NULL) : NULL;
	if (f)
		fclose(f);
	else
		close(fd);
	if (!json_is_object(j) || !json_is_integer(json_object_get(j, "epoch"))) {
		json_decref(j);
		return -EBADMSG;
	}
	s.epoch = (uint64_t)json_integer_value(json_object_get(j, "epoch"));
	s.weight = (uint16_t)json_integer_value(json_object_get(j, "weight"));
	if (s.weight > SHIFT_WEIGHT_MAX)
		s.weight = 0;
	s.authority = authority_of(json_object_get(j, "authority"));
	s.authority_before = authority_of(json_object_get(j, "authority_before"));
	s.latched = json_is_true(json_object_get(j, "latched"));
	s.detached = json_is_true(json_object_get(j, "detached"));
	s.latched_at = (uint64_t)json_integer_value(json_object_get(j, "latched_at"));
	copy_text(s.latched_by, sizeof(s.latched_by), json_object_get(j, "latched_by"));
	s.locked_at = (uint64_t)json_integer_value(json_object_get(j, "locked_at"));
	copy_text(s.locked_by, sizeof(s.locked_by), json_object_get(j, "locked_by"));
	copy_text(s.lock_reason, sizeof(s.lock_reason), json_object_get(j, "lock_reason"));
	boot_id(boot);
	boot_then = json_string_value(json_object_get(j, "boot_id"));
	s.this_boot = boot_then && !strcmp(boot_then, boot);
	json_decref(j);
	if (!lasting && !s.this_boot)
		return -ENOENT; /* of another namespace that had these numbers */
	*ret = s;
	return 0;
}

int state_services(char ret[][SHIFT_NAME], int max)
{
	char dir[256];
	struct dirent *e;
	int n = 0;
	DIR *d;

	if (state_dir(dir, sizeof(dir)))
		return 0;
	d = opendir(dir);
	while (d && n < max && (e = readdir(d))) {
		size_t length = strlen(e->d_name);

		if (length <= 5 || length - 5 >= SHIFT_NAME ||
		    strcmp(e->d_name + length - 5, ".json"))
			continue;
		snprintf(ret[n++], SHIFT_NAME, "%.*s", (int)(length - 5), e->d_name);
	}
	if (d)
		closedir(d);
	return n;
}

void state_to_record(const struct state *s, struct shift_record *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->epoch = s->epoch;
	ret->weight = s->weight;
	ret->threshold = shift_weight_threshold(s->weight);
	ret->authority = s->authority;
	ret->authority_before = s->authority_before;
	ret->latched = s->latched;
	ret->latched_at = s->latched_at;
	memcpy(ret->latched_by, s->latched_by, sizeof(ret->latched_by));
	ret->locked_at = s->locked_at;
	memcpy(ret->locked_by, s->locked_by, sizeof(ret->locked_by));
	memcpy(ret->lock_reason, s->lock_reason, sizeof(ret->lock_reason));
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);

		if (n < 0)
			return -errno;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

/* A weight that was never confirmed is not one to come back to. */
static uint16_t weight_to_keep(const struct shift_record *r)
{
	if (r->confirm_deadline)
		return r->confirm_weight;
	return r->weight;
}

/* COPY_SIZE bytes, spaces behind the text. */
static char *state_text(const char *service, const struct shift_record *r, bool detached)
{
	char boot[64], *text, *whole = NULL;
	json_t *j;

	boot_id(boot);
	j = json_pack("{s:i, s:s, s:I, s:i, s:s, s:s, s:b, s:s, s:I, s:s, s:s, s:I, s:s, s:b}",
		      "schema", 1, "service", service, "epoch", (json_int_t)r->epoch, "weight",
		      (int)weight_to_keep(r), "authority", authority_names[r->authority % 3],
		      "authority_before", authority_names[r->authority_before % 3], "latched",
		      (int)r->latched, "latched_by", r->latched_by, "latched_at",
		      (json_int_t)r->latched_at, "locked_by", r->locked_by, "lock_reason",
		      r->lock_reason, "locked_at", (json_int_t)r->locked_at, "boot_id", boot,
		      "detached", (int)detached);
	if (!j)
		return NULL;
	text = json_dumps(j, JSON_INDENT(1));
	json_decref(j);
	if (text && asprintf(&whole, "%-*s\n", COPY_SIZE - 1, text) < 0)
		whole = NULL;
	free(text);
	return whole;
}

static int replace(const char *path, const char *text)
{
	char fresh[336];
	int fd, err;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	err = fd < 0 ? -errno : write_all(fd, text, strlen(text));
	if (fd >= 0 && close(fd) && !err)
		err = -errno;
	if (!err && rename(fresh, path))
		err = -errno;
	if (err)
		unlink(fresh);
	return err;
}

/* In the block that it has: one write, which needs no other. */
static int write_over(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW), err = -ENOSPC;
	struct stat there;

	if (fd < 0)
		return -errno;
	if (!fstat(fd, &there) && S_ISREG(there.st_mode) && there.st_size == COPY_SIZE)
		err = write_all(fd, text, strlen(text));
	close(fd);
	return err;
}

/*
 * Under a lock of the folder, so that of two writers the later epoch stays. Whether the service is
 * detached is said to that one, too; a writer that is late takes back no detach, `apply` does.
 */
static int save_in(const char *dir, const struct shift_record *r, const struct state_event *e)
{
	bool detached = e->verb && !strcmp(e->verb, "detach");
	bool applied = e->verb && !strcmp(e->verb, "apply");
	const char *service = e->service;
	struct shift_record later;
	char path[320], *text;
	struct state was;
	int err, lock;

	snprintf(path, sizeof(path), "%s/%s.json", dir, service);
	lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0)
		return -errno;
	if (flock(lock, LOCK_EX)) {
		err = -errno;
		close(lock);
		return err;
	}
	err = 0;
	if (!state_load(service, &was) &&
	    (was.epoch > r->epoch || (was.epoch == r->epoch && was.latched && !r->latched))) {
		if (was.detached == detached || (!detached && !applied))
			goto out;
		state_to_record(&was, &later);
		r = &later;
	}
	text = state_text(service, r, detached);
	err = text ? replace(path, text) : -ENOMEM;
	if (err && text && !write_over(path, text))
		err = 0;
	free(text);
out:
	close(lock);
	return err;
}

/* All of it or nothing: half a line would spoil the next one. */
static int append_line(int fd, const char *line)
{
	struct stat before;
	int err;

	if (flock(fd, LOCK_EX) || fstat(fd, &before))
		return -errno;
	err = write_all(fd, line, strlen(line));
	if (err && S_ISREG(before.st_mode) && ftruncate(fd, before.st_size))
		return err;
	return err;
}

static int append_history(const char *dir, const struct shift_record *r,
			  const struct state_event *e)
{
	char path[320], who[SHIFT_NAME], when[64], reason[256], detail[256], *text, *line;
	time_t now = time(NULL);
	struct tm tm;
	json_t *j;
	int fd, err;

	if (e->who)
		screen_clean(e->who, who, sizeof(who));
	else
		who_operator(who, sizeof(who));
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	j = json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:f, s:f, s:s?, s:s?}", "schema", 1, "time",
		      when, "who", who, "verb", e->verb, "service", e->service, "epoch",
		      (json_int_t)r->epoch, "from", e->from / 100.0, "to", e->to / 100.0, "reason",
		      e->reason ? screen_clean(e->reason, reason, sizeof(reason)) : NULL, "detail",
		      e->detail ? screen_clean(e->detail, detail, sizeof(detail)) : NULL);
	if (!j)
		return -EINVAL;
	text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6));
	json_decref(j);
	if (!text)
		return -ENOMEM;
	if (asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	if (!line)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/history.jsonl", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	err = fd < 0 ? -errno : append_line(fd, line);
	if (fd >= 0 && close(fd) && !err)
		err = -errno;
	free(line);
	return err;
}

static struct state_kept record_here(const struct shift_record *r, const struct state_event *e)
{
	struct state_kept kept = {0};
	char dir[256];
	int err = state_dir(dir, sizeof(dir));

	if (!err)
		err = make_dir(dir);
	if (err)
		return (struct state_kept){err, err};
	if (!e->only_history)
		kept.copy = save_in(dir, r, e);
	if (!e->only_copy)
		kept.history = append_history(dir, r, e);
	return kept;
}

static void flush(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

/* What was written reaches the disk itself; nobody waits for that. */
static void flush_here(const char *service)
{
	char dir[256], path[320];

	if (state_dir(dir, sizeof(dir)))
		return;
	snprintf(path, sizeof(path), "%s/%s.json", dir, service);
	flush(path, O_RDONLY);
	snprintf(path, sizeof(path), "%s/history.jsonl", dir);
	flush(path, O_RDONLY);
	flush(dir, O_RDONLY | O_DIRECTORY);
}

/* The child keeps none of our descriptors: whoever waits for our output must not wait for the disk.
 */
static int be_apart(int keep)
{
	int null, high = fcntl(keep, F_DUPFD_CLOEXEC,
			       3); /* stdin and its like may have been closed */

	setsid();
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	null = open("/dev/null", O_RDWR);
	for (int fd = null + 1; fd < 3; fd++)
		dup2(null, fd);
	if (high > 3)
		close_range(3, (unsigned int)high - 1, 0);
	close_range((unsigned int)high + 1, ~0u, 0);
	return high;
}

/* A child outlives the call. */
#define CHILDREN 8
static pid_t children[CHILDREN];

void state_reap(void)
{
	for (int i = 0; i < CHILDREN; i++) {
		if (children[i] && waitpid(children[i], NULL, WNOHANG))
			children[i] = 0;
	}
}

static void leave_child(pid_t child)
{
	if (waitpid(child, NULL, WNOHANG))
		return;
	for (int i = 0; i < CHILDREN; i++) {
		if (!children[i]) {
			children[i] = child;
			return;
		}
	}
}

struct state_kept state_record(const struct shift_record *r, const struct state_event *e)
{
	struct state_kept kept = {-ETIMEDOUT, -ETIMEDOUT};
	struct pollfd p = {.events = POLLIN};
	int pipefd[2];
	pid_t child;

	state_reap();
	if (pipe2(pipefd, O_CLOEXEC))
		return (struct state_kept){-errno, -errno};
	child = fork();
	if (child < 0) {
		kept = (struct state_kept){-errno, -errno};
		close(pipefd[0]);
		close(pipefd[1]);
		return kept;
	}
	if (!child) {
		int tell = be_apart(pipefd[1]);

		signal(SIGPIPE, SIG_IGN);
		kept = record_here(r, e);
		if (write(tell, &kept, sizeof(kept)) < 0)
			_exit(1);
		sched_setscheduler(0, SCHED_OTHER,
				   &(struct sched_param){0}); /* the rest has time */
		flush_here(e->service);
		_exit(0);
	}
	close(pipefd[1]);
	p.fd = pipefd[0];
	if (poll(&p, 1, e->wait_ms ? e->wait_ms : WAIT_MS) > 0 &&
	    read(pipefd[0], &kept, sizeof(kept)) != sizeof(kept))
		kept = (struct state_kept){-EIO, -EIO};
	close(pipefd[0]);
	leave_child(child);
	return kept;
}
