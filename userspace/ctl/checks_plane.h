/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * checks_plane.h - backends in the kernel's maps as the checks see them, and their verdicts there
 */
#pragma once

#include "userspace/ctl/ask.h"

struct plane;

struct checks_seen {
	uint32_t id;
	char name[33];
	uint16_t weight;
	bool draining, breaker;
	uint8_t health;			 /* enum shift_health */
	uint64_t until;			 /* boot ns */
	struct ctl_place at[CTL_PLACES]; /* addresses with the target's port */
	unsigned int n;
};

/* The backends of a service; `ret` has room for CONF_MAX_BACKENDS. 0 or −errno. */
int checks_plane_read(const struct plane *p, int service, struct checks_seen *ret,
		      unsigned int *ret_n);

struct checks_verdict {
	uint32_t id;
	const char *name;
	uint8_t health;
	uint64_t until; /* boot ns */
};

/*
 * Writes them, in the turn that `apply` takes too, because a backend is written whole. 0; -EAGAIN:
 * somebody else is writing, nothing is done; −errno. What is another backend's by now is left.
 */
int checks_plane_write(const struct plane *p, int service, const struct checks_verdict *v,
		       unsigned int n);

/* The same for the old arm, which `status` shows. */
int checks_plane_write_old(const struct plane *p, int service, uint8_t health, uint64_t until);
