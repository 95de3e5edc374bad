/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shiftctl_dns.c - the verbs about records and resolvers, and about health, which need the whole
 * configuration, ldns and libcurl; started by shiftctl
 */
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"

static const struct verb verbs[] = {
	{"dns", cmd_dns, NULL, NULL},
	{"health", cmd_health, NULL, NULL},
	{"weight", cmd_overall, NULL, NULL},
	{0},
};

int main(int argc, char **argv)
{
	return started_by_shiftctl(argc, argv, verbs);
}
