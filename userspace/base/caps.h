/* SPDX-License-Identifier: GPL-2.0-only */
/* caps.h - a process that was started with every right keeps those that it needs */
#pragma once

#include <stddef.h>

/*
 * Keeps of the capabilities this process has those listed (CAP_* of <linux/capability.h>), and so
 * do all that it starts: what is dropped from the bounding set no program gets back, setuid or not
 * (capabilities(7)). One that it never had is not missed. 0 or −errno; without CAP_SETPCAP only
 * the process itself is limited, and that is 0, too.
 */
int caps_keep(const int *keep, size_t n);
