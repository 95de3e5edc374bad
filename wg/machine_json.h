/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * machine_json.h - the state of health and failover as JSON, for the disk between runs
 *
 * The times in it are of one boot; that the file is of this boot is for the caller to know. The
 * name of a state or an alarm, and not its number, is written.
 */
#pragma once

#include <jansson.h>

struct failover;
struct health;

/* A new reference, or NULL without memory. */
json_t *health_to_json(const struct health *h);
json_t *failover_to_json(const struct failover *f);

/* 0; -EBADMSG: something is missing, of another type or out of range, and *ret is as before. */
int health_from_json(const json_t *j, struct health *ret);
int failover_from_json(const json_t *j, struct failover *ret);
