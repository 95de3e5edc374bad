/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * journal_disk.h - lines into the journal's files, by a thread of its own
 *
 * Whoever gives a line waits for it, but not for ever: what is not there by then goes on, and later
 * lines wait behind it, in order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define JOURNAL_WAITING 64 /* lines that may wait for a disk */

struct journal_disk;

/* Opens DIR/ramp.jsonl, which is made if it is not there. 0 or −errno. */
int journal_disk_open(const char *dir, size_t limit, struct journal_disk **ret);
/* What waits is given up when the disk does not answer soon. NULL is fine. */
void journal_disk_close(struct journal_disk *d);
/* A file that would be larger is rotated. */
void journal_disk_limit(struct journal_disk *d, size_t limit);

/*
 * Appends a line, without its end; with `sync` it is to be on the disk, or else in its cache. 0;
 * -ETIMEDOUT: not yet; -ENOBUFS: too many wait, and it is lost; −errno: it is not there.
 */
int journal_disk_put(struct journal_disk *d, const char *line, bool sync);

/* 0: nothing waits, and the last line is there; -ETIMEDOUT: some wait; −errno: the last one is not
 * there. How many wait in *ret_waiting. */
int journal_disk_state(struct journal_disk *d, unsigned int *ret_waiting);
