/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/base/who.h"

#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/screen.h"

#define SUM 9 /* "~89abcdef" */

/* Of two names that are too long, the one must not pass for the other: the end is a sum of it all
 * (FNV-1a). */
static void put_name(const char *name, char *ret, size_t size)
{
	uint32_t sum = 0x811c9dc5;

	if (strlen(name) < size || size <= SUM) {
		screen_clean(name, ret, size);
		return;
	}
	for (const char *c = name; *c; c++)
		sum = (sum ^ (unsigned char)*c) * 0x01000193;
	screen_clean(name, ret, size - SUM);
	snprintf(ret + strlen(ret), SUM + 1, "~%08x", sum);
}

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
		put_name(p->pw_name, ret, size);
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

/* A name from the environment, or NULL. */
static const char *named(const char *variable)
{
	const char *name = getenv(variable);

	return name && name[strspn(name, " \t\r\n")] ? name : NULL;
}

void who_without_disk(char *ret, size_t size)
{
	const char *name = named("SHIFT_OPERATOR");

	if (!name)
		name = named("SUDO_USER");
	if (name)
		put_name(name, ret, size);
	else
		snprintf(ret, size, "uid %u", getuid());
}

void who_operator(char *ret, size_t size)
{
	uid_t uid;

	if (named("SHIFT_OPERATOR")) {
		who_without_disk(ret, size);
	} else if (login_uid(&uid)) {
		if (!name_of(uid, ret, size))
			snprintf(ret, size, "uid %u", uid);
	} else if (named("SUDO_USER") || !name_of(getuid(), ret, size)) {
		who_without_disk(ret, size);
	}
}
