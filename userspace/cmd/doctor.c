/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor.c - `doctor`: everything on this host that would hurt, each with evidence and fix
 *
 * Changes nothing, and ends within a minute whatever it meets. Without a configuration it looks at
 * the host alone. Exit 0 with nothing worse than notes, 1 with a warning or something critical, 2
 * when the command or the configuration is wrong.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/base/screen.h"
#include "userspace/cmd/doctor.h"
#include "userspace/cmd/verbs.h"
#include "userspace/cmd/complain.h"
#include "userspace/cmd/wish.h"

#define PATIENCE 60 /* seconds */

static void give_up(int signal)
{
	static const char text[] =
		"shiftctl: doctor: the kernel or the name servers did not answer in a minute\n";
	ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)signal;
	(void)n;
	_exit(EXIT_FAILED);
}

static int take_options(int argc, char **argv, bool *ret_all)
{
	static const char *const flags[] = {"--all", NULL};
	int at = 1, option;
	const char *value;

	while ((option = next_option(argc, argv, &at, flags, &value)) >= -1) {
		if (option == -1 && strcmp(value, "-v"))
			return usage_error("doctor: takes no argument '%s'", value);
		*ret_all = true;
	}
	return option == -3 ? EXIT_USAGE : EXIT_OK;
}

/* A file that somebody named must be there; that the default is not is no error. */
static int read_config(const struct options *o, struct config **ret)
{
	const char *env = getenv("SHIFT_CONFIG");
	struct conf_errors errors = {0};
	int code = EXIT_OK;

	*ret = NULL;
	if (!o->config_given && !(env && *env) && access(o->config, F_OK) && errno == ENOENT)
		return o->service ? usage_error("there is no %s to find service %s in", o->config,
						o->service)
				  : EXIT_OK;
	if (conf_load(o->config, ret, &errors)) {
		complain_of_file(&errors);
		code = EXIT_USAGE;
	} else {
		code = about_service(o, (*ret)->service);
	}
	conf_errors_free(&errors);
	return code;
}

static int examine(const struct options *o, bool all, const struct config *c)
{
	struct doctor_facts *f = calloc(1, sizeof(*f));
	struct doctor_report *r = calloc(1, sizeof(*r));
	struct doctor_style style = {use_colour(o), all, screen_columns()};
	int err = f && r ? doctor_look(c, f) : -ENOMEM, code = EXIT_FAILED;

	if (err) {
		say("doctor: %s", strerror(-err));
	} else {
		doctor_judge(f, r);
		if (o->json)
			print_json(doctor_json(f, r));
		else
			doctor_show(f, r, &style, stdout);
		code = r->count[DOCTOR_CRITICAL] || r->count[DOCTOR_WARNING] ? EXIT_FAILED
									     : EXIT_OK;
	}
	doctor_free(f);
	free(r);
	return code;
}

int cmd_doctor(const struct options *o, int argc, char **argv)
{
	struct config *c = NULL;
	bool all = false;
	int code = take_options(argc, argv, &all);

	if (!code)
		code = read_config(o, &c);
	if (!code) {
		signal(SIGALRM, give_up);
		alarm(PATIENCE);
		code = examine(o, all, c);
		alarm(0);
	}
	conf_free(c);
	return code;
}
