/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * points_read.c - the points as others read them
 */
#include <errno.h>
#include <stdio.h>

#include "userspace/ctl/journal.h"
#include "userspace/ctl/points.h"

int points_path(const char *dir, unsigned int number, char ret[400])
{
	int n = number ? snprintf(ret, 400, "%s/points.jsonl.%u", dir, number)
		       : snprintf(ret, 400, "%s/points.jsonl", dir);

	return n < 0 || n >= 400 ? -ENAMETOOLONG : 0;
}

int points_each(const char *dir, int (*each)(void *arg, const json_t *point), void *arg,
		unsigned int *ret_damaged)
{
	unsigned int damaged = 0;
	char path[400];
	int err = 0;

	for (unsigned int i = POINTS_KEPT + 1; !err && i--;) {
		err = points_path(dir, i, path);
		if (!err)
			err = journal_each_line(path, each, arg, &damaged);
	}
	if (ret_damaged)
		*ret_damaged = damaged;
	return err;
}
