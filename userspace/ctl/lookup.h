/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lookup.h - a name looked up without the loop waiting for it (net/resolve.h, in a thread)
 */
#pragma once

#include "userspace/net/resolve.h"

struct loop;
struct ctl_lookup;

/* `err` and `r` as of resolve_host. */
typedef void (*ctl_lookup_done)(void *arg, int err, const struct resolved *r);

/* `done` is called once, from the loop, unless it is cancelled. 0 or −errno. */
int ctl_lookup_begin(struct loop *l, const char *name, ctl_lookup_done done, void *arg,
		     struct ctl_lookup **ret);
/* The thread ends by itself, whenever the resolver lets it go. NULL is fine. */
void ctl_lookup_cancel(struct ctl_lookup *k);
