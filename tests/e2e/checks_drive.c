/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * checks_drive CONFIG: runs the health checks and follows the backends' names on a loop as shiftd
 * does (names twice a second), for the tests: a line on stdout for each change ("ALARM " before
 * those that are one), the view on a line on SIGUSR1, the configuration anew on SIGHUP; TERM ends
 * it.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/loop.h"
#include "userspace/ctl/checks.h"
#include "userspace/ctl/follow.h"

struct drive {
	struct loop *loop;
	const char *file;
	struct config *c;
	struct ctl_checks *checks;
	struct ctl_follow *follow;
};

static void say(void *arg, bool alarm, const char *text)
{
	(void)arg;
	printf("%s%s\n", alarm ? "ALARM " : "", text);
}

static void say_of_names(void *arg, enum ctl_follow_says what, const char *text)
{
	say(arg, what == CTL_FOLLOW_ALARM, text);
}

static void on_show(void *arg, int number)
{
	const struct drive *d = arg;
	struct ctl_checks_view v;
	char text[512];

	(void)number;
	ctl_checks_look(d->checks, &v);
	printf("VIEW old=%s", ctl_health_name(v.old.state));
	for (unsigned int i = 0; i < v.n_backends; i++)
		printf(" %s=%s%s%s", v.backend[i].name, ctl_health_name(v.backend[i].state),
		       v.backend[i].held ? "/held" : "", v.backend[i].breaker ? "/breaker" : "");
	printf(" usable=%u/%u committed=%d: %s\n", v.all.usable, v.all.members, v.committed,
	       ctl_checks_text(d->checks, text, sizeof(text)));
}

static int load(struct drive *d)
{
	struct conf_errors errors = {0};
	struct config *c = NULL;
	int err = conf_load(d->file, &c, &errors);

	if (err)
		conf_errors_print(&errors, stderr);
	if (!err)
		err = ctl_checks_use(d->checks, c);
	if (!err)
		err = ctl_follow_use(d->follow, c);
	conf_errors_free(&errors);
	if (err)
		return err;
	conf_free(d->c);
	d->c = c;
	return 0;
}

static void on_reload(void *arg, int number)
{
	(void)number;
	printf("RELOAD %d\n", load(arg));
}

static void on_end(void *arg, int number)
{
	const struct drive *d = arg;

	(void)number;
	loop_stop(d->loop, 0);
}

int main(int argc, char **argv)
{
	struct drive d = {.file = argc > 1 ? argv[1] : ""};
	int code;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (loop_make(&d.loop) || ctl_checks_make(d.loop, say, NULL, &d.checks) ||
	    ctl_follow_make(d.loop, say_of_names, NULL, &d.follow))
		return 1;
	ctl_follow_every(d.follow, 500000000);
	loop_signal(d.loop, SIGTERM, on_end, &d);
	loop_signal(d.loop, SIGUSR1, on_show, &d);
	loop_signal(d.loop, SIGHUP, on_reload, &d);
	code = load(&d) ? 2 : 0;
	if (!code) {
		printf("READY\n");
		code = loop_run(d.loop);
	}
	ctl_checks_free(d.checks);
	ctl_follow_free(d.follow);
	conf_free(d.c);
	loop_free(d.loop);
	return code;
}
