/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * short.h - the short way on XDP, beside the program on tc (bpf/xdp.bpf.h)
 *
 * Native where the driver runs it, else generic. Others' programs are not touched. All return 0 or
 * −errno.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "userspace/plane/plane.h"

/* Ours there, and how; SHIFT_XDP_NONE: none of ours. */
int short_find(uint32_t ifindex, enum shift_xdp_mode *ret);

/* Is another's program there? */
bool short_taken(uint32_t ifindex);

/* Puts `prog_fd` there, in place of ours. -EBUSY: another's is there. */
int short_attach(uint32_t ifindex, int prog_fd, enum shift_xdp_mode *ret);

/* Takes ours away; not there is no error. */
int short_remove(uint32_t ifindex);

/* Of those services that want XDP there only these bits stay; with the last one goes the program.
 */
int short_keep(struct shift_interface *f, uint16_t keep);
