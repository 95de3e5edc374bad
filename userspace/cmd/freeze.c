/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * freeze.c - `freeze`, `unfreeze`: the ramp promotes nothing meanwhile; operators and rollbacks are
 * not bound by it
 */
#include "userspace/cmd/cmd.h"
#include "userspace/cmd/ramp.h"
#include "userspace/cmd/verbs.h"

int cmd_freeze(const struct options *o, int argc, char **argv)
{
	return ramp_tell(o, argv[0], argc - 1, argv + 1);
}
