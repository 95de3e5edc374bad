/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shiftctl_apply.c - the verbs that need libbpf or the whole configuration; started by shiftctl
 */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"

static const struct verb verbs[] = {
	{"apply", cmd_apply, NULL, NULL},
	{"doctor", cmd_doctor, NULL, NULL},
	{"explain", cmd_explain, NULL, NULL},
	{"plan", cmd_plan, NULL, NULL},
};

int main(int argc, char **argv)
{
	struct options o;
	int code = parse_options(&argc, argv, &o);

	if (code)
		return code;
	for (size_t i = 0; argc && i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strcmp(verbs[i].name, argv[0]))
			continue;
		code = verbs[i].run(&o, argc, argv);
		return fflush(stdout) || ferror(stdout) ? EXIT_FAILED : code;
	}
	return usage_error("this is started by shiftctl");
}
