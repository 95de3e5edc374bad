/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shiftctl_tunnel.c - the verbs about tunnels, which need the whole configuration and libnl;
 * started by shiftctl
 */
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/verbs.h"

static const struct verb verbs[] = {
	{"tunnel", cmd_tunnel, NULL, NULL},
	{"latency", cmd_latency, NULL, NULL},
	{0},
};

int main(int argc, char **argv)
{
	return started_by_shiftctl(argc, argv, verbs);
}
