/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * spare.h - the two programs of an interface, held for when it is made anew
 *
 * A program dies with its interface. Whoever holds it puts it back in a millisecond, without
 * reading a configuration that may be another by now, without loading anything, and with no look at
 * addresses that are not there yet.
 */
#pragma once

#include "userspace/plane/plane.h"

struct spare {
	char name[16];	  /* of the interface */
	uint32_t ifindex; /* where they were seen last; 0: nowhere, and nothing is held */
	uint32_t prog_id[2];
	int fd[2]; /* ingress, egress; −1: not held */
};

/* Those that are attached there now, and no others. Where they cannot be had nothing is held. */
void spare_take(struct spare *s, const struct plane_attachment *at);
/* Holds nothing any more, and forgets the interface. */
void spare_drop(struct spare *s);

/*
 * The data plane by the maps that these programs use: it is all that is left of one that had a
 * single interface and no pins. The caller closes it; 0 or −errno.
 */
int spare_plane(const struct spare *s, struct plane *ret);

/*
 * Puts them on the interface that has s->name now, and leads what went out through the old one out
 * through the new. The caller has taken the turn (hostlock.h) and found `p` in it. 0; 1: done, and
 * `apply` must do the rest (XDP); -EALREADY: some are there; −errno: it is `apply` that must do it,
 * as where they are of other maps, or the device is no Ethernet one, where only the host's tables
 * tell what the program has to expect.
 */
int spare_put(struct plane *p, struct spare *s);
