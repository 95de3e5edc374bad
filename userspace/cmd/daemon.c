/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/cmd/daemon.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "userspace/api/socket.h"
#include "userspace/base/who.h"

int daemon_socket(char *ret, size_t size)
{
	const char *given = getenv("SHIFT_SOCKET"), *state = getenv("SHIFT_STATE");
	struct stat ns;
	int n;

	if (given && *given)
		n = snprintf(ret, size, "%s", given);
	else if (state && *state)
		n = snprintf(ret, size, "%s/shiftd.sock", state);
	else if (stat("/proc/self/ns/net", &ns))
		return -errno;
	else
		n = snprintf(ret, size, "/run/shift/shiftd-%llu.sock",
			     (unsigned long long)ns.st_ino);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int daemon_ask(const char *command, json_t *args, uint64_t timeout_ms, json_t **ret, int *ret_err)
{
	char path[256], who[64];
	json_t *answer = NULL;
	const char *error;
	int code;

	*ret = NULL;
	*ret_err = daemon_socket(path, sizeof(path));
	who_operator(who, sizeof(who));
	if (!*ret_err)
		*ret_err = api_socket_ask(path, timeout_ms, command, args, who, &answer);
	if (*ret_err)
		return *ret_err == -ETIMEDOUT ? EXIT_TIMEOUT : EXIT_FAILED;
	code = (int)json_integer_value(json_object_get(answer, "code"));
	error = json_string_value(json_object_get(answer, "error"));
	if (error)
		say("%s%s", code == EXIT_REFUSED ? "refused: " : "", error);
	*ret = answer;
	return code;
}

void daemon_silent(const struct options *o, int err)
{
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
		say("no shiftd runs here; start it with: systemctl start shiftd, or: shiftd -c %s",
		    o->config);
		break;
	case -EACCES:
		say("shiftd does not listen to this user: be root, or in a group that "
		    "metrics.read_group or write_group of the configuration names");
		break;
	case -EPERM:
		say("who listens on shiftd's socket is neither root nor this user: not asked");
		break;
	case -ETIMEDOUT:
		say("shiftd did not answer in time; the command may have been carried out: "
		    "shiftctl ramp status");
		break;
	default:
		say("shiftd cannot be asked: %s", strerror(-err));
	}
}
