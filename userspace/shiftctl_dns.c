/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shiftctl_dns.c - the verbs about records and resolvers, and about health, which need the whole
 * configuration, ldns and libcurl; started by shiftctl
 */
#include <stdio.h>
#include <string.h>

#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"

static const struct verb verbs[] = {
	{"dns", cmd_dns, NULL, NULL},
	{"health", cmd_health, NULL, NULL},
	{"weight", cmd_overall, NULL, NULL},
};

int main(int argc, char **argv)
{
	struct options o;
	int code;

	parse_options(&argc, argv, &o);
	if (o.slip[0])
		return json_failure(&o, usage_error("%s", o.slip));
	for (size_t i = 0; argc && i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strcmp(verbs[i].name, argv[0]))
			continue;
		code = json_failure(&o, verbs[i].run(&o, argc, argv));
		return fflush(stdout) || ferror(stdout) ? EXIT_FAILED : code;
	}
	return usage_error("this is started by shiftctl");
}
