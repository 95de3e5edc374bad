/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * probe.h - ICMP echoes through one device
 *
 * A raw socket bound to the tunnel's device, so that a standby tunnel is probed through itself
 * whatever the routes say. Answers are believed only from the address asked, with our identifier, a
 * sequence number on its way and the nonce that was sent. A filter in the kernel keeps other ICMP
 * away from the socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wg/window.h"

struct probe;

/*
 * Towards `address` (v4-mapped) through `device` ("": by the routing table). 0 and *ret, which the
 * caller gives to probe_close; -ENODEV: no such device; -EPERM: not root.
 */
int probe_open(const char *device, const uint32_t address[4], struct probe **ret);
void probe_close(struct probe *p);
/* Readable when an answer may be there. Non-blocking. */
int probe_fd(const struct probe *p);
const struct window *probe_window(const struct probe *p);

/* Sends one of the usual size. 0; or −errno: nothing left this host (-ENODEV, -ENETUNREACH,
 * -ENOKEY: WireGuard has no peer for it, -EDESTADDRREQ: that peer has no endpoint, -EMSGSIZE),
 * which counts as lost at once. */
int probe_send(struct probe *p, uint64_t now);
/* Sends one of `size` bytes of IP packet that must not be fragmented; it does not enter the window.
 * Its sequence number in *ret_seq. */
int probe_send_sized(struct probe *p, uint32_t size, uint64_t now, uint16_t *ret_seq);

struct probe_event {
	bool sized; /* an answer to a sized one */
	uint16_t seq;
	uint64_t rtt_ns;
	uint32_t mtu; /* an ICMP "too big" about one of ours said so; 0: it is an answer */
};
/* The next answer that counts. 1 and *ret, 0: no more now; −errno. Kernel receive timestamps are
 * used. */
int probe_read(struct probe *p, uint64_t now, struct probe_event *ret);
/* Marks what is overdue as lost; how many. */
unsigned int probe_expire(struct probe *p, uint64_t now, uint64_t timeout);

/* One round of blocking MTU search for verbs: at most `limit_ns`. 0 and *ret (0: not even `floor`
 * passes). */
int probe_mtu(struct probe *p, uint32_t floor, uint32_t top, uint64_t limit_ns, uint32_t *ret);
