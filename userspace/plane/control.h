/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * control.h - reading and publishing control records (the protocol is in bpf/shift.h)
 *
 * Nothing here waits: no lock, no disk, no allocation. A change is one compare-and-swap of 8 bytes
 * in memory shared with the kernel, 0.2 ns of work and a cache line. Several processes may change
 * the record at once; each learns whether it won.
 *
 * A writer claims one of the 31 places, fills it, and makes it current. Killed in between it leaves
 * a claim, which others may take after CLAIM_STALE_S; a rollback that finds every place claimed
 * takes one at once. So a writer that was stopped for longer may find its place taken when it goes
 * on: it looks before each step, and what is left of the race can only make a record invalid, which
 * its check shows (then nothing is shifted, and the next change mends it).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/shift.h"

/*
 * The record in force and the head it was read under. 0; -ENOENT: none was published yet; -EIO: the
 * current one is not whole, *ret is the newest that is.
 */
int control_get(const struct shift_control *c, struct shift_record *ret, uint64_t *ret_head);

/*
 * Publishes `next` in place of what `head` named. The generation is filled in here. 0; -EAGAIN:
 * somebody else published since; -EBUSY: 30 writers are at work, and `force` was not given.
 */
int control_publish(struct shift_control *c, uint64_t head, const struct shift_record *next,
		    bool force);

/*
 * Read, let `edit` change a copy, publish; again whenever somebody was faster. `edit` returns 0 to
 * publish, 1 to leave all as it is, or an error, which is returned. Before and after are what the
 * winning round saw; the record is zero in the first ever round. -EBUSY after two seconds of
 * others' work, but never with `force`.
 */
typedef int (*control_edit)(struct shift_record *r, void *arg);
int control_change(struct shift_control *c, control_edit edit, void *arg, bool force,
		   struct shift_record *ret_before, struct shift_record *ret_after);

/*
 * Before a program is put where none was any more, as when its interface was made anew: only the
 * pins kept what was in force, and nobody was shifted by it for a while. Without `restore`
 * (on_boot) the share is 0 from here, but once authority is new. 0, and *ret_after is in force;
 * -EBUSY.
 */
int control_anew(struct shift_control *c, bool restore, const char *who,
		 struct shift_record *ret_before, struct shift_record *ret_after);

/*
 * The share of all clients that `weight N --overall` asked to be kept while DNS moves, hundredths
 * of a percent; 0: none is. It is part of the record, so whatever sets another share ends it.
 */
uint16_t control_kept(const struct shift_record *r, uint64_t boot);

/* Nanoseconds of CLOCK_BOOTTIME and CLOCK_REALTIME. */
uint64_t control_boot_ns(void);
uint64_t control_real_ns(void);
