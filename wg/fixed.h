/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fixed.h - a static IPsec tunnel as its key file says, step by step
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wg/keyfile.h"

struct conf_tunnel;

struct fixed_report {
	uint32_t sending;	/* id of the generation; 0: none, the tunnel is down */
	unsigned int spare;	/* generations left after it */
	unsigned int receiving; /* SAs that receive */
	int policies;		/* of 6 */
	uint64_t next_s;	/* CLOCK_REALTIME when something will change by itself, 0: never */
	uint64_t in_packets, out_packets, in_bytes, out_bytes;
	uint64_t replayed, failed;
	bool worn; /* a soft limit is reached and there is no other generation to take */
	bool changed;
	char done[512]; /* what was changed, or would be: "receives with 8, 9; sends with 8" */
};

/*
 * One look and what follows from it: SAs, policies. Does nothing when all is as it should be.
 * `state_dir` keeps NAME.used, which says what was ever installed, and NAME.lock; `now_s` is
 * CLOCK_REALTIME; `dry`: changes nothing, but says what it would. `memory`
 * is for who calls each second; without it (NULL) a host does not notice that its peer was booted
 * (rekey.c). 0;
 * -ENOENT, -EPERM: no key file, or others can read it; -EINVAL: it is wrong; -ENOKEY: no generation
 * is left; -EADDRNOTAVAIL: neither or both ends are here; -EEXIST: another program's policy is in
 * the way; or the kernel's −errno. `why` has the words. *ret is also set as far as it is known when
 * -ENOKEY.
 */
int fixed_step(const struct conf_tunnel *t, uint32_t if_id, const char *state_dir, uint64_t now_s,
	       bool dry, struct rekey_memory *memory, struct fixed_report *ret, char *why,
	       size_t size);

/* Removes our SAs and policies of that if_id; what was installed stays recorded. */
int fixed_down(uint32_t if_id, char *why, size_t size);

/* Who is who: from the configuration, else from the key file and this host's addresses. 0 or as of
 * fixed_step. */
int fixed_ends(const struct conf_tunnel *t, uint32_t ret_local[4], uint32_t ret_remote[4],
	       char *why, size_t size);
