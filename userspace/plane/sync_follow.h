/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sync_follow.h - other addresses for one backend, while all else stays as it is in the maps
 *
 * For a backend whose DNS name changed: neither the configuration file nor anything that it may
 * have become since is put in force by that.
 */
#pragma once

#include "userspace/plane/sync.h"

/*
 * As sync_service does it: addresses that are gone take nothing new and are freed when no flow
 * holds them. The caller has taken the turn (hostlock.h). 0; -ENOENT: there is no such backend;
 * -ENODATA: the maps do not say which NAT addresses and ports it has, or of no family of these
 * addresses; -EFBIG: the forward table has no room; -ENOSPC; −errno. Where it is not 0, `apply`
 * must do it.
 */
int sync_addresses(struct plane *p, int service, const char *backend, const uint32_t (*address)[4],
		   unsigned int n, sync_way_fn way, sync_note_fn note, void *arg);
