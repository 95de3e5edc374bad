/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ramp_json.h - the ramp as JSON: its status, and the evidence that the journal keeps
 *
 * Each returns a new reference, the caller's; NULL: no memory.
 */
#pragma once

#include <jansson.h>

#include "userspace/ctl/ramp.h"

/* The object of `ramp status --json`; beyond SPEC's fields: epoch, by, frozen, held_s, hold_left_s,
 * next, and to_stage while a promotion is under way. `v` is the view of the last step. */
json_t *ramp_status_json(const struct ramp *r, const struct ramp_view *v);
/* [{"name", "verdict", "value" or null, "why", and of one with a baseline: "baseline", "whole"}] */
json_t *ramp_gates_json(const struct ramp_gate *gates, unsigned int n);
/* A text that is no UTF-8 is kept as far as it is. */
json_t *ramp_text_json(const char *text);
