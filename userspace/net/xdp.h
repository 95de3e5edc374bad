/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xdp.h - the XDP program of a device, over rtnetlink: a program put there by netlink outlives
 * whoever put it, which one put by a link does not
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Puts `prog_fd` there, in place of `was_fd`, or, with −1, only where none is; −1 as `prog_fd`
 * takes `was_fd` away. `native`: by the driver, else by the kernel for any device. 0 or −errno:
 * -EBUSY or -EEXIST: another program is there; -EOPNOTSUPP: the driver has no XDP.
 */
int xdp_set(uint32_t ifindex, int prog_fd, int was_fd, bool native);
