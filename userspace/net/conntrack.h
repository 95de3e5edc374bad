/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * conntrack.h - the connections that netfilter follows, and so those it has masqueraded
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* One connection as its answers come in: from `src` to `dst`, as in bpf/shift.h. */
struct conntrack_seen {
	uint32_t src[4], dst[4];
	uint16_t sport, dport; /* network order */
	uint8_t protocol;
	uint32_t seconds; /* until it is forgotten, if nothing comes */
	uint32_t to[4];	  /* where its first packet went, before any DNAT */
	uint16_t to_port; /* network order */
	bool established; /* of TCP */
};

typedef void (*conntrack_fn)(const struct conntrack_seen *c, void *arg);

/* Calls `fn` for each TCP and UDP connection of this network namespace. How many there were; or
 * −errno: nothing is followed, or the kernel does not tell. */
int conntrack_each(conntrack_fn fn, void *arg);
