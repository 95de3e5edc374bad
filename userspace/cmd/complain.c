/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/cmd/complain.h"

#include <stdio.h>

#include "userspace/cmd/cmd.h"

void complain_of_file(const struct conf_errors *errors)
{
	char line[CONF_TEXT + 512];

	conf_errors_print(errors, stderr);
	for (unsigned int i = 0; i < errors->n; i++) {
		const struct conf_error *e = &errors->error[i];

		snprintf(line, sizeof(line), "%s:%u:%u: %s", errors->file, e->at.line, e->at.column,
			 e->text);
		if (!e->warning)
			json_error(line);
	}
}
