/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * want.h - from the configuration to what the kernel shall have
 *
 * A group is a tunnel that is nobody's backup, and its chain of backups. The group's routes are
 * those of its head. Every member has them, each at a metric of its own, so that it can be probed
 * through itself and is there when the device of another vanishes; the one in use has them once
 * more at the head's metric, and that is what failover moves.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/conf/config.h"
#include "userspace/net/resolve.h"
#include "wg/failover.h"
#include "wg/link.h"
#include "wg/wireguard.h"

struct group {
	unsigned int n;
	unsigned int member[FAILOVER_MEMBERS]; /* places in config->tunnels, the head first */
};

/* How many there are, at most CONF_MAX_TUNNELS; every tunnel is in one at least. */
unsigned int groups_of(const struct config *c, struct group ret[CONF_MAX_TUNNELS]);
/* The place of tunnel `i` in the group, or -1. */
int group_place(const struct group *g, unsigned int i);

/* The interface's name, and for IPsec its if_id: those of the configuration, else made of the name.
 */
void want_names(const struct conf_tunnel *t, char ret_interface[16], uint32_t *ret_if_id);
const char *want_kind(const struct conf_tunnel *t); /* "wireguard" or "ipsec" */

/* The routes that move when this group fails over, for its active member. *ret is to be freed;
 * -ENOMEM. */
int group_routes(const struct config *c, const struct group *g, struct link_route **ret,
		 size_t *ret_n);

/* What the endpoints' names mean, asked before any lock is taken: a resolver takes its time. */
struct want_host {
	char name[CONF_TEXT];
	int err;
	struct resolved found;
};

struct want_hosts {
	struct want_host *host;
	unsigned int n;
};

/* Of the tunnels that are chosen. 0 and *ret for want_hosts_free; -ENOMEM. */
int want_hosts_find(const struct config *c, const bool *chosen, struct want_hosts *ret);
void want_hosts_free(struct want_hosts *h);

struct want {
	const struct conf_tunnel *tunnel;
	struct wg_device device; /* of a WireGuard tunnel */
	struct link link;
};

/*
 * What tunnel `i` shall be, with the routes in use of those groups in which it is the active member
 * (active[g] is a place in groups[g]). Reads the key files; a name that is not among `hosts` (may
 * be NULL) is asked for now. `have`: the device as it is; a peer whose name has the address it uses
 * now, or cannot be resolved now, keeps it. 0 and *ret for want_free, with `why` if a name could
 * not be resolved; else −errno with `why`, that names the tunnel's key and file, and never a
 * secret.
 */
int want_make(const struct config *c, unsigned int i, const struct group *groups,
	      unsigned int n_groups, const unsigned int *active, const struct wg_device *have,
	      const struct want_hosts *hosts, struct want *ret, char *why, size_t size);
void want_free(struct want *w);

/* The addresses of a peer's endpoint now: 0 and *ret, which is `now` if that is still one of them;
 * -EAGAIN and others as resolve_host. */
int want_endpoint(const struct conf_peer *p, const struct wg_endpoint *now,
		  struct wg_endpoint *ret);
