/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hostports.h - the NAT ports of all services, kept out of the host's own (net/reserve.h)
 */
#pragma once

#include "userspace/plane/plane.h"

/*
 * Reserves the ports of all targets there are, or with `none` gives all of ours back; *g, which
 * says what is ours, is changed and written back. `changed` (256 bytes) receives the ranges that
 * are ours by now. 0; 1: nothing had to be changed; or −errno of reserve_update.
 */
int hostports_update(const struct plane *p, struct shift_globals *g, bool none, char changed[256]);

/*
 * Ports that connections masqueraded by this host use already (of containers, say), towards the
 * targets there are: their records are taken as busy for as long as netfilter keeps them, and from
 * now on the program does the same with every port of a target that is answered without a flow. How
 * many; 0 also when nothing is followed here.
 */
int hostports_avoid(const struct plane *p);
