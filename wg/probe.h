/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * probe.h - ICMP echoes through one device
 *
 * A raw socket bound to the tunnel's device, so that a standby tunnel is probed through itself
 * whatever the routes say (IPv6 still wants a route through the device, of whatever metric).
 * Answers are believed only from the address asked, whole, with our identifier, a sequence number
 * that was sent and the nonce that was sent with it. A filter in the kernel keeps other ICMP away
 * from the socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wg/window.h"

#define PROBE_MAX 16384 /* bytes of IP packet that can be asked for */

struct probe;

/*
 * Towards `address` (v4-mapped) through `device` ("": by the routing table). 0 and *ret, which the
 * caller gives to probe_close; -ENODEV: no such device; -EPERM: not root; another −errno.
 */
int probe_open(const char *device, const uint32_t address[4], struct probe **ret);
void probe_close(struct probe *p); /* NULL is fine */
/* Readable when an answer may be there. Non-blocking. */
int probe_fd(const struct probe *p);
const struct window *probe_window(const struct probe *p);

/* Sends one of the usual size (56 bytes of payload). 0; or −errno: nothing left this host (-ENODEV,
 * -ENETUNREACH, -ENOKEY: WireGuard has no peer for it, -EDESTADDRREQ: that peer has no endpoint,
 * -EMSGSIZE), which counts as lost at once. A device that was made anew under its name is taken. */
int probe_send(struct probe *p, uint64_t now);
/* Sends one of `size` bytes of IP packet that must not be fragmented; it does not enter the window.
 * 0 and its sequence number; -EINVAL: too small to hold an echo with its nonce; -EMSGSIZE: bigger
 * than the device takes, or than PROBE_MAX; another −errno as above. */
int probe_send_sized(struct probe *p, uint32_t size, uint64_t now, uint16_t *ret_seq);

struct probe_event {
	uint32_t size; /* of the sized one that this is about; 0: about one of the usual size */
	uint16_t seq;
	uint64_t rtt_ns;
	uint32_t mtu; /* an ICMP "too big" about a sized one of ours said so, and it is smaller than
			 that one; 0: it is an answer */
};
/* The next answer that counts. 1 and *ret; 0: no more now; −errno. Kernel receive timestamps are
 * used, unless the wall clock, which they are of, was set meanwhile: then `now`. Takes in a bounded
 * number of packets that do not count, so 0 does not promise an empty socket: poll again. */
int probe_read(struct probe *p, uint64_t now, struct probe_event *ret);
/* Marks what is overdue as lost; how many. */
unsigned int probe_expire(struct probe *p, uint64_t now, uint64_t timeout);

/* One MTU search (wg/mtu.h) that blocks, for verbs: at most `limit_ns`. 0 and *ret (0: not even
 * `floor` passes); -ETIMEDOUT: the limit came first; −errno: as probe_send. */
int probe_mtu(struct probe *p, uint32_t floor, uint32_t top, uint64_t limit_ns, uint32_t *ret);

/* ---- the parts that decide; pure (wg/probe_packet.c) ---- */

struct probe_packet {
	bool too_big;	     /* an error that quotes one of ours; else an answer */
	uint16_t id, seq;    /* as sent */
	uint32_t address[4]; /* who answers (IPv4; zero for IPv6, whose header the kernel keeps), or
				whom the quoted one was for */
	bool has_nonce;	     /* a quote may end before it */
	uint64_t nonce;
	uint32_t size; /* of the IP packet of an answer */
	uint32_t mtu;  /* of an error; 0: a router that does not tell */
};

/* What a raw socket gives: IPv4 with its header, IPv6 (`family` 6) from the ICMPv6 header. 0 and
 * *ret, or -EBADMSG: nothing that can be about a probe. IPv4's checksum is checked, IPv6's was by
 * the kernel. */
int probe_parse(uint8_t family, const void *packet, size_t size, struct probe_packet *ret);

/* An echo request of `size` bytes of IP packet, from the ICMP header; IPv4's with its checksum. How
 * many bytes of `ret` it takes; -EINVAL: too small, -EMSGSIZE: too big. */
int probe_build(uint8_t family, uint16_t id, uint16_t seq, uint64_t nonce, uint32_t size,
		uint8_t ret[PROBE_MAX]);

/* Both clocks at one moment. */
struct probe_stamp {
	uint64_t boot, real;
};

/* The RTT of an answer that arrived at `arrived` (CLOCK_REALTIME; 0: not known) and was read at
 * `read`; `elapsed` by the caller's clock is what is left when the wall clock was set. Never 0. */
uint64_t probe_rtt(const struct probe_stamp *sent, const struct probe_stamp *read, uint64_t arrived,
		   uint64_t elapsed);
