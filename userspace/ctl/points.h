/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * points.h - a ramp's figures over time, for the charts of its report
 *
 *   points_make("/var/lib/shift/ramp/api", &p);
 *   each ten seconds:	points_add(p, point);
 *
 * DIR/points.jsonl: one line a point, {"at":1772375412.3,"weight":25.0,"seen":24.9,"old":{"rate",
 * "failed","p95_ms"},"new":{…}} as api/page.h has them. Beyond POINTS_SIZE it becomes
 * points.jsonl.1, and so on to POINTS_KEPT: some eight days. Nothing depends on them: they are
 * never synced, and one that the disk does not take at once is left out.
 */
#pragma once

#include <jansson.h>

#define POINTS_EVERY 10 /* s */
#define POINTS_SIZE  (4u << 20)
#define POINTS_KEPT  3u
#define POINTS_LINE  600 /* a longer one is left out */

struct points;

/* Begins a thread; in `dir`, which the first point finds there or not. 0 or −errno. */
int points_make(const char *dir, struct points **ret);
/* Without waiting; what was added is still written, unless the process ends first. NULL is fine. */
void points_free(struct points *p);
/* For tests: rotate beyond that many bytes. */
void points_limit(struct points *p, size_t bytes);
/* Never waits. -EBUSY: the one before is still being written; -E2BIG: it is longer than a line may
 * be. Whether the disk takes it nobody is told. */
int points_add(struct points *p, const json_t *point);

/* The file that is appended to (0), or that of so many rotations ago. 0 or -ENAMETOOLONG. */
int points_path(const char *dir, unsigned int number, char ret[400]);
/* Every whole line, the oldest first, through all files; as journal_each. */
int points_each(const char *dir, int (*each)(void *arg, const json_t *point), void *arg,
		unsigned int *ret_damaged);
