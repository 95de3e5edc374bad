/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * status_ramp.c - what is known of the ramp: from shiftd, or without it from the ramp's journal
 *
 * `status` does not depend on a daemon. One that does not answer within STATUS_RAMP_MS is passed
 * over, and then the last whole line of the journal says where the ramp was; what a share is in
 * force is the kernel's to say in either case.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/api/socket.h"
#include "userspace/base/who.h"
#include "userspace/cmd/daemon.h"
#include "userspace/cmd/status.h"

#define TAIL	       (256 << 10) /* of the journal; an entry has a few KiB */
#define STATUS_DISK_MS 200

int status_ramp_ask(json_t **ret)
{
	char path[256], who[64];
	int err = daemon_socket(path, sizeof(path));

	*ret = NULL;
	who_operator(who, sizeof(who));
	if (!err)
		err = api_socket_ask(path, STATUS_RAMP_MS, "ramp status", NULL, who, ret);
	if (!err && json_integer_value(json_object_get(*ret, "code"))) {
		json_decref(*ret); /* not for this user, or the daemon is another than we know */
		*ret = NULL;
		err = -EACCES;
	}
	return err;
}

json_t *status_ramp_saved(const char *line, size_t size)
{
	static const char *const same[] = {"state", "stage", "stages", "weight", "epoch", "gates"};
	json_t *e = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL), *j = NULL;
	const json_t *saved = json_object_get(e, "saved"), *reason, *who;

	if (json_is_object(saved) && json_is_string(json_object_get(e, "state")) &&
	    json_is_integer(json_object_get(e, "stage"))) {
		j = json_object();
		for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
			json_t *value = json_object_get(e, same[i]);

			json_object_set_new(j, same[i], value ? json_incref(value) : json_null());
		}
		reason = json_object_get(saved, "reason");
		who = json_object_get(saved, "who");
		json_object_set(
			j, "reason",
			(json_t *)(json_is_string(reason) ? reason : json_object_get(e, "reason")));
		json_object_set(j, "who", (json_t *)who);
		json_object_set(j, "at", json_object_get(e, "time"));
	}
	json_decref(e);
	return j;
}

/* The last whole entry: what a crash tore is not one. */
static json_t *last_entry(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	char *text = NULL;
	json_t *found = NULL;
	ssize_t n = 0;

	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode))
		text = malloc(TAIL);
	if (text)
		n = pread(fd, text, TAIL, st.st_size > TAIL ? st.st_size - TAIL : 0);
	if (fd >= 0)
		close(fd);
	while (!found && n > 0) {
		char *end = text + n, *begin = end;

		while (begin > text && begin[-1] != '\n')
			begin--;
		found = status_ramp_saved(begin, (size_t)(end - begin));
		n = begin > text ? begin - 1 - text : 0;
	}
	free(text);
	return found;
}

static void write_last_entry(const char *path, int to)
{
	char *text = json_dumps(last_entry(path), JSON_COMPACT);

	if (text)
		(void)!write(to, text, strlen(text));
	_exit(0);
}

/* What comes within STATUS_DISK_MS, or nothing; *ret_ended: the child is about to end. */
static json_t *read_entry(int from, bool *ret_ended)
{
	struct pollfd p = {.fd = from, .events = POLLIN};
	char *text = malloc(TAIL);
	ssize_t n = 0, got = 1;
	json_t *found = NULL;

	while (text && got > 0 && n < TAIL && poll(&p, 1, STATUS_DISK_MS) > 0) {
		got = read(from, text + n, TAIL - (size_t)n);
		n += got > 0 ? got : 0;
	}
	*ret_ended = text && !got;
	if (*ret_ended)
		found = json_loadb(text, (size_t)n, 0, NULL);
	free(text);
	return found;
}

/*
 * By a child, because shiftd may be silent for the very reason that this disk hangs, and `status`
 * must not. One that hangs is left behind, and no other one is sent after it.
 */
static json_t *from_journal(const char *service)
{
	static pid_t before;
	char path[400], dir[200];
	bool ended = false;
	int pipes[2];
	json_t *found;

	if (before && !waitpid(before, NULL, WNOHANG))
		return NULL;
	before = 0;
	if (!*service || strchr(service, '/') || state_dir(dir, sizeof(dir)))
		return NULL;
	snprintf(path, sizeof(path), "%s/ramp/%s/ramp.jsonl", dir, service);
	if (pipe2(pipes, O_CLOEXEC))
		return NULL;
	before = fork();
	if (!before)
		write_last_entry(path, pipes[1]);
	close(pipes[1]);
	found = before > 0 ? read_entry(pipes[0], &ended) : NULL;
	close(pipes[0]);
	if (before < 0 || (before && waitpid(before, NULL, ended ? 0 : WNOHANG)))
		before = 0;
	return found;
}

static const char *why(int err)
{
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "shiftd does not run";
	case -ETIMEDOUT:
		return "shiftd does not answer";
	default:
		return "shiftd cannot be asked";
	}
}

/* A plan, and the host that runs it: else there is no ramp here. */
static bool is_about(const json_t *answer, const char *service)
{
	const char *name = json_string_value(json_object_get(answer, "service"));

	return name && !strcmp(name, service) &&
	       json_integer_value(json_object_get(answer, "stages")) > 0;
}

void status_ramp_of(const json_t *answer, int err, const char *service, struct status_ramp *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (answer && is_about(answer, service)) {
		ret->is = json_copy((json_t *)answer);
		ret->live = true;
		json_object_del(ret->is, "schema");
		json_object_del(ret->is, "code");
	} else if (!answer) {
		ret->is = from_journal(service);
		ret->why = why(err);
	}
	if (ret->is)
		json_object_set_new(ret->is, "live", json_boolean(ret->live));
}

void status_ramp_drop(struct status_ramp *r)
{
	json_decref(r->is);
	memset(r, 0, sizeof(*r));
}
