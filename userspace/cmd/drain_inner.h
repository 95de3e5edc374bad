/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * drain_inner.h - what the parts of `drain` share: the work (drain.c), what it reads
 * (drain_look.c), what is said of it (drain_show.c)
 */
#pragma once

#include "userspace/cmd/cmd.h"
#include "userspace/cmd/drain.h"

/* Why it ended. */
enum drain_end {
	DRAIN_DONE,
	DRAIN_MAX,	 /* --max were closed */
	DRAIN_IMPATIENT, /* those left would not come to rest */
	DRAIN_ROLLED_BACK,
	DRAIN_NO_SHARE,	 /* the share became 0 */
	DRAIN_FELL_BACK, /* what was closed came back to the old arm */
	DRAIN_STOPPED,	 /* by a signal */
	DRAIN_BROKEN,	 /* the kernel would not close one */
};

struct drain_entry {
	struct sockdiag_name name;
	uint32_t client[4];
	uint16_t port; /* network order */
	bool over;
	bool owed;    /* as the last look found it */
	uint64_t due; /* boot ns before which it cannot be idle */
};

struct drain {
	const struct options *o;
	struct plane p;
	int id;
	struct shift_service service;
	struct shift_record record;
	struct shift_listen listen[SHIFT_MAX_LISTENS];
	unsigned int n_listens, udp_listens;
	struct drain_rules rules;
	struct drain_patience patience;
	uint64_t gap_ns, wait_ns;
	uint32_t rate;
	uint64_t max; /* 0: all */
	bool dry;
	const char *reason;
	struct sockdiag *diag;
	struct drain_entry *entry;
	size_t n, room;
	uint32_t (*own)[4]; /* this host's addresses */
	size_t n_own;
	/* Found. */
	uint64_t seen; /* local connections of the service's listeners */
	uint64_t of[DRAIN_CHOICES];
	int64_t hidden; /* led elsewhere by DNAT; −1: not known */
	uint64_t idle;	/* at the first look, of a dry run */
	/* Done. */
	uint64_t closed, ended, busy, owed;
	uint64_t fell_back; /* of all new connections, since it began */
	uint64_t began, first, last;
	enum drain_end end;
	int err; /* with DRAIN_BROKEN */
};

/* The listeners, and those of their connections that may be moved, into k->entry. 0 or −errno. */
int drain_read(struct drain *k);
/* Into k->rules.usable. */
void drain_look_at_backends(struct drain *k);
/* New connections that fell back to the old host, ever. */
uint64_t drain_fallbacks(const struct drain *k);
enum drain_choice drain_choice_of(const struct drain *k, const uint32_t client[4], uint16_t port);

/* The answer, on stdout. */
void drain_print(const struct drain *k);
/* What `drain_print` said, as one line for the history. */
const char *drain_detail(const struct drain *k, char *ret, size_t size);
extern const char *const drain_end_names[];
