/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * snapshot.h - what was there before a change, and how far the change came, on disk
 *
 *   dns_change_lock(dir, "cutover", who, &fd, &holder);
 *   dns_snapshot_load(dir, name, s);                      what an earlier command left
 *   … s->type[0].old = what is there; s->type[0].step = DNS_STEP_BEGUN; …
 *   dns_snapshot_save(dir, s);                            before the first byte is sent
 *   …
 *   s->type[0].step = DNS_STEP_DONE; dns_snapshot_save(dir, s);
 *
 * One file for each name, replaced whole and synced at each step (base/whole.h), so that whoever is
 * killed between two steps leaves behind what the next command needs to know: DNS_STEP_BEGUN means
 * "look at what is there". The lock goes with the process.
 */
#pragma once

#include "dns/change.h"

enum dns_step {
	DNS_STEP_NONE,	    /* this type is not part of it */
	DNS_STEP_BEGUN,	    /* sent, or about to be: the old set or the new one is there */
	DNS_STEP_DONE,	    /* the new set was read back */
	DNS_STEP_NOT,	    /* nothing was changed */
	DNS_STEP_UNCERTAIN, /* could not be found out */
	DNS_STEP_BACK,	    /* the old set was put back, and read back */
};
extern const char *const dns_steps[];

struct dns_snapshot_type {
	enum dns_step step;
	uint64_t at; /* s since 1970: of the step */
	struct dns_rrset old, fresh;
	char id[128]; /* the provider's, of the change */
	char why[DNS_WHY];
};

struct dns_snapshot {
	char name[DNS_NAME];
	char provider[32], verb[16], who[64];
	uint64_t began, ended;		  /* s since 1970; ended 0: under way, or cut off */
	struct dns_snapshot_type type[2]; /* A, AAAA */
};

/* Did the change end, or was it cut off, without its being known how far it came? */
static inline bool dns_step_half(enum dns_step step)
{
	return step == DNS_STEP_BEGUN || step == DNS_STEP_UNCERTAIN;
}

/* 0; -ENOENT: there is none; -EBADMSG: it is damaged; −errno. */
int dns_snapshot_load(const char *dir, const char *name, struct dns_snapshot *ret);
/* Makes the folder if need be. 0; −errno: the earlier one is still there. */
int dns_snapshot_save(const char *dir, const struct dns_snapshot *s);
/* Returns ret. */
const char *dns_snapshot_path(const char *dir, const char *name, char *ret, size_t size);

struct dns_lock_holder {
	char verb[16], who[64];
	long pid;
	uint64_t since; /* s since 1970 */
};
/* Makes the folder if need be. 0 and a descriptor to close; -EAGAIN: `holder` has it; −errno. */
int dns_change_lock(const char *dir, const char *verb, const char *who, int *ret_fd,
		    struct dns_lock_holder *holder);
