/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * apply.h - what the parts of `apply` share
 */
#pragma once

#include "userspace/cmd/cmd.h"
#include "userspace/cmd/wish.h"
#include "userspace/conf/config.h"
#include "userspace/plane/sync.h"

struct json_t;

struct apply {
	const struct options *o;
	const struct config *conf;
	struct wish *wish;
	struct plane p;
	struct shift_globals g;
	struct sync_result sync;
	bool first;		    /* nothing was attached or pinned here */
	struct shift_record record; /* in force at the end */
	bool published;
	bool ignore_saved;
	struct json_t *lines; /* of --json */
};

/* ---- apply_talk.c ---- */

/* A line for people; an exit code after saying what failed and what the kernel said of it. */
void apply_note(const char *line, void *arg);
int apply_failed(const char *what, int err);
int apply_write_globals(struct apply *a);

/* ---- apply_attach.c: exit codes, what failed was said ---- */

/* Puts the program on every interface, over a larger forward table if one is needed. */
int apply_attach(struct apply *a);
/* Takes it from interfaces that are listed no more, unless a flow still needs it there. */
int apply_leave(struct apply *a);
int apply_xdp(struct apply *a);
