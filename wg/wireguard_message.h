/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wireguard_message.h - WireGuard's generic netlink messages, to and from memory
 *
 * No socket is needed for any of it, so that tests and the fuzzer play the kernel's part. Followed
 * is include/uapi/linux/wireguard.h.
 */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wg/wireguard.h"

/* ---- reading ---- */

struct wg_parse {
	struct wg_device device; /* what came so far; the caller gives it to wg_free, after a
				    failure too */
	size_t room_peers;	 /* in device.peers */
	size_t room_allowed;	 /* in the last peer's */
	uint32_t seq;		 /* of the request; other answers are passed over */
	uint16_t family;	 /* message type that WireGuard has */
	bool interrupted; /* the device was changed meanwhile: all of it is to be read again */
	char why[128];	  /* the kernel's words, or "" */
};

/* One message of a dump, with its header, aligned to 4 bytes; a peer may go on from the message
 * before. 0, -EPROTO, -ENOMEM. */
int wg_parse(const void *message, size_t size, struct wg_parse *state);

/*
 * What one read from the socket gave: messages of a dump, its end, an error. 1: there is more to
 * come, 0: that was the end, −errno: the kernel's, -EPROTO, -ENOMEM.
 */
int wg_parse_answer(const void *bytes, size_t size, struct wg_parse *state);

/* The answer to a request for the family's number: 1, 0 (the end, and *ret_family is set if it was
 * told), −errno. */
int wg_parse_family(const void *bytes, size_t size, uint32_t seq, uint16_t *ret_family);

/* ---- writing ---- */

#define WG_MESSAGE 16384 /* bytes of the largest we send */

/* Takes one message, which is wiped afterwards; 0 or −errno, which ends it all. */
typedef int (*wg_message_cb)(struct nlmsghdr *h, void *arg);

/* The messages that carry `d` out. `throwaway`: a public key that no peer has (see
 * wireguard_send.c). 0, -ENOMEM, what `cb` returned. */
int wg_write(const struct wg_delta *d, uint16_t family, const uint8_t throwaway[KEY_SIZE],
	     wg_message_cb cb, void *arg);
