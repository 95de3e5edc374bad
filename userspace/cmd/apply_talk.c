/* SPDX-License-Identifier: GPL-2.0-only */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "userspace/cmd/apply.h"
#include "userspace/plane/control.h"
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

void apply_half_done(const struct apply *a)
{
	uint16_t weight = shift_record_weight(&a->record, control_boot_ns());
	char detail[160];

	if (a->first)
		snprintf(detail, sizeof(detail), "failed: all of it was taken back");
	else
		snprintf(detail, sizeof(detail),
			 "failed half-way: the tables are changed, %u programs were replaced",
			 a->attached);
	say("%s; %s", detail,
	    a->first ? "nothing is attached" : "the share is as before; mend it and apply again");
	state_record(&a->record, &(struct state_event){.verb = "apply",
						       .service = a->conf->service,
						       .reason = a->reason,
						       .detail = detail,
						       .from = a->first ? 0 : weight,
						       .to = a->first ? 0 : weight,
						       .only_history = true});
}

int apply_write_globals(struct apply *a)
{
	return plane_set_globals(&a->p, &a->g);
}
