/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sync_picture.h - what the parts of sync share: the kernel's tables as they were last seen or
 * written
 */
#pragma once

#include "userspace/base/ip.h"
#include "userspace/plane/sync.h"

struct picture {
	struct plane *p;
	const struct sync_wish *w;
	sync_way_fn way;
	sync_note_fn note;
	void *arg;
	struct sync_result result;
	struct shift_globals g;
	int service;
	struct shift_listen listen[SHIFT_MAX_LISTENS];
	struct shift_backend backend[SHIFT_MAX_BACKENDS];
	struct shift_target target[SHIFT_MAX_TARGETS];
	bool wanted_listen[SHIFT_MAX_LISTENS];
	bool wanted_backend[SHIFT_MAX_BACKENDS];
	/* Targets that keep the NAT ports they had, and the flows that hold some of these. */
	unsigned int kept_ports, kept_flows;
	/* Flows that hold a port, by what they refer to. */
	uint32_t held_listen[SHIFT_MAX_LISTENS];
	uint32_t held_backend[SHIFT_MAX_BACKENDS];
	uint32_t held_target[SHIFT_MAX_TARGETS];
	uint32_t held_service[SHIFT_MAX_SERVICES];
};

/* A line for people. */
void sync_tell(struct picture *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads all of it. */
int sync_take_picture(struct picture *s);

/* Counts the held_… arrays anew. */
int sync_count_holders(struct picture *s);

int sync_put(struct picture *s, enum plane_map map, uint32_t id, const void *value);

/* Writes or removes the entry that leads to a listener. */
int sync_entry(struct picture *s, uint32_t listen, bool present);

/* ---- sync_backends.c ---- */

/* Makes or updates one backend with its targets. */
int sync_backend(struct picture *s, const struct sync_backend *wish);
/* Whether siblings still share ports (SHIFT_BACKEND_MIXED), after a grace period and a count. */
int sync_settle_mixed(struct picture *s);
/* The Maglev tables of the service, over the backends that are wanted. */
int sync_tables(struct picture *s);
/* Frees a target that takes nothing new and is held by no flow. */
int sync_free_target(struct picture *s, uint32_t id);
/* Frees the records of one service, or (−1) of all, and what leads to them. */
int sync_forget_flows(struct picture *s, uint32_t target, int service);

/* ---- sync_clients.c ---- */

/* The configuration's entries; pins that are over go, too. */
int sync_clients(struct picture *s);
/* Every entry of the service, and who arrived: the id may be another's before. */
int sync_forget_clients(struct picture *s);

/* ---- sync_leave.c ---- */

/* What is not wanted takes nothing new from now on. */
int sync_drain_unwanted(struct picture *s);
/* Frees what drains and is held by no flow, as counted after a grace period. */
int sync_free_drained(struct picture *s);
