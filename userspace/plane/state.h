/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * state.h - what survives the kernel: the persisted copy of control and the audit trail
 *
 * In SHIFT_STATE; else in /var/lib/shift, or for a network namespace other than process 1's in its
 * netns-INODE-COOKIE folder there, because another namespace's service is another service. Those
 * numbers begin anew at a boot, so what such a folder holds is believed for this boot only.
 * SERVICE.json is the copy, replaced whole; history.jsonl has one line per change, only appended.
 *
 * The copy always fills one block. Where no new file can be made, as on a full disk, it is written
 * over the one that is there: a rollback survives that, too.
 *
 * A change of control is recorded by a child process after it is in force: a disk that is full,
 * read-only or hangs can delay and fail nothing but the record itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/shift.h"

struct state {
	uint64_t epoch;
	uint16_t weight; /* to be restored: in force, or the fallback of an unconfirmed change */
	uint8_t authority;
	uint8_t authority_before; /* what `commit --undo` goes back to */
	bool latched;
	uint64_t latched_at;
	char latched_by[SHIFT_NAME];
	uint64_t locked_at;
	char locked_by[SHIFT_NAME];
	char lock_reason[SHIFT_REASON];
	bool this_boot; /* saved since this host booted */
	bool detached;	/* an operator took it away, and nobody applied it since */
};

/* What happened, for the history. The copy says of a "detach" that it was one. */
struct state_event {
	const char *verb;
	const char *service;
	const char *reason; /* may be NULL */
	const char *detail; /* may be NULL: what else the line should say */
	const char *who;    /* NULL: the operator of this process */
	uint16_t from, to;  /* weights */
	bool only_copy, only_history;
	int wait_ms; /* 0: 40 */
};

/* What became of the two: 0, -ETIMEDOUT, or why it failed. */
struct state_kept {
	int copy, history;
};

/* The folder, not made. -ENAMETOOLONG or what reading the namespace gave. */
int state_dir(char *ret, size_t size);

/* The file of a service's copy. As state_dir. */
int state_path(const char *service, char *ret, size_t size);

/* 0; -ENOENT: nothing saved; -EBADMSG: the file is damaged. */
int state_load(const char *service, struct state *ret);

/* The names of the services with a saved copy; how many, at most `max`. */
int state_services(char ret[][SHIFT_NAME], int max);

/* The record that a saved copy stands for, as it was published last. */
void state_to_record(const struct state *s, struct shift_record *ret);

/* Writes both in a child and waits until they can be read, but no longer than e->wait_ms; the child
 * then sees them to the disk. */
struct state_kept state_record(const struct shift_record *r, const struct state_event *e);

/* A process that goes on calls this now and then: what those children leave when they end is taken
 * away. Their ends are nobody else's to wait for. */
void state_reap(void);
