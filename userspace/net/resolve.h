/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * resolve.h - the addresses of a name, as this host resolves it
 *
 * Whatever /etc/nsswitch.conf says (hosts file, resolver), whether or not this host has addresses
 * of a family itself. Blocks for as long as the resolver takes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RESOLVE_MAX 64

struct resolved {
	unsigned int n;
	uint32_t address[RESOLVE_MAX][4]; /* as in bpf/shift.h; sorted, IPv4 first, each once */
	unsigned int left_out;		  /* found beyond RESOLVE_MAX */
	bool missing[2]; /* IPv4, IPv6: that family could not be asked, so it may have addresses */
};

/*
 * 0: there is at least one address; -ENOENT: the name is not there or has no address, and that is
 * certain; -EAGAIN: no answer now, it may have one; another −errno: it cannot be asked at all.
 */
int resolve_host(const char *name, struct resolved *ret);
