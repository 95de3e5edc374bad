/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shiftctl_apply.c - the verbs that need libbpf or the whole configuration; started by shiftctl
 */
#include <stdlib.h>
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"

static const struct verb verbs[] = {
	{"apply", cmd_apply, NULL, NULL},
	{"doctor", cmd_doctor, NULL, NULL},
	{"explain", cmd_explain, NULL, NULL},
	{"plan", cmd_plan, NULL, NULL},
	{0},
};

int main(int argc, char **argv)
{
	return started_by_shiftctl(argc, argv, verbs);
}
