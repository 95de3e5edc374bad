/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp.h - a command to the ramp in shiftd, for the verbs that give one
 */
#pragma once

struct options;

/* `command` as ctl/service.h has it; argv holds its options alone. An exit code. */
int ramp_tell(const struct options *o, const char *command, int argc, char **argv);
