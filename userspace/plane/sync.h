/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sync.h - makes the maps say what the configuration says
 *
 * Hitless: packets are being forwarded meanwhile. A new thing is complete before something that is
 * looked up leads to it; what leaves the configuration first stops taking new flows ("drains") and
 * is freed by the first sync that finds no flow holding it. Ids of listeners, backends and targets
 * stay what they are as long as anything refers to them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "userspace/plane/plane.h"

#define SYNC_ADDRESSES 64 /* of one backend */

struct sync_backend {
	char name[SHIFT_NAME];
	uint16_t weight;
	uint16_t port; /* network order */
	unsigned int addresses;
	uint32_t address[SYNC_ADDRESSES][4];
	bool keep_last[2]; /* IPv4, IPv6: could not be learned now, those it has stay */
};

struct sync_listen {
	uint32_t address[4];
	uint16_t port; /* network order */
	uint8_t protocol;
	bool quic; /* UDP: a flow begins with an Initial packet */
};

/* An entry of the client table; those wanted first come first. */
struct sync_client {
	uint32_t address[4];
	uint8_t bits;	/* of 128; 0: everyone whom no other entry names */
	uint8_t action; /* BYPASS, DENY or ALLOW */
};

/* What one service wants. */
struct sync_wish {
	const char *service;
	uint8_t affinity, on_unable;
	uint32_t timeout_ms[SHIFT_FLOW_STATES];
	uint32_t udp_ms;
	uint32_t client_cap; /* live flows of one client; 0: no limit */
	const struct sync_listen *listens;
	unsigned int n_listens;
	const struct sync_backend *backends;
	unsigned int n_backends;
	const struct sync_client *clients;
	unsigned int n_clients;
	const uint32_t (*nat)[4];
	unsigned int n_nat;
	uint16_t port_lo, port_hi; /* host order, inclusive */
	uint32_t mtu;		   /* the smallest of the interfaces; 0: unknown */
};

/* Where a backend's packets leave, asked for each new or kept target. */
struct sync_way {
	uint32_t ifindex; /* 0: there is no route */
	uint16_t mtu;
	uint8_t gateway[6]; /* MAC of the next hop */
	bool gateway_known;
};
typedef void (*sync_way_fn)(const uint32_t address[4], const uint32_t nat[4], struct sync_way *ret);

/* One line for people per change, "+ backend aws …". */
typedef void (*sync_note_fn)(const char *line, void *arg);

struct sync_result {
	int service;
	bool fresh; /* the service was not there */
	unsigned int changes;
	unsigned int draining; /* listeners, backends and targets that still have flows */
	unsigned int no_route;
};

/*
 * 0 and *ret; -ENOSPC: too many services, listeners, backends or targets (the note says which);
 * -EEXIST: a listener is another service's; or −errno.
 */
int sync_service(struct plane *p, const struct sync_wish *w, sync_way_fn way, sync_note_fn note,
		 void *arg, struct sync_result *ret);

/* Takes a service away, its flows included; what others use stays. */
int sync_remove_service(struct plane *p, int service);

/* Entries that the forward table needs for the targets of `w` and, if `p` has maps, those there. */
uint32_t sync_capacity(const struct plane *p, const struct sync_wish *w);

/*
 * Live flows that one client may have: as configured (0: not), or half of the ports that there are
 * towards one backend, for with affinity client all of a client's are there. 0: no limit.
 */
uint32_t sync_client_cap(uint32_t configured, uint64_t ports);

/* Waits until no program run that began before is still under way. */
void sync_grace(void);

#define SYNC_PAUSE_MS 10000

/*
 * With `pause`, nothing of the service is shifted anew once this returns; without, again. A pause
 * ends by itself after SYNC_PAUSE_MS, should its maker die.
 */
int sync_pause(const struct plane *p, int service, bool pause);
