/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * grow.h - a larger forward table under live traffic
 *
 * A map's size is fixed when it is made. So a new one takes new flows while programs that were
 * loaded as `growing` look into both; then every record is entered into the new one, by a program
 * of ours, and programs that know only the new one follow. Killed at any point, the next apply goes
 * on from there: what is attached tells how far it came.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "userspace/plane/plane.h"

/* Are there two tables? */
bool grow_under_way(const struct plane *p);

/* The table there is becomes the old one, and an empty one of `capacity` entries the new one. */
int grow_begin(struct plane *p, uint32_t capacity);

/* Copies what still leads to a flow; all programs look into both by now. */
int grow_copy(struct plane *p);

/* Forgets the old table; programs loaded from now on know one. */
int grow_end(struct plane *p);

/* The entries that the forward table has room for. */
uint32_t grow_capacity(const struct plane *p);
