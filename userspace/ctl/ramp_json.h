/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp_json.h - the gates' evidence as JSON, as the journal keeps it
 *
 * Each returns a new reference, the caller's; NULL: no memory.
 */
#pragma once

#include <jansson.h>

#include "userspace/ctl/ramp.h"

/*
 * [{"name", "verdict", "value" or null, "why"}], and what there is of: "class", "baseline", "whole"
 * and "expected" by it; of those of the configuration "bounds" ("ok < 0.1%, pause > 0.5%"), "unit",
 * "arm".
 */
json_t *ramp_gates_json(const struct ramp_gate *gates, unsigned int n);
/* A text that is no UTF-8, as one that was cut in the middle of a character, is kept as far as it
 * is. */
json_t *ramp_text_json(const char *text);
