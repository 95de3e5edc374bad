/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hostlock.h - the turn that writers of the maps take, one at a time per network namespace
 */
#pragma once

#include <stdbool.h>

/*
 * The lock's file, made if it is not there, in `path`; the descriptor or −errno: there can be none
 * (no root, no /run), and then nobody has it.
 */
int hostlock_open(char path[64]);
/* Without waiting. 0 until the descriptor is closed; -EAGAIN: somebody else has it. */
int hostlock_take(int fd);

/* The file that a drain of the service holds a lock on, in `path`. 0 or −errno: there can be none.
 */
int hostlock_drain(int service, char path[96]);
/* Is one under way? It is asked by taking the lock for a moment: a drain that begins looks twice.
 */
bool hostlock_drains(int service);
