/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tunnels.c - what the values of the tunnels say of each other
 *
 * What the kernel or a peer would take without a word, and what then fails at the worst moment: an
 * allowed IP given twice belongs to the peer named last; a probe to an address that no peer may
 * have is answered by nobody; a chain of backups that closes has no end.
 */
#include <stdlib.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "userspace/conf/schema.h"

#define MAX_CHAIN 8 /* members of one group: a tunnel, its backup, the backup's … */

struct place {
	const struct conf_address *network;
	const struct conf_peer *peer;
	unsigned int peer_index, index;
};

static unsigned int index_of(const struct config *c, const struct conf_tunnel *t)
{
	return (unsigned int)(t - c->tunnels);
}

const struct conf_tunnel *conf_tunnel(const struct config *c, const char *name)
{
	for (unsigned int i = 0; name[0] && i < c->n_tunnels; i++)
		if (!strcmp(c->tunnels[i].name, name))
			return &c->tunnels[i];
	return NULL;
}

/* Nearer to the front of the packet first, so that what is the same stands side by side. */
static int by_network(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order = (x->network->family > y->network->family) -
		    (x->network->family < y->network->family);

	if (!order)
		order = memcmp(x->network->ip, y->network->ip, sizeof(x->network->ip));
	if (!order)
		order = (int)x->network->prefix - (int)y->network->prefix;
	if (!order)
		order = (x->network->at.line > y->network->at.line) -
			(x->network->at.line < y->network->at.line);
	if (!order)
		order = (x->network->at.column > y->network->at.column) -
			(x->network->at.column < y->network->at.column);
	return order;
}

static bool same(const struct conf_address *a, const struct conf_address *b)
{
	return a->family == b->family && a->prefix == b->prefix &&
	       !memcmp(a->ip, b->ip, sizeof(a->ip));
}

static void unique_allowed(const struct config *c, const struct conf_tunnel *t,
			   struct conf_errors *errors)
{
	const struct conf_wireguard *w = &t->wireguard;
	struct place *all;
	size_t n = 0, total = 0;

	for (unsigned int i = 0; i < w->n_peers; i++)
		total += w->peers[i].n_allowed;
	all = calloc(total + 1, sizeof(*all));
	for (unsigned int i = 0; all && i < w->n_peers; i++)
		for (unsigned int j = 0; j < w->peers[i].n_allowed; j++)
			if (w->peers[i].allowed[j].family)
				all[n++] =
					(struct place){&w->peers[i].allowed[j], &w->peers[i], i, j};
	if (all)
		qsort(all, n, sizeof(*all), by_network);
	for (size_t i = 1; i < n; i++) {
		char key[96], text[64];

		if (!same(all[i].network, all[i - 1].network))
			continue;
		snprintf(key, sizeof(key), "tunnels[%u].wireguard.peers[%u].allowed_ips[%u]",
			 index_of(c, t), all[i].peer_index, all[i].index);
		conf_complain(errors, false, all[i].network->at, key,
			      "%s is there twice: line %u has it already, and only one peer can "
			      "have it",
			      conf_address_text(all[i].network, text), all[i - 1].network->at.line);
	}
	free(all);
}

static int by_key(const void *a, const void *b)
{
	const struct conf_peer *const *x = a, *const *y = b;
	int order = memcmp((*x)->public_key, (*y)->public_key, CONF_KEY);

	return order ? order : (*x > *y) - (*x < *y);
}

static void unique_peers(const struct config *c, const struct conf_tunnel *t,
			 struct conf_errors *errors)
{
	const struct conf_wireguard *w = &t->wireguard;
	const struct conf_peer **all = calloc(w->n_peers + 1, sizeof(*all));
	size_t n = 0;

	for (unsigned int i = 0; all && i < w->n_peers; i++)
		if (w->peers[i].public_key_at.line)
			all[n++] = &w->peers[i];
	if (all)
		qsort(all, n, sizeof(*all), by_key);
	for (size_t i = 1; i < n; i++) {
		char key[96];

		if (memcmp(all[i]->public_key, all[i - 1]->public_key, CONF_KEY) != 0)
			continue;
		snprintf(key, sizeof(key), "tunnels[%u].wireguard.peers[%u].public_key",
			 index_of(c, t), (unsigned int)(all[i] - w->peers));
		conf_complain(errors, false, all[i]->public_key_at, key,
			      "is there twice: line %u has it already",
			      all[i - 1]->public_key_at.line);
	}
	free(all);
}

static bool holds(const struct conf_address *network, const struct conf_address *a)
{
	unsigned int bits = network->prefix + (network->family == 4 ? 96u : 0u);

	return network->family == a->family && network->prefix <= a->prefix &&
	       ip_in(a->ip, network->ip, bits);
}

/* May a packet for it be given to some peer? */
static bool some_peer_has(const struct conf_tunnel *t, const struct conf_address *a)
{
	const struct conf_wireguard *w = &t->wireguard;

	for (unsigned int i = 0; i < w->n_peers; i++)
		for (unsigned int j = 0; j < w->peers[i].n_allowed; j++)
			if (holds(&w->peers[i].allowed[j], a))
				return true;
	return false;
}

static void check_wireguard(const struct config *c, const struct conf_tunnel *t,
			    struct conf_errors *errors)
{
	char key[64], text[64];

	unique_peers(c, t, errors);
	unique_allowed(c, t, errors);
	if (conf_errors_count(errors))
		return; /* an allowed IP that could not be read may be the one */
	snprintf(key, sizeof(key), "tunnels[%u].probe.address", index_of(c, t));
	if (t->probe.given && t->probe.address.family && !some_peer_has(t, &t->probe.address))
		conf_complain(errors, false, t->probe.address.at, key,
			      "%s is in no peer's allowed_ips: no probe could be sent",
			      conf_address_text(&t->probe.address, text));
	for (unsigned int i = 0; i < t->n_routes; i++) {
		if (!t->routes[i].family || some_peer_has(t, &t->routes[i]))
			continue;
		snprintf(key, sizeof(key), "tunnels[%u].routes[%u]", index_of(c, t), i);
		conf_complain(
			errors, true, t->routes[i].at, key,
			"%s is in no peer's allowed_ips as a whole: what is sent there may be "
			"lost",
			conf_address_text(&t->routes[i], text));
	}
}

static void check_ipsec(const struct config *c, const struct conf_tunnel *t,
			struct conf_errors *errors)
{
	const struct conf_ike *k = &t->ike;
	char key[64];

	snprintf(key, sizeof(key), "tunnels[%u].ipsec", index_of(c, t));
	if (k->given && k->remote[0] && !k->psk_file[0] && !k->certificate_file[0])
		conf_complain(errors, false, t->ipsec_at, key,
			      "ike with a remote needs psk_file, or certificate_file and "
			      "private_key_file");
	if (k->psk_file[0] && k->certificate_file[0])
		conf_complain(errors, false, t->ipsec_at, key,
			      "can have only one: psk_file or certificate_file");
	if (t->fixed.given && t->fixed.local.family != t->fixed.remote.family)
		conf_complain(errors, false, t->fixed.remote.at, key,
			      "local and remote must be of one family");
}

static void check_chain(const struct config *c, const struct conf_tunnel *head,
			struct conf_errors *errors)
{
	const struct conf_tunnel *t = head;
	char key[64];

	snprintf(key, sizeof(key), "tunnels[%u].backup", index_of(c, head));
	for (unsigned int n = 1; (t = conf_tunnel(c, t->backup)); n++) {
		if (t == head) {
			if (n > 1)
				conf_complain(errors, false, head->backup_at, key,
					      "comes back to %s itself: a chain of backups must "
					      "end",
					      head->name);
			return;
		}
		if (n >= MAX_CHAIN) {
			conf_complain(errors, false, head->backup_at, key,
				      "begins a chain of more than %u tunnels", MAX_CHAIN);
			return;
		}
	}
	if (head->backup[0] && !head->probe.given && conf_tunnel(c, head->backup))
		conf_complain(errors, true, head->backup_at, key,
			      "without a probe %s is found dead only when its handshakes cease: "
			      "minutes",
			      head->name);
}

/* Tunnels that are not each other's backups cannot both have a route. */
static bool one_chain(const struct config *c, const struct conf_tunnel *a,
		      const struct conf_tunnel *b)
{
	const struct conf_tunnel *t = a;

	for (unsigned int n = 0; t && n <= MAX_CHAIN; n++, t = conf_tunnel(c, t->backup))
		if (t == b)
			return true;
	t = b;
	for (unsigned int n = 0; t && n <= MAX_CHAIN; n++, t = conf_tunnel(c, t->backup))
		if (t == a)
			return true;
	return false;
}

static void check_routes(const struct config *c, const struct conf_tunnel *t,
			 struct conf_errors *errors)
{
	char key[64], text[64];

	for (unsigned int i = 0; i < t->n_routes; i++) {
		snprintf(key, sizeof(key), "tunnels[%u].routes[%u]", index_of(c, t), i);
		for (const struct conf_tunnel *o = c->tunnels; o <= t; o++)
			for (unsigned int j = 0; j < (o == t ? i : o->n_routes); j++) {
				if (!t->routes[i].family || !same(&t->routes[i], &o->routes[j]) ||
				    o->table != t->table || (o != t && one_chain(c, o, t)))
					continue;
				conf_complain(errors, false, t->routes[i].at, key,
					      "%s is there twice: line %u has it already",
					      conf_address_text(&t->routes[i], text),
					      o->routes[j].at.line);
			}
		if (t->source.family && t->routes[i].family &&
		    t->source.family != t->routes[i].family)
			conf_complain(errors, true, t->routes[i].at, key,
				      "is of another family than source, which does not count for "
				      "it");
	}
}

static void check_ports(const struct config *c, const struct conf_tunnel *t,
			struct conf_errors *errors)
{
	char key[64];

	for (const struct conf_tunnel *o = c->tunnels; o < t; o++) {
		if (!t->wireguard.listen_port ||
		    o->wireguard.listen_port != t->wireguard.listen_port)
			continue;
		snprintf(key, sizeof(key), "tunnels[%u].wireguard.listen_port", index_of(c, t));
		conf_complain(errors, false, t->at, key, "%u is that of %s too",
			      t->wireguard.listen_port, o->name);
	}
}

static void check_interface(const struct config *c, const struct conf_tunnel *t,
			    struct conf_errors *errors)
{
	char key[64];

	for (const struct conf_tunnel *o = c->tunnels; o < t; o++) {
		if (!t->interface.name[0] || strcmp(o->interface.name, t->interface.name) != 0)
			continue;
		snprintf(key, sizeof(key), "tunnels[%u].%s.interface", index_of(c, t),
			 t->wireguard.given ? "wireguard" : "ipsec");
		conf_complain(errors, false, t->interface.at, key,
			      "interface %s is there twice: it is entry %u too", t->interface.name,
			      index_of(c, o));
	}
}

void tunnels_across(const struct config *c, struct conf_errors *errors)
{
	for (unsigned int i = 0; i < c->n_tunnels; i++) {
		const struct conf_tunnel *t = &c->tunnels[i];

		check_interface(c, t, errors);
		check_ports(c, t, errors);
		check_chain(c, t, errors);
		check_routes(c, t, errors);
		if (t->wireguard.given)
			check_wireguard(c, t, errors);
		else
			check_ipsec(c, t, errors);
	}
}
