/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service_attach.c - an interface that was re-created gets its program back
 *
 * A program dies with its interface. When one of the configuration's interfaces that had ours is
 * there again under another number, `apply` is run, as an operator would. One that still has the
 * number it had, and no program, was detached by somebody: that is left as it is.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/ctl/service_inner.h"

/* After one that did not help: as when the interface has no address yet. */
#define SOON (SERVICE_SECOND / 2)
#define LATE (30 * SERVICE_SECOND)

static bool has_ours(const struct service *s, uint32_t ifindex)
{
	for (int i = 0; s->open && i < s->plane.attachments; i++) {
		if (s->plane.at[i].ifindex == ifindex)
			return true;
	}
	return false;
}

/* The one that was re-created, or NULL. */
static const char *find_anew(struct service *s)
{
	const char *anew = NULL;

	for (unsigned int i = 0; i < s->conf->n_interfaces; i++) {
		const char *name = s->conf->interfaces[i].name;
		uint32_t ifindex = if_nametoindex(name);

		if (!ifindex)
			continue;
		if (has_ours(s, ifindex))
			s->had[i] = ifindex;
		else if (s->had[i] == ifindex)
			s->had[i] = 0; /* detached */
		else if (s->had[i])
			anew = name;
	}
	return anew;
}

static void become_apply(const struct service *s, const char *name)
{
	static const char *const places[] = {"", "/../libexec/shift"};
	char self[PATH_MAX] = "", path[PATH_MAX + 64], reason[64], *dir;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(reason, sizeof(reason), "%s was re-created", name);
	dir = n < 0 ? self : dirname(self);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, sizeof(path), "%s%s/shiftctl-apply", dir, places[i]);
		execl(path, "shiftctl", "-c", s->conf->file, "apply", "--reason", reason, NULL);
	}
	_exit(127);
}

static void take_end(struct service *s, uint64_t now)
{
	int status;

	if (waitpid(s->apply, &status, WNOHANG) != s->apply)
		return;
	s->apply = 0;
	s->found_at = 0;
	if (WIFEXITED(status) && !WEXITSTATUS(status)) {
		s->apply_wait = 0;
		s->apply_at = now + 2 * SERVICE_SECOND;
		return;
	}
	s->apply_wait = s->apply_wait ? 2 * s->apply_wait : SOON;
	if (s->apply_wait > LATE)
		s->apply_wait = LATE;
	s->apply_at = now + s->apply_wait;
	service_say(s, true, "%s: apply failed: it is tried again", s->name);
}

void service_attach(struct service *s, uint64_t now)
{
	const char *name = find_anew(s);

	if (s->apply)
		take_end(s, now);
	if (s->apply || !name || now < s->apply_at)
		return;
	service_say(s, true, "%s: %s was re-created, and its program is gone: apply", s->name,
		    name);
	s->apply = fork();
	if (!s->apply)
		become_apply(s, name);
	if (s->apply < 0) {
		s->apply = 0;
		s->apply_at = now + LATE;
	}
}
