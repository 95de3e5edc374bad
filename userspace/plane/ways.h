/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ways.h - the way out to each backend: asked of the routing table, and followed when routes moved
 *
 * The program sends a shifted packet out of the interface that its target's record names, without
 * asking the routing table first. So whoever moves routes that backends are behind (a tunnel's
 * failover) follows them here, and living flows go with the next packet.
 */
#pragma once

#include <stdint.h>

#include "userspace/plane/sync.h"

struct plane;

/* A sync_way_fn: what the kernel would do now. */
void ways_ask(const uint32_t address[4], const uint32_t nat[4], struct sync_way *ret);

/*
 * Corrects every target whose way is another now; one that has none keeps its last. How many were
 * corrected; 0 also when nothing is attached here; −errno.
 */
int ways_follow(void);
