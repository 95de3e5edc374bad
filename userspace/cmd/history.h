/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * history.h - the two trails as one: what changed control (history.jsonl, plane/state.h) and what
 * the ramp decided (each service's ramp.jsonl, ctl/journal.h)
 *
 *	struct history h = {.service = "api", .limit = 20};
 *	err = history_read(&h, path);			h.entries, the newest last
 *	each second:	err = history_read(&h, path);	what came since, only that
 *	history_free(&h);
 *
 * An entry has the members of history.jsonl's lines; the ramp's have "trail" "ramp" besides, and a
 * verb that begins with "ramp". With `evidence` what was decided by gates has "gates", as the
 * journal has them: a decision of the ramp itself, and of a change that it made those before it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define HISTORY_FILES 64

struct history_file {
	FILE *f;
	uint64_t device, inode;
	char path[320];
	char service[64]; /* of a ramp's; "" */
};

struct history {
	/* What is wanted. */
	const char *service; /* NULL: every one */
	size_t limit;	     /* 0: none */
	time_t since;
	bool evidence;
	/* What was found. */
	json_t *entries; /* the last `limit` that fit */
	size_t earlier;	 /* fit too, but are beyond the limit */
	size_t damaged;
	bool torn; /* a last line has no end */
	/* Where reading goes on. */
	bool begun;
	struct history_file file[HISTORY_FILES];
	unsigned int files;
	json_t *control, *ramp; /* read, not joined yet */
	json_t *said;		/* the ramp's last entry, of each service */
	json_t *before;		/* gates before the change that makes an epoch, of each service */
};

/* 0, or −errno with the path that it is about. h->entries is new each time. */
int history_read(struct history *h, char path[320]);
void history_free(struct history *h);

/* −1: it has none that can be read. */
time_t history_time(const json_t *entry);
/* "" if it is not there. */
const char *history_text(const json_t *entry, const char *key);

/* ---- the pure part ---- */

/* A journal's entry as one of the history's, or NULL: it says nothing that the audit trail does not
 * say. `before` is the one that was shown before it, or NULL. */
json_t *history_of_ramp(const json_t *entry, const char *service, bool evidence,
			const json_t *before);
/* Both in the order of their time, of the same second by their epoch; a new reference. */
json_t *history_join(json_t *control, json_t *ramp);
