/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan_look.c - the facts that a plan is made of
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/conf/plan_inner.h"
#include "userspace/conf/types.h"
#include "userspace/net/route.h"

static void look_up(const char *host, const struct conf_address *address, struct plan_name *ret)
{
	if (address->family) {
		ret->to.n = 1;
		memcpy(ret->to.address[0], address->ip, sizeof(address->ip));
	} else if (host[0]) {
		ret->err = resolve_host(host, &ret->to);
	}
}

/* All addresses of all backends, one behind the other; their number. */
static unsigned int gather(const struct config *c, const struct plan_host *h, uint32_t (*ret)[4])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->n_backends; i++)
		for (unsigned int j = 0; j < h->backend[i].to.n; j++)
			memcpy(ret[n++], h->backend[i].to.address[j], sizeof(ret[0]));
	return n;
}

/* The kernel chooses the way by the source too, so it is asked with a NAT address of this host. */
static const uint32_t *source_for(const struct config *c, const struct plan_host *h,
				  const uint32_t to[4])
{
	for (unsigned int i = 0; i < c->n_nat; i++)
		if (c->nat[i].family == ip_family(to) && host_address(&h->host, c->nat[i].ip))
			return c->nat[i].ip;
	return NULL;
}

static void find_ways(const struct config *c, struct plan_host *h)
{
	for (unsigned int i = 0; i < c->n_backends; i++)
		for (unsigned int j = 0; j < h->backend[i].to.n; j++) {
			const uint32_t *to = h->backend[i].to.address[j];
			const uint32_t *from = source_for(c, h, to);
			struct route_way way;

			if (from && !route_lookup(to, from, &way))
				h->backend[i].ifindex[j] = way.ifindex;
		}
}

int plan_look(const struct config *c, struct plan_host *ret)
{
	uint32_t(*towards)[4] = calloc(CONF_MAX_BACKENDS * RESOLVE_MAX, sizeof(*towards));
	int err;

	if (!towards)
		return -ENOMEM;
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < c->n_backends; i++)
		look_up(c->backends[i].host, &c->backends[i].address, &ret->backend[i]);
	for (unsigned int i = 0; i < c->n_gates; i++) {
		look_up(c->gates[i].url.host, &c->gates[i].url.address, &ret->gate[i]);
	}
	err = host_read((const uint32_t(*)[4])towards, gather(c, ret, towards), &ret->host);
	free(towards);
	if (err)
		return err;
	find_ways(c, ret);
	return 0;
}

void plan_host_free(struct plan_host *h)
{
	if (h)
		host_free(&h->host);
}
