/* SPDX-License-Identifier: GPL-2.0-only */
#include "wg/want.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/key.h"
#include "userspace/net/resolve.h"

#define TABLE_MAIN    254
#define RULE_PRIORITY 5083

/* What is put around a packet, by the outer family: WireGuard's 32 bytes and UDP; ESP in UDP with
 * AES-CBC's block, IV and 16 bytes of HMAC at their largest. */
static uint32_t overhead(const struct conf_tunnel *t, unsigned int family)
{
	uint32_t ip = family == 4 ? 20 : 40;

	return ip + (t->wireguard.given ? 40 : 68);
}

/* ---- groups ---- */

static bool is_backup(const struct config *c, const struct conf_tunnel *t)
{
	for (unsigned int i = 0; i < c->n_tunnels; i++)
		if (!strcmp(c->tunnels[i].backup, t->name))
			return true;
	return false;
}

unsigned int groups_of(const struct config *c, struct group ret[CONF_MAX_TUNNELS])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->n_tunnels; i++) {
		const struct conf_tunnel *t = &c->tunnels[i];
		struct group *g = &ret[n];

		if (is_backup(c, t))
			continue;
		for (g->n = 0; t && g->n < FAILOVER_MEMBERS; t = conf_tunnel(c, t->backup))
			g->member[g->n++] = (unsigned int)(t - c->tunnels);
		n++;
	}
	return n;
}

int group_place(const struct group *g, unsigned int i)
{
	for (unsigned int k = 0; k < g->n; k++)
		if (g->member[k] == i)
			return (int)k;
	return -1;
}

/* ---- names ---- */

static uint32_t fnv1a(const char *text)
{
	uint32_t h = 2166136261u;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 16777619u;
	return h;
}

void want_names(const struct conf_tunnel *t, char ret_interface[16], uint32_t *ret_if_id)
{
	if (t->interface.name[0])
		snprintf(ret_interface, 16, "%s", t->interface.name);
	else if (strlen(t->name) <= 15)
		snprintf(ret_interface, 16, "%s", t->name);
	else
		snprintf(ret_interface, 16, "%.6s-%08x", t->name, fnv1a(t->name));
	*ret_if_id = t->if_id ? t->if_id : (fnv1a(t->name) | 1);
	if (t->wireguard.given)
		*ret_if_id = 0;
}

const char *want_kind(const struct conf_tunnel *t)
{
	return t->wireguard.given ? "wireguard" : "ipsec";
}

/* ---- routes ---- */

static struct link_network network(const struct conf_address *a)
{
	struct link_network n = {.family = a->family, .prefix = a->prefix};

	memcpy(n.ip, a->ip, sizeof(n.ip));
	return n;
}

static struct link_route route(const struct conf_tunnel *head, const struct conf_address *to,
			       uint32_t metric)
{
	struct link_route r = {
		.to = network(to),
		.table = head->table ? head->table : TABLE_MAIN,
		.metric = metric,
		.has_source = head->source.family && head->source.family == to->family,
	};

	if (r.has_source)
		memcpy(r.source, head->source.ip, sizeof(r.source));
	return r;
}

int group_routes(const struct config *c, const struct group *g, struct link_route **ret,
		 size_t *ret_n)
{
	const struct conf_tunnel *head = &c->tunnels[g->member[0]];
	struct link_route *routes = calloc(head->n_routes + 1u, sizeof(*routes));

	if (!routes)
		return -ENOMEM;
	for (unsigned int i = 0; i < head->n_routes; i++)
		routes[i] = route(head, &head->routes[i], head->metric);
	*ret = routes;
	*ret_n = head->n_routes;
	return 0;
}

static bool has_route(const struct conf_tunnel *t, const struct conf_address *to)
{
	for (unsigned int i = 0; i < t->n_routes; i++)
		if (t->routes[i].family == to->family && t->routes[i].prefix == to->prefix &&
		    !memcmp(t->routes[i].ip, to->ip, sizeof(to->ip)))
			return true;
	return false;
}

/* A group's routes through its member at `place`: its own metric, and the head's when it is in use.
 */
static int add_group(const struct conf_tunnel *head, const struct group *g, unsigned int place,
		     bool active, struct link *l)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < head->n_routes; i++) {
		struct link_route r = route(head, &head->routes[i], head->metric + 1 + place);

		if (g->n > 1)
			err = link_add_route(l, &r);
		r.metric = head->metric;
		if (!err && active)
			err = link_add_route(l, &r);
	}
	return err;
}

/* The first packet of the tunnel itself must not go into the tunnel. */
static int add_rules(const struct conf_tunnel *t, const struct conf_tunnel *head, struct link *l)
{
	int err = 0;

	for (uint8_t family = 4; !err && family <= 6; family += 2) {
		const struct link_rule r = {
			.family = family,
			.priority = RULE_PRIORITY,
			.table = head->table,
			.fwmark = t->wireguard.fwmark,
			.invert = true,
		};
		bool any = false;

		for (unsigned int i = 0; i < head->n_routes; i++)
			any |= head->routes[i].family == family;
		if (any)
			err = link_add_rule(l, &r);
	}
	return err;
}

/* What a backup has beside the routes of those it stands in for: none of theirs, whoever is active,
 * or it would take them away. */
static int add_own(const struct config *c, unsigned int i, const struct group *groups,
		   unsigned int n_groups, struct link *l)
{
	const struct conf_tunnel *t = &c->tunnels[i];
	int err = 0;

	for (unsigned int j = 0; !err && j < t->n_routes; j++) {
		const struct link_route r = route(t, &t->routes[j], t->metric);
		bool theirs = false;

		for (unsigned int g = 0; g < n_groups; g++)
			theirs |= group_place(&groups[g], i) >= 0 &&
				  has_route(&c->tunnels[groups[g].member[0]], &t->routes[j]);
		if (!theirs)
			err = link_add_route(l, &r);
	}
	return err;
}

static int want_routes(const struct config *c, unsigned int i, const struct group *groups,
		       unsigned int n_groups, const unsigned int *active, struct link *l)
{
	const struct conf_tunnel *t = &c->tunnels[i];
	int err = 0;

	for (unsigned int g = 0; !err && g < n_groups; g++) {
		const struct conf_tunnel *head = &c->tunnels[groups[g].member[0]];
		int place = group_place(&groups[g], i);

		if (place < 0)
			continue;
		err = add_group(head, &groups[g], (unsigned int)place,
				active[g] == (unsigned int)place, l);
		if (!err && !place && t->wireguard.fwmark && t->table)
			err = add_rules(t, head, l);
	}
	return err ? err : add_own(c, i, groups, n_groups, l);
}

/* ---- WireGuard ---- */

static const struct want_host *known(const struct want_hosts *h, const char *name)
{
	for (unsigned int i = 0; h && i < h->n; i++)
		if (!strcmp(h->host[i].name, name))
			return &h->host[i];
	return NULL;
}

static int find_host(const struct want_hosts *h, const char *name, struct resolved *ret)
{
	const struct want_host *there = known(h, name);

	if (!there)
		return resolve_host(name, ret);
	*ret = there->found;
	return there->err;
}

static int add_host(struct want_hosts *h, const char *name)
{
	struct want_host *grown;

	if (!name[0] || known(h, name))
		return 0;
	grown = reallocarray(h->host, h->n + 1u, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	h->host = grown;
	grown += h->n++;
	memset(grown, 0, sizeof(*grown));
	snprintf(grown->name, sizeof(grown->name), "%s", name);
	grown->err = resolve_host(name, &grown->found);
	return 0;
}

int want_hosts_find(const struct config *c, const bool *chosen, struct want_hosts *ret)
{
	struct want_hosts h = {0};
	int err = 0;

	for (unsigned int i = 0; i < c->n_tunnels && !err; i++) {
		const struct conf_tunnel *t = &c->tunnels[i];

		if (!chosen[i])
			continue;
		for (unsigned int k = 0; k < t->wireguard.n_peers && !err; k++)
			if (!t->wireguard.peers[k].address.family)
				err = add_host(&h, t->wireguard.peers[k].endpoint);
		if (!err)
			err = add_host(&h, t->ike.remote);
	}
	if (err)
		want_hosts_free(&h);
	else
		*ret = h;
	return err;
}

void want_hosts_free(struct want_hosts *h)
{
	free(h->host);
	memset(h, 0, sizeof(*h));
}

static int endpoint_of(const struct conf_peer *p, const struct wg_endpoint *now,
		       const struct want_hosts *hosts, struct wg_endpoint *ret)
{
	struct wg_endpoint e = {.port = p->port, .family = p->address.family};
	struct resolved found;
	unsigned int best = 0;
	int err;

	if (p->address.family) {
		memcpy(e.ip, p->address.ip, sizeof(e.ip));
		*ret = e;
		return 0;
	}
	err = find_host(hosts, p->endpoint, &found);
	if (err)
		return err;
	for (unsigned int i = 0; now && now->family && i < found.n; i++)
		if (!memcmp(found.address[i], now->ip, sizeof(now->ip)))
			best = i;
	memcpy(e.ip, found.address[best], sizeof(e.ip));
	e.family = !e.ip[0] && !e.ip[1] && e.ip[2] == htonl(0xffff) ? 4 : 6;
	*ret = e;
	return 0;
}

int want_endpoint(const struct conf_peer *p, const struct wg_endpoint *now, struct wg_endpoint *ret)
{
	return endpoint_of(p, now, NULL, ret);
}

static const struct wg_peer *find_peer(const struct wg_device *have, const uint8_t key[KEY_SIZE])
{
	for (size_t i = 0; have && i < have->n_peers; i++)
		if (!memcmp(have->peers[i].public_key, key, KEY_SIZE))
			return &have->peers[i];
	return NULL;
}

static int want_peer(const struct conf_peer *p, const struct wg_device *have,
		     const struct want_hosts *hosts, struct wg_peer *ret, char *why, size_t size)
{
	const struct wg_peer *old = find_peer(have, p->public_key);
	int err = wg_make_allowed(ret, p->n_allowed);
	bool kept;

	if (err)
		return err;
	memcpy(ret->public_key, p->public_key, KEY_SIZE);
	for (unsigned int i = 0; i < p->n_allowed; i++) {
		memcpy(ret->allowed[i].ip, p->allowed[i].ip, sizeof(ret->allowed[i].ip));
		ret->allowed[i].family = p->allowed[i].family;
		ret->allowed[i].prefix = p->allowed[i].prefix;
	}
	ret->set = WG_PSK | WG_KEEPALIVE;
	ret->keepalive = (uint16_t)((p->keepalive_ms + 999) / 1000);
	if (p->psk_file[0] && (err = key_read(p->psk_file, ret->psk, why, size)))
		return err;
	if (!p->endpoint[0])
		return 0;
	err = endpoint_of(p, old ? &old->endpoint : NULL, hosts, &ret->endpoint);
	if (!err) {
		ret->set |= WG_ENDPOINT;
		return 0;
	}
	kept = old && old->endpoint.family;
	snprintf(why, size, "endpoint %s: %s%s", p->endpoint,
		 err == -ENOENT	  ? "there is no such name"
		 : err == -EAGAIN ? "the resolver does not answer"
				  : strerror(-err),
		 kept ? ": the address it had stays" : "");
	return kept ? 0 : err;
}

static int want_device(const struct conf_tunnel *t, const struct wg_device *have,
		       const struct want_hosts *hosts, struct wg_device *ret, char *why,
		       size_t size)
{
	const struct conf_wireguard *w = &t->wireguard;
	char words[512];
	int err;

	ret->set = WG_PRIVATE_KEY | WG_FWMARK | (w->listen_port ? WG_PORT : 0);
	ret->port = w->listen_port;
	ret->fwmark = w->fwmark;
	err = key_read(w->key_file, ret->private_key, why, size);
	if (!err)
		err = wg_make_peers(ret, w->n_peers);
	for (unsigned int i = 0; !err && i < w->n_peers; i++) {
		words[0] = '\0';
		if (w->peers[i].placeholder) {
			snprintf(why, size, "peers[%u].public_key is a placeholder", i);
			return -EINVAL;
		}
		err = want_peer(&w->peers[i], have, hosts, &ret->peers[i], words, sizeof(words));
		if (words[0])
			snprintf(why, size, "peers[%u]: %s", i, words);
	}
	return err;
}

/* ---- all of it ---- */

/* The smallest of the ways to the endpoints. */
static uint32_t want_mtu(const struct want *w, const struct want_hosts *hosts)
{
	const struct conf_tunnel *t = w->tunnel;
	uint32_t least = 0, mtu;
	struct resolved found;

	if (t->mtu)
		return t->mtu;
	for (size_t i = 0; i < w->device.n_peers; i++) {
		const struct wg_endpoint *e = &w->device.peers[i].endpoint;

		if (e->family &&
		    !link_mtu_towards(e->ip, w->device.fwmark, overhead(t, e->family), &mtu) &&
		    (!least || mtu < least))
			least = mtu;
	}
	if (t->fixed.remote.family &&
	    !link_mtu_towards(t->fixed.remote.ip, 0, overhead(t, t->fixed.remote.family), &mtu))
		least = mtu;
	if (t->ike.remote[0] && !find_host(hosts, t->ike.remote, &found) && found.n &&
	    !link_mtu_towards(found.address[0], 0, overhead(t, 6), &mtu))
		least = mtu;
	return least ? least : t->wireguard.given ? 1420 : 1500 - overhead(t, 6);
}

static int fill(const struct config *c, unsigned int i, const struct group *groups,
		unsigned int n_groups, const unsigned int *active, const struct wg_device *have,
		const struct want_hosts *hosts, struct want *w, char *why, size_t size)
{
	const struct conf_tunnel *t = w->tunnel;
	int err = 0;

	want_names(t, w->link.name, &w->link.if_id);
	snprintf(w->device.name, sizeof(w->device.name), "%s", w->link.name);
	w->link.kind = t->wireguard.given ? LINK_WIREGUARD : LINK_XFRM;
	w->link.up = true;
	if (t->wireguard.given)
		err = want_device(t, have, hosts, &w->device, why, size);
	for (unsigned int k = 0; !err && k < t->n_addresses; k++) {
		const struct link_network a = network(&t->addresses[k]);

		err = link_add_address(&w->link, &a);
	}
	if (!err)
		err = want_routes(c, i, groups, n_groups, active, &w->link);
	if (!err)
		w->link.mtu = want_mtu(w, hosts);
	return err;
}

int want_make(const struct config *c, unsigned int i, const struct group *groups,
	      unsigned int n_groups, const unsigned int *active, const struct wg_device *have,
	      const struct want_hosts *hosts, struct want *ret, char *why, size_t size)
{
	struct want w = {.tunnel = &c->tunnels[i]};
	int err;

	why[0] = '\0';
	err = fill(c, i, groups, n_groups, active, have, hosts, &w, why, size);
	if (err) {
		if (!why[0])
			snprintf(why, size, "%s", strerror(-err));
		want_free(&w);
		return err;
	}
	*ret = w;
	explicit_bzero(w.device.private_key, sizeof(w.device.private_key));
	return 0;
}

void want_free(struct want *w)
{
	wg_free(&w->device);
	link_free(&w->link);
}
