/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hostlock.h - the turn that writers of the maps take, one at a time per network namespace
 */
#pragma once

/*
 * The lock's file, made if it is not there, in `path`; the descriptor or −errno: there can be none
 * (no root, no /run), and then nobody has it.
 */
int hostlock_open(char path[64]);
/* Without waiting. 0 until the descriptor is closed; -EAGAIN: somebody else has it. */
int hostlock_take(int fd);
