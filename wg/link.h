/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * link.h - a tunnel's interface, its addresses, routes and rules, and the way from one picture to
 * another
 *
 * Desired and actual are one type. Only what is ours is looked at: the interface by its name,
 * routes and rules by their protocol (LINK_PROTOCOL) — everybody else's stay. Built on libnl-route,
 * but for making an interface, of whose kinds it does not know all.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_PROTOCOL 83 /* of our routes and rules, as in `ip route show proto 83` */

enum link_kind {
	LINK_NONE,  /* there is no such interface */
	LINK_OTHER, /* there is, and it is no tunnel of ours */
	LINK_WIREGUARD,
	LINK_XFRM,
};

struct link_network {
	uint32_t ip[4]; /* v4-mapped, network order; of an address: with its host bits */
	uint8_t family; /* 4 or 6 */
	uint8_t prefix; /* in bits of the family */
};

struct link_route {
	struct link_network to;
	uint32_t table;	    /* 254: main */
	uint32_t metric;    /* never 0, since IPv6 takes 0 for 1024 */
	uint32_t source[4]; /* preferred source, of to.family */
	bool has_source;
	uint32_t mtu; /* 0: the device's */
};

/* `not fwmark MARK lookup TABLE`: what is not the tunnel's own outer packet goes by its table. */
struct link_rule {
	uint8_t family;
	uint32_t priority;
	uint32_t table;
	uint32_t fwmark; /* 0: all packets */
	bool invert;
};

struct link {
	char name[16];
	enum link_kind kind;
	char kind_name[16]; /* as the kernel calls it, "device": not at all; read only */
	uint32_t ifindex;   /* read only */
	uint32_t if_id;	    /* of an xfrm interface */
	uint32_t lower;	    /* ifindex that an xfrm interface sits on, 0: none */
	uint32_t mtu;	    /* 0 in what is wanted: as it is */
	bool up;
	bool carrier;					     /* IFF_LOWER_UP; read only */
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets; /* read only */
	struct link_network *addresses;
	size_t n_addresses;
	struct link_route *routes; /* through this interface, of our protocol */
	size_t n_routes;
	struct link_rule *rules; /* of our protocol, to the tunnel's table or one of its routes */
	size_t n_rules;
};

/* 0 and *ret, which the caller gives to link_free; kind is LINK_NONE when it is not there. `table`:
 * whose rules belong to it, beside those to the tables of its routes; 0 or 254: none do. Link-local
 * IPv6 addresses made by the kernel are left out where it says so (since 5.18); link_diff removes
 * none. */
int link_read(const char *name, uint32_t table, struct link *ret);
void link_free(struct link *l);
/* Appends; 0 or -ENOMEM. */
int link_add_address(struct link *l, const struct link_network *a);
int link_add_route(struct link *l, const struct link_route *r);
int link_add_rule(struct link *l, const struct link_rule *r);

/* In the order of the steps: what is new comes before what is old goes, but for an address that the
 * kernel would take along with an old one, which is added after that went. */
enum link_step_kind {
	LINK_STEP_REMOVE, /* the interface, when its kind, if_id or lower is another of ours */
	LINK_STEP_MAKE,
	LINK_STEP_MTU,
	LINK_STEP_ADD_ADDRESS,
	LINK_STEP_REMOVE_ADDRESS,
	LINK_STEP_UP,
	LINK_STEP_DOWN,
	LINK_STEP_ADD_ROUTE, /* of ours, replaced in one step where one of its kind is there */
	LINK_STEP_ADD_RULE,
	LINK_STEP_REMOVE_RULE,
	LINK_STEP_REMOVE_ROUTE,
};

struct link_step {
	enum link_step_kind kind;
	union {
		struct link_network address;
		struct link_route route;
		struct link_rule rule;
		uint32_t mtu;
	};
};

struct link_delta {
	const struct link *want; /* must outlive it */
	uint32_t ifindex;	 /* of what is there, 0: nothing */
	struct link_step *steps;
	size_t n;
};

/* Pure. Routes are added only to what shall be up. 0; -ENOMEM; -EEXIST: an interface of that name
 * is there and is not ours (LINK_OTHER). */
int link_diff(const struct link *want, const struct link *have, struct link_delta *ret);
void link_delta_free(struct link_delta *d);
/* "route 10.10.0.0/16 metric 50". Returns ret. */
const char *link_step_text(const struct link_delta *d, const struct link_step *s, char *ret,
			   size_t size);
/* Carries the steps from `first` up to, not with, `last` out; a delta may be sent in parts. 0, or
 * −errno of the first that failed with its number in *failed and the kernel's words, if any, in
 * `why`. -EEXIST of a route: somebody else's of the same prefix, table and metric is there. */
int link_send(const struct link_delta *d, size_t first, size_t last, size_t *failed, char *why,
	      size_t size);

/*
 * Failover: these routes now go through `ifindex`, each replaced in one step and up to 1,024 in
 * one write to the kernel, so that packets always find one. 0, or −errno of the first that failed;
 * the others are done all the same, how many in *done.
 */
int link_replace_routes(uint32_t ifindex, const struct link_route *routes, size_t n, size_t *done);

/* Which interface the kernel's route of this prefix, table and metric of ours goes through; 0:
 * there is none. */
int link_route_device(const struct link_route *r, uint32_t *ret_ifindex);

/* Would a packet into this network not go through `ifindex`, where our route to it is? Asks the
 * kernel for its first and its last host address. 1: neither does, and `why` says where the first
 * goes instead; 0: no; −errno. */
int link_route_shadowed(const struct link_route *r, uint32_t ifindex, char *why, size_t size);

/* Removes an interface of ours by name (its routes and addresses go with it); -ENODEV; -EEXIST: it
 * is not ours (LINK_OTHER). */
int link_remove(const char *name);
/* Removes our rules to `table`. */
int link_remove_rules(uint32_t table);

/*
 * The largest MTU for the tunnel's device: the MTU of the route to the endpoint less `overhead`.
 * 0; −errno of the route; -EINVAL: the endpoint is this host; -EMSGSIZE: nothing would be left.
 * WireGuard: 60 over IPv4, 80 over IPv6; the caller knows.
 */
int link_mtu_towards(const uint32_t endpoint[4], uint32_t fwmark, uint32_t overhead, uint32_t *ret);

/* Our interface's rp_filter to 2 (loose) where the kernel would be strict on it, so that answers
 * may come by another tunnel than what they answer to. 1: changed; 0: no need; −errno. */
int link_loose_rp_filter(const char *name);
