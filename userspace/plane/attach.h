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

/* Puts `prog_fd` on one side of the interface, in place of ours if one is there. *ret says where it
 * is now. */
int attach_program(uint32_t ifindex, bool egress, int prog_fd, enum shift_hook *ret);

/* Will that make a clsact qdisc? To be noted before, so that whoever comes after a kill knows. */
int attach_makes_qdisc(uint32_t ifindex, bool *ret);

/* Takes ours away from both sides and XDP, the ingress last, by which the others are found; and the
 * qdisc if we made it and nobody uses it. Not there is no error. */
int attach_remove(uint32_t ifindex, bool made_clsact);

const char *attach_hook_name(enum shift_hook hook);
