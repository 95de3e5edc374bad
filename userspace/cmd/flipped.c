/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flipped.c - what a rollback of the share does not reach: clients whose resolver has the new
 * answer
 *
 * `shiftctl rollback` waits for no disk, so what `dns cutover` noted there is read by a child that
 * is given up on when it does not answer in time.
 */
#include "userspace/cmd/flipped.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/base/screen.h"
#include "userspace/base/text.h"
#include "userspace/base/whole.h"
#include "userspace/plane/state.h"

#define WAIT_MS	 200
#define MAX_FILE (1 << 20)

/* Is the new set there, or may it be? */
static bool is_new(const json_t *type)
{
	const char *step = json_string_value(json_object_get(type, "step"));

	return step &&
	       (!strcmp(step, "done") || !strcmp(step, "begun") || !strcmp(step, "uncertain"));
}

static size_t about(const json_t *j, char *ret, size_t size)
{
	const char *name = json_string_value(json_object_get(j, "name")), *key;
	char types[32] = "", since[32], shown[128];
	json_int_t at = 0, ttl = 0;
	json_t *type;
	int n;

	json_object_foreach (json_object_get(j, "types"), key, type) {
		if (!is_new(type))
			continue;
		snprintf(types + strlen(types), sizeof(types) - strlen(types), "%s%.8s",
			 types[0] ? " and " : "", key);
		at = json_integer_value(json_object_get(type, "at"));
		ttl = json_integer_value(json_object_get(json_object_get(type, "new"), "ttl"));
	}
	if (!name || !types[0])
		return 0;
	screen_clean(name, shown, sizeof(shown));
	n = snprintf(ret, size,
		     "  DNS: %s of %s names the new side since %s: clients with that answer (TTL "
		     "%lld s) go there past this host, and are not reached; shiftctl dns check "
		     "says how many, shiftctl dns rollback brings the records back\n",
		     types, shown, text_time((uint64_t)at * 1000000000, since), (long long)ttl);
	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

static void look(int tell)
{
	char dir[160], path[512], text[2048] = "";
	struct dirent *e;
	size_t used = 0;
	DIR *d;

	if (state_dir(dir, sizeof(dir)))
		_exit(1);
	strncat(dir, "/dns", sizeof(dir) - strlen(dir) - 1);
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		size_t n = strlen(e->d_name);
		char *whole = NULL;

		if (strncmp(e->d_name, "change-", 7) || n < 5 || strcmp(e->d_name + n - 5, ".json"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (!whole_read(path, MAX_FILE, &whole, NULL)) {
			json_t *j = json_loads(whole, 0, NULL);

			used += about(j, text + used, sizeof(text) - used);
			json_decref(j);
		}
		free(whole);
	}
	_exit(write(tell, text, used) != (ssize_t)used);
}

const char *flipped_text(char *ret, size_t size)
{
	struct pollfd p = {.events = POLLIN};
	int ends[2];
	ssize_t n = 0;
	pid_t child;

	ret[0] = '\0';
	if (pipe(ends))
		return ret;
	child = fork();
	if (!child)
		look(ends[1]);
	close(ends[1]);
	p.fd = ends[0];
	if (child > 0) {
		if (poll(&p, 1, WAIT_MS) > 0)
			n = read(ends[0], ret, size - 1);
		else
			kill(child, SIGKILL);
		waitpid(child, NULL, WNOHANG);
	}
	close(ends[0]);
	ret[n > 0 ? n : 0] = '\0';
	return ret;
}
