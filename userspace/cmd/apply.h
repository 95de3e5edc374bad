/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * apply.h - what the parts of `apply` share
 */
#pragma once

#include "userspace/cmd/cmd.h"
#include "userspace/cmd/wish.h"
#include "userspace/conf/config.h"
#include "userspace/plane/state.h"
#include "userspace/plane/sync.h"

struct json_t;

/* The program that is to run on an interface; its place is that in shift_globals.interface. */
struct apply_program {
	bool wanted, listed; /* listed: by this service */
	uint32_t l3[2];	     /* bytes before the IP header at ingress, egress */
	int fd[2];	     /* ingress, egress; 0: not loaded */
};

struct apply {
	const struct options *o;
	const struct config *conf;
	struct wish *wish;
	const char *reason;
	struct plane p;
	struct shift_globals g;
	struct sync_result sync;
	struct apply_program program[SHIFT_MAX_INTERFACES];
	bool growing;		    /* towards a larger forward table */
	bool first;		    /* nothing was attached or pinned here */
	bool changed;		    /* something of the host, or the maps of programs that run */
	unsigned int attached;	    /* interfaces whose programs were put in place */
	struct shift_record record; /* in force at the end */
	struct state saved;
	int saved_err; /* of state_load */
	bool published;
	bool ignore_saved, force;
	int lock;
	struct json_t *lines; /* of --json */
};

/* ---- apply_talk.c ---- */

/* A line for people; an exit code after saying what failed and what the kernel said of it. */
void apply_note(const char *line, void *arg);
int apply_failed(const char *what, int err);
int apply_write_globals(struct apply *a);
/* Of an apply that failed: says what is half done, and the history does, too. */
void apply_half_done(const struct apply *a);

/* ---- apply_clock.c ---- */

/* Into a->g; takes an eighth of a second. 0 or −errno. */
int apply_set_clock(struct apply *a);

/* ---- apply_attach.c: exit codes, what failed was said ---- */

/* Finds every interface and loads its program, over a larger forward table if one is needed. On
 * this host nothing is changed by that. */
int apply_prepare(struct apply *a);
/* Writes down where the programs will be, and puts them there. */
int apply_attach(struct apply *a);
void apply_unload(struct apply *a);
/* Takes it from interfaces that are listed no more, unless a flow still needs it there. */
int apply_leave(struct apply *a);
/* XDP where a service wants it; that it can be had was the plan's to judge. */
int apply_xdp(struct apply *a);
