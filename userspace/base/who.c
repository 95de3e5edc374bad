/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/base/who.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int name_of(uid_t uid, char *ret, size_t size)
{
	struct passwd *p;
	FILE *f = fopen("/etc/passwd", "re");
	int found = 0;

	if (!f)
		return 0;
	while (!found && (p = fgetpwent(f))) {
		if (p->pw_uid != uid)
			continue;
		snprintf(ret, size, "%s", p->pw_name);
		found = 1;
	}
	fclose(f);
	return found;
}

static int login_uid(uid_t *ret)
{
	unsigned int uid;
	FILE *f = fopen("/proc/self/loginuid", "re");
	int n;

	if (!f)
		return 0;
	n = fscanf(f, "%u", &uid);
	fclose(f);
	if (n != 1 || uid == (uid_t)-1)
		return 0;
	*ret = uid;
	return 1;
}

void who_operator(char *ret, size_t size)
{
	const char *name = getenv("SHIFT_OPERATOR");
	uid_t uid;

	if (name && *name) {
		snprintf(ret, size, "%s", name);
	} else if (login_uid(&uid)) {
		if (!name_of(uid, ret, size))
			snprintf(ret, size, "uid %u", uid);
	} else if ((name = getenv("SUDO_USER")) && *name) {
		snprintf(ret, size, "%s", name);
	} else if (!name_of(getuid(), ret, size)) {
		snprintf(ret, size, "uid %u", getuid());
	}
	for (char *c = ret; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
}
