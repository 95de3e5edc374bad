/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * drain_look.c - what `drain` reads: the service's local connections, who is excepted, whether the
 * new arm would take them
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/ip.h"
#include "userspace/cmd/drain_inner.h"
#include "userspace/net/conntrack.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/clients.h"
#include "userspace/plane/control.h"
#include "userspace/plane/telemetry.h"

#define MS UINT64_C(1000000)

static int read_listens(struct drain *k)
{
	for (uint32_t id = 1; id < SHIFT_MAX_LISTENS; id++) {
		struct shift_listen l;
		int err = bpfsys_lookup(k->p.map[PLANE_LISTENS], &id, &l);

		if (err)
			return err;
		if ((l.flags & (SHIFT_LISTEN_USED | SHIFT_LISTEN_DRAIN)) != SHIFT_LISTEN_USED ||
		    l.service != k->id)
			continue;
		if (l.protocol == IPPROTO_TCP)
			k->listen[k->n_listens++] = l;
		else
			k->udp_listens++;
	}
	return 0;
}

static bool is_listen(const struct drain *k, const uint32_t address[4], uint16_t port)
{
	for (unsigned int i = 0; i < k->n_listens; i++) {
		if (k->listen[i].port == port &&
		    !memcmp(k->listen[i].address, address, sizeof(k->listen[i].address)))
			return true;
	}
	return false;
}

static int read_own(struct drain *k)
{
	struct ifaddrs *all, *a;
	size_t n = 0;

	if (getifaddrs(&all))
		return -errno;
	for (a = all; a; a = a->ifa_next)
		n++;
	k->own = calloc(n + 1, sizeof(*k->own));
	for (a = all; k->own && a; a = a->ifa_next) {
		if (a->ifa_addr && a->ifa_addr->sa_family == AF_INET)
			ip_map(((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr.s_addr,
			       k->own[k->n_own++]);
		else if (a->ifa_addr && a->ifa_addr->sa_family == AF_INET6)
			memcpy(k->own[k->n_own++],
			       &((struct sockaddr_in6 *)(void *)a->ifa_addr)->sin6_addr, 16);
	}
	freeifaddrs(all);
	return k->own ? 0 : -ENOMEM;
}

static bool is_own(const struct drain *k, const uint32_t address[4])
{
	if (ip_is_v4(address) && (ntohl(address[3]) >> 24) == 127)
		return true;
	for (size_t i = 0; i < k->n_own; i++) {
		if (!memcmp(k->own[i], address, sizeof(k->own[i])))
			return true;
	}
	return false;
}

/* As the program asks (client_action in bpf/decide.bpf.h). */
static uint32_t client_action(const struct drain *k, const uint32_t client[4])
{
	struct shift_client_key key = {.prefixlen = 160, .service = (uint32_t)k->id};
	struct shift_client c;

	if (!(k->service.flags & SHIFT_SERVICE_CLIENTS))
		return 0;
	memcpy(key.address, client, sizeof(key.address));
	for (int i = 0; i < 4; i++) {
		if (bpfsys_lookup(k->p.map[PLANE_CLIENTS], &key, &c))
			return 0;
		if (!client_is_over(&c, control_boot_ns()))
			return c.action;
		if (!c.prefixlen)
			return 0;
		key.prefixlen = c.prefixlen - 1;
	}
	return SHIFT_CLIENT_OLD;
}

static bool target_usable(const struct drain *k, uint32_t id)
{
	struct shift_target t;

	return !bpfsys_lookup(k->p.map[PLANE_TARGETS], &id, &t) &&
	       (t.flags & (SHIFT_TARGET_USED | SHIFT_TARGET_DRAIN | SHIFT_TARGET_NO_ROUTE)) ==
		       SHIFT_TARGET_USED;
}

static bool backend_usable(const struct drain *k, uint32_t id, bool v6)
{
	uint32_t list = shift_list(v6, IPPROTO_TCP);
	struct shift_breaker breaker;
	struct shift_backend b;

	if (bpfsys_lookup(k->p.map[PLANE_BACKENDS], &id, &b) ||
	    (b.flags & (SHIFT_BACKEND_USED | SHIFT_BACKEND_DRAIN)) != SHIFT_BACKEND_USED ||
	    (b.health == SHIFT_HEALTH_DOWN && control_boot_ns() < b.health_until))
		return false;
	if (!bpfsys_lookup(k->p.map[PLANE_BREAKERS], &id, &breaker) && breaker.open)
		return false;
	for (uint32_t i = 0; i < b.targets[list] && i < SHIFT_BACKEND_TARGETS; i++) {
		if (target_usable(k, b.target[list][i]))
			return true;
	}
	return false;
}

void drain_look_at_backends(struct drain *k)
{
	for (uint32_t v6 = 0; v6 < 2; v6++) {
		uint32_t table = (uint32_t)k->id * 2 + v6;
		struct shift_table t;

		k->rules.usable[v6] = false;
		if (bpfsys_lookup(k->p.map[PLANE_TABLES], &table, &t) || !t.entries)
			continue;
		for (uint32_t i = 0; i < t.backends && i < SHIFT_TABLE_LIST; i++)
			k->rules.usable[v6] |= backend_usable(k, t.list[i], v6);
	}
}

uint64_t drain_fallbacks(const struct drain *k)
{
	struct shift_service_stats stats;
	uint64_t sum = 0;

	if (telemetry_service(&k->p, (uint32_t)k->id, &stats))
		return 0;
	for (int i = 0; i < SHIFT_FALLBACKS; i++)
		sum += stats.fallback[i];
	return sum;
}

/* ---- choosing ---- */

enum drain_choice drain_choice_of(const struct drain *k, const uint32_t client[4], uint16_t port)
{
	if (is_own(k, client))
		return DRAIN_OWN;
	return drain_choose(&k->rules, client, port, client_action(k, client));
}

static int keep(const struct sockdiag_seen *seen, void *arg)
{
	struct drain *k = arg;
	enum drain_choice choice;
	struct drain_entry *e;
	uint32_t again;

	if (!is_listen(k, seen->local, seen->local_port))
		return 0;
	choice = drain_choice_of(k, seen->remote, seen->remote_port);
	k->seen++;
	k->of[choice]++;
	if (choice != DRAIN_MOVE)
		return 0;
	if (k->n == k->room) {
		size_t room = k->room ? k->room * 2 : 1024;

		e = realloc(k->entry, room * sizeof(*e));
		if (!e)
			return -ENOMEM;
		k->entry = e;
		k->room = room;
	}
	e = &k->entry[k->n++];
	*e = (struct drain_entry){.name = seen->name, .port = seen->remote_port};
	memcpy(e->client, seen->remote, sizeof(e->client));
	k->idle += drain_rest(seen, &k->patience, &again) == DRAIN_IDLE;
	e->owed = drain_rest(seen, &k->patience, &again) == DRAIN_OWED;
	e->due = k->began + again * MS;
	return 0;
}

static int read_connections(struct drain *k)
{
	for (unsigned int i = 0; i < k->n_listens; i++) {
		bool before = false;
		int err;

		for (unsigned int j = 0; j < i; j++)
			before |= k->listen[j].port == k->listen[i].port;
		if (before)
			continue;
		err = sockdiag_each(k->diag, k->listen[i].port, keep, k);
		if (err)
			return err;
	}
	return 0;
}

/* Answered by another address than it went to: by DNAT, so by no socket of that listener. */
static void see_hidden(const struct conntrack_seen *c, void *arg)
{
	struct drain *k = arg;

	if (c->protocol == IPPROTO_TCP && c->established && is_listen(k, c->to, c->to_port))
		k->hidden += c->sport != c->to_port || memcmp(c->src, c->to, sizeof(c->to)) != 0;
}

static void count_hidden(struct drain *k)
{
	k->hidden = 0;
	if (conntrack_each(see_hidden, k) == -EPERM)
		k->hidden = -1;
}

int drain_read(struct drain *k)
{
	int err = read_listens(k);

	if (!err)
		err = read_own(k);
	if (!err)
		err = read_connections(k);
	if (!err)
		count_hidden(k);
	return err;
}
