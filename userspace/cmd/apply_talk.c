/* SPDX-License-Identifier: GPL-2.0-only */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "userspace/cmd/apply.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/load.h"

void apply_note(const char *line, void *arg)
{
	struct apply *a = arg;

	if (a->o->json)
		json_array_append_new(a->lines, json_string(line));
	else
		printf("  %s\n", line);
}

int apply_failed(const char *what, int err)
{
	const char *more = load_complaint();

	say("%s: %s", what, strerror(-err));
	if (*more)
		fprintf(stderr, "%s", more);
	return EXIT_FAILED;
}

int apply_write_globals(struct apply *a)
{
	uint32_t zero = 0;

	return bpfsys_update(a->p.map[PLANE_GLOBALS], &zero, &a->g);
}
