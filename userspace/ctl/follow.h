/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * follow.h - backends that are named by DNS get the addresses that their names have now
 *
 *   ctl_follow_make(loop, say, arg, &f);
 *   ctl_follow_use(f, config);
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/conf/config.h"
#include "userspace/net/resolve.h"

struct ctl_follow;
struct loop;

enum ctl_follow_says {
	CTL_FOLLOW_LINE,
	CTL_FOLLOW_ALARM, /* a name leads where it may not, or cannot be followed: it stands, */
	CTL_FOLLOW_OVER,  /* until this: of no name any more */
};

/* One line for each change. */
typedef void (*ctl_follow_say)(void *arg, enum ctl_follow_says what, const char *text);

int ctl_follow_make(struct loop *l, ctl_follow_say say, void *arg, struct ctl_follow **ret);
void ctl_follow_free(struct ctl_follow *f); /* NULL is fine */
/* How often each name is looked up, more or less: 30 s unless this says otherwise. */
void ctl_follow_every(struct ctl_follow *f, uint64_t ns);
/* From here the names of these backends. The configuration must live until the next one is given,
 * or ctl_follow_free. 0, -ENOMEM. */
int ctl_follow_use(struct ctl_follow *f, const struct config *c);

/* ---- pure ---- */

/*
 * Why no backend may have this address, in words; NULL: it may. `local`: the addresses of this
 * host. Listen addresses, this host's, dns.old's, and what is not public (net/public.h).
 */
const char *ctl_follow_refusal(const struct config *c, const uint32_t (*local)[4], unsigned int n,
			       const uint32_t address[4]);

/*
 * What a backend that has `now` shall have after a look-up that ended with `err` and `r`; a family
 * that could not be asked keeps what it has, and so does a name that cannot be asked or is gone.
 * True: that is another set, of *ret_n addresses, sorted.
 */
bool ctl_follow_change(const uint32_t (*now)[4], unsigned int n, int err, const struct resolved *r,
		       uint32_t (*ret)[4], unsigned int *ret_n);
