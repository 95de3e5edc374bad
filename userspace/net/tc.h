/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tc.h - the clsact hook of kernels without tcx, over rtnetlink
 *
 * Our filter sits at a preference and handle of its own (TC_PRIORITY, TC_HANDLE), so that replacing
 * it is atomic and nobody else's filter is touched. All return 0 or −errno.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TC_PRIORITY 7 /* early: a filter that ends the chain would keep every packet from us */
#define TC_HANDLE   0x5f17

/* The program id of our filter on one side, 0: there is none. */
int tc_find(uint32_t ifindex, bool egress, uint32_t *ret_prog_id);

int tc_clsact_present(uint32_t ifindex, bool *ret);

/* Adds the qdisc; *ret_made says whether it was missing. */
int tc_clsact_ensure(uint32_t ifindex, bool *ret_made);

/* Adds or replaces our filter; `name` is shown to people. */
int tc_attach(uint32_t ifindex, bool egress, const char *name, int prog_fd);
int tc_detach(uint32_t ifindex, bool egress);

/* Is any filter left on either side of the clsact qdisc? */
int tc_clsact_empty(uint32_t ifindex, bool *ret_empty);
int tc_clsact_delete(uint32_t ifindex);
