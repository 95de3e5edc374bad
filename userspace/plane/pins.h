/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pins.h - the maps' names in bpffs, which keep flows over the death of an interface
 *
 * A convenience: everything works without them, and what is lost is made again by `apply`.
 */
#pragma once

#include "userspace/plane/plane.h"

/* Pins every map that is not pinned there already, mode 0600. -ENOENT: there is no bpffs. */
int pins_make(const struct plane *p);
/* Removes them and their folder. */
void pins_remove(void);
