/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/cmd/wish.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "userspace/cmd/cmd.h"
#include "userspace/net/route.h"
#include "userspace/plane/bpfsys.h"
#include "userspace/plane/short.h"

#define QUIC_PORT 443

/* Half a second under the client's next SYN, two for a RST that was lost: late packets of a
 * connection that is over still find it. */
#define GUARD_MS 2000

static uint32_t ms32(uint64_t ms)
{
	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void make_timeouts(const struct conf_timeouts *t, uint32_t ret[SHIFT_FLOW_STATES])
{
	ret[SHIFT_FLOW_FREE] = 0;
	ret[SHIFT_FLOW_SYN_SENT] = ms32(t->tcp_half_open);
	ret[SHIFT_FLOW_SYN_RECV] = ms32(t->tcp_half_open);
	ret[SHIFT_FLOW_ESTABLISHED] = ms32(t->tcp_established);
	ret[SHIFT_FLOW_CLOSING] = ms32(t->tcp_closing);
	ret[SHIFT_FLOW_DONE] = GUARD_MS;
	ret[SHIFT_FLOW_TIME_WAIT] = ms32(t->port_quarantine);
	ret[SHIFT_FLOW_ABANDONED] = ms32(t->port_quarantine);
}

static void add_clients(struct wish *w, const struct conf_address *list, unsigned int n,
			enum shift_client_action action)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct conf_address *a = &list[i];
		struct sync_client *c = &w->clients[w->sync.n_clients++];

		c->bits = (uint8_t)(a->family == 4 ? a->prefix + 96 : a->prefix);
		c->action = (uint8_t)action;
		memcpy(c->address, a->ip, sizeof(c->address));
	}
}

/* With a list of those who may be shifted, everybody else may not: that entry comes last. */
static void make_clients(const struct config *c, struct wish *w)
{
	w->sync.clients = w->clients;
	add_clients(w, c->deny, c->n_deny, SHIFT_CLIENT_DENY);
	add_clients(w, c->bypass, c->n_bypass, SHIFT_CLIENT_BYPASS);
	add_clients(w, c->allow, c->n_allow, SHIFT_CLIENT_ALLOW);
	if (c->n_allow)
		w->clients[w->sync.n_clients++] = (struct sync_client){.action = SHIFT_CLIENT_DENY};
}

/* The smallest MTU of the listed interfaces; 0: one is unknown. */
static uint32_t narrowest(const struct config *c)
{
	uint32_t least = 0;

	for (unsigned int i = 0; i < c->n_interfaces; i++) {
		uint32_t mtu = route_device_mtu(if_nametoindex(c->interfaces[i].name));

		if (!mtu)
			return 0;
		if (!least || mtu < least)
			least = mtu;
	}
	return least;
}

bool wish_quic(const struct config *c, const struct conf_listen *l)
{
	return l->protocol == IPPROTO_UDP && l->port == QUIC_PORT && !c->quic_off;
}

void wish_make(const struct config *c, struct wish *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < c->n_listens; i++) {
		const struct conf_listen *l = &c->listens[i];

		memcpy(ret->listen[i].address, l->address.ip, sizeof(l->address.ip));
		ret->listen[i].port = htons(l->port);
		ret->listen[i].protocol = l->protocol;
		ret->listen[i].quic = wish_quic(c, l);
	}
	for (unsigned int i = 0; i < c->n_nat; i++)
		memcpy(ret->nat[i], c->nat[i].ip, sizeof(ret->nat[i]));
	for (unsigned int i = 0; i < c->n_backends; i++) {
		strcpy(ret->backend[i].name, c->backends[i].name);
		ret->backend[i].weight = c->backends[i].weight;
		ret->backend[i].port = htons(c->backends[i].port);
	}
	ret->sync = (struct sync_wish){.service = c->service,
				       .affinity = c->affinity,
				       .on_unable = c->on_unable,
				       .listens = ret->listen,
				       .n_listens = c->n_listens,
				       .backends = ret->backend,
				       .n_backends = c->n_backends,
				       .nat = (const uint32_t(*)[4])ret->nat,
				       .n_nat = c->n_nat,
				       .port_lo = c->port_lo,
				       .port_hi = c->port_hi,
				       .udp_ms = ms32(c->timeouts.udp),
				       .client_cap = c->client_flows,
				       .mtu = narrowest(c)};
	make_clients(c, ret);
	make_timeouts(&c->timeouts, ret->sync.timeout_ms);
}

void wish_xdp(const struct config *c, struct plan_host *h)
{
	for (unsigned int i = 0; i < c->n_interfaces && c->hook == CONF_HOOK_XDP; i++)
		h->xdp_taken[i] = short_taken(if_nametoindex(c->interfaces[i].name));
}

static void recall_one(const struct plane *p, const struct shift_backend *b, struct plan_name *ret)
{
	for (int f = 0; f < SHIFT_BACKEND_LISTS; f++) {
		for (unsigned int i = 0; i < b->targets[f] && i < SHIFT_BACKEND_TARGETS; i++) {
			uint32_t id = b->target[f][i];
			struct shift_target t;
			unsigned int k = 0;

			if (bpfsys_lookup(p->map[PLANE_TARGETS], &id, &t))
				continue;
			while (k < ret->to.n &&
			       memcmp(ret->to.address[k], t.address, sizeof(t.address)))
				k++;
			if (k < ret->to.n || k == RESOLVE_MAX)
				continue;
			memcpy(ret->to.address[k], t.address, sizeof(t.address));
			ret->ifindex[k] = t.ifindex;
			ret->to.n++;
		}
	}
}

void wish_recall(const struct config *c, struct plan_host *h)
{
	struct shift_backend b;
	struct plane p;
	int service = -1;

	if (!plane_find(&p))
		service = plane_service_by_name(&p, c->service);
	for (unsigned int i = 0; service >= 0 && i < c->n_backends; i++) {
		for (uint32_t id = 0; h->backend[i].err && id < SHIFT_MAX_BACKENDS; id++) {
			if (!bpfsys_lookup(p.map[PLANE_BACKENDS], &id, &b) &&
			    b.flags & SHIFT_BACKEND_USED && b.service == service &&
			    !strncmp(b.name, c->backends[i].name, sizeof(b.name)))
				recall_one(&p, &b, &h->backend[i]);
		}
	}
	plane_close(&p);
}

void wish_addresses(const struct config *c, const struct plan_host *h, struct wish *w)
{
	for (unsigned int i = 0; i < c->n_backends; i++) {
		const struct plan_name *from = &h->backend[i];
		struct sync_backend *to = &w->backend[i];

		to->keep_last[0] = from->err || from->to.missing[0];
		to->keep_last[1] = from->err || from->to.missing[1];
		for (unsigned int k = 0; !from->err && k < from->to.n; k++) {
			if (to->addresses < SYNC_ADDRESSES)
				memcpy(to->address[to->addresses++], from->to.address[k],
				       sizeof(from->to.address[k]));
		}
	}
}
