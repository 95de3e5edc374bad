/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wireguard.h - a WireGuard device as the kernel keeps it, and the way from one to another
 *
 *   struct wg_device want, have;
 *   struct wg_delta d;
 *
 *   wg_read("wg-aws", &have);
 *   wg_diff(&want, &have, &d);     // pure
 *   wg_send(&d, why, sizeof(why)); // nothing is sent when nothing differs
 *
 * Desired and actual are one type; bits in `set` say which fields are meant. Only deltas are sent,
 * because the kernel acts on what it is told, not on what changes
 * (drivers/net/wireguard/netlink.c): replacing peers ends their sessions, replacing allowed IPs
 * takes them away first and loses packets, a port or mark that is set anew clears every peer's
 * cached source.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/base/key.h"

struct wg_network {
	uint32_t ip[4]; /* v4-mapped, network order */
	uint8_t family; /* 4 or 6 */
	uint8_t prefix; /* in bits of the family */
};

struct wg_endpoint {
	uint32_t ip[4]; /* v4-mapped, network order */
	uint16_t port;	/* host order */
	uint8_t family; /* 0: there is none */
};

/* Which fields of a wanted peer or device are meant; what was read has all that the kernel told. */
#define WG_PRIVATE_KEY 0x01
#define WG_PORT	       0x02
#define WG_FWMARK      0x04
#define WG_PSK	       0x01 /* all zero: none */
#define WG_ENDPOINT    0x02 /* not of a peer that may roam: its address is where it was last */
#define WG_KEEPALIVE   0x04

struct wg_peer {
	uint8_t public_key[KEY_SIZE];
	uint8_t psk[KEY_SIZE];
	unsigned int set;
	struct wg_endpoint endpoint;
	uint16_t keepalive;	    /* seconds, 0: off */
	uint64_t handshake_ns;	    /* CLOCK_REALTIME of the last one, 0: none yet; read only */
	uint64_t rx, tx;	    /* bytes; read only */
	struct wg_network *allowed; /* owned by the device */
	size_t n_allowed;
};

struct wg_device {
	char name[16];
	uint32_t ifindex;
	unsigned int set;
	uint8_t private_key[KEY_SIZE]; /* all zero: none */
	uint8_t public_key[KEY_SIZE];  /* read only */
	uint16_t port;
	uint32_t fwmark;
	struct wg_peer *peers;
	size_t n_peers;
};

/*
 * Reads a device of this network namespace over generic netlink, again when it was changed
 * meanwhile (NLM_F_DUMP_INTR). 0 and *ret, which the caller gives to wg_free; -ENODEV: there is no
 * such interface; -EOPNOTSUPP: it is no WireGuard device; -EPROTONOSUPPORT: this kernel has no
 * WireGuard; -EPROTO: the answer cannot be understood; -EAGAIN: it is changed all the time; another
 * −errno.
 */
int wg_read(const char *name, struct wg_device *ret);
/* Wipes the keys, too. */
void wg_free(struct wg_device *d);
/* The secret ones alone, for who only looks at the rest. */
void wg_forget_keys(struct wg_device *d);

/* Room for n peers, or allowed IPs of one; 0 or -ENOMEM. The old ones are freed and wiped. */
int wg_make_peers(struct wg_device *d, size_t n);
int wg_make_allowed(struct wg_peer *p, size_t n);

/*
 * One step of a delta. They are carried out in their order: the device's own as the kernel takes
 * them, peers changed and added, and what is removed last, so that a network which moves from one
 * peer to another, or is replaced by a larger one, always belongs to somebody.
 */
enum wg_step_kind {
	WG_STEP_FWMARK,
	WG_STEP_PORT,
	WG_STEP_PRIVATE_KEY,
	WG_STEP_ADD_PEER, /* all of it */
	WG_STEP_PSK,	  /* with WGPEER_F_UPDATE_ONLY, as those below */
	WG_STEP_ENDPOINT,
	WG_STEP_KEEPALIVE,
	WG_STEP_ADD_ALLOWED,	/* takes them away from the peer that had them, in one go */
	WG_STEP_REMOVE_ALLOWED, /* networks of the actual peer's; see wireguard_send.c how */
	WG_STEP_REMOVE_PEER,
};

struct wg_step {
	enum wg_step_kind kind;
	const struct wg_peer *peer; /* wanted; of REMOVE the actual one. NULL: the device's */
	const struct wg_network *networks; /* of ADD_PEER, ADD_ALLOWED, REMOVE_ALLOWED: sorted, no
					      bits behind the prefix; owned by the delta */
	size_t n_networks;
	uint32_t value; /* of FWMARK, PORT */
};

/* What is in `want` twice. */
struct wg_twice {
	const struct wg_peer *peer[2]; /* both of `want`; may be one and the same with a network */
	struct wg_network network;     /* family 0: the peer itself */
};

struct wg_delta {
	const struct wg_device *want; /* both must outlive it */
	uint32_t ifindex;	      /* of `have`; 0: by the name in `want` */
	struct wg_step *steps;
	size_t n;
	struct wg_network *networks; /* those of all steps */
	struct wg_twice twice;	     /* after -EEXIST */
};

/*
 * The steps from `have` to `want`: none when they agree. Pure. 0 and *ret, which the caller gives
 * to wg_delta_free; -ENOMEM; -EEXIST: a peer or an allowed IP is in `want` twice, and *ret has
 * nothing but `twice`. A wanted port of 0 is whatever the kernel chose.
 */
int wg_diff(const struct wg_device *want, const struct wg_device *have, struct wg_delta *ret);
void wg_delta_free(struct wg_delta *d);
/* "peer AbC…=: endpoint 192.0.2.1:51820", for --dry-run; never a secret. Returns ret. */
const char *wg_step_text(const struct wg_step *s, char *ret, size_t size);

/*
 * Carries the steps out, over as many messages as they need. Buffers that held keys are wiped. 0,
 * or −errno of the first message that failed, with the kernel's own words (extended ACK) in `why`
 * when it gave any, else "". What came before that message is done: read and diff again.
 */
int wg_send(const struct wg_delta *d, char *why, size_t size);
