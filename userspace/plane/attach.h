/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * attach.h - the programs on an interface: putting them there, replacing them, taking them away
 *
 * tcx where the kernel has it (6.6), else a filter of our own on clsact. Replacing leaves no moment
 * without a program. Ours goes first, because one that ends the chain would keep every packet from
 * it; others' programs, filters and qdiscs are not touched. All return 0 or −errno.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "userspace/plane/plane.h"

/*
 * Puts the programs of ingress and egress on the interface of `f`, which is one of g->interface, in
 * place of ours where they are there. What must be known after a kill is in the maps before. Adds
 * one to *attached when the first is there; f->hook says where.
 */
int attach_interface(const struct plane *p, struct shift_globals *g, struct shift_interface *f,
		     const int fd[2], unsigned int *attached);

/* Takes ours away from both sides and XDP, the ingress last, by which the others are found; and the
 * qdisc if we made it and nobody uses it. Not there is no error. */
int attach_remove(uint32_t ifindex, bool made_clsact);

const char *attach_hook_name(enum shift_hook hook);
