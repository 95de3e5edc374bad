/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * journal_read.c - the journal as it is read by others: entry by entry, whatever they are
 *
 * Apart from the rest, so that a command that only reads needs nothing of the ramp.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "userspace/ctl/journal.h"

void journal_path(const char *dir, unsigned int number, char ret[400])
{
	if (number)
		snprintf(ret, 400, "%s/ramp.jsonl.%u", dir, number);
	else
		snprintf(ret, 400, "%s/ramp.jsonl", dir);
}

int journal_each_line(const char *path, int (*each)(void *arg, const json_t *entry), void *arg,
		      unsigned int *damaged)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int err = 0;

	if (!f)
		return errno == ENOENT ? 0 : -errno;
	while (!err && (n = getline(&line, &room, f)) > 0) {
		json_t *j = n > 1 ? json_loadb(line, (size_t)n, 0, NULL) : NULL;

		if (json_is_object(j))
			err = each(arg, j);
		else if (n > 1)
			++*damaged;
		json_decref(j);
	}
	if (!err && ferror(f))
		err = -EIO;
	free(line);
	fclose(f);
	return err;
}

int journal_each(const char *dir, int (*each)(void *arg, const json_t *entry), void *arg,
		 unsigned int *ret_damaged)
{
	unsigned int damaged = 0;
	char path[400];
	int err = 0;

	for (unsigned int i = JOURNAL_KEPT + 1; !err && i--;) {
		journal_path(dir, i, path);
		err = journal_each_line(path, each, arg, &damaged);
	}
	if (ret_damaged)
		*ret_damaged = damaged;
	return err;
}
